/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/output_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"

int output_file_begin(const char *path, mode_t mode, struct output_file *ret, int *ret_fd,
		      struct error *err)
{
	autofree char *temp = NULL;
	struct stat st;
	int r;

	if (lstat(path, &st) < 0 || S_ISREG(st.st_mode))
		temp = cstr_format("%s.proa-%d", path, (int)getpid());
	r = fs_open(temp ? temp : path, O_WRONLY | O_CREAT | O_TRUNC, mode, ret_fd, err);
	if (r < 0)
		return r;
	*ret = (struct output_file){ .path = xstrdup(path), .temp = steal_ptr(temp) };
	return 0;
}

static void forget(struct output_file *f)
{
	free(f->path);
	free(f->temp);
	*f = (struct output_file){ 0 };
}

int output_file_commit(struct output_file *f, struct error *err)
{
	int r = 0;

	if (f->temp != NULL && rename(f->temp, f->path) < 0) {
		r = error_sys(err, errno, "rename to '%s'", f->path);
		unlink(f->temp);
	}
	forget(f);
	return r;
}

void output_file_abort(struct output_file *f)
{
	if (f->temp != NULL)
		unlink(f->temp);
	forget(f);
}
