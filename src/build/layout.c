/* build/layout.c: see layout.h. */
#include "build/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/hash.h"
#include "base/str.h"
#include "base/stream.h"
#include "oci/manifest.h"
#include "oci/media_type.h"

#define REF_NAME      "org.opencontainers.image.ref.name"
#define BLOB_PATH_MAX (sizeof("blobs/sha512/") + DIGEST_TEXT_MAX)
#define LAYOUT_TEXT   "{\"imageLayoutVersion\":\"1.0.0\"}"

static void blob_path(const struct digest *d, char out[static BLOB_PATH_MAX])
{
	char text[DIGEST_TEXT_MAX], *colon;

	digest_format(d, text);
	colon = strchr(text, ':');
	*colon = '/';
	snprintf(out, BLOB_PATH_MAX, "blobs/%s", text);
}

int layout_open(int dirfd, const struct descriptor *d, int *ret_fd, struct error *err)
{
	char path[BLOB_PATH_MAX];
	autoclose int fd = FD_NONE;
	struct stat st;
	int r;

	blob_path(&d->digest, path);
	r = fs_open_beneath(dirfd, path, O_RDONLY | O_NONBLOCK, 0, &fd, err);
	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0)
		return error_sys(err, errno, "stat '%s'", path);
	if (!S_ISREG(st.st_mode) || st.st_size != d->size)
		return error_set(err, ERR_CORRUPT, "'%s' is not a file of %lld bytes", path,
				 (long long)d->size);
	*ret_fd = steal_fd(&fd);
	return 0;
}

static int read_all(int fd, uint64_t size, struct buf *b, struct error *err)
{
	struct fd_reader from;
	char chunk[16384];
	size_t n = 1;
	uint64_t left = size;
	int r = 0;

	fd_reader_init(&from, fd, NULL);
	while (r == 0 && n > 0 && left > 0) {
		r = reader_read(&from.reader, chunk, left < sizeof(chunk) ? left : sizeof(chunk),
				&n, err);
		if (r == 0)
			r = buf_add(b, chunk, n, err);
		left -= r == 0 ? n : 0;
	}
	return r;
}

int layout_read(int dirfd, const struct descriptor *d, struct buf *b, struct error *err)
{
	struct digest got = { .algo = DIGEST_SHA256 };
	autoclose int fd = FD_NONE;
	size_t before = b->len;
	int r;

	if (d->digest.algo != DIGEST_SHA256)
		return error_set(err, ERR_UNIMPLEMENTED, "only sha256 digests are supported yet");
	r = layout_open(dirfd, d, &fd, err);
	if (r == 0)
		r = read_all(fd, (uint64_t)d->size, b, err);
	if (r < 0)
		return r;
	hash_sha256(b->data ? b->data + before : "", b->len - before, got.bytes);
	if (!digest_equal(&got, &d->digest))
		return error_set(err, ERR_CORRUPT, "a blob is not what its name says");
	return 0;
}

/* index.json as it is; an empty one when there is none. */
static int read_index(int dirfd, struct arena *a, struct index *ret, struct error *err)
{
	auto_(buf) text = BUF_INIT(MANIFEST_MAX);
	struct manifest_any any;
	autoclose int fd = FD_NONE;
	struct stat st;
	int r;

	*ret = (struct index){ .media_type = MEDIA_OCI_INDEX };
	r = fs_open_beneath(dirfd, "index.json", O_RDONLY | O_NONBLOCK, 0, &fd, err);
	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (size_t)st.st_size > MANIFEST_MAX)
		return error_set(err, ERR_INVALID, "index.json is no file or too large");
	r = read_all(fd, (uint64_t)st.st_size, &text, err);
	if (r == 0)
		r = manifest_parse(a, text.data ? text.data : "", text.len, MEDIA_OCI_INDEX, &any,
				   err);
	if (r < 0)
		return error_wrap(err, r, "index.json");
	if (any.index == NULL)
		return error_set(err, ERR_INVALID, "index.json is not an index");
	*ret = *any.index;
	return 0;
}

int layout_find(int dirfd, struct arena *a, const char *tag, const char *digest,
		struct descriptor *ret, struct error *err)
{
	struct index x;
	char text[DIGEST_TEXT_MAX];
	int r = read_index(dirfd, a, &x, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < x.n_manifests; i++) {
		const char *name = pairs_get(&x.manifests[i].annotations, REF_NAME);

		digest_format(&x.manifests[i].digest, text);
		if (digest ? strcmp(digest, text) == 0 : name && strcmp(name, tag) == 0) {
			*ret = x.manifests[i];
			return 0;
		}
	}
	if (digest != NULL || x.n_manifests != 1)
		return error_set(err, ERR_NOT_FOUND, "nothing in index.json is named %s",
				 digest ? digest : tag);
	*ret = x.manifests[0];
	return 0;
}

