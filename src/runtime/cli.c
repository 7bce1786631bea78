/* runtime/cli.c: `proa-runtime [global flags] VERB ...`. */
#include "runtime/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/jsonw.h"
#include "base/log.h"
#include "base/macros.h"
#include "base/str.h"

static const struct cli_flag global_flags[] = {
	CLI_FLAG("root", 0, CLI_STRING, struct cli, options.root),
	CLI_FLAG("log", 0, CLI_STRING, struct cli, log),
	CLI_FLAG("log-format", 0, CLI_STRING, struct cli, log_format),
	CLI_FLAG("log-level", 0, CLI_STRING, struct cli, log_level),
	CLI_FLAG("debug", 0, CLI_BOOL, struct cli, debug),
	CLI_FLAG("systemd-cgroup", 0, CLI_BOOL, struct cli, systemd_cgroup),
	CLI_FLAG("cgroup-manager", 0, CLI_STRING, struct cli, cgroup_manager),
	CLI_FLAG("rootless", 0, CLI_STRING, struct cli, rootless),
	CLI_FLAG("criu", 0, CLI_STRING, struct cli, criu),
	CLI_FLAG("version", 'v', CLI_BOOL, struct cli, version),
	CLI_FLAG("version", 'V', CLI_BOOL, struct cli, version),
	CLI_FLAG("help", 'h', CLI_BOOL, struct cli, help),
};

static int write_out(const char *text, size_t len)
{
	return fs_write_all(STDOUT_FILENO, text, len, NULL) < 0 ? 1 : 0;
}

static int print_version(void)
{
	const struct scmp_version *v = seccomp_version();
	char text[200];
	int n = snprintf(text, sizeof(text),
			 "proa-runtime version %s\ncommit: %s\nspec: 1.2.0\nlibseccomp: %u.%u.%u\n",
			 PROA_VERSION, PROA_VERSION, v->major, v->minor, v->micro);

	return write_out(text, (size_t)n);
}

static int print_help(void)
{
	auto_(buf) b = BUF_INIT(16384);
	int r = buf_addf(&b, NULL,
			 "Usage: proa-runtime [global flags] VERB [flags] [CONTAINER] ...\n\n"
			 "Verbs:\n");

	for (size_t i = 0; r == 0 && i < cli_n_verbs; i++)
		r = buf_addf(&b, NULL, "  %-10s %s\n", cli_verbs[i].name, cli_verbs[i].usage);
	if (r == 0)
		r = buf_addf(&b, NULL,
			     "\nGlobal flags:\n  --root DIR  --log FILE  --log-format text|json  "
			     "--debug\n  --systemd-cgroup  --cgroup-manager cgroupfs|disabled  "
			     "--rootless true|false|auto\n  --version  --help\n");
	return r < 0 ? 1 : write_out(b.data, b.len);
}

