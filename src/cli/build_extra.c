/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/build_extra.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/fs.h"
#include "base/str.h"
#include "cli/options.h"
#include "cli/session.h"

#define SECRET_MAX (500U << 10) /* bytes; BuildKit's limit */

/* "a=1,b=2": the value of key, in the arena; NULL when absent. */
static const char *csv_get(struct arena *a, const char *text, const char *key)
{
	struct str rest = str_of(text), field;

	while (str_split(&rest, ',', &field)) {
		ptrdiff_t eq = str_find(field, '=');

		if (eq > 0 && str_eqs(str_sub(field, 0, (size_t)eq), key))
			return arena_strndup(a, field.at + eq + 1, field.len - (size_t)eq - 1);
	}
	return NULL;
}

static int keep_fd(struct build_extra *e, int take_fd, struct json *o, struct arena *a,
		   struct error *err)
{
	if (e->n_fds == BUILD_FDS_MAX) {
		close(take_fd);
		return error_set(err, ERR_INVALID, "too many contexts and outputs");
	}
	json_set(a, o, "fd", json_new_int(a, (int64_t)e->n_fds));
	e->fds[e->n_fds++] = take_fd;
	return 0;
}

static int secret_bytes(struct arena *a, const char *text, const char *id, struct buf *out,
			struct error *err)
{
	const char *src = csv_get(a, text, "src"), *env = csv_get(a, text, "env"), *value;

	if (src == NULL)
		src = csv_get(a, text, "source");
	if (src != NULL)
		return fs_read_file(src, out, err);
	value = getenv(env ? env : id);
	if (value == NULL)
		return error_set(err, ERR_NOT_FOUND, "secret %s: neither a file nor a variable",
				 id);
	return buf_add(out, value, strlen(value), err);
}

static int add_secret(struct arena *a, struct json *list, const char *text, struct error *err)
{
	auto_(buf) bytes = BUF_INIT(SECRET_MAX), coded = BUF_INIT(2 * SECRET_MAX);
	const char *id = csv_get(a, text, "id");
	struct json *o = json_new_object(a);
	int r;

	if (id == NULL)
		return error_set(err, ERR_INVALID, "invalid secret %s: no id", text);
	r = secret_bytes(a, text, id, &bytes, err);
	if (r == 0)
		r = base64_encode(&coded, bytes.data ? bytes.data : "", bytes.len, false, err);
	if (r < 0)
		return error_wrap(err, r, "secret %s", id);
	json_set(a, o, "id", json_new_string(a, id));
	json_set(a, o, "value", json_new_string(a, arena_strdup(a, coded.data ? coded.data : "")));
	json_push(a, list, o);
	return 0;
}

/* "dir:tag@digest": dir. */
static const char *layout_path(struct arena *a, const char *text)
{
	char *path = arena_strndup(a, text, strcspn(text, "@")), *slash, *colon;

	slash = strrchr(path, '/');
	colon = strrchr(path, ':');
	if (colon != NULL && (slash == NULL || colon > slash))
		*colon = '\0';
	return path;
}

static int add_context(struct arena *a, struct build_extra *e, struct json *list, const char *text,
		       struct error *err)
{
	const char *eq = strchr(text, '='), *path;
	struct json *o = json_new_object(a);
	int fd, r;

	if (eq == NULL || eq == text)
		return error_set(err, ERR_INVALID, "invalid context value: %s, expected key=value",
				 text);
	path = eq + 1;
	json_set(a, o, "name", json_new_string(a, arena_strndup(a, text, (size_t)(eq - text))));
	json_set(a, o, "value", json_new_string(a, eq + 1));
	json_push(a, list, o);
	if (cstr_starts(eq + 1, "oci-layout://"))
		path = layout_path(a, eq + 1 + strlen("oci-layout://"));
	else if (strstr(eq + 1, "://") != NULL || cstr_starts(eq + 1, "git@") ||
		 cstr_starts(eq + 1, "github.com/"))
		return 0;
	r = fs_open(path, O_RDONLY | O_DIRECTORY, 0, &fd, err);
	return r < 0 ? error_wrap(err, r, "build context %s", path) : keep_fd(e, fd, o, a, err);
}

static int open_output(struct build_extra *e, const char *type, const char *dest, int *ret_fd,
		       struct error *err)
{
	struct output_file file;
	int r;

	if (strcmp(type, "local") != 0 && strcmp(dest, "-") == 0) {
		*ret_fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
		return *ret_fd < 0 ? error_set(err, ERR_INVALID, "stdout is closed") : 0;
	}
	if (strcmp(type, "local") != 0) {
		r = output_file_begin(dest, 0666, &file, ret_fd, err);
		if (r == 0)
			*vec_push(&e->files) = file;
		return r;
	}
	r = fs_mkdir_all(dest, 0777, err);
	return r < 0 ? r : fs_open(dest, O_RDONLY | O_DIRECTORY, 0, ret_fd, err);
}

