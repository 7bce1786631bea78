#!/usr/bin/env bats
# The container endpoints on the wire: statuses, framing, raw streams, what clients trip over.

bats_require_minimum_version 1.5.0
load ../lib/engine

setup_file() {
	engine_setup
	[ "$(id -u)" = 0 ] || return 0
	busybox_tar "$ROOT/busybox.tar"
	curl -sf --unix-socket "$SOCK" -X POST --data-binary "@$ROOT/busybox.tar" 'http://x/images/create?fromSrc=-&repo=bb&tag=1' >/dev/null
	# A test peer that speaks HTTP on a raw socket.
	cat >"$ROOT/peer.py" <<-'P'
		import json, os, socket, struct, sys, time
		def conn():
		    s = socket.socket(socket.AF_UNIX)
		    s.settimeout(60)
		    s.connect(os.environ["SOCK"])
		    return s
		def head(s):
		    data = b""
		    while b"\r\n\r\n" not in data:
		        more = s.recv(4096)
		        assert more, data
		        data += more
		    h, _, rest = data.partition(b"\r\n\r\n")
		    return h.decode(), rest
		def send(s, method, path, body=None, upgrade=False):
		    h = f"{method} {path} HTTP/1.1\r\nHost: x\r\n"
		    if upgrade: h += "Connection: Upgrade\r\nUpgrade: tcp\r\n"
		    if body is not None:
		        body = json.dumps(body).encode()
		        h += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
		    elif method == "POST":
		        h += "Content-Length: 0\r\n"
		    s.sendall(h.encode() + b"\r\n" + (body or b""))
		def call(method, path, body=None):
		    import http.client
		    c = http.client.HTTPConnection("x")
		    c.sock = conn()
		    c.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"} if body is not None else {})
		    r = c.getresponse()
		    text = r.read()
		    return r.status, json.loads(text) if text.strip() else None
		def rest_of(s, data=b""):
		    while True:
		        more = s.recv(4096)
		        if not more: return data
		        data += more
		def frames(data):
		    out = []
		    while data:
		        kind, n = data[0], struct.unpack(">I", data[4:8])[0]
		        out.append((kind, data[8:8 + n]))
		        data = data[8 + n:]
		    return out
		def create(cmd, **kw):
		    status, j = call("POST", "/containers/create", dict(Image="bb:1", Cmd=cmd, **kw))
		    assert status == 201, (status, j)
		    return j["Id"]
	P
}
teardown_file() { engine_teardown; }
setup() { need_root; }

answers() { # CODE METHOD PATH
	api "$2" "$3"
	[ "$code" = "$1" ]
}
api() { # METHOD PATH [curl args]: $code, $body; headers in $ROOT/headers
	local method=$1 path=$2
	shift 2
	[ "$method" != HEAD ] || set -- --head "$@"
	code=$(curl -s -o "$ROOT/body" -D "$ROOT/headers" -w '%{http_code}' --unix-socket "$SOCK" -X "$method" "$@" "http://x$path")
	body=$(tr -d '\0' <"$ROOT/body")
}
post() { api POST "$1" -H 'Content-Type: application/json' -d "$2"; }
header() { tr -d '\r' <"$ROOT/headers" | sed -n "s/^$1: //Ip"; }
message() { jq -r .message <<<"$body"; }
peer() { # python on stdin
	{
		cat "$ROOT/peer.py"
		cat
	} | python3 -
}
new() { # NAME CMD-JSON [EXTRA]
	post "/containers/create?name=$1" "{\"Image\":\"bb:1\",\"Cmd\":$2${3:-}}"
	[ "$code" = 201 ]
}

