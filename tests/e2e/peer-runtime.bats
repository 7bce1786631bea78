#!/usr/bin/env bats
# proa-runtime as the runtime of dockerd, podman and containerd: their own
# run, exec, pause, update, stats, kill and rm.
# bats file_tags=root,peer

load ../lib/runtime.bash
load ../lib/peer

setup_file() {
	[ "$(id -u)" = 0 ] || return 0
	D="$(mktemp -d /tmp/proa-peer.XXXXXX)"
	export D
	P="$(cd "${PROA_BUILD:-build/src/main}" && pwd)/proa-runtime"
	export P
	if command -v dockerd >/dev/null && [ -x "$P" ]; then
		unshare -m --propagation private dockerd --data-root "$D/data" --exec-root "$D/exec" \
			-p "$D/pid" -H "unix://$D/sock" -b none --iptables=false --ip6tables=false \
			--cgroup-parent "/${D##*/}" --add-runtime "proa=$P" --default-runtime proa >"$D/log" 2>&1 3>&- </dev/null &
		for i in $(seq 300); do
			docker -H "unix://$D/sock" version >/dev/null 2>&1 && break
			sleep 0.1
		done
		make_rootfs "$D/rootfs"
		tar -C "$D/rootfs" -c . | docker -H "unix://$D/sock" import - bb:1 >/dev/null
	fi
}

teardown_file() {
	[ -n "$D" ] || return 0
	if [ -f "$D/pid" ]; then
		docker -H "unix://$D/sock" ps -aq | xargs -r docker -H "unix://$D/sock" rm -f >/dev/null
		pid=$(cat "$D/pid")
		kill "$pid"
		for i in $(seq 300); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
	fi
	remove_peer_cgroups "${D##*/}"
	rm -rf --one-file-system "$D"
}

setup() {
	[ "$(id -u)" = 0 ] || skip "needs root"
	export DOCKER_HOST="unix://$D/sock"
}

docker_here() {
	command -v dockerd >/dev/null || skip "no dockerd here"
	timeout 10 docker version >/dev/null 2>&1 || skip "dockerd does not start here: $(tail -1 "$D/log")"
}

@test "peer-runtime: dockerd: run, output, exit codes 0, 7, 126, 127, 137" {
	docker_here
	[ "$(docker info -f '{{.DefaultRuntime}}')" = proa ]
	run docker run --rm --network none bb:1 sh -c 'echo hello; exit 7'
	[ "$status" -eq 7 ]
	[ "$output" = hello ]
	run docker run --rm --network none bb:1 nosuch
	[ "$status" -eq 127 ]
	[[ "$output" == *'exec: "nosuch": executable file not found in $PATH'* ]]
	run docker run --rm --network none bb:1 /etc/passwd
	[ "$status" -eq 126 ]
	run docker run --rm --network none bb:1 /etc
	[ "$status" -eq 126 ]
	run docker run --rm --network none --memory 16m bb:1 sh -c 'x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done'
	[ "$status" -eq 137 ]
}

