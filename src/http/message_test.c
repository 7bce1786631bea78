#include "http/message.h"

#include "tests/tap.h"

static const struct {
	const char *name, *text;
	int want;
} requests[] = {
	{ "a plain GET", "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n", 0 },
	{ "an empty line in front", "\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 0 },
	{ "HTTP/1.0 without Host", "GET / HTTP/1.0\r\n\r\n", 0 },
	{ "absolute form", "GET http://h/p HTTP/1.1\r\nHost: h\r\n\r\n", 0 },
	{ "no Host in 1.1", "GET / HTTP/1.1\r\n\r\n", -ERR_INVALID },
	{ "two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", -ERR_INVALID },
	{ "bare line feeds", "GET / HTTP/1.1\nHost: x\n\n", -ERR_INVALID },
	{ "bare CR in a value", "GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n", -ERR_INVALID },
	{ "folded header", "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", -ERR_INVALID },
	{ "blank before the colon", "GET / HTTP/1.1\r\nHost : x\r\n\r\n", -ERR_INVALID },
	{ "header without a colon", "GET / HTTP/1.1\r\nHost: x\r\nabc\r\n\r\n", -ERR_INVALID },
	{ "version 2.0", "GET / HTTP/2.0\r\nHost: x\r\n\r\n", -ERR_INVALID },
	{ "version 0.9", "GET /\r\n\r\n", -ERR_INVALID },
	{ "two blanks", "GET  / HTTP/1.1\r\nHost: x\r\n\r\n", -ERR_INVALID },
	{ "relative target", "GET x HTTP/1.1\r\nHost: x\r\n\r\n", -ERR_INVALID },
	{ "length and coding",
	  "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
	  "Transfer-Encoding: chunked\r\n\r\n",
	  -ERR_INVALID },
	{ "differing lengths",
	  "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
	  "Content-Length: 4\r\n\r\n",
	  -ERR_INVALID },
	{ "equal lengths",
	  "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
	  "Content-Length: 3\r\n\r\n",
	  0 },
	{ "signed length", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\n",
	  -ERR_INVALID },
	{ "length list", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3, 3\r\n\r\n",
	  -ERR_INVALID },
	{ "length past 2^63",
	  "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9223372036854775808\r\n\r\n",
	  -ERR_INVALID },
	{ "gzip coding", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
	  -ERR_UNIMPLEMENTED },
	{ "coding twice",
	  "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
	  "Transfer-Encoding: chunked\r\n\r\n",
	  -ERR_INVALID },
	{ "coding in 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", -ERR_INVALID },
	{ "control byte in the target", "GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n", -ERR_INVALID },
};

static void test_requests(void)
{
	for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
		auto_(arena) a = ARENA_INIT;
		struct http_head head;
		size_t len = strlen(requests[i].text);

		is_int(http_head_end(requests[i].text, len, 0), len, "the end of the head is seen");
		is_int(http_parse_request(&a, requests[i].text, len, &head, NULL), requests[i].want,
		       requests[i].name);
	}
}

static void test_meaning(void)
{
	static const char text[] = "POST /x?y=1 HTTP/1.1\r\nhost: h\r\nConnection: Upgrade, x\r\n"
				   "Upgrade: tcp\r\nContent-Length: 12\r\nX-A:  b c \r\n\r\n";
	auto_(arena) a = ARENA_INIT;
	struct http_head h;

	is_int(http_parse_request(&a, text, sizeof(text) - 1, &h, NULL), 0, "a rich head parses");
	is_str(h.method, "POST", "method");
	is_str(h.target, "/x?y=1", "target");
	is_str(h.upgrade, "tcp", "upgrade is seen");
	is_int(h.framing, HTTP_BODY_LENGTH, "framing by length");
	is_int(h.length, 12, "length");
	is_str(http_headers_get(&h.headers, "x-a"), "b c", "values are trimmed");
	ok(h.keep_alive, "1.1 keeps alive");
}

static void test_partial(void)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
	size_t len = sizeof(text) - 1, early = 0;

	for (size_t i = 0; i < len; i++)
		early += http_head_end(text, i, i ? i - 1 : 0) != 0;
	is_int(early, 0, "no prefix of a head looks whole");
	is_int(http_head_end(text, len, len - 1), len, "a resumed search finds the end");
}

static const struct {
	const char *name, *method, *text;
	int want, framing;
} responses[] = {
	{ "length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", 0, HTTP_BODY_LENGTH },
	{ "until close", "GET", "HTTP/1.1 200 OK\r\n\r\n", 0, HTTP_BODY_UNTIL_CLOSE },
	{ "HEAD has none", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", 0,
	  HTTP_BODY_NONE },
	{ "204 has none", "GET", "HTTP/1.1 204 No Content\r\n\r\n", 0, HTTP_BODY_NONE },
	{ "no reason", "GET", "HTTP/1.1 500\r\nContent-Length: 0\r\n\r\n", 0, HTTP_BODY_NONE },
	{ "status of two digits", "GET", "HTTP/1.1 20 OK\r\n\r\n", -ERR_INVALID, 0 },
	{ "not HTTP", "GET", "SSH-2.0-OpenSSH\r\n\r\n", -ERR_INVALID, 0 },
};

static void test_responses(void)
{
	for (size_t i = 0; i < ARRAY_LEN(responses); i++) {
		auto_(arena) a = ARENA_INIT;
		struct http_head head = { 0 };

		is_int(http_parse_response(&a, responses[i].text, strlen(responses[i].text),
					   responses[i].method, &head, NULL),
		       responses[i].want, responses[i].name);
		is_int(head.framing, responses[i].framing, "its framing");
	}
}

int main(void)
{
	test_requests();
	test_meaning();
	test_partial();
	test_responses();
	return tap_done();
}
