/*
 * bench/net.c: what a path between two network namespaces carries.
 *
 * net serve PORT                        until it is killed; IPv4, a process a connection
 * net stream|rr|connect HOST PORT SEC   prints one number: Gbit/s sent, round trips of one byte
 *                                       a second, connections (each with one byte back) a second
 *
 * Statically linked: the same program stands in the containers of all peers.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 128 * 1024 };
static char buf[CHUNK];

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(1);
}

static struct sockaddr_in address(const char *host, const char *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons((unsigned short)atoi(port)) };
	if (inet_pton(AF_INET, host, &a.sin_addr) != 1)
		die(host);
	return a;
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* The first byte says what the client wants: s = only read, r = one byte back for each. */
static _Noreturn void serve_one(int fd)
{
	char mode;
	if (read(fd, &mode, 1) != 1)
		exit(0);
	if (mode == 's')
		while (read(fd, buf, sizeof(buf)) > 0)
			;
	else
		do
			if (write(fd, &mode, 1) != 1)
				break;
		while (read(fd, &mode, 1) == 1);
	exit(0);
}

/* A connection costs the server an accept and a write here; a fork would be what is measured. */
static void serve_short(int fd)
{
	char mode;
	if (recv(fd, &mode, 1, 0) == 1 && mode == 'c')
		(void)!write(fd, &mode, 1);
}

static void serve(const char *port)
{
	int on = 1, s = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in a = address("0.0.0.0", port);
	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(s, (struct sockaddr *)&a, sizeof(a)) != 0 || listen(s, 4096) != 0)
		die("listen");
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		char mode = 0;
		int fd = accept(s, NULL, NULL);
		if (fd < 0)
			continue;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		if (recv(fd, &mode, 1, MSG_PEEK) == 1 && mode == 'c')
			serve_short(fd);
		else if (fork() == 0)
			serve_one(fd);
		close(fd);
	}
}

static int connect_to(const struct sockaddr_in *a)
{
	int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(fd, (const struct sockaddr *)a, sizeof(*a)) != 0)
		die("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

static double stream(const struct sockaddr_in *a, double seconds)
{
	double from = now(), bytes = 0;
	int fd = connect_to(a);
	memset(buf, 's', sizeof(buf));
	while (now() - from < seconds) {
		ssize_t n = write(fd, buf, sizeof(buf));
		if (n <= 0)
			die("write");
		bytes += (double)n;
	}
	return bytes * 8e-9 / (now() - from);
}

static void exchange(int fd, char c)
{
	if (write(fd, &c, 1) != 1 || read(fd, &c, 1) != 1)
		die("exchange");
}

static double round_trips(const struct sockaddr_in *a, double seconds)
{
	int fd = connect_to(a), n = 0;
	double from = now();
	for (; now() - from < seconds; n++)
		exchange(fd, 'r');
	return n / (now() - from);
}

static double connections(const struct sockaddr_in *a, double seconds)
{
	double from = now();
	/* Reset instead of TIME_WAIT: the ports would run out. */
	struct linger reset = { 1, 0 };
	int n = 0;
	for (; now() - from < seconds; n++) {
		int fd = connect_to(a);
		exchange(fd, 'c');
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(fd);
	}
	return n / (now() - from);
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		serve(argv[2]);
	if (argc != 5)
		return 2;
	struct sockaddr_in a = address(argv[2], argv[3]);
	double seconds = atof(argv[4]);
	printf("%.3f\n", argv[1][0] == 's'   ? stream(&a, seconds)
			 : argv[1][0] == 'r' ? round_trips(&a, seconds)
					     : connections(&a, seconds));
	return 0;
}
