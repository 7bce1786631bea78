/*
 * engine/user.c: who runs in a container. /etc/passwd and /etc/group are read
 * through the root's fd, as regular files of at most 1 MiB.
 *
 * A number is a number: it is never looked up as a name, and one beyond 31
 * bits is refused instead of wrapped (security.md, 12).
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/fs.h"
#include "base/str.h"
#include "base/vec.h"
#include "engine/container_internal.h"

#define DATABASE_MAX (1 << 20)
#define ID_MAX       2147483647
#define GROUPS_MAX   1024
#define NOBODY       65534
#define COUNT_MIN    1024 /* as podman has it */

typedef VEC(gid_t) gid_vec;

void container_user_release(struct container_user *u)
{
	free(u->groups);
	free(u->home);
	*u = (struct container_user){ 0 };
}

static struct str field(struct str line, unsigned n)
{
	struct str rest = line, f = { "", 0 };

	while (str_split(&rest, ':', &f))
		if (n-- == 0)
			return f;
	return (struct str){ "", 0 };
}

static bool parse_id(struct str s, uint32_t *ret)
{
	uint64_t v;

	if (parse_u64(s, ID_MAX, &v, NULL) < 0)
		return false;
	*ret = (uint32_t)v;
	return true;
}

static bool looks_numeric(struct str s)
{
	size_t i;

	for (i = 0; i < s.len; i++)
		if (s.at[i] < '0' || s.at[i] > '9')
			return false;
	return s.len > 0;
}

/* The whole file; empty when it is absent. */
static int read_database(int rootfd, const char *path, struct buf *b, struct error *err)
{
	struct error local = { 0 };
	int r = fs_read_in_root(rootfd, path, b, &local);

	if (r == -ERR_NOT_FOUND)
		return 0;
	return r < 0 ? error_set(err, local.kind, "%s", local.msg) : 0;
}

struct wanted {
	struct str user, group; /* as written; group.at NULL = none */
	struct str name;        /* of the user, when known */
	bool numeric;
};

static int find_user(const struct buf *passwd, struct wanted *w, struct container_user *u,
		     struct error *err)
{
	struct str rest = { passwd->data ? passwd->data : "", passwd->len }, line;
	uint32_t id = 0;

	w->numeric = looks_numeric(w->user);
	if (w->numeric && !parse_id(w->user, &id))
		return error_set(err, ERR_INVALID, "uids and gids must be in range 0-%d", ID_MAX);
	if (w->numeric)
		u->uid = id;
	while (str_split(&rest, '\n', &line)) {
		uint32_t uid, gid;

		if (!parse_id(field(line, 2), &uid) || !parse_id(field(line, 3), &gid))
			continue;
		if (w->numeric ? uid != id : !str_eq(field(line, 0), w->user))
			continue;
		w->name = field(line, 0);
		u->uid = uid;
		u->gid = gid;
		u->home = str_dup(field(line, 5));
		return 0;
	}
	if (!w->numeric && !str_eqs(w->user, "root"))
		return error_set(err, ERR_INVALID,
				 "unable to find user %.*s: no matching entries in passwd file",
				 STR_ARG(w->user));
	return 0;
}

static bool group_has_member(struct str line, struct str name)
{
	struct str members = field(line, 3), m;

	while (members.len > 0 && str_split(&members, ',', &m))
		if (str_eq(m, name))
			return true;
	return false;
}

/* A group by name or number. */
static int find_group(const struct buf *group, struct str want, gid_t *ret, struct error *err)
{
	struct str rest = { group->data ? group->data : "", group->len }, line;
	uint32_t gid;

	if (looks_numeric(want)) {
		if (!parse_id(want, &gid))
			return error_set(err, ERR_INVALID, "uids and gids must be in range 0-%d",
					 ID_MAX);
		*ret = gid;
		return 0;
	}
	while (str_split(&rest, '\n', &line)) {
		if (!str_eq(field(line, 0), want) || !parse_id(field(line, 2), &gid))
			continue;
		*ret = gid;
		return 0;
	}
	return error_set(err, ERR_INVALID,
			 "unable to find group %.*s: no matching entries in group file",
			 STR_ARG(want));
}

