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

@test "the leftover check sees a mount, and the tally counts a failure" {
	run python3 - "$root" <<'PY'
import importlib.util, importlib.machinery, sys
loader = importlib.machinery.SourceFileLoader("rt", sys.argv[1] + "/tools/run-tests")
source = open(sys.argv[1] + "/tools/run-tests").read().replace("sys.exit(main())", "")
ns = {"__file__": sys.argv[1] + "/tools/run-tests", "__name__": "rt"}
exec(compile(source, "run-tests", "exec"), ns)
t = ns["read_tap"]("x", 1, "ok 1 - a\nnot ok 2 - b\nok 3 - c # SKIP why\n1..3\n", False)
assert (t.passed, t.failed, t.skipped) == (1, 1, 1), vars(t)
t = ns["read_tap"]("x", 0, "ok 1 - a\n", False)
assert t.failed == 1, "no plan"
assert any(x.startswith("mount /proc") for x in ns["leftovers"]())
PY
	[ "$status" -eq 0 ]
}
