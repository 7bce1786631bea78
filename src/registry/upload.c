#include "registry/upload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/lock.h"
#include "base/map.h"
#include "base/random.h"
#include "registry/name.h"

#define CHUNK_BYTES (256 * 1024)

/* What memory keeps of an upload; the bytes are the storage's. */
struct session {
	struct hash sha256, sha512;
	uint64_t hashed; /* bytes that are in the hashes */
	bool busy;
};

struct uploads {
	struct repo_store *store;
	uint64_t max_bytes;
	struct lock lock; /* guards sessions and their busy flags */
	struct map sessions;
};

static void session_free(void *p)
{
	struct session *s = p;

	hash_release(&s->sha256);
	hash_release(&s->sha512);
	free(s);
}

struct uploads *uploads_new(struct repo_store *store, uint64_t max_blob_bytes)
{
	struct uploads *u = new0(struct uploads);

	u->store = store;
	u->max_bytes = max_blob_bytes;
	u->lock = (struct lock)LOCK_INIT;
	u->sessions.free_value = session_free;
	return u;
}

void uploads_free(struct uploads *u)
{
	if (u == NULL)
		return;
	map_release(&u->sessions);
	free(u);
}

static struct storage *storage_of(struct uploads *u)
{
	return u->store->storage;
}

static bool is_id(const char *id)
{
	return strlen(id) == UPLOAD_ID_MAX - 1 &&
	       strspn(id, "0123456789abcdef") == UPLOAD_ID_MAX - 1;
}

/* repos/<name>/uploads/<id>: whose it is, and (mtime) when it was touched last. */
static void owner_key(const char *repo, const char *id, char *out)
{
	char rest[64];

	snprintf(rest, sizeof(rest), "/uploads/%s", id);
	name_repo_key(repo, rest, out, STORAGE_KEY_MAX);
}

int upload_begin(struct uploads *u, const char *repo, char ret_id[static UPLOAD_ID_MAX],
		 struct error *err)
{
	struct storage_upload handle;
	char key[STORAGE_KEY_MAX];
	int r;

	random_hex(ret_id, (UPLOAD_ID_MAX - 1) / 2);
	r = storage_of(u)->ops->upload_begin(storage_of(u), ret_id, &handle, err);
	if (r < 0)
		return r;
	storage_of(u)->ops->upload_close(storage_of(u), &handle);
	owner_key(repo, ret_id, key);
	r = storage_of(u)->ops->note(storage_of(u), key, err);
	if (r < 0)
		(void)storage_of(u)->ops->upload_remove(storage_of(u), ret_id, NULL);
	return r;
}

static int check_owner(struct uploads *u, const char *repo, const char *id, struct error *err)
{
	char key[STORAGE_KEY_MAX];
	int r;

	if (!is_id(id))
		return error_set(err, ERR_NOT_FOUND, "no such upload");
	owner_key(repo, id, key);
	r = storage_of(u)->ops->touch(storage_of(u), key, err);
	return r == -ERR_NOT_FOUND ? error_set(err, ERR_NOT_FOUND, "no such upload") : r;
}

/* Exclusive use of the upload until leave. */
static int enter(struct uploads *u, const char *repo, const char *id, struct session **ret,
		 struct storage_upload *ret_handle, struct error *err)
{
	struct session *s;
	int r = check_owner(u, repo, id, err);

	if (r < 0)
		return r;
	{
		LOCKED(&u->lock);
		s = map_get(&u->sessions, id);
		if (s == NULL) {
			s = new0(struct session);
			hash_init_sha256(&s->sha256);
			hash_init_sha512(&s->sha512);
			map_set(&u->sessions, id, s);
		}
		if (s->busy)
			return error_set(err, ERR_CONFLICT, "another request works on this upload");
		s->busy = true;
	}
	r = storage_of(u)->ops->upload_resume(storage_of(u), id, ret_handle, err);
	if (r < 0) {
		LOCKED(&u->lock);
		map_remove(&u->sessions, id);
		return r;
	}
	*ret = s;
	return 0;
}

static void leave(struct uploads *u, const char *id, struct storage_upload *handle, bool forget)
{
	struct session *s;

	storage_of(u)->ops->upload_close(storage_of(u), handle);
	LOCKED(&u->lock);
	s = map_get(&u->sessions, id);
	if (s != NULL)
		s->busy = false;
	if (forget)
		map_remove(&u->sessions, id);
}

int upload_size(struct uploads *u, const char *repo, const char *id, uint64_t *ret_size,
		struct error *err)
{
	struct storage_upload handle;
	int r = check_owner(u, repo, id, err);

