/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/jsonw.h"
#include "base/str.h"
#include "cli/api.h"
#include "cli/body.h"
#include "cli/commands.h"
#include "cli/each.h"
#include "cli/listing.h"
#include "cli/units.h"

static const struct listing_title titles[] = {
	{ "ID", "NETWORK ID" },     { "Name", "NAME" },     { "Driver", "DRIVER" },
	{ "Scope", "SCOPE" },       { "IPv4", "IPV4" },     { "IPv6", "IPV6" },
	{ "Internal", "INTERNAL" }, { "Labels", "LABELS" }, { "CreatedAt", "CREATED AT" },
};
static const struct listing_kind network_kind = {
	"*network.networkContext",
	"{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}",
	"{{.ID}}",
	"network_id: {{.ID}}\nname: {{.Name}}\ndriver: {{.Driver}}\nscope: {{.Scope}}\n",
	"network_id: {{.ID}}",
	titles,
	ARRAY_LEN(titles),
};

static int name_compare(const void *a, const void *b)
{
	const char *x = json_str(*(const struct json *const *)a, "Name");
	const char *y = json_str(*(const struct json *const *)b, "Name");

	return strverscmp(x ? x : "", y ? y : "");
}

int cmd_network_ls(struct cli *cli, const struct args *args, struct error *err)
{
	const char *format = format_choose(cli, args, "networksFormat");
	struct listing l = { .kind = &network_kind };
	auto_(buf) q = api_query();
	const struct json *list = NULL;
	int r;

	client_query_add(&q, "filters", api_filters(cli, args));
	r = api_get(cli, "/networks", q.data, &list, err);
	if (r < 0)
		return r;
	if (list && list->type == JSON_ARRAY && list->n_items > 1)
		qsort(list->items, list->n_items, sizeof(*list->items), name_compare);
	json_for_each_item (n, list) {
		struct json *row = listing_add(cli, &l, json_get(n, "Labels"));
		const char *id = json_str(n, "Id"), *created = json_str(n, "Created");
		int64_t ns = 0;

		id = id ? id : "";
		if (!created || time_parse_rfc3339(created, &ns, NULL) < 0)
			ns = 0;
		row_set(cli, row, "ID",
			args_bool(args, "no-trunc") ? id : short_id(&cli->arena, id));
		row_set(cli, row, "Name", json_str(n, "Name"));
		row_set(cli, row, "Driver", json_str(n, "Driver"));
		row_set(cli, row, "Scope", json_str(n, "Scope"));
		row_set(cli, row, "IPv4", json_bool(n, "EnableIPv4", false) ? "true" : "false");
		row_set(cli, row, "IPv6", json_bool(n, "EnableIPv6", false) ? "true" : "false");
		row_set(cli, row, "Internal", json_bool(n, "Internal", false) ? "true" : "false");
		row_set(cli, row, "Labels", labels_text(&cli->arena, json_get(n, "Labels")));
		row_set(cli, row, "CreatedAt",
			go_time(&cli->arena, ns / NS_PER_SEC, ns % NS_PER_SEC));
	}
	r = listing_print(cli, &l, format, args_bool(args, "quiet"), err);
	listing_release(&l);
	return r;
}

/* Is this text, an address or a subnet, inside the subnet "a.b.c.d/n"? */
static bool subnet_holds(const char *subnet, const char *text)
{
	const char *slash = strchr(subnet, '/'), *text_slash = strchr(text, '/');
	int family = strchr(subnet, ':') ? AF_INET6 : AF_INET;
	autofree char *net =
	    str_dup((struct str){ subnet, slash ? (size_t)(slash - subnet) : strlen(subnet) });
	autofree char *ip =
	    str_dup((struct str){ text, text_slash ? (size_t)(text_slash - text) : strlen(text) });
	unsigned char a[16] = { 0 }, b[16] = { 0 };
	uint64_t bits = 0;

	if (!slash || parse_u64(str_of(slash + 1), 128, &bits, NULL) < 0 ||
	    inet_pton(family, net, a) != 1 || inet_pton(family, ip, b) != 1)
		return false;
	for (unsigned i = 0; i < bits; i++)
		if ((a[i / 8] ^ b[i / 8]) & (0x80 >> i % 8))
			return false;
	return true;
}

