#include "main/settings.h"

#define TAKEN   USE_TAKEN
#define ALWAYS  USE_ALWAYS
#define REFUSED USE_REFUSED

#define STR(flag, letter, key, use, def, help) \
	{ \
		flag, letter, key, OPTION_STRING, use, def, help, false \
	}
#define BOOL(flag, letter, key, use, help) \
	{ \
		flag, letter, key, OPTION_BOOL, use, NULL, help, false \
	}
#define INT(flag, key, use, def, help) \
	{ \
		flag, 0, key, OPTION_INT, use, def, help, false \
	}
#define SIZE(flag, key, use, def, help) \
	{ \
		flag, 0, key, OPTION_SIZE, use, def, help, false \
	}
#define LIST(flag, letter, key, use, help) \
	{ \
		flag, letter, key, OPTION_LIST, use, NULL, help, false \
	}
#define MAP(flag, key, use, help) \
	{ \
		flag, 0, key, OPTION_MAP, use, NULL, help, false \
	}
#define OBJECT(key, use, help) \
	{ \
		NULL, 0, key, OPTION_OBJECT, use, NULL, help, false \
	}

/* Sorted by flag; file-only keys last. */
const struct option settings_options[] = {
	{ "add-runtime", 0, NULL, OPTION_MAP, TAKEN, NULL, "Register an OCI runtime, NAME=PATH",
	  false },
	LIST("allow-nondistributable-artifacts", 0, "allow-nondistributable-artifacts", REFUSED,
	     "Push foreign layers to these registries"),
	STR("api-cors-header", 0, "api-cors-header", REFUSED, NULL, "CORS headers of the API"),
	LIST("authorization-plugin", 0, "authorization-plugins", REFUSED, "Authorization plugins"),
	STR("bip", 0, "bip", TAKEN, NULL, "Address of the default bridge, as 172.17.0.1/16"),
	STR("bridge", 'b', "bridge", TAKEN, NULL,
	    "Use this bridge for the default network; none: no default network"),
	STR("bridge-name", 0, "bridge-name", TAKEN, "proa0",
	    "Name of the default network's bridge, for several engines on one machine"),
	STR("cgroup-parent", 0, "cgroup-parent", TAKEN, NULL, "Parent cgroup of all containers"),
	STR("config-file", 0, NULL, TAKEN, "/etc/proa/engine.json", "Configuration file"),
	STR("containerd", 0, "containerd", ALWAYS, NULL, "Not needed: proa has no containerd"),
	STR("containerd-namespace", 0, "containerd-namespace", ALWAYS, NULL, "Not needed"),
	STR("containerd-plugins-namespace", 0, "containerd-plugin-namespace", ALWAYS, NULL,
	    "Not needed"),
	INT("cpu-rt-period", "cpu-rt-period", REFUSED, NULL,
	    "Real-time period of the parent cgroup"),
	INT("cpu-rt-runtime", "cpu-rt-runtime", REFUSED, NULL,
	    "Real-time share of the parent cgroup"),
	BOOL("cri-containerd", 0, "cri-containerd", REFUSED, "Start containerd with cri"),
	STR("data-root", 'g', "data-root", TAKEN, "/var/lib/proa",
	    "Where everything lives that must survive"),
	{ "debug", 'D', "debug", OPTION_BOOL, TAKEN, NULL, "Debug mode", true },
	LIST("default-address-pool", 0, NULL, TAKEN,
	     "Pool for new networks, base=10.0.0.0/8,size=24"),
	STR("default-cgroupns-mode", 0, "default-cgroupns-mode", TAKEN, NULL,
	    "Cgroup namespace of containers, host or private"),
	STR("default-gateway", 0, "default-gateway", REFUSED, NULL,
	    "Gateway of the default network"),
	STR("default-gateway-v6", 0, "default-gateway-v6", REFUSED, NULL, "The same for IPv6"),
	STR("default-ipc-mode", 0, "default-ipc-mode", TAKEN, "private", "IPC mode of containers"),
	{ "default-runtime", 0, "default-runtime", OPTION_STRING, TAKEN, "proa",
	  "Runtime of containers that name none", false },
	SIZE("default-shm-size", "default-shm-size", TAKEN, "64MiB", "Size of /dev/shm"),
	MAP("default-ulimit", NULL, TAKEN, "Ulimit of all containers, nofile=1024:2048"),
	LIST("dns", 0, "dns", TAKEN, "DNS servers of containers"),
	LIST("dns-opt", 0, "dns-opts", TAKEN, "DNS options"),
	LIST("dns-search", 0, "dns-search", TAKEN, "DNS search domains"),
	LIST("exec-opt", 0, "exec-opts", TAKEN, "native.cgroupdriver=cgroupfs or systemd"),
	STR("exec-root", 0, "exec-root", TAKEN, "/run/proa",
	    "Where the state of running containers lives"),
	BOOL("experimental", 0, "experimental", TAKEN, "Say so in the API; nothing more"),
	STR("firewall", 0, "firewall", TAKEN, "open",
	    "open: published ports are reachable as docker's are; respect: they obey the host's "
	    "input rules"),
	STR("fixed-cidr", 0, "fixed-cidr", TAKEN, NULL,
	    "Range of addresses on the default network"),
	STR("fixed-cidr-v6", 0, "fixed-cidr-v6", TAKEN, NULL, "The same for IPv6"),
	STR("group", 'G', "group", TAKEN, "proa", "Group of the Unix socket"),
	LIST("host", 'H', "hosts", TAKEN, "Where to listen: unix://PATH tcp://HOST:PORT fd://"),
	STR("host-gateway-ip", 0, "host-gateway-ip", TAKEN, NULL,
	    "What host-gateway means in --add-host"),
	BOOL("icc", 0, "icc", TAKEN,
	     "Containers of the default network reach each other (default true)"),
	INT("idle-exit", "idle-exit", TAKEN, "0",
	    "Leave after so many seconds without container, build and client"),
	BOOL("init", 0, "init", TAKEN, "An init in every container"),
	STR("init-path", 0, "init-path", ALWAYS, NULL, "Not needed: proa-runtime is the init"),
	{ "insecure-registry", 0, "insecure-registries", OPTION_LIST, TAKEN, NULL,
	  "Registries without TLS or with any certificate", true },
	STR("ip", 0, "ip", TAKEN, "0.0.0.0", "Address that ports are published on"),
	BOOL("ip-forward", 0, "ip-forward", TAKEN, "Switch IP forwarding on (default true)"),
	BOOL("ip-masq", 0, "ip-masq", TAKEN, "Masquerade what containers send (default true)"),
	BOOL("ip6tables", 0, "ip6tables", ALWAYS, "IPv6 rules come with IPv6 networks"),
	BOOL("iptables", 0, "iptables", TAKEN, "Write firewall rules, to nftables (default true)"),
	BOOL("ipv6", 0, "ipv6", TAKEN,
	     "IPv6 on networks (default true); given, also as EnableIPv6"),
	LIST("label", 0, "labels", TAKEN, "Labels of the engine, key=value"),
	BOOL("live-restore", 0, "live-restore", ALWAYS,
	     "Always so: containers go on without the engine"),
	STR("log-driver", 0, "log-driver", TAKEN, "json-file", "Log driver of containers"),
	STR("log-format", 0, "log-format", TAKEN, "text", "The engine's own log: text or json"),
	{ "log-level", 'l', "log-level", OPTION_STRING, TAKEN, "info",
	  "debug, info, warn, error or fatal", true },
	MAP("log-opt", "log-opts", TAKEN, "Options of the log driver, max-size=10m"),
	INT("max-concurrent-downloads", "max-concurrent-downloads", TAKEN, "3",
	    "Layers pulled at once"),
	INT("max-concurrent-uploads", "max-concurrent-uploads", TAKEN, "5",
	    "Layers pushed at once"),
	{ "max-download-attempts", 0, "max-download-attempts", OPTION_INT, TAKEN, NULL,
	  "Attempts of a download (default 7)", true },
	STR("metrics-addr", 0, "metrics-addr", REFUSED, NULL, "Where to serve metrics"),
	INT("mtu", "mtu", TAKEN, "1500", "MTU of the default network"),
	INT("network-control-plane-mtu", "network-control-plane-mtu", ALWAYS, NULL,
	    "Swarm's: no effect"),
	BOOL("no-new-privileges", 0, "no-new-privileges", TAKEN,
	     "no-new-privileges for all containers"),
	LIST("node-generic-resource", 0, "node-generic-resources", REFUSED, "Swarm's"),
	INT("oom-score-adjust", "oom-score-adjust", TAKEN, "0", "oom_score_adj of the engine"),
	STR("pidfile", 'p', "pidfile", TAKEN, "EXEC-ROOT/proad.pid", "File for the process id"),
	BOOL("raw-logs", 0, "raw-logs", ALWAYS, "Always so"),
	{ "registry-mirror", 0, "registry-mirrors", OPTION_LIST, TAKEN, NULL,
	  "Mirrors of the default registry", true },
	BOOL("rootless", 0, "rootless", REFUSED, "Run without root"),
	STR("seccomp-profile", 0, "seccomp-profile", REFUSED, "builtin",
	    "Seccomp profile of containers"),
	BOOL("selinux-enabled", 0, "selinux-enabled", REFUSED, "SELinux labels"),
	INT("shutdown-timeout", "shutdown-timeout", ALWAYS, "15",
	    "No effect: containers go on without the engine"),
	STR("storage-driver", 's', "storage-driver", TAKEN, NULL,
	    "overlay or copy; overlay2 is overlay"),
	LIST("storage-opt", 0, "storage-opts", TAKEN, "Options of the storage driver"),
	STR("swarm-default-advertise-addr", 0, "swarm-default-advertise-addr", ALWAYS, NULL,
	    "Swarm's: no effect"),
	BOOL("tls", 0, "tls", TAKEN, "TLS on tcp hosts; implied by --tlsverify"),
	STR("tlscacert", 0, "tlscacert", TAKEN, NULL, "CA that signs the clients' certificates"),
	STR("tlscert", 0, "tlscert", TAKEN, NULL, "Certificate of the engine"),
	STR("tlskey", 0, "tlskey", TAKEN, NULL, "Key of the engine"),
	BOOL("tlsverify", 0, "tlsverify", TAKEN, "Refuse clients without a certificate of the CA"),
	BOOL("userland-proxy", 0, "userland-proxy", ALWAYS, "No effect: there is no proxy"),
	STR("userland-proxy-path", 0, "userland-proxy-path", ALWAYS, NULL, "No effect"),
	STR("userns-auto-user", 0, "userns-auto-user", TAKEN, "containers",
	    "Whose ranges of /etc/subuid --userns=auto gives out"),
	STR("userns-remap", 0, "userns-remap", REFUSED, NULL, "User namespace for all containers"),
	BOOL("validate", 0, NULL, TAKEN, "Check the configuration and quit"),
	OBJECT("build", TAKEN, NULL),
	OBJECT("default-address-pools", TAKEN, NULL),
	OBJECT("default-ulimits", TAKEN, NULL),
	OBJECT("runtimes", TAKEN, NULL),
	OBJECT("features", ALWAYS, NULL),
	OBJECT("builder", TAKEN, NULL),
	OBJECT("proxies", TAKEN, NULL),
};
const size_t settings_n_options = sizeof(settings_options) / sizeof(settings_options[0]);
