/*
 * engine/top.c: GET /containers/{ref}/top. ps(1) of the host is asked for the
 * whole table, of which the container's rows are kept, as dockerd does.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/vec.h"
#include "cgroup/cgroup.h"
#include "engine/container_internal.h"

#define PS_OUTPUT_MAX (32 << 20)
#define PS_TIMEOUT_MS 10000
#define COLUMNS_MAX   64

static int container_pids(struct container *c, struct arena *a, pid_t **ret, size_t *ret_n,
			  struct error *err)
{
	auto_(cgroup) cg = CGROUP_INIT;
	int r;

	{
		LOCKED(&c->lock);
		if (c->status == CONTAINER_RESTARTING)
			return error_set(err, ERR_CONFLICT,
					 "Container %s is restarting, wait until the container is "
					 "running",
					 c->id);
		if (!container_is_running(c))
			return error_set(err, ERR_CONFLICT, "Container %s is not running", c->id);
	}
	r = container_cgroup_open(c, a, &cg, err);
	return r < 0 ? r : cgroup_pids(&cg, a, ret, ret_n, err);
}

/* Fields of a line; the last column takes the rest. */
static size_t split_columns(struct str line, size_t max, struct str *out)
{
	size_t n = 0, i = 0;

	while (i < line.len && n < max) {
		size_t from;

		while (i < line.len && isspace((unsigned char)line.at[i]))
			i++;
		if (i == line.len)
			break;
		from = i;
		if (n + 1 == max) {
			out[n++] = str_trim(str_sub(line, from, line.len - from));
			break;
		}
		while (i < line.len && !isspace((unsigned char)line.at[i]))
			i++;
		out[n++] = str_sub(line, from, i - from);
	}
	return n;
}

static bool is_one_of(struct str pid, const pid_t *pids, size_t n)
{
	uint64_t v;
	size_t i;

	if (parse_u64(pid, INT32_MAX, &v, NULL) < 0)
		return false;
	for (i = 0; i < n; i++)
		if (pids[i] == (pid_t)v)
			return true;
	return false;
}

static int write_table(struct str text, const pid_t *pids, size_t n_pids, struct jsonw *w,
		       struct error *err)
{
	struct str line, col[COLUMNS_MAX];
	size_t n, i, pid_col, k;

	if (!str_split(&text, '\n', &line))
		line = (struct str){ "", 0 };
	n = split_columns(line, COLUMNS_MAX, col);
	for (pid_col = 0; pid_col < n && !str_eqs(col[pid_col], "PID"); pid_col++)
		;
	if (pid_col == n)
		return error_set(err, ERR_INVALID, "Couldn't find PID field in ps output");
	jsonw_object(w);
	jsonw_karray(w, "Titles");
	for (i = 0; i < n; i++)
		jsonw_stringn(w, col[i].at, col[i].len);
	jsonw_end(w);
	jsonw_karray(w, "Processes");
	while (str_split(&text, '\n', &line)) {
		k = split_columns(line, n, col);
		if (k <= pid_col || !is_one_of(col[pid_col], pids, n_pids))
			continue;
		jsonw_array(w);
		for (i = 0; i < k; i++)
			jsonw_stringn(w, col[i].at, col[i].len);
		jsonw_end(w);
	}
	jsonw_end(w);
	jsonw_end(w);
	return 0;
}

int container_top(struct engine *e, const char *ref, const char *ps_args, struct jsonw *out,
		  struct error *err)
{
	autoptr(container) c = NULL;
	auto_(arena) a = ARENA_INIT;
	auto_(buf) text = BUF_INIT(PS_OUTPUT_MAX);
	auto_(buf) complaint = BUF_INIT(65536);
	VEC(const char *) argv = { 0 };
	struct proc_spec spec = { .path = "ps", .cwd_fd = FD_NONE };
	struct str rest = str_of(cstr_is_empty(ps_args) ? "-ef" : ps_args), word;
	pid_t *pids;
	size_t n;
	int status, r;

	r = container_find(e, ref, &c, err);
	if (r == 0)
		r = container_pids(c, &a, &pids, &n, err);
	if (r < 0)
		return r;
	*vec_push(&argv) = "ps";
	while (str_split(&rest, ' ', &word))
		if (word.len > 0)
			*vec_push(&argv) = arena_strndup(&a, word.at, word.len);
	*vec_push(&argv) = NULL;
	spec.argv = argv.at;
	r = proc_run(&spec, NULL, 0, &text, &complaint, PS_TIMEOUT_MS, &status, err);
	vec_release(&argv);
	if (r < 0)
		return error_wrap(err, r, "Error running ps");
	if (status != 0)
		return error_set(err, cstr_is_empty(ps_args) ? ERR_SYSTEM : ERR_INVALID,
				 "Error running ps: %.*s",
				 (int)strcspn(complaint.data ? complaint.data : "", "\n"),
				 complaint.data ? complaint.data : "");
	r = write_table((struct str){ text.data ? text.data : "", text.len }, pids, n, out, err);
	if (r == 0)
		container_event(c, "top", NULL, 0);
	return r;
}
