# tests/lib/power-cut.bash: what was acknowledged outlives a power cut. Run by image-power.bats below
# `unshare -m --propagation private`: nobody else may hold the mount of the disk that is cut.
#
# The cut is EXT4_IOC_SHUTDOWN without a flush of the journal, right after the answer.
set -eu
SHUTDOWN=0x8004587d
NO_LOG_FLUSH=2

on() {
	mount -o loop "$ROOT/disk" "$ROOT/data"
	engine_start --bridge none
}
cut() {
	python3 -c "import fcntl, os, struct
fcntl.ioctl(os.open('$ROOT/data', os.O_RDONLY), $SHUTDOWN, struct.pack('I', $NO_LOG_FLUSH))"
	restart
}
# Load an archive, and cut at once: the flush of the layer's files goes on behind the answer.
load_and_cut() {
	python3 - "$1" <<-E
		import fcntl, http.client, os, socket, struct, sys
		disk = os.open('$ROOT/data', os.O_RDONLY)
		c = http.client.HTTPConnection('x')
		c.sock = socket.socket(socket.AF_UNIX)
		c.sock.connect('$SOCK')
		c.request('POST', '/images/load?quiet=1', open(sys.argv[1], 'rb').read())
		answer = c.getresponse()
		answer.read()
		fcntl.ioctl(disk, $SHUTDOWN, struct.pack('I', $NO_LOG_FLUSH))
		sys.exit(answer.status != 200)
	E
	restart
}
restart() {
	kill -9 "$(cat "$ROOT/test.pid")"
	wait "$(cat "$ROOT/test.pid")" 2>/dev/null || true
	rm -f "$SOCK"
	umount "$ROOT/data"
	cat /proc/sys/kernel/random/uuid >"$ROOT/boot"
	on
	[ "$(curl -s --unix-socket "$SOCK" -X POST http://x/store/check | jq -c .Problems)" = "[]" ]
}
# holds IMAGE: its files are whole.
holds() {
	docker create --name probe --network none "$1" x >/dev/null
	docker export probe | tar -xO in/noise | cmp - "$ROOT/in/noise"
	docker rm probe >/dev/null
}

truncate -s 200M "$ROOT/disk"
mkfs.ext4 -q "$ROOT/disk"
mkdir -p "$ROOT/data"
# Another boot after each cut.
cp /proc/sys/kernel/random/boot_id "$ROOT/boot"
mount --bind "$ROOT/boot" /proc/sys/kernel/random/boot_id
on
# Stopped, not killed: the firewall table goes with it.
trap 'engine_stop; umount -l "$ROOT/data"' EXIT
for what in "import $ROOT/in.tar a:1" "tag a:1 $REGISTRY/a:1" "push -q $REGISTRY/a:1" "rmi -f a:1 $REGISTRY/a:1" \
	"pull -q $REGISTRY/a:1" "save -o $ROOT/a.tar $REGISTRY/a:1" "rmi $REGISTRY/a:1" "load -q -i $ROOT/a.tar"; do
	echo "$what"
	# shellcheck disable=SC2086 # words
	docker $what
	cut
	case $what in
	rmi*) [ -z "$(docker images -q)" ] ;;
	*) holds "$(docker images --format '{{.Repository}}:{{.Tag}}' | tail -1)" ;;
	esac
	case $what in
	tag*) docker image inspect a:1 "$REGISTRY/a:1" >/dev/null ;;
	esac
done
image=$(docker images -q)
for _ in 1 2 3; do
	docker rmi -f "$image" >/dev/null
	load_and_cut "$ROOT/a.tar"
	holds "$image"
done
