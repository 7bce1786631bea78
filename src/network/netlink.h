/*
 * network/netlink.h: requests to the kernel over netlink, many in one send.
 *
 * The kernel works off what is sent before sendmsg returns, so an exchange is
 * one send and the reads of what is then queued. Framing is libmnl's; answers
 * are checked against their lengths before anything is read from them.
 */
#pragma once

#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"
#include "base/error.h"
#include "base/lock.h"
#include "base/vec.h"

/* One socket; exchanges of several threads take turns. */
struct nl {
	int fd;
	uint32_t seq;
	struct lock lock;
};

/* NETLINK_ROUTE or NETLINK_NETFILTER in the caller's namespace. ERR_SYSTEM. */
MUST_CHECK int nl_open(int protocol, struct nl *ret, struct error *err);
/* A socket that a helper opened elsewhere; owned from now on. */
void nl_init(struct nl *s, int take_fd);
void nl_close(struct nl *s);

/* What a request is called in errors, and which errno of its answer is fine. */
struct nl_note {
	size_t offset; /* of the header in data */
	const char *what;
	int ignore;
};

struct nl_batch {
	char *data;
	size_t len, cap;
	VEC(struct nl_note) notes;
	bool raw; /* nftables: no acknowledgement but of the last message */
};

#define NL_BATCH_INIT \
	{ \
		0 \
	}
#define NL_MESSAGE_MAX 16384U /* a message with all its attributes fits */

/*
 * Start a message; the pointer is good until the next nl_message. Flags
 * NLM_F_REQUEST and (unless raw) NLM_F_ACK are added.
 *
 * what    static text for errors: "add address"
 * ignore  errno that is fine, 0 = none
 */
struct nlmsghdr *nl_message(struct nl_batch *b, uint16_t type, uint16_t flags, const char *what,
			    int ignore);
/* Same, with a zeroed family header (struct ifinfomsg ...) behind it. */
void *nl_message_with(struct nl_batch *b, uint16_t type, uint16_t flags, const char *what,
		      int ignore, size_t header_len, struct nlmsghdr **ret);
/* To be called when a message is complete and the next is begun by hand. */
void nl_message_end(struct nl_batch *b);
void nl_batch_release(struct nl_batch *b);
DEFINE_AUTO(nl_batch, nl_batch_release);

/* Called for each data message of an answer; < 0 ends with that error. */
typedef int (*nl_fn)(void *ctx, const struct nlmsghdr *msg, struct error *err);

/*
 * Send all and read the answers. fn may be NULL. All messages are tried; the
 * first error that is not ignored is returned: ERR_NOT_FOUND (ENOENT, ENODEV,
 * ESRCH), ERR_CONFLICT (EEXIST), ERR_SYSTEM; err->sys holds the errno.
 */
MUST_CHECK int nl_exchange(struct nl *s, struct nl_batch *b, nl_fn fn, void *ctx,
			   struct error *err);
/* One message with NLM_F_DUMP, to its end. */
MUST_CHECK int nl_dump(struct nl *s, struct nl_batch *b, nl_fn fn, void *ctx, struct error *err);

/* Walk `len` bytes of received messages; malformed ones end the walk with ERR_CORRUPT. */
MUST_CHECK int nl_walk(const void *bytes, size_t len, nl_fn fn, void *ctx, struct error *err);
/* The attributes after a family header of header_len bytes, by type, at most `max`;
 * unknown types are skipped. ERR_CORRUPT for bad lengths. */
MUST_CHECK int nl_attrs(const struct nlmsghdr *msg, size_t header_len, const struct nlattr **tb,
			uint16_t max, struct error *err);
MUST_CHECK int nl_nested(const struct nlattr *attr, const struct nlattr **tb, uint16_t max,
			 struct error *err);
/* NUL-terminated text of an attribute, or NULL. */
const char *nl_text(const struct nlattr *attr);
/* 0 when the attribute is absent or of another size. */
uint32_t nl_u32(const struct nlattr *attr);
