#!/usr/bin/env bats
# Networks as a user of the docker CLI sees them.

bats_require_minimum_version 1.5.0

load ../lib/engine
load ../lib/network

setup_file() { network_setup; }
teardown_file() { network_teardown; }
setup() {
	need_root
	need_docker
}
teardown() {
	ids=$(docker ps -aq)
	[ -z "$ids" ] || docker rm -f $ids >/dev/null
	docker network prune -f >/dev/null
}

@test "bridge, host and none are there, and stay" {
	run docker network ls --format '{{.Name}} {{.Driver}} {{.Scope}}'
	[ "$output" = $'bridge bridge local\nhost host local\nnone null local' ]
	run docker network rm bridge
	[ "$status" = 1 ]
	[[ "$output" == *"bridge is a pre-defined network and cannot be removed"* ]]
}

@test "create, inspect, filter, remove" {
	docker_since 23
	run docker network create --label api=1 --subnet 10.199.7.0/24 --opt com.docker.network.bridge.name=apibr0 apinet
	[ "$status" = 0 ]
	[[ "$output" =~ ^[0-9a-f]{64}$ ]]
	id=$output
	[ "$(docker network ls --filter label=api=1 -q --no-trunc)" = "$id" ]
	[ "$(docker network inspect -f '{{json .IPAM}}' apinet)" = '{"Driver":"default","Options":{},"Config":[{"Subnet":"10.199.7.0/24"}]}' ]
	host ip -br addr show apibr0 | grep -q 10.199.7.1/24
	run docker network create apinet
	[ "$status" = 1 ]
	[ "$output" = "Error response from daemon: network with name apinet already exists" ]
	run docker network rm "${id:0:6}"
	[ "$status" = 0 ]
	run docker network rm apinet
	[ "$status" = 1 ]
	[[ "$output" == *"network apinet not found"* ]]
	run host ip link show apibr0
	[ "$status" != 0 ]
}

@test "what is not served is refused by name" {
	run docker network create -d macvlan mv
	[[ "$output" == *'network driver "macvlan" is not supported yet'* ]]
	run docker network create -d nope mv
	[[ "$output" == *'plugin "nope" not found'* ]]
	run docker network create --subnet 172.17.0.0/24 over
	[[ "$output" == *"Pool overlaps with other one on this address space"* ]]
	run docker run --rm --network nosuch bb:1 true
	[ "$status" = 125 ]
	[[ "$output" == *"network nosuch not found"* ]]
	run docker run --rm --network bridge --ip 172.17.0.9 bb:1 true
	[ "$status" = 125 ]
	[[ "$output" == *"user specified IP address is supported on user defined networks only"* ]]
}

@test "a container has the address, MAC, hosts and name server of its network" {
	docker network create --subnet 10.77.0.0/24 --gateway 10.77.0.254 own
	run docker run --rm --network own --ip 10.77.0.7 --mac-address 02:00:00:00:00:07 --hostname hh --add-host db:10.0.0.9 bb:1 \
		sh -c 'ip addr show eth0; ip route; cat /etc/hosts /etc/resolv.conf'
	[ "$status" = 0 ] || { echo "$output"; false; }
	[[ "$output" == *"inet 10.77.0.7/24"* && "$output" == *"02:00:00:00:00:07"* ]]
	[[ "$output" == *"default via 10.77.0.254 dev eth0"* ]]
	[[ "$output" == *$'10.77.0.7\thh'* && "$output" == *$'10.0.0.9\tdb'* && "$output" == *"nameserver 127.0.0.11"* ]]
}

@test "connect and disconnect a running container" {
	docker network create one
	docker network create two
	web srv --network one -p 127.0.0.1:18181:80
	docker network connect --alias other two srv
	[ "$(from two http://other/)" = srv ]
	run docker network connect two srv
	[ "$status" = 1 ]
	[[ "$output" == *"endpoint with name srv already exists in network two"* ]]
	run docker network rm two
	[ "$status" = 1 ]
	[[ "$output" == *"error while removing network: network two id "*" has active endpoints"* ]]
	docker network disconnect one srv
	[ "$(docker inspect -f '{{range $k,$v := .NetworkSettings.Networks}}{{$k}}{{end}}' srv)" = two ]
	# The published port has moved along.
	[ "$(get http://127.0.0.1:18181/)" = srv ]
	run docker network disconnect one srv
	[ "$status" = 1 ]
	[[ "$output" == *"is not connected to network one"* ]]
}

