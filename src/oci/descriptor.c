#include "oci/descriptor.h"

#include <string.h>

static const struct decode_field platform_fields[] = {
	{ .key = "os",
	  .kind = DECODE_TEXT,
	  .offset = offsetof(struct platform, os),
	  .umax = PLATFORM_WORD_MAX },
	{ .key = "architecture",
	  .kind = DECODE_TEXT,
	  .offset = offsetof(struct platform, arch),
	  .umax = PLATFORM_WORD_MAX },
	{ .key = "variant",
	  .kind = DECODE_TEXT,
	  .offset = offsetof(struct platform, variant),
	  .umax = PLATFORM_WORD_MAX },
	{ .key = "os.version",
	  .kind = DECODE_TEXT,
	  .offset = offsetof(struct platform, os_version),
	  .umax = PLATFORM_WORD_MAX },
};
static const struct decode_struct platform_table =
    DECODE_STRUCT_OF(platform_fields, struct platform);

#define D(key_, kind_, member_) \
	.key = (key_), .kind = (kind_), .offset = offsetof(struct descriptor, member_)
static const struct decode_field fields[] = {
	{ D("mediaType", DECODE_STRING, media_type), .flags = DECODE_REQUIRED | DECODE_NOT_EMPTY },
	{ D("digest", DECODE_DIGEST, digest), .flags = DECODE_REQUIRED },
	{ D("size", DECODE_INT, size), .flags = DECODE_REQUIRED, .min = 0, .max = INT64_MAX },
	{ D("urls", DECODE_STRINGS, urls) },
	{ D("annotations", DECODE_PAIRS, annotations) },
	{ D("platform", DECODE_POINTER, platform), .sub = &platform_table },
	{ D("artifactType", DECODE_STRING, artifact_type) },
	{ D("data", DECODE_STRING, data) },
};
const struct decode_struct descriptor_decode = DECODE_STRUCT_OF(fields, struct descriptor);

static void write_platform(struct jsonw *w, const struct platform *p)
{
	jsonw_kobject(w, "platform");
	jsonw_kstring(w, "architecture", p->arch);
	jsonw_kstring(w, "os", p->os);
	if (p->os_version[0] != '\0')
		jsonw_kstring(w, "os.version", p->os_version);
	if (p->variant[0] != '\0')
		jsonw_kstring(w, "variant", p->variant);
	jsonw_end(w);
}

void pairs_write(struct jsonw *w, const char *key, const struct pairs *p)
{
	jsonw_kobject(w, key);
	for (size_t i = 0; i < p->n; i++)
		jsonw_kstring(w, p->at[i].key, p->at[i].value);
	jsonw_end(w);
}

void strings_write(struct jsonw *w, const char *key, const struct strings *s)
{
	jsonw_karray(w, key);
	for (size_t i = 0; i < s->n; i++)
		jsonw_string(w, s->at[i]);
	jsonw_end(w);
}

void descriptor_write(struct jsonw *w, const struct descriptor *d)
{
	char text[DIGEST_TEXT_MAX];

	digest_format(&d->digest, text);
	jsonw_object(w);
	if (d->media_type != NULL)
		jsonw_kstring(w, "mediaType", d->media_type);
	jsonw_kstring(w, "digest", text);
	jsonw_kint(w, "size", d->size);
	if (d->urls.n > 0)
		strings_write(w, "urls", &d->urls);
	if (d->annotations.n > 0)
		pairs_write(w, "annotations", &d->annotations);
	if (d->data != NULL)
		jsonw_kstring(w, "data", d->data);
	if (d->platform != NULL)
		write_platform(w, d->platform);
	if (d->artifact_type != NULL)
		jsonw_kstring(w, "artifactType", d->artifact_type);
	jsonw_end(w);
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
	return a->algo == b->algo &&
	       memcmp(a->bytes, b->bytes, a->algo == DIGEST_SHA512 ? 64 : 32) == 0;
}

const char *pairs_get(const struct pairs *p, const char *key)
{
	for (size_t i = 0; i < p->n; i++)
		if (strcmp(p->at[i].key, key) == 0)
			return p->at[i].value;
	return NULL;
}
