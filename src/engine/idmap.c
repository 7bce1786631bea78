/* engine/idmap.c: see idmap.h. */
#include "engine/idmap.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/fdpass.h"
#include "base/fs.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/vec.h"
#include "engine/container_internal.h"

#define SUBID_FILE_MAX (1 << 20)
#define POOL_MAX       64
#define HELPER_MS      10000
#define MAPS_TEXT_MAX  32768

/* ---- the words ---- */

static int number(struct str s, uint32_t *ret, struct error *err)
{
	uint64_t v;

	if (parse_u64(s, UINT32_MAX - 1, &v, NULL) < 0)
		return error_set(err, ERR_INVALID, "'%.*s' is no id", STR_ARG(s));
	*ret = (uint32_t)v;
	return 0;
}

/* Three numbers between `sep`s. */
static int triple(struct str text, char sep, struct id_map *ret, struct error *err)
{
	struct str part[3] = { { 0 } }, rest = text;
	size_t n = 0;
	int r;

	while (n < 3 && str_split(&rest, sep, &part[n]))
		n++;
	if (n < 3 || rest.len > 0)
		return error_set(err, ERR_INVALID, "id mapping '%.*s': three numbers are needed",
				 STR_ARG(text));
	r = number(part[0], &ret->container, err);
	if (r == 0)
		r = number(part[1], &ret->host, err);
	if (r == 0)
		r = number(part[2], &ret->size, err);
	if (r < 0)
		return error_wrap(err, r, "id mapping '%.*s'", STR_ARG(text));
	if (ret->size == 0 || ret->size > UINT32_MAX - ret->host ||
	    ret->size > UINT32_MAX - ret->container)
		return error_set(err, ERR_INVALID, "id mapping '%.*s': bad count", STR_ARG(text));
	return 0;
}

static void push(struct arena *a, struct id_map **list, size_t *n, struct id_map m)
{
	if (*list == NULL)
		*list = arena_array(a, ID_MAPS_MAX, sizeof(**list));
	if (*n < ID_MAPS_MAX)
		(*list)[(*n)++] = m;
}

/* The id outside of the container's namespace for one inside. */
static bool outside(const struct id_map *base, size_t n, struct id_map *m)
{
	for (size_t i = 0; i < n; i++) {
		if (m->host < base[i].container ||
		    (uint64_t)m->host + m->size > (uint64_t)base[i].container + base[i].size)
			continue;
		m->host = base[i].host + (m->host - base[i].container);
		return true;
	}
	return false;
}

static int parse_ranges(struct arena *a, struct str text, const struct id_map *base, size_t n_base,
			struct id_map **list, size_t *n, struct error *err)
{
	struct str one;

	while (str_split(&text, '#', &one)) {
		bool relative = one.len > 0 && one.at[0] == '@';
		struct id_map m;
		int r = triple(relative ? str_sub(one, 1, one.len) : one, '-', &m, err);

		if (r < 0)
			return r;
		if (*n == ID_MAPS_MAX)
			return error_set(err, ERR_INVALID, "more than %d id mappings", ID_MAPS_MAX);
		if (relative && n_base > 0 && !outside(base, n_base, &m))
			return error_set(err, ERR_INVALID,
					 "id mapping '%.*s': not in the container's user namespace",
					 STR_ARG(one));
		push(a, list, n, m);
	}
	return 0;
}

int idmap_parse(struct arena *a, const char *spec, const struct id_maps *base, struct id_maps *ret,
		struct error *err)
{
	static const struct id_maps none;
	struct str rest = str_of(spec), kind;
	struct id_maps m = { 0 };
	int r = 0;

