#!/usr/bin/env bats
# The mirror in front of upstreams that are slow, down, or lie; and who gets to see which credentials.

bats_require_minimum_version 1.5.0

load ../lib/engine
load ../lib/registry

setup_file() {
	ROOT=$(mktemp -d /tmp/proa-e2e-XXXXXX)
	export ROOT
	mkdir "$ROOT/tree"
	head -c 400000 /dev/urandom >"$ROOT/tree/file"
	tar -C "$ROOT/tree" -cf "$ROOT/layer.tar" .
	python3 "$BATS_TEST_DIRNAME/../lib/liar.py" "$ROOT/port" "$ROOT/layer.tar" 3>&- &
	echo $! >"$ROOT/liar.pid"
	for _ in $(seq 600); do [ -s "$ROOT/port" ] && break || sleep 0.05; done
	UPSTREAM=$(cat "$ROOT/port")
	export UPSTREAM
	printf '{"mirrors": [{"prefix": "up", "upstream": "%s", "insecure": true}]}' "$UPSTREAM" >"$ROOT/config.json"
	registry_start --config "$ROOT/config.json"
}
teardown_file() {
	registry_stop
	kill "$(cat "$ROOT/liar.pid")" 2>/dev/null || true
	! mountpoint -q "$ROOT/full/small" || umount "$ROOT/full/small"
	rm -rf "$ROOT"
}

layer_of() { # HOW: digest of the layer, as the mirror's manifest names it
	req GET "/v2/up/$1/manifests/1"
	[ "$status_code" = 200 ]
	jq -r '.layers[0].digest' "$ROOT/body"
}
blob_file() { echo "$ROOT/registry/content/blobs/${1%%:*}/$(cut -c8-9 <<<"$1")/${1#*:}"; }
wire() { curl -s "http://$UPSTREAM/wire"; }

@test "five clients at once cost the upstream one transfer, and each gets the whole blob" {
	d=$(layer_of honest)
	before=$(wire)
	for i in 1 2 3 4 5; do
		curl -sf -o "$ROOT/got$i" "http://$REGISTRY/v2/up/honest/blobs/$d" &
	done 3>&-
	wait
	for i in 1 2 3 4 5; do [ "sha256:$(sha256sum <"$ROOT/got$i" | cut -d' ' -f1)" = "$d" ]; done
	size=$(stat -c %s "$ROOT/got1")
	[ $(($(wire) - before)) = "$size" ]
	req GET "/v2/up/honest/blobs/$d" -H 'Range: bytes=10-19'
	[ "$status_code" = 206 ]
	cmp "$ROOT/body" <(tail -c +11 "$ROOT/got1" | head -c 10)
	[ $(($(wire) - before)) = "$size" ]
}

@test "an upstream that lies about content is not believed, and nothing of it is kept" {
	for how in digest short long; do
		d=$(layer_of $how)
		rm -f "$(blob_file "$d")" # the layers are the same: the honest one must not stand in
		run curl -sf -m 30 -o "$ROOT/got" "http://$REGISTRY/v2/up/$how/blobs/$d"
		[ "$status" -ne 0 ] || { echo "$how was believed"; false; }
		[ ! -e "$(blob_file "$d")" ]
	done
	req GET /v2/up/huge/manifests/1
	[ "$status_code" = 502 ]
	[ -z "$(ls "$ROOT/registry/uploads")" ]
}

@test "an upstream that stalls is given up soon, the client sees a cut, and others are served meanwhile" {
	d=$(layer_of stall)
	rm -f "$(blob_file "$d")"
	curl -s -m 90 -o "$ROOT/got" "http://$REGISTRY/v2/up/stall/blobs/$d" 3>&- &
	pid=$!
	sleep 0.3
	req GET /v2/
	[ "$status_code" = 200 ]
	ended=0
	wait $pid || ended=$?
	[ "$ended" -eq 18 ] # "transferred a partial file"
	[ ! -e "$(blob_file "$d")" ]
}

@test "an upstream's 401, 403, 429 and 5xx are its own: 502 here, for manifests and blobs; its 404 is 404" {
	for code in 401 403 429 500 503; do
		req GET "/v2/up/manifest$code/manifests/1"
		[ "$status_code" = 502 ] || { echo "manifest $code gave $status_code"; false; }
		d=$(layer_of "blob$code")
		rm -f "$(blob_file "$d")"
		req GET "/v2/up/blob$code/blobs/$d"
		[ "$status_code" = 502 ] || { echo "blob $code gave $status_code"; false; }
		[ "$(jq -r '.errors[0].code' "$ROOT/body")" = UNKNOWN ]
	done
	req GET /v2/up/manifest404/manifests/1
	[ "$status_code" = 404 ]
	[ "$(jq -r '.errors[0].code' "$ROOT/body")" = MANIFEST_UNKNOWN ]
	d=$(layer_of blob404)
	rm -f "$(blob_file "$d")"
	req GET "/v2/up/blob404/blobs/$d"
	[ "$status_code" = 404 ]
	[ -z "$(ls "$ROOT/registry/uploads")" ]
}

