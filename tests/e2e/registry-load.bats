#!/usr/bin/env bats
# Pushes beside collections, kills and a full disk: what was acknowledged stays, nothing is half visible.
# LOAD_SECONDS=60 for the long run.

bats_require_minimum_version 1.5.0

load ../lib/engine
load ../lib/registry

LOAD_SECONDS=${LOAD_SECONDS:-6}

setup() {
	ROOT=$(mktemp -d /tmp/proa-e2e-XXXXXX)
	export ROOT
	mkfifo "$ROOT/go"
}
teardown() {
	registry_stop
	! mountpoint -q "$ROOT/small" || umount "$ROOT/small"
	rm -rf "$ROOT"
}

pushers() { # N: in the background; its words go to $ROOT/pushers
	python3 "$BATS_TEST_DIRNAME/../lib/pushers.py" "$REGISTRY" "$1" "$LOAD_SECONDS" <"$ROOT/go" >"$ROOT/pushers" 2>&1 3>&- &
	pushers=$!
	exec 4>"$ROOT/go"
}
pushing() { ! grep -q done "$ROOT/pushers" && kill -0 $pushers 2>/dev/null; }
all_there() {
	echo >&4
	exec 4>&-
	wait $pushers || { cat "$ROOT/pushers"; return 1; }
	tail -1 "$ROOT/pushers" >&3
}

@test "eight pushers and collections without grace in a loop lose nothing" {
	registry_start
	pushers 8
	n=0
	while pushing; do
		"$PROA_BUILD/proa-registry" gc --data "$ROOT/registry" --grace 0s >>"$ROOT/gc"
		n=$((n + 1))
	done
	[ "$n" -gt 3 ]
	all_there
	"$PROA_BUILD/proa-registry" gc --data "$ROOT/registry" --grace 0s --untagged >>"$ROOT/gc"
	run "$PROA_BUILD/proa-registry" scrub --data "$ROOT/registry"
	[ "$status" -eq 0 ]
	grep -q '^deleted [1-9]' "$ROOT/gc" # it had something to do
}

@test "a registry killed again and again during pushes keeps what it acknowledged" {
	registry_start
	port=${REGISTRY#*:}
	pushers 4
	n=0
	while pushing; do
		sleep 0.7
		kill -9 "$(cat "$ROOT/registry.pid")"
		n=$((n + 1))
		"$PROA_BUILD/proa-registry" serve --data "$ROOT/registry" --listen "127.0.0.1:$port" >>"$ROOT/registry.log" 2>&1 3>&- 4>&- &
		echo $! >"$ROOT/registry.pid"
	done
	[ "$n" -gt 3 ]
	for _ in $(seq 600); do curl -s -o /dev/null "http://$REGISTRY/v2/" && break || sleep 0.05; done
	all_there
	# what the kills left half done goes with a collection
	"$PROA_BUILD/proa-registry" gc --data "$ROOT/registry" --grace 0s
	run "$PROA_BUILD/proa-registry" scrub --data "$ROOT/registry"
	[ "$status" -eq 0 ]
}

@test "power cuts in the middle of pushes: what was acknowledged is there, and no blob is half written" {
	need_root
	command -v mkfs.ext4 >/dev/null || skip "mkfs.ext4 is not installed"
	[ -e /dev/loop-control ] || skip "no loop devices"
	truncate -s 300M "$ROOT/disk"
	mkfs.ext4 -q "$ROOT/disk"
	mkfifo "$ROOT/checked"
	registry_start # for a free port
	registry_stop
	pushers 4
	export PROA_BUILD
	unshare -m --propagation private bash "$BATS_TEST_DIRNAME/../lib/registry-power-cut.bash" "${REGISTRY#*:}" 3>&- 4>&- &
	cutter=$!
	for _ in $(seq 1200); do if [ -e "$ROOT/ready" ] || ! kill -0 $cutter; then break; else sleep 0.1; fi; done
	[ -e "$ROOT/ready" ]
	all_there || lost=1
	echo >"$ROOT/checked"
	wait $cutter || { cat "$ROOT/scrub"; false; }
	[ -z "${lost:-}" ]
	[ "$(wc -l <"$ROOT/cuts")" -ge 2 ]
}

@test "a full disk is an error of the spec's shape, and the registry goes on when there is room" {
	need_root
	mkdir "$ROOT/small"
	mount -t tmpfs -o size=4m tmpfs "$ROOT/small"
	mkdir "$ROOT/small/registry"
	ln -s small/registry "$ROOT/registry"
	registry_start
	push_blob f/ull before
	head -c 8000000 /dev/urandom >"$ROOT/large"
	req POST "/v2/f/ull/blobs/uploads/?digest=sha256:$(sha256sum "$ROOT/large" | cut -d' ' -f1)" -H 'Expect:' --data-binary "@$ROOT/large"
	[ "$status_code" = 507 ]
	[ "$(jq -r '.errors[0].code' "$ROOT/body")" = UNKNOWN ]
	grep -q "error request failed.*no space left" "$ROOT/registry.log" # and not in the answer:
	run ! grep -q "$ROOT" "$ROOT/body"
	req GET "/v2/f/ull/blobs/sha256:$(sha before)"
	[ "$status_code" = 200 ]
	[ -z "$(ls "$ROOT/registry/uploads")" ] # its space is back
	push_blob f/ull after
	fill=$(df --output=avail -k "$ROOT/small" | tail -1)
	dd if=/dev/zero of="$ROOT/small/fill" bs=1k count="$fill" 2>/dev/null || true
	req PUT /v2/f/ull/manifests/t -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' --data-binary "$(manifest_of after)"
	[ "$status_code" = 507 ]
	req GET /v2/f/ull/manifests/t
	[ "$status_code" = 404 ]
	req DELETE "/v2/f/ull/blobs/sha256:$(sha before)" # deleting needs no room
	[ "$status_code" = 202 ]
	rm "$ROOT/small/fill"
	push_manifest f/ull t "$(manifest_of after)"
	[ "$status_code" = 201 ]
	# a chunk that finds no room ends where the room did, and goes on from there when there is more
	req POST /v2/f/ull/blobs/uploads/
	at=$(header Location)
	req PATCH "$at" -H 'Expect:' -H 'Transfer-Encoding: chunked' --data-binary "@$ROOT/large"
	[ "$status_code" = 507 ]
	mount -o remount,size=16m "$ROOT/small"
	req GET "$at"
	[ "$status_code" = 204 ]
	last=$(header Range)
	last=${last#0-}
	[ "$last" -lt 8000000 ]
	req PATCH "$at" -H 'Expect:' -H "Content-Range: $((last + 1))-7999999" --data-binary "@-" < <(tail -c +$((last + 2)) "$ROOT/large")
	[ "$status_code" = 202 ]
	req PUT "$at?digest=sha256:$(sha256sum "$ROOT/large" | cut -d' ' -f1)"
	[ "$status_code" = 201 ]
	req GET "/v2/f/ull/blobs/sha256:$(sha256sum "$ROOT/large" | cut -d' ' -f1)"
	cmp "$ROOT/body" "$ROOT/large"
}
