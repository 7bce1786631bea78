/*
 * cli/listing.h: lists of objects, as table, JSON or by a template.
 *
 * A row is a JSON object whose keys are the names that templates use (.ID,
 * .Names); `titles` gives each its column title. Sorted by key for `json`.
 */
#pragma once

#include "base/buf.h"
#include "base/json.h"
#include "base/vec.h"
#include "cli/cli.h"

struct listing_title {
	const char *field, *title;
};

struct listing_kind {
	const char *row_type; /* Go's name, for failures: "*formatter.ContainerContext" */
	const char *table;    /* "{{.ID}}\t{{.Image}}..." */
	const char *quiet;    /* "{{.ID}}" */
	const char *raw;      /* template of --format raw; NULL: none */
	const char *raw_quiet;
	const struct listing_title *titles;
	size_t n_titles;
};

struct listing_row {
	struct json *fields;
	const struct json *labels; /* for .Label; NULL: the kind has none */
};

struct listing {
	const struct listing_kind *kind;
	VEC(struct listing_row) rows;
};

/* A new row at the end; fill its fields with json_set. */
struct json *listing_add(struct cli *cli, struct listing *l, const struct json *labels);
/* Add a string member; NULL is "". */
void row_set(struct cli *cli, struct json *row, const char *field, const char *value);
void row_setf(struct cli *cli, struct json *row, const char *field, const char *fmt, ...)
    PRINTF(4, 5);
/* Add a null member, printed as <nil>. */
void row_set_null(struct cli *cli, struct json *row, const char *field);

/*
 * Print on stdout.
 *
 * format  of --format or the configuration; NULL or "": the table
 * ERR_INVALID: "template parsing error: ..."
 */
MUST_CHECK int listing_print(struct cli *cli, struct listing *l, const char *format, bool quiet,
			     struct error *err);
void listing_release(struct listing *l);
/* Put each row's fields in the order of `json`. */
void listing_sort(struct listing *l);
/* Try a format, as typed, on an empty row. ERR_INVALID: "failed to parse template: ..." or
 * "failed to execute template: ...". Peer: `docker ps` does so before it asks the engine. */
MUST_CHECK int listing_check(struct cli *cli, const struct listing_kind *kind, const char *format,
			     struct error *err);

/* "k=v,k2=v2" sorted by key, as tables show labels. */
const char *labels_text(struct arena *a, const struct json *labels);

/* The format to use: --format when given, else the configuration's `key`,
 * which -q overrides. */
const char *format_choose(struct cli *cli, const struct args *args, const char *config_key);

/* Columns of cells separated by tabs, at least 10 wide, 3 blanks apart; the
 * last cell of a line is not padded (Go's text/tabwriter). */
void tabs_align(struct buf *out, const char *text);

/* A template that does not parse: ERR_INVALID with the same prefix, exit code 64. */
MUST_CHECK int document_check(struct cli *cli, const char *format, struct error *err);
/*
 * Print one document by --format: '' and 'json' are handled by the caller.
 *
 * type  Go's name of the document's type, whose unknown fields are an error that says so;
 *       NULL: fields as in a map, and the failure's prefix is "template parsing error: "
 */
MUST_CHECK int document_format(struct cli *cli, const char *format, const char *type,
			       const struct json *doc, struct buf *out, struct error *err);
