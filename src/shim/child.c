/*
 * shim/child.c: calls of the OCI runtime, and everything that ends.
 *
 * The runtime is asked for `run --detach` and `exec --detach`: what it leaves
 * behind are our children (we are the sub-reaper). A process may end before
 * the runtime has told its pid, so exits that nobody claims are kept.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/auto.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/jsonw.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/vec.h"
#include "shim/supervisor.h"

#define RUNTIME_LOG_MAX (64 * 1024)

typedef VEC(const char *) argv_vec;

struct process *process_new(const char *id)
{
	struct process *p = new0(struct process);

	snprintf(p->id, sizeof(p->id), "%s", id);
	p->in.fd = p->out.fd = p->err.fd = p->console.fd = FD_NONE;
	p->child_fd[0] = p->child_fd[1] = p->child_fd[2] = FD_NONE;
	return p;
}

void process_free(struct supervisor *s, struct process *p)
{
	process_throw_output_away(s, p);
	process_close_child_fds(p);
	while (p->sessions) {
		struct session *x = p->sessions;

		p->sessions = x->next;
		session_free(s, x);
	}
	log_partial_release(&p->partial[0]);
	log_partial_release(&p->partial[1]);
	free(p);
}

struct process *process_find(struct supervisor *s, const char *exec_id)
{
	struct process *p;

	if (exec_id == NULL || exec_id[0] == '\0')
		return s->init;
	for (p = s->execs; p; p = p->next)
		if (!p->dead && strcmp(p->id, exec_id) == 0)
			return p;
	return NULL;
}

static void file_name(const struct process *p, const char *what, char *out, size_t cap)
{
	if (p->id[0])
		snprintf(out, cap, "%s-%s", what, p->id);
	else
		snprintf(out, cap, "%s", what);
}

static void argv_common(struct supervisor *s, const struct process *p, argv_vec *argv,
			const char *log_name)
{
	size_t i;

	*vec_push(argv) = s->spec.runtime;
	for (i = 0; s->spec.runtime_args && s->spec.runtime_args[i]; i++)
		*vec_push(argv) = s->spec.runtime_args[i];
	if (s->spec.runtime_root) {
		*vec_push(argv) = "--root";
		*vec_push(argv) = s->spec.runtime_root;
	}
	if (p) {
		*vec_push(argv) = "--log";
		*vec_push(argv) = log_name;
		*vec_push(argv) = "--log-format";
		*vec_push(argv) = "json";
	}
}

/*
 * The runtime in a child of ours: it starts as an executed one would, with 0-2 and nothing else.
 * It dies with us: who finds us dead deletes the container, and nothing may make it after that.
 */
static _Noreturn void be_runtime(pid_t shim, shim_runtime_fn run, const argv_vec *argv,
				 const int fds[3])
{
	sigset_t none;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != shim)
		_exit(127);
	sigemptyset(&none);
	/* 0-2 of ours are /dev/null. */
	for (int i = 0; fds && i < 3; i++)
		if (fds[i] != FD_NONE && dup2(fds[i], i) < 0)
			_exit(127);
	if (sigprocmask(SIG_SETMASK, &none, NULL) < 0 || close_range(3, ~0U, 0) < 0)
		_exit(127);
	_exit(run((int)argv->len - 1, (char **)(uintptr_t)argv->at));
}

static int spawn(struct supervisor *s, const argv_vec *argv, const int fds[3], pid_t *ret,
		 struct error *err)
{
	struct proc_fd map[3] = { { FD_NONE, 0 }, { FD_NONE, 1 }, { FD_NONE, 2 } };
	struct proc_spec spec = { .path = s->spec.runtime,
				  .argv = argv->at,
				  .fds = map,
				  .n_fds = 3,
				  .cwd_fd = s->dir_fd,
				  .death_signal = SIGKILL };
	pid_t self = getpid();
	struct proc proc;
	int i, r;

	if (s->spec.builtin) {
		*ret = fork();
		if (*ret < 0)
			return error_sys(err, errno, "fork the runtime");
		if (*ret == 0)
			be_runtime(self, s->spec.builtin, argv, fds);
		return 0;
	}
	for (i = 0; fds && i < 3; i++)
		map[i].parent = fds[i];
	r = proc_spawn(&spec, &proc, err);
	if (r < 0)
		return r;
	*ret = proc.pid;
	proc_close(&proc);
	return 0;
}

