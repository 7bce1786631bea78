#!/usr/bin/env bats
# Images, signatures and attestations on their way through dockerd, docker-registry and skopeo, and
# back: what a digest names stays what it is.

bats_require_minimum_version 1.5.0

load ../lib/engine
load ../lib/registry
load ../lib/peer

setup_file() {
	[ "$(id -u)" = 0 ] || return 0
	engine_setup --bridge none
	registry_start
	mv "$ROOT/registry.pid" "$ROOT/ours.pid"
	OURS=$REGISTRY
	if peer_registry_start; then mv "$ROOT/registry.pid" "$ROOT/theirs.pid"; fi
	THEIRS=$REGISTRY REGISTRY=$OURS
	export OURS THEIRS REGISTRY PEER_SOCK=$ROOT/d.sock
	if command -v dockerd >/dev/null; then
		unshare -m --propagation private dockerd --data-root "$ROOT/peer" --exec-root "$ROOT/peer-exec" -p "$ROOT/peer.pid" \
			-H "unix://$PEER_SOCK" --bridge none --cgroup-parent "/${ROOT##*/}" --iptables=false --ip6tables=false \
			>"$ROOT/peer.log" 2>&1 3>&- &
		echo $! >"$ROOT/dockerd.pid"
		for _ in $(seq 200); do
			curl -sf --unix-socket "$PEER_SOCK" http://x/_ping >/dev/null && break
			sleep 0.1
		done
	fi
	mkdir "$ROOT/tree"
	head -c 300000 /dev/urandom >"$ROOT/tree/noise"
	tar -C "$ROOT/tree" -cf "$ROOT/tree.tar" .
}
teardown_file() {
	[ -n "${ROOT:-}" ] || return 0
	for p in dockerd theirs ours; do
		[ -f "$ROOT/$p.pid" ] || continue
		pid=$(cat "$ROOT/$p.pid")
		kill "$pid" 2>/dev/null || true
		for _ in $(seq 200); do
			kill -0 "$pid" 2>/dev/null || break
			sleep 0.05
		done
	done
	remove_peer_cgroups "${ROOT##*/}"
	umount -R "$ROOT/peer" 2>/dev/null || true
	engine_teardown
}
setup() { need_root; }

