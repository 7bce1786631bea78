#include "build/plan_wire.h"

#include <stdlib.h>

#include "base/auto.h"
#include "build/text.h"
#include "tests/tap.h"

/* A Dockerfile in which most of what a graph can hold is there. */
static const char dockerfile[] =
    "FROM base AS one\n"
    "ENV TOKEN=1\n"
    "RUN --mount=type=cache,target=/c --mount=from=tools,target=/t "
    "--mount=type=secret,id=s make\n"
    "FROM scratch\n"
    "WORKDIR /w\n"
    "ADD --chown=1:2 https://example.com/x git@example.com:a/b.git /d/\n"
    "COPY <<file /f/\ntext\nfile\n"
    "COPY --from=one --link /a /b\n"
    "HEALTHCHECK CMD [\"true\"]\n"
    "LABEL a=b\n";

static int give_image(void *arg, struct arena *a, const char *name, const struct platform *platform,
		      struct plan_image *ret, struct error *err)
{
	unsigned *asked = arg;

	(void)a;
	(void)name;
	(void)err;
	*ret = (struct plan_image){ .id = "sha256:0", .ref = ++*asked };
	ret->config.platform = *platform;
	return 0;
}

static const char *const contexts[] = { "", "more", NULL };
static const struct digest layer = { .algo = DIGEST_SHA256 };
static const struct plan_image_known known[] = { { "base", "sha256:a", &layer, 1 },
						 { "tools", "sha256:b", &layer, 1 } };
static const struct plan_terms terms = { .images = known, .n_images = 2, .contexts = contexts };

struct planned {
	struct arena arena;
	struct lint lint;
	struct plan_answer answer;
};

static void plan_text(struct planned *p, const char *text)
{
	unsigned asked = 0;
	const struct plan_ops ops = { give_image, &asked };
	struct plan_options o = { 0 };
	struct dockerfile d;
	struct error err;
	int r;

	*p = (struct planned){ .arena = ARENA_INIT };
	lint_init(&p->lint, &p->arena);
	platform_host(&o.build_platform);
	o.target_platform = o.build_platform;
	r = dockerfile_parse(&p->arena, str_of(text), &p->lint, &d, NULL, &err);
	if (r == 0)
		r = plan_build(&p->arena, &d, &o, &ops, &p->lint, &p->answer.graph, NULL, &err);
	if (r < 0)
		printf("# %s\n", err.msg);
	p->answer.findings = p->lint.at;
	p->answer.n_findings = p->lint.len;
}

static void make_plan(struct planned *p)
{
	plan_text(p, dockerfile);
}

/* Node numbers of the graph above. */
enum { BASE, TOOLS, RUN, SCRATCH, WORKDIR, ADD, INLINE, LINK, NODES };

static struct node *node(struct planned *p, unsigned i)
{
	return p->answer.graph.nodes[i];
}

