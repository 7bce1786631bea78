#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/str.h"
#include "client/client.h"
#include "http/url.h"

#define MESSAGE_MAX (16 * 1024 * 1024)
#define QUERY_MAX   (1024 * 1024)

void client_stream_close_write(struct client_stream *s)
{
	if (s->fd >= 0)
		shutdown(s->fd, SHUT_WR);
}

void client_stream_release(struct client_stream *s)
{
	if (s->fd >= 0)
		close(s->fd);
	free(s->early);
	*s = (struct client_stream){ .fd = FD_NONE };
}

void client_messages_init(struct client_messages *m, struct reader *from)
{
	*m = (struct client_messages){ .from = from, .in = BUF_INIT(MESSAGE_MAX) };
}

void client_messages_release(struct client_messages *m)
{
	buf_release(&m->in);
	*m = (struct client_messages){ 0 };
}

/* Where the JSON value at the start of the text ends; 0 when it is not all here. */
static size_t value_end(const char *at, size_t len)
{
	bool in_string = false, escaped = false;
	unsigned depth = 0;

	for (size_t i = 0; i < len; i++) {
		char c = at[i];

		if (in_string) {
			if (escaped)
				escaped = false;
			else if (c == '\\')
				escaped = true;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '{' || c == '[') {
			depth++;
		} else if (c == '}' || c == ']') {
			depth -= depth > 0;
			if (depth == 0)
				return i + 1;
		} else if (depth == 0 && (c == '\n' || c == '\r')) {
			return i;
		}
	}
	return 0;
}

static void skip_blanks(struct client_messages *m)
{
	while (m->at < m->in.len && strchr(" \t\r\n", m->in.data[m->at]) && m->in.data[m->at])
		m->at++;
}

static int read_more(struct client_messages *m, struct error *err)
{
	char chunk[16 * 1024];
	size_t n = 0;
	int r;

	if (m->at > 0) {
		memmove(m->in.data, m->in.data + m->at, m->in.len - m->at);
		m->in.len -= m->at;
		m->at = 0;
	}
	r = reader_read(m->from, chunk, sizeof(chunk), &n, err);
	if (r < 0)
		return r;
	m->ended = n == 0;
	return buf_add(&m->in, chunk, n, err);
}

int client_messages_next(struct client_messages *m, const char **ret_text, size_t *ret_len,
			 struct error *err)
{
	for (;;) {
		size_t len;
		int r;

		skip_blanks(m);
		len = m->at < m->in.len ? value_end(m->in.data + m->at, m->in.len - m->at) : 0;
		if (len == 0 && m->ended)
			len = m->in.len - m->at;
		if (len > 0) {
			*ret_text = m->in.data + m->at;
			*ret_len = len;
			m->at += len;
			return 0;
		}
		if (m->ended) {
			*ret_text = NULL;
			*ret_len = 0;
			return 0;
		}
		r = read_more(m, err);
		if (r < 0)
			return r;
	}
}

void client_query_add(struct buf *q, const char *key, const char *value)
{
	if (value == NULL)
		return;
	/* Only the ceiling can fail, and the server refuses a target long before. */
	(void)!http_encode_param(q, key, value, NULL);
}

void client_query_add_bool(struct buf *q, const char *key, bool value)
{
	if (value)
		client_query_add(q, key, "1");
}

void client_query_add_int(struct buf *q, const char *key, int64_t value)
{
	autofree char *text = cstr_format("%lld", (long long)value);

	client_query_add(q, key, text);
}

const char *client_path(struct arena *a, const char *before, const char *name, const char *after)
{
	auto_(buf) b = BUF_INIT(QUERY_MAX);

	(void)!buf_addf(&b, NULL, "%s", before);
	(void)!http_encode_path(&b, name, true, NULL);
	(void)!buf_addf(&b, NULL, "%s", after);
	return arena_strdup(a, b.data);
}
