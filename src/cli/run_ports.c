/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <string.h>

#include "base/str.h"
#include "cli/body.h"
#include "cli/flag_check.h"
#include "cli/options.h"
#include "cli/run_config.h"

struct range {
	uint64_t first, last;
};

static int range_parse(struct str s, struct range *ret, struct error *err)
{
	ptrdiff_t dash = str_find(s, '-');
	struct str a = dash < 0 ? s : str_sub(s, 0, (size_t)dash);
	struct str b = dash < 0 ? s : str_sub(s, (size_t)dash + 1, s.len);

	if (parse_u64(a, UINT16_MAX, &ret->first, NULL) < 0 ||
	    parse_u64(b, UINT16_MAX, &ret->last, NULL) < 0 || ret->last < ret->first)
		return error_set(err, ERR_INVALID, "invalid range");
	return 0;
}

static void binding_add(struct arena *a, struct json *body, struct json *host, const char *port,
			const char *ip, const char *host_port)
{
	struct json *bindings = body_member(a, host, "PortBindings"), *list = NULL;
	struct json *b = json_new_object(a);

	body_member(a, body_member(a, body, "ExposedPorts"), port);
	for (size_t i = 0; i < bindings->n_members; i++)
		if (strcmp(bindings->members[i].key, port) == 0)
			list = bindings->members[i].value;
	if (!list) {
		list = json_new_array(a);
		json_set(a, bindings, port, list);
	}
	json_set(a, b, "HostIp", json_new_string(a, ip));
	json_set(a, b, "HostPort", json_new_string(a, host_port));
	json_push(a, list, b);
}

static bool proto_known(const char *proto)
{
	return strcmp(proto, "tcp") == 0 || strcmp(proto, "udp") == 0 || strcmp(proto, "sctp") == 0;
}

struct spec {
	struct str ip, host, inside;
	const char *proto;
};

