/*
 * remote/remote.h: registries, over HTTP.
 *
 * A `struct remote` is one per process (thread-safe; holds configuration, the
 * tokens and kept-alive connections). A `struct remote_repo` is one repository
 * in one registry for one operation: it knows the endpoint that answers (a
 * mirror or the origin) and the caller's credentials; threads may fetch blobs
 * from it side by side.
 *
 * What comes from the wire is verified: manifests against the digest that was
 * asked for, blobs against the descriptor's size and digest; nothing beyond
 * the expected size is read. Credentials go to the host they were given for
 * (and its token realm) only, never along a redirect.
 *
 * Error kinds, whatever the call: ERR_NOT_FOUND (manifest, repository),
 * ERR_UNAUTHORIZED and ERR_FORBIDDEN (credentials), ERR_UNAVAILABLE (no
 * connection, stalled, rate limit, 5xx after retries), ERR_SYSTEM "no basic auth
 * credentials" (dockerd answers 500), ERR_CORRUPT (digest or
 * size do not match), ERR_CANCELED, ERR_INVALID (malformed answer). Messages
 * are Docker's where it has one ("pull access denied for x, repository does
 * not exist or may require 'docker login': denied: ...").
 *
 * Spec: distribution-spec v1.1; Docker Registry Token Authentication.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/stream.h"
#include "oci/manifest.h"
#include "oci/platform.h"
#include "oci/reference.h"

struct cancel;
struct remote;
struct remote_repo;

/*
 * Where a name's content may come from. Of all rules whose prefix matches the
 * canonical name ("docker.io/library/x") at a '/' boundary, those with the
 * longest prefix are tried in order, then the origin. Pulls only.
 */
struct remote_mirror {
	const char *prefix;   /* "docker.io", "registry.example/team" */
	const char *location; /* host[:port][/path], with or without http:// or https://; it takes
				 the place of the prefix */
	bool no_fallback;     /* a rewrite: the origin is not asked */
};

/* All strings are copied. Zero is a sensible default for every member. */
struct remote_config {
	const struct remote_mirror *mirrors;
	size_t n_mirrors;
	const char *const *insecure; /* NULL-terminated: "host[:port]" or CIDR; plain HTTP or an
					unverified certificate is fine there. Loopback always is. */
	const char *certs_dir;       /* <dir>/<host[:port]>/{*.crt,*.cert,*.key}; NULL: none */
	const char *http_proxy, *https_proxy, *no_proxy; /* NULL: the environment's */
	const char *user_agent;                          /* NULL: "proa/<version>" */
	int connect_timeout_ms;                          /* 0: 10 s */
	int stall_timeout_ms;                            /* no byte for so long: 0: 30 s */
	/* After a cut or a 5xx; 0: 6; -1: none. Whatever it says, who has heard nothing for
	 * GIVE_UP_STALLS times stall_timeout_ms gives up. */
	int retries;
};

/* What the API's X-Registry-Auth holds. NULL or "" members are absent. */
struct remote_auth {
	const char *username, *password;
	const char *identity_token; /* OAuth2 refresh token */
	const char *registry_token; /* bearer token, used as it is */
};

MUST_CHECK int remote_new(const struct remote_config *config, struct remote **ret,
			  struct error *err);
void remote_free(struct remote *r); /* after every repo is closed */

/* What a reload changes: repos that are open keep the old one. */
MUST_CHECK int remote_configure(struct remote *r, const struct remote_config *config,
				struct error *err);

enum remote_action { REMOTE_PULL, REMOTE_PUSH };

/*
 * Name a repository. Does not talk to anybody yet.
 *
 * ref     copied; its tag or digest is what remote_resolve looks for
 * auth    copied; NULL: anonymous
 * cancel  borrowed until remote_close; NULL: none
 */
MUST_CHECK int remote_open(struct remote *r, const struct reference *ref,
			   const struct remote_auth *auth, enum remote_action action,
			   const struct cancel *cancel, struct remote_repo **ret,
			   struct error *err);
void remote_close(struct remote_repo *p); /* NULL is nothing; blobs first */

/* A manifest or index as it came. Strings in the arena of the call. */
struct remote_manifest {
	struct descriptor descriptor; /* media_type, digest, size */
	const char *text;             /* descriptor.size bytes and a NUL */
	struct manifest_any doc;      /* decoded */
};

/*
 * Descriptor of the repo's reference by HEAD (GET where HEAD gives no digest).
 * For "is the image up to date" and GET /distribution.
 */
