#!/usr/bin/env bats
# Published ports and names: who reaches what, and who does not.

load ../lib/engine
load ../lib/network

setup_file() {
	network_setup
	[ -n "${NS:-}" ] || return 0
	# A neighbour on the "ext" wire, which is outside.
	ip netns add "$NS-out"
	ip -n "$NS" link add out0 type veth peer name eth0 netns "$NS-out"
	ip -n "$NS" link set out0 master ext up
	ip -n "$NS-out" addr add 192.0.2.77/24 dev eth0
	ip -n "$NS-out" link set eth0 up
}
teardown_file() {
	network_teardown
	[ -z "${NS:-}" ] || ip netns del "$NS-out"
}
setup() {
	need_root
	need_docker
}
teardown() {
	ids=$(docker ps -aq)
	[ -z "$ids" ] || docker rm -f $ids >/dev/null
	docker network prune -f >/dev/null
}
outside() { nsenter --net="/run/netns/$NS-out" "$@"; }

@test "a published port is reached from the host, from outside and from containers" {
	docker_since 23
	docker network create other
	web srv -p 18080:80
	[ "$(docker port srv)" = $'80/tcp -> 0.0.0.0:18080\n80/tcp -> [::]:18080' ]
	[ "$(get http://127.0.0.1:18080/)" = srv ]
	# ::1 is refused at once, so that who tries it first for "localhost" goes on.
	run host curl -s -g --max-time 20 "http://[::1]:18080/"
	[ "$status" = 7 ]
	[ "$(get http://192.0.2.9:18080/)" = srv ]
	[ "$(outside curl -s --max-time 20 http://192.0.2.9:18080/)" = srv ]
	[ "$(from other http://192.0.2.9:18080/)" = srv ]
	[ "$(docker exec srv timeout 20 wget -qO- http://192.0.2.9:18080/)" = srv ]
}

