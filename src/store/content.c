/* store/content.c: what all content stores share. See content.h. */
#include "store/content.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "store/content_impl.h"

bool digest_same(const struct digest *a, const struct digest *b)
{
	return a->algo == b->algo &&
	       memcmp(a->bytes, b->bytes, a->algo == DIGEST_SHA512 ? 64 : 32) == 0;
}

int digest_from_text(const char *text, struct digest *ret, struct error *err)
{
	return digest_parse(text, strlen(text), ret, err);
}

void content_free(struct content_store *s)
{
	if (s)
		s->ops->free(s);
}

int content_open(struct content_store *s, const struct digest *d, int *ret_fd, uint64_t *ret_size,
		 struct error *err)
{
	uint64_t size;
	int r = s->ops->open(s, d, ret_fd, &size, err);

	if (r == 0 && ret_size)
		*ret_size = size;
	return r;
}

int content_stat(struct content_store *s, const struct digest *d, uint64_t *ret_size,
		 struct error *err)
{
	autoclose int fd = FD_NONE;

	return content_open(s, d, &fd, ret_size, err);
}

static void hash_begin(struct hash *h, enum digest_algo algo)
{
	if (algo == DIGEST_SHA512)
		hash_init_sha512(h);
	else
		hash_init_sha256(h);
}

static void hash_end(struct hash *h, enum digest_algo algo, struct digest *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->algo = algo;
	hash_finish(h, ret->bytes);
	hash_release(h);
}

int content_read(struct content_store *s, const struct digest *d, struct buf *b, struct error *err)
{
	autoclose int fd = FD_NONE;
	auto_(hash) h = { 0 };
	struct fd_reader in;
	struct digest got;
	char text[DIGEST_TEXT_MAX];
	size_t before = b->len;
	int r = content_open(s, d, &fd, NULL, err);

	if (r < 0)
		return r;
	fd_reader_init(&in, fd, NULL);
	r = reader_read_all(&in.reader, b, err);
	if (r < 0)
		return r;
	hash_begin(&h, d->algo);
	if (b->len > before)
		hash_add(&h, b->data + before, b->len - before);
	hash_end(&h, d->algo, &got);
	if (!digest_same(&got, d)) {
		digest_format(d, text);
		return error_set(err, ERR_CORRUPT, "blob %s is damaged on disk", text);
	}
	return 0;
}

int content_remove(struct content_store *s, const struct digest *d, struct error *err)
{
	return s->ops->remove(s, d, err);
}

int content_list(struct content_store *s,
		 int (*fn)(void *arg, const struct digest *d, uint64_t size, struct error *err),
		 void *arg, struct error *err)
{
	return s->ops->list(s, fn, arg, err);
}

int content_verify(struct content_store *s, const struct digest *d, struct error *err)
{
	autoclose int fd = FD_NONE;
	auto_(hash) h = { 0 };
	static const size_t piece = 1 << 16;
	char bytes[1 << 16], text[DIGEST_TEXT_MAX];
	struct digest got;
	ssize_t n;
	int r = content_open(s, d, &fd, NULL, err);

	if (r < 0)
		return r;
	hash_begin(&h, d->algo);
	while ((n = read(fd, bytes, piece)) > 0)
		hash_add(&h, bytes, (size_t)n);
	digest_format(d, text);
	if (n < 0)
		return error_sys(err, errno, "read blob %s", text);
	hash_end(&h, d->algo, &got);
	if (!digest_same(&got, d))
		return error_set(err, ERR_CORRUPT, "blob %s: its bytes do not match its digest",
				 text);
	return 0;
}

/* ---- writers ---- */

static int sink_write(struct writer *sink, const void *bytes, size_t len, struct error *err)
{
	struct content_writer *w = container_of(sink, struct content_writer, sink);
	int r;

	if (len > w->limit - w->offset) {
		if (w->want_size != CONTENT_SIZE_UNKNOWN)
			return error_set(err, ERR_CORRUPT,
					 "more data than the %llu bytes that were announced",
					 (unsigned long long)w->limit);
		return error_set(err, ERR_INVALID, "larger than the limit of %llu bytes",
				 (unsigned long long)w->limit);
	}
	r = w->ops->write(w, bytes, len, err);
	if (r < 0)
		return r;
	hash_add(&w->hash, bytes, len);
	w->offset += len;
	return 0;
}

void content_writer_setup(struct content_writer *w, const struct content_writer_ops *ops,
			  const struct content_expect *expect)
{
	static const struct writer_ops sink_ops = { sink_write };

	w->ops = ops;
	w->sink.ops = &sink_ops;
	w->algo = DIGEST_SHA256;
	w->want_size = expect->size;
	w->limit = expect->size != CONTENT_SIZE_UNKNOWN ? expect->size
		   : expect->max                        ? expect->max
							: UINT64_MAX;
	if (expect->digest) {
		w->has_want = true;
		w->want = *expect->digest;
		w->algo = w->want.algo;
	}
	hash_begin(&w->hash, w->algo);
}

int content_begin(struct content_store *s, const struct content_expect *expect,
		  struct content_writer **ret, struct error *err)
{
	return s->ops->begin(s, expect, ret, err);
}

struct writer *content_sink(struct content_writer *w)
{
	return &w->sink;
}

uint64_t content_offset(const struct content_writer *w)
{
	return w->offset;
}

int content_restart(struct content_writer *w, struct error *err)
{
	int r = w->ops->truncate(w, err);

	if (r < 0)
		return r;
	hash_release(&w->hash);
	hash_begin(&w->hash, w->algo);
	w->offset = 0;
	return 0;
}

