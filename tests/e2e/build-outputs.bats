#!/usr/bin/env bats
# Where what was built goes: registries, files, directories, several at once; and what is told of it.

bats_require_minimum_version 1.5.0

load ../lib/engine

setup_file() {
	engine_setup
	[ "$(id -u)" = 0 ] || return 0
	busybox_image bb:1
	registry_start
}
teardown_file() { engine_teardown; }
setup() {
	need_root
	CTX=$(mktemp -d "$ROOT/ctx-XXXXXX")
	REGISTRY=$(sed -n 's/.*listening address=//p' "$ROOT/registry.log" | tail -1)
	printf 'FROM bb:1\nRUN echo %s > /who\nCMD ["cat","/who"]\n' "$BATS_TEST_NUMBER" >"$CTX/Dockerfile"
}

proa() { "$PROA_BUILD/proa" "$@"; }
manifest() { curl -sf -H 'Accept: application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json' "http://$REGISTRY/v2/$1/manifests/$2"; }
pull_says() {
	proa rmi -f "$1" >/dev/null
	proa run --rm "$1"
}

@test "--push and type=registry push what was built, under each of its names" {
	proa build -q --push -t "$REGISTRY/p:1" -t "$REGISTRY/p:2" --metadata-file "$CTX.json" --iidfile "$CTX.iid" "$CTX"
	[ "$(pull_says "$REGISTRY/p:1")" = 1 ]
	[ "$(pull_says "$REGISTRY/p:2")" = 1 ]
	cat "$CTX.json"
	digest=sha256:$(manifest p 1 | sha256sum | cut -d' ' -f1)
	[ "$(jq -r '."containerimage.digest"' "$CTX.json")" = "$digest" ]
	[ "$(jq -r '."containerimage.descriptor".digest' "$CTX.json")" = "$digest" ]
	[ "$(jq -r '."containerimage.descriptor".size' "$CTX.json")" = "$(manifest p 1 | wc -c)" ]
	[ "$(jq -r '."containerimage.config.digest"' "$CTX.json")" = "$(manifest p 1 | jq -r .config.digest)" ]
	[ "$(cat "$CTX.iid")" = "$(manifest p 1 | jq -r .config.digest)" ]
	[ "$(jq -r '."image.name"' "$CTX.json")" = "$REGISTRY/p:1,$REGISTRY/p:2" ]
	# Again: the same digest, and nothing is sent.
	proa build -q -o type=registry -t "$REGISTRY/p:3" "$CTX"
	[ "sha256:$(manifest p 3 | sha256sum | cut -d' ' -f1)" = "$digest" ]
}

@test "type=image,push=true with a name of its own, by digest, and as OCI" {
	proa build -q -o "type=image,push=true,name=$REGISTRY/n:1" "$CTX"
	[ "$(pull_says "$REGISTRY/n:1")" = 2 ]
	[ "$(manifest n 1 | jq -r .mediaType)" = application/vnd.docker.distribution.manifest.v2+json ]
	proa build -q -o "type=image,push=true,\"name=$REGISTRY/n:2,$REGISTRY/n:3\",oci-mediatypes=true" "$CTX"
	[ "$(manifest n 2 | jq -r .mediaType)" = application/vnd.oci.image.manifest.v1+json ]
	[ "$(manifest n 3)" = "$(manifest n 2)" ]
	proa build -q -o "type=registry,push-by-digest=true,name=$REGISTRY/d" --metadata-file "$CTX.json" "$CTX"
	digest=$(jq -r '."containerimage.digest"' "$CTX.json")
	manifest d "$digest" | jq -e .config.digest
	run ! manifest d latest
	run proa build -o type=registry "$CTX"
	[ "$status" != 0 ] && [[ "$output" == *"tag is needed when pushing to registry"* ]]
	run proa build --push -t 127.0.0.1:1/x:1 "$CTX"
	[ "$status" != 0 ] && [[ "$output" == *"output registry: push 127.0.0.1:1/x:1: "* ]]
}

