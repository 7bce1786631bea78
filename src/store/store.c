/* store/store.c: see store.h. */
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "store/schema.h"

#define LAYOUT_VERSION "1\n"

static int choose_driver(const char *name, const char *snapshots, enum snapshot_driver *ret,
			 struct error *err)
{
	if (!name || !*name) {
		*ret = snapshots_overlay_works(snapshots) ? SNAPSHOT_OVERLAY : SNAPSHOT_COPY;
		return 0;
	}
	if (strcmp(name, "overlay2") == 0 || strcmp(name, "overlay") == 0)
		*ret = SNAPSHOT_OVERLAY;
	else if (strcmp(name, "vfs") == 0 || strcmp(name, "copy") == 0)
		*ret = SNAPSHOT_COPY;
	else
		return error_set(err, ERR_INVALID,
				 "unknown storage driver '%s': want overlay2 or vfs", name);
	return 0;
}

static int check_version(struct store *s, struct error *err)
{
	auto_(buf) b = BUF_INIT(64);
	int r = fs_read_at(s->dirfd, "version", &b, err);

	if (r == -ERR_NOT_FOUND || (r < 0 && err && err->sys == ENOENT))
		return fs_replace(s->dirfd, "version", 0644, LAYOUT_VERSION, strlen(LAYOUT_VERSION),
				  err);
	if (r < 0)
		return r;
	if (strcmp(b.data, LAYOUT_VERSION) != 0)
		return error_set(err, ERR_CONFLICT,
				 "'%s' has layout version %.10s; this proa knows version 1",
				 s->root, b.data);
	return 0;
}

static int take_lock(struct store *s, struct error *err)
{
	int r;

	s->lock_fd = openat(s->dirfd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->lock_fd < 0)
		return error_sys(err, errno, "open '%s/lock'", s->root);
	r = fs_lock(s->lock_fd, err);
	return r == -ERR_UNAVAILABLE
		   ? error_set(err, ERR_UNAVAILABLE, "the store '%s' is used by another process",
			       s->root)
		   : r;
}

static int open_db(struct store *s, struct error *err)
{
	autofree char *path = cstr_format("%s/meta.db", s->root);
	auto_(db_tx) tx = DB_TX_INIT;
	int r = db_open(path, &s->db, err);

	if (r == 0)
		r = store_migrate(s->db, err);
	if (r == 0)
		r = db_begin(s->db, DB_NORMAL, &tx, err);
	if (r == 0)
		r = db_run(s->db, err,
			   "DELETE FROM refs WHERE owner IN "
			   "(SELECT 'lease:'||id FROM leases WHERE kept=0)",
			   "");
	if (r == 0)
		r = db_run(s->db, err, "DELETE FROM leases WHERE kept=0", "");
	return r < 0 ? r : db_commit(&tx, err);
}

