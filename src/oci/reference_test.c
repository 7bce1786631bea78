#include "oci/reference.h"

#include "tests/tap.h"

#define HEX64  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define DIGEST "sha256:" HEX64
#define FORMAT "invalid reference format"

static const struct {
	const char *text, *canonical, *familiar;
} good[] = {
	{ "ubuntu", "docker.io/library/ubuntu", "ubuntu" },
	{ "ubuntu:22.04", "docker.io/library/ubuntu:22.04", "ubuntu:22.04" },
	{ "library/ubuntu", "docker.io/library/ubuntu", "ubuntu" },
	{ "docker.io/ubuntu", "docker.io/library/ubuntu", "ubuntu" },
	{ "index.docker.io/ubuntu:a", "docker.io/library/ubuntu:a", "ubuntu:a" },
	{ "docker.io/library/a/b", "docker.io/library/a/b", "library/a/b" },
	{ "foo/bar", "docker.io/foo/bar", "foo/bar" },
	{ "foo/bar:tag@" DIGEST, "docker.io/foo/bar:tag@" DIGEST, "foo/bar:tag@" DIGEST },
	{ "foo@" DIGEST, "docker.io/library/foo@" DIGEST, "foo@" DIGEST },
	{ "localhost/foo", "localhost/foo", "localhost/foo" },
	{ "localhost:5000/foo:1", "localhost:5000/foo:1", "localhost:5000/foo:1" },
	{ "127.0.0.1:5991/api/bb:1", "127.0.0.1:5991/api/bb:1", "127.0.0.1:5991/api/bb:1" },
	{ "[::1]:5000/foo", "[::1]:5000/foo", "[::1]:5000/foo" },
	{ "[fd00:1:2::3]/foo", "[fd00:1:2::3]/foo", "[fd00:1:2::3]/foo" },
	{ "Uppercase/foo", "Uppercase/foo", "Uppercase/foo" },
	{ "a.b/c__d/e-----f.g_h", "a.b/c__d/e-----f.g_h", "a.b/c__d/e-----f.g_h" },
	{ "foo:_T.a-g", "docker.io/library/foo:_T.a-g", "foo:_T.a-g" },
	{ "test:5000/repo", "test:5000/repo", "test:5000/repo" },
	{ "test:5000", "docker.io/library/test:5000", "test:5000" },
	{ "xn--7o8h.com/myimage", "xn--7o8h.com/myimage", "xn--7o8h.com/myimage" },
	{ "foo_bar.com:8080", "docker.io/library/foo_bar.com:8080", "foo_bar.com:8080" },
};

static const struct {
	const char *text, *want;
} bad[] = {
	{ "", FORMAT },
	{ ":justtag", FORMAT },
	{ "@" DIGEST, FORMAT },
	{ "repo@sha256:ffffffffff", FORMAT },
	{ "validname@invaliddigest:" HEX64, "unsupported digest algorithm" },
	{ "repo@sha256:ffffffffffffffffffffffffffffffffff", "invalid checksum digest length" },
	{ "BAD::x", FORMAT ": repository name (library/BAD) must be lowercase" },
	{ "Uppercase:tag", FORMAT ": repository name (library/Uppercase) must be lowercase" },
	{ "test:5000/Uppercase/lowercase:tag",
	  FORMAT ": repository name (Uppercase/lowercase) must be lowercase" },
	{ "aa/asdf$$^/aa", FORMAT },
	{ "a//b", FORMAT },
	{ "a/b/", FORMAT },
	{ "-foo/bar", FORMAT },
	{ "foo-/bar", FORMAT },
	{ "foo___bar", FORMAT },
	{ "foo..bar", FORMAT },
	{ "foo:", FORMAT },
	{ "foo:-tag", FORMAT },
	{ "foo bar", FORMAT },
	{ "https://github.com/docker/docker", FORMAT },
	{ "[fe80::1%eth0]:5000/repo", FORMAT },
	{ "[[::1]]/repo", FORMAT },
	{ "localhost:x/repo", FORMAT },
	{ HEX64,
	  "invalid repository name (" HEX64 "), cannot specify 64-byte hexadecimal strings" },
};