static void later_base(struct planned *p)
{
	node(p, WORKDIR)->base = node(p, LINK);
}
static void own_base(struct planned *p)
{
	node(p, WORKDIR)->base = node(p, WORKDIR);
}
static void no_base(struct planned *p)
{
	node(p, RUN)->base = NULL;
}
static void image_upon_step(struct planned *p)
{
	node(p, SCRATCH)->base = node(p, RUN);
}
static void strange_kind(struct planned *p)
{
	/* Written as it is: bodies of kinds are chosen by the writer too. */
	node(p, SCRATCH)->image_ref = 3;
}
static void later_source(struct planned *p)
{
	node(p, ADD)->copy->from.node = node(p, LINK);
}
static void foreign_context(struct planned *p)
{
	node(p, ADD)->copy->from.context = "/etc";
}
static void git_helper(struct planned *p)
{
	node(p, ADD)->copy->items[1].path = "ext::sh -c id";
}
static void url_of_file(struct planned *p)
{
	node(p, ADD)->copy->items[0].path = "file:///etc/shadow";
}
static void address_in_copy(struct planned *p)
{
	node(p, ADD)->copy->add = false;
}
static void inline_above(struct planned *p)
{
	node(p, INLINE)->copy->items[0].path = "../x";
}
static void inline_nothing(struct planned *p)
{
	node(p, INLINE)->copy->items[0].text = NULL;
}
static void dest_above(struct planned *p)
{
	node(p, LINK)->copy->dest = "/b/../../x";
}
static void no_chown(struct planned *p)
{
	node(p, ADD)->copy->chown = NULL;
}
static void host_network(struct planned *p)
{
	node(p, RUN)->run->network = "host";
}
static void odd_network(struct planned *p)
{
	node(p, RUN)->run->network = "container:x";
}
static void no_command(struct planned *p)
{
	node(p, RUN)->run->args.len = 0;
}
static void script_above(struct planned *p)
{
	node(p, RUN)->run->script_name = "../../x";
	node(p, RUN)->run->script = "#!";
}
static void script_alone(struct planned *p)
{
	node(p, RUN)->run->script = "#!";
}
static void mount_root(struct planned *p)
{
	node(p, RUN)->run->mounts[1].mount.target = "/";
}
static void mount_above(struct planned *p)
{
	node(p, RUN)->run->mounts[1].mount.target = "/a/../..";
}
static void mount_of_nothing(struct planned *p)
{
	node(p, RUN)->run->mounts[1].has_from = false;
}
static void cache_nameless(struct planned *p)
{
	node(p, RUN)->run->mounts[0].mount.id = NULL;
}
static void cache_odd_sharing(struct planned *p)
{
	node(p, RUN)->run->mounts[0].mount.sharing = "all";
}
static void secret_nameless(struct planned *p)
{
	struct run_mount *m = &node(p, RUN)->run->mounts[2].mount;

	m->id = m->source = m->target = NULL;
	m->env = "S";
}
static void secret_nowhere(struct planned *p)
{
	node(p, RUN)->run->mounts[2].mount.target = NULL;
}
static void wide_uid(struct planned *p)
{
	node(p, RUN)->run->mounts[0].mount.uid = 1LL << 32;
}
static void workdir_above(struct planned *p)
{
	node(p, WORKDIR)->path = "/w/..";
}
static void no_tip(struct planned *p)
{
	p->answer.graph.target->tip = NULL;
}
static void early_epoch(struct planned *p)
{
	node(p, RUN)->epoch_ns = -1;
}
static void odd_rule(struct planned *p)
{
	p->answer.findings[0].rule = LINT_RULE_COUNT;
}
static void endless_finding(struct planned *p)
{
	struct lint_finding *at = arena_array(&p->arena, 2, sizeof(*at));

	at[0] = at[1] = p->answer.findings[0];
	at[0].end_line = at[1].end_line = DOCKERFILE_MAX;
	p->answer.findings = at;
	p->answer.n_findings = 2;
}
static void unasked_document(struct planned *p)
{
	p->answer.call = "{}";
}

/* The corpus of should-fail: it is made anew from a good answer, so that it never ages. */
static const struct {
	const char *name;
	void (*spoil)(struct planned *p);
	const char *why;
} spoiled[] = {
	{ "a base that comes later", later_base, "a number is too large" },
	{ "a step upon itself", own_base, "a number is too large" },
	{ "a step upon nothing", no_base,
	  "a step stands upon nothing, or an image upon something" },
	{ "an image upon a step", image_upon_step,
	  "a step stands upon nothing, or an image upon something" },
	{ "an image that was never asked for", strange_kind, "a number is too large" },
	{ "a source that comes later", later_source, "a number is too large" },
	{ "a context of nobody's", foreign_context, "a context is none of the build's" },
	{ "a helper of git as a repository", git_helper, "an address is none" },
	{ "a file as a URL", url_of_file, "an address is none" },
	{ "an address in COPY", address_in_copy, "an address is none" },
	{ "a text outside of its directory", inline_above,
	  "a file of text has no name or no text" },
	{ "a text that is none", inline_nothing, "a file of text has no name or no text" },
	{ "a destination with a way up", dest_above, "a destination is no clean path" },
	{ "no owner where there is always one", no_chown, "a text is missing" },
	{ "the host's network without leave", host_network, "a network is not allowed" },
	{ "a network of no known kind", odd_network, "a network is not allowed" },
	{ "a command without words", no_command, "a command or its directory is missing" },
	{ "a script outside of its directory", script_above, "a script has no name" },
	{ "a script without a name", script_alone, "a script has no name" },
	{ "a mount over the root", mount_root, "a mount is not whole" },
	{ "a mount with a way up", mount_above, "a mount is not whole" },
	{ "a bind of nothing", mount_of_nothing, "a mount is not whole" },
	{ "a cache without a name", cache_nameless, "a mount is not whole" },
	{ "a cache shared in no known way", cache_odd_sharing, "a mount is not whole" },
	{ "a secret without a name", secret_nameless, "a mount is not whole" },
	{ "a secret that goes nowhere", secret_nowhere, "a mount is not whole" },
	{ "a user id of 33 bits", wide_uid, "a number is out of range" },
	{ "a directory with a way up", workdir_above, "a directory is no clean path" },
	{ "a target without steps", no_tip, "the target has no steps" },
	{ "a time before 1970", early_epoch, "a number is out of range" },
	{ "a finding of no rule", odd_rule, "a number is too large" },
	{ "findings that never end", endless_finding,
	  "findings have more lines than a Dockerfile" },
	{ "a document that nobody asked for", unasked_document,
	  "the document that was asked for is none" },
};

