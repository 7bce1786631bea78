#!/usr/bin/env bats
# A container's life through the stock docker CLI: run, stop, kill, restart, rm, and what is said.

bats_require_minimum_version 1.5.0
load ../lib/engine

setup_file() {
	engine_setup
	[ "$(id -u)" = 0 ] || return 0
	busybox_image bb:1
}
teardown_file() { engine_teardown; }
setup() {
	need_root
	need_docker
	export N="$BATS_TEST_NUMBER"
}
teardown() {
	run timeout -k 1 60 docker rm -f "c$N"
	[ "$status" = 0 ] || [[ "$output" == *"No such container"* ]]
}

d() { timeout -k 1 60 docker "$@"; }
run_it() { d run --network none "$@"; }
# The answer to --rm does not wait for the files; they go right behind it.
nothing_left() {
	[ -z "$(ls "$ROOT/run/tasks" "$ROOT/data/containers" | grep -v :)" ] && ! grep -qE " $ROOT/(data|run/tasks)/" /proc/self/mounts
}
none_is_there() {
	run d ps -a --no-trunc --format '{{.ID}} {{.Names}} {{.Status}} {{.Command}}'
	[ -z "$output" ] || { echo "$output"; return 1; }
}
says_up() { [ "$(d logs "$1")" = up ]; }
status_is() { [ "$(d inspect -f '{{.State.Status}}' "$1")" = "$2" ]; }

@test "run prints the output and leaves nothing with --rm" {
	run run_it --rm bb:1 echo hi
	[ "$status" = 0 ]
	[ "$output" = hi ]
	none_is_there
	eventually nothing_left
}

@test "a container of --rm survives a restart with its files, and goes with the stop" {
	run_it -d --rm --name "c$N" bb:1 sh -c 'echo run >>/kept; exec sleep 1000'
	eventually d exec "c$N" test -s /kept
	d restart -t 0 "c$N"
	two_lines() { [ "$(d exec "c$N" cat /kept)" = "$(printf 'run\nrun')" ]; }
	eventually two_lines
	d stop -t 0 "c$N"
	eventually_gone() { ! d container inspect "c$N" >/dev/null 2>&1; }
	eventually eventually_gone
	run_it --rm --name "c$N" bb:1 true
}

@test "exit codes are the process's, 127 for not found, 126 for not executable, 125 for the engine's no" {
	run run_it --rm bb:1 sh -c 'exit 7'
	[ "$status" = 7 ]
	run -127 run_it --rm bb:1 nosuch
	[ "$status" = 127 ]
	[[ "$output" == *'exec: "nosuch": executable file not found in $PATH'* ]]
	run run_it --rm bb:1 /etc
	[ "$status" = 126 ]
	run run_it --rm --restart always bb:1 true
	[ "$status" = 125 ]
	run run_it --rm bb:1 sh -c 'sh -c "kill -9 \$\$"; exit $?'
	[ "$status" = 137 ]
}

@test "a failed start of --rm leaves no container" {
	run -127 run_it --name "c$N" --rm bb:1 nosuch
	[ "$status" = 127 ]
	none_is_there
}

@test "a name is taken once, and again after rm" {
	run_it -d --name "c$N" bb:1 sleep 100
	run run_it -d --name "c$N" bb:1 sleep 100
	[ "$status" = 125 ]
	[[ "$output" == *"Conflict. The container name \"/c$N\" is already in use by container"* ]]
	d rm -f "c$N"
	run_it -d --name "c$N" bb:1 true
}

@test "start, stop, start, restart, kill: states, codes and second calls" {
	run_it -d --name "c$N" bb:1 sh -c 'trap "exit 4" TERM; echo up; while :; do sleep 0.1; done'
	status_is "c$N" running
	eventually says_up "c$N"
	d stop -t 5 "c$N"
	[ "$(d inspect -f '{{.State.ExitCode}}' "c$N")" = 4 ]
	d start "c$N"
	first=$(d inspect -f '{{.State.StartedAt}}' "c$N")
	d restart -t 0 "c$N"
	[ "$(d inspect -f '{{.State.StartedAt}}' "c$N")" != "$first" ]
	d kill "c$N"
	status_is "c$N" exited
	[ "$(d wait "c$N")" = 137 ]
	run d kill "c$N"
	[ "$status" = 1 ]
	[[ "$output" == *"Cannot kill container: c$N: Container "*" is not running"* ]]
}

@test "stop ends a process that ignores TERM after its time" {
	run_it -d --name "c$N" bb:1 sleep 1000
	d stop -t 1 "c$N"
	[ "$(d inspect -f '{{.State.ExitCode}}' "c$N")" = 137 ]
}

@test "a running container is removed with force only" {
	run_it -d --name "c$N" bb:1 sleep 100
	run d rm "c$N"
	[ "$status" = 1 ]
	[[ "$output" == *"You cannot remove a running container"* ]]
	d rm -f "c$N"
	run d container inspect "c$N"
	[ "$status" = 1 ]
}

