#include "base/base64.h"

#include <stdint.h>

static const char std_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

int base64_encode(struct buf *b, const void *bytes, size_t len, bool url, struct error *err)
{
	const char *digits = url ? url_digits : std_digits;
	const uint8_t *p = bytes;

	for (size_t i = 0; i < len; i += 3) {
		size_t n = len - i < 3 ? len - i : 3;
		uint32_t v = (uint32_t)p[i] << 16 | (n > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
			     (n > 2 ? p[i + 2] : 0u);
		char out[4] = { digits[v >> 18], digits[v >> 12 & 63],
				n > 1 ? digits[v >> 6 & 63] : '=', n > 2 ? digits[v & 63] : '=' };
		int r = buf_add(b, out, url ? n + 1 : 4, err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+' || c == '-')
		return 62;
	return c == '/' || c == '_' ? 63 : -1;
}

int base64_decode(struct buf *b, struct str text, struct error *err)
{
	uint32_t v = 0;
	unsigned bits = 0;

	if (text.len > 0 && text.len % 4 == 0)
		for (int pad = 0; pad < 2 && text.at[text.len - 1] == '='; pad++)
			text.len--;
	if (text.len % 4 == 1)
		return error_set(err, ERR_INVALID, "base64 of an impossible length");
	for (size_t i = 0; i < text.len; i++) {
		int d = digit(text.at[i]);

		if (d < 0)
			return error_set(err, ERR_INVALID, "base64 has a bad character");
		v = v << 6 | (uint32_t)d;
		bits += 6;
		if (bits >= 8) {
			char byte = (char)(v >> (bits - 8) & 0xff);
			int r = buf_add(b, &byte, 1, err);

			if (r < 0)
				return r;
			bits -= 8;
		}
	}
	return 0;
}
