#!/usr/bin/env bats
# What a build shows: progress, prices, shells, reasons; and that a shorter way gives the same image.

load ../lib/engine

setup_file() {
	engine_setup
	[ "$(id -u)" = 0 ] || return 0
	busybox_image bb:1
}
teardown_file() { engine_teardown; }
setup() {
	need_root
	CTX=$(mktemp -d "$ROOT/ctx-XXXXXX")
}

proa() { "$PROA_BUILD/proa" "$@"; }
dockerfile() { cat >"$CTX/Dockerfile"; }
# on_terminal COLUMNS ROWS COMMAND: what it writes to a terminal of that size; stdin is typed.
on_terminal() {
	script -qefc "stty cols $1 rows $2; $3" /dev/null
}

@test "a file that changes is copied, what did not is linked, and the image is that of a build without cache" {
	mkdir -p "$CTX/d/e" && for i in $(seq 50); do echo "$i" >"$CTX/d/f$i"; done
	for i in 1 2 3 4; do : >"$CTX/d/empty$i" && echo same >"$CTX/d/same$i"; done
	ln "$CTX/d/same1" "$CTX/d/same5" && ln -s f1 "$CTX/d/link" && ln "$CTX/d/f2" "$CTX/d/hard" && echo x >"$CTX/d/e/x"
	printf 'FROM bb:1\nRUN mkdir -p /app/d/e && echo low > /app/d/e/x && ln -s /app /way\nCOPY . /way/\n' | dockerfile
	same() { # by directory, by tar, and from nothing
		sleep 0.05
		one=$(proa build -q -t inc:1 "$CTX") && two=$(docker build -q -t inc:2 "$CTX" 2>/dev/null)
		three=$(proa build -q --no-cache "$CTX")
		[ -n "$one" ]
		[ "$one" = "$three" ]
		[ "$two" = "$three" ]
	}
	need_docker
	same
	echo changed >"$CTX/d/f7" && same
	[ "$(docker run --rm inc:1 cat /app/d/f7)" = changed ]
	# f8 of the new layer is the old layer's file.
	[ "$(find "$ROOT"/data/snapshots/*/fs/app/d/f8 -links +1 | wc -l)" -gt 1 ]
	rm "$CTX/d/f8" && same
	rm "$CTX/d/same5" && same
	rm "$CTX/d/hard" && mv "$CTX/d/f20" "$CTX/d/moved" && same
	rm "$CTX/d/empty2" && cp "$CTX/d/f3" "$CTX/d/f3-again" && same
	chmod 755 "$CTX/d/f9" && same
	cp "$CTX/d/f2" "$CTX/d/hard" && same
	ln -f "$CTX/d/f2" "$CTX/d/hard" && same
	rm -r "$CTX/d/e" && echo file >"$CTX/d/g" && same
	rm "$CTX/d/f10" && ln -s nowhere "$CTX/d/f10" && same
	run docker run --rm inc:2 readlink /app/d/f10
	[ "$output" = nowhere ]
}

@test "a step that mounts a context sent as a tar sees the client's times, whatever layers have" {
	need_docker
	mkdir "$CTX/d" && echo one >"$CTX/d/one" && echo two >"$CTX/d/two" && touch -d 2011-02-03T04:05:06Z "$CTX/d/"*
	printf 'FROM bb:1\nCOPY d /d\nRUN --mount=type=bind,source=d,target=/m stat -c "%%n %%Y" /m/one /m/two | tee /times\n' | dockerfile
	for i in 1 2 3; do
		docker build -q -t times:1 --build-arg I=$i "$CTX" 2>/dev/null
		[ "$(docker run --rm times:1 cat /times)" = "/m/one 1296705906"$'\n'"/m/two $([ $i = 1 ] && echo 1296705906 || echo 1328241906)" ]
		# What is no longer the same has the step run again.
		echo "two $i" >"$CTX/d/two" && touch -d 2012-02-03T04:05:06Z "$CTX/d/two"
	done
	[ "$(docker run --rm times:1 stat -c %Y /d/one)" != 1296705906 ]
}

