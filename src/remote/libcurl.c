#include "remote/libcurl.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>

#define SONAME "libcurl.so.4" /* since 2006; what the headers were made for */

struct libcurl libcurl;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const char *failed; /* why it is not there; NULL: it is */

static const struct {
	const char *name;
	size_t offset;
} functions[] = {
#define LIBCURL_ROW(name) { "curl_" #name, offsetof(struct libcurl, name##_) },
	LIBCURL_EACH(LIBCURL_ROW)
#undef LIBCURL_ROW
};

static void load(void)
{
	void *lib = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);

	if (lib == NULL) {
		failed = "cannot be loaded";
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
		void *at = dlsym(lib, functions[i].name);

		if (at == NULL) {
			failed = "lacks a function";
			return;
		}
		memcpy((char *)&libcurl + functions[i].offset, &at, sizeof(at));
	}
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		failed = "does not start";
}

int libcurl_load(struct error *err)
{
	pthread_once(&once, load);
	return failed == NULL
		   ? 0
		   : error_set(err, ERR_UNAVAILABLE, "the library " SONAME " %s", failed);
}
