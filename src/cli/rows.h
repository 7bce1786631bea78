/* cli/rows.h: rows that `system df -v` shares with the lists. */
#pragma once

#include "cli/listing.h"

extern const struct listing_kind image_df_kind, volume_df_kind, container_df_kind;

/* A listed container, image (its first tag) or volume of the API as a row. */
void container_row(struct cli *cli, struct listing *l, const struct json *c, bool trunc);
void image_row(struct cli *cli, struct listing *l, const struct json *i, bool trunc);
void volume_row(struct cli *cli, struct listing *l, const struct json *v);

/* Version of the client: docker's when called by its name, else proa's. */
const char *client_version_text(const struct cli *cli);
