#!/usr/bin/env bats
# User namespaces: --userns=auto, id-mapped binds; who owns what, inside and outside.

bats_require_minimum_version 1.5.0
load ../lib/engine

setup_file() {
	[ "$(id -u)" = 0 ] || return 0
	# The engine sees ranges of this test, the machine keeps its own files.
	WRAP=$(mktemp -d /tmp/proa-wrap-XXXXXX)
	ln -s "$(realpath "$PROA_BUILD")"/* "$WRAP/"
	rm -f "$WRAP/proad"
	echo "ranges:700000000:10000" >"$WRAP/subuid"
	echo "ranges:710000000:10000" >"$WRAP/subgid"
	cat >"$WRAP/proad" <<-P
		#!/bin/sh
		exec unshare -m --propagation private sh -c '
			for f in subuid subgid; do [ -e /etc/\$f ] || : >/etc/\$f; mount --bind "$WRAP/\$f" /etc/\$f; done
			exec "\$@"' sh "$(realpath "$PROA_BUILD")/proad" --userns-auto-user ranges "\$@"
	P
	chmod +x "$WRAP/proad"
	REAL=$PROA_BUILD
	export WRAP REAL PROA_BUILD=$WRAP
	engine_setup --bridge none
	busybox_image bb:1
}
teardown_file() {
	engine_teardown
	rm -rf "${WRAP:-/nonexistent}"
}
setup() {
	need_root
	unshare -U true 2>/dev/null || skip "user namespaces are refused here"
}

p() { timeout 30 "$REAL/proa" -H "$DOCKER_HOST" "$@"; }
auto() { p run --network none --userns=auto "$@"; }

@test "userns=auto: root inside is a range outside, layers are not chowned, what it writes is root's on disk" {
	[ "$(auto --rm bb:1 sh -c 'id -u; stat -c %u /bin /etc/hosts')" = $'0\n0\n0' ]
	[ "$(auto --rm bb:1 cat /proc/self/uid_map | tr -s ' ')" = " 0 700000000 1024" ]
	auto -d --name ua bb:1 sh -c 'touch /mine; chown 5:6 /mine; sleep 100'
	auto -d --name ub bb:1 sleep 100
	# Ranges of containers that exist do not overlap.
	[ "$(p exec ua cat /proc/self/uid_map | awk '{print $2}')" = 700000000 ]
	[ "$(p exec ub cat /proc/self/uid_map | awk '{print $2}')" = 700001024 ]
	[ "$(p exec ub cat /proc/self/gid_map | awk '{print $2}')" = 710001024 ]
	pid=$(p inspect -f '{{.State.Pid}}' ua)
	[ "$(stat -c '%u %g' "/proc/$pid")" = "700000000 710000000" ]
	[ "$(p exec ua stat -c '%u %g' /mine)" = "5 6" ]
	[ "$(stat -c '%u %g' "$ROOT"/data/snapshots/*/fs/mine)" = "5 6" ]
	[ "$(p diff ua)" = "A /mine" ]
	p exec -u 33 ub id -u
	run p cp /etc/hostname ua:/x
	[ "$status" = 1 ]
	[[ "$output" == *"--userns=auto is not supported yet"* ]]
	[ "$(p cp ua:/mine - | tar -tf -)" = mine ]
	# The range stays the container's over restarts, of it and of the engine.
	p restart -t 0 ub
	[ "$(p exec ub cat /proc/self/uid_map | awk '{print $2}')" = 700001024 ]
	engine_stop
	engine_start --bridge none
	auto -d --name uc bb:1 sleep 100
	[ "$(p exec uc cat /proc/self/uid_map | awk '{print $2}')" = 700002048 ]
	p commit ua img:1
	[ "$(p run --rm --network none img:1 stat -c %u /mine)" = 5 ]
	p stop -t 0 ua
	p cp /etc/hostname ua:/x
	p rm -f ua ub uc
	p rmi img:1
}

