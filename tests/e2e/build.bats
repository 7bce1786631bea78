#!/usr/bin/env bats
# Builds as users run them: the stock docker CLI on POST /build.

load ../lib/engine

setup_file() {
	engine_setup
	[ "$(id -u)" = 0 ] || return 0
	busybox_image bb:1
}
teardown_file() { engine_teardown; }
setup() {
	need_root
	need_docker
	CTX=$(mktemp -d "$ROOT/ctx-XXXXXX")
}

dockerfile() { cat >"$CTX/Dockerfile"; }
build() { docker build "$@" 2>/dev/null; }

@test "a build tells its steps, tags the image, and the image runs" {
	echo hello >"$CTX/a"
	dockerfile <<-D
		FROM bb:1
		WORKDIR /app
		COPY a .
		RUN echo "built \$(cat a)" > out
		CMD ["cat", "/app/out"]
	D
	run build -t demo:1 "$CTX"
	[ "$status" = 0 ]
	[[ "$output" == *"Step 1/5 : FROM bb:1"* ]]
	[[ "$output" == *" ---> Running in "* ]]
	[[ "$output" == *"Successfully built "* ]]
	[[ "$output" == *"Successfully tagged demo:1"* ]]
	[ "$(docker run --rm demo:1)" = "built hello" ]
}

@test "the second build is all cache and the same image, from another directory too" {
	echo hello >"$CTX/a"
	printf 'FROM bb:1\nCOPY a /\nRUN cat /proc/sys/kernel/random/uuid > /when\n' >"$CTX/Dockerfile"
	one=$(build -q "$CTX")
	cp -r "$CTX" "$CTX-other" && touch -d 2001-01-01 "$CTX-other/a"
	two=$(build -q "$CTX-other")
	[ -n "$one" ]
	[ "$one" = "$two" ]
	run build "$CTX-other"
	[[ "$output" == *"Using cache"* ]]
	echo changed >"$CTX/a"
	[ "$(build -q "$CTX")" != "$one" ]
	[ "$(build -q --no-cache "$CTX-other")" != "$one" ]
}

@test "three days later, on one processor, in another directory: the same images" {
	[ -z "${PROA_SANITIZED:-}" ] || skip "a sanitizer wants to be loaded first"
	faketime=$(find /usr/lib /usr/local/lib -name libfaketimeMT.so.1 -print -quit 2>/dev/null)
	[ -n "$faketime" ] || skip "needs libfaketime"
	mkdir -p "$CTX/d/e"
	for i in $(seq 20); do echo "$i" >"$CTX/d/f$i"; done
	ln -s f1 "$CTX/d/link" && ln "$CTX/d/f2" "$CTX/d/hard" && chmod 700 "$CTX/d/e"
	tar -C "$CTX" -cf "$CTX/a.tar" d/f1 d/link
	dockerfile <<-'D'
		FROM bb:1 AS made
		WORKDIR /w/x
		COPY d /w/d
		RUN mkdir -p /w/new/dir; echo made >/w/new/file; ln -s file /w/new/link; rm /w/d/f3; touch /w/d/f4
		ADD a.tar /w/unpacked/
		COPY <<-E /w/text
			here
		E
		FROM made AS second
		RUN --mount=type=cache,target=/c echo cached >/c/x; cp /c/x /w/from-cache
		FROM scratch
		COPY --from=second /w /w
		COPY --link d /linked
		LABEL a=b
		CMD ["/w/text"]
	D
	ids() { # DIR WORD...: of both ways, each stage by itself
		dir=$1
		shift
		for target in made second ""; do
			"$@" "$PROA_BUILD/proa" build -q --no-cache ${target:+--target $target} "$dir"
			"$@" docker build -q --no-cache ${target:+--target $target} "$dir" 2>/dev/null
		done
	}
	today=$(ids "$CTX" env)
	[ "$(sort -u <<<"$today" | wc -l)" = 3 ]
	engine_stop
	NO_FAKE_STAT=1 FAKETIME=+3d LD_PRELOAD=$faketime engine_start
	cp -a "$CTX" "$CTX-later" && find "$CTX-later" -exec touch -h -d '+3 days' {} +
	# Its clock has moved, and what it says of images has not.
	later=$(ids "$CTX-later" taskset 1)
	system=$(date -d "$("$PROA_BUILD/proa" info -f '{{.SystemTime}}')" +%s)
	engine_stop
	engine_start
	echo "$today"
	echo "$later"
	[ $((system - $(date +%s))) -gt 172800 ]
	[ "$today" = "$later" ]
}

