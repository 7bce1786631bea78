/* SPDX-License-Identifier: Apache-2.0 */
/* system df, system prune. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/prune.h"
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
	"type: {{.Type}}\ntotal: {{.TotalCount}}\nactive: {{.Active}}\nsize: {{.Size}}\n"
	"reclaimable: {{.Reclaimable}}\n",
	"type: {{.Type}}",
	df_titles,
	ARRAY_LEN(df_titles),
};

static const struct listing_title cache_titles[] = {
	{ "ID", "CACHE ID" },          { "CacheType", "CACHE TYPE" },    { "Size", "SIZE" },
	{ "CreatedSince", "CREATED" }, { "LastUsedSince", "LAST USED" }, { "UsageCount", "USAGE" },
	{ "Shared", "SHARED" },        { "Description", "DESCRIPTION" }, { "Parent", "PARENT" },
	{ "CreatedAt", "CREATED AT" }, { "LastUsedAt", "LAST USED AT" }, { "InUse", "IN USE" },
};
static const struct listing_kind cache_kind = {
	"*formatter.buildCacheContext",
	"{{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}\t{{.UsageCount}}"
	"\t"
	"{{.Shared}}",
	"{{.ID}}",
	"build_cache_id: {{.ID}}\nparent_id: {{.Parent}}\nbuild_cache_type: {{.CacheType}}\n"
	"description: {{.Description}}\ncreated_at: {{.CreatedAt}}\n"
	"created_since: {{.CreatedSince}}\nlast_used_at: {{.LastUsedAt}}\n"
	"last_used_since: {{.LastUsedSince}}\nusage_count: {{.UsageCount}}\n"
	"in_use: {{.InUse}}\nshared: {{.Shared}}\n",
	"build_cache_id: {{.ID}}",
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

/* Nanoseconds since 1970 of an RFC 3339 text; 0 when it is none. */
static int64_t moment_of(const struct json *o, const char *key)
{
	const char *text = json_str(o, key);
	int64_t ns = 0;

	return text && time_parse_rfc3339(text, &ns, NULL) == 0 ? ns : 0;
}

static const char *moment_text(struct arena *a, int64_t ns)
{
	return ns ? go_time(a, ns / NS_PER_SEC, ns % NS_PER_SEC) : "";
}

static void cache_row(struct cli *cli, struct listing *l, const struct json *c, bool trunc)
{
	struct json *row = listing_add(cli, l, NULL);
	struct arena *a = &cli->arena;
	const char *id = json_str(c, "ID");
	bool shared = json_bool(c, "Shared", false), in_use = json_bool(c, "InUse", false);
	int64_t used = moment_of(c, "LastUsedAt"), created = moment_of(c, "CreatedAt");

	id = id && !trunc ? id : short_id(a, id ? id : "");
	row_set(cli, row, "ID", in_use && trunc ? arena_format(a, "%s*", id) : id);
	row_set(cli, row, "CacheType", json_str(c, "Type"));
	row_set(cli, row, "Size", human_size(a, (double)json_int(c, "Size", 0), 3));
	row_set(cli, row, "CreatedAt", moment_text(a, created));
	row_set(cli, row, "CreatedSince", human_since(a, created / NS_PER_SEC));
	row_set(cli, row, "LastUsedAt", moment_text(a, used));
	row_set(cli, row, "LastUsedSince", used ? human_since(a, used / NS_PER_SEC) : "");
	row_set(cli, row, "InUse", in_use ? "true" : "false");
	row_setf(cli, row, "UsageCount", "%lld", (long long)json_int(c, "UsageCount", 0));
	row_set(cli, row, "Shared", shared ? "true" : "false");
	row_set(cli, row, "Description", json_str(c, "Description"));
	row_set(cli, row, "Parent", json_str(c, "Parent"));
}

/* The four parts of `system df -v`; sections[i] is one listing. */
enum { DF_IMAGES, DF_CONTAINERS, DF_VOLUMES, DF_CACHE, DF_SECTIONS };

