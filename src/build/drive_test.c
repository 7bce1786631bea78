/*
 * Whole builds from data: tests/build-cases/<name>.case, one file a case with the
 * sections @DOCKERFILE @CONTEXT @ARGS @EXPECT-STREAM @EXPECT-CONFIG @EXPECT-FILES
 * @EXPECT-ERROR; see tests/build-cases/README.md. Needs root and overlay; cases with
 * @NEEDS run also a runtime and a static busybox.
 */
#include "build/build.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/vec.h"
#include "image/image.h"
#include "store/mount.h"
#include "store/store.h"
#include "task/task.h"
#include "tests/tap.h"

/* Of the same build as this program, which stands in src/build of it. Owned; NULL: none. */
static char *find_runtime(void)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	autofree char *path = NULL;

	if (n < 0)
		return NULL;
	self[n] = '\0';
	path = cstr_format("%s/../../main/proa-runtime", self);
	{
		autofree char *clean = fs_path_clean(path);

		return realpath(clean, NULL);
	}
}

struct section {
	const char *name;
	struct str text;
};

struct cases {
	char **at;
	size_t len, cap;
};

static struct str section(struct str text, const char *name)
{
	struct str line, body = { "", 0 };
	bool inside = false;

	while (text.len > 0 && str_split(&text, '\n', &line)) {
		if (line.len > 0 && line.at[0] == '@') {
			if (inside)
				return body;
			inside = str_eqs(str_sub(line, 1, line.len), name);
			body = (struct str){ line.at + line.len + 1, 0 };
			continue;
		}
		if (inside)
			body.len = (size_t)(line.at + line.len + 1 - body.at);
	}
	return inside ? body : (struct str){ "", 0 };
}

static struct str word(struct str *rest)
{
	struct str w = { "", 0 };

	*rest = str_trim(*rest);
	(void)!str_split(rest, ' ', &w);
	return w;
}

