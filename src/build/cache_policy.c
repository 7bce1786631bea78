/* build/cache_policy.c: see cache_policy.h. */
#include "build/cache_policy.h"

#include <string.h>

#include "base/clock.h"
#include "base/macros.h"
#include "base/str.h"

#define HOUR_NS (3600LL * NS_PER_SEC)

static const struct {
	const char *name;
	unsigned type; /* 0: there are none of it here */
} types[] = {
	{ "regular", CACHE_REGULAR },
	{ "exec.cachemount", CACHE_MOUNT },
	{ "source.local", 0 },
	{ "source.git.checkout", 0 },
	{ "frontend", 0 },
	{ "internal", 0 },
};

static int filter_type(struct cache_rule *r, const char *value, struct error *err)
{
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if (strcmp(types[i].name, value) != 0)
			continue;
		r->types |= types[i].type;
		r->none = r->types == 0;
		return 0;
	}
	return error_set(err, ERR_INVALID, "invalid filter 'type=%.64s'", value);
}

static int filter_bool(int *to, const char *name, const char *value, bool inverted,
		       struct error *err)
{
	bool b = true;

	if (value[0] != '\0' && parse_bool(str_of(value), &b, NULL) < 0)
		return error_set(err, ERR_INVALID, "invalid filter '%s=%.64s'", name, value);
	*to = b != inverted;
	return 0;
}

int cache_rule_filter(struct cache_rule *r, const char *name, const char *value, struct error *err)
{
	/* BuildKit's spelling: "type==regular". */
	if (value[0] == '=')
		value++;
	if (strcmp(name, "until") == 0)
		return time_parse_query(value, &r->before_ns, err);
	if (strcmp(name, "unused-for") == 0) {
		if (parse_duration(str_of(value), &r->unused_ns, NULL) < 0)
			return error_set(err, ERR_INVALID, "invalid filter 'unused-for=%.64s'",
					 value);
		return 0;
	}
	if (strcmp(name, "type") == 0)
		return filter_type(r, value, err);
	if (strcmp(name, "inuse") == 0)
		return filter_bool(&r->in_use, name, value, false, err);
	if (strcmp(name, "shared") == 0)
		return filter_bool(&r->shared, name, value, false, err);
	if (strcmp(name, "private") == 0)
		return filter_bool(&r->shared, name, value, true, err);
	if (strcmp(name, "id") == 0)
		r->id = value[0] == '~' ? value + 1 + (value[1] == '=') : value;
	else if (strcmp(name, "description") == 0)
		r->text = value;
	else
		return error_set(err, ERR_INVALID, "invalid filter '%.64s'", name);
	return 0;
}

bool cache_rule_is_all(const struct cache_rule *r)
{
	return r->all && r->types == 0 && !r->none && r->id == NULL && r->text == NULL &&
	       r->in_use < 0 && r->shared < 0 && r->unused_ns == 0 && r->before_ns == 0 &&
	       r->reserved_bytes == 0 && r->max_used_bytes == 0 && r->min_free_bytes == 0;
}

/* ---- the configuration ---- */

/* 512000000, "512MB", "10%". */
static int read_bytes(const struct json *v, const char *path, int64_t disk_bytes, int64_t *ret,
		      struct error *err)
{
	struct str text;
	int64_t n;

	if (v->type == JSON_INT && v->i >= 0) {
		*ret = v->i;
		return 0;
	}
	text = v->type == JSON_STRING ? (struct str){ v->s, v->s_len } : (struct str){ 0 };
	if (text.len > 1 && text.at[text.len - 1] == '%' &&
	    parse_i64(str_sub(text, 0, text.len - 1), 0, 100, &n, NULL) == 0) {
		*ret = disk_bytes / 100 * n;
		return 0;
	}
	if (text.len == 0 || parse_size(text, ret, NULL) < 0 || *ret < 0)
		return error_set(err, ERR_INVALID,
				 "%s: want a number of bytes as \"20GB\" or a part of the disk as "
				 "\"10%%\"",
				 path);
	return 0;
}

static int read_duration(const struct json *v, const char *path, int64_t *ret, struct error *err)
{
	if (v->type == JSON_INT && v->i >= 0 && v->i < INT64_MAX / NS_PER_SEC) {
		*ret = v->i * NS_PER_SEC;
		return 0;
	}
	if (v->type != JSON_STRING || parse_duration(str_of(v->s), ret, NULL) < 0)
		return error_set(err, ERR_INVALID, "%s: want a duration as \"48h\"", path);
	return 0;
}

static int read_filter(const struct json *v, const char *path, struct cache_rule *rule,
		       struct arena *a, struct error *err)
{
	int r = 0;

	if (v->type != JSON_ARRAY)
		return error_set(err, ERR_INVALID, "%s: want a list as [\"unused-for=48h\"]", path);
	json_for_each_item (item, v) {
		const char *text = item->type == JSON_STRING ? item->s : "";
		const char *eq = strchr(text, '=');

		if (eq == NULL)
			return error_set(err, ERR_INVALID,
					 "%s: '%.64s' is not of the form "
					 "name=value",
					 path, text);
		if (strncmp(text, "until=", 6) == 0)
			return error_set(err, ERR_INVALID,
					 "%s: until is a fixed time, want "
					 "unused-for",
					 path);
		if (r == 0)
			r = cache_rule_filter(rule, arena_strndup(a, text, (size_t)(eq - text)),
					      arena_strdup(a, eq + 1), err);
	}
	return r < 0 ? error_wrap(err, r, "%s", path) : 0;
}

