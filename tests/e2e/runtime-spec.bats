#!/usr/bin/env bats
# Members of config.json that other files do not have, and those that are refused: docs/runtime-spec.md.
# bats file_tags=root

load ../lib/runtime.bash
setup() { runtime_setup; }
teardown() { runtime_teardown; }

@test "runtime: execCPUAffinity: final stays, initial alone too, a bad list is named" {
	args sleep 1000
	rt run -d -b "$B" "$CID" </dev/null >"$T/out" 2>&1
	last=$(($(nproc) - 1))
	exec_with() { # AFFINITY
		jq --argjson a "$1" '.process | .args=["grep", "Cpus_allowed_list", "/proc/self/status"] | .execCPUAffinity=$a' \
			"$B/config.json" >"$T/process.json"
		rt exec -p "$T/process.json" "$CID"
	}
	exec_with "{\"initial\": \"0\", \"final\": \"$last\"}" | grep -q "	$last\$"
	exec_with '{"initial": "0"}' | grep -q "	0\$"
	run exec_with '{"final": "0-"}'
	[ "$status" -ne 0 ]
	[[ "$output" == *"process.execCPUAffinity.final: '0-' is no list of cpus"* ]]
	rt delete -f "$CID"
	nothing_left
}

@test "runtime: sockets of a socket activation reach the container, before preserved fds" {
	echo one >"$T/one"
	echo two >"$T/two"
	args sh -c 'echo "$LISTEN_FDS $LISTEN_PID"; cat <&3; cat <&4; ls /proc/self/fd | wc -l'
	run timeout 30 unshare -m --propagation private sh -c '
		LISTEN_FDS=1 LISTEN_PID=$$ exec "$1" --root "$2" run --preserve-fds 1 -b "$3" "$4" 3<"$5/one" 4<"$5/two"' \
		sh "$RT" "$STATE" "$B" "$CID" "$T"
	[ "$status" = 0 ]
	[ "${lines[0]}" = "1 1" ]
	[ "${lines[1]}" = one ]
	[ "${lines[2]}" = two ]
	# Meant for another process: nothing is passed, nothing is told.
	args sh -c 'echo "x$LISTEN_FDS"; ls /proc/self/fd'
	run timeout 30 unshare -m --propagation private sh -c '
		LISTEN_FDS=1 LISTEN_PID=1 exec "$1" --root "$2" run -b "$3" "$4" 3<"$5/one"' sh "$RT" "$STATE" "$B" "$CID" "$T"
	[ "${lines[0]}" = x ]
	nothing_left
}

@test "runtime: checkpoint, restore and --criu are refused by name" {
	for words in checkpoint restore "--criu /bin/true list"; do
		# shellcheck disable=SC2086 # words
		run rt $words "$CID"
		[ "$status" = 1 ]
		[[ "$output" == *"not supported yet"* ]]
	done
}

