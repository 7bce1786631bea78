#!/usr/bin/env bats
# Images end to end: pull, push, save, load, import, tag, rmi, prune; registries that lie.

bats_require_minimum_version 1.5.0
load ../lib/engine

setup_file() {
	engine_setup
	[ "$(id -u)" = 0 ] || return 0
	busybox_image bb:1
	registry_start
	# Its layer is in no other image.
	mkdir -p "$ROOT/liar/bin"
	cp "$(command -v busybox)" "$ROOT/liar/bin/"
	tar -C "$ROOT/liar" -cf "$ROOT/liar.tar" .
	python3 "$BATS_TEST_DIRNAME/../lib/liar.py" "$ROOT/liar.addr" "$ROOT/liar.tar" >"$ROOT/liar.log" 2>&1 3>&- &
	echo $! >"$ROOT/liar.pid"
	for _ in $(seq 600); do [ -s "$ROOT/liar.addr" ] && break; sleep 0.05; done
	LIAR=$(cat "$ROOT/liar.addr")
	export LIAR
}
teardown_file() {
	if [ -f "${ROOT:-/nonexistent}/liar.pid" ]; then kill "$(cat "$ROOT/liar.pid")"; fi
	engine_teardown
}
setup() {
	need_root
	need_docker
}

api() { # METHOD PATH [curl flags]
	local method=$1 path=$2
	shift 2
	curl -s --unix-socket "$SOCK" -X "$method" "$@" "http://x$path"
}
check_store() { [ "$(api POST /store/check | jq -c .Problems)" = "[]" ]; }
image_id() { docker image inspect -f '{{.Id}}' "$1"; }

@test "a pushed image comes back from the registry with the same id and digest" {
	docker tag bb:1 "$REGISTRY/t/bb:1"
	run docker push "$REGISTRY/t/bb:1"
	[ "$status" = 0 ]
	[[ $output == *"The push refers to repository [$REGISTRY/t/bb]"* ]]
	[[ $output =~ 1:\ digest:\ (sha256:[0-9a-f]{64})\ size:\ [0-9]+ ]]
	digest=${BASH_REMATCH[1]}
	id=$(image_id bb:1)
	docker rmi "$REGISTRY/t/bb:1" >/dev/null
	run docker pull "$REGISTRY/t/bb:1"
	[ "$status" = 0 ]
	[[ $output == *"Digest: $digest"* ]]
	[ "$(image_id "$REGISTRY/t/bb:1")" = "$id" ]
	run docker pull "$REGISTRY/t/bb:1"
	[[ $output == *"Status: Image is up to date for $REGISTRY/t/bb:1"* ]]
	run docker pull "$REGISTRY/t/bb@$digest"
	[ "$status" = 0 ]
	docker rmi -f "$REGISTRY/t/bb:1" "$REGISTRY/t/bb@$digest" >/dev/null || true
	check_store
}

@test "what skopeo copied is pulled and pushed with its digest" {
	command -v skopeo >/dev/null || skip "skopeo is not installed"
	docker tag bb:1 "$REGISTRY/t/src:1"
	docker push -q "$REGISTRY/t/src:1"
	for format in oci v2s2; do
		for compression in gzip zstd; do
			[ "$format$compression" = v2s2zstd ] && continue
			skopeo copy -q --format "$format" --dest-compress-format "$compression" --src-tls-verify=false --dest-tls-verify=false \
				"docker://$REGISTRY/t/src:1" "docker://$REGISTRY/t/copy:$format-$compression"
			want=$(skopeo inspect --raw --tls-verify=false "docker://$REGISTRY/t/copy:$format-$compression" | sha256sum)
			docker pull -q "$REGISTRY/t/copy:$format-$compression"
			docker tag "$REGISTRY/t/copy:$format-$compression" "$REGISTRY/t/again:1"
			docker push -q "$REGISTRY/t/again:1"
			docker rmi "$REGISTRY/t/copy:$format-$compression" "$REGISTRY/t/again:1" >/dev/null
			if [ "$compression" = gzip ]; then
				got=$(skopeo inspect --raw --tls-verify=false "docker://$REGISTRY/t/again:1" | sha256sum)
				[ "$got" = "$want" ] || [ "$format" = oci ]
			fi
		done
	done
	docker rmi "$REGISTRY/t/src:1"
	check_store
}

