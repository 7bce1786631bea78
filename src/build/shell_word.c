#include "build/shell_word.h"

#include "base/vec.h"
#include "build/glob.h"
#include "build/rune.h"
#include "build/text.h"

#define DEPTH_MAX 64 /* nested ${...} */
/* What the substitutions of one word may read and make together, in bytes: nested ones
 * multiply, so a line of 200 bytes could keep a processor busy for minutes. */
#define WORK_MAX (4U << 20)

struct scan {
	struct arena *arena;
	const struct shell_lex *lex;
	const struct vars *env;
	struct str rest;
	bool raw_escapes;
	unsigned depth;
	size_t work; /* done so far, see WORK_MAX */
	struct shell_result *result;
	struct words *words; /* of the innermost word */
};

/* Words being split while the whole is being built. */
struct words {
	struct arena *arena;
	struct text word;
	bool in_word;
	const char **at;
	size_t len, cap;
};

static uint32_t peek(const struct scan *s)
{
	size_t width;

	return rune_decode(s->rest, &width);
}

static uint32_t next(struct scan *s)
{
	size_t width;
	uint32_t c = rune_decode(s->rest, &width);

	s->rest = str_sub(s->rest, width, s->rest.len);
	return c;
}

static const char **grow(struct arena *a, const char **at, size_t len, size_t *cap)
{
	const char **more;

	if (len < *cap)
		return at;
	*cap = *cap ? *cap * 2 : 4;
	more = arena_array(a, *cap, sizeof(*more));
	if (len > 0)
		memcpy(more, at, len * sizeof(*more));
	return more;
}

static void names_add(struct arena *a, struct shell_names *n, const char *name)
{
	for (size_t i = 0; i < n->len; i++) {
		if (strcmp(n->at[i], name) == 0)
			return;
	}
	n->at = grow(a, n->at, n->len, &n->cap);
	n->at[n->len++] = name;
}

static void words_finish(struct words *w)
{
	if (w->word.len == 0)
		return;
	w->at = grow(w->arena, w->at, w->len, &w->cap);
	w->at[w->len++] = text_dup(&w->word, w->arena);
	text_clear(&w->word);
	w->in_word = false;
}

static void words_add_raw(struct words *w, uint32_t c)
{
	text_add_rune(&w->word, c);
	w->in_word = true;
}

static void words_add(struct words *w, uint32_t c)
{
	if (!rune_is_space(c))
		words_add_raw(w, c);
	else if (w->in_word)
		words_finish(w);
}

static void words_add_string(struct words *w, const char *s, bool raw)
{
	struct str rest = str_of(s);
	size_t width;

	if (raw) {
		text_adds(&w->word, s);
		w->in_word = true;
		return;
	}
	while (rest.len > 0) {
		words_add(w, rune_decode(rest, &width));
		rest = str_sub(rest, width, rest.len);
	}
}

static const char *variable(struct scan *s, const char *name)
{
	const char *value = vars_get(s->env, name);

	names_add(s->arena, value ? &s->result->matched : &s->result->unmatched, name);
	return value;
}

static const char *read_name(struct scan *s)
{
	auto_(text) name = TEXT_INIT;
	uint32_t c = peek(s);

	if (c != RUNE_EOF && rune_is_digit(c)) {
		while (c != RUNE_EOF && rune_is_digit(c)) {
			text_add_rune(&name, next(s));
			c = peek(s);
		}
	} else if (c < 0x80 && c != 0 && strchr("@*#?-$!0", (int)c) != NULL) {
		text_add_rune(&name, next(s));
	} else {
		while (c != RUNE_EOF && (rune_is_letter(c) || rune_is_digit(c) || c == '_')) {
			text_add_rune(&name, next(s));
			c = peek(s);
		}
	}
	return text_dup(&name, s->arena);
}

static int expand_until(struct scan *s, uint32_t stop, bool raw_escapes, const char **ret,
			struct words *words, struct error *err);

/* A nested word up to `stop`; its end of text is reported as `missing`. */
static int nested(struct scan *s, uint32_t stop, bool raw_escapes, const char *missing,
		  const char **ret, struct error *err)
{
	struct words words = { .arena = s->arena }, *outer = s->words;
	int r;

	s->words = &words;
	r = expand_until(s, stop, raw_escapes, ret, &words, err);
	s->words = outer;
	text_release(&words.word);
	/* Peer: BuildKit shares one buffer here, so what the outer word held is gone. */
	text_clear(&outer->word);
	outer->in_word = false;
	if (r < 0 && peek(s) == RUNE_EOF)
		return error_set(err, ERR_INVALID, "syntax error: %s", missing);
	return r;
}

static int unsupported(uint32_t c, bool colon, struct error *err)
{
	char bytes[5] = { 0 };

	rune_encode(c, bytes);
	return error_set(err, ERR_INVALID, "unsupported modifier (%s%s) in substitution",
			 colon ? ":" : "", bytes);
}

