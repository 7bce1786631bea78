#include "base/random.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/str.h"

void random_bytes(void *out, size_t n)
{
	char *p = out;

	while (n > 0) {
		ssize_t got = getrandom(p, n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			fputs("proa: no random bytes from the kernel\n", stderr);
			abort();
		}
		p += got;
		n -= (size_t)got;
	}
}

void random_hex(char *out, size_t n)
{
	unsigned char bytes[32];

	while (n > 0) {
		size_t part = n < sizeof(bytes) ? n : sizeof(bytes);

		random_bytes(bytes, part);
		hex_format(bytes, part, out);
		out += 2 * part;
		n -= part;
	}
	*out = '\0';
}
