/*
 * cli/template.h: the part of Go's text/template that --format uses.
 *
 * Over JSON documents: fields, index, range, if/else/with, variables,
 * parentheses, pipes, break and continue, all built-in functions but call,
 * and the docker CLI's (json split join title lower upper pad truncate).
 * Output and texts of failures are those of Go and the docker CLI 28.
 *
 * Go sees structs and maps where we see JSON objects: the names of the maps
 * of the Engine API are known to template_value.c.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"

struct template;

/* Parse; everything lives in the arena. ERR_INVALID "template: :1: ...". */
MUST_CHECK int template_parse(struct arena *a, const char *text, struct template **ret,
			      struct error *err);

struct template_root {
	const struct json *value;
	const char *row_type;      /* "*formatter.ContainerContext": an unknown field is an error
				    * of this type; NULL: a document, fields as in a Go map */
	const struct json *labels; /* of a row, for .Label "key" */
	bool header;               /* titles of a table: functions leave text alone */
	const char *document_type; /* "system.dockerInfo": the same for a document's own fields */
};

/* Append the text to out. ERR_INVALID "template: :1:2: executing ..."; what was
 * written before the failure stays in out. */
MUST_CHECK int template_execute(struct template *t, const struct template_root *root,
				struct buf *out, struct error *err);
