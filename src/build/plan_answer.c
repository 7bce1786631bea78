/* build/plan_answer.c: a planned graph as bytes; plan_accept.c reads them. */
#include "build/plan_wire.h"

static void put_node(struct wire_writer *w, const struct node *n)
{
	wire_put_u32(w, n != NULL ? n->index + 1 : 0);
}

static void put_words(struct wire_writer *w, const struct word_array *words)
{
	wire_put_count(w, words->len);
	for (size_t i = 0; i < words->len; i++)
		wire_put_text(w, words->at[i]);
}

/* That there is no list is told apart from an empty one. */
static void put_strings(struct wire_writer *w, const struct strings *s)
{
	wire_put_flag(w, s->at != NULL);
	wire_put_count(w, s->n);
	for (size_t i = 0; i < s->n; i++)
		wire_put_text(w, s->at[i]);
}

static void put_source(struct wire_writer *w, const struct source *s)
{
	put_node(w, s->node);
	if (s->node == NULL)
		wire_put_text(w, s->context);
}

static void put_copy(struct wire_writer *w, const struct copy_spec *c)
{
	put_source(w, &c->from);
	wire_put_count(w, c->n_items);
	for (size_t i = 0; i < c->n_items; i++) {
		wire_put_u32(w, c->items[i].kind);
		wire_put_text(w, c->items[i].path);
		wire_put_text(w, c->items[i].text);
	}
	wire_put_text(w, c->dest);
	wire_put_text(w, c->chown);
	wire_put_text(w, c->chmod);
	wire_put_text(w, c->checksum);
	put_words(w, &c->excludes);
	wire_put_flag(w, c->link);
	wire_put_flag(w, c->parents);
	wire_put_flag(w, c->add);
	wire_put_u32(w, c->unpack);
	wire_put_u32(w, c->keep_git_dir);
}

static void put_mount(struct wire_writer *w, const struct mount_spec *m)
{
	const struct run_mount *rm = &m->mount;

	wire_put_u32(w, rm->type);
	wire_put_text(w, rm->source);
	wire_put_text(w, rm->target);
	wire_put_text(w, rm->id);
	wire_put_text(w, rm->sharing);
	wire_put_text(w, rm->env);
	wire_put_flag(w, rm->read_only);
	wire_put_flag(w, rm->required);
	wire_put_i64(w, rm->size_limit);
	wire_put_i64(w, rm->mode);
	wire_put_i64(w, rm->uid);
	wire_put_i64(w, rm->gid);
	wire_put_flag(w, m->has_from);
	if (m->has_from)
		put_source(w, &m->from);
}

static void put_run(struct wire_writer *w, const struct run_spec *run)
{
	put_words(w, &run->args);
	wire_put_count(w, run->env.len);
	for (size_t i = 0; i < run->env.len; i++) {
		wire_put_text(w, run->env.at[i].key);
		wire_put_text(w, run->env.at[i].value);
	}
	wire_put_text(w, run->user);
	wire_put_text(w, run->cwd);
	wire_put_count(w, run->n_mounts);
	for (size_t i = 0; i < run->n_mounts; i++)
		put_mount(w, &run->mounts[i]);
	wire_put_text(w, run->network);
	wire_put_text(w, run->script_name);
	wire_put_text(w, run->script);
}

/* Its inputs are those that its sources name: they are not sent. */
static void put_step(struct wire_writer *w, const struct node *n)
{
	wire_put_u32(w, n->kind);
	put_node(w, n->base);
	wire_put_text(w, n->stage);
	wire_put_u32(w, n->step);
	wire_put_u32(w, n->n_steps);
	wire_put_text(w, n->text);
	wire_put_u32(w, n->line);
	wire_put_flag(w, n->no_cache);
	wire_put_i64(w, n->epoch_ns);
	switch (n->kind) {
	case NODE_IMAGE:
		wire_put_u32(w, n->image_ref);
		break;
	case NODE_COPY:
		put_copy(w, n->copy);
		break;
	case NODE_RUN:
		put_run(w, n->run);
		break;
	case NODE_WORKDIR:
		wire_put_text(w, n->path);
		wire_put_text(w, n->user);
		break;
	}
}

