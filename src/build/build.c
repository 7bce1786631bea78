#include "build/build.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/jsonw.h"
#include "base/random.h"
#include "build/build_internal.h"
#include "build/cache_gc.h"
#include "build/cache_import.h"
#include "build/cache_places.h"
#include "build/call.h"
#include "build/copied.h"
#include "build/outputs.h"
#include "build/progress.h"
#include "build/step_mounts.h"
#include "build/text.h"
#include "image/image.h"

static int clean_leftovers(struct builder *b, struct error *err);

static int read_rules(struct builder *b, struct error *err)
{
	struct statvfs v;

	if (fstatvfs(b->dir_fd, &v) < 0)
		return error_sys(err, errno, "look at '%s'", b->cfg.dir);
	return cache_rules_read(&b->arena, b->cfg.cache_config, (int64_t)(v.f_blocks * v.f_frsize),
				&b->rules, err);
}

int builder_entitlements(const struct json *config, bool *ret_net_host, struct error *err)
{
	const struct json *j = json_get(config, "entitlements");
	bool net_host = true;

	if (j != NULL && j->type != JSON_OBJECT)
		return error_set(err, ERR_INVALID, "builder.entitlements: want an object");
	json_for_each_member (m, j) {
		bool host = strcmp(m->key, "network-host") == 0;

		if (!host && strcmp(m->key, "security-insecure") != 0)
			return error_set(err, ERR_INVALID,
					 "builder.entitlements.%s is not a configuration option",
					 m->key);
		if (m->value->type != JSON_BOOL)
			return error_set(err, ERR_INVALID,
					 "builder.entitlements.%s: want true or false", m->key);
		if (!host && m->value->b)
			return error_set(err, ERR_UNIMPLEMENTED,
					 "builder.entitlements.security-insecure is not supported "
					 "yet");
		net_host = host ? m->value->b : net_host;
	}
	*ret_net_host = net_host;
	return 0;
}

/* What the client allows and the configuration does not. */
static int check_entitlements(const struct build *b, struct error *err)
{
	if (!b->q->net_host || b->builder->net_host)
		return 0;
	return error_set(err, ERR_FORBIDDEN,
			 "granting entitlement network.host is not allowed by build daemon "
			 "configuration");
}

int builder_new(const struct builder_config *c, struct builder **ret, struct error *err)
{
	struct builder *b = new0(struct builder);
	int r;

	b->cfg = *c;
	b->cfg.dir = arena_strdup(&b->arena, c->dir);
	b->cfg.run_dir = arena_strdup(&b->arena, c->run_dir);
	b->cfg.planner = arena_strdup(&b->arena, c->planner);
	b->cfg.oci_runtime = arena_strdup(&b->arena, c->oci_runtime);
	b->cfg.oci_root = arena_strdup(&b->arena, c->oci_root);
	b->cfg.cgroup_parent = arena_strdup(&b->arena, c->cgroup_parent);
	b->cfg.ca_certificates = arena_strdup(&b->arena, c->ca_certificates);
	b->dir_fd = FD_NONE;
	/* A newer one may take its place while we run, and speak otherwise. */
	b->planner_fd =
	    c->planner && strchr(c->planner, '/') ? open(c->planner, O_PATH | O_CLOEXEC) : FD_NONE;
	b->lock = (struct lock)LOCK_INIT;
	b->mounts_lock = (struct lock)LOCK_INIT;
	b->gc_lock = (struct lock)LOCK_INIT;
	pthread_cond_init(&b->landed, NULL);
	pthread_cond_init(&b->mounts_free, NULL);
	r = cache_open(c->store, err);
	if (r == 0)
		r = copied_migrate(c->store, err);
	if (r == 0)
		r = fs_mkdir_all(b->cfg.dir, 0700, err);
	if (r == 0)
		r = fs_mkdir_all(b->cfg.run_dir, 0700, err);
	if (r == 0)
		r = fs_open(b->cfg.dir, O_RDONLY | O_DIRECTORY, 0, &b->dir_fd, err);
	if (r == 0)
		r = clean_leftovers(b, err);
	if (r == 0)
		r = read_rules(b, err);
	if (r == 0)
		r = builder_entitlements(b->cfg.cache_config, &b->net_host, err);
	if (r < 0) {
		builder_free(b);
		return r;
	}
	*ret = b;
	return 0;
}