	base = base ? base : &none;
	while (r == 0 && str_split(&rest, ';', &kind)) {
		if (str_starts(kind, "uids=") && m.n_uids == 0)
			r = parse_ranges(a, str_sub(kind, 5, kind.len), base->uids, base->n_uids,
					 &m.uids, &m.n_uids, err);
		else if (str_starts(kind, "gids=") && m.n_gids == 0)
			r = parse_ranges(a, str_sub(kind, 5, kind.len), base->gids, base->n_gids,
					 &m.gids, &m.n_gids, err);
		else
			r = error_set(err, ERR_INVALID,
				      "mount option 'idmap=%s': use 'me' or "
				      "'uids=FROM-TO-COUNT#...;gids=...'",
				      spec);
	}
	if (r < 0)
		return r;
	if (m.n_uids == 0 && m.n_gids == 0)
		return error_set(err, ERR_INVALID, "mount option 'idmap=': no ids");
	if (m.n_uids == 0) {
		m.uids = m.gids;
		m.n_uids = m.n_gids;
	}
	if (m.n_gids == 0) {
		m.gids = m.uids;
		m.n_gids = m.n_uids;
	}
	*ret = m;
	return 0;
}

int userns_parse(struct arena *a, const char *mode, struct userns_request *ret, struct error *err)
{
	struct str rest = str_of(mode), word;
	struct userns_request q = { 0 };
	struct id_map m;
	uint64_t v;
	int r;

	rest = str_sub(rest, strlen("auto"), rest.len);
	if (rest.len > 0 && rest.at[0] == ':')
		rest = str_sub(rest, 1, rest.len);
	while (rest.len > 0 && str_split(&rest, ',', &word)) {
		if (str_starts(word, "size=")) {
			if (parse_u64(str_sub(word, 5, word.len), 1 << 30, &v, NULL) < 0 || v == 0)
				return error_set(err, ERR_INVALID,
						 "invalid user namespace size in "
						 "'%s'",
						 mode);
			q.size = (uint32_t)v;
			continue;
		}
		if (!str_starts(word, "uidmapping=") && !str_starts(word, "gidmapping="))
			return error_set(err, ERR_INVALID,
					 "unknown option '%.*s' of --userns=auto: use size=, "
					 "uidmapping= or gidmapping=",
					 STR_ARG(word));
		r = triple(str_sub(word, strlen("uidmapping="), word.len), ':', &m, err);
		if (r < 0)
			return r;
		if (word.at[0] == 'u')
			push(a, &q.extra.uids, &q.extra.n_uids, m);
		else
			push(a, &q.extra.gids, &q.extra.n_gids, m);
	}
	*ret = q;
	return 0;
}

bool userns_is_auto(const struct container *c)
{
	const char *mode = json_str(c->host_config, "UsernsMode");

	return mode && (strcmp(mode, "auto") == 0 || cstr_starts(mode, "auto:"));
}

/* ---- ranges ---- */

