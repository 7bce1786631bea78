#include "build/planner.h"

#include <errno.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/jsonw.h"
#include "build/call.h"
#include "build/confine.h"
#include "build/directive.h"
#include "build/plan_wire.h"

#define SOCKET 0

/* One build. Whatever cannot go on ends the process: there is nobody else in it. */
struct planner_state {
	struct arena arena;
	struct plan_request request;
	struct plan_options options;
	struct ignore ignore;
	struct lint lint;
	struct dockerfile file;
	unsigned n_images;
};

static void out_of_memory(void)
{
	_exit(PLANNER_NO_MEMORY);
}

static void read_all(void *out, size_t len)
{
	for (size_t have = 0; have < len;) {
		ssize_t n = read(SOCKET, (char *)out + have, len - have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			_exit(PLANNER_NO_ENGINE);
		have += (size_t)n;
	}
}

static void write_all(const void *bytes, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = write(SOCKET, (const char *)bytes + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			_exit(PLANNER_NO_ENGINE);
		done += (size_t)n;
	}
}

/* The body lies in the arena: texts of it are used where they are. */
static struct str listen_for(struct arena *a, enum plan_message kind)
{
	struct wire_head head;
	char *body;

	read_all(&head, sizeof(head));
	if (head.kind != kind || head.len > WIRE_BODY_MAX)
		_exit(PLANNER_NO_ENGINE);
	body = arena_alloc(a, (size_t)head.len + 1);
	read_all(body, head.len);
	return (struct str){ body, head.len };
}

static void say(struct wire_writer *w, enum plan_message kind)
{
	struct wire_head head = { kind, (uint32_t)w->body.len };

	if (w->full)
		_exit(PLANNER_NO_MEMORY);
	write_all(&head, sizeof(head));
	write_all(w->body.data, w->body.len);
}

static int ask_image(void *arg, struct arena *a, const char *name, const struct platform *platform,
		     struct plan_image *ret, struct error *err)
{
	auto_(wire_writer) w = WIRE_WRITER_INIT;
	struct planner_state *p = arg;
	struct plan_found found;

	if (++p->n_images > PLAN_IMAGES_MAX)
		return error_set(err, ERR_INVALID, "a Dockerfile names more than %d images",
				 PLAN_IMAGES_MAX);
	plan_ask_put(&w, name, platform);
	say(&w, PLAN_ASK);
	if (plan_found_get(a, listen_for(a, PLAN_IMAGE), &found, NULL) < 0)
		_exit(PLANNER_NO_ENGINE);
	if (found.error.kind != ERR_NONE) {
		if (err != NULL)
			*err = found.error;
		return -(int)found.error.kind;
	}
	*ret = (struct plan_image){ .ref = p->n_images };
	if (found.none)
		return 0;
	/* Whose id it is, and which layers it has, is the engine's knowledge alone. */
	ret->id = "";
	return image_config_parse(a, found.config.at, found.config.len, &ret->config, err);
}

static int configure_lint(struct planner_state *p, struct error *err)
{
	const struct plan_request *q = &p->request;
	const char *word, *line, *given = NULL;
	int r = 0;

	lint_init(&p->lint, &p->arena);
	if (directive_find(&p->arena, q->dockerfile, "check", false, &word, &line))
		r = lint_configure(&p->lint, line, err);
	for (size_t i = 0; i < q->options.n_build_args; i++) {
		if (strcmp(q->options.build_args[i].key, "BUILDKIT_DOCKERFILE_CHECK") == 0)
			given = q->options.build_args[i].value;
	}
	return r == 0 && given != NULL ? lint_configure(&p->lint, given, err) : r;
}

static int parse(struct planner_state *p, struct plan_verdict *v)
{
	int r = configure_lint(p, &v->error);

	return r < 0 ? r
		     : dockerfile_parse(&p->arena, p->request.dockerfile, &p->lint, &p->file,
					&v->where, &v->error);
}

static int set_options(struct planner_state *p, struct error *err)
{
	const struct plan_request *q = &p->request;
	int r = 0;

	p->options = q->options;
	platform_host(&p->options.build_platform);
	p->options.target_platform = p->options.build_platform;
	if (q->platform != NULL && q->platform[0] != '\0')
		r = platform_parse(q->platform, &p->options.target_platform, err);
	if (r == 0 && q->has_ignore) {
		r = ignore_compile(&p->arena, q->ignore, q->n_ignore, NULL, &p->ignore, err);
		p->options.ignore = &p->ignore;
	}
	return r;
}

static int plan(struct planner_state *p, struct plan_answer *answer)
{
	const struct plan_ops ops = { ask_image, p };
	struct plan_verdict *v = &answer->verdict;
	int r = set_options(p, &v->error);

	if (r == 0)
		r = plan_build(&p->arena, &p->file, &p->options, &ops, &p->lint, &answer->graph,
			       &v->where, &v->error);
	if (r == 0 &&
	    (answer->graph.n_nodes > PLAN_STEPS_MAX || answer->graph.n_stages > PLAN_STEPS_MAX))
		r = error_set(&v->error, ERR_INVALID, "a build has more than %d steps",
			      PLAN_STEPS_MAX);
	return r;
}

static bool calls(const struct planner_state *p, const char *what)
{
	return p->request.call != NULL && strcmp(p->request.call, what) == 0;
}

/* The document that a call asks for: what the Dockerfile offers. NULL: none is. */
static const char *call_document(struct planner_state *p, const struct graph *g)
{
	struct buf text = BUF_INIT(4 * DOCKERFILE_MAX);
	struct jsonw w;

	jsonw_init(&w, &text);
	if (calls(p, "targets"))
		call_targets(&w, &p->file, p->request.dockerfile);
	else if (calls(p, "outline"))
		call_outline(&w, &p->file, g, p->request.dockerfile);
	else
		return NULL;
	return jsonw_finish(&w, NULL) == 0 ? text.data : NULL;
}

static void answer_request(struct planner_state *p, const struct plan_verdict *parsed)
{
	auto_(wire_writer) w = WIRE_WRITER_INIT;
	struct plan_answer answer = { .verdict = *parsed };
	int r = -(int)parsed->error.kind;

	if (r == 0 && !calls(p, "targets"))
		r = plan(p, &answer);
	if (r == 0)
		answer.call = call_document(p, &answer.graph);
	answer.lint_is_error = p->lint.options.return_error;
	answer.findings = p->lint.at;
	answer.n_findings = p->lint.len;
	plan_answer_put(&w, &answer);
	say(&w, PLAN_ANSWER);
}

/* What asks the kernel the first time it is used: done before nothing may be asked. */
static void warm_up(struct arena *a)
{
	const struct json *j;

	(void)!json_parse(a, "{}", 2, &j, NULL);
}

static void say_verdict(const struct plan_verdict *v)
{
	auto_(wire_writer) w = WIRE_WRITER_INIT;

	plan_verdict_put(&w, v);
	say(&w, PLAN_PARSED);
}

int planner_main(int argc, char **argv)
{
	const struct confine_limits limits = { PLANNER_MEMORY_BYTES, PLANNER_CPU_SECONDS };
	struct planner_state p = { .arena = ARENA_INIT };
	struct plan_verdict verdict = { 0 };
	int r;

	(void)argc;
	(void)argv;
	prctl(PR_SET_NAME, "proa-planner", 0, 0, 0);
	alloc_on_failure(out_of_memory);
	warm_up(&p.arena);
	/* Not even nowhere to write to. */
	r = syscall(SYS_close_range, SOCKET + 1U, ~0U, 0) < 0
		? error_sys(&verdict.error, errno, "close descriptors")
		: 0;
	if (r == 0)
		r = confine_self(&limits, SIGKILL, &verdict.error);
	if (r < 0) {
		(void)!error_wrap(&verdict.error, r, "confine the planner");
		say_verdict(&verdict);
		return PLANNER_UNCONFINED;
	}
	if (plan_request_get(&p.arena, listen_for(&p.arena, PLAN_REQUEST), &p.request, NULL) < 0)
		return PLANNER_NO_ENGINE;
	r = parse(&p, &verdict);
	say_verdict(&verdict);
	if (r == 0 || calls(&p, "check"))
		answer_request(&p, &verdict);
	/* Nothing of libc's end is needed, and most of it is not allowed. */
	_exit(PLANNER_DONE);
}