void builder_free(struct builder *b)
{
	if (b == NULL)
		return;
	builder_collect_stop(b);
	if (b->dir_fd >= 0)
		close(b->dir_fd);
	if (b->planner_fd >= 0)
		close(b->planner_fd);
	map_release(&b->flying);
	map_release(&b->mounts_busy);
	map_release(&b->mounts_used);
	pthread_cond_destroy(&b->landed);
	pthread_cond_destroy(&b->mounts_free);
	arena_release(&b->arena);
	free(b);
}

size_t builder_running(const struct builder *b)
{
	return atomic_load(&b->running);
}

static int collect_key(void *arg, const char *key, struct error *err)
{
	struct text *t = arg;

	(void)err;
	if (cstr_starts(key, "build/"))
		text_add(t, key, strlen(key) + 1);
	return 0;
}

/* Mounts and files of steps: everything in there is ours. */
static int clean_run_dir(struct builder *b, struct error *err)
{
	struct tree tree = { .what = "builder" };
	auto_(arena) a = ARENA_INIT;
	autoclose int fd = FD_NONE;
	const char **found;
	size_t n = 0;
	int r = fs_open(b->cfg.run_dir, O_RDONLY | O_DIRECTORY, 0, &fd, err);

	tree.fd = fd;
	if (r == 0)
		r = tree_glob(&tree, &a, "*/m*", &found, &n, err);
	for (size_t i = n; r == 0 && i > 0; i--)
		step_mounts_detach(arena_format(&a, "%s/%s", b->cfg.run_dir, found[i - 1]));
	if (r == 0)
		r = tree_glob(&tree, &a, "*", &found, &n, err);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = fs_remove_tree(fd, found[i], err);
	return r;
}

/* Cache mounts whose removal was cut short. */
static int clean_mounts(struct builder *b, struct error *err)
{
	struct tree tree = { .what = "builder" };
	auto_(arena) a = ARENA_INIT;
	autoclose int fd = FD_NONE;
	const char **found;
	size_t n = 0;
	int r = fs_open_beneath(b->dir_fd, "mounts", O_RDONLY | O_DIRECTORY, 0, &fd, err);

	if (r == -ERR_NOT_FOUND)
		return 0;
	tree.fd = fd;
	if (r == 0)
		r = tree_glob(&tree, &a, "gone-*", &found, &n, err);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = fs_remove_tree(fd, found[i], err);
	return r;
}

/* What builds of an engine that died have left: contexts, snapshots. */
static int clean_leftovers(struct builder *b, struct error *err)
{
	auto_(text) keys = TEXT_INIT;
	struct snapshots *s = b->cfg.store->snapshots;
	struct tree tree = { .fd = b->dir_fd, .what = "builder" };
	auto_(arena) a = ARENA_INIT;
	const char **found;
	size_t n = 0;
	int r;

	if (mkdirat(b->dir_fd, "empty", 0755) < 0 && errno != EEXIST)
		return error_sys(err, errno, "create '%s/empty'", b->cfg.dir);
	r = clean_run_dir(b, err);
	if (r == 0)
		r = tree_glob(&tree, &a, "context-*", &found, &n, err);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = fs_remove_tree(b->dir_fd, found[i], err);
	if (r == 0)
		r = snapshot_list(s, collect_key, &keys, err);
	for (size_t at = 0; r == 0 && at < keys.len; at += strlen(keys.at + at) + 1)
		r = snapshot_remove(s, keys.at + at, err);
	return r < 0 ? r : clean_mounts(b, err);
}

/* ---- one build ---- */

struct log_writer {
	struct writer writer;
	struct progress *progress;
};

static int log_write_(struct writer *w, const void *bytes, size_t len, struct error *err)
{
	struct log_writer *l = (struct log_writer *)w;

	if (len > 0)
		progress_text(l->progress, "%.*s\n", (int)len, (const char *)bytes);
	return progress_broken(l->progress) ? error_set(err, ERR_CANCELED, "canceled") : 0;
}

