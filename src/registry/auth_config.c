/* registry/auth_config.c: the "auth" object of a registry's configuration. */
#include "registry/auth_internal.h"

#include <string.h>

#include "registry/config_member.h"

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

static int read_rule(struct auth *a, const struct json *j, const char *what, struct auth_rule *ret,
		     struct error *err)
{
	const struct json *users = NULL, *does = NULL;
	const char *repos = NULL;
	const struct config_member members[] = {
		{ "repositories", CONFIG_TEXT, &repos },
		{ "users", CONFIG_OTHER, &users },
		{ "actions", CONFIG_OTHER, &does },
	};
	int r = config_object(j, what, members, ARRAY_LEN(members), err);

	if (r < 0)
		return r;
	if (repos == NULL || users == NULL || users->type != JSON_ARRAY || does == NULL ||
	    does->type != JSON_ARRAY)
		return error_set(
		    err, ERR_INVALID,
		    "%s: a rule has 'repositories' (a pattern), 'users' and 'actions' (lists)",
		    what);
	ret->repos = arena_strdup(&a->arena, repos);
	ret->users = arena_array(&a->arena, users->n_items + 1, sizeof(*ret->users));
	json_for_each_item (u, users) {
		if (u->type != JSON_STRING || *u->s == '\0')
			return error_set(err, ERR_INVALID, "%s.users: want names", what);
		ret->users[ret->n_users++] = arena_strdup(&a->arena, u->s);
	}
	json_for_each_item (x, does) {
		unsigned bit = x->type == JSON_STRING ? auth_action_parse(str_of(x->s)) : 0;

		if (bit == 0)
			return error_set(err, ERR_INVALID,
					 "%s.actions: want 'pull', 'push', 'delete' or '*'", what);
		ret->actions |= bit;
	}
	return 0;
}

int auth_config_read(struct auth *a, const struct json *config, struct error *err)
{
	const struct json *rules = NULL;
	const char *path = NULL;
	unsigned ttl_s = AUTH_TTL_S;
	const struct config_member members[] = {
		{ "htpasswd", CONFIG_TEXT, &path },
		{ "token", CONFIG_FLAG, &a->token },
		{ "tokenSeconds", CONFIG_COUNT, &ttl_s },
		{ "rules", CONFIG_OTHER, &rules },
	};
	int r;

	a->token = true;
	r = config_object(config, "auth", members, ARRAY_LEN(members), err);
	if (r < 0)
		return r;
	a->htpasswd = arena_strdup(&a->arena, path);
	a->ttl_s = ttl_s;
	if (a->ttl_s < 60 || a->ttl_s > 86400)
		return error_set(err, ERR_INVALID, "auth.tokenSeconds: want 60 to 86400");
	if (rules == NULL)
		return 0;
	if (rules->type != JSON_ARRAY)
		return error_set(err, ERR_INVALID, "auth.rules: want a list");
	a->rules = arena_array(&a->arena, rules->n_items + 1, sizeof(*a->rules));
	json_for_each_item (rule, rules) {
		r = read_rule(a, rule, arena_format(&a->arena, "auth.rules[%zu]", a->n_rules),
			      &a->rules[a->n_rules], err);
		if (r < 0)
			return r;
		a->n_rules++;
	}
	return 0;
}
