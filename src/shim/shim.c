/*
 * shim/shim.c: set up, the loop, the end.
 */
#include "shim/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/auto.h"
#include "base/buf.h"
#include "base/fdpass.h"
#include "base/fs.h"
#include "base/memory.h"
#include "base/str.h"
#include "shim/supervisor.h"

#define SPEC_MAX  (1 << 20)
#define ATTRS_MAX 16384
#define BATCH     32
#define IDLE_MS   1000

int source_watch(struct supervisor *s, struct source *src, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = src };
	int op;

	if (src->fd < 0 || events == src->events)
		return 0;
	op = src->events == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
	if (epoll_ctl(s->epoll_fd, op, src->fd, &ev) < 0)
		return -1;
	src->events = events;
	return 0;
}

void source_close(struct supervisor *s, struct source *src)
{
	if (src->fd < 0)
		return;
	if (src->events != 0)
		(void)epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, src->fd, NULL);
	close(src->fd);
	src->fd = FD_NONE;
	src->events = 0;
}

static void sweep_process(struct supervisor *s, struct process *p)
{
	struct session **at = &p->sessions;

	while (*at) {
		struct session *x = *at;

		if (!x->dead) {
			at = &x->next;
			continue;
		}
		*at = x->next;
		session_free(s, x);
	}
}

static bool sessions_alive(const struct supervisor *s)
{
	return s->init->sessions != NULL || s->execs != NULL;
}

static void supervisor_sweep(struct supervisor *s)
{
	struct process **at = &s->execs;
	struct conn **c = &s->conns;

	s->dirty = false;
	sweep_process(s, s->init);
	while (*at) {
		struct process *p = *at;

		sweep_process(s, p);
		/* A dead exec stays while a client still has output to take. */
		if (!p->dead || p->sessions) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		process_free(s, p);
	}
	while (*c) {
		struct conn *dead = *c;

		if (!dead->dead) {
			c = &dead->next;
			continue;
		}
		*c = dead->next;
		free(dead);
	}
}

