#!/usr/bin/env bats
# Real clients against proa-registry: skopeo, and podman, docker and buildah where they are installed.

load ../lib/engine

setup_file() {
	ROOT=$(mktemp -d /tmp/proa-e2e-XXXXXX)
	export ROOT
	printf 'secret\n' | "$PROA_BUILD/proa-registry" htpasswd ann >"$ROOT/users"
	cat >"$ROOT/config.json" <<-J
		{"auth": {"htpasswd": "$ROOT/users", "rules": [
			{"repositories": "public/**", "users": ["anonymous"], "actions": ["pull"]},
			{"repositories": "**", "users": ["ann"], "actions": ["*"]}]}}
	J
	registry_start --config "$ROOT/config.json"
	mkdir -p "$ROOT/oci/blobs/sha256"
	make_layout "$ROOT/oci"
}
teardown_file() {
	registry_stop
	rm -rf "$ROOT"
}

blob() { # FILE -> digest on stdout, file moved into the layout
	local d
	d=$(sha256sum "$1" | cut -d' ' -f1)
	mv "$1" "$ROOT/oci/blobs/sha256/$d"
	echo "$d"
}
make_layout() {
	local diff layer config manifest
	mkdir -p "$ROOT/tree/bin"
	cp "$(command -v busybox)" "$ROOT/tree/bin/"
	tar -C "$ROOT/tree" --owner=0 --group=0 --mtime=@0 -cf "$ROOT/layer.tar" .
	diff=$(sha256sum "$ROOT/layer.tar" | cut -d' ' -f1)
	gzip -n "$ROOT/layer.tar"
	layer_size=$(stat -c %s "$ROOT/layer.tar.gz")
	layer=$(blob "$ROOT/layer.tar.gz")
	printf '{"architecture":"amd64","os":"linux","config":{"Cmd":["/bin/busybox"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' "$diff" >"$ROOT/config"
	config_size=$(stat -c %s "$ROOT/config")
	config=$(blob "$ROOT/config")
	printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:%s","size":%d},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:%s","size":%d}]}' "$config" "$config_size" "$layer" "$layer_size" >"$ROOT/manifest"
	manifest_size=$(stat -c %s "$ROOT/manifest")
	manifest=$(blob "$ROOT/manifest")
	echo "$manifest" >"$ROOT/digest"
	printf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":%d,"annotations":{"org.opencontainers.image.ref.name":"t"}}]}' "$manifest" "$manifest_size" >"$ROOT/oci/index.json"
	echo '{"imageLayoutVersion":"1.0.0"}' >"$ROOT/oci/oci-layout"
}
need() { command -v "$1" >/dev/null || skip "$1 is not installed"; }

@test "skopeo pushes with a login, anybody pulls public ones, the digest is unchanged" {
	need skopeo
	run skopeo copy --dest-tls-verify=false "oci:$ROOT/oci:t" "docker://$REGISTRY/public/bb:1"
	[ "$status" -ne 0 ]
	skopeo copy -q --dest-tls-verify=false --dest-creds ann:secret "oci:$ROOT/oci:t" "docker://$REGISTRY/public/bb:1"
	run skopeo inspect --tls-verify=false --format '{{.Digest}}' "docker://$REGISTRY/public/bb:1"
	[ "$output" = "sha256:$(cat "$ROOT/digest")" ]
	skopeo copy -q --src-tls-verify=false "docker://$REGISTRY/public/bb:1" "oci:$ROOT/back:t"
	skopeo copy -q --dest-tls-verify=false --dest-creds ann:secret "oci:$ROOT/oci:t" "docker://$REGISTRY/private/bb:1"
	run skopeo inspect --tls-verify=false "docker://$REGISTRY/private/bb:1"
	[ "$status" -ne 0 ]
	run skopeo inspect --tls-verify=false --creds ann:wrong "docker://$REGISTRY/private/bb:1"
	[ "$status" -ne 0 ]
	run skopeo list-tags --tls-verify=false --creds ann:secret "docker://$REGISTRY/private/bb"
	[[ "$output" == *'"1"'* ]]
}

@test "podman logs in, pushes and pulls" {
	need podman
	need_root
	export REGISTRY_AUTH_FILE=$ROOT/podman-auth.json
	p() { podman --root "$ROOT/podman" --runroot "$ROOT/podman-run" --storage-driver vfs "$@"; }
	p login --tls-verify=false -u ann -p secret "$REGISTRY"
	cd "$ROOT" # the path becomes a name, which has no capitals
	p pull -q oci:oci:t
	id=$(p images -q | head -1)
	p push -q --tls-verify=false "$id" "$REGISTRY/team/podman:1"
	p rmi -af
	run p pull -q --tls-verify=false "$REGISTRY/team/podman:1"
	[ "$status" -eq 0 ]
}

