/* engine/logread.c: see logread.h. */
#include "engine/logread.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/compress.h"
#include "base/alloc.h"
#include "base/auto.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "base/stream.h"

#define CHUNK       65536
#define RECORD_MAX  (1 << 20)
#define FILES_MAX   1000
#define LOCAL_HEAD  8 /* the magic */
#define LOCAL_FIXED 10
/* RFC 1952: ten bytes, of which the fourth are the flags; then the comment, when it is alone. */
#define GZIP_HEAD    10
#define GZIP_COMMENT 16

/* ---- json-file ---- */

static bool hex4(const char *p, unsigned *ret)
{
	unsigned v = 0;
	int i;

	for (i = 0; i < 4; i++) {
		char c = p[i];

		v <<= 4;
		if (c >= '0' && c <= '9')
			v |= (unsigned)(c - '0');
		else if (c >= 'a' && c <= 'f')
			v |= (unsigned)(c - 'a' + 10);
		else if (c >= 'A' && c <= 'F')
			v |= (unsigned)(c - 'A' + 10);
		else
			return false;
	}
	*ret = v;
	return true;
}

static size_t put_utf8(char *out, unsigned v)
{
	if (v < 0x80) {
		out[0] = (char)v;
		return 1;
	}
	if (v < 0x800) {
		out[0] = (char)(0xc0 | v >> 6);
		out[1] = (char)(0x80 | (v & 0x3f));
		return 2;
	}
	out[0] = (char)(0xe0 | v >> 12);
	out[1] = (char)(0x80 | (v >> 6 & 0x3f));
	out[2] = (char)(0x80 | (v & 0x3f));
	return 3;
}

/* The string that begins behind a '"'; *at moves behind its end. */
static bool unescape(const char **at, const char *end, char *out, size_t *ret_len)
{
	const char *p = *at;
	size_t n = 0;
	unsigned v;

	while (p < end && *p != '"') {
		const char *stop = p;

		while (stop < end && *stop != '"' && *stop != '\\')
			stop++;
		memmove(out + n, p, (size_t)(stop - p));
		n += (size_t)(stop - p);
		p = stop;
		if (p >= end || *p == '"')
			break;
		if (end - p < 2)
			return false;
		switch (p[1]) {
		case 'n':
			out[n++] = '\n';
			break;
		case 'r':
			out[n++] = '\r';
			break;
		case 't':
			out[n++] = '\t';
			break;
		case 'b':
			out[n++] = '\b';
			break;
		case 'f':
			out[n++] = '\f';
			break;
		case 'u':
			if (end - p < 6 || !hex4(p + 2, &v))
				return false;
			n += put_utf8(out + n, v);
			p += 4;
			break;
		default:
			out[n++] = p[1];
			break;
		}
		p += 2;
	}
	if (p >= end)
		return false;
	*at = p + 1;
	*ret_len = n;
	return true;
}

static bool take(const char **at, const char *end, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(end - *at) < len || memcmp(*at, word, len) != 0)
		return false;
	*at += len;
	return true;
}

/* An object of strings, as it stands. */
static bool take_object(const char **at, const char *end, struct str *ret)
{
	const char *p = *at;
	bool quoted = false;

	for (; p < end; p++) {
		if (quoted && *p == '\\')
			p++;
		else if (*p == '"')
			quoted = !quoted;
		else if (!quoted && *p == '}') {
			*ret = (struct str){ *at, (size_t)(p + 1 - *at) };
			*at = p + 1;
			return true;
		}
	}
	return false;
}

bool log_line_parse(struct str line, char *out, struct log_record *ret)
{
	const char *p = line.at, *end = line.at + line.len;
	char stamp[64];
	size_t len;

	*ret = (struct log_record){ .stream = 1 };
	if (!take(&p, end, "{\"log\":\"") || !unescape(&p, end, out, &len))
		return false;
	ret->text = (struct str){ out, len };
	if (take(&p, end, ",\"stream\":\"stderr\""))
		ret->stream = 2;
	else if (!take(&p, end, ",\"stream\":\"stdout\""))
		return false;
	if (take(&p, end, ",\"attrs\":") && !take_object(&p, end, &ret->attrs))
		return false;
	if (!take(&p, end, ",\"time\":\""))
		return false;
	len = (size_t)(end - p);
	if (len < 3 || len - 2 >= sizeof(stamp))
		return false;
	memcpy(stamp, p, len - 2);
	stamp[len - 2] = '\0';
	return time_parse_rfc3339(stamp, &ret->time_ns, NULL) == 0;
}

/* ---- files ---- */

