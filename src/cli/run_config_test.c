/* SPDX-License-Identifier: Apache-2.0 */
/* Each flag of `run` and what it sets: docs/run-flags.md is this table. */
#include "cli/run_config.h"

#include "tests/tap.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/macros.h"
#include "base/str.h"
#include "cli/body.h"

struct flag_case {
	const char *words; /* before the image */
	const char *path;  /* in the body of POST /containers/create */
	const char *want;  /* compact JSON */
};

#define WINDOWS(flag) \
	"\"--" flag "\" is only supported on a Docker daemon running on windows, but the Docker " \
	"daemon is running on linux"

static const struct flag_case cases[] = {
	{ "--add-host=h:1.2.3.4", "HostConfig.ExtraHosts", "[\"h:1.2.3.4\"]" },
	{ "--annotation=a=b", "HostConfig.Annotations", "{\"a\":\"b\"}" },
	{ "-a=stdout", "AttachStdout", "true" },
	{ "--attach=stdin", "AttachStdin", "true" },
	{ "--blkio-weight=500", "HostConfig.BlkioWeight", "500" },
	{ "--blkio-weight-device=/dev/sda:200", "HostConfig.BlkioWeightDevice",
	  "[{\"Path\":\"/dev/sda\",\"Weight\":200}]" },
	{ "--cap-add=NET_ADMIN", "HostConfig.CapAdd", "[\"CAP_NET_ADMIN\"]" },
	{ "--cap-drop=ALL", "HostConfig.CapDrop", "[\"ALL\"]" },
	{ "--cap-add=sys_time --cap-add=CAP_CHOWN --cap-add=chown", "HostConfig.CapAdd",
	  "[\"CAP_CHOWN\",\"CAP_SYS_TIME\"]" },
	{ "--cap-add=all --cap-add=chown", "HostConfig.CapAdd", "[\"ALL\"]" },
	{ "--cap-drop=chown --cap-drop=kill --cap-add=chown", "HostConfig.CapDrop",
	  "[\"CAP_KILL\"]" },
	{ "--name=x", "HostConfig.OomKillDisable", "false" },
	{ "--name=x", "Volumes", "{}" },
	{ "--network=name=", "HostConfig.NetworkMode", "\"name=\"" },
	{ "--network=host --network=none", "HostConfig.NetworkMode", "\"host\"" },
	{ "--cgroup-parent=/x", "HostConfig.CgroupParent", "\"/x\"" },
	{ "--cgroupns=host", "HostConfig.CgroupnsMode", "\"host\"" },
	{ "--cidfile=/tmp/cid", "HostConfig.ContainerIDFile", "\"/tmp/cid\"" },
	{ "--cpu-count=2", NULL, WINDOWS("cpu-count") },
	{ "--cpu-percent=50", NULL, WINDOWS("cpu-percent") },
	{ "--cpu-period=100000", "HostConfig.CpuPeriod", "100000" },
	{ "--cpu-quota=50000", "HostConfig.CpuQuota", "50000" },
	{ "--cpu-rt-period=1000", "HostConfig.CpuRealtimePeriod", "1000" },
	{ "--cpu-rt-runtime=900", "HostConfig.CpuRealtimeRuntime", "900" },
	{ "--cpu-shares=512", "HostConfig.CpuShares", "512" },
	{ "--cpus=1.5", "HostConfig.NanoCpus", "1500000000" },
	{ "--cpuset-cpus=0-1", "HostConfig.CpusetCpus", "\"0-1\"" },
	{ "--cpuset-mems=0", "HostConfig.CpusetMems", "\"0\"" },
	{ "--device=/dev/null:/dev/x:r", "HostConfig.Devices",
	  "[{\"PathOnHost\":\"/dev/null\",\"PathInContainer\":\"/dev/"
	  "x\",\"CgroupPermissions\":\"r\"}]" },
	{ "--device=vendor.com/class=name", "HostConfig.DeviceRequests",
	  "[{\"Driver\":\"cdi\",\"DeviceIDs\":[\"vendor.com/class=name\"]}]" },
	{ "--device-cgroup-rule=c_1:3_rwm", "HostConfig.DeviceCgroupRules", "[\"c 1:3 rwm\"]" },
	{ "--device-read-bps=/dev/sda:1mb", "HostConfig.BlkioDeviceReadBps",
	  "[{\"Path\":\"/dev/sda\",\"Rate\":1048576}]" },
	{ "--device-read-iops=/dev/sda:100", "HostConfig.BlkioDeviceReadIOps",
	  "[{\"Path\":\"/dev/sda\",\"Rate\":100}]" },
	{ "--device-write-bps=/dev/sda:1mb", "HostConfig.BlkioDeviceWriteBps",
	  "[{\"Path\":\"/dev/sda\",\"Rate\":1048576}]" },
	{ "--device-write-iops=/dev/sda:100", "HostConfig.BlkioDeviceWriteIOps",
	  "[{\"Path\":\"/dev/sda\",\"Rate\":100}]" },
	{ "--dns=1.1.1.1", "HostConfig.Dns", "[\"1.1.1.1\"]" },
	{ "--dns-option=ndots:1", "HostConfig.DnsOptions", "[\"ndots:1\"]" },
	{ "--dns-search=example.com", "HostConfig.DnsSearch", "[\"example.com\"]" },
	{ "--domainname=example.com", "Domainname", "\"example.com\"" },
	{ "--entrypoint=/bin/sh", "Entrypoint", "[\"/bin/sh\"]" },
	{ "-e=A=1", "Env", "[\"A=1\"]" },
	{ "--env=A=1 --env=B=2", "Env", "[\"A=1\",\"B=2\"]" },
	{ "--env-file=ENVFILE --env=C=3", "Env", "[\"A=1\",\"B=two words\",\"C=3\"]" },
	{ "--expose=80-81", "ExposedPorts", "{\"80/tcp\":{},\"81/tcp\":{}}" },
	{ "--gpus=all", "HostConfig.DeviceRequests",
	  "[{\"Driver\":\"\",\"Count\":-1,\"Capabilities\":[[\"gpu\"]],\"Options\":{}}]" },
	{ "--group-add=video", "HostConfig.GroupAdd", "[\"video\"]" },
	{ "--health-cmd=true", "Healthcheck.Test", "[\"CMD-SHELL\",\"true\"]" },
	{ "--health-interval=5s", "Healthcheck.Interval", "5000000000" },
	{ "--health-on-failure=restart", "HostConfig.HealthOnFailure", "\"restart\"" },
	{ "--health-retries=4", "Healthcheck.Retries", "4" },
	{ "--health-start-interval=1s", "Healthcheck.StartInterval", "1000000000" },
	{ "--health-start-period=2s", "Healthcheck.StartPeriod", "2000000000" },
	{ "--health-timeout=3s", "Healthcheck.Timeout", "3000000000" },
	{ "-h=box", "Hostname", "\"box\"" },
	{ "--hostname=box", "Hostname", "\"box\"" },
	{ "--init", "HostConfig.Init", "true" },
	{ "-i", "StdinOnce", "true" },
	{ "--interactive", "OpenStdin", "true" },
	{ "--io-maxbandwidth=1mb", NULL, WINDOWS("io-maxbandwidth") },
	{ "--io-maxiops=10", NULL, WINDOWS("io-maxiops") },
	{ "--network=n --ip=10.0.0.2", "NetworkingConfig.EndpointsConfig.n.IPAMConfig",
	  "{\"IPv4Address\":\"10.0.0.2\"}" },
	{ "--network=n --ip6=fd00::2", "NetworkingConfig.EndpointsConfig.n.IPAMConfig",
	  "{\"IPv6Address\":\"fd00::2\"}" },
	{ "--ipc=host", "HostConfig.IpcMode", "\"host\"" },
	{ "--isolation=default", "HostConfig.Isolation", "\"default\"" },
	{ "--kernel-memory=4m", "HostConfig.KernelMemory", "4194304" },
	{ "-l=a=b", "Labels", "{\"a\":\"b\"}" },
	{ "--label=a", "Labels", "{\"a\":\"\"}" },
	{ "--label-file=ENVFILE", "Labels",
	  "{\"A\":\"1\",\"B\":\"two words\",\"UNSET_NAME_OF_OURS\":\"\"}" },
	{ "--link=a:b", "HostConfig.Links", "[\"a:b\"]" },
	{ "--network=n --link-local-ip=169.254.1.1",
	  "NetworkingConfig.EndpointsConfig.n.IPAMConfig", "{\"LinkLocalIPs\":[\"169.254.1.1\"]}" },
	{ "--log-driver=local", "HostConfig.LogConfig", "{\"Type\":\"local\",\"Config\":{}}" },
	{ "--log-opt=max-size=1m", "HostConfig.LogConfig",
	  "{\"Type\":\"\",\"Config\":{\"max-size\":\"1m\"}}" },
	{ "--mac-address=92:d0:c6:0a:29:33", "MacAddress", "\"92:d0:c6:0a:29:33\"" },
	{ "-m=64m", "HostConfig.Memory", "67108864" },
	{ "--memory=1g", "HostConfig.Memory", "1073741824" },
	{ "--memory-reservation=1m", "HostConfig.MemoryReservation", "1048576" },
	{ "--memory-swap=-1", "HostConfig.MemorySwap", "-1" },
	{ "--memory-swappiness=30", "HostConfig.MemorySwappiness", "30" },
	{ "--mount=type=tmpfs,dst=/t", "HostConfig.Mounts",
	  "[{\"Type\":\"tmpfs\",\"Target\":\"/t\"}]" },
	{ "--network=host", "HostConfig.NetworkMode", "\"host\"" },
	{ "--network=n --network-alias=x", "NetworkingConfig.EndpointsConfig.n.Aliases",
	  "[\"x\"]" },
	{ "--no-healthcheck", "Healthcheck.Test", "[\"NONE\"]" },
	{ "--oom-kill-disable", "HostConfig.OomKillDisable", "true" },
	{ "--oom-score-adj=-500", "HostConfig.OomScoreAdj", "-500" },
	{ "--pid=host", "HostConfig.PidMode", "\"host\"" },
	{ "--pids-limit=100", "HostConfig.PidsLimit", "100" },
	{ "--privileged", "HostConfig.Privileged", "true" },
	{ "-p=8080:80", "HostConfig.PortBindings",
	  "{\"80/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"8080\"}]}" },
	{ "--publish=[::1]:53:53/udp", "HostConfig.PortBindings",
	  "{\"53/udp\":[{\"HostIp\":\"::1\",\"HostPort\":\"53\"}]}" },
	{ "--publish=80-81:90-91", "HostConfig.PortBindings",
	  "{\"90/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"80\"}],\"91/"
	  "tcp\":[{\"HostIp\":\"\",\"HostPort\":"
	  "\"81\"}]}" },
	{ "--publish=8000-8010:80", "HostConfig.PortBindings",
	  "{\"80/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"8000-8010\"}]}" },
	{ "-P", "HostConfig.PublishAllPorts", "true" },
	{ "--publish-all", "HostConfig.PublishAllPorts", "true" },
	{ "--read-only", "HostConfig.ReadonlyRootfs", "true" },
	{ "--restart=on-failure:3", "HostConfig.RestartPolicy",
	  "{\"Name\":\"on-failure\",\"MaximumRetryCount\":3}" },
	{ "--rm", "HostConfig.AutoRemove", "true" },
	{ "--runtime=runc", "HostConfig.Runtime", "\"runc\"" },
	{ "--security-opt=no-new-privileges", "HostConfig.SecurityOpt", "[\"no-new-privileges\"]" },
	{ "--security-opt=systempaths=unconfined", "HostConfig.MaskedPaths", "[]" },
	{ "--shm-size=1m", "HostConfig.ShmSize", "1048576" },
	{ "--stop-signal=QUIT", "StopSignal", "\"QUIT\"" },
	{ "--stop-timeout=3", "StopTimeout", "3" },
	{ "--storage-opt=size=1G", "HostConfig.StorageOpt", "{\"size\":\"1G\"}" },
	{ "--sysctl=net.ipv4.ip_forward=1", "HostConfig.Sysctls",
	  "{\"net.ipv4.ip_forward\":\"1\"}" },
	{ "--tmpfs=/t:size=1m", "HostConfig.Tmpfs", "{\"/t\":\"size=1m\"}" },
	{ "-t", "Tty", "true" },
	{ "--tty", "Tty", "true" },
	{ "--ulimit=nofile=10:20", "HostConfig.Ulimits",
	  "[{\"Name\":\"nofile\",\"Hard\":20,\"Soft\":10}]" },
	{ "-u=1:2", "User", "\"1:2\"" },
	{ "--user=nobody", "User", "\"nobody\"" },
	{ "--userns=host", "HostConfig.UsernsMode", "\"host\"" },
	{ "--uts=host", "HostConfig.UTSMode", "\"host\"" },
	{ "-v=/a:/b:ro", "HostConfig.Binds", "[\"/a:/b:ro\"]" },
	{ "--volume=/anon", "Volumes", "{\"/anon\":{}}" },
	{ "--volume-driver=local", "HostConfig.VolumeDriver", "\"local\"" },
	{ "--volumes-from=c:ro", "HostConfig.VolumesFrom", "[\"c:ro\"]" },
	{ "-w=/x", "WorkingDir", "\"/x\"" },
	{ "--workdir=/x", "WorkingDir", "\"/x\"" },
};