@test "runtime: what is not supported is refused with its path, and leaves nothing" {
	refused() { # JQ TEXT
		cp "$B/config.json" "$T/good"
		config "$1"
		run rt run -b "$B" "$CID"
		cp "$T/good" "$B/config.json"
		[ "$status" = 1 ] || { echo "accepted: $1" && return 1; }
		[[ "$output" == *"$2"* ]] || { echo "$1: $output" && return 1; }
		nothing_left
	}
	refused '.linux.intelRdt={"closID": "x"}' linux.intelRdt
	refused '.linux.mountLabel="system_u:object_r:x_t:s0"' linux.mountLabel
	refused '.linux.netDevices={"nosuch0": {}}' "linux.netDevices: 'nosuch0'"
	refused '.linux.netDevices={"lo": {"name": "a/b"}}' "no name of a device"
	refused '.linux.netDevices={"lo": {"name": "a_name_that_is_too_long"}}' "no name of a device"
	refused '.linux.netDevices={"lo": {}} | .linux.namespaces |= map(select(.type != "network"))' "needs a network namespace"
	refused '.linux.memoryPolicy={"mode": "MPOL_SOMEHOW", "nodes": "0"}' linux.memoryPolicy.mode
	refused '.linux.memoryPolicy={"mode": "MPOL_BIND", "nodes": "0-"}' linux.memoryPolicy.nodes
	refused '.linux.memoryPolicy={"mode": "MPOL_BIND", "nodes": "1000"}' linux.memoryPolicy
	refused '.linux.memoryPolicy={"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_X"]}' linux.memoryPolicy.flags
	refused '.linux.personality={"domain": "LINUX", "flags": ["X"]}' linux.personality.flags
	refused '.linux.personality={"domain": "LINUX64"}' linux.personality.domain
	refused '.linux.rootfsPropagation="sometimes"' linux.rootfsPropagation
	refused '.linux.seccomp={"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_X"]}' linux.seccomp
	refused '.linux.seccomp={"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}' listener
	refused '.linux.resources.rdma={"mlx5_0": {"hcaHandles": 3}}' rdma
	refused '.linux.resources.hugepageLimits=[{"pageSize": "3MB", "limit": 1}]' ugepage
	refused '.linux.timeOffsets={"monotonic": {"secs": 5}}' linux.timeOffsets
	refused '.hooks={"prestart": [{"path": "true"}]}' hooks.prestart
	refused '.process.scheduler={"policy": "SCHED_NEVER"}' process.scheduler
	refused '.process.ioPriority={"class": "IOPRIO_CLASS_X", "priority": 1}' process.ioPriority
	refused '.process.user.umask=70000' umask
	refused '.mounts += [{"destination": "/x", "type": "tmpfs", "source": "x", "options": ["idmap"]}]' "only a bind"
	refused '.mounts += [{"destination": "/x", "type": "tmpfs", "source": "x", "options": ["nosuchoption"]}]' nosuchoption
	refused '.hostname="h" | .linux.namespaces |= map(select(.type != "uts"))' "uts namespace"
}

@test "runtime: memoryPolicy is that of init and of exec" {
	[ -r /proc/self/numa_maps ] || skip "the kernel has no NUMA policies"
	args sh -c 'cat /proc/self/numa_maps; sleep 1000'
	config '.linux.memoryPolicy={"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}'
	rt run -d -b "$B" "$CID" >"$T/out" 2>&1 </dev/null
	run rt exec "$CID" cat /proc/self/numa_maps
	grep -q ' bind=static:0 ' <<<"$output"
	[ "$(grep -c ' default ' <<<"$output")" = 0 ]
	grep -q ' bind=static:0 ' "$T/out"
	"$RT" features | jq -e '.linux.memoryPolicy.modes | index("MPOL_BIND")'
	rt delete --force "$CID"
	config '.linux.memoryPolicy={"mode": "MPOL_DEFAULT"} | .process.args=["cat", "/proc/self/numa_maps"]'
	run rt run -b "$B" "$CID"
	grep -q ' default ' <<<"$output"
}

# in_netns COMMANDS: in a network namespace of its own with two veth pairs, which goes with it.
in_netns() {
	command -v ip >/dev/null || skip "needs ip"
	unshare -n true 2>/dev/null || skip "no network namespaces here"
	CID="$CID" RT="$RT" STATE="$STATE" B="$B" T="$T" timeout 30 unshare -n -m --propagation private sh -ec '
		ip link add v0 type veth peer name w0
		ip link add v1 type veth peer name w1
		ip addr add 192.0.2.7/24 brd + dev v0
		ip addr add 198.51.100.1/32 peer 198.51.100.9 dev v0
		ip addr add 192.0.2.8/24 dev v0 valid_lft 1000 preferred_lft 1000
		ip -6 addr add 2001:db8::7/64 nodad dev v0
		ip link set v0 up
		'"$1"
}

