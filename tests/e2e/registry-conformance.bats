#!/usr/bin/env bats
# The finer points of distribution-spec 1.1 and 1.2: what its public conformance program asks of a registry.

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

@test "a manifest pushed by digest gets the tags of its query, and is told so" {
	push_blob t/tags "{}"
	m=$(manifest_of "{}")
	d=sha256:$(sha "$m")
	push_manifest t/tags "$d?tag=1.2.3&tag=1.2&tag=latest" "$m"
	[ "$status_code" = 201 ]
	[ "$(header OCI-Tag | tr '\n' ,)" = "1.2.3,1.2,latest," ]
	for t in 1.2.3 1.2 latest; do
		req HEAD "/v2/t/tags/manifests/$t"
		[ "$(header Docker-Content-Digest)" = "$d" ]
	done
	push_manifest t/tags "$d?tag=fine&tag=.bad" "$m"
	[ "$status_code" = 400 ]
	req HEAD /v2/t/tags/manifests/fine
	[ "$status_code" = 404 ]
	push_manifest t/tags "$d?$(printf 'tag=t%s&' $(seq 101))" "$m"
	[ "$status_code" = 414 ]
	d=sha512:$(printf %s "$m" | sha512sum | cut -d' ' -f1)
	push_manifest t/tags "$d?tag=five" "$m"
	req HEAD /v2/t/tags/manifests/five
	[ "$(header Docker-Content-Digest)" = "$d" ]
}

@test "a mount without a source finds the blob wherever it is" {
	push_blob m/here "mount me from anywhere"
	d=sha256:$(sha "mount me from anywhere")
	req POST "/v2/m/there/blobs/uploads/?mount=$d"
	[ "$status_code" = 201 ]
	[ "$(header Location)" = "/v2/m/there/blobs/$d" ]
	req GET "/v2/m/there/blobs/$d"
	[ "$(cat "$ROOT/body")" = "mount me from anywhere" ]
	req POST "/v2/m/there/blobs/uploads/?mount=sha256:$(sha nowhere)"
	[ "$status_code" = 202 ]
	[ -n "$(header Location)" ]
	req POST "/v2/m/there/blobs/uploads/?mount=sha256:zz&from=m/here"
	[ "$status_code" = 202 ]
}

@test "ranges are for GET only, and If-Range guards them" {
	push_blob r/ange 0123456789
	d=sha256:$(sha 0123456789)
	req HEAD "/v2/r/ange/blobs/$d" -H 'Range: bytes=2-3'
	[ "$status_code" = 200 ]
	[ "$(header Content-Length)" = 10 ]
	req GET "/v2/r/ange/blobs/$d" -H 'Range: bytes=-3' -H "If-Range: \"$d\""
	[ "$status_code" = 206 ]
	[ "$(cat "$ROOT/body")" = 789 ]
	req GET "/v2/r/ange/blobs/$d" -H 'Range: bytes=2-3' -H 'If-Range: "other"'
	[ "$status_code" = 200 ]
	[ "$(cat "$ROOT/body")" = 0123456789 ]
	req GET "/v2/r/ange/blobs/$d" -H 'Range: bytes=5-2'
	[ "$status_code" = 416 ]
	req GET "/v2/r/ange/blobs/$d" -H 'Range: bytes=8-99999999999999999999'
	[ "$status_code" = 206 ]
	[ "$(cat "$ROOT/body")" = 89 ]
	req GET "/v2/r/ange/blobs/$d" -H 'Range: bytes=10-'
	[ "$status_code" = 416 ]
	[ "$(header Content-Range)" = 'bytes */10' ]
}

@test "a zero-byte blob, and a stream of chunks without a length" {
	d=sha256:$(sha "")
	req POST "/v2/e/mpty/blobs/uploads/?digest=$d" -H 'Content-Length: 0'
	[ "$status_code" = 202 ] || [ "$status_code" = 201 ]
	req POST /v2/e/mpty/blobs/uploads/
	req PUT "$(header Location)?digest=$d"
	[ "$status_code" = 201 ]
	req GET "/v2/e/mpty/blobs/$d"
	[ "$status_code" = 200 ]
	[ "$(header Content-Length)" = 0 ]
	req POST /v2/e/mpty/blobs/uploads/
	at=$(header Location)
	req PATCH "$at" -H 'Transfer-Encoding: chunked' --data-binary "streamed"
	[ "$status_code" = 202 ]
	[ "$(header Range)" = 0-7 ]
	req PUT "$at?digest=sha256:$(sha streamed)"
	[ "$status_code" = 201 ]
}

