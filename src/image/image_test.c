/* The life of images in a store: import, tag, list, commit, save, load, delete. */
#include "image/image.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/compress.h"
#include "archive/tar.h"
#include "base/buf.h"
#include "base/fs.h"
#include "base/jsonw.h"
#include "base/str.h"
#include "image/archive.h"
#include "image/commit.h"
#include "image/unpack.h"
#include "oci/manifest.h"
#include "oci/media_type.h"
#include "store/check.h"
#include "store/gc.h"
#include "store/lease.h"
#include "tests/tap.h"

static struct error err;
static char roots[3][40];

static struct store *open_store(int i)
{
	static const struct store_options later = { .sync_later = true };
	struct store *s;

	snprintf(roots[i], sizeof(roots[i]), "/tmp/proa-image-XXXXXX");
	if (!mkdtemp(roots[i]) || store_open(roots[i], i == 2 ? &later : NULL, &s, &err) < 0) {
		printf("Bail out! %s\n", err.msg);
		exit(1);
	}
	return s;
}

static void remove_root(int i)
{
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	ok(fs_remove_tree(tmp, strrchr(roots[i], '/') + 1, &err) == 0, "cleaned up");
	close(tmp);
}

static void rootfs(struct buf *b)
{
	struct buf_writer out;
	struct tar_writer w = TAR_WRITER_INIT(&out.writer);
	const struct tar_entry dir = { .type = TAR_DIR, .path = "etc/", .link = "", .mode = 0755 };

	buf_writer_init(&out, b);
	ok(tar_writer_entry(&w, &dir, &err) == 0 &&
	       tar_writer_file(&w, "etc/hello", 0644, 5, "hello", 5, &err) == 0 &&
	       tar_writer_finish(&w, &err) == 0,
	   "a root file system");
}

static void import(struct store *s, const char *tag, char **ret_id)
{
	auto_(buf) tar = BUF_INIT(1 << 20);
	struct mem_reader in;
	autofree char *canonical = NULL;
	struct image_import i = { .message = "Imported from -" };

	rootfs(&tar);
	mem_reader_init(&in, tar.data, tar.len);
	ok(image_name_canonical(tag, &canonical, &err) == 0, "a name");
	i.tag = canonical;
	if (!ok(image_import(s, &in.reader, &i, ret_id, &err) == 0, "is imported"))
		printf("# %s\n", err.msg);
}

static void test_resolve(struct store *s, const char *id)
{
	static const struct {
		const char *name;
		int want;
		const char *msg;
	} cases[] = {
		{ "t", 0, "" },
		{ "t:latest", 0, "" },
		{ "docker.io/library/t", 0, "" },
		{ "t:other", -ERR_NOT_FOUND, "No such image: t:other" },
		{ "nosuch", -ERR_NOT_FOUND, "No such image: nosuch:latest" },
		{ "UPPER", -ERR_INVALID, "" },
	};
	char short_id[13];
	char *got;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		got = NULL;
		is_int(image_resolve(s, cases[i].name, &got, &err), cases[i].want, cases[i].name);
		if (cases[i].want == -ERR_NOT_FOUND)
			is_str(err.msg, cases[i].msg, "  in docker's words");
		free(got);
	}
	snprintf(short_id, sizeof(short_id), "%.12s", id + 7);
	ok(image_resolve(s, short_id, &got, &err) == 0 && strcmp(got, id) == 0, "by short id");
	free(got);
	ok(image_resolve(s, id, &got, &err) == 0, "by whole id");
	free(got);
}

static const struct json *answer(struct buf *b, struct jsonw *w, struct arena *a)
{
	const struct json *j = NULL;

	ok(jsonw_finish(w, &err) == 0 && json_parse(a, b->data, b->len, &j, &err) == 0,
	   "  the answer is JSON");
	return j;
}

static size_t count_list(struct store *s, const char *filters)
{
	auto_(buf) b = BUF_INIT(1 << 20);
	auto_(arena) a = ARENA_INIT;
	struct image_filter f = { 0 };
	const struct json *j;
	struct jsonw w;

	if (filters && json_parse(&a, filters, strlen(filters), &f.filters, &err) < 0)
		return 99;
	jsonw_init(&w, &b);
	if (image_list(s, &f, &w, &err) < 0)
		return 99;
	j = answer(&b, &w, &a);
	return j ? j->n_items : 99;
}

