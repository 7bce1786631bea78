/*
 * remote/internal.h: what the files of this room share.
 *
 * Lock order: remote.lock before nothing; it guards the tables, and is never
 * held while the network is asked.
 */
#pragma once

#include <stdatomic.h>

#include "base/buf.h"
#include "base/lock.h"
#include "base/map.h"
#include "base/vec.h"
#include "remote/remote.h"
#include "remote/transfer.h"

enum { ERROR_BODY_MAX = 65536, REDIRECTS_MAX = 10, GIVE_UP_STALLS = 3 };

/* A copy of the configuration; counted, because repos outlive a reload. */
struct settings {
	unsigned refs; /* under remote.lock */
	struct arena arena;
	struct remote_config c;
};

struct token {
	char *value; /* "Bearer x" or "Basic x" */
	int64_t expires_ns;
};

struct remote {
	struct pool pool;
	struct lock lock; /* guards all below */
	struct settings *settings;
	struct map schemes; /* "host:port" -> "http" or "https", once known */
	struct map tokens;  /* "origin user scope" -> struct token */
};

/* One place where a repository may be. */
struct endpoint {
	char *host;           /* "registry-1.docker.io", "localhost:5000" */
	char *path;           /* of the repository there: "library/ubuntu" */
	char *scheme;         /* "http", "https", or NULL: not known yet */
	bool mirror;          /* anonymous, and a failure goes on to the next */
	bool insecure;        /* http and unverified TLS are fine */
	atomic_bool answered; /* so a broken connection is worth another try */
	char *base;           /* "https://host:port" once the scheme is known */
};

struct remote_repo {
	struct remote *remote;
	struct settings *settings;
	struct reference ref;
	struct arena arena;
	struct remote_auth auth;
	bool has_auth;
	const char *actions; /* "pull", "pull,push" ... */
	const struct cancel *cancel;
	VEC(struct endpoint) endpoints;
	atomic_size_t current; /* the endpoint that answered last */
	struct lock lock;      /* guards scheme, base and answered of the endpoints */
};

/* Of endpoints: */
bool host_is_loopback(const char *host);
/* host is "name[:port]"; entries are the same, or a CIDR. */
bool host_is_insecure(const struct settings *s, const char *host);
/* Fill p->endpoints: mirrors that fit, then the origin. */
void endpoints_find(struct remote_repo *p, bool pull);
void endpoint_release(struct endpoint *e);

/* How to reach url; the arena holds the strings. */
void transport_fill(const struct settings *s, struct arena *a, const char *url, bool insecure,
		    struct transport *ret);

/* A request below /v2/<path>/ of an endpoint. */
struct api_call {
	const char *method;
	const char *tail; /* "manifests/latest"; or an absolute URL */
	const char *accept, *content_type, *range;
	const struct upload *body;
	const char *extra_scope; /* of a cross-repository mount; may be NULL */
	const char *scope;       /* instead of the repository's; may be NULL */
	bool whole_path;         /* tail starts at /v2/ */
	bool no_retry;
	bool keep_401; /* a challenge is the answer (login) */
	/* Of the last answer, 0: nobody answered. Whoever asks for it tries again by
	 * itself when nobody does; may be NULL. */
	unsigned *ret_status;
};

/*
 * Send with credentials, follow redirects, try again what is worth it. The
 * answer may have any status below 500 but 401 and 429, which are errors.
 */
MUST_CHECK int api_send(struct remote_repo *p, struct endpoint *e, const struct api_call *c,
			struct transfer **ret, struct error *err);
/* The same over the endpoints until one gives a status below 300. */
MUST_CHECK int api_send_any(struct remote_repo *p, const struct api_call *c, struct transfer **ret,
			    struct endpoint **ret_endpoint, struct error *err);
/* What an answer of status >= 300 says, as an error of ours; always fails. */
int api_refused(struct remote_repo *p, struct transfer *t, const struct api_call *c,
		struct error *err);
/* A peer's text as one line. */
void api_line(char *text);
/*
 * Where the answer of from_url leads, heap; NULL: it is no redirect. Nothing goes
 * from TLS into the clear, except where the registry is insecure.
 *
 * foreign  set when that is another origin, which gets no credentials
 */
MUST_CHECK int api_redirect(const char *from_url, struct transfer *t, bool insecure, char **ret,
			    bool *foreign, struct error *err);
/* Body of an answer, at most b's ceiling. */
MUST_CHECK int api_read(struct transfer *t, struct buf *b, struct error *err);
/* Wait before try number n (from 1), longer each time; ERR_CANCELED. */
MUST_CHECK int api_back_off(const struct remote_repo *p, int n, struct error *err);
/* Is another try worth it after `tries` of them, the first failure of which was at since_ns? */
bool api_patience(const struct remote_repo *p, int tries, int64_t since_ns);

/*
 * The Authorization value for a scope at an endpoint, from the table or by
 * asking the token server; NULL when there is none. Heap.
 *
 * header  the WWW-Authenticate value that asked for it; NULL: only the table
 */
MUST_CHECK int auth_find(struct remote_repo *p, const struct endpoint *e, const char *scope,
			 const char *header, char **ret, struct error *err);
void auth_forget(struct remote_repo *p, const struct endpoint *e, const char *scope);
/* What a challenge is answered with. Strings are heap. */
struct grant {
	char *value;   /* of the Authorization header */
	char *refresh; /* "" or the token server's refresh token; NULL where there is none */
	int64_t lifetime_s;
};
/* offline: ask for a refresh token too (login). */
MUST_CHECK int auth_fetch(struct remote_repo *p, const struct endpoint *e, const char *scope,
			  const char *header, bool offline, struct grant *ret, struct error *err);
