#include "build/rune.h"

static size_t sequence_len(unsigned char c)
{
	if (c < 0x80)
		return 1;
	if (c >= 0xC2 && c < 0xE0)
		return 2;
	if (c >= 0xE0 && c < 0xF0)
		return 3;
	if (c >= 0xF0 && c < 0xF5)
		return 4;
	return 0;
}

uint32_t rune_decode(struct str s, size_t *ret_width)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *p = (const unsigned char *)s.at;
	size_t n;
	uint32_t c;

	if (s.len == 0) {
		*ret_width = 0;
		return RUNE_EOF;
	}
	*ret_width = 1;
	n = sequence_len(p[0]);
	if (n == 1)
		return p[0];
	if (n == 0 || n > s.len)
		return RUNE_BAD;
	c = p[0] & (0xFFU >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xC0) != 0x80)
			return RUNE_BAD;
		c = c << 6 | (p[i] & 0x3FU);
	}
	if (c < least[n] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000))
		return RUNE_BAD;
	*ret_width = n;
	return c;
}

size_t rune_encode(uint32_t c, char out[static 4])
{
	if (c > 0x10FFFF || (c >= 0xD800 && c < 0xE000))
		c = RUNE_BAD;
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xC0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3F));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xE0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3F));
		out[2] = (char)(0x80 | (c & 0x3F));
		return 3;
	}
	out[0] = (char)(0xF0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3F));
	out[2] = (char)(0x80 | (c >> 6 & 0x3F));
	out[3] = (char)(0x80 | (c & 0x3F));
	return 4;
}

bool rune_is_space(uint32_t c)
{
	if (c <= 0x20)
		return c == ' ' || (c >= '\t' && c <= '\r');
	return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) ||
	       c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool rune_is_digit(uint32_t c)
{
	return (c >= '0' && c <= '9') || (c >= 0x660 && c <= 0x669) || (c >= 0x966 && c <= 0x96F) ||
	       (c >= 0xFF10 && c <= 0xFF19);
}

bool rune_is_letter(uint32_t c)
{
	static const struct {
		uint32_t from, to;
	} letters[] = {
		{ 'A', 'Z' },         { 'a', 'z' },       { 0xAA, 0xAA },     { 0xB5, 0xB5 },
		{ 0xBA, 0xBA },       { 0xC0, 0xD6 },     { 0xD8, 0xF6 },     { 0xF8, 0x2C1 },
		{ 0x370, 0x373 },     { 0x376, 0x377 },   { 0x37B, 0x37D },   { 0x386, 0x386 },
		{ 0x388, 0x481 },     { 0x48A, 0x556 },   { 0x561, 0x587 },   { 0x5D0, 0x5EA },
		{ 0x620, 0x64A },     { 0x671, 0x6D3 },   { 0x904, 0x939 },   { 0xE01, 0xE30 },
		{ 0x10A0, 0x10FF },   { 0x1100, 0x1248 }, { 0x1E00, 0x1FBC }, { 0x2C00, 0x2CE4 },
		{ 0x3005, 0x3006 },   { 0x3041, 0x3096 }, { 0x30A1, 0x30FA }, { 0x3105, 0x312F },
		{ 0x3131, 0x318E },   { 0x3400, 0x4DBF }, { 0x4E00, 0x9FFF }, { 0xA000, 0xA48C },
		{ 0xAC00, 0xD7A3 },   { 0xF900, 0xFAD9 }, { 0xFF21, 0xFF3A }, { 0xFF41, 0xFF5A },
		{ 0x20000, 0x2FA1D },
	};

	for (size_t i = 0; i < ARRAY_LEN(letters); i++) {
		if (c >= letters[i].from && c <= letters[i].to)
			return true;
	}
	return false;
}