/* Flags that steer the client and set nothing in the body; tested elsewhere. */
static const char *const elsewhere[] = {
	"detach", "detach-keys", "disable-content-trust", "help", "name", "platform", "pull",
	"quiet",  "sig-proxy",   "use-api-socket",
};

static char env_file[] = "/tmp/proa-env-XXXXXX";

static bool parse(struct cli *cli, const char *words, struct args *a, struct error *err)
{
	struct str rest = str_of(words), word;
	char **argv = arena_array(&cli->arena, 16, sizeof(*argv));
	int n = 0;

	while (str_split(&rest, ' ', &word)) {
		char *text = arena_strndup(&cli->arena, word.at, word.len), *mark;

		mark = strstr(text, "ENVFILE");
		if (mark)
			text =
			    arena_format(&cli->arena, "%.*s%s", (int)(mark - text), text, env_file);
		for (char *p = text; cstr_starts(text, "--device-cgroup") && *p; p++)
			if (*p == '_')
				*p = ' ';
		argv[n++] = text;
	}
	argv[n++] = arena_strdup(&cli->arena, "img");
	return args_parse(a, &cli->arena, command_find("run", NULL), n, argv, err) == 0;
}

static void flag_cases(struct cli *cli)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_(args) a = { 0 };
		struct error err = { 0 };
		struct run_config c;
		const struct json *j;
		bool built = parse(cli, cases[i].words, &a, &err) &&
			     run_config_build(cli, &a, &c, &err) == 0;

		j = built && cases[i].path ? json_path(c.body, cases[i].path) : NULL;
		is_str(j ? body_text(&cli->arena, j) : err.msg, cases[i].want,
		       arena_format(&cli->arena, "%s sets %s", cases[i].words,
				    cases[i].path ? cases[i].path : "nothing"));
	}
}

