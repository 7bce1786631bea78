#include "registry/mirror.h"

int mirror_new(const struct config_mirror *mirrors, size_t n, struct mirror **ret,
	       struct error *err)
{
	(void)mirrors;
	(void)n;
	(void)ret;
	return error_set(err, ERR_UNIMPLEMENTED, "mirrors are not supported yet");
}

void mirror_free(struct mirror *m)
{
	(void)m;
}

bool mirror_covers(const struct mirror *m, const char *repo)
{
	(void)m;
	(void)repo;
	return false;
}

int mirror_manifest(struct mirror *m, struct repo_store *s, struct uploads *u, const char *repo,
		    const char *reference, const struct cancel *cancel, struct error *err)
{
	(void)m;
	(void)s;
	(void)u;
	(void)repo;
	(void)reference;
	(void)cancel;
	return error_set(err, ERR_UNIMPLEMENTED, "mirrors are not supported yet");
}
