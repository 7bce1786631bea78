/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run_config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/body.h"
#include "cli/config.h"
#include "cli/flag_check.h"
#include "cli/proxy.h"

static void set_text(struct arena *a, struct json *o, const char *key, const struct args *args,
		     const char *flag)
{
	if (*args_str(args, flag))
		json_set(a, o, key, json_new_string(a, args_str(args, flag)));
}

static void set_list(struct arena *a, struct json *o, const char *key, const struct args *args,
		     const char *flag)
{
	if (args_count(args, flag))
		json_set(a, o, key, body_list(a, args, flag));
}

int restart_policy_parse(struct arena *a, const char *text, struct json **ret, struct error *err)
{
	const char *colon = strchr(text, ':');
	struct json *p = json_new_object(a);
	int64_t count = 0;

	if (colon == text)
		return error_set(err, ERR_INVALID,
				 "invalid restart policy format: no policy provided before colon");
	if (colon && check_int(colon + 1, &count, NULL) < 0)
		return error_set(err, ERR_INVALID,
				 "invalid restart policy format: maximum retry count "
				 "must be an integer");
	json_set(a, p, "Name",
		 json_new_string(
		     a, arena_strndup(a, text, colon ? (size_t)(colon - text) : strlen(text))));
	json_set(a, p, "MaximumRetryCount", json_new_int(a, count));
	*ret = p;
	return 0;
}

static int attach_choose(const struct args *args, struct run_config *c, struct error *err)
{
	size_t n = args_count(args, "attach");

	if (n > 0 && c->detach)
		return error_set(err, ERR_INVALID,
				 "conflicting options: cannot specify both --attach and --detach");
	c->open_stdin = args_bool(args, "interactive");
	c->tty = args_bool(args, "tty");
	for (size_t i = 0; i < n; i++) {
		struct str s = str_of(args_nth(args, "attach", i));

		if (str_eq_nocase(s, STR_LIT("stdin")))
			c->attach_in = true;
		else if (str_eq_nocase(s, STR_LIT("stdout")))
			c->attach_out = true;
		else
			c->attach_err = true;
	}
	if (n == 0 && !c->detach) {
		c->attach_out = c->attach_err = true;
		c->attach_in = c->open_stdin;
	}
	return 0;
}

static int health_build(struct arena *a, const struct args *args, struct json *body,
			struct error *err)
{
	static const char *const times[][2] = {
		{ "health-interval", "Interval" },
		{ "health-timeout", "Timeout" },
		{ "health-start-period", "StartPeriod" },
		{ "health-start-interval", "StartInterval" },
	};
	struct json *h = json_new_object(a), *test = json_new_array(a);
	const char *command = args_str(args, "health-cmd");
	bool any = *command || args_int(args, "health-retries") != 0;

	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		any |= args_int(args, times[i][0]) != 0;
		if (args_int(args, times[i][0]) < 0)
			return error_set(err, ERR_INVALID, "--%s cannot be negative", times[i][0]);
	}
	if (args_int(args, "health-retries") < 0)
		return error_set(err, ERR_INVALID, "--health-retries cannot be negative");
	if (args_bool(args, "no-healthcheck")) {
		if (any)
			return error_set(err, ERR_INVALID,
					 "--no-healthcheck conflicts with --health-* options");
		json_push(a, test, json_new_string(a, "NONE"));
		json_set(a, h, "Test", test);
		json_set(a, body, "Healthcheck", h);
		return 0;
	}
	if (*args_str(args, "health-on-failure")) {
		any = true;
		json_set(a, h, "OnFailure",
			 json_new_string(a, args_str(args, "health-on-failure")));
	}
	if (!any)
		return 0;
	if (*command) {
		json_push(a, test, json_new_string(a, "CMD-SHELL"));
		json_push(a, test, json_new_string(a, command));
		json_set(a, h, "Test", test);
	}
	for (size_t i = 0; i < ARRAY_LEN(times); i++)
		if (args_int(args, times[i][0]))
			json_set(a, h, times[i][1], json_new_int(a, args_int(args, times[i][0])));
	if (args_int(args, "health-retries"))
		json_set(a, h, "Retries", json_new_int(a, args_int(args, "health-retries")));
	json_set(a, body, "Healthcheck", h);
	return 0;
}

static int logging_build(struct arena *a, const struct args *args, struct json *host,
			 struct error *err)
{
	struct json *log = json_new_object(a);