@test "a client without a version: configuration steps say that they were cached, cachefrom is the only cache" {
	printf 'FROM bb:1\nENV FOO=bar\nRUN echo once > /classic\nLABEL a=b\n' >"$CTX/Dockerfile"
	tar -C "$CTX" -cf "$ROOT/classic.tar" Dockerfile
	raw() {
		curl -s --unix-socket "$SOCK" -X POST -H 'Content-Type: application/x-tar' --data-binary "@$ROOT/classic.tar" \
			"http://x/v1.41/build?t=classic:1$1" >"$ROOT/classic.out"
		grep -q 'Successfully tagged classic:1' "$ROOT/classic.out"
		grep -c 'Using cache' "$ROOT/classic.out" || true
	}
	[ "$(raw '')" = 0 ]
	[ "$(raw '')" = 2 ]
	[ "$(raw '&cachefrom=%5B%22classic:1%22%5D')" = 2 ]
	[ "$(raw '&cachefrom=%5B%22127.0.0.1:1/none:1%22%5D')" = 0 ]
	[ "$(raw '&version=1&cachefrom=%5B%22127.0.0.1:1/none:1%22%5D')" = 2 ]
}

@test "a command that fails ends the build with Docker's words and its code" {
	printf 'FROM bb:1\nRUN echo seen; exit 7\n' >"$CTX/Dockerfile"
	run docker build "$CTX"
	[ "$status" = 7 ]
	[[ "$output" == *seen* ]]
	[[ "$output" == *"The command '/bin/sh -c echo seen; exit 7' returned a non-zero code: 7"* ]]
}

@test "mistakes are named with their line before anything runs" {
	printf 'FROM bb:1\nCPOY a b\n' >"$CTX/Dockerfile"
	run docker build "$CTX"
	[ "$status" = 1 ]
	[[ "$output" == *"dockerfile parse error on line 2: unknown instruction: CPOY (did you mean COPY?)"* ]]
	printf 'FROM bb:1\nCOPY nope /\n' >"$CTX/Dockerfile"
	run docker build "$CTX"
	[ "$status" = 1 ]
	[[ "$output" == *'Dockerfile:2: COPY nope /: "/nope": not found'* ]]
	printf 'ARG only=1\n' >"$CTX/Dockerfile"
	run docker build "$CTX"
	[ "$status" = 1 ]
	curl -sf --unix-socket "$SOCK" http://x/_ping
}

@test "four stages run at the same time" {
	{
		# Each waits until all have come.
		for s in a b c d; do
			printf 'FROM bb:1 AS %s\nRUN --mount=type=cache,id=meet,target=/m ' $s
			printf 'touch /m/%s; for i in $(seq 600); do [ $(ls /m | wc -l) -lt 4 ] || break; sleep 0.1; done; ' $s
			printf '[ $i -lt 600 ] && echo %s > /%s\n' $s $s
		done
		echo 'FROM bb:1'
		for s in a b c d; do echo "COPY --from=$s /$s /"; done
	} >"$CTX/Dockerfile"
	docker build -q -t par:1 "$CTX"
	[ "$(docker run --rm par:1 cat /a /b /c /d | tr -d '\n')" = abcd ]
}

@test "cache mounts last, nothing of a mount is in the image" {
	dockerfile <<-'D'
		FROM bb:1
		RUN --mount=type=cache,id=t,target=/c echo kept > /c/f
		RUN --mount=type=cache,id=t,target=/c cp /c/f /copied
		RUN --mount=type=bind,target=/ctx ls /ctx/Dockerfile
		RUN --mount=type=tmpfs,target=/t touch /t/x
	D
	build -q -t mounts:1 "$CTX"
	run docker run --rm mounts:1 sh -c 'cat /copied; ls / | grep -xE "c|ctx|t" | wc -l'
	[ "${lines[0]}" = kept ]
	[ "${lines[1]}" = 0 ]
}

