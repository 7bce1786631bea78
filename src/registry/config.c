#include "registry/config.h"

#include <string.h>

#include "base/clock.h"
#include "base/str.h"

void registry_config_init(struct registry_config *c)
{
	static const char *const listen[] = { "127.0.0.1:5000" };

	*c = (struct registry_config){
		.data = "/var/lib/proa-registry",
		.n_listen = 1,
		.max_blob_bytes = 1ULL << 40,
		.max_connections = 20000,
		.max_per_peer = 16000,
		.burst = 100,
		.allow_delete = true,
		.metrics = true,
		.gc_interval_ns = 24 * 3600 * NS_PER_SEC,
		.gc = { .grace_ns = 3600 * NS_PER_SEC, .upload_age_ns = 24 * 3600 * NS_PER_SEC },
	};
	c->listen = (const char **)(uintptr_t)listen;
}

/* Members of one object: a name, a kind, and where it goes. */
struct member {
	const char *key;
	enum { TEXT, FLAG, COUNT, BYTES, DURATION, NUMBER, OTHER } kind;
	void *out;
};

static int read_value(const struct member *m, const struct json *v, struct error *err)
{
	int64_t n;
	int r;

	switch (m->kind) {
	case TEXT:
		if (v->type != JSON_STRING)
			return error_set(err, ERR_INVALID, "want a string");
		*(const char **)m->out = v->s;
		return 0;
	case FLAG:
		if (v->type != JSON_BOOL)
			return error_set(err, ERR_INVALID, "want true or false");
		*(bool *)m->out = v->b;
		return 0;
	case COUNT:
		if (v->type != JSON_INT || v->i < 0 || v->i > 1000000)
			return error_set(err, ERR_INVALID, "want a number from 0 to 1000000");
		*(unsigned *)m->out = (unsigned)v->i;
		return 0;
	case NUMBER:
		if ((v->type != JSON_INT && v->type != JSON_DOUBLE) ||
		    (v->type == JSON_INT ? (double)v->i : v->d) < 0)
			return error_set(err, ERR_INVALID, "want a number");
		*(double *)m->out = v->type == JSON_INT ? (double)v->i : v->d;
		return 0;
	case BYTES:
		if (v->type != JSON_STRING)
			return error_set(err, ERR_INVALID, "want a size such as \"10GB\"");
		r = parse_size(str_of(v->s), &n, err);
		if (r == 0)
			*(uint64_t *)m->out = (uint64_t)n;
		return r;
	case DURATION:
		if (v->type != JSON_STRING)
			return error_set(err, ERR_INVALID, "want a duration such as \"24h\"");
		r = parse_duration(str_of(v->s), &n, err);
		if (r == 0 && n < 0)
			r = error_set(err, ERR_INVALID, "want a duration that is not negative");
		if (r == 0)
			*(int64_t *)m->out = n;
		return r;
	case OTHER:
		*(const struct json **)m->out = v;
		return 0;
	}
	return 0;
}

static int read_object(const struct json *j, const char *what, const struct member *members,
		       size_t n, struct error *err)
{
	if (j == NULL)
		return 0;
	if (j->type != JSON_OBJECT)
		return error_set(err, ERR_INVALID, "%s: want an object", what);
	json_for_each_member (m, j) {
		size_t i = 0;
		int r;

		while (i < n && strcmp(members[i].key, m->key) != 0)
			i++;
		if (i == n)
			return error_set(err, ERR_INVALID, "%s: unknown member '%s'", what, m->key);
		r = read_value(&members[i], m->value, err);
		if (r < 0)
			return error_wrap(err, r, "%s.%s", what, m->key);
	}
	return 0;
}

