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
	[ "$status" != 0 ]
	[[ "$output" == *"tag is needed when pushing to registry"* ]]
	run proa build --push -t 127.0.0.1:1/x:1 "$CTX"
	[ "$status" != 0 ]
	[[ "$output" == *"output registry: push 127.0.0.1:1/x:1: "* ]]
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

@test "a build that fails leaves the archive that was there, and no half of another" {
	mkdir "$CTX-small"
	mount -t tmpfs -o size=1m tmpfs "$CTX-small"
	head -c 2000000 /dev/urandom >"$CTX/noise"
	for type in oci tar; do
		printf 'FROM scratch\nCOPY noise /\n' >"$CTX/Dockerfile"
		echo old >"$CTX-small/one"
		run ! proa build -q -o "type=$type,dest=$CTX-small/one" "$CTX"
		[[ $output == "output $type: "*"no space left on device" ]]
		printf 'FROM scratch\nCOPY nothing /\n' >"$CTX/Dockerfile"
		run ! proa build -q -o "type=$type,dest=$CTX-small/one" "$CTX"
		[ "$(ls "$CTX-small")" = one ]
		[ "$(cat "$CTX-small/one")" = old ]
	done
	run ! proa save -o "$CTX-small/two" bb:1
	[ "$output" = "$CTX-small/two: write: no space left on device" ]
	# What is a link stays one.
	echo small >"$CTX/nothing"
	ln -s "$CTX.tar" "$CTX-small/link"
	proa build -q -o "type=tar,dest=$CTX-small/link" "$CTX"
	[ "$(tar -xOf "$CTX.tar" nothing)" = small ]
	[ "$(ls "$CTX-small")" = "$(printf 'link\none')" ]
	umount "$CTX-small"
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
	# What a file's index says of the manifest is another thing; a registry has no such index.
	for k in oci docker; do
		proa build -q --annotation manifest-descriptor:d=e --annotation m=n -t "$REGISTRY/a:1" -o "type=$k,dest=$CTX.file" \
			-o "type=registry,name=$REGISTRY/b:1" --metadata-file "$CTX.json" "$CTX"
		tar -xOf "$CTX.file" index.json | jq -e --arg n "$REGISTRY/a:1" '.manifests[0].annotations | .d == "e" and .m == null and ."io.containerd.image.name" == $n'
		manifest b 1 | jq -e '.annotations == {"m": "n"}'
	done
	proa build -q --annotation manifest-descriptor:d=e -t a:2 -o "type=oci,dest=$CTX-dir,tar=false" --metadata-file "$CTX.json" "$CTX"
	jq -e '.manifests[0].annotations == {"org.opencontainers.image.ref.name": "2", "d": "e"}' "$CTX-dir/index.json"
	jq -e '."containerimage.descriptor".annotations.d == "e"' "$CTX.json"
	for o in type=registry type=image type=local,dest="$CTX-files" type=docker; do
		run proa build --annotation manifest-descriptor:d=e -t "$REGISTRY/a:1" -o "$o" "$CTX"
		[ "$status" != 0 ]
		[[ "$output" == *"no output has an index"* ]]
	done
	run proa build -t "$REGISTRY/a:1" -o type=image,annotation-manifest-descriptor.d=e "$CTX"
	[ "$status" != 0 ]
	[[ "$output" == *"type=image has no index for manifest-descriptor annotations"* ]]
	# Without a registry too: a later push has them.
	proa build -q -t "$REGISTRY/later:1" --build-arg X=1 --annotation later=yes "$CTX"
	run proa build --annotation index:a=b "$CTX"
	[ "$status" != 0 ]
	[[ "$output" == *"index annotations not supported for single platform export"* ]]
	run proa build --annotation nothing "$CTX"
	[ "$status" != 0 ]
	[[ "$output" == *"expected key=value"* ]]
}

@test "metadata without a push, and of files alone" {
	id=$(proa build -q -t meta:1 --metadata-file "$CTX.json" "$CTX")
	jq -e --arg id "$id" '."containerimage.digest" == $id and ."containerimage.config.digest" == $id and ."image.name" == "docker.io/library/meta:1"' "$CTX.json"
	proa build -q -o "$CTX-out" --metadata-file "$CTX.json" "$CTX"
	[ "$(jq -c . "$CTX.json")" = '{}' ]
	rm "$CTX.json"
	printf 'FROM bb:1\nRUN exit 3\n' >"$CTX/Dockerfile"
	run proa build --metadata-file "$CTX.json" "$CTX"
	[ "$status" != 0 ]
	[ ! -e "$CTX.json" ]
}

