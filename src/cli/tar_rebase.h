/*
 * cli/tar_rebase.h: a tar read through with another name for its root.
 */
#pragma once

#include "archive/tar.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/stream.h"

struct tar_rebase {
	struct reader reader; /* the new tar */
	/* private */
	struct tar_reader *from;
	struct buf_writer to;
	struct tar_writer writer;
	struct buf ready;
	size_t at;
	char *root;       /* first component of the first entry */
	const char *name; /* what it becomes; "." = its contents alone */
	bool in_data, ended;
};

/* `from` and `name` are borrowed. */
void tar_rebase_init(struct tar_rebase *t, struct reader *from, const char *name);
void tar_rebase_release(struct tar_rebase *t);
