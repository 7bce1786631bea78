#include "oci/decode.h"

#include <stdio.h>
#include <string.h>

#include "oci/digest.h"

enum { PATH_TEXT_MAX = 256, ITEMS_MAX = 65536 };

struct ctx {
	struct arena *a;
	struct error *err;
	char path[PATH_TEXT_MAX]; /* of the member that is looked at */
	size_t len;
};

/* A path too long for the message loses its tail; `len` says what to go back to. */
static size_t path_push(struct ctx *c, const char *key)
{
	size_t before = c->len;
	int n = snprintf(c->path + c->len, sizeof(c->path) - c->len, "%s%.100s",
			 c->len > 0 ? "." : "", key);

	c->len += (size_t)n;
	if (c->len >= sizeof(c->path))
		c->len = sizeof(c->path) - 1;
	return before;
}

static size_t path_push_index(struct ctx *c, size_t i)
{
	size_t before = c->len;
	int n = snprintf(c->path + c->len, sizeof(c->path) - c->len, "[%zu]", i);

	c->len += (size_t)n;
	if (c->len >= sizeof(c->path))
		c->len = sizeof(c->path) - 1;
	return before;
}

static void path_pop(struct ctx *c, size_t before)
{
	c->len = before;
	c->path[before] = '\0';
}

static const char *where(const struct ctx *c)
{
	return c->len > 0 ? c->path : "document";
}

static int want(const struct ctx *c, const char *what, const struct json *v)
{
	return error_set(c->err, ERR_INVALID, "%s: want %s, got %s", where(c), what,
			 json_type_name(v->type));
}

static int decode_fields(struct ctx *c, const struct json *j, const struct decode_struct *s,
			 void *out);

static int check_word(const struct ctx *c, const struct decode_field *f, const char *text)
{
	if (f->words == NULL)
		return 0;
	for (const char *const *w = f->words; *w; w++)
		if (strcmp(*w, text) == 0)
			return 0;
	return error_set(c->err, ERR_INVALID, "%s: unknown value '%.100s'", where(c), text);
}

static int get_int(const struct ctx *c, const struct decode_field *f, const struct json *v,
		   int64_t *ret)
{
	bool limited = f->min != 0 || f->max != 0;

	if (v->type != JSON_INT)
		return want(c, "an integer", v);
	if (limited && (v->i < f->min || v->i > f->max))
		return error_set(c->err, ERR_INVALID, "%s: %lld is not in %lld..%lld", where(c),
				 (long long)v->i, (long long)f->min, (long long)f->max);
	*ret = v->i;
	return 0;
}

static int get_uint(const struct ctx *c, const struct json *v, uint64_t max, uint64_t *ret)
{
	uint64_t u = 0;

	if (v->type == JSON_DOUBLE && v->u != 0)
		u = v->u;
	else if (v->type != JSON_INT)
		return want(c, "an integer", v);
	else if (v->i < 0)
		return error_set(c->err, ERR_INVALID, "%s: %lld is negative", where(c),
				 (long long)v->i);
	else
		u = (uint64_t)v->i;
	if (max != 0 && u > max)
		return error_set(c->err, ERR_INVALID, "%s: %llu is more than %llu", where(c),
				 (unsigned long long)u, (unsigned long long)max);
	*ret = u;
	return 0;
}

static int get_digest(const struct ctx *c, const struct json *v, struct digest *ret)
{
	int r;

	if (v->type != JSON_STRING)
		return want(c, "string", v);
	r = digest_parse(v->s, v->s_len, ret, c->err);
	return r < 0 ? error_wrap(c->err, r, "%s", where(c)) : 0;
}

/* An array whose items are of `size` bytes; what, for messages. */
static int new_items(const struct ctx *c, const struct json *v, size_t size, void **ret_items)
{
	if (v->type != JSON_ARRAY)
		return want(c, "array", v);
	if (v->n_items > ITEMS_MAX)
		return error_set(c->err, ERR_INVALID, "%s: more than %d items", where(c),
				 ITEMS_MAX);
	*ret_items = arena_array(c->a, v->n_items + 1, size);
	return 0;
}

static int get_strings(struct ctx *c, const struct decode_field *f, const struct json *v,
		       struct strings *ret)
{
	const char **at = NULL;
	void *items = NULL;
	int r;

	r = new_items(c, v, sizeof(*at), &items);
	if (r < 0)
		return r;
	at = items;
	for (size_t i = 0; i < v->n_items; i++) {
		size_t before = path_push_index(c, i);

		if (v->items[i]->type != JSON_STRING)
			return want(c, "string", v->items[i]);
		r = check_word(c, f, v->items[i]->s);
		if (r < 0)
			return r;
		at[i] = v->items[i]->s;
		path_pop(c, before);
	}
	*ret = (struct strings){ at, v->n_items };
	return 0;
}

