/* cgroup/detect.c: which hierarchies this machine has, from two files of /proc. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/macros.h"
#include "cgroup/cgroup_internal.h"

#define MOUNTINFO_MAX (4u << 20)

static const struct {
	const char *v1, *v2;
} names[CGROUP_CONTROLLER_COUNT] = {
	[CGROUP_CPU] = { "cpu", "cpu" },
	[CGROUP_CPUACCT] = { "cpuacct", "" },
	[CGROUP_CPUSET] = { "cpuset", "cpuset" },
	[CGROUP_MEMORY] = { "memory", "memory" },
	[CGROUP_PIDS] = { "pids", "pids" },
	[CGROUP_IO] = { "blkio", "io" },
	[CGROUP_DEVICES] = { "devices", "" },
	[CGROUP_FREEZER] = { "freezer", "" },
	[CGROUP_HUGETLB] = { "hugetlb", "hugetlb" },
	[CGROUP_NET_CLS] = { "net_cls", "" },
	[CGROUP_NET_PRIO] = { "net_prio", "" },
	[CGROUP_PERF_EVENT] = { "perf_event", "" },
	[CGROUP_RDMA] = { "rdma", "rdma" },
	[CGROUP_MISC] = { "misc", "misc" },
};

uint32_t cgroup_controller_bit(struct str name)
{
	for (unsigned c = 0; c < CGROUP_CONTROLLER_COUNT; c++)
		if (str_eqs(name, names[c].v1) || (*names[c].v2 && str_eqs(name, names[c].v2)))
			return 1u << c;
	return 0;
}

const char *cgroup_controller_name(enum cgroup_controller c, int version)
{
	return version == 2 ? names[c].v2 : names[c].v1;
}

static uint32_t bits_of(struct str list, char sep)
{
	struct str word;
	uint32_t bits = 0;

	while (str_split(&list, sep, &word))
		bits |= cgroup_controller_bit(word);
	return bits;
}

/* mountinfo writes blank, tab, newline and backslash as \ooo. */
static int unescape(struct str s, char *out, size_t size, struct error *err)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++) {
		char c = s.at[i];

		if (c == '\\' && i + 3 < s.len && s.at[i + 1] >= '0' && s.at[i + 1] <= '3') {
			uint64_t v;
			int r = parse_octal((struct str){ s.at + i + 1, 3 }, 255, &v, err);

			if (r < 0)
				return r;
			c = (char)v;
			i += 3;
		}
		if (n + 1 >= size)
			return error_set(err, ERR_INVALID,
					 "path '%.*s...' in mountinfo is too long", 60, s.at);
		out[n++] = c;
	}
	out[n] = '\0';
	return 0;
}

/* Fields of one mountinfo line that matter. */
struct line {
	struct str root, mount, type, options;
};

static bool line_parse(struct str s, struct line *l)
{
	struct str f;
	unsigned i;

	for (i = 0; i < 5; i++) {
		if (!str_split(&s, ' ', &f))
			return false;
		if (i == 3)
			l->root = f;
		if (i == 4)
			l->mount = f;
	}
	do {
		if (!str_split(&s, ' ', &f))
			return false;
	} while (!str_eqs(f, "-"));
	if (!str_split(&s, ' ', &l->type) || !str_split(&s, ' ', &f))
		return false;
	if (!str_split(&s, ' ', &l->options))
		l->options = STR_LIT("");
	return l->root.len > 0 && l->mount.len > 0;
}

/* The list of controllers in a v1 mount's options, e.g. "cpu,cpuacct" of "rw,cpu,cpuacct". */
static bool same_v1(struct str options, struct str controllers)
{
	struct str want;

	if (controllers.len == 0)
		return false;
	while (str_split(&controllers, ',', &want)) {
		struct str rest = options, have;
		bool found = false;

		while (!found && str_split(&rest, ',', &have))
			found = str_eq(have, want);
		if (!found)
			return false;
	}
	return true;
}

/* Where the caller stands, relative to what is mounted: root "/a", path "/a/b" gives "/b". */
static int self_path(const char *root, struct str path, char *out, size_t size, struct error *err)
{
	size_t n = strlen(root);

	if (path.len == 0 || path.at[0] != '/')
		return error_set(err, ERR_INVALID, "cgroup path '%.*s' is not absolute",
				 STR_ARG(path));
	if (n > 1 && path.len >= n && memcmp(path.at, root, n) == 0 &&
	    (path.len == n || path.at[n] == '/'))
		path = str_sub(path, n, path.len - n);
	if (path.len == 0)
		path = STR_LIT("/");
	if (path.len >= size)
		return error_set(err, ERR_INVALID, "cgroup path '%.60s...' is too long", path.at);
	memcpy(out, path.at, path.len);
	out[path.len] = '\0';
	return 0;
}

