/*
 * build/layout.h: a directory in the form of an OCI image layout, of the
 * client's: caches (type=local) and named contexts (oci-layout://).
 *
 * The directory may be anybody's: nothing outside of it is opened, and what is
 * read is checked against its descriptor.
 * Spec: image-spec v1.1, image-layout.md.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "oci/descriptor.h"

/* Open a blob whose size is d->size; the content is the reader's to verify.
 * *ret_fd owned. ERR_NOT_FOUND, ERR_CORRUPT. */
MUST_CHECK int layout_open(int dirfd, const struct descriptor *d, int *ret_fd, struct error *err);
/* Append a small blob to b, digest verified. */
MUST_CHECK int layout_read(int dirfd, const struct descriptor *d, struct buf *b, struct error *err);
/*
 * The entry of index.json with this digest, or else with this tag (annotation
 * org.opencontainers.image.ref.name); the only entry when `tag` is none of them.
 * *ret lives in the arena. ERR_NOT_FOUND.
 */
MUST_CHECK int layout_find(int dirfd, struct arena *a, const char *tag,
			   const char *digest /* or NULL */, struct descriptor *ret,
			   struct error *err);

/* Copy a blob in, unless one of that name and size is there. from_fd is read from
 * offset 0 to its end; files belong to the directory's owner. */
MUST_CHECK int layout_put(int dirfd, const struct descriptor *d, int from_fd, struct error *err);
/* Name a manifest: index.json keeps its other entries but those with this tag. Last. */
MUST_CHECK int layout_tag(int dirfd, const struct descriptor *manifest, const char *tag,
			  struct error *err);
