#include "oci/manifest.h"

#include <string.h>

#include "base/str.h"
#include "oci/media_type.h"

#define M(key_, kind_, member_) \
	.key = (key_), .kind = (kind_), .offset = offsetof(struct manifest, member_)
static const struct decode_field manifest_fields[] = {
	{ M("mediaType", DECODE_STRING, media_type) },
	{ M("artifactType", DECODE_STRING, artifact_type) },
	{ M("config", DECODE_STRUCT, config), .flags = DECODE_REQUIRED, .sub = &descriptor_decode },
	{ M("layers", DECODE_ARRAY, layers), .flags = DECODE_REQUIRED,
	  .count_offset = offsetof(struct manifest, n_layers), .sub = &descriptor_decode },
	{ M("subject", DECODE_POINTER, subject), .sub = &descriptor_decode },
	{ M("annotations", DECODE_PAIRS, annotations) },
};
static const struct decode_struct manifest_table =
    DECODE_STRUCT_OF(manifest_fields, struct manifest);

#define I(key_, kind_, member_) \
	.key = (key_), .kind = (kind_), .offset = offsetof(struct index, member_)
static const struct decode_field index_fields[] = {
	{ I("mediaType", DECODE_STRING, media_type) },
	{ I("artifactType", DECODE_STRING, artifact_type) },
	{ I("manifests", DECODE_ARRAY, manifests), .flags = DECODE_REQUIRED,
	  .count_offset = offsetof(struct index, n_manifests), .sub = &descriptor_decode },
	{ I("subject", DECODE_POINTER, subject), .sub = &descriptor_decode },
	{ I("annotations", DECODE_PAIRS, annotations) },
};
static const struct decode_struct index_table = DECODE_STRUCT_OF(index_fields, struct index);

static bool same_type(const char *a, const char *b)
{
	struct str rest = str_of(b), bare;

	return str_split(&rest, ';', &bare) && str_eq_nocase(str_of(a), str_trim(bare));
}

/*
 * Which of the two it is. A document with the members of both could be read as
 * an image by one tool and as another image by the next (CVE-2021-41190).
 */
static int find_kind(const struct json *j, const char *said, enum media_kind *ret,
		     struct error *err)
{
	bool manifest = json_get(j, "config") != NULL || json_get(j, "layers") != NULL;
	bool index = json_get(j, "manifests") != NULL;
	const char *type = json_str(j, "mediaType");
	enum media_kind kind;

	if (json_get(j, "fsLayers") != NULL || json_int(j, "schemaVersion", 2) == 1 ||
	    media_kind(said) == MEDIA_SCHEMA1)
		return error_set(err, ERR_UNIMPLEMENTED,
				 "image manifest version 2, schema 1 is not supported; push the "
				 "image again with a current tool");
	if (json_int(j, "schemaVersion", 0) != 2)
		return error_set(err, ERR_INVALID, "schemaVersion: want 2");
	if (manifest == index)
		return error_set(err, ERR_INVALID,
				 index ? "document is a manifest and an index at once"
				       : "document is neither a manifest nor an index");
	if (type != NULL && !cstr_is_empty(said) && media_kind(said) != MEDIA_OTHER &&
	    !same_type(type, said))
		return error_set(err, ERR_INVALID, "mediaType: '%.100s' is not '%.100s'", type,
				 said);
	kind = media_kind(type != NULL ? type : said);
	if (kind == MEDIA_OTHER)
		kind = index ? MEDIA_INDEX : MEDIA_MANIFEST;
	if (kind != (index ? MEDIA_INDEX : MEDIA_MANIFEST))
		return error_set(err, ERR_INVALID, "mediaType: '%.100s' has the members of %s",
				 type != NULL ? type : said, index ? "an index" : "a manifest");
	*ret = kind;
	return 0;
}

static const char *bare_type(struct arena *a, const char *said, const char *fallback)
{
	struct str rest = str_of(said), bare;

	if (media_kind(said) == MEDIA_OTHER || !str_split(&rest, ';', &bare))
		return fallback;
	bare = str_trim(bare);
	return arena_strndup(a, bare.at, bare.len);
}

static int parse_manifest(struct arena *a, const struct json *j, const char *said,
			  struct manifest_any *ret, struct error *err)
{
	struct manifest *m = arena_new(a, struct manifest);
	int r;

	r = decode_object(a, j, &manifest_table, "manifest", m, err);
	if (r < 0)
		return r;
	if (m->n_layers > MANIFEST_LAYERS_MAX)
		return error_set(err, ERR_INVALID, "manifest.layers: more than %d",
				 MANIFEST_LAYERS_MAX);
	if (m->media_type == NULL)
		m->media_type = bare_type(a, said, MEDIA_OCI_MANIFEST);
	ret->manifest = m;
	return 0;
}

