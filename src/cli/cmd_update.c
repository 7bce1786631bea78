/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/str.h"
#include "cli/api.h"
#include "cli/body.h"
#include "cli/commands.h"
#include "cli/run_config.h"

static void set_int(struct arena *a, struct json *o, const char *key, const struct args *args,
		    const char *flag)
{
	if (args_set(args, flag))
		json_set(a, o, key, json_new_int(a, args_int(args, flag)));
}

static void set_text(struct arena *a, struct json *o, const char *key, const struct args *args,
		     const char *flag)
{
	if (args_set(args, flag))
		json_set(a, o, key, json_new_string(a, args_str(args, flag)));
}

static int update_body(struct arena *a, const struct args *args, struct json **ret,
		       struct error *err)
{
	struct json *body = json_new_object(a), *policy = NULL;

	set_int(a, body, "BlkioWeight", args, "blkio-weight");
	set_int(a, body, "CpuPeriod", args, "cpu-period");
	set_int(a, body, "CpuQuota", args, "cpu-quota");
	set_int(a, body, "CpuRealtimePeriod", args, "cpu-rt-period");
	set_int(a, body, "CpuRealtimeRuntime", args, "cpu-rt-runtime");
	set_int(a, body, "CpuShares", args, "cpu-shares");
	set_int(a, body, "NanoCpus", args, "cpus");
	set_text(a, body, "CpusetCpus", args, "cpuset-cpus");
	set_text(a, body, "CpusetMems", args, "cpuset-mems");
	set_int(a, body, "KernelMemory", args, "kernel-memory");
	set_int(a, body, "Memory", args, "memory");
	set_int(a, body, "MemoryReservation", args, "memory-reservation");
	set_int(a, body, "MemorySwap", args, "memory-swap");
	set_int(a, body, "PidsLimit", args, "pids-limit");
	if (args_set(args, "restart")) {
		int r = restart_policy_parse(a, args_str(args, "restart"), &policy, err);

		if (r < 0)
			return r;
		json_set(a, body, "RestartPolicy", policy);
	}
	*ret = body;
	return 0;
}

int cmd_update(struct cli *cli, const struct args *args, struct error *err)
{
	struct json *body = NULL;
	bool any = false;
	int r;

	for (size_t i = 0; i < command_n_flags(args->cmd); i++)
		any |= args->values[i].set;
	if (!any)
		return error_set(err, ERR_INVALID,
				 "you must provide one or more flags when using this command");
	r = update_body(&cli->arena, args, &body, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < args->operands.len; i++) {
		const char *name = args->operands.at[i];
		const struct json *answer = NULL;
		struct error one = { 0 };

		r = api_json(cli, "POST", client_path(&cli->arena, "/containers/", name, "/update"),
			     NULL, body_text(&cli->arena, body), &answer, &one);
		if (r < 0)
			cli_report(cli, &one);
		else
			printf("%s\n", name);
		json_for_each_item (w, json_get(answer, "Warnings"))
			fprintf(stderr, "%s\n", w->type == JSON_STRING ? w->s : "");
	}
	return 0;
}