@test "runtime: netDevices move to the container with their name, their lasting addresses, and up" {
	config '.linux.netDevices={"v0": {"name": "eth7"}, "v1": {}} | .process.args=["ip", "addr"]'
	run in_netns '"$RT" --root "$STATE" run -b "$B" "$CID" </dev/null; echo "left: $(ls /sys/class/net 2>/dev/null; ip -o link | cut -d: -f2 | cut -d@ -f1 | xargs)"'
	[ "$status" -eq 0 ]
	[[ "$output" == *" eth7@"*"UP"*"inet 192.0.2.7/24 brd 192.0.2.255 scope global eth7"* ]]
	[[ "$output" == *"inet 198.51.100.1 peer 198.51.100.9/32 scope global eth7"* ]]
	[[ "$output" == *"inet6 2001:db8::7/64 scope global"* ]]
	[[ "$output" == *" v1@"* ]]
	# An address with an end is its giver's.
	[[ "$output" != *"192.0.2.8"* ]]
	"$RT" features | jq -e '.linux.netDevices.enabled'
	nothing_left
}

@test "runtime: netDevices go to a joined namespace, also of a container in a user namespace, and a taken name is an error" {
	need_userns
	config '.linux.netDevices={"v0": {"name": "eth7"}} | .process.args=["ip", "addr"]
		| .linux.namespaces |= map(if .type == "network" then .path = "'"$T/ns"'" else . end)'
	# With the name that lo has there the move is refused, and the device stays what it was.
	run in_netns '
		touch "$T/ns"
		unshare -n sh -c "mount --bind /proc/self/ns/net $T/ns"
		"$RT" --root "$STATE" run -b "$B" "$CID" </dev/null
		sed "s/eth7/lo/; s/\"v0\"/\"v1\"/" -i "$B/config.json"
		! "$RT" --root "$STATE" run -b "$B" "$CID" </dev/null || exit 1
		ip -o link show v1
		umount "$T/ns"'
	echo "$output"
	[ "$status" -eq 0 ]
	[[ "$output" == *"inet 192.0.2.7/24"*"eth7"*"linux.netDevices: 'lo' is taken in the container"*" v1@"* ]]
	config '.linux.netDevices={"v0": {"name": "eth7"}} | .process.args=["ip", "addr"]
		| .linux.namespaces |= map(if .type == "network" then del(.path) else . end) + [{"type": "user"}]
		| .linux.uidMappings=[{"containerID": 0, "hostID": 100000, "size": 65536}] | .linux.gidMappings=.linux.uidMappings'
	chmod 755 "$T" "$B" "$B/rootfs"
	run in_netns '"$RT" --root "$STATE" run -b "$B" "$CID" </dev/null'
	[ "$status" -eq 0 ]
	[[ "$output" == *"inet 192.0.2.7/24 brd 192.0.2.255 scope global eth7"* ]]
	nothing_left
}

@test "runtime: a pidfd of the init and of an exec comes over --pidfd-socket" {
	command -v python3 >/dev/null || skip "needs python3"
	python3 - "$T/pidfd" >"$T/got" 2>&1 3>&- <<-'END' &
		import os, socket, sys
		s = socket.socket(socket.AF_UNIX)
		s.bind(sys.argv[1])
		s.listen()
		for _ in range(2):
		    word, fds, _, _ = socket.recv_fds(s.accept()[0], 64, 2)
		    pid = [l.split()[1] for l in open(f"/proc/self/fdinfo/{fds[0]}") if l.startswith("Pid:")]
		    print(word.decode(), len(fds), pid[0], flush=True)
	END
	listener=$!
	for i in $(seq 50); do [ -S "$T/pidfd" ] && break; sleep 0.1; done
	args sleep 1000
	rt create -b "$B" --pidfd-socket "$T/pidfd" --pid-file "$T/pid" "$CID" </dev/null >/dev/null 2>&1
	rt start "$CID"
	rt exec -d --pidfd-socket "$T/pidfd" --pid-file "$T/pid2" "$CID" sleep 1000 </dev/null >/dev/null 2>&1
	wait "$listener"
	[ "$(cat "$T/got")" = "$(printf 'standard 1 %s\nsetns 1 %s' "$(cat "$T/pid")" "$(cat "$T/pid2")")" ]
	rt delete --force "$CID"
	# Nobody listens: nothing is made.
	run rt create -b "$B" --pidfd-socket "$T/pidfd" "$CID"
	[ "$status" = 1 ]
	[[ "$output" == *"failed to connect with pidfd socket"* ]]
	nothing_left
}

