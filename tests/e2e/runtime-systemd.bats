#!/usr/bin/env bats
# The systemd cgroup driver against a peer that speaks systemd's interface (tests/lib/fake_systemd.py).
# bats file_tags=root

bats_require_minimum_version 1.5.0

load ../lib/runtime.bash

setup() {
	runtime_setup
	command -v python3 >/dev/null || skip "needs python3"
	config '.linux.cgroupsPath="proatest.slice:pre:'"$CID"'"'
	UNIT="pre-$CID.scope"
	BUS_PID=
	# Not below $T: the check for leftovers looks for processes that name it.
	SD=$(mktemp -d /tmp/proa-sd.XXXXXX)
}
teardown() {
	[ -z "$BUS_PID" ] || { kill "$BUS_PID" 2>/dev/null && wait "$BUS_PID" 2>/dev/null; } || true
	runtime_teardown
	rm -rf "$SD"
	rmdir /sys/fs/cgroup/*/proatest.slice /sys/fs/cgroup/proatest.slice 2>/dev/null || true
}

bus_start() {
	python3 "$BATS_TEST_DIRNAME/../lib/fake_systemd.py" "$SD/bus" "$SD/calls" 3>&- >/dev/null 2>"$SD/bus.err" &
	BUS_PID=$!
	for _ in $(seq 300); do [ -S "$SD/bus" ] && return 0; sleep 0.1; done
	cat "$SD/bus.err" >&2
	return 1
}
# The runtime with /run/systemd of our own: the machine's systemd, if there is one, is not asked.
sd() {
	# shellcheck disable=SC2016 # the inner shell's
	timeout 30 unshare -m --propagation private sh -c '
		mkdir -p /run/systemd /run/dbus && mount -t tmpfs none /run/systemd && mount -t tmpfs none /run/dbus
		ln -s "$1/bus" /run/systemd/private
		shift
		exec "$@"' sh "$SD" "$RT" --root "$STATE" --systemd-cgroup "$@"
}
# call MEMBER JQ: of the last such call
call() { jq -c "select(.member == \"$1\") | .args | $2" "$SD/calls" | tail -1; }
prop() { call StartTransientUnit ".[2] | map({(.[0]): .[1]}) | add | .$1"; }

@test "systemd: a scope is made with slice, pids and limits, used, updated and stopped" {
	bus_start
	args sh -c 'cat /proc/self/cgroup; exec sleep 1000'
	config '.linux.namespaces |= map(select(.type != "cgroup"))
		| .linux.resources.memory={"limit": 67108864} | .linux.resources.pids={"limit": 77}
		| .linux.resources.cpu={"shares": 512, "quota": 50000, "period": 100000}
		| .annotations={"org.systemd.property.TimeoutStopUSec": "uint64 5000000", "org.systemd.property.CollectMode": "'"'"'inactive-or-failed'"'"'", "other": "x"}'
	sd run -d -b "$B" "$CID" </dev/null >"$T/out" 2>"$T/err" || { cat "$T/err" "$SD/calls"; false; }
	for _ in $(seq 300); do [ -s "$T/out" ] && break; sleep 0.1; done
	grep -q "name=systemd:/proatest.slice/$UNIT\$\|0::/proatest.slice/$UNIT\$" "$T/out"
	# Every hierarchy, also those that systemd does not manage.
	[ -z "$(grep -v "/proatest.slice/$UNIT\$" "$T/out")" ]
	[ "$(call StartTransientUnit '.[0]')" = "\"$UNIT\"" ]
	[ "$(prop Slice)" = '"proatest.slice"' ]
	[ "$(prop Delegate)" = true ]
	[ "$(prop TasksMax)" = 77 ]
	[ "$(prop CPUQuotaPerSecUSec)" = 500000 ]
	[ "$(prop MemoryLimit)" = 67108864 ] || [ "$(prop MemoryMax)" = 67108864 ]
	[ "$(prop TimeoutStopUSec)" = 5000000 ]
	[ "$(prop CollectMode)" = '"inactive-or-failed"' ]
	[ "$(prop DevicePolicy)" = '"strict"' ]
	prop DeviceAllow | jq -e 'index([["/dev/char/1:3", "rwm"]])' >/dev/null
	# The process that held the scope is gone: only the container's own is in it.
	dir=$(find /sys/fs/cgroup -maxdepth 3 -path "*/proatest.slice/$UNIT" | head -1)
	[ "$(wc -l <"$dir/cgroup.procs")" = 1 ]
	sd exec "$CID" true
	sd update --pids-limit 33 "$CID"
	[ "$(call SetUnitProperties '.[2]')" = '[["TasksMax",33]]' ]
	sd delete -f "$CID"
	[ "$(call StopUnit '.[0]')" = "\"$UNIT\"" ]
	run ! grep -q ERROR "$SD/calls"
	[ -z "$(find /sys/fs/cgroup -maxdepth 4 -name "$UNIT")" ]
	nothing_left
}

