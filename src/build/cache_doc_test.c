#include "build/cache_doc.h"

#include <string.h>

#include "base/buf.h"
#include "tests/tap.h"

#define K "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define D "sha256:" K

static const struct {
	const char *name, *text;
	int want;
} cases[] = {
	{ "nothing but a version", "{\"version\":1,\"layers\":[],\"records\":[]}", 0 },
	{ "a step and its layer",
	  "{\"version\":1,\"layers\":[\"" D "\"],\"records\":[{\"key\":\"" K "\",\"layer\":0}]}",
	  0 },
	{ "a step that changed nothing",
	  "{\"version\":1,\"layers\":[],\"records\":[{\"key\":\"" K "\",\"text\":\"RUN true\"}]}",
	  0 },
	{ "no JSON", "{\"version\":1", -ERR_INVALID },
	{ "not an object", "[]", -ERR_INVALID },
	{ "no version", "{\"layers\":[],\"records\":[]}", -ERR_INVALID },
	{ "a version of the future", "{\"version\":2,\"layers\":[],\"records\":[]}",
	  -ERR_UNIMPLEMENTED },
	{ "a digest that is none", "{\"version\":1,\"layers\":[\"sha256:12\"],\"records\":[]}",
	  -ERR_INVALID },
	{ "a layer that is not there",
	  "{\"version\":1,\"layers\":[\"" D "\"],\"records\":[{\"key\":\"" K "\",\"layer\":1}]}",
	  -ERR_INVALID },
	{ "a negative layer",
	  "{\"version\":1,\"layers\":[\"" D "\"],\"records\":[{\"key\":\"" K "\",\"layer\":-1}]}",
	  -ERR_INVALID },
	{ "a layer of 2^63",
	  "{\"version\":1,\"layers\":[\"" D "\"],\"records\":[{\"key\":\"" K
	  "\",\"layer\":9223372036854775808}]}",
	  -ERR_INVALID },
	{ "a key that is a path", "{\"version\":1,\"layers\":[],\"records\":[{\"key\":\"../x\"}]}",
	  -ERR_INVALID },
	{ "a key in capitals",
	  "{\"version\":1,\"layers\":[],\"records\":[{\"key\":\""
	  "0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef\"}]}",
	  -ERR_INVALID },
	{ "a definition without its place",
	  "{\"version\":1,\"layers\":[],\"records\":[{\"key\":\"" K "\",\"fast\":\"" K "\"}]}",
	  -ERR_INVALID },
	{ "records that are no list", "{\"version\":1,\"layers\":[],\"records\":{}}",
	  -ERR_INVALID },
	{ "the same key twice in an object", "{\"version\":1,\"version\":1}", -ERR_INVALID },
};

static void round_trip(void)
{
	struct cache_doc_record records[] = {
		{ .key = K, .fast = K, .def = K, .layer = 1, .text = "COPY --from=a /x <y>" },
		{ .key = K, .layer = -1, .text = "RUN true" },
	};
	struct digest layers[2] = { { .algo = DIGEST_SHA256 }, { .algo = DIGEST_SHA256 } };
	const struct cache_doc d = { layers, 2, records, 2 };
	auto_(buf) text = BUF_INIT(CACHE_DOC_MAX);
	auto_(arena) a = ARENA_INIT;
	struct cache_doc got;
	struct jsonw w;

	jsonw_init(&w, &text);
	cache_doc_write(&w, &d, false);
	is_int(jsonw_finish(&w, NULL), 0, "a document is written");
	is_int(cache_doc_parse(&a, text.data, text.len, &got, NULL), 0, "and read");
	is_int((long long)got.n_records, 2, "with its records");
	is_int(got.records[0].layer, 1, "their layers");
	is_int(got.records[1].layer, -1, "or none");
	is_str(got.records[0].text, records[0].text, "and their words");
	is_str(got.records[0].def, K, "and definitions");
}

int main(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		auto_(arena) a = ARENA_INIT;
		struct cache_doc d;

		is_int(cache_doc_parse(&a, cases[i].text, strlen(cases[i].text), &d, NULL),
		       cases[i].want, cases[i].name);
	}
	round_trip();
	return tap_done();
}
