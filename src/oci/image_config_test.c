#include "oci/image_config.h"

#include "tests/tap.h"

#define D      "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ROOTFS "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" D "\"]}"

/* Docker's own members, and one that nobody knows, must come back. */
static const char full[] =
    "{\"architecture\":\"arm64\",\"config\":{\"Hostname\":\"\",\"Domainname\":\"\",\"User\":"
    "\"65534\",\"AttachStdin\":false,\"AttachStdout\":false,\"AttachStderr\":false,"
    "\"ExposedPorts\":{\"80/tcp\":{}},\"Tty\":false,\"OpenStdin\":false,\"StdinOnce\":false,"
    "\"Env\":[\"PATH=/bin\",\"A=b=c\"],\"Cmd\":[\"sh\"],\"Healthcheck\":{\"Test\":[\"CMD\",\"x\"],"
    "\"Interval\":30000000000},\"ArgsEscaped\":true,\"Image\":\"\",\"Volumes\":null,"
    "\"WorkingDir\":\"/w\",\"Entrypoint\":null,\"OnBuild\":[\"RUN x\"],\"Labels\":{\"a\":\"1\","
    "\"b\":\"\\u003c2\\u003e\"},\"StopSignal\":\"SIGINT\",\"StopTimeout\":3,\"Shell\":[\"/bin/"
    "bash\",\"-c\"],\"Memory\":7},\"created\":\"2026-01-02T03:04:05Z\",\"history\":[{\"created_"
    "by\":\"ADD\"},{\"created_by\":\"CMD\",\"empty_layer\":true}],\"moby.x\":{\"y\":[1,null]},"
    "\"os\":\"linux\"," ROOTFS ",\"variant\":\"v8\"}";

static const struct {
	const char *what, *text, *message; /* message NULL: fine */
} cases[] = {
	{ "the least", "{" ROOTFS "}", NULL },
	{ "no rootfs", "{}", "image config.rootfs: missing" },
	{ "bad diff_id", "{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"x\"]}}",
	  "image config.rootfs.diff_ids[0]: digest is not 'algorithm:encoded'" },
	{ "other rootfs", "{\"rootfs\":{\"type\":\"zip\"}}",
	  "image config.rootfs.type: unknown value 'zip'" },
	{ "Env as text", "{" ROOTFS ",\"config\":{\"Env\":\"a=b\"}}",
	  "image config.config.Env: want array, got string" },
	{ "null config", "{" ROOTFS ",\"config\":null}", NULL },
	{ "label of a number", "{" ROOTFS ",\"config\":{\"Labels\":{\"a\":1}}}",
	  "image config.config.Labels.a: want string, got integer" },
};

static void test_full(void)
{
	auto_(arena) a = ARENA_INIT;
	auto_(buf) b = BUF_INIT(IMAGE_CONFIG_MAX);
	struct image_config c;
	struct error err;

	is_int(image_config_parse(&a, full, sizeof(full) - 1, &c, &err), 0, "read Docker's form");
	is_str(c.platform.variant, "v8", "variant");
	is_str(c.config.user, "65534", "user");
	is_str(c.config.env.at[1], "A=b=c", "environment");
	is_int(c.config.healthcheck->interval_ns, 30000000000LL, "health check");
	ok(c.config.entrypoint.at == NULL && c.config.cmd.n == 1, "entrypoint is not set");
	is_int((long long)c.n_history, 2, "history");
	is_int(image_config_format(&c, &b, &err), 0, "write");
	is_str(b.data, full, "the same bytes, unknown members kept");
}

int main(void)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_(arena) a = ARENA_INIT;
		struct image_config c;
		struct error err;

		is_int(image_config_parse(&a, cases[i].text, strlen(cases[i].text), &c, &err),
		       cases[i].message ? -ERR_INVALID : 0, cases[i].what);
		if (cases[i].message != NULL)
			is_str(err.msg, cases[i].message, "message");
	}
	test_full();
	return tap_done();
}
