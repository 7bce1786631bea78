/*
 * main/registry.c: proa-registry: options and commands.
 *
 * Maintenance talks to a running server through DATA/control.sock, and opens
 * the directory itself when none runs.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "http/client.h"
#include "main/registry_serve.h"
#include "registry/password.h"
#include "registry/server.h"

#define CONFIG_MAX (1024 * 1024)

static const char usage[] =
    "Usage:  proa-registry COMMAND [OPTIONS]\n"
    "\n"
    "An OCI registry server\n"
    "\n"
    "Commands:\n"
    "  serve      Serve a data directory\n"
    "  gc         Delete blobs that nothing needs\n"
    "  retain     Delete tags by the configured retention rules\n"
    "  scrub      Read every blob, compare it with its digest, and set damaged ones aside\n"
    "  htpasswd   Print a line for a password file (password on standard input)\n"
    "  validate   Check a configuration file\n"
    "\n"
    "Options:\n"
    "      --config string      Configuration file (JSON)\n"
    "      --data string        Data directory (default \"/var/lib/proa-registry\")\n"
    "      --dry-run            gc, retain, scrub: only tell what would be done\n"
    "      --grace duration     gc: keep unreferenced blobs younger than this (default 1h0m0s)\n"
    "      --listen list        Address to serve, host:port or unix:///path (default "
    "127.0.0.1:5000)\n"
    "      --log-format string  text or json (default \"text\")\n"
    "      --log-level string   debug, info, warn, error (default \"info\")\n"
    "      --untagged           gc: delete manifests too that no tag needs\n"
    "      --validate           serve: check the configuration and quit\n"
    "  -v, --version            Print the version and quit\n";

struct options {
	const char *config, *data, *grace, *log_level, *log_format;
	const char *listen[16];
	size_t n_listen;
	bool dry_run, untagged, validate;
};

static int read_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "data", required_argument, NULL, 'd' },
		{ "dry-run", no_argument, NULL, 'n' },
		{ "grace", required_argument, NULL, 'g' },
		{ "listen", required_argument, NULL, 'l' },
		{ "log-level", required_argument, NULL, 'L' },
		{ "log-format", required_argument, NULL, 'F' },
		{ "untagged", no_argument, NULL, 'u' },
		{ "validate", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			o->config = optarg;
			break;
		case 'd':
			o->data = optarg;
			break;
		case 'n':
			o->dry_run = true;
			break;
		case 'g':
			o->grace = optarg;
			break;
		case 'L':
			o->log_level = optarg;
			break;
		case 'F':
			o->log_format = optarg;
			break;
		case 'u':
			o->untagged = true;
			break;
		case 'V':
			o->validate = true;
			break;
		case 'l':
			if (o->n_listen < ARRAY_LEN(o->listen))
				o->listen[o->n_listen++] = optarg;
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			return -1;
		}
	}
	return 0;
}

static int load_config(struct arena *a, const struct options *o, struct registry_config *ret,
		       struct error *err)
{
	auto_(buf) b = BUF_INIT(CONFIG_MAX);
	int r = o->config ? fs_read_file(o->config, &b, err) : 0;

	if (r == 0)
		r = registry_config_read(a, o->config ? (b.data ? b.data : "") : NULL, b.len, ret,
					 err);
	if (r < 0)
		return error_wrap(err, r, "%s", o->config);
	if (o->data != NULL)
		ret->data = o->data;
	if (o->n_listen > 0) {
		ret->listen = arena_array(a, o->n_listen, sizeof(*ret->listen));
		memcpy(ret->listen, o->listen, o->n_listen * sizeof(*ret->listen));
		ret->n_listen = o->n_listen;
	}
	if (o->grace != NULL)
		return parse_duration(str_of(o->grace), &ret->gc.grace_ns, err);
	return 0;
}

/* Ask the server that runs on this data directory. ERR_UNAVAILABLE when none does. */
static int ask_server(struct arena *a, const struct registry_config *c, const char *target,
		      struct error *err)
{
	struct http_call_head req = { .method = "POST", .target = target, .host = "control" };
	auto_(buf) answer = BUF_INIT(64 * 1024 * 1024);
	struct http_conn conn;
	struct http_call call;
	int fd, status;
	int r = http_dial_unix(arena_format(a, "%s/control.sock", c->data), &fd, err);

