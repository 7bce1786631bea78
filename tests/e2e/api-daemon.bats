#!/usr/bin/env bats
# proad itself: flags, configuration, sockets, signals, two engines, activation.

bats_require_minimum_version 1.5.0

load ../lib/engine

setup() {
	need_root
	ROOT=$(mktemp -d /tmp/proa-e2e-XXXXXX)
	SOCK=$ROOT/proa.sock
	BRIDGE=pr$(printf %s "${ROOT##*-}" | tr '[:upper:]' '[:lower:]')
	echo '{}' >"$ROOT/engine.json"
	export ROOT SOCK BRIDGE
}
teardown() {
	[ -n "${ROOT:-}" ] || return 0
	[ ! -f "$ROOT/test.pid" ] || engine_stop
	rm -rf "$ROOT"
}
proad() { "$PROA_BUILD/proad" "$@" 3>&-; }

@test "--version, --help and unknown flags" {
	run proad --version
	[ "$status" = 0 ]
	[[ "$output" == "proad version "* ]]
	run proad --help
	[ "$status" = 0 ]
	[[ "$output" == *--registry-mirror* ]]
	run proad --nope
	[ "$status" = 125 ]
	[[ "$output" == "unknown flag: --nope"* ]]
	run proad --userns-remap=default --validate
	[ "$status" != 0 ]
	[[ "$output" == *"not supported yet"* ]]
}

@test "a data root that other users may enter is closed to them" {
	install -d -m 2755 "$ROOT/data"
	engine_start
	[ "$(stat -c %a "$ROOT/data")" = 710 ]
}

@test "--validate checks the file and starts nothing" {
	echo '{"debug":true,"log-opts":{"max-size":"1m"},"registry-mirrors":["http://127.0.0.1:5000"]}' >"$ROOT/engine.json"
	run proad --validate --config-file "$ROOT/engine.json"
	[ "$status" = 0 ]
	[ "$output" = "configuration OK" ]
	echo '{"nope":1}' >"$ROOT/engine.json"
	run proad --validate --config-file "$ROOT/engine.json"
	[ "$status" = 1 ]
	[[ "$output" == *"the following directives don't match any configuration option: nope"* ]]
	echo '{"debug":true}' >"$ROOT/engine.json"
	run proad --validate --debug --config-file "$ROOT/engine.json"
	[ "$status" = 1 ]
	[[ "$output" == *"specified both as a flag and in the configuration file: debug"* ]]
	run proad --validate --config-file "$ROOT/absent.json"
	[ "$status" = 1 ]
}

@test "a daemon.json of docker's is taken" {
	cat >"$ROOT/engine.json" <<-J
		{"storage-driver": "overlay2", "storage-opts": ["overlay2.override_kernel_check=true"],
		 "exec-opts": ["native.cgroupdriver=cgroupfs"], "log-driver": "json-file", "log-opts": {"max-size": "10m"},
		 "live-restore": true, "userland-proxy": false, "max-concurrent-downloads": 5, "max-download-attempts": 3,
		 "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 1024, "Hard": 2048}}, "init": true,
		 "no-new-privileges": true, "default-ipc-mode": "shareable", "default-cgroupns-mode": "private",
		 "proxies": {"http-proxy": "http://127.0.0.1:1", "no-proxy": "x.test"}, "features": {"buildkit": true},
		 "labels": ["a=b"], "icc": true, "ip-forward": true, "shutdown-timeout": 5}
	J
	run proad --validate --config-file "$ROOT/engine.json"
	[ "$status" = 0 ]
	for bad in --storage-opt=size=1G --default-ipc-mode=host --default-cgroupns-mode=x --max-download-attempts=0 \
		--bip=1.2.3 --fixed-cidr=1 --default-address-pool=base=x,size=24 --dns=nope --ip=nope --host-gateway-ip=x --mtu=-5 \
		--log-driver=nope --log-opt=nope=1 --log-opt=max-size=abc --label=x --default-runtime=nope --default-ulimit=nofile=x \
		--registry-mirror=ftp://x --insecure-registry=bad/host --max-concurrent-downloads=-1; do
		run proad --validate "$bad" --config-file /dev/null
		echo "$bad: $output"
		[ "$status" = 1 ]
		[ "${#lines[@]}" = 1 ]
	done
	run proad --validate --label=a=b --label=a=c --config-file /dev/null
	[ "$output" = "conflict labels for a=b and a=c" ]
}

