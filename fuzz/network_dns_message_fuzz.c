/* What comes over port 53: a query that parses gives an answer that is its response. */
#include <stdlib.h>
#include <string.h>

#include "network/dns_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t out[DNS_UDP_SIZE_MIN];
	struct net_addr a = { .family = 2, .b = { 10, 0, 0, 1 } };
	struct dns_answer answer;
	struct dns_query q;
	uint8_t *copy;
	int r;

	if (size > DNS_MESSAGE_MAX)
		return 0;
	r = dns_query_parse(data, size, &q, NULL);
	(void)dns_response_matches(data, size, data, size);
	if (r == -ERR_INVALID)
		return 0;
	if (r < 0) {
		if (dns_answer_error(out, data, DNS_FORMERR) != DNS_HEADER_SIZE)
			abort();
		return 0;
	}
	if (q.question_end > size || strlen(q.name) > DNS_NAME_MAX)
		abort();
	(void)dns_reverse_name_parse(q.name, &a);
	dns_answer_begin(&answer, out, sizeof(out), data, &q, DNS_NOERROR);
	for (int i = 0; i < 60; i++)
		dns_answer_address(&answer, &a, 1);
	dns_answer_ptr(&answer, q.name, 1);
	if (answer.len > sizeof(out) || !dns_response_matches(out, answer.len, data, size))
		abort();
	copy = malloc(answer.len);
	memcpy(copy, out, answer.len);
	if (dns_truncate(copy, q.question_end) != q.question_end ||
	    !dns_response_matches(copy, q.question_end, data, size))
		abort();
	free(copy);
	return 0;
}
