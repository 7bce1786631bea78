/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs on containers that are one request each. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/each.h"
#include "cli/flag_check.h"
#include "cli/ports.h"
#include "cli/prune.h"
#include "cli/units.h"

static int post(struct client *c, const char *name, const char *verb, const char *query,
		struct arena *a, struct error *err)
{
	return client_json(c, "POST", client_path(a, "/containers/", name, verb), query, NULL, a,
			   NULL, err);
}

static int stop_query(struct buf *q, const struct args *args)
{
	const char *time = args_set(args, "timeout") ? "timeout" : "time";

	if (args_set(args, time))
		client_query_add_int(q, "t", args_int(args, time));
	if (args_set(args, "signal"))
		client_query_add(q, "signal", args_str(args, "signal"));
	return 0;
}

static int stop_one(struct client *c, const struct args *args, const char *name, struct arena *a,
		    struct error *err)
{
	auto_(buf) q = api_query();

	stop_query(&q, args);
	return post(c, name, "/stop", q.data, a, err);
}

static int restart_one(struct client *c, const struct args *args, const char *name, struct arena *a,
		       struct error *err)
{
	auto_(buf) q = api_query();

	stop_query(&q, args);
	return post(c, name, "/restart", q.data, a, err);
}

static int kill_one(struct client *c, const struct args *args, const char *name, struct arena *a,
		    struct error *err)
{
	auto_(buf) q = api_query();

	client_query_add(&q, "signal", args_str(args, "signal"));
	return post(c, name, "/kill", q.data, a, err);
}

static int pause_one(struct client *c, const struct args *args, const char *name, struct arena *a,
		     struct error *err)
{
	(void)args;
	return post(c, name, "/pause", NULL, a, err);
}

static int unpause_one(struct client *c, const struct args *args, const char *name, struct arena *a,
		       struct error *err)
{
	(void)args;
	return post(c, name, "/unpause", NULL, a, err);
}

static int rm_one(struct client *c, const struct args *args, const char *name, struct arena *a,
		  struct error *err)
{
	auto_(buf) q = api_query();
	int r;

	while (*name == '/')
		name++;
	if (!*name)
		return error_set(err, ERR_INVALID, "Container name cannot be empty");
	client_query_add_bool(&q, "v", args_bool(args, "volumes"));
	client_query_add_bool(&q, "link", args_bool(args, "link"));
	client_query_add_bool(&q, "force", args_bool(args, "force"));
	r = client_json(c, "DELETE", client_path(a, "/containers/", name, ""), q.data, NULL, a,
			NULL, err);
	return r;
}

static bool stop_flags_clash(const struct args *args, struct error *err)
{
	if (!args_set(args, "time") || !args_set(args, "timeout"))
		return false;
	error_set(err, ERR_INVALID,
		  "conflicting options: cannot specify both --timeout and --time");
	return true;
}

int cmd_stop(struct cli *cli, const struct args *args, struct error *err)
{
	if (stop_flags_clash(args, err))
		return -err->kind;
	return each_operand(cli, args, stop_one, err);
}

int cmd_restart(struct cli *cli, const struct args *args, struct error *err)
{
	if (stop_flags_clash(args, err))
		return -err->kind;
	return each_operand(cli, args, restart_one, err);
}

int cmd_kill(struct cli *cli, const struct args *args, struct error *err)
{
	return each_operand(cli, args, kill_one, err);
}

int cmd_pause(struct cli *cli, const struct args *args, struct error *err)
{
	return each_operand(cli, args, pause_one, err);
}

int cmd_unpause(struct cli *cli, const struct args *args, struct error *err)
{
	return each_operand(cli, args, unpause_one, err);
}

/* `rm -f` of what is not there says so, prints nothing, and is no failure. */
int cmd_rm(struct cli *cli, const struct args *args, struct error *err)
{
	return args_bool(args, "force") ? each_operand_there(cli, args, rm_one, err)
					: each_operand(cli, args, rm_one, err);
}

int cmd_wait(struct cli *cli, const struct args *args, struct error *err)
{
	struct client *c = api_client(cli, err);

	if (!c)
		return -err->kind;
	for (size_t i = 0; i < args->operands.len; i++) {
		const struct json *answer = NULL;
		struct error one = { 0 };
		const char *why;
		int r = api_json(
		    cli, "POST",
		    client_path(&cli->arena, "/containers/", args->operands.at[i], "/wait"), NULL,
		    NULL, &answer, &one);

		why = json_str(json_get(answer, "Error"), "Message");
		if (r == 0 && why)
			r = error_set(&one, ERR_SYSTEM, "%s", why);
		if (r < 0)
			cli_report(cli, &one);
		else
			printf("%lld\n", (long long)json_int(answer, "StatusCode", 0));
		fflush(stdout);
	}
	return 0;
}

int cmd_rename(struct cli *cli, const struct args *args, struct error *err)
{
	const char *old = args_operand(args, 0), *name = args_operand(args, 1);
	auto_(buf) q = api_query();
	int r;

	if (!*str_trim(str_of(old)).at || !str_trim(str_of(name)).len)
		return error_set(err, ERR_INVALID, "Error: Neither old nor new names may be empty");
	client_query_add(&q, "name", name);
	r = api_json(cli, "POST", client_path(&cli->arena, "/containers/", old, "/rename"), q.data,
		     NULL, NULL, err);
	if (r < 0) {
		fprintf(stderr, "%s\n", err->msg);
		return error_set(err, err->kind, "Error: failed to rename container named %s", old);
	}
	return 0;
}