static int get_keys(const struct ctx *c, const struct json *v, struct strings *ret)
{
	const char **at;

	if (v->type != JSON_OBJECT)
		return want(c, "object", v);
	at = arena_array(c->a, v->n_members + 1, sizeof(*at));
	for (size_t i = 0; i < v->n_members; i++)
		at[i] = v->members[i].key;
	*ret = (struct strings){ at, v->n_members };
	return 0;
}

static int get_pairs(struct ctx *c, const struct json *v, struct pairs *ret)
{
	struct pair *at;

	if (v->type != JSON_OBJECT)
		return want(c, "object", v);
	at = arena_array(c->a, v->n_members + 1, sizeof(*at));
	for (size_t i = 0; i < v->n_members; i++) {
		const struct json *item = v->members[i].value;
		size_t before = path_push(c, v->members[i].key);

		if (item->type != JSON_STRING)
			return want(c, "string", item);
		at[i] = (struct pair){ v->members[i].key, item->s };
		path_pop(c, before);
	}
	*ret = (struct pairs){ at, v->n_members };
	return 0;
}

static int get_array(struct ctx *c, const struct decode_field *f, const struct json *v,
		     const void **ret, size_t *ret_n)
{
	void *items = NULL;
	int r;

	r = new_items(c, v, f->sub->size, &items);
	for (size_t i = 0; r == 0 && i < v->n_items; i++) {
		size_t before = path_push_index(c, i);

		r = decode_fields(c, v->items[i], f->sub, (char *)items + i * f->sub->size);
		if (r == 0)
			path_pop(c, before);
	}
	if (r < 0)
		return r;
	*ret = items;
	*ret_n = v->n_items;
	return 0;
}

static int get_map(struct ctx *c, const struct decode_field *f, const struct json *v,
		   const void **ret, size_t *ret_n)
{
	char *items;

	if (v->type != JSON_OBJECT)
		return want(c, "object", v);
	items = arena_array(c->a, v->n_members + 1, f->sub->size);
	for (size_t i = 0; i < v->n_members; i++) {
		char *item = items + i * f->sub->size;
		size_t before = path_push(c, v->members[i].key);
		int r = decode_fields(c, v->members[i].value, f->sub, item);

		if (r < 0)
			return r;
		*(const char **)(void *)item = v->members[i].key;
		path_pop(c, before);
	}
	*ret = items;
	*ret_n = v->n_members;
	return 0;
}

static int get_u32s(struct ctx *c, const struct json *v, const void **ret, size_t *ret_n)
{
	uint32_t *at = NULL;
	void *items = NULL;
	int r;

	r = new_items(c, v, sizeof(*at), &items);
	at = items;
	for (size_t i = 0; r == 0 && i < v->n_items; i++) {
		size_t before = path_push_index(c, i);
		uint64_t u = 0;

		r = get_uint(c, v->items[i], UINT32_MAX, &u);
		if (r < 0)
			return r;
		at[i] = (uint32_t)u;
		path_pop(c, before);
	}
	if (r < 0)
		return r;
	*ret = at;
	*ret_n = v->n_items;
	return 0;
}

static int get_digests(struct ctx *c, const struct json *v, const void **ret, size_t *ret_n)
{
	struct digest *at = NULL;
	void *items = NULL;
	int r;

	r = new_items(c, v, sizeof(*at), &items);
	at = items;
	for (size_t i = 0; r == 0 && i < v->n_items; i++) {
		size_t before = path_push_index(c, i);

		r = get_digest(c, v->items[i], &at[i]);
		if (r < 0)
			return r;
		path_pop(c, before);
	}
	if (r < 0)
		return r;
	*ret = at;
	*ret_n = v->n_items;
	return 0;
}

static int get_string(const struct ctx *c, const struct decode_field *f, const struct json *v,
		      void *at)
{
	int r;

	if (v->type != JSON_STRING)
		return want(c, "string", v);
	r = check_word(c, f, v->s);
	if (r < 0)
		return r;
	if (f->kind == DECODE_STRING) {
		*(const char **)at = v->s;
		return 0;
	}
	if (v->s_len >= f->umax)
		return error_set(c->err, ERR_INVALID, "%s: longer than %llu bytes", where(c),
				 (unsigned long long)f->umax - 1);
	memcpy(at, v->s, v->s_len + 1);
	return 0;
}

static int get_bool(const struct ctx *c, const struct decode_field *f, const struct json *v,
		    void *at)
{
	if (v->type != JSON_BOOL)
		return want(c, "boolean", v);
	if (f->kind == DECODE_BOOL)
		*(bool *)at = v->b;
	else
		*(struct opt_bool *)at = (struct opt_bool){ true, v->b };
	return 0;
}

