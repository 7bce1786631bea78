#include "build/instruction.h"

#include <strings.h>

#include "build/ast_args.h"
#include "build/text.h"

static const char *const type_names[] = { "bind", "cache", "tmpfs", "secret", "ssh" };

struct field {
	struct arena *arena;
	struct run_mount *m;
	const char *key, *value, *whole;
	bool ro_given;
};

/* One CSV record, RFC 4180 quoting. */
static int split_csv(struct arena *a, const char *s, struct word_list *out, struct error *err)
{
	for (;;) {
		auto_(text) t = TEXT_INIT;
		bool quoted = *s == '"';

		if (quoted) {
			for (s++; *s != '\0' && (*s != '"' || s[1] == '"'); s++) {
				s += *s == '"';
				text_add(&t, s, 1);
			}
			if (*s != '"')
				return error_set(err, ERR_INVALID,
						 "extraneous or missing \" in "
						 "quoted-field");
			s++;
			if (*s != ',' && *s != '\0')
				return error_set(err, ERR_INVALID,
						 "extraneous or missing \" in "
						 "quoted-field");
		} else {
			size_t n = strcspn(s, ",");

			if (memchr(s, '"', n) != NULL)
				return error_set(err, ERR_INVALID, "bare \" in non-quoted-field");
			text_add(&t, s, n);
			s += n;
		}
		word_list_add(a, out, text_dup(&t, a));
		if (*s == '\0')
			return 0;
		s++;
	}
}

static int unexpected(const struct field *f, struct error *err)
{
	return error_set(err, ERR_INVALID, "unexpected key '%s' for mount type '%s'", f->key,
			 type_names[f->m->type]);
}

static int set_bare(struct field *f, struct error *err)
{
	if (strcmp(f->key, "readonly") == 0 || strcmp(f->key, "ro") == 0) {
		f->m->read_only = f->ro_given = true;
		return 0;
	}
	if (strcmp(f->key, "readwrite") == 0 || strcmp(f->key, "rw") == 0) {
		f->m->read_only = false;
		f->ro_given = true;
		return 0;
	}
	if (strcmp(f->key, "required") == 0) {
		if (f->m->type != MOUNT_SECRET && f->m->type != MOUNT_SSH)
			return unexpected(f, err);
		f->m->required = true;
		return 0;
	}
	return error_set(err, ERR_INVALID, "invalid field '%s' must be a key=value pair", f->whole);
}

static int set_type(struct field *f, struct error *err)
{
	for (size_t i = 0; i < ARRAY_LEN(type_names); i++) {
		if (strcasecmp(f->value, type_names[i]) == 0) {
			f->m->type = (enum mount_type)i;
			return 0;
		}
	}
	return error_set(err, ERR_INVALID, "%s",
			 suggest(f->arena,
				 arena_format(f->arena, "unsupported mount type %s",
					      text_quote(f->arena, f->value)),
				 f->value, type_names, ARRAY_LEN(type_names), true));
}

static int set_bool(struct field *f, bool *ret, struct error *err)
{
	if (parse_bool(str_of(f->value), ret, NULL) < 0)
		return error_set(err, ERR_INVALID, "invalid value for %s: %s", f->key, f->value);
	return 0;
}

static int invalid_number(struct field *f, struct error *err)
{
	return error_set(err, ERR_INVALID, "invalid value %s for %s", f->value, f->key);
}

static int set_id(struct field *f, int64_t *out, struct error *err)
{
	uint64_t n;

	if (parse_u64(str_of(f->value), UINT32_MAX, &n, NULL) < 0)
		return invalid_number(f, err);
	*out = (int64_t)n;
	return 0;
}

static int set_mode(struct field *f, struct error *err)
{
	uint64_t n;

	if (parse_octal(str_of(f->value), RUN_MOUNT_MODE_MAX, &n, NULL) < 0)
		return invalid_number(f, err);
	f->m->mode = (int64_t)n;
	return 0;
}

static int set_sharing(struct field *f, struct error *err)
{
	static const char *const modes[] = { "shared", "private", "locked" };

	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		if (strcasecmp(f->value, modes[i]) == 0) {
			f->m->sharing = modes[i];
			return 0;
		}
	}
	return error_set(err, ERR_INVALID, "%s",
			 suggest(f->arena,
				 arena_format(f->arena, "unsupported sharing value %s",
					      text_quote(f->arena, f->value)),
				 f->value, modes, ARRAY_LEN(modes), true));
}

static int set_size(struct field *f, struct error *err)
{
	if (f->m->type != MOUNT_TMPFS)
		return unexpected(f, err);
	if (parse_size(str_of(f->value), &f->m->size_limit, NULL) < 0)
		return error_set(err, ERR_INVALID, "invalid value for %s: %s", f->key, f->value);
	return 0;
}

static bool is_key(const struct field *f, const char *a, const char *b, const char *c)
{
	return strcmp(f->key, a) == 0 || (b && strcmp(f->key, b) == 0) ||
	       (c && strcmp(f->key, c) == 0);
}

static int unknown_key(const struct field *f, struct error *err)
{
	static const char *const keys[] = {
		"type",        "from", "source", "target",    "readonly", "id",  "sharing",
		"required",    "size", "mode",   "uid",       "gid",      "src", "dst",
		"destination", "ro",   "rw",     "readwrite", "env",
	};
	const char *text = arena_format(f->arena, "unexpected key '%s' in '%s'", f->key, f->whole);

	return error_set(err, ERR_INVALID, "%s",
			 suggest(f->arena, text, f->key, keys, ARRAY_LEN(keys), true));
}

