/*
 * runtime/namespace.h: which namespaces a container gets, and the clone that
 * makes or joins them.
 *
 * Spec: runtime-spec v1.2, config-linux.md "Namespaces", "User namespace mappings".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "oci/runtime_config.h"

#define NAMESPACE_MAX 8

struct namespaces {
	uint32_t create; /* CLONE_NEW* */
	uint32_t join;
	struct {
		uint32_t flag;
		int fd;
	} at[NAMESPACE_MAX]; /* those to join; owned */
	size_t n;
};
#define NAMESPACES_INIT \
	{ \
		.n = 0 \
	}
void namespaces_release(struct namespaces *ns);
DEFINE_AUTO(namespaces, namespaces_release);

uint32_t namespace_flag(const char *type);
/* Open what is joined; a path that is another type of namespace is ERR_INVALID. */
MUST_CHECK int namespaces_plan(const struct runtime_config *c, struct namespaces *ret,
			       struct error *err);
/* fd of the namespace to join, or FD_NONE. */
int namespaces_fd(const struct namespaces *ns, uint32_t flag);

/* clone3 without a stack: like fork. cgroup_fd: v2 group to be born in, or FD_NONE; *ret_in_cgroup
 * says whether that happened. parent_of_caller: CLONE_PARENT. */
MUST_CHECK int namespace_clone(uint64_t flags, int cgroup_fd, bool parent_of_caller,
			       bool *ret_in_cgroup, pid_t *ret_pid, struct error *err);
/*
 * Clone a child into the namespaces to be made, with those of pid and user joined before
 * (cgroup and the rest are the child's own work). In the parent *ret_pid > 0, in the child 0.
 * The caller's own namespaces are unchanged afterwards.
 */
MUST_CHECK int namespaces_clone(const struct namespaces *ns, const struct runtime_config *c,
				int cgroup_fd, bool *ret_in_cgroup, pid_t *ret_pid,
				struct error *err);
/* In the child, before anything changes its ids: the time namespace that a new user namespace
 * owns. It takes effect at execve (Linux 6.3). */
MUST_CHECK int namespaces_own_time(const struct namespaces *ns, const struct runtime_config *c,
				   struct error *err);
/* In the child, with its id maps written: join all but pid and user, and mount, which comes
 * last: what is opened through /proc must be the host's. */
MUST_CHECK int namespaces_join(const struct namespaces *ns, struct error *err);
/* In the parent: write the id maps of pid, by newuidmap when not root. */
MUST_CHECK int namespaces_map(pid_t pid, const struct runtime_config *c, struct error *err);
MUST_CHECK int namespaces_map_ids(pid_t pid, const struct spec_id_mapping *uids, size_t n_uids,
				  const struct spec_id_mapping *gids, size_t n_gids,
				  struct error *err);
/* For a child that only waits: it dies with `parent`, which forked it in its own PID namespace, and
 * keeps no fd, so no lock either. -1: the parent is dead already. */
MUST_CHECK int die_with(pid_t parent);
/* A user namespace with these maps, for an id-mapped mount. */
MUST_CHECK int namespaces_make_user(const struct spec_id_mapping *uids, size_t n_uids,
				    const struct spec_id_mapping *gids, size_t n_gids, int *ret_fd,
				    struct error *err);
