/* engine/config_check.c: is a configuration one that an engine can run with? See engine.h. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "engine/container_internal.h"
#include "engine/engine.h"
#include "network/addr.h"

static int check_ip(const char *value, struct error *err)
{
	struct net_addr a;

	if (cstr_is_empty(value) || net_addr_parse(value, &a, NULL) == 0)
		return 0;
	return error_set(err, ERR_INVALID, "%s is not an ip address", value);
}

static int check_cidr(const char *value, struct error *err)
{
	struct net_prefix p;

	if (cstr_is_empty(value) || (strchr(value, '/') && net_prefix_parse(value, &p, NULL) == 0))
		return 0;
	return error_set(err, ERR_INVALID, "invalid CIDR address: %s", value);
}

static int check_pools(const char *const *pools, struct error *err)
{
	for (; pools && *pools; pools++) {
		autofree char *base = cstr_format("%.*s", (int)strcspn(*pools, ","), *pools);
		int r = check_cidr(base, err);

		if (r < 0)
			return error_wrap(err, r, "default address pool '%s'", *pools);
	}
	return 0;
}

static int check_addresses(const struct engine_config *cfg, struct error *err)
{
	int r = check_cidr(cfg->bip, err);

	if (r == 0)
		r = check_cidr(cfg->fixed_cidr, err);
	if (r == 0)
		r = check_cidr(cfg->fixed_cidr_v6, err);
	if (r == 0)
		r = check_pools(cfg->address_pools, err);
	if (r == 0)
		r = check_ip(cfg->default_publish_ip, err);
	if (r == 0)
		r = check_ip(cfg->host_gateway_ip, err);
	for (const char *const *d = cfg->dns; r == 0 && d && *d; d++)
		r = check_ip(*d, err);
	if (r == 0 && cfg->mtu > 65535)
		r = error_set(err, ERR_INVALID, "invalid default MTU: %d", (int)cfg->mtu);
	return r;
}

static int check_labels(const char *const *labels, struct error *err)
{
	for (const char *const *l = labels; l && *l; l++) {
		size_t len = strcspn(*l, "=");

		if ((*l)[len] == '\0' || len == 0)
			return error_set(err, ERR_INVALID, "bad attribute format: %s", *l);
		for (const char *const *o = labels; o != l; o++)
			if (strncmp(*o, *l, len + 1) == 0 && strcmp(*o, *l) != 0)
				return error_set(err, ERR_INVALID, "conflict labels for %s and %s",
						 *o, *l);
	}
	return 0;
}

/* "http://host[:port][/path]", with or without scheme; "prefix=" in front for other registries. */
static int check_mirror(const char *mirror, struct error *err)
{
	const char *url = strchr(mirror, '=') ? strchr(mirror, '=') + 1 : mirror;
	const char *scheme_end = strstr(url, "://");
	const char *host = scheme_end ? scheme_end + 3 : url;

	if (scheme_end && !cstr_starts(url, "http://") && !cstr_starts(url, "https://"))
		return error_set(err, ERR_INVALID,
				 "invalid mirror: unsupported scheme \"%.*s\" in \"%s\"",
				 (int)(scheme_end - url), url, url);
	if (strcspn(host, "/?# ") == 0 || strpbrk(host, "?# "))
		return error_set(err, ERR_INVALID, "invalid mirror: \"%s\" is not a valid URI",
				 url);
	return 0;
}

/* "host", "host:port" or a CIDR; a scheme in front is forgiven. */
static int check_insecure(const char *entry, struct error *err)
{
	const char *host = strstr(entry, "://") ? strstr(entry, "://") + 3 : entry;
	struct net_prefix p;

	if (*host && (!strpbrk(host, "/ ") || net_prefix_parse(host, &p, NULL) == 0))
		return 0;
	return error_set(err, ERR_INVALID, "insecure registry %s is not valid: invalid host \"%s\"",
			 entry, host);
}

static int check_registries(const struct engine_config *cfg, struct error *err)
{
	int r = 0;

	for (const char *const *m = cfg->registry_mirrors; r == 0 && m && *m; m++)
		r = check_mirror(*m, err);
	for (const char *const *i = cfg->insecure_registries; r == 0 && i && *i; i++)
		r = check_insecure(*i, err);
	return r;
}

static int check_runtime(const struct engine_config *cfg, struct error *err)
{
	const char *name = cfg->default_runtime;

	if (cstr_is_empty(name) || strcmp(name, "proa") == 0)
		return 0;
	for (size_t i = 0; i < cfg->n_runtimes; i++)
		if (strcmp(cfg->runtimes[i].key, name) == 0)
			return 0;
	return error_set(err, ERR_INVALID, "specified default runtime '%s' does not exist", name);
}

static int check_log(const struct engine_config *cfg, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	struct json *opts = json_new_object(&a), *log = json_new_object(&a);

	for (size_t i = 0; i < cfg->n_log_opts; i++)
		json_set(&a, opts, cfg->log_opts[i].key,
			 json_new_string(&a, cfg->log_opts[i].value));
	json_set(&a, log, "Type",
		 json_new_string(&a, cfg->log_driver ? cfg->log_driver : "json-file"));
	json_set(&a, log, "Config", opts);
	return log_config_check(log, err);
}

static int check_ulimits(const struct engine_config *cfg, struct error *err)
{
	for (size_t i = 0; i < cfg->n_default_ulimits; i++) {
		const struct engine_pair *p = &cfg->default_ulimits[i];
		struct str rest = str_of(p->value), soft;
		int64_t n;

		if (!str_split(&rest, ':', &soft) || parse_i64(soft, -1, INT64_MAX, &n, NULL) < 0 ||
		    (rest.len > 0 && parse_i64(rest, -1, INT64_MAX, &n, NULL) < 0))
			return error_set(err, ERR_INVALID, "invalid ulimit argument: %s=%s", p->key,
					 p->value);
	}
	return 0;
}

int engine_config_check(const struct engine_config *cfg, struct error *err)
{
	int r = check_addresses(cfg, err);

	if (r == 0)
		r = check_labels(cfg->labels, err);
	if (r == 0)
		r = check_registries(cfg, err);
	if (r == 0)
		r = check_runtime(cfg, err);
	if (r == 0)
		r = check_log(cfg, err);
	return r < 0 ? r : check_ulimits(cfg, err);
}