@test "runtime: a user that is not root opens its own stdout again, piped or a file, also by exec" {
	args sh -c 'echo again >/dev/stdout; echo loud >/dev/stderr'
	config '.process.user={"uid": 1000, "gid": 1001}'
	[ "$(rt run -b "$B" "$CID" 2>"$T/err" </dev/null | cat)" = again ]
	[ "$(cat "$T/err")" = loud ]
	[ "$(stat -c %u:%g "$T/err")" = 1000:1001 ]
	# The host's null device keeps its owner.
	args true
	rt run -b "$B" "$CID" </dev/null >/dev/null 2>&1
	[ "$(stat -c %u:%g /dev/null)" = 0:0 ]
	args sleep 1000
	rt run -d -b "$B" "$CID" </dev/null >/dev/null 2>&1
	[ "$(rt exec --user 7:8 "$CID" sh -c 'echo more >/proc/self/fd/1' | cat)" = more ]
	rt delete -f "$CID"
	nothing_left
}

@test "runtime: an absent working directory is made below a read-only root" {
	args sh -c 'pwd; touch x || echo read-only'
	config '.root.readonly=true | .process.cwd="/made/here"'
	run rt run -b "$B" "$CID"
	[ "$status" = 0 ]
	[ "${lines[0]}" = /made/here ]
	[[ "$output" == *read-only* ]]
	nothing_left
}

@test "runtime: hooks inherit the environment when they have none, names are set in one way only" {
	args true
	config '.hooks={"prestart": [{"path": "/bin/sh", "args": ["sh", "-c", "echo x$MARK y$PATH >'"$T"'/hook"]}]}'
	MARK=seen rt run -b "$B" "$CID"
	grep -q "^xseen y/" "$T/hook"
	config '.hooks.prestart[0].env=["MARK=own"]'
	MARK=seen rt run -b "$B" "$CID"
	grep -q "^xown " "$T/hook"
	config 'del(.hooks) | .linux.sysctl={"kernel.hostname": "x"}'
	run rt run -b "$B" "$CID"
	[[ "$status" = 1 && "$output" == *"conflicts with the field"* ]]
	config '.linux.sysctl={"kernel.domainname": "x"} | .domainname="y"'
	run rt run -b "$B" "$CID"
	[[ "$status" = 1 && "$output" == *"conflicts with the field"* ]]
	nothing_left
}

@test "runtime: podman's keep-groups annotation" {
	args id -G
	config '.annotations={"run.oci.keep_original_groups": "1"}'
	[ "$(timeout 30 unshare -m --propagation private setpriv --groups 5,6 "$RT" --root "$STATE" run -b "$B" "$CID")" = "0 5 6" ]
	config 'del(.annotations)'
	[ "$(timeout 30 unshare -m --propagation private setpriv --groups 5,6 "$RT" --root "$STATE" run -b "$B" "$CID")" = 0 ]
}

@test "runtime: a tmpfs covers with the directory's mode, a read-only /dev is filled first, links that lead nowhere are followed in the root" {
	mkdir -p "$B/rootfs/covered"
	chmod 711 "$B/rootfs/covered"
	args sh -c 'stat -c %a /covered /new; touch /dev/x || echo read-only; cat /etc/resolv.conf; cat /dev/null && echo devices'
	rm -f "$B/rootfs/etc/resolv.conf"
	ln -s ../run/systemd/resolve/stub-resolv.conf "$B/rootfs/etc/resolv.conf"
	echo resolved >"$T/resolv"
	config '.mounts |= map(if .destination == "/dev" then .options += ["ro"] else . end)
		| .mounts += [{"destination": "/covered", "type": "tmpfs", "source": "x"}, {"destination": "/new", "type": "tmpfs", "source": "x"},
			{"destination": "/etc/resolv.conf", "type": "bind", "source": "'"$T/resolv"'", "options": ["bind"]}]'
	run rt run -b "$B" "$CID"
	[ "$status" = 0 ]
	[ "${lines[0]}" = 711 ]
	[ "${lines[1]}" = 1777 ]
	[[ "$output" == *read-only*resolved*devices* ]]
	nothing_left
}

