#include "runtime/state.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/macros.h"
#include "runtime/capability.h"
#include "runtime/cli.h"
#include "tests/tap.h"

static void test_ids(void)
{
	static const char *const good[] = { "a", "A-b_c+d.e", "0123456789abcdef" };
	static const char *const bad[] = { "", ".", "..", ".a", "a/b", "a b", "a\nb", "\xc3\xa4" };
	struct error err;

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		is_int(state_check_id(good[i], &err), 0, good[i]);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		is_int(state_check_id(bad[i], &err), -ERR_INVALID, "a bad id");
}

static void test_round_trip(const struct runtime_options *o)
{
	static const struct pair notes[] = { { "k<", "v\n\"" } };
	static char path[] = "/sys/fs/cgroup/memory/x";
	struct runtime_state s = { .id = "one",
				   .bundle = "/b",
				   .rootfs = "/b/r",
				   .oci_version = "1.2.0",
				   .created_ns = 1234567890123456789,
				   .pid = getpid(),
				   .namespaces = 0x20000,
				   .n_cgroups = 1,
				   .has_poststop = true,
				   .annotations = { notes, 1 } };
	auto_(arena) a = ARENA_INIT;
	auto_(state_dir) d = STATE_DIR_INIT;
	auto_(state_dir) second = STATE_DIR_INIT;
	enum runtime_status status;
	struct runtime_state back;
	struct error err;
	int pidfd = FD_NONE;

	s.cgroups[0] = (struct cgroup_dir){ 1, 8, FD_NONE, path };
	is_int(state_create(o, "one", &d, &err), 0, "a state is made");
	is_int(state_create(o, "one", &second, &err), -ERR_CONFLICT, "not twice");
	is_int(state_read(&d, &a, &back, &err), -ERR_NOT_FOUND, "empty at first");
	is_int(process_start_time(getpid(), &s.pid_start, &err), 0, "own start time");
	is_int(state_write(&d, &s, &err), 0, "written");
	is_int(state_read(&d, &a, &back, &err), 0, "read");
	is_str(back.id, "one", "id");
	is_int(back.created_ns, s.created_ns, "time");
	is_int(back.namespaces, 0x20000, "namespaces");
	is_str(back.cgroups[0].path, path, "cgroup");
	is_str(back.annotations.at[0].value, "v\n\"", "annotation");
	ok(back.has_poststop && !back.has_poststart, "hooks");
	is_int(state_status(&d, &back, &status, &err), 0, "status");
	is_int(status, STATUS_RUNNING, "running");
	is_int(state_pidfd(&back, &pidfd, &err), 0, "its process is found");
	close(pidfd);
	back.pid_start++;
	is_int(state_status(&d, &back, &status, &err), 0, "another process of that pid");
	is_int(status, STATUS_STOPPED, "is not the container's");
	is_int(state_pidfd(&back, &pidfd, &err), -ERR_NOT_FOUND, "and is not touched");
	is_int(state_remove(o, "one", &err), 0, "removed");
	is_int(state_open(o, "one", false, &second, &err), -ERR_NOT_FOUND, "gone");
}

static void test_damage(const struct runtime_options *o)
{
	static const char *const texts[] = {
		"",
		"{",
		"[]",
		"{}",
		"{\"version\":2}",
		"{\"version\":1,\"id\":\"x\"}",
		("{\"version\":1,\"id\":\"x\",\"ociVersion\":\"1\",\"pid\":-4,"
		 "\"bundle\":\"/\",\"rootfs\":\"/\"}")
	};
	auto_(state_dir) d = STATE_DIR_INIT;
	struct error err;

	is_int(state_create(o, "two", &d, &err), 0, "a state is made");
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		auto_(arena) a = ARENA_INIT;
		struct runtime_state s;

		is_int(fs_replace(d.fd, STATE_FILE, 0600, texts[i], strlen(texts[i]), &err), 0,
		       "file");
		is_int(state_read(&d, &a, &s, &err), -ERR_CORRUPT, texts[i]);
	}
	is_int(state_remove(o, "two", &err), 0, "removed");
}

static void test_words(void)
{
	static const struct {
		const char *text;
		int want, r;
	} signals[] = { { "9", 9, 0 },
			{ "KILL", 9, 0 },
			{ "SIGTERM", 15, 0 },
			{ "sigint", 2, 0 },
			{ "RTMIN+1", 35, 0 },
			{ "NOSUCH", 0, -ERR_INVALID },
			{ "-1", 0, -ERR_INVALID },
			{ "99", 0, -ERR_INVALID },
			{ "", 0, -ERR_INVALID } };
	struct error err;
	uint64_t bit;
	int sig;

	for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
		sig = 0;
		is_int(signal_parse(signals[i].text, &sig, &err), signals[i].r, signals[i].text);
		is_int(sig, signals[i].want, "number");
	}
	is_int(capability_parse("CAP_SYS_ADMIN", &bit, &err), 0, "CAP_SYS_ADMIN");
	is_int(bit, 1 << 21, "is bit 21");
	is_int(capability_parse("checkpoint_restore", &bit, &err), 0, "the last one, bare");
	is_int(bit, 1LL << 40, "is bit 40");
	is_int(capability_parse("CAP_", &bit, &err), -ERR_INVALID, "no name");
}

int main(void)
{
	char path[] = "/tmp/proa-state-XXXXXX";
	struct runtime_options o = { .root = mkdtemp(path) };

	test_ids();
	test_round_trip(&o);
	test_damage(&o);
	test_words();
	rmdir(path);
	return tap_done();
}
