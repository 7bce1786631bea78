/*
 * engine/body_check.h: the types of what clients send, before anybody reads it. A member of the
 * wrong type is refused as Go's decoder refuses it, not taken for absent.
 */
#pragma once

#include "base/error.h"

struct json;

/*
 * body  the document of the request; NULL passes, null is accepted anywhere
 *
 * ERR_INVALID names the member and both types. Members that no table has are free.
 */
MUST_CHECK int body_check_container(const struct json *body, struct error *err);
MUST_CHECK int body_check_config(const struct json *body, struct error *err); /* of a commit */
MUST_CHECK int body_check_update(const struct json *body, struct error *err);
MUST_CHECK int body_check_exec(const struct json *body, struct error *err);
MUST_CHECK int body_check_exec_start(const struct json *body, struct error *err);
MUST_CHECK int body_check_network(const struct json *body, struct error *err);
MUST_CHECK int body_check_connect(const struct json *body, struct error *err); /* and disconnect */
MUST_CHECK int body_check_volume(const struct json *body, struct error *err);

/* What the error calls the value's type. */
const char *json_go_name(const struct json *v);
