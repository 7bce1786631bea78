#!/usr/bin/env bats
# Who may do what, and those who try to do more: passwords, tokens, rules, limits, the audit log, the configuration.

bats_require_minimum_version 1.5.0

load ../lib/engine
load ../lib/registry

setup_file() {
	ROOT=$(mktemp -d /tmp/proa-e2e-XXXXXX)
	export ROOT
	printf 'secret\n' | "$PROA_BUILD/proa-registry" htpasswd ann >"$ROOT/users"
	printf 'other\n' | "$PROA_BUILD/proa-registry" htpasswd bob >>"$ROOT/users"
	cat >"$ROOT/config.json" <<-J
		{"auth": {"htpasswd": "$ROOT/users", "rules": [
			{"repositories": "public/**", "users": ["anonymous"], "actions": ["pull"]},
			{"repositories": "team/*", "users": ["*"], "actions": ["pull", "push"]},
			{"repositories": "**", "users": ["ann"], "actions": ["*"]}]},
		 "auditLog": "$ROOT/audit"}
	J
	registry_start --config "$ROOT/config.json"
}
teardown_file() {
	registry_stop
	rm -rf "$ROOT"
}

token() { # USER:PASSWORD SCOPE...
	local user=$1 args=()
	shift
	for s in "$@"; do args+=(--data-urlencode "scope=$s"); done
	[ -z "$user" ] || args+=(-u "$user")
	curl -s -G "http://$REGISTRY/v2/token" "${args[@]}" | jq -r .token
}
url64() { openssl base64 -A | tr '+/' '-_' | tr -d =; }
signed() { # HEADER CLAIMS: a token with the registry's own key
	local text
	text=$(printf %s "$1" | url64).$(printf %s "$2" | url64)
	printf '%s.%s' "$text" "$(printf %s "$text" | openssl dgst -sha256 -binary -mac HMAC -macopt "hexkey:$(od -An -tx1 -v "$ROOT/registry/token.key" | tr -d ' \n')" | url64)"
}

@test "a challenge names the realm, the service and the scope; a token of it opens just that" {
	req POST /v2/team/x/blobs/uploads/
	[ "$status_code" = 401 ]
	[ "$(jq -r '.errors[0].code' "$ROOT/body")" = UNAUTHORIZED ]
	[ "$(header WWW-Authenticate)" = "Bearer realm=\"http://$REGISTRY/v2/token\",service=\"proa-registry\",scope=\"repository:team/x:pull,push\"" ]
	t=$(token bob:other repository:team/x:pull,push repository:secret/y:pull)
	req POST /v2/team/x/blobs/uploads/ -H "Authorization: Bearer $t"
	[ "$status_code" = 202 ]
	req POST /v2/team/y/blobs/uploads/ -H "Authorization: Bearer $t"
	[ "$status_code" = 401 ]
	[[ "$(header WWW-Authenticate)" == *'error="insufficient_scope"' ]]
	req GET /v2/secret/y/tags/list -H "Authorization: Bearer $t"
	[ "$status_code" = 401 ]
	req GET /v2/secret/y/tags/list -u bob:other
	[ "$status_code" = 403 ]
	[ "$(jq -r '.errors[0].code' "$ROOT/body")" = DENIED ]
	# nobody in particular gets a token for what everybody may do
	t=$(token "" repository:public/a:pull,push)
	req GET /v2/public/a/tags/list -H "Authorization: Bearer $t"
	[ "$status_code" = 404 ]
	req POST /v2/public/a/blobs/uploads/ -H "Authorization: Bearer $t"
	[ "$status_code" = 401 ]
}

@test "the catalogue asks for a login, and a token of its scope shows what its user may pull" {
	req GET /v2/_catalog
	[ "$status_code" = 401 ]
	[[ "$(header WWW-Authenticate)" == *'scope="registry:catalog:*"' ]]
	for r in team/x secret/z; do
		req POST "/v2/$r/blobs/uploads/?digest=sha256:$(sha "{}")" --data-binary "{}" -u ann:secret
		req PUT "/v2/$r/manifests/t" -u ann:secret -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' --data-binary "$(manifest_of "{}")"
		[ "$status_code" = 201 ]
	done
	req GET /v2/_catalog -H "Authorization: Bearer $(token bob:other 'registry:catalog:*')"
	[ "$(jq -c .repositories "$ROOT/body")" = '["team/x"]' ]
	req GET /v2/_catalog -H "Authorization: Bearer $(token bob:other repository:team/x:pull)"
	[ "$status_code" = 401 ]
	req GET /v2/_catalog -u ann:secret
	[ "$(jq -c .repositories "$ROOT/body")" = '["secret/z","team/x"]' ]
}

