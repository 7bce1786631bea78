#!/usr/bin/env bats
# proa and proad: a day of work at the command line.

load ../lib/engine
bats_require_minimum_version 1.5.0

setup_file() {
	engine_setup
	[ "$(id -u)" = 0 ] || return 0
	busybox_image busybox:latest
}
teardown_file() { engine_teardown; }
setup() {
	need_root
	P=$PROA_BUILD/proa
	NAME=t$BATS_TEST_NUMBER-$$
}
teardown() { "$PROA_BUILD/proa" rm -f "$NAME" >/dev/null 2>&1 || true; }

@test "run: output, streams, exit codes" {
	[ "$("$P" run --rm busybox echo hi)" = hi ]
	run "$P" run --rm busybox sh -c 'exit 7'
	[ "$status" = 7 ]
	[ "$("$P" run --rm busybox sh -c 'echo out; echo err >&2' 2>/dev/null)" = out ]
	[ "$("$P" run --rm busybox sh -c 'echo out; echo err >&2' 2>&1 >/dev/null)" = err ]
	run -127 "$P" run --rm busybox nosuch
	[[ "$output" == *'exec: "nosuch": executable file not found in $PATH'* ]]
	run "$P" run --rm busybox /etc
	[ "$status" = 126 ]
}

failed_starts() {
	for _ in $(seq 12); do
		"$P" run --rm busybox nosuch
		"$P" run --rm busybox /etc
	done >/dev/null 2>&1
}

@test "a hundred starts that fail, four at a time, do not hurt the engine" {
	for _ in 1 2 3 4; do failed_starts 3>&- & jobs="${jobs:-} $!"; done
	wait $jobs || true
	[ "$("$P" run --rm busybox echo hi)" = hi ]
	none_left() { [ -z "$("$P" ps -aq)" ]; }
	eventually none_left
	# An exit of something that never ran would try to remove it once more.
	run ! grep "container not removed" "$ROOT/proad.log"
}

@test "run -i: stdin flows and its end arrives" {
	[ "$(printf 'a\nb\n' | "$P" run -i --rm busybox wc -l | tr -d ' ')" = 2 ]
	head -c 300000 /dev/zero | "$P" run -i --rm busybox cat | wc -c | grep -qx 300000
}

