/*
 * runtime/container.c: `create`, the parent's side.
 *
 * Everything that is made is owned by one struct, so that a failure at any
 * point takes all of it back: process, cgroup, state directory.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fdpass.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "runtime/child.h"
#include "runtime/console.h"
#include "runtime/hook.h"
#include "runtime/netdev.h"
#include "runtime/pid_out.h"
#include "runtime/resource.h"
#include "runtime/warning.h"

struct making {
	const struct runtime_options *options;
	const struct runtime_create_options *create;
	struct arena arena;
	struct runtime_config config;
	struct runtime_state state;
	struct state_dir dir;
	bool made_dir;
	struct cgroup_host host;
	struct cgroup cgroup;
	struct namespaces ns;
	struct child child;
	int *sources; /* fds per mount */
	int devices;  /* a user namespace's, made beforehand */
	int bundle, root_fd;
	int socket;  /* to the child */
	int console; /* our end when the master comes to us */
	int pidfd_socket;
	pid_t pid;
	pid_t holder; /* of systemd's scope, until init is in it; 0 none */
	bool done;
};

static void end_holder(struct making *m)
{
	if (m->holder <= 0)
		return;
	kill(m->holder, SIGKILL);
	while (waitpid(m->holder, NULL, 0) < 0 && errno == EINTR)
		continue;
	m->holder = 0;
}

static void making_release(struct making *m)
{
	struct error ignored;
	int status;

	end_holder(m);
	if (!m->done && m->pid > 0) {
		kill(m->pid, SIGKILL);
		while (waitpid(m->pid, &status, 0) < 0 && errno == EINTR)
			continue;
	}
	if (!m->done && cgroup_remove(&m->cgroup, &ignored) < 0)
		log_debug("cgroup not removed", KV_ERR(&ignored));
	if (!m->done && m->state.unit != NULL &&
	    cgroup_unit_stop(m->state.unit, m->state.unit_rootless, &ignored) < 0)
		log_debug("systemd unit not stopped", KV_ERR(&ignored));
	if (m->made_dir && !m->done && state_remove(m->options, m->create->id, &ignored) < 0)
		log_debug("state not removed", KV_ERR(&ignored));
	for (size_t i = 0; m->sources != NULL && i < m->config.n_mounts; i++)
		auto_close_(&m->sources[i]);
	auto_close_(&m->devices);
	auto_close_(&m->child.listener);
	auto_close_(&m->child.console);
	auto_close_(&m->child.tree);
	for (size_t i = 0; i < m->child.n_entry; i++)
		close(m->child.entry[i]);
	auto_close_(&m->socket);
	auto_close_(&m->console);
	auto_close_(&m->pidfd_socket);
	auto_close_(&m->bundle);
	auto_close_(&m->root_fd);
	namespaces_release(&m->ns);
	cgroup_release(&m->cgroup);
	state_dir_release(&m->dir);
	arena_release(&m->arena);
}
DEFINE_AUTO(making, making_release);

static int open_bundle(struct making *m, struct error *err)
{
	const char *path = m->create->bundle ? m->create->bundle : ".";
	autofree char *real = realpath(path, NULL);

	if (real == NULL)
		return error_sys(err, errno, "bundle '%s'", path);
	m->state.bundle = arena_strdup(&m->arena, real);
	return fs_open(real, O_PATH | O_DIRECTORY, 0, &m->bundle, err);
}

/* A bundle may hold a FIFO: opened without waiting, only a regular file is read. */
static int read_config(const char *path, struct buf *text, struct error *err)
{
	autoclose int fd = FD_NONE;
	char self[FS_PROC_FD_MAX];
	struct stat st;
	int r = fs_open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, &fd, err);

	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return error_set(err, ERR_INVALID, "'%s' is not a regular file", path);
	fs_proc_fd_path(fd, self);
	return fs_read_file(self, text, err);
}

