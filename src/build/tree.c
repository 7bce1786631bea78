#include "build/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/fs_walk.h"
#include "base/vec.h"
#include "build/instruction.h"
#include "build/stat_cache.h"
#include "build/text.h"

#define TREE_DEPTH_MAX 512
#define XATTR_MAX      65536
#define SIMILAR_MAX    1000 /* names that are compared with one that is missing */

struct walk {
	const struct tree *t;
	const struct ignore *exclude;
	tree_fn fn;
	void *arg;
	const char *above; /* what `exclude` sees before `rel`, "" for nothing */
	struct text path;  /* of the entry, from the root */
	struct text joined;
	size_t start; /* where `rel` begins in it */
	unsigned depth;
};

/* A directory on the way down; told to fn when the first visible entry comes. */
struct frame {
	struct frame *up;
	int dirfd;
	const char *name;
	const struct stat *st;
	size_t path_len;
	bool told;
};

const char *tree_path(struct arena *a, const char *path)
{
	autofree char *rooted = cstr_format("/%s", path);
	autofree char *clean = fs_path_clean(rooted);

	return arena_strdup(a, clean + 1);
}

bool tree_hides(const struct tree *t, const char *path, const struct ignore_pattern **ret_by)
{
	if (ret_by != NULL)
		*ret_by = NULL;
	return t->ignore != NULL && path[0] != '\0' && ignore_matches(t->ignore, path, ret_by);
}

static const char *rel_of(const struct walk *w, size_t len)
{
	const char *p = w->path.at ? w->path.at : "";

	if (len <= w->start)
		return "";
	p += w->start;
	return *p == '/' ? p + 1 : p;
}

/* The path as --exclude means it. */
static const char *excluded_as(struct walk *w)
{
	const char *rel = rel_of(w, w->path.len);

	if (w->above[0] == '\0' || rel[0] == '\0')
		return rel;
	text_clear(&w->joined);
	text_addf(&w->joined, "%s/%s", w->above, rel);
	return w->joined.at;
}

static bool is_hidden(struct walk *w)
{
	const char *path = w->path.at ? w->path.at : "", *rel = excluded_as(w);

	if (tree_hides(w->t, path, NULL))
		return true;
	return w->exclude != NULL && rel[0] != '\0' && ignore_matches(w->exclude, rel, NULL);
}

static bool may_reinclude(struct walk *w)
{
	const char *rel = excluded_as(w);

	if (w->t->ignore != NULL && tree_hides(w->t, w->path.at, NULL) &&
	    !ignore_may_reinclude(w->t->ignore, w->path.at))
		return false;
	return w->exclude == NULL || !ignore_matches(w->exclude, rel, NULL) ||
	       ignore_may_reinclude(w->exclude, rel);
}

static int tell(struct walk *w, int dirfd, const char *name, const struct stat *st,
		struct error *err)
{
	struct tree_entry e = {
		.path = w->path.at ? w->path.at : "",
		.rel = rel_of(w, w->path.len),
		.dirfd = dirfd,
		.name = name,
		.st = st,
	};

	return w->fn(w->arg, &e, err);
}

static int tell_frames(struct walk *w, struct frame *f, struct error *err)
{
	struct text whole = w->path;
	char saved;
	int r;

	if (f == NULL || f->told)
		return 0;
	r = tell_frames(w, f->up, err);
	if (r < 0)
		return r;
	f->told = true;
	if (f->path_len == whole.len)
		return tell(w, f->dirfd, f->name, f->st, err);
	saved = w->path.at[f->path_len];
	w->path.at[f->path_len] = '\0';
	w->path.len = f->path_len;
	r = tell(w, f->dirfd, f->name, f->st, err);
	w->path.at[f->path_len] = saved;
	w->path.len = whole.len;
	return r;
}

static int walk_entry(struct walk *w, struct frame *up, int dirfd, const char *name,
		      const struct stat *st, struct error *err);

