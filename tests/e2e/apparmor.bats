#!/usr/bin/env bats
# AppArmor: who is confined by docker-default and what that denies. Skipped where the kernel has it
# off: tools/run-in-vm 'bats tests/e2e/apparmor.bats'. The profile is the machine's: when it was
# loaded before, it stays, and what needs it unloaded is skipped.

bats_require_minimum_version 1.5.0
load ../lib/engine

SECURITY=/sys/kernel/security/apparmor
is_on() { [ "$(id -u)" = 0 ] && grep -q Y /sys/module/apparmor/parameters/enabled 2>/dev/null && [ -r $SECURITY/profiles ] && [ -z "${container:-}" ]; }
parser() { command -v apparmor_parser || PATH=/sbin:/usr/sbin command -v apparmor_parser; }
is_loaded() { grep -q '^docker-default (enforce)$' $SECURITY/profiles; }
unload() { printf docker-default >$SECURITY/.remove; }

setup_file() {
	is_on && parser >/dev/null || return 0
	# The engine sees the parser of $WRAP, where there is one.
	WRAP=$(mktemp -d /tmp/proa-wrap-XXXXXX)
	ln -s "$(realpath "$PROA_BUILD")"/* "$WRAP/"
	rm -f "$WRAP/proad"
	cat >"$WRAP/proad" <<-P
		#!/bin/sh
		[ -e "$WRAP/parser" ] || exec "$(realpath "$PROA_BUILD")/proad" "\$@"
		exec unshare -m --propagation private sh -c '
			mount --bind "$WRAP/parser" "$(realpath "$(parser)")"
			exec "\$@"' sh "$(realpath "$PROA_BUILD")/proad" "\$@"
	P
	chmod +x "$WRAP/proad"
	if ! is_loaded; then OURS=1; fi
	export OURS WRAP REAL=$PROA_BUILD PROA_BUILD=$WRAP
	engine_setup --bridge none
	busybox_image bb:1
}
teardown_file() {
	[ -n "${WRAP:-}" ] || return 0
	engine_teardown
	rm -rf "$WRAP"
	if [ -n "${OURS:-}" ] && is_loaded; then unload; fi
}
setup() {
	need_root
	is_on || skip "AppArmor is off here"
	parser >/dev/null || skip "apparmor_parser is not installed"
}
teardown() { [ -z "${WRAP:-}" ] || p ps -aq | xargs -r timeout 120 "$REAL/proa" -H "$DOCKER_HOST" rm -f >/dev/null 2>&1 || true; }

p() { timeout 120 "$REAL/proa" -H "$DOCKER_HOST" "$@"; }
run1() { p run --rm --network none "$@"; }
who() { p inspect -f '{{.AppArmorProfile}}' "$1"; }
again() {
	engine_stop
	engine_start --bridge none
}

@test "the engine loads docker-default and says so; a container is confined by it, unless it asks not to be" {
	is_loaded
	[ "$(p info --format '{{index .SecurityOptions 0}} {{index .SecurityOptions 1}}')" = "name=apparmor name=seccomp,profile=builtin" ]
	me='cat /proc/self/attr/current'
	# shellcheck disable=SC2086 # words
	{
		[ "$(run1 bb:1 $me)" = "docker-default (enforce)" ]
		[ "$(run1 --init --user 1:1 --security-opt no-new-privileges bb:1 $me)" = "docker-default (enforce)" ]
		[ "$(run1 --privileged bb:1 $me)" = unconfined ]
		[ "$(run1 --security-opt apparmor=unconfined bb:1 $me)" = unconfined ]
		[ "$(run1 --privileged --security-opt apparmor=docker-default bb:1 $me)" = "docker-default (enforce)" ]
	}
	run run1 --security-opt apparmor=nosuch bb:1 true
	[ "$status" = 125 ]
	[[ "$output" == *"OCI runtime create failed: "*"no profile 'nosuch' is loaded"* ]]
}

@test "inspect and exec say what is in force, over restarts of the engine" {
	p create --name c0 --network none bb:1 sleep 1000
	[ "$(who c0)" = "" ]
	p start c0
	p run -d --name c1 --network none --privileged bb:1 sleep 1000
	p run -d --name c2 --network none --security-opt apparmor=unconfined bb:1 sleep 1000
	for _ in 1 2; do
		[ "$(who c0) $(who c1) $(who c2)" = "docker-default unconfined unconfined" ]
		[ "$(p exec c0 cat /proc/1/attr/current /proc/self/attr/current)" = $'docker-default (enforce)\ndocker-default (enforce)' ]
		# As with Docker, which leaves the container's walls where they are.
		[ "$(p exec --privileged c0 cat /proc/self/attr/current)" = "docker-default (enforce)" ]
		[ "$(p exec c1 cat /proc/self/attr/current)" = unconfined ]
		[ "$(p exec c2 cat /proc/self/attr/current)" = unconfined ]
		again
	done
	p exec c0 ps | grep -q 'sleep 1000'
	p top c0 | grep -q 'sleep 1000'
	[ "$(run1 --pid container:c0 bb:1 cat /proc/1/attr/current)" = "docker-default (enforce)" ]
	# Among themselves, and from the engine.
	# shellcheck disable=SC2016 # the inner shell's
	p exec c0 sh -c 'sleep 77 & kill $!; wait $!; [ $? = 143 ]'
	p run -d --name c3 --network none bb:1 sh -c 'trap "exit 9" TERM USR1; while :; do sleep 0.1; done'
	p kill -s USR1 c3
	[ "$(p wait c3)" = 9 ]
	p start c3
	p stop -t 20 c3
	[ "$(p inspect -f '{{.State.ExitCode}}' c3)" = 9 ]
	p restart -t 0 c0
	p pause c0
	p unpause c0
	p rm -f c0
	p start c3
	p kill c3
}

@test "what docker-default denies, and what it leaves" {
	more=(--cap-add SYS_ADMIN --security-opt seccomp=unconfined --security-opt systempaths=unconfined)
	inside() { run1 "${more[@]}" "$@"; }
	run inside bb:1 mount -t tmpfs x /tmp
	[ "$status" != 0 ]
	[[ "$output" == *"Permission denied"* ]]
	run inside bb:1 mount -o remount,rw /proc
	[ "$status" != 0 ]
	inside --security-opt apparmor=unconfined bb:1 mount -t tmpfs x /tmp
	for f in /proc/sysrq-trigger /proc/sys/kernel/hostname /proc/sys/vm/drop_caches /proc/sys/net/ipv4/ip_forward \
		/proc/irq/default_smp_affinity /sys/kernel/mm/transparent_hugepage/enabled /sys/fs/pstore/x; do
		run inside -v /sys:/sys bb:1 sh -c "[ ! -e $f ] || : >>$f"
		[ "$f ${lines[0]##*: }" = "$f Permission denied" ] || [ ! -e "$f" ]
	done
	for f in /proc/kcore /sys/kernel/security/apparmor/profiles; do
		run inside -v /sys:/sys bb:1 head -c 1 $f
		[ "$f ${output##*: }" = "$f Permission denied" ]
	done
	# Its own processes, shared memory, and the files of the image.
	inside --ipc private bb:1 sh -c 'echo 5 >/proc/self/oom_score_adj && echo 5 >/proc/$$/oom_score_adj && : >>/proc/sys/kernel/shmmax && echo x >/tmp/x && umount /dev/mqueue'
}

@test "sockets that a filter cannot keep from 32-bit programs are denied" {
	cat >"$ROOT/s.c" <<-'C'
		#include <stdio.h>
		#include <sys/socket.h>
		int main(void) { printf("%d %d %d\n", socket(38, 5, 0) >= 0, socket(40, 1, 0) >= 0, socket(1, 1, 0) >= 0); return 0; }
	C
	cc -static -o "$ROOT/s" "$ROOT/s.c" || skip "no C compiler"
	[ "$(run1 --security-opt seccomp=unconfined -v "$ROOT/s:/s:ro" bb:1 /s)" = "0 0 1" ]
}

@test "a RUN step is confined, too" {
	mkdir -p "$ROOT/ctx"
	printf 'FROM bb:1\nRUN cat /proc/self/attr/current >/who\n' >"$ROOT/ctx/Dockerfile"
	p build -q --network none -t who:1 "$ROOT/ctx"
	[ "$(run1 who:1 cat /who)" = "docker-default (enforce)" ]
}

@test "a container in a user namespace is confined" {
	unshare -U true 2>/dev/null || skip "user namespaces are refused here"
	grep -q '^containers:' /etc/subuid || skip "no range is set aside"
	[ "$(run1 --userns=auto bb:1 cat /proc/self/attr/current)" = "docker-default (enforce)" ]
}

@test "a profile that something has unloaded is loaded again by the next start" {
	[ -n "${OURS:-}" ] || skip "the profile is somebody else's"
	unload
	[ "$(run1 bb:1 cat /proc/self/attr/current)" = "docker-default (enforce)" ]
	is_loaded
}

@test "a parser that fails keeps containers from starting, but those that want no profile" {
	[ -n "${OURS:-}" ] || skip "the profile is somebody else's"
	printf '#!/bin/sh\necho "syntax error, says the test" >&2; exit 3\n' >"$WRAP/parser"
	chmod +x "$WRAP/parser"
	unload
	again
	grep -q 'no container starts but with --security-opt apparmor=unconfined.*syntax error, says the test' "$ROOT/proad.log"
	run run1 bb:1 true
	[ "$status" = 125 ]
	[[ "$output" == *"AppArmor enabled on system but the docker-default profile could not be loaded: "*"syntax error, says the test"*"--security-opt apparmor=unconfined"* ]]
	run1 --security-opt apparmor=unconfined bb:1 true
	run1 --privileged bb:1 true
	run p build -q --no-cache --network none "$ROOT/ctx"
	[ "$status" = 1 ]
	[[ "$output" == *"profile could not be loaded"* ]]
	rm "$WRAP/parser"
	again
	is_loaded
}

@test "without a parser containers run unconfined, and everybody says so" {
	[ -n "${OURS:-}" ] || skip "the profile is somebody else's"
	: >"$WRAP/parser" # nothing that could be executed
	unload
	again
	grep -q 'containers are not confined by it: there is no apparmor_parser' "$ROOT/proad.log"
	p info --format '{{json .SecurityOptions}} {{json .Warnings}}' | tee "$ROOT/info"
	grep -q 'AppArmor is on.*apt install apparmor' "$ROOT/info"
	run grep -q name=apparmor "$ROOT/info"
	[ "$status" = 1 ]
	p run -d --name free --network none bb:1 sleep 1000
	[ "$(p exec free cat /proc/1/attr/current)" = unconfined ]
	[ "$(who free)" = "" ]
	rm "$WRAP/parser"
	again
	# It stays as it was started, and so does what is executed in it.
	[ "$(p exec free cat /proc/self/attr/current)" = unconfined ]
	p restart -t 0 free
	[ "$(p exec free cat /proc/self/attr/current)" = "docker-default (enforce)" ]
}
