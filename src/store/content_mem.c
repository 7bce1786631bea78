/* store/content_mem.c: content in memory files, for tests. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/lock.h"
#include "base/map.h"
#include "store/content_impl.h"

struct mem_blob {
	struct digest digest;
	uint64_t size;
	int fd;
};

struct content_mem {
	struct content_store store;
	struct lock lock;
	struct map blobs;    /* digest text -> struct mem_blob */
	struct map partials; /* digest text -> struct mem_blob */
};

struct mem_writer {
	struct content_writer w;
	struct content_mem *store;
	int fd;
};

static void blob_free(void *p)
{
	struct mem_blob *b = p;

	close(b->fd);
	free(b);
}

static int mem_open(struct content_store *s, const struct digest *d, int *ret_fd,
		    uint64_t *ret_size, struct error *err)
{
	struct content_mem *c = container_of(s, struct content_mem, store);
	char text[DIGEST_TEXT_MAX], proc[FS_PROC_FD_MAX];
	const struct mem_blob *b;

	LOCKED(&c->lock);
	digest_format(d, text);
	b = map_get(&c->blobs, text);
	if (!b)
		return error_set(err, ERR_NOT_FOUND, "blob %s not found", text);
	fs_proc_fd_path(b->fd, proc);
	*ret_fd = open(proc, O_RDONLY | O_CLOEXEC);
	if (*ret_fd < 0)
		return error_sys(err, errno, "open blob %s", text);
	*ret_size = b->size;
	return 0;
}

static int mem_remove(struct content_store *s, const struct digest *d, struct error *err)
{
	struct content_mem *c = container_of(s, struct content_mem, store);
	char text[DIGEST_TEXT_MAX];

	(void)err;
	LOCKED(&c->lock);
	digest_format(d, text);
	map_remove(&c->blobs, text);
	return 0;
}

static int mem_list(struct content_store *s,
		    int (*fn)(void *arg, const struct digest *d, uint64_t size, struct error *err),
		    void *arg, struct error *err)
{
	struct content_mem *c = container_of(s, struct content_mem, store);

	map_for_each (e, &c->blobs) {
		const struct mem_blob *b = e->value;
		int r = fn(arg, &b->digest, b->size, err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int mem_write(struct content_writer *base, const void *bytes, size_t len, struct error *err)
{
	return fs_write_all(container_of(base, struct mem_writer, w)->fd, bytes, len, err);
}

static int mem_read_back(struct content_writer *base, uint64_t offset, void *out, size_t len,
			 struct error *err)
{
	struct mem_writer *w = container_of(base, struct mem_writer, w);

	if (pread(w->fd, out, len, (off_t)offset) != (ssize_t)len)
		return error_sys(err, EIO, "read partial blob");
	return 0;
}

static int mem_truncate(struct content_writer *base, struct error *err)
{
	struct mem_writer *w = container_of(base, struct mem_writer, w);

	if (ftruncate(w->fd, 0) < 0 || lseek(w->fd, 0, SEEK_SET) < 0)
		return error_sys(err, errno, "truncate partial blob");
	return 0;
}

static void put(struct map *m, struct mem_writer *w, const struct digest *d)
{
	struct mem_blob *b;
	char text[DIGEST_TEXT_MAX];

	digest_format(d, text);
	if (map_has(m, text))
		return;
	b = new0(struct mem_blob);
	*b = (struct mem_blob){ .digest = *d, .size = w->w.offset, .fd = steal_fd(&w->fd) };
	map_set(m, text, b);
}

static int mem_publish(struct content_writer *base, const struct digest *d, struct error *err)
{
	struct mem_writer *w = container_of(base, struct mem_writer, w);

	(void)err;
	LOCKED(&w->store->lock);
	put(&w->store->blobs, w, d);
	return 0;
}

static void mem_end(struct content_writer *base, bool keep)
{
	struct mem_writer *w = container_of(base, struct mem_writer, w);

	if (keep && w->fd >= 0) {
		LOCKED(&w->store->lock);
		put(&w->store->partials, w, &base->want);
	}
	if (w->fd >= 0)
		close(w->fd);
	free(w);
}

static int take_partial(struct mem_writer *w, struct error *err)
{
	char text[DIGEST_TEXT_MAX], bytes[4096];
	struct mem_blob *b;
	ssize_t n;

	digest_format(&w->w.want, text);
	lock_take(&w->store->lock);
	b = map_steal(&w->store->partials, text);
	lock_drop(&w->store->lock);
	if (!b)
		return 0;
	w->fd = b->fd;
	free(b);
	if (lseek(w->fd, 0, SEEK_SET) < 0)
		return error_sys(err, errno, "read partial blob");
	while ((n = read(w->fd, bytes, sizeof(bytes))) > 0) {
		if ((uint64_t)n > w->w.limit - w->w.offset)
			return content_restart(&w->w, err);
		hash_add(&w->w.hash, bytes, (size_t)n);
		w->w.offset += (uint64_t)n;
	}
	return 0;
}

static int mem_begin(struct content_store *s, const struct content_expect *expect,
		     struct content_writer **ret, struct error *err)
{
	static const struct content_writer_ops ops = { mem_write, mem_read_back, mem_truncate,
						       mem_publish, mem_end };
	struct mem_writer *w = new0(struct mem_writer);
	int r = 0;

	w->store = container_of(s, struct content_mem, store);
	w->fd = FD_NONE;
	content_writer_setup(&w->w, &ops, expect);
	if (expect->resume && expect->digest)
		r = take_partial(w, err);
	if (r == 0 && w->fd < 0)
		w->fd = memfd_create("blob", MFD_CLOEXEC);
	if (r == 0 && w->fd < 0)
		r = error_sys(err, errno, "create blob in memory");
	if (r < 0) {
		content_abort(&w->w, false);
		return r;
	}
	*ret = &w->w;
	return 0;
}

static void mem_free(struct content_store *s)
{
	struct content_mem *c = container_of(s, struct content_mem, store);

	map_release(&c->blobs);
	map_release(&c->partials);
	free(c);
}

struct content_store *content_mem_new(void)
{
	static const struct content_ops ops = { mem_open, mem_begin, mem_remove, mem_list,
						mem_free };
	struct content_mem *c = new0(struct content_mem);

	c->store.ops = &ops;
	c->lock = (struct lock)LOCK_INIT;
	c->blobs.free_value = blob_free;
	c->partials.free_value = blob_free;
	return &c->store;
}
