#include "base/fault.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/str.h"

static atomic_bool on; /* counting at all */
static atomic_long left, calls;
static atomic_int fail_errno = EIO;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static atomic_bool environment_read;

static void read_environment(void)
{
	const char *at = getenv("PROA_FAIL_AT"), *sys = getenv("PROA_FAIL_ERRNO");
	uint64_t n;

	if (sys != NULL && parse_u64(str_of(sys), 4095, &n, NULL) == 0)
		atomic_store(&fail_errno, (int)n);
	if (at != NULL && parse_u64(str_of(at), INT32_MAX, &n, NULL) == 0) {
		atomic_store(&left, (long)n);
		atomic_store(&on, n > 0);
	}
	atomic_store(&environment_read, true);
}

bool fault_hit(const char *what)
{
	(void)what; /* for a debugger's condition */
	if (!atomic_load_explicit(&environment_read, memory_order_acquire))
		pthread_once(&once, read_environment);
	if (!atomic_load_explicit(&on, memory_order_relaxed))
		return false;
	atomic_fetch_add(&calls, 1);
	if (atomic_fetch_sub(&left, 1) != 1)
		return false;
	errno = atomic_load(&fail_errno);
	return true;
}

void fault_arm(long n, int sys)
{
	pthread_once(&once, read_environment);
	atomic_store(&calls, 0);
	atomic_store(&fail_errno, sys);
	atomic_store(&left, n);
	atomic_store(&on, n > 0);
}

long fault_count(void)
{
	return atomic_load(&calls);
}