static const struct writer_ops log_ops = { .write = log_write_ };

static int find_image(void *arg, const struct plan_ask *asked, struct plan_image_known *ret,
		      struct str *ret_config, bool *ret_none, struct error *err)
{
	struct build *b = arg;
	struct builder_config *cfg = &b->builder->cfg;
	struct log_writer log = { { &log_ops }, b->progress };
	autofree char *id = NULL;
	auto_(image) image = { 0 };
	struct digest *layers;
	const struct builder_ask ask = {
		.name = asked->name,
		.platform = &asked->platform,
		.pull = b->q->pull && !cstr_starts(asked->name, "sha256:"),
		.registry_auth = b->q->registry_auth,
		.log = &log.writer,
		.cancel = b->cancel,
	};
	int r = cfg->image(cfg->arg, &ask, &id, err);

	/* Checks look at the Dockerfile; a base that is not here says nothing to them. */
	*ret_none = r < 0 && b->q->call && r != -ERR_CANCELED && r != -ERR_INVALID;
	if (*ret_none)
		return 0;
	if (r == 0)
		r = lease_add(cfg->store->db, b->lease.id, REF_IMAGE, id, err);
	if (r == 0)
		r = image_open(cfg->store, id, &image, err);
	if (r < 0)
		return r;
	layers = arena_array(&b->arena, image.n_layers + 1, sizeof(*layers));
	if (image.n_layers > 0)
		memcpy(layers, image.diff_ids, image.n_layers * sizeof(*layers));
	ret->layers = layers;
	ret->n_layers = image.n_layers;
	ret->id = arena_strdup(&b->arena, id);
	*ret_config = (struct str){ arena_strndup(&b->arena, image.config_text, image.config_len),
				    image.config_len };
	return 0;
}

static int read_dockerfile(struct build *b, struct buf *out, struct error *err)
{
	struct opened_context *o = context_find(b, "");
	int r;

	if (b->q->dockerfile_text != NULL)
		return buf_add(out, b->q->dockerfile_text->at, b->q->dockerfile_text->len, err);
	if (o == NULL || o->fd < 0)
		return error_set(err, ERR_INVALID, "there is no build context");
	r = fs_read_in_root(o->fd, b->q->dockerfile, out, err);
	if (r == -ERR_NOT_FOUND && strcmp(b->q->dockerfile, "Dockerfile") == 0 &&
	    fs_read_in_root(o->fd, "dockerfile", out, NULL) == 0)
		return 0;
	if (r == -ERR_NOT_FOUND)
		return error_set(err, ERR_INVALID, "Cannot locate specified Dockerfile: %s",
				 b->q->dockerfile);
	if (r < 0)
		return error_wrap(err, r, "read Dockerfile");
	return buf_add(out, "", 0, err);
}

static void name_contexts(struct build *b, struct plan_options *o)
{
	struct plan_context *c = arena_array(&b->arena, b->q->n_contexts + 1, sizeof(*c));

	for (size_t i = 0; i < b->q->n_contexts; i++) {
		if (b->q->contexts[i].name[0] == '\0')
			continue;
		c[o->n_contexts++] =
		    (struct plan_context){ b->contexts[i].name, b->contexts[i].image };
	}
	o->contexts = c;
}

static bool calls(const struct build *b, const char *what)
{
	return b->q->call != NULL && strcmp(b->q->call, what) == 0;
}

/* The first half: is the Dockerfile well-formed? */
static int parse(struct build *b, struct ast_location *where, struct error *err)
{
	const struct opened_context *main = context_find(b, "");
	struct plan_request q = {
		.dockerfile = b->source,
		.platform = b->q->platform,
		.has_ignore = main != NULL && main->fd >= 0,
		.call = b->q->call,
		.options = {
			.target = b->q->target,
			.build_args = b->q->build_args,
			.n_build_args = b->q->n_build_args,
			.labels = b->q->labels,
			.n_labels = b->q->n_labels,
			.no_cache_stages = b->q->no_cache_stages,
			.no_cache = b->q->no_cache,
			.net_host = b->q->net_host || calls(b, "check"),
			.insecure = b->q->insecure,
			.network = b->q->network,
			.all_stages = calls(b, "check") && cstr_is_empty(b->q->target),
		},
	};

	if (q.has_ignore) {
		q.ignore = main->patterns;
		q.n_ignore = main->n_patterns;
	}
	name_contexts(b, &q.options);
	return planning_parse(&b->planning, &q, where, err);
}

