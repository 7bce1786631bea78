/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/prune.h"
#include "cli/rows.h"
#include "cli/units.h"
#include "oci/reference.h"

static const struct listing_title titles[] = {
	{ "ID", "IMAGE ID" },
	{ "Repository", "REPOSITORY" },
	{ "Tag", "TAG" },
	{ "Digest", "DIGEST" },
	{ "CreatedSince", "CREATED" },
	{ "CreatedAt", "CREATED AT" },
	{ "Size", "SIZE" },
	{ "VirtualSize", "SIZE" },
	{ "SharedSize", "SHARED SIZE" },
	{ "UniqueSize", "UNIQUE SIZE" },
	{ "Containers", "CONTAINERS" },
};

#define ROW_TYPE "*formatter.imageContext"

static const struct listing_kind plain_kind = {
	ROW_TYPE,
	"{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}",
	"{{.ID}}",
	"repository: {{.Repository}}\ntag: {{.Tag}}\nimage_id: {{.ID}}\ncreated_at: "
	"{{.CreatedAt}}\n"
	"virtual_size: {{.Size}}\n",
	"image_id: {{.ID}}",
	titles,
	ARRAY_LEN(titles),
};
static const struct listing_kind digests_kind = {
	ROW_TYPE,
	"{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}",
	"{{.ID}}",
	"repository: {{.Repository}}\ntag: {{.Tag}}\ndigest: {{.Digest}}\nimage_id: {{.ID}}\n"
	"created_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n",
	"image_id: {{.ID}}",
	titles,
	ARRAY_LEN(titles),
};
const struct listing_kind image_df_kind = {
	ROW_TYPE,
	"{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t"
	"{{.UniqueSize}}\t{{.Containers}}",
	"{{.ID}}",
	"repository: {{.Repository}}\ntag: {{.Tag}}\ndigest: {{.Digest}}\nimage_id: {{.ID}}\n"
	"created_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n",
	"image_id: {{.ID}}",
	titles,
	ARRAY_LEN(titles),
};

static void image_add(struct cli *cli, struct listing *l, const struct json *i, bool trunc,
		      const char *repo, const char *tag, const char *digest)
{
	struct arena *a = &cli->arena;
	struct json *row = listing_add(cli, l, NULL);
	const char *id = json_str(i, "Id");
	int64_t size = json_int(i, "Size", 0), shared = json_int(i, "SharedSize", -1);
	int64_t containers = json_int(i, "Containers", -1), created = json_int(i, "Created", 0);

	id = id ? id : "";
	row_set(cli, row, "ID", trunc ? short_id(a, id) : id);
	row_set(cli, row, "Repository", repo);
	row_set(cli, row, "Tag", tag);
	row_set(cli, row, "Digest", digest);
	row_set(cli, row, "CreatedSince", human_since(a, created));
	row_set(cli, row, "CreatedAt", go_time(a, created, 0));
	row_set(cli, row, "Size", human_size(a, (double)size, 3));
	row_set(cli, row, "VirtualSize", human_size(a, (double)size, 4));
	row_set(cli, row, "SharedSize", shared < 0 ? "N/A" : human_size(a, (double)shared, 4));
	row_set(cli, row, "UniqueSize",
		shared < 0 ? "N/A" : human_size(a, (double)(size - shared), 4));
	if (containers < 0)
		row_set(cli, row, "Containers", "N/A");
	else
		row_setf(cli, row, "Containers", "%lld", (long long)containers);
}

struct image_name {
	const char *repo, *tag, *digest; /* digest NULL: none */
	bool used;
};

/* Split "repo:tag" or "repo@digest" into its familiar parts. */
static bool name_split(struct arena *a, const char *text, struct image_name *ret)
{
	struct reference ref;
	char familiar[REFERENCE_TEXT_MAX];
	const char *at = strchr(text, '@');

	if (reference_parse(text, &ref, NULL) < 0)
		return false;
	reference_familiar_name(&ref, familiar);
	*ret = (struct image_name){ arena_strdup(a, familiar), arena_strdup(a, ref.tag),
				    at ? at + 1 : NULL, false };
	return true;
}

