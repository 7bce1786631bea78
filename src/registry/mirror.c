#include "registry/mirror.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/str.h"
#include "registry/name.h"
#include "remote/remote.h"

struct mirror {
	const struct registry_config *config;
	struct repo_store *store;
	struct uploads *uploads;
	struct remote *remote;
	pthread_mutex_t lock; /* guards fetching */
	pthread_cond_t done;
	struct map fetching; /* "repo digest" of what is on its way */
	struct map checked;  /* "repo:tag" -> when the upstream was asked, int64_t; by the lock */
};

#define CHECKED_MAX 100000 /* then all are asked for again */

int mirror_new(const struct registry_config *config, struct repo_store *store,
	       struct uploads *uploads, struct mirror **ret, struct error *err)
{
	const char **insecure = xcalloc(config->n_mirrors + 1, sizeof(*insecure));
	/* A client waits: an upstream that is down is given up soon, and what is here served. */
	struct remote_config rc = { .insecure = insecure,
				    .connect_timeout_ms = 3000,
				    .stall_timeout_ms = 5000,
				    .retries = 1 };
	struct mirror *m = new0(struct mirror);
	size_t n = 0;
	int r;

	for (size_t i = 0; i < config->n_mirrors; i++)
		if (config->mirrors[i].insecure)
			insecure[n++] = config->mirrors[i].upstream;
	m->config = config;
	m->store = store;
	m->uploads = uploads;
	m->checked.free_value = free;
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->done, NULL);
	r = remote_new(&rc, &m->remote, err);
	free(insecure);
	if (r < 0) {
		mirror_free(m);
		return r;
	}
	*ret = m;
	return 0;
}