static int walk_children(struct walk *w, struct frame *f, int fd, struct error *err)
{
	auto_(fs_names) names = { 0 };
	size_t len = w->path.len;
	int r = fs_read_names(fd, &names, err);

	for (size_t i = 0; r == 0 && i < names.len; i++) {
		struct stat st;

		r = cancel_check(w->t->cancel, err);
		if (r < 0)
			break;
		if (fstatat(fd, names.at[i], &st, AT_SYMLINK_NOFOLLOW) < 0) {
			if (errno == ENOENT)
				continue;
			r = error_sys(err, errno, "stat '%s/%s'", w->path.at ? w->path.at : "",
				      names.at[i]);
			break;
		}
		if (len > 0)
			text_adds(&w->path, "/");
		text_adds(&w->path, names.at[i]);
		r = walk_entry(w, f, fd, names.at[i], &st, err);
		w->path.len = len;
		if (w->path.at != NULL)
			w->path.at[len] = '\0';
	}
	return r;
}

static int walk_entry(struct walk *w, struct frame *up, int dirfd, const char *name,
		      const struct stat *st, struct error *err)
{
	struct frame f = { up, dirfd, name, st, w->path.len, false };
	bool hidden = w->depth > 0 && is_hidden(w);
	autoclose int fd = FD_NONE;
	int r;

	if (!S_ISDIR(st->st_mode)) {
		if (hidden)
			return 0;
		r = tell_frames(w, up, err);
		return r < 0 ? r : tell(w, dirfd, name, st, err);
	}
	if (hidden && !may_reinclude(w))
		return 0;
	if (!hidden) {
		r = tell_frames(w, &f, err);
		if (r < 0)
			return r;
	}
	if (w->depth == TREE_DEPTH_MAX)
		return error_set(err, ERR_INVALID, "'%s' is deeper than %d directories", w->path.at,
				 TREE_DEPTH_MAX);
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_sys(err, errno, "open '%s'", w->path.at ? w->path.at : "/");
	w->depth++;
	r = walk_children(w, &f, fd, err);
	w->depth--;
	return r;
}

/* " (did you mean x?)" when the same directory has a name like it, in the arena. */
static const char *similar_name(const struct tree *t, struct arena *a, const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	const char *dir = slash ? arena_strndup(a, path, (size_t)(slash - path)) : ".";
	auto_(fs_names) names = { 0 };
	autoclose int fd = FD_NONE;
	const char *hint = "";

	if (fs_open_in_root(t->fd, dir, O_RDONLY | O_DIRECTORY, 0, &fd, NULL) < 0 ||
	    fs_read_names(fd, &names, NULL) < 0)
		return "";
	vec_for_each (have, &names) {
		if (strcasecmp(*have, name) == 0)
			hint = arena_format(a, " (did you mean %s?)", *have);
	}
	/* Short names are all alike. */
	if (hint[0] == '\0' && strlen(name) > 2 && names.len <= SIMILAR_MAX)
		hint = suggest(a, "", name, (const char *const *)names.at, names.len, true);
	return hint;
}

static int not_found(const struct tree *t, const char *path, int r, struct error *err)
{
	const struct ignore_pattern *by;
	auto_(arena) a = ARENA_INIT;

	if (r != -ERR_NOT_FOUND)
		return error_wrap(err, r, "%s", t->what);
	if (tree_hides(t, path, &by) && by != NULL)
		return error_set(err, ERR_NOT_FOUND,
				 "\"/%s\": not found (excluded by .dockerignore line %u: %s)", path,
				 by->line, by->text);
	return error_set(err, ERR_NOT_FOUND, "\"/%s\": not found%s", path,
			 similar_name(t, &a, path));
}

