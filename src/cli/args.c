/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/args.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "cli/flag_check.h"

/* The name as pflag writes it in errors: "-m, --memory". */
static const char *flag_label(struct arena *a, const struct flag *f)
{
	if (f->letter)
		return arena_format(a, "-%c, --%s", f->letter, f->name);
	return arena_format(a, "--%s", f->name);
}

static int value_check(const struct flag *f, const char *text, struct error *err)
{
	int64_t i;
	bool b;

	switch (f->type) {
	case FLAG_BOOL:
		if (parse_bool(str_of(text), &b, NULL) < 0)
			return error_set(err, ERR_INVALID,
					 "strconv.ParseBool: parsing \"%s\": invalid syntax", text);
		break;
	case FLAG_INT:
		return check_int(text, &i, err);
	case FLAG_UINT:
		return check_uint(text, INT64_MAX, &i, err);
	case FLAG_UINT16:
		return check_uint(text, UINT16_MAX, &i, err);
	case FLAG_BYTES:
		return f->check ? f->check(text, err) : check_bytes(text, &i, err);
	case FLAG_DURATION:
		return check_duration(text, &i, err);
	case FLAG_DECIMAL:
		return check_decimal(text, &i, err);
	case FLAG_FILTER:
		return check_filter(text, err);
	case FLAG_STRING:
	case FLAG_LIST:
	case FLAG_STRINGS:
	case FLAG_MAP:
	case FLAG_PLATFORM:
		break;
	}
	return f->check ? f->check(text, err) : 0;
}

/* One CSV record, as encoding/csv reads it: "a,b" and a,"b,c". */
static int strings_split(struct args *a, struct flag_value *v, const char *text, struct error *err)
{
	const char *p = text;

	if (!*text)
		return 0;
	for (;;) {
		char *out = arena_strdup(a->arena, p);
		size_t n = 0;

		if (*p == '"') {
			for (p++; *p && !(*p == '"' && p[1] != '"'); p++) {
				if (*p == '"')
					p++;
				out[n++] = *p;
			}
			if (*p++ != '"')
				return error_set(err, ERR_INVALID,
						 "parse error on line 1, column %zu: extraneous or "
						 "missing \" in quoted-field",
						 strlen(text) + 1);
		} else {
			while (*p && *p != ',')
				out[n++] = *p++;
		}
		out[n] = 0;
		*vec_push(&v->texts) = out;
		if (*p != ',')
			return 0;
		p++;
	}
}

static int value_add(struct args *a, size_t index, const char *text, struct error *err)
{
	const struct flag *f = command_flag_at(a->cmd, index);
	struct flag_value *v = &a->values[index];
	int r = value_check(f, text, err);

	if (r == 0 && f->type == FLAG_STRINGS)
		r = strings_split(a, v, text, err);
	else if (r == 0)
		*vec_push(&v->texts) = text;
	if (r < 0) {
		autofree char *why = xstrdup(err ? err->msg : "");

		return error_set(err, ERR_INVALID, "invalid argument \"%s\" for \"%s\" flag: %s",
				 text, flag_label(a->arena, f), why);
	}
	v->set = true;
	return 0;
}

/* --name, --name=value, --name value; *i is the index of the word. */
static int parse_long(struct args *a, int argc, char *const *argv, int *i, struct error *err)
{
	const char *name = argv[*i] + 2, *eq = strchr(name, '=');
	size_t len = eq ? (size_t)(eq - name) : strlen(name), index;
	const struct flag *f;

	if (len == 0 || name[0] == '-')
		return error_set(err, ERR_INVALID, "bad flag syntax: %s", argv[*i]);
	f = command_flag(a->cmd, name, len, &index);
	if (!f) {
		if (len == 4 && memcmp(name, "help", 4) == 0) {
			a->help = true;
			return 0;
		}
		return error_set(err, ERR_INVALID, "unknown flag: --%.*s", (int)len, name);
	}
	if (eq)
		return value_add(a, index, eq + 1, err);
	if (f->type == FLAG_BOOL)
		return value_add(a, index, "true", err);
	if (*i + 1 >= argc)
		return error_set(err, ERR_INVALID, "flag needs an argument: --%s", f->name);
	return value_add(a, index, argv[++*i], err);
}

/* -abc: booleans up to the first flag with a value, which takes the rest. */
static int parse_letters(struct args *a, int argc, char *const *argv, int *i, struct error *err)
{
	const char *word = argv[*i], *p;
	size_t index;
	int r;

	for (p = word + 1; *p; p++) {
		const struct flag *f = command_letter(a->cmd, *p, &index);

		if (!f && *p == 'h') {
			a->help = true;
			return 0;
		}
		if (!f)
			return error_set(err, ERR_INVALID, "unknown shorthand flag: '%c' in -%s",
					 *p, p);
		if (p[1] == '=' && p[2])
			return value_add(a, index, p + 2, err);
		if (f->type == FLAG_BOOL) {
			r = value_add(a, index, "true", err);
			if (r < 0)
				return r;
			continue;
		}
		if (p[1])
			return value_add(a, index, p + 1, err);
		if (*i + 1 >= argc)
			return error_set(err, ERR_INVALID, "flag needs an argument: '%c' in -%s",
					 *p, p);
		return value_add(a, index, argv[++*i], err);
	}
	return 0;
}

