/*
 * base/json.h: JSON in.
 *
 * Spec: RFC 8259. Stricter where a peer could play two readers against each
 * other: duplicate keys, NUL in strings, invalid UTF-8 and trailing bytes are
 * ERR_INVALID; depth is limited to 64, the number of values to 65,536 and one for
 * every 16 bytes. Errors end with "line L, column C".
 * Integers outside of int64_t become JSON_DOUBLE; up to UINT64_MAX `u` holds
 * the exact value.
 *
 * The only file that knows the parsing library (jansson) is json.c. A document
 * lives in an arena; nothing in it is freed on its own. Documents that have a
 * digest (manifests, configs) are stored and sent as the bytes that arrived,
 * never as the output of a writer.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

enum json_type {
	JSON_NULL = 0,
	JSON_STRING,
	JSON_INT,
	JSON_BOOL,
	JSON_DOUBLE,
	JSON_OBJECT,
	JSON_ARRAY,
};

struct json_member;

struct json {
	enum json_type type;
	union {
		bool b;
		int64_t i;
		struct {
			double d;
			uint64_t u; /* the exact value of an integer above INT64_MAX, else 0 */
		};
		struct {
			const char *s; /* NUL-terminated, UTF-8, no NUL inside */
			size_t s_len;
		};
		struct { /* array */
			struct json **items;
			size_t n_items;
		};
		struct { /* object, in the order of the text */
			struct json_member *members;
			size_t n_members;
		};
	};
};

struct json_member {
	const char *key;
	struct json *value;
};

/* "string", "integer" ... for error texts. */
const char *json_type_name(enum json_type type);

/* The document does not borrow `text`. max ceiling: the caller's (len). */
MUST_CHECK int json_parse(struct arena *a, const char *text, size_t len, const struct json **ret,
			  struct error *err);

/* Borrowed look-ups; all take j == NULL and wrong types as "absent". */
const struct json *json_get(const struct json *j, const char *key); /* NULL when absent or null */
const struct json *json_path(const struct json *j, const char *dotted); /* "HostConfig.Memory" */
const char *json_str(const struct json *j, const char *key);            /* NULL when absent */
int64_t json_int(const struct json *j, const char *key, int64_t def);
bool json_bool(const struct json *j, const char *key, bool def);
/* As Go's encoding/json does: exact name first, else ignoring ASCII case. For
 * bodies of API clients only, never for documents with a digest. */
const struct json *json_get_nocase(const struct json *j, const char *key);

#define json_for_each_item(v, j) \
	for (size_t v##_i = 0; (j) && (j)->type == JSON_ARRAY && v##_i < (j)->n_items; v##_i++) \
		for (const struct json *v = (j)->items[v##_i]; v; v = NULL)
#define json_for_each_member(m, j) \
	for (const struct json_member *m = (j) && (j)->type == JSON_OBJECT ? (j)->members : NULL; \
	     m && m < (j)->members + (j)->n_members; m++)

/* Built documents, for merging and templates: new nodes in the arena. */
struct json *json_new_object(struct arena *a);
struct json *json_new_array(struct arena *a);
struct json *json_new_string(struct arena *a, const char *s);
struct json *json_new_int(struct arena *a, int64_t i);
struct json *json_new_bool(struct arena *a, bool b);
void json_set(struct arena *a, struct json *object, const char *key, struct json *value);
void json_push(struct arena *a, struct json *array, struct json *value);
