/* image/blame.c: which instruction made a file: every layer is asked, whiteouts and all. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/jsonw.h"
#include "base/overlay.h"
#include "base/str.h"
#include "base/vec.h"
#include "image/image.h"
#include "store/mount.h"

enum state { STATE_NONE, STATE_ADDED, STATE_CHANGED, STATE_BELOW, STATE_DELETED };

static const char *const state_names[] = { "", "added", "changed", "below", "deleted" };

/* What one layer says of the path. */
struct saying {
	size_t layer;
	enum state state;
	struct stat st; /* unless deleted */
};

struct blamer {
	struct store *store;
	const struct image *image;
	char *path; /* absolute, clean; symlinks before the last component are followed */
	bool exists;
	struct stat before;
	VEC(struct saying) said;
};

/* As the image shows it: links on the way lead where they lead, the last is itself. */
static int resolve(struct blamer *b, const char *path, struct error *err)
{
	autofree char *rooted = cstr_format("/%s", path), *clean = fs_path_clean(rooted);
	autofree char *dir = NULL;
	char *slash = strrchr(clean, '/');
	autoclose int root = FD_NONE;
	auto_(mounts) m = { 0 };
	int r;

	if (strcmp(clean, "/") == 0)
		return error_set(err, ERR_INVALID, "the root directory is of no instruction");
	r = snapshot_view(b->store->snapshots, b->image->diff_ids, b->image->n_layers, &m, err);
	if (r == 0)
		r = mount_open(&m, true, &root, err);
	*slash = '\0';
	if (r == 0)
		r = fs_resolve_in_root(root, clean[0] ? clean : "/", &dir, err);
	if (r == 0)
		b->path = cstr_format("%s/%s", strcmp(dir, "/") == 0 ? "" : dir, slash + 1);
	return r;
}

/* Only a directory that leads to something else? */
static bool is_same_directory(const struct stat *a, const struct stat *b)
{
	return S_ISDIR(a->st_mode) && a->st_mode == b->st_mode && a->st_uid == b->st_uid &&
	       a->st_gid == b->st_gid;
}

/* hidden: what layers below have there is gone in any case. *ret is not written when the
 * layer says nothing. */
static void judge(const struct blamer *b, bool present, bool hidden, struct saying *ret)
{
	if (!present)
		ret->state = hidden && b->exists ? STATE_DELETED : STATE_NONE;
	else if (!b->exists)
		ret->state = STATE_ADDED;
	else
		ret->state = !hidden && is_same_directory(&ret->st, &b->before) ? STATE_BELOW
										: STATE_CHANGED;
}

static int ask_layer(const struct blamer *b, size_t layer, struct saying *ret, struct error *err)
{
	struct str rest = str_of(b->path + 1), part;
	autoclose int fd = FD_NONE;
	bool hidden = false;
	int r = snapshot_layer_open(b->store->snapshots, &b->image->diff_ids[layer], &fd, err);

	*ret = (struct saying){ .layer = layer };
	while (r == 0 && str_split(&rest, '/', &part)) {
		autofree char *name = str_dup(part);
		bool last = rest.at == NULL || rest.len == 0;
		int next;

		if (fstatat(fd, name, &ret->st, AT_SYMLINK_NOFOLLOW) < 0) {
			if (errno != ENOENT)
				return error_sys(err, errno, "look at '%s'", b->path);
			judge(b, false, hidden, ret);
			return 0;
		}
		if (overlay_is_whiteout(&ret->st) || (!last && !S_ISDIR(ret->st.st_mode))) {
			judge(b, false, true, ret);
			return 0;
		}
		if (!S_ISDIR(ret->st.st_mode)) {
			judge(b, true, hidden, ret);
			return 0;
		}
		next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0)
			return error_sys(err, errno, "open '%s'", b->path);
		close(fd);
		fd = next;
		hidden |= overlay_is_opaque(fd);
		if (last)
			judge(b, true, hidden, ret);
	}
	return r;
}

static int ask_layers(struct blamer *b, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < b->image->n_layers; i++) {
		struct saying s;

		r = ask_layer(b, i, &s, err);
		if (r < 0 || s.state == STATE_NONE)
			continue;
		b->exists = s.state != STATE_DELETED;
		b->before = s.st;
		*vec_push(&b->said) = s;
	}
	return r;
}

/* The history line of a layer: those that made none are passed over. */
static const struct json *line_of(const struct image *i, size_t layer)
{
	const struct json *history = json_get(i->json, "history");

	json_for_each_item (h, history) {
		if (!json_bool(h, "empty_layer", false) && layer-- == 0)
			return h;
	}
	return NULL;
}

static const char *type_of(mode_t mode)
{
	return S_ISREG(mode)   ? "file"
	       : S_ISDIR(mode) ? "directory"
	       : S_ISLNK(mode) ? "symlink"
			       : "special";
}

static void write_saying(const struct blamer *b, const struct saying *s, struct jsonw *w)
{
	const struct json *line = line_of(b->image, s->layer);
	char text[DIGEST_TEXT_MAX];
	const char *by = json_str(line, "created_by");

	/* Imports have only a comment. */
	if (cstr_is_empty(by))
		by = json_str(line, "comment");
	digest_format(&b->image->diff_ids[s->layer], text);
	jsonw_object(w);
	jsonw_kstring(w, "Path", b->path);
	jsonw_kstring(w, "State", state_names[s->state]);
	jsonw_kstring(w, "Layer", text);
	jsonw_kint(w, "Number", (int64_t)s->layer + 1);
	jsonw_kstring(w, "CreatedBy", by ? by : "");
	jsonw_kstring(w, "Created", json_str(line, "created") ? json_str(line, "created") : "");
	if (s->state != STATE_DELETED) {
		jsonw_kstring(w, "Type", type_of(s->st.st_mode));
		jsonw_kint(w, "Mode", s->st.st_mode & 07777);
		jsonw_kint(w, "Uid", s->st.st_uid);
		jsonw_kint(w, "Gid", s->st.st_gid);
		jsonw_kint(w, "Size", S_ISREG(s->st.st_mode) ? s->st.st_size : 0);
	}
	jsonw_end(w);
}

int image_blame(struct store *s, const char *name, const char *path, struct jsonw *w,
		struct error *err)
{
	auto_(image) image = { 0 };
	struct blamer b = { .store = s, .image = &image };
	int r = image_open(s, name, &image, err);

	if (r == 0)
		r = resolve(&b, path, err);
	if (r == 0)
		r = ask_layers(&b, err);
	if (r == 0 && b.said.len == 0)
		r = error_set(err, ERR_NOT_FOUND, "no layer of %s has %s", name, b.path);
	if (r == 0) {
		jsonw_array(w);
		for (size_t i = b.said.len; i-- > 0;)
			write_saying(&b, &b.said.at[i], w);
		jsonw_end(w);
	}
	vec_release(&b.said);
	free(b.path);
	return r;
}
