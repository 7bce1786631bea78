/*
 * oci/reference.h: the name of an image: [domain/]path[:tag][@digest].
 *
 * Spec: distribution/reference v0.6, grammar and normalisation: no domain is
 * docker.io, one path component there is below library/. A value without
 * pointers. Error texts are Docker's.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "oci/digest.h"

#define REFERENCE_NAME_MAX       256 /* of the domain and of the path, with the NUL */
#define REFERENCE_TAG_MAX        129
#define REFERENCE_TEXT_MAX       (2 * REFERENCE_NAME_MAX + REFERENCE_TAG_MAX + DIGEST_TEXT_MAX + 2)
#define REFERENCE_DEFAULT_DOMAIN "docker.io"

struct reference {
	char domain[REFERENCE_NAME_MAX]; /* "docker.io", "localhost:5000" */
	char path[REFERENCE_NAME_MAX];   /* "library/ubuntu" */
	char tag[REFERENCE_TAG_MAX];     /* "" when absent */
	struct digest digest;            /* algo == 0 when absent */
};

/*
 * Parse and normalise what a user typed.
 *
 * ERR_INVALID "invalid reference format", "... repository name (x) must be
 * lowercase", "invalid repository name (x), cannot specify 64-byte
 * hexadecimal strings" and so on.
 */
MUST_CHECK int reference_parse(const char *text, struct reference *ret, struct error *err);
/* The same; neither tag nor digest gives the tag "latest". */
MUST_CHECK int reference_parse_tagged(const char *text, struct reference *ret, struct error *err);

bool reference_has_tag(const struct reference *r);
bool reference_has_digest(const struct reference *r);
void reference_set_tag(struct reference *r, const char *tag); /* valid, or "" */

/* Canonical: "docker.io/library/ubuntu", and with ":tag" and "@digest". */
void reference_name(const struct reference *r, char out[static REFERENCE_TEXT_MAX]);
void reference_format(const struct reference *r, char out[static REFERENCE_TEXT_MAX]);
/* Familiar, as `docker images` prints: "ubuntu", "ubuntu:tag@digest". */
void reference_familiar_name(const struct reference *r, char out[static REFERENCE_TEXT_MAX]);
void reference_familiar(const struct reference *r, char out[static REFERENCE_TEXT_MAX]);

/*
 * Docker's filter reference=PATTERN: Go's path.Match against the familiar
 * text, or against the familiar name alone. ERR_INVALID "syntax error in pattern".
 */
MUST_CHECK int reference_match(const struct reference *r, const char *pattern, bool *ret,
			       struct error *err);
/* Go's path.Match: '*' and '?' stop at '/', [a-z], [^a-z], '\\'. */
MUST_CHECK int glob_match(const char *pattern, const char *text, bool *ret, struct error *err);
