#include "build/git.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/proc.h"
#include "base/str.h"

#define ARGS_MAX 12

bool git_is_url(const char *s)
{
	size_t n = strcspn(s, "#?");
	bool dot_git = n > 4 && strncmp(s + n - 4, ".git", 4) == 0;

	if (cstr_starts(s, "git@") || cstr_starts(s, "git://") || cstr_starts(s, "ssh://") ||
	    cstr_starts(s, "github.com/"))
		return true;
	return dot_git && (cstr_starts(s, "http://") || cstr_starts(s, "https://") ||
			   cstr_starts(s, "file://"));
}

/* The last line git said, without its "fatal: ". */
static int tell(int log_fd, const char *verb, struct error *err)
{
	char text[512] = "";
	off_t end = lseek(log_fd, 0, SEEK_END);
	off_t from = end > (off_t)sizeof(text) - 1 ? end - (off_t)sizeof(text) + 1 : 0;
	struct str s;
	ptrdiff_t nl;

	if (pread(log_fd, text, sizeof(text) - 1, from) < 0)
		text[0] = '\0';
	s = str_trim(str_of(text));
	nl = str_rfind(s, '\n');
	if (nl >= 0)
		s = str_sub(s, (size_t)nl + 1, s.len);
	return error_set(err, ERR_UNAVAILABLE, "git %s: %.*s", verb, STR_ARG(s));
}

#define PROTOCOLS "GIT_ALLOW_PROTOCOL=http:https:git:ssh"

/* Where git works, and with whose keys and files. */
struct git {
	int dir_fd;
	bool own_keys;
	const struct cancel *cancel;
};

/* files: what is on this machine may be read, too. */
static int run_git(const struct git *g, const char *const *args, bool files, struct error *err)
{
	const char *const env[] = {
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/nonexistent",
		"LC_ALL=C",
		"GIT_TERMINAL_PROMPT=0",
		"GIT_CONFIG_NOSYSTEM=1",
		files && g->own_keys ? PROTOCOLS ":file" : PROTOCOLS,
		g->own_keys
		    ? "GIT_SSH_COMMAND=ssh -o BatchMode=yes"
		    : "GIT_SSH_COMMAND=ssh -F /dev/null -o BatchMode=yes "
		      "-o IdentitiesOnly=yes -o IdentityFile=/dev/null -o IdentityAgent=none",
		NULL,
	};
	const char *argv[ARGS_MAX + 8] = { "git",
					   "-c",
					   "core.hooksPath=/dev/null",
					   "-c",
					   "safe.directory=*",
					   "-c",
					   "advice.detachedHead=false" };
	autoclose int log = memfd_create("git", MFD_CLOEXEC);
	struct proc_fd fds[] = { { log, 2 } };
	struct proc_spec spec = { .path = "git",
				  .argv = argv,
				  .env = env,
				  .fds = fds,
				  .n_fds = 1,
				  .cwd_fd = g->dir_fd,
				  .death_signal = SIGKILL };
	struct proc p;
	int status = 0, r;

	for (size_t i = 0; args[i] != NULL && i < ARGS_MAX; i++)
		argv[7 + i] = args[i];
	if (log < 0)
		return error_sys(err, errno, "memfd");
	r = proc_spawn(&spec, &p, err);
	if (r < 0)
		return error_wrap(err, r, "git");
	r = proc_wait(&p, -1, g->cancel, &status, err);
	if (r < 0) {
		(void)!proc_signal(&p, SIGKILL, NULL);
		(void)!proc_wait(&p, 5000, NULL, &status, NULL);
		return r;
	}
	return status == 0 ? 0 : tell(log, args[0], err);
}

/* Query words of BuildKit's that take no value stand for "true". */
static int query_bool(struct str key, struct str value, bool *ret, struct error *err)
{
	*ret = true;
	if (value.len == 0 || parse_bool(value, ret, NULL) == 0)
		return 0;
	return error_set(err, ERR_INVALID, "invalid %.*s value: \"%.*s\"", STR_ARG(key),
			 STR_ARG(value));
}

static int query_text(struct arena *a, struct str key, struct str value, const char *prefix,
		      const char **to, struct error *err)
{
	const char *text;

	if (value.len == 0)
		return error_set(err, ERR_INVALID, "query \"%.*s\" has no value", STR_ARG(key));
	text = arena_format(a, "%s%.*s", str_starts(value, prefix) ? "" : prefix, STR_ARG(value));
	if ((*to)[0] != '\0' && strcmp(*to, text) != 0)
		return error_set(err, ERR_INVALID, "%.*s conflicts: \"%s\" vs \"%s\"", STR_ARG(key),
				 *to, text);
	*to = text;
	return 0;
}

static int query_word(struct arena *a, struct str word, struct git_url *u, struct error *err)
{
	struct str value = word, key;
	bool yes;
	int r;

	if (!str_split(&value, '=', &key))
		return 0;
	if (str_eqs(key, "ref"))
		return query_text(a, key, value, "", &u->ref, err);
	if (str_eqs(key, "tag"))
		return query_text(a, key, value, "refs/tags/", &u->ref, err);
	if (str_eqs(key, "branch"))
		return query_text(a, key, value, "refs/heads/", &u->ref, err);
	if (str_eqs(key, "subdir"))
		return query_text(a, key, value, "", &u->subdir, err);
	if (str_eqs(key, "checksum") || str_eqs(key, "commit"))
		return query_text(a, key, value, "", &u->checksum, err);
	if (!str_eqs(key, "keep-git-dir") && !str_eqs(key, "submodules"))
		return error_set(err, ERR_INVALID, "unexpected query \"%.*s\"", STR_ARG(key));
	r = query_bool(key, value, &yes, err);
	if (r == 0 && str_eqs(key, "submodules"))
		u->skip_submodules = !yes;
	else if (r == 0)
		u->keep_git_dir = yes;
	return r;
}

