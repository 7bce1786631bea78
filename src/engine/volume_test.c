#include "engine/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "engine/volume_internal.h"
#include "tests/tap.h"

/* The container files of the room are played by this program; mounts happen in
 * a mount namespace of its own. Needs root. */

static char dir[] = "/tmp/proa-engine-vol-XXXXXX";
static struct engine engine;
static const char *used; /* the volume that one container names */

void container_volume_users(struct engine *e, const char *volume, struct jsonw *out, size_t *ret_n)
{
	(void)e;
	*ret_n = used && strcmp(used, volume) == 0;
	if (*ret_n)
		jsonw_string(out, "c0ffee");
}

void event_emit(struct engine *e, const char *type, const char *action, const char *id,
		const struct event_attr *attrs, size_t n_attrs)
{
	(void)e;
	(void)type;
	(void)action;
	(void)id;
	(void)attrs;
	(void)n_attrs;
}

static const struct json *parse(struct arena *a, const char *text)
{
	const struct json *j = NULL;

	if (text && json_parse(a, text, strlen(text), &j, NULL) < 0)
		printf("Bail out! %s\n", text);
	return j;
}

static char answer[65536];

/* Run a call that writes JSON; "" and `answer`, or the error's text. */
static const char *call(int (*fn)(struct engine *, const struct json *, struct jsonw *,
				  struct error *),
			const char *body)
{
	static struct error err;
	auto_(arena) a = ARENA_INIT;
	auto_(buf) b = BUF_INIT(sizeof(answer) - 1);
	struct jsonw w;

	jsonw_init(&w, &b);
	err.msg[0] = '\0';
	answer[0] = '\0';
	if (fn(&engine, parse(&a, body), &w, &err) == 0 && jsonw_finish(&w, &err) == 0)
		snprintf(answer, sizeof(answer), "%s", b.data);
	return err.msg;
}

static int prune(struct engine *e, const struct json *filters, struct jsonw *w, struct error *err)
{
	return volume_prune(e, filters, false, w, err);
}

static int prune_all(struct engine *e, const struct json *filters, struct jsonw *w,
		     struct error *err)
{
	return volume_prune(e, filters, true, w, err);
}

static const char *remove_volume(const char *name, bool force)
{
	static struct error err;

	err.msg[0] = '\0';
	(void)!volume_remove(&engine, name, force, &err);
	return err.msg;
}

static const struct {
	const char *what, *body, *error;
} bodies[] = {
	{ "a name", "{\"Name\":\"v1\",\"Labels\":{\"a\":\"1\"}}", "" },
	{ "again the same", "{\"Name\":\"v1\"}", "" },
	{ "a short name", "{\"Name\":\"v\"}",
	  "create v: volume name is too short, names should be at least two alphanumeric "
	  "characters" },
	{ "a path", "{\"Name\":\"../x\"}",
	  "create ../x: \"../x\" includes invalid characters for a local volume name, only "
	  "\"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, "
	  "use "
	  "absolute path" },
	{ "another driver", "{\"Name\":\"v2\",\"Driver\":\"nfs4\"}",
	  "error looking up volume plugin nfs4: plugin \"nfs4\" not found" },
	{ "an option nobody knows", "{\"Name\":\"v2\",\"DriverOpts\":{\"x\":\"y\"}}",
	  "invalid option: \"x\"" },
	{ "a tmpfs",
	  "{\"Name\":\"mem\",\"DriverOpts\":{\"type\":\"tmpfs\",\"device\":\"tmpfs\",\"o\":\"size="
	  "1m\"}}",
	  "" },
	{ "the same with other options",
	  "{\"Name\":\"mem\",\"DriverOpts\":{\"type\":\"tmpfs\",\"device\":\"tmpfs\",\"o\":\"size="
	  "2m\"}}",
	  "create mem: conflict: volume with this name exists with other options" },
};

