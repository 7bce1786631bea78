/* build/step_run.c: RUN in a container of its own. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "build/build_internal.h"
#include "build/progress.h"
#include "build/step_mounts.h"
#include "network/network.h"
#include "task/apparmor.h"
#include "task/bundle.h"
#include "task/task.h"

#define CONFIG_MAX    (8U << 20)
#define FRAME_HEAD    8
#define CHUNK_MAX     65536
#define HOSTNAME      "buildkitsandbox"
#define EXIT_GRACE_MS 30000
#define SHELL_POLL_MS 200 /* how late a new size of the terminal may come */

struct runner {
	struct build *b;
	struct node *n;
	struct rootfs *root;
	struct arena arena;
	struct step_mounts mounts;
	struct network_step net;
	bool joined;
	struct user_ids user;
	bool shell; /* after the failure: a terminal instead of the command */
	char id[64];
};

static const char **list_new(struct arena *a, size_t n)
{
	return arena_array(a, n + 1, sizeof(const char *));
}

static const char *const proxy_names[] = {
	"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "FTP_PROXY",
	"ftp_proxy",  "NO_PROXY",   "no_proxy",    "ALL_PROXY",   "all_proxy",
};

/* How OpenSSL, curl, node, git, pip and requests are told of more authorities. */
static const char *const ca_names[] = {
	"SSL_CERT_FILE",  "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS",
	"GIT_SSL_CAINFO", "PIP_CERT",       "REQUESTS_CA_BUNDLE",
};

static const char *const *make_env(struct runner *r)
{
	const struct build_request *q = r->b->q;
	struct vars env = vars_copy(&r->arena, &r->n->run->env);
	const char **out;

	for (size_t i = 0; i < q->n_build_args; i++) {
		for (size_t k = 0; k < ARRAY_LEN(proxy_names); k++) {
			if (q->build_args[i].value != NULL &&
			    strcmp(q->build_args[i].key, proxy_names[k]) == 0 &&
			    vars_get(&env, proxy_names[k]) == NULL)
				vars_set(&r->arena, &env, proxy_names[k], q->build_args[i].value);
		}
	}
	for (size_t i = 0; r->b->builder->cfg.ca_certificates && i < ARRAY_LEN(ca_names); i++)
		if (vars_get(&env, ca_names[i]) == NULL)
			vars_set(&r->arena, &env, ca_names[i], STEP_CA_PATH);
	for (size_t i = 0; i < r->mounts.n_env; i++)
		vars_set(&r->arena, &env, r->mounts.env[i].key, r->mounts.env[i].value);
	if (vars_get(&env, "HOME") == NULL)
		vars_set(&r->arena, &env, "HOME", arena_strdup(&r->arena, r->user.home));
	if (r->shell && q->shell->term != NULL && vars_get(&env, "TERM") == NULL)
		vars_set(&r->arena, &env, "TERM", q->shell->term);
	out = list_new(&r->arena, env.len);
	for (size_t i = 0; i < env.len; i++)
		out[i] = arena_format(&r->arena, "%s=%s", env.at[i].key, env.at[i].value);
	return out;
}