@test "userns=auto: size and own mappings, the image's users, the range's end" {
	[ "$(p run --rm --network none --userns=auto:size=2000 bb:1 cat /proc/self/uid_map | tr -s ' ')" = " 0 700000000 2000" ]
	run p run --rm --network none --userns=auto:size=100,uidmapping=10:1000:5,gidmapping=0:2000:1 bb:1 \
		sh -c 'tr -s " " </proc/self/uid_map; tr -s " " </proc/self/gid_map'
	[ "$output" = $' 0 700000000 10\n 10 1000 5\n 15 700000010 85\n 0 2000 1\n 1 710000000 99' ]
	# A user of the command line needs his own id.
	[ "$(auto --rm -u 3000 bb:1 sh -c 'id -u; tr -s " " </proc/self/uid_map')" = $'3000\n 0 700000000 3001' ]
	run p run --rm --network none --userns=auto:size=20000 bb:1 true
	[ "$status" = 125 ]
	[[ "$output" == *"no 20000 ids are left"* ]]
	for bad in auto:size=0 auto:size=x auto:what=1 auto:uidmapping=1:2 keep-id private; do
		run p run --rm --network none --userns=$bad bb:1 true
		[ "$status" = 125 ]
	done
	run p run --rm --privileged --network none --userns=auto bb:1 true
	[[ "$output" == *"privileged mode is incompatible with user namespaces"* ]]
	run p run --rm --network host --userns=auto bb:1 true
	[[ "$output" == *"cannot share the host's Network namespace"* ]]
}

@test "userns=auto: volumes are the container's, binds the machine's unless they are mapped" {
	auto --rm -v vol:/v bb:1 touch /v/f
	[ "$(stat -c %u "$ROOT/data/volumes/vol/_data/f")" = 0 ]
	auto --rm -v vol:/v bb:1 sh -c '[ "$(stat -c %u /v/f)" = 0 ] && echo more >>/v/f'
	[ "$(p run --rm --network none -v vol:/v bb:1 cat /v/f)" = more ]
	mkdir "$ROOT/bind"
	[ "$(auto --rm -v "$ROOT/bind:/b" bb:1 stat -c %u /b)" = 65534 ]
	[ "$(auto --rm -v "$ROOT/bind:/b:idmap" bb:1 sh -c 'stat -c %u /b; touch /b/f && stat -c %u /b/f')" = $'0\n0' ]
	[ "$(stat -c %u "$ROOT/bind/f")" = 0 ]
	p volume rm vol
}

@test "idmap: a bind of mine is root's inside, and stays mine outside" {
	mkdir "$ROOT/home"
	chown 1000:1001 "$ROOT/home"
	p run --rm --network none -v "$ROOT/home:/src:idmap=me" bb:1 sh -c '[ "$(stat -c "%u %g" /src)" = "0 0" ] && touch /src/made'
	[ "$(stat -c '%u %g' "$ROOT/home/made")" = "1000 1001" ]
	p run --rm --network none -u 33:44 -v "$ROOT/home:/src:ro,idmap=me" bb:1 sh -c '[ "$(stat -c "%u %g" /src)" = "33 44" ]'
	auto --rm -v "$ROOT/home:/src:idmap=me" bb:1 touch /src/auto
	[ "$(stat -c '%u %g' "$ROOT/home/auto")" = "1000 1001" ]
	p run --rm --network none -v "$ROOT/home:/src:idmap=uids=1000-7-1#0-1000-1;gids=1001-8-1" bb:1 \
		sh -c '[ "$(stat -c "%u %g" /src)" = "7 8" ]'
	# The other clients, too, and what is wrong is said.
	docker run --rm --network none -v "$ROOT/home:/src:idmap=me" bb:1 touch /src/docker
	[ "$(stat -c %u "$ROOT/home/docker")" = 1000 ]
	for bad in idmap idmap=you "idmap=uids=1-2" "idmap=uids=1-2-0" "idmap=uids=a-2-1" "idmap=uids=1-2-3;uids=1-2-3" "idmap=uids=4294967295-0-1" "idmap="; do
		run p run --rm --network none -v "$ROOT/home:/src:$bad" bb:1 true
		[ "$status" = 125 ]
	done
}
