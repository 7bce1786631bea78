/*
 * Swarm, plugins and BuildKit's sessions: what proa does not have is refused in
 * words that clients know.
 */
#include "api/call.h"

static int no_swarm(struct call *c, struct error *err)
{
	(void)c;
	return error_set(err, ERR_UNAVAILABLE,
			 "This node is not a swarm manager. Use \"docker swarm init\" or \"docker "
			 "swarm join\" to connect this node to swarm and try again.");
}

static int no_join(struct call *c, struct error *err)
{
	(void)c;
	return error_set(err, ERR_UNIMPLEMENTED,
			 "swarm mode is not supported by proa: use Compose on one machine, or "
			 "Kubernetes with proa-runtime");
}

static int plugin_list(struct call *c, struct error *err)
{
	return answer_text(c, 200, "application/json", "[]\n", err);
}

static int plugin_inspect(struct call *c, struct error *err)
{
	return error_set(err, ERR_NOT_FOUND, "plugin \"%s\" not found", c->args[0]);
}

static int no_plugins(struct call *c, struct error *err)
{
	(void)c;
	return error_set(err, ERR_UNIMPLEMENTED, "managed plugins are not supported by proa");
}

static int no_session(struct call *c, struct error *err)
{
	(void)c;
	return error_set(err, ERR_UNIMPLEMENTED,
			 "BuildKit sessions are not supported yet: build with `proa build` or "
			 "DOCKER_BUILDKIT=0 docker build");
}

static const struct route routes[] = {
	{ "POST", "/swarm/init", no_join }, { "POST", "/swarm/join", no_join },
	{ "*", "/swarm", no_swarm },        { "*", "/swarm/**", no_swarm },
	{ "*", "/nodes", no_swarm },        { "*", "/nodes/**", no_swarm },
	{ "*", "/services", no_swarm },     { "*", "/services/**", no_swarm },
	{ "*", "/tasks", no_swarm },        { "*", "/tasks/**", no_swarm },
	{ "*", "/secrets", no_swarm },      { "*", "/secrets/**", no_swarm },
	{ "*", "/configs", no_swarm },      { "*", "/configs/**", no_swarm },
	{ "GET", "/plugins", plugin_list }, { "GET", "/plugins/**/json", plugin_inspect },
	{ "*", "/plugins/**", no_plugins }, { "POST", "/session", no_session },
	{ "POST", "/grpc", no_session },
};
const struct route_table routes_other = { routes, ARRAY_LEN(routes) };
