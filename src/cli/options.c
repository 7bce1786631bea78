/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/options.h"

#include <ctype.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "base/vec.h"
#include "cli/flag_check.h"

int csv_parse(struct arena *a, const char *text, struct csv *ret, struct error *err)
{
	struct csv out = { arena_array(a, strlen(text) + 1, sizeof(char *)), 0 };
	const char *p = text;

	while (*text) {
		char *field = arena_strdup(a, p);
		size_t n = 0;

		if (*p == '"') {
			for (p++; *p && !(*p == '"' && p[1] != '"'); p++) {
				if (*p == '"')
					p++;
				field[n++] = *p;
			}
			if (*p++ != '"')
				return error_set(err, ERR_INVALID,
						 "parse error on line 1, column "
						 "%zu: extraneous or missing \" in quoted-field",
						 strlen(text) + 1);
		} else {
			while (*p && *p != ',')
				field[n++] = *p++;
		}
		field[n] = 0;
		out.fields[out.n++] = field;
		if (*p != ',')
			break;
		p++;
	}
	*ret = out;
	return 0;
}

static struct json *member_object(struct arena *a, struct json *o, const char *key)
{
	for (size_t i = 0; i < o->n_members; i++)
		if (strcmp(o->members[i].key, key) == 0)
			return o->members[i].value;
	json_set(a, o, key, json_new_object(a));
	return o->members[o->n_members - 1].value;
}

struct mount_key {
	const char *key;
	const char *section; /* "" = the mount itself */
	const char *name;
	enum json_type type;
};

static const struct mount_key mount_keys[] = {
	{ "source", "", "Source", JSON_STRING },
	{ "src", "", "Source", JSON_STRING },
	{ "target", "", "Target", JSON_STRING },
	{ "dst", "", "Target", JSON_STRING },
	{ "destination", "", "Target", JSON_STRING },
	{ "consistency", "", "Consistency", JSON_STRING },
	{ "readonly", "", "ReadOnly", JSON_BOOL },
	{ "ro", "", "ReadOnly", JSON_BOOL },
	{ "bind-propagation", "BindOptions", "Propagation", JSON_STRING },
	{ "bind-nonrecursive", "BindOptions", "NonRecursive", JSON_BOOL },
	{ "bind-create-src", "BindOptions", "CreateMountpoint", JSON_BOOL },
	{ "volume-subpath", "VolumeOptions", "Subpath", JSON_STRING },
	{ "volume-nocopy", "VolumeOptions", "NoCopy", JSON_BOOL },
	{ "image-subpath", "ImageOptions", "Subpath", JSON_STRING },
};

static int mount_bool(const char *key, const char *value, bool *ret, struct error *err)
{
	if (!value) {
		*ret = true;
		return 0;
	}
	if (parse_bool(str_of(value), ret, NULL) < 0)
		return error_set(err, ERR_INVALID, "invalid value for %s: %s", key, value);
	return 0;
}

static int mount_recursive(struct arena *a, struct json *m, const char *value, struct error *err)
{
	struct json *bind = member_object(a, m, "BindOptions");

	if (strcmp(value, "enabled") == 0)
		return 0;
	if (strcmp(value, "disabled") == 0)
		json_set(a, bind, "NonRecursive", json_new_bool(a, true));
	else if (strcmp(value, "writable") == 0)
		json_set(a, bind, "ReadOnlyNonRecursive", json_new_bool(a, true));
	else if (strcmp(value, "readonly") == 0)
		json_set(a, bind, "ReadOnlyForceRecursive", json_new_bool(a, true));
	else
		return error_set(err, ERR_INVALID,
				 "invalid value for bind-recursive: %s (must be \"enabled\", "
				 "\"disabled\", \"writable\", or \"readonly\")",
				 value);
	return 0;
}

