/* store/content_impl.h: what the implementations of content share. Private to store. */
#pragma once

#include "store/content.h"

struct content_writer_ops {
	/* Append at w->offset. */
	int (*write)(struct content_writer *w, const void *bytes, size_t len, struct error *err);
	int (*read_back)(struct content_writer *w, uint64_t offset, void *out, size_t len,
			 struct error *err);
	int (*truncate)(struct content_writer *w, struct error *err); /* to nothing */
	/* Make durable and visible; an existing blob is success. */
	int (*publish)(struct content_writer *w, const struct digest *d, struct error *err);
	/* Free everything; keep leaves the bytes for a resume. */
	void (*end)(struct content_writer *w, bool keep);
};

/* Implementations embed it first. */
struct content_writer {
	const struct content_writer_ops *ops;
	struct writer sink;
	struct hash hash;
	enum digest_algo algo;
	uint64_t offset, limit, want_size;
	bool has_want;
	struct digest want;
};

void content_writer_setup(struct content_writer *w, const struct content_writer_ops *ops,
			  const struct content_expect *expect);
/* Exactly len bytes of what is held. */
MUST_CHECK int content_read_back(struct content_writer *w, uint64_t offset, void *out, size_t len,
				 struct error *err);
