#include "base/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/jsonw.h"

static const char *const level_names[] = { "debug", "info", "warn", "error", "fatal" };

static atomic_int out_fd = STDERR_FILENO;
static atomic_int min_level = LOG_INFO;
static atomic_int out_format = LOG_TEXT;

void log_setup(int fd, enum log_level min, enum log_format format)
{
	atomic_store(&out_fd, fd);
	atomic_store(&min_level, (int)min);
	atomic_store(&out_format, (int)format);
}

void log_set_level(enum log_level min)
{
	atomic_store(&min_level, (int)min);
}

bool log_enabled(enum log_level level)
{
	return (int)level >= atomic_load_explicit(&min_level, memory_order_relaxed);
}

int log_level_parse(const char *s, enum log_level *ret, struct error *err)
{
	for (unsigned i = 0; i < ARRAY_LEN(level_names); i++) {
		if (strcmp(s, level_names[i]) == 0) {
			*ret = (enum log_level)i;
			return 0;
		}
	}
	return error_set(err, ERR_INVALID, "invalid logging level: %s", s);
}

static bool needs_quotes(const char *s)
{
	if (*s == '\0')
		return true;
	for (; *s; s++)
		if ((unsigned char)*s <= ' ' || *s == '"' || *s == '=' || *s == '\\' || *s == 0x7f)
			return true;
	return false;
}

/* A ceiling that is hit cuts the line; a log line has nobody to report to. */
static void put(struct buf *b, const char *s)
{
	int r = buf_add(b, s, strlen(s), NULL);

	(void)r;
}

static void put_quoted(struct buf *b, const char *s)
{
	struct jsonw w;

	jsonw_init(&w, b);
	w.no_html = true;
	jsonw_string(&w, s);
}

static void put_number(struct buf *b, int64_t num)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)num);
	put(b, text);
}

/* The message is ours, but an argument of it may hold a line end of a peer's. */
static void put_line_safe(struct buf *b, const char *s)
{
	bool clean = true;

	for (const char *p = s; *p && clean; p++)
		clean = (unsigned char)*p >= ' ' && *p != 0x7f;
	if (clean)
		put(b, s);
	else
		put_quoted(b, s);
}

static void fill_text(struct buf *b, const char *level, const char *msg, const struct log_kv *kv,
		      unsigned n_kv)
{
	put(b, " ");
	put(b, level);
	put(b, " ");
	put_line_safe(b, msg);
	for (unsigned i = 0; i < n_kv; i++) {
		put(b, " ");
		put(b, kv[i].key);
		put(b, "=");
		if (kv[i].text == NULL)
			put_number(b, kv[i].num);
		else if (needs_quotes(kv[i].text))
			put_quoted(b, kv[i].text);
		else
			put(b, kv[i].text);
	}
}

static void fill_json(struct buf *b, const char *time, const char *level, const char *msg,
		      const struct log_kv *kv, unsigned n_kv)
{
	struct jsonw w;
	int r;

	jsonw_init(&w, b);
	w.no_html = true;
	jsonw_object(&w);
	jsonw_kstring(&w, "time", time);
	jsonw_kstring(&w, "level", level);
	jsonw_kstring(&w, "msg", msg);
	for (unsigned i = 0; i < n_kv; i++) {
		if (kv[i].text == NULL)
			jsonw_kint(&w, kv[i].key, kv[i].num);
		else
			jsonw_kstring(&w, kv[i].key, kv[i].text);
	}
	jsonw_end(&w);
	r = jsonw_finish(&w, NULL);
	(void)r;
}

void log_write(enum log_level level, const char *msg, const struct log_kv *kv, unsigned n_kv)
{
	auto_(buf) b = BUF_INIT(65536);
	int64_t now = clock_wall_ns();
	char time[TIME_TEXT_MAX];
	int saved = errno;
	ssize_t n;

	/* Milliseconds, always three digits: columns line up. */
	time_format_rfc3339nano(now / NS_PER_SEC * NS_PER_SEC, time);
	snprintf(time + 19, sizeof(time) - 19, ".%03lldZ",
		 (long long)(now % NS_PER_SEC / NS_PER_MS));
	if (atomic_load(&out_format) == LOG_JSON) {
		fill_json(&b, time, level_names[level], msg, kv, n_kv);
	} else {
		put(&b, time);
		fill_text(&b, level_names[level], msg, kv, n_kv);
	}
	b.max++;
	put(&b, "\n");
	do
		n = write(atomic_load(&out_fd), b.data, b.len);
	while (n < 0 && errno == EINTR);
	errno = saved;
}
