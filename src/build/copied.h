/*
 * build/copied.h: which files a COPY has put into its layer, by content, so that the next COPY of
 * the same words takes what did not change as a hard link from the layer made last.
 *
 * A note beside the layer's tree ("copied") lists path, content hash and attributes; it goes with
 * the layer, is checked when it is read, and whatever is wrong with it costs time, never truth.
 * Files of layers are never written to: overlay copies them up, and steps replace names.
 *
 * Which layer was made last is kept by the origin of the context (a directory, an image's name) and
 * the words of the instruction.
 */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "base/error.h"
#include "base/hash.h"
#include "oci/digest.h"
#include "store/store.h"

struct copied;

/* Before the files of a note: a magic and the SHA-256 of what follows. */
#define COPIED_HEAD (14 + SHA256_SIZE)

/* A file as it lies in a layer. */
struct copied_file {
	uint8_t hash[SHA256_SIZE]; /* of xattrs and content, as tree_hash has it */
	uint32_t mode, uid, gid;
	int64_t mtime_ns;
};

/* Tables of this file. */
MUST_CHECK int copied_migrate(struct store *s, struct error *err);
/* Forget which layers were made last. */
MUST_CHECK int copied_forget(struct store *s, struct error *err);

/* What was copied last by `key` from the context `origin`; the layer is leased to lease_id
 * (NULL: older layers are not asked). Never fails: without an older layer it starts empty. */
struct copied *copied_new(struct store *s, const char *origin, const char *key,
			  const char *lease_id);
void copied_free(struct copied *c); /* NULL is nothing */
DEFINE_AUTOPTR(copied, copied_free);

/* Top directory of the older layer, borrowed; FD_NONE without one. */
int copied_old_fd(const struct copied *c);
/* Had the older layer this file at `path`? */
bool copied_had(const struct copied *c, const char *path, const struct copied_file *f);
/* The new layer has it. */
void copied_add(struct copied *c, const char *path, const struct copied_file *f);
/* It has this one, which was written so shortly before that its content is not known for certain:
 * not for the note, for copied_compare only, which calls it changed when the older layer had it. */
void copied_add_fresh(struct copied *c, const char *path);
enum copied_change { COPIED_NEW, COPIED_CHANGED, COPIED_GONE };
/* How what was added differs from the older layer's; nothing without one. */
void copied_compare(const struct copied *c,
		    void (*fn)(void *arg, const char *path, enum copied_change change), void *arg);
/* The layers that were made last from the context `origin`, newest first, leased to lease_id. */
size_t copied_layers(struct store *s, const char *origin, const char *lease_id, struct digest *ret,
		     size_t max);
/* What the note of a layer says, in the order of paths; nothing without one. */
void copied_each(struct store *s, const struct digest *layer,
		 void (*fn)(void *arg, const char *path, const struct copied_file *f), void *arg);
/* Head of a note with this body. */
void copied_note_head(const char *body, size_t len, char out[static COPIED_HEAD]);
/* The files of a whole note; bytes after the last one are nothing. ERR_CORRUPT when it is none.
 * Pure. */
int copied_note_each(const char *note, size_t len,
		     void (*fn)(void *arg, const char *path, const struct copied_file *f),
		     void *arg);
/* The new layer is `layer`: write its note, remember it as the last. */
void copied_save(struct copied *c, const struct digest *layer);
