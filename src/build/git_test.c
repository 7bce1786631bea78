/* Git URLs: what they name, and what is refused. */
#include "build/git.h"

#include <string.h>

#include "base/str.h"
#include "tests/tap.h"

static const struct {
	const char *url, *remote, *ref, *subdir, *checksum;
	int keep_git_dir;
	bool skip_submodules;
} good[] = {
	{ "https://x/y.git", "https://x/y.git", "HEAD", "", "", -1, false },
	{ "https://x/y.git#v1", "https://x/y.git", "v1", "", "", -1, false },
	{ "https://x/y.git#:sub/dir", "https://x/y.git", "HEAD", "sub/dir", "", -1, false },
	{ "https://x/y.git#a/b:c", "https://x/y.git", "a/b", "c", "", -1, false },
	{ "git@x:y.git#z", "git@x:y.git", "z", "", "", -1, false },
	{ "github.com/x/y", "https://github.com/x/y", "HEAD", "", "", -1, false },
	{ "https://x/y.git?ref=v1&subdir=s", "https://x/y.git", "v1", "s", "", -1, false },
	{ "https://x/y.git?branch=main", "https://x/y.git", "refs/heads/main", "", "", -1, false },
	{ "https://x/y.git?tag=refs/tags/v1", "https://x/y.git", "refs/tags/v1", "", "", -1,
	  false },
	{ "https://x/y.git?tag=v1&commit=abc", "https://x/y.git", "refs/tags/v1", "", "abc", -1,
	  false },
	{ "https://x/y.git?checksum=abc", "https://x/y.git", "abc", "", "abc", -1, false },
	{ "https://x/y.git?keep-git-dir", "https://x/y.git", "HEAD", "", "", 1, false },
	{ "https://x/y.git?submodules=false&keep-git-dir=0#v", "https://x/y.git", "v", "", "", 0,
	  true },
};

static const struct {
	const char *url, *message;
} bad[] = {
	{ "https://x/y.git?foo=bar", "unexpected query \"foo\"" },
	{ "https://x/y.git?ref", "query \"ref\" has no value" },
	{ "https://x/y.git?ref=a#b", "ref conflicts: \"b\" vs \"a\"" },
	{ "https://x/y.git?branch=a&tag=a", "tag conflicts: \"refs/heads/a\" vs \"refs/tags/a\"" },
	{ "https://x/y.git?submodules=maybe", "invalid submodules value: \"maybe\"" },
	{ "https://x/y.git#--upload-pack=x", "invalid git URL https://x/y.git#--upload-pack=x" },
};

int main(void)
{
	auto_(arena) a = ARENA_INIT;
	struct git_url u;
	struct error err;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		is_int(git_url_parse(&a, good[i].url, &u, &err), 0, good[i].url);
		is_str(u.remote, good[i].remote, "remote");
		is_str(u.ref, good[i].ref, "ref");
		is_str(u.subdir, good[i].subdir, "subdir");
		is_str(u.checksum, good[i].checksum, "checksum");
		is_int(u.keep_git_dir, good[i].keep_git_dir, "keep-git-dir");
		ok(u.skip_submodules == good[i].skip_submodules, "submodules");
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		is_int(git_url_parse(&a, bad[i].url, &u, &err), -ERR_INVALID, bad[i].url);
		is_str(err.msg, bad[i].message, "says why");
	}
	return tap_done();
}