@test "tokens that are forged, for others, or too old are refused" {
	command -v openssl >/dev/null || skip "openssl is not installed"
	now=$(date +%s)
	access='"access":[{"type":"repository","name":"secret/z","actions":["pull"]}]'
	good="{\"iss\":\"proa-registry\",\"aud\":\"proa-registry\",\"sub\":\"ann\",\"exp\":$((now + 60)),$access}"
	hs='{"alg":"HS256","typ":"JWT"}'
	try() {
		req GET /v2/secret/z/tags/list -H "Authorization: Bearer $1"
		echo "$status_code"
	}
	[ "$(try "$(signed "$hs" "$good")")" = 200 ] # the helper signs as the registry does
	none=$(printf '{"alg":"none"}' | url64).$(printf %s "$good" | url64)
	real=$(signed "$hs" "$good")
	for t in "$none." "$none" "$none.${real##*.}" "${real%.*}." "${real%.*}.AAAA" "a.b.c" "." ".." "" \
		"$(signed "$hs" "{\"aud\":\"proa-registry\",\"sub\":\"ann\",\"exp\":$((now - 1)),$access}")" \
		"$(signed "$hs" "{\"aud\":\"proa-registry\",\"sub\":\"ann\",$access}")" \
		"$(signed "$hs" "{\"aud\":\"another-service\",\"sub\":\"ann\",\"exp\":$((now + 60)),$access}")" \
		"$(signed "$hs" "{\"sub\":\"ann\",\"exp\":$((now + 60)),$access}")" \
		"$(signed "$hs" '[1]')" "$(signed "$hs" 'x')" \
		"$(printf '{"alg":"HS256","kid":"../../../dev/null"}' | url64).$(printf %s "$good" | url64).$(printf x | url64)"; do
		[ "$(try "$t")" = 401 ] || { echo "believed: $t"; false; }
	done
	# what a header says of keys and algorithms is not asked: the signature is ours or it is not
	[ "$(try "$(signed '{"alg":"none","kid":"/dev/null","jwk":{}}' "$good")")" = 200 ]
	# more than the rules allow is not had by claiming it
	t=$(signed "$hs" "{\"aud\":\"proa-registry\",\"sub\":\"bob\",\"exp\":$((now + 60)),$access}")
	[ "$(try "$t")" = 401 ]
}

@test "wrong, unknown and malformed credentials are 401, whatever they are" {
	for h in "Basic" "Basic !!!" "Basic $(printf ann | base64)" "Basic $(printf 'ann:wrong' | base64)" \
		"Basic $(printf 'eve:secret' | base64)" "Basic $(printf ':' | base64)" "Basic $(printf 'ann:secret\0x' | base64)" \
		"Digest x" "Bearer" "$(printf 'Basic %s' "$(head -c 3000 /dev/zero | tr '\0' a | base64 -w0)")"; do
		req GET /v2/ -H "Authorization: $h"
		[ "$status_code" = 401 ] || { echo "$h gave $status_code"; false; }
	done
	req GET /v2/ -u ann:secret
	[ "$status_code" = 200 ]
}

@test "a flood of logins is turned away, and those who are known are served beside it" {
	req GET /v2/ -u ann:secret
	[ "$status_code" = 200 ]
	for i in $(seq 80); do
		curl -s -o /dev/null -w '%{http_code}\n' -u "eve:$i" "http://$REGISTRY/v2/" &
	done >"$ROOT/flood" 3>&-
	eventually test -s "$ROOT/flood"
	req GET /v2/ -u ann:secret
	[ "$status_code" = 200 ]
	wait
	[ "$(sort -u "$ROOT/flood" | tr '\n' ' ')" = "401 429 " ] || [ "$(sort -u "$ROOT/flood")" = 401 ]
}

@test "a password file is read again when it changes, and a broken one changes nothing" {
	cp "$ROOT/users" "$ROOT/users.old"
	printf 'new\n' | "$PROA_BUILD/proa-registry" htpasswd cleo >>"$ROOT/users"
	req GET /v2/ -u cleo:new
	[ "$status_code" = 200 ]
	echo 'dora:{SHA}notbcrypt' >>"$ROOT/users"
	req GET /v2/ -u cleo:new
	[ "$status_code" = 200 ]
	cp "$ROOT/users.old" "$ROOT/users"
	req GET /v2/ -u cleo:new
	[ "$status_code" = 401 ]
}

@test "the audit log has a line for each change: who, what, and how it ended" {
	req PUT /v2/team/x/manifests/audited -u bob:other -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' --data-binary "$(manifest_of "{}")"
	[ "$status_code" = 201 ]
	req DELETE /v2/team/x/manifests/audited -u bob:other
	[ "$status_code" = 403 ]
	req DELETE /v2/team/x/manifests/audited -u ann:secret
	[ "$status_code" = 202 ]
	# The line follows the answer.
	for _ in $(seq 600); do [ "$(grep -c /audited "$ROOT/audit")" = 3 ] && break || sleep 0.05; done
	tail -3 "$ROOT/audit" | jq -r '[.user, .method, .path, .status] | join(" ")' >"$ROOT/said"
	[ "$(sed -n 1p "$ROOT/said")" = "bob PUT /v2/team/x/manifests/audited 201" ]
	[ "$(sed -n 2p "$ROOT/said")" = "bob DELETE /v2/team/x/manifests/audited 403" ]
	[ "$(sed -n 3p "$ROOT/said")" = "ann DELETE /v2/team/x/manifests/audited 202" ]
	run ! grep -q secret: "$ROOT/audit"
	[ "$(stat -c %a "$ROOT/audit")" = 600 ]
}

