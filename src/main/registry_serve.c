/* main/registry_serve.c: listeners, signals, certificate renewal and the maintenance clock. */
#include "main/registry_serve.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/queue.h"
#include "base/str.h"
#include "http/server.h"

#define RENEWAL_MS 10000 /* how often the certificate's file is looked at */

struct serving {
	struct registry *r;
	const struct registry_config *config;
	struct http_server *server;
	struct http_tls_config tls_config;
	struct http_tls *tls;
	int signals;
};

static void reload_tls(struct serving *s)
{
	struct error err;

	if (s->tls == NULL)
		return;
	if (http_tls_reload(s->tls, &s->tls_config, &err) < 0)
		log_warn("the renewed certificate cannot be used, continuing with the old one",
			 KV_ERR(&err));
	else
		log_info("certificate read again");
}

/* The one place of signals; looks at the certificate now and then, because those
 * who renew it need not know that we should be told. */
static void watch(void *arg)
{
	struct serving *s = arg;
	struct signalfd_siginfo info;
	struct stat seen = { 0 }, now;

	if (s->tls != NULL)
		(void)!stat(s->tls_config.cert_path, &seen);
	for (;;) {
		struct pollfd p = { .fd = s->signals, .events = POLLIN };

		if (poll(&p, 1, RENEWAL_MS) <= 0) {
			if (s->tls != NULL && stat(s->tls_config.cert_path, &now) == 0 &&
			    now.st_mtim.tv_sec != seen.st_mtim.tv_sec) {
				seen = now;
				reload_tls(s);
			}
			continue;
		}
		if (read(s->signals, &info, sizeof(info)) != sizeof(info))
			continue;
		if (info.ssi_signo != SIGHUP)
			break;
		reload_tls(s);
	}
	http_server_stop(s->server);
}

static void collect_now_and_then(void *arg)
{
	const struct serving *s = arg;

	for (;;) {
		struct timespec t = { .tv_sec = s->config->gc_interval_ns / NS_PER_SEC };
		static const struct registry_task tasks[] = { { .what = "retain" },
							      { .what = "gc" } };

		nanosleep(&t, NULL);
		for (size_t i = 0; i < ARRAY_LEN(tasks); i++) {
			auto_(buf) report = BUF_INIT(64 * 1024 * 1024);
			struct error err;

			if (registry_maintain(s->r, &tasks[i], NULL, &report, &err) < 0)
				log_warn("maintenance failed, continuing",
					 KV("task", tasks[i].what), KV_ERR(&err));
			else if (report.len > 0)
				log_info("maintenance", KV("task", tasks[i].what),
					 KV("report", report.data));
		}
	}
}

static int listen_all(struct http_server *s, struct arena *a, const struct registry_config *c,
		      struct http_tls *tls, struct error *err)
{
	int r = http_server_listen_unix(s, arena_format(a, "%s/control.sock", c->data), 0600,
					(gid_t)-1, err);

	for (size_t i = 0; r == 0 && i < c->n_listen; i++) {
		struct config_address at;
		uint16_t port;

		r = config_address_parse(c->listen[i], &at, err);
		if (r < 0)
			return error_wrap(err, r, "listen[%zu]", i);
		if (at.socket != NULL) {
			r = http_server_listen_unix(s, at.socket, 0660, (gid_t)-1, err);
			continue;
		}
		r = http_server_listen_tcp(s, at.host, at.port, tls, &port, err);
		if (r == 0)
			log_info("listening",
				 KV("address",
				    arena_format(a, strchr(at.host, ':') ? "[%s]:%u" : "%s:%u",
						 at.host, port)));
	}
	return r;
}

/* A descriptor per connection: as many as the administrator allows this process. */
static void raise_descriptors(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
		l.rlim_cur = l.rlim_max;
		(void)!setrlimit(RLIMIT_NOFILE, &l);
	}
}

int registry_serve(struct arena *a, const struct registry_config *c, struct registry *r,
		   struct error *err)
{
	struct http_server_config sc = { .max_connections = c->max_connections,
					 .max_per_peer = c->max_per_peer,
					 .read_timeout_ms = 60000,
					 .write_timeout_ms = 60000,
					 .min_body_rate = 1024 };
	static struct serving s; /* lives as long as its threads: as the process */
	sigset_t set;
	int rc;

	s = (struct serving){ .r = r,
			      .config = c,
			      .tls_config = { c->tls_cert, c->tls_key, c->tls_client_ca,
					      c->tls_client_ca != NULL } };
	raise_descriptors();
	sigfillset(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	s.signals = signalfd(-1, &set, SFD_CLOEXEC);
	rc = c->tls_cert ? http_tls_new(&s.tls_config, &s.tls, err) : 0;
	if (rc == 0)
		rc = http_server_new(&sc, registry_handle, r, &s.server, err);
	if (rc == 0)
		rc = listen_all(s.server, a, c, s.tls, err);
	if (rc == 0)
		rc = thread_start(watch, &s, "signals", err);
	if (rc == 0 && c->gc_interval_ns >= NS_PER_SEC)
		rc = thread_start(collect_now_and_then, &s, "gc", err);
	if (rc == 0)
		rc = http_server_run(s.server, err);
	http_server_free(s.server);
	http_tls_unref(s.tls);
	return rc;
}
