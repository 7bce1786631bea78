#include "runtime/netdev.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/str.h"
#include "base/vec.h"

#define ANSWER_MAX 32768

/* A request: its header, a family header, attributes. */
struct request {
	struct nlmsghdr h;
	char body[512];
};

struct address {
	struct ifaddrmsg head;
	/* IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST as they came; len 0: absent. */
	struct {
		unsigned char bytes[16];
		size_t len;
	} at[IFA_BROADCAST + 1];
};
typedef VEC(struct address) address_vec;

static bool is_name(const char *s)
{
	return *s != '\0' && strlen(s) < IFNAMSIZ && strcmp(s, ".") != 0 && strcmp(s, "..") != 0 &&
	       strpbrk(s, "/:% \t\n\v\f\r") == NULL;
}

static const char *new_name(const struct spec_net_device *d)
{
	return cstr_is_empty(d->name) ? d->host_name : d->name;
}

int netdev_check(const struct spec_linux *l, struct error *err)
{
	for (size_t i = 0; i < l->n_net_devices; i++) {
		const struct spec_net_device *d = &l->net_devices[i];

		if (!is_name(d->host_name) || !is_name(new_name(d)))
			return error_set(err, ERR_INVALID,
					 "linux.netDevices: '%.40s', '%.40s': no name of a device",
					 d->host_name, new_name(d));
		if (if_nametoindex(d->host_name) == 0)
			return error_sys(err, errno, "linux.netDevices: '%s'", d->host_name);
	}
	return 0;
}

static void begin(struct request *q, uint16_t type, uint16_t flags, const void *head, size_t len)
{
	*q = (struct request){ .h = { .nlmsg_len = NLMSG_LENGTH((uint32_t)len),
				      .nlmsg_type = type,
				      .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags) } };
	memcpy(NLMSG_DATA(&q->h), head, len);
}

/* All attributes together are bounded: a name, an fd, three addresses. */
static void add(struct request *q, uint16_t type, const void *bytes, size_t len)
{
	struct rtattr *a = (void *)((char *)q + NLMSG_ALIGN(q->h.nlmsg_len));

	a->rta_type = type;
	a->rta_len = (unsigned short)RTA_LENGTH(len);
	memcpy(RTA_DATA(a), bytes, len);
	q->h.nlmsg_len = NLMSG_ALIGN(q->h.nlmsg_len) + RTA_ALIGN(a->rta_len);
}

static int ask(int sock, struct request *q, const char *what, struct error *err)
{
	struct {
		struct nlmsghdr h;
		struct nlmsgerr e;
		char rest[sizeof(struct request)];
	} answer;
	ssize_t n;

	q->h.nlmsg_flags |= NLM_F_ACK;
	if (send(sock, q, q->h.nlmsg_len, 0) < 0)
		return error_sys(err, errno, "%s", what);
	n = recv(sock, &answer, sizeof(answer), 0);
	if (n < (ssize_t)(sizeof(answer.h) + sizeof(answer.e)) ||
	    answer.h.nlmsg_type != NLMSG_ERROR)
		return error_set(err, ERR_SYSTEM, "%s: the kernel's answer is none", what);
	return answer.e.error == 0 ? 0 : error_sys(err, -answer.e.error, "%s", what);
}

static int set_up(int sock, int index, bool up, struct error *err)
{
	const struct ifinfomsg head = { .ifi_index = index,
					.ifi_flags = up ? IFF_UP : 0,
					.ifi_change = IFF_UP };
	struct request q;

	begin(&q, RTM_NEWLINK, 0, &head, sizeof(head));
	return ask(sock, &q, up ? "set it up" : "set it down", err);
}

/* Those that somebody gave for good and that mean the same in another namespace, as runc has it. */
static bool is_kept(const struct ifaddrmsg *a, int index)
{
	return (int)a->ifa_index == index && a->ifa_scope == RT_SCOPE_UNIVERSE &&
	       a->ifa_flags & IFA_F_PERMANENT;
}

static void keep(const struct nlmsghdr *h, address_vec *out)
{
	struct address a = { .head = *(const struct ifaddrmsg *)NLMSG_DATA(h) };
	int left = (int)IFA_PAYLOAD(h);

	for (const struct rtattr *t = IFA_RTA(NLMSG_DATA(h)); RTA_OK(t, left);
	     t = RTA_NEXT(t, left))
		if (t->rta_type <= IFA_BROADCAST && RTA_PAYLOAD(t) <= sizeof(a.at[0].bytes)) {
			a.at[t->rta_type].len = RTA_PAYLOAD(t);
			memcpy(a.at[t->rta_type].bytes, RTA_DATA(t), RTA_PAYLOAD(t));
		}
	*vec_push(out) = a;
}

