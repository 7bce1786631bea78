#include "archive/mapped.h"

#include <linux/capability.h>
#include <string.h>

#include "base/idmap.h"
#include "tests/tap.h"

static struct id_map uids[] = { { 0, 100000, 10 } }, gids[] = { { 0, 200000, 5 } };
static const struct id_maps maps = { uids, gids, 1, 1 };

static void test_owners(void)
{
	struct error err = { 0 };
	uid_t uid = 9;
	gid_t gid = 4;

	is_int(mapped_owner_out(&maps, "f", &uid, &gid, &err), 0, "ids of the namespace");
	ok(uid == 100009 && gid == 200004, "what they are outside");
	mapped_owner_in(&maps, &uid, &gid);
	ok(uid == 9 && gid == 4, "and back");
	gid = 5;
	is_int(mapped_owner_out(&maps, "f", &uid, &gid, &err), -ERR_INVALID, "no such gid");
	is_str(err.msg, "'f': no gid 5 in the container's user namespace", "it is named");
	uid = 4294967295U;
	is_int(mapped_owner_out(&maps, "f", &uid, &gid, &err), -ERR_INVALID, "no such uid");
	uid = 5000;
	is_int(mapped_owner_out(NULL, "f", &uid, &gid, &err), 0, "without maps any id goes");
	is_int(uid, 5000, "as it is");
	mapped_owner_in(&maps, &uid, &gid);
	is_int(uid, 65534, "a stranger is nobody inside");
}

static void test_capability(void)
{
	char v2[XATTR_CAPS_SZ_2] = { 1, 0, 0, 2, 0, 4 }, buf[MAPPED_XATTR_MAX], copy[24] = { 0 };
	const struct tar_xattr cap = { "security.capability", v2, sizeof(v2) };
	const struct tar_xattr other = { "user.x", v2, sizeof(v2) };
	struct tar_xattr x = mapped_xattr_out(&maps, &cap, buf);
	ssize_t len;

	is_int(x.len, XATTR_CAPS_SZ_3, "a capability gets a root");
	ok(memcmp(x.value, "\1\0\0\3\0\4", 6) == 0 && memcmp(buf + 20, "\xa0\x86\1\0", 4) == 0,
	   "which is the namespace's");
	memcpy(copy, buf, sizeof(copy));
	len = XATTR_CAPS_SZ_3;
	mapped_xattr_in(&maps, "security.capability", copy, &len);
	ok(len == XATTR_CAPS_SZ_2 && memcmp(copy, v2, sizeof(v2)) == 0, "and loses it again");
	memcpy(copy, buf, sizeof(copy));
	copy[20] = 1;
	len = XATTR_CAPS_SZ_3;
	mapped_xattr_in(&maps, "security.capability", copy, &len);
	is_int(len, XATTR_CAPS_SZ_3, "another namespace's stays");
	ok(mapped_xattr_out(&maps, &other, buf).value == v2, "so does another attribute");
	ok(mapped_xattr_out(NULL, &cap, buf).value == v2, "and everything without maps");
	x = (struct tar_xattr){ "security.capability", "\1", 1 };
	is_int(mapped_xattr_out(&maps, &x, buf).len, 1, "and nonsense");
}

int main(void)
{
	test_owners();
	test_capability();
	return tap_done();
}