static int read_retention(struct arena *a, const struct json *list, struct registry_config *c,
			  struct error *err)
{
	if (list == NULL)
		return 0;
	if (list->type != JSON_ARRAY)
		return error_set(err, ERR_INVALID, "retention: want a list");
	c->retain = arena_array(a, list->n_items + 1, sizeof(*c->retain));
	json_for_each_item (item, list) {
		struct retain_rule *rule = &c->retain[c->n_retain++];
		const struct member members[] = {
			{ "repositories", TEXT, &rule->repos },
			{ "tags", TEXT, &rule->tags },
			{ "keepLast", COUNT, &rule->keep_last },
			{ "keepAge", DURATION, &rule->keep_age_ns },
		};
		int r = read_object(item, "retention", members, ARRAY_LEN(members), err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int read_mirrors(struct arena *a, const struct json *list, struct registry_config *c,
			struct error *err)
{
	if (list == NULL)
		return 0;
	if (list->type != JSON_ARRAY)
		return error_set(err, ERR_INVALID, "mirrors: want a list");
	c->mirrors = arena_array(a, list->n_items + 1, sizeof(*c->mirrors));
	json_for_each_item (item, list) {
		struct config_mirror *m = &c->mirrors[c->n_mirrors++];
		const struct member members[] = {
			{ "prefix", TEXT, &m->prefix },     { "upstream", TEXT, &m->upstream },
			{ "username", TEXT, &m->username }, { "password", TEXT, &m->password },
			{ "insecure", FLAG, &m->insecure },
		};
		int r = read_object(item, "mirrors", members, ARRAY_LEN(members), err);

		if (r < 0)
			return r;
		if (m->upstream == NULL)
			return error_set(err, ERR_INVALID, "mirrors: 'upstream' is missing");
		if (m->prefix == NULL)
			m->prefix = "";
	}
	return 0;
}

static int read_listen(struct arena *a, const struct json *list, struct registry_config *c,
		       struct error *err)
{
	if (list == NULL)
		return 0;
	if (list->type != JSON_ARRAY || list->n_items == 0)
		return error_set(err, ERR_INVALID, "listen: want a list of addresses");
	c->listen = arena_array(a, list->n_items, sizeof(*c->listen));
	c->n_listen = 0;
	json_for_each_item (item, list) {
		if (item->type != JSON_STRING)
			return error_set(err, ERR_INVALID, "listen: want strings");
		c->listen[c->n_listen++] = item->s;
	}
	return 0;
}

static int read_doc(struct arena *a, const struct json *doc, struct registry_config *c,
		    struct error *err)
{
	const struct json *listen = NULL, *tls = NULL, *limits = NULL, *gc = NULL;
	const struct json *retention = NULL, *mirrors = NULL;
	const struct member top[] = {
		{ "data", TEXT, &c->data },
		{ "listen", OTHER, &listen },
		{ "tls", OTHER, &tls },
		{ "externalUrl", TEXT, &c->external_url },
		{ "auth", OTHER, &c->auth },
		{ "limits", OTHER, &limits },
		{ "readOnly", FLAG, &c->read_only },
		{ "allowDelete", FLAG, &c->allow_delete },
		{ "sparseManifests", FLAG, &c->sparse_manifests },
		{ "metrics", FLAG, &c->metrics },
		{ "auditLog", TEXT, &c->audit_path },
		{ "gc", OTHER, &gc },
		{ "retention", OTHER, &retention },
		{ "mirrors", OTHER, &mirrors },
	};
	const struct member tls_members[] = {
		{ "certificate", TEXT, &c->tls_cert },
		{ "key", TEXT, &c->tls_key },
		{ "clientCA", TEXT, &c->tls_client_ca },
	};
	const struct member limit_members[] = {
		{ "maxBlobSize", BYTES, &c->max_blob_bytes },
		{ "maxConnections", COUNT, &c->max_connections },
		{ "maxConnectionsPerPeer", COUNT, &c->max_per_peer },
		{ "requestsPerSecond", NUMBER, &c->requests_per_second },
		{ "burst", COUNT, &c->burst },
	};
	const struct member gc_members[] = {
		{ "interval", DURATION, &c->gc_interval_ns },
		{ "grace", DURATION, &c->gc.grace_ns },
		{ "uploadAge", DURATION, &c->gc.upload_age_ns },
		{ "untagged", FLAG, &c->gc.untagged },
	};
	int r = read_object(doc, "configuration", top, ARRAY_LEN(top), err);

	if (r == 0)
		r = read_listen(a, listen, c, err);
	if (r == 0)
		r = read_object(tls, "tls", tls_members, ARRAY_LEN(tls_members), err);
	if (r == 0)
		r = read_object(limits, "limits", limit_members, ARRAY_LEN(limit_members), err);
	if (r == 0)
		r = read_object(gc, "gc", gc_members, ARRAY_LEN(gc_members), err);
	if (r == 0)
		r = read_retention(a, retention, c, err);
	if (r == 0)
		r = read_mirrors(a, mirrors, c, err);
	if (r == 0 && (c->tls_cert == NULL) != (c->tls_key == NULL))
		r = error_set(err, ERR_INVALID, "tls: 'certificate' and 'key' go together");
	return r;
}

int registry_config_read(struct arena *a, const char *text, size_t len, struct registry_config *ret,
			 struct error *err)
{
	struct registry_config c;
	const struct json *doc;
	int r;

	registry_config_init(&c);
	if (text != NULL) {
		r = json_parse(a, text, len, &doc, err);
		if (r == 0)
			r = read_doc(a, doc, &c, err);
		if (r < 0)
			return r;
	}
	*ret = c;
	return 0;
}
