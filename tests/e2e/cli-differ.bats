#!/usr/bin/env bats
# The stock docker CLI 28 and proa called docker, word for word, each with a proad of its own.
# All cases: tests/cli/differ tests/cli/*.cases (2 minutes); here each tenth of those that stand alone.

load ../lib/engine

@test "the same words give the same bytes" {
	need_root
	[ "$(docker --version 2>/dev/null | cut -d' ' -f3 | cut -d. -f1)" = 28 ] || skip "needs docker CLI 28"
	command -v python3 >/dev/null && command -v busybox >/dev/null || skip "needs python3 and busybox"
	cd "$BATS_TEST_DIRNAME/../cli"
	run ./differ --build "$PROA_BUILD" --every 10 lists.cases words.cases
	echo "$output"
	[ "$status" = 0 ]
	[[ "$output" == *" passed, 0 failed" ]]
}
