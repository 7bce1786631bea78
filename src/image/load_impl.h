/* image/load_impl.h: what the files of docker load share. Private to image. */
#pragma once

#include "base/map.h"
#include "image/archive.h"
#include "image/unpack.h"

struct document {
	char *text;
	size_t len;
};

struct loaded_layer {
	struct layer_info info;
	bool has_blob;
	struct layer_blob blob;
};

struct loader {
	struct store *store;
	const struct image_load *options;
	const char *lease;
	struct map documents; /* key -> struct document */
	struct map layers;    /* key -> struct loaded_layer */
	struct map links;     /* key -> key */
	uint64_t document_bytes;
	int result; /* of the listener */
};

/* Clean name inside the archive, owned by the caller. */
char *load_key(const char *path);
/* Links are followed; NULL when absent. */
const struct document *load_document(const struct loader *l, const char *key);
const struct loaded_layer *load_layer(const struct loader *l, const char *key);
/* Format into out and return it. */
const char *load_digest_text(const struct digest *d, char out[static DIGEST_TEXT_MAX]);

/* Record the images that manifest.json, or else index.json, speaks of. */
MUST_CHECK int load_images(struct loader *l, struct error *err);
