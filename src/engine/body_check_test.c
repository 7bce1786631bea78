/* Tests of engine/body_check.h. */
#include "engine/body_check.h"

#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/str.h"
#include "tests/tap.h"

static const struct {
	const char *name, *body, *want;
} cases[] = {
	{ "nothing", "null", "" },
	{ "what no rule names is free", "{\"X\":{\"Y\":[5]}}", "" },
	{ "null stands for absent anywhere",
	  "{\"Labels\":null,\"Env\":[null],\"HostConfig\":{\"PortBindings\":{\"80/tcp\":null},"
	  "\"Ulimits\":[null]},\"NetworkingConfig\":null}",
	  "" },
	{ "what clients send",
	  "{\"Labels\":{\"a\":\"b\"},\"ExposedPorts\":{\"80/tcp\":{}},\"HostConfig\":{"
	  "\"PortBindings\":{\"80/tcp\":[{\"HostPort\":\"80\"}]},\"Ulimits\":[{\"Name\":\"nofile\","
	  "\"Soft\":1,\"Hard\":2}]},\"NetworkingConfig\":{\"EndpointsConfig\":{\"n\":{}}}}",
	  "" },
	{ "a string in a map", "{\"Labels\":{\"a\":5}}",
	  "json: cannot unmarshal number into Go struct field Labels.* of type string" },
	{ "names in any case", "{\"labels\":{\"a\":5}}",
	  "json: cannot unmarshal number into Go struct field Labels.* of type string" },
	{ "a string in a list", "{\"Env\":[\"A=b\",{}]}",
	  "json: cannot unmarshal object into Go struct field Env.[] of type string" },
	{ "one string stands for a list of it", "{\"Cmd\":\"a\",\"Entrypoint\":[\"a\",\"b\"]}",
	  "" },
	{ "in such a list, too, a number is none", "{\"Cmd\":[\"a\",7]}",
	  "json: cannot unmarshal number into Go struct field Cmd.[?] of type string" },
	{ "a list on the way", "{\"HostConfig\":{\"PortBindings\":{\"80/tcp\":\"80\"}}}",
	  "json: cannot unmarshal string into Go struct field HostConfig.PortBindings.* of type "
	  "list" },
	{ "an object on the way", "{\"NetworkingConfig\":[]}",
	  "json: cannot unmarshal array into Go struct field NetworkingConfig of type map" },
	{ "HostConfig itself", "{\"HostConfig\":true}",
	  "json: cannot unmarshal bool into Go struct field HostConfig of type map" },
	{ "a number with a fraction is no integer",
	  "{\"HostConfig\":{\"Ulimits\":[{\"Soft\":1.5}]}}",
	  "json: cannot unmarshal number into Go struct field HostConfig.Ulimits.[].Soft of type "
	  "int64" },
};

static void test_update(const char *body, const char *want)
{
	auto_(arena) a = ARENA_INIT;
	const struct json *doc = NULL;
	struct error err = { 0 };

	if (json_parse(&a, body, strlen(body), &doc, &err) == 0)
		(void)!body_check_update(doc, &err);
	is_str(err.msg, want, body);
}

int main(void)
{
	test_update("{\"Memory\":1,\"RestartPolicy\":{\"Name\":\"no\"}}", "");
	test_update("{\"RestartPolicy\":\"no\"}",
		    "json: cannot unmarshal string into Go struct field RestartPolicy of type map");
	test_update("{\"Memory\":\"1\"}",
		    "json: cannot unmarshal string into Go struct field Memory of type int64");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_(arena) a = ARENA_INIT;
		const struct json *body = NULL;
		struct error err = { 0 };

		if (json_parse(&a, cases[i].body, strlen(cases[i].body), &body, &err) == 0)
			(void)!body_check_container(body, &err);
		is_str(err.msg, cases[i].want, cases[i].name);
	}
	return tap_done();
}
