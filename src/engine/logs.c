/*
 * engine/logs.c: GET /containers/{ref}/logs. A follower reads the files itself
 * and is woken by inotify; when the current file has another inode than ours,
 * ours is read to its end before the next one is opened, so that a rotation
 * loses no line.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"
#include "base/vec.h"
#include "engine/container_internal.h"
#include "engine/logread.h"

#define BATCH_MAX  (2 << 20)
#define BATCH_SEND 32768
/* A wake-up that inotify did not give is not waited for longer than this. */
#define FOLLOW_POLL_MS 1000
#define GRACE_NS       (100 * NS_PER_MS)

char *container_log_path(const struct container *c)
{
	const char *driver = json_str(json_get(c->host_config, "LogConfig"), "Type");
	autofree char *name = NULL;

	if (driver == NULL || strcmp(driver, "none") == 0)
		return NULL;
	name =
	    strcmp(driver, "local") == 0 ? xstrdup("local.log") : cstr_format("%s-json.log", c->id);
	return container_file_path(c, name);
}

struct follow {
	struct container *c;
	const struct container_logs_options *o;
	struct writer *out;
	const struct cancel *cancel;
	int64_t since_ns, until_ns; /* 0 = none */
	bool tty, local, done;
	char *path;
	struct log_files files;
	size_t at; /* the file being read */
	struct buf batch;
};

static void follow_release(struct follow *f)
{
	log_files_close(&f->files);
	buf_release(&f->batch);
	free(f->path);
}
DEFINE_AUTO(follow, follow_release);

static int flush(struct follow *f, struct error *err)
{
	int r = 0;

	if (f->batch.len > 0 && writer_write(f->out, f->batch.data, f->batch.len, err) < 0)
		r = error_set(err, ERR_CANCELED, "the reader is gone");
	f->batch.len = 0;
	return r;
}

/* "k=v,k2=v2 " */
static int add_details(struct buf *b, struct str attrs, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	const struct json *j;
	bool first = true;
	int r = 0;

	if (attrs.len > 0 && json_parse(&a, attrs.at, attrs.len, &j, NULL) == 0) {
		json_for_each_member (m, j) {
			if (m->value->type != JSON_STRING || r < 0)
				continue;
			r = buf_addf(b, err, "%s%s=%s", first ? "" : ",", m->key, m->value->s);
			first = false;
		}
	}
	return r < 0 ? r : buf_add(b, " ", 1, err);
}

static int add_record(struct follow *f, const struct log_record *rec, struct error *err)
{
	struct buf *b = &f->batch;
	size_t head = b->len;
	char stamp[TIME_TEXT_MAX];
	int r = 0;

	if (!f->tty)
		r = buf_add(b, "\0\0\0\0\0\0\0\0", 8, err);
	if (r == 0 && f->o->timestamps) {
		/* Nine digits, as docker prints them. */
		time_format_rfc3339nano(rec->time_ns - rec->time_ns % NS_PER_SEC, stamp);
		r = buf_addf(b, err, "%.*s.%09lldZ ", (int)strlen(stamp) - 1, stamp,
			     (long long)(rec->time_ns % NS_PER_SEC));
	}
	if (r == 0 && f->o->details)
		r = add_details(b, rec->attrs, err);
	if (r == 0)
		r = buf_add(b, rec->text.at, rec->text.len, err);
	if (r == 0 && !f->tty) {
		size_t len = b->len - head - 8;
		unsigned char *h = (unsigned char *)b->data + head;

		h[0] = (unsigned char)rec->stream;
		h[4] = (unsigned char)(len >> 24);
		h[5] = (unsigned char)(len >> 16);
		h[6] = (unsigned char)(len >> 8);
		h[7] = (unsigned char)len;
	}
	if (r == 0 && b->len >= BATCH_SEND)
		r = flush(f, err);
	return r;
}

static bool wanted(const struct follow *f, const struct log_record *rec)
{
	if (rec->stream == 1 ? !f->o->stdout : !f->o->stderr)
		return false;
	return f->since_ns == 0 || rec->time_ns >= f->since_ns;
}

/* Everything that the open files have now. */
static int read_available(struct follow *f, struct error *err)
{
	struct log_record rec;
	bool found;
	int r;

	while (f->at < f->files.n && !f->done) {
		r = log_file_next(&f->files.at[f->at], &rec, &found, err);
		if (r < 0)
			return r;
		if (!found) {
			/* The newest stays open: it may grow. */
			if (f->at + 1 == f->files.n)
				break;
			f->at++;
			continue;
		}
		if (f->until_ns && rec.time_ns > f->until_ns) {
			f->done = true;
			break;
		}
		if (wanted(f, &rec)) {
			r = add_record(f, &rec, err);
			if (r < 0)
				return r;
		}
	}
	return flush(f, err);
}

/* Open what came after the file in hand. true when there is something new. */
static int next_files(struct follow *f, bool *ret_new, struct error *err)
{
	struct log_files now = { 0 };
	size_t i, from = 0;
	struct stat st;
	uint64_t mine;
	int r;

	*ret_new = false;
	mine = f->files.n > 0 ? f->files.at[f->files.n - 1].ino : 0;
	if (stat(f->path, &st) < 0 || (f->files.n > 0 && st.st_ino == mine))
		return 0;
	r = log_files_open(f->path, f->local, &now, err);
	if (r < 0)
		return r;
	for (i = 0; i < now.n; i++)
		if (f->files.n > 0 && now.at[i].ino == mine)
			from = i + 1;
	for (i = 0; i < from; i++)
		log_file_close(&now.at[i]);
	memmove(now.at, now.at + from, (now.n - from) * sizeof(*now.at));
	now.n -= from;
	if (now.n == 0) {
		log_files_close(&now);
		return 0;
	}
	/* Ours may have got its last lines after we looked. */
	r = read_available(f, err);
	log_files_close(&f->files);
	f->files = now;
	f->at = 0;
	*ret_new = true;
	return r;
}

