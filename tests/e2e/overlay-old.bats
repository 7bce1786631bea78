#!/usr/bin/env bats
# Kernels before 6.5 mount an overlay by mount(2) in a thread of its own: PROA_OLD_OVERLAY makes
# the engine do so on any kernel. Debian 12's is one of these.

bats_require_minimum_version 1.5.0
load ../lib/engine

setup_file() {
	[ "$(id -u)" = 0 ] || return 0
	export PROA_OLD_OVERLAY=1
	engine_setup --bridge none
	busybox_image busybox:latest
}
teardown_file() { engine_teardown; }
setup() {
	need_root
	P="$PROA_BUILD/proa"
}

@test "old overlay: the engine sees that it works, and takes it" {
	[ "$("$P" info -f '{{.Driver}}')" = overlay2 ]
}

@test "old overlay: run --rm, whose files need not last, and run, restart, diff, commit" {
	[ "$("$P" run --rm --network none busybox sh -c 'echo a >/f; cat /f')" = a ]
	"$P" run --name kept --network none busybox sh -c 'echo x >>/g; wc -l </g'
	[ "$("$P" start -a kept)" = 2 ]
	[ "$("$P" diff kept)" = "A /g" ]
	"$P" commit kept kept:1
	[ "$("$P" run --rm --network none kept:1 wc -l /g)" = "2 /g" ]
	# Killed in the middle, a volatile overlay leaves a mark that the next mount has to take away.
	"$P" create --rm --name again --network none busybox sleep 100
	"$P" start again
	engine_pid=$(cat "$ROOT/test.pid")
	kill -9 "$engine_pid"
	eventually gone "$engine_pid"
	engine_start --bridge none
	[ "$("$P" exec again echo on)" = on ]
	"$P" rm -f again kept
}

@test "old overlay: a build of many layers, a mount, and a COPY that only reads" {
	mkdir -p "$ROOT/ctx"
	echo one >"$ROOT/ctx/f"
	{
		echo "FROM busybox"
		for i in $(seq 20); do echo "RUN echo $i >/l$i"; done
		echo "RUN --mount=type=bind,target=/c cat /c/f >/copied"
		echo "FROM busybox"
		echo "COPY --from=0 /l20 /copied /"
		echo "RUN cat /l20 /copied"
	} >"$ROOT/ctx/Dockerfile"
	DOCKER_BUILDKIT=1 "$P" build --network none -q -t many "$ROOT/ctx"
	[ "$("$P" run --rm --network none many cat /l20 /copied | tr '\n' ' ')" = "20 one " ]
}
