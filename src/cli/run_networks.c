/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/str.h"
#include "cli/body.h"
#include "cli/options.h"
#include "cli/run_config.h"

static bool is_user_network(const char *name)
{
	return strcmp(name, "default") != 0 && strcmp(name, "bridge") != 0 &&
	       strcmp(name, "host") != 0 && strcmp(name, "none") != 0 &&
	       !cstr_starts(name, "container:");
}

/* The flags of the whole command apply to the first network. */
static int first_network(struct arena *a, const struct args *args, struct network_option *o,
			 struct error *err)
{
	size_t aliases = args_count(args, "network-alias") + args_count(args, "net-alias");

	if (aliases > 0 && !is_user_network(o->name))
		return error_set(
		    err, ERR_INVALID,
		    "network-scoped aliases are only supported for user-defined networks");
	if (o->aliases && aliases)
		return error_set(err, ERR_INVALID,
				 "conflicting options: cannot specify both "
				 "--network-alias and per-network alias");
	if (o->ip && *args_str(args, "ip"))
		return error_set(err, ERR_INVALID,
				 "conflicting options: cannot specify both --ip and "
				 "per-network IPv4 address");
	if (o->ip6 && *args_str(args, "ip6"))
		return error_set(err, ERR_INVALID,
				 "conflicting options: cannot specify both --ip6 and "
				 "per-network IPv6 address");
	if (o->mac && *args_str(args, "mac-address"))
		return error_set(err, ERR_INVALID,
				 "conflicting options: cannot specify both "
				 "--mac-address and per-network MAC address");
	if (aliases) {
		o->aliases = body_list(a, args, "network-alias");
		args_for_each(text, args, "net-alias")
		    json_push(a, o->aliases, json_new_string(a, text));
	}
	if (*args_str(args, "ip"))
		o->ip = args_str(args, "ip");
	if (*args_str(args, "ip6"))
		o->ip6 = args_str(args, "ip6");
	if (*args_str(args, "mac-address"))
		o->mac = args_str(args, "mac-address");
	if (args_count(args, "link-local-ip"))
		o->link_local_ips = body_list(a, args, "link-local-ip");
	return 0;
}

static struct json *endpoint_build(struct arena *a, const struct args *args,
				   const struct network_option *o, bool first)
{
	struct json *e = json_new_object(a), *ipam = json_new_object(a);

	if (o->ip)
		json_set(a, ipam, "IPv4Address", json_new_string(a, o->ip));
	if (o->ip6)
		json_set(a, ipam, "IPv6Address", json_new_string(a, o->ip6));
	if (o->link_local_ips)
		json_set(a, ipam, "LinkLocalIPs", o->link_local_ips);
	if (ipam->n_members)
		json_set(a, e, "IPAMConfig", ipam);
	if (o->aliases)
		json_set(a, e, "Aliases", o->aliases);
	if (o->driver_opts)
		json_set(a, e, "DriverOpts", o->driver_opts);
	if (o->mac)
		json_set(a, e, "MacAddress", json_new_string(a, o->mac));
	if (o->gw_priority)
		json_set(a, e, "GwPriority", json_new_int(a, o->gw_priority));
	if (first && is_user_network(o->name) && args_count(args, "link"))
		json_set(a, e, "Links", body_list(a, args, "link"));
	return e;
}

static bool mac_valid(const char *s)
{
	if (strlen(s) != 17)
		return false;
	for (size_t i = 0; i < 17; i++)
		if (i % 3 == 2 ? s[i] != ':' && s[i] != '-'
			       : !strchr("0123456789abcdefABCDEF", s[i]))
			return false;
	return true;
}

int run_networks(struct arena *a, const struct args *args, struct json *body, struct json *host,
		 struct error *err)
{
	size_t n_old = args_count(args, "net"), n = n_old + args_count(args, "network");
	struct json *endpoints = json_new_object(a);
	const char *mac = args_str(args, "mac-address");
	bool user = false, other = false;

	if (*mac && !mac_valid(mac))
		return error_set(err, ERR_INVALID, "%s is not a valid mac address", mac);
	for (size_t i = 0; i < (n ? n : 1); i++) {
		struct network_option o = { .name = "default" };
		struct json *e;
		int r = 0;

		if (n)
			r = network_parse(a,
					  i < n_old ? args_nth(args, "net", i)
						    : args_nth(args, "network", i - n_old),
					  &o, err);
		if (r == 0 && i == 0)
			r = first_network(a, args, &o, err);
		if (r < 0)
			return r;
		if (i == 0)
			json_set(a, host, "NetworkMode", json_new_string(a, o.name));
		/* Peer: docker takes "bridge" beside networks of the user's. */
		*(is_user_network(o.name) ? &user : &other) |=
		    strcmp(o.name, "bridge") != 0 && strcmp(o.name, "default") != 0;
		if (user && other)
			return error_set(err, ERR_INVALID,
					 "conflicting options: cannot attach both user-defined and "
					 "non-user-defined network-modes");
		if (json_get(endpoints, o.name))
			return error_set(err, ERR_INVALID,
					 "network \"%s\" is specified multiple times", o.name);
		e = endpoint_build(a, args, &o, i == 0);
		if (e->n_members || n > 1 || is_user_network(o.name))
			json_set(a, endpoints, o.name, e);
	}
	if (endpoints->n_members)
		json_set(a, body_member(a, body, "NetworkingConfig"), "EndpointsConfig", endpoints);
	if (*mac)
		json_set(a, body, "MacAddress", json_new_string(a, mac));
	if (args_count(args, "link"))
		json_set(a, host, "Links", body_list(a, args, "link"));
	return 0;
}
