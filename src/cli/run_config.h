/*
 * cli/run_config.h: the body of POST /containers/create from the flags.
 */
#pragma once

#include "base/json.h"
#include "cli/cli.h"

struct run_config {
	struct json *body; /* Config with HostConfig and NetworkingConfig */
	const char *image;
	bool tty, open_stdin;
	bool attach_in, attach_out, attach_err;
	bool auto_remove, detach;
};

/* ERR_INVALID and others with docker's texts. */
MUST_CHECK int run_config_build(struct cli *cli, const struct args *args, struct run_config *ret,
				struct error *err);

/* Parts, each in a file of its own. `host` is HostConfig. */
MUST_CHECK int run_ports(struct arena *a, const struct args *args, struct json *body,
			 struct json *host, struct error *err);
MUST_CHECK int run_mounts(struct arena *a, const struct args *args, struct json *body,
			  struct json *host, struct error *err);
MUST_CHECK int run_networks(struct arena *a, const struct args *args, struct json *body,
			    struct json *host, struct error *err);
MUST_CHECK int run_resources(struct arena *a, const struct args *args, struct json *host,
			     struct error *err);
MUST_CHECK int run_security(struct arena *a, const struct args *args, struct json *host,
			    struct error *err);
/* "no", "always", "unless-stopped", "on-failure[:N]". */
MUST_CHECK int restart_policy_parse(struct arena *a, const char *text, struct json **ret,
				    struct error *err);
