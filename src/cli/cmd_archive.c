/* SPDX-License-Identifier: Apache-2.0 */
/* Images and containers as archives: save, load, import, export, commit. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "cli/api.h"
#include "cli/body.h"
#include "cli/commands.h"
#include "cli/output_file.h"
#include "cli/progress.h"
#include "oci/reference.h"

enum { CHUNK = 256 << 10 };

static int body_to_fd(struct reader *from, int fd, const char *path, struct error *err)
{
	autofree char *bytes = xcalloc(1, CHUNK);
	size_t n = 1;
	int r = 0;

	while (r == 0) {
		r = reader_read(from, bytes, CHUNK, &n, err);
		if (r < 0 || n == 0)
			break;
		r = fs_write_all(fd, bytes, n, err);
		if (r < 0)
			r = error_wrap(err, r, "%s", path);
	}
	return r;
}

static int body_to_file(struct reader *from, const char *path, struct error *err)
{
	autoclose int fd = FD_NONE;
	struct output_file file;
	int r = output_file_begin(path, 0600, &file, &fd, err);

	if (r < 0)
		return r;
	r = body_to_fd(from, fd, path, err);
	if (r == 0)
		return output_file_commit(&file, err);
	output_file_abort(&file);
	return r;
}

static int output_check(const char *path, const char *verb, struct error *err)
{
	autofree char *dir = NULL;
	const char *slash;
	struct stat st;

	if (!*path)
		return isatty(STDOUT_FILENO) ? error_set(err, ERR_INVALID,
							 "cowardly refusing to save to a terminal. "
							 "Use the -o flag or redirect")
					     : 0;
	slash = strrchr(path, '/');
	dir = slash ? str_dup((struct str){ path, (size_t)(slash - path) + (slash == path) })
		    : xstrdup(".");
	if (access(dir, F_OK) < 0)
		return error_set(
		    err, ERR_NOT_FOUND,
		    "failed to %s: invalid output path: stat %s: no such file or directory", verb,
		    dir);
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return error_set(err, ERR_INVALID, "failed to %s: cannot write to a directory",
				 verb);
	return 0;
}

static int download(struct cli *cli, const char *path, const char *query, const char *output,
		    struct error *err)
{
	struct client_request req = { .method = "GET", .path = path, .query = query };
	autoptr(client_response) response = NULL;
	int r = api_stream(cli, &req, &response, err);

	if (r < 0)
		return r;
	return *output ? body_to_file(response->body, output, err)
		       : body_to_fd(response->body, STDOUT_FILENO, "standard output", err);
}

int cmd_save(struct cli *cli, const struct args *args, struct error *err)
{
	auto_(buf) q = api_query();
	int r = output_check(args_str(args, "output"), "save image", err);

	if (r < 0)
		return r;
	r = api_platforms(cli, args, "platform", &q, err);
	if (r < 0)
		return error_wrap(err, r, "invalid platform");
	for (size_t i = 0; i < args->operands.len; i++)
		client_query_add(&q, "names", args->operands.at[i]);
	return download(cli, "/images/get", q.data, args_str(args, "output"), err);
}

int cmd_export(struct cli *cli, const struct args *args, struct error *err)
{
	int r = output_check(args_str(args, "output"), "export container", err);

	if (r < 0)
		return r;
	return download(cli,
			client_path(&cli->arena, "/containers/", args_operand(args, 0), "/export"),
			NULL, args_str(args, "output"), err);
}

/* The file, or our stdin for "-" and "". */
static int input_open(const char *path, int *ret_fd, struct error *err)
{
	if (!*path || strcmp(path, "-") == 0) {
		*ret_fd = STDIN_FILENO;
		return 0;
	}
	*ret_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (*ret_fd < 0)
		return error_set(err, ERR_NOT_FOUND, "open %s: %s", path,
				 errno == ENOENT   ? "no such file or directory"
				 : errno == EACCES ? "permission denied"
						   : "cannot be opened");
	return 0;
}

static void input_close(int fd)
{
	if (fd > STDERR_FILENO)
		close(fd);
}

int cmd_load(struct cli *cli, const struct args *args, struct error *err)
{
	struct client_request req = { .method = "POST", .path = "/images/load" };
	struct progress_options options = { PROGRESS_AUTO, stdout, NULL, NULL };
	autoptr(client_response) response = NULL;
	struct fd_reader in;
	auto_(buf) q = api_query();
	int fd = FD_NONE, r;

	r = api_platforms(cli, args, "platform", &q, err);
	if (r < 0)
		return error_wrap(err, r, "invalid platform");
	if (!*args_str(args, "input") && isatty(STDIN_FILENO))
		return error_set(err, ERR_INVALID, "requested load from stdin, but stdin is empty");
	r = input_open(args_str(args, "input"), &fd, err);
	if (r < 0)
		return r;
	fd_reader_init(&in, fd, NULL);
	client_query_add(&q, "quiet",
			 args_bool(args, "quiet") || !isatty(STDOUT_FILENO) ? "1" : "0");
	req.query = q.data;
	req.content_type = "application/x-tar";
	req.body_reader = &in.reader;
	r = api_stream(cli, &req, &response, err);
	if (r == 0)
		r = progress_show(cli, response->body, &options, err);
	input_close(fd);
	return r;
}

