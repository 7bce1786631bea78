#include "engine/volume.h"

#include "api/call.h"

static int list(struct call *c, struct error *err)
{
	return answer_filtered(c, volume_list, err);
}

static int inspect(struct call *c, struct error *err)
{
	struct answer a;
	int r;

	answer_begin(&a);
	r = volume_inspect(c->engine, c->args[0], &a.w, err);
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
	r = volume_create(c->engine, body, &a.w, err);
	return answer_end(&a, c, 201, r, err);
}

static int remove_(struct call *c, struct error *err)
{
	int r = volume_remove(c->engine, c->args[0], call_flag(c, "force", false), err);

	return r < 0 ? r : answer_empty(c, 204, err);
}

static int prune(struct call *c, struct error *err)
{
	const struct json *filters;
	struct answer a;
	int r = call_filters(c, &filters, err);

	if (r < 0)
		return r;
	answer_begin(&a);
	r = volume_prune(c->engine, filters, c->version < 42, &a.w, err);
	return answer_end(&a, c, 200, r, err);
}

static int update(struct call *c, struct error *err)
{
	(void)c;
	return error_set(err, ERR_UNAVAILABLE,
			 "This node is not a swarm manager. Use \"docker swarm init\" or \"docker "
			 "swarm join\" to connect this node to swarm and try again.");
}

static const struct route routes[] = {
	{ "GET", "/volumes", list },         { "POST", "/volumes/create", create },
	{ "POST", "/volumes/prune", prune }, { "GET", "/volumes/*", inspect },
	{ "PUT", "/volumes/*", update },     { "DELETE", "/volumes/*", remove_ },
};
const struct route_table routes_volume = { routes, ARRAY_LEN(routes) };
