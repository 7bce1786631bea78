/* build/call.c: see call.h. */
#include "build/call.h"

#include <ctype.h>
#include <string.h>

#include "base/base64.h"
#include "base/map.h"
#include "base/str.h"
#include "build/text.h"

static void text(struct jsonw *w, const char *key, const char *value)
{
	if (!cstr_is_empty(value))
		jsonw_kstring(w, key, value);
}

static void write_line(struct jsonw *w, const char *key, unsigned line)
{
	jsonw_kobject(w, key);
	jsonw_kint(w, "line", line);
	jsonw_end(w);
}

/* The member "location", a range for each line; without ranges when nobody knows. */
static void write_location(struct jsonw *w, unsigned line, unsigned end_line)
{
	jsonw_kobject(w, "location");
	if (line > 0) {
		jsonw_karray(w, "ranges");
		for (; line <= end_line; line++) {
			jsonw_object(w);
			write_line(w, "start", line);
			write_line(w, "end", line);
			jsonw_end(w);
		}
		jsonw_end(w);
	}
	jsonw_end(w);
}

static void write_base64(struct jsonw *w, struct str source)
{
	auto_(buf) text = BUF_INIT(2 * DOCKERFILE_MAX);

	if (base64_encode(&text, source.at, source.len, false, NULL) == 0)
		jsonw_stringn(w, text.data ? text.data : "", text.len);
	else
		jsonw_string(w, "");
}

static void write_sources(struct jsonw *w, struct str source)
{
	jsonw_karray(w, "sources");
	write_base64(w, source);
	jsonw_end(w);
}

void call_targets(struct jsonw *w, const struct dockerfile *d, struct str source)
{
	jsonw_object(w);
	jsonw_karray(w, "targets");
	for (size_t i = 0; i < d->n_stages; i++) {
		const struct stage *s = &d->stages[i];
		bool last = i + 1 == d->n_stages;

		if (s->name[0] == '\0' && !last)
			continue;
		jsonw_object(w);
		text(w, "name", s->name);
		if (last)
			jsonw_kbool(w, "default", true);
		text(w, "description", s->comment);
		text(w, "base", s->base);
		text(w, "platform", s->platform);
		write_location(w, s->node->line, s->node->end_line);
		jsonw_end(w);
	}
	jsonw_end(w);
	write_sources(w, source);
	jsonw_end(w);
}

/* Does "$name" or "${name" stand in the text? */
static bool mentions(const char *s, const char *name)
{
	size_t len = strlen(name);

	while ((s = strchr(s, '$')) != NULL) {
		const char *at = ++s;

		at += *at == '{';
		if (strncmp(at, name, len) == 0 && at[len] != '_' &&
		    !((at[len] >= '0' && at[len] <= '9') || (at[len] >= 'a' && at[len] <= 'z') ||
		      (at[len] >= 'A' && at[len] <= 'Z')))
			return true;
	}
	return false;
}

static void write_arg(struct jsonw *w, struct map *told, const struct instruction *ins,
		      const struct key_value *kv, const char *value)
{
	if (map_has(told, kv->key))
		return;
	map_set(told, kv->key, told);
	jsonw_object(w);
	jsonw_kstring(w, "name", kv->key);
	text(w, "description", kv->comment);
	text(w, "value", value);
	write_location(w, ins->node->line, ins->node->end_line);
	jsonw_end(w);
}

/* Those before the first FROM, as far as a FROM that is needed names them. */
static void meta_args(struct jsonw *w, struct map *told, const struct dockerfile *d,
		      const struct graph *g)
{
	for (size_t i = 0; i < d->n_meta_args; i++) {
		for (size_t k = 0; k < d->meta_args[i].n_pairs; k++) {
			const struct key_value *kv = &d->meta_args[i].pairs[k];
			const char *value = vars_get(&g->globals, kv->key);
			bool used = false;

			for (size_t n = 0; n < g->n_stages; n++) {
				const struct stage_plan *s = &g->stages[n];

				used |= s->planned && (mentions(s->stage->base, kv->key) ||
						       mentions(s->stage->platform, kv->key));
			}
			if (used)
				write_arg(w, told, &d->meta_args[i], kv, value ? value : kv->value);
		}
	}
}

