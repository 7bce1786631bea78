/*
 * store/snapshot.c: rows and directories of layers and snapshots. See snapshot.h.
 *
 * Numbers come from a counter above everything that exists at open; a number
 * is never used twice in the life of a process, and a directory without a row
 * is dead.
 */
#include "store/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "base/fs.h"
#include "base/fs_walk.h"
#include "base/str.h"
#include "base/vec.h"
#include "store/content.h"
#include "store/snapshot_impl.h"

const char *snapshot_driver_name(enum snapshot_driver d)
{
	return d == SNAPSHOT_COPY ? "vfs" : "overlay2";
}

bool snapshots_need_userxattr(void)
{
	/* "inside outside length" of the first range; the whole in the first namespace. */
	static const char whole[] = "         0          0 4294967295";
	auto_(buf) b = BUF_INIT(65536);

	if (geteuid() != 0)
		return true;
	return fs_read_file("/proc/self/uid_map", &b, NULL) == 0 && b.len > 0 &&
	       strncmp(b.data, whole, strlen(whole)) != 0;
}

enum snapshot_driver snapshots_driver(const struct snapshots *s)
{
	return s->driver;
}

void mounts_release(struct mounts *m)
{
	for (size_t i = 0; i < m->n_lower; i++)
		free(m->lower[i]);
	free(m->lower);
	free(m->root);
	free(m->upper);
	free(m->work);
	*m = (struct mounts){ 0 };
}

static void read_boot_id(struct snapshots *s)
{
	auto_(buf) b = BUF_INIT(64);

	if (fs_read_file("/proc/sys/kernel/random/boot_id", &b, NULL) == 0)
		snprintf(s->boot, sizeof(s->boot), "%.36s", b.data);
}

#define NO_BLOB "NOT EXISTS(SELECT 1 FROM layer_blobs b WHERE b.diff_id=layers.diff_id)"

/* After a power cut: layers whose data may not have reached the disk, and that nothing can make
 * again. */
static int drop_unsynced(struct snapshots *s, struct error *err)
{
	auto_(db_tx) tx = DB_TX_INIT;
	int r = db_begin(s->db, DB_NORMAL, &tx, err);

	if (r == 0)
		r = db_run(s->db, err,
			   "DELETE FROM snapshots WHERE key IN (SELECT key FROM snapshot_layers "
			   "JOIN layers USING(diff_id) WHERE synced=0 AND boot<>? AND " NO_BLOB ")",
			   "t", s->boot);
	if (r == 0)
		r = db_run(s->db, err, "DELETE FROM layers WHERE synced=0 AND boot<>? AND " NO_BLOB,
			   "t", s->boot);
	if (r == 0)
		r = db_run(s->db, err,
			   "DELETE FROM snapshot_layers WHERE key NOT IN "
			   "(SELECT key FROM snapshots)",
			   "");
	return r < 0 ? r : db_commit(&tx, err);
}

/*
 * Tell ext4 that the directories here have nothing to do with each other: it
 * puts each into a block group of its own. Otherwise a layer's files go where
 * the files of a layer just removed were, and ext4 looks at every inode that was
 * freed within the last minute before it takes another: an unpack after a removal
 * of 40,000 files then costs three times as much. Other file systems refuse, fine.
 */
static void spread(int dirfd)
{
	int flags;

	if (ioctl(dirfd, FS_IOC_GETFLAGS, &flags) == 0 && !(flags & FS_TOPDIR_FL)) {
		flags |= FS_TOPDIR_FL;
		(void)ioctl(dirfd, FS_IOC_SETFLAGS, &flags);
	}
}

int snapshots_open(struct db *db, const char *root, enum snapshot_driver driver,
		   struct snapshots **ret, struct error *err)
{
	struct snapshots *s = new0(struct snapshots);
	int r = fs_mkdir_all(root, 0711, err);

	s->db = db;
	s->driver = driver;
	s->root = xstrdup(root);
	s->dirfd = FD_NONE;
	read_boot_id(s);
	if (r == 0)
		r = fs_open(root, O_RDONLY | O_DIRECTORY, 0, &s->dirfd, err);
	if (r == 0)
		spread(s->dirfd);
	if (r == 0 && mkdirat(s->dirfd, "empty", 0755) < 0 && errno != EEXIST)
		r = error_sys(err, errno, "create '%s/empty'", root);
	if (r == 0)
		r = drop_unsynced(s, err);
	if (r == 0)
		r = snapshots_sweep(s, err);
	if (r < 0) {
		snapshots_close(s);
		return r;
	}
	*ret = s;
	return 0;
}

