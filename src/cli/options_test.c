/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/options.h"

#include "tests/tap.h"

#include "base/macros.h"
#include "base/str.h"
#include "cli/body.h"
#include "cli/context_ignore.h"
#include "cli/flag_check.h"

static void mounts(struct arena *a)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "type=bind,src=/a,dst=/b,ro",
		  "{\"Type\":\"bind\",\"Source\":\"/a\",\"Target\":\"/b\",\"ReadOnly\":true}" },
		{ "source=v,target=/b,volume-nocopy,volume-subpath=x",
		  "{\"Type\":\"volume\",\"Source\":\"v\",\"Target\":\"/"
		  "b\",\"VolumeOptions\":{\"NoCopy\":"
		  "true,\"Subpath\":\"x\",\"DriverConfig\":{}}}" },
		{ "type=tmpfs,destination=/t,tmpfs-size=1m,tmpfs-mode=1770",
		  "{\"Type\":\"tmpfs\",\"Target\":\"/"
		  "t\",\"TmpfsOptions\":{\"SizeBytes\":1048576,\"Mode\":"
		  "1016}}" },
		{ "type=volume,dst=/d,volume-driver=local,\"volume-opt=o=a,b\",volume-label=k=v",
		  "{\"Type\":\"volume\",\"Target\":\"/"
		  "d\",\"VolumeOptions\":{\"DriverConfig\":{\"Name\":"
		  "\"local\",\"Options\":{\"o\":\"a,b\"}},\"Labels\":{\"k\":\"v\"}}}" },
		{ "type=bind,src=/a,dst=/b,bind-propagation=rslave,bind-recursive=disabled",
		  "{\"Type\":\"bind\",\"Source\":\"/a\",\"Target\":\"/"
		  "b\",\"BindOptions\":{\"Propagation\":"
		  "\"rslave\",\"NonRecursive\":true}}" },
		{ "type=image,src=i,dst=/b,image-subpath=s",
		  "{\"Type\":\"image\",\"Source\":\"i\",\"Target\":\"/"
		  "b\",\"ImageOptions\":{\"Subpath\":"
		  "\"s\"}}" },
		{ "type=bind", "target is required" },
		{ "type=tmpfs,dst=/t,bind-propagation=private",
		  "cannot mix 'bind-*' options with mount type 'tmpfs'" },
		{ "foo", "invalid field 'foo' must be a key=value pair" },
		{ "dst=/a,ro=maybe", "invalid value for ro: maybe" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error err = { 0 };
		struct json *m = NULL;
		int r = mount_parse(a, cases[i].text, &m, &err);

		is_str(r == 0 ? body_text(a, m) : err.msg, cases[i].want, cases[i].text);
	}
}

static void networks(struct arena *a)
{
	struct network_option o;
	struct error err = { 0 };

	is_int(network_parse(a, "n1", &o, &err), 0, "a plain name");
	is_str(o.name, "n1", "is the name");
	is_int(network_parse(a, "name=n1,alias=a,alias=b,ip=1.2.3.4,driver-opt=k=v,gw-priority=-3",
			     &o, &err),
	       0, "the long form");
	is_str(body_text(a, o.aliases), "[\"a\",\"b\"]", "aliases repeat");
	is_str(o.ip, "1.2.3.4", "ip");
	is_str(body_text(a, o.driver_opts), "{\"k\":\"v\"}", "driver options");
	is_int(o.gw_priority, -3, "a priority may be negative");
	is_int(network_parse(a, "alias=x", &o, &err), -ERR_INVALID, "no name");
	is_str(err.msg, "network name/id is not specified", "its text");
	is_int(network_parse(a, "name=a,b", &o, &err), -ERR_INVALID, "a field without =");
	is_str(err.msg, "invalid field b", "its text");
}

static void gpus(struct arena *a)
{
	struct error err = { 0 };
	struct json *q = NULL;

	is_int(gpus_parse(a, "all", &q, &err), 0, "--gpus all");
	is_str(body_text(a, q),
	       "{\"Driver\":\"\",\"Count\":-1,\"Capabilities\":[[\"gpu\"]],\"Options\":{}}",
	       "all is -1");
	is_int(gpus_parse(a, "foo=1", &q, &err), -ERR_INVALID, "a strange key");
	is_str(err.msg, "unexpected key 'foo' in 'foo=1'", "its text");
}

static void ignores(struct arena *a)
{
	static const struct {
		const char *patterns, *path;
		bool ignored;
	} cases[] = {
		{ "a", "a", true },
		{ "a", "a/b", true },
		{ "a", "b/a", false },
		{ "*.tmp", "x.tmp", true },
		{ "*.tmp", "d/x.tmp", false },
		{ "**/*.tmp", "d/e/x.tmp", true },
		{ "**/*.tmp", "x.tmp", true },
		{ "d/**", "d/e", true },
		{ "d\n!d/keep", "d/keep", false },
		{ "d\n!d/keep", "d/other", true },
		{ "# a\n\nb", "a", false },
		{ "/a", "a", true },
		{ "a?c", "abc", true },
		{ "[a-c]x", "bx", true },
		{ "[^a-c]x", "bx", false },
		{ "*", "anything", true },
		{ "*\n!Dockerfile", "Dockerfile", false },
		{ "a/../b", "b", true },
		{ "*/b", "a/b", true },
		{ "*/b", "a/c/b", false },
		{ "**", "x/y", true },
		{ "d/**/f", "d/f", true },
		{ "d/**/f", "d/x/y/f", true },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct context_ignore ig;
		int r = context_ignore_parse(a, str_of(cases[i].patterns), &ig, NULL);

		ok(r == 0 && context_ignore_matches(&ig, cases[i].path) == cases[i].ignored,
		   arena_format(a, "%s %s %s", cases[i].patterns,
				cases[i].ignored ? "hides" : "leaves", cases[i].path));
	}
}

int main(void)
{
	auto_(arena) a = ARENA_INIT;

	mounts(&a);
	networks(&a);
	gpus(&a);
	ignores(&a);
	return tap_done();
}
