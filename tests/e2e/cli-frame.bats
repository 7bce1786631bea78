#!/usr/bin/env bats
# The command line without an engine: parsing, help, names, contexts, generated documentation.

PROA_BUILD=${PROA_BUILD:-$BATS_TEST_DIRNAME/../../build/src/main}

setup() {
	ROOT=$(mktemp -d /tmp/proa-cli-XXXXXX)
	ln -s "$(realpath "$PROA_BUILD/proa")" "$ROOT/docker"
	export DOCKER_CONFIG=$ROOT/config
	unset DOCKER_HOST DOCKER_CONTEXT PROA_HOST
	mkdir "$DOCKER_CONFIG"
}
teardown() { rm -rf "$ROOT"; }

proa() { "$PROA_BUILD/proa" "$@"; }
nowhere() { proa -H "unix://$ROOT/none.sock" "$@"; }

@test "it names itself as it was called" {
	[[ "$(proa --version)" == "proa version "* ]]
	[[ "$("$ROOT/docker" --version)" == "Docker version "*", build proa-"* ]]
	[[ "$("$ROOT/docker" ps --help)" == "Usage:  docker ps [OPTIONS]"* ]]
	[[ "$(proa container list --help)" == "Usage:  proa container ls [OPTIONS]"* ]]
}

