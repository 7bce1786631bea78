#include "engine/exec.h"

#include "api/attach.h"
#include "api/call.h"

static int create(struct call *c, struct error *err)
{
	const struct json *body;
	struct answer a;
	int r;

	r = call_body(c, true, &body, err);
	if (r < 0)
		return r;
	answer_begin(&a);
	r = exec_create(c->engine, c->args[0], body, &a.w, err);
	return answer_end(&a, c, 201, r, err);
}

static int start(struct call *c, struct error *err)
{
	const struct json *body;
	struct attach *a;
	int r;

	r = call_body(c, false, &body, err);
	if (r < 0)
		return r;
	if (json_bool(body, "Detach", false)) {
		r = exec_start_detached(c->engine, c->args[0], body, err);
		return r < 0 ? r : answer_empty(c, 200, err);
	}
	r = exec_start_begin(c->engine, c->args[0], body, &a, err);
	return r < 0 ? r : call_attach(c, a, err);
}

static int inspect(struct call *c, struct error *err)
{
	struct answer a;
	int r;

	answer_begin(&a);
	r = exec_inspect(c->engine, c->args[0], &a.w, err);
	return answer_end(&a, c, 200, r, err);
}

static int resize(struct call *c, struct error *err)
{
	uint16_t rows, cols;
	int r = call_size(c, &rows, &cols, err);

	if (r == 0)
		r = exec_resize(c->engine, c->args[0], rows, cols, err);
	return r < 0 ? r : answer_empty(c, 200, err);
}

static const struct route routes[] = {
	{ "POST", "/containers/*/exec", create },
	{ "POST", "/exec/*/start", start },
	{ "POST", "/exec/*/resize", resize },
	{ "GET", "/exec/*/json", inspect },
};
const struct route_table routes_exec = { routes, ARRAY_LEN(routes) };
