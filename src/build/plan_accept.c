/*
 * build/plan_accept.c: a graph from bytes that are not trusted.
 *
 * What is read is checked where it is read. Steps refer to earlier steps only, so nothing
 * can go in circles; what a step reads from follows from its sources, by the rule of the
 * planner itself; an image is one that the engine has named, by the number of the question.
 */
#include <string.h>

#include "base/fs.h"
#include "build/plan_internal.h"
#include "build/plan_wire.h"

enum { MOUNTS_MAX = 4096, NUMBER_MAX = DOCKERFILE_MAX };

struct accept {
	struct wire_reader r;
	const struct plan_terms *terms;
	struct graph *graph;
};

static bool one_of(const char *word, const char *const *list)
{
	while (*list != NULL && strcmp(*list, word) != 0)
		list++;
	return *list != NULL;
}

/* As the planner leaves paths. Relative ones come from a base image's strange WorkingDir. */
static bool is_clean(const char *path)
{
	autofree char *clean = fs_path_clean(path);

	return strcmp(clean, path) == 0;
}

/* An earlier step, or NULL. */
static struct node *get_node(struct accept *c)
{
	uint32_t number = wire_get_u32(&c->r, (uint32_t)c->graph->n_nodes);

	return number > 0 ? c->graph->nodes[number - 1] : NULL;
}

static struct word_array get_words(struct accept *c)
{
	size_t n = wire_get_count(&c->r);
	const char **at = wire_array(&c->r, n, sizeof(*at));

	if (at == NULL)
		return (struct word_array){ 0 };
	for (size_t i = 0; i < n; i++)
		at[i] = wire_get_text(&c->r);
	return (struct word_array){ at, n };
}

static struct strings get_strings(struct accept *c)
{
	bool given = wire_get_flag(&c->r);
	struct word_array w = get_words(c);

	if (!given && w.len > 0)
		wire_fault(&c->r, "a list that is not there has words");
	return given ? (struct strings){ w.at, w.len } : (struct strings){ 0 };
}

static void get_source(struct accept *c, struct source *ret)
{
	ret->node = get_node(c);
	ret->context = "";
	if (ret->node != NULL)
		return;
	ret->context = wire_get_text(&c->r);
	if (!one_of(ret->context, c->terms->contexts))
		wire_fault(&c->r, "a context is none of the build's");
}

/* As the planner does it: each once, in the order of the sources. */
static void add_input(struct accept *c, struct node *n, const struct source *s)
{
	for (size_t i = 0; s->node != NULL && i < n->n_inputs; i++)
		if (n->inputs[i] == s->node)
			return;
	if (s->node != NULL && c->r.fault == NULL)
		n->inputs[n->n_inputs++] = s->node;
}

static void get_item(struct accept *c, struct copy_item *item)
{
	item->kind = (enum copy_item_kind)wire_get_u32(&c->r, COPY_GIT);
	item->path = wire_get_text(&c->r);
	item->text = wire_get_maybe(&c->r);
	if (item->kind == COPY_INLINE && (item->text == NULL || !plan_is_file_name(item->path)))
		wire_fault(&c->r, "a file of text has no name or no text");
}

/* Without the slash that says it is a directory. */
static bool is_clean_dest(struct arena *a, const char *dest)
{
	size_t len = strlen(dest);

	return len > 1 && dest[len - 1] == '/' ? is_clean(arena_strndup(a, dest, len - 1))
					       : is_clean(dest);
}

static void get_copy(struct accept *c, struct node *n)
{
	struct copy_spec *spec = wire_array(&c->r, 1, sizeof(*spec));
	struct copy_item *items;
	struct source from;
	size_t count;

	get_source(c, &from);
	count = wire_get_count(&c->r);
	items = wire_array(&c->r, count, sizeof(*items));
	n->inputs = wire_array(&c->r, 1, sizeof(struct node *));
	if (c->r.fault != NULL)
		return;
	*spec = (struct copy_spec){ .from = from, .items = items, .n_items = count };
	for (size_t i = 0; i < count; i++)
		get_item(c, &items[i]);
	spec->dest = wire_get_text(&c->r);
	spec->chown = wire_get_text(&c->r);
	spec->chmod = wire_get_text(&c->r);
	spec->checksum = wire_get_text(&c->r);
	spec->excludes = get_words(c);
	spec->link = wire_get_flag(&c->r);
	spec->parents = wire_get_flag(&c->r);
	spec->add = wire_get_flag(&c->r);
	spec->unpack = (enum tristate)wire_get_u32(&c->r, YES);
	spec->keep_git_dir = (enum tristate)wire_get_u32(&c->r, YES);
	/* git and the downloader are started with what passes here. */
	for (size_t i = 0; i < count; i++)
		if ((items[i].kind == COPY_GIT || items[i].kind == COPY_URL) &&
		    (!spec->add || plan_item_kind(items[i].path) != items[i].kind))
			wire_fault(&c->r, "an address is none");
	if (c->r.fault == NULL && !is_clean_dest(c->r.arena, spec->dest))
		wire_fault(&c->r, "a destination is no clean path");
	add_input(c, n, &from);
	n->copy = spec;
}

