#include "runtime/mount_option.h"

#include <sys/mount.h>

#include "base/macros.h"
#include "tests/tap.h"

static int parse(const char *type, const char *const *options, size_t n, struct mount_option *o,
		 struct error *err)
{
	struct spec_mount m = { .destination = "/x", .type = type, .options = { options, n } };

	return mount_option_parse(&m, o, err);
}

int main(void)
{
	static const char *const bind[] = { "rbind", "ro", "nosuid", "rprivate", "noatime" };
	static const char *const fs[] = {
		"size=64k", "mode=755", "nosuid", "rw", "sync", "defaults"
	};
	static const char *const rec[] = { "bind", "rro", "rnoexec", "rrw" };
	static const char *const tmpfs_words[] = { "bind", "size=1", "mode=755" };
	static const char *const bad[] = { "bind", "lowerdir=/x" };
	static const char *const idmap[] = { "idmap" };
	struct mount_option o;
	struct error err;

	is_int(parse("none", bind, ARRAY_LEN(bind), &o, &err), 0, "a recursive bind");
	ok(o.bind && o.rbind, "is one");
	ok(o.attr_set == (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOATIME),
	   "with its attributes");
	ok((o.attr_clear & MOUNT_ATTR__ATIME) == MOUNT_ATTR__ATIME,
	   "the old access time mode is cleared first");
	ok(o.n_propagation == 1 && o.propagation[0] == MS_PRIVATE && o.propagation_rec[0],
	   "and its propagation");
	is_int(parse("tmpfs", fs, ARRAY_LEN(fs), &o, &err), 0, "a tmpfs");
	is_int(o.n_data, 3, "keeps what is the file system's own");
	ok(!o.bind && !(o.attr_set & MOUNT_ATTR_RDONLY), "is no bind and writable");
	is_int(parse("bind", rec, ARRAY_LEN(rec), &o, &err), 0, "recursive attributes");
	ok(o.attr_rec_set == MOUNT_ATTR_NOEXEC && o.attr_rec_clear & MOUNT_ATTR_RDONLY,
	   "the last word on an attribute wins");
	is_int(parse("bind", tmpfs_words, ARRAY_LEN(tmpfs_words), &o, &err), 0,
	       "a bind may carry a tmpfs's words, as under the peers");
	is_int(parse("bind", bad, ARRAY_LEN(bad), &o, &err), -ERR_INVALID,
	       "a bind has no options of a file system");
	is_int(parse("tmpfs", idmap, 1, &o, &err), -ERR_INVALID, "only binds are id-mapped");
	return tap_done();
}
