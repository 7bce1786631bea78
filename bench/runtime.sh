#!/bin/bash
# Compare `run` of true in a busybox bundle with all namespaces: the floor
# (bench/floor.c), proa-runtime, crun, runc; and exec into a running container.
# Prints n, the load, medians and ratios to the floor and to crun.
# Usage: bench/runtime.sh [BUILD/src/main] [N]      needs root, hyperfine, jq, gcc
set -eu
cd "$(dirname "$0")/.."
bin=$(cd "${1:-build/src/main}" && pwd)
n=${2:-100}
t=$(mktemp -d /tmp/proa-bench.XXXXXX)
s=$(mktemp -d /dev/shm/proa-bench.XXXXXX)
trap '"$t/proa-runtime" --root "$s/proa" delete -f bench-exec 2>/dev/null || true; rm -rf --one-file-system "$t" "$s"' EXIT
gcc -O2 -static -D_GNU_SOURCE -o "$t/floor" bench/floor.c
strip -o "$t/proa-runtime" "$bin/proa-runtime"
mkdir -p "$t"/b/rootfs/{bin,etc,tmp,proc,dev,sys}
cp "$(command -v busybox)" "$t/b/rootfs/bin/busybox"
for a in true sleep; do ln -s busybox "$t/b/rootfs/bin/$a"; done
echo 'root:x:0:0:root:/:/bin/sh' >"$t/b/rootfs/etc/passwd"
"$t/proa-runtime" spec --bundle "$t/b"
jq '.ociVersion="1.0.2" | .process.terminal=false | .process.args=["true"] | .linux.cgroupsPath="/proa-bench"
	| .linux.namespaces |= map(select(.type != "cgroup"))' "$t/b/config.json" >"$t/c" && mv "$t/c" "$t/b/config.json"
cat >"$t/measure" <<INNER
cd "$t/b"
# crun 1.8 refuses a machine whose controllers are split: take v2 away for all of them.
umount /sys/fs/cgroup/unified 2>/dev/null || true
set --
command -v crun >/dev/null && set -- "\$@" "crun --root $s/crun run bench"
command -v runc >/dev/null && set -- "\$@" "runc --root $s/runc run bench"
hyperfine -N -w 5 -r $n --export-json "$t/run.json" "$t/floor rootfs /bin/true" "$t/proa-runtime --root $s/proa run bench" "\$@" >/dev/null 2>&1
sed -i 's/"true"/"sleep","1000"/' config.json
"$t/proa-runtime" --root "$s/proa" run -d bench-exec </dev/null >/dev/null 2>&1
hyperfine -N -w 5 -r $n --export-json "$t/exec.json" "$t/proa-runtime --root $s/proa exec bench-exec true" >/dev/null 2>&1
"$t/proa-runtime" --root "$s/proa" delete -f bench-exec
sed -i 's/"sleep","1000"/"true"/' config.json
/usr/bin/time -f %M "$t/proa-runtime" --root "$s/proa" run bench 2>"$t/rss" || true
INNER
unshare -m --propagation private bash "$t/measure"
echo "n=$n load=$(cut -d' ' -f1-3 /proc/loadavg) peak RSS of proa-runtime: $(tail -1 "$t/rss") KiB"
jq -rn --slurpfile r "$t/run.json" --slurpfile e "$t/exec.json" '
	def ms: . * 100000 | round / 100;
	($r[0].results) as $a | ($a[0]) as $f
	| (["what", "wall median ms", "wall min", "CPU ms", "CPU/floor", "wall/floor"] | @tsv),
	  ($a[] | . as $x | [(.command | split("/") | last | split(" ")[0] | if . == "true" then "floor" elif . == "proa" then "proa-runtime" else . end),
	    (.median | ms), (.min | ms), ((.user + .system) | ms), (((.user + .system) / ($f.user + $f.system)) * 100 | round / 100),
	    ((.median / $f.median) * 100 | round / 100)] | @tsv),
	  ($e[0].results[0] | ["exec", (.median | ms), (.min | ms), ((.user + .system) | ms), "", ""] | @tsv)' | column -t -s "$(printf '\t')"
