/*
 * remote/libcurl.h: libcurl, loaded when the first request needs it.
 *
 * Linked, it brings some thirty libraries and three megabytes into a daemon that
 * may never ask a registry for anything. Include this instead of curl/curl.h;
 * call libcurl_load before anything else of it.
 */
#pragma once

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

#include "base/error.h"

/* ERR_UNAVAILABLE when the library cannot be loaded. From any thread. */
MUST_CHECK int libcurl_load(struct error *err);

#define LIBCURL_EACH(X) \
	X(easy_cleanup) \
	X(easy_escape) \
	X(easy_getinfo) \
	X(easy_init) \
	X(easy_pause) \
	X(easy_reset) \
	X(easy_setopt) \
	X(easy_strerror) \
	X(free) \
	X(global_init) \
	X(multi_add_handle) \
	X(multi_cleanup) \
	X(multi_info_read) \
	X(multi_init) \
	X(multi_perform) \
	X(multi_poll) \
	X(multi_remove_handle) \
	X(multi_setopt) \
	X(slist_append) \
	X(slist_free_all) \
	X(url) \
	X(url_cleanup) \
	X(url_get) \
	X(url_set)

/* curl.h's own macros of these names only count arguments. */
#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt

struct libcurl {
#define LIBCURL_FIELD(name) __typeof__(curl_##name) *name##_;
	LIBCURL_EACH(LIBCURL_FIELD)
#undef LIBCURL_FIELD
};
extern struct libcurl libcurl;

#define curl_easy_cleanup        libcurl.easy_cleanup_
#define curl_easy_escape         libcurl.easy_escape_
#define curl_easy_getinfo        libcurl.easy_getinfo_
#define curl_easy_init           libcurl.easy_init_
#define curl_easy_pause          libcurl.easy_pause_
#define curl_easy_reset          libcurl.easy_reset_
#define curl_easy_setopt         libcurl.easy_setopt_
#define curl_easy_strerror       libcurl.easy_strerror_
#define curl_free                libcurl.free_
#define curl_global_init         libcurl.global_init_
#define curl_multi_add_handle    libcurl.multi_add_handle_
#define curl_multi_cleanup       libcurl.multi_cleanup_
#define curl_multi_info_read     libcurl.multi_info_read_
#define curl_multi_init          libcurl.multi_init_
#define curl_multi_perform       libcurl.multi_perform_
#define curl_multi_poll          libcurl.multi_poll_
#define curl_multi_remove_handle libcurl.multi_remove_handle_
#define curl_multi_setopt        libcurl.multi_setopt_
#define curl_slist_append        libcurl.slist_append_
#define curl_slist_free_all      libcurl.slist_free_all_
#define curl_url                 libcurl.url_
#define curl_url_cleanup         libcurl.url_cleanup_
#define curl_url_get             libcurl.url_get_
#define curl_url_set             libcurl.url_set_
