#include "runtime/mount_option.h"

#include <string.h>
#include <sys/mount.h>

#include "base/macros.h"
#include "base/str.h"

enum effect { SET, CLEAR, ATIME };

static const struct {
	const char *name;
	uint64_t attr;
	enum effect effect;
} attrs[] = {
	{ "ro", MOUNT_ATTR_RDONLY, SET },
	{ "rw", MOUNT_ATTR_RDONLY, CLEAR },
	{ "nosuid", MOUNT_ATTR_NOSUID, SET },
	{ "suid", MOUNT_ATTR_NOSUID, CLEAR },
	{ "nodev", MOUNT_ATTR_NODEV, SET },
	{ "dev", MOUNT_ATTR_NODEV, CLEAR },
	{ "noexec", MOUNT_ATTR_NOEXEC, SET },
	{ "exec", MOUNT_ATTR_NOEXEC, CLEAR },
	{ "nodiratime", MOUNT_ATTR_NODIRATIME, SET },
	{ "diratime", MOUNT_ATTR_NODIRATIME, CLEAR },
	{ "nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, SET },
	{ "symfollow", MOUNT_ATTR_NOSYMFOLLOW, CLEAR },
	{ "relatime", MOUNT_ATTR_RELATIME, ATIME },
	{ "norelatime", MOUNT_ATTR_STRICTATIME, ATIME },
	{ "noatime", MOUNT_ATTR_NOATIME, ATIME },
	{ "atime", MOUNT_ATTR_RELATIME, ATIME },
	{ "strictatime", MOUNT_ATTR_STRICTATIME, ATIME },
	{ "nostrictatime", MOUNT_ATTR_RELATIME, ATIME },
};

static const struct {
	const char *name;
	unsigned long flag;
	bool rec;
} propagations[] = {
	{ "shared", MS_SHARED, false },         { "rshared", MS_SHARED, true },
	{ "slave", MS_SLAVE, false },           { "rslave", MS_SLAVE, true },
	{ "private", MS_PRIVATE, false },       { "rprivate", MS_PRIVATE, true },
	{ "unbindable", MS_UNBINDABLE, false }, { "runbindable", MS_UNBINDABLE, true },
};

/* For the superblock, by the words that the kernel takes; a bind has none. */
static const char *const super_words[] = { "sync", "dirsync", "lazytime", "mand" };
/* Already so, or a message level that the new mount calls do not have. */
static const char *const no_words[] = { "defaults", "async",    "nolazytime", "nomand", "loud",
					"silent",   "iversion", "noiversion", "user",   "nouser",
					"auto",     "noauto",   "acl",        "noacl",  "" };

/* Of a tmpfs. mount(2) gives a bind's to nobody, and configs that rely on it run under the peers.
 */
static bool tmpfs_word(const char *word)
{
	static const char *const keys[] = { "mode=", "size=", "nr_blocks=", "nr_inodes=",
					    "uid=",  "gid=",  "huge=",      "mpol=" };

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (cstr_starts(word, keys[i]))
			return true;
	return false;
}

static bool listed(const char *const *list, size_t n, const char *word)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i], word) == 0)
			return true;
	return false;
}

static void apply(uint64_t *set, uint64_t *clear, uint64_t attr, enum effect effect)
{
	if (effect == ATIME) {
		/* The four are values of one field: the field is cleared, then written. */
		*set = (*set & ~(uint64_t)MOUNT_ATTR__ATIME) | attr;
		*clear |= MOUNT_ATTR__ATIME;
	} else if (effect == SET) {
		*set |= attr;
		*clear &= ~attr;
	} else {
		*set &= ~attr;
		*clear |= attr;
	}
}

static bool parse_attr(const char *word, struct mount_option *o)
{
	for (size_t i = 0; i < ARRAY_LEN(attrs); i++) {
		if (strcmp(word, attrs[i].name) == 0) {
			apply(&o->attr_set, &o->attr_clear, attrs[i].attr, attrs[i].effect);
			return true;
		}
		if (*word == 'r' && strcmp(word + 1, attrs[i].name) == 0) {
			apply(&o->attr_rec_set, &o->attr_rec_clear, attrs[i].attr, attrs[i].effect);
			return true;
		}
	}
	return false;
}

static bool parse_propagation(const char *word, struct mount_option *o)
{
	for (size_t i = 0; i < ARRAY_LEN(propagations); i++)
		if (strcmp(word, propagations[i].name) == 0 &&
		    o->n_propagation < ARRAY_LEN(o->propagation)) {
			o->propagation[o->n_propagation] = propagations[i].flag;
			o->propagation_rec[o->n_propagation++] = propagations[i].rec;
			return true;
		}
	return false;
}

static bool parse_kind(const char *word, struct mount_option *o)
{
	if (strcmp(word, "bind") == 0)
		o->bind = true;
	else if (strcmp(word, "rbind") == 0)
		o->bind = o->rbind = true;
	else if (strcmp(word, "tmpcopyup") == 0)
		o->tmpcopyup = true;
	else if (strcmp(word, "idmap") == 0)
		o->idmap = true;
	else if (strcmp(word, "ridmap") == 0)
		o->idmap = o->idmap_rec = true;
	else
		return false;
	return true;
}

int mount_option_parse(const struct spec_mount *m, struct mount_option *ret, struct error *err)
{
	struct mount_option o = { 0 };

	o.bind = m->type != NULL && strcmp(m->type, "bind") == 0;
	for (size_t i = 0; i < m->options.n; i++) {
		const char *word = m->options.at[i];

		if (parse_kind(word, &o) || parse_attr(word, &o) || parse_propagation(word, &o) ||
		    listed(no_words, ARRAY_LEN(no_words), word))
			continue;
		if (o.n_data == ARRAY_LEN(o.data))
			return error_set(err, ERR_INVALID, "mount '%s': more than %zu options",
					 m->destination, ARRAY_LEN(o.data));
		o.data[o.n_data++] = word;
	}
	for (size_t i = 0; o.bind && i < o.n_data; i++)
		if (!listed(super_words, ARRAY_LEN(super_words), o.data[i]) &&
		    !tmpfs_word(o.data[i]))
			return error_set(err, ERR_INVALID,
					 "mount '%s': unknown option '%.80s' of a bind",
					 m->destination, o.data[i]);
	if (o.bind)
		o.n_data = 0;
	if (m->n_uid_mappings > 0 || m->n_gid_mappings > 0)
		o.idmap = true;
	if (o.idmap && !o.bind)
		return error_set(err, ERR_INVALID, "mount '%s': only a bind can be id-mapped",
				 m->destination);
	*ret = o;
	return 0;
}
