#include <string.h>

#include "api/call.h"
#include "base/base64.h"
#include "base/log.h"
#include "base/str.h"
#include "engine/container.h"

#define STAT_HEADER "X-Docker-Container-Path-Stat"

static int set_stat_header(struct call *c, struct answer *stat, struct error *err)
{
	auto_(buf) text = BUF_INIT(256 * 1024);
	int r = jsonw_finish(&stat->w, err);

	if (r == 0)
		r = base64_encode(&text, stat->buf.data, stat->buf.len, false, err);
	if (r == 0)
		http_response_set_header(c->res, STAT_HEADER, text.data);
	return r;
}

static int need_path(struct call *c, const char **ret, struct error *err)
{
	*ret = call_text(c, "path");
	if (*ret == NULL)
		return error_set(err, ERR_INVALID, "missing parameter: path");
	return 0;
}

static int stat_(struct call *c, struct error *err)
{
	const char *path;
	struct answer a;
	int r = need_path(c, &path, err);

	if (r < 0)
		return r;
	answer_begin(&a);
	r = container_archive_stat(c->engine, c->args[0], path, &a.w, err);
	if (r == 0)
		r = set_stat_header(c, &a, err);
	buf_release(&a.buf);
	return r < 0 ? r : answer_empty(c, 200, err);
}

/* The head waits for the stat, which the engine gives before the first byte. */
struct archive_stream {
	struct writer writer;
	struct stream stream;
	struct answer *stat;
	bool stat_sent;
};

static int archive_write(struct writer *w, const void *bytes, size_t len, struct error *err)
{
	struct archive_stream *s = container_of(w, struct archive_stream, writer);

	if (!s->stat_sent) {
		int r = set_stat_header(s->stream.c, s->stat, err);

		if (r < 0)
			return r;
		s->stat_sent = true;
	}
	return writer_write(&s->stream.writer, bytes, len, err);
}

static const struct writer_ops archive_ops = { .write = archive_write };

static int get(struct call *c, struct error *err)
{
	struct archive_stream s = { .writer.ops = &archive_ops };
	const char *path;
	struct answer a;
	int r = need_path(c, &path, err);

	if (r < 0)
		return r;
	answer_begin(&a);
	s.stat = &a;
	stream_init(&s.stream, c, "application/x-tar");
	r = container_archive_get(c->engine, c->args[0], path, &a.w, &s.writer, c->req->cancel,
				  err);
	r = stream_end(&s.stream, r, err);
	buf_release(&a.buf);
	return r;
}

static int put(struct call *c, struct error *err)
{
	struct container_archive_put_options o = {
		.no_overwrite_dir_non_dir = call_flag(c, "noOverwriteDirNonDir", false),
		.copy_uid_gid = call_flag(c, "copyUIDGID", false),
	};
	const char *path;
	int r = need_path(c, &path, err);

	if (r == 0)
		r = container_archive_put(c->engine, c->args[0], path, &o, c->req->body, err);
	return r < 0 ? r : answer_empty(c, 200, err);
}

static const struct route routes[] = {
	{ "HEAD", "/containers/*/archive", stat_ },
	{ "GET", "/containers/*/archive", get },
	{ "PUT", "/containers/*/archive", put },
};
const struct route_table routes_archive = { routes, ARRAY_LEN(routes) };