static int get_number(const struct ctx *c, const struct decode_field *f, const struct json *v,
		      void *at)
{
	uint64_t max = f->kind == DECODE_U32 && f->umax == 0 ? UINT32_MAX : f->umax, u = 0;
	int64_t i = 0;
	int r;

	if (f->kind == DECODE_INT || f->kind == DECODE_OPT_INT)
		r = get_int(c, f, v, &i);
	else
		r = get_uint(c, v, max, &u);
	if (r < 0)
		return r;
	if (f->kind == DECODE_INT)
		*(int64_t *)at = i;
	else if (f->kind == DECODE_OPT_INT)
		*(struct opt_int *)at = (struct opt_int){ true, i };
	else if (f->kind == DECODE_UINT)
		*(uint64_t *)at = u;
	else if (f->kind == DECODE_U32)
		*(uint32_t *)at = (uint32_t)u;
	else
		*(struct opt_uint *)at = (struct opt_uint){ true, u };
	return 0;
}

static int decode_value(struct ctx *c, const struct decode_field *f, const struct json *v,
			char *out)
{
	void *at = out + f->offset, *p;
	size_t *count = (size_t *)(void *)(out + f->count_offset);
	int r;

	switch (f->kind) {
	case DECODE_STRING:
	case DECODE_TEXT:
		return get_string(c, f, v, at);
	case DECODE_BOOL:
	case DECODE_OPT_BOOL:
		return get_bool(c, f, v, at);
	case DECODE_INT:
	case DECODE_UINT:
	case DECODE_U32:
	case DECODE_OPT_INT:
	case DECODE_OPT_UINT:
		return get_number(c, f, v, at);
	case DECODE_STRINGS:
		return get_strings(c, f, v, at);
	case DECODE_U32S:
		return get_u32s(c, v, at, count);
	case DECODE_PAIRS:
		return get_pairs(c, v, at);
	case DECODE_KEYS:
		return get_keys(c, v, at);
	case DECODE_STRUCT:
		return decode_fields(c, v, f->sub, at);
	case DECODE_POINTER:
		p = arena_alloc(c->a, f->sub->size);
		r = decode_fields(c, v, f->sub, p);
		if (r == 0)
			*(void **)at = p;
		return r;
	case DECODE_ARRAY:
		return get_array(c, f, v, at, count);
	case DECODE_MAP:
		return get_map(c, f, v, at, count);
	case DECODE_DIGEST:
		return get_digest(c, v, at);
	case DECODE_DIGESTS:
		return get_digests(c, v, at, count);
	case DECODE_JSON:
		*(const struct json **)at = v;
		return 0;
	}
	return 0;
}

static bool is_empty(const struct json *v)
{
	return (v->type == JSON_STRING && v->s_len == 0) ||
	       (v->type == JSON_ARRAY && v->n_items == 0) ||
	       (v->type == JSON_OBJECT && v->n_members == 0);
}

static int decode_fields(struct ctx *c, const struct json *j, const struct decode_struct *s,
			 void *out)
{
	if (j->type != JSON_OBJECT)
		return want(c, "object", j);
	for (size_t i = 0; i < s->n_fields; i++) {
		const struct decode_field *f = &s->fields[i];
		const struct json *v = json_get(j, f->key);
		size_t before = path_push(c, f->key);
		int r;

		if (v == NULL && (f->flags & DECODE_REQUIRED))
			return error_set(c->err, ERR_INVALID, "%s: missing", where(c));
		if (v != NULL) {
			if ((f->flags & DECODE_NOT_EMPTY) && is_empty(v))
				return error_set(c->err, ERR_INVALID, "%s: empty", where(c));
			r = decode_value(c, f, v, out);
			if (r < 0)
				return r;
		}
		path_pop(c, before);
	}
	return 0;
}

int decode_object(struct arena *a, const struct json *j, const struct decode_struct *s,
		  const char *root, void *out, struct error *err)
{
	struct ctx c = { .a = a, .err = err };

	if (*root != '\0')
		path_push(&c, root);
	return decode_fields(&c, j, s, out);
}

int decode_text(struct arena *a, const char *text, size_t len, size_t max_bytes,
		const struct decode_struct *s, const char *root, void *out, struct error *err)
{
	const struct json *j = NULL;
	int r;

	if (len > max_bytes)
		return error_set(err, ERR_INVALID, "longer than %zu bytes", max_bytes);
	r = json_parse(a, text, len, &j, err);
	return r < 0 ? r : decode_object(a, j, s, root, out, err);
}
