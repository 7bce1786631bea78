#include "build/user.h"

#include <stdlib.h>

#include "base/fs.h"
#include "base/str.h"

#define PASSWD_MAX (1U << 20) /* bytes; security: a hostile image may have any */

/* Field `n` of a colon-separated line. */
static struct str field(struct str line, unsigned n)
{
	struct str f = { 0 };

	for (unsigned i = 0; i <= n; i++) {
		if (!str_split(&line, ':', &f))
			return (struct str){ "", 0 };
	}
	return f;
}

static bool number(struct str s, uint64_t *ret)
{
	return s.len > 0 && parse_u64(s, UINT32_MAX - 1, ret, NULL) == 0;
}

/* The first line of a passwd or group file that is of `who`: a number is an id
 * and never a name. */
static bool find_line(const struct buf *file, struct str who, struct str *ret)
{
	struct str rest = { file->data ? file->data : "", file->len }, line;
	uint64_t id, have;
	bool numeric = number(who, &id);

	while (rest.len > 0 && str_split(&rest, '\n', &line)) {
		line = str_trim(line);
		if (numeric ? number(field(line, 2), &have) && have == id
			    : str_eq(field(line, 0), who)) {
			*ret = line;
			return true;
		}
	}
	return false;
}

static void read_file(int rootfd, const char *path, struct buf *b)
{
	/* Absent, too large or no regular file: nobody is known. */
	if (fs_read_in_root(rootfd, path, b, NULL) < 0)
		buf_release(b);
}

static void add_groups(const struct buf *groups, struct str user, struct user_ids *u)
{
	struct str rest = { groups->data ? groups->data : "", groups->len }, line, member;
	uint64_t gid;

	while (rest.len > 0 && str_split(&rest, '\n', &line)) {
		struct str members = field(line, 3);

		while (members.len > 0 && str_split(&members, ',', &member)) {
			if (str_eq(member, user) && number(field(line, 2), &gid) &&
			    u->n_groups < ARRAY_LEN(u->groups))
				u->groups[u->n_groups++] = (gid_t)gid;
		}
	}
}

static int lookup_group(const struct buf *groups, struct str who, gid_t *ret, struct error *err)
{
	struct str line;
	uint64_t gid;

	if (!(find_line(groups, who, &line) && number(field(line, 2), &gid)) && !number(who, &gid))
		return error_set(err, ERR_INVALID,
				 "unable to find group %.*s: no matching entries in group file",
				 STR_ARG(who));
	*ret = (gid_t)gid;
	return 0;
}

int user_lookup(int rootfd, const char *spec, struct user_ids *ret, struct error *err)
{
	struct buf passwd = BUF_INIT(PASSWD_MAX), groups = BUF_INIT(PASSWD_MAX);
	struct str who = str_of(spec), group = { 0 }, line;
	struct user_ids u = { .home = "/" };
	ptrdiff_t colon = str_find(who, ':');
	uint64_t uid = 0, gid = 0;
	int r = 0;

	if (colon >= 0) {
		group = str_sub(who, (size_t)colon + 1, who.len);
		who = str_sub(who, 0, (size_t)colon);
	}
	if (who.len == 0)
		who = STR_LIT("0");
	read_file(rootfd, "/etc/passwd", &passwd);
	read_file(rootfd, "/etc/group", &groups);
	if (find_line(&passwd, who, &line) && number(field(line, 2), &uid)) {
		struct str home = field(line, 5);

		u.uid = (uid_t)uid;
		if (number(field(line, 3), &gid))
			u.gid = (gid_t)gid;
		if (home.len > 0 && home.len < sizeof(u.home)) {
			memcpy(u.home, home.at, home.len);
			u.home[home.len] = '\0';
		}
		add_groups(&groups, field(line, 0), &u);
	} else if (number(who, &uid)) {
		u.uid = (uid_t)uid;
	} else {
		r = error_set(err, ERR_INVALID,
			      "unable to find user %.*s: no matching entries in passwd file",
			      STR_ARG(who));
	}
	if (r == 0 && group.len > 0) {
		r = lookup_group(&groups, group, &u.gid, err);
		u.n_groups = 0;
	}
	if (r == 0 && (u.uid > INT32_MAX || u.gid > INT32_MAX))
		r = error_set(err, ERR_INVALID, "uids and gids must be in range 0-%d", INT32_MAX);
	/* The first group is among the others, as login does it. */
	if (r == 0 && u.n_groups < ARRAY_LEN(u.groups)) {
		memmove(u.groups + 1, u.groups, u.n_groups * sizeof(*u.groups));
		u.groups[0] = u.gid;
		u.n_groups++;
	}
	buf_release(&passwd);
	buf_release(&groups);
	if (r == 0)
		*ret = u;
	return r;
}

static bool owner_number(struct str s, uint64_t *ret)
{
	if (s.len > 0 && !str_eqs(s, "root"))
		return parse_u64(s, INT32_MAX, ret, NULL) == 0;
	*ret = 0;
	return true;
}

bool owner_is_named(const char *spec)
{
	struct str who = str_of(spec), group = { 0 };
	ptrdiff_t colon = str_find(who, ':');
	uint64_t id;

	if (colon >= 0) {
		group = str_sub(who, (size_t)colon + 1, who.len);
		who = str_sub(who, 0, (size_t)colon);
	}
	return !owner_number(who, &id) || !owner_number(group, &id);
}

void owner_lookup(int rootfd, const char *spec, uid_t *ret_uid, gid_t *ret_gid)
{
	struct buf file = BUF_INIT(PASSWD_MAX);
	struct str who = str_of(spec), group = { 0 }, line;
	ptrdiff_t colon = str_find(who, ':');
	uint64_t uid = 0, gid = 0;

	if (colon >= 0) {
		group = str_sub(who, (size_t)colon + 1, who.len);
		who = str_sub(who, 0, (size_t)colon);
	}
	if (owner_number(who, &uid)) {
		gid = uid;
	} else {
		read_file(rootfd, "/etc/passwd", &file);
		if (find_line(&file, who, &line) && number(field(line, 2), &uid))
			(void)!number(field(line, 3), &gid);
	}
	buf_release(&file);
	if (colon >= 0 && !owner_number(group, &gid)) {
		read_file(rootfd, "/etc/group", &file);
		if (find_line(&file, group, &line))
			(void)!number(field(line, 2), &gid);
	}
	buf_release(&file);
	*ret_uid = (uid_t)uid;
	*ret_gid = (gid_t)gid;
}
