#include "main/settings.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/str.h"

#define CONFIG_MAX (1024 * 1024)

static const char *option_name(const struct option *o)
{
	return o->flag ? o->flag : o->key;
}

static size_t find(const char *name)
{
	for (size_t i = 0; i < settings_n_options; i++)
		if (strcmp(option_name(&settings_options[i]), name) == 0)
			return i;
	return settings_n_options;
}

static void add_value(struct settings *s, size_t i, const char *value)
{
	struct setting *set = &s->at[i];
	enum option_type type = settings_options[i].type;
	const char **values;

	if (type != OPTION_LIST && type != OPTION_MAP)
		set->n = 0;
	values = arena_array(&s->arena, set->n + 2, sizeof(*values));
	if (set->n > 0)
		memcpy(values, set->values, set->n * sizeof(*values));
	values[set->n++] = arena_strdup(&s->arena, value);
	set->values = values;
}

/* Is the value one that the type can hold? */
static int check_value(const struct option *o, const char *value, struct error *err)
{
	struct str s = str_of(value);
	int64_t n;
	bool b;
	int r = 0;

	switch (o->type) {
	case OPTION_BOOL:
		r = parse_bool(s, &b, err);
		break;
	case OPTION_INT:
		r = parse_i64(s, INT32_MIN, INT32_MAX, &n, err);
		break;
	case OPTION_SIZE:
		r = parse_size(s, &n, err);
		break;
	case OPTION_MAP:
		if (str_find(s, '=') <= 0)
			r = error_set(err, ERR_INVALID, "want NAME=VALUE");
		break;
	case OPTION_STRING:
	case OPTION_LIST:
	case OPTION_OBJECT:
		break;
	}
	return r < 0 ? error_wrap(err, r, "invalid argument \"%s\" for \"--%s\" flag", value,
				  option_name(o))
		     : 0;
}

static bool is_default(const struct option *o, const char *value)
{
	bool b;

	if (o->def && strcmp(o->def, value) == 0)
		return true;
	return o->type == OPTION_BOOL && parse_bool(str_of(value), &b, NULL) == 0 && !b;
}

static int take_value(struct settings *s, size_t i, const char *value, struct error *err)
{
	const struct option *o = &settings_options[i];
	int r = check_value(o, value, err);
	bool b;

	if (r < 0)
		return r;
	if (o->use == USE_REFUSED && !is_default(o, value))
		return error_set(err, ERR_UNIMPLEMENTED, "%s is not supported yet", option_name(o));
	if (o->type == OPTION_BOOL && parse_bool(str_of(value), &b, NULL) == 0)
		value = b ? "true" : "false";
	add_value(s, i, value);
	return 0;
}

static int flag_value(struct settings *s, size_t i, const char *value, struct error *err)
{
	int r = take_value(s, i, value, err);

	s->at[i].by_flag = true;
	return r;
}

/* "--name", "--name=value", "--name value" */
static int read_long(struct settings *s, int argc, char **argv, int *at, struct error *err)
{
	const char *text = argv[*at] + 2;
	const char *equals = strchr(text, '=');
	size_t len = equals ? (size_t)(equals - text) : strlen(text);

	if (strcmp(text, "help") == 0 || strcmp(text, "version") == 0) {
		s->help = s->help || text[0] == 'h';
		s->version = s->version || text[0] == 'v';
		return 0;
	}
	for (size_t i = 0; i < settings_n_options; i++) {
		const char *flag = settings_options[i].flag;

		if (flag == NULL || strlen(flag) != len || memcmp(flag, text, len) != 0)
			continue;
		if (equals)
			return flag_value(s, i, equals + 1, err);
		if (settings_options[i].type == OPTION_BOOL)
			return flag_value(s, i, "true", err);
		if (*at + 1 >= argc)
			return error_set(err, ERR_INVALID, "flag needs an argument: --%s", flag);
		return flag_value(s, i, argv[++*at], err);
	}
	return error_set(err, ERR_INVALID, "unknown flag: --%.*s", (int)len, text);
}

