/*
 * engine/mounts.c: what a container has mounted, from the five places where
 * Docker lets one say it. Later ones win: VolumesFrom, Binds, Mounts, then the
 * image's and the command line's anonymous volumes where nothing stands yet.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "base/vec.h"
#include "engine/container_internal.h"
#include "engine/idmap.h"
#include "engine/volume.h"

typedef VEC(struct container_mount) mount_vec;

struct parse {
	struct container *c;
	mount_vec mounts;
	mount_vec made; /* volumes created now, to be dropped again on failure */
};

static int place(struct parse *p, const struct container_mount *m, bool may_replace,
		 struct error *err)
{
	vec_for_each (old, &p->mounts) {
		if (strcmp(old->destination, m->destination) != 0)
			continue;
		if (!may_replace)
			return error_set(err, ERR_INVALID, "Duplicate mount point: %s",
					 m->destination);
		*old = *m;
		return 0;
	}
	*vec_push(&p->mounts) = *m;
	return 0;
}

static const char *clean_destination(struct parse *p, const char *dst, struct error *err)
{
	autofree char *clean = NULL;

	if (cstr_is_empty(dst)) {
		(void)!error_set(err, ERR_INVALID,
				 "invalid mount config: field Target must not be "
				 "empty");
		return NULL;
	}
	if (dst[0] != '/') {
		(void)!error_set(err, ERR_INVALID,
				 "invalid mount path: '%s' mount path must be absolute", dst);
		return NULL;
	}
	clean = fs_path_clean(dst);
	if (strcmp(clean, "/") == 0) {
		(void)!error_set(err, ERR_INVALID,
				 "invalid specification: destination can't be '/'");
		return NULL;
	}
	return arena_strdup(&p->c->arena, clean);
}

static int need_volume(struct parse *p, struct container_mount *m, const struct json *options,
		       const struct json *labels, struct error *err)
{
	const struct volume_wish wish = { .name = m->name,
					  .driver = m->driver,
					  .opts = options,
					  .labels = labels,
					  .claimant = p->c->id };
	char name[VOLUME_NAME_MAX];
	bool created = false;
	int r;

	m->anonymous = cstr_is_empty(m->name);
	r = volume_need(p->c->engine, &wish, name, &created, err);
	if (r < 0)
		return r;
	m->name = arena_strdup(&p->c->arena, name);
	m->driver = "local";
	m->type = "volume";
	if (created)
		*vec_push(&p->made) = *m;
	return 0;
}

/* ---- Binds ---- */

static const char *const propagations[] = { "shared", "rshared", "slave",
					    "rslave", "private", "rprivate" };

static const char *propagation_of(struct str word)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(propagations); i++)
		if (str_eqs(word, propagations[i]))
			return propagations[i];
	return NULL;
}

static int check_idmap(const struct container *c, const char *idmap, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	struct id_maps maps;

	if (idmap[0] == '\0' && !userns_is_auto(c))
		return error_set(
		    err, ERR_INVALID,
		    "mount option 'idmap' without ids needs --userns=auto: use idmap=me "
		    "or idmap=uids=...");
	if (idmap[0] == '\0' || strcmp(idmap, "me") == 0)
		return 0;
	return idmap_parse(&a, idmap, NULL, &maps, err);
}

static int bind_mode(struct arena *a, struct container_mount *m, const char *mode, const char *raw,
		     struct error *err)
{
	struct str rest = str_of(mode), w;

	while (mode[0] && str_split(&rest, ',', &w)) {
		if (str_eqs(w, "ro") || str_eqs(w, "readonly"))
			m->rw = false;
		else if (str_eqs(w, "nocopy"))
			m->no_copy = true;
		else if (propagation_of(w))
			m->propagation = propagation_of(w);
		else if (str_eqs(w, "idmap"))
			m->idmap = "";
		else if (str_starts(w, "idmap=") && w.len > 6)
			m->idmap = arena_strndup(a, w.at + 6, w.len - 6);
		else if (!str_eqs(w, "rw") && !str_eqs(w, "z") && !str_eqs(w, "Z") &&
			 !str_eqs(w, "copy") && !str_eqs(w, "consistent") &&
			 !str_eqs(w, "cached") && !str_eqs(w, "delegated"))
			return error_set(err, ERR_INVALID,
					 "invalid volume specification: '%s': invalid mode: %s",
					 raw, mode);
	}
	return 0;
}