@test "what containers get that do not say: init, no-new-privileges, namespaces" {
	[ -z "${PROA_SANITIZED:-}" ] || skip "the init of a sanitizer build is not static"
	need_docker
	echo '{"proxies": {"http-proxy": "http://ann:secret@127.0.0.1:1", "no-proxy": "x.test"}}' >"$ROOT/engine.json"
	engine_start --bridge none --init --no-new-privileges --default-ipc-mode shareable --default-cgroupns-mode host
	export DOCKER_HOST=unix://$SOCK
	busybox_image bb:1
	[ "$(docker run --rm --network none bb:1 cat /proc/1/cmdline | tr '\0' ' ' | cut -d' ' -f1)" = /sbin/docker-init ]
	[ "$(docker run --rm --network none --init=false bb:1 sh -c 'echo $$')" = 1 ]
	[ "$(docker run --rm --network none bb:1 sh -c 'grep NoNewPrivs /proc/self/status' | tr -dc 0-9)" = 1 ]
	[ "$(docker run --rm --network none --security-opt no-new-privileges=false bb:1 sh -c 'grep NoNewPrivs /proc/self/status' | tr -dc 0-9)" = 0 ]
	docker create --name dd --network none bb:1 true
	[ "$(docker inspect -f '{{.HostConfig.IpcMode}} {{.HostConfig.CgroupnsMode}}' dd)" = "shareable host" ]
	docker rm dd
	[ "$(docker info -f '{{.HTTPProxy}} {{.NoProxy}}')" = "http://xxxxx:xxxxx@127.0.0.1:1 x.test" ]
}

@test "the socket is 0660, goes away at the end, and a stale one is replaced" {
	engine_start
	[ "$(stat -c %a "$SOCK")" = 660 ]
	engine_stop
	[ ! -e "$SOCK" ]
	[ ! -e "$ROOT/proad.pid" ]
	engine_start
	kill -9 "$(cat "$ROOT/test.pid")"
	eventually gone "$(cat "$ROOT/test.pid")"
	[ -S "$SOCK" ]
	engine_start
}

@test "two engines on one data root are refused" {
	engine_start
	run timeout 60 "$PROA_BUILD/proad" --data-root "$ROOT/data" --exec-root "$ROOT/run2" --bridge-name "${BRIDGE}b" -H "unix://$ROOT/2.sock" --config-file "$ROOT/engine.json"
	[ "$status" = 1 ]
	curl -sf --unix-socket "$SOCK" http://x/_ping
}

@test "two engines on one exec root are refused, and the first keeps its files" {
	engine_start
	before=$(cat "$ROOT/proad.pid"; ls -R "$ROOT/run")
	run timeout 60 "$PROA_BUILD/proad" --data-root "$ROOT/data2" --exec-root "$ROOT/run" --bridge-name "${BRIDGE}b" --pidfile "$ROOT/proad.pid" -H "unix://$SOCK" --config-file "$ROOT/engine.json"
	[ "$status" = 1 ]
	[[ "$output" == *"the exec root '$ROOT/run' is used by another process"* ]]
	[ "$(cat "$ROOT/proad.pid"; ls -R "$ROOT/run")" = "$before" ]
	curl -sf --unix-socket "$SOCK" http://x/_ping
}

@test "two engines on one bridge or one pid file are refused, and the first goes on" {
	engine_start
	second() {
		timeout 60 "$PROA_BUILD/proad" --data-root "$ROOT/data2" --exec-root "$ROOT/run2" -H "unix://$ROOT/2.sock" \
			--config-file "$ROOT/engine.json" "$@" 2>&1
	}
	run second --bridge-name "$BRIDGE" --pidfile "$ROOT/2.pid"
	[ "$status" = 1 ]
	[[ "$output" == *"bridge '$BRIDGE': it belongs to the engine with the exec root '$ROOT/run'"*"ip link del $BRIDGE"* ]]
	run second --bridge-name "${BRIDGE}b" --pidfile "$ROOT/proad.pid"
	[ "$status" = 1 ]
	[[ "$output" == *"pid file: '$ROOT/proad.pid' is used by another process"* ]]
	[ "$(cat "$ROOT/proad.pid")" = "$(cat "$ROOT/test.pid")" ]
	[ "$(cat "/sys/class/net/$BRIDGE/ifalias")" = "proa network of $ROOT/run" ]
	run ! ip link show "${BRIDGE}b"
	rm -rf "$ROOT/data2" "$ROOT/run2"
}

@test "an engine of nobody's says that it needs root" {
	run setpriv --reuid 65534 --regid 65534 --clear-groups "$(realpath "$PROA_BUILD/proad")" --data-root /nowhere -H unix:///nowhere/s
	[ "$status" = 1 ]
	[ "$output" = "proad has to be started by root: rootless mode is not supported yet" ]
}

