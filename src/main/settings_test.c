#include "main/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/tap.h"

static char config_path[64];

static const struct {
	const char *name;
	const char *flags[6];
	const char *file;  /* NULL: none */
	const char *error; /* NULL: accepted */
} cases[] = {
	{ "nothing", { NULL }, NULL, NULL },
	{ "a switch", { "--debug" }, NULL, NULL },
	{ "a switch with a value", { "--debug=false" }, NULL, NULL },
	{ "letters together", { "-Dl", "warn" }, NULL, NULL },
	{ "a letter with its value", { "-Hunix:///x", "-H=tcp://y:1" }, NULL, NULL },
	{ "an unknown flag", { "--nope" }, NULL, "unknown flag: --nope" },
	{ "a flag without its value", { "--host" }, NULL, "flag needs an argument: --host" },
	{ "an argument", { "foo" }, NULL, "\"proad\" accepts no arguments" },
	{ "a bad number", { "--mtu", "ten" }, NULL, "invalid argument \"ten\" for \"--mtu\" flag" },
	{ "what is not there",
	  { "--userns-remap", "default" },
	  NULL,
	  "userns-remap is not supported yet" },
	{ "what is not there, switched off", { "--rootless=false" }, NULL, NULL },
	{ "what is always so", { "--live-restore", "--containerd=/run/x" }, NULL, NULL },
	{ "a file", { NULL }, "{\"debug\":true,\"hosts\":[\"unix:///a\"]}", NULL },
	{ "an empty file", { NULL }, "", NULL },
	{ "an unknown key",
	  { NULL },
	  "{\"debug\":true,\"foo\":1,\"bar\":2}",
	  "the following directives don't match any configuration option: foo, bar" },
	{ "both ways",
	  { "--debug" },
	  "{\"debug\":true}",
	  "specified both as a flag and in the configuration file: debug: (from flag: true" },
	{ "a wrong type", { NULL }, "{\"debug\":\"x\"}", "debug: wrong type of value" },
	{ "broken JSON", { NULL }, "{", "unable to configure the Docker daemon with file" },
	{ "attempts and proxies",
	  { "--max-download-attempts=2" },
	  "{\"proxies\":{\"http-proxy\":\"http://x:1\",\"no-proxy\":\"y\"}}",
	  NULL },
	{ "features", { NULL }, "{\"features\":{\"buildkit\":true}}", NULL },
	{ "a refused list",
	  { NULL },
	  "{\"authorization-plugins\":[\"x\"]}",
	  "authorization-plugin is not supported yet" },
};

static void write_config(const char *text)
{
	FILE *f = fopen(config_path, "we");

	if (f) {
		(void)!fwrite(text, 1, strlen(text), f);
		fclose(f);
	}
}

static void test_case(size_t i)
{
	char *argv[10] = { (char *)(uintptr_t) "proad" };
	struct settings s;
	struct error err = { 0 };
	int argc = 1, r;

	for (size_t k = 0; k < 6 && cases[i].flags[k]; k++)
		argv[argc++] = (char *)(uintptr_t)cases[i].flags[k];
	if (cases[i].file) {
		write_config(cases[i].file);
		argv[argc++] = (char *)(uintptr_t) "--config-file";
		argv[argc++] = config_path;
	}
	r = settings_read_flags(&s, argc, argv, &err);
	if (r == 0 && cases[i].file)
		r = settings_read_file(&s, &err);
	if (cases[i].error == NULL)
		is_int(r, 0, cases[i].name);
	else
		ok(r < 0 && strstr(err.msg, cases[i].error), cases[i].name);
	if (cases[i].error && !strstr(err.msg, cases[i].error))
		printf("# got '%s'\n", err.msg);
	settings_release(&s);
}

static void test_values(void)
{
	static const char *const argv[] = { "proad",
					    "-H",
					    "unix:///a",
					    "--host=tcp://b",
					    "--log-opt",
					    "max-size=1m",
					    "--default-shm-size",
					    "1g",
					    "--icc=0",
					    "--config-file",
					    config_path };
	struct settings s;

	write_config("{\"mtu\":1400,\"labels\":[\"a=b\"],\"log-driver\":\"local\"}");
	is_int(settings_read_flags(&s, ARRAY_LEN(argv), (char **)(uintptr_t)argv, NULL), 0,
	       "flags");
	is_int(settings_read_file(&s, NULL), 0, "and a file");
	is_str(settings_list(&s, "host")[0], "unix:///a", "first host");
	is_str(settings_list(&s, "host")[1], "tcp://b", "second host");
	ok(settings_list(&s, "host")[2] == NULL, "no third");
	is_int(settings_int(&s, "default-shm-size", 0), 1 << 30, "sizes have units");
	is_int(settings_int(&s, "mtu", 0), 1400, "numbers of the file");
	ok(!settings_bool(&s, "icc", true), "0 is false");
	is_str(settings_str(&s, "log-driver"), "local", "texts of the file");
	is_str(settings_str(&s, "data-root"), "/var/lib/proa", "defaults");
	is_str(settings_list(&s, "label")[0], "a=b", "lists of the file");
	ok(settings_list(&s, "dns") == NULL, "an unset list is NULL");
	settings_release(&s);
}

int main(void)
{
	char dir[] = "/tmp/settings_test_XXXXXX";

	if (!mkdtemp(dir))
		return 1;
	snprintf(config_path, sizeof(config_path), "%s/engine.json", dir);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		test_case(i);
	test_values();
	unlink(config_path);
	rmdir(dir);
	return tap_done();
}
