/* image/filter.c: see filter.h. */
#include "image/filter.h"

#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "image/image.h"
#include "oci/reference.h"

void filter_release(struct filter *f)
{
	arena_release(&f->arena);
	*f = (struct filter){ 0 };
}

/* {"k":{"v":true}} and {"k":["v"]} alike; values that are false do not count. */
static const char **values(struct filter *f, const struct json *j)
{
	size_t n = 0, max = !j ? 0 : j->type == JSON_ARRAY ? j->n_items : j->n_members;
	const char **out;

	if (max == 0)
		return NULL;
	out = arena_array(&f->arena, max + 1, sizeof(*out));
	json_for_each_item (v, j) {
		if (v->type == JSON_STRING)
			out[n++] = arena_strdup(&f->arena, v->s);
	}
	json_for_each_member (m, j) {
		if (m->value->type != JSON_BOOL || m->value->b)
			out[n++] = arena_strdup(&f->arena, m->key);
	}
	return n ? out : NULL;
}

static int check_known(const struct json *filters, const char *const *known, struct error *err)
{
	json_for_each_member (m, filters) {
		bool found = false;

		for (size_t i = 0; known[i]; i++)
			found = found || strcmp(known[i], m->key) == 0;
		if (!found)
			return error_set(err, ERR_INVALID, "invalid filter '%.100s'", m->key);
		if (m->value->type != JSON_ARRAY && m->value->type != JSON_OBJECT)
			return error_set(err, ERR_INVALID, "invalid filter '%.100s'", m->key);
	}
	return 0;
}

static int parse_dangling(struct filter *f, const char **v, struct error *err)
{
	if (!v)
		return 0;
	f->has_dangling = true;
	if (v[1])
		return error_set(err, ERR_INVALID, "invalid filter 'dangling=[%s %s]'", v[0], v[1]);
	if (strcmp(v[0], "true") == 0 || strcmp(v[0], "1") == 0)
		f->dangling = true;
	else if (strcmp(v[0], "false") != 0 && strcmp(v[0], "0") != 0)
		return error_set(err, ERR_INVALID, "invalid filter 'dangling=[%.100s]'", v[0]);
	return 0;
}

static int parse_image(struct store *s, const char **v, bool *ret_has, int64_t *ret_ns,
		       struct error *err)
{
	struct image_row row = { 0 };
	autofree char *id = NULL;
	int r;

	if (!v)
		return 0;
	r = image_resolve(s, v[0], &id, err);
	if (r == 0)
		r = images_get(s, id, &row, err);
	if (r < 0)
		return r;
	*ret_has = true;
	*ret_ns = row.created_ns;
	image_row_release(&row);
	return 0;
}

static int parse_until(const char **v, struct filter *f, struct error *err)
{
	f->has_until = v != NULL;
	return v ? time_parse_query(v[0], &f->until_ns, err) : 0;
}

int filter_parse(struct store *s, const struct json *filters, const char *const *known,
		 struct filter *ret, struct error *err)
{
	struct filter f = { 0 };
	int r;

	if (!filters)
		return 0;
	r = check_known(filters, known, err);
	if (r == 0)
		r = parse_dangling(&f, values(&f, json_get(filters, "dangling")), err);
	f.labels = values(&f, json_get(filters, "label"));
	f.not_labels = values(&f, json_get(filters, "label!"));
	f.references = values(&f, json_get(filters, "reference"));
	if (r == 0)
		r = parse_image(s, values(&f, json_get(filters, "before")), &f.has_before,
				&f.before_ns, err);
	if (r == 0)
		r = parse_image(s, values(&f, json_get(filters, "since")), &f.has_since,
				&f.since_ns, err);
	if (r == 0)
		r = parse_until(values(&f, json_get(filters, "until")), &f, err);
	if (r < 0) {
		filter_release(&f);
		return r;
	}
	*ret = f;
	return 0;
}

static bool has_label(const struct json *labels, const char *want)
{
	struct str w = str_of(want);
	ptrdiff_t equals = str_find(w, '=');

	json_for_each_member (m, labels) {
		if (equals < 0 ? strcmp(m->key, want) == 0
			       : str_eqs(str_sub(w, 0, (size_t)equals), m->key) &&
				     m->value->type == JSON_STRING &&
				     strcmp(m->value->s, want + equals + 1) == 0)
			return true;
	}
	return false;
}

int filter_matches(const struct filter *f, const struct image_row *row, bool dangling, bool *ret,
		   struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	const struct json *labels = NULL;
	int r;

	*ret = false;
	if (f->has_dangling && f->dangling != dangling)
		return 0;
	if ((f->has_before && row->created_ns >= f->before_ns) ||
	    (f->has_since && row->created_ns <= f->since_ns) ||
	    (f->has_until && row->created_ns > f->until_ns))
		return 0;
	if (row->labels && (f->labels || f->not_labels)) {
		r = json_parse(&a, row->labels, strlen(row->labels), &labels, err);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; f->labels && f->labels[i]; i++) {
		if (!has_label(labels, f->labels[i]))
			return 0;
	}
	for (size_t i = 0; f->not_labels && f->not_labels[i]; i++) {
		if (has_label(labels, f->not_labels[i]))
			return 0;
	}
	*ret = true;
	return 0;
}

bool filter_name_matches(const char *familiar, const char *const *patterns)
{
	struct reference ref;
	bool match;

	if (!patterns)
		return true;
	if (reference_parse(familiar, &ref, NULL) < 0)
		return false;
	for (size_t i = 0; patterns[i]; i++) {
		if (reference_match(&ref, patterns[i], &match, NULL) == 0 && match)
			return true;
	}
	return false;
}
