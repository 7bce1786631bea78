#include "build/ast_args.h"

#include <strings.h>

#include "base/json.h"
#include "build/rune.h"
#include "build/text.h"

void word_list_add(struct arena *a, struct word_list *l, const char *word)
{
	if (l->len == l->cap) {
		const char **at;

		l->cap = l->cap ? l->cap * 2 : 4;
		at = arena_array(a, l->cap, sizeof(*at));
		if (l->len > 0)
			memcpy(at, l->at, l->len * sizeof(*at));
		l->at = at;
	}
	l->at[l->len++] = word;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\v' || c == '\f' || c == '\r';
}

static struct str trim_left(struct str s)
{
	size_t width;

	while (s.len > 0 && rune_is_space(rune_decode(s, &width)))
		s = str_sub(s, width, s.len);
	return s;
}

static struct str trim_spaces(struct str s)
{
	s = trim_left(s);
	while (s.len > 0) {
		size_t at = s.len - 1, width;

		while (at > 0 && s.len - at < 4 && ((unsigned char)s.at[at] & 0xC0) == 0x80)
			at--;
		if (!rune_is_space(rune_decode(str_sub(s, at, s.len), &width)))
			break;
		s.len = at;
	}
	return s;
}

/* The state of a hand-written splitter over a line's bytes. */
struct splitter {
	struct arena *arena;
	struct text word;
	struct word_list words;
	bool blank_ok; /* a quoted empty word counts */
};

static void splitter_flush(struct splitter *s)
{
	if (s->blank_ok || s->word.len > 0)
		word_list_add(s->arena, &s->words, text_dup(&s->word, s->arena));
	text_clear(&s->word);
	s->blank_ok = false;
}

/*
 * Flags are the leading words that start with "--". Bytes are taken one by one
 * as Latin-1, because that is what the reference does.
 */
static size_t read_flag(struct splitter *s, const char *line, size_t at, size_t len)
{
	char quote = '\0';

	for (; at < len; at++) {
		unsigned char c = (unsigned char)line[at];

		if (quote == '\0' && rune_is_space(c))
			break;
		if (quote == '\0' && (c == '\'' || c == '"')) {
			quote = (char)c;
			s->blank_ok = true;
			continue;
		}
		if (quote != '\0' && c == (unsigned char)quote) {
			quote = '\0';
			continue;
		}
		if (c == '\\') {
			if (at + 1 == len) {
				quote = '\0';
				continue;
			}
			c = (unsigned char)line[++at];
		}
		text_add_rune(&s->word, c);
	}
	return at;
}

static const char *extract_flags(struct arena *a, const char *line, struct word_list *flags)
{
	struct splitter s = { .arena = a };
	size_t len = strlen(line), at = 0;
	const char *rest = "";

	while (at < len) {
		unsigned char c = (unsigned char)line[at];

		if (rune_is_space(c)) {
			at++;
			continue;
		}
		if (c != '-' || line[at + 1] != '-') {
			rest = line + at;
			break;
		}
		at = read_flag(&s, line, at, len);
		if (s.word.len == 2 && memcmp(s.word.at, "--", 2) == 0) {
			rest = line + at;
			break;
		}
		splitter_flush(&s);
	}
	text_release(&s.word);
	*flags = s.words;
	return rest;
}

void ast_split_command(struct arena *a, const char *line, struct ast_node *n, const char **ret_rest)
{
	struct str s = trim_spaces(str_of(line));
	struct word_list flags = { 0 };
	size_t end = 0, rest;

	while (end < s.len && !is_blank(s.at[end]))
		end++;
	for (rest = end; rest < s.len && is_blank(s.at[rest]);)
		rest++;
	n->value = arena_strndup(a, s.at, end);
	*ret_rest = "";
	if (end < s.len) {
		const char *args = arena_strndup(a, s.at + rest, s.len - rest);
		struct str trimmed = trim_spaces(str_of(extract_flags(a, args, &flags)));

		*ret_rest = arena_strndup(a, trimmed.at, trimmed.len);
	}
	n->flags = flags.at;
	n->n_flags = flags.len;
}

