#!/usr/bin/env bats
# The engine dies, containers do not.

bats_require_minimum_version 1.5.0
load ../lib/engine

FLAGS=(--add-runtime "cut=$BATS_FILE_TMPDIR/cut" --add-runtime "late=$BATS_FILE_TMPDIR/late" --default-runtime proa)
setup_file() {
	engine_setup "${FLAGS[@]}"
	[ "$(id -u)" = 0 ] || return 0
	busybox_image bb:1
}
teardown_file() { engine_teardown; }
setup() {
	need_root
	need_docker
}
d() { timeout -k 1 60 docker "$@"; }
engine_again() { engine_start "${FLAGS[@]}"; }
run_it() { d run --network none "$@"; }
die() {
	kill -9 "$(cat "$ROOT/test.pid")"
	while kill -0 "$(cat "$ROOT/test.pid")" 2>/dev/null; do sleep 0.02; done
	rm -f "$SOCK"
}
# shims_are FIRST N: so many shims have a task directory whose name begins so.
shims_are() { [ "$(pgrep -f -- "shim --dir $ROOT/run/tasks/$1" | wc -l)" = "$2" ]; }
nothing_left() { [ -z "$(ls "$ROOT/run/tasks" "$ROOT/data/containers" | grep -v :)" ]; }
# A connection waits to be accepted by an engine that has been stopped.
is_asked() { [ "$(ss -Hlx src "$SOCK" | awk '{ print $3 }')" = 1 ]; }

@test "containers, logs, exec sessions and exit codes outlive kill -9" {
	run_it -d --name lives bb:1 sh -c 'i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done'
	run_it -d --name ends bb:1 sh -c 'while [ ! -e /end ]; do sleep 0.05; done; exit 9'
	pid=$(d inspect -f '{{.State.Pid}}' lives)
	ending=$(d inspect -f '{{.State.Pid}}' ends)
	d exec lives sh -c 'echo begun; while [ ! -e /go ]; do sleep 0.05; done; echo survived; exit 6' \
		>"$ROOT/exec" 2>/dev/null &
	session=$!
	eventually grep -q begun "$ROOT/exec"
	die
	touch "/proc/$ending/root/end"
	while kill -0 "$ending" 2>/dev/null; do sleep 0.02; done
	# Shims that wait for a container end with the engine; those that have one go on.
	eventually shims_are '-' 0
	eventually shims_are '[0-9a-f]' 1
	engine_again
	touch "/proc/$pid/root/go"
	code=0
	wait "$session" || code=$?
	[ "$code" = 6 ]
	[ "$(tail -1 "$ROOT/exec")" = survived ]
	[ "$(d inspect -f '{{.State.Pid}} {{.State.Status}}' lives)" = "$pid running" ]
	[ "$(d inspect -f '{{.State.Status}} {{.State.ExitCode}}' ends)" = "exited 9" ]
	[ "$(d logs lives | sort -n | uniq -c | awk '$1 != 1' | wc -l)" = 0 ]
	[ "$(d exec lives echo again)" = again ]
	d stop -t 0 lives
	[ "$(d inspect -f '{{.State.ExitCode}}' lives)" = 137 ]
	d rm lives ends
}

