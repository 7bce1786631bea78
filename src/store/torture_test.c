/*
 * Fail the n-th call of every store operation, for n = 1, 2, ... until it
 * succeeds: whatever failed, the store holds the old or the new state, check
 * finds nothing, and doing it again works.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/fs.h"
#include "base/hash.h"
#include "store/check.h"
#include "store/gc.h"
#include "store/images.h"
#include "store/lease.h"
#include "store/store.h"
#include "tests/tap.h"

static struct digest digest_of(const char *text)
{
	struct digest d = { .algo = DIGEST_SHA256 };

	hash_sha256(text, strlen(text), d.bytes);
	return d;
}

static struct digest layer_id, config_id;

static int op_blob(struct store *s, struct error *err)
{
	struct content_writer *w;
	struct digest d = digest_of("{\"torture\":1}");
	struct content_expect e = { .digest = &d, .size = 13, .resume = true };
	int r = content_begin(s->content, &e, &w, err);

	if (r < 0)
		return r;
	r = content_offset(w) < 13
		? writer_write(content_sink(w), &"{\"torture\":1}"[content_offset(w)],
			       13 - (size_t)content_offset(w), err)
		: 0;
	if (r < 0) {
		content_abort(w, true);
		return r;
	}
	return content_commit(w, &config_id, NULL, err);
}

static int op_layer(struct store *s, struct error *err)
{
	struct layer_draft d = LAYER_DRAFT_INIT;
	struct layer_info info = { .diff_id = layer_id, .size = 1, .tar_size = 1 };
	int r = snapshot_layer_begin(s->snapshots, &d, err);

	return r < 0 ? r : snapshot_layer_commit(s->snapshots, &d, &info, err);
}

static int op_image(struct store *s, struct error *err)
{
	struct image_put put = { .id = config_id, .diff_ids = &layer_id, .n_layers = 1 };
	static const char *const tags[] = { "docker.io/library/t:1" };

	return images_put(s, &put, tags, 1, NULL, NULL, err);
}

static int op_snapshot(struct store *s, struct error *err)
{
	return snapshot_prepare(s->snapshots, "c/1", &layer_id, 1, NULL, err);
}

static int op_snapshot_remove(struct store *s, struct error *err)
{
	return snapshot_remove(s->snapshots, "c/1", err);
}

static int op_retag(struct store *s, struct error *err)
{
	char id[DIGEST_TEXT_MAX];

	digest_format(&config_id, id);
	return tags_set(s, "docker.io/library/t:2", id, NULL, NULL, err);
}

static int op_gc(struct store *s, struct error *err)
{
	return gc_run(s, NULL, NULL, err);
}

static int op_delete(struct store *s, struct error *err)
{
	char id[DIGEST_TEXT_MAX];

	digest_format(&config_id, id);
	return images_delete(s, id, err);
}

static int op_check(struct store *s, struct error *err)
{
	return store_check(s, true, NULL, NULL, NULL, NULL, err);
}

static void say(void *arg, const char *problem, bool repaired)
{
	printf("# %s: %s%s\n", (const char *)arg, problem, repaired ? " (repaired)" : "");
}

static const struct {
	const char *name;
	int (*fn)(struct store *s, struct error *err);
} operations[] = {
	{ "add a blob", op_blob },
	{ "add a layer", op_layer },
	{ "record an image", op_image },
	{ "prepare a snapshot", op_snapshot },
	{ "tag", op_retag },
	{ "gc that finds nothing", op_gc },
	{ "remove a snapshot", op_snapshot_remove },
	{ "delete an image", op_delete },
	{ "gc that removes all", op_gc },
	{ "check", op_check },
};

/* The whole life, an operation failing on its n-th call until it succeeds. */
static void torture(struct store **s, const char *root, size_t op)
{
	char what[200];
	struct check_stats stats;
	struct error err = { 0 };
	int r = -1, faults = 0;

	for (long n = 1; r < 0 && n < 500; n++) {
		const struct store_options options = { .driver = "overlay2" };

		fault_arm(n, EIO);
		r = operations[op].fn(*s, &err);
		fault_arm(0, EIO);
		faults += r < 0;
		if (store_check(*s, false, say, what, NULL, &stats, &err) < 0 || stats.problems)
			break;
		/* A daemon that was killed here: the next one opens what is there. */
		store_close(*s);
		if (store_open(root, &options, s, &err) < 0) {
			printf("# reopen: %s\n", err.msg);
			exit(1);
		}
	}
	snprintf(what, sizeof(what), "%s: survives %d failures, then succeeds", operations[op].name,
		 faults);
	if (!ok(r == 0, what))
		printf("# %s\n", err.msg);
	snprintf(what, sizeof(what), "%s: check finds nothing", operations[op].name);
	ok(store_check(*s, false, say, what, NULL, &stats, &err) == 0 && stats.problems == 0, what);
}

int main(void)
{
	char root[] = "/tmp/proa-torture-XXXXXX";
	const struct store_options options = { .driver = "overlay2" };
	struct store *s;
	struct store_usage usage;
	struct error err;
	int tmp;

	layer_id = digest_of("layer");
	if (!mkdtemp(root) || store_open(root, &options, &s, &err) < 0)
		return 1;
	for (size_t i = 0; i < ARRAY_LEN(operations); i++)
		torture(&s, root, i);
	ok(store_usage(s, &usage, &err) == 0 && usage.n_blobs == 0 && usage.n_layers == 0,
	   "nothing is left at the end");
	store_close(s);
	tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ok(fs_remove_tree(tmp, strrchr(root, '/') + 1, &err) == 0, "cleaned up");
	close(tmp);
	return tap_done();
}
