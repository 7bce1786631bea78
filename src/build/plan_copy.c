/* build/plan_copy.c: COPY and ADD. */
#include "base/fs.h"
#include "build/ast_args.h"
#include "build/chmod.h"
#include "build/plan_internal.h"
#include "build/text.h"
#include "build/user.h"

static bool is_url(const char *s)
{
	return cstr_starts(s, "http://") || cstr_starts(s, "https://");
}

static bool is_git(const char *s)
{
	size_t n = strcspn(s, "#?");

	return cstr_starts(s, "git@") || cstr_starts(s, "git://") || cstr_starts(s, "ssh://") ||
	       (is_url(s) && n > 4 && strncmp(s + n - 4, ".git", 4) == 0);
}

enum copy_item_kind plan_item_kind(const char *path)
{
	return is_git(path) ? COPY_GIT : is_url(path) ? COPY_URL : COPY_PATH;
}

bool plan_is_file_name(const char *name)
{
	return strchr(name, '/') == NULL && strcmp(name, "..") != 0;
}

/* Everything at the top is ignored. */
static bool ignores_root(const struct ignore *ig)
{
	for (size_t i = 0; i < ig->len; i++) {
		const char *text = ig->at[i].text;

		if (strcmp(text, "*") == 0 || strcmp(text, "**") == 0 || strcmp(text, "**/*") == 0)
			return true;
	}
	return false;
}

/* Of an absolute path a pattern knows only the empty name before its first slash, and with
 * exclusions nobody can tell. Peer: BuildKit. */
static void lint_ignored(struct planner *p, const struct instruction *i, const char *path)
{
	autofree char *clean = fs_path_clean(path);
	const struct ignore *ig = p->o->ignore;
	bool whole = clean[0] == '/' || strcmp(clean, ".") == 0;

	if (ig == NULL || ig->exclusions)
		return;
	if (whole ? ignores_root(ig) : ignore_matches(ig, clean, NULL))
		lint_add_to(p->lint, LINT_COPY_IGNORED_FILE, i->node,
			    "Attempting to %s file %s that is excluded by .dockerignore",
			    i->kind == INS_ADD ? "Add" : "Copy", text_quote(p->arena, clean));
}

/* A digest of what a URL gives, or the commit that a git repository has there. */
static int check_checksum(const struct instruction *i, const struct copy_spec *c,
			  const struct copy_item *item, struct error *err)
{
	struct digest d;
	int r;

	if (c->checksum[0] == '\0')
		return 0;
	if (i->words.len != 1)
		return error_set(err, ERR_INVALID,
				 "checksum can't be specified for multiple sources");
	if (item->kind == COPY_PATH)
		return error_set(err, ERR_INVALID, "checksum requires HTTP(S) or Git sources");
	if (item->kind == COPY_GIT)
		return 0;
	r = digest_parse(c->checksum, strlen(c->checksum), &d, err);
	return r < 0 ? error_wrap(err, r, "invalid checksum digest format") : 0;
}

static int add_paths(struct planner *p, struct stage_plan *s, const struct instruction *i,
		     struct copy_spec *c, struct text *history, struct error *err)
{
	int r;

