/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/apply.h"
#include "archive/pack.h"
#include "base/base64.h"
#include "base/fs.h"
#include "base/str.h"
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/pipe_body.h"
#include "cli/tar_rebase.h"
#include "cli/units.h"

#define GO_MODE_DIR     (1LL << 31)
#define GO_MODE_SYMLINK (1LL << 27)

struct place {
	const char *container; /* NULL: on this machine */
	const char *path;
};

/* "name:/path"; a path with a leading '/' or '.' is one of ours. */
static struct place place_parse(struct arena *a, const char *arg)
{
	const char *colon = strchr(arg, ':');

	if (*arg == '/' || *arg == '.' || !colon || colon == arg)
		return (struct place){ NULL, arg };
	return (struct place){ arena_strndup(a, arg, (size_t)(colon - arg)), colon + 1 };
}

struct path_stat {
	bool exists, is_dir, is_link;
	const char *link;
};

static int stat_decode(struct arena *a, const struct client_response *response,
		       struct path_stat *ret, struct error *err)
{
	const char *header = client_response_header(response, "X-Docker-Container-Path-Stat");
	auto_(buf) text = BUF_INIT(1 << 20);
	const struct json *j = NULL;
	int64_t mode;
	int r;

	if (!header)
		return error_set(err, ERR_CORRUPT, "the engine's answer has no path stat");
	r = base64_decode(&text, str_of(header), err);
	if (r == 0)
		r = json_parse(a, text.data, text.len, &j, err);
	if (r < 0)
		return r;
	mode = json_int(j, "mode", 0);
	ret->exists = true;
	ret->is_dir = (mode & GO_MODE_DIR) != 0;
	ret->is_link = (mode & GO_MODE_SYMLINK) != 0;
	ret->link = json_str(j, "linkTarget") ? json_str(j, "linkTarget") : "";
	return 0;
}

static int remote_stat(struct cli *cli, const struct place *p, const char *path,
		       struct path_stat *ret, struct error *err)
{
	struct client_request req = { .method = "HEAD" };
	autoptr(client_response) response = NULL;
	auto_(buf) q = api_query();
	int r;

	client_query_add(&q, "path", path);
	req.path = client_path(&cli->arena, "/containers/", p->container, "/archive");
	req.query = q.data;
	r = api_stream(cli, &req, &response, err);
	return r < 0 ? r : stat_decode(&cli->arena, response, ret, err);
}

/* "/a/b/" -> "b", "/" -> "/" */
static const char *base_name(struct arena *a, const char *path)
{
	autofree char *clean = fs_path_clean(path);
	const char *slash = strrchr(clean, '/');

	return arena_strdup(a, slash && slash[1] ? slash + 1 : clean);
}

static const char *dir_name(struct arena *a, const char *path)
{
	autofree char *clean = fs_path_clean(path);
	char *slash = strrchr(clean, '/');

	if (!slash)
		return ".";
	if (slash == clean)
		return "/";
	*slash = 0;
	return arena_strdup(a, clean);
}

static bool asks_contents(const char *path)
{
	return cstr_ends(path, "/.") || strcmp(path, ".") == 0;
}

static const char *link_resolve(struct arena *a, const char *path, const char *target)
{
	autofree char *joined = NULL, *clean = NULL;

	if (*target == '/')
		return target;
	joined = cstr_format("%s/%s", dir_name(a, path), target);
	clean = fs_path_clean(joined);
	return arena_strdup(a, clean);
}

/* Where the copy goes: below `dir` with its root called `name` ("." = its
 * contents alone). Spec: docker cp, "Description". */
static int target_choose(struct arena *a, const char *src, bool src_is_dir, const char *dst,
			 const struct path_stat *to, const char **ret_dir, const char **ret_name,
			 struct error *err)
{
	if (to->exists && to->is_dir) {
		*ret_dir = dst;
		*ret_name = asks_contents(src) && src_is_dir ? "." : base_name(a, src);
		return 0;
	}
	if (to->exists && src_is_dir)
		return error_set(err, ERR_INVALID, "cannot copy directory");
	if (to->exists && cstr_ends(dst, "/"))
		return error_set(err, ERR_INVALID, "not a directory");
	if (!to->exists && !src_is_dir && cstr_ends(dst, "/"))
		return error_set(err, ERR_INVALID, "no such directory");
	*ret_dir = dir_name(a, dst);
	*ret_name = base_name(a, dst);
	return 0;
}

