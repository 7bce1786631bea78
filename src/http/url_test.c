#include "http/url.h"

#include "tests/tap.h"

static const struct {
	const char *target;
	int want;
	const char *path;
} targets[] = {
	{ "/v1.41/images/127.0.0.1:5991/api/bb/push?tag=x", 0,
	  "/v1.41/images/127.0.0.1:5991/api/bb/push" },
	{ "/a%2Fb", 0, "/a/b" },
	{ "/a+b", 0, "/a+b" },
	{ "http://docker/info", 0, "/info" },
	{ "http://docker", 0, "/" },
	{ "/a%", -ERR_INVALID, "" },
	{ "/a%4", -ERR_INVALID, "" },
	{ "/a%zz", -ERR_INVALID, "" },
	{ "/a%00", -ERR_INVALID, "" },
	{ "/p?a=%f", -ERR_INVALID, "" },
	{ "*", 0, "*" },
};

static void test_targets(void)
{
	for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
		auto_(arena) a = ARENA_INIT;
		struct http_query q;
		const char *path = "";

		is_int(http_target_parse(&a, targets[i].target, &path, &q, NULL), targets[i].want,
		       targets[i].target);
		is_str(path, targets[i].path, "its path");
	}
}

static void test_query(void)
{
	auto_(arena) a = ARENA_INIT;
	struct http_query q;
	struct error err;
	int64_t n = 0;

	is_int(http_query_parse(&a, str_of("t=a&t=b&e&f=&g=x+y%26&b=False&n=-1&m=ten"), &q, &err),
	       0, "a query parses");
	is_str(http_query_get(&q, "t"), "a", "first value");
	is_str(http_query_nth(&q, "t", 1), "b", "second value of a repeated key");
	ok(http_query_nth(&q, "t", 2) == NULL, "no third");
	is_str(http_query_get(&q, "e"), "", "a bare key has the empty value");
	is_str(http_query_get(&q, "g"), "x y&", "escapes and plus");
	ok(!http_query_bool(&q, "b", true), "False is false");
	ok(!http_query_bool(&q, "f", true), "empty is false");
	ok(http_query_bool(&q, "t", false), "any other word is true");
	ok(http_query_bool(&q, "zz", true), "absent is the default");
	is_int(http_query_int(&q, "n", 7, &n, &err), 0, "a number");
	is_int(n, -1, "its value");
	is_int(http_query_int(&q, "m", 7, &n, &err), -ERR_INVALID, "no number");
	is_int(http_query_int(&q, "f", 7, &n, &err), 0, "an empty number is absent");
	is_int(n, 7, "so the default");
}

static void test_encode(void)
{
	auto_(buf) b = BUF_INIT(1024);
	auto_(arena) a = ARENA_INIT;
	struct http_query q;

	is_int(http_encode_param(&b, "k", "a b&c=d/\xc3\xa9", NULL), 0, "encode");
	is_int(http_encode_param(&b, "l", "", NULL), 0, "encode an empty value");
	is_str(b.data, "k=a%20b%26c%3Dd%2F%C3%A9&l=", "the encoded text");
	is_int(http_query_parse(&a, (struct str){ b.data, b.len }, &q, NULL), 0, "and back");
	is_str(q.at[0].value, "a b&c=d/\xc3\xa9", "to the same bytes");
}

int main(void)
{
	test_targets();
	test_query();
	test_encode();
	return tap_done();
}
