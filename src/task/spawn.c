/* task/spawn.c: a task's directory and the beginning of its shim; burial. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/vec.h"
#include "task/task_internal.h"

#define SHIM_FD_CONTROL   3
#define SHIM_FD_ROOTFS    4
#define RECORD_MAX        65536
#define TASK_JSON_MAX     (1 << 20)
#define DELETE_TIMEOUT_MS 30000

int task_write_file(int dir_fd, const char *name, const void *bytes, size_t len, struct error *err)
{
	autoclose int fd =
	    openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return error_sys(err, errno, "create '%s'", name);
	return fs_write_all(fd, bytes, len, err);
}

static void write_list(struct jsonw *w, const char *key, const char *const *list)
{
	jsonw_karray(w, key);
	for (; list && *list; list++)
		jsonw_string(w, *list);
	jsonw_end(w);
}

static int write_task_json(const struct task *t, const struct task_spec *spec, struct error *err)
{
	auto_(buf) b = BUF_INIT(TASK_JSON_MAX);
	struct jsonw w;
	int r;

	jsonw_init(&w, &b);
	jsonw_object(&w);
	jsonw_kint(&w, "version", 1);
	jsonw_kstring(&w, "id", spec->id);
	jsonw_kstring(&w, "runtime", spec->oci_runtime);
	/* The shim's own program: it forks where it would execute another. */
	jsonw_kbool(&w, "builtin", strcmp(spec->oci_runtime, t->host->shim_path) == 0);
	write_list(&w, "runtime_args", spec->oci_runtime_args);
	if (spec->oci_root)
		jsonw_kstring(&w, "runtime_root", spec->oci_root);
	jsonw_kbool(&w, "tty", spec->tty);
	jsonw_kbool(&w, "open_stdin", spec->open_stdin);
	jsonw_kbool(&w, "stdin_once", spec->stdin_once);
	jsonw_kbool(&w, "ephemeral", spec->ephemeral);
	if (spec->measure)
		jsonw_kstring(&w, "measure", spec->measure);
	jsonw_kobject(&w, "log");
	jsonw_kstring(&w, "driver", spec->log.driver ? spec->log.driver : "none");
	if (spec->log.path)
		jsonw_kstring(&w, "path", spec->log.path);
	jsonw_kint(&w, "max_size", spec->log.max_size_bytes);
	jsonw_kint(&w, "max_files", spec->log.max_files);
	jsonw_kbool(&w, "compress", spec->log.compress);
	if (spec->log.attrs_json)
		jsonw_kstring(&w, "attrs", spec->log.attrs_json);
	jsonw_end(&w);
	jsonw_end(&w);
	r = jsonw_finish(&w, err);
	if (r < 0)
		return r;
	return task_write_file(t->dir_fd, "task.json", b.data, b.len, err);
}

static int watch_child(struct task_host *h, int take_pidfd, struct error *err)
{
	struct task_child *c = new0(struct task_child);
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = &c->watch };

	c->watch.kind = WATCH_CHILD;
	c->pidfd = take_pidfd;
	if (epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, c->pidfd, &ev) < 0) {
		int sys = errno;

		close(c->pidfd);
		free(c);
		return error_sys(err, sys, "watch the shim's process");
	}
	return 0;
}

int task_spawn_shim(struct task_host *h, const char *const *argv, int control_fd, int rootfs_fd,
		    struct error *err)
{
	struct proc_fd fds[] = { { control_fd, SHIM_FD_CONTROL }, { rootfs_fd, SHIM_FD_ROOTFS } };
	struct proc_spec spec = { .path = h->shim_path,
				  .argv = argv,
				  .fds = fds,
				  .n_fds = rootfs_fd >= 0 ? 2 : 1,
				  .cwd_fd = FD_NONE,
				  .new_session = true };
	struct proc proc;
	int r;

	r = proc_spawn(&spec, &proc, err);
	if (r < 0)
		return error_wrap(err, r, "start the shim");
	return watch_child(h, steal_fd(&proc.pidfd), err);
}

/* None waits: one is started for this task. */
static int spawn_now(struct task *t, int rootfs_fd, struct error *err)
{
	autofree char *dir = cstr_format("%s/%s", t->host->tasks_dir, t->id);
	const char *argv[] = { "proa-runtime",
			       "shim",
			       "--dir",
			       dir,
			       "--fd",
			       "3",
			       rootfs_fd >= 0 ? "--rootfs-fd" : NULL,
			       "4",
			       NULL };
	int pair[2];
	int r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return error_sys(err, errno, "socketpair");
	t->sock = pair[0];
	r = task_spawn_shim(t->host, argv, pair[1], rootfs_fd, err);
	close(pair[1]);
	return r;
}

