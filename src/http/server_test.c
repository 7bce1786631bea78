#include "http/server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/client.h"
#include "tests/tap.h"

static char socket_path[64];
static int file_fd;
static atomic_int waiting, canceled, quiet;

static void answer_echo(struct http_request *req, struct http_response *res)
{
	auto_(buf) body = BUF_INIT(1 << 20);
	struct error err;

	if (http_request_read(req, &body, &err) < 0) {
		http_response_set_status(res, 400);
		(void)!http_response_send(res, err.msg, strlen(err.msg), NULL);
		return;
	}
	(void)!http_response_send(res, body.data ? body.data : "", body.len, NULL);
}

static void answer_stream(struct http_request *req, struct http_response *res)
{
	struct writer *w;

	if (http_response_begin(res, -1, &w, NULL) < 0 || http_response_flush(res, NULL) < 0)
		return;
	for (int i = 0; i < 3; i++)
		if (writer_write(w, "line\n", 5, NULL) < 0)
			return;
	if (http_query_bool(&req->query, "cut", false))
		http_response_abort(res);
}

static void answer_hijack(struct http_response *res)
{
	struct http_stream s;
	char chunk[64];
	size_t n = 0;

	http_response_set_header(res, "Content-Type", "application/vnd.docker.raw-stream");
	if (http_response_hijack(res, NULL, &s, NULL) < 0)
		return;
	while (reader_read(s.reader, chunk, sizeof(chunk), &n, NULL) == 0 && n > 0)
		if (writer_write(s.writer, chunk, n, NULL) < 0)
			return;
	(void)!writer_write(s.writer, "bye", 3, NULL);
}

static void answer_detach(struct http_response *res)
{
	const void *early;
	size_t early_len;
	int fd;

	if (http_response_detach(res, NULL, &fd, &early, &early_len, NULL) < 0)
		return;
	(void)!write(fd, early, early_len);
	(void)!write(fd, "!", 1);
	close(fd);
}

static void answer_fd(struct http_request *req, struct http_response *res)
{
	struct stat st = { 0 };
	char text[32];
	int n;

	if (req->context_fd >= 0)
		fstat(req->context_fd, &st);
	n = snprintf(text, sizeof(text), "%d", S_ISDIR(st.st_mode));
	(void)!http_response_send(res, text, (size_t)n, NULL);
}

static void answer_never(const struct http_request *req)
{
	atomic_fetch_add(&waiting, 1);
	if (cancel_poll(req->cancel, req->cancel->fd, POLLIN, 5000, NULL) == -ERR_CANCELED)
		atomic_fetch_add(&canceled, 1);
}

static void handler(void *arg, struct http_request *req, struct http_response *res)
{
	(void)arg;
	if (strcmp(req->path, "/echo") == 0)
		answer_echo(req, res);
	else if (strcmp(req->path, "/stream") == 0)
		answer_stream(req, res);
	else if (strcmp(req->path, "/hijack") == 0)
		answer_hijack(res);
	else if (strcmp(req->path, "/detach") == 0)
		answer_detach(res);
	else if (strcmp(req->path, "/fd") == 0)
		answer_fd(req, res);
	else if (strcmp(req->path, "/file") == 0)
		(void)!http_response_send_file(res, file_fd, 1, 3, NULL);
	else if (strcmp(req->path, "/wait") == 0)
		answer_never(req);
	else if (strcmp(req->path, "/quick") == 0)
		(void)!http_response_send(res, "no", 2, NULL);
}

static void *run(void *arg)
{
	struct error err;

	if (http_server_run(arg, &err) < 0)
		printf("# %s\n", err.msg);
	return NULL;
}

static int dial(void)
{
	struct timeval tv = { .tv_sec = 5 };
	int fd = FD_NONE;

	if (http_dial_unix(socket_path, &fd, NULL) < 0)
		abort();
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	return fd;
}

/* Send the text, maybe half-close, read until the end. Date lines are cut out. */
static const char *talk(const char *text, bool half_close)
{
	static char out[256 * 1024];
	int fd = dial();
	size_t len = 0;
	ssize_t n;
	char *date;

	(void)!write(fd, text, strlen(text));
	if (half_close)
		shutdown(fd, SHUT_WR);
	while ((n = read(fd, out + len, sizeof(out) - 1 - len)) > 0)
		len += (size_t)n;
	out[len] = 0;
	close(fd);
	while ((date = strstr(out, "Date: ")) != NULL)
		memmove(date, date + 37, strlen(date + 37) + 1);
	return out;
}

#define CLOSE " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"

