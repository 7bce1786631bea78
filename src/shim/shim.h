/*
 * shim/shim.h: `proa-runtime shim`, the process that stands by one container.
 *
 * Single thread, one epoll set, static, no allocation that grows with traffic.
 * It is the container's sub-reaper and owns its stdio, its log file, its exec
 * sessions and its exit record, so that the engine may die or be replaced at
 * any instant. The engine talks to it over a SEQPACKET Unix socket; messages
 * are one JSON object each (shim/protocol.h in words: docs/shim-protocol.md).
 */
#pragma once

/*
 * The OCI runtime that this very program is: its command line, argv[0] = its name. Called in a
 * forked child whose only fds are 0-2; returns the exit code.
 */
typedef int (*shim_runtime_fn)(int argc, char **argv);

/*
 * Run the verb: `shim --dir DIR [--fd N] [--rootfs-fd M | --await task]`.
 *
 * DIR  the task's directory: task.json (what to mount, log, run), config.json
 *      (OCI bundle); shim.sock and exit.json appear there
 * N    an inherited connected SEQPACKET socket: the first control connection
 * --await task  wait for a message on N first: the directory's name, in place of DIR, with the
 *      detached mount of the root as its fd; the end of the socket before that ends the shim.
 *      DIR is only the room that the name has in what ps shows
 * builtin  called in a child where task.json has "builtin": true, instead of executing "runtime";
 *          a fork is a third of the price of an execution
 *
 * Returns the exit code of the process. Called by src/main/runtime.c with
 * argv[0] == "shim".
 */
int shim_main(int argc, char **argv, shim_runtime_fn builtin);
