# tests/lib/registry-power-cut.bash: pushes that were acknowledged outlive power cuts, and nothing is half there. Run by
# registry-load.bats below `unshare -m --propagation private`: nobody else may hold the mount of the disk that is cut.
#
# $1 is the port to serve. The cut is EXT4_IOC_SHUTDOWN without a flush of the journal, in the middle of pushes;
# "go on" at $ROOT/power, then the next one, until "over".
set -eu
port=$1
on() {
	mount -o loop "$ROOT/disk" "$ROOT/data"
	"$PROA_BUILD/proa-registry" serve --data "$ROOT/data/registry" --listen "127.0.0.1:$port" >>"$ROOT/registry.log" 2>&1 3>&- 4>&- &
	pid=$!
}
off() {
	kill -9 "$pid"
	wait "$pid" 2>/dev/null || true
	umount "$ROOT/data"
}
mkdir -p "$ROOT/data"
on
trap 'kill -9 "$pid" 2>/dev/null; umount -l "$ROOT/data"' EXIT
while pushing="$(cat "$ROOT/pushers")" && [[ $pushing != *done* ]]; do
	sleep 0.8
	python3 -c "import fcntl, os, struct
fcntl.ioctl(os.open('$ROOT/data', os.O_RDONLY), 0x8004587d, struct.pack('I', 2))"
	off
	echo cut >>"$ROOT/cuts"
	on
done
for _ in $(seq 200); do curl -s -o /dev/null "http://127.0.0.1:$port/v2/" && break || sleep 0.05; done
echo ready >"$ROOT/ready"
read -r _ <"$ROOT/checked"
"$PROA_BUILD/proa-registry" scrub --data "$ROOT/data/registry" >"$ROOT/scrub"
kill "$pid"
wait "$pid"
umount "$ROOT/data"
trap - EXIT
