/*
 * engine/start.c: from a row to a running container: root file system, network,
 * files, bundle, shim. Each step is undone when a later one fails.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/queue.h"
#include "base/str.h"
#include "engine/container_internal.h"
#include "engine/idmap.h"
#include "engine/network.h"
#include "engine/volume.h"
#include "store/mount.h"
#include "store/store.h"

#define CONFIG_MAX    (4 << 20)
#define HOST_FILE_MAX (1 << 20)
#define LOG_ATTRS_MAX 16384
/* Where neither the container nor the engine's log-opts say: inspect shows what was said only. */
#define LOG_SIZE_DEFAULT  (10 << 20)
#define LOG_FILES_DEFAULT 5

/* ---- files that the engine gives ---- */

static int write_file(int dir_fd, const char *name, const char *text, struct error *err)
{
	autoclose int fd =
	    openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);

	if (fd < 0)
		return error_sys(err, errno, "create '%s'", name);
	return fs_write_all(fd, text, strlen(text), err);
}

static int copy_host_file(int dir_fd, const char *from, const char *name, struct error *err)
{
	auto_(buf) b = BUF_INIT(HOST_FILE_MAX);

	if (fs_read_file(from, &b, NULL) < 0 || b.data == NULL)
		return write_file(dir_fd, name, "", err);
	return write_file(dir_fd, name, b.data, err);
}

static int write_files(struct container *c, const struct network_sandbox *net, struct error *err)
{
	autofree char *dir = container_file_path(c, ".");
	autofree char *hostname = cstr_format("%s\n", json_str(c->config, "Hostname"));
	autoclose int fd = FD_NONE;
	int r;

	/* Whoever shares another's network shares its files. */
	if (cstr_starts(json_str(c->host_config, "NetworkMode"), "container:"))
		return 0;
	r = fs_open(dir, O_RDONLY | O_DIRECTORY, 0, &fd, err);
	if (r == 0)
		r = write_file(fd, "hostname", hostname, err);
	if (r == 0)
		r = net->hosts ? write_file(fd, "hosts", net->hosts, err)
			       : copy_host_file(fd, "/etc/hosts", "hosts", err);
	if (r == 0)
		r = net->resolv_conf ? write_file(fd, "resolv.conf", net->resolv_conf, err)
				     : copy_host_file(fd, "/etc/resolv.conf", "resolv.conf", err);
	return r;
}

/* ---- log ---- */

/* {"key":"value"} of the labels and variables that the log options name. */
static char *log_attrs(const struct container *c, const struct json *opts)
{
	auto_(buf) b = BUF_INIT(LOG_ATTRS_MAX);
	const char *labels = json_str(opts, "labels"), *env = json_str(opts, "env");
	struct jsonw w;
	struct str rest, key;
	bool any = false;

	if (labels == NULL && env == NULL)
		return NULL;
	jsonw_init(&w, &b);
	jsonw_object(&w);
	rest = str_of(labels ? labels : "");
	while (labels && str_split(&rest, ',', &key)) {
		autofree char *k = str_dup(key);
		const char *v = json_str(json_get(c->config, "Labels"), k);

		if (v) {
			jsonw_kstring(&w, k, v);
			any = true;
		}
	}
	rest = str_of(env ? env : "");
	while (env && str_split(&rest, ',', &key)) {
		json_for_each_item (v, json_get(c->config, "Env")) {
			autofree char *k = str_dup(key);

			if (strncmp(v->s, k, key.len) == 0 && v->s[key.len] == '=') {
				jsonw_kstring(&w, k, v->s + key.len + 1);
				any = true;
			}
		}
	}
	jsonw_end(&w);
	if (jsonw_finish(&w, NULL) < 0 || !any)
		return NULL;
	return buf_detach(&b, NULL);
}

struct log_words {
	char *path, *attrs;
};

static void log_words_release(struct log_words *l)
{
	free(l->path);
	free(l->attrs);
}
DEFINE_AUTO(log_words, log_words_release);

static void set_log(struct container *c, struct task_log *log, struct log_words *keep)
{
	const struct json *conf = json_get(c->host_config, "LogConfig");
	const struct json *opts = json_get(conf, "Config");
	const char *size = json_str(opts, "max-size"), *files = json_str(opts, "max-file");
	int64_t v;

	log->driver = json_str(conf, "Type");
	keep->path = container_log_path(c);
	keep->attrs = log_attrs(c, opts);
	log->path = keep->path;
	log->attrs_json = keep->attrs;
	log->compress =
	    json_str(opts, "compress") && strcmp(json_str(opts, "compress"), "true") == 0;
	log->max_size_bytes = LOG_SIZE_DEFAULT;
	log->max_files = LOG_FILES_DEFAULT;
	if (size)
		log->max_size_bytes = parse_size(str_of(size), &v, NULL) == 0 && v > 0 ? v : 0;
	if (files && parse_i64(str_of(files), 1, 1000, &v, NULL) == 0)
		log->max_files = (unsigned)v;
}