@test "create: 201, null warnings as an array, 404, 409, 400" {
	new c1 '["true"]'
	[ "$(jq -c .Warnings <<<"$body")" = "[]" ]
	new c2 '["true"]' ',"HostConfig":{"MemorySwappiness":-1,"ConsoleSize":[0,0],"PidsLimit":0},"NetworkingConfig":{"EndpointsConfig":{"default":{}}}'
	post '/containers/create' '{"Image":"nope:1","Cmd":["x"]}'
	[ "$code" = 404 ]
	[ "$(message)" = "No such image: nope:1" ]
	post '/containers/create?name=c1' '{"Image":"bb:1","Cmd":["x"]}'
	[ "$code" = 409 ]
	[[ "$(message)" == 'Conflict. The container name "/c1" is already in use by container '* ]]
	post '/containers/create?name=%2F%2F' '{"Image":"bb:1","Cmd":["x"]}'
	[ "$code" = 400 ]
	api DELETE /containers/c1
	[ "$code" = 204 ]
	api DELETE /containers/c2
}

@test "start 204 then 304, stop 204 then 304, kill of a stopped one 409, rm of a running one 409" {
	new c3 '["sleep","100"]'
	api POST /containers/c3/start
	[ "$code" = 204 ]
	api POST /containers/c3/start
	[ "$code" = 304 ]
	api DELETE /containers/c3
	[ "$code" = 409 ]
	api POST '/containers/c3/rename?name=c3b'
	[ "$code" = 204 ]
	api POST '/containers/c3b/pause'
	[ "$code" = 204 ]
	api POST '/containers/c3b/unpause'
	[ "$code" = 204 ]
	api POST '/containers/c3b/stop?t=0'
	[ "$code" = 204 ]
	api POST '/containers/c3b/stop'
	[ "$code" = 304 ]
	api POST '/containers/c3b/kill'
	[ "$code" = 409 ]
	api POST '/containers/c3b/kill?signal=NOPE'
	[ "$code" = 400 ] || [ "$code" = 409 ]
	api DELETE '/containers/c3b?v=1'
	[ "$code" = 204 ]
	for what in json logs?stdout=1 top stats changes export archive?path=/; do
		api GET "/containers/nope/$what"
		[ "$code" = 404 ]
		[ "$(message)" = "No such container: nope" ]
	done
}

@test "wait: the head comes before the start, the answer after the end" {
	peer <<-'P'
		id = create(["sh", "-c", "exit 5"])
		s = conn(); send(s, "POST", f"/v1.41/containers/{id}/wait?condition=next-exit")
		h, rest = head(s)
		assert h.startswith("HTTP/1.1 200"), h
		assert "chunked" in h
		assert call("POST", f"/containers/{id}/start")[0] == 204
		while b"StatusCode" not in rest: rest += s.recv(4096)
		assert b'"StatusCode":5' in rest, rest
		status, j = call("POST", f"/containers/{id}/wait")
		assert status == 200 and j["StatusCode"] == 5, j
		s = conn(); send(s, "POST", f"/v1.44/containers/{id}/wait?condition=nope")
		assert head(s)[0].startswith("HTTP/1.1 400")
		assert call("DELETE", f"/containers/{id}")[0] == 204
	P
}

@test "--rm: condition=removed answers after the removal, a failed start is released too" {
	peer <<-'P'
		id = create(["sh", "-c", "exit 3"], HostConfig={"AutoRemove": True})
		s = conn(); send(s, "POST", f"/containers/{id}/wait?condition=removed")
		h, rest = head(s)
		call("POST", f"/containers/{id}/start")
		while b"StatusCode" not in rest: rest += s.recv(4096)
		assert b'"StatusCode":3' in rest
		assert call("GET", f"/containers/{id}/json")[0] == 404
		id = create(["/nosuch"], HostConfig={"AutoRemove": True})
		s = conn(); send(s, "POST", f"/containers/{id}/wait?condition=removed")
		h, rest = head(s)
		status, j = call("POST", f"/containers/{id}/start")
		assert status in (400, 404, 500) and "no such file or directory" in j["message"], (status, j)
		while b"StatusCode" not in rest: rest += s.recv(4096)
		assert b'"StatusCode":127' in rest, rest
		assert call("GET", f"/containers/{id}/json")[0] == 404
	P
}

