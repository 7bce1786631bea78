#!/usr/bin/env bats
# The API's frame: versions, framing, errors, hostile requests, connections.

load ../lib/engine

setup_file() { engine_setup; }
teardown_file() { engine_teardown; }
setup() { need_root; }

# api METHOD PATH [curl args]: $code, $body; headers in $ROOT/headers
api() {
	local method=$1 path=$2
	shift 2
	[ "$method" != HEAD ] || set -- --head "$@"
	code=$(curl -s -o "$ROOT/body" -D "$ROOT/headers" -w '%{http_code}' --unix-socket "$SOCK" -X "$method" "$@" "http://x$path")
	body=$(tr -d '\0' <"$ROOT/body")
}
header() { tr -d '\r' <"$ROOT/headers" | sed -n "s/^$1: //Ip"; }
# raw TEXT: send bytes, print what comes back until the server closes (at most 15 s)
raw() { printf "$1" | timeout 15 socat -t 15 - "UNIX-CONNECT:$SOCK" 2>/dev/null || printf "$1" | timeout 15 nc -U "$SOCK"; }
need_nc() { command -v socat >/dev/null || command -v nc >/dev/null || skip "needs socat or nc"; }

@test "ping: GET has OK, HEAD has length 0, both name the API" {
	api GET /_ping
	[ "$code" = 200 ]
	[ "$body" = OK ]
	api HEAD /_ping
	[ "$code" = 200 ]
	[ "$(header Content-Length)" = 0 ]
	[ -n "$(header Api-Version)" ]
	[ "$(header Ostype)" = linux ]
	[ "$(header Docker-Experimental)" = false ]
	[ "$(header Swarm)" = inactive ]
	[[ "$(header Cache-Control)" == no-cache* ]]
}

@test "every path works with and without a version" {
	for p in /version /v1.24/version /v1.41/version /v1.51/version; do
		api GET $p
		[ "$code" = 200 ]
		[ "$(jq -r .Os <<<"$body")" = linux ]
	done
}

@test "versions out of range are 400 with docker's words" {
	api GET /v1.99/info
	[ "$code" = 400 ]
	[[ "$(jq -r .message <<<"$body")" == "client version 1.99 is too new. Maximum supported API version is "* ]]
	api GET /v1.12/info
	[ "$code" = 400 ]
	[[ "$(jq -r .message <<<"$body")" == "client version 1.12 is too old. Minimum supported API version is "* ]]
}

@test "an unknown path is 404 and JSON" {
	api GET /v1.41/nope
	[ "$code" = 404 ]
	[ "$(jq -r .message <<<"$body")" = "page not found" ]
	[ "$(header Content-Type)" = application/json ]
}

@test "broken JSON, a body of another type and bad filters are 400" {
	api POST /containers/create -H 'Content-Type: application/json' -d '{'
	[ "$code" = 400 ]
	api POST /containers/create -H 'Content-Type: application/json' -d ''
	[ "$code" = 400 ]
	api POST /containers/create -H 'Content-Type: text/plain' -d '{"Image":"x"}'
	[ "$code" = 400 ]
	api GET '/containers/json?filters=%7B'
	[ "$code" = 400 ]
	api GET '/containers/json?filters=%7B%22nope%22%3A%5B%22x%22%5D%7D'
	[ "$code" = 400 ]
	api GET '/containers/json?limit=ten'
	[ "$code" = 400 ]
}

@test "a JSON bomb is refused quickly" {
	head -c 200000 /dev/zero | tr '\0' '[' >"$ROOT/deep"
	api POST /containers/create -H 'Content-Type: application/json' --data-binary "@$ROOT/deep"
	[ "$code" = 400 ]
	head -c 20000000 /dev/zero | tr '\0' ' ' >"$ROOT/big"
	api POST /containers/create -H 'Content-Type: application/json' --data-binary "@$ROOT/big"
	[ "$code" = 400 ]
}

@test "swarm is 503 in docker's words, plugins are an empty list" {
	for p in /swarm /nodes /services /tasks /secrets /configs /nodes/x /secrets/create; do
		api GET $p
		[ "$code" = 503 ]
		[[ "$(jq -r .message <<<"$body")" == "This node is not a swarm manager."* ]]
	done
	api GET /plugins
	[ "$code" = 200 ]
	[ "$body" = "[]" ]
	api GET /plugins/x/json
	[ "$code" = 404 ]
	api POST /session
	[ "$code" = 501 ]
}

