/*
 * remote/challenge.h: what a WWW-Authenticate header asks for.
 *
 * Spec: RFC 9110, 11.6.1; Docker Registry Token Authentication.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

enum { CHALLENGE_TEXT_MAX = 1024 };

struct challenge {
	bool basic, bearer; /* which schemes it names */
	char realm[CHALLENGE_TEXT_MAX], service[CHALLENGE_TEXT_MAX], scope[CHALLENGE_TEXT_MAX];
	char error[CHALLENGE_TEXT_MAX]; /* of Bearer: "insufficient_scope" */
};

/* Schemes and parameters it does not know are passed over. ERR_INVALID when the
 * text is malformed or a value is too long. */
MUST_CHECK int challenge_parse(const char *header, struct challenge *ret, struct error *err);
