/* runtime/cli_verbs.c: the verbs that change a container. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/macros.h"
#include "base/str.h"
#include "runtime/cli.h"
#include "runtime/console.h"
#include "runtime/state.h"

struct create_flags {
	struct runtime_create_options o;
	bool detach, keep, no_subreaper;
};

static const struct cli_flag create_flags[] = {
	CLI_FLAG("bundle", 'b', CLI_STRING, struct create_flags, o.bundle),
	CLI_FLAG("config", 'f', CLI_STRING, struct create_flags, o.config),
	CLI_FLAG("pid-file", 0, CLI_STRING, struct create_flags, o.pid_file),
	CLI_FLAG("console-socket", 0, CLI_STRING, struct create_flags, o.console_socket),
	CLI_FLAG("pidfd-socket", 0, CLI_STRING, struct create_flags, o.pidfd_socket),
	CLI_FLAG("preserve-fds", 0, CLI_UINT, struct create_flags, o.preserve_fds),
	CLI_FLAG("no-pivot", 0, CLI_BOOL, struct create_flags, o.no_pivot),
	CLI_FLAG("no-new-keyring", 0, CLI_BOOL, struct create_flags, o.no_new_keyring),
	CLI_FLAG("no-subreaper", 0, CLI_BOOL, struct create_flags, no_subreaper),
	CLI_FLAG("detach", 'd', CLI_BOOL, struct create_flags, detach),
	CLI_FLAG("keep", 0, CLI_BOOL, struct create_flags, keep),
};
#define N_CREATE_FLAGS (ARRAY_LEN(create_flags) - 2)

int cli_create(struct cli *c, int argc, char **argv, struct error *err)
{
	struct create_flags f = { 0 };
	int at = 1, r = cli_parse(argc, argv, &at, create_flags, N_CREATE_FLAGS, &f, err);

	if (r == 0)
		r = cli_id(argc, argv, at, "create", &f.o.id, err);
	return r < 0 ? r : runtime_create(&c->options, &f.o, NULL, err);
}

static int exit_code(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Wait for pid; signals that reach us go to it. All signals are blocked. */
static int wait_for(pid_t pid, const sigset_t *set, int *ret_status, struct error *err)
{
	for (;;) {
		pid_t got = waitpid(-1, ret_status, WNOHANG);
		siginfo_t info;

		if (got == pid)
			return 0;
		if (got > 0)
			continue;
		if (got < 0 && errno == ECHILD)
			return error_set(err, ERR_SYSTEM, "the container's process is lost");
		if (sigwaitinfo(set, &info) > 0 && info.si_signo != SIGCHLD &&
		    info.si_signo != SIGURG)
			kill(pid, info.si_signo);
	}
}

static void block_signals(sigset_t *set)
{
	sigfillset(set);
	sigprocmask(SIG_BLOCK, set, NULL);
}

