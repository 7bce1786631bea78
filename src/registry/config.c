#include "registry/config.h"

#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "registry/config_member.h"

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
		const struct config_member members[] = {
			{ "repositories", CONFIG_TEXT, &rule->repos },
			{ "tags", CONFIG_TEXT, &rule->tags },
			{ "keepLast", CONFIG_COUNT, &rule->keep_last },
			{ "keepAge", CONFIG_DURATION, &rule->keep_age_ns },
		};
		int r = config_object(item, arena_format(a, "retention[%zu]", c->n_retain - 1),
				      members, ARRAY_LEN(members), err);

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
		const struct config_member members[] = {
			{ "prefix", CONFIG_ANY_TEXT, &m->prefix },
			{ "upstream", CONFIG_TEXT, &m->upstream },
			{ "username", CONFIG_TEXT, &m->username },
			{ "password", CONFIG_TEXT, &m->password },
			{ "insecure", CONFIG_FLAG, &m->insecure },
			{ "tagTTL", CONFIG_DURATION, &m->tag_ttl_ns },
		};
		const char *what = arena_format(a, "mirrors[%zu]", c->n_mirrors - 1);
		int r = config_object(item, what, members, ARRAY_LEN(members), err);

		if (r < 0)
			return r;
		if (m->upstream == NULL)
			return error_set(err, ERR_INVALID, "%s: 'upstream' is missing", what);
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
	const struct config_member top[] = {
		{ "data", CONFIG_TEXT, &c->data },
		{ "listen", CONFIG_OTHER, &listen },
		{ "tls", CONFIG_OTHER, &tls },
		{ "externalUrl", CONFIG_TEXT, &c->external_url },
		{ "auth", CONFIG_OTHER, &c->auth },
		{ "limits", CONFIG_OTHER, &limits },
		{ "readOnly", CONFIG_FLAG, &c->read_only },
		{ "allowDelete", CONFIG_FLAG, &c->allow_delete },
		{ "sparseManifests", CONFIG_FLAG, &c->sparse_manifests },
		{ "metrics", CONFIG_FLAG, &c->metrics },
		{ "auditLog", CONFIG_TEXT, &c->audit_path },
		{ "gc", CONFIG_OTHER, &gc },
		{ "retention", CONFIG_OTHER, &retention },
		{ "mirrors", CONFIG_OTHER, &mirrors },
	};
	const struct config_member tls_members[] = {
		{ "certificate", CONFIG_TEXT, &c->tls_cert },
		{ "key", CONFIG_TEXT, &c->tls_key },
		{ "clientCA", CONFIG_TEXT, &c->tls_client_ca },
	};
	const struct config_member limit_members[] = {
		{ "maxBlobSize", CONFIG_BYTES, &c->max_blob_bytes },
		{ "maxConnections", CONFIG_COUNT, &c->max_connections },
		{ "maxConnectionsPerPeer", CONFIG_COUNT, &c->max_per_peer },
		{ "requestsPerSecond", CONFIG_NUMBER, &c->requests_per_second },
		{ "burst", CONFIG_COUNT, &c->burst },
	};
	const struct config_member gc_members[] = {
		{ "interval", CONFIG_DURATION, &c->gc_interval_ns },
		{ "grace", CONFIG_DURATION, &c->gc.grace_ns },
		{ "uploadAge", CONFIG_DURATION, &c->gc.upload_age_ns },
		{ "untagged", CONFIG_FLAG, &c->gc.untagged },
	};
	int r = config_object(doc, "", top, ARRAY_LEN(top), err);

	if (r == 0)
		r = read_listen(a, listen, c, err);
	if (r == 0)
		r = config_object(tls, "tls", tls_members, ARRAY_LEN(tls_members), err);
	if (r == 0)
		r = config_object(limits, "limits", limit_members, ARRAY_LEN(limit_members), err);
	if (r == 0)
		r = config_object(gc, "gc", gc_members, ARRAY_LEN(gc_members), err);
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