static int set_flag(struct field *f, struct error *err)
{
	bool b;
	int r;

	if (is_key(f, "required", NULL, NULL) && f->m->type != MOUNT_SECRET &&
	    f->m->type != MOUNT_SSH)
		return unexpected(f, err);
	r = set_bool(f, &b, err);
	if (r < 0)
		return r;
	if (is_key(f, "required", NULL, NULL)) {
		f->m->required = b;
		return 0;
	}
	f->m->read_only = is_key(f, "readonly", "ro", NULL) ? b : !b;
	f->ro_given = true;
	return 0;
}

static int set_field(struct field *f, struct error *err)
{
	struct run_mount *m = f->m;

	if (is_key(f, "type", NULL, NULL))
		return set_type(f, err);
	if (is_key(f, "from", NULL, NULL))
		m->from = f->value;
	else if (is_key(f, "source", "src", NULL))
		m->source = f->value;
	else if (is_key(f, "target", "dst", "destination"))
		m->target = f->value;
	else if (is_key(f, "id", NULL, NULL))
		m->id = f->value;
	else if (is_key(f, "readonly", "ro", "required") || is_key(f, "readwrite", "rw", NULL))
		return set_flag(f, err);
	else if (is_key(f, "size", NULL, NULL))
		return set_size(f, err);
	else if (is_key(f, "sharing", NULL, NULL))
		return set_sharing(f, err);
	else if (is_key(f, "mode", NULL, NULL))
		return set_mode(f, err);
	else if (is_key(f, "uid", NULL, NULL))
		return set_id(f, &m->uid, err);
	else if (is_key(f, "gid", NULL, NULL))
		return set_id(f, &m->gid, err);
	else if (is_key(f, "env", NULL, NULL) && m->type == MOUNT_SECRET)
		m->env = f->value;
	else if (is_key(f, "env", NULL, NULL))
		return unexpected(f, err);
	else
		return unknown_key(f, err);
	return 0;
}

static bool has_variable(const char *s)
{
	for (; *s != '\0'; s++) {
		if (*s == '$' && s[1] != '\0' && s[1] != '\n')
			return true;
	}
	return false;
}

static int one_field(struct field *f, mount_expand_fn expand, void *ctx, struct error *err)
{
	const char *eq = strchr(f->whole, '=');
	char *key =
	    arena_strndup(f->arena, f->whole, eq ? (size_t)(eq - f->whole) : strlen(f->whole));
	int r;

	for (char *c = key; *c != '\0'; c++)
		*c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
	f->key = key;
	if (eq == NULL)
		return expand == NULL ? 0 : set_bare(f, err);
	f->value = eq + 1;
	if (expand == NULL) {
		if (strcmp(key, "from") != 0)
			return 0;
		if (has_variable(f->value))
			return error_set(err, ERR_INVALID,
					 "'%s' doesn't support variable expansion, define alias "
					 "stage instead",
					 key);
	} else {
		r = expand(ctx, f->value, &f->value, err);
		if (r < 0)
			return r;
	}
	return set_field(f, err);
}

static int check_mount(const struct run_mount *m, struct error *err)
{
	const char *type = type_names[m->type];
	bool owned = m->type == MOUNT_SECRET || m->type == MOUNT_SSH || m->type == MOUNT_CACHE;

	if (!owned && m->mode >= 0)
		return error_set(err, ERR_INVALID, "mode not allowed for \"%s\" type mounts", type);
	if (!owned && m->uid >= 0)
		return error_set(err, ERR_INVALID, "uid not allowed for \"%s\" type mounts", type);
	if (!owned && m->gid >= 0)
		return error_set(err, ERR_INVALID, "gid not allowed for \"%s\" type mounts", type);
	if (m->sharing != NULL && m->type != MOUNT_CACHE)
		return error_set(err, ERR_INVALID, "invalid cache sharing set for %s mount", type);
	if (m->type != MOUNT_SECRET)
		return 0;
	if (m->from != NULL)
		return error_set(err, ERR_INVALID, "secret mount should not have a from");
	if (m->source == NULL && m->target == NULL && m->id == NULL)
		return error_set(err, ERR_INVALID,
				 "invalid secret mount. one of source, target required");
	if (m->source != NULL && m->id != NULL)
		return error_set(err, ERR_INVALID, "both source and id can't be set");
	return 0;
}

int run_mount_parse(struct arena *a, const char *value, mount_expand_fn expand, void *ctx,
		    struct run_mount *ret, struct error *err)
{
	struct run_mount m = { .mode = -1, .uid = -1, .gid = -1 };
	struct field f = { .arena = a, .m = &m };
	struct word_list fields = { 0 };
	int r = split_csv(a, value, &fields, err);

	if (r < 0)
		return error_wrap(err, r, "failed to parse csv mounts");
	for (size_t i = 0; i < fields.len; i++) {
		f.whole = fields.at[i];
		r = one_field(&f, expand, ctx, err);
		if (r < 0)
			return r;
	}
	if (!f.ro_given)
		m.read_only = m.type != MOUNT_CACHE && m.type != MOUNT_TMPFS;
	if (expand != NULL) {
		r = check_mount(&m, err);
		if (r < 0)
			return r;
	}
	*ret = m;
	return 0;
}
