#include "registry/repo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/str.h"
#include "registry/manifest.h"
#include "registry/name.h"

#define RENEW_AFTER_NS (60 * NS_PER_SEC) /* a read does not write an inode every time */
#define RECORD_MAX     (MANIFEST_REFS_MAX * (DIGEST_TEXT_MAX + 32))

static void digest_key(const char *repo, const char *kind, const struct digest *d, char *out)
{
	char name[NAME_DIGEST_MAX], rest[STORAGE_KEY_MAX];

	name_digest_format(d, name);
	snprintf(rest, sizeof(rest), "/%s/%s", kind, name);
	name_repo_key(repo, rest, out, STORAGE_KEY_MAX);
}

static void tag_key(const char *repo, const char *tag, char *out)
{
	char rest[STORAGE_KEY_MAX];

	snprintf(rest, sizeof(rest), "/tags/%s", tag);
	name_repo_key(repo, rest, out, STORAGE_KEY_MAX);
}

static void referrer_key(const char *repo, const struct digest *subject, const struct digest *d,
			 char *out)
{
	char from[NAME_DIGEST_MAX], to[NAME_DIGEST_MAX], rest[STORAGE_KEY_MAX];

	name_digest_format(subject, to);
	if (d != NULL) {
		name_digest_format(d, from);
		snprintf(rest, sizeof(rest), "/referrers/%s/%s", to, from);
	} else {
		snprintf(rest, sizeof(rest), "/referrers/%s", to);
	}
	name_repo_key(repo, rest, out, STORAGE_KEY_MAX);
}

int repo_note_link(struct repo_store *s, const char *repo, const struct digest *d,
		   struct error *err)
{
	char key[STORAGE_KEY_MAX];
	int r;

	gate_enter(&s->gate);
	gate_note(&s->gate, d);
	digest_key(repo, "blobs", d, key);
	r = s->storage->ops->touch(s->storage, key, err);
	if (r == -ERR_NOT_FOUND)
		r = s->storage->ops->note(s->storage, key, err);
	gate_leave(&s->gate);
	return r;
}

int repo_settle_link(struct repo_store *s, const char *repo, const struct digest *d,
		     struct error *err)
{
	char key[STORAGE_KEY_MAX];

	digest_key(repo, "blobs", d, key);
	return s->storage->ops->settle(s->storage, key, err);
}

/* Whether the repository may read the blob; renews the link when it is old, so
 * that what a client has been told exists lives through its push. */
static int check_link(struct repo_store *s, const char *repo, const struct digest *d,
		      struct error *err)
{
	char key[STORAGE_KEY_MAX], text[DIGEST_TEXT_MAX];
	struct storage_stat st;
	int r;

	digest_key(repo, "blobs", d, key);
	gate_note(&s->gate, d);
	r = s->storage->ops->stat(s->storage, key, &st, err);
	if (r == -ERR_NOT_FOUND) {
		digest_format(d, text);
		return error_set(err, ERR_NOT_FOUND, "blob unknown to registry: %s", text);
	}
	if (r < 0)
		return r;
	if (clock_wall_ns() - st.mtime_ns > RENEW_AFTER_NS)
		return s->storage->ops->touch(s->storage, key, err);
	return 0;
}

int repo_stat_blob(struct repo_store *s, const char *repo, const struct digest *d,
		   uint64_t *ret_size, struct error *err)
{
	char key[STORAGE_KEY_MAX];
	struct storage_stat st;
	int r;

	gate_enter(&s->gate);
	r = check_link(s, repo, d, err);
	if (r == 0) {
		name_blob_key(d, key, sizeof(key));
		r = s->storage->ops->stat(s->storage, key, &st, err);
	}
	gate_leave(&s->gate);
	if (r == 0)
		*ret_size = st.size;
	return r;
}

int repo_open_blob(struct repo_store *s, const char *repo, const struct digest *d,
		   struct storage_object *ret, struct error *err)
{
	char key[STORAGE_KEY_MAX];
	int r;

	gate_enter(&s->gate);
	r = check_link(s, repo, d, err);
	if (r == 0) {
		name_blob_key(d, key, sizeof(key));
		r = s->storage->ops->open(s->storage, key, ret, err);
	}
	gate_leave(&s->gate);
	return r;
}

