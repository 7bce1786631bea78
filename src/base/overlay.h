/*
 * base/overlay.h: how the kernel's overlayfs marks in an upper directory what the
 * directories below it no longer show.
 */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

/* Something of this name below is hidden: a character device 0:0. */
bool overlay_is_whiteout(const struct stat *st);
/*
 * Everything below this directory is hidden: the xattr is "y". (Linux 6.7 writes "x" where a
 * directory only has whiteouts that are xattrs.)
 *
 * dirfd  a directory that may be read
 */
bool overlay_is_opaque(int dirfd);