void snapshots_close(struct snapshots *s)
{
	if (!s)
		return;
	if (s->dirfd >= 0)
		close(s->dirfd);
	free(s->root);
	free(s);
}

int snapshots_sweep(struct snapshots *s, struct error *err)
{
	auto_(fs_names) names = { 0 };
	uint64_t n;
	int64_t rows;
	int r = fs_read_names(s->dirfd, &names, err);

	for (size_t i = 0; r == 0 && i < names.len; i++) {
		if (parse_u64(str_of(names.at[i]), INT64_MAX, &n, NULL) < 0)
			continue;
		if ((int64_t)n > atomic_load(&s->last))
			atomic_store(&s->last, (int64_t)n);
		r = db_get_int(s->db, &rows, err,
			       "SELECT (SELECT count(*) FROM layers WHERE number=?1) + "
			       "(SELECT count(*) FROM snapshots WHERE number=?1)",
			       "i", (int64_t)n);
		if (r == 0 && rows == 0)
			r = snapshot_dir_remove(s, (int64_t)n, err);
	}
	return r;
}

/* ---- directories ---- */

int snapshot_dir_make(struct snapshots *s, int64_t *ret_number, int *ret_fs, bool with_work,
		      struct error *err)
{
	int64_t number = atomic_fetch_add(&s->last, 1) + 1;
	autoclose int dir = FD_NONE, tree = FD_NONE;
	char name[24];
	int r;

