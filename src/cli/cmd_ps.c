/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/ports.h"
#include "cli/rows.h"
#include "cli/template_internal.h"
#include "cli/units.h"
#include "oci/reference.h"

enum { COMMAND_WIDTH = 20, MOUNT_WIDTH = 15 };

static const struct listing_title titles[] = {
	{ "ID", "CONTAINER ID" },
	{ "Names", "NAMES" },
	{ "Image", "IMAGE" },
	{ "Command", "COMMAND" },
	{ "CreatedAt", "CREATED AT" },
	{ "RunningFor", "CREATED" },
	{ "Ports", "PORTS" },
	{ "State", "STATE" },
	{ "Status", "STATUS" },
	{ "Size", "SIZE" },
	{ "Labels", "LABELS" },
	{ "Mounts", "MOUNTS" },
	{ "LocalVolumes", "LOCAL VOLUMES" },
	{ "Networks", "NETWORKS" },
	{ "Platform", "PLATFORM" },
};

#define TABLE \
	"{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}"
#define RAW \
	"container_id: {{.ID}}\nimage: {{.Image}}\ncommand: {{.Command}}\ncreated_at: " \
	"{{.CreatedAt}}\nstate: {{.State}}\nstatus: {{.Status}}\nnames: {{.Names}}\nlabels:" \
	"{{if .Labels}} {{.Labels}}{{end}}\nports:{{if .Ports}} {{.Ports}}{{end}}\n"

static const struct listing_kind kinds[] = {
	{ "*formatter.ContainerContext", TABLE, "{{.ID}}", RAW, "container_id: {{.ID}}", titles,
	  ARRAY_LEN(titles) },
	{ "*formatter.ContainerContext", TABLE "\t{{.Size}}", "{{.ID}}", RAW "size: {{.Size}}\n",
	  "container_id: {{.ID}}", titles, ARRAY_LEN(titles) },
};

const struct listing_kind container_df_kind = {
	"*formatter.ContainerContext",
	"{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t"
	"{{.Status}}\t{{.Names}}",
	"{{.ID}}",
	RAW "size: {{.Size}}\n",
	"container_id: {{.ID}}",
	titles,
	ARRAY_LEN(titles),
};

static const char *image_text(struct arena *a, const struct json *c, bool trunc)
{
	const char *image = json_str(c, "Image"), *id = json_str(c, "ImageID");
	struct reference ref;
	char text[REFERENCE_TEXT_MAX];

	if (!image || !*image)
		return "<no image>";
	if (!trunc)
		return image;
	if (id && strcmp(short_id(a, id), short_id(a, image)) == 0)
		return short_id(a, id);
	if (!strchr(image, '@') || reference_parse(image, &ref, NULL) < 0)
		return image;
	reference_familiar_name(&ref, text);
	if (reference_has_tag(&ref))
		return arena_format(a, "%s:%s", text, ref.tag);
	return arena_strdup(a, text);
}

/* The name without '/': truncated lists leave out names of links ("/a/b"). */
static const char *names_text(struct arena *a, const struct json *c, bool trunc)
{
	const char *all = "";

	json_for_each_item (n, json_get(c, "Names")) {
		const char *name = n->type == JSON_STRING ? n->s : "";

		if (*name == '/')
			name++;
		if (trunc && strchr(name, '/'))
			continue;
		all = arena_format(a, "%s%s%s", all, *all ? "," : "", name);
		if (trunc)
			break;
	}
	return all;
}

static const char *mounts_text(struct arena *a, const struct json *c, bool trunc, int *ret_local)
{
	const char *all = "";

	*ret_local = 0;
	json_for_each_item (m, json_get(c, "Mounts")) {
		const char *name = json_str(m, "Name"), *driver = json_str(m, "Driver");

		if (driver && strcmp(driver, "local") == 0)
			++*ret_local;
		if (!name || !*name)
			name = json_str(m, "Source");
		if (!name)
			continue;
		all = arena_format(a, "%s%s%s", all, *all ? "," : "",
				   trunc ? ellipsis(a, name, MOUNT_WIDTH) : name);
	}
	return all;
}