static int fill_and_spawn(struct task *t, const struct task_spec *spec, struct error *err)
{
	int r;

	t->dir_fd = openat(t->host->dir_fd, t->id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (t->dir_fd < 0)
		return error_sys(err, errno, "open the task's directory");
	r = task_write_file(t->dir_fd, "config.json", spec->config_json, spec->config_json_len,
			    err);
	if (r == 0)
		r = write_task_json(t, spec, err);
	if (r < 0)
		return r;
	t->sock = task_warm_take(t->host, t->id, spec->rootfs_fd);
	r = t->sock >= 0 ? 0 : spawn_now(t, spec->rootfs_fd, err);
	if (r < 0)
		return r;
	task_bound_send(t->sock);
	return task_watch_control(t, err);
}

int task_create(struct task_host *h, const struct task_spec *spec, task_event_fn on_event,
		void *ctx, struct task **ret, struct error *err)
{
	struct task *t;
	int r;

	if (!fs_is_component(spec->id))
		return error_set(err, ERR_INVALID, "bad task id '%s'", spec->id);
	if (mkdirat(h->dir_fd, spec->id, 0700) < 0)
		return errno == EEXIST
			   ? error_set(err, ERR_CONFLICT, "task '%s' exists", spec->id)
			   : error_sys(err, errno, "make the directory of task '%s'", spec->id);
	t = task_new(h, spec->id, on_event, ctx);
	r = fill_and_spawn(t, spec, err);
	if (r < 0) {
		struct error ignored;

		(void)!fs_remove_tree(h->dir_fd, spec->id, &ignored);
		task_unref(t);
		return r;
	}
	*ret = t;
	return 0;
}

static bool read_exit_record(int dir_fd, struct task_exit *ret)
{
	auto_(arena) a = ARENA_INIT;
	auto_(buf) b = BUF_INIT(RECORD_MAX);
	const struct json *j;

	if (fs_read_at(dir_fd, "exit.json", &b, NULL) < 0 ||
	    json_parse(&a, b.data, b.len, &j, NULL) < 0)
		return false;
	ret->code = (int)json_int(j, "code", 137);
	ret->time_ns = json_int(j, "time", 0);
	ret->oom_killed = json_bool(j, "oom", false);
	return true;
}

/* Ask the runtime to kill and forget the container. */
static void runtime_delete(const char *id, int dir_fd)
{
	auto_(arena) a = ARENA_INIT;
	auto_(buf) b = BUF_INIT(TASK_JSON_MAX);
	VEC(const char *) argv = { 0 };
	struct proc_spec spec = { .cwd_fd = dir_fd };
	const struct json *j, *args;
	int status;

	if (fs_read_at(dir_fd, "task.json", &b, NULL) < 0 ||
	    json_parse(&a, b.data, b.len, &j, NULL) < 0 || json_str(j, "runtime") == NULL)
		return;
	spec.path = json_str(j, "runtime");
	*vec_push(&argv) = spec.path;
	args = json_get(j, "runtime_args");
	json_for_each_item (arg, args)
		*vec_push(&argv) = arg->type == JSON_STRING ? arg->s : "";
	if (json_str(j, "runtime_root")) {
		*vec_push(&argv) = "--root";
		*vec_push(&argv) = json_str(j, "runtime_root");
	}
	*vec_push(&argv) = "delete";
	*vec_push(&argv) = "--force";
	*vec_push(&argv) = id;
	*vec_push(&argv) = NULL;
	spec.argv = argv.at;
	(void)!proc_run(&spec, NULL, 0, NULL, NULL, DELETE_TIMEOUT_MS, &status, NULL);
	vec_release(&argv);
}

void task_bury(struct task_host *h, const char *id, int dir_fd, struct task_exit *ret)
{
	(void)h;
	*ret = (struct task_exit){ .code = 137 };
	runtime_delete(id, dir_fd);
	if (!read_exit_record(dir_fd, ret))
		ret->time_ns = clock_wall_ns();
}

int task_delete(struct task_host *h, const char *id, struct error *err)
{
	return fs_remove_tree(h->dir_fd, id, err);
}
