/* build/context.c: what the client gave, as directories. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "archive/apply.h"
#include "archive/compress.h"
#include "base/alloc.h"
#include "base/fs.h"
#include "base/vec.h"
#include "build/build_internal.h"
#include "build/git.h"
#include "build/known.h"
#include "remote/download.h"

#define IGNORE_FILE_MAX   (4U << 20)
#define CONTEXT_MAX_BYTES (64ULL << 30)

/* What arrives is hashed on the way: it need not be read again for the key. */
struct arrival {
	struct stat_cache *cache;
	struct known *known; /* NULL: everything is written */
	struct hash hash;    /* of the file that is being read */
	uint8_t sum[SHA256_SIZE];
	bool summed; /* it is all there, and this is its sum */
	bool lent;   /* by a layer; this is its own time */
	int64_t mtime_ns;
	struct opened_context *context;
};

static void arrival_data(void *arg, const void *bytes, size_t len)
{
	struct arrival *a = arg;

	hash_add(&a->hash, bytes, len);
}

static const uint8_t *arrival_sum(struct arrival *a)
{
	if (!a->summed) {
		hash_finish(&a->hash, a->sum);
		hash_release(&a->hash);
		hash_init_sha256(&a->hash);
	}
	a->summed = true;
	return a->sum;
}

static void arrival_end(void *arg, const struct stat *st)
{
	struct arrival *a = arg;

	stat_cache_put(a->cache, st, arrival_sum(a));
	if (a->lent)
		*vec_push(&a->context->lent) = (struct lent_file){ st->st_ino, a->mtime_ns };
	a->summed = a->lent = false;
}

static bool arrival_place(void *arg, int dir, const char *name, uint64_t size, mode_t mode,
			  int64_t mtime_ns)
{
	struct arrival *a = arg;

	a->lent = known_link(a->known, arrival_sum(a), size, mode, dir, name);
	a->mtime_ns = mtime_ns;
	return a->lent;
}

static const struct extract_watch arrival_watch = { arrival_data, arrival_end, NULL };
static const struct extract_watch known_watch = { arrival_data, arrival_end, arrival_place };

static void name_directory(struct build *b, struct opened_context *o)
{
	snprintf(o->dirname, sizeof(o->dirname), "context-%s-%zu", b->id, b->n_contexts);
}

/* A directory is itself; a stream is told by where it came from or what it is built for. */
static char *origin_of(const struct build *b, const struct build_context *c,
		       const struct opened_context *o)
{
	const char *tag = b->q->tags && b->q->tags[0] ? b->q->tags[0] : "";
	struct stat st;

	if (c->fd < 0)
		return cstr_format("%s %s %s", c->name, c->remote ? c->remote : "", tag);
	if (fstat(o->fd, &st) < 0)
		return NULL;
	return cstr_format("%s %llx:%llx", c->name, (unsigned long long)st.st_dev,
			   (unsigned long long)st.st_ino);
}

/* Owners of contexts never count. */
static int unpack_context(struct build *b, const struct build_context *c, struct opened_context *o,
			  struct error *err)
{
	autofree char *origin = origin_of(b, c, o);
	struct arrival arrival = { .context = o };
	struct extract_options options = {
		.cancel = b->cancel, .chown = true, .watch = &arrival_watch, .watch_arg = &arrival
	};
	struct decompressor *d = NULL;
	struct apply_stats stats = { 0 };
	int r;

	name_directory(b, o);
	if (mkdirat(b->builder->dir_fd, o->dirname, 0700) < 0)
		return error_sys(err, errno, "create '%s'", o->dirname);
	o->unpacked = true;
	r = fs_open_beneath(b->builder->dir_fd, o->dirname, O_RDONLY | O_DIRECTORY, 0, &o->fd, err);
	arrival.cache = o->cache = stat_cache_new();
	hash_init_sha256(&arrival.hash);
	/* The files of layers do not have the client's times. */
	if (r == 0 && !b->q->no_cache && !b->q->real_times) {
		arrival.known = known_new(b->builder->cfg.store, origin, b->lease.id);
		options.watch = &known_watch;
	}
	if (r == 0)
		r = decompressor_new(c->tar, &d, err);
	if (r == 0)
		r = archive_extract(o->fd, ".", decompressor_reader(d), &options, &stats, err);
	decompressor_free(d);
	known_free(arrival.known);
	hash_release(&arrival.hash);
	o->single = stats.hard_links == 0;
	if (r == -ERR_CORRUPT) /* the client's own */
		r = -(int)(err->kind = ERR_INVALID);
	return r < 0 ? error_wrap(err, r, "read build context") : 0;
}