static int set_globals(struct cli *c, struct error *err)
{
	enum log_level level = c->debug ? LOG_DEBUG : LOG_WARN;
	bool json = c->log_format != NULL && strcmp(c->log_format, "json") == 0;
	bool rootless;
	int r = 0;

	if (c->log_format != NULL && !json && strcmp(c->log_format, "text") != 0)
		return error_set(err, ERR_INVALID, "unknown log-format \"%s\"", c->log_format);
	if (c->log_level != NULL && !c->debug)
		r = log_level_parse(c->log_level, &level, err);
	if (r == 0 && !cstr_is_empty(c->log)) {
		c->log_fd = open(c->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
		if (c->log_fd < 0)
			return error_sys(err, errno, "open the log '%s'", c->log);
	}
	log_setup(c->log_fd >= 0 ? c->log_fd : STDERR_FILENO, level, json ? LOG_JSON : LOG_TEXT);
	c->options.rootless = -1;
	if (r == 0 && c->rootless != NULL && strcmp(c->rootless, "auto") != 0) {
		r = parse_bool(str_of(c->rootless), &rootless, err);
		c->options.rootless = rootless;
	}
	c->options.systemd_cgroup = c->systemd_cgroup;
	if (r == 0 && c->cgroup_manager != NULL) {
		if (strcmp(c->cgroup_manager, "systemd") == 0)
			c->options.systemd_cgroup = true;
		else if (strcmp(c->cgroup_manager, "disabled") == 0)
			c->options.no_cgroup = true;
		else if (strcmp(c->cgroup_manager, "cgroupfs") != 0)
			r = error_set(err, ERR_INVALID, "unknown cgroup manager \"%s\"",
				      c->cgroup_manager);
	}
	return r;
}

/* As runc writes it: dockerd and containerd take the last line's msg for their own error. */
static void report(const struct cli *c, const struct error *e)
{
	auto_(buf) b = BUF_INIT(16384);
	char when[TIME_TEXT_MAX];
	struct jsonw w;

	time_format_rfc3339nano(clock_wall_ns() / NS_PER_SEC * NS_PER_SEC, when);
	if (c->log_fd >= 0) {
		jsonw_init(&w, &b);
		if (c->log_format != NULL && strcmp(c->log_format, "json") == 0) {
			jsonw_object(&w);
			jsonw_kstring(&w, "level", "error");
			jsonw_kstring(&w, "msg", e->msg);
			jsonw_kstring(&w, "time", when);
			jsonw_end(&w);
		} else {
			jsonw_raw(&w, "time=\"", 6);
			jsonw_raw(&w, when, strlen(when));
			jsonw_raw(&w, "\" level=error msg=", 18);
			jsonw_string(&w, e->msg);
		}
		jsonw_raw(&w, "\n", 1);
		if (b.len > 0 && fs_write_all(c->log_fd, b.data, b.len, NULL) < 0)
			b.len = 0;
	}
	b.len = 0;
	if (buf_addf(&b, NULL, "proa-runtime: %s\n", e->msg) == 0 &&
	    fs_write_all(STDERR_FILENO, b.data, b.len, NULL) < 0)
		b.len = 0;
}

/* Our own fds must never become 0, 1 or 2 of a container. */
static void fill_stdio(void)
{
	for (int fd = open("/dev/null", O_RDWR | O_CLOEXEC); fd >= 0;) {
		if (fd > 2) {
			close(fd);
			return;
		}
		/* Filled slots are the container's stdio and stay open over execve. */
		if (fcntl(fd, F_SETFD, 0) < 0)
			return;
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	}
}

/* What runc knows and we do not: refused by its name, not as a typing error. */
static int refuse_checkpoints(const struct cli *c, const char *verb, struct error *err)
{
	if (strcmp(verb, "checkpoint") == 0 || strcmp(verb, "restore") == 0)
		return error_set(err, ERR_UNIMPLEMENTED,
				 "%s: checkpoint and restore (CRIU) are not supported yet", verb);
	if (!cstr_is_empty(c->criu))
		return error_set(err, ERR_UNIMPLEMENTED,
				 "--criu: checkpoint and restore are not supported yet");
	return 0;
}

int runtime_main(int argc, char **argv)
{
	struct cli c = { .log_fd = FD_NONE };
	struct error err = { 0 };
	int at = 1, r;

	fill_stdio();
	r = cli_parse(argc, argv, &at, global_flags, ARRAY_LEN(global_flags), &c, &err);
	if (r == 0 && c.version)
		return print_version();
	if (r == 0 && (c.help || at >= argc || strcmp(argv[at], "help") == 0))
		return print_help();
	if (r == 0)
		r = set_globals(&c, &err);
	if (r == 0)
		r = refuse_checkpoints(&c, argv[at], &err);
	if (r == 0) {
		for (size_t i = 0; i < cli_n_verbs; i++)
			if (strcmp(argv[at], cli_verbs[i].name) == 0) {
				r = cli_verbs[i].run(&c, argc - at, argv + at, &err);
				if (r >= 0)
					return r;
				if (r == -ERR_CANCELED)
					return 0;
				report(&c, &err);
				/* runc's code for an exec that did not come about. */
				return strcmp(argv[at], "exec") == 0 ? 255 : 1;
			}
		r = error_set(&err, ERR_INVALID, "no such verb: '%.40s'", argv[at]);
	}
	report(&c, &err);
	return 1;
}
