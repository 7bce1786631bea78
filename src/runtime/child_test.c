#include "runtime/child.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/macros.h"
#include "tests/tap.h"

/* The parent's CHILD_RECORDED is still unread when the child fails and is gone. */
static void test_failed_unread(void)
{
	enum child_message_kind kind;
	struct error said = { 0 }, err = { 0 };
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		ok(0, "a pair of sockets");
		return;
	}
	(void)!error_set(&said, ERR_NOT_FOUND, "no such program");
	is_int(child_send(pair[0], CHILD_RECORDED, NULL, &err), 0, "the parent sends");
	is_int(child_send(pair[1], CHILD_FAILED, &said, &err), 0, "the child fails");
	close(pair[1]);
	is_int(child_receive(pair[0], &kind, &err), -ERR_NOT_FOUND, "the child's kind arrives");
	is_str(err.msg, "no such program", "the child's words arrive");
	is_int(child_receive(pair[0], &kind, &err), 0, "then the end");
	is_int(kind, CHILD_CLOSED, "which is told as such");
	close(pair[0]);
}

int main(void)
{
	test_failed_unread();
	return tap_done();
}