static void test_create(void)
{
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
		is_str(call(volume_create, bodies[i].body), bodies[i].error, bodies[i].what);
	is_str(call(volume_create, bodies[0].body), "", "once more");
	ok(strstr(answer, "\"Driver\":\"local\",\"Labels\":{\"a\":\"1\"},\"Mountpoint\":\"") &&
	       strstr(answer, "/volumes/v1/_data\",\"Name\":\"v1\",\"Options\":null,\"Scope\":"
			      "\"local\"}"),
	   "in Docker's form");
	is_str(call(volume_list, "{\"label\":{\"a=1\":true}}"), "", "list by label");
	ok(strstr(answer, "\"v1\"") && !strstr(answer, "\"mem\"") &&
	       strstr(answer, "\"Warnings\":null"),
	   "finds the one");
	is_str(call(volume_list, "{\"nonsense\":[\"1\"]}"), "invalid filter 'nonsense'",
	       "filters nobody knows");
}

static void test_remove(void)
{
	used = "v1";
	is_str(remove_volume("v1", true), "remove v1: volume is in use - [c0ffee]",
	       "a volume in use stays");
	is_str(remove_volume("nosuch", false), "get nosuch: no such volume",
	       "one that is not there");
	is_str(remove_volume("nosuch", true), "", "by force that is fine");
	used = NULL;
	is_str(remove_volume("v1", false), "", "an unused one goes");
	is_str(remove_volume("v1", false), "get v1: no such volume", "once");
}

/* Between the creation of its volume and the container's row there is prune. */
static void test_claim(void)
{
	char name[VOLUME_NAME_MAX], text[300];
	struct error err;

	is_int(volume_need(&engine, &(struct volume_wish){ .claimant = "beef" }, name, NULL, &err),
	       0, "a volume for a container that is being created");
	snprintf(text, sizeof(text), "remove %s: volume is in use - [beef]", name);
	is_str(remove_volume(name, true), text, "it stays");
	is_str(call(prune, NULL), "", "prune");
	ok(strstr(answer, "\"VolumesDeleted\":[]") != NULL, "it stays, too");
	volume_unclaim(&engine, "beef");
	is_str(call(prune, NULL), "", "prune without the container");
	ok(strstr(answer, name) != NULL, "takes it");
}

static bool is_tmpfs(int fd)
{
	struct stat st, root;

	return fstat(fd, &st) == 0 && fstat(engine.volumes->dirfd, &root) == 0 &&
	       st.st_dev != root.st_dev;
}

static int mount_volume(const char *name, const char *container, const char *subpath, int *ret_fd,
			char **ret_path)
{
	struct volume_mount_spec m = {
		.name = name, .container_id = container, .subpath = subpath, .destination = "/data"
	};
	struct error err;

	return volume_mount(&engine, &m, ret_fd, ret_path, &err);
}

static void test_mount(void)
{
	autofree char *path = NULL;
	autoclose int a = FD_NONE, b = FD_NONE, sub = FD_NONE;

	is_int(mount_volume("mem", "c1", NULL, &a, &path), 0, "mount");
	ok(is_tmpfs(a), "what the options say");
	is_int(mount_volume("mem", "c2", NULL, &b, NULL), 0, "a second user");
	ok(mkdirat(b, "in", 0755) == 0 && symlinkat("/etc", b, "out") == 0, "writes");
	is_int(faccessat(a, "in", F_OK, 0), 0, "the first sees it");
	is_int(mount_volume("mem", "c1", "in", &sub, NULL), 0, "a subpath");
	close(steal_fd(&sub));
	is_int(mount_volume("mem", "c1", "out", &sub, NULL), -ERR_NOT_FOUND,
	       "a symlink does not lead out");
	is_int(mount_volume("mem", "c1", "../..", &sub, NULL), 0, "nor do dots");
	ok(is_tmpfs(sub), "they stay inside");
	volume_unmount_all(&engine, "c1");
	is_str(remove_volume("mem", false), "remove mem: volume is in use - [c2]",
	       "mounted ones stay");
	close(steal_fd(&a));
	close(steal_fd(&b));
	close(steal_fd(&sub));
	volume_unmount_all(&engine, "c2");
	is_str(remove_volume("mem", false), "", "unmounted ones go");
}

static void put(int dirfd, const char *name, const char *text)
{
	autoclose int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);

	if (fd < 0 || fs_write_all(fd, text, strlen(text), NULL) < 0)
		printf("# cannot write %s\n", name);
}

