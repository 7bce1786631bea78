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
	shellcheck run tools/check-format tools/check-headers tools/run-fuzz tools/run-tidy tools/coverage tools/run-in-vm tools/pre-commit \
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
		run unshare -m --propagation private sh -c 'mount -t tmpfs tmpfs /sys/fs/cgroup; "$0" doctor' "$PROA_BUILD/proa"
		[[ "$output" == *"no control groups are mounted"* ]]
		run unshare -U -r "$PROA_BUILD/proa" doctor
		[[ "$output" == *"this is a user namespace"* ]]
		run setpriv --bounding-set -sys_admin --inh-caps -sys_admin "$PROA_BUILD/proa" doctor
		[ "$status" = 1 ]
		[[ "$output" == *"CAP_SYS_ADMIN is missing"* ]]
	fi
	"$PROA_BUILD/proa" doctor --format json | jq -e '.[] | select(.Check == "programs") | .Verdict == "ok"'
}

@test "doctor sees a read-only cgroup, a data root without overlay, and a chroot that is no mount" {
	[ "$(id -u)" = 0 ] || skip "needs root"
	dir=$BATS_TEST_TMPDIR
	run unshare -m --propagation private sh -c 'for at in $(sed -n "s/.* \(.*\) rw.* - cgroup.*/\1/p" /proc/self/mountinfo | head -2); do
			mount -o remount,bind,ro "$at" || exit
		done
		"$0" doctor && exit
		eval "$("$0" doctor --format json | jq -r ".[] | select(.Check == \"cgroups\").Mend")"
		"$0" doctor --format json | jq -r ".[] | select(.Check == \"cgroups\") | \"mended: \" + .Verdict"' "$PROA_BUILD/proa"
	[[ "$output" == *"cgroups "*"missing"*"read-only"*"-> mount -o remount,bind,rw /sys/fs/cgroup"*"mended: "* ]]
	[[ "$output" != *"mended: missing"* ]]

	mkdir "$dir/u" "$dir/w"
	run unshare -m --propagation private sh -c 'mount -t overlay o -o "lowerdir=/var/lib,upperdir=$1/u,workdir=$1/w" \
		/var/lib && "$0" doctor && ls -A /var/lib' "$PROA_BUILD/proa" "$dir"
	[[ "$output" == *"overlay "*"warning"*"carries no overlay"*"-> proad --data-root"* ]]
	[[ "$output" != *.proa-doctor* ]]
	# A module that is not loaded yet comes with the first mount. Nobody else can try, and looks for it.
	run unshare -m --propagation private sh -c 'grep -v overlay /proc/filesystems >"$1/f" && mount --bind "$1/f" /proc/filesystems &&
		mkdir "$1/lu" "$1/lw" && mount -t overlay o -o "lowerdir=/usr/lib,upperdir=$1/lu,workdir=$1/lw" /usr/lib &&
		mkdir -p /usr/lib/modules && mount -t tmpfs none /usr/lib/modules && "$0" doctor && setpriv --reuid=65534 --clear-groups "$0" doctor
		at="/lib/modules/$(uname -r)/kernel/fs/overlayfs" && mkdir -p "$at" && touch "$at/overlay.ko.xz" &&
		setpriv --reuid=65534 --clear-groups "$0" doctor' "$PROA_BUILD/proa" "$dir"
	[[ "$output" == *"overlay "*"the overlay file system is there"*"no overlay file system"*"the overlay file system is there"* ]]

	mkdir "$dir/r" "$dir/r/usr" "$dir/r/proc" "$dir/r/build"
	ln -s usr/lib usr/lib64 "$dir/r"
	run unshare -m --propagation private sh -c 'cd "$1" && mount --bind /usr usr && mount --rbind /proc proc &&
		mount --bind "$2" build && TSAN_OPTIONS= chroot . /build/proa doctor' sh "$dir/r" "$(realpath "$PROA_BUILD")"
	[ "$status" = 1 ]
	[[ "$output" == *"root "*"missing"*"no mount point"*"-> mount --bind"*"user namespaces"*"warning"*"refused"* ]]
}