# manifest NAME: digest of what the registry has.
manifest() { skopeo inspect --raw --tls-verify=false "docker://$1" | sha256sum | cut -d' ' -f1; }
# unchanged REPO:TAG: pulled, and pushed under another name, it has the same digest.
unchanged() {
	docker pull -q "$1" >/dev/null
	docker tag "$1" "$REGISTRY/unchanged/it:1"
	docker push -q "$REGISTRY/unchanged/it:1" >/dev/null
	echo "$1: $(manifest "$1") $(manifest "$REGISTRY/unchanged/it:1")"
	[ "$(manifest "$1")" = "$(manifest "$REGISTRY/unchanged/it:1")" ]
	docker rmi -f "$1" "$REGISTRY/unchanged/it:1" >/dev/null
}

@test "umoci's and buildah's images pass through unchanged: short tars, no layers, an index" {
	for tool in skopeo umoci buildah; do
		command -v "$tool" >/dev/null || skip "$tool is not installed"
	done
	mkdir -p "$ROOT/u/in"
	echo hello >"$ROOT/u/in/file"
	umoci init --layout "$ROOT/u/layout"
	umoci new --image "$ROOT/u/layout:n"
	# A layer without an end.
	umoci insert --image "$ROOT/u/layout:n" "$ROOT/u/in" /in >/dev/null
	tar -C "$ROOT/u/layout" -c . | docker load -q
	skopeo copy -q --dest-tls-verify=false "oci:$ROOT/u/layout:n" "docker://$REGISTRY/u/umoci:1"
	unchanged "$REGISTRY/u/umoci:1"
	echo '{}' >"$ROOT/u/auth.json"
	bld() { buildah --root "$ROOT/u/store" --runroot "$ROOT/u/run" --storage-driver vfs "$@"; }
	export REGISTRY_AUTH_FILE=$ROOT/u/auth.json
	for arch in amd64 arm64; do
		c=$(bld from --arch "$arch" scratch)
		bld config --arch "$arch" --env "ARCH=$arch" "$c"
		bld commit -q --format oci "$c" "localhost/multi:$arch" >/dev/null
		bld manifest create "multi" >/dev/null 2>&1 || true
		bld manifest add multi "containers-storage:localhost/multi:$arch" >/dev/null
	done
	bld push -q --tls-verify=false localhost/multi:amd64 "docker://$REGISTRY/u/empty:1"
	unchanged "$REGISTRY/u/empty:1"
	bld manifest push -q --all --tls-verify=false multi "docker://$REGISTRY/u/multi:1"
	docker pull -q "$REGISTRY/u/multi:1"
	[ "$(docker image inspect -f '{{index .RepoDigests 0}}' "$REGISTRY/u/multi:1")" = "$REGISTRY/u/multi@sha256:$(manifest "$REGISTRY/u/multi:1")" ]
	docker pull -q --platform linux/arm64 "$REGISTRY/u/multi:1"
	[ "$(docker image inspect -f '{{.Architecture}} {{.Config.Env}}' "$REGISTRY/u/multi:1")" = "arm64 [ARCH=arm64]" ]
	run docker pull --platform linux/s390x "$REGISTRY/u/multi:1"
	[ "$status" = 1 ]
	[[ $output == *"no matching manifest for linux/s390x in the manifest list entries"* ]]
	docker rmi "$REGISTRY/u/multi:1" >/dev/null
	docker image prune -f >/dev/null
	rm -rf "$ROOT/u"
	check_store
}

@test "saved images load again, here and in skopeo" {
	id=$(image_id bb:1)
	docker tag bb:1 save/one:a
	docker tag bb:1 save/one:b
	docker save save/one bb:1 -o "$ROOT/save.tar"
	docker rmi save/one:a save/one:b >/dev/null
	run docker load -q -i "$ROOT/save.tar"
	[ "$status" = 0 ]
	[ "${#lines[@]}" = 3 ]
	[ "$(image_id save/one:a)" = "$id" ]
	gzip -k "$ROOT/save.tar"
	docker rmi save/one:a save/one:b >/dev/null
	docker load -q <"$ROOT/save.tar.gz"
	[ "$(image_id save/one:b)" = "$id" ]
	docker rmi save/one:a save/one:b >/dev/null
	if command -v skopeo >/dev/null; then
		skopeo inspect "docker-archive:$ROOT/save.tar:save/one:a" >/dev/null
		skopeo copy -q "docker-archive:$ROOT/save.tar:save/one:a" "oci-archive:$ROOT/oci.tar:oci/in:1"
		docker load -q -i "$ROOT/oci.tar"
		[ "$(docker image inspect -f '{{.RootFS}}' oci/in:1)" = "$(docker image inspect -f '{{.RootFS}}' bb:1)" ]
		docker rmi oci/in:1 >/dev/null
	fi
	run docker save nosuch:1
	[ "$status" = 1 ]
	[[ $output == *"No such image: nosuch:1"* ]]
	check_store
}