int tree_walk(const struct tree *t, const char *path, const struct ignore *exclude,
	      const char *above, tree_fn fn, void *arg, struct error *err)
{
	struct walk w = { .t = t, .exclude = exclude, .above = above, .fn = fn, .arg = arg };
	autofree char *real = NULL;
	autoclose int fd = FD_NONE;
	struct stat st;
	int r;

	/* What is hidden is hidden behind a symlink as well. */
	if (t->ignore != NULL && path[0] != '\0') {
		r = fs_resolve_in_root(t->fd, path, &real, err);
		if (r < 0)
			return error_wrap(err, r, "%s", t->what);
		path = real + 1;
	}
	if (path[0] != '\0' && tree_hides(t, path, NULL) && !ignore_may_reinclude(t->ignore, path))
		return not_found(t, path, -ERR_NOT_FOUND, err);
	r = fs_open_in_root(t->fd, path[0] ? path : ".", O_PATH, 0, &fd, err);
	if (r < 0)
		return not_found(t, path, r, err);
	if (fstat(fd, &st) < 0)
		return error_sys(err, errno, "stat '%s'", path);
	text_adds(&w.path, path);
	w.start = w.path.len;
	if (S_ISDIR(st.st_mode)) {
		r = walk_entry(&w, NULL, fd, ".", &st, err);
	} else {
		char link[FS_PROC_FD_MAX];

		/* What was resolved is opened again through its fd. */
		fs_proc_fd_path(fd, link);
		r = tell(&w, AT_FDCWD, link, &st, err);
	}
	text_release(&w.path);
	text_release(&w.joined);
	return r;
}

struct globber {
	const struct tree *t;
	struct arena *arena;
	VEC(const char *) found;
};

static int glob_step(struct globber *g, const char *base, const char *pattern, unsigned depth,
		     struct error *err);

/* Names in directory `base` that match the first component of the pattern. */
static int glob_names(struct globber *g, const char *base, struct str part, const char *rest,
		      unsigned depth, struct error *err)
{
	auto_(fs_names) names = { 0 };
	autoclose int fd = FD_NONE;
	struct glob glob;
	int r = glob_compile_path(g->arena, part, &glob, err);

	if (r < 0)
		return r;
	r = fs_open_in_root(g->t->fd, base[0] ? base : ".", O_RDONLY | O_DIRECTORY, 0, &fd, err);
	if (r < 0)
		return r == -ERR_NOT_FOUND || (err && err->sys == ENOTDIR) ? 0 : r;
	r = fs_read_names(fd, &names, err);
	for (size_t i = 0; r == 0 && i < names.len; i++) {
		const char *path;

		if (!glob_matches(&glob, str_of(names.at[i])))
			continue;
		path = base[0] ? arena_format(g->arena, "%s/%s", base, names.at[i])
			       : arena_strdup(g->arena, names.at[i]);
		if (tree_hides(g->t, path, NULL) && !ignore_may_reinclude(g->t->ignore, path))
			continue;
		r = glob_step(g, path, rest, depth + 1, err);
	}
	return r;
}

static int glob_step(struct globber *g, const char *base, const char *pattern, unsigned depth,
		     struct error *err)
{
	autoclose int fd = FD_NONE;
	struct str part;
	size_t n;
	int r;

	if (pattern[0] == '\0') {
		r = fs_open_in_root(g->t->fd, base[0] ? base : ".", O_PATH | O_NOFOLLOW, 0, &fd,
				    NULL);
		if (r == 0)
			*vec_push(&g->found) = base;
		return 0;
	}
	if (depth > TREE_DEPTH_MAX / 8)
		return error_set(err, ERR_INVALID, "pattern has too many components");
	n = strcspn(pattern, "/");
	part = (struct str){ pattern, n };
	pattern += n + (pattern[n] == '/');
	{
		autofree char *word = str_dup(part);

		/* In a pattern a backslash means something everywhere. */
		if (strpbrk(word, "*?[\\") != NULL)
			return glob_names(g, base, part, pattern, depth, err);
		return glob_step(g,
				 base[0] ? arena_format(g->arena, "%s/%s", base, word)
					 : arena_strdup(g->arena, word),
				 pattern, depth + 1, err);
	}
}

static int globber_end(struct globber *g, int r, const char ***ret, size_t *ret_n)
{
	if (r == 0) {
		*ret = arena_array(g->arena, g->found.len + 1, sizeof(**ret));
		for (size_t i = 0; i < g->found.len; i++)
			(*ret)[i] = g->found.at[i];
		*ret_n = g->found.len;
	}
	vec_release(&g->found);
	return r;
}

