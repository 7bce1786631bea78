/* image/image.c: look-up, opening, tagging and recording of images. See image.h. */
#include "image/image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/jsonw.h"
#include "base/str.h"
#include "base/vec.h"
#include "oci/image_config.h"
#include "oci/manifest.h"
#include "oci/reference.h"
#include "store/lease.h"

#define CONFIG_MAX IMAGE_CONFIG_MAX

int image_name_canonical(const char *name, char **ret, struct error *err)
{
	char text[REFERENCE_TEXT_MAX];
	struct reference ref;
	int r = reference_parse_tagged(name, &ref, err);

	if (r < 0)
		return r;
	reference_format(&ref, text);
	*ret = xstrdup(text);
	return 0;
}

char *image_name_familiar(const char *canonical)
{
	char text[REFERENCE_TEXT_MAX];
	struct reference ref;

	if (reference_parse(canonical, &ref, NULL) < 0)
		return xstrdup(canonical);
	reference_familiar(&ref, text);
	return xstrdup(text);
}

/* ---- look-up ---- */

static int not_found(const char *name, const struct reference *ref, struct error *err)
{
	char text[REFERENCE_TEXT_MAX];

	if (!ref)
		return error_set(err, ERR_NOT_FOUND, "No such image: %.200s", name);
	reference_familiar(ref, text);
	return error_set(err, ERR_NOT_FOUND, "No such image: %s", text);
}

static bool is_hex(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.at[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
	}
	return s.len > 0 && s.len <= 64;
}

/* By hex digits, whole or the beginning. */
static int by_prefix(struct store *s, struct str hex, const char *name, char **ret,
		     struct error *err)
{
	char text[65];
	char *found[2];
	size_t n;
	int r;

	memcpy(text, hex.at, hex.len);
	text[hex.len] = '\0';
	r = images_by_prefix(s, text, found, 2, &n, err);
	if (r < 0)
		return r;
	if (n == 1) {
		*ret = found[0];
		return 0;
	}
	for (size_t i = 0; i < n; i++)
		free(found[i]);
	if (n == 0)
		return -ERR_NOT_FOUND;
	return error_set(err, ERR_INVALID, "multiple IDs found with provided prefix: %s", name);
}

/* repo@digest: as it was pulled, or the repository's image with that id. */
static int by_digest(struct store *s, struct reference *ref, char **ret, struct error *err)
{
	char text[REFERENCE_TEXT_MAX];

	reference_set_tag(ref, "");
	reference_format(ref, text);
	return repo_digests_get(s, text, ret, err);
}

static int by_reference(struct store *s, struct reference *ref, char **ret, struct error *err)
{
	char text[REFERENCE_TEXT_MAX];

	if (reference_has_digest(ref))
		return by_digest(s, ref, ret, err);
	reference_format(ref, text);
	return tags_get(s, text, ret, NULL, err);
}

int image_resolve(struct store *s, const char *name, char **ret_id, struct error *err)
{
	struct str hex = str_of(name);
	struct reference ref;
	bool named;
	int r;

	if (str_starts(hex, "sha256:"))
		hex = str_sub(hex, strlen("sha256:"), hex.len);
	/* Whole ids cannot be names: 64 hex digits are refused there. */
	if (hex.len == 64 && is_hex(hex)) {
		r = by_prefix(s, hex, name, ret_id, err);
		return r == -ERR_NOT_FOUND ? not_found(name, NULL, err) : r;
	}
	named = reference_parse_tagged(name, &ref, err) == 0;
	if (named) {
		r = by_reference(s, &ref, ret_id, err);
		if (r != -ERR_NOT_FOUND)
			return r;
	}
	if (is_hex(hex)) {
		r = by_prefix(s, hex, name, ret_id, err);
		if (r != -ERR_NOT_FOUND)
			return r;
	}
	return named ? not_found(name, &ref, err) : -ERR_INVALID;
}

/* ---- opening ---- */

void image_release(struct image *i)
{
	image_row_release(&i->row);
	free(i->diff_ids);
	free(i->config_text);
	arena_release(&i->arena);
	*i = (struct image){ 0 };
}

int image_open(struct store *s, const char *name, struct image *ret, struct error *err)
{
	auto_(image) i = { 0 };
	auto_(buf) b = BUF_INIT(CONFIG_MAX);
	autofree char *id = NULL;
	int r = image_resolve(s, name, &id, err);

	if (r == 0)
		r = images_get(s, id, &i.row, err);
	if (r == 0)
		r = digest_from_text(id, &i.id, err);
	if (r == 0)
		r = images_layers(s, id, &i.diff_ids, &i.n_layers, err);
	if (r == 0)
		r = content_read(s->content, &i.id, &b, err);
	if (r == 0)
		r = json_parse(&i.arena, b.data, b.len, &i.json, err);
	if (r < 0)
		return r;
	i.config = json_get(i.json, "config");
	i.config_text = buf_detach(&b, &i.config_len);
	*ret = i;
	i = (struct image){ 0 };
	return 0;
}

void image_platform_of(const struct image *i, struct platform *ret)
{
	const struct image_row *row = &i->row;

	*ret = (struct platform){ 0 };
	snprintf(ret->os, sizeof(ret->os), "%s", row->os ? row->os : "");
	snprintf(ret->arch, sizeof(ret->arch), "%s", row->arch ? row->arch : "");
	snprintf(ret->variant, sizeof(ret->variant), "%s", row->variant ? row->variant : "");
}

