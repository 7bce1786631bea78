#!/usr/bin/env bats
# Images, configs and containers that mean harm: a clear refusal or a harmless
# result, the host untouched, nothing left (security.md rows 1-7, 12-15).
# bats file_tags=root

load ../lib/runtime.bash
setup() {
	runtime_setup
	[ -d "$T" ] || return 0
	mkdir -p "$T/host/deep"
	echo precious >"$T/host/canary"
	BEFORE=$(cd "$T/host" && find . -printf '%p %y %m %s\n' | sort)
}
teardown() { runtime_teardown; }

host_untouched() {
	[ "$(cat "$T/host/canary")" = precious ]
	[ "$(cd "$T/host" && find . -printf '%p %y %m %s\n' | sort)" = "$BEFORE" ]
}

@test "runtime: bad configs are refused with the member's name, and nothing is left" {
	bad=0
	while IFS='|' read -r program want; do
		[ -n "$program" ] || continue
		cp "$B/config.json" "$T/keep.json"
		config "$program"
		run rt run -b "$B" "$CID"
		cp "$T/keep.json" "$B/config.json"
		if [ "$status" -eq 0 ] || [[ "$output" != *"$want"* ]]; then
			echo "$program gave $status: $output"
			bad=1
		fi
		nothing_left
	done <"$BATS_TEST_DIRNAME/../should-fail/runtime/configs.txt"
	[ "$bad" -eq 0 ]
	host_untouched
}

@test "runtime: texts that are no config are refused" {
	for text in '' '{' '[]' 'null' '{"ociVersion":1}' '{"ociVersion":"1.0.2","ociVersion":"1.0.2"}' \
		'{"ociVersion":"9.0.0","root":{"path":"rootfs"}}' '{"ociVersion":"1.0.2"}'; do
		printf '%s' "$text" >"$B/config.json"
		run rt run -b "$B" "$CID"
		[ "$status" -eq 1 ]
		[[ "$output" == *"proa-runtime: config.json"* ]]
		nothing_left
	done
	rm "$B/config.json"
	run rt run -b "$B" "$CID"
	[[ "$output" == *"specification file config.json not found"* ]]
	mkfifo "$B/config.json"
	run timeout 5 "$RT" --root "$STATE" run -b "$B" "$CID" </dev/null
	[ "$status" -ne 0 ]
}

@test "runtime: symlinks where /dev, /proc, /sys, /etc, /tmp should be never lead to the host (CVE-2026-41579)" {
	for d in dev proc sys etc tmp; do
		for target in "$T/host" "../../../../../../..$T/host" "/../..$T/host"; do
			rm -rf "$B/rootfs"
			make_rootfs "$B/rootfs"
			rm -rf "$B/rootfs/$d"
			ln -s "$target" "$B/rootfs/$d"
			config ".mounts += [{\"destination\":\"/$d/vol\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"}]"
			run rt run -b "$B" "$CID"
			host_untouched
			nothing_left
			config '.mounts |= .[:-1]'
		done
	done
}

@test "runtime: FIFOs, devices and loops in the image hang nothing" {
	rm "$B/rootfs/etc/passwd"
	mkfifo "$B/rootfs/etc/passwd"
	run rt run -b "$B" "$CID"
	[ "$status" -eq 0 ]
	rm -r "$B/rootfs/dev"
	mkfifo "$B/rootfs/dev"
	run rt run -b "$B" "$CID"
	[ "$status" -eq 1 ]
	nothing_left
	rm "$B/rootfs/dev"
	ln -s dev "$B/rootfs/dev"
	run rt run -b "$B" "$CID"
	[ "$status" -eq 1 ]
	nothing_left
	host_untouched
}

@test "runtime: a huge /etc/passwd costs no memory" {
	truncate -s 10G "$B/rootfs/etc/passwd"
	run rt run -b "$B" "$CID"
	[ "$status" -eq 0 ]
}

