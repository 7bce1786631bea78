/* A storage that fails every n-th call: errors come back, nothing is half visible. */
#include "registry/upload.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/hash.h"
#include "tests/tap.h"

static struct repo_store store;
static struct uploads *uploads;

static int push(const char *text, struct digest *d, struct error *err)
{
	struct mem_reader body;
	struct upload_chunk chunk = { .at = -1, .length = -1, .body = &body.reader };
	char id[UPLOAD_ID_MAX];
	uint64_t size;
	int r = upload_begin(uploads, "r", id, err);

	*d = (struct digest){ .algo = DIGEST_SHA256 };
	hash_sha256(text, strlen(text), d->bytes);
	mem_reader_init(&body, text, strlen(text));
	if (r == 0)
		r = upload_append(uploads, "r", id, &chunk, &size, err);
	return r < 0 ? r : upload_commit(uploads, "r", id, d, err);
}

static int push_manifest(const struct digest *blob, struct digest *ret, struct error *err)
{
	char text[512], d[DIGEST_TEXT_MAX];
	const char *tag = "t";
	struct repo_put put = { .tags = &tag, .n_tags = 1, .bytes = text };
	struct digest subject;

	digest_format(blob, d);
	put.len = (size_t)snprintf(text, sizeof(text),
				   "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"a/b\","
				   "\"digest\":\"%s\",\"size\":1},\"layers\":[]}",
				   d);
	return repo_put_manifest(&store, "r", &put, ret, &subject, err);
}

/* A tag that can be read leads to a manifest whose blob can be read. */
static bool is_whole(void)
{
	auto_(arena) a = ARENA_INIT;
	struct repo_manifest m;
	struct digest d;

	if (repo_get_tag(&store, "r", "t", &d, NULL) < 0)
		return true;
	return repo_get_manifest(&store, "r", &d, &a, &m, NULL) == 0;
}

int main(void)
{
	char dir[] = "/tmp/proa-fault-test-XXXXXX", text[32];
	struct digest d, m;
	struct storage *fs = NULL, *fault;
	int failed = 0, succeeded = 0, broken = 0;
	struct error err;
	int tmp;

	ok(mkdtemp(dir) != NULL && storage_fs_open(dir, &fs, &err) == 0, "open");
	fault = storage_fault_new(fs);
	store.storage = fault;
	gate_init(&store.gate);
	uploads = uploads_new(&store, 1 << 20);
	for (unsigned n = 40; n >= 1; n--) {
		snprintf(text, sizeof(text), "blob %u", n);
		storage_fault_every(fault, n);
		if (push(text, &d, &err) == 0 && push_manifest(&d, &m, &err) == 0)
			succeeded++;
		else
			failed++;
		storage_fault_every(fault, 0);
		broken += !is_whole();
	}
	ok(failed > 5 && succeeded > 5, "some pushes fail, some succeed");
	is_int(broken, 0, "a tag never leads nowhere");
	{
		struct mem_reader body;
		struct upload_chunk chunk = { .at = 5, .length = -1, .body = &body.reader };
		struct digest other = { .algo = DIGEST_SHA256 };
		char id[UPLOAD_ID_MAX];
		uint64_t size;

		mem_reader_init(&body, "abc", 3);
		is_int(upload_begin(uploads, "r", id, &err), 0, "begin");
		is_int(upload_append(uploads, "r", id, &chunk, &size, &err), -ERR_CONFLICT,
		       "a chunk out of order is refused");
		chunk.at = 0;
		is_int(upload_append(uploads, "r", id, &chunk, &size, &err), 0, "in order");
		is_int(upload_size(uploads, "other", id, &size, &err), -ERR_NOT_FOUND,
		       "another repository does not see the upload");
		is_int(upload_size(uploads, "r", "../../etc/passwd", &size, &err), -ERR_NOT_FOUND,
		       "an id is not a path");
		is_int(upload_commit(uploads, "r", id, &other, &err), -ERR_CORRUPT, "wrong digest");
		is_int(upload_size(uploads, "r", id, &size, &err), -ERR_NOT_FOUND,
		       "the upload is gone afterwards");
	}
	uploads_free(uploads);
	storage_free(fault);
	gate_release(&store.gate);
	tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	is_int(fs_remove_tree(tmp, dir + strlen("/tmp/"), &err), 0, "clean up");
	close(tmp);
	return tap_done();
}
