/*
 * remote/testserver.h: a registry that misbehaves on purpose, for tests.
 *
 * Each connection is one request, answered by the handler in a thread of its
 * own; what the client asked is kept for the test to look at.
 */
#pragma once

#include <arpa/inet.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/str.h"

struct served {
	int fd;
	char method[16], path[1024];
	char head[8192]; /* the whole request head */
	char body[4096];
};

struct testserver {
	int listener, port;
	char host[32]; /* "127.0.0.1:port" */
	void (*handle)(struct testserver *s, struct served *q);
	pthread_t thread;
	unsigned n_requests, n_serving; /* n_serving: threads that testserver_stop waits for */
	char log[16384]; /* one line a request: method, path, "+auth" when it had some */
	pthread_mutex_t lock;
	pthread_cond_t served;
};

/* Value of a request header, "" when absent; in a static buffer of the thread. */
static inline const char *served_header(const struct served *q, const char *name)
{
	static __thread char value[2048];
	const char *p = strcasestr(q->head, name);
	size_t n;

	value[0] = '\0';
	if (p == NULL)
		return value;
	p += strlen(name);
	p += strspn(p, ": ");
	n = strcspn(p, "\r\n");
	snprintf(value, sizeof(value), "%.*s", (int)n, p);
	return value;
}

static inline void serve_bytes(const struct served *q, const void *bytes, size_t len)
{
	ssize_t n = send(q->fd, bytes, len, MSG_NOSIGNAL);

	(void)n;
}

__attribute__((format(printf, 2, 3))) static inline void serve(const struct served *q,
							       const char *fmt, ...)
{
	char text[8192];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	serve_bytes(q, text, (size_t)n);
}

/* A whole answer: status line and extra headers (each ending in CR LF), then the body. */
static inline void serve_answer(const struct served *q, const char *status, const char *headers,
				const void *body, size_t len)
{
	serve(q, "HTTP/1.1 %s\r\nConnection: close\r\nContent-Length: %zu\r\n%s\r\n", status, len,
	      headers);
	if (strcmp(q->method, "HEAD") != 0)
		serve_bytes(q, body, len);
}

struct served_arg {
	struct testserver *s;
	int fd;
};

static inline void *testserver_one(void *arg)
{
	struct served_arg *a = arg;
	struct served q = { .fd = a->fd };
	size_t n = 0;
	ssize_t got = 1;
	char *end = NULL;

	while (got > 0 && n < sizeof(q.head) - 1 && end == NULL) {
		got = recv(a->fd, q.head + n, sizeof(q.head) - 1 - n, 0);
		n += got > 0 ? (size_t)got : 0;
		end = strstr(q.head, "\r\n\r\n");
		if (q.head[0] == 0x16) /* somebody tries TLS */
			break;
	}
	if (end != NULL) {
		struct str length = str_of(served_header(&q, "\r\nContent-Length"));
		uint64_t want = 0;
		bool has_body = parse_u64(length, sizeof(q.body), &want, NULL) == 0;
		size_t have = n - (size_t)(end + 4 - q.head);
		const char *sp = strchr(q.head, ' ');

		memcpy(q.body, end + 4, have < sizeof(q.body) - 1 ? have : 0);
		while (has_body && have < want && have < sizeof(q.body) - 1) {
			got = recv(a->fd, q.body + have, sizeof(q.body) - 1 - have, 0);
			if (got <= 0)
				break;
			have += (size_t)got;
		}
		end[2] = '\0';
		snprintf(q.method, sizeof(q.method), "%.*s", (int)(sp - q.head), q.head);
		snprintf(q.path, sizeof(q.path), "%.*s", (int)strcspn(sp + 1, " "), sp + 1);
		pthread_mutex_lock(&a->s->lock);
		a->s->n_requests++;
		snprintf(a->s->log + strlen(a->s->log), sizeof(a->s->log) - strlen(a->s->log),
			 "%s %s%s\n", q.method, q.path,
			 *served_header(&q, "\r\nAuthorization") ? " +auth" : "");
		pthread_mutex_unlock(&a->s->lock);
		a->s->handle(a->s, &q);
	}
	shutdown(a->fd, SHUT_WR);
	close(a->fd);
	pthread_mutex_lock(&a->s->lock);
	a->s->n_serving--;
	pthread_cond_signal(&a->s->served);
	pthread_mutex_unlock(&a->s->lock);
	free(a);
	return NULL;
}

static inline void *testserver_loop(void *arg)
{
	struct testserver *s = arg;

	for (;;) {
		struct served_arg *a;
		pthread_t t;
		int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			return NULL;
		a = malloc(sizeof(*a));
		*a = (struct served_arg){ s, fd };
		pthread_mutex_lock(&s->lock);
		s->n_serving++;
		pthread_mutex_unlock(&s->lock);
		if (pthread_create(&t, NULL, testserver_one, a) != 0)
			abort();
		pthread_detach(t);
	}
}

static inline int testserver_start(struct testserver *s,
				   void (*handle)(struct testserver *s, struct served *q))
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);

	memset(s, 0, sizeof(*s));
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->served, NULL);
	s->handle = handle;
	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(s->listener, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    listen(s->listener, 64) < 0 ||
	    getsockname(s->listener, (struct sockaddr *)&a, &len) < 0)
		return -1;
	s->port = ntohs(a.sin_port);
	snprintf(s->host, sizeof(s->host), "127.0.0.1:%d", s->port);
	return pthread_create(&s->thread, NULL, testserver_loop, s);
}

/* Waits for the answers under way: what a handler sends may be freed afterwards. */
static inline void testserver_stop(struct testserver *s)
{
	shutdown(s->listener, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	pthread_mutex_lock(&s->lock);
	while (s->n_serving)
		pthread_cond_wait(&s->served, &s->lock);
	pthread_mutex_unlock(&s->lock);
	close(s->listener);
}