static void args_init(struct args *a, struct arena *arena, const struct command *cmd)
{
	memset(a, 0, sizeof(*a));
	a->arena = arena;
	a->cmd = cmd;
	a->values = arena_array(arena, command_n_flags(cmd) + 1, sizeof(*a->values));
}

int args_parse(struct args *a, struct arena *arena, const struct command *cmd, int argc,
	       char *const *argv, struct error *err)
{
	bool ended = (cmd->bits & COMMAND_RAW) != 0;

	args_init(a, arena, cmd);
	for (int i = 0; i < argc; i++) {
		const char *word = argv[i];
		int r = 0;

		if (ended || word[0] != '-' || !word[1]) {
			*vec_push(&a->operands) = word;
			if (cmd->bits & COMMAND_STOP)
				ended = true;
		} else if (strcmp(word, "--") == 0) {
			ended = true;
		} else if (word[1] == '-') {
			r = parse_long(a, argc, argv, &i, err);
		} else {
			r = parse_letters(a, argc, argv, &i, err);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

int args_parse_global(struct args *a, struct arena *arena, int argc, char *const *argv,
		      int *ret_used, struct error *err)
{
	int i, r;

	args_init(a, arena, &global_command);
	for (i = 0; i < argc; i++) {
		if (argv[i][0] != '-' || !argv[i][1])
			break;
		if (strcmp(argv[i], "--") == 0) {
			i++;
			break;
		}
		r = argv[i][1] == '-' ? parse_long(a, argc, argv, &i, err)
				      : parse_letters(a, argc, argv, &i, err);
		if (r < 0)
			return r;
	}
	*ret_used = i;
	return 0;
}

void args_release(struct args *a)
{
	for (size_t i = 0; a->values && i < command_n_flags(a->cmd); i++)
		vec_release(&a->values[i].texts);
	vec_release(&a->operands);
	a->values = NULL;
}

int args_check_count(const struct args *a, const char *program, struct error *err)
{
	const struct command *c = a->cmd;
	int n = (int)a->operands.len;
	const char *full = arena_format(a->arena, "%s %s", program, a->path);

	if (c->max_args == 0 && n > 0)
		return error_set(err, ERR_INVALID, "'%s' accepts no arguments", full);
	if (c->min_args == c->max_args && n != c->min_args)
		return error_set(err, ERR_INVALID, "'%s' requires %d argument%s", full, c->min_args,
				 c->min_args == 1 ? "" : "s");
	if (c->max_args < 0 && n < c->min_args)
		return error_set(err, ERR_INVALID, "'%s' requires at least %d argument%s", full,
				 c->min_args, c->min_args == 1 ? "" : "s");
	if (c->max_args >= 0 && n > c->max_args && c->min_args == 0)
		return error_set(err, ERR_INVALID, "'%s' requires at most %d argument%s", full,
				 c->max_args, c->max_args == 1 ? "" : "s");
	if (n < c->min_args || (c->max_args >= 0 && n > c->max_args))
		return error_set(err, ERR_INVALID,
				 "'%s' requires at least %d and at most %d arguments", full,
				 c->min_args, c->max_args);
	return 0;
}

static const struct flag *flag_known(const struct args *a, const char *name, size_t *ret_index)
{
	const struct flag *f = command_flag(a->cmd, name, strlen(name), ret_index);

	assert(f != NULL);
	return f;
}

bool args_has(const struct args *a, const char *name)
{
	size_t i;

	return command_flag(a->cmd, name, strlen(name), &i) != NULL;
}

bool args_set(const struct args *a, const char *name)
{
	size_t i;

	flag_known(a, name, &i);
	return a->values[i].set;
}

static const char *value_last(const struct args *a, const char *name, const struct flag **ret_flag)
{
	size_t i;
	const struct flag *f = flag_known(a, name, &i);

	if (ret_flag)
		*ret_flag = f;
	if (a->values[i].texts.len > 0)
		return a->values[i].texts.at[a->values[i].texts.len - 1];
	return f->def ? f->def : "";
}

bool args_bool(const struct args *a, const char *name)
{
	bool b = false;

	if (parse_bool(str_of(value_last(a, name, NULL)), &b, NULL) < 0)
		return false;
	return b;
}

const char *args_str(const struct args *a, const char *name)
{
	return value_last(a, name, NULL);
}

int64_t args_int(const struct args *a, const char *name)
{
	const struct flag *f;
	const char *text = value_last(a, name, &f);
	int64_t i = 0;
	int r = 0;

	if (!*text)
		return 0;
	if (f->type == FLAG_BYTES)
		r = strcmp(text, "-1") == 0 ? (i = -1, 0) : check_bytes(text, &i, NULL);
	else if (f->type == FLAG_DURATION)
		r = check_duration(text, &i, NULL);
	else if (f->type == FLAG_DECIMAL)
		r = check_decimal(text, &i, NULL);
	else
		r = check_int(text, &i, NULL);
	return r < 0 ? 0 : i;
}

size_t args_count(const struct args *a, const char *name)
{
	size_t i;

	flag_known(a, name, &i);
	return a->values[i].texts.len;
}

const char *args_nth(const struct args *a, const char *name, size_t nth)
{
	size_t i;

	flag_known(a, name, &i);
	return nth < a->values[i].texts.len ? a->values[i].texts.at[nth] : NULL;
}

const char *args_operand(const struct args *a, size_t i)
{
	return i < a->operands.len ? a->operands.at[i] : NULL;
}
