/*
 * base/fs.h: file operations relative to a directory fd.
 *
 * The one place where proa resolves paths that somebody else wrote (security
 * rule: no open, mkdir, mount, chown, unlink or rename on a joined string
 * anywhere else). fds are O_CLOEXEC at birth. `dirfd` is borrowed, AT_FDCWD is
 * allowed where a path of the operator's own is opened.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"

/*
 * Replace dirfd/name by `len` bytes so that after a crash a reader finds
 * either the old bytes or the new ones, whole.
 *
 * dirfd  borrowed; the directory that holds the file
 * name   one path component, no '/'
 * mode   permission bits of the new file
 *
 * Order on disk: data, fsync(file), rename, fsync(directory).
 * Fails with ERR_INVALID for a bad name, ERR_SYSTEM otherwise; on failure the
 * old file is untouched and no temporary file is left.
 */
MUST_CHECK int fs_replace(int dirfd, const char *name, mode_t mode, const void *bytes, size_t len,
			  struct error *err);

/*
 * Open `path` under `rootfd` as the container would see it: absolute paths and
 * symlinks are resolved inside the root (openat2 RESOLVE_IN_ROOT |
 * RESOLVE_NO_MAGICLINKS); it can never leave it.
 *
 * flags  open(2) flags; O_CLOEXEC is added. mode for O_CREAT.
 * ERR_NOT_FOUND for ENOENT and ENOTDIR, ERR_INVALID for ENAMETOOLONG, ERR_SYSTEM otherwise.
 */
MUST_CHECK int fs_open_in_root(int rootfd, const char *path, int flags, mode_t mode, int *ret_fd,
			       struct error *err);
/* Same, but any symlink in the path is ERR_INVALID, and ".." is refused
 * (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS). */
MUST_CHECK int fs_open_beneath(int rootfd, const char *path, int flags, mode_t mode, int *ret_fd,
			       struct error *err);
/* Plain open of an operator's own path (config files, data roots): O_CLOEXEC added. */
MUST_CHECK int fs_open(const char *path, int flags, mode_t mode, int *ret_fd, struct error *err);

/*
 * Where `path` leads inside rootfd: absolute, clean, every symlink followed as a
 * container would, also one to what does not exist. Components that are absent
 * stay as they are. *ret owned. Names only: open what it says with fs_open_in_root.
 * ERR_INVALID after 255 symlinks, or when it is longer than PATH_MAX.
 */
MUST_CHECK int fs_resolve_in_root(int rootfd, const char *path, char **ret, struct error *err);

/* mkdir -p of `path` inside rootfd, following symlinks inside the root as a
 * container would (where one leads to nothing, that is made); new directories
 * get `mode` and uid:gid. *ret_fd (may be NULL) is an O_PATH fd of the last one. */
MUST_CHECK int fs_mkdir_all_in_root(int rootfd, const char *path, mode_t mode, uid_t uid, gid_t gid,
				    int *ret_fd, struct error *err);
/* mkdir -p of an operator's own path. Existing directories are fine. */
MUST_CHECK int fs_mkdir_all(const char *path, mode_t mode, struct error *err);

/* Whole regular file, at most b's ceiling; FIFOs and devices are refused with
 * ERR_INVALID without blocking. path is resolved as in fs_open_in_root. */
MUST_CHECK int fs_read_in_root(int rootfd, const char *path, struct buf *b, struct error *err);
/* Whole file at an operator's own path (also /proc and /sys). */
MUST_CHECK int fs_read_file(const char *path, struct buf *b, struct error *err);
/* Whole file dirfd/name, one component, no symlink. */
MUST_CHECK int fs_read_at(int dirfd, const char *name, struct buf *b, struct error *err);
MUST_CHECK int fs_write_all(int fd, const void *bytes, size_t len, struct error *err);

/*
 * An unnamed file in dirfd (O_TMPFILE, else a temporary name), later given a
 * name that must not exist: fs_tmpfile_link fails with ERR_CONFLICT when it does.
 */
struct fs_tmpfile {
	int fd;
	char name[64]; /* "" when unnamed */
};
#define FS_TMPFILE_INIT \
	{ \
		.fd = FD_NONE \
	}
MUST_CHECK int fs_tmpfile_open(int dirfd, mode_t mode, struct fs_tmpfile *ret, struct error *err);
MUST_CHECK int fs_tmpfile_link(struct fs_tmpfile *t, int from_dirfd, int to_dirfd, const char *name,
			       struct error *err);
void fs_tmpfile_drop(struct fs_tmpfile *t, int dirfd);

/*
 * Remove dirfd/name and all below it. Never follows a symlink, never crosses a
 * mount point (ERR_CONFLICT), survives trees deeper than PATH_MAX, and does
 * not mind an absent name or files that come while it works. name is one component.
 */
MUST_CHECK int fs_remove_tree(int dirfd, const char *name, struct error *err);

/* Data of a regular file: reflink, else copy_file_range, else read/write; holes kept. */
MUST_CHECK int fs_copy_data(int from_fd, int to_fd, struct error *err);
enum fs_copy_flags {
	FS_COPY_OWNER = 1 << 0, /* uid, gid */
	FS_COPY_TIMES = 1 << 1,
	FS_COPY_XATTRS = 1 << 2,
};
/* Copy from_dirfd/from_name (file, directory with all below it, symlink, device,
 * FIFO; hard links kept within the tree) to to_dirfd/to_name, which must not exist. */
MUST_CHECK int fs_copy_tree(int from_dirfd, const char *from_name, int to_dirfd,
			    const char *to_name, unsigned flags, struct error *err);
/* All xattrs of one open file to another; those the target refuses are skipped
 * when `lenient`. */
MUST_CHECK int fs_copy_xattrs(int from_fd, int to_fd, bool lenient, struct error *err);

MUST_CHECK int fs_sync_dir(int dirfd, struct error *err);
/*
 * Take the lock (flock) of an open file or directory for this process alone; its close
 * drops it. Whoever was killed holds it until the kernel has taken it down, which is some
 * hundred milliseconds with many threads: a successor waits two seconds. ERR_UNAVAILABLE
 * when another process keeps it.
 */
MUST_CHECK int fs_lock(int fd, struct error *err);
/* Sum of st_blocks*512 of everything below dirfd/name, hard links once. */
MUST_CHECK int fs_disk_usage(int dirfd, const char *name, uint64_t *ret_bytes, struct error *err);
/* The same without the directories: 0 for a tree of empty ones. */
MUST_CHECK int fs_content_size(int dirfd, const char *name, uint64_t *ret_bytes, struct error *err);
/* Lexical cleaning as Go's path.Clean; result owned by the caller. */
char *fs_path_clean(const char *path);
bool fs_is_component(const char *name); /* not "", ".", "..", no '/' */
/* Path below /proc/self/fd for calls that take only paths. */
#define FS_PROC_FD_MAX 32
void fs_proc_fd_path(int fd, char out[static FS_PROC_FD_MAX]);
