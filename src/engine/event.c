/*
 * engine/event.c: a ring of what happened, and its readers. A reader holds
 * references to lines that are made once, so that a thousand readers cost a
 * pointer each per event.
 */
#include "engine/event.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/jsonw.h"
#include "base/str.h"
#include "engine/container_internal.h"
#include "engine/event_bus.h"
#include "engine/filter.h"

#define RING           4096
#define LINE_MAX_BYTES (1 << 20)
#define ATTRS_MAX      256

struct event {
	atomic_int refs;
	int64_t wall_ns;
	struct arena arena;
	const char *type, *action, *id;
	struct event_attr *attrs;
	size_t n_attrs;
	char *line;
	size_t len;
};

struct subscriber {
	struct subscriber *next;
	int fd;
	uint64_t at; /* sequence number of the next event to read */
	bool lost;
};

struct event_bus {
	struct lock *lock; /* engine->events_lock */
	struct event *ring[RING];
	uint64_t head; /* sequence number of the next event */
	struct subscriber *subscribers;
};

static void event_unref(struct event *v)
{
	if (v == NULL || atomic_fetch_sub(&v->refs, 1) != 1)
		return;
	free(v->line);
	arena_release(&v->arena);
	free(v);
}

struct event_bus *event_bus_new(struct lock *lock)
{
	struct event_bus *b = new0(struct event_bus);

	b->lock = lock;
	return b;
}

void event_bus_free(struct event_bus *b)
{
	size_t i;

	if (b == NULL)
		return;
	for (i = 0; i < RING; i++)
		event_unref(b->ring[i]);
	free(b);
}

int event_bus_readers(struct event_bus *b)
{
	struct subscriber *s;
	int n = 0;

	LOCKED(b->lock);
	for (s = b->subscribers; s; s = s->next)
		n++;
	return n;
}

static int by_key(const void *a, const void *b)
{
	const struct event_attr *x = a, *y = b;

	return strcmp(x->key, y->key);
}

static void event_format(struct event *v)
{
	auto_(buf) b = BUF_INIT(LINE_MAX_BYTES);
	bool legacy = strcmp(v->type, "container") == 0 || strcmp(v->type, "image") == 0;
	const char *from = NULL;
	struct jsonw w;
	size_t i;

	for (i = 0; i < v->n_attrs; i++)
		if (strcmp(v->attrs[i].key, "image") == 0)
			from = v->attrs[i].value;
	jsonw_init(&w, &b);
	jsonw_object(&w);
	if (legacy) {
		jsonw_kstring(&w, "status", v->action);
		jsonw_kstring(&w, "id", v->id);
		if (from && strcmp(v->type, "container") == 0)
			jsonw_kstring(&w, "from", from);
	}
	jsonw_kstring(&w, "Type", v->type);
	jsonw_kstring(&w, "Action", v->action);
	jsonw_kobject(&w, "Actor");
	jsonw_kstring(&w, "ID", v->id);
	jsonw_kobject(&w, "Attributes");
	for (i = 0; i < v->n_attrs; i++)
		jsonw_kstring(&w, v->attrs[i].key, v->attrs[i].value);
	jsonw_end(&w);
	jsonw_end(&w);
	jsonw_kstring(&w, "scope", "local");
	jsonw_kint(&w, "time", v->wall_ns / NS_PER_SEC);
	jsonw_kint(&w, "timeNano", v->wall_ns);
	jsonw_end(&w);
	if (jsonw_finish(&w, NULL) == 0 && buf_add(&b, "\n", 1, NULL) == 0)
		v->line = buf_detach(&b, &v->len);
}

static void bus_add(struct event_bus *b, struct event *take_v)
{
	static const uint64_t one = 1;
	struct subscriber *s;
	size_t slot;

	lock_take(b->lock);
	slot = b->head % RING;
	event_unref(b->ring[slot]);
	b->ring[slot] = take_v;
	b->head++;
	for (s = b->subscribers; s; s = s->next) {
		if (b->head - s->at > RING)
			s->lost = true;
		(void)!write(s->fd, &one, sizeof(one));
	}
	lock_drop(b->lock);
}

