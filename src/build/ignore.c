#include "build/ignore.h"

#include "base/fs.h"
#include "base/vec.h"
#include "build/ast_args.h"
#include "build/rune.h"

static const char *clean(struct arena *a, struct str s)
{
	autofree char *copy = str_dup(s);
	autofree char *cleaned = fs_path_clean(copy);

	return arena_strdup(a, cleaned);
}

static struct str trim(struct str s)
{
	size_t width;

	s = str_trim(s);
	while (s.len > 0 && rune_is_space(rune_decode(s, &width)))
		s = str_sub(s, width, s.len);
	while (s.len > 0 && rune_is_space((unsigned char)s.at[s.len - 1]) &&
	       (unsigned char)s.at[s.len - 1] < 0x80)
		s.len--;
	return s;
}

static const char *read_pattern(struct arena *a, struct str line)
{
	bool invert = line.at[0] == '!';
	const char *p = "";

	if (invert)
		line = trim(str_sub(line, 1, line.len));
	if (line.len > 0) {
		p = clean(a, line);
		if (p[0] == '/' && p[1] != '\0')
			p++;
	}
	return invert ? arena_format(a, "!%s", p) : p;
}

const char **ignore_read(struct arena *a, struct str source, size_t *ret_n, unsigned **ret_lines)
{
	struct word_list out = { 0 };
	VEC(unsigned) lines = { 0 };
	struct str line;
	unsigned n = 0;

	if (str_starts(source, "\xEF\xBB\xBF"))
		source = str_sub(source, 3, source.len);
	while (source.len > 0 && str_split(&source, '\n', &line)) {
		n++;
		if (str_starts(line, "#") || memchr(line.at, '\0', line.len) != NULL)
			continue;
		line = trim(line);
		if (line.len == 0)
			continue;
		word_list_add(a, &out, read_pattern(a, line));
		*vec_push(&lines) = n;
	}
	if (ret_lines != NULL) {
		*ret_lines = arena_array(a, lines.len + 1, sizeof(**ret_lines));
		if (lines.len > 0)
			memcpy(*ret_lines, lines.at, lines.len * sizeof(**ret_lines));
	}
	vec_release(&lines);
	*ret_n = out.len;
	word_list_add(a, &out, NULL);
	return out.at;
}

struct compiler {
	struct arena *arena;
	struct ignore_pattern *p;
	struct str rest;
	bool first; /* nothing read yet */
};

static int next_char(struct compiler *c)
{
	return c->rest.len > 0 ? (unsigned char)c->rest.at[0] : -1;
}

static uint32_t take(struct compiler *c)
{
	size_t width;
	uint32_t rune = rune_decode(c->rest, &width);

	c->rest = str_sub(c->rest, width, c->rest.len);
	return rune;
}

static int add(struct compiler *c, struct glob_op op, struct error *err)
{
	return glob_add(c->arena, &c->p->glob, op, err);
}

/* After "**": whether it stands at the end, the start or between decides. */
static int compile_double_star(struct compiler *c, bool first, struct error *err)
{
	int r = 0;

	(void)take(c);
	if (next_char(c) == '/')
		(void)take(c);
	if (c->rest.len > 0) {
		r = add(c, (struct glob_op){ .kind = GLOB_STAR_DIRS }, err);
		c->p->kind = IGNORE_GLOB;
	} else if (c->p->kind == IGNORE_EXACT) {
		c->p->kind = IGNORE_PREFIX;
	} else {
		r = add(c, (struct glob_op){ .kind = GLOB_STAR }, err);
		c->p->kind = IGNORE_GLOB;
	}
	if (first)
		c->p->kind = IGNORE_SUFFIX;
	return r;
}

static uint32_t class_member(struct compiler *c, bool *bad)
{
	uint32_t rune = take(c);

	if (rune != '\\')
		return rune;
	rune = take(c);
	/* RE2 reads \d \n and friends of its own here. */
	*bad |= rune >= 0x80 || rune_is_letter(rune) || rune_is_digit(rune);
	return rune;
}

static int compile_class(struct compiler *c, struct error *err)
{
	struct glob_op op = { .kind = GLOB_CLASS };
	VEC(struct glob_range) ranges = { 0 };
	bool bad = false;
	int r;

	if (next_char(c) == '^') {
		op.negated = true;
		(void)take(c);
	}
	while (c->rest.len > 0 && (next_char(c) != ']' || ranges.len == 0)) {
		struct glob_range range = { 0 };

		range.lo = range.hi = class_member(c, &bad);
		if (next_char(c) == '-' && c->rest.len > 1 && c->rest.at[1] != ']') {
			(void)take(c);
			range.hi = class_member(c, &bad);
			bad |= range.hi < range.lo;
		}
		*vec_push(&ranges) = range;
	}
	(void)take(c);
	op.n_ranges = ranges.len;
	op.ranges = arena_array(c->arena, ranges.len + 1, sizeof(*op.ranges));
	if (ranges.len > 0)
		memcpy(op.ranges, ranges.at, ranges.len * sizeof(*op.ranges));
	vec_release(&ranges);
	r = add(c, op, err);
	if (r == 0)
		c->p->kind = bad ? IGNORE_NEVER : IGNORE_GLOB;
	return r;
}

