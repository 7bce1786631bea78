/* build/export.c: the target's configuration and layers become an image. */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "build/build_internal.h"
#include "image/image.h"

static const char *created_text(struct build *b, const struct node *tip)
{
	char text[TIME_TEXT_MAX];
	int64_t ns = b->q->real_times ? clock_wall_ns() : tip ? tip->epoch_ns : b->graph.epoch_ns;

	time_format_rfc3339nano(ns, text);
	return arena_strdup(&b->arena, text);
}

static void set_history(struct build *b, struct image_config *c, const char *created)
{
	const struct stage_plan *s = b->graph.target;
	struct image_history *h = arena_array(&b->arena, s->n_history + 1, sizeof(*h));

	for (size_t i = 0; i < s->n_history; i++) {
		const struct history_item *item = &s->history[i];

		h[i] = (struct image_history){
			.created = item->created ? item->created : created,
			.created_by = item->created_by,
			.author = item->author,
			.comment = item->comment,
			.empty_layer = item->node ? !item->node->made_layer : item->empty_layer,
		};
	}
	c->history = h;
	c->n_history = s->n_history;
}

static int compare_pairs(const void *a, const void *b)
{
	return strcmp(((const struct pair *)a)->key, ((const struct pair *)b)->key);
}

static int compare_words(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Maps are written sorted, whatever the order they were made in. */
static struct strings sorted_words(struct arena *a, struct strings s)
{
	const char **at = arena_array(a, s.n + 1, sizeof(*at));

	if (s.at == NULL)
		return s;
	for (size_t i = 0; i < s.n; i++)
		at[i] = s.at[i];
	if (s.n > 1)
		qsort(at, s.n, sizeof(*at), compare_words);
	return (struct strings){ at, s.n };
}

static struct pairs sorted_pairs(struct arena *a, struct pairs p)
{
	struct pair *at = arena_array(a, p.n + 1, sizeof(*at));

	for (size_t i = 0; i < p.n; i++)
		at[i] = p.at[i];
	if (p.n > 1)
		qsort(at, p.n, sizeof(*at), compare_pairs);
	return (struct pairs){ at, p.n };
}

static int format_config(struct build *b, struct buf *out, struct error *err)
{
	struct stage_plan *s = b->graph.target;
	const struct node *tip = s->tip;
	struct image_config c = s->image;

	c.created = created_text(b, tip);
	c.diff_ids = tip ? tip->layers : NULL;
	c.n_diff_ids = tip ? tip->n_layers : 0;
	c.config.labels = sorted_pairs(&b->arena, c.config.labels);
	c.config.exposed_ports = sorted_words(&b->arena, c.config.exposed_ports);
	c.config.volumes = sorted_words(&b->arena, c.config.volumes);
	if (c.platform.os[0] == '\0')
		c.platform = s->platform;
	set_history(b, &c, c.created);
	return image_config_format(&c, out, err);
}

static void told_untagged(void *arg, const char *tag, const char *old_id)
{
	(void)arg;
	(void)tag;
	(void)old_id;
}

int export_image(struct build *b, char **ret_id, struct error *err)
{
	auto_(buf) config = BUF_INIT(IMAGE_CONFIG_MAX);
	struct builder_config *cfg = &b->builder->cfg;
	struct image_create create = { .untagged = told_untagged };
	size_t n = 0;
	int r = format_config(b, &config, err);

	if (r < 0)
		return r;
	while (b->q->tags && b->q->tags[n])
		n++;
	create.config = config.data;
	create.config_len = config.len;
	create.tags = b->q->tags;
	create.n_tags = n;
	r = image_create(cfg->store, &create, ret_id, err);
	if (r < 0)
		return error_wrap(err, r, "export image");
	for (size_t i = 0; i < n && cfg->tagged; i++)
		cfg->tagged(cfg->arg, *ret_id, b->q->tags[i]);
	if (n == 0 && cfg->tagged)
		cfg->tagged(cfg->arg, *ret_id, NULL);
	return 0;
}