	if (r < 0)
		return r;
	r = storage_of(u)->ops->upload_resume(storage_of(u), id, &handle, err);
	if (r < 0)
		return r;
	*ret_size = handle.size;
	storage_of(u)->ops->upload_close(storage_of(u), &handle);
	return 0;
}

/* sha256 goes along with the bytes; sha512 is rare and is made at the commit. */
static int catch_up(struct uploads *u, struct session *s, struct storage_upload *handle,
		    struct error *err)
{
	autofree char *part = xcalloc(1, CHUNK_BYTES);

	while (s->hashed < handle->size) {
		size_t n;
		int r = storage_of(u)->ops->upload_read(storage_of(u), handle, s->hashed, part,
							CHUNK_BYTES, &n, err);

		if (r < 0)
			return r;
		if (n == 0)
			return error_set(err, ERR_CORRUPT, "upload is shorter than its size");
		hash_add(&s->sha256, part, n);
		s->hashed += n;
	}
	return 0;
}

/*
 * Fill part, or come to the end of the body. Pieces as the socket gave them would be
 * kept as small pages, which costs every later reader; so whole parts are written.
 * A body that breaks off still gives what came: an upload can be resumed there.
 */
static int read_part(struct reader *body, char *part, size_t len, size_t *ret_n, struct error *err)
{
	size_t n = 1;
	int r = 0;

	*ret_n = 0;
	while (r == 0 && n > 0 && *ret_n < len) {
		r = reader_read(body, part + *ret_n, len - *ret_n, &n, err);
		if (r == 0)
			*ret_n += n;
	}
	return r;
}

static int keep_part(struct uploads *u, struct session *s, struct storage_upload *handle,
		     const char *part, size_t n, struct error *err)
{
	int r;

	if (handle->size + n > u->max_bytes)
		return error_set(err, ERR_FORBIDDEN, "blob is larger than %llu bytes",
				 (unsigned long long)u->max_bytes);
	r = storage_of(u)->ops->upload_write(storage_of(u), handle, part, n, err);
	if (r < 0)
		return r;
	hash_add(&s->sha256, part, n);
	s->hashed += n;
	return 0;
}

static int append_body(struct uploads *u, struct session *s, struct storage_upload *handle,
		       struct upload_chunk *chunk, struct error *err)
{
	autofree char *part = xcalloc(1, CHUNK_BYTES);
	bool whole = false;

	while (!whole) {
		/* Up to the next multiple: the upload may stand anywhere. */
		size_t want = CHUNK_BYTES - (size_t)(handle->size % CHUNK_BYTES), n;
		int broken = read_part(chunk->body, part, want, &n, err);
		int r = n > 0 ? keep_part(u, s, handle, part, n, broken < 0 ? NULL : err) : 0;

		if (r < 0 || broken < 0)
			return broken < 0 ? broken : r;
		chunk->got += n;
		whole = n < want;
	}
	if (chunk->length >= 0 && chunk->got != (uint64_t)chunk->length)
		return error_set(err, ERR_INVALID, "body has %llu bytes, %lld were announced",
				 (unsigned long long)chunk->got, (long long)chunk->length);
	return 0;
}

int upload_append(struct uploads *u, const char *repo, const char *id, struct upload_chunk *chunk,
		  uint64_t *ret_size, struct error *err)
{
	struct storage_upload handle;
	struct session *s;
	int r = enter(u, repo, id, &s, &handle, err);

	if (r < 0)
		return r;
	if (chunk->at >= 0 && (uint64_t)chunk->at != handle.size)
		r = error_set(err, ERR_CONFLICT, "chunk starts at %lld, the upload stands at %llu",
			      (long long)chunk->at, (unsigned long long)handle.size);
	if (r == 0)
		r = catch_up(u, s, &handle, err);
	if (r == 0)
		r = append_body(u, s, &handle, chunk, err);
	*ret_size = handle.size;
	leave(u, id, &handle, false);
	return r;
}

static int finish_sha512(struct uploads *u, struct session *s, struct storage_upload *handle,
			 uint8_t *out, struct error *err)
{
	autofree char *part = xcalloc(1, CHUNK_BYTES);
	uint64_t at = 0;
	size_t n;

	while (at < handle->size) {
		int r = storage_of(u)->ops->upload_read(storage_of(u), handle, at, part,
							CHUNK_BYTES, &n, err);

		if (r < 0)
			return r;
		if (n == 0)
			return error_set(err, ERR_CORRUPT, "upload is shorter than its size");
		hash_add(&s->sha512, part, n);
		at += n;
	}
	hash_finish(&s->sha512, out);
	return 0;
}