static void set_resources(struct runner *r, struct bundle *c)
{
	const struct build_resources *q = &r->b->q->resources;
	struct bundle_rlimit *limits = arena_array(&r->arena, q->n_ulimits + 1, sizeof(*limits));

	c->resources = (struct bundle_resources){
		.memory_bytes = q->memory_bytes,
		.memory_swap_bytes = q->memory_swap_bytes,
		.cpu_shares = q->cpu_shares > 0 ? (uint64_t)q->cpu_shares : 0,
		.cpu_period_us = q->cpu_period_us > 0 ? (uint64_t)q->cpu_period_us : 0,
		.cpu_quota_us = q->cpu_quota_us,
		.cpuset_cpus = q->cpuset_cpus,
		.cpuset_mems = q->cpuset_mems,
	};
	c->shm_bytes = q->shm_bytes;
	for (size_t i = 0; i < q->n_ulimits; i++) {
		char *name = arena_format(&r->arena, "RLIMIT_%s", q->ulimits[i].name);

		for (char *p = name; *p != '\0'; p++)
			*p = (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
		limits[i] = (struct bundle_rlimit){
			.type = name,
			.hard = (uint64_t)q->ulimits[i].hard,
			.soft = (uint64_t)q->ulimits[i].soft,
		};
	}
	c->rlimits = limits;
	c->n_rlimits = q->n_ulimits;
}

static void set_network(struct runner *r, struct bundle *c)
{
	bool host = strcmp(r->n->run->network, "host") == 0;

	if (r->joined && r->net.netns_path != NULL) {
		c->net_ns = BUNDLE_NS_PATH;
		c->net_ns_path = r->net.netns_path;
	} else if (host) {
		c->net_ns = BUNDLE_NS_HOST;
	}
}

static const char *cgroup_path(struct runner *r)
{
	const char *parent = r->b->q->resources.cgroup_parent;

	if (parent == NULL || parent[0] == '\0')
		parent = r->b->builder->cfg.cgroup_parent;
	return arena_format(&r->arena, r->b->builder->cfg.systemd_cgroup ? "%s:build:%s" : "%s/%s",
			    parent ? parent : "/docker", r->id);
}

static const char *shell_of(const struct run_spec *run)
{
	const char *first = run->args.len > 0 ? run->args.at[0] : "";

	return cstr_ends(first, "sh") ? first : "/bin/sh";
}

static int write_config(struct runner *r, struct buf *out, struct error *err)
{
	const struct run_spec *run = r->n->run;
	const char **args = list_new(&r->arena, run->args.len + 1);
	struct bundle c = {
		.args = args,
		.env = make_env(r),
		.cwd = run->cwd,
		.uid = r->user.uid,
		.gid = r->user.gid,
		.groups = r->user.groups,
		.n_groups = r->user.n_groups,
		.rootfs = "rootfs",
		.hostname = HOSTNAME,
		.mounts = r->mounts.at,
		.n_mounts = r->mounts.len,
	};
	int s;

	for (size_t i = 0; i < run->args.len; i++)
		args[i] = run->args.at[i];
	if (r->shell) {
		args[0] = shell_of(run);
		args[1] = NULL;
	}
	c.tty = r->shell;
	c.cgroups_path = cgroup_path(r);
	set_resources(r, &c);
	set_network(r, &c);
	s = apparmor_resolve(&apparmor_this_host, false, NULL, &c.apparmor_profile, err);
	return s < 0 ? s : bundle_write(&c, out, err);
}

static int read_full(int fd, const struct cancel *cancel, void *out, size_t len, bool *ret_end,
		     struct error *err)
{
	size_t have = 0;
	int r;

	*ret_end = false;
	while (have < len) {
		ssize_t n;

		r = cancel_poll(cancel, fd, POLLIN, -1, err);
		if (r < 0)
			return r;
		n = read(fd, (char *)out + have, len - have);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0 && errno != ECONNRESET)
			return error_sys(err, errno, "read output");
		if (n <= 0) {
			*ret_end = true;
			return 0;
		}
		have += (size_t)n;
	}
	return 0;
}

/* Docker's frames until the shim closes the stream. */
static int pump_output(struct runner *r, int fd, struct error *err)
{
	autofree char *data = xcalloc(1, CHUNK_MAX);
	bool end = false;
	int s = 0;

	while (!end) {
		unsigned char head[FRAME_HEAD];
		size_t left;

		s = read_full(fd, r->b->cancel, head, sizeof(head), &end, err);
		if (s < 0 || end)
			return s;
		left =
		    (size_t)head[4] << 24 | (size_t)head[5] << 16 | (size_t)head[6] << 8 | head[7];
		while (left > 0 && !end) {
			size_t n = left < CHUNK_MAX ? left : CHUNK_MAX;

			s = read_full(fd, r->b->cancel, data, n, &end, err);
			if (s < 0)
				return s;
			if (!end)
				progress_log(r->b->progress, r->n, head[0], data, n);
			left -= n;
		}
	}
	return 0;
}