/* The pattern of # % and /: '*' '?' and escapes of both and of '\'. */
static int compile_pattern(struct arena *a, const char *pattern, bool greedy, struct glob *ret,
			   struct error *err)
{
	struct str rest = str_of(pattern);
	struct glob g = { 0 };
	size_t width;
	int r;

	while (rest.len > 0) {
		struct glob_op op = { .c = rune_decode(rest, &width), .lazy = !greedy };

		rest = str_sub(rest, width, rest.len);
		if (op.c == '*') {
			op.kind = GLOB_STAR;
		} else if (op.c == '?') {
			op.kind = GLOB_ANY;
		} else if (op.c == '\\') {
			uint32_t c = rune_decode(rest, &width);
			char bytes[5] = { 0 };

			if (c == '}' || c == '/')
				continue;
			rest = str_sub(rest, width, rest.len);
			rune_encode(c, bytes);
			if (c != '*' && c != '?' && c != '\\')
				return error_set(err, ERR_INVALID, "invalid escape '\\%s'", bytes);
			op.c = c;
		}
		r = glob_add(a, &g, op, err);
		if (r < 0)
			return r;
	}
	*ret = g;
	return 0;
}

static const char *reversed(struct arena *a, const char *s, bool keep_escapes)
{
	size_t len = strlen(s), at = len, width;
	char *out = arena_alloc(a, len + 1);
	struct str rest = { s, len };

	while (rest.len > 0) {
		bool escape = keep_escapes && rest.at[0] == '\\' && rest.len > 1;

		if (escape)
			(void)rune_decode(str_sub(rest, 1, rest.len), &width);
		else
			(void)rune_decode(rest, &width);
		width += escape;
		at -= width;
		memcpy(out + at, rest.at, width);
		rest = str_sub(rest, width, rest.len);
	}
	return out;
}

static int too_long(struct error *err)
{
	return error_set(err, ERR_INVALID, "result is longer than %u bytes", TEXT_MAX);
}

static int charge(struct scan *s, const char *bytes, struct error *err)
{
	size_t n = strlen(bytes);

	if (n > WORK_MAX - s->work)
		return error_set(err, ERR_INVALID,
				 "substitutions of one word make more than %u bytes", WORK_MAX);
	s->work += n;
	return 0;
}

static int trim_prefix(struct scan *s, const char *pattern, const char *value, bool greedy,
		       const char **ret, struct error *err)
{
	struct glob_search search;
	struct glob g;
	size_t end;
	int r = compile_pattern(s->arena, pattern, greedy, &g, err);

	if (r < 0)
		return r;
	glob_search_begin(&search, &g, str_of(value));
	*ret = glob_search_at(&search, 0, &end) ? value + end : value;
	glob_search_end(&search);
	return 0;
}

static int trim(struct scan *s, uint32_t op, const char *pattern, const char *value,
		const char **ret, struct error *err)
{
	bool greedy = pattern[0] == (char)op;
	const char *p = pattern + greedy;
	int r;

	if (op == '#') {
		r = trim_prefix(s, p, value, greedy, ret, err);
	} else {
		r = trim_prefix(s, reversed(s->arena, p, true), reversed(s->arena, value, false),
				greedy, ret, err);
		if (r == 0)
			*ret = reversed(s->arena, *ret, false);
	}
	if (r < 0)
		return error_wrap(err, r, "invalid pattern (%s) in substitution", p);
	return 0;
}

/* Go's regexp template, as ReplaceAll applies it: there are no groups, so
 * $name and ${name} vanish and $$ is a dollar. */
static void add_template(struct text *out, const char *s)
{
	while (*s != '\0') {
		const char *p = s + 1;
		bool brace = s[0] == '$' && s[1] == '{';
		size_t n;

		if (s[0] != '$') {
			text_add(out, s++, 1);
			continue;
		}
		if (s[1] == '$') {
			text_add(out, "$", 1);
			s += 2;
			continue;
		}
		p += brace;
		n = strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
		if (n == 0 || (brace && p[n] != '}')) {
			text_add(out, s++, 1);
			continue;
		}
		s = p + n + brace;
	}
}

static int replace(struct scan *s, const struct glob *g, const char *value, const char *replacement,
		   bool all, const char **ret, struct error *err)
{
	auto_(text) out = TEXT_INIT;
	struct str text = str_of(value);
	struct glob_search search;
	size_t copied = 0, end, width;

	glob_search_begin(&search, g, text);
	for (size_t at = 0; at <= text.len;) {
		(void)rune_decode(str_sub(text, at, text.len), &width);
		if (!glob_search_at(&search, at, &end)) {
			at += width ? width : 1;
			continue;
		}
		text_add(&out, value + copied, at - copied);
		if (!all)
			text_adds(&out, replacement);
		else if (end > copied || at == 0)
			add_template(&out, replacement);
		copied = end;
		if (!all)
			break;
		at = end > at ? end : at + (width ? width : 1);
	}
	glob_search_end(&search);
	text_add(&out, value + copied, text.len - copied);
	if (out.overflow)
		return too_long(err);
	*ret = text_dup(&out, s->arena);
	return 0;
}

