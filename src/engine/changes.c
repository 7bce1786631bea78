/* engine/changes.c: see changes.h. The parser is the builder's. */
#include "engine/changes.h"

#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "build/instruction.h"
#include "engine/container_internal.h"

#define TEXT_MAX (1 << 20)

static struct json *list_of(struct arena *a, const struct word_array *w)
{
	struct json *out = json_new_array(a);
	size_t i;

	for (i = 0; i < w->len; i++)
		json_push(a, out, json_new_string(a, w->at[i]));
	return out;
}

static struct json *member(struct arena *a, struct json *config, const char *key, bool list)
{
	const struct json *old = json_get(config, key);
	struct json *out = old && (old->type == JSON_ARRAY || old->type == JSON_OBJECT)
			       ? json_clone(a, old)
			   : list ? json_new_array(a)
				  : json_new_object(a);

	json_set(a, config, key, out);
	return out;
}

static void set_env(struct arena *a, struct json *config, const struct instruction *ins)
{
	struct json *env = member(a, config, "Env", true);
	size_t i, k;

	for (i = 0; i < ins->n_pairs; i++) {
		const struct key_value *kv = &ins->pairs[i];
		struct json *entry =
		    json_new_string(a, arena_format(a, "%s=%s", kv->key, kv->value));
		size_t len = strlen(kv->key);

		for (k = 0; k < env->n_items; k++) {
			const struct json *old = env->items[k];

			if (old->type == JSON_STRING && strncmp(old->s, kv->key, len) == 0 &&
			    old->s[len] == '=')
				break;
		}
		if (k < env->n_items)
			env->items[k] = entry;
		else
			json_push(a, env, entry);
	}
}

static void set_command(struct arena *a, struct json *config, const char *key,
			const struct instruction *ins)
{
	const struct json *shell = json_get(config, "Shell");
	struct json *out = json_new_array(a);
	size_t i;

	if (ins->prepend_shell && shell && shell->type == JSON_ARRAY && shell->n_items > 0) {
		json_for_each_item (v, shell)
			json_push(a, out, json_clone(a, v));
	} else if (ins->prepend_shell) {
		json_push(a, out, json_new_string(a, "/bin/sh"));
		json_push(a, out, json_new_string(a, "-c"));
	}
	for (i = 0; i < ins->words.len; i++)
		json_push(a, out, json_new_string(a, ins->words.at[i]));
	json_set(a, config, key, out);
}

static void set_keys(struct arena *a, struct json *config, const char *key,
		     const struct instruction *ins, const char *suffix)
{
	struct json *map = member(a, config, key, false);
	size_t i;

	for (i = 0; i < ins->words.len; i++) {
		const char *word = ins->words.at[i];
		const char *name = suffix && strchr(word, '/') == NULL
				       ? arena_format(a, "%s%s", word, suffix)
				       : arena_strdup(a, word);

		json_set(a, map, name, json_new_object(a));
	}
}

static void set_health(struct arena *a, struct json *config, const struct instruction *ins)
{
	struct json *h = json_new_object(a);

	json_set(a, h, "Test", list_of(a, &ins->health.test));
	if (ins->health.interval_ns)
		json_set(a, h, "Interval", json_new_int(a, ins->health.interval_ns));
	if (ins->health.timeout_ns)
		json_set(a, h, "Timeout", json_new_int(a, ins->health.timeout_ns));
	if (ins->health.start_period_ns)
		json_set(a, h, "StartPeriod", json_new_int(a, ins->health.start_period_ns));
	if (ins->health.start_interval_ns)
		json_set(a, h, "StartInterval", json_new_int(a, ins->health.start_interval_ns));
	if (ins->health.retries)
		json_set(a, h, "Retries", json_new_int(a, ins->health.retries));
	json_set(a, config, "Healthcheck", h);
}

static void set_word(struct arena *a, struct json *config, const char *key,
		     const struct instruction *ins)
{
	const char *word = ins->words.len > 0 ? ins->words.at[0] : "";

	if (ins->kind == INS_WORKDIR && word[0] != '/') {
		const char *old = json_str(config, "WorkingDir");

		word = arena_format(a, "%s/%s", old ? old : "", word);
	}
	json_set(a, config, key, json_new_string(a, word));
}

static int apply(struct arena *a, struct json *config, const struct instruction *ins,
		 struct error *err)
{
	size_t i;

	switch (ins->kind) {
	case INS_ENV:
		set_env(a, config, ins);
		return 0;
	case INS_LABEL:
		for (i = 0; i < ins->n_pairs; i++)
			json_set(a, member(a, config, "Labels", false), ins->pairs[i].key,
				 json_new_string(a, ins->pairs[i].value));
		return 0;
	case INS_CMD:
		set_command(a, config, "Cmd", ins);
		return 0;
	case INS_ENTRYPOINT:
		set_command(a, config, "Entrypoint", ins);
		return 0;
	case INS_EXPOSE:
		set_keys(a, config, "ExposedPorts", ins, "/tcp");
		return 0;
	case INS_VOLUME:
		set_keys(a, config, "Volumes", ins, NULL);
		return 0;
	case INS_USER:
		set_word(a, config, "User", ins);
		return 0;
	case INS_WORKDIR:
		set_word(a, config, "WorkingDir", ins);
		return 0;
	case INS_STOPSIGNAL:
		set_word(a, config, "StopSignal", ins);
		return 0;
	case INS_HEALTHCHECK:
		set_health(a, config, ins);
		return 0;
	case INS_SHELL:
		json_set(a, config, "Shell", list_of(a, &ins->words));
		return 0;
	case INS_ONBUILD:
		json_push(a, member(a, config, "OnBuild", true),
			  json_new_string(a, ins->words.len > 0 ? ins->words.at[0] : ""));
		return 0;
	case INS_ADD:
	case INS_ARG:
	case INS_COPY:
	case INS_FROM:
	case INS_MAINTAINER:
	case INS_RUN:
	case INS_KIND_COUNT:
		break;
	}
	return error_set(err, ERR_INVALID, "%s is not a valid change command", ins->name);
}

int changes_apply(struct arena *a, struct json *config, const char *const *changes,
		  struct error *err)
{
	auto_(buf) text = BUF_INIT(TEXT_MAX);
	struct ast_location where = { 0 };
	struct dockerfile file = { 0 };
	size_t i;
	int r;

	if (changes == NULL || changes[0] == NULL)
		return 0;
	r = buf_addf(&text, err, "FROM scratch\n");
	for (; r == 0 && *changes; changes++)
		r = buf_addf(&text, err, "%s\n", *changes);
	if (r == 0)
		r = dockerfile_parse(a, (struct str){ text.data, text.len }, NULL, &file, &where,
				     err);
	if (r < 0)
		return r;
	for (i = 0; i < file.stages[0].len; i++) {
		r = apply(a, config, &file.stages[0].at[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}
