#include "http/body.h"

#include <string.h>

/* All chunk extensions and trailers of one body together. */
#define OVERHEAD_MAX   (16 * 1024)
#define CHUNK_LINE_MAX 256

enum chunk_state {
	CHUNK_SIZE = 0, /* before a size line */
	CHUNK_DATA,
	CHUNK_DATA_END, /* before the CR LF behind the data */
	CHUNK_TRAILER,
};

static int broken(struct http_body *b, struct error *err, const char *what)
{
	b->failed = true;
	return error_set(err, ERR_INVALID, "malformed chunked body: %s", what);
}

static int cut_off(struct http_body *b, struct error *err)
{
	b->failed = true;
	return error_set(err, ERR_CORRUPT, "unexpected end of data");
}

/*
 * Next line of the framing, without its CR LF; *ret points into the buffer and
 * dies with the next read.
 */
static int frame_line(struct http_body *b, struct str *ret, struct error *err)
{
	struct http_source *s = b->src;
	size_t seen = 0, n;
	int r;

	for (;;) {
		size_t have = s->in.len - s->at;
		const char *at = have ? s->in.data + s->at : NULL;
		const char *lf = have > seen ? memchr(at + seen, '\n', have - seen) : NULL;

		if (lf != NULL) {
			size_t len = (size_t)(lf - at) + 1;

			if (len < 2 || lf[-1] != '\r' || memchr(at, '\r', len - 2))
				return broken(b, err, "line without CR LF");
			s->at += len;
			*ret = (struct str){ at, len - 2 };
			return 0;
		}
		seen = have;
		if (seen > CHUNK_LINE_MAX + OVERHEAD_MAX)
			return broken(b, err, "line too long");
		r = http_source_fill(s, &n, err);
		if (r < 0) {
			b->failed = true;
			return r;
		}
		if (n == 0)
			return cut_off(b, err);
	}
}

static int charge(struct http_body *b, size_t n, struct error *err)
{
	b->overhead += n;
	if (b->overhead > OVERHEAD_MAX)
		return broken(b, err, "too many extensions or trailers");
	return 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static int read_size_line(struct http_body *b, struct error *err)
{
	struct str line;
	uint64_t size = 0;
	size_t i = 0, ext;
	int r;

	r = frame_line(b, &line, err);
	if (r < 0)
		return r;
	for (; i < line.len && hex_digit(line.at[i]) >= 0; i++) {
		if (size > (1ULL << 58))
			return broken(b, err, "chunk too large");
		size = size << 4 | (uint64_t)hex_digit(line.at[i]);
	}
	if (i == 0 || i > 16)
		return broken(b, err, "bad chunk size");
	ext = i;
	while (ext < line.len && (line.at[ext] == ' ' || line.at[ext] == '\t'))
		ext++;
	if (ext < line.len && line.at[ext] != ';')
		return broken(b, err, "bad chunk size");
	for (size_t k = i; k < line.len; k++)
		if ((unsigned char)line.at[k] < 0x20 && line.at[k] != '\t')
			return broken(b, err, "bad chunk extension");
	r = charge(b, line.len - i, err);
	if (r < 0)
		return r;
	b->left = size;
	b->state = size ? CHUNK_DATA : CHUNK_TRAILER;
	return 0;
}

/* Work through the framing until data or the end comes next. */
static int next_chunk(struct http_body *b, struct error *err)
{
	while (b->state != CHUNK_DATA && !b->done) {
		struct str line;
		int r;

		if (b->state == CHUNK_SIZE) {
			r = read_size_line(b, err);
			if (r < 0)
				return r;
			continue;
		}
		r = frame_line(b, &line, err);
		if (r < 0)
			return r;
		if (b->state == CHUNK_DATA_END) {
			if (line.len != 0)
				return broken(b, err, "data longer than its size");
			b->state = CHUNK_SIZE;
		} else if (line.len == 0) {
			b->done = true;
		} else {
			r = charge(b, line.len + 2, err);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int read_framed(struct http_body *b, void *out, size_t len, size_t *ret_n, struct error *err)
{
	size_t n;
	int r;

	if (b->framing != HTTP_BODY_UNTIL_CLOSE && len > b->left)
		len = b->left;
	r = http_source_read(b->src, out, len, &n, err);
	if (r < 0) {
		b->failed = true;
		return r;
	}
	if (n == 0 && b->framing != HTTP_BODY_UNTIL_CLOSE)
		return cut_off(b, err);
	if (n == 0)
		b->done = true;
	if (b->framing != HTTP_BODY_UNTIL_CLOSE)
		b->left -= n;
	*ret_n = n;
	return 0;
}

static int body_read(struct reader *reader, void *out, size_t len, size_t *ret_n, struct error *err)
{
	struct http_body *b = container_of(reader, struct http_body, reader);
	int r;

	if (b->failed)
		return error_set(err, ERR_CORRUPT, "the body is broken");
	if (b->done || len == 0) {
		*ret_n = 0;
		return 0;
	}
	if (b->before) {
		r = b->before(b->before_arg, err);
		b->before = NULL;
		if (r < 0) {
			b->failed = true;
			return r;
		}
	}
	if (b->framing == HTTP_BODY_CHUNKED) {
		r = next_chunk(b, err);
		if (r < 0)
			return r;
		if (b->done) {
			*ret_n = 0;
			return 0;
		}
	}
	r = read_framed(b, out, len, ret_n, err);
	if (r < 0)
		return r;
	if (b->left == 0 && b->framing == HTTP_BODY_CHUNKED)
		b->state = CHUNK_DATA_END;
	if (b->left == 0 && b->framing == HTTP_BODY_LENGTH)
		b->done = true;
	return 0;
}

static const struct reader_ops body_ops = { .read = body_read };

void http_body_init(struct http_body *b, struct http_source *src, enum http_framing framing,
		    uint64_t length)
{
	*b = (struct http_body){
		.reader.ops = &body_ops,
		.src = src,
		.framing = framing,
		.left = framing == HTTP_BODY_LENGTH ? length : 0,
		.done = framing == HTTP_BODY_NONE || (framing == HTTP_BODY_LENGTH && length == 0),
	};
}

int http_body_drain(struct http_body *b, uint64_t max, struct error *err)
{
	char drop[4096];
	uint64_t total = 0;
	int r;

	while (!b->done) {
		size_t n;

		if (total > max)
			return error_set(err, ERR_INVALID, "too much body left");
		r = body_read(&b->reader, drop, sizeof(drop), &n, err);
		if (r < 0)
			return r;
		total += n;
	}
	return 0;
}
