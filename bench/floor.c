/*
 * bench/floor.c: what the kernel itself costs for one container: clone into all
 * namespaces, the mounts and devices of a default config, a cgroup in each
 * hierarchy, pivot_root, execve, wait, and all of it removed again. No parsing,
 * no state, no checks: the limit that proa-runtime is measured against.
 *
 * Usage: floor ROOTFS PROGRAM; cgroups are named floor-PID.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

static char groups[32][300];
static int entry[32], n_groups;

static void die(const char *what)
{
	perror(what);
	_exit(1);
}

static void make_groups(void)
{
	DIR *dir = opendir("/sys/fs/cgroup");
	struct dirent *d;

	while (dir != NULL && n_groups < 32 && (d = readdir(dir)) != NULL) {
		char path[400];

		if (d->d_name[0] == '.' || d->d_type != DT_DIR)
			continue;
		snprintf(groups[n_groups], sizeof(groups[0]), "/sys/fs/cgroup/%s/floor-%d",
			 d->d_name, (int)getpid());
		if (mkdir(groups[n_groups], 0755) < 0)
			continue;
		if (strcmp(d->d_name, "cpuset") == 0) {
			static const char *const files[] = { "cpuset.cpus", "cpuset.mems" };

			for (int i = 0; i < 2; i++) {
				char value[256];
				int fd;
				ssize_t n;

				snprintf(path, sizeof(path), "/sys/fs/cgroup/cpuset/%s", files[i]);
				fd = open(path, O_RDONLY | O_CLOEXEC);
				n = read(fd, value, sizeof(value));
				close(fd);
				snprintf(path, sizeof(path), "%s/%s", groups[n_groups], files[i]);
				fd = open(path, O_WRONLY | O_CLOEXEC);
				if (n <= 0 || write(fd, value, (size_t)n) != n)
					die(path);
				close(fd);
			}
		}
		snprintf(path, sizeof(path), "%s/tasks", groups[n_groups]);
		entry[n_groups] = open(path, O_WRONLY | O_CLOEXEC);
		if (entry[n_groups] < 0) {
			snprintf(path, sizeof(path), "%s/cgroup.procs", groups[n_groups]);
			entry[n_groups] = open(path, O_WRONLY | O_CLOEXEC);
		}
		/* A plain directory, no hierarchy is mounted there. */
		if (entry[n_groups] < 0) {
			rmdir(groups[n_groups]);
			continue;
		}
		n_groups++;
	}
	closedir(dir);
}

static void mounts(void)
{
	static const struct {
		const char *type, *at, *data;
		unsigned long flags;
	} list[] = {
		{ "proc", "proc", NULL, 0 },
		{ "tmpfs", "dev", "mode=755,size=65536k", MS_NOSUID },
		{ "devpts", "dev/pts", "newinstance,ptmxmode=0666,mode=0620,gid=5",
		  MS_NOSUID | MS_NOEXEC },
		{ "tmpfs", "dev/shm", "mode=1777,size=65536k", MS_NOSUID | MS_NOEXEC | MS_NODEV },
		{ "mqueue", "dev/mqueue", NULL, MS_NOSUID | MS_NOEXEC | MS_NODEV },
		{ "sysfs", "sys", NULL, MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY },
		{ "tmpfs", "sys/fs/cgroup", "mode=755", MS_NOSUID | MS_NOEXEC | MS_NODEV },
	};
	static const struct {
		const char *path;
		unsigned major, minor;
	} nodes[] = { { "dev/null", 1, 3 },   { "dev/zero", 1, 5 },    { "dev/full", 1, 7 },
		      { "dev/random", 1, 8 }, { "dev/urandom", 1, 9 }, { "dev/tty", 5, 0 } };
	static const char *const readonly[] = { "proc/bus", "proc/fs", "proc/irq", "proc/sys",
						"proc/sysrq-trigger" };

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		mkdir(list[i].at, 0755);
		if (mount(list[i].type, list[i].at, list[i].type, list[i].flags, list[i].data) < 0)
			die(list[i].at);
	}
	for (int i = 0; i < n_groups; i++) {
		const char *name = groups[i] + strlen("/sys/fs/cgroup/");
		char at[400];

		snprintf(at, sizeof(at), "sys/fs/cgroup/%.*s", (int)strcspn(name, "/"), name);
		if (mkdir(at, 0755) < 0 || mount(groups[i], at, NULL, MS_BIND, NULL) < 0)
			die(at);
	}
	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++)
		if (mknod(nodes[i].path, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)) <
		    0)
			die(nodes[i].path);
	for (size_t i = 0; i < sizeof(readonly) / sizeof(readonly[0]); i++)
		if (mount(readonly[i], readonly[i], NULL, MS_BIND, NULL) < 0)
			continue;
}

static void child(const char *rootfs, char **argv)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int fd;

	for (int i = 0; i < n_groups; i++)
		if (write(entry[i], "0", 1) != 1)
			die("tasks");
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)
		die("lo");
	close(fd);
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ||
	    mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL) < 0 || chdir(rootfs) < 0)
		die(rootfs);
	mounts();
	if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		die("pivot_root");
	execv(argv[0], argv);
	die(argv[0]);
}

int main(int argc, char **argv)
{
	struct clone_args args = { .flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET |
					    CLONE_NEWIPC | CLONE_NEWUTS,
				   .exit_signal = SIGCHLD };
	long pid;
	int status;

	if (argc < 3)
		return 2;
	make_groups();
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid < 0)
		die("clone3");
	if (pid == 0)
		child(argv[1], argv + 2);
	while (waitpid((pid_t)pid, &status, 0) < 0 && errno == EINTR)
		continue;
	for (int i = 0; i < n_groups; i++)
		for (int tries = 0; rmdir(groups[i]) < 0 && errno == EBUSY && tries < 1000; tries++)
			usleep(1000);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}