/* "[ip:][host:]inside[/proto]" taken apart at the last two colons. */
static int spec_split(struct arena *a, const char *text, struct spec *ret, struct error *err)
{
	struct str s = str_of(text);
	ptrdiff_t slash = str_rfind(s, '/'), colon;
	char *proto = arena_strdup(a, "tcp");

	memset(ret, 0, sizeof(*ret));
	if (slash >= 0) {
		proto = arena_strndup(a, text + slash + 1, s.len - (size_t)slash - 1);
		s = str_sub(s, 0, (size_t)slash);
	}
	for (char *p = proto; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p += 'a' - 'A';
	ret->proto = proto;
	colon = str_rfind(s, ':');
	ret->inside = colon < 0 ? s : str_sub(s, (size_t)colon + 1, s.len);
	if (colon >= 0) {
		s = str_sub(s, 0, (size_t)colon);
		colon = str_rfind(s, ':');
		ret->host = colon < 0 ? s : str_sub(s, (size_t)colon + 1, s.len);
		if (colon >= 0)
			ret->ip = str_sub(s, 0, (size_t)colon);
	}
	if (ret->ip.len >= 2 && ret->ip.at[0] == '[' && ret->ip.at[ret->ip.len - 1] == ']')
		ret->ip = str_sub(ret->ip, 1, ret->ip.len - 2);
	if (ret->ip.len) {
		const char *ip = arena_strndup(a, ret->ip.at, ret->ip.len);
		unsigned char out[16];

		if (inet_pton(AF_INET, ip, out) != 1 && inet_pton(AF_INET6, ip, out) != 1)
			return error_set(err, ERR_INVALID, "invalid IP address: %s", ip);
	}
	return 0;
}

static int publish_parse(struct arena *a, const char *text, struct json *body, struct json *host,
			 struct error *err)
{
	struct range in, out = { 0 };
	struct spec s;
	bool spread;
	int r = spec_split(a, text, &s, err);

	if (r < 0)
		return r;
	if (s.inside.len == 0)
		return error_set(err, ERR_INVALID, "no port specified: %s<empty>", text);
	if (range_parse(s.inside, &in, NULL) < 0)
		return error_set(err, ERR_INVALID, "invalid containerPort: %.*s",
				 STR_ARG(s.inside));
	if (s.host.len && range_parse(s.host, &out, NULL) < 0)
		return error_set(err, ERR_INVALID, "invalid hostPort: %.*s", STR_ARG(s.host));
	if (!proto_known(s.proto))
		return error_set(err, ERR_INVALID, "invalid proto: %s", s.proto);
	spread = s.host.len && out.last - out.first != in.last - in.first;
	if (spread && in.first != in.last)
		return error_set(
		    err, ERR_INVALID,
		    "invalid ranges specified for container and host Ports: %.*s and %.*s",
		    STR_ARG(s.inside), STR_ARG(s.host));
	for (uint64_t i = 0; i <= in.last - in.first; i++) {
		const char *port =
		    arena_format(a, "%llu/%s", (unsigned long long)in.first + i, s.proto);
		const char *at = "";

		if (spread)
			at = arena_format(a, "%llu-%llu", (unsigned long long)out.first,
					  (unsigned long long)out.last);
		else if (s.host.len)
			at = arena_format(a, "%llu", (unsigned long long)out.first + i);
		binding_add(a, body, host, port, arena_strndup(a, s.ip.at ? s.ip.at : "", s.ip.len),
			    at);
	}
	return 0;
}

/* "published=80,target=8080,protocol=tcp" as "80:8080/tcp". */
static int publish_long(struct arena *a, const char *text, const char **ret, struct error *err)
{
	const char *published = "", *target = "", *proto = "tcp";
	struct csv csv;
	int r = csv_parse(a, text, &csv, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < csv.n; i++) {
		char *eq = strchr(csv.fields[i], '=');

		if (!eq)
			return error_set(err, ERR_INVALID,
					 "invalid publish opts format (should be "
					 "name=value but got '%s')",
					 csv.fields[i]);
		*eq++ = 0;
		if (strcmp(csv.fields[i], "published") == 0)
			published = eq;
		else if (strcmp(csv.fields[i], "target") == 0)
			target = eq;
		else if (strcmp(csv.fields[i], "protocol") == 0)
			proto = eq;
		else if (strcmp(csv.fields[i], "mode") != 0)
			return error_set(err, ERR_INVALID, "invalid field key %s", csv.fields[i]);
	}
	*ret = *published ? arena_format(a, "%s:%s/%s", published, target, proto)
			  : arena_format(a, "%s/%s", target, proto);
	return 0;
}

int run_ports(struct arena *a, const struct args *args, struct json *body, struct json *host,
	      struct error *err)
{
	int r = 0;

	for (size_t i = 0; i < args_count(args, "publish") && r == 0; i++) {
		const char *text = args_nth(args, "publish", i);

		if (strchr(text, '='))
			r = publish_long(a, text, &text, err);
		if (r == 0)
			r = publish_parse(a, text, body, host, err);
	}
	if (r < 0)
		return r;
	args_for_each(text, args, "expose")
	{
		struct spec s;
		struct range in;
		int64_t ignored;
		struct error why = { 0 };

		if (strchr(text, ':'))
			return error_set(err, ERR_INVALID, "invalid port format for --expose: %s",
					 text);
		r = spec_split(a, text, &s, err);
		if (r < 0)
			return r;
		if (range_parse(s.inside, &in, NULL) < 0) {
			const char *inside = arena_strndup(a, s.inside.at, s.inside.len);
			bool number = check_uint(inside, UINT16_MAX, &ignored, &why) == 0;

			return error_set(err, ERR_INVALID,
					 "invalid range format for --expose: %s, error: %s%s", text,
					 number || strchr(inside, '-')
					     ? "invalid range specified for port: "
					     : why.msg,
					 number || strchr(inside, '-') ? inside : "");
		}
		for (uint64_t p = in.first; p <= in.last; p++)
			body_member(a, body_member(a, body, "ExposedPorts"),
				    arena_format(a, "%llu/%s", (unsigned long long)p, s.proto));
	}
	if (args_bool(args, "publish-all"))
		json_set(a, host, "PublishAllPorts", json_new_bool(a, true));
	return 0;
}
