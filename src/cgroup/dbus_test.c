/* Messages of D-Bus: what we write reads back, what is cut or lies is refused. */
#include "cgroup/dbus.h"

#include <string.h>

#include "base/macros.h"
#include "tests/tap.h"

static struct error err;

/* A signal JobRemoved(uoss) as systemd sends it. */
static void make_signal(struct dbus_writer *w)
{
	auto_(dbus_writer) body = DBUS_WRITER_INIT;
	size_t at, start;

	dbus_put_u32(&body, 7);
	dbus_put_string(&body, "/job/7");
	dbus_put_string(&body, "x.scope");
	dbus_put_string(&body, "done");
	dbus_put_u8(w, 'l');
	dbus_put_u8(w, DBUS_SIGNAL);
	dbus_put_u8(w, 0);
	dbus_put_u8(w, 1);
	dbus_put_u32(w, (uint32_t)body.bytes.len);
	dbus_put_u32(w, 9);
	at = dbus_array_begin(w, 8, &start);
	dbus_put_u8(w, 3);
	dbus_put_signature(w, "s");
	dbus_put_string(w, "JobRemoved");
	dbus_put_align(w, 8);
	dbus_put_u8(w, 8);
	dbus_put_signature(w, "g");
	dbus_put_signature(w, "uoss");
	dbus_put_align(w, 8);
	dbus_put_u8(w, 5);
	dbus_put_signature(w, "u");
	dbus_put_u32(w, 3);
	dbus_array_end(w, at, start);
	dbus_put_align(w, 8);
	(void)!buf_add(&w->bytes, body.bytes.data, body.bytes.len, NULL);
}

static void test_round_trip(void)
{
	auto_(dbus_writer) w = DBUS_WRITER_INIT;
	struct dbus_message m;
	size_t len;

	make_signal(&w);
	ok(dbus_message_length((const uint8_t *)w.bytes.data, &len, &err) == 0 &&
	       len == w.bytes.len,
	   "the head tells the length");
	ok(dbus_message_parse((struct str){ w.bytes.data, w.bytes.len }, &m, &err) == 0,
	   "what was written parses");
	ok(m.type == DBUS_SIGNAL && m.reply_serial == 3 && strcmp(m.member, "JobRemoved") == 0 &&
	       strcmp(m.signature, "uoss") == 0,
	   "with its fields");
	ok(dbus_get_u32(&m.body) == 7 && strcmp(dbus_get_string(&m.body), "/job/7") == 0 &&
	       strcmp(dbus_get_string(&m.body), "x.scope") == 0 &&
	       strcmp(dbus_get_string(&m.body), "done") == 0 && !m.body.failed,
	   "and its body");
	ok(dbus_get_u32(&m.body) == 0 && m.body.failed, "nothing is read behind the end");
}

static void test_hostile(void)
{
	auto_(dbus_writer) w = DBUS_WRITER_INIT;
	struct dbus_message m;
	unsigned accepted = 0;

	make_signal(&w);
	for (size_t n = 0; n < w.bytes.len; n++)
		if (dbus_message_parse((struct str){ w.bytes.data, n }, &m, &err) == 0)
			accepted++;
	is_int(accepted, 0, "no cut message is taken");
	w.bytes.data[0] = 'B';
	is_int(dbus_message_parse((struct str){ w.bytes.data, w.bytes.len }, &m, &err),
	       -ERR_CORRUPT, "big-endian is refused");
	w.bytes.data[0] = 'l';
	memset(w.bytes.data + 4, 0xff, 4);
	is_int(dbus_message_parse((struct str){ w.bytes.data, w.bytes.len }, &m, &err),
	       -ERR_CORRUPT, "a body of 4 GiB is refused");
	memset(w.bytes.data + 12, 0xff, 4);
	is_int(dbus_message_parse((struct str){ w.bytes.data, w.bytes.len }, &m, &err),
	       -ERR_CORRUPT, "fields of 4 GiB are refused");
}

static void test_nobody_there(void)
{
	auto_(dbus) d = DBUS_INIT;

	is_int(dbus_connect(&d, "/nonexistent/bus", &err), -ERR_UNAVAILABLE,
	       "a bus that is not there is unavailable");
}

int main(void)
{
	test_round_trip();
	test_hostile();
	test_nobody_there();
	return tap_done();
}
