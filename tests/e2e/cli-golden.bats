#!/usr/bin/env bats
# The same words to the docker CLI and to proa called docker, both at one dockerd: every byte of
# stdout and stderr and the exit code must be equal. Needs docker CLI 28 and dockerd.

load ../lib/engine
load ../lib/peer

setup_file() {
	[ "$(id -u)" = 0 ] || return 0
	[ "$(docker --version 2>/dev/null | cut -d' ' -f3 | cut -d. -f1)" = 28 ] && command -v dockerd >/dev/null || return 0
	ROOT=$(mktemp -d /tmp/proa-golden-XXXXXX)
	export ROOT SOCK=$ROOT/d.sock DOCKER_HOST=unix://$ROOT/d.sock DOCKER_CONFIG=$ROOT/config DOCKER_BUILDKIT=0
	export BRIDGE=gd$(printf %s "${ROOT##*-}" | tr '[:upper:]' '[:lower:]')
	mkdir -p "$ROOT/config" "$ROOT/bin"
	ln -s "$(realpath "$PROA_BUILD/proa")" "$ROOT/bin/docker"
	ip link add "$BRIDGE" type bridge && ip addr add 172.31.78.1/24 dev "$BRIDGE" && ip link set "$BRIDGE" up
	dockerd --data-root "$ROOT/data" --exec-root "$ROOT/exec" -p "$ROOT/pid" -H "$DOCKER_HOST" --bridge "$BRIDGE" \
		--cgroup-parent "/${ROOT##*/}" --iptables=false --ip6tables=false >"$ROOT/log" 2>&1 3>&- &
	echo $! >"$ROOT/dockerd.pid"
	for _ in $(seq 600); do
		curl -sf --unix-socket "$SOCK" http://x/_ping >/dev/null && break
		sleep 0.05
	done
	busybox_image busybox:latest
	docker tag busybox localhost:5000/a/b:v1
	docker run -d --name c1 -l x=y -l com.example.z=1 -e A=1 -p "127.0.0.1:$((20000 + RANDOM % 10000)):80" -p 81 -v vol:/v busybox sleep 1000 >/dev/null
	docker network create n1 >/dev/null
	docker exec c1 sh -c 'mkdir -p /d/e; echo 1 >/d/f; echo 2 >/d/e/g; ln -s f /d/l; ln -s /d /dl; echo logged >/proc/1/fd/1'
	touch "$ROOT/ready"
}

teardown_file() {
	[ -n "${ROOT:-}" ] || return 0
	docker rm -f c1 >/dev/null 2>&1 || true
	docker network rm n1 >/dev/null 2>&1 || true
	local pid
	pid=$(cat "$ROOT/dockerd.pid")
	kill "$pid" 2>/dev/null || true
	for _ in $(seq 600); do
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.05
	done
	ip link del "$BRIDGE" || true
	umount -R "$ROOT"/data 2>/dev/null || true
	remove_peer_cgroups "${ROOT##*/}"
	rm -rf "$ROOT"
}

setup() { [ -f "${ROOT:-/none}/ready" ] || skip "needs root, docker CLI 28 and dockerd"; }

# What differs from run to run: ids, and how long ago.
settle() { sed -E 's/[0-9a-f]{64}/ID/g; s/[0-9a-f]{12}/SHORT/g; s/([0-9]+|Less than a) seconds?/N s/g; s/ +/ /g'; }

# The order of these lines is the engine's mood.
same_sorted() { ORDER=sort same "$@"; }

# same WORDS...: run both, compare.
same() {
	local a b ORDER=${ORDER:-cat}
	a=$(timeout 30 docker "$@" 2>"$ROOT/ea" </dev/null; echo "rc=$?")
	b=$(timeout 30 "$ROOT/bin/docker" "$@" 2>"$ROOT/eb" </dev/null; echo "rc=$?")
	if [ "$(settle <<<"$a" | $ORDER)" != "$(settle <<<"$b" | $ORDER)" ] || [ "$(settle <"$ROOT/ea")" != "$(settle <"$ROOT/eb")" ]; then
		echo "docker $*"
		diff <(settle <<<"$a") <(settle <<<"$b") || true
		diff <(settle <"$ROOT/ea") <(settle <"$ROOT/eb") || true
		return 1
	fi
}

@test "lists" {
	same ps
	same ps -a
	same ps -s
	same ps -a --no-trunc
	same ps --format json
	same ps --format raw
	same ps --format 'table {{.Names}}\t{{.Label "x"}}\t{{.Label "com.example.z"}}'
	same ps --format '{{.ID}} {{.Names}} {{.Ports}} {{.Mounts}} {{.LocalVolumes}} {{.Networks}} {{.Size}} {{.State}}'
	same ps --format '{{json .}}'
	same ps --filter name=nosuch
	same ps --filter label=x=y --filter status=running -q
	same_sorted images
	same_sorted images --digests --no-trunc
	same images busybox
	same_sorted images --format '{{.Repository}}:{{.Tag}} {{.ID}} {{.Size}} {{.CreatedAt}}'
	same_sorted images --format json
	same images -f dangling=true
	same network ls
	same network ls --format json
	same volume ls
	same volume ls --format '{{.Name}} {{.Driver}} {{.Mountpoint}}'
	same history busybox
	same system df
	same_sorted system df -v
	same info --format '{{.Containers}} {{.Driver}} {{.SecurityOptions}} {{.NCPU}}'
	same version --format '{{.Server.Version}}'
	same stats --no-stream --format '{{.Name}} {{.PIDs}}'
	same context ls
}

