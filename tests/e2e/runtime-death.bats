#!/usr/bin/env bats
# proa-runtime killed before a system call of its own, or its child: whatever it had made by then,
# `delete --force` succeeds and nothing is left. tests/lib/die_at.py does the killing by ptrace.
# With DIE_EVERY=1 before each system call, which takes minutes.
# bats file_tags=root

load ../lib/runtime.bash
setup() {
	runtime_setup
	[ -d "$T" ] || return 0
	command -v python3 >/dev/null || skip "needs python3"
	strace -o /dev/null true 2>/dev/null || skip "strace is not there, or cannot trace here"
	args sleep 1000
	mkdir -p "$STATE"
	CREATE="$RT --root $STATE create -b $B $CID"
	START="$RT --root $STATE start $CID"
}
teardown() { runtime_teardown; }

# dies EVERY FLAGS... -- VERB ARGS...
dies() {
	local every="${DIE_EVERY:-$1}" flags=()
	shift
	while [ "$1" != -- ]; do
		flags+=("$1")
		shift
	done
	shift
	# In a mount namespace of its own: what others mount meanwhile is not ours.
	run timeout 600 unshare -m --propagation private python3 "$BATS_TEST_DIRNAME/../lib/die_at.py" \
		--every "$every" --cgroup "$CG" --watch "$STATE" --after "$RT --root $STATE delete --force $CID" \
		"${flags[@]}" -- "$RT" --root "$STATE" "$@" 3>&-
	echo "$output"
	[ "$status" -ne 77 ] || skip "ptrace is refused here"
	[ "$status" -eq 0 ]
}

# clone_call FLAG: which system call of create's is the clone with this flag. Strace is killed there:
# the create may wait for a hook.
clone_call() {
	local tracer i
	strace -o "$T/trace" "$RT" --root "$STATE" create -b "$B" "$CID" </dev/null >/dev/null 2>&1 3>&- &
	tracer=$!
	for i in $(seq 50); do
		grep -q "$1" "$T/trace" 2>/dev/null && break
		sleep 0.1
	done
	kill -KILL "$(pgrep -P "$tracer")" 2>/dev/null || true
	wait "$tracer" || true
	rt delete --force "$CID"
	grep -n -m1 "$1" "$T/trace" | cut -d: -f1
}

@test "runtime: create killed before any system call of its own leaves nothing that delete does not find" {
	dies 13 -- create -b "$B" "$CID"
	dies 13 --first 8 --ahead -- create -b "$B" "$CID"
}

@test "runtime: create whose init is killed before any system call leaves nothing" {
	dies 47 --role child -- create -b "$B" "$CID"
	dies 47 --role child --first 30 --ahead -- create -b "$B" "$CID"
}

@test "runtime: create killed right after clone leaves no init that runs a long hook and holds the lock" {
	config '.hooks.createContainer=[{"path":"'"$(command -v sleep)"'","args":["sleep","1000"]}]'
	clone=$(clone_call CLONE_NEWPID)
	# From clone until the parent waits for the child, which waits for the hook.
	DIE_EVERY=1 dies 1 --first "$clone" --last $((clone + 5)) -- create -b "$B" "$CID"
}

@test "runtime: create killed while it makes a user namespace for an id-mapped mount leaves none of its helpers" {
	need_userns
	mkdir "$T/volume"
	config '.mounts += [{"destination":"/tmp","source":"'"$T/volume"'","type":"bind","options":["bind"],
		"uidMappings":[{"containerID":0,"hostID":100000,"size":65536}],
		"gidMappings":[{"containerID":0,"hostID":100000,"size":65536}]}]'
	clone=$(clone_call CLONE_NEWUSER)
	DIE_EVERY=1 dies 1 --first "$clone" --last $((clone + 20)) -- create -b "$B" "$CID"
}

@test "runtime: run, exec and delete killed before any system call leave nothing that delete does not find" {
	dies 29 -- run -d -b "$B" "$CID"
	dies 19 --before "$CREATE" --before "$START" -- exec -d "$CID" sleep 1000
	dies 31 --role child --before "$CREATE" --before "$START" -- exec -d "$CID" sleep 1000
	dies 11 --before "$CREATE" --before "$START" -- delete --force "$CID"
	dies 11 --before "$CREATE" -- start "$CID"
}

@test "runtime: pause, resume, update and a forced delete of a frozen container killed at any point" {
	local pause="$RT --root $STATE pause $CID"
	dies 9 --before "$CREATE" --before "$START" -- pause "$CID"
	dies 11 --before "$CREATE" --before "$START" --before "$pause" -- resume "$CID"
	dies 9 --before "$CREATE" --before "$START" --before "$pause" -- delete --force "$CID"
	dies 11 --before "$CREATE" --before "$START" --before "$pause" -- kill "$CID" KILL
	dies 11 --before "$CREATE" --before "$START" -- update --memory 300000000 --pids-limit 50 "$CID"
}

@test "runtime: a killed create leaves no half-written seccomp program in the cache" {
	config '.linux.seccomp={"defaultAction":"SCMP_ACT_ALLOW",
		"syscalls":[{"names":["getcwd"],"action":"SCMP_ACT_ERRNO"}]}'
	for n in 1 2 3 4 5; do
		strace -o "$T/trace" -e trace=write -e inject=write:signal=KILL:when=$n \
			"$RT" --root "$STATE" create -b "$B" "$CID" </dev/null >/dev/null 2>&1 3>&- || true
		rt delete --force "$CID"
		[ -z "$(find "$STATE/.bpf" -name '.*' -type f 2>/dev/null)" ]
	done
}