static int by_start(const void *a, const void *b)
{
	const struct id_range *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

bool idmap_fit(const struct id_range *pool, size_t n_pool, const struct id_range *used,
	       size_t n_used, uint32_t want, uint32_t *ret)
{
	autofree struct id_range *sorted = xcalloc(n_used + 1, sizeof(*sorted));

	memcpy(sorted, used, n_used * sizeof(*sorted));
	qsort(sorted, n_used, sizeof(*sorted), by_start);
	for (size_t i = 0; i < n_pool; i++) {
		uint64_t at = pool[i].at, end = at + pool[i].size;

		for (size_t k = 0; k < n_used; k++) {
			uint64_t used_end = (uint64_t)sorted[k].at + sorted[k].size;

			if (used_end <= at || sorted[k].at >= at + want)
				continue;
			at = used_end;
		}
		if (at + want > end)
			continue;
		*ret = (uint32_t)at;
		return true;
	}
	return false;
}

/* The lines "user:start:count" of /etc/subuid or /etc/subgid. */
static int read_pool(const char *path, const char *user, struct id_range pool[static POOL_MAX],
		     size_t *ret_n, struct error *err)
{
	auto_(buf) b = BUF_INIT(SUBID_FILE_MAX);
	struct str text, line, name, at, count;
	size_t n = 0;

	if (fs_read_file(path, &b, NULL) < 0)
		b.len = 0;
	text = (struct str){ b.data, b.len };
	while (b.len > 0 && n < POOL_MAX && str_split(&text, '\n', &line)) {
		uint64_t v, size;

		if (!str_split(&line, ':', &name) || !str_eqs(name, user) ||
		    !str_split(&line, ':', &at) || !str_split(&line, ':', &count) ||
		    parse_u64(at, UINT32_MAX - 1, &v, NULL) < 0 ||
		    parse_u64(str_trim(count), UINT32_MAX - v, &size, NULL) < 0)
			continue;
		pool[n++] = (struct id_range){ (uint32_t)v, (uint32_t)size };
	}
	*ret_n = n;
	if (n == 0)
		return error_set(
		    err, ERR_INVALID,
		    "--userns=auto: no range of ids: add a line like "
		    "\"%s:100000000:100000000\" to /etc/subuid and /etc/subgid, or name "
		    "another user with the setting userns-auto-user",
		    user);
	return 0;
}

static int allocate(struct container *c, uint32_t size, uint32_t n_uids, uint32_t n_gids,
		    struct error *err)
{
	struct engine *e = c->engine;
	struct id_range uids[POOL_MAX], gids[POOL_MAX];
	VEC(struct id_range) used_uids = { 0 };
	VEC(struct id_range) used_gids = { 0 };
	size_t pool_uids, pool_gids;
	uint32_t uid, gid;
	int r = read_pool("/etc/subuid", e->cfg.userns_auto_user, uids, &pool_uids, err);

	if (r == 0)
		r = read_pool("/etc/subgid", e->cfg.userns_auto_user, gids, &pool_gids, err);
	if (r < 0)
		return r;
	LOCKED(&e->containers_lock);
	map_for_each (entry, &e->containers_by_id) {
		struct container *other = entry->value;

		LOCKED(&other->lock);
		if (other->userns.n_uids)
			*vec_push(&used_uids) =
			    (struct id_range){ other->userns.uid, other->userns.n_uids };
		if (other->userns.n_gids)
			*vec_push(&used_gids) =
			    (struct id_range){ other->userns.gid, other->userns.n_gids };
	}
	if (!idmap_fit(uids, pool_uids, used_uids.at, used_uids.len, n_uids, &uid) ||
	    !idmap_fit(gids, pool_gids, used_gids.at, used_gids.len, n_gids, &gid)) {
		r = error_set(err, ERR_UNAVAILABLE,
			      "--userns=auto: no %u ids are left of the ranges of '%s' in "
			      "/etc/subuid and /etc/subgid",
			      n_uids, e->cfg.userns_auto_user);
	} else {
		LOCKED(&c->lock);
		c->userns = (struct container_userns){ uid, n_uids, gid, n_gids, size };
	}
	vec_release(&used_uids);
	vec_release(&used_gids);
	return r;
}

/* How many of the ids 0 .. size-1 the extra maps do not cover. */
static uint32_t uncovered(const struct id_map *extra, size_t n, uint32_t size)
{
	uint32_t left = size;

	for (size_t i = 0; i < n; i++) {
		uint64_t end = (uint64_t)extra[i].container + extra[i].size;

		if (extra[i].container >= size)
			continue;
		left -= (uint32_t)((end < size ? end : size) - extra[i].container);
	}
	return left;
}

static int by_container(const void *a, const void *b)
{
	const struct id_map *x = a, *y = b;

	return x->container < y->container ? -1 : x->container > y->container;
}

/* The asked-for maps, and between them what the container's range gives. */
static void compose(struct arena *a, struct id_map *extra, size_t n_extra, uint32_t size,
		    uint32_t host, struct id_map **ret, size_t *ret_n)
{
	uint64_t at = 0;

	if (n_extra > 0)
		qsort(extra, n_extra, sizeof(*extra), by_container);
	for (size_t i = 0; i <= n_extra; i++) {
		uint64_t end = i < n_extra && extra[i].container < size ? extra[i].container : size;

		if (end > at) {
			push(a, ret, ret_n,
			     (struct id_map){ (uint32_t)at, host, (uint32_t)(end - at) });
			host += (uint32_t)(end - at);
		}
		if (i == n_extra)
			break;
		push(a, ret, ret_n, extra[i]);
		at = (uint64_t)extra[i].container + extra[i].size;
	}
}

static void compose_all(struct arena *a, struct id_maps *extra, const struct container_userns *mine,
			struct id_maps *ret)
{
	*ret = (struct id_maps){ 0 };
	compose(a, extra->uids, extra->n_uids, mine->size, mine->uid, &ret->uids, &ret->n_uids);
	compose(a, extra->gids, extra->n_gids, mine->size, mine->gid, &ret->gids, &ret->n_gids);
}

int userns_maps(struct container *c, int rootfd, struct arena *a, struct id_maps *ret,
		struct error *err)
{
	struct userns_request q;
	uint32_t size;
	int r = userns_parse(a, json_str(c->host_config, "UsernsMode"), &q, err);

	if (r == 0 && q.size == 0 && c->userns.size == 0)
		r = container_user_count(rootfd, json_str(c->config, "User"), &size, err);
	if (r < 0)
		return r;
	size = q.size ? q.size : c->userns.size ? c->userns.size : size;
	if (c->userns.size == 0) {
		r = allocate(c, size, uncovered(q.extra.uids, q.extra.n_uids, size),
			     uncovered(q.extra.gids, q.extra.n_gids, size), err);
		if (r < 0)
			return r;
		r = container_save_state(c, err);
		if (r < 0)
			return r;
	}
	compose_all(a, &q.extra, &c->userns, ret);
	return 0;
}

int userns_known_maps(struct container *c, struct arena *a, struct id_maps *ret, struct error *err)
{
	struct container_userns mine;
	struct userns_request q;
	int r = userns_parse(a, json_str(c->host_config, "UsernsMode"), &q, err);

	if (r < 0)
		return r;
	{
		LOCKED(&c->lock);
		mine = c->userns;
	}
	compose_all(a, &q.extra, &mine, ret);
	return 0;
}

/* ---- the namespace ---- */

static int maps_text(const struct id_map *m, size_t n, struct buf *b, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++)
		r = buf_addf(b, err, "%u %u %u\n", m[i].container, m[i].host, m[i].size);
	return r;
}

