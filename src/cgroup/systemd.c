/*
 * cgroup/systemd.c: scopes by systemd's D-Bus interface.
 *
 * The manager's own socket is asked first (root may), then the system bus; a
 * user's own manager for who is not root. One connection a call: a container
 * needs three in its life.
 *
 * Peer: libcontainer/cgroups/systemd names the properties that are set here.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/macros.h"
#include "cgroup/cgroup_internal.h"
#include "cgroup/dbus.h"

#define MANAGER        "org.freedesktop.systemd1.Manager"
#define OBJECT         "/org/freedesktop/systemd1"
#define PRIVATE_SOCKET "/run/systemd/private"
#define SYSTEM_BUS     "/run/dbus/system_bus_socket"
#define UNIT_NAME_MAX  255

/* ---- names ---- */

static bool is_unit_name(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@",
			   s.at[i]) == NULL)
			return false;
	return s.len > 0 && s.len <= UNIT_NAME_MAX;
}

/* "a-b.slice" lies in "a.slice": "/a.slice/a-b.slice"; "-.slice" is the root. */
static int slice_path(struct arena *a, const char *slice, const char **ret, struct error *err)
{
	struct str s = str_of(slice);
	const char *path = "";

	if (!is_unit_name(s) || !str_ends(s, ".slice"))
		return error_set(err, ERR_INVALID, "invalid slice name '%.80s'", slice);
	s.len -= strlen(".slice");
	if (!str_eqs(s, "-")) {
		for (size_t i = 0; i <= s.len; i++) {
			if (i < s.len && s.at[i] != '-')
				continue;
			/* No leading, trailing or double dash. */
			if (i == 0 || s.at[i - 1] == '-')
				return error_set(err, ERR_INVALID, "invalid slice name '%.80s'",
						 slice);
			path = arena_format(a, "%s/%.*s.slice", path, (int)i, s.at);
		}
	}
	*ret = path;
	return 0;
}

int cgroup_unit_parse(struct arena *a, const char *path, const char *id, bool rootless,
		      struct cgroup_unit *ret, struct error *err)
{
	struct str rest = str_of(path && *path ? path : ""), slice = { 0 }, prefix = { 0 };
	const char *parent = "";
	int r;

	if (rest.len == 0) {
		prefix = STR_LIT("proa");
		rest = str_of(id);
	} else if (!str_split(&rest, ':', &slice) || !str_split(&rest, ':', &prefix) ||
		   rest.len == 0 || str_find(rest, ':') >= 0) {
		return error_set(err, ERR_INVALID,
				 "expected cgroupsPath to be of format \"slice:prefix:name\" for "
				 "systemd cgroups, got '%.200s' instead",
				 path);
	}
	ret->slice = slice.len  ? arena_format(a, "%.*s", STR_ARG(slice))
		     : rootless ? "user.slice"
				: "system.slice";
	r = slice_path(a, ret->slice, &parent, err);
	if (r < 0)
		return r;
	if (str_ends(rest, ".slice"))
		return error_set(err, ERR_UNIMPLEMENTED,
				 "a container as systemd slice '%.*s' is not supported yet",
				 STR_ARG(rest));
	ret->name = prefix.len ? arena_format(a, "%.*s-%.*s.scope", STR_ARG(prefix), STR_ARG(rest))
			       : arena_format(a, "%.*s.scope", STR_ARG(rest));
	if (!is_unit_name(str_of(ret->name)))
		return error_set(err, ERR_INVALID, "'%.80s' cannot be the name of a systemd unit",
				 ret->name);
	ret->path = arena_format(a, "%s/%s", parent, ret->name);
	ret->rootless = rootless;
	ret->n_properties = 0;
	return 0;
}

/* ---- properties ---- */

/* One element of a(sv): its name and the type of its value, which the caller puts next. */
static void prop(struct dbus_writer *w, const char *name, const char *type)
{
	dbus_put_align(w, 8);
	dbus_put_string(w, name);
	dbus_put_signature(w, type);
}

static void prop_string(struct dbus_writer *w, const char *name, const char *v)
{
	prop(w, name, "s");
	dbus_put_string(w, v);
}

static void prop_bool(struct dbus_writer *w, const char *name, bool v)
{
	prop(w, name, "b");
	dbus_put_u32(w, v);
}

static void prop_u64(struct dbus_writer *w, const char *name, uint64_t v)
{
	prop(w, name, "t");
	dbus_put_u64(w, v);
}

