#!/usr/bin/env bats
# Every check of `make check` can fail: each test plants one fault in a copy of
# the tree and wants the check to name it.

setup() {
	root="$BATS_TEST_DIRNAME/.."
	tree="$BATS_TEST_TMPDIR/tree"
	mkdir -p "$tree"
	(cd "$root" && tar -c --exclude=./build* --exclude=.git src tools tests/tap.h fuzz .clang-format ARCHITECTURE.md) | tar -x -C "$tree"
	cd "$tree"
}

@test "check-layers names an include upwards" {
	printf '#include "store/content.h"\n' >>src/oci/digest.c
	run tools/check-layers .
	[ "$status" -eq 1 ]
	[[ "$output" == *"oci may not include store"* ]]
}

@test "check-layers names a private header of another room" {
	sed -i '1i #include "base/thing_internal.h"' src/oci/digest.h
	run tools/check-layers .
	[ "$status" -eq 1 ]
	[[ "$output" == *"is private to base"* ]]
}

@test "check-headers names a header that does not compile alone" {
	printf '#pragma once\nsize_t oci_broken(void);\n' >src/oci/broken.h
	run tools/check-headers . src/oci/digest.h src/oci/broken.h
	[ "$status" -eq 1 ]
	[[ "$output" == *"src/oci/broken.h does not compile alone"* ]]
}

@test "check-banned names a banned call" {
	printf 'int bad(const char *s);\nint bad(const char *s)\n{\n\treturn atoi(s);\n}\n' >src/oci/bad.c
	run tools/check-banned .
	[ "$status" -eq 1 ]
	[[ "$output" == *"src/oci/bad.c:4: atoi is banned"* ]]
}

@test "check-banned does not read comments and strings" {
	printf '/* atoi(x) */\nconst char *const harmless = "system(x)";\n' >src/oci/good.c
	run tools/check-banned .
	[ "$status" -eq 0 ]
}

@test "check-banned names an fd that would leak into children" {
	printf 'static int leak(void)\n{\n\treturn open("/x", O_RDONLY);\n}\n' >src/oci/leak.c
	run tools/check-banned .
	[ "$status" -eq 1 ]
	[[ "$output" == *"src/oci/leak.c:3: open without O_CLOEXEC"* ]]
}

@test "check-banned names a change of mode that follows a symlink" {
	printf 'static int follow(void)\n{\n\treturn fchmodat(3, "x", 0, 0);\n}\n' >src/oci/follow.c
	run tools/check-banned .
	[ "$status" -eq 1 ]
	[[ "$output" == *"src/oci/follow.c:3: fchmodat without AT_SYMLINK_NOFOLLOW"* ]]
}

@test "check-banned names an assertion that cannot fail" {
	printf '@test "x" {\n\t! true\n\t[ a ] && [ b ]\n\ttrue\n}\n' >tests/silent.bats
	run tools/check-banned .
	[ "$status" -eq 1 ]
	[[ "$output" == *"tests/silent.bats:2: '!' does not fail a test"* ]]
	[[ "$output" == *"tests/silent.bats:3: the first of 'a && b'"* ]]
}

@test "check-banned names a // comment and unfinished work" {
	printf '// scratch\n/* %s: later */\n' "TO""DO" >src/oci/scratch.c
	run tools/check-banned .
	[ "$status" -eq 1 ]
	[[ "$output" == *"src/oci/scratch.c:1: //"* ]]
	[[ "$output" == *"src/oci/scratch.c:2:"* ]]
}

@test "check-sizes names a function of 200 lines" {
	{
		printf 'int f(void);\nint f(void)\n{\n'
		yes '	f();' | head -200
		printf '\treturn 0;\n}\n'
	} >src/oci/long.c
	run tools/check-sizes .
	[ "$status" -eq 1 ]
	[[ "$output" == *"src/oci/long.c:2: f has 204 lines"* ]]
}

@test "check-sizes names a file of 1,001 lines" {
	yes '/* line */' | head -1001 >src/oci/long.h
	run tools/check-sizes .
	[ "$status" -eq 1 ]
	[[ "$output" == *"src/oci/long.h: 1001 lines"* ]]
}

@test "check-sizes refuses an exception that is no longer needed" {
	echo "src/oci/digest.c 2000" >>tools/size-exceptions
	run tools/check-sizes .
	[ "$status" -eq 1 ]
	[[ "$output" == *"not needed any more"* ]]
}

@test "check-format names a line that clang-format would change" {
	command -v clang-format || skip "clang-format is not installed"
	printf 'int   f( void );\n' >src/oci/ugly.h
	run tools/check-format src/oci/ugly.h
	[ "$status" -eq 1 ]
	[[ "$output" == *"src/oci/ugly.h:1"* ]]
}

@test "check-docs names a room without its line and a broken link" {
	mkdir src/cellar
	printf '[x](nowhere.md)\n' >README.md
	run tools/check-docs .
	[ "$status" -eq 1 ]
	[[ "$output" == *'room `cellar` is not described'* ]]
	[[ "$output" == *"README.md: broken link nowhere.md"* ]]
}