static int list_addresses(int sock, int index, address_vec *out, struct error *err)
{
	static _Alignas(struct nlmsghdr) char answer[ANSWER_MAX];
	const struct ifaddrmsg head = { .ifa_family = AF_UNSPEC };
	struct request q;

	begin(&q, RTM_GETADDR, NLM_F_DUMP, &head, sizeof(head));
	if (send(sock, &q, q.h.nlmsg_len, 0) < 0)
		return error_sys(err, errno, "list its addresses");
	for (;;) {
		ssize_t n = recv(sock, answer, sizeof(answer), 0);
		uint32_t left = n < 0 ? 0 : (uint32_t)n;

		if (n <= 0)
			return error_sys(err, n < 0 ? errno : EIO, "list its addresses");
		for (const struct nlmsghdr *h = (void *)answer; NLMSG_OK(h, left);
		     h = NLMSG_NEXT(h, left)) {
			if (h->nlmsg_type == NLMSG_DONE)
				return 0;
			if (h->nlmsg_type == NLMSG_ERROR)
				return error_set(err, ERR_SYSTEM, "list its addresses: refused");
			if (h->nlmsg_type == RTM_NEWADDR && is_kept(NLMSG_DATA(h), index))
				keep(h, out);
		}
	}
}

static int add_address(int sock, int index, const struct address *a, struct error *err)
{
	struct ifaddrmsg head = a->head;
	struct request q;

	head.ifa_index = (uint32_t)index;
	head.ifa_flags = IFA_F_PERMANENT;
	begin(&q, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &head, sizeof(head));
	for (uint16_t i = IFA_ADDRESS; i <= IFA_BROADCAST; i++)
		if (i != IFA_LABEL && a->at[i].len > 0)
			add(&q, i, a->at[i].bytes, a->at[i].len);
	return ask(sock, &q, "give it its address", err);
}

/* Name and place in one request; the new name was free there, and the old one need not be. */
static int change_namespace(int sock, int index, const char *name, int netns, struct error *err)
{
	const struct ifinfomsg head = { .ifi_index = index };
	uint32_t fd = (uint32_t)netns;
	struct request q;

	begin(&q, RTM_NEWLINK, 0, &head, sizeof(head));
	add(&q, IFLA_IFNAME, name, strlen(name) + 1);
	add(&q, IFLA_NET_NS_FD, &fd, sizeof(fd));
	return ask(sock, &q, "move it", err);
}

static int index_of(int sock, const char *name, int *ret, struct error *err)
{
	struct ifreq r = { 0 };

	memcpy(r.ifr_name, name, strlen(name) + 1);
	if (ioctl(sock, SIOCGIFINDEX, &r) < 0)
		return error_sys(err, errno, "find it");
	*ret = r.ifr_ifindex;
	return 0;
}

static int move_one(const struct spec_net_device *d, int here, int there, int netns,
		    struct error *err)
{
	address_vec addresses = { 0 };
	struct error unused;
	int index, r;

	/* The kernel would move it first and only then find that it cannot rename it. */
	if (index_of(there, new_name(d), &index, &unused) == 0)
		return error_set(err, ERR_CONFLICT,
				 "linux.netDevices: '%s' is taken in the container", new_name(d));
	r = index_of(here, d->host_name, &index, err);
	/* Its IPv6 addresses go when it goes down. */
	if (r == 0)
		r = list_addresses(here, index, &addresses, err);
	if (r == 0)
		r = set_up(here, index, false, err);
	if (r == 0)
		r = change_namespace(here, index, new_name(d), netns, err);
	if (r == 0)
		r = index_of(there, new_name(d), &index, err);
	for (size_t i = 0; r == 0 && i < addresses.len; i++)
		r = add_address(there, index, &addresses.at[i], err);
	if (r == 0)
		r = set_up(there, index, true, err);
	vec_release(&addresses);
	return r < 0 ? error_wrap(err, r, "linux.netDevices: '%s'", d->host_name) : 0;
}

static int socket_in(int netns, int *ret, struct error *err)
{
	autoclose int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	autoclose int sock = FD_NONE;

	if (home < 0 || setns(netns, CLONE_NEWNET) < 0)
		return error_sys(err, errno, "linux.netDevices: enter the network namespace");
	sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (setns(home, CLONE_NEWNET) < 0)
		return error_sys(err, errno, "linux.netDevices: return from the network namespace");
	if (sock < 0)
		return error_sys(err, errno, "linux.netDevices: netlink");
	*ret = steal_fd(&sock);
	return 0;
}

int netdev_move(const struct spec_linux *l, int netns, struct error *err)
{
	autoclose int here = FD_NONE, there = FD_NONE;
	int r;

	if (l->n_net_devices == 0)
		return 0;
	here = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (here < 0)
		return error_sys(err, errno, "linux.netDevices: netlink");
	r = socket_in(netns, &there, err);
	for (size_t i = 0; r == 0 && i < l->n_net_devices; i++)
		r = move_one(&l->net_devices[i], here, there, netns, err);
	return r;
}
