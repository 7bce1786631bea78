/* build/outputs.c: what was built, as a file or directory of the client's. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "archive/pack.h"
#include "base/fs.h"
#include "build/build_internal.h"
#include "image/archive.h"

struct local {
	int fd;
};

static int copy_out(void *arg, const struct tree_entry *e, struct error *err)
{
	const struct local *l = arg;
	const char *slash = strrchr(e->rel, '/');
	autoclose int dir = FD_NONE;
	int r;

	if (e->rel[0] == '\0')
		return 0;
	if (S_ISDIR(e->st->st_mode)) {
		if (mkdirat(l->fd, e->rel, e->st->st_mode & 07777) < 0 && errno != EEXIST)
			return error_sys(err, errno, "create '%s'", e->rel);
		return 0;
	}
	{
		autofree char *parent =
		    str_dup((struct str){ e->rel, slash ? (size_t)(slash - e->rel) : 0 });

		r = fs_open_beneath(l->fd, parent[0] ? parent : ".", O_RDONLY | O_DIRECTORY, 0,
				    &dir, err);
	}
	if (r < 0)
		return r;
	if (unlinkat(dir, slash ? slash + 1 : e->rel, 0) < 0 && errno != ENOENT)
		return error_sys(err, errno, "replace '%s'", e->rel);
	return fs_copy_tree(e->dirfd, e->name, dir, slash ? slash + 1 : e->rel, FS_COPY_TIMES, err);
}

static int output_local(struct build *b, const struct build_place *o, struct error *err)
{
	struct tree tree = { .what = "result", .cancel = b->cancel };
	struct local l = { o->fd };
	autoclose int view = FD_NONE;
	int r = rootfs_view(b, b->graph.target->tip, &view, err);

	if (r < 0)
		return r;
	tree.fd = view;
	return tree_walk(&tree, "", NULL, copy_out, &l, err);
}

static int output_tar(struct build *b, const struct build_place *o, struct error *err)
{
	struct pack_options options = { .no_root_entry = true, .cancel = b->cancel };
	autoclose int view = FD_NONE;
	struct pack_stats stats;
	struct fd_writer w;
	int r = rootfs_view(b, b->graph.target->tip, &view, err);

	if (r < 0)
		return r;
	fd_writer_init(&w, o->fd, b->cancel);
	return pack_tree(view, ".", &w.writer, &options, &stats, err);
}

static int output_archive(struct build *b, const struct build_place *o, const char *id,
			  struct error *err)
{
	const char *names[2] = { b->q->tags && b->q->tags[0] ? b->q->tags[0] : id, NULL };
	struct fd_writer w;

	fd_writer_init(&w, o->fd, b->cancel);
	return image_save(b->builder->cfg.store, names, 1, b->cancel, &w.writer, err);
}

int export_outputs(struct build *b, const char *id, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < b->q->n_outputs; i++) {
		const struct build_place *o = &b->q->outputs[i];

		if (strcmp(o->type, "image") == 0)
			continue;
		if (o->fd < 0)
			return error_set(err, ERR_INVALID, "output type %s needs a destination",
					 o->type);
		if (strcmp(o->type, "local") == 0)
			r = output_local(b, o, err);
		else if (strcmp(o->type, "tar") == 0)
			r = output_tar(b, o, err);
		else if (strcmp(o->type, "docker") == 0 || strcmp(o->type, "oci") == 0)
			r = output_archive(b, o, id, err);
		else
			r = error_set(err, ERR_UNIMPLEMENTED, "output type %s is not supported yet",
				      o->type);
	}
	return r;
}
