/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proad: the engine behind the Docker Engine API.
 *
 * The main thread is the HTTP server's waiter. One thread reads signals (all are
 * blocked everywhere else) and watches for the idle exit.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/router.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/str.h"
#include "base/vec.h"
#include "engine/build.h"
#include "main/daemon.h"
#include "network/network.h"

#define QUIET_MS 30000

struct daemon {
	struct settings settings;
	struct engine_config config;
	struct engine *engine;
	struct api *api;
	struct http_server *server;
	char *pidfile;
	int pid_fd; /* locked while we run */
	VEC(struct settings *) reloaded;
	int argc;
	char **argv;
};

static void raise_limits(const struct settings *s)
{
	char path[] = "/proc/self/oom_score_adj";
	autofree char *text =
	    cstr_format("%lld", (long long)settings_int(s, "oom-score-adjust", 0));
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	if (settings_given(s, "oom-score-adjust")) {
		autoclose int fd = open(path, O_WRONLY | O_CLOEXEC);

		if (fd < 0 || fs_write_all(fd, text, strlen(text), NULL) < 0)
			log_warn("oom-score-adjust not set, continuing", KV("value", text));
	}
}

static int write_pidfile(struct daemon *d, struct error *err)
{
	autofree char *text = cstr_format("%d\n", (int)getpid());
	const char *path = settings_str(&d->settings, "pidfile");
	autofree char *file = settings_given(&d->settings, "pidfile")
				  ? cstr_format("%s", path)
				  : cstr_format("%s/proad.pid", d->config.exec_root);
	autoclose int fd = FD_NONE;
	/* Nobody believes the number of an old one: the lock ends with its process. */
	int r = fs_open(file, O_WRONLY | O_CREAT, 0644, &fd, err);

	if (r == 0 && flock(fd, LOCK_EX | LOCK_NB) < 0)
		r = error_set(err, ERR_CONFLICT, "'%s' is used by another process", file);
	if (r == 0 && ftruncate(fd, 0) < 0)
		r = error_sys(err, errno, "'%s'", file);
	if (r == 0)
		r = fs_write_all(fd, text, strlen(text), err);
	if (r < 0)
		return error_wrap(err, r, "pid file");
	d->pidfile = steal_ptr(file);
	d->pid_fd = steal_fd(&fd);
	return 0;
}

/* Read everything again; fresh keeps what the engine and the API point into. */
static int read_again(struct daemon *d, struct settings *fresh, struct engine_config *cfg,
		      enum log_level *ret_level, struct error *err)
{
	int r = settings_read_flags(fresh, d->argc, d->argv, err);

	if (r == 0)
		r = settings_read_file(fresh, err);
	if (r == 0)
		r = log_level_parse(settings_str(fresh, "log-level"), ret_level, err);
	if (r == 0)
		r = daemon_engine_config(fresh, cfg, err);
	return r;
}

/* What may change while running does; the rest waits for the next start. */
static void reload(struct daemon *d)
{
	struct settings *fresh = new0(struct settings);
	struct engine_config cfg;
	struct error err = { 0 };
	enum log_level level;
	int r;

	systemd_notify("RELOADING=1");
	r = read_again(d, fresh, &cfg, &level, &err);
	if (r == 0)
		r = engine_reload(d->engine, &cfg, &err);
	if (r < 0) {
		log_error("configuration not reloaded, continuing with the old one", KV_ERR(&err));
		settings_release(fresh);
		free(fresh);
	} else {
		log_set_level(cfg.debug ? LOG_DEBUG : level);
		api_set_registries(d->api, cfg.registry_mirrors, cfg.insecure_registries);
		/* A request may still read the lists of the last one: they end with us. */
		*vec_push(&d->reloaded) = fresh;
		log_info("configuration reloaded");
	}
	systemd_notify("READY=1");
}

static bool is_idle(struct daemon *d, int64_t idle_s)
{
	struct http_server_stats stats;

	http_server_get_stats(d->server, &stats);
	return stats.connections == 0 && clock_mono_ns() - stats.last_ns >= idle_s * NS_PER_SEC &&
	       engine_build_running(d->engine) == 0 && engine_is_idle(d->engine);
}

