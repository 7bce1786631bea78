/* What overlay would have said, without an overlay: copy-up, whiteouts, conflicts. */
#include "build/place.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "tests/tap.h"

static char dir[] = "/tmp/proa-place-XXXXXX";
static struct error err;

static int open_dir(int at, const char *name)
{
	return openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void make_file(int at, const char *name)
{
	int fd = openat(at, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	ok(fd >= 0, "a file is made");
	close(fd);
}

static void test_copy_up(int upper, int lower)
{
	struct timespec times[2] = { { .tv_sec = 1000 }, { .tv_sec = 2000 } };
	struct place p = PLACE_INIT;
	struct stat st;

	ok(mkdirat(lower, "usr", 0755) == 0 && mkdirat(lower, "usr/local", 0750) == 0 &&
	       fchmodat(lower, "usr/local", 0750, 0) == 0,
	   "two directories lie below");
	ok(utimensat(lower, "usr/local", times, 0) == 0 && utimensat(lower, "usr", times, 0) == 0,
	   "with a time of their own");
	is_int(place_open(upper, lower, FD_NONE, "/usr/local", &p, &err), 0, "the inner one opens");
	ok(fstatat(upper, "usr/local", &st, 0) == 0 && (st.st_mode & 07777) == 0750 &&
	       st.st_mtim.tv_sec == 2000,
	   "it is above now, with mode and time");
	ok(fstatat(upper, "usr", &st, 0) == 0 && st.st_mtim.tv_sec == 2000,
	   "and its parent kept its time although it got a name");
	ok(p.lower >= 0, "what is below shows through");
	place_close(&p);
	is_int(place_open(upper, lower, FD_NONE, "usr/none", &p, &err), -ERR_NOT_FOUND,
	       "an absent directory is told");
}

static void test_conflicts(int upper, int lower)
{
	const struct place top = { upper, lower, FD_NONE };
	bool made;

	make_file(lower, "file");
	ok(mkdirat(lower, "dir", 0755) == 0, "a directory lies below");
	is_int(place_mkdir(&top, "file", "src", &made, &err), -ERR_INVALID,
	       "a directory does not replace a file");
	ok(strstr(err.msg, "cannot copy to non-directory: src") != NULL, "in BuildKit's words");
	is_int(place_clear(&top, "dir", "src", &err), -ERR_INVALID,
	       "a file does not replace a directory");
	is_int(place_clear(&top, "file", "src", &err), 0, "it replaces a file");
	ok(faccessat(upper, "file", F_OK, 0) < 0, "for which nothing need be done");
	is_int(place_mkdir(&top, "dir", "src", &made, &err), 0, "a directory may be there");
	ok(!made, "and is not made then");
	is_int(place_mkdir(&top, "new", "src", &made, &err), 0, "a new one");
	ok(made, "is made");
}

static void test_whiteout(int upper, int lower)
{
	const struct place top = { upper, lower, FD_NONE };
	struct place p = PLACE_INIT;
	bool made;

	ok(mkdirat(lower, "gone", 0755) == 0, "a directory lies below");
	if (mknodat(upper, "gone", S_IFCHR, makedev(0, 0)) < 0) {
		skip_point("a whiteout hides", "it cannot be made here");
		return;
	}
	is_int(place_mkdir(&top, "gone", "src", &made, &err), 0, "a whiteout gives room");
	ok(made, "for a new directory");
	is_int(place_open_below(&top, "gone", &p, &err), 0, "which opens");
	is_int(p.lower, FD_NONE, "and shows nothing of the hidden one");
	place_close(&p);
}

int main(void)
{
	autoclose int root = FD_NONE, upper = FD_NONE, lower = FD_NONE, tmp = FD_NONE;

	ok(mkdtemp(dir) != NULL, "temporary directory");
	root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ok(mkdirat(root, "u", 0755) == 0 && mkdirat(root, "l", 0755) == 0, "two trees");
	upper = open_dir(root, "u");
	lower = open_dir(root, "l");
	test_copy_up(upper, lower);
	test_conflicts(upper, lower);
	if (geteuid() == 0)
		test_whiteout(upper, lower);
	auto_close_(&upper);
	auto_close_(&lower);
	auto_close_(&root);
	root = upper = lower = FD_NONE;
	tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	is_int(fs_remove_tree(tmp, dir + strlen("/tmp/"), &err), 0, "all goes");
	auto_close_(&tmp);
	tmp = FD_NONE;
	return tap_done();
}
