/*
 * base/fs_walk.h: visit a tree that somebody else made, of any depth.
 *
 * Holds one directory fd whatever the depth: goes down by name without
 * following symlinks or crossing mounts, and comes back by ".." only when that
 * is still the directory it came from (else ERR_CONFLICT).
 */
#pragma once

#include <sys/stat.h>

#include "base/auto.h"
#include "base/error.h"

struct fs_names {
	char **at;
	size_t len, cap;
};
void fs_names_release(struct fs_names *n);
DEFINE_AUTO(fs_names, fs_names_release);
/*
 * The names in an open directory but "." and "..", sorted bytewise; heap. Half a
 * directory never passes for the whole: a read that fails is ERR_SYSTEM.
 */
MUST_CHECK int fs_read_names(int dirfd, struct fs_names *ret, struct error *err);

struct walk_ops {
	/* A directory was opened; may be NULL. name as in its parent. */
	int (*enter)(void *arg, int parent_fd, const char *name, int fd, struct error *err);
	/* Something that is not a directory. */
	int (*entry)(void *arg, int dirfd, const char *name, struct error *err);
	/* All below fd is done; may be NULL. */
	int (*leave)(void *arg, int parent_fd, const char *name, int fd, struct error *err);
};

/*
 * Visit dirfd/name and all below it. name is one component.
 * ERR_NOT_FOUND when it is absent, ERR_CONFLICT at a mount point or when the
 * tree is changed meanwhile; an op's error ends the walk.
 */
MUST_CHECK int fs_walk(int dirfd, const char *name, const struct walk_ops *ops, void *arg,
		       struct error *err);
