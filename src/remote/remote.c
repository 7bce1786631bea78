#include "remote/remote.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/str.h"
#include "remote/internal.h"

static const char *or_default(const char *s, const char *def)
{
	return s != NULL ? s : def;
}

static const char *environment(const char *low, const char *high)
{
	const char *v = getenv(low);

	return v != NULL ? v : or_default(getenv(high), "");
}

static const char *const *copy_strings(struct arena *a, const char *const *from)
{
	const char **to;
	size_t n = 0;

	while (from != NULL && from[n] != NULL)
		n++;
	to = arena_array(a, n + 1, sizeof(*to));
	for (size_t i = 0; i < n; i++)
		to[i] = arena_strdup(a, from[i]);
	return to;
}

static int copy_mirrors(struct settings *s, const struct remote_config *from, struct error *err)
{
	struct remote_mirror *to = arena_array(&s->arena, from->n_mirrors + 1, sizeof(*to));

	for (size_t i = 0; i < from->n_mirrors; i++) {
		const struct remote_mirror *m = &from->mirrors[i];

		if (cstr_is_empty(m->prefix) || cstr_is_empty(m->location))
			return error_set(err, ERR_INVALID,
					 "registry mirror %zu: prefix or location is empty", i);
		to[i] =
		    (struct remote_mirror){ arena_strdup(&s->arena, m->prefix),
					    arena_strdup(&s->arena, m->location), m->no_fallback };
	}
	s->c.mirrors = to;
	s->c.n_mirrors = from->n_mirrors;
	return 0;
}

static int settings_new(const struct remote_config *from, struct settings **ret, struct error *err)
{
	struct settings *s = new0(struct settings);
	struct arena *a = &s->arena;
	int r;

	s->refs = 1;
	r = copy_mirrors(s, from, err);
	if (r < 0) {
		arena_release(a);
		free(s);
		return r;
	}
	s->c.insecure = copy_strings(a, from->insecure);
	s->c.certs_dir = arena_strdup(a, from->certs_dir);
	s->c.http_proxy =
	    arena_strdup(a, or_default(from->http_proxy, environment("http_proxy", "HTTP_PROXY")));
	s->c.https_proxy = arena_strdup(
	    a, or_default(from->https_proxy, environment("https_proxy", "HTTPS_PROXY")));
	s->c.no_proxy =
	    arena_strdup(a, or_default(from->no_proxy, environment("no_proxy", "NO_PROXY")));
	s->c.user_agent = arena_strdup(a, or_default(from->user_agent, "proa/" PROA_VERSION));
	s->c.connect_timeout_ms = from->connect_timeout_ms ? from->connect_timeout_ms : 10000;
	s->c.stall_timeout_ms = from->stall_timeout_ms ? from->stall_timeout_ms : 30000;
	s->c.retries = from->retries < 0 ? 0 : from->retries ? from->retries : 6;
	*ret = s;
	return 0;
}

/* The lock of the remote is held. */
static void settings_unref(struct settings *s)
{
	if (s == NULL || --s->refs > 0)
		return;
	arena_release(&s->arena);
	free(s);
}

static void token_free(void *p)
{
	struct token *t = p;

	free(t->value);
	free(t);
}

int remote_new(const struct remote_config *config, struct remote **ret, struct error *err)
{
	struct settings *s = NULL;
	struct remote *r;
	int e;

	e = settings_new(config, &s, err);
	if (e < 0)
		return e;
	r = new0(struct remote);
	r->pool.lock = (struct lock)LOCK_INIT;
	r->lock = (struct lock)LOCK_INIT;
	r->schemes.free_value = free;
	r->tokens.free_value = token_free;
	r->settings = s;
	*ret = r;
	return 0;
}

void remote_free(struct remote *r)
{
	if (r == NULL)
		return;
	settings_unref(r->settings);
	map_release(&r->schemes);
	map_release(&r->tokens);
	pool_release(&r->pool);
	free(r);
}

int remote_configure(struct remote *r, const struct remote_config *config, struct error *err)
{
	struct settings *s = NULL;
	int e;

	e = settings_new(config, &s, err);
	if (e < 0)
		return e;
	LOCKED(&r->lock);
	settings_unref(r->settings);
	r->settings = s;
	map_release(&r->schemes);
	return 0;
}

