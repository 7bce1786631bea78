#!/usr/bin/env bats
# The engine as a client of registries: credentials, mirrors, messages, what is left after a failure.

load ../lib/engine

setup_file() {
	need_root
	need_docker
	ROOT=$(mktemp -d /tmp/proa-e2e-XXXXXX)
	printf 'secret\n' | "$PROA_BUILD/proa-registry" htpasswd ann >"$ROOT/users"
	cat >"$ROOT/config.json" <<-J
		{"auth": {"htpasswd": "$ROOT/users", "rules": [
			{"repositories": "public/**", "users": ["anonymous"], "actions": ["pull"]},
			{"repositories": "library/**", "users": ["anonymous"], "actions": ["pull"]},
			{"repositories": "**", "users": ["ann"], "actions": ["*"]}]}}
	J
	registry_start --config "$ROOT/config.json"
	SOCK=$ROOT/proa.sock
	BRIDGE=none
	mkdir -p "$ROOT/client"
	printf '{"registry-mirrors": ["http://%s", "example.test/team=http://%s/public"]}\n' "$REGISTRY" "$REGISTRY" >"$ROOT/engine.json"
	export ROOT SOCK BRIDGE DOCKER_HOST="unix://$SOCK" DOCKER_CONFIG="$ROOT/client"
	engine_start --bridge none
	busybox_image bb:test
	docker login -u ann -p secret "$REGISTRY" 2>/dev/null
	for repo in public/bb library/bb private/bb; do
		docker tag bb:test "$REGISTRY/$repo:1"
		docker push -q "$REGISTRY/$repo:1"
		docker rmi "$REGISTRY/$repo:1" >/dev/null
	done
	docker logout "$REGISTRY" >/dev/null
	docker rmi bb:test >/dev/null
}
teardown_file() { engine_teardown; }
teardown() {
	docker logout "$REGISTRY" >/dev/null 2>&1
	docker images -q | sort -u | xargs -r docker rmi -f >/dev/null 2>&1
}

@test "a public repository needs no login, a private one does" {
	run docker pull -q "$REGISTRY/public/bb:1"
	[ "$status" -eq 0 ]
	# By the API: at a 401 the docker CLI asks for a password.
	run curl -s --unix-socket "$SOCK" -X POST "http://x/images/create?fromImage=$REGISTRY/private/bb&tag=1"
	[[ $output == *"pull access denied for $REGISTRY/private/bb, repository does not exist or may require 'docker login': denied"* ]]
	docker login -u ann -p secret "$REGISTRY" 2>/dev/null
	run docker pull -q "$REGISTRY/private/bb:1"
	[ "$status" -eq 0 ]
	[ "$output" = "$REGISTRY/private/bb:1" ]
}

@test "a wrong password is refused in Docker's words" {
	run docker login -u ann -p wrong "$REGISTRY"
	[ "$status" -eq 1 ]
	[[ "$output" == *"Get \"http://$REGISTRY/v2/\": unauthorized: incorrect username or password"* ]]
}

@test "Docker Hub's images come from the mirror" {
	run docker pull bb:1
	[ "$status" -eq 0 ]
	[[ "$output" == *"1: Pulling from library/bb"* ]]
	[[ "$output" == *"Status: Downloaded newer image for bb:1"* ]]
	[[ "$output" == *"docker.io/library/bb:1"* ]]
}

@test "a prefix of any registry has mirrors too" {
	run docker pull -q example.test/team/bb:1
	[ "$status" -eq 0 ]
	run docker image inspect -f '{{index .RepoDigests 0}}' example.test/team/bb:1
	[[ "$output" == example.test/team/bb@sha256:* ]]
}

@test "what is not there is said in Docker's words" {
	run docker pull "$REGISTRY/public/bb:nope"
	[ "$status" -eq 1 ]
	[[ "$output" == *"manifest for $REGISTRY/public/bb:nope not found: manifest unknown: manifest unknown"* ]]
	run docker pull 127.0.0.1:1/x/y:1
	[ "$status" -eq 1 ]
	[[ "$output" == *'Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused'* ]]
	run docker pull BAD::x
	[ "$status" -eq 1 ]
}

@test "a pull by digest gives that image, another digest nothing" {
	digest=$(docker pull "$REGISTRY/public/bb:1" | sed -n 's/^Digest: //p')
	docker rmi "$REGISTRY/public/bb:1" >/dev/null
	run docker pull -q "$REGISTRY/public/bb@$digest"
	[ "$status" -eq 0 ]
	run docker pull -q "$REGISTRY/public/bb@sha256:$(printf x | sha256sum | cut -d' ' -f1)"
	[ "$status" -eq 1 ]
	[ "$(docker images -q | sort -u | wc -l)" -eq 1 ]
}

@test "the tags of a repository are listed without a pull" {
	run "$PROA_BUILD/proa" image ls-remote "$REGISTRY/public/bb"
	[ "$status" -eq 0 ]
	[[ "${lines[1]}" == "$REGISTRY/public/bb"*1 ]]
}

@test "a registry that stops for a moment does not fail a pull" {
	docker pull -q "$REGISTRY/public/bb:1"
	docker rmi "$REGISTRY/public/bb:1" >/dev/null
	kill -STOP "$(cat "$ROOT/registry.pid")"
	(sleep 1 && kill -CONT "$(cat "$ROOT/registry.pid")") 3>&- &
	run docker pull -q "$REGISTRY/public/bb:1"
	[ "$status" -eq 0 ]
}
