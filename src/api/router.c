#include "api/router.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "api/status.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "engine/engine.h"

static const struct route_table *const tables[] = {
	&routes_system,  &routes_container, &routes_archive, &routes_exec,  &routes_image,
	&routes_network, &routes_volume,    &routes_build,   &routes_other,
};

struct api *api_new(const struct api_config *config)
{
	struct api *a = new0(struct api);

	a->config = *config;
	api_set_registries(a, config->registry_mirrors, config->insecure_registries);
	return a;
}

void api_set_registries(struct api *a, const char *const *mirrors, const char *const *insecure)
{
	atomic_store(&a->mirrors, mirrors);
	atomic_store(&a->insecure, insecure);
}

void api_free(struct api *a)
{
	free(a);
}

static struct str first_segment(struct str *s)
{
	struct str segment;
	ptrdiff_t slash;

	s->at++;
	s->len--;
	slash = str_find(*s, '/');
	segment = slash < 0 ? *s : str_sub(*s, 0, (size_t)slash);
	s->at += segment.len;
	s->len -= segment.len;
	return segment;
}

static int minor_of(const char *version)
{
	uint64_t n = 0;

	return parse_u64(str_of(version + 2), 9999, &n, NULL) < 0 ? -1 : (int)n;
}

/* "1.41" in all its digits; -1 when it is no version. */
static int parse_version(struct str s)
{
	uint64_t major, minor;
	ptrdiff_t dot = str_find(s, '.');

	if (dot <= 0 || parse_u64(str_sub(s, 0, (size_t)dot), 9999, &major, NULL) < 0 ||
	    parse_u64(str_sub(s, (size_t)dot + 1, s.len), 9999, &minor, NULL) < 0)
		return -1;
	return major == 1 ? (int)minor : (int)(major * 10000);
}

/* Cut "/v1.41" off *path. 0 when there is none or it is served. */
static int take_version(struct call *c, const char **path, struct error *err)
{
	struct str s = str_of(*path), segment;
	int version;

	c->version = minor_of(API_VERSION_MAX);
	if (!str_starts(s, "/v") || s.len < 3 || s.at[2] < '0' || s.at[2] > '9')
		return 0;
	segment = first_segment(&s);
	segment = str_sub(segment, 1, segment.len);
	version = parse_version(segment);
	if (version < 0)
		return 0;
	if (version > c->version)
		return error_set(err, ERR_INVALID,
				 "client version %.*s is too new. Maximum supported API version "
				 "is " API_VERSION_MAX,
				 STR_ARG(segment));
	if (version < minor_of(API_VERSION_MIN))
		return error_set(err, ERR_INVALID,
				 "client version %.*s is too old. Minimum supported API version "
				 "is " API_VERSION_MIN ", please upgrade your client to a newer "
				 "version",
				 STR_ARG(segment));
	c->version = version;
	*path = s.len > 0 ? s.at : "/";
	return 0;
}

static const struct route *find_route(struct call *c, const char *path, bool *ret_other_method)
{
	const char *method = c->req->method;

	for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
		for (size_t i = 0; i < tables[t]->len; i++) {
			const struct route *route = &tables[t]->at[i];

			if (!route_match(route->pattern, path, c->req->arena, c->args))
				continue;
			if (strcmp(route->method, "*") == 0 || strcmp(route->method, method) == 0)
				return route;
			*ret_other_method = true;
		}
	}
	return NULL;
}

static void answer_error(struct call *c, const struct error *why)
{
	auto_(buf) b = BUF_INIT(64 * 1024);
	struct jsonw w;

	if (http_response_started(c->res)) {
		http_response_abort(c->res);
		return;
	}
	jsonw_init(&w, &b);
	jsonw_object(&w);
	jsonw_kstring(&w, "message", why->msg);
	jsonw_end(&w);
	if (jsonw_finish(&w, NULL) < 0 || buf_add(&b, "\n", 1, NULL) < 0)
		return;
	http_response_set_status(c->res, api_status(why->kind));
	http_response_set_header(c->res, "Content-Type", "application/json");
	(void)!http_response_send(c->res, b.data, b.len, NULL);
}

static bool is_removal(const struct route *route)
{
	return strcmp(route->method, "DELETE") == 0 || cstr_ends(route->pattern, "/prune");
}

static int dispatch(struct call *c, struct error *err)
{
	const char *path = c->req->path;
	const struct route *route;
	bool other_method = false;
	int r;

	r = take_version(c, &path, err);
	if (r < 0)
		return r;
	if (strcmp(c->req->method, "OPTIONS") == 0)
		return answer_empty(c, 200, err);
	route = find_route(c, path, &other_method);
	if (route && is_removal(route)) {
		engine_removal_begins(c->engine);
		r = route->fn(c, err);
		engine_removal_ends(c->engine);
		return r;
	}
	if (route)
		return route->fn(c, err);
	/* dockerd's router says the same for an unknown path and an unknown method. */
	return error_set(err, ERR_NOT_FOUND, "page not found");
}

void api_handle(void *arg, struct http_request *req, struct http_response *res)
{
	struct api *a = arg;
	struct call c = { .api = a, .engine = a->config.engine, .req = req, .res = res };
	int64_t start_ns = clock_mono_ns();
	struct error err = { 0 };
	int r;

	http_response_set_header(res, "Api-Version", API_VERSION_MAX);
	http_response_set_header(res, "Docker-Experimental",
				 a->config.experimental ? "true" : "false");
	http_response_set_header(res, "Ostype", "linux");
	http_response_set_header(res, "Server", "proa/" PROA_VERSION " (linux)");
	r = dispatch(&c, &err);
	if (r < 0 && r != -ERR_CANCELED && api_status(err.kind) == 500)
		log_error("request failed", KV("method", req->method), KV("path", req->path),
			  KV_ERR(&err));
	if (r < 0)
		answer_error(&c, &err);
	log_debug("request", KV("method", req->method), KV("path", req->path),
		  KV_INT("us", (clock_mono_ns() - start_ns) / 1000));
}
