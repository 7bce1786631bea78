#include "http/body.h"

#include <sys/socket.h>
#include <unistd.h>

#include "tests/tap.h"

/* A transport that gives out a text `step` bytes at a time. */
struct text_transport {
	struct http_transport t;
	const char *text;
	size_t len, at, step;
};

static int text_read(struct http_transport *t, void *out, size_t len, size_t *ret_n,
		     struct error *err)
{
	struct text_transport *x = container_of(t, struct text_transport, t);
	size_t n = x->len - x->at;

	(void)err;
	if (n > x->step)
		n = x->step;
	if (n > len)
		n = len;
	memcpy(out, x->text + x->at, n);
	x->at += n;
	*ret_n = n;
	return 0;
}

static const struct http_transport_ops text_ops = { .read = text_read };

static const struct {
	const char *name, *text;
	enum http_framing framing;
	uint64_t length;
	int want;
	const char *body;
} cases[] = {
	{ "two chunks", "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", HTTP_BODY_CHUNKED, 0, 0, "abcde" },
	{ "extensions and trailers", "3;x=y\r\nabc\r\n0\r\nA: b\r\n\r\n", HTTP_BODY_CHUNKED, 0, 0,
	  "abc" },
	{ "upper-case size", "A\r\n0123456789\r\n0\r\n\r\n", HTTP_BODY_CHUNKED, 0, 0,
	  "0123456789" },
	{ "no chunk", "0\r\n\r\n", HTTP_BODY_CHUNKED, 0, 0, "" },
	{ "cut in the data", "5\r\nabc", HTTP_BODY_CHUNKED, 0, -ERR_CORRUPT, NULL },
	{ "cut before the end", "3\r\nabc\r\n", HTTP_BODY_CHUNKED, 0, -ERR_CORRUPT, NULL },
	{ "cut in the trailer", "3\r\nabc\r\n0\r\n", HTTP_BODY_CHUNKED, 0, -ERR_CORRUPT, NULL },
	{ "negative size", "-3\r\nabc\r\n0\r\n\r\n", HTTP_BODY_CHUNKED, 0, -ERR_INVALID, NULL },
	{ "two sizes", "3 3\r\nabc\r\n0\r\n\r\n", HTTP_BODY_CHUNKED, 0, -ERR_INVALID, NULL },
	{ "blanks behind a size", "3 \t;x=y\r\nabc\r\n0 \r\n\r\n", HTTP_BODY_CHUNKED, 0, 0, "abc" },
	{ "0x size", "0x3\r\nabc\r\n0\r\n\r\n", HTTP_BODY_CHUNKED, 0, -ERR_INVALID, NULL },
	{ "huge size", "ffffffffffffffff\r\nabc", HTTP_BODY_CHUNKED, 0, -ERR_INVALID, NULL },
	{ "size of 17 digits", "00000000000000003\r\nabc\r\n0\r\n\r\n", HTTP_BODY_CHUNKED, 0,
	  -ERR_INVALID, NULL },
	{ "data longer than its size", "2\r\nabc\r\n0\r\n\r\n", HTTP_BODY_CHUNKED, 0, -ERR_INVALID,
	  NULL },
	{ "bare line feed", "3\nabc\r\n0\r\n\r\n", HTTP_BODY_CHUNKED, 0, -ERR_INVALID, NULL },
	{ "by length", "abcdef", HTTP_BODY_LENGTH, 3, 0, "abc" },
	{ "cut by length", "ab", HTTP_BODY_LENGTH, 3, -ERR_CORRUPT, NULL },
	{ "until close", "abcdef", HTTP_BODY_UNTIL_CLOSE, 0, 0, "abcdef" },
	{ "none", "abc", HTTP_BODY_NONE, 0, 0, "" },
};

static void test_case(size_t i, size_t step)
{
	auto_(buf) got = BUF_INIT(1024);
	struct text_transport x = { .t.ops = &text_ops,
				    .text = cases[i].text,
				    .len = strlen(cases[i].text),
				    .step = step };
	struct http_source src = { .t = &x.t, .in = BUF_INIT(64 * 1024) };
	struct http_body body;

	http_body_init(&body, &src, cases[i].framing, cases[i].length);
	is_int(reader_read_all(&body.reader, &got, NULL), cases[i].want, cases[i].name);
	if (cases[i].body)
		is_str(got.data ? got.data : "", cases[i].body, "its bytes");
	buf_release(&src.in);
}

static void test_endless_trailer(void)
{
	auto_(buf) text = BUF_INIT(1 << 20);
	auto_(buf) got = BUF_INIT(1024);
	struct text_transport x = { .t.ops = &text_ops, .step = 1000 };
	struct http_source src = { .t = &x.t, .in = BUF_INIT(64 * 1024) };
	struct http_body body;

	(void)!buf_addf(&text, NULL, "0\r\n");
	for (int i = 0; i < 3000; i++)
		(void)!buf_addf(&text, NULL, "X-%d: abcdef\r\n", i);
	x.text = text.data;
	x.len = text.len;
	http_body_init(&body, &src, HTTP_BODY_CHUNKED, 0);
	is_int(reader_read_all(&body.reader, &got, NULL), -ERR_INVALID,
	       "an endless trailer is refused");
	buf_release(&src.in);
}

int main(void)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		test_case(i, 1);
		test_case(i, 4096);
	}
	test_endless_trailer();
	return tap_done();
}
