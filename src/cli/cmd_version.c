/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "cli/api.h"
#include "cli/body.h"
#include "cli/commands.h"
#include "cli/config.h"
#include "cli/listing.h"
#include "cli/rows.h"

#define DOCKER_VERSION "28.2.2" /* the CLI whose habits these are */

const char *client_version_text(const struct cli *cli)
{
	return cli->as_docker ? DOCKER_VERSION : PROA_VERSION;
}

static const char *go_arch(const char *machine)
{
	if (strcmp(machine, "x86_64") == 0)
		return "amd64";
	return strcmp(machine, "aarch64") == 0 ? "arm64" : machine;
}

static struct json *client_part(struct cli *cli, const char *api)
{
	struct arena *a = &cli->arena;
	struct json *c = json_new_object(a);
	struct utsname u;

	uname(&u);
	json_set(a, c, "Version", json_new_string(a, client_version_text(cli)));
	json_set(a, c, "ApiVersion", json_new_string(a, api));
	json_set(a, c, "DefaultAPIVersion", json_new_string(a, CLIENT_API_VERSION_MAX));
	json_set(a, c, "GitCommit", json_new_string(a, "proa-" PROA_VERSION));
	json_set(a, c, "GoVersion", json_new_string(a, ""));
	json_set(a, c, "Os", json_new_string(a, "linux"));
	json_set(a, c, "Arch", json_new_string(a, arena_strdup(a, go_arch(u.machine))));
	json_set(a, c, "BuildTime", json_new_string(a, ""));
	json_set(a, c, "Context", json_new_string(a, context_current(cli)));
	return c;
}

static const char *text_of(const struct json *o, const char *key)
{
	const char *s = json_str(o, key);

	return s ? s : "";
}

static void line(const char *name, const char *value)
{
	printf("%-20s%s\n", name, value);
}

static void client_print(struct cli *cli, const struct json *c)
{
	const char *api = text_of(c, "ApiVersion"), *most = text_of(c, "DefaultAPIVersion");

	puts("Client:");
	line(" Version:", text_of(c, "Version"));
	line(" API version:",
	     strcmp(api, most) == 0
		 ? api
		 : arena_format(&cli->arena, "%s (downgraded from %s)", api, most));
	line(" Git commit:", text_of(c, "GitCommit"));
	line(" OS/Arch:", arena_format(&cli->arena, "%s/%s", text_of(c, "Os"), text_of(c, "Arch")));
	line(" Context:", text_of(c, "Context"));
}

/* RFC 3339 as "Thu May  7 21:09:36 2026"; other texts stay. */
static const char *build_time(struct arena *a, const char *text)
{
	char out[64];
	int64_t ns = 0;
	struct tm tm;
	time_t t;

	if (time_parse_rfc3339(text, &ns, NULL) < 0)
		return text;
	t = (time_t)(ns / NS_PER_SEC);
	gmtime_r(&t, &tm);
	strftime(out, sizeof(out), "%a %b %e %H:%M:%S %Y", &tm);
	return arena_strdup(a, out);
}

static void component_print(struct cli *cli, const struct json *c)
{
	const struct json *d = json_get(c, "Details");
	struct arena *a = &cli->arena;

	printf(" %s:\n", text_of(c, "Name"));
	line("  Version:", text_of(c, "Version"));
	if (strcmp(text_of(c, "Name"), "Engine") != 0) {
		json_for_each_member (m, d)
			line(arena_format(a, "  %s:", m->key),
			     m->value->type == JSON_STRING ? m->value->s : "");
		return;
	}
	line("  API version:", arena_format(a, "%s (minimum version %s)", text_of(d, "ApiVersion"),
					    text_of(d, "MinAPIVersion")));
	line("  Go version:", text_of(d, "GoVersion"));
	line("  Git commit:", text_of(d, "GitCommit"));
	line("  Built:", build_time(a, text_of(d, "BuildTime")));
	line("  OS/Arch:", arena_format(a, "%s/%s", text_of(d, "Os"), text_of(d, "Arch")));
	line("  Experimental:", text_of(d, "Experimental"));
}

static bool is_empty_text(const struct json *j)
{
	return j->type == JSON_STRING && !*j->s;
}

static struct json *server_part(struct arena *a, const struct json *v)
{
	static const char *const keys[] = {
		"Platform",  "Components", "Version", "ApiVersion",    "MinAPIVersion", "GitCommit",
		"GoVersion", "Os",         "Arch",    "KernelVersion", "Experimental",  "BuildTime"
	};
	enum { OPTIONAL_FROM = 10 }; /* left out when empty */
	struct json *s = json_new_object(a);

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		for (size_t k = 0; k < v->n_members; k++)
			if (strcmp(v->members[k].key, keys[i]) == 0 &&
			    !(i >= OPTIONAL_FROM && is_empty_text(v->members[k].value)))
				json_set(a, s, keys[i], v->members[k].value);
	return s;
}

int cmd_version(struct cli *cli, const struct args *args, struct error *err)
{
	const char *format = args_str(args, "format"), *api = CLIENT_API_VERSION_MAX;
	const struct json *v = NULL;
	struct json *doc = json_new_object(&cli->arena), *client;
	struct error missing = { 0 };
	int r = api_get(cli, "/version", NULL, &v, &missing);

	if (r == 0)
		api = client_api_version(cli->client);
	client = client_part(cli, api);
	json_set(&cli->arena, doc, "Client", client);
	if (r == 0)
		json_set(&cli->arena, doc, "Server", server_part(&cli->arena, v));
	else
		json_set(&cli->arena, doc, "Server", arena_new(&cli->arena, struct json));
	if (*format) {
		auto_(buf) out = BUF_INIT(1 << 20);
		int f = document_format(cli, strcmp(format, "json") == 0 ? "{{json .}}" : format,
					"system.versionInfo", doc, &out, err);

		if (f < 0) {
			if (r < 0)
				*err = missing;
			if (cli->status == 0)
				putchar('\n');
			return f;
		}
		printf("%s\n", out.data ? out.data : "");
	} else {
		client_print(cli, client);
		if (r == 0) {
			const char *platform = text_of(json_get(v, "Platform"), "Name");

			printf("\nServer:%s%s\n", *platform ? " " : "", platform);
			json_for_each_item (c, json_get(v, "Components"))
				component_print(cli, c);
		}
	}
	if (r < 0)
		*err = missing;
	return r;
}
