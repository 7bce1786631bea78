/*
 * image/load.c: docker load: read the tar once. See archive.h.
 *
 * Layers are recognised by their first bytes and unpacked as they pass; small
 * files are held in memory until the end, when manifest.json or index.json
 * says what they were. Names in the archive are keys of a map, never paths on
 * this machine.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/compress.h"
#include "archive/tar.h"
#include "base/alloc.h"
#include "base/cancel.h"
#include "base/fs.h"
#include "base/str.h"
#include "image/archive.h"
#include "image/image.h"
#include "image/load_impl.h"
#include "oci/manifest.h"
#include "oci/media_type.h"
#include "store/lease.h"

#define DOCUMENT_MAX  (16UL << 20)
#define DOCUMENTS_MAX (64UL << 20) /* all of them together */
#define FILES_MAX     100000

static void document_free(void *p)
{
	struct document *d = p;

	free(d->text);
	free(d);
}

/* "./a//b/../c" and "/a/c" are one key; what leads above the top stays there. */
char *load_key(const char *path)
{
	autofree char *rooted = cstr_format("/%s", path), *clean = fs_path_clean(rooted);

	return xstrdup(clean + 1);
}

/* Follow links of old archives ("<id>/layer.tar" -> "../<other>/layer.tar"). */
static const char *follow(const struct loader *l, const char *key)
{
	for (unsigned i = 0; i < 8; i++) {
		const char *next = map_get(&l->links, key);

		if (!next)
			break;
		key = next;
	}
	return key;
}

const struct document *load_document(const struct loader *l, const char *key)
{
	return map_get(&l->documents, follow(l, key));
}

const struct loaded_layer *load_layer(const struct loader *l, const char *key)
{
	return map_get(&l->layers, follow(l, key));
}

/* ---- one file of the archive ---- */

/* The digest that a name like "blobs/sha256/<hex>" promises. */
static bool promised(const char *key, struct digest *ret)
{
	struct str s = str_of(key);
	char text[DIGEST_TEXT_MAX];
	ptrdiff_t slash;

	if (!str_starts(s, "blobs/") || s.len >= sizeof(text))
		return false;
	s = str_sub(s, strlen("blobs/"), s.len);
	slash = str_find(s, '/');
	if (slash < 0)
		return false;
	snprintf(text, sizeof(text), "%.*s:%.*s", (int)slash, s.at,
		 (int)(s.len - (size_t)slash - 1), s.at + slash + 1);
	return digest_from_text(text, ret, NULL) == 0;
}

static void remember_layer(struct loader *l, const char *key, const struct layer_info *info,
			   const struct layer_blob *blob)
{
	struct loaded_layer *n = new0(struct loaded_layer);

	n->info = *info;
	if (blob) {
		n->blob = *blob;
		n->has_blob = true;
	}
	map_set(&l->layers, key, n);
}

/* A layer that the store has already, told by the digest in its name. */
static bool is_known(struct loader *l, const char *key, const struct digest *d)
{
	struct layer_blob blob = { .media_type = MEDIA_DOCKER_LAYER_GZIP };
	struct layer_info info;
	autofree char *type = NULL;

	if (lease_add_digest(l->store->db, l->lease, REF_BLOB, d, NULL) < 0 ||
	    lease_add_digest(l->store->db, l->lease, REF_LAYER, d, NULL) < 0)
		return false;
	/* As a blob, or, uncompressed, as the layer itself. */
	if (layer_blobs_diff_id(l->store, d, &blob.diff_id, NULL) == 0) {
		if (lease_add_digest(l->store->db, l->lease, REF_LAYER, &blob.diff_id, NULL) < 0 ||
		    content_stat(l->store->content, d, &blob.size, NULL) < 0 ||
		    snapshot_layer_get(l->store->snapshots, &blob.diff_id, &info, NULL) < 0 ||
		    db_get_text(l->store->db, &type, NULL,
				"SELECT media_type FROM layer_blobs WHERE digest=?", "t",
				load_digest_text(d, (char[DIGEST_TEXT_MAX]){ 0 })) < 0)
			return false;
		blob.digest = *d;
		if (media_compression(type) == MEDIA_ZSTD)
			blob.media_type = MEDIA_OCI_LAYER_ZSTD;
		remember_layer(l, key, &info, &blob);
		return true;
	}
	if (snapshot_layer_get(l->store->snapshots, d, &info, NULL) < 0)
		return false;
	remember_layer(l, key, &info, NULL);
	return true;
}

