#include "api/call.h"

#include <string.h>

#include "base/base64.h"
#include "base/log.h"
#include "base/str.h"

const char *call_text(const struct call *c, const char *key)
{
	const char *value = call_query(c, key);

	return cstr_is_empty(value) ? NULL : value;
}

const char *const *call_list(const struct call *c, const char *key)
{
	const char **list;
	size_t n = 0;

	while (http_query_nth(&c->req->query, key, n))
		n++;
	if (n == 0)
		return NULL;
	list = arena_array(c->req->arena, n + 1, sizeof(*list));
	for (size_t i = 0; i < n; i++)
		list[i] = http_query_nth(&c->req->query, key, i);
	return list;
}

int call_query_json(struct call *c, const char *key, const struct json **ret, struct error *err)
{
	const char *value = call_text(c, key);
	int r;

	*ret = NULL;
	if (value == NULL)
		return 0;
	r = json_parse(c->req->arena, value, strlen(value), ret, err);
	if (r < 0)
		return error_wrap(err, r, "invalid %s", key);
	if ((*ret)->type == JSON_NULL)
		*ret = NULL;
	return 0;
}

int call_filters(struct call *c, const struct json **ret, struct error *err)
{
	int r = call_query_json(c, "filters", ret, err);

	if (r < 0)
		return r;
	if (*ret && (*ret)->type != JSON_OBJECT)
		return error_set(err, ERR_INVALID, "invalid filters: want an object");
	return 0;
}

static bool is_json_type(const char *type)
{
	struct str s = str_of(type);
	ptrdiff_t semicolon = str_find(s, ';');

	if (semicolon >= 0)
		s.len = (size_t)semicolon;
	return str_eq_nocase(str_trim(s), STR_LIT("application/json"));
}

int call_body(struct call *c, bool required, const struct json **ret, struct error *err)
{
	auto_(buf) text = BUF_INIT(API_BODY_MAX);
	const char *type = http_request_header(c->req, "Content-Type");
	struct str trimmed;
	int r;

	*ret = NULL;
	r = http_request_read(c->req, &text, err);
	if (r < 0)
		return error_wrap(
		    err,
		    r == -ERR_CORRUPT
			? error_set(err, ERR_INVALID, "unexpected end of the request body")
			: r,
		    "invalid JSON");
	trimmed = str_trim((struct str){ text.data ? text.data : "", text.len });
	if (trimmed.len == 0) {
		if (required)
			return error_set(err, ERR_INVALID,
					 "invalid JSON: got EOF while reading request body");
		return 0;
	}
	if (type && !is_json_type(type))
		return error_set(err, ERR_INVALID,
				 "unsupported Content-Type header (%.100s): must be "
				 "'application/json'",
				 type);
	r = json_parse(c->req->arena, text.data, text.len, ret, err);
	if (r < 0)
		return error_wrap(err, r, "invalid JSON");
	if ((*ret)->type == JSON_NULL && !required)
		*ret = NULL;
	if (*ret && (*ret)->type != JSON_OBJECT)
		return error_set(err, ERR_INVALID, "invalid JSON: want an object");
	return 0;
}

int call_registry_auth(struct call *c, const char *header, const struct json **ret,
		       struct error *err)
{
	auto_(buf) text = BUF_INIT(1024 * 1024);
	const char *value = http_request_header(c->req, header);

	*ret = NULL;
	if (cstr_is_empty(value))
		return 0;
	if (base64_decode(&text, str_of(value), NULL) < 0 ||
	    json_parse(c->req->arena, text.data ? text.data : "", text.len, ret, NULL) < 0)
		return error_set(err, ERR_INVALID, "invalid %s header", header);
	if ((*ret)->type != JSON_OBJECT)
		*ret = NULL;
	return 0;
}

void answer_begin(struct answer *a)
{
	a->buf = (struct buf)BUF_INIT(API_ANSWER_MAX);
	jsonw_init(&a->w, &a->buf);
}

int answer_end(struct answer *a, struct call *c, int status, int r, struct error *err)
{
	if (r == 0)
		r = jsonw_finish(&a->w, err);
	/* Go's encoder ends every document with a line feed. */
	if (r == 0)
		r = buf_add(&a->buf, "\n", 1, err);
	if (r == 0) {
		http_response_set_status(c->res, status);
		http_response_set_header(c->res, "Content-Type", "application/json");
		r = http_response_send(c->res, a->buf.data, a->buf.len, err);
	}
	buf_release(&a->buf);
	return r;
}

int answer_filtered(struct call *c,
		    int (*fn)(struct engine *e, const struct json *filters, struct jsonw *w,
			      struct error *err),
		    struct error *err)
{
	const struct json *filters;
	struct answer a;
	int r = call_filters(c, &filters, err);

	if (r < 0)
		return r;
	answer_begin(&a);
	r = fn(c->engine, filters, &a.w, err);
	return answer_end(&a, c, 200, r, err);
}

int answer_empty(struct call *c, int status, struct error *err)
{
	http_response_set_status(c->res, status);
	return http_response_send(c->res, "", 0, err);
}

int answer_text(struct call *c, int status, const char *type, const char *text, struct error *err)
{
	http_response_set_status(c->res, status);
	http_response_set_header(c->res, "Content-Type", type);
	return http_response_send(c->res, text, strlen(text), err);
}

static int stream_write(struct writer *w, const void *bytes, size_t len, struct error *err)
{
	struct stream *s = container_of(w, struct stream, writer);
	int r;

	if (s->out == NULL) {
		r = http_response_begin(s->c->res, -1, &s->out, err);
		if (r < 0)
			return r;
	}
	if (s->messages && len > 0) {
		auto_(buf) line = BUF_INIT(API_BODY_MAX);

		r = buf_add(&line, bytes, len, err);
		if (r == 0)
			r = buf_add(&line, "\r\n", 2, err);
		return r < 0 ? r : writer_write(s->out, line.data, line.len, err);
	}
	return writer_write(s->out, bytes, len, err);
}

static const struct writer_ops stream_ops = { .write = stream_write };

void stream_init(struct stream *s, struct call *c, const char *content_type)
{
	*s = (struct stream){ .writer.ops = &stream_ops, .c = c };
	if (content_type)
		http_response_set_header(c->res, "Content-Type", content_type);
}

void message_stream_init(struct stream *s, struct call *c)
{
	stream_init(s, c, "application/json");
	s->messages = true;
}

int stream_end(struct stream *s, int r, struct error *err)
{
	if (r == 0)
		return stream_write(&s->writer, "", 0, err);
	if (s->out == NULL)
		return r;
	if (s->messages && r != -ERR_CANCELED)
		return 0;
	if (r != -ERR_CANCELED)
		log_error("answer cut off", KV("path", s->c->req->path), KV_ERR(err));
	http_response_abort(s->c->res);
	return 0;
}
