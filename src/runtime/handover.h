/*
 * runtime/handover.h: the seccomp notify fd, from the process that has just
 * put itself under its filter to the listener that the config names.
 *
 * Behind its own filter a process may not send anything: any system call can
 * be one that the filter stops until the listener answers, who has no fd yet.
 * So it writes the number of the fd into a shared page and waits there; the
 * other side, outside, takes the fd by pidfd_getfd. Should that side die, the
 * kernel says so in the page (a robust futex), and the waiting process ends.
 */
#pragma once

#include <sys/types.h>

#include "base/error.h"
#include "runtime/state.h"

struct handover;

/*
 * In the process, before its filter: make the page, send it over `socket` and
 * wait until the other side is connected to the listener and stands by.
 */
MUST_CHECK int handover_offer(int socket, struct handover **ret, struct error *err);
/* filter_install's callback; ctx: the page. Ends the process when it is refused. */
MUST_CHECK int handover_wait(void *ctx, int listener);

/*
 * The other side: read what process `pid` says until its execve closes the socket. When it offers
 * a listener, take that out of the process and send it with the state to the linux.seccomp
 * .listenerPath of the container's config in `dir`. A process whose listener cannot be handed
 * over never runs: it is killed. Returns the process's own error when execve failed.
 */
MUST_CHECK int handover_follow(int socket, pid_t pid, const struct state_dir *dir,
			       const struct runtime_state *state, enum runtime_status status,
			       struct error *err);
