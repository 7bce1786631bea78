/* cli/sha256.h: SHA-256 for the names of contexts, without linking libcrypto. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Spec: FIPS 180-4. len < 2^32. */
void sha256_small(const void *bytes, size_t len, uint8_t ret[static 32]);
