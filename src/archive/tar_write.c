/*
 * archive/tar_write.c: the writing half of tar.h. The same entries give the
 * same bytes for ever: layer digests depend on this file.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/tar.h"
#include "archive/tar_format.h"
#include "base/buf.h"
#include "base/clock.h"

#define OCTAL_7_MAX  07777777LL
#define OCTAL_11_MAX 077777777777LL
#define PAX_MAX      (TAR_HEADER_MAX * 2)

static const char zeros[TAR_BLOCK];

static int put(struct tar_writer *w, const void *bytes, size_t len, struct error *err)
{
	int r = writer_write(w->to, bytes, len, err);

	if (r == 0)
		w->total += len;
	return r;
}

static int pad(struct tar_writer *w, uint64_t size, struct error *err)
{
	size_t n = (size_t)((TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK);

	return n ? put(w, zeros, n, err) : 0;
}

static void octal(char *field, size_t len, uint64_t n)
{
	for (size_t i = len - 1; i > 0; i--, n >>= 3)
		field[i - 1] = (char)('0' + (n & 7));
	field[len - 1] = '\0';
}

static void seal(struct tar_header *h)
{
	const unsigned char *at = (const unsigned char *)h;
	unsigned sum = 0;

	memcpy(h->magic,
	       "ustar\0"
	       "00",
	       8);
	memset(h->checksum, ' ', sizeof(h->checksum));
	for (size_t i = 0; i < sizeof(*h); i++)
		sum += at[i];
	octal(h->checksum, 7, sum);
	h->checksum[7] = ' ';
}

static void text(char *field, size_t size, const char *s)
{
	size_t n = strlen(s);

	memcpy(field, s, n < size ? n : size);
}

/* "LEN KEY=VALUE\n", LEN counting itself. */
static int record(struct buf *b, const char *key, const void *value, size_t len, struct error *err)
{
	size_t body = strlen(key) + len + 3, n = body + 1;
	char digits[24];
	int r;

	while ((size_t)snprintf(digits, sizeof(digits), "%zu", n) + body != n)
		n = body + strlen(digits);
	r = buf_addf(b, err, "%s %s=", digits, key);
	if (r == 0 && len > 0)
		r = buf_add(b, value, len, err);
	return r < 0 ? r : buf_add(b, "\n", 1, err);
}

static int number(struct buf *b, const char *key, uint64_t n, struct error *err)
{
	char digits[24];

	snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);
	return record(b, key, digits, strlen(digits), err);
}

static int time_record(struct buf *b, const char *key, int64_t ns, struct error *err)
{
	int64_t s = ns / NS_PER_SEC, rest = ns % NS_PER_SEC;
	char digits[48];
	int n;

	n = snprintf(digits, sizeof(digits), "%s%lld", ns < 0 ? "-" : "",
		     (long long)(s < 0 ? -s : s));
	if (rest) {
		snprintf(digits + n, sizeof(digits) - (size_t)n, ".%09lld",
			 (long long)(rest < 0 ? -rest : rest));
		/* The shortest form, as Go's writer has it. */
		for (n = (int)strlen(digits); digits[n - 1] == '0'; n--)
			digits[n - 1] = '\0';
	}
	return record(b, key, digits, strlen(digits), err);
}

static bool is_plain(const char *s, size_t max)
{
	size_t n = strlen(s);

	for (size_t i = 0; i < n; i++) {
		if ((unsigned char)s[i] & 0x80)
			return false;
	}
	return n <= max;
}

