/* Every layer of tests/should-fail/archive: refused or harmless, the canary unhurt. */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "archive/apply.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "tests/tap.h"

#ifndef HOSTILE_DIR
#error "the build says where the hostile layers are"
#endif

static int top; /* holds root/ and the canary */

static bool canary_lives(void)
{
	auto_(buf) b = BUF_INIT(100);
	struct stat st;

	return fs_read_at(top, "canary", &b, NULL) == 0 && strcmp(b.data, "alive") == 0 &&
	       fstatat(top, "canary", &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_nlink == 1 &&
	       access("/canary", F_OK) < 0;
}

static bool has_overlay_xattr(int root)
{
	static const char *const files[] = { ".", "d", "f" };
	static const char *const names[] = { "trusted.overlay.opaque", "user.overlay.opaque",
					     "trusted.overlay.redirect", "trusted.overlay.metacopy",
					     "user.overlay.metacopy" };
	char v[8];

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		autoclose int fd = openat(root, files[i], O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

		for (size_t j = 0; fd >= 0 && j < ARRAY_LEN(names); j++) {
			if (fgetxattr(fd, names[j], v, sizeof(v)) >= 0)
				return true;
		}
	}
	return false;
}

static void try_layer(int dir, const char *name)
{
	const struct apply_options o = { .no_owner = geteuid() != 0 };
	bool harmless = strncmp(name, "harmless-", 9) == 0;
	int64_t start = clock_mono_ns();
	struct fd_reader in;
	struct error err = { 0 };
	char what[400];
	int tar = openat(dir, name, O_RDONLY | O_CLOEXEC), root, r;

	if (mkdirat(top, "root", 0755) < 0)
		ok(0, "make the layer's root");
	root = openat(top, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd_reader_init(&in, tar, NULL);
	r = apply_layer(root, &in.reader, &o, NULL, &err);
	snprintf(what, sizeof(what), "%s: %.250s", name, r < 0 ? err.msg : "unpacked");
	ok(harmless ? r == 0 : r == -ERR_INVALID || r == -ERR_CORRUPT, what);
	ok(canary_lives(), "  nothing outside was touched");
	ok(!has_overlay_xattr(root), "  no overlay attribute was planted");
	ok(clock_mono_ns() - start < 2 * NS_PER_SEC, "  at once");
	close(root);
	close(tar);
	ok(fs_remove_tree(top, "root", &err) == 0, "  cleaned up");
}

int main(void)
{
	char path[] = "/tmp/proa-hostile-XXXXXX";
	struct dirent *e;
	struct error err;
	int n = 0, tmp;
	DIR *d = opendir(HOSTILE_DIR);

	if (!d || !mkdtemp(path))
		return 1;
	top = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fs_replace(top, "canary", 0644, "alive", 5, &err) < 0)
		return 1;
	while ((e = readdir(d)) != NULL) {
		if (!str_ends(str_of(e->d_name), ".tar"))
			continue;
		try_layer(dirfd(d), e->d_name);
		n++;
	}
	ok(n > 30, "there were hostile layers");
	closedir(d);
	close(top);
	tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ok(fs_remove_tree(tmp, strrchr(path, '/') + 1, &err) == 0, "cleaned up");
	close(tmp);
	return tap_done();
}