static const char *command_text(struct runner *r)
{
	const struct run_spec *run = r->n->run;
	size_t len = 1;
	char *out, *p;

	for (size_t i = 0; i < run->args.len; i++)
		len += strlen(run->args.at[i]) + 1;
	p = out = arena_alloc(&r->arena, len);
	for (size_t i = 0; i < run->args.len; i++) {
		size_t n = strlen(run->args.at[i]);

		if (i > 0)
			*p++ = ' ';
		memcpy(p, run->args.at[i], n);
		p += n;
	}
	return out;
}

static int wait_task(struct runner *r, struct task *t, int fd, struct error *err)
{
	struct task_exit done = { 0 };
	pid_t pid;
	int64_t started;
	int s = task_start(t, &pid, &started, err), w;

	if (s == 0)
		s = pump_output(r, fd, err);
	if (s == 0)
		s = task_wait(t, true, -1, r->b->cancel, &done, err);
	if (s < 0) {
		(void)!task_signal(t, NULL, SIGKILL, NULL);
		w = task_wait(t, true, EXIT_GRACE_MS, NULL, &done, NULL);
		(void)w;
		return s;
	}
	if (done.cpu_ns >= 0)
		r->n->cost.cpu_ns += done.cpu_ns;
	r->n->cost.memory_peak_bytes = done.memory_peak_bytes;
	r->n->cost.read_bytes = done.read_bytes;
	r->n->cost.write_bytes = done.write_bytes;
	if (done.code != 0) {
		r->b->exit_code = done.code;
		return error_set(err, ERR_INVALID,
				 "The command '%s' returned a non-zero code: %d%s", command_text(r),
				 done.code, done.oom_killed ? " (out of memory)" : "");
	}
	return 0;
}

static int join_output(struct runner *r, struct task *t, struct error *err)
{
	struct task_session session = { .streams = TASK_STDOUT | TASK_STDERR };
	autoclose int ours = FD_NONE;
	int pair[2], s;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_sys(err, errno, "socketpair");
	ours = pair[0];
	s = task_attach(t, NULL, &session, pair[1], err);
	return s < 0 ? s : wait_task(r, t, ours, err);
}

/* Lines "ROWS COLUMNS"; the last one counts. false: there will be no more. */
static bool take_size(struct task *t, int fd)
{
	char text[256];
	ssize_t n = recv(fd, text, sizeof(text), MSG_DONTWAIT);
	struct str rest = { text, n > 0 ? (size_t)n : 0 }, line;

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		return false;
	while (rest.len > 0 && str_split(&rest, '\n', &line)) {
		uint64_t rows, columns;
		struct str first;

		if (str_split(&line, ' ', &first) && line.at != NULL &&
		    parse_u64(first, UINT16_MAX, &rows, NULL) == 0 &&
		    parse_u64(line, UINT16_MAX, &columns, NULL) == 0)
			(void)!task_resize(t, NULL, (uint16_t)rows, (uint16_t)columns, NULL);
	}
	return true;
}

/* The client's terminal until the shell ends or the client goes. */
static int join_terminal(struct runner *r, struct task *t, struct error *err)
{
	struct task_session session = { .streams = TASK_STDIN | TASK_STDOUT | TASK_STDERR,
					.raw = true };
	int fd = fcntl(r->b->q->shell->fd, F_DUPFD_CLOEXEC, 3);
	struct pollfd size = { .fd = r->b->q->shell->size_fd, .events = POLLIN };
	struct task_exit done;
	int64_t started;
	pid_t pid;
	int s = fd < 0 ? error_sys(err, errno, "duplicate terminal")
		       : task_attach(t, NULL, &session, fd, err);

	if (s == 0)
		s = task_start(t, &pid, &started, err);
	if (s < 0)
		return s;
	for (;;) {
		if (size.fd < 0 || poll(&size, 1, 0) <= 0 || take_size(t, size.fd))
			s = task_wait(t, true, SHELL_POLL_MS, r->b->cancel, &done, err);
		else
			size.fd = FD_NONE;
		if (s != -ERR_UNAVAILABLE)
			break;
	}
	if (s < 0) {
		(void)!task_signal(t, NULL, SIGKILL, NULL);
		(void)!task_wait(t, true, EXIT_GRACE_MS, NULL, &done, NULL);
	}
	return s;
}

