/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/command.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

const struct command *command_at(size_t i)
{
	if (i < n_commands_container)
		return &commands_container[i];
	i -= n_commands_container;
	if (i < n_commands_image)
		return &commands_image[i];
	i -= n_commands_image;
	if (i < n_commands_object)
		return &commands_object[i];
	i -= n_commands_object;
	return i < n_commands_system ? &commands_system[i] : NULL;
}

static struct str path_parent(struct str path)
{
	ptrdiff_t at = str_rfind(path, ' ');

	return at < 0 ? str_sub(path, 0, 0) : str_sub(path, 0, (size_t)at);
}

static struct str path_word(struct str path)
{
	ptrdiff_t at = str_rfind(path, ' ');

	return at < 0 ? path : str_sub(path, (size_t)at + 1, path.len);
}

/* The first path of the command with the same parent names it there. */
static void path_shown(const struct command *c, struct str path, char ret[64])
{
	struct str rest = str_of(c->paths), field, word = path_word(path);
	struct str parent = path_parent(path);

	while (str_split(&rest, ',', &field)) {
		struct str p = path_parent(field);

		if (p.len == parent.len && memcmp(p.at, parent.at, p.len) == 0) {
			word = path_word(field);
			break;
		}
	}
	if (word.len > 63)
		word.len = 63;
	memcpy(ret, word.at, word.len);
	ret[word.len] = 0;
}

const struct command *command_find(const char *path, char ret_shown[64])
{
	const struct command *c;

	for (size_t i = 0; (c = command_at(i)); i++) {
		struct str rest = str_of(c->paths), field;

		while (str_split(&rest, ',', &field)) {
			if (!str_eqs(field, path))
				continue;
			if (ret_shown)
				path_shown(c, field, ret_shown);
			return c;
		}
	}
	return NULL;
}

const struct command_group *command_group_find(const char *name)
{
	for (size_t i = 0; i < n_command_groups; i++)
		if (strcmp(command_groups[i].name, name) == 0)
			return &command_groups[i];
	return NULL;
}

size_t command_n_flags(const struct command *c)
{
	return c->sets[0].n_flags + c->sets[1].n_flags;
}

const struct flag *command_flag_at(const struct command *c, size_t i)
{
	if (i < c->sets[0].n_flags)
		return &c->sets[0].flags[i];
	return &c->sets[1].flags[i - c->sets[0].n_flags];
}

const struct flag *command_flag(const struct command *c, const char *name, size_t len,
				size_t *ret_index)
{
	for (size_t i = 0; i < command_n_flags(c); i++) {
		const struct flag *f = command_flag_at(c, i);

		if (strlen(f->name) == len && memcmp(f->name, name, len) == 0) {
			*ret_index = i;
			return f;
		}
	}
	return NULL;
}

const struct flag *command_letter(const struct command *c, char letter, size_t *ret_index)
{
	for (size_t i = 0; i < command_n_flags(c); i++) {
		const struct flag *f = command_flag_at(c, i);

		if (f->letter == letter) {
			*ret_index = i;
			return f;
		}
	}
	return NULL;
}

static int flag_compare(const void *a, const void *b)
{
	return strcmp((*(const struct flag *const *)a)->name,
		      (*(const struct flag *const *)b)->name);
}

void command_flags_sorted(const struct command *c, const struct flag **ret)
{
	size_t n = command_n_flags(c);

	for (size_t i = 0; i < n; i++)
		ret[i] = command_flag_at(c, i);
	qsort(ret, n, sizeof(*ret), flag_compare);
}

const char *flag_word(const struct flag *f)
{
	static const char *const words[] = {
		[FLAG_BOOL] = "",           [FLAG_STRING] = "string",
		[FLAG_INT] = "int",         [FLAG_UINT] = "uint",
		[FLAG_UINT16] = "uint16",   [FLAG_LIST] = "list",
		[FLAG_STRINGS] = "strings", [FLAG_MAP] = "map",
		[FLAG_BYTES] = "bytes",     [FLAG_DURATION] = "duration",
		[FLAG_DECIMAL] = "decimal", [FLAG_FILTER] = "filter",
		[FLAG_PLATFORM] = "string",
	};

	return f->word ? f->word : words[f->type];
}
