#!/usr/bin/env bats
# Volumes as a user of the docker CLI sees them.

bats_require_minimum_version 1.5.0

load ../lib/engine

setup_file() {
	engine_setup --bridge none
	[ -z "${ROOT:-}" ] || busybox_image bb:1
}
teardown_file() { engine_teardown; }
setup() {
	need_root
	need_docker
	docker_since 26
}
teardown() {
	ids=$(docker ps -aq)
	[ -z "$ids" ] || docker rm -f $ids >/dev/null
	docker volume prune -af >/dev/null
}
run_bb() { docker run --rm --network none "$@"; }

@test "create, list, inspect, remove" {
	[ "$(docker volume create --label a=1 vol)" = vol ]
	[ "$(docker volume create vol)" = vol ]
	[ "$(docker volume ls -q --filter label=a=1)" = vol ]
	[ "$(docker volume inspect -f '{{.Driver}} {{.Scope}} {{.Mountpoint}}' vol)" = "local local $ROOT/data/volumes/vol/_data" ]
	[ "$(docker volume rm vol)" = vol ]
	run docker volume rm vol
	[ "$status" = 1 ]
	[ "${lines[0]}" = "Error response from daemon: get vol: no such volume" ]
	run docker volume create x
	[[ "$output" == *"volume name is too short"* ]]
	run docker volume create ../../etc
	[[ "$output" == *"includes invalid characters"* ]]
}

@test "data stays, and a used volume is not removed" {
	run_bb -v keep:/d bb:1 sh -c 'echo 42 >/d/x'
	[ "$(run_bb -v keep:/d:ro bb:1 cat /d/x)" = 42 ]
	run run_bb -v keep:/d:ro bb:1 touch /d/y
	[ "$status" = 1 ]
	docker create --name user --network none -v keep:/d bb:1 true >/dev/null
	run docker volume rm keep
	[ "$status" = 1 ]
	[[ "$output" == *"remove keep: volume is in use - [$(docker inspect -f '{{.Id}}' user)]"* ]]
	docker rm user
	docker volume rm keep
}

@test "a new volume is seeded from the image, with nocopy it is not" {
	docker create --name seed --network none bb:1 sh -c 'mkdir -p /data/sub; echo hi >/data/sub/f; chown -R 33:44 /data; chmod 711 /data' >/dev/null
	docker start -a seed
	docker commit seed seeded:1 >/dev/null
	[ "$(run_bb -v s1:/data seeded:1 cat /data/sub/f)" = hi ]
	[ "$(run_bb -v s1:/data seeded:1 stat -c '%u:%g %a' /data)" = "33:44 711" ]
	[ -z "$(run_bb -v s2:/data:nocopy seeded:1 ls /data)" ]
	[ "$(run_bb --mount type=volume,src=s1,dst=/f,volume-subpath=sub/f seeded:1 cat /f)" = hi ]
}

@test "a subpath never leads out of the volume" {
	run_bb -v trap:/d bb:1 ln -s /etc /d/out
	run run_bb --mount type=volume,src=trap,dst=/x,volume-subpath=out bb:1 true
	[ "$status" = 125 ]
	run run_bb --mount type=volume,src=trap,dst=/x,volume-subpath=../../.. bb:1 ls /x
	[[ "$status" != 0 || "$output" == *out* ]]
}

@test "anonymous volumes go with --rm and rm -v, named ones stay" {
	run_bb -v /anon -v named:/n bb:1 true
	[ "$(docker volume ls -q)" = named ]
	docker run -d --name anon --network none -v /anon bb:1 sleep 60 >/dev/null
	[ "$(docker volume ls -q | wc -l)" = 2 ]
	docker rm -fv anon
	[ "$(docker volume ls -q)" = named ]
}

@test "options: a tmpfs is shared by its users and gone after the last" {
	docker volume create -o type=tmpfs -o device=tmpfs -o o=size=1m,mode=1777 mem
	docker run -d --name first --network none -v mem:/m bb:1 sh -c 'echo shared >/m/x; sleep 60' >/dev/null
	eventually docker exec first test -s /m/x
	[ "$(run_bb -v mem:/m bb:1 cat /m/x)" = shared ]
	grep -q "$ROOT/data/volumes/mem/_data" /proc/mounts
	docker rm -f first
	run ! grep -q "$ROOT/data/volumes/mem/_data" /proc/mounts
	mkdir "$ROOT/host-dir"
	echo bound >"$ROOT/host-dir/f"
	docker volume create -o type=none -o o=bind -o device="$ROOT/host-dir" bound
	[ "$(run_bb -v bound:/b bb:1 cat /b/f)" = bound ]
}

@test "prune takes anonymous ones, all of them with -a, and says so" {
	docker volume create named
	docker create --name gone --network none -v /anon bb:1 true >/dev/null
	docker rm gone
	run docker volume prune -f
	[[ "${lines[0]}" == "Deleted Volumes:" && "${lines[1]}" =~ ^[0-9a-f]{64}$ && "${lines[2]}" == "Total reclaimed space: "* ]]
	run docker volume prune -af
	[[ "${lines[1]}" == named ]]
}

@test "prune takes no volume of a container that is just being created" {
	local pruner bad=0
	prune_beside /volumes/prune 3>&- &
	pruner=$!
	for _ in $(seq 30); do
		run_bb -v /anon bb:1 true || bad=$((bad + 1))
	done
	touch "$ROOT/pruned"
	wait "$pruner"
	rm "$ROOT/pruned"
	[ "$bad" = 0 ]
}

@test "volumes survive proad; what a crash left half-made does not" {
	docker volume create stay
	mkdir -p "$ROOT/data/volumes/half/_data"
	kill -9 "$(cat "$ROOT/test.pid")"
	engine_start --bridge none
	[ "$(docker volume ls -q)" = stay ]
	[ ! -e "$ROOT/data/volumes/half" ]
}