static struct str host_part(const char *host)
{
	struct str s = str_of(host);
	ptrdiff_t close = str_rfind(s, ']'), colon = str_rfind(s, ':');

	if (s.len > 0 && s.at[0] == '[' && close > 0)
		return str_sub(s, 1, (size_t)close - 1);
	return colon >= 0 ? str_sub(s, 0, (size_t)colon) : s;
}

bool host_is_loopback(const char *host)
{
	struct str name = host_part(host);
	autofree char *text = str_dup(name);
	struct in_addr v4;

	if (inet_pton(AF_INET, text, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return str_eqs(name, "localhost") || str_ends(name, ".localhost") || str_eqs(name, "::1");
}

static bool in_cidr(const char *cidr, struct str host)
{
	struct str rest = str_of(cidr), net = { 0 };
	unsigned char a[16], b[16];
	uint64_t bits = 0, have;
	autofree char *net_text = NULL;
	autofree char *host_text = NULL;
	int family;

	if (str_find(rest, '/') < 0 || !str_split(&rest, '/', &net) ||
	    parse_u64(rest, 128, &bits, NULL) < 0)
		return false;
	net_text = str_dup(net);
	host_text = str_dup(host);
	family = str_find(net, ':') >= 0 ? AF_INET6 : AF_INET;
	have = family == AF_INET ? 32 : 128;
	if (inet_pton(family, net_text, a) != 1 || inet_pton(family, host_text, b) != 1 ||
	    bits > have)
		return false;
	for (uint64_t i = 0; i < bits; i++)
		if (((a[i / 8] ^ b[i / 8]) >> (7 - i % 8)) & 1)
			return false;
	return true;
}

bool host_is_insecure(const struct settings *s, const char *host)
{
	if (host_is_loopback(host))
		return true;
	for (const char *const *i = s->c.insecure; *i != NULL; i++) {
		struct str entry = str_of(*i);

		if (str_starts(entry, "http://"))
			entry = str_sub(entry, 7, entry.len);
		if (str_eqs(entry, host) || in_cidr(*i, host_part(host)))
			return true;
	}
	return false;
}

/* Does canonical `name` stand at or below `prefix`? */
static bool below(const char *name, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(name, prefix, n) == 0 && (name[n] == '\0' || name[n] == '/');
}

static void add_endpoint(struct remote_repo *p, const char *location, const char *rest, bool mirror)
{
	struct endpoint *e = vec_push(&p->endpoints);
	size_t host_len;

	e->mirror = mirror;
	if (cstr_starts(location, "http://")) {
		e->scheme = xstrdup("http");
		location += 7;
	} else if (cstr_starts(location, "https://")) {
		e->scheme = xstrdup("https");
		location += 8;
	}
	host_len = strcspn(location, "/");
	e->host = str_dup((struct str){ location, host_len });
	location += host_len;
	while (*location == '/')
		location++;
	while (*rest == '/')
		rest++;
	e->path = cstr_format("%s%s%s", location,
			      *location && *rest && !cstr_ends(location, "/") ? "/" : "", rest);
	if (cstr_ends(e->path, "/"))
		e->path[strlen(e->path) - 1] = '\0';
	e->insecure = host_is_insecure(p->settings, e->host) ||
		      (e->scheme != NULL && strcmp(e->scheme, "http") == 0);
	if (e->scheme == NULL && !e->insecure)
		e->scheme = xstrdup("https");
	if (e->scheme != NULL)
		e->base = cstr_format("%s://%s", e->scheme, e->host);
}

void endpoints_find(struct remote_repo *p, bool pull)
{
	const struct settings *s = p->settings;
	char name[REFERENCE_TEXT_MAX];
	bool origin = true;
	size_t best = 0;

	reference_name(&p->ref, name);
	for (size_t i = 0; pull && i < s->c.n_mirrors; i++)
		if (below(name, s->c.mirrors[i].prefix) && strlen(s->c.mirrors[i].prefix) > best)
			best = strlen(s->c.mirrors[i].prefix);
	for (size_t i = 0; best > 0 && i < s->c.n_mirrors; i++) {
		const struct remote_mirror *m = &s->c.mirrors[i];

		if (strlen(m->prefix) != best || !below(name, m->prefix))
			continue;
		add_endpoint(p, m->location, name + best, true);
		origin &= !m->no_fallback;
	}
	if (!origin) {
		/* The last one is final: its failure is the answer. */
		p->endpoints.at[p->endpoints.len - 1].mirror = false;
		return;
	}
	if (strcmp(p->ref.domain, REFERENCE_DEFAULT_DOMAIN) == 0)
		add_endpoint(p, "registry-1.docker.io", p->ref.path, false);
	else
		add_endpoint(p, p->ref.domain, p->ref.path, false);
}

void endpoint_release(struct endpoint *e)
{
	free(e->host);
	free(e->path);
	free(e->scheme);
	free(e->base);
}

int remote_open(struct remote *r, const struct reference *ref, const struct remote_auth *auth,
		enum remote_action action, const struct cancel *cancel, struct remote_repo **ret,
		struct error *err)
{
	static const char *const actions[] = {
		[REMOTE_PULL] = "pull",
		[REMOTE_PUSH] = "pull,push",
	};
	struct remote_repo *p;

	(void)err;
	p = new0(struct remote_repo);
	p->remote = r;
	p->ref = *ref;
	p->cancel = cancel;
	p->actions = actions[action];
	p->lock = (struct lock)LOCK_INIT;
	if (auth != NULL) {
		p->auth.username = arena_strdup(&p->arena, auth->username);
		p->auth.password = arena_strdup(&p->arena, auth->password);
		p->auth.identity_token = arena_strdup(&p->arena, auth->identity_token);
		p->auth.registry_token = arena_strdup(&p->arena, auth->registry_token);
		p->has_auth = !cstr_is_empty(auth->username) ||
			      !cstr_is_empty(auth->identity_token) ||
			      !cstr_is_empty(auth->registry_token);
	}
	{
		LOCKED(&r->lock);
		p->settings = r->settings;
		p->settings->refs++;
	}
	endpoints_find(p, action == REMOTE_PULL);
	*ret = p;
	return 0;
}

void remote_close(struct remote_repo *p)
{
	if (p == NULL)
		return;
	vec_for_each (e, &p->endpoints)
		endpoint_release(e);
	vec_release(&p->endpoints);
	{
		LOCKED(&p->remote->lock);
		settings_unref(p->settings);
	}
	arena_release(&p->arena);
	free(p);
}

/* The files of <certs_dir>/<host>/: every *.crt, and a *.cert with its *.key. */
static void find_certs(const struct settings *s, struct arena *a, const char *host,
		       struct transport *t)
{
	VEC(const char *) cas = { 0 };
	const struct dirent *f;
	const char **list;
	const char *dir;
	DIR *d;

	if (s->c.certs_dir == NULL || strchr(host, '/') != NULL)
		return;
	dir = arena_format(a, "%s/%s", s->c.certs_dir, host);
	d = opendir(dir);
	if (d == NULL)
		return;
	while ((f = readdir(d)) != NULL) {
		const char *path = arena_format(a, "%s/%s", dir, f->d_name);

		if (cstr_ends(f->d_name, ".crt")) {
			*vec_push(&cas) = path;
		} else if (cstr_ends(f->d_name, ".cert") && t->client_cert == NULL) {
			t->client_cert = path;
			t->client_key = arena_format(a, "%.*s.key", (int)strlen(path) - 5, path);
		}
	}
	closedir(d);
	if (cas.len > 0) {
		list = arena_array(a, cas.len + 1, sizeof(*list));
		memcpy(list, cas.at, cas.len * sizeof(*list));
		t->ca_files = list;
	}
	vec_release(&cas);
}

void transport_fill(const struct settings *s, struct arena *a, const char *url, bool insecure,
		    struct transport *ret)
{
	bool tls = cstr_starts(url, "https://");
	const char *rest = strstr(url, "://");
	const char *host =
	    arena_strndup(a, rest ? rest + 3 : url, strcspn(rest ? rest + 3 : url, "/?#"));

	*ret = (struct transport){ .user_agent = s->c.user_agent,
				   .proxy = tls ? s->c.https_proxy : s->c.http_proxy,
				   .no_proxy = s->c.no_proxy,
				   .insecure_tls = insecure,
				   .connect_timeout_ms = s->c.connect_timeout_ms,
				   .stall_timeout_ms = s->c.stall_timeout_ms };
	if (host_is_loopback(host))
		ret->proxy = "";
	if (tls)
		find_certs(s, a, host, ret);
	/* Certificates given for a host are there to be checked. */
	if (ret->ca_files != NULL)
		ret->insecure_tls = false;
}