static void put_health(struct wire_writer *w, const struct healthcheck *h)
{
	wire_put_flag(w, h != NULL);
	if (h == NULL)
		return;
	put_strings(w, &h->test);
	wire_put_i64(w, h->interval_ns);
	wire_put_i64(w, h->timeout_ns);
	wire_put_i64(w, h->start_period_ns);
	wire_put_i64(w, h->start_interval_ns);
	wire_put_i64(w, h->retries);
}

/* What the export writes; all else of a base image is dropped there. */
static void put_image(struct wire_writer *w, const struct image_config *i)
{
	const struct container_config *c = &i->config;

	wire_put_text(w, i->author);
	plan_put_platform(w, &i->platform);
	put_strings(w, &i->os_features);
	wire_put_text(w, c->user);
	put_strings(w, &c->exposed_ports);
	put_strings(w, &c->env);
	put_strings(w, &c->entrypoint);
	put_strings(w, &c->cmd);
	put_strings(w, &c->volumes);
	wire_put_text(w, c->working_dir);
	wire_put_count(w, c->labels.n);
	for (size_t k = 0; k < c->labels.n; k++) {
		wire_put_text(w, c->labels.at[k].key);
		wire_put_text(w, c->labels.at[k].value);
	}
	wire_put_text(w, c->stop_signal);
	wire_put_flag(w, c->args_escaped);
	put_health(w, c->healthcheck);
	put_strings(w, &c->on_build);
	wire_put_flag(w, c->stop_timeout_s.set);
	wire_put_i64(w, c->stop_timeout_s.value);
	put_strings(w, &c->shell);
}

static void put_target(struct wire_writer *w, const struct stage_plan *s)
{
	put_node(w, s->tip);
	plan_put_platform(w, &s->platform);
	put_image(w, &s->image);
	wire_put_count(w, s->n_history);
	for (size_t i = 0; i < s->n_history; i++) {
		wire_put_text(w, s->history[i].created_by);
		wire_put_text(w, s->history[i].comment);
		wire_put_text(w, s->history[i].created);
		wire_put_text(w, s->history[i].author);
		wire_put_flag(w, s->history[i].empty_layer);
		put_node(w, s->history[i].node);
	}
}

static void put_graph(struct wire_writer *w, const struct graph *g)
{
	wire_put_count(w, g->n_nodes);
	for (size_t i = 0; i < g->n_nodes; i++)
		put_step(w, g->nodes[i]);
	wire_put_count(w, g->n_stages);
	for (size_t i = 0; i < g->n_stages; i++) {
		const struct stage_plan *s = &g->stages[i];

		wire_put_count(w, s->n_steps);
		for (size_t k = 0; k < s->n_steps; k++) {
			wire_put_text(w, s->steps[k].text);
			put_node(w, s->steps[k].node);
		}
	}
	wire_put_count(w, (size_t)(g->target - g->stages));
	put_target(w, g->target);
	wire_put_flag(w, g->has_epoch);
	wire_put_i64(w, g->epoch_ns);
}

void plan_answer_put(struct wire_writer *w, const struct plan_answer *answer)
{
	plan_verdict_put(w, &answer->verdict);
	wire_put_flag(w, answer->lint_is_error);
	wire_put_count(w, answer->n_findings);
	for (size_t i = 0; i < answer->n_findings; i++) {
		wire_put_u32(w, answer->findings[i].rule);
		wire_put_text(w, answer->findings[i].text);
		wire_put_u32(w, answer->findings[i].line);
		wire_put_u32(w, answer->findings[i].end_line);
	}
	wire_put_text(w, answer->call);
	if (answer->verdict.error.kind == ERR_NONE && answer->call == NULL)
		put_graph(w, &answer->graph);
}
