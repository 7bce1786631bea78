#include "build/explain.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/arena.h"
#include "build/cache.h"
#include "build/progress.h"
#include "build/text.h"

#define CAUSES_MAX  3 /* named; the rest are counted */
#define VALUE_MAX   60
#define RECORDS_MAX 16 /* of the same words, compared */

struct causes {
	struct arena *arena;
	struct text text;
	size_t n;
};

static void add(struct causes *c, const char *fmt, ...) PRINTF(2, 3);
static void add(struct causes *c, const char *fmt, ...)
{
	autofree char *s = NULL;
	va_list ap;
	int n;

	if (c->n++ >= CAUSES_MAX)
		return;
	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n > 0)
		text_addf(&c->text, "%s%s", c->text.len ? ", " : "", s);
}

static void tell(struct build *b, struct node *n, struct causes *c)
{
	if (c->n > CAUSES_MAX)
		text_addf(&c->text, ", and %zu more", c->n - CAUSES_MAX);
	if (c->n > 0)
		progress_reason(b->progress, n, c->text.at);
}

/* "content 3 /a" and "content 4 /a" are the same thing: numbers only tell parts apart. */
static const char *part_name(struct arena *a, const char *key)
{
	const char *space = strchr(key, ' ');
	const char *rest = space;

	if (space == NULL || !isdigit((unsigned char)space[1]))
		return key;
	for (rest++; isdigit((unsigned char)*rest); rest++)
		;
	return arena_format(a, "%.*s%s", (int)(space - key), key, rest);
}

/* The value of the same part, the n-th of that name. */
static const char *value_of(struct arena *a, const struct json *j, const char *name, size_t nth)
{
	json_for_each_member (m, j) {
		if (strcmp(part_name(a, m->key), name) == 0 && nth-- == 0)
			return m->value->type == JSON_STRING ? m->value->s : "";
	}
	return NULL;
}

static size_t nth_of(struct arena *a, const struct json *j, const struct json_member *member)
{
	size_t n = 0;

	for (const struct json_member *m = j->members; m < member; m++)
		n += strcmp(part_name(a, m->key), part_name(a, member->key)) == 0;
	return n;
}

static const char *base_name(struct arena *a, const struct node *n)
{
	char name[256];

	if (n->base == NULL)
		return "what it stands on";
	progress_name(n->base, name, sizeof(name));
	return arena_format(a, "%s", name);
}

/* One part that differs. was or now is NULL when it is only in the other. */
static void add_part(struct causes *c, const struct node *n, const char *name, const char *was,
		     const char *now)
{
	const char *how = was == NULL ? "is new" : now == NULL ? "is gone" : "changed";
	const char *rest = strchr(name, ' ');

	rest = rest ? rest + 1 : name;
	if (strcmp(name, "parent") == 0)
		add(c, "%s gave another result", base_name(c->arena, n));
	else if (cstr_starts(name, "env "))
		add(c, "the argument or variable %s %s", rest, how);
	else if (cstr_starts(name, "content "))
		add(c, "%s %s", rest, how);
	else if (cstr_starts(name, "mounted "))
		add(c, "what is mounted at %s %s", rest, how);
	else if (strcmp(name, "arg") == 0)
		add(c, "its command %s", how);
	else if (strcmp(name, "cwd") == 0)
		add(c, "its WORKDIR %s", how);
	else if (strcmp(name, "user") == 0)
		add(c, "its USER %s", how);
	else if (strcmp(name, "epoch") == 0 || strcmp(name, "times") == 0)
		add(c, "the time of its files %s (SOURCE_DATE_EPOCH, --real-times)", how);
	else if (strcmp(name, "downloaded") == 0 || strcmp(name, "checked out") == 0)
		add(c, "what was %s %s", name, how);
	else if (strcmp(name, "directory") == 0)
		add(c, "the mode or owner of a directory %s", how);
	else if (was != NULL && now != NULL && strlen(was) < VALUE_MAX && strlen(now) < VALUE_MAX)
		add(c, "its %s is '%s' now, it was '%s'", name, now, was);
	else
		add(c, "its %s %s", name, how);
}

/* A copied file's name in the image tells nothing that its content does not. */
static bool is_echo(const char *name)
{
	return strcmp(name, "name") == 0 || strcmp(name, "path") == 0;
}

static void compare(struct causes *c, const struct node *n, const struct json *then,
		    const struct json *now)
{
	json_for_each_member (m, now) {
		const char *name = part_name(c->arena, m->key);
		const char *value = m->value->type == JSON_STRING ? m->value->s : "";
		const char *was = value_of(c->arena, then, name, nth_of(c->arena, now, m));

		if (!is_echo(name) && (was == NULL || strcmp(was, value) != 0))
			add_part(c, n, name, was, value);
	}
	json_for_each_member (m, then) {
		const char *name = part_name(c->arena, m->key);

		if (!is_echo(name) &&
		    value_of(c->arena, now, name, nth_of(c->arena, then, m)) == NULL)
			add_part(c, n, name, "", NULL);
	}
}

static bool content_differs(struct arena *a, const struct json *then, const struct json *now)
{
	json_for_each_member (m, now) {
		const char *name = part_name(a, m->key);
		const char *was;

		if (!cstr_starts(name, "content ") || m->value->type != JSON_STRING)
			continue;
		was = value_of(a, then, name, 0);
		if (was == NULL || strcmp(was, m->value->s) != 0)
			return true;
	}
	return false;
}

static void add_file(void *arg, const char *path, enum copied_change change)
{
	static const char *const words[] = { "is new", "changed", "is gone" };

	add(arg, "%s %s", path, words[change]);
}

/* Other projects say "COPY . ." too: of the records of these words the nearest one counts. */
static const struct json *nearest(struct build *b, const struct node *n, struct arena *a,
				  const struct json *now)
{
	const struct json *best = NULL;
	size_t fewest = SIZE_MAX;

	for (size_t i = 0; i < RECORDS_MAX; i++) {
		struct causes c = { .arena = a, .n = CAUSES_MAX };
		autofree char *text = NULL;
		const struct json *then;

		if (cache_last_inputs(b->builder->cfg.store, n->text, i, &text, NULL) < 0 ||
		    text == NULL)
			break;
		if (json_parse(a, arena_strdup(a, text), strlen(text), &then, NULL) < 0)
			continue;
		compare(&c, n, then, now);
		if (c.n < fewest) {
			fewest = c.n;
			best = then;
		}
	}
	return best;
}

void explain_step(struct build *b, struct node *n, const char *inputs, const struct copied *copied)
{
	auto_(arena) a = ARENA_INIT;
	struct causes c = { .arena = &a };
	const struct json *now = NULL, *then = NULL;

	if (n->no_cache) {
		progress_reason(b->progress, n, "the cache was not asked (no-cache)");
		return;
	}
	if (inputs != NULL && json_parse(&a, inputs, strlen(inputs), &now, NULL) == 0)
		then = nearest(b, n, &a, now);
	if (now == NULL) {
		add(&c, "its inputs are too many to compare");
	} else if (then == NULL) {
		add(&c, "line %u is new or was edited: this instruction was never built here",
		    n->line);
	} else {
		if (copied != NULL && content_differs(&a, then, now))
			copied_compare(copied, add_file, &c);
		if (c.n == 0)
			compare(&c, n, then, now);
	}
	if (c.n == 0)
		add(&c, "its layer is no longer here");
	tell(b, n, &c);
	text_release(&c.text);
}