@test "pause stops the clock of a container, unpause goes on" {
	run_it -d --name "c$N" bb:1 sh -c 'i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done'
	d pause "c$N"
	status_is "c$N" paused
	# What it said before has still to reach the log.
	stands_still() {
		a=$(d logs "c$N" | wc -l)
		sleep 0.3
		[ "$(d logs "c$N" | wc -l)" = "$a" ]
	}
	eventually stands_still
	run d pause "c$N"
	[[ "$output" == *"is already paused"* ]]
	run d exec "c$N" true
	[[ "$output" == *"is paused, unpause the container before exec"* ]]
	d unpause "c$N"
	goes_on() { [ "$(d logs "c$N" | wc -l)" -gt "$a" ]; }
	eventually goes_on
}

@test "rename keeps the container and frees the old name" {
	run_it -d --name "old$N" bb:1 sleep 100
	d rename "old$N" "c$N"
	run d inspect "old$N"
	[ "$status" = 1 ]
	run d rename "c$N" "c$N"
	[[ "$output" == *"Renaming a container with the same name as its current name"* ]]
	d create --name "old$N" --network none bb:1 true
	run d rename "c$N" "old$N"
	[[ "$output" == *"Error when allocating new name: Conflict. The container name \"/old$N\" is already in use"* ]]
	d rm "old$N"
}

@test "a rename that meets the removal leaves no name behind" {
	# Two connections, so that the second request is there while the first still writes.
	cat >"$ROOT/meet.py" <<-'END'
		import http.client, json, socket, sys, threading, time

		def ask(method, path, body=None):
		    c = http.client.HTTPConnection("x")
		    c.sock = socket.socket(socket.AF_UNIX)
		    c.sock.connect(sys.argv[1])
		    c.request(method, "/v1.47" + path, body and json.dumps(body), {"Content-Type": "application/json"})
		    r = c.getresponse()
		    return r.status, r.read()

		late = 0
		for i in range(100):
		    status, text = ask("POST", f"/containers/create?name=c{i}", {"Image": "bb:1", "HostConfig": {"NetworkMode": "none"}})
		    at = "/containers/" + json.loads(text)["Id"]
		    t = threading.Thread(target=ask, args=("DELETE", at))
		    t.start()
		    time.sleep(i % 10 / 5000)
		    status, text = ask("POST", f"{at}/rename?name=renamed{i}")
		    assert status in (204, 404), (status, text)
		    late += status == 404
		    t.join()
		    for name in f"c{i}", f"renamed{i}":
		        status, text = ask("GET", f"/containers/{name}/json")
		        assert status == 404, (i, name, status)
		print(late, "came too late")
	END
	python3 "$ROOT/meet.py" "$SOCK"
	none_is_there
}

@test "restart policies: on-failure counts, always comes back, a stop is final" {
	run_it -d --name "c$N" --restart on-failure:2 bb:1 sh -c 'exit 3'
	eventually status_is "c$N" exited
	[ "$(d inspect -f '{{.RestartCount}}' "c$N")" = 2 ]
	d rm "c$N"
	run_it -d --name "c$N" --restart always bb:1 sh -c 'sleep 0.2'
	came_back() { [ "$(d inspect -f '{{.RestartCount}}' "c$N")" -ge 1 ]; }
	eventually came_back
	d stop -t 0 "c$N"
	sleep 0.5
	status_is "c$N" exited
}

@test "a health check turns healthy and unhealthy, and can restart" {
	run_it -d --name "c$N" --health-cmd 'test -f /ok' --health-interval 200ms --health-retries 2 bb:1 sleep 100
	health_is() { [ "$(d inspect -f '{{.State.Health.Status}}' "c$N")" = "$1" ]; }
	eventually health_is unhealthy
	[[ "$(d ps --format '{{.Status}}' --filter name="c$N")" == *"(unhealthy)"* ]]
	d exec "c$N" touch /ok
	eventually health_is healthy
	[ "$(d inspect -f '{{len .State.Health.Log}}' "c$N")" -ge 1 ]
	d rm -f "c$N"
	run_it -d --name "c$N" --label proa.health-on-failure=restart --health-cmd false --health-interval 200ms \
		--health-retries 1 --stop-timeout 0 bb:1 sleep 100
	was_restarted() { [ "$(d inspect -f '{{.RestartCount}}' "c$N")" -ge 1 ]; }
	eventually was_restarted
}

@test "wait and ps see the end; filters find and refuse" {
	run_it -d --name "c$N" -l a=b bb:1 sh -c 'exit 5'
	[ "$(d wait "c$N")" = 5 ]
	id=$(d inspect -f '{{.Id}}' "c$N")
	[ "$(d ps -aq --no-trunc --filter label=a=b)" = "$id" ]
	[ "$(d ps -aq --no-trunc --filter exited=5)" = "$id" ]
	[ "$(d ps -aq --no-trunc --filter "name=^c$N\$")" = "$id" ]
	[ "$(d ps -aq --no-trunc --filter ancestor=bb:1 --filter status=exited)" = "$id" ]
	[ -z "$(d ps -aq --filter label=a=c)" ]
	run d ps --filter nosuch=1
	[ "$status" = 1 ]
	[ "$(d inspect -f '{{.State.ExitCode}}' "${id:0:6}")" = 5 ]
}

