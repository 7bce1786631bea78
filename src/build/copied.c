#include "build/copied.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/vec.h"
#include "store/lease.h"

#define NOTE_NAME   "copied"
#define NOTE_MAGIC  "proa copied 1\n"
#define NOTE_MAX    (64U << 20) /* bytes */
#define FILES_MAX   (256U << 10)
#define ORIGINS_MAX 1000

/* Note: magic, SHA-256 of what follows, then of each file its description, its path and
 * a NUL, sorted by path. Numbers are in the machine's order: a note does not travel. */
_Static_assert(COPIED_HEAD == sizeof(NOTE_MAGIC) - 1 + SHA256_SIZE, "magic and sum");
#define FILE_LEN (SHA256_SIZE + 3 * sizeof(uint32_t) + sizeof(int64_t))

struct copied {
	struct store *store;
	char *origin, *key;
	int old_fd;
	struct buf note;       /* of the older layer */
	VEC(const char *) old; /* paths in it; the description stands before each */
	struct buf added;      /* as in a note, unsorted */
	size_t n_added;
	struct buf fresh; /* of what a note cannot hold: paths, the description unknown */
};

static const char *const steps[] = {
	"CREATE TABLE build_copied(key TEXT PRIMARY KEY, layer TEXT NOT NULL,"
	" used_ns INTEGER NOT NULL) WITHOUT ROWID;",
	"ALTER TABLE build_copied ADD COLUMN origin TEXT NOT NULL DEFAULT '';",
};

int copied_migrate(struct store *s, struct error *err)
{
	return db_migrate(s->db, "build-copied", steps, ARRAY_LEN(steps), err);
}

int copied_forget(struct store *s, struct error *err)
{
	return db_run(s->db, err, "DELETE FROM build_copied", "");
}

static int last_layer(struct copied *c, const char *lease_id, struct digest *ret)
{
	autofree char *text = NULL;
	int r = lease_id == NULL
		    ? -ERR_NOT_FOUND
		    : db_get_text(c->store->db, &text, NULL,
				  "SELECT layer FROM build_copied WHERE key=?", "t", c->key);

	if (r == 0)
		r = digest_from_text(text ? text : "", ret, NULL);
	/* First the lease, then the look: what is there then stays. */
	return r < 0 ? r : lease_add_digest(c->store->db, lease_id, REF_LAYER, ret, NULL);
}

void copied_note_head(const char *body, size_t len, char out[static COPIED_HEAD])
{
	uint8_t sum[SHA256_SIZE];

	hash_sha256(body, len, sum);
	memcpy(out, NOTE_MAGIC, COPIED_HEAD - SHA256_SIZE);
	memcpy(out + COPIED_HEAD - SHA256_SIZE, sum, SHA256_SIZE);
}

static bool is_note(const char *note, size_t len)
{
	char head[COPIED_HEAD];

	if (len < COPIED_HEAD)
		return false;
	copied_note_head(note + COPIED_HEAD, len - COPIED_HEAD, head);
	return memcmp(head, note, COPIED_HEAD) == 0;
}

static int read_note(struct copied *c, const struct digest *layer)
{
	autoclose int dir = FD_NONE;
	int r = snapshot_layer_dir(c->store->snapshots, layer, &dir, NULL);

	if (r == 0)
		r = fs_read_at(dir, NOTE_NAME, &c->note, NULL);
	if (r < 0)
		return -ERR_NOT_FOUND;
	return is_note(c->note.data, c->note.len) ? 0 : -ERR_CORRUPT;
}

static void recall(const char *at, struct copied_file *ret)
{
	memcpy(ret->hash, at, SHA256_SIZE);
	memcpy(&ret->mode, at + SHA256_SIZE, sizeof(ret->mode));
	memcpy(&ret->uid, at + SHA256_SIZE + 4, sizeof(ret->uid));
	memcpy(&ret->gid, at + SHA256_SIZE + 8, sizeof(ret->gid));
	memcpy(&ret->mtime_ns, at + SHA256_SIZE + 12, sizeof(ret->mtime_ns));
}

/* The paths of a note's body; bytes after the last NUL are nothing. */
static void list_paths(const char *at, const char *end, struct copied *c)
{
	while (end - at > (ptrdiff_t)FILE_LEN) {
		const char *path = at + FILE_LEN;
		const char *nul = memchr(path, '\0', (size_t)(end - path));

		if (nul == NULL)
			return;
		*vec_push(&c->old) = path;
		at = nul + 1;
	}
}

