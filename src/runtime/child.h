/*
 * runtime/child.h: the process that becomes the container's init, from clone
 * to execve, and what it says to its parent.
 *
 * The order of the steps is the security of the whole: docs/runtime-order.md.
 */
#pragma once

#include <stdint.h>

#include "cgroup/cgroup.h"
#include "oci/runtime_config.h"
#include "runtime/namespace.h"
#include "runtime/process.h"
#include "runtime/rootfs.h"
#include "runtime/state.h"

/* On the socket pair between parent and child, one message a write. */
enum child_message_kind {
	CHILD_CLOSED,   /* the stream has ended: execve succeeded, or death */
	CHILD_MAP,      /* child waits for its id maps */
	CHILD_HOOKS,    /* child waits for prestart and createRuntime hooks */
	CHILD_READY,    /* waits for `start` */
	CHILD_FAILED,   /* err tells */
	CHILD_GO,       /* the answer to all but FAILED and READY */
	CHILD_RECORDED, /* to the child, once and first: its pid is in the state */
	CHILD_LISTENER, /* handover_offer: a page is attached */
};
struct child_message {
	uint32_t kind;
	struct error err;
};
MUST_CHECK int child_send(int socket, enum child_message_kind kind, const struct error *e,
			  struct error *err);
/* The error in a message of `len` bytes: the child's own for CHILD_FAILED, else that it is none. */
MUST_CHECK int child_error(struct child_message *m, size_t len, struct error *err);
/* The child's own error for CHILD_FAILED. */
MUST_CHECK int child_receive(int socket, enum child_message_kind *ret, struct error *err);

struct child {
	const struct runtime_config *config;
	const char *id;
	const struct runtime_state *state; /* for hooks; pid is filled in by the child */
	const struct namespaces *ns;
	struct process_setup process;
	struct rootfs rootfs;
	int tree;      /* the root, cloned beforehand, or FD_NONE */
	int socket;    /* to the parent */
	bool recorded; /* CHILD_RECORDED has come */
	int listener;  /* init.sock, listening */
	bool in_front; /* the caller of create reads the terminal himself */
	int console;   /* connected, or FD_NONE */
	int entry[CGROUP_HIERARCHY_MAX];
	size_t n_entry;
	bool needs_map;
	bool in_cgroup; /* born in the v2 group: the slow write into it is not needed */
};

/* Never returns. */
_Noreturn void child_main(struct child *c);
/* Move the fds that are not FD_NONE to base, base+1, ..., in their order, O_CLOEXEC, and close
 * everything above. -1 with errno. */
MUST_CHECK int fd_keep_only(unsigned base, int **fds, size_t n);