@test "a chunk whose range and length disagree, or that is no range, is 416 and changes nothing" {
	req POST /v2/c/hunk/blobs/uploads/
	at=$(header Location)
	for range in 0-9 3-1 -5 x-y 0 18446744073709551615-18446744073709551617; do
		req PATCH "$at" -H "Content-Range: $range" --data-binary abc
		[ "$status_code" = 416 ]
	done
	req GET "$at"
	[ "$status_code" = 204 ]
	[ "$(header Range)" = 0-0 ]
	req PUT "$at?digest=sha256:$(sha abc)" -H 'Content-Range: 5-7' --data-binary abc
	[ "$status_code" = 416 ]
	req PUT "$at?digest=sha256:$(sha abc)" -H 'Content-Range: 0-2' --data-binary abc
	[ "$status_code" = 201 ]
}

@test "an error is the spec's JSON, to the byte" {
	req GET /v2/no/such/manifests/latest
	[ "$status_code" = 404 ]
	[ "$(header Content-Type)" = application/json ]
	[ "$(cat "$ROOT/body")" = '{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown: latest","detail":null}]}' ]
	[ "$(header Docker-Distribution-Api-Version)" = registry/2.0 ]
	req GET /v2/no/such/tags/list
	[ "$status_code" = 404 ]
	[ "$(jq -r '.errors[0].code' "$ROOT/body")" = NAME_UNKNOWN ]
	req GET "/v2/no/such/blobs/sha256:$(sha none)"
	[ "$status_code" = 404 ]
	[ "$(jq -r '.errors[0].code' "$ROOT/body")" = BLOB_UNKNOWN ]
	req GET /v2/BAD/tags/list
	[ "$status_code" = 400 ]
	[ "$(jq -r '.errors[0].code' "$ROOT/body")" = NAME_INVALID ]
	req PATCH /v2/no/such/blobs/uploads/00000000000000000000000000000000 --data-binary x
	[ "$status_code" = 404 ]
	[ "$(jq -r '.errors[0].code' "$ROOT/body")" = BLOB_UPLOAD_UNKNOWN ]
	req PATCH /v2/no/such/manifests/t
	[ "$status_code" = 405 ]
	[ "$(jq -r '.errors[0].code' "$ROOT/body")" = UNSUPPORTED ]
	[ -n "$(header Allow)" ]
	req HEAD /v2/no/such/manifests/latest
	[ "$status_code" = 404 ]
}

