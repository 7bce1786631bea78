/* Layers, snapshots, leases, images, gc and check of a whole store. */
#include "store/store.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/hash.h"
#include "base/str.h"
#include "store/check.h"
#include "store/gc.h"
#include "store/images.h"
#include "store/lease.h"
#include "store/mount.h"
#include "tests/tap.h"

static struct error err;

static struct digest digest_of(const char *text)
{
	struct digest d = { .algo = DIGEST_SHA256 };

	hash_sha256(text, strlen(text), d.bytes);
	return d;
}

static void put_file(int dir, const char *name, const char *text)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		ok(0, "write a test file");
	close(fd);
}

static struct digest add_layer(struct store *s, const char *file)
{
	struct layer_info info = { .diff_id = digest_of(file), .size = 5, .tar_size = 1024 };
	struct layer_draft d = LAYER_DRAFT_INIT;

	ok(snapshot_layer_begin(s->snapshots, &d, &err) == 0, "a layer draft begins");
	put_file(d.fd, file, file);
	ok(snapshot_layer_commit(s->snapshots, &d, &info, &err) == 0, "and is committed");
	return info.diff_id;
}

static void test_layers(struct store *s)
{
	struct digest a = add_layer(s, "a");
	struct layer_info info;
	struct mounts m;
	int fd;

	ok(snapshot_layer_get(s->snapshots, &a, &info, &err) == 0 && info.size == 5,
	   "a committed layer is found");
	add_layer(s, "a");
	ok(snapshot_view(s->snapshots, &a, 1, &m, &err) == 0 && m.root,
	   "one layer is viewed as its directory");
	mounts_release(&m);
	a = digest_of("none");
	is_int(snapshot_layer_open(s->snapshots, &a, &fd, &err), -ERR_NOT_FOUND,
	       "an unknown layer is not found");
}

static void test_snapshots(struct store *s)
{
	struct digest layers[] = { digest_of("a"), add_layer(s, "b"), digest_of("none") };
	struct layer_info info = { .diff_id = digest_of("c"), .size = 1 };
	struct mounts m = { 0 };
	struct digest *got;
	size_t n;
	int fd;

	is_int(snapshot_prepare(s->snapshots, "x", layers, 3, NULL, &err), -ERR_NOT_FOUND,
	       "a missing layer is refused");
	ok(snapshot_prepare(s->snapshots, "x", layers, 2, &m, &err) == 0,
	   "a snapshot over two layers is made");
	is_int(snapshot_prepare(s->snapshots, "x", layers, 2, NULL, &err), -ERR_CONFLICT,
	       "a key is given once");
	if (snapshots_driver(s->snapshots) == SNAPSHOT_OVERLAY) {
		ok(m.n_lower == 2 && m.upper && m.work, "overlay: two lower directories");
		if (geteuid() == 0 && mount_open(&m, false, &fd, &err) == 0) {
			ok(faccessat(fd, "a", F_OK, 0) == 0 && faccessat(fd, "b", F_OK, 0) == 0,
			   "the mount shows both layers");
			put_file(fd, "c", "c");
			close(fd);
		}
		ok(snapshot_open_upper(s->snapshots, "x", &fd, &err) == 0, "the upper opens");
		close(fd);
		ok(snapshot_layers(s->snapshots, "x", &got, &n, &err) == 0 && n == 2 &&
		       digest_same(&got[0], &layers[0]),
		   "its layers are known");
		free(got);
		ok(snapshot_commit(s->snapshots, "x", &info, &err) == 0,
		   "the upper becomes a layer");
		ok(snapshot_layer_get(s->snapshots, &info.diff_id, &info, &err) == 0,
		   "which is found");
	} else {
		ok(m.root != NULL, "copy: one directory");
		ok(fs_open(m.root, O_RDONLY | O_DIRECTORY, 0, &fd, &err) == 0 &&
		       faccessat(fd, "a", F_OK, 0) == 0 && faccessat(fd, "b", F_OK, 0) == 0,
		   "which holds both layers");
		close(fd);
		ok(snapshot_remove(s->snapshots, "x", &err) == 0, "it is removed");
	}
	mounts_release(&m);
	is_int(snapshot_mounts(s->snapshots, "x", &m, &err), -ERR_NOT_FOUND, "and is gone");
	ok(snapshot_remove(s->snapshots, "x", &err) == 0, "removing it again is success");
}