/* A compressed file is unpacked into one without a name before its first byte is read. */
static int unpack(struct log_file *f, struct error *err)
{
	autoclose int fd = FD_NONE;
	struct decompressor *d;
	struct fd_reader from;
	struct fd_writer to;
	int r;

	if (f->dir == NULL)
		return 0;
	fd = open(f->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_sys(err, errno, "make room to unpack the log");
	fd_reader_init(&from, f->fd, NULL);
	fd_writer_init(&to, fd, NULL);
	r = decompressor_new(&from.reader, &d, err);
	if (r < 0)
		return error_wrap(err, r, "unpack the log");
	r = stream_copy(decompressor_reader(d), &to.writer, UINT64_MAX, NULL, err);
	decompressor_free(d);
	if (r < 0)
		return error_wrap(err, r, "unpack the log");
	close(f->fd);
	f->fd = steal_fd(&fd);
	free(f->dir);
	f->dir = NULL;
	return 0;
}

static int fill(struct log_file *f, bool *ret_more, struct error *err)
{
	ssize_t n;
	int r = unpack(f, err);

	if (r < 0)
		return r;
	if (f->at > 0) {
		memmove(f->buf, f->buf + f->at, f->len - f->at);
		f->len -= f->at;
		f->at = 0;
	}
	if (f->len + CHUNK > f->cap) {
		if (f->cap >= RECORD_MAX + 2 * CHUNK)
			return error_set(err, ERR_CORRUPT, "a log line is longer than %d bytes",
					 RECORD_MAX);
		f->cap += 2 * CHUNK;
		f->buf = xrealloc(f->buf, f->cap);
	}
	do
		n = pread(f->fd, f->buf + f->len, CHUNK, (off_t)f->offset);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_sys(err, errno, "read the log");
	f->len += (size_t)n;
	f->offset += (uint64_t)n;
	*ret_more = n > 0;
	return 0;
}

static void room_for(struct log_file *f, size_t n)
{
	if (n <= f->text_cap)
		return;
	f->text_cap = n * 2;
	f->text = xrealloc(f->text, f->text_cap);
}

/* 1: a record; 0: more bytes are needed; -1: skipped a broken one. */
static int parse_json(struct log_file *f, struct log_record *ret)
{
	char *line = f->buf + f->at, *nl = memchr(line, '\n', f->len - f->at);
	size_t len;

	if (nl == NULL)
		return 0;
	len = (size_t)(nl - line);
	f->at += len + 1;
	room_for(f, len + 1);
	return log_line_parse((struct str){ line, len }, f->text, ret) ? 1 : -1;
}

static int parse_local(struct log_file *f, struct log_record *ret)
{
	size_t left = f->len - f->at;
	char *p = f->buf + f->at;
	uint32_t size;

	if (left < 4)
		return 0;
	memcpy(&size, p, 4);
	if (size < LOCAL_FIXED || size > RECORD_MAX) {
		/* Nothing behind a broken record can be trusted. */
		f->at = f->len;
		return -1;
	}
	if (left < (size_t)size + 8)
		return 0;
	*ret = (struct log_record){ .stream = p[12] };
	memcpy(&ret->time_ns, p + 4, 8);
	ret->text = (struct str){ p + 14, size - LOCAL_FIXED };
	f->at += (size_t)size + 8;
	return 1;
}

int log_file_next(struct log_file *f, struct log_record *ret, bool *ret_found, struct error *err)
{
	bool more;
	int r;

	for (;;) {
		r = f->len > f->at ? (f->local ? parse_local(f, ret) : parse_json(f, ret)) : 0;
		if (r > 0) {
			*ret_found = true;
			return 0;
		}
		if (r < 0)
			continue;
		r = fill(f, &more, err);
		if (r < 0)
			return r;
		if (!more) {
			*ret_found = false;
			return 0;
		}
	}
}

void log_file_close(struct log_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	free(f->buf);
	free(f->text);
	free(f->dir);
	*f = (struct log_file){ .fd = FD_NONE };
}

void log_files_close(struct log_files *f)
{
	size_t i;

	for (i = 0; i < f->n; i++)
		log_file_close(&f->at[i]);
	free(f->at);
	*f = (struct log_files){ 0 };
}

static bool open_one(const char *path, bool local, struct log_file *ret)
{
	struct stat st;
	int fd;

	if (fs_open(path, O_RDONLY | O_NOFOLLOW, 0, &fd, NULL) < 0)
		return false;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return false;
	}
	*ret = (struct log_file){
		.fd = fd, .ino = st.st_ino, .local = local, .offset = local ? LOCAL_HEAD : 0
	};
	return true;
}