/* Where the wildcards begin must be there; what they match need not. Peer: BuildKit. */
static int check_base(const struct tree *t, const char *pattern, struct error *err)
{
	size_t n = 0, next = strcspn(pattern, "/");
	autoclose int fd = FD_NONE;
	autofree char *base = NULL;
	int r = 0;

	for (; pattern[next] == '/'; next = n + 1 + strcspn(pattern + n + 1, "/")) {
		autofree char *part = str_dup((struct str){ pattern, next });

		if (glob_has_magic(part))
			break;
		n = next;
	}
	base = str_dup((struct str){ pattern, n });
	if (n == 0)
		return 0;
	if (tree_hides(t, base, NULL) && !ignore_may_reinclude(t->ignore, base))
		r = -ERR_NOT_FOUND;
	if (r == 0)
		r = fs_open_in_root(t->fd, base, O_PATH, 0, &fd, err);
	return r < 0 ? not_found(t, base, r, err) : 0;
}

int tree_glob(const struct tree *t, struct arena *a, const char *pattern, const char ***ret,
	      size_t *ret_n, struct error *err)
{
	struct globber g = { .t = t, .arena = a };
	const char *path = tree_path(a, pattern);
	int r = 0;

	if (!glob_has_magic(path)) {
		*vec_push(&g.found) = path;
		return globber_end(&g, 0, ret, ret_n);
	}
	r = check_base(t, path, err);
	if (r == 0)
		r = glob_step(&g, "", path, 0, err);
	return globber_end(&g, r, ret, ret_n);
}

