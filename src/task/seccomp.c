/* task/seccomp.c: resolve a profile, see seccomp.h. */
#include "task/seccomp.h"

#include <string.h>
#include <sys/utsname.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"

#define PROFILE_TEXT_MAX (1 << 20)

#if defined(__x86_64__)
#define ARCH_GO "amd64"
static const char *const native_arches[] = { "SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32",
					     NULL };
#elif defined(__aarch64__)
#define ARCH_GO "arm64"
static const char *const native_arches[] = { "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", NULL };
#elif defined(__riscv)
#define ARCH_GO "riscv64"
static const char *const native_arches[] = { "SCMP_ARCH_RISCV64", NULL };
#else
#error "no seccomp architecture for this machine"
#endif

static unsigned kernel_version(void)
{
	struct utsname u;
	struct str rest, part;
	uint64_t major = 0, minor = 0;

	if (uname(&u) < 0)
		return 0;
	rest = str_of(u.release);
	if (!str_split(&rest, '.', &part) || parse_u64(part, 999, &major, NULL) < 0)
		return 0;
	if (str_split(&rest, '.', &part) && parse_u64(part, 999, &minor, NULL) < 0)
		minor = 0;
	return (unsigned)(major * 1000 + minor);
}

static bool has_word(const char *list, const char *word)
{
	struct str rest = str_of(list), w;

	while (list && str_split(&rest, ' ', &w))
		if (str_eqs(w, word))
			return true;
	return false;
}

static bool has_cap(const char *list, const char *const *caps)
{
	for (; *caps; caps++)
		if (has_word(list, *caps))
			return true;
	return false;
}

/* Every capability of `list` is granted. */
static bool all_caps(const char *list, const char *const *caps)
{
	struct str rest = str_of(list), w;

	while (list && str_split(&rest, ' ', &w)) {
		const char *const *c = caps;

		while (*c && !str_eqs(w, *c))
			c++;
		if (*c == NULL)
			return false;
	}
	return true;
}

static bool rule_applies(const struct seccomp_rule *r, const char *const *caps, unsigned kernel)
{
	if (r->exclude_arches && has_word(r->exclude_arches, ARCH_GO))
		return false;
	if (r->exclude_caps && has_cap(r->exclude_caps, caps))
		return false;
	if (r->include_arches && !has_word(r->include_arches, ARCH_GO))
		return false;
	if (!all_caps(r->include_caps, caps))
		return false;
	return r->min_kernel == 0 || kernel >= r->min_kernel;
}

static void rule_write(struct jsonw *w, const struct seccomp_rule *r)
{
	struct str rest = str_of(r->names), name;
	size_t i;

	jsonw_object(w);
	jsonw_karray(w, "names");
	while (str_split(&rest, ' ', &name))
		jsonw_stringn(w, name.at, name.len);
	jsonw_end(w);
	jsonw_kstring(w, "action", r->action);
	if (r->errno_ret)
		jsonw_kint(w, "errnoRet", r->errno_ret);
	if (r->n_args > 0) {
		jsonw_karray(w, "args");
		for (i = 0; i < r->n_args; i++) {
			jsonw_object(w);
			jsonw_kint(w, "index", r->args[i].index);
			jsonw_key(w, "value");
			jsonw_uint(w, r->args[i].value);
			jsonw_key(w, "valueTwo");
			jsonw_uint(w, r->args[i].value_two);
			jsonw_kstring(w, "op", r->args[i].op);
			jsonw_end(w);
		}
		jsonw_end(w);
	}
	jsonw_end(w);
}

static void arches_write(struct jsonw *w)
{
	size_t i;

	jsonw_karray(w, "architectures");
	for (i = 0; native_arches[i]; i++)
		jsonw_string(w, native_arches[i]);
	jsonw_end(w);
}

void seccomp_write_default(struct jsonw *w, const char *const *caps)
{
	unsigned kernel = kernel_version();
	size_t i;

	jsonw_object(w);
	jsonw_kstring(w, "defaultAction", "SCMP_ACT_ERRNO");
	jsonw_kint(w, "defaultErrnoRet", 1);
	arches_write(w);
	jsonw_karray(w, "syscalls");
	for (i = 0; i < seccomp_default_n_rules; i++)
		if (rule_applies(&seccomp_default_rules[i], caps, kernel))
			rule_write(w, &seccomp_default_rules[i]);
	jsonw_end(w);
	jsonw_end(w);
}

/* ---- a user's profile ---- */