static bool is_whole_mount(const struct mount_spec *m)
{
	static const char *const sharing[] = { "shared", "private", "locked", NULL };
	const struct run_mount *rm = &m->mount;
	bool targeted = rm->target != NULL && is_clean(rm->target) && strcmp(rm->target, "/") != 0;

	if (rm->sharing != NULL && !one_of(rm->sharing, sharing))
		return false;
	switch (rm->type) {
	case MOUNT_BIND:
		return targeted && m->has_from;
	case MOUNT_CACHE:
		return targeted && rm->id != NULL;
	case MOUNT_TMPFS:
		return targeted && !m->has_from;
	case MOUNT_SECRET:
		return (targeted || (rm->target == NULL && rm->env != NULL)) && !m->has_from &&
		       (rm->id != NULL || rm->source != NULL || rm->target != NULL);
	case MOUNT_SSH:
		return !rm->required && !m->has_from;
	}
	return false;
}

static void get_mount(struct accept *c, struct mount_spec *m)
{
	struct run_mount *rm = &m->mount;

	rm->type = (enum mount_type)wire_get_u32(&c->r, MOUNT_SSH);
	rm->source = wire_get_maybe(&c->r);
	rm->target = wire_get_maybe(&c->r);
	rm->id = wire_get_maybe(&c->r);
	rm->sharing = wire_get_maybe(&c->r);
	rm->env = wire_get_maybe(&c->r);
	rm->read_only = wire_get_flag(&c->r);
	rm->required = wire_get_flag(&c->r);
	rm->size_limit = wire_get_i64(&c->r, 0, INT64_MAX);
	rm->mode = wire_get_i64(&c->r, -1, RUN_MOUNT_MODE_MAX);
	rm->uid = wire_get_i64(&c->r, -1, UINT32_MAX);
	rm->gid = wire_get_i64(&c->r, -1, UINT32_MAX);
	m->has_from = wire_get_flag(&c->r);
	if (m->has_from)
		get_source(c, &m->from);
	if (c->r.fault == NULL && !is_whole_mount(m))
		wire_fault(&c->r, "a mount is not whole");
}

static void get_env(struct accept *c, struct vars *ret)
{
	size_t n = wire_get_count(&c->r);
	struct var *at = wire_array(&c->r, n, sizeof(*at));

	if (at == NULL)
		return;
	for (size_t i = 0; i < n; i++) {
		at[i].key = wire_get_text(&c->r);
		at[i].value = wire_get_text(&c->r);
	}
	*ret = (struct vars){ at, n, n };
}

/* The host's network only for those who may have it: the planner's word is not enough. */
static bool may_join(const struct plan_terms *t, const char *network)
{
	bool given = t->network != NULL && strcmp(t->network, network) == 0;

	if (strcmp(network, "host") == 0)
		return t->net_host || given;
	return given || strcmp(network, "default") == 0 || strcmp(network, "none") == 0;
}

static void get_run(struct accept *c, struct node *n)
{
	struct run_spec *run = wire_array(&c->r, 1, sizeof(*run));
	size_t count;

	if (run == NULL)
		return;
	run->args = get_words(c);
	get_env(c, &run->env);
	run->user = wire_get_text(&c->r);
	run->cwd = wire_get_text(&c->r);
	count = wire_get_u32(&c->r, MOUNTS_MAX);
	run->mounts = wire_array(&c->r, count, sizeof(*run->mounts));
	n->inputs = wire_array(&c->r, count, sizeof(struct node *));
	for (size_t i = 0; c->r.fault == NULL && i < count; i++) {
		get_mount(c, &run->mounts[i]);
		add_input(c, n, &run->mounts[i].from);
		run->n_mounts++;
	}
	run->network = wire_get_text(&c->r);
	run->script_name = wire_get_maybe(&c->r);
	run->script = wire_get_maybe(&c->r);
	n->run = run;
	if (c->r.fault != NULL)
		return;
	if (run->args.len == 0 || !is_clean(run->cwd))
		wire_fault(&c->r, "a command or its directory is missing");
	else if (!may_join(c->terms, run->network))
		wire_fault(&c->r, "a network is not allowed");
	else if ((run->script == NULL) != (run->script_name == NULL) ||
		 (run->script_name != NULL &&
		  (run->script_name[0] == '.' || !plan_is_file_name(run->script_name))))
		wire_fault(&c->r, "a script has no name");
}