static void df_collect(struct cli *cli, const struct json *df, bool trunc,
		       struct listing sections[DF_SECTIONS])
{
	json_for_each_item (i, json_get(df, "Images"))
		image_row(cli, &sections[DF_IMAGES], i, trunc);
	json_for_each_item (c, json_get(df, "Containers")) {
		struct listing *l = &sections[DF_CONTAINERS];

		container_row(cli, l, c, trunc);
		row_set(cli, l->rows.at[l->rows.len - 1].fields, "Size",
			human_size(&cli->arena, (double)json_int(c, "SizeRw", 0), 3));
	}
	json_for_each_item (v, json_get(df, "Volumes"))
		volume_row(cli, &sections[DF_VOLUMES], v);
	json_for_each_item (c, json_get(df, "BuildCache"))
		cache_row(cli, &sections[DF_CACHE], c, trunc);
}

static int df_tables(struct cli *cli, const struct json *df, struct listing sections[DF_SECTIONS],
		     struct error *err)
{
	struct usage u = cache_usage(df);
	const char *const titles[DF_SECTIONS] = {
		"Images space usage:",
		"\nContainers space usage:",
		"\nLocal Volumes space usage:",
		arena_format(&cli->arena, "\nBuild cache usage: %s",
			     human_size(&cli->arena, (double)u.size, 4)),
	};
	int r = 0;

	for (size_t i = 0; i < DF_SECTIONS && r == 0; i++) {
		printf("%s\n\n", titles[i]);
		r = listing_print(cli, &sections[i], NULL, false, err);
	}
	return r;
}

static int df_raw(struct cli *cli, struct listing sections[DF_SECTIONS], struct error *err)
{
	static const char *const types[DF_SECTIONS] = { "Image", "Container", "Volume",
							"Build Cache" };
	int r = 0;

	for (size_t i = 0; i < DF_SECTIONS && r == 0; i++) {
		const char *format =
		    arena_format(&cli->arena, "type: %s\n%s", types[i], sections[i].kind->raw);

		r = listing_print(cli, &sections[i], format, false, err);
	}
	return r;
}

/* One document: {{range .Images}}, {{json .}} and so on. */
static int df_document(struct cli *cli, const char *format, struct listing sections[DF_SECTIONS],
		       struct error *err)
{
	static const char *const names[DF_SECTIONS] = { "Images", "Containers", "Volumes",
							"BuildCache" };
	struct json *doc = json_new_object(&cli->arena);
	auto_(buf) out = BUF_INIT(256 << 20);
	int r = document_check(cli, format, err);

	if (r < 0)
		return cli->status = 0, r;
	for (size_t i = 0; i < DF_SECTIONS; i++) {
		struct json *rows = json_new_array(&cli->arena);

		listing_sort(&sections[i]);
		vec_for_each (row, &sections[i].rows)
			json_push(&cli->arena, rows, row->fields);
		json_set(&cli->arena, doc, names[i], rows);
	}
	r = document_format(cli, format, "*formatter.diskUsageContext", doc, &out, err);
	if (r == 0)
		fputs(out.data ? out.data : "", stdout); /* Peer: no end of line */
	return r;
}

static int df_verbose(struct cli *cli, const char *format, const struct json *df, struct error *err)
{
	bool table = !*format || strcmp(format, "table") == 0, raw = strcmp(format, "raw") == 0;
	struct listing sections[DF_SECTIONS] = { { .kind = &image_df_kind },
						 { .kind = &container_df_kind },
						 { .kind = &volume_df_kind },
						 { .kind = &cache_kind } };
	int r;

	df_collect(cli, df, table, sections);
	if (table)
		r = df_tables(cli, df, sections, err);
	else if (raw)
		r = df_raw(cli, sections, err);
	else
		r = df_document(cli, strcmp(format, "json") == 0 ? "{{json .}}" : format, sections,
				err);
	for (size_t i = 0; i < DF_SECTIONS; i++)
		listing_release(&sections[i]);
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
	if (args_bool(args, "verbose"))
		return df_verbose(cli, args_str(args, "format"), df, err);
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

	client_query_add_bool(&q, "all", all);
	client_query_add(&q, "filters", filters);
	return prune_run(cli, path, q.data, title, key, total, err);
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
	images = api_filters_with(cli, args, "dangling", all ? "false" : "true");
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
		prune_print_total(cli, total);
	return r;
}