static void every_flag_has_a_case(void)
{
	const struct command *c = command_find("run", NULL);

	for (size_t i = 0; i < command_n_flags(c); i++) {
		const struct flag *f = command_flag_at(c, i);
		bool found = (f->bits & FLAG_HIDDEN) != 0;

		for (size_t k = 0; k < ARRAY_LEN(elsewhere); k++)
			found |= strcmp(elsewhere[k], f->name) == 0;
		for (size_t k = 0; k < ARRAY_LEN(cases) && !found; k++) {
			const char *at = strstr(cases[k].words, f->name);

			found = at && at >= cases[k].words + 2 && at[-1] == '-' && at[-2] == '-' &&
				(!at[strlen(f->name)] || strchr("= ", at[strlen(f->name)]));
		}
		ok(found, f->name);
	}
}

int main(void)
{
	static const char lines[] = "# comment\nA=1\n\nB=two words\nUNSET_NAME_OF_OURS\n";
	struct cli cli = { .arena = ARENA_INIT, .program = "docker" };
	int fd = mkostemp(env_file, O_CLOEXEC), used;

	setenv("DOCKER_CONFIG", "/nonexistent", 1);
	if (fd < 0 || write(fd, lines, sizeof(lines) - 1) < 0 ||
	    args_parse_global(&cli.global, &cli.arena, 0, NULL, &used, NULL) < 0)
		return 1;
	close(fd);
	flag_cases(&cli);
	every_flag_has_a_case();
	unlink(env_file);
	args_release(&cli.global);
	arena_release(&cli.arena);
	return tap_done();
}