/* Find the line of /proc/self/cgroup that belongs to a mount. */
static int fill_self(struct cgroup_hierarchy *h, struct str options, struct str text,
		     struct error *err)
{
	struct str line;

	while (str_split(&text, '\n', &line)) {
		struct str id, list, rest = line;

		if (line.len == 0)
			continue;
		if (!str_split(&rest, ':', &id) || !str_split(&rest, ':', &list))
			return error_set(err, ERR_INVALID, "cgroup line '%.*s' has no path",
					 STR_ARG(str_sub(line, 0, 200)));
		if (h->version == 2 ? str_eqs(id, "0") && list.len == 0 : same_v1(options, list)) {
			if (h->version == 1)
				h->controllers = bits_of(list, ',');
			return self_path(h->root, rest, h->self, sizeof(h->self), err);
		}
	}
	memcpy(h->self, "/", 2);
	if (h->version == 1)
		h->controllers = bits_of(options, ',');
	return 0;
}

static bool known(const struct cgroup_host *host, const struct cgroup_hierarchy *h)
{
	for (size_t i = 0; i < host->n; i++)
		if (host->at[i].version == h->version &&
		    (h->version == 2 ||
		     (h->controllers ? host->at[i].controllers == h->controllers
				     : strcmp(host->at[i].mount, h->mount) == 0)))
			return true;
	return false;
}

int cgroup_host_parse(struct arena *a, struct str mountinfo, struct str self_cgroup,
		      struct cgroup_host *ret, struct error *err)
{
	struct cgroup_host host = {
		arena_array(a, CGROUP_HIERARCHY_MAX, sizeof(struct cgroup_hierarchy)), 0
	};
	struct str text;
	int r;

	while (str_split(&mountinfo, '\n', &text)) {
		struct cgroup_hierarchy *h = &host.at[host.n];
		struct line l;

		if (text.len == 0)
			continue;
		if (!line_parse(text, &l))
			return error_set(err, ERR_INVALID, "mountinfo line '%.*s' does not parse",
					 STR_ARG(str_sub(text, 0, 200)));
		if (!str_eqs(l.type, "cgroup") && !str_eqs(l.type, "cgroup2"))
			continue;
		if (host.n == CGROUP_HIERARCHY_MAX)
			return error_set(err, ERR_INVALID, "more than %d cgroup hierarchies",
					 CGROUP_HIERARCHY_MAX);
		memset(h, 0, sizeof(*h));
		h->version = str_eqs(l.type, "cgroup2") ? 2 : 1;
		r = unescape(l.mount, h->mount, sizeof(h->mount), err);
		if (r == 0)
			r = unescape(l.root, h->root, sizeof(h->root), err);
		if (r == 0)
			r = fill_self(h, l.options, self_cgroup, err);
		if (r < 0)
			return r;
		if (!known(&host, h))
			host.n++;
	}
	*ret = host;
	return 0;
}

int cgroup_host_detect(struct arena *a, struct cgroup_host *ret, struct error *err)
{
	auto_(buf) mounts = BUF_INIT(MOUNTINFO_MAX);
	auto_(buf) self = BUF_INIT(65536);
	int r;

	r = fs_read_file("/proc/self/mountinfo", &mounts, err);
	if (r == 0)
		r = fs_read_file("/proc/self/cgroup", &self, err);
	if (r == 0)
		r = cgroup_host_parse(a, (struct str){ mounts.data ? mounts.data : "", mounts.len },
				      (struct str){ self.data ? self.data : "", self.len }, ret,
				      err);
	if (r < 0)
		return error_wrap(err, r, "detect cgroups");
	for (size_t i = 0; i < ret->n; i++) {
		struct cgroup_hierarchy *h = &ret->at[i];
		auto_(buf) b = BUF_INIT(4096);
		autoclose int fd = FD_NONE;

		if (h->version != 2 || fs_open(h->mount, O_PATH | O_DIRECTORY, 0, &fd, NULL) < 0)
			continue;
		if (cgroup_read(fd, "cgroup.controllers", &b, NULL) == 0 && b.len > 0)
			h->controllers = bits_of((struct str){ b.data, b.len }, ' ');
	}
	return 0;
}

const char *cgroup_host_mode(const struct cgroup_host *h)
{
	bool v1 = false, v2 = false;

	for (size_t i = 0; i < h->n; i++) {
		if (h->at[i].version == 2)
			v2 = true;
		else
			v1 = true;
	}
	return v1 && v2 ? "hybrid" : v2 ? "v2" : v1 ? "v1" : "none";
}