@test "runtime: mount targets through symlinks stay in the root; no file is made on the host (CVE-2024-45310)" {
	ln -s "$T/host" "$B/rootfs/link"
	ln -s "../../../../../../../..$T/host" "$B/rootfs/up"
	echo x >"$T/file"
	config ".mounts += [
		{\"destination\":\"/link/made\",\"type\":\"bind\",\"source\":\"$T/file\",\"options\":[\"bind\"]},
		{\"destination\":\"/up/deep/er\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"},
		{\"destination\":\"/../../../..$T/host/x\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"}]"
	mkdir -p "$B/rootfs$T/host"
	run rt run -b "$B" "$CID"
	[ "$status" -eq 0 ]
	host_untouched
	nothing_left
	rm -r "$B/rootfs/tmp"
	mkdir "$B/rootfs/tmp"
	run rt run -b "$B" "$CID"
	host_untouched
	nothing_left
}

@test "runtime: proc and sysfs are mounted on ordinary directories only (CVE-2023-27561, CVE-2023-28642)" {
	rm -r "$B/rootfs/proc"
	ln -s tmp "$B/rootfs/proc"
	run rt run -b "$B" "$CID"
	[ "$status" -eq 1 ]
	[[ "$output" == *"must be mounted on ordinary directory"* ]]
	nothing_left
}

@test "runtime: nothing is mounted inside /proc, and nothing but procfs on it (CVE-2019-16884, CVE-2019-19921)" {
	config ".mounts += [{\"destination\":\"/proc/sys\",\"type\":\"bind\",\"source\":\"$T/host\",\"options\":[\"bind\"]}]"
	run rt run -b "$B" "$CID"
	[[ "$output" == *"inside /proc"* ]]
	config ".mounts[-1].destination=\"//proc/./../proc//self/attr\""
	run rt run -b "$B" "$CID"
	[[ "$output" == *"inside /proc"* ]]
	config ".mounts[-1].destination=\"/proc\""
	run rt run -b "$B" "$CID"
	[[ "$output" == *"cannot be mounted onto /proc"* ]]
	nothing_left
}

@test "runtime: a symlink of the image does not move a mount into /proc" {
	ln -s /proc "$B/rootfs/data"
	ln -s ../../proc/sys "$B/rootfs/data2"
	for mount in '"destination":"/data","type":"bind","source":"'"$T/host"'","options":["bind"]' \
		'"destination":"/data2","type":"bind","source":"'"$T/host"'","options":["bind"]' \
		'"destination":"/data/self","type":"tmpfs","source":"tmpfs"'; do
		config ".mounts += [{$mount}]"
		run rt run -b "$B" "$CID"
		[ "$status" -eq 1 ]
		[[ "$output" == *"inside /proc"* ]]
	done
	nothing_left
}

@test "runtime: a masked path that the image replaced by a symlink masks nothing else" {
	config '.linux.maskedPaths += ["/etc/mask"] | .linux.readonlyPaths += ["/etc/ro"]'
	ln -s "$T/host/canary" "$B/rootfs/etc/mask"
	ln -s "$T/host" "$B/rootfs/etc/ro"
	run rt run -b "$B" "$CID"
	[ "$status" -eq 0 ]
	host_untouched
}

@test "runtime: a working directory through /proc/self/fd or a symlink is refused or inside (CVE-2024-21626)" {
	for cwd in /proc/self/fd/3 /proc/self/fd/7 /proc/1/cwd /proc/self/root; do
		config ".process.cwd=\"$cwd\""
		run rt run -b "$B" "$CID"
		[ "$status" -eq 1 ]
		nothing_left
	done
	ln -s "$T/host" "$B/rootfs/w"
	config '.process.cwd="/w/new"'
	args sh -c 'readlink /proc/self/cwd'
	run rt run -b "$B" "$CID"
	host_untouched
	args sleep 1000
	config '.process.cwd="/"'
	rt run -d -b "$B" "$CID" </dev/null >/dev/null 2>&1
	for i in 3 4 5 6 7 8 9; do
		run rt exec --cwd /proc/self/fd/$i "$CID" true
		[ "$status" -eq 255 ]
	done
	rt delete -f "$CID"
}