void mirror_free(struct mirror *m)
{
	if (m == NULL)
		return;
	if (m->remote != NULL)
		remote_free(m->remote);
	map_release(&m->fetching);
	map_release(&m->checked);
	pthread_cond_destroy(&m->done);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

static bool is_below(const char *repo, const char *prefix)
{
	size_t n = strlen(prefix);

	return n == 0 || (strncmp(repo, prefix, n) == 0 && repo[n] == '/');
}

/* The one with the longest prefix. */
static const struct config_mirror *find(const struct mirror *m, const char *repo)
{
	const struct config_mirror *best = NULL;

	for (size_t i = 0; i < m->config->n_mirrors; i++) {
		const struct config_mirror *c = &m->config->mirrors[i];

		if (is_below(repo, c->prefix) &&
		    (best == NULL || strlen(c->prefix) > strlen(best->prefix)))
			best = c;
	}
	return best;
}

bool mirror_covers(const struct mirror *m, const char *repo)
{
	return find(m, repo) != NULL;
}

static int open_upstream(struct mirror *m, const char *repo, const char *reference,
			 const struct cancel *cancel, struct remote_repo **ret, struct error *err)
{
	const struct config_mirror *c = find(m, repo);
	const char *path = repo + strlen(c->prefix) + (*c->prefix != '\0');
	struct remote_auth auth = { .username = c->username, .password = c->password };
	autofree char *text = cstr_format("%s/%s%s%s", c->upstream, path,
					  strchr(reference, ':') ? "@" : ":", reference);
	struct reference ref;
	int r = reference_parse(text, &ref, err);

	if (r < 0)
		return error_wrap(err, r, "upstream name '%s'", text);
	return remote_open(m->remote, &ref, c->username ? &auth : NULL, REMOTE_PULL, cancel, ret,
			   err);
}

static int keep_manifest(struct mirror *m, const char *repo, const char *reference,
			 const struct remote_manifest *got, struct error *err)
{
	struct repo_put put = {
		.media_type = got->descriptor.media_type,
		.tags = &reference,
		.n_tags = strchr(reference, ':') ? 0 : 1,
		.want = &got->descriptor.digest,
		.bytes = got->text,
		.len = (size_t)got->descriptor.size,
		.sparse = true,
	};
	struct digest d, subject;

	return repo_put_manifest(m->store, repo, &put, &d, &subject, err);
}

static bool is_fresh(struct mirror *m, const char *repo, const char *tag)
{
	autofree char *key = cstr_format("%s:%s", repo, tag);
	int64_t ttl_ns = find(m, repo)->tag_ttl_ns;
	const int64_t *at;
	bool fresh;

	if (ttl_ns == 0)
		return false;
	pthread_mutex_lock(&m->lock);
	at = map_get(&m->checked, key);
	fresh = at != NULL && clock_mono_ns() - *at < ttl_ns;
	pthread_mutex_unlock(&m->lock);
	return fresh;
}

static void set_fresh(struct mirror *m, const char *repo, const char *tag)
{
	autofree char *key = cstr_format("%s:%s", repo, tag);
	int64_t *at;

	if (find(m, repo)->tag_ttl_ns == 0)
		return;
	at = new0(int64_t);
	*at = clock_mono_ns();
	pthread_mutex_lock(&m->lock);
	if (m->checked.len >= CHECKED_MAX)
		map_release(&m->checked);
	m->checked.free_value = free;
	map_set(&m->checked, key, at);
	pthread_mutex_unlock(&m->lock);
}

/* The tag leads to a manifest that can be read: a scrub may have taken that away. */
static bool is_whole(struct mirror *m, const char *repo, const char *tag, struct digest *ret)
{
	auto_(arena) a = ARENA_INIT;
	struct repo_manifest kept;

	return repo_get_tag(m->store, repo, tag, ret, NULL) == 0 &&
	       repo_get_manifest(m->store, repo, ret, &a, &kept, NULL) == 0;
}

static void log_unkept(const char *repo, const char *reference, const struct error *why)
{
	log_warn("mirror cannot keep what it fetched, continuing", KV("repository", repo),
		 KV("reference", reference), KV_ERR(why));
}

/* From upstream into the repository; into *ret where the storage does not take it. */
static int fetch_manifest(struct mirror *m, const char *repo, const char *reference,
			  struct remote_repo *upstream, struct arena *a, struct repo_manifest *ret,
			  struct error *err)
{
	struct remote_manifest got;
	int r = remote_get_manifest(upstream, a, NULL, &got, err);

	if (r < 0)
		return r;
	r = keep_manifest(m, repo, reference, &got, err);
	if (r != -ERR_SYSTEM)
		return r;
	log_unkept(repo, reference, err);
	*ret = (struct repo_manifest){ .digest = got.descriptor.digest,
				       .media_type = arena_strdup(a, got.descriptor.media_type),
				       .bytes = got.text,
				       .len = (size_t)got.descriptor.size };
	return 0;
}

int mirror_manifest(struct mirror *m, const char *repo, const char *reference,
		    const struct cancel *cancel, struct arena *a, struct repo_manifest *ret,
		    struct error *err)
{
	struct remote_repo *upstream;
	struct descriptor head;
	struct digest here;
	bool is_tag = strchr(reference, ':') == NULL;
	bool whole = is_tag && is_whole(m, repo, reference, &here);
	int r;

	ret->bytes = NULL;
	if (whole && is_fresh(m, repo, reference))
		return 0;
	r = open_upstream(m, repo, reference, cancel, &upstream, err);
	if (r < 0)
		return r;
	r = remote_head(upstream, a, &head, err);
	if (r == 0 && !(whole && memcmp(&here, &head.digest, sizeof(here)) == 0))
		r = fetch_manifest(m, repo, reference, upstream, a, ret, err);
	remote_close(upstream);
	if (r == 0 && is_tag && ret->bytes == NULL)
		set_fresh(m, repo, reference);
	return r;
}

/* ---- blobs ---- */

/*
 * What comes from the upstream, also given to the client who waits for it; the
 * last byte only once the digest agrees, so that nobody takes a lie for whole.
 */
struct passing {
	struct reader reader;
	struct remote_blob *from;
	struct mirror_client *client; /* NULL: nobody waits */
	struct writer *to;            /* NULL once it failed */
	struct hash hash;             /* of what was read, where a client waits */
	uint64_t passed;
	bool broken; /* the upstream failed, and not the storage */
	char last;
};

static int passing_read(struct reader *r, void *out, size_t len, size_t *ret_n, struct error *err)
{
	struct passing *p = container_of(r, struct passing, reader);
	int rc = reader_read(&p->from->reader, out, len, ret_n, err);
	size_t n;

	p->broken = rc < 0;
	if (rc < 0 || p->client == NULL)
		return rc;
	n = *ret_n;
	p->client->size = (uint64_t)p->from->size;
	if (n > 0)
		hash_add(&p->hash, out, n);
	if (n == 0 || p->to == NULL)
		return 0;
	if (p->passed + n >= p->client->size)
		p->last = ((const char *)out)[--n];
	if (n > 0 && writer_write(p->to, out, n, NULL) < 0)
		p->to = NULL; /* the client left: the blob is kept for the next one */
	else
		p->passed += n;
	return 0;
}

static void passing_init(struct passing *p, struct mirror_client *client, enum digest_algo algo)
{
	static const struct reader_ops ops = { passing_read };

	*p = (struct passing){ .reader = { &ops }, .client = client };
	if (client == NULL)
		return;
	p->to = client->to;
	if (algo == DIGEST_SHA512)
		hash_init_sha512(&p->hash);
	else
		hash_init_sha256(&p->hash);
}

/* The digest agreed: the rest of it. */
static void passing_finish(struct passing *p)
{
	size_t left = (size_t)(p->client->size - p->passed);

	if (left <= 1)
		(void)!writer_write(p->to, &p->last, left, NULL);
}

static int keep_blob(struct mirror *m, const char *repo, const struct digest *d, struct passing *p,
		     struct error *err)
{
	struct upload_chunk chunk = { .at = 0, .length = -1, .body = &p->reader };
	char id[UPLOAD_ID_MAX];
	uint64_t got;
	int r = upload_begin(m->uploads, repo, id, err);

	if (r < 0)
		return r;
	r = upload_append(m->uploads, repo, id, &chunk, &got, err);
	if (r == 0)
		r = upload_commit(m->uploads, repo, id, d, err);
	if (r < 0)
		(void)!upload_abort(m->uploads, repo, id, NULL);
	return r;
}

/* The storage took no more: the rest is the client's alone. */
static int pass_on(struct passing *p, const struct digest *d, struct error *err)
{
	struct digest got = { .algo = d->algo };
	char part[16384];
	size_t n;
	int r;

	do {
		r = reader_read(&p->reader, part, sizeof(part), &n, err);
	} while (r == 0 && n > 0);
	if (r < 0)
		return r;
	hash_finish(&p->hash, got.bytes);
	return digest_equal(&got, d)
		   ? 0
		   : error_set(err, ERR_CORRUPT,
			       "the upstream's bytes are not what the digest names");
}

static int fetch(struct mirror *m, const char *repo, const struct digest *d, struct passing *p,
		 const struct cancel *cancel, struct error *err)
{
	struct descriptor desc = { .digest = *d, .size = -1 };
	char text[DIGEST_TEXT_MAX];
	struct remote_repo *upstream;
	int r;

	digest_format(d, text);
	r = open_upstream(m, repo, text, cancel, &upstream, err);
	if (r < 0)
		return r;
	r = remote_get_blob(upstream, &desc, 0, &p->from, err);
	if (r == 0)
		r = keep_blob(m, repo, d, p, err);
	if (r < 0 && r != -ERR_CORRUPT && !p->broken && p->to != NULL) {
		log_unkept(repo, text, err);
		r = pass_on(p, d, err);
	}
	remote_blob_close(p->from);
	remote_close(upstream);
	return r;
}

/* Wait until nobody else fetches key; true when somebody did. */
static bool enter(struct mirror *m, const char *key)
{
	bool waited = false;

	pthread_mutex_lock(&m->lock);
	while (map_has(&m->fetching, key)) {
		waited = true;
		pthread_cond_wait(&m->done, &m->lock);
	}
	map_set(&m->fetching, key, m);
	pthread_mutex_unlock(&m->lock);
	return waited;
}

static void leave(struct mirror *m, const char *key)
{
	pthread_mutex_lock(&m->lock);
	map_remove(&m->fetching, key);
	pthread_cond_broadcast(&m->done);
	pthread_mutex_unlock(&m->lock);
}

int mirror_blob(struct mirror *m, const char *repo, const struct digest *d,
		struct mirror_client *client, const struct cancel *cancel, struct error *err)
{
	struct passing p;
	char text[DIGEST_TEXT_MAX];
	autofree char *key = NULL;
	uint64_t here;
	bool waited, fetched;
	int r = 0;

	passing_init(&p, client, d->algo);
	digest_format(d, text);
	key = cstr_format("%s %s", repo, text);
	waited = enter(m, key);
	fetched = !waited || repo_stat_blob(m->store, repo, d, &here, NULL) < 0;
	if (fetched)
		r = fetch(m, repo, d, &p, cancel, err);
	leave(m, key);
	if (r == 0 && fetched && p.to != NULL)
		passing_finish(&p);
	hash_release(&p.hash);
	return r;
}
