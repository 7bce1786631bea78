#include "build/ast.h"

#include <strings.h>

#include "base/vec.h"
#include "build/ast_args.h"
#include "build/directive.h"
#include "build/rune.h"
#include "build/shell_word.h"
#include "build/text.h"

struct parser {
	struct arena *arena;
	struct str rest; /* source not yet read */
	unsigned line;   /* lines read */
	char escape;
	VEC(struct ast_node) nodes;
	VEC(struct ast_warning) warnings;
	struct word_list comments;
	struct directive_parser directives;
};

/* One physical line with its line ending. */
static bool read_line(struct parser *p, struct str *ret)
{
	ptrdiff_t nl;

	if (p->rest.len == 0)
		return false;
	nl = str_find(p->rest, '\n');
	*ret = str_sub(p->rest, 0, nl < 0 ? p->rest.len : (size_t)nl + 1);
	p->rest = str_sub(p->rest, ret->len, p->rest.len);
	p->line++;
	return true;
}

static struct str trim_newline(struct str s)
{
	while (s.len > 0 && (s.at[s.len - 1] == '\n' || s.at[s.len - 1] == '\r'))
		s.len--;
	return s;
}

static struct str trim_space_left(struct str s)
{
	size_t width;

	while (s.len > 0 && rune_is_space(rune_decode(s, &width)))
		s = str_sub(s, width, s.len);
	return s;
}

static bool is_comment(struct str line)
{
	line = trim_space_left(trim_newline(line));
	return line.len > 0 && line.at[0] == '#';
}

/* Cut a trailing escape character off. true: the instruction ends here. */
static bool cut_continuation(struct str *line, char escape)
{
	size_t n = line->len;

	while (n > 0 && (line->at[n - 1] == ' ' || line->at[n - 1] == '\t'))
		n--;
	if (n == 0 || line->at[n - 1] != escape || (n > 1 && line->at[n - 2] == escape))
		return true;
	line->len = n - 1;
	return false;
}

static int can_hold_heredoc(const struct ast_node *n)
{
	if (strcasecmp(n->value, "onbuild") == 0 && n->child != NULL)
		n = n->child;
	return !n->json && (strcasecmp(n->value, "add") == 0 || strcasecmp(n->value, "copy") == 0 ||
			    strcasecmp(n->value, "run") == 0);
}

static int heredoc_word(struct arena *a, const char *word, bool raw, const char **ret,
			struct error *err)
{
	struct shell_lex lex = { .escape = '\\', .skip_unset = true, .raw_quotes = raw };
	struct shell_result result;
	struct vars none = { 0 };
	int r = shell_expand(a, &lex, word, &none, &result, err);

	if (r < 0)
		return r;
	*ret = result.n_words == 1 ? result.words[0] : NULL;
	return 0;
}

int heredoc_parse(struct arena *a, const char *word, struct heredoc **ret, struct error *err)
{
	const char *p = word, *plain, *raw;
	struct heredoc *h;
	uint64_t fd = 0;
	bool chomp;
	int r;

	*ret = NULL;
	while (*p >= '0' && *p <= '9') {
		if (fd < UINT32_MAX)
			fd = fd * 10 + (unsigned)(*p - '0');
		p++;
	}
	if (p[0] != '<' || p[1] != '<')
		return 0;
	p += 2;
	chomp = *p == '-';
	p += chomp;
	if (*p == '\0' || strchr(p, '<') != NULL)
		return 0;
	r = heredoc_word(a, p, false, &plain, err);
	if (r < 0 || plain == NULL)
		return r;
	r = heredoc_word(a, p, true, &raw, err);
	if (r < 0 || raw == NULL)
		return r;
	h = arena_new(a, struct heredoc);
	h->name = plain;
	h->content = "";
	h->expand = strcmp(plain, raw) == 0;
	h->chomp = chomp;
	h->fd = (unsigned)fd;
	*ret = h;
	return 0;
}

const char *heredoc_chomp(struct arena *a, const char *content)
{
	char *out = arena_alloc(a, strlen(content) + 1), *o = out;
	bool start = true;

	for (; *content != '\0'; content++) {
		if (start && *content == '\t')
			continue;
		start = *content == '\n';
		*o++ = *content;
	}
	return out;
}

