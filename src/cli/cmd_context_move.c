/* SPDX-License-Identifier: Apache-2.0 */
/*
 * context export and import: a tar of meta.json and tls/docker/NAME.
 *
 * Peer: docker CLI 28 writes the same entries, and reads zip too, which proa
 * does not.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/tar.h"
#include "base/fs.h"
#include "base/str.h"
#include "cli/body.h"
#include "cli/commands.h"
#include "cli/config.h"
#include "cli/context_store.h"

enum { ARCHIVE_MAX = 10 << 20 }; /* Peer: docker reads no larger one */

static int meta_of(struct cli *cli, const char *name, const struct json **ret, struct error *err)
{
	struct arena *a = &cli->arena;
	struct endpoint e = { 0 };
	struct json *endpoint;
	int r;

	if (strcmp(name, "default") != 0) {
		r = context_name_check(name, false, err);
		return r < 0 ? r : context_load(cli, name, ret, err);
	}
	r = endpoint_resolve(cli, &e, err);
	if (r < 0)
		return r;
	endpoint = json_new_object(a);
	json_set(a, endpoint, "Host", json_new_string(a, e.host));
	json_set(a, endpoint, "SkipTLSVerify", json_new_bool(a, e.tls && !e.tls_verify));
	*ret = context_meta(a, name, NULL, endpoint);
	return 0;
}

static int archive_write(const char *meta, const struct context_tls *tls, struct arena *a,
			 struct buf *out, struct error *err)
{
	struct tar_entry dir = { .type = TAR_DIR, .path = "tls", .link = "", .mode = 0700 };
	struct tar_writer w;
	struct buf_writer to;
	int r;

	buf_writer_init(&to, out);
	w = (struct tar_writer)TAR_WRITER_INIT(&to.writer);
	r = tar_writer_file(&w, "meta.json", 0644, 0, meta, strlen(meta), err);
	if (r == 0)
		r = tar_writer_entry(&w, &dir, err);
	dir.path = "tls/docker";
	if (r == 0 && tls->files.len > 0)
		r = tar_writer_entry(&w, &dir, err);
	vec_for_each (f, &tls->files)
		if (r == 0)
			r = tar_writer_file(&w, arena_format(a, "tls/docker/%s", f->name), 0600, 0,
					    f->data, f->len, err);
	return r < 0 ? r : tar_writer_finish(&w, err);
}

int cmd_context_export(struct cli *cli, const struct args *args, struct error *err)
{
	const char *name = args_operand(args, 0), *path = args_operand(args, 1);
	auto_(context_tls) tls = { 0 };
	auto_(buf) out = BUF_INIT(ARCHIVE_MAX);
	const struct json *meta = NULL;
	autoclose int fd = FD_NONE;
	int r = meta_of(cli, name, &meta, err);

	if (r == 0)
		r = context_tls_read(cli, name, &tls, err);
	if (r == 0)
		r = archive_write(body_text(&cli->arena, meta), &tls, &cli->arena, &out, err);
	if (r < 0)
		return r;
	if (path && strcmp(path, "-") == 0) {
		if (isatty(STDOUT_FILENO))
			return error_set(
			    err, ERR_INVALID,
			    "cowardly refusing to export to a terminal, specify a file path");
		return fs_write_all(STDOUT_FILENO, out.data, out.len, err);
	}
	if (!path)
		path = arena_format(&cli->arena, "%s.dockercontext", name);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set(err, ERR_SYSTEM, "open %s: %s", path,
				 errno == EEXIST   ? "file exists"
				 : errno == ENOENT ? "no such file or directory"
				 : errno == EACCES ? "permission denied"
						   : "cannot be written");
	r = fs_write_all(fd, out.data, out.len, err);
	if (r < 0) {
		unlink(path);
		return r;
	}
	fprintf(stderr, "Written file \"%s\"\n", path);
	return 0;
}

