/*
 * runtime/userns.c: `proa-runtime userns UID_MAP GID_MAP`: make a user namespace
 * and hand it to fd 3, for mounts that are id-mapped before a container exists.
 */
#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "base/fdpass.h"
#include "base/str.h"
#include "runtime/namespace.h"
#include "runtime/runtime.h"

#define MAPS_MAX 340 /* the kernel's */
#define SOCKET   3

/* Lines "inside outside count", as the kernel's map files have them. */
static int read_maps(const char *text, struct spec_id_mapping *out, size_t *ret_n,
		     struct error *err)
{
	struct str rest = str_of(text), line, word;
	size_t n = 0;

	while (rest.len > 0 && str_split(&rest, '\n', &line)) {
		uint64_t v[3];
		size_t k = 0;

		while (k < 3 && str_split(&line, ' ', &word) &&
		       parse_u64(word, UINT32_MAX, &v[k], NULL) == 0)
			k++;
		if (k < 3 || n == MAPS_MAX)
			return error_set(err, ERR_INVALID, "bad id map");
		out[n].container_id = (uint32_t)v[0];
		out[n].host_id = (uint32_t)v[1];
		out[n++].size = (uint32_t)v[2];
	}
	*ret_n = n;
	return 0;
}

int runtime_userns_main(int argc, char **argv)
{
	static struct spec_id_mapping uids[MAPS_MAX], gids[MAPS_MAX];
	autoclose int fd = FD_NONE;
	struct error err = { 0 };
	size_t n_uids, n_gids;
	int r;

	if (argc != 3) {
		fprintf(stderr, "usage: proa-runtime userns UID_MAP GID_MAP\n");
		return 1;
	}
	r = read_maps(argv[1], uids, &n_uids, &err);
	if (r == 0)
		r = read_maps(argv[2], gids, &n_gids, &err);
	if (r == 0)
		r = namespaces_make_user(uids, n_uids, gids, n_gids, &fd, &err);
	if (r == 0)
		return fdpass_send(SOCKET, "ok", 2, &fd, 1, NULL) < 0;
	(void)!fdpass_send(SOCKET, err.msg, strlen(err.msg), NULL, 0, NULL);
	return 1;
}