const char *load_digest_text(const struct digest *d, char out[static DIGEST_TEXT_MAX])
{
	digest_format(d, out);
	return out;
}

struct step {
	struct loader *loader;
	const char *key;
	uint64_t total;
};

static void tell(void *arg, uint64_t bytes)
{
	struct step *step = arg;
	struct loader *l = step->loader;

	/* A failing listener is a client that left: the cancel says so too. */
	if (l->options->layer && l->result == 0)
		l->result = l->options->layer(l->options->arg, step->key, bytes, step->total, NULL);
}

static int take_layer(struct loader *l, const char *key, struct reader *data, uint64_t size,
		      bool is_plain, struct error *err)
{
	struct step step = { l, key, size };
	struct unpack_layer u = { .cancel = l->options->cancel, .progress = tell, .arg = &step };
	struct unpack_expect expect;
	struct layer_blob blob;
	struct layer_info info;
	struct digest d;
	bool named = promised(key, &d);
	int r;

	if (named && is_known(l, key, &d))
		return 0;
	if (named && is_plain)
		u.diff_id = &d;
	expect = (struct unpack_expect){ .digest = &d, .size = size };
	r = unpack_keep(l->store, data, &u, named && !is_plain ? &expect : NULL, l->lease, &info,
			&blob, err);
	if (r < 0)
		return error_wrap(err, r, "layer '%.200s'", key);
	remember_layer(l, key, &info, &blob);
	return 0;
}

/* What is kept in memory until the end: documents, and the names of all files, which a
 * hostile archive makes a mebibyte long each. */
static int charge(struct loader *l, const char *key, uint64_t size, struct error *err)
{
	if (size > DOCUMENT_MAX || (l->document_bytes += size) > DOCUMENTS_MAX)
		return error_set(err, ERR_INVALID, "'%.200s' is too large for what it is", key);
	return 0;
}

static int take_document(struct loader *l, const char *key, struct reader *data, uint64_t size,
			 struct error *err)
{
	auto_(buf) b = BUF_INIT(DOCUMENT_MAX);
	struct document *d;
	struct digest want, got = { .algo = DIGEST_SHA256 };
	int r = charge(l, key, size, err);

	if (r == 0)
		r = reader_read_all(data, &b, err);
	if (r == 0)
		r = buf_add(&b, "", 0, err);
	if (r < 0)
		return r;
	if (promised(key, &want) && want.algo == DIGEST_SHA256) {
		hash_sha256(b.data, b.len, got.bytes);
		if (!digest_same(&want, &got))
			return error_set(err, ERR_CORRUPT, "'%.200s': digest mismatch", key);
	}
	d = new0(struct document);
	d->text = buf_detach(&b, &d->len);
	map_set(&l->documents, key, d);
	return 0;
}

/* The first 512 bytes, to tell a layer from a document, and then all of it. */
struct head_reader {
	struct reader reader;
	struct reader *from;
	size_t len, at;
	char bytes[512];
};

static int head_read(struct reader *r, void *out, size_t len, size_t *ret_n, struct error *err)
{
	struct head_reader *h = container_of(r, struct head_reader, reader);
	size_t n = h->len - h->at;

	if (n == 0)
		return reader_read(h->from, out, len, ret_n, err);
	*ret_n = n < len ? n : len;
	memcpy(out, h->bytes + h->at, *ret_n);
	h->at += *ret_n;
	return 0;
}

