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

# owners CONTAINER PATH...: as the container sees them
owners() { p exec "$1" stat -c '%u:%g' "${@:2}" | xargs; }

@test "userns=auto: cp into one that runs and out of it keeps who owns what, on both sides" {
	mkdir -p "$ROOT/cp/dir/sub" "$ROOT/shared"
	echo one >"$ROOT/cp/dir/f"
	ln "$ROOT/cp/dir/f" "$ROOT/cp/dir/hard"
	ln -s f "$ROOT/cp/dir/soft"
	mkfifo "$ROOT/cp/dir/fifo"
	chmod 4755 "$ROOT/cp/dir/f"
	chown -h 5:6 "$ROOT/cp/dir/soft" "$ROOT/cp/dir/sub" "$ROOT/cp/dir/fifo"
	auto -d --name ua -v vol:/v -v "$ROOT/shared:/b" --tmpfs /t bb:1 sleep 100
	p cp "$ROOT/cp/dir" ua:/
	p cp "$ROOT/cp/dir/f" ua:/new
	docker cp "$ROOT/cp/dir" ua:/v/
	p cp "$ROOT/cp/dir" ua:/t/
	for at in / /v/ /t/; do
		[ "$(owners ua ${at}dir ${at}dir/f ${at}dir/hard ${at}dir/soft ${at}dir/sub ${at}dir/fifo)" = "0:0 0:0 0:0 5:6 5:6 5:6" ]
		[ "$(p exec ua stat -c '%a %h' ${at}dir/f)" = "4755 2" ]
	done
	# On disk it is what the container sees.
	[ "$(stat -c '%u:%g' "$ROOT"/data/snapshots/*/fs/dir/sub)" = 5:6 ]
	[ "$(stat -c '%u:%g' "$ROOT/data/volumes/vol/_data/dir/sub")" = 5:6 ]
	# A parent that is missing is root's. What is there is replaced.
	tar -C "$ROOT/cp/dir" --transform 's,^f,a/b/f,' -cf - f | p cp - ua:/v
	[ "$(owners ua /v/a /v/a/b /v/a/b/f)" = "0:0 0:0 0:0" ]
	p exec ua sh -c 'echo mine >/v/a/b/f; chown 7 /v/a/b/f'
	tar -C "$ROOT/cp/dir" --transform 's,^f,a/b/f,' -cf - f | p cp - ua:/v
	[ "$(owners ua /v/a/b/f)" = 0:0 ]
	# Out: the ids of inside, and of a place of the machine's what the container sees.
	[ "$(p cp ua:/dir - | tar -tvf - --numeric-owner | awk '{print $2, $6}' | sort -k2 | xargs)" = \
		"0/0 dir/ 0/0 dir/f 5/6 dir/fifo 0/0 dir/hard 5/6 dir/soft 5/6 dir/sub/" ]
	echo theirs >"$ROOT/shared/host"
	[ "$(p cp ua:/b/host - | tar -tvf - --numeric-owner | awk '{print $2}')" = 65534/65534 ]
	p cp "$ROOT/cp/dir/f" ua:/b/made
	[ "$(stat -c '%u:%g' "$ROOT/shared/made")" = 700000000:710000000 ]
	p cp -a ua:/dir "$ROOT/cp/back"
	[ "$(stat -c '%u:%g' "$ROOT/cp/back/sub")" = 5:6 ]
	# An id that the namespace does not have is refused, and nothing is left of the file.
	run p cp - ua:/v < <(tar -C "$ROOT/cp/dir" --owner=5000 --group=0 --transform 's,^f,far,' -cf - f)
	[ "$status" = 1 ]
	[[ "$output" == *"no uid 5000 in the container's user namespace"* ]]
	run p exec ua ls /v/far
	[ "$status" != 0 ]
	p rm -f ua
	p volume rm vol
}

@test "userns=auto: cp -a gives files the container's user, capabilities are the namespace's" {
	command -v getcap >/dev/null || skip "libcap2-bin is not installed"
	cp "$(command -v busybox)" "$ROOT/capable"
	setcap cap_net_raw+ep "$ROOT/capable"
	auto -d --name ua -u 33:44 bb:1 sleep 100
	tar -C "$ROOT" --xattrs --xattrs-include='*' -cf - capable | p cp - ua:/
	getcap "$ROOT"/data/snapshots/*/fs/capable | grep -q cap_net_raw=ep
	p cp ua:/capable - | tar -C "$ROOT" --xattrs --xattrs-include='*' --transform 's,capable,back,' -xf -
	[ "$(getcap "$ROOT/back")" = "$ROOT/back cap_net_raw=ep" ]
	p cp -a "$ROOT/capable" ua:/tmp/user
	[ "$(owners ua /tmp/user)" = 33:44 ]
	p rm -f ua
}

@test "userns=auto: a hostile container moves no write of cp to the machine" {
	auto -d --name ua -v "$ROOT/bait:/bait" bb:1 sh -c '
		ln -s / /slash; ln -s ../../../../../.. /up; ln -s /proc/1/root /magic; ln -s /proc/self/cwd /cwd
		ln -s /bait /there; mkdir /race; touch /ready
		while :; do ln -sfn / /race/d; rm -f /race/d; mkdir /race/d; rm -rf /race/d; done'
	eventually p exec ua test -e /ready
	mkdir -p "$ROOT/evil/d"
	echo evil >"$ROOT/evil/d/proa-evil-$$"
	for to in slash up magic cwd; do
		timeout 20 "$REAL/proa" cp "$ROOT/evil/d" "ua:/$to/" || true
		timeout 20 "$REAL/proa" cp - "ua:/$to" < <(tar -C "$ROOT/evil/d" -cf - .) || true
	done
	for _ in $(seq 60); do
		timeout 20 "$REAL/proa" cp - ua:/race < <(tar -C "$ROOT/evil" -cf - d) || true
	done
	[ ! -e "/proa-evil-$$" ]
	[ ! -e "/d/proa-evil-$$" ]
	# What leads to a place of the container is that place.
	p exec ua ls /d
	[ -z "$(find "$ROOT/data/content" "$ROOT/run" -name "proa-evil-*")" ]
	p rm -f ua
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
