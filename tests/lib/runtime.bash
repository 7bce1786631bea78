# What the runtime's bats files share: a busybox bundle, a root of their own, a
# check that nothing is left. Source it and call runtime_setup / runtime_teardown.

# shellcheck source=tests/lib/eventually.bash
source "${BASH_SOURCE[0]%/*}/eventually.bash"

runtime_setup() {
	[ "$(id -u)" = 0 ] || skip "needs root"
	command -v busybox >/dev/null || skip "needs busybox"
	command -v jq >/dev/null || skip "needs jq"
	RT="${PROA_BUILD:-build/src/main}/proa-runtime"
	RT="$(cd "$(dirname "$RT")" && pwd)/proa-runtime"
	[ -x "$RT" ] || skip "proa-runtime is not built"
	T="$(mktemp -d /tmp/proa-rt.XXXXXX)"
	CID="proart$$x$BATS_TEST_NUMBER"
	CG="/proa-test-$$-$BATS_TEST_NUMBER"
	STATE="$T/state"
	B="$T/bundle"
	mkdir -p "$B"
	make_rootfs "$B/rootfs"
	"$RT" spec --bundle "$B"
	config '.process.terminal=false | .process.noNewPrivileges=false | .root.readonly=false
		| .linux.cgroupsPath="'"$CG"'"'
	args true
}

# need_userns [COMMAND...]: as the user that COMMAND makes; a chroot refuses them even to root.
need_userns() { "$@" unshare -U true 2>/dev/null || skip "user namespaces are refused here"; }

make_rootfs() {
	local a
	mkdir -p "$1"/{bin,etc,tmp,proc,dev,sys,root}
	cp "$(command -v busybox)" "$1/bin/busybox"
	for a in sh true false sleep ls cat id mount env ps hostname echo grep head wc stat touch \
		kill mkdir ln tty ip readlink chmod test dd umask; do
		ln -sf busybox "$1/bin/$a"
	done
	echo 'root:x:0:0:root:/root:/bin/sh' >"$1/etc/passwd"
}

# config JQ-PROGRAM: edit config.json.
config() {
	jq "$1" "$B/config.json" >"$B/config.new" && mv "$B/config.new" "$B/config.json"
}

# args WORDS...: what the container runs.
args() {
	config ".process.args=$(jq -cn '$ARGS.positional' --args -- "$@")"
}

# Everything in a mount namespace of its own: a leak would stay in it, and is looked for there.
rt() {
	timeout 30 unshare -m --propagation private "$RT" --root "$STATE" "$@"
}

runtime_leftovers() {
	ls -A "$STATE" 2>/dev/null | grep -v '^\.bpf$' || true
	find /sys/fs/cgroup -maxdepth 4 -type d \( -path "*$CG" -o -name "$CID*" \) 2>/dev/null
	grep -F "$T" /proc/self/mountinfo || true
	pgrep -f -- "$T" || true
}

runtime_teardown() {
	[ -n "$T" ] || return 0
	local id
	for id in $(ls "$STATE" 2>/dev/null); do
		"$RT" --root "$STATE" delete --force "$id" || true
	done
	rm -rf --one-file-system "$T"
}

nothing_left() {
	local left
	left="$(runtime_leftovers)"
	[ -z "$left" ] || { echo "left behind: $left"; return 1; }
}
