/* Names of systemd units out of cgroupsPath. */
#include "cgroup/cgroup.h"

#include <string.h>

#include "base/macros.h"
#include "tests/tap.h"

static struct error err;

static const struct {
	const char *what, *path, *slice, *name, *group;
	bool rootless;
} good[] = {
	{ "docker's form", "system.slice:docker:abc", "system.slice", "docker-abc.scope",
	  "/system.slice/docker-abc.scope", false },
	{ "a slice below a slice", "a-b-c.slice:p:n", "a-b-c.slice", "p-n.scope",
	  "/a.slice/a-b.slice/a-b-c.slice/p-n.scope", false },
	{ "the root slice", "-.slice:p:n", "-.slice", "p-n.scope", "/p-n.scope", false },
	{ "no slice", ":p:n", "system.slice", "p-n.scope", "/system.slice/p-n.scope", false },
	{ "no slice, a user", ":p:n", "user.slice", "p-n.scope", "/user.slice/p-n.scope", true },
	{ "no prefix", "x.slice::n", "x.slice", "n.scope", "/x.slice/n.scope", false },
	{ "no path", NULL, "system.slice", "proa-id1.scope", "/system.slice/proa-id1.scope",
	  false },
};

static const struct {
	const char *what, *path;
	int want;
} bad[] = {
	{ "a cgroupfs path", "/a/b", -ERR_INVALID },
	{ "two parts", "a.slice:b", -ERR_INVALID },
	{ "four parts", "a.slice:b:c:d", -ERR_INVALID },
	{ "no name", "a.slice:b:", -ERR_INVALID },
	{ "a slice that is none", "a:b:c", -ERR_INVALID },
	{ "a slice with a path", "a/../b.slice:p:n", -ERR_INVALID },
	{ "a slice with a double dash", "a--b.slice:p:n", -ERR_INVALID },
	{ "a slice that starts with a dash", "-a.slice:p:n", -ERR_INVALID },
	{ "a name with a slash", "a.slice:p:../../x", -ERR_INVALID },
	{ "a slice for a container", "a.slice:p:n.slice", -ERR_UNIMPLEMENTED },
};

static void test_cpu_list(void)
{
	static const char *const refused[] = { "",  ",",    "1-",    "-1",  "3-1",
					       "a", "0,,1", "1-2-3", "128", "0-128" };
	uint8_t bits[16];
	size_t used;

	ok(cgroup_cpu_list("0-2, 5,9", bits, sizeof(bits), &used, &err) == 0 && used == 2 &&
	       bits[0] == 0x27 && bits[1] == 0x02,
	   "a list of cpus is read");
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		is_int(cgroup_cpu_list(refused[i], bits, sizeof(bits), &used, &err), -ERR_INVALID,
		       "what is no list of cpus is refused");
}

int main(void)
{
	auto_(arena) a = ARENA_INIT;
	struct cgroup_unit u;

	test_cpu_list();

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		ok(cgroup_unit_parse(&a, good[i].path, "id1", good[i].rootless, &u, &err) == 0 &&
		       strcmp(u.slice, good[i].slice) == 0 && strcmp(u.name, good[i].name) == 0 &&
		       strcmp(u.path, good[i].group) == 0,
		   good[i].what);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		is_int(cgroup_unit_parse(&a, bad[i].path, "id1", false, &u, &err), bad[i].want,
		       bad[i].what);
	return tap_done();
}
