#include "cgroup/dbus.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/macros.h"

#define CALL_TIMEOUT_NS (30 * NS_PER_SEC)
#define FIELDS_MAX      64

enum {
	FIELD_PATH = 1,
	FIELD_INTERFACE,
	FIELD_MEMBER,
	FIELD_ERROR_NAME,
	FIELD_REPLY_SERIAL,
	FIELD_DESTINATION,
	FIELD_SENDER,
	FIELD_SIGNATURE,
	FIELD_UNIX_FDS
};

/* ---- out ---- */

static void put(struct dbus_writer *w, const void *bytes, size_t n)
{
	if (!w->failed && buf_add(&w->bytes, bytes, n, NULL) < 0)
		w->failed = true;
}

void dbus_put_align(struct dbus_writer *w, size_t n)
{
	static const char zero[8];

	put(w, zero, (n - w->bytes.len % n) % n);
}

void dbus_put_u8(struct dbus_writer *w, uint8_t v)
{
	put(w, &v, 1);
}

void dbus_put_u32(struct dbus_writer *w, uint32_t v)
{
	uint8_t b[4] = { (uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24) };

	dbus_put_align(w, 4);
	put(w, b, sizeof(b));
}

void dbus_put_u64(struct dbus_writer *w, uint64_t v)
{
	dbus_put_align(w, 8);
	dbus_put_u32(w, (uint32_t)v);
	dbus_put_u32(w, (uint32_t)(v >> 32));
}

void dbus_put_string(struct dbus_writer *w, const char *s)
{
	dbus_put_u32(w, (uint32_t)strlen(s));
	put(w, s, strlen(s) + 1);
}

void dbus_put_signature(struct dbus_writer *w, const char *s)
{
	dbus_put_u8(w, (uint8_t)strlen(s));
	put(w, s, strlen(s) + 1);
}

size_t dbus_array_begin(struct dbus_writer *w, size_t align, size_t *ret_start)
{
	size_t at;

	dbus_put_u32(w, 0);
	at = w->bytes.len;
	/* The padding before the first element does not count. */
	dbus_put_align(w, align);
	*ret_start = w->bytes.len;
	return at - 4;
}

void dbus_array_end(struct dbus_writer *w, size_t at, size_t start)
{
	size_t n = w->bytes.len - start;

	if (w->failed)
		return;
	for (unsigned i = 0; i < 4; i++)
		w->bytes.data[at + i] = (char)(n >> 8 * i);
}

/* ---- in ---- */

static const uint8_t *take(struct dbus_reader *r, size_t align, size_t n)
{
	size_t at = (r->at + align - 1) / align * align;

	if (r->failed || at > r->all.len || n > r->all.len - at) {
		r->failed = true;
		return NULL;
	}
	r->at = at + n;
	return (const uint8_t *)r->all.at + at;
}