@test "inspect and templates" {
	same inspect c1
	same network inspect n1
	same volume inspect vol
	same inspect nosuch
	same inspect c1 nosuch
	same inspect --type volume nosuch
	same inspect --type foo c1
	same container inspect nosuch
	same image inspect busybox
	same network inspect bridge n1
	same volume inspect vol
	same inspect -s -f '{{.SizeRootFs}}' c1
	while IFS= read -r t; do same inspect -f "$t" c1; done <<'T'
{{.Nope}}
{{.State.Nope}}
{{.State.Status.Foo}}
{{.Config.Labels}}
{{.Config.Env}} {{.Config.Cmd}} {{.Config.Entrypoint}} {{.Config.Volumes}}
{{index .Config.Labels "zz"}}|{{index .Config.Labels "x"}}
{{index .Config.Labels "com.example.z"}}
{{.State.Health}}
{{.State.Health.Status}}
{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}
{{range .Foo}}
{{.State
{{foo .}}
{{index .Config.Env 99}}
{{json .Config}}
{{json .NetworkSettings.Ports}}
{{json .HostConfig.PortBindings}} {{json .HostConfig.RestartPolicy}}
{{json .Mounts}}
{{.State.Pid}} {{.HostConfig.Memory}} {{.RestartCount}}
{{len .Config.Env}} {{eq .State.Status "running"}} {{printf "%q %s %d %v" .Name .Name .State.Pid .State.Running}}
{{range $k, $v := .NetworkSettings.Networks}}{{$k}}={{$v.IPAddress}} {{end}}
{{range $p, $conf := .NetworkSettings.Ports}}{{$p}} -> {{(index $conf 0).HostPort}};{{end}}
{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}
{{(index (index .NetworkSettings.Ports "99/tcp") 0).HostPort}}
{{with index .NetworkSettings.Ports "80/tcp"}}{{(index . 0).HostIp}}{{end}}
{{.NetworkSettings.Ports}}
{{.HostConfig.LogConfig}} {{.HostConfig.RestartPolicy}} {{.HostConfig.PortBindings}}
{{range .Mounts}}{{if eq .Type "volume"}}{{.Name}} {{.Destination}}{{end}}{{end}}
{{println "a" 1 2 "b"}}
{{.Name | upper | json}}
{{join .Config.Env ","}}|{{split .Name "1"}}|{{title "foo bar"}}|{{pad "x" 2 3}}|{{truncate "abcdef" 3}}
{{slice .Id 0 12}} {{slice .Config.Cmd 0 1}}
{{and 1 0}} {{or 0 "x"}} {{not true}} {{lt 1 2}} {{len "abc"}}
{{$x := .Name}}{{$x}} {{$.Name}}
{{- .Name -}}   x
{{1.5}} {{true}} {{"a\tb"}} {{printf "%5d|%-5s|%05.1f|%x" 3 "a" 1.25 255}}
{{eq 1 1.0}}
{{index .Config.Env 0 1}}
{{if and .State.Running (gt .State.Pid 0)}}y{{end}}
{{.Config.Labels.x}} {{.Config.Labels.y}}
{{"x" "y"}}
{{end}}
{{if}}
{{range .Config.Cmd}}{{.}}{{break}}{{end}}
{{range $i, $e := .Config.Cmd}}{{if $i}}, {{end}}{{$e}}{{end}}
{{print 1 2 "a" "b" 3}} {{html "<"}} {{urlquery "a b"}}
{{if eq .State.Status "exited"}}a{{else if eq .State.Status "running"}}b{{else}}c{{end}}
{{.HostConfig.Binds}} {{.HostConfig.CapAdd}} {{.HostConfig.Privileged}} {{.HostConfig.NetworkMode}}
{{printf "%d" "x"}} {{printf "%s"}} {{printf "a" 1}}
T
	same ps --format '{{.Nope}}'
	same ps --format '{{.Label}}'
	same ps --format '{{.Names.x}}'
	same ps --format '{{range .}}'
}

@test "run, create, exec: output, errors, exit codes" {
	same run --rm busybox echo hi
	same run --rm busybox sh -c 'echo out; echo err >&2; exit 7'
	same run --rm busybox nosuch
	same run --rm -it busybox true
	same run --rm -h box -e A=b -w /tmp -u 1:2 busybox sh -c 'hostname; echo $A; pwd; id -u; id -g'
	same run --pull never nosuch
	same run UPPER
	same run -p foo x
	same run --expose 1-0 x
	same run --env-file /nosuch x
	same run --name c1 busybox
	same create --name c1 busybox
	same run -d --attach stdout x
	same exec c1 echo hi
	same exec c1 nosuch
	same exec nosuch ls
	same exec -w /tmp -e X=1 c1 sh -c 'pwd; echo $X'
	same logs c1
	same logs --tail 1 -t nosuch
	same start nosuch
	same attach nosuch
	same stop nosuch
	same kill nosuch
	same rm nosuch nosuch2
	same rm -f nosuch
	same rm c1
	same wait nosuch
	same rename c1 c1
	same port c1
	same port c1 81
	same port c1 99
	same top c1 -o pid,args
	same_sorted diff c1
	same update c1
	same pause nosuch
	same commit c1 X
}

@test "images, networks, volumes: errors" {
	same rmi nosuch
	same tag nosuch a
	same tag A b
	same history nosuch
	same save nosuch
	same push nosuch
	same load -i /nosuch
	same import /nosuch
	same volume rm nosuch
	same volume inspect nosuch
	same volume create -d nosuch x
	same network rm nosuch
	same network inspect nosuch
	same network connect nosuch c1
	same network create --subnet 10.99.0.0/24 --gateway 10.98.0.1 x
	same events --since 1h --until 0s --filter type=volume
	same events --since 1h --until 0s --filter type=volume --format json
	same context inspect nosuch
	same context rm default
	same logout nosuch
}

@test "words that are wrong" {
	same help nosuch
	same nosuch
	same --nope
	same ps --nope
	same ps -Z
	same ps a b
	same ps --no-trunc=maybe
	same run
	same run --memory x img
	same run --name
	same run -e
	same inspect
	same tag a
	same cp a
	same cp a b
	same port
	same stop -t x a
	same container nosuch
	same exec a
	same --log-level=foo ps
	same search --filter foo x
} 2>/dev/null

@test "the columns of help are docker's: flags, letters, types, usage, aliases" {
	export DOCKER_HOST=unix:///none # an old engine would hide new flags
	left() { "$@" --help 2>/dev/null | grep -E '^(Usage:|	|  -|      --|  docker )' | grep -vE -- '--(progress|health-on-failure|allow|annotation|build-context|cache-to|call|check|explain|load|metadata-file|no-cache-filter|on-fail|output|plan|profile|provenance|push|real-times|sbom|secret)( |$)' |
		sed -E 's/^((  -.,|     ) --[a-z0-9-]+( [A-Za-z0-9-]+)?)(   .*)?$/\1/'; }
	for c in run exec ps build pull push images login logout search version info attach commit cp create diff events export \
		history import inspect kill load logs pause port rename restart rm rmi save start stats stop tag top unpause update wait \
		"container prune" "image prune" "image ls" "network create" "network ls" "network connect" "volume create" "volume ls" \
		"volume rm" "system df" "system prune" "context create" "context ls"; do
		# shellcheck disable=SC2086 # words
		diff <(left docker $c) <(left "$ROOT/bin/docker" $c) || { echo "docker $c --help"; return 1; }
	done
}

@test "cp: what exists at the target decides" {
	try() {
		local out=$1
		shift
		rm -rf "$ROOT/w" && mkdir -p "$ROOT/w/ex" && cd "$ROOT/w" && echo x >file
		{ "$@" 2>&1 && echo ok || echo failed; find . -printf '%P %y %U %l\n' | sort; } >>"$out"
	}
	for a in "c1:/d new" "c1:/d ex" "c1:/d/. ex" "c1:/d/. new2" "c1:/d/f ex" "c1:/d/f file" "c1:/d/f new" "c1:/d file" \
		"c1:/d/f new/" "c1:/d/l ex" "c1:/dl ex" "-L c1:/dl ex" "-L c1:/d/l lnk" "c1:/nosuch ex" "c1:/d/f no/such" "-a c1:/d ex"; do
		# shellcheck disable=SC2086 # words
		try "$ROOT/cp-a" docker cp $a
		# shellcheck disable=SC2086 # words
		try "$ROOT/cp-b" "$ROOT/bin/docker" cp $a
	done
	diff "$ROOT/cp-a" "$ROOT/cp-b"
}

@test "a context sent as a tar builds the same image" {
	mkdir -p "$ROOT/ctx/sub" "$ROOT/ctx/ign"
	printf 'FROM busybox\nARG V=1\nCOPY . /app/\nRUN find /app | sort; echo $V\nLABEL x=y\n' >"$ROOT/ctx/Dockerfile"
	printf 'ign\n!ign/keep\n**/*.tmp\n' >"$ROOT/ctx/.dockerignore"
	(cd "$ROOT/ctx" && echo hi >f && ln -sf f l && ln -f f hard && echo 1 >sub/a && echo 2 >ign/b && echo 3 >ign/keep && touch sub/x.tmp)
	docker build --no-cache --build-arg V=5 -t a:1 "$ROOT/ctx" 2>/dev/null | grep -v '^Sending' | settle >"$ROOT/b1"
	"$ROOT/bin/docker" build --no-cache --build-arg V=5 -t a:1 "$ROOT/ctx" | settle >"$ROOT/b2"
	diff "$ROOT/b1" "$ROOT/b2"
	run "$ROOT/bin/docker" build - <<<'FROM busybox
RUN exit 7'
	[ "$status" = 7 ]
}
