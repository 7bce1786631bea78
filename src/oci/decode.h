/*
 * oci/decode.h: from a JSON document to C structs by tables.
 *
 * Everything that comes out lives in the arena. Unknown keys are skipped; null
 * is absent; a wrong type, range or word is ERR_INVALID whose message starts
 * with the full path: "linux.resources.cpu.shares: want an integer of 0..N, got string".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/json.h"

/* Integers and booleans whose absence matters. */
struct opt_int {
	bool set;
	int64_t value;
};
struct opt_uint {
	bool set;
	uint64_t value;
};
struct opt_bool {
	bool set, value;
};
/* Borrowed by whoever reads; at[n] == NULL. at is NULL only when the key was absent. */
struct strings {
	const char *const *at;
	size_t n;
};
struct pair {
	const char *key, *value;
};
struct pairs { /* in the order of the text */
	const struct pair *at;
	size_t n;
};

enum decode_kind {
	DECODE_STRING,   /* const char *; NULL when absent */
	DECODE_BOOL,     /* bool */
	DECODE_INT,      /* int64_t in min..max */
	DECODE_UINT,     /* uint64_t <= umax */
	DECODE_U32,      /* uint32_t */
	DECODE_OPT_INT,  /* struct opt_int in min..max */
	DECODE_OPT_UINT, /* struct opt_uint <= umax */
	DECODE_OPT_BOOL, /* struct opt_bool */
	DECODE_STRINGS,  /* struct strings; `words` limits the items */
	DECODE_U32S,     /* const uint32_t *, and a count */
	DECODE_PAIRS,    /* struct pairs */
	DECODE_STRUCT,   /* the struct itself, by `sub` */
	DECODE_POINTER,  /* pointer to a struct, NULL when absent */
	DECODE_ARRAY,    /* pointer to structs, and a count */
	DECODE_MAP,      /* the same from an object; the key goes to the const char * at offset 0 */
	DECODE_JSON,     /* const struct json * */
	DECODE_TEXT,     /* char[umax], NUL-terminated; longer text is refused */
	DECODE_DIGEST,   /* struct digest; algo == 0 when absent */
	DECODE_DIGESTS,  /* const struct digest *, and a count */
	DECODE_KEYS,     /* struct strings: the keys of an object (ExposedPorts, Volumes) */
};

enum decode_flags {
	DECODE_REQUIRED = 1 << 0,
	DECODE_NOT_EMPTY = 1 << 1,
};

struct decode_struct;

struct decode_field {
	const char *key;
	enum decode_kind kind;
	unsigned flags;
	size_t offset, count_offset;
	int64_t min, max;                /* both 0: no limit */
	uint64_t umax;                   /* 0: no limit */
	const char *const *words;        /* NULL-terminated; NULL: any */
	const struct decode_struct *sub; /* STRUCT, POINTER, ARRAY, MAP */
};

struct decode_struct {
	const struct decode_field *fields;
	size_t n_fields;
	size_t size;
};

/*
 * Fill `out` (zeroed, s->size bytes) from object j.
 *
 * root  what the document is called in messages ("manifest"), or "" for none
 */
MUST_CHECK int decode_object(struct arena *a, const struct json *j, const struct decode_struct *s,
			     const char *root, void *out, struct error *err);
/* Parse and decode, refusing more than max_bytes. */
MUST_CHECK int decode_text(struct arena *a, const char *text, size_t len, size_t max_bytes,
			   const struct decode_struct *s, const char *root, void *out,
			   struct error *err);

#define DECODE_STRUCT_OF(fields_, struct_) \
	{ \
		.fields = (fields_), .n_fields = ARRAY_LEN(fields_), .size = sizeof(struct_) \
	}