@test "systemd: without a bus, with a unit that exists, a job that fails, a peer that talks nonsense" {
	run sd run -b "$B" "$CID"
	[ "$status" = 1 ]
	[[ "$output" == *"systemd cannot be reached"*"cgroupfs"* ]]
	nothing_left
	bus_start
	for word in refused exists garbage; do
		config '.linux.cgroupsPath="proatest.slice:'"$word:$CID"'"'
		run sd run -b "$B" "$CID"
		[ "$status" = 1 ]
		case $word in
		refused) [[ "$output" == *"systemd could not start unit 'refused-$CID.scope': failed"* ]] ;;
		exists) [[ "$output" == *"systemd unit 'exists-$CID.scope' exists already"* ]] ;;
		garbage) [[ "$output" == *"the bus sent a message that does not parse"* ]] ;;
		esac
		nothing_left
	done
}

@test "systemd: the engine's native.cgroupdriver, its own parent, stats, and words for a wrong one" {
	bus_start
	R=$(mktemp -d /tmp/proa-sd-engine.XXXXXX)
	BR=pr$(printf %s "${R##*.}" | tr '[:upper:]' '[:lower:]')
	echo '{}' >"$R/engine.json"
	# shellcheck disable=SC2016 # the inner shell's
	unshare -m --propagation private sh -c '
		mkdir -p /run/systemd /run/dbus && mount -t tmpfs none /run/systemd && mount -t tmpfs none /run/dbus
		ln -s "$1/bus" /run/systemd/private
		shift
		exec "$@"' sh "$SD" "$(dirname "$RT")/proad" --data-root "$R/data" --exec-root "$R/run" --pidfile "$R/pid" \
		-H "unix://$R/s" --bridge-name "$BR" --config-file "$R/engine.json" \
		--exec-opt native.cgroupdriver=systemd >"$R/log" 2>&1 3>&- &
	pid=$!
	export DOCKER_HOST="unix://$R/s"
	proa() { timeout 20 "$(dirname "$RT")/proa" "$@"; }
	for _ in $(seq 300); do proa version >/dev/null 2>&1 && break; sleep 0.1; done
	ok=1
	{
		[ "$(proa info -f '{{.CgroupDriver}}')" = systemd ] &&
			tar -C "$B/rootfs" -c . | proa import - bb:1 >/dev/null &&
			[ "$(proa run --rm --network none --pids-limit 44 --cgroup-parent proatest.slice bb:1 sh -c 'echo hi')" = hi ] &&
			[ "$(call StartTransientUnit '.[0]' | sed 's/-[0-9a-f]*\./-ID./')" = '"docker-ID.scope"' ] &&
			[ "$(prop Slice)" = '"proatest.slice"' ] && [ "$(prop TasksMax)" = 44 ] &&
			id=$(proa run -d --network none bb:1 sleep 1000) &&
			[ "$(prop Slice)" = '"system.slice"' ] &&
			[ "$(proa stats --no-stream --format '{{.PIDs}}' "$id")" = 1 ] &&
			proa update --pids-limit 55 "$id" >/dev/null &&
			[ "$(call SetUnitProperties '.[2]')" = '[["TasksMax",55]]' ] &&
			proa exec "$id" true && proa rm -f "$id" >/dev/null &&
			run proa run --rm --cgroup-parent /x bb:1 true &&
			[[ "$output" == *'cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"'* ]]
	} || ok=0
	[ $ok = 1 ] || { tail -n 5 "$R/log"; tail -n 5 "$SD/calls"; } >&2
	kill "$pid" && wait "$pid" || true
	ip link del "$BR" 2>/dev/null || true
	rmdir /sys/fs/cgroup/*/system.slice 2>/dev/null || true
	rm -rf "$R"
	[ $ok = 1 ]
}

@test "systemd: names that are none are refused with the value" {
	for path in /a/b a:b x/../y.slice:p:n a.slice:p:../../etc; do
		config ".linux.cgroupsPath=\"$path\""
		run sd run -b "$B" "$CID"
		[ "$status" = 1 ]
		[[ "$output" == *"$path"* || "$output" == *"slice name"* || "$output" == *"name of a systemd unit"* ]]
		nothing_left
	done
	config '.linux.cgroupsPath="a.slice:p:n"'
	run rt run -b "$B" "$CID"
	[[ "$output" == *"is a systemd name, and systemd was not asked for"* ]]
}