@test "plain progress: numbers, names, CACHED, DONE and lines with their time" {
	printf 'FROM bb:1\nRUN echo said; echo more >&2\n' | dockerfile
	run proa build --no-cache --progress plain "$CTX"
	[ "$status" = 0 ]
	[[ "$output" == *"#2 [2/2] RUN echo said; echo more >&2"* ]]
	[[ "$output" =~ \#2\ [0-9]+\.[0-9]{3}\ said ]]
	[[ "$output" =~ \#2\ DONE\ [0-9]+\.[0-9]s ]]
	run proa build --progress plain "$CTX"
	[[ "$output" == *"#2 CACHED"* ]]
	run proa build --progress quiet "$CTX"
	[[ "$output" != *"#2"* ]]
	[ "$(proa build -q "$CTX" | wc -l)" = 1 ]
	proa build --progress rawjson "$CTX" | jq -es '[.[].proa.vertex // empty | select(.completed)] | length == 2'
}

@test "on a terminal the steps are drawn, with colours unless NO_COLOR says no" {
	printf 'FROM bb:1\nRUN for i in 1 2 3; do echo "line $i"; sleep 0.2; done\n' | dockerfile
	run on_terminal 60 10 "$PROA_BUILD/proa build --no-cache -t drawn:1 $CTX"
	[ "$status" = 0 ]
	[[ "$output" == *"[+] Building "*"(1/2)"* ]]
	[[ "$output" == *" => => # line 2"* ]]
	[[ "$output" == *"(2/2) FINISHED"* ]]
	[[ "$output" == *$'\033[34m => [2/2] RUN'* ]]
	[[ "$output" == *"Successfully tagged drawn:1"* ]]
	# No line of a picture is wider than the terminal.
	wide=$(printf %s "$output" | sed 's/\x1b\[[0-9;]*[A-Za-z]//g; s/\r//g' | grep '=>' | awk 'length > 60' | wc -l)
	[ "$wide" = 0 ]
	NO_COLOR=1 run on_terminal 60 10 "$PROA_BUILD/proa build --no-cache $CTX"
	[[ "$output" != *$'\033[34m'* ]]
	[[ "$output" == *"FINISHED"* ]]
}

@test "a terminal of few lines shows what runs; one that becomes narrow is drawn over" {
	{
		for s in a b c d e f; do printf 'FROM bb:1 AS %s\nRUN sleep 0.6; echo %s > /%s\n' $s $s $s; done
		echo 'FROM bb:1'
		for s in a b c d e f; do echo "COPY --from=$s /$s /"; done
	} | dockerfile
	run on_terminal 40 5 "(sleep 0.3; stty cols 36) </dev/tty & $PROA_BUILD/proa build --no-cache $CTX"
	[ "$status" = 0 ]
	[[ "$output" == *"FINISHED"* ]]
	# Before the end no picture is higher than the terminal.
	up=$(printf %s "$output" | grep -ao $'\033\[[0-9]*A' | tr -dc '0-9\n' | sort -n | tail -1)
	[ "$up" -le 10 ]
}

@test "a failure shows the instruction's lines, what was said last, and where" {
	printf 'FROM bb:1\nRUN echo seen && \\\n  exit 7\n' | dockerfile
	run proa build --progress plain "$CTX"
	[ "$status" = 7 ]
	[[ "$output" == *"   2 | >>> RUN echo seen && \\"* ]]
	[[ "$output" == *"   3 | >>> exit 7"* ]]
	[[ "$output" == *"Dockerfile:2: The command '/bin/sh -c echo seen && "*" returned a non-zero code: 7"* ]]
	run on_terminal 80 24 "$PROA_BUILD/proa build $CTX"
	[[ "$output" == *"> [2/2] RUN echo seen"*seen* ]]
}

@test "--profile says what each step has used, as a table and as JSON" {
	printf 'FROM bb:1\nRUN i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; head -c 3000000 /dev/zero > /f\n' | dockerfile
	run proa build --no-cache --profile table --progress plain "$CTX"
	[ "$status" = 0 ]
	[[ "$output" == *"WALL     CPU      MEMORY   READ     WRITTEN  LAYER    STEP"* ]]
	[[ "$output" == *"3MB      [2/2] RUN i=0;"* ]]
	proa build --no-cache --profile json --progress quiet "$CTX" |
		jq -es '.[] | select(.Step == 2) | .CPUNs > 20000000 and .LayerBytes == 3000000 and .WallNs > 0 and
			(.MemoryPeakBytes == null or .MemoryPeakBytes > 100000)'
	run proa build --profile pie "$CTX"
	[ "$status" = 1 ]
	[[ "$output" == *'must be table or json'* ]]
}

@test "--on-fail=shell: the failed step's files, directory, environment and mounts, on a terminal" {
	printf 'FROM bb:1\nWORKDIR /work\nENV WORD=told\nRUN --mount=type=tmpfs,target=/t echo here > left; exit 3\n' | dockerfile
	run proa build --on-fail=shell "$CTX" </dev/null
	[ "$status" = 1 ]
	[[ "$output" == *"--on-fail=shell needs a terminal"* ]]
	run proa build --on-fail=tea "$CTX"
	[ "$status" = 1 ]
	[[ "$output" == *"must be shell"* ]]
	: >"$ROOT/said"
	run on_terminal 91 33 "(until grep -qa 'This is /bin/sh' $ROOT/said; do sleep 0.1; done; printf 'echo got \$(cat left) \$WORD \$PWD \$(stty size); mount | grep -c \" /t \"; touch /gone; exit 5\n') | \
		script -qefc '$PROA_BUILD/proa build --on-fail=shell $CTX' $ROOT/said" </dev/null
	[[ "$output" == *"The step has failed. This is /bin/sh in its file system"* ]]
	[[ "$output" == *"got here told /work"* ]]
	[[ "$output" == *"returned a non-zero code: 3"* ]]
	[ -z "$(ls "$ROOT/run/tasks" 2>/dev/null)" ]
	# The build goes as any that failed: nothing of it is kept, the next one runs the step again.
	run proa build --progress plain "$CTX"
	[ "$status" = 3 ]
	[ -z "$(find "$ROOT"/data/snapshots/*/fs -maxdepth 1 -name gone)" ]
}

@test "image blame: who added, changed and deleted a file, through links, whiteouts and new directories" {
	dockerfile <<-D
		FROM bb:1
		RUN mkdir -p /usr/lib/x && echo 1 > /usr/lib/x/f && ln -s /usr/lib /way
		ENV A=b
		COPY Dockerfile /usr/lib/x/g
		RUN chmod 600 /usr/lib/x/f
		RUN rm -r /usr/lib/x && mkdir /usr/lib/x && echo 2 > /usr/lib/x/f
		RUN rm /usr/lib/x/f
	D
	proa build -q -t blame:1 "$CTX"
	said() { proa image blame --format '{{.State}} {{.Number}}' blame:1 "$1" | tr '\n' ,; }
	[ "$(said /way/x/f)" = "deleted 6,changed 5,changed 4,added 2," ]
	[ "$(said /usr/lib/x/g)" = "deleted 5,added 3," ]
	[ "$(said usr/lib/x)" = "below 6,changed 5,below 4,below 3,added 2," ]
	[ "$(said /way)" = "added 2," ]
	[ "$(said /etc/passwd)" = "added 1," ]
	run proa image blame blame:1 /usr/lib/x/f
	[[ "${lines[0]}" == "STATE "*"CREATED BY" ]]
	[[ "${lines[2]}" == changed*0644*0:0*2B*"RUN /bin/sh -c rm -r /usr/lib/x"* ]]
	run proa image blame blame:1 /nope
	[ "$status" = 1 ]
	[[ "$output" == *"no layer of blame:1 has /nope"* ]]
	run proa image blame nope:1 /x
	[[ "$output" == *"No such image: nope:1"* ]]
}

@test "--explain names the file, the argument, the variable, the line and the step before" {
	mkdir -p "$CTX/src" && echo 1 >"$CTX/src/a" && echo 2 >"$CTX/src/b"
	of() { # ARG-DEFAULT ENV COMMAND
		printf 'FROM bb:1\nARG V=%s\nENV E=%s\nCOPY src /app/\nRUN %s $V > /v\nRUN cat /v\n' "$1" "$2" "$3" | dockerfile
	}
	why() { proa build --explain --progress plain "$@" "$CTX" 2>&1 | grep because; }
	of 1 x echo
	run why
	[[ "$output" == *"#2 because line 4 is new or was edited"* ]]
	run why
	[ -z "$output" ]
	sleep 0.05; echo 3 >"$CTX/src/a"; echo n >"$CTX/src/n"; rm "$CTX/src/b"; sleep 0.05
	run why
	[[ "${lines[0]}" == "#2 because /app/a changed, /app/b is gone, /app/n is new" ]]
	[[ "${lines[1]}" == "#3 because [2/4] COPY src /app/ gave another result" ]]
	run why --build-arg V=7
	[[ "${lines[0]}" == "#3 because the argument or variable V changed" ]]
	of 2 x echo
	run why
	[[ "${lines[0]}" == "#3 because the argument or variable V changed" ]]
	of 2 y echo
	run why
	[[ "${lines[0]}" == "#3 because the argument or variable E changed" ]]
	of 2 y 'echo edited'
	run why
	[[ "${lines[0]}" == "#3 because line 5 is new or was edited"* ]]
	run why --no-cache
	[[ "${lines[0]}" == "#2 because the cache was not asked (no-cache)" ]]
}

@test "--plan predicts what then happens, whatever was edited" {
	mkdir -p "$CTX/a/b" "$CTX/c" && echo 1 >"$CTX/a/f" && echo 1 >"$CTX/a/b/g" && echo 1 >"$CTX/c/h"
	RANDOM=4711
	# Results of RUN differ each time: a step whose parent ran is never a hit.
	of() {
		printf '%s\n' 'FROM bb:1 AS one' 'ARG X=1' 'COPY a/b /b/' 'RUN echo $X; cat /proc/sys/kernel/random/uuid > /u' \
			'FROM bb:1' "ENV E=$1" 'WORKDIR /w' 'COPY a/f ./' "RUN cat /proc/sys/kernel/random/uuid > /u # $2" \
			'COPY --chmod=644 c /c/' 'COPY --from=one /u /one' 'RUN ls /c' | dockerfile
	}
	cached() { jq -s '[.[].proa.vertex // empty | select(.completed and (.name | contains("FROM ") | not)) | {id, cached}] | sort_by(.id) | map(.cached)' -c; }
	env=1 line=1 arg=1
	for i in $(seq 25); do
		case $((RANDOM % 9)) in
		0) echo "$i" >"$CTX/a/f" ;;
		1) echo "$i" >"$CTX/a/b/g" ;;
		2) echo "$i" >"$CTX/c/new$i" ;;
		3) rm -f "$CTX"/c/new* ;;
		4) env=$i ;;
		5) line=$i ;;
		6) arg=$i ;;
		7) touch -d 2001-01-01 "$CTX/a/f" "$CTX/c/h" ;;
		8) chmod $((RANDOM % 2 ? 600 : 755)) "$CTX/c/h" "$CTX/a/f" ;;
		esac
		of "$env" "$line"
		plan=$(proa build --plan --progress rawjson --build-arg X="$arg" "$CTX" | cached)
		real=$(proa build --progress rawjson --build-arg X="$arg" "$CTX" | cached)
		[ -n "$plan" ] && [ "$plan" = "$real" ] || { echo "edit $i: $plan, but $real"; return 1; }
	done
}