static int verify(struct uploads *u, struct session *s, struct storage_upload *handle,
		  const struct digest *want, struct error *err)
{
	struct digest got = { .algo = want->algo };
	int r;

	if (want->algo == DIGEST_SHA512) {
		r = finish_sha512(u, s, handle, got.bytes, err);
	} else {
		r = catch_up(u, s, handle, err);
		if (r == 0)
			hash_finish(&s->sha256, got.bytes);
	}
	if (r < 0)
		return r;
	if (memcmp(&got, want, sizeof(got)) != 0)
		return error_set(err, ERR_CORRUPT,
				 "the uploaded bytes are not what the digest names");
	return 0;
}

int upload_commit(struct uploads *u, const char *repo, const char *id, const struct digest *want,
		  struct error *err)
{
	char key[STORAGE_KEY_MAX];
	struct storage_upload handle;
	struct session *s;
	int r = enter(u, repo, id, &s, &handle, err);

	if (r < 0)
		return r;
	r = verify(u, s, &handle, want, err);
	if (r == 0) {
		/* The link first: a collection that runs beside us then keeps the blob. It is
		 * settled last: by then the disk has it already, with the blob. */
		name_blob_key(want, key, sizeof(key));
		r = repo_note_link(u->store, repo, want, err);
		if (r == 0)
			r = storage_of(u)->ops->upload_commit(storage_of(u), &handle, key, err);
		if (r == 0)
			r = repo_settle_link(u->store, repo, want, err);
	}
	leave(u, id, &handle, true);
	if (r == -ERR_SYSTEM)
		return r;
	(void)storage_of(u)->ops->upload_remove(storage_of(u), id, NULL);
	owner_key(repo, id, key);
	(void)storage_of(u)->ops->discard(storage_of(u), key, NULL);
	return r;
}

int upload_abort(struct uploads *u, const char *repo, const char *id, struct error *err)
{
	char key[STORAGE_KEY_MAX];
	struct storage_upload handle;
	struct session *s;
	int r = enter(u, repo, id, &s, &handle, err);

	if (r < 0)
		return r;
	leave(u, id, &handle, true);
	r = storage_of(u)->ops->upload_remove(storage_of(u), id, err);
	if (r < 0)
		return r;
	owner_key(repo, id, key);
	return storage_of(u)->ops->discard(storage_of(u), key, err);
}

static int expire_in(struct uploads *u, const char *repo, int64_t before_ns, unsigned *ret_n,
		     struct error *err)
{
	auto_(storage_listing) ids = { 0 };
	char key[STORAGE_KEY_MAX];
	int r;

	name_repo_key(repo, "/uploads", key, sizeof(key));
	r = storage_of(u)->ops->list(storage_of(u), key, &ids, err);
	for (size_t i = 0; r == 0 && i < ids.len; i++) {
		struct storage_stat st;

		owner_key(repo, ids.names[i], key);
		if (storage_of(u)->ops->stat(storage_of(u), key, &st, NULL) < 0 ||
		    st.mtime_ns > before_ns)
			continue;
		r = upload_abort(u, repo, ids.names[i], err);
		if (r == 0)
			(*ret_n)++;
		else if (r == -ERR_NOT_FOUND) /* its bytes are gone already: forget the note */
			r = storage_of(u)->ops->discard(storage_of(u), key, err);
		else if (r == -ERR_CONFLICT) /* somebody is at it still */
			r = 0;
	}
	return r;
}

/* Bytes whose owner's note a crash took. */
static int expire_ownerless(struct uploads *u, int64_t before_ns, unsigned *ret_n,
			    struct error *err)
{
	auto_(storage_listing) ids = { 0 };
	int r = storage_of(u)->ops->list(storage_of(u), "uploads", &ids, err);

	for (size_t i = 0; r == 0 && i < ids.len; i++) {
		char key[STORAGE_KEY_MAX];
		struct storage_stat st;
		bool busy;

		snprintf(key, sizeof(key), "uploads/%s", ids.names[i]);
		if (storage_of(u)->ops->stat(storage_of(u), key, &st, NULL) < 0 ||
		    st.mtime_ns > before_ns)
			continue;
		{
			LOCKED(&u->lock);
			busy = map_has(&u->sessions, ids.names[i]);
		}
		if (busy)
			continue;
		r = storage_of(u)->ops->discard(storage_of(u), key, err);
		(*ret_n)++;
	}
	return r;
}

int uploads_expire(struct uploads *u, int64_t max_age_ns, unsigned *ret_n, struct error *err)
{
	auto_(storage_listing) repos = { 0 };
	int64_t before = clock_wall_ns() - max_age_ns;
	int r = repo_list(u->store, &repos, err);

	*ret_n = 0;
	for (size_t i = 0; r == 0 && i < repos.len; i++)
		r = expire_in(u, repos.names[i], before, ret_n, err);
	return r < 0 ? r : expire_ownerless(u, before, ret_n, err);
}