int image_tag(struct store *s, const char *source, const char *target, char **ret_id,
	      char **ret_familiar, struct error *err)
{
	autofree char *id = NULL, *name = NULL, *manifest = NULL, *old = NULL;
	struct reference ref;
	int r = image_resolve(s, source, &id, err);

	if (r == 0)
		r = reference_parse_tagged(target, &ref, err);
	if (r == 0 && reference_has_digest(&ref))
		r = error_set(err, ERR_INVALID, "refusing to create a tag with a digest reference");
	if (r == 0)
		r = image_name_canonical(target, &name, err);
	if (r < 0)
		return r;
	/* The new name stands for the same manifest as the old one did. */
	{
		autofree char *canonical = NULL, *same = NULL;

		if (image_name_canonical(source, &canonical, NULL) == 0 &&
		    tags_get(s, canonical, &same, &manifest, NULL) < 0)
			manifest = NULL;
	}
	r = tags_set(s, name, id, manifest, &old, err);
	if (r < 0)
		return r;
	if (ret_familiar)
		*ret_familiar = image_name_familiar(name);
	if (ret_id)
		*ret_id = steal_ptr(id);
	return 0;
}

/* ---- recording ---- */

int image_config_diff_ids(const struct json *config, struct digest **ret, size_t *ret_n,
			  struct error *err)
{
	const struct json *ids = json_path(config, "rootfs.diff_ids");
	VEC(struct digest) found = { 0 };

	if (ids && ids->type != JSON_ARRAY)
		return error_set(err, ERR_INVALID, "config: rootfs.diff_ids is not a list");
	json_for_each_item (id, ids) {
		if (id->type != JSON_STRING || digest_from_text(id->s, vec_push(&found), err) < 0) {
			vec_release(&found);
			return error_set(err, ERR_INVALID,
					 "config: rootfs.diff_ids holds what is no digest");
		}
	}
	*ret = found.at;
	*ret_n = found.len;
	return 0;
}

static int labels_text(const struct json *doc, char **ret, struct error *err)
{
	const struct json *labels = json_path(doc, "config.Labels");
	auto_(buf) b = BUF_INIT(CONFIG_MAX);
	struct jsonw w;
	int r;

	*ret = NULL;
	if (!labels || labels->type != JSON_OBJECT)
		return 0;
	jsonw_init(&w, &b);
	jsonw_value(&w, labels);
	r = jsonw_finish(&w, err);
	if (r == 0)
		*ret = buf_detach(&b, NULL);
	return r;
}

static int64_t created_of(const struct json *doc)
{
	const char *text = json_str(doc, "created");
	int64_t ns = 0;

	/* Go's zero time is far before 1970: "never". */
	if (!text || time_parse_rfc3339(text, &ns, NULL) < 0 || strncmp(text, "0001", 4) == 0)
		return 0;
	return ns;
}

/* Blobs that the image will reference, leased before they are added. */
static int add_blobs(struct store *s, const struct image_create *c, const char *lease,
		     struct digest *ret_id, struct digest *ret_manifest, struct error *err)
{
	int r;

	*ret_id = (struct digest){ .algo = DIGEST_SHA256 };
	hash_sha256(c->config, c->config_len, ret_id->bytes);
	r = lease_add_digest(s->db, lease, REF_BLOB, ret_id, err);
	if (r == 0)
		r = content_add(s->content, c->config, c->config_len, ret_id, err);
	if (r < 0 || !c->manifest)
		return r;
	*ret_manifest = (struct digest){ .algo = DIGEST_SHA256 };
	hash_sha256(c->manifest, c->manifest_len, ret_manifest->bytes);
	r = lease_add_digest(s->db, lease, REF_BLOB, ret_manifest, err);
	if (r == 0)
		r = content_add(s->content, c->manifest, c->manifest_len, ret_manifest, err);
	return r;
}

static int record(struct store *s, const struct image_create *c, const struct json *doc,
		  const char *lease, char **ret_id, struct error *err)
{
	autofree struct digest *diff_ids = NULL;
	autofree char *labels = NULL;
	autofree char **old = NULL;
	struct digest manifest;
	char id[DIGEST_TEXT_MAX];
	struct image_put put = { .parent = c->parent, .index = c->index };
	int r = image_config_diff_ids(doc, &diff_ids, &put.n_layers, err);

	if (r == 0)
		r = labels_text(doc, &labels, err);
	if (r == 0)
		r = add_blobs(s, c, lease, &put.id, &manifest, err);
	if (r < 0)
		return r;
	put.diff_ids = diff_ids;
	put.labels = labels;
	put.created_ns = created_of(doc);
	put.os = json_str(doc, "os");
	put.arch = json_str(doc, "architecture");
	put.variant = json_str(doc, "variant");
	if (c->manifest) {
		put.manifest = &manifest;
		put.manifest_media_type = c->manifest_media_type;
	}
	put.blobs = c->blobs;
	put.n_blobs = c->n_blobs;
	old = xcalloc(c->n_tags + 1, sizeof(*old));
	r = images_put(s, &put, c->tags, c->n_tags, c->repo_digest, old, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < c->n_tags; i++) {
		if (old[i] && c->untagged)
			c->untagged(c->arg, c->tags[i], old[i]);
		free(old[i]);
	}
	digest_format(&put.id, id);
	if (ret_id)
		*ret_id = xstrdup(id);
	return 0;
}

int image_create(struct store *s, const struct image_create *c, char **ret_id, struct error *err)
{
	auto_(lease) lease = LEASE_INIT;
	auto_(arena) a = ARENA_INIT;
	const struct json *doc;
	int r;

	if (c->config_len > CONFIG_MAX)
		return error_set(err, ERR_INVALID, "image config is larger than %lu bytes",
				 CONFIG_MAX);
	r = json_parse(&a, c->config, c->config_len, &doc, err);
	if (r < 0)
		return error_wrap(err, r, "image config");
	r = lease_open(s->db, "image", &lease, err);
	return r < 0 ? r : record(s, c, doc, lease.id, ret_id, err);
}
