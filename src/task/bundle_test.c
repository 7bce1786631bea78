/* Tests of task/bundle.h: what Docker fixes stands in config.json, and what is wrong is named. */
#include "task/bundle.h"

#include "base/arena.h"
#include "base/json.h"
#include "tests/tap.h"

static const char *const args[] = { "sh", "-c", "true", NULL };

static const struct json *made(struct arena *a, const struct bundle *b, struct error *err)
{
	auto_(buf) text = BUF_INIT(1 << 20);
	const struct json *j;

	if (bundle_write(b, &text, err) < 0 || json_parse(a, text.data, text.len, &j, err) < 0)
		return NULL;
	return j;
}

static bool has_string(const struct json *list, const char *s)
{
	json_for_each_item (v, list)
		if (v->type == JSON_STRING && strcmp(v->s, s) == 0)
			return true;
	return false;
}

static const struct json *mount_at(const struct json *j, const char *destination)
{
	json_for_each_item (m, json_get(j, "mounts"))
		if (strcmp(json_str(m, "destination"), destination) == 0)
			return m;
	return NULL;
}

static void test_defaults(void)
{
	auto_(arena) a = ARENA_INIT;
	struct error err = { 0 };
	struct bundle b = { .args = args, .rootfs = "rootfs", .cwd = "/" };
	const struct json *j = made(&a, &b, &err), *caps;

	ok(j != NULL, "a bundle with a command is enough");
	caps = json_path(j, "process.capabilities.effective");
	is_int(caps->n_items, 14, "root gets Docker's fourteen capabilities");
	ok(json_path(j, "process.capabilities.inheritable") == NULL, "nothing is inheritable");
	ok(json_path(j, "process.capabilities.ambient") == NULL, "nothing is ambient");
	is_str(json_str(json_path(j, "linux.seccomp"), "defaultAction"), "SCMP_ACT_ERRNO",
	       "the default profile refuses what it does not know");
	ok(has_string(json_path(j, "linux.maskedPaths"), "/proc/interrupts"),
	   "interrupts are masked");
	ok(has_string(json_path(j, "linux.readonlyPaths"), "/proc/sys"), "/proc/sys is read-only");
	ok(has_string(json_get(mount_at(j, "/sys"), "options"), "ro"), "/sys is read-only");
	is_int(json_path(j, "linux.namespaces")->n_items, 6, "all six namespaces are new");
}

static void test_users_and_privileges(void)
{
	auto_(arena) a = ARENA_INIT;
	struct error err = { 0 };
	static const char *const all[] = { "ALL", NULL }, *const one[] = { "net_admin", NULL };
	struct bundle b = { .args = args, .rootfs = "rootfs", .uid = 1000 };
	const struct json *j = made(&a, &b, &err);

	ok(json_path(j, "process.capabilities.effective") == NULL, "a user has no effective ones");
	b.uid = 0;
	b.cap_drop = all;
	b.cap_add = one;
	j = made(&a, &b, &err);
	is_int(json_path(j, "process.capabilities.bounding")->n_items, 1,
	       "drop ALL and add one leaves one");
	b = (struct bundle){ .args = args, .rootfs = "rootfs", .privileged = true };
	j = made(&a, &b, &err);
	ok(json_path(j, "linux.seccomp") == NULL, "privileged has no seccomp filter");
	ok(json_path(j, "linux.maskedPaths") == NULL, "privileged has no masks");
}

static void test_overrides(void)
{
	auto_(arena) a = ARENA_INIT;
	struct error err = { 0 };
	static const char *const options[] = { "rbind", NULL };
	const struct bundle_mount mine = {
		.destination = "/dev/shm", .type = "bind", .source = "/x", .options = options
	};
	struct bundle b = { .args = args, .rootfs = "rootfs", .mounts = &mine, .n_mounts = 1 };
	const struct json *j = made(&a, &b, &err), *m;
	int n = 0;

	json_for_each_item (v, json_get(j, "mounts"))
		n += strcmp(json_str(v, "destination"), "/dev/shm") == 0;
	m = mount_at(j, "/dev/shm");
	is_int(n, 1, "a mount of the user's takes the default one's place");
	is_str(json_str(m, "source"), "/x", "and it is the user's");
}

static void test_refusals(void)
{
	auto_(arena) a = ARENA_INIT;
	static const char *const nosuch[] = { "NOSUCH", NULL };
	static const char *const empty[] = { NULL };
	struct error err = { 0 };
	struct bundle b = { .args = args, .rootfs = "rootfs", .cap_add = nosuch };

	ok(made(&a, &b, &err) == NULL && err.kind == ERR_INVALID, "unknown capability");
	is_str(err.msg, "invalid CapAdd: unknown capability: \"CAP_NOSUCH\"", "is named");
	b = (struct bundle){ .args = empty, .rootfs = "rootfs" };
	ok(made(&a, &b, &err) == NULL, "no command");
	b = (struct bundle){ .args = args, .rootfs = "rootfs", .cwd = "relative" };
	ok(made(&a, &b, &err) == NULL, "relative working directory");
}

static void test_profile(void)
{
	static const char text[] =
	    "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":["
	    "{\"names\":[\"mount\"],\"action\":\"SCMP_ACT_ERRNO\",\"excludes\":{\"caps\":[\"CAP_"
	    "SYS_ADMIN\"]}},"
	    "{\"names\":[\"reboot\"],\"action\":\"SCMP_ACT_ALLOW\",\"includes\":{\"caps\":[\"CAP_"
	    "SYS_BOOT\"]}}]}";
	auto_(arena) a = ARENA_INIT;
	struct error err = { 0 };
	struct bundle b = { .args = args, .rootfs = "rootfs" };
	const struct json *j, *bad;

	ok(json_parse(&a, text, sizeof(text) - 1, &b.seccomp_profile, &err) == 0,
	   "the text parses");
	j = made(&a, &b, &err);
	is_int(json_path(j, "linux.seccomp.syscalls")->n_items, 1,
	       "rules for capabilities that are not granted fall away");
	ok(json_parse(&a, "{}", 2, &bad, &err) == 0, "an empty object parses");
	b.seccomp_profile = bad;
	ok(made(&a, &b, &err) == NULL && err.kind == ERR_INVALID, "but is no profile");
}

int main(void)
{
	test_defaults();
	test_users_and_privileges();
	test_overrides();
	test_refusals();
	test_profile();
	return tap_done();
}