void event_emit(struct engine *e, const char *type, const char *action, const char *id,
		const struct event_attr *attrs, size_t n_attrs)
{
	struct event *v = new0(struct event);
	size_t i;

	atomic_init(&v->refs, 1);
	v->wall_ns = clock_wall_ns();
	v->type = arena_strdup(&v->arena, type);
	v->action = arena_strdup(&v->arena, action);
	v->id = arena_strdup(&v->arena, id);
	v->attrs = arena_array(&v->arena, n_attrs + 1, sizeof(*v->attrs));
	for (i = 0; i < n_attrs; i++) {
		if (attrs[i].value == NULL)
			continue;
		v->attrs[v->n_attrs].key = arena_strdup(&v->arena, attrs[i].key);
		v->attrs[v->n_attrs++].value = arena_strdup(&v->arena, attrs[i].value);
	}
	qsort(v->attrs, v->n_attrs, sizeof(*v->attrs), by_key);
	event_format(v);
	bus_add(e->events, v);
}

void container_event(struct container *c, const char *action, const struct event_attr *attrs,
		     size_t n_attrs)
{
	struct event_attr all[ATTRS_MAX];
	autofree char *name = NULL;
	const struct json *labels;
	size_t n = 0;

	/* The documents live as long as the container. */
	{
		LOCKED(&c->lock);
		name = xstrdup(c->name);
		labels = json_get(c->config, "Labels");
		all[n++] = (struct event_attr){ "image", json_str(c->config, "Image") };
	}
	all[n++] = (struct event_attr){ "name", name };
	json_for_each_member (m, labels)
		if (n < ATTRS_MAX - 16 && m->value->type == JSON_STRING)
			all[n++] = (struct event_attr){ m->key, m->value->s };
	for (; n_attrs > 0 && n < ATTRS_MAX; n_attrs--)
		all[n++] = *attrs++;
	event_emit(c->engine, "container", action, c->id, all, n);
}

/* ---- readers ---- */

static const char *attr_of(const struct event *v, const char *key)
{
	size_t i;

	for (i = 0; i < v->n_attrs; i++)
		if (strcmp(v->attrs[i].key, key) == 0)
			return v->attrs[i].value;
	return NULL;
}

static bool label_matches(const struct event *v, const char *want)
{
	size_t len = strcspn(want, "=");
	autofree char *key = cstr_format("%.*s", (int)len, want);
	const char *value = attr_of(v, key);

	return value && (want[len] == '\0' || strcmp(value, want + len + 1) == 0);
}

/* The object filter of a type: id, name, or (for images) the name without tag. */
static bool object_matches(const struct event *v, const char *type, const char *want)
{
	const char *name = attr_of(v, "name");

	/* A network's event that names a container is not the container's. Peer: dockerd 20.10. */
	if (strcmp(v->type, type) != 0)
		return false;
	if (strcmp(v->id, want) == 0 || (name && strcmp(name, want) == 0))
		return true;
	if (strcmp(type, "container") == 0)
		return strlen(want) >= 12 && strncmp(v->id, want, strlen(want)) == 0;
	return name && strncmp(name, want, strlen(want)) == 0 && name[strlen(want)] == ':';
}

static bool value_matches(const struct event *v, const char *key, const char *want)
{
	if (strcmp(key, "type") == 0)
		return strcmp(v->type, want) == 0;
	if (strcmp(key, "event") == 0)
		return strcmp(v->action, want) == 0 ||
		       (strncmp(v->action, want, strlen(want)) == 0 &&
			v->action[strlen(want)] == ':');
	if (strcmp(key, "label") == 0)
		return label_matches(v, want);
	if (strcmp(key, "scope") == 0)
		return strcmp(want, "local") == 0;
	return object_matches(v, key, want);
}

static bool event_matches(const struct event *v, const struct filters *f)
{
	size_t i, k;

	for (i = 0; i < f->n; i++) {
		bool all = strcmp(f->at[i].key, "label") == 0, any = false;

		for (k = 0; f->at[i].values[k]; k++) {
			bool hit = value_matches(v, f->at[i].key, f->at[i].values[k]);

			if (all && !hit)
				return false;
			any = any || hit;
		}
		if (!any)
			return false;
	}
	return true;
}

struct stream {
	struct engine *e;
	struct subscriber sub;
	const struct filters *filters;
	int64_t since_ns, until_ns; /* 0 = none */
	struct writer *out;
};

