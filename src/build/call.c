/* build/call.c: see call.h. */
#include "build/call.h"

#include <string.h>

#include "base/map.h"
#include "base/str.h"

static void text(struct jsonw *w, const char *key, const char *value)
{
	if (!cstr_is_empty(value))
		jsonw_kstring(w, key, value);
}

void call_targets(struct jsonw *w, const struct dockerfile *d)
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
		jsonw_end(w);
	}
	jsonw_end(w);
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

static void write_arg(struct jsonw *w, struct map *told, const struct key_value *kv,
		      const char *value)
{
	if (map_has(told, kv->key))
		return;
	map_set(told, kv->key, told);
	jsonw_object(w);
	jsonw_kstring(w, "name", kv->key);
	text(w, "description", kv->comment);
	text(w, "value", value);
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
				write_arg(w, told, kv, value ? value : kv->value);
		}
	}
}

static void stage_args(struct jsonw *w, struct map *told, const struct stage_plan *s)
{
	for (size_t i = 0; s->planned && i < s->stage->len; i++) {
		const struct instruction *ins = &s->stage->at[i];

		for (size_t k = 0; ins->kind == INS_ARG && k < ins->n_pairs; k++) {
			const char *value = vars_get(&s->args, ins->pairs[k].key);

			write_arg(w, told, &ins->pairs[k], value ? value : ins->pairs[k].value);
		}
	}
}

static void write_mounts(struct jsonw *w, const struct graph *g, enum mount_type type,
			 const char *list, const char *name)
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
			jsonw_end(w);
		}
	}
	if (told.len > 0)
		jsonw_end(w);
}

void call_outline(struct jsonw *w, const struct dockerfile *d, const struct graph *g)
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
	write_mounts(w, g, MOUNT_SECRET, "secrets", "name");
	write_mounts(w, g, MOUNT_CACHE, "cache", "ID");
	jsonw_end(w);
}
