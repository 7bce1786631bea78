/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cli/api.h"
#include "cli/body.h"
#include "cli/commands.h"
#include "cli/prune.h"
#include "cli/rows.h"
#include "cli/units.h"

static const struct listing_title titles[] = {
	{ "Name", "VOLUME NAME" },
	{ "Driver", "DRIVER" },
	{ "Scope", "SCOPE" },
	{ "Mountpoint", "MOUNTPOINT" },
	{ "Labels", "LABELS" },
	{ "Links", "LINKS" },
	{ "Size", "SIZE" },
	{ "Group", "GROUP" },
	{ "Availability", "AVAILABILITY" },
	{ "Status", "STATUS" },
};
static const struct listing_kind volume_kind = {
	"*formatter.volumeContext",
	"{{.Driver}}\t{{.Name}}",
	"{{.Name}}",
	"name: {{.Name}}\ndriver: {{.Driver}}\n",
	"name: {{.Name}}",
	titles,
	ARRAY_LEN(titles),
};
static const struct listing_kind cluster_kind = {
	"*formatter.volumeContext",
	"{{.Name}}\t{{.Group}}\t{{.Driver}}\t{{.Availability}}\t{{.Status}}",
	"{{.Name}}",
	"name: {{.Name}}\ndriver: {{.Driver}}\n",
	"name: {{.Name}}",
	titles,
	ARRAY_LEN(titles),
};
const struct listing_kind volume_df_kind = {
	"*formatter.volumeContext",
	"{{.Name}}\t{{.Links}}\t{{.Size}}",
	"{{.Name}}",
	"name: {{.Name}}\ndriver: {{.Driver}}\n",
	"name: {{.Name}}",
	titles,
	ARRAY_LEN(titles),
};

static int name_compare(const void *a, const void *b)
{
	const char *x = json_str(*(const struct json *const *)a, "Name");
	const char *y = json_str(*(const struct json *const *)b, "Name");

	return strverscmp(x ? x : "", y ? y : "");
}

void volume_row(struct cli *cli, struct listing *l, const struct json *v)
{
	struct json *row = listing_add(cli, l, json_get(v, "Labels"));
	const struct json *usage = json_get(v, "UsageData");
	int64_t size = json_int(usage, "Size", -1);

	row_set(cli, row, "Name", json_str(v, "Name"));
	row_set(cli, row, "Driver", json_str(v, "Driver"));
	row_set(cli, row, "Scope", json_str(v, "Scope"));
	row_set(cli, row, "Mountpoint", json_str(v, "Mountpoint"));
	row_set(cli, row, "Labels", labels_text(&cli->arena, json_get(v, "Labels")));
	if (usage)
		row_setf(cli, row, "Links", "%lld", (long long)json_int(usage, "RefCount", 0));
	else
		row_set(cli, row, "Links", "N/A");
	row_set(cli, row, "Size", size < 0 ? "N/A" : human_size(&cli->arena, (double)size, 4));
	row_set(cli, row, "Group", "N/A");
	row_set(cli, row, "Availability", "N/A");
	row_set(cli, row, "Status", "N/A");
}

int cmd_volume_ls(struct cli *cli, const struct args *args, struct error *err)
{
	const char *format = format_choose(cli, args, "volumesFormat");
	struct listing l = { .kind = args_bool(args, "cluster") ? &cluster_kind : &volume_kind };
	auto_(buf) q = api_query();
	const struct json *answer = NULL, *list;
	int r;

	client_query_add(&q, "filters", api_filters(cli, args));
	r = api_get(cli, "/volumes", q.data, &answer, err);
	if (r < 0)
		return r;
	/* Volumes of a cluster: proa has none. */
	list = args_bool(args, "cluster") ? NULL : json_get(answer, "Volumes");
	if (list && list->type == JSON_ARRAY && list->n_items > 1)
		qsort(list->items, list->n_items, sizeof(*list->items), name_compare);
	json_for_each_item (v, list)
		volume_row(cli, &l, v);
	r = listing_print(cli, &l, format, args_bool(args, "quiet"), err);
	listing_release(&l);
	return r;
}

