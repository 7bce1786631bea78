/* oci/should_fail_test.c: every document below tests/should-fail/oci is refused, in words. The
 * part of a file's name before the first '-' says what it claims to be. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/str.h"
#include "oci/image_config.h"
#include "oci/manifest.h"
#include "oci/runtime_config.h"
#include "tests/tap.h"

static int parse(const char *name, const struct buf *b, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	struct runtime_config runtime;
	struct image_config config;
	struct manifest_any any;
	int r;

	if (cstr_starts(name, "config-"))
		return image_config_parse(&a, b->data, b->len, &config, err);
	if (!cstr_starts(name, "runtime-"))
		return manifest_parse(&a, b->data, b->len, NULL, &any, err);
	r = runtime_config_parse(&a, b->data, b->len, &runtime, err);
	return r < 0 ? r : runtime_config_validate(&runtime, err);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

int main(int argc, char **argv)
{
	struct dirent **list = NULL;
	int n = argc > 1 ? scandir(argv[1], &list, NULL, by_name) : -1;

	ok(n > 25, "the documents are there");
	for (int i = 0; i < n; i++) {
		autofree char *path = cstr_format("%s/%s", argv[1], list[i]->d_name);
		auto_(buf) b = BUF_INIT(8UL * 1024 * 1024);
		struct error err = { 0 };

		if (cstr_ends(path, ".json")) {
			int r = fs_read_file(path, &b, &err);

			ok(r == 0 && parse(list[i]->d_name, &b, &err) < 0, list[i]->d_name);
			printf("# %s\n", err.msg);
		}
		free(list[i]);
	}
	free(list);
	return tap_done();
}