/* A start is under way: a child that ends may be a process whose pid nobody has told yet. */
static bool any_starting(const struct supervisor *s)
{
	for (const struct process *p = s->init; p; p = p == s->init ? s->execs : p->next)
		if (p->status == PROCESS_STARTING)
			return true;
	return false;
}

static int start(struct supervisor *s, struct process *p, argv_vec *argv, struct error *err)
{
	char console[128];
	int r;

	/* The numbers of older children are free to be given to this one. */
	if (!any_starting(s))
		memset(s->unclaimed, 0, sizeof(s->unclaimed));

	if (p->tty) {
		process_console_name(p, console, sizeof(console));
		*vec_push(argv) = "--console-socket";
		*vec_push(argv) = console;
	}
	*vec_push(argv) = s->spec.id;
	*vec_push(argv) = NULL;
	/* Before the process can write its first byte: `logs --since StartedAt`
	 * must give that byte. */
	p->started_ns = clock_wall_ns();
	r = spawn(s, argv, p->child_fd, &p->runtime_pid, err);
	process_close_child_fds(p);
	if (r < 0)
		return r;
	p->status = PROCESS_STARTING;
	return 0;
}

int child_start_init(struct supervisor *s, struct error *err)
{
	argv_vec argv = { 0 };
	int r;

	argv_common(s, s->init, &argv, "runtime.log");
	*vec_push(&argv) = "run";
	*vec_push(&argv) = "--detach";
	*vec_push(&argv) = "--bundle";
	*vec_push(&argv) = ".";
	*vec_push(&argv) = "--pid-file";
	*vec_push(&argv) = "init.pid";
	r = start(s, s->init, &argv, err);
	vec_release(&argv);
	return r;
}

int child_start_exec(struct supervisor *s, struct process *p, const char *process_file,
		     struct error *err)
{
	argv_vec argv = { 0 };
	char log_name[128], pid_name[128];
	int r;

	file_name(p, "runtime.log", log_name, sizeof(log_name));
	file_name(p, "init.pid", pid_name, sizeof(pid_name));
	argv_common(s, p, &argv, log_name);
	*vec_push(&argv) = "exec";
	*vec_push(&argv) = "--detach";
	*vec_push(&argv) = "--process";
	*vec_push(&argv) = process_file;
	*vec_push(&argv) = "--pid-file";
	*vec_push(&argv) = pid_name;
	r = start(s, p, &argv, err);
	vec_release(&argv);
	return r;
}

/* The last "msg" of the runtime's JSON log, without the verb that runc puts before it. */
static void runtime_failure(struct supervisor *s, const struct process *p, struct error *err)
{
	auto_(buf) b = BUF_INIT(RUNTIME_LOG_MAX);
	auto_(arena) a = ARENA_INIT;
	const char *msg = NULL;
	char name[128];
	struct str rest, line;

	file_name(p, "runtime.log", name, sizeof(name));
	if (fs_read_at(s->dir_fd, name, &b, NULL) == 0 && b.len > 0) {
		rest = (struct str){ b.data, b.len };
		while (str_split(&rest, '\n', &line)) {
			const struct json *j;

			if (line.len == 0 || json_parse(&a, line.at, line.len, &j, NULL) < 0)
				continue;
			if (json_str(j, "msg"))
				msg = json_str(j, "msg");
		}
	}
	if (msg == NULL && !p->tty && p->err.fd >= 0) {
		/* A runtime that dies before it has a log says why on stderr. */
		ssize_t n = read(p->err.fd, s->buf, 512);

		if (n > 0)
			msg = arena_strndup(&a, s->buf,
					    str_trim((struct str){ s->buf, (size_t)n }).len);
	}
	if (msg == NULL)
		msg = "the runtime failed without a word";
	/* runc's words, whichever runtime it was: clients look for them. */
	(void)error_set(err, ERR_INVALID, "%s%s",
			strstr(msg, "unable to start container process") == NULL &&
				strncmp(msg, "exec: ", 6) == 0
			    ? "unable to start container process: "
			    : "",
			msg);
}

static int read_pid(struct supervisor *s, const struct process *p, pid_t *ret)
{
	auto_(buf) b = BUF_INIT(32);
	uint64_t pid;
	char name[128];

	file_name(p, "init.pid", name, sizeof(name));
	if (fs_read_at(s->dir_fd, name, &b, NULL) < 0 || b.len == 0)
		return -1;
	if (parse_u64(str_trim((struct str){ b.data, b.len }), INT32_MAX, &pid, NULL) < 0)
		return -1;
	*ret = (pid_t)pid;
	return 0;
}

