#!/usr/bin/env bats
# What the flags of `docker run` do inside.

bats_require_minimum_version 1.5.0
load ../lib/engine

setup_file() {
	engine_setup --add-runtime "late=$BATS_FILE_TMPDIR/late" --default-runtime proa
	[ "$(id -u)" = 0 ] || return 0
	busybox_image bb:1
}
teardown_file() { engine_teardown; }
setup() {
	need_root
	need_docker
	export N="$BATS_TEST_NUMBER"
}
teardown() { timeout -k 1 60 docker rm -f -v "c$N" >/dev/null 2>&1 || true; }
d() { timeout -k 1 60 docker "$@"; }
in_it() { d run --rm --network none "$@"; }

says_up() { [ "$(d logs "$1")" = up ]; }

@test "user, group, directory, environment, host name" {
	[ "$(in_it -u 1000:2000 bb:1 sh -c 'id -u; id -g' | xargs)" = "1000 2000" ]
	[ "$(in_it -u nobody bb:1 id -un)" = nobody ]
	run in_it -u nosuch bb:1 true
	[ "$status" = 125 ]
	[[ "$output" == *"unable to find user nosuch: no matching entries in passwd file"* ]]
	run in_it -u 4294967296 bb:1 true
	[ "$status" = 125 ]
	[ "$(in_it --group-add 55 bb:1 id -G | xargs -n1 | grep -c '^55$')" = 1 ]
	[ "$(in_it -w /new/dir bb:1 pwd)" = /new/dir ]
	[ "$(in_it -w /new/x/../dir/ bb:1 pwd)" = /new/dir ]
	[ "$(in_it -e A=1 -e B bb:1 sh -c 'echo $A${B-unset}')" = 1unset ]
	[ "$(in_it bb:1 sh -c 'echo $HOME $PATH')" = "/root /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" ]
	[ "$(in_it --hostname box bb:1 sh -c 'hostname; cat /etc/hostname' | xargs)" = "box box" ]
	[ "$(in_it --entrypoint echo bb:1 a b)" = "a b" ]
}

@test "limits reach the control groups" {
	[ "$(in_it -m 32m bb:1 true && echo ok)" = ok ]
	d run -d --name "c$N" --network none -m 32m --cpus 0.5 --pids-limit 20 bb:1 sleep 100
	[ "$(d inspect -f '{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}' "c$N")" = "33554432 67108864 500000000 20" ]
	pid=$(d inspect -f '{{.State.Pid}}' "c$N")
	if [ -d /sys/fs/cgroup/memory ]; then
		cg=$(sed -n 's/.*:memory://p' "/proc/$pid/cgroup")
		[ "$(cat "/sys/fs/cgroup/memory$cg/memory.limit_in_bytes")" = 33554432 ]
		d update -m 64m --memory-swap 128m "c$N"
		[ "$(cat "/sys/fs/cgroup/memory$cg/memory.limit_in_bytes")" = 67108864 ]
	fi
	run in_it -m 4m bb:1 true
	[ "$status" = 125 ]
	[[ "$output" == *"Minimum memory limit allowed is 6MB"* ]]
	run in_it --cpus 100000 bb:1 true
	[ "$status" = 125 ]
	[[ "$output" == *"range of CPUs is from 0.01 to $(getconf _NPROCESSORS_ONLN).00, as there are only"* ]]
}

@test "mistakes with mounts and ports are told" {
	echo x >"$ROOT/a-file"
	for v in "$ROOT/a-file:/tmp" "$ROOT:/etc/passwd"; do
		run in_it -v "$v" bb:1 true
		[ "$status" = 125 ]
		[[ "$output" == *"are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists"* ]]
	done
	run in_it --tmpfs rel bb:1 true
	[ "$status" = 125 ]
	[[ "$output" == *"invalid mount path: 'rel' mount path must be absolute"* ]]
	run d create --name "c$N" --network host -p 80:80 bb:1 true
	[[ "$output" == *"Published ports are discarded when using host network mode"* ]]
}

@test "out of memory is 137 and said so" {
	d run --name "c$N" --network none -m 8m --memory-swap 8m bb:1 sh -c 'x=$(head -c 60000000 /dev/zero | tr "\0" a); echo ${#x}' || true
	[ "$(d inspect -f '{{.State.OOMKilled}}' "c$N")" = true ]
}

