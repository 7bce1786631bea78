#include "build/place.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/macros.h"
#include "base/overlay.h"
#include "base/str.h"
#include "store/snapshot.h"

static int open_dir(int dirfd, const char *name)
{
	return openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = FD_NONE;
}

void place_close(struct place *p)
{
	close_one(&p->upper);
	close_one(&p->lower);
	close_one(&p->old);
}

/* A view of a single layer is that layer's directory, marks and all. */
static void drop_marks(int fd)
{
	static const char *const marks[] = {
		"trusted.overlay.opaque",     "trusted.overlay.origin",  "trusted.overlay.impure",
		"trusted.overlay.xwhiteouts", "user.overlay.opaque",     "user.overlay.origin",
		"user.overlay.impure",        "user.overlay.xwhiteouts",
	};

	for (size_t i = 0; i < ARRAY_LEN(marks); i++)
		(void)!fremovexattr(fd, marks[i]);
}

static void set_times(int fd, const struct stat *st)
{
	struct timespec times[2] = { st->st_atim, st->st_mtim };

	(void)!futimens(fd, times);
}

/* What overlay does to a directory that gets its first change. */
static int copy_up(const struct place *p, const char *name, int lower, int *ret_fd,
		   struct error *err)
{
	autoclose int fd = FD_NONE;
	struct stat st, parent;
	int r;

	if (fstat(lower, &st) < 0 || fstat(p->upper, &parent) < 0)
		return error_sys(err, errno, "stat '%s'", name);
	if (mkdirat(p->upper, name, 0700) < 0)
		return error_sys(err, errno, "create '%s'", name);
	fd = open_dir(p->upper, name);
	if (fd < 0)
		return error_sys(err, errno, "open '%s'", name);
	r = fs_copy_xattrs(lower, fd, true, err);
	if (r < 0)
		return r;
	drop_marks(fd);
	if (fchown(fd, st.st_uid, st.st_gid) < 0 || fchmod(fd, st.st_mode & 07777) < 0)
		return error_sys(err, errno, "set attributes of '%s'", name);
	set_times(fd, &st);
	set_times(p->upper, &parent);
	*ret_fd = steal_fd(&fd);
	return 0;
}

static int enter(const struct place *p, const char *name, struct place *ret, struct error *err)
{
	auto_(place) c = PLACE_INIT;
	int r = 0;

	if (p->lower >= 0)
		c.lower = open_dir(p->lower, name);
	if (p->old >= 0)
		c.old = open_dir(p->old, name);
	c.upper = open_dir(p->upper, name);
	if (c.upper >= 0) {
		if (overlay_is_opaque(c.upper))
			close_one(&c.lower);
	} else if (errno == ENOENT && c.lower >= 0) {
		r = copy_up(p, name, c.lower, &c.upper, err);
	} else {
		r = errno == ENOENT || errno == ENOTDIR
			? error_set(err, ERR_NOT_FOUND, "'%s' is not a directory", name)
			: error_sys(err, errno, "open '%s'", name);
	}
	if (r < 0)
		return r;
	*ret = c;
	c = (struct place)PLACE_INIT;
	return 0;
}

static int duplicate(int fd, int *ret, struct error *err)
{
	*ret = fd < 0 ? FD_NONE : fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return fd >= 0 && *ret < 0 ? error_sys(err, errno, "duplicate directory") : 0;
}

int place_open_below(const struct place *p, const char *path, struct place *ret, struct error *err)
{
	auto_(place) at = PLACE_INIT;
	struct str rest = str_of(path), part;
	int r = duplicate(p->upper, &at.upper, err);

	if (r == 0)
		r = duplicate(p->lower, &at.lower, err);
	if (r == 0)
		r = duplicate(p->old, &at.old, err);
	while (r == 0 && str_split(&rest, '/', &part)) {
		autofree char *name = str_dup(part);
		struct place next;

		if (part.len == 0)
			continue;
		r = enter(&at, name, &next, err);
		if (r == 0) {
			place_close(&at);
			at = next;
		}
	}
	if (r < 0)
		return r;
	*ret = at;
	at = (struct place)PLACE_INIT;
	return 0;
}

int place_open(int upper_fd, int lower_fd, int old_fd, const char *path, struct place *ret,
	       struct error *err)
{
	const struct place top = { upper_fd, lower_fd, old_fd };

	return place_open_below(&top, path, ret, err);
}

/* 0: there is nothing of that name; a mode otherwise. */
static int look(const struct place *p, const char *name, mode_t *ret_mode, bool *ret_above,
		struct error *err)
{
	struct stat st;

	*ret_mode = 0;
	*ret_above = fstatat(p->upper, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
	if (!*ret_above && errno != ENOENT)
		return error_sys(err, errno, "stat '%s'", name);
	if (*ret_above) {
		/* A whiteout hides what is below. */
		if (!overlay_is_whiteout(&st))
			*ret_mode = st.st_mode;
		return 0;
	}
	if (p->lower >= 0 && fstatat(p->lower, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		*ret_mode = st.st_mode;
	return 0;
}

/* What a whiteout has hidden stays hidden. */
static int hide_below(int dirfd, const char *name, struct error *err)
{
	autoclose int fd = open_dir(dirfd, name);
	const char *mark =
	    snapshots_need_userxattr() ? "user.overlay.opaque" : "trusted.overlay.opaque";

	if (fd < 0 || fsetxattr(fd, mark, "y", 1, 0) < 0)
		return error_sys(err, errno, "hide what is below '%s'", name);
	return 0;
}

int place_mkdir(const struct place *p, const char *name, const char *path, bool *ret_made,
		struct error *err)
{
	bool above;
	mode_t mode;
	int r = look(p, name, &mode, &above, err);

	if (r < 0)
		return r;
	*ret_made = mode == 0;
	if (mode != 0 && !S_ISDIR(mode))
		return error_set(err, ERR_INVALID, "cannot copy to non-directory: %s", path);
	if (mode != 0)
		return 0;
	if (above && unlinkat(p->upper, name, 0) < 0)
		return error_sys(err, errno, "remove '%s'", path);
	if (mkdirat(p->upper, name, 0700) < 0)
		return error_sys(err, errno, "create '%s'", path);
	return above ? hide_below(p->upper, name, err) : 0;
}

int place_clear(const struct place *p, const char *name, const char *path, struct error *err)
{
	bool above;
	mode_t mode;
	int r = look(p, name, &mode, &above, err);

	if (r < 0)
		return r;
	if (S_ISDIR(mode))
		return error_set(err, ERR_INVALID, "cannot replace to directory %s with file",
				 path);
	if (above && unlinkat(p->upper, name, 0) < 0)
		return error_sys(err, errno, "remove '%s'", path);
	return 0;
}
