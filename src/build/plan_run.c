/* build/plan_run.c: RUN, its mounts and heredocs. */
#include "base/fs.h"
#include "build/ast_args.h"
#include "build/plan_internal.h"
#include "build/text.h"

struct mount_context {
	struct planner *p;
	struct stage_plan *s;
	const struct ast_node *node;
};

static int expand_mount_word(void *ctx, const char *word, const char **ret, struct error *err)
{
	struct mount_context *c = ctx;

	return plan_expand(c->p, c->s, c->node, word, ret, err);
}

static const char *clean_path(struct planner *p, const char *path)
{
	autofree char *clean = fs_path_clean(path);

	return arena_strdup(p->arena, clean);
}

static int check_target(struct planner *p, struct stage_plan *s, struct run_mount *m,
			struct error *err)
{
	if (m->type == MOUNT_SECRET && m->target == NULL && m->env == NULL) {
		const char *id = m->id ? m->id : m->source, *slash = id ? strrchr(id, '/') : NULL;

		m->target = arena_format(p->arena, "/run/secrets/%s", slash ? slash + 1 : id);
	}
	if (m->type == MOUNT_SECRET && m->target == NULL)
		return 0;
	/* Nothing is the working directory, and a cache is called as its place is written. Peer:
	 * BuildKit. */
	if (m->type == MOUNT_CACHE && m->id == NULL)
		m->id = clean_path(p, m->target ? m->target : "");
	m->target = clean_path(p, plan_path(p, s, m->target ? m->target : ""));
	if (strcmp(m->target, "/") == 0)
		return error_set(err, ERR_INVALID, "invalid mount target \"/\"");
	return 0;
}

