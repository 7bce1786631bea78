#include "registry/name.h"

#include "tests/tap.h"

static const struct {
	const char *name;
	bool good;
} repos[] = {
	{ "a", true },
	{ "library/busybox", true },
	{ "a.b_c__d-e---f/g0", true },
	{ "", false },
	{ "A", false },
	{ "a/", false },
	{ "/a", false },
	{ "a//b", false },
	{ "a/../b", false },
	{ "..", false },
	{ "a___b", false },
	{ "a..b", false },
	{ "-a", false },
	{ "a-", false },
	{ "a b", false },
	{ "a%2fb", false },
	{ "a+b", false },
};

static const struct {
	const char *pattern, *name;
	bool match;
} globs[] = {
	{ "*", "a", true },
	{ "*", "a/b", false },
	{ "**", "a/b/c", true },
	{ "team/*", "team/x", true },
	{ "team/*", "team/x/y", false },
	{ "team/**", "team/x/y", true },
	{ "a*c", "abbc", true },
	{ "a?c", "a/c", false },
	{ "**/x", "a/b/x", true },
	{ "*/b*d", "a/bcd", true },
	{ "a", "b", false },
	{ "a*", "a", true },
};

int main(void)
{
	char long_name[300], key[512], text[NAME_DIGEST_MAX];
	struct name_reference ref;
	struct digest d;
	struct error err;

	for (size_t i = 0; i < ARRAY_LEN(repos); i++)
		is_int(name_is_repo(repos[i].name), repos[i].good, repos[i].name);
	memset(long_name, 'a', sizeof(long_name));
	long_name[255] = '\0';
	ok(name_is_repo(long_name), "255 bytes are a name");
	long_name[255] = 'a';
	long_name[256] = '\0';
	ok(!name_is_repo(long_name), "256 bytes are not");
	long_name[128] = '\0';
	ok(name_is_tag(long_name), "128 bytes are a tag");
	long_name[128] = 'a';
	long_name[129] = '\0';
	ok(!name_is_tag(long_name), "129 bytes are not");
	ok(name_is_tag("v1.0-rc_1") && name_is_tag("_x") && !name_is_tag(".x") &&
	       !name_is_tag("") && !name_is_tag("a/b"),
	   "tags");

	for (size_t i = 0; i < ARRAY_LEN(globs); i++)
		is_int(name_glob(globs[i].pattern, globs[i].name), globs[i].match,
		       globs[i].pattern);

	is_int(name_reference_parse("latest", &ref, &err), 0, "a tag is a reference");
	ok(!ref.is_digest, "and no digest");
	is_int(name_reference_parse("sha256:00", &ref, &err), -ERR_INVALID, "a short digest");
	is_int(name_reference_parse("md5:00", &ref, &err), -ERR_UNIMPLEMENTED, "another algorithm");
	is_int(digest_parse("sha256:"
			    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
			    71, &d, &err),
	       0, "digest");
	name_blob_key(&d, key, sizeof(key));
	is_str(key,
	       "content/blobs/sha256/e3/"
	       "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	       "blob key");
	name_digest_format(&d, text);
	is_int(name_digest_parse(text, &d, &err), 0, "a digest as a component comes back");
	name_repo_key("a/b", "/tags/x", key, sizeof(key));
	is_str(key, "repos/a+b/tags/x", "repository key");
	return tap_done();
}