/* The keys that need more than a copy. -ERR_NOT_FOUND when it is none of them. */
static int mount_special(struct arena *a, struct json *m, const char *key, const char *value,
			 struct error *err)
{
	struct json *volume;
	const char *eq = strchr(value, '=');
	uint64_t mode;
	int64_t size = 0;

	if (strcmp(key, "type") == 0) {
		char *type = arena_strdup(a, value);

		for (char *p = type; *p; p++)
			if (*p >= 'A' && *p <= 'Z')
				*p += 'a' - 'A';
		json_set(a, m, "Type", json_new_string(a, type));
		return 0;
	}
	if (strcmp(key, "bind-recursive") == 0)
		return mount_recursive(a, m, value, err);
	if (strcmp(key, "tmpfs-size") == 0) {
		if (check_bytes(value, &size, NULL) < 0)
			return error_set(err, ERR_INVALID, "invalid value for %s: %s", key, value);
		json_set(a, member_object(a, m, "TmpfsOptions"), "SizeBytes",
			 json_new_int(a, size));
		return 0;
	}
	if (strcmp(key, "tmpfs-mode") == 0) {
		if (parse_octal(str_of(value), UINT32_MAX, &mode, NULL) < 0)
			return error_set(err, ERR_INVALID, "invalid value for %s: %s", key, value);
		json_set(a, member_object(a, m, "TmpfsOptions"), "Mode",
			 json_new_int(a, (int64_t)mode));
		return 0;
	}
	if (!cstr_starts(key, "volume-"))
		return -ERR_NOT_FOUND;
	volume = member_object(a, m, "VolumeOptions");
	if (strcmp(key, "volume-label") == 0) {
		json_set(a, member_object(a, volume, "Labels"),
			 eq ? arena_strndup(a, value, (size_t)(eq - value)) : value,
			 json_new_string(a, eq ? eq + 1 : ""));
		return 0;
	}
	volume = member_object(a, volume, "DriverConfig");
	if (strcmp(key, "volume-driver") == 0)
		json_set(a, volume, "Name", json_new_string(a, value));
	else if (strcmp(key, "volume-opt") == 0)
		json_set(a, member_object(a, volume, "Options"),
			 eq ? arena_strndup(a, value, (size_t)(eq - value)) : value,
			 json_new_string(a, eq ? eq + 1 : ""));
	else
		return -ERR_NOT_FOUND;
	return 0;
}