static int load_config(struct making *m, struct buf *text, struct error *err)
{
	const char *name = m->create->config ? m->create->config : "config.json";
	autofree char *path = cstr_format("%s%s%s", *name == '/' ? "" : m->state.bundle,
					  *name == '/' ? "" : "/", name);
	int r = read_config(path, text, err);

	if (r == -ERR_NOT_FOUND)
		return error_set(err, ERR_NOT_FOUND, "JSON specification file %s not found", name);
	if (r == 0)
		r = runtime_config_parse(&m->arena, text->data ? text->data : "", text->len,
					 &m->config, err);
	if (r == 0)
		r = runtime_config_validate(&m->config, err);
	if (r < 0)
		return error_wrap(err, r, "%s", name);
	m->state.id = m->create->id;
	m->state.oci_version = m->config.oci_version;
	m->state.annotations = m->config.annotations;
	m->state.created_ns = clock_wall_ns();
	m->state.owner = getuid();
	m->state.personality =
	    m->config.linux_.personality ? m->config.linux_.personality->domain : NULL;
	m->state.has_poststart = m->config.hooks.n_poststart > 0;
	m->state.has_poststop = m->config.hooks.n_poststop > 0;
	m->state.rootfs =
	    *m->config.root->path == '/'
		? m->config.root->path
		: arena_format(&m->arena, "%s/%s", m->state.bundle, m->config.root->path);
	return 0;
}

/*
 * Sockets of a socket activation that is meant for us go to the container, before those of
 * --preserve-fds, as runc has it. Spec: sd_listen_fds(3).
 */
static unsigned listen_fds(void)
{
	const char *fds = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID");
	uint64_t n, who;

	if (fds == NULL || pid == NULL || parse_u64(str_of(pid), INT32_MAX, &who, NULL) < 0 ||
	    (pid_t)who != getpid() || parse_u64(str_of(fds), 1024, &n, NULL) < 0)
		return 0;
	return (unsigned)n;
}

static int check_preserved(struct making *m, struct error *err)
{
	struct process_setup *s = &m->child.process;

	s->listen_fds = listen_fds();
	s->preserve_fds = s->listen_fds + m->create->preserve_fds;
	for (unsigned i = 0; i < s->preserve_fds; i++)
		if (fcntl(3 + (int)i, F_GETFD) < 0)
			return error_set(err, ERR_INVALID, "%s: fd %u is not open",
					 i < s->listen_fds ? "LISTEN_FDS" : "--preserve-fds",
					 3 + i);
	return 0;
}

static bool keeps_groups(const struct runtime_config *c)
{
	const char *v = runtime_config_annotation(c, "run.oci.keep_original_groups");

	return v != NULL && strcmp(v, "1") == 0;
}

/*
 * Without a mount namespace of its own a container gets a chroot and nothing mounted. What would
 * have hidden or protected something is refused; mounts and a read-only root are left out, as runc
 * leaves them out.
 */
static int check_shared_mounts(const struct making *m, struct error *err)
{
	const struct spec_linux *l = &m->config.linux_;
	const struct {
		bool asked;
		const char *path;
	} members[] = {
		{ l->masked_paths.n > 0, "linux.maskedPaths" },
		{ l->readonly_paths.n > 0, "linux.readonlyPaths" },
		{ l->n_devices > 0, "linux.devices" },
		{ !cstr_is_empty(l->rootfs_propagation), "linux.rootfsPropagation" },
	};

	if (m->ns.create & CLONE_NEWNS)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		if (members[i].asked)
			return error_set(err, ERR_INVALID, "%s: needs a mount namespace of its own",
					 members[i].path);
	if (m->config.n_mounts > 0 || m->config.root->readonly)
		runtime_warn("no mount namespace of its own: mounts and root.readonly are left out",
			     m->create->id, NULL);
	return 0;
}

/* Peer: crun maps root to the caller where a new user namespace has no maps. */
static int map_user(struct making *m, struct error *err)
{
	struct spec_linux *l = &m->config.linux_;
	struct spec_id_mapping *own;

	if (!(m->ns.create & CLONE_NEWUSER) || (l->n_uid_mappings > 0 && l->n_gid_mappings > 0))
		return 0;
	if (l->n_uid_mappings + l->n_gid_mappings > 0)
		return error_set(
		    err, ERR_INVALID,
		    "linux.uidMappings, linux.gidMappings: a new user namespace needs both");
	own = arena_array(&m->arena, 2, sizeof(*own));
	own[0] = (struct spec_id_mapping){ .host_id = geteuid(), .size = 1 };
	own[1] = (struct spec_id_mapping){ .host_id = getegid(), .size = 1 };
	l->uid_mappings = &own[0];
	l->gid_mappings = &own[1];
	l->n_uid_mappings = l->n_gid_mappings = 1;
	return 0;
}

