#!/usr/bin/env bats
# The life of a container by proa-runtime's own verbs.
# bats file_tags=root

load ../lib/runtime.bash
setup() { runtime_setup; }
teardown() { runtime_teardown; }

@test "runtime: run gives the program's output and exit code and leaves nothing" {
	args sh -c 'echo out; echo err >&2; exit 7'
	run rt run -b "$B" "$CID"
	[ "$status" -eq 7 ]
	[[ "$output" == *out* && "$output" == *err* ]]
	nothing_left
}

@test "runtime: a program killed by a signal gives 128 plus its number" {
	args sh -c 'kill -KILL $$; sleep 1'
	config '.linux.namespaces |= map(select(.type != "pid"))'
	run rt run -b "$B" "$CID"
	[ "$status" -eq 137 ]
	nothing_left
}

@test "runtime: why init could not begin is told, however late it is heard" {
	command -v strace >/dev/null || skip "needs strace"
	args nosuch
	# The runtime listens when init has long been dead.
	run timeout 30 strace -o "$T/trace" -e inject=recvfrom:delay_enter=1000000 "$RT" --root "$STATE" run -b "$B" "$CID"
	grep -q DELAYED "$T/trace" || skip "strace cannot trace here"
	[ "$status" -eq 1 ]
	[[ "$output" == *'exec: "nosuch": executable file not found in $PATH'* ]]
	nothing_left
}

@test "runtime: create, start, state, kill, delete go through the specification's states" {
	args sleep 1000
	rt create -b "$B" --pid-file "$T/pid" "$CID" </dev/null >"$T/out" 2>&1
	[ "$(rt state "$CID" | jq -r .status)" = created ]
	[ "$(rt state "$CID" | jq -r .pid)" = "$(cat "$T/pid")" ]
	run rt delete "$CID-absent"
	[ "$status" -eq 1 ]
	rt start "$CID"
	[ "$(rt state "$CID" | jq -r .status)" = running ]
	run rt start "$CID"
	[ "$status" -eq 1 ]
	[[ "$output" == *"cannot start an already running container"* ]]
	run rt delete "$CID"
	[ "$status" -eq 1 ]
	[[ "$output" == *"is not stopped: running"* ]]
	rt kill "$CID" KILL
	for i in $(seq 300); do
		[ "$(rt state "$CID" | jq -r .status)" = stopped ] && break
		sleep 0.1
	done
	run rt kill "$CID" TERM
	[[ "$output" == *"container not running"* ]]
	rt delete "$CID"
	run rt state "$CID"
	[ "$status" -eq 1 ]
	[[ "$output" == *"container does not exist"* ]]
	nothing_left
}

@test "runtime: delete of a created container and delete --force of a running one" {
	args sleep 1000
	rt create -b "$B" "$CID" </dev/null >/dev/null 2>&1
	rt delete "$CID"
	nothing_left
	rt run -d -b "$B" "$CID" </dev/null >/dev/null 2>&1
	rt delete --force "$CID"
	nothing_left
	rt delete --force "$CID"
}

@test "runtime: an id in use is refused and its container untouched" {
	args sleep 1000
	rt run -d -b "$B" "$CID" </dev/null >/dev/null 2>&1
	run rt run -b "$B" "$CID"
	[ "$status" -eq 1 ]
	[[ "$output" == *"already exists"* ]]
	[ "$(rt state "$CID" | jq -r .status)" = running ]
	rt delete -f "$CID"
	nothing_left
}

