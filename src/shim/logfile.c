/* shim/logfile.c: lines into files, see logfile.h. */
#include "shim/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/auto.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "shim/logzip.h"

#define OUT_SIZE 131072
/* The longest record of one piece: every byte escaped as six, plus the rest. */
#define RECORD_MAX (LOG_LINE_MAX * 6 + 256)

struct logfile {
	struct logfile_config cfg;
	char *path;
	bool local;
	int fd;
	struct logzip zip;
	int64_t size;
	size_t attrs_len;
	size_t out_len;
	char stamp[TIME_TEXT_MAX];
	size_t stamp_len;
	char out[OUT_SIZE];
};

static int logfile_begin(struct logfile *l, struct error *err)
{
	struct stat st;
	int r;

	r = fs_open(l->path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0640, &l->fd, err);
	if (r < 0)
		return r;
	if (fstat(l->fd, &st) < 0)
		return error_sys(err, errno, "log '%s'", l->path);
	l->size = st.st_size;
	if (l->local && l->size == 0) {
		r = fs_write_all(l->fd, LOG_LOCAL_MAGIC, 8, err);
		if (r < 0)
			return r;
		l->size = 8;
	}
	return 0;
}

int logfile_open(const struct logfile_config *cfg, struct logfile **ret, struct error *err)
{
	struct logfile *l;
	int r;

	if (cfg->driver == NULL || strcmp(cfg->driver, "none") == 0) {
		*ret = NULL;
		return 0;
	}
	if (strcmp(cfg->driver, "json-file") != 0 && strcmp(cfg->driver, "local") != 0)
		return error_set(err, ERR_INVALID, "logger: no log driver named '%s' is registered",
				 cfg->driver);
	l = new0(struct logfile);
	l->cfg = *cfg;
	l->path = xstrdup(cfg->path);
	l->local = strcmp(cfg->driver, "local") == 0;
	l->attrs_len = cfg->attrs_json ? strlen(cfg->attrs_json) : 0;
	l->fd = FD_NONE;
	l->zip = (struct logzip)LOGZIP_INIT;
	r = logfile_begin(l, err);
	if (r < 0) {
		logfile_close(l);
		return r;
	}
	*ret = l;
	return 0;
}

void logfile_close(struct logfile *l)
{
	if (l == NULL)
		return;
	if (l->fd >= 0)
		close(l->fd);
	logzip_wait(&l->zip);
	free(l->path);
	free(l);
}

/* path.i-1 becomes path.i, compressed or not; what stood there under either name is gone. */
static int shift(struct logfile *l, unsigned i)
{
	autofree char *to = cstr_format("%s.%u", l->path, i), *to_gz = cstr_format("%s.gz", to);
	autofree char *from = i == 1 ? xstrdup(l->path) : cstr_format("%s.%u", l->path, i - 1);
	autofree char *from_gz = cstr_format("%s.gz", from);

	if (i > 1 && l->cfg.compress && rename(from_gz, to_gz) == 0) {
		unlink(to);
		return 0;
	}
	if (rename(from, to) < 0)
		return errno == ENOENT ? 0 : -1;
	if (l->cfg.compress)
		unlink(to_gz);
	return 0;
}

static void logfile_rotate(struct logfile *l)
{
	unsigned i;

	logzip_wait(&l->zip);
	if (l->cfg.max_files <= 1)
		unlink(l->path);
	for (i = l->cfg.max_files - 1; i >= 1 && l->cfg.max_files > 1; i--)
		if (shift(l, i) < 0)
			return;
	close(l->fd);
	l->fd = FD_NONE;
	if (logfile_begin(l, NULL) < 0)
		l->size = 0;
	if (l->cfg.compress && l->cfg.max_files > 1) {
		autofree char *first = cstr_format("%s.1", l->path);

		logzip_start(&l->zip, first);
	}
}

static void logfile_send(struct logfile *l)
{
	if (l->out_len == 0)
		return;
	if (l->fd < 0 && logfile_begin(l, NULL) < 0) {
		l->out_len = 0;
		return;
	}
	if (l->cfg.max_size_bytes > 0 && l->size >= l->cfg.max_size_bytes)
		logfile_rotate(l);
	if (l->fd >= 0 && fs_write_all(l->fd, l->out, l->out_len, NULL) == 0)
		l->size += (int64_t)l->out_len;
	l->out_len = 0;
}

/* Length of the escape of a byte that JSON cannot hold as it is. */
static size_t escape_byte(unsigned char c, char *out)
{
	static const char hex[] = "0123456789abcdef";

	switch (c) {
	case '\n':
		memcpy(out, "\\n", 2);
		return 2;
	case '\r':
		memcpy(out, "\\r", 2);
		return 2;
	case '\t':
		memcpy(out, "\\t", 2);
		return 2;
	case '"':
	case '\\':
		out[0] = '\\';
		out[1] = (char)c;
		return 2;
	default:
		memcpy(out, "\\u00", 4);
		out[4] = hex[c >> 4];
		out[5] = hex[c & 15];
		return 6;
	}
}