static void stage_args(struct jsonw *w, struct map *told, const struct stage_plan *s)
{
	for (size_t i = 0; s->planned && i < s->stage->len; i++) {
		const struct instruction *ins = &s->stage->at[i];

		for (size_t k = 0; ins->kind == INS_ARG && k < ins->n_pairs; k++) {
			const char *value = vars_get(&s->args, ins->pairs[k].key);

			write_arg(w, told, ins, &ins->pairs[k],
				  value ? value : ins->pairs[k].value);
		}
	}
}

static unsigned end_line(const struct dockerfile *d, unsigned line)
{
	for (size_t i = 0; i < d->ast.n_nodes; i++) {
		if (d->ast.nodes[i].line == line)
			return d->ast.nodes[i].end_line;
	}
	return line;
}

static void write_mounts(struct jsonw *w, const struct dockerfile *d, const struct graph *g,
			 enum mount_type type, const char *list, const char *name)
{
	auto_(map) told = MAP_INIT;

	for (size_t i = 0; i < g->n_nodes; i++) {
		const struct node *n = g->nodes[i];

		for (size_t k = 0; n->kind == NODE_RUN && k < n->run->n_mounts; k++) {
			const struct run_mount *m = &n->run->mounts[k].mount;
			const char *id = m->id ? m->id : m->source ? m->source : m->target;

			if (m->type != type || id == NULL || map_has(&told, id))
				continue;
			if (told.len == 0)
				jsonw_karray(w, list);
			map_set(&told, id, &told);
			jsonw_object(w);
			jsonw_kstring(w, name, id);
			if (m->required)
				jsonw_kbool(w, "required", true);
			write_location(w, n->line, end_line(d, n->line));
			jsonw_end(w);
		}
	}
	if (told.len > 0)
		jsonw_end(w);
}

void call_outline(struct jsonw *w, const struct dockerfile *d, const struct graph *g,
		  struct str source)
{
	const struct stage *target = g->target->stage;
	auto_(map) told = MAP_INIT;

	jsonw_object(w);
	text(w, "name", target->name);
	text(w, "description", target->comment);
	jsonw_karray(w, "args");
	meta_args(w, &told, d, g);
	for (size_t i = 0; i < g->n_stages; i++)
		stage_args(w, &told, &g->stages[i]);
	jsonw_end(w);
	write_mounts(w, d, g, MOUNT_SECRET, "secrets", "name");
	write_mounts(w, d, g, MOUNT_CACHE, "cache", "ID");
	write_sources(w, source);
	jsonw_end(w);
}

/* "JSONArgsRecommended" is at ".../json-args-recommended/". */
static void write_url(struct jsonw *w, const char *rule)
{
	auto_(text) url = TEXT_INIT;

	text_adds(&url, "https://docs.docker.com/go/dockerfile/rule/");
	for (const char *p = rule; *p != '\0'; p++) {
		bool word = isupper((unsigned char)*p) && p != rule &&
			    (islower((unsigned char)p[-1]) || islower((unsigned char)p[1]));

		text_addf(&url, "%s%c", word ? "-" : "", tolower((unsigned char)*p));
	}
	text_adds(&url, "/");
	jsonw_kstring(w, "url", url.at);
}

static void write_findings(struct jsonw *w, const struct lint *l)
{
	if (l->len == 0) {
		jsonw_key(w, "warnings");
		jsonw_null(w);
		return;
	}
	jsonw_karray(w, "warnings");
	for (size_t i = 0; i < l->len; i++) {
		const struct lint_finding *f = &l->at[i];

		jsonw_object(w);
		jsonw_kstring(w, "ruleName", lint_rule_name(f->rule));
		jsonw_kstring(w, "description", lint_rule_description(f->rule));
		if (lint_rule_has_page(f->rule))
			write_url(w, lint_rule_name(f->rule));
		jsonw_kstring(w, "detail", f->text);
		write_location(w, f->line, f->end_line);
		jsonw_end(w);
	}
	jsonw_end(w);
}

void call_check(struct jsonw *w, const struct call_check *c)
{
	jsonw_object(w);
	write_findings(w, c->lint);
	jsonw_karray(w, "sources");
	jsonw_object(w);
	jsonw_kstring(w, "filename", c->file);
	jsonw_key(w, "data");
	write_base64(w, c->source);
	jsonw_kstring(w, "language", "Dockerfile");
	jsonw_end(w);
	jsonw_end(w);
	if (c->error != NULL) {
		jsonw_kobject(w, "buildError");
		jsonw_kstring(w, "message", c->error);
		write_location(w, c->where.line, c->where.end_line);
		jsonw_end(w);
	}
	jsonw_end(w);
}