/* '\' and what follows, read as RE2 reads it. */
static int compile_escape(struct compiler *c, struct error *err)
{
	static const char from[] = "afnrtv", to[] = "\a\f\n\r\t\v";
	struct glob_op op = { .kind = GLOB_CHAR };
	const char *p;

	if (c->rest.len == 0)
		return add(c, (struct glob_op){ .kind = GLOB_CHAR, .c = '\\' }, err);
	op.c = take(c);
	c->p->kind = IGNORE_GLOB;
	p = op.c != 0 && op.c < 0x80 ? strchr(from, (int)op.c) : NULL;
	if (p != NULL)
		op.c = (unsigned char)to[p - from];
	else if (op.c >= 0x80 || rune_is_letter(op.c) || rune_is_digit(op.c))
		c->p->kind = IGNORE_NEVER;
	return add(c, op, err);
}

static int compile_step(struct compiler *c, struct error *err)
{
	bool first = c->first;
	uint32_t rune = take(c);

	c->first = false;
	switch (rune) {
	case '*':
		if (next_char(c) == '*')
			return compile_double_star(c, first, err);
		c->p->kind = IGNORE_GLOB;
		return add(c, (struct glob_op){ .kind = GLOB_STAR_NAME }, err);
	case '?':
		c->p->kind = IGNORE_GLOB;
		return add(c, (struct glob_op){ .kind = GLOB_NOT_SLASH }, err);
	case '\\':
		return compile_escape(c, err);
	case '[':
		return compile_class(c, err);
	case ']':
		c->p->kind = IGNORE_GLOB;
		return add(c, (struct glob_op){ .kind = GLOB_CHAR, .c = ']' }, err);
	case '^':
		return add(c, (struct glob_op){ .kind = GLOB_BEGIN }, err);
	default:
		return add(c, (struct glob_op){ .kind = GLOB_CHAR, .c = rune }, err);
	}
}

static int compile_one(struct arena *a, struct ignore_pattern *p, struct error *err)
{
	struct compiler c = { .arena = a, .p = p, .rest = str_of(p->text), .first = true };
	bool never = false;
	int r;

	while (c.rest.len > 0) {
		r = compile_step(&c, err);
		if (r < 0)
			return r;
		never |= p->kind == IGNORE_NEVER;
	}
	if (never)
		p->kind = IGNORE_NEVER;
	p->glob.anchored_end = true;
	return 0;
}

int ignore_compile(struct arena *a, const char *const *patterns, size_t n, const unsigned *lines,
		   struct ignore *ret, struct error *err)
{
	struct ignore ig = { .at = arena_array(a, n + 1, sizeof(*ig.at)) };
	int r;

	for (size_t i = 0; i < n; i++) {
		struct ignore_pattern *p = &ig.at[ig.len];
		struct str s = trim(str_of(patterns[i]));

		if (s.len == 0)
			continue;
		*p = (struct ignore_pattern){ .text = clean(a, s), .line = lines ? lines[i] : 0 };
		if (p->text[0] == '!') {
			if (p->text[1] == '\0')
				return error_set(err, ERR_INVALID,
						 "illegal exclusion pattern: \"!\"");
			p->exclusion = ig.exclusions = true;
			p->text++;
		}
		r = glob_check_path(str_of(p->text), err);
		if (r == 0)
			r = compile_one(a, p, err);
		if (r < 0)
			return r;
		ig.len++;
	}
	*ret = ig;
	return 0;
}

static bool suffix_matches(const char *suffix, struct str path)
{
	if (str_ends(path, suffix))
		return true;
	return suffix[0] == '/' && str_eqs(path, suffix + 1);
}

static bool pattern_matches(const struct ignore_pattern *p, struct str path)
{
	size_t n = strlen(p->text);

	switch (p->kind) {
	case IGNORE_EXACT:
		return str_eqs(path, p->text);
	case IGNORE_PREFIX:
		return str_eq(str_sub(path, 0, n - 2), str_sub(str_of(p->text), 0, n - 2));
	case IGNORE_SUFFIX:
		return suffix_matches(p->text + 2, path);
	case IGNORE_GLOB:
		return glob_matches(&p->glob, path);
	case IGNORE_NEVER:
		break;
	}
	return false;
}

/* The path itself, or one of the directories above it. */
static bool path_or_parent_matches(const struct ignore_pattern *p, struct str path)
{
	ptrdiff_t slash = str_rfind(path, '/');
	struct str parent;

	if (pattern_matches(p, path))
		return true;
	if (slash < 0)
		return false;
	parent = str_sub(path, 0, slash == 0 ? 1 : (size_t)slash);
	for (size_t i = 0; i <= parent.len; i++) {
		if ((i == parent.len || parent.at[i] == '/') &&
		    pattern_matches(p, str_sub(parent, 0, i)))
			return true;
	}
	return false;
}

bool ignore_matches(const struct ignore *ig, const char *path, const struct ignore_pattern **ret_by)
{
	bool matched = false;

	if (ret_by != NULL)
		*ret_by = NULL;
	for (size_t i = 0; i < ig->len; i++) {
		const struct ignore_pattern *p = &ig->at[i];

		if (p->exclusion != matched || !path_or_parent_matches(p, str_of(path)))
			continue;
		matched = !p->exclusion;
		if (ret_by != NULL)
			*ret_by = p;
	}
	return matched;
}

bool ignore_may_reinclude(const struct ignore *ig, const char *path)
{
	size_t n = strlen(path);

	for (size_t i = 0; i < ig->len; i++) {
		const struct ignore_pattern *p = &ig->at[i];

		if (!p->exclusion)
			continue;
		if (p->kind != IGNORE_EXACT ||
		    (strncmp(p->text, path, n) == 0 && p->text[n] == '/'))
			return true;
	}
	return false;
}
