/* engine/image_remote.c: what only asks registries: search, login, tags. See image.h. */
#include <string.h>

#include "base/str.h"
#include "engine/image_impl.h"
#include "oci/image_config.h"
#include "oci/manifest.h"
#include "oci/media_type.h"

/* ---- search ---- */

struct search_filter {
	bool has_official, official, has_automated, automated;
	int64_t stars;
};

/* The one value of a filter in either of the API's shapes, or NULL. */
static const char *value_of(const struct json *j)
{
	json_for_each_item (v, j) {
		if (v->type == JSON_STRING)
			return v->s;
	}
	json_for_each_member (m, j)
		return m->key;
	return NULL;
}

static int read_filters(const struct json *filters, struct search_filter *ret, struct error *err)
{
	uint64_t stars;
	int r = 0;

	*ret = (struct search_filter){ 0 };
	json_for_each_member (m, filters) {
		const char *v = value_of(m->value);

		if (strcmp(m->key, "is-official") == 0) {
			ret->has_official = true;
			r = parse_bool(str_of(v), &ret->official, err);
		} else if (strcmp(m->key, "is-automated") == 0) {
			ret->has_automated = true;
			r = parse_bool(str_of(v), &ret->automated, err);
		} else if (strcmp(m->key, "stars") == 0) {
			r = parse_u64(str_of(v), INT64_MAX, &stars, err);
			ret->stars = (int64_t)stars;
		} else {
			r = error_set(err, ERR_INVALID, "invalid filter '%.100s'", m->key);
		}
		if (r < 0)
			return error_set(err, ERR_INVALID, "invalid filter '%.60s=%.60s'", m->key,
					 v ? v : "");
	}
	return 0;
}

static bool matches(const struct search_filter *f, const struct remote_hit *h)
{
	return (!f->has_official || f->official == h->official) &&
	       (!f->has_automated || f->automated == h->automated) && h->stars >= f->stars;
}

int engine_image_search(struct engine *e, const char *term, int64_t limit,
			const struct json *filters, const struct json *auth,
			const struct cancel *cancel, struct jsonw *out, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	struct remote_hits hits;
	struct remote_auth credentials;
	struct search_filter f;
	int r = read_filters(filters, &f, err);

	if (r < 0)
		return r;
	if (limit < 0 || limit > 100)
		return error_set(err, ERR_INVALID, "limit %lld is outside the range of [1, 100]",
				 (long long)limit);
	image_auth_read(auth, &credentials);
	r = remote_search(e->images->remote, term, limit ? (unsigned)limit : 25, &credentials,
			  cancel, &a, &hits, err);
	if (r < 0)
		return r;
	jsonw_array(out);
	for (size_t i = 0; i < hits.n; i++) {
		const struct remote_hit *h = &hits.at[i];

		if (!matches(&f, h))
			continue;
		jsonw_object(out);
		jsonw_kint(out, "star_count", h->stars);
		jsonw_kbool(out, "is_official", h->official);
		jsonw_kstring(out, "name", h->name);
		jsonw_kbool(out, "is_automated", h->automated);
		jsonw_kstring(out, "description", h->description ? h->description : "");
		jsonw_end(out);
	}
	jsonw_end(out);
	return 0;
}

/* ---- distribution ---- */

static void write_platform(struct jsonw *out, const struct platform *p)
{
	jsonw_object(out);
	jsonw_kstring(out, "architecture", p->arch);
	jsonw_kstring(out, "os", p->os);
	if (*p->os_version)
		jsonw_kstring(out, "os.version", p->os_version);
	if (*p->variant)
		jsonw_kstring(out, "variant", p->variant);
	jsonw_end(out);
}

static int image_platform(struct remote_repo *repo, struct arena *a, const struct manifest *m,
			  struct platform *ret, struct error *err)
{
	auto_(buf) b = BUF_INIT(IMAGE_CONFIG_MAX);
	struct image_config c;
	int r = remote_read_blob(repo, &m->config, &b, err);