@test "several outputs at once, each whole" {
	echo note >"$CTX/note"
	printf 'FROM scratch\nCOPY note /dir/note\n' >"$CTX/Dockerfile"
	proa build -q -t "$REGISTRY/all:1" -o "type=local,dest=$CTX-out" -o "type=tar,dest=$CTX.tar" -o "type=oci,dest=$CTX.oci" \
		-o "type=docker,dest=$CTX.docker" -o "type=oci,tar=false,dest=$CTX-layout" --push --load \
		--metadata-file "$CTX.json" "$CTX"
	[ "$(cat "$CTX-out/dir/note")" = note ]
	[ "$(tar -xOf "$CTX.tar" dir/note)" = note ]
	tar -xOf "$CTX.oci" index.json | jq -e --arg n "$REGISTRY/all:1" '.manifests[0].annotations["io.containerd.image.name"] == $n'
	tar -xOf "$CTX.docker" manifest.json | jq -e --arg n "$REGISTRY/all:1" '.[0].RepoTags == [$n]'
	[ "$(jq -r '.manifests[0].annotations["org.opencontainers.image.ref.name"]' "$CTX-layout/index.json")" = 1 ]
	d=$(jq -r '.manifests[0].digest' "$CTX-layout/index.json")
	[ "$(sha256sum "$CTX-layout/blobs/${d/://}" | cut -d' ' -f1)" = "${d#*:}" ]
	manifest all 1 | jq -e '.layers | length == 1'
	proa image inspect "$REGISTRY/all:1" >/dev/null
	if command -v skopeo >/dev/null; then
		skopeo inspect "oci:$CTX-layout:1" | jq -e '.Layers | length == 1'
		skopeo inspect "oci-archive:$CTX.oci:1" >/dev/null
		skopeo inspect "docker-archive:$CTX.docker" >/dev/null
	fi
}

@test "an image that leaves as a file alone is not in the engine afterwards" {
	before=$(proa images -aq | sort)
	printf 'FROM bb:1\nRUN echo gone > /gone\n' >"$CTX/Dockerfile"
	proa build -q -t file:1 -o "type=docker,dest=$CTX.docker" "$CTX"
	[ "$(proa images -aq | sort)" = "$before" ]
	proa load -q -i "$CTX.docker" && proa image inspect file:1 >/dev/null
	# What was there stays.
	proa build -q -t other:1 -o "type=oci,dest=$CTX.oci" "$CTX"
	proa image inspect file:1 >/dev/null
	run ! proa image inspect other:1 >/dev/null 2>&1
}

@test "labels and annotations are where they belong" {
	proa build -q --push -t "$REGISTRY/a:1" --label who=me --annotation org.opencontainers.image.title=T --annotation 'manifest:x=a=b' \
		-o "type=oci,dest=$CTX.oci" --metadata-file "$CTX.json" "$CTX"
	manifest a 1 | jq -e '.annotations == {"org.opencontainers.image.title": "T", "x": "a=b"}'
	d=$(tar -xOf "$CTX.oci" index.json | jq -r '.manifests[0].digest' | tr : /)
	tar -xOf "$CTX.oci" "blobs/$d" | jq -e '.annotations.x == "a=b"'
	jq -e '."containerimage.descriptor".annotations.x == "a=b"' "$CTX.json"
	[ "$(proa image inspect -f '{{.Config.Labels.who}}' "$REGISTRY/a:1")" = me ]
	[ "$(proa image inspect -f '{{.Config.Labels.x}}' "$REGISTRY/a:1")" != a=b ]
	# Without a registry too: a later push has them.
	proa build -q -t "$REGISTRY/later:1" --build-arg X=1 --annotation later=yes "$CTX"
	run proa build --annotation index:a=b "$CTX"
	[ "$status" != 0 ] && [[ "$output" == *"annotation index:a=b is not supported yet"* ]]
	run proa build --annotation nothing "$CTX"
	[ "$status" != 0 ] && [[ "$output" == *"expected key=value"* ]]
}

@test "metadata without a push, and of files alone" {
	id=$(proa build -q -t meta:1 --metadata-file "$CTX.json" "$CTX")
	jq -e --arg id "$id" '."containerimage.digest" == $id and ."containerimage.config.digest" == $id and ."image.name" == "docker.io/library/meta:1"' "$CTX.json"
	proa build -q -o "$CTX-out" --metadata-file "$CTX.json" "$CTX"
	[ "$(jq -c . "$CTX.json")" = '{}' ]
	rm "$CTX.json"
	printf 'FROM bb:1\nRUN exit 3\n' >"$CTX/Dockerfile"
	run proa build --metadata-file "$CTX.json" "$CTX"
	[ "$status" != 0 ] && [ ! -e "$CTX.json" ]
}

@test "what is not there is refused before anything runs" {
	refuses() {
		local want=$1
		shift
		run proa build -t x:1 "$@" "$CTX"
		[ "$status" != 0 ] && [[ "$output" == *"$want"* ]] && [[ "$output" != *RUN* ]]
	}
	refuses "output: type=zip is not supported yet" -o type=zip,dest=x
	refuses "type=image with store is not supported yet" -o type=image,store=false
	refuses "compression=zstd is not supported yet" -o type=registry,compression=zstd
	refuses "invalid value 'maybe' of push" -o type=image,push=maybe
	refuses "type=oci needs dest" -o type=oci
	refuses "type is required" -o dest=x
	refuses "build --provenance=true is not supported yet" --provenance=true
	refuses "build --sbom=1 is not supported yet" --sbom=1
	proa build -q --provenance=false --sbom=false "$CTX"
}
