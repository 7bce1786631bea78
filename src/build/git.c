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
	size_t n = strcspn(s, "#");
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

static int run_git(int dir_fd, const char *const *args, const struct cancel *cancel,
		   struct error *err)
{
	static const char *const env[] = {
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/nonexistent",
		"LC_ALL=C",
		"GIT_TERMINAL_PROMPT=0",
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_ALLOW_PROTOCOL=http:https:git:ssh:file",
		"GIT_SSH_COMMAND=ssh -o BatchMode=yes",
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
				  .cwd_fd = dir_fd,
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
	r = proc_wait(&p, -1, cancel, &status, err);
	if (r < 0) {
		(void)!proc_signal(&p, SIGKILL, NULL);
		(void)!proc_wait(&p, 5000, NULL, &status, NULL);
		return r;
	}
	return status == 0 ? 0 : tell(log, args[0], err);
}

static int fetch(int fd, const char *url, const char *ref, const struct cancel *cancel,
		 struct error *err)
{
	const char *init[] = { "init", "-q", ".", NULL };
	const char *one[] = { "fetch", "-q", "--depth=1", "--", url, ref, NULL };
	const char *deep[] = { "fetch", "-q", "--", url, ref, NULL };
	const char *all[] = { "fetch", "-q", "--", url, "+refs/*:refs/remotes/all/*", NULL };
	const char *take_one[] = { "checkout", "-q", "FETCH_HEAD", NULL };
	const char *take_ref[] = { "checkout", "-q", "--detach", ref, NULL };
	struct error first;
	int r = run_git(fd, init, cancel, err);

	if (r < 0)
		return r;
	/* Not every server can be shallow, and not every one gives out a commit by its hash. */
	r = run_git(fd, one, cancel, &first);
	if (r == -ERR_UNAVAILABLE)
		r = run_git(fd, deep, cancel, &first);
	if (r == 0)
		return run_git(fd, take_one, cancel, err);
	if (r != -ERR_UNAVAILABLE || run_git(fd, all, cancel, NULL) < 0 ||
	    run_git(fd, take_ref, cancel, NULL) < 0) {
		if (err != NULL)
			*err = first;
		return r;
	}
	return 0;
}

int git_checkout(const char *dir_path, const char *name, const char *url, bool keep_git_dir,
		 const struct cancel *cancel, int *ret_fd, struct error *err)
{
	autofree char *path = cstr_format("%s/%s", dir_path, name);
	struct str rest = str_of(url), base, fragment = { "", 0 }, ref = { "", 0 };
	autofree char *where = NULL, *what = NULL, *subdir = NULL;
	autoclose int fd = FD_NONE;
	int r;

	(void)!str_split(&rest, '#', &base);
	if (strchr(url, '#') != NULL)
		fragment = rest;
	if (fragment.len > 0)
		(void)!str_split(&fragment, ':', &ref);
	where =
	    cstr_format("%s%.*s", str_starts(base, "github.com/") ? "https://" : "", STR_ARG(base));
	what = ref.len > 0 ? str_dup(ref) : cstr_format("HEAD");
	subdir = cstr_format("%.*s", (int)fragment.len,
			     fragment.at && ref.at != NULL ? fragment.at : "");
	if (what[0] == '-' || where[0] == '-')
		return error_set(err, ERR_INVALID, "invalid git URL %s", url);
	r = fs_mkdir_all(path, 0700, err);
	if (r == 0)
		r = fs_open(path, O_RDONLY | O_DIRECTORY, 0, &fd, err);
	if (r == 0)
		r = fetch(fd, where, what, cancel, err);
	if (r == 0 && !keep_git_dir)
		r = fs_remove_tree(fd, ".git", err);
	if (r == 0)
		r = fs_open_in_root(fd, subdir[0] ? subdir : ".", O_RDONLY | O_DIRECTORY, 0, ret_fd,
				    err);
	return r < 0 ? error_wrap(err, r, "%s", url) : 0;
}