static int expand_replace(struct scan *s, const char *name, const char **ret, struct error *err)
{
	bool all = peek(s) == '/';
	const char *pattern, *replacement, *value;
	struct glob g;
	int r;

	if (all)
		(void)next(s);
	r = nested(s, '/', true, "missing '/' in ${}", &pattern, err);
	if (r < 0)
		return r;
	r = nested(s, '}', true, "missing '}'", &replacement, err);
	if (r < 0)
		return r;
	value = variable(s, name);
	if (value == NULL && s->lex->skip_unset) {
		*ret = arena_format(s->arena, "${%s/%s%s/%s}", name, all ? "/" : "", pattern,
				    replacement);
		return 0;
	}
	r = compile_pattern(s->arena, pattern, true, &g, err);
	if (r < 0)
		return error_wrap(err, r, "invalid pattern (%s) in substitution", pattern);
	if (value == NULL)
		value = "";
	r = charge(s, value, err);
	return r < 0 ? r : replace(s, &g, value, replacement, all, ret, err);
}

static int expand_modifier(struct scan *s, const char *name, uint32_t op, bool colon,
			   const char **ret, struct error *err)
{
	const char *word, *value;
	bool set;
	int r;

	r = nested(s, '}', op == '#' || op == '%', "missing '}'", &word, err);
	if (r < 0)
		return r;
	value = variable(s, name);
	if (value == NULL && s->lex->skip_unset) {
		char bytes[5] = { 0 };

		rune_encode(op, bytes);
		*ret = arena_format(s->arena, "${%s%s%s%s}", name, colon ? ":" : "", bytes, word);
		return 0;
	}
	set = value != NULL && !(colon && value[0] == '\0');
	switch (op) {
	case '-':
		*ret = set ? value : word;
		return 0;
	case '+':
		*ret = set ? word : "";
		return 0;
	case '?':
		if (!set && word[0] == '\0')
			word = value ? "is not allowed to be empty" : "is not allowed to be unset";
		if (!set)
			return error_set(err, ERR_INVALID, "%s: %s", name, word);
		*ret = value;
		return 0;
	case '#':
	case '%':
		if (colon)
			break;
		if (value == NULL)
			value = "";
		r = charge(s, value, err);
		return r < 0 ? r : trim(s, op, word, value, ret, err);
	default:
		break;
	}
	return unsupported(op, colon, err);
}

static int expand_braces(struct scan *s, const char **ret, struct error *err)
{
	uint32_t c = peek(s);
	const char *name, *value;
	bool colon;

	if (c == RUNE_EOF)
		return error_set(err, ERR_INVALID, "syntax error: missing '}'");
	if (c == '{' || c == '}' || c == ':')
		return error_set(err, ERR_INVALID, "syntax error: bad substitution");
	if (s->depth >= DEPTH_MAX)
		return error_set(err, ERR_INVALID, "substitutions nested deeper than %d",
				 DEPTH_MAX);
	name = read_name(s);
	c = next(s);
	if (c == '}') {
		value = variable(s, name);
		if (value == NULL && s->lex->skip_unset)
			value = arena_format(s->arena, "${%s}", name);
		*ret = value ? value : "";
		return 0;
	}
	if (c == '/')
		return expand_replace(s, name, ret, err);
	colon = c == ':';
	if (colon)
		c = next(s);
	if (!colon && (c >= 0x80 || c == 0 || strchr("+-?#%", (int)c) == NULL))
		return unsupported(c, false, err);
	return expand_modifier(s, name, c, colon, ret, err);
}

static int expand_dollar(struct scan *s, const char **ret, struct error *err)
{
	const char *name, *value;
	int r;

	(void)next(s);
	if (peek(s) == '{') {
		(void)next(s);
		s->depth++;
		r = expand_braces(s, ret, err);
		s->depth--;
		return r < 0 ? r : charge(s, *ret, err);
	}
	name = read_name(s);
	if (name[0] == '\0') {
		*ret = "$";
		return 0;
	}
	value = variable(s, name);
	if (value == NULL && s->lex->skip_unset)
		value = arena_format(s->arena, "$%s", name);
	*ret = value ? value : "";
	return charge(s, *ret, err);
}