/* The next event for this reader, with a reference; NULL when there is none. */
static struct event *stream_next(struct stream *s)
{
	struct event_bus *b = s->e->events;
	struct event *v = NULL;

	LOCKED(b->lock);
	if (s->sub.at < b->head && !s->sub.lost) {
		v = b->ring[s->sub.at++ % RING];
		atomic_fetch_add(&v->refs, 1);
	}
	return v;
}

static int stream_drain(struct stream *s, struct error *err)
{
	struct event *v;
	int r = 0;

	while (r == 0 && (v = stream_next(s)) != NULL) {
		bool wanted = (s->since_ns == 0 || v->wall_ns >= s->since_ns) &&
			      (s->until_ns == 0 || v->wall_ns <= s->until_ns) &&
			      event_matches(v, s->filters);

		if (wanted && v->line && writer_write(s->out, v->line, v->len, err) < 0)
			r = error_set(err, ERR_CANCELED, "the reader is gone");
		event_unref(v);
	}
	if (r == 0 && s->sub.lost)
		r = error_set(err, ERR_CANCELED, "the reader is too slow");
	return r;
}

static int stream_run(struct stream *s, const struct cancel *cancel, struct error *err)
{
	struct pollfd p[3] = { { s->sub.fd, POLLIN, 0 },
			       { s->e->closing.fd, POLLIN, 0 },
			       { cancel ? cancel->fd : -1, POLLIN, 0 } };
	int r;

	for (;;) {
		int timeout = -1;
		uint64_t count;

		r = stream_drain(s, err);
		if (r < 0)
			return r;
		if (s->until_ns) {
			int64_t left = s->until_ns - clock_wall_ns();

			if (left <= 0)
				return 0;
			timeout = left > 3600 * NS_PER_SEC ? 3600000 : (int)(left / NS_PER_MS) + 1;
		}
		if (poll(p, 3, timeout) < 0 && errno != EINTR)
			return error_sys(err, errno, "poll");
		if (p[1].revents || p[2].revents)
			return error_set(err, ERR_CANCELED, "canceled");
		if (p[0].revents)
			(void)!read(s->sub.fd, &count, sizeof(count));
	}
}

static void subscribe(struct stream *s)
{
	struct event_bus *b = s->e->events;

	LOCKED(b->lock);
	s->sub.at = b->head;
	if (s->since_ns)
		s->sub.at = b->head > RING ? b->head - RING : 0;
	s->sub.next = b->subscribers;
	b->subscribers = &s->sub;
}

static void unsubscribe(struct stream *s)
{
	struct event_bus *b = s->e->events;
	struct subscriber **at;

	LOCKED(b->lock);
	for (at = &b->subscribers; *at != &s->sub; at = &(*at)->next)
		;
	*at = s->sub.next;
}

/* 1970 itself is a time that was given, and 0 means none. */
static int parse_bound(const char *text, int64_t *ret_ns, struct error *err)
{
	int r = time_parse_query(text, ret_ns, err);

	if (r == 0 && *ret_ns == 0)
		*ret_ns = 1;
	return r;
}

int events_stream(struct engine *e, const char *since, const char *until,
		  const struct json *filters, struct writer *out, const struct cancel *cancel,
		  struct error *err)
{
	static const char *const known[] = { "config", "container", "daemon",  "event",
					     "image",  "label",     "network", "node",
					     "plugin", "scope",     "secret",  "service",
					     "type",   "volume",    "builder", NULL };
	struct stream s = { .e = e, .out = out };
	auto_(filters) f = { 0 };
	int r;

	r = filters_read(filters, known, &f, err);
	if (r == 0 && !cstr_is_empty(since))
		r = parse_bound(since, &s.since_ns, err);
	if (r == 0 && !cstr_is_empty(until))
		r = parse_bound(until, &s.until_ns, err);
	if (r < 0)
		return r;
	s.filters = &f;
	s.sub.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s.sub.fd < 0)
		return error_sys(err, errno, "eventfd");
	subscribe(&s);
	r = writer_write(out, "", 0, err);
	if (r == 0)
		r = stream_run(&s, cancel, err);
	unsubscribe(&s);
	close(s.sub.fd);
	return r;
}