static bool on_v2(const struct cgroup_host *h, enum cgroup_controller c)
{
	for (size_t i = 0; i < h->n; i++)
		if (h->at[i].version == 2 && h->at[i].controllers & 1u << c)
			return true;
	return false;
}

/* -1 is "infinity", which systemd writes as the largest number. */
static void prop_limit(struct dbus_writer *w, const char *name, int64_t v)
{
	if (v != CGROUP_UNSET && v != 0)
		prop_u64(w, name, v < 0 ? UINT64_MAX : (uint64_t)v);
}

static void put_memory(struct dbus_writer *w, const struct cgroup_host *h,
		       const struct cgroup_limits *l)
{
	if (!on_v2(h, CGROUP_MEMORY)) {
		prop_limit(w, "MemoryLimit", l->memory_limit);
		return;
	}
	prop_limit(w, "MemoryMax", l->memory_limit);
	prop_limit(w, "MemoryLow", l->memory_reservation);
	/* config.json counts memory and swap together. */
	if (l->memory_swap == -1)
		prop_u64(w, "MemorySwapMax", UINT64_MAX);
	else if (l->memory_swap > 0 && l->memory_limit > 0 && l->memory_swap >= l->memory_limit)
		prop_u64(w, "MemorySwapMax", (uint64_t)(l->memory_swap - l->memory_limit));
}

static void put_cpu(struct dbus_writer *w, const struct cgroup_host *h,
		    const struct cgroup_limits *l)
{
	int64_t period = l->cpu_period_us > 0 ? l->cpu_period_us : 100000;

	if (l->cpu_shares > 0 && on_v2(h, CGROUP_CPU))
		prop_u64(w, "CPUWeight", (uint64_t)cgroup_weight_of_shares(l->cpu_shares));
	else if (l->cpu_shares > 0)
		prop_u64(w, "CPUShares", (uint64_t)l->cpu_shares);
	if (l->cpu_period_us > 0)
		prop_u64(w, "CPUQuotaPeriodUSec", (uint64_t)period);
	if (l->cpu_quota_us > 0 && l->cpu_quota_us < INT64_MAX / 1000000) {
		uint64_t us = (uint64_t)(l->cpu_quota_us * 1000000 / period);

		/* systemd counts in hundredths of a CPU. */
		prop_u64(w, "CPUQuotaPerSecUSec", (us + 9999) / 10000 * 10000);
	} else if (l->cpu_quota_us == -1) {
		prop_u64(w, "CPUQuotaPerSecUSec", UINT64_MAX);
	}
}

/* As systemd's bit mask; what does not parse is left to the kernel, which names it. */
static void put_set(struct dbus_writer *w, const char *name, const char *list)
{
	uint8_t bits[1024];
	size_t at, start, used;

	if (list == NULL || cgroup_cpu_list(list, bits, sizeof(bits), &used, NULL) < 0)
		return;
	prop(w, name, "ay");
	at = dbus_array_begin(w, 1, &start);
	for (size_t i = 0; i < used; i++)
		dbus_put_u8(w, bits[i]);
	dbus_array_end(w, at, start);
}

/* "char-pts": all minors of a driver go by its name in /proc/devices. */
static bool driver_of(const struct cgroup_device_rule *d, char *out, size_t cap)
{
	auto_(buf) b = BUF_INIT(65536);
	struct str rest, line, word;
	bool block = false;

	if (fs_read_file("/proc/devices", &b, NULL) < 0 || b.len == 0)
		return false;
	rest = (struct str){ b.data, b.len };
	while (str_split(&rest, '\n', &line)) {
		uint64_t major;

		line = str_trim(line);
		if (str_starts(line, "Block "))
			block = true;
		if (block != (d->type == 'b') || !str_split(&line, ' ', &word) ||
		    parse_u64(word, UINT32_MAX, &major, NULL) < 0 || (int64_t)major != d->major)
			continue;
		snprintf(out, cap, "%s-%.*s", block ? "block" : "char", STR_ARG(line));
		return true;
	}
	return false;
}

/*
 * systemd would open the device list at its next reload. It knows only an
 * allow list; rules that take away again are in our own list alone.
 */