static int parse_bind(struct parse *p, const char *raw, struct error *err)
{
	struct arena *a = &p->c->arena;
	struct container_mount m = { .rw = true, .propagation = "", .mode = "" };
	struct str rest = str_of(raw), part[3] = { { 0 } };
	const char *source;
	size_t n = 0;
	int r;

	while (n < 3 && str_split(&rest, ':', &part[n]))
		n++;
	if (n < 2 || part[0].len == 0 || (rest.at && rest.len > 0))
		return error_set(err, ERR_INVALID, "invalid volume specification: '%s'", raw);
	source = arena_strndup(a, part[0].at, part[0].len);
	m.destination = clean_destination(p, arena_strndup(a, part[1].at, part[1].len), err);
	if (m.destination == NULL)
		return -(int)ERR_INVALID;
	if (n == 3)
		m.mode = arena_strndup(a, part[2].at, part[2].len);
	r = bind_mode(a, &m, m.mode, raw, err);
	if (r == 0 && m.idmap)
		r = check_idmap(p->c, m.idmap, err);
	if (r < 0)
		return r;
	if (source[0] == '/') {
		autofree char *clean = fs_path_clean(source);

		m.type = "bind";
		m.source = arena_strdup(a, clean);
		if (m.propagation[0] == '\0')
			m.propagation = "rprivate";
		/* What dockerd does for -v: a directory appears. */
		r = fs_mkdir_all(m.source, 0755, NULL);
		if (r < 0) {
			struct stat st;

			if (stat(m.source, &st) < 0)
				return error_set(err, ERR_INVALID,
						 "error while creating mount source path '%s'",
						 m.source);
		}
	} else {
		m.name = source;
		m.driver = json_str(p->c->host_config, "VolumeDriver");
		if (m.mode[0] == '\0')
			m.mode = "z";
		r = need_volume(p, &m, NULL, NULL, err);
		if (r < 0)
			return r;
	}
	return place(p, &m, false, err);
}

/* ---- Mounts ---- */

static int spec_bind(struct parse *p, const struct json *j, struct container_mount *m,
		     struct error *err)
{
	const struct json *o = json_get_nocase(j, "BindOptions");
	const char *propagation = json_str(o, "Propagation");
	const char *source = json_str(j, "Source");
	struct stat st;

	if (cstr_is_empty(source))
		return error_set(err, ERR_INVALID,
				 "invalid mount config for type \"bind\": field Source must not be "
				 "empty");
	if (source[0] != '/')
		return error_set(err, ERR_INVALID,
				 "invalid mount config for type \"bind\": invalid mount path: '%s' "
				 "mount path must be absolute",
				 source);
	if (json_get(j, "VolumeOptions"))
		return error_set(err, ERR_INVALID,
				 "invalid mount config for type \"bind\": field VolumeOptions must "
				 "not be specified");
	m->source = arena_strdup(&p->c->arena, source);
	m->propagation = "rprivate";
	if (!cstr_is_empty(propagation)) {
		m->propagation = propagation_of(str_of(propagation));
		if (m->propagation == NULL)
			return error_set(
			    err, ERR_INVALID,
			    "invalid mount config for type \"bind\": invalid propagation "
			    "mode: %s",
			    propagation);
	}
	m->non_recursive = json_bool(o, "NonRecursive", false);
	if (json_bool(o, "CreateMountpoint", false))
		return fs_mkdir_all(source, 0755, err);
	if (stat(source, &st) < 0)
		return error_set(
		    err, ERR_INVALID,
		    "invalid mount config for type \"bind\": bind source path does not "
		    "exist: %s",
		    source);
	return 0;
}

static int spec_volume(struct parse *p, const struct json *j, struct container_mount *m,
		       struct error *err)
{
	const struct json *o = json_get_nocase(j, "VolumeOptions");
	const struct json *driver = json_get(o, "DriverConfig");

	if (!cstr_is_empty(json_str(j, "Source")))
		m->name = arena_strdup(&p->c->arena, json_str(j, "Source"));
	m->driver = json_str(driver, "Name");
	m->no_copy = json_bool(o, "NoCopy", false);
	if (!cstr_is_empty(json_str(o, "Subpath")))
		m->subpath = arena_strdup(&p->c->arena, json_str(o, "Subpath"));
	m->mode = "z";
	return need_volume(p, m, json_get(driver, "Options"), json_get(o, "Labels"), err);
}