static void add_group(gid_vec *v, gid_t gid)
{
	vec_for_each (g, v)
		if (*g == gid)
			return;
	if (v->len < GROUPS_MAX)
		*vec_push(v) = gid;
}

static void add_memberships(const struct buf *group, struct str name, gid_vec *v)
{
	struct str rest = { group->data ? group->data : "", group->len }, line;
	uint32_t gid;

	while (str_split(&rest, '\n', &line))
		if (group_has_member(line, name) && parse_id(field(line, 2), &gid))
			add_group(v, gid);
}

int container_user_find(int rootfd, const char *spec, const char *const *extra,
			struct container_user *ret, struct error *err)
{
	auto_(buf) passwd = BUF_INIT(DATABASE_MAX);
	auto_(buf) group = BUF_INIT(DATABASE_MAX);
	auto_(container_user) u = { 0 };
	struct str rest = str_of(cstr_is_empty(spec) ? "root" : spec);
	struct wanted w = { 0 };
	gid_vec groups = { 0 };
	gid_t gid;
	int r;

	if (str_split(&rest, ':', &w.user) && rest.at && rest.len > 0)
		w.group = rest;
	if (w.user.len == 0)
		w.user = STR_LIT("root");
	r = read_database(rootfd, "/etc/passwd", &passwd, err);
	if (r == 0)
		r = read_database(rootfd, "/etc/group", &group, err);
	if (r == 0)
		r = find_user(&passwd, &w, &u, err);
	if (r == 0 && w.group.at)
		r = find_group(&group, w.group, &u.gid, err);
	if (r < 0)
		return r;
	/* The primary group is in the list too (CVE-2022-2989). */
	add_group(&groups, u.gid);
	if (w.group.at == NULL && w.name.len > 0)
		add_memberships(&group, w.name, &groups);
	for (; extra && *extra && r == 0; extra++) {
		r = find_group(&group, str_of(*extra), &gid, err);
		if (r == 0)
			add_group(&groups, gid);
	}
	if (r < 0) {
		vec_release(&groups);
		return r;
	}
	if (cstr_is_empty(u.home)) {
		free(u.home);
		u.home = xstrdup(u.uid == 0 && passwd.len == 0 ? "/root" : "/");
	}
	u.groups = groups.at;
	u.n_groups = groups.len;
	*ret = u;
	u = (struct container_user){ 0 };
	return 0;
}

static void count_ids(const struct buf *file, unsigned n_fields, uint32_t *max)
{
	struct str rest = { file->data ? file->data : "", file->len }, line;
	uint32_t id;
	unsigned i;

	while (str_split(&rest, '\n', &line)) {
		if (str_starts(line, "nobody:") || str_starts(line, "nogroup:"))
			continue;
		for (i = 0; i < n_fields; i++)
			if (parse_id(field(line, 2 + i), &id) && id + 1 > *max && id < NOBODY)
				*max = id + 1;
	}
}

int container_user_count(int rootfd, const char *spec, uint32_t *ret, struct error *err)
{
	auto_(buf) passwd = BUF_INIT(DATABASE_MAX);
	auto_(buf) group = BUF_INIT(DATABASE_MAX);
	auto_(container_user) u = { 0 };
	uint32_t max = COUNT_MIN;
	int r = read_database(rootfd, "/etc/passwd", &passwd, err);

	if (r == 0)
		r = read_database(rootfd, "/etc/group", &group, err);
	if (r == 0)
		r = container_user_find(rootfd, spec, NULL, &u, err);
	if (r < 0)
		return r;
	count_ids(&passwd, 2, &max);
	count_ids(&group, 1, &max);
	if (u.uid >= max)
		max = u.uid + 1;
	if (u.gid >= max)
		max = u.gid + 1;
	*ret = max;
	return 0;
}
