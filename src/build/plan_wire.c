/* build/plan_wire.c: everything but the graph. */
#include "build/plan_wire.h"

#include <string.h>

static void put_error(struct wire_writer *w, const struct error *e)
{
	wire_put_u32(w, e->kind);
	if (e->kind == ERR_NONE)
		return;
	wire_put_u32(w, (uint32_t)e->sys);
	wire_put_bytes(w, str_of(e->msg));
}

static void get_error(struct wire_reader *r, struct error *ret)
{
	struct str msg;

	*ret = (struct error){ .kind = (enum error_kind)wire_get_u32(r, ERR_KIND_COUNT - 1) };
	if (ret->kind == ERR_NONE)
		return;
	ret->sys = (int)wire_get_u32(r, INT32_MAX);
	msg = wire_get_bytes(r);
	if (msg.len >= sizeof(ret->msg) || (msg.len > 0 && memchr(msg.at, '\0', msg.len) != NULL)) {
		wire_fault(r, "an error's text cannot be one");
		return;
	}
	if (msg.len > 0)
		memcpy(ret->msg, msg.at, msg.len);
}

static void put_word(struct wire_writer *w, const char *word)
{
	wire_put_bytes(w, str_of(word));
}

static void get_word(struct wire_reader *r, char out[PLATFORM_WORD_MAX])
{
	struct str s = wire_get_bytes(r);

	if (s.len >= PLATFORM_WORD_MAX || (s.len > 0 && memchr(s.at, '\0', s.len) != NULL))
		wire_fault(r, "a platform's word cannot be one");
	else if (s.len > 0)
		memcpy(out, s.at, s.len);
}

void plan_put_platform(struct wire_writer *w, const struct platform *p)
{
	put_word(w, p->os);
	put_word(w, p->arch);
	put_word(w, p->variant);
	put_word(w, p->os_version);
}

void plan_get_platform(struct wire_reader *r, struct platform *ret)
{
	*ret = (struct platform){ 0 };
	get_word(r, ret->os);
	get_word(r, ret->arch);
	get_word(r, ret->variant);
	get_word(r, ret->os_version);
}

void plan_get_verdict(struct wire_reader *r, struct plan_verdict *ret)
{
	get_error(r, &ret->error);
	ret->where.line = wire_get_u32(r, DOCKERFILE_MAX);
	ret->where.end_line = wire_get_u32(r, DOCKERFILE_MAX);
}

static void put_pairs(struct wire_writer *w, const struct plan_pair *p, size_t n)
{
	wire_put_count(w, n);
	for (size_t i = 0; i < n; i++) {
		wire_put_text(w, p[i].key);
		wire_put_text(w, p[i].value);
	}
}

static const struct plan_pair *get_pairs(struct wire_reader *r, size_t *ret_n)
{
	size_t n = wire_get_count(r);
	struct plan_pair *p = wire_array(r, n, sizeof(*p));

	*ret_n = p != NULL ? n : 0;
	for (size_t i = 0; i < *ret_n; i++) {
		p[i].key = wire_get_text(r);
		p[i].value = wire_get_maybe(r);
	}
	return p;
}

static void put_list(struct wire_writer *w, const char *const *list, size_t n)
{
	wire_put_count(w, n);
	for (size_t i = 0; i < n; i++)
		wire_put_text(w, list[i]);
}

static const char *const *get_list(struct wire_reader *r, size_t *ret_n)
{
	size_t n = wire_get_count(r);
	const char **list = wire_array(r, n, sizeof(*list));

	*ret_n = list != NULL ? n : 0;
	for (size_t i = 0; i < *ret_n; i++)
		list[i] = wire_get_text(r);
	return list;
}

static size_t list_len(const char *const *list)
{
	size_t n = 0;

	while (list != NULL && list[n] != NULL)
		n++;
	return n;
}