/* A row for each tag; with digests, each tag with the digests of its repository. */
static void image_rows(struct cli *cli, struct listing *l, const struct json *i, bool trunc,
		       bool digests)
{
	VEC(struct image_name) tags = { 0 }, sums = { 0 };
	struct image_name n;

	json_for_each_item (t, json_get(i, "RepoTags"))
		if (t->type == JSON_STRING && name_split(&cli->arena, t->s, &n))
			*vec_push(&tags) = n;
	json_for_each_item (t, json_get(i, "RepoDigests"))
		if (t->type == JSON_STRING && name_split(&cli->arena, t->s, &n))
			*vec_push(&sums) = n;
	vec_for_each (t, &tags) {
		size_t shown = 0;

		vec_for_each (d, &sums) {
			if (strcmp(d->repo, t->repo) != 0)
				continue;
			d->used = true;
			if (digests) {
				image_add(cli, l, i, trunc, t->repo, t->tag, d->digest);
				shown++;
			}
		}
		if (shown == 0)
			image_add(cli, l, i, trunc, t->repo, t->tag, "<none>");
	}
	/* Digests of repositories without a tag. */
	vec_for_each (d, &sums) {
		bool repeated = false;

		if (d->used)
			continue;
		vec_for_each (e, &sums)
			if (e < d && strcmp(e->repo, d->repo) == 0)
				repeated = true;
		if (digests || !repeated)
			image_add(cli, l, i, trunc, d->repo, "<none>",
				  digests ? d->digest : "<none>");
	}
	if (tags.len == 0 && sums.len == 0)
		image_add(cli, l, i, trunc, "<none>", "<none>", "<none>");
	vec_release(&tags);
	vec_release(&sums);
}

void image_row(struct cli *cli, struct listing *l, const struct json *i, bool trunc)
{
	const struct json *tags = json_get(i, "RepoTags");
	struct image_name n = { "<none>", "<none>", NULL, false };

	if (tags && tags->type == JSON_ARRAY && tags->n_items > 0 &&
	    tags->items[0]->type == JSON_STRING &&
	    strcmp(tags->items[0]->s, "<none>:<none>") != 0 &&
	    !name_split(&cli->arena, tags->items[0]->s, &n))
		n = (struct image_name){ "<none>", "<none>", NULL, false };
	/* Peer: docker leaves the digest of `system df -v` empty. */
	image_add(cli, l, i, trunc, n.repo, n.tag, "");
}

int cmd_images(struct cli *cli, const struct args *args, struct error *err)
{
	const char *format = format_choose(cli, args, "imagesFormat"),
		   *match = args_operand(args, 0);
	bool digests = args_bool(args, "digests") || (format && strstr(format, ".Digest"));
	struct listing l = { .kind = args_bool(args, "digests") ? &digests_kind : &plain_kind };
	auto_(buf) q = api_query();
	const struct json *list = NULL;
	int r;

	if (args_bool(args, "tree"))
		return error_set(err, ERR_UNIMPLEMENTED, "images --tree is not supported yet");
	if (!api_client(cli, err) || client_negotiate(cli->client, NULL, err) < 0)
		return -err->kind;
	client_query_add_bool(&q, "all", args_bool(args, "all"));
	if (match) {
		/* The operand is one more reference filter. */
		client_query_add(&q, "filters", api_filters_with(cli, args, "reference", match));
	} else {
		client_query_add(&q, "filters", api_filters(cli, args));
	}
	r = api_get(cli, "/images/json", q.data, &list, err);
	if (r < 0)
		return r;
	json_for_each_item (i, list)
		image_rows(cli, &l, i, !args_bool(args, "no-trunc"), digests);
	r = listing_print(cli, &l, format, args_bool(args, "quiet"), err);
	listing_release(&l);
	return r;
}

static bool is_image_id(const char *s)
{
	if (cstr_starts(s, "sha256:"))
		s += strlen("sha256:");
	return strlen(s) == 64 && strspn(s, "0123456789abcdef") == 64;
}

int cmd_tag(struct cli *cli, const struct args *args, struct error *err)
{
	const char *target = args_operand(args, 1);
	struct error why = { 0 };
	struct reference ref;
	auto_(buf) q = api_query();
	char name[REFERENCE_TEXT_MAX];

	if (reference_parse(args_operand(args, 0), &ref, &why) < 0 &&
	    !is_image_id(args_operand(args, 0)))
		return error_set(
		    err, ERR_INVALID,
		    "Error parsing reference: \"%s\" is not a valid repository/tag: %s",
		    args_operand(args, 0), why.msg);
	memset(&why, 0, sizeof(why));
	if (reference_parse(target, &ref, &why) < 0)
		return error_set(
		    err, ERR_INVALID,
		    "Error parsing reference: \"%s\" is not a valid repository/tag: %s", target,
		    why.msg);
	if (reference_has_digest(&ref))
		return error_set(err, ERR_INVALID,
				 "refusing to create a tag with a digest reference");
	reference_familiar_name(&ref, name);
	client_query_add(&q, "repo", name);
	client_query_add(&q, "tag", reference_has_tag(&ref) ? ref.tag : "latest");
	return api_json(cli, "POST",
			client_path(&cli->arena, "/images/", args_operand(args, 0), "/tag"), q.data,
			NULL, NULL, err);
}

