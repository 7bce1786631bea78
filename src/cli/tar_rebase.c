/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/tar_rebase.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/str.h"

enum { READY_MAX = 4 << 20, CHUNK = 64 << 10 };

static const char *skip_dots(const char *p)
{
	while (p[0] == '/' || (p[0] == '.' && (p[1] == '/' || !p[1])))
		p++;
	return p;
}

/* The path below the old root, moved below the new one; NULL: leave it out. */
static char *rename_path(struct tar_rebase *t, const char *path)
{
	const char *rest = path;
	size_t n;

	if (!t->root) {
		n = strcspn(path, "/");
		t->root = str_dup((struct str){ path, n });
	}
	n = strlen(t->root);
	if (strncmp(path, t->root, n) == 0 && (path[n] == '/' || !path[n]))
		rest = path + n;
	rest = skip_dots(rest);
	if (strcmp(t->name, ".") == 0)
		return *rest ? xstrdup(rest) : NULL;
	return *rest ? cstr_format("%s/%s", t->name, rest) : xstrdup(t->name);
}

static int entry_next(struct tar_rebase *t, struct error *err)
{
	const struct tar_entry *e = NULL;
	autofree char *path = NULL, *link = NULL;
	struct tar_entry renamed;
	int r = tar_reader_next(t->from, &e, err);

	if (r < 0)
		return r;
	if (!e) {
		t->ended = true;
		return tar_writer_finish(&t->writer, err);
	}
	path = rename_path(t, e->path);
	if (!path)
		return 0;
	renamed = *e;
	renamed.path = path;
	renamed.extents = NULL;
	renamed.n_extents = 0;
	if (e->type == TAR_HARDLINK) {
		link = rename_path(t, e->link);
		renamed.link = link ? link : e->link;
	}
	t->in_data = e->type == TAR_FILE;
	return tar_writer_entry(&t->writer, &renamed, err);
}

static int data_next(struct tar_rebase *t, struct error *err)
{
	char bytes[CHUNK];
	size_t n = 0;
	int r = reader_read(tar_reader_stream(t->from), bytes, sizeof(bytes), &n, err);

	if (r == 0 && n == 0)
		t->in_data = false;
	return r == 0 && n > 0 ? tar_writer_data(&t->writer, bytes, n, err) : r;
}

static int rebase_read(struct reader *reader, void *out, size_t len, size_t *ret_n,
		       struct error *err)
{
	struct tar_rebase *t = container_of(reader, struct tar_rebase, reader);

	while (t->at == t->ready.len && !t->ended) {
		int r;

		t->at = t->ready.len = 0;
		r = t->in_data ? data_next(t, err) : entry_next(t, err);
		if (r < 0)
			return r;
	}
	*ret_n = t->ready.len - t->at < len ? t->ready.len - t->at : len;
	if (*ret_n)
		memcpy(out, t->ready.data + t->at, *ret_n);
	t->at += *ret_n;
	return 0;
}

static const struct reader_ops rebase_ops = { rebase_read };

void tar_rebase_init(struct tar_rebase *t, struct reader *from, const char *name)
{
	memset(t, 0, sizeof(*t));
	t->reader.ops = &rebase_ops;
	t->ready.max = READY_MAX;
	t->from = tar_reader_new(from);
	t->name = name;
	buf_writer_init(&t->to, &t->ready);
	t->writer.to = &t->to.writer;
}

void tar_rebase_release(struct tar_rebase *t)
{
	tar_reader_free(t->from);
	buf_release(&t->ready);
	free(steal_ptr(t->root));
}