@test "volumes: named, anonymous, bind, read-only, tmpfs, seeded" {
	in_it -v "vol$N:/data" bb:1 sh -c 'echo kept >/data/f'
	[ "$(in_it -v "vol$N:/data:ro" bb:1 cat /data/f)" = kept ]
	run in_it -v "vol$N:/data:ro" bb:1 touch /data/g
	[ "$status" != 0 ]
	in_it -v "seed$N:/etc" bb:1 test -s /etc/passwd
	mkdir "$ROOT/b$N" && echo host >"$ROOT/b$N/f"
	[ "$(in_it -v "$ROOT/b$N:/b" bb:1 cat /b/f)" = host ]
	run in_it --mount "type=bind,src=$ROOT/absent$N,dst=/b" bb:1 true
	[ "$status" = 125 ]
	[[ "$output" == *"bind source path does not exist: $ROOT/absent$N"* ]]
	[[ "$(in_it --tmpfs /t:size=1m bb:1 grep ' /t ' /proc/mounts)" == *"size=1024k"* ]]
	[[ "$(in_it --mount type=tmpfs,dst=/t,tmpfs-size=2m bb:1 grep ' /t ' /proc/mounts)" == *"size=2048k"* ]]
	d volume rm "vol$N" "seed$N"
	before=$(d volume ls -q | wc -l)
	in_it -v /anon bb:1 touch /anon/x
	[ "$(d volume ls -q | wc -l)" = "$before" ]
}

@test "an image is mounted read-only" {
	docker_since 28
	[ "$(in_it --mount type=image,src=bb:1,dst=/img bb:1 sh -c 'ls /img/bin/busybox; touch /img/x 2>&1')" != "" ] || true
	run in_it --mount type=image,src=bb:1,dst=/img bb:1 ls /img/bin/busybox
	[ "$output" = /img/bin/busybox ]
	run in_it --mount type=image,src=bb:1,dst=/img bb:1 touch /img/x
	[ "$status" != 0 ]
	[ "$(in_it --mount type=image,src=bb:1,dst=/img,image-subpath=etc bb:1 sh -c 'ls /img | head -1; touch /img/x 2>/dev/null || echo ro')" = $'group\nro' ]
	[ "$(in_it --mount type=image,src=bb:1,dst=/pw,image-subpath=etc/passwd bb:1 sed -n 's/:.*//;1p' /pw)" = root ]
	for bad in none ../etc; do
		run in_it --mount type=image,src=bb:1,dst=/img,image-subpath=$bad bb:1 true
		[ "$status" -ge 125 ]
	done
	[ -z "$(ls "$ROOT/run/subpaths" 2>/dev/null)" ]
}

@test "read-only root, shm size, ulimits, sysctls, devices" {
	run in_it --read-only bb:1 touch /x
	[ "$status" != 0 ]
	in_it --read-only --tmpfs /tmp bb:1 touch /tmp/x
	[[ "$(in_it --shm-size 1m bb:1 grep /dev/shm /proc/mounts)" == *"size=1024k"* ]]
	[ "$(in_it --ulimit nofile=100:200 bb:1 sh -c 'ulimit -n')" = 100 ]
	docker run -d --name limited --network none --ulimit nofile=100:200 --oom-score-adj 7 bb:1 sleep 100 >/dev/null
	[ "$(docker exec limited sh -c 'ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj' | xargs)" = "100 200 7" ]
	docker rm -f limited >/dev/null
	[ "$(in_it --sysctl net.ipv4.ip_forward=1 bb:1 cat /proc/sys/net/ipv4/ip_forward)" = 1 ]
	[ "$(in_it --device /dev/zero:/dev/z bb:1 sh -c 'head -c 3 /dev/z | wc -c')" = 3 ]
	run -127 in_it --device /dev/nosuch bb:1 true
}

@test "capabilities, privileged, seccomp, no-new-privileges" {
	eff() { in_it "$@" bb:1 sed -n 's/^CapEff:\t//p' /proc/1/status; }
	[ "$(eff)" = 00000000a80425fb ]
	[ "$(eff --cap-drop ALL)" = 0000000000000000 ]
	[ "$(eff --cap-drop ALL --cap-add NET_ADMIN)" = 0000000000001000 ]
	[ "$(eff -u 1000)" = 0000000000000000 ]
	run in_it --cap-add NOSUCH bb:1 true
	[ "$status" = 125 ]
	[[ "$output" == *"CAP_NOSUCH"* ]]
	[ "$(in_it bb:1 sed -n 's/^Seccomp:\t//p' /proc/1/status)" = 2 ]
	[ "$(in_it --security-opt seccomp=unconfined bb:1 sed -n 's/^Seccomp:\t//p' /proc/1/status)" = 0 ]
	[ "$(in_it --security-opt no-new-privileges bb:1 sed -n 's/^NoNewPrivs:\t//p' /proc/1/status)" = 1 ]
	[ "$(in_it --privileged bb:1 sed -n 's/^Seccomp:\t//p' /proc/1/status)" = 0 ]
}