static void split_blanks(struct arena *a, const char *rest, struct word_list *words)
{
	for (;;) {
		size_t n = 0;

		while (rest[n] != '\0' && !is_blank(rest[n]))
			n++;
		word_list_add(a, words, arena_strndup(a, rest, n));
		if (rest[n] == '\0')
			return;
		rest += n;
		while (is_blank(*rest))
			rest++;
	}
}

/* NAME=VALUE words: quotes and escapes group, and stay in the words. */
static void split_words(struct arena *a, const char *line, char escape, struct word_list *words)
{
	struct splitter s = { .arena = a };
	struct str rest = str_of(line);
	uint32_t quote = 0, esc = (unsigned char)escape;
	size_t width;

	while (rest.len > 0) {
		uint32_t c = rune_decode(rest, &width);

		rest = str_sub(rest, width, rest.len);
		if (quote == 0 && rune_is_space(c)) {
			splitter_flush(&s);
			continue;
		}
		if (quote == 0 && (c == '\'' || c == '"')) {
			quote = c;
			s.blank_ok = true;
		} else if (quote != 0 && c == quote) {
			quote = 0;
		}
		if (c == esc && quote != '\'') {
			if (rest.len == 0)
				break;
			text_add_rune(&s.word, c);
			c = rune_decode(rest, &width);
			rest = str_sub(rest, width, rest.len);
		}
		text_add_rune(&s.word, c);
	}
	splitter_flush(&s);
	text_release(&s.word);
	*words = s.words;
}

static int split_pairs(struct arena *a, const char *rest, const char *key, char escape,
		       struct word_list *out, struct error *err)
{
	struct word_list words = { 0 };

	split_words(a, rest, escape, &words);
	if (words.len == 0)
		return 0;
	if (strchr(words.at[0], '=') == NULL) {
		size_t n = 0;

		while (rest[n] != '\0' && !is_blank(rest[n]))
			n++;
		if (rest[n] == '\0')
			return error_set(err, ERR_INVALID, "%s must have two arguments", key);
		word_list_add(a, out, arena_strndup(a, rest, n));
		while (is_blank(rest[n]))
			n++;
		word_list_add(a, out, rest + n);
		word_list_add(a, out, "");
		return 0;
	}
	for (size_t i = 0; i < words.len; i++) {
		const char *eq = strchr(words.at[i], '=');

		if (eq == NULL)
			return error_set(err, ERR_INVALID,
					 "Syntax error - can't find = in %s. Must be of the form: "
					 "name=value",
					 text_quote(a, words.at[i]));
		word_list_add(a, out, arena_strndup(a, words.at[i], (size_t)(eq - words.at[i])));
		word_list_add(a, out, eq + 1);
		word_list_add(a, out, "=");
	}
	return 0;
}

/* 1: a JSON array of strings, 0: something else, < 0: an array of other things. */
static int split_json(struct arena *a, const char *rest, struct word_list *out, struct error *err)
{
	struct str s = trim_left(str_of(rest));
	const struct json *j;

	if (s.len == 0 || s.at[0] != '[' || json_parse(a, s.at, s.len, &j, NULL) < 0 ||
	    j->type != JSON_ARRAY)
		return 0;
	json_for_each_item (item, j) {
		if (item->type != JSON_STRING)
			return error_set(err, ERR_INVALID,
					 "when using JSON array syntax, arrays must be comprised "
					 "of strings only");
		word_list_add(a, out, item->s);
	}
	return 1;
}

static int split_maybe_json(struct arena *a, struct ast_node *n, const char *rest, bool list,
			    struct word_list *out, struct error *err)
{
	int r;

	if (rest[0] == '\0')
		return 0;
	r = split_json(a, rest, out, err);
	if (r < 0)
		return r;
	n->json = r > 0;
	if (n->json)
		return 0;
	if (list)
		split_blanks(a, rest, out);
	else
		word_list_add(a, out, rest);
	return 0;
}

