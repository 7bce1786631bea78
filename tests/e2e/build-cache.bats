#!/usr/bin/env bats
# The build cache: from machine to machine, and how much of it is kept.

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
}
teardown() {
	mountpoint -q "$ROOT/data" || return 0
	engine_stop
	umount "$ROOT/data"
	engine_start
}

proa() { "$PROA_BUILD/proa" "$@"; }

# Two stages; whoever runs a RUN again gets another /when.
two_stages() {
	echo source >"$CTX/src"
	cat >"$CTX/Dockerfile" <<-'D'
		FROM bb:1 AS make
		COPY src /src
		RUN cat /proc/sys/kernel/random/uuid > /made; cat /src >> /made
		FROM bb:1
		WORKDIR /app
		COPY --from=make /made .
		RUN cat /proc/sys/kernel/random/uuid > /when
		RUN true
	D
}
content() { proa run --rm "$1" cat /app/made /when; }

# Another machine: nothing but the base image.
wipe() {
	engine_stop
	rm -rf "$ROOT/data" "$ROOT/run"
	engine_start
	busybox_image bb:1
}
# The same as far as builds know, in the same engine.
forget() {
	proa images -q --filter reference='*:*' --format '{{.Repository}}:{{.Tag}}' | grep -v '^bb:1$' | xargs -r "$PROA_BUILD/proa" rmi -f >/dev/null
	proa image prune -f >/dev/null
	proa builder prune -af >/dev/null
	[ "$(used)" = 0 ]
}
used() { curl -sf --unix-socket "$SOCK" 'http://x/v1.45/system/df?type=build-cache' | jq '[.BuildCache[].Size] | add // 0'; }

# rebuild_is SAME BUILD-FLAG...: build anew; the content is that of the first build.
rebuild_is() {
	local want=$1
	shift
	forget
	proa build --progress plain -t app:2 "$@" "$CTX" >"$CTX/log" 2>&1 || { cat "$CTX/log" && return 1; }
	cat "$CTX/log"
	[ "$(content app:2)" = "$want" ]
}

@test "a cache in a registry serves another machine, whole or of the target alone" {
	two_stages
	for mode in min max; do
		proa build -q -t app:1 --no-cache --cache-to "type=registry,ref=$REGISTRY/c:$mode,mode=$mode" "$CTX"
		one=$(content app:1)
		[ $mode = min ] || wipe
		rebuild_is "$one" --cache-from "type=registry,ref=$REGISTRY/c:$mode"
		[ "$(grep -c '] RUN' "$CTX/log")" = 3 ]
		[ "$(grep -c CACHED "$CTX/log")" = 7 ]
		grep -q "importing cache manifest from $REGISTRY/c:$mode" "$CTX/log"
		# The next build finds it all in its own store.
		rm "$CTX/log"
		proa build -q -t app:3 "$CTX" && [ "$(content app:3)" = "$one" ]
	done
	# With mode=max a change of the target alone finds the other stage.
	echo 'RUN echo more > /more' >>"$CTX/Dockerfile"
	sed -i 's/WORKDIR .app/WORKDIR \/app\/x\/..\//; s/COPY --from=make .made ./COPY --from=make \/made \/app\/made/' "$CTX/Dockerfile"
	forget
	proa build -q -t app:4 --cache-from "type=registry,ref=$REGISTRY/c:max" "$CTX"
	[ "$(proa run --rm app:4 head -1 /app/made)" = "$(head -1 <<<"$one")" ]
}