/* Spread --gateway or --ip-range over the subnets that hold them. */
static int ipam_spread(struct arena *a, struct json **configs, size_t n, const struct args *args,
		       const char *flag, const char *key, const char *what, struct error *err)
{
	args_for_each(text, args, flag)
	{
		bool placed = false;

		for (size_t i = 0; i < n && !placed; i++) {
			if (!subnet_holds(json_str(configs[i], "Subnet"), text))
				continue;
			if (json_get(configs[i], key))
				return error_set(err, ERR_INVALID,
						 "cannot configure multiple %s (%s, %s) "
						 "on the same subnet (%s)",
						 what, text, json_str(configs[i], key),
						 json_str(configs[i], "Subnet"));
			json_set(a, configs[i], key, json_new_string(a, text));
			placed = true;
		}
		if (!placed && n == 0)
			return error_set(err, ERR_INVALID,
					 "every ip-range or gateway must have a "
					 "corresponding subnet");
		if (!placed)
			return error_set(err, ERR_INVALID, "no matching subnet for %s %s",
					 strcmp(flag, "ip-range") == 0 ? "range" : "gateway", text);
	}
	return 0;
}

/* The i-th --subnet: well-formed, and apart from those before it. */
static int subnet_check(const struct args *args, size_t i, struct error *err)
{
	const char *subnet = args_nth(args, "subnet", i);

	if (args_count(args, "subnet") > 1 && !subnet_holds(subnet, subnet))
		return error_set(err, ERR_INVALID, "invalid subnet: invalid CIDR address: %s",
				 subnet);
	for (size_t k = 0; k < i; k++) {
		const char *before = args_nth(args, "subnet", k);

		if (subnet_holds(before, subnet) || subnet_holds(subnet, before))
			return error_set(
			    err, ERR_INVALID,
			    "multiple overlapping subnet configuration is not supported");
	}
	return 0;
}

static int ipam_build(struct arena *a, const struct args *args, struct json *ipam,
		      struct error *err)
{
	size_t n = args_count(args, "subnet");
	struct json **configs = arena_array(a, n + 1, sizeof(*configs)), *list = json_new_array(a);
	int r;

	for (size_t i = 0; i < n; i++) {
		r = subnet_check(args, i, err);
		if (r < 0)
			return r;
		configs[i] = json_new_object(a);
		json_set(a, configs[i], "Subnet", json_new_string(a, args_nth(args, "subnet", i)));
		json_push(a, list, configs[i]);
	}
	r = ipam_spread(a, configs, n, args, "ip-range", "IPRange", "ranges", err);
	if (r == 0)
		r = ipam_spread(a, configs, n, args, "gateway", "Gateway", "gateways", err);
	if (r < 0)
		return r;
	args_for_each(text, args, "aux-address")
	{
		const char *eq = strchr(text, '='), *ip = eq ? eq + 1 : "";
		bool placed = false;

		for (size_t i = 0; i < n && !placed; i++) {
			if (!subnet_holds(json_str(configs[i], "Subnet"), ip))
				continue;
			json_set(a, body_member(a, configs[i], "AuxiliaryAddresses"),
				 arena_strndup(a, text, eq ? (size_t)(eq - text) : strlen(text)),
				 json_new_string(a, ip));
			placed = true;
		}
		if (!placed)
			return error_set(err, ERR_INVALID, "no matching subnet for aux-address %s",
					 ip);
	}
	json_set(a, ipam, "Driver", json_new_string(a, args_str(args, "ipam-driver")));
	json_set(a, ipam, "Options", body_map(a, args, "ipam-opt"));
	json_set(a, ipam, "Config", list);
	return 0;
}

int cmd_network_create(struct cli *cli, const struct args *args, struct error *err)
{
	struct arena *a = &cli->arena;
	struct json *body = json_new_object(a), *ipam = json_new_object(a), *labels = NULL;
	const struct json *answer = NULL;
	int r;

	r = ipam_build(a, args, ipam, err);
	if (r == 0)
		r = body_labels(a, args, "label", NULL, &labels, err);
	if (r < 0)
		return r;
	json_set(a, body, "Name", json_new_string(a, args_operand(args, 0)));
	json_set(a, body, "CheckDuplicate", json_new_bool(a, true));
	json_set(a, body, "Driver", json_new_string(a, args_str(args, "driver")));
	json_set(a, body, "Scope", json_new_string(a, args_str(args, "scope")));
	if (args_set(args, "ipv4"))
		json_set(a, body, "EnableIPv4", json_new_bool(a, args_bool(args, "ipv4")));
	if (args_set(args, "ipv6"))
		json_set(a, body, "EnableIPv6", json_new_bool(a, args_bool(args, "ipv6")));
	json_set(a, body, "IPAM", ipam);
	json_set(a, body, "Internal", json_new_bool(a, args_bool(args, "internal")));
	json_set(a, body, "Attachable", json_new_bool(a, args_bool(args, "attachable")));
	json_set(a, body, "Ingress", json_new_bool(a, args_bool(args, "ingress")));
	json_set(a, body, "ConfigOnly", json_new_bool(a, args_bool(args, "config-only")));
	if (*args_str(args, "config-from")) {
		struct json *from = json_new_object(a);

		json_set(a, from, "Network", json_new_string(a, args_str(args, "config-from")));
		json_set(a, body, "ConfigFrom", from);
	}
	json_set(a, body, "Options", body_map(a, args, "opt"));
	json_set(a, body, "Labels", labels);
	r = api_json(cli, "POST", "/networks/create", NULL, body_text(a, body), &answer, err);
	if (r == 0 && json_str(answer, "Warning") && *json_str(answer, "Warning"))
		fprintf(stderr, "WARNING: %s\n", json_str(answer, "Warning"));
	if (r == 0)
		printf("%s\n", json_str(answer, "Id") ? json_str(answer, "Id") : "");
	return r;
}

