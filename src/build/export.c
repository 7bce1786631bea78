/* build/export.c: the target's configuration and layers become an image. */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/jsonw.h"
#include "build/build_internal.h"
#include "build/cache_doc.h"
#include "build/cache_places.h"
#include "build/outputs.h"
#include "image/image.h"
#include "store/images.h"

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

static void write_words(struct jsonw *w, const char *key, struct strings s)
{
	if (s.n == 0)
		return;
	jsonw_karray(w, key);
	for (size_t i = 0; i < s.n; i++)
		jsonw_string(w, s.at[i]);
	jsonw_end(w);
}

static void write_set(struct jsonw *w, const char *key, struct strings s)
{
	if (s.n == 0)
		return;
	jsonw_kobject(w, key);
	for (size_t i = 0; i < s.n; i++) {
		jsonw_kobject(w, s.at[i]);
		jsonw_end(w);
	}
	jsonw_end(w);
}

static void write_text(struct jsonw *w, const char *key, const char *value)
{
	if (value != NULL && value[0] != '\0')
		jsonw_kstring(w, key, value);
}

static void write_number(struct jsonw *w, const char *key, int64_t n)
{
	if (n != 0)
		jsonw_kint(w, key, n);
}

static void write_health(struct jsonw *w, const struct healthcheck *h)
{
	if (h == NULL)
		return;
	jsonw_kobject(w, "Healthcheck");
	write_words(w, "Test", h->test);
	write_number(w, "Interval", h->interval_ns);
	write_number(w, "Timeout", h->timeout_ns);
	write_number(w, "StartPeriod", h->start_period_ns);
	write_number(w, "StartInterval", h->start_interval_ns);
	write_number(w, "Retries", h->retries);
	jsonw_end(w);
}

/* The "config" object as BuildKit writes it: what is empty is left out. */
static void write_config(struct arena *a, struct jsonw *w, const struct container_config *c)
{
	struct pairs labels = sorted_pairs(a, c->labels);

	jsonw_kobject(w, "config");
	write_text(w, "User", c->user);
	write_set(w, "ExposedPorts", sorted_words(a, c->exposed_ports));
	write_words(w, "Env", c->env);
	write_words(w, "Entrypoint", c->entrypoint);
	write_words(w, "Cmd", c->cmd);
	write_set(w, "Volumes", sorted_words(a, c->volumes));
	write_text(w, "WorkingDir", c->working_dir);
	if (labels.n > 0) {
		jsonw_kobject(w, "Labels");
		for (size_t i = 0; i < labels.n; i++)
			jsonw_kstring(w, labels.at[i].key, labels.at[i].value);
		jsonw_end(w);
	}
	write_text(w, "StopSignal", c->stop_signal);
	if (c->args_escaped)
		jsonw_kbool(w, "ArgsEscaped", true);
	write_health(w, c->healthcheck);
	write_words(w, "OnBuild", c->on_build);
	if (c->stop_timeout_s.set)
		jsonw_kint(w, "StopTimeout", c->stop_timeout_s.value);
	write_words(w, "Shell", c->shell);
	jsonw_end(w);
}

static void write_history(struct jsonw *w, const struct image_config *c)
{
	jsonw_karray(w, "history");
	for (size_t i = 0; i < c->n_history; i++) {
		jsonw_object(w);
		write_text(w, "created", c->history[i].created);
		write_text(w, "created_by", c->history[i].created_by);
		write_text(w, "author", c->history[i].author);
		write_text(w, "comment", c->history[i].comment);
		if (c->history[i].empty_layer)
			jsonw_kbool(w, "empty_layer", true);
		jsonw_end(w);
	}
	jsonw_end(w);
}

static void write_layers(struct jsonw *w, const struct node *tip)
{
	char text[DIGEST_TEXT_MAX];

	jsonw_kobject(w, "rootfs");
	jsonw_kstring(w, "type", "layers");
	jsonw_karray(w, "diff_ids");
	for (size_t i = 0; tip != NULL && i < tip->n_layers; i++) {
		digest_format(&tip->layers[i], text);
		jsonw_string(w, text);
	}
	jsonw_end(w);
	jsonw_end(w);
}

static int format_config(struct build *b, struct buf *out, struct error *err)
{
	struct stage_plan *s = b->graph.target;
	struct image_config c = s->image;
	autofree char *records = NULL;
	struct jsonw w;
	int r = caches_inline(b, &records, err);

	if (r < 0)
		return r;
	c.created = created_text(b, s->tip);
	if (c.platform.os[0] == '\0')
		c.platform = s->platform;
	set_history(b, &c, c.created);
	jsonw_init(&w, out);
	jsonw_object(&w);
	jsonw_kstring(&w, "architecture", c.platform.arch);
	write_text(&w, "author", c.author);
	write_config(&b->arena, &w, &c.config);
	jsonw_kstring(&w, "created", c.created);
	write_history(&w, &c);
	jsonw_kstring(&w, "os", c.platform.os);
	write_words(&w, "os.features", c.os_features);
	write_text(&w, "os.version", c.platform.os_version);
	if (records != NULL) {
		jsonw_key(&w, CACHE_INLINE_KEY);
		jsonw_raw(&w, records, strlen(records));
	}
	write_layers(&w, s->tip);
	write_text(&w, "variant", c.platform.variant);
	jsonw_end(&w);
	return jsonw_finish(&w, err);
}

static void told_untagged(void *arg, const char *tag, const char *old_id)
{
	(void)arg;
	(void)tag;
	(void)old_id;
}

bool image_is_here(struct store *s, const char *id)
{
	struct image_row row = { 0 };
	bool here = images_get(s, id, &row, NULL) == 0;

	image_row_release(&row);
	return here;
}

void image_forget(struct store *s, const char *id)
{
	(void)!images_delete_untagged(s, id, NULL);
}

int export_image(struct build *b, char **ret_id, struct error *err)
{
	auto_(buf) config = BUF_INIT(IMAGE_CONFIG_MAX);
	struct builder_config *cfg = &b->builder->cfg;
	struct image_create create = { .untagged = told_untagged };
	struct digest id = { .algo = DIGEST_SHA256 };
	char text[DIGEST_TEXT_MAX];
	size_t n = 0;
	int r = format_config(b, &config, err);

	if (r < 0)
		return r;
	while (outputs_keep_image(b->q) && b->q->tags && b->q->tags[n])
		n++;
	hash_sha256(config.data, config.len, id.bytes);
	digest_format(&id, text);
	b->image_was_here = image_is_here(cfg->store, text);
	create.config = config.data;
	create.config_len = config.len;
	create.tags = b->q->tags;
	create.n_tags = n;
	r = image_create(cfg->store, &create, ret_id, err);
	if (r < 0)
		return error_wrap(err, r, "export image");
	for (size_t i = 0; i < n && cfg->tagged; i++)
		cfg->tagged(cfg->arg, *ret_id, b->q->tags[i]);
	if (n == 0 && cfg->tagged && outputs_keep_image(b->q))
		cfg->tagged(cfg->arg, *ret_id, NULL);
	return 0;
}
