/* build/outputs.c: what was built, as a file or directory of the client's. See outputs.h. */
#include "build/outputs.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "archive/pack.h"
#include "base/fs.h"
#include "base/vec.h"
#include "build/cache_places.h"
#include "build/progress.h"
#include "image/archive.h"
#include "image/image.h"

struct local {
	int fd;
};

static int copy_out(void *arg, const struct tree_entry *e, struct error *err)
{
	const struct local *l = arg;
	const char *slash = strrchr(e->rel, '/');
	autoclose int dir = FD_NONE;
	int r;

	if (e->rel[0] == '\0')
		return 0;
	if (S_ISDIR(e->st->st_mode)) {
		if (mkdirat(l->fd, e->rel, e->st->st_mode & 07777) < 0 && errno != EEXIST)
			return error_sys(err, errno, "create '%s'", e->rel);
		return 0;
	}
	{
		autofree char *parent =
		    str_dup((struct str){ e->rel, slash ? (size_t)(slash - e->rel) : 0 });

		r = fs_open_beneath(l->fd, parent[0] ? parent : ".", O_RDONLY | O_DIRECTORY, 0,
				    &dir, err);
	}
	if (r < 0)
		return r;
	if (unlinkat(dir, slash ? slash + 1 : e->rel, 0) < 0 && errno != ENOENT)
		return error_sys(err, errno, "replace '%s'", e->rel);
	return fs_copy_tree(e->dirfd, e->name, dir, slash ? slash + 1 : e->rel, FS_COPY_TIMES, err);
}

static int output_local(struct build *b, const struct build_place *o, struct error *err)
{
	struct tree tree = { .what = "result", .cancel = b->cancel };
	struct local l = { o->fd };
	autoclose int view = FD_NONE;
	int r = rootfs_view(b, b->graph.target->tip, &view, err);

	if (r < 0)
		return r;
	tree.fd = view;
	return tree_walk(&tree, "", NULL, "", copy_out, &l, err);
}

static int output_tar(struct build *b, const struct build_place *o, struct error *err)
{
	struct pack_options options = { .no_root_entry = true, .cancel = b->cancel };
	autoclose int view = FD_NONE;
	struct pack_stats stats;
	struct fd_writer w;
	int r = rootfs_view(b, b->graph.target->tip, &view, err);

	if (r < 0)
		return r;
	fd_writer_init(&w, o->fd, b->cancel);
	return pack_tree(view, ".", &w.writer, &options, &stats, err);
}

static int output_archive(struct build *b, const struct build_place *o, const char *id,
			  struct build_result *ret, struct error *err)
{
	struct image_save_one one = { .id = id,
				      .annotations = output_annotations(b, o),
				      .descriptor_annotations =
					  output_descriptor_annotations(b, o) };
	struct fd_writer w;
	int r = output_names(b, o, &one.tags, err);

	if (r < 0)
		return r;
	while (one.tags[one.n_tags] != NULL)
		one.n_tags++;
	fd_writer_init(&w, o->fd, b->cancel);
	r = image_save_one(b->builder->cfg.store, &one, b->cancel, &w.writer, &ret->manifest, err);
	ret->annotations = output_all_annotations(b, o);
	ret->names = one.tags;
	return r;
}

/* ---- what may be said ---- */

static const struct {
	const char *type;
	const char *attrs[6];
	bool image, dest; /* it is one; it needs a place */
} kinds[] = {
	{ "image",
	  { "name", "push", "push-by-digest", "oci-mediatypes", "compression" },
	  true,
	  false },
	{ "registry",
	  { "name", "push", "push-by-digest", "oci-mediatypes", "compression" },
	  true,
	  false },
	{ "docker", { "name", "dest", "tar" }, true, false },
	{ "oci", { "name", "dest", "tar", "oci-mediatypes" }, true, true },
	{ "local", { "dest" }, false, true },
	{ "tar", { "dest" }, false, true },
};

static bool is_annotation(const char *key)
{
	return cstr_starts(key, "annotation.") || cstr_starts(key, "annotation-manifest.");
}

static bool is_descriptor_annotation(const char *key)
{
	return cstr_starts(key, "annotation-manifest-descriptor.");
}

/* BuildKit says the first, too: one platform has no index but that of a file. */
static int check_index_annotation(size_t kind, const struct build_place *o, const char *key,
				  struct error *err)
{
	if (cstr_starts(key, "annotation-index"))
		return error_set(err, ERR_INVALID,
				 "index annotations not supported for single platform export");
	if (!is_descriptor_annotation(key) || o->fd >= 0)
		return 0;
	return error_set(err, ERR_INVALID,
			 "output: type=%s has no index for manifest-descriptor annotations",
			 kinds[kind].type);
}

static int check_attr(size_t kind, const struct build_place *o, const char *key, struct error *err)
{
	int r = kinds[kind].image ? check_index_annotation(kind, o, key, err) : 0;

	if (r < 0 || (kinds[kind].image && (is_annotation(key) || is_descriptor_annotation(key))))
		return r;
	for (size_t i = 0; i < ARRAY_LEN(kinds[kind].attrs) && kinds[kind].attrs[i]; i++) {
		if (strcmp(kinds[kind].attrs[i], key) == 0)
			return 0;
	}
	return error_set(err, ERR_UNIMPLEMENTED, "output: type=%s with %s is not supported yet",
			 kinds[kind].type, key);
}

static int check_values(const struct build_place *o, struct error *err)
{
	static const char *const bools[] = { "push", "push-by-digest", "oci-mediatypes", "tar" };
	const char *packed = place_attr(o, "compression");
	bool value;
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(bools); i++)
		r = place_bool(o, bools[i], false, &value, err);
	if (r == 0 && packed != NULL && strcmp(packed, "gzip") != 0)
		r = error_set(err, ERR_UNIMPLEMENTED, "output: compression=%s is not supported yet",
			      packed);
	return r;
}

