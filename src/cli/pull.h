/* cli/pull.h: pulling an image, with progress; and the progress of a push. */
#pragma once

#include "cli/cli.h"

/*
 * POST /images/create and show its progress on `out`.
 *
 * image     as typed; platform "" for the engine's
 * quiet     no progress
 * ERR_NOT_FOUND and others with docker's texts; the failure may come inside
 * of the stream.
 */
MUST_CHECK int pull_image(struct cli *cli, const char *image, const char *platform, bool all_tags,
			  bool quiet, FILE *out, struct error *err);