static int stream_to_stdout(struct reader *from, struct error *err)
{
	struct fd_writer out;

	fd_writer_init(&out, STDOUT_FILENO, NULL);
	return stream_copy(from, &out.writer, UINT64_MAX, NULL, err);
}

static int local_extract(const char *dir, const char *name, struct reader *tar, bool keep_owner,
			 struct apply_stats *stats, struct error *err)
{
	struct extract_options options = { .no_overwrite_dir_non_dir = true };
	struct tar_rebase rebase;
	autoclose int fd = FD_NONE;
	int r = fs_open(dir, O_RDONLY | O_DIRECTORY, 0, &fd, err);

	if (r < 0)
		return r;
	options.chown = !keep_owner;
	options.uid = geteuid();
	options.gid = getegid();
	options.keep_existing_dir_meta = true;
	tar_rebase_init(&rebase, tar, name);
	/* The target directory is the root: a link in the archive cannot lead out of it. */
	r = archive_extract(fd, "/", &rebase.reader, &options, stats, err);
	tar_rebase_release(&rebase);
	return r;
}

static void say_done(struct cli *cli, const struct args *args, uint64_t size, const char *to)
{
	if (args_set(args, "quiet") ? args_bool(args, "quiet") : !isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "Successfully copied %s to %s\n", human_size(&cli->arena, (double)size, 3),
		to);
}

static int output_parent_check(struct arena *a, const char *path, struct error *err)
{
	const char *dir = dir_name(a, path);
	char full[PATH_MAX];
	struct stat st;

	if (stat(path, &st) == 0 || stat(dir, &st) == 0)
		return 0;
	if (*dir != '/') {
		autofree char *cwd = getcwd(full, sizeof(full)) ? xstrdup(full) : xstrdup("");

		dir = arena_format(a, "%s/%s", cwd, dir);
	}
	return error_set(err, ERR_INVALID, "invalid output path: directory \"%s\" does not exist",
			 dir);
}

static int copy_out(struct cli *cli, const struct args *args, const struct place *from,
		    const char *dst, struct error *err)
{
	struct arena *a = &cli->arena;
	struct client_request req = { .method = "GET" };
	autoptr(client_response) response = NULL;
	const char *src = from->path, *dir = NULL, *as = NULL;
	struct path_stat st = { 0 }, to = { 0 };
	struct apply_stats stats = { 0 };
	auto_(buf) q = api_query();
	struct stat local;
	int r = 0;

	if (strcmp(dst, "-") != 0)
		r = output_parent_check(a, dst, err);
	if (r == 0 && args_bool(args, "follow-link")) {
		r = remote_stat(cli, from, src, &st, err);
		if (r == 0 && st.is_link)
			src = link_resolve(a, src, st.link);
	}
	if (r < 0)
		return r;
	client_query_add(&q, "path", src);
	req.path = client_path(a, "/containers/", from->container, "/archive");
	req.query = q.data;
	r = api_stream(cli, &req, &response, err);
	if (r < 0)
		return r;
	if (strcmp(dst, "-") == 0)
		return stream_to_stdout(response->body, err);
	r = stat_decode(a, response, &st, err);
	if (r < 0)
		return r;
	to.exists = stat(dst, &local) == 0;
	to.is_dir = to.exists && S_ISDIR(local.st_mode);
	r = target_choose(a, from->path, st.is_dir, dst, &to, &dir, &as, err);
	if (r == 0)
		r = local_extract(dir, as, response->body, args_bool(args, "archive"), &stats, err);
	if (r == 0)
		say_done(cli, args, stats.size, dst);
	return r;
}

struct pack_job {
	int dirfd;
	const char *name;
	struct pack_options options;
	struct pack_stats stats;
};

static int pack_write(void *data, struct writer *to, struct error *err)
{
	struct pack_job *j = data;

	return pack_tree(j->dirfd, j->name, to, &j->options, &j->stats, err);
}

static int upload(struct cli *cli, const struct args *args, const char *container, const char *dir,
		  struct reader *body, struct error *err)
{
	struct client_request req = { .method = "PUT", .content_type = "application/x-tar" };
	autoptr(client_response) response = NULL;
	auto_(buf) q = api_query();

	client_query_add(&q, "path", dir);
	client_query_add(&q, "noOverwriteDirNonDir", "true");
	if (args_bool(args, "archive"))
		client_query_add(&q, "copyUIDGID", "true");
	req.path = client_path(&cli->arena, "/containers/", container, "/archive");
	req.query = q.data;
	req.body_reader = body;
	return api_stream(cli, &req, &response, err);
}

