/*
 * remote/download.h: one file by URL, for ADD https://...
 *
 * No credentials are sent. Redirects are followed, to http and https only.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "base/stream.h"

struct cancel;

/*
 * GET url into `to`, at most max_bytes.
 *
 * ret_name  owned: the last part of the final URL's path, or what
 *           Content-Disposition says; "" when there is none
 *
 * ERR_INVALID for a URL that is not http or https and for a larger body,
 * ERR_NOT_FOUND for 404, ERR_UNAVAILABLE for other answers and no answer, ERR_CANCELED.
 */
MUST_CHECK int remote_download(const char *url, uint64_t max_bytes, const struct cancel *cancel,
			       struct writer *to, char **ret_name, struct error *err);
