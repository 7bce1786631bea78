/* build/plan_meta.c: instructions that only change the configuration, and WORKDIR. */
#include <strings.h>

#include "base/fs.h"
#include "base/vec.h"
#include "build/ast_args.h"
#include "build/plan_internal.h"
#include "build/shell_word.h"
#include "build/text.h"

#define PORTS_MAX 65536

static struct strings strings_of(struct arena *a, const struct word_array *w)
{
	const char **at = arena_array(a, w->len + 1, sizeof(*at));

	if (w->len > 0)
		memcpy(at, w->at, w->len * sizeof(*at));
	return (struct strings){ at, w->len };
}

static struct strings strings_add(struct arena *a, struct strings s, const char *word)
{
	const char **at = arena_array(a, s.n + 2, sizeof(*at));

	for (size_t i = 0; i < s.n; i++)
		at[i] = s.at[i];
	at[s.n] = word;
	return (struct strings){ at, s.n + 1 };
}

static bool strings_has(struct strings s, const char *word)
{
	for (size_t i = 0; i < s.n; i++) {
		if (strcmp(s.at[i], word) == 0)
			return true;
	}
	return false;
}

static struct strings strings_set_env(struct arena *a, struct strings s, const char *key,
				      const char *value)
{
	const char *pair = arena_format(a, "%s=%s", key, value);
	const char **at = arena_array(a, s.n + 2, sizeof(*at));
	size_t len = strlen(key), n = s.n;
	bool found = false;

	for (size_t i = 0; i < s.n; i++) {
		bool same = strncmp(s.at[i], key, len) == 0 && s.at[i][len] == '=';

		at[i] = same && !found ? pair : s.at[i];
		found |= same;
	}
	if (!found)
		at[n++] = pair;
	return (struct strings){ at, n };
}

static struct pairs pairs_set(struct arena *a, struct pairs p, const char *key, const char *value)
{
	struct pair *at = arena_array(a, p.n + 1, sizeof(*at));
	size_t n = p.n;
	bool found = false;

	for (size_t i = 0; i < p.n; i++) {
		at[i] = p.at[i];
		if (strcmp(at[i].key, key) == 0) {
			at[i].value = value;
			found = true;
		}
	}
	if (!found)
		at[n++] = (struct pair){ key, value };
	return (struct pairs){ at, n };
}

static int expand_pairs(struct planner *p, struct stage_plan *s, const struct instruction *i,
			struct key_value *out, struct error *err)
{
	bool legacy = false;
	int r;

	for (size_t k = 0; k < i->n_pairs; k++) {
		out[k] = i->pairs[k];
		legacy |= out[k].no_delim;
		r = plan_expand(p, s, i->node, i->pairs[k].key, &out[k].key, err);
		if (r == 0)
			r = plan_expand(p, s, i->node, i->pairs[k].value, &out[k].value, err);
		if (r < 0)
			return r;
	}
	if (legacy)
		lint_add_to(
		    p->lint, LINT_LEGACY_KEY_VALUE_FORMAT, i->node,
		    "\"%s key=value\" should be used instead of legacy \"%s key value\" format",
		    instruction_name(i->kind), instruction_name(i->kind));
	return 0;
}

static int plan_env(struct planner *p, struct stage_plan *s, const struct instruction *i,
		    struct error *err)
{
	struct key_value *pairs = arena_array(p->arena, i->n_pairs + 1, sizeof(*pairs));
	auto_(text) t = TEXT_INIT;
	int r = expand_pairs(p, s, i, pairs, err);

	if (r < 0)
		return r;
	for (size_t k = 0; k < i->n_pairs; k++) {
		vars_set(p->arena, &s->env, pairs[k].key, pairs[k].value);
		s->image.config.env =
		    strings_set_env(p->arena, s->image.config.env, pairs[k].key, pairs[k].value);
		plan_lint_secret(p, i, pairs[k].key);
		text_addf(&t, " %s=%s", pairs[k].key, pairs[k].value);
	}
	plan_history(p, s, NULL, "ENV%s", t.at ? t.at : "");
	return 0;
}

