#!/usr/bin/env bats
# What the open internet sends: requests that two readers read differently, paths that are no names, half a request
# and nothing more, a thousand of them.

load ../lib/engine
load ../lib/registry

setup_file() {
	ROOT=$(mktemp -d /tmp/proa-e2e-XXXXXX)
	export ROOT
	registry_start
}
teardown_file() {
	registry_stop
	rm -rf "$ROOT"
}

@test "smuggled, folded and broken requests get one answer, a 4xx or 501, and the connection is closed" {
	python3 "$BATS_TEST_DIRNAME/../lib/raw.py" "$REGISTRY" <<-'E'
		400	POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n
		400	POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\nGET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n
		400	GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd
		400	GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 3, 4\r\n\r\nabcd
		400	GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc
		400	GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: -3\r\n\r\nabc
		400	GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0x3\r\n\r\nabc
		400	GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\nabc
		400	GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: \r\n\r\nabc
		501	GET /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n
		501	GET /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n
		400	GET /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n
		400	GET /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n
		400	GET /v2/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n
		400	GET /v2/ HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n
		400	GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length\t: 3\r\n\r\nabc
		400	GET /v2/ HTTP/1.1\r\nHost : x\r\n\r\n
		400	GET /v2/ HTTP/1.1\nHost: x\n\n
		400	GET /v2/ HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n
		400	GET /v2/ HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n
		400	GET /v2/ HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n
		400	GET /v2/ HTTP/1.1\r\n\r\n
		400	GET  /v2/ HTTP/1.1\r\nHost: x\r\n\r\n
		400	GET /v2/ HTTP/1.1 x\r\nHost: x\r\n\r\n
		400	GET /v2/\x01 HTTP/1.1\r\nHost: x\r\n\r\n
		400	PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n
		400	\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03
		-	GET /v2/ HTT
	E
}

@test "broken chunks are no bytes of a blob, and nothing behind them is read as a request" {
	req POST /v2/h/chunk/blobs/uploads/
	at=$(header Location)
	{
		for c in '-3' '0x3' 'ffffffffffffffff1' 'fffffffffffffffff' '3 3' ' 3' 'g' '' '3\x00' '3\n'; do
			printf '400\tPATCH %s HTTP/1.1\\r\\nHost: x\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n%s\\r\\nabc\\r\\n0\\r\\n\\r\\nGET /v2/ HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n\n' "$at" "$c"
		done
		printf '400\tPATCH %s HTTP/1.1\\r\\nHost: x\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n2\\r\\nabc\\r\\n0\\r\\n\\r\\n\n' "$at"
	} >"$ROOT/cases"
	python3 "$BATS_TEST_DIRNAME/../lib/raw.py" "$REGISTRY" <"$ROOT/cases"
	req GET "$at"
	[ "$status_code" = 204 ]
	req GET /v2/
	[ "$status_code" = 200 ]
}

@test "names, digests, tags and upload ids that are paths reach no file" {
	echo canary >"$ROOT/canary"
	for p in /v2/../../../canary/manifests/t /v2/a/../../canary/tags/list /v2/%2e%2e/%2e%2e/tags/list /v2/..%2f..%2fcanary/tags/list \
		/v2/a/manifests/..%2f..%2f..%2fcanary /v2/a/manifests/../../../canary /v2/a/blobs/sha256:..%2f..%2f..%2f..%2fcanary \
		/v2/a/blobs/sha256:%00 "/v2/a/blobs/sha256:$(printf 'A%.0s' $(seq 64))" /v2/a/blobs/sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709 \
		/v2/a/blobs/uploads/..%2f..%2fversion /v2/a/blobs/uploads/../../../version /v2/a/referrers/sha256:..%2fx \
		/v2/+/tags/list /v2/a+b/tags/list /v2//tags/list /v2/a//b/tags/list /v2/-a/tags/list /v2/a-/tags/list /v2/a/%0a/tags/list \
		/v2/a/manifests/t%00 /v2/a/manifests/%ff "/v2/a/manifests/$(printf 't%.0s' $(seq 129))" /v2/%C3%A9/tags/list /..%2f..%2fetc/passwd; do
		for method in GET PUT DELETE PATCH; do
			req $method "$p" --path-as-is
			[[ "$status_code" == 4?? ]] || { echo "$method $p gave $status_code"; false; }
		done
	done
	[ "$(cat "$ROOT/canary")" = canary ]
	# the control socket's paths are not for the network
	req POST /_proa/gc
	[ "$status_code" = 404 ]
}