@test "runtime: the container finds no fd but 0 to 2, in run and in exec" {
	args sh -c 'for f in /proc/self/fd/*; do echo ${f##*/}; done; sleep 1000'
	rt run -d -b "$B" "$CID" </dev/null >"$T/out" 2>/dev/null
	for i in $(seq 300); do [ "$(wc -l <"$T/out")" -ge 3 ] && break; sleep 0.1; done
	[ "$(ls /proc/"$(rt state "$CID" | jq .pid)"/fd | tr '\n' ' ')" = "0 1 2 " ]
	exec 8<"$T/host/canary"
	# No pipe: a shell has both ends of it for a moment. The fourth is the directory.
	run rt exec "$CID" sh -c 'set -- /proc/$$/fd/*; echo $#'
	exec 8<&-
	[ "$output" -le 4 ]
	rt delete -f "$CID"
}

@test "runtime: the runtime's executable cannot be written through /proc/PID/exe (CVE-2019-5736)" {
	cp "$RT" "$T/proa-copy"
	sum=$(sha256sum <"$T/proa-copy")
	args /proc/self/exe init -- sleep 1000
	timeout 20 unshare -m --propagation private "$T/proa-copy" --root "$STATE" run -d -b "$B" "$CID" </dev/null >"$T/out" 2>&1 || true
	pid=$(rt state "$CID" | jq .pid)
	if [ "$pid" -gt 0 ] 2>/dev/null; then
		run sh -c "echo evil >/proc/$pid/exe"
		[ "$status" -ne 0 ]
		rt delete -f "$CID"
	fi
	[ "$(sha256sum <"$T/proa-copy")" = "$sum" ]
	nothing_left
}

@test "runtime: stdin of /dev/null is the container's, not the host's node" {
	args sh -c 'chmod 0 /proc/self/fd/0; ls -l /dev/null'
	before=$(stat -c %a /dev/null)
	config '.process.capabilities.effective += ["CAP_FOWNER"]|.process.capabilities.permitted += ["CAP_FOWNER"]|.process.capabilities.bounding += ["CAP_FOWNER"]'
	run rt run -b "$B" "$CID" </dev/null
	[ "$(stat -c %a /dev/null)" = "$before" ]
}

