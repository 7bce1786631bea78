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
	[ -z "$(PATIENCE=2 get http://127.0.0.1:18183/)" ]
}

@test "nothing is left of what ended" {
	docker network create gone
	for _ in 1 2 3; do docker run --rm --network gone -p 80 bb:1 true; done
	docker network rm gone
	for _ in $(seq 300); do
		[ -z "$(host ip -br link show type veth)" ] && break
		sleep 0.1
	done
	[ -z "$(host ip -br link show type veth)" ]
	run host nft list table inet "$(host nft list tables | awk '/proa_/{print $3; exit}')"
	[[ "$output" != *"172.18.0"* ]]
}

@test "the name server: a container that floods it has its share of memory and sockets, others have answers" {
	docker network create names
	docker run -d --name quiet --network names bb:1 sleep 1000
	gw=$(docker network inspect -f '{{(index .IPAM.Config 0).Gateway}}' names)
	# A server that takes every question and answers none: all of them wait.
	nsenter --net="/run/netns/$NS" python3 - "$gw" 3>&- <<-'P' &
		import socket, sys, time
		s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
		s.bind((sys.argv[1], 53))
		t = socket.socket()
		t.bind((sys.argv[1], 53))
		t.listen(1000)
		time.sleep(120)
	P
	hole=$!
	docker run -d --name flood --network names --dns "$gw" bb:1 sleep 1000
	proad=$(cat "$ROOT/test.pid")
	# The image's python is none: the test's own asks from inside of the container's network.
	run nsenter -t "$(docker inspect -f '{{.State.Pid}}' flood)" -n python3 - "$proad" <<-'P'
		import os, socket, struct, sys, time
		proad = sys.argv[1]
		rss = lambda: next(int(l.split()[1]) for l in open(f"/proc/{proad}/status") if l.startswith("VmRSS"))
		fds = lambda: len(os.listdir(f"/proc/{proad}/fd"))
		def question(n, pad):
		    name = b"".join(bytes([len(p)]) + p for p in (b"q%d" % n, b"example", b"com")) + b"\0"
		    return struct.pack(">HHHHHH", n & 65535, 0x100, 1, 0, 0, 1) + name + struct.pack(">HH", 1, 1) + \
		        b"\0" + struct.pack(">HHIH", 41, 4096, 0, pad + 4) + struct.pack(">HH", 12, pad) + bytes(pad)
		before = rss(), fds()
		s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		for n in range(20000):
		    s.sendto(question(n, 3900), ("127.0.0.11", 53))
		    if n % 8 == 0:
		        time.sleep(0.0003)  # or the kernel drops them
		most = [rss(), fds()]
		tcp = []
		for n in range(600):
		    t = socket.socket()
		    t.settimeout(5)
		    try:
		        t.connect(("127.0.0.11", 53))
		        q = question(n, 10)
		        t.sendall(struct.pack(">H", len(q)) + q)
		        tcp.append(t)
		    except OSError:
		        pass
		for _ in range(30):
		    most = [max(most[0], rss()), max(most[1], fds())]
		    time.sleep(0.1)
		print("memory", before[0], most[0], "descriptors", before[1], most[1])
		assert os.environ.get("PROA_SANITIZED") or most[0] - before[0] < 56 << 10, "more than 8,192 questions of 4 KiB"
		assert 256 <= most[1] - before[1] < 256 + 512 + 64, "256 clients and a socket for each of 512 questions"
	P
	echo "$output"
	[ "$status" = 0 ]
	docker exec quiet nslookup flood 127.0.0.11
	docker exec quiet nslookup quiet 127.0.0.11
	kill "$hole"
	docker rm -f flood quiet
	docker network rm names
}

@test "a bridge that somebody deleted is made again for the next container" {
	web srv -p 18080:80
	host ip link del "$BRIDGE"
	web other -p 18081:80
	[ "$(get http://127.0.0.1:18081/)" = other ]
	[ "$(host ip link show "$BRIDGE" | sed -n "s/ *alias //p")" = "proa network of $ROOT/run" ]
	docker restart -t 0 srv
	[ "$(from bridge "http://$(docker inspect -f '{{.NetworkSettings.IPAddress}}' srv)/")" = srv ]
	docker network create gone
	host ip link del "br-$(docker network inspect -f '{{.Id}}' gone | cut -c1-12)"
	docker run --rm --network gone bb:1 true
}

@test "a plug that an engine made in the moment of its death is in nobody's way" {
	docker network create kept >/dev/null
	docker network create late >/dev/null
	docker run -d --name lives --network kept bb:1 sleep 1000 >/dev/null
	pid=$(docker inspect -f '{{.State.Pid}}' lives)
	late=br-$(docker network inspect -f '{{.Id}}' late | cut -c1-12)
	# As `network connect` has it before it is recorded; and two of somebody else's.
	host ip link add veth0abcdef type veth peer name eth1 netns "$pid"
	host ip link set veth0abcdef master "$late" up
	host ip link add vethmine type veth peer name mine-peer
	host ip link set vethmine master "$late"
	host ip link add veth1abcdef type veth peer name their-peer
	# As `network create` has it before it is recorded; another engine's; and the administrator's.
	for br in br-0123456789ab br-1123456789ab br-2123456789ab; do host ip link add "$br" type bridge; done
	host ip link set br-0123456789ab alias "proa network of $ROOT/run"
	host ip link set br-1123456789ab alias "proa network of $ROOT/other"
	host ip link add veth2abcdef type veth peer name her-peer
	host ip link set veth2abcdef master br-2123456789ab
	kill -9 "$(cat "$ROOT/test.pid")"
	while kill -0 "$(cat "$ROOT/test.pid")" 2>/dev/null; do sleep 0.05; done
	rm -f "$SOCK"
	engine_start
	docker network connect late lives
	[ "$(docker exec lives ls /sys/class/net | xargs)" = "eth0 eth1 lo" ]
	run ! host ip link show veth0abcdef
	host ip link show vethmine >/dev/null
	host ip link show veth1abcdef >/dev/null
	[ "$(host ip -o link show master "$late" | grep -c veth)" = 2 ]
	run ! host ip link show br-0123456789ab
	host ip link show veth2abcdef >/dev/null
	for link in br-1123456789ab br-2123456789ab vethmine veth1abcdef veth2abcdef; do host ip link del "$link"; done
	docker exec lives ip addr show eth0 | grep -q 'inet '
	run ! grep -q 'network helper:' "$ROOT/proad.log"
}
