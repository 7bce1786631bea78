#include "runtime/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fdpass.h"
#include "base/fs.h"
#include "base/str.h"
#include "runtime/child.h"
#include "runtime/console.h"

#define PAGE    4096
#define WAIT_MS 10000

enum answer { ANSWER_NONE, ANSWER_TAKEN };

/* Shared by both sides. `link` is the other side's: an element of its robust list. */
struct handover {
	struct robust_list link;
	volatile uint32_t owner; /* futex word: the other side's tid, then FUTEX_OWNER_DIED */
	volatile int32_t fd;     /* FD_NONE until the filter stands */
	volatile uint32_t answer;
};

static int map_page(int memfd, struct handover **ret, struct error *err)
{
	void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);

	if (page == MAP_FAILED)
		return error_sys(err, errno, "map");
	*ret = page;
	return 0;
}

int handover_offer(int socket, struct handover **ret, struct error *err)
{
	autoclose int fd = memfd_create("handover", MFD_CLOEXEC);
	struct child_message m = { .kind = CHILD_LISTENER };
	enum child_message_kind answer = CHILD_CLOSED;
	struct handover *h = NULL;
	int r;

	if (fd < 0 || ftruncate(fd, PAGE) < 0)
		return error_sys(err, errno, "memfd");
	r = map_page(fd, &h, err);
	if (r < 0)
		return r;
	h->fd = FD_NONE;
	r = fdpass_send(socket, &m, sizeof(m), &fd, 1, err);
	if (r == 0)
		r = child_receive(socket, &answer, err);
	if (r == 0 && answer != CHILD_GO)
		r = error_set(err, ERR_SYSTEM, "nobody takes the seccomp listener");
	if (r == 0)
		*ret = h;
	else
		munmap(h, PAGE);
	return r;
}

int handover_wait(void *ctx, int listener)
{
	struct handover *h = ctx;

	h->fd = listener;
	while (h->answer != ANSWER_TAKEN)
		/* The only exit that needs no system call. */
		if (h->owner & FUTEX_OWNER_DIED)
			__builtin_trap();
	return 0;
}

/* From here until disown the kernel tells the page of our death. */
static int own(struct handover *h, struct robust_list_head *head, struct error *err)
{
	*head = (struct robust_list_head){ .list.next = &h->link,
					   .futex_offset = offsetof(struct handover, owner) -
							   offsetof(struct handover, link) };
	h->link.next = &head->list;
	h->owner = (uint32_t)syscall(SYS_gettid);
	if (syscall(SYS_set_robust_list, head, sizeof(*head)) < 0)
		return error_sys(err, errno, "watch over the seccomp listener");
	return 0;
}

static int take(struct handover *h, int pidfd, int *ret, struct error *err)
{
	struct pollfd dead = { .fd = pidfd, .events = POLLIN };

	for (int tries = 0; h->fd == FD_NONE && tries < WAIT_MS; tries++)
		if (poll(&dead, 1, 1) > 0)
			return error_set(err, ERR_SYSTEM, "the process died under its filter");
	*ret = (int)syscall(SYS_pidfd_getfd, pidfd, h->fd, 0);
	return *ret < 0 ? error_sys(err, errno, "take the seccomp listener") : 0;
}

static int give(struct handover *h, int pidfd, int socket, const char *path,
		const struct buf *state, struct error *err)
{
	autoclose int listener = FD_NONE, fd = FD_NONE;
	/* Whoever is to listen must be there before anything waits for him. */
	int r = console_connect(path, "seccomp agent", &listener, err);

	if (r == 0)
		r = child_send(socket, CHILD_GO, NULL, err);
	if (r == 0)
		r = take(h, pidfd, &fd, err);
	if (r == 0)
		r = fdpass_send(listener, state->data, state->len, &fd, 1, err);
	return r;
}

static int serve(int memfd, int pidfd, int socket, const char *path, const struct buf *state,
		 struct error *err)
{
	/* The kernel's until we have exited; libc has no robust mutex here to watch. */
	static struct robust_list_head head;
	struct handover *h = NULL;
	int r = map_page(memfd, &h, err);

	if (r < 0)
		return r;
	r = own(h, &head, err);
	if (r == 0)
		r = give(h, pidfd, socket, path, state, err);
	/* It is dead before the page is left alone: nothing else would tell it. */
	if (r < 0 && syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
		r = error_wrap(err, r, "and the process cannot be killed");
	if (r == 0)
		h->answer = ANSWER_TAKEN;
	head.list.next = &head.list;
	munmap(h, PAGE);
	return r;
}

static int open_process(pid_t pid, const struct runtime_state *state, int *ret, struct error *err)
{
	if (pid == state->pid)
		return state_pidfd(state, ret, err);
	*ret = (int)syscall(SYS_pidfd_open, pid, 0);
	return *ret < 0 ? error_sys(err, errno, "open process %d", (int)pid) : 0;
}

static int hand_on(int socket, int memfd, pid_t pid, const struct state_dir *dir,
		   const struct runtime_state *state, enum runtime_status status, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	auto_(buf) text = BUF_INIT(RUNTIME_CONFIG_MAX);
	auto_(buf) message = BUF_INIT(STATE_MAX);
	autoclose int pidfd = FD_NONE;
	struct runtime_config config;
	const struct spec_seccomp *s = NULL;
	int r = fs_read_at(dir->fd, STATE_CONFIG, &text, err);

	if (r == 0)
		r = runtime_config_parse(&a, text.data, text.len, &config, err);
	if (r == 0)
		s = config.linux_.seccomp;
	if (r == 0 && (s == NULL || cstr_is_empty(s->listener_path)))
		r = error_set(err, ERR_INVALID,
			      "linux.seccomp.listenerPath: SCMP_ACT_NOTIFY needs a listener");
	if (r == 0)
		r = seccomp_state_format(state, pid, status, s->listener_metadata, &message, err);
	if (r == 0)
		r = open_process(pid, state, &pidfd, err);
	if (r == 0)
		r = serve(memfd, pidfd, socket, s->listener_path, &message, err);
	return r < 0 ? error_wrap(err, r, "linux.seccomp.listenerPath") : 0;
}

int handover_follow(int socket, pid_t pid, const struct state_dir *dir,
		    const struct runtime_state *state, enum runtime_status status,
		    struct error *err)
{
	for (;;) {
		struct child_message m;
		size_t len, n_fds;
		int memfd, r;

		r = fdpass_recv(socket, &m, sizeof(m), &len, &memfd, 1, &n_fds, err);
		/* execve closed its end: the program runs. */
		if (r < 0 || len == 0)
			return r;
		if (m.kind == CHILD_LISTENER && n_fds == 1) {
			r = hand_on(socket, memfd, pid, dir, state, status, err);
			close(memfd);
			if (r < 0)
				return r;
			continue;
		}
		return child_error(&m, len, err);
	}
}
