/*
 * api/call.h: one API call: what every resource file works with.
 *
 * A route's function returns 0 when it has answered, or an error, which the
 * router turns into {"message"} with the status of its kind. Once the head is
 * on the wire an error can only cut the connection.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api/router.h"
#include "base/json.h"
#include "base/jsonw.h"
#include "http/server.h"

#define API_BODY_MAX   (16 * 1024 * 1024) /* a JSON body of a request */
#define API_ANSWER_MAX (512 * 1024 * 1024)
#define API_ARGS_MAX   2

struct api {
	struct api_config config;
	/* Change with a reload while requests read them. */
	_Atomic(const char *const *) mirrors, insecure;
};

struct call {
	struct api *api;
	struct engine *engine;
	struct http_request *req;
	struct http_response *res;
	int version;                    /* minor of the API version: 24..51 */
	const char *args[API_ARGS_MAX]; /* what the wildcards of the pattern matched */
};

typedef int (*route_fn)(struct call *c, struct error *err);

/*
 * pattern  segments; one that is a star takes one segment, two stars take one or
 *          more (image names hold slashes) as long as the rest matches
 */
struct route {
	const char *method;
	const char *pattern;
	route_fn fn;
};

struct route_table {
	const struct route *at;
	size_t len;
};

/* One table a resource file. */
extern const struct route_table routes_system, routes_container, routes_archive, routes_exec,
    routes_image, routes_network, routes_volume, routes_build, routes_other;

/* Match decoded path against pattern; args in the arena. */
bool route_match(const char *pattern, const char *path, struct arena *a,
		 const char *args[API_ARGS_MAX]);

/* ---- what came in ---- */
static inline const char *call_query(const struct call *c, const char *key)
{
	return http_query_get(&c->req->query, key);
}
static inline bool call_flag(const struct call *c, const char *key, bool def)
{
	return http_query_bool(&c->req->query, key, def);
}
/* NULL for absent and for "". */
const char *call_text(const struct call *c, const char *key);
/* Values of a repeated key, NULL-terminated, in the request's arena; NULL when none. */
const char *const *call_list(const struct call *c, const char *key);
/* JSON of a query key; *ret NULL when absent or empty. ERR_INVALID names the key. */
MUST_CHECK int call_query_json(struct call *c, const char *key, const struct json **ret,
			       struct error *err);
/* The query key "filters". */
MUST_CHECK int call_filters(struct call *c, const struct json **ret, struct error *err);
/*
 * The JSON body. required: an empty body is ERR_INVALID, else *ret is NULL then.
 * Another Content-Type than JSON with a body is ERR_INVALID, as dockerd has it.
 */
MUST_CHECK int call_body(struct call *c, bool required, const struct json **ret, struct error *err);
/* X-Registry-Auth as JSON, NULL when absent, empty or null. */
MUST_CHECK int call_registry_auth(struct call *c, const char *header, const struct json **ret,
				  struct error *err);

/* ---- what goes out ---- */
/*
 *     struct answer a;
 *     answer_begin(&a);
 *     r = container_inspect(c->engine, name, size, &a.w, err);
 *     return answer_end(&a, c, 200, r, err);
 */
struct answer {
	struct buf buf;
	struct jsonw w;
};
void answer_begin(struct answer *a);
/* Send the value when r == 0, else give r back; releases a. */
MUST_CHECK int answer_end(struct answer *a, struct call *c, int status, int r, struct error *err);
/* Answer 200 with what an engine's function writes for the filters of the query. */
MUST_CHECK int answer_filtered(struct call *c,
			       int (*fn)(struct engine *e, const struct json *filters,
					 struct jsonw *w, struct error *err),
			       struct error *err);
/* Status without a body. */
MUST_CHECK int answer_empty(struct call *c, int status, struct error *err);
MUST_CHECK int answer_text(struct call *c, int status, const char *type, const char *text,
			   struct error *err);

/*
 * A writer that sends the head (200, chunked) with its first write, which may be
 * empty: until then the call may still fail with a status.
 */
struct stream {
	struct writer writer;
	struct call *c;
	struct writer *out; /* NULL before the head */
	bool messages;      /* JSON objects: CR LF behind each, the last tells errors */
};
void stream_init(struct stream *s, struct call *c, const char *content_type);
/* For streams of progress (engine/image.h): each write is one JSON object, which
 * gets its CR LF here; an error behind the head has been told in the stream. */
void message_stream_init(struct stream *s, struct call *c);
/* r of the function that wrote: an error before the head is given back, one after
 * it cuts the connection; success sends the head if nobody has. */
MUST_CHECK int stream_end(struct stream *s, int r, struct error *err);
