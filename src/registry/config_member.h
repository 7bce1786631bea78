/* registry/config_member.h: one object of the configuration, read by a table. */
#pragma once

#include "base/error.h"
#include "base/json.h"

enum config_kind {
	CONFIG_TEXT,     /* const char *, not empty */
	CONFIG_ANY_TEXT, /* const char * */
	CONFIG_FLAG,     /* bool */
	CONFIG_COUNT,    /* unsigned */
	CONFIG_BYTES,    /* uint64_t, from "10GB" */
	CONFIG_DURATION, /* int64_t ns, from "24h" */
	CONFIG_NUMBER,   /* double */
	CONFIG_OTHER,    /* const struct json *, read by its own reader */
};

struct config_member {
	const char *key;
	enum config_kind kind;
	void *out;
};

/*
 * Read the members of j (NULL: none) into their places; strings live as j does.
 *
 * what  the object's name in messages, "" for the whole document
 *
 * ERR_INVALID names the member: "gc.grace: want a duration such as ...".
 */
MUST_CHECK int config_object(const struct json *j, const char *what,
			     const struct config_member *members, size_t n, struct error *err);
