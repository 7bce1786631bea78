#!/usr/bin/env bats
# What no client sends: tests/lib/hostile_api.py, 15,000 requests.

bats_require_minimum_version 1.5.0
load ../lib/engine

setup_file() {
	# Whatever an image is called there, no registry is asked.
	export HTTP_PROXY=http://127.0.0.1:1 HTTPS_PROXY=http://127.0.0.1:1
	engine_setup
	[ "$(id -u)" != 0 ] || busybox_image bb:1
}
teardown_file() { engine_teardown; }
setup() { need_root; }

@test "every member and parameter of the API with wrong types and the worst values: a clear no, and nothing is left" {
	python3 "$BATS_TEST_DIRNAME/../lib/hostile_api.py" "$SOCK" "$(cat "$ROOT/test.pid")"
}
