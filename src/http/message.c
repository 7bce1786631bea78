#include "http/message.h"

#include <string.h>
#include <strings.h>

static bool is_token_char(unsigned char c)
{
	if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
		return true;
	return c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

bool http_is_token(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!is_token_char((unsigned char)s.at[i]))
			return false;
	return s.len > 0;
}

size_t http_head_end(const char *data, size_t len, size_t from)
{
	size_t start = 0;

	while (start < len && (data[start] == '\r' || data[start] == '\n'))
		start++;
	/* A TLS hello on a plain port: what cannot begin a head is refused at once, so
	 * that clients which try https first need not wait for the time-out. */
	if (start < len && !http_is_token((struct str){ data + start, 1 }))
		return len;
	/* The end may straddle what was seen before: CR LF CR | LF. */
	if (from > start + 3)
		start = from - 3;
	while (start < len) {
		const char *lf = memchr(data + start, '\n', len - start);
		size_t at;

		if (lf == NULL)
			return 0;
		at = (size_t)(lf - data);
		/* Bare line feeds end the wait too: the parser then refuses them at once
		 * instead of letting the peer run into the time-out. */
		if (at + 1 < len && data[at + 1] == '\n')
			return at + 2;
		if (at + 2 < len && data[at + 1] == '\r' && data[at + 2] == '\n')
			return at + 3;
		start = at + 1;
	}
	return 0;
}

/* Cut the next line off *rest; every line ends with CR LF. */
static int take_line(struct str *rest, struct str *ret, struct error *err)
{
	const char *lf = memchr(rest->at, '\n', rest->len);
	size_t len;

	if (lf == NULL || lf == rest->at || lf[-1] != '\r')
		return error_set(err, ERR_INVALID, "malformed HTTP head: line without CR LF");
	len = (size_t)(lf - rest->at) + 1;
	*ret = (struct str){ rest->at, len - 2 };
	if (memchr(ret->at, '\r', ret->len))
		return error_set(err, ERR_INVALID, "malformed HTTP head: bare CR");
	rest->at += len;
	rest->len -= len;
	return 0;
}