/* "-D", "-Dl debug", "-Hunix:///x", "-H=unix:///x" */
static int read_short(struct settings *s, int argc, char **argv, int *at, struct error *err)
{
	for (const char *p = argv[*at] + 1; *p; p++) {
		size_t i = 0;
		int r;

		if (*p == 'h' || *p == 'v') {
			s->help = s->help || *p == 'h';
			s->version = s->version || *p == 'v';
			continue;
		}
		while (i < settings_n_options && settings_options[i].letter != *p)
			i++;
		if (i == settings_n_options)
			return error_set(err, ERR_INVALID, "unknown shorthand flag: '%c' in %s", *p,
					 argv[*at]);
		if (settings_options[i].type == OPTION_BOOL) {
			r = flag_value(s, i, "true", err);
			if (r < 0)
				return r;
			continue;
		}
		if (p[1])
			return flag_value(s, i, p[1] == '=' ? p + 2 : p + 1, err);
		if (*at + 1 >= argc)
			return error_set(err, ERR_INVALID, "flag needs an argument: '%c' in %s", *p,
					 argv[*at]);
		return flag_value(s, i, argv[++*at], err);
	}
	return 0;
}

int settings_read_flags(struct settings *s, int argc, char **argv, struct error *err)
{
	int r = 0;

	*s = (struct settings){ .arena = ARENA_INIT };
	s->at = arena_array(&s->arena, settings_n_options, sizeof(*s->at));
	for (int i = 1; i < argc && r == 0; i++) {
		if (strncmp(argv[i], "--", 2) == 0 && argv[i][2])
			r = read_long(s, argc, argv, &i, err);
		else if (argv[i][0] == '-' && argv[i][1] && argv[i][1] != '-')
			r = read_short(s, argc, argv, &i, err);
		else
			r = error_set(err, ERR_INVALID, "\"proad\" accepts no arguments");
	}
	return r;
}

void settings_release(struct settings *s)
{
	arena_release(&s->arena);
	*s = (struct settings){ 0 };
}

/* One member's value as text; arrays and objects as several. */
static int file_value(struct settings *s, size_t i, const struct json *v, struct error *err)
{
	const struct option *o = &settings_options[i];
	char number[32];
	int r = 0;

	if (o->type == OPTION_LIST && v->type == JSON_ARRAY) {
		json_for_each_item (item, v) {
			if (item->type != JSON_STRING)
				return error_set(err, ERR_INVALID, "%s: want an array of strings",
						 o->key);
			r = take_value(s, i, item->s, err);
			if (r < 0)
				return r;
		}
		return 0;
	}
	if (o->type == OPTION_MAP && v->type == JSON_OBJECT) {
		json_for_each_member (m, v) {
			if (m->value->type != JSON_STRING)
				return error_set(err, ERR_INVALID, "%s.%s: want a string", o->key,
						 m->key);
			r = take_value(s, i, arena_format(&s->arena, "%s=%s", m->key, m->value->s),
				       err);
			if (r < 0)
				return r;
		}
		return 0;
	}
	if (o->type == OPTION_BOOL && v->type == JSON_BOOL)
		return take_value(s, i, v->b ? "true" : "false", err);
	if ((o->type == OPTION_INT || o->type == OPTION_SIZE) && v->type == JSON_INT) {
		snprintf(number, sizeof(number), "%lld", (long long)v->i);
		return take_value(s, i, number, err);
	}
	if ((o->type == OPTION_STRING || o->type == OPTION_SIZE) && v->type == JSON_STRING)
		return take_value(s, i, v->s, err);
	return error_set(err, ERR_INVALID, "%s: wrong type of value", o->key);
}

static size_t find_key(const char *key)
{
	for (size_t i = 0; i < settings_n_options; i++)
		if (settings_options[i].key && strcmp(settings_options[i].key, key) == 0)
			return i;
	return settings_n_options;
}

/* Every key must be known, and none may be a flag as well. */
static int check_keys(struct settings *s, struct error *err)
{
	auto_(buf) unknown = BUF_INIT(900);
	auto_(buf) twice = BUF_INIT(900);

	json_for_each_member (m, s->file) {
		size_t i = find_key(m->key);

		if (i == settings_n_options)
			(void)!buf_addf(&unknown, NULL, "%s%s", unknown.len ? ", " : "", m->key);
		else if (s->at[i].by_flag)
			(void)!buf_addf(&twice, NULL, "%s%s: (from flag: %s)",
					twice.len ? ", " : "", m->key, s->at[i].values[0]);
	}
	if (unknown.len > 0)
		return error_set(
		    err, ERR_INVALID,
		    "the following directives don't match any configuration option: %s",
		    unknown.data);
	if (twice.len > 0)
		return error_set(err, ERR_INVALID,
				 "the following directives are specified both as a flag and in the "
				 "configuration file: %s",
				 twice.data);
	return 0;
}

