#include "build/glob.h"

#include "base/alloc.h"
#include "build/rune.h"

static bool class_has(const struct glob_op *op, uint32_t c)
{
	for (size_t i = 0; i < op->n_ranges; i++) {
		if (c >= op->ranges[i].lo && c <= op->ranges[i].hi)
			return !op->negated;
	}
	return op->negated;
}

static bool one_matches(const struct glob_op *op, uint32_t c)
{
	switch (op->kind) {
	case GLOB_CHAR:
		return c == op->c;
	case GLOB_ANY:
	case GLOB_STAR:
		return c != '\n';
	case GLOB_NOT_SLASH:
	case GLOB_STAR_NAME:
		return c != '/';
	case GLOB_CLASS:
		return class_has(op, c);
	case GLOB_STAR_DIRS:
	case GLOB_BEGIN:
		break;
	}
	return false;
}

static bool search_run(struct glob_search *s, size_t op, size_t star, size_t at, size_t *ret_end);

/* Longest first: collect where the star may stop, then try from the far end. */
static bool star_greedy(struct glob_search *s, size_t op, size_t star, size_t at, size_t *ret_end)
{
	const struct glob_op *o = &s->glob->ops[op];
	size_t width, end = at;

	while (end < s->text.len) {
		uint32_t c = rune_decode(str_sub(s->text, end, s->text.len), &width);

		if (!one_matches(o, c))
			break;
		end += width;
	}
	for (;;) {
		if (search_run(s, op + 1, star + 1, end, ret_end))
			return true;
		if (end == at)
			return false;
		do
			end--;
		while (end > at && ((unsigned char)s->text.at[end] & 0xC0) == 0x80);
	}
}

static bool star_lazy(struct glob_search *s, size_t op, size_t star, size_t at, size_t *ret_end)
{
	const struct glob_op *o = &s->glob->ops[op];
	size_t width;

	for (;;) {
		if (search_run(s, op + 1, star + 1, at, ret_end))
			return true;
		if (at >= s->text.len)
			return false;
		if (!one_matches(o, rune_decode(str_sub(s->text, at, s->text.len), &width)))
			return false;
		at += width;
	}
}

static bool star_dirs(struct glob_search *s, size_t op, size_t star, size_t at, size_t *ret_end)
{
	size_t limit = at;

	while (limit < s->text.len && s->text.at[limit] != '\n')
		limit++;
	for (size_t end = limit; end > at; end--) {
		if (s->text.at[end - 1] == '/' && search_run(s, op + 1, star + 1, end, ret_end))
			return true;
	}
	return search_run(s, op + 1, star + 1, at, ret_end);
}

static bool is_star(enum glob_kind kind)
{
	return kind == GLOB_STAR || kind == GLOB_STAR_NAME || kind == GLOB_STAR_DIRS;
}

static bool search_star(struct glob_search *s, size_t op, size_t star, size_t at, size_t *ret_end)
{
	const struct glob_op *o = &s->glob->ops[op];
	size_t bit = star * (s->text.len + 1) + at;
	bool found;

	if (s->dead[bit / 8] & (1U << bit % 8))
		return false;
	if (o->kind == GLOB_STAR_DIRS)
		found = star_dirs(s, op, star, at, ret_end);
	else if (o->lazy)
		found = star_lazy(s, op, star, at, ret_end);
	else
		found = star_greedy(s, op, star, at, ret_end);
	if (!found)
		s->dead[bit / 8] |= (unsigned char)(1U << bit % 8);
	return found;
}

/* Recurses only at stars, so the stack is bounded by GLOB_STARS_MAX. */
static bool search_run(struct glob_search *s, size_t op, size_t star, size_t at, size_t *ret_end)
{
	size_t width;

	for (; op < s->glob->n_ops; op++) {
		const struct glob_op *o = &s->glob->ops[op];

		if (is_star(o->kind))
			return search_star(s, op, star, at, ret_end);
		if (o->kind == GLOB_BEGIN) {
			if (at != 0)
				return false;
			continue;
		}
		if (at >= s->text.len)
			return false;
		if (!one_matches(o, rune_decode(str_sub(s->text, at, s->text.len), &width)))
			return false;
		at += width;
	}
	if (s->glob->anchored_end && at != s->text.len)
		return false;
	*ret_end = at;
	return true;
}

void glob_search_begin(struct glob_search *s, const struct glob *g, struct str text)
{
	*s = (struct glob_search){ .glob = g, .text = text };
	if (text.len <= GLOB_TEXT_MAX)
		s->dead = xcalloc(g->n_stars * (text.len + 1) / 8 + 1, 1);
}

bool glob_search_at(struct glob_search *s, size_t from, size_t *ret_end)
{
	return s->dead != NULL && search_run(s, 0, 0, from, ret_end);
}