static int accept(struct arena *a, const struct wire_writer *w, size_t len,
		  const struct plan_terms *t, struct plan_answer *got, struct error *err)
{
	return plan_accept(a, (struct str){ w->body.data, len }, t, got, err);
}

static void test_spoiled(void)
{
	for (size_t i = 0; i < ARRAY_LEN(spoiled); i++) {
		auto_(wire_writer) w = WIRE_WRITER_INIT;
		auto_(arena) a = ARENA_INIT;
		struct plan_answer got;
		struct planned p;
		struct error err = { 0 };

		make_plan(&p);
		spoiled[i].spoil(&p);
		plan_answer_put(&w, &p.answer);
		ok(accept(&a, &w, w.body.len, &terms, &got, &err) == -ERR_CORRUPT, spoiled[i].name);
		is_str(err.msg, spoiled[i].why, spoiled[i].why);
		arena_release(&p.arena);
	}
}

static void test_whole(void)
{
	auto_(wire_writer) w = WIRE_WRITER_INIT;
	auto_(arena) a = ARENA_INIT;
	struct plan_terms host = terms;
	struct plan_answer got;
	struct planned p;
	struct error err;

	make_plan(&p);
	is_int(p.answer.graph.n_nodes, NODES, "the Dockerfile has its steps");
	plan_answer_put(&w, &p.answer);
	if (!ok(accept(&a, &w, w.body.len, &terms, &got, &err) == 0, "a good answer is taken")) {
		printf("# %s\n", err.msg);
		return;
	}
	is_str(got.graph.nodes[BASE]->image_id, "sha256:a", "the engine's own image, by number");
	ok(got.graph.nodes[BASE]->layers == &layer, "with the layers that the engine knows");
	is_str(got.graph.nodes[SCRATCH]->image, "scratch", "and one that is none");
	is_int(got.graph.nodes[RUN]->n_inputs, 1, "inputs follow from the sources");
	ok(got.graph.nodes[RUN]->inputs[0] == got.graph.nodes[TOOLS], "of a mount");
	ok(got.graph.nodes[LINK]->inputs[0] == got.graph.nodes[RUN], "and of a COPY");
	ok(got.graph.target->tip == got.graph.nodes[LINK], "the target stands where it did");
	is_str(got.graph.target->image.config.labels.at[0].value, "b", "with its labels");
	ok(got.graph.target->image.config.cmd.at == NULL, "and without what was not set");
	/* With leave for it the host's network passes. */
	node(&p, RUN)->run->network = "host";
	wire_release(&w);
	plan_answer_put(&w, &p.answer);
	host.net_host = true;
	is_int(accept(&a, &w, w.body.len, &host, &got, &err), 0, "with leave, the host's network");
	host.net_host = false;
	host.network = "host";
	is_int(accept(&a, &w, w.body.len, &host, &got, &err), 0, "or as the build's own");
	arena_release(&p.arena);
}

/* Cut anywhere, and with any byte changed: refused, or taken for another whole answer. */
/* The number of the target is larger than all that follows it. */
static void test_many_stages(void)
{
	auto_(wire_writer) w = WIRE_WRITER_INIT;
	auto_(buf) text = BUF_INIT(1 << 20);
	auto_(arena) a = ARENA_INIT;
	struct planned p;
	struct plan_answer got;
	struct error err;

	for (int i = 0; i < 4000; i++)
		ok(buf_addf(&text, &err, "FROM scratch\n") == 0, "a stage");
	plan_text(&p, text.data);
	plan_answer_put(&w, &p.answer);
	is_int(plan_accept(&a, (struct str){ w.body.data, w.body.len }, &terms, &got, &err), 0,
	       "a plan of many stages is taken");
	is_int(got.graph.target - got.graph.stages, 3999, "and its target is the last");
	arena_release(&p.arena);
}