@test "attach: 101 with Upgrade, 200 without; frames without a tty; half-close ends stdin only" {
	peer <<-'P'
		for upgrade in (True, False):
		    for version, kind in (("1.41", "raw-stream"), ("1.51", "multiplexed-stream")):
		        id = create(["sh", "-c", "cat; echo err >&2; echo end"], OpenStdin=True, StdinOnce=True, AttachStdin=True)
		        s = conn()
		        send(s, "POST", f"/v{version}/containers/{id}/attach?stream=1&stdin=1&stdout=1&stderr=1", upgrade=upgrade)
		        h, rest = head(s)
		        assert h.startswith("HTTP/1.1 101 UPGRADED" if upgrade else "HTTP/1.1 200 OK"), h
		        assert "application/vnd.docker." + kind in h, h
		        assert ("Upgrade: tcp" in h) == upgrade and "chunked" not in h and "Content-Length" not in h, h
		        assert call("POST", f"/containers/{id}/start")[0] == 204
		        s.sendall(b"typed\n")
		        s.shutdown(socket.SHUT_WR)
		        got = frames(rest_of(s, rest))
		        out = b"".join(d for k, d in got if k == 1)
		        err = b"".join(d for k, d in got if k == 2)
		        assert out == b"typed\nend\n" and err == b"err\n", got
		        assert call("DELETE", f"/containers/{id}")[0] in (204, 409)
	P
}

@test "attach to a tty is raw, resize works, closing detaches" {
	peer <<-'P'
		id = create(["sh"], Tty=True, OpenStdin=True)
		s = conn(); send(s, "POST", f"/containers/{id}/attach?stream=1&stdin=1&stdout=1", upgrade=True)
		h, rest = head(s)
		assert "raw-stream" in h
		assert call("POST", f"/containers/{id}/start")[0] == 204
		assert call("POST", f"/containers/{id}/resize?h=33&w=101")[0] == 200
		s.sendall(b"stty size\n")
		while b"33 101" not in rest: rest += s.recv(4096)
		s.close()
		time.sleep(0.2)
		assert call("GET", f"/containers/{id}/json")[1]["State"]["Running"]
		assert call("DELETE", f"/containers/{id}?force=1")[0] == 204
		status, j = call("POST", f"/containers/{id}/resize?h=1&w=1")
		assert status == 404
	P
}

@test "exec: create, start raw, exit code at the end of the stream, detached, errors" {
	peer <<-'P'
		id = create(["sleep", "100"])
		status, j = call("POST", f"/containers/{id}/exec", {"Cmd": ["true"]})
		assert status == 409, (status, j)
		call("POST", f"/containers/{id}/start")
		for upgrade in (True, False):
		    status, j = call("POST", f"/containers/{id}/exec", {"Cmd": ["sh", "-c", "cat; echo e >&2; exit 9"], "AttachStdin": True, "AttachStdout": True, "AttachStderr": True})
		    assert status == 201
		    x = j["Id"]
		    before = call("GET", f"/exec/{x}/json")[1]
		    assert before["Running"] is False and before["ExitCode"] is None, before
		    s = conn(); send(s, "POST", f"/exec/{x}/start", {"Detach": False, "Tty": False}, upgrade=upgrade)
		    h, rest = head(s)
		    assert h.startswith("HTTP/1.1 101" if upgrade else "HTTP/1.1 200"), h
		    s.sendall(b"in")
		    s.shutdown(socket.SHUT_WR)
		    got = frames(rest_of(s, rest))
		    assert (1, b"in") in got and (2, b"e\n") in got, got
		    after = call("GET", f"/exec/{x}/json")[1]
		    assert after["ExitCode"] == 9 and after["Running"] is False, after
		x = call("POST", f"/containers/{id}/exec", {"Cmd": ["touch", "/made"]})[1]["Id"]
		assert call("POST", f"/exec/{x}/start", {"Detach": True})[0] == 200
		assert call("POST", f"/exec/nope/start", {})[0] == 404
		assert call("POST", f"/containers/{id}/exec", {"Cmd": []})[0] == 400
		assert call("DELETE", f"/containers/{id}?force=1")[0] == 204
	P
}

