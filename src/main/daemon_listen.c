#include <grp.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "main/daemon.h"

#define DEFAULT_HOST "unix:///run/proa/proa.sock"

static gid_t socket_group(const struct settings *s)
{
	const char *name = settings_str(s, "group");
	struct group entry, *found = NULL;
	char room[16 * 1024];
	uint64_t gid;

	if (cstr_is_empty(name))
		return (gid_t)-1;
	if (getgrnam_r(name, &entry, room, sizeof(room), &found) == 0 && found)
		return found->gr_gid;
	if (parse_u64(str_of(name), UINT32_MAX - 1, &gid, NULL) == 0)
		return (gid_t)gid;
	/* As dockerd: a missing group leaves the socket to root. */
	if (settings_given(s, "group"))
		log_warn("no such group: only root may use the socket", KV("group", name));
	return (gid_t)-1;
}

static int listen_unix(const struct settings *s, struct http_server *server, const char *path,
		       struct error *err)
{
	char dir[PATH_MAX];
	const char *slash = strrchr(path, '/');
	int r;

	if (path[0] != '/' || strlen(path) >= sizeof(dir))
		return error_set(err, ERR_INVALID, "'%s' is not an absolute path", path);
	memcpy(dir, path, (size_t)(slash - path));
	dir[slash - path] = 0;
	if (dir[0]) {
		r = fs_mkdir_all(dir, 0711, err);
		if (r < 0)
			return r;
	}
	return http_server_listen_unix(server, path, 0660, socket_group(s), err);
}

static int make_tls(const struct settings *s, struct http_tls **ret, struct error *err)
{
	bool verify = settings_bool(s, "tlsverify", false);
	struct http_tls_config config = {
		.cert_path = settings_str(s, "tlscert"),
		.key_path = settings_str(s, "tlskey"),
		.ca_path = settings_str(s, "tlscacert"),
		.verify_client = verify,
	};

	*ret = NULL;
	if (!verify && !settings_bool(s, "tls", false))
		return 0;
	if (config.cert_path == NULL || config.key_path == NULL || (verify && !config.ca_path))
		return error_set(
		    err, ERR_INVALID,
		    "TLS needs --tlscert and --tlskey, and --tlsverify needs --tlscacert");
	return http_tls_new(&config, ret, err);
}

/* "host:port", ":port", "[::1]:port", "host". */
static int listen_tcp(struct http_server *server, const char *address, struct http_tls *tls,
		      struct error *err)
{
	struct str s = str_of(address), port = STR_LIT("");
	ptrdiff_t colon = str_rfind(s, ':'), bracket = str_rfind(s, ']');
	autofree char *host = NULL;
	uint64_t number = tls ? 2376 : 2375;

	if (colon > bracket) {
		port = str_sub(s, (size_t)colon + 1, s.len);
		s.len = (size_t)colon;
	}
	if (port.len > 0 && parse_u64(port, 65535, &number, NULL) < 0)
		return error_set(err, ERR_INVALID, "unable to parse docker host `tcp://%s`",
				 address);
	if (s.len >= 2 && s.at[0] == '[' && s.at[s.len - 1] == ']')
		s = str_sub(s, 1, s.len - 2);
	/* As dockerd: tcp:// alone is this machine only, tcp://:2375 is everybody. */
	host = s.len == 0 && address[0] == 0 ? cstr_format("localhost") : str_dup(s);
	if (tls == NULL)
		log_warn("the API is served without TLS: whoever reaches it is root here",
			 KV("host", address));
	return http_server_listen_tcp(server, host, (uint16_t)number, tls, NULL, err);
}

static int listen_systemd(struct http_server *server, struct http_tls *tls, struct error *err)
{
	int n = systemd_take_sockets();

	if (n == 0)
		return error_set(
		    err, ERR_INVALID,
		    "no sockets found via socket activation: make sure the service was "
		    "started by systemd");
	for (int fd = 3; fd < 3 + n; fd++) {
		int r = http_server_listen_fd(server, fd, tls, err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int listen_one(const struct settings *s, struct http_server *server, const char *host,
		      struct http_tls *tls, struct error *err)
{
	if (cstr_starts(host, "unix://"))
		return listen_unix(s, server, host + 7, err);
	if (cstr_starts(host, "tcp://"))
		return listen_tcp(server, host + 6, tls, err);
	if (cstr_starts(host, "fd://"))
		return listen_systemd(server, NULL, err);
	if (strstr(host, "://") == NULL && strchr(host, ':'))
		return listen_tcp(server, host, tls, err);
	return error_set(err, ERR_INVALID, "unable to parse docker host `%s`", host);
}

int daemon_listen(struct settings *s, struct http_server *server, struct error *err)
{
	static const char *const default_hosts[] = { DEFAULT_HOST, NULL };
	const char *const *hosts = settings_list(s, "host");
	struct http_tls *tls;
	int r;

	r = make_tls(s, &tls, err);
	if (r < 0)
		return r;
	for (const char *const *h = hosts ? hosts : default_hosts; *h && r == 0; h++) {
		r = listen_one(s, server, *h, tls, err);
		if (r < 0)
			r = error_wrap(err, r, "host %s", *h);
		else
			log_info("API listens", KV("host", *h));
	}
	http_tls_unref(tls);
	return r;
}
