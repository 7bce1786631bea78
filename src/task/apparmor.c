/* task/apparmor.c: see apparmor.h. */
#include "task/apparmor.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/auto.h"
#include "base/fs.h"
#include "base/macros.h"
#include "base/proc.h"

#define SMALL_MAX    4096
#define PROFILES_MAX (4U << 20)
#define SOURCE_MAX   65536
#define PARSER_SAID  65536
/* Compiling takes 0.1 s, and some seconds on an emulated machine. */
#define PARSER_TIMEOUT_MS 60000

static const char *const parsers[] = { "/sbin/apparmor_parser", "/usr/sbin/apparmor_parser",
				       "apparmor_parser", NULL };

const struct apparmor_host apparmor_this_host = {
	.enabled = "/sys/module/apparmor/parameters/enabled",
	.profiles = "/sys/kernel/security/apparmor/profiles",
	.label = "/proc/self/attr/apparmor/current",
	.parsers = parsers,
	.abi = "/etc/apparmor.d/abi/3.0",
};

static struct str text_of(const struct buf *b)
{
	return (struct str){ b->data ? b->data : "", b->len };
}

bool apparmor_is_listed(struct str profiles, const char *name)
{
	size_t len = strlen(name);
	struct str line;

	/* The mode in parentheses comes last: names may have spaces. */
	while (profiles.len > 0 && str_split(&profiles, '\n', &line))
		if (str_starts(line, name) && str_starts(str_sub(line, len, line.len), " ("))
			return true;
	return false;
}

static char *find_parser(const struct apparmor_host *h)
{
	for (const char *const *p = h->parsers; *p != NULL; p++) {
		autofree char *found = proc_find(*p);

		if (found != NULL && access(found, X_OK) == 0)
			return steal_ptr(found);
	}
	return NULL;
}

/* Peer: dockerd leaves it alone inside a container, whose policy is the machine's. */
static bool is_on(const struct apparmor_host *h)
{
	auto_(buf) b = BUF_INIT(SMALL_MAX);

	return cstr_is_empty(getenv("container")) && fs_read_file(h->enabled, &b, NULL) == 0 &&
	       b.len > 0 && b.data[0] == 'Y';
}

enum apparmor_support apparmor_support(const struct apparmor_host *h)
{
	auto_(buf) loaded = BUF_INIT(PROFILES_MAX);
	autofree char *parser = NULL;

	if (!is_on(h) || fs_read_file(h->profiles, &loaded, NULL) < 0)
		return APPARMOR_OFF;
	if (apparmor_is_listed(text_of(&loaded), APPARMOR_DEFAULT))
		return APPARMOR_ON;
	parser = find_parser(h);
	return parser != NULL ? APPARMOR_ON : APPARMOR_NO_PARSER;
}

const char *apparmor_choose(enum apparmor_support support, bool privileged, const char *asked)
{
	if (!cstr_is_empty(asked) && strcmp(asked, APPARMOR_UNCONFINED) != 0)
		return asked;
	if (support != APPARMOR_ON)
		return NULL;
	return privileged || !cstr_is_empty(asked) ? APPARMOR_UNCONFINED : APPARMOR_DEFAULT;
}

/* ---- the profile ---- */

/*
 * A label stands in a rule, where it is a pattern. Those with other characters are of stacks and
 * namespaces, which no rule of ours could name.
 */
static bool is_plain(struct str label)
{
	static const char more[] = "._-+/:@";

	for (size_t i = 0; i < label.len; i++) {
		char c = label.at[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      (c != '\0' && strchr(more, c) != NULL)))
			return false;
	}
	return label.len > 0;
}

/*
 * Everything is allowed that is not denied: what a container may do is for its capabilities, its
 * filter and its mounts to say. Denied is what reaches past them into the machine.
 *
 * A bracket may match a '/' as well, so each excludes it.
 */
