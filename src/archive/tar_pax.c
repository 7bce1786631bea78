/* archive/tar_pax.c: PAX records and the four ways to say that a file is sparse. */
#include <string.h>

#include "archive/tar_format.h"
#include "archive/tar_impl.h"

static int bad(const char *what, struct error *err)
{
	return error_set(err, ERR_CORRUPT, "tar: bad PAX header (%s)", what);
}

/* "LEN KEY=VALUE\n", LEN counting the whole record. */
int tar_pax_parse(struct tar_reader *t, char *text, size_t len, struct error *err)
{
	while (len > 0) {
		struct str rest = { text, len };
		ptrdiff_t blank = str_find(str_sub(rest, 0, 20), ' '), equals;
		struct pax_record *p;
		struct str record;
		uint64_t n;

		/* Some writers pad with NULs. */
		if (*text == '\0')
			return 0;
		if (blank < 0 || parse_u64(str_sub(rest, 0, (size_t)blank), len, &n, NULL) < 0 ||
		    n <= (size_t)blank + 1 || text[n - 1] != '\n')
			return bad("length", err);
		record = (struct str){ text + blank + 1, n - (size_t)blank - 2 };
		equals = str_find(record, '=');
		if (equals <= 0)
			return bad("no key", err);
		text[blank + 1 + equals] = '\0';
		if (strlen(record.at) != (size_t)equals)
			return bad("NUL in a key", err);
		p = vec_push(&t->pax);
		p->key = record.at;
		p->value = str_sub(record, (size_t)equals + 1, record.len);
		/* The newline becomes the NUL of values that are texts. */
		text[n - 1] = '\0';
		text += n;
		len -= n;
	}
	return 0;
}

static int text_value(const struct pax_record *p, const char **ret, struct error *err)
{
	if (memchr(p->value.at, 0, p->value.len))
		return error_set(err, ERR_INVALID, "tar: NUL in '%s'", p->key);
	if (p->value.len > 0) /* an empty value withdraws the record */
		*ret = p->value.at;
	return 0;
}

static int number_value(const struct pax_record *p, int64_t *ret, struct error *err)
{
	if (p->value.len == 0)
		return 0;
	if (parse_i64(p->value, INT64_MIN, INT64_MAX, ret, NULL) < 0)
		return error_set(err, ERR_INVALID, "tar: %s '%.*s' is not a number that fits",
				 p->key, (int)(p->value.len < 40 ? p->value.len : 40), p->value.at);
	return 0;
}

/* Seconds with a fraction, perhaps negative. */
static int time_value(const struct pax_record *p, int64_t *ret, struct error *err)
{
	struct str v = p->value, whole, fraction;
	ptrdiff_t dot = str_find(v, '.');
	bool negative = v.len > 0 && v.at[0] == '-';
	int64_t s = 0, ns = 0;

	if (v.len == 0)
		return 0;
	whole = dot < 0 ? v : str_sub(v, 0, (size_t)dot);
	fraction = dot < 0 ? (struct str){ v.at, 0 } : str_sub(v, (size_t)dot + 1, v.len);
	if (whole.len > (size_t)negative &&
	    parse_i64(whole, INT64_MIN / NS + 1, INT64_MAX / NS - 1, &s, NULL) < 0)
		return bad(p->key, err);
	for (size_t i = 0; i < 9; i++) {
		char c = i < fraction.len ? fraction.at[i] : '0';

		if (c < '0' || c > '9')
			return bad(p->key, err);
		ns = ns * 10 + (c - '0');
	}
	*ret = s * NS + (negative ? -ns : ns);
	return 0;
}

#define XATTR_PREFIX "SCHILY.xattr."

static void xattr_value(struct tar_reader *t, const struct pax_record *p)
{
	const char *name = p->key + strlen(XATTR_PREFIX);
	struct tar_xattr *x;

	vec_for_each (old, &t->xattrs) {
		if (strcmp(old->name, name) == 0) {
			old->value = p->value.at;
			old->len = p->value.len;
			return;
		}
	}
	x = vec_push(&t->xattrs);
	*x = (struct tar_xattr){ name, p->value.at, p->value.len };
}

