/*
 * registry/gc_scrub.c: every blob is read and compared with its digest.
 *
 * A damaged one is set aside: it is not served any more, whoever asks whether it is here
 * is told no and pushes it again, and a mirror fetches it again.
 */
#include "registry/gc_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "registry/name.h"

#define PART_BYTES (1 << 20)

struct scrub {
	struct repo_store *s;
	bool dry_run;
	const struct cancel *cancel;
	struct buf *report;
	char *part;
	uint64_t checked, bad;
};

static int hash_object(struct scrub *c, int fd, struct digest *d, struct error *err)
{
	auto_(hash) h = { 0 };

	if (d->algo == DIGEST_SHA512)
		hash_init_sha512(&h);
	else
		hash_init_sha256(&h);
	for (;;) {
		ssize_t n = read(fd, c->part, PART_BYTES);
		int r = cancel_check(c->cancel, err);

		if (r < 0)
			return r;
		if (n < 0)
			return error_sys(err, errno, "read a blob");
		if (n == 0)
			break;
		hash_add(&h, c->part, (size_t)n);
	}
	hash_finish(&h, d->bytes);
	return 0;
}

static int set_aside(struct scrub *c, const char *key, const struct storage_object *o,
		     const struct digest *d, const char *why, struct error *err)
{
	char text[DIGEST_TEXT_MAX], as[NAME_DIGEST_MAX];
	int r = 0;

	name_digest_format(d, as);
	if (!c->dry_run)
		r = c->s->storage->ops->quarantine(c->s->storage, key, o, as, err);
	if (r == -ERR_NOT_FOUND) /* collected, or a good one was pushed meanwhile */
		return 0;
	if (r < 0)
		return r;
	c->bad++;
	digest_format(d, text);
	return buf_addf(c->report, err, "damaged %s (%s)%s\n", text, why,
			c->dry_run ? "" : ": set aside, a push of it brings it back");
}

static int scrub_one(struct scrub *c, const char *key, const struct digest *want, struct error *err)
{
	struct digest got = { .algo = want->algo };
	struct storage_object o = { .fd = FD_NONE };
	autoclose int fd = FD_NONE;
	int r = c->s->storage->ops->open(c->s->storage, key, &o, err);

	if (r == -ERR_NOT_FOUND) /* collected meanwhile */
		return 0;
	if (r < 0)
		return r;
	fd = o.fd;
	c->checked++;
	r = hash_object(c, fd, &got, err);
	if (r == -ERR_SYSTEM)
		return set_aside(c, key, &o, want, "it cannot be read", err);
	if (r < 0 || memcmp(&got, want, sizeof(got)) == 0)
		return r;
	return set_aside(c, key, &o, want, "it is not what its digest says", err);
}

static int scrub_dir(void *arg, const char *algo, const char *dir, struct error *err)
{
	auto_(storage_listing) list = { 0 };
	struct scrub *c = arg;
	char key[STORAGE_KEY_MAX];
	int r;

	snprintf(key, sizeof(key), "content/blobs/%s/%s", algo, dir);
	r = c->s->storage->ops->list(c->s->storage, key, &list, err);
	for (size_t i = 0; r == 0 && i < list.len; i++) {
		char text[DIGEST_TEXT_MAX];
		struct digest want;

		r = cancel_check(c->cancel, err);
		snprintf(text, sizeof(text), "%s:%s", algo, list.names[i]);
		if (r < 0 || digest_parse(text, strlen(text), &want, NULL) < 0)
			continue;
		snprintf(key, sizeof(key), "content/blobs/%s/%s/%s", algo, dir, list.names[i]);
		r = scrub_one(c, key, &want, err);
	}
	return r;
}

/* What an earlier scrub set aside: is it here again? */
static int look_aside(struct scrub *c, struct error *err)
{
	auto_(storage_listing) list = { 0 };
	int r = c->s->storage->ops->list(c->s->storage, "quarantine", &list, err);

	for (size_t i = 0; r == 0 && i < list.len; i++) {
		char key[STORAGE_KEY_MAX], text[DIGEST_TEXT_MAX];
		struct storage_stat st;
		struct digest d;

		if (name_digest_parse(list.names[i], &d, NULL) < 0)
			continue;
		digest_format(&d, text);
		name_blob_key(&d, key, sizeof(key));
		r = c->s->storage->ops->stat(c->s->storage, key, &st, err);
		if (r == -ERR_NOT_FOUND) {
			c->bad++;
			r = buf_addf(c->report, err, "missing %s: was damaged, nobody pushed it\n",
				     text);
		} else if (r == 0 && !c->dry_run) {
			snprintf(key, sizeof(key), "quarantine/%s", list.names[i]);
			r = c->s->storage->ops->discard(c->s->storage, key, err);
			if (r == 0)
				r = buf_addf(c->report, err, "healed %s\n", text);
		}
	}
	return r;
}

int gc_scrub(struct repo_store *s, bool dry_run, const struct cancel *cancel, struct buf *report,
	     uint64_t *ret_checked, uint64_t *ret_bad, struct error *err)
{
	autofree char *part = xcalloc(1, PART_BYTES);
	struct scrub c = { s, dry_run, cancel, report, part, 0, 0 };
	int r = look_aside(&c, err);

	if (r == 0)
		r = gc_each_blob_dir(s, scrub_dir, &c, err);
	if (r == 0)
		r = s->storage->ops->reclaim(s->storage, err);
	*ret_checked = c.checked;
	*ret_bad = c.bad;
	return r;
}
