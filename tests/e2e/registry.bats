#!/usr/bin/env bats
# proa-registry over HTTP: every end-point of distribution-spec 1.1, and hostile input.

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

@test "end-1: the base answers and names the API" {
	req GET /v2/
	[ "$status_code" = 200 ]
	[ "$(header Docker-Distribution-Api-Version)" = registry/2.0 ]
}

@test "end-4b: a blob in one request, then HEAD, GET and a range of it" {
	push_blob a/one "hello blob"
	d=sha256:$(sha "hello blob")
	[ "$(header Docker-Content-Digest)" = "$d" ]
	req HEAD "/v2/a/one/blobs/$d"
	[ "$status_code" = 200 ]
	[ "$(header Content-Length)" = 10 ]
	req GET "/v2/a/one/blobs/$d"
	[ "$(cat "$ROOT/body")" = "hello blob" ]
	req GET "/v2/a/one/blobs/$d" -H 'Range: bytes=6-9'
	[ "$status_code" = 206 ]
	[ "$(cat "$ROOT/body")" = blob ]
	[ "$(header Content-Range)" = "bytes 6-9/10" ]
	req GET "/v2/a/one/blobs/$d" -H 'Range: bytes=10-'
	[ "$status_code" = 416 ]
	req GET "/v2/a/one/blobs/$d" -H "If-None-Match: \"$d\""
	[ "$status_code" = 304 ]
}

@test "end-5, 6, 13: chunks in order, status, and out-of-order chunks are 416" {
	req POST /v2/a/chunks/blobs/uploads/
	[ "$status_code" = 202 ]
	at=$(header Location)
	req PATCH "$at" -H 'Content-Range: 0-2' --data-binary abc
	[ "$status_code" = 202 ]
	[ "$(header Range)" = 0-2 ]
	req PATCH "$at" -H 'Content-Range: 5-7' --data-binary xyz
	[ "$status_code" = 416 ]
	req GET "$at"
	[ "$status_code" = 204 ]
	[ "$(header Range)" = 0-2 ]
	req PATCH "$at" -H 'Content-Range: 3-5' --data-binary def
	[ "$status_code" = 202 ]
	req PUT "$at?digest=sha256:$(sha abcdefgh)" -H 'Content-Range: 6-7' --data-binary gh
	[ "$status_code" = 201 ]
	req GET "/v2/a/chunks/blobs/sha256:$(sha abcdefgh)"
	[ "$(cat "$ROOT/body")" = abcdefgh ]
}

@test "an upload goes on after a restart of the registry" {
	ROOT=$ROOT/restart
	mkdir "$ROOT"
	registry_start
	req POST /v2/a/restart/blobs/uploads/
	at=$(header Location)
	req PATCH "$at" --data-binary abc
	kill -9 "$(cat "$ROOT/registry.pid")"
	: >"$ROOT/registry.log"
	registry_start
	req PATCH "$at" --data-binary def
	[ "$status_code" = 202 ]
	[ "$(header Range)" = 0-5 ]
	req PUT "$at?digest=sha256:$(sha abcdef)"
	[ "$status_code" = 201 ]
	registry_stop
}

@test "end-14: an upload is cancelled" {
	req POST /v2/a/cancel/blobs/uploads/
	at=$(header Location)
	req DELETE "$at"
	[ "$status_code" = 204 ]
	req PATCH "$at" --data-binary x
	[ "$status_code" = 404 ] && grep -q BLOB_UPLOAD_UNKNOWN "$ROOT/body"
}

@test "a wrong digest is refused and leaves nothing" {
	req POST "/v2/a/wrong/blobs/uploads/?digest=sha256:$(sha other)" --data-binary this
	[ "$status_code" = 400 ]
	grep -q DIGEST_INVALID "$ROOT/body"
	req HEAD "/v2/a/wrong/blobs/sha256:$(sha this)"
	[ "$status_code" = 404 ]
}

@test "sha512 blobs and manifests keep their algorithm" {
	d=sha512:$(printf five | sha512sum | cut -d' ' -f1)
	req POST "/v2/a/five/blobs/uploads/?digest=$d" --data-binary five
	[ "$status_code" = 201 ]
	[ "$(header Docker-Content-Digest)" = "$d" ]
	push_blob a/five "{}"
	m=$(manifest_of "{}")
	d=sha512:$(printf %s "$m" | sha512sum | cut -d' ' -f1)
	push_manifest a/five "$d" "$m"
	[ "$status_code" = 201 ]
	[ "$(header Docker-Content-Digest)" = "$d" ]
	req HEAD "/v2/a/five/manifests/$d"
	[ "$status_code" = 200 ]
	[ "$(header Docker-Content-Digest)" = "$d" ]
}