static void test_framing(void)
{
	is_str(talk("POST /echo" CLOSE "Content-Length: 3\r\n\r\nabc", false),
	       "HTTP/1.1 200 OK\r\nServer: t\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
	       "a body by length comes back");
	is_str(talk("POST /echo" CLOSE
		    "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
		    false),
	       "HTTP/1.1 200 OK\r\nServer: t\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
	       "a chunked body comes back");
	is_str(talk("GET /stream" CLOSE "\r\n", false),
	       "HTTP/1.1 200 OK\r\nServer: t\r\nTransfer-Encoding: chunked\r\nConnection: "
	       "close\r\n\r\n"
	       "5\r\nline\n\r\n5\r\nline\n\r\n5\r\nline\n\r\n0\r\n\r\n",
	       "a streamed answer is chunked");
	is_str(talk("GET /stream?cut=1" CLOSE "\r\n", false),
	       "HTTP/1.1 200 OK\r\nServer: t\r\nTransfer-Encoding: chunked\r\nConnection: "
	       "close\r\n\r\n"
	       "5\r\nline\n\r\n5\r\nline\n\r\n5\r\nline\n\r\n",
	       "an aborted stream has no end mark");
	is_str(talk("GET /stream HTTP/1.0\r\n\r\n", false),
	       "HTTP/1.1 200 OK\r\nServer: t\r\n\r\nline\nline\nline\n",
	       "an HTTP/1.0 client gets the stream until close");
	is_str(talk("HEAD /file" CLOSE "\r\n", false),
	       "HTTP/1.1 200 OK\r\nServer: t\r\nContent-Length: 3\r\nConnection: close\r\n\r\n",
	       "HEAD gets the length and no body");
	is_str(talk("GET /file" CLOSE "\r\n", false),
	       "HTTP/1.1 200 OK\r\nServer: t\r\nContent-Length: 3\r\nConnection: close\r\n\r\nile",
	       "a piece of a file");
	ok(strstr(talk("GET /nothing" CLOSE "\r\n", false), "HTTP/1.1 500 ") != NULL,
	   "a handler that sends nothing is a 500");
}

static void test_refusals(void)
{
	static char big[HTTP_HEAD_MAX + 4096];

	ok(strstr(talk("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
		       "Transfer-Encoding: chunked\r\n\r\n",
		       false),
		  "HTTP/1.1 400 ") != NULL,
	   "length and coding together are refused and closed");
	ok(strstr(talk("nonsense\r\n\r\n", false), "HTTP/1.1 400 ") != NULL, "nonsense is 400");
	ok(strstr(talk("GET /a%zz HTTP/1.1\r\nHost: x\r\n\r\n", false), "HTTP/1.1 400 ") != NULL,
	   "a bad escape is 400");
	memset(big, 'a', sizeof(big) - 1);
	memcpy(big, "GET / HTTP/1.1\r\nHost: x\r\nA: ", 28);
	ok(strstr(talk(big, false), "HTTP/1.1 431 ") != NULL, "a giant head is 431");
	ok(strstr(talk("POST /echo" CLOSE "Transfer-Encoding: chunked\r\n\r\nzz\r\n", false),
		  "HTTP/1.1 400 ") != NULL,
	   "a broken chunk reaches the handler as an error");
	ok(strstr(talk("POST /echo" CLOSE "Content-Length: 10\r\n\r\nabc", true),
		  "unexpected end of data") != NULL,
	   "a body that is cut off is an error");
}

static void test_keep_alive(void)
{
	const char *both = talk("GET /file HTTP/1.1\r\nHost: x\r\n\r\nPOST /quick HTTP/1.1\r\n"
				"Host: x\r\nContent-Length: 4\r\n\r\nGET GET /file" CLOSE "\r\n",
				false);

	is_str(both,
	       "HTTP/1.1 200 OK\r\nServer: t\r\nContent-Length: 3\r\n\r\nile"
	       "HTTP/1.1 200 OK\r\nServer: t\r\nContent-Length: 2\r\n\r\nno"
	       "HTTP/1.1 200 OK\r\nServer: t\r\nContent-Length: 3\r\nConnection: close\r\n\r\nile",
	       "pipelined requests are answered in order, an unread body is skipped");
	ok(strstr(talk("POST /echo" CLOSE "Content-Length: 2\r\nExpect: 100-continue\r\n\r\nab",
		       false),
		  "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK") != NULL,
	   "100-continue is sent before the body is read");
}

