/*
 * cli/options.h: option values that are small languages of their own:
 * --mount, --network, --gpus.
 *
 * All are CSV lists of key=value. Each gives the JSON that the Engine API
 * takes, in the arena. ERR_INVALID with docker's text.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "base/json.h"

/* One mount: {"Type":...,"Source":...,"Target":...,"ReadOnly":...,"BindOptions":{}...}. */
MUST_CHECK int mount_parse(struct arena *a, const char *text, struct json **ret, struct error *err);

struct network_option {
	const char *name;
	struct json *aliases;        /* array, NULL when none */
	struct json *link_local_ips; /* array, NULL when none */
	struct json *driver_opts;    /* object, NULL when none */
	const char *ip, *ip6, *mac;  /* NULL when not given */
	int64_t gw_priority;
};
MUST_CHECK int network_parse(struct arena *a, const char *text, struct network_option *ret,
			     struct error *err);

/* One DeviceRequest. */
MUST_CHECK int gpus_parse(struct arena *a, const char *text, struct json **ret, struct error *err);

/* Fields of one CSV record ("a,b" and quoted "a,""b"), in the arena. */
struct csv {
	char **fields;
	size_t n;
};
MUST_CHECK int csv_parse(struct arena *a, const char *text, struct csv *ret, struct error *err);