static int join(struct arena *a, const struct json *list, const char **ret, struct error *err)
{
	auto_(buf) b = BUF_INIT(PROFILE_TEXT_MAX);
	int r;

	*ret = NULL;
	json_for_each_item (item, list) {
		if (item->type != JSON_STRING)
			return error_set(err, ERR_INVALID,
					 "seccomp profile: want a list of strings");
		r = buf_addf(&b, err, "%s%s", b.len ? " " : "", item->s);
		if (r < 0)
			return r;
	}
	if (b.len > 0)
		*ret = arena_strdup(a, b.data);
	return 0;
}

static int rule_args(const struct json *args, struct seccomp_rule *r, struct error *err)
{
	json_for_each_item (arg, args) {
		struct seccomp_arg *to = &r->args[r->n_args];

		if (r->n_args == SECCOMP_ARGS_MAX || json_str(arg, "op") == NULL)
			return error_set(err, ERR_INVALID, "seccomp profile: bad syscall argument");
		to->index = (uint32_t)json_int(arg, "index", 0);
		to->value = (uint64_t)json_int(arg, "value", 0);
		to->value_two = (uint64_t)json_int(arg, "valueTwo", 0);
		to->op = json_str(arg, "op");
		r->n_args++;
	}
	return 0;
}

static int rule_kernel(const struct json *includes, struct seccomp_rule *r, struct error *err)
{
	const char *text = json_str(includes, "minKernel");
	struct str rest, part;
	uint64_t major, minor = 0;
	int e;

	if (text == NULL)
		return 0;
	rest = str_of(text);
	if (!str_split(&rest, '.', &part))
		return error_set(err, ERR_INVALID, "seccomp profile: bad minKernel '%s'", text);
	e = parse_u64(part, 999, &major, err);
	if (e == 0 && str_split(&rest, '.', &part))
		e = parse_u64(part, 999, &minor, err);
	r->min_kernel = (unsigned)(major * 1000 + minor);
	return e;
}

static int rule_read(struct arena *a, const struct json *j, struct seccomp_rule *r,
		     struct error *err)
{
	const struct json *inc = json_get(j, "includes"), *exc = json_get(j, "excludes");
	int e;

	*r = (struct seccomp_rule){ .action = json_str(j, "action") };
	r->errno_ret = (int)json_int(j, "errnoRet", 0);
	e = join(a, json_get(j, "names"), &r->names, err);
	if (e == 0 && r->names == NULL)
		r->names = json_str(j, "name");
	if (e == 0 && (r->names == NULL || r->action == NULL))
		e = error_set(err, ERR_INVALID, "seccomp profile: a rule needs names and action");
	if (e == 0)
		e = join(a, json_get(inc, "caps"), &r->include_caps, err);
	if (e == 0)
		e = join(a, json_get(exc, "caps"), &r->exclude_caps, err);
	if (e == 0)
		e = join(a, json_get(inc, "arches"), &r->include_arches, err);
	if (e == 0)
		e = join(a, json_get(exc, "arches"), &r->exclude_arches, err);
	if (e == 0)
		e = rule_kernel(inc, r, err);
	if (e == 0)
		e = rule_args(json_get(j, "args"), r, err);
	return e;
}

int seccomp_write_profile(struct jsonw *w, const struct json *profile, const char *const *caps,
			  struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	unsigned kernel = kernel_version();
	const struct json *syscalls = json_get(profile, "syscalls");
	struct seccomp_rule rule;
	int r;

	if (json_str(profile, "defaultAction") == NULL)
		return error_set(err, ERR_INVALID, "seccomp profile: defaultAction is required");
	jsonw_object(w);
	jsonw_kstring(w, "defaultAction", json_str(profile, "defaultAction"));
	if (json_get(profile, "defaultErrnoRet"))
		jsonw_kint(w, "defaultErrnoRet", json_int(profile, "defaultErrnoRet", 1));
	if (json_get(profile, "architectures"))
		jsonw_kvalue(w, "architectures", json_get(profile, "architectures"));
	else
		arches_write(w);
	if (json_get(profile, "flags"))
		jsonw_kvalue(w, "flags", json_get(profile, "flags"));
	jsonw_karray(w, "syscalls");
	json_for_each_item (j, syscalls) {
		r = rule_read(&a, j, &rule, err);
		if (r < 0)
			return r;
		if (rule_applies(&rule, caps, kernel))
			rule_write(w, &rule);
	}
	jsonw_end(w);
	jsonw_end(w);
	return 0;
}