	snprintf(name, sizeof(name), "%lld", (long long)number);
	if (fault_hit("mkdir") || mkdirat(s->dirfd, name, 0711) < 0)
		return error_sys(err, errno, "create '%s/%s'", s->root, name);
	dir = openat(s->dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fault_hit("mkdir") || dir < 0 || mkdirat(dir, "fs", 0755) < 0 ||
	    (with_work && mkdirat(dir, "work", 0711) < 0)) {
		r = error_sys(err, errno, "create '%s/%s/fs'", s->root, name);
		(void)snapshot_dir_remove(s, number, NULL);
		return r;
	}
	tree = openat(dir, "fs", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	/* The umask has no say in what a root file system looks like. */
	if (tree < 0 || fchmod(tree, 0755) < 0) {
		r = error_sys(err, errno, "open '%s/%s/fs'", s->root, name);
		(void)snapshot_dir_remove(s, number, NULL);
		return r;
	}
	*ret_number = number;
	*ret_fs = steal_fd(&tree);
	return 0;
}

int snapshot_dir_remove(struct snapshots *s, int64_t number, struct error *err)
{
	char name[24];

	snprintf(name, sizeof(name), "%lld", (long long)number);
	return fs_remove_tree(s->dirfd, name, err);
}

int snapshot_dir_open(struct snapshots *s, int64_t number, int *ret, struct error *err)
{
	char path[32];

	snprintf(path, sizeof(path), "%lld/fs", (long long)number);
	*ret = fault_hit("open")
		   ? FD_NONE
		   : openat(s->dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (*ret < 0)
		return error_sys(err, errno, "open '%s/%s'", s->root, path);
	return 0;
}

int snapshots_remove_number(struct snapshots *s, int64_t number, struct error *err)
{
	return snapshot_dir_remove(s, number, err);
}

/* ---- layers ---- */

int snapshot_layer_begin(struct snapshots *s, struct layer_draft *ret, struct error *err)
{
	return snapshot_dir_make(s, &ret->number, &ret->fd, false, err);
}

void snapshot_layer_abort(struct snapshots *s, struct layer_draft *d)
{
	if (d->number == 0)
		return;
	close(d->fd);
	(void)snapshot_dir_remove(s, d->number, NULL);
	*d = (struct layer_draft)LAYER_DRAFT_INIT;
}

/* Row for a directory that is complete. false: the layer was there already. */
static int add_layer_row(struct snapshots *s, int64_t number, const struct layer_info *info,
			 bool *ret_new, struct error *err)
{
	char text[DIGEST_TEXT_MAX];
	int r;

	digest_format(&info->diff_id, text);
	r = db_run(s->db, err,
		   "INSERT OR IGNORE INTO layers(diff_id,number,size,tar_size,synced,boot) "
		   "VALUES(?,?,?,?,0,?)",
		   "tiiit", text, number, (int64_t)info->size, (int64_t)info->tar_size, s->boot);
	if (r < 0)
		return r;
	*ret_new = db_changes(s->db) > 0;
	return 0;
}

int snapshot_layer_commit(struct snapshots *s, struct layer_draft *d, const struct layer_info *info,
			  struct error *err)
{
	bool is_new = false;
	int r;

	db_lock(s->db);
	r = add_layer_row(s, d->number, info, &is_new, err);
	db_unlock(s->db);
	if (r < 0 || !is_new) {
		snapshot_layer_abort(s, d);
		return r;
	}
	close(d->fd);
	*d = (struct layer_draft)LAYER_DRAFT_INIT;
	return 0;
}

int snapshot_layer_get(struct snapshots *s, const struct digest *diff_id, struct layer_info *ret,
		       struct error *err)
{
	auto_(db_stmt) q = DB_STMT_INIT;
	char text[DIGEST_TEXT_MAX];
	bool row = false;
	int r =
	    db_prepare(s->db, "SELECT number,size,tar_size FROM layers WHERE diff_id=?", &q, err);

	if (r < 0)
		return r;
	digest_format(diff_id, text);
	db_bind_text(&q, 1, text);
	r = db_step(&q, &row, err);
	if (r < 0)
		return r;
	if (!row)
		return error_set(err, ERR_NOT_FOUND, "layer %s not found", text);
	*ret = (struct layer_info){
		.diff_id = *diff_id,
		.number = db_col_int(&q, 0),
		.size = (uint64_t)db_col_int(&q, 1),
		.tar_size = (uint64_t)db_col_int(&q, 2),
	};
	return 0;
}

int snapshot_layer_open(struct snapshots *s, const struct digest *diff_id, int *ret_fd,
			struct error *err)
{
	struct layer_info info;
	int r = snapshot_layer_get(s, diff_id, &info, err);

	return r < 0 ? r : snapshot_dir_open(s, info.number, ret_fd, err);
}

int snapshot_layer_dir(struct snapshots *s, const struct digest *diff_id, int *ret_fd,
		       struct error *err)
{
	struct layer_info info;
	char name[24];
	int r = snapshot_layer_get(s, diff_id, &info, err);

	if (r < 0)
		return r;
	snprintf(name, sizeof(name), "%lld", (long long)info.number);
	return fs_open_beneath(s->dirfd, name, O_RDONLY | O_DIRECTORY, 0, ret_fd, err);
}

int snapshots_unsure(struct snapshots *s, struct digest **ret, size_t *ret_n, struct error *err)
{
	auto_(db_stmt) q = DB_STMT_INIT;
	int r = db_prepare(s->db,
			   "SELECT diff_id FROM layers WHERE synced=0 AND NOT " NO_BLOB
			   " AND (boot<>? OR NOT EXISTS(SELECT 1 FROM snapshot_layers s "
			   "WHERE s.diff_id=layers.diff_id))",
			   &q, err);

	if (r < 0)
		return r;
	db_bind_text(&q, 1, s->boot);
	return db_read_digests(&q, ret, ret_n, err);
}

int snapshot_layer_renew(struct snapshots *s, struct layer_draft *d, const struct layer_info *info,
			 struct error *err)
{
	char text[DIGEST_TEXT_MAX];
	struct layer_info old;
	int r = snapshot_layer_get(s, &info->diff_id, &old, err);

	digest_format(&info->diff_id, text);
	if (r == 0)
		r = db_run(s->db, err,
			   "UPDATE layers SET number=?,size=?,tar_size=?,synced=0,boot=?,disk=0 "
			   "WHERE diff_id=?",
			   "iiitt", d->number, (int64_t)info->size, (int64_t)info->tar_size,
			   s->boot, text);
	if (r < 0) {
		snapshot_layer_abort(s, d);
		return r;
	}
	close(d->fd);
	*d = (struct layer_draft)LAYER_DRAFT_INIT;
	return snapshot_dir_remove(s, old.number, err);
}

int snapshot_layer_lost(struct snapshots *s, const struct digest *diff_id, struct error *err)
{
	auto_(db_tx) tx = DB_TX_INIT;
	char text[DIGEST_TEXT_MAX];
	int r = db_begin(s->db, DB_NORMAL, &tx, err);

	digest_format(diff_id, text);
	if (r == 0)
		r = db_run(s->db, err,
			   "DELETE FROM snapshots WHERE key IN "
			   "(SELECT key FROM snapshot_layers WHERE diff_id=?)",
			   "t", text);
	if (r == 0)
		r = db_run(s->db, err, "DELETE FROM layers WHERE diff_id=?", "t", text);
	if (r == 0)
		r = db_run(s->db, err,
			   "DELETE FROM snapshot_layers WHERE key NOT IN "
			   "(SELECT key FROM snapshots)",
			   "");
	if (r == 0)
		r = db_commit(&tx, err);
	return r < 0 ? r : snapshots_sweep(s, err);
}

struct synced {
	int64_t number;
	uint64_t disk;
};

/* Now that the blocks are there, they can be counted, once and for all. */
static int mark_synced(struct snapshots *s, struct synced *layers, size_t n, struct error *err)
{
	auto_(db_tx) tx = DB_TX_INIT;
	char name[24];
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++) {
		snprintf(name, sizeof(name), "%lld", (long long)layers[i].number);
		r = fs_disk_usage(s->dirfd, name, &layers[i].disk, err);
		/* gc may have taken it meanwhile. */
		if (r == -ERR_NOT_FOUND)
			r = 0;
	}
	if (r == 0)
		r = db_begin(s->db, DB_FULL, &tx, err);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = db_run(s->db, err, "UPDATE layers SET synced=1, disk=? WHERE number=?", "ii",
			   (int64_t)layers[i].disk, layers[i].number);
	return r < 0 ? r : db_commit(&tx, err);
}

int snapshots_sync(struct snapshots *s, struct error *err)
{
	VEC(struct synced) layers = { 0 };
	bool row = true;
	int r;

	{
		auto_(db_stmt) q = DB_STMT_INIT;

		r = db_prepare(s->db, "SELECT number FROM layers WHERE synced=0", &q, err);
		while (r == 0 && row) {
			r = db_step(&q, &row, err);
			if (r == 0 && row)
				*vec_push(&layers) = (struct synced){ .number = db_col_int(&q, 0) };
		}
	}
	if (r == 0 && layers.len > 0 && (fault_hit("fsync") || syncfs(s->dirfd) < 0))
		r = error_sys(err, errno, "sync '%s'", s->root);
	if (r == 0 && layers.len > 0)
		r = mark_synced(s, layers.at, layers.len, err);
	vec_release(&layers);
	return r;
}

/* ---- snapshots ---- */

static int missing(const char *key, struct error *err)
{
	return error_set(err, ERR_NOT_FOUND, "snapshot '%s' not found", key);
}

static int find(struct snapshots *s, const char *key, int64_t *ret_number, struct error *err)
{
	int r = db_get_int(s->db, ret_number, err, "SELECT number FROM snapshots WHERE key=?", "t",
			   key);

	return r == -ERR_NOT_FOUND ? missing(key, err) : r;
}

/* An overlay refuses a directory twice. Of a layer that an image has twice the
 * upper one says all that the lower one would: files and whiteouts alike. */
static bool comes_again(const struct digest *diff_ids, size_t n, size_t at)
{
	for (size_t i = at + 1; i < n; i++) {
		if (digest_same(&diff_ids[i], &diff_ids[at]))
			return true;
	}
	return false;
}

/* Absolute paths of layers, topmost first, into m->lower. */
static int lower_paths(struct snapshots *s, const struct digest *diff_ids, size_t n,
		       struct mounts *m, struct error *err)
{
	struct layer_info info;
	int r;