/* All that can be refused is refused before anything is made. */
static int check(struct making *m, struct error *err)
{
	const struct spec_process *p = m->config.process;
	struct process_setup *s = &m->child.process;
	int r;

	s->spec = p;
	s->id = m->create->id;
	s->no_new_keyring = m->create->no_new_keyring;
	s->keep_groups = keeps_groups(&m->config);
	s->label_fd = FD_NONE;
	r = process_check(s, err);
	if (r == 0)
		r = namespaces_plan(&m->config, &m->ns, err);
	if (r < 0)
		return r;
	r = memory_policy_parse(m->config.linux_.memory_policy, &m->arena, &m->state.memory, err);
	if (r == 0)
		r = map_user(m, err);
	if (r == 0)
		r = check_shared_mounts(m, err);
	if (r < 0)
		return r;
	m->state.namespaces = m->ns.create | m->ns.join;
	s->user_ns = m->state.namespaces & CLONE_NEWUSER;
	for (size_t i = 0; i < m->config.n_mounts; i++) {
		struct mount_option unused;

		r = mount_option_parse(&m->config.mounts[i], &unused, err);
		if (r < 0)
			return error_wrap(err, r, "mounts[%zu]", i);
	}
	if (!cstr_is_empty(m->config.linux_.mount_label))
		return error_set(err, ERR_UNIMPLEMENTED,
				 "linux.mountLabel: '%s': SELinux labels are not supported yet",
				 m->config.linux_.mount_label);
	if (m->config.linux_.personality != NULL && m->config.linux_.personality->flags.n > 0)
		return error_set(err, ERR_UNIMPLEMENTED,
				 "linux.personality.flags: none is defined");
	r = netdev_check(&m->config.linux_, err);
	if (r < 0)
		return r;
	if (p->terminal && cstr_is_empty(m->create->console_socket) && !m->create->ret_console)
		return error_set(
		    err, ERR_INVALID,
		    "cannot allocate tty if runc will detach without setting console socket");
	if (!p->terminal && !cstr_is_empty(m->create->console_socket))
		return error_set(
		    err, ERR_INVALID,
		    "cannot use console socket if runc will not detach or allocate tty");
	return 0;
}

/* A process that keeps the scope alive until init is in it: systemd drops an empty one. */
static int hold_scope(struct making *m, struct error *err)
{
	pid_t parent = getpid();

	m->holder = fork();
	if (m->holder < 0)
		return error_sys(err, errno, "fork");
	if (m->holder > 0)
		return 0;
	if (die_with(parent) < 0)
		_exit(1);
	for (;;)
		pause();
}

/* Annotations org.systemd.property.X are for systemd. */
static void add_properties(struct making *m, struct cgroup_unit *u)
{
	static const char prefix[] = "org.systemd.property.";
	const struct pairs *a = &m->config.annotations;
	struct cgroup_unit_property *p = arena_array(&m->arena, a->n + 1, sizeof(*p));
	size_t n = 0;

	for (size_t i = 0; i < a->n; i++)
		if (cstr_starts(a->at[i].key, prefix))
			p[n++] = (struct cgroup_unit_property){ a->at[i].key + strlen(prefix),
								a->at[i].value };
	u->properties = p;
	u->n_properties = n;
}

static int start_scope(struct making *m, struct cgroup_unit *u, struct error *err)
{
	struct cgroup_limits l;
	int r = limits_from_config(&m->config, &m->arena, &l, err);

	m->state.unit = u->name;
	m->state.unit_rootless = u->rootless;
	add_properties(m, u);
	if (r == 0)
		r = state_write(&m->dir, &m->state, err);
	if (r == 0)
		r = hold_scope(m, err);
	if (r == 0)
		r = cgroup_unit_start(u, m->holder, &m->host, &l, &m->arena, err);
	return r;
}

