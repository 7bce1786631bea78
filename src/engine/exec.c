/* engine/exec.c: processes added to a running container. */
#include "engine/exec.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/random.h"
#include "base/str.h"
#include "engine/attach_internal.h"
#include "engine/body_check.h"
#include "engine/container_internal.h"

#define FORGET_NS   (300 * NS_PER_SEC)
#define PROCESS_MAX (1 << 20)
/* Docker's code for a process that could not be started. */
#define EXIT_NOT_STARTED 126
#define START_WAIT_MS    1000
#define START_STEP_MS    2

enum exec_status { EXEC_CREATED, EXEC_RUNNING, EXEC_EXITED };

struct exec {
	char id[65];
	struct container *container; /* a reference */
	struct arena arena;
	const struct json *config;
	const char *action; /* "CMD ARGS" of the events */
	bool tty, open_stdin;
	bool raw_probe; /* one stream of bytes, no frames */
	char detach_keys[64];
	/* below: under execs_lock */
	int refs;
	enum exec_status status;
	int exit_code;
	pid_t pid;
	int64_t ended_ns; /* monotonic */
	bool failed;
};

/* ---- table ---- */

static void exec_free(struct exec *x)
{
	container_unref(x->container);
	arena_release(&x->arena);
	free(x);
}

static void exec_unref(struct engine *e, struct exec *x)
{
	bool last;

	if (x == NULL)
		return;
	{
		LOCKED(&e->execs_lock);
		last = --x->refs == 0;
	}
	if (last)
		exec_free(x);
}

static int exec_find(struct engine *e, const char *id, struct exec **ret, struct error *err)
{
	LOCKED(&e->execs_lock);
	struct exec *x = map_get(&e->execs, id);

	if (x == NULL)
		return error_set(err, ERR_NOT_FOUND, "No such exec instance: %s", id);
	x->refs++;
	*ret = x;
	return 0;
}

/* Those that ended long ago go; with a container, all of its own. */
static void forget(struct engine *e, const struct container *of)
{
	VEC(struct exec *) gone = { 0 };
	int64_t now = clock_mono_ns();

	{
		LOCKED(&e->execs_lock);
		map_for_each (entry, &e->execs) {
			struct exec *x = entry->value;

			if (of ? x->container == of && x->status != EXEC_EXITED
			       : x->status == EXEC_EXITED && now - x->ended_ns > FORGET_NS)
				*vec_push(&gone) = x;
		}
		vec_for_each (x, &gone) {
			if (of) {
				(*x)->status = EXEC_EXITED;
				(*x)->exit_code = 137;
				(*x)->ended_ns = now;
			} else {
				map_remove(&e->execs, (*x)->id);
			}
		}
	}
	if (!of)
		vec_for_each (x, &gone)
			exec_unref(e, *x);
	vec_release(&gone);
}

void exec_forget_container(struct container *c)
{
	forget(c->engine, c);
}

static void exec_event(struct exec *x, const char *what, const struct event_attr *more)
{
	autofree char *action = more ? xstrdup(what) : cstr_format("%s: %s", what, x->action);
	struct event_attr attrs[2] = { { "execID", x->id } };

	if (more)
		attrs[1] = *more;
	container_event(x->container, action, attrs, more ? 2 : 1);
}

/* ---- create ---- */

static int check_running(struct container *c, struct error *err)
{
	LOCKED(&c->lock);
	if (c->status == CONTAINER_PAUSED)
		return error_set(err, ERR_CONFLICT,
				 "Container %s is paused, unpause the container before exec",
				 c->id);
	if (c->status == CONTAINER_RESTARTING)
		return error_set(err, ERR_CONFLICT,
				 "Container %s is restarting, wait until the container is running",
				 c->id);
	if (c->status != CONTAINER_RUNNING)
		return error_set(err, ERR_CONFLICT, "Container %s is not running", c->id);
	return 0;
}

static const char *action_of(struct arena *a, const struct json *cmd)
{
	auto_(buf) b = BUF_INIT(1 << 20);
	size_t i;

	for (i = 0; i < cmd->n_items; i++)
		if (buf_addf(&b, NULL, "%s%s", i > 1 ? " " : "",
			     cmd->items[i]->type == JSON_STRING ? cmd->items[i]->s : "") < 0 ||
		    (i == 0 && buf_add(&b, " ", 1, NULL) < 0))
			break;
	return arena_strdup(a, b.data ? b.data : "");
}

