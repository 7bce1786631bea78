#include "network/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/auto.h"
#include "base/clock.h"
#include "base/macros.h"
#include "base/proc.h"
#include "base/str.h"
#include "network/dns_message.h"
#include "network/net_internal.h"
#include "tests/tap.h"

/* All of it happens in a network and mount namespace of the test's own: the
 * "host" is that namespace, and nothing is left behind. Needs root. */

static char dir[] = "/tmp/proa-net-test-XXXXXX";
static struct net *n;

static const char NET_A[] = "aaaa000000000000000000000000000000000000000000000000000000000000";
static const char NET_B[] = "bbbb000000000000000000000000000000000000000000000000000000000000";
static const char NET_I[] = "cccc000000000000000000000000000000000000000000000000000000000000";

struct box {
	struct net_sandbox_info sandbox;
	struct net_port port;
	char id[65], ifname[16];
	const char *bridge;
	struct net_addr ip;
};

/* Exit code of `sh -c text`. */
static int shell(const char *text)
{
	const char *argv[] = { "sh", "-c", text, NULL };
	struct proc_fd err = { STDERR_FILENO, STDERR_FILENO };
	struct proc_spec spec = {
		.path = "sh", .argv = argv, .fds = &err, .n_fds = 1, .cwd_fd = FD_NONE
	};
	struct proc p;
	int status = -1;

	if (proc_spawn(&spec, &p, NULL) < 0 || proc_wait(&p, 10000, NULL, &status, NULL) < 0)
		return -1;
	return status;
}

static struct net_prefix prefix(const char *s)
{
	struct net_prefix p = { 0 };

	if (net_prefix_parse(s, &p, NULL) < 0)
		printf("Bail out! %s\n", s);
	return p;
}

static int add_bridge(const char *id, const char *name, const char *gateway, bool internal)
{
	struct net_bridge b = { .id = id,
				.name = name,
				.icc = true,
				.masquerade = true,
				.internal = internal,
				.dns = true };
	struct error err;
	char ifname[16];
	int r;

	snprintf(ifname, sizeof(ifname), "br-%s", name);
	b.ifname = ifname;
	b.gateway4 = prefix(gateway);
	b.subnet4 = net_prefix_mask(&b.gateway4);
	r = net_bridge_add(n, &b, &err);
	if (r < 0)
		printf("# %s\n", err.msg);
	return r;
}

static int box_plug(struct box *b, const char *bridge, const char *name, const char *ip,
		    unsigned host_port, const char *host_ip)
{
	static unsigned serial;
	const char *names[] = { "db", NULL };
	struct net_endpoint ep = { .bridge_id = bridge,
				   .id = b->id,
				   .default_route = true,
				   .names = names,
				   .container_name = name };
	struct error err;
	int r;

	snprintf(b->id, sizeof(b->id), "%07x%057x", ++serial, 0);
	b->bridge = bridge;
	b->ip = prefix(ip).addr;
	ep.ip4 = b->ip;
	net_mac_of_ip4(&ep.ip4, ep.mac);
	if (host_port) {
		b->port =
		    (struct net_port){ .proto = NET_TCP,
				       .container_port = 80,
				       .host_port = (uint16_t)(host_port == 1 ? 0 : host_port) };
		if (host_ip)
			b->port.host_ip = prefix(host_ip).addr;
		ep.ports = &b->port;
		ep.n_ports = 1;
	}
	r = net_endpoint_add(n, b->sandbox.key, &ep, b->ifname, &err);
	if (r < 0)
		printf("# %s\n", err.msg);
	return r;
}

static struct box box_new(const char *bridge, const char *name, const char *ip, unsigned host_port,
			  const char *host_ip)
{
	struct box b = { 0 };
	struct error err;

	if (net_sandbox_new(n, &b.sandbox, &err) < 0 ||
	    box_plug(&b, bridge, name, ip, host_port, host_ip) < 0)
		b.sandbox.key[0] = '\0';
	return b;
}

static void box_free(struct box *b)
{
	net_sandbox_remove(n, b->sandbox.key);
	free(b->sandbox.path);
}