@test "mistakes are told with file, line, the line itself and a hint" {
	mkdir -p "$CTX/dir" && echo a >"$CTX/file" && echo s >"$CTX/secret.txt" && printf '# note\nsecret*\n' >"$CTX/.dockerignore"
	told() { # DOCKERFILE, then what must be in the answer
		printf "$1" | dockerfile
		output=$(proa build --progress plain "$CTX" 2>&1) && return 1
		for want in "${@:2}"; do [[ "$output" == *"$want"* ]] || { echo "no '$want' in: $output"; return 1; }; done
	}
	told 'FROM bb:1\nCPOY a b\n' '   2 | >>> CPOY a b' 'on line 2: unknown instruction: CPOY (did you mean COPY?)'
	told 'FROM bb:1\nCOPY secret.txt /\n' '   2 | >>> COPY secret.txt /' \
		'Dockerfile:2: COPY secret.txt /: "/secret.txt": not found (excluded by .dockerignore line 2: secret*)'
	told 'FROM bb:1\nCOPY ../x /\n' '"/x": not found (nothing outside of the context can be copied)'
	told 'FROM bb:1\nCOPY fiel /\n' '"/fiel": not found (did you mean file?)'
	told 'FROM bb:1\nCOPY FILE /\n' '"/FILE": not found (did you mean file?)'
	told 'FROM bb:1 AS build\nFROM bb:1\nCOPY --from=biuld /a /\n' 'Dockerfile:3: ' 'biuld' '(did you mean build?)'
	told 'FROM bb:1\nRUN nosuchcommand\n' 'Dockerfile:2: ' 'non-zero code: 127 (127: a command was not found in the image)'
	told 'FROM bb:1\nRUN --mount=type=secret,id=tok,required=true true\n' 'secret tok: not found (--secret id=tok,src=FILE gives it)'
	told 'FROM bb:1\nCOPY file dir /x\n' 'cannot copy to non-directory: /x (of several sources the destination must end with /)'
	told 'FROM bb:1\nRUN <<X\necho\n' '   2 | >>> RUN <<X' 'unterminated heredoc'
	told 'FROM bb:1\nRUN --mount=type=cahce,target=/x true\n' '(did you mean cache?)'
	told 'FROM bb:1\nRUN --mount=type=cache,target=/x,mode=075512 true\n' 'invalid value 075512 for mode'
}