/* The body under Docker's spelling of the keys: Go's decoder takes any case. */
static struct json *exec_config(struct arena *a, const struct json *body)
{
	static const char *const keys[] = { "Cmd",          "Tty",          "AttachStdin",
					    "AttachStdout", "AttachStderr", "User",
					    "Env",          "WorkingDir",   "Privileged",
					    "DetachKeys",   "ConsoleSize" };
	struct json *out = json_new_object(a);
	size_t i;

	for (i = 0; i < ARRAY_LEN(keys); i++)
		if (json_get_nocase(body, keys[i]))
			json_set(a, out, keys[i], json_clone(a, json_get_nocase(body, keys[i])));
	return out;
}

static struct exec *exec_new(struct container *c, const struct json *config)
{
	struct engine *e = c->engine;
	struct exec *x = new0(struct exec);
	const char *keys;

	random_hex(x->id, 32);
	x->container = container_ref(c);
	x->config = exec_config(&x->arena, config);
	x->action = action_of(&x->arena, json_get(x->config, "Cmd"));
	x->tty = json_bool(x->config, "Tty", false);
	x->open_stdin = json_bool(x->config, "AttachStdin", false);
	keys = json_str(x->config, "DetachKeys");
	snprintf(x->detach_keys, sizeof(x->detach_keys), "%s", keys ? keys : "");
	/* One for the table, one for the caller. */
	x->refs = 2;
	forget(e, NULL);
	LOCKED(&e->execs_lock);
	map_set(&e->execs, x->id, x);
	return x;
}

int exec_create(struct engine *e, const char *ref, const struct json *body, struct jsonw *out,
		struct error *err)
{
	autoptr(container) c = NULL;
	const struct json *cmd = json_get_nocase(body, "Cmd");
	struct exec *x;
	int r;

	r = container_find(e, ref, &c, err);
	if (r < 0)
		return r;
	r = body_check_exec(body, err);
	if (r < 0)
		return r;
	if (cmd == NULL || cmd->type != JSON_ARRAY || cmd->n_items == 0)
		return error_set(err, ERR_INVALID, "No exec command specified");
	r = check_running(c, err);
	if (r < 0)
		return r;
	x = exec_new(c, body);
	exec_event(x, "exec_create", NULL);
	jsonw_object(out);
	jsonw_kstring(out, "Id", x->id);
	jsonw_end(out);
	exec_unref(e, x);
	return 0;
}

/* ---- start ---- */

static int claim(struct exec *x, struct error *err)
{
	LOCKED(&x->container->engine->execs_lock);
	if (x->status == EXEC_RUNNING)
		return error_set(err, ERR_CONFLICT, "Error: Exec command %s is already running",
				 x->id);
	if (x->status == EXEC_EXITED)
		return error_set(err, ERR_CONFLICT, "Error: Exec command %s has already run",
				 x->id);
	x->status = EXEC_RUNNING;
	return 0;
}

static void note_end(struct exec *x, int code, bool failed)
{
	LOCKED(&x->container->engine->execs_lock);
	x->status = EXEC_EXITED;
	x->exit_code = code;
	x->failed = failed;
	x->pid = 0;
	x->ended_ns = clock_mono_ns();
}

static void console_size(const struct json *body, uint16_t *rows, uint16_t *cols)
{
	const struct json *size = json_get(body, "ConsoleSize");

	if (size && size->type == JSON_ARRAY && size->n_items == 2 &&
	    size->items[0]->type == JSON_INT && size->items[1]->type == JSON_INT) {
		*rows = (uint16_t)size->items[0]->i;
		*cols = (uint16_t)size->items[1]->i;
	}
}

/* A client whose exec could not begin reads why, as dockerd tells it. */
static void tell_failure(int fd, bool raw, const char *text)
{
	autofree char *line = cstr_format("%s\r\n", text);
	size_t len = strlen(line);
	unsigned char head[8] = { 1,
				  0,
				  0,
				  0,
				  (unsigned char)(len >> 24),
				  (unsigned char)(len >> 16),
				  (unsigned char)(len >> 8),
				  (unsigned char)len };

	if (!raw)
		(void)!send(fd, head, sizeof(head), MSG_NOSIGNAL);
	(void)!send(fd, line, len, MSG_NOSIGNAL);
}