@test "a loopback publish is for the host alone" {
	web srv -p 127.0.0.1:18081:80
	[ "$(get http://127.0.0.1:18081/)" = srv ]
	[ -z "$(PATIENCE=2 get http://192.0.2.9:18081/)" ]
	# Not even for who routes 127.0.0.1, or the container's own address, to us.
	outside ip route add 172.17.0.0/16 via 192.0.2.9
	outside sysctl -qw net.ipv4.conf.all.route_localnet=1
	outside ip route replace table local 127.0.0.1/32 via 192.0.2.9 dev eth0 || true
	outside ip addr flush dev lo
	[ -z "$(outside curl -s --max-time 1 --interface eth0 http://127.0.0.1:18081/)" ]
	ip=$(docker inspect -f '{{.NetworkSettings.IPAddress}}' srv)
	[ -z "$(outside curl -s --max-time 1 "http://$ip/")" ]
}

# listens_in CONTAINER -t|-u PORT: somebody does, on any address (ours has 127.0.0.11 only).
listens_in() {
	nsenter --net="$(docker inspect -f '{{.NetworkSettings.SandboxKey}}' "$1")" ss -Hln "$2" "sport = :$3" |
		grep -qvF 127.0.0.11
}

@test "UDP, ranges, random ports, and a port that is taken" {
	docker run -d --name udp -p 18090:9/udp bb:1 sleep 60 >/dev/null
	# No UDP server in busybox: one of the host's, in the container's namespace.
	nsenter --net="$(docker inspect -f '{{.NetworkSettings.SandboxKey}}' udp)" perl -MIO::Socket::INET -e '
		$s = IO::Socket::INET->new(LocalPort => 9, Proto => "udp"); alarm 60;
		while ($p = $s->recv($d, 100)) { $s->send($d, 0, $p) }' 3>&- &
	eventually listens_in udp -u 9
	[ "$(host bash -c 'exec 4<>/dev/udp/127.0.0.1/18090; echo hi >&4; timeout 20 head -1 <&4')" = hi ]
	kill $!
	web srv -p 18091-18095:80 -p 80
	[[ "$(docker port srv 80 | head -1)" == 0.0.0.0:1809[1-5] ]]
	random=$(docker port srv 80 | tail -1)
	[ "$(get "http://127.0.0.1:${random##*:}/")" = srv ]
	run docker run --rm -p "${random##*:}:80" bb:1 true
	[ "$status" = 125 ]
	[[ "$output" == *"Bind for 0.0.0.0:${random##*:} failed: port is already allocated"* ]]
	run host timeout 20 busybox nc -l -p "${random##*:}"
	[[ "$output" == *"ddress already in use"* ]]
}

@test "networks are apart, and an internal one is closed" {
	docker network create aa
	docker network create --internal inner
	web srv --network aa
	web deep --network inner
	a=$(docker inspect -f '{{.NetworkSettings.Networks.aa.IPAddress}}' srv)
	d=$(docker inspect -f '{{.NetworkSettings.Networks.inner.IPAddress}}' deep)
	PATIENCE=2 run from bridge "http://$a/"
	[ "$status" != 0 ]
	PATIENCE=2 run from aa "http://$d/"
	[ "$status" != 0 ]
	PATIENCE=2 run from inner "http://$a/"
	[ "$status" != 0 ]
	[ "$(from inner http://deep/)" = deep ]
	run docker run --rm --network inner bb:1 ip route
	[[ "$output" != *default* ]]
}

@test "names: containers, aliases, short ids, addresses; nothing leaks from an internal network" {
	docker network create names
	docker network create --internal secret
	web srv --network names --network-alias db
	id=$(docker inspect -f '{{.Id}}' srv)
	ip=$(docker inspect -f '{{.NetworkSettings.Networks.names.IPAddress}}' srv)
	for n in srv db "${id:0:12}" srv.names; do
		run docker run --rm --network names bb:1 nslookup -type=a "$n" 127.0.0.11
		[[ "$output" == *"Address: $ip"* ]]
	done
	run docker run --rm --network names bb:1 nslookup "$ip" 127.0.0.11
	[[ "$output" == *"name = srv.names"* ]]
	docker rename srv new
	[ "$(from names http://new/)" = srv ]
	run docker run --rm --network secret bb:1 nslookup -type=a example.org 127.0.0.11
	[[ "$output" == *NXDOMAIN* ]]
	# A container may run a name server of its own.
	docker run -d --name dns --network names bb:1 nc -l -p 53 >/dev/null
	eventually listens_in dns -t 53
	[ "$(docker inspect -f '{{.State.Running}}' dns)" = true ]
}

@test "the firewall table comes back when somebody flushes it" {
	web srv -p 18084:80
	host nft flush ruleset
	for _ in $(seq 300); do
		[ "$(get http://127.0.0.1:18084/)" = srv ] && break
		sleep 0.1
	done
	[ "$(get http://192.0.2.9:18084/)" = srv ]
}

@test "firewall=respect: the host's input rules decide" {
	engine_stop
	engine_start --firewall=respect
	web srv -p 18085:80
	[ "$(outside curl -s --max-time 20 http://192.0.2.9:18085/)" = srv ]
	host nft add table inet user
	host nft 'add chain inet user input { type filter hook input priority 0; policy accept; }'
	host nft add rule inet user input iifname ext tcp dport 18085 drop
	[ -z "$(outside curl -s --max-time 1 http://192.0.2.9:18085/)" ]
	[ "$(get http://127.0.0.1:18085/)" = srv ]
	host nft delete table inet user
	docker rm -f srv
	[ -z "$(PATIENCE=2 get http://127.0.0.1:18085/)" ]
}

@test "--iptables=false: the table of an earlier run goes, and the ports go on" {
	web srv -p 18085:80
	[ "$(get http://127.0.0.1:18085/)" = srv ]
	engine_stop
	host nft list tables | grep -q "inet proa"
	engine_start --iptables=false
	[ -z "$(host nft list tables)" ]
	[ "$(get http://127.0.0.1:18085/)" = srv ]
	docker rm -f srv
	engine_stop
	engine_start
}
