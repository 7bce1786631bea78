/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/listing.h"
#include "cli/units.h"

enum { CREATED_BY_WIDTH = 60 };

static const struct listing_title titles[] = {
	{ "State", "STATE" },     { "Number", "LAYER" },         { "Layer", "DIFF ID" },
	{ "Mode", "MODE" },       { "Owner", "OWNER" },          { "Size", "SIZE" },
	{ "Created", "CREATED" }, { "CreatedBy", "CREATED BY" }, { "Path", "PATH" },
	{ "Type", "TYPE" },
};
static const struct listing_kind kind = {
	"*formatter.blameContext",
	"{{.State}}\t{{.Number}}\t{{.Mode}}\t{{.Owner}}\t{{.Size}}\t{{.CreatedBy}}",
	"{{.Layer}}",
	NULL,
	NULL,
	titles,
	ARRAY_LEN(titles),
};

static void add_row(struct cli *cli, struct listing *l, const struct json *saying, bool trunc)
{
	struct json *row = listing_add(cli, l, NULL);
	struct arena *a = &cli->arena;
	bool there = json_get(saying, "Mode") != NULL;
	const char *by = json_str(saying, "CreatedBy"), *layer = json_str(saying, "Layer");
	char *flat = arena_strdup(a, by ? by : "");

	for (char *p = flat; *p != '\0'; p++)
		*p = *p == '\t' || *p == '\n' ? ' ' : *p;
	row_set(cli, row, "State", json_str(saying, "State"));
	row_setf(cli, row, "Number", "%lld", (long long)json_int(saying, "Number", 0));
	row_set(cli, row, "Layer", layer && trunc ? short_id(a, layer) : layer);
	row_set(cli, row, "Created", json_str(saying, "Created"));
	row_set(cli, row, "Path", json_str(saying, "Path"));
	row_set(cli, row, "Type", there ? json_str(saying, "Type") : "");
	row_set(cli, row, "Mode",
		there ? arena_format(a, "%04llo", (unsigned long long)json_int(saying, "Mode", 0))
		      : "");
	row_set(cli, row, "Owner",
		there ? arena_format(a, "%lld:%lld", (long long)json_int(saying, "Uid", 0),
				     (long long)json_int(saying, "Gid", 0))
		      : "");
	row_set(cli, row, "Size",
		there ? human_size(a, (double)json_int(saying, "Size", 0), 3) : "");
	row_set(cli, row, "CreatedBy", trunc ? ellipsis(a, flat, CREATED_BY_WIDTH) : flat);
}

int cmd_blame(struct cli *cli, const struct args *args, struct error *err)
{
	struct listing l = { .kind = &kind };
	const struct json *list = NULL;
	auto_(buf) q = api_query();
	int r;

	client_query_add(&q, "path", args_operand(args, 1));
	r = api_get(cli, client_path(&cli->arena, "/images/", args_operand(args, 0), "/blame"),
		    q.data, &list, err);
	if (r < 0)
		return r;
	json_for_each_item (saying, list)
		add_row(cli, &l, saying, !args_bool(args, "no-trunc"));
	r = listing_print(cli, &l, args_str(args, "format"), args_bool(args, "quiet"), err);
	listing_release(&l);
	return r;
}
