/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/each.h"

#include <pthread.h>

#include "cli/api.h"

enum { AT_ONCE = 50 };

struct job {
	struct client *client;
	const struct args *args;
	each_action *action;
	const char *name;
	struct error err;
	int r;
	pthread_t thread;
	bool started;
};

static void *job_main(void *arg)
{
	struct job *j = arg;
	auto_(arena) a = ARENA_INIT;

	j->r = api_wrap(&j->err, j->action(j->client, j->args, j->name, &a, &j->err));
	return NULL;
}

static void tell(struct cli *cli, const struct job *j, bool only_there)
{
	if (j->r >= 0)
		printf("%s\n", j->name);
	else if (only_there && j->r == -ERR_NOT_FOUND)
		cli_tell(&j->err);
	else
		cli_report(cli, &j->err);
}

static int each(struct cli *cli, const struct args *args, each_action *action, bool only_there,
		struct error *err)
{
	struct client *c = api_client(cli, err);
	size_t n = args->operands.len;
	struct job *jobs = arena_array(&cli->arena, n, sizeof(*jobs));

	if (!c)
		return -err->kind;
	if (client_negotiate(c, NULL, err) < 0)
		return -err->kind;
	for (size_t i = 0; i < n; i++)
		jobs[i] = (struct job){
			.client = c, .args = args, .action = action, .name = args->operands.at[i]
		};
	for (size_t from = 0; from < n; from += AT_ONCE) {
		size_t to = from + AT_ONCE < n ? from + AT_ONCE : n;

		for (size_t i = from; i < to && n > 1; i++)
			jobs[i].started =
			    pthread_create(&jobs[i].thread, NULL, job_main, &jobs[i]) == 0;
		for (size_t i = from; i < to; i++) {
			if (jobs[i].started)
				pthread_join(jobs[i].thread, NULL);
			else
				job_main(&jobs[i]);
			tell(cli, &jobs[i], only_there);
		}
	}
	return 0;
}

int each_operand(struct cli *cli, const struct args *args, each_action *action, struct error *err)
{
	return each(cli, args, action, false, err);
}

int each_operand_there(struct cli *cli, const struct args *args, each_action *action,
		       struct error *err)
{
	return each(cli, args, action, true, err);
}
