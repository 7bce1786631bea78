#include "build/planning.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fs.h"
#include "base/vec.h"
#include "build/planner.h"

/* Its processor time is limited in the kernel: this is for one that only sleeps. */
#define SILENCE_MS (600 * 1000)
#define EXIT_MS    10000

int planning_start(int program_fd, const char *program, const struct cancel *cancel,
		   struct planning *ret, struct error *err)
{
	static const char *const argv[] = { "proa-runtime", "planner", NULL };
	static const char *const env[] = { NULL };
	char path[FS_PROC_FD_MAX];
	autoclose int ours = FD_NONE, its = FD_NONE;
	struct proc_fd fds[1] = { { FD_NONE, 0 } };
	struct proc_spec spec = { .path = program,
				  .argv = argv,
				  .env = env,
				  .fds = fds,
				  .n_fds = 1,
				  .cwd_fd = FD_NONE,
				  .death_signal = SIGKILL };
	struct proc proc;
	int pair[2], r;

	if (program_fd == FD_NONE && program == NULL)
		return error_set(err, ERR_UNAVAILABLE, "this builder has no planner");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_sys(err, errno, "socketpair");
	ours = pair[0];
	its = fds[0].parent = pair[1];
	if (program_fd != FD_NONE) {
		fs_proc_fd_path(program_fd, path);
		spec.path = path;
	}
	r = proc_spawn(&spec, &proc, err);
	if (r < 0)
		return error_wrap(err, r, "start the Dockerfile's planner");
	*ret = (struct planning){ .proc = proc, .fd = steal_fd(&ours), .cancel = cancel };
	return 0;
}

void planning_end(struct planning *p)
{
	int status;

	auto_close_(&p->fd);
	p->fd = FD_NONE;
	if (p->proc.pidfd == FD_NONE)
		return;
	(void)!proc_signal(&p->proc, SIGKILL, NULL);
	if (proc_wait(&p->proc, -1, NULL, &status, NULL) < 0)
		proc_close(&p->proc);
}

/* Why it does not speak any more. */
static int report_end(struct planning *p, struct error *err)
{
	int status = 0;
	int r = proc_wait(&p->proc, EXIT_MS, p->cancel, &status, err);

	if (r < 0)
		return error_wrap(err, r, "the Dockerfile's planner");
	if (status == PLANNER_NO_MEMORY)
		return error_set(err, ERR_INVALID,
				 "the Dockerfile takes more than %llu MiB of memory to plan",
				 PLANNER_MEMORY_BYTES >> 20);
	if (status == 128 + SIGXCPU)
		return error_set(err, ERR_INVALID,
				 "the Dockerfile takes more than %d s of processor time to plan",
				 PLANNER_CPU_SECONDS);
	if (status > 128)
		return error_set(err, ERR_SYSTEM, "the Dockerfile's planner ended by signal %d",
				 status - 128);
	return error_set(err, ERR_SYSTEM, "the Dockerfile's planner ended with code %d", status);
}

