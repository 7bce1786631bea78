/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/listing.h"

#include "tests/tap.h"

#include "base/macros.h"
#include "cli/ports.h"

static void aligned(void)
{
	static const struct {
		const char *what, *text, *want;
	} cases[] = {
		{ "columns are ten wide at least", "NAMES\tx\nc1\ty\n",
		  "NAMES     x\nc1        y\n" },
		{ "the widest cell and three blanks", "A\tB\n0123456789\tz\n",
		  "A            B\n0123456789   z\n" },
		{ "the last cell is not padded", "a\tb\tc\n", "a         b         c\n" },
		{ "runes count, not bytes", "äääääääääää\tx\na\ty\n",
		  "äääääääääää   x\na             y\n" },
		{ "lines without tabs part the blocks", "0123456789ab\tx\nplain\na\ty\n",
		  "0123456789ab   x\nplain\na         y\n" },
		{ "an empty cell", "a\t\tc\n", "a                   c\n" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_(buf) out = BUF_INIT(1 << 20);

		tabs_align(&out, cases[i].text);
		is_str(out.data, cases[i].want, cases[i].what);
	}
}

static void ports(struct arena *a)
{
	static const struct {
		const char *json, *want;
	} cases[] = {
		{ "[]", "" },
		{ "[{\"PrivatePort\":80,\"Type\":\"tcp\"}]", "80/tcp" },
		{ "[{\"IP\":\"0.0.0.0\",\"PrivatePort\":80,\"PublicPort\":8088,\"Type\":\"tcp\"},"
		  "{\"IP\":\"::\",\"PrivatePort\":80,\"PublicPort\":8088,\"Type\":\"tcp\"}]",
		  "0.0.0.0:8088->80/tcp, [::]:8088->80/tcp" },
		{ "[{\"PrivatePort\":82,\"Type\":\"tcp\"},{\"PrivatePort\":80,\"Type\":\"tcp\"},"
		  "{\"PrivatePort\":81,\"Type\":\"tcp\"},{\"PrivatePort\":90,\"Type\":\"udp\"}]",
		  "80-82/tcp, 90/udp" },
		{ "[{\"IP\":\"1.2.3.4\",\"PrivatePort\":80,\"PublicPort\":80,\"Type\":\"tcp\"},"
		  "{\"IP\":\"1.2.3.4\",\"PrivatePort\":81,\"PublicPort\":81,\"Type\":\"tcp\"}]",
		  "1.2.3.4:80-81->80-81/tcp" },
		{ "[{\"PrivatePort\":80,\"Type\":\"tcp\"},{\"PrivatePort\":90,\"Type\":\"tcp\"}]",
		  "80/tcp, 90/tcp" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct json *j = NULL;

		if (json_parse(a, cases[i].json, strlen(cases[i].json), &j, NULL) < 0)
			j = NULL;
		is_str(ports_text(a, j), cases[i].want, cases[i].want);
	}
}

int main(void)
{
	auto_(arena) a = ARENA_INIT;

	aligned();
	ports(&a);
	return tap_done();
}
