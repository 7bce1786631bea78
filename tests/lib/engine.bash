# tests/lib/engine.bash: an engine of a test's own. `load ../lib/engine` in a bats file.
#
#   setup_file()    { engine_setup; }      sets $ROOT $SOCK $PROAD_PID, exports DOCKER_HOST
#   teardown_file() { engine_teardown; }   stops it by pid, removes what it made
#
# Everything lives below $ROOT (a fresh directory in /tmp); the bridge and the tables carry the
# engine's own name, so that several engines run side by side.

PROA_BUILD=${PROA_BUILD:-$BATS_TEST_DIRNAME/../../build/src/main}

need_root() { [ "$(id -u)" = 0 ] || skip "needs root"; }
need_docker() { command -v docker >/dev/null || skip "the docker CLI is not installed"; }

# shellcheck source=tests/lib/eventually.bash
source "${BASH_SOURCE[0]%/*}/eventually.bash"

# docker_since MAJOR: what the test types came with that docker CLI. Debian's is older: then
# `docker` is proa, which calls itself so.
docker_since() {
	[ "$(docker --version | cut -d' ' -f3 | cut -d. -f1)" -lt "$1" ] || return 0
	mkdir -p "$ROOT/as-docker"
	ln -sf "$(realpath "$PROA_BUILD/proa")" "$ROOT/as-docker/docker"
	export PATH="$ROOT/as-docker:$PATH"
	hash -r
}

# engine_start [PROAD FLAG...]: start proad on $ROOT and wait until it answers.
engine_start() {
	"$PROA_BUILD/proad" --data-root "$ROOT/data" --exec-root "$ROOT/run" --pidfile "$ROOT/proad.pid" \
		-H "unix://$SOCK" --bridge-name "$BRIDGE" --config-file "$ROOT/engine.json" "$@" \
		>>"$ROOT/proad.log" 2>&1 3>&- &
	PROAD_PID=$!
	echo "$PROAD_PID" >"$ROOT/test.pid"
	for _ in $(seq 600); do
		curl -sf --unix-socket "$SOCK" http://x/_ping >/dev/null 2>&1 && return 0
		kill -0 "$PROAD_PID" 2>/dev/null || break
		sleep 0.05
	done
	echo "proad did not start:" >&2
	tail -20 "$ROOT/proad.log" >&2
	return 1
}

# prune_beside PATH: POST it again and again until $ROOT/pruned is there; the caller waits for it.
prune_beside() {
	while [ ! -e "$ROOT/pruned" ]; do
		curl -s --unix-socket "$SOCK" -X POST "http://x/v1.47$1" >/dev/null
	done
}

engine_stop() {
	PROAD_PID=$(cat "$ROOT/test.pid")
	kill "$PROAD_PID" 2>/dev/null || return 0
	for _ in $(seq 600); do
		kill -0 "$PROAD_PID" 2>/dev/null || return 0
		sleep 0.05
	done
	kill -9 "$PROAD_PID"
}

engine_setup() {
	[ "$(id -u)" = 0 ] || return 0
	ROOT=$(mktemp -d /tmp/proa-e2e-XXXXXX)
	SOCK=$ROOT/proa.sock
	BRIDGE=pr$(printf %s "${ROOT##*-}" | tr '[:upper:]' '[:lower:]')
	echo '{}' >"$ROOT/engine.json"
	# A client configuration of the test's own: nobody's credentials are touched.
	mkdir -p "$ROOT/client"
	export ROOT SOCK BRIDGE DOCKER_HOST="unix://$SOCK" DOCKER_CONFIG="$ROOT/client" DOCKER_BUILDKIT=0
	engine_start "$@"
}