int repo_mount_blob(struct repo_store *s, const char *repo, const struct digest *d, repo_may_fn may,
		    void *arg, struct error *err)
{
	auto_(storage_listing) repos = { 0 };
	char key[STORAGE_KEY_MAX];
	struct storage_stat st;
	uint64_t size;
	int r;

	name_blob_key(d, key, sizeof(key));
	r = s->storage->ops->stat(s->storage, key, &st, err);
	if (r == 0)
		r = repo_list(s, &repos, err);
	for (size_t i = 0; r == 0 && i < repos.len; i++) {
		if (may != NULL && !may(arg, repos.names[i]))
			continue;
		if (repo_stat_blob(s, repos.names[i], d, &size, NULL) < 0)
			continue;
		r = repo_note_link(s, repo, d, err);
		if (r == 0)
			r = repo_settle_link(s, repo, d, err);
		/* It was there a moment ago and is linked now: a collection in between shows. */
		return r < 0 ? r : repo_stat_blob(s, repo, d, &size, err);
	}
	return r < 0 ? r : error_set(err, ERR_NOT_FOUND, "no repository has the blob");
}

int repo_unlink_blob(struct repo_store *s, const char *repo, const struct digest *d,
		     struct error *err)
{
	char key[STORAGE_KEY_MAX];
	struct storage_stat st;
	int r;

	digest_key(repo, "blobs", d, key);
	r = s->storage->ops->stat(s->storage, key, &st, err);
	return r < 0 ? r : s->storage->ops->remove(s->storage, key, err);
}

static int check_refs(struct repo_store *s, const char *repo, const struct manifest_info *info,
		      struct error *err)
{
	char key[STORAGE_KEY_MAX], text[DIGEST_TEXT_MAX];
	struct storage_stat st;