static int apply_one(struct tar_reader *t, const struct pax_record *p, struct error *err)
{
	struct tar_entry *e = &t->entry;
	int64_t size = (int64_t)e->size;
	int r;

	if (strcmp(p->key, "path") == 0)
		return text_value(p, &e->path, err);
	if (strcmp(p->key, "linkpath") == 0)
		return text_value(p, &e->link, err);
	if (strcmp(p->key, "uid") == 0)
		return number_value(p, &t->raw_uid, err);
	if (strcmp(p->key, "gid") == 0)
		return number_value(p, &t->raw_gid, err);
	if (strcmp(p->key, "mtime") == 0)
		return time_value(p, &e->mtime_ns, err);
	if (strcmp(p->key, "atime") == 0) {
		e->has_atime = p->value.len > 0;
		return time_value(p, &e->atime_ns, err);
	}
	if (strcmp(p->key, "size") == 0) {
		r = number_value(p, &size, err);
		if (r == 0 && size < 0)
			return bad("size", err);
		e->size = (uint64_t)size;
		return r;
	}
	if (strncmp(p->key, XATTR_PREFIX, strlen(XATTR_PREFIX)) == 0 &&
	    p->key[strlen(XATTR_PREFIX)])
		xattr_value(t, p);
	return 0;
}

int tar_pax_apply(struct tar_reader *t, struct error *err)
{
	vec_for_each (p, &t->pax) {
		int r = apply_one(t, p, err);

		if (r < 0)
			return r;
	}
	t->entry.xattrs = t->xattrs.at;
	t->entry.n_xattrs = t->xattrs.len;
	return 0;
}

/* ---- sparse files ---- */

static int sparse_bad(const struct tar_reader *t, struct error *err)
{
	return error_set(err, ERR_CORRUPT, "tar: '%s': bad map of a sparse file", t->entry.path);
}

static int add_extent(struct tar_reader *t, int64_t offset, int64_t len, struct error *err)
{
	if (offset < 0 || len < 0 || t->extents.len >= TAR_EXTENTS_MAX)
		return sparse_bad(t, err);
	*vec_push(&t->extents) = (struct tar_extent){ (uint64_t)offset, (uint64_t)len };
	return 0;
}

/* Ascending, within the file, and as many bytes as the archive holds. */
static int close_map(struct tar_reader *t, int64_t real_size, struct error *err)
{
	uint64_t at = 0, sum = 0;

	if (real_size < 0)
		return sparse_bad(t, err);
	vec_for_each (x, &t->extents) {
		if (x->offset < at || x->len > (uint64_t)real_size ||
		    x->offset > (uint64_t)real_size - x->len)
			return sparse_bad(t, err);
		at = x->offset + x->len;
		sum += x->len;
	}
	if (sum != t->left)
		return sparse_bad(t, err);
	t->entry.size = (uint64_t)real_size;
	/* A map without data is a file that is one hole. */
	if (t->extents.len == 0)
		*vec_push(&t->extents) = (struct tar_extent){ 0, 0 };
	t->entry.extents = t->extents.at;
	t->entry.n_extents = t->extents.len;
	return 0;
}