@test "the code of an exec that ended while the engine hung and then died is known to the next" {
	run_it -d --name hung bb:1 sleep 1000
	api() { curl -sf --unix-socket "$SOCK" -H 'Content-Type: application/json' "$@"; }
	exec=$(api http://x/containers/hung/exec -d '{"Cmd":["sh","-c","while [ ! -e /go ]; do sleep 0.05; done; exit 6"]}' | jq -r .Id)
	api "http://x/exec/$exec/start" -d '{"Detach":true}'
	pid=$(api "http://x/exec/$exec/json" | jq .Pid)
	[ "$pid" -gt 0 ]
	kill -STOP "$(cat "$ROOT/test.pid")"
	touch "/proc/$pid/root/go"
	while kill -0 "$pid" 2>/dev/null; do sleep 0.02; done
	die
	engine_again
	is_known() { [ "$(api "http://x/exec/$exec/json" | jq -c '[.Running, .ExitCode]')" = '[false,6]' ]; }
	eventually is_known
	d rm -f hung
}

@test "rm of a container that is just being started refuses what runs then, rm -f ends it" {
	# A runtime that starts the container when it is let.
	printf '#!/bin/sh\ncase " $* " in *" run "*) while [ ! -e %s/let ]; do sleep 0.05; done ;; esac\nexec %s "$@"\n' \
		"$ROOT" "$(realpath "$PROA_BUILD/proa-runtime")" >"$ROOT/slow"
	chmod 755 "$ROOT/slow"
	engine_stop
	engine_start "${FLAGS[@]}" --add-runtime "slow=$ROOT/slow"
	local id rm start removal
	id=$(d create --network none --runtime slow --name slow bb:1 sleep 1000)
	for rm in "rm slow" "rm -f slow"; do
		rm -f "$ROOT/let"
		d start slow 3>&- &
		start=$!
		eventually [ -d "$ROOT/run/tasks/$id" ]
		d $rm >"$ROOT/said" 2>&1 3>&- &
		removal=$!
		sleep 0.5
		touch "$ROOT/let"
		wait "$start" || true
		wait "$removal" || true
		[ "$rm" != "rm slow" ] || {
			grep -q "cannot remove a running container" "$ROOT/said"
			[ "$(d inspect -f '{{.State.Status}}' slow)" = running ]
			d stop -t 0 slow
		}
	done
	[ -z "$(d ps -aq --filter name=slow)" ]
	run ! pgrep -f -- "shim --dir $ROOT/run/tasks/$id"
	engine_stop
	engine_again
}

@test "a start whose partner's PID namespace goes meanwhile says so, whether the partner is removed or runs anew" {
	printf '#!/bin/sh\ncase " $* " in *" run "*) touch %s/asked; while [ ! -e %s/let ]; do sleep 0.05; done ;; esac\nexec %s "$@"\n' \
		"$ROOT" "$ROOT" "$(realpath "$PROA_BUILD/proa-runtime")" >"$ROOT/slow"
	chmod 755 "$ROOT/slow"
	engine_stop
	engine_start "${FLAGS[@]}" --add-runtime "slow=$ROOT/slow"
	for end in "restart -t 0" "rm -f"; do
		rm -f "$ROOT/let" "$ROOT/asked"
		run_it -d --name lends bb:1 sleep 1000
		d create --network none --runtime slow --name joins --pid container:lends bb:1 sleep 1000
		d start joins >"$ROOT/said" 2>&1 3>&- &
		start=$!
		eventually [ -e "$ROOT/asked" ]
		# shellcheck disable=SC2086 # words
		d $end lends
		touch "$ROOT/let"
		code=0
		wait "$start" || code=$?
		[ "$code" = 1 ]
		grep -q "cannot join pid of a non running container: " "$ROOT/said" || { cat "$ROOT/said"; false; }
		d rm -f joins lends
	done
	engine_stop
	engine_again
}

@test "cp out of a container that is just being started leaves its root alone" {
	printf '#!/bin/sh\ncase " $* " in *" run "*) touch %s/asked; while [ ! -e %s/let ]; do sleep 0.05; done ;; esac\nexec %s "$@"\n' \
		"$ROOT" "$ROOT" "$(realpath "$PROA_BUILD/proa-runtime")" >"$ROOT/slow"
	chmod 755 "$ROOT/slow"
	engine_stop
	engine_start "${FLAGS[@]}" --add-runtime "slow=$ROOT/slow"
	for i in 1 2 3; do
		rm -f "$ROOT/let" "$ROOT/asked"
		d create --network none --runtime slow --name slow bb:1 sleep 1000
		d start slow 3>&- &
		start=$!
		eventually [ -e "$ROOT/asked" ]
		# Its root is mounted. A second mount for writing would empty the work directory below it.
		d cp slow:/etc/passwd - | tar -t | grep -q passwd
		touch "$ROOT/let"
		wait "$start"
		d exec slow sh -c 'echo works >/etc/new'
		[ "$(d exec slow cat /etc/new)" = works ]
		d rm -f slow
	done
	engine_stop
	engine_again
}

@test "a pause waits for the exec that is just being started" {
	printf '#!/bin/sh\ncase " $* " in *" exec "*) touch %s/asked; while [ ! -e %s/let ]; do sleep 0.05; done ;; esac\nexec %s "$@"\n' \
		"$ROOT" "$ROOT" "$(realpath "$PROA_BUILD/proa-runtime")" >"$ROOT/slow"
	chmod 755 "$ROOT/slow"
	rm -f "$ROOT/let" "$ROOT/asked"
	engine_stop
	engine_start "${FLAGS[@]}" --add-runtime "slow=$ROOT/slow"
	run_it -d --runtime slow --name slow bb:1 sleep 1000
	d exec -d slow sleep 1000 3>&- &
	exec=$!
	eventually [ -e "$ROOT/asked" ]
	d pause slow 3>&- &
	pause=$!
	sleep 0.5
	paused=$(d inspect -f '{{.State.Paused}}' slow)
	touch "$ROOT/let"
	[ "$paused" = false ]
	wait "$exec" "$pause"
	[ "$(d inspect -f '{{.State.Paused}}' slow)" = true ]
	d rm -f slow
	engine_stop
	engine_again
}

# put_slowly NAME: a tar with "written" into /tmp of the container, as far as somebody writes to $ROOT/fifo.
put_slowly() {
	rm -f "$ROOT/fifo"
	mkfifo "$ROOT/fifo"
	curl -s -o "$ROOT/put" -w '%{http_code}' --max-time 30 --unix-socket "$SOCK" -X PUT -H 'Content-Type: application/x-tar' \
		-T "$ROOT/fifo" "http://x/containers/$1/archive?path=/tmp" >"$ROOT/put.code" 3>&- &
	put=$!
	exec 7>"$ROOT/fifo"
	head -c 512 "$ROOT/one.tar" >&7
}
overlays() { [ "$(ls -l "/proc/$(cat "$ROOT/test.pid")/fd" | grep -c -- '-> /$')" -gt "$1" ]; }

@test "a start waits for the copy into the container's root, a removal does not" {
	mkdir -p "$ROOT/copy"
	echo text >"$ROOT/copy/written"
	tar -C "$ROOT/copy" -cf "$ROOT/one.tar" written
	run_it -d --name filled bb:1 sleep 1000
	d stop -t 0 filled
	before=$(ls -l "/proc/$(cat "$ROOT/test.pid")/fd" | grep -c -- '-> /$' || true)
	put_slowly filled
	eventually overlays "$before"
	d start filled 3>&- 7>&- &
	start=$!
	sleep 0.5
	[ "$(d inspect -f '{{.State.Running}}' filled)" = false ]
	tail -c +513 "$ROOT/one.tar" >&7
	exec 7>&-
	wait "$put" "$start"
	[ "$(cat "$ROOT/put.code")" = 200 ]
	[ "$(d exec filled cat /tmp/written)" = text ]
	d stop -t 0 filled
	before=$(ls -l "/proc/$(cat "$ROOT/test.pid")/fd" | grep -c -- '-> /$' || true)
	put_slowly filled
	eventually overlays "$before"
	d rm -f filled
	tail -c +513 "$ROOT/one.tar" >&7
	exec 7>&-
	wait "$put"
	[ "$(cat "$ROOT/put.code")" = 404 ] || { cat "$ROOT/put.code" "$ROOT/put"; false; }
	eventually nothing_left
	[ "$(ls "$ROOT/data/snapshots" | grep -c '^[0-9]')" = 1 ] # the image's layer
}

@test "restart policies hold when everything has died" {
	run_it -d --name always --restart always bb:1 sleep 100
	run_it -d --name stopped --restart unless-stopped bb:1 sleep 100
	run_it -d --name once bb:1 sleep 100
	run_it -d --name removed --rm bb:1 sleep 100
	d stop -t 0 stopped
	pids=$(d inspect -f '{{.State.Pid}}' always once removed)
	die
	kill -9 $pids
	eventually shims_are '[0-9a-f]' 0
	engine_again
	runs_again() { [ "$(d inspect -f '{{.State.Status}}' always)" = running ]; }
	eventually runs_again
	[ "$(d inspect -f '{{.State.Status}}' stopped)" = exited ]
	[ "$(d inspect -f '{{.State.Status}}' once)" = exited ]
	[ -z "$(d ps -aq --filter name=removed)" ]
	d rm -f always stopped once
	eventually nothing_left
}

@test "a shim that dies between the exit of its container and the removal of the rest leaves nothing" {
	# A runtime whose first delete ends the shim that calls it instead.
	cat >"$BATS_FILE_TMPDIR/cut" <<-END
		#!/bin/sh
		case "\$*" in *" delete "*)
			mkdir "$BATS_FILE_TMPDIR/cut.once" && kill -KILL \$PPID && exit 1 ;;
		esac
		exec $(realpath "$PROA_BUILD/proa-runtime") "\$@"
	END
	chmod +x "$BATS_FILE_TMPDIR/cut"
	run_it -d --name cut --runtime cut bb:1 sh -c 'while [ ! -e /end ]; do sleep 0.05; done; exit 7'
	id=$(d inspect -f '{{.Id}}' cut)
	find "$ROOT/run" /sys/fs/cgroup -maxdepth 4 -name "$id" | grep -q .
	d exec cut touch /end
	[ "$(d wait cut)" = 7 ]
	eventually [ -d "$BATS_FILE_TMPDIR/cut.once" ]
	eventually not_there "$id"
	d rm cut
}
not_there() { ! find "$ROOT/run" /sys/fs/cgroup -maxdepth 4 -name "$1" 2>/dev/null | grep -q .; }

@test "a runtime does not outlive its shim: no container is made after it was deleted" {
	# A runtime that has not begun when its shim dies and the engine deletes what there is.
	mkfifo "$BATS_FILE_TMPDIR/never"
	cat >"$BATS_FILE_TMPDIR/late" <<-END
		#!/bin/bash
		[[ "\$*" != *" run "* ]] || {
			echo \$\$ >"$BATS_FILE_TMPDIR/late.pid"
			kill -KILL \$PPID
			read -rt 2 <>"$BATS_FILE_TMPDIR/never"
			touch "$BATS_FILE_TMPDIR/late.went.on"
		}
		exec $(realpath "$PROA_BUILD/proa-runtime") "\$@"
	END
	chmod +x "$BATS_FILE_TMPDIR/late"
	id=$(d create --name late --network none --runtime late bb:1 sleep 1000)
	run d start late
	[ "$status" = 1 ]
	eventually is_gone "$(cat "$BATS_FILE_TMPDIR/late.pid")"
	[ ! -e "$BATS_FILE_TMPDIR/late.went.on" ]
	eventually not_there "$id"
	d rm -f late
	not_there "$id"
}
is_gone() { ! kill -0 "$1" 2>/dev/null; }

# state NAME: what inspect says of it.
state() { d inspect -f '{{.State.Status}} {{.State.Pid}} {{.State.Error}}' "$1"; }
shim_of() { awk '/^PPid/ { print $2 }' "/proc/$(d inspect -f '{{.State.Pid}}' "$1")/status"; }
# is_state NAME WORDS
is_state() { [ "$(state "$1")" = "$2" ]; }
# refuses_soon DOCKER WORDS: it fails within 9 s, for the shim.
refuses_soon() {
	local begun=$SECONDS
	run d "$@"
	[ "$status" != 0 ] && [[ "$output" == *"the shim does not answer"* ]] && [ $((SECONDS - begun)) -lt 9 ] ||
		{ echo "$*: $status after $((SECONDS - begun)) s: $output"; false; }
}

@test "a shim that does not answer holds nobody up, and its container is right again when it does" {
	for name in one silent two; do run_it -d --restart always --name "$name" bb:1 sleep 1000; done
	pid=$(d inspect -f '{{.State.Pid}}' silent)
	shim=$(shim_of silent)
	kill -STOP "$shim"
	die
	begun=$SECONDS
	engine_again
	took=$((SECONDS - begun))
	[ "$took" -lt 10 ] || { echo "$took s"; false; }
	for name in one two; do [ "$(d exec "$name" echo works)" = works ]; done
	is_state silent "running $pid the shim does not answer" || { state silent; false; }
	kill -0 "$pid"
	d ps --format '{{.Names}} {{.Status}}' | grep -q '^silent Up'
	refuses_soon kill silent
	refuses_soon stop silent
	refuses_soon restart silent
	refuses_soon exec silent true
	refuses_soon rm -f silent
	run d rm silent
	[[ "$output" == *"cannot remove a running container"* ]]
	# Neither its end nor another start of the engine waits.
	begun=$SECONDS
	engine_stop
	engine_again
	[ $((SECONDS - begun)) -lt 15 ]
	is_state silent "running $pid the shim does not answer"
	kill -CONT "$shim"
	eventually is_state silent "running $pid "
	# What was refused is not done later.
	[ "$(d exec silent echo works)" = works ]
	is_state silent "running $pid "
	[ "$(d inspect -f '{{.RestartCount}}' silent)" = 0 ]
	# Nor does the policy think that a person had stopped it.
	kill -9 "$pid"
	restarted() { [ "$(d inspect -f '{{.State.Status}} {{.RestartCount}}' silent)" = "running 1" ]; }
	eventually restarted
	d rm -f one silent two
	eventually nothing_left
}

@test "the end of a container whose shim does not answer is learnt when it does, or when it dies" {
	run_it -d --name ends bb:1 sh -c 'while [ ! -e /end ]; do sleep 0.05; done; exit 7'
	run_it -d --name lost bb:1 sleep 1000
	run_it -d --rm --name goes bb:1 sh -c 'while [ ! -e /end ]; do sleep 0.05; done'
	shims=$(for name in ends lost goes; do shim_of "$name"; done)
	ending=$(d inspect -f '{{.State.Pid}}' ends)
	going=$(d inspect -f '{{.State.Pid}}' goes)
	lost=$(d inspect -f '{{.State.Pid}}' lost)
	# shellcheck disable=SC2086 # three pids
	kill -STOP $shims
	touch "/proc/$ending/root/end" "/proc/$going/root/end"
	die
	engine_again
	[ "$(d inspect -f '{{.State.Status}}' ends lost goes | xargs)" = "running running running" ]
	# shellcheck disable=SC2086
	set -- $shims
	kill -CONT "$1" "$3"
	kill -KILL "$2"
	ended() { [ "$(d inspect -f '{{.State.Status}} {{.State.ExitCode}}{{.State.Error}}' "$1")" = "exited $2" ]; }
	eventually ended ends 7
	eventually ended lost 137
	eventually is_gone "$lost"
	[ "$(d wait ends)" = 7 ]
	removed() { [ -z "$(d ps -aq --filter name=goes)" ]; }
	eventually removed
	d start ends
	d rm -f ends lost
	eventually nothing_left
}

@test "a shim that is stopped while the engine runs is reported soon, and does nothing of it later" {
	run_it -d --restart always --name stopped bb:1 sleep 1000
	pid=$(d inspect -f '{{.State.Pid}}' stopped)
	shim=$(shim_of stopped)
	kill -STOP "$shim"
	begun=$SECONDS
	run d kill stopped
	[ "$status" = 1 ] && [[ "$output" == *"the shim does not answer"* ]] || { echo "$output"; false; }
	[ $((SECONDS - begun)) -lt 20 ]
	kill -CONT "$shim"
	[ "$(d exec stopped echo works)" = works ]
	is_state stopped "running $pid "
	d rm -f stopped
}

@test "a container that is being started while the engine dies is known by its pid, or not at all" {
	# A runtime that starts the container when it is let, or fails.
	printf '#!/bin/sh\ncase " $* " in *" run "*) touch %s/asked; while [ ! -e %s/let ]; do sleep 0.05; done; [ ! -s %s/let ] || exit 1 ;; esac\nexec %s "$@"\n' \
		"$ROOT" "$ROOT" "$ROOT" "$(realpath "$PROA_BUILD/proa-runtime")" >"$ROOT/slow"
	chmod 755 "$ROOT/slow"
	engine_stop
	engine_start "${FLAGS[@]}" --add-runtime "slow=$ROOT/slow"
	for fails in "" yes; do
		rm -f "$ROOT/let" "$ROOT/asked"
		id=$(d create --network none --runtime slow --name slow bb:1 sleep 1000)
		d start slow >/dev/null 2>&1 3>&- &
		eventually [ -e "$ROOT/asked" ]
		die
		engine_start "${FLAGS[@]}" --add-runtime "slow=$ROOT/slow"
		printf %s "$fails" >"$ROOT/let"
		if [ -z "$fails" ]; then
			eventually has_pid slow
			[[ "$(d inspect -f '{{.State.StartedAt}}' slow)" != 0001-* ]]
			[ "$(d exec slow echo works)" = works ]
			die
			engine_start "${FLAGS[@]}" --add-runtime "slow=$ROOT/slow"
			has_pid slow
			d top slow | grep -q sleep
		else
			ended_badly() { [ "$(d inspect -f '{{.State.Running}}' slow)" = false ]; }
			eventually ended_badly
			eventually not_there "$id"
		fi
		d rm -f slow
		eventually nothing_left
	done
	engine_stop
	engine_again
}
has_pid() { [ -n "$(d inspect -f '{{.State.Pid}}' "$1" | grep -v '^0$')" ]; }

@test "mounts for a container that ends while the engine is dead are given back by the next one" {
	run_it -d --name lends --ipc shareable bb:1 sleep 100
	run_it -d --name borrows --pid container:lends --ipc container:lends bb:1 sleep 100
	grep -q "$ROOT/run/subpaths/" /proc/self/mounts
	grep -q "$ROOT/run/shm/" /proc/self/mounts
	pid=$(d inspect -f '{{.State.Pid}}' lends)
	die
	kill -KILL "$pid"
	while kill -0 "$pid" 2>/dev/null; do sleep 0.02; done
	engine_again
	[ "$(d inspect -f '{{.State.Running}}' lends borrows | xargs)" = "false false" ]
	run ! grep -e "$ROOT/run/subpaths/" -e "$ROOT/run/shm/" /proc/self/mounts
	d rm lends borrows
}

@test "kill -9 in the middle of runs leaves nothing half-made" {
	for i in 1 2 3; do
		runs=
		for k in 1 2 3 4; do
			run_it --rm bb:1 true >/dev/null 2>&1 &
			runs="$runs $!"
		done
		sleep 0.0$((RANDOM % 9))
		die
		wait $runs || true
		engine_again
	done
	none_runs() { [ -z "$(d ps -q)" ]; }
	eventually none_runs
	d container prune -f >/dev/null
	eventually nothing_left
	[ "$(run_it --rm bb:1 echo fine)" = fine ]
}

@test "update of a container that ends in this moment is one of a container that has ended" {
	engine=$(cat "$ROOT/test.pid")
	for i in 1 2 3 4 5; do
		run_it -d --name ending bb:1 sleep 1000
		pid=$(d inspect -f '{{.State.Pid}}' ending)
		kill -STOP "$engine"
		kill -9 "$pid"
		while kill -0 "$pid" 2>/dev/null; do sleep 0.02; done
		curl -s --max-time 10 --unix-socket "$SOCK" -X POST -H 'Content-Type: application/json' -o "$ROOT/said" -w '%{http_code}' \
			-d "{\"Memory\":67108864,\"MemorySwap\":67108864}" http://x/containers/ending/update >"$ROOT/code" 3>&- &
		asked=$!
		eventually is_asked
		kill -CONT "$engine"
		wait "$asked"
		[ "$(cat "$ROOT/code")" = 200 ] || { cat "$ROOT/said"; false; }
		[ "$(d inspect -f '{{.HostConfig.Memory}}' ending)" = 67108864 ]
		d rm -f ending
	done
}

@test "an init that has ended and is not reaped shows no process and changes no group of the host" {
	run_it -d --name zombie bb:1 sleep 1000
	pid=$(d inspect -f '{{.State.Pid}}' zombie)
	shim=$(awk '/^PPid/ { print $2 }' "/proc/$pid/status")
	api() { curl -s --max-time 20 --unix-socket "$SOCK" -o "$ROOT/said" -w '%{http_code}' "$@"; }
	kill -STOP "$shim"
	kill -9 "$pid"
	is_zombie() { grep -q '^State:.*Z' "/proc/$pid/status"; }
	eventually is_zombie
	# The kernel says now that it is in the root of the cgroups (v1), with all that the machine has.
	top=$(api http://x/containers/zombie/top)
	cat "$ROOT/said"
	update=$(api -X POST -H 'Content-Type: application/json' -d '{"PidsLimit":100}' http://x/containers/zombie/update)
	cat "$ROOT/said"
	run run_it --rm --pid container:zombie bb:1 true
	kill -CONT "$shim"
	[[ "$output" == *"cannot join pid of a non running container: "* ]] || { echo "$output"; false; }
	[ "$top $update" = "409 200" ]
	d rm -f zombie
}

# take_pid PID: a process of the host that has it, in $taken; its parent in $holder
take_pid() {
	: >"$ROOT/took"
	python3 "$BATS_TEST_DIRNAME/../lib/take_pid.py" "$1" >"$ROOT/took" 3>&- &
	holder=$!
	eventually test -s "$ROOT/took"
	taken=$(cat "$ROOT/took")
	[ "$taken" = "$1" ] || {
		kill -CONT "$engine"
		skip "another process of this machine has the pid $1"
	}
}
end_taken() {
	kill "$taken" || true
	wait "$holder" || true
}

@test "pause, update and kill of a container that ends in this moment leave a process of the host with its pid alone" {
	engine=$(cat "$ROOT/test.pid")
	groups=()
	for g in /sys/fs/cgroup /sys/fs/cgroup/freezer /sys/fs/cgroup/memory; do
		[ ! -e "$g/cgroup.procs" ] || groups+=("$g/${ROOT##*/}-taken")
	done
	for op in pause update kill stop?t=0; do
		run_it -d --name one bb:1 sleep 1000
		pid=$(d inspect -f '{{.State.Pid}}' one)
		kill -STOP "$engine"
		kill -9 "$pid"
		while kill -0 "$pid" 2>/dev/null; do sleep 0.02; done
		take_pid "$pid"
		# Of its own, so that a failure of this test stops nobody else.
		mkdir "${groups[@]}"
		for g in "${groups[@]}"; do echo "$taken" >"$g/cgroup.procs"; done
		# Several, so that one is before the news of the exit.
		asked=
		for _ in 1 2 3 4 5 6 7 8; do
			curl -s --max-time 10 --unix-socket "$SOCK" -X POST -H 'Content-Type: application/json' \
				-d '{"Memory":67108864,"MemorySwap":67108864}' "http://x/containers/one/$op" >/dev/null 3>&- &
			asked="$asked $!"
		done
		sleep 0.3
		kill -CONT "$engine"
		# shellcheck disable=SC2086 # words
		wait $asked || true
		state=$(cut -d' ' -f3 "/proc/$taken/stat" || true)
		limit=$(cat "${groups[@]/%//memory.limit_in_bytes}" "${groups[@]/%//memory.max}" 2>/dev/null | sort -u)
		frozen=$(cat "${groups[@]/%//freezer.state}" 2>/dev/null || true)
		for g in "${groups[@]}"; do [ ! -e "$g/freezer.state" ] || echo THAWED >"$g/freezer.state"; done
		end_taken
		rmdir "${groups[@]}"
		d rm -f one
		[ "$state" = S ]
		[ "${frozen:-THAWED}" = THAWED ]
		[ "$limit" != 67108864 ]
	done
}

@test "cp of a container that ends in this moment reaches no process of the host that has its pid" {
	mkdir "$ROOT/host" "$ROOT/tar"
	touch "$ROOT/tar/written"
	tar -C "$ROOT/tar" -cf "$ROOT/one.tar" written
	run_it -d --name ending bb:1 sh -c "mkdir -p $ROOT/host; exec sleep 1000"
	for _ in $(seq 100); do
		d exec ending test -d "$ROOT/host" && break
	done
	pid=$(d inspect -f '{{.State.Pid}}' ending)
	engine=$(cat "$ROOT/test.pid")
	kill -STOP "$engine"
	kill -9 "$pid"
	while kill -0 "$pid" 2>/dev/null; do sleep 0.02; done
	take_pid "$pid"
	curl -s --max-time 10 --unix-socket "$SOCK" -X PUT -H 'Content-Type: application/x-tar' \
		--data-binary "@$ROOT/one.tar" "http://x/containers/ending/archive?path=$ROOT/host" >/dev/null 3>&- &
	put=$!
	eventually is_asked
	kill -CONT "$engine"
	wait "$put"
	end_taken
	[ ! -e "$ROOT/host/written" ]
	d cp ending:"$ROOT/host/written" - | tar -t | grep written
}
