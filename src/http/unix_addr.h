/*
 * http/unix_addr.h: socket addresses for paths of any length.
 *
 * sun_path holds 107 bytes; a longer path is reached through an O_PATH fd of
 * its directory and /proc/self/fd.
 */
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include "base/error.h"

struct unix_addr {
	struct sockaddr_un un;
	socklen_t len;
	int dirfd; /* keep until bind or connect has returned */
};

/* ERR_INVALID when even the last component does not fit. */
MUST_CHECK int unix_addr_set(struct unix_addr *ret, const char *path, struct error *err);
void unix_addr_release(struct unix_addr *a);
