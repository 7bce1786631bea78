#include "runtime/hook.h"

#include <string.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/proc.h"
#include "runtime/warning.h"

#define OUTPUT_MAX 65536

static int run_one(const struct spec_hook *h, const char *state, size_t state_len,
		   const char *const *env, struct error *err)
{
	const char *const self[] = { h->path, NULL };
	auto_(buf) out = BUF_INIT(OUTPUT_MAX);
	auto_(buf) errs = BUF_INIT(OUTPUT_MAX);
	struct proc_spec spec = {
		.path = h->path,
		.argv = h->args.n > 0 ? h->args.at : self,
		/* None given: the runtime's own, as the peers have it. */
		.env = h->env.at != NULL ? h->env.at : env,
		.cwd_fd = FD_NONE,
	};
	int timeout_ms = -1, status, r;

	if (h->timeout_s.set && h->timeout_s.value < 1000000)
		timeout_ms = (int)h->timeout_s.value * 1000;
	r = proc_run(&spec, state, state_len, &out, &errs, timeout_ms, &status, err);
	if (r < 0)
		return error_wrap(err, r, "'%s'", h->path);
	if (status != 0)
		return error_set(err, ERR_SYSTEM, "exit status %d, stdout: %.*s, stderr: %.*s",
				 status, (int)(out.len < 200 ? out.len : 200),
				 out.data ? out.data : "", (int)(errs.len < 400 ? errs.len : 400),
				 errs.data ? errs.data : "");
	return 0;
}

int hooks_run(const char *kind, const struct spec_hook *hooks, size_t n, const char *state,
	      size_t state_len, const char *const *env, struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		int r = run_one(&hooks[i], state, state_len, env, err);

		if (r < 0)
			return error_wrap(err, r, "error running %s hook #%zu", kind, i);
	}
	return 0;
}

void hooks_run_all(const char *kind, const struct spec_hook *hooks, size_t n, const char *state,
		   size_t state_len)
{
	struct error e;

	for (size_t i = 0; i < n; i++)
		if (run_one(&hooks[i], state, state_len, NULL, &e) < 0)
			runtime_warn("hook failed, continuing", kind, &e);
}
