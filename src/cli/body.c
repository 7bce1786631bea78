/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/body.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/jsonw.h"
#include "base/str.h"

enum { FILE_MAX = 64 << 20 };

struct json *body_member(struct arena *a, struct json *o, const char *key)
{
	for (size_t i = 0; i < o->n_members; i++)
		if (strcmp(o->members[i].key, key) == 0)
			return o->members[i].value;
	json_set(a, o, key, json_new_object(a));
	return o->members[o->n_members - 1].value;
}

struct json *body_list(struct arena *a, const struct args *args, const char *flag)
{
	struct json *list = json_new_array(a);

	args_for_each(text, args, flag) json_push(a, list, json_new_string(a, text));
	return list;
}

static void map_add(struct arena *a, struct json *map, const char *text)
{
	const char *eq = strchr(text, '=');

	json_set(a, map, arena_strndup(a, text, eq ? (size_t)(eq - text) : strlen(text)),
		 json_new_string(a, eq ? eq + 1 : ""));
}

static int member_compare(const void *a, const void *b)
{
	return strcmp(((const struct json_member *)a)->key, ((const struct json_member *)b)->key);
}

struct json *body_map(struct arena *a, const struct args *args, const char *flag)
{
	struct json *map = json_new_object(a);

	args_for_each(text, args, flag) map_add(a, map, text);
	/* As Go writes a map. */
	if (map->n_members > 1)
		qsort(map->members, map->n_members, sizeof(*map->members), member_compare);
	return map;
}

/* "[255 10]", as Go prints bytes. */
static const char *bytes_text(struct arena *a, struct str s)
{
	enum { SHOWN_MAX = 64 };
	const char *all = "";

	for (size_t i = 0; i < s.len && i < SHOWN_MAX; i++)
		all = arena_format(a, "%s%s%u", all, i ? " " : "", (unsigned char)s.at[i]);
	return arena_format(a, "[%s]", all);
}

/* Lines of a file of k=v: comments and blank lines left out. */
static int file_lines(struct arena *a, const char *path, struct json *list, bool env,
		      struct error *err)
{
	auto_(buf) text = BUF_INIT(FILE_MAX);
	struct str rest, line;
	unsigned number = 0;

	if (access(path, R_OK) < 0)
		return error_set(err, ERR_NOT_FOUND, "open %s: %s", path,
				 errno == ENOENT ? "no such file or directory"
						 : "permission denied");
	if (fs_read_file(path, &text, err) < 0)
		return -err->kind;
	rest = (struct str){ text.data ? text.data : "", text.len };
	while (str_split(&rest, '\n', &line)) {
		struct str left;
		const char *one, *eq;

		number++;
		if (number == 1 && line.len >= 3 && memcmp(line.at, "\xef\xbb\xbf", 3) == 0)
			line = str_sub(line, 3, line.len);
		if (line.len && line.at[line.len - 1] == '\r')
			line.len--;
		left = line;
		while (left.len && isspace((unsigned char)left.at[0]))
			left = str_sub(left, 1, left.len);
		if (left.len == 0 || left.at[0] == '#')
			continue;
		if (!utf8_valid(left))
			return error_set(err, ERR_INVALID,
					 "invalid env file (%s): invalid utf8 bytes at line %u: %s",
					 path, number, bytes_text(a, left));
		one = arena_strndup(a, left.at, left.len);
		eq = strchr(one, '=');
		if (eq == one)
			return error_set(err, ERR_INVALID,
					 "invalid env file (%s): no variable name on "
					 "line '%s'",
					 path, one);
		if (strcspn(one, " \t") < (eq ? (size_t)(eq - one) : strlen(one)))
			return error_set(err, ERR_INVALID,
					 "invalid env file (%s): variable '%.*s' "
					 "contains whitespaces",
					 path, (int)(eq ? (size_t)(eq - one) : strlen(one)), one);
		if (!eq && env) {
			const char *value = getenv(one);

			if (!value)
				continue;
			one = arena_format(a, "%s=%s", one, value);
		}
		json_push(a, list, json_new_string(a, one));
	}
	return 0;
}

int body_env(struct arena *a, const struct args *args, const char *flag, const char *file_flag,
	     struct json **ret, struct error *err)
{
	struct json *list = json_new_array(a);
	int r = 0;

	args_for_each(path, args, file_flag) if (r == 0) r = file_lines(a, path, list, true, err);
	if (r < 0)
		return r;
	args_for_each(text, args, flag)
	{
		const char *value;

		if (strchr(text, '=')) {
			json_push(a, list, json_new_string(a, text));
			continue;
		}
		value = getenv(text);
		if (value)
			json_push(a, list,
				  json_new_string(a, arena_format(a, "%s=%s", text, value)));
	}
	*ret = list;
	return 0;
}

int body_labels(struct arena *a, const struct args *args, const char *flag, const char *file_flag,
		struct json **ret, struct error *err)
{
	struct json *list = json_new_array(a), *map = json_new_object(a);
	int r = 0;

	if (file_flag)
		args_for_each(path, args, file_flag) if (r == 0) r =
		    file_lines(a, path, list, false, err);
	if (r < 0)
		return r;
	json_for_each_item (item, list)
		map_add(a, map, item->s);
	args_for_each(text, args, flag) map_add(a, map, text);
	*ret = map;
	return 0;
}

const char *body_text(struct arena *a, const struct json *body)
{
	auto_(buf) text = BUF_INIT(FILE_MAX);
	struct jsonw w;

	jsonw_init(&w, &text);
	jsonw_value(&w, body);
	return jsonw_finish(&w, NULL) < 0 ? "{}" : arena_strdup(a, text.data);
}
