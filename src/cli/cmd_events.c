/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/listing.h"
#include "cli/template.h"
#include "cli/template_internal.h"
#include "cli/units.h"

/* "2026-11-23T15:44:38.127320089Z volume create v1 (driver=local)" */
static void event_print(struct arena *a, const struct json *e)
{
	const struct json *actor = json_get(e, "Actor"),
			  *attributes = json_get(actor, "Attributes");
	const char *type = json_str(e, "Type"), *action = json_str(e, "Action");
	const char *id = json_str(actor, "ID");
	int64_t ns = json_int(e, "timeNano", 0);
	char stamp[TIME_TEXT_MAX];
	char fraction[16];

	if (ns == 0)
		ns = json_int(e, "time", 0) * NS_PER_SEC;
	time_format_rfc3339nano(ns / NS_PER_SEC * NS_PER_SEC, stamp);
	snprintf(fraction, sizeof(fraction), "%09lld", (long long)(ns % NS_PER_SEC));
	printf("%.19s.%sZ ", stamp, fraction);
	printf("%s %s %s", type ? type : "", action ? action : "", id ? id : "");
	if (attributes && attributes->type == JSON_OBJECT && attributes->n_members > 0) {
		const struct json_member **sorted = object_sorted(a, attributes);

		for (size_t i = 0; i < attributes->n_members; i++)
			printf("%s%s=%s", i ? ", " : " (", sorted[i]->key,
			       sorted[i]->value->type == JSON_STRING ? sorted[i]->value->s : "");
		putchar(')');
	}
	putchar('\n');
}

/* Peer: docker events ends with 64 when the template fails. */
static int template_fail(struct cli *cli, struct error *err)
{
	autofree char *why = xstrdup(err->msg);

	cli->status = 64;
	return error_set(err, ERR_INVALID, "Error parsing format: %s", why);
}

static int event_show(struct cli *cli, struct arena *a, const char *text, size_t len,
		      struct template *t, bool as_json, struct error *err)
{
	const struct json *e = NULL;
	int r;

	if (as_json) {
		printf("%.*s\n", (int)len, text);
		return 0;
	}
	r = json_parse(a, text, len, &e, err);
	if (r < 0)
		return r;
	if (t) {
		struct template_root root = { .value = e };
		auto_(buf) out = BUF_INIT(4 << 20);
		struct json *alias = json_new_object(a);

		/* The names that Go's struct has and JSON spells otherwise. */
		json_for_each_member (m, e) {
			json_set(a, alias, m->key, m->value);
			if (strcmp(m->key, "time") == 0)
				json_set(a, alias, "Time", m->value);
			else if (strcmp(m->key, "timeNano") == 0)
				json_set(a, alias, "TimeNano", m->value);
			else if (strcmp(m->key, "scope") == 0)
				json_set(a, alias, "Scope", m->value);
			else if (strcmp(m->key, "status") == 0)
				json_set(a, alias, "Status", m->value);
			else if (strcmp(m->key, "id") == 0)
				json_set(a, alias, "ID", m->value);
			else if (strcmp(m->key, "from") == 0)
				json_set(a, alias, "From", m->value);
		}
		root.value = strstr(t->text, "json .}") ? e : alias;
		root.document_type = "*events.Message";
		r = template_execute(t, &root, &out, err);
		if (r < 0)
			return template_fail(cli, err);
		printf("%s\n", out.data ? out.data : "");
		return 0;
	}
	event_print(a, e);
	return 0;
}

int cmd_events(struct cli *cli, const struct args *args, struct error *err)
{
	const char *format = args_str(args, "format"), *since = NULL, *until = NULL, *text = NULL;
	struct client_request req = { .method = "GET", .path = "/events" };
	autoptr(client_response) response = NULL;
	struct client_messages messages;
	struct template *t = NULL;
	auto_(buf) q = api_query();
	size_t len = 0;
	int r = 0;

	if (*format && strcmp(format, "json") != 0)
		r = template_parse(&cli->arena, format, &t, err);
	if (r < 0)
		return template_fail(cli, err);
	if (*args_str(args, "since"))
		r = moment_parse(&cli->arena, args_str(args, "since"), &since, err);
	if (r == 0 && *args_str(args, "until"))
		r = moment_parse(&cli->arena, args_str(args, "until"), &until, err);
	if (r < 0)
		return r;
	client_query_add(&q, "since", since);
	client_query_add(&q, "until", until);
	client_query_add(&q, "filters", api_filters(cli, args));
	req.query = q.data;
	r = api_stream(cli, &req, &response, err);
	if (r < 0)
		return r;
	client_messages_init(&messages, response->body);
	for (;;) {
		auto_(arena) scratch = ARENA_INIT;

		r = client_messages_next(&messages, &text, &len, err);
		if (r < 0 || !text)
			break;
		r = event_show(cli, &scratch, text, len, t, strcmp(format, "json") == 0, err);
		if (r < 0)
			break;
		fflush(stdout);
	}
	client_messages_release(&messages);
	return r;
}