@test "what docker-py and dockerode send: bodies of attach, frames by the start's Tty, detach keys, links" {
	need_root
	peer <<-'P'
		import http.client
		def start(i): assert call("POST", f"/containers/{i}/start")[0] == 204
		def call_raw(method, path, body=None):
		    c = http.client.HTTPConnection("x"); c.sock = conn()
		    c.request(method, path, body)
		    r = c.getresponse()
		    assert r.status == 200, (r.status, path)
		    return r.read()
		# A body of attach is no input of the container.
		i = create(["cat"], OpenStdin=True, StdinOnce=True)
		s = conn()
		send(s, "POST", f"/containers/{i}/attach?stream=1&stdin=1&stdout=1", {"stream": True}, upgrade=True)
		h, data = head(s)
		start(i)
		s.sendall(b"hello")
		s.shutdown(socket.SHUT_WR)
		assert frames(rest_of(s, data)) == [(1, b"hello")]
		# An exec made with a terminal and started without one is framed.
		c = create(["sleep", "100"], Env=["FOO=1"], ExposedPorts={"80/tcp": {}})
		start(c)
		x = call("POST", f"/containers/{c}/exec", {"cmd": ["echo", "hi"], "tty": True, "attachStdout": True})[1]["Id"]
		s = conn()
		send(s, "POST", f"/exec/{x}/start", {}, upgrade=True)
		h, data = head(s)
		assert frames(rest_of(s, data)) == [(1, b"hi\r\n")]
		# A terminal is left with ctrl-p ctrl-q although nobody named keys; a lone ctrl-p is held back.
		t = create(["cat"], OpenStdin=True, Tty=True)
		start(t)
		s = conn()
		send(s, "POST", f"/containers/{t}/attach?stream=1&stdin=1&stdout=1", upgrade=True)
		h, data = head(s)
		s.sendall(b"a\x10")
		time.sleep(0.2)
		s.sendall(b"b\r")
		while not data.endswith(b"\na\x10b\r\n"): data += s.recv(4096)
		s.sendall(b"\x10")
		time.sleep(0.2)
		s.sendall(b"\x11")
		assert rest_of(s, data) == b"a^Pb\r\na\x10b\r\n", data
		assert call("GET", f"/containers/{t}/json")[1]["State"]["Running"]
		# Links of the default bridge: variables, names, removal of one.
		p = create(["env"], HostConfig={"Links": [c + ":db-1"]})
		name = call("GET", f"/containers/{p}/json")[1]["Name"]
		child = call("GET", f"/containers/{c}/json")[1]["Name"]
		assert call("GET", f"/containers/{p}/json")[1]["HostConfig"]["Links"] == [f"{child}:{name}/db-1"]
		start(p)
		call("POST", f"/containers/{p}/wait")
		log = call_raw("GET", f"/containers/{p}/logs?stdout=1")
		for want in (f"DB_1_NAME={name}/db-1", "DB_1_ENV_FOO=1", "DB_1_PORT_80_TCP_PORT=80", "DB_1_PORT=tcp://"):
		    assert want.encode() in log, (want, log)
		names = [k["Names"] for k in call("GET", "/containers/json?all=1")[1] if k["Id"] == c][0]
		assert names == [child, f"{name}/db-1"], names
		assert call("DELETE", f"/containers{name}/db-1?link=1")[0] == 204
		assert call("GET", f"/containers/{p}/json")[1]["HostConfig"]["Links"] is None
		assert call("DELETE", f"/containers{name}/db-1?link=1")[0] == 404
		assert call("POST", "/containers/create", {"Image": "bb:1", "Cmd": ["x"], "HostConfig": {"Links": ["nobody:x"]}})[0] == 400
		# Only what was said is shown, whatever the defaults are.
		assert call("GET", f"/containers/{c}/json")[1]["HostConfig"]["LogConfig"] == {"Type": "json-file", "Config": {}}
		# Files the engine gives are there before the first start.
		n = create(["true"])
		assert call_raw("GET", f"/containers/{n}/archive?path=/etc/resolv.conf")
		# A failed load tells so in its stream.
		assert b"errorDetail" in call_raw("POST", "/images/load", b"abc")
		m = create(["touch", "/x"]); start(m); call("POST", f"/containers/{m}/wait")
		img = call("POST", f"/commit?container={m}", {})[1]["Id"]
		assert call("GET", f"/v1.41/images/{img}/json")[1]["ContainerConfig"]["Image"] == "bb:1"
		# Modes that name a container hold its id; what is missing is no missing image (404 would pull).
		share = create(["true"], HostConfig={"PidMode": "container:" + child[1:], "SecurityOpt": None})
		assert call("GET", f"/containers/{share}/json")[1]["HostConfig"]["PidMode"] == "container:" + c
		for bad in ({"PidMode": "container:nobody"}, {"VolumesFrom": ["nobody"]}, {"IOMaximumIOps": 1}, {"Isolation": "process"}):
		    assert call("POST", "/containers/create", {"Image": "bb:1", "Cmd": ["x"], "HostConfig": bad})[0] == 400, bad
		h = create(["true"], HostConfig={"IpcMode": "host", "Isolation": "Default"}, Volumes={})
		j = call("GET", f"/containers/{h}/json")[1]
		assert j["HostConfig"]["SecurityOpt"] == ["label=disable"] and j["Config"]["Volumes"] is None and "StopTimeout" not in j["Config"], j
		w = call("POST", "/containers/create", {"Image": "bb:1", "Cmd": ["x"], "HostConfig": {"CpuCount": 2}})[1]
		assert len(w["Warnings"]) == 1, w
		for k in (share, h, w["Id"]): call("DELETE", f"/containers/{k}")
		for k in (i, c, t, p, n, m): call("DELETE", f"/containers/{k}?force=1")
		call("DELETE", f"/images/{img}")
	P
}