static bool value_is_clean(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.at[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

static int parse_header(struct arena *a, struct str line, struct http_header *ret,
			struct error *err)
{
	ptrdiff_t colon = str_find(line, ':');
	struct str name, value;

	if (colon <= 0)
		return error_set(err, ERR_INVALID, "malformed HTTP header line");
	name = str_sub(line, 0, (size_t)colon);
	value = str_trim(str_sub(line, (size_t)colon + 1, line.len));
	if (!http_is_token(name))
		return error_set(err, ERR_INVALID, "malformed HTTP header name");
	if (!value_is_clean(value))
		return error_set(err, ERR_INVALID, "malformed value of HTTP header '%.*s'",
				 (int)(name.len < 64 ? name.len : 64), name.at);
	ret->name = arena_strndup(a, name.at, name.len);
	ret->value = arena_strndup(a, value.at, value.len);
	return 0;
}

static int parse_headers(struct arena *a, struct str *rest, struct http_headers *ret,
			 struct error *err)
{
	struct http_header at[HTTP_HEADERS_MAX];
	struct str line;
	size_t n = 0;
	int r;

	for (;;) {
		r = take_line(rest, &line, err);
		if (r < 0)
			return r;
		if (line.len == 0)
			break;
		if (n == HTTP_HEADERS_MAX)
			return error_set(err, ERR_INVALID, "more than %d HTTP headers",
					 HTTP_HEADERS_MAX);
		r = parse_header(a, line, &at[n], err);
		if (r < 0)
			return r;
		n++;
	}
	if (rest->len > 0)
		return error_set(err, ERR_INVALID, "bytes behind the HTTP head");
	ret->at = arena_array(a, n ? n : 1, sizeof(at[0]));
	memcpy(ret->at, at, n * sizeof(at[0]));
	ret->len = n;
	return 0;
}

const char *http_headers_get(const struct http_headers *h, const char *name)
{
	for (size_t i = 0; i < h->len; i++)
		if (strcasecmp(h->at[i].name, name) == 0)
			return h->at[i].value;
	return NULL;
}

bool http_headers_has_token(const struct http_headers *h, const char *name, const char *token)
{
	for (size_t i = 0; i < h->len; i++) {
		struct str rest, field;

		if (strcasecmp(h->at[i].name, name) != 0)
			continue;
		rest = str_of(h->at[i].value);
		while (str_split(&rest, ',', &field))
			if (str_eq_nocase(str_trim(field), str_of(token)))
				return true;
	}
	return false;
}

/* All Content-Length headers must say the same number. *ret_n counts them. */
static int read_length(const struct http_headers *h, size_t *ret_n, uint64_t *ret_length,
		       struct error *err)
{
	const char *first = NULL;
	size_t n = 0;

	for (size_t i = 0; i < h->len; i++) {
		if (strcasecmp(h->at[i].name, "Content-Length") != 0)
			continue;
		if (first != NULL && strcmp(first, h->at[i].value) != 0)
			return error_set(err, ERR_INVALID, "differing Content-Length headers");
		first = h->at[i].value;
		n++;
	}
	*ret_n = n;
	if (n == 0)
		return 0;
	if (parse_u64(str_of(first), INT64_MAX, ret_length, NULL) < 0)
		return error_set(err, ERR_INVALID, "malformed Content-Length");
	return 0;
}

static int read_coding(const struct http_headers *h, size_t *ret_n, struct error *err)
{
	size_t n = 0;

	for (size_t i = 0; i < h->len; i++) {
		if (strcasecmp(h->at[i].name, "Transfer-Encoding") != 0)
			continue;
		if (strcasecmp(h->at[i].value, "chunked") != 0)
			return error_set(err, ERR_UNIMPLEMENTED, "unsupported transfer encoding");
		n++;
	}
	if (n > 1)
		return error_set(err, ERR_INVALID, "more than one Transfer-Encoding");
	*ret_n = n;
	return 0;
}

/* Where the message ends, and what becomes of the connection then. */
static int derive(struct http_head *head, bool response, struct error *err)
{
	const struct http_headers *h = &head->headers;
	size_t n_lengths = 0, n_codings = 0;
	int r;

	r = read_length(h, &n_lengths, &head->length, err);
	if (r < 0)
		return r;
	r = read_coding(h, &n_codings, err);
	if (r < 0)
		return r;
	if (n_lengths > 0 && n_codings > 0)
		return error_set(err, ERR_INVALID,
				 "both Content-Length and Transfer-Encoding are given");
	if (n_codings > 0 && head->minor == 0)
		return error_set(err, ERR_INVALID, "Transfer-Encoding in HTTP/1.0");
	if (n_codings > 0)
		head->framing = HTTP_BODY_CHUNKED;
	else if (n_lengths > 0)
		head->framing = head->length ? HTTP_BODY_LENGTH : HTTP_BODY_NONE;
	else
		head->framing = response ? HTTP_BODY_UNTIL_CLOSE : HTTP_BODY_NONE;
	head->keep_alive = head->minor == 1 ? !http_headers_has_token(h, "Connection", "close")
					    : http_headers_has_token(h, "Connection", "keep-alive");
	head->expect_continue =
	    head->minor == 1 && http_headers_has_token(h, "Expect", "100-continue");
	if (http_headers_has_token(h, "Connection", "upgrade"))
		head->upgrade = http_headers_get(h, "Upgrade");
	return 0;
}

static bool target_is_clean(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.at[i];

		if (c <= 0x20 || c == 0x7f)
			return false;
	}
	return s.len > 0;
}

static int check_host(const struct http_head *head, struct error *err)
{
	size_t n = 0;

	for (size_t i = 0; i < head->headers.len; i++)
		n += strcasecmp(head->headers.at[i].name, "Host") == 0;
	if (n > 1)
		return error_set(err, ERR_INVALID, "more than one Host header");
	if (n == 0 && head->minor == 1)
		return error_set(err, ERR_INVALID, "missing required Host header");
	return 0;
}

static int parse_version(struct str s, int *ret_minor, struct error *err)
{
	if (str_eqs(s, "HTTP/1.1"))
		*ret_minor = 1;
	else if (str_eqs(s, "HTTP/1.0"))
		*ret_minor = 0;
	else
		return error_set(err, ERR_INVALID, "unsupported HTTP version");
	return 0;
}

int http_parse_request(struct arena *a, const char *text, size_t len, struct http_head *ret,
		       struct error *err)
{
	struct str rest = { text, len }, line, method, target, version;
	struct http_head head = { 0 };
	int r;

	if (len > HTTP_HEAD_MAX)
		return error_set(err, ERR_INVALID, "HTTP head is larger than %d bytes",
				 HTTP_HEAD_MAX);
	if (len == 0 || memchr(text, 0, len))
		return error_set(err, ERR_INVALID, "malformed HTTP head");
	do {
		r = take_line(&rest, &line, err);
		if (r < 0)
			return r;
	} while (line.len == 0 && rest.len > 0);
	if (!str_split(&line, ' ', &method) || !str_split(&line, ' ', &target) ||
	    !str_split(&line, ' ', &version) || line.len > 0)
		return error_set(err, ERR_INVALID, "malformed HTTP request line");
	if (!http_is_token(method) || method.len > 32 || !target_is_clean(target))
		return error_set(err, ERR_INVALID, "malformed HTTP request line");
	if (target.at[0] != '/' && !str_eqs(target, "*") && !str_starts(target, "http://") &&
	    !str_starts(target, "https://"))
		return error_set(err, ERR_INVALID, "malformed HTTP request target");
	r = parse_version(version, &head.minor, err);
	if (r < 0)
		return r;
	head.method = arena_strndup(a, method.at, method.len);
	head.target = arena_strndup(a, target.at, target.len);
	r = parse_headers(a, &rest, &head.headers, err);
	if (r < 0)
		return r;
	r = check_host(&head, err);
	if (r < 0)
		return r;
	r = derive(&head, false, err);
	if (r < 0)
		return r;
	*ret = head;
	return 0;
}

int http_parse_response(struct arena *a, const char *text, size_t len, const char *method,
			struct http_head *ret, struct error *err)
{
	struct str rest = { text, len }, line, version;
	struct http_head head = { 0 };
	uint64_t status;
	int r;

	if (len > HTTP_HEAD_MAX)
		return error_set(err, ERR_INVALID, "HTTP head is larger than %d bytes",
				 HTTP_HEAD_MAX);
	if (len == 0 || memchr(text, 0, len))
		return error_set(err, ERR_INVALID, "malformed HTTP head");
	r = take_line(&rest, &line, err);
	if (r < 0)
		return r;
	if (line.len < 12 || line.at[8] != ' ' || (line.len > 12 && line.at[12] != ' '))
		return error_set(err, ERR_INVALID, "malformed HTTP status line");
	version = str_sub(line, 0, 8);
	r = parse_version(version, &head.minor, err);
	if (r < 0)
		return r;
	if (parse_u64(str_sub(line, 9, 3), 999, &status, NULL) < 0 || status < 100 ||
	    !value_is_clean(line))
		return error_set(err, ERR_INVALID, "malformed HTTP status line");
	head.status = (int)status;
	head.reason = line.len > 13 ? arena_strndup(a, line.at + 13, line.len - 13) : "";
	r = parse_headers(a, &rest, &head.headers, err);
	if (r < 0)
		return r;
	r = derive(&head, true, err);
	if (r < 0)
		return r;
	if (status < 200 || status == 204 || status == 304 ||
	    (method && strcmp(method, "HEAD") == 0))
		head.framing = HTTP_BODY_NONE;
	if (head.framing == HTTP_BODY_UNTIL_CLOSE)
		head.keep_alive = false;
	*ret = head;
	return 0;
}

static const struct {
	int status;
	const char *reason;
} reasons[] = {
	{ 100, "Continue" },
	{ 101, "Switching Protocols" },
	{ 200, "OK" },
	{ 201, "Created" },
	{ 202, "Accepted" },
	{ 204, "No Content" },
	{ 206, "Partial Content" },
	{ 301, "Moved Permanently" },
	{ 302, "Found" },
	{ 303, "See Other" },
	{ 304, "Not Modified" },
	{ 307, "Temporary Redirect" },
	{ 308, "Permanent Redirect" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 406, "Not Acceptable" },
	{ 408, "Request Timeout" },
	{ 409, "Conflict" },
	{ 411, "Length Required" },
	{ 412, "Precondition Failed" },
	{ 413, "Request Entity Too Large" },
	{ 414, "Request-URI Too Long" },
	{ 416, "Requested Range Not Satisfiable" },
	{ 429, "Too Many Requests" },
	{ 431, "Request Header Fields Too Large" },
	{ 499, "Client Closed Request" },
	{ 500, "Internal Server Error" },
	{ 501, "Not Implemented" },
	{ 502, "Bad Gateway" },
	{ 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" },
	{ 507, "Insufficient Storage" },
};

const char *http_status_reason(int status)
{
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Unknown";
}