int content_read_back(struct content_writer *w, uint64_t offset, void *out, size_t len,
		      struct error *err)
{
	return w->ops->read_back(w, offset, out, len, err);
}

static int check(struct content_writer *w, const struct digest *got, struct error *err)
{
	char want_text[DIGEST_TEXT_MAX], got_text[DIGEST_TEXT_MAX];

	if (w->want_size != CONTENT_SIZE_UNKNOWN && w->offset != w->want_size)
		return error_set(err, ERR_CORRUPT, "got %llu bytes, %llu were announced",
				 (unsigned long long)w->offset, (unsigned long long)w->want_size);
	if (w->has_want && !digest_same(got, &w->want)) {
		digest_format(&w->want, want_text);
		digest_format(got, got_text);
		return error_set(err, ERR_CORRUPT, "digest mismatch: want %s, got %s", want_text,
				 got_text);
	}
	return 0;
}

int content_commit(struct content_writer *w, struct digest *ret_digest, uint64_t *ret_size,
		   struct error *err)
{
	uint64_t size = w->offset;
	struct digest got;
	int r;

	hash_end(&w->hash, w->algo, &got);
	r = check(w, &got, err);
	if (r < 0) {
		w->ops->end(w, false);
		return r;
	}
	r = w->ops->publish(w, &got, err);
	if (r < 0) {
		/* The bytes are right: only the disk said no. Keep them for the next try. */
		w->ops->end(w, w->has_want);
		return r;
	}
	w->ops->end(w, false);
	if (ret_digest)
		*ret_digest = got;
	if (ret_size)
		*ret_size = size;
	return 0;
}

void content_abort(struct content_writer *w, bool keep)
{
	if (!w)
		return;
	hash_release(&w->hash);
	w->ops->end(w, keep && w->has_want);
}

int content_add(struct content_store *s, const void *bytes, size_t len, struct digest *ret,
		struct error *err)
{
	const struct content_expect expect = { .size = len };
	struct content_writer *w;
	int r = content_begin(s, &expect, &w, err);

	if (r < 0)
		return r;
	r = len > 0 ? writer_write(content_sink(w), bytes, len, err) : 0;
	if (r < 0) {
		content_abort(w, false);
		return r;
	}
	return content_commit(w, ret, NULL, err);
}

/* ---- streams ---- */

static int tee_read(struct reader *r, void *out, size_t len, size_t *ret_n, struct error *err)
{
	struct content_tee *t = container_of(r, struct content_tee, reader);
	uint64_t left = t->replay_end - t->replayed;
	size_t n;
	int e;

	if (left > 0) {
		n = left < len ? (size_t)left : len;
		e = content_read_back(t->to, t->replayed, out, n, err);
		if (e < 0)
			return e;
		t->replayed += n;
		*ret_n = n;
		return 0;
	}
	e = reader_read(t->from, out, len, &n, err);
	if (e < 0)
		return e;
	if (n > 0) {
		e = writer_write(&t->to->sink, out, n, err);
		if (e < 0)
			return e;
	} else if (t->to->want_size != CONTENT_SIZE_UNKNOWN && t->to->offset < t->to->want_size) {
		return error_set(err, ERR_CORRUPT, "unexpected end of data: got %llu of %llu bytes",
				 (unsigned long long)t->to->offset,
				 (unsigned long long)t->to->want_size);
	}
	if (t->progress && n > 0)
		t->progress(t->arg, t->to->offset);
	*ret_n = n;
	return 0;
}

void content_tee_init(struct content_tee *t, struct content_writer *to, struct reader *from)
{
	static const struct reader_ops ops = { tee_read };

	*t = (struct content_tee){
		.reader.ops = &ops,
		.from = from,
		.to = to,
		.replay_end = to->offset,
	};
}

static int hash_read(struct reader *r, void *out, size_t len, size_t *ret_n, struct error *err)
{
	struct hash_reader *h = container_of(r, struct hash_reader, reader);
	int e = reader_read(h->from, out, len, ret_n, err);

	if (e < 0)
		return e;
	if (*ret_n > 0)
		hash_add(&h->hash, out, *ret_n);
	h->n_bytes += *ret_n;
	return 0;
}

void hash_reader_init(struct hash_reader *r, struct reader *from)
{
	static const struct reader_ops ops = { hash_read };

	*r = (struct hash_reader){ .reader.ops = &ops, .from = from };
	hash_init_sha256(&r->hash);
}

void hash_reader_finish(struct hash_reader *r, struct digest *ret)
{
	hash_end(&r->hash, DIGEST_SHA256, ret);
}

void hash_reader_release(struct hash_reader *r)
{
	hash_release(&r->hash);
}

static int hash_write(struct writer *w, const void *bytes, size_t len, struct error *err)
{
	struct hash_writer *h = container_of(w, struct hash_writer, writer);

	if (len > 0)
		hash_add(&h->hash, bytes, len);
	h->n_bytes += len;
	return h->to ? writer_write(h->to, bytes, len, err) : 0;
}

void hash_writer_init(struct hash_writer *w, struct writer *to)
{
	static const struct writer_ops ops = { hash_write };

	*w = (struct hash_writer){ .writer.ops = &ops, .to = to };
	hash_init_sha256(&w->hash);
}

void hash_writer_finish(struct hash_writer *w, struct digest *ret)
{
	hash_end(&w->hash, DIGEST_SHA256, ret);
}

void hash_writer_release(struct hash_writer *w)
{
	hash_release(&w->hash);
}