static int spec_tmpfs(struct parse *p, const struct json *j, struct container_mount *m,
		      struct error *err)
{
	const struct json *o = json_get_nocase(j, "TmpfsOptions");
	int64_t size = json_int(o, "SizeBytes", 0), mode = json_int(o, "Mode", 0);
	struct arena *a = &p->c->arena;
	const char **list = arena_array(a, 8, sizeof(*list));
	size_t n = 0;

	if (!cstr_is_empty(json_str(j, "Source")))
		return error_set(
		    err, ERR_INVALID,
		    "invalid mount config for type \"tmpfs\": field Source must not be "
		    "specified");
	list[n++] = "noexec";
	list[n++] = "nosuid";
	list[n++] = "nodev";
	list[n++] = m->rw ? "rw" : "ro";
	if (size > 0)
		list[n++] = arena_format(a, "size=%lld", (long long)size);
	list[n++] = mode ? arena_format(a, "mode=%llo", (unsigned long long)mode) : "mode=1777";
	m->options = list;
	m->source = "";
	return 0;
}

static int check_subpath(const char *subpath, struct error *err)
{
	struct str rest = str_of(subpath), word;

	if (subpath && subpath[0] == '/')
		return error_set(err, ERR_INVALID, "subpath must be a relative path");
	while (rest.len > 0 && str_split(&rest, '/', &word))
		if (str_eqs(word, ".."))
			return error_set(err, ERR_INVALID, "subpath must not leave its image: '%s'",
					 subpath);
	return 0;
}

static int parse_mount(struct parse *p, const struct json *j, struct error *err)
{
	struct container_mount m = { .propagation = "", .mode = "" };
	const char *type = json_str(j, "Type");
	int r;

	m.rw = !json_bool(j, "ReadOnly", false);
	m.destination = clean_destination(p, json_str(j, "Target"), err);
	if (m.destination == NULL)
		return -(int)ERR_INVALID;
	if (type == NULL)
		type = "";
	m.type = arena_strdup(&p->c->arena, type);
	if (strcmp(type, "bind") == 0) {
		r = spec_bind(p, j, &m, err);
	} else if (strcmp(type, "volume") == 0) {
		r = spec_volume(p, j, &m, err);
	} else if (strcmp(type, "tmpfs") == 0) {
		r = spec_tmpfs(p, j, &m, err);
	} else if (strcmp(type, "image") == 0 && !cstr_is_empty(json_str(j, "Source"))) {
		m.source = arena_strdup(&p->c->arena, json_str(j, "Source"));
		m.subpath = arena_strdup(&p->c->arena,
					 json_str(json_get_nocase(j, "ImageOptions"), "Subpath"));
		m.rw = false;
		r = check_subpath(m.subpath, err);
	} else {
		r = error_set(err, ERR_INVALID,
			      "invalid mount config for type \"%s\": mount type "
			      "unknown: \"%s\"",
			      type, type);
	}
	return r < 0 ? r : place(p, &m, false, err);
}

/* ---- VolumesFrom, image volumes ---- */