static int run(struct exec *x, const struct json *body, int take_fd, const void *early,
	       size_t early_len, struct error *err)
{
	struct container *c = x->container;
	auto_(buf) process = BUF_INIT(PROCESS_MAX);
	autoclose int fd = take_fd;
	struct task_exec_spec spec = { .exec_id = x->id,
				       .tty = x->tty,
				       .open_stdin = x->open_stdin };
	/* Peer: dockerd frames by the Tty of the start, whatever the exec was made with. */
	bool raw = x->raw_probe || json_bool(body, "Tty", false);
	struct error local = { 0 };
	struct task *t = NULL;
	pid_t pid = 0;
	int r;

	console_size(body ? body : x->config, &spec.rows, &spec.cols);
	/* A pause in between would freeze the runtime half-way, and the shim that waits for it. */
	LOCKED(&c->op);
	r = check_running(c, &local);
	if (r == 0)
		r = container_exec_spec(c, x->config, x->tty, spec.rows, spec.cols, &process,
					&local);
	if (r == 0) {
		LOCKED(&c->lock);
		t = c->task ? task_ref(c->task) : NULL;
	}
	if (r == 0 && t == NULL)
		r = error_set(&local, ERR_CONFLICT, "Container %s is not running", c->id);
	/* The answer to an exec may take long: does the shim answer at all? */
	if (r == 0 && task_sync(t, &local) == -ERR_UNAVAILABLE)
		r = -ERR_UNAVAILABLE;
	if (r < 0) {
		task_unref(t);
		if (fd >= 0)
			tell_failure(fd, raw, local.msg);
		note_end(x, EXIT_NOT_STARTED, true);
		return error_set(err, local.kind, "%s", local.msg);
	}
	spec.process_json = process.data;
	spec.process_json_len = process.len;
	spec.session.streams = (x->open_stdin ? TASK_STDIN : 0) |
			       (json_bool(x->config, "AttachStdout", false) ? TASK_STDOUT : 0) |
			       (json_bool(x->config, "AttachStderr", false) ? TASK_STDERR : 0);
	spec.session.raw = raw;
	spec.session.detach_keys = x->detach_keys;
	spec.session.early = early;
	spec.session.early_len = early_len;
	spec.take_fd = steal_fd(&fd);
	exec_event(x, "exec_start", NULL);
	r = task_exec(t, &spec, &pid, &local);
	task_unref(t);
	if (r < 0) {
		note_end(x, EXIT_NOT_STARTED, true);
		return error_set(err, local.kind, "OCI runtime exec failed: %s: unknown",
				 local.msg);
	}
	LOCKED(&c->engine->execs_lock);
	if (x->status == EXEC_RUNNING)
		x->pid = pid;
	return 0;
}

int exec_start_begin(struct engine *e, const char *id, const struct json *body, struct attach **ret,
		     struct error *err)
{
	auto_(buf) b = BUF_INIT(65536);
	struct attach *a;
	struct jsonw w;
	struct exec *x;
	int r;

	r = exec_find(e, id, &x, err);
	if (r < 0)
		return r;
	r = body_check_exec_start(body, err);
	if (r == 0)
		r = check_running(x->container, err);
	if (r == 0)
		r = claim(x, err);
	if (r == 0) {
		a = attach_new(container_ref(x->container), json_bool(body, "Tty", false));
		a->exec_id = xstrdup(x->id);
		jsonw_init(&w, &b);
		jsonw_value(&w, body);
		if (body && jsonw_finish(&w, NULL) == 0)
			a->start_body = buf_detach(&b, NULL);
		*ret = a;
	}
	exec_unref(e, x);
	return r;
}

int exec_start_attached(struct attach *a, int take_fd, const void *early, size_t early_len,
			struct error *err)
{
	struct engine *e = a->container->engine;
	auto_(arena) arena = ARENA_INIT;
	const struct json *body = NULL;
	autoclose int fd = take_fd;
	struct exec *x;
	int r;

	r = exec_find(e, a->exec_id, &x, err);
	if (r < 0)
		return r;
	if (a->start_body)
		(void)!json_parse(&arena, a->start_body, strlen(a->start_body), &body, NULL);
	/* The client has read the failure; the engine has nothing to add. */
	(void)!run(x, body, steal_fd(&fd), early, early_len, NULL);
	exec_unref(e, x);
	return 0;
}

int exec_start_detached(struct engine *e, const char *id, const struct json *body,
			struct error *err)
{
	struct exec *x;
	int r;

	r = exec_find(e, id, &x, err);
	if (r < 0)
		return r;
	r = body_check_exec_start(body, err);
	if (r == 0)
		r = check_running(x->container, err);
	if (r == 0)
		r = claim(x, err);
	if (r == 0)
		r = run(x, body, FD_NONE, NULL, 0, err);
	exec_unref(e, x);
	return r;
}

/* ---- end, questions ---- */

