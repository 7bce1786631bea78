/*
 * runtime/pid_out.h: how the caller of create, run and exec learns which process it got: a pid
 * file, or a pidfd, which no reuse of the pid makes another's.
 */
#pragma once

#include <sys/types.h>

#include "base/error.h"

/* The number, put into place by one rename. path NULL or "": nothing. */
MUST_CHECK int pid_file_write(const char *path, pid_t pid, struct error *err);
/* --pidfd-socket, before anything is made. path NULL or "": *ret_fd stays as it is. */
MUST_CHECK int pidfd_connect(const char *path, int *ret_fd, struct error *err);
/*
 * A pidfd of our child over the socket, if there is one (FD_NONE: none), with a word: "standard"
 * for a container's init, "setns" for an exec. Peer: runc 1.2.
 */
MUST_CHECK int pidfd_send(int socket, pid_t pid, const char *word, struct error *err);
