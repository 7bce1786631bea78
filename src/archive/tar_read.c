/* archive/tar_read.c: the reading half of tar.h: blocks, data, sparse files.
 * Extended headers are in tar_pax.c. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "archive/tar_format.h"
#include "archive/tar_impl.h"
#include "base/alloc.h"

/* Bytes that can be had without copying: at least one, or 0 at the end. */
static int fill(struct tar_reader *t, struct error *err)
{
	size_t n;
	int r;

	if (t->at < t->len || t->from_end)
		return 0;
	r = reader_read(t->from, t->buf, TAR_BUF, &n, err);
	if (r < 0)
		return r;
	t->at = 0;
	t->len = n;
	t->from_end = n == 0;
	return 0;
}

int tar_raw(struct tar_reader *t, void *out, size_t len, size_t *ret_n, struct error *err)
{
	size_t n = t->len - t->at;
	int r;

	/* Large pieces go straight to the caller. */
	if (n == 0 && len >= TAR_BUF && !t->from_end) {
		r = reader_read(t->from, out, len, ret_n, err);
		t->from_end = r == 0 && *ret_n == 0;
		return r;
	}
	r = fill(t, err);
	if (r < 0)
		return r;
	n = t->len - t->at;
	n = n < len ? n : len;
	memcpy(out, t->buf + t->at, n);
	t->at += n;
	*ret_n = n;
	return 0;
}

int tar_raw_full(struct tar_reader *t, void *out, size_t len, struct error *err)
{
	char *at = out;
	size_t n;
	int r;

	while (len > 0) {
		r = tar_raw(t, at, len, &n, err);
		if (r < 0)
			return r;
		if (n == 0)
			return error_set(err, ERR_CORRUPT, "tar: unexpected end of archive");
		at += n;
		len -= n;
	}
	return 0;
}

static int skip(struct tar_reader *t, uint64_t n, struct error *err)
{
	int r;

	while (n > 0) {
		size_t have;

		r = fill(t, err);
		if (r < 0)
			return r;
		have = t->len - t->at;
		if (have == 0)
			return error_set(err, ERR_CORRUPT, "tar: unexpected end of archive");
		have = have < n ? have : (size_t)n;
		t->at += have;
		n -= have;
	}
	return 0;
}

/* After the end marker nothing counts, but who hashes the stream wants it all. */
static int drain(struct tar_reader *t, struct error *err)
{
	int r = 0;

	while (r == 0 && !t->from_end) {
		t->at = t->len;
		r = fill(t, err);
	}
	t->ended = true;
	return r;
}