@test "logs: frames, tail, timestamps, 400 without a stream, follow ends with the container" {
	peer <<-'P'
		id = create(["sh", "-c", "echo one; echo two >&2; sleep 1; echo three"])
		call("POST", f"/containers/{id}/start")
		s = conn(); send(s, "GET", f"/v1.41/containers/{id}/logs?stdout=1&stderr=1&follow=1")
		h, rest = head(s)
		assert "chunked" in h and "Content-Type" not in h, h
		while b"0\r\n\r\n" not in rest[-7:]: rest += s.recv(4096)
		assert b"three" in rest
		import http.client
		def logs(q, v="1.51"):
		    c = http.client.HTTPConnection("x"); c.sock = conn()
		    c.request("GET", f"/v{v}/containers/{id}/logs?" + q)
		    r = c.getresponse()
		    return r.status, r.getheader("Content-Type"), r.read()
		status, kind, data = logs("stdout=1&stderr=1")
		assert kind == "application/vnd.docker.multiplexed-stream", kind
		assert sorted(frames(data)) == [(1, b"one\n"), (1, b"three\n"), (2, b"two\n")], data
		assert frames(logs("stdout=1&tail=1")[2]) == [(1, b"three\n")]
		assert frames(logs("stdout=1&tail=all")[2])[0] == (1, b"one\n")
		stamp = frames(logs("stdout=1&timestamps=1&tail=1")[2])[0][1]
		assert stamp.endswith(b"Z three\n"), stamp
		assert logs("")[0] == 400
		assert call("DELETE", f"/containers/{id}")[0] == 204
	P
}

@test "a member of the wrong type is 400 wherever it stands" {
	wrong() { # PATH BODY
		api POST "$1" -H 'Content-Type: application/json' --data "$2"
		[ "$code" = 400 ]
		jq -re .message "$ROOT/body" | grep -q '^json: cannot unmarshal'
	}
	wrong /containers/create '{"Image":"busybox","Labels":{"a":5}}'
	wrong /containers/create '{"Image":"busybox","Healthcheck":{"Interval":"1s"}}'
	wrong /containers/create '{"Image":"busybox","HostConfig":{"PortBindings":{"80/tcp":[{"HostPort":80}]}}}'
	wrong /containers/create '{"Image":"busybox","HostConfig":[]}'
	wrong /containers/create '{"Image":"busybox","NetworkingConfig":{"EndpointsConfig":{"bridge":{"Aliases":"a"}}}}'
	wrong /networks/create '{"Name":"n","Internal":"yes"}'
	wrong /networks/bridge/connect '{"Container":5}'
	wrong /volumes/create '{"Name":"v","DriverOpts":{"o":1}}'
	api POST /containers/create -H 'Content-Type: application/json' \
		--data '{"Image":"busybox","HostConfig":{"Memory":9223372036854775807}}'
	[ "$code" != 500 ]
	api GET /_ping
	[ "$code" = 200 ]
}

