#include "engine/network.h"

#include "api/call.h"

static int list(struct call *c, struct error *err)
{
	return answer_filtered(c, network_list, err);
}

static int inspect(struct call *c, struct error *err)
{
	struct answer a;
	int r;

	answer_begin(&a);
	r = network_inspect(c->engine, c->args[0], call_flag(c, "verbose", false),
			    call_text(c, "scope"), &a.w, err);
	return answer_end(&a, c, 200, r, err);
}

static int create(struct call *c, struct error *err)
{
	const struct json *body;
	struct answer a;
	int r = call_body(c, true, &body, err);

	if (r < 0)
		return r;
	answer_begin(&a);
	r = network_create(c->engine, body, c->version < 44, &a.w, err);
	return answer_end(&a, c, 201, r, err);
}

static int remove_(struct call *c, struct error *err)
{
	int r = network_remove(c->engine, c->args[0], err);

	return r < 0 ? r : answer_empty(c, 204, err);
}

static int connect_(struct call *c, struct error *err)
{
	const struct json *body;
	int r = call_body(c, true, &body, err);

	if (r == 0)
		r = network_connect(c->engine, c->args[0], body, err);
	return r < 0 ? r : answer_empty(c, 200, err);
}

static int disconnect(struct call *c, struct error *err)
{
	const struct json *body;
	int r = call_body(c, true, &body, err);

	if (r == 0)
		r = network_disconnect(c->engine, c->args[0], body, err);
	return r < 0 ? r : answer_empty(c, 200, err);
}

static int prune(struct call *c, struct error *err)
{
	return answer_filtered(c, network_prune, err);
}

static const struct route routes[] = {
	{ "GET", "/networks", list },
	{ "GET", "/networks/", list },
	{ "POST", "/networks/create", create },
	{ "POST", "/networks/prune", prune },
	{ "GET", "/networks/*", inspect },
	{ "DELETE", "/networks/*", remove_ },
	{ "POST", "/networks/*/connect", connect_ },
	{ "POST", "/networks/*/disconnect", disconnect },
};
const struct route_table routes_network = { routes, ARRAY_LEN(routes) };