static void get_image_node(struct accept *c, struct node *n)
{
	static struct digest none;
	uint32_t ref = wire_get_u32(&c->r, (uint32_t)c->terms->n_images);
	const struct plan_image_known *known = ref > 0 ? &c->terms->images[ref - 1] : NULL;

	n->image_ref = ref;
	n->image = known != NULL ? known->name : "scratch";
	if (known == NULL) {
		n->layers = &none;
		return;
	}
	n->image_id = known->id;
	/* Read only: the solver writes layers of its own. */
	n->layers = (struct digest *)(uintptr_t)known->layers;
	n->n_layers = known->n_layers;
}

static void get_body(struct accept *c, struct node *n)
{
	switch (n->kind) {
	case NODE_IMAGE:
		get_image_node(c, n);
		break;
	case NODE_COPY:
		get_copy(c, n);
		break;
	case NODE_RUN:
		get_run(c, n);
		break;
	case NODE_WORKDIR:
		n->path = wire_get_text(&c->r);
		n->user = wire_get_text(&c->r);
		if (c->r.fault == NULL && !is_clean(n->path))
			wire_fault(&c->r, "a directory is no clean path");
		break;
	}
}

static struct node *get_step(struct accept *c)
{
	struct node *n = wire_array(&c->r, 1, sizeof(*n));

	if (n == NULL)
		return NULL;
	n->index = (unsigned)c->graph->n_nodes;
	n->kind = (enum node_kind)wire_get_u32(&c->r, NODE_WORKDIR);
	n->base = get_node(c);
	n->stage = wire_get_text(&c->r);
	n->step = wire_get_u32(&c->r, NUMBER_MAX);
	n->n_steps = wire_get_u32(&c->r, NUMBER_MAX);
	n->text = wire_get_text(&c->r);
	n->line = wire_get_u32(&c->r, NUMBER_MAX);
	n->no_cache = wire_get_flag(&c->r);
	n->epoch_ns = wire_get_i64(&c->r, 0, INT64_MAX);
	if ((n->kind == NODE_IMAGE) != (n->base == NULL))
		wire_fault(&c->r, "a step stands upon nothing, or an image upon something");
	get_body(c, n);
	return n;
}

static void get_nodes(struct accept *c)
{
	size_t n = wire_get_u32(&c->r, PLAN_STEPS_MAX);

	c->graph->nodes = wire_array(&c->r, n, sizeof(*c->graph->nodes));
	for (size_t i = 0; c->r.fault == NULL && i < n; i++) {
		struct node *one = get_step(c);

		if (one != NULL)
			c->graph->nodes[c->graph->n_nodes++] = one;
	}
}

static struct healthcheck *get_health(struct accept *c)
{
	struct healthcheck *h;

	if (!wire_get_flag(&c->r))
		return NULL;
	h = wire_array(&c->r, 1, sizeof(*h));
	if (h == NULL)
		return NULL;
	h->test = get_strings(c);
	h->interval_ns = wire_get_i64(&c->r, INT64_MIN, INT64_MAX);
	h->timeout_ns = wire_get_i64(&c->r, INT64_MIN, INT64_MAX);
	h->start_period_ns = wire_get_i64(&c->r, INT64_MIN, INT64_MAX);
	h->start_interval_ns = wire_get_i64(&c->r, INT64_MIN, INT64_MAX);
	h->retries = wire_get_i64(&c->r, INT64_MIN, INT64_MAX);
	return h;
}

static struct pairs get_labels(struct accept *c)
{
	size_t n = wire_get_count(&c->r);
	struct pair *at = wire_array(&c->r, n, sizeof(*at));

	if (at == NULL)
		return (struct pairs){ 0 };
	for (size_t i = 0; i < n; i++) {
		at[i].key = wire_get_text(&c->r);
		at[i].value = wire_get_text(&c->r);
	}
	return (struct pairs){ at, n };
}

static void get_image(struct accept *c, struct image_config *i)
{
	struct container_config *cc = &i->config;

	i->author = wire_get_maybe(&c->r);
	plan_get_platform(&c->r, &i->platform);
	i->os_features = get_strings(c);
	cc->user = wire_get_maybe(&c->r);
	cc->exposed_ports = get_strings(c);
	cc->env = get_strings(c);
	cc->entrypoint = get_strings(c);
	cc->cmd = get_strings(c);
	cc->volumes = get_strings(c);
	cc->working_dir = wire_get_maybe(&c->r);
	cc->labels = get_labels(c);
	cc->stop_signal = wire_get_maybe(&c->r);
	cc->args_escaped = wire_get_flag(&c->r);
	cc->healthcheck = get_health(c);
	cc->on_build = get_strings(c);
	cc->stop_timeout_s.set = wire_get_flag(&c->r);
	cc->stop_timeout_s.value = wire_get_i64(&c->r, INT64_MIN, INT64_MAX);
	cc->shell = get_strings(c);
}

