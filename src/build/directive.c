#include "build/directive.h"

#include "base/json.h"
#include "build/rune.h"

static bool is_re_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r';
}

static bool is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static struct str skip_spaces(struct str s)
{
	while (s.len > 0 && is_re_space(s.at[0]))
		s = str_sub(s, 1, s.len);
	return s;
}

/* comment, spaces, name, spaces, '=', spaces, a value on this line. */
static bool match_line(const char *comment, struct str s, struct str *ret_name,
		       struct str *ret_value)
{
	size_t n = 0;

	if (!str_starts(s, comment))
		return false;
	s = skip_spaces(str_sub(s, strlen(comment), s.len));
	if (s.len == 0 || !is_alpha(s.at[0]))
		return false;
	while (n < s.len && (is_alpha(s.at[n]) || (s.at[n] >= '0' && s.at[n] <= '9')))
		n++;
	*ret_name = str_sub(s, 0, n);
	s = skip_spaces(str_sub(s, n, s.len));
	if (s.len == 0 || s.at[0] != '=')
		return false;
	s = skip_spaces(str_sub(s, 1, s.len));
	while (s.len > 0 && is_re_space(s.at[s.len - 1]))
		s.len--;
	*ret_value = s;
	return s.len > 0 && str_find(s, '\n') < 0;
}

int directive_parse_line(struct directive_parser *p, struct arena *a, struct str line,
			 bool *ret_found, struct directive *ret, struct error *err)
{
	struct str name, value;
	char *lower;

	*ret_found = false;
	p->line++;
	if (p->done)
		return 0;
	if (!match_line(p->comment ? p->comment : "#", line, &name, &value) ||
	    p->n_seen == ARRAY_LEN(p->seen)) {
		p->done = true;
		return 0;
	}
	lower = arena_strndup(a, name.at, name.len);
	for (char *c = lower; *c != '\0'; c++)
		*c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
	for (size_t i = 0; i < p->n_seen; i++) {
		if (strcmp(p->seen[i], lower) == 0)
			return error_set(err, ERR_INVALID,
					 "only one %s parser directive can be used", lower);
	}
	p->seen[p->n_seen++] = lower;
	*ret = (struct directive){ lower, arena_strndup(a, value.at, value.len), p->line };
	*ret_found = true;
	return 0;
}

static bool next_line(struct str *rest, struct str *ret)
{
	ptrdiff_t nl;

	if (rest->len == 0)
		return false;
	nl = str_find(*rest, '\n');
	*ret = str_sub(*rest, 0, nl < 0 ? rest->len : (size_t)nl);
	*rest = str_sub(*rest, ret->len + (nl >= 0), rest->len);
	if (ret->len > 0 && ret->at[ret->len - 1] == '\r')
		ret->len--;
	return true;
}

static bool find_comment(struct arena *a, struct str source, const char *comment, const char *name,
			 const char **ret)
{
	struct directive_parser p = { .comment = comment };
	struct directive d;
	const char *value = NULL;
	struct str line;
	bool found;

	while (!p.done && next_line(&source, &line)) {
		if (directive_parse_line(&p, a, line, &found, &d, NULL) < 0)
			return false;
		if (found && value == NULL && strcmp(d.name, name) == 0)
			value = d.value;
	}
	if (value != NULL)
		*ret = value;
	return value != NULL;
}

static bool find_json(struct arena *a, struct str source, const char *name, const char **ret)
{
	const struct json *j;
	const char *value;

	if (json_parse(a, source.at, source.len, &j, NULL) < 0)
		return false;
	json_for_each_member (m, j) {
		if (m->value->type != JSON_STRING)
			return false;
	}
	value = json_str(j, name);
	if (value != NULL)
		*ret = value;
	return value != NULL;
}

bool directive_find(struct arena *a, struct str source, const char *name, bool any_format,
		    const char **ret_word, const char **ret_line)
{
	const char *value;
	struct str line;

	if (str_starts(source, "\xEF\xBB\xBF"))
		source = str_sub(source, 3, source.len);
	if (str_starts(source, "#!"))
		(void)next_line(&source, &line);
	if (!find_comment(a, source, "#", name, &value) &&
	    (!any_format ||
	     (!find_comment(a, source, "//", name, &value) && !find_json(a, source, name, &value))))
		return false;
	*ret_line = value;
	*ret_word = arena_strndup(a, value, strcspn(value, " "));
	return true;
}
