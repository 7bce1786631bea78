/* build/key.c: what decides whether a step was done before. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/jsonw.h"
#include "build/build_internal.h"
#include "build/git.h"
#include "build/text.h"
#include "remote/download.h"

#define KEY_VERSION   "proa build key 2"
#define INPUTS_MAX    (1U << 20)
#define URL_MAX_BYTES (64ULL << 30)

/*
 * The key grows from named parts; each part's own hash is kept for --explain. It
 * begins when the node is defined and is finished when the steps that it reads
 * from are done.
 */
struct keyer {
	struct hash hash;
	struct buf text;
	struct jsonw inputs;
	unsigned n; /* tells parts of one name apart */
};

static struct keyer *keyer_new(void)
{
	struct keyer *k = new0(struct keyer);

	k->text = (struct buf)BUF_INIT(INPUTS_MAX);
	jsonw_init(&k->inputs, &k->text);
	jsonw_object(&k->inputs);
	hash_init_sha256(&k->hash);
	return k;
}

void keyer_free(struct keyer *k)
{
	if (k == NULL)
		return;
	hash_release(&k->hash);
	buf_release(&k->text);
	free(k);
}

static void part(struct keyer *k, const char *name, const void *bytes, size_t len)
{
	uint64_t n = len;

	hash_add(&k->hash, name, strlen(name) + 1);
	hash_add(&k->hash, &n, sizeof(n));
	hash_add(&k->hash, bytes, len);
}

static void part_text(struct keyer *k, const char *name, const char *text)
{
	part(k, name, text ? text : "", text ? strlen(text) : 0);
	jsonw_kstring(&k->inputs, name, text ? text : "");
}

/* One of several of that name. */
static void part_item(struct keyer *k, const char *name, const char *text)
{
	autofree char *numbered = cstr_format("%s %u", name, ++k->n);

	part_text(k, numbered, text);
}

static void part_digest(struct keyer *k, const char *name, const uint8_t sum[SHA256_SIZE])
{
	char hex[2 * SHA256_SIZE + 1];

	hex_format(sum, SHA256_SIZE, hex);
	part(k, name, sum, SHA256_SIZE);
	jsonw_kstring(&k->inputs, name, hex);
}

static void chain_digest(const struct node *n, uint8_t out[static SHA256_SIZE])
{
	auto_(hash) h = { 0 };
	char text[DIGEST_TEXT_MAX];

	hash_init_sha256(&h);
	for (size_t i = 0; n != NULL && i < n->n_layers; i++) {
		digest_format(&n->layers[i], text);
		hash_add(&h, text, strlen(text) + 1);
	}
	hash_finish(&h, out);
}

int copy_sources(const struct tree *t, struct arena *a, const struct copy_spec *c, const char *path,
		 const char ***ret, size_t *ret_n, size_t *ret_above, struct error *err)
{
	const char *pivot = c->parents ? strstr(path, "/./") : NULL, *kept = path, *above = "";

	*ret_above = 0;
	if (pivot != NULL) {
		above = tree_path(a, arena_strndup(a, path, (size_t)(pivot - path)));
		kept = tree_path(a, pivot + 3);
	}
	for (const char *p = above; *p != '\0'; p++)
		*ret_above += p == above || p[-1] == '/';
	if (c->parents && glob_has_magic(kept))
		return tree_match(t, a, above, tree_path(a, kept), ret, ret_n, err);
	return tree_glob(t, a, path, ret, ret_n, err);
}

const char *path_below(const char *path, size_t above)
{
	for (; above > 0; above--)
		path += strcspn(path, "/") + (path[strcspn(path, "/")] == '/');
	return path;
}

/* A directory that --parents makes. */
static int hash_directory(const struct tree *t, const char *path, struct hash *h, struct error *err)
{
	autoclose int fd = FD_NONE;
	uint64_t attrs[3];
	struct stat st;
	int r = fs_open_in_root(t->fd, path, O_PATH | O_DIRECTORY, 0, &fd, err);

	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0)
		return error_sys(err, errno, "stat '%s'", path);
	attrs[0] = st.st_mode;
	attrs[1] = t->zero_owner ? 0 : st.st_uid;
	attrs[2] = t->zero_owner ? 0 : st.st_gid;
	hash_add(h, attrs, sizeof(attrs));
	return 0;
}