/* Where a result goes, or a cache comes from or goes to. */
enum place { OUTPUT, CACHE_FROM, CACHE_TO };

static const char *const place_flags[] = { "output", "cache-from", "cache-to" };

/* The path among the attributes becomes an open file or directory. */
static int open_place(enum place kind, struct build_extra *e, struct json *o, struct arena *a,
		      struct error *err)
{
	const char *type = json_str(o, "type");
	const char *path = json_str(json_get(o, "attrs"), kind == CACHE_FROM ? "src" : "dest");
	bool layout = strcmp(type, "oci") == 0 && json_str(json_get(o, "attrs"), "tar") != NULL &&
		      strcmp(json_str(json_get(o, "attrs"), "tar"), "false") == 0;
	int fd, r;

	if (path == NULL || (kind != OUTPUT && strcmp(type, "local") != 0))
		return 0;
	if (kind == CACHE_FROM)
		r = fs_open(path, O_RDONLY | O_DIRECTORY, 0, &fd, err);
	else
		r = open_output(e, layout ? "local" : type, path, &fd, err);
	return r < 0 ? error_wrap(err, r, "%s %s", place_flags[kind], path)
		     : keep_fd(e, fd, o, a, err);
}

static int push_place(enum place kind, struct arena *a, struct build_extra *e, struct json *list,
		      const char *type, struct json *attrs, struct error *err)
{
	struct json *o = json_new_object(a);

	int r;

	json_set(a, o, "type", json_new_string(a, type));
	json_set(a, o, "attrs", attrs);
	r = open_place(kind, e, o, a, err);
	/* The first build of all has no cache yet: the engine says the same of what it opens. */
	if (r == -ERR_NOT_FOUND && kind == CACHE_FROM) {
		fprintf(stderr, "[Warning] %s; going on without it\n", err->msg);
		return 0;
	}
	if (r == 0)
		json_push(a, list, o);
	return r;
}

/* "out" (a directory) and "-" (a tar); names of images, divided by commas. */
static int add_short(enum place kind, struct arena *a, struct build_extra *e, struct json *list,
		     const char *word, struct error *err)
{
	struct json *attrs = json_new_object(a);

	json_set(a, attrs, kind == OUTPUT ? "dest" : "ref", json_new_string(a, word));
	if (kind == OUTPUT)
		return push_place(kind, a, e, list, strcmp(word, "-") == 0 ? "tar" : "local", attrs,
				  err);
	return push_place(kind, a, e, list, "registry", attrs, err);
}

/* "type=local,dest=out" */
static int add_place(enum place kind, struct arena *a, struct build_extra *e, struct json *list,
		     const char *text, struct error *err)
{
	struct json *attrs = json_new_object(a);
	const char *type = NULL;
	struct csv csv;
	int r = csv_parse(a, text, &csv, err);

	for (size_t i = 0; r == 0 && i < csv.n; i++) {
		const char *eq = strchr(csv.fields[i], '=');

		if (eq == NULL && strchr(text, '=') == NULL) {
			r = add_short(kind, a, e, list, csv.fields[i], err);
			continue;
		}
		if (eq == NULL || eq == csv.fields[i])
			return error_set(err, ERR_INVALID,
					 "invalid %s %s: '%s' is not of the form key=value",
					 place_flags[kind], text, csv.fields[i]);
		if (cstr_starts(csv.fields[i], "type="))
			type = eq + 1;
		else
			json_set(a, attrs,
				 arena_strndup(a, csv.fields[i], (size_t)(eq - csv.fields[i])),
				 json_new_string(a, eq + 1));
	}
	if (r < 0 || strchr(text, '=') == NULL)
		return r;
	if (type == NULL)
		return error_set(err, ERR_INVALID, "invalid %s %s: type is required",
				 place_flags[kind], text);
	return push_place(kind, a, e, list, type, attrs, err);
}

static int add_places(enum place kind, struct arena *a, const struct args *args,
		      struct build_extra *e, struct json *list, struct error *err)
{
	int r = 0;

	args_for_each(text, args, place_flags[kind])
	{
		if (r == 0)
			r = add_place(kind, a, e, list, text, err);
	}
	e->any |= list->n_items > 0;
	return r;
}

static int read_caches(struct arena *a, const struct args *args, struct build_extra *e,
		       struct error *err)
{
	struct json *from = json_new_array(a), *to = json_new_array(a);
	int r = build_extra_cache_names(args) ? 0 : add_places(CACHE_FROM, a, args, e, from, err);

	if (r == 0)
		r = add_places(CACHE_TO, a, args, e, to, err);
	json_set(a, e->json, "cacheFrom", from);
	json_set(a, e->json, "cacheTo", to);
	return r;
}

