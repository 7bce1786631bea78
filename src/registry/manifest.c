#include "registry/manifest.h"

#include <string.h>

#include "base/jsonw.h"
#include "base/str.h"

#define TYPE_OCI_MANIFEST    "application/vnd.oci.image.manifest.v1+json"
#define TYPE_OCI_INDEX       "application/vnd.oci.image.index.v1+json"
#define TYPE_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define TYPE_DOCKER_LIST     "application/vnd.docker.distribution.manifest.list.v2+json"
#define TYPE_DOCKER_SCHEMA1  "application/vnd.docker.distribution.manifest.v1"
#define TYPE_MAX             255

static bool is_index_type(const char *t)
{
	return strcmp(t, TYPE_OCI_INDEX) == 0 || strcmp(t, TYPE_DOCKER_LIST) == 0;
}

static int read_digest(const struct json *descriptor, const char *what, struct digest *ret,
		       struct error *err)
{
	const char *text = json_str(descriptor, "digest");
	int r;

	if (text == NULL)
		return error_set(err, ERR_INVALID, "%s: no digest", what);
	if (json_int(descriptor, "size", 0) < 0)
		return error_set(err, ERR_INVALID, "%s: negative size", what);
	r = digest_parse(text, strlen(text), ret, err);
	return r < 0 ? error_wrap(err, r, "%s", what) : 0;
}

/* Foreign layers live elsewhere: they need not be here. */
static bool is_foreign(const struct json *descriptor)
{
	const char *t = json_str(descriptor, "mediaType");

	return t != NULL &&
	       (strstr(t, ".foreign.") != NULL || strstr(t, ".nondistributable.") != NULL) &&
	       json_get(descriptor, "urls") != NULL;
}

static int add_ref(struct manifest_info *info, const struct json *descriptor, const char *what,
		   bool is_manifest, struct error *err)
{
	int r;

	if (info->n_refs == MANIFEST_REFS_MAX)
		return error_set(err, ERR_INVALID, "more than %d references", MANIFEST_REFS_MAX);
	r = read_digest(descriptor, what, &info->refs[info->n_refs].digest, err);
	if (r < 0)
		return r;
	if (is_foreign(descriptor))
		return 0;
	info->refs[info->n_refs].size = json_int(descriptor, "size", 0);
	info->refs[info->n_refs++].is_manifest = is_manifest;
	return 0;
}

static int add_list(struct manifest_info *info, const struct json *list, const char *what,
		    bool is_manifest, struct error *err)
{
	if (list != NULL && list->type != JSON_ARRAY)
		return error_set(err, ERR_INVALID, "%s: not a list", what);
	json_for_each_item (item, list) {
		int r = add_ref(info, item, what, is_manifest, err);

		if (r < 0)
			return r;
	}
	return 0;
}

/* It becomes a line of the record and a header: one word, whatever the client sent. */
static int check_type(const char *t, struct error *err)
{
	size_t n = 0;

	while (t[n] > 0x20 && t[n] < 0x7f)
		n++;
	if (n == 0 || n > TYPE_MAX || t[n] != '\0')
		return error_set(err, ERR_INVALID, "'%.100s' is no media type", t);
	return 0;
}

static int choose_type(struct arena *a, const struct json *doc, const char *content_type,
		       const char **ret, struct error *err)
{
	const char *inside = json_str(doc, "mediaType");
	struct str t = str_of(content_type);
	struct str first = t;

	if (inside != NULL && *inside == '\0')
		inside = NULL;
	if (content_type != NULL) {
		(void)str_split(&t, ';', &first);
		first = str_trim(first);
	}
	if (content_type == NULL || first.len == 0) {
		if (inside == NULL)
			inside = json_get(doc, "manifests") ? TYPE_OCI_INDEX : TYPE_OCI_MANIFEST;
		*ret = inside;
		return check_type(inside, err);
	}
	if (inside != NULL && !str_eqs(first, inside))
		return error_set(err, ERR_INVALID, "mediaType '%s' is not the Content-Type '%.*s'",
				 inside, STR_ARG(first));
	*ret = arena_strndup(a, first.at, first.len);
	return check_type(*ret, err);
}