static int plan_mount(struct planner *p, struct stage_plan *s, const struct instruction *i,
		      size_t index, struct mount_spec *spec, struct error *err)
{
	struct mount_context ctx = { p, s, i->node };
	struct run_mount *m = &spec->mount;
	int r = run_mount_parse(p->arena, i->mounts.at[index], expand_mount_word, &ctx, m, err);

	if (r < 0)
		return r;
	if (m->type == MOUNT_SSH) {
		if (m->required)
			return error_set(err, ERR_UNIMPLEMENTED,
					 "RUN --mount=type=ssh is not supported yet");
		return 0;
	}
	r = check_target(p, s, m, err);
	if (r < 0)
		return r;
	if (m->type == MOUNT_BIND || (m->type == MOUNT_CACHE && m->from != NULL)) {
		spec->has_from = true;
		spec->from = (struct source){ .context = "" };
		if (m->from != NULL && m->from[0] != '\0') {
			r = plan_source(p, s, m->from, m->target, &spec->from, err);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* What the shell gets of a RUN with heredocs. */
static int heredoc_command(struct planner *p, const struct instruction *i, struct run_spec *run,
			   const char **ret, struct error *err)
{
	const struct ast_node *n = i->node;
	auto_(text) t = TEXT_INIT;
	struct heredoc *word;
	int r;

	if (i->words.len != 1 || !i->prepend_shell)
		return error_set(err, ERR_INVALID, "parsing produced an invalid run command");
	r = heredoc_parse(p->arena, i->words.at[0], &word, err);
	if (r < 0)
		return r;
	if (word != NULL) {
		const char *body = n->heredocs[0].content;

		if (n->heredocs[0].chomp)
			body = heredoc_chomp(p->arena, body);
		*ret = body;
		if (body[0] != '#' || body[1] != '!')
			return 0;
		if (strchr(n->heredocs[0].name, '/') != NULL || n->heredocs[0].name[0] == '.')
			return error_set(err, ERR_INVALID, "invalid heredoc name '%s'",
					 n->heredocs[0].name);
		run->script_name = n->heredocs[0].name;
		run->script = body;
		*ret = arena_format(p->arena, "/dev/pipes/%s", run->script_name);
		return 0;
	}
	text_adds(&t, i->words.at[0]);
	for (size_t k = 0; k < n->n_heredocs; k++)
		text_addf(&t, "\n%s%s", n->heredocs[k].content, n->heredocs[k].name);
	*ret = text_dup(&t, p->arena);
	return 0;
}

static void shell_words(struct planner *p, const struct stage_plan *s, const char *command,
			struct word_list *out)
{
	struct strings shell = s->image.config.shell;

	if (shell.n == 0) {
		word_list_add(p->arena, out, "/bin/sh");
		word_list_add(p->arena, out, "-c");
	}
	for (size_t k = 0; k < shell.n; k++)
		word_list_add(p->arena, out, shell.at[k]);
	word_list_add(p->arena, out, command);
}

static int run_args(struct planner *p, struct stage_plan *s, const struct instruction *i,
		    struct run_spec *run, struct error *err)
{
	struct word_list words = { 0 };
	const char *command = i->words.len ? i->words.at[0] : "";
	int r;

	if (i->node->n_heredocs > 0) {
		r = heredoc_command(p, i, run, &command, err);
		if (r < 0)
			return r;
	}
	if (i->prepend_shell) {
		shell_words(p, s, command, &words);
		run->args = (struct word_array){ words.at, words.len };
	} else {
		run->args = i->words;
	}
	if (run->args.len == 0)
		return error_set(err, ERR_INVALID, "RUN requires at least one argument");
	return 0;
}

/* "|2 A=1 B=2 /bin/sh -c make # buildkit" */
static void run_history(struct planner *p, struct stage_plan *s, struct node *n)
{
	auto_(text) t = TEXT_INIT;

	if (s->args.len > 0)
		text_addf(&t, "|%zu ", s->args.len);
	for (size_t k = 0; k < s->args.len; k++) {
		const char *value = vars_get(&s->env, s->args.at[k].key);

		text_addf(&t, "%s=%s ", s->args.at[k].key, value ? value : "");
	}
	text_adds(&t, plan_join(p->arena, &n->run->args, " "));
	plan_history(p, s, n, "RUN %s # buildkit", t.at);
}

int plan_run(struct planner *p, struct stage_plan *s, const struct instruction *i,
	     struct error *err)
{
	const struct container_config *c = &s->image.config;
	struct run_spec *run = arena_new(p->arena, struct run_spec);
	struct node *n;
	int r;

	if (i->security != NULL && strcmp(i->security, "insecure") == 0)
		return p->o->insecure
			   ? error_set(err, ERR_UNIMPLEMENTED,
				       "RUN --security=insecure is not supported yet")
			   : error_set(err, ERR_FORBIDDEN, "security.insecure is not allowed");
	run->network = i->network ? i->network : p->o->network ? p->o->network : "default";
	if (i->network != NULL && strcmp(i->network, "host") == 0 && !p->o->net_host)
		return error_set(err, ERR_FORBIDDEN, "network.host is not allowed");
	r = run_args(p, s, i, run, err);
	if (r < 0)
		return r;
	run->env = vars_copy(p->arena, &s->env);
	run->user = c->user ? c->user : "";
	{
		autofree char *cwd = fs_path_clean(plan_path(p, s, ""));

		run->cwd = arena_strdup(p->arena, cwd);
	}
	run->mounts = arena_array(p->arena, i->mounts.len + 1, sizeof(*run->mounts));
	for (size_t k = 0; k < i->mounts.len; k++) {
		r = plan_mount(p, s, i, k, &run->mounts[k], err);
		if (r < 0)
			return r;
		run->n_mounts++;
	}
	/* After the images that it mounts: inputs come before their users. */
	n = plan_node(p, s, NODE_RUN, i->node->original, i->node->line);
	n->run = run;
	for (size_t k = 0; k < run->n_mounts; k++)
		if (run->mounts[k].from.node != NULL)
			plan_input(p, n, run->mounts[k].from.node);
	run_history(p, s, n);
	return 0;
}
