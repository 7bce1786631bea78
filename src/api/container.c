#include "engine/container.h"

#include <string.h>

#include "api/attach.h"
#include "api/call.h"
#include "base/buf.h"
#include "base/str.h"
#include "engine/stats.h"

#define ATTACH_BODY_MAX 65536

static int create(struct call *c, struct error *err)
{
	const struct json *body;
	struct answer a;
	int r;

	r = call_body(c, true, &body, err);
	if (r < 0)
		return r;
	answer_begin(&a);
	r = container_create(c->engine, call_text(c, "name"), call_text(c, "platform"), body, &a.w,
			     err);
	return answer_end(&a, c, 201, r, err);
}

static int list(struct call *c, struct error *err)
{
	const struct json *filters;
	int64_t limit;
	struct answer a;
	int r;

	r = call_filters(c, &filters, err);
	if (r == 0)
		r = http_query_int(&c->req->query, "limit", 0, &limit, err);
	if (r < 0)
		return r;
	answer_begin(&a);
	r = container_list(c->engine, call_flag(c, "all", false), limit,
			   call_flag(c, "size", false), filters, &a.w, err);
	return answer_end(&a, c, 200, r, err);
}

static int inspect(struct call *c, struct error *err)
{
	struct answer a;
	int r;

	answer_begin(&a);
	r = container_inspect(c->engine, c->args[0], call_flag(c, "size", false), &a.w, err);
	return answer_end(&a, c, 200, r, err);
}

/* 204, or 304 when it was so already. */
static int answer_changed(struct call *c, int r, bool changed, struct error *err)
{
	return r < 0 ? r : answer_empty(c, changed ? 204 : 304, err);
}

static int start(struct call *c, struct error *err)
{
	bool changed = false;
	int r = container_start(c->engine, c->args[0], call_text(c, "detachKeys"), &changed, err);

	return answer_changed(c, r, changed, err);
}

static int read_timeout(struct call *c, int32_t *ret, struct error *err)
{
	int64_t t;
	int r = http_query_int(&c->req->query, "t", CONTAINER_TIMEOUT_DEFAULT, &t, err);

	if (r < 0)
		return r;
	if (t != CONTAINER_TIMEOUT_DEFAULT && (t < -1 || t > INT32_MAX))
		t = t < -1 ? -1 : INT32_MAX;
	*ret = (int32_t)t;
	return 0;
}

static int stop(struct call *c, struct error *err)
{
	bool changed = false;
	int32_t timeout_s;
	int r = read_timeout(c, &timeout_s, err);

	if (r == 0)
		r = container_stop(c->engine, c->args[0], call_text(c, "signal"), timeout_s,
				   &changed, err);
	return answer_changed(c, r, changed, err);
}

static int restart(struct call *c, struct error *err)
{
	int32_t timeout_s;
	int r = read_timeout(c, &timeout_s, err);

	if (r == 0)
		r = container_restart(c->engine, c->args[0], call_text(c, "signal"), timeout_s,
				      err);
	return answer_changed(c, r, true, err);
}

static int kill_(struct call *c, struct error *err)
{
	int r = container_kill(c->engine, c->args[0], call_text(c, "signal"), err);

	return answer_changed(c, r, true, err);
}

static int pause_(struct call *c, struct error *err)
{
	return answer_changed(c, container_pause(c->engine, c->args[0], err), true, err);
}

static int unpause(struct call *c, struct error *err)
{
	return answer_changed(c, container_unpause(c->engine, c->args[0], err), true, err);
}

static int rename_(struct call *c, struct error *err)
{
	const char *name = call_query(c, "name");
	int r = container_rename(c->engine, c->args[0], name ? name : "", err);

	return answer_changed(c, r, true, err);
}

static int update(struct call *c, struct error *err)
{
	const struct json *body;
	struct answer a;
	int r;

	r = call_body(c, true, &body, err);
	if (r < 0)
		return r;
	answer_begin(&a);
	r = container_update(c->engine, c->args[0], body, &a.w, err);
	return answer_end(&a, c, 200, r, err);
}

