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

@test "ranges of every kind: the bytes asked for, the whole blob, or 416; never others, never a failure" {
	push_blob h/range 0123456789
	while read -r want range; do
		req GET "/v2/h/range/blobs/sha256:$(sha 0123456789)" -H "Range: $range"
		if [ "$want" = 416 ]; then
			[ "$status_code $(header Content-Range)" = '416 bytes */10' ]
		else
			[ "$status_code" = 206 ] || [ "$want" = 0123456789 ]
			[ "$(cat "$ROOT/body")" = "$want" ] || { echo "$range: $(cat "$ROOT/body")"; false; }
		fi || { echo "$range gave $status_code"; false; }
	done <<-'E'
		0 bytes=0-0
		56789 bytes=5-
		789 bytes=-3
		9 bytes=9-100
		416 bytes=-0
		416 bytes=10-
		416 bytes=10-20
		416 bytes=9223372036854775807-
		416 bytes=18446744073709551615-
		416 bytes=18446744073709551616-
		0123456789 bytes=0-9223372036854775807
		0123456789 bytes=0-18446744073709551616
		0123456789 bytes=-18446744073709551616
		416 bytes=5-3
		0123456789 bytes=0-1,3-4
		0123456789 bytes=0-5,2-8
		0123456789 bytes=-
		0123456789 bytes=--1
		0123456789 bytes=0x0-1
		0123456789 lines=0-1
	E
	req GET "/v2/h/range/blobs/sha256:$(sha 0123456789)" -H "Range: bytes=$(printf '0-9,%.0s' $(seq 10000))0-9"
	[ "$(cat "$ROOT/body")" = 0123456789 ]
}