static int make_cgroup(struct making *m, struct error *err)
{
	const char *path = m->config.linux_.cgroups_path;
	bool rootless = m->options->rootless == 1 || (m->options->rootless < 0 && geteuid() != 0);
	bool systemd = m->options->systemd_cgroup && !m->options->no_cgroup;
	struct cgroup_unit unit;
	int r;

	if (!systemd && path != NULL && strchr(path, '/') == NULL && strchr(path, ':') != NULL)
		return error_set(
		    err, ERR_INVALID,
		    "linux.cgroupsPath: '%s' is a systemd name, and systemd was not asked for",
		    path);
	r = cgroup_host_detect(&m->arena, &m->host, err);
	if (r < 0 || m->options->no_cgroup)
		return r;
	if (systemd) {
		r = cgroup_unit_parse(&m->arena, path, m->create->id, geteuid() != 0, &unit, err);
		if (r == 0)
			r = start_scope(m, &unit, err);
		if (r < 0)
			return error_wrap(err, r, "linux.cgroupsPath");
		path = unit.path;
	} else if (cstr_is_empty(path)) {
		path = m->create->id;
	}
	/* Recorded before they are made: `delete --force` after our sudden death finds them. */
	r = cgroup_plan(&m->host, path, &m->arena, m->state.cgroups, &m->state.n_cgroups, err);
	if (r == 0)
		r = state_write(&m->dir, &m->state, err);
	if (r == 0)
		r = systemd ? cgroup_take(&m->host, path, rootless, &m->cgroup, err)
			    : cgroup_create(&m->host, path, rootless, &m->cgroup, err);
	if (r < 0)
		return error_wrap(err, r, "linux.cgroupsPath");
	return limits_apply(&m->cgroup, &m->config, &m->arena, rootless, err);
}

static int listen_for_start(struct making *m, struct error *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	autoclose int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/" STATE_SOCKET, m->dir.fd);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 1) < 0)
		return error_sys(err, errno, "make the start socket");
	m->child.listener = steal_fd(&fd);
	return 0;
}

static int open_console(struct making *m, struct error *err)
{
	int pair[2];

	if (!cstr_is_empty(m->create->console_socket))
		return console_connect(m->create->console_socket, "console socket",
				       &m->child.console, err);
	if (!m->config.process->terminal)
		return 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_sys(err, errno, "socketpair");
	m->child.console = pair[0];
	m->child.in_front = true;
	m->console = pair[1];
	return 0;
}

static int receive_console(struct making *m, struct error *err)
{
	char name[64];
	size_t len, n;

	if (m->console < 0)
		return 0;
	return fdpass_recv(m->console, name, sizeof(name), &len, m->create->ret_console, 1, &n,
			   err);
}