	for (size_t i = 0; i < info->n_refs; i++) {
		const struct manifest_ref *ref = &info->refs[i];
		int r;

		gate_note(&s->gate, &ref->digest);
		digest_key(repo, ref->is_manifest ? "manifests" : "blobs", &ref->digest, key);
		r = s->storage->ops->stat(s->storage, key, &st, err);
		/* Peer: an index of docker-registry may name blobs; BuildKit's caches do. */
		if (r == -ERR_NOT_FOUND && ref->is_manifest) {
			digest_key(repo, "blobs", &ref->digest, key);
			r = s->storage->ops->stat(s->storage, key, &st, err);
		}
		if (r == 0) {
			name_blob_key(&ref->digest, key, sizeof(key));
			r = s->storage->ops->stat(s->storage, key, &st, err);
		}
		if (r == -ERR_NOT_FOUND) {
			digest_format(&ref->digest, text);
			return error_set(err, ERR_NOT_FOUND, "%s unknown: %s",
					 ref->is_manifest ? "manifest" : "blob", text);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static int write_record(struct repo_store *s, const char *repo, const struct manifest_info *info,
			const struct digest *d, size_t len, struct error *err)
{
	auto_(buf) record = BUF_INIT(RECORD_MAX), shown = BUF_INIT(REPO_MANIFEST_MAX);
	char key[STORAGE_KEY_MAX], text[DIGEST_TEXT_MAX];
	int r = buf_addf(&record, err, "%s\n", info->media_type);

	for (size_t i = 0; r == 0 && i < info->n_refs; i++) {
		digest_format(&info->refs[i].digest, text);
		r = buf_addf(&record, err, "%s %lld\n", text, (long long)info->refs[i].size);
	}
	if (r == 0 && info->has_subject) {
		digest_format(&info->subject, text);
		r = buf_addf(&record, err, "subject %s\n", text);
		if (r == 0)
			r = manifest_descriptor(info, d, len, &shown, err);
		referrer_key(repo, &info->subject, d, key);
		if (r == 0)
			r = s->storage->ops->put(s->storage, key, shown.data, shown.len, err);
	}
	if (r < 0)
		return r;
	digest_key(repo, "manifests", d, key);
	return s->storage->ops->put(s->storage, key, record.data, record.len, err);
}

static int put_inside(struct repo_store *s, const char *repo, const struct repo_put *put,
		      const struct manifest_info *info, const struct digest *d, struct error *err)
{
	char key[STORAGE_KEY_MAX], text[DIGEST_TEXT_MAX];
	struct storage_stat st;
	int r = put->sparse ? 0 : check_refs(s, repo, info, err);

	if (r < 0)
		return r;
	gate_note(&s->gate, d);
	name_blob_key(d, key, sizeof(key));
	/* Content under its digest never changes: one that is there is not written again. */
	if (s->storage->ops->stat(s->storage, key, &st, err) < 0 || st.size != put->len) {
		r = s->storage->ops->put(s->storage, key, put->bytes, put->len, err);
		if (r < 0)
			return r;
	}
	r = write_record(s, repo, info, d, put->len, err);
	digest_format(d, text);
	for (size_t i = 0; r == 0 && i < put->n_tags; i++) {
		tag_key(repo, put->tags[i], key);
		r = s->storage->ops->put(s->storage, key, text, strlen(text), err);
	}
	return r;
}

static void hash_bytes(enum digest_algo algo, const char *bytes, size_t len, struct digest *ret)
{
	auto_(hash) h = { 0 };

	if (algo == DIGEST_SHA512)
		hash_init_sha512(&h);
	else
		hash_init_sha256(&h);
	hash_add(&h, bytes, len);
	*ret = (struct digest){ .algo = algo };
	hash_finish(&h, ret->bytes);
}

int repo_put_manifest(struct repo_store *s, const char *repo, const struct repo_put *put,
		      struct digest *ret_digest, struct digest *ret_subject, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	struct manifest_info info;
	struct digest d;
	int r = manifest_read(&a, put->bytes, put->len, put->media_type, &info, err);

	if (r < 0)
		return r;
	hash_bytes(put->want ? put->want->algo : DIGEST_SHA256, put->bytes, put->len, &d);
	if (put->want != NULL && memcmp(&d, put->want, sizeof(d)) != 0)
		return error_set(err, ERR_CORRUPT, "the manifest is not what its digest names");
	gate_enter(&s->gate);
	r = put_inside(s, repo, put, &info, &d, err);
	gate_leave(&s->gate);
	if (r < 0)
		return r;
	*ret_digest = d;
	*ret_subject = info.has_subject ? info.subject : (struct digest){ 0 };
	return 0;
}

int repo_get_manifest(struct repo_store *s, const char *repo, const struct digest *d,
		      struct arena *a, struct repo_manifest *ret, struct error *err)
{
	auto_(buf) record = BUF_INIT(RECORD_MAX), bytes = BUF_INIT(REPO_MANIFEST_MAX);
	struct str rest, type;
	char key[STORAGE_KEY_MAX];
	int r;

	digest_key(repo, "manifests", d, key);
	r = s->storage->ops->get(s->storage, key, &record, err);
	if (r < 0)
		return r;
	name_blob_key(d, key, sizeof(key));
	r = s->storage->ops->get(s->storage, key, &bytes, err);
	if (r < 0)
		return r;
	rest = (struct str){ record.data ? record.data : "", record.len };
	if (!str_split(&rest, '\n', &type))
		return error_set(err, ERR_CORRUPT, "empty record of a manifest");
	ret->digest = *d;
	ret->media_type = arena_strndup(a, type.at, type.len);
	ret->bytes = arena_strndup(a, bytes.data ? bytes.data : "", bytes.len);
	ret->len = bytes.len;
	return 0;
}

int repo_manifest_refs(struct repo_store *s, const char *repo, const struct digest *d,
		       repo_ref_fn fn, void *arg, struct error *err)
{
	auto_(buf) record = BUF_INIT(RECORD_MAX);
	char key[STORAGE_KEY_MAX];
	struct str rest, line;
	int r;

	digest_key(repo, "manifests", d, key);
	r = s->storage->ops->get(s->storage, key, &record, err);
	if (r < 0)
		return r;
	rest = (struct str){ record.data ? record.data : "", record.len };
	(void)str_split(&rest, '\n', &line);
	while (str_split(&rest, '\n', &line)) {
		bool subject = str_starts(line, "subject ");
		struct str text;
		struct digest to;
		uint64_t size = 0;

		if (line.len == 0)
			continue;
		if (subject)
			line = str_sub(line, strlen("subject "), line.len);
		(void)str_split(&line, ' ', &text);
		r = digest_parse(text.at, text.len, &to, err);
		if (r == 0 && line.len > 0)
			r = parse_u64(line, INT64_MAX, &size, err);
		if (r < 0)
			return error_wrap(err, r, "record '%s'", key);
		r = fn(arg, &to, (int64_t)size, subject, err);
		if (r < 0)
			return r;
	}
	return 0;
}

typedef int (*remove_fn)(struct storage *s, const char *key, struct error *err);

struct forget {
	struct repo_store *s;
	const char *repo;
	const struct digest *manifest;
	remove_fn remove;
};

static int forget_referrer(void *arg, const struct digest *d, int64_t size, bool is_subject,
			   struct error *err)
{
	const struct forget *f = arg;
	char key[STORAGE_KEY_MAX];

	(void)size;
	if (!is_subject)
		return 0;
	referrer_key(f->repo, d, f->manifest, key);
	return f->remove(f->s->storage, key, err);
}

static int delete_tags_of(struct repo_store *s, const char *repo, const struct digest *d,
			  struct error *err)
{
	auto_(storage_listing) tags = { 0 };
	int r = repo_list_tags(s, repo, &tags, err);

	for (size_t i = 0; r == 0 && i < tags.len; i++) {
		struct digest at;

		if (repo_get_tag(s, repo, tags.names[i], &at, err) == 0 &&
		    memcmp(&at, d, sizeof(at)) == 0)
			r = repo_delete_tag(s, repo, tags.names[i], err);
	}
	return r;
}

static int drop_record(struct repo_store *s, const char *repo, const struct digest *d,
		       remove_fn remove, struct error *err)
{
	struct forget f = { s, repo, d, remove };
	char key[STORAGE_KEY_MAX];
	int r = repo_manifest_refs(s, repo, d, forget_referrer, &f, err);

	if (r < 0)
		return r;
	digest_key(repo, "manifests", d, key);
	return remove(s->storage, key, err);
}

int repo_drop_untagged(struct repo_store *s, const char *repo, const struct digest *d,
		       struct error *err)
{
	return drop_record(s, repo, d, s->storage->ops->discard, err);
}

int repo_delete_manifest(struct repo_store *s, const char *repo, const struct digest *d,
			 struct error *err)
{
	char key[STORAGE_KEY_MAX];
	struct storage_stat st;
	int r;

	digest_key(repo, "manifests", d, key);
	r = s->storage->ops->stat(s->storage, key, &st, err);
	if (r == 0)
		r = delete_tags_of(s, repo, d, err);
	return r < 0 ? r : drop_record(s, repo, d, s->storage->ops->remove, err);
}

int repo_get_tag(struct repo_store *s, const char *repo, const char *tag, struct digest *ret,
		 struct error *err)
{
	auto_(buf) b = BUF_INIT(DIGEST_TEXT_MAX);
	char key[STORAGE_KEY_MAX];
	int r;

	tag_key(repo, tag, key);
	r = s->storage->ops->get(s->storage, key, &b, err);
	if (r < 0)
		return r;
	r = digest_parse(b.data ? b.data : "", b.len, ret, err);
	return r < 0 ? error_set(err, ERR_CORRUPT, "tag '%s' holds no digest", tag) : 0;
}

int repo_delete_tag(struct repo_store *s, const char *repo, const char *tag, struct error *err)
{
	char key[STORAGE_KEY_MAX];
	struct storage_stat st;
	int r;

	tag_key(repo, tag, key);
	r = s->storage->ops->stat(s->storage, key, &st, err);
	return r < 0 ? r : s->storage->ops->remove(s->storage, key, err);
}

int repo_list_tags(struct repo_store *s, const char *repo, struct storage_listing *ret,
		   struct error *err)
{
	char key[STORAGE_KEY_MAX];
	struct storage_stat st;
	int r;

	name_repo_key(repo, "", key, sizeof(key));
	r = s->storage->ops->stat(s->storage, key, &st, err);
	if (r == -ERR_NOT_FOUND)
		return error_set(err, ERR_NOT_FOUND, "repository name not known to registry: %s",
				 repo);
	if (r < 0)
		return r;
	name_repo_key(repo, "/tags", key, sizeof(key));
	return s->storage->ops->list(s->storage, key, ret, err);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int repo_list(struct repo_store *s, struct storage_listing *ret, struct error *err)
{
	int r = s->storage->ops->list(s->storage, "repos", ret, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ret->len; i++)
		name_repo_unflatten(ret->names[i]);
	if (ret->len > 0) /* '/' sorts elsewhere than '+' */
		qsort(ret->names, ret->len, sizeof(*ret->names), by_name);
	return 0;
}

static bool has_artifact_type(struct arena *a, const struct buf *descriptor, const char *want)
{
	const struct json *j;
	const char *type;

	if (want == NULL)
		return true;
	if (json_parse(a, descriptor->data, descriptor->len, &j, NULL) < 0)
		return false;
	type = json_str(j, "artifactType");
	return type != NULL && strcmp(type, want) == 0;
}

int repo_referrers(struct repo_store *s, const char *repo, const struct digest *subject,
		   const char *artifact_type, struct buf *b, struct error *err)
{
	auto_(storage_listing) list = { 0 };
	char prefix[STORAGE_KEY_MAX], key[STORAGE_KEY_MAX];
	size_t before = b->len;
	int r;

	referrer_key(repo, subject, NULL, prefix);
	r = s->storage->ops->list(s->storage, prefix, &list, err);
	for (size_t i = 0; r == 0 && i < list.len; i++) {
		auto_(buf) one = BUF_INIT(REPO_MANIFEST_MAX);
		auto_(arena) a = ARENA_INIT;
		struct digest d;

		if (name_digest_parse(list.names[i], &d, NULL) < 0)
			continue;
		referrer_key(repo, subject, &d, key);
		r = s->storage->ops->get(s->storage, key, &one, err);
		if (r == -ERR_NOT_FOUND) { /* deleted since the listing */
			r = 0;
			continue;
		}
		if (r < 0 || !has_artifact_type(&a, &one, artifact_type))
			continue;
		if (b->len > before)
			r = buf_add(b, ",", 1, err);
		if (r == 0)
			r = buf_add(b, one.data, one.len, err);
	}
	return r;
}