int cmd_volume_create(struct cli *cli, const struct args *args, struct error *err)
{
	static const char *const cluster[] = {
		"availability", "group",   "limit-bytes",        "required-bytes",    "scope",
		"secret",       "sharing", "topology-preferred", "topology-required", "type"
	};
	struct arena *a = &cli->arena;
	struct json *body = json_new_object(a), *labels = NULL;
	const struct json *answer = NULL;
	const char *name = args_operand(args, 0);
	int r;

	for (size_t i = 0; i < ARRAY_LEN(cluster); i++)
		if (args_set(args, cluster[i]))
			return error_set(err, ERR_UNIMPLEMENTED,
					 "volume create --%s: cluster volumes are not supported",
					 cluster[i]);
	if (name && *args_str(args, "name"))
		return error_set(err, ERR_INVALID,
				 "conflicting options: cannot specify a volume-name "
				 "through both --name and as a positional arg");
	if (!name)
		name = args_str(args, "name");
	r = body_labels(a, args, "label", NULL, &labels, err);
	if (r < 0)
		return r;
	json_set(a, body, "Name", json_new_string(a, name));
	json_set(a, body, "Driver", json_new_string(a, args_str(args, "driver")));
	json_set(a, body, "DriverOpts", body_map(a, args, "opt"));
	json_set(a, body, "Labels", labels);
	r = api_json(cli, "POST", "/volumes/create", NULL, body_text(a, body), &answer, err);
	if (r == 0)
		printf("%s\n", json_str(answer, "Name") ? json_str(answer, "Name") : "");
	return r;
}

int cmd_volume_rm(struct cli *cli, const struct args *args, struct error *err)
{
	auto_(buf) q = api_query();

	if (!api_client(cli, err))
		return -err->kind;
	client_query_add_bool(&q, "force", args_bool(args, "force"));
	for (size_t i = 0; i < args->operands.len; i++) {
		struct error one = { 0 };
		int r = api_json(cli, "DELETE",
				 client_path(&cli->arena, "/volumes/", args->operands.at[i], ""),
				 q.data, NULL, NULL, &one);

		if (r < 0)
			cli_report(cli, &one);
		else
			printf("%s\n", args->operands.at[i]);
	}
	return 0;
}

int cmd_volume_prune(struct cli *cli, const struct args *args, struct error *err)
{
	auto_(buf) q = api_query();
	int64_t total = 0;
	bool all = args_bool(args, "all");
	int r;

	args_for_each(f, args, "filter") if (all && cstr_starts(f, "all=")) return error_set(
	    err, ERR_INVALID, "conflicting options: cannot specify both --all and --filter all=1");
	if (!api_client(cli, err) || client_negotiate(cli->client, NULL, err) < 0)
		return -err->kind;
	if (all && !api_at_least(cli, 42))
		return error_set(
		    err, ERR_INVALID,
		    "\"--all\" requires API version 1.42, but the Docker daemon API version is %s",
		    client_api_version(cli->client));
	if (!args_bool(args, "force") &&
	    !cli_confirm(
		cli, all || !api_at_least(cli, 42)
			 ? "WARNING! This will remove all local volumes not used by at least one "
			   "container.\nAre you sure you want to continue?"
			 : "WARNING! This will remove anonymous local volumes not used by at least "
			   "one container.\nAre you sure you want to continue?"))
		return 0;
	client_query_add(&q, "filters",
			 all ? api_filters_with(cli, args, "all", "true") : api_filters(cli, args));
	r = prune_run(cli, "/volumes/prune", q.data, "Deleted Volumes:", "VolumesDeleted", &total,
		      err);
	if (r == 0)
		prune_print_total(cli, total);
	return r;
}
