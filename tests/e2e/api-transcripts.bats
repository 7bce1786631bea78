#!/usr/bin/env bats
# The flows of the docker CLI, docker-py, dockerode and Compose as requests of our own, to dockerd
# and to proad: the same status, the same headers, answers of the same shape. What may differ has
# its reason in tests/lib/shapes.py.

load ../lib/engine
load ../lib/peer

setup_file() {
	[ "$(id -u)" = 0 ] || return 0
	command -v dockerd >/dev/null || return 0
	python3 -c 'import http.client, json, tarfile' 2>/dev/null || return 0
	engine_setup
	busybox_image busybox:latest
	export PEER_BRIDGE=tp${BRIDGE#pr} PEER_SOCK=$ROOT/d.sock
	ip link add "$PEER_BRIDGE" type bridge && ip addr add 172.31.79.1/24 dev "$PEER_BRIDGE" && ip link set "$PEER_BRIDGE" up
	unshare -m --propagation private dockerd --data-root "$ROOT/peer" --exec-root "$ROOT/peer-exec" -p "$ROOT/peer.pid" \
		-H "unix://$PEER_SOCK" --bridge "$PEER_BRIDGE" --cgroup-parent "/${ROOT##*/}" --iptables=false --ip6tables=false \
		>"$ROOT/peer.log" 2>&1 3>&- &
	echo $! >"$ROOT/dockerd.pid"
	for _ in $(seq 300); do
		curl -sf --unix-socket "$PEER_SOCK" http://x/_ping >/dev/null && break
		sleep 0.1
	done
	if SOCK=$PEER_SOCK busybox_image busybox:latest; then touch "$ROOT/ready"; fi
}

teardown_file() {
	[ -n "${ROOT:-}" ] || return 0
	local pid
	pid=$(cat "$ROOT/dockerd.pid")
	kill "$pid" 2>/dev/null || true
	for _ in $(seq 600); do
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.05
	done
	ip link del "$PEER_BRIDGE" || true
	remove_peer_cgroups "${ROOT##*/}"
	umount -R "$ROOT/peer" 2>/dev/null || true
	engine_teardown
}

setup() { [ -f "${ROOT:-/none}/ready" ] || skip "needs root, python3 and a dockerd that starts"; }

@test "170 requests: status, headers and shapes as dockerd's, or a reason why not" {
	[ -z "${PROA_SANITIZED:-}" ] || skip "the init of a sanitizer build is not static"
	python3 "$BATS_TEST_DIRNAME/../lib/shapes.py" "$PEER_SOCK" "$SOCK"
}

@test "an answer of another shape is found" {
	# dockerd against itself is equal; an image that only one of them has is not.
	python3 "$BATS_TEST_DIRNAME/../lib/shapes.py" "$PEER_SOCK" "$PEER_SOCK" absent
	curl -sf --unix-socket "$SOCK" -X DELETE http://x/images/busybox:latest >/dev/null
	run python3 "$BATS_TEST_DIRNAME/../lib/shapes.py" "$PEER_SOCK" "$SOCK" bare
	[ "$status" = 1 ]
	[[ "$output" == *"201 in dockerd, 404 in proad"* ]]
}

# The flows above have removed it.
busybox_again() {
	busybox_image busybox:latest
	SOCK=$PEER_SOCK busybox_image busybox:latest
}

# link_env SOCKET PORT...: what a parent gets of a child with these ports, without its address
link_env() {
	local at=$1 expose=()
	shift
	for p in "$@"; do expose+=(--expose "$p"); done
	docker -H "unix://$at" run -d --name link-child -e A=b "${expose[@]}" busybox sleep 100 >/dev/null
	docker -H "unix://$at" run --rm --name link-parent --link link-child:db-1 busybox env | grep ^DB_1 |
		sed -E 's/([0-9]+\.){3}[0-9]+/IP/' | sort
	docker -H "unix://$at" rm -f link-child >/dev/null
}

# Which of udp and sctp comes first on one number is chance in dockerd: its sort knows tcp alone.
@test "the variables of --link, for single ports, ranges and the same number twice" {
	need_docker
	busybox_again
	for ports in "" "80" "81 80" "80-82" "80-82/udp 80" "80 81/udp 82" "5000-5004 80-81 443/udp" "80 80/udp 81 81/udp" "80/udp 80" "7/sctp 8/tcp 9/udp 11"; do
		# shellcheck disable=SC2086 # words
		diff <(link_env "$PEER_SOCK" $ports) <(link_env "$SOCK" $ports) || { echo "ports: $ports"; false; }
	done
}

@test "what compose v1 and docker CLI 20.10 send to make a network: EnableIPv6 false is no IPv6" {
	need_docker
	busybox_again
	for at in "$PEER_SOCK" "$SOCK"; do
		curl -sf --unix-socket "$at" -H 'Content-Type: application/json' -d '{"Name":"v1_default","CheckDuplicate":true,
			"Driver":"bridge","EnableIPv6":false,"IPAM":{"Driver":"default","Options":{},"Config":[]},"Internal":false,
			"Attachable":false,"Ingress":false,"ConfigOnly":false,"ConfigFrom":null,"Options":{},
			"Labels":{"com.docker.compose.network":"default"}}' http://x/v1.41/networks/create | jq -e '.Id | length == 64'
		curl -sf --unix-socket "$at" http://x/v1.41/networks/v1_default |
			jq -S '[.EnableIPv6, .Internal, .Attachable, .Driver, .Options, .Labels, .IPAM.Driver, .IPAM.Options, (.IPAM.Config | length)]' \
				>"$ROOT/net.${at##*/}"
		docker -H "unix://$at" run --rm --network v1_default busybox ip -6 addr show dev eth0 >"$ROOT/addr.${at##*/}"
		curl -sf --unix-socket "$at" -X DELETE http://x/v1.41/networks/v1_default
	done
	diff "$ROOT/net.${PEER_SOCK##*/}" "$ROOT/net.${SOCK##*/}"
	cat "$ROOT/addr.${PEER_SOCK##*/}" "$ROOT/addr.${SOCK##*/}"
	diff <(grep -c inet6 "$ROOT/addr.${PEER_SOCK##*/}") <(grep -c inet6 "$ROOT/addr.${SOCK##*/}")
}