static int mount_field(struct arena *a, struct json *m, const char *field, struct error *err)
{
	const char *eq = strchr(field, '='), *value = eq ? eq + 1 : NULL;
	char *key = arena_strndup(a, field, eq ? (size_t)(eq - field) : strlen(field));
	bool b = true;
	int r;

	for (char *p = key; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p += 'a' - 'A';
	for (size_t i = 0; i < ARRAY_LEN(mount_keys); i++) {
		const struct mount_key *k = &mount_keys[i];
		struct json *to;

		if (strcmp(k->key, key) != 0)
			continue;
		if (!value && k->type != JSON_BOOL)
			break;
		if (k->type == JSON_BOOL) {
			r = mount_bool(key, value, &b, err);
			if (r < 0)
				return r;
		}
		to = *k->section ? member_object(a, m, k->section) : m;
		if (strcmp(k->name, "Source") == 0 && value[0] == '.' &&
		    (value[1] == '/' || !value[1] ||
		     (value[1] == '.' && (value[2] == '/' || !value[2])))) {
			autofree char *cwd = getcwd(NULL, 0);
			autofree char *full = cstr_format("%s/%s", cwd ? cwd : "", value);
			autofree char *clean = fs_path_clean(full);

			json_set(a, to, k->name, json_new_string(a, arena_strdup(a, clean)));
			return 0;
		}
		json_set(a, to, k->name,
			 k->type == JSON_BOOL ? json_new_bool(a, b) : json_new_string(a, value));
		return 0;
	}
	if (!value)
		return error_set(err, ERR_INVALID, "invalid field '%s' must be a key=value pair",
				 field);
	r = mount_special(a, m, key, value, err);
	if (r == -ERR_NOT_FOUND)
		return error_set(err, ERR_INVALID, "unexpected key '%s' in '%s'", key, field);
	return r;
}

int mount_parse(struct arena *a, const char *text, struct json **ret, struct error *err)
{
	static const struct {
		const char *section, *type, *word;
	} owners[] = { { "BindOptions", "bind", "bind" },
		       { "VolumeOptions", "volume", "volume" },
		       { "ImageOptions", "image", "image" },
		       { "TmpfsOptions", "tmpfs", "tmpfs" } };
	struct json *m = json_new_object(a);
	struct csv csv;
	const char *type, *target;
	int r;

	json_set(a, m, "Type", json_new_string(a, "volume"));
	r = csv_parse(a, text, &csv, err);
	for (size_t i = 0; r == 0 && i < csv.n; i++)
		r = mount_field(a, m, csv.fields[i], err);
	if (r < 0)
		return r;
	/* Peer: the docker CLI sends an empty driver beside any option of a volume. */
	if (json_get(m, "VolumeOptions"))
		member_object(a, member_object(a, m, "VolumeOptions"), "DriverConfig");
	type = json_str(m, "Type");
	target = json_str(m, "Target");
	if (!*type)
		return error_set(err, ERR_INVALID, "type is required");
	if (!target || !*target)
		return error_set(err, ERR_INVALID, "target is required");
	for (size_t i = 0; i < ARRAY_LEN(owners); i++)
		if (json_get(m, owners[i].section) && strcmp(type, owners[i].type) != 0)
			return error_set(err, ERR_INVALID,
					 "cannot mix '%s-*' options with mount type '%s'",
					 owners[i].word, type);
	*ret = m;
	return 0;
}

int check_mount(const char *s, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	struct json *m;

	return mount_parse(&a, s, &m, err);
}

static struct json *array_of(struct arena *a, struct json **array)
{
	if (!*array)
		*array = json_new_array(a);
	return *array;
}

static int network_field(struct arena *a, const char *field, struct network_option *o,
			 struct error *err)
{
	const char *eq = strchr(field, '='), *value;
	struct str key;

	if (!eq || !eq[1])
		return error_set(err, ERR_INVALID, "invalid field %s", field);
	key = str_trim((struct str){ field, (size_t)(eq - field) });
	value = eq + 1;
	if (str_eqs(key, "name"))
		o->name = value;
	else if (str_eqs(key, "alias"))
		json_push(a, array_of(a, &o->aliases), json_new_string(a, value));
	else if (str_eqs(key, "link-local-ip"))
		json_push(a, array_of(a, &o->link_local_ips), json_new_string(a, value));
	else if (str_eqs(key, "ip"))
		o->ip = value;
	else if (str_eqs(key, "ip6"))
		o->ip6 = value;
	else if (str_eqs(key, "mac-address"))
		o->mac = value;
	else if (str_eqs(key, "gw-priority")) {
		if (check_int(value, &o->gw_priority, NULL) < 0)
			return error_set(err, ERR_INVALID,
					 "invalid gw-priority (%s): value must be an integer",
					 value);
	} else if (str_eqs(key, "driver-opt")) {
		const char *sep = strchr(value, '=');

		if (!sep)
			return error_set(err, ERR_INVALID,
					 "invalid key/value pair format in driver "
					 "options");
		if (!o->driver_opts)
			o->driver_opts = json_new_object(a);
		json_set(a, o->driver_opts, arena_strndup(a, value, (size_t)(sep - value)),
			 json_new_string(a, sep + 1));
	} else {
		return error_set(err, ERR_INVALID, "invalid field key %.*s", STR_ARG(key));
	}
	return 0;
}

static bool is_pairs(const char *text)
{
	for (const char *p = strchr(text, '='); p; p = strchr(p + 1, '='))
		if (p > text && (isalnum((unsigned char)p[-1]) || p[-1] == '_') &&
		    (isalnum((unsigned char)p[1]) || p[1] == '_'))
			return true;
	return false;
}

int network_parse(struct arena *a, const char *text, struct network_option *ret, struct error *err)
{
	struct network_option o = { 0 };
	struct csv csv;
	int r;

	/* Peer: docker takes it for key=value when both sides of a '=' have a word's letter. */
	if (!is_pairs(text)) {
		o.name = text;
		*ret = o;
		return 0;
	}
	r = csv_parse(a, text, &csv, err);
	for (size_t i = 0; r == 0 && i < csv.n; i++)
		r = network_field(a, csv.fields[i], &o, err);
	if (r < 0)
		return r;
	if (!o.name || !*o.name)
		return error_set(err, ERR_INVALID, "network name/id is not specified");
	*ret = o;
	return 0;
}

int check_network(const char *s, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	struct network_option o;

	return network_parse(&a, s, &o, err);
}

static struct json *words_array(struct arena *a, const char *text)
{
	struct json *array = json_new_array(a);
	struct str rest = str_of(text), word;

	while (str_split(&rest, ',', &word))
		json_push(a, array, json_new_string(a, arena_strndup(a, word.at, word.len)));
	return array;
}

static int gpus_count(const char *text, int64_t *ret, struct error *err)
{
	*ret = -1;
	if (strcmp(text, "all") == 0)
		return 0;
	if (check_int(text, ret, NULL) < 0)
		return error_set(err, ERR_INVALID,
				 "invalid count (%s): value must be either \"all\" or an integer: "
				 "invalid syntax",
				 text);
	return 0;
}

int gpus_parse(struct arena *a, const char *text, struct json **ret, struct error *err)
{
	struct json *q = json_new_object(a), *caps = json_new_array(a),
		    *options = json_new_object(a);
	struct json *inner = NULL;
	struct csv csv;
	int64_t count = 0;
	bool counted = false, devices = false;
	int r = csv_parse(a, text, &csv, err);

	if (r < 0)
		return r;
	json_set(a, q, "Driver", json_new_string(a, ""));
	json_set(a, q, "Count", json_new_int(a, 0));
	for (size_t i = 0; i < csv.n; i++) {
		char *eq = strchr(csv.fields[i], '='), *key = csv.fields[i];

		if (!eq) {
			r = gpus_count(key, &count, err);
			counted = true;
		} else {
			*eq++ = 0;
			if (strcmp(key, "count") == 0) {
				r = gpus_count(eq, &count, err);
				counted = true;
			} else if (strcmp(key, "driver") == 0) {
				json_set(a, q, "Driver", json_new_string(a, eq));
			} else if (strcmp(key, "device") == 0) {
				json_set(a, q, "DeviceIDs", words_array(a, eq));
				devices = true;
			} else if (strcmp(key, "capabilities") == 0) {
				inner = words_array(a, eq);
				json_push(a, inner, json_new_string(a, "gpu"));
			} else if (strcmp(key, "options") == 0) {
				char *sep = strchr(eq, '=');

				if (sep)
					*sep++ = 0;
				json_set(a, options, eq, json_new_string(a, sep ? sep : ""));
			} else {
				r = error_set(err, ERR_INVALID, "unexpected key '%s' in '%s=%s'",
					      key, key, eq);
			}
		}
		if (r < 0)
			return r;
	}
	if (!counted && !devices)
		count = 1;
	json_set(a, q, "Count", json_new_int(a, count));
	if (!inner)
		inner = words_array(a, "gpu");
	json_push(a, caps, inner);
	json_set(a, q, "Capabilities", caps);
	json_set(a, q, "Options", options);
	*ret = q;
	return 0;
}

int check_gpus(const char *s, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	struct json *q;

	return gpus_parse(&a, s, &q, err);
}
