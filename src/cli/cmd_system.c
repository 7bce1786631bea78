/* SPDX-License-Identifier: Apache-2.0 */
/* system df, system prune. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/rows.h"
#include "cli/units.h"

static const struct listing_title df_titles[] = {
	{ "Type", "TYPE" }, { "TotalCount", "TOTAL" },        { "Active", "ACTIVE" },
	{ "Size", "SIZE" }, { "Reclaimable", "RECLAIMABLE" },
};
static const struct listing_kind df_kind = {
	"*formatter.diskUsageImagesContext",
	"{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}",
	"{{.Type}}",
	NULL,
	NULL,
	df_titles,
	ARRAY_LEN(df_titles),
};

static const struct listing_title cache_titles[] = {
	{ "ID", "CACHE ID" },          { "CacheType", "CACHE TYPE" },    { "Size", "SIZE" },
	{ "CreatedSince", "CREATED" }, { "LastUsedSince", "LAST USED" }, { "UsageCount", "USAGE" },
	{ "Shared", "SHARED" },        { "Description", "DESCRIPTION" }, { "Parent", "PARENT" },
};
static const struct listing_kind cache_kind = {
	"*formatter.buildCacheContext",
	"{{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}\t{{.UsageCount}}"
	"\t"
	"{{.Shared}}",
	"{{.ID}}",
	NULL,
	NULL,
	cache_titles,
	ARRAY_LEN(cache_titles),
};

struct usage {
	int64_t total, active, size, reclaimable;
	bool percent;
};

static void df_row(struct cli *cli, struct listing *l, const char *type, const struct usage *u)
{
	struct json *row = listing_add(cli, l, NULL);
	struct arena *a = &cli->arena;
	const char *reclaim = human_size(a, (double)u->reclaimable, 4);

	if (u->percent && u->size > 0)
		reclaim = arena_format(a, "%s (%lld%%)", reclaim,
				       (long long)(u->reclaimable * 100 / u->size));
	row_set(cli, row, "Type", type);
	row_setf(cli, row, "TotalCount", "%lld", (long long)u->total);
	row_setf(cli, row, "Active", "%lld", (long long)u->active);
	row_set(cli, row, "Size", human_size(a, (double)u->size, 4));
	row_set(cli, row, "Reclaimable", reclaim);
}

static struct usage images_usage(const struct json *df)
{
	struct usage u = { .size = json_int(df, "LayersSize", 0), .percent = true };
	int64_t used = 0;

	json_for_each_item (i, json_get(df, "Images")) {
		int64_t size = json_int(i, "Size", 0), shared = json_int(i, "SharedSize", 0);

		u.total++;
		if (json_int(i, "Containers", 0) > 0) {
			u.active++;
			if (json_int(i, "Size", 0) != -1 && shared != -1)
				used += size - shared;
		}
	}
	u.reclaimable = u.size - used;
	return u;
}

static struct usage containers_usage(const struct json *df)
{
	struct usage u = { .percent = true };

	json_for_each_item (c, json_get(df, "Containers")) {
		const char *state = json_str(c, "State");
		bool active =
		    state && (strcmp(state, "running") == 0 || strcmp(state, "paused") == 0 ||
			      strcmp(state, "restarting") == 0);

		u.total++;
		u.active += active;
		u.size += json_int(c, "SizeRw", 0);
		if (!active)
			u.reclaimable += json_int(c, "SizeRw", 0);
	}
	return u;
}

static struct usage volumes_usage(const struct json *df)
{
	struct usage u = { .percent = true };

	json_for_each_item (v, json_get(df, "Volumes")) {
		const struct json *usage = json_get(v, "UsageData");
		int64_t size = json_int(usage, "Size", -1), links = json_int(usage, "RefCount", 0);

		u.total++;
		u.active += links > 0;
		if (size < 0)
			continue;
		u.size += size;
		if (links == 0)
			u.reclaimable += size;
	}
	return u;
}

static struct usage cache_usage(const struct json *df)
{
	struct usage u = { .size = 0 };
	int64_t used = 0;

	json_for_each_item (c, json_get(df, "BuildCache")) {
		int64_t size = json_int(c, "Size", 0);
		bool shared = json_bool(c, "Shared", false);

		u.total++;
		u.active += json_bool(c, "InUse", false);
		if (!shared)
			u.size += size;
		if (json_bool(c, "InUse", false) && !shared)
			used += size;
	}
	u.reclaimable = u.size - used;
	return u;
}

/* Seconds since 1970 of an RFC 3339 text; 0 when it is none. */
static int64_t seconds_of(const char *text)
{
	int64_t ns = 0;

	return text && time_parse_rfc3339(text, &ns, NULL) == 0 ? ns / NS_PER_SEC : 0;
}

