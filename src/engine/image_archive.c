/* engine/image_archive.c: docker save, load and import. See image.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/apply.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "engine/changes.h"
#include "engine/image_impl.h"
#include "image/archive.h"
#include "remote/download.h"
#include "store/store.h"

int engine_image_save(struct engine *e, const char *const *names, size_t n_names,
		      struct writer *out, const struct cancel *cancel, struct error *err)
{
	int r = image_save(e->store, names, n_names, cancel, out, err);

	for (size_t i = 0; r == 0 && i < n_names; i++) {
		autofree char *id = NULL;

		if (image_resolve(e->store, names[i], &id, NULL) == 0)
			image_event(e, "save", id, id);
	}
	return r;
}

struct load {
	struct engine *engine;
	struct progress progress;
	int64_t bar_ns;
};

static int on_loaded(void *arg, const char *id, const char *familiar, struct error *err)
{
	struct load *l = arg;
	autofree char *text = familiar ? cstr_format("Loaded image: %s\n", familiar)
				       : cstr_format("Loaded image ID: %s\n", id);

	progress_stream(&l->progress, text);
	image_event(l->engine, "load", id, familiar ? familiar : id);
	return progress_check(&l->progress, err);
}

static int on_layer(void *arg, const char *key, uint64_t done, uint64_t total, struct error *err)
{
	struct load *l = arg;
	int64_t now = clock_mono_ns();
	const char *slash = strrchr(key, '/');
	char id[13];

	/* "blobs/sha256/<hex>", "<hex>.tar" or, in old archives, "<hex>/layer.tar". */
	if (slash && strcmp(slash, "/layer.tar") == 0)
		slash = NULL;
	if (now - l->bar_ns < 100 * NS_PER_MS)
		return 0;
	l->bar_ns = now;
	snprintf(id, sizeof(id), "%.12s", slash ? slash + 1 : key);
	progress_bar(&l->progress, id, "Loading layer", done, done > total ? done : total);
	return progress_check(&l->progress, err);
}

int engine_image_load(struct engine *e, struct reader *in, bool quiet, struct writer *out,
		      const struct cancel *cancel, struct error *err)
{
	struct load l = { .engine = e, .progress = PROGRESS_INIT(out) };
	const struct image_load options = {
		.cancel = cancel, .loaded = on_loaded, .layer = quiet ? NULL : on_layer, .arg = &l
	};
	int r = image_load(e->store, in, &options, err);

	if (r < 0)
		image_give_back(e);
	/* Peer: dockerd has sent its head by then, so that every failure is in the stream. */
	l.progress.started = true;
	return progress_end(&l.progress, r, err);
}

static int import_tag(const struct engine_image_import *i, char **ret, struct error *err)
{
	autofree char *text = NULL;

	*ret = NULL;
	if (!i->repo || !*i->repo)
		return 0;
	text = cstr_format("%s%s%s", i->repo, i->tag && *i->tag ? ":" : "", i->tag ? i->tag : "");
	return image_name_canonical(text, ret, err);
}

static char *import_message(const struct engine_image_import *i)
{
	if (i->message && *i->message)
		return xstrdup(i->message);
	return cstr_format("Imported from %s", i->from ? i->from : "-");
}

/* The tar behind a URL in a file without a name, read from its start. */
static int fetch_tar(struct engine *e, const char *url, struct progress *progress,
		     const struct cancel *cancel, int *ret, struct error *err)
{
	autofree char *whole = strstr(url, "://") ? xstrdup(url) : cstr_format("http://%s", url);
	autofree char *name = NULL;
	autoclose int fd = FD_NONE;
	struct fd_writer to;
	int r = fs_open(e->cfg.data_root, O_TMPFILE | O_RDWR, 0600, &fd, err);

	if (r < 0)
		return r;
	progress_status(progress, NULL, "Downloading from %s", whole);
	fd_writer_init(&to, fd, cancel);
	r = remote_download(whole, APPLY_MAX_BYTES, cancel, &to.writer, &name, err);
	if (r < 0)
		return r;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return error_sys(err, errno, "rewind");
	*ret = steal_fd(&fd);
	return 0;
}

int engine_image_import(struct engine *e, const struct engine_image_import *i, struct reader *in,
			struct writer *out, const struct cancel *cancel, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	struct json *config = json_new_object(&a);
	struct progress progress = PROGRESS_INIT(out);
	struct platform platform = { 0 };
	autofree char *message = import_message(i);
	struct image_import o = { .message = message, .config = config, .cancel = cancel };
	autoclose int fetched = FD_NONE;
	struct fd_reader from;
	autofree char *tag = NULL, *id = NULL;
	int r = import_tag(i, &tag, err);

	if (r == 0 && i->platform && *i->platform)
		r = platform_parse(i->platform, &platform, err);
	if (r == 0)
		r = changes_apply(&a, config, i->changes, err);
	if (r < 0)
		return r;
	if (i->from && strcmp(i->from, "-") != 0) {
		r = fetch_tar(e, i->from, &progress, cancel, &fetched, err);
		if (r < 0)
			return progress_end(&progress, r, err);
		fd_reader_init(&from, fetched, cancel);
		in = &from.reader;
	}
	o.tag = tag;
	o.os = platform.os;
	o.arch = platform.arch;
	o.variant = platform.variant;
	r = image_import(e->store, in, &o, &id, err);
	if (r == -ERR_CORRUPT) /* the client's own */
		r = -(int)(err->kind = ERR_INVALID);
	if (r < 0)
		image_give_back(e);
	if (r == 0) {
		progress_status(&progress, NULL, "%s", id);
		image_event(e, "import", id, id);
	}
	return progress_end(&progress, r, err);
}
