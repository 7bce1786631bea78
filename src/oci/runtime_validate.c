/* oci/runtime_validate.c: what a container needs beyond well-typed members. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "oci/runtime_config.h"

const struct spec_namespace *runtime_config_namespace(const struct runtime_config *c,
						      const char *type)
{
	for (size_t i = 0; i < c->linux_.n_namespaces; i++)
		if (strcmp(c->linux_.namespaces[i].type, type) == 0)
			return &c->linux_.namespaces[i];
	return NULL;
}

const char *runtime_config_annotation(const struct runtime_config *c, const char *key)
{
	for (size_t i = 0; i < c->annotations.n; i++)
		if (strcmp(c->annotations.at[i].key, key) == 0)
			return c->annotations.at[i].value;
	return NULL;
}

static int bad(struct error *err, const char *path, const char *what)
{
	return error_set(err, ERR_INVALID, "%s: %s", path, what);
}

static int check_rlimits(const struct spec_process *p, struct error *err)
{
	for (size_t i = 0; i < p->n_rlimits; i++) {
		const struct spec_rlimit *l = &p->rlimits[i];

		if (l->soft > l->hard)
			return error_set(err, ERR_INVALID,
					 "process.rlimits[%zu]: soft limit is above the hard one",
					 i);
		if (!cstr_starts(l->type, "RLIMIT_"))
			return error_set(err, ERR_INVALID,
					 "process.rlimits[%zu].type: unknown value '%s'", i,
					 l->type);
		for (size_t k = 0; k < i; k++)
			if (strcmp(p->rlimits[k].type, l->type) == 0)
				return error_set(err, ERR_INVALID,
						 "process.rlimits[%zu].type: '%s' is there twice",
						 i, l->type);
	}
	return 0;
}

/* What the kernel answers with EINVAL alone. Source: sched(7), "SCHED_DEADLINE". */
static int check_scheduler(const struct spec_scheduler *s, struct error *err)
{
	uint64_t period = s->period_ns ? s->period_ns : s->deadline_ns;

	if (strcmp(s->policy, "SCHED_DEADLINE") != 0)
		return 0;
	if (s->runtime_ns < 1024)
		return error_set(err, ERR_INVALID,
				 "process.scheduler.runtime: %llu ns is less than 1024",
				 (unsigned long long)s->runtime_ns);
	if (s->runtime_ns > s->deadline_ns)
		return error_set(err, ERR_INVALID,
				 "process.scheduler.deadline: %llu ns is less than the runtime",
				 (unsigned long long)s->deadline_ns);
	if (s->deadline_ns > period || period >> 63)
		return error_set(err, ERR_INVALID,
				 "process.scheduler.period: %llu ns is out of range",
				 (unsigned long long)period);
	return 0;
}

static int check_process(const struct spec_process *p, struct error *err)
{
	if (p->args.n == 0)
		return bad(err, "process.args", "empty");
	if (p->cwd[0] != '/')
		return bad(err, "process.cwd", "not an absolute path");
	if (p->scheduler != NULL) {
		int r = check_scheduler(p->scheduler, err);

		if (r < 0)
			return r;
	}
	return check_rlimits(p, err);
}

static int check_hooks(const char *name, const struct spec_hook *hooks, size_t n, struct error *err)
{
	for (size_t i = 0; i < n; i++)
		if (hooks[i].path[0] != '/')
			return error_set(err, ERR_INVALID,
					 "hooks.%s[%zu].path: not an absolute path", name, i);
	return 0;
}

static int check_all_hooks(const struct spec_hooks *h, struct error *err)
{
	const struct {
		const char *name;
		const struct spec_hook *at;
		size_t n;
	} lists[] = {
		{ "prestart", h->prestart, h->n_prestart },
		{ "createRuntime", h->create_runtime, h->n_create_runtime },
		{ "createContainer", h->create_container, h->n_create_container },
		{ "startContainer", h->start_container, h->n_start_container },
		{ "poststart", h->poststart, h->n_poststart },
		{ "poststop", h->poststop, h->n_poststop },
	};

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		int r = check_hooks(lists[i].name, lists[i].at, lists[i].n, err);

		if (r < 0)
			return r;
	}
	return 0;
}