	m->lower = xcalloc(n + 1, sizeof(*m->lower));
	for (size_t i = n; i > 0; i--) {
		if (comes_again(diff_ids, n, i - 1))
			continue;
		r = snapshot_layer_get(s, &diff_ids[i - 1], &info, err);
		if (r < 0)
			return r;
		m->lower[m->n_lower++] = cstr_format("%s/%lld/fs", s->root, (long long)info.number);
	}
	/* An overlay wants at least one: scratch gets an empty directory. */
	if (n == 0)
		m->lower[m->n_lower++] = cstr_format("%s/empty", s->root);
	return 0;
}

static int fill_mounts(struct snapshots *s, int64_t number, const struct digest *diff_ids, size_t n,
		       struct mounts *ret, struct error *err)
{
	auto_(mounts) m = { 0 };
	int r;

	if (s->driver == SNAPSHOT_COPY) {
		*ret = (struct mounts){
			.root = cstr_format("%s/%lld/fs", s->root, (long long)number),
		};
		return 0;
	}
	r = lower_paths(s, diff_ids, n, &m, err);
	if (r < 0)
		return r;
	m.upper = cstr_format("%s/%lld/fs", s->root, (long long)number);
	m.work = cstr_format("%s/%lld/work", s->root, (long long)number);
	m.userxattr = snapshots_need_userxattr();
	*ret = m;
	m = (struct mounts){ 0 };
	return 0;
}

static int add_rows(struct snapshots *s, const char *key, int64_t number,
		    const struct digest *diff_ids, size_t n, struct error *err)
{
	auto_(db_tx) tx = DB_TX_INIT;
	char text[DIGEST_TEXT_MAX];
	struct layer_info info;
	int r = db_begin(s->db, DB_NORMAL, &tx, err);

	if (r < 0)
		return r;
	r = db_run(s->db, err, "INSERT INTO snapshots(key,number) VALUES(?,?)", "ti", key, number);
	if (r == -ERR_CONFLICT)
		return error_set(err, ERR_CONFLICT, "snapshot '%s' exists", key);
	for (size_t i = 0; r == 0 && i < n; i++) {
		digest_format(&diff_ids[i], text);
		/* In the same transaction: gc cannot take it any more afterwards. */
		r = snapshot_layer_get(s, &diff_ids[i], &info, err);
		if (r == 0)
			r = db_run(s->db, err, "INSERT INTO snapshot_layers VALUES(?,?,?)", "tit",
				   key, (int64_t)i, text);
	}
	return r < 0 ? r : db_commit(&tx, err);
}

/* The root directory of an overlay looks as its upper directory does. */
static int copy_root_attributes(struct snapshots *s, const struct digest *top, int to,
				struct error *err)
{
	autoclose int from = FD_NONE;
	struct stat st;
	int r = snapshot_layer_open(s, top, &from, err);