static void get_target(struct accept *c, struct stage_plan *s)
{
	size_t n;

	s->tip = get_node(c);
	if (s->tip == NULL)
		wire_fault(&c->r, "the target has no steps");
	plan_get_platform(&c->r, &s->platform);
	get_image(c, &s->image);
	n = wire_get_count(&c->r);
	s->history = wire_array(&c->r, n, sizeof(*s->history));
	for (size_t i = 0; c->r.fault == NULL && i < n; i++) {
		struct history_item *item = &s->history[s->n_history++];

		item->created_by = wire_get_maybe(&c->r);
		item->comment = wire_get_maybe(&c->r);
		item->created = wire_get_maybe(&c->r);
		item->author = wire_get_maybe(&c->r);
		item->empty_layer = wire_get_flag(&c->r);
		item->node = get_node(c);
	}
}

static void get_stages(struct accept *c)
{
	struct graph *g = c->graph;
	size_t n = wire_get_u32(&c->r, PLAN_STEPS_MAX), target;

	g->stages = wire_array(&c->r, n, sizeof(*g->stages));
	for (size_t i = 0; c->r.fault == NULL && i < n; i++) {
		struct stage_plan *s = &g->stages[g->n_stages++];
		size_t count = wire_get_count(&c->r);

		s->index = (unsigned)i;
		s->steps = wire_array(&c->r, count, sizeof(*s->steps));
		for (size_t k = 0; c->r.fault == NULL && k < count; k++) {
			s->steps[k].text = wire_get_text(&c->r);
			s->steps[k].node = get_node(c);
			s->n_steps++;
		}
	}
	target = wire_get_u32(&c->r, PLAN_STEPS_MAX);
	if (target >= g->n_stages)
		wire_fault(&c->r, "the target is none of the stages");
	if (c->r.fault != NULL)
		return;
	g->target = &g->stages[target];
	get_target(c, g->target);
}

static void get_findings(struct accept *c, struct plan_answer *ret)
{
	size_t n = wire_get_count(&c->r), lines = 0;
	struct lint_finding *at = wire_array(&c->r, n, sizeof(*at));

	ret->findings = at;
	for (size_t i = 0; c->r.fault == NULL && i < n; i++) {
		at[i].rule = (enum lint_rule)wire_get_u32(&c->r, LINT_RULE_COUNT - 1);
		at[i].text = wire_get_text(&c->r);
		at[i].line = wire_get_u32(&c->r, NUMBER_MAX);
		at[i].end_line = wire_get_u32(&c->r, NUMBER_MAX);
		ret->n_findings++;
		/* Somebody goes through the lines of each. */
		if (at[i].end_line > at[i].line)
			lines += at[i].end_line - at[i].line;
		if (lines > NUMBER_MAX)
			wire_fault(&c->r, "findings have more lines than a Dockerfile");
	}
}

/* A document goes to the client as it is, inside of one of ours: it must be one. */
static void get_call(struct accept *c, struct plan_answer *ret)
{
	auto_(arena) a = ARENA_INIT;
	const struct json *j;

	ret->call = wire_get_maybe(&c->r);
	if (c->r.fault != NULL || ret->verdict.error.kind != ERR_NONE)
		return;
	if ((ret->call != NULL) != c->terms->document ||
	    (ret->call != NULL && (json_parse(&a, ret->call, strlen(ret->call), &j, NULL) < 0 ||
				   j->type != JSON_OBJECT)))
		wire_fault(&c->r, "the document that was asked for is none");
}

int plan_accept(struct arena *a, struct str body, const struct plan_terms *terms,
		struct plan_answer *ret, struct error *err)
{
	struct plan_answer answer = { .graph.arena = a };
	struct accept c = { .terms = terms, .graph = &answer.graph };
	int r;

	wire_reader_init(&c.r, a, body);
	plan_get_verdict(&c.r, &answer.verdict);
	answer.lint_is_error = wire_get_flag(&c.r);
	get_findings(&c, &answer);
	get_call(&c, &answer);
	if (c.r.fault == NULL && answer.verdict.error.kind == ERR_NONE && answer.call == NULL) {
		get_nodes(&c);
		get_stages(&c);
		answer.graph.has_epoch = wire_get_flag(&c.r);
		answer.graph.epoch_ns = wire_get_i64(&c.r, 0, INT64_MAX);
	}
	r = wire_end(&c.r, err);
	if (r == 0)
		*ret = answer;
	return r;
}