void plan_request_put(struct wire_writer *w, const struct plan_request *q)
{
	const struct plan_options *o = &q->options;

	wire_put_bytes(w, q->dockerfile);
	wire_put_text(w, o->target);
	put_pairs(w, o->build_args, o->n_build_args);
	put_pairs(w, o->labels, o->n_labels);
	wire_put_count(w, o->n_contexts);
	for (size_t i = 0; i < o->n_contexts; i++) {
		wire_put_text(w, o->contexts[i].name);
		wire_put_text(w, o->contexts[i].image);
	}
	put_list(w, o->no_cache_stages, list_len(o->no_cache_stages));
	wire_put_flag(w, o->no_cache);
	wire_put_flag(w, o->net_host);
	wire_put_flag(w, o->insecure);
	wire_put_flag(w, o->all_stages);
	wire_put_text(w, o->network);
	wire_put_text(w, q->platform);
	wire_put_flag(w, q->has_ignore);
	put_list(w, q->ignore, q->n_ignore);
	wire_put_text(w, q->call);
}

int plan_request_get(struct arena *a, struct str body, struct plan_request *ret, struct error *err)
{
	struct plan_options *o = &ret->options;
	struct plan_context *contexts;
	struct wire_reader r;
	size_t n;

	*ret = (struct plan_request){ 0 };
	wire_reader_init(&r, a, body);
	ret->dockerfile = wire_get_bytes(&r);
	o->target = wire_get_maybe(&r);
	o->build_args = get_pairs(&r, &o->n_build_args);
	o->labels = get_pairs(&r, &o->n_labels);
	n = wire_get_count(&r);
	contexts = wire_array(&r, n, sizeof(*contexts));
	for (size_t i = 0; contexts != NULL && i < n; i++) {
		contexts[i].name = wire_get_text(&r);
		contexts[i].image = wire_get_maybe(&r);
		o->n_contexts++;
	}
	o->contexts = contexts;
	o->no_cache_stages = get_list(&r, &n);
	o->no_cache = wire_get_flag(&r);
	o->net_host = wire_get_flag(&r);
	o->insecure = wire_get_flag(&r);
	o->all_stages = wire_get_flag(&r);
	o->network = wire_get_maybe(&r);
	ret->platform = wire_get_maybe(&r);
	ret->has_ignore = wire_get_flag(&r);
	ret->ignore = get_list(&r, &ret->n_ignore);
	ret->call = wire_get_maybe(&r);
	return wire_end(&r, err);
}

void plan_verdict_put(struct wire_writer *w, const struct plan_verdict *v)
{
	put_error(w, &v->error);
	wire_put_u32(w, v->where.line);
	wire_put_u32(w, v->where.end_line);
}

int plan_verdict_get(struct arena *a, struct str body, struct plan_verdict *ret, struct error *err)
{
	struct wire_reader r;

	*ret = (struct plan_verdict){ 0 };
	wire_reader_init(&r, a, body);
	plan_get_verdict(&r, ret);
	return wire_end(&r, err);
}

void plan_ask_put(struct wire_writer *w, const char *name, const struct platform *platform)
{
	wire_put_text(w, name);
	plan_put_platform(w, platform);
}

int plan_ask_get(struct arena *a, struct str body, struct plan_ask *ret, struct error *err)
{
	struct wire_reader r;

	*ret = (struct plan_ask){ 0 };
	wire_reader_init(&r, a, body);
	ret->name = wire_get_text(&r);
	plan_get_platform(&r, &ret->platform);
	return wire_end(&r, err);
}

void plan_found_put(struct wire_writer *w, const struct plan_found *f)
{
	put_error(w, &f->error);
	wire_put_flag(w, f->none);
	wire_put_bytes(w, f->config);
}

int plan_found_get(struct arena *a, struct str body, struct plan_found *ret, struct error *err)
{
	struct wire_reader r;

	*ret = (struct plan_found){ 0 };
	wire_reader_init(&r, a, body);
	get_error(&r, &ret->error);
	ret->none = wire_get_flag(&r);
	ret->config = wire_get_bytes(&r);
	return wire_end(&r, err);
}