@test "SIGHUP reads the log level again, SIGTERM ends with 0" {
	engine_start
	pid=$(cat "$ROOT/test.pid")
	echo '{"debug":true,"registry-mirrors":["http://127.0.0.1:1"],"insecure-registries":["reg.test:5000"]}' >"$ROOT/engine.json"
	kill -HUP "$pid"
	eventually grep -q 'configuration reloaded' "$ROOT/proad.log"
	[ "$(curl -s --unix-socket "$SOCK" http://x/info | jq -r '.RegistryConfig | .Mirrors[0], .IndexConfigs["reg.test:5000"].Secure')" = "$(printf 'http://127.0.0.1:1\nfalse')" ]
	curl -sf --unix-socket "$SOCK" http://x/_ping
	eventually grep -q 'debug request' "$ROOT/proad.log"
	echo '{"nope":true}' >"$ROOT/engine.json"
	kill -HUP "$pid"
	eventually grep -q 'configuration not reloaded' "$ROOT/proad.log"
	curl -sf --unix-socket "$SOCK" http://x/_ping
	kill "$pid"
	wait "$pid"
}

@test "systemd: an activated socket is served, readiness is told" {
	command -v python3 >/dev/null || skip "needs python3"
	python3 - "$PROA_BUILD/proad" "$ROOT" "$BRIDGE" <<-'P'
		import os, socket, subprocess, sys, time
		proad, root, bridge = sys.argv[1:]
		notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
		notify.bind(root + "/notify")
		notify.settimeout(60)
		s = socket.socket(socket.AF_UNIX)
		s.bind(root + "/act.sock")
		s.listen()
		pid = os.fork()
		if pid == 0:
		    os.dup2(s.fileno(), 3)
		    os.set_inheritable(3, True)
		    env = dict(os.environ, LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), NOTIFY_SOCKET=root + "/notify")
		    os.execve(proad, [proad, "-H", "fd://", "--data-root", root + "/data", "--exec-root", root + "/run",
		                      "--bridge-name", bridge, "--config-file", root + "/engine.json"], env)
		assert notify.recv(100) == b"READY=1"
		c = socket.socket(socket.AF_UNIX)
		c.connect(root + "/act.sock")
		c.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
		assert c.recv(4096).startswith(b"HTTP/1.1 200")
		os.kill(pid, 15)
		assert notify.recv(100) == b"STOPPING=1"
		assert os.waitpid(pid, 0)[1] == 0
		assert os.path.exists(root + "/act.sock"), "a socket of systemd's stays"
	P
}

@test "--idle-exit leaves when nobody needs the engine" {
	engine_start --idle-exit 1
	pid=$(cat "$ROOT/test.pid")
	for _ in $(seq 300); do
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	run ! kill -0 "$pid" 2>/dev/null
}

@test "TLS: a client certificate of the CA is needed" {
	command -v openssl >/dev/null || skip "needs openssl"
	cd "$ROOT"
	openssl req -x509 -newkey rsa:2048 -nodes -keyout ca-key.pem -out ca.pem -days 1 -subj /CN=ca 2>/dev/null
	for who in server client; do
		openssl req -newkey rsa:2048 -nodes -keyout $who-key.pem -out $who.csr -subj /CN=localhost 2>/dev/null
		printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=%sAuth\n' $who >ext
		openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 1 -extfile ext -out $who.pem 2>/dev/null
	done
	port=$((20000 + RANDOM % 20000))
	engine_start -H "tcp://127.0.0.1:$port" --tlsverify --tlscacert ca.pem --tlscert server.pem --tlskey server-key.pem
	[ "$(curl -s --cacert ca.pem --cert client.pem --key client-key.pem "https://127.0.0.1:$port/_ping")" = OK ]
	run ! curl -s --cacert ca.pem "https://127.0.0.1:$port/_ping"
	run ! curl -sf "http://127.0.0.1:$port/_ping"
	if command -v docker >/dev/null; then
		cp client.pem cert.pem && cp client-key.pem key.pem
		export DOCKER_CERT_PATH=$ROOT DOCKER_TLS_VERIFY=1 DOCKER_HOST=tcp://localhost:$port
		# A process that answers while it is still being sent to.
		busybox_tar "$ROOT/busybox.tar"
		docker import "$ROOT/busybox.tar" bb:1
		head -c 2000000 /dev/urandom >"$ROOT/bytes"
		timeout 60 docker run -i --rm bb:1 cat <"$ROOT/bytes" >"$ROOT/back"
		cmp "$ROOT/bytes" "$ROOT/back"
		[ "$(DOCKER_CERT_PATH=$ROOT DOCKER_TLS_VERIFY=1 DOCKER_HOST=tcp://localhost:$port docker version -f '{{.Server.Os}}')" = linux ]
	fi
}
