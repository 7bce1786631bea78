#!/usr/bin/env bats
# What was acknowledged is there after a power cut.

load ../lib/engine

setup() {
	need_root
	need_docker
	command -v mkfs.ext4 >/dev/null || skip "mkfs.ext4 is not installed"
	[ -e /dev/loop-control ] || skip "no loop devices"
	ROOT=$(mktemp -d /tmp/proa-e2e-XXXXXX)
	SOCK=$ROOT/proa.sock
	BRIDGE=none
	mkdir "$ROOT/in" "$ROOT/client"
	echo '{}' >"$ROOT/engine.json"
	export ROOT SOCK BRIDGE DOCKER_HOST="unix://$SOCK" DOCKER_CONFIG="$ROOT/client" DOCKER_BUILDKIT=0 PROA_BUILD
	registry_start
}
teardown() {
	[ -n "${ROOT:-}" ] || return 0
	registry_stop
	rm -rf "$ROOT"
}

@test "after a power cut an import, tag, pull, load and rmi have happened, whole" {
	head -c 3000000 /dev/urandom >"$ROOT/in/noise"
	for i in $(seq 200); do echo "$i" >"$ROOT/in/$i"; done
	tar -C "$ROOT" -cf "$ROOT/in.tar" in
	unshare -m --propagation private bash -c '. "$0/engine.bash"; . "$0/power-cut.bash"' "$BATS_TEST_DIRNAME/../lib" 3>&-
}