/* The second: the graph, or the document that a call asks for, and findings in any case. */
static int make_plan(struct build *b, struct plan_answer *answer, struct ast_location *where,
		     struct error *err)
{
	const char **contexts = arena_array(&b->arena, b->n_contexts + 2, sizeof(*contexts));
	const struct planning_ops ops = { find_image, b };
	const struct plan_terms terms = {
		.contexts = contexts,
		.network = b->q->network,
		.net_host = b->q->net_host || calls(b, "check"),
		.document = b->q->call != NULL && !calls(b, "check"),
	};
	size_t n = 0;
	int r;

	contexts[n++] = "";
	for (size_t i = 0; i < b->n_contexts; i++)
		if (b->contexts[i].image == NULL)
			contexts[n++] = b->contexts[i].name;
	r = planning_plan(&b->planning, &b->arena, &ops, &terms, answer, err);
	planning_end(&b->planning);
	if (r < 0)
		return r;
	b->lint.at = answer->findings;
	b->lint.len = answer->n_findings;
	b->lint.options.return_error = answer->lint_is_error;
	b->graph = answer->graph;
	*where = answer->verdict.where;
	if (answer->verdict.error.kind == ERR_NONE)
		return 0;
	*err = answer->verdict.error;
	return -(int)err->kind;
}

static int lint_verdict(struct build *b, struct error *err)
{
	auto_(text) names = TEXT_INIT;
	bool told[LINT_RULE_COUNT] = { false };

	if (!b->lint.options.return_error || b->lint.len == 0)
		return 0;
	for (size_t i = 0; i < b->lint.len; i++) {
		if (told[b->lint.at[i].rule])
			continue;
		told[b->lint.at[i].rule] = true;
		text_addf(&names, "%s%s", names.len ? ", " : "",
			  lint_rule_name(b->lint.at[i].rule));
	}
	return error_set(err, ERR_INVALID, "lint violation found for rules: %s", names.at);
}

static void tell_result(struct build *b, const char *id)
{
	if (b->q->quiet) {
		progress_text(b->progress, "%s\n", id);
		return;
	}
	progress_image_id(b->progress, id);
	progress_text(b->progress, "Successfully built %.12s\n", strchr(id, ':') + 1);
	for (const char *const *t = b->q->tags; t && *t && outputs_keep_image(b->q); t++) {
		autofree char *familiar = image_name_familiar(*t);

		progress_text(b->progress, "Successfully tagged %s\n", familiar);
	}
}

/* What --metadata-file gets; keys are buildx's. */
static void tell_metadata(struct build *b, const char *id, const struct build_result *result)
{
	auto_(buf) text = BUF_INIT(1 << 20), names = BUF_INIT(1 << 20);
	char digest[DIGEST_TEXT_MAX];
	struct jsonw w;

	jsonw_init(&w, &text);
	jsonw_object(&w);
	if (result->manifest.digest.algo != 0) {
		struct descriptor d = result->manifest;

		d.annotations = result->annotations;
		digest_format(&d.digest, digest);
		jsonw_kstring(&w, "containerimage.config.digest", id);
		jsonw_key(&w, "containerimage.descriptor");
		descriptor_write(&w, &d);
		jsonw_kstring(&w, "containerimage.digest", digest);
	} else if (id != NULL) {
		jsonw_kstring(&w, "containerimage.config.digest", id);
		jsonw_kstring(&w, "containerimage.digest", id);
	}
	for (const char *const *n = result->names; n && *n; n++)
		(void)!buf_addf(&names, NULL, "%s%s", names.len ? "," : "", *n);
	if (names.len > 0)
		jsonw_kstring(&w, "image.name", names.data);
	jsonw_end(&w);
	if (jsonw_finish(&w, NULL) == 0)
		progress_object(b->progress, "metadata", text.data, text.len);
}