static int read_members(struct settings *s, struct error *err)
{
	int r = check_keys(s, err);

	if (r < 0)
		return r;
	json_for_each_member (m, s->file) {
		size_t i = find_key(m->key);
		const struct option *o = &settings_options[i];

		if (m->value->type == JSON_NULL)
			continue;
		s->at[i].by_file = true;
		if (o->type == OPTION_OBJECT && o->use == USE_REFUSED)
			return error_set(err, ERR_UNIMPLEMENTED, "%s is not supported yet", o->key);
		if (o->type == OPTION_OBJECT)
			continue;
		r = file_value(s, i, m->value, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int settings_read_file(struct settings *s, struct error *err)
{
	const char *path = settings_str(s, "config-file");
	auto_(buf) text = BUF_INIT(CONFIG_MAX);
	struct error why;
	int r;

	r = fs_read_file(path, &text, &why);
	if (r == -ERR_NOT_FOUND && !settings_given(s, "config-file"))
		return 0;
	if (r == 0 && str_trim((struct str){ text.data ? text.data : "", text.len }).len == 0)
		return 0;
	if (r == 0)
		r = json_parse(&s->arena, text.data, text.len, &s->file, &why);
	if (r == 0 && s->file->type != JSON_OBJECT)
		r = error_set(&why, ERR_INVALID, "want an object");
	if (r == 0)
		r = read_members(s, &why);
	if (r < 0)
		return error_set(err, why.kind,
				 "unable to configure the Docker daemon with file %s: %s", path,
				 why.msg);
	return 0;
}

void settings_print_help(void)
{
	printf("Usage:  proad [OPTIONS]\n\nThe proa engine: serves the Docker Engine API.\n\n"
	       "Options:\n");
	for (size_t i = 0; i < settings_n_options; i++) {
		const struct option *o = &settings_options[i];
		static const char *const types[] = {
			"string", "", "int", "bytes", "list", "map", ""
		};
		char name[64];

		if (o->flag == NULL)
			continue;
		snprintf(name, sizeof(name), "--%s %s", o->flag, types[o->type]);
		printf("  %c%c%c %-40s %s%s%s%s%s\n", o->letter ? '-' : ' ',
		       o->letter ? o->letter : ' ', o->letter ? ',' : ' ', name, o->help,
		       o->def ? " (default " : "", o->def ? o->def : "", o->def ? ")" : "",
		       o->use == USE_REFUSED ? " [not supported yet]" : "");
	}
	printf("  -v, %-40s Print the version and quit\n", "--version");
}

bool settings_given(const struct settings *s, const char *name)
{
	size_t i = find(name);

	return i < settings_n_options && (s->at[i].by_flag || s->at[i].by_file);
}

const char *settings_str(const struct settings *s, const char *name)
{
	size_t i = find(name);

	if (i == settings_n_options)
		return NULL;
	return s->at[i].n > 0 ? s->at[i].values[0] : settings_options[i].def;
}

bool settings_bool(const struct settings *s, const char *name, bool def)
{
	size_t i = find(name);

	return i < settings_n_options && s->at[i].n > 0 ? s->at[i].values[0][0] == 't' : def;
}

int64_t settings_int(const struct settings *s, const char *name, int64_t def)
{
	size_t i = find(name);
	int64_t n = def;

	if (i == settings_n_options || s->at[i].n == 0)
		return def;
	if (settings_options[i].type == OPTION_SIZE)
		(void)!parse_size(str_of(s->at[i].values[0]), &n, NULL);
	else
		(void)!parse_i64(str_of(s->at[i].values[0]), INT32_MIN, INT32_MAX, &n, NULL);
	return n;
}

const char *const *settings_list(const struct settings *s, const char *name)
{
	size_t i = find(name);

	return i < settings_n_options && s->at[i].n > 0 ? s->at[i].values : NULL;
}