@test "what is not there is refused before anything runs" {
	refuses() {
		local want=$1
		shift
		run proa build -t x:1 "$@" "$CTX"
		[ "$status" != 0 ]
		[[ "$output" == *"$want"* ]]
		[[ "$output" != *RUN* ]]
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

@test "named contexts of all kinds: directory, image, layout, git, archive" {
	mkdir "$CTX/main" "$CTX/lib" && echo lib >"$CTX/lib/f"
	printf 'FROM scratch\nCOPY f /of-image\n' >"$CTX/lib/Dockerfile"
	proa build -q -t "$REGISTRY/ctx:1" --push -o "type=oci,tar=false,dest=$CTX/layout" "$CTX/lib"
	proa rmi -f "$REGISTRY/ctx:1" >/dev/null
	proa builder prune -af >/dev/null
	# COPY --from a directory, an image of a registry, and a layout by tag and by digest.
	d=$(jq -r '.manifests[0].digest' "$CTX/layout/index.json")
	printf 'FROM scratch\nCOPY --from=d f /d\nCOPY --from=i of-image /i\nCOPY --from=l of-image /l\nCOPY --from=m of-image /m\n' >"$CTX/main/Dockerfile"
	before=$(proa images -aq | sort)
	proa build -q -o "$CTX/out" --build-context "d=$CTX/lib" --build-context "i=docker-image://$REGISTRY/ctx:1" \
		--build-context "l=oci-layout://$CTX/layout:1" --build-context "m=oci-layout://$CTX/layout@$d" "$CTX/main"
	[ "$(cat "$CTX"/out/{d,i,l,m} | uniq -c | tr -s ' ')" = " 4 lib" ]
	# What came out of a layout does not stay.
	[ "$(proa images -aq | sort)" != "" ]
	[ -z "$(comm -13 <(echo "$before") <(proa images -aq --filter dangling=true | sort))" ]
	# In FROM: an image instead of another, by any of its names; a layout; a directory.
	printf 'FROM alpine\nCOPY --from=d f /d\n' >"$CTX/main/Dockerfile"
	proa build -q -o "$CTX/out2" --build-context "docker.io/library/alpine=docker-image://bb:1" --build-context "d=$CTX/lib" "$CTX/main"
	[ -e "$CTX/out2/bin/busybox" ]
	[ "$(cat "$CTX/out2/d")" = lib ]
	printf 'FROM base\n' >"$CTX/main/Dockerfile"
	proa build -q -o "$CTX/out3" --build-context "base=oci-layout://$CTX/layout:1" "$CTX/main"
	[ "$(cat "$CTX/out3/of-image")" = lib ]
	proa build -q -o "$CTX/out4" --build-context "base=$CTX/lib" "$CTX/main"
	[ "$(cat "$CTX/out4/f")" = lib ]
	# git and an archive from a server.
	git -C "$CTX/lib" init -q && git -C "$CTX/lib" add f
	git -C "$CTX/lib" -c user.name=a -c user.email=a@b commit -qm one
	git clone -q --bare "$CTX/lib" "$CTX/lib.git"
	tar -C "$CTX/lib" -cf "$CTX/lib.tar" f
	(cd "$CTX" && exec python3 -u -m http.server --bind 127.0.0.1 0) >"$CTX/http.log" 2>&1 3>&- &
	server=$!
	for _ in $(seq 300); do
		port=$(sed -n 's/.* port \([0-9]*\) .*/\1/p' "$CTX/http.log")
		[ -n "$port" ] && break
		sleep 0.1
	done
	printf 'FROM scratch\nCOPY --from=g f /g\nCOPY --from=t f /t\n' >"$CTX/main/Dockerfile"
	proa build -q -o "$CTX/out5" --build-context "g=file://$CTX/lib.git" --build-context "t=http://127.0.0.1:$port/lib.tar" "$CTX/main" || bad=1
	kill $server
	[ -z "${bad:-}" ]
	[ "$(cat "$CTX/out5/g" "$CTX/out5/t" | uniq -c | tr -s ' ')" = " 2 lib" ]
	# What is wrong is told.
	run proa build --build-context "x=oci-layout://$CTX/lib" "$CTX/main"
	[ "$status" != 0 ]
	[[ "$output" == *"named context x: "* ]]
	run proa build --build-context "x=ftp://host/x" "$CTX/main"
	[ "$status" != 0 ]
	[[ "$output" == *"named context x=ftp://host/x is not supported yet"* ]]
	run proa build --build-context "x=/no/such/dir" "$CTX/main"
	[ "$status" != 0 ]
	[[ "$output" == *"/no/such/dir"* ]]
}

@test "--call tells what a Dockerfile offers and builds nothing" {
	cat >"$CTX/Dockerfile" <<-'D'
		# GLOBAL the base image's tag
		ARG GLOBAL=1
		ARG UNUSED=2
		# base is where all begins
		FROM bb:${GLOBAL} AS base
		# V the version
		ARG V=3
		FROM base AS test
		RUN --mount=type=secret,id=token,required=true true
		# bin is the result
		FROM base AS bin
		ARG W
		RUN --mount=type=secret,id=soft --mount=type=cache,target=/c true
	D
	run proa build --call=targets "$CTX"
	[ "$status" = 0 ]
	[ "${lines[0]}" = "TARGET         DESCRIPTION" ]
	[ "${lines[1]}" = "base           is where all begins" ]
	[ "${lines[2]}" = "test           " ]
	[ "${lines[3]}" = "bin (default)  is the result" ]
	run proa build --call=outline --build-arg V=9 "$CTX"
	[[ "$output" == "TARGET:       bin"*"DESCRIPTION:  is the result"*"BUILD ARG  VALUE  DESCRIPTION"*"GLOBAL     1      the base image's tag"*"V          9      the version"*"W "*"SECRET  REQUIRED"*"soft"* ]]
	[[ "$output" != *UNUSED* && "$output" != *token* ]]
	proa build --call=outline,format=json --target test "$CTX" | jq -e '.name == "test" and [.secrets[] | .name, .required, .location.ranges[0].start.line] == ["token", true, 9]'
	proa build --call=targets,format=json "$CTX" | jq -e '[.targets[].name] == ["base", "test", "bin"] and .targets[2].default'
	run proa build --call=check "$CTX"
	[ "$status" = 0 ]
	[[ "$output" == *"no warnings found"* ]]
	printf 'from bb:1\nRUN true\n' >"$CTX/Dockerfile"
	run proa build --check "$CTX"
	[ "$status" = 1 ]
	[[ "$output" == "Check complete, 1 warning has been found!"*"WARNING: ConsistentInstructionCasing - https://"*"/consistent-instruction-casing/"*">>> from bb:1"*"   2 |     RUN true"* ]]
	run proa build --call=check,format=json "$CTX"
	[ "$status" = 1 ]
	jq -e '.warnings[0].ruleName == "ConsistentInstructionCasing" and .warnings[0].location.ranges[0].end.line == 1 and
		.buildError == null and (.sources[0].data | @base64d) == "from bb:1\nRUN true\n"' <<<"$output"
	# A file that does not parse is an answer, too.
	printf 'FROM bb:1\nRUNX true\n' >"$CTX/Dockerfile"
	run proa build --call=check,format=json "$CTX"
	[ "$status" = 1 ]
	jq -e '.warnings == null and (.buildError.message | endswith("unknown instruction: RUNX (did you mean RUN?)")) and
		.buildError.location.ranges[0].start.line == 2' <<<"$output"
	run proa build --check "$CTX"
	[ "$status" = 1 ]
	[[ "$output" == *"ERROR: dockerfile parse error on line 2: unknown instruction: RUNX"*">>> RUNX true"* ]]
	run proa build --call=dance "$CTX"
	[ "$status" != 0 ]
	[[ "$output" == *"unknown call 'dance'"* ]]
}

@test "a base image of another platform is a finding; a comment is for its instruction" {
	printf 'FROM scratch\nCOPY Dockerfile /\n' >"$CTX/Dockerfile"
	proa build -q --push -t "$REGISTRY/foreign:1" --platform linux/s390x "$CTX"
	proa rmi -f "$REGISTRY/foreign:1"
	printf 'FROM %s/foreign:1\n# check=skip=all\nMAINTAINER a\n' "$REGISTRY" >"$CTX/Dockerfile"
	run proa build --check "$CTX"
	[ "$status" = 1 ]
	[[ "$output" == *"1 warning has been found!"*"WARNING: InvalidBaseImagePlatform"$'\n'"Base image $REGISTRY/foreign:1 was pulled with platform \"linux/s390x\", expected \"linux/$(proa version -f '{{.Server.Arch}}')\" for current build"* ]]
	run proa build --check --platform linux/s390x "$CTX"
	[ "$status" = 0 ]
	printf 'FROM bb:1\n# check=skip=MultipleInstructionsDisallowed\nMAINTAINER a\nCMD ["a"]\n# check=skip=MultipleInstructionsDisallowed // on purpose\nCMD ["b"]\n' >"$CTX/Dockerfile"
	run proa build --check "$CTX"
	[[ "$output" == *"1 warning has been found!"*MaintainerDeprecated* ]]
	# An image that is not here is none of another platform.
	printf 'FROM nowhere.invalid/x:1\n' >"$CTX/Dockerfile"
	run proa build --check "$CTX"
	[[ "$output" != *InvalidBaseImagePlatform* ]]
}

@test "what needs no directory works with a context from stdin and from a URL" {
	tar -C "$CTX" -cf "$CTX.tar" Dockerfile
	proa build -q --push -t "$REGISTRY/stdin:1" --annotation a=b --cache-to "type=registry,ref=$REGISTRY/stdin:c" --metadata-file "$CTX.json" - <"$CTX.tar"
	manifest stdin 1 | jq -e '.annotations.a == "b"'
	jq -e '."containerimage.digest"' "$CTX.json"
	manifest stdin c | jq -e '.config.mediaType | startswith("application/vnd.proa.buildcache")'
	run proa build -o "$CTX-out" - <"$CTX.tar"
	[ "$status" != 0 ]
	[[ "$output" == *"need a directory as context and a proad on this machine"* ]]
}