/* What a URL gives: an archive is the context, a text is its Dockerfile. */
static int use_download(struct build *b, const char *url, struct opened_context *o, int fd,
			struct error *err)
{
	struct build_context c = { .name = o->name, .remote = url, .fd = FD_NONE };
	autoclose int to = FD_NONE;
	struct fd_reader from;
	int r;

	fd_reader_init(&from, fd, b->cancel);
	c.tar = &from.reader;
	if (archive_is(fd))
		return unpack_context(b, &c, o, err);
	name_directory(b, o);
	if (mkdirat(b->builder->dir_fd, o->dirname, 0700) < 0)
		return error_sys(err, errno, "create '%s'", o->dirname);
	o->unpacked = true;
	r = fs_open_beneath(b->builder->dir_fd, o->dirname, O_RDONLY | O_DIRECTORY, 0, &o->fd, err);
	if (r == 0)
		r = fs_open_beneath(o->fd, "Dockerfile", O_WRONLY | O_CREAT | O_EXCL, 0600, &to,
				    err);
	return r < 0 ? r : fs_copy_data(fd, to, err);
}

static int download_context(struct build *b, const char *url, struct opened_context *o,
			    struct error *err)
{
	autofree char *file = cstr_format("context-%s-download", b->id), *name = NULL;
	autoclose int fd = FD_NONE;
	struct fd_writer w;
	int r =
	    fs_open_beneath(b->builder->dir_fd, file, O_RDWR | O_CREAT | O_EXCL, 0600, &fd, err);

	if (r < 0)
		return r;
	(void)!unlinkat(b->builder->dir_fd, file, 0);
	fd_writer_init(&w, fd, b->cancel);
	r = remote_download(url, CONTEXT_MAX_BYTES, b->cancel, &w.writer, &name, err);
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = error_sys(err, errno, "seek");
	return r < 0 ? error_wrap(err, r, "remote context") : use_download(b, url, o, fd, err);
}

static int remote_context(struct build *b, const char *url, struct opened_context *o,
			  struct error *err)
{
	struct git_url git;
	int r;

	if (!git_is_url(url))
		return download_context(b, url, o, err);
	r = git_url_parse(&b->arena, url, &git, err);
	if (r < 0)
		return r;
	name_directory(b, o);
	o->unpacked = true;
	return git_checkout(b->builder->cfg.dir, o->dirname, &git, true, git.keep_git_dir > 0,
			    b->cancel, &o->fd, err);
}

static int read_text(int fd, const char *path, struct buf *b, struct error *err)
{
	int r = fs_read_in_root(fd, path, b, err);

	return r == -ERR_NOT_FOUND ? 0 : r;
}

/* "<dockerfile>.dockerignore" beside the Dockerfile wins over ".dockerignore". */
static int load_ignore(struct build *b, struct opened_context *o, struct error *err)
{
	auto_(buf) text = BUF_INIT(IGNORE_FILE_MAX);
	const char **patterns;
	unsigned *lines;
	size_t n;
	int r = 0;

	if (b->q->ignore_text != NULL) {
		r = buf_add(&text, b->q->ignore_text->at, b->q->ignore_text->len, err);
	} else {
		autofree char *own = cstr_format("%s.dockerignore", b->q->dockerfile);

		if (b->q->dockerfile_text == NULL)
			r = read_text(o->fd, own, &text, err);
		if (r == 0 && text.data == NULL)
			r = read_text(o->fd, ".dockerignore", &text, err);
	}
	if (r < 0)
		return error_wrap(err, r, "read .dockerignore");
	patterns = ignore_read(&b->arena, (struct str){ text.data ? text.data : "", text.len }, &n,
			       &lines);
	o->patterns = patterns;
	o->n_patterns = n;
	r = ignore_compile(&b->arena, patterns, n, lines, &o->ignore, err);
	return r < 0 ? error_wrap(err, r, "error checking context") : 0;
}

