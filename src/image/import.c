/* image/import.c: docker import: a root file system becomes an image. See archive.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "image/archive.h"
#include "image/image.h"
#include "image/unpack.h"
#include "oci/image_config.h"
#include "store/lease.h"

static void set_platform(const struct image_import *i, struct platform *p)
{
	platform_host(p);
	if (i->os && *i->os)
		snprintf(p->os, sizeof(p->os), "%s", i->os);
	if (i->arch && *i->arch) {
		snprintf(p->arch, sizeof(p->arch), "%s", i->arch);
		p->variant[0] = '\0';
	}
	if (i->variant && *i->variant)
		snprintf(p->variant, sizeof(p->variant), "%s", i->variant);
}

static int make_config(const struct image_import *i, const struct digest *diff_id, struct buf *b,
		       struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	char now[TIME_TEXT_MAX];
	struct image_history history = { .comment = i->message };
	struct image_config c = { .diff_ids = diff_id,
				  .n_diff_ids = 1,
				  .history = &history,
				  .n_history = 1,
				  .comment = i->message };
	int r;

	time_format_rfc3339nano(clock_wall_ns(), now);
	c.created = history.created = now;
	set_platform(i, &c.platform);
	if (i->config) {
		r = container_config_decode(&a, i->config, &c.config, err);
		if (r < 0)
			return r;
	}
	return image_config_format(&c, b, err);
}

int image_import(struct store *s, struct reader *from, const struct image_import *i, char **ret_id,
		 struct error *err)
{
	const struct unpack_layer u = { .cancel = i->cancel };
	auto_(lease) lease = LEASE_INIT;
	auto_(buf) b = BUF_INIT(IMAGE_CONFIG_MAX);
	struct image_create create = { .tags = &i->tag, .n_tags = i->tag ? 1 : 0 };
	struct layer_blob blob;
	struct layer_info info;
	char id[DIGEST_TEXT_MAX];
	struct digest d;
	int r = lease_open(s->db, "import", &lease, err);

	if (r == 0)
		r = unpack_keep(s, from, &u, NULL, lease.id, &info, &blob, err);
	if (r == 0)
		r = make_config(i, &info.diff_id, &b, err);
	if (r < 0)
		return r;
	create.blobs = &blob;
	create.n_blobs = 1;
	create.config = b.data;
	create.config_len = b.len;
	/* Kept by the image from here on, no longer by the lease. */
	r = image_create(s, &create, NULL, err);
	d = (struct digest){ .algo = DIGEST_SHA256 };
	hash_sha256(b.data, b.len, d.bytes);
	digest_format(&d, id);
	if (r == 0)
		*ret_id = xstrdup(id);
	return r;
}
