#include "network/dns_message.h"

#include <arpa/inet.h>

#include "base/macros.h"
#include "tests/tap.h"

#define HEAD "\0\7\1\0\0\1\0\0\0\0\0\0"

#define BYTES(s) (const uint8_t *)(s), sizeof(s) - 1

static const struct {
	const char *what;
	const uint8_t *bytes;
	size_t len;
	int result;
	const char *name;
	unsigned type;
} queries[] = {
	{ "a name in mixed case", BYTES(HEAD "\2Db\4NETx\0\0\1\0\1"), 0, "db.netx", 1 },
	{ "the root", BYTES(HEAD "\0\0\2\0\1"), 0, "", 2 },
	{ "a short header", BYTES("\0\7\1\0"), -ERR_INVALID, NULL, 0 },
	{ "a response", BYTES("\0\7\x81\0\0\1\0\0\0\0\0\0\0\0\1\0\1"), -ERR_INVALID, NULL, 0 },
	{ "another opcode", BYTES("\0\7\x28\0\0\1\0\0\0\0\0\0\0\0\1\0\1"), -ERR_UNIMPLEMENTED, NULL,
	  0 },
	{ "no question", BYTES("\0\7\1\0\0\0\0\0\0\0\0\0"), -ERR_CORRUPT, NULL, 0 },
	{ "two questions", BYTES("\0\7\1\0\0\2\0\0\0\0\0\0\0\0\1\0\1\0\0\1\0\1"), -ERR_CORRUPT,
	  NULL, 0 },
	{ "a pointer", BYTES(HEAD "\xc0\x0c\0\1\0\1"), -ERR_CORRUPT, NULL, 0 },
	{ "a label past the end",
	  BYTES(HEAD "\x3f"
		     "ab"),
	  -ERR_CORRUPT, NULL, 0 },
	{ "no end of the name", BYTES(HEAD "\2ab"), -ERR_CORRUPT, NULL, 0 },
	{ "no type", BYTES(HEAD "\2ab\0\0\1"), -ERR_CORRUPT, NULL, 0 },
	{ "a dot in a label", BYTES(HEAD "\3a.b\0\0\1\0\1"), -ERR_CORRUPT, NULL, 0 },
};

static const struct {
	const char *name, *address;
} reverses[] = {
	{ "2.0.17.172.in-addr.arpa", "172.17.0.2" },
	{ "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa", "fd00::1" },
	{ "0.17.172.in-addr.arpa", NULL },
	{ "1.2.0.17.172.in-addr.arpa", NULL },
	{ "256.0.17.172.in-addr.arpa", NULL },
	{ "1.0.ip6.arpa", NULL },
	{ "in-addr.arpa", NULL },
	{ "db", NULL },
};

static void test_answers(void)
{
	static const uint8_t query[] = HEAD "\2db\0\0\1\0\1";
	struct net_addr a = { .family = AF_INET, .b = { 10, 0, 0, 9 } };
	uint8_t out[DNS_UDP_SIZE_MIN];
	struct dns_answer answer;
	struct dns_query q;

	is_int(dns_query_parse(query, sizeof(query) - 1, &q, NULL), 0, "a query");
	dns_answer_begin(&answer, out, sizeof(out), query, &q, DNS_NOERROR);
	dns_answer_address(&answer, &a, 600);
	is_int((long long)answer.len, (long long)q.question_end + 16, "one record");
	ok(memcmp(out + q.question_end, "\xc0\x0c\0\1\0\1\0\0\2\x58\0\4\x0a\0\0\x09", 16) == 0,
	   "name, type, class, TTL, address");
	ok(dns_response_matches(out, answer.len, query, sizeof(query) - 1), "it is the response");
	ok(!dns_response_matches(query, sizeof(query) - 1, query, sizeof(query) - 1),
	   "a query is not");
	for (int i = 0; i < 60; i++)
		dns_answer_address(&answer, &a, 600);
	ok(answer.truncated && (out[2] & 2) && answer.len <= sizeof(out),
	   "what does not fit is told");
	dns_answer_begin(&answer, out, sizeof(out), query, &q, DNS_NXDOMAIN);
	is_int(dns_response_rcode(out), DNS_NXDOMAIN, "no such name");
	dns_set_id(out, 0xbeef);
	is_int(dns_id(out), 0xbeef, "another id");
	out[q.question_end - 6] = 'x';
	ok(!dns_response_matches(out, answer.len, query, sizeof(query) - 1),
	   "another name is no response");
}

int main(void)
{
	for (size_t i = 0; i < ARRAY_LEN(queries); i++) {
		struct dns_query q = { 0 };
		int r = dns_query_parse(queries[i].bytes, queries[i].len, &q, NULL);

		is_int(r, queries[i].result, queries[i].what);
		if (r < 0)
			continue;
		is_str(q.name, queries[i].name, "its name");
		is_int(q.type, queries[i].type, "its type");
		is_int(q.udp_size, DNS_UDP_SIZE_MIN, "without EDNS 512 bytes");
	}
	for (size_t i = 0; i < ARRAY_LEN(reverses); i++) {
		struct net_addr a;
		char text[NET_ADDR_TEXT_MAX] = "";
		bool got = dns_reverse_name_parse(reverses[i].name, &a);

		if (got)
			net_addr_format(&a, text);
		is_str(text, reverses[i].address ? reverses[i].address : "", reverses[i].name);
	}
	test_answers();
	return tap_done();
}