static int remove_(struct call *c, struct error *err)
{
	int r = container_remove(c->engine, c->args[0], call_flag(c, "force", false),
				 call_flag(c, "v", false), call_flag(c, "link", false), err);

	return answer_changed(c, r, true, err);
}

int call_size(struct call *c, uint16_t *ret_rows, uint16_t *ret_cols, struct error *err)
{
	int64_t h, w;
	int r = http_query_int(&c->req->query, "h", 0, &h, err);

	if (r == 0)
		r = http_query_int(&c->req->query, "w", 0, &w, err);
	if (r < 0)
		return r;
	if (h < 0 || h > UINT16_MAX || w < 0 || w > UINT16_MAX)
		return error_set(err, ERR_INVALID, "invalid terminal size %lldx%lld", (long long)h,
				 (long long)w);
	*ret_rows = (uint16_t)h;
	*ret_cols = (uint16_t)w;
	return 0;
}

static int resize(struct call *c, struct error *err)
{
	uint16_t rows, cols;
	int r = call_size(c, &rows, &cols, err);

	if (r == 0)
		r = container_resize(c->engine, c->args[0], rows, cols, err);
	return r < 0 ? r : answer_empty(c, 200, err);
}

static int wait_(struct call *c, struct error *err)
{
	enum container_wait_condition condition = WAIT_NOT_RUNNING;
	struct stream s;
	int r;

	r = container_wait_condition_parse(call_query(c, "condition"), &condition, err);
	/* Before 1.42 an unknown word was taken as the default. */
	if (r < 0 && c->version >= 42)
		return r;
	stream_init(&s, c, "application/json");
	r = container_wait(c->engine, c->args[0], condition, &s.writer, c->req->cancel, err);
	return stream_end(&s, r, err);
}

static int prune(struct call *c, struct error *err)
{
	return answer_filtered(c, container_prune, err);
}

static int top(struct call *c, struct error *err)
{
	struct answer a;
	int r;

	answer_begin(&a);
	r = container_top(c->engine, c->args[0], call_text(c, "ps_args"), &a.w, err);
	return answer_end(&a, c, 200, r, err);
}

static int changes(struct call *c, struct error *err)
{
	struct answer a;
	int r;

	answer_begin(&a);
	r = container_changes(c->engine, c->args[0], &a.w, err);
	return answer_end(&a, c, 200, r, err);
}

static int stats(struct call *c, struct error *err)
{
	bool streaming = call_flag(c, "stream", true);
	struct stream s;
	int r;

	/* A stream has no Content-Type: clients before 1.42 were confused by one. */
	stream_init(&s, c, streaming && c->version < 42 ? NULL : "application/json");
	r = container_stats(c->engine, c->args[0], streaming, call_flag(c, "one-shot", false),
			    &s.writer, c->req->cancel, err);
	return stream_end(&s, r, err);
}

const char *call_raw_type(const struct call *c, bool tty)
{
	return tty || c->version < 42 ? "application/vnd.docker.raw-stream"
				      : "application/vnd.docker.multiplexed-stream";
}

static int logs(struct call *c, struct error *err)
{
	struct container_logs_options o = {
		.follow = call_flag(c, "follow", false),
		.stdout = call_flag(c, "stdout", false),
		.stderr = call_flag(c, "stderr", false),
		.timestamps = call_flag(c, "timestamps", false),
		.details = call_flag(c, "details", false),
		.since = call_text(c, "since"),
		.until = call_text(c, "until"),
		.tail = call_text(c, "tail"),
	};
	struct stream s;
	bool tty = false;
	int r;

	r = container_is_tty(c->engine, c->args[0], &tty, err);
	if (r < 0)
		return r;
	stream_init(&s, c, c->version < 42 ? NULL : call_raw_type(c, tty));
	r = container_logs(c->engine, c->args[0], &o, &s.writer, c->req->cancel, err);
	return stream_end(&s, r, err);
}