/* The place in the container, through a link at its end. */
static int remote_target(struct cli *cli, const struct place *to, const char **ret_path,
			 struct path_stat *ret, struct error *err)
{
	struct error why = { 0 };
	int r = remote_stat(cli, to, to->path, ret, &why);

	*ret_path = to->path;
	if (r == 0 && ret->is_link) {
		*ret_path = link_resolve(&cli->arena, to->path, ret->link);
		memset(ret, 0, sizeof(*ret));
		r = remote_stat(cli, to, *ret_path, ret, &why);
	}
	if (r < 0 && (r != -ERR_NOT_FOUND || strstr(why.msg, "No such container"))) {
		*err = why;
		return r;
	}
	return 0;
}

static int copy_in(struct cli *cli, const struct args *args, const char *src,
		   const struct place *to, const char *shown, struct error *err)
{
	struct arena *a = &cli->arena;
	const char *dst = NULL, *dir = NULL, *as = NULL;
	struct pack_job job = { .dirfd = FD_NONE };
	autoclose int fd = FD_NONE;
	struct path_stat target = { 0 };
	char full[PATH_MAX];
	struct pipe_body body;
	struct stat st;
	bool whole;
	int r;

	if (!(args_bool(args, "follow-link") || cstr_ends(src, "/") ? stat(src, &st) == 0
								    : lstat(src, &st) == 0)) {
		autofree char *cwd = getcwd(NULL, 0);

		return error_set(err, ERR_NOT_FOUND, "lstat %s%s%s: no such file or directory",
				 *src == '/' ? "" : cwd, *src == '/' ? "" : "/", src);
	}
	r = remote_target(cli, to, &dst, &target, err);
	if (r == 0)
		r = target_choose(a, src, S_ISDIR(st.st_mode), dst, &target, &dir, &as, err);
	if (r < 0)
		return r;
	if (args_bool(args, "follow-link") && realpath(src, full))
		src = full;
	whole = S_ISDIR(st.st_mode);
	r = fs_open(whole ? src : dir_name(a, src), O_RDONLY | O_DIRECTORY, 0, &fd, err);
	if (r < 0)
		return r;
	job.dirfd = fd;
	job.name = whole ? "." : base_name(a, src);
	job.options.rename = strcmp(as, ".") == 0 ? NULL : as;
	job.options.no_root_entry = strcmp(as, ".") == 0;
	r = pipe_body_start(&body, pack_write, &job, err);
	if (r < 0)
		return r;
	r = upload(cli, args, to->container, dir, body.reader, err);
	{
		struct error why = { 0 };

		if (pipe_body_finish(&body, &why) < 0 && r == 0) {
			*err = why;
			r = -why.kind;
		}
	}
	if (r == 0)
		say_done(cli, args, job.stats.size, shown);
	return r;
}

/* A tar on stdin, unpacked in a directory of the container. */
static int copy_in_stdin(struct cli *cli, const struct args *args, const struct place *to,
			 const char *shown, struct error *err)
{
	struct path_stat target = { 0 };
	struct fd_reader in;
	const char *dst = NULL;
	int r = remote_target(cli, to, &dst, &target, err);

	if (r < 0)
		return r;
	if (target.exists && !target.is_dir)
		return error_set(err, ERR_INVALID, "destination \"%s\" must be a directory", shown);
	fd_reader_init(&in, STDIN_FILENO, NULL);
	return upload(cli, args, to->container, dst, &in.reader, err);
}

int cmd_cp(struct cli *cli, const struct args *args, struct error *err)
{
	const char *src = args_operand(args, 0), *dst = args_operand(args, 1);
	struct place from = place_parse(&cli->arena, src), to = place_parse(&cli->arena, dst);

	if (!*src)
		return error_set(err, ERR_INVALID, "source can not be empty");
	if (!*dst)
		return error_set(err, ERR_INVALID, "destination can not be empty");
	if (from.container && to.container)
		return error_set(err, ERR_INVALID, "copying between containers is not supported");
	if (!from.container && !to.container)
		return error_set(err, ERR_INVALID, "must specify at least one container source");
	if (from.container)
		return copy_out(cli, args, &from, to.path, err);
	if (strcmp(from.path, "-") == 0)
		return copy_in_stdin(cli, args, &to, dst, err);
	return copy_in(cli, args, from.path, &to, dst, err);
}