@test "runtime: exec runs in all namespaces, with cwd, env and user, and returns the code" {
	args sleep 1000
	rt run -d -b "$B" "$CID" </dev/null >/dev/null 2>&1
	run rt exec --cwd /tmp -e A=b --user 12:34 "$CID" sh -c 'pwd; echo $A; id -u; id -g; hostname; exit 9'
	[ "$status" -eq 9 ]
	[ "$output" = "/tmp
b
12
34
proa" ]
	init=$(rt state "$CID" | jq .pid)
	for ns in mnt net ipc uts cgroup pid; do
		[ "$(rt exec "$CID" readlink /proc/self/ns/$ns)" = "$(readlink /proc/$init/ns/$ns)" ] ||
			[ "$ns" = pid ]
	done
	[ "$(rt exec "$CID" cat /proc/self/cgroup)" = "$(rt exec "$CID" cat /proc/1/cgroup)" ]
	rt delete -f "$CID"
	nothing_left
}

@test "runtime: exec by process.json, detached, writes the pid file" {
	args sleep 1000
	rt run -d -b "$B" "$CID" </dev/null >/dev/null 2>&1
	jq '.process | .args=["sleep","500"]' "$B/config.json" >"$T/process.json"
	rt exec -d --pid-file "$T/pid" -p "$T/process.json" "$CID" </dev/null >/dev/null 2>&1
	grep -q sleep "/proc/$(cat "$T/pid")/comm"
	rt ps --format json "$CID" | jq -e "index($(cat "$T/pid"))"
	rt delete -f "$CID"
	nothing_left
}

@test "runtime: an error that init told before it read all that it was told is not lost" {
	strace -o /dev/null true 2>/dev/null || skip "strace is not there, or cannot trace here"
	args nosuch
	# The parent listens when init has failed and is gone.
	run timeout 20 strace -o "$T/trace" -e trace=recvfrom -e inject=recvfrom:delay_enter=500000:when=1 \
		"$RT" --root "$STATE" create -b "$B" "$CID"
	[ "$status" = 1 ]
	[[ "$output" == *'exec: "nosuch": executable file not found in $PATH'* ]]
	nothing_left
}

@test "runtime: the errors of exec have the words that exit codes depend on" {
	args nosuch
	run rt run -b "$B" "$CID"
	[[ "$output" == *'exec: "nosuch": executable file not found in $PATH'* ]]
	args /etc
	run rt run -b "$B" "$CID"
	[[ "$output" == *'exec: "/etc": is a directory: permission denied'* ]]
	args /etc/passwd
	run rt run -b "$B" "$CID"
	[[ "$output" == *'exec: "/etc/passwd": permission denied'* ]]
	args /no/such
	run rt run -b "$B" "$CID"
	[[ "$output" == *'no such file or directory'* ]]
	printf '#!/no/interpreter\n' >"$B/rootfs/bin/script"
	chmod 755 "$B/rootfs/bin/script"
	args script
	run rt run -b "$B" "$CID"
	[ "$status" -eq 1 ]
	[[ "$output" == *'no such file or directory'* ]]
	printf 'x' >"$B/rootfs/bin/junk"
	chmod 755 "$B/rootfs/bin/junk"
	args junk
	run rt run -b "$B" "$CID"
	[[ "$output" == *'exec /bin/junk: exec format error'* ]]
	nothing_left
}

@test "runtime: --log --log-format json holds the error as dockerd and containerd read it" {
	args nosuch
	run rt --log "$T/log" --log-format json run -b "$B" "$CID"
	[ "$status" -eq 1 ]
	[ "$(tail -1 "$T/log" | jq -r .level)" = error ]
	tail -1 "$T/log" | jq -r .msg | grep -F 'executable file not found in $PATH'
	tail -1 "$T/log" | jq -r .time | grep -E '^[0-9]{4}-'
}

@test "runtime: pause freezes, exec is refused meanwhile, resume thaws" {
	args sleep 1000
	rt run -d -b "$B" "$CID" </dev/null >/dev/null 2>&1
	rt pause "$CID"
	[ "$(rt state "$CID" | jq -r .status)" = paused ]
	run rt exec "$CID" true
	[[ "$output" == *"paused"* ]]
	rt resume "$CID"
	[ "$(rt state "$CID" | jq -r .status)" = running ]
	rt pause "$CID"
	rt delete -f "$CID"
	nothing_left
}

@test "runtime: update changes limits, events --stats shows them" {
	args sleep 1000
	rt run -d -b "$B" "$CID" </dev/null >/dev/null 2>&1
	rt update --memory 64m --pids-limit 33 --cpu-share 512 "$CID"
	[ "$(rt events --stats "$CID" | jq .data.memory.usage.limit)" = 67108864 ]
	[ "$(rt events --stats "$CID" | jq .data.pids.limit)" = 33 ]
	echo '{"memory":{"limit":33554432}}' | rt update -r - "$CID"
	[ "$(rt events --stats "$CID" | jq .data.memory.usage.limit)" = 33554432 ]
	run rt update --memory 12potatoes "$CID"
	[ "$status" -eq 1 ]
	rt delete -f "$CID"
	nothing_left
}

@test "runtime: memory over the limit kills and is counted as an oom event" {
	args sh -c 'until [ -e /tmp/go ]; do sleep 0.1; done; x=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; while :; do x=$x$x; done'
	config '.linux.resources.memory={"limit":16777216,"swap":16777216}'
	rt run -d -b "$B" "$CID" </dev/null >/dev/null 2>&1
	rt events --interval 1h "$CID" >"$T/events" 2>&1 3>&- &
	# It waits for the kernel's word: through an eventfd on v1, a watch of the file on v2.
	listens() { ls -l "/proc/$(pgrep -f -- "^$RT --root $STATE events")/fd" | grep -qE 'eventfd|inotify'; }
	eventually listens
	touch "$B/rootfs/tmp/go"
	wait $!
	grep -q '"type":"oom"' "$T/events"
	rt delete -f "$CID"
	nothing_left
}

@test "runtime: kill --all reaches every process, also without a pid namespace" {
	config '.linux.namespaces |= map(select(.type != "pid"))'
	args sh -c 'sleep 1000 & sleep 1000'
	rt run -d -b "$B" "$CID" </dev/null >/dev/null 2>&1
	[ "$(rt ps --format json "$CID" | jq length)" -ge 2 ]
	rt kill --all "$CID" KILL
	none_lives() { [ -z "$(rt ps --format json "$CID" | jq '.[]?')" ]; }
	eventually none_lives
	rt delete -f "$CID"
	nothing_left
}

@test "runtime: all six hooks run with the state on stdin, in the specified order" {
	for h in prestart createRuntime createContainer poststart poststop; do
		config ".hooks.$h=[{\"path\":\"/bin/sh\",\"args\":[\"sh\",\"-c\",\"echo $h \$(cat) >>$T/hooks\"]}]"
	done
	config '.hooks.startContainer=[{"path":"/bin/sh","args":["sh","-c","cat >/tmp/start"]}]'
	args cat /tmp/start
	run rt run -b "$B" "$CID"
	[ "$status" -eq 0 ]
	[[ "$output" == *'"status":"created"'* ]]
	[ "$(cut -d' ' -f1 "$T/hooks" | tr '\n' ' ')" = "prestart createRuntime createContainer poststart poststop " ]
	head -1 "$T/hooks" | cut -d' ' -f2- | jq -e '.pid > 1 and .status == "creating"'
	nothing_left
}

@test "runtime: a failing hook undoes the container and tells its words" {
	config '.hooks.createRuntime=[{"path":"/bin/sh","args":["sh","-c","echo sorry >&2; exit 3"]}]'
	run rt run -b "$B" "$CID"
	[ "$status" -eq 1 ]
	[[ "$output" == *"createRuntime hook #0"*"exit status 3"*"sorry"* ]]
	nothing_left
}

@test "runtime: --preserve-fds hands exactly those on" {
	args sh -c 'cat <&3; ls /proc/self/fd | wc -l'
	echo kept >"$T/kept"
	exec 7<"$T/kept"
	run bash -c "exec 3<&7; timeout 30 unshare -m --propagation private '$RT' --root '$STATE' run --preserve-fds 1 -b '$B' '$CID'"
	exec 7<&-
	[ "${lines[0]}" = kept ]
	run rt run --preserve-fds 3 -b "$B" "$CID"
	[[ "$output" == *"is not open"* ]]
	nothing_left
}

@test "runtime: a terminal by console socket and in front" {
	args sh -c 'tty; test -t 0 && echo tty'
	config '.process.terminal=true'
	run rt run -b "$B" "$CID"
	[ "$status" -eq 0 ]
	[[ "$output" == *"/dev/pts/0"* && "$output" == *tty* ]]
	run rt create -b "$B" "$CID"
	[[ "$output" == *"cannot allocate tty"* ]]
	nothing_left
}

@test "runtime: list, features, spec and version" {
	args sleep 1000
	rt run -d -b "$B" "$CID" </dev/null >/dev/null 2>&1
	rt list | grep -E "^$CID +[0-9]+ +running"
	[ "$(rt list -q)" = "$CID" ]
	[ "$(rt list -f json | jq -r '.[0].id')" = "$CID" ]
	rt delete -f "$CID"
	"$RT" features | jq -e '.linux.namespaces | index("time")'
	"$RT" --version | grep '^spec: 1\.'
	run "$RT" spec --bundle "$B"
	[ "$status" -eq 1 ]
	run "$RT" nosuchverb
	[ "$status" -eq 1 ]
	run "$RT" run --nosuchflag x
	[[ "$output" == *"flag provided but not defined: -nosuchflag"* ]]
}

@test "runtime: 30 containers made and removed leave nothing" {
	for i in $(seq 30); do
		rt run -b "$B" "$CID-$i"
	done
	nothing_left
}

@test "runtime: init reaps, forwards signals and ends with the program's code" {
	[ -z "${PROA_SANITIZED:-}" ] || skip "the init of a sanitizer build is not static"
	cp "$RT" "$B/rootfs/bin/proa-runtime"
	args /bin/proa-runtime init -- sh -c 'sh -c "sleep 0.1 & exit 0"; trap "exit 5" TERM; echo up; while :; do sleep 0.1; done'
	rt create -b "$B" "$CID" </dev/null >"$T/out" 2>&1
	rt start "$CID"
	for i in $(seq 300); do grep -q up "$T/out" && break; sleep 0.1; done
	rt kill "$CID" TERM
	for i in $(seq 300); do
		[ "$(rt state "$CID" | jq -r .status)" = stopped ] && break
		sleep 0.1
	done
	[ "$(rt state "$CID" | jq -r .status)" = stopped ]
	rt delete "$CID"
	args /bin/proa-runtime init -- sh -c 'exit 6'
	run rt run -b "$B" "$CID"
	[ "$status" -eq 6 ]
	nothing_left
}

@test "runtime: each verb tells its flags, list is in order, output in front has no carriage returns" {
	for verb in create start state kill delete run exec ps list pause resume update features spec events; do
		run rt "$verb" --help
		[ "$status" = 0 ]
		[[ "${lines[0]}" = NAME:* && "${lines[1]}" == *"proa-runtime $verb"* ]]
	done
	rt run -h | grep -q -- '--bundle, -b VALUE'
	args sleep 1000
	for id in c a b; do rt run -d -b "$B" "$CID$id" </dev/null >/dev/null 2>&1 || true; config ".linux.cgroupsPath=\"$CG-$id\""; done
	[ "$(rt list -q | tr '\n' ' ')" = "${CID}a ${CID}b ${CID}c " ]
	for id in a b c; do rt delete -f "$CID$id"; done
	args echo line
	config '.process.terminal=true'
	[ "$(rt run -b "$B" "$CID" </dev/null | od -An -c | tr -d ' ')" = 'line\n' ]
	nothing_left
}

@test "runtime: ps of a stopped container is empty; a cpuset that somebody made and left empty is filled" {
	args true
	rt create -b "$B" "$CID" </dev/null >/dev/null 2>&1
	rt start "$CID"
	for _ in $(seq 300); do [ "$(rt state "$CID" | jq -r .status)" = stopped ] && break; sleep 0.1; done
	run rt ps "$CID"
	[ "$status" = 0 ]
	[ -z "$output" ]
	[ "$(rt ps -f json "$CID")" = "[]" ]
	rt delete "$CID"
	[ -d /sys/fs/cgroup/cpuset ] || skip "cgroup v1's cpuset"
	mkdir -p "/sys/fs/cgroup/cpuset$CG-parent"
	config ".linux.cgroupsPath=\"$CG-parent/inner\""
	run rt run -b "$B" "$CID"
	rmdir "/sys/fs/cgroup/cpuset$CG-parent" /sys/fs/cgroup/*"$CG-parent" 2>/dev/null || true
	[ "$status" = 0 ]
	nothing_left
}

@test "runtime: exec from a chroot stays in the container" {
	[ -z "${PROA_SANITIZED:-}" ] || skip "the runtime of a sanitizer build is not static"
	args sleep 1000
	# The root of the mount namespace is the machine's, ours is $T: what exec must not confuse.
	cp "$RT" "$T/rt"
	cat >"$T/in-chroot" <<-'S'
		mount --bind "$1" "$1" && cd "$1" && mkdir proc sys dev tmp
		for d in proc sys dev; do mount --rbind /$d $d; done
		chroot . /rt --root /state run -d -b /bundle "$2" </dev/null >/dev/null
		chroot . /rt --root /state exec "$2" ls /
		chroot . /rt --root /state exec "$2" touch "/$2"
		chroot . /rt --root /state delete --force "$2"
	S
	run timeout 30 unshare -m --propagation private sh "$T/in-chroot" "$T" "$CID"
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(echo $output)" = "$(echo $(ls "$B/rootfs" | grep -v "$CID"))" ]
	[ -e "$B/rootfs/$CID" ]
	[ ! -e "/$CID" ]
	nothing_left
}

@test "runtime: a group that is there and frozen is refused instead of waited for" {
	[ -d /sys/fs/cgroup/freezer ] || skip "cgroup v1's freezer"
	args true
	mkdir "/sys/fs/cgroup/freezer$CG"
	echo FROZEN >"/sys/fs/cgroup/freezer$CG/freezer.state"
	run rt run -b "$B" "$CID"
	echo THAWED >"/sys/fs/cgroup/freezer$CG/freezer.state"
	rmdir "/sys/fs/cgroup/freezer$CG"
	[ "$status" = 1 ]
	[[ "$output" == *"cgroup unexpectedly frozen"* ]]
	nothing_left
}