@test "a link is a name that only its container knows, also of one that starts later" {
	docker network create "two words" >/dev/null
	[ "$(docker network inspect -f '{{json .IPAM.Options}}' "two words")" = '{}' ]
	docker run -d --name linker --network "two words" --link later:alias bb:1 sleep 100 >/dev/null
	web later --network "two words"
	[ "$(docker exec linker wget -qO- http://alias/)" = later ]
	run ! docker exec later nslookup alias
	docker create --name fresh --network "two words" --network-alias al bb:1 true >/dev/null
	[ "$(docker inspect -f '{{json (index .NetworkSettings.Networks "two words").Aliases}}' fresh)" = '["al"]' ]
	docker rm -f linker later fresh >/dev/null
	docker network rm "two words"
}

@test "host, none, and another container's network" {
	[ "$(docker run --rm --network none bb:1 ls /sys/class/net)" = lo ]
	docker run --rm --network host bb:1 ip addr show ext | grep -q 192.0.2.9
	web srv
	[ "$(docker run --rm --network container:srv bb:1 wget -qO- http://127.0.0.1/)" = srv ]
	docker stop -t 0 srv
	run docker run --rm --network container:srv bb:1 true
	[ "$status" = 125 ]
	[[ "$output" == *"cannot join network of a non running container"* ]]
}

@test "IPv6: a subnet of its own, names, and ports" {
	[ -e /proc/sys/net/ipv6 ] || skip "no IPv6"
	docker_since 28 # older ones send "EnableIPv6": false whatever was typed
	docker network create --ipv6 six
	[[ "$(docker network inspect -f '{{(index .IPAM.Config 1).Subnet}}' six)" == fd*::/64 ]]
	web srv --network six -p 18182:80
	docker run --rm --network six bb:1 ping -6 -c 1 srv
	host ip addr add 2001:db8::9/128 dev lo
	[ "$(get 'http://[2001:db8::9]:18182/')" = srv ]
	# On where nobody said; not shown, as clients would make the network anew; off where asked.
	docker network create quiet
	docker network create --ipv6=false four
	[ "$(docker network inspect -f '{{.EnableIPv6}} {{len .IPAM.Config}}' quiet)" = "false 1" ]
	web other --network quiet -p 18184:80
	docker run --rm --network quiet bb:1 ping -6 -c 1 other
	[[ "$(docker inspect -f '{{.NetworkSettings.Networks.quiet.GlobalIPv6Address}}' other)" == fd* ]]
	[ "$(get 'http://[2001:db8::9]:18184/')" = other ]
	docker run --rm bb:1 ip -6 addr show eth0 | grep -q 'inet6 fd'
	[ -z "$(docker run --rm --network four bb:1 ip -6 addr show eth0)" ]
}

@test "networks survive proad, and so do running containers in them" {
	docker network create --subnet 10.78.0.0/24 stay
	web srv --network stay --ip 10.78.0.8 -p 18183:80
	before=$(docker inspect -f '{{json .NetworkSettings}}' srv)
	kill -9 "$(cat "$ROOT/test.pid")"
	[ "$(get http://127.0.0.1:18183/)" = srv ]
	engine_start
	[ "$(docker inspect -f '{{json .NetworkSettings}}' srv)" = "$before" ]
	[ "$(get http://127.0.0.1:18183/)" = srv ]
	[ "$(from stay http://srv/)" = srv ]
	run docker run --rm -p 18183:80 bb:1 true
	[ "$status" = 125 ]
	[[ "$output" == *"port is already allocated"* ]]
	docker rm -f srv
	[ -z "$(get http://127.0.0.1:18183/)" ]
}

@test "nothing is left of what ended" {
	docker network create gone
	for _ in 1 2 3; do docker run --rm --network gone -p 80 bb:1 true; done
	docker network rm gone
	for _ in $(seq 50); do
		[ -z "$(host ip -br link show type veth)" ] && break
		sleep 0.1
	done
	[ -z "$(host ip -br link show type veth)" ]
	run host nft list table inet "$(host nft list tables | awk '/proa_/{print $3; exit}')"
	[[ "$output" != *"172.18.0"* ]]
}
