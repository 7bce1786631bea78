/*
 * network/dns_message.h: DNS messages as bytes: reading a query, writing an
 * answer. No I/O. Every length is checked before it is used.
 *
 * Spec: RFC 1035 sections 4.1, 4.2.2; RFC 6891 (OPT, only its UDP size).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "network/addr.h"

#define DNS_HEADER_SIZE  12
#define DNS_MESSAGE_MAX  65535
#define DNS_NAME_MAX     255 /* text, without the last dot */
#define DNS_UDP_SIZE_MIN 512

enum dns_type { DNS_A = 1, DNS_PTR = 12, DNS_AAAA = 28, DNS_OPT = 41, DNS_ANY = 255 };
enum dns_rcode {
	DNS_NOERROR = 0,
	DNS_FORMERR = 1,
	DNS_SERVFAIL = 2,
	DNS_NXDOMAIN = 3,
	DNS_NOTIMP = 4,
	DNS_REFUSED = 5,
};

struct dns_query {
	uint16_t id, type, class;
	bool recursion;
	char name[DNS_NAME_MAX + 1]; /* lower case, labels joined by dots, "" = root */
	size_t question_end;         /* offset behind the one question */
	uint16_t udp_size;           /* what the client can take, at least 512 */
};

/*
 * ERR_INVALID: not a query worth an answer (short, a response). ERR_CORRUPT: to
 * be answered by FORMERR (bad name, not exactly one question); ERR_UNIMPLEMENTED:
 * NOTIMP (another opcode). ret->id is set in the latter two.
 */
MUST_CHECK int dns_query_parse(const uint8_t *bytes, size_t len, struct dns_query *ret,
			       struct error *err);

/* An answer under construction, in the caller's bytes. */
struct dns_answer {
	uint8_t *out;
	size_t len, max;
	bool truncated;
};
/* Header and question of `query` (q describes it); rcode. max >= 512. */
void dns_answer_begin(struct dns_answer *a, uint8_t *out, size_t max, const uint8_t *query,
		      const struct dns_query *q, enum dns_rcode rcode);
/* Records for the question's name; what does not fit sets TC. */
void dns_answer_address(struct dns_answer *a, const struct net_addr *addr, uint32_t ttl);
void dns_answer_ptr(struct dns_answer *a, const char *name, uint32_t ttl);
/* Only a header: for what could not be parsed. Returns 12. */
size_t dns_answer_error(uint8_t *out, const uint8_t *query, enum dns_rcode rcode);

/* Is this the answer to `query` (same question, a response)? Ids are the caller's. */
bool dns_response_matches(const uint8_t *bytes, size_t len, const uint8_t *query, size_t query_len);
enum dns_rcode dns_response_rcode(const uint8_t *bytes); /* at least a header */
uint16_t dns_id(const uint8_t *bytes);
void dns_set_id(uint8_t *bytes, uint16_t id);
/* Cut a response to header and question and set TC; returns the new length. */
size_t dns_truncate(uint8_t *bytes, size_t question_end);

/* "4.3.2.1.in-addr.arpa", "...ip6.arpa". false when it is none. */
bool dns_reverse_name_parse(const char *name, struct net_addr *ret);
