/* runtime/console.h: pseudo-terminals of containers, and the caller's own terminal. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "oci/runtime_config.h"

/* Connect to the socket at `path` that receives fds: a console's master, a seccomp listener. what:
 * who listens there, for the error. */
MUST_CHECK int console_connect(const char *path, const char *what, int *ret_fd, struct error *err);
/*
 * A new pair in the devpts instance whose root is pts_fd (checked: devpts, node
 * 5:2). The slave is the first terminal; size may be NULL.
 */
MUST_CHECK int console_open(int pts_fd, const struct spec_console_size *size, int *ret_master,
			    int *ret_slave, struct error *err);
/* Send the master through the socket, make the slave the controlling terminal and 0, 1, 2. */
MUST_CHECK int console_take(int socket, int master, int slave, uid_t uid, struct error *err);
/* A line ends with LF alone: for output that we pass on ourselves, to a file or to a terminal that
 * makes CR LF. Peer: runc in front does so. */
void console_plain_lines(int slave);
/*
 * Copy between our own stdin/stdout and the master until the process ends; our
 * terminal is raw meanwhile and its size follows. *ret_status: as waitpid says.
 */
MUST_CHECK int console_pump(int master, pid_t pid, int *ret_status, struct error *err);