static const struct {
	const char *pattern, *text;
	int want; /* 1 match, 0 none, -1 malformed */
} globs[] = {
	{ "abc", "abc", 1 },
	{ "*", "abc", 1 },
	{ "*c", "abc", 1 },
	{ "a*", "a", 1 },
	{ "a*", "ab/c", 0 },
	{ "a*/b", "abc/b", 1 },
	{ "a*/b", "a/c/b", 0 },
	{ "a*b*c*d*e*/f", "axbxcxdxe/f", 1 },
	{ "a*b?c*x", "abxbbxdbxebxczzy", 0 },
	{ "ab[c]", "abc", 1 },
	{ "ab[b-d]", "abc", 1 },
	{ "ab[e-g]", "abc", 0 },
	{ "ab[^c]", "abc", 0 },
	{ "ab[^e-g]", "abc", 1 },
	{ "a\\*b", "a*b", 1 },
	{ "a\\*b", "ab", 0 },
	{ "a?b", "a/b", 0 },
	{ "a???b", "a123b", 1 },
	{ "[\\]a]", "]", 1 },
	{ "[]a]", "]", -1 },
	{ "[-]", "-", -1 },
	{ "[x-]", "x", -1 },
	{ "[", "a", -1 },
	{ "[^bc", "a", -1 },
	{ "a[", "a", -1 },
	{ "a[", "ab", -1 },
	{ "*x", "xxx", 1 },
	{ "", "", 1 },
	{ "", "a", 0 },
	{ "\\", "a", -1 },
};

static void test_good(void)
{
	char text[REFERENCE_TEXT_MAX];
	struct reference ref, again;
	struct error err;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		is_int(reference_parse(good[i].text, &ref, &err), 0, good[i].text);
		reference_format(&ref, text);
		is_str(text, good[i].canonical, "canonical form");
		is_int(reference_parse(text, &again, &err), 0, "which parses");
		reference_familiar(&again, text);
		is_str(text, good[i].familiar, "familiar form");
	}
	is_int(reference_parse_tagged("foo", &ref, &err), 0, "no tag");
	is_str(ref.tag, "latest", "is latest");
	is_int(reference_parse_tagged("foo@" DIGEST, &ref, &err), 0, "a digest");
	is_str(ref.tag, "", "needs none");
}

static void test_bad(void)
{
	char name[300] = "a/";
	struct reference ref;
	struct error err;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		is_int(reference_parse(bad[i].text, &ref, &err), -ERR_INVALID, bad[i].text);
		is_str(err.msg, bad[i].want, "in Docker's words");
	}
	memset(name + 2, 'b', 253);
	is_int(reference_parse(name, &ref, &err), 0, "255 characters");
	name[255] = 'b';
	is_int(reference_parse(name, &ref, &err), -ERR_INVALID, "256 characters");
	is_str(err.msg, "repository name must not be more than 255 characters", "says so");
}

static void test_match(void)
{
	struct reference ref;
	struct error err;
	bool hit;

	for (size_t i = 0; i < ARRAY_LEN(globs); i++) {
		int r = glob_match(globs[i].pattern, globs[i].text, &hit, &err);

		is_int(r < 0 ? -1 : hit, globs[i].want, globs[i].pattern);
	}
	is_int(reference_parse("foo/busybox:1", &ref, &err), 0, "parse");
	ok(reference_match(&ref, "*/busybox", &hit, &err) == 0 && hit, "pattern of the name");
	ok(reference_match(&ref, "foo/b*:1", &hit, &err) == 0 && hit, "pattern of the whole");
	ok(reference_match(&ref, "busybox", &hit, &err) == 0 && !hit, "another name");
}

int main(void)
{
	test_good();
	test_bad();
	test_match();
	return tap_done();
}