@test "end-11: a blob is mounted from another repository, an unknown one is not" {
	push_blob a/from "mount me"
	req POST "/v2/a/to/blobs/uploads/?mount=sha256:$(sha 'mount me')&from=a/from"
	[ "$status_code" = 201 ]
	req HEAD "/v2/a/to/blobs/sha256:$(sha 'mount me')"
	[ "$status_code" = 200 ]
	req POST "/v2/a/to/blobs/uploads/?mount=sha256:$(sha nothing)&from=a/from"
	[ "$status_code" = 202 ]
}

@test "a blob of another repository is not seen" {
	push_blob a/secret "private"
	req GET "/v2/a/other/blobs/sha256:$(sha private)"
	[ "$status_code" = 404 ] && grep -q BLOB_UNKNOWN "$ROOT/body"
}

@test "end-7, 3, 8: a manifest by tag and digest, tags in pages" {
	push_blob a/tags "{}"
	m=$(manifest_of "{}")
	for t in b a c; do
		push_manifest a/tags $t "$m"
		[ "$status_code" = 201 ]
	done
	d=sha256:$(sha "$m")
	req GET /v2/a/tags/manifests/b
	[ "$(header Docker-Content-Digest)" = "$d" ]
	[ "$(cat "$ROOT/body")" = "$m" ]
	[ "$(header Content-Type)" = application/vnd.oci.image.manifest.v1+json ]
	req HEAD "/v2/a/tags/manifests/$d"
	[ "$status_code" = 200 ]
	[ "$(header Content-Length)" = "${#m}" ]
	req GET /v2/a/tags/tags/list
	[ "$(jq -c .tags "$ROOT/body")" = '["a","b","c"]' ]
	req GET '/v2/a/tags/tags/list?n=2'
	[ "$(jq -c .tags "$ROOT/body")" = '["a","b"]' ]
	[[ "$(header Link)" == *'last=b'*'rel="next"' ]]
	req GET '/v2/a/tags/tags/list?n=2&last=b'
	[ "$(jq -c .tags "$ROOT/body")" = '["c"]' ]
	[ -z "$(header Link)" ]
	req GET '/v2/a/tags/tags/list?n=0'
	[ "$(jq -c .tags "$ROOT/body")" = '[]' ]
	req GET '/v2/a/tags/tags/list?n=x'
	[ "$status_code" = 400 ]
	req GET '/v2/_catalog?n=1000'
	jq -e '.repositories|index("a/tags")' "$ROOT/body"
}

@test "a manifest without its blobs, malformed, or too large is refused" {
	push_manifest a/bad t "$(manifest_of absent)"
	[ "$status_code" = 404 ]
	grep -q MANIFEST_BLOB_UNKNOWN "$ROOT/body"
	push_manifest a/bad t '{"schemaVersion":2'
	[ "$status_code" = 400 ]
	grep -q MANIFEST_INVALID "$ROOT/body"
	head -c 5000000 /dev/zero | tr '\0' ' ' >"$ROOT/big"
	req PUT /v2/a/bad/manifests/t --data-binary "@$ROOT/big"
	[ "$status_code" = 413 ]
	push_blob a/bad "{}"
	push_manifest a/bad "sha256:$(sha other)" "$(manifest_of '{}')"
	[ "$status_code" = 400 ] && grep -q DIGEST_INVALID "$ROOT/body"
}