static int expand_single_quote(struct scan *s, struct text *out, struct error *err)
{
	uint32_t c = next(s);

	if (s->lex->raw_quotes)
		text_add_rune(out, c);
	for (;;) {
		c = next(s);
		if (c == RUNE_EOF)
			return error_set(err, ERR_INVALID,
					 "unexpected end of statement while looking for matching "
					 "single-quote");
		if (c != '\'' || s->lex->raw_quotes)
			text_add_rune(out, c);
		if (c == '\'')
			return 0;
	}
}

/* An escape inside double quotes keeps its character unless it protects one. */
static void quoted_escape(struct scan *s, struct text *out)
{
	uint32_t escape = (unsigned char)s->lex->escape, c = peek(s);

	if (s->raw_escapes)
		text_add_rune(out, escape);
	if (c == RUNE_EOF)
		return;
	if (c == '"' || c == '$' || c == escape)
		text_add_rune(out, next(s));
	else
		text_add_rune(out, escape);
}

static int expand_double_quote(struct scan *s, struct text *out, struct error *err)
{
	const char *value;
	uint32_t c = next(s);
	int r;

	if (s->lex->raw_quotes)
		text_add_rune(out, c);
	for (;;) {
		c = peek(s);
		if (c == RUNE_EOF)
			return error_set(err, ERR_INVALID,
					 "unexpected end of statement while looking for matching "
					 "double-quote");
		if (c == '$') {
			r = expand_dollar(s, &value, err);
			if (r < 0)
				return r;
			text_adds(out, value);
			continue;
		}
		(void)next(s);
		if (c == '"') {
			if (s->lex->raw_quotes)
				text_add_rune(out, c);
			return 0;
		}
		if (c == (unsigned char)s->lex->escape)
			quoted_escape(s, out);
		else
			text_add_rune(out, c);
	}
}

/* One character or one quoted or substituted piece. */
static int expand_piece(struct scan *s, struct text *out, struct words *words, struct error *err)
{
	auto_(text) quoted = TEXT_INIT;
	uint32_t c = peek(s);
	const char *value;
	int r;

	if (c == '$') {
		r = expand_dollar(s, &value, err);
		if (r < 0)
			return r;
		text_adds(out, value);
		words_add_string(words, value, false);
		return 0;
	}
	if ((c == '\'' || c == '"') && !s->lex->skip_quotes) {
		r = c == '"' ? expand_double_quote(s, &quoted, err)
			     : expand_single_quote(s, &quoted, err);
		if (r < 0)
			return r;
		if (quoted.overflow)
			return too_long(err);
		text_add(out, quoted.at ? quoted.at : "", quoted.len);
		words_add_string(words, quoted.at ? quoted.at : "", true);
		return 0;
	}
	(void)next(s);
	if (c != (unsigned char)s->lex->escape) {
		words_add(words, c);
		text_add_rune(out, c);
		return 0;
	}
	if (s->raw_escapes) {
		words_add_raw(words, c);
		text_add_rune(out, c);
	}
	c = next(s);
	if (c != RUNE_EOF) {
		words_add_raw(words, c);
		text_add_rune(out, c);
	}
	return 0;
}

static int expand_until(struct scan *s, uint32_t stop, bool raw_escapes, const char **ret,
			struct words *words, struct error *err)
{
	auto_(text) out = TEXT_INIT;
	bool saved = s->raw_escapes;
	char bytes[5] = { 0 };
	int r = 0;

	s->raw_escapes = raw_escapes;
	while (r == 0 && peek(s) != RUNE_EOF && peek(s) != stop)
		r = expand_piece(s, &out, words, err);
	s->raw_escapes = saved;
	if (r < 0)
		return r;
	if (stop != RUNE_EOF) {
		rune_encode(stop, bytes);
		if (next(s) != stop)
			return error_set(
			    err, ERR_INVALID,
			    "unexpected end of statement while looking for matching %s", bytes);
	}
	if (out.overflow)
		return too_long(err);
	*ret = text_dup(&out, s->arena);
	return 0;
}

int shell_expand(struct arena *a, const struct shell_lex *lex, const char *word,
		 const struct vars *env, struct shell_result *ret, struct error *err)
{
	struct shell_result result = { 0 };
	struct words words = { .arena = a };
	const char *whole = NULL;
	struct scan s = {
		.arena = a,
		.lex = lex,
		.env = env,
		.rest = str_of(word),
		.result = &result,
		.words = &words,
	};
	int r;

	if (str_starts(s.rest, "\xEF\xBB\xBF"))
		s.rest = str_sub(s.rest, 3, s.rest.len);
	r = expand_until(&s, RUNE_EOF, lex->raw_escapes, &whole, &words, err);
	if (r == 0) {
		words_finish(&words);
		result.word = whole;
		result.words = words.at;
		result.n_words = words.len;
	}
	text_release(&words.word);
	if (r < 0)
		return error_wrap(err, r, "failed to process %s", text_quote(a, word));
	*ret = result;
	return 0;
}
