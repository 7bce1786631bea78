#!/usr/bin/env bats
# The documents that the command table generates agree with the table.

load ../lib/engine

@test "docs/commands.md is what the command table says" {
	"$PROA_BUILD/proa" __generate markdown "$BATS_TEST_TMPDIR"
	diff -u "$BATS_TEST_DIRNAME/../../docs/commands.md" "$BATS_TEST_TMPDIR/commands.md" ||
		{ echo "run: build/src/main/proa __generate markdown docs"; false; }
}

@test "every man page compiles" {
	command -v scdoc || skip "scdoc is not installed"
	"$PROA_BUILD/proa" __generate man "$BATS_TEST_TMPDIR"
	for page in "$BATS_TEST_TMPDIR"/*.scd "$BATS_TEST_DIRNAME"/../../man/*.scd; do
		scdoc <"$page" >/dev/null || { echo "$page"; false; }
	done
}

@test "the completions of bash parse, and complete a command and a flag" {
	"$PROA_BUILD/proa" __generate bash "$BATS_TEST_TMPDIR"
	bash -n "$BATS_TEST_TMPDIR/proa.bash"
	run bash -c ". '$BATS_TEST_TMPDIR/proa.bash'; COMP_WORDS=(proa ru); COMP_CWORD=1; COMP_LINE='proa ru'; COMP_POINT=7
		\$(complete -p proa | sed -n 's/.*-F \([^ ]*\) .*/\1/p'); echo \"\${COMPREPLY[@]}\""
	[[ "$output" == *run* ]]
}

@test "every script of the tree passes shellcheck" {
	command -v shellcheck || skip "shellcheck is not installed"
	cd "$BATS_TEST_DIRNAME/../.."
	shellcheck run tools/check-format tools/check-headers tools/run-fuzz tools/run-tidy tools/coverage tools/pre-commit \
		contrib/post-install contrib/install-generated examples/workshop/demo examples/base-images/make .ci/run
}

@test "doctor answers, for people and as JSON" {
	run "$PROA_BUILD/proa" doctor
	[[ "$output" == *"kernel"*"ok"* ]]
	[[ "$(PATH=/nowhere "$(realpath "$PROA_BUILD/proa")" doctor)" == *"helpers"*"no ps"*"-> apt-get install procps"* ]]
	if command -v setarch >/dev/null; then
		run setarch "$(uname -m)" --uname-2.6 "$PROA_BUILD/proa" doctor
		[ "$status" = 1 ]
		[[ "$output" == *"kernel "*"missing"*"2.6."*"-> boot Linux"* ]]
	fi
	if [ "$(id -u)" = 0 ]; then
		run unshare -m --propagation private sh -c 'umount -R /sys/fs/cgroup; "$0" doctor' "$PROA_BUILD/proa"
		[ "$status" = 1 ]
		[[ "$output" == *"cgroups "*"missing"*"-> mount -t cgroup2"* ]]
		run setpriv --bounding-set -sys_admin --inh-caps -sys_admin "$PROA_BUILD/proa" doctor
		[ "$status" = 1 ]
		[[ "$output" == *"CAP_SYS_ADMIN is missing"* ]]
	fi
	"$PROA_BUILD/proa" doctor --format json | jq -e '.[] | select(.Check == "programs") | .Verdict == "ok"'
}
