# eventually COMMAND...: it succeeds within 30 s. What a test waits for is a condition, never a time:
# a busy machine is slow in places that nobody has foreseen.
eventually() {
	local i
	for i in $(seq 300); do
		"$@" && return 0
		sleep 0.1
	done
	return 1
}

# gone PID: it runs no more. A child of somebody else may stay a zombie.
gone() { ! grep -qs '^State:.*[RSDT] (' "/proc/$1/status"; }
