/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pull.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/credentials.h"
#include "cli/listing.h"
#include "cli/progress.h"
#include "oci/reference.h"

int pull_image(struct cli *cli, const char *image, const char *platform, bool all_tags, bool quiet,
	       FILE *out, struct error *err)
{
	struct progress_options options = { quiet ? PROGRESS_QUIET : PROGRESS_AUTO, out, NULL,
					    NULL };
	struct client_request req = { .method = "POST", .path = "/images/create" };
	autoptr(client_response) response = NULL;
	char name[REFERENCE_TEXT_MAX], digest[DIGEST_TEXT_MAX];
	struct http_header header = { "X-Registry-Auth", NULL };
	auto_(buf) q = api_query();
	struct reference ref;
	int r =
	    all_tags ? reference_parse(image, &ref, err) : reference_parse_tagged(image, &ref, err);

	if (r == 0)
		r = credentials_header(cli, ref.domain, &header.value, err);
	if (r < 0)
		return r;
	reference_familiar_name(&ref, name);
	client_query_add(&q, "fromImage", name);
	if (reference_has_digest(&ref)) {
		digest_format(&ref.digest, digest);
		client_query_add(&q, "tag", digest);
	} else if (!all_tags) {
		client_query_add(&q, "tag", ref.tag);
	}
	client_query_add(&q, "platform", platform && *platform ? platform : NULL);
	req.query = q.data;
	req.headers = &header;
	req.n_headers = 1;
	r = api_stream(cli, &req, &response, err);
	if (r < 0)
		return r;
	return progress_show(cli, response->body, &options, err);
}

int cmd_pull(struct cli *cli, const struct args *args, struct error *err)
{
	const char *image = args_operand(args, 0), *platform = args_str(args, "platform");
	bool quiet = args_bool(args, "quiet"), all = args_bool(args, "all-tags");
	char full[REFERENCE_TEXT_MAX];
	struct reference ref;
	int r = reference_parse(image, &ref, err);

	if (r < 0)
		return r;
	if (all && (reference_has_tag(&ref) || reference_has_digest(&ref)))
		return error_set(err, ERR_INVALID, "tag can't be used with --all-tags/-a");
	if (!all && !reference_has_tag(&ref) && !reference_has_digest(&ref)) {
		reference_set_tag(&ref, "latest");
		if (!quiet)
			puts("Using default tag: latest");
		fflush(stdout);
	}
	if (!*platform && getenv("DOCKER_DEFAULT_PLATFORM"))
		platform = getenv("DOCKER_DEFAULT_PLATFORM");
	r = pull_image(cli, image, platform, all, quiet, stdout, err);
	if (r < 0)
		return r;
	reference_format(&ref, full);
	puts(full);
	return 0;
}

int cmd_push(struct cli *cli, const struct args *args, struct error *err)
{
	const char *image = args_operand(args, 0);
	bool quiet = args_bool(args, "quiet"), all = args_bool(args, "all-tags");
	struct progress_options options = { quiet ? PROGRESS_QUIET : PROGRESS_AUTO, stdout, NULL,
					    NULL };
	struct client_request req = { .method = "POST" };
	autoptr(client_response) response = NULL;
	struct http_header header = { "X-Registry-Auth", NULL };
	char name[REFERENCE_TEXT_MAX], full[REFERENCE_TEXT_MAX];
	auto_(buf) q = api_query();
	struct reference ref;
	int r = reference_parse(image, &ref, err);

	if (r < 0)
		return r;
	if (all && reference_has_tag(&ref))
		return error_set(err, ERR_INVALID, "tag can't be used with --all-tags/-a");
	if (!all && !reference_has_tag(&ref) && !reference_has_digest(&ref)) {
		reference_set_tag(&ref, "latest");
		if (!quiet)
			puts("Using default tag: latest");
		fflush(stdout);
	}
	r = api_platforms(cli, args, "platform", &q, err);
	if (r == 0)
		r = credentials_header(cli, ref.domain, &header.value, err);
	if (r < 0)
		return r;
	reference_familiar_name(&ref, name);
	req.path = client_path(&cli->arena, "/images/", name, "/push");
	if (!all)
		client_query_add(&q, "tag", ref.tag);
	req.query = q.data;
	req.headers = &header;
	req.n_headers = 1;
	r = api_stream(cli, &req, &response, err);
	if (r == 0)
		r = progress_show(cli, response->body, &options, err);
	if (r == 0 && quiet) {
		reference_format(&ref, full);
		puts(full);
	}
	return r;
}

static const struct listing_title remote_titles[] = { { "Tag", "TAG" },
						      { "Repository", "REPOSITORY" } };
static const struct listing_kind remote_kind = {
	"*formatter.remoteTagContext",
	"{{.Repository}}\t{{.Tag}}",
	"{{.Tag}}",
	NULL,
	NULL,
	remote_titles,
	ARRAY_LEN(remote_titles),
};

int cmd_ls_remote(struct cli *cli, const struct args *args, struct error *err)
{
	struct client_request req = { .method = "GET" };
	autoptr(client_response) response = NULL;
	struct http_header header = { "X-Registry-Auth", NULL };
	struct listing l = { .kind = &remote_kind };
	auto_(buf) text = BUF_INIT(64 << 20);
	char name[REFERENCE_TEXT_MAX];
	const struct json *answer = NULL;
	struct reference ref;
	int r = reference_parse(args_operand(args, 0), &ref, err);

	if (r == 0)
		r = credentials_header(cli, ref.domain, &header.value, err);
	if (r < 0)
		return r;
	reference_familiar_name(&ref, name);
	req.path = client_path(&cli->arena, "/images/", name, "/remote-tags");
	req.headers = &header;
	req.n_headers = 1;
	r = api_stream(cli, &req, &response, err);
	if (r == 0)
		r = reader_read_all(response->body, &text, err);
	if (r == 0)
		r = json_parse(&cli->arena, text.data ? text.data : "", text.len, &answer, err);
	if (r < 0)
		return r;
	json_for_each_item (t, json_get(answer, "Tags")) {
		struct json *row = listing_add(cli, &l, NULL);

		row_set(cli, row, "Repository", name);
		row_set(cli, row, "Tag", t->type == JSON_STRING ? t->s : "");
	}
	r = listing_print(cli, &l, args_str(args, "format"), false, err);
	listing_release(&l);
	return r;
}