@test "uploads that are raced, cut, or lie about where they are: one wins, the others are told, no byte is lost" {
	python3 - "$REGISTRY" <<-'P'
		import concurrent.futures, hashlib, http.client, socket, sys, time
		host, port = sys.argv[1].split(":")
		def call(method, path, body=None, **headers):
		    c = http.client.HTTPConnection(host, int(port), timeout=20)
		    c.request(method, path, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()})
		    r = c.getresponse()
		    return r.status, r.read(), r.headers
		def begin():
		    status, _, h = call("POST", "/v2/h/race/blobs/uploads/")
		    assert status == 202
		    return h["Location"]
		def size(at):
		    status, _, h = call("GET", at)
		    assert status == 204, status
		    return h["Range"]
		def digest(b): return "sha256:" + hashlib.sha256(b).hexdigest()
		def half(at, whole, part):
		    s = socket.create_connection((host, int(port)), timeout=20)
		    s.sendall(f"PATCH {at} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(whole)}\r\n\r\n".encode() + part)
		    return s
		def wait_busy(at): # until the request that came first has it
		    for _ in range(100):
		        status, body, _ = call("PATCH", at, b"")
		        if status == 416: return
		        time.sleep(0.05)
		    assert False, "nobody works on it"

		# two PATCHes, PUT during PATCH, DELETE during PATCH
		data = b"0123456789" * 100
		at = begin()
		first = half(at, data, data[:300])
		wait_busy(at)
		for method, path in (("PATCH", at), ("PUT", f"{at}?digest={digest(b'other')}"), ("DELETE", at)):
		    status, body, _ = call(method, path, b"other" if method != "DELETE" else None)
		    assert status == 416, (method, status)
		    assert b'"BLOB_UPLOAD_INVALID"' in body
		first.sendall(data[300:])
		assert first.recv(1000).startswith(b"HTTP/1.1 202 ")
		assert size(at) == "0-999", size(at)
		status, _, _ = call("PUT", f"{at}?digest={digest(data)}", b"")
		assert status == 201, status
		assert call("GET", f"/v2/h/race/blobs/{digest(data)}")[1] == data

		# cut in the middle: what came is there, and the rest may follow
		at = begin()
		s = half(at, data, data[:400])
		s.close()
		for _ in range(100):
		    if size(at) == "0-399": break
		    time.sleep(0.05)
		assert size(at) == "0-399", size(at)
		# lies about where a chunk belongs
		for span in ("0-9", "399-408", "401-410", "400-408", "400-410", "9-400", "400-", "x", "400-18446744073709551616", "18446744073709551616-18446744073709551625"):
		    status, body, h = call("PATCH", at, b"0123456789", Content_Range=span)
		    assert status == 416, (span, status)
		    assert h["Location"] == at and h["Range"] == "0-399", span
		assert call("PATCH", at, data[400:], Content_Range="400-999")[0] == 202
		status, body, _ = call("PUT", f"{at}?digest={digest(data)}", b"")
		assert status == 201, (status, body)
		# it is over: nothing goes on with it
		for method in ("PATCH", "PUT", "GET", "DELETE"):
		    status, body, _ = call(method, at + (f"?digest={digest(data)}" if method == "PUT" else ""), b"x" if method in ("PATCH", "PUT") else None)
		    assert status == 404 and b'"BLOB_UPLOAD_UNKNOWN"' in body, (method, status)

		# the same blob from sixteen clients at once
		blob = b"the same for all " * 10000
		def push(_):
		    at = begin()
		    return call("PUT", f"{at}?digest={digest(blob)}", blob)[0]
		with concurrent.futures.ThreadPoolExecutor(16) as pool:
		    assert set(pool.map(push, range(32))) == {201}
		assert call("GET", f"/v2/h/race/blobs/{digest(blob)}")[1] == blob
		# two ends of one upload: one is told 201, the other that it is taken or gone
		at = begin()
		assert call("PATCH", at, blob)[0] == 202
		with concurrent.futures.ThreadPoolExecutor(8) as pool:
		    got = sorted(pool.map(lambda _: call("PUT", f"{at}?digest={digest(blob)}", b"")[0], range(8)))
		assert got[0] == 201 and got.count(201) == 1 and set(got[1:]) <= {404, 416}, got
		# parameters that are no digest, a length that is no length
		at = begin()
		for d in ("", "sha256:", "sha256:zz", "md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:" + "A" * 64, "sha512:" + "0" * 64, "x" * 5000):
		    status, body, _ = call("PUT", f"{at}?digest={d}", b"")
		    assert status == 400 and b'"DIGEST_INVALID"' in body, (d, status, body)
		assert size(at) == "0-0"
		assert call("DELETE", at)[0] == 204
	P
	[ -z "$(find "$ROOT/registry/repos/h+race/uploads" -type f)" ]
}

@test "trailers and extensions of chunks are read over, and only so much of them" {
	req POST /v2/h/trailer/blobs/uploads/
	at=$(header Location)
	long=$(printf 'x%.0s' $(seq 9000))
	printf '%s\t%s\n' 202 "PATCH $at HTTP/1.1\\r\\nHost: x\\r\\nTransfer-Encoding: chunked\\r\\nConnection: close\\r\\n\\r\\n3;a=b;c=\"d\"\\r\\nabc\\r\\n0\\r\\nX-Trailer: GET /v2/ HTTP/1.1\\r\\n\\r\\n" \
		400 "PATCH $at HTTP/1.1\\r\\nHost: x\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n0;$long$long$long$long$long$long$long$long\\r\\n\\r\\n" \
		400 "PATCH $at HTTP/1.1\\r\\nHost: x\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n0\\r\\nX: $long$long$long$long$long$long$long$long\\r\\n\\r\\n" \
		>"$ROOT/cases"
	python3 "$BATS_TEST_DIRNAME/../lib/raw.py" "$REGISTRY" <"$ROOT/cases"
	req GET "$at"
	[ "$(header Range)" = 0-2 ]
}