static uint32_t u32_at(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint8_t dbus_get_u8(struct dbus_reader *r)
{
	const uint8_t *p = take(r, 1, 1);

	return p ? *p : 0;
}

uint32_t dbus_get_u32(struct dbus_reader *r)
{
	const uint8_t *p = take(r, 4, 4);

	return p ? u32_at(p) : 0;
}

static const char *text(struct dbus_reader *r, size_t n)
{
	const char *p = (const char *)take(r, 1, n + 1);

	if (p == NULL || p[n] != '\0' || memchr(p, '\0', n) != NULL) {
		r->failed = true;
		return "";
	}
	return p;
}

const char *dbus_get_string(struct dbus_reader *r)
{
	uint32_t n = dbus_get_u32(r);

	return r->failed || n >= DBUS_MESSAGE_MAX ? (r->failed = true, "") : text(r, n);
}

const char *dbus_get_signature(struct dbus_reader *r)
{
	uint8_t n = dbus_get_u8(r);

	return r->failed ? "" : text(r, n);
}

static int corrupt(struct error *err)
{
	return error_set(err, ERR_CORRUPT, "the bus sent a message that does not parse");
}

int dbus_message_length(const uint8_t head[static 16], size_t *ret, struct error *err)
{
	uint64_t body = u32_at(head + 4), fields = u32_at(head + 12);
	uint64_t total = (16 + fields + 7) / 8 * 8 + body;

	if (head[0] != 'l' || head[3] != 1 || total > DBUS_MESSAGE_MAX)
		return corrupt(err);
	*ret = (size_t)total;
	return 0;
}

static void read_field(struct dbus_reader *r, struct dbus_message *m)
{
	uint8_t code = dbus_get_u8(r);
	const char *type = dbus_get_signature(r);
	const char *value = NULL;
	uint32_t number = 0;

	/* Only these types occur in headers. */
	if (strcmp(type, "s") == 0 || strcmp(type, "o") == 0)
		value = dbus_get_string(r);
	else if (strcmp(type, "g") == 0)
		value = dbus_get_signature(r);
	else if (strcmp(type, "u") == 0)
		number = dbus_get_u32(r);
	else
		r->failed = true;
	if (code == FIELD_INTERFACE)
		m->interface = value;
	else if (code == FIELD_MEMBER)
		m->member = value;
	else if (code == FIELD_ERROR_NAME)
		m->error_name = value;
	else if (code == FIELD_SIGNATURE)
		m->signature = value;
	else if (code == FIELD_REPLY_SERIAL)
		m->reply_serial = number;
}

int dbus_message_parse(struct str whole, struct dbus_message *ret, struct error *err)
{
	struct dbus_message m = { 0 };
	struct dbus_reader r = { .all = whole, .at = 16 };
	size_t total, end;
	int rc;

	if (whole.len < 16)
		return corrupt(err);
	rc = dbus_message_length((const uint8_t *)whole.at, &total, err);
	if (rc < 0)
		return rc;
	end = 16 + u32_at((const uint8_t *)whole.at + 12);
	if (total != whole.len)
		return corrupt(err);
	m.type = (enum dbus_type)(uint8_t)whole.at[1];
	r.all.len = end;
	for (unsigned n = 0; r.at < end && !r.failed; n++) {
		if (n == FIELDS_MAX || take(&r, 8, 0) == NULL)
			return corrupt(err);
		read_field(&r, &m);
	}
	if (r.failed || r.at != end)
		return corrupt(err);
	/* The body starts at a multiple of 8: counted from there its alignment is the same. */
	end = (end + 7) / 8 * 8;
	m.body.all = str_sub(whole, end, whole.len - end);
	*ret = m;
	return 0;
}

/* ---- connection ---- */

void dbus_close(struct dbus *d)
{
	if (d->fd >= 0)
		close(d->fd);
	d->fd = FD_NONE;
	free(steal_ptr(d->in));
}

static int await(int fd, short events, int64_t deadline, struct error *err)
{
	for (;;) {
		int64_t left = (deadline - clock_mono_ns()) / NS_PER_MS;
		struct pollfd p = { .fd = fd, .events = events };
		int n = left > 0 ? poll(&p, 1, (int)left) : 0;

		if (n > 0)
			return 0;
		if (n == 0)
			return error_set(err, ERR_UNAVAILABLE, "the bus does not answer");
		if (errno != EINTR)
			return error_sys(err, errno, "talk to the bus");
	}
}

static int send_all(struct dbus *d, const void *bytes, size_t n, int64_t deadline,
		    struct error *err)
{
	const char *at = bytes;

	while (n > 0) {
		ssize_t done = send(d->fd, at, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		int r;

		if (done < 0 && errno != EAGAIN && errno != EINTR)
			return error_sys(err, errno, "talk to the bus");
		if (done > 0) {
			at += done;
			n -= (size_t)done;
			continue;
		}
		r = await(d->fd, POLLOUT, deadline, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int receive(struct dbus *d, void *bytes, size_t n, int64_t deadline, struct error *err)
{
	char *at = bytes;

	while (n > 0) {
		ssize_t done;
		int r = await(d->fd, POLLIN, deadline, err);

		if (r < 0)
			return r;
		done = recv(d->fd, at, n, MSG_DONTWAIT);
		if (done == 0)
			return error_set(err, ERR_UNAVAILABLE, "the bus has hung up");
		if (done < 0 && errno != EAGAIN && errno != EINTR)
			return error_sys(err, errno, "talk to the bus");
		if (done > 0) {
			at += done;
			n -= (size_t)done;
		}
	}
	return 0;
}

/* One line of the authentication, byte by byte: what follows it is a message. */
static int read_line(struct dbus *d, char *line, size_t cap, int64_t deadline, struct error *err)
{
	for (size_t n = 0; n + 1 < cap; n++) {
		int r = receive(d, &line[n], 1, deadline, err);

		if (r < 0)
			return r;
		if (line[n] == '\n') {
			line[n] = '\0';
			return 0;
		}
	}
	return error_set(err, ERR_CORRUPT, "the bus sent a line without an end");
}

static int authenticate(struct dbus *d, struct error *err)
{
	int64_t deadline = clock_mono_ns() + CALL_TIMEOUT_NS;
	char uid[16], hello[96], line[256];
	int n = snprintf(uid, sizeof(uid), "%u", (unsigned)geteuid());
	size_t at;
	int r;

	at = (size_t)snprintf(hello + 1, sizeof(hello) - 1, "AUTH EXTERNAL ") + 1;
	hello[0] = '\0';
	for (int i = 0; i < n; i++)
		at += (size_t)snprintf(hello + at, sizeof(hello) - at, "%02x", (unsigned)uid[i]);
	/* At once, as sd-bus does it: systemd, which finds BEGIN and a message in one read, would
	 * leave the message until more arrives, and that is never. */
	at += (size_t)snprintf(hello + at, sizeof(hello) - at, "\r\nBEGIN\r\n");
	r = send_all(d, hello, at, deadline, err);
	if (r == 0)
		r = read_line(d, line, sizeof(line), deadline, err);
	if (r == 0 && strncmp(line, "OK ", 3) != 0)
		return error_set(err, ERR_FORBIDDEN, "the bus refuses us: '%.60s'", line);
	return r;
}

int dbus_connect(struct dbus *d, const char *path, struct error *err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(sa.sun_path))
		return error_set(err, ERR_INVALID, "socket path '%.80s' is too long", path);
	memcpy(sa.sun_path, path, strlen(path) + 1);
	d->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (d->fd < 0)
		return error_sys(err, errno, "socket");
	if (connect(d->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		int sys = errno;

		close(d->fd);
		d->fd = FD_NONE;
		/* Not the kernel's words: podman takes "No such file" for a program that is not
		 * there. */
		if (sys == ENOENT)
			return error_set(err, ERR_UNAVAILABLE, "nothing listens at '%s'", path);
		return error_set(err, ERR_UNAVAILABLE, "connect to '%s': %s", path,
				 strerrordesc_np(sys));
	}
	return authenticate(d, err);
}

static void put_field(struct dbus_writer *w, uint8_t code, const char *type, const char *value)
{
	if (value == NULL)
		return;
	dbus_put_align(w, 8);
	dbus_put_u8(w, code);
	dbus_put_signature(w, type);
	if (*type == 'g')
		dbus_put_signature(w, value);
	else
		dbus_put_string(w, value);
}

static int send_call(struct dbus *d, const struct dbus_call *c, int64_t deadline, struct error *err)
{
	auto_(dbus_writer) w = DBUS_WRITER_INIT;
	size_t at, start;
	int r;

	dbus_put_u8(&w, 'l');
	dbus_put_u8(&w, DBUS_CALL);
	dbus_put_u8(&w, 0);
	dbus_put_u8(&w, 1);
	dbus_put_u32(&w, c->body ? (uint32_t)c->body->bytes.len : 0);
	dbus_put_u32(&w, ++d->serial);
	at = dbus_array_begin(&w, 8, &start);
	put_field(&w, FIELD_PATH, "o", c->path);
	put_field(&w, FIELD_DESTINATION, "s", c->destination);
	put_field(&w, FIELD_INTERFACE, "s", c->interface);
	put_field(&w, FIELD_MEMBER, "s", c->member);
	put_field(&w, FIELD_SIGNATURE, "g", c->signature);
	dbus_array_end(&w, at, start);
	dbus_put_align(&w, 8);
	if (w.failed || (c->body && c->body->failed))
		return error_set(err, ERR_INVALID, "%s: the message is too long", c->member);
	r = send_all(d, w.bytes.data, w.bytes.len, deadline, err);
	if (r == 0 && c->body)
		r = send_all(d, c->body->bytes.data, c->body->bytes.len, deadline, err);
	return r;
}

static int next_message(struct dbus *d, int64_t deadline, struct dbus_message *ret,
			struct error *err)
{
	uint8_t head[16];
	size_t len;
	int r = receive(d, head, sizeof(head), deadline, err);

	if (r == 0)
		r = dbus_message_length(head, &len, err);
	if (r < 0)
		return r;
	free(d->in);
	d->in = xcalloc(1, len);
	memcpy(d->in, head, sizeof(head));
	r = receive(d, d->in + sizeof(head), len - sizeof(head), deadline, err);
	return r < 0 ? r : dbus_message_parse((struct str){ d->in, len }, ret, err);
}

int dbus_call(struct dbus *d, const struct dbus_call *c, dbus_signal_fn on_signal, void *ctx,
	      struct dbus_message *ret, struct error *err)
{
	int64_t deadline = clock_mono_ns() + CALL_TIMEOUT_NS;
	int r = send_call(d, c, deadline, err);

	while (r == 0) {
		r = next_message(d, deadline, ret, err);
		if (r < 0)
			break;
		if (ret->type == DBUS_SIGNAL && on_signal)
			on_signal(ctx, ret);
		if (ret->reply_serial != d->serial)
			continue;
		if (ret->type == DBUS_RETURN)
			return 0;
		if (ret->type != DBUS_ERROR)
			continue;
		if (ret->signature && *ret->signature == 's')
			return error_set(err, ERR_SYSTEM, "%s: %.300s", c->member,
					 dbus_get_string(&ret->body));
		return error_set(err, ERR_SYSTEM, "%s: %.100s", c->member,
				 ret->error_name ? ret->error_name : "refused");
	}
	return error_wrap(err, r, "%s", c->member);
}

int dbus_wait(struct dbus *d, dbus_signal_fn on_signal, void *ctx, struct error *err)
{
	struct dbus_message m;
	int r = next_message(d, clock_mono_ns() + CALL_TIMEOUT_NS, &m, err);

	if (r == 0 && m.type == DBUS_SIGNAL)
		on_signal(ctx, &m);
	return r;
}
