/*
 * build/user.h: who a step runs as, who owns what is made.
 *
 * passwd and group are read inside a root and may be hostile: at most 1 MiB of each.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

/* Who a command runs as, by the files of a root: "u", "u:g", numbers. The gid
 * and the groups come from there unless a group is given. Unknown: ERR_INVALID. */
struct user_ids {
	uid_t uid;
	gid_t gid;
	gid_t groups[64];
	size_t n_groups;
	char home[256];
};
MUST_CHECK int user_lookup(int rootfd, const char *spec, struct user_ids *ret, struct error *err);
/*
 * Who owns what --chown and WORKDIR make. A number alone is uid and gid; a name
 * alone brings its group from passwd. An unknown name is 0, an unknown group is
 * the user's. Peer: BuildKit.
 */
void owner_lookup(int rootfd, const char *spec, uid_t *ret_uid, gid_t *ret_gid);
/* Does it need the files of a root? Pure. */
bool owner_is_named(const char *spec);
