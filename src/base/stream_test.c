#include "base/stream.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cancel.h"
#include "base/fdpass.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/str.h"
#include "tests/tap.h"

static void test_streams(void)
{
	struct mem_reader m;
	auto_(buf) b = BUF_INIT(10);
	struct buf_writer w;
	uint64_t n = 0;
	struct error err;

	mem_reader_init(&m, "hello world", 11);
	is_int(reader_read_all(&m.reader, &b, &err), -ERR_INVALID, "the buffer's ceiling");
	b.len = 0;
	b.max = 100;
	buf_writer_init(&w, &b);
	mem_reader_init(&m, "hello world", 11);
	is_int(stream_copy(&m.reader, &w.writer, 11, &n, &err), 0, "copy");
	ok(n == 11 && strcmp(b.data, "hello world") == 0, "all of it");
	mem_reader_init(&m, "hello world", 11);
	is_int(stream_copy(&m.reader, &w.writer, 10, NULL, &err), -ERR_INVALID, "one too many");
}

static void test_fds(void)
{
	struct fd_reader r;
	struct fd_writer w;
	struct cancel c;
	char out[4] = "";
	size_t n = 9;
	int p[2];
	struct error err;

	ok(pipe2(p, O_CLOEXEC | O_NONBLOCK) == 0 && cancel_init(&c, &err) == 0, "a pipe");
	fd_writer_init(&w, p[1], NULL);
	fd_reader_init(&r, p[0], &c);
	is_int(writer_write(&w.writer, "abc", 3, &err), 0, "write");
	is_int(reader_read(&r.reader, out, sizeof(out), &n, &err), 0, "read");
	ok(n == 3 && memcmp(out, "abc", 3) == 0, "what was written");
	cancel_fire(&c);
	is_int(reader_read(&r.reader, out, sizeof(out), &n, &err), -ERR_CANCELED,
	       "a cancel wakes a reader");
	fd_reader_init(&r, p[0], NULL);
	close(p[1]);
	is_int(reader_read(&r.reader, out, sizeof(out), &n, &err), 0, "the writer is gone");
	is_int((long long)n, 0, "that is the end");
	close(p[0]);
	cancel_release(&c);
}

static void test_fdpass(void)
{
	int s[2], fds[2] = { FD_NONE, FD_NONE }, null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int three[3] = { null, null, null };
	size_t len = 0, n = 0;
	char out[8] = "";
	struct error err;

	ok(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s) == 0, "a socket pair");
	is_int(fdpass_send(s[0], "hi", 2, three, 2, &err), 0, "send two fds");
	is_int(fdpass_recv(s[1], out, sizeof(out), &len, fds, 2, &n, &err), 0, "receive");
	ok(len == 2 && n == 2 && fds[0] != null, "the bytes and both");
	ok((fcntl(fds[0], F_GETFD) & FD_CLOEXEC) != 0, "closed on exec");
	close(fds[0]);
	close(fds[1]);
	is_int(fdpass_send(s[0], "hi", 2, three, 3, &err), 0, "send three");
	is_int(fdpass_recv(s[1], out, sizeof(out), &len, fds, 2, &n, &err), -ERR_INVALID,
	       "more than were expected");
	is_int(fdpass_send(s[0], "", 0, NULL, 0, &err), -ERR_INVALID, "an empty message");
	close(s[0]);
	is_int(fdpass_recv(s[1], out, sizeof(out), &len, fds, 2, &n, &err), 0, "peer closed");
	is_int((long long)len, 0, "is length 0");
	close(s[1]);
	close(null);
}

static void test_hash(void)
{
	static const char want[] =
	    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
	struct hash h, copy;
	uint8_t out[SHA512_SIZE];
	char hex[2 * SHA512_SIZE + 1];

	hash_init_sha256(&h);
	hash_add(&h, "ab", 2);
	hash_copy(&h, &copy);
	hash_add(&h, "x", 1);
	hash_add(&copy, "c", 1);
	hash_finish(&copy, out);
	hex_format(out, SHA256_SIZE, hex);
	is_str(hex, want, "a copied state goes its own way");
	hash_release(&h);
	hash_release(&copy);
	hash_sha256("abc", 3, out);
	hex_format(out, SHA256_SIZE, hex);
	is_str(hex, want, "in one call");
	hash_init_sha512(&h);
	hash_finish(&h, out);
	hex_format(out, SHA512_SIZE, hex);
	ok(strncmp(hex, "cf83e1357eefb8bd", 16) == 0, "sha512 of nothing");
	hash_release(&h);
}

static void test_log(void)
{
	auto_(buf) b = BUF_INIT(4096);
	struct fd_reader r;
	enum log_level level;
	struct error err = { 0 };
	int p[2];

	ok(pipe2(p, O_CLOEXEC) == 0, "a pipe");
	log_setup(p[1], LOG_INFO, LOG_TEXT);
	log_debug("not seen");
	log_at_(LOG_WARN, "two\nlines", KV("a", "x y"), KV_INT("n", -3), KV("e", ""),
		KV("p", "plain"));
	log_setup(p[1], LOG_INFO, LOG_JSON);
	log_at_(LOG_INFO, "m", KV("k", "\"<\n"));
	log_setup(STDERR_FILENO, LOG_INFO, LOG_TEXT);
	close(p[1]);
	fd_reader_init(&r, p[0], NULL);
	is_int(reader_read_all(&r.reader, &b, &err), 0, "read the log");
	ok(strstr(b.data, "Z warn \"two\\nlines\" a=\"x y\" n=-3 e=\"\" p=plain\n") != NULL,
	   "a line of text");
	ok(strstr(b.data, "\"level\":\"info\",\"msg\":\"m\",\"k\":\"\\\"<\\n\"}\n") != NULL,
	   "a line of JSON");
	ok(strstr(b.data, "not seen") == NULL, "below the level");
	is_int(log_level_parse("warn", &level, &err), 0, "a level");
	is_int(level, LOG_WARN, "is warn");
	is_int(log_level_parse("loud", &level, &err), -ERR_INVALID, "no level");
	close(p[0]);
}

int main(void)
{
	test_streams();
	test_fds();
	test_fdpass();
	test_hash();
	test_log();
	return tap_done();
}