@test "a cache in the image itself, by its plain name too, and in a local directory" {
	two_stages
	proa build -q -t "$REGISTRY/inline:1" --no-cache --cache-to type=inline "$CTX"
	one=$(content "$REGISTRY/inline:1")
	proa push -q "$REGISTRY/inline:1"
	# The first build of all finds no cache where it will put one.
	proa build -q -t x --cache-to "type=local,dest=$CTX-cache,mode=max" --cache-from "type=local,src=$CTX-cache" \
		"$CTX" 2>"$CTX.warning"
	grep -q "Warning.*cache-from $CTX-cache: .*No such file.*going on without it" "$CTX.warning"
	rebuild_is "$one" --cache-from "$REGISTRY/inline:1"
	rebuild_is "$one" --cache-from "type=registry,ref=$REGISTRY/inline:1"
	rebuild_is "$one" --cache-from "type=local,src=$CTX-cache"
	jq -e '.manifests | length == 1' "$CTX-cache/index.json"
	# The stock CLI knows only names.
	forget
	docker build -q -t app:5 --cache-from "$REGISTRY/inline:1" "$CTX" && [ "$(content app:5)" = "$one" ]
}

@test "several caches, one of which is not there; an index instead of a manifest" {
	two_stages
	proa build -q -t app:1 --no-cache --cache-to "type=registry,ref=$REGISTRY/i:1,mode=max,image-manifest=false" \
		--cache-to "type=local,dest=$CTX-c" "$CTX"
	one=$(content app:1)
	curl -sf -H 'Accept: application/vnd.oci.image.index.v1+json' "http://$REGISTRY/v2/i/manifests/1" |
		jq -e '.mediaType == "application/vnd.oci.image.index.v1+json"'
	rebuild_is "$one" --cache-from "type=registry,ref=$REGISTRY/nothing:1" --cache-from "type=registry,ref=$REGISTRY/i:1"
	grep -q "Warning.*$REGISTRY/nothing:1 cannot be used" "$CTX/log"
	# Each of two knows one half.
	half() { printf 'FROM bb:1 AS %s\nRUN cat /proc/sys/kernel/random/uuid > /%s\n' "$1" "$1"; }
	for s in a b; do
		half $s >"$CTX/Dockerfile"
		proa build -q -o "$CTX/$s" --cache-to "type=registry,ref=$REGISTRY/half:$s" "$CTX"
	done
	{ half a && half b && printf 'FROM bb:1\nCOPY --from=a /a /\nCOPY --from=b /b /\n'; } >"$CTX/Dockerfile"
	forget
	proa build -q -o "$CTX/whole" --cache-from "type=registry,ref=$REGISTRY/half:a" --cache-from "$REGISTRY/half:b" "$CTX"
	cmp "$CTX/a/a" "$CTX/whole/a" && cmp "$CTX/b/b" "$CTX/whole/b"
}

@test "what is not there is refused, and an export that fails fails the build unless told" {
	printf 'FROM bb:1\nRUN true\n' >"$CTX/Dockerfile"
	run proa build --cache-to type=gha "$CTX"
	[ "$status" != 0 ]
	[[ "$output" == *"cache-to: type=gha is not supported yet"* ]]
	run proa build --cache-from type=s3,bucket=x "$CTX"
	[ "$status" != 0 ]
	[[ "$output" == *"cache-from: type=s3 is not supported yet"* ]]
	run proa build --cache-to type=registry,ref=x,mood=max "$CTX"
	[ "$status" != 0 ]
	[[ "$output" == *"type=registry has no attribute 'mood'"* ]]
	run proa build --cache-to type=registry,ref=x,mode=medium "$CTX"
	[ "$status" != 0 ]
	[[ "$output" == *"invalid mode 'medium'"* ]]
	run proa build --cache-to type=registry,ref=a//b "$CTX"
	[ "$status" != 0 ]
	[[ "$output" == *"cache-to: "*"invalid reference format"* ]]
	run proa build --cache-to "type=registry,ref=x@sha256:$(printf x | sha256sum | cut -d' ' -f1)" "$CTX"
	[ "$status" != 0 ]
	[[ "$output" == *"has a digest"* ]]
	run proa build --cache-to ref=x "$CTX"
	[ "$status" != 0 ]
	[[ "$output" == *"type is required"* ]]
	run proa build -t kept:1 --cache-to "type=registry,ref=127.0.0.1:1/x:1" "$CTX"
	[ "$status" != 0 ]
	[[ "$output" == *"export cache"* ]]
	run proa build --cache-to "type=registry,ref=127.0.0.1:1/x:1,ignore-error=true" "$CTX"
	[ "$status" = 0 ]
	[[ "$output" == *"the cache was not exported"* ]]
}

