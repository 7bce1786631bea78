/* SPDX-License-Identifier: Apache-2.0 */
/* cli/cmd_builder.c: `builder du` and `builder prune`, as buildx and docker show them. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/macros.h"
#include "base/str.h"
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/listing.h"
#include "cli/prune.h"
#include "cli/rows.h"
#include "cli/units.h"

static const struct listing_title du_titles[] = {
	{ "ID", "ID" },
	{ "Reclaimable", "RECLAIMABLE" },
	{ "Size", "SIZE" },
	{ "LastAccessed", "LAST ACCESSED" },
};
static const struct listing_kind du_kind = {
	"*formatter.buildCacheContext",
	"{{.ID}}\t{{.Reclaimable}}\t{{.Size}}\t{{.LastAccessed}}",
	"{{.ID}}",
	NULL,
	NULL,
	du_titles,
	ARRAY_LEN(du_titles),
};

int cmd_builder_prune(struct cli *cli, const struct args *args, struct error *err)
{
	static const char *const limits[] = { "keep-storage", "reserved-space", "max-used-space",
					      "min-free-space" };
	auto_(buf) q = api_query();
	int64_t total = 0;
	bool all = args_bool(args, "all");
	int r;

	if (!args_bool(args, "force") &&
	    !cli_confirm(cli, all ? "WARNING! This will remove all build cache. Are you sure you "
				    "want to continue?"
				  : "WARNING! This will remove all dangling build cache. Are you "
				    "sure you want to "
				    "continue?"))
		return 0;
	client_query_add_bool(&q, "all", all);
	for (size_t i = 0; i < ARRAY_LEN(limits); i++)
		if (args_set(args, limits[i]))
			client_query_add_int(&q, limits[i], args_int(args, limits[i]));
	client_query_add(&q, "filters", api_filters(cli, args));
	r = prune_run(cli, "/build/prune", q.data, "Deleted build cache objects:", "CachesDeleted",
		      &total, err);
	if (r == 0)
		prune_print_total(cli, total);
	return r;
}

static bool bool_meets(bool have, const char *value)
{
	bool want = true;

	return parse_bool(str_of(value), &want, NULL) == 0 && have == want;
}

static int meets(const struct json *c, const char *filter, bool *ret, struct error *err)
{
	const char *eq = strchr(filter, '=');
	struct str name = str_of(filter);
	const char *value = "true";

	if (eq != NULL) {
		name = str_sub(name, 0, (size_t)(eq - filter));
		value = eq[1] == '=' ? eq + 2 : eq + 1;
	}
	if (str_eqs(name, "id"))
		*ret = cstr_starts(json_str(c, "ID"), value);
	else if (str_eqs(name, "type"))
		*ret = strcmp(json_str(c, "Type"), value) == 0;
	else if (str_eqs(name, "description"))
		*ret = strstr(json_str(c, "Description"), value) != NULL;
	else if (str_eqs(name, "inuse"))
		*ret = bool_meets(json_bool(c, "InUse", false), value);
	else if (str_eqs(name, "shared"))
		*ret = bool_meets(json_bool(c, "Shared", false), value);
	else if (str_eqs(name, "private"))
		*ret = bool_meets(!json_bool(c, "Shared", false), value);
	else
		return error_set(err, ERR_INVALID, "invalid filter '%.*s'", STR_ARG(name));
	return 0;
}

static int meets_all(const struct args *args, const struct json *c, bool *ret, struct error *err)
{
	int r = 0;

	*ret = true;
	args_for_each(filter, args, "filter")
	{
		bool one = true;

		if (r == 0)
			r = meets(c, filter, &one, err);
		*ret &= one;
	}
	return r;
}

static const char *since(struct cli *cli, const struct json *c, const char *key)
{
	const char *text = json_str(c, key);
	int64_t ns = 0;

	if (text == NULL || time_parse_rfc3339(text, &ns, NULL) < 0 || ns == 0)
		return "";
	return human_since(&cli->arena, ns / NS_PER_SEC);
}

static const char *size_of(struct cli *cli, int64_t bytes)
{
	return human_size(&cli->arena, (double)bytes, 4);
}

static void print_verbose(struct cli *cli, const struct json *c)
{
	const char *created = json_str(c, "CreatedAt");

	printf("ID:\t\t%s\n", json_str(c, "ID"));
	printf("Created at:\t%s\n", created ? created : "");
	printf("Mutable:\t%s\n", strcmp(json_str(c, "Type"), "regular") == 0 ? "false" : "true");
	printf("Reclaimable:\t%s\n", json_bool(c, "InUse", false) ? "false" : "true");
	printf("Shared:\t\t%s\n", json_bool(c, "Shared", false) ? "true" : "false");
	printf("Size:\t\t%s\n", size_of(cli, json_int(c, "Size", 0)));
	printf("Description:\t%s\n", json_str(c, "Description"));
	printf("Usage count:\t%lld\n", (long long)json_int(c, "UsageCount", 0));
	printf("Last used:\t%s\n", since(cli, c, "LastUsedAt"));
	printf("Type:\t\t%s\n\n", json_str(c, "Type"));
}

static void du_row(struct cli *cli, struct listing *l, const struct json *c)
{
	struct json *row = listing_add(cli, l, NULL);

	row_set(cli, row, "ID", json_str(c, "ID"));
	row_set(cli, row, "Reclaimable", json_bool(c, "InUse", false) ? "false" : "true");
	row_set(cli, row, "Size", size_of(cli, json_int(c, "Size", 0)));
	row_set(cli, row, "LastAccessed", since(cli, c, "LastUsedAt"));
}

/* A peer's answer without the texts is nothing to show. */
static bool is_record(const struct json *c)
{
	return json_str(c, "ID") && json_str(c, "Type") && json_str(c, "Description");
}

int cmd_builder_du(struct cli *cli, const struct args *args, struct error *err)
{
	int64_t total = 0, shared = 0, reclaimable = 0;
	struct listing l = { .kind = &du_kind };
	bool verbose = args_bool(args, "verbose"), show;
	const struct json *df = NULL;
	int r = api_get(cli, "/system/df", "type=build-cache", &df, err);

	json_for_each_item (c, json_get(df, "BuildCache")) {
		int64_t size = json_int(c, "Size", 0);

		if (r < 0 || !is_record(c))
			continue;
		r = meets_all(args, c, &show, err);
		if (r < 0 || !show)
			continue;
		total += size;
		shared += json_bool(c, "Shared", false) ? size : 0;
		reclaimable += json_bool(c, "InUse", false) ? 0 : size;
		if (verbose)
			print_verbose(cli, c);
		else
			du_row(cli, &l, c);
	}
	if (r == 0 && !verbose)
		r = listing_print(cli, &l, NULL, false, err);
	listing_release(&l);
	if (r < 0)
		return r;
	if (shared > 0)
		printf("Shared:\t\t%s\nPrivate:\t%s\n", size_of(cli, shared),
		       size_of(cli, total - shared));
	printf("Reclaimable:\t%s\nTotal:\t\t%s\n", size_of(cli, reclaimable), size_of(cli, total));
	return 0;
}
