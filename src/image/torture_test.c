/*
 * Fail the n-th fallible call of import, tag, save, load, manifest and delete,
 * n = 1, 2, ... until it succeeds: the store stays in order, and the next try works.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "archive/tar.h"
#include "base/fault.h"
#include "base/fs.h"
#include "base/jsonw.h"
#include "image/archive.h"
#include "image/commit.h"
#include "image/image.h"
#include "oci/manifest.h"
#include "store/check.h"
#include "store/gc.h"
#include "tests/tap.h"

static struct buf rootfs = BUF_INIT(1 << 20), saved = BUF_INIT(1 << 20);

static int op_import(struct store *s, struct error *err)
{
	struct image_import i = { .tag = "docker.io/library/t:1" };
	struct mem_reader in;
	char *id = NULL;
	int r;

	mem_reader_init(&in, rootfs.data, rootfs.len);
	r = image_import(s, &in.reader, &i, &id, err);
	free(id);
	return r;
}

static int op_tag(struct store *s, struct error *err)
{
	return image_tag(s, "t:1", "t:2", NULL, NULL, err);
}

static int op_manifest(struct store *s, struct error *err)
{
	auto_(buf) b = BUF_INIT(MANIFEST_MAX);
	autofree char *id = NULL;
	struct digest d;
	const char *type;
	int r = image_resolve(s, "t:1", &id, err);

	return r < 0 ? r : image_manifest(s, id, NULL, &b, &type, &d, err);
}

static int op_save(struct store *s, struct error *err)
{
	static const char *const names[] = { "t:1" };
	struct buf_writer out;

	saved.len = 0;
	buf_writer_init(&out, &saved);
	return image_save(s, names, 1, NULL, &out.writer, err);
}

static int delete_image(struct store *s, const char *name, struct error *err)
{
	const struct image_delete_options o = { 0 };
	auto_(buf) b = BUF_INIT(1 << 20);
	struct jsonw w;
	int r;

	jsonw_init(&w, &b);
	r = image_delete(s, name, &o, &w, err);
	/* What a failed try had done already needs no doing again. */
	return r == -ERR_NOT_FOUND ? 0 : r;
}

static int op_untag(struct store *s, struct error *err)
{
	return delete_image(s, "t:2", err);
}

static int op_delete(struct store *s, struct error *err)
{
	return delete_image(s, "t:1", err);
}

/* Imports that succeeded although a call failed are images of their own. */
static int prune(struct store *s, struct error *err)
{
	const struct image_delete_options o = { 0 };
	auto_(buf) b = BUF_INIT(1 << 20);
	struct jsonw w;

	jsonw_init(&w, &b);
	return image_prune(s, NULL, &o, &w, err);
}

static int op_load(struct store *s, struct error *err)
{
	const struct image_load l = { 0 };
	struct mem_reader in;

	mem_reader_init(&in, saved.data, saved.len);
	return image_load(s, &in.reader, &l, err);
}

static const struct {
	const char *name;
	int (*fn)(struct store *s, struct error *err);
} operations[] = {
	{ "import", op_import }, { "tag", op_tag },       { "manifest", op_manifest },
	{ "save", op_save },     { "untag", op_untag },   { "delete", op_delete },
	{ "load", op_load },     { "delete", op_delete },
};

static void say(void *arg, const char *problem, bool repaired)
{
	(void)repaired;
	printf("# %s: %s\n", (const char *)arg, problem);
}

/* Until n is more than the operation's calls: then none failed. */
static void torture(struct store *s, size_t op)
{
	struct check_stats stats = { 0 };
	struct error err = { 0 };
	bool hit = true;
	int r = 0, faults = 0;
	char what[200];

	for (long n = 1; hit && !stats.problems; n++) {
		fault_arm(n, ENOSPC);
		r = operations[op].fn(s, &err);
		hit = fault_count() >= n;
		fault_arm(0, 0);
		faults += r < 0;
		snprintf(what, sizeof(what), "%s, call %ld", operations[op].name, n);
		if (store_check(s, false, say, what, NULL, &stats, &err) < 0)
			break;
	}
	snprintf(what, sizeof(what), "%s: survives %d failures, then succeeds", operations[op].name,
		 faults);
	if (!ok(r == 0 && !hit && stats.problems == 0, what))
		printf("# %s\n", err.msg);
}

int main(void)
{
	char root[] = "/tmp/proa-image-torture-XXXXXX";
	struct buf_writer out;
	struct tar_writer w = TAR_WRITER_INIT(&out.writer);
	struct store_usage usage;
	struct store *s;
	struct error err;
	int tmp;

	if (geteuid() != 0) {
		printf("1..0 # SKIP needs root: owners\n");
		return 0;
	}
	buf_writer_init(&out, &rootfs);
	if (tar_writer_file(&w, "hello", 0644, 5, "hello", 5, &err) < 0 ||
	    tar_writer_finish(&w, &err) < 0 || !mkdtemp(root) ||
	    store_open(root, NULL, &s, &err) < 0)
		return 1;
	for (size_t i = 0; i < ARRAY_LEN(operations); i++)
		torture(s, i);
	/* A lease that could not be dropped goes with the process. */
	store_close(s);
	ok(store_open(root, NULL, &s, &err) == 0 && prune(s, &err) == 0 &&
	       gc_run(s, NULL, NULL, &err) == 0 && store_usage(s, &usage, &err) == 0 &&
	       usage.n_blobs == 0 && usage.n_layers == 0,
	   "nothing is left at the end");
	store_close(s);
	buf_release(&rootfs);
	buf_release(&saved);
	tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ok(fs_remove_tree(tmp, strrchr(root, '/') + 1, &err) == 0, "cleaned up");
	close(tmp);
	return tap_done();
}
