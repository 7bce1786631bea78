#!/usr/bin/env bats
# The process that reads a Dockerfile: what it may, and that nothing it does reaches the engine.

load ../lib/engine

setup_file() {
	engine_setup
	[ "$(id -u)" = 0 ] || return 0
	busybox_image bb:1
}
teardown_file() { engine_teardown; }
setup() {
	need_root
	CTX=$(mktemp -d "$ROOT/ctx-XXXXXX")
}

# build NAME: POST /build of $CTX/Dockerfile; the answer on stdout.
build() {
	tar -C "$CTX" -cf "$CTX.tar" Dockerfile
	curl -s --unix-socket "$SOCK" -X POST -H 'Content-Type: application/x-tar' --data-binary "@$CTX.tar" "http://x/build?t=$1"
}

# doubling WORD N: $WORD$N holds 16 * 2^N characters.
doubling() {
	echo "$1 a0=aaaaaaaaaaaaaaaa"
	for i in $(seq 1 "$2"); do echo "$1 a$i=\$a$((i - 1))\$a$((i - 1))"; done
}

# endless: a Dockerfile that takes minutes of processor time to expand.
endless() {
	local stars
	stars=$(printf '*b%.0s' $(seq 100))
	echo 'FROM bb:1'
	doubling ARG 15
	for _ in $(seq 200); do echo "ARG x=\${none:+\${a15//$stars/}}"; done
}

# planner_of PID: the planner that a process has started.
planner_of() {
	cat /proc/"$1"/task/*/children | tr ' ' '\n' | while read -r p; do
		case $(cat "/proc/$p/comm" 2>/dev/null) in proa-planner) echo "$p" ;; esac
	done
}

# begin_endless NAME: build it in the background; sets $PID (engine), $CLIENT and $PLANNER. The answer: $ROOT/NAME.out.
begin_endless() {
	PID=$(cat "$ROOT/test.pid")
	endless >"$CTX/Dockerfile"
	tar -C "$CTX" -cf "$ROOT/$1.tar" Dockerfile
	curl -s --unix-socket "$SOCK" -X POST -H 'Content-Type: application/x-tar' --data-binary "@$ROOT/$1.tar" \
		"http://x/build" >"$ROOT/$1.out" 3>&- &
	CLIENT=$!
	for _ in $(seq 600); do
		PLANNER=$(planner_of "$PID")
		[ -n "$PLANNER" ] && [ "$(awk '/^Uid/ { print $2 }' "/proc/$PLANNER/status")" = 65534 ] && return 0
		sleep 0.05
	done
	return 1
}

# planner_gone: it runs no more; a parent that has died may leave a zombie.
planner_gone() {
	for _ in $(seq 600); do
		grep -qs '^State:.*[RSD] (' "/proc/$PLANNER/status" || return 0
		sleep 0.05
	done
	return 1
}

engine_works() {
	printf 'FROM bb:1\nENV it=works\n' >"$CTX/Dockerfile"
	run build works:1
	[[ "$output" == *"Successfully built"* ]] || return 1
	[ "$(cat "$ROOT/test.pid")" = "$PID" ]
	kill -0 "$PID"
}

@test "a Dockerfile that doubles itself past all memory ends its own build" {
	[ -z "${PROA_SANITIZED:-}" ] || skip "a sanitizer's memory has no limit"
	PID=$(cat "$ROOT/test.pid")
	{
		echo 'FROM bb:1'
		doubling ENV 18
		for i in $(seq 40); do echo "ENV b$i=\$a18"; done
	} >"$CTX/Dockerfile"
	run build big:1
	[[ "$output" == *"the Dockerfile takes more than 128 MiB of memory to plan"* ]]
	[[ "$output" != *"Successfully"* ]]
	[ -n "${PROA_SANITIZED:-}" ] || [ "$(awk '/VmHWM/ { print $2 }' "/proc/$PID/status")" -lt 65536 ]
	engine_works
}

@test "one that takes for ever ends too, and others build meanwhile" {
	begin_endless endless
	# Who it is, and what it holds.
	status=$(cat "/proc/$PLANNER/status")
	[[ "$status" == *"NoNewPrivs:	1"* ]]
	[ -n "${PROA_SANITIZED:-}" ] || [[ "$status" == *"Seccomp:	2"* ]]
	[[ "$status" == *"Uid:	65534	65534	65534	65534"* ]]
	[[ "$status" == *"Gid:	65534	65534	65534	65534"* ]]
	for set in CapInh CapPrm CapEff CapBnd CapAmb; do [[ "$status" == *"$set:	0000000000000000"* ]] || return 1; done
	[ "$(ls "/proc/$PLANNER/fd")" = 0 ]
	[[ "$(readlink "/proc/$PLANNER/fd/0")" == socket:* ]]
	[ -z "$(tr -d '\0' <"/proc/$PLANNER/environ")" ]
	engine_works
	wait "$CLIENT"
	grep -q 'the Dockerfile takes more than 5 s of processor time to plan' "$ROOT/endless.out"
	[ -z "$(planner_of "$PID")" ]
}

@test "a planner that dies is one line of its build" {
	[ -z "${PROA_SANITIZED:-}" ] || skip "a sanitizer takes the signal"
	begin_endless dies
	kill -SEGV "$PLANNER"
	wait "$CLIENT"
	[ "$(grep -c "\"error\":\"the Dockerfile's planner ended by signal 11\"" "$ROOT/dies.out")" = 1 ]
	engine_works
}

@test "a client that leaves takes the planner with it" {
	begin_endless leaves
	kill "$CLIENT"
	planner_gone
	engine_works
}

@test "a planner outlives no engine" {
	begin_endless engine
	kill -9 "$PID"
	wait "$CLIENT" || true
	planner_gone
	engine_start
	PID=$(cat "$ROOT/test.pid")
	engine_works
}