@test "end-12: referrers, filtered by artifact type, before and after the subject" {
	push_blob a/ref "{}"
	m=$(manifest_of "{}")
	d=sha256:$(sha "$m")
	art=$(manifest_of "{}" ",\"artifactType\":\"test/sig\",\"annotations\":{\"k\":\"v\"},\"subject\":{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"$d\",\"size\":${#m}}")
	push_manifest a/ref "sha256:$(sha "$art")" "$art"
	[ "$status_code" = 201 ]
	[ "$(header OCI-Subject)" = "$d" ]
	push_manifest a/ref main "$m"
	req GET "/v2/a/ref/referrers/$d"
	[ "$(jq -r '.manifests[0].artifactType' "$ROOT/body")" = test/sig ]
	[ "$(jq -r '.manifests[0].annotations.k' "$ROOT/body")" = v ]
	req GET "/v2/a/ref/referrers/$d?artifactType=test/other"
	[ "$(jq -c .manifests "$ROOT/body")" = '[]' ]
	[ "$(header OCI-Filters-Applied)" = artifactType ]
	req GET "/v2/a/ref/referrers/sha256:$(sha none)"
	[ "$status_code" = 200 ]
	[ "$(jq -c .manifests "$ROOT/body")" = '[]' ]
	req GET /v2/a/ref/referrers/sha256:zz
	[ "$status_code" = 400 ]
	req DELETE "/v2/a/ref/manifests/sha256:$(sha "$art")"
	[ "$status_code" = 202 ]
	req GET "/v2/a/ref/referrers/$d"
	[ "$(jq -c .manifests "$ROOT/body")" = '[]' ]
}

@test "end-9, 10: tags, manifests and blobs are deleted" {
	push_blob a/del "{}"
	m=$(manifest_of "{}")
	push_manifest a/del one "$m"
	push_manifest a/del two "$m"
	req DELETE /v2/a/del/manifests/one
	[ "$status_code" = 202 ]
	req GET /v2/a/del/manifests/one
	[ "$status_code" = 404 ]
	grep -q MANIFEST_UNKNOWN "$ROOT/body"
	req DELETE "/v2/a/del/manifests/sha256:$(sha "$m")"
	[ "$status_code" = 202 ]
	req GET /v2/a/del/tags/list
	[ "$(jq -c .tags "$ROOT/body")" = '[]' ]
	req DELETE "/v2/a/del/blobs/sha256:$(sha '{}')"
	[ "$status_code" = 202 ]
	req DELETE "/v2/a/del/blobs/sha256:$(sha '{}')"
	[ "$status_code" = 404 ]
}

@test "hostile names, digests and requests are refused with a 4xx" {
	long=$(printf 'a%.0s' $(seq 300))
	for p in /v2/UPPER/tags/list /v2/a..b/tags/list "/v2/$long/tags/list" /v2/a/%2e%2e/tags/list \
		/v2/a/blobs/sha256:00 /v2/a/blobs/sha256:../../../etc/passwd /v2/a/blobs/md5:00 \
		/v2/a/manifests/.bad /v2/a/manifests/sha256:zz '/v2/_catalog?n=-1' /v2/nothing/here /v2/a/tags/list; do
		req GET "$p" --path-as-is
		[[ "$status_code" == 4?? ]] || { echo "$p gave $status_code"; false; }
	done
	req PUT /v2/a/tags/list
	[[ "$status_code" == 4?? ]]
	req POST '/v2/a/hostile/blobs/uploads/?digest=sha256:zz' --data-binary x
	[ "$status_code" = 400 ]
}

@test "a body shorter than announced is not a blob, and slow clients hold nobody up" {
	exec 5<>"/dev/tcp/${REGISTRY%:*}/${REGISTRY#*:}"
	printf 'POST /v2/a/short/blobs/uploads/?digest=sha256:%s HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nshort' "$(sha short)" >&5
	req GET /v2/
	[ "$status_code" = 200 ]
	exec 5>&-
	sleep 0.2
	req HEAD "/v2/a/short/blobs/sha256:$(sha short)"
	[ "$status_code" = 404 ]
}

@test "both Content-Length and chunked is refused" {
	exec 5<>"/dev/tcp/${REGISTRY%:*}/${REGISTRY#*:}"
	printf 'POST /v2/a/b/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n' >&5
	read -r line <&5
	exec 5>&-
	[[ "$line" == *" 400 "* ]]
}