	if (r < 0)
		return r;
	if (fstat(from, &st) < 0 || (geteuid() == 0 && fchown(to, st.st_uid, st.st_gid) < 0) ||
	    fchmod(to, st.st_mode & 07777) < 0)
		return error_sys(err, errno, "copy attributes of the root directory");
	return 0;
}

int snapshot_prepare(struct snapshots *s, const char *key, const struct digest *diff_ids,
		     size_t n_layers, struct mounts *ret, struct error *err)
{
	autoclose int tree = FD_NONE;
	int64_t number;
	int r = snapshot_dir_make(s, &number, &tree, s->driver == SNAPSHOT_OVERLAY, err);

	if (r < 0)
		return r;
	if (n_layers > 0)
		r = copy_root_attributes(s, &diff_ids[n_layers - 1], tree, err);
	if (r == 0 && s->driver == SNAPSHOT_COPY)
		r = snapshot_copy_layers(s, diff_ids, n_layers, tree, err);
	if (r == 0)
		r = add_rows(s, key, number, diff_ids, n_layers, err);
	if (r < 0) {
		(void)snapshot_dir_remove(s, number, NULL);
		return r;
	}
	if (r == 0 && ret)
		r = fill_mounts(s, number, diff_ids, n_layers, ret, err);
	if (r < 0)
		(void)snapshot_remove(s, key, NULL);
	return r;
}

int snapshot_layers(struct snapshots *s, const char *key, struct digest **ret, size_t *ret_n,
		    struct error *err)
{
	auto_(db_stmt) q = DB_STMT_INIT;
	int64_t number;
	int r = find(s, key, &number, err);

	if (r == 0)
		r = db_prepare(
		    s->db, "SELECT diff_id FROM snapshot_layers WHERE key=? ORDER BY pos", &q, err);
	if (r < 0)
		return r;
	db_bind_text(&q, 1, key);
	return db_read_digests(&q, ret, ret_n, err);
}

int snapshot_mounts(struct snapshots *s, const char *key, struct mounts *ret, struct error *err)
{
	autofree struct digest *diff_ids = NULL;
	int64_t number;
	size_t n;
	int r = find(s, key, &number, err);

	if (r == 0)
		r = snapshot_layers(s, key, &diff_ids, &n, err);
	return r < 0 ? r : fill_mounts(s, number, diff_ids, n, ret, err);
}

int snapshot_view(struct snapshots *s, const struct digest *diff_ids, size_t n_layers,
		  struct mounts *ret, struct error *err)
{
	auto_(mounts) m = { 0 };
	int r = lower_paths(s, diff_ids, n_layers, &m, err);