static bool pushes(const struct build_place *o)
{
	bool push = false;

	return strcmp(o->type, "registry") == 0 ||
	       (strcmp(o->type, "image") == 0 && place_bool(o, "push", false, &push, NULL) == 0 &&
		push);
}

static int check_output(const struct build_request *q, const struct build_place *o,
			struct error *err)
{
	size_t kind = 0;
	int r;

	while (kind < ARRAY_LEN(kinds) && strcmp(kinds[kind].type, o->type) != 0)
		kind++;
	if (kind == ARRAY_LEN(kinds))
		return error_set(err, ERR_UNIMPLEMENTED, "output: type=%s is not supported yet",
				 o->type);
	for (size_t i = 0; i < o->n_attrs; i++) {
		r = check_attr(kind, o, o->attrs[i].key, err);
		if (r < 0)
			return r;
	}
	if (kinds[kind].dest && o->fd < 0)
		return error_set(err, ERR_INVALID, "output: type=%s needs dest", o->type);
	if (pushes(o) && place_attr(o, "name") == NULL && (q->tags == NULL || q->tags[0] == NULL))
		return error_set(err, ERR_INVALID, "tag is needed when pushing to registry");
	return check_values(o, err);
}

int outputs_check(const struct build_request *q, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < q->n_outputs; i++)
		r = check_output(q, &q->outputs[i], err);
	return r;
}

bool outputs_want_image(const struct build_request *q)
{
	for (size_t i = 0; i < q->n_outputs; i++) {
		if (strcmp(q->outputs[i].type, "local") != 0 &&
		    strcmp(q->outputs[i].type, "tar") != 0)
			return true;
	}
	return q->n_outputs == 0;
}

bool outputs_keep_image(const struct build_request *q)
{
	for (size_t i = 0; i < q->n_outputs; i++) {
		if (q->outputs[i].fd < 0)
			return true;
	}
	return q->n_outputs == 0;
}

int output_names(struct build *b, const struct build_place *o, const char *const **ret,
		 struct error *err)
{
	static const char *const none[] = { NULL };
	struct str rest = str_of(place_attr(o, "name")), name;
	VEC(const char *) names = { 0 };
	const char **out;
	int r = 0;

	*ret = b->q->tags ? b->q->tags : none;
	if (rest.len == 0)
		return 0;
	while (r == 0 && str_split(&rest, ',', &name)) {
		autofree char *text = str_dup(name), *canonical = NULL;

		r = image_name_canonical(text, &canonical, err);
		if (r == 0)
			*vec_push(&names) = arena_strdup(&b->arena, canonical);
	}
	out = arena_array(&b->arena, names.len + 1, sizeof(*out));
	if (names.len > 0)
		memcpy(out, names.at, names.len * sizeof(*out));
	vec_release(&names);
	*ret = out;
	return r;
}

static struct pairs annotations_of(struct build *b, const struct build_place *o,
				   bool (*is)(const char *key))
{
	struct pair *at = arena_array(&b->arena, o->n_attrs + 1, sizeof(*at));
	size_t n = 0;

	for (size_t i = 0; i < o->n_attrs; i++) {
		if (is(o->attrs[i].key))
			at[n++] = (struct pair){ strchr(o->attrs[i].key, '.') + 1,
						 o->attrs[i].value ? o->attrs[i].value : "" };
	}
	return (struct pairs){ at, n };
}

struct pairs output_annotations(struct build *b, const struct build_place *o)
{
	return annotations_of(b, o, is_annotation);
}

struct pairs output_descriptor_annotations(struct build *b, const struct build_place *o)
{
	return annotations_of(b, o, is_descriptor_annotation);
}

static bool is_any_annotation(const char *key)
{
	return is_annotation(key) || is_descriptor_annotation(key);
}

struct pairs output_all_annotations(struct build *b, const struct build_place *o)
{
	return annotations_of(b, o, is_any_annotation);
}

static int export_to(struct build *b, const struct build_place *o, const char *id,
		     struct build_result *ret, struct error *err)
{
	bool tar = true;
	int r;

	if (strcmp(o->type, "local") == 0)
		return output_local(b, o, err);
	if (strcmp(o->type, "tar") == 0)
		return output_tar(b, o, err);
	if (o->fd < 0)
		return output_image(b, o, id, ret, err);
	r = place_bool(o, "tar", true, &tar, err);
	if (r < 0)
		return r;
	return strcmp(o->type, "oci") == 0 && !tar ? output_layout(b, o, id, ret, err)
						   : output_archive(b, o, id, ret, err);
}

/* BuildKit's words. */
static const char *task_name(const struct build_place *o)
{
	if (strcmp(o->type, "local") == 0)
		return "client directory";
	if (strcmp(o->type, "tar") == 0)
		return "client tarball";
	if (strcmp(o->type, "oci") == 0)
		return "oci image format";
	return o->fd >= 0 ? "docker image format" : "image";
}

int outputs_export(struct build *b, const char *id, struct build_result *ret, struct error *err)
{
	int r = 0;

	*ret = (struct build_result){ .names = id ? b->q->tags : NULL };
	for (size_t i = 0; r == 0 && i < b->q->n_outputs; i++) {
		struct progress_task task;
		struct error why = { 0 };

		progress_task_begin(b->progress, &task, "exporting to %s",
				    task_name(&b->q->outputs[i]));
		r = export_to(b, &b->q->outputs[i], id, ret, &why);
		(void)!progress_task_end(b->progress, &task, r, &why);
		if (err != NULL)
			*err = why;
		if (r < 0)
			error_wrap(err, r, "output %s", b->q->outputs[i].type);
	}
	return r;
}
