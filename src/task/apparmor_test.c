/* Tests of task/apparmor.h: which profile, what it says, and that it is loaded once. */
#include "task/apparmor.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/auto.h"
#include "base/fs.h"
#include "tests/tap.h"

static void test_choose(void)
{
	static const struct {
		const char *name;
		enum apparmor_support support;
		bool privileged;
		const char *asked, *want;
	} cases[] = {
		{ "as it comes", APPARMOR_ON, false, NULL, "docker-default" },
		{ "an empty wish", APPARMOR_ON, false, "", "docker-default" },
		{ "privileged", APPARMOR_ON, true, NULL, "unconfined" },
		{ "unconfined", APPARMOR_ON, false, "unconfined", "unconfined" },
		{ "a name", APPARMOR_ON, false, "mine", "mine" },
		{ "privileged, and yet a name", APPARMOR_ON, true, "mine", "mine" },
		{ "no AppArmor", APPARMOR_OFF, false, NULL, "" },
		{ "no AppArmor, privileged", APPARMOR_OFF, true, NULL, "" },
		{ "no AppArmor, unconfined", APPARMOR_OFF, false, "unconfined", "" },
		{ "no AppArmor, a name is for the runtime to refuse", APPARMOR_OFF, false, "mine",
		  "mine" },
		{ "nothing to load it with", APPARMOR_NO_PARSER, false, NULL, "" },
		{ "nothing to load it with, a name", APPARMOR_NO_PARSER, false, "mine", "mine" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *got =
		    apparmor_choose(cases[i].support, cases[i].privileged, cases[i].asked);

		is_str(got ? got : "", cases[i].want, cases[i].name);
	}
}

static void test_listed(void)
{
	static const struct {
		const char *name, *text;
		bool want;
	} cases[] = {
		{ "an empty list", "", false },
		{ "alone", "docker-default (enforce)\n", true },
		{ "without the last line feed", "docker-default (enforce)", true },
		{ "among others", "man (enforce)\ndocker-default (complain)\nman//x (enforce)\n",
		  true },
		{ "only as the begin of a name", "docker-default-x (enforce)\n", false },
		{ "only as the begin of a name with a space", "docker-default x (enforce)\n",
		  false },
		{ "only as the end of a name", "my-docker-default (enforce)\n", false },
		{ "a child of it", "docker-default//x (enforce)\n", false },
		{ "a cut line", "docker-default", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		ok(apparmor_is_listed(str_of(cases[i].text), "docker-default") == cases[i].want,
		   cases[i].name);
}

static bool says(const char *label, bool has_abi, const char *words)
{
	auto_(buf) b = BUF_INIT(65536);

	return apparmor_profile_write(str_of(label), has_abi, &b, NULL) == 0 &&
	       strstr(b.data, words) != NULL;
}

static void test_profile(void)
{
	static const char *const always[] = {
		"profile docker-default flags=(attach_disconnected, mediate_deleted) {",
		"  network,",
		"  capability,",
		"  file,",
		"  umount,",
		"  deny mount,",
		"  deny network alg,",
		"  deny network vsock,",
		"  signal (receive) peer=unconfined,",
		"  signal (send, receive) peer=docker-default,",
		"  ptrace (trace, read, tracedby, readby) peer=docker-default,",
		"  deny /proc/* w,",
		"  deny /proc/sysrq-trigger rwklx,",
		"  deny /proc/kcore rwklx,",
		"  deny /sys/firmware/** rwklx,",
		"  deny /sys/kernel/security/** rwklx,",
	};

	for (size_t i = 0; i < ARRAY_LEN(always); i++)
		ok(says("unconfined", true, always[i]), always[i]);
	ok(says("unconfined", true, "abi <abi/3.0>,\nprofile "), "the abi, where there is one");
	ok(!says("unconfined", false, "abi <"), "no abi, where there is none");
	ok(says("snap.proa.proad", true, "  signal (receive) peer=\"snap.proa.proad\",\n}\n"),
	   "an engine with a profile of its own may send signals");
	ok(says("/usr/sbin/proad", true, "peer=\"/usr/sbin/proad\""), "also one by a path");
	ok(!says("a\", capability", true, "peer=\""), "a label cannot leave its quotes");
	ok(!says("a//&b", true, "peer=\""), "a stack is no name");
	ok(!says("a*", true, "peer=\""), "a pattern is no name");
	ok(!says("", true, "peer=\""), "no label, no rule");
}

/* ---- a machine in a directory ---- */

static char dir[] = "/tmp/proa-apparmor-XXXXXX";

static const char *at(const char *name)
{
	static char paths[8][64];
	static unsigned next;
	char *out = paths[next++ % ARRAY_LEN(paths)];

	snprintf(out, sizeof(paths[0]), "%s/%s", dir, name);
	return out;
}

static void put(const char *name, const char *text, mode_t mode)
{
	FILE *f = fopen(at(name), "we");

	if (f == NULL || fputs(text, f) < 0 || fclose(f) != 0 || chmod(at(name), mode) < 0)
		abort();
}

static bool got(const char *name, const char *words)
{
	auto_(buf) b = BUF_INIT(65536);

	return fs_read_file(at(name), &b, NULL) == 0 && b.data && strstr(b.data, words) != NULL;
}

static void test_machine(void)
{
	char enabled[64], profiles[64], label[64], abi[64], parser[64];
	const char *const list[] = { "/nonexistent/apparmor_parser", parser, NULL };
	const struct apparmor_host h = { enabled, profiles, label, list, abi };
	const char *name = "";
	struct error err = { 0 };

	snprintf(enabled, sizeof(enabled), "%s/enabled", dir);
	snprintf(profiles, sizeof(profiles), "%s/profiles", dir);
	snprintf(label, sizeof(label), "%s/label", dir);
	snprintf(abi, sizeof(abi), "%s/abi", dir);
	snprintf(parser, sizeof(parser), "%s/parser", dir);

	is_int(apparmor_support(&h), APPARMOR_OFF, "a kernel without it");
	is_int(apparmor_resolve(&h, false, NULL, &name, &err), 0, "where nothing is done");
	ok(name == NULL, "and nothing is said");
	put("enabled", "N\n", 0644);
	put("profiles", "", 0644);
	is_int(apparmor_support(&h), APPARMOR_OFF, "it is switched off");
	put("enabled", "Y\n", 0644);
	is_int(apparmor_support(&h), APPARMOR_NO_PARSER, "nothing can load a profile");
	is_int(apparmor_ensure(&h, &err), -ERR_SYSTEM, "so it cannot be loaded");
	ok(strstr(err.msg, "AppArmor enabled on system but the docker-default profile could not be "
			   "loaded: there is no apparmor_parser (Debian: apt install apparmor)"),
	   "and what to do is said");
	put("profiles", "docker-default (enforce)\n", 0644);
	is_int(apparmor_support(&h), APPARMOR_ON, "it is there already, whoever loaded it");
	is_int(apparmor_ensure(&h, &err), 0, "and is not loaded again");

	put("profiles", "man (enforce)\n", 0644);
	put("parser",
	    "#!/bin/sh\n"
	    "cd \"${0%/*}\" && echo \"$*\" >asked && cat >source && "
	    "echo 'docker-default (enforce)' >>profiles && echo once >>loaded\n",
	    0755);
	put("label", "snap.x.y (enforce)\n", 0644);
	is_int(apparmor_support(&h), APPARMOR_ON, "it can be loaded");
	is_int(apparmor_resolve(&h, true, NULL, &name, &err), 0, "a privileged container");
	is_str(name, "unconfined", "is unconfined");
	ok(!got("loaded", "once"), "and nothing is loaded for it");
	is_int(apparmor_resolve(&h, false, NULL, &name, &err), 0, "it is loaded");
	is_str(name, "docker-default", "and used");
	is_int(apparmor_ensure(&h, &err), 0, "and stays so");
	ok(got("loaded", "once\n") && !got("loaded", "once\nonce"), "by one run of the parser");
	ok(got("asked", "-Kr\n"), "without its cache");
	ok(got("source", "profile docker-default") && got("source", "peer=\"snap.x.y\"") &&
	       !got("source", "abi <"),
	   "which reads the profile on stdin");

	put("profiles", "", 0644);
	put("parser", "#!/bin/sh\necho 'syntax error in line 3' >&2; exit 1\n", 0755);
	is_int(apparmor_resolve(&h, false, NULL, &name, &err), -ERR_SYSTEM, "the parser fails");
	ok(strstr(err.msg, "-Kr' ended with 1: syntax error in line 3"),
	   "and what it said is told");
	setenv("container", "lxc", 1);
	is_int(apparmor_support(&h), APPARMOR_OFF, "inside a container it is left alone");
	unsetenv("container");
}

static void clean(void)
{
	static const char *const names[] = { "enabled", "profiles", "label",  "parser",
					     "asked",   "source",   "loaded", NULL };

	for (size_t i = 0; names[i]; i++)
		(void)!unlink(at(names[i]));
	(void)!rmdir(dir);
}

int main(void)
{
	unsetenv("container");
	if (mkdtemp(dir) == NULL)
		abort();
	test_choose();
	test_listed();
	test_profile();
	test_machine();
	clean();
	return tap_done();
}