static int compare_xattrs(const void *a, const void *b)
{
	const struct tar_xattr *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int xattr_records(struct buf *b, const struct tar_entry *e, struct error *err)
{
	autofree struct tar_xattr *sorted = NULL;
	char key[300];
	int r = 0;

	if (e->n_xattrs == 0)
		return 0;
	sorted = calloc(e->n_xattrs, sizeof(*sorted));
	if (!sorted)
		abort();
	memcpy(sorted, e->xattrs, e->n_xattrs * sizeof(*sorted));
	qsort(sorted, e->n_xattrs, sizeof(*sorted), compare_xattrs);
	for (size_t i = 0; r == 0 && i < e->n_xattrs; i++) {
		if (strchr(sorted[i].name, '='))
			continue; /* PAX cannot say it */
		snprintf(key, sizeof(key), "SCHILY.xattr.%s", sorted[i].name);
		r = record(b, key, sorted[i].value, sorted[i].len, err);
	}
	return r;
}

static int64_t floor_seconds(int64_t ns)
{
	return ns >= 0 ? ns / NS_PER_SEC : -((-ns + NS_PER_SEC - 1) / NS_PER_SEC);
}

/* What the plain header cannot hold, keys in order of their bytes. */
static int pax_records(struct buf *b, const struct tar_entry *e, struct error *err)
{
	int64_t s = floor_seconds(e->mtime_ns);
	int r = 0;

	if (e->gid > OCTAL_7_MAX)
		r = number(b, "gid", e->gid, err);
	if (r == 0 && *e->link && !is_plain(e->link, 100))
		r = record(b, "linkpath", e->link, strlen(e->link), err);
	if (r == 0 && (e->mtime_ns % NS_PER_SEC || s < 0 || s > OCTAL_11_MAX))
		r = time_record(b, "mtime", e->mtime_ns, err);
	if (r == 0 && !is_plain(e->path, 100))
		r = record(b, "path", e->path, strlen(e->path), err);
	if (r == 0)
		r = xattr_records(b, e, err);
	if (r == 0 && e->size > OCTAL_11_MAX)
		r = number(b, "size", e->size, err);
	if (r == 0 && e->uid > OCTAL_7_MAX)
		r = number(b, "uid", e->uid, err);
	return r;
}

static int pax_entry(struct tar_writer *w, const struct tar_entry *e, struct error *err)
{
	auto_(buf) b = BUF_INIT(PAX_MAX);
	const char *base = strrchr(e->path, '/');
	struct tar_header h = { 0 };
	char name[101];
	int r = pax_records(&b, e, err);

	if (r < 0 || b.len == 0)
		return r;
	base = base && base[1] ? base + 1 : e->path;
	snprintf(name, sizeof(name), "PaxHeaders.0/%.80s", base);
	text(h.name, sizeof(h.name), name);
	octal(h.mode, sizeof(h.mode), 0644);
	octal(h.uid, sizeof(h.uid), 0);
	octal(h.gid, sizeof(h.gid), 0);
	octal(h.size, sizeof(h.size), b.len);
	octal(h.mtime, sizeof(h.mtime), 0);
	h.type = 'x';
	seal(&h);
	r = put(w, &h, sizeof(h), err);
	if (r == 0)
		r = put(w, b.data, b.len, err);
	return r < 0 ? r : pad(w, b.len, err);
}

static uint64_t fit(uint64_t n, uint64_t max)
{
	return n <= max ? n : 0;
}

int tar_writer_entry(struct tar_writer *w, const struct tar_entry *e, struct error *err)
{
	static const char types[] = {
		[TAR_FILE] = '0',      [TAR_HARDLINK] = '1', [TAR_SYMLINK] = '2', [TAR_CHAR] = '3',
		[TAR_BLOCK_DEV] = '4', [TAR_DIR] = '5',      [TAR_FIFO] = '6',
	};
	int64_t s = floor_seconds(e->mtime_ns);
	uint64_t size = e->type == TAR_FILE ? e->size : 0;
	struct tar_header h = { 0 };
	int r;

	assert(w->left == 0);
	r = pax_entry(w, e, err);
	if (r < 0)
		return r;
	text(h.name, sizeof(h.name), e->path);
	text(h.link, sizeof(h.link), e->link ? e->link : "");
	octal(h.mode, sizeof(h.mode), e->mode & 07777);
	octal(h.uid, sizeof(h.uid), fit(e->uid, OCTAL_7_MAX));
	octal(h.gid, sizeof(h.gid), fit(e->gid, OCTAL_7_MAX));
	octal(h.size, sizeof(h.size), fit(size, OCTAL_11_MAX));
	octal(h.mtime, sizeof(h.mtime), s < 0 ? 0 : fit((uint64_t)s, OCTAL_11_MAX));
	octal(h.dev_major, sizeof(h.dev_major), fit(e->dev_major, OCTAL_7_MAX));
	octal(h.dev_minor, sizeof(h.dev_minor), fit(e->dev_minor, OCTAL_7_MAX));
	h.type = types[e->type];
	seal(&h);
	w->left = size;
	return put(w, &h, sizeof(h), err);
}

int tar_writer_data(struct tar_writer *w, const void *bytes, size_t len, struct error *err)
{
	int r;

	assert(len <= w->left);
	if (len == 0)
		return 0;
	r = put(w, bytes, len, err);
	if (r < 0)
		return r;
	w->left -= len;
	/* Headers have been padded, so total tells how far into the block the data ends. */
	return w->left == 0 ? pad(w, w->total, err) : 0;
}

int tar_writer_file(struct tar_writer *w, const char *path, mode_t mode, int64_t mtime_ns,
		    const void *bytes, size_t len, struct error *err)
{
	const struct tar_entry e = {
		.type = TAR_FILE,
		.path = path,
		.link = "",
		.mode = mode,
		.size = len,
		.mtime_ns = mtime_ns,
	};
	int r = tar_writer_entry(w, &e, err);

	return r < 0 ? r : tar_writer_data(w, bytes, len, err);
}

int tar_writer_finish(struct tar_writer *w, struct error *err)
{
	int r;

	assert(w->left == 0);
	r = put(w, zeros, sizeof(zeros), err);
	return r < 0 ? r : put(w, zeros, sizeof(zeros), err);
}
