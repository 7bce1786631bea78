# tests/lib/network.bash: an engine in a network namespace of the test's own, so that peers' firewalls
# and bridges on this machine neither disturb it nor are disturbed. Load after ../lib/engine.

# network_setup [PROAD FLAG...]: as engine_setup; the "host" of the engine is $NS.
network_setup() {
	[ "$(id -u)" = 0 ] || return 0
	NS=proa-$$-$RANDOM
	ip netns add "$NS"
	ip -n "$NS" link set lo up
	# An address of the host's that is not the loopback.
	ip -n "$NS" link add ext type bridge
	ip -n "$NS" addr add 192.0.2.9/24 dev ext
	ip -n "$NS" link set ext up
	WRAP=$(mktemp -d /tmp/proa-wrap-XXXXXX)
	ln -s "$(realpath "$PROA_BUILD")"/* "$WRAP/"
	rm -f "$WRAP/proad"
	# nsenter, not `ip netns exec`: proad must stay in this mount namespace.
	printf '#!/bin/sh\nexec nsenter --net=/run/netns/%s "%s" "$@"\n' "$NS" "$(realpath "$PROA_BUILD")/proad" >"$WRAP/proad"
	chmod +x "$WRAP/proad"
	export NS WRAP PROA_BUILD=$WRAP
	engine_setup "$@"
	busybox_image bb:1
}

network_teardown() {
	[ -n "${NS:-}" ] || return 0
	engine_teardown
	ip netns del "$NS"
	rm -rf "$WRAP"
}

# host COMMAND...: run it where the engine runs.
host() { nsenter --net="/run/netns/$NS" "$@"; }
# get URL: what the host reads there. PATIENCE=2 (seconds) where nothing shall answer.
get() { host curl -s -g --max-time "${PATIENCE:-20}" "$1"; }
# web NAME [DOCKER RUN FLAG...]: a container that serves its own name.
web() {
	local name=$1
	shift
	docker run -d --name "$name" "$@" bb:1 sh -c "mkdir /w; echo $name >/w/index.html; httpd -f -h /w" >/dev/null
	for _ in $(seq 600); do
		docker exec "$name" wget -qO- http://127.0.0.1/ >/dev/null 2>&1 && return 0
		sleep 0.05
	done
	return 1
}
# from NETWORK URL: what a new container on the network reads there; PATIENCE as above.
# (-T of the static wget crashes on names; PID 1 would not hear timeout's signal.)
from() {
	# shellcheck disable=SC2016 # the inner shell's
	docker run --rm --network "$1" bb:1 sh -c 'timeout "$2" wget -qO- "$1"; exit $?' sh "$2" "${PATIENCE:-20}"
}