void glob_search_end(struct glob_search *s)
{
	free(s->dead);
	s->dead = NULL;
}

bool glob_matches(const struct glob *g, struct str text)
{
	struct glob whole = *g;
	struct glob_search s;
	size_t end;
	bool found;

	whole.anchored_end = true;
	glob_search_begin(&s, &whole, text);
	found = glob_search_at(&s, 0, &end);
	glob_search_end(&s);
	return found;
}

int glob_add(struct arena *a, struct glob *g, struct glob_op op, struct error *err)
{
	if (g->n_ops == GLOB_OPS_MAX)
		return error_set(err, ERR_INVALID, "pattern is longer than %d characters",
				 GLOB_OPS_MAX);
	if (is_star(op.kind) && g->n_stars == GLOB_STARS_MAX)
		return error_set(err, ERR_INVALID, "pattern has more than %d stars",
				 GLOB_STARS_MAX);
	if ((g->n_ops & (g->n_ops - 1)) == 0) {
		struct glob_op *ops = arena_array(a, g->n_ops ? g->n_ops * 2 : 1, sizeof(*ops));

		if (g->n_ops > 0)
			memcpy(ops, g->ops, g->n_ops * sizeof(*ops));
		g->ops = ops;
	}
	g->ops[g->n_ops++] = op;
	g->n_stars += is_star(op.kind);
	return 0;
}

bool glob_has_magic(const char *pattern)
{
	for (; *pattern != '\0'; pattern++) {
		if (strchr("*?[", *pattern) != NULL)
			return true;
		if (*pattern == '\\' && *++pattern == '\0')
			return false;
	}
	return false;
}

static int bad_pattern(struct error *err)
{
	return error_set(err, ERR_INVALID, "syntax error in pattern");
}

/* One class member, perhaps escaped. */
static int class_char(struct str *p, uint32_t *ret, struct error *err)
{
	size_t width;

	if (p->len == 0 || p->at[0] == '-' || p->at[0] == ']')
		return bad_pattern(err);
	if (p->at[0] == '\\') {
		*p = str_sub(*p, 1, p->len);
		if (p->len == 0)
			return bad_pattern(err);
	}
	*ret = rune_decode(*p, &width);
	if (*ret == RUNE_BAD && width == 1)
		return bad_pattern(err);
	*p = str_sub(*p, width, p->len);
	if (p->len == 0)
		return bad_pattern(err);
	return 0;
}

static int compile_class(struct arena *a, struct str *p, struct glob_op *op, struct error *err)
{
	size_t cap = 0;
	int r;

	op->kind = GLOB_CLASS;
	if (p->len > 0 && p->at[0] == '^') {
		op->negated = true;
		*p = str_sub(*p, 1, p->len);
	}
	for (;;) {
		struct glob_range range;

		if (p->len > 0 && p->at[0] == ']' && op->n_ranges > 0) {
			*p = str_sub(*p, 1, p->len);
			return 0;
		}
		r = class_char(p, &range.lo, err);
		if (r < 0)
			return r;
		range.hi = range.lo;
		if (p->at[0] == '-') {
			*p = str_sub(*p, 1, p->len);
			r = class_char(p, &range.hi, err);
			if (r < 0)
				return r;
		}
		if (op->n_ranges == cap) {
			struct glob_range *more;

			cap = cap ? cap * 2 : 4;
			more = arena_array(a, cap, sizeof(*more));
			if (op->n_ranges > 0)
				memcpy(more, op->ranges, op->n_ranges * sizeof(*more));
			op->ranges = more;
		}
		op->ranges[op->n_ranges++] = range;
	}
}

int glob_compile_path(struct arena *a, struct str pattern, struct glob *ret, struct error *err)
{
	struct glob g = { .anchored_end = true };
	size_t width;
	int r;

	while (pattern.len > 0) {
		struct glob_op op = { 0 };

		op.c = rune_decode(pattern, &width);
		pattern = str_sub(pattern, width, pattern.len);
		if (op.c == '[') {
			r = compile_class(a, &pattern, &op, err);
			if (r < 0)
				return r;
		} else if (op.c == '*') {
			op.kind = GLOB_STAR_NAME;
		} else if (op.c == '?') {
			op.kind = GLOB_NOT_SLASH;
		} else if (op.c == '\\') {
			if (pattern.len == 0)
				return bad_pattern(err);
			op.c = rune_decode(pattern, &width);
			pattern = str_sub(pattern, width, pattern.len);
		}
		r = glob_add(a, &g, op, err);
		if (r < 0)
			return r;
	}
	*ret = g;
	return 0;
}

int glob_check_path(struct str pattern, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	struct glob g;

	return glob_compile_path(&a, pattern, &g, err);
}
