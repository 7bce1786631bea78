#include "oci/platform.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/str.h"

static void set_word(char out[PLATFORM_WORD_MAX], struct str s)
{
	size_t n = s.len < PLATFORM_WORD_MAX - 1 ? s.len : PLATFORM_WORD_MAX - 1;

	if (n > 0)
		memcpy(out, s.at, n);
	out[n] = '\0';
	for (char *p = out; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p | 0x20);
}

static void set(char out[PLATFORM_WORD_MAX], const char *word)
{
	set_word(out, str_of(word));
}

/* What an architecture is called, and the variant that its name implies. */
static const struct {
	const char *name, *arch, *variant; /* variant NULL: as given */
} arch_names[] = {
	{ "i386", "386", "" },       { "x86_64", "amd64", NULL },
	{ "x86-64", "amd64", NULL }, { "aarch64", "arm64", NULL },
	{ "armhf", "arm", "v7" },    { "armel", "arm", "v6" },
	{ "armv7l", "arm", "v7" },   { "armv6l", "arm", "v6" },
	{ "i686", "386", "" },       { "loongarch64", "loong64", NULL },
};

void platform_normalise(struct platform *p)
{
	set(p->os, p->os);
	set(p->arch, p->arch);
	set(p->variant, p->variant);
	if (strcmp(p->os, "macos") == 0)
		set(p->os, "darwin");
	for (size_t i = 0; i < ARRAY_LEN(arch_names); i++) {
		if (strcmp(p->arch, arch_names[i].name) != 0)
			continue;
		set(p->arch, arch_names[i].arch);
		if (arch_names[i].variant != NULL)
			set(p->variant, arch_names[i].variant);
		break;
	}
	if (strcmp(p->arch, "amd64") == 0 && strcmp(p->variant, "v1") == 0)
		p->variant[0] = '\0';
	if (strcmp(p->arch, "arm64") == 0 &&
	    (strcmp(p->variant, "8") == 0 || strcmp(p->variant, "v8") == 0))
		p->variant[0] = '\0';
	if (strcmp(p->arch, "arm") == 0) {
		if (p->variant[0] == '\0')
			set(p->variant, "v7");
		else if (p->variant[0] >= '5' && p->variant[0] <= '8' && p->variant[1] == '\0')
			set(p->variant, (const char[]){ 'v', p->variant[0], '\0' });
	}
}

void platform_host(struct platform *ret)
{
	struct utsname u;

	*ret = (struct platform){ .os = "linux" };
	if (uname(&u) == 0)
		set(ret->arch, u.machine);
#if defined(__x86_64__)
	set(ret->arch, "amd64"); /* uname answers by personality */
#elif defined(__aarch64__)
	set(ret->arch, "arm64");
#endif
	platform_normalise(ret);
}

static bool is_known_os(const char *s)
{
	static const char *const names[] = { "aix",     "android", "darwin", "dragonfly", "freebsd",
					     "hurd",    "illumos", "ios",    "js",        "linux",
					     "netbsd",  "openbsd", "plan9",  "solaris",   "wasip1",
					     "windows", "zos",     "nacl" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(s, names[i]) == 0)
			return true;
	return false;
}

static bool is_known_arch(const char *s)
{
	static const char *const names[] = {
		"386",     "amd64",    "amd64p32",  "arm",         "armbe",   "arm64",
		"arm64be", "ppc64",    "ppc64le",   "loong64",     "mips",    "mipsle",
		"mips64",  "mips64le", "mips64p32", "mips64p32le", "ppc",     "riscv",
		"riscv64", "s390",     "s390x",     "sparc",       "sparc64", "wasm",
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(s, names[i]) == 0)
			return true;
	return false;
}

static bool is_component(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.at[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '_' || c == '-' || c == '.'))
			return false;
	}
	return s.len > 0 && s.len < PLATFORM_WORD_MAX;
}

int platform_parse(const char *text, struct platform *ret, struct error *err)
{
	struct str rest = str_of(text), parts[4], part;
	struct platform p = { 0 }, host;
	size_t n = 0;

	while (n < ARRAY_LEN(parts) && str_split(&rest, '/', &part)) {
		if (!is_component(part))
			return error_set(err, ERR_INVALID,
					 "\"%.*s\" is an invalid component of \"%.200s\": platform "
					 "specifier component must match \"^[A-Za-z0-9_.-]+$\": "
					 "invalid argument",
					 STR_ARG(str_sub(part, 0, 100)), text);
		parts[n++] = part;
	}
	if (n == 0 || n > 3)
		return error_set(err, ERR_INVALID,
				 "\"%.200s\": cannot parse platform specifier: invalid argument",
				 text);
	platform_host(&host);
	if (n > 1) {
		set_word(p.os, parts[0]);
		set_word(p.arch, parts[1]);
		if (n == 3)
			set_word(p.variant, parts[2]);
		platform_normalise(&p);
	} else {
		set_word(p.os, parts[0]);
		set(p.arch, host.arch);
		set(p.variant, host.variant);
		platform_normalise(&p);
		if (!is_known_os(p.os)) {
			p = (struct platform){ 0 };
			set_word(p.arch, parts[0]);
			set(p.os, host.os);
			platform_normalise(&p);
			if (!is_known_arch(p.arch))
				return error_set(
				    err, ERR_INVALID,
				    "\"%s\": unknown operating system or architecture: "
				    "invalid argument",
				    text);
		}
	}
	*ret = p;
	return 0;
}

void platform_format(const struct platform *p, char out[static PLATFORM_TEXT_MAX])
{
	const char *parts[] = { p->os, p->arch, p->variant };
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (parts[i][0] != '\0')
			n += (size_t)snprintf(out + n, PLATFORM_TEXT_MAX - n, "%s%s", n ? "/" : "",
					      parts[i]);
}

bool platform_is_empty(const struct platform *p)
{
	return p->os[0] == '\0' && p->arch[0] == '\0';
}

/* "v8" -> 8; "" and others -> fallback. */
static int variant_number(const struct platform *p, int fallback)
{
	if (p->variant[0] == 'v' && p->variant[1] >= '1' && p->variant[1] <= '9')
		return p->variant[1] - '0';
	return fallback;
}

/* Lower is better; both normalised, same os. */
static int rank_arch(const struct platform *want, const struct platform *have)
{
	bool same = strcmp(want->arch, have->arch) == 0;
	int w, h;

	if (strcmp(want->arch, "amd64") == 0) {
		if (strcmp(have->arch, "386") == 0)
			return 50;
		w = variant_number(want, 1);
		h = variant_number(have, 1);
		return same && h <= w ? w - h : -1;
	}
	if (strcmp(want->arch, "arm") == 0) {
		w = variant_number(want, 7);
		h = variant_number(have, 7);
		return same && h <= w ? w - h : -1;
	}
	if (strcmp(want->arch, "arm64") == 0) {
		if (strcmp(have->arch, "arm") == 0)
			return 50 + 8 - variant_number(have, 7);
		w = variant_number(want, 8);
		h = variant_number(have, 8);
		return same && h <= w ? w - h : -1;
	}
	return same && strcmp(want->variant, have->variant) == 0 ? 0 : -1;
}

int platform_rank(const struct platform *want_raw, const struct platform *have_raw)
{
	struct platform want = *want_raw, have = *have_raw;

	if (platform_is_empty(&have))
		return 1000;
	platform_normalise(&want);
	platform_normalise(&have);
	if (strcmp(want.os, have.os) != 0)
		return -1;
	return rank_arch(&want, &have);
}
