/*
 * cli/flag_check.h: is the value of a flag acceptable?
 *
 * Each check returns 0 or ERR_INVALID with the text that the docker CLI shows
 * after `invalid argument "v" for "--flag" flag: `. Checks that need the
 * engine or other flags are done where the request is built.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"

MUST_CHECK int check_int(const char *s, int64_t *ret, struct error *err);
MUST_CHECK int check_uint(const char *s, int64_t max, int64_t *ret, struct error *err);
MUST_CHECK int check_bytes(const char *s, int64_t *ret, struct error *err);
MUST_CHECK int check_duration(const char *s, int64_t *ret_ns, struct error *err);
/* "1.5" as billionths (docker's NanoCPUs): more than nine digits is refused. */
MUST_CHECK int check_decimal(const char *s, int64_t *ret_nano, struct error *err);
MUST_CHECK int check_filter(const char *s, struct error *err);

/* For the tables. */
int check_swap(const char *s, struct error *err); /* bytes or -1 */
/* k=v pairs, parted by commas. */
int check_pairs(const char *s, struct error *err);
int check_tag(const char *s, struct error *err); /* a name of an image */
int check_env(const char *s, struct error *err);
int check_label(const char *s, struct error *err);
int check_attach(const char *s, struct error *err);
int check_add_host(const char *s, struct error *err);
int check_ip(const char *s, struct error *err);
int check_dns_search(const char *s, struct error *err);
int check_sysctl(const char *s, struct error *err);
int check_link(const char *s, struct error *err);
int check_weight_device(const char *s, struct error *err);
int check_bps_device(const char *s, struct error *err);
int check_iops_device(const char *s, struct error *err);
int check_cgroup_rule(const char *s, struct error *err);
int check_ulimit(const char *s, struct error *err);
int check_mount(const char *s, struct error *err);
int check_network(const char *s, struct error *err);
int check_gpus(const char *s, struct error *err);

/* "nofile=1024:2048" taken apart; -1 allowed. */
struct ulimit {
	char name[32];
	int64_t soft, hard;
};
MUST_CHECK int ulimit_parse(const char *s, struct ulimit *ret, struct error *err);