bool build_extra_cache_names(const struct args *args)
{
	args_for_each(text, args, "cache-from")
	{
		if (strchr(text, '=') != NULL)
			return false;
	}
	return true;
}

/* --push, --load; and an output that --annotation can speak of. */
static int add_short_outputs(struct arena *a, const struct args *args, struct build_extra *e,
			     struct json *outputs, struct error *err)
{
	int r = 0;

	if (args_bool(args, "push"))
		r = push_place(OUTPUT, a, e, outputs, "registry", json_new_object(a), err);
	if (r == 0 && args_bool(args, "load"))
		r = push_place(OUTPUT, a, e, outputs, "docker", json_new_object(a), err);
	if (r == 0 && args_count(args, "annotation") && outputs->n_items == 0)
		r = push_place(OUTPUT, a, e, outputs, "image", json_new_object(a), err);
	return r;
}

/* Can this output have it? One of the manifest is for images, one of an index for their files. */
static bool takes_annotation(const struct json *output, bool descriptor)
{
	const char *type = json_str(output, "type");

	if (strcmp(type, "local") == 0 || strcmp(type, "tar") == 0)
		return false;
	return !descriptor || json_get(output, "fd") != NULL;
}

static void set_annotation(struct arena *a, const struct json *output, const char *key,
			   const char *value)
{
	for (size_t i = 0; i < output->n_members; i++) {
		if (strcmp(output->members[i].key, "attrs") == 0)
			json_set(a, output->members[i].value, key, json_new_string(a, value));
	}
}

/* "key=value", perhaps with "manifest:" or "manifest-descriptor:" in front: of every output
 * that can have it. */
static int add_annotation(struct arena *a, struct json *outputs, const char *text,
			  struct error *err)
{
	const char *eq = strchr(text, '=');
	bool descriptor = cstr_starts(text, "manifest-descriptor:"), taken = false;
	const char *body =
	    descriptor || cstr_starts(text, "manifest:") ? strchr(text, ':') + 1 : text;

	/* BuildKit says so too: one platform has no index. */
	if (cstr_starts(text, "index:") || cstr_starts(text, "index-descriptor:"))
		return error_set(err, ERR_INVALID,
				 "index annotations not supported for single platform export");
	if (cstr_starts(text, "manifest[") || cstr_starts(text, "manifest-descriptor["))
		return error_set(err, ERR_UNIMPLEMENTED,
				 "annotation %s is not supported yet: none is of one platform",
				 text);
	if (eq == NULL || eq <= body)
		return error_set(err, ERR_INVALID, "invalid annotation %s, expected key=value",
				 text);
	json_for_each_item (o, outputs) {
		if (!takes_annotation(o, descriptor))
			continue;
		taken = true;
		set_annotation(a, o,
			       arena_format(a, "annotation%s.%.*s",
					    descriptor ? "-manifest-descriptor" : "",
					    (int)(eq - body), body),
			       eq + 1);
	}
	if (descriptor && !taken)
		return error_set(err, ERR_INVALID,
				 "annotation %s: no output has an index (type=oci has)", text);
	return 0;
}

static int add_annotations(struct arena *a, const struct args *args, struct json *outputs,
			   struct error *err)
{
	int r = 0;

	args_for_each(text, args, "annotation")
	{
		if (r == 0)
			r = add_annotation(a, outputs, text, err);
	}
	return r;
}

static int read_lists(struct arena *a, const struct args *args, struct build_extra *e,
		      struct error *err)
{
	struct json *secrets = json_new_array(a), *contexts = json_new_array(a);
	struct json *outputs = json_new_array(a);
	int r = 0;

	args_for_each(text, args, "secret")
	{
		if (r == 0)
			r = add_secret(a, secrets, text, err);
	}
	args_for_each(text, args, "build-context")
	{
		if (r == 0)
			r = add_context(a, e, contexts, text, err);
	}
	if (r == 0)
		r = add_places(OUTPUT, a, args, e, outputs, err);
	if (r == 0)
		r = add_short_outputs(a, args, e, outputs, err);
	if (r == 0)
		r = add_annotations(a, args, outputs, err);
	json_set(a, e->json, "secrets", secrets);
	json_set(a, e->json, "contexts", contexts);
	json_set(a, e->json, "outputs", outputs);
	e->any |= secrets->n_items + contexts->n_items + outputs->n_items > 0;
	return r < 0 ? r : read_caches(a, args, e, err);
}