int userns_open(struct container *c, const struct id_maps *maps, int *ret_fd, struct error *err)
{
	auto_(buf) uids = BUF_INIT(MAPS_TEXT_MAX);
	auto_(buf) gids = BUF_INIT(MAPS_TEXT_MAX);
	const char *argv[] = { "proa-runtime", "userns", NULL, NULL, NULL };
	autoclose int ours = FD_NONE, theirs = FD_NONE;
	struct proc_fd fds[] = { { FD_NONE, 3 } };
	struct proc p;
	char text[ERROR_MSG_MAX];
	size_t len, n;
	int pair[2], status, r = maps_text(maps->uids, maps->n_uids, &uids, err);

	if (r == 0)
		r = maps_text(maps->gids, maps->n_gids, &gids, err);
	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return error_sys(err, errno, "socketpair");
	ours = pair[0];
	theirs = pair[1];
	fds[0].parent = theirs;
	argv[2] = uids.data;
	argv[3] = gids.data;
	r = proc_spawn(&(struct proc_spec){ .path = c->engine->cfg.runtime_binary,
					    .argv = argv,
					    .fds = fds,
					    .n_fds = 1,
					    .cwd_fd = FD_NONE },
		       &p, err);
	if (r < 0)
		return r;
	close(steal_fd(&theirs));
	r = fdpass_recv(ours, text, sizeof(text) - 1, &len, ret_fd, 1, &n, err);
	(void)!proc_wait(&p, HELPER_MS, NULL, &status, NULL);
	if (r < 0)
		return r;
	if (n == 1)
		return 0;
	text[len] = '\0';
	return error_set(err, ERR_SYSTEM, "make the user namespace: %s",
			 len ? text : "the helper ended without a word");
}
