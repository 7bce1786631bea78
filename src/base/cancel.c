#include "base/cancel.h"

#include <poll.h>
#include <stdint.h>
#include <sys/eventfd.h>

#include "base/clock.h"

int cancel_init(struct cancel *c, struct error *err)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd < 0)
		return error_sys(err, errno, "create an eventfd");
	atomic_init(&c->fired, false);
	c->fd = fd;
	return 0;
}

void cancel_release(struct cancel *c)
{
	auto_close_(&c->fd);
	c->fd = FD_NONE;
}

void cancel_fire(struct cancel *c)
{
	static const uint64_t one = 1;
	int saved = errno;

	if (!atomic_exchange(&c->fired, true)) {
		ssize_t n = write(c->fd, &one, sizeof(one));

		(void)n; /* fails only when it is readable already */
	}
	errno = saved;
}

bool cancel_fired(const struct cancel *c)
{
	return c != NULL && atomic_load(&c->fired);
}

int cancel_check(const struct cancel *c, struct error *err)
{
	return cancel_fired(c) ? error_set(err, ERR_CANCELED, "canceled") : 0;
}

int cancel_poll(const struct cancel *c, int fd, short events, int timeout_ms, struct error *err)
{
	int64_t deadline = clock_mono_ns() + timeout_ms * NS_PER_MS;
	int left_ms = timeout_ms, n;

	for (;;) {
		struct pollfd p[2] = { { .fd = fd, .events = events },
				       { .fd = c ? c->fd : FD_NONE, .events = POLLIN } };

		if (cancel_fired(c))
			return error_set(err, ERR_CANCELED, "canceled");
		n = poll(p, c ? 2 : 1, left_ms);
		if (n < 0 && errno != EINTR)
			return error_sys(err, errno, "poll");
		if (n > 0 && p[0].revents != 0 && !cancel_fired(c))
			return 0;
		if (timeout_ms >= 0) {
			int64_t left = deadline - clock_mono_ns();

			if (n == 0 || left <= 0)
				return error_set(err, ERR_UNAVAILABLE, "timed out after %d ms",
						 timeout_ms);
			left_ms = (int)((left + NS_PER_MS - 1) / NS_PER_MS);
		}
	}
}