/* Two sockets: the terminal's bytes, and its size. */
static int add_shell(struct arena *a, struct build_extra *e, const char *what, struct error *err)
{
	struct json *o = json_new_object(a), *size = json_new_object(a);
	const char *term = getenv("TERM");
	int bytes[2], sizes[2], r;

	if (strcmp(what, "shell") != 0)
		return error_set(err, ERR_INVALID,
				 "invalid argument \"%s\" for \"--on-fail\" flag: must be shell",
				 what);
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return error_set(err, ERR_INVALID,
				 "--on-fail=shell needs a terminal: stdin or stdout is none");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, bytes) < 0)
		return error_sys(err, errno, "socketpair");
	e->shell_fd = bytes[0];
	r = keep_fd(e, bytes[1], o, a, err);
	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sizes) < 0)
		return error_sys(err, errno, "socketpair");
	e->shell_size_fd = sizes[0];
	r = keep_fd(e, sizes[1], size, a, err);
	if (r < 0)
		return r;
	json_set(a, o, "size", json_new_int(a, json_int(size, "fd", 0)));
	if (term != NULL)
		json_set(a, o, "term", json_new_string(a, term));
	json_set(a, e->json, "shell", o);
	e->events = e->any = true;
	return 0;
}

static struct json *words(struct arena *a, const struct args *args, const char *flag)
{
	struct json *list = json_new_array(a);

	args_for_each(text, args, flag) json_push(a, list, json_new_string(a, text));
	return list;
}

/* --check is short for --call=check. */
static int read_call(struct arena *a, const struct args *args, struct build_extra *e,
		     struct error *err)
{
	const char *call = "build";
	int r = 0;

	if (args_set(args, "call"))
		r = build_call_parse(a, args_str(args, "call"), &call, &e->call_json, err);
	if (r < 0)
		return r;
	if (args_bool(args, "check"))
		call = "check";
	if (strcmp(call, "build") == 0)
		return 0;
	e->call = call;
	json_set(a, e->json, "call", json_new_string(a, call));
	e->events = e->any = true;
	return 0;
}

int build_extra_read(struct cli *cli, const struct args *args, struct build_extra *ret,
		     struct error *err)
{
	static const struct {
		const char *flag, *key;
		bool events;
	} bools[] = {
		{ "explain", "explain", true },
		{ "plan", "plan", true },
		{ "real-times", "realTimes", false },
	};
	struct arena *a = &cli->arena;
	int r;

	ret->json = json_new_object(a);
	ret->events |= args_set(args, "progress") || getenv("BUILDKIT_PROGRESS") != NULL;
	for (size_t i = 0; i < ARRAY_LEN(bools); i++) {
		if (!args_bool(args, bools[i].flag))
			continue;
		json_set(a, ret->json, bools[i].key, json_new_bool(a, true));
		ret->events |= bools[i].events;
		ret->any = true;
	}
	r = read_call(a, args, ret, err);
	if (r < 0)
		return r;
	if (args_set(args, "profile")) {
		json_set(a, ret->json, "profile", json_new_bool(a, true));
		ret->events = ret->any = true;
	}
	if (args_set(args, "on-fail")) {
		r = add_shell(a, ret, args_str(args, "on-fail"), err);
		if (r < 0)
			return r;
	}
	ret->events = ret->events && !args_bool(args, "quiet");
	json_set(a, ret->json, "events", json_new_bool(a, ret->events));
	if (*args_str(args, "metadata-file")) {
		json_set(a, ret->json, "metadata", json_new_bool(a, true));
		ret->any = true;
	}
	json_set(a, ret->json, "entitlements", words(a, args, "allow"));
	json_set(a, ret->json, "noCacheFilter", words(a, args, "no-cache-filter"));
	ret->any |= args_count(args, "allow") + args_count(args, "no-cache-filter") > 0;
	return read_lists(a, args, ret, err);
}

void build_extra_sent(struct build_extra *e)
{
	while (e->n_fds > 1)
		close(e->fds[--e->n_fds]);
}

int build_extra_commit(struct build_extra *e, struct error *err)
{
	int r = 0;

	vec_for_each (f, &e->files) {
		if (r == 0)
			r = output_file_commit(f, err);
	}
	return r;
}

void build_extra_release(struct build_extra *e)
{
	build_extra_sent(e);
	vec_for_each (f, &e->files)
		output_file_abort(f);
	vec_release(&e->files);
	if (e->shell_fd >= 0)
		close(e->shell_fd);
	if (e->shell_size_fd >= 0)
		close(e->shell_size_fd);
	e->shell_fd = e->shell_size_fd = FD_NONE;
}

int build_extra_shell(struct cli *cli, struct build_extra *e, struct error *err)
{
	struct session s = {
		.cli = cli, .tty = true, .in = true, .out = true, .resize_fd = e->shell_size_fd
	};
	struct client_stream stream = { .fd = e->shell_fd };
	int r;

	e->shell_fd = FD_NONE;
	session_begin(&s);
	session_resize(&s);
	r = session_pump(&s, &stream, err);
	session_end(&s);
	client_stream_release(&stream);
	return r;
}