@test "a body for somebody who may not push is not waited for, however slowly it comes" {
	ROOT=$ROOT/auth
	mkdir "$ROOT"
	printf 'secret\n' | "$PROA_BUILD/proa-registry" htpasswd ann >"$ROOT/users"
	printf '{"auth": {"htpasswd": "%s"}}' "$ROOT/users" >"$ROOT/config.json"
	registry_start --config "$ROOT/config.json"
	python3 - "$REGISTRY" <<-'P'
		import socket, sys, time
		host, port = sys.argv[1].split(":")
		s = socket.create_connection((host, int(port)))
		s.sendall(b"PUT /v2/a/manifests/t HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n")
		start = time.time()
		assert s.recv(4096).startswith(b"HTTP/1.1 401 ")
		try:
		    while time.time() - start < 10:
		        s.sendall(b"x")
		        time.sleep(0.2)
		except OSError:
		    pass
		assert time.time() - start < 8, "dripped on"
	P
	registry_stop
}

@test "a thousand half-sent requests slow nobody down, and are closed in ten seconds" {
	python3 - "$REGISTRY" "$(cat "$ROOT/registry.pid")" <<-'P'
		import http.client, resource, select, socket, sys, time
		resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
		host, port = sys.argv[1].split(":")
		def rss():
		    return int([l for l in open(f"/proc/{sys.argv[2]}/status") if l.startswith("VmRSS")][0].split()[1])
		before = rss()
		half = []
		for i in range(1000):
		    s = socket.create_connection((host, int(port)))
		    s.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Slow: ")
		    half.append(s)
		start = time.time()
		times = []
		while time.time() - start < 12:
		    for i, s in enumerate(half):
		        if i % 10 == int(time.time()) % 10:
		            try: s.sendall(b"y")
		            except OSError: pass
		    t = time.time()
		    c = http.client.HTTPConnection(host, int(port), timeout=5)
		    c.request("GET", "/v2/")
		    assert c.getresponse().status == 200
		    times.append(time.time() - t)
		    time.sleep(0.3)
		times.sort()
		closed = 0
		for s in half:
		    s.setblocking(False)
		    try: closed += s.recv(10) == b""
		    except BlockingIOError: pass
		    except OSError: closed += 1
		grown = rss() - before
		print("median", times[len(times) // 2], "worst", times[-1], "closed", closed, "grown kB", grown)
		assert closed == 1000, closed
		assert times[len(times) // 2] < 0.2, times
		assert grown < 20000, grown
	P
}

@test "a thousand stalled TLS handshakes and heads hold no thread, slow nobody down, and are closed in ten seconds" {
	command -v openssl >/dev/null || skip "openssl is not installed"
	ROOT=$ROOT/tls
	mkdir "$ROOT"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test -keyout "$ROOT/key" -out "$ROOT/crt" 2>/dev/null
	printf '{"tls": {"certificate": "%s", "key": "%s"}, "limits": {"maxConnectionsPerPeer": 2000}}' "$ROOT/crt" "$ROOT/key" >"$ROOT/config.json"
	"$PROA_BUILD/proa-registry" serve --data "$ROOT/registry" --listen 127.0.0.1:0 --config "$ROOT/config.json" >"$ROOT/log" 2>&1 3>&- &
	echo $! >"$ROOT/registry.pid"
	for _ in $(seq 100); do grep -q address= "$ROOT/log" && break || sleep 0.05; done
	REGISTRY=$(sed -n 's/.*listening address=//p' "$ROOT/log")
	python3 - "$REGISTRY" "$(cat "$ROOT/registry.pid")" <<-'P'
		import os, resource, socket, ssl, sys, time
		resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
		host, port = sys.argv[1].split(":")
		context = ssl.create_default_context()
		context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
		hello, half = [], []
		for i in range(500):
		    s = socket.create_connection((host, int(port)))
		    s.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc")
		    hello.append(s)
		    s = context.wrap_socket(socket.create_connection((host, int(port))))
		    s.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Slow: ")
		    half.append(s)
		s = context.wrap_socket(socket.create_connection((host, int(port)), timeout=5))
		s.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
		assert s.recv(100).startswith(b"HTTP/1.1 200 ")
		threads = len(os.listdir(f"/proc/{sys.argv[2]}/task"))
		assert threads < 100, threads
		for s in hello + half:
		    s.settimeout(20)
		    try: assert s.recv(100) == b""
		    except OSError: pass # a reset, or TLS' own words for it: closed as well
		print("threads", threads)
	P
	registry_stop
}