static bool overlaps(uint32_t a, uint32_t a_size, uint32_t b, uint32_t b_size)
{
	return a < (uint64_t)b + b_size && b < (uint64_t)a + a_size;
}

static int check_mappings(const char *path, const struct spec_id_mapping *m, size_t n,
			  struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		if (m[i].size == 0)
			return error_set(err, ERR_INVALID, "%s[%zu].size: zero", path, i);
		if ((uint64_t)m[i].container_id + m[i].size > UINT32_MAX ||
		    (uint64_t)m[i].host_id + m[i].size > UINT32_MAX)
			return error_set(err, ERR_INVALID, "%s[%zu]: beyond 32 bits", path, i);
		for (size_t k = 0; k < i; k++)
			if (overlaps(m[i].container_id, m[i].size, m[k].container_id, m[k].size) ||
			    overlaps(m[i].host_id, m[i].size, m[k].host_id, m[k].size))
				return error_set(err, ERR_INVALID, "%s[%zu]: overlaps with [%zu]",
						 path, i, k);
	}
	return 0;
}

static int check_mounts(const struct runtime_config *c, struct error *err)
{
	char path[64];

	for (size_t i = 0; i < c->n_mounts; i++) {
		const struct spec_mount *m = &c->mounts[i];
		int r;

		if ((m->n_uid_mappings == 0) != (m->n_gid_mappings == 0))
			return error_set(err, ERR_INVALID,
					 "mounts[%zu]: uidMappings and gidMappings need each other",
					 i);
		snprintf(path, sizeof(path), "mounts[%zu].uidMappings", i);
		r = check_mappings(path, m->uid_mappings, m->n_uid_mappings, err);
		if (r < 0)
			return r;
		snprintf(path, sizeof(path), "mounts[%zu].gidMappings", i);
		r = check_mappings(path, m->gid_mappings, m->n_gid_mappings, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_namespaces(const struct runtime_config *c, struct error *err)
{
	const struct spec_linux *l = &c->linux_;
	bool maps = l->n_uid_mappings + l->n_gid_mappings > 0;

	for (size_t i = 0; i < l->n_namespaces; i++) {
		const struct spec_namespace *n = &l->namespaces[i];

		if (runtime_config_namespace(c, n->type) != n)
			return error_set(err, ERR_INVALID,
					 "linux.namespaces[%zu]: '%s' is there twice", i, n->type);
		if (!cstr_is_empty(n->path) && n->path[0] != '/')
			return error_set(err, ERR_INVALID,
					 "linux.namespaces[%zu].path: not an absolute path", i);
	}
	if (maps && runtime_config_namespace(c, "user") == NULL)
		return bad(err, "linux.uidMappings", "needs a user namespace");
	if (l->time_offsets != NULL && runtime_config_namespace(c, "time") == NULL)
		return bad(err, "linux.timeOffsets", "needs a time namespace");
	return 0;
}

static int check_linux(const struct runtime_config *c, struct error *err)
{
	const struct spec_linux *l = &c->linux_;
	int r;

	if (l->intel_rdt != NULL)
		return error_set(err, ERR_UNIMPLEMENTED, "linux.intelRdt is not supported yet");
	if (l->n_net_devices > 0 && runtime_config_namespace(c, "network") == NULL)
		return bad(err, "linux.netDevices", "needs a network namespace");
	r = check_namespaces(c, err);
	if (r == 0)
		r = check_mappings("linux.uidMappings", l->uid_mappings, l->n_uid_mappings, err);
	if (r == 0)
		r = check_mappings("linux.gidMappings", l->gid_mappings, l->n_gid_mappings, err);
	return r;
}

int runtime_config_validate(const struct runtime_config *c, struct error *err)
{
	int r;

	if (!cstr_starts(c->oci_version, "1."))
		return error_set(err, ERR_INVALID, "ociVersion: '%s' is not 1.x", c->oci_version);
	if (c->root == NULL || c->root->path[0] == '\0')
		return bad(err, "root.path", "missing");
	if (c->process == NULL)
		return bad(err, "process", "missing");
	r = check_process(c->process, err);
	if (r == 0)
		r = check_all_hooks(&c->hooks, err);
	if (r == 0)
		r = check_mounts(c, err);
	if (r == 0)
		r = check_linux(c, err);
	return r;
}
