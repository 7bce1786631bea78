#!/usr/bin/env bats
# Standard streams, logs, exec, cp, diff, commit, export.

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
teardown() { timeout -k 1 60 docker rm -f "c$N" >/dev/null 2>&1 || true; }
d() { timeout -k 1 60 docker "$@"; }
run_it() { d run --network none "$@"; }

@test "stdin ends at the client's end, output comes whole" {
	[ "$(printf 'l1\nl2\n' | run_it --rm -i bb:1 cat)" = $'l1\nl2' ]
	head -c 3000000 /dev/urandom >"$ROOT/in$N"
	run_it --rm -i bb:1 cat <"$ROOT/in$N" >"$ROOT/out$N"
	cmp "$ROOT/in$N" "$ROOT/out$N"
}

@test "stdout and stderr stay apart" {
	run_it --rm bb:1 sh -c 'echo out; echo err >&2' >"$ROOT/o$N" 2>"$ROOT/e$N"
	[ "$(cat "$ROOT/o$N")" = out ]
	[ "$(cat "$ROOT/e$N")" = err ]
}

@test "a slow reader gets every byte" {
	n=$(run_it --rm bb:1 seq 1 200000 | (sleep 1; tail -1))
	[ "$n" = 200000 ]
}

@test "a terminal is a terminal, of the size that was asked" {
	command -v script >/dev/null || skip "needs script(1)"
	# --foreground: under a shell that does not exec its last command (dash), timeout would be a
	# background job of the terminal, and stopped at its first ioctl.
	run script -qec "stty rows 33 cols 101; timeout --foreground -k 1 20 docker run --rm -it --network none bb:1 \
		sh -c 'tty; until stty size | grep -x \"33 101\"; do sleep 0.1; done; exit 3'" /dev/null
	[ "$status" = 3 ]
	[[ "$output" == */dev/*"33 101"* ]]
}

@test "logs: streams, tail, timestamps, since, and nothing twice" {
	run_it -d --name "c$N" bb:1 sh -c 'for i in 1 2 3 4 5; do echo out$i; done; echo err >&2'
	d wait "c$N"
	[ "$(d logs "c$N" 2>/dev/null | wc -l)" = 5 ]
	[ "$(d logs "c$N" 2>&1 >/dev/null)" = err ]
	[ "$(d logs --tail 3 "c$N" 2>&1 | wc -l)" = 3 ]
	[ "$(d logs --tail 0 "c$N" 2>&1 | wc -l)" = 0 ]
	[[ "$(d logs -t "c$N" 2>/dev/null | head -1)" =~ ^20[0-9-]+T[0-9:]+\.[0-9]{9}Z\ out1$ ]]
	started=$(d inspect -f '{{.State.StartedAt}}' "c$N")
	[ "$(d logs --since "$started" "c$N" 2>/dev/null | head -1)" = out1 ]
	[ -z "$(d logs --until "$started" "c$N" 2>&1)" ]
}

@test "logs -f follows over rotations and loses no line" {
	run_it -d --name "c$N" --log-opt max-size=20k --log-opt max-file=3 bb:1 \
		sh -c 'sleep 1; for i in $(seq 1 2000); do echo "line $i"; [ $((i % 100)) = 0 ] && sleep 0.02; done'
	d logs -f "c$N" >"$ROOT/f$N"
	[ "$(wc -l <"$ROOT/f$N")" = 2000 ]
	[ "$(sed 's/line //' "$ROOT/f$N" | sort -n | uniq | wc -l)" = 2000 ]
	[ "$(ls "$ROOT"/data/containers/*/*-json.log* | wc -l)" = 3 ]
}

@test "rotated logs are compressed on request; logs and logs -f read through them" {
	for driver in json-file local; do
		run_it -d --name "c$N" --log-driver $driver --log-opt max-size=20k --log-opt max-file=20 --log-opt compress=true bb:1 \
			sh -c 'sleep 1; for i in $(seq 1 3000); do echo "line $i"; [ $((i % 100)) = 0 ] && sleep 0.02; done'
		d logs -f "c$N" >"$ROOT/f$N"
		cmp "$ROOT/f$N" <(seq -f 'line %g' 3000)
		dir="$ROOT/data/containers/$(d inspect -f '{{.Id}}' "c$N")"
		[ "$(ls "$dir" | grep -c 'log\.[0-9]*\.gz$')" -gt 2 ]
		[ "$(ls "$dir" | grep -c 'log\.[0-9]*$')" = 0 ]
		[ -z "$(ls "$dir" | grep part)" ]
		gzip -t "$dir"/*.gz
		cmp <(d logs "c$N") <(seq -f 'line %g' 3000)
		cmp <(d logs --tail 1500 "c$N") <(seq -f 'line %g' 1501 3000)
		[ "$(d logs --tail 1 "c$N")" = "line 3000" ]
		d rm "c$N"
	done
	run d create --log-opt compress=true --log-opt max-file=1 bb:1
	[ "$status" != 0 ]
	[[ "$output" == *"compress cannot be true"* ]]
	run d create --log-opt compress=maybe bb:1
	[ "$status" != 0 ]
}

@test "the local driver reads back, none refuses" {
	run_it -d --name "c$N" --log-driver local bb:1 sh -c 'echo a; echo b >&2; printf c'
	d wait "c$N"
	[ "$(d logs "c$N" 2>/dev/null)" = $'a\nc' ]
	[ "$(d logs --tail 1 "c$N" 2>/dev/null)" = c ]
	d rm "c$N"
	run_it --name "c$N" --log-driver none bb:1 echo x
	run d logs "c$N"
	[ "$status" = 1 ]
	[[ "$output" == *"configured logging driver does not support reading"* ]]
}

@test "details show labels that the log option names" {
	run_it -d --name "c$N" -l team=x --log-opt labels=team bb:1 echo hi
	d wait "c$N"
	[ "$(d logs --details "c$N")" = "team=x hi" ]
}

@test "attach shows what comes, and a second start too" {
	run_it -d -i --name "c$N" bb:1 sh -c 'read x; echo got $x'
	[ "$(echo hello | d attach "c$N")" = "got hello" ]
	d wait "c$N"
	[ "$(echo again | d start -a -i "c$N")" = "got again" ]
}

@test "exec: output, input, codes, user, env, directory, detached" {
	run_it -d --name "c$N" bb:1 sleep 100
	[ "$(d exec "c$N" echo hi)" = hi ]
	[ "$(echo in | d exec -i "c$N" cat)" = in ]
	run d exec "c$N" sh -c 'exit 5'
	[ "$status" = 5 ]
	run d exec "c$N" nosuch
	[ "$status" = 126 ]
	[[ "$output" == *'executable file not found in $PATH'* ]]
	[ "$(d exec -u 1000:2000 "c$N" id -u)" = 1000 ]
	[ "$(d exec -u nobody "c$N" id -un)" = nobody ]
	[ "$(d exec -e A=b -w /tmp "c$N" sh -c 'echo $A $PWD')" = "b /tmp" ]
	d exec -d "c$N" touch /made
	eventually d exec "c$N" test -f /made
	run d exec -u nosuch "c$N" true
	[ "$status" != 0 ]
}

@test "an exec's code is there when its stream has ended" {
	run_it -d --name "c$N" bb:1 sleep 100
	for i in $(seq 20); do
		run d exec "c$N" sh -c "exit $i"
		[ "$status" = "$i" ]
	done
}

@test "cp goes both ways, running or not, and never out of the root" {
	run_it -d --name "c$N" bb:1 sh -c 'ln -s /../../../../etc /out; mkdir /dir; sleep 100'
	eventually d exec "c$N" test -d /dir
	mkdir -p "$ROOT/t$N/sub" && echo f >"$ROOT/t$N/sub/file"
	d cp "$ROOT/t$N" "c$N:/dir/"
	[ "$(d exec "c$N" cat "/dir/t$N/sub/file")" = f ]
	d cp "c$N:/dir/t$N/sub/file" "$ROOT/back$N"
	[ "$(cat "$ROOT/back$N")" = f ]
	echo canary >"$ROOT/canary$N"
	d cp "$ROOT/canary$N" "c$N:/out/canary$N" || true
	[ ! -e "/etc/canary$N" ]
	d kill "c$N"
	d cp "$ROOT/canary$N" "c$N:/dir/late"
	[ "$(d cp "c$N:/dir/late" - | tar xO)" = canary ]
	run d cp "c$N:/nosuch" -
	[ "$status" = 1 ]
	# The text of Debian 12's own CLI is the second.
	[[ "$output" == *"Could not find the file /nosuch in container c$N"* || "$output" == *"No such container:path: c$N:/nosuch"* ]]
}

@test "diff names changes only, commit and export carry them" {
	run_it --name "c$N" bb:1 sh -c 'echo x >/etc/new; rm /bin/wget; mkdir /var/d'
	run d diff "c$N"
	[[ "$output" == *"C /etc"* && "$output" == *"A /etc/new"* && "$output" == *"D /bin/wget"* && "$output" == *"A /var/d"* ]]
	[[ "$output" != *hostname* && "$output" != *resolv* ]]
	d commit -m message -a me -c 'CMD ["cat", "/etc/new"]' -c 'ENV A=b' "c$N" "made:$N"
	[ "$(run_it --rm "made:$N")" = x ]
	[ "$(d inspect -f '{{.Config.Env}}' "made:$N" | grep -c A=b)" = 1 ]
	[ "$(d export "c$N" | tar xO etc/new)" = x ]
}

@test "top and stats answer for a running container" {
	run_it -d --name "c$N" bb:1 sleep 1000
	[[ "$(d top "c$N")" == *"sleep 1000"* ]]
	[ "$(d top "c$N" -o pid,cmd | wc -l)" = 2 ]
	[[ "$(d stats --no-stream --format '{{.Name}} {{.PIDs}}' "c$N")" == "c$N 1" ]]
}
