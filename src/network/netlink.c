#include "network/netlink.h"

#include <errno.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/alloc.h"
#include "base/fault.h"

#define RECV_MAX 65536U

int nl_open(int protocol, struct nl *ret, struct error *err)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);

	if (fd < 0)
		return error_sys(err, errno, "open netlink socket");
	nl_init(ret, fd);
	return 0;
}

void nl_init(struct nl *s, int take_fd)
{
	int one = 1, size = 1 << 20;
	struct timeval tv = { .tv_sec = 10 };

	*s = (struct nl){ .fd = take_fd, .lock = LOCK_INIT };
	/* Best effort: without them texts are poorer and big tables slower. */
	(void)setsockopt(take_fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	(void)setsockopt(take_fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	(void)setsockopt(take_fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof(one));
	(void)setsockopt(take_fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	(void)setsockopt(take_fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
}

void nl_close(struct nl *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = FD_NONE;
}

void nl_message_end(struct nl_batch *b)
{
	struct nlmsghdr *h;

	if (b->notes.len == 0)
		return;
	h = (struct nlmsghdr *)(void *)(b->data + b->notes.at[b->notes.len - 1].offset);
	b->len = b->notes.at[b->notes.len - 1].offset + MNL_ALIGN(h->nlmsg_len);
}

struct nlmsghdr *nl_message(struct nl_batch *b, uint16_t type, uint16_t flags, const char *what,
			    int ignore)
{
	struct nlmsghdr *h;

	nl_message_end(b);
	if (b->cap - b->len < NL_MESSAGE_MAX) {
		b->cap = b->len * 2 + NL_MESSAGE_MAX;
		b->data = xrealloc(b->data, b->cap);
	}
	*vec_push(&b->notes) = (struct nl_note){ b->len, what, ignore };
	memset(b->data + b->len, 0, NL_MESSAGE_MAX);
	h = mnl_nlmsg_put_header(b->data + b->len);
	h->nlmsg_type = type;
	h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags | (b->raw ? 0 : NLM_F_ACK));
	return h;
}

void *nl_message_with(struct nl_batch *b, uint16_t type, uint16_t flags, const char *what,
		      int ignore, size_t header_len, struct nlmsghdr **ret)
{
	struct nlmsghdr *h = nl_message(b, type, flags, what, ignore);

	*ret = h;
	return mnl_nlmsg_put_extra_header(h, header_len);
}

void nl_batch_release(struct nl_batch *b)
{
	free(b->data);
	vec_release(&b->notes);
	*b = (struct nl_batch)NL_BATCH_INIT;
}

/* Message i answers to seq + i. */
static void number_messages(struct nl *s, struct nl_batch *b)
{
	nl_message_end(b);
	for (size_t i = 0; i < b->notes.len; i++) {
		struct nlmsghdr *h = (struct nlmsghdr *)(void *)(b->data + b->notes.at[i].offset);

		h->nlmsg_seq = s->seq + (uint32_t)i;
	}
}

static int send_all(struct nl *s, struct nl_batch *b, struct error *err)
{
	int size = (int)(b->len < (1U << 24) ? b->len * 2 : 1U << 25);

	if (fault_hit("netlink"))
		return error_sys(err, errno, "send to netlink");
	if (b->len > 100000)
		(void)setsockopt(s->fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	if (send(s->fd, b->data, b->len, 0) < 0)
		return error_sys(err, errno, "send to netlink");
	return 0;
}

static int answer_error(const struct nl_batch *b, size_t i, const struct nlmsghdr *msg, int sys,
			struct error *err)
{
	const char *what = i < b->notes.len ? b->notes.at[i].what : "netlink batch";
	const struct nlattr *tb[NLMSGERR_ATTR_MSG + 1] = { 0 };
	size_t head = sizeof(struct nlmsgerr);
	enum error_kind kind = ERR_SYSTEM;
	const char *hint = NULL;

	if ((msg->nlmsg_flags & NLM_F_ACK_TLVS) && (msg->nlmsg_flags & NLM_F_CAPPED) &&
	    nl_attrs(msg, head, tb, NLMSGERR_ATTR_MSG, NULL) == 0)
		hint = nl_text(tb[NLMSGERR_ATTR_MSG]);
	if (sys == ENOENT || sys == ENODEV || sys == ESRCH)
		kind = ERR_NOT_FOUND;
	else if (sys == EEXIST)
		kind = ERR_CONFLICT;
	error_sys(err, sys, "%s%s%s%s", what, hint ? " (" : "", hint ? hint : "", hint ? ")" : "");
	if (err)
		err->kind = kind;
	return -(int)kind;
}

/* What one exchange gathers while its answers are walked. */
struct gather {
	struct nl *s;
	struct nl_batch *b;
	nl_fn fn;
	void *ctx;
	int status;
	bool done;
	struct error *err;
};

static int gather_one(void *ctx, const struct nlmsghdr *msg, struct error *err)
{
	struct gather *g = ctx;
	size_t i = msg->nlmsg_seq - g->s->seq;
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(msg);
	int r, sys;

	if (i >= g->b->notes.len)
		return 0; /* an answer to an exchange that timed out */
	if (msg->nlmsg_type == NLMSG_DONE) {
		g->done = true;
		return 0;
	}
	if (msg->nlmsg_type != NLMSG_ERROR) {
		r = g->fn && g->status == 0 ? g->fn(g->ctx, msg, g->err) : 0;
		if (r < 0)
			g->status = r;
		return 0;
	}
	if (mnl_nlmsg_get_payload_len(msg) < sizeof(e->error))
		return error_set(err, ERR_CORRUPT, "short netlink answer");
	g->done = true;
	sys = -e->error;
	if (sys != 0 && g->status == 0 && sys != g->b->notes.at[i].ignore)
		g->status = answer_error(g->b, i, msg, sys, g->err);
	return 0;
}

int nl_walk(const void *bytes, size_t len, nl_fn fn, void *ctx, struct error *err)
{
	const char *at = bytes;

	/* Not mnl_nlmsg_ok: it takes lengths of 2^31 and more for small ones. */
	while (len > 0) {
		const struct nlmsghdr *h = (const void *)at;
		size_t step;
		int r;

		if (len < sizeof(*h) || h->nlmsg_len < sizeof(*h) || h->nlmsg_len > len)
			return error_set(err, ERR_CORRUPT, "malformed netlink message");
		r = fn(ctx, h, err);
		if (r < 0)
			return r;
		step = MNL_ALIGN((size_t)h->nlmsg_len);
		at += step < len ? step : len;
		len -= step < len ? step : len;
	}
	return 0;
}

static int receive(struct gather *g, int flags, struct error *err)
{
	_Alignas(struct nlmsghdr) char bytes[RECV_MAX];
	ssize_t n;

	do {
		n = recv(g->s->fd, bytes, sizeof(bytes), flags);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n < 0)
		return error_sys(err, errno, "receive from netlink");
	g->err = err;
	n = nl_walk(bytes, (size_t)n, gather_one, g, err);
	return n < 0 ? (int)n : 1;
}

static int exchange(struct nl *s, struct nl_batch *b, nl_fn fn, void *ctx, bool dump,
		    struct error *err)
{
	struct gather g = { .s = s, .b = b, .fn = fn, .ctx = ctx };
	int r;

	if (b->notes.len == 0)
		return 0;
	LOCKED(&s->lock);
	number_messages(s, b);
	r = send_all(s, b, err);
	while (r == 0) {
		r = receive(&g, dump ? 0 : MSG_DONTWAIT, err);
		if (r <= 0)
			break;
		r = dump && g.done ? 1 : 0;
	}
	s->seq += (uint32_t)b->notes.len;
	if (g.status < 0)
		return g.status;
	if (r < 0)
		return r;
	if (!g.done)
		return error_set(err, ERR_SYSTEM, "%s: the kernel did not answer",
				 b->notes.at[0].what);
	return 0;
}

int nl_exchange(struct nl *s, struct nl_batch *b, nl_fn fn, void *ctx, struct error *err)
{
	return exchange(s, b, fn, ctx, false, err);
}

int nl_dump(struct nl *s, struct nl_batch *b, nl_fn fn, void *ctx, struct error *err)
{
	return exchange(s, b, fn, ctx, true, err);
}

struct table {
	const struct nlattr **tb;
	uint16_t max;
};

static void sort_attrs(const struct nlattr *a, int left, struct table *t, bool *ret_bad)
{
	while (left > 0) {
		uint16_t type;

		if (!mnl_attr_ok(a, left)) {
			*ret_bad = true;
			return;
		}
		type = mnl_attr_get_type(a);
		if (type <= t->max)
			t->tb[type] = a;
		left -= (int)MNL_ALIGN(a->nla_len);
		a = mnl_attr_next(a);
	}
}

int nl_attrs(const struct nlmsghdr *msg, size_t header_len, const struct nlattr **tb, uint16_t max,
	     struct error *err)
{
	size_t len = mnl_nlmsg_get_payload_len(msg);
	struct table t = { tb, max };
	bool bad = len < header_len;

	memset(tb, 0, ((size_t)max + 1) * sizeof(struct nlattr *));
	if (!bad)
		sort_attrs(mnl_nlmsg_get_payload_offset(msg, header_len),
			   (int)len - (int)MNL_ALIGN(header_len), &t, &bad);
	if (bad)
		return error_set(err, ERR_CORRUPT, "malformed netlink attributes");
	return 0;
}

int nl_nested(const struct nlattr *attr, const struct nlattr **tb, uint16_t max, struct error *err)
{
	struct table t = { tb, max };
	bool bad = false;

	memset(tb, 0, ((size_t)max + 1) * sizeof(struct nlattr *));
	sort_attrs(mnl_attr_get_payload(attr), mnl_attr_get_payload_len(attr), &t, &bad);
	if (bad)
		return error_set(err, ERR_CORRUPT, "malformed netlink attributes");
	return 0;
}

const char *nl_text(const struct nlattr *attr)
{
	const char *s = attr ? mnl_attr_get_payload(attr) : NULL;

	return s && memchr(s, '\0', mnl_attr_get_payload_len(attr)) ? s : NULL;
}

uint32_t nl_u32(const struct nlattr *attr)
{
	return attr && mnl_attr_get_payload_len(attr) == sizeof(uint32_t) ? mnl_attr_get_u32(attr)
									  : 0;
}
