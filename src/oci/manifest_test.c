#include "oci/manifest.h"

#include "oci/media_type.h"
#include "tests/tap.h"

#define D      "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define CONFIG "\"config\":{\"mediaType\":\"" MEDIA_OCI_CONFIG "\",\"digest\":\"" D "\",\"size\":7}"
#define LAYER(size) \
	"{\"mediaType\":\"" MEDIA_OCI_LAYER_GZIP "\",\"digest\":\"" D "\",\"size\":" size "}"
#define ENTRY(arch) \
	"{\"mediaType\":\"" MEDIA_OCI_MANIFEST "\",\"digest\":\"" D \
	"\",\"size\":9,\"platform\":{\"architecture\":\"" arch "\",\"os\":\"linux\"}}"
#define ATTESTATION \
	"{\"mediaType\":\"" MEDIA_OCI_MANIFEST "\",\"digest\":\"" D \
	"\",\"size\":1,\"annotations\":{\"vnd.docker.reference.type\":\"attestation-manifest\"}," \
	"\"platform\":{\"architecture\":\"unknown\",\"os\":\"unknown\"}}"
#define V2 "{\"schemaVersion\":2,"

static const struct {
	const char *what, *text, *said;
	int want;
	const char *message;
} cases[] = {
	{ "OCI manifest", V2 CONFIG ",\"layers\":[" LAYER("1") "," LAYER("2") "]}", NULL, 0, NULL },
	{ "with its type", V2 "\"mediaType\":\"" MEDIA_OCI_MANIFEST "\"," CONFIG ",\"layers\":[]}",
	  MEDIA_OCI_MANIFEST "; charset=utf-8", 0, NULL },
	{ "type that disagrees",
	  V2 "\"mediaType\":\"" MEDIA_OCI_MANIFEST "\"," CONFIG ",\"layers\":[]}",
	  MEDIA_DOCKER_MANIFEST, -ERR_INVALID, NULL },
	{ "manifest that says it is an index",
	  V2 "\"mediaType\":\"" MEDIA_OCI_INDEX "\"," CONFIG ",\"layers\":[]}", NULL, -ERR_INVALID,
	  NULL },
	{ "both at once", V2 CONFIG ",\"layers\":[],\"manifests\":[]}", NULL, -ERR_INVALID,
	  "manifest: document is a manifest and an index at once" },
	{ "index", V2 "\"manifests\":[" ENTRY("amd64") "]}", NULL, 0, NULL },
	{ "schema 1", "{\"schemaVersion\":1,\"fsLayers\":[]}", NULL, -ERR_UNIMPLEMENTED, NULL },
	{ "negative size", V2 CONFIG ",\"layers\":[" LAYER("1") "," LAYER("-2") "]}", NULL,
	  -ERR_INVALID, "manifest.layers[1].size: -2 is not in 0..9223372036854775807" },
	{ "size as text", V2 CONFIG ",\"layers\":[" LAYER("\"1\"") "]}", NULL, -ERR_INVALID,
	  "manifest.layers[0].size: want an integer, got string" },
	{ "huge size", V2 CONFIG ",\"layers\":[" LAYER("18446744073709551615") "]}", NULL,
	  -ERR_INVALID, NULL },
	{ "no layers", V2 CONFIG "}", NULL, -ERR_INVALID, "manifest.layers: missing" },
	{ "digest as a path",
	  V2 "\"config\":{\"mediaType\":\"x\",\"digest\":\"sha256:../../etc\",\"size\":1},"
	     "\"layers\":[]}",
	  NULL, -ERR_INVALID, "manifest.config.digest: sha256 digest needs 64 hex digits" },
	{ "duplicate key", V2 CONFIG "," CONFIG ",\"layers\":[]}", NULL, -ERR_INVALID, NULL },
	{ "neither", "{\"schemaVersion\":2}", NULL, -ERR_INVALID, NULL },
	{ "no object", "[]", NULL, -ERR_INVALID, "manifest: want object, got array" },
	{ "no JSON", "{", NULL, -ERR_INVALID, NULL },
};

static const struct {
	const char *want;
	int r;
	size_t entry;
} choices[] = {
	{ "linux/arm64", 0, 2 },
	{ "linux/amd64", 0, 1 },
	{ "linux/s390x", -ERR_NOT_FOUND, 0 },
};

static void test_choose(void)
{
	static const char text[] =
	    V2 "\"manifests\":[" ATTESTATION "," ENTRY("386") "," ENTRY("arm64") "]}";
	auto_(arena) a = ARENA_INIT;
	const struct descriptor *d;
	struct manifest_any any;
	struct platform p;
	struct error err;

	is_int(manifest_parse(&a, text, sizeof(text) - 1, NULL, &any, &err), 0, "index of three");
	for (size_t i = 0; i < ARRAY_LEN(choices); i++) {
		is_int(platform_parse(choices[i].want, &p, &err), 0, choices[i].want);
		is_int(index_choose(any.index, &p, &d, &err), choices[i].r, "choose");
		if (choices[i].r == 0)
			ok(d == &any.index->manifests[choices[i].entry], "the best entry");
	}
	is_str(err.msg, "no matching manifest for linux/s390x in the manifest list entries",
	       "Docker's words");
}

static void test_round_trip(void)
{
	auto_(arena) a = ARENA_INIT;
	auto_(buf) b = BUF_INIT(MANIFEST_MAX);
	auto_(buf) c = BUF_INIT(MANIFEST_MAX);
	struct manifest_any any;
	struct error err;

	is_int(manifest_parse(&a, cases[0].text, strlen(cases[0].text), NULL, &any, &err), 0,
	       "read");
	is_int((long long)any.manifest->n_layers, 2, "two layers");
	is_int(any.manifest->layers[1].size, 2, "size of the second");
	is_int(manifest_format(any.manifest, &b, &err), 0, "write");
	is_int(manifest_parse(&a, b.data, b.len, MEDIA_OCI_MANIFEST, &any, &err), 0, "read again");
	is_int(manifest_format(any.manifest, &c, &err), 0, "write again");
	is_str(c.data, b.data, "the same bytes");
}

int main(void)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_(arena) a = ARENA_INIT;
		struct manifest_any any;
		struct error err;

		is_int(manifest_parse(&a, cases[i].text, strlen(cases[i].text), cases[i].said, &any,
				      &err),
		       cases[i].want, cases[i].what);
		if (cases[i].message != NULL)
			is_str(err.msg, cases[i].message, "message");
	}
	test_choose();
	test_round_trip();
	return tap_done();
}
