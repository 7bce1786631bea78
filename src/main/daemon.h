/*
 * main/daemon.h: the pieces that proad.c puts together.
 */
#pragma once

#include "base/error.h"
#include "engine/engine.h"
#include "http/server.h"
#include "main/settings.h"

/* Settings in the engine's words. Strings live in s->arena. ERR_INVALID names the
 * setting. */
MUST_CHECK int daemon_engine_config(struct settings *s, struct engine_config *ret,
				    struct error *err);
/* Open every --host (default unix:///run/proa/proa.sock) on the server. */
MUST_CHECK int daemon_listen(struct settings *s, struct http_server *server, struct error *err);
/* Log level and format. */
MUST_CHECK int daemon_setup_log(const struct settings *s, struct error *err);

/* ---- systemd, by its documented protocols ---- */
/* Number of sockets passed (fds 3, 4, ...); the environment is cleared. */
int systemd_take_sockets(void);
/* "READY=1"; nothing without NOTIFY_SOCKET. */
void systemd_notify(const char *state);
