/* base/fdpass.h: file descriptors over a Unix socket (SCM_RIGHTS). */
#pragma once

#include <stddef.h>

#include "base/error.h"

#define FDPASS_MAX 16

/* One message of len >= 1 bytes with n_fds borrowed fds. */
MUST_CHECK int fdpass_send(int sock, const void *bytes, size_t len, const int *fds, size_t n_fds,
			   struct error *err);
/*
 * One message. Up to `max_fds` fds, owned by the caller, O_CLOEXEC; more than
 * that in the message is ERR_INVALID and all are closed. *ret_len == 0: the
 * peer has closed.
 */
MUST_CHECK int fdpass_recv(int sock, void *out, size_t len, size_t *ret_len, int *fds,
			   size_t max_fds, size_t *ret_n_fds, struct error *err);