static void put_devices(struct dbus_writer *w, const struct cgroup_limits *l)
{
	size_t at, start;

	if (!l->set_devices || l->n_devices == 0)
		return;
	for (size_t i = 0; i < l->n_devices; i++)
		if (l->devices[i].allow && l->devices[i].type == 'a')
			return;
	prop_string(w, "DevicePolicy", "strict");
	prop(w, "DeviceAllow", "a(ss)");
	at = dbus_array_begin(w, 8, &start);
	for (size_t i = 0; i < l->n_devices; i++) {
		const struct cgroup_device_rule *d = &l->devices[i];
		const char *kind = d->type == 'b' ? "block" : "char";
		char name[64];

		if (!d->allow)
			continue;
		if (d->major < 0)
			snprintf(name, sizeof(name), "%s-*", kind);
		else if (d->minor < 0 && !driver_of(d, name, sizeof(name)))
			continue;
		else if (d->minor >= 0)
			snprintf(name, sizeof(name), "/dev/%s/%lld:%lld", kind, (long long)d->major,
				 (long long)d->minor);
		dbus_put_align(w, 8);
		dbus_put_string(w, name);
		dbus_put_string(w, d->access);
	}
	dbus_array_end(w, at, start);
}

static void put_limits(struct dbus_writer *w, const struct cgroup_host *h,
		       const struct cgroup_limits *l)
{
	put_memory(w, h, l);
	put_cpu(w, h, l);
	if (l->pids_limit != CGROUP_UNSET)
		prop_u64(w, "TasksMax", l->pids_limit > 0 ? (uint64_t)l->pids_limit : UINT64_MAX);
	if (l->io_weight > 0 && on_v2(h, CGROUP_IO))
		prop_u64(w, "IOWeight",
			 1 + (uint64_t)(l->io_weight > 10 ? l->io_weight - 10 : 0) * 9999 / 990);
	else if (l->io_weight > 0)
		prop_u64(w, "BlockIOWeight", (uint64_t)l->io_weight);
	if (on_v2(h, CGROUP_CPUSET)) {
		put_set(w, "AllowedCPUs", l->cpuset_cpus);
		put_set(w, "AllowedMemoryNodes", l->cpuset_mems);
	}
	put_devices(w, l);
}

static int bad_property(const struct cgroup_unit_property *p, struct error *err)
{
	return error_set(err, ERR_INVALID,
			 "annotation org.systemd.property.%.60s: '%.80s' is not supported", p->name,
			 p->value);
}

/* "TimeoutStopSec" of people is "TimeoutStopUSec" on the bus. */
static int put_number(struct dbus_writer *w, const struct cgroup_unit_property *p, const char *type,
		      struct str digits, struct error *err)
{
	struct str name = str_of(p->name);
	bool minus = digits.len > 0 && *digits.at == '-';
	bool seconds = str_ends(name, "Sec") && !str_ends(name, "USec");
	char bus_name[UNIT_NAME_MAX + 1];
	uint64_t v;

	if (minus)
		digits = str_sub(digits, 1, digits.len);
	if ((minus && strchr("ix", *type) == NULL) || name.len >= sizeof(bus_name) - 4 ||
	    parse_u64(digits, seconds ? UINT64_MAX / 1000000 : UINT64_MAX, &v, NULL) < 0 ||
	    (strchr("iu", *type) != NULL && v > UINT32_MAX))
		return bad_property(p, err);
	if (seconds) {
		snprintf(bus_name, sizeof(bus_name), "%.*sUSec", (int)name.len - 3, name.at);
		prop_u64(w, bus_name, v * 1000000);
		return 0;
	}
	prop(w, p->name, type);
	if (strchr("iu", *type) != NULL)
		dbus_put_u32(w, minus ? (uint32_t) - (int64_t)v : (uint32_t)v);
	else
		dbus_put_u64(w, minus ? -v : v);
	return 0;
}

static int put_property(struct dbus_writer *w, const struct cgroup_unit_property *p,
			struct error *err)
{
	static const char *const types[][2] = {
		{ "uint64 ", "t" }, { "int64 ", "x" }, { "uint32 ", "u" }, { "int32 ", "i" }
	};
	struct str v = str_trim(str_of(p->value));