int cli_run(struct cli *c, int argc, char **argv, struct error *err)
{
	struct create_flags f = { 0 };
	struct error late;
	sigset_t set;
	int at = 1, status = 0, console = FD_NONE, r;
	pid_t pid;

	r = cli_parse(argc, argv, &at, create_flags, ARRAY_LEN(create_flags), &f, err);
	if (r == 0)
		r = cli_id(argc, argv, at, "run", &f.o.id, err);
	if (r < 0)
		return r;
	if (!f.detach) {
		if (!f.no_subreaper && prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
			return error_sys(err, errno, "become a subreaper");
		f.o.ret_console = &console;
	}
	r = runtime_create(&c->options, &f.o, &pid, err);
	if (r < 0)
		return r;
	/* Until here a signal ends us, and our death the half-made container. */
	if (!f.detach)
		block_signals(&set);
	r = runtime_start(&c->options, f.o.id, err);
	if (r == 0 && f.detach)
		return 0;
	if (r == 0)
		r = console >= 0 ? console_pump(console, pid, &status, err)
				 : wait_for(pid, &set, &status, err);
	if ((r < 0 || !f.keep) && runtime_delete(&c->options, f.o.id, true, &late) < 0)
		log_debug("container not removed", KV_ERR(&late));
	return r < 0 ? r : exit_code(status);
}

struct exec_flags {
	struct runtime_exec_options o;
	struct cli_list env, caps, gids;
	bool detach;
};

static const struct cli_flag exec_flags[] = {
	CLI_FLAG("process", 'p', CLI_STRING, struct exec_flags, o.process),
	CLI_FLAG("cwd", 0, CLI_STRING, struct exec_flags, o.cwd),
	CLI_FLAG("env", 'e', CLI_LIST, struct exec_flags, env),
	CLI_FLAG("cap", 'c', CLI_LIST, struct exec_flags, caps),
	CLI_FLAG("user", 'u', CLI_STRING, struct exec_flags, o.user),
	CLI_FLAG("additional-gids", 'g', CLI_LIST, struct exec_flags, gids),
	CLI_FLAG("tty", 't', CLI_TRI, struct exec_flags, o.tty),
	CLI_FLAG("detach", 'd', CLI_BOOL, struct exec_flags, detach),
	CLI_FLAG("pid-file", 0, CLI_STRING, struct exec_flags, o.pid_file),
	CLI_FLAG("console-socket", 0, CLI_STRING, struct exec_flags, o.console_socket),
	CLI_FLAG("pidfd-socket", 0, CLI_STRING, struct exec_flags, o.pidfd_socket),
	CLI_FLAG("apparmor", 0, CLI_STRING, struct exec_flags, o.apparmor),
	CLI_FLAG("process-label", 0, CLI_STRING, struct exec_flags, o.process_label),
	CLI_FLAG("no-new-privs", 0, CLI_TRI, struct exec_flags, o.no_new_privs),
	CLI_FLAG("preserve-fds", 0, CLI_UINT, struct exec_flags, o.preserve_fds),
	CLI_FLAG("cgroup", 0, CLI_STRING, struct exec_flags, o.cgroup),
	CLI_FLAG("ignore-paused", 0, CLI_BOOL, struct exec_flags, o.ignore_paused),
};

int cli_exec(struct cli *c, int argc, char **argv, struct error *err)
{
	struct exec_flags f = { .o = { .tty = -1, .no_new_privs = -1 } };
	auto_(buf) gids = BUF_INIT(65536);
	int at = 1, console = FD_NONE, status = 0, r;
	sigset_t set;
	pid_t pid;

	r = cli_parse(argc, argv, &at, exec_flags, ARRAY_LEN(exec_flags), &f, err);
	if (r < 0)
		return r;
	if (at >= argc)
		return error_set(err, ERR_INVALID, "\"exec\" requires a minimum of 1 argument");
	f.o.id = argv[at++];
	if (at < argc && strcmp(argv[at], "--") == 0)
		at++;
	if (f.o.process == NULL && at >= argc)
		return error_set(err, ERR_INVALID, "process args cannot be empty");
	f.o.args = (const char *const *)(argv + at);
	f.o.env = f.env.at;
	f.o.caps = f.caps.at;
	for (size_t i = 0; r == 0 && i < f.gids.n; i++)
		r = buf_addf(&gids, err, "%s%s", i ? "," : "", f.gids.at[i]);
	if (r < 0)
		return r;
	f.o.additional_gids = gids.data;
	if (!f.detach)
		block_signals(&set);
	r = runtime_exec(&c->options, &f.o, &pid, f.detach ? NULL : &console, err);
	if (r < 0 || f.detach)
		return r;
	r = console >= 0 ? console_pump(console, pid, &status, err)
			 : wait_for(pid, &set, &status, err);
	return r < 0 ? r : exit_code(status);
}

static int cli_start(struct cli *c, int argc, char **argv, struct error *err)
{
	const char *id;
	int at = 1, r = cli_parse(argc, argv, &at, NULL, 0, NULL, err);

	if (r == 0)
		r = cli_id(argc, argv, at, "start", &id, err);
	return r < 0 ? r : runtime_start(&c->options, id, err);
}

static int cli_state(struct cli *c, int argc, char **argv, struct error *err)
{
	auto_(buf) b = BUF_INIT(STATE_MAX);
	const char *id;
	int at = 1, r = cli_parse(argc, argv, &at, NULL, 0, NULL, err);

	if (r == 0)
		r = cli_id(argc, argv, at, "state", &id, err);
	if (r == 0)
		r = runtime_state(&c->options, id, &b, err);
	if (r == 0)
		r = buf_add(&b, "\n", 1, err);
	return r < 0 ? r : fs_write_all(STDOUT_FILENO, b.data, b.len, err);
}

struct kill_flags {
	bool all;
};

static int cli_kill(struct cli *c, int argc, char **argv, struct error *err)
{
	static const struct cli_flag flags[] = { CLI_FLAG("all", 'a', CLI_BOOL, struct kill_flags,
							  all) };
	struct kill_flags f = { 0 };
	const char *id;
	int sig = SIGTERM, at = 1, r = cli_parse(argc, argv, &at, flags, 1, &f, err);

	if (r < 0)
		return r;
	if (at >= argc)
		return error_set(err, ERR_INVALID, "\"kill\" requires a minimum of 1 argument");
	id = argv[at++];
	/* crun's callers put the flag behind the id. */
	r = cli_parse(argc, argv, &at, flags, 1, &f, err);
	if (r == 0 && at < argc)
		r = signal_parse(argv[at], &sig, err);
	return r < 0 ? r : runtime_kill(&c->options, id, sig, f.all, err);
}

struct delete_flags {
	bool force;
};

static int cli_delete(struct cli *c, int argc, char **argv, struct error *err)
{
	static const struct cli_flag flags[] = { CLI_FLAG("force", 'f', CLI_BOOL,
							  struct delete_flags, force) };
	struct delete_flags f = { 0 };
	const char *id;
	int at = 1, r = cli_parse(argc, argv, &at, flags, 1, &f, err);

	if (r == 0 && at < argc && at + 2 == argc && argv[at + 1][0] == '-') {
		int rest = at + 1;

		r = cli_parse(argc, argv, &rest, flags, 1, &f, err);
		argc--;
	}
	if (r == 0)
		r = cli_id(argc, argv, at, "delete", &id, err);
	return r < 0 ? r : runtime_delete(&c->options, id, f.force, err);
}

static int cli_pause(struct cli *c, int argc, char **argv, struct error *err)
{
	const char *id;
	int at = 1, r = cli_parse(argc, argv, &at, NULL, 0, NULL, err);

	if (r == 0)
		r = cli_id(argc, argv, at, "pause", &id, err);
	return r < 0 ? r : runtime_pause(&c->options, id, err);
}

static int cli_resume(struct cli *c, int argc, char **argv, struct error *err)
{
	const char *id;
	int at = 1, r = cli_parse(argc, argv, &at, NULL, 0, NULL, err);

	if (r == 0)
		r = cli_id(argc, argv, at, "resume", &id, err);
	return r < 0 ? r : runtime_resume(&c->options, id, err);
}

const struct cli_verb cli_verbs[] = {
	{ "create", cli_create, "make a container; its program waits for `start`" },
	{ "start", cli_start, "run the program of a created container" },
	{ "state", cli_state, "print the state as JSON" },
	{ "kill", cli_kill, "send a signal (TERM), with --all to every process" },
	{ "delete", cli_delete, "remove a stopped container, with --force any" },
	{ "run", cli_run, "create, start, wait, delete" },
	{ "exec", cli_exec, "run one more process in a container" },
	{ "ps", cli_ps, "list the processes of a container" },
	{ "list", cli_list, "list the containers" },
	{ "pause", cli_pause, "freeze a container" },
	{ "resume", cli_resume, "thaw a container" },
	{ "update", cli_update, "change the limits of a container" },
	{ "features", cli_features, "print what this runtime can do as JSON" },
	{ "spec", cli_spec, "write a config.json to start from" },
	{ "events", cli_events, "print statistics and out-of-memory events as JSON" },
};
const size_t cli_n_verbs = ARRAY_LEN(cli_verbs);
