/* registry/storage_fault.c: a driver that fails half of its calls, for tests. */
#include "registry/storage.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/alloc.h"

struct storage_fault {
	struct storage storage;
	struct storage *inner;
	unsigned every;
	atomic_uint calls;
};

static struct storage_fault *of(struct storage *s)
{
	return container_of(s, struct storage_fault, storage);
}

static int hit(struct storage *s, const char *what, struct error *err)
{
	struct storage_fault *f = of(s);

	if (f->every == 0 || atomic_fetch_add(&f->calls, 1) % f->every != f->every - 1)
		return 0;
	return error_sys(err, EIO, "%s (on purpose)", what);
}

#define FORWARD(slot, params, args) \
	static int fault_##slot params \
	{ \
		int r = hit(s, #slot, err); \
\
		return r < 0 ? r : of(s)->inner->ops->slot args; \
	} \
	struct fault_swallow_semicolon_

FORWARD(get, (struct storage * s, const char *key, struct buf *b, struct error *err),
	(of(s)->inner, key, b, err));
FORWARD(open, (struct storage * s, const char *key, struct storage_object *ret, struct error *err),
	(of(s)->inner, key, ret, err));
FORWARD(stat, (struct storage * s, const char *key, struct storage_stat *ret, struct error *err),
	(of(s)->inner, key, ret, err));
FORWARD(put,
	(struct storage * s, const char *key, const void *bytes, size_t len, struct error *err),
	(of(s)->inner, key, bytes, len, err));
FORWARD(remove, (struct storage * s, const char *key, struct error *err), (of(s)->inner, key, err));
FORWARD(discard, (struct storage * s, const char *key, struct error *err),
	(of(s)->inner, key, err));
FORWARD(flush, (struct storage * s, struct error *err), (of(s)->inner, err));
FORWARD(reclaim, (struct storage * s, struct error *err), (of(s)->inner, err));
FORWARD(note, (struct storage * s, const char *key, struct error *err), (of(s)->inner, key, err));
FORWARD(settle, (struct storage * s, const char *key, struct error *err), (of(s)->inner, key, err));
FORWARD(quarantine,
	(struct storage * s, const char *key, const struct storage_object *seen, const char *as,
	 struct error *err),
	(of(s)->inner, key, seen, as, err));
FORWARD(touch, (struct storage * s, const char *key, struct error *err), (of(s)->inner, key, err));
FORWARD(list,
	(struct storage * s, const char *prefix, struct storage_listing *ret, struct error *err),
	(of(s)->inner, prefix, ret, err));
FORWARD(upload_begin,
	(struct storage * s, const char *id, struct storage_upload *ret, struct error *err),
	(of(s)->inner, id, ret, err));
FORWARD(upload_resume,
	(struct storage * s, const char *id, struct storage_upload *ret, struct error *err),
	(of(s)->inner, id, ret, err));
FORWARD(upload_write,
	(struct storage * s, struct storage_upload *u, const void *bytes, size_t len,
	 struct error *err),
	(of(s)->inner, u, bytes, len, err));
FORWARD(upload_read,
	(struct storage * s, struct storage_upload *u, uint64_t offset, void *out, size_t len,
	 size_t *ret_n, struct error *err),
	(of(s)->inner, u, offset, out, len, ret_n, err));
FORWARD(upload_remove, (struct storage * s, const char *id, struct error *err),
	(of(s)->inner, id, err));

static void fault_upload_close(struct storage *s, struct storage_upload *take_u)
{
	of(s)->inner->ops->upload_close(of(s)->inner, take_u);
}

static int fault_upload_commit(struct storage *s, struct storage_upload *take_u, const char *key,
			       struct error *err)
{
	int r = hit(s, "upload_commit", err);

	if (r < 0) {
		fault_upload_close(s, take_u);
		return r;
	}
	return of(s)->inner->ops->upload_commit(of(s)->inner, take_u, key, err);
}

static void fault_free(struct storage *s)
{
	storage_free(of(s)->inner);
	free(of(s));
}

static const struct storage_ops fault_ops = {
	.get = fault_get,
	.open = fault_open,
	.stat = fault_stat,
	.put = fault_put,
	.remove = fault_remove,
	.discard = fault_discard,
	.flush = fault_flush,
	.reclaim = fault_reclaim,
	.note = fault_note,
	.settle = fault_settle,
	.quarantine = fault_quarantine,
	.touch = fault_touch,
	.list = fault_list,
	.upload_begin = fault_upload_begin,
	.upload_resume = fault_upload_resume,
	.upload_write = fault_upload_write,
	.upload_read = fault_upload_read,
	.upload_commit = fault_upload_commit,
	.upload_close = fault_upload_close,
	.upload_remove = fault_upload_remove,
	.free = fault_free,
};

struct storage *storage_fault_new(struct storage *take_inner)
{
	struct storage_fault *f = new0(struct storage_fault);

	f->storage.ops = &fault_ops;
	f->inner = take_inner;
	return &f->storage;
}

void storage_fault_every(struct storage *s, unsigned n)
{
	of(s)->every = n;
	atomic_store(&of(s)->calls, 0);
}
