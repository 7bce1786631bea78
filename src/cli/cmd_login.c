/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/api.h"
#include "cli/body.h"
#include "cli/commands.h"
#include "cli/config.h"
#include "cli/credentials.h"
#include "cli/listing.h"
#include "cli/units.h"

/* A line of stdin without its end; "" at the end of input. */
static const char *line_read(struct arena *a)
{
	autofree char *line = NULL;
	size_t size = 0;
	ssize_t n = getline(&line, &size, stdin);

	if (n <= 0)
		return "";
	line[strcspn(line, "\r\n")] = 0;
	return arena_strdup(a, line);
}

static const char *secret_read(struct arena *a)
{
	struct termios old, quiet;
	const char *secret;
	bool tty = tcgetattr(STDIN_FILENO, &old) == 0;

	if (tty) {
		quiet = old;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		tcsetattr(STDIN_FILENO, TCSANOW, &quiet);
	}
	secret = line_read(a);
	if (tty)
		tcsetattr(STDIN_FILENO, TCSANOW, &old);
	putchar('\n');
	return secret;
}

static int credentials_ask(struct cli *cli, const struct args *args, const char *server,
			   struct credentials *c, struct error *err)
{
	struct arena *a = &cli->arena;
	struct credentials stored;
	int r;

	c->username = args_str(args, "username");
	c->password = args_str(args, "password");
	c->identity_token = "";
	if (*c->password && args_bool(args, "password-stdin"))
		return error_set(err, ERR_INVALID,
				 "conflicting options: cannot specify both --password and "
				 "--password-stdin");
	if (*c->password)
		fputs("WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n",
		      stderr);
	if (args_bool(args, "password-stdin")) {
		auto_(buf) text = BUF_INIT(1 << 20);
		struct fd_reader in;

		if (!*c->username)
			return error_set(
			    err, ERR_INVALID,
			    "the --password-stdin option requires --username to be set");
		fd_reader_init(&in, STDIN_FILENO, NULL);
		r = reader_read_all(&in.reader, &text, err);
		if (r < 0)
			return r;
		while (text.len &&
		       (text.data[text.len - 1] == '\n' || text.data[text.len - 1] == '\r'))
			text.data[--text.len] = 0;
		c->password = arena_strdup(a, text.data ? text.data : "");
	}
	if (!*c->username && !*c->password) {
		r = credentials_get(cli, server, &stored, err);
		if (r < 0)
			return r;
		if (*stored.username || *stored.identity_token) {
			printf("Authenticating with existing credentials...%s%s%s\n",
			       *stored.username ? " [Username: " : "", stored.username,
			       *stored.username ? "]" : "");
			*c = stored;
			return 0;
		}
	}
	if ((!*c->username || !*c->password) && !isatty(STDIN_FILENO))
		return error_set(
		    err, ERR_INVALID,
		    "Error: Cannot perform an interactive login from a non TTY device");
	if (!*c->username) {
		printf("Username: ");
		fflush(stdout);
		c->username = line_read(a);
	}
	if (!*c->username)
		return error_set(err, ERR_INVALID, "Error: Non-null Username Required");
	if (!*c->password) {
		printf("Password: ");
		fflush(stdout);
		c->password = secret_read(a);
	}
	if (!*c->password)
		return error_set(err, ERR_INVALID, "Error: Password Required");
	return 0;
}

int cmd_login(struct cli *cli, const struct args *args, struct error *err)
{
	const char *operand = args_operand(args, 0), *status;
	const char *server = operand && *operand ? operand : CREDENTIALS_HUB;
	struct json *body = json_new_object(&cli->arena);
	const struct json *answer = NULL;
	struct credentials c;
	bool plain = false;
	int r;

	if (strcmp(server, "docker.io") == 0 || strcmp(server, "index.docker.io") == 0)
		server = CREDENTIALS_HUB;
	else if (cstr_starts(server, "https://") && strcmp(server, CREDENTIALS_HUB) != 0)
		server += strlen("https://");
	else if (cstr_starts(server, "http://"))
		server += strlen("http://");
	r = credentials_ask(cli, args, server, &c, err);
	if (r < 0)
		return r;
	if (*c.identity_token) {
		json_set(&cli->arena, body, "identitytoken",
			 json_new_string(&cli->arena, c.identity_token));
	} else {
		json_set(&cli->arena, body, "username", json_new_string(&cli->arena, c.username));
		json_set(&cli->arena, body, "password", json_new_string(&cli->arena, c.password));
	}
	json_set(&cli->arena, body, "serveraddress", json_new_string(&cli->arena, server));
	r = api_json(cli, "POST", "/auth", NULL, body_text(&cli->arena, body), &answer, err);
	if (r < 0)
		return r;
	if (json_str(answer, "IdentityToken") && *json_str(answer, "IdentityToken")) {
		c.identity_token = json_str(answer, "IdentityToken");
		c.password = "";
	}
	r = credentials_store(cli, server, &c, &plain, err);
	if (r < 0)
		return error_wrap(err, r, "Error saving credentials");
	if (plain)
		fprintf(stderr,
			"\nWARNING! Your credentials are stored unencrypted in '%s/config.json'.\n"
			"Configure a credential helper to remove this warning. See\n"
			"https://docs.docker.com/go/credential-store/\n\n",
			config_get(cli)->dir);
	status = json_str(answer, "Status");
	if (status && *status)
		printf("%s\n", status);
	return 0;
}