@test "a context from a client in another mount namespace is mounted as well" {
	dockerfile <<-'D'
		FROM bb:1
		RUN --mount=type=bind,target=/ctx cp /ctx/Dockerfile /copied
	D
	unshare -m "$PROA_BUILD/proa" build -q -t foreign:1 "$CTX"
	docker run --rm foreign:1 cat /copied | diff - "$CTX/Dockerfile"
}

nothing_runs() { ! pgrep -fx "$1" && [ -z "$(ls "$ROOT/run/build")" ]; }

@test "a client that leaves takes its build along" {
	printf 'FROM bb:1\nRUN echo up; sleep 987\n' >"$CTX/Dockerfile"
	docker build "$CTX" >/dev/null 2>&1 3>&- &
	client=$!
	eventually pgrep -fx 'sleep 987'
	kill "$client"
	eventually nothing_runs 'sleep 987'
}

@test "build arguments, targets, labels and a Dockerfile from stdin" {
	dockerfile <<-'D'
		ARG BASE=nope
		FROM ${BASE} AS first
		ARG V=default
		RUN echo $V > /v
		FROM first AS second
		RUN exit 1
	D
	build -q -t args:1 --build-arg BASE=bb:1 --build-arg V=given --label who=me --target first "$CTX"
	[ "$(docker run --rm args:1 cat /v)" = given ]
	[ "$(docker inspect -f '{{.Config.Labels.who}}' args:1)" = me ]
	run bash -c 'printf "FROM bb:1\nRUN echo from-stdin\n" | docker build - 2>/dev/null'
	[[ "$output" == *from-stdin* ]]
}

@test "prune gives back what images do not need, and a build works afterwards" {
	printf 'FROM bb:1\nRUN echo gone > /gone\n' >"$CTX/Dockerfile"
	build -q -t gone:1 "$CTX"
	docker rmi gone:1 >/dev/null
	run docker builder prune -f
	[ "$status" = 0 ]
	[[ "$output" == *"Total reclaimed space"* ]]
	build -q "$CTX"
}

@test "a build dies with kill -9 and leaves nothing behind the next start" {
	printf 'FROM bb:1\nRUN sleep 986\n' >"$CTX/Dockerfile"
	docker build "$CTX" >/dev/null 2>&1 3>&- &
	eventually pgrep -fx 'sleep 986'
	kill -9 "$(cat "$ROOT/test.pid")"
	eventually gone "$(cat "$ROOT/test.pid")"
	engine_start
	eventually nothing_runs 'sleep 986'
	printf 'FROM bb:1\nRUN true\n' >"$CTX/Dockerfile"
	build -q "$CTX"
}

@test "proa build: secrets, named contexts, outputs, checks, plans and reasons" {
	proa() { "$PROA_BUILD/proa" "$@"; }
	printf s3cret >"$ROOT/secret"
	mkdir -p "$ROOT/named" && echo n >"$ROOT/named/n"
	dockerfile <<-'D'
		FROM bb:1
		RUN --mount=type=secret,id=s,required wc -c < /run/secrets/s > /len
		COPY --from=other n /
		CMD x
	D
	opts=(--secret "id=s,src=$ROOT/secret" --build-context "other=$ROOT/named" "$CTX")
	run proa build --progress=plain -t x:1 "${opts[@]}"
	echo "$output"
	[ "$status" = 0 ]
	[[ "$output" == *"#2 [2/3] RUN --mount=type=secret"* ]]
	[[ "$output" == *"#2 DONE "* ]]
	[ "$(docker run --rm x:1 cat /len)" = 6 ]
	run grep -rls s3cret "$ROOT/data" "$ROOT/run"
	[ -z "$output" ]
	run proa build --progress=plain "${opts[@]}"
	[[ "$output" == *"#2 CACHED"* ]]
	run proa build --check "$CTX"
	[ "$status" = 1 ]
	[[ "$output" == *"WARNING: JSONArgsRecommended"* ]]
	echo changed >"$ROOT/named/n"
	run proa build --plan "${opts[@]}"
	[[ "$output" == *"#2 CACHED"* && "$output" == *"because would run"* ]]
	run proa build --explain "${opts[@]}"
	[[ "$output" == *"because /n changed"* ]]
	proa build -o "$ROOT/out" "${opts[@]}" >/dev/null 2>&1
	[ "$(cat "$ROOT/out/n")" = changed ]
}

