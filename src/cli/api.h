/*
 * cli/api.h: requests of commands to the engine.
 *
 * Thin over client/client.h: connects on first use (and starts the engine when
 * nobody configured another), and gives failures docker's prefix "Error
 * response from daemon: ".
 */
#pragma once

#include "base/json.h"
#include "base/jsonw.h"
#include "cli/cli.h"
#include "client/client.h"

/* The connected client, or NULL with *err filled. Borrowed from cli. */
struct client *api_client(struct cli *cli, struct error *err);
void api_close(struct cli *cli);

/* Request and JSON answer, in cli->arena; ret may be NULL. body NULL: none. */
MUST_CHECK int api_json(struct cli *cli, const char *method, const char *path, const char *query,
			const char *body, const struct json **ret, struct error *err);
MUST_CHECK int api_get(struct cli *cli, const char *path, const char *query,
		       const struct json **ret, struct error *err);
/* A request whose answer is a stream; freed with client_response_free. */
MUST_CHECK int api_stream(struct cli *cli, const struct client_request *req,
			  struct client_response **ret, struct error *err);
MUST_CHECK int api_hijack(struct cli *cli, const struct client_request *req,
			  struct client_stream *ret, struct error *err);
/* "Error response from daemon: " in front of what the engine said; errors of
 * the connection stay as they are. Returns r. */
int api_wrap(struct error *err, int r);
/* Settled API version at least "1.NN"? */
bool api_at_least(struct cli *cli, int minor);

/* Is the engine proad, at a Unix socket? Then it takes directories as fds. */
bool api_is_proa(struct cli *cli); /* wherever it is */
bool api_is_local_proa(struct cli *cli);

/*
 * --platform values as the query's JSON documents, one member `key` each
 * ("platform", or "platforms" where there may be several). ERR_INVALID in containerd's words.
 */
MUST_CHECK int api_platforms(struct cli *cli, const struct args *args, const char *key,
			     struct buf *q, struct error *err);

/* --filter values as the query's JSON {"name":{"value":true}}; NULL when none. */
char *api_filters(struct cli *cli, const struct args *args);
/* The same, with key=value as one more. */
char *api_filters_with(struct cli *cli, const struct args *args, const char *key,
		       const char *value);
struct buf api_query(void); /* an empty query with its ceiling */
DEFINE_AUTOPTR(client_response, client_response_free);