static void cache_row(struct cli *cli, struct listing *l, const struct json *c)
{
	struct json *row = listing_add(cli, l, NULL);
	struct arena *a = &cli->arena;
	const char *id = json_str(c, "ID");
	bool shared = json_bool(c, "Shared", false), in_use = json_bool(c, "InUse", false);
	int64_t used = seconds_of(json_str(c, "LastUsedAt"));

	id = short_id(a, id ? id : "");
	row_set(cli, row, "ID", in_use ? arena_format(a, "%s*", id) : id);
	row_set(cli, row, "CacheType", json_str(c, "Type"));
	row_set(cli, row, "Size", human_size(a, (double)json_int(c, "Size", 0), 3));
	row_set(cli, row, "CreatedSince", human_since(a, seconds_of(json_str(c, "CreatedAt"))));
	row_set(cli, row, "LastUsedSince", used ? human_since(a, used) : "");
	row_setf(cli, row, "UsageCount", "%lld", (long long)json_int(c, "UsageCount", 0));
	row_set(cli, row, "Shared", shared ? "true" : "false");
	row_set(cli, row, "Description", json_str(c, "Description"));
	row_set(cli, row, "Parent", json_str(c, "Parent"));
}

static int section(struct cli *cli, const char *title, struct listing *l, struct error *err)
{
	int r;

	printf("%s\n\n", title);
	r = listing_print(cli, l, NULL, false, err);
	listing_release(l);
	return r;
}

static int df_verbose(struct cli *cli, const struct json *df, struct error *err)
{
	struct listing images = { .kind = &image_df_kind },
		       containers = { .kind = &container_df_kind };
	struct listing volumes = { .kind = &volume_df_kind }, cache = { .kind = &cache_kind };
	struct usage u = cache_usage(df);
	int r;

	json_for_each_item (i, json_get(df, "Images"))
		image_row(cli, &images, i, true);
	json_for_each_item (c, json_get(df, "Containers")) {
		struct json *row;

		container_row(cli, &containers, c, true);
		row = containers.rows.at[containers.rows.len - 1].fields;
		row_set(cli, row, "Size",
			human_size(&cli->arena, (double)json_int(c, "SizeRw", 0), 3));
	}
	json_for_each_item (v, json_get(df, "Volumes"))
		volume_row(cli, &volumes, v);
	json_for_each_item (c, json_get(df, "BuildCache"))
		cache_row(cli, &cache, c);
	r = section(cli, "Images space usage:", &images, err);
	if (r == 0)
		r = section(cli, "\nContainers space usage:", &containers, err);
	if (r == 0)
		r = section(cli, "\nLocal Volumes space usage:", &volumes, err);
	if (r == 0)
		r = section(cli,
			    arena_format(&cli->arena, "\nBuild cache usage: %s",
					 human_size(&cli->arena, (double)u.size, 4)),
			    &cache, err);
	return r;
}

int cmd_system_df(struct cli *cli, const struct args *args, struct error *err)
{
	struct listing l = { .kind = &df_kind };
	const struct json *df = NULL;
	struct usage u;
	int r = api_get(cli, "/system/df", NULL, &df, err);

	if (r < 0)
		return r;
	if (args_bool(args, "verbose")) {
		if (*args_str(args, "format"))
			return error_set(err, ERR_UNIMPLEMENTED,
					 "system df --verbose with --format is not supported yet");
		return df_verbose(cli, df, err);
	}
	u = images_usage(df);
	df_row(cli, &l, "Images", &u);
	u = containers_usage(df);
	df_row(cli, &l, "Containers", &u);
	u = volumes_usage(df);
	df_row(cli, &l, "Local Volumes", &u);
	u = cache_usage(df);
	df_row(cli, &l, "Build Cache", &u);
	r = listing_print(cli, &l, args_str(args, "format"), false, err);
	listing_release(&l);
	return r;
}

