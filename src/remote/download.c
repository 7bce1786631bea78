#include "remote/download.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/str.h"
#include "remote/transfer.h"

#define REDIRECTS_MAX 10
#define CHUNK         65536

static const char *env_or(const char *upper, const char *lower)
{
	const char *value = getenv(lower);

	if (value == NULL)
		value = getenv(upper);
	return value ? value : "";
}

static struct transport transport_for(const char *url)
{
	bool tls = cstr_starts(url, "https:");

	return (struct transport){
		.user_agent = "proa/" PROA_VERSION,
		.proxy =
		    tls ? env_or("HTTPS_PROXY", "https_proxy") : env_or("HTTP_PROXY", "http_proxy"),
		.no_proxy = env_or("NO_PROXY", "no_proxy"),
		.connect_timeout_ms = 10000,
		.stall_timeout_ms = 30000,
	};
}

static char *name_of(const char *url, const char *disposition)
{
	const char *p = disposition ? strstr(disposition, "filename=") : NULL, *end;

	if (p != NULL) {
		p += strlen("filename=");
		p += *p == '"';
		end = p + strcspn(p, "\";");
	} else {
		p = strstr(url, "://") + 3;
		end = p + strcspn(p, "?#");
		for (const char *s = p; s < end; s++) {
			if (*s == '/')
				p = s + 1;
		}
		if (p == strstr(url, "://") + 3)
			p = end;
	}
	/* A name is one component, whoever chose it. */
	for (const char *s = p; s < end; s++) {
		if (*s == '/')
			p = s + 1;
	}
	if ((end - p == 1 && *p == '.') || (end - p == 2 && p[0] == '.' && p[1] == '.'))
		p = end;
	return str_dup((struct str){ p, (size_t)(end - p) });
}

static int copy_body(struct transfer *t, const char *url, uint64_t max_bytes, struct writer *to,
		     struct error *err)
{
	autofree char *chunk = xcalloc(1, CHUNK);
	uint64_t total = 0;
	size_t n;
	int r;

	for (;;) {
		r = transfer_read(t, chunk, CHUNK, &n, err);
		if (r < 0 || n == 0)
			return r;
		total += n;
		if (total > max_bytes)
			return error_set(err, ERR_INVALID, "%s is larger than %llu bytes", url,
					 (unsigned long long)max_bytes);
		r = writer_write(to, chunk, n, err);
		if (r < 0)
			return r;
	}
}

static int take_answer(struct transfer *t, const char *url, uint64_t max_bytes, struct writer *to,
		       char **ret_name, char **ret_next, struct error *err)
{
	const char *location = transfer_header(t, "location");
	unsigned status = transfer_status(t);

	if (status >= 300 && status < 400 && location != NULL) {
		*ret_next = url_resolve(url, location);
		return *ret_next ? 0 : error_set(err, ERR_INVALID, "bad redirect from %s", url);
	}
	if (status != 200)
		return error_set(err, status == 404 ? ERR_NOT_FOUND : ERR_UNAVAILABLE,
				 "invalid response status %u of %s", status, url);
	*ret_name = name_of(url, transfer_header(t, "content-disposition"));
	return copy_body(t, url, max_bytes, to, err);
}

int remote_download(const char *url, uint64_t max_bytes, const struct cancel *cancel,
		    struct writer *to, char **ret_name, struct error *err)
{
	struct pool pool = { .lock = LOCK_INIT };
	autofree char *at = xstrdup(url), *name = NULL;
	int r = 0;

	for (int i = 0; i <= REDIRECTS_MAX && name == NULL && r == 0; i++) {
		const struct request q = { .method = "GET", .url = at, .accept = "*/*" };
		const struct transport transport = transport_for(at);
		enum transfer_failure why;
		struct transfer *t = NULL;
		char *next = NULL;

		if (!cstr_starts(at, "http://") && !cstr_starts(at, "https://")) {
			r = error_set(err, ERR_INVALID, "not an http or https URL: %s", at);
			break;
		}
		r = transfer_begin(&pool, &transport, &q, cancel, &t, &why, err);
		if (r < 0)
			break;
		r = take_answer(t, at, max_bytes, to, &name, &next, err);
		transfer_end(t);
		if (next != NULL) {
			free(at);
			at = next;
		}
	}
	pool_release(&pool);
	if (r == 0 && name == NULL)
		r = error_set(err, ERR_UNAVAILABLE, "too many redirects from %s", url);
	if (r == 0)
		*ret_name = steal_ptr(name);
	return r;
}