static void exec_remove_files(struct supervisor *s, const struct process *p)
{
	static const char *const names[] = { "runtime.log", "init.pid", "process" };
	char name[128];
	size_t i;

	for (i = 0; i < ARRAY_LEN(names); i++) {
		file_name(p, names[i], name, sizeof(name));
		unlinkat(s->dir_fd, name, 0);
	}
	process_console_name(p, name, sizeof(name));
	unlinkat(s->dir_fd, name, 0);
}

/* Where the kernel counts OOM kills of this container: v1 memory.oom_control, v2 memory.events. */
static void find_oom_file(struct supervisor *s)
{
	auto_(buf) b = BUF_INIT(65536);
	autofree char *path = cstr_format("/proc/%d/cgroup", (int)s->init->pid);
	struct str rest, line;

	if (fs_read_file(path, &b, NULL) < 0 || b.len == 0)
		return;
	rest = (struct str){ b.data, b.len };
	while (str_split(&rest, '\n', &line)) {
		struct str id, names;

		if (!str_split(&line, ':', &id) || !str_split(&line, ':', &names))
			continue;
		if (str_eqs(names, "memory")) {
			free(s->oom_path);
			s->oom_path = cstr_format("/sys/fs/cgroup/memory%.*s/memory.oom_control",
						  STR_ARG(line));
			return;
		}
		if (names.len == 0 && s->oom_path == NULL)
			s->oom_path =
			    cstr_format("/sys/fs/cgroup%.*s/memory.events", STR_ARG(line));
	}
}

/*
 * The last user of a mount namespace waits for the kernel to take the mounts down, and init would
 * be that before we hear of its end: 0.4 ms, and several when the processors are busy.
 */
static void hold_mounts(struct supervisor *s)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)s->init->pid);
	s->mounts_fd = open(path, O_RDONLY | O_CLOEXEC);
}

static void drop_mounts(struct supervisor *s)
{
	if (s->mounts_fd >= 0)
		close(s->mounts_fd);
	s->mounts_fd = FD_NONE;
}

static bool oom_happened(const struct supervisor *s)
{
	auto_(buf) b = BUF_INIT(4096);
	struct str rest, line;

	if (s->oom_path == NULL || fs_read_file(s->oom_path, &b, NULL) < 0 || b.len == 0)
		return false;
	rest = (struct str){ b.data, b.len };
	while (str_split(&rest, '\n', &line))
		if (str_starts(line, "oom_kill "))
			return !str_eqs(line, "oom_kill 0");
	return false;
}

