/* archive/apply_impl.h: what layer applier and extractor share. Private to archive. */
#pragma once

#include "archive/apply.h"
#include "archive/tar.h"
#include "base/buf.h"
#include "base/vec.h"

#define APPLY_PIECE    (128 * 1024)
#define LATE_BYTES_MAX (16U << 20)

struct late_dir {
	char *path;
	int64_t mtime_ns;
};

/* One run over a tar. Names are always a directory fd and one component. */
struct applier {
	int rootfd;
	struct tar_reader *tar;
	const struct cancel *cancel;
	bool layer; /* else extract */
	bool userxattr, no_owner, skip_devices;
	const struct extract_options *extract; /* NULL for layers */
	const char *dest;                      /* extract: below rootfd */
	uint64_t max_bytes, charged;
	bool max_is_room; /* max_bytes is what the disk has left */
	struct apply_stats stats;
	/* The directory worked in last: most entries are in the same as the one before. */
	int parent;
	char *parent_path;
	/* Times of directories, set when nothing below them changes any more. */
	VEC(struct late_dir) dirs;
	size_t dirs_bytes; /* what they take; a hostile tar has millions with long names */
	char *piece;       /* APPLY_PIECE */
	char *whole;       /* EXTRACT_WHOLE_MAX, when the watch places files */
	bool have_whole;   /* the present entry's data is in there, and was seen */
};

/* Clean relative path into out: no leading '/', no '.' parts; "" is the root.
 * ERR_INVALID for "..", over-long paths and names. */
MUST_CHECK int apply_clean_path(const char *path, struct buf *out, struct error *err);
/* Directory fd of `path` (clean), made when absent; borrowed until the next call. */
MUST_CHECK int apply_parent(struct applier *a, const char *path, int *ret, struct error *err);
void apply_forget_parent(struct applier *a);
/* Put one entry at dir/name, replacing what is there. */
MUST_CHECK int apply_place(struct applier *a, const struct tar_entry *e, const char *path, int dir,
			   const char *name, struct error *err);
/* Directory `fd` at `path` gets its time in the end; past a ceiling at once, which what comes
 * into it later may change. */
void apply_late_time(struct applier *a, const char *path, int fd, int64_t mtime_ns);
void apply_times(int64_t ns, struct timespec times[2]);
/* Owner, mode, xattrs of an open file or directory. */
MUST_CHECK int apply_attributes(struct applier *a, const struct tar_entry *e, int fd,
				struct error *err);
MUST_CHECK int apply_all(struct applier *a, struct error *err);
void apply_release(struct applier *a);