	if (r < 0)
		return r;
	if (s->driver == SNAPSHOT_COPY && n_layers > 1)
		return error_set(err, ERR_UNIMPLEMENTED,
				 "a view of several layers needs overlay: prepare a snapshot");
	if (m.n_lower == 1) {
		*ret = (struct mounts){ .root = steal_ptr(m.lower[0]) };
		return 0;
	}
	m.userxattr = snapshots_need_userxattr();
	*ret = m;
	m = (struct mounts){ 0 };
	return 0;
}

int snapshot_open_upper(struct snapshots *s, const char *key, int *ret_fd, struct error *err)
{
	int64_t number;
	int r = find(s, key, &number, err);

	return r < 0 ? r : snapshot_dir_open(s, number, ret_fd, err);
}

int snapshot_usage(struct snapshots *s, const char *key, uint64_t *ret_bytes, struct error *err)
{
	autoclose int dir = FD_NONE;
	char name[24];
	int64_t number;
	int r = find(s, key, &number, err);

	if (r < 0)
		return r;
	snprintf(name, sizeof(name), "%lld", (long long)number);
	dir = openat(s->dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir < 0)
		return error_sys(err, errno, "open '%s/%s'", s->root, name);
	return fs_content_size(dir, "fs", ret_bytes, err);
}

int snapshot_commit(struct snapshots *s, const char *key, const struct layer_info *info,
		    struct error *err)
{
	auto_(db_tx) tx = DB_TX_INIT;
	bool is_new = false;
	autoclose int dir = FD_NONE;
	int64_t number;
	char name[24];
	int r;

	if (s->driver != SNAPSHOT_OVERLAY)
		return error_set(err, ERR_UNIMPLEMENTED, "a copied snapshot cannot become a layer");
	r = db_begin(s->db, DB_NORMAL, &tx, err);
	if (r == 0)
		r = find(s, key, &number, err);
	if (r == 0)
		r = add_layer_row(s, number, info, &is_new, err);
	if (r == 0)
		r = db_run(s->db, err, "DELETE FROM snapshot_layers WHERE key=?", "t", key);
	if (r == 0)
		r = db_run(s->db, err, "DELETE FROM snapshots WHERE key=?", "t", key);
	if (r == 0)
		r = db_commit(&tx, err);
	if (r < 0)
		return r;
	if (!is_new)
		return snapshot_dir_remove(s, number, err);
	snprintf(name, sizeof(name), "%lld", (long long)number);
	dir = openat(s->dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	/* A work directory that stays costs nothing and goes with the layer. */
	if (dir >= 0 && fs_remove_tree(dir, "work", NULL) < 0)
		return 0;
	return 0;
}

int snapshot_forget(struct snapshots *s, const char *key, int64_t *ret_number, struct error *err)
{
	auto_(db_tx) tx = DB_TX_INIT;
	int64_t number;
	int r = find(s, key, &number, err);

	*ret_number = 0;
	if (r == -ERR_NOT_FOUND)
		return 0;
	if (r == 0)
		r = db_begin(s->db, DB_NORMAL, &tx, err);
	if (r == 0)
		r = db_run(s->db, err, "DELETE FROM snapshot_layers WHERE key=?", "t", key);
	if (r == 0)
		r = db_run(s->db, err, "DELETE FROM snapshots WHERE key=?", "t", key);
	if (r == 0)
		r = db_commit(&tx, err);
	if (r == 0)
		*ret_number = number;
	return r;
}

int snapshot_remove(struct snapshots *s, const char *key, struct error *err)
{
	int64_t number;
	int r = snapshot_forget(s, key, &number, err);

	/* On a full disk even forgetting needs room, which only the files can give. */
	if (r < 0 && find(s, key, &number, NULL) == 0) {
		r = snapshot_dir_remove(s, number, err);
		if (r == 0)
			r = snapshot_forget(s, key, &number, err);
		return r;
	}
	return r < 0 || number == 0 ? r : snapshot_dir_remove(s, number, err);
}

int snapshot_list(struct snapshots *s, int (*fn)(void *arg, const char *key, struct error *err),
		  void *arg, struct error *err)
{
	VEC(char *) keys = { 0 };
	bool row = true;
	int r;

	{
		auto_(db_stmt) q = DB_STMT_INIT;

		r = db_prepare(s->db, "SELECT key FROM snapshots ORDER BY serial", &q, err);
		while (r == 0 && row) {
			r = db_step(&q, &row, err);
			if (r == 0 && row)
				*vec_push(&keys) = xstrdup(db_col_text(&q, 0));
		}
	}
	vec_for_each (k, &keys) {
		if (r == 0)
			r = fn(arg, *k, err);
		free(*k);
	}
	vec_release(&keys);
	return r;
}