/* Run fn in a child inside the box (NULL: the host). Its exit code. */
static int inside(const struct box *b, int (*fn)(void *), void *arg)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		int fd = b ? open(b->sandbox.path, O_RDONLY | O_CLOEXEC) : -1;

		if (b && setns(fd, CLONE_NEWNET) < 0)
			_exit(99);
		_exit(fn(arg));
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

/* A server that answers every connection by the name it was given. */
static pid_t serve(const struct box *b, const char *text)
{
	int ready[2];
	pid_t pid;
	char c;

	if (pipe2(ready, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(80) };
		int fd = b ? open(b->sandbox.path, O_RDONLY | O_CLOEXEC) : -1, one = 1;

		if (b && setns(fd, CLONE_NEWNET) < 0)
			_exit(1);
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 64) < 0)
			_exit(1);
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;) {
			int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

			if (client >= 0 && write(client, text, strlen(text)) >= 0)
				close(client);
		}
	}
	close(ready[1]);
	if (read(ready[0], &c, 1) != 1)
		printf("# the server did not start\n");
	close(ready[0]);
	return pid;
}

struct want {
	const char *ip;
	unsigned port;
	const char *text;
};

static int try_connect(void *arg)
{
	const struct want *w = arg;
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons((uint16_t)w->port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), e = 0;
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	socklen_t len = sizeof(e);
	char text[64] = "";

	inet_pton(AF_INET, w->ip, &sa.sin_addr);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 && errno != EINPROGRESS)
		return 2;
	if (poll(&p, 1, 400) != 1)
		return 3;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) < 0 || e != 0)
		return 4;
	p.events = POLLIN;
	if (poll(&p, 1, 1000) != 1 || read(fd, text, sizeof(text) - 1) < 0)
		return 5;
	return strcmp(text, w->text) == 0 ? 0 : 6;
}

static bool reaches(const struct box *from, const char *ip, unsigned port, const char *text)
{
	struct want w = { ip, port, text };
	int r = inside(from, try_connect, &w);

	if (r > 4)
		printf("# connect to %s:%u gave %d\n", ip, port, r);
	return r == 0;
}

/* ---- DNS ---- */

struct ask {
	const char *name;
	unsigned type;
	bool tcp;
	char answer[64];
	unsigned rcode;
};

static size_t build_query(uint8_t *out, const char *name, unsigned type, unsigned id)
{
	struct str rest = str_of(name), label;
	size_t at = 12;

	memset(out, 0, 12);
	out[0] = (uint8_t)(id >> 8);
	out[1] = (uint8_t)id;
	out[2] = 1;
	out[5] = 1;
	while (str_split(&rest, '.', &label)) {
		out[at++] = (uint8_t)label.len;
		memcpy(out + at, label.at, label.len);
		at += label.len;
	}
	memcpy(out + at, (uint8_t[]){ 0, 0, (uint8_t)type, 0, 1 }, 5);
	return at + 5;
}