/* Lines up to the terminator become h->content. */
static int read_heredoc(struct parser *p, struct heredoc *h, struct error *err)
{
	auto_(text) body = TEXT_INIT;
	struct str line;

	while (read_line(p, &line)) {
		struct str end = trim_newline(line);

		while (h->chomp && end.len > 0 && end.at[0] == '\t')
			end = str_sub(end, 1, end.len);
		if (str_eqs(end, h->name)) {
			h->content = text_dup(&body, p->arena);
			return 0;
		}
		text_add(&body, line.at, line.len);
	}
	return error_set(err, ERR_INVALID, "unterminated heredoc");
}

/* "<<" whose name is the next word. */
static bool is_bare_heredoc(const char *word)
{
	word += strspn(word, "0123456789");
	return strcmp(word, "<<") == 0;
}

static int read_heredocs(struct parser *p, struct ast_node *n, struct error *err)
{
	struct shell_lex lex = {
		.escape = '\\', .skip_unset = true, .raw_quotes = true, .raw_escapes = true
	};
	struct shell_result words;
	struct vars none = { 0 };
	struct heredoc *h;
	int r;

	if (!can_hold_heredoc(n) || strstr(n->original, "<<") == NULL)
		return 0;
	/* A line whose quotes do not match is the shell's business, not ours. */
	if (shell_expand(p->arena, &lex, n->original, &none, &words, NULL) < 0)
		return 0;
	n->heredocs = arena_array(p->arena, words.n_words + 1, sizeof(*n->heredocs));
	for (size_t i = 0; i < words.n_words; i++) {
		const char *word = words.words[i];

		if (is_bare_heredoc(word) && i + 1 < words.n_words)
			word = arena_format(p->arena, "%s%s", word, words.words[++i]);
		r = heredoc_parse(p->arena, word, &h, err);
		if (r < 0)
			return r;
		if (h == NULL)
			continue;
		r = read_heredoc(p, h, err);
		if (r < 0)
			return r;
		n->heredocs[n->n_heredocs++] = *h;
	}
	return 0;
}

/* Continuation lines of the instruction whose first line is in `text`. */
static void read_continuation(struct parser *p, struct text *text, bool *ret_empty)
{
	struct str line, raw;
	bool ended = false;

	*ret_empty = false;
	while (!ended && read_line(p, &raw)) {
		if (is_comment(raw))
			continue;
		line = trim_newline(raw);
		if (trim_space_left(line).len == 0) {
			*ret_empty = true;
			continue;
		}
		ended = cut_continuation(&line, p->escape);
		text_add(text, line.at, line.len);
	}
}

static int read_instruction(struct parser *p, struct str first, bool ended, struct error *err)
{
	auto_(text) text = TEXT_INIT;
	struct ast_node node = { .line = p->line };
	bool empty = false;
	int r;

	text_add(&text, first.at, first.len);
	if (!ended)
		read_continuation(p, &text, &empty);
	if (memchr(text.at ? text.at : "", '\0', text.len) != NULL)
		return error_set(err, ERR_INVALID, "the line holds a NUL byte");
	if (empty)
		*vec_push(&p->warnings) = (struct ast_warning){
			.text = arena_format(p->arena, "Empty continuation line found in: %.*s",
					     (int)text.len, text.at ? text.at : ""),
			.line = node.line,
			.end_line = p->line,
		};
	r = ast_node_from_line(p->arena, text_dup(&text, p->arena), p->escape, 0, &node, err);
	if (r < 0)
		return r;
	node.comments = p->comments.at;
	node.n_comments = p->comments.len;
	p->comments = (struct word_list){ 0 };
	r = read_heredocs(p, &node, err);
	if (r < 0)
		return r;
	node.end_line = p->line;
	*vec_push(&p->nodes) = node;
	return 0;
}

static bool is_known_directive(const char *name)
{
	return strcmp(name, "escape") == 0 || strcmp(name, "syntax") == 0 ||
	       strcmp(name, "check") == 0;
}

static void note_comment(struct parser *p, struct str line)
{
	if (line.len == 0 || !is_comment(line))
		return;
	line = str_trim(str_sub(line, 1, line.len));
	if (line.len == 0)
		p->comments = (struct word_list){ 0 };
	else
		word_list_add(p->arena, &p->comments, arena_strndup(p->arena, line.at, line.len));
}