@test "peer-runtime: dockerd: exec, pause, update, stats, top, kill, rm" {
	docker_here
	docker run -d --name c1 --network none bb:1 sleep 1000
	[ "$(docker exec -w /tmp -e A=b c1 sh -c 'pwd; echo $A')" = "/tmp
b" ]
	docker pause c1
	[ "$(docker inspect -f '{{.State.Status}}' c1)" = paused ]
	docker unpause c1
	docker update --memory 64m --memory-swap 64m c1
	docker stats --no-stream c1 | grep -F '64MiB'
	docker top c1 | grep sleep
	docker kill c1
	docker rm c1
}

@test "peer-runtime: dockerd: a default container is as strict as under runc" {
	docker_here
	command -v runc >/dev/null || skip "no runc here"
	script='exec 2>&1; grep -E "Cap|Seccomp|NoNewPrivs|Groups" /proc/self/status; ls -l /dev | cut -c1-10,30-; cat /proc/self/limits
		head -c1 /proc/kcore; head -c1 /proc/keys | wc -c; ls /sys/firmware | wc -l; echo 1 >/proc/sys/kernel/hostname
		id; umask; pwd; env; grep -cE "^cgroup|/sys/fs/cgroup/" /proc/self/mounts'
	for rt in runc proa; do
		docker run --rm --runtime $rt --hostname h --network none bb:1 sh -c "$script" 2>&1 |
			sed -E 's/[A-Z][a-z]{2} [0-9 ]+[0-9]+:[0-9]+//' >"$D/$rt.out"
	done
	diff "$D/runc.out" "$D/proa.out"
}

@test "peer-runtime: dockerd: options reach the container" {
	docker_here
	run docker run --rm --network none --read-only --tmpfs /t --init -u 1000:1000 --ulimit nofile=99:99 \
		--sysctl net.ipv4.ip_forward=1 --hostname foo -w /a/b --pids-limit 44 --device /dev/zero:/dev/z \
		bb:1 sh -c 'exec 2>&1; id -u; ulimit -n; cat /proc/sys/net/ipv4/ip_forward; hostname; pwd; ls /dev/z; touch /t/x && echo t; touch /x'
	[ "${lines[0]}" = 1000 ]
	[ "${lines[1]}" = 99 ]
	[ "${lines[2]}" = 1 ]
	[ "${lines[3]}" = foo ]
	[ "${lines[4]}" = /a/b ]
	[ "${lines[5]}" = /dev/z ]
	[[ "$output" == *"Read-only file system"* ]]
	run docker run --rm --network none --privileged bb:1 true
	[ "$status" -eq 0 ]
	run docker run --rm -t --network none bb:1 tty
	[[ "$output" == /dev/pts/0* ]]
}

@test "peer-runtime: podman --runtime: run, exec, pause, kill, rm" {
	command -v podman >/dev/null || skip "no podman here"
	pm() {
		timeout 60 unshare -m --propagation private podman --root "$D/pm/root" --runroot "$D/pm/run" \
			--tmpdir "$D/pm/tmp" --runtime "$P" --cgroup-manager cgroupfs "$@"
	}
	# conmon's cgroup follows the parent too; without one podman keeps a libpod_parent for ever.
	[ -d "$D/rootfs" ] || make_rootfs "$D/rootfs"
	tar -C "$D/rootfs" -c . | pm import - bb:1 >/dev/null 2>&1 || skip "podman does not work here"
	lim="--ulimit nofile=1000:1000 --ulimit nproc=1000:1000 --cgroup-parent /${D##*/}"
	run pm run --rm $lim --network none bb:1 sh -c 'echo hi; exit 3'
	[ "$status" -eq 3 ]
	[ "$output" = hi ]
	run pm run --rm $lim --network none bb:1 nosuch
	[ "$status" -eq 127 ]
	run pm run --rm $lim --network none --uidmap 0:100000:65536 bb:1 cat /proc/self/uid_map
	[[ "$output" =~ 0[[:space:]]+100000[[:space:]]+65536 ]]
	# Without systemd its driver is refused, and not as a program that was not found.
	if [ ! -e /run/dbus/system_bus_socket ]; then
		run pm --cgroup-manager systemd run --rm --ulimit nofile=1000:1000 --ulimit nproc=1000:1000 --network none bb:1 true
		[ "$status" -eq 126 ]
		[[ "$output" == *"systemd cannot be reached"*"use the cgroupfs driver"* ]]
	fi
	pm rm -fa >/dev/null
}

@test "peer-runtime: containerd: ctr run --runc-binary" {
	docker_here
	command -v ctr >/dev/null || skip "no ctr here"
	sock="$D/exec/containerd/containerd.sock"
	[ -S "$sock" ] || skip "dockerd brings no containerd here"
	run timeout 30 ctr -a "$sock" -n "${D##*/}" run --rm --runc-binary "$P" --rootfs "$D/rootfs" c1 sh -c 'echo from ctr; exit 4'
	[ "$status" -eq 4 ]
	[[ "$output" == *"from ctr"* ]]
}
