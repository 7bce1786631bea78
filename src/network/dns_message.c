#include "network/dns_message.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/str.h"

#define FLAG_RESPONSE  0x8000U
#define FLAG_OPCODE    0x7800U
#define FLAG_TRUNCATED 0x0200U
#define FLAG_RECURSE   0x0100U
#define FLAG_CAN       0x0080U

#define CLASS_IN 1

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

uint16_t dns_id(const uint8_t *bytes)
{
	return get16(bytes);
}

void dns_set_id(uint8_t *bytes, uint16_t id)
{
	put16(bytes, id);
}

/* A name without compression at *at. Dots and NULs inside labels are refused:
 * no name that proa serves has them, and text could not tell them apart. */
static bool read_name(const uint8_t *bytes, size_t len, size_t *at, char name[DNS_NAME_MAX + 1])
{
	size_t n = 0, pos = *at;

	for (;;) {
		size_t label;

		if (pos >= len)
			return false;
		label = bytes[pos++];
		if (label == 0)
			break;
		if (label > 63 || label > len - pos || n + label + 1 > DNS_NAME_MAX)
			return false;
		if (n > 0)
			name[n++] = '.';
		for (size_t i = 0; i < label; i++) {
			char c = (char)bytes[pos + i];

			if (c == '.' || c == '\0')
				return false;
			name[n++] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
		}
		pos += label;
	}
	name[n] = '\0';
	*at = pos;
	return true;
}

/* The OPT record of a query stands first among the additional ones, if at all;
 * whatever else follows is only passed on. */
static uint16_t edns_size(const uint8_t *bytes, size_t len, size_t at)
{
	uint16_t size;

	if (get16(bytes + 6) != 0 || get16(bytes + 8) != 0 || get16(bytes + 10) == 0)
		return DNS_UDP_SIZE_MIN;
	if (len - at < 11 || bytes[at] != 0 || get16(bytes + at + 1) != DNS_OPT)
		return DNS_UDP_SIZE_MIN;
	size = get16(bytes + at + 3);
	return size < DNS_UDP_SIZE_MIN ? DNS_UDP_SIZE_MIN : size;
}

int dns_query_parse(const uint8_t *bytes, size_t len, struct dns_query *ret, struct error *err)
{
	size_t at = DNS_HEADER_SIZE;
	struct dns_query q = { 0 };
	uint16_t flags;

	if (len < DNS_HEADER_SIZE || (get16(bytes + 2) & FLAG_RESPONSE))
		return error_set(err, ERR_INVALID, "not a DNS query");
	flags = get16(bytes + 2);
	ret->id = q.id = get16(bytes);
	q.recursion = flags & FLAG_RECURSE;
	if (flags & FLAG_OPCODE)
		return error_set(err, ERR_UNIMPLEMENTED, "DNS opcode %u",
				 (flags & FLAG_OPCODE) >> 11);
	if (get16(bytes + 4) != 1 || !read_name(bytes, len, &at, q.name) || len - at < 4)
		return error_set(err, ERR_CORRUPT, "malformed DNS question");
	q.type = get16(bytes + at);
	q.class = get16(bytes + at + 2);
	q.question_end = at + 4;
	q.udp_size = edns_size(bytes, len, q.question_end);
	*ret = q;
	return 0;
}

void dns_answer_begin(struct dns_answer *a, uint8_t *out, size_t max, const uint8_t *query,
		      const struct dns_query *q, enum dns_rcode rcode)
{
	*a = (struct dns_answer){ .out = out, .len = q->question_end, .max = max };
	memcpy(out, query, q->question_end);
	put16(out + 2,
	      FLAG_RESPONSE | FLAG_CAN | (get16(query + 2) & FLAG_RECURSE) | (unsigned)rcode);
	memset(out + 6, 0, 6);
}

size_t dns_answer_error(uint8_t *out, const uint8_t *query, enum dns_rcode rcode)
{
	memcpy(out, query, 4);
	memset(out + 4, 0, 8);
	put16(out + 2, FLAG_RESPONSE | FLAG_CAN |
			   (get16(query + 2) & (FLAG_RECURSE | FLAG_OPCODE)) | (unsigned)rcode);
	return DNS_HEADER_SIZE;
}

