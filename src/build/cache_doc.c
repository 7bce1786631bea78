/* build/cache_doc.c: see cache_doc.h. */
#include "build/cache_doc.h"

#include <string.h>

#include "base/str.h"

#define DOC_VERSION 1

/* 64 lower-case hex digits. */
static bool is_hash(const char *s)
{
	return s != NULL && strlen(s) == 64 && strspn(s, "0123456789abcdef") == 64;
}

static int read_hash(const struct json *j, const char *name, bool required, char out[static 65],
		     struct error *err)
{
	const char *s = json_str(j, name);

	if (s == NULL && !required && json_get(j, name) == NULL)
		return 0;
	if (!is_hash(s))
		return error_set(err, ERR_INVALID, "records: %s is not 64 hex digits", name);
	memcpy(out, s, 65);
	return 0;
}

static int read_record(const struct json *j, size_t n_layers, struct cache_doc_record *ret,
		       struct error *err)
{
	const struct json *layer = json_get(j, "layer");
	int r = read_hash(j, "key", true, ret->key, err);

	if (r == 0)
		r = read_hash(j, "fast", false, ret->fast, err);
	if (r == 0)
		r = read_hash(j, "def", ret->fast[0] != '\0', ret->def, err);
	if (r < 0)
		return r;
	ret->text = json_str(j, "text") ? json_str(j, "text") : "";
	ret->layer = -1;
	if (layer == NULL)
		return 0;
	if (layer->type != JSON_INT || layer->i < 0 || (uint64_t)layer->i >= n_layers)
		return error_set(err, ERR_INVALID, "records: layer is not one of the %zu layers",
				 n_layers);
	ret->layer = layer->i;
	return 0;
}

static int read_records(struct arena *a, const struct json *list, struct cache_doc *ret,
			struct error *err)
{
	int r = 0;

	if (list == NULL || list->type != JSON_ARRAY)
		return error_set(err, ERR_INVALID, "records: want an array");
	if (list->n_items > CACHE_RECORDS_MAX)
		return error_set(err, ERR_INVALID, "more than %d records", CACHE_RECORDS_MAX);
	ret->records = arena_array(a, list->n_items + 1, sizeof(*ret->records));
	json_for_each_item (item, list) {
		struct cache_doc_record *to = &ret->records[ret->n_records++];

		*to = (struct cache_doc_record){ 0 };
		if (r == 0)
			r = read_record(item, ret->n_layers, to, err);
	}
	return r;
}

static int read_layers(struct arena *a, const struct json *list, struct cache_doc *ret,
		       struct error *err)
{
	int r = 0;

	if (list == NULL || list->type != JSON_ARRAY || list->n_items > CACHE_LAYERS_MAX)
		return error_set(err, ERR_INVALID, "layers: want an array of at most %d digests",
				 CACHE_LAYERS_MAX);
	ret->diff_ids = arena_array(a, list->n_items + 1, sizeof(*ret->diff_ids));
	json_for_each_item (item, list) {
		if (item->type != JSON_STRING)
			return error_set(err, ERR_INVALID, "layers: want digests");
		if (r == 0)
			r = digest_parse(item->s, item->s_len, &ret->diff_ids[ret->n_layers++],
					 err);
	}
	return r < 0 ? error_wrap(err, r, "layers") : 0;
}

static int check_version(const struct json *j, struct error *err)
{
	int64_t version = json_int(j, "version", 0);

	if (j == NULL || j->type != JSON_OBJECT || version <= 0)
		return error_set(err, ERR_INVALID, "not a build cache");
	if (version != DOC_VERSION)
		return error_set(err, ERR_UNIMPLEMENTED,
				 "build cache of version %lld is not supported yet",
				 (long long)version);
	return 0;
}

int cache_doc_parse(struct arena *a, const char *text, size_t len, struct cache_doc *ret,
		    struct error *err)
{
	struct cache_doc d = { 0 };
	const struct json *j;
	int r;

	if (len > CACHE_DOC_MAX)
		return error_set(err, ERR_INVALID, "build cache of %zu bytes is too large", len);
	r = json_parse(a, text, len, &j, err);
	if (r == 0)
		r = check_version(j, err);
	if (r == 0)
		r = read_layers(a, json_get(j, "layers"), &d, err);
	if (r == 0)
		r = read_records(a, json_get(j, "records"), &d, err);
	if (r == 0)
		*ret = d;
	return r;
}

int cache_doc_parse_inline(struct arena *a, const struct json *j, size_t n_layers,
			   struct cache_doc *ret, struct error *err)
{
	struct cache_doc d = { .n_layers = n_layers };
	int r = check_version(j, err);

	if (r == 0)
		r = read_records(a, json_get(j, "records"), &d, err);
	if (r == 0)
		*ret = d;
	return r;
}

static void write_record(struct jsonw *w, const struct cache_doc_record *r)
{
	jsonw_object(w);
	jsonw_kstring(w, "key", r->key);
	if (r->fast[0] != '\0') {
		jsonw_kstring(w, "fast", r->fast);
		jsonw_kstring(w, "def", r->def);
	}
	if (r->layer >= 0)
		jsonw_kint(w, "layer", r->layer);
	jsonw_kstring(w, "text", r->text);
	jsonw_end(w);
}

void cache_doc_write(struct jsonw *w, const struct cache_doc *d, bool is_inline)
{
	char text[DIGEST_TEXT_MAX];

	jsonw_object(w);
	jsonw_kint(w, "version", DOC_VERSION);
	if (!is_inline) {
		jsonw_karray(w, "layers");
		for (size_t i = 0; i < d->n_layers; i++) {
			digest_format(&d->diff_ids[i], text);
			jsonw_string(w, text);
		}
		jsonw_end(w);
	}
	jsonw_karray(w, "records");
	for (size_t i = 0; i < d->n_records; i++)
		write_record(w, &d->records[i]);
	jsonw_end(w);
	jsonw_end(w);
}