@test "skopeo deletes, and the collection takes the blobs" {
	need skopeo
	skopeo copy -q --dest-tls-verify=false --dest-creds ann:secret "oci:$ROOT/oci:t" "docker://$REGISTRY/gone/bb:1"
	skopeo delete --tls-verify=false --creds ann:secret "docker://$REGISTRY/gone/bb:1"
	run skopeo inspect --tls-verify=false --creds ann:secret "docker://$REGISTRY/gone/bb:1"
	[ "$status" -ne 0 ]
	run "$PROA_BUILD/proa-registry" gc --data "$ROOT/registry"
	[ "$status" -eq 0 ]
}

@test "a mirror fetches what is asked for, keeps it, and serves it with the upstream down" {
	need skopeo
	skopeo copy -q --dest-tls-verify=false --dest-creds ann:secret "oci:$ROOT/oci:t" "docker://$REGISTRY/public/up:1"
	upstream=$REGISTRY
	upstream_root=$ROOT
	ROOT=$ROOT/mirror
	mkdir "$ROOT"
	printf '{"mirrors": [{"prefix": "up", "upstream": "%s", "insecure": true}]}' "$upstream" >"$ROOT/config.json"
	registry_start --config "$ROOT/config.json"
	mirror=$REGISTRY
	skopeo copy -q --src-tls-verify=false "docker://$mirror/up/public/up:1" "oci:$ROOT/one:t"
	run skopeo inspect --tls-verify=false --format '{{.Digest}}' "docker://$mirror/up/public/up:1"
	[ "$output" = "sha256:$(cat "$upstream_root/digest")" ]
	run curl -s "http://$mirror/v2/up/public/nothing/manifests/1"
	[[ "$output" == *MANIFEST_UNKNOWN* ]]
	# pushes are its own
	skopeo copy -q --dest-tls-verify=false "oci:$ROOT/one:t" "docker://$mirror/up/own:1"
	kill -STOP "$(cat "$upstream_root/registry.pid")"
	run timeout 90 skopeo copy -q --src-tls-verify=false "docker://$mirror/up/public/up:1" "oci:$ROOT/two:t"
	kill -CONT "$(cat "$upstream_root/registry.pid")"
	registry_stop
	[ "$status" -eq 0 ]
}

make_cert() { # NAME: $ROOT/NAME.crt and .key, signed by $ROOT/ca
	[ -f "$ROOT/ca.crt" ] || openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test-ca -keyout "$ROOT/ca.key" -out "$ROOT/ca.crt" 2>/dev/null
	openssl req -newkey rsa:2048 -nodes -subj "/CN=$1" -keyout "$ROOT/$1.key" -out "$ROOT/$1.csr" 2>/dev/null
	printf 'subjectAltName=IP:127.0.0.1' >"$ROOT/ext"
	openssl x509 -req -in "$ROOT/$1.csr" -CA "$ROOT/ca.crt" -CAkey "$ROOT/ca.key" -CAcreateserial -days 2 -extfile "$ROOT/ext" -out "$ROOT/$1.crt" 2>/dev/null
}

@test "TLS, client certificates, and a certificate renewed without a restart" {
	command -v openssl >/dev/null || skip "openssl is not installed"
	ROOT=$ROOT/tls
	mkdir "$ROOT"
	make_cert one
	make_cert two
	make_cert client
	cp "$ROOT/one.crt" "$ROOT/now.crt"
	cp "$ROOT/one.key" "$ROOT/now.key"
	printf '{"tls": {"certificate": "%s", "key": "%s", "clientCA": "%s"}}' "$ROOT/now.crt" "$ROOT/now.key" "$ROOT/ca.crt" >"$ROOT/config.json"
	"$PROA_BUILD/proa-registry" serve --data "$ROOT/registry" --listen 127.0.0.1:0 --config "$ROOT/config.json" >"$ROOT/log" 2>&1 3>&- &
	pid=$!
	for _ in $(seq 600); do grep -q address= "$ROOT/log" && break || sleep 0.05; done
	at=$(sed -n 's/.*listening address=//p' "$ROOT/log")
	tls() { curl -sS --cacert "$ROOT/ca.crt" --cert "$ROOT/client.crt" --key "$ROOT/client.key" "$@" "https://$at/v2/"; }
	served() { openssl s_client -connect "$at" </dev/null 2>/dev/null | openssl x509 -noout -subject; }
	[ "$(tls)" = '{}' ]
	run curl -sS --cacert "$ROOT/ca.crt" "https://$at/v2/"
	[ "$status" -ne 0 ]
	[[ "$(served)" == *one ]]
	cp "$ROOT/two.key" "$ROOT/now.key"
	cp "$ROOT/two.crt" "$ROOT/now.crt"
	kill -HUP "$pid"
	for _ in $(seq 600); do [[ "$(served)" == *two ]] && break || sleep 0.05; done
	[[ "$(served)" == *two ]]
	[ "$(tls)" = '{}' ]
	echo broken >"$ROOT/now.crt"
	kill -HUP "$pid"
	eventually grep -q 'certificate cannot be used' "$ROOT/log"
	[[ "$(served)" == *two ]]
	kill "$pid"
	wait "$pid"
}