static int split_health(struct arena *a, struct ast_node *n, const char *rest,
			struct word_list *out, struct error *err)
{
	size_t end = 0;

	while (rest[end] != '\0' && !rune_is_space((unsigned char)rest[end]))
		end++;
	if (end == 0)
		return 0;
	word_list_add(a, out, arena_strndup(a, rest, end));
	while (rest[end] != '\0' && rune_is_space((unsigned char)rest[end]))
		end++;
	return split_maybe_json(a, n, rest + end, false, out, err);
}

int ast_node_from_line(struct arena *a, const char *line, char escape, unsigned depth,
		       struct ast_node *ret, struct error *err)
{
	const char *rest;

	ret->original = line;
	ast_split_command(a, line, ret, &rest);
	return ast_split_args(a, ret, rest, escape, depth, err);
}

enum split_kind {
	SPLIT_IGNORE,
	SPLIT_STRING,
	SPLIT_BLANKS,
	SPLIT_WORDS,
	SPLIT_PAIRS,
	SPLIT_JSON,
	SPLIT_JSON_LIST,
	SPLIT_HEALTH,
	SPLIT_COMMAND,
};

static enum split_kind split_kind(const char *instruction)
{
	static const struct {
		const char *name;
		enum split_kind kind;
	} table[] = {
		{ "add", SPLIT_JSON_LIST },      { "arg", SPLIT_WORDS },
		{ "cmd", SPLIT_JSON },           { "copy", SPLIT_JSON_LIST },
		{ "entrypoint", SPLIT_JSON },    { "env", SPLIT_PAIRS },
		{ "expose", SPLIT_BLANKS },      { "from", SPLIT_BLANKS },
		{ "healthcheck", SPLIT_HEALTH }, { "label", SPLIT_PAIRS },
		{ "maintainer", SPLIT_STRING },  { "onbuild", SPLIT_COMMAND },
		{ "run", SPLIT_JSON },           { "shell", SPLIT_JSON },
		{ "stopsignal", SPLIT_STRING },  { "user", SPLIT_STRING },
		{ "volume", SPLIT_JSON_LIST },   { "workdir", SPLIT_STRING },
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if (strcasecmp(instruction, table[i].name) == 0)
			return table[i].kind;
	}
	return SPLIT_IGNORE;
}

int ast_split_args(struct arena *a, struct ast_node *n, const char *rest, char escape,
		   unsigned depth, struct error *err)
{
	enum split_kind kind = split_kind(n->value);
	struct word_list words = { 0 };
	int r = 0;

	switch (kind) {
	case SPLIT_IGNORE:
		word_list_add(a, &words, "");
		break;
	case SPLIT_STRING:
		if (rest[0] != '\0')
			word_list_add(a, &words, rest);
		break;
	case SPLIT_BLANKS:
		if (rest[0] != '\0')
			split_blanks(a, rest, &words);
		break;
	case SPLIT_WORDS:
		split_words(a, rest, escape, &words);
		break;
	case SPLIT_PAIRS:
		r = split_pairs(a, rest, strcasecmp(n->value, "env") == 0 ? "ENV" : "LABEL", escape,
				&words, err);
		break;
	case SPLIT_JSON:
	case SPLIT_JSON_LIST:
		r = split_maybe_json(a, n, rest, kind == SPLIT_JSON_LIST, &words, err);
		break;
	case SPLIT_HEALTH:
		r = split_health(a, n, rest, &words, err);
		break;
	case SPLIT_COMMAND:
		if (rest[0] == '\0')
			break;
		if (depth > 0 && strcasecmp(n->value, "onbuild") == 0 && depth > 8)
			return error_set(err, ERR_INVALID, "ONBUILD nested too deep");
		n->child = arena_new(a, struct ast_node);
		r = ast_node_from_line(a, rest, escape, depth + 1, n->child, err);
		break;
	}
	n->args = words.at;
	n->n_args = words.len;
	return r;
}