int git_url_parse(struct arena *a, const char *text, struct git_url *ret, struct error *err)
{
	struct str rest = str_of(text), query, base, word, ref = { "", 0 };
	struct git_url u = { .checksum = "", .keep_git_dir = -1 };
	int r = 0;

	(void)!str_split(&rest, '#', &query);
	if (strchr(text, '#') == NULL)
		rest = (struct str){ "", 0 };
	(void)!str_split(&rest, ':', &ref);
	u.ref = arena_strndup(a, ref.len ? ref.at : "", ref.len);
	u.subdir = arena_strndup(a, rest.len ? rest.at : "", rest.len);
	(void)!str_split(&query, '?', &base);
	if (memchr(text, '?', base.len + 1) == NULL)
		query = (struct str){ NULL, 0 };
	u.remote = arena_format(a, "%s%.*s", str_starts(base, "github.com/") ? "https://" : "",
				STR_ARG(base));
	while (r == 0 && str_split(&query, '&', &word))
		r = query_word(a, word, &u, err);
	if (r < 0)
		return r;
	if (u.ref[0] == '\0')
		u.ref = u.checksum[0] != '\0' ? u.checksum : "HEAD";
	if (u.ref[0] == '-' || u.remote[0] == '-')
		return error_set(err, ERR_INVALID, "invalid git URL %s", text);
	*ret = u;
	return 0;
}

static int fetch(const struct git *g, const char *url, const char *ref, struct error *err)
{
	const char *init[] = { "init", "-q", ".", NULL };
	const char *one[] = { "fetch", "-q", "--depth=1", "--", url, ref, NULL };
	const char *deep[] = { "fetch", "-q", "--", url, ref, NULL };
	const char *all[] = { "fetch", "-q", "--", url, "+refs/*:refs/remotes/all/*", NULL };
	const char *take_one[] = { "checkout", "-q", "FETCH_HEAD", NULL };
	const char *take_ref[] = { "checkout", "-q", "--detach", ref, NULL };
	struct error first;
	int r = run_git(g, init, true, err);

	if (r < 0)
		return r;
	/* Not every server can be shallow, and not every one gives out a commit by its hash. */
	r = run_git(g, one, true, &first);
	if (r == -ERR_UNAVAILABLE)
		r = run_git(g, deep, true, &first);
	if (r == 0)
		return run_git(g, take_one, true, err);
	if (r != -ERR_UNAVAILABLE || run_git(g, all, true, NULL) < 0 ||
	    run_git(g, take_ref, true, NULL) < 0) {
		if (err != NULL)
			*err = first;
		return r;
	}
	return 0;
}

/* HEAD is detached: it holds the commit. */
static int check_commit(int fd, const struct git_url *url, struct error *err)
{
	auto_(buf) head = BUF_INIT(4096);
	int r = url->checksum[0] ? fs_read_in_root(fd, ".git/HEAD", &head, err) : 0;
	struct str commit = str_trim((struct str){ head.data ? head.data : "", head.len });

	if (r < 0 || str_starts(commit, url->checksum))
		return r;
	return error_set(err, ERR_CORRUPT, "expected checksum to match %s, got %.*s", url->checksum,
			 STR_ARG(commit));
}

/* A repository from elsewhere names no submodule on this machine. */
static int submodules(const struct git *g, const struct git_url *url, struct error *err)
{
	const char *update[] = { "submodule",   "update",    "-q", "--init",
				 "--recursive", "--depth=1", NULL };

	if (url->skip_submodules ||
	    faccessat(g->dir_fd, ".gitmodules", F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	return run_git(g, update, cstr_starts(url->remote, "file://"), err);
}

int git_checkout(const char *dir_path, const char *name, const struct git_url *url, bool own_keys,
		 bool keep_git_dir, const struct cancel *cancel, int *ret_fd, struct error *err)
{
	autofree char *path = cstr_format("%s/%s", dir_path, name);
	autoclose int fd = FD_NONE;
	struct git g;
	int r = fs_mkdir_all(path, 0700, err);

	if (r == 0)
		r = fs_open(path, O_RDONLY | O_DIRECTORY, 0, &fd, err);
	g = (struct git){ fd, own_keys, cancel };
	if (r == 0)
		r = fetch(&g, url->remote, url->ref, err);
	if (r == 0)
		r = check_commit(fd, url, err);
	if (r == 0)
		r = submodules(&g, url, err);
	if (r == 0 && !keep_git_dir)
		r = fs_remove_tree(fd, ".git", err);
	if (r == 0)
		r = fs_open_in_root(fd, url->subdir[0] ? url->subdir : ".", O_RDONLY | O_DIRECTORY,
				    0, ret_fd, err);
	return r < 0 ? error_wrap(err, r, "%s", url->remote) : 0;
}