static const char *networks_text(struct arena *a, const struct json *c)
{
	const struct json *networks = json_path(c, "NetworkSettings.Networks");
	const struct json_member **sorted;
	const char *all = "";

	if (!networks || networks->type != JSON_OBJECT)
		return "";
	sorted = object_sorted(a, networks);
	for (size_t i = 0; i < networks->n_members; i++)
		all = arena_format(a, "%s%s%s", all, i ? "," : "", sorted[i]->key);
	return all;
}

void container_row(struct cli *cli, struct listing *l, const struct json *c, bool trunc)
{
	struct arena *a = &cli->arena;
	const struct json *labels = json_get(c, "Labels");
	struct json *row = listing_add(cli, l, labels);
	const char *id = json_str(c, "Id"), *command = json_str(c, "Command"), *size;
	int64_t rw = json_int(c, "SizeRw", 0), root = json_int(c, "SizeRootFs", 0);
	int64_t created = json_int(c, "Created", 0);
	int local;

	command = command ? command : "";
	id = id ? id : "";
	size = human_size(a, (double)rw, 3);
	if (root > 0)
		size = arena_format(a, "%s (virtual %s)", size, human_size(a, (double)root, 3));
	row_set(cli, row, "ID", trunc ? short_id(a, id) : id);
	row_set(cli, row, "Names", names_text(a, c, trunc));
	row_set(cli, row, "Image", image_text(a, c, trunc));
	row_set(cli, row, "Command",
		go_quote(a, trunc ? ellipsis(a, command, COMMAND_WIDTH) : command));
	row_set(cli, row, "CreatedAt", go_time(a, created, 0));
	row_set(cli, row, "RunningFor", human_since(a, created));
	row_set(cli, row, "Ports", ports_text(a, json_get(c, "Ports")));
	row_set(cli, row, "State", json_str(c, "State"));
	row_set(cli, row, "Status", json_str(c, "Status"));
	row_set(cli, row, "Size", size);
	row_set(cli, row, "Labels", labels_text(a, labels));
	row_set(cli, row, "Mounts", mounts_text(a, c, trunc, &local));
	row_setf(cli, row, "LocalVolumes", "%d", local);
	row_set(cli, row, "Networks", networks_text(a, c));
	row_set_null(cli, row, "Platform");
}

int cmd_ps(struct cli *cli, const struct args *args, struct error *err)
{
	const char *format = format_choose(cli, args, "psFormat");
	bool size = args_bool(args, "size"), quiet = args_bool(args, "quiet");
	struct listing l = { .kind = &kinds[size] };
	auto_(buf) q = api_query();
	const struct json *list = NULL;
	int64_t last = args_int(args, "last");
	int r;

	if (args_bool(args, "latest") && last == -1)
		last = 1;
	if (quiet && *args_str(args, "format"))
		fputs("WARNING: Ignoring custom format, because both --format and --quiet are "
		      "set.\n",
		      stderr);
	if (format) {
		r = listing_check(cli, &kinds[size], format, err);
		if (r < 0)
			return r;
	}
	if (quiet && format && strcmp(format, "raw") != 0)
		format = NULL;
	/* A template that shows sizes asks for them. */
	if (!size && format && (strstr(format, ".Size") || strstr(format, "json .}")))
		size = true;
	if (!api_client(cli, err))
		return -err->kind;
	client_query_add_bool(&q, "all", args_bool(args, "all"));
	if (last >= 0)
		client_query_add_int(&q, "limit", last);
	client_query_add_bool(&q, "size", size);
	client_query_add(&q, "filters", api_filters(cli, args));
	r = api_get(cli, "/containers/json", q.data, &list, err);
	if (r < 0)
		return r;
	json_for_each_item (c, list)
		container_row(cli, &l, c, !args_bool(args, "no-trunc"));
	r = listing_print(cli, &l, format, quiet, err);
	listing_release(&l);
	return r;
}
