/*
 * task/task.h: run something in a container and keep hold of it.
 *
 * A task is one container process tree, its shim and its directory
 * <tasks_dir>/<id>/ (bundle, socket, exit record). The truth is in that
 * directory and in the shim; struct task is a handle and may be dropped and
 * adopted again by task_adopt, also by another process after a crash.
 *
 * Thread-safe. No lock is held across a spawn or while an answer is awaited.
 * Life: task_create, task_attach (any number), task_start, ..., TASK_EXIT,
 * TASK_GONE, task_unref.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/auto.h"
#include "base/cancel.h"
#include "base/error.h"

struct task;
struct task_host;

/* What the tasks of one process share: one monitor thread, paths. */
struct task_host_config {
	const char *shim_path; /* the proa-runtime binary */
	const char *tasks_dir; /* <exec root>/tasks; created 0711 */
	bool warm;             /* keep two shims started ahead: 3 ms less a task */
};
MUST_CHECK int task_host_open(const struct task_host_config *cfg, struct task_host **ret,
			      struct error *err);
/* Running tasks go on without us. */
void task_host_close(struct task_host *h);

struct task_log {
	const char *driver;     /* "json-file", "local", "none"; NULL = none */
	const char *path;       /* the current file, absolute; rotated ones get .1, .2 ... */
	int64_t max_size_bytes; /* 0 = never rotate */
	unsigned max_files;     /* with the current one; 0 = 1 */
	bool compress;          /* rotated ones get .1.gz, .2.gz ... */
	const char *attrs_json; /* a JSON object stored with each line for --details; NULL = none */
};

struct task_spec {
	const char *id;                      /* one path component */
	const char *oci_runtime;             /* path or name in PATH of an OCI runtime CLI */
	const char *const *oci_runtime_args; /* before the verb; NULL = none */
	const char *oci_root;                /* the runtime's --root; NULL = its default */
	const char *config_json;             /* bundle_write's result */
	size_t config_json_len;
	/* Root of a detached mount (store/mount.h: mount_open), borrowed: the shim
	 * attaches it at <dir>/rootfs, which config.json names as "rootfs". FD_NONE:
	 * config.json names a root of its own. */
	int rootfs_fd;
	bool tty;
	bool open_stdin; /* keep a stdin pipe; otherwise /dev/null */
	bool stdin_once; /* close it when the first attached client's stdin ends */
	struct task_log log;
	bool ephemeral; /* nobody needs the exit record after a power cut: no fsync */
	/* Its control group, absolute below the mount points: what it used is in task_exit.
	 * NULL: not asked. */
	const char *measure;
};

struct task_exit {
	int code;        /* 0..255; 128+n for signal n */
	int64_t time_ns; /* wall */
	bool oom_killed;
	/* With task_spec.measure; -1: not known. */
	int64_t cpu_ns, memory_peak_bytes, read_bytes, write_bytes;
};

enum task_event_kind {
	TASK_EXIT, /* init ended; all its output is in the log and in the sessions */
	TASK_GONE, /* mounts and cgroups are gone, the shim has ended: safe to remove the files */
	TASK_EXEC_EXIT, /* an exec ended; its session's stream was closed after this was readable */
	TASK_OOM,
};
struct task_event {
	enum task_event_kind kind;
	const char *exec_id; /* TASK_EXEC_EXIT only */
	struct task_exit exit;
};
/* Called on the monitor thread: must not block and must not call task_*; hand
 * the work to a thread. `task` is borrowed for the call. */
typedef void (*task_event_fn)(void *ctx, struct task *task, const struct task_event *ev);

/*
 * Write the task's directory and start its shim, which attaches the rootfs and
 * opens stdio; nothing of the container runs yet, and a shim that cannot do
 * its part says so in task_start. on_event may be NULL.
 * ERR_CONFLICT when the task exists; ERR_SYSTEM; on failure nothing is left.
 */
MUST_CHECK int task_create(struct task_host *h, const struct task_spec *spec,
			   task_event_fn on_event, void *ctx, struct task **ret, struct error *err);

/*
 * Take over a task found on disk, and ask its shim how it is: task_adopted has the answer, which
 * may be long in coming (a stopped process, a disk that hangs). Until then requests end with
 * ERR_UNAVAILABLE after some seconds, without effect, and events are held until task_listen.
 * ERR_NOT_FOUND: the shim is gone; then *ret_exit (may be NULL) is filled from the exit record, or
 * with code 137 and time 0 when there is none, and what it left behind is cleaned up.
 */
MUST_CHECK int task_adopt(struct task_host *h, const char *id, task_event_fn on_event, void *ctx,
			  struct task **ret, struct task_exit *ret_exit, struct error *err);
