/* engine/cpuset.c: does the machine have the CPUs and memory nodes of a request? */
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/fs.h"
#include "base/str.h"
#include "engine/container_internal.h"

#define UNITS_MAX 8192 /* Peer: dockerd's ParseUintList */
#define LIST_MAX  65536

/* "0-3,7": a byte of `set` for each number. */
static bool parse_list(struct str s, bool set[static UNITS_MAX])
{
	struct str one, first, rest;
	uint64_t from, to;

	s = str_trim(s);
	while (str_split(&s, ',', &one)) {
		rest = one;
		if (!str_split(&rest, '-', &first) ||
		    parse_u64(first, UNITS_MAX - 1, &from, NULL) < 0)
			return false;
		to = from;
		if (first.len < one.len && parse_u64(rest, UNITS_MAX - 1, &to, NULL) < 0)
			return false;
		if (to < from)
			return false;
		for (; from <= to; from++)
			set[from] = true;
	}
	return true;
}

static int check(const char *want, const char *file, const char *name, const char *plural,
		 struct error *err)
{
	autofree bool *wanted = xcalloc(UNITS_MAX, sizeof(bool));
	autofree bool *there = xcalloc(UNITS_MAX, sizeof(bool));
	auto_(buf) b = BUF_INIT(LIST_MAX);
	struct str online;

	if (!parse_list(str_of(want), wanted))
		return error_set(err, ERR_INVALID, "Invalid value %s for cpuset %s: invalid format",
				 want, name);
	/* Without the file the kernel tells, when the container starts. */
	if (fs_read_file(file, &b, NULL) < 0)
		return 0;
	online = str_trim((struct str){ b.data ? b.data : "", b.len });
	if (!parse_list(online, there))
		return 0;
	for (size_t i = 0; i < UNITS_MAX; i++)
		if (wanted[i] && !there[i])
			return error_set(err, ERR_INVALID,
					 "Requested %s are not available - requested %.200s, "
					 "available: %.*s",
					 plural, want, STR_ARG(online));
	return 0;
}

int cpuset_check(const char *want, const char *file, const char *name, const char *plural,
		 struct error *err)
{
	return cstr_is_empty(want) ? 0 : check(want, file, name, plural, err);
}