/* ".." stays at the top of a context: say so where it was meant to lead out. */
static int leads_out(const char *path, int r, struct error *err)
{
	struct error plain;

	if (err == NULL || (!cstr_starts(path, "../") && strstr(path, "/../") == NULL))
		return r;
	plain = *err;
	return error_set(err, plain.kind, "%s (nothing outside of the context can be copied)",
			 plain.msg);
}

static int hash_path(struct build *b, struct keyer *k, struct arena *a, const struct tree *t,
		     const struct copy_spec *c, const char *path, struct error *err)
{
	auto_(hash) h = { 0 };
	uint8_t sum[SHA256_SIZE];
	const char **found, *base, *kept;
	struct ignore exclude;
	size_t n = 0, above;
	int r = copy_sources(t, a, c, path, &found, &n, &above, err);

	if (r == 0)
		r = ignore_compile(a, c->excludes.at, c->excludes.len, NULL, &exclude, err);
	for (size_t i = 0; r == 0 && i < n; i++) {
		kept = c->parents ? path_below(found[i], above) : "";
		hash_init_sha256(&h);
		for (const char *p = kept; r == 0 && (p = strchr(p, '/')) != NULL; p++)
			r = hash_directory(t, arena_strndup(a, found[i], (size_t)(p - found[i])),
					   &h, err);
		if (r == 0)
			r = tree_hash(t, found[i], c->excludes.len ? &exclude : NULL, kept, &h,
				      err);
		hash_finish(&h, sum);
		hash_release(&h);
		base = strrchr(found[i], '/');
		if (r == 0) {
			part_item(k, "name", c->parents ? found[i] : base ? base + 1 : found[i]);
			part_digest(k, arena_format(a, "content %u /%s", ++k->n, found[i]), sum);
		}
	}
	(void)b;
	return r == -ERR_NOT_FOUND && strstr(path, "..") != NULL ? leads_out(path, r, err) : r;
}

struct hashing_writer {
	struct writer writer;
	struct fd_writer file;
	struct hash hash;
};

static int hash_and_write(struct writer *w, const void *bytes, size_t len, struct error *err)
{
	struct hashing_writer *hw = (struct hashing_writer *)w;

	hash_add(&hw->hash, bytes, len);
	return writer_write(&hw->file.writer, bytes, len, err);
}

static const struct writer_ops hashing_ops = { .write = hash_and_write };

static int check_sum(const struct copy_spec *c, const struct copy_item *item,
		     const uint8_t sum[SHA256_SIZE], struct error *err)
{
	char hex[2 * SHA256_SIZE + 1];

	hex_format(sum, SHA256_SIZE, hex);
	if (c->checksum[0] == '\0')
		return 0;
	if (!cstr_starts(c->checksum, "sha256:"))
		return error_set(err, ERR_UNIMPLEMENTED, "checksum %s is not supported yet",
				 c->checksum);
	if (strcmp(c->checksum + strlen("sha256:"), hex) != 0)
		return error_set(err, ERR_CORRUPT, "digest mismatch for %s: sha256:%s != %s",
				 item->path, hex, c->checksum);
	return 0;
}