/* What the process file, which lives as long as the process, says it runs. */
static const struct json *adopted_command(struct container *c, const char *exec_id, struct arena *a)
{
	autofree char *path =
	    cstr_format("%s/tasks/%s/process-%s", c->engine->cfg.exec_root, c->id, exec_id);
	auto_(buf) b = BUF_INIT(PROCESS_MAX);
	const struct json *j = NULL;
	struct json *none;

	if (fs_read_file(path, &b, NULL) == 0 && b.len > 0 &&
	    json_parse(a, b.data, b.len, &j, NULL) == 0 && json_get(j, "args") &&
	    json_get(j, "args")->type == JSON_ARRAY && json_get(j, "args")->n_items > 0)
		return json_get(j, "args");
	none = json_new_array(a);
	json_push(a, none, json_new_string(a, ""));
	return none;
}

void exec_adopt(void *arg, const char *exec_id, pid_t pid, int code)
{
	struct container *c = arg;
	struct exec *x = new0(struct exec);
	struct json *config = json_new_object(&x->arena);

	snprintf(x->id, sizeof(x->id), "%s", exec_id);
	x->container = container_ref(c);
	json_set(&x->arena, config, "Cmd",
		 json_clone(&x->arena, adopted_command(c, exec_id, &x->arena)));
	x->config = config;
	x->action = action_of(&x->arena, json_get(config, "Cmd"));
	x->refs = 1;
	x->status = pid > 0 ? EXEC_RUNNING : EXEC_EXITED;
	x->pid = pid;
	x->exit_code = code;
	x->ended_ns = clock_mono_ns();
	LOCKED(&c->engine->execs_lock);
	if (map_has(&c->engine->execs, x->id))
		exec_free(x);
	else
		map_set(&c->engine->execs, x->id, x);
}

void exec_exited(struct container *c, const char *exec_id, int code)
{
	struct engine *e = c->engine;
	struct exec *x;
	char text[16];
	struct event_attr attr = { "exitCode", text };

	if (exec_find(e, exec_id, &x, NULL) < 0)
		return;
	note_end(x, code, false);
	snprintf(text, sizeof(text), "%d", code);
	exec_event(x, "exec_die", &attr);
	exec_unref(e, x);
}

void exec_ids_write(struct container *c, struct jsonw *w)
{
	struct engine *e = c->engine;
	bool any = false;

	LOCKED(&e->execs_lock);
	jsonw_key(w, "ExecIDs");
	map_for_each (entry, &e->execs) {
		struct exec *x = entry->value;

		if (x->container != c || x->status == EXEC_EXITED)
			continue;
		if (!any)
			jsonw_array(w);
		any = true;
		jsonw_string(w, x->id);
	}
	if (any)
		jsonw_end(w);
	else
		jsonw_null(w);
}

static bool is_starting(struct exec *x)
{
	LOCKED(&x->container->engine->execs_lock);
	return x->status == EXEC_RUNNING && x->pid == 0;
}

/* The shim may have told its end already: hear everything it said before looking. */
static void catch_up(struct exec *x)
{
	struct container *c = x->container;
	struct task *t;

	{
		LOCKED(&c->engine->execs_lock);
		if (x->status != EXEC_RUNNING)
			return;
	}
	{
		LOCKED(&c->lock);
		t = c->task ? task_ref(c->task) : NULL;
	}
	if (t)
		(void)!task_sync(t, NULL);
	task_unref(t);
	/* A start that failed closes the client's stream before the thread that asked for it has
	 * noted why: without a pid it is still to come. */
	for (unsigned i = 0; i < START_WAIT_MS / START_STEP_MS && is_starting(x); i++)
		poll(NULL, 0, START_STEP_MS);
}