# Remove every container, stop the engine, and remove the directory.
engine_teardown() {
	[ -n "${ROOT:-}" ] || return 0
	if kill -0 "$(cat "$ROOT/test.pid")" 2>/dev/null; then
		for id in $(curl -s --unix-socket "$SOCK" 'http://x/containers/json?all=1' | jq -r '.[].Id' 2>/dev/null); do
			curl -s -X DELETE --unix-socket "$SOCK" "http://x/containers/$id?force=1&v=1" >/dev/null
		done
	fi
	engine_stop
	registry_stop
	# A bridge outlives its engine, so that containers do; here nothing is left to use it.
	ip link del "$BRIDGE" 2>/dev/null || true
	[ -z "${KEEP_ROOT:-}" ] && rm -rf "$ROOT"
}

# busybox_root DIR: a root file system from Debian's static busybox.
busybox_root() {
	mkdir -p "$1"/bin "$1"/etc "$1"/tmp "$1"/root "$1"/home "$1"/var
	chmod 1777 "$1/tmp"
	chmod 755 "$1" # mktemp made it 0700: nobody but root could use it
	cp "$(command -v busybox)" "$1/bin/busybox"
	for a in $("$1/bin/busybox" --list); do
		[ -e "$1/bin/$a" ] || ln -s busybox "$1/bin/$a"
	done
	printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' >"$1/etc/passwd"
	printf 'root:x:0:\nnogroup:x:65534:\n' >"$1/etc/group"
}

# busybox_tar FILE: the same as an uncompressed tar, for `docker import`.
busybox_tar() {
	local d
	d=$(mktemp -d "$ROOT/bb-XXXXXX")
	busybox_root "$d"
	tar -C "$d" --owner=0 --group=0 --sort=name --mtime=@0 -cf "$1" .
	rm -rf "$d"
}

# busybox_image NAME: import it into the engine under test, CMD sh.
busybox_image() {
	[ -f "$ROOT/busybox.tar" ] || busybox_tar "$ROOT/busybox.tar"
	curl -sf --unix-socket "$SOCK" -X POST -H 'Content-Type: application/x-tar' --data-binary "@$ROOT/busybox.tar" \
		"http://x/images/create?fromSrc=-&repo=${1%:*}&tag=${1##*:}&changes=CMD%20%5B%22sh%22%5D" >/dev/null
}

# registry_start [FLAG...]: our registry on a free loopback port, below $ROOT/registry; sets $REGISTRY (host:port).
registry_start() {
	"$PROA_BUILD/proa-registry" serve --data "$ROOT/registry" --listen 127.0.0.1:0 "$@" >>"$ROOT/registry.log" 2>&1 3>&- &
	echo $! >"$ROOT/registry.pid"
	for _ in $(seq 600); do
		REGISTRY=$(sed -n 's/.*listening address=//p' "$ROOT/registry.log" | tail -1)
		[ -n "$REGISTRY" ] && curl -s -o /dev/null "http://$REGISTRY/v2/" && export REGISTRY && return 0
		sleep 0.05
	done
	cat "$ROOT/registry.log" >&2
	return 1
}

# peer_registry_start: Debian's docker-registry, where it is installed.
peer_registry_start() {
	command -v docker-registry >/dev/null || return 1
	REGISTRY=127.0.0.1:$((20000 + RANDOM % 20000))
	mkdir -p "$ROOT/peer-registry"
	cat >"$ROOT/registry.yml" <<-Y
		version: 0.1
		storage: {filesystem: {rootdirectory: $ROOT/peer-registry}, delete: {enabled: true}}
		http: {addr: $REGISTRY}
	Y
	docker-registry serve "$ROOT/registry.yml" >"$ROOT/peer-registry.log" 2>&1 3>&- &
	echo $! >"$ROOT/registry.pid"
	export REGISTRY
	for _ in $(seq 600); do
		curl -sf "http://$REGISTRY/v2/" >/dev/null && return 0
		sleep 0.05
	done
	return 1
}

registry_stop() {
	local pid
	[ -f "$ROOT/registry.pid" ] || return 0
	pid=$(cat "$ROOT/registry.pid")
	rm -f "$ROOT/registry.pid"
	kill "$pid" 2>/dev/null || return 0
	for _ in $(seq 600); do
		kill -0 "$pid" 2>/dev/null || return 0
		sleep 0.05
	done
	kill -9 "$pid"
}