static void test_seed(void)
{
	autoclose int root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), from = FD_NONE,
		      to = FD_NONE;
	autofree char *path = NULL;
	char name[VOLUME_NAME_MAX];
	struct error err;
	struct stat st;
	bool created;

	is_int(fs_mkdir_all_in_root(root, "/image/data", 0755, 0, 0, &from, &err), 0, "an image");
	close(steal_fd(&from));
	from = openat(root, "image/data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	put(from, "file", "hello");
	ok(fchmod(from, 0711) == 0 && fchown(from, 33, 44) == 0, "with its owner");
	is_int(volume_need(&engine, &(struct volume_wish){ 0 }, name, &created, &err), 0,
	       "an anonymous volume");
	ok(created && strlen(name) == 64, "with a long name");
	is_int(volume_seed(&engine, name, root, "/image/data", &err), 0, "seed");
	is_int(volume_path(&engine, name, &path, &err), 0, "its path");
	to = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ok(fstat(to, &st) == 0 && (st.st_mode & 07777) == 0711 && st.st_uid == 33 &&
	       st.st_gid == 44,
	   "the directory's owner and mode come along");
	ok(fstatat(to, "file", &st, 0) == 0 && (st.st_mode & 07777) == 0640 && st.st_size == 5,
	   "so do files");
	put(from, "late", "x");
	is_int(volume_seed(&engine, name, root, "/image/data", &err), 0, "again");
	ok(faccessat(to, "late", F_OK, 0) < 0, "a volume that is not empty stays as it is");
	is_int(volume_seed(&engine, name, root, "/image/none", &err), 0, "nothing there is fine");
	used = name;
	volume_drop_anonymous(&engine, name);
	is_int(access(path, F_OK), 0, "a used one is kept");
	used = NULL;
	volume_drop_anonymous(&engine, name);
	ok(access(path, F_OK) < 0, "an unused one is dropped");
}

static int open_engine(struct error *err)
{
	autofree char *root = cstr_format("%s/root", dir);
	int r;

	engine = (struct engine){ 0 };
	engine.cfg.data_root = xstrdup(root);
	engine.cfg.exec_root = dir;
	r = store_open(root, NULL, &engine.store, err);
	return r < 0 ? r : volume_room_open(&engine, err);
}

static void close_engine(void)
{
	volume_room_close(&engine);
	store_close(engine.store);
	free((char *)(uintptr_t)engine.cfg.data_root);
}

static void test_restart(void)
{
	struct error err;

	is_str(call(volume_create, "{\"Name\":\"keep\"}"), "", "a volume");
	ok(mkdirat(engine.volumes->dirfd, "leftover", 0700) == 0, "and a directory nobody names");
	close_engine();
	is_int(open_engine(&err), 0, "a new proad");
	is_str(call(volume_list, NULL), "", "list");
	ok(strstr(answer, "\"keep\"") != NULL, "knows the volume");
	ok(faccessat(engine.volumes->dirfd, "leftover", F_OK, 0) < 0, "and removed the leftover");
	is_str(call(prune, NULL), "", "prune");
	is_str(answer, "{\"VolumesDeleted\":[],\"SpaceReclaimed\":0}", "takes only anonymous ones");
	is_str(call(prune_all, "{\"label\":{\"x\":true}}"), "", "prune by label");
	is_str(answer, "{\"VolumesDeleted\":[],\"SpaceReclaimed\":0}", "takes only those");
	is_str(call(prune_all, NULL), "", "prune all");
	ok(cstr_starts(answer, "{\"VolumesDeleted\":[\"keep\"],\"SpaceReclaimed\":"), "takes all");
}

int main(void)
{
	struct error err;

	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		printf("1..0 # SKIP needs root and namespaces\n");
		return 0;
	}
	if (!mkdtemp(dir) || mount("none", dir, "tmpfs", 0, NULL) < 0 || open_engine(&err) < 0)
		return 1;
	test_create();
	test_remove();
	test_claim();
	test_mount();
	test_seed();
	test_restart();
	close_engine();
	umount2(dir, MNT_DETACH);
	rmdir(dir);
	return tap_done();
}
