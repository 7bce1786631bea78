#include "build/flags.h"

#include <strings.h>

#include "base/alloc.h"

#define SUGGEST_WORD_MAX 64

static char lower(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

/* Levenshtein distance; both at most SUGGEST_WORD_MAX long. */
static unsigned distance(const char *a, const char *b, bool case_sensitive)
{
	unsigned row[SUGGEST_WORD_MAX + 1];
	size_t n = strlen(b);

	for (size_t j = 0; j <= n; j++)
		row[j] = (unsigned)j;
	for (size_t i = 0; a[i] != '\0'; i++) {
		unsigned corner = row[0];

		row[0] = (unsigned)i + 1;
		for (size_t j = 0; j < n; j++) {
			bool same = case_sensitive ? a[i] == b[j] : lower(a[i]) == lower(b[j]);
			unsigned up = row[j + 1];

			row[j + 1] = min3(up + 1, row[j] + 1, corner + !same);
			corner = up;
		}
	}
	return row[n];
}

static bool is_upper(const char *s)
{
	for (; *s != '\0'; s++) {
		if (lower(*s) != *s)
			return true;
	}
	return false;
}

static bool is_lower(const char *s)
{
	for (; *s != '\0'; s++) {
		if (*s >= 'a' && *s <= 'z')
			return true;
	}
	return false;
}

const char *suggest(struct arena *a, const char *text, const char *val, const char *const *options,
		    size_t n_options, bool case_sensitive)
{
	const char *best = NULL;
	unsigned least = 3;
	char *word;

	if (strlen(val) > SUGGEST_WORD_MAX)
		return text;
	for (size_t i = 0; i < n_options; i++) {
		unsigned d = distance(val, options[i], case_sensitive);

		if (d == 0)
			return text;
		if (d < least) {
			least = d;
			best = options[i];
		}
	}
	if (best == NULL)
		return text;
	word = arena_strdup(a, best);
	if (!case_sensitive && is_upper(val) && !is_lower(val)) {
		for (char *c = word; *c != '\0'; c++)
			*c = (char)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c);
	}
	return arena_format(a, "%s (did you mean %s?)", text, word);
}

static int flag_set(struct arena *a, struct flag_spec *f, const char *name, const char *value,
		    struct error *err)
{
	const char **more;

	if (f->value != NULL && f->type != FLAG_STRINGS)
		return error_set(err, ERR_INVALID, "duplicate flag specified: --%s", name);
	if (f->type == FLAG_BOOL) {
		if (value != NULL && value[0] == '\0')
			return error_set(err, ERR_INVALID, "missing a value on flag: --%s", name);
		if (value == NULL || strcasecmp(value, "true") == 0)
			f->value = "true";
		else if (strcasecmp(value, "false") == 0)
			f->value = "false";
		else
			return error_set(err, ERR_INVALID,
					 "expecting boolean value for flag --%s, not: %s", name,
					 value);
		return 0;
	}
	if (value == NULL)
		return error_set(err, ERR_INVALID, "missing a value on flag: --%s", name);
	f->value = value;
	if (f->type != FLAG_STRINGS)
		return 0;
	more = arena_array(a, f->values.len + 1, sizeof(*more));
	if (f->values.len > 0)
		memcpy(more, f->values.at, f->values.len * sizeof(*more));
	more[f->values.len++] = value;
	f->values.at = more;
	return 0;
}

static int unknown_flag(struct arena *a, const char *name, const struct flag_spec *specs,
			size_t n_specs, struct error *err)
{
	const char **names = arena_array(a, n_specs + 1, sizeof(*names));
	const char *text = arena_format(a, "unknown flag: --%s", name);

	for (size_t i = 0; i < n_specs; i++)
		names[i] = specs[i].name;
	return error_set(err, ERR_INVALID, "%s", suggest(a, text, name, names, n_specs, true));
}

int flags_parse(struct arena *a, const struct ast_node *n, struct flag_spec *specs, size_t n_specs,
		struct error *err)
{
	int r;

	for (size_t i = 0; i < n->n_flags; i++) {
		const char *arg = n->flags[i], *eq, *name;
		struct flag_spec *found = NULL;

		if (strcmp(arg, "--") == 0)
			return 0;
		if (!cstr_starts(arg, "--"))
			return error_set(err, ERR_INVALID, "arg should start with -- : %s", arg);
		arg += 2;
		eq = strchr(arg, '=');
		name = eq ? arena_strndup(a, arg, (size_t)(eq - arg)) : arg;
		for (size_t j = 0; j < n_specs; j++) {
			if (strcmp(specs[j].name, name) == 0)
				found = &specs[j];
		}
		if (found == NULL)
			return unknown_flag(a, name, specs, n_specs, err);
		r = flag_set(a, found, name, eq ? eq + 1 : NULL, err);
		if (r < 0)
			return r;
	}
	return 0;
}
