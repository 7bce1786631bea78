/* store/content_fault.c: content that fails the n-th call, for torture tests. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "store/content_impl.h"

struct content_fault {
	struct content_store store;
	struct content_store *inner;
	atomic_long left; /* calls until the failure; <= 0: none any more */
};

struct fault_writer {
	struct content_writer w;
	struct content_fault *store;
	struct content_writer *inner;
};

static int strike(struct content_fault *c, const char *what, struct error *err)
{
	if (atomic_fetch_sub(&c->left, 1) == 1)
		return error_sys(err, EIO, "%s (on purpose)", what);
	return 0;
}

static struct content_fault *fault_of(struct content_store *s)
{
	return container_of(s, struct content_fault, store);
}

static int fault_open(struct content_store *s, const struct digest *d, int *ret_fd,
		      uint64_t *ret_size, struct error *err)
{
	int r = strike(fault_of(s), "open blob", err);

	return r < 0 ? r : content_open(fault_of(s)->inner, d, ret_fd, ret_size, err);
}

static int fault_remove(struct content_store *s, const struct digest *d, struct error *err)
{
	int r = strike(fault_of(s), "remove blob", err);

	return r < 0 ? r : content_remove(fault_of(s)->inner, d, err);
}

static int fault_list(struct content_store *s,
		      int (*fn)(void *arg, const struct digest *d, uint64_t size,
				struct error *err),
		      void *arg, struct error *err)
{
	int r = strike(fault_of(s), "list blobs", err);

	return r < 0 ? r : content_list(fault_of(s)->inner, fn, arg, err);
}

static struct fault_writer *writer_of(struct content_writer *base)
{
	return container_of(base, struct fault_writer, w);
}

static int fault_write(struct content_writer *base, const void *bytes, size_t len,
		       struct error *err)
{
	struct fault_writer *w = writer_of(base);
	int r = strike(w->store, "write blob", err);

	return r < 0 ? r : writer_write(content_sink(w->inner), bytes, len, err);
}

static int fault_read_back(struct content_writer *base, uint64_t offset, void *out, size_t len,
			   struct error *err)
{
	struct fault_writer *w = writer_of(base);
	int r = strike(w->store, "read partial blob", err);

	return r < 0 ? r : content_read_back(w->inner, offset, out, len, err);
}

static int fault_truncate(struct content_writer *base, struct error *err)
{
	struct fault_writer *w = writer_of(base);
	int r = strike(w->store, "truncate partial blob", err);

	return r < 0 ? r : content_restart(w->inner, err);
}

static int fault_publish(struct content_writer *base, const struct digest *d, struct error *err)
{
	struct fault_writer *w = writer_of(base);
	int r = strike(w->store, "publish blob", err);

	(void)d;
	return r < 0 ? r : content_commit(steal_ptr(w->inner), NULL, NULL, err);
}

static void fault_end(struct content_writer *base, bool keep)
{
	struct fault_writer *w = writer_of(base);

	content_abort(w->inner, keep);
	free(w);
}

static int fault_begin(struct content_store *s, const struct content_expect *expect,
		       struct content_writer **ret, struct error *err)
{
	static const struct content_writer_ops ops = { fault_write, fault_read_back, fault_truncate,
						       fault_publish, fault_end };
	struct content_fault *c = fault_of(s);
	struct content_writer *inner;
	struct fault_writer *w;
	int r = strike(c, "begin blob", err);

	if (r == 0)
		r = content_begin(c->inner, expect, &inner, err);
	if (r < 0)
		return r;
	w = new0(struct fault_writer);
	w->store = c;
	w->inner = inner;
	content_writer_setup(&w->w, &ops, expect);
	hash_release(&w->w.hash);
	hash_copy(&inner->hash, &w->w.hash);
	w->w.offset = inner->offset;
	*ret = &w->w;
	return 0;
}

static void fault_free(struct content_store *s)
{
	content_free(fault_of(s)->inner);
	free(fault_of(s));
}

struct content_store *content_fault_new(struct content_store *take_inner, long fail_at)
{
	static const struct content_ops ops = { fault_open, fault_begin, fault_remove, fault_list,
						fault_free };
	struct content_fault *c = new0(struct content_fault);

	c->store.ops = &ops;
	c->inner = take_inner;
	atomic_init(&c->left, fail_at);
	return &c->store;
}