int cmd_rmi(struct cli *cli, const struct args *args, struct error *err)
{
	auto_(buf) q = api_query();

	if (api_platforms(cli, args, "platforms", &q, err) < 0)
		return -err->kind;
	if (!api_client(cli, err))
		return -err->kind;
	client_query_add_bool(&q, "force", args_bool(args, "force"));
	client_query_add_bool(&q, "noprune", args_bool(args, "no-prune"));
	for (size_t i = 0; i < args->operands.len; i++) {
		const struct json *list = NULL;
		struct error one = { 0 };
		int r = api_json(cli, "DELETE",
				 client_path(&cli->arena, "/images/", args->operands.at[i], ""),
				 q.data, NULL, &list, &one);

		if (r == -ERR_NOT_FOUND && args_bool(args, "force")) {
			fprintf(stderr, "%s\n", one.msg);
		} else if (r < 0) {
			cli_report(cli, &one);
		}
		json_for_each_item (d, list) {
			if (json_str(d, "Deleted"))
				printf("Deleted: %s\n", json_str(d, "Deleted"));
			else
				printf("Untagged: %s\n",
				       json_str(d, "Untagged") ? json_str(d, "Untagged") : "");
		}
	}
	return 0;
}

int cmd_image_prune(struct cli *cli, const struct args *args, struct error *err)
{
	auto_(buf) q = api_query();
	int64_t total = 0;
	bool all = args_bool(args, "all");
	char *filters;
	int r;

	if (!args_bool(args, "force") &&
	    !cli_confirm(
		cli, all ? "WARNING! This will remove all images without at least one container "
			   "associated to them.\nAre you sure you want to continue?"
			 : "WARNING! This will remove all dangling images.\nAre you sure you want "
			   "to continue?"))
		return 0;
	filters = api_filters_with(cli, args, "dangling", all ? "false" : "true");
	client_query_add(&q, "filters", filters);
	r = prune_run(cli, "/images/prune", q.data, "Deleted Images:", "ImagesDeleted", &total,
		      err);
	if (r == 0)
		prune_print_total(cli, total);
	return r;
}

static const struct listing_title history_titles[] = {
	{ "ID", "IMAGE" },
	{ "CreatedSince", "CREATED" },
	{ "CreatedAt", "CREATED AT" },
	{ "CreatedBy", "CREATED BY" },
	{ "Size", "SIZE" },
	{ "Comment", "COMMENT" },
};
static const struct listing_kind history_kind = {
	"*image.historyContext",
	"{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}",
	"{{.ID}}",
	NULL,
	NULL,
	history_titles,
	ARRAY_LEN(history_titles),
};
static const struct listing_kind history_exact_kind = {
	"*image.historyContext",
	"{{.ID}}\t{{.CreatedAt}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}",
	"{{.ID}}",
	NULL,
	NULL,
	history_titles,
	ARRAY_LEN(history_titles),
};

int cmd_history(struct cli *cli, const struct args *args, struct error *err)
{
	enum { CREATED_BY_WIDTH = 45 };
	bool human = args_bool(args, "human"), trunc = !args_bool(args, "no-trunc");
	struct listing l = { .kind = human ? &history_kind : &history_exact_kind };
	struct arena *a = &cli->arena;
	const struct json *list = NULL;
	auto_(buf) q = api_query();
	int r;

	r = api_platforms(cli, args, "platform", &q, err);
	if (r < 0)
		return r;
	r = api_get(cli, client_path(a, "/images/", args_operand(args, 0), "/history"), q.data,
		    &list, err);
	if (r < 0)
		return r;
	json_for_each_item (h, list) {
		struct json *row = listing_add(cli, &l, NULL);
		const char *id = json_str(h, "Id"), *by = json_str(h, "CreatedBy");
		int64_t size = json_int(h, "Size", 0), created = json_int(h, "Created", 0);
		char *flat = arena_strdup(a, by ? by : ""), stamp[TIME_TEXT_MAX];

		for (char *p = flat; *p; p++)
			if (*p == '\t')
				*p = ' ';
		time_format_rfc3339nano(created * NS_PER_SEC, stamp);
		row_set(cli, row, "ID", id && trunc && id[0] != '<' ? short_id(a, id) : id);
		row_set(cli, row, "CreatedSince", created > 0 ? human_since(a, created) : "N/A");
		row_set(cli, row, "CreatedAt", stamp);
		row_set(cli, row, "CreatedBy", trunc ? ellipsis(a, flat, CREATED_BY_WIDTH) : flat);
		if (human)
			row_set(cli, row, "Size", human_size(a, (double)size, 3));
		else
			row_setf(cli, row, "Size", "%lld", (long long)size);
		row_set(cli, row, "Comment", json_str(h, "Comment"));
	}
	r = listing_print(cli, &l, args_str(args, "format"), args_bool(args, "quiet"), err);
	listing_release(&l);
	return r;
}