static void test_list(struct store *s)
{
	static const struct {
		const char *filters;
		size_t want;
	} cases[] = {
		{ NULL, 1 },
		{ "{\"reference\":{\"t\":true}}", 1 },
		{ "{\"reference\":[\"u*\"]}", 1 },
		{ "{\"reference\":[\"x\"]}", 0 },
		{ "{\"dangling\":[\"true\"]}", 0 },
		{ "{\"dangling\":{\"false\":true}}", 1 },
		{ "{\"label\":[\"a\"]}", 0 },
		{ "{\"since\":[\"t\"]}", 0 },
		{ "{\"nosuch\":[\"t\"]}", 99 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		is_int((long long)count_list(s, cases[i].filters), (long long)cases[i].want,
		       cases[i].filters ? cases[i].filters : "no filter");
}

static void test_inspect(struct store *s)
{
	auto_(buf) b = BUF_INIT(1 << 20), h = BUF_INIT(1 << 20), later = BUF_INIT(1 << 20);
	auto_(arena) a = ARENA_INIT;
	const struct json *j;
	struct jsonw w;

	jsonw_init(&w, &b);
	ok(image_inspect(s, "t", 41, &w, &err) == 0, "inspect");
	j = answer(&b, &w, &a);
	is_int(json_int(j, "Size", 0), 5, "  has the size");
	is_str(json_str(j, "Comment") ? json_str(j, "Comment") : "", "Imported from -",
	       "  and the comment");
	ok(json_path(j, "Config.Hostname") != NULL, "  before API 1.50 with a container's members");
	jsonw_init(&w, &later);
	ok(image_inspect(s, "t", 50, &w, &err) == 0, "inspect since API 1.50");
	j = answer(&later, &w, &a);
	ok(json_path(j, "Config.Hostname") == NULL && json_path(j, "Config.WorkingDir") != NULL,
	   "  has an image's members alone");
	jsonw_init(&w, &h);
	ok(image_history(s, "t", &w, &err) == 0, "history");
	j = answer(&h, &w, &a);
	ok(j && j->n_items == 1 && json_int(j->items[0], "Size", 0) == 5, "  has one line");
}

/* A container's snapshot changes a file and is committed on top of `id`. */
static void test_commit(struct store *s, const char *id, bool take, struct digest *ret_layer)
{
	auto_(lease) lease = LEASE_INIT;
	auto_(image) base = { 0 };
	auto_(buf) tar = BUF_INIT(1 << 20);
	struct buf_writer out;
	struct layer_info info, again;
	bool empty;
	int fd = FD_NONE;

	ok(lease_open(s->db, "t", &lease, &err) == 0 && image_open(s, id, &base, &err) == 0 &&
	       snapshot_prepare(s->snapshots, "c", base.diff_ids, base.n_layers, NULL, &err) == 0 &&
	       snapshot_open_upper(s->snapshots, "c", &fd, &err) == 0,
	   "a container's snapshot");
	ok(mkdirat(fd, "etc", 0755) == 0 && mknodat(fd, "gone", S_IFCHR, 0) == 0, "  is written");
	close(fd);
	ok(commit_measure(s, "c", NULL, &info, &empty, &err) == 0 && !empty, "  is measured");
	if (take)
		ok(commit_take(s, "c", lease.id, NULL, &again, &err) == 0, "  becomes a layer");
	else
		ok(commit_copy(s, "c", lease.id, NULL, &again, &err) == 0, "  is copied");
	ok(digest_same(&info.diff_id, &again.diff_id) && info.tar_size == again.tar_size,
	   "  with the diffID that was measured");
	buf_writer_init(&out, &tar);
	ok(layer_export(s, &again.diff_id, &out.writer, NULL, &err) == 0 &&
	       tar.len == again.tar_size,
	   "  whose tar can be had again");
	ok(snapshot_remove(s->snapshots, "c", &err) == 0, "  and the snapshot goes");
	*ret_layer = again.diff_id;
}

static int loaded(void *arg, const char *id, const char *familiar, struct error *e)
{
	(void)e;
	(void)id;
	snprintf(arg, 100, "%s", familiar ? familiar : "(none)");
	return 0;
}

static void save_and_load(struct store *s, struct store *other, const char *id, bool zstd)
{
	auto_(buf) tar = BUF_INIT(1 << 22), packed = BUF_INIT(1 << 22);
	static const char *const names[] = { "t" };
	char seen[100] = "";
	struct image_load l = { .loaded = loaded, .arg = seen };
	struct buf_writer out, out2;
	struct compressor *c;
	struct mem_reader in;
	char *got = NULL;

	buf_writer_init(&out, &tar);
	if (!ok(image_save(s, names, 1, NULL, &out.writer, &err) == 0, "save"))
		printf("# %s\n", err.msg);
	if (zstd) {
		buf_writer_init(&out2, &packed);
		ok(compressor_new(COMPRESSION_ZSTD, 0, &out2.writer, &c, &err) == 0 &&
		       writer_write(compressor_writer(c), tar.data, tar.len, &err) == 0 &&
		       compressor_finish(c, &err) == 0,
		   "  compressed");
		compressor_free(c);
		mem_reader_init(&in, packed.data, packed.len);
	} else {
		mem_reader_init(&in, tar.data, tar.len);
	}
	if (!ok(image_load(other, &in.reader, &l, &err) == 0, "load"))
		printf("# %s\n", err.msg);
	is_str(seen, "t:latest", "  tells the name");
	ok(image_resolve(other, "t", &got, &err) == 0 && strcmp(got, id) == 0,
	   "  the id is the same in another store");
	free(got);
	for (size_t cut = 600; cut < tar.len - 2048; cut += 1000) {
		mem_reader_init(&in, tar.data, cut);
		if (image_load(other, &in.reader, &l, &err) == 0)
			ok(0, "  a cut archive is refused");
	}
}

static void test_manifest(struct store *s, const char *id)
{
	auto_(buf) a = BUF_INIT(1 << 20), b = BUF_INIT(1 << 20);
	struct digest first, second;
	const char *type;

	ok(image_manifest(s, id, NULL, &a, &type, &first, &err) == 0, "a manifest is made");
	is_str(type, MEDIA_DOCKER_MANIFEST, "  in docker's form");
	ok(image_manifest(s, id, NULL, &b, &type, &second, &err) == 0 &&
	       digest_same(&first, &second) && a.len == b.len,
	   "  once and for all");
}

static void delete_all(struct store *s, const char *name, size_t want)
{
	const struct image_delete_options o = { 0 };
	auto_(buf) b = BUF_INIT(1 << 20);
	auto_(arena) a = ARENA_INIT;
	const struct json *j;
	struct jsonw w;

	jsonw_init(&w, &b);
	if (!ok(image_delete(s, name, &o, &w, &err) == 0, "delete"))
		printf("# %s\n", err.msg);
	j = answer(&b, &w, &a);
	if (!ok(j && j->n_items == want, "  says what went"))
		printf("# %s\n", b.data);
}

static void nothing_left(struct store *s)
{
	struct store_usage usage;
	struct check_stats stats;

	ok(store_check(s, false, NULL, NULL, NULL, &stats, &err) == 0 && stats.problems == 0,
	   "the store is in order");
	ok(gc_run(s, NULL, NULL, &err) == 0 && store_usage(s, &usage, &err) == 0 &&
	       usage.n_blobs == 0 && usage.n_layers == 0,
	   "and empty");
}

/* ---- layers that a crash has left unsure ---- */

/* As after a power cut before the flush: of the layer's files one is gone. */
static void lose_a_file(struct store *s, const char *boot, struct digest *ret_layer)
{
	autofree char *text = NULL;
	autoclose int fd = FD_NONE;

	ok(db_get_text(s->db, &text, &err, "SELECT diff_id FROM layers", "") == 0 &&
	       digest_from_text(text, ret_layer, &err) == 0 &&
	       snapshot_layer_open(s->snapshots, ret_layer, &fd, &err) == 0 &&
	       unlinkat(fd, "etc/hello", 0) == 0,
	   "a file of the layer is lost");
	ok(db_run(s->db, &err, "UPDATE layers SET synced=0, boot=coalesce(?,boot)", "t", boot) == 0,
	   "which was not flushed");
}

static bool has_its_file(struct store *s, const struct digest *layer)
{
	autoclose int fd = FD_NONE;

	return snapshot_layer_open(s->snapshots, layer, &fd, &err) == 0 &&
	       faccessat(fd, "etc/hello", F_OK, 0) == 0;
}

static struct store *again(struct store *s, size_t want_again, size_t want_lost)
{
	static const struct store_options later = { .sync_later = true };
	size_t n = 99, lost = 99;
	int64_t unsynced = 1;

	store_close(s);
	ok(store_open(roots[2], &later, &s, &err) == 0 && unpack_unsure(s, &n, &lost, &err) == 0,
	   "opened again");
	is_int(n, want_again, "so many layers are made again");
	is_int(lost, want_lost, "so many are lost");
	if (n > 0)
		ok(db_get_int(s->db, &unsynced, &err, "SELECT count(*) FROM layers WHERE synced=0",
			      "") == 0 &&
		       unsynced == 0,
		   "and flushed");
	return s;
}

/* A container keeps the layer, nothing keeps the blob from which it could be made again. */
static struct store *test_blob_goes(struct store *s, const char *old_id)
{
	int64_t synced = 0, blobs = 1;
	struct digest layer;
	char *id = NULL;

	import(s, "t", &id);
	s = again(s, 0, 0);
	lose_a_file(s, NULL, &layer);
	ok(snapshot_prepare(s->snapshots, "container/2", &layer, 1, NULL, &err) == 0 &&
	       images_delete(s, id, &err) == 0 && images_delete(s, old_id, &err) == 0 &&
	       gc_run(s, NULL, NULL, &err) == 0,
	   "the images go");
	ok(db_get_int(s->db, &blobs, &err, "SELECT count(*) FROM layer_blobs", "") == 0 &&
	       blobs == 0,
	   "and the blob");
	ok(db_get_int(s->db, &synced, &err, "SELECT synced FROM layers", "") == 0 && synced == 1,
	   "after the layer was flushed");
	free(id);
	return s;
}

static void test_unsure(void)
{
	struct store *s = open_store(2);
	struct check_stats stats = { 0 };
	struct digest layer, blob;
	char *id = NULL, *type = NULL;
	auto_(mounts) m = { 0 };
	uint64_t size;

	import(s, "t", &id);
	/* The flush behind the answer is over when the store is closed. */
	s = again(s, 0, 0);
	lose_a_file(s, "another-boot", &layer);
	s = again(s, 1, 0);
	ok(has_its_file(s, &layer), "after a power cut the layer has its file again");
	lose_a_file(s, NULL, &layer);
	s = again(s, 1, 0);
	ok(has_its_file(s, &layer), "also when only the engine was killed");
	ok(snapshot_prepare(s->snapshots, "container/1", &layer, 1, NULL, &err) == 0, "in use");
	lose_a_file(s, NULL, &layer);
	s = again(s, 0, 0);
	ok(!has_its_file(s, &layer), "what a container uses is let alone while the boot lasts");
	ok(db_run(s->db, &err, "UPDATE layers SET boot='another-boot'", "") == 0, "power goes");
	s = again(s, 1, 0);
	ok(has_its_file(s, &layer), "then it is made again under the container");
	ok(snapshot_mounts(s->snapshots, "container/1", &m, &err) == 0, "which is still there");
	ok(store_check(s, false, NULL, NULL, NULL, &stats, &err) == 0 && stats.problems == 0,
	   "the store is whole");
	lose_a_file(s, "another-boot", &layer);
	ok(layer_blobs_find(s, &layer, &blob, &size, &type, &err) == 0 &&
	       content_remove(s->content, &blob, &err) == 0,
	   "without its blob");
	s = again(s, 0, 1);
	ok(snapshot_layer_get(s->snapshots, &layer, &(struct layer_info){ 0 }, &err) ==
	       -ERR_NOT_FOUND,
	   "the layer is gone");
	s = test_blob_goes(s, id);
	free(id);
	free(type);
	store_close(s);
	remove_root(2);
}

int main(void)
{
	struct store *s, *other;
	struct digest layer;
	char *id = NULL;

	if (geteuid() != 0) {
		printf("1..0 # SKIP needs root: devices\n");
		return 0;
	}
	s = open_store(0);
	other = open_store(1);
	import(s, "t", &id);
	test_resolve(s, id);
	ok(image_tag(s, "t", "u:2", NULL, NULL, &err) == 0, "tag");
	test_list(s);
	test_inspect(s);
	test_commit(s, id, true, &layer);
	test_commit(s, id, false, &layer);
	save_and_load(s, other, id, false);
	test_manifest(s, id);
	delete_all(other, "t", 3);
	nothing_left(other);
	save_and_load(s, other, id, true);
	delete_all(s, "u:2", 1);
	delete_all(s, "t", 3);
	nothing_left(s);
	free(id);
	store_close(s);
	store_close(other);
	remove_root(0);
	remove_root(1);
	test_unsure();
	return tap_done();
}