@test "runtime: exec has the container's personality" {
	args sleep 1000
	config '.linux.personality={"domain": "LINUX32"}'
	rt run -d -b "$B" "$CID" </dev/null >/dev/null 2>&1
	[ "$(rt exec "$CID" busybox uname -m)" != "$(uname -m)" ] || [ "$(uname -m)" != x86_64 ]
	rt delete -f "$CID"
	nothing_left
}

@test "runtime: exec --cap raises the ambient set only where the config has the capability inheritable" {
	args sleep 1000
	config '.process.capabilities={"bounding": ["CAP_KILL", "CAP_CHOWN", "CAP_SYSLOG"], "permitted": ["CAP_KILL"],
		"effective": ["CAP_KILL"], "inheritable": ["CAP_SYSLOG"], "ambient": []}'
	rt run -d -b "$B" "$CID" </dev/null >/dev/null 2>&1
	rt exec --cap CAP_SYSLOG "$CID" cat /proc/self/status | grep -q "CapAmb:	0000000400000000"
	rt exec --cap CAP_CHOWN "$CID" cat /proc/self/status >"$T/status"
	grep -q "CapAmb:	0000000000000000" "$T/status"
	rt delete -f "$CID"
	nothing_left
}

@test "runtime: without a mount namespace of its own a container is a chroot, and leaves no mount" {
	config '.linux.namespaces |= map(select(.type != "mount")) | del(.linux.maskedPaths, .linux.readonlyPaths)'
	args sh -c 'ls /; echo in $(readlink /proc/self/ns/mnt)'
	cp "$B/config.json" "$T/shared.json"
	config '.linux.maskedPaths=["/proc/kcore"]'
	run rt run -b "$B" "$CID"
	[ "$status" -ne 0 ]
	[[ "$output" == *"linux.maskedPaths: needs a mount namespace of its own"* ]]
	cp "$T/shared.json" "$B/config.json"
	run rt --log "$T/log" run -b "$B" "$CID"
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = bin ]
	[[ "$output" == *"in" ]]
	grep -q 'mounts and root.readonly are left out' "$T/log"

	config '.process.terminal=true'
	args test -t 0
	run rt run -b "$B" "$CID" </dev/null
	[ "$status" -eq 0 ]
	config '.process.terminal=false'

	# Joined: the one of another container.
	args sh -c 'mkdir /tmp/there; sleep 100'
	config '.linux.namespaces += [{"type":"mount"}]'
	rt run -d -b "$B" "$CID" </dev/null >/dev/null 2>&1
	local pid="$("$RT" --root "$STATE" state "$CID" | jq .pid)"
	cp -r "$B" "$T/other"
	make_rootfs "$B/rootfs/inner" # where the joined namespace has it
	(B="$T/other" && config ".root.path=\"/inner\" | .linux.namespaces |= map(if .type == \"mount\" then .path=\"/proc/$pid/ns/mnt\" else . end) | .linux.cgroupsPath += \"-two\" | .process.args=[\"ls\",\"/\"]")
	run rt run -b "$T/other" "$CID-two"
	[ "$status" -eq 0 ]
	[[ "$output" == *bin*tmp ]]
	rt delete -f "$CID"
	nothing_left
}

@test "runtime: a failing poststart hook ends the container; poststop hooks that fail are logged, the rest run" {
	cat >"$T/fail" <<-'SH'
		#!/bin/sh
		echo called >>"$1"
		exit 3
	SH
	chmod 755 "$T/fail"
	args sleep 100
	config ".hooks={\"poststart\":[{\"path\":\"$T/fail\",\"args\":[\"x\",\"$T/a\"]}],
		\"poststop\":[{\"path\":\"$T/fail\",\"args\":[\"x\",\"$T/b\"]},{\"path\":\"$T/fail\",\"args\":[\"x\",\"$T/b\"]}]}"
	rt create -b "$B" "$CID" </dev/null >/dev/null 2>&1
	run rt start "$CID"
	[ "$status" -ne 0 ]
	[[ "$output" == *"poststart hook #0"*"exit status 3"* ]]
	[ "$(wc -l <"$T/a")" -eq 1 ]
	[ "$(wc -l <"$T/b")" -eq 2 ]
	[ "$(grep -o 'hook failed, continuing' <<<"$output" | wc -l)" -eq 2 ]
	run rt state "$CID"
	[ "$status" -ne 0 ]
	nothing_left
}

