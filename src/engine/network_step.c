/*
 * engine/network_step.c: networks for RUN steps of the builder: like a
 * container's, but nothing of it is recorded; after a crash the sweep of
 * unknown sandboxes removes them.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "engine/network_internal.h"

/* A container that was never created: just enough for the texts. */
static struct container *step_container(struct network_room *r, const char *token)
{
	struct container *c = new0(struct container);
	struct arena *a = &c->arena;
	struct json *config = json_new_object(a);

	c->engine = r->engine;
	snprintf(c->id, sizeof(c->id), "%s", token);
	c->name = cstr_format("step-%.12s", token);
	json_set(a, config, "Hostname", json_new_string(a, "buildkitsandbox"));
	c->config = config;
	c->host_config = json_new_object(a);
	return c;
}

static void step_container_free(struct container *c)
{
	free(c->name);
	arena_release(&c->arena);
	free(c);
}

static void attachment_drop(struct network_room *r, const char *token)
{
	struct attachment *a;

	lock_take(&r->lock);
	a = map_steal(&r->attachments, token);
	lock_drop(&r->lock);
	if (a)
		attachment_free(a);
}

int network_step_join(struct network_provider *p, const char *mode, struct network_step *ret,
		      struct error *err)
{
	struct network_room *r = container_of(p, struct network_room, provider);
	struct network_step step = { 0 };
	struct network_sandbox sandbox;
	struct container *c;
	int status;

	random_hex(step.token, 32);
	c = step_container(r, step.token);
	if (!cstr_is_empty(mode))
		json_set(&c->arena, (struct json *)(uintptr_t)c->host_config, "NetworkMode",
			 json_new_string(&c->arena, mode));
	status = network_container_create(c, err);
	if (status == 0) {
		status = network_attach(c, &sandbox, err);
		if (status < 0)
			network_forget(c);
	}
	step_container_free(c);
	if (status < 0)
		return status;
	if (!sandbox.host)
		step.netns_path = xstrdup(sandbox.netns_path);
	step.hosts = sandbox.hosts;
	step.resolv_conf = sandbox.resolv_conf;
	*ret = step;
	return 0;
}

void network_step_leave(struct network_provider *p, struct network_step *step)
{
	struct network_room *r = container_of(p, struct network_room, provider);
	struct container *c = step_container(r, step->token);

	network_forget(c);
	attachment_drop(r, step->token);
	step_container_free(c);
	free(step->netns_path);
	free(step->hosts);
	free(step->resolv_conf);
	*step = (struct network_step){ 0 };
}