static int read_rule_member(struct arena *a, const struct json_member *m, const char *path,
			    int64_t disk_bytes, struct cache_rule *rule, struct error *err)
{
	const struct json *v = m->value;

	if (strcmp(m->key, "all") == 0) {
		if (v->type != JSON_BOOL)
			return error_set(err, ERR_INVALID, "%s: want true or false", path);
		rule->all = v->b;
		return 0;
	}
	if (strcmp(m->key, "filter") == 0)
		return read_filter(v, path, rule, a, err);
	if (strcmp(m->key, "keepDuration") == 0)
		return read_duration(v, path, &rule->unused_ns, err);
	if (strcmp(m->key, "keepStorage") == 0 || strcmp(m->key, "reservedSpace") == 0)
		return read_bytes(v, path, disk_bytes, &rule->reserved_bytes, err);
	if (strcmp(m->key, "maxUsedSpace") == 0)
		return read_bytes(v, path, disk_bytes, &rule->max_used_bytes, err);
	if (strcmp(m->key, "minFreeSpace") == 0)
		return read_bytes(v, path, disk_bytes, &rule->min_free_bytes, err);
	return error_set(err, ERR_INVALID, "%s is not a configuration option", path);
}

static int read_policy(struct arena *a, const struct json *list, int64_t disk_bytes,
		       struct cache_rules *ret, struct error *err)
{
	struct cache_rule *rules;
	size_t n = 0;
	int r = 0;

	if (list->type != JSON_ARRAY)
		return error_set(err, ERR_INVALID, "builder.gc.policy: want a list");
	rules = arena_array(a, list->n_items + 1, sizeof(*rules));
	json_for_each_item (item, list) {
		struct cache_rule *rule = &rules[n];

		*rule = (struct cache_rule)CACHE_RULE_INIT;
		if (item->type != JSON_OBJECT)
			return error_set(err, ERR_INVALID, "builder.gc.policy[%zu]: want an object",
					 n);
		json_for_each_member (m, item) {
			if (r == 0)
				r = read_rule_member(
				    a, m, arena_format(a, "builder.gc.policy[%zu].%s", n, m->key),
				    disk_bytes, rule, err);
		}
		n++;
	}
	*ret = (struct cache_rules){ rules, n };
	return r;
}

/* Caches of package managers that nobody used for two days; then what was not used for sixty;
 * then what images do not share; then anything. */
static void default_policy(struct arena *a, const struct cache_rule *limits,
			   struct cache_rules *ret)
{
	struct cache_rule *rules = arena_array(a, 4, sizeof(*rules));

	for (size_t i = 0; i < 4; i++)
		rules[i] = *limits;
	rules[0] = (struct cache_rule)CACHE_RULE_INIT;
	rules[0].types = CACHE_MOUNT;
	rules[0].unused_ns = 48 * HOUR_NS;
	rules[0].max_used_bytes = 512 << 20;
	rules[1].unused_ns = 60 * 24 * HOUR_NS;
	rules[3].all = true;
	*ret = (struct cache_rules){ rules, 4 };
}

static int read_gc_member(struct arena *a, const struct json_member *m, int64_t disk_bytes,
			  struct cache_rule *limits, bool *enabled, struct cache_rules *ret,
			  struct error *err)
{
	static const struct {
		const char *key;
		size_t at;
	} sizes[] = {
		{ "defaultKeepStorage", offsetof(struct cache_rule, reserved_bytes) },
		{ "defaultReservedSpace", offsetof(struct cache_rule, reserved_bytes) },
		{ "defaultMaxUsedSpace", offsetof(struct cache_rule, max_used_bytes) },
		{ "defaultMinFreeSpace", offsetof(struct cache_rule, min_free_bytes) },
	};
	const char *path = arena_format(a, "builder.gc.%s", m->key);

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		if (strcmp(sizes[i].key, m->key) == 0)
			return read_bytes(m->value, path, disk_bytes,
					  (int64_t *)(void *)((char *)limits + sizes[i].at), err);
	}
	if (strcmp(m->key, "policy") == 0)
		return read_policy(a, m->value, disk_bytes, ret, err);
	if (strcmp(m->key, "enabled") != 0)
		return error_set(err, ERR_INVALID, "%s is not a configuration option", path);
	if (m->value->type != JSON_BOOL)
		return error_set(err, ERR_INVALID, "%s: want true or false", path);
	*enabled = m->value->b;
	return 0;
}

int cache_rules_read(struct arena *a, const struct json *j, int64_t disk_bytes,
		     struct cache_rules *ret, struct error *err)
{
	const struct json *gc = json_get(j, "gc");
	struct cache_rule limits = CACHE_RULE_INIT;
	struct cache_rules rules = { 0 };
	bool enabled = true;
	int r = 0;

	limits.reserved_bytes = disk_bytes / 10;
	limits.max_used_bytes = disk_bytes / 10 * 8;
	limits.min_free_bytes = disk_bytes / 5;
	/* Peer: to dockerd 20.10 this word is the limit, not the floor. */
	if (json_get(gc, "defaultKeepStorage") != NULL)
		limits.max_used_bytes = limits.min_free_bytes = 0;
	json_for_each_member (m, j) {
		if (strcmp(m->key, "gc") != 0 && strcmp(m->key, "entitlements") != 0)
			return error_set(err, ERR_UNIMPLEMENTED, "builder.%s is not supported yet",
					 m->key);
	}
	if (gc != NULL && gc->type != JSON_OBJECT)
		return error_set(err, ERR_INVALID, "builder.gc: want an object");
	json_for_each_member (m, gc) {
		if (r == 0)
			r = read_gc_member(a, m, disk_bytes, &limits, &enabled, &rules, err);
	}
	if (r < 0)
		return r;
	if (rules.n == 0)
		default_policy(a, &limits, &rules);
	if (!enabled)
		rules.n = 0;
	*ret = rules;
	return 0;
}