	if (!*args_str(args, "log-driver") && args_count(args, "log-opt") == 0)
		return 0;
	if (strcmp(args_str(args, "log-driver"), "none") == 0 && args_count(args, "log-opt") > 0)
		return error_set(err, ERR_INVALID, "invalid logging opts for driver none");
	json_set(a, log, "Type", json_new_string(a, args_str(args, "log-driver")));
	json_set(a, log, "Config", body_map(a, args, "log-opt"));
	json_set(a, host, "LogConfig", log);
	return 0;
}

static bool is_container_mode(const char *s)
{
	return cstr_starts(s, "container:") && s[strlen("container:")];
}

/* The docker CLI asks the engine what it runs on; ours runs on Linux. */
static int refuse_windows(const struct args *args, struct error *err)
{
	static const char *const flags[] = { "cpu-count", "cpu-percent", "io-maxbandwidth",
					     "io-maxiops" };

	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (args_count(args, flags[i]) || *args_str(args, flags[i]))
			return error_set(
			    err, ERR_INVALID,
			    "\"--%s\" is only supported on a Docker daemon running on windows, but "
			    "the Docker daemon is running on linux",
			    flags[i]);
	return 0;
}

static int namespaces_build(struct arena *a, const struct args *args, struct json *host,
			    struct error *err)
{
	const char *pid = args_str(args, "pid"), *uts = args_str(args, "uts");
	const char *userns = args_str(args, "userns"), *cgroupns = args_str(args, "cgroupns");

	if (refuse_windows(args, err) < 0)
		return -(int)ERR_INVALID;
	if (*pid && strcmp(pid, "host") != 0 && !is_container_mode(pid))
		return error_set(err, ERR_INVALID, "--pid: invalid PID mode");
	if (*uts && strcmp(uts, "host") != 0)
		return error_set(err, ERR_INVALID, "--uts: invalid UTS mode");
	/* "auto" is proa's: a range of ids of the container's own. */
	if (*userns && strcmp(userns, "host") != 0 && !cstr_starts(userns, "auto"))
		return error_set(err, ERR_INVALID, "--userns: invalid USER mode");
	if (*cgroupns && strcmp(cgroupns, "host") != 0 && strcmp(cgroupns, "private") != 0)
		return error_set(err, ERR_INVALID, "--cgroupns: invalid CGROUP mode");
	set_text(a, host, "PidMode", args, "pid");
	set_text(a, host, "UTSMode", args, "uts");
	set_text(a, host, "UsernsMode", args, "userns");
	set_text(a, host, "CgroupnsMode", args, "cgroupns");
	set_text(a, host, "IpcMode", args, "ipc");
	return 0;
}

static int host_build(struct arena *a, const struct args *args, struct run_config *c,
		      struct json *host, struct error *err)
{
	struct json *policy = NULL;
	int r = restart_policy_parse(a, args_str(args, "restart"), &policy, err);

	if (r < 0)
		return r;
	c->auto_remove = args_bool(args, "rm");
	if (c->auto_remove && strcmp(json_str(policy, "Name"), "no") != 0 &&
	    *json_str(policy, "Name"))
		return error_set(err, ERR_INVALID,
				 "conflicting options: cannot specify both --restart and --rm");
	json_set(a, host, "RestartPolicy", policy);
	json_set(a, host, "AutoRemove", json_new_bool(a, c->auto_remove));
	if (args_set(args, "cidfile"))
		set_text(a, host, "ContainerIDFile", args, "cidfile");
	set_list(a, host, "Dns", args, "dns");
	set_list(a, host, "DnsSearch", args, "dns-search");
	set_list(a, host, "DnsOptions", args,
		 args_count(args, "dns-option") ? "dns-option" : "dns-opt");
	if (args_count(args, "add-host")) {
		struct json *hosts = json_new_array(a);

		args_for_each(text, args, "add-host")
		{
			char *line = arena_strdup(a, text), *eq = strchr(line, '=');

			if (eq)
				*eq = ':';
			json_push(a, hosts, json_new_string(a, line));
		}
		json_set(a, host, "ExtraHosts", hosts);
	}
	if (args_count(args, "annotation"))
		json_set(a, host, "Annotations", body_map(a, args, "annotation"));
	args_for_each(text, args, "storage-opt") if (!strchr(text, '=')) return error_set(
	    err, ERR_INVALID, "invalid storage option");
	if (args_count(args, "storage-opt"))
		json_set(a, host, "StorageOpt", body_map(a, args, "storage-opt"));
	if (args_set(args, "init"))
		json_set(a, host, "Init", json_new_bool(a, args_bool(args, "init")));
	set_text(a, host, "HealthOnFailure", args, "health-on-failure");
	set_text(a, host, "Runtime", args, "runtime");
	set_text(a, host, "Isolation", args, "isolation");
	r = namespaces_build(a, args, host, err);
	if (r == 0)
		r = logging_build(a, args, host, err);
	if (r == 0)
		r = run_resources(a, args, host, err);
	return r < 0 ? r : run_security(a, args, host, err);
}

