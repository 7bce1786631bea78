/* registry/auth_config.c: the "auth" object of a registry's configuration. */
#include "registry/auth_internal.h"

#include <string.h>

static const struct {
	unsigned bit;
	const char *name;
} actions[] = {
	{ AUTH_PULL, "pull" },
	{ AUTH_PUSH, "push" },
	{ AUTH_DELETE, "delete" },
};

unsigned auth_action_parse(struct str s)
{
	if (str_eqs(s, "*"))
		return AUTH_PULL | AUTH_PUSH | AUTH_DELETE;
	for (size_t i = 0; i < ARRAY_LEN(actions); i++)
		if (str_eqs(s, actions[i].name))
			return actions[i].bit;
	return 0;
}

const char *auth_action_name(unsigned bit)
{
	for (size_t i = 0; i < ARRAY_LEN(actions); i++)
		if (actions[i].bit == bit)
			return actions[i].name;
	return "";
}

const char *auth_actions_text(struct arena *a, unsigned bits)
{
	const char *text = "";

	for (size_t i = 0; i < ARRAY_LEN(actions); i++)
		if (bits & actions[i].bit)
			text = arena_format(a, "%s%s%s", text, *text ? "," : "", actions[i].name);
	return text;
}

static int read_rule(struct auth *a, const struct json *j, struct auth_rule *ret, struct error *err)
{
	const struct json *users = json_get(j, "users"), *what = json_get(j, "actions");
	const char *repos = json_str(j, "repositories");

	if (repos == NULL || users == NULL || users->type != JSON_ARRAY || what == NULL ||
	    what->type != JSON_ARRAY)
		return error_set(err, ERR_INVALID,
				 "a rule has 'repositories' (a pattern), 'users' and 'actions'");
	ret->repos = arena_strdup(&a->arena, repos);
	ret->users = arena_array(&a->arena, users->n_items + 1, sizeof(*ret->users));
	json_for_each_item (u, users) {
		if (u->type != JSON_STRING)
			return error_set(err, ERR_INVALID, "users: want strings");
		ret->users[ret->n_users++] = arena_strdup(&a->arena, u->s);
	}
	json_for_each_item (x, what) {
		unsigned bit = x->type == JSON_STRING ? auth_action_parse(str_of(x->s)) : 0;

		if (bit == 0)
			return error_set(err, ERR_INVALID,
					 "actions: want 'pull', 'push', 'delete' or '*'");
		ret->actions |= bit;
	}
	return 0;
}

int auth_config_read(struct auth *a, const struct json *config, struct error *err)
{
	static const char *const known[] = { "htpasswd", "token", "tokenSeconds", "rules" };
	const struct json *rules = json_get(config, "rules");
	const char *path = json_str(config, "htpasswd");

	json_for_each_member (m, config) {
		bool found = false;

		for (size_t i = 0; i < ARRAY_LEN(known); i++)
			found |= strcmp(m->key, known[i]) == 0;
		if (!found)
			return error_set(err, ERR_INVALID, "unknown member '%s'", m->key);
	}
	a->htpasswd = arena_strdup(&a->arena, path);
	a->token = json_bool(config, "token", true);
	a->ttl_s = json_int(config, "tokenSeconds", 300);
	if (a->ttl_s < 60 || a->ttl_s > 86400)
		return error_set(err, ERR_INVALID, "tokenSeconds: want 60 to 86400");
	if (rules == NULL)
		return 0;
	if (rules->type != JSON_ARRAY)
		return error_set(err, ERR_INVALID, "rules: want a list");
	a->rules = arena_array(&a->arena, rules->n_items + 1, sizeof(*a->rules));
	json_for_each_item (rule, rules) {
		int r = read_rule(a, rule, &a->rules[a->n_rules], err);

		if (r < 0)
			return error_wrap(err, r, "rules[%zu]", a->n_rules);
		a->n_rules++;
	}
	return 0;
}
