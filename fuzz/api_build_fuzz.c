/* POST /build: its query, and after a NUL proa's own words as JSON. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/build.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_fd(int fd)
{
	if (fd != FD_NONE && fd != 10 && fd != 11)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_(arena) a = ARENA_INIT;
	const uint8_t *nul = memchr(data, 0, size);
	size_t n = nul ? (size_t)(nul - data) : size, body = nul ? size - n - 1 : 0;
	struct http_header type = { "Content-Type", "application/json" };
	struct http_request req = { .arena = &a,
				    .headers = { &type, 1 },
				    .content_length = (int64_t)body,
				    .passed_fds = { 10, 11 },
				    .n_passed_fds = 2,
				    .context_fd = 10 };
	struct call c = { .req = &req, .version = 43 };
	struct engine_build b = { .context_fd = FD_NONE };
	struct mem_reader in;

	if (http_query_parse(&a, (struct str){ (const char *)data, n }, &req.query, NULL) < 0)
		return 0;
	mem_reader_init(&in, (const char *)data + size - body, body);
	req.body = &in.reader;
	if (api_build_read(&c, &b, NULL) < 0)
		return 0;
	for (size_t i = 0; i < b.n_named_contexts; i++)
		check_fd(b.named_contexts[i].fd);
	for (size_t i = 0; i < b.n_outputs; i++)
		check_fd(b.outputs[i].fd);
	for (size_t i = 0; i < b.n_caches_to; i++)
		check_fd(b.caches_to[i].fd);
	if (b.shell != NULL && (b.shell->fd < 10 || b.shell->size_fd < 10))
		abort();
	return 0;
}