@test "run -d, ps, logs, inspect, stop, rm" {
	id=$("$P" run -d --name "$NAME" -l a=b busybox sh -c 'echo one; sleep 100')
	[ ${#id} = 64 ]
	[[ "$("$P" ps --format '{{.Names}} {{.State}} {{.Label "a"}}' -f name="$NAME")" == "$NAME running b" ]]
	for _ in $(seq 600); do [ "$("$P" logs "$NAME")" = one ] && break; sleep 0.05; done
	[ "$("$P" logs "$NAME")" = one ]
	[ "$("$P" inspect -f '{{.State.Status}} {{.Config.Labels.a}}' "$NAME")" = "running b" ]
	run "$P" rm "$NAME"
	[ "$status" = 1 ]
	[[ "$output" == *"You cannot remove a running container"* || "$output" == *"cannot remove container"* ]]
	[ "$("$P" stop -t 0 "$NAME")" = "$NAME" ]
	[ "$("$P" wait "$NAME")" = 137 ]
	[ "$("$P" rm "$NAME")" = "$NAME" ]
	run "$P" inspect "$NAME"
	[ "$status" = 1 ]
	[ "${lines[0]}" = "[]" ]
	[ "${lines[1]}" = "Error: No such object: $NAME" ]
}

@test "exec: exit codes, environment, stdin" {
	"$P" run -d --name "$NAME" busybox sleep 100
	run "$P" exec "$NAME" sh -c 'exit 3'
	[ "$status" = 3 ]
	[ "$("$P" exec -e X=1 -w /tmp "$NAME" sh -c 'echo $X; pwd' | tr '\n' ' ')" = "1 /tmp " ]
	[ "$(echo data | "$P" exec -i "$NAME" cat)" = data ]
	run "$P" exec "$NAME" nosuch
	[ "$status" = 126 ] || [ "$status" = 127 ]
}

@test "cidfile, env files, entrypoint, user, hostname" {
	echo 'FROM_FILE=1' >"$ROOT/env"
	[ "$("$P" run --rm --cidfile "$ROOT/cid-$NAME" --env-file "$ROOT/env" -e B=2 --entrypoint sh -u 5:6 -h box busybox \
		-c 'echo $FROM_FILE $B $(id -u) $(id -g) $(hostname)')" = "1 2 5 6 box" ]
	[ "$(wc -c <"$ROOT/cid-$NAME")" = 64 ]
	run "$P" run --rm --cidfile "$ROOT/cid-$NAME" busybox true
	[ "$status" = 125 ]
	[[ "$output" == *"container ID file found"* ]]
}

@test "signals are passed on" {
	"$P" run --name "$NAME" busybox sh -c 'trap "exit 9" TERM; echo ready; while :; do sleep 0.05; done' >"$ROOT/out-$NAME" 3>&- &
	pid=$!
	for _ in $(seq 600); do grep -q ready "$ROOT/out-$NAME" && break; sleep 0.05; done
	kill -TERM $pid
	wait $pid || status=$?
	[ "$status" = 9 ]
}

@test "cp in both directions" {
	"$P" run -d --name "$NAME" busybox sleep 100
	mkdir -p "$ROOT/cp/src/sub" && echo 1 >"$ROOT/cp/src/a" && echo 2 >"$ROOT/cp/src/sub/b"
	"$P" cp "$ROOT/cp/src" "$NAME:/data"
	[ "$("$P" exec "$NAME" cat /data/sub/b)" = 2 ]
	"$P" cp "$NAME:/data" "$ROOT/cp/back"
	diff -r "$ROOT/cp/src" "$ROOT/cp/back"
	"$P" cp "$NAME:/data/a" - | tar -xO a | grep -qx 1
	run "$P" cp "$NAME:/nosuch" "$ROOT/cp"
	[ "$status" = 1 ]
	[[ "$output" == *"Could not find the file /nosuch in container"* ]]
}

@test "build: directory, stdin, target, arguments, failures" {
	mkdir -p "$ROOT/ctx"
	printf 'FROM busybox AS one\nARG V=1\nRUN echo $V >/v\nFROM one\nCOPY . /app/\nCMD ["cat","/v"]\n' >"$ROOT/ctx/Dockerfile"
	echo ignored >"$ROOT/ctx/.dockerignore" && echo x >"$ROOT/ctx/ignored" && echo y >"$ROOT/ctx/kept"
	"$P" build --build-arg V=5 -t built:1 --iidfile "$ROOT/iid" "$ROOT/ctx"
	[ "$("$P" run --rm built:1)" = 5 ]
	[ "$("$P" run --rm built:1 ls /app | tr '\n' ' ')" = "Dockerfile kept " ]
	[[ "$(cat "$ROOT/iid")" == sha256:* ]]
	[[ "$(echo 'FROM busybox' | "$P" build -q -)" == sha256:* ]]
	[[ "$("$P" build -q -f - "$ROOT/ctx" <"$ROOT/ctx/Dockerfile")" == sha256:* ]]
	run "$P" build - <<<'FROM busybox
RUN exit 7'
	[ "$status" = 7 ]
	[[ "$output" == *"returned a non-zero code: 7"* ]]
	run "$P" build "$ROOT/nosuch"
	[ "$status" = 1 ]
	[[ "$output" == *"unable to prepare context: path \"$ROOT/nosuch\" not found"* ]]
}

@test "images: tag, history, save, load, rmi" {
	"$P" tag busybox "$NAME:v1"
	[ "$("$P" images --format '{{.Repository}}:{{.Tag}}' "$NAME")" = "$NAME:v1" ]
	"$P" save -o "$ROOT/$NAME.tar" "$NAME:v1"
	[[ "$("$P" rmi "$NAME:v1")" == "Untagged: $NAME:v1"* ]]
	[ "$("$P" load -i "$ROOT/$NAME.tar")" = "Loaded image: $NAME:v1" ]
	[[ "$("$P" history "$NAME:v1")" == "IMAGE "*"CREATED BY"* ]]
	"$P" rmi "$NAME:v1"
}

@test "networks and volumes" {
	# A subnet of its own: the defaults may be taken by other engines of this machine.
	"$P" network create --subnet "10.$((RANDOM % 200 + 10)).$((RANDOM % 250)).0/24" "$NAME"
	"$P" volume create "$NAME"
	"$P" run --rm --network "$NAME" -v "$NAME:/v" busybox sh -c 'echo kept >/v/f'
	[ "$("$P" run --rm --mount "src=$NAME,dst=/v,ro" busybox cat /v/f)" = kept ]
	[ "$("$P" volume rm "$NAME")" = "$NAME" ]
	[ "$("$P" network rm "$NAME")" = "$NAME" ]
	run "$P" volume rm "$NAME"
	[ "$status" = 1 ]
	[[ "$output" == *"no such volume"* ]]
}

@test "a terminal: size, detach keys, attach again" {
	command -v python3 >/dev/null || skip "needs python3"
	run timeout 60 python3 - "$P" "$NAME" <<'PY'
import fcntl, os, pty, re, select, struct, sys, termios, time
proa, name = sys.argv[1:]
def session(words, steps):
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(proa, [proa] + words)
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', 33, 99, 0, 0))
    out = b''
    def read_until(pattern, seconds=20):
        nonlocal out
        end = time.time() + seconds
        while time.time() < end and not (pattern and re.search(pattern, out)):
            if select.select([fd], [], [], 0.1)[0]:
                try: more = os.read(fd, 4096)
                except OSError: break
                if not more: break
                out += more
    for wait, send in steps:
        read_until(wait)
        out = b''
        os.write(fd, send)
    read_until(None)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), out
code, out = session(['run', '-it', '--name', name, 'busybox', 'sh'], [(rb'[#$] ', b'sleep 0.3; stty size\r'), (rb'33 99', b'\x10\x11')])
assert code == 0, (code, out)
code, out = session(['attach', name], [(rb'[#$] ', b'exit 4\r')])
assert code == 4, (code, out)
PY
	[ "$status" = 0 ] || { echo "$output"; return 1; }
}

@test "events tell what happened; df counts; stats shows" {
	"$P" run -d --name "$NAME" busybox sleep 100
	"$P" events --since 1m --until 0s --filter "container=$NAME" --format '{{.Action}}' | grep -qx start
	[[ "$("$P" system df --format '{{.Type}} {{.Active}}')" == *"Containers 1"* ]]
	[[ "$("$P" stats --no-stream --format '{{.Name}} {{.PIDs}}' "$NAME")" == "$NAME 1" ]]
	[[ "$("$P" top "$NAME" -o pid,args)" == *"sleep 100"* ]]
}

@test "rm -f of many: each at once, told in the order of the words, what is not there too" {
	"$P" create --name "$NAME" busybox true
	"$P" create --name "$NAME-2" busybox true
	run "$P" rm -f "$NAME" nosuch "$NAME-2"
	[ "$status" = 0 ]
	[ "$output" = "$NAME
Error response from daemon: No such container: nosuch
$NAME-2" ]
}