@test "archive: stat with Go's mode, get, put, 404, 400" {
	new arc '["sh","-c","ln -s /etc/passwd /lnk; sleep 100"]'
	api POST /containers/arc/start
	eventually answers 200 HEAD '/containers/arc/archive?path=/lnk'
	stat() { header X-Docker-Container-Path-Stat | base64 -d; }
	api HEAD '/containers/arc/archive?path=/etc'
	[ "$code" = 200 ]
	[ "$(stat | jq -r .name)" = etc ]
	[ $(($(stat | jq -r .mode) >> 31 & 1)) = 1 ]
	api HEAD '/containers/arc/archive?path=/lnk'
	[ $(($(stat | jq -r .mode) >> 27 & 1)) = 1 ]
	[ "$(stat | jq -r .linkTarget)" = /etc/passwd ]
	api HEAD '/containers/arc/archive?path=/nope'
	[ "$code" = 404 ]
	api GET '/containers/arc/archive'
	[ "$code" = 400 ]
	api GET '/containers/arc/archive?path=/etc/passwd'
	[ "$code" = 200 ]
	[ "$(header Content-Type)" = application/x-tar ]
	[ -n "$(stat)" ]
	tar tf "$ROOT/body" | grep -qx passwd
	mkdir -p "$ROOT/put" && echo put >"$ROOT/put/file"
	tar -C "$ROOT/put" -cf "$ROOT/put.tar" file
	api PUT '/containers/arc/archive?path=/tmp' -H 'Content-Type: text/plain' --data-binary "@$ROOT/put.tar"
	[ "$code" = 200 ]
	api GET '/containers/arc/archive?path=/tmp/file'
	[ "$(tar xOf "$ROOT/body")" = put ]
	# copyUIDGID without a user of the container's keeps the archive's owner (testcontainers).
	tar -C "$ROOT/put" --owner=:4242 --group=:4343 -cf "$ROOT/owned.tar" file
	for q in '' '&copyUIDGID=true'; do
		api PUT "/containers/arc/archive?path=/tmp$q" --data-binary "@$ROOT/owned.tar"
		api GET '/containers/arc/archive?path=/tmp/file'
		[ "$(tar -tv --numeric-owner -f "$ROOT/body" | awk '{ print $2 }')" = 4242/4343 ]
	done
	api PUT '/containers/arc/archive?path=/nope' --data-binary "@$ROOT/put.tar"
	[ "$code" = 404 ]
	api DELETE '/containers/arc?force=1'
}

@test "export: a new, a running and a stopped container, with what changed" {
	new ex '["sh","-c","echo x >/made; rm /etc/group; sleep 100"]'
	api GET /containers/ex/export
	[ "$code" = 200 ]
	tar tf "$ROOT/body" | grep -qx etc/group
	api POST /containers/ex/start
	eventually answers 404 HEAD '/containers/ex/archive?path=/etc/group'
	api GET /containers/ex/export
	tar tf "$ROOT/body" | grep -qx made
	run ! grep -qx etc/group <(tar tf "$ROOT/body")
	api POST /containers/ex/kill
	api GET /containers/ex/export
	[ "$(tar xOf "$ROOT/body" made)" = x ]
	api DELETE '/containers/ex?force=1'
}