static int read_doc(struct arena *a, const struct json *doc, struct manifest_info *info,
		    struct error *err)
{
	const struct json *config = json_get(doc, "config"), *subject = json_get(doc, "subject");
	const char *type = json_str(doc, "artifactType");
	int r = 0;

	info->refs = arena_array(a, MANIFEST_REFS_MAX, sizeof(*info->refs));
	if (is_index_type(info->media_type)) {
		if (json_get(doc, "manifests") == NULL)
			return error_set(err, ERR_INVALID, "an index without 'manifests'");
		if (json_get(doc, "layers") != NULL || config != NULL)
			return error_set(err, ERR_INVALID, "an index with 'layers' or 'config'");
		r = add_list(info, json_get(doc, "manifests"), "manifests", true, err);
	} else {
		if (json_get(doc, "manifests") != NULL)
			return error_set(err, ERR_INVALID, "a manifest with 'manifests'");
		if (config == NULL && strcmp(info->media_type, TYPE_OCI_MANIFEST) == 0)
			return error_set(err, ERR_INVALID, "a manifest without 'config'");
		if (config != NULL)
			r = add_ref(info, config, "config", false, err);
		if (r == 0)
			r = add_list(info, json_get(doc, "layers"), "layers", false, err);
		if (r == 0) /* the artifact manifest of release candidates */
			r = add_list(info, json_get(doc, "blobs"), "blobs", false, err);
	}
	if (r < 0)
		return r;
	if (subject != NULL) {
		r = read_digest(subject, "subject", &info->subject, err);
		if (r < 0)
			return r;
		info->has_subject = true;
	}
	if (type == NULL && config != NULL)
		type = json_str(config, "mediaType");
	info->artifact_type = type ? type : "";
	info->annotations = json_get(doc, "annotations");
	return 0;
}

int manifest_read(struct arena *a, const char *bytes, size_t len, const char *content_type,
		  struct manifest_info *ret, struct error *err)
{
	struct manifest_info info = { 0 };
	const struct json *doc;
	int r = json_parse(a, bytes, len, &doc, err);

	if (r < 0)
		return r;
	if (doc->type != JSON_OBJECT)
		return error_set(err, ERR_INVALID, "a manifest is a JSON object");
	r = choose_type(a, doc, content_type, &info.media_type, err);
	if (r < 0)
		return r;
	if (cstr_starts(info.media_type, TYPE_DOCKER_SCHEMA1) ||
	    json_int(doc, "schemaVersion", 2) == 1)
		return error_set(err, ERR_UNIMPLEMENTED, "schema 1 manifests are not supported");
	if (json_int(doc, "schemaVersion", 2) != 2)
		return error_set(err, ERR_INVALID, "schemaVersion is not 2");
	r = read_doc(a, doc, &info, err);
	if (r < 0)
		return r;
	*ret = info;
	return 0;
}

int manifest_descriptor(const struct manifest_info *info, const struct digest *d, size_t size,
			struct buf *b, struct error *err)
{
	char text[DIGEST_TEXT_MAX];
	struct jsonw w;

	digest_format(d, text);
	jsonw_init(&w, b);
	jsonw_object(&w);
	jsonw_kstring(&w, "mediaType", info->media_type);
	jsonw_kstring(&w, "digest", text);
	jsonw_kint(&w, "size", (int64_t)size);
	if (*info->artifact_type != '\0')
		jsonw_kstring(&w, "artifactType", info->artifact_type);
	if (info->annotations != NULL)
		jsonw_kvalue(&w, "annotations", info->annotations);
	jsonw_end(&w);
	return jsonw_finish(&w, err);
}
