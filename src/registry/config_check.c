/* registry/config_check.c: is what the configuration names there, and of use? */
#include "registry/config.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "http/tls.h"
#include "oci/reference.h"
#include "registry/auth.h"
#include "registry/name.h"

int config_address_parse(const char *text, struct config_address *ret, struct error *err)
{
	struct config_address at = { 0 };
	struct str s = str_of(text), host;
	ptrdiff_t colon = str_rfind(s, ':');
	uint64_t port;

	if (str_starts(s, "unix://")) {
		at.socket = text + strlen("unix://");
		if (*at.socket != '/')
			return error_set(err, ERR_INVALID, "'%s': want unix:///path", text);
		*ret = at;
		return 0;
	}
	host = colon < 0 ? s : str_sub(s, 0, (size_t)colon);
	if (colon < 0 || host.len >= sizeof(at.host) ||
	    parse_u64(str_sub(s, (size_t)colon + 1, s.len), UINT16_MAX, &port, NULL) < 0)
		return error_set(err, ERR_INVALID, "'%s': want host:port or unix:///path", text);
	if (host.len > 2 && host.at[0] == '[' && host.at[host.len - 1] == ']')
		host = str_sub(host, 1, host.len - 2);
	else if (str_find(host, ':') >= 0)
		return error_set(err, ERR_INVALID, "'%s': want an IPv6 address in brackets", text);
	snprintf(at.host, sizeof(at.host), "%.*s", STR_ARG(host));
	at.port = (uint16_t)port;
	*ret = at;
	return 0;
}

static int check_url(const char *url, struct error *err)
{
	struct str rest = str_of(url);

	if (url == NULL)
		return 0;
	if (str_starts(rest, "https://"))
		rest = str_sub(rest, strlen("https://"), rest.len);
	else if (str_starts(rest, "http://"))
		rest = str_sub(rest, strlen("http://"), rest.len);
	else
		rest.len = 0;
	if (rest.len == 0 || strpbrk(url, "\"\\ \t\r\n?#") != NULL || rest.at[rest.len - 1] == '/')
		return error_set(err, ERR_INVALID,
				 "externalUrl: '%s': want https://host without a slash at its end",
				 url);
	return 0;
}

static int check_mirror(const struct config_mirror *m, size_t i, struct error *err)
{
	char text[NAME_REPO_MAX + 64];
	struct reference ref;
	int r;

	if (*m->prefix != '\0' && !name_is_repo(m->prefix))
		return error_set(err, ERR_INVALID,
				 "mirrors[%zu].prefix: '%s' is no repository name", i, m->prefix);
	snprintf(text, sizeof(text), "%.255s/library/a:b", m->upstream);
	r = strpbrk(m->upstream, "/@ ") != NULL || reference_parse(text, &ref, NULL) < 0 ? -1 : 0;
	if (r < 0)
		return error_set(err, ERR_INVALID,
				 "mirrors[%zu].upstream: '%s': want a registry's host[:port]", i,
				 m->upstream);
	if ((m->username == NULL) != (m->password == NULL))
		return error_set(err, ERR_INVALID,
				 "mirrors[%zu]: 'username' and 'password' go together", i);
	return 0;
}

static int check_tls(const struct registry_config *c, struct error *err)
{
	struct http_tls_config t = { c->tls_cert, c->tls_key, c->tls_client_ca,
				     c->tls_client_ca != NULL };
	struct http_tls *tls;
	int r;

	if (c->tls_cert == NULL)
		return c->tls_client_ca == NULL
			   ? 0
			   : error_set(err, ERR_INVALID,
				       "tls: 'clientCA' wants 'certificate' and 'key'");
	r = http_tls_new(&t, &tls, err);
	if (r < 0)
		return error_wrap(err, r, "tls");
	http_tls_unref(tls);
	return 0;
}

int registry_config_check(const struct registry_config *c, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->n_listen; i++) {
		struct config_address at;

		r = config_address_parse(c->listen[i], &at, err);
		if (r < 0)
			return error_wrap(err, r, "listen[%zu]", i);
	}
	if (r == 0)
		r = check_url(c->external_url, err);
	for (size_t i = 0; r == 0 && i < c->n_mirrors; i++)
		r = check_mirror(&c->mirrors[i], i, err);
	if (r == 0)
		r = check_tls(c, err);
	return r < 0 ? r : auth_check(c->auth, err);
}
