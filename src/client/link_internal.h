/*
 * client/link_internal.h: one connection to the engine, however it is made.
 */
#pragma once

#include <stdbool.h>

#include "base/proc.h"
#include "http/client.h"

enum host_kind { HOST_UNIX, HOST_TCP, HOST_FD, HOST_SSH };

struct host {
	enum host_kind kind;
	char *text; /* as given */
	char *path; /* unix: socket */
	char *name, *port, *user;
	char *header; /* Host: header */
	char *base;   /* path prefix of a tcp host, "" */
	int fd;
	bool tls, tls_verify;
	char *tls_ca, *tls_cert, *tls_key;
};

struct link {
	struct link *next;
	struct http_conn conn;
	bool has_helper;
	struct proc helper; /* ssh */
	bool reused;
};

/* "unable to parse docker host `x`" for anything malformed. */
MUST_CHECK int host_parse(const char *text, struct host *ret, struct error *err);
void host_release(struct host *h);

/* A new connection, in the words docker's CLI has for failures. */
MUST_CHECK int link_open(const struct host *h, struct link **ret, struct error *err);
void link_close(struct link *l);

/*
 * Speak TLS to fd from a thread of its own; *ret_fd is the plain side.
 * take_fd is owned in every case. libssl is loaded here, at run time: a CLI that
 * talks to the local socket never pays for it.
 */
MUST_CHECK int link_wrap_tls(const struct host *h, int take_fd, int *ret_fd, struct error *err);