@test "what a scrub sets aside is fetched from the upstream again" {
	d=$(layer_of honest)
	m=$(header Docker-Content-Digest)
	curl -sf -o "$ROOT/got" "http://$REGISTRY/v2/up/honest/blobs/$d"
	# Another byte than the one that is there, which is a matter of chance.
	for damaged in "$d" "$m"; do
		f=$(blob_file "$damaged")
		tail -c +101 "$f" | head -c 1 | tr '\0-\377' '\1-\377\0' | dd of="$f" bs=1 seek=100 conv=notrunc 2>/dev/null
	done
	run "$PROA_BUILD/proa-registry" scrub --data "$ROOT/registry"
	[ "$status" -eq 1 ]
	[[ "$output" == *"damaged $d"* ]]
	[[ "$output" == *"damaged $m"* ]]
	[ "$(layer_of honest)" = "$d" ]
	curl -sf -o "$ROOT/again" "http://$REGISTRY/v2/up/honest/blobs/$d"
	cmp "$ROOT/got" "$ROOT/again"
	run "$PROA_BUILD/proa-registry" scrub --data "$ROOT/registry"
	[ "$status" -eq 0 ]
}

@test "a full disk ends no pull: what cannot be kept is passed on, and a lie is cut even so" {
	need_root
	mkdir -p "$ROOT/full/small"
	mount -t tmpfs -o size=1m tmpfs "$ROOT/full/small"
	mkdir "$ROOT/full/small/registry"
	cp "$ROOT/config.json" "$ROOT/full/"
	ROOT=$ROOT/full
	ln -s small/registry "$ROOT/registry"
	registry_start --config "$ROOT/config.json"
	# Room for the beginning of the layer: the storage fails in its midst.
	dd if=/dev/zero of="$ROOT/small/fill" bs=1k count=$(($(df --output=avail -k "$ROOT/small" | tail -1) - 300)) 2>/dev/null
	req GET /v2/up/honest/manifests/1
	[ "$status_code" = 200 ]
	d=$(jq -r '.layers[0].digest' "$ROOT/body")
	dd if=/dev/zero of="$ROOT/small/rest" bs=1k 2>/dev/null || true
	for fill in "$ROOT/small/rest" /nonexistent; do # first no room at all
		req GET "/v2/up/digest/manifests/1"
		[ "$status_code" = 200 ]
		[ "$(jq -r '.layers[0].digest' "$ROOT/body")" = "$d" ]
		curl -sf -o "$ROOT/got" "http://$REGISTRY/v2/up/honest/blobs/$d"
		[ "sha256:$(sha256sum <"$ROOT/got" | cut -d' ' -f1)" = "$d" ]
		run ! curl -sf -m 30 -o "$ROOT/got" "http://$REGISTRY/v2/up/digest/blobs/$d"
		req GET "/v2/up/blob503/blobs/$d"
		[ "$status_code" = 502 ]
		req GET "/v2/up/honest/blobs/$d" -H 'Range: bytes=1-2'
		[ "$status_code" = 507 ] # a part is served from what is kept only
		[ -z "$(ls "$ROOT/registry/uploads")" ]
		[ ! -e "$(blob_file "$d")" ]
		rm -f "$fill"
	done
	grep -q 'warn mirror cannot keep what it fetched, continuing.*no space left' "$ROOT/registry.log"
	rm "$ROOT/small/fill"
	curl -sf -o "$ROOT/got" "http://$REGISTRY/v2/up/honest/blobs/$d"
	[ -e "$(blob_file "$d")" ]
	registry_stop
	umount "$ROOT/small"
}

@test "a blob is asked for by its digest alone; by HEAD, as those ask who push, what the upstream lacks is 404" {
	req GET /v2/up/size/manifests/1 # its descriptor lies: that is for the client to see
	d=$(jq -r '.layers[0].digest' "$ROOT/body")
	rm -f "$(blob_file "$d")"
	for m in GET HEAD; do
		req $m "/v2/up/unnamed${m,,}/blobs/$d"
		[ "$status_code" = 200 ]
		[ -e "$(blob_file "$d")" ]
		[ "$(header Content-Length)" = "$(stat -c %s "$(blob_file "$d")")" ]
		[ $m = HEAD ] || cmp "$ROOT/body" "$(blob_file "$d")"
		req $m "/v2/up/unnamed/blobs/sha256:$(sha "what nobody has")"
		[ "$status_code" = 404 ]
	done
	for code in 401 503; do
		req HEAD "/v2/up/blob$code/blobs/sha256:$(sha "what nobody has")"
		[ "$status_code" = 404 ]
	done
}

