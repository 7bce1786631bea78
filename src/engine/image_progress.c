/* engine/image_progress.c: docker's progress messages. See image_impl.h. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/jsonw.h"
#include "engine/image_impl.h"

#define MESSAGE_MAX 8192

struct message {
	struct buf buf;
	struct jsonw w;
};

static void message_begin(struct message *m)
{
	m->buf = (struct buf)BUF_INIT(MESSAGE_MAX);
	jsonw_init(&m->w, &m->buf);
	jsonw_object(&m->w);
}

static void message_send(struct progress *p, struct message *m)
{
	struct error err;
	int r;

	jsonw_end(&m->w);
	r = jsonw_finish(&m->w, &err);
	if (r == 0 && p->out) {
		LOCKED(&p->lock);
		p->started = true;
		if (p->result == 0)
			p->result = writer_write(p->out, m->buf.data, m->buf.len, &err);
	}
	buf_release(&m->buf);
}

void progress_status(struct progress *p, const char *id, const char *fmt, ...)
{
	struct message m;
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	message_begin(&m);
	jsonw_kstring(&m.w, "status", text);
	if (id)
		jsonw_kstring(&m.w, "id", id);
	message_send(p, &m);
}

void progress_step(struct progress *p, const char *id, const char *status)
{
	struct message m;

	message_begin(&m);
	jsonw_kstring(&m.w, "status", status);
	jsonw_kobject(&m.w, "progressDetail");
	jsonw_end(&m.w);
	jsonw_kstring(&m.w, "id", id);
	message_send(p, &m);
}

/* Go's units.HumanSize: powers of 1000, four significant digits. */
static void human_size(uint64_t n, char *out, size_t size)
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB" };
	double v = (double)n;
	size_t i = 0;

	while (v >= 1000 && i + 1 < ARRAY_LEN(units)) {
		v /= 1000;
		i++;
	}
	snprintf(out, size, "%.4g%s", v, units[i]);
}

/* docker's bar of 50, which ends in '>' until it is full. */
static void bar_text(uint64_t current, uint64_t total, char *out, size_t size)
{
	char done[40], all[40];
	unsigned percent;

	human_size(current, done, sizeof(done));
	human_size(total, all, sizeof(all));
	if (total == 0) {
		snprintf(out, size, "%s", done);
		return;
	}
	percent = current >= total ? 50 : (unsigned)((double)current / (double)total * 100) / 2;
	snprintf(out, size, "[%.*s>%*s]  %s%s%s", (int)percent,
		 "==================================================", (int)(50 - percent), "",
		 done, current > total ? "" : "/", current > total ? "" : all);
}

void progress_bar(struct progress *p, const char *id, const char *status, uint64_t current,
		  uint64_t total)
{
	struct message m;
	char text[200];

	if (!p->out)
		return;
	message_begin(&m);
	jsonw_kstring(&m.w, "status", status);
	jsonw_kobject(&m.w, "progressDetail");
	jsonw_kint(&m.w, "current", (int64_t)current);
	if (total)
		jsonw_kint(&m.w, "total", (int64_t)total);
	jsonw_end(&m.w);
	bar_text(current, total, text, sizeof(text));
	jsonw_kstring(&m.w, "progress", text);
	jsonw_kstring(&m.w, "id", id);
	message_send(p, &m);
}

void progress_stream(struct progress *p, const char *text)
{
	struct message m;

	message_begin(&m);
	jsonw_kstring(&m.w, "stream", text);
	message_send(p, &m);
}

void image_progress_aux(struct progress *p, const char *tag, const char *digest, int64_t size)
{
	struct message m;

	message_begin(&m);
	jsonw_kobject(&m.w, "progressDetail");
	jsonw_end(&m.w);
	jsonw_kobject(&m.w, "aux");
	jsonw_kstring(&m.w, "Tag", tag);
	jsonw_kstring(&m.w, "Digest", digest);
	jsonw_kint(&m.w, "Size", size);
	jsonw_end(&m.w);
	message_send(p, &m);
}

int progress_check(struct progress *p, struct error *err)
{
	LOCKED(&p->lock);
	return p->result < 0 ? error_set(err, ERR_CANCELED, "the client has left") : 0;
}

int progress_end(struct progress *p, int r, struct error *err)
{
	struct message m;

	if (r == 0 || !p->started || !err)
		return r;
	message_begin(&m);
	jsonw_kobject(&m.w, "errorDetail");
	jsonw_kstring(&m.w, "message", err->msg);
	jsonw_end(&m.w);
	jsonw_kstring(&m.w, "error", err->msg);
	message_send(p, &m);
	return r;
}
