/* cgroup/cgroup_internal.h: what the files of this room share. */
#pragma once

#include "cgroup/cgroup.h"

struct buf;

/* Bit of a controller by the name the kernel uses; 0 when unknown. */
uint32_t cgroup_controller_bit(struct str name);
/* Kernel's name of the controller on that version ("blkio" and "io"). */
const char *cgroup_controller_name(enum cgroup_controller c, int version);

/* Write `text` to a control file of the group. ERR_INVALID names file and value when the
 * kernel refuses the value, ERR_NOT_FOUND when there is no such file. */
MUST_CHECK int cgroup_write(int dirfd, const char *file, const char *text, struct error *err);
MUST_CHECK int cgroup_write_i64(int dirfd, const char *file, int64_t v, struct error *err);
/* Whole small control file into b, emptied first; the trailing newline is cut. */
MUST_CHECK int cgroup_read(int dirfd, const char *file, struct buf *b, struct error *err);
/* One number; "max" is UINT64_MAX. */
MUST_CHECK int cgroup_read_u64(int dirfd, const char *file, uint64_t *ret, struct error *err);
bool cgroup_has_file(int dirfd, const char *file);

/* Limits of the device controller, in device.c. */
MUST_CHECK int cgroup_limit_devices(const struct cgroup *cg, const struct cgroup_limits *l,
				    struct error *err);
/* v1 shares 2..262144 onto v2 weight 1..10000, as systemd and the peers do. */
int64_t cgroup_weight_of_shares(int64_t shares);