/* Old images hold the empty layer many times. */
static void test_layer_twice(struct store *s)
{
	struct digest layers[] = { digest_of("a"), digest_of("b"), digest_of("a") };
	struct mounts m = { 0 };
	int fd = FD_NONE;

	ok(snapshot_prepare(s->snapshots, "twice", layers, 3, &m, &err) == 0,
	   "a layer may come twice");
	ok(geteuid() != 0 || mount_open(&m, false, &fd, &err) == 0, "and is mounted");
	if (fd >= 0) {
		ok(faccessat(fd, "a", F_OK, 0) == 0 && faccessat(fd, "b", F_OK, 0) == 0,
		   "all files are there");
		close(fd);
	}
	mounts_release(&m);
	ok(snapshot_remove(s->snapshots, "twice", &err) == 0, "and removed");
}

/* What is mounted without syncing leaves a mark in its work directory. */
static void test_no_sync(struct store *s)
{
	struct digest layers[] = { digest_of("a") };
	struct mounts m = { 0 };
	int fd = FD_NONE;

	if (geteuid() != 0 || snapshots_driver(s->snapshots) != SNAPSHOT_OVERLAY)
		return;
	ok(snapshot_prepare(s->snapshots, "loose", layers, 1, &m, &err) == 0, "prepared");
	m.no_sync = true;
	ok(mount_open(&m, false, &fd, &err) == 0, "an overlay that never syncs is mounted");
	put_file(fd, "kept", "x");
	close(fd);
	ok(mount_open(&m, false, &fd, &err) == 0 && faccessat(fd, "kept", F_OK, 0) == 0,
	   "and mounted again with all that was written");
	close(fd);
	mounts_release(&m);
	ok(snapshot_remove(s->snapshots, "loose", &err) == 0, "and removed");
}