	if (r == 0)
		r = image_config_parse(a, b.data, b.len, &c, err);
	if (r == 0)
		*ret = c.platform;
	return r;
}

static int write_distribution(struct remote_repo *repo, struct arena *a, struct jsonw *out,
			      struct error *err)
{
	struct remote_manifest top;
	struct platform platform;
	char digest[DIGEST_TEXT_MAX];
	int r = remote_get_manifest(repo, a, NULL, &top, err);

	if (r == 0 && top.doc.manifest)
		r = image_platform(repo, a, top.doc.manifest, &platform, err);
	if (r < 0)
		return r;
	digest_format(&top.descriptor.digest, digest);
	jsonw_object(out);
	jsonw_kobject(out, "Descriptor");
	jsonw_kstring(out, "mediaType", top.descriptor.media_type);
	jsonw_kstring(out, "digest", digest);
	jsonw_kint(out, "size", top.descriptor.size);
	jsonw_end(out);
	jsonw_karray(out, "Platforms");
	if (top.doc.manifest)
		write_platform(out, &platform);
	for (size_t i = 0; top.doc.index && i < top.doc.index->n_manifests; i++) {
		if (top.doc.index->manifests[i].platform)
			write_platform(out, top.doc.index->manifests[i].platform);
	}
	jsonw_end(out);
	jsonw_end(out);
	return 0;
}

int engine_image_repo(struct engine *e, const char *name, const struct json *auth, bool push,
		      const struct cancel *cancel, struct remote_repo **ret, struct error *err)
{
	struct remote_auth credentials;
	struct reference ref;
	int r = reference_parse_tagged(name, &ref, err);

	image_auth_read(auth, &credentials);
	return r < 0 ? r
		     : remote_open(e->images->remote, &ref, &credentials,
				   push ? REMOTE_PUSH : REMOTE_PULL, cancel, ret, err);
}

static int open_repo(struct engine *e, const char *name, const struct json *auth,
		     const struct cancel *cancel, struct remote_repo **ret, struct error *err)
{
	return engine_image_repo(e, name, auth, false, cancel, ret, err);
}

int engine_distribution(struct engine *e, const char *name, const struct json *auth,
			const struct cancel *cancel, struct jsonw *out, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	struct remote_repo *repo;
	int r = open_repo(e, name, auth, cancel, &repo, err);

	if (r < 0)
		return r;
	r = write_distribution(repo, &a, out, err);
	remote_close(repo);
	return r;
}

int engine_image_remote_tags(struct engine *e, const char *name, const struct json *auth,
			     const struct cancel *cancel, struct jsonw *out, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	struct remote_repo *repo;
	struct reference ref;
	char familiar[REFERENCE_TEXT_MAX];
	struct strings tags;
	int r = reference_parse(name, &ref, err);

	if (r == 0)
		r = open_repo(e, name, auth, cancel, &repo, err);
	if (r < 0)
		return r;
	r = remote_tags(repo, &a, &tags, err);
	remote_close(repo);
	if (r < 0)
		return r;
	reference_familiar_name(&ref, familiar);
	jsonw_object(out);
	jsonw_kstring(out, "Name", familiar);
	jsonw_karray(out, "Tags");
	for (size_t i = 0; i < tags.n; i++)
		jsonw_string(out, tags.at[i]);
	jsonw_end(out);
	jsonw_end(out);
	return 0;
}

/* ---- login ---- */

int engine_auth(struct engine *e, const struct json *body, const struct cancel *cancel,
		struct jsonw *out, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	const char *server = json_str(body, "serveraddress"), *token = "";
	struct remote_auth auth;
	int r;

	image_auth_read(body, &auth);
	r = remote_login(e->images->remote, server ? server : "", &auth, cancel, &a, &token, err);
	if (r < 0)
		return r;
	jsonw_object(out);
	jsonw_kstring(out, "IdentityToken", token);
	jsonw_kstring(out, "Status", "Login Succeeded");
	jsonw_end(out);
	return 0;
}