int call_attach(struct call *c, struct attach *take_a, struct error *err)
{
	const void *early;
	size_t early_len;
	int fd, r;

	http_response_set_header(c->res, "Content-Type", call_raw_type(c, attach_is_tty(take_a)));
	r = http_response_detach(c->res, "tcp", &fd, &early, &early_len, err);
	if (r < 0) {
		attach_abort(take_a);
		return r;
	}
	return attach_commit(take_a, fd, early, early_len, err);
}

static int attach(struct call *c, struct error *err)
{
	struct container_attach_options o = {
		.stream = call_flag(c, "stream", false),
		.stdin = call_flag(c, "stdin", false),
		.stdout = call_flag(c, "stdout", false),
		.stderr = call_flag(c, "stderr", false),
		.logs = call_flag(c, "logs", false),
		.detach_keys = call_text(c, "detachKeys"),
	};
	auto_(buf) body = BUF_INIT(ATTACH_BODY_MAX);
	struct attach *a;
	int r = 0;

	/* dockerode sends its options once more as a body: they are no input of the container. */
	if (c->req->content_length > 0)
		r = http_request_read(c->req, &body, err);
	if (r < 0)
		return r;
	r = container_attach_begin(c->engine, c->args[0], &o, &a, err);
	return r < 0 ? r : call_attach(c, a, err);
}

static int attach_ws(struct call *c, struct error *err)
{
	(void)c;
	return error_set(err, ERR_UNIMPLEMENTED,
			 "attach over a websocket is not supported yet: use POST "
			 "/containers/{id}/attach");
}

static int export(struct call *c, struct error *err)
{
	struct stream s;
	int r;

	stream_init(&s, c, "application/octet-stream");
	r = container_export(c->engine, c->args[0], &s.writer, c->req->cancel, err);
	return stream_end(&s, r, err);
}

static int commit(struct call *c, struct error *err)
{
	struct container_commit_options o = {
		.repo = call_text(c, "repo"),
		.tag = call_text(c, "tag"),
		.comment = call_text(c, "comment"),
		.author = call_text(c, "author"),
		.no_pause = !call_flag(c, "pause", true),
		.changes = call_list(c, "changes"),
	};
	const char *ref = call_text(c, "container");
	const struct json *body;
	struct answer a;
	int r;

	if (ref == NULL)
		return error_set(err, ERR_INVALID, "container name or ID is required");
	r = call_body(c, false, &body, err);
	if (r < 0)
		return r;
	answer_begin(&a);
	r = container_commit(c->engine, ref, &o, body, &a.w, err);
	return answer_end(&a, c, 201, r, err);
}

static int checkpoint(struct call *c, struct error *err)
{
	(void)c;
	return error_set(err, ERR_NOT_FOUND, "page not found");
}

static const struct route routes[] = {
	{ "GET", "/containers/json", list },
	{ "POST", "/containers/create", create },
	{ "POST", "/containers/prune", prune },
	{ "GET", "/containers/*/json", inspect },
	{ "GET", "/containers/*/top", top },
	{ "GET", "/containers/*/logs", logs },
	{ "GET", "/containers/*/changes", changes },
	{ "GET", "/containers/*/stats", stats },
	{ "GET", "/containers/*/export", export },
	{ "POST", "/containers/*/start", start },
	{ "POST", "/containers/*/stop", stop },
	{ "POST", "/containers/*/restart", restart },
	{ "POST", "/containers/*/kill", kill_ },
	{ "POST", "/containers/*/pause", pause_ },
	{ "POST", "/containers/*/unpause", unpause },
	{ "POST", "/containers/*/rename", rename_ },
	{ "POST", "/containers/*/update", update },
	{ "POST", "/containers/*/resize", resize },
	{ "POST", "/containers/*/wait", wait_ },
	{ "POST", "/containers/*/attach", attach },
	{ "GET", "/containers/*/attach/ws", attach_ws },
	{ "*", "/containers/*/checkpoints", checkpoint },
	{ "POST", "/commit", commit },
	{ "DELETE", "/containers/**", remove_ },
};
const struct route_table routes_container = { routes, ARRAY_LEN(routes) };