@test "a file that is no archive is refused in one line" {
	echo hello >"$ROOT/hello"
	run docker load -i "$ROOT/hello"
	[ "$status" = 1 ]
	[ "${#lines[@]}" = 1 ]
	head -c 4096 /dev/urandom >"$ROOT/hello"
	run docker load -i "$ROOT/hello"
	[[ $output == *"this is no archive: tar: "* ]]
	run docker load -i "$ROOT/busybox.tar"
	[[ $output == *"neither manifest.json nor index.json is in it (\`import\` takes the tar of a root file system)"* ]]
	head -c 3000 "$ROOT/save.tar" >"$ROOT/cut.tar"
	run docker load -i "$ROOT/cut.tar"
	[ "$status" = 1 ]
	check_store
}

@test "import takes --change and --message, and the image runs" {
	docker import -c 'ENV A=b' -c 'CMD ["/bin/sh","-c","echo $A"]' -m why "$ROOT/busybox.tar" imp:1
	[ "$(docker image inspect -f '{{.Comment}}' imp:1)" = why ]
	run docker run --rm --network none imp:1
	[ "$output" = b ]
	[ "$(docker history -q imp:1 | wc -l)" = 1 ]
	docker rmi imp:1
	docker import "$ROOT/busybox.tar" imp:2
	[ "$(docker image inspect -f '{{.Comment}}' imp:2)" = "Imported from -" ]
	docker rmi imp:2
}

@test "an image for another platform is not run as the one that was asked for, and told of otherwise" {
	other=$(uname -m | sed 's/x86_64/arm64/; t; s/.*/amd64/')
	docker import --platform "linux/$other" -c 'CMD ["true"]' "$ROOT/busybox.tar" other:1
	run docker create --network none other:1
	[ "$status" = 0 ]
	[[ $output == *"The requested image's platform (linux/$other) does not match the detected host platform"* ]]
	docker rm "${lines[-1]}"
	id=$(docker create --network none --platform "linux/$other" other:1)
	docker rm "$id"
	run docker create --network none --platform "linux/$other" --pull never bb:1
	[ "$status" = 1 ]
	[[ $output == *"image with reference bb:1 was found but does not match the specified platform: wanted linux/$other, actual: "* ]]
	docker tag other:1 "$REGISTRY/t/other:1"
	docker push -q "$REGISTRY/t/other:1"
	run docker pull "$REGISTRY/t/other:1"
	[[ "$status" = 0 && "$output" != *WARNING* ]]
	run docker pull --platform linux/s390x "$REGISTRY/t/other:1"
	[ "$status" = 0 ]
	[[ $output == *"WARNING: image with reference $REGISTRY/t/other:1 was found but does not match the specified platform: wanted linux/s390x, actual: linux/$other"* ]]
	docker rmi other:1 "$REGISTRY/t/other:1"
}

@test "import fetches a URL" {
	docker tag bb:1 "$REGISTRY/t/url:1"
	docker push -q "$REGISTRY/t/url:1"
	layer=$(curl -s "http://$REGISTRY/v2/t/url/manifests/1" | jq -r '.layers[0].digest')
	run docker import "http://$REGISTRY/v2/t/url/blobs/$layer" imp:3
	[ "$status" = 0 ]
	[ "${lines[0]}" = "Downloading from http://$REGISTRY/v2/t/url/blobs/$layer" ]
	[ "$(docker image inspect -f '{{.RootFS}}' imp:3)" = "$(docker image inspect -f '{{.RootFS}}' bb:1)" ]
	[ "$(docker image inspect -f '{{.Comment}}' imp:3)" = "Imported from http://$REGISTRY/v2/t/url/blobs/$layer" ]
	docker rmi imp:3 "$REGISTRY/t/url:1"
	run docker import "http://$REGISTRY/nosuch" imp:4
	[ "$status" = 1 ]
	[[ $output == *"404"* ]]
	check_store
}