@test "gc over the control socket: what nothing needs goes, scrub finds a flipped bit" {
	push_blob a/gc "orphan of gc"
	run "$PROA_BUILD/proa-registry" gc --data "$ROOT/registry" --dry-run --grace 0s
	[ "$status" -eq 0 ]
	[[ "$output" == "would delete"* ]]
	run "$PROA_BUILD/proa-registry" gc --data "$ROOT/registry" --grace 0s
	[ "$status" -eq 0 ]
	req HEAD "/v2/a/gc/blobs/sha256:$(sha 'orphan of gc')"
	[ "$status_code" = 404 ]
	run "$PROA_BUILD/proa-registry" scrub --data "$ROOT/registry"
	[ "$status" -eq 0 ]
	push_blob a/gc "to be damaged"
	h=$(sha "to be damaged")
	printf X | dd of="$ROOT/registry/content/blobs/sha256/${h:0:2}/$h" bs=1 conv=notrunc 2>/dev/null
	run "$PROA_BUILD/proa-registry" scrub --data "$ROOT/registry"
	[ "$status" -eq 1 ]
	[[ "$output" == *"damaged sha256:$h"* ]]
	# nobody gets it, a push heals it
	req GET "/v2/a/gc/blobs/sha256:$h"
	[ "$status_code" = 404 ]
	[ "$(jq -r '.errors[0].code' "$ROOT/body")" = BLOB_UNKNOWN ]
	push_manifest a/gc broken "$(manifest_of "to be damaged")"
	[ "$status_code" = 404 ]
	run "$PROA_BUILD/proa-registry" scrub --data "$ROOT/registry"
	[ "$status" -eq 1 ]
	[[ "$output" == *"missing sha256:$h"* ]]
	push_blob a/gc "to be damaged"
	req GET "/v2/a/gc/blobs/sha256:$h"
	[ "$(cat "$ROOT/body")" = "to be damaged" ]
	run "$PROA_BUILD/proa-registry" scrub --data "$ROOT/registry"
	[ "$status" -eq 0 ]
	[[ "$output" == *"healed sha256:$h"* ]]
	# a manifest as well, and a push over a damaged blob needs no scrub
	manifest=$(manifest_of "to be damaged")
	push_manifest a/gc whole "$manifest"
	h=$(sha "$manifest")
	printf X | dd of="$ROOT/registry/content/blobs/sha256/${h:0:2}/$h" bs=1 conv=notrunc 2>/dev/null
	run "$PROA_BUILD/proa-registry" scrub --data "$ROOT/registry"
	[ "$status" -eq 1 ]
	req GET /v2/a/gc/manifests/whole
	[ "$status_code" = 404 ]
	push_manifest a/gc whole "$manifest"
	[ "$status_code" = 201 ]
	req GET /v2/a/gc/manifests/whole
	[ "$(cat "$ROOT/body")" = "$manifest" ]
	h=$(sha "to be damaged")
	printf X | dd of="$ROOT/registry/content/blobs/sha256/${h:0:2}/$h" bs=1 conv=notrunc 2>/dev/null
	push_blob a/gc "to be damaged"
	run "$PROA_BUILD/proa-registry" scrub --data "$ROOT/registry"
	[ "$status" -eq 0 ]
}

@test "maintenance of a directory that is no registry is refused, and makes none" {
	for what in gc retain scrub; do
		run "$PROA_BUILD/proa-registry" $what --data "$ROOT/none"
		[ "$status" -eq 1 ]
		[ "$output" = "proa-registry: no registry in '$ROOT/none'" ]
		[ ! -e "$ROOT/none" ]
	done
}

@test "retention: a dry run tells what goes and deletes nothing, then it goes" {
	ROOT=$ROOT/retain
	mkdir "$ROOT"
	printf '{"retention": [{"repositories": "ci/**", "tags": "v*", "keepLast": 2}]}' >"$ROOT/config.json"
	registry_start --config "$ROOT/config.json"
	push_blob ci/app config
	for i in 1 2 3 4; do push_manifest ci/app "v$i" "$(manifest_of config ",\"annotations\":{\"n\":\"$i\"}")"; done
	push_manifest ci/app latest "$(manifest_of config)"
	push_blob other/app config
	for i in 1 2 3; do push_manifest other/app "v$i" "$(manifest_of config)"; done
	run "$PROA_BUILD/proa-registry" retain --data "$ROOT/registry" --dry-run
	[ "$status" -eq 0 ]
	[ "$(grep -c '^delete ' <<<"$output")" = 2 ]
	[[ "$output" == *"delete ci/app:v2 "* ]]
	[[ "$output" == *"delete ci/app:v1 "* ]]
	req GET /v2/ci/app/tags/list
	[ "$(jq -r '.tags | join(" ")' "$ROOT/body")" = "latest v1 v2 v3 v4" ]
	run "$PROA_BUILD/proa-registry" retain --data "$ROOT/registry"
	[ "$status" -eq 0 ]
	req GET /v2/ci/app/tags/list
	[ "$(jq -r '.tags | join(" ")' "$ROOT/body")" = "latest v3 v4" ]
	req GET /v2/other/app/tags/list
	[ "$(jq -r '.tags | length' "$ROOT/body")" = 3 ]
	run "$PROA_BUILD/proa-registry" retain --data "$ROOT/registry" --dry-run
	registry_stop
	[ -z "$output" ]
}