static int line_compare(const void *a, const void *b)
{
	return strverscmp(*(const char *const *)a, *(const char *const *)b);
}

/* "80" or "80/udp". ERR_INVALID in docker's words. */
static int port_check(const char *text, struct error *err)
{
	autofree char *number = str_dup((struct str){ text, strcspn(text, "/") });
	int64_t port;
	int r = check_uint(number, UINT16_MAX, &port, err);

	return r < 0 ? error_wrap(err, r, "Error: invalid port (%s)", number) : 0;
}

int cmd_port(struct cli *cli, const struct args *args, struct error *err)
{
	const char *name = args_operand(args, 0), *want = args_operand(args, 1);
	const struct json *c = NULL, *ports;
	VEC(const char *) lines = { 0 };
	int r =
	    api_get(cli, client_path(&cli->arena, "/containers/", name, "/json"), NULL, &c, err);

	if (r == 0 && want)
		r = port_check(want, err);
	if (r < 0)
		return r;
	if (want && !strchr(want, '/'))
		want = arena_format(&cli->arena, "%s/tcp", want);
	ports = json_path(c, "NetworkSettings.Ports");
	json_for_each_member (m, ports) {
		if (want && strcmp(want, m->key) != 0)
			continue;
		json_for_each_item (b, m->value) {
			const char *ip = json_str(b, "HostIp"), *port = json_str(b, "HostPort");

			*vec_push(&lines) = arena_format(
			    &cli->arena, "%s%s%s", want ? "" : m->key, want ? "" : " -> ",
			    host_port(&cli->arena, ip ? ip : "", port ? port : ""));
		}
	}
	if (lines.len > 1)
		qsort(lines.at, lines.len, sizeof(*lines.at), line_compare);
	vec_for_each (l, &lines)
		puts(*l);
	r = lines.len > 0;
	vec_release(&lines);
	if (want && r == 0)
		return error_set(err, ERR_NOT_FOUND, "Error: No public port '%s' published for %s",
				 args_operand(args, 1), name);
	return 0;
}

int cmd_diff(struct cli *cli, const struct args *args, struct error *err)
{
	static const char letters[] = "CAD";
	const struct json *list = NULL;
	int r;

	if (!*args_operand(args, 0))
		return error_set(err, ERR_INVALID, "Container name cannot be empty");
	r = api_get(cli,
		    client_path(&cli->arena, "/containers/", args_operand(args, 0), "/changes"),
		    NULL, &list, err);
	if (r < 0)
		return r;
	json_for_each_item (c, list) {
		int64_t kind = json_int(c, "Kind", 0);

		printf("%c %s\n", letters[kind >= 0 && kind < 3 ? kind : 0], json_str(c, "Path"));
	}
	return 0;
}

/* Columns 20 wide, one blank at least behind each; the last is not padded. */
int cmd_top(struct cli *cli, const struct args *args, struct error *err)
{
	auto_(buf) q = api_query();
	auto_(buf) ps_args = BUF_INIT(64 << 10);
	const struct json *top = NULL;
	int r = 0;

	for (size_t i = 1; i < args->operands.len && r == 0; i++)
		r = buf_addf(&ps_args, err, "%s%s", i > 1 ? " " : "", args->operands.at[i]);
	if (r < 0)
		return r;
	if (ps_args.len)
		client_query_add(&q, "ps_args", ps_args.data);
	r = api_get(cli, client_path(&cli->arena, "/containers/", args_operand(args, 0), "/top"),
		    q.data, &top, err);
	if (r < 0)
		return r;
	{
		const struct json *titles = json_get(top, "Titles");
		const struct json *rows = json_get(top, "Processes");
		size_t n = rows && rows->type == JSON_ARRAY ? rows->n_items : 0;

		for (size_t i = 0; i <= n; i++) {
			const struct json *row = i ? rows->items[i - 1] : titles;

			for (size_t k = 0; row && row->type == JSON_ARRAY && k < row->n_items;
			     k++) {
				const char *cell =
				    row->items[k]->type == JSON_STRING ? row->items[k]->s : "";

				if (k + 1 == row->n_items)
					printf("%s", cell);
				else
					printf("%-*s",
					       (int)(strlen(cell) + 3 > 20 ? strlen(cell) + 3 : 20),
					       cell);
			}
			putchar('\n');
		}
	}
	return 0;
}

int cmd_container_prune(struct cli *cli, const struct args *args, struct error *err)
{
	auto_(buf) q = api_query();
	int64_t total = 0;
	int r;

	if (!args_bool(args, "force") &&
	    !cli_confirm(cli, "WARNING! This will remove all stopped containers.\n"
			      "Are you sure you want to continue?"))
		return 0;
	client_query_add(&q, "filters", api_filters(cli, args));
	r = prune_run(cli, "/containers/prune", q.data, "Deleted Containers:", "ContainersDeleted",
		      &total, err);
	if (r == 0)
		prune_print_total(cli, total);
	return r;
}
