/* archive/changes.c: docker diff: what an upper directory changes. See pack.h. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/pack.h"
#include "base/alloc.h"
#include "base/fs.h"
#include "base/fs_walk.h"
#include "base/overlay.h"
#include "base/str.h"
#include "base/vec.h"

struct change {
	char *path;
	bool deleted;
};

struct differ {
	const int *lowers;
	size_t n_lowers;
	VEC(struct change) found;
	VEC(char *) dirs; /* still to read, relative to the upper */
};

enum sight { ABSENT, PRESENT, HIDDEN };

/* What one layer says about a path: it has it, it hides it, or nothing. */
static enum sight look(int layer, const char *path)
{
	int at = openat(layer, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct str rest = str_of(path), part;
	enum sight sight = ABSENT;
	bool opaque = false;

	while (at >= 0 && str_split(&rest, '/', &part)) {
		char name[NAME_MAX + 1];
		struct stat st;
		int next;

		memcpy(name, part.at, part.len);
		name[part.len] = '\0';
		if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
			sight = opaque ? HIDDEN : ABSENT;
			break;
		}
		sight = overlay_is_whiteout(&st) ? HIDDEN : PRESENT;
		if (rest.at == NULL || rest.len == 0 || sight == HIDDEN)
			break;
		/* Something that is no directory hides what was below the name. */
		if (!S_ISDIR(st.st_mode)) {
			sight = HIDDEN;
			break;
		}
		next = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		close(at);
		at = next;
		opaque = opaque || (at >= 0 && overlay_is_opaque(at));
	}
	if (at >= 0)
		close(at);
	return sight;
}

static bool exists_below(const struct differ *d, const char *path)
{
	for (size_t i = 0; i < d->n_lowers; i++) {
		enum sight sight = look(d->lowers[i], path);

		if (sight != ABSENT)
			return sight == PRESENT;
	}
	return false;
}

static int read_dir(struct differ *d, int upper, const char *dir, struct error *err)
{
	autoclose int fd = FD_NONE;
	auto_(fs_names) names = { 0 };
	int r;

	r = fs_open_beneath(upper, *dir ? dir : ".", O_RDONLY | O_DIRECTORY, 0, &fd, err);
	if (r < 0)
		return r;
	r = fs_read_names(fd, &names, err);
	if (r < 0)
		return error_wrap(err, r, "'%s'", dir);
	for (size_t i = 0; i < names.len; i++) {
		char *path;
		struct stat st;

		if (fstatat(fd, names.at[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		path = cstr_format("%s%s%s", dir, *dir ? "/" : "", names.at[i]);
		*vec_push(&d->found) = (struct change){ path, overlay_is_whiteout(&st) };
		if (S_ISDIR(st.st_mode))
			*vec_push(&d->dirs) = xstrdup(path);
	}
	return 0;
}

/* '/' sorts before everything else, so that a directory's children follow it. */
static int compare_paths(const void *a, const void *b)
{
	const unsigned char *x = (const unsigned char *)((const struct change *)a)->path;
	const unsigned char *y = (const unsigned char *)((const struct change *)b)->path;

	while (*x && *x == *y) {
		x++;
		y++;
	}
	if (*x == '/' && *y)
		return *y == '/' ? 0 : -1;
	if (*y == '/' && *x)
		return 1;
	return *x - *y;
}

int pack_changes(int upperfd, const int *lowers, size_t n_lowers,
		 int (*fn)(void *arg, const char *path, enum change_kind kind, struct error *err),
		 void *arg, struct error *err)
{
	struct differ d = { .lowers = lowers, .n_lowers = n_lowers };
	int r = read_dir(&d, upperfd, "", err);

	while (r == 0 && d.dirs.len > 0) {
		autofree char *dir = d.dirs.at[--d.dirs.len];

		r = read_dir(&d, upperfd, dir, err);
	}
	if (d.found.len)
		qsort(d.found.at, d.found.len, sizeof(*d.found.at), compare_paths);
	vec_for_each (c, &d.found) {
		autofree char *absolute = cstr_format("/%s", c->path);
		bool below = r == 0 && exists_below(&d, c->path);

		/* A whiteout of what nobody has is a file that came and went. */
		if (r == 0 && (!c->deleted || below))
			r = fn(arg, absolute,
			       c->deleted ? CHANGE_DELETED
			       : below    ? CHANGE_MODIFIED
					  : CHANGE_ADDED,
			       err);
		free(c->path);
	}
	vec_release(&d.found);
	vec_for_each (dir, &d.dirs)
		free(*dir);
	vec_release(&d.dirs);
	return r;
}