static void console_size(struct arena *a, struct json *host)
{
	struct json *size = json_new_array(a);
	struct winsize w;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) < 0)
		return;
	json_push(a, size, json_new_int(a, w.ws_row));
	json_push(a, size, json_new_int(a, w.ws_col));
	json_set(a, host, "ConsoleSize", size);
}

static int process_build(struct cli *cli, const struct args *args, struct json *body,
			 struct error *err)
{
	struct arena *a = &cli->arena;
	struct json *env = NULL, *labels = NULL, *command = json_new_array(a);
	int r = body_env(a, args, "env", "env-file", &env, err);

	if (r == 0)
		r = body_labels(a, args, "label", "label-file", &labels, err);
	if (r < 0)
		return r;
	proxy_env_add(cli, env);
	set_text(a, body, "Hostname", args, "hostname");
	set_text(a, body, "Domainname", args, "domainname");
	set_text(a, body, "User", args, "user");
	set_text(a, body, "WorkingDir", args, "workdir");
	set_text(a, body, "StopSignal", args, "stop-signal");
	if (args_set(args, "stop-timeout"))
		json_set(a, body, "StopTimeout", json_new_int(a, args_int(args, "stop-timeout")));
	if (env->n_items)
		json_set(a, body, "Env", env);
	json_set(a, body, "Labels", labels);
	for (size_t i = 1; i < args->operands.len; i++)
		json_push(a, command, json_new_string(a, args->operands.at[i]));
	if (command->n_items)
		json_set(a, body, "Cmd", command);
	if (args_set(args, "entrypoint")) {
		struct json *entry = json_new_array(a);

		json_push(a, entry, json_new_string(a, args_str(args, "entrypoint")));
		json_set(a, body, "Entrypoint", entry);
	}
	return 0;
}

int run_config_build(struct cli *cli, const struct args *args, struct run_config *ret,
		     struct error *err)
{
	struct arena *a = &cli->arena;
	struct json *body = json_new_object(a), *host = json_new_object(a);
	struct run_config c = { .body = body, .image = args_operand(args, 0) };
	const char *pull = args_str(args, "pull");
	int r;

	if (strcmp(pull, "always") != 0 && strcmp(pull, "missing") != 0 &&
	    strcmp(pull, "never") != 0)
		return error_set(
		    err, ERR_INVALID,
		    "invalid pull option: '%s': must be one of \"always\", \"missing\" or "
		    "\"never\"",
		    pull);
	if (args_bool(args, "use-api-socket"))
		return error_set(err, ERR_UNIMPLEMENTED, "--use-api-socket is not supported yet");
	c.detach = args_has(args, "detach") && args_bool(args, "detach");
	r = attach_choose(args, &c, err);
	if (r == 0)
		r = run_mounts(a, args, body, host, err);
	if (r == 0)
		r = run_ports(a, args, body, host, err);
	if (r == 0)
		r = run_networks(a, args, body, host, err);
	if (r == 0)
		r = process_build(cli, args, body, err);
	if (r == 0)
		r = health_build(a, args, body, err);
	if (r == 0)
		r = host_build(a, args, &c, host, err);
	if (r < 0)
		return r;
	if (c.tty)
		console_size(a, host);
	json_set(a, body, "Image", json_new_string(a, c.image));
	json_set(a, body, "AttachStdin", json_new_bool(a, c.attach_in));
	json_set(a, body, "AttachStdout", json_new_bool(a, c.attach_out));
	json_set(a, body, "AttachStderr", json_new_bool(a, c.attach_err));
	json_set(a, body, "Tty", json_new_bool(a, c.tty));
	json_set(a, body, "OpenStdin", json_new_bool(a, c.open_stdin));
	json_set(a, body, "StdinOnce", json_new_bool(a, c.open_stdin && c.attach_in));
	json_set(a, body, "HostConfig", host);
	*ret = c;
	return 0;
}
