#include "oci/media_type.h"

#include "base/macros.h"
#include "base/str.h"

static const struct known {
	const char *type;
	enum media_kind kind;
	enum media_compression compression;
} known[] = {
	{ MEDIA_OCI_MANIFEST, MEDIA_MANIFEST, MEDIA_PLAIN },
	{ MEDIA_DOCKER_MANIFEST, MEDIA_MANIFEST, MEDIA_PLAIN },
	{ MEDIA_OCI_INDEX, MEDIA_INDEX, MEDIA_PLAIN },
	{ MEDIA_DOCKER_LIST, MEDIA_INDEX, MEDIA_PLAIN },
	{ MEDIA_DOCKER_SCHEMA1, MEDIA_SCHEMA1, MEDIA_PLAIN },
	{ MEDIA_DOCKER_SCHEMA1_SIGNED, MEDIA_SCHEMA1, MEDIA_PLAIN },
	{ MEDIA_OCI_CONFIG, MEDIA_CONFIG, MEDIA_PLAIN },
	{ MEDIA_DOCKER_CONFIG, MEDIA_CONFIG, MEDIA_PLAIN },
	{ MEDIA_OCI_LAYER, MEDIA_LAYER, MEDIA_PLAIN },
	{ MEDIA_OCI_LAYER_GZIP, MEDIA_LAYER, MEDIA_GZIP },
	{ MEDIA_OCI_LAYER_ZSTD, MEDIA_LAYER, MEDIA_ZSTD },
	{ MEDIA_DOCKER_LAYER, MEDIA_LAYER, MEDIA_PLAIN },
	{ MEDIA_DOCKER_LAYER_GZIP, MEDIA_LAYER, MEDIA_GZIP },
	{ MEDIA_DOCKER_LAYER ".zstd", MEDIA_LAYER, MEDIA_ZSTD },
	{ MEDIA_DOCKER_LAYER_FOREIGN, MEDIA_LAYER_FOREIGN, MEDIA_GZIP },
	{ "application/vnd.docker.image.rootfs.foreign.diff.tar", MEDIA_LAYER_FOREIGN,
	  MEDIA_PLAIN },
	{ "application/vnd.oci.image.layer.nondistributable.v1.tar", MEDIA_LAYER_FOREIGN,
	  MEDIA_PLAIN },
	{ "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", MEDIA_LAYER_FOREIGN,
	  MEDIA_GZIP },
	{ "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", MEDIA_LAYER_FOREIGN,
	  MEDIA_ZSTD },
};

static const struct known *find(const char *type)
{
	struct str rest = str_of(type), bare;

	if (type == NULL || !str_split(&rest, ';', &bare))
		return NULL;
	bare = str_trim(bare);
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (str_eq_nocase(bare, str_of(known[i].type)))
			return &known[i];
	return NULL;
}

enum media_kind media_kind(const char *type)
{
	const struct known *k = find(type);

	return k ? k->kind : MEDIA_OTHER;
}

enum media_compression media_compression(const char *type)
{
	const struct known *k = find(type);

	return k ? k->compression : MEDIA_PLAIN;
}