@test "metrics are what Prometheus reads, and count" {
	req GET /metrics
	[ "$status_code" = 200 ]
	[ "$(header Content-Type)" = 'text/plain; version=0.0.4; charset=utf-8' ]
	cp "$ROOT/body" "$ROOT/metrics"
	# Each family: HELP, TYPE, samples of that name; names and values as the format has them; no family twice.
	awk '
		/^# HELP [a-zA-Z_:][a-zA-Z0-9_:]* ./ { if (seen[$3]++) exit 1; family = $3; typed = 0; next }
		/^# TYPE [a-zA-Z_:][a-zA-Z0-9_:]* (counter|gauge)$/ { if ($3 != family) exit 1; typed = 1; next }
		/^[a-zA-Z_:][a-zA-Z0-9_:]* [0-9]+$/ { if ($1 != family || !typed) exit 1; n++; next }
		{ exit 1 }
		END { exit n < 9 }' "$ROOT/metrics"
	[ "$(tail -c 1 "$ROOT/metrics" | od -An -tx1 | tr -d ' ')" = 0a ]
	count() { sed -n "s/^proa_registry_$1 //p" "$ROOT/$2"; }
	push_blob a/count "counted"
	req POST /v2/a/count/blobs/uploads/
	at=$(header Location)
	req PATCH "$at" -H 'Transfer-Encoding: chunked' --data-binary "chunked as docker does"
	req GET "/v2/a/count/blobs/sha256:$(sha counted)"
	req GET /v2/a/count/manifests/nothing
	req GET /metrics
	[ "$(count requests_total body)" = $(($(count requests_total metrics) + 6)) ]
	[ "$(count blob_bytes_received_total body)" = $(($(count blob_bytes_received_total metrics) + 29)) ]
	[ "$(count blob_bytes_sent_total body)" = $(($(count blob_bytes_sent_total metrics) + 7)) ]
	[ "$(count client_errors_total body)" = $(($(count client_errors_total metrics) + 1)) ]
}

@test "health and readiness, JSON logs, help, and a configuration that is checked" {
	for p in /healthz /readyz; do
		req GET $p
		[ "$status_code" = 200 ]
		[ "$(cat "$ROOT/body")" = ok ]
	done
	mkdir "$ROOT/json"
	"$PROA_BUILD/proa-registry" serve --data "$ROOT/json/registry" --listen 127.0.0.1:0 --log-format json --log-level debug \
		>"$ROOT/json/registry.log" 2>&1 3>&- &
	echo $! >"$ROOT/json/registry.pid"
	for _ in $(seq 600); do grep -q listening "$ROOT/json/registry.log" && break || sleep 0.05; done
	curl -s -o /dev/null "http://$(jq -r 'select(.msg == "listening").address' "$ROOT/json/registry.log")/v2/x/tags/list"
	ROOT=$ROOT/json registry_stop
	[ "$(jq -r 'select(.msg == "request" and .path == "/v2/x/tags/list") | [.level, .method, .status] | join(" ")' "$ROOT/json/registry.log")" = "debug GET 404" ]
	run "$PROA_BUILD/proa-registry" serve --log-format xml
	[ "$status" -eq 1 ]
	[ "$output" = "proa-registry: log format 'xml': want text or json" ]
	run "$PROA_BUILD/proa-registry" serve --help
	[ "$status" -eq 0 ]
	[[ "$output" == "Usage:  proa-registry"* ]]
	run "$PROA_BUILD/proa-registry" serv
	[ "$status" -eq 1 ]
	[[ "$output" == *"unknown command 'serv'"* ]]
	echo '{"gc":{"grace":"1h"}}' >"$ROOT/ok.json"
	run "$PROA_BUILD/proa-registry" validate --config "$ROOT/ok.json"
	[ "$status" -eq 0 ]
	[ "$output" = "configuration OK" ]
	echo '{"gc":{"grase":"1h"}}' >"$ROOT/bad.json"
	run "$PROA_BUILD/proa-registry" validate --config "$ROOT/bad.json"
	[ "$status" -eq 1 ]
	[[ "$output" == *"unknown member 'grase'"* ]]
}
