/*
 * runtime/mount_option.h: the options of one mount of config.json, sorted.
 *
 * Spec: runtime-spec v1.2, config.md "Linux mount options". Touches nothing.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "oci/decode.h"
#include "oci/runtime_config.h"

struct mount_option {
	uint64_t attr_set, attr_clear;         /* MOUNT_ATTR_* of the mount */
	uint64_t attr_rec_set, attr_rec_clear; /* the same for all below it (rro, rnosuid ...) */
	unsigned long propagation[4];          /* MS_SHARED ..., in order */
	bool propagation_rec[4];
	unsigned n_propagation;
	bool bind, rbind, tmpcopyup;
	bool idmap, idmap_rec; /* by the container's user namespace or the mount's maps */
	const char *data[32];  /* for the file system: "size=64k", "newinstance" */
	size_t n_data;
};

/* ERR_INVALID names the option and the mount. */
MUST_CHECK int mount_option_parse(const struct spec_mount *m, struct mount_option *ret,
				  struct error *err);