static int read_head(struct head_reader *h, struct reader *from, struct error *err)
{
	static const struct reader_ops ops = { head_read };
	size_t n = 1;
	int r = 0;

	*h = (struct head_reader){ .reader.ops = &ops, .from = from };
	while (r == 0 && n > 0 && h->len < sizeof(h->bytes)) {
		r = reader_read(from, h->bytes + h->len, sizeof(h->bytes) - h->len, &n, err);
		h->len += r == 0 ? n : 0;
	}
	return r;
}

static bool looks_like_tar(const struct head_reader *h)
{
	static const char zeros[512];

	if (h->len < 512)
		return false;
	return memcmp(h->bytes + 257, "ustar", 5) == 0 || memcmp(h->bytes, zeros, 512) == 0;
}

static int take_file(struct loader *l, struct tar_reader *t, const struct tar_entry *e,
		     const char *key, struct error *err)
{
	struct head_reader head;
	enum compression kind;
	uint64_t size = e->size;
	int r = read_head(&head, tar_reader_stream(t), err);

	if (r < 0)
		return r;
	kind = compression_detect(head.bytes, head.len);
	if (kind != COMPRESSION_NONE || looks_like_tar(&head))
		return take_layer(l, key, &head.reader, size,
				  kind != COMPRESSION_GZIP && kind != COMPRESSION_ZSTD, err);
	/* Per-layer files of the oldest form, of no use to anybody. */
	if (str_ends(str_of(key), "/VERSION") || str_ends(str_of(key), "/json"))
		return 0;
	return take_document(l, key, &head.reader, size, err);
}

static void take_link(struct loader *l, const struct tar_entry *e, const char *key)
{
	autofree char *dir = NULL, *target = NULL;
	ptrdiff_t slash = str_rfind(str_of(key), '/');

	dir = str_dup(str_sub(str_of(key), 0, slash < 0 ? 0 : (size_t)slash));
	target = e->type == TAR_SYMLINK && e->link[0] != '/' ? cstr_format("%s/%s", dir, e->link)
							     : xstrdup(e->link);
	map_set(&l->links, key, load_key(target));
}

static int take_all(struct loader *l, struct tar_reader *t, struct error *err)
{
	const struct tar_entry *e;
	size_t n = 0;
	int r;

	for (;;) {
		autofree char *key = NULL;

		r = cancel_check(l->options->cancel, err);
		if (r == 0)
			r = tar_reader_next(t, &e, err);
		if (r == -ERR_CORRUPT && n == 0)
			return error_wrap(err, r, "this is no archive");
		if (r < 0 || !e)
			return r;
		if (++n > FILES_MAX)
			return error_set(err, ERR_INVALID, "more than %d files in the archive",
					 FILES_MAX);
		key = load_key(e->path);
		r = charge(l, key, strlen(key) + strlen(e->link), err);
		if (r < 0)
			return r;
		if (e->type == TAR_FILE)
			r = take_file(l, t, e, key, err);
		else if (e->type == TAR_SYMLINK || e->type == TAR_HARDLINK)
			take_link(l, e, key);
		if (r == 0)
			r = l->result;
		if (r < 0)
			return r;
	}
}

int image_load(struct store *s, struct reader *from, const struct image_load *options,
	       struct error *err)
{
	auto_(lease) lease = LEASE_INIT;
	struct loader l = { .store = s, .options = options };
	struct decompressor *d;
	struct tar_reader *t;
	int r = lease_open(s->db, "load", &lease, err);

	if (r < 0)
		return r;
	l.lease = lease.id;
	l.documents.free_value = document_free;
	l.layers.free_value = free;
	l.links.free_value = free;
	r = decompressor_new(from, &d, err);
	if (r < 0)
		return r;
	t = tar_reader_new(decompressor_reader(d));
	r = take_all(&l, t, err);
	tar_reader_free(t);
	decompressor_free(d);
	if (r == 0)
		r = load_images(&l, err);
	map_release(&l.documents);
	map_release(&l.layers);
	map_release(&l.links);
	return r;
}
