/*
 * shim/supervisor.h: what the files of this room share.
 *
 * One struct supervisor a process. Everything happens on one thread between
 * two epoll_wait calls; an object that dies while a batch of events is handled
 * is only marked, and freed by supervisor_sweep after the batch.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/json.h"
#include "shim/logfile.h"
#include "shim/shim.h"
#include "shim/usage.h"

struct supervisor;

/* Something epoll watches. The owner embeds it. */
struct source {
	int fd;
	uint32_t events; /* what epoll was told; 0 = not in the set */
	void (*ready)(struct supervisor *s, struct source *src, uint32_t events);
};

enum stream_bit { STREAM_STDIN = 1, STREAM_STDOUT = 2, STREAM_STDERR = 4 };

struct process;

/* One attached client. */
struct session {
	struct session *next;
	struct source src;
	struct process *process;
	unsigned streams;
	bool raw;
	bool dead;      /* to be freed by the sweep */
	bool closing;   /* close once `out` is sent */
	bool stdin_eof; /* the client has half-closed */
	char *out;      /* not yet sent */
	size_t out_at, out_len, out_cap;
	char *in; /* taken from the client, not yet given to the process */
	size_t in_at, in_len;
	unsigned char keys[16]; /* detach sequence */
	unsigned n_keys, n_matched;
};

enum process_status { PROCESS_CREATED, PROCESS_STARTING, PROCESS_RUNNING, PROCESS_EXITED };

/* The container's init or one exec. */
struct process {
	struct process *next;
	char id[80]; /* "" = init */
	bool tty, open_stdin, stdin_once;
	bool dead;
	enum process_status status;
	pid_t pid;         /* 0 before the runtime told us */
	pid_t runtime_pid; /* the runtime's child while STARTING */
	int exit_code;
	int64_t exit_ns, started_ns;
	bool exited; /* reaped; output may still be in the pipes */
	struct source in, out, err, console;
	int child_fd[3]; /* the process's ends, until the runtime has them */
	bool want_stdin_close;
	uint16_t rows, cols; /* last size asked for */
	bool paused;         /* a session is full: do not read out and err */
	struct session *sessions;
	struct conn *starter; /* who awaits the answer of the start */
	int64_t starter_seq;
	struct log_partial partial[2];
};

/* A control connection of an engine. */
struct conn {
	struct conn *next;
	struct source src;
	bool dead;
};

#define SUPERVISOR_UNCLAIMED_MAX 64
#define SUPERVISOR_ENDED_MAX     64

struct supervisor_spec {
	const char *id;
	const char *runtime;
	const char *const *runtime_args; /* NULL-terminated */
	shim_runtime_fn builtin;         /* instead of executing `runtime`; NULL = execute */
	const char *runtime_root;        /* NULL = the runtime's own default */
	bool tty, open_stdin, stdin_once, ephemeral;
	const char *measure; /* control group whose usage is told at the end; NULL: none */
	struct logfile_config log;
};

struct ended_exec {
	char id[80]; /* "": none yet */
	int code;
};

struct supervisor {
	struct arena arena;
	struct supervisor_spec spec;
	int dir_fd;
	int epoll_fd;
	struct source signals, listener;
	struct conn *conns;
	struct process *init;
	struct process *execs;
	struct logfile *log;
	struct error setup_error; /* told to the first start */
	bool dirty;               /* something is marked dead */
	bool finishing;           /* init has ended and was reported */
	char *oom_path;           /* the cgroup file that counts OOM kills; NULL = unknown */
	int mounts_fd;            /* the container's mount namespace; FD_NONE = not held */
	pid_t delete_pid;         /* `runtime delete` */
	bool quit;
	bool oom_killed;
	struct usage usage; /* when spec.measure */
	/* Children that ended during a start and whose pid no process has claimed yet. */
	struct {
		pid_t pid;
		int code;
		int64_t ns;
	} unclaimed[SUPERVISOR_UNCLAIMED_MAX];
	unsigned next_unclaimed;
	/* The last execs that ended, for an engine that was not there to be told; a ring. */
	struct ended_exec ended[SUPERVISOR_ENDED_MAX];
	unsigned next_ended;
	char buf[65536]; /* one read */
};

/* supervisor.c */
MUST_CHECK int source_watch(struct supervisor *s, struct source *src, uint32_t events);
void source_close(struct supervisor *s, struct source *src);

/* rootfs.c: own mount namespace; the detached mount goes to dir/rootfs there.
 * *dir_fd, which is the working directory, is replaced by its like in the new namespace. */
MUST_CHECK int task_rootfs_attach(int *dir_fd, int mount_fd, struct error *err);

/* session.c */
struct session *session_add(struct supervisor *s, struct process *p, int take_fd, unsigned streams,
			    bool raw);
/* NULL or "": none, on a terminal docker's ctrl-p,ctrl-q. ERR_INVALID: Invalid detach keys. */
MUST_CHECK int session_set_keys(struct session *x, const char *keys, struct error *err);
void session_early(struct supervisor *s, struct session *x, const char *bytes, size_t len);
void session_output(struct supervisor *s, struct session *x, unsigned stream, const char *bytes,
		    size_t len);
void session_finish(struct supervisor *s, struct session *x); /* send the rest, then close */
void session_push_stdin(struct supervisor *s, struct session *x);
bool session_is_full(const struct session *x);
void session_free(struct supervisor *s, struct session *x);

/* stdio.c */
MUST_CHECK int process_open_stdio(struct supervisor *s, struct process *p, struct error *err);
void process_close_child_fds(struct process *p);
/* The process runs: read what it writes. */
void process_begin_output(struct supervisor *s, struct process *p);
/* The process has ended: take what is in the pipes, then close them. */
void process_drain_output(struct supervisor *s, struct process *p);
void process_throw_output_away(struct supervisor *s, struct process *p);
/* child.c: nothing more comes; what is queued is sent, then they are closed. */
void process_finish_sessions(struct supervisor *s, struct process *p);
void process_update_pause(struct supervisor *s, struct process *p);
void process_resize(struct process *p, uint16_t rows, uint16_t cols);
void process_stdin_close(struct supervisor *s, struct process *p);
/* Console socket for a tty process: the name in dir. */
void process_console_name(const struct process *p, char *out, size_t cap);

/* child.c: the runtime's invocations and everything that ends. */
MUST_CHECK int child_start_init(struct supervisor *s, struct error *err);
MUST_CHECK int child_start_exec(struct supervisor *s, struct process *p, const char *process_file,
				struct error *err);
void child_reap(struct supervisor *s);
struct process *process_find(struct supervisor *s, const char *exec_id);
struct process *process_new(const char *id);
void process_free(struct supervisor *s, struct process *p);

/* control.c */
void control_accept(struct supervisor *s, struct source *src, uint32_t events);
struct conn *control_add(struct supervisor *s, int take_fd);
void control_reply_started(struct supervisor *s, struct process *p, const struct error *failure);
void control_event_exit(struct supervisor *s, const struct process *p);
void control_event_gone(struct supervisor *s);
