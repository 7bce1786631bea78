/*
 * build/rune.h: Unicode as the Dockerfile grammar sees it.
 *
 * Dockerfiles, .dockerignore files and shell words are read code point by code
 * point; a byte that is not UTF-8 counts as one RUNE_BAD. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

#define RUNE_BAD 0xFFFDU
#define RUNE_EOF UINT32_MAX

/* Decode the first code point of s; *ret_width (1..4) bytes were used. An empty
 * s gives RUNE_EOF and width 0. */
uint32_t rune_decode(struct str s, size_t *ret_width);
/* Encode into out[4]; returns the number of bytes. Surrogates become RUNE_BAD. */
size_t rune_encode(uint32_t c, char out[static 4]);
bool rune_is_space(uint32_t c);
bool rune_is_digit(uint32_t c);
/* Letters of the scripts that occur in names; symbols and marks are not. */
bool rune_is_letter(uint32_t c);