/* The inode that the comment of our gzip head names; 0 when it is none of ours. */
static uint64_t original_inode(int fd)
{
	char head[64] = { 0 };
	uint64_t v;
	ssize_t n = pread(fd, head, sizeof(head) - 1, 0);

	if (n < GZIP_HEAD || head[3] != GZIP_COMMENT || strncmp(head + GZIP_HEAD, "ino=", 4) != 0 ||
	    parse_u64(str_of(head + GZIP_HEAD + 4), UINT64_MAX, &v, NULL) < 0)
		return 0;
	return v;
}

static bool open_compressed(const char *path, bool local, struct log_file *ret)
{
	autofree char *name = cstr_format("%s.gz", path);
	const char *slash = strrchr(path, '/');
	uint64_t ino;

	if (slash == NULL || !open_one(name, local, ret))
		return false;
	ino = original_inode(ret->fd);
	if (ino)
		ret->ino = ino;
	ret->dir = str_dup((struct str){ path, (size_t)(slash - path) });
	return true;
}

int log_files_open(const char *path, bool local, struct log_files *ret, struct error *err)
{
	struct log_files f = { 0 };
	size_t i, n = 0, missing = 0;

	(void)err;
	f.at = xcalloc(FILES_MAX + 1, sizeof(*f.at));
	/* Newest first: a rotation meanwhile makes a file appear twice, never lost. */
	while (n < FILES_MAX) {
		autofree char *name = n == 0 ? xstrdup(path) : cstr_format("%s.%zu", path, n);

		if (!open_one(name, local, &f.at[f.n]) &&
		    (n == 0 || !open_compressed(name, local, &f.at[f.n]))) {
			/* One may be on its way to the next number. */
			if (n > 0 && missing++ > 0)
				break;
			n++;
			continue;
		}
		if (f.n > 0 && f.at[f.n].ino == f.at[f.n - 1].ino)
			log_file_close(&f.at[f.n]);
		else
			f.n++;
		n++;
	}
	for (i = 0; i < f.n / 2; i++) {
		struct log_file swap = f.at[i];

		f.at[i] = f.at[f.n - 1 - i];
		f.at[f.n - 1 - i] = swap;
	}
	*ret = f;
	return 0;
}

/* ---- tail ---- */

/* Walk back over at most *n lines; the offset where they begin. */
static int tail_json(struct log_file *f, uint64_t *n, struct error *err)
{
	off_t end = lseek(f->fd, 0, SEEK_END);
	char chunk[16384];
	bool first = true;

	if (end < 0)
		return error_sys(err, errno, "seek in the log");
	while (end > 0) {
		size_t want = end > (off_t)sizeof(chunk) ? sizeof(chunk) : (size_t)end, i;

		if (pread(f->fd, chunk, want, end - (off_t)want) != (ssize_t)want)
			return error_set(err, ERR_SYSTEM, "the log changed while it was read");
		for (i = want; i > 0; i--) {
			if (chunk[i - 1] != '\n')
				continue;
			/* The newline at the very end ends the last line. */
			if (first) {
				first = false;
				continue;
			}
			if (--*n == 0) {
				f->offset = (uint64_t)(end - (off_t)want) + i;
				return 0;
			}
		}
		end -= (off_t)want;
	}
	if (!first)
		--*n;
	f->offset = 0;
	return 0;
}

static int tail_local(struct log_file *f, uint64_t *n, struct error *err)
{
	off_t end = lseek(f->fd, 0, SEEK_END);
	uint32_t size;

	if (end < 0)
		return error_sys(err, errno, "seek in the log");
	while (end > LOCAL_HEAD && *n > 0) {
		if (pread(f->fd, &size, 4, end - 4) != 4 || size < LOCAL_FIXED ||
		    (off_t)size + 8 > end - LOCAL_HEAD)
			break;
		end -= (off_t)size + 8;
		--*n;
	}
	f->offset = end > LOCAL_HEAD ? (uint64_t)end : LOCAL_HEAD;
	return 0;
}

int log_files_tail(struct log_files *f, uint64_t n, size_t *ret_first, struct error *err)
{
	size_t i = f->n;
	int r;

	if (n == 0 && f->n > 0) {
		struct log_file *last = &f->at[f->n - 1];
		off_t end = lseek(last->fd, 0, SEEK_END);

		if (end > (off_t)last->offset)
			last->offset = (uint64_t)end;
		*ret_first = f->n - 1;
		return 0;
	}
	while (i > 0 && n > 0) {
		i--;
		r = unpack(&f->at[i], err);
		if (r < 0)
			return r;
		r = f->at[i].local ? tail_local(&f->at[i], &n, err) : tail_json(&f->at[i], &n, err);
		if (r < 0)
			return r;
	}
	*ret_first = i;
	return 0;
}