static int match_below(struct globber *g, const struct ignore *wanted, const char *base,
		       const char *rel, unsigned depth, struct error *err)
{
	const char *dir = base[0] && rel[0] ? arena_format(g->arena, "%s/%s", base, rel)
			  : base[0]         ? base
					    : rel;
	auto_(fs_names) names = { 0 };
	autoclose int fd = FD_NONE;
	int r = fs_open_in_root(g->t->fd, dir[0] ? dir : ".", O_RDONLY | O_DIRECTORY, 0, &fd, err);

	/* Wildcards before the pivot find files as well. */
	if (r == -ERR_NOT_FOUND && depth == 0)
		return 0;
	if (r == 0 && depth > TREE_DEPTH_MAX)
		r = error_set(err, ERR_INVALID, "'%s' is deeper than %d directories", dir,
			      TREE_DEPTH_MAX);
	if (r == 0)
		r = cancel_check(g->t->cancel, err);
	if (r == 0)
		r = fs_read_names(fd, &names, err);
	for (size_t i = 0; r == 0 && i < names.len; i++) {
		const char *below = rel[0] ? arena_format(g->arena, "%s/%s", rel, names.at[i])
					   : arena_strdup(g->arena, names.at[i]);
		const char *path = base[0] ? arena_format(g->arena, "%s/%s", base, below) : below;
		struct stat st;

		if (tree_hides(g->t, path, NULL) && !ignore_may_reinclude(g->t->ignore, path))
			continue;
		if (ignore_matches(wanted, below, NULL))
			*vec_push(&g->found) = path;
		else if (fstatat(fd, names.at[i], &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			 S_ISDIR(st.st_mode))
			r = match_below(g, wanted, base, below, depth + 1, err);
	}
	return r;
}

int tree_match(const struct tree *t, struct arena *a, const char *above, const char *pattern,
	       const char ***ret, size_t *ret_n, struct error *err)
{
	struct globber g = { .t = t, .arena = a };
	struct ignore wanted;
	const char **bases;
	size_t n;
	int r = ignore_compile(a, &pattern, 1, NULL, &wanted, err);

	if (r == 0)
		r = tree_glob(t, a, above, &bases, &n, err);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = match_below(&g, &wanted, bases[i], "", 0, err);
	return globber_end(&g, r, ret, ret_n);
}

static void hash_number(struct hash *h, uint64_t n)
{
	hash_add(h, &n, sizeof(n));
}

static void hash_text(struct hash *h, const char *s)
{
	size_t n = strlen(s);

	hash_number(h, n);
	hash_add(h, s, n);
}

static void hash_xattrs(struct hash *h, int fd)
{
	autofree char *names = NULL;
	ssize_t n = flistxattr(fd, NULL, 0);

	if (n <= 0 || n > XATTR_MAX)
		return;
	names = xcalloc((size_t)n + 1, 1);
	n = flistxattr(fd, names, (size_t)n);
	for (ssize_t at = 0; at < n; at += (ssize_t)strlen(names + at) + 1) {
		autofree char *value = xcalloc(XATTR_MAX, 1);
		ssize_t len;

		if (strcmp(names + at, "security.capability") != 0 &&
		    !cstr_starts(names + at, "user."))
			continue;
		len = fgetxattr(fd, names + at, value, XATTR_MAX);
		hash_text(h, names + at);
		hash_add(h, value, len > 0 ? (size_t)len : 0);
	}
}

static int hash_file(const struct tree *t, const struct tree_entry *e,
		     uint8_t out[static SHA256_SIZE], struct error *err)
{
	auto_(hash) h = { 0 };
	autofree char *buffer = NULL;
	autoclose int fd = FD_NONE;
	int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | (e->dirfd == AT_FDCWD ? 0 : O_NOFOLLOW);

	if (t->cache != NULL && stat_cache_get(t->cache, e->st, out))
		return 0;
	fd = openat(e->dirfd, e->name, flags);
	if (fd < 0)
		return error_sys(err, errno, "open '%s'", e->path);
	buffer = xcalloc(1, 1 << 16);
	hash_init_sha256(&h);
	hash_xattrs(&h, fd);
	for (;;) {
		ssize_t n = read(fd, buffer, 1 << 16);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_sys(err, errno, "read '%s'", e->path);
		if (n == 0)
			break;
		hash_add(&h, buffer, (size_t)n);
	}
	hash_finish(&h, out);
	if (t->cache != NULL)
		stat_cache_put(t->cache, e->st, out);
	return 0;
}

struct tree_hasher {
	const struct tree *t;
	struct hash *h;
	struct map links; /* "dev:ino" -> rel of the first name */
};

/* A second name of a file is copied as one: it counts. */
static void hash_second_name(struct tree_hasher *th, const struct tree_entry *e)
{
	char key[64];
	const char *first;

	if (e->st->st_nlink < 2 || e->rel[0] == '\0')
		return;
	snprintf(key, sizeof(key), "%llx:%llx", (unsigned long long)e->st->st_dev,
		 (unsigned long long)e->st->st_ino);
	first = map_get(&th->links, key);
	if (first == NULL) {
		map_set(&th->links, key, xstrdup(e->rel));
		return;
	}
	hash_text(th->h, "link");
	hash_text(th->h, first);
}

static int hash_entry(void *arg, const struct tree_entry *e, struct error *err)
{
	struct tree_hasher *th = arg;
	const struct stat *st = e->st;
	uint8_t content[SHA256_SIZE];
	char link[4096];
	ssize_t n;
	int r;

	hash_text(th->h, e->rel);
	/* A directory that is copied lends its contents, not itself. */
	if (e->rel[0] == '\0' && S_ISDIR(st->st_mode))
		return 0;
	hash_number(th->h, st->st_mode);
	hash_number(th->h, th->t->zero_owner ? 0 : st->st_uid);
	hash_number(th->h, th->t->zero_owner ? 0 : st->st_gid);
	if (S_ISREG(st->st_mode)) {
		hash_number(th->h, (uint64_t)st->st_size);
		r = hash_file(th->t, e, content, err);
		if (r < 0)
			return r;
		hash_add(th->h, content, sizeof(content));
		hash_second_name(th, e);
	} else if (S_ISLNK(st->st_mode)) {
		n = readlinkat(e->dirfd, e->name, link, sizeof(link) - 1);
		if (n < 0)
			return error_sys(err, errno, "read link '%s'", e->path);
		link[n] = '\0';
		hash_text(th->h, link);
	} else if (!S_ISDIR(st->st_mode)) {
		hash_number(th->h, st->st_rdev);
	}
	return 0;
}

int tree_hash(const struct tree *t, const char *path, const struct ignore *exclude,
	      const char *above, struct hash *h, struct error *err)
{
	struct tree_hasher th = { t, h, { .free_value = free } };
	int r = tree_walk(t, path, exclude, above, hash_entry, &th, err);

	map_release(&th.links);
	return r;
}
