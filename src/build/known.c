#include "build/known.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/fs.h"
#include "base/vec.h"
#include "build/copied.h"

#define LAYERS_MAX 16
#define FILES_MAX  (256U << 10)

struct file {
	uint8_t hash[SHA256_SIZE];
	uint32_t mode;
	int layer_fd; /* borrowed */
	const char *path;
	size_t lent; /* of the first of several alike: how many are */
};

struct known {
	struct arena arena;
	VEC(struct file) files; /* sorted by hash and mode */
	VEC(int) layers;        /* fds */
	/* The directory that was linked from last. */
	int dir, dir_layer;
	const char *dir_path;
	size_t dir_len;
};

static int compare(const struct file *a, const uint8_t hash[static SHA256_SIZE], uint32_t mode)
{
	int order = memcmp(a->hash, hash, SHA256_SIZE);

	return order != 0 ? order : a->mode < mode ? -1 : a->mode > mode;
}

static int compare_files(const void *a, const void *b)
{
	const struct file *y = b;

	return compare(a, y->hash, y->mode);
}

static void add_file(void *arg, const char *path, const struct copied_file *f)
{
	struct known *k = arg;
	struct file *to;

	/* What comes from a context is root's. */
	if (f->uid != 0 || f->gid != 0 || k->files.len >= FILES_MAX)
		return;
	to = vec_push(&k->files);
	*to = (struct file){ .mode = f->mode,
			     .layer_fd = k->layers.at[k->layers.len - 1],
			     .path = arena_strdup(&k->arena, path) };
	memcpy(to->hash, f->hash, SHA256_SIZE);
}

struct known *known_new(struct store *s, const char *origin, const char *lease_id)
{
	struct digest layers[LAYERS_MAX];
	size_t n = copied_layers(s, origin, lease_id, layers, LAYERS_MAX);
	struct known *k = new0(struct known);

	k->dir = FD_NONE;
	for (size_t i = 0; i < n; i++) {
		int fd;

		if (snapshot_layer_open(s->snapshots, &layers[i], &fd, NULL) < 0)
			continue;
		*vec_push(&k->layers) = fd;
		copied_each(s, &layers[i], add_file, k);
	}
	if (k->files.len > 1)
		qsort(k->files.at, k->files.len, sizeof(*k->files.at), compare_files);
	return k;
}

void known_free(struct known *k)
{
	if (k == NULL)
		return;
	auto_close_(&k->dir);
	vec_for_each (fd, &k->layers)
		close(*fd);
	vec_release(&k->layers);
	vec_release(&k->files);
	arena_release(&k->arena);
	free(k);
}

/* The first of those that are alike. */
static struct file *find(struct known *k, const uint8_t hash[static SHA256_SIZE], uint32_t mode)
{
	size_t low = 0, high = k->files.len;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare(&k->files.at[middle], hash, mode) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < k->files.len && compare(&k->files.at[low], hash, mode) == 0 ? &k->files.at[low]
										 : NULL;
}

/* Paths of notes begin with '/'. No symlink is followed. */
static int open_dir(struct known *k, const struct file *f, const char **ret_name)
{
	const char *slash = strrchr(f->path, '/'), *path = f->path + (*f->path == '/');
	size_t len = slash > path ? (size_t)(slash - path) : 0;
	autofree char *dir = NULL;

	*ret_name = slash ? slash + 1 : path;
	if (k->dir >= 0 && k->dir_layer == f->layer_fd && k->dir_len == len &&
	    memcmp(k->dir_path, path, len) == 0)
		return 0;
	auto_close_(&k->dir);
	k->dir = FD_NONE;
	dir = str_dup((struct str){ path, len });
	k->dir_layer = f->layer_fd;
	k->dir_path = path;
	k->dir_len = len;
	return fs_open_beneath(f->layer_fd, len ? dir : ".", O_RDONLY | O_DIRECTORY, 0, &k->dir,
			       NULL);
}

/* A note tells what a layer had; the layer tells what it has. */
static bool is_such(const struct stat *st, uint64_t size, mode_t mode)
{
	return S_ISREG(st->st_mode) && (uint64_t)st->st_size == size && st->st_uid == 0 &&
	       st->st_gid == 0 && (st->st_mode & 07777) == mode;
}

bool known_link(struct known *k, const uint8_t hash[static SHA256_SIZE], uint64_t size, mode_t mode,
		int dir, const char *name)
{
	struct file *first = find(k, hash, mode), *f;
	const char *from;
	struct stat st;

	if (first == NULL || first + first->lent >= k->files.at + k->files.len)
		return false;
	f = first + first->lent;
	if (compare(f, hash, mode) != 0)
		return false;
	first->lent++;
	if (open_dir(k, f, &from) < 0 || linkat(k->dir, from, dir, name, 0) < 0)
		return false;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && is_such(&st, size, mode))
		return true;
	(void)!unlinkat(dir, name, 0);
	return false;
}