static int solve_and_export(struct build *b, char **ret_id, struct error *err)
{
	struct build_result result;
	autofree char *id = NULL;
	int r;

	progress_graph(b->progress, &b->graph);
	r = contexts_own_times(b, err);
	if (r == 0)
		r = solve(b, err);
	if (r < 0 || b->q->plan)
		return r;
	if (outputs_want_image(b->q)) {
		r = export_image(b, &id, err);
		if (r < 0)
			return r;
	}
	r = outputs_export(b, id, &result, err);
	if (r == 0)
		r = caches_export(b, err);
	if (r < 0)
		return r;
	/* It left as a file alone. */
	if (id != NULL && !outputs_keep_image(b->q) && !b->image_was_here)
		image_forget(b->builder->cfg.store, id);
	if (b->q->metadata)
		tell_metadata(b, id, &result);
	if (id != NULL)
		tell_result(b, id);
	*ret_id = steal_ptr(id);
	return 0;
}

/* Codes that a shell gives on its own account. */
static const char *code_hint(int code)
{
	return code == 127   ? " (127: a command was not found in the image)"
	       : code == 126 ? " (126: a file is there but cannot be executed)"
			     : "";
}

/* For the classic stream RUN's failure is Docker's text as it is; all else says where. */
static void locate(struct build *b, struct error *err, const struct ast_location *where)
{
	struct error plain = *err;

	if (b->failed == NULL && where->line > 0)
		(void)!error_wrap(err, -(int)err->kind, "%s:%u", b->q->dockerfile, where->line);
	if (b->failed == NULL || err->kind == ERR_CANCELED || b->failed->line == 0)
		return;
	if (b->exit_code != 0) {
		if (b->q->events)
			error_set(err, plain.kind, "%s:%u: %s%s", b->q->dockerfile, b->failed->line,
				  plain.msg, code_hint(b->exit_code));
		return;
	}
	error_set(err, plain.kind, "%s:%u: %s: %s", b->q->dockerfile, b->failed->line,
		  b->failed->text, plain.msg);
}

static void tell_error(struct build *b, struct error *err, const struct ast_location *where)
{
	locate(b, err, where);
	progress_error(b->progress, err, b->exit_code, b->q->dockerfile,
		       b->failed ? b->failed->line : where->line, b->source);
}

static void release_nodes(struct build *b)
{
	for (size_t i = 0; i < b->graph.n_nodes; i++) {
		struct node *n = b->graph.nodes[i];

		keyer_free(n->keyer);
		/* Those of images are in the arena. */
		if (n->kind != NODE_IMAGE)
			free(n->layers);
		for (size_t k = 0; n->copy != NULL && k < n->copy->n_items; k++) {
			if (n->copy->items[k].file != NULL)
				(void)!fs_remove_tree(b->builder->dir_fd, n->copy->items[k].file,
						      NULL);
			free(n->copy->items[k].file);
			free(n->copy->items[k].name);
		}
	}
}

static int check_call(const struct build_request *q, struct error *err)
{
	static const char *const calls[] = { "check", "outline", "targets" };

	if (q->call == NULL)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		if (strcmp(q->call, calls[i]) == 0)
			return 0;
	}
	return error_set(err, ERR_UNIMPLEMENTED, "call %s is not supported yet", q->call);
}

/* Everything until the first byte of the answer. */
static int prepare(struct build *b, struct buf *text, struct ast_location *where, struct error *err)
{
	int r = caches_check(b->q, err);

	if (r == 0)
		r = check_call(b->q, err);
	if (r == 0)
		r = check_entitlements(b, err);
	if (r == 0)
		r = outputs_check(b->q, err);
	if (r == 0)
		r = lease_open(b->builder->cfg.store->db, "build", &b->lease, err);
	/* It gets ready while the contexts are opened. */
	if (r == 0)
		r = planning_start(b->builder->planner_fd, b->builder->cfg.planner, b->cancel,
				   &b->planning, err);
	if (r == 0)
		r = contexts_open(b, err);
	if (r == 0)
		r = read_dockerfile(b, text, err);
	if (r < 0)
		return r;
	b->source = (struct str){ text->data ? text->data : "", text->len };
	return parse(b, where, err);
}