static void test_hijack(void)
{
	is_str(talk("POST /hijack HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: "
		    "tcp\r\n\r\nabc",
		    true),
	       "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n"
	       "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\nabcbye",
	       "hijack with Upgrade: output flows after the client's half-close");
	is_str(talk("POST /hijack HTTP/1.1\r\nHost: x\r\n\r\nabc", true),
	       "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\nabcbye",
	       "hijack without Upgrade is a raw 200");
	is_str(talk("POST /detach HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: "
		    "tcp\r\n\r\nearly",
		    false),
	       "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly!",
	       "a detached socket keeps the early bytes");
}

/* docker-py reads the head through a buffer, and the stream below it. */
static void test_late_reader(void)
{
	static const char req[] = "POST /detach HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
				  "Upgrade: tcp\r\n\r\n";
	char out[512];
	int fd = dial();
	ssize_t n;

	(void)!write(fd, req, sizeof(req) - 1);
	usleep(20 * 1000);
	n = read(fd, out, sizeof(out) - 1);
	out[n > 0 ? n : 0] = '\0';
	ok(n > 4 && strcmp(out + n - 4, "\r\n\r\n") == 0,
	   "a late reader's first read is the head alone");
	n = read(fd, out, sizeof(out));
	ok(n == 1 && out[0] == '!', "the stream comes in the next");
	close(fd);
}

/* Until another thread has counted `before` up; the caller tells whether it did. */
static void await(const atomic_int *counter, int before)
{
	for (int i = 0; i < 1000 && atomic_load(counter) == before; i++)
		usleep(10 * 1000);
}

static void test_gone(void)
{
	int before = atomic_load(&canceled), served = atomic_load(&waiting);
	int fd = dial();

	(void)!write(fd, "GET /wait" CLOSE "\r\n", 9 + strlen(CLOSE) + 2);
	await(&waiting, served);
	close(fd);
	await(&canceled, before);
	is_int(atomic_load(&canceled), before + 1, "the handler learns that the client has gone");
}

/* How many descriptors the epoll sets of this process hold. */
static unsigned watched(void)
{
	char path[64], line[256];
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++) {
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
		f = fopen(path, "re");
		if (f == NULL)
			continue;
		while (fgets(line, sizeof(line), f) != NULL)
			n += strncmp(line, "tfd:", 4) == 0;
		fclose(f);
	}
	return n;
}

static void await_connections(struct http_server *s, unsigned wanted)
{
	struct http_server_stats stats;

	for (int i = 0; i < 1000; i++) {
		http_server_get_stats(s, &stats);
		if (stats.connections == wanted)
			return;
		usleep(10 * 1000);
	}
}

static void test_copied(struct http_server *s)
{
	unsigned before;
	pid_t child;
	char out[512];
	int fd;

	await_connections(s, 0);
	before = watched();
	fd = dial();
	(void)!write(fd, "GET /quick HTTP/1.1\r\nHost: x\r\n\r\n", 32);
	ok(read(fd, out, sizeof(out)) > 0 && watched() == before + 1, "a connection is watched");
	child = fork();
	if (child == 0) {
		pause();
		_exit(0);
	}
	shutdown(fd, SHUT_RDWR);
	await_connections(s, 0);
	is_int(watched(), before, "and not when it ended, although a child has a copy of it");
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	close(fd);
}

static void test_slow_heads(void)
{
	int64_t start = clock_mono_ns();
	int fds[64];
	char c;

	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		fds[i] = dial();
		(void)!write(fds[i], "GET /file HT", 12);
	}
	ok(strstr(talk("GET /file" CLOSE "\r\n", false), "200 OK") != NULL,
	   "half-sent heads do not hold up others");
	is_int(read(fds[0], &c, 1), 0, "a half-sent head is closed");
	ok(clock_mono_ns() - start < 4 * NS_PER_SEC, "within its time-out");
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
}

static void test_idle(struct http_server *s)
{
	struct http_server_stats stats;
	static int fds[1000];
	size_t answered = 0;
	char out[512];

	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		fds[i] = dial();
		(void)!write(fds[i], "GET /quick HTTP/1.1\r\nHost: x\r\n\r\n", 32);
		answered += read(fds[i], out, sizeof(out)) > 0;
	}
	is_int(answered, ARRAY_LEN(fds), "1,000 connections are answered");
	/* The last worker still waits a moment for the next request of its own. */
	for (int i = 0; i < 1000; i++) {
		http_server_get_stats(s, &stats);
		if (stats.busy == 0)
			break;
		usleep(10 * 1000);
	}
	is_int(stats.connections, ARRAY_LEN(fds), "and kept");
	is_int(stats.busy, 0, "without a thread");
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
}

static void count_quiet(void)
{
	atomic_fetch_add(&quiet, 1);
}

