/* What a client or a Dockerfile calls a repository: nothing of it becomes a flag of git's. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "build/git.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_(arena) a = ARENA_INIT;
	const char *text = arena_strndup(&a, (const char *)data, size);
	struct git_url u;

	(void)git_is_url(text);
	if (git_url_parse(&a, text, &u, NULL) < 0)
		return 0;
	if (u.remote[0] == '-' || u.ref[0] == '-' || u.ref[0] == '\0' || u.keep_git_dir < -1 ||
	    u.keep_git_dir > 1)
		abort();
	if (strlen(u.subdir) + strlen(u.checksum) + strlen(u.remote) > 3 * size + 16)
		abort();
	return 0;
}