@test "a manifest's ETag answers 304, a manifest of just 4 MiB is taken and one byte more is not" {
	push_blob b/ig "{}"
	m=$(manifest_of "{}")
	push_manifest b/ig t "$m"
	req GET /v2/b/ig/manifests/t
	etag=$(header ETag)
	req GET /v2/b/ig/manifests/t -H "If-None-Match: $etag"
	[ "$status_code" = 304 ]
	[ ! -s "$ROOT/body" ]
	req GET /v2/b/ig/manifests/t -H 'If-None-Match: *'
	[ "$status_code" = 304 ]
	req GET /v2/b/ig/manifests/t -H 'If-None-Match: "other"'
	[ "$status_code" = 200 ]
	head=$(manifest_of "{}" ',"annotations":{"x":"')
	head=${head%\}}
	fill=$((4 * 1024 * 1024 - ${#head} - 3))
	{ printf %s "$head"; head -c "$fill" /dev/zero | tr '\0' y; printf '"}}'; } >"$ROOT/four"
	[ "$(stat -c %s "$ROOT/four")" = 4194304 ]
	for extra in "" " "; do
		printf %s "$extra" >>"$ROOT/four"
		req PUT /v2/b/ig/manifests/four -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' --data-binary "@$ROOT/four"
		[ "$status_code" = $([ -z "$extra" ] && echo 201 || echo 413) ]
	done
	req PUT /v2/b/ig/manifests/four -H 'Transfer-Encoding: chunked' -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' --data-binary "@$ROOT/four"
	[ "$status_code" = 413 ]
}

@test "names of 255 bytes and sha512 digests of digests fit" {
	long=$(printf 'a%.0s' $(seq 120))/$(printf 'b%.0s' $(seq 134))
	push_blob "$long" "{}"
	subject=sha512:$(printf subject | sha512sum | cut -d' ' -f1)
	m=$(manifest_of "{}" ",\"artifactType\":\"test/long\",\"subject\":{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"$subject\",\"size\":7}")
	other=$(manifest_of "{}" ",\"artifactType\":\"test/other\",\"subject\":{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"$subject\",\"size\":7}")
	push_manifest "$long" "sha512:$(printf %s "$m" | sha512sum | cut -d' ' -f1)" "$m"
	[ "$status_code" = 201 ]
	[ "$(header OCI-Subject)" = "$subject" ]
	push_manifest "$long" "sha512:$(printf %s "$other" | sha512sum | cut -d' ' -f1)" "$other"
	req GET "/v2/$long/referrers/$subject"
	[ "$(jq '.manifests|length' "$ROOT/body")" = 2 ]
	[ -z "$(header OCI-Filters-Applied)" ]
	req GET "/v2/$long/referrers/$subject?artifactType=test/long"
	[ "$(jq -r '.manifests[].digest' "$ROOT/body")" = "sha512:$(printf %s "$m" | sha512sum | cut -d' ' -f1)" ]
	[ "$(header OCI-Filters-Applied)" = artifactType ]
	req GET "/v2/${long}c/tags/list"
	[ "$status_code" = 400 ]
}

@test "pages of tags and of the catalogue lead to the next one, to the end" {
	push_blob p/age "{}"
	m=$(manifest_of "{}")
	for t in a B c D e; do push_manifest p/age $t "$m"; done
	next="/v2/p/age/tags/list?n=2" seen=
	while [ -n "$next" ]; do
		req GET "$next"
		seen+=$(jq -r '.tags[]' "$ROOT/body" | tr -d '\n')
		next=$(header Link | sed -n 's/^<\(.*\)>; rel="next"$/\1/p')
	done
	[ "$seen" = BDace ]
	req GET '/v2/p/age/tags/list?n=0'
	[ "$(cat "$ROOT/body")" = '{"name":"p/age","tags":[]}' ]
	[ -z "$(header Link)" ]
	req GET '/v2/p/age/tags/list?last=zzz'
	[ "$(jq -c .tags "$ROOT/body")" = '[]' ]
	req GET '/v2/_catalog?n=1&last=p/aga'
	[ "$(jq -c .repositories "$ROOT/body")" = '["p/age"]' ]
	req GET '/v2/_catalog?n=0'
	[ "$(jq -c .repositories "$ROOT/body")" = '[]' ]
	for n in -1 x 99999999999999999999; do
		req GET "/v2/_catalog?n=$n"
		[ "$status_code" = 400 ]
	done
}

@test "content that is absent may be named, and blobs have a ceiling, where the configuration says so" {
	ROOT=$ROOT/sparse
	mkdir "$ROOT"
	echo '{"sparseManifests": true, "limits": {"maxBlobSize": "1kB"}}' >"$ROOT/config.json"
	registry_start --config "$ROOT/config.json"
	push_manifest s/parse t "$(manifest_of absent)"
	[ "$status_code" = 201 ]
	req GET "/v2/s/parse/blobs/sha256:$(sha absent)"
	[ "$status_code" = 404 ]
	big=$(printf 'x%.0s' $(seq 2000))
	req POST "/v2/s/parse/blobs/uploads/?digest=sha256:$(sha "$big")" --data-binary "$big"
	[ "$status_code" = 413 ]
	[ "$(jq -r '.errors[0].code' "$ROOT/body")" = SIZE_INVALID ]
	run "$PROA_BUILD/proa-registry" gc --data "$ROOT/registry" --grace 0s
	[ "$status" -eq 0 ]
	req GET /v2/s/parse/manifests/t
	[ "$status_code" = 200 ]
	registry_stop
}