static int run_task(struct runner *r, const struct buf *config, struct error *err)
{
	struct builder_config *cfg = &r->b->builder->cfg;
	struct task_spec spec = {
		.id = r->id,
		.oci_runtime = cfg->oci_runtime,
		.oci_runtime_args = cfg->oci_runtime_args,
		.oci_root = cfg->oci_root,
		.config_json = config->data,
		.config_json_len = config->len,
		.rootfs_fd = r->root->fd,
		.log = { .driver = "none" },
		.tty = r->shell,
		.open_stdin = r->shell,
		.ephemeral = true,
		.measure =
		    r->b->q->profile && !r->shell && !cfg->systemd_cgroup ? cgroup_path(r) : NULL,
	};
	auto_task t = NULL;
	int s;

	s = task_create(cfg->tasks, &spec, NULL, NULL, &t, err);
	if (s < 0)
		return s;
	s = r->shell ? join_terminal(r, t, err) : join_output(r, t, err);
	t = task_unref(t);
	(void)!task_delete(cfg->tasks, r->id, NULL);
	return s;
}

static int join_network(struct runner *r, struct error *err)
{
	struct network_provider *p = r->b->builder->cfg.network;
	const char *mode = r->n->run->network;
	int s;

	if (p == NULL)
		return 0;
	s = p->join(p, mode, &r->net, err);
	if (s < 0)
		return error_wrap(err, s, "network %s", mode);
	r->joined = true;
	return 0;
}

static int prepare(struct runner *r, struct error *err)
{
	const struct run_spec *run = r->n->run;
	int s = user_lookup(r->root->fd, run->user, &r->user, err);

	if (s == 0)
		s = fs_mkdir_all_in_root(r->root->fd, run->cwd, 0755, r->user.uid, r->user.gid,
					 NULL, err);
	if (s == 0)
		s = join_network(r, err);
	if (s == 0)
		s = step_mounts_open(r->b, r->n, r->root, r->joined ? r->net.hosts : NULL,
				     r->joined ? r->net.resolv_conf : NULL, &r->user, &r->mounts,
				     err);
	return s;
}

/* The file system as the command has left it, in a container like the step's. Its end
 * changes nothing about the failure. */
static void offer_shell(struct runner *r)
{
	auto_(buf) config = BUF_INIT(CONFIG_MAX);
	bool mine;
	int s;

	lock_take(&r->b->lock);
	mine = !r->b->shell_given;
	r->b->shell_given = true;
	lock_drop(&r->b->lock);
	if (!mine)
		return;
	r->shell = true;
	snprintf(r->id, sizeof(r->id), "build-%.16s-%u-shell", r->b->id, r->n->index);
	s = rootfs_refresh(r->root, NULL);
	if (s == 0)
		s = write_config(r, &config, NULL);
	if (s < 0)
		return;
	progress_shell(r->b->progress, r->n, shell_of(r->n->run));
	(void)!run_task(r, &config, NULL);
	/* The client waits for the end of its stream, which may never have begun. */
	(void)!shutdown(r->b->q->shell->fd, SHUT_RDWR);
}

int step_run(struct build *b, struct node *n, struct rootfs *root, struct error *err)
{
	struct runner r = { .b = b, .n = n, .root = root };
	auto_(buf) config = BUF_INIT(CONFIG_MAX);
	int s;

	snprintf(r.id, sizeof(r.id), "build-%.16s-%u", b->id, n->index);
	s = prepare(&r, err);
	if (s == 0)
		s = write_config(&r, &config, err);
	if (s == 0)
		s = run_task(&r, &config, err);
	if (s < 0 && b->exit_code != 0 && b->q->shell != NULL)
		offer_shell(&r);
	step_mounts_close(&r.mounts, root->upper_fd);
	if (r.joined)
		b->builder->cfg.network->leave(b->builder->cfg.network, &r.net);
	arena_release(&r.arena);
	return s;
}
