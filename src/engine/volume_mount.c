/*
 * engine/volume_mount.c: volumes in use: mounting what type/o/device say,
 * opening what a container gets, copying what the image has.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/fs_walk.h"
#include "base/log.h"
#include "base/random.h"
#include "engine/volume_internal.h"

#define MOUNTINFO_MAX (16U << 20)

const char *volume_first_user(const struct volume *v)
{
	map_for_each (e, &v->users)
		return e->key;
	map_for_each (e, &v->claims)
		return e->key;
	return "";
}

static bool has_mount_options(const struct volume *v)
{
	return !cstr_is_empty(json_str(v->options, "device")) ||
	       !cstr_is_empty(json_str(v->options, "type"));
}

/* Is something mounted exactly there? Paths of ours have nothing to escape. */
static bool is_mounted(const char *path)
{
	auto_(buf) text = BUF_INIT(MOUNTINFO_MAX);
	struct str rest, line;

	if (fs_read_file("/proc/self/mountinfo", &text, NULL) < 0 || !text.data)
		return false;
	rest = (struct str){ text.data, text.len };
	while (str_split(&rest, '\n', &line)) {
		struct str word;
		int i = 0;

		while (i < 5 && str_split(&line, ' ', &word))
			i++;
		if (i == 5 && str_eqs(word, path))
			return true;
	}
	return false;
}

static const struct {
	const char *name;
	unsigned long set, clear;
} flags[] = {
	{ "ro", MS_RDONLY, 0 },
	{ "rw", 0, MS_RDONLY },
	{ "nosuid", MS_NOSUID, 0 },
	{ "suid", 0, MS_NOSUID },
	{ "nodev", MS_NODEV, 0 },
	{ "dev", 0, MS_NODEV },
	{ "noexec", MS_NOEXEC, 0 },
	{ "exec", 0, MS_NOEXEC },
	{ "sync", MS_SYNCHRONOUS, 0 },
	{ "async", 0, MS_SYNCHRONOUS },
	{ "noatime", MS_NOATIME, 0 },
	{ "atime", 0, MS_NOATIME },
	{ "nodiratime", MS_NODIRATIME, 0 },
	{ "relatime", MS_RELATIME, 0 },
	{ "norelatime", 0, MS_RELATIME },
	{ "strictatime", MS_STRICTATIME, 0 },
	{ "bind", MS_BIND, 0 },
	{ "rbind", MS_BIND | MS_REC, 0 },
	{ "defaults", 0, 0 },
};

/* addr=name of nfs and cifs must be an address for mount(2). */
static int add_option(struct buf *data, struct str word, struct error *err)
{
	const char *comma = data->len ? "," : "";

	if (str_starts(word, "addr=")) {
		autofree char *host = str_dup(str_sub(word, 5, word.len));
		struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
		char text[INET6_ADDRSTRLEN];
		int r = getaddrinfo(host, NULL, &hints, &found);

		if (r != 0)
			return error_set(
			    err, ERR_SYSTEM,
			    "error resolving passed in network volume address '%s': %s", host,
			    gai_strerror(r));
		r = getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof(text), NULL, 0,
				NI_NUMERICHOST);
		freeaddrinfo(found);
		return r == 0 ? buf_addf(data, err, "%saddr=%s", comma, text)
			      : error_set(err, ERR_SYSTEM, "no address for '%s'", host);
	}
	return buf_addf(data, err, "%s%.*s", comma, STR_ARG(word));
}

static int parse_options(const char *o, unsigned long *ret_flags, struct buf *data,
			 struct error *err)
{
	struct str rest = str_of(o), word;
	int r = 0;

	*ret_flags = 0;
	while (r == 0 && o && str_split(&rest, ',', &word)) {
		bool known = false;

		for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
			if (!str_eqs(word, flags[i].name))
				continue;
			*ret_flags = (*ret_flags | flags[i].set) & ~flags[i].clear;
			known = true;
		}
		if (!known && word.len)
			r = add_option(data, word, err);
	}
	return r;
}

static int mount_options(struct volume_room *r, const char *name, const struct json *options,
			 struct error *err)
{
	autofree char *path = volume_data_path(r, name);
	const char *type = json_str(options, "type"), *device = json_str(options, "device");
	auto_(buf) data = BUF_INIT(4096);
	unsigned long mount_flags;
	int status;

	if (is_mounted(path))
		return 0;
	status = parse_options(json_str(options, "o"), &mount_flags, &data, err);
	if (status < 0)
		return status;
	if (mount(device, path, mount_flags & MS_BIND ? NULL : type, mount_flags,
		  data.data ? data.data : "") < 0)
		return error_sys(
		    err, errno, "failed to mount local volume: mount %s:%s, flags: 0x%lx, data: %s",
		    device, path, mount_flags, data.data ? data.data : "");
	/* A bind takes the other flags only on a second call. */
	if ((mount_flags & MS_BIND) && (mount_flags & ~(unsigned long)(MS_BIND | MS_REC)) &&
	    mount(NULL, path, NULL, mount_flags | MS_REMOUNT, NULL) < 0) {
		status = error_sys(err, errno, "failed to remount local volume '%s'", path);
		umount2(path, MNT_DETACH);
	}
	return status;
}