static int save_config(const struct making *m, const struct buf *text, struct error *err)
{
	autoclose int fd = openat(m->dir.fd, STATE_CONFIG,
				  O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return error_sys(err, errno, "copy the config");
	return fs_write_all(fd, text->data, text->len, err);
}

static int prepare_devices(struct making *m, struct error *err)
{
	if (!(m->state.namespaces & CLONE_NEWUSER) || geteuid() != 0 ||
	    m->config.linux_.n_devices == 0)
		return 0;
	return rootfs_prepare_devices(&m->config, &m->devices, err);
}

/* Mounts that only the host's rights can prepare: id-mapped ones, and all binds of a container
 * whose root is nobody on the host. */
static int prepare_mounts(struct making *m, struct error *err)
{
	const struct runtime_config *c = &m->config;
	bool user_ns = m->state.namespaces & CLONE_NEWUSER;
	int r = 0;

	m->sources = arena_array(&m->arena, c->n_mounts + 1, sizeof(int));
	for (size_t i = 0; i < c->n_mounts; i++)
		m->sources[i] = FD_NONE;
	if (user_ns && geteuid() == 0) {
		r = mount_clone(m->bundle, c->root->path, true, &m->child.tree, err);
		if (r < 0)
			return error_wrap(err, r, "root.path");
	}
	for (size_t i = 0; r == 0 && i < c->n_mounts; i++) {
		const struct spec_mount *s = &c->mounts[i];
		struct mount_option o;
		autoclose int user = FD_NONE;

		r = mount_option_parse(s, &o, err);
		if (r < 0 || !o.bind || s->source == NULL ||
		    !(o.idmap || (user_ns && geteuid() == 0)))
			continue;
		r = mount_clone(m->bundle, s->source, o.rbind, &m->sources[i], err);
		if (r == 0)
			r = mount_change(m->sources[i], true, 0, 0, MS_SLAVE, err);
		if (r == 0 && o.idmap) {
			bool own = s->n_uid_mappings > 0;
			int joined = namespaces_fd(&m->ns, CLONE_NEWUSER);

			if (!own && joined >= 0)
				user = fcntl(joined, F_DUPFD_CLOEXEC, 3);
			else
				r = namespaces_make_user(
				    own ? s->uid_mappings : c->linux_.uid_mappings,
				    own ? s->n_uid_mappings : c->linux_.n_uid_mappings,
				    own ? s->gid_mappings : c->linux_.gid_mappings,
				    own ? s->n_gid_mappings : c->linux_.n_gid_mappings, &user, err);
			if (r == 0)
				r = mount_map_ids(m->sources[i], o.idmap_rec, user, err);
		}
		if (r < 0)
			return error_wrap(err, r, "mounts[%zu] '%s'", i, s->destination);
	}
	return r;
}

/* What init's new user namespace needs from outside. */
static int make_user(struct making *m, struct error *err)
{
	int r;

	if (!(m->ns.create & CLONE_NEWUSER))
		return 0;
	r = namespaces_map(m->pid, &m->config, err);
	/* Without the rights for it the child's own attempt decides. */
	if (r == 0 && geteuid() == 0)
		r = process_set_oom(m->pid, m->config.process, err);
	return r;
}

static int fork_child(struct making *m, struct error *err)
{
	const struct cgroup_dir *v2 = cgroup_find_v2(&m->cgroup);
	struct child *c = &m->child;
	autoclose int cwd = FD_NONE;
	bool in_cgroup = false;
	int pair[2], r;

	c->config = &m->config;
	c->id = m->create->id;
	c->state = &m->state;
	c->ns = &m->ns;
	c->needs_map = m->state.namespaces & CLONE_NEWUSER;
	c->rootfs = (struct rootfs){ .config = &m->config,
				     .root = FD_NONE,
				     .bundle = AT_FDCWD,
				     .null = FD_NONE,
				     .sources = m->sources,
				     .devices = m->devices,
				     .user_ns = c->needs_map,
				     .cgroup_ns = m->state.namespaces & CLONE_NEWCGROUP,
				     .no_pivot = m->create->no_pivot,
				     .cgroup = &m->cgroup,
				     .host = &m->host,
				     .devpts = FD_NONE };
	r = cgroup_entry_fds(&m->cgroup, false, c->entry, &c->n_entry, err);
	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return error_sys(err, errno, "socketpair");
	c->socket = pair[1];
	m->socket = pair[0];
	/* An fd of ours names a mount of ours; the working directory is the child's own copy. */
	cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (cwd < 0 || fchdir(m->bundle) < 0)
		r = error_sys(err, errno, "enter the bundle");
	if (r == 0)
		r = namespaces_clone(&m->ns, &m->config, v2 ? v2->fd : FD_NONE, &in_cgroup, &m->pid,
				     err);
	if (r == 0 && m->pid == 0) {
		close(pair[0]);
		c->in_cgroup = in_cgroup;
		child_main(c);
	}
	close(pair[1]);
	if (fchdir(cwd) < 0 && r == 0)
		r = error_sys(err, errno, "leave the bundle");
	return r;
}

static int run_runtime_hooks(struct making *m, struct error *err)
{
	const struct spec_hooks *h = &m->config.hooks;
	auto_(buf) b = BUF_INIT(STATE_MAX);
	int r;

	r = state_format(&m->state, STATUS_CREATING, false, &b, err);
	if (r == 0)
		r = hooks_run("prestart", h->prestart, h->n_prestart, b.data, b.len, NULL, err);
	if (r == 0)
		r = hooks_run("createRuntime", h->create_runtime, h->n_create_runtime, b.data,
			      b.len, NULL, err);
	return r;
}

static int serve_child(struct making *m, struct error *err)
{
	for (;;) {
		enum child_message_kind kind;
		int r = child_receive(m->socket, &kind, err);

		if (r < 0 || kind == CHILD_READY)
			return r;
		if (kind == CHILD_CLOSED)
			return error_set(err, ERR_SYSTEM,
					 "the container's init died while it was set up");
		if (kind == CHILD_MAP)
			r = make_user(m, err);
		else if (kind == CHILD_HOOKS)
			r = run_runtime_hooks(m, err);
		else
			r = error_set(err, ERR_SYSTEM, "message %u from init", kind);
		if (r == 0)
			r = child_send(m->socket, CHILD_GO, NULL, err);
		if (r < 0)
			return r;
	}
}

/* Before init goes on, so before all hooks. */
static int give_devices(struct making *m, struct error *err)
{
	autoclose int own = FD_NONE;
	int netns = namespaces_fd(&m->ns, CLONE_NEWNET);
	char path[64];

	if (m->config.linux_.n_net_devices == 0)
		return 0;
	if (netns < 0) {
		/* Our child, not yet reaped: the number is its own. */
		snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)m->pid);
		own = open(path, O_RDONLY | O_CLOEXEC);
		if (own < 0)
			return error_sys(err, errno, "open '%s'", path);
		netns = own;
	}
	return netdev_move(&m->config.linux_, netns, err);
}