static int open_content(struct store *s, struct error *err)
{
	autoclose int fd = FD_NONE;

	if (mkdirat(s->dirfd, "content", 0710) < 0 && errno != EEXIST)
		return error_sys(err, errno, "create '%s/content'", s->root);
	fd = openat(s->dirfd, "content", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return error_sys(err, errno, "open '%s/content'", s->root);
	return content_dir_new(fd, &s->content, err);
}

static int open_parts(struct store *s, const struct store_options *options, struct error *err)
{
	autofree char *snapshots = cstr_format("%s/snapshots", s->root);
	enum snapshot_driver driver = SNAPSHOT_OVERLAY;
	int r = fs_open(s->root, O_RDONLY | O_DIRECTORY, 0, &s->dirfd, err);

	if (r == 0)
		r = take_lock(s, err);
	if (r == 0)
		r = check_version(s, err);
	if (r == 0) {
		store_reserve_give(s);
		r = open_db(s, err);
	}
	if (r == 0)
		r = open_content(s, err);
	if (r == 0)
		r = fs_mkdir_all(snapshots, 0711, err);
	if (r == 0)
		r = choose_driver(options ? options->driver : NULL, snapshots, &driver, err);
	if (r == 0)
		r = snapshots_open(s->db, snapshots, driver, &s->snapshots, err);
	if (r == 0)
		store_reserve_keep(s);
	return r;
}

int store_open(const char *root, const struct store_options *options, struct store **ret,
	       struct error *err)
{
	struct store *s;
	char *real;
	int r = fs_mkdir_all(root, 0710, err);

	if (r < 0)
		return r;
	real = realpath(root, NULL);
	if (!real)
		return error_sys(err, errno, "resolve '%s'", root);
	s = new0(struct store);
	s->root = real;
	s->dirfd = s->lock_fd = FD_NONE;
	s->sync_later = options && options->sync_later;
	s->sync_lock = (struct lock)LOCK_INIT;
	workers_init(&s->workers);
	r = open_parts(s, options, err);
	if (r < 0) {
		store_close(s);
		return error_wrap(err, r, "open store '%s'", root);
	}
	*ret = s;
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	workers_finish(&s->workers);
	snapshots_close(s->snapshots);
	content_free(s->content);
	db_close(s->db);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	if (s->dirfd >= 0)
		close(s->dirfd);
	free(s->root);
	free(s);
}

static bool take_sync_request(struct store *s)
{
	LOCKED(&s->sync_lock);

	s->syncing = s->sync_wanted;
	s->sync_wanted = false;
	return s->syncing;
}

static void sync_behind(void *arg)
{
	struct store *s = arg;
	struct error failure = { 0 };

	/* After a failure they stay unsynced: as after a crash their blobs are what counts. */
	while (take_sync_request(s))
		if (snapshots_sync(s->snapshots, &failure) < 0)
			log_debug("layers not flushed", KV_ERR(&failure));
}

void store_sync_later(struct store *s)
{
	bool start;

	{
		LOCKED(&s->sync_lock);
		s->sync_wanted = true;
		start = !s->syncing;
		s->syncing = true;
	}
	if (start && workers_start(&s->workers, sync_behind, s, "store-sync", NULL) < 0)
		sync_behind(s);
}

static int add_blob(void *arg, const struct digest *d, uint64_t size, struct error *err)
{
	struct store_usage *u = arg;

	(void)d;
	(void)size;
	(void)err;
	u->n_blobs++;
	return 0;
}

int store_usage(struct store *s, struct store_usage *ret, struct error *err)
{
	static const char *const files[] = { "meta.db", "meta.db-wal", "meta.db-shm" };
	struct store_usage u = { 0 };
	int64_t n = 0, bytes = 0, disk = 0;
	struct stat st;
	/* What a layer takes on disk is known once it is flushed. */
	int r = snapshots_sync(s->snapshots, err);

	if (r == 0)
		r = content_list(s->content, add_blob, &u, err);

	if (r == 0)
		r = db_get_int(s->db, &n, err, "SELECT count(*) FROM layers", "");
	if (r == 0)
		r = db_get_int(s->db, &bytes, err, "SELECT coalesce(sum(size),0) FROM layers", "");
	if (r == 0)
		r = db_get_int(s->db, &disk, err,
			       "SELECT coalesce(sum(CASE disk WHEN 0 THEN size ELSE disk END),0) "
			       "FROM layers WHERE diff_id IN (SELECT diff_id FROM image_layers)",
			       "");
	if (r == 0)
		r = fs_disk_usage(s->dirfd, "content", &u.content_bytes, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		if (fstatat(s->dirfd, files[i], &st, AT_SYMLINK_NOFOLLOW) == 0)
			u.meta_bytes += (uint64_t)st.st_blocks * 512;
	}
	u.n_layers = (uint64_t)n;
	u.layer_bytes = (uint64_t)bytes;
	u.image_disk_bytes = (uint64_t)disk;
	*ret = u;
	return 0;
}