static void mount_event(struct engine *e, const char *action, const char *name,
			const char *container, const char *destination, bool read_only)
{
	const struct event_attr attrs[] = {
		{ "container", container },
		{ "destination", destination },
		{ "driver", "local" },
		{ "propagation", destination ? "" : NULL },
		{ "read/write", !destination ? NULL
				: read_only  ? "false"
					     : "true" },
	};

	event_emit(e, "volume", action, name, attrs, ARRAY_LEN(attrs));
}

/* The lock for mounting: one at a time per volume, never the room's lock. */
static struct volume *mounting_begin(struct volume_room *r, const char *name, struct error *err)
{
	for (;;) {
		struct volume *v;

		lock_take(&r->lock);
		v = volume_get(r, name, err);
		if (!v || !v->mounting) {
			if (v)
				v->mounting = true;
			lock_drop(&r->lock);
			return v;
		}
		lock_drop(&r->lock);
		usleep(1000);
	}
}

static int open_target(const char *path, const char *subpath, int *ret_fd, struct error *err)
{
	autoclose int root = FD_NONE;
	int status = fs_open(path, O_PATH | O_DIRECTORY, 0, &root, err);

	if (status < 0)
		return status;
	if (cstr_is_empty(subpath)) {
		*ret_fd = steal_fd(&root);
		return 0;
	}
	if (subpath[0] == '/')
		return error_set(err, ERR_INVALID, "subpath must be a relative path");
	status = fs_open_in_root(root, subpath, O_PATH, 0, ret_fd, err);
	return status < 0 ? error_wrap(err, status, "cannot access path %s/%s", path, subpath) : 0;
}