static void write_exit_record(struct supervisor *s)
{
	auto_(buf) b = BUF_INIT(4096);
	struct jsonw w;

	jsonw_init(&w, &b);
	jsonw_object(&w);
	jsonw_kint(&w, "code", s->init->exit_code);
	jsonw_kint(&w, "time", s->init->exit_ns);
	jsonw_kbool(&w, "oom", s->oom_killed);
	jsonw_end(&w);
	if (jsonw_finish(&w, NULL) < 0)
		return;
	/* Without the room for a durable one, one that lasts until the next boot. */
	if (s->spec.ephemeral ||
	    fs_replace(s->dir_fd, "exit.json", 0600, b.data, b.len, NULL) < 0) {
		autoclose int fd =
		    openat(s->dir_fd, ".exit.json", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

		if (fd >= 0 && fs_write_all(fd, b.data, b.len, NULL) == 0)
			(void)renameat(s->dir_fd, ".exit.json", s->dir_fd, "exit.json");
	}
}

void process_finish_sessions(struct supervisor *s, struct process *p)
{
	struct session *x;

	for (x = p->sessions; x; x = x->next)
		session_finish(s, x);
}

/* Nothing holds the container's files any more; clients may still have output to take. */
static void container_gone(struct supervisor *s)
{
	umount2("rootfs", MNT_DETACH);
	control_event_gone(s);
	s->quit = true;
}

static void runtime_delete(struct supervisor *s)
{
	argv_vec argv = { 0 };

	argv_common(s, NULL, &argv, NULL);
	*vec_push(&argv) = "delete";
	*vec_push(&argv) = "--force";
	*vec_push(&argv) = s->spec.id;
	*vec_push(&argv) = NULL;
	if (spawn(s, &argv, NULL, &s->delete_pid, NULL) < 0)
		container_gone(s);
	vec_release(&argv);
}

static void exec_ended(struct supervisor *s, struct process *p)
{
	struct ended_exec *ended;

	p->status = PROCESS_EXITED;
	process_drain_output(s, p);
	/* Whether an engine has read what it is sent, only a later engine's question tells. */
	ended = &s->ended[s->next_ended++ % SUPERVISOR_ENDED_MAX];
	memcpy(ended->id, p->id, sizeof(p->id));
	ended->code = p->exit_code;
	control_event_exit(s, p);
	process_finish_sessions(s, p);
	exec_remove_files(s, p);
	p->dead = true;
	s->dirty = true;
}

static void init_ended(struct supervisor *s)
{
	struct process *p;

	s->oom_killed = oom_happened(s);
	if (s->spec.measure != NULL)
		usage_read(s->spec.measure, &s->usage);
	/* With the pid namespace gone every exec is dead, reaped or not. */
	for (p = s->execs; p; p = p->next) {
		if (p->dead || p->status != PROCESS_RUNNING)
			continue;
		p->exited = true;
		p->exit_code = 137;
		p->exit_ns = s->init->exit_ns;
		exec_ended(s, p);
	}
	s->init->status = PROCESS_EXITED;
	s->finishing = true;
	process_drain_output(s, s->init);
	write_exit_record(s);
	control_event_exit(s, s->init);
	process_finish_sessions(s, s->init);
	runtime_delete(s);
	drop_mounts(s);
}

static void process_ended(struct supervisor *s, struct process *p, int code, int64_t ns)
{
	p->exited = true;
	p->exit_code = code;
	p->exit_ns = ns;
	if (p == s->init)
		init_ended(s);
	else
		exec_ended(s, p);
}

static void start_failed(struct supervisor *s, struct process *p, const struct error *failure)
{
	struct session *x;

	process_throw_output_away(s, p);
	p->status = PROCESS_EXITED;
	if (p != s->init) {
		char text[ERROR_MSG_MAX + 64];
		int n = snprintf(text, sizeof(text), "OCI runtime exec failed: %s: unknown\r\n",
				 failure->msg);

		for (x = p->sessions; x; x = x->next)
			session_output(s, x, STREAM_STDOUT, text, (size_t)n);
	}
	control_reply_started(s, p, failure);
	process_finish_sessions(s, p);
	if (p == s->init) {
		s->finishing = true;
		runtime_delete(s);
		return;
	}
	exec_remove_files(s, p);
	p->dead = true;
	s->dirty = true;
}

/* The runtime's own process is done: either p runs or it never will. */
static void runtime_ended(struct supervisor *s, struct process *p, int code)
{
	struct error failure = { 0 };
	unsigned i;

	p->runtime_pid = 0;
	if (code != 0 || read_pid(s, p, &p->pid) < 0) {
		runtime_failure(s, p, &failure);
		start_failed(s, p, &failure);
		return;
	}
	p->status = PROCESS_RUNNING;
	control_reply_started(s, p, NULL);
	if (p == s->init) {
		hold_mounts(s);
		find_oom_file(s);
	}
	process_begin_output(s, p);
	for (i = 0; i < SUPERVISOR_UNCLAIMED_MAX; i++) {
		if (s->unclaimed[i].pid != p->pid)
			continue;
		s->unclaimed[i].pid = 0;
		process_ended(s, p, s->unclaimed[i].code, s->unclaimed[i].ns);
		return;
	}
}

static void child_ended(struct supervisor *s, pid_t pid, int code)
{
	int64_t now = clock_wall_ns();
	struct process *p;
	unsigned slot;

	if (pid == s->delete_pid) {
		container_gone(s);
		return;
	}
	for (p = s->init; p; p = p == s->init ? s->execs : p->next) {
		if (p->dead)
			continue;
		if (p->runtime_pid == pid && p->status == PROCESS_STARTING) {
			runtime_ended(s, p, code);
			return;
		}
		if (p->pid == pid && p->status == PROCESS_RUNNING) {
			process_ended(s, p, code, now);
			return;
		}
	}
	if (!any_starting(s))
		return;
	slot = s->next_unclaimed++ % SUPERVISOR_UNCLAIMED_MAX;
	s->unclaimed[slot].pid = pid;
	s->unclaimed[slot].code = code;
	s->unclaimed[slot].ns = now;
}

void child_reap(struct supervisor *s)
{
	for (;;) {
		int status;
		pid_t pid = waitpid(-1, &status, WNOHANG);

		if (pid <= 0)
			return;
		child_ended(s, pid,
			    WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	}
}