@test "more requests a second than allowed are 429, and health is asked for freely" {
	ROOT=$ROOT/limit
	mkdir "$ROOT"
	echo '{"limits": {"requestsPerSecond": 1, "burst": 5}}' >"$ROOT/config.json"
	registry_start --config "$ROOT/config.json"
	codes=$(for _ in $(seq 12); do curl -s -o /dev/null -w '%{http_code} ' "http://$REGISTRY/v2/"; done)
	[[ "$codes" == "200 "*429* ]]
	req GET /v2/
	[ "$status_code" = 429 ]
	[ "$(header Retry-After)" = 1 ]
	[ "$(jq -r '.errors[0].code' "$ROOT/body")" = TOOMANYREQUESTS ]
	req GET /healthz
	[ "$status_code" = 200 ]
	registry_stop
}

@test "each wrong value of a configuration is named with its file, its key and the reason" {
	n=0
	while IFS='|' read -r text want; do
		n=$((n + 1))
		printf '%s' "$text" >"$ROOT/bad.json"
		run "$PROA_BUILD/proa-registry" serve --validate --config "$ROOT/bad.json"
		[ "$status" -eq 1 ] || { echo "taken: $text"; false; }
		[[ "$output" == "proa-registry: $ROOT/bad.json: $want"* ]] || { echo "$text said: $output"; false; }
	done <<-'E'
		{"gc"|invalid JSON:
		{"lisen":[]}|unknown member 'lisen'
		{"listen":[]}|listen: want a list of addresses
		{"listen":["x"]}|listen[0]: 'x': want host:port
		{"listen":["a:1","b:99999"]}|listen[1]: 'b:99999':
		{"listen":["::1:5"]}|listen[0]: '::1:5': want an IPv6 address in brackets
		{"listen":["unix://x"]}|listen[0]: 'unix://x': want unix:///path
		{"data":""}|data: want a string that is not empty
		{"gc":[]}|gc: want an object
		{"gc":{"grace":"1x"}}|gc.grace: 
		{"gc":{"grase":"1h"}}|gc: unknown member 'grase'
		{"limits":{"burst":-1}}|limits.burst: want a number
		{"limits":{"maxBlobSize":"10QB"}}|limits.maxBlobSize: 
		{"limits":{"requestsPerSecond":"x"}}|limits.requestsPerSecond: want a number
		{"retention":[{},{"keepLast":"x"}]}|retention[1].keepLast: want a number
		{"readOnly":1}|readOnly: want true or false
		{"tls":{"certificate":"/nope"}}|tls: 'certificate' and 'key' go together
		{"tls":{"certificate":"/nope","key":"/nope"}}|tls: cannot use TLS file '/nope'
		{"tls":{"clientCA":"/nope"}}|tls: 'clientCA' wants
		{"externalUrl":"ftp://x"}|externalUrl: 'ftp://x': want https://host
		{"mirrors":[{"prefix":"x"}]}|mirrors[0]: 'upstream' is missing
		{"mirrors":[{"upstream":"a/b"}]}|mirrors[0].upstream: 'a/b': want a registry's host
		{"mirrors":[{"upstream":"a","prefix":"UP"}]}|mirrors[0].prefix: 'UP' is no repository name
		{"mirrors":[{"upstream":"a","username":"u"}]}|mirrors[0]: 'username' and 'password' go together
		{"auth":{"htpasswd":"/nope"}}|auth.htpasswd: open '/nope': No such file
		{"auth":{"htpaswd":"x"}}|auth: unknown member 'htpaswd'
		{"auth":{"tokenSeconds":5}}|auth.tokenSeconds: want 60 to 86400
		{"auth":{"rules":[{"repositories":"x","users":["a"],"actions":["fly"]}]}}|auth.rules[0].actions: want 'pull', 'push', 'delete' or '*'
		{"auth":{"rules":[{"repositories":"x","users":"a","actions":["pull"]}]}}|auth.rules[0]: a rule has
	E
	[ "$n" = 29 ]
	# A hash that would take hours is refused before anybody logs in.
	# shellcheck disable=SC2016
	echo 'ann:$2y$31$abcdefghijklmnopqrstuuVb5EMtsrWeLvtqHSFsMcLdrYF1qYe0u' >"$ROOT/bomb"
	printf '{"auth":{"htpasswd":"%s"}}' "$ROOT/bomb" >"$ROOT/bad.json"
	run "$PROA_BUILD/proa-registry" serve --data "$ROOT/never" --listen 127.0.0.1:0 --config "$ROOT/bad.json"
	[ "$status" -eq 1 ]
	[[ "$output" == *"line 1: a cost of 31 is more than 14"* ]]
	[ ! -e "$ROOT/never" ]
}