static int parse_index(struct arena *a, const struct json *j, const char *said,
		       struct manifest_any *ret, struct error *err)
{
	struct index *i = arena_new(a, struct index);
	int r;

	r = decode_object(a, j, &index_table, "index", i, err);
	if (r < 0)
		return r;
	if (i->n_manifests > INDEX_ENTRIES_MAX)
		return error_set(err, ERR_INVALID, "index.manifests: more than %d",
				 INDEX_ENTRIES_MAX);
	if (i->media_type == NULL)
		i->media_type = bare_type(a, said, MEDIA_OCI_INDEX);
	ret->index = i;
	return 0;
}

int manifest_parse(struct arena *a, const char *text, size_t len, const char *media_type,
		   struct manifest_any *ret, struct error *err)
{
	struct manifest_any any = { 0 };
	enum media_kind kind = MEDIA_OTHER;
	const struct json *j = NULL;
	int r;

	if (len > MANIFEST_MAX)
		return error_set(err, ERR_INVALID, "manifest is longer than %lu bytes",
				 MANIFEST_MAX);
	r = json_parse(a, text, len, &j, err);
	if (r < 0)
		return error_wrap(err, r, "manifest");
	if (j->type != JSON_OBJECT)
		return error_set(err, ERR_INVALID, "manifest: want object, got %s",
				 json_type_name(j->type));
	r = find_kind(j, media_type, &kind, err);
	if (r < 0)
		return error_wrap(err, r, "manifest");
	if (kind == MEDIA_INDEX)
		r = parse_index(a, j, media_type, &any, err);
	else
		r = parse_manifest(a, j, media_type, &any, err);
	if (r == 0)
		*ret = any;
	return r;
}

/* BuildKit's attestations stand in an index as images of no platform. */
static bool is_runnable(const struct descriptor *d)
{
	enum media_kind kind = media_kind(d->media_type);

	if (kind != MEDIA_MANIFEST && kind != MEDIA_INDEX)
		return false;
	if (pairs_get(&d->annotations, "vnd.docker.reference.type") != NULL)
		return false;
	return d->platform == NULL || strcmp(d->platform->os, "unknown") != 0;
}

int index_choose(const struct index *i, const struct platform *want, const struct descriptor **ret,
		 struct error *err)
{
	static const struct platform unknown;
	const struct descriptor *best = NULL;
	char text[PLATFORM_TEXT_MAX];
	int best_rank = -1;

	for (size_t k = 0; k < i->n_manifests; k++) {
		const struct descriptor *d = &i->manifests[k];
		int rank;

		if (!is_runnable(d))
			continue;
		rank = platform_rank(want, d->platform ? d->platform : &unknown);
		if (rank >= 0 && (best == NULL || rank < best_rank)) {
			best = d;
			best_rank = rank;
		}
	}
	if (best == NULL) {
		platform_format(want, text);
		return error_set(err, ERR_NOT_FOUND,
				 "no matching manifest for %s in the manifest list entries", text);
	}
	*ret = best;
	return 0;
}

static void write_list(struct jsonw *w, const char *key, const struct descriptor *at, size_t n)
{
	jsonw_karray(w, key);
	for (size_t i = 0; i < n; i++)
		descriptor_write(w, &at[i]);
	jsonw_end(w);
}

static void write_head(struct jsonw *w, const char *media_type, const char *artifact_type)
{
	jsonw_object(w);
	jsonw_kint(w, "schemaVersion", 2);
	jsonw_kstring(w, "mediaType", media_type);
	if (artifact_type != NULL)
		jsonw_kstring(w, "artifactType", artifact_type);
}

static void write_tail(struct jsonw *w, const struct descriptor *subject,
		       const struct pairs *annotations)
{
	if (subject != NULL) {
		jsonw_key(w, "subject");
		descriptor_write(w, subject);
	}
	if (annotations->n > 0)
		pairs_write(w, "annotations", annotations);
	jsonw_end(w);
}

int manifest_format(const struct manifest *m, struct buf *b, struct error *err)
{
	struct jsonw w;

	jsonw_init(&w, b);
	write_head(&w, m->media_type, m->artifact_type);
	jsonw_key(&w, "config");
	descriptor_write(&w, &m->config);
	write_list(&w, "layers", m->layers, m->n_layers);
	write_tail(&w, m->subject, &m->annotations);
	return jsonw_finish(&w, err);
}

int index_format(const struct index *i, struct buf *b, struct error *err)
{
	struct jsonw w;

	jsonw_init(&w, b);
	write_head(&w, i->media_type, i->artifact_type);
	write_list(&w, "manifests", i->manifests, i->n_manifests);
	write_tail(&w, i->subject, &i->annotations);
	return jsonw_finish(&w, err);
}
