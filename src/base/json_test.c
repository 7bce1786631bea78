#include "base/json.h"

#include <string.h>

#include "base/alloc.h"
#include "base/jsonw.h"
#include "tests/tap.h"

static const struct {
	const char *what, *text, *want; /* want NULL: refused */
} cases[] = {
	{ "scalars", "[null,true,false,0,-1,\"x\"]", "[null,true,false,0,-1,\"x\"]" },
	{ "order of members is kept", "{\"b\":1,\"a\":{\"z\":[],\"y\":{}}}",
	  "{\"b\":1,\"a\":{\"z\":[],\"y\":{}}}" },
	{ "blanks", " { \"a\" : [ 1 , 2 ] } ", "{\"a\":[1,2]}" },
	{ "Go's escapes", "\"<&>\\u2028\\u2029\\u0001\\b\\f\\n\\r\\t\\\"\\\\\\/\"",
	  "\"\\u003c\\u0026\\u003e\\u2028\\u2029\\u0001\\b\\f\\n\\r\\t\\\"\\\\/\"" },
	{ "UTF-8 stays", "\"\\u00e9\\ud83d\\ude00\"", "\"\xc3\xa9\xf0\x9f\x98\x80\"" },
	{ "greatest integers", "[9223372036854775807,-9223372036854775808]",
	  "[9223372036854775807,-9223372036854775808]" },
	{ "integers beyond 63 bits", "[9223372036854775808,18446744073709551615]",
	  "[9223372036854775808,18446744073709551615]" },
	{ "a digit string is no number", "\"18446744073709551615\"", "\"18446744073709551615\"" },
	{ "Go's numbers", "[1.0,0.1,1e-7,1e21,1e20,123456789.125,-0.000001,5e-324]",
	  "[1,0.1,1e-7,1e+21,100000000000000000000,123456789.125,-0.000001,5e-324]" },
	{ "duplicate key", "{\"a\":1,\"a\":2}", NULL },
	{ "trailing bytes", "{} x", NULL },
	{ "trailing comma", "[1,]", NULL },
	{ "NUL in a text", "\"\\u0000\"", NULL },
	{ "NUL in a key", "{\"\\u0000\":1}", NULL },
	{ "invalid UTF-8", "\"\xff\"", NULL },
	{ "lone surrogate", "\"\\ud800\"", NULL },
	{ "integers beyond 64 bits are doubles", "[18446744073709551616,-9223372036854775809]",
	  "[18446744073709552000,-9223372036854776000]" },
	{ "number beyond a double", "1e999", NULL },
	{ "a long exponent is no integer", "1e-0000000000000000000001", "0.1" },
	{ "number with a leading zero", "01", NULL },
	{ "single quotes", "'a'", NULL },
	{ "comment", "{/*x*/}", NULL },
	{ "nothing", "", NULL },
	{ "cut", "{\"a\":", NULL },
	{ "raw line end in a text", "\"a\nb\"", NULL },
};

static const char *round_trip(const char *text, struct buf *b, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	const struct json *j;
	struct jsonw w;

	b->len = 0;
	if (json_parse(&a, text, strlen(text), &j, err) < 0)
		return NULL;
	jsonw_init(&w, b);
	jsonw_value(&w, j);
	return jsonw_finish(&w, err) < 0 ? NULL : b->data;
}

static void test_round_trips(void)
{
	auto_(buf) b = BUF_INIT(65536);
	struct error err;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *got = round_trip(cases[i].text, &b, &err);

		if (cases[i].want == NULL)
			ok(got == NULL && err.kind == ERR_INVALID, cases[i].what);
		else
			is_str(got, cases[i].want, cases[i].what);
	}
	ok(round_trip("{\n \"a\": x}", &b, &err) == NULL &&
	       strstr(err.msg, "line 2, column 7") != NULL,
	   "an error says where");
}

static void test_depth(void)
{
	auto_(arena) a = ARENA_INIT;
	char text[2 * 65 + 1] = "";
	const struct json *j;
	struct error err;

	memset(text, '[', 64);
	memset(text + 64, ']', 64);
	is_int(json_parse(&a, text, 128, &j, &err), 0, "64 levels");
	memset(text, '[', 65);
	memset(text + 65, ']', 65);
	is_int(json_parse(&a, text, 130, &j, &err), -ERR_INVALID, "65 levels");
	is_str(err.msg, "nested deeper than 64 levels at line 1, column 65", "says where");
	is_int(json_parse(&a, "\"[[[[\\\"{{{\"", 11, &j, &err), 0, "brackets in a text");
}

