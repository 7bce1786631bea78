#!/usr/bin/env bats
# Images when the world fails: a full disk, registries that lie, cut, stop and come back.

bats_require_minimum_version 1.5.0
load ../lib/engine

setup_file() {
	[ "$(id -u)" = 0 ] || return 0
	ROOT=$(mktemp -d /tmp/proa-e2e-XXXXXX)
	mkdir "$ROOT/data"
	# Small, so that it can be filled.
	mount -t tmpfs -o size=24m,mode=0711 proa-e2e "$ROOT/data"
	SOCK=$ROOT/proa.sock
	BRIDGE=none
	echo '{}' >"$ROOT/engine.json"
	mkdir "$ROOT/client" "$ROOT/in"
	export ROOT SOCK BRIDGE DOCKER_HOST="unix://$SOCK" DOCKER_CONFIG="$ROOT/client" DOCKER_BUILDKIT=0
	engine_start --bridge none
	busybox_image bb:1
	registry_start
	head -c 6000000 /dev/urandom >"$ROOT/in/noise"
	tar -C "$ROOT/in" -cf "$ROOT/small.tar" .
	head -c 11000000 /dev/urandom >>"$ROOT/in/noise"
	tar -C "$ROOT/in" -cf "$ROOT/large.tar" .
	docker import "$ROOT/small.tar" "$REGISTRY/small:1"
	docker push -q "$REGISTRY/small:1"
	docker rmi "$REGISTRY/small:1" >/dev/null
	archive "$ROOT/large.tar" "$REGISTRY/large:1" >"$ROOT/large-image.tar"
	# Its layer is in no other image.
	head -c 300000 "$ROOT/in/noise" >"$ROOT/liar"
	tar -C "$ROOT" -cf "$ROOT/liar.tar" liar
	python3 "$BATS_TEST_DIRNAME/../lib/liar.py" "$ROOT/liar.addr" "$ROOT/liar.tar" >"$ROOT/liar.log" 2>&1 3>&- &
	echo $! >"$ROOT/liar.pid"
	for _ in $(seq 600); do [ -s "$ROOT/liar.addr" ] && break; sleep 0.05; done
	LIAR=$(cat "$ROOT/liar.addr")
	export LIAR
}
teardown_file() {
	[ -n "${ROOT:-}" ] || return 0
	for f in liar cutter; do [ -f "$ROOT/$f.pid" ] && kill "$(cat "$ROOT/$f.pid")" 2>/dev/null; done
	KEEP_ROOT=1 engine_teardown
	umount "$ROOT/data"
	rm -rf "$ROOT"
}
setup() {
	need_root
	need_docker
}

# archive LAYER.tar NAME: a docker-archive of one layer, to stdout.
archive() {
	python3 - "$1" "$2" <<-'P'
		import hashlib, io, json, pathlib, sys, tarfile
		layer = pathlib.Path(sys.argv[1]).read_bytes()
		config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {
		    "type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]}}).encode()
		manifest = json.dumps([{"Config": "c.json", "RepoTags": [sys.argv[2]], "Layers": ["l.tar"]}]).encode()
		with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as t:
		    for name, data in (("c.json", config), ("l.tar", layer), ("manifest.json", manifest)):
		        i = tarfile.TarInfo(name)
		        i.size = len(data)
		        t.addfile(i, io.BytesIO(data))
	P
}
api() { curl -s --unix-socket "$SOCK" -X "$1" "http://x$2"; }
check_store() { [ "$(api POST /store/check | jq -c .Problems)" = "[]" ]; }
used_kib() { df -k --output=used "$ROOT/data" | tail -1 | tr -d ' '; }

# refused COMMAND...: it fails in one line for want of space, and leaves nothing behind.
refused() {
	local before images
	before=$(used_kib)
	images=$(docker images -q)
	run --separate-stderr "$@"
	echo "$* -> $status: $stderr"
	[ "$status" = 1 ]
	[[ $stderr == *"no space left on device"* ]]
	[ "${#stderr_lines[@]}" = 1 ]
	[ "$(docker images -q)" = "$images" ]
	# The log of the database may have grown.
	[ "$(used_kib)" -le $((before + 400)) ]
	check_store
}

@test "a full disk: import, load and pull say so and give the space back" {
	refused docker import "$ROOT/large.tar" large:1
	refused docker load -i "$ROOT/large-image.tar"
	if command -v skopeo >/dev/null; then
		skopeo copy -q --dest-tls-verify=false "docker-archive:$ROOT/large-image.tar" "docker://$REGISTRY/large:1"
		refused docker pull -q "$REGISTRY/large:1"
		[[ $stderr == *"pull $REGISTRY/large:1: layer "* ]]
	fi
	# There is room for a smaller one.
	docker pull -q "$REGISTRY/small:1"
	docker rmi "$REGISTRY/small:1" >/dev/null
}

@test "a full disk: commit says so, and the container is as it was" {
	docker create --name full bb:1 sh >/dev/null
	head -c 12000000 "$ROOT/in/noise" >"$ROOT/twelve"
	docker cp "$ROOT/twelve" full:/twelve
	refused docker commit full full:1
	docker cp full:/twelve - | tar -xO | cmp - "$ROOT/twelve"
	docker rm full >/dev/null
}

@test "lies of a registry are found out at once, and nothing is left" {
	before=$(docker images -q)
	for how in nested endless loop deep schema1 foreign type page negative vast layers count truncated around local tail twice; do
		run --separate-stderr timeout 30 docker pull -q "$LIAR/$how:1"
		echo "$how: $stderr"
		[ "$status" = 1 ]
		[ "${#stderr_lines[@]}" = 1 ]
		[[ $stderr == *"$LIAR/$how:1"* ]]
	done
	[ "$(docker images -q)" = "$before" ]
	[ ! -e "$ROOT/data/content/ingest/"* ]
	check_store
	[ -n "${PROA_SANITIZED:-}" ] || [ "$(awk '/VmHWM/ { print $2 }' "/proc/$(cat "$ROOT/test.pid")/status")" -lt 65536 ]
}

# cutter CUTS [AWAY]: the registry behind a proxy that cuts; sets $CUTTER.
cutter() {
	rm -f "$ROOT/cutter.addr" "$ROOT/cutter.out"
	python3 "$BATS_TEST_DIRNAME/../lib/cutter.py" "$ROOT/cutter.addr" "$REGISTRY" "$@" >"$ROOT/cutter.out" 3>&- &
	echo $! >"$ROOT/cutter.pid"
	for _ in $(seq 600); do [ -s "$ROOT/cutter.addr" ] && break; sleep 0.05; done
	CUTTER=$(cat "$ROOT/cutter.addr")
}
cutter_end() {
	kill "$(cat "$ROOT/cutter.pid")"
	for _ in $(seq 600); do [ -s "$ROOT/cutter.out" ] && break; sleep 0.05; done
	rm "$ROOT/cutter.pid"
	read -r passed cuts <"$ROOT/cutter.out"
}

@test "cuts cost a request each, not bytes" {
	cutter 20
	docker pull -q "$CUTTER/small:1"
	docker rmi "$CUTTER/small:1" >/dev/null
	cutter_end
	echo "$passed bytes, $cuts cuts"
	[ "$cuts" -ge 10 ]
	[ "$passed" -le $((6020000 + cuts * 65536)) ]
}

@test "a registry that is away for three seconds does not fail a pull" {
	cutter 1 3
	docker pull -q "$CUTTER/small:1"
	docker rmi "$CUTTER/small:1" >/dev/null
	cutter_end
	[ "$cuts" = 1 ]
}