	for (size_t k = 0; k < i->words.len; k++) {
		struct copy_item *item = &c->items[c->n_items++];

		r = plan_expand(p, s, i->node, i->words.at[k], &item->path, err);
		if (r < 0)
			return r;
		text_addf(history, " %s", item->path);
		item->kind = plan_item_kind(item->path);
		if (item->kind == COPY_PATH && c->from.node == NULL && c->from.context[0] == '\0')
			lint_ignored(p, i, item->path);
		if (!c->add && item->kind != COPY_PATH)
			return error_set(err, ERR_INVALID, "source can't be a %s for COPY",
					 item->kind == COPY_GIT ? "git ref" : "URL");
		r = check_checksum(i, c, item, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_files(struct planner *p, struct stage_plan *s, const struct instruction *i,
		     struct copy_spec *c, struct text *history, struct error *err)
{
	int r;

	for (size_t k = 0; k < i->n_files; k++) {
		struct copy_item *item = &c->items[c->n_items++];

		item->kind = COPY_INLINE;
		item->path = i->files[k].path;
		item->text = i->files[k].data;
		if (i->files[k].expand) {
			r = plan_expand_body(p, s, i->node, i->files[k].data, &item->text, err);
			if (r < 0)
				return r;
		}
		if (!plan_is_file_name(item->path))
			return error_set(err, ERR_INVALID, "invalid heredoc name '%s'", item->path);
		text_addf(history, " <<%s", item->path);
	}
	return 0;
}

static int expand_flags(struct planner *p, struct stage_plan *s, const struct instruction *i,
			struct copy_spec *c, struct error *err)
{
	const char **excludes = arena_array(p->arena, i->excludes.len + 1, sizeof(*excludes));
	struct ignore ig;
	mode_t mode;
	int r = plan_expand(p, s, i->node, i->chown, &c->chown, err);

	if (r == 0)
		r = plan_expand(p, s, i->node, i->chmod, &c->chmod, err);
	if (r == 0)
		r = plan_expand(p, s, i->node, i->checksum, &c->checksum, err);
	for (size_t k = 0; r == 0 && k < i->excludes.len; k++)
		r = plan_expand(p, s, i->node, i->excludes.at[k], &excludes[k], err);
	if (r < 0)
		return r;
	c->excludes = (struct word_array){ excludes, i->excludes.len };
	r = ignore_compile(p->arena, excludes, i->excludes.len, NULL, &ig, err);
	if (r < 0)
		return r;
	return c->chmod[0] != '\0' ? chmod_apply(c->chmod, 0, &mode, err) : 0;
}

int plan_check_owner(const struct stage_plan *s, const char *owner, struct error *err)
{
	if (s->tip->kind == NODE_IMAGE && s->tip->image_id == NULL && owner_is_named(owner))
		return error_set(err, ERR_INVALID, "no user '%s' is known in an empty file system",
				 owner);
	return 0;
}

static int check_owner(const struct stage_plan *s, struct copy_spec *c, struct error *err)
{
	/* With --chmod what is below counts: that is a plain COPY. Peer: BuildKit. */
	c->link = c->link && c->chmod[0] == '\0';
	if (c->link && owner_is_named(c->chown))
		return error_set(err, ERR_INVALID,
				 "--link needs numbers in --chown: no user '%s' is known there",
				 c->chown);
	return plan_check_owner(s, c->chown, err);
}

static void add_flags(struct text *history, const struct copy_spec *c)
{
	if (c->parents)
		text_adds(history, " --parents");
	if (c->chown[0] != '\0')
		text_addf(history, " --chown=%s", c->chown);
	if (c->chmod[0] != '\0')
		text_addf(history, " --chmod=%s", c->chmod);
}

/* Absolute, and with its trailing slash. */
static int set_dest(struct planner *p, struct stage_plan *s, const struct instruction *i,
		    struct copy_spec *c, struct text *history, struct error *err)
{
	const char *dest, *path;
	bool directory;
	int r = plan_expand(p, s, i->node, i->dest, &dest, err);

	if (r < 0)
		return r;
	text_addf(history, " %s", dest);
	directory = dest[0] == '\0' || strcmp(dest, ".") == 0 || cstr_ends(dest, "/") ||
		    cstr_ends(dest, "/.");
	path = plan_path(p, s, dest);
	{
		autofree char *clean = fs_path_clean(path);

		c->dest = directory && strcmp(clean, "/") != 0
			      ? arena_format(p->arena, "%s/", clean)
			      : arena_strdup(p->arena, clean);
	}
	return 0;
}

int plan_copy(struct planner *p, struct stage_plan *s, const struct instruction *i,
	      struct error *err)
{
	struct copy_spec *c = arena_new(p->arena, struct copy_spec);
	auto_(text) history = TEXT_INIT;
	struct node *n;
	int r;

	c->add = i->kind == INS_ADD;
	c->link = i->link;
	c->parents = i->parents;
	c->unpack = i->unpack;
	c->keep_git_dir = i->keep_git_dir;
	c->from.context = "";
	if (i->from != NULL && i->from[0] != '\0') {
		r = plan_source(p, s, i->from, NULL, &c->from, err);
		if (r < 0)
			return r;
	}
	r = expand_flags(p, s, i, c, err);
	if (r < 0)
		return r;
	r = check_owner(s, c, err);
	if (r < 0)
		return r;
	add_flags(&history, c);
	c->items = arena_array(p->arena, i->words.len + i->n_files + 1, sizeof(*c->items));
	r = add_paths(p, s, i, c, &history, err);
	if (r == 0)
		r = add_files(p, s, i, c, &history, err);
	if (r == 0)
		r = set_dest(p, s, i, c, &history, err);
	if (r < 0)
		return r;
	n = plan_node(p, s, NODE_COPY, i->node->original, i->node->line);
	n->copy = c;
	if (c->from.node != NULL)
		plan_input(p, n, c->from.node);
	plan_history(p, s, n, "%s%s # buildkit", instruction_name(i->kind), history.at);
	return 0;
}