@test "rmi says what docker says" {
	run docker rmi nosuch:1
	[ "$status" = 1 ]
	[[ $output == *"No such image: nosuch:1" ]]
	docker tag bb:1 two:1
	run docker rmi "$(image_id bb:1 | cut -c8-19)"
	[[ $output == *"must be forced) - image is referenced in multiple repositories"* ]]
	run docker rmi two:1
	[ "$output" = "Untagged: two:1" ]
	docker create --name user --network none bb:1 true
	run docker rmi bb:1
	[ "$status" = 1 ]
	[[ $output == *'conflict: unable to remove repository reference "bb:1" (must force) - container'*'is using its referenced image'* ]]
	docker rm user
	check_store
}

@test "docker-compose 1.x finds ContainerConfig in any version, nobody else after 1.43" {
	has() { curl -s --unix-socket "$SOCK" -A "$2" "http://x/v$1/images/bb:1/json" | jq 'has("ContainerConfig")'; }
	[ "$(has 1.43 curl)" = true ]
	[ "$(has 1.51 curl)" = false ]
	[ "$(has 1.51 'docker-compose/1.29.2 docker-py/5.0.3 Linux/6.1')" = true ]
}

@test "lists filter as docker's do" {
	docker tag bb:1 "$REGISTRY/filter/me:1"
	[ "$(docker images -q --filter reference='*/filter/me' | wc -l)" = 1 ]
	[ "$(docker images -q --filter reference='other' | wc -l)" = 0 ]
	[ "$(docker images -q --filter dangling=true | wc -l)" = 0 ]
	run docker images --filter nosuch=1
	[ "$status" = 1 ]
	[[ $output == *"invalid filter 'nosuch'"* ]]
	docker rmi "$REGISTRY/filter/me:1"
	docker image prune -af --filter until=2019-01-01 >/dev/null
	docker image prune -af --filter until=2019-01-01T10:00 >/dev/null
	docker image inspect bb:1 >/dev/null
	run -0 api POST '/images/prune?filters=%7B%22nosuch%22:%5B%22a%22%5D%7D'
	[[ $output == *"invalid filter"* ]]
}

@test "pull errors are docker's" {
	run docker pull "$REGISTRY/t/nosuch:1"
	[ "$status" = 1 ]
	[[ $output == *"manifest for $REGISTRY/t/nosuch:1 not found: manifest unknown"* ]]
	run docker pull "127.0.0.1:1/x:1"
	[ "$status" = 1 ]
	run docker push "$REGISTRY/never/tagged:1"
	[ "$status" = 1 ]
	[[ $output == *"An image does not exist locally with the tag: $REGISTRY/never/tagged" ]]
}

@test "a registry that lies is refused, and nothing is left" {
	before=$(docker images -q | sort)
	for how in digest short long diffid size config gzip bomb huge; do
		run timeout 50 docker pull "$LIAR/$how:1"
		echo "$how: $output"
		[ "$status" = 1 ]
		[ "$(docker images -q | sort)" = "$before" ]
	done
	docker pull -q "$LIAR/honest:1"
	docker rmi "$LIAR/honest:1" >/dev/null
	docker image prune -f >/dev/null
	check_store
	# A sanitizer's own memory is many times ours.
	[ -n "${PROA_SANITIZED:-}" ] || [ "$(awk '/VmHWM/ { print $2 }' "/proc/$(cat "$ROOT/test.pid")/status")" -lt 65536 ]
}

@test "an archive of long names is refused before it takes the memory" {
	# 100 links, each to a name of a mebibyte: 100 KB that would take as many MiB of memory.
	python3 - "$ROOT/links.tar.gz" <<-'P'
		import sys, tarfile
		with tarfile.open(sys.argv[1], "w:gz", format=tarfile.PAX_FORMAT) as t:
		    for i in range(100):
		        e = tarfile.TarInfo("l%d" % i)
		        e.type, e.linkname = tarfile.SYMTYPE, "a" * 1000000
		        t.addfile(e)
	P
	run docker load -i "$ROOT/links.tar.gz"
	[ "$status" = 1 ]
	[[ "$output" == *"too large for what it is"* ]]
	check_store
}