/* ---- task ---- */

static const char *runtime_path(const struct container *c)
{
	const struct engine_config *cfg = &c->engine->cfg;
	const char *name = json_str(c->host_config, "Runtime");
	size_t i;

	for (i = 0; i < cfg->n_runtimes; i++)
		if (strcmp(cfg->runtimes[i].key, name) == 0)
			return cfg->runtimes[i].value;
	return cfg->runtime_binary;
}

static int make_task(struct container *c, const struct buf *config, int rootfs_fd,
		     struct task **ret, struct error *err)
{
	autofree char *root = cstr_format("%s/runtime", c->engine->cfg.exec_root);
	static const char *const systemd[] = { "--systemd-cgroup", NULL };
	auto_(log_words) keep = { 0 };
	struct task_spec spec = {
		.id = c->id,
		.oci_runtime = runtime_path(c),
		.oci_runtime_args = c->engine->cfg.systemd_cgroup ? systemd : NULL,
		.oci_root = root,
		.config_json = config->data,
		.config_json_len = config->len,
		.rootfs_fd = rootfs_fd,
		.tty = json_bool(c->config, "Tty", false),
		.open_stdin = json_bool(c->config, "OpenStdin", false),
		.stdin_once = json_bool(c->config, "StdinOnce", false),
		.ephemeral = json_bool(c->host_config, "AutoRemove", false),
	};
	int r;

	set_log(c, &spec.log, &keep);
	/* The task's events carry a reference, dropped with TASK_GONE. */
	container_ref(c);
	r = task_create(c->engine->tasks, &spec, container_task_event, c, ret, err);
	if (r < 0)
		container_unref(c);
	return r;
}

/* The words on which the exit code of `docker run` depends. */
static int start_exit_code(const char *msg)
{
	if (strstr(msg, "executable file not found") || strstr(msg, "no such file or directory") ||
	    strstr(msg, "system cannot find the file specified"))
		return 127;
	if (strstr(msg, "permission denied") || strstr(msg, "is a directory") ||
	    strstr(msg, "operation not permitted") || strstr(msg, "exec format error"))
		return 126;
	return 128;
}

/* Whose PID namespace c joins, or NULL. *ret_pid: its init's at this moment. */
static struct container *pid_partner(struct container *c, pid_t *ret_pid)
{
	const char *mode = json_str(c->host_config, "PidMode");
	struct container *other = NULL;

	*ret_pid = 0;
	if (!cstr_starts(mode, "container:") ||
	    container_find(c->engine, mode + strlen("container:"), &other, NULL) < 0)
		return NULL;
	LOCKED(&other->lock);
	*ret_pid = other->pid;
	return other;
}

/*
 * The kernel ends everything in a PID namespace with its first process, and lets nobody in.
 *
 * pid  of the partner before the start: by now it may have gone, or run anew
 */
static int check_partner(struct container *c, pid_t pid, struct error *err)
{
	const char *mode = json_str(c->host_config, "PidMode");
	pid_t now;
	autoptr(container) other = pid_partner(c, &now);

	if (!cstr_starts(mode, "container:") ||
	    (other && now == pid && container_has_its_pid(other)))
		return 0;
	return error_set(err, ERR_CONFLICT, "cannot join pid of a non running container: %s",
			 other ? other->id : mode + strlen("container:"));
}

/* partner: the pid that check_partner asks for. */
static int run_task(struct container *c, const struct buf *config, int rootfs_fd, pid_t partner,
		    struct error *err)
{
	struct error local = { 0 };
	struct task *t;
	int64_t started;
	pid_t pid;
	int r;

	r = make_task(c, config, rootfs_fd, &t, err);
	if (r < 0)
		return r;
	attach_pending_flush(c, t);
	{
		/* Its exit may be told before task_start returns. */
		LOCKED(&c->lock);
		c->task = t;
	}
	r = task_start(t, &pid, &started, &local);
	if (r < 0) {
		(void)!task_wait(t, true, 30000, NULL, NULL, NULL);
		(void)!task_delete(c->engine->tasks, c->id, NULL);
		{
			LOCKED(&c->lock);
			c->task = task_unref(c->task);
		}
		r = check_partner(c, partner, err);
		if (r < 0)
			return r;
		return error_set(err, start_exit_code(local.msg) == 128 ? ERR_SYSTEM : ERR_INVALID,
				 "failed to create task for container: failed to create shim task: "
				 "OCI runtime create failed: %s: unknown",
				 local.msg);
	}
	LOCKED(&c->lock);
	c->pid = pid;
	c->started_ns = started;
	c->status = CONTAINER_RUNNING;
	c->exit_code = 0;
	c->oom_killed = false;
	c->stop_requested = c->dying = false;
	free(c->error_text);
	c->error_text = NULL;
	c->ran = true;
	container_changed(c);
	return 0;
}

