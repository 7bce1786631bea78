#include "engine/image.h"

#include <string.h>

#include "api/call.h"
#include "base/str.h"

static int no_platform(struct call *c, struct error *err)
{
	if (call_text(c, "platform"))
		return error_set(err, ERR_UNIMPLEMENTED,
				 "choosing a platform of a local image is not supported yet");
	return 0;
}

static int list(struct call *c, struct error *err)
{
	struct engine_image_list o = {
		.all = call_flag(c, "all", false),
		.digests = call_flag(c, "digests", false),
		.shared_size = call_flag(c, "shared-size", false),
		.virtual_size = c->version < 44,
	};
	struct answer a;
	int r = call_filters(c, &o.filters, err);

	if (r < 0)
		return r;
	answer_begin(&a);
	r = engine_image_list(c->engine, &o, &a.w, err);
	return answer_end(&a, c, 200, r, err);
}

/* docker-compose 1.x asks in the newest version there is, and makes no container anew without
 * ContainerConfig, which went after 1.43. */
static unsigned inspect_version(const struct call *c)
{
	const char *agent = http_headers_get(&c->req->headers, "User-Agent");

	return c->version > 43 && agent != NULL && cstr_starts(agent, "docker-compose/1.")
		   ? 43
		   : (unsigned)c->version;
}

static int inspect(struct call *c, struct error *err)
{
	struct answer a;
	int r = no_platform(c, err);

	if (r < 0)
		return r;
	answer_begin(&a);
	r = engine_image_inspect(c->engine, c->args[0], inspect_version(c), &a.w, err);
	return answer_end(&a, c, 200, r, err);
}

static int history(struct call *c, struct error *err)
{
	struct answer a;
	int r = no_platform(c, err);

	if (r < 0)
		return r;
	answer_begin(&a);
	r = engine_image_history(c->engine, c->args[0], &a.w, err);
	return answer_end(&a, c, 200, r, err);
}

static int blame(struct call *c, struct error *err)
{
	const char *path = call_text(c, "path");
	struct answer a;
	int r;

	if (path == NULL)
		return error_set(err, ERR_INVALID, "path is required");
	answer_begin(&a);
	r = engine_image_blame(c->engine, c->args[0], path, &a.w, err);
	return answer_end(&a, c, 200, r, err);
}

static int tag(struct call *c, struct error *err)
{
	const char *repo = call_query(c, "repo");
	int r = engine_image_tag(c->engine, c->args[0], repo ? repo : "", call_text(c, "tag"), err);

	return r < 0 ? r : answer_empty(c, 201, err);
}

static int delete (struct call *c, struct error *err)
{
	struct answer a;
	int r;

	answer_begin(&a);
	r = engine_image_delete(c->engine, c->args[0], call_flag(c, "force", false),
				call_flag(c, "noprune", false), &a.w, err);
	return answer_end(&a, c, 200, r, err);
}

static int prune(struct call *c, struct error *err)
{
	return answer_filtered(c, engine_image_prune, err);
}

static int pull(struct call *c, struct error *err)
{
	struct engine_image_pull p = {
		.from_image = call_text(c, "fromImage"),
		.tag = call_text(c, "tag"),
		.platform = call_text(c, "platform"),
	};
	struct stream s;
	int r = call_registry_auth(c, "X-Registry-Auth", &p.auth, err);

	if (r < 0)
		return r;
	message_stream_init(&s, c);
	r = engine_image_pull(c->engine, &p, &s.writer, c->req->cancel, err);
	return stream_end(&s, r, err);
}

static int import(struct call *c, const char *from, struct error *err)
{
	struct engine_image_import i = {
		.from = from,
		.repo = call_text(c, "repo"),
		.tag = call_text(c, "tag"),
		.message = call_text(c, "message"),
		.changes = call_list(c, "changes"),
		.platform = call_text(c, "platform"),
	};
	struct stream s;
	int r;

	message_stream_init(&s, c);
	r = engine_image_import(c->engine, &i, c->req->body, &s.writer, c->req->cancel, err);
	return stream_end(&s, r, err);
}

static int create(struct call *c, struct error *err)
{
	const char *from = call_text(c, "fromSrc");

	if (call_text(c, "fromImage"))
		return pull(c, err);
	if (from)
		return import(c, from, err);
	return error_set(err, ERR_INVALID, "either fromImage or fromSrc must be given");
}

static int push(struct call *c, struct error *err)
{
	const struct json *auth;
	struct stream s;
	int r = no_platform(c, err);

	if (r == 0)
		r = call_registry_auth(c, "X-Registry-Auth", &auth, err);
	if (r < 0)
		return r;
	message_stream_init(&s, c);
	r = engine_image_push(c->engine, c->args[0], call_text(c, "tag"), auth, &s.writer,
			      c->req->cancel, err);
	return stream_end(&s, r, err);
}