@test "events tell the life in docker's order" {
	since=$(date +%s.%N)
	run_it --name "c$N" bb:1 true
	d rm "c$N"
	got=$(d events --since "$since" --until "$(date +%s.%N)" --filter container="c$N" --filter type=container --format '{{.Action}}' | tr '\n' ' ')
	[ "$got" = "create attach start die destroy " ] || [ "$got" = "create start die destroy " ]
}

@test "who has heard of the end sees the container ended" {
	for _ in 1 2 3 4 5; do
		d create --name "c$N" bb:1 true
		run timeout -k 1 20 python3 - "$SOCK" "c$N" <<-'E'
			import http.client, json, socket, sys
			def connect():
			    c = http.client.HTTPConnection('x')
			    c.sock = socket.socket(socket.AF_UNIX)
			    c.sock.connect(sys.argv[1])
			    return c
			def call(method, path):
			    c = connect()
			    c.request(method, path)
			    return c.getresponse().read()
			events = connect()
			events.request('GET', '/events?filters=%7B%22event%22%3A%5B%22die%22%5D%7D')
			heard = events.getresponse()
			call('POST', f'/containers/{sys.argv[2]}/start')
			while json.loads(heard.readline())['Actor']['Attributes']['name'] != sys.argv[2]:
			    pass
			print(len(json.loads(call('GET', '/containers/json'))))
			print(json.loads(call('GET', f'/containers/{sys.argv[2]}/json'))['State']['Status'])
		E
		[ "$output" = "$(printf '0\nexited')" ]
		d rm "c$N"
	done
}

@test "prune removes what has stopped and refuses unknown filters" {
	run_it --name "c$N" bb:1 true
	run curl -s --unix-socket "$SOCK" -X POST 'http://x/containers/prune?filters=%7B%22nosuch%22:%5B%221%22%5D%7D'
	[[ "$output" == *"invalid filter 'nosuch'"* ]]
	d container prune -f | grep -q "Total reclaimed space: "
	[ -z "$(d ps -aq --filter name="c$N")" ]
}

# Every worker of the server has an eventfd, and how many there are follows the load.
fds_less_threads() {
	local p
	p=/proc/$(cat "$ROOT/test.pid")
	echo $(($(ls "$p/fd" | wc -l) - $(ls "$p/task" | wc -l)))
}

@test "40 containers come and go and leave nothing" {
	before=$(fds_less_threads)
	for i in $(seq 10); do
		for k in 1 2 3 4; do run_it --rm bb:1 true & done
		wait
	done
	none_is_there
	eventually nothing_left
	[ "$(fds_less_threads)" -le $((before + 4)) ]
}

@test "shims wait for their container, are replaced, and are not needed" {
	waiting() { pgrep -f -- "shim --dir $ROOT/run/tasks/-" | wc -l; }
	both_wait() { [ "$(waiting)" = 2 ]; }
	eventually both_wait
	old=$(pgrep -f -- "shim --dir $ROOT/run/tasks/-")
	kill -9 $old
	run run_it --rm bb:1 echo hi
	[ "$output" = hi ]
	eventually both_wait
	old=$(pgrep -f -- "shim --dir $ROOT/run/tasks/-")
	run_it -d --name "c$N" bb:1 sleep 1000
	pid=$(pgrep -f -- "shim --dir $ROOT/run/tasks/$(d inspect -f '{{.Id}}' "c$N")")
	[[ " $(echo $old) " == *" $pid "* ]]
	# A waiting one sees nothing of a container, and holds none of the engine's files.
	pid=$(pgrep -f -- "shim --dir $ROOT/run/tasks/-" | head -1)
	[ "$(readlink "/proc/$pid/ns/mnt")" = "$(readlink "/proc/$(cat "$ROOT/test.pid")/ns/mnt")" ]
	[ "$(ls "/proc/$pid/fd" | wc -l)" = 4 ]
}

@test "a container's supervisor takes less than 1 MiB" {
	[ -z "${PROA_SANITIZED:-}" ] || skip "a sanitizer takes more"
	run_it -d --name "c$N" bb:1 sleep 1000
	pid=$(pgrep -f -- "shim --dir $ROOT/run/tasks/$(d inspect -f '{{.Id}}' "c$N")")
	small() { [ "$(awk '/^Pss:/{print $2}' "/proc/$pid/smaps_rollup")" -lt 1024 ]; }
	eventually small || { cat "/proc/$pid/smaps_rollup"; false; }
	# And it still does its work.
	[ "$(d exec "c$N" echo works)" = works ]
}

@test "a pause that meets a kill does not keep the killed alive" {
	local paused code
	for _ in $(seq 15); do
		run_it -d --name "c$N" bb:1 sleep 1000
		curl -s --unix-socket "$SOCK" -X POST "http://x/containers/c$N/pause" 3>&- >/dev/null &
		paused=$!
		code=$(curl -s -o /dev/null -w '%{http_code}' --unix-socket "$SOCK" -X POST "http://x/containers/c$N/kill")
		wait "$paused"
		[ "$code" = 204 ]
		status_is "c$N" exited
		d rm "c$N"
	done
}