@test "the longest prefix chooses the upstream, and a tag is not asked for again within its time" {
	mkdir "$ROOT/two"
	printf '{"mirrors": [{"prefix": "", "upstream": "127.0.0.1:1", "insecure": true}, {"prefix": "a", "upstream": "127.0.0.1:1", "insecure": true},
		{"prefix": "a/b", "upstream": "%s", "insecure": true, "tagTTL": "1h"}]}' "$UPSTREAM" >"$ROOT/two/config.json"
	ROOT=$ROOT/two
	registry_start --config "$ROOT/config.json"
	before=$(curl -s "http://$UPSTREAM/asked")
	req GET /v2/a/b/honest/manifests/1
	[ "$status_code" = 200 ]
	asked=$(curl -s "http://$UPSTREAM/asked")
	[ "$asked" -gt "$before" ]
	for _ in 1 2 3; do req GET /v2/a/b/honest/manifests/1; done
	[ "$status_code" = 200 ]
	[ "$(curl -s "http://$UPSTREAM/asked")" = "$asked" ]
	for p in /v2/a/honest/manifests/1 /v2/a/bc/honest/manifests/1 /v2/b/honest/manifests/1; do
		req GET "$p"
		[ "$status_code" = 502 ]
	done
	registry_stop
}

@test "with the upstream gone, what was fetched is served and the rest is 502" {
	layer_of honest >/dev/null
	kill -9 "$(cat "$ROOT/liar.pid")"
	req GET /v2/up/honest/manifests/1
	[ "$status_code" = 200 ]
	req GET /v2/up/never/manifests/1
	[ "$status_code" = 502 ]
	[ "$(jq -r '.errors[0].code' "$ROOT/body")" = UNKNOWN ]
	push_blob up/own "pushed while it is away"
	req GET "/v2/up/own/blobs/sha256:$(sha "pushed while it is away")"
	[ "$status_code" = 200 ]
}

@test "credentials go to their upstream only: not along a redirect, and a client's go nowhere" {
	ROOT=$ROOT/auth
	mkdir "$ROOT"
	cat >"$ROOT/up.py" <<-'P'
		import base64, hashlib, http.server, json, sys, threading
		root = sys.argv[1]
		blob = b"behind a redirect"
		d = lambda b: "sha256:" + hashlib.sha256(b).hexdigest()
		config = b"{}"
		m = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		    "config": {"mediaType": "a/b", "digest": d(config), "size": 2},
		    "layers": [{"mediaType": "a/c", "digest": d(blob), "size": len(blob)}]}).encode()
		class H(http.server.BaseHTTPRequestHandler):
		    protocol_version = "HTTP/1.1"
		    def log_message(self, *a): pass
		    def say(self, status, body=b"", **h):
		        self.send_response(status)
		        for k, v in h.items(): self.send_header(k.replace("_", "-"), v)
		        self.send_header("Content-Length", str(len(body)))
		        self.end_headers()
		        if self.command != "HEAD": self.wfile.write(body)
		    def do_GET(self):
		        auth = self.headers.get("Authorization", "")
		        name = "cdn" if self.server is cdn else "up"
		        open(f"{root}/{name}.seen", "a").write(f"{self.command} {self.path} {auth}\n")
		        if self.server is cdn: return self.say(200, blob)
		        if auth != "Basic " + base64.b64encode(b"up:pw").decode():
		            return self.say(401, b"", WWW_Authenticate='Basic realm="up"')
		        if "/manifests/" in self.path:
		            return self.say(200, m, Content_Type="application/vnd.oci.image.manifest.v1+json", Docker_Content_Digest=d(m))
		        if d(blob) in self.path: return self.say(307, b"", Location=f"http://localhost:{cdn.server_port}/data")
		        self.say(200, b"{}")
		    do_HEAD = do_GET
		cdn = http.server.ThreadingHTTPServer(("127.0.0.1", 0), H)
		up = http.server.ThreadingHTTPServer(("127.0.0.1", 0), H)
		threading.Thread(target=cdn.serve_forever, daemon=True).start()
		open(root + "/port", "w").write(f"127.0.0.1:{up.server_port}")
		up.serve_forever()
	P
	sed -i 's/^\t\t//' "$ROOT/up.py"
	python3 "$ROOT/up.py" "$ROOT" 3>&- &
	pid=$!
	for _ in $(seq 600); do [ -s "$ROOT/port" ] && break || sleep 0.05; done
	printf 'secret\n' | "$PROA_BUILD/proa-registry" htpasswd ann >"$ROOT/users"
	printf '{"auth": {"htpasswd": "%s"}, "mirrors": [{"upstream": "%s", "insecure": true, "username": "up", "password": "pw"}]}' \
		"$ROOT/users" "$(cat "$ROOT/port")" >"$ROOT/config.json"
	registry_start --config "$ROOT/config.json"
	req GET /v2/a/b/manifests/1
	[ "$status_code" = 401 ]
	[ ! -e "$ROOT/up.seen" ] # nobody in particular makes us ask
	req GET /v2/a/b/manifests/1 -u ann:secret
	[ "$status_code" = 200 ]
	d=$(jq -r '.layers[0].digest' "$ROOT/body")
	req GET "/v2/a/b/blobs/$d" -u ann:secret
	[ "$status_code" = 200 ]
	[ "$(cat "$ROOT/body")" = "behind a redirect" ]
	kill $pid
	grep -q "Basic $(printf up:pw | base64)" "$ROOT/up.seen"
	run ! grep -q "$(printf ann:secret | base64)" "$ROOT/up.seen" "$ROOT/cdn.seen"
	[ "$(cat "$ROOT/cdn.seen")" = "GET /data " ]
	registry_stop
}
