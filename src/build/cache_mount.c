/* build/cache_mount.c: cache mounts leave and come as tars. See cache_gc.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/apply.h"
#include "archive/compress.h"
#include "archive/pack.h"
#include "archive/tar.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/random.h"
#include "build/build_internal.h"
#include "build/cache_gc.h"

#define MOUNT_MAX_BYTES (256ULL << 30)

static int find_mount(struct builder *b, const char *id, int64_t *ret_n, struct error *err)
{
	int r = db_get_int(b->cfg.store->db, ret_n, err, "SELECT n FROM build_mount WHERE id=?",
			   "t", id);

	return r == -ERR_NOT_FOUND ? error_set(err, ERR_NOT_FOUND, "no such cache mount: %s", id)
				   : r;
}

/* `builder du` shows short names of its own: *ret_id is what the Dockerfile says. */
static int name_mount(struct builder *b, const char *name, char **ret_id, struct error *err)
{
	auto_(db_stmt) q = DB_STMT_INIT;
	bool row = true;
	int r = db_prepare(b->cfg.store->db, "SELECT id FROM build_mount", &q, err);

	*ret_id = NULL;
	while (r == 0 && (r = db_step(&q, &row, err)) == 0 && row) {
		const char *id = db_col_text(&q, 0);
		char shown[MOUNT_NAME_SIZE];

		builder_mount_name(id, shown);
		if (strcmp(shown, name) != 0 && strcmp(id, name) != 0)
			continue;
		free(*ret_id);
		*ret_id = xstrdup(id);
	}
	if (r == 0 && *ret_id == NULL)
		*ret_id = xstrdup(name);
	return r;
}

static int pack_mount(struct builder *b, int64_t n, struct writer *to, const struct cancel *cancel,
		      struct error *err)
{
	const struct pack_options options = { .cancel = cancel };
	autofree char *path = cstr_format("mounts/%lld/fs", (long long)n);
	autoclose int fd = FD_NONE;
	struct pack_stats stats;
	int r = fs_open_beneath(b->dir_fd, path, O_RDONLY | O_DIRECTORY, 0, &fd, err);

	return r < 0 ? r : pack_tree(fd, ".", to, &options, &stats, err);
}

int builder_mount_export(struct builder *b, const char *id, struct writer *to,
			 const struct cancel *cancel, struct error *err)
{
	autofree char *name = NULL;
	int64_t n;
	int r = name_mount(b, id, &name, err);

	if (r < 0)
		return r;
	builder_mount_begin(b, name);
	r = find_mount(b, name, &n, err);
	if (r == 0)
		r = pack_mount(b, n, to, cancel, err);
	builder_mount_end(b, name);
	return r;
}

/* Keeps the first bytes that pass: the entry of the top directory is there. */
struct head_reader {
	struct reader reader;
	struct reader *from;
	char bytes[4096];
	size_t len;
};

static int head_read(struct reader *r, void *out, size_t len, size_t *ret_n, struct error *err)
{
	struct head_reader *h = container_of(r, struct head_reader, reader);
	int e = reader_read(h->from, out, len, ret_n, err);
	size_t n = e < 0 ? 0 : *ret_n;

	if (n > sizeof(h->bytes) - h->len)
		n = sizeof(h->bytes) - h->len;
	memcpy(h->bytes + h->len, out, n);
	h->len += n;
	return e;
}

/* Extraction leaves the directory it works in as it is; a cache mount has an owner. */
static void take_top(const struct head_reader *h, int fd)
{
	const struct tar_entry *e = NULL;
	struct mem_reader bytes;
	struct tar_reader *t;

	mem_reader_init(&bytes, h->bytes, h->len);
	t = tar_reader_new(&bytes.reader);
	if (tar_reader_next(t, &e, NULL) == 0 && e != NULL && e->type == TAR_DIR &&
	    (strcmp(e->path, ".") == 0 || strcmp(e->path, "./") == 0)) {
		(void)!fchown(fd, e->uid, e->gid);
		(void)!fchmod(fd, e->mode);
	}
	tar_reader_free(t);
}

/* Into a directory of its own, which goes at the next start should we die. */
static int unpack_mount(struct builder *b, const char *name, struct reader *from,
			const struct cancel *cancel, struct error *err)
{
	struct extract_options options = { .cancel = cancel, .max_bytes = MOUNT_MAX_BYTES };
	autofree char *path = cstr_format("%s/mounts/%s/fs", b->cfg.dir, name);
	autoclose int fd = FD_NONE;
	struct decompressor *d;
	static const struct reader_ops ops = { head_read };
	struct head_reader head = { .reader.ops = &ops };
	struct apply_stats stats;
	int r = fs_mkdir_all(path, 0755, err);

	if (r == 0)
		r = fs_open(path, O_RDONLY | O_DIRECTORY, 0, &fd, err);
	if (r == 0)
		r = decompressor_new(from, &d, err);
	if (r < 0)
		return r;
	head.from = decompressor_reader(d);
	r = archive_extract(fd, ".", &head.reader, &options, &stats, err);
	decompressor_free(d);
	if (r < 0)
		return error_wrap(err, r, "read the archive");
	take_top(&head, fd);
	return 0;
}

/* What was there gets the name of what is thrown away. */
static int swap_mount(struct builder *b, const char *id, int dir, const char *name, const char *old,
		      struct error *err)
{
	autofree char *to = NULL;
	int64_t n, now = clock_wall_ns();
	int r;
	LOCKED(&b->mounts_lock);

	if (map_has(&b->mounts_used, id))
		return error_set(err, ERR_CONFLICT, "cache mount %s is in use", id);
	r = db_run(b->cfg.store->db, err,
		   "INSERT INTO build_mount(id, created_ns, used_ns) VALUES(?,?,?) "
		   "ON CONFLICT(id) DO UPDATE SET used_ns=excluded.used_ns",
		   "tii", id, now, now);
	if (r == 0)
		r = find_mount(b, id, &n, err);
	if (r < 0)
		return r;
	to = cstr_format("%lld", (long long)n);
	if (renameat(dir, to, dir, old) < 0 && errno != ENOENT)
		return error_sys(err, errno, "rename 'mounts/%s'", to);
	if (renameat(dir, name, dir, to) < 0)
		return error_sys(err, errno, "rename 'mounts/%s'", name);
	return 0;
}

int builder_mount_import(struct builder *b, const char *id, struct reader *from,
			 const struct cancel *cancel, struct error *err)
{
	autoclose int dir = FD_NONE;
	char hex[17], name[32], old[32];
	int r;

	random_hex(hex, 8);
	snprintf(name, sizeof(name), "gone-in-%s", hex);
	snprintf(old, sizeof(old), "gone-out-%s", hex);
	r = unpack_mount(b, name, from, cancel, err);
	if (fs_open_beneath(b->dir_fd, "mounts", O_RDONLY | O_DIRECTORY, 0, &dir, NULL) < 0)
		return r;
	if (r == 0)
		r = swap_mount(b, id, dir, name, old, err);
	(void)!fs_remove_tree(dir, r < 0 ? name : old, NULL);
	return r;
}