static int plan_label(struct planner *p, struct stage_plan *s, const struct instruction *i,
		      struct error *err)
{
	struct key_value *pairs = arena_array(p->arena, i->n_pairs + 1, sizeof(*pairs));
	auto_(text) t = TEXT_INIT;
	int r = expand_pairs(p, s, i, pairs, err);

	if (r < 0)
		return r;
	for (size_t k = 0; k < i->n_pairs; k++) {
		s->image.config.labels =
		    pairs_set(p->arena, s->image.config.labels, pairs[k].key, pairs[k].value);
		text_addf(&t, " %s=%s", pairs[k].key, pairs[k].value);
	}
	plan_history(p, s, NULL, "LABEL%s", t.at ? t.at : "");
	return 0;
}

/* Shell form goes through the stage's SHELL. */
static struct word_array command_line(struct planner *p, struct stage_plan *s,
				      const struct instruction *i)
{
	static const char *const default_shell[] = { "/bin/sh", "-c" };
	struct strings shell = s->image.config.shell;
	struct word_list words = { 0 };

	if (!i->prepend_shell)
		return i->words;
	if (shell.n == 0)
		shell = (struct strings){ default_shell, 2 };
	for (size_t k = 0; k < shell.n; k++)
		word_list_add(p->arena, &words, shell.at[k]);
	word_list_add(p->arena, &words, i->words.len ? i->words.at[0] : "");
	return (struct word_array){ words.at, words.len };
}

static void lint_once(struct planner *p, struct stage_plan *s, const struct instruction *i)
{
	const struct ast_node *before = NULL;

	for (size_t k = 0; k < s->stage->len && &s->stage->at[k] != i; k++) {
		if (s->stage->at[k].kind == i->kind)
			before = s->stage->at[k].node;
	}
	/* The place is the one, the comment above is the other's. Peer: BuildKit. */
	if (before != NULL && lint_wants(p->lint, LINT_MULTIPLE_INSTRUCTIONS_DISALLOWED, i->node))
		lint_add(p->lint, LINT_MULTIPLE_INSTRUCTIONS_DISALLOWED, before->line,
			 before->end_line,
			 "Multiple %s instructions should not be used in the same stage because "
			 "only the last one will be used",
			 instruction_name(i->kind));
}

static int plan_command(struct planner *p, struct stage_plan *s, const struct instruction *i,
			struct error *err)
{
	struct word_array words = command_line(p, s, i);
	const char *name = instruction_name(i->kind);
	struct container_config *c = &s->image.config;

	(void)err;
	lint_once(p, s, i);
	if (i->prepend_shell && c->shell.n == 0)
		lint_add_to(
		    p->lint, LINT_JSON_ARGS_RECOMMENDED, i->node,
		    "JSON arguments recommended for %s to prevent unintended behavior related "
		    "to OS signals",
		    i->name);
	if (i->kind == INS_CMD) {
		c->cmd = strings_of(p->arena, &words);
		c->args_escaped = true;
		s->cmd_set = true;
	} else {
		c->entrypoint = strings_of(p->arena, &words);
		if (!s->cmd_set)
			c->cmd = (struct strings){ 0 };
	}
	plan_history(p, s, NULL, "%s %s", name, plan_quote_list(p->arena, &words));
	return 0;
}

static const char *go_duration(struct arena *a, int64_t ns)
{
	auto_(text) t = TEXT_INIT;
	int64_t s = ns / 1000000000, rest = ns % 1000000000;

	if (ns == 0)
		return "0s";
	if (s == 0)
		return ns % 1000000 == 0 ? arena_format(a, "%lldms", (long long)(ns / 1000000))
					 : arena_format(a, "%gms", (double)ns / 1e6);
	if (s >= 3600)
		text_addf(&t, "%lldh", (long long)(s / 3600));
	if (s >= 60)
		text_addf(&t, "%lldm", (long long)(s / 60 % 60));
	if (rest == 0)
		text_addf(&t, "%llds", (long long)(s % 60));
	else
		text_addf(&t, "%gs", (double)(s % 60) + (double)rest / 1e9);
	return text_dup(&t, a);
}

static int plan_healthcheck(struct planner *p, struct stage_plan *s, const struct instruction *i,
			    struct error *err)
{
	const struct health *h = &i->health;
	struct healthcheck *c = arena_new(p->arena, struct healthcheck);

