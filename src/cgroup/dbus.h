/*
 * cgroup/dbus.h: as much of D-Bus as it takes to ask systemd for a unit.
 *
 * One blocking connection, little-endian, no fds, EXTERNAL authentication.
 * Every message has a ceiling and each call a deadline; what the peer sends is
 * read with bounds and never trusted to be well formed. Internal to this room.
 *
 * Spec: D-Bus Specification 0.43, "Message Protocol", "Authentication Protocol".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#define DBUS_MESSAGE_MAX (1u << 20)

/* ---- bytes out ---- */

/* A body (or a header) that grows; `bytes.len` is the offset that alignment counts from. The first
 * failure sticks and is told by the call. */
struct dbus_writer {
	struct buf bytes;
	bool failed;
};
#define DBUS_WRITER_INIT \
	{ \
		.bytes = BUF_INIT(DBUS_MESSAGE_MAX) \
	}
static inline void dbus_writer_release(struct dbus_writer *w)
{
	buf_release(&w->bytes);
}
DEFINE_AUTO(dbus_writer, dbus_writer_release);

void dbus_put_align(struct dbus_writer *w, size_t n);
void dbus_put_u8(struct dbus_writer *w, uint8_t v);
void dbus_put_u32(struct dbus_writer *w, uint32_t v);
void dbus_put_u64(struct dbus_writer *w, uint64_t v);
void dbus_put_string(struct dbus_writer *w, const char *s); /* also object paths */
void dbus_put_signature(struct dbus_writer *w, const char *s);
/* An array: returns where its length stands, for dbus_array_end; `align` of one element. */
size_t dbus_array_begin(struct dbus_writer *w, size_t align, size_t *ret_start);
void dbus_array_end(struct dbus_writer *w, size_t at, size_t start);

/* ---- bytes in ---- */

struct dbus_reader {
	struct str all; /* the message from its first byte; alignment counts from there */
	size_t at;
	bool failed;
};
uint8_t dbus_get_u8(struct dbus_reader *r);
uint32_t dbus_get_u32(struct dbus_reader *r);
/* Borrowed, NUL-terminated in the message; "" on failure. */
const char *dbus_get_string(struct dbus_reader *r);
const char *dbus_get_signature(struct dbus_reader *r);

enum dbus_type { DBUS_CALL = 1, DBUS_RETURN = 2, DBUS_ERROR = 3, DBUS_SIGNAL = 4 };

/* What was received; strings borrow from the text that was parsed, NULL when absent. */
struct dbus_message {
	enum dbus_type type;
	uint32_t reply_serial;
	const char *interface, *member, *error_name, *signature;
	struct dbus_reader body;
};
/*
 * Length of the message whose first 16 bytes are `head`. ERR_CORRUPT when it is none, is not
 * little-endian or is longer than DBUS_MESSAGE_MAX.
 */
MUST_CHECK int dbus_message_length(const uint8_t head[static 16], size_t *ret, struct error *err);
/* Take a whole message apart. ERR_CORRUPT. */
MUST_CHECK int dbus_message_parse(struct str text, struct dbus_message *ret, struct error *err);

/* ---- a connection ---- */

struct dbus {
	int fd;
	uint32_t serial;
	char *in; /* the last message; owned */
};
#define DBUS_INIT \
	{ \
		.fd = FD_NONE \
	}
void dbus_close(struct dbus *d);
DEFINE_AUTO(dbus, dbus_close);

/* Connect to a socket and authenticate as who we are. ERR_UNAVAILABLE when nobody listens. */
MUST_CHECK int dbus_connect(struct dbus *d, const char *path, struct error *err);

struct dbus_call {
	const char *destination; /* NULL: the peer itself */
	const char *path, *interface, *member;
	const char *signature;          /* NULL: no arguments */
	const struct dbus_writer *body; /* NULL: no arguments */
};
/*
 * Call and wait for the answer, at most 30 s. A signal that arrives meanwhile goes to on_signal
 * (may be NULL). The answer is valid until the next call. An error reply is ERR_SYSTEM with the
 * peer's words; its name is kept at ret->error_name. ERR_UNAVAILABLE on a time-out.
 */
typedef void (*dbus_signal_fn)(void *ctx, struct dbus_message *m);
MUST_CHECK int dbus_call(struct dbus *d, const struct dbus_call *c, dbus_signal_fn on_signal,
			 void *ctx, struct dbus_message *ret, struct error *err);
/* Wait for one more signal. */
MUST_CHECK int dbus_wait(struct dbus *d, dbus_signal_fn on_signal, void *ctx, struct error *err);
