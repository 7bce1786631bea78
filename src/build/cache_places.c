/* build/cache_places.c: what may be said of a cache. See cache_places.h. */
#include "build/cache_places.h"

#include <string.h>

#include "base/str.h"
#include "oci/reference.h"

const char *place_attr(const struct build_place *p, const char *key)
{
	for (size_t i = 0; i < p->n_attrs; i++) {
		if (strcmp(p->attrs[i].key, key) == 0)
			return p->attrs[i].value;
	}
	return NULL;
}

int place_bool(const struct build_place *p, const char *key, bool otherwise, bool *ret,
	       struct error *err)
{
	const char *value = place_attr(p, key);

	*ret = otherwise;
	if (value == NULL)
		return 0;
	if (parse_bool(str_of(value), ret, NULL) < 0)
		return error_set(err, ERR_INVALID, "invalid value '%s' of %s", value, key);
	return 0;
}

struct kind {
	const char *type;
	const char *from[4], *to[8]; /* attributes; none: that direction is refused */
	const char *needs;           /* NULL: a directory */
};

static const struct kind kinds[] = {
	{ "registry",
	  { "ref" },
	  { "ref", "mode", "image-manifest", "oci-mediatypes", "ignore-error", "compression" },
	  "ref" },
	{ "inline", { "ref" }, { "mode", "ignore-error" }, "ref" },
	{ "local",
	  { "src", "tag", "digest" },
	  { "dest", "mode", "tag", "image-manifest", "oci-mediatypes", "ignore-error",
	    "compression" },
	  NULL },
};

static const struct kind *find_kind(const char *type)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (strcmp(kinds[i].type, type) == 0)
			return &kinds[i];
	}
	return NULL;
}

static bool allows(const char *const *list, size_t n, const char *key)
{
	for (size_t i = 0; i < n && list[i]; i++) {
		if (strcmp(list[i], key) == 0)
			return true;
	}
	return false;
}

static int check_attrs(const struct build_place *p, const struct kind *k, bool to,
		       struct error *err)
{
	const char *direction = to ? "cache-to" : "cache-from";

	for (size_t i = 0; i < p->n_attrs; i++) {
		const char *key = p->attrs[i].key;

		if (strcmp(key, "type") != 0 && !(to ? allows(k->to, ARRAY_LEN(k->to), key)
						     : allows(k->from, ARRAY_LEN(k->from), key)))
			return error_set(err, ERR_INVALID, "%s: type=%s has no attribute '%s'",
					 direction, p->type, key);
	}
	if (k->needs == NULL && p->fd < 0)
		return error_set(err, ERR_INVALID, "%s: type=local needs %s", direction,
				 to ? "dest" : "src");
	if (k->needs != NULL && !(to && strcmp(p->type, "inline") == 0) &&
	    cstr_is_empty(place_attr(p, k->needs)))
		return error_set(err, ERR_INVALID, "%s: type=%s needs %s", direction, p->type,
				 k->needs);
	return 0;
}

static int check_values(const struct build_place *p, struct error *err)
{
	const char *mode = place_attr(p, "mode"), *packed = place_attr(p, "compression");
	bool oci, manifest, ignore;
	int r = place_bool(p, "oci-mediatypes", true, &oci, err);

	if (r == 0)
		r = place_bool(p, "image-manifest", true, &manifest, err);
	if (r == 0)
		r = place_bool(p, "ignore-error", false, &ignore, err);
	if (r < 0)
		return error_wrap(err, r, "cache-to");
	if (mode != NULL && strcmp(mode, "min") != 0 && strcmp(mode, "max") != 0)
		return error_set(err, ERR_INVALID, "cache-to: invalid mode '%s': want min or max",
				 mode);
	if (mode != NULL && strcmp(mode, "max") == 0 && strcmp(p->type, "inline") == 0)
		return error_set(err, ERR_INVALID,
				 "cache-to: type=inline holds what is in the image: only mode=min");
	if (!oci && manifest && place_attr(p, "image-manifest") != NULL)
		return error_set(err, ERR_INVALID,
				 "cache-to: image-manifest=true needs oci-mediatypes=true");
	if (packed != NULL && strcmp(packed, "gzip") != 0)
		return error_set(err, ERR_UNIMPLEMENTED,
				 "cache-to: compression=%s is not supported yet", packed);
	return 0;
}

static int check_ref(const struct build_place *p, bool to, struct error *err)
{
	const char *text = place_attr(p, "ref");
	struct reference ref;
	int r = text ? reference_parse(text, &ref, err) : 0;

	if (r < 0)
		return error_wrap(err, r, "%s", to ? "cache-to" : "cache-from");
	if (text != NULL && to && reference_has_digest(&ref))
		return error_set(err, ERR_INVALID,
				 "cache-to: %s has a digest: a cache is written under a tag", text);
	return 0;
}

static int check_place(const struct build_place *p, bool to, struct error *err)
{
	const struct kind *k = find_kind(p->type);
	int r;

	if (k == NULL)
		return error_set(err, ERR_UNIMPLEMENTED, "%s: type=%s is not supported yet",
				 to ? "cache-to" : "cache-from", p->type);
	r = check_attrs(p, k, to, err);
	if (r == 0)
		r = check_ref(p, to, err);
	return r < 0 || !to ? r : check_values(p, err);
}

int caches_check(const struct build_request *q, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < q->n_cache_from; i++)
		r = check_place(&q->cache_from[i], false, err);
	for (size_t i = 0; r == 0 && i < q->n_cache_to; i++)
		r = check_place(&q->cache_to[i], true, err);
	return r;
}

bool caches_want_all(const struct build_request *q)
{
	for (size_t i = 0; i < q->n_cache_to; i++) {
		const char *mode = place_attr(&q->cache_to[i], "mode");

		if (mode != NULL && strcmp(mode, "max") == 0)
			return true;
	}
	return false;
}
