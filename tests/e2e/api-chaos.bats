#!/usr/bin/env bats
# Six clients that do whatever comes to their mind: tests/lib/chaos.py. CHAOS_SEED and CHAOS_SECONDS say which and how long.
# proa-test: alone

bats_require_minimum_version 1.5.0
load ../lib/engine
load ../lib/network

setup() {
	need_root
	# Whatever an image is called there, no registry is asked.
	export HTTP_PROXY=http://127.0.0.1:1 HTTPS_PROXY=http://127.0.0.1:1
	network_setup
	export CHAOS_IDS=$ROOT/ids
}
teardown() {
	[ -n "${BATS_TEST_COMPLETED:-}" ] || grep -v 'request failed' "$ROOT/proad.log" | tail -20
	# A crash shows its containers no more: the next engine finds them.
	[ -z "${ROOT:-}" ] || kill -0 "$(cat "$ROOT/test.pid")" 2>/dev/null || engine_start || true
	network_teardown
}

# Everything that an engine has made for its containers, one a line.
left() {
	# .bpf is the runtime's stock of device programs, empty the place for mounts.
	find "$ROOT"/data/{containers,volumes,snapshots} "$ROOT"/run/{tasks,runtime,shm,subpaths,build} -mindepth 1 -maxdepth 1 \
		-not -name .bpf -not -name empty 2>/dev/null
	find "$ROOT/data/content/blobs" -type f
	pgrep -af -- "shim --dir $ROOT/run/tasks/[0-9a-f]" | sed 's/^/process /'
	grep -E " $ROOT/(data|run/(tasks|shm|subpaths|build))/" /proc/self/mounts | sed 's/^/mount /'
	find /sys/fs/cgroup -type d -path '*/docker/*' 2>/dev/null | grep -Ff "$ROOT/ids" | sed 's/^/cgroup /'
	host ip -o link | grep -oE '(br-[0-9a-f]{12}|veth[0-9a-f]{7})[@:]' | sed 's/^/link /'
	host nft list maps | grep elements | sed 's/^/port /'
}
nothing_left() { [ -z "$(left)" ]; }
# What the engine itself has is gone with it, but for its bridge, which the teardown takes.
engine_left() {
	left
	pgrep -af -- "$ROOT/run" | sed 's/^/process /'
	grep " $ROOT/" /proc/self/mounts | sed 's/^/mount /'
	find "$ROOT/run/netns" -mindepth 1
	host nft list tables
}
nothing_of_the_engine() { [ -z "$(engine_left 2>/dev/null)" ]; }

# The engine's containers, and then the engine, have left nothing.
is_clean() {
	eventually nothing_left || { left; false; }
	engine_stop
	eventually nothing_of_the_engine || { engine_left; false; }
}

@test "six clients at random: nothing fails, nothing hangs, nothing is left" {
	echo "x" >"$CHAOS_IDS"
	python3 "$BATS_TEST_DIRNAME/../lib/chaos.py" "$SOCK" "$(cat "$ROOT/test.pid")"
	kill -0 "$(cat "$ROOT/test.pid")"
	is_clean
}

@test "six clients at random, and an engine that is killed every three seconds" {
	mkfifo "$ROOT/go"
	python3 "$BATS_TEST_DIRNAME/../lib/chaos.py" "$SOCK" killed <>"$ROOT/go" >"$ROOT/said" 2>&1 3>&- &
	clients=$!
	while ! grep -q '^done$' "$ROOT/said" && kill -0 "$clients" 2>/dev/null; do
		sleep 3
		kill -0 "$(cat "$ROOT/test.pid")" # it has not died of itself
		kill -9 "$(cat "$ROOT/test.pid")"
		while kill -0 "$(cat "$ROOT/test.pid")" 2>/dev/null; do sleep 0.02; done
		rm -f "$SOCK"
		engine_start
	done
	echo >"$ROOT/go"
	wait "$clients" || { cat "$ROOT/said"; false; }
	is_clean
}
