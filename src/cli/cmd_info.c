/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/config.h"
#include "cli/listing.h"
#include "cli/plugin.h"
#include "cli/rows.h"
#include "cli/template_internal.h"
#include "cli/units.h"

static void text_line(const struct json *i, const char *title, const char *key)
{
	const char *s = json_str(i, key);

	if (s && *s)
		printf(" %s: %s\n", title, s);
}

static void bool_line(const struct json *i, const char *title, const char *key)
{
	printf(" %s: %s\n", title, json_bool(i, key, false) ? "true" : "false");
}

static void list_line(const struct json *list, const char *title)
{
	if (!list || list->type != JSON_ARRAY)
		return;
	printf("  %s:", title);
	json_for_each_item (s, list)
		printf(" %s", s->type == JSON_STRING ? s->s : "");
	putchar('\n');
}

static void indented_list(const struct json *list, const char *title)
{
	if (!list || list->type != JSON_ARRAY || list->n_items == 0)
		return;
	printf(" %s:\n", title);
	json_for_each_item (s, list)
		printf("  %s\n", s->type == JSON_STRING ? s->s : "");
}

/* "name=seccomp,profile=default" as a title and its properties. */
static void security_print(const struct json *options)
{
	if (!options || options->type != JSON_ARRAY || options->n_items == 0)
		return;
	puts(" Security Options:");
	json_for_each_item (o, options) {
		struct str rest = str_of(o->type == JSON_STRING ? o->s : ""), part;

		while (str_split(&rest, ',', &part)) {
			ptrdiff_t eq = str_find(part, '=');
			struct str key = str_sub(part, 0, eq < 0 ? 0 : (size_t)eq);
			struct str value = str_sub(part, (size_t)(eq + 1), part.len);

			if (str_eqs(key, "name") || key.len == 0)
				printf("  %.*s\n", STR_ARG(value));
			else
				printf("   %c%.*s: %.*s\n",
				       str_eqs(key, "profile") ? 'P' : key.at[0], (int)key.len - 1,
				       key.at + 1, STR_ARG(value));
		}
	}
}

static void storage_print(const struct json *i)
{
	text_line(i, "Storage Driver", "Driver");
	json_for_each_item (pair, json_get(i, "DriverStatus"))
		if (pair->type == JSON_ARRAY && pair->n_items == 2 &&
		    pair->items[0]->type == JSON_STRING && pair->items[1]->type == JSON_STRING)
			printf("  %s: %s\n", pair->items[0]->s, pair->items[1]->s);
}

static void runtimes_print(struct arena *a, const struct json *i)
{
	const struct json *runtimes = json_get(i, "Runtimes");
	const struct json_member **sorted;

	if (!runtimes || runtimes->type != JSON_OBJECT || runtimes->n_members == 0)
		return;
	sorted = object_sorted(a, runtimes);
	printf(" Runtimes:");
	for (size_t k = 0; k < runtimes->n_members; k++)
		printf(" %s", sorted[k]->key);
	putchar('\n');
	text_line(i, "Default Runtime", "DefaultRuntime");
}

static void commit_line(const struct json *i, const char *title, const char *key)
{
	const char *id = json_str(json_get(i, key), "ID");

	printf(" %s version: %s\n", title, id ? id : "");
}

static void registries_print(const struct json *i)
{
	const struct json *config = json_get(i, "RegistryConfig");
	const struct json *cidrs = json_get(config, "InsecureRegistryCIDRs");
	bool title = false;

	json_for_each_member (m, json_get(config, "IndexConfigs")) {
		if (json_bool(m->value, "Secure", true))
			continue;
		if (!title)
			puts(" Insecure Registries:");
		title = true;
		printf("  %s\n", m->key);
	}
	json_for_each_item (c, cidrs) {
		if (!title)
			puts(" Insecure Registries:");
		title = true;
		printf("  %s\n", c->type == JSON_STRING ? c->s : "");
	}
	indented_list(json_get(config, "Mirrors"), "Registry Mirrors");
}