# spoil FILTER FILE: rewrite the document of the cache in $CTX-bad and everything that names it.
spoil() {
	local dir=$CTX-bad manifest config new
	manifest=$(jq -r '.manifests[0].digest' "$dir/index.json")
	config=$(jq -r .config.digest "$dir/blobs/${manifest/://}")
	jq -c "$1" "$dir/blobs/${config/://}" >"$dir/new"
	new=$(sha256sum "$dir/new" | cut -d' ' -f1)
	jq -c --arg d "sha256:$new" --argjson s "$(stat -c %s "$dir/new")" '.config.digest = $d | .config.size = $s' \
		"$dir/blobs/${manifest/://}" >"$dir/m"
	mv "$dir/new" "$dir/blobs/sha256/$new"
	new=$(sha256sum "$dir/m" | cut -d' ' -f1)
	jq -c --arg d "sha256:$new" --argjson s "$(stat -c %s "$dir/m")" '.manifests[0].digest = $d | .manifests[0].size = $s' \
		"$dir/index.json" >"$dir/i"
	mv "$dir/m" "$dir/blobs/sha256/$new"
	mv "$dir/i" "$dir/index.json"
}

# refused WHAT: a build with the spoilt cache goes on without it.
refused() {
	local want=$1 log
	proa rmi -f bad:1 >/dev/null 2>&1 || true
	proa builder prune -af >/dev/null
	log=$(proa build --progress plain -t bad:1 --iidfile "$CTX.iid" --cache-from "type=local,src=$CTX-bad" "$CTX" 2>&1) || { echo "$log" && return 1; }
	[[ "$log" == *"Warning"*"cannot be used"*"$want"* ]] || { echo "$log" && return 1; }
	[ "$(cat "$CTX.iid")" = "$good" ] # and the image is the right one
}

@test "a hostile cache is told and left alone" {
	printf 'FROM bb:1\nRUN echo right > /right\nRUN echo two > /two\n' >"$CTX/Dockerfile"
	good=$(proa build -q -t good:1 --cache-to "type=local,dest=$CTX-good" "$CTX")
	[ "$(proa run --rm good:1 cat /right)" = right ]
	proa rmi good:1
	fresh() { rm -rf "$CTX-bad" && cp -a "$CTX-good" "$CTX-bad"; }
	layer() { jq -r '.layers[0].digest' "$CTX-bad/blobs/$(jq -r '.manifests[0].digest' "$CTX-bad/index.json" | tr : /)" | tr : /; }
	# A layer with other bytes of the same size; a shorter one; one that is not there.
	fresh
	printf x | dd of="$CTX-bad/blobs/$(layer)" bs=1 seek=30 conv=notrunc status=none
	refused ""
	fresh
	truncate -s -1 "$CTX-bad/blobs/$(layer)"
	refused "is not a file of"
	fresh
	rm "$CTX-bad/blobs/$(layer)"
	refused ""
	# Another layer than the one that it is said to be.
	fresh
	spoil '.layers |= reverse'
	refused "diffID"
	# Documents that are wrong.
	fresh
	spoil '.records[0].layer = 99'
	refused "layer is not one of"
	fresh
	spoil '.records[0].key = "../../etc/passwd"'
	refused "key is not 64 hex digits"
	fresh
	spoil '.version = 9'
	refused "version 9"
	fresh
	spoil '.layers += .layers'
	refused "names 4 layers and has 2"
	fresh
	spoil '.records = [range(20000) | {key: "0"}]'
	refused "more than"
	fresh
	spoil '.records[0].text = ("x" * 5000000)'
	refused "too large"
	fresh
	spoil '"just text"'
	refused "not a build cache"
	# An index that names itself, links that lead out, a digest that lies, no JSON at all.
	fresh
	jq -c '.manifests[0].mediaType = "application/vnd.oci.image.index.v1+json"' "$CTX-bad/index.json" >"$CTX-bad/i"
	cp "$CTX-bad/i" "$CTX-bad/index.json"
	refused ""
	fresh
	echo '{"schemaVersion":2,"manifests":[' >"$CTX-bad/index.json"
	refused "index.json"
	fresh
	ln -sf /etc/passwd "$CTX-bad/index.json"
	refused ""
	fresh
	printf ' ' >>"$CTX-bad/blobs/$(jq -r '.manifests[0].digest' "$CTX-bad/index.json" | tr : /)"
	refused ""
	proa store check
}