need_theirs() { [ -f "$ROOT/theirs.pid" ] || skip "no docker-registry here"; }
need_dockerd() {
	need_docker
	[ -f "$ROOT/dockerd.pid" ] && curl -sf --unix-socket "$PEER_SOCK" http://x/_ping >/dev/null || skip "no dockerd that starts here"
}
peer() { DOCKER_HOST=unix://$PEER_SOCK docker "$@"; }
digest_at() { # HOST REPO REFERENCE
	curl -s -H 'Accept: application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json' \
		"http://$1/v2/$2/manifests/$3" | sha256sum | cut -d' ' -f1
}

@test "what dockerd pushes, pulls, saves and loads is what proad does, with ids and digests unchanged" {
	need_dockerd
	need_theirs
	peer import "$ROOT/tree.tar" "$OURS/from/dockerd:1"
	peer push -q "$OURS/from/dockerd:1"
	d=$(digest_at "$OURS" from/dockerd 1)
	docker pull -q "$OURS/from/dockerd:1"
	for to in "$OURS/by/proad:1" "$THEIRS/by/proad:1"; do
		docker tag "$OURS/from/dockerd:1" "$to"
		docker push -q "$to"
		[ "$(digest_at "${to%%/*}" by/proad 1)" = "$d" ]
	done
	id=$(docker image inspect -f '{{.Id}}' "$OURS/from/dockerd:1")
	[ "$(peer image inspect -f '{{.Id}} {{.RepoDigests}}' "$OURS/from/dockerd:1")" = "$id [$OURS/from/dockerd@sha256:$d]" ]
	docker save "$OURS/by/proad:1" | peer load
	[ "$(peer image inspect -f '{{.Id}}' "$OURS/by/proad:1")" = "$id" ]
	docker rmi "$OURS/from/dockerd:1" "$OURS/by/proad:1" "$THEIRS/by/proad:1" >/dev/null
	peer save "$OURS/from/dockerd:1" | docker load
	[ "$(docker image inspect -f '{{.Id}}' "$OURS/from/dockerd:1")" = "$id" ]
	docker rmi "$OURS/from/dockerd:1" >/dev/null
	# and what proad made
	echo other >"$ROOT/tree/other"
	tar -C "$ROOT/tree" -cf "$ROOT/other.tar" .
	docker import "$ROOT/other.tar" "$THEIRS/from/proad:1"
	docker push -q "$THEIRS/from/proad:1"
	peer pull -q "$THEIRS/from/proad:1"
	[ "$(peer image inspect -f '{{.Id}} {{.RepoDigests}}' "$THEIRS/from/proad:1")" = "$(docker image inspect -f '{{.Id}} {{.RepoDigests}}' "$THEIRS/from/proad:1")" ]
	docker rmi "$THEIRS/from/proad:1" >/dev/null
}

@test "signatures and attestations go through docker-registry and back, and are no images" {
	command -v skopeo >/dev/null || skip "skopeo is not installed"
	need_theirs
	push_blob sig/ned '{}'
	push_blob sig/ned signature
	push_manifest sig/ned 1 "$(manifest_of '{}')"
	d=$(header Docker-Content-Digest)
	size=$(printf %s "$(manifest_of '{}')" | wc -c)
	layer=',"layers":[{"mediaType":"%s","digest":"sha256:'$(sha signature)'","size":9}]'
	# As cosign names it, and as the specification does.
	# shellcheck disable=SC2059
	sig=$(manifest_of '{}' | jq -c --argjson l "{$(printf "${layer#,}" application/vnd.dev.cosign.simplesigning.v1+json)}" '. + $l | .config.mediaType = "application/vnd.oci.image.config.v1+json"')
	# shellcheck disable=SC2059
	sbom=$(manifest_of '{}' ",\"artifactType\":\"application/spdx+json\",\"subject\":{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"$d\",\"size\":$size}" |
		jq -c --argjson l "{$(printf "${layer#,}" application/spdx+json)}" '. + $l')
	push_manifest sig/ned "${d/:/-}.sig" "$sig"
	[ "$status_code" = 201 ]
	push_manifest sig/ned sbom "$sbom"
	[ "$(header OCI-Subject)" = "$d" ]
	for tag in 1 "${d/:/-}.sig" sbom; do
		skopeo copy -q --preserve-digests --src-tls-verify=false --dest-tls-verify=false "docker://$OURS/sig/ned:$tag" "docker://$THEIRS/sig/ned:$tag"
		skopeo copy -q --preserve-digests --src-tls-verify=false --dest-tls-verify=false "docker://$THEIRS/sig/ned:$tag" "docker://$OURS/sig/back:$tag"
		[ "$(digest_at "$OURS" sig/ned "$tag")" = "$(digest_at "$OURS" sig/back "$tag")" ]
	done
	req GET "/v2/sig/ned/referrers/$d"
	cp "$ROOT/body" "$ROOT/referrers"
	req GET "/v2/sig/back/referrers/$d"
	cmp "$ROOT/body" "$ROOT/referrers"
	[ "$(jq -r '.manifests[].digest' "$ROOT/body")" = "sha256:$(sha "$sbom")" ]
	need_docker
	run --separate-stderr docker pull -q "$OURS/sig/ned:${d/:/-}.sig"
	[ "$status" = 1 ]
	[ "$stderr" = "Error response from daemon: $OURS/sig/ned:${d/:/-}.sig: layer 0 is of type 'application/vnd.dev.cosign.simplesigning.v1+json', which is no file system layer" ]
	run --separate-stderr docker pull -q "$OURS/sig/ned:sbom"
	[ "$status" = 1 ]
	[ "$stderr" = "Error response from daemon: $OURS/sig/ned:sbom is not an image: its config is of type 'application/vnd.oci.empty.v1+json'" ]
}

@test "an image that is named by sha512 all through is pulled by tag and by digest" {
	need_docker
	sha5() { sha512sum "$1" | cut -d' ' -f1; }
	put_file() { # FILE
		req POST "/v2/five/twelve/blobs/uploads/?digest=sha512:$(sha5 "$1")" -H 'Content-Type: application/octet-stream' --data-binary "@$1"
		[ "$status_code" = 201 ]
	}
	gzip -nc "$ROOT/tree.tar" >"$ROOT/layer"
	printf '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
		"$(sha256sum <"$ROOT/tree.tar" | cut -d' ' -f1)" >"$ROOT/config"
	put_file "$ROOT/layer"
	put_file "$ROOT/config"
	printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha512:%s","size":%d},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha512:%s","size":%d}]}' \
		"$(sha5 "$ROOT/config")" "$(stat -c %s "$ROOT/config")" "$(sha5 "$ROOT/layer")" "$(stat -c %s "$ROOT/layer")" >"$ROOT/manifest"
	d=sha512:$(sha5 "$ROOT/manifest")
	for ref in 1 "$d"; do
		req PUT "/v2/five/twelve/manifests/$ref" -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' --data-binary "@$ROOT/manifest"
		[ "$status_code" = 201 ]
	done
	docker pull -q "$OURS/five/twelve:1"
	docker pull -q "$OURS/five/twelve@$d"
	run docker image inspect -f '{{.Id}} {{.RepoDigests}}' "$OURS/five/twelve:1"
	[[ $output == "sha256:$(sha256sum <"$ROOT/config" | cut -d' ' -f1) "*"$OURS/five/twelve@$d"* ]]
	[ "$(curl -s --unix-socket "$SOCK" -X POST http://x/store/check | jq -c .Problems)" = "[]" ]
	docker rmi -f "$(docker images -q "$OURS/five/twelve:1")" >/dev/null
}