MUST_CHECK int remote_head(struct remote_repo *p, struct arena *a, struct descriptor *ret,
			   struct error *err);
/*
 * GET a manifest or index.
 *
 * d  by digest, and of that size; NULL: the repo's own reference
 */
MUST_CHECK int remote_get_manifest(struct remote_repo *p, struct arena *a,
				   const struct descriptor *d, struct remote_manifest *ret,
				   struct error *err);

/* From the reference down to one image. */
struct remote_image {
	struct remote_manifest top; /* what the reference names: `RepoDigest` */
	bool top_is_index;          /* else top and manifest are the same */
	struct remote_manifest manifest;
};
/*
 * The image for `want` (NULL: this machine): through at most INDEX_DEPTH_MAX
 * indexes. ERR_NOT_FOUND "no matching manifest for linux/arm64 in the manifest
 * list entries"; ERR_UNIMPLEMENTED for schema 1, an artifact that is no image,
 * or foreign layers (they name a URL of somebody else's; proa does not go there).
 */
MUST_CHECK int remote_resolve(struct remote_repo *p, struct arena *a, const struct platform *want,
			      struct remote_image *ret, struct error *err);

/*
 * A blob as a stream of exactly d->size - offset bytes. Talks to nobody before the first read.
 *
 * d       a size of -1 is the registry's to say, in its Content-Length
 * offset  where to start (what content_offset said); 0: all of it
 *
 * A cut or stalled connection is taken up again by Range where it ended, with
 * backoff; a server without Range costs a second transfer of what was read,
 * which is skipped. A server that has more or fewer bytes is ERR_CORRUPT. The
 * digest is the caller's to verify (content_commit does), so that a pull
 * hashes once.
 */
struct remote_blob {
	struct reader reader;
	int64_t size;        /* -1: not known before the first read */
	uint64_t wire_bytes; /* body bytes received so far, over all attempts */
};
MUST_CHECK int remote_get_blob(struct remote_repo *p, const struct descriptor *d, uint64_t offset,
			       struct remote_blob **ret, struct error *err);
void remote_blob_close(struct remote_blob *b); /* NULL is nothing */
/* A small blob (config) at once, appended to b; digest verified. */
MUST_CHECK int remote_read_blob(struct remote_repo *p, const struct descriptor *d, struct buf *b,
				struct error *err);

enum remote_push_result { REMOTE_EXISTS, REMOTE_MOUNTED, REMOTE_UPLOADED };

/*
 * Make sure that the registry has a blob.
 *
 * fd          borrowed; d->size bytes from offset 0, read by pread so that an upload can start over
 * mount_from  path of another repository of the same registry that may have it
 *             ("library/x"); NULL: none
 * progress    bytes sent so far; may be NULL. Called from the calling thread.
 */
MUST_CHECK int remote_push_blob(struct remote_repo *p, const struct descriptor *d, int fd,
				const char *mount_from, void (*progress)(void *arg, uint64_t sent),
				void *arg, enum remote_push_result *ret, struct error *err);
/* PUT a manifest under the repo's tag, or under its digest when `by_digest`. */
MUST_CHECK int remote_push_manifest(struct remote_repo *p, const char *media_type, const void *text,
				    size_t len, bool by_digest, struct error *err);

/* All tags of the repository, in the registry's order; at most 100,000. */
MUST_CHECK int remote_tags(struct remote_repo *p, struct arena *a, struct strings *ret,
			   struct error *err);

/* One line of a search. */
struct remote_hit {
	const char *name, *description;
	int64_t stars;
	bool official, automated;
};
struct remote_hits { /* in the arena of the call */
	const struct remote_hit *at;
	size_t n;
};
/*
 * Docker Hub's search, or for "host/term" the registry's own; a registry
 * without search gives the matching names of its catalog. At most `limit` hits.
 */
MUST_CHECK int remote_search(struct remote *r, const char *term, unsigned limit,
			     const struct remote_auth *auth, const struct cancel *cancel,
			     struct arena *a, struct remote_hits *ret, struct error *err);

/*
 * Are these credentials good? server: "host[:port]", a URL, or
 * "https://index.docker.io/v1/" and "" for Docker Hub.
 * ret_identity_token  in the arena; "" when the registry gives none
 * ERR_UNAUTHORIZED "login attempt to http://x/v2/ failed with status: 401 Unauthorized".
 */
MUST_CHECK int remote_login(struct remote *r, const char *server, const struct remote_auth *auth,
			    const struct cancel *cancel, struct arena *a,
			    const char **ret_identity_token, struct error *err);