struct copied *copied_new(struct store *s, const char *origin, const char *key,
			  const char *lease_id)
{
	struct copied *c = new0(struct copied);
	struct digest layer;

	*c = (struct copied){
		.store = s,
		.origin = xstrdup(origin),
		.key = xstrdup(key),
		.old_fd = FD_NONE,
		.note = BUF_INIT(NOTE_MAX),
		.added = BUF_INIT(NOTE_MAX),
		.fresh = BUF_INIT(NOTE_MAX),
	};
	if (last_layer(c, lease_id, &layer) == 0 && read_note(c, &layer) == 0 &&
	    snapshot_layer_open(s->snapshots, &layer, &c->old_fd, NULL) == 0)
		list_paths(c->note.data + COPIED_HEAD, c->note.data + c->note.len, c);
	return c;
}

void copied_free(struct copied *c)
{
	if (c == NULL)
		return;
	if (c->old_fd >= 0)
		close(c->old_fd);
	vec_release(&c->old);
	buf_release(&c->note);
	buf_release(&c->added);
	buf_release(&c->fresh);
	free(c->origin);
	free(c->key);
	free(c);
}

int copied_old_fd(const struct copied *c)
{
	return c->old_fd;
}

size_t copied_layers(struct store *s, const char *origin, const char *lease_id, struct digest *ret,
		     size_t max)
{
	auto_(db_stmt) q = DB_STMT_INIT;
	size_t n = 0;
	bool row = true;

	if (db_prepare(s->db,
		       "SELECT layer FROM build_copied WHERE origin=? GROUP BY layer "
		       "ORDER BY max(used_ns) DESC LIMIT ?",
		       &q, NULL) < 0)
		return 0;
	db_bind_text(&q, 1, origin);
	db_bind_int(&q, 2, (int64_t)max);
	while (n < max && db_step(&q, &row, NULL) == 0 && row)
		n += digest_from_text(db_col_text(&q, 0), &ret[n], NULL) == 0;
	/* Who looks after the lease sees what is there for good. */
	for (size_t i = 0; i < n; i++)
		(void)!lease_add_digest(s->db, lease_id, REF_LAYER, &ret[i], NULL);
	return n;
}

static void each(const char *note, size_t len,
		 void (*fn)(void *arg, const char *path, const struct copied_file *f), void *arg)
{
	struct copied c = { .old_fd = FD_NONE };

	list_paths(note + COPIED_HEAD, note + len, &c);
	vec_for_each (path, &c.old) {
		struct copied_file f;

		recall(*path - FILE_LEN, &f);
		fn(arg, *path, &f);
	}
	vec_release(&c.old);
}

void copied_each(struct store *s, const struct digest *layer,
		 void (*fn)(void *arg, const char *path, const struct copied_file *f), void *arg)
{
	struct copied c = { .store = s, .note = BUF_INIT(NOTE_MAX) };

	if (read_note(&c, layer) == 0)
		each(c.note.data, c.note.len, fn, arg);
	buf_release(&c.note);
}

int copied_note_each(const char *note, size_t len,
		     void (*fn)(void *arg, const char *path, const struct copied_file *f),
		     void *arg)
{
	if (!is_note(note, len))
		return -ERR_CORRUPT;
	each(note, len, fn, arg);
	return 0;
}

static int compare_path(const void *a, const void *b)
{
	return strcmp(a, *(const char *const *)b);
}