@test "docker through proad: refused in docker's words, logs in, pushes, mounts, pulls, logs out" {
	need_root
	need_docker
	SOCK=$ROOT/proa.sock BRIDGE=pr$(printf %s "${ROOT##*-}" | tr '[:upper:]' '[:lower:]')
	export DOCKER_HOST=unix://$SOCK DOCKER_CONFIG=$ROOT/client
	mkdir -p "$DOCKER_CONFIG"
	echo '{}' >"$ROOT/engine.json"
	engine_start
	tar -C "$ROOT/tree" -cf "$ROOT/tree.tar" .
	docker import "$ROOT/tree.tar" "$REGISTRY/dock/er:1"
	run docker push -q "$REGISTRY/dock/er:1"
	[ "$status" -eq 1 ]
	[[ "$output" == *"denied: requested access to the resource is denied" ]]
	run docker pull -q "$REGISTRY/dock/er:1"
	[ "$status" -eq 1 ]
	[[ "$output" == *"pull access denied for $REGISTRY/dock/er, repository does not exist or may require 'docker login': denied: requested access to the resource is denied" ]]
	run docker login -u ann --password-stdin "$REGISTRY" <<<wrong
	[ "$status" -eq 1 ]
	[[ "$output" == *unauthorized* ]]
	docker login -u ann --password-stdin "$REGISTRY" <<<secret
	docker push -q "$REGISTRY/dock/er:1"
	docker tag "$REGISTRY/dock/er:1" "$REGISTRY/dock/other:1"
	run docker push "$REGISTRY/dock/other:1"
	[ "$status" -eq 0 ]
	[[ "$output" == *Mounted* ]]
	docker rmi -f "$REGISTRY/dock/er:1" "$REGISTRY/dock/other:1"
	docker pull -q "$REGISTRY/dock/other:1"
	docker logout "$REGISTRY"
	run docker pull -q "$REGISTRY/dock/er:1"
	[ "$status" -eq 1 ]
	engine_stop
	ip link del "$BRIDGE" 2>/dev/null || true
}

@test "buildah and skopeo: a manifest list goes up, is copied whole, and is deleted" {
	need buildah
	need skopeo
	need_root
	export REGISTRY_AUTH_FILE=$ROOT/buildah-auth.json
	b() { buildah --root "$ROOT/buildah" --runroot "$ROOT/buildah-run" --storage-driver vfs "$@"; }
	b login --tls-verify=false -u ann -p secret "$REGISTRY"
	skopeo copy -q --dest-tls-verify=false "oci:$ROOT/oci:t" "docker://$REGISTRY/list/one:1"
	b manifest create all
	b manifest add --tls-verify=false all "docker://$REGISTRY/list/one:1"
	b manifest push --tls-verify=false --all all "docker://$REGISTRY/list/all:1"
	skopeo copy -q --all --src-tls-verify=false --dest-tls-verify=false "docker://$REGISTRY/list/all:1" "docker://$REGISTRY/list/copy:1"
	run skopeo inspect --raw --tls-verify=false "docker://$REGISTRY/list/copy:1"
	[ "$(jq -r '.manifests[0].digest' <<<"$output")" = "sha256:$(cat "$ROOT/digest")" ]
	skopeo delete --tls-verify=false "docker://$REGISTRY/list/copy:1"
	run skopeo inspect --tls-verify=false "docker://$REGISTRY/list/copy:1"
	[ "$status" -ne 0 ]
}
