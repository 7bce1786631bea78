/*
 * oci/platform.h: what an image runs on.
 *
 * Plain values. Normalised as containerd does it: "aarch64" is arm64,
 * "x86_64" amd64, "armhf" arm/v7; arm64/v8 and amd64/v1 lose their variant.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

#define PLATFORM_WORD_MAX 64
#define PLATFORM_TEXT_MAX (3 * PLATFORM_WORD_MAX + 3)

struct platform {
	char os[PLATFORM_WORD_MAX]; /* all may be "" */
	char arch[PLATFORM_WORD_MAX];
	char variant[PLATFORM_WORD_MAX];
	char os_version[PLATFORM_WORD_MAX];
};

/* What this machine runs. */
void platform_host(struct platform *ret);

/*
 * "os", "arch", "os/arch" or "os/arch/variant"; what is missing comes from the
 * host. The result is normalised. ERR_INVALID in containerd's words.
 */
MUST_CHECK int platform_parse(const char *text, struct platform *ret, struct error *err);
void platform_normalise(struct platform *p);
/* "linux/arm64/v8", empty parts left out. */
void platform_format(const struct platform *p, char out[static PLATFORM_TEXT_MAX]);
bool platform_is_empty(const struct platform *p);
/*
 * How well an image for `have` runs on `want`: 0 the same, then worse (arm/v7
 * on arm64, 386 on amd64), -1 not at all. An empty `have` (an image that does
 * not say) is the worst match that is still one.
 */
int platform_rank(const struct platform *want, const struct platform *have);