@test "a download that is cut goes on where it ended" {
	size=$(curl -s "http://$LIAR/v2/cut/manifests/1" | jq '.layers[0].size')
	wire=$(curl -s "http://$LIAR/wire")
	for _ in 1 2 3 4 5 6; do
		docker pull -q "$LIAR/cut:1" >/dev/null 2>&1 && break
	done
	docker image inspect "$LIAR/cut:1" >/dev/null
	wire=$(($(curl -s "http://$LIAR/wire") - wire))
	[ "$wire" -le $((size + 20 * 65536)) ]
	docker rmi "$LIAR/cut:1" >/dev/null
	check_store
}

@test "five pulls at once fetch a blob once" {
	size=$(curl -s "http://$LIAR/v2/honest/manifests/1" | jq '.layers[0].size')
	wire=$(curl -s "http://$LIAR/wire")
	pids=
	for _ in 1 2 3 4 5; do
		docker pull -q "$LIAR/honest:1" >/dev/null 3>&- &
		pids="$pids $!"
	done
	for p in $pids; do wait "$p"; done
	[ $(($(curl -s "http://$LIAR/wire") - wire)) = "$size" ]
	docker rmi "$LIAR/honest:1" >/dev/null
}

# df_is_du: the sum of system df is what du finds, but for 1 %, the reserve and the directories of an empty root.
df_is_du() {
	local df du
	df=$(api GET /v1.51/system/df | jq '.LayersSize + ([.Containers[].SizeRw] | add // 0) +
		([.Volumes[].UsageData.Size] | add // 0) + ([.BuildCache[] | select(.Shared | not).Size] | add // 0)')
	du=$(du -s -B1 --exclude=reserve "$ROOT/data" | cut -f1)
	echo "df $df, du $du"
	[ $((df * 100)) -gt $(((du - 65536) * 99)) ] && [ $((df * 100)) -lt $((du * 101)) ]
}

@test "system df is what du finds" {
	docker pull -q "$LIAR/honest:1" >/dev/null
	mkdir -p "$ROOT/df/small"
	# Many small files take more than they hold.
	for i in $(seq 800); do echo "$i" >"$ROOT/df/small/$i"; done
	printf 'FROM bb:1\nCOPY small /small\nRUN echo x >/x\n' >"$ROOT/df/Dockerfile"
	docker build -q --network none -t df:1 "$ROOT/df"
	docker run --network none --name df -v df:/v df:1 sh -c 'for i in $(seq 300); do echo $i >/v/$i; echo $i >/$i; done'
	df_is_du
	# What only the build cache keeps now is counted there.
	docker rm df >/dev/null
	docker rmi df:1 >/dev/null
	df_is_du
	docker volume rm df >/dev/null
	docker builder prune -af >/dev/null
	docker rmi "$LIAR/honest:1" >/dev/null
	df_is_du
}

@test "kill -9 at any moment leaves a store in order" {
	docker save bb:1 -o "$ROOT/kill.tar"
	for i in 1 2 3 4 5 6 7 8; do
		case $((i % 3)) in
		0) docker pull -q "$LIAR/honest:1" >/dev/null 2>&1 3>&- & ;;
		1) docker load -q -i "$ROOT/kill.tar" >/dev/null 2>&1 3>&- & ;;
		2) docker rmi -f "$LIAR/honest:1" >/dev/null 2>&1 3>&- & ;;
		esac
		client=$!
		sleep "0.0$((RANDOM % 10))$((RANDOM % 10))"
		kill -9 "$(cat "$ROOT/test.pid")"
		{ wait "$client" "$(cat "$ROOT/test.pid")" || true; } 2>/dev/null
		rm -f "$SOCK"
		engine_start
		check_store
	done
	[ "$(docker run --rm --network none bb:1 echo alive)" = alive ]
}

@test "prune takes no image between its making and its tag" {
	local pruner i bad=0
	mkdir "$ROOT/pruned-ctx"
	printf 'FROM bb:1\nCOPY f /f\n' >"$ROOT/pruned-ctx/Dockerfile"
	prune_beside /images/prune 3>&- &
	pruner=$!
	for i in $(seq 20); do
		echo "$i" >"$ROOT/pruned-ctx/f"
		docker build -q -t "kept:$i" "$ROOT/pruned-ctx" || bad=$((bad + 1))
		docker image inspect "kept:$i" >/dev/null || bad=$((bad + 1))
	done
	touch "$ROOT/pruned"
	wait "$pruner"
	rm "$ROOT/pruned"
	[ "$bad" = 0 ]
	check_store
}
