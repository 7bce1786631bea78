/* oci/media_type.h: the media types of images, OCI's and Docker's.
 * Spec: image-spec v1.1, media-types.md; distribution manifest v2 schema 2. */
#pragma once

#include <stdbool.h>

#define MEDIA_OCI_MANIFEST          "application/vnd.oci.image.manifest.v1+json"
#define MEDIA_OCI_INDEX             "application/vnd.oci.image.index.v1+json"
#define MEDIA_OCI_CONFIG            "application/vnd.oci.image.config.v1+json"
#define MEDIA_OCI_LAYER             "application/vnd.oci.image.layer.v1.tar"
#define MEDIA_OCI_LAYER_GZIP        "application/vnd.oci.image.layer.v1.tar+gzip"
#define MEDIA_OCI_LAYER_ZSTD        "application/vnd.oci.image.layer.v1.tar+zstd"
#define MEDIA_OCI_EMPTY             "application/vnd.oci.empty.v1+json"
#define MEDIA_DOCKER_MANIFEST       "application/vnd.docker.distribution.manifest.v2+json"
#define MEDIA_DOCKER_LIST           "application/vnd.docker.distribution.manifest.list.v2+json"
#define MEDIA_DOCKER_SCHEMA1        "application/vnd.docker.distribution.manifest.v1+json"
#define MEDIA_DOCKER_SCHEMA1_SIGNED "application/vnd.docker.distribution.manifest.v1+prettyjws"
#define MEDIA_DOCKER_CONFIG         "application/vnd.docker.container.image.v1+json"
#define MEDIA_DOCKER_LAYER          "application/vnd.docker.image.rootfs.diff.tar"
#define MEDIA_DOCKER_LAYER_GZIP     "application/vnd.docker.image.rootfs.diff.tar.gzip"
#define MEDIA_DOCKER_LAYER_FOREIGN  "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"

enum media_kind {
	MEDIA_OTHER = 0,
	MEDIA_MANIFEST, /* of one image, or of an artifact */
	MEDIA_INDEX,    /* OCI index, Docker manifest list */
	MEDIA_SCHEMA1,  /* the old signed manifest: refused */
	MEDIA_CONFIG,
	MEDIA_LAYER,
	MEDIA_LAYER_FOREIGN, /* not to be distributed: refused */
};
enum media_compression { MEDIA_PLAIN = 0, MEDIA_GZIP, MEDIA_ZSTD };

/* NULL and unknown types are MEDIA_OTHER. Parameters after ';' are ignored. */
enum media_kind media_kind(const char *type);
/* Of a layer's type; MEDIA_PLAIN when the type does not say. */
enum media_compression media_compression(const char *type);
