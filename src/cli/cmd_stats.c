/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/config.h"
#include "cli/listing.h"
#include "cli/units.h"

enum { AT_ONCE = 64 };

static const struct listing_title titles[] = {
	{ "Container", "CONTAINER" },
	{ "ID", "CONTAINER ID" },
	{ "Name", "NAME" },
	{ "CPUPerc", "CPU %" },
	{ "MemUsage", "MEM USAGE / LIMIT" },
	{ "MemPerc", "MEM %" },
	{ "NetIO", "NET I/O" },
	{ "BlockIO", "BLOCK I/O" },
	{ "PIDs", "PIDS" },
};
static const struct listing_kind stats_kind = {
	"*container.statsContext",
	"{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t"
	"{{.PIDs}}",
	"{{.ID}}",
	NULL,
	NULL,
	titles,
	ARRAY_LEN(titles),
};

struct sample {
	struct client *client;
	const char *name;   /* as typed, or the id */
	struct arena arena; /* of the answer */
	const struct json *stats;
	struct error err;
	int r;
	pthread_t thread;
	bool started;
};

static void *sample_main(void *arg)
{
	struct sample *s = arg;

	s->r =
	    client_json(s->client, "GET", client_path(&s->arena, "/containers/", s->name, "/stats"),
			"stream=0", NULL, &s->arena, &s->stats, &s->err);
	return NULL;
}

static double number(const struct json *o, const char *key)
{
	const struct json *j = json_get(o, key);

	if (j && j->type == JSON_DOUBLE)
		return j->d;
	return j && j->type == JSON_INT ? (double)j->i : 0;
}

static double cpu_percent(const struct json *stats)
{
	const struct json *now = json_get(stats, "cpu_stats"),
			  *then = json_get(stats, "precpu_stats");
	double used = number(json_get(now, "cpu_usage"), "total_usage") -
		      number(json_get(then, "cpu_usage"), "total_usage");
	double system = number(now, "system_cpu_usage") - number(then, "system_cpu_usage");
	double cpus = number(now, "online_cpus");
	const struct json *each = json_path(now, "cpu_usage.percpu_usage");

	if (cpus == 0 && each && each->type == JSON_ARRAY)
		cpus = (double)each->n_items;
	return used > 0 && system > 0 ? used / system * cpus * 100 : 0;
}

/* Without the page cache that can go at once (cgroup v1 and v2 name it differently). */
static double memory_used(const struct json *memory)
{
	const struct json *detail = json_get(memory, "stats");
	double usage = number(memory, "usage");
	double cache = json_get(detail, "total_inactive_file")
			   ? number(detail, "total_inactive_file")
			   : number(detail, "inactive_file");

	return cache < usage ? usage - cache : usage;
}

static void sample_row(struct cli *cli, struct listing *l, const struct sample *s, bool trunc)
{
	struct arena *a = &cli->arena;
	struct json *row = listing_add(cli, l, NULL);
	const struct json *memory = json_get(s->stats, "memory_stats");
	const char *id = json_str(s->stats, "id"), *name = json_str(s->stats, "name");
	double used = memory_used(memory), limit = number(memory, "limit");
	double rx = 0, tx = 0, rd = 0, wr = 0;

	json_for_each_member (m, json_get(s->stats, "networks")) {
		rx += number(m->value, "rx_bytes");
		tx += number(m->value, "tx_bytes");
	}
	json_for_each_item (e, json_path(s->stats, "blkio_stats.io_service_bytes_recursive")) {
		const char *op = json_str(e, "op");

		if (op && (op[0] == 'r' || op[0] == 'R'))
			rd += number(e, "value");
		else if (op && (op[0] == 'w' || op[0] == 'W'))
			wr += number(e, "value");
	}
	id = id ? id : s->name;
	name = name ? name : "";
	row_set(cli, row, "Container", s->name);
	row_set(cli, row, "ID", trunc ? short_id(a, id) : id);
	row_set(cli, row, "Name", *name == '/' ? name + 1 : *name ? name : "--");
	row_setf(cli, row, "CPUPerc", "%.2f%%", cpu_percent(s->stats));
	row_setf(cli, row, "MemUsage", "%s / %s", human_bytes(a, used), human_bytes(a, limit));
	row_setf(cli, row, "MemPerc", "%.2f%%", limit > 0 ? used / limit * 100 : 0.0);
	row_setf(cli, row, "NetIO", "%s / %s", human_size(a, rx, 3), human_size(a, tx, 3));
	row_setf(cli, row, "BlockIO", "%s / %s", human_size(a, rd, 3), human_size(a, wr, 3));
	row_setf(cli, row, "PIDs", "%lld",
		 (long long)json_int(json_get(s->stats, "pids_stats"), "current", 0));
}

