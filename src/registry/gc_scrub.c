/* registry/gc_scrub.c: every blob is read and compared with its digest. */
#include "registry/gc_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "registry/name.h"

struct scrub {
	struct repo_store *s;
	const struct cancel *cancel;
	struct buf *report;
	uint64_t checked, bad;
};

static int hash_object(struct repo_store *s, const char *key, struct digest *d, struct error *err)
{
	auto_(hash) h = { 0 };
	autofree char *part = xcalloc(1, 1 << 20);
	autoclose int fd = FD_NONE;
	struct storage_object o;
	int r = s->storage->ops->open(s->storage, key, &o, err);

	if (r < 0)
		return r;
	fd = o.fd;
	if (d->algo == DIGEST_SHA512)
		hash_init_sha512(&h);
	else
		hash_init_sha256(&h);
	for (;;) {
		ssize_t n = read(fd, part, 1 << 20);

		if (n < 0)
			return error_sys(err, errno, "read '%s'", key);
		if (n == 0)
			break;
		hash_add(&h, part, (size_t)n);
	}
	hash_finish(&h, d->bytes);
	return 0;
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
		struct digest want, got;

		r = cancel_check(c->cancel, err);
		snprintf(text, sizeof(text), "%s:%s", algo, list.names[i]);
		if (r < 0 || digest_parse(text, strlen(text), &want, NULL) < 0)
			continue;
		got = (struct digest){ .algo = want.algo };
		snprintf(key, sizeof(key), "content/blobs/%s/%s/%s", algo, dir, list.names[i]);
		r = hash_object(c->s, key, &got, err);
		if (r == -ERR_NOT_FOUND) { /* collected meanwhile */
			r = 0;
			continue;
		}
		c->checked++;
		if (r == 0 && memcmp(&got, &want, sizeof(got)) == 0)
			continue;
		c->bad++;
		r = buf_addf(c->report, err, "damaged %s\n", text);
	}
	return r;
}

int gc_scrub(struct repo_store *s, const struct cancel *cancel, struct buf *report,
	     uint64_t *ret_checked, uint64_t *ret_bad, struct error *err)
{
	struct scrub c = { s, cancel, report, 0, 0 };
	int r = gc_each_blob_dir(s, scrub_dir, &c, err);

	*ret_checked = c.checked;
	*ret_bad = c.bad;
	return r;
}
