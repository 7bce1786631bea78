/* What is known of directories: found again, and the least recently used goes first. */
#include "build/stat_cache.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "build/cache.h"
#include "store/store.h"
#include "tests/tap.h"

static char dir[] = "/tmp/proa-stat-XXXXXX";
static struct error err;
static const uint8_t sum[SHA256_SIZE] = { 1, 2, 3 };

/* A directory with one file that is older than a tick. */
static int make(const char *name, struct stat *st)
{
	const struct timespec old[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
	int top = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd, file;

	ok(mkdirat(top, name, 0755) == 0, "a directory");
	fd = openat(top, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	file = openat(fd, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ok(futimens(file, old) == 0, "a file");
	close(file);
	close(top);
	usleep(20000);
	ok(fstatat(fd, "file", st, 0) == 0, "it is looked at");
	return fd;
}

static void remember(struct db *db, int fd, const struct stat *st)
{
	struct stat_cache *c = stat_cache_load(db, fd);

	stat_cache_put(c, st, sum);
	ok(stat_cache_save(c, &err) == 0, "what it holds is kept");
	stat_cache_free(c);
}

static bool knows(struct db *db, int fd, const struct stat *st)
{
	struct stat_cache *c = stat_cache_load(db, fd);
	uint8_t out[SHA256_SIZE];
	bool known = stat_cache_get(c, st, out) && memcmp(out, sum, sizeof(sum)) == 0;

	/* As a build does that found nothing new. */
	ok(stat_cache_save(c, &err) == 0, "nothing new is kept");
	stat_cache_free(c);
	return known;
}

static void test_limit(struct db *db)
{
	struct stat one, two, other;
	int a = make("a", &one), b = make("b", &two);

	remember(db, a, &one);
	remember(db, b, &two);
	other = one;
	other.st_size++;
	ok(knows(db, a, &one) && knows(db, b, &two), "both are known");
	ok(!knows(db, a, &other), "not when something is another");
	ok(stat_cache_limit(db, 1 << 20, &err) == 0 && knows(db, a, &one),
	   "there is room for both");
	/* The first one was used later than the second, though not changed. */
	ok(db_run(db, &err, "UPDATE build_stat SET used_ns=used_ns-?", "i",
		  (int64_t)(7200 * NS_PER_SEC)) == 0,
	   "two hours go by");
	ok(knows(db, a, &one), "and the first one is used");
	ok(stat_cache_limit(db, 100, &err) == 0, "there is room for one");
	ok(knows(db, a, &one) && !knows(db, b, &two), "which is the one that was used");
	ok(stat_cache_limit(db, 0, &err) == 0 && !knows(db, a, &one), "and then for none");
	close(a);
	close(b);
}

int main(void)
{
	struct store *s = NULL;
	autoclose int tmp = FD_NONE;

	ok(mkdtemp(dir) != NULL, "temporary directory");
	is_int(store_open(dir, NULL, &s, &err), 0, "a store opens");
	is_int(cache_open(s, &err), 0, "its tables are made");
	test_limit(s->db);
	store_close(s);
	tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	is_int(fs_remove_tree(tmp, dir + strlen("/tmp/"), &err), 0, "all goes");
	auto_close_(&tmp);
	tmp = FD_NONE;
	return tap_done();
}