@test "runtime: a user namespace without maps maps root to the caller; the domain name may be said twice" {
	config '.linux.namespaces += [{"type":"user"}] | .domainname="d" | .linux.sysctl={"kernel.domainname":"d"}
		| .mounts |= map(select(.type != "sysfs")) | .mounts |= map(if .type == "devpts" then .options -= ["gid=5"] else . end)'
	args sh -c 'cat /proc/self/uid_map; cat /proc/sys/kernel/domainname; id -u'
	run rt run -b "$B" "$CID"
	[ "$status" -eq 0 ]
	[ "$(echo ${lines[0]})" = "0 0 1" ]
	[ "${lines[1]}" = d ]
	[ "${lines[2]}" = 0 ]
	config '.linux.sysctl={"kernel.domainname":"e"}'
	run rt run -b "$B" "$CID"
	[ "$status" -ne 0 ]
	[[ "$output" == *"'kernel.domainname' conflicts"* ]]
	nothing_left
}

@test "runtime: a user may start in a directory that only root can enter, in run and exec" {
	mkdir "$B/rootfs/closed"
	chmod 700 "$B/rootfs/closed"
	args sh -c 'pwd; ls . 2>/dev/null || echo closed; sleep 100'
	config '.process.cwd="/closed" | .process.user.uid=42'
	rt run -d -b "$B" "$CID" </dev/null >"$T/out" 2>&1
	for i in $(seq 300); do grep -q closed$ "$T/out" && break; sleep 0.1; done
	[ "$(tr '\n' ' ' <"$T/out")" = "/closed closed " ]
	[ "$(rt exec "$CID" busybox pwd)" = /closed ]
	# A root without capabilities over a directory of another's.
	chown 42 "$B/rootfs/closed"
	[ "$(rt exec --user 0 "$CID" busybox pwd)" = /closed ]
	rt delete -f "$CID"
	nothing_left
}

@test "runtime: of a variable that stands twice the last counts, an empty HOME is filled, startContainer hooks have the process's" {
	config '.process.env=["HOME=/x","A=1","PATH=/nowhere","A=2","HOME=","PATH=/bin"]
		| .hooks={"startContainer":[{"path":"/bin/sh","args":["sh","-c","env >/tmp/hook"]}]}'
	args sh -c 'busybox tr "\0" "\n" </proc/self/environ; cat /tmp/hook'
	SECRET_OF_THE_HOST=1 run rt run -b "$B" "$CID"
	[ "$status" -eq 0 ]
	[ "$(grep -c '^A=2$' <<<"$output")" -eq 2 ]
	[ "$(grep -c '^HOME=/root$' <<<"$output")" -eq 2 ]
	[ "$(grep -c '^PATH=/bin$' <<<"$output")" -eq 2 ]
	[ "$(grep -cE '^(A|HOME|PATH)=' <<<"$output")" -eq 6 ]
	[[ "$output" != *SECRET_OF_THE_HOST* ]]
	nothing_left
}

@test "runtime: a caller bound to one CPU gives its container all of them, in run and exec" {
	command -v taskset >/dev/null || skip "needs taskset"
	[ "$(nproc)" -gt 1 ] || skip "needs two CPUs"
	all="$(grep -o 'Cpus_allowed_list:.*' /proc/self/status)"
	args sh -c 'grep Cpus_allowed_list /proc/self/status; sleep 100'
	taskset -c 0 timeout 30 "$RT" --root "$STATE" run -d -b "$B" "$CID" </dev/null >"$T/out" 2>&1
	for i in $(seq 300); do [ -s "$T/out" ] && break; sleep 0.1; done
	[ "$(cat "$T/out")" = "$all" ]
	[ "$(taskset -c 0 "$RT" --root "$STATE" exec "$CID" grep Cpus_allowed_list /proc/self/status)" = "$all" ]
	rt delete -f "$CID"
	nothing_left
}