static const char rules[] =
    "  network,\n"
    "  capability,\n"
    "  file,\n"
    "  umount,\n"
    "\n"
    /* A filter of system calls does not see the family in a 32-bit program's socketcall. */
    "  deny network alg,\n"
    "  deny network vsock,\n"
    "  deny mount,\n"
    "\n"
    /* The machine's processes, other runtimes' own profiles (Ubuntu has some), each other. */
    "  signal (receive) peer=unconfined,\n"
    "  signal (receive) peer=runc,\n"
    "  signal (receive) peer=crun,\n"
    "  signal (send, receive) peer=" APPARMOR_DEFAULT ",\n"
    "  signal (send, receive) set=(\"exists\"),\n"
    /* ps in the container; monitors and debuggers of the machine, who need a right of their own. */
    "  ptrace (trace, read, tracedby, readby) peer=" APPARMOR_DEFAULT ",\n"
    "  ptrace (tracedby, readby),\n"
    "\n"
    /* Of /proc the directories of processes and sys/kernel/shm* may be written to. */
    "  deny /proc/* w,\n"
    "  deny /proc/[^0-9s/]*/** w,\n"
    "  deny /proc/s[^y/]*/** w,\n"
    "  deny /proc/sy[^s/]*/** w,\n"
    "  deny /proc/sys[^/]*/** w,\n"
    "  deny /proc/sys/[^k/]** w,\n"
    "  deny /proc/sys/kernel/[^s/]** w,\n"
    "  deny /proc/sys/kernel/s[^h/]** w,\n"
    "  deny /proc/sys/kernel/sh[^m/]** w,\n"
    "  deny /proc/sysrq-trigger rwklx,\n"
    "  deny /proc/kcore rwklx,\n"
    "\n"
    /* Of /sys fs/cgroup. */
    "  deny /sys/[^f/]** wklx,\n"
    "  deny /sys/f[^s/]** wklx,\n"
    "  deny /sys/fs/[^c/]** wklx,\n"
    "  deny /sys/fs/c[^g/]** wklx,\n"
    "  deny /sys/fs/cg[^r/]** wklx,\n"
    "  deny /sys/firmware/** rwklx,\n"
    "  deny /sys/devices/virtual/powercap/** rwklx,\n"
    "  deny /sys/kernel/security/** rwklx,\n";

int apparmor_profile_write(struct str label, bool has_abi, struct buf *out, struct error *err)
{
	/* Newer parsers would take what the rules do not name, as user namespaces, for denied. */
	int r = buf_addf(out, err,
			 "%sprofile " APPARMOR_DEFAULT
			 " flags=(attach_disconnected, mediate_deleted) {\n%s",
			 has_abi ? "abi <abi/3.0>,\n" : "", rules);

	if (r == 0 && is_plain(label) && !str_eqs(label, APPARMOR_UNCONFINED))
		r = buf_addf(out, err, "  signal (receive) peer=\"%.*s\",\n", STR_ARG(label));
	return r < 0 ? r : buf_addf(out, err, "}\n");
}

/* ---- loading it ---- */

static int source(const struct apparmor_host *h, struct buf *out, struct error *err)
{
	auto_(buf) b = BUF_INIT(SMALL_MAX);
	struct str rest, label = { 0 };

	/* "name (mode)", or "unconfined". */
	if (fs_read_file(h->label, &b, NULL) == 0) {
		rest = str_trim(text_of(&b));
		if (!str_split(&rest, ' ', &label))
			label = (struct str){ 0 };
	}
	return apparmor_profile_write(label, access(h->abi, F_OK) == 0, out, err);
}

static int load(const struct apparmor_host *h, struct error *err)
{
	static const char *const argv[] = { "apparmor_parser", "-Kr", NULL };
	autofree char *parser = find_parser(h);
	auto_(buf) text = BUF_INIT(SOURCE_MAX);
	auto_(buf) said = BUF_INIT(PARSER_SAID);
	struct proc_spec spec = { .path = parser, .argv = argv, .cwd_fd = FD_NONE };
	struct str complaint;
	int status, r;

	if (parser == NULL)
		return error_set(err, ERR_SYSTEM,
				 "there is no apparmor_parser (Debian: apt install apparmor)");
	r = source(h, &text, err);
	if (r == 0)
		r = proc_run(&spec, text.data, text.len, NULL, &said, PARSER_TIMEOUT_MS, &status,
			     err);
	if (r < 0 || status == 0)
		return r;
	complaint = str_trim(text_of(&said));
	return error_set(err, ERR_SYSTEM, "'%s -Kr' ended with %d: %.*s", parser, status,
			 STR_ARG(complaint));
}

int apparmor_ensure(const struct apparmor_host *h, struct error *err)
{
	auto_(buf) loaded = BUF_INIT(PROFILES_MAX);
	struct error local = { 0 };

	if (fs_read_file(h->profiles, &loaded, &local) == 0 &&
	    apparmor_is_listed(text_of(&loaded), APPARMOR_DEFAULT))
		return 0;
	if (load(h, &local) == 0)
		return 0;
	return error_set(err, ERR_SYSTEM,
			 "AppArmor enabled on system but the " APPARMOR_DEFAULT
			 " profile could not be loaded: %s",
			 local.msg);
}

int apparmor_resolve(const struct apparmor_host *h, bool privileged, const char *asked,
		     const char **ret, struct error *err)
{
	const char *name = apparmor_choose(apparmor_support(h), privileged, asked);
	bool ours = name != NULL && strcmp(name, APPARMOR_DEFAULT) == 0;
	int r = ours ? apparmor_ensure(h, err) : 0;

	if (r == 0)
		*ret = name;
	return r;
}
