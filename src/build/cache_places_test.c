#include "build/cache_places.h"
#include "build/outputs.h"

#include <string.h>

#include "base/str.h"
#include "tests/tap.h"

#define PAIRS_MAX 8

/* "type=registry,ref=x"; fd: it has a directory. */
static struct build_place parse(struct arena *a, const char *text, bool fd)
{
	struct plan_pair *pairs = arena_array(a, PAIRS_MAX, sizeof(*pairs));
	struct build_place p = { .type = "", .attrs = pairs, .fd = fd ? 3 : FD_NONE };
	struct str rest = str_of(text), field;

	while (str_split(&rest, ',', &field)) {
		ptrdiff_t eq = str_find(field, '=');
		const char *key = arena_strndup(a, field.at, (size_t)eq);
		const char *value = arena_strndup(a, field.at + eq + 1, field.len - (size_t)eq - 1);

		if (strcmp(key, "type") == 0)
			p.type = value;
		else
			pairs[p.n_attrs++] = (struct plan_pair){ key, value };
	}
	return p;
}

static const struct {
	const char *text;
	bool to, fd;
	const char *want; /* NULL: fine */
} caches[] = {
	{ "type=registry,ref=x:1", false, false, NULL },
	{ "type=registry,ref=host:5000/a/b:c,mode=max", true, false, NULL },
	{ "type=registry,ref=x,mode=min,image-manifest=false,oci-mediatypes=false", true, false,
	  NULL },
	{ "type=registry,ref=x,ignore-error=true,compression=gzip", true, false, NULL },
	{ "type=inline", true, false, NULL },
	{ "type=inline,ref=x", false, false, NULL },
	{ "type=local,src=d,tag=t", false, true, NULL },
	{ "type=local,dest=d,mode=max,tag=t", true, true, NULL },
	{ "type=registry", false, false, "cache-from: type=registry needs ref" },
	{ "type=registry", true, false, "cache-to: type=registry needs ref" },
	{ "type=registry,ref=", true, false, "needs ref" },
	{ "type=registry,ref=//", true, false, "invalid reference format" },
	{ "type=local,src=d", false, false, "cache-from: type=local needs src" },
	{ "type=local", true, false, "cache-to: type=local needs dest" },
	{ "type=registry,ref=x,mode=max", false, false, "has no attribute 'mode'" },
	{ "type=inline,mode=max", true, false, "only mode=min" },
	{ "type=registry,ref=x,mode=all", true, false, "invalid mode 'all'" },
	{ "type=registry,ref=x,ignore-error=perhaps", true, false, "invalid value 'perhaps'" },
	{ "type=registry,ref=x,image-manifest=true,oci-mediatypes=false", true, false,
	  "needs oci-mediatypes=true" },
	{ "type=registry,ref=x,compression=estargz", true, false, "is not supported yet" },
	{ "type=gha,scope=x", true, false, "cache-to: type=gha is not supported yet" },
	{ "type=azblob", false, false, "cache-from: type=azblob is not supported yet" },
};

static const struct {
	const char *text;
	bool fd, tagged;
	const char *want;
} outputs[] = {
	{ "type=image", false, false, NULL },
	{ "type=image,name=a,push=true", false, false, NULL },
	{ "type=registry", false, true, NULL },
	{ "type=docker", false, false, NULL },
	{ "type=oci,dest=x,tar=false", true, false, NULL },
	{ "type=oci,dest=x,annotation.a=b,annotation-manifest.c=d", true, false, NULL },
	{ "type=local,dest=x", true, false, NULL },
	{ "type=registry", false, false, "tag is needed when pushing to registry" },
	{ "type=image,push=true", false, false, "tag is needed when pushing to registry" },
	{ "type=image,push=2", false, true, "invalid value '2' of push" },
	{ "type=oci", false, true, "type=oci needs dest" },
	{ "type=tar", false, true, "type=tar needs dest" },
	{ "type=local,dest=x,annotation.a=b", true, false, "is not supported yet" },
	{ "type=image,annotation-index.a=b", false, false, "index annotations not supported" },
	{ "type=oci,dest=x,annotation-index-descriptor.a=b", true, false,
	  "index annotations not supported" },
	{ "type=oci,dest=x,annotation-manifest-descriptor.a=b", true, false, NULL },
	{ "type=docker,dest=x,annotation-manifest-descriptor.a=b", true, false, NULL },
	{ "type=image,annotation-manifest-descriptor.a=b", false, false, "has no index" },
	{ "type=local,dest=x,annotation-index.a=b", true, false, "is not supported yet" },
	{ "type=image,compression=zstd", false, false, "compression=zstd is not supported yet" },
	{ "type=squashfs,dest=x", true, false, "type=squashfs is not supported yet" },
};

static void check(int r, const char *want, const struct error *err, const char *text)
{
	if (want == NULL)
		is_int(r, 0, text);
	else
		ok(r < 0 && strstr(err->msg, want) != NULL, text);
}

int main(void)
{
	static const char *const tags[] = { "docker.io/library/x:latest", NULL };

	for (size_t i = 0; i < sizeof(caches) / sizeof(caches[0]); i++) {
		auto_(arena) a = ARENA_INIT;
		struct build_place p = parse(&a, caches[i].text, caches[i].fd);
		struct build_request q = { 0 };
		struct error err = { 0 };

		q.cache_to = q.cache_from = &p;
		q.n_cache_to = caches[i].to;
		q.n_cache_from = !caches[i].to;
		check(caches_check(&q, &err), caches[i].want, &err, caches[i].text);
	}
	for (size_t i = 0; i < sizeof(outputs) / sizeof(outputs[0]); i++) {
		auto_(arena) a = ARENA_INIT;
		struct build_place p = parse(&a, outputs[i].text, outputs[i].fd);
		struct build_request q = { .outputs = &p,
					   .n_outputs = 1,
					   .tags = outputs[i].tagged ? tags : NULL };
		struct error err = { 0 };

		check(outputs_check(&q, &err), outputs[i].want, &err, outputs[i].text);
	}
	return tap_done();
}