static void add_record(struct dns_answer *a, uint16_t type, uint32_t ttl, const uint8_t *data,
		       size_t len)
{
	uint8_t *p = a->out + a->len;

	if (a->truncated || a->max - a->len < 12 + len) {
		put16(a->out + 2, get16(a->out + 2) | FLAG_TRUNCATED);
		a->truncated = true;
		return;
	}
	put16(p, 0xc000U | DNS_HEADER_SIZE); /* the name of the question */
	put16(p + 2, type);
	put16(p + 4, CLASS_IN);
	put16(p + 6, ttl >> 16);
	put16(p + 8, ttl & 0xffff);
	put16(p + 10, len);
	memcpy(p + 12, data, len);
	a->len += 12 + len;
	put16(a->out + 6, get16(a->out + 6) + 1U);
}

void dns_answer_address(struct dns_answer *a, const struct net_addr *addr, uint32_t ttl)
{
	if (addr->family == AF_INET)
		add_record(a, DNS_A, ttl, addr->b, 4);
	else if (addr->family == AF_INET6)
		add_record(a, DNS_AAAA, ttl, addr->b, 16);
}

void dns_answer_ptr(struct dns_answer *a, const char *name, uint32_t ttl)
{
	uint8_t wire[DNS_NAME_MAX + 2];
	struct str rest = str_of(name), label;
	size_t n = 0;

	while (str_split(&rest, '.', &label)) {
		if (label.len == 0 || label.len > 63 || n + label.len + 2 > sizeof(wire))
			return;
		wire[n++] = (uint8_t)label.len;
		memcpy(wire + n, label.at, label.len);
		n += label.len;
	}
	wire[n++] = 0;
	add_record(a, DNS_PTR, ttl, wire, n);
}

bool dns_response_matches(const uint8_t *bytes, size_t len, const uint8_t *query, size_t query_len)
{
	char asked[DNS_NAME_MAX + 1], got[DNS_NAME_MAX + 1];
	size_t a = DNS_HEADER_SIZE, b = DNS_HEADER_SIZE;

	if (len < DNS_HEADER_SIZE || !(get16(bytes + 2) & FLAG_RESPONSE) || get16(bytes + 4) != 1)
		return false;
	if (!read_name(query, query_len, &a, asked) || !read_name(bytes, len, &b, got))
		return false;
	return query_len - a >= 4 && len - b >= 4 && strcmp(asked, got) == 0 &&
	       memcmp(query + a, bytes + b, 4) == 0;
}

enum dns_rcode dns_response_rcode(const uint8_t *bytes)
{
	return (enum dns_rcode)(bytes[3] & 0xf);
}

size_t dns_truncate(uint8_t *bytes, size_t question_end)
{
	put16(bytes + 2, get16(bytes + 2) | FLAG_TRUNCATED);
	memset(bytes + 6, 0, 6);
	return question_end;
}

static bool reverse6(struct str labels, struct net_addr *ret)
{
	static const char digits[] = "0123456789abcdef";
	struct net_addr a = { .family = AF_INET6 };
	struct str label;
	int n = 0;

	for (; n < 32 && str_split(&labels, '.', &label); n++) {
		const char *d = label.len == 1 ? strchr(digits, label.at[0]) : NULL;

		if (!d)
			return false;
		a.b[15 - n / 2] |= (uint8_t)((d - digits) << (n % 2 ? 4 : 0));
	}
	if (n != 32 || str_split(&labels, '.', &label))
		return false;
	*ret = a;
	return true;
}

bool dns_reverse_name_parse(const char *name, struct net_addr *ret)
{
	static const char arpa4[] = ".in-addr.arpa", arpa6[] = ".ip6.arpa";
	struct net_addr a = { .family = AF_INET };
	struct str s = str_of(name), label;
	int n = 0;

	if (str_ends(s, arpa6))
		return reverse6(str_sub(s, 0, s.len - strlen(arpa6)), ret);
	if (!str_ends(s, arpa4))
		return false;
	s = str_sub(s, 0, s.len - strlen(arpa4));
	for (; n < 4 && str_split(&s, '.', &label); n++) {
		uint64_t v;

		if (parse_u64(label, 255, &v, NULL) < 0)
			return false;
		a.b[3 - n] = (uint8_t)v;
	}
	if (n != 4 || str_split(&s, '.', &label))
		return false;
	*ret = a;
	return true;
}