@test "contexts and ADD from git and from URLs" {
	command -v git >/dev/null || skip "git is not installed"
	git init -q "$ROOT/repo"
	mkdir "$ROOT/repo/sub"
	printf 'FROM bb:1\nCOPY . /r\n' | tee "$ROOT/repo/Dockerfile" >"$ROOT/repo/sub/Dockerfile"
	echo v1 >"$ROOT/repo/sub/f"
	git -C "$ROOT/repo" add -A
	git -C "$ROOT/repo" -c user.name=a -c user.email=a@b commit -qm one
	git -C "$ROOT/repo" tag v1
	git clone -q --bare "$ROOT/repo" "$ROOT/repo.git"
	run curl -s --unix-socket "$SOCK" -X POST "http://x/build?t=g:1&remote=file://$ROOT/repo.git%23v1:sub"
	[[ "$output" == *"Successfully tagged g:1"* ]]
	[ "$(docker run --rm g:1 cat /r/f)" = v1 ]
	git clone -q "$ROOT/repo.git" "$ROOT/outer"
	git -C "$ROOT/outer" -c protocol.file.allow=always submodule --quiet add "file://$ROOT/repo.git" mod
	git -C "$ROOT/outer" -c user.name=a -c user.email=a@b commit -qm two
	git clone -q --bare "$ROOT/outer" "$ROOT/outer.git"
	curl -s --unix-socket "$SOCK" -X POST "http://x/build?t=g:3&remote=file://$ROOT/outer.git"
	[ "$(docker run --rm g:3 cat /r/mod/sub/f)" = v1 ]
	curl -s --unix-socket "$SOCK" -X POST "http://x/build?t=g:4&remote=file://$ROOT/outer.git%3Fsubmodules=false"
	[ -z "$(docker run --rm g:4 ls /r/mod)" ]
	run curl -s --unix-socket "$SOCK" -X POST "http://x/build?t=g:2&remote=file://$ROOT/repo.git%3Ftag=v1%26subdir=sub"
	[[ "$output" == *"Successfully tagged g:2"* ]]
	run curl -s --unix-socket "$SOCK" -X POST "http://x/build?remote=file://$ROOT/repo.git%23nope"
	[[ "$output" == *"couldn't find remote ref nope"* ]]
	git -C "$ROOT/repo.git" update-server-info
	port=$((20000 + RANDOM % 20000))
	python3 -m http.server $port --bind 127.0.0.1 -d "$ROOT" >/dev/null 2>&1 3>&- &
	server=$!
	for _ in $(seq 300); do curl -s -o /dev/null "http://127.0.0.1:$port/" && break; sleep 0.1; done
	tar -C "$ROOT/repo" -czf "$ROOT/c.tgz" Dockerfile sub
	sum=$(sha256sum "$ROOT/c.tgz" | cut -d' ' -f1)
	dockerfile <<-D
		FROM bb:1
		ADD http://127.0.0.1:$port/repo.git#v1:sub /g
		ADD --checksum=sha256:$sum http://127.0.0.1:$port/c.tgz /raw/
		ADD --unpack=true http://127.0.0.1:$port/c.tgz /un/
		ADD --checksum=$(git -C "$ROOT/repo" rev-parse v1) http://127.0.0.1:$port/repo.git?tag=v1&subdir=sub /q
	D
	run build -t u:1 "$CTX"
	run docker run --rm u:1 sh -c 'cat /g/f /un/sub/f; stat -c %a /raw/c.tgz; cat /q/f'
	[ "${lines[0]}" = v1 ]
	[ "${lines[1]}" = v1 ]
	[ "${lines[2]}" = 600 ]
	[ "${lines[3]}" = v1 ]
	other="$(printf 'FROM bb:1\nADD --checksum=%040d http://127.0.0.1:%d/repo.git#v1 /g\n' 0 "$port" |
		docker build - 2>&1 || true)"
	kill $server
	# The host's files are the client's to name, not a Dockerfile's.
	run docker build - <<<"$(printf 'FROM bb:1\nADD file://%s/repo.git#v1 /g\n' "$ROOT")"
	[ "$status" != 0 ]
	[[ "$output" == *"transport 'file' not allowed"* || "$output" == *"not found"* ]]
	[[ "$other" == *"expected checksum to match 0000"* ]]
}