/* The names to watch: those given, or all that run (-a: all there are). */
static int names_find(struct cli *cli, const struct args *args, struct json **ret,
		      struct error *err)
{
	const struct json *list = NULL;
	int r;

	*ret = json_new_array(&cli->arena);
	for (size_t i = 0; i < args->operands.len; i++)
		json_push(&cli->arena, *ret, json_new_string(&cli->arena, args->operands.at[i]));
	if (args->operands.len)
		return 0;
	r = api_get(cli, "/containers/json", args_bool(args, "all") ? "all=1" : NULL, &list, err);
	if (r < 0)
		return r;
	json_for_each_item (c, list)
		if (json_str(c, "Id"))
			json_push(
			    &cli->arena, *ret,
			    json_new_string(&cli->arena, short_id(&cli->arena, json_str(c, "Id"))));
	return 0;
}

/* One look at all of them at once. A container that has just gone is left out,
 * unless it was asked for by name. */
static int round_print(struct cli *cli, const struct args *args, const char *format, bool clear,
		       struct error *err)
{
	struct listing l = { .kind = &stats_kind };
	struct json *names = NULL;
	struct sample *samples;
	size_t n;
	int r = names_find(cli, args, &names, err);

	if (r < 0)
		return r;
	n = names->n_items;
	samples = arena_array(&cli->arena, n + 1, sizeof(*samples));
	for (size_t from = 0; from < n; from += AT_ONCE) {
		size_t to = from + AT_ONCE < n ? from + AT_ONCE : n;

		for (size_t i = from; i < to; i++) {
			samples[i].client = cli->client;
			samples[i].name = names->items[i]->s;
			samples[i].started =
			    pthread_create(&samples[i].thread, NULL, sample_main, &samples[i]) == 0;
		}
		for (size_t i = from; i < to; i++) {
			if (samples[i].started)
				pthread_join(samples[i].thread, NULL);
			else
				sample_main(&samples[i]);
		}
	}
	for (size_t i = 0; i < n; i++) {
		if (samples[i].r == 0)
			sample_row(cli, &l, &samples[i], !args_bool(args, "no-trunc"));
		else if (args->operands.len && r == 0)
			r = (*err = samples[i].err, api_wrap(err, samples[i].r));
	}
	if (r == 0) {
		if (clear)
			fputs("\033[2J\033[H", stdout);
		r = listing_print(cli, &l, format, false, err);
		fflush(stdout);
	}
	for (size_t i = 0; i < n; i++)
		arena_release(&samples[i].arena);
	listing_release(&l);
	return r;
}

int cmd_stats(struct cli *cli, const struct args *args, struct error *err)
{
	const char *format = format_choose(cli, args, "statsFormat");
	bool once = args_bool(args, "no-stream");
	int r;

	if (!api_client(cli, err) || client_negotiate(cli->client, NULL, err) < 0)
		return -err->kind;
	do {
		struct arena kept = cli->arena;

		/* What one round allocates lives no longer than it. */
		cli->arena = (struct arena)ARENA_INIT;
		r = round_print(cli, args, format, !once && isatty(STDOUT_FILENO), err);
		arena_release(&cli->arena);
		cli->arena = kept;
	} while (r == 0 && !once && !ferror(stdout));
	return r;
}