@test "an init reaps and passes signals on" {
	[ -z "${PROA_SANITIZED:-}" ] || skip "the init of a sanitizer build is not static"
	[ "$(in_it --init bb:1 sh -c 'cat /proc/1/comm')" != sh ]
	d run -d --name "c$N" --network none --init bb:1 sh -c 'echo up; exec sleep 1000'
	eventually says_up "c$N"
	d stop -t 5 "c$N"
	[ "$(d inspect -f '{{.State.ExitCode}}' "c$N")" = 143 ]
}

@test "namespaces of the host and of another container" {
	[ "$(in_it --pid host bb:1 readlink /proc/self/ns/pid)" = "$(readlink /proc/self/ns/pid)" ]
	[ "$(in_it --uts host bb:1 hostname)" = "$(hostname)" ]
	[ "$(in_it --ipc host bb:1 readlink /proc/self/ns/ipc)" = "$(readlink /proc/self/ns/ipc)" ]
	d run -d --name "c$N" --network none bb:1 sleep 100
	[ "$(in_it --pid "container:c$N" bb:1 ps | grep -c 'sleep 100')" -ge 1 ]
	run in_it --pid container:nosuch bb:1 true
	[ "$status" = 125 ]
}

@test "another container's namespace is joined by what it is, not through a pid that may be another's by then" {
	# A runtime that comes when the other container has died: its pid is free for anybody.
	cat >"$BATS_FILE_TMPDIR/late" <<-END
		#!/bin/sh
		case "\$*" in *" run "*)
			kill -KILL \$(cat $BATS_FILE_TMPDIR/pid)
			while kill -0 \$(cat $BATS_FILE_TMPDIR/pid); do sleep 0.01; done 2>/dev/null
			jq -r '.linux.namespaces[]|select(.type=="ipc").path' config.json |
				xargs stat -L -c 'ipc:[%i]' >$BATS_FILE_TMPDIR/joined ;;
		esac
		exec $(realpath "$PROA_BUILD/proa-runtime") "\$@"
	END
	chmod +x "$BATS_FILE_TMPDIR/late"
	d run -d --name "c$N" --network none --ipc shareable bb:1 sleep 100
	d inspect -f '{{.State.Pid}}' "c$N" >"$BATS_FILE_TMPDIR/pid"
	ipc=$(readlink "/proc/$(cat "$BATS_FILE_TMPDIR/pid")/ns/ipc")
	# Its /dev/shm goes with it, so the start may fail; the namespace is still the one that was meant.
	in_it --runtime late --ipc "container:c$N" bb:1 true || true
	[ "$(cat "$BATS_FILE_TMPDIR/joined")" = "$ipc" ]
	eventually not_pinned
}
not_pinned() { ! grep -q "$ROOT/run/subpaths" /proc/self/mounts; }

@test "shared memory is lent by shareable and by nobody else" {
	d run -d --name "c$N" --network none --ipc shareable bb:1 sh -c 'echo lent >/dev/shm/f; sleep 100'
	for _ in $(seq 300); do d exec "c$N" test -f /dev/shm/f && break; sleep 0.1; done
	[ "$(in_it --ipc "container:c$N" bb:1 cat /dev/shm/f)" = lent ]
	d rm -f "c$N"
	run ! grep -q "$ROOT/run/shm" /proc/self/mounts
	d run -d --name "c$N" --network none bb:1 sleep 100
	run in_it --ipc "container:c$N" bb:1 true
	[ "$status" = 125 ]
	[[ "$output" == *"non-shareable IPC"* ]]
}

@test "what is not there is refused, not ignored" {
	run in_it --userns nosuch bb:1 true
	[ "$status" = 125 ]
	run in_it --log-driver syslog bb:1 true
	[ "$status" = 125 ]
	[[ "$output" == *"no log driver named 'syslog' is registered"* ]]
	run in_it --runtime nosuch bb:1 true
	[ "$status" = 125 ]
	run in_it -v "/tmp:/x:nosuch" bb:1 true
	[ "$status" = 125 ]
	run in_it --security-opt nosuch=1 bb:1 true
	[ "$status" = 125 ]
}

@test "an image whose passwd is a FIFO, a device or a link out of it does no harm" {
	mkdir -p "$ROOT/evil$N/etc" "$ROOT/evil$N/bin"
	cp "$(command -v busybox)" "$ROOT/evil$N/bin/busybox"
	ln -s busybox "$ROOT/evil$N/bin/id"
	mkfifo "$ROOT/evil$N/etc/passwd"
	ln -s /proc/1/root/etc/shadow "$ROOT/evil$N/etc/group"
	tar -C "$ROOT/evil$N" -c . | d import - "evil:$N"
	run in_it -u nobody "evil:$N" id
	[ "$status" = 125 ]
	run in_it -u 7 "evil:$N" id -u
	[ "$status" = 0 ] || [ "$status" = 125 ]
}