static bool shows(int root, const char *path)
{
	return faccessat(root, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int sub_dir(int at, const char *name, mode_t mode)
{
	int fd;

	if (mkdirat(at, name, mode) < 0 ||
	    (fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		abort();
	return fd;
}

static void lower_layer(int root)
{
	int d = sub_dir(root, "d", 0755), o = sub_dir(root, "o", 0755);

	put_file(d, "keep", "1");
	put_file(d, "deleted", "1");
	put_file(o, "hidden", "1");
	put_file(root, "becomes-dir", "1");
	close(sub_dir(root, "becomes-file", 0755));
	close(d);
	close(o);
}

static bool upper_layer(int root)
{
	int d = sub_dir(root, "d", 0700), o = sub_dir(root, "o", 0755);
	int n = sub_dir(root, "becomes-dir", 0755);
	bool made = mknodat(d, "deleted", S_IFCHR, makedev(0, 0)) == 0 &&
		    fsetxattr(o, "trusted.overlay.opaque", "y", 1, 0) == 0;

	put_file(o, "new", "2");
	put_file(n, "inside", "2");
	put_file(root, "becomes-file", "2");
	close(d);
	close(o);
	close(n);
	return made;
}

/* Whatever the driver, two layers look the same. */
static void test_one_over_the_other(struct store *s)
{
	struct layer_info info = { .size = 1 };
	struct digest layers[] = { digest_of("lower"), digest_of("upper") };
	struct layer_draft d = LAYER_DRAFT_INIT, u = LAYER_DRAFT_INIT;
	struct mounts m = { 0 };
	struct stat st = { 0 };
	int fd = FD_NONE;
	char v;

	if (geteuid() != 0)
		return;
	ok(snapshot_layer_begin(s->snapshots, &d, &err) == 0, "a layer");
	lower_layer(d.fd);
	info.diff_id = layers[0];
	ok(snapshot_layer_commit(s->snapshots, &d, &info, &err) == 0 &&
	       snapshot_layer_begin(s->snapshots, &u, &err) == 0,
	   "  and one over it");
	ok(upper_layer(u.fd), "  with a whiteout and an opaque directory");
	info.diff_id = layers[1];
	ok(snapshot_layer_commit(s->snapshots, &u, &info, &err) == 0 &&
	       snapshot_prepare(s->snapshots, "both", layers, 2, &m, &err) == 0 &&
	       mount_open(&m, false, &fd, &err) == 0,
	   "  are mounted");
	ok(shows(fd, "d/keep") && !shows(fd, "d/deleted"), "a whiteout hides what it names");
	ok(fstatat(fd, "d", &st, 0) == 0 && (st.st_mode & 07777) == 0700,
	   "a directory has the upper one's mode");
	ok(shows(fd, "o/new") && !shows(fd, "o/hidden"), "an opaque directory hides all below");
	ok(shows(fd, "becomes-dir/inside"), "a directory takes a file's place");
	ok(fstatat(fd, "becomes-file", &st, 0) == 0 && S_ISREG(st.st_mode),
	   "and a file a directory's");
	close(fd);
	if (m.root) {
		autofree char *opaque = cstr_format("%s/o", m.root);

		ok(getxattr(opaque, "trusted.overlay.opaque", &v, 1) < 0,
		   "a copy carries no overlay attributes");
	}
	mounts_release(&m);
	ok(snapshot_remove(s->snapshots, "both", &err) == 0, "and removed");
}

static int count_tag(void *arg, const char *tag, const char *id, struct error *e)
{
	(void)tag;
	(void)id;
	(void)e;
	++*(int *)arg;
	return 0;
}

static void test_images_and_gc(struct store *s)
{
	struct digest layers[] = { digest_of("a"), digest_of("b") }, config, other,
		      manifest = { 0 };
	static const char *const tags[] = { "docker.io/library/x:1" };
	struct layer_blob blobs[2];
	struct image_put put = { .diff_ids = layers, .n_layers = 2, .os = "linux" };
	auto_(lease) lease = LEASE_INIT;
	autofree char *old = NULL, *id = NULL;
	struct gc_stats stats;
	char text[DIGEST_TEXT_MAX];
	int n = 0;

	ok(lease_open(s->db, "test", &lease, &err) == 0, "a lease opens");
	ok(content_add(s->content, "{}", 2, &config, &err) == 0 &&
	       content_add(s->content, "M", 1, &manifest, &err) == 0 &&
	       content_add(s->content, "garbage", 7, &other, &err) == 0,
	   "blobs come");
	blobs[0] = (struct layer_blob){ manifest, layers[0], "t", 1 };
	put.id = config;
	put.manifest = &manifest;
	put.manifest_media_type = "m";
	put.blobs = blobs;
	put.n_blobs = 1;
	ok(lease_add_digest(s->db, lease.id, REF_BLOB, &other, &err) == 0, "one is leased");
	ok(images_put(s, &put, tags, 1, "docker.io/library/x@sha256:0", &old, &err) == 0,
	   "an image is recorded");
	ok(gc_run(s, NULL, &stats, &err) == 0, "gc runs");
	is_int(stats.blobs, 0, "gc keeps what an image or a lease names");
	ok(snapshot_layer_get(s->snapshots, &layers[1], &(struct layer_info){ 0 }, &err) == 0,
	   "and the layers of an image");
	lease_close(&lease);
	ok(gc_run(s, NULL, &stats, &err) == 0 && stats.blobs == 1 && stats.blob_bytes == 7,
	   "gc takes what no lease keeps any more");
	digest_format(&config, text);
	ok(tags_get(s, "docker.io/library/x:1", &id, NULL, &err) == 0 && strcmp(id, text) == 0,
	   "the tag leads to the image");
	ok(tags_each(s, text, count_tag, &n, &err) == 0 && n == 1, "one tag");
	ok(snapshot_prepare(s->snapshots, "keeper", layers, 1, NULL, &err) == 0,
	   "a snapshot stands on the lower layer");
	is_int(images_delete_untagged(s, text, &err), -ERR_CONFLICT, "an image with a tag stays");
	ok(images_delete(s, text, &err) == 0 && gc_run(s, NULL, &stats, &err) == 0,
	   "the image is deleted and gc runs");
	is_int(tags_set(s, "docker.io/library/x:2", text, NULL, NULL, &err), -ERR_NOT_FOUND,
	       "it gets no tag any more");
	is_int(repo_digests_set(s, "docker.io/library/x@sha256:1", text, &err), -ERR_NOT_FOUND,
	       "nor a digest");
	is_int(manifests_add(s, text, "M2", 2, "m", &other, &err), -ERR_NOT_FOUND,
	       "nor a manifest");
	is_int(layer_blobs_add(s, text, blobs, &err), -ERR_NOT_FOUND, "nor a blob");
	is_int(stats.layers, 1, "a layer under a snapshot stays, the other goes");
	is_int(stats.blobs, 2, "the config and the manifest go");
	ok(snapshot_remove(s->snapshots, "keeper", &err) == 0 &&
	       gc_run(s, NULL, &stats, &err) == 0 && stats.layers == 1,
	   "it goes with the snapshot");
}

static void test_check(struct store *s, const char *root)
{
	struct check_stats stats;
	struct digest d;
	char text[DIGEST_TEXT_MAX];
	autofree char *path = NULL;

	ok(store_check(s, false, NULL, NULL, NULL, &stats, &err) == 0 && stats.problems == 0,
	   "a store in order has no problems");
	ok(content_add(s->content, "bits", 4, &d, &err) == 0, "a blob comes");
	digest_format(&d, text);
	path = cstr_format("%s/content/blobs/sha256/%.2s/%s", root, text + 7, text + 7);
	ok(truncate(path, 2) == 0, "and is cut");
	ok(store_check(s, false, NULL, NULL, NULL, &stats, &err) == 0 && stats.problems == 1 &&
	       stats.repaired == 0,
	   "check finds it");
	ok(store_check(s, true, NULL, NULL, NULL, &stats, &err) == 0 && stats.repaired == 1,
	   "repair removes it");
	ok(store_check(s, false, NULL, NULL, NULL, &stats, &err) == 0 && stats.problems == 0,
	   "and all is well");
}

struct heard {
	char text[8192];
};

static void hear(void *arg, const char *problem, bool repaired)
{
	struct heard *h = arg;
	size_t n = strlen(h->text);

	snprintf(h->text + n, sizeof(h->text) - n, "%s%s\n", problem,
		 repaired ? " (repaired)" : "");
}

/* A store as a disk that lost files leaves it: each loss is named, and repair leaves what works. */
static void test_losses(struct store *s)
{
	static const struct {
		const char *what, *sql;
	} losses[] = {
		{ "a tag", "INSERT INTO tags VALUES('lost:1','sha256:gone',NULL)" },
		{ "a digest", "INSERT INTO repo_digests VALUES('lost@sha256:1','sha256:gone')" },
		{ "an owner", "INSERT INTO refs VALUES('image:sha256:gone',1,'sha256:x')" },
		{ "a lease", "INSERT INTO refs VALUES('lease:gone',2,'sha256:x')" },
		{ "an image", "INSERT INTO images VALUES('sha256:half','',0,0,'','','',0,NULL,0)" },
		{ "its layer", "INSERT INTO image_layers VALUES('sha256:half',0,'sha256:none')" },
		{ "a layer", "INSERT INTO layers(diff_id,number,size,tar_size,synced,boot) "
			     "VALUES('sha256:empty',99999,1,1,1,'')" },
	};
	struct heard first = { "" }, again = { "" };
	struct check_stats stats;

	for (size_t i = 0; i < ARRAY_LEN(losses); i++)
		ok(db_run(s->db, &err, losses[i].sql, "") == 0, losses[i].what);
	ok(store_check(s, false, hear, &first, NULL, &stats, &err) == 0 && stats.repaired == 0,
	   "  are lost");
	ok(strstr(first.text, "tag lost:1: its image is missing\n") &&
	       strstr(first.text, "digest lost@sha256:1: its image is missing\n") &&
	       strstr(first.text, "image sha256:gone: blob sha256:x is missing\n") &&
	       strstr(first.text, "reference of lease:gone to sha256:x: its owner is missing\n") &&
	       strstr(first.text, "image sha256:half: its config is missing\n") &&
	       strstr(first.text, "layer sha256:empty: its directory snapshots/99999/fs is "
				  "missing\n"),
	   "  and each is named");
	ok(store_check(s, true, hear, &again, NULL, &stats, &err) == 0 &&
	       stats.repaired == stats.problems,
	   "  repair mends every one");
	if (!ok(store_check(s, false, NULL, NULL, NULL, &stats, &err) == 0 && stats.problems == 0,
		"  and then the store is in order"))
		printf("# %s\n", again.text);
}

/* Where the disk is not full the reserve is there, and stays. */
static void test_reserve(struct store *s)
{
	struct stat st;

	is_int(fstatat(s->dirfd, "reserve", &st, 0), 0, "a reserve for removals");
	is_int(st.st_size, 1 << 20, "of 1 MiB");
	ok(st.st_blocks >= 2048, "that the disk really holds");
	store_reserve_give(s);
	is_int(faccessat(s->dirfd, "reserve", F_OK, 0), 0, "is kept while there is room");
	(void)unlinkat(s->dirfd, "reserve", 0);
	store_reserve_keep(s);
	is_int(faccessat(s->dirfd, "reserve", F_OK, 0), 0, "and taken again");
}

static void run(const char *driver)
{
	char root[] = "/tmp/proa-store-XXXXXX";
	const struct store_options options = { .driver = driver };
	struct store *s, *other;
	int tmp;

	if (!mkdtemp(root) || !ok(store_open(root, &options, &s, &err) == 0, "the store opens")) {
		printf("# %s\n", err.msg);
		return;
	}
	is_int(store_open(root, &options, &other, &err), -ERR_UNAVAILABLE,
	       "one process at a time has it");
	test_reserve(s);
	test_layers(s);
	test_snapshots(s);
	test_layer_twice(s);
	test_one_over_the_other(s);
	test_no_sync(s);
	test_images_and_gc(s);
	test_check(s, root);
	test_losses(s);
	store_close(s);
	ok(store_open(root, &options, &s, &err) == 0, "it opens again");
	store_close(s);
	tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ok(fs_remove_tree(tmp, strrchr(root, '/') + 1, &err) == 0, "cleaned up");
	close(tmp);
}

int main(void)
{
	run("overlay2");
	run("vfs");
	return tap_done();
}