@test "manifests of 5 MB, of lists without end, of lists in lists, and with words of ours in them are refused or harmless" {
	push_blob h/man config
	d=sha256:$(sha config)
	put() { req PUT "/v2/h/man/manifests/$1" -H "Content-Type: application/vnd.oci.image.${2:-manifest}.v1+json" --data-binary "@$ROOT/m"; }
	manifest_of config ",\"annotations\":{\"x\":\"$(head -c 3800000 /dev/zero | tr '\0' y)\"}" >"$ROOT/m"
	printf '%1500000s' ' ' >>"$ROOT/m" # blanks behind it
	put big
	[ "$status_code" = 413 ]
	[ "$(jq -r '.errors[0].code' "$ROOT/body")" = SIZE_INVALID ]
	{
		printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":['
		for i in $(seq 5000); do printf '{"mediaType":"a/b","digest":"%s","size":6},' "$d"; done
		printf '{"mediaType":"a/b","digest":"%s","size":6}]}' "$d"
	} >"$ROOT/m"
	put many index
	[ "$status_code" = 400 ]
	python3 -c 'print("{\"schemaVersion\":2,\"config\":" + "[" * 200000 + "]" * 200000 + "}")' >"$ROOT/m"
	put deep
	[ "$status_code" = 400 ]
	# fifty indexes in each other are fifty manifests; the tag of the last keeps all
	manifest_of config >"$ROOT/m"
	put bottom
	[ "$status_code" = 201 ]
	for i in $(seq 50); do
		printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"a/b","digest":"sha256:%s","size":%d}]}' \
			"$(sha256sum <"$ROOT/m" | cut -d' ' -f1)" "$(stat -c %s "$ROOT/m")" >"$ROOT/next"
		mv "$ROOT/next" "$ROOT/m"
		put "sha256:$(sha256sum <"$ROOT/m" | cut -d' ' -f1)" index
		[ "$status_code" = 201 ]
	done
	put top index
	req DELETE /v2/h/man/manifests/bottom
	# a type is a line of our record: nothing else may stand in it
	for t in 'x/y\nsubject z' 'a b' 'x/y\r' "$(printf 'x%.0s' $(seq 300))"; do
		printf '{"schemaVersion":2,"mediaType":"%s","config":{"mediaType":"a/b","digest":"%s","size":6},"layers":[]}' "$t" "$d" >"$ROOT/m"
		req PUT /v2/h/man/manifests/word -H 'Content-Type:' --data-binary "@$ROOT/m"
		[ "$status_code" = 400 ] || { echo "$t gave $status_code"; false; }
	done
	"$PROA_BUILD/proa-registry" gc --data "$ROOT/registry" --grace 0s --untagged
	req GET "/v2/h/man/blobs/$d"
	[ "$status_code" = 200 ]
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
		assert s.recv(4096).startswith(b"HTTP/1.1 401 ")
		try:
		    for i in range(300):
		        s.sendall(b"x")
		        time.sleep(0.2)
		    assert False, "dripped on"
		except OSError:
		    pass
	P
	registry_stop
}

@test "a thousand half-sent requests hold nobody up, and are closed however they drip" {
	python3 - "$REGISTRY" "$(cat "$ROOT/registry.pid")" <<-'P'
		import http.client, os, resource, socket, sys, time
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
		    s.setblocking(False)
		def is_open(s):
		    try: return s.recv(10) != b""
		    except BlockingIOError: return True
		    except OSError: return False
		grown = rss() - before
		beside = 0
		for _ in range(200):
		    for i, s in enumerate(half):
		        if i % 10 == int(time.time()) % 10:
		            try: s.sendall(b"y")
		            except OSError: pass
		    c = http.client.HTTPConnection(host, int(port), timeout=60)
		    c.request("GET", "/v2/")
		    assert c.getresponse().status == 200
		    left = sum(map(is_open, half))
		    if left == 0: break
		    beside += 1
		    time.sleep(0.3)
		assert left == 0, left
		assert beside > 2, "nobody was served beside them"
		# A sanitizer's own memory is many times ours.
		assert "PROA_SANITIZED" in os.environ or grown < 20000, grown
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
	for _ in $(seq 600); do grep -q address= "$ROOT/log" && break || sleep 0.05; done
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
		s = context.wrap_socket(socket.create_connection((host, int(port)), timeout=60))
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