/* ---- writing ---- */

/* As if the client had written it: the engine is root. */
static void give_away(int dirfd, int fd)
{
	struct stat st;

	if (fstat(dirfd, &st) == 0)
		(void)!fchown(fd, st.st_uid, st.st_gid);
}

static int make_dirs(int dirfd, struct error *err)
{
	static const char *const dirs[] = { "blobs", "blobs/sha256" };

	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		autoclose int fd = FD_NONE;

		if (mkdirat(dirfd, dirs[i], 0755) < 0) {
			if (errno != EEXIST)
				return error_sys(err, errno, "create '%s'", dirs[i]);
			continue;
		}
		if (fs_open_beneath(dirfd, dirs[i], O_RDONLY | O_DIRECTORY, 0, &fd, NULL) == 0)
			give_away(dirfd, fd);
	}
	return 0;
}

static int put_file(int dirfd, int in, const char *name, int from_fd, struct error *err)
{
	autofree char *partial = cstr_format(".%.64s.partial", name);
	autoclose int fd = FD_NONE;
	int r = fs_open_beneath(in, partial, O_WRONLY | O_CREAT | O_TRUNC, 0644, &fd, err);

	if (r < 0)
		return r;
	give_away(dirfd, fd);
	if (lseek(from_fd, 0, SEEK_SET) < 0)
		r = error_sys(err, errno, "seek");
	if (r == 0)
		r = fs_copy_data(from_fd, fd, err);
	if (r == 0 && renameat(in, partial, in, name) < 0)
		r = error_sys(err, errno, "rename '%s'", partial);
	if (r < 0)
		(void)!unlinkat(in, partial, 0);
	return r;
}

int layout_put(int dirfd, const struct descriptor *d, int from_fd, struct error *err)
{
	char path[BLOB_PATH_MAX];
	autoclose int have = FD_NONE, in = FD_NONE;
	int r;

	if (layout_open(dirfd, d, &have, NULL) == 0)
		return 0;
	r = make_dirs(dirfd, err);
	if (r == 0)
		r = fs_open_beneath(dirfd, "blobs/sha256", O_RDONLY | O_DIRECTORY, 0, &in, err);
	blob_path(&d->digest, path);
	return r < 0 ? r : put_file(dirfd, in, strrchr(path, '/') + 1, from_fd, err);
}

static int put_text(int dirfd, const char *name, const char *text, size_t len, struct error *err)
{
	autoclose int fd = FD_NONE;
	int r = fs_replace(dirfd, name, 0644, text, len, err);

	if (r == 0 && fs_open_beneath(dirfd, name, O_RDONLY, 0, &fd, NULL) == 0)
		give_away(dirfd, fd);
	return r;
}

int layout_tag(int dirfd, const struct descriptor *manifest, const char *tag, struct error *err)
{
	const struct pairs *more = &manifest->annotations;
	struct pair *own;
	auto_(buf) text = BUF_INIT(MANIFEST_MAX);
	auto_(arena) a = ARENA_INIT;
	struct descriptor *entries;
	struct index old, x = { .media_type = MEDIA_OCI_INDEX };
	size_t n_own = 0;
	int r;

	if (read_index(dirfd, &a, &old, NULL) < 0)
		old.n_manifests = 0;
	entries = arena_array(&a, old.n_manifests + 2, sizeof(*entries));
	for (size_t i = 0; i < old.n_manifests; i++) {
		const char *have = pairs_get(&old.manifests[i].annotations, REF_NAME);

		if (have == NULL || strcmp(have, tag) != 0)
			entries[x.n_manifests++] = old.manifests[i];
	}
	own = arena_array(&a, more->n + 1, sizeof(*own));
	own[n_own++] = (struct pair){ REF_NAME, tag };
	for (size_t i = 0; i < more->n; i++) {
		if (strcmp(more->at[i].key, REF_NAME) != 0)
			own[n_own++] = more->at[i];
	}
	entries[x.n_manifests] = *manifest;
	entries[x.n_manifests++].annotations = (struct pairs){ own, n_own };
	x.manifests = entries;
	r = index_format(&x, &text, err);
	if (r == 0)
		r = put_text(dirfd, "oci-layout", LAYOUT_TEXT, strlen(LAYOUT_TEXT), err);
	return r < 0 ? r : put_text(dirfd, "index.json", text.data, text.len, err);
}