@test "help: top, groups, commands, topics" {
	[ -z "$(proa 2>/dev/null)" ]
	[[ "$(proa --help)" == "Usage:  proa [OPTIONS] COMMAND"*"Common Commands:"*"Management Commands:"*"Global Options:"* ]]
	[[ "$(proa image --help)" == "Usage:  proa image COMMAND"*"Commands:"*"ls "* ]]
	[ "$(proa help ps)" = "$(proa ps --help)" ]
	run proa help nosuch
	[ "$status" = 1 ]
	[ "$output" = "unknown help topic: nosuch" ]
	[[ "$(proa rm --help)" == *"Aliases:
  proa container rm, proa container remove, proa rm"* ]]
}

@test "wrong flags end with 125 and the usage" {
	run proa ps --nope
	[ "$status" = 125 ]
	[ "$output" = "unknown flag: --nope

Usage:  proa ps [OPTIONS]

Run 'proa ps --help' for more information" ]
	run proa run -Z x
	[ "$status" = 125 ]
	[[ "$output" == "unknown shorthand flag: 'Z' in -Z"* ]]
	run proa run -m x img
	[ "$status" = 125 ]
	[[ "$output" == 'invalid argument "x" for "-m, --memory" flag: invalid size: '"'x'"* ]]
	run proa --nope
	[ "$status" = 125 ]
	[[ "$output" == "unknown flag: --nope"* ]]
}

@test "wrong counts and unknown commands end with 1" {
	run proa run
	[ "$status" = 1 ]
	[[ "$output" == "proa: 'proa run' requires at least 1 argument"*"See 'proa run --help'"* ]]
	run proa tag a
	[ "$status" = 1 ]
	[[ "$output" == "proa: 'proa tag' requires 2 arguments"* ]]
	run proa pul
	[ "$status" = 1 ]
	[[ "$output" == "proa: unknown command: proa pul"*"Did you mean 'proa pull'?"* ]]
	run "$ROOT/docker" pul
	[ "$status" = 1 ]
	[[ "$output" != *"Did you mean"* ]]
	run proa volume nosuch
	[ "$status" = 1 ]
	[[ "$output" == "proa: unknown command: proa volume nosuch"* ]]
}

@test "no engine: the text of docker, 1 or 125" {
	run nowhere ps
	[ "$status" = 1 ]
	[ "$output" = "Cannot connect to the Docker daemon at unix://$ROOT/none.sock. Is the docker daemon running?" ]
	run nowhere run x
	[ "$status" = 125 ]
	[[ "$output" == "proa: Cannot connect to the Docker daemon"*"Run 'proa run --help'"* ]]
	run nowhere version --format '{{.Client.Context}}'
	[ "$status" = 1 ]
	[ "${lines[0]}" = default ]
}

@test "what is not there is refused" {
	for c in "swarm init" "service ls" "compose up" "plugin ls" "manifest inspect x" "trust sign x"; do
		# shellcheck disable=SC2086 # words
		run proa $c
		[ "$status" = 1 ]
		[[ "$output" == *"not supported"* ]]
	done
}

@test "content trust is refused, not ignored" {
	for c in "pull x" "run x" "build ."; do
		# shellcheck disable=SC2086 # words
		run env DOCKER_CONTENT_TRUST=1 "$PROA_BUILD/proa" $c
		[ "$status" != 0 ]
		[[ "$output" == *"content trust is not supported yet"* ]]
	done
	run proa pull --disable-content-trust=false x
	[ "$status" = 1 ]
	[ "$output" = "content trust is not supported yet" ]
}

@test "flags of run are checked before anything is asked" {
	check() {
		local want=$1
		shift
		run nowhere run "$@" x
		[ "$status" = 125 ] && [[ "$output" == *"$want"* ]] || { echo "$* gave: $output"; return 1; }
	}
	check "invalid containerPort: foo" -p foo
	check "invalid ranges specified for container and host Ports" -p 80-81:90-95
	check "conflicting options: cannot specify both --restart and --rm" --rm --restart always
	check "--pid: invalid PID mode" --pid foo
	check "--no-healthcheck conflicts with --health-* options" --no-healthcheck --health-cmd a
	check "--health-interval cannot be negative" --health-interval -1s
	check "invalid value: 200. Valid memory swappiness range is 0-100" --memory-swappiness 200
	check "network-scoped aliases are only supported for user-defined networks" --network-alias a
	check "zz is not a valid mac address" --mac-address zz
	check "open /nosuch: no such file or directory" --env-file /nosuch
	check 'Invalid --security-opt: "foo"' --security-opt foo
	check "invalid storage option" --storage-opt foo
	check "invalid pull option: 'foo'" --pull foo
	check "not supported yet" --use-api-socket
	check "bad mode specified: z" --device /dev/null:/dev/x:z
	check "invalid spec: :/a: empty section between colons" -v :/a
	check "invalid detach keys (foo)" --detach-keys foo
	run nowhere run UPPER
	[ "$status" = 125 ]
	[[ "$output" == *"repository name (library/UPPER) must be lowercase"* ]]
}

@test "contexts: create, use, list, inspect, remove" {
	run proa context create abc --docker host=tcp://1.2.3.4:5 --description de
	[ "$status" = 0 ]
	[ "${lines[0]}" = abc ]
	[ "$(jq -r .Endpoints.docker.Host "$DOCKER_CONFIG"/contexts/meta/ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad/meta.json)" = tcp://1.2.3.4:5 ]
	proa context use abc
	[ "$(proa context show)" = abc ]
	[ "$(jq -r .currentContext "$DOCKER_CONFIG/config.json")" = abc ]
	[[ "$(proa context ls)" == *"abc *     de            tcp://1.2.3.4:5"* ]] || proa context ls
	run proa context rm abc
	[ "$status" = 1 ]
	[[ "$output" == *'context "abc" is in use, set -f flag to force remove'* ]]
	[ "$(DOCKER_HOST=unix:///x proa context show 2>/dev/null)" = default ]
	proa context use default
	[ "$(jq -r .currentContext "$DOCKER_CONFIG/config.json")" = null ]
	proa context rm abc
	run proa context inspect abc
	[ "$status" = 1 ]
	[[ "$output" == *'context "abc": context not found'* ]]
	run proa context create a --docker host=x
	[ "$status" = 1 ]
	[[ "$output" == *"is invalid, names are validated against regexp"* ]]
}

@test "the configuration keeps keys that proa does not know" {
	echo '{"auths":{"r.example":{"auth":"YTpi"}},"strange":{"k":[1,2]},"psFormat":"{{.ID}}"}' >"$DOCKER_CONFIG/config.json"
	proa logout r.example
	[ "$(jq -c .strange "$DOCKER_CONFIG/config.json")" = '{"k":[1,2]}' ]
	[ "$(jq -c .auths "$DOCKER_CONFIG/config.json")" = '{}' ]
	[ "$(stat -c %a "$DOCKER_CONFIG/config.json")" = 600 ]
	echo '{' >"$DOCKER_CONFIG/config.json"
	run proa context show
	[ "$status" = 0 ]
	[[ "$output" == *"WARNING: Error parsing config file"*default ]]
}

@test "credential helpers are asked, told and emptied" {
	cat >"$ROOT/docker-credential-fake" <<-'H'
		#!/bin/sh
		echo "$1 $(cat)" >>"$FAKE_LOG"
	H
	chmod +x "$ROOT/docker-credential-fake"
	echo '{"credsStore":"fake"}' >"$DOCKER_CONFIG/config.json"
	PATH=$ROOT:$PATH FAKE_LOG=$ROOT/log proa logout r.example
	[ "$(cat "$ROOT/log")" = "erase r.example" ]
}

@test "plugins of docker run under their names" {
	mkdir "$DOCKER_CONFIG/cli-plugins"
	cat >"$DOCKER_CONFIG/cli-plugins/docker-hello" <<-'P'
		#!/bin/sh
		if [ "$1" = docker-cli-plugin-metadata ]; then
			echo '{"SchemaVersion":"0.1.0","Vendor":"me","Version":"v1","ShortDescription":"Say hello"}'
			exit
		fi
		echo "$@" "$DOCKER_HOST" "$DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND"
		exit 5
	P
	printf '#!/bin/sh\nexit 3\n' >"$DOCKER_CONFIG/cli-plugins/docker-broken"
	cp "$DOCKER_CONFIG/cli-plugins/docker-hello" "$DOCKER_CONFIG/cli-plugins/docker-ps"
	chmod +x "$DOCKER_CONFIG"/cli-plugins/*
	# All words as they were typed, those before its name too.
	run "$ROOT/docker" -H unix:///x hello --flag a
	[ "$status" = 5 ]
	[ "$output" = "-H unix:///x hello --flag a  $ROOT/docker" ]
	run proa hello --help
	[[ "$output" == "hello --help unix:///"*"/proa.sock"* ]]
	run proa help hello
	[[ "$output" == "help hello unix:///"* ]]
	[[ "$(proa --help)" == *"  hello*  "*"Say hello"*"Invalid Plugins:"*"  broken "*"exit status 3"*'plugin "ps" duplicates builtin command'* ]]
	[ "$(proa info --format '{{range .ClientInfo.Plugins}}{{.Name}} {{end}}')" = "broken hello ps " ]
	run proa broken
	[ "$status" = 1 ]
	[[ "$output" == *"unknown command: proa broken"* ]]
	echo '{"aliases":{"builder":"hello"}}' >"$DOCKER_CONFIG/config.json"
	run proa builder x
	[[ "$output" == "hello x "* ]]
	echo '{"aliases":{"x":"ps"}}' >"$DOCKER_CONFIG/config.json"
	run proa x
	[ "$status" = 1 ]
	[ "$output" = 'not allowed to alias "x" (allowed: "builder")' ]
	rm "$DOCKER_CONFIG/config.json"
	run proa ../hello
	[ "$status" = 1 ]
	[[ "$output" == *"unknown command"* ]]
}

@test "contexts: made whole or not at all, carried in an archive" {
	printf 'authority\n' >"$ROOT/ca"
	run proa context create --docker host=foo one
	[ "$status" = 1 ]
	[[ "$output" == *'unable to parse docker host `foo`' ]]
	run proa context create --docker foo one
	[ "$status" = 125 ]
	[[ "$output" == *'foo must be formatted as key=value'* ]]
	run proa context create --docker host=tcp://h:1,ca="$ROOT/nosuch" one
	[ "$status" = 1 ]
	[[ "$output" == *"open $ROOT/nosuch: no such file or directory" ]]
	[ "$(proa context ls -q)" = default ]
	proa context create --description d --docker host=tcp://h:1,ca="$ROOT/ca" one
	proa context create --from one two
	[ "$(cat "$DOCKER_CONFIG"/contexts/tls/*/docker/ca.pem | grep -c authority)" = 2 ]
	(cd "$ROOT" && proa context export one && proa context export one two.tar)
	[ "$(tar -tf "$ROOT/two.tar" | tr '\n' ' ')" = "meta.json tls tls/docker tls/docker/ca.pem " ]
	run proa context export one "$ROOT/two.tar"
	[ "$status" = 1 ]
	[ "$output" = "open $ROOT/two.tar: file exists" ]
	proa context export one - | proa context import three -
	[ "$(proa context inspect three --format '{{.Name}} {{.Endpoints.docker.Host}} {{.TLSMaterial.docker}}')" = "three tcp://h:1 [ca.pem]" ]
	run proa context import three "$ROOT/two.tar"
	[ "$status" = 1 ]
	[ "$output" = 'context "three" already exists' ]
	# What an archive must not do.
	mkdir -p "$ROOT/h/tls/docker" && cp "$ROOT/ca" "$ROOT/h/meta.json"
	(cd "$ROOT/h" && ln -s /etc/passwd tls/docker/ca.pem && tar -cf ../link.tar tls && tar -cf ../bad.tar meta.json)
	(cd "$ROOT" && tar -P --transform 's|^ca|tls/docker/../../x|' -cf up.tar ca && : >empty)
	for f in link bad up empty; do
		[ -f "$ROOT/$f.tar" ] || mv "$ROOT/$f" "$ROOT/$f.tar"
		run proa context import evil "$ROOT/$f.tar"
		[ "$status" = 1 ] || { echo "$f was taken"; false; }
	done
	run proa context inspect evil
	[ "$status" = 1 ]
	run proa context update default
	[ "$output" = '"default" is a reserved context name' ]
}

@test "custom headers go with each request" {
	command -v python3 >/dev/null || skip "needs python3"
	python3 - "$ROOT/s" >"$ROOT/got" <<'PY' 3>&- &
import socket, sys
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(1)
c, _ = s.accept(); print(c.recv(65536).decode()); c.close()
PY
	pid=$!
	for _ in $(seq 600); do [ -S "$ROOT/s" ] && break; sleep 0.05; done
	DOCKER_CUSTOM_HEADERS='X-One=1,"X-Two=a,b"' proa -H "unix://$ROOT/s" ps || true
	wait $pid
	grep -qi '^X-One: 1' "$ROOT/got" && grep -qi '^X-Two: a,b' "$ROOT/got"
}

@test "generated: completions parse, man pages compile, the reference names each command" {
	for kind in man bash zsh fish markdown; do proa __generate $kind "$ROOT/$kind"; done
	bash -n "$ROOT/bash/proa.bash"
	grep -q -- '-l network-alias' "$ROOT/fish/proa.fish"
	grep -q -- '--network-alias' "$ROOT/zsh/_proa"
	grep -q '^## proa container run$' "$ROOT/markdown/commands.md"
	command -v scdoc >/dev/null || skip "scdoc is not installed"
	for page in "$ROOT"/man/*.scd; do scdoc <"$page" >/dev/null || { echo "$page"; return 1; }; done
	[ -f "$ROOT/man/proa-container-run.1.scd" ]
	[ -f "$ROOT/man/proa.1.scd" ]
}

@test "bash completion offers flags and commands" {
	proa __generate bash "$ROOT/bash"
	complete_words() {
		# shellcheck disable=SC1091
		(. "$ROOT/bash/proa.bash"; COMP_LINE=$1; COMP_POINT=${#1}; _proa; printf '%s\n' "${COMPREPLY[@]}")
	}
	complete_words "proa image hist" | grep -qx history
	complete_words "proa run --netw" | grep -qx -- --network-alias
	complete_words "proa vol" | grep -qx volume
	complete_words "proa -H unix:///x --log-level debug image hist" | grep -qx history
	complete_words "proa run --restart un" | grep -qx unless-stopped
	complete_words "proa run --restart=un" | grep -qx unless-stopped
	touch "$ROOT/a file"
	complete_words "proa build -f $ROOT/ba" | grep -qx "$ROOT/bash"
	proa context create --docker host=unix:///x one 2>/dev/null
	PATH=$(realpath "$PROA_BUILD"):$PATH complete_words "proa context use o" | grep -qx one
}

@test "ssh gets user, port and socket" {
	printf '#!/bin/sh\necho "$@" >>"%s/said"\n' "$ROOT" >"$ROOT/ssh"
	chmod +x "$ROOT/ssh"
	for host in me@far:2222/run/x.sock far; do
		PATH=$ROOT:$PATH run proa -H "ssh://$host" ps
		[ "$status" = 1 ]
	done
	[ "$(sort -u "$ROOT/said")" = "-o ConnectTimeout=30 -T -- far docker system dial-stdio
-o ConnectTimeout=30 -T -l me -p 2222 -- far docker --host unix:///run/x.sock system dial-stdio" ]
	run proa -H 'ssh://far/run/$(id)' ps
	[ "$status" = 1 ]
	[[ "$output" == *"unable to parse docker host"* ]]
}

@test "it starts the engine, or says why the engine ended" {
	[ "$(id -u)" = 0 ] || skip "needs root"
	# In mount and network namespaces of its own: these are the places of the system's engine.
	cat >"$ROOT/start" <<-'S'
		for d in /run /var/lib /var/log; do mount -t tmpfs tmpfs $d; done
		ip link set lo up
		"$1" ps -q 2>&1 && "$1" ps -q 2>&1 && ls /run/proa/proa.sock
		kill "$(cat /run/proa/proad.pid)"
		for _ in $(seq 600); do [ -e /run/proa/proad.pid ] || break; sleep 0.05; done
		flock /var/lib/proa/lock "$1" ps 2>&1
	S
	run unshare -m -n --propagation private sh "$ROOT/start" "$PROA_BUILD/proa"
	echo "$output"
	[ "${#lines[@]}" = 5 ]
	[ "${lines[0]}" = "proa: started the engine (proad), log: /var/log/proa/proad.log" ]
	[ "${lines[1]}" = /run/proa/proa.sock ]
	[[ "${lines[3]}" == "proa: the engine ended at once: open store"*"used by another process" ]]
}

@test "who is in the socket's group uses the engine that root has started" {
	[ "$(id -u)" = 0 ] || skip "needs root"
	cat >"$ROOT/start" <<-'S'
		for d in /run /var/lib /var/log; do mount -t tmpfs tmpfs $d; done
		ip link set lo up
		mkdir -p /run/user/proa
		member() { setpriv --reuid 65534 --regid 65534 --clear-groups env XDG_RUNTIME_DIR=/run/user "$@" 2>&1; }
		member "$1/proa" ps -q
		"$1/proad" --group nogroup -H unix:///run/proa/proa.sock 2>/dev/null &
		for _ in $(seq 600); do "$1/proa" -H unix:///run/proa/proa.sock ps -q 2>/dev/null && break; sleep 0.05; done
		member "$1/proa" version -f 'server {{.Server.Version}}'
		member "$1/proa" context inspect -f '{{.Endpoints.docker.Host}}'
		kill $!
		wait
	S
	run unshare -m -n --propagation private sh "$ROOT/start" "$(realpath "$PROA_BUILD")"
	echo "$output"
	[ "${lines[0]}" = "proa: no engine runs, and only root can start one" ]
	[ "${lines[1]}" = "Cannot connect to the Docker daemon at unix:///run/proa/proa.sock. Is the docker daemon running?" ]
	[[ "${lines[2]}" == "server "* ]]
	[ "${lines[3]}" = unix:///run/proa/proa.sock ]
}

@test "fish and zsh take their completions" {
	proa __generate fish "$ROOT/fish" && proa __generate zsh "$ROOT/zsh"
	run ! grep -q '"$w\[[^]]*(' "$ROOT/fish/proa.fish" # fish 3.6 runs no command inside of a quoted index
	if command -v zsh >/dev/null; then
		zsh -n "$ROOT/zsh/_proa"
		proa context create --docker host=unix:///x zed 2>/dev/null
		# zsh's own functions in short: what the operand's action adds.
		PATH=$(realpath "$PROA_BUILD"):$PATH ROOT=$ROOT run zsh -f -c '
			compadd() { print -rl -- "$@" }
			_call_program() { shift; eval "$@" }
			_arguments() { eval ${@[-1]##*:contexts:} }
			words=(proa context use "") CURRENT=4; . "$ROOT/zsh/_proa"'
		[[ "$output" == *zed* ]]
		grep -q -- "--restart=[^']*:(no always on-failure unless-stopped)'" "$ROOT/zsh/_proa"
	fi
	command -v fish || skip "fish is not installed"
	run fish -c "source $ROOT/fish/proa.fish; complete -C 'proa image hist'; complete -C 'proa run --netw'"
	[[ "$output" == "history"*"--network-alias"* ]]
}

@test "the program starts without libcurl and libcrypto" {
	run ldd "$PROA_BUILD/proa"
	[[ "$output" != *libcurl* ]]
	[[ "$output" != *libcrypto* ]]
	[[ "$output" != *libssl* ]]
}