/* An array of n numbers, each `gap` bytes long with what stands around it. */
static int parse_many(size_t n, size_t gap)
{
	auto_(arena) a = ARENA_INIT;
	size_t len = n * gap + 1;
	autofree char *text = xcalloc(1, len + 1);
	const struct json *j;
	struct error err;

	memset(text, ' ', len);
	for (size_t i = 0; i < n; i++)
		memcpy(text + i * gap, i == 0 ? "[0" : ",0", 2);
	text[len - 1] = ']';
	return json_parse(&a, text, len, &j, &err);
}

static void test_many(void)
{
	is_int(parse_many(60000, 2), 0, "60,000 short values are a document");
	is_int(parse_many(100000, 2), -ERR_INVALID, "100,000 are an attack");
	is_int(parse_many(300000, 20), 0, "300,000 of a usual length are not");
}

static void test_look_up(void)
{
	static const char text[] = "{\"HostConfig\":{\"Memory\":5,\"Name\":\"n\",\"Off\":null},"
				   "\"hostconfig\":1}";
	auto_(arena) a = ARENA_INIT;
	const struct json *j, *m;
	struct error err;

	is_int(json_parse(&a, text, sizeof(text) - 1, &j, &err), 0, "parse");
	m = json_path(j, "HostConfig.Memory");
	ok(m != NULL && m->i == 5, "by a dotted path");
	ok(json_path(j, "HostConfig.Off") == NULL && json_path(j, "X.Y") == NULL, "absent");
	m = json_get(j, "HostConfig");
	is_str(json_str(m, "Name"), "n", "a text");
	is_int(json_int(m, "Nope", 9), 9, "a default");
	ok(json_get_nocase(m, "memory") != NULL && json_get(m, "memory") == NULL, "any case");
	ok(json_get_nocase(j, "hostconfig")->type == JSON_INT, "the exact name first");
}

static void test_build(void)
{
	auto_(arena) a = ARENA_INIT;
	auto_(buf) b = BUF_INIT(65536);
	struct json *o = json_new_object(&a), *l = json_new_array(&a);
	struct jsonw w;

	for (int i = 0; i < 9; i++)
		json_push(&a, l, json_new_int(&a, i));
	json_set(&a, o, "l", l);
	json_set(&a, o, "s", json_new_string(&a, "x"));
	json_set(&a, o, "s", json_new_bool(&a, true));
	jsonw_init(&w, &b);
	jsonw_value(&w, o);
	is_int(jsonw_finish(&w, NULL), 0, "write what was built");
	is_str(b.data, "{\"l\":[0,1,2,3,4,5,6,7,8],\"s\":true}", "as it was built");
}

static void test_writer(void)
{
	auto_(buf) b = BUF_INIT(200);
	struct error err;
	struct jsonw w;

	jsonw_init(&w, &b);
	w.indent = 4;
	jsonw_object(&w);
	jsonw_kstring(&w, "a", "\xff<");
	jsonw_karray(&w, "e");
	jsonw_end(&w);
	jsonw_karray(&w, "l");
	jsonw_uint(&w, UINT64_MAX);
	jsonw_null(&w);
	jsonw_end(&w);
	jsonw_ktime(&w, "t", 0);
	jsonw_end(&w);
	is_int(jsonw_finish(&w, &err), 0, "write with indent");
	is_str(b.data,
	       "{\n    \"a\": \"\\ufffd\\u003c\",\n    \"e\": [],\n    \"l\": [\n        "
	       "18446744073709551615,\n        null\n    ],\n    \"t\": "
	       "\"0001-01-01T00:00:00Z\"\n}",
	       "Go's MarshalIndent");
	b.len = 0;
	jsonw_init(&w, &b);
	jsonw_object(&w);
	is_int(jsonw_finish(&w, &err), -ERR_INVALID, "a document that is not closed");
	b.len = 0;
	jsonw_init(&w, &b);
	jsonw_array(&w);
	for (int i = 0; i < 100; i++)
		jsonw_string(&w, "some text");
	jsonw_end(&w);
	is_int(jsonw_finish(&w, &err), -ERR_INVALID, "the ceiling sticks");
	is_str(err.msg, "longer than 200 bytes", "says so");
}

int main(void)
{
	test_round_trips();
	test_depth();
	test_many();
	test_look_up();
	test_build();
	test_writer();
	return tap_done();
}