static void test_quiet(void)
{
	int before = atomic_load(&quiet);

	ok(strstr(talk("GET /file" CLOSE "\r\n", false), "200 OK") != NULL,
	   "a request, then quiet");
	await(&quiet, before);
	is_int(atomic_load(&quiet), before + 1, "which is told once");
}

static void test_tcp(uint16_t port)
{
	int before = atomic_load(&canceled), served = atomic_load(&waiting);
	char text[8], out[512];
	int fds[6], alive = 0;

	snprintf(text, sizeof(text), "%u", (unsigned)port);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		struct timeval tv = { .tv_sec = 5 };

		if (http_dial_tcp("127.0.0.1", text, 2000, &fds[i], NULL) < 0)
			abort();
		fcntl(fds[i], F_SETFL, 0);
		setsockopt(fds[i], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
		if (send(fds[i], "GET /quick HTTP/1.1\r\nHost: x\r\n\r\n", 32, MSG_NOSIGNAL) == 32)
			alive += read(fds[i], out, sizeof(out)) > 0;
	}
	is_int(alive, 4, "one address gets no more than its share of connections");
	(void)!send(fds[0], "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n", 31, MSG_NOSIGNAL);
	await(&waiting, served);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
	await(&canceled, before);
	is_int(atomic_load(&canceled), before + 1, "over TCP too the handler learns of the end");
}

static void test_client(void)
{
	auto_(buf) got = BUF_INIT(4096);
	struct http_call_head head = { .method = "POST", .target = "/echo", .host = "x" };
	struct mem_reader body;
	struct http_conn c;
	struct http_call call;
	int dirfd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = dial();

	mem_reader_init(&body, "streamed", 8);
	head.body_reader = &body.reader;
	http_conn_init(&c, fd);
	is_int(http_call_start(&c, &head, &call, NULL), 0, "our client sends a streamed body");
	is_int(reader_read_all(&call.body.reader, &got, NULL), 0, "and reads the answer");
	is_str(got.data, "streamed", "which is what it sent");
	ok(http_call_reusable(&call), "the connection can be used again");
	http_call_release(&call);
	head = (struct http_call_head){
		.method = "GET", .target = "/fd", .host = "x", .pass_fds = &dirfd, .n_pass_fds = 1
	};
	got.len = 0;
	is_int(http_call_start(&c, &head, &call, NULL), 0, "a second call passes an fd");
	is_int(reader_read_all(&call.body.reader, &got, NULL), 0, "and is answered");
	is_str(got.data, "1", "the server got the directory");
	http_call_release(&call);
	http_conn_release(&c);
	close(dirfd);
}

int main(void)
{
	uint16_t port = 0;
	struct http_server_config config = { .name = "t",
					     .max_per_peer = 4,
					     .header_timeout_ms = 1000,
					     .accept_context_fd = true,
					     .quiet_after_ms = 1,
					     .on_quiet = count_quiet };
	char dir[] = "/tmp/http_test_XXXXXX";
	struct http_server *s, *other;
	struct error err;
	struct stat st;
	pthread_t thread;
	char file[64];

	if (!mkdtemp(dir))
		return 1;
	snprintf(socket_path, sizeof(socket_path), "%s/s.sock", dir);
	snprintf(file, sizeof(file), "%s/file", dir);
	file_fd = open(file, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	(void)!write(file_fd, "file!", 5);
	is_int(http_server_new(&config, handler, NULL, &s, &err), 0, "a server");
	is_int(http_server_listen_unix(s, socket_path, 0660, (gid_t)-1, &err), 0, "listens");
	is_int(http_server_listen_tcp(s, "127.0.0.1", 0, NULL, &port, &err), 0, "and on TCP");
	is_int(stat(socket_path, &st), 0, "its socket exists");
	is_int(st.st_mode & 07777, 0660, "with the mode asked for");
	is_int(http_server_new(&config, handler, NULL, &other, &err), 0, "another server");
	is_int(http_server_listen_unix(other, socket_path, 0660, (gid_t)-1, &err), -ERR_CONFLICT,
	       "cannot take the same socket");
	http_server_free(other);
	if (pthread_create(&thread, NULL, run, s) != 0)
		return 1;
	test_framing();
	test_refusals();
	test_keep_alive();
	test_hijack();
	test_late_reader();
	test_gone();
	test_copied(s);
	test_slow_heads();
	test_idle(s);
	test_quiet();
	test_tcp(port);
	test_client();
	http_server_stop(s);
	pthread_join(thread, NULL);
	http_server_free(s);
	is_int(stat(socket_path, &st), -1, "the socket is gone after the stop");
	close(file_fd);
	unlink(file);
	rmdir(dir);
	return tap_done();
}