int cmd_network_connect(struct cli *cli, const struct args *args, struct error *err)
{
	struct arena *a = &cli->arena;
	struct json *body = json_new_object(a), *config = json_new_object(a),
		    *ipam = json_new_object(a);

	args_for_each(opt, args, "driver-opt") if (!strchr(opt, '=')) return error_set(
	    err, ERR_INVALID, "invalid key/value pair format in driver options");
	json_set(a, ipam, "IPv4Address", json_new_string(a, args_str(args, "ip")));
	json_set(a, ipam, "IPv6Address", json_new_string(a, args_str(args, "ip6")));
	json_set(a, ipam, "LinkLocalIPs", body_list(a, args, "link-local-ip"));
	json_set(a, config, "IPAMConfig", ipam);
	json_set(a, config, "Links", body_list(a, args, "link"));
	json_set(a, config, "Aliases", body_list(a, args, "alias"));
	json_set(a, config, "DriverOpts", body_map(a, args, "driver-opt"));
	if (args_set(args, "gw-priority"))
		json_set(a, config, "GwPriority", json_new_int(a, args_int(args, "gw-priority")));
	json_set(a, body, "Container", json_new_string(a, args_operand(args, 1)));
	json_set(a, body, "EndpointConfig", config);
	return api_json(cli, "POST",
			client_path(a, "/networks/", args_operand(args, 0), "/connect"), NULL,
			body_text(a, body), NULL, err);
}

int cmd_network_disconnect(struct cli *cli, const struct args *args, struct error *err)
{
	struct arena *a = &cli->arena;
	struct json *body = json_new_object(a);

	json_set(a, body, "Container", json_new_string(a, args_operand(args, 1)));
	json_set(a, body, "Force", json_new_bool(a, args_bool(args, "force")));
	return api_json(cli, "POST",
			client_path(a, "/networks/", args_operand(args, 0), "/disconnect"), NULL,
			body_text(a, body), NULL, err);
}

int cmd_network_rm(struct cli *cli, const struct args *args, struct error *err)
{
	bool failed = false;

	if (!api_client(cli, err))
		return -err->kind;
	for (size_t i = 0; i < args->operands.len; i++) {
		const char *name = args->operands.at[i];
		struct error one = { 0 };
		int r = api_json(cli, "DELETE", client_path(&cli->arena, "/networks/", name, ""),
				 NULL, NULL, NULL, &one);

		if (r == -ERR_NOT_FOUND && args_bool(args, "force"))
			continue;
		if (r < 0) {
			cli_report(cli, &one);
			failed = true;
		} else {
			printf("%s\n", name);
		}
	}
	if (failed)
		fputs("exit status 1\n", stderr);
	return 0;
}

int cmd_network_prune(struct cli *cli, const struct args *args, struct error *err)
{
	auto_(buf) q = api_query();
	const struct json *answer = NULL, *deleted;
	int r;

	if (!args_bool(args, "force") &&
	    !cli_confirm(cli,
			 "WARNING! This will remove all custom networks not used by at least one "
			 "container.\nAre you sure you want to continue?"))
		return 0;
	client_query_add(&q, "filters", api_filters(cli, args));
	r = api_json(cli, "POST", "/networks/prune", q.data, NULL, &answer, err);
	if (r < 0)
		return r;
	deleted = json_get(answer, "NetworksDeleted");
	if (deleted && deleted->type == JSON_ARRAY && deleted->n_items > 0) {
		puts("Deleted Networks:");
		json_for_each_item (d, deleted)
			printf("%s\n", d->type == JSON_STRING ? d->s : "");
		putchar('\n');
	}
	return 0;
}
