#!/usr/bin/env bats
# docs/troubleshooting.md, row by row: each message is provoked, and its words are compared with the page.

bats_require_minimum_version 1.5.0
load ../lib/engine
load ../lib/network

setup_file() {
	network_setup --default-address-pool base=10.98.0.0/23,size=24
	[ "$(id -u)" = 0 ] || return 0
	: >"$ROOT/said"
	REAL=$(dirname "$(realpath "$PROA_BUILD/proa")") # where everybody may look
	export REAL
}
teardown_file() { network_teardown; }
setup() { need_root; }

proa() { "$PROA_BUILD/proa" "$@"; }
# say COMMAND...: what it says is kept; that it fails is what we want.
say() { "$@" >>"$ROOT/said" 2>&1 3>&- </dev/null || true; }
nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
# apart SCRIPT [ARG...]: in namespaces of its own, where the machine's places are empty.
apart() { unshare -m -n --propagation private sh -c "$@"; }
config() { printf '%s\n' "$1" >"$DOCKER_CONFIG/config.json"; }

@test "what is said of the client and the engine" {
	say proa -H unix:///nowhere.sock ps
	say nobody "$REAL/proa" -H "unix://$SOCK" ps
	# shellcheck disable=SC2016 # the inner shell's
	say apart 'for d in /run /var/lib /var/log; do mount -t tmpfs tmpfs $d; done
		mkdir /var/lib/proa; unset DOCKER_HOST DOCKER_CONTEXT
		setpriv --reuid 65534 --regid 65534 --clear-groups "$0" ps
		flock /var/lib/proa/lock "$0" ps' "$REAL/proa"
	say nobody "$REAL/proad" -H unix:///nowhere.sock
	other() { say timeout 60 "$PROA_BUILD/proad" --data-root "$ROOT/data2" --exec-root "$ROOT/run2" --pidfile "$ROOT/2.pid" \
		-H "unix://$ROOT/2.sock" --bridge-name "${BRIDGE}b" --config-file "$ROOT/engine.json" "$@"; }
	other --data-root "$ROOT/data"
	other --exec-root "$ROOT/run"
	other --pidfile "$ROOT/proad.pid"
	other --bridge-name "$BRIDGE"
	other -H "unix://$SOCK"
	(
		unset DOCKER_HOST
		say proa --context gone ps
	)
	say proa --tls ps
	DOCKER_API_VERSION=1.99 say proa ps
	DOCKER_API_VERSION=1.10 say proa ps
	config '{ "auths"'
	say proa ps
	config '{"aliases":{"x":"y"}}'
	say proa ps
	rm "$DOCKER_CONFIG/config.json"
	say proa checkpoint ls x
	# Each way in which docs/differences.md says so.
	for later in "build --ssh=default" "build --sbom=true" "build --provenance=true" "build --platform=linux/amd64,linux/arm64"; do
		# shellcheck disable=SC2086 # words
		run proa $later "$ROOT"
		[ "$status" = 1 ]
		[[ "$output" == "$later is not supported yet"* || "$output" == "build --ssh is not supported yet" ]]
	done
	for driver in macvlan ipvlan overlay; do
		run proa network create -d "$driver" x
		[[ "$status" = 1 && "$output" == *"network driver \"$driver\" is not supported yet" ]]
	done
	for word in compose checkpoint plugin; do
		run proa "$word" ls
		[[ "$status" = 1 && "$output" == "proa $word is not supported yet" ]]
	done
	run proa swarm init
	[[ "$status" = 1 && "$output" == "proa swarm is not supported: proa has no swarm mode" ]]
	for flags in "--gpus all" "--device vendor.example/dev=x"; do
		# shellcheck disable=SC2086 # words
		run proa run --rm $flags bb:1 true
		[[ "$status" = 125 && "$output" == *"device requests are not supported yet"* ]]
	done
	DOCKER_CONTENT_TRUST=1 run proa pull bb:1
	[[ "$status" = 1 && "$output" == "content trust is not supported yet" ]]
	say curl -s --unix-socket "$SOCK" -X POST http://x/session
	say proa nosuch
	echo '{"nosuch": 1}' >"$ROOT/bad.json"
	say "$PROA_BUILD/proad" --validate --config-file "$ROOT/bad.json"
}