static void inspect_write(struct exec *x, struct jsonw *w)
{
	const struct json *cmd = json_get(x->config, "Cmd");
	const char *user = json_str(x->config, "User");
	size_t i;

	if (cstr_is_empty(user))
		user = json_str(x->container->config, "User");
	jsonw_object(w);
	jsonw_kstring(w, "ID", x->id);
	jsonw_kbool(w, "Running", x->status == EXEC_RUNNING);
	if (x->status == EXEC_EXITED)
		jsonw_kint(w, "ExitCode", x->exit_code);
	else
		jsonw_knull(w, "ExitCode");
	jsonw_kobject(w, "ProcessConfig");
	jsonw_kbool(w, "tty", x->tty);
	jsonw_kstring(w, "entrypoint", cmd->items[0]->type == JSON_STRING ? cmd->items[0]->s : "");
	jsonw_karray(w, "arguments");
	for (i = 1; i < cmd->n_items; i++)
		jsonw_string(w, cmd->items[i]->type == JSON_STRING ? cmd->items[i]->s : "");
	jsonw_end(w);
	jsonw_kbool(w, "privileged", json_bool(x->config, "Privileged", false));
	if (!cstr_is_empty(user))
		jsonw_kstring(w, "user", user);
	jsonw_end(w);
	jsonw_kbool(w, "OpenStdin", x->open_stdin);
	jsonw_kbool(w, "OpenStderr", json_bool(x->config, "AttachStderr", false));
	jsonw_kbool(w, "OpenStdout", json_bool(x->config, "AttachStdout", false));
	jsonw_kbool(w, "CanRemove", x->status == EXEC_EXITED);
	jsonw_kstring(w, "ContainerID", x->container->id);
	jsonw_kstring(w, "DetachKeys", x->detach_keys);
	jsonw_kint(w, "Pid", x->pid);
	jsonw_end(w);
}

int exec_inspect(struct engine *e, const char *id, struct jsonw *out, struct error *err)
{
	struct exec *x;
	int r;

	r = exec_find(e, id, &x, err);
	if (r < 0)
		return r;
	catch_up(x);
	{
		LOCKED(&e->execs_lock);
		inspect_write(x, out);
	}
	exec_unref(e, x);
	return 0;
}

int exec_resize(struct engine *e, const char *id, uint16_t rows, uint16_t cols, struct error *err)
{
	struct task *t;
	struct exec *x;
	int r;

	r = exec_find(e, id, &x, err);
	if (r < 0)
		return r;
	{
		LOCKED(&x->container->lock);
		t = x->container->task ? task_ref(x->container->task) : NULL;
	}
	r = t ? task_resize(t, x->id, rows, cols, err)
	      : error_set(err, ERR_CONFLICT, "Container %s is not running", x->container->id);
	if (r == -ERR_CONFLICT)
		r = error_set(err, ERR_CONFLICT, "cannot resize a stopped exec: %s", id);
	task_unref(t);
	exec_unref(e, x);
	return r;
}

/* ---- probes of the health check ---- */

static int read_probe(int fd, int timeout_ms, const struct cancel *cancel, struct buf *output,
		      struct error *err)
{
	int64_t end = clock_mono_ns() + (int64_t)timeout_ms * NS_PER_MS;

	for (;;) {
		int64_t left = (end - clock_mono_ns()) / NS_PER_MS;
		char chunk[4096];
		ssize_t n;
		int r;

		r = cancel_poll(cancel, fd, POLLIN, left > 0 ? (int)left : 0, err);
		if (r < 0)
			return r;
		n = read(fd, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return 0;
		/* What is beyond the buffer is read and dropped. */
		(void)!buf_add(output, chunk, (size_t)n, NULL);
	}
}

int exec_probe(struct container *c, const char *const *cmd, int timeout_ms,
	       const struct cancel *cancel, struct buf *output, int *ret_code, struct error *err)
{
	struct engine *e = c->engine;
	auto_(arena) a = ARENA_INIT;
	struct json *config = json_new_object(&a), *list = json_new_array(&a);
	struct exec *x;
	struct task *t;
	int pair[2];
	int r;

	for (; *cmd; cmd++)
		json_push(&a, list, json_new_string(&a, *cmd));
	json_set(&a, config, "Cmd", list);
	json_set(&a, config, "AttachStdout", json_new_bool(&a, true));
	json_set(&a, config, "AttachStderr", json_new_bool(&a, true));
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_sys(err, errno, "socketpair");
	x = exec_new(c, config);
	exec_event(x, "exec_create", NULL);
	r = claim(x, err);
	/* Raw bytes: a probe's two streams are one text. */
	x->raw_probe = true;
	r = r < 0 ? r : run(x, NULL, steal_fd(&pair[1]), NULL, 0, err);
	if (r == 0)
		r = read_probe(pair[0], timeout_ms, cancel, output, err);
	if (r < 0) {
		{
			LOCKED(&c->lock);
			t = c->task ? task_ref(c->task) : NULL;
		}
		if (t)
			(void)!task_signal(t, x->id, 9, NULL);
		task_unref(t);
	} else {
		catch_up(x);
		LOCKED(&e->execs_lock);
		*ret_code = x->status == EXEC_EXITED ? x->exit_code : 0;
	}
	close(pair[0]);
	if (pair[1] >= 0)
		close(pair[1]);
	exec_unref(e, x);
	return r;
}