static uint64_t padding(uint64_t size)
{
	return (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK;
}

/* ---- numbers ---- */

int tar_number(const char *field, size_t len, int64_t *ret, const char *what, struct error *err)
{
	const unsigned char *at = (const unsigned char *)field;
	uint64_t n = 0;

	if (*at & 0x80) { /* base 256, two's complement */
		bool negative = *at & 0x40;

		n = negative ? UINT64_MAX : 0;
		for (size_t i = 0; i < len; i++) {
			unsigned char byte = i == 0 ? (negative ? at[0] : at[0] & 0x7f) : at[i];
			unsigned char lost = (unsigned char)(n >> 56);

			if (lost != (negative ? 0xff : 0))
				goto bad;
			n = n << 8 | byte;
		}
		if ((int64_t)n < 0 && !negative)
			goto bad;
		*ret = (int64_t)n;
		return 0;
	}
	while (len > 0 && *at == ' ') {
		at++;
		len--;
	}
	for (; len > 0 && *at && *at != ' '; at++, len--) {
		if (*at < '0' || *at > '7' || n >> 60)
			goto bad;
		n = n * 8 + (*at - '0');
	}
	*ret = (int64_t)n;
	return 0;
bad:
	return error_set(err, ERR_CORRUPT, "tar: bad number in a header (%s)", what);
}

static int check_sum(const struct tar_header *h, struct error *err)
{
	const unsigned char *at = (const unsigned char *)h;
	int64_t want, plain = 0, sign = 0;
	size_t from = offsetof(struct tar_header, checksum);
	int r = tar_number(h->checksum, sizeof(h->checksum), &want, "checksum", err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < TAR_BLOCK; i++) {
		unsigned char c = i >= from && i < from + sizeof(h->checksum) ? ' ' : at[i];

		plain += c;
		sign += (signed char)c; /* what some old writers summed */
	}
	if (want != plain && want != sign)
		return error_set(err, ERR_CORRUPT, "tar: header checksum does not match");
	return 0;
}

/* ---- headers ---- */

static char *field_text(struct tar_reader *t, const char *field, size_t max)
{
	return arena_strndup(&t->arena, field, strnlen(field, max));
}

static bool is_gnu(const struct tar_header *h)
{
	return memcmp(h->magic, "ustar  ", 8) == 0;
}

static char *header_path(struct tar_reader *t, const struct tar_header *h)
{
	char *name = field_text(t, h->name, sizeof(h->name));

	if (memcmp(h->magic, "ustar", 6) == 0 && h->prefix[0])
		return arena_format(&t->arena, "%.*s/%s", (int)strnlen(h->prefix, 155), h->prefix,
				    name);
	return name;
}

static int id_number(int64_t n, const char *what, uint32_t *ret, struct error *err)
{
	if (n < 0 || n > UINT32_MAX)
		return error_set(err, ERR_INVALID, "tar: %s %lld does not fit 32 bits", what,
				 (long long)n);
	*ret = (uint32_t)n;
	return 0;
}

static int plain_fields(struct tar_reader *t, const struct tar_header *h, struct error *err)
{
	struct tar_entry *e = &t->entry;
	int64_t mode, uid, gid, size, mtime, dev_major = 0, dev_minor = 0;
	int r = tar_number(h->mode, sizeof(h->mode), &mode, "mode", err);

	if (r == 0)
		r = tar_number(h->uid, sizeof(h->uid), &uid, "uid", err);
	if (r == 0)
		r = tar_number(h->gid, sizeof(h->gid), &gid, "gid", err);
	if (r == 0)
		r = tar_number(h->size, sizeof(h->size), &size, "size", err);
	if (r == 0)
		r = tar_number(h->mtime, sizeof(h->mtime), &mtime, "mtime", err);
	if (r == 0 && (h->type == '3' || h->type == '4')) {
		r = tar_number(h->dev_major, sizeof(h->dev_major), &dev_major, "device", err);
		if (r == 0)
			r = tar_number(h->dev_minor, sizeof(h->dev_minor), &dev_minor, "device",
				       err);
	}
	if (r < 0)
		return r;
	if (size < 0)
		return error_set(err, ERR_CORRUPT, "tar: negative size");
	if (mtime > INT64_MAX / NS || mtime < INT64_MIN / NS)
		mtime = 0;
	e->mode = (mode_t)(mode & 07777);
	e->size = (uint64_t)size;
	e->mtime_ns = mtime * NS;
	r = id_number(dev_major, "device number", &e->dev_major, err);
	if (r == 0)
		r = id_number(dev_minor, "device number", &e->dev_minor, err);
	/* A PAX header may correct ids that the old field could not hold. */
	t->raw_uid = uid;
	t->raw_gid = gid;
	return r;
}

static int entry_type(struct tar_reader *t, char type, struct error *err)
{
	struct tar_entry *e = &t->entry;
	size_t n = strlen(e->path);

	switch (type) {
	case '\0':
	case '0':
	case '7':
	case 'S':
		/* Before ustar a trailing '/' was the mark of a directory. */
		e->type = n > 0 && e->path[n - 1] == '/' ? TAR_DIR : TAR_FILE;
		return 0;
	case '1':
		e->type = TAR_HARDLINK;
		return 0;
	case '2':
		e->type = TAR_SYMLINK;
		return 0;
	case '3':
		e->type = TAR_CHAR;
		return 0;
	case '4':
		e->type = TAR_BLOCK_DEV;
		return 0;
	case '5':
		e->type = TAR_DIR;
		return 0;
	case '6':
		e->type = TAR_FIFO;
		return 0;
	default:
		return error_set(err, ERR_INVALID, "tar: '%s' has unknown type 0x%02x", e->path,
				 (unsigned char)type);
	}
}

static int check_names(struct tar_entry *e, struct error *err)
{
	/* To Go's path.Clean, which the peers unpack by, that is where it all goes. */
	if (!*e->path)
		e->path = ".";
	if ((e->type == TAR_HARDLINK || e->type == TAR_SYMLINK) && !*e->link)
		return error_set(err, ERR_CORRUPT, "tar: link '%s' without a target", e->path);
	return 0;
}

/* Make the entry from a header and what extended headers said. */
static int finish_entry(struct tar_reader *t, const struct tar_header *h, struct error *err)
{
	struct tar_entry *e = &t->entry;
	int r = plain_fields(t, h, err);

	if (r < 0)
		return r;
	e->path = t->long_path ? t->long_path : header_path(t, h);
	e->link = t->long_link ? t->long_link : field_text(t, h->link, sizeof(h->link));
	r = tar_pax_apply(t, err);
	if (r == 0)
		r = id_number(t->raw_uid, "uid", &e->uid, err);
	if (r == 0)
		r = id_number(t->raw_gid, "gid", &e->gid, err);
	if (r == 0)
		r = entry_type(t, h->type, err);
	if (r == 0)
		r = check_names(e, err);
	if (r < 0)
		return r;
	/* Only files have data, whatever the size field of the others says. */
	if (e->type != TAR_FILE) {
		e->size = 0;
		return 0;
	}
	t->left = e->size;
	t->pad = padding(e->size);
	return tar_sparse_setup(t, h, is_gnu(h), err);
}

static int extended(struct tar_reader *t, const struct tar_header *h, struct error *err)
{
	int64_t size;
	char *text;
	int r = tar_number(h->size, sizeof(h->size), &size, "size", err);

	if (r < 0)
		return r;
	if (size < 0 || size > TAR_HEADER_MAX || (t->headers += (uint64_t)size) > TAR_HEADER_MAX)
		return error_set(err, ERR_CORRUPT, "tar: extended header larger than %d bytes",
				 TAR_HEADER_MAX);
	text = arena_alloc(&t->arena, (size_t)size + 1);
	r = tar_raw_full(t, text, (size_t)size, err);
	if (r == 0)
		r = skip(t, padding((uint64_t)size), err);
	if (r < 0)
		return r;
	if (h->type == 'L')
		t->long_path = text;
	else if (h->type == 'K')
		t->long_link = text;
	else if (h->type == 'x')
		return tar_pax_parse(t, text, (size_t)size, err);
	return 0; /* 'g': defaults for all, none of which concern what we keep */
}

/* A header block. *ret_end: the archive is over. */
static int next_block(struct tar_reader *t, struct tar_header *h, bool *ret_end, struct error *err)
{
	static const struct tar_header zero;
	int r = fill(t, err);

	if (r < 0)
		return r;
	*ret_end = t->from_end;
	if (t->from_end) {
		t->ended = true;
		return 0;
	}
	r = tar_raw_full(t, h, sizeof(*h), err);
	if (r < 0)
		return r;
	if (memcmp(h, &zero, sizeof(zero)) == 0) {
		*ret_end = true;
		return drain(t, err);
	}
	return check_sum(h, err);
}

static void forget_entry(struct tar_reader *t)
{
	arena_release(&t->arena);
	t->arena = (struct arena)ARENA_INIT;
	t->entry = (struct tar_entry){ 0 };
	t->long_path = t->long_link = NULL;
	t->headers = 0;
	t->left = t->pad = 0;
	t->stream_at = 0;
	t->stream_extent = 0;
	t->extent_left = 0;
	vec_release(&t->pax);
	vec_release(&t->xattrs);
	vec_release(&t->extents);
}

int tar_reader_next(struct tar_reader *t, const struct tar_entry **ret, struct error *err)
{
	struct tar_header h;
	bool end, any_extended = false;
	int r;

	*ret = NULL;
	if (t->ended)
		return 0;
	r = skip(t, t->left, err);
	/* umoci's layers end with the last file's data: no padding, no end marker. Go's
	 * reader, with which everybody else reads them, takes that. */
	if (r == 0 && t->pad > 0)
		r = fill(t, err);
	if (r == 0 && t->pad > 0 && t->from_end)
		t->ended = true;
	else if (r == 0)
		r = skip(t, t->pad, err);
	if (r < 0 || t->ended)
		return r;
	forget_entry(t);
	for (;;) {
		r = next_block(t, &h, &end, err);
		if (r < 0)
			return r;
		if (end && any_extended)
			return error_set(err, ERR_CORRUPT, "tar: unexpected end of archive");
		if (end)
			return 0;
		if (h.type == 'V') { /* volume label */
			continue;
		} else if (h.type && strchr("xgLK", h.type)) {
			any_extended |= h.type != 'g';
			r = extended(t, &h, err);
			if (r < 0)
				return r;
			continue;
		}
		r = finish_entry(t, &h, err);
		if (r < 0)
			return r;
		*ret = &t->entry;
		return 0;
	}
}

int tar_reader_data(struct tar_reader *t, void *out, size_t len, size_t *ret_n, struct error *err)
{
	size_t n = len < t->left ? len : (size_t)t->left;
	int r;

	if (n == 0) {
		*ret_n = 0;
		return 0;
	}
	r = tar_raw(t, out, n, &n, err);
	if (r < 0)
		return r;
	if (n == 0)
		return error_set(err, ERR_CORRUPT, "tar: '%s': unexpected end of archive",
				 t->entry.path);
	t->left -= n;
	*ret_n = n;
	return 0;
}

/* The file as it reads: holes are zeros. */
static int stream_read(struct reader *base, void *out, size_t len, size_t *ret_n, struct error *err)
{
	struct tar_reader *t = container_of(base, struct tar_reader, stream);
	const struct tar_entry *e = &t->entry;
	uint64_t until = e->size;
	int r;

	if (!e->extents)
		return tar_reader_data(t, out, len, ret_n, err);
	while (t->stream_extent < e->n_extents) {
		const struct tar_extent *x = &e->extents[t->stream_extent];

		if (t->stream_at < x->offset) {
			until = x->offset;
			break;
		}
		if (t->stream_at < x->offset + x->len) {
			uint64_t left = x->offset + x->len - t->stream_at;

			r = tar_reader_data(t, out, left < len ? (size_t)left : len, ret_n, err);
			if (r == 0)
				t->stream_at += *ret_n;
			return r;
		}
		t->stream_extent++;
	}
	until -= t->stream_at;
	*ret_n = until < len ? (size_t)until : len;
	memset(out, 0, *ret_n);
	t->stream_at += *ret_n;
	return 0;
}

struct reader *tar_reader_stream(struct tar_reader *t)
{
	static const struct reader_ops ops = { stream_read };

	t->stream.ops = &ops;
	return &t->stream;
}

struct tar_reader *tar_reader_new(struct reader *from)
{
	struct tar_reader *t = new0(struct tar_reader);

	t->from = from;
	t->arena = (struct arena)ARENA_INIT;
	return t;
}

void tar_reader_free(struct tar_reader *t)
{
	if (!t)
		return;
	forget_entry(t);
	free(t);
}
