#include <stdlib.h>
#include <string.h>

#include "http/body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bytes {
	struct http_transport t;
	const uint8_t *at;
	size_t len, step;
};

static int bytes_read(struct http_transport *t, void *out, size_t len, size_t *ret_n,
		      struct error *err)
{
	struct bytes *b = container_of(t, struct bytes, t);
	size_t n = b->len < b->step ? b->len : b->step;

	(void)err;
	if (n > len)
		n = len;
	if (n > 0)
		memcpy(out, b->at, n);
	b->at += n;
	b->len -= n;
	*ret_n = n;
	return 0;
}

static const struct http_transport_ops ops = { .read = bytes_read };

static int decode(const uint8_t *data, size_t size, size_t step, struct buf *out)
{
	struct bytes b = { .t.ops = &ops, .at = data, .len = size, .step = step };
	struct http_source src = { .t = &b.t, .in = BUF_INIT(80 * 1024) };
	struct http_body body;
	int r;

	http_body_init(&body, &src, HTTP_BODY_CHUNKED, 0);
	r = reader_read_all(&body.reader, out, NULL);
	buf_release(&src.in);
	return r;
}

/* Property: how the bytes are cut into packets does not change what they mean. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_(buf) one = BUF_INIT(1 << 20);
	auto_(buf) all = BUF_INIT(1 << 20);
	int a = decode(data, size, 1, &one);
	int b = decode(data, size, 4096, &all);

	if (a != b || (a == 0 && (one.len != all.len ||
				  (one.len && memcmp(one.data, all.data, one.len) != 0))))
		abort();
	return 0;
}
