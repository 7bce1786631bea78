/* Any bytes as a layer: never leaves its root, reads back what it claims. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/apply.h"
#include "base/fs.h"

static int top = -1;
static char path[256];

static void cleanup(void)
{
	rmdir(path);
}

static void setup(void)
{
	const char *in = getenv("TMPDIR");

	snprintf(path, sizeof(path), "%s/proa-fuzz-XXXXXX", in ? in : "/tmp");
	if (!mkdtemp(path))
		abort();
	top = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	atexit(cleanup);
}

/* The directory that holds the root has the root and nothing else. */
static void check_outside(void)
{
	struct stat st;

	if (fstat(top, &st) < 0 || st.st_nlink > 3)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct apply_options o = { .no_owner = true,
					 .skip_devices = true,
					 .max_bytes = 1 << 20 };
	struct mem_reader in;
	int root;

	if (top < 0)
		setup();
	if (mkdirat(top, "root", 0700) < 0)
		abort();
	root = openat(top, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	mem_reader_init(&in, data, size);
	if (apply_layer(root, &in.reader, &o, NULL, NULL) < 0)
		check_outside();
	check_outside();
	close(root);
	if (fs_remove_tree(top, "root", NULL) < 0)
		abort();
	return 0;
}