/* Bytes of the UTF-8 sequence at p, 0 when it is not one. */
static size_t utf8_length(const unsigned char *p, size_t left)
{
	size_t n, i;

	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (n > left)
		return 0;
	for (i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

static size_t escape_text(const char *bytes, size_t len, char *out)
{
	static const bool special[128] = {
		[0 ... 31] = true, ['"'] = true, ['\\'] = true, ['<'] = true,
		['>'] = true,      ['&'] = true, [127] = false,
	};
	const unsigned char *p = (const unsigned char *)bytes;
	size_t i = 0, n = 0;

	while (i < len) {
		size_t k;

		if (p[i] < 128) {
			if (special[p[i]])
				n += escape_byte(p[i], out + n);
			else
				out[n++] = (char)p[i];
			i++;
			continue;
		}
		k = utf8_length(p + i, len - i);
		if (k == 0) {
			memcpy(out + n, "\\ufffd", 6);
			n += 6;
			i++;
			continue;
		}
		/* Go writes the two line separators as escapes. */
		if (k == 3 && p[i] == 0xe2 && p[i + 1] == 0x80 && (p[i + 2] | 1) == 0xa9) {
			memcpy(out + n, p[i + 2] == 0xa8 ? "\\u2028" : "\\u2029", 6);
			n += 6;
		} else {
			memcpy(out + n, p + i, k);
			n += k;
		}
		i += k;
	}
	return n;
}

static char *put(char *at, const void *bytes, size_t len)
{
	if (len > 0)
		memcpy(at, bytes, len);
	return at + len;
}

static void record_json(struct logfile *l, int stream, const char *a, size_t a_len, const char *b,
			size_t b_len)
{
	char *at = l->out + l->out_len;

	at = put(at, "{\"log\":\"", 8);
	at += escape_text(a, a_len, at);
	at += escape_text(b, b_len, at);
	at = stream == 1 ? put(at, "\",\"stream\":\"stdout\"", 19)
			 : put(at, "\",\"stream\":\"stderr\"", 19);
	if (l->attrs_len) {
		at = put(at, ",\"attrs\":", 9);
		at = put(at, l->cfg.attrs_json, l->attrs_len);
	}
	at = put(at, ",\"time\":\"", 9);
	at = put(at, l->stamp, l->stamp_len);
	at = put(at, "\"}\n", 3);
	l->out_len = (size_t)(at - l->out);
}

static void record_local(struct logfile *l, int stream, int64_t now_ns, const char *a, size_t a_len,
			 const char *b, size_t b_len)
{
	char *at = l->out + l->out_len;
	size_t len = a_len + b_len;
	uint32_t size = (uint32_t)(len + 10);
	bool partial = len > 0 && (b_len ? b[b_len - 1] : a[a_len - 1]) != '\n';

	at = put(at, &size, 4);
	at = put(at, &now_ns, 8);
	*at++ = (char)stream;
	*at++ = (char)partial;
	at = put(at, a, a_len);
	at = put(at, b, b_len);
	at = put(at, &size, 4);
	l->out_len = (size_t)(at - l->out);
}

static void record(struct logfile *l, int stream, int64_t now_ns, const char *a, size_t a_len,
		   const char *b, size_t b_len)
{
	if (l->out_len + RECORD_MAX + l->attrs_len > OUT_SIZE ||
	    (l->cfg.max_size_bytes > 0 && l->size + (int64_t)l->out_len >= l->cfg.max_size_bytes))
		logfile_send(l);
	if (l->local)
		record_local(l, stream, now_ns, a, a_len, b, b_len);
	else
		record_json(l, stream, a, a_len, b, b_len);
}

void logfile_write(struct logfile *l, int stream, struct log_partial *partial, const char *bytes,
		   size_t len, int64_t now_ns)
{
	if (l == NULL)
		return;
	time_format_rfc3339nano(now_ns, l->stamp);
	l->stamp_len = strlen(l->stamp);
	while (len > 0) {
		const char *nl = memchr(bytes, '\n', len);
		size_t take = nl ? (size_t)(nl - bytes) + 1 : len;

		if (partial->len + take > LOG_LINE_MAX)
			take = LOG_LINE_MAX - partial->len;
		if (partial->len + take < LOG_LINE_MAX && bytes[take - 1] != '\n') {
			if (partial->bytes == NULL)
				partial->bytes = xcalloc(1, LOG_LINE_MAX);
			memcpy(partial->bytes + partial->len, bytes, take);
			partial->len += take;
		} else {
			record(l, stream, now_ns, partial->bytes, partial->len, bytes, take);
			partial->len = 0;
		}
		bytes += take;
		len -= take;
	}
	logfile_send(l);
}

void logfile_flush(struct logfile *l, int stream, struct log_partial *partial, int64_t now_ns)
{
	if (l == NULL || partial->len == 0)
		return;
	time_format_rfc3339nano(now_ns, l->stamp);
	l->stamp_len = strlen(l->stamp);
	record(l, stream, now_ns, partial->bytes, partial->len, NULL, 0);
	partial->len = 0;
	logfile_send(l);
}

void log_partial_release(struct log_partial *p)
{
	free(p->bytes);
	p->bytes = NULL;
	p->len = 0;
}