	(void)err;
	lint_once(p, s, i);
	*c = (struct healthcheck){
		.test = strings_of(p->arena, &h->test),
		.interval_ns = h->interval_ns,
		.timeout_ns = h->timeout_ns,
		.start_period_ns = h->start_period_ns,
		.start_interval_ns = h->start_interval_ns,
		.retries = h->retries,
	};
	s->image.config.healthcheck = c;
	plan_history(p, s, NULL,
		     "HEALTHCHECK {Test:[%s] Interval:%s Timeout:%s StartPeriod:%s "
		     "StartInterval:%s Retries:%lld}",
		     plan_join(p->arena, &h->test, " "), go_duration(p->arena, h->interval_ns),
		     go_duration(p->arena, h->timeout_ns),
		     go_duration(p->arena, h->start_period_ns),
		     go_duration(p->arena, h->start_interval_ns), (long long)h->retries);
	return 0;
}

static int port_number(struct str s, unsigned *ret)
{
	uint64_t n;

	if (parse_u64(s, 65535, &n, NULL) < 0)
		return -1;
	*ret = (unsigned)n;
	return 0;
}

/* "8080", "8080-8090", "127.0.0.1:80:8080/udp": what counts is the last part. */
static int add_ports(struct planner *p, struct stage_plan *s, const struct instruction *i,
		     const char *spec, struct word_list *out, struct error *err)
{
	struct str port = str_of(spec), proto = STR_LIT("tcp"), low, high;
	ptrdiff_t slash = str_rfind(port, '/'), colon, dash;
	unsigned from, to;

	if (slash >= 0) {
		proto = str_sub(port, (size_t)slash + 1, port.len);
		port = str_sub(port, 0, (size_t)slash);
	}
	colon = str_rfind(port, ':');
	if (colon >= 0) {
		lint_add_to(
		    p->lint, LINT_EXPOSE_INVALID_FORMAT, i->node,
		    "EXPOSE instruction should not define an IP address or host-port mapping, "
		    "found '%s'",
		    spec);
		port = str_sub(port, (size_t)colon + 1, port.len);
	}
	if (!str_eq_nocase(proto, STR_LIT("tcp")) && !str_eq_nocase(proto, STR_LIT("udp")) &&
	    !str_eq_nocase(proto, STR_LIT("sctp")))
		return error_set(err, ERR_INVALID, "invalid proto: %.*s", STR_ARG(proto));
	dash = str_find(port, '-');
	low = dash < 0 ? port : str_sub(port, 0, (size_t)dash);
	high = dash < 0 ? port : str_sub(port, (size_t)dash + 1, port.len);
	if (port_number(low, &from) < 0 || port_number(high, &to) < 0 || to < from)
		return error_set(err, ERR_INVALID, "invalid containerPort: %.*s", STR_ARG(port));
	for (unsigned n = from; n <= to && out->len < PORTS_MAX; n++) {
		char *text = arena_format(p->arena, "%u/%.*s", n, STR_ARG(proto));
		char *lower = strchr(text, '/');

		for (; *lower != '\0'; lower++)
			*lower = (char)(*lower >= 'A' && *lower <= 'Z' ? *lower + 32 : *lower);
		if (n == from && !str_eqs(proto, strchr(text, '/') + 1))
			lint_add_to(
			    p->lint, LINT_EXPOSE_PROTO_CASING, i->node,
			    "Defined protocol '%s' in EXPOSE instruction should be lowercase",
			    spec);
		word_list_add(p->arena, out, text);
	}
	(void)s;
	return 0;
}

static int plan_expose(struct planner *p, struct stage_plan *s, const struct instruction *i,
		       struct error *err)
{
	struct shell_lex lex = { .escape = p->file->ast.escape };
	struct container_config *c = &s->image.config;
	struct word_list ports = { 0 };
	struct word_array all;
	struct shell_result words;
	int r;