static void server_print(struct cli *cli, const struct json *i)
{
	const struct json *plugins = json_get(i, "Plugins");
	const char *swarm = json_str(json_get(i, "Swarm"), "LocalNodeState");

	printf(" Containers: %lld\n", (long long)json_int(i, "Containers", 0));
	printf("  Running: %lld\n", (long long)json_int(i, "ContainersRunning", 0));
	printf("  Paused: %lld\n", (long long)json_int(i, "ContainersPaused", 0));
	printf("  Stopped: %lld\n", (long long)json_int(i, "ContainersStopped", 0));
	printf(" Images: %lld\n", (long long)json_int(i, "Images", 0));
	text_line(i, "Server Version", "ServerVersion");
	storage_print(i);
	text_line(i, "Logging Driver", "LoggingDriver");
	text_line(i, "Cgroup Driver", "CgroupDriver");
	text_line(i, "Cgroup Version", "CgroupVersion");
	puts(" Plugins:");
	list_line(json_get(plugins, "Volume"), "Volume");
	list_line(json_get(plugins, "Network"), "Network");
	list_line(json_get(plugins, "Authorization"), "Authorization");
	list_line(json_get(plugins, "Log"), "Log");
	indented_list(json_get(i, "CDISpecDirs"), "CDI spec directories");
	printf(" Swarm: %s\n", swarm ? swarm : "");
	runtimes_print(&cli->arena, i);
	text_line(i, "Init Binary", "InitBinary");
	commit_line(i, "containerd", "ContainerdCommit");
	commit_line(i, "runc", "RuncCommit");
	commit_line(i, "init", "InitCommit");
	security_print(json_get(i, "SecurityOptions"));
	text_line(i, "Kernel Version", "KernelVersion");
	text_line(i, "Operating System", "OperatingSystem");
	text_line(i, "OSType", "OSType");
	text_line(i, "Architecture", "Architecture");
	printf(" CPUs: %lld\n", (long long)json_int(i, "NCPU", 0));
	printf(" Total Memory: %s\n", human_bytes(&cli->arena, (double)json_int(i, "MemTotal", 0)));
	text_line(i, "Name", "Name");
	text_line(i, "ID", "ID");
	text_line(i, "Docker Root Dir", "DockerRootDir");
	bool_line(i, "Debug Mode", "Debug");
	text_line(i, "HTTP Proxy", "HttpProxy");
	text_line(i, "HTTPS Proxy", "HttpsProxy");
	text_line(i, "No Proxy", "NoProxy");
	indented_list(json_get(i, "Labels"), "Labels");
	bool_line(i, "Experimental", "ExperimentalBuild");
	registries_print(i);
	bool_line(i, "Live Restore Enabled", "LiveRestoreEnabled");
	text_line(i, "Product License", "ProductLicense");
	text_line(json_get(i, "FirewallBackend"), "Firewall Backend", "Driver");
	putchar('\n');
	json_for_each_item (w, json_get(i, "Warnings"))
		fprintf(stderr, "%s\n", w->type == JSON_STRING ? w->s : "");
}

static const char info_type[] = "system.dockerInfo";

/* What is known without an engine, and the engine's answer (may be NULL) before it. */
static struct json *info_document(struct cli *cli, const struct json *server,
				  const struct error *missing)
{
	struct arena *a = &cli->arena;
	struct json *client = json_new_object(a), *doc = json_new_object(a),
		    *errors = json_new_array(a);

	json_for_each_member (m, server)
		json_set(a, doc, m->key, m->value);
	if (missing)
		json_push(a, errors, json_new_string(a, missing->msg));
	if (missing)
		json_set(a, doc, "ServerErrors", errors);
	json_set(a, client, "Debug", json_new_bool(a, args_bool(&cli->global, "debug")));
	json_set(a, client, "Version", json_new_string(a, client_version_text(cli)));
	json_set(a, client, "Context", json_new_string(a, context_current(cli)));
	json_set(a, client, "Plugins", plugins_json(cli));
	json_set(a, client, "Warnings", arena_new(a, struct json));
	json_set(a, doc, "ClientInfo", client);
	return doc;
}

/* Does the template ask for what only the engine knows? Peer: docker info does not ask
 * the engine for {{.ClientInfo...}}. */
static bool needs_engine(struct cli *cli, const char *format)
{
	auto_(buf) out = BUF_INIT(4 << 20);
	struct error err = { 0 };

	return strstr(format, "json") || strstr(format, "{{.}}") ||
	       document_format(cli, format, info_type, info_document(cli, NULL, NULL), &out, &err) <
		   0;
}

static int info_format(struct cli *cli, const char *format, struct error *err)
{
	auto_(buf) out = BUF_INIT(4 << 20);
	struct error missing = { 0 };
	const struct json *i = NULL;
	int r = document_check(cli, format, err), f;

	if (r < 0)
		return r;
	if (needs_engine(cli, format))
		r = api_get(cli, "/info", NULL, &i, &missing);
	f = document_format(cli, format, info_type, info_document(cli, i, r < 0 ? &missing : NULL),
			    &out, err);
	printf("%s\n", f == 0 && out.data ? out.data : "");
	if (r < 0)
		*err = missing;
	return r < 0 ? r : f;
}

int cmd_info(struct cli *cli, const struct args *args, struct error *err)
{
	const char *format = args_str(args, "format");
	const struct json *i = NULL;
	struct error missing = { 0 };
	int r;

	if (*format)
		return info_format(cli, strcmp(format, "json") == 0 ? "{{json .}}" : format, err);
	r = api_get(cli, "/info", NULL, &i, &missing);
	printf("Client:\n Version:    %s\n Context:    %s\n Debug Mode: %s\n",
	       client_version_text(cli), context_current(cli),
	       args_bool(&cli->global, "debug") ? "true" : "false");
	plugins_print(cli);
	puts("\nServer:");
	if (r < 0) {
		*err = missing;
		return r;
	}
	server_print(cli, i);
	return 0;
}