/* "d path mode", "f path mode content", "l path target", "b path" (busybox). */
static void make_context(int dirfd, struct str list)
{
	struct str line;

	while (list.len > 0 && str_split(&list, '\n', &line)) {
		struct str rest = line, kind = word(&rest), name = word(&rest);
		autofree char *path = str_dup(name);
		struct str third;

		if (kind.len == 0)
			continue;
		if (str_eqs(kind, "b")) {
			autoclose int from = open("/bin/busybox", O_RDONLY | O_CLOEXEC);
			autoclose int to =
			    openat(dirfd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);

			(void)!fs_copy_data(from, to, NULL);
			continue;
		}
		if (str_eqs(kind, "l")) {
			autofree char *target = str_dup(str_trim(rest));

			(void)!symlinkat(target, dirfd, path);
			continue;
		}
		third = word(&rest);
		{
			uint64_t mode = 0;

			(void)!parse_octal(third, 07777, &mode, NULL);
			if (str_eqs(kind, "d")) {
				(void)!mkdirat(dirfd, path, 0755);
			} else {
				autoclose int fd =
				    openat(dirfd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

				(void)!fs_write_all(fd, rest.at ? rest.at : "", rest.len, NULL);
			}
			(void)!fchmodat(dirfd, path, (mode_t)mode, 0);
		}
	}
}

static int local_image(void *arg, const struct builder_ask *ask, char **ret_id, struct error *err)
{
	return image_resolve(arg, ask->name, ret_id, err);
}

struct fixture {
	char root[64];
	struct store *store;
	struct builder *builder;
	struct task_host *tasks; /* NULL: nothing can run */
};

/* Only the texts of the answer. */
static char *stream_text(const struct buf *answer)
{
	auto_(arena) a = ARENA_INIT;
	auto_(buf) out = BUF_INIT(1 << 20);
	struct str rest = { answer->data ? answer->data : "", answer->len }, line;

	while (rest.len > 0 && str_split(&rest, '\n', &line)) {
		const struct json *j;

		line = str_trim(line);
		if (line.len == 0 || json_parse(&a, line.at, line.len, &j, NULL) < 0)
			continue;
		if (json_str(j, "stream") != NULL)
			(void)!buf_addf(&out, NULL, "%s", json_str(j, "stream"));
		if (json_str(j, "error") != NULL)
			(void)!buf_addf(&out, NULL, "error: %s\n", json_str(j, "error"));
	}
	(void)!buf_add(&out, "", 0, NULL);
	return buf_detach(&out, NULL);
}

static void expect_lines(const char *got, struct str want, const char *what, const char *name)
{
	struct str line;

	while (want.len > 0 && str_split(&want, '\n', &line)) {
		autofree char *text = str_dup(str_trim(line));
		char point[256];

		if (text[0] == '\0')
			continue;
		snprintf(point, sizeof(point), "%s: %s has '%s'", name, what, text);
		if (!ok(strstr(got, text) != NULL, point))
			printf("# got: %.3000s\n", got);
	}
}

static int list_entry(const struct stat *st, int dirfd, const char *name, const char *path,
		      struct buf *out)
{
	char link[256] = "";
	ssize_t n = S_ISLNK(st->st_mode) ? readlinkat(dirfd, name, link, sizeof(link) - 1) : 0;
	auto_(buf) text = BUF_INIT(4096);

	(void)n;
	if (S_ISREG(st->st_mode))
		(void)!fs_read_at(dirfd, name, &text, NULL);
	return buf_addf(out, NULL, "%c %s %o %u:%u %s%.*s\n",
			S_ISDIR(st->st_mode)   ? 'd'
			: S_ISLNK(st->st_mode) ? 'l'
					       : 'f',
			path, (unsigned)st->st_mode & 07777, st->st_uid, st->st_gid, link,
			(int)text.len, text.data ? text.data : "");
}

static void list_tree(int dirfd, const char *prefix, struct buf *out)
{
	struct cases names = { 0 };
	DIR *dir = fdopendir(openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *d;

	while ((d = readdir(dir)) != NULL) {
		if (d->d_name[0] != '.' || (d->d_name[1] != '\0' && d->d_name[1] != '.'))
			*vec_push(&names) = xstrdup(d->d_name);
	}
	closedir(dir);
	vec_for_each (name, &names) {
		autofree char *path = cstr_format("%s/%s", prefix, *name);
		struct stat st;

		if (fstatat(dirfd, *name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
			(void)!list_entry(&st, dirfd, *name, path, out);
			if (S_ISDIR(st.st_mode)) {
				autoclose int fd = openat(
				    dirfd, *name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

				list_tree(fd, path, out);
			}
		}
		free(*name);
	}
	vec_release(&names);
}

static char *image_files(struct fixture *f, const char *id)
{
	auto_(image) image = { 0 };
	auto_(mounts) m = { 0 };
	auto_(buf) out = BUF_INIT(1 << 20);
	autoclose int fd = FD_NONE;
	struct error err;

	if (image_open(f->store, id, &image, &err) == 0 && image.n_layers > 0 &&
	    snapshot_view(f->store->snapshots, image.diff_ids, image.n_layers, &m, &err) == 0 &&
	    mount_open(&m, true, &fd, &err) == 0)
		list_tree(fd, "", &out);
	(void)!buf_add(&out, "", 0, NULL);
	return buf_detach(&out, NULL);
}

/* "KEY=VALUE" lines. */
static size_t read_args(struct arena *a, struct str list, struct plan_pair *out, size_t max)
{
	struct str line;
	size_t n = 0;

	while (list.len > 0 && n < max && str_split(&list, '\n', &line)) {
		ptrdiff_t eq = str_find(line, '=');

		if (eq > 0)
			out[n++] = (struct plan_pair){
				arena_strndup(a, line.at, (size_t)eq),
				arena_strndup(a, line.at + eq + 1, line.len - (size_t)eq - 1),
			};
	}
	return n;
}

static char *build_once(struct fixture *f, struct str text, int context, char **ret_stream)
{
	auto_(arena) a = ARENA_INIT;
	auto_(buf) answer = BUF_INIT(8 << 20);
	struct str dockerfile = section(text, "DOCKERFILE");
	struct build_context main = { .name = "", .fd = context };
	struct plan_pair args[16];
	struct build_request q = {
		.dockerfile = "Dockerfile",
		.dockerfile_text = &dockerfile,
		.contexts = &main,
		.n_contexts = 1,
		.build_args = args,
	};
	struct str ignore = section(text, "IGNORE"), target = str_trim(section(text, "TARGET"));
	struct buf_writer out;
	struct error err;
	char *id = NULL;

	buf_writer_init(&out, &answer);
	q.n_build_args = read_args(&a, section(text, "ARGS"), args, ARRAY_LEN(args));
	q.target = arena_strndup(&a, target.at, target.len);
	q.ignore_text = &ignore;
	if (build_run(f->builder, &q, &out.writer, NULL, &id, &err) < 0)
		*ret_stream = cstr_format("error: %s\n", err.msg);
	else
		*ret_stream = stream_text(&answer);
	return id;
}

static char *config_text(struct fixture *f, const char *id)
{
	auto_(image) image = { 0 };

	if (image_open(f->store, id, &image, NULL) < 0)
		return xstrdup("");
	return xstrdup(image.config_text);
}

static void run_case(struct fixture *f, const char *path, const char *name)
{
	auto_(buf) text = BUF_INIT(1 << 20);
	autofree char *dir = cstr_format("%s/context-%s", f->root, name);
	autofree char *stream = NULL, *again = NULL, *id = NULL, *id2 = NULL, *files = NULL;
	autofree char *config = NULL;
	autoclose int context = FD_NONE;
	struct str s;
	char point[256];

	if (fs_read_file(path, &text, NULL) < 0 || mkdir(dir, 0755) < 0 ||
	    fs_open(dir, O_RDONLY | O_DIRECTORY, 0, &context, NULL) < 0) {
		ok(0, name);
		return;
	}
	s = (struct str){ text.data, text.len };
	if (f->tasks == NULL && section(s, "NEEDS").len > 0) {
		printf("# %s needs proa-runtime and busybox: left out\n", name);
		return;
	}
	make_context(context, section(s, "CONTEXT"));
	id = build_once(f, s, context, &stream);
	expect_lines(stream, section(s, "EXPECT-STREAM"), "stream", name);
	expect_lines(stream, section(s, "EXPECT-ERROR"), "error", name);
	if (section(s, "EXPECT-ERROR").len > 0) {
		ok(id == NULL, name);
		return;
	}
	snprintf(point, sizeof(point), "%s: an image is made", name);
	if (!ok(id != NULL, point)) {
		printf("# %s\n", stream);
		return;
	}
	files = image_files(f, id);
	config = config_text(f, id);
	expect_lines(files, section(s, "EXPECT-FILES"), "tree", name);
	expect_lines(config, section(s, "EXPECT-CONFIG"), "config", name);
	id2 = build_once(f, s, context, &again);
	snprintf(point, sizeof(point), "%s: the second build gives the same image", name);
	ok(id2 != NULL && strcmp(id, id2) == 0, point);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void run_all(struct fixture *f, const char *dir_path)
{
	struct cases names = { 0 };
	DIR *dir = opendir(dir_path);
	struct dirent *d;

	while (dir != NULL && (d = readdir(dir)) != NULL) {
		if (cstr_ends(d->d_name, ".case"))
			*vec_push(&names) = xstrdup(d->d_name);
	}
	if (dir != NULL)
		closedir(dir);
	if (names.len > 1)
		qsort(names.at, names.len, sizeof(*names.at), compare);
	ok(names.len > 0, "there are cases");
	vec_for_each (name, &names) {
		autofree char *path = cstr_format("%s/%s", dir_path, *name);

		run_case(f, path, *name);
		free(*name);
	}
	vec_release(&names);
}

#define CGROUP_PARENT "proa-build-test"

/* The steps' own groups went with them; this is their parent, in each hierarchy. */
static void remove_cgroups(void)
{
	DIR *d = opendir("/sys/fs/cgroup");
	struct dirent *e;

	if (d == NULL)
		return;
	unlinkat(dirfd(d), CGROUP_PARENT, AT_REMOVEDIR);
	while ((e = readdir(d)) != NULL) {
		autofree char *path = cstr_format("%s/" CGROUP_PARENT, e->d_name);

		if (e->d_name[0] != '.')
			unlinkat(dirfd(d), path, AT_REMOVEDIR);
	}
	closedir(d);
}

int main(void)
{
	struct fixture f = { .root = "/tmp/proa-build-test-XXXXXX" };
	autofree char *dir = NULL, *run = NULL, *runtime = NULL;
	struct builder_config c = { .image = local_image };
	struct error err;

	if (geteuid() != 0 || mkdtemp(f.root) == NULL) {
		printf("1..0 # SKIP needs root\n");
		return 0;
	}
	{
		autofree char *root = cstr_format("%s/store", f.root);

		dir = cstr_format("%s/build", f.root);
		run = cstr_format("%s/run", f.root);
		if (store_open(root, NULL, &f.store, &err) < 0 ||
		    snapshots_driver(f.store->snapshots) != SNAPSHOT_OVERLAY) {
			printf("1..0 # SKIP needs overlay\n");
			return 0;
		}
	}
	{
		autofree char *tasks = cstr_format("%s/tasks", f.root);
		autofree char *shim = find_runtime();
		const struct task_host_config th = { .shim_path = shim, .tasks_dir = tasks };

		if (shim != NULL && access("/bin/busybox", X_OK) == 0)
			(void)!task_host_open(&th, &f.tasks, &err);
		c.planner = c.oci_runtime = runtime = shim ? xstrdup(shim) : NULL;
	}
	c.tasks = f.tasks;
	c.cgroup_parent = "/" CGROUP_PARENT;
	c.store = f.store;
	c.arg = f.store;
	c.dir = dir;
	c.run_dir = run;
	if (ok(builder_new(&c, &f.builder, &err) == 0, "the builder opens"))
		run_all(&f, "tests/build-cases");
	builder_free(f.builder);
	if (f.tasks != NULL)
		task_host_close(f.tasks);
	store_close(f.store);
	{
		autoclose int tmp = FD_NONE;

		if (fs_open("/tmp", O_RDONLY | O_DIRECTORY, 0, &tmp, NULL) == 0)
			(void)!fs_remove_tree(tmp, f.root + strlen("/tmp/"), NULL);
	}
	remove_cgroups();
	return tap_done();
}