static int cache_import(struct cli *cli, const char *query, const char *input, struct error *err)
{
	struct client_request req = { .method = "PUT",
				      .path = "/build/mounts",
				      .query = query,
				      .content_type = "application/x-tar" };
	autoptr(client_response) response = NULL;
	struct fd_reader in;
	int fd = FD_NONE, r;

	if (!*input && isatty(STDIN_FILENO))
		return error_set(err, ERR_INVALID, "no archive on stdin: use -i or redirect");
	r = input_open(input, &fd, err);
	if (r < 0)
		return r;
	fd_reader_init(&in, fd, NULL);
	req.body_reader = &in.reader;
	r = api_stream(cli, &req, &response, err);
	input_close(fd);
	return r;
}

int cmd_builder_cache(struct cli *cli, const struct args *args, struct error *err)
{
	const char *verb = args_operand(args, 0);
	auto_(buf) q = api_query();
	int r;

	client_query_add(&q, "id", args_operand(args, 1));
	if (strcmp(verb, "import") == 0)
		return cache_import(cli, q.data, args_str(args, "input"), err);
	if (strcmp(verb, "export") != 0)
		return error_set(err, ERR_INVALID,
				 "unknown verb '%s' of builder cache: want export or import", verb);
	r = output_check(args_str(args, "output"), "export cache", err);
	return r < 0 ? r : download(cli, "/build/mounts", q.data, args_str(args, "output"), err);
}

int cmd_import(struct cli *cli, const struct args *args, struct error *err)
{
	const char *source = args_operand(args, 0), *name = args_operand(args, 1);
	struct client_request req = { .method = "POST", .path = "/images/create" };
	struct progress_options options = { PROGRESS_AUTO, stdout, NULL, NULL };
	autoptr(client_response) response = NULL;
	char text[REFERENCE_TEXT_MAX];
	struct reference ref;
	struct fd_reader in;
	auto_(buf) q = api_query();
	bool url = cstr_starts(source, "http://") || cstr_starts(source, "https://");
	int fd = FD_NONE, r = 0;

	if (name) {
		r = reference_parse(name, &ref, err);
		if (r < 0)
			return r;
		reference_familiar_name(&ref, text);
		client_query_add(&q, "repo", text);
		client_query_add(&q, "tag", reference_has_tag(&ref) ? ref.tag : NULL);
	}
	client_query_add(&q, "fromSrc", url ? source : "-");
	if (*args_str(args, "message"))
		client_query_add(&q, "message", args_str(args, "message"));
	if (*args_str(args, "platform"))
		client_query_add(&q, "platform", args_str(args, "platform"));
	args_for_each(change, args, "change") client_query_add(&q, "changes", change);
	if (!url) {
		r = input_open(source, &fd, err);
		if (r < 0)
			return r;
		fd_reader_init(&in, fd, NULL);
		req.body_reader = &in.reader;
		req.content_type = "text/plain";
	}
	req.query = q.data;
	r = api_stream(cli, &req, &response, err);
	if (r == 0)
		r = progress_show(cli, response->body, &options, err);
	input_close(fd);
	return r;
}

int cmd_commit(struct cli *cli, const struct args *args, struct error *err)
{
	const char *name = args_operand(args, 1);
	const struct json *answer = NULL;
	char text[REFERENCE_TEXT_MAX];
	auto_(buf) q = api_query();
	struct reference ref;
	int r;

	client_query_add(&q, "container", args_operand(args, 0));
	if (name) {
		r = reference_parse(name, &ref, err);
		if (r < 0)
			return r;
		if (reference_has_digest(&ref))
			return error_set(err, ERR_INVALID,
					 "refusing to create a tag with a digest reference");
		reference_familiar_name(&ref, text);
		client_query_add(&q, "repo", text);
		client_query_add(&q, "tag", reference_has_tag(&ref) ? ref.tag : "latest");
	}
	client_query_add(&q, "comment", args_str(args, "message"));
	client_query_add(&q, "author", args_str(args, "author"));
	if (!args_bool(args, "pause"))
		client_query_add(&q, "pause", "0");
	args_for_each(change, args, "change") client_query_add(&q, "changes", change);
	r = api_json(cli, "POST", "/commit", q.data, "null", &answer, err);
	if (r == 0)
		printf("%s\n", json_str(answer, "Id") ? json_str(answer, "Id") : "");
	return r;
}