static int parse_from(struct parse *p, const char *raw, struct error *err)
{
	struct arena *a = &p->c->arena;
	struct str rest = str_of(raw), ref;
	autoptr(container) from = NULL;
	bool rw = true;
	size_t i;
	int r;

	if (!str_split(&rest, ':', &ref) || ref.len == 0)
		return error_set(err, ERR_INVALID, "invalid volumes-from specification: %s", raw);
	if (rest.at && rest.len > 0) {
		if (str_eqs(rest, "ro"))
			rw = false;
		else if (!str_eqs(rest, "rw") && !str_eqs(rest, "z") && !str_eqs(rest, "Z"))
			return error_set(err, ERR_INVALID, "invalid mode: %.*s", STR_ARG(rest));
	}
	/* Not as "not found": clients would think that of the image, and pull it. */
	if (container_find(p->c->engine, arena_strndup(a, ref.at, ref.len), &from, NULL) < 0)
		return error_set(err, ERR_INVALID, "No such container: %.*s", STR_ARG(ref));
	for (i = 0; i < from->n_mounts; i++) {
		const struct container_mount *f = &from->mounts[i];
		struct container_mount m = { .rw = f->rw && rw, .no_copy = f->no_copy };

		if (strcmp(f->type, "bind") != 0 && strcmp(f->type, "volume") != 0)
			continue;
		m.type = arena_strdup(a, f->type);
		m.name = arena_strdup(a, f->name);
		m.source = arena_strdup(a, f->source);
		m.destination = arena_strdup(a, f->destination);
		m.driver = arena_strdup(a, f->driver);
		m.mode = arena_strdup(a, f->mode);
		m.propagation = arena_strdup(a, f->propagation);
		m.subpath = arena_strdup(a, f->subpath);
		m.idmap = arena_strdup(a, f->idmap);
		r = place(p, &m, true, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int parse_anonymous(struct parse *p, const char *destination, struct error *err)
{
	struct container_mount m = { .rw = true, .propagation = "", .mode = "" };
	int r;

	m.destination = clean_destination(p, destination, err);
	if (m.destination == NULL)
		return -(int)ERR_INVALID;
	vec_for_each (old, &p->mounts)
		if (strcmp(old->destination, m.destination) == 0)
			return 0;
	r = need_volume(p, &m, NULL, NULL, err);
	return r < 0 ? r : place(p, &m, false, err);
}

static int depth_order(const void *a, const void *b)
{
	const struct container_mount *x = a, *y = b;

	return strcmp(x->destination, y->destination);
}

static int parse_all(struct parse *p, struct error *err)
{
	const struct json *hc = p->c->host_config;
	mount_vec direct = { 0 };
	int r = 0;

	json_for_each_item (v, json_get(hc, "VolumesFrom"))
		if (r == 0)
			r = parse_from(p, v->type == JSON_STRING ? v->s : "", err);
	/* What comes by VolumesFrom may be replaced; the rest may not collide. */
	direct = p->mounts;
	p->mounts = (mount_vec){ 0 };
	json_for_each_item (v, json_get(hc, "Binds"))
		if (r == 0)
			r = parse_bind(p, v->type == JSON_STRING ? v->s : "", err);
	json_for_each_item (v, json_get(hc, "Mounts"))
		if (r == 0)
			r = parse_mount(p, v, err);
	json_for_each_member (m, json_get(hc, "Tmpfs"))
		if (r == 0 && clean_destination(p, m->key, err) == NULL)
			r = -err->kind;
	json_for_each_member (m, json_get(hc, "Tmpfs"))
		vec_for_each (old, &p->mounts)
			if (r == 0 && strcmp(old->destination, m->key) == 0)
				r = error_set(err, ERR_INVALID, "Duplicate mount point: %s",
					      m->key);
	vec_for_each (old, &direct) {
		bool replaced = false;

		vec_for_each (m, &p->mounts)
			replaced = replaced || strcmp(m->destination, old->destination) == 0;
		if (!replaced)
			*vec_push(&p->mounts) = *old;
	}
	vec_release(&direct);
	json_for_each_member (m, json_get(p->c->config, "Volumes"))
		if (r == 0 && json_get(json_get(hc, "Tmpfs"), m->key) == NULL)
			r = parse_anonymous(p, m->key, err);
	return r;
}

int mounts_parse(struct container *c, struct error *err)
{
	struct parse p = { .c = c };
	int r = parse_all(&p, err);

	if (r < 0) {
		volume_unclaim(c->engine, c->id);
		vec_for_each (m, &p.made)
			volume_drop_anonymous(c->engine, m->name);
	}
	if (r == 0) {
		c->n_mounts = p.mounts.len;
		c->mounts = arena_array(&c->arena, p.mounts.len + 1, sizeof(*c->mounts));
		if (p.mounts.len > 0)
			memcpy(c->mounts, p.mounts.at, p.mounts.len * sizeof(*c->mounts));
		qsort(c->mounts, c->n_mounts, sizeof(*c->mounts), depth_order);
	}
	vec_release(&p.mounts);
	vec_release(&p.made);
	return r;
}

void mounts_write(const struct container *c, struct jsonw *w)
{
	size_t i;

	jsonw_karray(w, "Mounts");
	for (i = 0; i < c->n_mounts; i++) {
		const struct container_mount *m = &c->mounts[i];
		autofree char *path = NULL;

		jsonw_object(w);
		jsonw_kstring(w, "Type", m->type);
		if (m->name) {
			jsonw_kstring(w, "Name", m->name);
			(void)!volume_path(c->engine, m->name, &path, NULL);
		}
		jsonw_kstring(w, "Source", path ? path : m->source ? m->source : "");
		jsonw_kstring(w, "Destination", m->destination);
		if (m->driver)
			jsonw_kstring(w, "Driver", m->driver);
		jsonw_kstring(w, "Mode", m->mode ? m->mode : "");
		jsonw_kbool(w, "RW", m->rw);
		jsonw_kstring(w, "Propagation", m->propagation ? m->propagation : "");
		jsonw_end(w);
	}
	jsonw_end(w);
}
