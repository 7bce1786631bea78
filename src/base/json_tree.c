/* base/json_tree.c: look-ups and building; knows no parser. */
#include <string.h>

#include "base/json.h"
#include "base/str.h"

static const char *const type_names[] = {
	[JSON_NULL] = "null",    [JSON_STRING] = "string", [JSON_INT] = "integer",
	[JSON_BOOL] = "boolean", [JSON_DOUBLE] = "number", [JSON_OBJECT] = "object",
	[JSON_ARRAY] = "array",
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