/* "offset[12] length[12]" pairs of the old form; an empty one ends the list. */
static int old_pairs(struct tar_reader *t, const char (*pairs)[24], size_t n, struct error *err)
{
	int64_t offset, len;
	int r;

	for (size_t i = 0; i < n && pairs[i][0] && pairs[i][12]; i++) {
		r = tar_number(pairs[i], 12, &offset, "sparse", err);
		if (r == 0)
			r = tar_number(pairs[i] + 12, 12, &len, "sparse", err);
		if (r == 0)
			r = add_extent(t, offset, len, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int old_gnu(struct tar_reader *t, const struct tar_header *h, struct error *err)
{
	struct {
		char pairs[21][24];
		char is_extended;
		char pad[7];
	} more;
	int64_t real_size;
	bool go_on = h->gnu.is_extended;
	int r = tar_number(h->gnu.real_size, sizeof(h->gnu.real_size), &real_size, "size", err);

	if (r == 0)
		r = old_pairs(t, h->gnu.sparse, ARRAY_LEN(h->gnu.sparse), err);
	while (r == 0 && go_on) {
		r = tar_raw_full(t, &more, sizeof(more), err);
		if (r == 0)
			r = old_pairs(t, more.pairs, ARRAY_LEN(more.pairs), err);
		go_on = more.is_extended;
		if (r == 0 && (t->headers += sizeof(more)) > TAR_HEADER_MAX)
			return sparse_bad(t, err);
	}
	return r < 0 ? r : close_map(t, real_size, err);
}

/* 0.0: pairs of records; 0.1: one record "offset,length,offset,length". */
static int pax_0(struct tar_reader *t, int64_t real_size, struct error *err)
{
	int64_t numbers[2] = { 0 };
	size_t have = 0;
	int r = 0;

	vec_for_each (p, &t->pax) {
		struct str rest = p->value, field;
		bool map = strcmp(p->key, "GNU.sparse.map") == 0;

		if (!map && strcmp(p->key, "GNU.sparse.offset") != 0 &&
		    strcmp(p->key, "GNU.sparse.numbytes") != 0)
			continue;
		while (r == 0 && str_split(&rest, ',', &field)) {
			if (field.len == 0 && map)
				continue;
			if (parse_i64(field, 0, INT64_MAX, &numbers[have++], NULL) < 0)
				return sparse_bad(t, err);
			if (have == 2)
				r = add_extent(t, numbers[0], numbers[1], err);
			have %= 2;
		}
	}
	return r < 0 ? r : close_map(t, real_size, err);
}

/* One decimal line of the map in front of the data; counts what it takes. */
static int map_line(struct tar_reader *t, int64_t *ret, struct error *err)
{
	uint64_t n = 0;
	char c;
	int r;

	for (;;) {
		if (t->left == 0 || t->headers++ > TAR_HEADER_MAX)
			return sparse_bad(t, err);
		r = tar_raw_full(t, &c, 1, err);
		if (r < 0)
			return r;
		t->left--;
		if (c == '\n')
			break;
		if (c < '0' || c > '9' || n > INT64_MAX / 16)
			return sparse_bad(t, err);
		n = n * 10 + (uint64_t)(c - '0');
	}
	*ret = (int64_t)n;
	return 0;
}

static int pax_1(struct tar_reader *t, int64_t real_size, struct error *err)
{
	char pad[TAR_BLOCK];
	uint64_t before = t->left, used;
	int64_t n, offset, len;
	int r = map_line(t, &n, err);

	if (r == 0 && n > TAR_EXTENTS_MAX)
		return sparse_bad(t, err);
	for (int64_t i = 0; r == 0 && i < n; i++) {
		r = map_line(t, &offset, err);
		if (r == 0)
			r = map_line(t, &len, err);
		if (r == 0)
			r = add_extent(t, offset, len, err);
	}
	if (r < 0)
		return r;
	used = (before - t->left) % TAR_BLOCK;
	if (used) {
		if (t->left < TAR_BLOCK - used)
			return sparse_bad(t, err);
		r = tar_raw_full(t, pad, TAR_BLOCK - used, err);
		t->left -= TAR_BLOCK - used;
	}
	return r < 0 ? r : close_map(t, real_size, err);
}

int tar_sparse_setup(struct tar_reader *t, const struct tar_header *h, bool gnu, struct error *err)
{
	const char *name = NULL;
	int64_t major = -1, real_size = -1;
	bool map = false;
	int r = 0;

	if (h->type == 'S' && gnu)
		return old_gnu(t, h, err);
	vec_for_each (p, &t->pax) {
		if (strncmp(p->key, "GNU.sparse.", 11) != 0)
			continue;
		if (strcmp(p->key, "GNU.sparse.major") == 0)
			r = number_value(p, &major, err);
		else if (strcmp(p->key, "GNU.sparse.realsize") == 0 ||
			 strcmp(p->key, "GNU.sparse.size") == 0)
			r = number_value(p, &real_size, err);
		else if (strcmp(p->key, "GNU.sparse.name") == 0)
			r = text_value(p, &name, err);
		else if (strcmp(p->key, "GNU.sparse.map") == 0 ||
			 strcmp(p->key, "GNU.sparse.numblocks") == 0)
			map = true;
		if (r < 0)
			return r;
	}
	if (name)
		t->entry.path = name;
	if (major == 1)
		return pax_1(t, real_size, err);
	if (map)
		return pax_0(t, real_size, err);
	return 0;
}
