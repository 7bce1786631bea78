#include <string.h>
#include <sys/utsname.h>

#include "api/call.h"
#include "api/info.h"
#include "base/str.h"
#include "engine/build.h"
#include "engine/event.h"
#include "engine/image.h"
#include "engine/stats.h"
#include "engine/volume.h"

/* HEAD and GET, never versioned, never cached. */
static int ping(struct call *c, struct error *err)
{
	struct http_response *res = c->res;

	http_response_set_header(res, "Builder-Version", "1");
	http_response_set_header(res, "Swarm", "inactive");
	http_response_set_header(res, "Cache-Control", "no-cache, no-store, must-revalidate");
	http_response_set_header(res, "Pragma", "no-cache");
	http_response_set_header(res, "Content-Type", "text/plain; charset=utf-8");
	/* dockerd answers HEAD with length 0, not with the length of GET's body. */
	return http_response_send(res, "OK", strcmp(c->req->method, "HEAD") == 0 ? 0 : 2, err);
}

static int version(struct call *c, struct error *err)
{
	struct utsname uts = { 0 };
	struct answer a;
	struct jsonw *w = &a.w;

	uname(&uts);
	answer_begin(&a);
	jsonw_object(w);
	jsonw_kobject(w, "Platform");
	jsonw_kstring(w, "Name", "proa");
	jsonw_end(w);
	jsonw_karray(w, "Components");
	jsonw_object(w);
	jsonw_kstring(w, "Name", "Engine");
	jsonw_kstring(w, "Version", PROA_VERSION);
	jsonw_kobject(w, "Details");
	jsonw_kstring(w, "ApiVersion", API_VERSION_MAX);
	jsonw_kstring(w, "Arch", api_go_arch(uts.machine));
	jsonw_kstring(w, "BuildTime", "");
	jsonw_kstring(w, "Experimental", c->api->config.experimental ? "true" : "false");
	jsonw_kstring(w, "GitCommit", "");
	jsonw_kstring(w, "GoVersion", "");
	jsonw_kstring(w, "KernelVersion", uts.release);
	jsonw_kstring(w, "MinAPIVersion", API_VERSION_MIN);
	jsonw_kstring(w, "Os", "linux");
	jsonw_end(w);
	jsonw_end(w);
	jsonw_object(w);
	jsonw_kstring(w, "Name", "proa-runtime");
	jsonw_kstring(w, "Version", PROA_VERSION);
	jsonw_kobject(w, "Details");
	jsonw_kstring(w, "GitCommit", "");
	jsonw_end(w);
	jsonw_end(w);
	jsonw_end(w);
	jsonw_kstring(w, "Version", PROA_VERSION);
	jsonw_kstring(w, "ApiVersion", API_VERSION_MAX);
	jsonw_kstring(w, "MinAPIVersion", API_VERSION_MIN);
	jsonw_kstring(w, "GitCommit", "");
	jsonw_kstring(w, "GoVersion", "");
	jsonw_kstring(w, "Os", "linux");
	jsonw_kstring(w, "Arch", api_go_arch(uts.machine));
	jsonw_kstring(w, "KernelVersion", uts.release);
	jsonw_kstring(w, "BuildTime", "");
	jsonw_end(w);
	return answer_end(&a, c, 200, 0, err);
}

static int info(struct call *c, struct error *err)
{
	struct answer a;

	answer_begin(&a);
	api_info_write(c->api, &a.w);
	return answer_end(&a, c, 200, 0, err);
}

static int events(struct call *c, struct error *err)
{
	const struct json *filters;
	struct stream s;
	int r;

	r = call_filters(c, &filters, err);
	if (r < 0)
		return r;
	stream_init(&s, c, "application/json");
	r = events_stream(c->engine, call_text(c, "since"), call_text(c, "until"), filters,
			  &s.writer, c->req->cancel, err);
	return stream_end(&s, r, err);
}

/* `type` limits the work to some kinds of object; none means all. */
static bool wants(const char *const *types, const char *type)
{
	if (types == NULL)
		return true;
	for (; *types; types++)
		if (strcmp(*types, type) == 0)
			return true;
	return false;
}

static int check_types(const char *const *types, struct error *err)
{
	static const char *const known[] = { "container", "image", "volume", "build-cache" };

	for (; types && *types; types++) {
		bool found = false;

		for (size_t i = 0; i < ARRAY_LEN(known); i++)
			found = found || strcmp(*types, known[i]) == 0;
		if (!found)
			return error_set(err, ERR_INVALID, "unknown object type: %.64s", *types);
	}
	return 0;
}

static int write_usage(struct call *c, const char *const *types, struct jsonw *w, struct error *err)
{
	int64_t build_bytes = 0, layers_bytes = 0;
	int r = 0;

	jsonw_object(w);
	if (wants(types, "image")) {
		jsonw_key(w, "Images");
		r = engine_image_df(c->engine, w, &layers_bytes, err);
		if (r == 0)
			jsonw_kint(w, "LayersSize", layers_bytes);
	}
	if (r == 0 && wants(types, "container")) {
		jsonw_key(w, "Containers");
		r = container_usage(c->engine, w, err);
	}
	if (r == 0 && wants(types, "volume")) {
		jsonw_key(w, "Volumes");
		r = volume_df(c->engine, w, err);
	}
	if (r == 0 && wants(types, "build-cache")) {
		jsonw_key(w, "BuildCache");
		r = engine_build_usage(c->engine, w, &build_bytes, err);
		if (r == 0 && c->version < 42)
			jsonw_kint(w, "BuilderSize", build_bytes);
	}
	jsonw_end(w);
	return r;
}

static int df(struct call *c, struct error *err)
{
	const char *const *types = c->version >= 42 ? call_list(c, "type") : NULL;
	struct answer a;
	int r = check_types(types, err);

	if (r < 0)
		return r;
	answer_begin(&a);
	r = write_usage(c, types, &a.w, err);
	return answer_end(&a, c, 200, r, err);
}

static const struct route routes[] = {
	{ "HEAD", "/_ping", ping }, { "GET", "/_ping", ping },    { "GET", "/version", version },
	{ "GET", "/info", info },   { "GET", "/events", events }, { "GET", "/system/df", df },
};
const struct route_table routes_system = { routes, ARRAY_LEN(routes) };