/* The same root, but with the ids of the container's user namespace. */
static int remount_mapped(struct container *c, const struct mounts *m, const struct id_maps *maps,
			  int *fd, struct error *err)
{
	autoclose int user_ns = FD_NONE;
	int r = userns_open(c, maps, &user_ns, err);

	close(steal_fd(fd));
	return r < 0 ? r
		     : mount_open_mapped(m, user_ns, id_map_root(maps->uids, maps->n_uids),
					 id_map_root(maps->gids, maps->n_gids), fd, err);
}

static int start_steps(struct container *c, struct network_sandbox *net, struct error *err)
{
	auto_(buf) config = BUF_INIT(CONFIG_MAX);
	auto_(mounts) m = { 0 };
	auto_(arena) a = ARENA_INIT;
	struct id_maps maps, *mapped = userns_is_auto(c) ? &maps : NULL;
	autoclose int rootfs_fd = FD_NONE;
	pid_t partner;
	int r;

	container_unref(pid_partner(c, &partner));
	r = container_mounts(c, &m, err);
	if (r == 0)
		r = mount_open(&m, false, &rootfs_fd, err);
	if (r == 0 && mapped)
		r = userns_maps(c, rootfs_fd, &a, mapped, err);
	if (r == 0)
		r = network_attach(c, net, err);
	if (r < 0)
		return r;
	r = write_files(c, net, err);
	if (r == 0)
		r = container_spec(c, rootfs_fd, net, mapped, &config, err);
	if (r == 0 && mapped)
		r = remount_mapped(c, &m, mapped, &rootfs_fd, err);
	if (r == 0)
		r = run_task(c, &config, rootfs_fd, partner, err);
	if (r < 0)
		network_detach(c);
	return r;
}

static void start_failed(struct container *c, const struct error *failure)
{
	bool auto_remove;

	container_unmount_all(c);
	attach_pending_drop(c);
	{
		LOCKED(&c->lock);
		c->exit_code = start_exit_code(failure->msg);
		free(c->error_text);
		c->error_text = xstrdup(failure->msg);
		if (c->status == CONTAINER_RESTARTING) {
			c->status = CONTAINER_EXITED;
			c->finished_ns = clock_wall_ns();
		}
		c->exit_seq++;
		free(c->not_removed);
		c->not_removed = NULL;
		container_changed(c);
		auto_remove = json_bool(c->host_config, "AutoRemove", false);
	}
	(void)!container_save_state(c, NULL);
	if (auto_remove)
		(void)!container_remove_locked(c, true, NULL);
}

static int check_startable(struct container *c, bool *ret_done, struct error *err)
{
	LOCKED(&c->lock);
	*ret_done = false;
	if (c->removed || c->status == CONTAINER_REMOVING)
		return error_set(err, ERR_CONFLICT,
				 "container is marked for removal and cannot be started");
	if (c->dead)
		return error_set(err, ERR_CONFLICT,
				 "container is marked for removal and cannot be started");
	if (c->status == CONTAINER_PAUSED)
		return error_set(err, ERR_CONFLICT,
				 "cannot start a paused container, try unpause instead");
	*ret_done = c->status == CONTAINER_RUNNING;
	return 0;
}

int container_start_locked(struct container *c, bool *ret_changed, struct error *err)
{
	struct network_sandbox net = { 0 };
	struct error failure = { 0 };
	bool done;
	int r;

	lock_assert_held(&c->op);
	r = check_startable(c, &done, err);
	if (r == 0 && !done)
		r = container_root_quiet(c, err);
	if (r < 0 || done) {
		*ret_changed = false;
		return r;
	}
	r = start_steps(c, &net, &failure);
	free(net.hosts);
	free(net.resolv_conf);
	if (r < 0) {
		start_failed(c, &failure);
		return error_set(err, failure.kind, "%s", failure.msg);
	}
	r = container_save_state(c, &failure);
	if (r < 0)
		log_warn("state of a started container not recorded, continuing",
			 KV("container", c->id), KV_ERR(&failure));
	container_event(c, "start", NULL, 0);
	health_start(c);
	*ret_changed = true;
	return 0;
}

int container_start(struct engine *e, const char *ref, const char *detach_keys, bool *ret_changed,
		    struct error *err)
{
	autoptr(container) c = NULL;
	int r;

	(void)detach_keys;
	r = container_find(e, ref, &c, err);
	if (r < 0)
		return r;
	LOCKED(&c->op);
	{
		LOCKED(&c->lock);
		c->restart_count = 0;
		c->backoff_ms = 0;
	}
	return container_start_locked(c, ret_changed, err);
}