static int make(struct making *m, const struct buf *text, struct error *err)
{
	struct process_setup *p = &m->child.process;
	struct error ignored;
	int r = state_create(m->options, m->create->id, &m->dir, err);

	if (r < 0)
		return r;
	m->made_dir = true;
	r = make_cgroup(m, err);
	if (r == 0)
		r = state_root_open(m->options, false, &m->root_fd, err);
	if (r == 0)
		r = filter_prepare(&m->arena, m->config.linux_.seccomp, m->root_fd, &p->seccomp,
				   err);
	if (r == 0)
		r = filter_save(m->dir.fd, STATE_BPF, &p->seccomp, err);
	if (r == 0)
		r = save_config(m, text, err);
	if (r == 0)
		r = open_console(m, err);
	if (r == 0)
		r = pidfd_connect(m->create->pidfd_socket, &m->pidfd_socket, err);
	if (r == 0)
		r = listen_for_start(m, err);
	if (r == 0)
		r = prepare_mounts(m, err);
	if (r == 0)
		r = prepare_devices(m, err);
	if (r == 0)
		r = fork_child(m, err);
	if (r < 0)
		return r;
	/* A child that is dead already has told why: that is the error to give. */
	m->state.pid = m->pid;
	if (process_start_time(m->pid, &m->state.pid_start, err) < 0)
		m->state.pid_start = 0;
	/* With the pid on record init can be found and killed, whatever becomes of us. */
	r = state_write(&m->dir, &m->state, err);
	if (r == 0)
		r = give_devices(m, err);
	/* A child that is dead cannot be told: serve_child reads why it died. */
	if (r == 0 && child_send(m->socket, CHILD_RECORDED, NULL, &ignored) < 0)
		log_debug("init is gone already", KV_ERR(&ignored));
	if (r == 0)
		r = serve_child(m, err);
	end_holder(m);
	if (r == 0 && m->state.pid_start == 0)
		r = error_set(err, ERR_SYSTEM, "the container's init died while it was set up");
	if (r == 0)
		r = receive_console(m, err);
	if (r == 0)
		r = pidfd_send(m->pidfd_socket, m->pid, "standard", err);
	return r < 0 ? r : pid_file_write(m->create->pid_file, m->pid, err);
}

int runtime_create(const struct runtime_options *o, const struct runtime_create_options *c,
		   pid_t *ret_pid, struct error *err)
{
	auto_(making) m = { .options = o,
			    .create = c,
			    .dir = STATE_DIR_INIT,
			    .bundle = FD_NONE,
			    .root_fd = FD_NONE,
			    .socket = FD_NONE,
			    .console = FD_NONE,
			    .devices = FD_NONE,
			    .pidfd_socket = FD_NONE,
			    .child = { .tree = FD_NONE, .listener = FD_NONE, .console = FD_NONE } };
	auto_(buf) text = BUF_INIT(RUNTIME_CONFIG_MAX);
	int r = state_check_id(c->id, err);

	if (r == 0)
		r = check_preserved(&m, err);
	if (r == 0)
		r = open_bundle(&m, err);
	if (r == 0)
		r = load_config(&m, &text, err);
	if (r == 0)
		r = check(&m, err);
	if (r == 0)
		r = make(&m, &text, err);
	if (r < 0)
		return r;
	m.done = true;
	if (ret_pid != NULL)
		*ret_pid = m.pid;
	return 0;
}