@test "runtime: limits too small for the setup are the program's alone" {
	config '.process.rlimits=[{"type":"RLIMIT_NOFILE","soft":3,"hard":4},{"type":"RLIMIT_FSIZE","soft":0,"hard":0},
		{"type":"RLIMIT_CPU","soft":1,"hard":1},{"type":"RLIMIT_NPROC","soft":7,"hard":8}]'
	args cat /proc/self/limits
	run rt run -b "$B" "$CID"
	[ "$status" -eq 1 ] # cat cannot open a fourth
	[[ "$output" == *"Too many open files"* ]]
	args sh -c 'ulimit -n; ulimit -f; ulimit -t; ulimit -Hn; sleep 100'
	rt run -d -b "$B" "$CID" </dev/null 2>&1 | cat >"$T/out" &
	for i in $(seq 300); do [ "$(wc -l <"$T/out")" -ge 4 ] && break; sleep 0.1; done
	[ "$(echo $(cat "$T/out"))" = "3 0 1 4" ]
	[ "$("$RT" --root "$STATE" exec "$CID" sh -c 'ulimit -n')" = 3 ]
	rt delete -f "$CID"
	nothing_left
}

@test "runtime: a time namespace with a new and with a joined user namespace; a network namespace of another owner" {
	[ -e /proc/self/ns/time ] || skip "no time namespaces here"
	chown -R 100000:100000 "$B/rootfs"
	chmod 711 "$T" "$B"
	config '.linux.namespaces += [{"type":"user"},{"type":"time"}] | .linux.timeOffsets={"boottime":{"secs":7777,"nanosecs":3}}
		| .linux.uidMappings=[{"containerID":0,"hostID":100000,"size":65536}] | .linux.gidMappings=.linux.uidMappings'
	args sh -c 'busybox tr -s " " </proc/self/timens_offsets; sleep 100'
	rt run -d -b "$B" "$CID" </dev/null >"$T/out" 2>&1
	for i in $(seq 300); do grep -q boottime "$T/out" && break; sleep 0.1; done
	grep -qE '^boottime[[:space:]]+7777[[:space:]]+3$' "$T/out"
	local pid="$("$RT" --root "$STATE" state "$CID" | jq .pid)"

	# Its user namespace, a time namespace of our own, the host's network.
	args sh -c 'cat /proc/self/timens_offsets; readlink /proc/self/ns/net; id -u'
	config ".linux.namespaces |= map(if .type == \"user\" then .path=\"/proc/$pid/ns/user\" elif .type == \"network\" then .path=\"/proc/self/ns/net\" else . end)
		| del(.linux.uidMappings, .linux.gidMappings) | .linux.timeOffsets.boottime.secs=8888 | .linux.cgroupsPath += \"-two\"
		| .mounts |= map(select(.type != \"sysfs\"))"
	run rt run -b "$B" "$CID-two"
	echo "$output"
	[ "$status" -eq 0 ]
	grep -qE '^boottime[[:space:]]+8888[[:space:]]+3$' <<<"$output"
	[[ "$output" == *"$(readlink /proc/self/ns/net)"* ]]
	[ "${lines[-1]}" = 0 ]
	rt delete -f "$CID"
	nothing_left
}

@test "runtime: programs of startContainer hooks, which are the image's, run behind the filter" {
	config '.linux.seccomp={"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":95}]}
		| .hooks={"startContainer":[{"path":"/bin/sh","args":["sh","-c","grep Seccomp: /proc/self/status >/tmp/hook; mkdir /tmp/made"]}]}'
	for nnp in true false; do
		config ".process.noNewPrivileges=$nnp"
		run rt run -b "$B" "$CID"
		[ "$status" -ne 0 ]
		[[ "$output" == *"error running startContainer hook #0"*"not supported"* ]]
		grep -q 2 "$B/rootfs/tmp/hook"
		[ ! -e "$B/rootfs/tmp/made" ]
	done
	config '.hooks.startContainer[0].args[2]="grep -o pid.:1, >/tmp/hook"'
	run rt run -b "$B" "$CID"
	[ "$status" -eq 0 ]
	[ "$(cat "$B/rootfs/tmp/hook")" = 'pid":1,' ] # init's, not its helper's
	nothing_left
}