static int exchange(const struct ask *q, uint8_t *out, size_t len, uint8_t *in, size_t max)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(53) };
	int fd = socket(AF_INET, (q->tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
	struct timeval tv = { .tv_sec = 5 };
	ssize_t got;

	sa.sin_addr.s_addr = htonl(0x7f00000b);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -1;
	if (q->tcp) {
		memmove(out + 2, out, len);
		out[0] = (uint8_t)(len >> 8);
		out[1] = (uint8_t)len;
		len += 2;
	}
	if (send(fd, out, len, 0) < 0)
		return -1;
	got = recv(fd, in, max, 0);
	close(fd);
	if (q->tcp && got > 2) {
		got -= 2;
		memmove(in, in + 2, (size_t)got);
	}
	return (int)got;
}

/* Exit code: 0 and the last four bytes are the address, else 10 + rcode, 9 none. */
static int look_up(void *arg)
{
	const struct ask *q = arg;
	uint8_t out[512], in[2048];
	size_t len = build_query(out, q->name, q->type, 77);
	int got = exchange(q, out, len, in, sizeof(in));
	struct in_addr want;

	if (got < 12)
		return 9;
	if ((in[3] & 15) != 0)
		return 10 + (in[3] & 15);
	if (in[7] == 0)
		return 8;
	if (q->type == 1)
		return inet_pton(AF_INET, q->answer, &want) == 1 &&
			       memcmp(in + got - 4, &want, 4) == 0
			   ? 0
			   : 7;
	/* PTR: the text of the first label. */
	return memcmp(in + len + 13, q->answer, strlen(q->answer)) == 0 ? 0 : 7;
}

static int resolves(const struct box *b, const char *name, unsigned type, bool tcp,
		    const char *answer)
{
	struct ask q = { .name = name, .type = type, .tcp = tcp };

	snprintf(q.answer, sizeof(q.answer), "%s", answer);
	return inside(b, look_up, &q);
}

/* An upstream server on 127.0.0.1:53 of the "host" that knows one address. */
static void upstream_run(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(53) };
	int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0),
	    tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int one = 1, size = 8 << 20;
	struct net_addr answer = prefix("9.8.7.6/32").addr;

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(tcp, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(udp, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (bind(udp, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    bind(tcp, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(tcp, 64) < 0)
		_exit(1);
	for (;;) {
		struct pollfd p[2] = { { .fd = udp, .events = POLLIN },
				       { .fd = tcp, .events = POLLIN } };
		uint8_t in[2048], out[2048];
		struct sockaddr_in from;
		socklen_t len = sizeof(from);
		struct dns_answer a;
		struct dns_query q;
		ssize_t got;
		int fd;

		if (poll(p, 2, -1) < 0)
			continue;
		if (p[0].revents) {
			got = recvfrom(udp, in, sizeof(in), 0, (struct sockaddr *)&from, &len);
			if (got < 0 || dns_query_parse(in, (size_t)got, &q, NULL) < 0)
				continue;
			dns_answer_begin(&a, out, sizeof(out), in, &q, DNS_NOERROR);
			dns_answer_address(&a, &answer, 1);
			sendto(udp, out, a.len, 0, (struct sockaddr *)&from, len);
		}
		if (p[1].revents && (fd = accept4(tcp, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
			got = read(fd, in, sizeof(in));
			if (got > 2 && dns_query_parse(in + 2, (size_t)got - 2, &q, NULL) == 0) {
				dns_answer_begin(&a, out + 2, sizeof(out) - 2, in + 2, &q,
						 DNS_NOERROR);
				dns_answer_address(&a, &answer, 1);
				out[0] = (uint8_t)(a.len >> 8);
				out[1] = (uint8_t)a.len;
				if (write(fd, out, a.len + 2) < 0)
					_exit(1);
			}
			close(fd);
		}
	}
}

/* 5,000 queries before the first answer is read, half of them forwarded. */
static int storm(void *arg)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(53) };
	enum { SOCKETS = 100, EACH = 50 };
	int fds[SOCKETS], size = 1 << 20, answers = 0;

	(void)arg;
	sa.sin_addr.s_addr = htonl(0x7f00000b);
	for (int i = 0; i < SOCKETS; i++) {
		struct timeval tv = { .tv_sec = 5 };

		fds[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		setsockopt(fds[i], SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
		setsockopt(fds[i], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
		if (connect(fds[i], (struct sockaddr *)&sa, sizeof(sa)) < 0)
			return 2;
	}
	for (int j = 0; j < EACH; j++)
		for (int i = 0; i < SOCKETS; i++) {
			uint8_t out[512];
			size_t len = build_query(out, j % 2 ? "db" : "example.org", 1, (unsigned)j);

			if (send(fds[i], out, len, 0) < 0)
				return 3;
		}
	for (int i = 0; i < SOCKETS; i++)
		for (int j = 0; j < EACH; j++) {
			uint8_t in[2048];

			if (recv(fds[i], in, sizeof(in), 0) > 12 && (in[3] & 15) == 0 && in[7] >= 1)
				answers++;
		}
	printf("# %d answers\n", answers);
	fflush(stdout);
	return answers == SOCKETS * EACH ? 0 : 4;
}

/* The code of the answer to a foreign question with 5,000 bytes of nothing behind it. */
static int long_query(void *arg)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(53) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint8_t out[6000] = { 0 }, in[2048];
	struct timeval tv = { .tv_sec = 5 };
	size_t len = build_query(out, "example.org", 1, 7) + 5000;

	(void)arg;
	sa.sin_addr.s_addr = htonl(0x7f00000b);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || send(fd, out, len, 0) < 0 ||
	    recv(fd, in, sizeof(in), 0) < 12)
		return 100;
	return in[3] & 15;
}

static int bind_53(void *arg)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(53) };
	int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0),
	    tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)arg;
	if (bind(udp, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    bind(tcp, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(tcp, 1) < 0)
		return 1;
	return 0;
}

static void test_dns(struct box *a, struct box *b, struct box *i)
{
	pid_t upstream = fork();

	if (upstream == 0)
		upstream_run();
	usleep(100000);
	is_int(resolves(a, "two", 1, false, "10.81.0.3"), 0, "a name on the same network");
	is_int(resolves(a, "TWO", 1, true, "10.81.0.3"), 0, "in any case, over TCP");
	is_int(resolves(a, "two.alpha", 1, false, "10.81.0.3"), 0, "with the network's name");
	is_int(resolves(a, "two", 28, false, ""), 8, "no IPv6 address: an empty answer");
	is_int(resolves(a, "three", 1, false, "9.8.7.6"), 0,
	       "a name of another network is foreign");
	is_int(resolves(a, "3.0.81.10.in-addr.arpa", 12, false, "two"), 0, "an address has a name");
	is_int(resolves(a, "example.org", 1, false, "9.8.7.6"), 0, "others are forwarded");
	is_int(resolves(a, "example.org", 1, true, "9.8.7.6"), 0, "also over TCP");
	is_int(resolves(i, "example.org", 1, false, ""), 13, "never from an internal network");
	is_int(resolves(i, "four", 1, false, "10.83.0.2"), 0, "which has its own names");
	is_int(inside(a, long_query, NULL), 1, "what is longer than a question is not forwarded");
	is_int(inside(b, bind_53, NULL), 0, "port 53 stays free for the container");
	is_int(inside(a, storm, NULL), 0, "5,000 look-ups at once, none lost");
	kill(upstream, SIGKILL);
	waitpid(upstream, NULL, 0);
}

static void test_reach(struct box *a, struct box *b, struct box *c, struct box *i)
{
	ok(reaches(a, "10.81.0.3", 80, "two"), "a neighbour");
	ok(reaches(NULL, "10.81.0.3", 80, "two"), "from the host");
	ok(!reaches(a, "10.82.0.2", 80, "three"), "not a container of another network");
	ok(!reaches(i, "10.81.0.3", 80, "two"), "nothing from an internal network");
	ok(!reaches(a, "10.83.0.2", 80, "four"), "nor into it");
	ok(reaches(NULL, "192.0.2.9", 8081, "two"), "a published port on the host's address");
	ok(reaches(NULL, "127.0.0.1", 8081, "two"), "on the host's loopback");
	ok(reaches(c, "192.0.2.9", 8081, "two"), "from a container of another network");
	ok(reaches(a, "192.0.2.9", 8081, "two"), "from its neighbour");
	ok(reaches(b, "192.0.2.9", 8081, "two"), "from itself");
	ok(!reaches(i, "10.83.0.1", 8081, "two"), "not from an internal network");
	ok(reaches(NULL, "127.0.0.1", 8082, "three"), "published on loopback: from the host");
	ok(!reaches(a, "10.81.0.1", 8082, "three"), "not from elsewhere");
	ok(!reaches(NULL, "192.0.2.9", 8082, "three"), "nor on another address");
	ok(reaches(NULL, "127.0.0.1", a->port.host_port, "one") && a->port.host_port >= 1024,
	   "a port of the kernel's choice");
}

static bool dropped_table(void)
{
	return shell("nft flush ruleset") == 0;
}

static void test_repair(void)
{
	if (!dropped_table()) {
		ok(1, "the table comes back # SKIP no nft program");
		return;
	}
	usleep(200000);
	ok(reaches(NULL, "127.0.0.1", 8081, "two"), "a flushed table comes back");
}

static void test_conflicts(struct box *a)
{
	struct box b = { .sandbox = a->sandbox };
	struct net_port port = { .proto = NET_TCP, .container_port = 1, .host_port = 8081 };
	struct net_endpoint ep = {
		.bridge_id = NET_B, .id = NET_B, .container_name = "x", .ports = &port, .n_ports = 1
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(8081) };
	struct error err;

	ep.ip4 = prefix("10.82.0.9/32").addr;
	net_mac_of_ip4(&ep.ip4, ep.mac);
	is_int(net_endpoint_add(n, b.sandbox.key, &ep, b.ifname, &err), -ERR_CONFLICT,
	       "a port is published once");
	is_str(err.msg, "Bind for 0.0.0.0:8081 failed: port is already allocated",
	       "with Docker's words");
	ok(bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0, "and no server can take it");
	close(fd);
	{
		/* Between the reservation of one start and its publication comes another. */
		struct endpoint first = { 0 }, second = { 0 };
		struct net_port early = { .proto = NET_TCP, .host_port = 8089 }, late = early;

		is_int(port_reserve(n, &first, &early, false, NULL), 0, "a port is reserved");
		is_int(port_reserve(n, &second, &late, false, &err), -ERR_CONFLICT, "once");
		is_str(err.msg, "Bind for 0.0.0.0:8089 failed: port is already allocated",
		       "it is ours before it is published");
		port_release_all(n, &first);
		is_int(port_reserve(n, &second, &late, false, NULL), 0, "and free again");
		port_release_all(n, &second);
		vec_release(&first.reserved);
		vec_release(&second.reserved);
		vec_release(&first.rules);
		vec_release(&second.rules);
	}
	port.host_port_end = 8090;
	is_int(net_endpoint_add(n, b.sandbox.key, &ep, b.ifname, &err), 0, "a range has room");
	is_int(port.host_port, 8083, "the first free one");
	is_str(b.ifname, "eth1", "a second interface");
	net_endpoint_remove(n, b.sandbox.key, ep.id);
}

static void test_cost(void)
{
	struct box list[40];
	struct rusage before, after;
	int64_t start, took;
	char ip[32];
	long us;

	usleep(50000);
	getrusage(RUSAGE_SELF, &before);
	start = clock_mono_ns();
	for (unsigned i = 0; i < ARRAY_LEN(list); i++) {
		snprintf(ip, sizeof(ip), "10.81.1.%u/32", i + 1);
		list[i] = box_new(NET_A, "many", ip, 1, NULL);
	}
	took = clock_mono_ns() - start;
	getrusage(RUSAGE_SELF, &after);
	us = (after.ru_utime.tv_sec - before.ru_utime.tv_sec +
	      (after.ru_stime.tv_sec - before.ru_stime.tv_sec)) *
		 1000000L +
	     after.ru_utime.tv_usec - before.ru_utime.tv_usec + after.ru_stime.tv_usec -
	     before.ru_stime.tv_usec;
	printf("# attach: %lld us wall, %ld us CPU here\n",
	       (long long)(took / NS_PER_MS * 1000 / (int)ARRAY_LEN(list)),
	       us / (long)ARRAY_LEN(list));
	ok(took / (int)ARRAY_LEN(list) < 50 * NS_PER_MS, "an attach takes less than 50 ms");
	start = clock_mono_ns();
	for (unsigned i = 0; i < ARRAY_LEN(list); i++)
		box_free(&list[i]);
	took = clock_mono_ns() - start;
	printf("# detach: %lld us\n", (long long)(took / 1000 / (int)ARRAY_LEN(list)));
}

static int open_net(enum net_firewall firewall)
{
	struct net_config c = {
		.netns_dir = dir, .instance = "test", .firewall = firewall, .pool = 2
	};
	autofree char *resolv = cstr_format("%s/resolv.conf", dir);
	FILE *f = fopen(resolv, "we");
	struct error err;
	int r;

	if (f) {
		fputs("nameserver 127.0.0.1\n", f);
		fclose(f);
	}
	c.resolv_conf = resolv;
	r = net_open(&c, &n, &err);
	if (r < 0)
		printf("# %s\n", err.msg);
	return r;
}

static void host_setup(void)
{
	ok(shell("ip link set lo up && ip link add ext type bridge && "
		 "ip addr add 192.0.2.9/24 dev ext && ip link set ext up") == 0,
	   "a host of our own");
}

static void test_respect(void)
{
	struct box a;
	pid_t s;

	is_int(open_net(NET_FIREWALL_RESPECT), 0, "open with firewall=respect");
	is_int(add_bridge(NET_A, "alpha", "10.81.0.1/16", false), 0, "bridge");
	is_int(net_ready(n, NULL), 0, "ready");
	a = box_new(NET_A, "one", "10.81.0.2/32", 8081, NULL);
	s = serve(&a, "one");
	ok(reaches(NULL, "192.0.2.9", 8081, "one"), "published through the proxy");
	ok(reaches(&a, "10.81.0.1", 8081, "one"), "also from the container");
	if (shell("nft add table inet user && nft 'add chain inet user input { type filter hook "
		  "input priority 0; }' && nft add rule inet user input tcp dport 8081 drop") == 0)
		ok(!reaches(&a, "10.81.0.1", 8081, "one"), "the host's INPUT rules decide");
	kill(s, SIGKILL);
	waitpid(s, NULL, 0);
	box_free(&a);
	usleep(50000);
	ok(!reaches(NULL, "192.0.2.9", 8081, "one"), "the proxy ends with the endpoint");
	is_int(net_bridge_remove(n, NET_A, NULL), 0, "remove");
	net_close_and_clean(n);
}

static void test_all(void)
{
	struct box a, b, c, i;
	pid_t s[4];

	is_int(open_net(NET_FIREWALL_DNAT), 0, "open");
	ok(net_has_nat(n), "this kernel has NAT");
	is_int(add_bridge(NET_A, "alpha", "10.81.0.1/16", false), 0, "network alpha");
	is_int(add_bridge(NET_B, "beta", "10.82.0.1/16", false), 0, "network beta");
	is_int(add_bridge(NET_I, "inner", "10.83.0.1/16", true), 0, "internal network");
	is_int(net_ready(n, NULL), 0, "rules are written");
	a = box_new(NET_A, "one", "10.81.0.2/32", 1, NULL);
	b = box_new(NET_A, "two", "10.81.0.3/32", 8081, NULL);
	c = box_new(NET_B, "three", "10.82.0.2/32", 8082, "127.0.0.1/32");
	i = box_new(NET_I, "four", "10.83.0.2/32", 0, NULL);
	ok(a.sandbox.key[0] && b.sandbox.key[0] && c.sandbox.key[0] && i.sandbox.key[0],
	   "four containers");
	s[0] = serve(&a, "one");
	s[1] = serve(&b, "two");
	s[2] = serve(&c, "three");
	s[3] = serve(&i, "four");
	test_reach(&a, &b, &c, &i);
	test_dns(&a, &b, &i);
	test_conflicts(&a);
	test_repair();
	for (int k = 0; k < 4; k++) {
		kill(s[k], SIGKILL);
		waitpid(s[k], NULL, 0);
	}
	box_free(&b);
	ok(!reaches(NULL, "127.0.0.1", 8081, "two"), "an unpublished port is closed");
	test_cost();
	box_free(&a);
	box_free(&c);
	box_free(&i);
	is_int(net_bridge_remove(n, NET_A, NULL), 0, "remove alpha");
	is_int(net_bridge_remove(n, NET_B, NULL), 0, "remove beta");
	is_int(net_bridge_remove(n, NET_I, NULL), 0, "remove inner");
	net_close_and_clean(n);
	ok(shell("test -z \"$(nft list tables 2>/dev/null)\"") == 0, "no table is left");
}

static void remove_dir(void)
{
	autofree char *command = cstr_format("rm -rf %s", dir);

	is_int(shell(command), 0, "the directory goes");
}

int main(int argc, char **argv)
{
	net_helper_main(argc, argv);
	if (geteuid() != 0 || unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		printf("1..0 # SKIP needs root and namespaces\n");
		return 0;
	}
	if (!mkdtemp(dir))
		return 1;
	host_setup();
	test_all();
	test_respect();
	remove_dir();
	return tap_done();
}