struct task_state {
	pid_t pid;
	int64_t started_ns; /* wall; 0: not known */
};
/*
 * How it is, after at most timeout_ms; one thread asks for one task. ERR_UNAVAILABLE: not known
 * yet (it does not answer, or begins or ends in this moment), ask again. ERR_NOT_FOUND: as
 * task_adopt; the task has ended, and its events are nobody's then.
 */
MUST_CHECK int task_adopted(struct task *t, int timeout_ms, struct task_state *ret,
			    struct task_exit *ret_exit, struct error *err);
/* What the task's directory says of its init's pid, for as long as its shim does not answer: 0
 * when it has ended or never began. */
pid_t task_pid_on_disk(struct task *t);
/* After task_adopted, when the owner is ready: the held events come, in order, in this thread, and
 * all later ones as usual. No lock that on_event takes may be held. */
void task_listen(struct task *t);

/*
 * Run the container. *ret_started_ns is the wall time taken before init was
 * released. The runtime's refusal is the error's text ("exec: \"x\":
 * executable file not found in $PATH"), kind ERR_INVALID; the task is then
 * gone (TASK_GONE follows).
 */
MUST_CHECK int task_start(struct task *t, pid_t *ret_pid, int64_t *ret_started_ns,
			  struct error *err);

enum task_stream { TASK_STDIN = 1, TASK_STDOUT = 2, TASK_STDERR = 4 };
struct task_session {
	unsigned streams;        /* of enum task_stream */
	bool raw;                /* bytes as they are; else Docker's 8-byte frames */
	const char *detach_keys; /* "ctrl-p,ctrl-q", which is also a terminal's default */
	const void *early;       /* bytes the client has already sent to stdin */
	size_t early_len;
};
/*
 * Join a connected stream socket to the stdio of the container (exec_id NULL)
 * or of an exec. The shim takes the socket over: it closes it when the
 * process has ended and everything was sent, or when the peer has gone; a
 * half-closed peer is end of stdin only. Works before task_start: no output is
 * missed then.
 */
MUST_CHECK int task_attach(struct task *t, const char *exec_id, const struct task_session *s,
			   int take_fd, struct error *err);

/* The same before task_start, without the answer: what is wrong closes the socket. */
void task_attach_ahead(struct task *t, const struct task_session *s, int take_fd);

struct task_exec_spec {
	const char *exec_id;      /* one path component */
	const char *process_json; /* bundle_write_process's result */
	size_t process_json_len;
	bool tty;
	uint16_t rows, cols; /* first size of the terminal, 0 = none */
	bool open_stdin;
	struct task_session session;
	int take_fd; /* its socket, FD_NONE = detached; taken in every case */
};
/* ERR_INVALID with the runtime's text; the socket then gets that text as its
 * output and is closed, as dockerd does. ERR_CONFLICT when not running. Here and in what follows
 * ERR_UNAVAILABLE: the shim does not answer, and will not do it later. */
MUST_CHECK int task_exec(struct task *t, const struct task_exec_spec *spec, pid_t *ret_pid,
			 struct error *err);

/* exec_id NULL: the container's init. ERR_CONFLICT when it has ended already. */
MUST_CHECK int task_signal(struct task *t, const char *exec_id, int sig, struct error *err);
/* Remembered when the terminal does not exist yet. ERR_CONFLICT when ended. */
MUST_CHECK int task_resize(struct task *t, const char *exec_id, uint16_t rows, uint16_t cols,
			   struct error *err);
/* What a new engine asks after task_adopt: fn hears of each exec that runs
 * (pid > 0) or ended while no engine was there (pid 0, its code). */
MUST_CHECK int task_execs(struct task *t,
			  void (*fn)(void *arg, const char *exec_id, pid_t pid, int code),
			  void *arg, struct error *err);
/* Returns when every event that the shim sent before this call has been delivered. */
MUST_CHECK int task_sync(struct task *t, struct error *err);
/* Until TASK_EXIT (and TASK_GONE when `gone`). ERR_CANCELED; ERR_UNAVAILABLE on time-out. */
MUST_CHECK int task_wait(struct task *t, bool gone, int timeout_ms, const struct cancel *cancel,
			 struct task_exit *ret, struct error *err);

/* Remove a finished task's directory. ERR_CONFLICT while its shim lives. */
MUST_CHECK int task_delete(struct task_host *h, const char *id, struct error *err);

struct task *task_ref(struct task *t);
struct task *task_unref(struct task *t); /* returns NULL */

static inline void autoptr_task_(struct task **t)
{
	task_unref(*t);
}
#define auto_task AUTO(autoptr_task_) struct task *