@test "runtime: an init that died, a state cut in half, a pid reused are seen" {
	args sleep 1000
	rt run -d -b "$B" "$CID" </dev/null >/dev/null 2>&1
	kill -9 "$(rt state "$CID" | jq .pid)"
	for i in $(seq 300); do
		[ "$(rt state "$CID" | jq -r .status)" = stopped ] && break
		sleep 0.1
	done
	[ "$(rt state "$CID" | jq -r .status)" = stopped ]
	run rt exec "$CID" true
	[[ "$output" == *"stopped container"* ]]
	sleep 1000 &
	other=$!
	jq ".pid=$other" "$STATE/$CID/state.json" >"$T/s" && cp "$T/s" "$STATE/$CID/state.json"
	run rt kill "$CID" KILL
	[ "$status" -eq 1 ]
	kill -0 $other
	kill $other
	head -c 100 "$T/s" >"$STATE/$CID/state.json"
	run rt state "$CID"
	[ "$status" -eq 1 ]
	run rt delete "$CID"
	[ "$status" -eq 1 ]
	rt delete --force "$CID"
	[ ! -e "$STATE/$CID" ]
	for d in /sys/fs/cgroup/*; do rmdir "$d$CG" 2>/dev/null || true; done
}

@test "runtime: create killed at any moment is cleaned by delete --force" {
	args sleep 1000
	for ms in 0.001 0.002 0.004 0.006 0.008 0.010; do
		timeout -s KILL $ms "$RT" --root "$STATE" create -b "$B" "$CID" </dev/null >/dev/null 2>&1 || true
		rt delete --force "$CID"
		eventually nothing_left
	done
}

@test "runtime: create killed when init is ready and its pid not yet on record leaves no init that waits" {
	command -v strace >/dev/null || skip "needs strace"
	local tracer i
	args sleep 1000
	# The first renameat2 writes the state without a pid, the second the one with it.
	strace -o "$T/trace" -e trace=renameat2 -e inject=renameat2:delay_enter=60000000:when=2 \
		"$RT" --root "$STATE" create -b "$B" "$CID" </dev/null >/dev/null 2>&1 3>&- &
	tracer=$!
	# Its second state is written, and not yet in its place.
	ready() { [ -S "$STATE/$CID/init.sock" ] && compgen -G "$STATE/$CID/.state.json.*"; }
	eventually ready
	[ "$(jq .pid "$STATE/$CID/state.json")" = 0 ]
	kill -KILL "$(pgrep -P "$tracer")"
	wait "$tracer" || true
	grep -q 'killed by SIGKILL' "$T/trace" || skip "strace cannot trace here"
	rt delete --force "$CID"
	nothing_left
}

@test "runtime: bad ids and arguments" {
	for id in '' . .. a/b ../x 'a b' .hidden "$(printf 'x%.0s' $(seq 2000))"; do
		run rt create -b "$B" "$id"
		[ "$status" -eq 1 ]
	done
	run rt create -b "$B"
	[[ "$output" == *'"create" requires exactly 1 argument'* ]]
	run rt create -b /no/such "$CID"
	[[ "$output" == *"/no/such"* ]]
	run rt kill "$CID" NOSUCH
	[ "$status" -eq 1 ]
	run rt exec --user 4294967296 "$CID" true
	[ "$status" -eq 255 ]
}

# swap A B: exchange two names as fast as it goes until killed.
swap() {
	python3 -c '
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
a, b = (x.encode() for x in sys.argv[1:])
while True:
    libc.syscall(316, -100, a, -100, b, 2)' "$1" "$2" 3>&- &
	SWAPS="$SWAPS $!"
}

@test "runtime: directories that turn into symlinks while containers start reach nothing of the host (CVE-2021-30465, CVE-2025-31133)" {
	command -v python3 >/dev/null || skip "needs python3"
	[ "$(uname -m)" = x86_64 ] || skip "the number of renameat2 is x86-64's"
	SWAPS=
	mkdir -p "$T/host/pts" "$T/host/sub" "$B/rootfs/vol/sub" "$B/rootfs/other"
	echo canary >"$T/host/null"
	echo canary >"$T/host/file"
	echo inside >"$B/rootfs/other/file"
	cp -a "$T/host" "$T/before"
	# The links are absolute and lead, from outside, to the host's directory.
	for name in dev vol; do ln -s "$T/host" "$B/rootfs/$name.link"; done
	ln -s "$T/host/file" "$B/rootfs/other/file.link"
	swap "$B/rootfs/dev" "$B/rootfs/dev.link"
	swap "$B/rootfs/vol" "$B/rootfs/vol.link"
	swap "$B/rootfs/other/file" "$B/rootfs/other/file.link"
	args true
	config '.mounts |= map(select(.destination | startswith("/dev") | not))
		| .mounts += [{"destination": "/vol/new", "type": "tmpfs", "source": "x", "options": []},
			{"destination": "/vol/sub", "type": "tmpfs", "source": "x", "options": []}]
		| .linux.maskedPaths += ["/other/file", "/vol/sub", "/vol/file"] | .linux.readonlyPaths += ["/other/file", "/vol/file"]
		| .process.cwd="/vol/made/cwd"'
	for i in $(seq 40); do
		rt run -b "$B" "$CID$i" </dev/null >/dev/null 2>&1 || true
	done
	kill $SWAPS
	wait $SWAPS 2>/dev/null || true
	# Neither made, nor mounted over, nor changed.
	diff -r "$T/before" "$T/host"
	[ -z "$(grep -F "$T/host" /proc/self/mountinfo)" ]
	nothing_left
}

@test "runtime: a console that the image made a symlink is not the host's (CVE-2025-52565)" {
	echo canary >"$T/canary"
	rm -rf "$B/rootfs/dev" && mkdir -p "$B/rootfs/dev/pts"
	ln -s "$T/canary" "$B/rootfs/dev/console"
	args sh -c 'echo written >/dev/console; tty'
	config '.process.terminal=true | .mounts |= map(select(.destination != "/dev"))'
	rt run -b "$B" "$CID" </dev/null >"$T/out" 2>&1 || true
	[ "$(cat "$T/canary")" = canary ]
	[ -z "$(grep -F "$T/canary" /proc/self/mountinfo)" ]
	# Without a devpts of its own there is no terminal to take.
	rm -rf "$B/rootfs/dev" && mkdir -p "$B/rootfs/dev"
	ln -s "$T" "$B/rootfs/dev/pts"
	config '.mounts |= map(select(.destination | startswith("/dev") | not))'
	run rt run -b "$B" "$CID" </dev/null
	[ "$status" -ne 0 ]
	nothing_left
}

@test "runtime: an init that waits and a process of exec show the container nothing of the host's (CVE-2016-9962)" {
	rt create -b "$B" "$CID" </dev/null >/dev/null 2>&1
	local pid="$("$RT" --root "$STATE" state "$CID" | jq .pid)"
	# Of the host's it holds 0 to 2, which the caller gave, and the socket that start knocks at.
	[ "$(for f in /proc/"$pid"/fd/*; do readlink "$f"; done | grep -cv '^/dev/null$')" -eq 1 ]
	[[ "$(for f in /proc/"$pid"/fd/*; do readlink "$f"; done | grep -v '^/dev/null$')" = socket:* ]]
	# A neighbour in its PID namespace, root of the same user namespace.
	cp -r "$B" "$T/spy"
	(B="$T/spy" && config ".linux.cgroupsPath += \"-spy\" | .linux.namespaces |= map(if .type == \"pid\" then .path=\"/proc/$pid/ns/pid\" else . end)" &&
		args sh -c 'cat /proc/1/comm; for f in exe root cwd fd/0 fd/3 fd/4; do readlink /proc/1/$f && echo open; done; ls /proc/1/root/ && echo open; true')
	run rt run -b "$T/spy" "$CID-spy"
	[[ "${lines[0]}" = *proa* ]]
	[[ "$output" != *open* ]]
	[[ "$output" != *"$T"* ]]
	rt delete -f "$CID"

	args sh -c 'while :; do for p in /proc/[0-9]*; do for f in $p/exe $p/root $p/cwd $p/fd/*; do
		w=$(readlink $f) || continue
		case $w in /|/bin/busybox|/dev/null|pipe:*|/proc*|/tmp/seen) ;; *) echo "$p $f $w" >>/tmp/seen;; esac
	done; done; done'
	rt run -d -b "$B" "$CID" </dev/null >/dev/null 2>&1
	for i in $(seq 20); do "$RT" --root "$STATE" exec "$CID" true </dev/null >/dev/null; done
	rt delete -f "$CID"
	touch "$B/rootfs/tmp/seen"
	run cat "$B/rootfs/tmp/seen"
	echo "$output"
	[[ "$output" != *"$T"* && "$output" != *memfd* && "$output" != *socket* ]]
	nothing_left
}

@test "runtime: what an image has as /proc is not written to (CVE-2025-52881)" {
	mkdir -p "$B/rootfs/proc/sys/net/ipv4" "$B/rootfs/proc/self/attr"
	echo canary >"$B/rootfs/canary"
	for f in sys/net/ipv4/ip_forward self/oom_score_adj self/attr/exec self/uid_map self/timens_offsets; do
		ln -s /canary "$B/rootfs/proc/$f"
	done
	config '.mounts |= map(select(.destination != "/proc")) | .linux.maskedPaths=[] | .linux.readonlyPaths=[]
		| .linux.sysctl={"net.ipv4.ip_forward":"1"} | .process.oomScoreAdj=321'
	args sleep 100
	rt run -d -b "$B" "$CID" </dev/null >/dev/null 2>&1
	local pid="$("$RT" --root "$STATE" state "$CID" | jq .pid)"
	[ "$(cat "/proc/$pid/oom_score_adj")" = 321 ]
	[ "$(nsenter -t "$pid" -n cat /proc/sys/net/ipv4/ip_forward)" = 1 ]
	jq '.process | .oomScoreAdj=322 | .args=["sleep","101"]' "$B/config.json" >"$T/process.json"
	"$RT" --root "$STATE" exec -d --pid-file "$T/pid" -p "$T/process.json" "$CID" </dev/null >/dev/null 2>&1
	[ "$(cat "/proc/$(cat "$T/pid")/oom_score_adj")" = 322 ]
	[ "$(cat "$B/rootfs/canary")" = canary ]
	rt delete -f "$CID"
	nothing_left
}

@test "runtime: a /dev/null of the image's masks nothing, and a bound /sys is read-only to its last mount (CVE-2025-31133, CVE-2023-25809)" {
	ln -s /etc/passwd "$B/rootfs/dev/null"
	cp "$B/config.json" "$T/keep.json"
	config '.mounts |= map(select(.destination | startswith("/dev") | not))'
	run rt run -b "$B" "$CID"
	[ "$status" -ne 0 ]
	[[ "$output" == *"'/dev/null' exists and is another file"* ]]
	nothing_left
	cp "$T/keep.json" "$B/config.json"
	args sh -c 'stat -c %t:%T /proc/version; grep " /sys" /proc/self/mountinfo'
	config '.linux.namespaces |= map(select(.type != "network")) | .linux.namespaces += [{"type":"user"}]
		| .linux.uidMappings=[{"containerID":0,"hostID":0,"size":65536}] | .linux.gidMappings=.linux.uidMappings
		| .linux.maskedPaths += ["/proc/version"]'
	run rt run -b "$B" "$CID"
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = 1:3 ]
	[ "${#lines[@]}" -gt 2 ]
	[ "$(grep -cE ' /sys[^ ]* rw' <<<"$output")" -eq 0 ]
	nothing_left
}

@test "runtime: a full config with any member spoilt is refused by the member's name or runs, and leaves nothing" {
	command -v python3 >/dev/null || skip "needs python3"
	config '.process.consoleSize={"height":20,"width":40} | .process.oomScoreAdj=100
		| .process.user={"uid":0,"gid":0,"umask":18,"additionalGids":[5],"username":"root"}
		| .process.rlimits=[{"type":"RLIMIT_CORE","soft":64,"hard":128}] | .process.apparmorProfile="" | .process.selinuxLabel=""
		| .process.scheduler={"policy":"SCHED_BATCH","nice":3,"priority":0,"flags":["SCHED_FLAG_RESET_ON_FORK"],"runtime":0,"deadline":0,"period":0}
		| .process.ioPriority={"class":"IOPRIO_CLASS_BE","priority":4} | .process.execCPUAffinity={"initial":"0","final":"0"}
		| .domainname="d" | .annotations={"a":"b"}
		| .mounts += [{"destination":"/mnt","type":"bind","source":"/etc/hostname","options":["bind","ro","rprivate"]},
			{"destination":"/scratch","type":"tmpfs","source":"tmpfs","options":["size=1m","mode=1777","rnosuid"]}]
		| .hooks={"prestart":[{"path":"/bin/true","args":["true"],"env":["A=b"],"timeout":5}],"createRuntime":[{"path":"/bin/true"}],
			"createContainer":[{"path":"/bin/true"}],"startContainer":[{"path":"/bin/true"}],"poststart":[{"path":"/bin/true"}],"poststop":[{"path":"/bin/true"}]}
		| .linux.devices=[{"path":"/dev/d","type":"c","major":1,"minor":5,"fileMode":438,"uid":0,"gid":0}]
		| .linux.sysctl={"net.ipv4.ip_forward":"1"} | .linux.personality={"domain":"LINUX","flags":[]} | .linux.rootfsPropagation="rslave"
		| .linux.resources += {"memory":{"limit":104857600,"checkBeforeUpdate":true},"cpu":{"shares":512,"quota":50000,"period":100000},"pids":{"limit":50}}
		| .linux.seccomp={"defaultAction":"SCMP_ACT_ALLOW","defaultErrnoRet":0,"architectures":["SCMP_ARCH_X86_64"],"flags":["SECCOMP_FILTER_FLAG_LOG"],
			"syscalls":[{"names":["getcwd"],"action":"SCMP_ACT_ERRNO","errnoRet":1,"args":[{"index":0,"value":1,"valueTwo":0,"op":"SCMP_CMP_EQ"}]}]}
		| .linux.mountLabel=""'
	run timeout 300 unshare -m --propagation private python3 "$BATS_TEST_DIRNAME/../lib/spoil.py" "$RT" "$T" 20 100
	echo "$output"
	[ "$status" -eq 0 ]
	host_untouched
	nothing_left
}