	if (str_eqs(v, "true") || str_eqs(v, "false")) {
		prop_bool(w, p->name, *v.at == 't');
		return 0;
	}
	if (v.len >= 2 && (*v.at == '\'' || *v.at == '"') && v.at[v.len - 1] == *v.at) {
		autofree char *text = str_dup(str_sub(v, 1, v.len - 2));

		if (strchr(text, '\\') != NULL)
			return bad_property(p, err);
		prop_string(w, p->name, text);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (str_starts(v, types[i][0]))
			return put_number(w, p, types[i][1],
					  str_trim(str_sub(v, strlen(types[i][0]), v.len)), err);
	return put_number(w, p, "i", v, err);
}

/* ---- talk ---- */

struct manager {
	struct dbus bus;
	const char *destination; /* NULL: the manager itself */
	const char *unit;        /* whose job is awaited */
	char result[32];         /* of that job; "" = not yet */
};
#define MANAGER_INIT \
	{ \
		.bus = DBUS_INIT \
	}
static void manager_release(struct manager *m)
{
	dbus_close(&m->bus);
}
DEFINE_AUTO(manager, manager_release);

/* JobRemoved(u id, o job, s unit, s result) */
static void on_signal(void *ctx, struct dbus_message *m)
{
	struct manager *man = ctx;
	const char *unit;

	if (m->member == NULL || strcmp(m->member, "JobRemoved") != 0 || m->signature == NULL ||
	    strcmp(m->signature, "uoss") != 0)
		return;
	(void)dbus_get_u32(&m->body);
	(void)dbus_get_string(&m->body);
	unit = dbus_get_string(&m->body);
	if (man->unit != NULL && strcmp(unit, man->unit) == 0)
		snprintf(man->result, sizeof(man->result), "%s", dbus_get_string(&m->body));
}

static int call(struct manager *m, const char *member, const char *signature,
		const struct dbus_writer *body, struct dbus_message *ret, struct error *err)
{
	struct dbus_call c = { m->destination, OBJECT, MANAGER, member, signature, body };
	struct dbus_message unused;

	return dbus_call(&m->bus, &c, on_signal, m, ret ? ret : &unused, err);
}

static int hello(struct manager *m, struct error *err)
{
	struct dbus_call c = { "org.freedesktop.DBus",
			       "/org/freedesktop/DBus",
			       "org.freedesktop.DBus",
			       "Hello",
			       NULL,
			       NULL };
	auto_(dbus_writer) w = DBUS_WRITER_INIT;
	struct dbus_message answer;
	int r = dbus_call(&m->bus, &c, NULL, NULL, &answer, err);

	m->destination = "org.freedesktop.systemd1";
	dbus_put_string(&w, "type='signal',interface='" MANAGER "',member='JobRemoved'");
	c.member = "AddMatch";
	c.signature = "s";
	c.body = &w;
	return r < 0 ? r : dbus_call(&m->bus, &c, NULL, NULL, &answer, err);
}

static int manager_open(struct manager *m, bool rootless, struct error *err)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");
	char path[108];
	struct error why = { 0 };
	int r;

	snprintf(path, sizeof(path), "%s", PRIVATE_SOCKET);
	if (rootless)
		snprintf(path, sizeof(path), "%s/systemd/private", dir ? dir : "/run/user/nobody");
	r = dbus_connect(&m->bus, path, &why);
	if (r < 0 && !rootless) {
		r = dbus_connect(&m->bus, SYSTEM_BUS, &why);
		if (r == 0)
			r = hello(m, &why);
	}
	if (r < 0)
		return error_set(err, ERR_UNAVAILABLE,
				 "systemd cannot be reached, so it cannot make the cgroup (is it "
				 "running? without it use the cgroupfs driver): %s",
				 why.msg);
	return 0;
}

static bool is_error(const struct dbus_message *m, const char *name)
{
	return m->type == DBUS_ERROR && m->error_name != NULL &&
	       strstr(m->error_name, name) != NULL;
}

static int call_with_name(struct manager *m, const char *member, const char *name,
			  const char *second, struct dbus_message *ret, struct error *err)
{
	auto_(dbus_writer) w = DBUS_WRITER_INIT;

	*ret = (struct dbus_message){ 0 };
	dbus_put_string(&w, name);
	if (second)
		dbus_put_string(&w, second);
	return call(m, member, second ? "ss" : "s", &w, ret, err);
}

/* A user's manager has its own group, below which its slices are. */
static int prefix_path(struct manager *m, struct cgroup_unit *u, struct arena *a, struct error *err)
{
	struct dbus_call c = { m->destination, OBJECT, "org.freedesktop.DBus.Properties",
			       "Get",          "ss",   NULL };
	auto_(dbus_writer) w = DBUS_WRITER_INIT;
	struct dbus_message answer;
	int r;

	dbus_put_string(&w, MANAGER);
	dbus_put_string(&w, "ControlGroup");
	c.body = &w;
	r = dbus_call(&m->bus, &c, on_signal, m, &answer, err);
	if (r < 0)
		return r;
	if (strcmp(dbus_get_signature(&answer.body), "s") != 0)
		return error_set(err, ERR_CORRUPT, "systemd's ControlGroup is no string");
	u->path = arena_format(a, "%s%s", dbus_get_string(&answer.body), u->path);
	return answer.body.failed ? error_set(err, ERR_CORRUPT, "systemd's ControlGroup is cut")
				  : 0;
}