static int save(struct call *c, const char *const *names, struct error *err)
{
	struct stream s;
	size_t n = 0;
	int r = no_platform(c, err);

	if (r < 0)
		return r;
	while (names && names[n])
		n++;
	if (n == 0)
		return error_set(err, ERR_INVALID, "no image names given");
	stream_init(&s, c, "application/x-tar");
	r = engine_image_save(c->engine, names, n, &s.writer, c->req->cancel, err);
	return stream_end(&s, r, err);
}

static int save_many(struct call *c, struct error *err)
{
	return save(c, call_list(c, "names"), err);
}

static int save_one(struct call *c, struct error *err)
{
	const char *names[] = { c->args[0], NULL };

	return save(c, names, err);
}

static int load(struct call *c, struct error *err)
{
	struct stream s;
	int r = no_platform(c, err);

	if (r < 0)
		return r;
	message_stream_init(&s, c);
	r = engine_image_load(c->engine, c->req->body, call_flag(c, "quiet", false), &s.writer,
			      c->req->cancel, err);
	return stream_end(&s, r, err);
}

static int search(struct call *c, struct error *err)
{
	const struct json *filters, *auth;
	const char *term = call_text(c, "term");
	struct answer a;
	int64_t limit;
	int r = call_filters(c, &filters, err);

	if (r == 0)
		r = http_query_int(&c->req->query, "limit", 25, &limit, err);
	if (r == 0)
		r = call_registry_auth(c, "X-Registry-Auth", &auth, err);
	if (r == 0 && (limit < 1 || limit > 100))
		r = error_set(err, ERR_INVALID, "limit %lld is outside the range of [1, 100]",
			      (long long)limit);
	if (r == 0 && term == NULL)
		r = error_set(err, ERR_INVALID, "missing parameter: term");
	if (r < 0)
		return r;
	answer_begin(&a);
	r = engine_image_search(c->engine, term, limit, filters, auth, c->req->cancel, &a.w, err);
	return answer_end(&a, c, 200, r, err);
}

/* What a registry says about c->args[0]. */
static int ask_registry(struct call *c,
			int (*fn)(struct engine *e, const char *name, const struct json *auth,
				  const struct cancel *cancel, struct jsonw *w, struct error *err),
			struct error *err)
{
	const struct json *auth;
	struct answer a;
	int r = call_registry_auth(c, "X-Registry-Auth", &auth, err);

	if (r < 0)
		return r;
	answer_begin(&a);
	r = fn(c->engine, c->args[0], auth, c->req->cancel, &a.w, err);
	return answer_end(&a, c, 200, r, err);
}

static int distribution(struct call *c, struct error *err)
{
	return ask_registry(c, engine_distribution, err);
}

static int remote_tags(struct call *c, struct error *err)
{
	return ask_registry(c, engine_image_remote_tags, err);
}

static int auth(struct call *c, struct error *err)
{
	const struct json *body;
	struct answer a;
	int r = call_body(c, true, &body, err);

	if (r < 0)
		return r;
	answer_begin(&a);
	r = engine_auth(c->engine, body, c->req->cancel, &a.w, err);
	return answer_end(&a, c, 200, r, err);
}

static int store_check(struct call *c, struct error *err)
{
	struct answer a;
	int r;

	answer_begin(&a);
	r = engine_store_check(c->engine, call_flag(c, "repair", false), c->req->cancel, &a.w, err);
	return answer_end(&a, c, 200, r, err);
}

static int no_attestations(struct call *c, struct error *err)
{
	(void)c;
	return error_set(err, ERR_UNIMPLEMENTED, "attestations are not supported yet");
}

static const struct route routes[] = {
	{ "GET", "/images/json", list },
	{ "GET", "/images/search", search },
	{ "GET", "/images/get", save_many },
	{ "POST", "/images/create", create },
	{ "POST", "/images/load", load },
	{ "POST", "/images/prune", prune },
	{ "GET", "/images/**/json", inspect },
	{ "GET", "/images/**/history", history },
	{ "GET", "/images/**/blame", blame },
	{ "GET", "/images/**/get", save_one },
	{ "GET", "/images/**/attestations", no_attestations },
	{ "GET", "/images/**/remote-tags", remote_tags },
	{ "POST", "/images/**/push", push },
	{ "POST", "/images/**/tag", tag },
	{ "DELETE", "/images/**", delete },
	{ "GET", "/distribution/**/json", distribution },
	{ "POST", "/auth", auth },
	{ "POST", "/store/check", store_check },
};
const struct route_table routes_image = { routes, ARRAY_LEN(routes) };
