#!/usr/bin/env bats
# A disk that is full: what could not be recorded did not happen, and nothing is lost.

bats_require_minimum_version 1.5.0
load ../lib/engine

setup_file() {
	[ "$(id -u)" = 0 ] || return 0
	# The engine's data root is a small tmpfs that nobody else sees.
	WRAP=$(mktemp -d /tmp/proa-wrap-XXXXXX)
	ln -s "$(realpath "$PROA_BUILD")"/* "$WRAP/"
	rm -f "$WRAP/proad"
	cat >"$WRAP/proad" <<-P
		#!/bin/sh
		exec unshare -m --propagation private sh -c '
			mkdir -p "\$ROOT/data"; mount -t tmpfs -o size=24m,mode=710 full "\$ROOT/data"
			exec "\$@"' sh "$(realpath "$PROA_BUILD")/proad" "\$@"
	P
	chmod +x "$WRAP/proad"
	REAL=$PROA_BUILD
	export WRAP REAL PROA_BUILD=$WRAP
	engine_setup
	busybox_image bb:1
}
teardown_file() {
	engine_teardown
	rm -rf "${WRAP:-/nonexistent}"
}
setup() { need_root; }

p() { timeout 30 "$REAL/proa" -H "$DOCKER_HOST" "$@"; }
# To the last byte, also those that a page at the end of a file still has.
fill() {
	nsenter -t "$(cat "$ROOT/test.pid")" -m dd if=/dev/zero of="$ROOT/data/filler" bs=64k status=none 2>/dev/null || true
	nsenter -t "$(cat "$ROOT/test.pid")" -m dd if=/dev/zero of="$ROOT/data/filler2" bs=1 count=5000 status=none 2>/dev/null || true
}
empty() { nsenter -t "$(cat "$ROOT/test.pid")" -m rm -f "$ROOT/data/filler" "$ROOT/data/filler2"; }
# Everything that is told of the containers, networks and volumes.
state() {
	p inspect one two | jq -S 'map(del(.GraphDriver))'
	p network inspect n | jq -S .
	p ps -a --format '{{.Names}} {{.Status}}' | sed 's/Up .*/Up/; s/(.*//' | sort
	p volume ls -q | sort
}

@test "rename, update, create, connect, rm and volume create on a full disk fail as a whole, and work when there is room again" {
	p network create n
	p run -d --name one --network n bb:1 sleep 1000
	p run -d --name two bb:1 sleep 1000
	# The write-ahead log has taken what it had: what follows needs new blocks.
	before=$(state)
	fill
	for try in "rename one uno" "update --memory 64m --memory-swap 64m one" "create --name three bb:1 true" \
		"network connect n two" "network disconnect n one" "network create m" "volume create vv" "create -v ww:/w --name four bb:1 true"; do
		# shellcheck disable=SC2086 # words
		run p $try
		echo "$try: $status $output"
		[ "$status" != 0 ]
		[[ "${output,,}" == *"no space left"* ]]
		diff <(echo "$before") <(state)
	done
	# What runs goes on, and can be looked at and stopped; the exit is known although it is not recorded.
	[ "$(p exec two echo hi)" = hi ]
	[ "$(p exec one cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null | head -1)" != 67108864 ]
	empty
	p rename one uno
	p update --memory 64m --memory-swap 64m uno
	p create --name three -v ww:/w bb:1 true
	p network connect n two
	p network create m
	p volume create vv
	[ "$(p inspect -f '{{.HostConfig.Memory}} {{.Name}}' uno)" = "67108864 /uno" ]
	p exec two nslookup uno 127.0.0.11
	p rm -f three uno two
	p network rm m n
	p volume rm vv ww
}

@test "rm on a full disk removes all of a container or nothing" {
	p run -d --name gone -v vol:/d bb:1 sleep 1000
	fill
	if p rm -f gone; then
		empty
		run p inspect gone
		[ "$status" = 1 ]
	else
		[ "$(p inspect -f '{{.Name}}' gone)" = /gone ]
		empty
		p rm -f gone
	fi
	[ -z "$(p ps -aq)" ]
	[ -z "$(find "$ROOT/run/tasks" -mindepth 1 -maxdepth 1 -name '[0-9a-f]*')" ]
	p volume rm vol
	p run --rm bb:1 true
}

@test "on a full disk rm and system prune make room" {
	p run --name fat bb:1 sh -c 'head -c 3000000 /dev/zero >/x' || true
	p create --name thin bb:1 true
	p network create unused
	p volume create unused
	fill
	run p create bb:1 true
	[ "$status" = 1 ]
	[[ "$output" == *"no space left on device"* ]]
	p rm thin
	p system prune -f --volumes
	[ -z "$(p ps -aq)$(p network ls -q --filter name=unused)" ]
	p run --rm bb:1 true
	empty
	p rm -f "$(p create bb:1 true)"
	nsenter -t "$(cat "$ROOT/test.pid")" -m stat -c %s "$ROOT/data/reserve"
}

@test "run --rm on a full disk ends, and says so when the container stayed" {
	p run -d --name keeps-a-page bb:1 true >/dev/null
	p run --rm --name short bb:1 sleep 3 2>"$ROOT/said" 3>&- &
	pid=$!
	runs() { [ "$(p inspect -f '{{.State.Running}}' short)" = true ]; }
	eventually runs
	fill
	status=0
	wait "$pid" || status=$?
	cat "$ROOT/said"
	[ "$status" != 124 ]
	if p inspect short >/dev/null 2>&1; then
		[ "$status" = 125 ]
		grep -q "Error waiting for container: .*no space left on device" "$ROOT/said"
		empty
		p rm short
	else
		[ "$status" = 0 ]
		empty
	fi
	p rm keeps-a-page
	# Nor for ever when it could not even be started.
	p create --rm --name never bb:1 true
	fill
	run p start -a never
	[ "$status" = 1 ]
	run p run --rm bb:1 true
	[ "$status" != 124 ]
	empty
	p rm -f never
	[ -z "$(p ps -aq)" ] || p rm $(p ps -aq)
}