static int compare_paths(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void describe(const struct copied_file *f, char out[static FILE_LEN])
{
	memcpy(out, f->hash, SHA256_SIZE);
	memcpy(out + SHA256_SIZE, &f->mode, sizeof(f->mode));
	memcpy(out + SHA256_SIZE + 4, &f->uid, sizeof(f->uid));
	memcpy(out + SHA256_SIZE + 8, &f->gid, sizeof(f->gid));
	memcpy(out + SHA256_SIZE + 12, &f->mtime_ns, sizeof(f->mtime_ns));
}

bool copied_had(const struct copied *c, const char *path, const struct copied_file *f)
{
	const char *const *found =
	    c->old.len ? bsearch(path, c->old.at, c->old.len, sizeof(*c->old.at), compare_path)
		       : NULL;
	char want[FILE_LEN];

	describe(f, want);
	return found != NULL && memcmp(*found - FILE_LEN, want, FILE_LEN) == 0;
}

void copied_add(struct copied *c, const char *path, const struct copied_file *f)
{
	size_t before = c->added.len;
	char text[FILE_LEN];

	/* A layer of more files has no note. */
	if (c->n_added > FILES_MAX)
		return;
	describe(f, text);
	if (c->n_added++ == FILES_MAX || buf_add(&c->added, text, FILE_LEN, NULL) < 0 ||
	    buf_add(&c->added, path, strlen(path) + 1, NULL) < 0) {
		c->added.len = before;
		c->n_added = FILES_MAX + 1;
	}
}

void copied_add_fresh(struct copied *c, const char *path)
{
	const char unknown[FILE_LEN] = { 0 };
	size_t before = c->fresh.len;

	if (buf_add(&c->fresh, unknown, FILE_LEN, NULL) < 0 ||
	    buf_add(&c->fresh, path, strlen(path) + 1, NULL) < 0)
		c->fresh.len = before;
}

/* Such a file may have been in the older layer, too, whose note could not hold it either. */
static bool is_fresh(const struct copied *c, const char *path)
{
	return c->fresh.len > 0 && path >= c->fresh.data && path < c->fresh.data + c->fresh.len;
}

void copied_compare(const struct copied *c,
		    void (*fn)(void *arg, const char *path, enum copied_change change), void *arg)
{
	struct copied now = { .old_fd = FD_NONE };
	size_t i = 0, k = 0;

	if (c->old_fd < 0)
		return;
	list_paths(c->added.data, c->added.data + c->added.len, &now);
	list_paths(c->fresh.data, c->fresh.data + c->fresh.len, &now);
	if (now.old.len > 0)
		qsort(now.old.at, now.old.len, sizeof(*now.old.at), compare_paths);
	while (i < c->old.len || k < now.old.len) {
		const char *was = i < c->old.len ? c->old.at[i] : NULL;
		const char *is = k < now.old.len ? now.old.at[k] : NULL;
		int order = was == NULL ? 1 : is == NULL ? -1 : strcmp(was, is);

		if (order < 0)
			fn(arg, was, COPIED_GONE);
		else if (order > 0 && !is_fresh(c, is))
			fn(arg, is, COPIED_NEW);
		else if (order == 0 && memcmp(was - FILE_LEN, is - FILE_LEN, FILE_LEN) != 0)
			fn(arg, is, COPIED_CHANGED);
		i += order <= 0;
		k += order >= 0;
	}
	vec_release(&now.old);
}

/* Not made durable: the sum tells a torn one. */
static int write_note(struct copied *c, int dir)
{
	auto_(buf) out = BUF_INIT(NOTE_MAX + COPIED_HEAD);
	autoclose int fd = FD_NONE;
	char head[COPIED_HEAD] = { 0 };
	int r = buf_add(&out, head, sizeof(head), NULL);

	c->old.len = 0;
	list_paths(c->added.data, c->added.data + c->added.len, c);
	qsort(c->old.at, c->old.len, sizeof(*c->old.at), compare_paths);
	vec_for_each (path, &c->old) {
		if (r == 0)
			r = buf_add(&out, *path - FILE_LEN, FILE_LEN + strlen(*path) + 1, NULL);
	}
	if (r < 0)
		return r;
	copied_note_head(out.data + COPIED_HEAD, out.len - COPIED_HEAD, out.data);
	fd = openat(dir, NOTE_NAME, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? -ERR_SYSTEM : fs_write_all(fd, out.data, out.len, NULL);
}

static void remember(struct copied *c, const struct digest *layer)
{
	char text[DIGEST_TEXT_MAX];

	digest_format(layer, text);
	if (db_run(c->store->db, NULL,
		   "INSERT OR REPLACE INTO build_copied(key, layer, used_ns, origin) "
		   "VALUES(?,?,?,?)",
		   "ttit", c->key, text, clock_wall_ns(), c->origin) < 0)
		return;
	(void)!db_run(c->store->db, NULL,
		      "DELETE FROM build_copied WHERE used_ns < (SELECT used_ns FROM build_copied "
		      "ORDER BY used_ns DESC LIMIT 1 OFFSET ?)",
		      "i", (int64_t)ORIGINS_MAX);
}

void copied_save(struct copied *c, const struct digest *layer)
{
	autoclose int dir = FD_NONE;

	if (c->n_added == 0 || c->n_added > FILES_MAX ||
	    snapshot_layer_dir(c->store->snapshots, layer, &dir, NULL) < 0)
		return;
	if (write_note(c, dir) == 0)
		remember(c, layer);
}