@test "what is said of containers" {
	say proa run --rm bb:1 nosuch
	say proa run --rm bb:1 /etc
	mkdir "$ROOT/c"
	echo x >"$ROOT/c/script"
	printf 'FROM bb:1\nCOPY --chmod=755 script /bin/\n' >"$ROOT/c/Dockerfile"
	say proa build -q -t script "$ROOT/c"
	say proa run --rm script script
	say proa run --rm --userns=auto bb:1 true
	proa create --name taken bb:1 true
	say proa create --name taken bb:1 true
	proa rm taken
	say proa create --name x bb:1 true
	say proa run -it --rm bb:1 true
	proa run -d --name runs bb:1 sleep 1000
	say proa rm runs
	say proa rmi -f "$(proa images -q bb:1)"
	proa rm -f runs
	say proa run --rm --mount type=bind,src=/nowhere,dst=/x bb:1 true
	say proa run --rm -v /etc/passwd:/tmp bb:1 true
	other=$(uname -m | sed 's/x86_64/arm64/; t; s/.*/amd64/')
	proa import --platform "linux/$other" "$ROOT/busybox.tar" other:1
	say proa create --name plat other:1 true
	say proa create --pull never --platform "linux/$other" bb:1 true
	proa rm plat
	say proa run --rm -m 1m bb:1 true
	say proa run --rm BB true
	say proa images --nosuch
}

@test "what is said where the machine lacks something" {
	# The engine's places: what it starts in lacks a mount point, user namespaces, control groups to write to.
	mkdir -p "$ROOT/jail/usr" "$ROOT/jail/proc" "$ROOT/jail/sys" "$ROOT/jail/dev" "$ROOT/jail/b" "$ROOT/jail/tmp" "$ROOT/jail/etc" "$ROOT/jail/r" "$ROOT/c/data"
	ln -s usr/lib usr/lib64 usr/bin usr/sbin "$ROOT/jail"
	echo containers:100000000:100000000 | tee "$ROOT/jail/etc/subuid" >"$ROOT/jail/etc/subgid"
	cat >"$ROOT/inside" <<-'S'
		ip link set lo up
		engine() { # DIR COMMAND...: an engine by the command, whose directory is DIR for us
			at=$1; shift
			"$@" --pidfile "$PIDS/p" --bridge-name prin >"$ROOT/inside.log" 2>&1 &
			pid=$!
			for _ in $(seq 600); do curl -sf --unix-socket "$at/s" http://x/_ping >/dev/null 2>&1 && break; sleep 0.05; done
			export DOCKER_HOST=unix://$at/s
			"$REAL/proa" import - bb:1 <"$ROOT/busybox.tar" >/dev/null
			shift $#
		}
		unset TSAN_OPTIONS # name a file that is not in the jail
		PIDS=/r
		for d in proc sys dev; do mount --rbind /$d "$ROOT/jail/$d"; done
		mount --bind /usr "$ROOT/jail/usr"; mount --bind "$REAL" "$ROOT/jail/b"
		engine "$ROOT/jail" chroot "$ROOT/jail" /b/proad --data-root /d --exec-root /r -H unix:///s
		"$REAL/proa" run --rm bb:1 true
		kill $pid; wait
		mount -t tmpfs r "$ROOT/jail/r"
		engine "$ROOT/jail" chroot "$ROOT/jail" /b/proad --data-root /d --exec-root /r -H unix:///s
		"$REAL/proa" run --rm bb:1 true
		"$REAL/proa" run --rm --userns=auto bb:1 true
		kill $pid; wait
		PIDS=$ROOT/c
		mount -t tmpfs -o size=12m small "$ROOT/c/data"
		engine "$ROOT/c" "$REAL/proad" --data-root "$ROOT/c/data" --exec-root "$ROOT/c/run" -H "unix://$ROOT/c/s"
		dd if=/dev/zero of="$ROOT/c/data/filler" bs=64k 2>/dev/null; dd if=/dev/zero of="$ROOT/c/data/filler2" bs=1 count=5000 2>/dev/null
		"$REAL/proa" run --rm bb:1 true
		kill $pid; wait
		umount "$ROOT/c/data"
		for d in $(sed -n 's/.* \(.*\) rw.* - cgroup.*/\1/p' /proc/self/mountinfo); do mount -o remount,bind,ro "$d"; done
		engine "$ROOT/c" "$REAL/proad" --data-root "$ROOT/c/data" --exec-root "$ROOT/c/run" -H "unix://$ROOT/c/s"
		"$REAL/proa" run --rm bb:1 true
		kill $pid; wait
	S
	say unshare -m -n --propagation private sh "$ROOT/inside"
	cat "$ROOT/said" # shown where a later comparison fails
}