static int note_directive(struct parser *p, struct str line, struct error *err)
{
	struct directive d;
	bool found;
	int r;

	r = directive_parse_line(&p->directives, p->arena, line, &found, &d, err);
	if (r < 0)
		return r;
	if (!found || !is_known_directive(d.name))
		note_comment(p, line);
	if (!found || strcmp(d.name, "escape") != 0)
		return 0;
	if (strcmp(d.value, "`") != 0 && strcmp(d.value, "\\") != 0)
		return error_set(err, ERR_INVALID,
				 "invalid escape token '%s' does not match ` or \\", d.value);
	p->escape = d.value[0];
	return 0;
}

static int parse_all(struct parser *p, unsigned *ret_start, struct error *err)
{
	struct str line;
	bool ended;
	int r;

	while (read_line(p, &line)) {
		if (p->line == 1 && str_starts(line, "\xEF\xBB\xBF"))
			line = str_sub(line, 3, line.len);
		*ret_start = p->line;
		r = note_directive(p, line, err);
		if (r < 0)
			return r;
		line = trim_space_left(trim_newline(line));
		if (line.len > 0 && line.at[0] == '#')
			line.len = 0;
		ended = cut_continuation(&line, p->escape);
		if (ended && line.len == 0)
			continue;
		r = read_instruction(p, line, ended, err);
		if (r < 0)
			return r;
	}
	if (p->nodes.len == 0)
		return error_set(err, ERR_INVALID, "file with no instructions");
	return 0;
}

static void *copy_array(struct arena *a, const void *at, size_t n, size_t size)
{
	void *copy = arena_array(a, n + 1, size);

	if (n > 0)
		memcpy(copy, at, n * size);
	return copy;
}

int ast_parse(struct arena *a, struct str source, struct ast *ret, struct ast_location *ret_where,
	      struct error *err)
{
	struct parser p = { .arena = a, .rest = source, .escape = '\\' };
	unsigned start = 0;
	int r;

	if (source.len > DOCKERFILE_MAX)
		return error_set(err, ERR_INVALID, "the Dockerfile is larger than %u bytes",
				 DOCKERFILE_MAX);
	r = parse_all(&p, &start, err);
	if (r == 0) {
		ret->nodes = copy_array(a, p.nodes.at, p.nodes.len, sizeof(*ret->nodes));
		ret->n_nodes = p.nodes.len;
		ret->escape = p.escape;
		ret->warnings =
		    copy_array(a, p.warnings.at, p.warnings.len, sizeof(*ret->warnings));
		ret->n_warnings = p.warnings.len;
	} else if (ret_where != NULL) {
		*ret_where = (struct ast_location){ start, p.line };
	}
	vec_release(&p.nodes);
	vec_release(&p.warnings);
	return r;
}

int ast_parse_trigger(struct arena *a, const char *source, char escape, struct ast_node **ret,
		      struct error *err)
{
	struct parser p = { .arena = a, .rest = str_of(source), .escape = escape };
	struct ast_node *n = arena_new(a, struct ast_node);
	struct str line;
	int r;

	if (!read_line(&p, &line))
		return error_set(err, ERR_INVALID, "empty ONBUILD trigger");
	line = trim_newline(line);
	r = ast_node_from_line(a, arena_strndup(a, line.at, line.len), escape, 0, n, err);
	if (r == 0)
		r = read_heredocs(&p, n, err);
	if (r < 0)
		return r;
	*ret = n;
	return 0;
}

static void dump(struct text *t, const struct ast_node *n)
{
	for (const char *c = n->value; *c != '\0'; c++)
		text_add(t, (char[]){ (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c) }, 1);
	for (size_t i = 0; i < n->n_flags; i++) {
		text_adds(t, i == 0 ? " [" : " ");
		text_add_quoted(t, str_of(n->flags[i]));
	}
	if (n->n_flags > 0)
		text_adds(t, "]");
	if (n->child != NULL) {
		text_adds(t, " (");
		dump(t, n->child);
		text_adds(t, ")");
	}
	for (size_t i = 0; i < n->n_args; i++) {
		text_adds(t, " ");
		text_add_quoted(t, str_of(n->args[i]));
	}
}

const char *ast_dump_node(struct arena *a, const struct ast_node *n)
{
	auto_(text) t = TEXT_INIT;

	dump(&t, n);
	return text_dup(&t, a);
}