static void test_damaged(void)
{
	auto_(wire_writer) w = WIRE_WRITER_INIT;
	size_t taken_cut = 0, untold = 0;
	struct plan_answer got;
	struct planned p;

	make_plan(&p);
	plan_answer_put(&w, &p.answer);
	for (size_t len = 0; len < w.body.len; len++) {
		auto_(arena) a = ARENA_INIT;
		struct error err = { 0 };
		/* Of its own: a reader past the end is seen by the sanitizer. */
		autofree char *cut = malloc(len + 1);

		memcpy(cut, w.body.data, len);
		if (plan_accept(&a, (struct str){ cut, len }, &terms, &got, &err) == 0)
			taken_cut++;
		else
			untold += err.msg[0] == '\0';
	}
	is_int(taken_cut, 0, "an answer that is cut short is never taken");
	for (size_t i = 0; i < w.body.len; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			auto_(arena) a = ARENA_INIT;
			struct error err = { 0 };

			w.body.data[i] = (char)(w.body.data[i] ^ (1 << bit));
			if (accept(&a, &w, w.body.len, &terms, &got, &err) < 0)
				untold += err.kind != ERR_CORRUPT || err.msg[0] == '\0';
			w.body.data[i] = (char)(w.body.data[i] ^ (1 << bit));
		}
	}
	is_int(untold, 0, "what is refused is refused with a reason");
	arena_release(&p.arena);
}

static void test_request(void)
{
	static const struct plan_pair args[] = { { "A", "1" }, { "B", NULL } };
	static const struct plan_context named[] = { { "more", NULL }, { "img", "x:1" } };
	static const char *const stages[] = { "one", NULL }, *const ignore[] = { "a", "!b" };
	auto_(wire_writer) w = WIRE_WRITER_INIT;
	auto_(arena) a = ARENA_INIT;
	const struct plan_request q = {
		.dockerfile = { "FROM a\0b\n", 9 },
		.platform = "linux/arm64",
		.has_ignore = true,
		.ignore = ignore,
		.n_ignore = 2,
		.options = { .target = "",
			     .build_args = args,
			     .n_build_args = 2,
			     .contexts = named,
			     .n_contexts = 2,
			     .no_cache_stages = stages,
			     .net_host = true },
	};
	struct plan_request got;
	struct error err;

	plan_request_put(&w, &q);
	is_int(plan_request_get(&a, (struct str){ w.body.data, w.body.len }, &got, &err), 0,
	       "a request passes");
	ok(got.dockerfile.len == 9 && memcmp(got.dockerfile.at, q.dockerfile.at, 9) == 0,
	   "the text as it is, NUL and all");
	is_str(got.options.target, "", "an empty target is told from none");
	ok(got.call == NULL && got.options.network == NULL, "and none is none");
	ok(got.options.n_build_args == 2 && got.options.build_args[1].value == NULL,
	   "an argument without a value");
	is_str(got.options.contexts[1].image, "x:1", "a named context");
	is_str(got.options.no_cache_stages[0], "one", "a stage");
	ok(got.options.no_cache_stages[1] == NULL, "and the end of the list");
	is_str(got.ignore[1], "!b", "a pattern");
	ok(got.options.net_host && !got.options.insecure, "flags");
}

static void test_small(void)
{
	auto_(wire_writer) w = WIRE_WRITER_INIT;
	auto_(arena) a = ARENA_INIT;
	struct plan_verdict v = { .where = { 3, 4 } }, got = { 0 };
	struct plan_found f = { .config = { "{}", 2 } }, found;
	struct platform p = { .os = "linux", .arch = "arm", .variant = "v7" };
	struct plan_ask ask;
	struct error err;

	(void)error_set(&v.error, ERR_NOT_FOUND, "no such %s", "thing");
	plan_verdict_put(&w, &v);
	is_int(plan_verdict_get(&a, (struct str){ w.body.data, w.body.len }, &got, &err), 0,
	       "a verdict passes");
	is_str(got.error.msg, "no such thing", "with its words");
	ok(got.error.kind == ERR_NOT_FOUND && got.where.line == 3, "its kind and place");
	w.body.data[0] = ERR_KIND_COUNT;
	is_int(plan_verdict_get(&a, (struct str){ w.body.data, w.body.len }, &got, &err),
	       -ERR_CORRUPT, "but no kind that there is not");
	wire_release(&w);
	plan_found_put(&w, &f);
	is_int(plan_found_get(&a, (struct str){ w.body.data, w.body.len }, &found, &err), 0,
	       "an image passes");
	wire_release(&w);
	plan_ask_put(&w, "x", &p);
	is_int(plan_ask_get(&a, (struct str){ w.body.data, w.body.len }, &ask, &err), 0,
	       "a question passes");
	is_str(ask.platform.variant, "v7", "with its platform");
}

int main(void)
{
	test_small();
	test_request();
	test_whole();
	test_many_stages();
	test_spoiled();
	test_damaged();
	return tap_done();
}
