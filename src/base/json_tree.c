/* base/json_tree.c: look-ups, decoding and building; knows no parser. */
#include <string.h>

#include "base/json.h"
#include "base/str.h"

static const char *const type_names[] = {
	[JSON_NULL] = "null",    [JSON_STRING] = "string", [JSON_INT] = "integer",
	[JSON_BOOL] = "boolean", [JSON_DOUBLE] = "number", [JSON_OBJECT] = "object",
	[JSON_ARRAY] = "array",  [JSON_ANY] = "any value",
};

const char *json_type_name(enum json_type type)
{
	return (unsigned)type < ARRAY_LEN(type_names) ? type_names[type] : "unknown";
}

static const struct json *find_member(const struct json *j, const char *key)
{
	json_for_each_member (m, j)
		if (strcmp(m->key, key) == 0)
			return m->value;
	return NULL;
}

static bool is_empty(const struct json *v)
{
	return (v->type == JSON_STRING && v->s_len == 0) ||
	       (v->type == JSON_ARRAY && v->n_items == 0) ||
	       (v->type == JSON_OBJECT && v->n_members == 0);
}

static void store(const struct json *v, enum json_type type, void *at)
{
	switch (type) {
	case JSON_STRING:
		*(const char **)at = v->s;
		break;
	case JSON_INT:
		*(int64_t *)at = v->i;
		break;
	case JSON_BOOL:
		*(bool *)at = v->b;
		break;
	case JSON_DOUBLE:
		*(double *)at = v->type == JSON_INT ? (double)v->i : v->d;
		break;
	case JSON_OBJECT:
	case JSON_ARRAY:
	case JSON_ANY:
	case JSON_NULL:
		*(const struct json **)at = v;
		break;
	}
}

static int decode_field(const struct json *j, const struct json_field *f, void *out,
			struct error *err)
{
	const struct json *v = find_member(j, f->key);
	bool is_null = v != NULL && v->type == JSON_NULL;

	if (v == NULL || (is_null && f->type != JSON_ANY && !(f->flags & JSON_STRICT_NULL))) {
		if (f->flags & JSON_REQUIRED)
			return error_set(err, ERR_INVALID, "%s: missing", f->key);
		return 0;
	}
	if (f->type != JSON_ANY && v->type != f->type &&
	    !(f->type == JSON_DOUBLE && v->type == JSON_INT))
		return error_set(err, ERR_INVALID, "%s: want %s, got %s", f->key,
				 json_type_name(f->type), json_type_name(v->type));
	if ((f->flags & JSON_NOT_EMPTY) && is_empty(v))
		return error_set(err, ERR_INVALID, "%s: empty", f->key);
	store(v, f->type, (char *)out + f->offset);
	return 0;
}

int json_decode(const struct json *j, const struct json_field *fields, size_t n_fields, void *out,
		struct error *err)
{
	if (j == NULL || j->type != JSON_OBJECT)
		return error_set(err, ERR_INVALID, "want object, got %s",
				 json_type_name(j ? j->type : JSON_NULL));
	for (size_t i = 0; i < n_fields; i++) {
		int r = decode_field(j, &fields[i], out, err);

		if (r < 0)
			return r;
	}
	return 0;
}

static const struct json *not_null(const struct json *v)
{
	return v != NULL && v->type != JSON_NULL ? v : NULL;
}

const struct json *json_get(const struct json *j, const char *key)
{
	return not_null(find_member(j, key));
}

const struct json *json_get_nocase(const struct json *j, const char *key)
{
	const struct json *v = find_member(j, key);

	if (v != NULL)
		return not_null(v);
	json_for_each_member (m, j)
		if (str_eq_nocase(str_of(m->key), str_of(key)))
			return not_null(m->value);
	return NULL;
}

static const struct json *get_view(const struct json *j, struct str key)
{
	json_for_each_member (m, j)
		if (str_eqs(key, m->key))
			return not_null(m->value);
	return NULL;
}

const struct json *json_path(const struct json *j, const char *dotted)
{
	struct str rest = str_of(dotted), key;

	while (j != NULL && str_split(&rest, '.', &key))
		j = get_view(j, key);
	return j;
}

const char *json_str(const struct json *j, const char *key)
{
	const struct json *v = find_member(j, key);

	return v != NULL && v->type == JSON_STRING ? v->s : NULL;
}

int64_t json_int(const struct json *j, const char *key, int64_t def)
{
	const struct json *v = find_member(j, key);

	return v != NULL && v->type == JSON_INT ? v->i : def;
}

bool json_bool(const struct json *j, const char *key, bool def)
{
	const struct json *v = find_member(j, key);

	return v != NULL && v->type == JSON_BOOL ? v->b : def;
}

static struct json *new_node(struct arena *a, enum json_type type)
{
	struct json *j = arena_new(a, struct json);

	j->type = type;
	return j;
}

struct json *json_new_object(struct arena *a)
{
	return new_node(a, JSON_OBJECT);
}

struct json *json_new_array(struct arena *a)
{
	return new_node(a, JSON_ARRAY);
}

struct json *json_new_string(struct arena *a, const char *s)
{
	struct json *j = new_node(a, JSON_STRING);

	j->s_len = strlen(s);
	j->s = arena_strndup(a, s, j->s_len);
	return j;
}

struct json *json_new_int(struct arena *a, int64_t i)
{
	struct json *j = new_node(a, JSON_INT);

	j->i = i;
	return j;
}

struct json *json_new_bool(struct arena *a, bool b)
{
	struct json *j = new_node(a, JSON_BOOL);

	j->b = b;
	return j;
}

/* The capacity of an array, parsed or built, is the power of two at or above
 * its length (an empty one may have none): it is full only at such a length. */
static void *grow(struct arena *a, void *at, size_t n, size_t size)
{
	void *p;

	if (n != 0 && (n & (n - 1)) != 0)
		return at;
	p = arena_array(a, n ? n * 2 : 1, size);
	if (n > 0)
		memcpy(p, at, n * size);
	return p;
}

void json_set(struct arena *a, struct json *object, const char *key, struct json *value)
{
	for (size_t i = 0; i < object->n_members; i++) {
		if (strcmp(object->members[i].key, key) == 0) {
			object->members[i].value = value;
			return;
		}
	}
	object->members = grow(a, object->members, object->n_members, sizeof(*object->members));
	object->members[object->n_members++] = (struct json_member){ arena_strdup(a, key), value };
}

void json_push(struct arena *a, struct json *array, struct json *value)
{
	array->items = grow(a, array->items, array->n_items, sizeof(*array->items));
	array->items[array->n_items++] = value;
}