int url_fetch(struct build *b, const struct node *n, struct copy_item *item,
	      uint8_t sum[static SHA256_SIZE], struct error *err)
{
	struct hashing_writer w = { .writer.ops = &hashing_ops };
	autoclose int fd = FD_NONE;
	autofree char *name =
	    cstr_format("context-%s-url-%u-%zu", b->id, n->index, (size_t)(item - n->copy->items));
	int r;

	fd = openat(b->builder->dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_sys(err, errno, "create '%s'", name);
	fd_writer_init(&w.file, fd, b->cancel);
	hash_init_sha256(&w.hash);
	item->file = steal_ptr(name);
	r = remote_download(item->path, URL_MAX_BYTES, b->cancel, &w.writer, &item->name, err);
	hash_finish(&w.hash, sum);
	hash_release(&w.hash);
	return r < 0 ? r : check_sum(n->copy, item, sum, err);
}

/* With --checksum the content is known without a look at it. */
static int url_key(struct build *b, struct node *n, struct keyer *k, struct copy_item *item,
		   struct error *err)
{
	uint8_t sum[SHA256_SIZE];
	int r;

	part_item(k, "url", item->path);
	if (n->copy->checksum[0] != '\0')
		return 0;
	r = url_fetch(b, n, item, sum, err);
	if (r == 0)
		part_digest(k, "downloaded", sum);
	return r;
}

/* The query of the URL and the flags of ADD must agree. */
static int git_want(struct arena *a, const struct node *n, const struct copy_item *item,
		    struct git_url *ret, struct error *err)
{
	const struct copy_spec *c = n->copy;
	int r = git_url_parse(a, item->path, ret, err);

	if (r < 0)
		return r;
	if (c->keep_git_dir != UNSET && ret->keep_git_dir >= 0 &&
	    ret->keep_git_dir != (c->keep_git_dir == YES))
		return error_set(err, ERR_INVALID, "inconsistent keep-git-dir configuration");
	if (c->keep_git_dir != UNSET)
		ret->keep_git_dir = c->keep_git_dir == YES;
	if (c->checksum[0] != '\0' && ret->checksum[0] != '\0' &&
	    strcmp(c->checksum, ret->checksum) != 0)
		return error_set(err, ERR_INVALID, "checksum mismatch \"%s\" != \"%s\"",
				 c->checksum, ret->checksum);
	if (c->checksum[0] != '\0')
		ret->checksum = c->checksum;
	return 0;
}

int git_fetch(struct build *b, const struct node *n, struct copy_item *item, int *ret_fd,
	      struct error *err)
{
	autofree char *name =
	    cstr_format("context-%s-git-%u-%zu", b->id, n->index, (size_t)(item - n->copy->items));
	auto_(arena) a = ARENA_INIT;
	autoclose int top = FD_NONE;
	struct git_url url;
	int r = git_want(&a, n, item, &url, err);

	if (r < 0)
		return r;
	if (item->file == NULL) {
		item->file = steal_ptr(name);
		return git_checkout(b->builder->cfg.dir, item->file, &url, false,
				    url.keep_git_dir > 0, b->cancel, ret_fd, err);
	}
	r = fs_open_beneath(b->builder->dir_fd, item->file, O_RDONLY | O_DIRECTORY, 0, &top, err);
	return r < 0 ? r
		     : fs_open_in_root(top, url.subdir[0] ? url.subdir : ".",
				       O_RDONLY | O_DIRECTORY, 0, ret_fd, err);
}

static int git_key(struct build *b, struct node *n, struct keyer *k, struct copy_item *item,
		   struct error *err)
{
	struct tree tree = { .what = "repository", .zero_owner = true, .cancel = b->cancel };
	struct ignore ignore = { 0 };
	const char *no_git = ".git";
	auto_(arena) a = ARENA_INIT;
	autoclose int fd = FD_NONE;
	auto_(hash) h = { 0 };
	uint8_t sum[SHA256_SIZE];
	int r = git_fetch(b, n, item, &fd, err);

	/* What git keeps about itself differs from checkout to checkout. */
	if (r == 0)
		r = ignore_compile(&a, &no_git, 1, NULL, &ignore, err);
	tree.fd = fd;
	tree.ignore = &ignore;
	hash_init_sha256(&h);
	if (r == 0)
		r = tree_hash(&tree, "", NULL, "", &h, err);
	hash_finish(&h, sum);
	part_item(k, "git", item->path);
	if (r == 0)
		part_digest(k, "checked out", sum);
	return r;
}

/* What a COPY says, and what it takes from the context and from elsewhere. */
static int copy_define(struct build *b, struct node *n, struct keyer *k, struct error *err)
{
	const struct copy_spec *c = n->copy;
	auto_(arena) a = ARENA_INIT;
	int r = 0;

	part_text(k, "dest", c->dest);
	part_text(k, "chown", c->chown);
	part_text(k, "chmod", c->chmod);
	part_text(k, "checksum", c->checksum);
	for (size_t i = 0; i < c->excludes.len; i++)
		part_item(k, "exclude", c->excludes.at[i]);
	part_text(k, "flags",
		  arena_format(&a, "add=%d link=%d parents=%d unpack=%d owner=%d", c->add, c->link,
			       c->parents, (int)c->unpack, c->from.node == NULL));
	for (size_t i = 0; r == 0 && i < c->n_items; i++) {
		struct copy_item *item = &c->items[i];

		if (item->kind == COPY_URL) {
			r = url_key(b, n, k, item, err);
		} else if (item->kind == COPY_GIT) {
			r = git_key(b, n, k, item, err);
		} else if (item->kind == COPY_PATH) {
			part_item(k, "path", c->parents ? item->path : "");
		} else {
			part_item(k, "item", item->path);
			part_item(k, "text", item->text);
		}
	}
	return r;
}

/* The files that a COPY takes, by content. */
static int copy_contents(struct build *b, struct node *n, struct keyer *k, struct error *err)
{
	const struct copy_spec *c = n->copy;
	auto_(source_tree) from = SOURCE_TREE_INIT;
	auto_(arena) a = ARENA_INIT;
	bool paths = false;
	int r = 0;

	for (size_t i = 0; i < c->n_items; i++)
		paths |= c->items[i].kind == COPY_PATH;
	if (paths)
		r = source_open(b, &c->from, &from, err);
	for (size_t i = 0; r == 0 && i < c->n_items; i++) {
		if (c->items[i].kind == COPY_PATH)
			r = hash_path(b, k, &a, &from.tree, c, c->items[i].path, err);
	}
	return r;
}

static bool is_proxy(const char *name)
{
	static const char *const names[] = { "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY",
					     "ALL_PROXY" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcasecmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

static void mount_define(struct keyer *k, const struct mount_spec *m)
{
	auto_(arena) a = ARENA_INIT;

	part_item(k, "mount",
		  arena_format(&a,
			       "type=%d target=%s ro=%d required=%d mode=%lld uid=%lld "
			       "gid=%lld size=%lld",
			       (int)m->mount.type, m->mount.target ? m->mount.target : "",
			       m->mount.read_only, m->mount.required, (long long)m->mount.mode,
			       (long long)m->mount.uid, (long long)m->mount.gid,
			       (long long)m->mount.size_limit));
	if (m->mount.type == MOUNT_SECRET) {
		part_item(k, "secret", m->mount.id ? m->mount.id : m->mount.source);
		part_item(k, "env", m->mount.env);
	}
}

static int mount_contents(struct build *b, struct keyer *k, const struct mount_spec *m,
			  struct error *err)
{
	auto_(source_tree) from = SOURCE_TREE_INIT;
	auto_(arena) a = ARENA_INIT;
	auto_(hash) h = { 0 };
	uint8_t sum[SHA256_SIZE];
	int r = source_open(b, &m->from, &from, err);

	if (r < 0)
		return r;
	hash_init_sha256(&h);
	r = tree_hash(&from.tree, tree_path(&a, m->mount.source ? m->mount.source : ""), NULL, "",
		      &h, err);
	hash_finish(&h, sum);
	if (r == 0)
		part_digest(k, arena_format(&a, "mounted %s", m->mount.target), sum);
	return r;
}

static void run_define(struct node *n, struct keyer *k)
{
	const struct run_spec *run = n->run;

	for (size_t i = 0; i < run->args.len; i++)
		part_item(k, "arg", run->args.at[i]);
	for (size_t i = 0; i < run->env.len; i++) {
		autofree char *name = NULL;

		if (is_proxy(run->env.at[i].key))
			continue;
		name = cstr_format("env %s", run->env.at[i].key);
		part_text(k, name, run->env.at[i].value);
	}
	part_text(k, "user", run->user);
	part_text(k, "cwd", run->cwd);
	part_text(k, "network", run->network);
	part_text(k, "script", run->script);
	for (size_t i = 0; i < run->n_mounts; i++)
		mount_define(k, &run->mounts[i]);
}

/* Contents of the context (of_nodes false) or of other steps (true). */
static int add_contents(struct build *b, struct node *n, struct keyer *k, bool of_nodes,
			struct error *err)
{
	int r = 0;

	if (n->kind == NODE_COPY && (n->copy->from.node != NULL) == of_nodes)
		return copy_contents(b, n, k, err);
	for (size_t i = 0; n->kind == NODE_RUN && r == 0 && i < n->run->n_mounts; i++) {
		const struct mount_spec *m = &n->run->mounts[i];

		if (m->mount.type == MOUNT_BIND && (m->from.node != NULL) == of_nodes)
			r = mount_contents(b, k, m, err);
	}
	return r;
}

static int define_parts(struct build *b, struct node *n, struct keyer *k, struct error *err)
{
	static const char *const kinds[] = { "image", "copy", "run", "workdir" };
	int r = 0;

	part(k, "version", KEY_VERSION, strlen(KEY_VERSION));
	part_text(k, "kind", kinds[n->kind]);
	if (b->q->real_times)
		part_text(k, "times", "real");
	else if (b->graph.has_epoch) {
		autofree char *epoch = cstr_format("%lld", (long long)n->epoch_ns);

		part_text(k, "epoch", epoch);
	}
	if (n->kind == NODE_COPY) {
		r = copy_define(b, n, k, err);
	} else if (n->kind == NODE_RUN) {
		run_define(n, k);
	} else {
		part_text(k, "path", n->path);
		part_text(k, "user", n->user);
	}
	return r < 0 ? r : add_contents(b, n, k, false, err);
}

/* Which paths of which steps are read: their contents are not known yet. */
static void add_sources(const struct node *n, struct hash *h)
{
	const char *nothing = "";

	for (size_t i = 0; i < n->n_inputs; i++)
		hash_add(h, n->inputs[i]->def, SHA256_SIZE);
	for (size_t i = 0; n->kind == NODE_COPY && i < n->copy->n_items; i++)
		hash_add(h, n->copy->items[i].path, strlen(n->copy->items[i].path) + 1);
	for (size_t i = 0; n->kind == NODE_RUN && i < n->run->n_mounts; i++) {
		const struct mount_spec *m = &n->run->mounts[i];
		const char *source = m->mount.source ? m->mount.source : nothing;

		/* Two mounts may read one step, and be told apart by which. */
		if (m->has_from && m->from.node != NULL)
			hash_add(h, m->from.node->def, SHA256_SIZE);
		hash_add(h, source, strlen(source) + 1);
	}
}

int node_define(struct build *b, struct node *n, struct error *err)
{
	bool alone = n->kind == NODE_COPY && n->copy->link;
	auto_(hash) h = { 0 };
	int r;

	n->tainted = n->no_cache || (!alone && n->base != NULL && n->base->tainted);
	for (size_t i = 0; i < n->n_inputs; i++)
		n->tainted |= n->inputs[i]->tainted;
	if (n->kind == NODE_IMAGE) {
		chain_digest(n, n->def);
		return 0;
	}
	n->keyer = keyer_new();
	r = define_parts(b, n, n->keyer, err);
	if (r < 0)
		return r;
	hash_copy(&n->keyer->hash, &h);
	if (!alone)
		hash_add(&h, n->base->def, SHA256_SIZE);
	add_sources(n, &h);
	hash_finish(&h, n->def);
	return 0;
}

void node_fast_key(const struct node *n, char out[static 65])
{
	auto_(hash) h = { 0 };
	uint8_t sum[SHA256_SIZE];

	chain_digest(n->kind == NODE_COPY && n->copy->link ? NULL : n->base, sum);
	hash_init_sha256(&h);
	hash_add(&h, "fast", sizeof("fast"));
	hash_add(&h, n->def, SHA256_SIZE);
	hash_add(&h, sum, sizeof(sum));
	hash_finish(&h, sum);
	hex_format(sum, sizeof(sum), out);
}

int node_key(struct build *b, struct node *n, char **ret_inputs, struct error *err)
{
	struct keyer *k = n->keyer;
	uint8_t sum[SHA256_SIZE];
	int r;

	chain_digest(n->kind == NODE_COPY && n->copy->link ? NULL : n->base, sum);
	part_digest(k, "parent", sum);
	r = add_contents(b, n, k, true, err);
	if (r < 0)
		return r;
	hash_finish(&k->hash, sum);
	hex_format(sum, sizeof(sum), n->key);
	jsonw_end(&k->inputs);
	/* An explanation that is too long is left out; the key is what counts. */
	*ret_inputs = jsonw_finish(&k->inputs, NULL) < 0 ? NULL : buf_detach(&k->text, NULL);
	return 0;
}
