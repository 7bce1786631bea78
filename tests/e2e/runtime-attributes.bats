#!/usr/bin/env bats
# What a container is given: namespaces, mounts, rights, limits.
# bats file_tags=root

load ../lib/runtime.bash
setup() { runtime_setup; }
teardown() { runtime_teardown; }

@test "runtime: capabilities are exactly those asked; inheritable and ambient are empty" {
	config '.process.capabilities={"bounding":["CAP_CHOWN","CAP_KILL"],"permitted":["CAP_KILL"],"effective":["CAP_KILL"]}'
	args grep Cap /proc/self/status
	run rt run -b "$B" "$CID"
	[[ "$output" == *"CapInh:	0000000000000000"* ]]
	[[ "$output" == *"CapBnd:	0000000000000021"* ]]
	[[ "$output" == *"CapAmb:	0000000000000000"* ]]
}

@test "runtime: all capabilities where the machine holds fewer: it runs with what there is" {
	all=$("$RT" features | jq -c .linux.capabilities)
	config ".process.capabilities={\"bounding\":$all,\"permitted\":$all,\"effective\":$all}"
	args grep CapBnd /proc/self/status
	run rt run -b "$B" "$CID"
	[ "$status" -eq 0 ]
	[ "$(echo "$output" | cut -f2)" = "$(grep CapBnd /proc/self/status | cut -f2)" ]
}

@test "runtime: another user has no effective capabilities, its groups and its home" {
	config '.process.user={"uid":1000,"gid":1001,"additionalGids":[7,8],"umask":63}'
	args sh -c 'id; umask; grep CapEff /proc/self/status; echo $HOME'
	run rt run -b "$B" "$CID"
	[[ "${lines[0]}" == *"uid=1000 gid=1001 groups=7,8"* ]]
	[ "${lines[1]}" = 0077 ]
	[[ "${lines[2]}" == *0000000000000000 ]]
	[ "${lines[3]}" = / ]
}