static int put_scope(struct dbus_writer *w, const struct cgroup_unit *u, pid_t pid,
		     const struct cgroup_host *h, const struct cgroup_limits *l, struct error *err)
{
	size_t at, start, pids, pids_start;
	int r = 0;

	dbus_put_string(w, u->name);
	dbus_put_string(w, "replace");
	at = dbus_array_begin(w, 8, &start);
	prop_string(w, "Description", "proa container");
	prop_string(w, "Slice", u->slice);
	prop_bool(w, "Delegate", true);
	prop(w, "PIDs", "au");
	pids = dbus_array_begin(w, 4, &pids_start);
	dbus_put_u32(w, (uint32_t)pid);
	dbus_array_end(w, pids, pids_start);
	prop_bool(w, "DefaultDependencies", false);
	prop_bool(w, "MemoryAccounting", true);
	prop_bool(w, "CPUAccounting", true);
	prop_bool(w, "TasksAccounting", true);
	prop_bool(w, on_v2(h, CGROUP_IO) ? "IOAccounting" : "BlockIOAccounting", true);
	put_limits(w, h, l);
	for (size_t i = 0; r == 0 && i < u->n_properties; i++)
		r = put_property(w, &u->properties[i], err);
	dbus_array_end(w, at, start);
	/* No auxiliary units. */
	at = dbus_array_begin(w, 8, &start);
	dbus_array_end(w, at, start);
	return r;
}

static int await_job(struct manager *m, struct error *err)
{
	int r = 0;

	while (r == 0 && m->result[0] == '\0')
		r = dbus_wait(&m->bus, on_signal, m, err);
	if (r == 0 && strcmp(m->result, "done") != 0)
		return error_set(err, ERR_SYSTEM, "systemd could not start unit '%s': %s", m->unit,
				 m->result);
	return r < 0 ? error_wrap(err, r, "wait for unit '%s'", m->unit) : 0;
}

int cgroup_unit_start(struct cgroup_unit *u, pid_t pid, const struct cgroup_host *h,
		      const struct cgroup_limits *l, struct arena *a, struct error *err)
{
	auto_(manager) m = MANAGER_INIT;
	auto_(dbus_writer) w = DBUS_WRITER_INIT;
	struct dbus_message answer = { 0 };
	struct error ignored;
	int r = put_scope(&w, u, pid, h, l, err);

	m.unit = u->name;
	if (r == 0)
		r = manager_open(&m, u->rootless, err);
	if (r == 0 && u->rootless)
		r = prefix_path(&m, u, a, err);
	if (r == 0)
		r = call(&m, "Subscribe", NULL, NULL, NULL, err);
	if (r < 0)
		return r;
	/* A scope of the same name that failed once would be in the way; mostly there is none. */
	(void)!call_with_name(&m, "ResetFailedUnit", u->name, NULL, &answer, &ignored);
	r = call(&m, "StartTransientUnit", "ssa(sv)a(sa(sv))", &w, &answer, err);
	if (r < 0 && is_error(&answer, ".UnitExists"))
		return error_set(err, ERR_CONFLICT, "systemd unit '%s' exists already", u->name);
	return r < 0 ? r : await_job(&m, err);
}

int cgroup_unit_update(const char *name, bool rootless, const struct cgroup_host *h,
		       const struct cgroup_limits *l, struct error *err)
{
	auto_(manager) m = MANAGER_INIT;
	auto_(dbus_writer) w = DBUS_WRITER_INIT;
	size_t at, start;
	int r = manager_open(&m, rootless, err);

	if (r < 0)
		return r;
	dbus_put_string(&w, name);
	dbus_put_u32(&w, true); /* for this boot */
	at = dbus_array_begin(&w, 8, &start);
	put_limits(&w, h, l);
	dbus_array_end(&w, at, start);
	return w.bytes.len == start ? 0 : call(&m, "SetUnitProperties", "sba(sv)", &w, NULL, err);
}

int cgroup_unit_stop(const char *name, bool rootless, struct error *err)
{
	auto_(manager) m = MANAGER_INIT;
	struct dbus_message answer;
	struct error ignored;
	int r = manager_open(&m, rootless, err);

	if (r < 0)
		return r;
	r = call_with_name(&m, "StopUnit", name, "replace", &answer, err);
	if (r < 0 && is_error(&answer, ".NoSuchUnit"))
		r = 0;
	(void)!call_with_name(&m, "ResetFailedUnit", name, NULL, &answer, &ignored);
	return r;
}