	for (size_t k = 0; k < i->words.len; k++) {
		r = shell_expand(p->arena, &lex, i->words.at[k], &s->env, &words, err);
		for (size_t w = 0; r == 0 && w < words.n_words; w++)
			r = add_ports(p, s, i, words.words[w], &ports, err);
		if (r < 0)
			return r;
	}
	for (size_t k = 0; k < ports.len; k++) {
		if (!strings_has(c->exposed_ports, ports.at[k]))
			c->exposed_ports = strings_add(p->arena, c->exposed_ports, ports.at[k]);
	}
	all = (struct word_array){ ports.at, ports.len };
	plan_history(p, s, NULL, "EXPOSE [%s]", plan_join(p->arena, &all, " "));
	return 0;
}

static int plan_volume(struct planner *p, struct stage_plan *s, const struct instruction *i,
		       struct error *err)
{
	struct container_config *c = &s->image.config;
	struct word_array all = { arena_array(p->arena, i->words.len + 1, sizeof(*all.at)), 0 };
	int r;

	for (size_t k = 0; k < i->words.len; k++) {
		const char *v;

		r = plan_expand(p, s, i->node, i->words.at[k], &v, err);
		if (r < 0)
			return r;
		if (v[0] == '\0')
			return error_set(err, ERR_INVALID,
					 "VOLUME specified can not be an empty string");
		if (!strings_has(c->volumes, v))
			c->volumes = strings_add(p->arena, c->volumes, v);
		all.at[all.len++] = v;
	}
	plan_history(p, s, NULL, "VOLUME [%s]", plan_join(p->arena, &all, " "));
	return 0;
}

/* RTMIN RTMIN+1 ... RTMIN+15 RTMAX-14 ... RTMAX */
static bool is_realtime(const char *name)
{
	bool min = strncasecmp(name, "RTMIN", 5) == 0;
	uint64_t n;

	if (!min && strncasecmp(name, "RTMAX", 5) != 0)
		return false;
	return name[5] == '\0' || (name[5] == (min ? '+' : '-') && name[6] != '0' &&
				   parse_u64(str_of(name + 6), min ? 15 : 14, &n, NULL) == 0);
}

static int plan_stopsignal(struct planner *p, struct stage_plan *s, const struct instruction *i,
			   const char *value, struct error *err)
{
	static const char *const names[] = {
		"HUP",    "INT",  "QUIT",  "ILL",  "TRAP", "ABRT", "IOT",  "BUS",    "FPE",
		"KILL",   "USR1", "SEGV",  "USR2", "PIPE", "ALRM", "TERM", "STKFLT", "CHLD",
		"CLD",    "CONT", "STOP",  "TSTP", "TTIN", "TTOU", "URG",  "XCPU",   "XFSZ",
		"VTALRM", "PROF", "WINCH", "IO",   "POLL", "PWR",  "SYS",  "UNUSED",
	};
	const char *name = strncasecmp(value, "SIG", 3) == 0 ? value + 3 : value;
	bool known = is_realtime(name);
	uint64_t n;

	for (size_t k = 0; k < ARRAY_LEN(names); k++)
		known |= strcasecmp(name, names[k]) == 0;
	if (!known && (parse_u64(str_of(value), INT32_MAX, &n, NULL) < 0 || n == 0))
		return error_set(err, ERR_INVALID, "invalid signal: %s", value);
	s->image.config.stop_signal = value;
	(void)i;
	plan_history(p, s, NULL, "STOPSIGNAL %s", value);
	return 0;
}

static int plan_workdir(struct planner *p, struct stage_plan *s, const struct instruction *i,
			const char *value, struct error *err)
{
	const char *before = s->image.config.working_dir;
	const char *path = plan_path(p, s, value);
	autofree char *clean = fs_path_clean(path);
	struct node *n;
	int r;

	if (value[0] != '/' && !s->workdir_set)
		lint_add_to(
		    p->lint, LINT_WORKDIR_RELATIVE_PATH, i->node,
		    "Relative workdir %s can have unexpected results if the base image changes",
		    text_quote(p->arena, value));
	s->workdir_set = true;
	/* An absolute path stands in the configuration as it was written, and nothing changes
	 * nothing. Peer: BuildKit. */
	if (value[0] == '/')
		s->image.config.working_dir = value;
	else if (value[0] != '\0' || cstr_is_empty(before))
		s->image.config.working_dir = arena_strdup(p->arena, clean);
	if (strcmp(clean, "/") == 0) {
		plan_history(p, s, NULL, "WORKDIR %s", s->image.config.working_dir);
		return 0;
	}
	r = plan_check_owner(s, s->image.config.user ? s->image.config.user : "", err);
	if (r < 0)
		return r;
	n = plan_node(p, s, NODE_WORKDIR, i->node->original, i->node->line);
	n->user = s->image.config.user ? s->image.config.user : "";
	n->path = arena_strdup(p->arena, clean);
	plan_history(p, s, n, "WORKDIR %s", s->image.config.working_dir);
	return 0;
}