static void signals_ready(struct supervisor *s, struct source *src, uint32_t events)
{
	struct signalfd_siginfo si;

	(void)events;
	while (read(src->fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
		;
	child_reap(s);
}

static const char *const *string_list(struct arena *a, const struct json *j)
{
	size_t n = j && j->type == JSON_ARRAY ? j->n_items : 0, i;
	const char **list = arena_array(a, n + 1, sizeof(*list));

	for (i = 0; i < n; i++)
		list[i] = j->items[i]->type == JSON_STRING ? j->items[i]->s : "";
	return list;
}

static int spec_read(struct supervisor *s, shim_runtime_fn builtin, struct error *err)
{
	auto_(buf) b = BUF_INIT(SPEC_MAX);
	struct supervisor_spec *spec = &s->spec;
	const struct json *j, *log;
	int r;

	r = fs_read_at(s->dir_fd, "task.json", &b, err);
	if (r < 0)
		return r;
	r = json_parse(&s->arena, b.data, b.len, &j, err);
	if (r < 0)
		return error_wrap(err, r, "task.json");
	spec->id = json_str(j, "id");
	spec->runtime = json_str(j, "runtime");
	if (spec->id == NULL || spec->runtime == NULL)
		return error_set(err, ERR_INVALID, "task.json: id and runtime are required");
	spec->runtime_args = string_list(&s->arena, json_get(j, "runtime_args"));
	spec->runtime_root = json_str(j, "runtime_root");
	spec->builtin = json_bool(j, "builtin", false) ? builtin : NULL;
	spec->tty = json_bool(j, "tty", false);
	spec->open_stdin = json_bool(j, "open_stdin", false);
	spec->stdin_once = json_bool(j, "stdin_once", false);
	spec->ephemeral = json_bool(j, "ephemeral", false);
	spec->measure = json_str(j, "measure");
	log = json_get(j, "log");
	spec->log.driver = json_str(log, "driver");
	spec->log.path = json_str(log, "path");
	spec->log.max_size_bytes = json_int(log, "max_size", 0);
	spec->log.max_files = (unsigned)json_int(log, "max_files", 1);
	spec->log.compress = json_bool(log, "compress", false);
	spec->log.attrs_json = json_str(log, "attrs");
	if (spec->log.attrs_json && strlen(spec->log.attrs_json) > ATTRS_MAX)
		return error_set(err, ERR_INVALID, "task.json: log attributes are too long");
	return 0;
}

static int listen_control(struct supervisor *s, struct error *err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX, .sun_path = "shim.sock" };

	s->listener.fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->listener.fd < 0)
		return error_sys(err, errno, "control socket");
	unlinkat(s->dir_fd, "shim.sock", 0);
	if (bind(s->listener.fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    listen(s->listener.fd, 16) < 0)
		return error_sys(err, errno, "control socket");
	s->listener.ready = control_accept;
	return source_watch(s, &s->listener, EPOLLIN);
}

static int open_signals(struct supervisor *s, struct error *err)
{
	sigset_t all, chld;

	/* Everything is blocked: nobody but the container's end ends us. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	s->signals.fd = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signals.fd < 0)
		return error_sys(err, errno, "signalfd");
	s->signals.ready = signals_ready;
	return source_watch(s, &s->signals, EPOLLIN);
}

/* What belongs to this one container; a failure is told to whoever starts it. */
static int container_setup(struct supervisor *s, int rootfs_fd, struct error *err)
{
	int r;

	r = task_rootfs_attach(&s->dir_fd, rootfs_fd, err);
	if (r < 0)
		return r;
	s->init->tty = s->spec.tty;
	s->init->open_stdin = s->spec.open_stdin;
	s->init->stdin_once = s->spec.stdin_once;
	r = process_open_stdio(s, s->init, err);
	if (r < 0)
		return r;
	r = logfile_open(&s->spec.log, &s->log, err);
	if (r < 0)
		return r;
	return listen_control(s, err);
}

static void supervisor_loop(struct supervisor *s)
{
	struct epoll_event ev[BATCH];
	bool slim = false;

	/* A client that is slow to take the last output keeps us, not the container's files. */
	while (!s->quit || sessions_alive(s)) {
		int n = epoll_wait(s->epoll_fd, ev, BATCH, slim ? -1 : IDLE_MS), i;

		if (n < 0 && errno != EINTR)
			return;
		if (n == 0)
			memory_give_back(); /* what it needed to start the container */
		slim = n == 0;
		for (i = 0; i < n; i++) {
			struct source *src = ev[i].data.ptr;

			/* Closed by an earlier event of this batch. */
			if (src->fd >= 0 && src->events != 0)
				src->ready(s, src, ev[i].events);
		}
		if (s->dirty)
			supervisor_sweep(s);
		/* Never started, and nobody is there any more who could. */
		if (s->init->status == PROCESS_CREATED && s->conns == NULL)
			return;
	}
}

static int supervise(int dir_fd, int control_fd, int rootfs_fd, shim_runtime_fn builtin)
{
	struct supervisor *s = new0(struct supervisor);
	struct error err = { 0 };

	s->dir_fd = dir_fd;
	s->listener.fd = s->signals.fd = s->mounts_fd = FD_NONE;
	s->init = process_new("");
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll_fd < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return 1;
	if (open_signals(s, &err) < 0)
		return 1;
	if (spec_read(s, builtin, &err) < 0 || container_setup(s, rootfs_fd, &err) < 0)
		s->setup_error = err;
	if (rootfs_fd >= 0)
		close(rootfs_fd);
	fcntl(control_fd, F_SETFD, FD_CLOEXEC);
	control_add(s, control_fd);
	supervisor_loop(s);
	logfile_close(s->log);
	/* Memory and the rest go with the process. */
	return s->setup_error.kind != ERR_NONE;
}

static int parse_fd(const char *text, int *ret)
{
	uint64_t v;

	if (parse_u64(str_of(text), 1024, &v, NULL) < 0)
		return -1;
	*ret = (int)v;
	return 0;
}

/*
 * Started ahead: the first message is the name of the task's directory, with the mount of its root.
 * It goes where ps finds it. false: the engine has ended, no task comes.
 */
static bool await_task(int control_fd, char *dir_word, char dir[static PATH_MAX], int *rootfs_fd)
{
	size_t len = 0, n_fds = 0, room = strlen(dir_word);

	if (fdpass_recv(control_fd, dir, PATH_MAX - 1, &len, rootfs_fd, 1, &n_fds, NULL) < 0 ||
	    len == 0)
		return false;
	dir[len] = '\0';
	memset(dir_word, 0, room);
	memcpy(dir_word, dir, len < room ? len : room);
	return true;
}

int shim_main(int argc, char **argv, shim_runtime_fn builtin)
{
	int dir_fd, control_fd = FD_NONE, rootfs_fd = FD_NONE, i;
	char name[PATH_MAX];
	char *dir = NULL;
	bool await = false;

	for (i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--dir") == 0)
			dir = argv[i + 1];
		else if (strcmp(argv[i], "--await") == 0)
			await = true;
		else if (!(strcmp(argv[i], "--fd") == 0 &&
			   parse_fd(argv[i + 1], &control_fd) == 0) &&
			 !(strcmp(argv[i], "--rootfs-fd") == 0 &&
			   parse_fd(argv[i + 1], &rootfs_fd) == 0))
			return 2;
	}
	if (dir == NULL || control_fd < 0 || i != argc)
		return 2;
	if (await) {
		if (!await_task(control_fd, dir, name, &rootfs_fd))
			return 0;
		dir = name;
	}
	if (fs_open(dir, O_RDONLY | O_DIRECTORY, 0, &dir_fd, NULL) < 0 || fchdir(dir_fd) < 0)
		return 1;
	umask(0022);
	if (rootfs_fd >= 0)
		fcntl(rootfs_fd, F_SETFD, FD_CLOEXEC);
	return supervise(dir_fd, control_fd, rootfs_fd, builtin);
}
