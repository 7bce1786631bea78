/* build/user.c: who a step runs as, who owns what is copied. */
#include <stdlib.h>

#include "base/fs.h"
#include "build/build_internal.h"

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

/* The line of a passwd or group file whose name or (numeric) id is `who`. */
static bool find_line(const struct buf *file, struct str who, struct str *ret)
{
	struct str rest = { file->data ? file->data : "", file->len }, line;
	struct str by_id = { 0 };
	uint64_t id, have;
	bool numeric = number(who, &id);

	while (rest.len > 0 && str_split(&rest, '\n', &line)) {
		if (str_eq(field(line, 0), who)) {
			*ret = line;
			return true;
		}
		if (numeric && by_id.at == NULL && number(field(line, 2), &have) && have == id)
			by_id = line;
	}
	*ret = by_id;
	return by_id.at != NULL;
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

static int lookup_group(const struct buf *groups, struct str who, bool chown, gid_t *ret,
			struct error *err)
{
	struct str line;
	uint64_t gid;

	if (find_line(groups, who, &line) && number(field(line, 2), &gid))
		*ret = (gid_t)gid;
	else if (number(who, &gid))
		*ret = (gid_t)gid;
	else if (chown)
		*ret = 0;
	else
		return error_set(err, ERR_INVALID,
				 "unable to find group %.*s: no matching entries in group file",
				 STR_ARG(who));
	return 0;
}

int user_lookup(int rootfd, const char *spec, bool chown, struct user_ids *ret, struct error *err)
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
	} else if (!chown) {
		r = error_set(err, ERR_INVALID,
			      "unable to find user %.*s: no matching entries in passwd file",
			      STR_ARG(who));
	}
	if (chown)
		u.gid = u.uid;
	if (r == 0 && group.len > 0) {
		r = lookup_group(&groups, group, chown, &u.gid, err);
		u.n_groups = 0;
	}
	buf_release(&passwd);
	buf_release(&groups);
	if (r == 0)
		*ret = u;
	return r;
}