# megabytes N NAME: an image whose one layer of its own has N MB that no other build has.
megabytes() {
	printf 'FROM bb:1\nRUN dd if=/dev/urandom of=/%s bs=1M count=%s 2>/dev/null\n' "$2" "$1" >"$CTX/Dockerfile"
	proa build -q "$CTX"
}

@test "builder du shows records and cache mounts, prune takes what is asked for" {
	proa builder prune -af >/dev/null
	printf 'FROM bb:1\nRUN --mount=type=cache,id=m1,target=/c dd if=/dev/zero of=/c/x bs=1M count=3 2>/dev/null\nRUN echo hi > /hi\n' >"$CTX/Dockerfile"
	proa build -q -t keep:1 "$CTX"
	run proa builder du
	[[ "${lines[0]}" == "ID "*"RECLAIMABLE "*"SIZE "*"LAST ACCESSED"* ]]
	[[ "$output" == *"Shared:"* && "$output" == *"Private:"* && "$output" == *"Reclaimable:"* && "$output" == *"Total:"* ]]
	run proa builder du --filter type=exec.cachemount --verbose
	echo "$output"
	[[ "$output" == *"Description:	cache mount m1"* && "$output" == *"Size:		3.1"*MB* && "$output" != *"RUN echo"* ]]
	run proa builder du --filter label=x
	[ "$status" != 0 ]
	[[ "$output" == *"invalid filter 'label'"* ]]
	# Nothing meets this; an unknown filter removes nothing.
	[ "$(proa builder prune -f --filter unused-for=24h)" = "Total reclaimed space: 0B" ]
	run proa builder prune -af --filter label=x
	[ "$status" != 0 ]
	[[ "$output" == *"invalid filter 'label'"* ]]
	run proa builder prune -af --filter type=nonsense
	[ "$status" != 0 ]
	# Without --all the image's layers stay known.
	proa builder prune -f --filter type=regular
	run proa build --progress plain "$CTX"
	[[ "$output" == *CACHED* ]]
	id=$(proa builder du --filter type=exec.cachemount | awk 'NR == 2 {print $1}')
	run proa builder prune -f --filter "id=$id"
	[[ "${lines[0]}" == "Deleted build cache objects:" && "${lines[1]}" == "$id" && "$output" == *"reclaimed space: 3.1"*MB* ]]
	[ -z "$(ls "$ROOT/data/build/mounts")" ]
	proa builder prune -af
	[ "$(used)" = 0 ]
	proa build -q "$CTX" && proa store check
}

@test "a step that runs anew gives the layer of before back" {
	echo 'FROM bb:1' >"$CTX/Dockerfile"
	echo 'RUN cat /proc/sys/kernel/random/uuid >/when' >>"$CTX/Dockerfile"
	forget
	layers() { proa store check | sed -n 's/^Layers: //p'; }
	before=$(layers)
	for i in 1 2 3; do
		proa build -q --no-cache -t again:1 "$CTX"
	done
	proa rmi -f again:1
	proa image prune -f
	[ "$(layers)" = $((before + 1)) ] # the one that the cache has
	proa builder prune -af
	[ "$(layers)" = "$before" ]
}