	if (r < 0)
		return error_set(err, ERR_UNAVAILABLE, "no server runs");
	http_conn_init(&conn, fd);
	r = http_call_start(&conn, &req, &call, err);
	if (r == 0) {
		status = call.head.status;
		r = reader_read_all(&call.body.reader, &answer, err);
		fwrite(answer.data ? answer.data : "", 1, answer.len,
		       status < 300 ? stdout : stderr);
		if (r == 0 && status >= 300)
			r = error_set(err, ERR_SYSTEM, "the server answered %d", status);
		http_call_release(&call);
	}
	http_conn_release(&conn);
	return r;
}

static int maintain(struct arena *a, const char *what, const struct options *o,
		    const struct registry_config *c, struct error *err)
{
	const char *target = arena_format(a, "/_proa/%s?dry-run=%d%s%s%s", what, o->dry_run,
					  o->untagged ? "&untagged=1" : "",
					  o->grace ? "&grace=" : "", o->grace ? o->grace : "");
	struct registry_task task = { what, o->grace, o->dry_run, o->untagged };
	auto_(buf) report = BUF_INIT(64 * 1024 * 1024);
	struct registry *r;
	int rc = ask_server(a, c, target, err);

	if (rc != -ERR_UNAVAILABLE)
		return rc;
	/* To open is to create: a mistyped directory must not look like an empty registry. */
	if (access(arena_format(a, "%s/version", c->data), F_OK) < 0)
		return error_set(err, ERR_NOT_FOUND, "no registry in '%s'", c->data);
	rc = registry_open(c, &r, err);
	if (rc < 0)
		return rc;
	rc = registry_maintain(r, &task, NULL, &report, err);
	fwrite(report.data ? report.data : "", 1, report.len, stdout);
	registry_close(r);
	return rc;
}

static int print_htpasswd(struct arena *a, const char *user, struct error *err)
{
	char password[128];
	const char *line;
	int r;

	if (user == NULL)
		return error_set(err, ERR_INVALID, "htpasswd: want a user name");
	if (fgets(password, sizeof(password), stdin) == NULL)
		return error_set(err, ERR_INVALID, "htpasswd: no password on standard input");
	password[strcspn(password, "\n")] = '\0';
	r = password_line(a, user, password, &line, err);
	if (r == 0)
		puts(line);
	return r;
}

static int run(const char *command, struct arena *a, const struct options *o, const char *argument,
	       struct error *err)
{
	static const char *const tasks[] = { "gc", "retain", "scrub" };
	struct registry_config c;
	struct registry *registry;
	int r;

	if (strcmp(command, "htpasswd") == 0)
		return print_htpasswd(a, argument, err);
	r = load_config(a, o, &c, err);
	if (r < 0)
		return r;
	if (strcmp(command, "validate") == 0 || strcmp(command, "serve") == 0) {
		r = registry_config_check(&c, err);
		if (r < 0)
			return o->config ? error_wrap(err, r, "%s", o->config) : r;
	}
	if (strcmp(command, "validate") == 0 || (strcmp(command, "serve") == 0 && o->validate)) {
		puts("configuration OK");
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(tasks); i++)
		if (strcmp(command, tasks[i]) == 0)
			return maintain(a, command, o, &c, err);
	if (strcmp(command, "serve") != 0)
		return error_set(err, ERR_INVALID, "unknown command '%s'; see --help", command);
	r = registry_open(&c, &registry, err);
	if (r < 0)
		return r;
	r = registry_serve(a, &c, registry, err);
	registry_close(registry);
	return r;
}

int main(int argc, char **argv)
{
	enum log_level level = LOG_INFO;
	auto_(arena) a = ARENA_INIT;
	struct options o = { 0 };
	struct error err = { 0 };
	int r = 0;

	if (argc > 1 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-v") == 0)) {
		puts("proa-registry version " PROA_VERSION);
		return 0;
	}
	if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		fputs(usage, argc < 2 ? stderr : stdout);
		return argc < 2;
	}
	if (read_options(argc - 1, argv + 1, &o) < 0)
		return 1;
	if (o.log_level != NULL)
		r = log_level_parse(o.log_level, &level, &err);
	if (r == 0 && o.log_format != NULL && strcmp(o.log_format, "json") != 0 &&
	    strcmp(o.log_format, "text") != 0)
		r = error_set(&err, ERR_INVALID, "log format '%s': want text or json",
			      o.log_format);
	log_setup(STDERR_FILENO, level,
		  o.log_format && strcmp(o.log_format, "json") == 0 ? LOG_JSON : LOG_TEXT);
	if (r == 0)
		r = run(argv[1], &a, &o, argv[1 + optind], &err);
	if (r < 0)
		fprintf(stderr, "proa-registry: %s\n", err.msg);
	return r < 0;
}
