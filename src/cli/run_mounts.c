/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "cli/body.h"
#include "cli/options.h"
#include "cli/run_config.h"

/* "./x" and "../x" are meant from our directory. */
static const char *absolute(struct arena *a, const char *path)
{
	autofree char *cwd = NULL, *joined = NULL, *clean = NULL;

	if (*path != '.')
		return path;
	cwd = getcwd(NULL, 0);
	joined = cstr_format("%s/%s", cwd ? cwd : "", path);
	clean = fs_path_clean(joined);
	return arena_strdup(a, clean);
}

static int volume_add(struct arena *a, const char *spec, struct json *body, struct json *binds,
		      struct error *err)
{
	const char *colon = strchr(spec, ':');
	struct str rest = str_of(spec), field;

	if (!*spec)
		return error_set(err, ERR_INVALID, "invalid empty volume spec");
	if (!colon) {
		body_member(a, body_member(a, body, "Volumes"), spec);
		return 0;
	}
	while (str_split(&rest, ':', &field))
		if (field.len == 0)
			return error_set(err, ERR_INVALID,
					 "invalid spec: %s: empty section between colons", spec);
	json_push(a, binds,
		  json_new_string(
		      a, arena_format(a, "%s%s",
				      absolute(a, arena_strndup(a, spec, (size_t)(colon - spec))),
				      colon)));
	return 0;
}

static int device_add(struct arena *a, const char *spec, struct json *devices, struct error *err)
{
	struct json *d = json_new_object(a);
	struct str rest = str_of(spec), parts[3] = { 0 };
	const char *inside, *mode = "rwm";
	size_t n = 0;

	while (n < 3 && str_split(&rest, ':', &parts[n]))
		n++;
	if (rest.len || n == 0)
		return error_set(err, ERR_INVALID, "bad format for path: %s", spec);
	inside = arena_strndup(a, parts[0].at, parts[0].len);
	json_set(a, d, "PathOnHost", json_new_string(a, inside));
	if (n == 2 && parts[1].len && parts[1].len <= 3 &&
	    strspn(parts[1].at, "rwm") >= parts[1].len) {
		mode = arena_strndup(a, parts[1].at, parts[1].len);
	} else if (n >= 2) {
		inside = arena_strndup(a, parts[1].at, parts[1].len);
		if (n == 3)
			mode = arena_strndup(a, parts[2].at, parts[2].len);
	}
	if (!*mode || strspn(mode, "rwm") != strlen(mode))
		return error_set(err, ERR_INVALID, "bad mode specified: %s", mode);
	json_set(a, d, "PathInContainer", json_new_string(a, inside));
	json_set(a, d, "CgroupPermissions", json_new_string(a, mode));
	json_push(a, devices, d);
	return 0;
}

static int devices_build(struct arena *a, const struct args *args, struct json *host,
			 struct error *err)
{
	struct json *devices = json_new_array(a), *requests = json_new_array(a), *cdi = NULL, *q;
	int r = 0;

	args_for_each(spec, args, "device")
	{
		const char *eq = strchr(spec, '=');

		/* vendor.com/class=name is a name of the Container Device Interface. */
		if (eq && *spec != '/' && memchr(spec, '/', (size_t)(eq - spec))) {
			if (!cdi) {
				struct json *request = json_new_object(a);

				cdi = json_new_array(a);
				json_set(a, request, "Driver", json_new_string(a, "cdi"));
				json_set(a, request, "DeviceIDs", cdi);
				json_push(a, requests, request);
			}
			json_push(a, cdi, json_new_string(a, spec));
		} else if (r == 0) {
			r = device_add(a, spec, devices, err);
		}
	}
	for (size_t i = 0; r == 0 && i < args_count(args, "gpus"); i++) {
		r = gpus_parse(a, args_nth(args, "gpus", i), &q, err);
		if (r == 0)
			json_push(a, requests, q);
	}
	if (devices->n_items)
		json_set(a, host, "Devices", devices);
	if (requests->n_items)
		json_set(a, host, "DeviceRequests", requests);
	return r;
}

int run_mounts(struct arena *a, const struct args *args, struct json *body, struct json *host,
	       struct error *err)
{
	struct json *binds = json_new_array(a), *mounts = json_new_array(a), *m;
	int r = 0;

	body_member(a, body, "Volumes");
	for (size_t i = 0; r == 0 && i < args_count(args, "volume"); i++)
		r = volume_add(a, args_nth(args, "volume", i), body, binds, err);
	for (size_t i = 0; r == 0 && i < args_count(args, "mount"); i++) {
		r = mount_parse(a, args_nth(args, "mount", i), &m, err);
		if (r == 0)
			json_push(a, mounts, m);
	}
	if (r < 0)
		return r;
	if (binds->n_items)
		json_set(a, host, "Binds", binds);
	if (mounts->n_items)
		json_set(a, host, "Mounts", mounts);
	args_for_each(spec, args, "tmpfs")
	{
		const char *colon = strchr(spec, ':');

		json_set(a, body_member(a, host, "Tmpfs"),
			 colon ? arena_strndup(a, spec, (size_t)(colon - spec)) : spec,
			 json_new_string(a, colon ? colon + 1 : ""));
	}
	if (args_count(args, "volumes-from"))
		json_set(a, host, "VolumesFrom", body_list(a, args, "volumes-from"));
	if (*args_str(args, "volume-driver"))
		json_set(a, host, "VolumeDriver",
			 json_new_string(a, args_str(args, "volume-driver")));
	return devices_build(a, args, host, err);
}
