#include "registry/manifest.h"

#include "tests/tap.h"

#define D    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define DESC "{\"mediaType\":\"x/y\",\"digest\":\"" D "\",\"size\":0}"
#define OCI  "application/vnd.oci.image.manifest.v1+json"
#define IDX  "application/vnd.oci.image.index.v1+json"

static const struct {
	const char *what, *type, *text;
	int want;
	size_t refs;
} cases[] = {
	{ "an image", OCI, "{\"schemaVersion\":2,\"config\":" DESC ",\"layers\":[" DESC "]}", 0,
	  2 },
	{ "its type with a parameter", OCI "; charset=utf-8",
	  "{\"schemaVersion\":2,\"config\":" DESC ",\"layers\":[]}", 0, 1 },
	{ "an index", IDX, "{\"schemaVersion\":2,\"manifests\":[" DESC "]}", 0, 1 },
	{ "an index named only by its member", NULL, "{\"schemaVersion\":2,\"manifests\":[]}", 0,
	  0 },
	{ "an artifact with a subject", OCI,
	  "{\"schemaVersion\":2,\"artifactType\":\"a/b\",\"config\":" DESC
	  ",\"layers\":[],\"subject\":" DESC "}",
	  0, 1 },
	{ "a foreign layer need not be here", OCI,
	  "{\"schemaVersion\":2,\"config\":" DESC ",\"layers\":[{\"mediaType\":\"application/"
	  "vnd.docker.image.rootfs.foreign.diff.tar.gzip\","
	  "\"digest\":\"" D "\",\"size\":1,\"urls\":[\"https://x\"]}]}",
	  0, 1 },
	{ "types that disagree", OCI, "{\"mediaType\":\"" IDX "\",\"manifests\":[]}", -ERR_INVALID,
	  0 },
	{ "an index with layers (CVE-2021-41190)", IDX, "{\"manifests\":[],\"layers\":[]}",
	  -ERR_INVALID, 0 },
	{ "an image with manifests (CVE-2021-41190)", OCI,
	  "{\"config\":" DESC ",\"layers\":[],\"manifests\":[]}", -ERR_INVALID, 0 },
	{ "an image without config", OCI, "{\"layers\":[]}", -ERR_INVALID, 0 },
	{ "a digest that is a path", OCI,
	  "{\"config\":{\"digest\":\"../../etc/passwd\",\"size\":1},\"layers\":[]}", -ERR_INVALID,
	  0 },
	{ "a negative size", OCI, "{\"config\":{\"digest\":\"" D "\",\"size\":-1},\"layers\":[]}",
	  -ERR_INVALID, 0 },
	{ "layers that are no list", OCI, "{\"config\":" DESC ",\"layers\":{}}", -ERR_INVALID, 0 },
	{ "duplicate keys", OCI, "{\"config\":" DESC ",\"config\":" DESC ",\"layers\":[]}",
	  -ERR_INVALID, 0 },
	{ "schema 1", "application/vnd.docker.distribution.manifest.v1+prettyjws",
	  "{\"schemaVersion\":1}", -ERR_UNIMPLEMENTED, 0 },
	{ "schema 3", OCI, "{\"schemaVersion\":3,\"config\":" DESC ",\"layers\":[]}", -ERR_INVALID,
	  0 },
	{ "a type with a line of the record in it", NULL,
	  "{\"mediaType\":\"x/y\\nsubject z\",\"config\":" DESC ",\"layers\":[]}", -ERR_INVALID,
	  0 },
	{ "a type with a blank", "a b", "{\"config\":" DESC ",\"layers\":[]}", -ERR_INVALID, 0 },
	{ "an empty type is none", NULL, "{\"mediaType\":\"\",\"config\":" DESC ",\"layers\":[]}",
	  0, 1 },
	{ "no object", OCI, "[]", -ERR_INVALID, 0 },
	{ "nothing", OCI, "", -ERR_INVALID, 0 },
};

int main(void)
{
	struct error err;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_(arena) a = ARENA_INIT;
		struct manifest_info info = { 0 };

		is_int(manifest_read(&a, cases[i].text, strlen(cases[i].text), cases[i].type, &info,
				     &err),
		       cases[i].want, cases[i].what);
		is_int((long long)info.n_refs, (long long)cases[i].refs, "references");
	}
	return tap_done();
}