@test "what is said of networks and volumes" {
	proa run -d --name web -p 18080:80 bb:1 sleep 1000
	say proa run --rm -p 18080:80 bb:1 true
	# Not by host, whose subshell is what $! would name.
	nsenter --net="/run/netns/$NS" python3 -c 'import socket, time
s = socket.socket(); s.bind(("0.0.0.0", 18081)); s.listen(); time.sleep(60)' 3>&- &
	pid=$!
	bound() { host ss -Hltn "sport = :18081" | grep -q .; }
	eventually bound
	say proa run --rm -p 18081:80 bb:1 true
	kill "$pid"
	proa network create --subnet 10.97.0.0/24 near
	say proa network create --subnet 10.97.0.0/25 over
	proa network create one
	say proa network create two
	proa network connect near web
	say proa network rm near
	proa rm -f web
	proa network rm near one
	proa run -d --name vol -v vv:/v bb:1 sleep 1000
	say proa volume rm vv
	proa rm -f vol
	proa volume rm vv
}

@test "what is said of images and builds" {
	printf 'secret\n' | "$PROA_BUILD/proa-registry" htpasswd ann >"$ROOT/users"
	openssl req -x509 -newkey rsa:2048 -nodes -keyout "$ROOT/r.key" -out "$ROOT/r.crt" -subj /CN=reg -days 2 \
		-addext subjectAltName=DNS:reg.test 2>/dev/null
	echo "{\"tls\":{\"certificate\":\"$ROOT/r.crt\",\"key\":\"$ROOT/r.key\"},\"auth\":{\"htpasswd\":\"$ROOT/users\",\"rules\":[
		{\"repositories\":\"public/**\",\"users\":[\"anonymous\"],\"actions\":[\"pull\"]}]}}" >"$ROOT/tls.json"
	nsenter --net="/run/netns/$NS" "$PROA_BUILD/proa-registry" serve --data "$ROOT/r1" --listen 192.0.2.9:443 --config "$ROOT/tls.json" >"$ROOT/r1.log" 2>&1 3>&- &
	echo $! >"$ROOT/r1.pid"
	nsenter --net="/run/netns/$NS" "$PROA_BUILD/proa-registry" serve --data "$ROOT/r2" --listen 192.0.2.9:80 --listen 127.0.0.1:5000 >"$ROOT/r2.log" 2>&1 3>&- &
	echo $! >"$ROOT/r2.pid"
	up() { host curl -sk -o /dev/null https://192.0.2.9/v2/ && host curl -s -o /dev/null http://192.0.2.9/v2/; }
	eventually up
	say proa pull 192.0.2.9/x
	say proa pull 192.0.2.9:80/x
	trust() {
		echo "$1" >"$ROOT/engine.json"
		kill -HUP "$(cat "$ROOT/test.pid")"
		taken() { [ "$(proa info -f '{{len .RegistryConfig.IndexConfigs}}')" = "$2" ]; }
		eventually taken - "$2"
	}
	trust '{"insecure-registries": ["192.0.2.9"]}' 2
	say proa pull 192.0.2.9/private/x
	say proa login -u ann -p wrong 192.0.2.9
	say proa pull 192.0.2.9/public/x
	proa tag bb:1 192.0.2.9/public/bb
	say proa push 192.0.2.9/public/bb
	say proa rmi 192.0.2.9/public/bb
	say proa pull nosuch.invalid/x
	say proa pull 127.0.0.1:1/x
	say proa pull 198.51.100.1/x
	proa tag bb:1 127.0.0.1:5000/multi:a
	proa push -q 127.0.0.1:5000/multi:a
	body=$(host curl -s -H 'Accept: application/vnd.docker.distribution.manifest.v2+json' -H 'Accept: application/vnd.oci.image.manifest.v1+json' -D "$ROOT/head" http://127.0.0.1:5000/v2/multi/manifests/a)
	type=$(tr -d '\r' <"$ROOT/head" | sed -n 's/^[Cc]ontent-[Tt]ype: //p')
	index="{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":[{\"mediaType\":\"$type\",\"digest\":\"sha256:$(printf %s "$body" | sha256sum | cut -d' ' -f1)\",\"size\":${#body},\"platform\":{\"os\":\"linux\",\"architecture\":\"s390x\"}}]}"
	host curl -sf -X PUT -H 'Content-Type: application/vnd.oci.image.index.v1+json' --data-binary "$index" http://127.0.0.1:5000/v2/multi/manifests/i
	say proa pull 127.0.0.1:5000/multi:i
	config '{"credsStore":"nosuch"}'
	say proa pull 127.0.0.1:5000/multi:a
	# A helper that is not there is no reason to fail where nobody asks for a password.
	proa pull -q 127.0.0.1:5000/multi:a
	config '{"auths":{"a.example":{},"b.example":{}},"credsStore":"nosuch"}'
	printf 'FROM bb:1\n' >"$ROOT/c/Dockerfile"
	run proa build -q "$ROOT/c"
	[ "$status" = 0 ]
	[ "${#lines[@]}" = 2 ]
	[ "${lines[0]}" = "WARNING: error getting credentials: program 'docker-credential-nosuch' not found in PATH, continuing without" ]
	rm "$DOCKER_CONFIG/config.json"
	printf 'FROM bb:1\nCOPY nosuch /\n' >"$ROOT/c/Dockerfile"
	say proa build "$ROOT/c"
	proa create --name uses 127.0.0.1:5000/multi:a true
	proa rmi -f bb:1 >/dev/null
	say proa rmi 127.0.0.1:5000/multi:a 192.0.2.9/public/bb
	say proa rmi "$(proa images -q 127.0.0.1:5000/multi)"
	say proa rmi 127.0.0.1:5000/multi:a
	proa rm uses
	kill "$(cat "$ROOT/r1.pid")" "$(cat "$ROOT/r2.pid")"
}

@test "the page has these words, and no other" {
	# What it takes too long to provoke, or somebody else says.
	cat >"$ROOT/elsewhere" <<-'W'
		BuildKit is enabled but the buildx component is missing or broken
		AppArmor enabled on system but the docker-default profile could not be loaded: …
		process.apparmorProfile: no profile … is loaded
		toomanyrequests
		i/o timeout
		connect: no route to host
		proxyconnect tcp: …
		Error waiting for container: …
		x509: SSL: no alternative certificate subject name matches target host name …
		unauthorized: incorrect username or password
	W
	python3 - "$BATS_TEST_DIRNAME/../../docs/troubleshooting.md" "$ROOT/said" "$ROOT/elsewhere" <<-'P'
		import re, sys
		said = open(sys.argv[2], errors="replace").read().splitlines()
		elsewhere = [line.strip() for line in open(sys.argv[3])]
		bad = 0
		for row in open(sys.argv[1]):
		    cells = row.split(" | ")
		    if not row.startswith("| ") or len(cells) < 3 or cells[0] == "| message":
		        continue
		    for words in re.findall(r"`([^`]+)`", cells[0]):
		        want = ".*".join(re.escape(part) for part in words.split("…"))
		        if words in elsewhere or any(re.search(want, line) for line in said):
		            continue
		        if re.match(r"[\w:\[\]]+$", words) and not cells[0].startswith("| `"):
		            continue
		        print("nobody said:", words)
		        bad = 1
		sys.exit(bad)
	P
}
