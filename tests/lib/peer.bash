# What the bats files share that run a peer (dockerd, podman).

# remove_peer_cgroups NAME: a peer makes its cgroup parent in every hierarchy and leaves it, and
# where one is not mounted, plain folders with plain files on the tmpfs.
remove_peer_cgroups() {
	local d
	for d in /sys/fs/cgroup/"$1" /sys/fs/cgroup/*/"$1"; do
		[ -d "$d" ] || continue
		if [ "$(stat -f -c %T "$d")" = tmpfs ]; then
			rm -rf --one-file-system "$d"
		else
			find "$d" -depth -type d -exec rmdir {} +
		fi
	done
}