int cmd_logout(struct cli *cli, const struct args *args, struct error *err)
{
	const char *operand = args_operand(args, 0);
	const char *server = operand && *operand ? operand : CREDENTIALS_HUB;
	int r;

	if (strcmp(server, "docker.io") == 0 || strcmp(server, "index.docker.io") == 0)
		server = CREDENTIALS_HUB;
	printf("Removing login credentials for %s\n", server);
	fflush(stdout);
	r = credentials_erase(cli, server, err);
	return r < 0 ? error_wrap(err, r, "WARNING: could not erase credentials") : 0;
}

static const struct listing_title search_titles[] = {
	{ "Name", "NAME" },           { "Description", "DESCRIPTION" }, { "StarCount", "STARS" },
	{ "IsOfficial", "OFFICIAL" }, { "IsAutomated", "AUTOMATED" },
};
static const struct listing_kind search_kind = {
	"*formatter.searchContext",
	"{{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}",
	"{{.Name}}",
	NULL,
	NULL,
	search_titles,
	ARRAY_LEN(search_titles),
};

int cmd_search(struct cli *cli, const struct args *args, struct error *err)
{
	enum { DESCRIPTION_WIDTH = 45 };
	const char *term = args_operand(args, 0), *slash = strchr(term, '/');
	struct listing l = { .kind = &search_kind };
	const struct json *list = NULL;
	struct arena *a = &cli->arena;
	auto_(buf) q = api_query();
	struct client_request req = { .method = "GET", .path = "/images/search" };
	struct http_header header = { "X-Registry-Auth", NULL };
	autoptr(client_response) response = NULL;
	auto_(buf) text = BUF_INIT(64 << 20);
	const char *domain = "docker.io";
	int r;

	if (slash && (memchr(term, '.', (size_t)(slash - term)) ||
		      memchr(term, ':', (size_t)(slash - term))))
		domain = arena_strndup(a, term, (size_t)(slash - term));
	r = credentials_header(cli, domain, &header.value, err);
	if (r < 0)
		return r;
	client_query_add(&q, "term", term);
	if (args_int(args, "limit") != 0)
		client_query_add_int(&q, "limit", args_int(args, "limit"));
	client_query_add(&q, "filters", api_filters(cli, args));
	req.query = q.data;
	req.headers = &header;
	req.n_headers = 1;
	r = api_stream(cli, &req, &response, err);
	if (r == 0)
		r = reader_read_all(response->body, &text, err);
	if (r == 0)
		r = json_parse(a, text.data ? text.data : "", text.len, &list, err);
	if (r < 0)
		return r;
	json_for_each_item (s, list) {
		struct json *row = listing_add(cli, &l, NULL);
		const char *description = json_str(s, "description");
		char *flat = arena_strdup(a, description ? description : "");

		for (char *p = flat; *p; p++)
			if (*p == '\n' || *p == '\r')
				*p = ' ';
		row_set(cli, row, "Name", json_str(s, "name"));
		row_set(cli, row, "Description",
			args_bool(args, "no-trunc") ? flat : ellipsis(a, flat, DESCRIPTION_WIDTH));
		row_setf(cli, row, "StarCount", "%lld", (long long)json_int(s, "star_count", 0));
		row_set(cli, row, "IsOfficial", json_bool(s, "is_official", false) ? "[OK]" : "");
		row_set(cli, row, "IsAutomated", json_bool(s, "is_automated", false) ? "[OK]" : "");
	}
	r = listing_print(cli, &l, args_str(args, "format"), false, err);
	listing_release(&l);
	return r;
}