@test "what is known of a context's files goes with the rest, and the database gives its bytes back" {
	usage() { curl -sf --unix-socket "$SOCK" http://x/system/df | jq .LayersSize; }
	proa builder prune -af >/dev/null && proa image prune -f >/dev/null
	before=$(usage)
	# 72 bytes a file in meta.db, for each directory.
	mkdir "$CTX/d" && (cd "$CTX/d" && seq 10000 | xargs touch)
	printf 'FROM scratch\nCOPY d /\n' >"$CTX/Dockerfile"
	sleep 0.05
	proa build -q -t files:1 "$CTX" && proa rmi -f files:1 >/dev/null
	[ "$(usage)" -gt $((before + 700000)) ]
	proa builder prune -af >/dev/null
	usage
	[ "$(usage)" -lt $((before + 200000)) ]
}

@test "prune keeps what it is told to keep, the newest" {
	proa builder prune -af >/dev/null
	for n in 1 2 3; do megabytes 2 "f$n"; done
	proa image prune -f >/dev/null
	[ "$(used)" -gt 6000000 ]
	proa builder prune -f --max-used-space 3MB
	[ "$(used)" -gt 2000000 ]
	[ "$(used)" -le 3145728 ]
	proa builder prune -f --reserved-space 1GB --max-used-space 1MB
	[ "$(used)" -gt 2000000 ]
	proa builder prune -af --keep-storage 1MB
	[ "$(used)" -le 1048576 ]
}

@test "a policy of the configuration is a cap on bytes, applied after builds" {
	proa builder prune -af >/dev/null
	engine_stop
	echo '{"builder": {"gc": {"policy": [{"all": true, "maxUsedSpace": "5MB"}]}}}' >"$ROOT/engine.json"
	"$PROA_BUILD/proad" --config-file "$ROOT/engine.json" --validate
	engine_start
	for n in 1 2 3 4; do megabytes 2 "g$n"; done
	proa image prune -f >/dev/null
	megabytes 2 g5
	for _ in $(seq 300); do
		[ "$(du -sm "$ROOT/data/snapshots" | cut -f1)" -le 10 ] && [ "$(used)" -le 5242880 ] && break
		sleep 0.1
	done
	[ "$(used)" -le 5242880 ]
	[ "$(used)" -gt 0 ]
	# The newest is still there.
	run proa build --progress plain "$CTX"
	[[ "$output" == *CACHED* ]]
	# dockerd's other word for the builder: what clients may ask for.
	printf 'FROM bb:1\nRUN --network=host true\n' >"$ROOT/host.dockerfile"
	engine_stop
	echo '{"builder": {"entitlements": {"network-host": false}}}' >"$ROOT/engine.json"
	engine_start
	run proa build --allow network.host -f "$ROOT/host.dockerfile" "$CTX"
	[ "$status" != 0 ]
	[[ "$output" == *"granting entitlement network.host is not allowed by build daemon configuration"* ]]
	echo '{"builder": {"entitlements": {"security-insecure": true}}}' >"$ROOT/bad.json"
	run "$PROA_BUILD/proad" --config-file "$ROOT/bad.json" --validate
	[ "$status" != 0 ]
	[[ "$output" == *"builder.entitlements.security-insecure is not supported yet"* ]]
	echo '{"builder": {"gc": {"polcy": []}}}' >"$ROOT/bad.json"
	run "$PROA_BUILD/proad" --config-file "$ROOT/bad.json" --validate
	[ "$status" != 0 ]
	[[ "$output" == *"builder.gc.polcy is not a configuration option"* ]]
	echo '{}' >"$ROOT/engine.json"
	engine_stop
	engine_start
	proa store check
}

in_use() { proa builder du --filter inuse=true | grep -q false; }
# A step that waits for a file in its cache mount finds it.
let_go() {
	local m
	for m in "$ROOT"/data/build/mounts/*/fs; do touch "$m/go"; done
}

@test "a cache mount that a step works in is not removed under it" {
	printf 'FROM bb:1\nRUN --mount=type=cache,id=busy,target=/c touch /c/here; until [ -e /c/go ]; do sleep 0.1; done; test -e /c/here\n' >"$CTX/Dockerfile"
	proa build --no-cache -q "$CTX" &
	eventually in_use
	proa builder prune -af --filter type=exec.cachemount
	let_go
	wait $!
	proa builder prune -af --filter type=exec.cachemount | grep -q Deleted
}

@test "identical work of two builds at once is done once" {
	mkdir "$CTX/a" "$CTX/b"
	printf 'FROM bb:1\nRUN cat /proc/sys/kernel/random/uuid > /u; sleep 1\n' | tee "$CTX/a/Dockerfile" >"$CTX/b/Dockerfile"
	proa build -q "$CTX/a" >"$CTX/one" &
	proa build -q "$CTX/b" >"$CTX/two"
	wait $!
	[ -s "$CTX/one" ]
	[ "$(cat "$CTX/one")" = "$(cat "$CTX/two")" ]
}

@test "kill -9 in the middle of an export leaves store and cache whole" {
	printf 'FROM bb:1\nRUN --mount=type=cache,target=/c dd if=/dev/urandom of=/big bs=1M count=30 2>/dev/null; cp /big /c\nCOPY Dockerfile /\n' >"$CTX/Dockerfile"
	for wait in 0.15 0.4 0.7; do
		proa build -q --cache-to "type=local,dest=$CTX-c,mode=max" "$CTX" >/dev/null 2>&1 &
		sleep $wait
		kill -9 "$(cat "$ROOT/test.pid")"
		wait $! || true
		engine_start
		proa store check
	done
	proa build -q -t app:1 --cache-to "type=local,dest=$CTX-c,mode=max" "$CTX"
	one=$(proa run --rm app:1 md5sum /big)
	forget
	proa build -q -t app:1 --cache-from "type=local,src=$CTX-c" "$CTX"
	[ "$(proa run --rm app:1 md5sum /big)" = "$one" ]
	[ -z "$(ls "$ROOT/run/build")" ]
}

@test "a full disk is one clear error, and is not full afterwards" {
	engine_stop
	mkdir -p "$ROOT/data"
	mount -t tmpfs -o size=40m proa-e2e "$ROOT/data"
	engine_start
	busybox_image bb:1
	dd if=/dev/zero of="$CTX/big" bs=1M count=60 2>/dev/null
	printf 'FROM bb:1\nCOPY big /\n' >"$CTX/Dockerfile"
	run proa build "$CTX"
	[ "$status" != 0 ]
	[[ "$output" == *"Dockerfile:2: COPY big /: "*"no space left on device" ]]
	printf 'FROM bb:1\nRUN dd if=/dev/zero of=/x bs=1M count=60 2>/dev/null\n' >"$CTX/Dockerfile"
	run proa build "$CTX"
	[ "$status" != 0 ]
	[[ "$output" == *"returned a non-zero code: 1"* ]]
	proa store check
	printf 'FROM bb:1\nRUN echo room > /r\n' >"$CTX/Dockerfile"
	proa build -q "$CTX"
}

@test "a cache mount leaves as a tar and comes back on another machine" {
	printf 'FROM bb:1\nRUN --mount=type=cache,target=/root/.npm,mode=0770,uid=7 mkdir -p /root/.npm/a; echo kept > /root/.npm/a/f; ln -s f /root/.npm/a/l; chown 5:6 /root/.npm/a/f\n' >"$CTX/Dockerfile"
	proa build -q --no-cache "$CTX"
	proa builder cache export -o "$CTX/npm.tar" /root/.npm
	tar -tvf "$CTX/npm.tar" | grep -q 'rw-r--r-- 5/6 .* ./a/f\|rw-r--r-- 5/6 .* a/f'
	# By the ID of builder du too.
	id=$(proa builder du --filter type=exec.cachemount | awk 'NR == 2 {print $1}')
	proa builder cache export "$id" | tar -t | grep -q a/l
	proa builder prune -af >/dev/null
	run proa builder cache export -o "$CTX/none.tar" /root/.npm
	[ "$status" != 0 ]
	[[ "$output" == *"no such cache mount: /root/.npm"* ]]
	gzip <"$CTX/npm.tar" | proa builder cache import /root/.npm
	printf 'FROM bb:1\nRUN --mount=type=cache,target=/root/.npm,readonly cat /root/.npm/a/l > /got; stat -c "%%a %%u" /root/.npm >> /got\n' >"$CTX/Dockerfile"
	proa build -q -o "$CTX/out" "$CTX"
	cat "$CTX/out/got"
	[ "$(cat "$CTX/out/got")" = "kept
770 7" ]
	# What is no archive, or would lead out, changes nothing.
	run proa builder cache import -i "$CTX/Dockerfile" /root/.npm
	[ "$status" != 0 ]
	mkdir "$CTX/evil" && ln -s /etc "$CTX/evil/link"
	tar -C "$CTX/evil" -cf "$CTX/evil.tar" link && echo x >"$CTX/evil/passwd-proa-test"
	tar -C "$CTX/evil" --transform 's,^,link/,' -rf "$CTX/evil.tar" passwd-proa-test
	proa builder cache import -i "$CTX/evil.tar" evil || true
	[ ! -e /etc/passwd-proa-test ]
	proa builder cache export /root/.npm | tar -t | grep -q a/f
	[ -z "$(find "$ROOT/data/build/mounts" -maxdepth 1 -name 'gone-*')" ]
	# Not while a step uses it.
	printf 'FROM bb:1\nRUN --mount=type=cache,target=/root/.npm until [ -e /root/.npm/go ]; do sleep 0.1; done\n' >"$CTX/Dockerfile"
	proa build -q --no-cache "$CTX" &
	eventually in_use
	run proa builder cache import -i "$CTX/npm.tar" /root/.npm
	[ "$status" != 0 ]
	[[ "$output" == *"cache mount /root/.npm is in use"* ]]
	let_go
	wait $!
}

@test "a step that reads stages is found by its definition, and by nothing less" {
	stages() {
		printf 'FROM bb:1 AS s1\nRUN echo 1 > /f\nFROM bb:1 AS s2\nRUN echo %s > /f\nFROM bb:1\n' "${2:-2}"
		printf 'RUN --mount=from=s1,target=/x --mount=from=s2,target=/y --mount=from=%s,target=/z cat /z/f > /got\n' "$1"
		printf 'COPY --from=s2 /f /f\n'
	}
	built() { rm -rf "$CTX/out" && proa build -q "$@" -o "$CTX/out" "$CTX" && cat "$CTX/out/got" "$CTX/out/f" | tr -d '\n'; }
	stages s1 >"$CTX/Dockerfile"
	[ "$(built)" = 12 ]
	# Only which stage the third mount is of has changed.
	stages s2 >"$CTX/Dockerfile"
	[ "$(built)" = 22 ]
	stages s2 3 >"$CTX/Dockerfile"
	[ "$(built)" = 33 ]
	stages s1 >"$CTX/Dockerfile"
	[ "$(built)" = 12 ]
	# A stage that is made anew is looked at, whatever its definition.
	printf 'FROM bb:1 AS r\nRUN cat /proc/sys/kernel/random/uuid > /u\nFROM bb:1\nCOPY --from=r /u /u\n' >"$CTX/Dockerfile"
	proa build -q -o "$CTX/one" "$CTX"
	proa build -q -o "$CTX/two" "$CTX"
	cmp "$CTX/one/u" "$CTX/two/u"
	proa build -q --no-cache-filter r -o "$CTX/three" "$CTX"
	run ! cmp -s "$CTX/one/u" "$CTX/three/u"
	# And the next build has the newest.
	proa build -q -o "$CTX/four" "$CTX"
	cmp "$CTX/three/u" "$CTX/four/u"
}