/* WORKDIR USER STOPSIGNAL: one expanded word. */
static int plan_word(struct planner *p, struct stage_plan *s, const struct instruction *i,
		     struct error *err)
{
	const char *value;
	int r = plan_expand(p, s, i->node, i->words.at[0], &value, err);

	if (r < 0)
		return r;
	if (i->kind == INS_STOPSIGNAL)
		return plan_stopsignal(p, s, i, value, err);
	if (i->kind == INS_WORKDIR)
		return plan_workdir(p, s, i, value, err);
	s->image.config.user = value;
	plan_history(p, s, NULL, "USER %s", value);
	return 0;
}

static int plan_shell(struct planner *p, struct stage_plan *s, const struct instruction *i,
		      struct error *err)
{
	(void)err;
	s->image.config.shell = strings_of(p->arena, &i->words);
	plan_history(p, s, NULL, "SHELL [%s]", plan_join(p->arena, &i->words, " "));
	return 0;
}

static int plan_maintainer(struct planner *p, struct stage_plan *s, const struct instruction *i,
			   struct error *err)
{
	(void)err;
	s->image.author = i->words.at[0];
	plan_history(p, s, NULL, "MAINTAINER %s", i->words.at[0]);
	return 0;
}

static int plan_onbuild(struct planner *p, struct stage_plan *s, const struct instruction *i,
			struct error *err)
{
	(void)err;
	s->image.config.on_build = strings_add(p->arena, s->image.config.on_build, i->words.at[0]);
	return 0;
}

int plan_arg(struct planner *p, struct stage_plan *s, const struct instruction *i,
	     struct error *err)
{
	auto_(text) t = TEXT_INIT;
	int r;

	for (size_t k = 0; k < i->n_pairs; k++) {
		const char *key = i->pairs[k].key, *value = i->pairs[k].value, *given;

		/* The name stands as written, a default that does not count is not looked at.
		 * Peer: BuildKit. */
		plan_lint_secret(p, i, key);
		r = 0;
		if (plan_build_arg(p, key, &given) && given != NULL)
			value = given;
		else if (value != NULL)
			r = plan_expand(p, s, i->node, value, &value, err);
		else
			value = vars_get(&p->globals, key);
		if (r < 0)
			return r;
		text_addf(&t, " %s", key);
		if (value != NULL)
			text_addf(&t, "=%s", value);
		if (value != NULL) {
			vars_set(p->arena, &s->env, key, value);
			vars_set(p->arena, &s->args, key, value);
		} else {
			vars_set(p->arena, &s->args, key, NULL);
		}
	}
	plan_history(p, s, NULL, "ARG%s", t.at ? t.at : "");
	return 0;
}

int plan_meta(struct planner *p, struct stage_plan *s, const struct instruction *i,
	      struct error *err)
{
	static const plan_fn table[INS_KIND_COUNT] = {
		[INS_ARG] = plan_arg,
		[INS_CMD] = plan_command,
		[INS_ENTRYPOINT] = plan_command,
		[INS_ENV] = plan_env,
		[INS_EXPOSE] = plan_expose,
		[INS_HEALTHCHECK] = plan_healthcheck,
		[INS_LABEL] = plan_label,
		[INS_MAINTAINER] = plan_maintainer,
		[INS_ONBUILD] = plan_onbuild,
		[INS_SHELL] = plan_shell,
		[INS_STOPSIGNAL] = plan_word,
		[INS_USER] = plan_word,
		[INS_VOLUME] = plan_volume,
		[INS_WORKDIR] = plan_word,
	};

	if (table[i->kind] == NULL)
		return error_set(err, ERR_INVALID, "%s is not allowed here",
				 instruction_name(i->kind));
	return table[i->kind](p, s, i, err);
}