static bool run_ended(struct container *c, uint64_t exit_seq)
{
	LOCKED(&c->lock);
	return c->exit_seq != exit_seq || c->removed || c->status == CONTAINER_EXITED;
}

static int follow_wait(struct follow *f, int notify, int watch, struct error *err)
{
	struct pollfd p[4] = { { notify, POLLIN, 0 },
			       { watch, POLLIN, 0 },
			       { f->c->engine->closing.fd, POLLIN, 0 },
			       { f->cancel ? f->cancel->fd : -1, POLLIN, 0 } };
	char events[4096];
	uint64_t count;

	if (poll(p, 4, FOLLOW_POLL_MS) < 0 && errno != EINTR)
		return error_sys(err, errno, "poll");
	if (p[2].revents || p[3].revents)
		return error_set(err, ERR_CANCELED, "canceled");
	if (p[0].revents)
		(void)!read(notify, events, sizeof(events));
	if (p[1].revents)
		(void)!read(watch, &count, sizeof(count));
	return 0;
}

static int follow_loop(struct follow *f, uint64_t exit_seq, int notify, int watch,
		       struct error *err)
{
	int r;

	for (;;) {
		bool ended = run_ended(f->c, exit_seq), more = true;

		while (more && !f->done) {
			r = read_available(f, err);
			if (r == 0)
				r = next_files(f, &more, err);
			if (r < 0)
				return r;
		}
		if (ended || f->done || (f->until_ns && clock_wall_ns() > f->until_ns))
			return 0;
		r = follow_wait(f, notify, watch, err);
		if (r < 0)
			return r;
	}
}

static int follow(struct follow *f, uint64_t exit_seq, struct error *err)
{
	autofree char *dir = container_file_path(f->c, ".");
	autoclose int notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	int watch, r;

	if (notify < 0)
		return error_sys(err, errno, "inotify");
	/* Out of watches is no reason to fail: the poll's time-out remains. */
	(void)inotify_add_watch(notify, dir, IN_MODIFY | IN_CREATE | IN_MOVED_TO);
	r = container_watch(f->c, &watch, err);
	if (r < 0)
		return r;
	r = follow_loop(f, exit_seq, notify, watch, err);
	container_unwatch(f->c, watch);
	return r;
}

static int parse_times(struct follow *f, uint64_t *ret_tail, struct error *err)
{
	const struct container_logs_options *o = f->o;
	int r = 0;

	*ret_tail = UINT64_MAX;
	if (!cstr_is_empty(o->since) && strcmp(o->since, "0") != 0)
		r = time_parse_query(o->since, &f->since_ns, err);
	if (r == 0 && !cstr_is_empty(o->until) && strcmp(o->until, "0") != 0)
		r = time_parse_query(o->until, &f->until_ns, err);
	/* What is not a number means all of it, as dockerd has it. */
	if (r == 0 && !cstr_is_empty(o->tail) &&
	    parse_u64(str_of(o->tail), INT64_MAX, ret_tail, NULL) < 0)
		*ret_tail = UINT64_MAX;
	return r;
}

static bool has_ended(struct container *c, void *arg)
{
	(void)arg;
	return !container_is_running(c);
}

/*
 * A reader who asks right after the start expects what a short command says:
 * with dockerd, whose start takes longer, it is always there by then.
 */
static void let_it_speak(struct container *c, const struct cancel *cancel)
{
	int64_t age;

	{
		LOCKED(&c->lock);
		age = clock_wall_ns() - c->started_ns;
		if (!container_is_running(c) || age < 0 || age > GRACE_NS)
			return;
	}
	(void)!container_await(c, has_ended, NULL, clock_mono_ns() + GRACE_NS - age, cancel, NULL);
}

int container_logs(struct engine *e, const char *ref, const struct container_logs_options *o,
		   struct writer *out, const struct cancel *cancel, struct error *err)
{
	autoptr(container) c = NULL;
	auto_(follow) f = { .o = o, .out = out, .cancel = cancel, .batch = BUF_INIT(BATCH_MAX) };
	uint64_t exit_seq, tail;
	bool running;
	int r;

	r = container_find(e, ref, &c, err);
	if (r < 0)
		return r;
	if (!o->stdout && !o->stderr)
		return error_set(err, ERR_INVALID,
				 "Bad parameters: you must choose at least one stream");
	f.c = c;
	r = parse_times(&f, &tail, err);
	if (r < 0)
		return r;
	f.path = container_log_path(c);
	if (f.path == NULL)
		return error_set(err, ERR_UNIMPLEMENTED,
				 "configured logging driver does not support reading");
	f.local = cstr_ends(f.path, "/local.log");
	f.tty = json_bool(c->config, "Tty", false);
	if (!o->follow)
		let_it_speak(c, cancel);
	{
		LOCKED(&c->lock);
		exit_seq = c->exit_seq;
		running = container_is_running(c);
	}
	r = log_files_open(f.path, f.local, &f.files, err);
	if (r == 0 && tail != UINT64_MAX)
		r = log_files_tail(&f.files, tail, &f.at, err);
	if (r == 0)
		r = writer_write(out, "", 0, err);
	if (r == 0)
		r = o->follow && running ? follow(&f, exit_seq, err) : read_available(&f, err);
	return r;
}