/* A mount that is nowhere yet gets a place below the exec root. */
static int pin_tree(struct engine *e, const char *container_id, int tree, bool directory,
		    char **ret_path, struct error *err)
{
	autofree char *dir = cstr_format("%s/subpaths", e->cfg.exec_root), *path = NULL;
	autoclose int file = FD_NONE;
	char unique[17];
	int r = fs_mkdir_all(dir, 0700, err);

	if (r < 0)
		return r;
	random_hex(unique, 8);
	path = cstr_format("%s/%s.%s", dir, container_id, unique);
	if (directory)
		r = mkdir(path, 0700) < 0 ? error_sys(err, errno, "create '%s'", path) : 0;
	else
		r = fs_open(path, O_WRONLY | O_CREAT | O_EXCL, 0600, &file, err);
	if (r < 0)
		return r;
	if (syscall(SYS_move_mount, tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0) {
		r = error_sys(err, errno, "bind subpath");
		remove(path);
		return r;
	}
	*ret_path = steal_ptr(path);
	return 0;
}

int volume_pin_mount(struct engine *e, const char *container_id, int mount, char **ret_path,
		     struct error *err)
{
	return pin_tree(e, container_id, mount, true, ret_path, err);
}

int volume_pin(struct engine *e, const char *container_id, int fd, char **ret_path,
	       struct error *err)
{
	autoclose int tree =
	    (int)syscall(SYS_open_tree, fd, "",
			 AT_EMPTY_PATH | AT_RECURSIVE | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	struct stat st;

	if (tree < 0 || fstat(fd, &st) < 0)
		return error_sys(err, errno, "bind subpath");
	return pin_tree(e, container_id, tree, S_ISDIR(st.st_mode), ret_path, err);
}

static void unpin_subpaths(struct engine *e, const char *container_id)
{
	autofree char *path = cstr_format("%s/subpaths", e->cfg.exec_root);
	DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		autofree char *pinned = cstr_format("%s/%s", path, entry->d_name);

		if (!cstr_starts(entry->d_name, container_id))
			continue;
		umount2(pinned, MNT_DETACH);
		remove(pinned);
	}
	if (dir)
		closedir(dir);
}

int volume_mount(struct engine *e, const struct volume_mount_spec *m, int *ret_fd, char **ret_path,
		 struct error *err)
{
	struct volume_room *r = e->volumes;
	struct volume *v = mounting_begin(r, m->name, err);
	autofree char *path = NULL, *pinned = NULL;
	autoclose int fd = FD_NONE;
	int status = 0;

	if (!v)
		return -ERR_NOT_FOUND;
	path = volume_data_path(r, m->name);
	/* While `mounting` is set, v cannot be removed: it counts as a user below. */
	lock_take(&r->lock);
	map_set(&v->users, m->container_id, v);
	lock_drop(&r->lock);
	if (has_mount_options(v))
		status = mount_options(r, m->name, v->options, err);
	if (status == 0)
		status = open_target(path, m->subpath, &fd, err);
	if (status == 0 && !cstr_is_empty(m->subpath))
		status = volume_pin(e, m->container_id, fd, &pinned, err);
	lock_take(&r->lock);
	v->mounting = false;
	if (status < 0)
		map_remove(&v->users, m->container_id);
	lock_drop(&r->lock);
	if (status < 0)
		return status;
	*ret_fd = steal_fd(&fd);
	if (ret_path)
		*ret_path = pinned ? steal_ptr(pinned) : xstrdup(path);
	mount_event(e, "mount", m->name, m->container_id, m->destination, m->read_only);
	return 0;
}

void volume_adopt(struct engine *e, const char *name, const char *container_id)
{
	struct volume_room *r = e->volumes;
	struct volume *v;

	LOCKED(&r->lock);
	v = volume_find(r, name);
	if (v)
		map_set(&v->users, container_id, v);
}

static void unmount_one(struct volume_room *r, const char *name, const char *container_id)
{
	autofree char *path = volume_data_path(r, name);
	struct volume *v = mounting_begin(r, name, NULL);
	bool last;

	if (!v)
		return;
	lock_take(&r->lock);
	map_remove(&v->users, container_id);
	last = v->users.len == 0;
	lock_drop(&r->lock);
	if (last && has_mount_options(v) && umount2(path, MNT_DETACH) < 0 && errno != EINVAL)
		log_warn("volume not unmounted, continuing", KV("volume", name));
	lock_take(&r->lock);
	v->mounting = false;
	lock_drop(&r->lock);
	mount_event(r->engine, "unmount", name, container_id, NULL, false);
}

void volume_unmount_all(struct engine *e, const char *container_id)
{
	struct volume_room *r = e->volumes;
	VEC(char *) names = { 0 };

	unpin_subpaths(e, container_id);
	lock_take(&r->lock);
	map_for_each (entry, &r->by_name) {
		struct volume *v = entry->value;

		if (map_has(&v->users, container_id))
			*vec_push(&names) = xstrdup(v->name);
	}
	lock_drop(&r->lock);
	vec_for_each (name, &names) {
		unmount_one(r, *name, container_id);
		free(*name);
	}
	vec_release(&names);
}

int volume_path(struct engine *e, const char *name, char **ret, struct error *err)
{
	struct volume_room *r = e->volumes;

	LOCKED(&r->lock);
	if (!volume_get(r, name, err))
		return -ERR_NOT_FOUND;
	*ret = volume_data_path(r, name);
	return 0;
}

/* ---- seeding ---- */

static int is_empty(int dirfd, bool *ret, struct error *err)
{
	int copy = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *entry;

	if (!dir) {
		int r = error_sys(err, errno, "read volume");

		if (copy >= 0)
			close(copy);
		return r;
	}
	*ret = true;
	while (*ret && (entry = readdir(dir)))
		*ret = !fs_is_component(entry->d_name);
	closedir(dir);
	return 0;
}

/* Owner, mode and xattrs of the directory itself. */
static int copy_attributes(int from, int to, struct error *err)
{
	struct stat st;
	int r;

	if (fstat(from, &st) < 0)
		return error_sys(err, errno, "stat image directory");
	if (fchown(to, st.st_uid, st.st_gid) < 0 || fchmod(to, st.st_mode & 07777) < 0)
		return error_sys(err, errno, "set attributes of volume");
	r = fs_copy_xattrs(from, to, true, err);
	return r;
}

static int copy_entries(int from, int to, struct error *err)
{
	auto_(fs_names) names = { 0 };
	int r = fs_read_names(from, &names, err);

	for (size_t i = 0; r == 0 && i < names.len; i++)
		r = fs_copy_tree(from, names.at[i], to, names.at[i],
				 FS_COPY_OWNER | FS_COPY_TIMES | FS_COPY_XATTRS, err);
	return r;
}

int volume_seed(struct engine *e, const char *name, int rootfd, const char *path, struct error *err)
{
	autofree char *data = NULL;
	autoclose int from = FD_NONE, to = FD_NONE;
	bool empty = false;
	int r = volume_path(e, name, &data, err);

	if (r < 0)
		return r;
	r = fs_open_in_root(rootfd, path, O_RDONLY | O_DIRECTORY, 0, &from, err);
	if (r == -ERR_NOT_FOUND)
		return 0;
	if (r == 0)
		r = fs_open(data, O_RDONLY | O_DIRECTORY, 0, &to, err);
	if (r == 0)
		r = is_empty(to, &empty, err);
	if (r < 0 || !empty)
		return r;
	r = copy_entries(from, to, err);
	if (r == 0)
		r = copy_attributes(from, to, err);
	return r < 0 ? error_wrap(err, r, "copy image data to volume '%s'", name) : 0;
}