@test "runtime: seccomp filters by name and argument; the second start comes from the cache" {
	config '.linux.seccomp={"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
		{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":38},
		{"names":["socket"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":2,"op":"SCMP_CMP_EQ"}]}]}'
	args sh -c 'grep Seccomp: /proc/self/status; mkdir /tmp/x; ip a 2>&1'
	for i in 1 2; do
		run rt run -b "$B" "$CID"
		[[ "$output" == *"Seccomp:	2"* ]]
		[[ "$output" == *"Function not implemented"* ]]
	done
	[ "$(ls "$STATE/.bpf" | wc -l)" -eq 1 ]
	args sleep 1000
	rt run -d -b "$B" "$CID" </dev/null >/dev/null 2>&1
	run rt exec "$CID" sh -c 'mkdir /tmp/y'
	[[ "$output" == *"Function not implemented"* ]]
	rt delete -f "$CID"
}

@test "runtime: no_new_privs, rlimits, oom score, nice domain names" {
	config '.process.noNewPrivileges=true | .process.rlimits=[{"type":"RLIMIT_NOFILE","soft":64,"hard":128}]
		| .process.oomScoreAdj=777 | .hostname="h" | .domainname="d"'
	args sh -c 'grep NoNewPrivs /proc/self/status; ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj; hostname; cat /proc/sys/kernel/domainname'
	run rt run -b "$B" "$CID"
	[ "$output" = "NoNewPrivs:	1
64
128
777
h
d" ]
}

@test "runtime: masked paths are empty, read-only paths refuse writes" {
	args sh -c 'head -c1 /proc/keys | wc -c; ls /sys/firmware | wc -l; echo 1 >/proc/sys/kernel/hostname; echo rc=$?'
	run rt run -b "$B" "$CID"
	[ "${lines[0]}" = 0 ]
	[ "${lines[1]}" = 0 ]
	[[ "$output" == *"Read-only file system"* && "$output" == *rc=1* ]]
}

@test "runtime: mounts: bind, read-only bind, tmpfs, new directory and file, propagation" {
	mkdir "$T/src"
	echo data >"$T/src/f"
	config ".mounts += [
		{\"destination\":\"/new/dir\",\"type\":\"bind\",\"source\":\"$T/src\",\"options\":[\"rbind\",\"ro\",\"rprivate\"]},
		{\"destination\":\"/new/file\",\"type\":\"bind\",\"source\":\"$T/src/f\",\"options\":[\"bind\",\"nosuid\",\"noexec\"]},
		{\"destination\":\"/t\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\"options\":[\"size=4k\",\"mode=0700\",\"nodev\"]},
		{\"destination\":\"/etc\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\"options\":[\"tmpcopyup\"]}]"
	args sh -c 'cat /new/dir/f /new/file; touch /new/dir/x; stat -c %a /t; cat /etc/passwd; grep -E " /(new|t|etc)" /proc/self/mounts'
	run rt run -b "$B" "$CID"
	[ "${lines[0]}" = data ]
	[ "${lines[1]}" = data ]
	[[ "$output" == *"Read-only file system"* ]]
	[[ "$output" == *"700"* ]]
	[[ "$output" == *"root:x:0:0"* ]]
	[[ "$output" == *"/new/file ext4 rw,nosuid,noexec"* || "$output" == *"/new/file "*"nosuid"*"noexec"* ]]
}

@test "runtime: rro makes the mounts below read-only too" {
	mkdir -p "$T/src/sub"
	config ".mounts += [{\"destination\":\"/m\",\"type\":\"bind\",\"source\":\"$T/src\",\"options\":[\"rbind\",\"rro\"]}]"
	args sh -c 'touch /m/sub/x'
	run timeout 30 unshare -m --propagation private sh -c "mount -t tmpfs t '$T/src/sub' && '$RT' --root '$STATE' run -b '$B' '$CID'"
	[[ "$output" == *"Read-only file system"* ]]
}

@test "runtime: devices, default ones and asked ones, and the device cgroup" {
	config '.linux.devices=[{"path":"/dev/mynull","type":"c","major":1,"minor":3,"fileMode":384,"uid":5,"gid":6},
		{"path":"/dev/fifo","type":"p"}]
		| .linux.resources.devices=[{"allow":false,"access":"rwm"}]'
	args sh -c 'stat -c "%a %u %g %t:%T" /dev/mynull; test -p /dev/fifo && echo fifo; cat /dev/zero | head -c1 | wc -c; readlink /dev/fd; readlink /dev/ptmx; mknod /tmp/kmsg c 1 11; cat /tmp/kmsg'
	ln -sf busybox "$B/rootfs/bin/mknod"
	config '.process.capabilities.bounding += ["CAP_MKNOD"] | .process.capabilities.effective += ["CAP_MKNOD"] | .process.capabilities.permitted += ["CAP_MKNOD"]'
	run rt run -b "$B" "$CID"
	[ "${lines[0]}" = "600 5 6 1:3" ]
	[ "${lines[1]}" = fifo ]
	[ "${lines[2]}" = 1 ]
	[ "${lines[3]}" = /proc/self/fd ]
	[[ "$output" == *"Operation not permitted"* ]]
}

@test "runtime: user namespace with maps; devices are bound; files keep their owners' meaning" {
	need_userns
	chown -R 100000:100000 "$B/rootfs"
	chmod 711 "$T" "$B"
	config '.linux.namespaces += [{"type":"user"}]
		| .linux.uidMappings=[{"containerID":0,"hostID":100000,"size":65536}]
		| .linux.gidMappings=[{"containerID":0,"hostID":100000,"size":65536}]'
	args sh -c 'cat /proc/self/uid_map; id -u; stat -c %u /bin; echo x >/dev/null && echo ok; touch /tmp/made'
	run rt run -b "$B" "$CID"
	[ "$status" -eq 0 ]
	[[ "${lines[0]}" =~ 0[[:space:]]+100000[[:space:]]+65536 ]]
	[ "${lines[1]}" = 0 ]
	[ "${lines[2]}" = 0 ]
	[ "${lines[3]}" = ok ]
	[ "$(stat -c %u "$B/rootfs/tmp/made")" = 100000 ]
	args sleep 1000
	rt run -d -b "$B" "$CID" </dev/null >/dev/null 2>&1
	[ "$(rt exec "$CID" id -u)" = 0 ]
	rt delete -f "$CID"
	# A node that the host has not under this name.
	config '.linux.devices=[{"path":"/dev/renamed","type":"c","major":1,"minor":5,"fileMode":438,"uid":10,"gid":11}]
		| .linux.resources.devices += [{"allow":true,"type":"c","major":1,"minor":5,"access":"rwm"}]'
	args sh -c 'stat -c "%u:%g %a %t:%T" /dev/renamed; head -c 3 /dev/renamed | wc -c; grep -c /dev/renamed /proc/self/mountinfo'
	run rt run -b "$B" "$CID"
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = "10:11 666 1:5" ]
	[ "${lines[1]}" = 3 ]
	[ "${lines[2]}" = 1 ]
	nothing_left
}

@test "runtime: id-mapped mount" {
	need_userns
	mkdir "$T/src"
	echo x >"$T/src/f"
	chown 5000 "$T/src/f"
	config ".mounts += [{\"destination\":\"/m\",\"type\":\"bind\",\"source\":\"$T/src\",\"options\":[\"bind\"],
		\"uidMappings\":[{\"containerID\":5000,\"hostID\":6000,\"size\":1}],\"gidMappings\":[{\"containerID\":0,\"hostID\":0,\"size\":10}]}]"
	args stat -c %u /m/f
	run rt run -b "$B" "$CID"
	[ "$output" = 6000 ]
}

@test "runtime: namespaces are joined by path; a wrong type is refused" {
	args sleep 1000
	rt run -d -b "$B" "$CID" </dev/null >/dev/null 2>&1
	pid=$(rt state "$CID" | jq .pid)
	cp "$B/config.json" "$T/keep.json"
	config ".linux.namespaces |= map(if .type == \"network\" then .path=\"/proc/$pid/ns/net\" elif .type == \"pid\" then .path=\"/proc/$pid/ns/pid\" elif .type == \"ipc\" then .path=\"/proc/$pid/ns/ipc\" else . end) | .linux.cgroupsPath=\"$CG/b\""
	args sh -c 'readlink /proc/self/ns/net; ps | grep -c sleep'
	run rt run -b "$B" "$CID-2"
	[ "${lines[0]}" = "$(readlink /proc/$pid/ns/net)" ]
	[ "${lines[1]}" -ge 1 ]
	config ".linux.namespaces |= map(if .type == \"network\" then .path=\"/proc/$pid/ns/uts\" else . end)"
	run rt run -b "$B" "$CID-3"
	[ "$status" -eq 1 ]
	[[ "$output" == *"is not a network namespace"* ]]
	rt delete -f "$CID"
	nothing_left
}

@test "runtime: time namespace with offsets" {
	[ -e /proc/self/ns/time ] || skip "no time namespaces here"
	config '.linux.namespaces += [{"type":"time"}] | .linux.timeOffsets={"boottime":{"secs":1000000}}'
	args sh -c 'cut -d. -f1 /proc/uptime'
	ln -sf busybox "$B/rootfs/bin/cut"
	run rt run -b "$B" "$CID"
	[ "$output" -gt 1000000 ]
}

@test "runtime: sysctls of own namespaces are set, others refused" {
	config '.linux.sysctl={"net.ipv4.ip_forward":"1","kernel.msgmax":"65000","net/ipv4/conf/lo/forwarding":"1"}'
	args cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax
	run rt run -b "$B" "$CID"
	[ "$output" = "1
65000" ]
	config '.linux.sysctl={"vm.swappiness":"1"}'
	run rt run -b "$B" "$CID"
	[ "$status" -eq 1 ]
	[[ "$output" == *"vm.swappiness"*"not in a separate kernel namespace"* ]]
	nothing_left
}

@test "runtime: limits reach the cgroups where the controllers are" {
	config '.linux.resources={"memory":{"limit":67108864,"reservation":33554432},"cpu":{"shares":512,"quota":50000,"period":100000,"cpus":"0"},"pids":{"limit":77},"devices":[{"allow":false,"access":"rwm"}]}'
	[ -d /sys/fs/cgroup/memory ] || skip "no cgroup v1 memory here"
	args sh -c 'cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes memory/memory.soft_limit_in_bytes cpu/cpu.shares cpu/cpu.cfs_quota_us cpuset/cpuset.cpus pids/pids.max'
	run rt run -b "$B" "$CID"
	[ "$output" = "67108864
33554432
512
50000
0
77" ]
}

@test "runtime: controllers split between v1 and v2 are used where they are" {
	grep -qw hugetlb /sys/fs/cgroup/unified/cgroup.controllers 2>/dev/null || skip "no v2 controller beside v1 here"
	[ -e /sys/kernel/mm/hugepages/hugepages-2048kB ] || skip "no 2 MB pages"
	config '.linux.resources.hugepageLimits=[{"pageSize":"2MB","limit":4194304}]'
	args sleep 1000
	rt run -d -b "$B" "$CID" </dev/null >/dev/null 2>&1
	[ "$(cat "/sys/fs/cgroup/unified$CG/hugetlb.2MB.max")" = 4194304 ]
	rt delete -f "$CID"
	nothing_left
}

@test "runtime: a private cgroup namespace shows its own root" {
	config '.linux.namespaces += [{"type":"cgroup"}]
		| .linux.namespaces |= unique_by(.type)'
	args cat /proc/self/cgroup
	run rt run -b "$B" "$CID"
	[ -z "$(echo "$output" | grep -v ':/$')" ]
}

@test "runtime: --no-pivot and a read-only root" {
	config '.root.readonly=true'
	args sh -c 'touch /x; ls /; ls /sys/kernel >/dev/null && echo sys'
	run rt run --no-pivot -b "$B" "$CID"
	[[ "$output" == *"Read-only file system"* ]]
	[[ "$output" != *"home"* ]]
	nothing_left
}

@test "runtime: scheduler, ioPriority and personality" {
	config '.process.scheduler={"policy":"SCHED_BATCH","nice":5} | .process.ioPriority={"class":"IOPRIO_CLASS_IDLE","priority":0}
		| .linux.personality={"domain":"LINUX32"}'
	args sh -c 'cat /proc/self/stat; cat /proc/self/personality'
	config '.process.capabilities.effective += ["CAP_SYS_PTRACE"]|.process.capabilities.permitted += ["CAP_SYS_PTRACE"]|.process.capabilities.bounding += ["CAP_SYS_PTRACE"]'
	run rt run -b "$B" "$CID"
	[ "$(echo "${lines[0]}" | cut -d' ' -f19)" = 5 ]
	[ "$(echo "${lines[0]}" | cut -d' ' -f41)" = 3 ]
	[ "${lines[1]}" = 00000008 ]
}

# listener N: take N connections at $T/sock, write for each what came with it to $T/got.
seccomp_listener() {
	python3 - "$T" "$1" <<'PY' &
import array, json, os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1] + "/sock")
s.listen(2)
s.settimeout(20)
out = open(sys.argv[1] + "/got", "w")
for _ in range(int(sys.argv[2])):
    c, _ = s.accept()
    data, anc, _, _ = c.recvmsg(65536, socket.CMSG_SPACE(4))
    fds = array.array("i")
    for l, t, d in anc:
        fds.frombytes(d)
    if not data:
        continue
    j = json.loads(data)
    what = {os.readlink(f"/proc/self/fd/{f}") for f in fds}
    own = "init" if j["pid"] == j["state"]["pid"] else "exec"
    print(len(fds), *what, j["metadata"], j["fds"][0], j["state"]["id"], j["state"]["status"], own, file=out, flush=True)
    for f in fds:
        os.close(f)
PY
	LISTENER=$!
	for i in $(seq 300); do [ -S "$T/sock" ] && break; sleep 0.1; done
	config ".linux.seccomp={\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerPath\":\"$T/sock\",\"listenerMetadata\":\"md\",\"syscalls\":[{\"names\":[\"getsid\"],\"action\":\"SCMP_ACT_NOTIFY\"}]}"
}

@test "runtime: a seccomp listener gets the notify fd and the state, of init and of exec" {
	command -v python3 >/dev/null || skip "needs python3"
	seccomp_listener 2
	args sleep 100
	rt run -d -b "$B" "$CID" </dev/null >/dev/null 2>&1
	rt exec "$CID" true
	wait "$LISTENER"
	run cat "$T/got"
	[ "${lines[0]}" = "1 anon_inode:seccomp notify md seccompFd $CID created init" ]
	[ "${lines[1]}" = "1 anon_inode:seccomp notify md seccompFd $CID running exec" ]
	rt delete -f "$CID"
	nothing_left
}

@test "runtime: a seccomp listener that is away, or a start that dies meanwhile, leaves no init that waits" {
	command -v python3 >/dev/null || skip "needs python3"
	seccomp_listener 1
	config '.linux.seccomp.listenerPath += ".away"'
	rt create -b "$B" "$CID" </dev/null >/dev/null 2>&1
	run rt start "$CID"
	[ "$status" -ne 0 ]
	[[ "$output" == *"linux.seccomp.listenerPath"*"sock.away"* ]]
	[ "$("$RT" --root "$STATE" state "$CID" | jq -r .status)" = stopped ]
	rt delete "$CID"

	command -v strace >/dev/null || skip "needs strace"
	config '.linux.seccomp.listenerPath |= rtrimstr(".away")'
	rt create -b "$B" "$CID" </dev/null >/dev/null 2>&1
	local pid="$("$RT" --root "$STATE" state "$CID" | jq .pid)"
	# Dead with the fd of init in its hand: init stands in its filter and is never answered.
	run timeout 30 strace -o "$T/trace" -e inject=pidfd_getfd:signal=KILL "$RT" --root "$STATE" start "$CID"
	[ "$status" -ne 0 ]
	grep -q 'killed by SIGKILL' "$T/trace" || skip "strace cannot trace here"
	for i in $(seq 300); do [ ! -e "/proc/$pid" ] || grep -q '^State:.Z' "/proc/$pid/status" && break; sleep 0.1; done
	[ "$("$RT" --root "$STATE" state "$CID" | jq -r .status)" = stopped ]
	rt delete "$CID"
	wait "$LISTENER"
	nothing_left
}

@test "runtime: rootless: a user without privileges runs, executes and deletes" {
	need_userns setpriv --reuid 4242 --regid 4242 --clear-groups
	chmod 755 "$T"
	cp "$RT" "$T/proa-runtime"
	rm "$B/config.json"
	mkdir "$T/run"
	chown -R 4242:4242 "$B" "$T/run"
	user() {
		timeout 30 setpriv --reuid 4242 --regid 4242 --clear-groups env XDG_RUNTIME_DIR="$T/run" "$T/proa-runtime" "$@"
	}
	user spec --rootless --bundle "$B"
	config '.process.terminal=false | .process.args=["id","-u"]'
	chmod 644 "$B/config.json"
	run user run -b "$B" "$CID"
	[ "$status" -eq 0 ]
	[ "$output" = 0 ]
	args sleep 1000
	chmod 644 "$B/config.json"
	user run -d -b "$B" "$CID" </dev/null >/dev/null 2>&1
	[ "$(user exec "$CID" hostname)" = proa ]
	user delete -f "$CID"
	[ -z "$(ls "$T/run/proa-runtime")" ]
	nothing_left
}