/* Bytes to the planner. One that has gone is found out about when it is listened to. */
static int send_bytes(struct planning *p, const char *bytes, size_t len, struct error *err)
{
	while (len > 0) {
		int r = cancel_poll(p->cancel, p->fd, POLLOUT, SILENCE_MS, err);
		ssize_t n;

		if (r < 0)
			return error_wrap(err, r, "tell the Dockerfile's planner");
		n = send(p->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
			return 0;
		if (n < 0)
			return error_sys(err, errno, "tell the Dockerfile's planner");
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

static int send_message(struct planning *p, enum plan_message kind, const struct wire_writer *w,
			struct error *err)
{
	struct wire_head head = { kind, (uint32_t)w->body.len };
	int r;

	if (w->full)
		return error_set(err, ERR_INVALID, "the request is larger than %u MiB",
				 WIRE_BODY_MAX >> 20);
	r = send_bytes(p, (const char *)&head, sizeof(head), err);
	return r < 0 ? r : send_bytes(p, w->body.data, w->body.len, err);
}

static int receive_bytes(struct planning *p, char *out, size_t len, struct error *err)
{
	while (len > 0) {
		int r = cancel_poll(p->cancel, p->fd, POLLIN, SILENCE_MS, err);
		ssize_t n;

		if (r == -ERR_UNAVAILABLE)
			return error_wrap(err, r, "the Dockerfile's planner");
		if (r < 0)
			return r;
		n = recv(p->fd, out, len, MSG_DONTWAIT);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0 && errno != ECONNRESET)
			return error_sys(err, errno, "listen to the Dockerfile's planner");
		if (n <= 0)
			return report_end(p, err);
		out += n;
		len -= (size_t)n;
	}
	return 0;
}

static int nonsense(int r, struct error *err)
{
	return error_wrap(err, r, "the Dockerfile's planner gave an answer that cannot be");
}

/* The head of a message of a kind that may come now. */
static int receive_head(struct planning *p, enum plan_message kind, enum plan_message other,
			struct wire_head *ret, struct error *err)
{
	int r = receive_bytes(p, (char *)ret, sizeof(*ret), err);

	if (r < 0)
		return r;
	if ((ret->kind != kind && ret->kind != other) || ret->len > WIRE_BODY_MAX)
		return nonsense(
		    error_set(err, ERR_CORRUPT, "message %x of %u bytes", ret->kind, ret->len),
		    err);
	return 0;
}

static int receive_body(struct planning *p, struct arena *a, const struct wire_head *head,
			struct str *ret, struct error *err)
{
	char *body = arena_alloc(a, (size_t)head->len + 1);

	*ret = (struct str){ body, head->len };
	return receive_bytes(p, body, head->len, err);
}

int planning_parse(struct planning *p, const struct plan_request *q, struct ast_location *ret_where,
		   struct error *err)
{
	auto_(wire_writer) w = WIRE_WRITER_INIT;
	auto_(arena) a = ARENA_INIT;
	struct plan_verdict verdict;
	struct wire_head head;
	struct str body;
	int r;

	plan_request_put(&w, q);
	r = send_message(p, PLAN_REQUEST, &w, err);
	if (r == 0)
		r = receive_head(p, PLAN_PARSED, PLAN_PARSED, &head, err);
	if (r == 0)
		r = receive_body(p, &a, &head, &body, err);
	if (r < 0)
		return r;
	r = plan_verdict_get(&a, body, &verdict, err);
	if (r < 0)
		return nonsense(r, err);
	if (verdict.error.kind == ERR_NONE)
		return 0;
	*ret_where = verdict.where;
	if (err != NULL)
		*err = verdict.error;
	return -(int)verdict.error.kind;
}

struct known_images {
	struct plan_image_known *at;
	size_t len, cap;
};

static int serve_ask(struct planning *p, struct arena *a, const struct planning_ops *ops,
		     const struct wire_head *head, struct known_images *known, struct error *err)
{
	auto_(wire_writer) w = WIRE_WRITER_INIT;
	struct plan_image_known image = { 0 };
	struct plan_found found = { 0 };
	struct plan_ask ask;
	struct str body;
	int r = receive_body(p, a, head, &body, err);

	if (r < 0)
		return r;
	r = plan_ask_get(a, body, &ask, err);
	if (r == 0 && known->len >= PLAN_IMAGES_MAX)
		r = error_set(err, ERR_CORRUPT, "it asks for more than %d images", PLAN_IMAGES_MAX);
	if (r < 0)
		return nonsense(r, err);
	image.name = ask.name;
	r = ops->image(ops->arg, &ask, &image, &found.config, &found.none, &found.error);
	if (r == -ERR_CANCELED) {
		if (err != NULL)
			*err = found.error;
		return r;
	}
	if (r == 0)
		found.error = (struct error){ 0 };
	/* A question that found nothing has its number too. */
	*vec_push(known) = image;
	plan_found_put(&w, &found);
	return send_message(p, PLAN_IMAGE, &w, err);
}

int planning_plan(struct planning *p, struct arena *a, const struct planning_ops *ops,
		  const struct plan_terms *terms, struct plan_answer *ret, struct error *err)
{
	struct plan_terms mine = *terms;
	struct known_images known = { 0 };
	struct wire_head head;
	struct str body;
	int r;

	for (;;) {
		r = receive_head(p, PLAN_ASK, PLAN_ANSWER, &head, err);
		if (r < 0 || head.kind == PLAN_ANSWER)
			break;
		r = serve_ask(p, a, ops, &head, &known, err);
		if (r < 0)
			break;
	}
	if (r == 0)
		r = receive_body(p, a, &head, &body, err);
	if (r == 0) {
		mine.images = known.at;
		mine.n_images = known.len;
		r = plan_accept(a, body, &mine, ret, err);
		if (r < 0)
			r = nonsense(r, err);
	}
	vec_release(&known);
	return r;
}