/* why: that the checks failed of themselves, NULL when not. */
static void tell_check(struct build *b, const char *why, const struct ast_location *where)
{
	auto_(buf) text = BUF_INIT(4 * DOCKERFILE_MAX);
	const struct call_check check = { &b->lint, b->q->dockerfile, b->source, why, *where };
	struct jsonw w;

	jsonw_init(&w, &text);
	call_check(&w, &check);
	if (jsonw_finish(&w, NULL) == 0)
		progress_object(b->progress, "call", text.data, text.len);
}

/* What is wrong with the Dockerfile is an answer, too. */
static void run_check(struct build *b, int r, struct ast_location *where, struct error *failure)
{
	struct plan_answer answer;
	struct ast_location again;
	struct error same;

	if (r < 0) {
		/* What was found until then; the error is known. */
		(void)!make_plan(b, &answer, &again, &same);
	} else {
		r = make_plan(b, &answer, where, failure);
		if (r == 0) {
			r = lint_verdict(b, failure);
			*where = (struct ast_location){ 0 };
		}
	}
	tell_check(b, r < 0 ? failure->msg : NULL, where);
}

static int run(struct build *b, struct writer *out, char **ret_id, struct error *err)
{
	auto_(buf) text = BUF_INIT(DOCKERFILE_MAX);
	struct plan_answer answer = { 0 };
	struct ast_location where = { 0 };
	struct error failure = { 0 };
	int r = prepare(b, &text, &where, &failure), sent;

	if (r < 0 && where.line > 0 && strstr(failure.msg, " on line ") == NULL)
		error_wrap(&failure, r, "dockerfile parse error on line %u", where.line);
	if (r < 0 && !(calls(b, "check") && where.line > 0)) {
		if (err != NULL)
			*err = failure;
		return r;
	}
	sent = writer_write(out, "", 0, err);
	if (sent < 0)
		return sent;
	if (calls(b, "check")) {
		run_check(b, r, &where, &failure);
		return 0;
	}
	r = make_plan(b, &answer, &where, &failure);
	if (r == 0 && b->q->call) {
		progress_object(b->progress, "call", answer.call, strlen(answer.call));
		return 0;
	}
	progress_lint(b->progress, &b->lint, b->q->dockerfile, b->source);
	if (r == 0)
		r = lint_verdict(b, &failure);
	if (r == 0)
		r = solve_and_export(b, ret_id, &failure);
	if (r < 0)
		tell_error(b, &failure, &where);
	return 0;
}

int build_run(struct builder *builder, const struct build_request *q, struct writer *out,
	      const struct cancel *cancel, char **ret_id, struct error *err)
{
	struct build *b = new0(struct build);
	char *id = NULL;
	int r;

	b->builder = builder;
	b->q = q;
	b->cancel = cancel;
	b->started_ns = clock_wall_ns();
	b->planning = (struct planning)PLANNING_INIT;
	b->lock = (struct lock)LOCK_INIT;
	pthread_cond_init(&b->changed, NULL);
	random_hex(b->id, 16);
	b->progress = progress_new(out, q->events, q->quiet);
	atomic_fetch_add(&builder->running, 1);
	if (q->n_cache_from > 0)
		b->imports = cache_imports_new(b);
	r = run(b, out, &id, err);
	planning_end(&b->planning);
	cache_imports_free(b->imports);
	atomic_fetch_sub(&builder->running, 1);
	release_nodes(b);
	contexts_close(b);
	lease_close(&b->lease);
	progress_free(b->progress);
	pthread_cond_destroy(&b->changed);
	arena_release(&b->arena);
	free(b);
	builder_collect(builder);
	if (r == 0 && ret_id != NULL)
		*ret_id = steal_ptr(id);
	free(id);
	return r;
}