/* One kind of things, without asking. Adds to *total. */
static int prune_one(struct cli *cli, const char *path, const char *filters, bool all,
		     const char *title, const char *key, int64_t *total, struct error *err)
{
	auto_(buf) q = api_query();
	const struct json *answer = NULL, *deleted;
	int r;

	client_query_add_bool(&q, "all", all);
	client_query_add(&q, "filters", filters);
	r = api_json(cli, "POST", path, q.data, NULL, &answer, err);
	if (r < 0)
		return r;
	deleted = json_get(answer, key);
	if (deleted && deleted->type == JSON_ARRAY && deleted->n_items > 0) {
		printf("%s\n", title);
		json_for_each_item (d, deleted) {
			if (d->type == JSON_STRING)
				printf("%s\n", d->s);
			else if (json_str(d, "Untagged"))
				printf("untagged: %s\n", json_str(d, "Untagged"));
			else
				printf("deleted: %s\n",
				       json_str(d, "Deleted") ? json_str(d, "Deleted") : "");
		}
		putchar('\n');
	}
	*total += json_int(answer, "SpaceReclaimed", 0);
	return 0;
}

static bool prune_confirmed(struct cli *cli, const struct args *args)
{
	bool all = args_bool(args, "all"), volumes = args_bool(args, "volumes");
	auto_(buf) q = BUF_INIT(1 << 20);
	int r = buf_addf(
	    &q, NULL,
	    "WARNING! This will remove:\n  - all stopped containers\n  - all networks not used by "
	    "at least one container\n%s  - all %s\n  - %s build cache\n",
	    volumes ? "  - all anonymous volumes not used by at least one container\n" : "",
	    all ? "images without at least one container associated to them" : "dangling images",
	    all ? "all" : "unused");

	if (args_count(args, "filter") && r == 0) {
		r = buf_addf(&q, NULL, "\n  Items to be pruned will be filtered with:\n");
		args_for_each(f, args, "filter") if (r == 0) r = buf_addf(&q, NULL, "  - %s\n", f);
	}
	if (r == 0)
		r = buf_addf(&q, NULL, "\nAre you sure you want to continue?");
	return r == 0 && cli_confirm(cli, q.data);
}

int cmd_system_prune(struct cli *cli, const struct args *args, struct error *err)
{
	bool all = args_bool(args, "all");
	const char *filters = api_filters(cli, args), *images;
	int64_t total = 0;
	int r;

	if (args_bool(args, "volumes"))
		args_for_each(f, args, "filter") if (cstr_starts(f, "until=")) return error_set(
		    err, ERR_INVALID,
		    "ERROR: The \"until\" filter is not supported with \"--volumes\"");
	if (!args_bool(args, "force") && !prune_confirmed(cli, args))
		return 0;
	images =
	    arena_format(&cli->arena, "{\"dangling\":{\"%s\":true}%s%s", all ? "false" : "true",
			 filters ? "," : "", filters ? filters + 1 : "}");
	r = prune_one(cli, "/containers/prune", filters, false,
		      "Deleted Containers:", "ContainersDeleted", &total, err);
	if (r == 0)
		r = prune_one(cli, "/networks/prune", filters, false,
			      "Deleted Networks:", "NetworksDeleted", &total, err);
	if (r == 0 && args_bool(args, "volumes"))
		r = prune_one(cli, "/volumes/prune", filters, false,
			      "Deleted Volumes:", "VolumesDeleted", &total, err);
	if (r == 0)
		r = prune_one(cli, "/images/prune", images, false,
			      "Deleted Images:", "ImagesDeleted", &total, err);
	if (r == 0)
		r = prune_one(cli, "/build/prune", filters, all,
			      "Deleted build cache objects:", "CachesDeleted", &total, err);
	if (r == 0)
		printf("Total reclaimed space: %s\n", human_size(&cli->arena, (double)total, 4));
	return r;
}