static void *watch_signals(void *arg)
{
	struct daemon *d = arg;
	int64_t idle_s = settings_int(&d->settings, "idle-exit", 0);
	struct timespec second = { .tv_sec = 1 };
	sigset_t wanted;

	sigemptyset(&wanted);
	sigaddset(&wanted, SIGTERM);
	sigaddset(&wanted, SIGINT);
	sigaddset(&wanted, SIGHUP);
	for (;;) {
		int sig =
		    idle_s > 0 ? sigtimedwait(&wanted, NULL, &second) : sigwaitinfo(&wanted, NULL);

		if (sig == SIGHUP)
			reload(d);
		if (sig == SIGTERM || sig == SIGINT)
			log_info("stopping; containers go on", KV("signal", sigabbrev_np(sig)));
		else if (idle_s > 0 && is_idle(d, idle_s))
			log_info("nothing to do: leaving", KV_INT("idle_s", idle_s));
		else
			continue;
		systemd_notify("STOPPING=1");
		http_server_stop(d->server);
		return NULL;
	}
}

static int start(struct daemon *d, struct error *err)
{
	struct http_server_config http = { .name = "proa/" PROA_VERSION " (linux)",
					   .max_connections = 16384,
					   .quiet_after_ms = QUIET_MS,
					   .on_quiet = memory_give_back,
					   .on_tick = memory_trim_much,
					   .accept_context_fd = true };
	struct api_config api = { .experimental =
				      settings_bool(&d->settings, "experimental", false) };
	int r;

	r = engine_open(&d->config, &d->engine, err);
	if (r < 0)
		return r;
	r = write_pidfile(d, err);
	if (r < 0)
		return r;
	api.engine = d->engine;
	api.registry_mirrors = d->config.registry_mirrors;
	api.insecure_registries = d->config.insecure_registries;
	d->api = api_new(&api);
	r = http_server_new(&http, api_handle, d->api, &d->server, err);
	if (r < 0)
		return r;
	return daemon_listen(&d->settings, d->server, err);
}

static int serve(struct daemon *d, struct error *err)
{
	pthread_t signals;
	int r;

	if (pthread_create(&signals, NULL, watch_signals, d) != 0)
		return error_set(err, ERR_SYSTEM, "cannot start the signal thread");
	systemd_notify("READY=1");
	log_info("API ready", KV("version", PROA_VERSION), KV("data-root", d->config.data_root));
	r = http_server_run(d->server, err);
	if (r < 0)
		kill(getpid(), SIGTERM);
	pthread_join(signals, NULL);
	return r;
}

static void finish(struct daemon *d)
{
	http_server_free(d->server);
	engine_close(d->engine);
	api_free(d->api);
	if (d->pidfile) {
		unlink(d->pidfile);
		close(d->pid_fd);
	}
	free(d->pidfile);
	vec_for_each (s, &d->reloaded) {
		settings_release(*s);
		free(*s);
	}
	vec_release(&d->reloaded);
	settings_release(&d->settings);
}

static int run(struct daemon *d, struct error *err)
{
	int r = settings_read_file(&d->settings, err);

	if (r == 0)
		r = daemon_setup_log(&d->settings, err);
	if (r == 0)
		r = daemon_engine_config(&d->settings, &d->config, err);
	if (r < 0)
		return r;
	if (settings_bool(&d->settings, "validate", false)) {
		printf("configuration OK\n");
		return 0;
	}
	if (geteuid() != 0)
		return error_set(
		    err, ERR_FORBIDDEN,
		    "proad has to be started by root: rootless mode is not supported yet");
	raise_limits(&d->settings);
	r = start(d, err);
	if (r == 0)
		r = serve(d, err);
	finish(d);
	return r;
}

int main(int argc, char **argv)
{
	struct daemon d = { .argc = argc, .argv = argv };
	struct error err = { 0 };
	sigset_t blocked;

	net_helper_main(argc, argv);
	sigfillset(&blocked);
	pthread_sigmask(SIG_BLOCK, &blocked, NULL);
	signal(SIGPIPE, SIG_IGN);
	umask(022);
	memory_setup_daemon();
	log_setup(STDERR_FILENO, LOG_INFO, LOG_TEXT);
	if (settings_read_flags(&d.settings, argc, argv, &err) < 0) {
		fprintf(stderr, "%s\nSee 'proad --help'.\n", err.msg);
		return 125;
	}
	if (d.settings.help || d.settings.version) {
		if (d.settings.help)
			settings_print_help();
		else
			printf("proad version %s\n", PROA_VERSION);
		settings_release(&d.settings);
		return 0;
	}
	if (run(&d, &err) < 0) {
		fprintf(stderr, "%s\n", err.msg);
		return 1;
	}
	return 0;
}
