# tests/lib/registry.bash: requests to the registry at $REGISTRY. `load ../lib/registry` after engine.

# req METHOD PATH [curl args]: $status_code, $headers (file), $body (file)
req() {
	local method=$1 path=$2
	shift 2
	[ "$method" != HEAD ] || set -- --head "$@"
	[[ $path == http* ]] || path="http://$REGISTRY$path"
	: >"$ROOT/body"
	status_code=$(curl -s -o "$ROOT/body" -D "$ROOT/headers" -w '%{http_code}' -X "$method" "$@" "$path")
}
header() { tr -d '\r' <"$ROOT/headers" | sed -n "s/^$1: //Ip"; }
sha() { printf %s "$1" | sha256sum | cut -d' ' -f1; }
push_blob() { # REPO TEXT
	req POST "/v2/$1/blobs/uploads/?digest=sha256:$(sha "$2")" --data-binary "$2"
	[ "$status_code" = 201 ]
}
manifest_of() { # CONFIG [EXTRA]
	printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:%s","size":%d},"layers":[]%s}' "$(sha "$1")" "${#1}" "${2:-}"
}
push_manifest() { # REPO REFERENCE TEXT
	req PUT "/v2/$1/manifests/$2" -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' --data-binary "$3"
}