@test "stats: one object, a stream, top, changes, update, inspect with size" {
	new st '["sleep","100"]'
	api POST /containers/st/start
	api GET '/containers/st/stats?stream=0&one-shot=1'
	[ "$code" = 200 ]
	jq -e '.cpu_stats and .memory_stats.usage and .pids_stats' <<<"$body"
	timeout 60 curl -sN -D "$ROOT/headers" --unix-socket "$SOCK" http://x/v1.41/containers/st/stats | head -2 >"$ROOT/body" || true
	[ "$(grep -c cpu_stats "$ROOT/body")" -ge 2 ]
	[ -z "$(header Content-Type)" ]
	api GET '/containers/st/top'
	[ "$(jq -r '.Titles[0]' <<<"$body")" = UID ]
	api GET '/containers/st/json?size=1'
	jq -e 'has("SizeRw") and has("SizeRootFs") and .State.Running' <<<"$body"
	post /containers/st/update '{"Memory":67108864,"MemorySwap":67108864}'
	[ "$code" = 200 ]
	[ "$(jq -c .Warnings <<<"$body")" = null ]
	api DELETE '/containers/st?force=1'
}

@test "list: filters in both shapes, limit, size; prune refuses what it does not know" {
	new l1 '["true"]' ',"Labels":{"a":"1"}'
	new l2 '["true"]' ',"Labels":{"a":"2"}'
	for f in '{"label":["a=1"]}' '{"label":{"a=1":true}}'; do
		api GET /containers/json -G --data-urlencode "filters=$f" --data-urlencode all=1
		[ "$(jq -r '.[].Names[0]' <<<"$body")" = /l1 ]
	done
	api GET '/containers/json?limit=1'
	[ "$(jq length <<<"$body")" = 1 ]
	api POST '/containers/prune?filters=%7B%22nope%22%3A%5B%22x%22%5D%7D'
	[ "$code" = 400 ]
	api GET '/containers/l1/json'
	[ "$code" = 200 ]
	api POST '/containers/prune?filters=%7B%22label%22%3A%5B%22a%22%5D%7D'
	[ "$(jq '.ContainersDeleted | length' <<<"$body")" = 2 ]
}

@test "the stock docker CLI: run, exit codes, exec, cp, logs, inspect" {
	need_docker
	[ "$(docker run --rm bb:1 echo hi)" = hi ]
	[ "$(echo in | docker run -i --rm bb:1 cat)" = in ]
	run docker run --rm bb:1 sh -c 'exit 7'
	[ "$status" = 7 ]
	run -127 docker run --rm bb:1 nosuch
	run docker run --rm bb:1 /etc
	[ "$status" = 126 ]
	run docker run --rm --nosuchflag bb:1
	[ "$status" = 125 ]
	docker run -d --name cli bb:1 sh -c 'echo out; sleep 100'
	[ "$(docker exec cli echo x)" = x ]
	run docker exec cli sh -c 'exit 3'
	[ "$status" = 3 ]
	echo copied >"$ROOT/copied"
	docker cp "$ROOT/copied" cli:/tmp/
	[ "$(docker exec cli cat /tmp/copied)" = copied ]
	[ "$(docker logs cli)" = out ]
	[ "$(docker inspect -f '{{.State.Running}}' cli)" = true ]
	docker rm -f cli
	run docker inspect cli
	[ "$status" = 1 ]
	[[ "$output" == *"No such object: cli"* ]]
}

@test "a client that goes away ends its stream: no thread and no descriptor stays" {
	peer <<-'P'
		pid = open(os.environ["ROOT"] + "/test.pid").read().strip()
		fds = lambda: len(os.listdir(f"/proc/{pid}/fd"))
		id = create(["sleep", "100"])
		call("POST", f"/containers/{id}/start")
		before = -1
		while before != fds(): # what was made ahead for the next container is there
		    before = fds()
		    time.sleep(0.5)
		conns = []
		for path in ["/events", f"/containers/{id}/logs?follow=1&stdout=1", f"/containers/{id}/stats"] * 10:
		    s = conn(); send(s, "GET", path); head(s); conns.append(s)
		for i in range(10):
		    s = conn(); send(s, "POST", f"/containers/{id}/wait"); head(s); conns.append(s)
		for s in conns: s.close()
		for i in range(300):
		    if fds() <= before + 2: break
		    time.sleep(0.1)
		assert fds() <= before + 2, (before, fds())
		assert call("DELETE", f"/containers/{id}?force=1")[0] == 204
	P
}