@test "a unit test that leaks a file descriptor fails" {
	printf '#include <fcntl.h>\n#include <unistd.h>\n#include "tests/tap.h"\nint main(void)\n{\n\tok(open("/dev/null", O_RDONLY) >= 0, "open");\n\treturn tap_done();\n}\n' >leak.c
	gcc -I. -o leak leak.c
	run ./leak
	[ "$status" -eq 1 ]
	[[ "$output" == *"not ok 2 - no file descriptor is left open"* ]]
}

@test "a unit test that wants a wrong digest accepted fails" {
	sed -i 's/{ "no colon", "sha256", -ERR_INVALID }/{ "no colon", "sha256", 0 }/' src/oci/digest_test.c
	gcc -std=gnu17 -D_GNU_SOURCE -Isrc -I. -o t src/oci/digest_test.c src/oci/digest.c src/base/error.c src/base/str.c src/base/alloc.c
	run ./t
	[ "$status" -eq 1 ]
	[[ "$output" == *"not ok 2 - no colon"* ]]
}

# as_run_tests: Python from stdin that has the functions of run-tests.
as_run_tests() {
	{
		printf 'import sys\nns = {"__file__": "%s/tools/run-tests", "__name__": "rt"}\n' "$(realpath "$root")"
		printf 'source = open(ns["__file__"]).read().replace("sys.exit(main())", "")\n'
		printf 'exec(compile(source, "run-tests", "exec"), ns)\n'
		cat
	} >"$BATS_TEST_TMPDIR/script.py"
	"$@" python3 "$BATS_TEST_TMPDIR/script.py"
}

@test "the tally counts a failure, a skip and a missing plan" {
	as_run_tests env <<-'PY'
		t = ns["read_tap"]("x", 1, "ok 1 - a\nnot ok 2 - b\nok 3 - c # SKIP why\n1..3\n", False)
		assert (t.passed, t.failed, t.skipped) == (1, 1, 1), vars(t)
		t = ns["read_tap"]("x", 0, "ok 1 - a\n", False)
		assert t.failed == 1, "no plan"
	PY
}

@test "the leftover check finds each kind of what a test may leave, and nothing when it has gone" {
	[ "$(id -u)" = 0 ] || skip "needs root"
	command -v nft >/dev/null && command -v ip >/dev/null || skip "needs nft and ip"
	group=$(find /sys/fs/cgroup -maxdepth 2 -name cgroup.procs -writable -printf '%h\n' | tail -1)
	[ -d "$group" ] || skip "no control group may be made here"
	export planted="proa-left-$$" group
	cp "$(command -v sleep)" "$BATS_TEST_TMPDIR/proad"
	# Namespaces of its own: this machine never has these mounts, tables and links.
	as_run_tests unshare -mn --propagation private <<-'PY'
		import os, subprocess
		run = lambda *argv: subprocess.run(argv, check=True)
		mine = lambda: {x for x in ns["leftovers"]() - before if not x.startswith("process ") or x.split()[1] in pids}
		name, group = os.environ["planted"], os.environ["group"] + "/" + os.environ["planted"]
		here = os.path.dirname(os.path.abspath(sys.argv[0]))
		run("mount", "-t", "tmpfs", "tmpfs", "/run")
		pids, before = [], ns["leftovers"]()
		run("mount", "-t", "tmpfs", "tmpfs", here + "/tree")
		run("ip", "netns", "add", name)
		run("ip", "link", "add", "proalink", "type", "bridge")
		run("nft", "add", "table", "inet", name.replace("-", "_"))
		os.mkdir(group)
		file = f"/tmp/{name}-Left42"
		os.mkdir(file)
		ours = subprocess.Popen([here + "/proad", "1000"])
		helper = subprocess.Popen(["sleep", "1000"], env={**os.environ, "PROA_SOURCE": str(ns["root"])})
		pids = [str(ours.pid), str(helper.pid)]
		# Which are themselves only after their exec.
		while any(os.readlink(f"/proc/{p}/exe") == os.readlink("/proc/self/exe") for p in pids):
		    pass
		try:
		    found = mine()
		finally:
		    for p in (ours, helper):
		        p.kill()
		        p.wait()
		    os.rmdir(group)
		    os.rmdir(file)
		for want in ("mount " + here, "netns /run/netns/" + name, "link proalink", "nft table inet proa_left",
		             "cgroup " + group, "file " + file, f"process {ours.pid} ", f"process {helper.pid} "):
		    assert any(x.startswith(want) for x in found), (want, found)
		run("umount", here + "/tree")
		run("ip", "netns", "del", name)
		run("ip", "link", "del", "proalink")
		run("nft", "delete", "table", "inet", name.replace("-", "_"))
		assert not {x for x in mine() if name in x or here in x or "proalink" in x}, mine()
	PY
}