/* One entry of the archive; *ret_meta gets meta.json. */
static int entry_read(struct arena *a, struct tar_reader *t, const struct tar_entry *e,
		      const struct json **ret_meta, struct context_tls *tls, struct error *err)
{
	static const char prefix[] = "tls/docker/";
	auto_(buf) text = BUF_INIT(CONTEXT_FILE_MAX);
	const char *name;
	int r;

	if (e->type == TAR_DIR)
		return 0;
	name = arena_strdup(a, e->path);
	if (e->type != TAR_FILE || (strcmp(name, "meta.json") != 0 && !cstr_starts(name, prefix)))
		return error_set(err, ERR_INVALID, "unexpected context file '%s'", e->path);
	r = reader_read_all(tar_reader_stream(t), &text, err);
	if (r < 0)
		return error_wrap(err, r, "context file '%s'", name);
	if (strcmp(name, "meta.json") == 0)
		return json_parse(a, text.data ? text.data : "", text.len, ret_meta, err);
	name += strlen(prefix);
	/* A name that leads elsewhere is none. */
	if (!*name || *name == '.' || strchr(name, '/'))
		return error_set(err, ERR_INVALID, "unexpected context file '%s'", name);
	context_tls_set(tls, name, arena_strndup(a, text.data ? text.data : "", text.len),
			text.len);
	return 0;
}

static int archive_read(struct arena *a, struct reader *from, const struct json **ret_meta,
			struct context_tls *tls, struct error *err)
{
	struct tar_reader *t = tar_reader_new(from);
	const struct tar_entry *e = NULL;
	int r = 0;

	for (;;) {
		r = tar_reader_next(t, &e, err);
		if (r < 0 || !e)
			break;
		r = entry_read(a, t, e, ret_meta, tls, err);
		if (r < 0)
			break;
	}
	tar_reader_free(t);
	if (r == 0 && !*ret_meta)
		return error_set(err, ERR_INVALID, "invalid context: no metadata found");
	return r;
}

int cmd_context_import(struct cli *cli, const struct args *args, struct error *err)
{
	const char *name = args_operand(args, 0), *path = args_operand(args, 1);
	auto_(context_tls) tls = { 0 };
	auto_(buf) text = BUF_INIT(ARCHIVE_MAX);
	const struct json *meta = NULL;
	struct fd_reader in;
	struct mem_reader from;
	struct json *endpoint = json_new_object(&cli->arena);
	autoclose int file = FD_NONE;
	int r = context_name_check(name, true, err);

	if (r < 0)
		return r;
	if (context_exists(cli, name))
		return error_set(err, ERR_CONFLICT, "context \"%s\" already exists", name);
	if (strcmp(path, "-") != 0) {
		file = open(path, O_RDONLY | O_CLOEXEC);
		if (file < 0)
			return error_set(err, ERR_NOT_FOUND, "open %s: %s", path,
					 errno == ENOENT ? "no such file or directory"
							 : "cannot be read");
	}
	fd_reader_init(&in, file < 0 ? STDIN_FILENO : file, NULL);
	r = reader_read_all(&in.reader, &text, err);
	if (r < 0)
		return r;
	if (text.len > 4 && memcmp(text.data, "PK\003\004", 4) == 0)
		return error_set(err, ERR_UNIMPLEMENTED,
				 "importing a zip archive is not supported yet");
	mem_reader_init(&from, text.data, text.len);
	r = archive_read(&cli->arena, &from.reader, &meta, &tls, err);
	if (r < 0)
		return r;
	json_for_each_member (m, json_path(meta, "Endpoints.docker"))
		json_set(&cli->arena, endpoint, m->key, m->value);
	r = context_write(cli, name,
			  context_meta(&cli->arena, name, json_get(meta, "Metadata"), endpoint),
			  &tls, err);
	if (r < 0)
		return r;
	printf("%s\n", name);
	fflush(stdout);
	fprintf(stderr, "Successfully imported context \"%s\"\n", name);
	return 0;
}
