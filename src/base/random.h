/* base/random.h: unpredictable bytes from getrandom(2). Never fails. */
#pragma once

#include <stddef.h>

void random_bytes(void *out, size_t n);
/* 2*n hex digits and a NUL: random_hex(out, 32) makes a container id. */
void random_hex(char *out, size_t n);