static int open_context(struct build *b, const struct build_context *c, struct error *err)
{
	struct opened_context *o = &b->contexts[b->n_contexts++];
	bool main = c->name[0] == '\0';
	int r = 0;

	*o = (struct opened_context){ .name = c->name, .fd = FD_NONE, .image = c->image };
	if (c->layout) {
		bool was_here = true;

		r = layout_image(b, c, &o->loaded, &was_here, err);
		if (r < 0)
			return error_wrap(err, r, "named context %s", c->name);
		o->image = arena_strdup(&b->arena, o->loaded);
		if (was_here)
			free(steal_ptr(o->loaded));
		return 0;
	}
	if (c->fd >= 0) {
		o->fd = fcntl(c->fd, F_DUPFD_CLOEXEC, 3);
		if (o->fd < 0)
			return error_sys(err, errno, "open build context");
	} else if (c->tar != NULL) {
		r = unpack_context(b, c, o, err);
	} else if (c->remote != NULL) {
		r = remote_context(b, c->remote, o, err);
	} else if (c->image == NULL) {
		r = fs_open_beneath(b->builder->dir_fd, "empty", O_RDONLY | O_DIRECTORY, 0, &o->fd,
				    err);
	}
	if (r < 0 || c->image != NULL)
		return r;
	if (main)
		r = load_ignore(b, o, err);
	if (c->fd >= 0)
		o->cache = stat_cache_load(b->builder->cfg.store->db, o->fd);
	o->origin = origin_of(b, c, o);
	o->tree = (struct tree){
		.fd = o->fd,
		.what = main ? "build context" : "named context",
		.ignore = main ? &o->ignore : NULL,
		.zero_owner = true,
		.ours = o->unpacked,
		.single = o->single,
		.cache = o->cache,
		.cancel = b->cancel,
	};
	return r;
}

int contexts_open(struct build *b, struct error *err)
{
	int r = 0;

	b->contexts = xcalloc(b->q->n_contexts + 1, sizeof(*b->contexts));
	for (size_t i = 0; r == 0 && i < b->q->n_contexts; i++)
		r = open_context(b, &b->q->contexts[i], err);
	return r;
}

void contexts_close(struct build *b)
{
	for (size_t i = 0; i < b->n_contexts; i++) {
		struct opened_context *o = &b->contexts[i];

		if (o->cache != NULL)
			(void)!stat_cache_save(o->cache, NULL);
		stat_cache_free(o->cache);
		free(o->origin);
		vec_release(&o->lent);
		if (o->fd >= 0)
			close(o->fd);
		if (o->unpacked)
			(void)!fs_remove_tree(b->builder->dir_fd, o->dirname, NULL);
		if (o->loaded != NULL)
			image_forget(b->builder->cfg.store, o->loaded);
		free(o->loaded);
	}
	free(b->contexts);
	b->contexts = NULL;
	b->n_contexts = 0;
}

struct opened_context *context_find(struct build *b, const char *name)
{
	for (size_t i = 0; i < b->n_contexts; i++) {
		if (strcmp(b->contexts[i].name, name) == 0)
			return &b->contexts[i];
	}
	return NULL;
}

int source_open(struct build *b, const struct source *s, struct source_tree *ret, struct error *err)
{
	struct opened_context *o;
	int r;

	if (s->node != NULL) {
		r = rootfs_view(b, s->node, &ret->view_fd, err);
		if (r < 0)
			return r;
		ret->tree =
		    (struct tree){ .fd = ret->view_fd, .what = "stage", .cancel = b->cancel };
		return 0;
	}
	o = context_find(b, s->context);
	if (o == NULL || o->fd < 0)
		return error_set(err, ERR_INVALID, "there is no build context");
	*ret = (struct source_tree){ .tree = o->tree, .view_fd = FD_NONE };
	return 0;
}