@test "info has what clients look into" {
	api GET /info
	[ "$code" = 200 ]
	jq -e '.Plugins.Volume and .Swarm.LocalNodeState and .RegistryConfig.IndexConfigs["docker.io"] and .Runtimes and .SecurityOptions and .ID and .NCPU and .MemTotal and .OperatingSystem' <<<"$body"
	[ "$(jq -r .DockerRootDir <<<"$body")" = "$ROOT/data" ]
}

@test "system df has its four parts, and type limits it" {
	api GET /system/df
	[ "$code" = 200 ]
	jq -e 'has("LayersSize") and has("Images") and has("Containers") and has("Volumes") and has("BuildCache")' <<<"$body"
	api GET '/v1.44/system/df?type=volume'
	jq -e 'has("Volumes") and (has("Images") | not)' <<<"$body"
	api GET '/v1.44/system/df?type=nope'
	[ "$code" = 400 ]
}

@test "events: the head comes at once, until ends the stream" {
	timeout 60 curl -sN -D "$ROOT/headers" --unix-socket "$SOCK" http://x/events >"$ROOT/body" &
	pid=$!
	eventually grep -q '200 OK' "$ROOT/headers"
	kill $pid
	api POST /volumes/create -H 'Content-Type: application/json' -d '{"Name":"ev"}'
	[ "$code" = 201 ]
	api GET "/events?since=0&until=$(($(date +%s) + 1))"
	[ "$code" = 200 ]
	[ "$(jq -r 'select(.Type == "volume" and .Action == "create") | .Actor.ID' <<<"$body")" = ev ]
	api DELETE /volumes/ev
	[ "$code" = 204 ]
	api GET '/events?since=x'
	[ "$code" = 400 ]
}

@test "requests that two readers could read differently are refused" {
	need_nc
	[[ "$(raw 'GET /_ping HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n')" == "HTTP/1.1 400 "* ]]
	[[ "$(raw 'GET /_ping HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n')" == "HTTP/1.1 400 "* ]]
	[[ "$(raw 'GET /_ping HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n')" == "HTTP/1.1 501 "* ]]
	[[ "$(raw 'GET /_ping HTTP/1.1\r\nHost : x\r\n\r\n')" == "HTTP/1.1 400 "* ]]
	[[ "$(raw 'GET /_ping HTTP/9.1\r\nHost: x\r\n\r\n')" == "HTTP/1.1 400 "* ]]
	[[ "$(raw '\x16\x03\x01\x02\x00')" == "HTTP/1.1 400 "* ]]
}

@test "500 idle connections cost little and hold nobody up" {
	command -v python3 >/dev/null || skip "needs python3"
	python3 - "$SOCK" "$(cat "$ROOT/test.pid")" <<-'P'
		import os, socket, sys
		path, pid = sys.argv[1], sys.argv[2]
		def rss():
		    return int(next(l for l in open(f"/proc/{pid}/status") if l.startswith("VmRSS")).split()[1])
		def threads():
		    return int(next(l for l in open(f"/proc/{pid}/status") if l.startswith("Threads")).split()[1])
		before = rss()
		conns = []
		for i in range(500):
		    s = socket.socket(socket.AF_UNIX)
		    s.connect(path)
		    s.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n" if i % 2 else b"GET /_ping HT")
		    if i % 2:
		        assert s.recv(4096).startswith(b"HTTP/1.1 200")
		    conns.append(s)
		s = socket.socket(socket.AF_UNIX)
		s.settimeout(60)
		s.connect(path)
		s.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
		assert s.recv(4096).startswith(b"HTTP/1.1 200")
		# A sanitizer's own memory is many times ours.
		assert "PROA_SANITIZED" in os.environ or rss() - before < 4096, f"{rss() - before} KiB"
		assert threads() < 60, f"{threads()} threads"
	P
}

@test "dockerode's whole body in the query, and unknown keys, are ignored" {
	api GET '/containers/json?all=True&Cmd=%5B%22sh%22%5D&HostConfig=%7B%7D&Image=x'
	[ "$code" = 200 ]
}

@test "OPTIONS is answered, HTTP/1.0 works" {
	api OPTIONS /containers/json
	[ "$code" = 200 ]
	[ "$(curl -s -0 --unix-socket "$SOCK" http://x/_ping)" = OK ]
}
