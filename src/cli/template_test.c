/* SPDX-License-Identifier: Apache-2.0 */
/* What docker CLI 28.2.2 printed for the same templates and objects. */
#include "cli/template.h"

#include "tests/tap.h"

#include "base/macros.h"

static const char document[] =
    "{\"Id\":\"3e97272bc71eb717\",\"Created\":\"2026-11-23T15:33:04.364025095Z\",\"Name\":\"/c1\","
    "\"Args\":[\"100000\"],\"State\":{\"Status\":\"running\",\"Running\":true,\"Pid\":23668,"
    "\"ExitCode\":0,\"Error\":\"\"},\"HostConfig\":{\"Memory\":0,\"Binds\":null,\"LogConfig\":"
    "{\"Type\":\"json-file\",\"Config\":{}},\"PortBindings\":{\"80/tcp\":[{\"HostIp\":\"\","
    "\"HostPort\":\"8088\"}]}},\"Mounts\":[],\"Config\":{\"Hostname\":\"h\",\"Image\":\"busybox\","
    "\"Env\":[\"A=1\"],\"Cmd\":[\"sleep\",\"100000\"],\"Entrypoint\":null,\"Volumes\":null,"
    "\"Labels\":{\"x\":\"y\",\"a\":\"1\"}},\"NetworkSettings\":{\"Ports\":{\"80/tcp\":[{\"HostIp\":"
    "\"0.0.0.0\",\"HostPort\":\"8088\"},{\"HostIp\":\"::\",\"HostPort\":\"8088\"}]},"
    "\"Networks\":{\"bridge\":{\"IPAddress\":\"172.17.0.2\"}}},\"Ratio\":0.5}";

static const struct {
	const char *template, *out, *err;
} cases[] = {
	{ "{{.Name}}", "/c1", "" },
	{ "{{.Nope}}", "",
	  "template: :1:2: executing \"\" at <.Nope>: map has no entry for key \"Nope\"" },
	{ "{{.State.Nope}}", "",
	  "template: :1:8: executing \"\" at <.State.Nope>: map has no entry for key \"Nope\"" },
	{ "{{.State.Status.Foo}}", "",
	  "template: :1:8: executing \"\" at <.State.Status.Foo>: can't evaluate field Foo in type "
	  "interface {}" },
	{ "{{.Config.Labels}}", "map[a:1 x:y]", "" },
	{ "{{.Config.Env}}", "[A=1]", "" },
	{ "{{index .Config.Labels \"zz\"}}|{{index .Config.Labels \"x\"}}", "|y", "" },
	{ "{{.State.Health.Status}}", "",
	  "template: :1:8: executing \"\" at <.State.Health.Status>: map has no entry for key "
	  "\"Health\"" },
	{ "{{if .State.Health}}a{{else}}b{{end}}", "b", "" },
	{ "{{.State.Health}}", "<nil>", "" },
	{ "{{range .Foo}}", "", "template: :1: unexpected EOF" },
	{ "{{.State", "", "template: :1: unclosed action" },
	{ "{{foo .}}", "", "template: :1: function \"foo\" not defined" },
	{ "{{index .Config.Env 99}}", "",
	  "template: :1:2: executing \"\" at <index .Config.Env 99>: error calling index: index "
	  "out of "
	  "range: 99" },
	{ "{{json .Config.Labels}}", "{\"a\":\"1\",\"x\":\"y\"}", "" },
	{ "{{.State.Pid}} {{.HostConfig.Memory}} {{.Ratio}}", "23668 0 0.5", "" },
	{ "{{len .Config.Env}} {{eq .State.Status \"running\"}} {{printf \"%q %s %d %v\" .Name "
	  ".Name "
	  ".State.Pid .State.Running}}",
	  "1 true \"/c1\" /c1 23668 true", "" },
	{ "{{range $k, $v := .NetworkSettings.Networks}}{{$k}}={{$v.IPAddress}} {{end}}",
	  "bridge=172.17.0.2 ", "" },
	{ "{{(index (index .NetworkSettings.Ports \"80/tcp\") 0).HostPort}}", "8088", "" },
	{ "{{(index (index .NetworkSettings.Ports \"81/tcp\") 0).HostPort}}", "",
	  "template: :1:3: executing \"\" at <index (index .NetworkSettings.Ports \"81/tcp\") 0>: "
	  "error "
	  "calling index: index of untyped nil" },
	{ "{{.NetworkSettings.Ports}}", "map[80/tcp:[{0.0.0.0 8088} {:: 8088}]]", "" },
	{ "{{.HostConfig.PortBindings}}", "map[80/tcp:[{ 8088}]]", "" },
	{ "{{.HostConfig.LogConfig}}", "{json-file map[]}", "" },
	{ "{{.Mounts}} {{.HostConfig.Binds}} {{.Config.Volumes}}", "[] [] map[]", "" },
	{ "{{println \"a\" 1 2 \"b\"}}", "a 1 2 b\n", "" },
	{ "{{.Name | upper | json}}", "\"/C1\"", "" },
	{ "{{join .Config.Env \",\"}}|{{split .Name \"1\"}}|{{title \"foo bar\"}}|{{pad \"x\" 2 "
	  "3}}|"
	  "{{truncate \"abcdef\" 3}}",
	  "A=1|[/c ]|Foo Bar|  x   |abc", "" },
	{ "{{slice .Id 0 12}}", "3e97272bc71e", "" },
	{ "{{and 1 0}} {{or 0 \"x\"}} {{not true}} {{lt 1 2}} {{len \"abc\"}}", "0 x false true 3",
	  "" },
	{ "{{with .Config}}{{.Image}}{{end}}", "busybox", "" },
	{ "{{$x := .Name}}{{$x}}{{/* c */}}", "/c1", "" },
	{ "{{ /* c */ }}", "", "template: :1: unexpected \"/\" in command" },
	{ "{{- .Name -}}   x", "/c1x", "" },
	{ "{{true}} {{\"a\\tb\"}} {{`raw`}} {{printf \"%5d|%-5s|%05.1f|%x\" 3 \"a\" 1.25 255}}",
	  "true a\tb raw     3|a    |001.2|ff", "" },
	{ "{{1.5}} {{nil}}", "1.5 ",
	  "template: :1:10: executing \"\" at <nil>: nil is not a command" },
	{ "{{.HostConfig.Memory | printf \"%d\"}}", "0", "" },
	{ "{{eq 1 1.0}}", "",
	  "template: :1:2: executing \"\" at <eq 1 1.0>: error calling eq: incompatible types for "
	  "comparison" },
	{ "{{index .Config.Env 0 1}}", "61", "" },
	{ "{{range $i, $e := .Config.Env}}{{$i}}:{{$e}} {{else}}none{{end}}", "0:A=1 ", "" },
	{ "{{range .Mounts}}x{{else}}none{{end}}", "none", "" },
	{ "{{if and .State.Running (gt .State.Pid 0)}}y{{end}}", "y", "" },
	{ "{{.Config.Labels.x}} {{.Config.Labels.y}}", "y <no value>", "" },
	{ "{{\"x\" \"y\"}}", "",
	  "template: :1:2: executing \"\" at <\"x\">: can't give argument to non-function \"x\"" },
	{ "{{end}}", "", "template: :1: unexpected {{end}}" },
	{ "{{if}}", "", "template: :1: missing value for if" },
	{ "{{range .Config.Cmd}}{{.}}{{break}}{{end}}", "sleep", "" },
	{ "{{print 1 2 \"a\" \"b\" 3}}", "1 2ab3", "" },
	{ "{{html \"<\"}}{{urlquery \"a b\"}}", "&lt;a+b", "" },
	{ "{{slice .Config.Cmd 0 1}}", "[sleep]", "" },
	{ "{{.Config.Cmd}}|{{.Config.Entrypoint}}|{{json .Config.Entrypoint}}",
	  "[sleep 100000]|[]|null", "" },
	{ "{{if eq 1 2}}a{{else if eq 1 1}}b{{else}}c{{end}}", "b", "" },
	{ "{{range $k, $v := .Config.Labels}}{{$k}}{{$v}};{{end}}", "a1;xy;", "" },
	{ "{{$a := 1}}{{range .Config.Cmd}}{{$a = 2}}{{end}}{{$a}}", "2", "" },
	{ "{{$.Name}} {{$x}}", "", "template: :1: undefined variable \"$x\"" },
	{ "a\n{{.Nope}}", "a\n",
	  "template: :2:2: executing \"\" at <.Nope>: map has no entry for key \"Nope\"" },
	{ "{{printf \"%d\" \"x\"}} {{printf \"%s\"}} {{printf \"a\" 1}}",
	  "%!d(string=x) %!s(MISSING) a%!(EXTRA int=1)", "" },
	{ "{{", "", "template: :1: unclosed action" },
	{ "{{\"abc}}", "", "template: :1: unterminated quoted string" },
	{ "{{(.Name}}", "", "template: :1: unclosed left paren" },
};

static void run(const char *text, const struct template_root *root, struct arena *a,
		const char *out, const char *want_err)
{
	auto_(buf) b = BUF_INIT(1 << 20);
	struct template *t = NULL;
	struct error err = { 0 };
	int r = template_parse(a, text, &t, &err);

	if (r == 0)
		r = template_execute(t, root, &b, &err);
	is_str(b.data ? b.data : "", out, text);
	is_str(err.msg, want_err, "its failure");
	(void)!r;
}

static void rows(struct arena *a)
{
	static const char row[] =
	    "{\"ID\":\"3e97\",\"Names\":\"c1\",\"Ports\":\"80->80\",\"Platform\":null}";
	static const char labels[] = "{\"x\":\"y\"}";
	const struct json *j = NULL, *l = NULL;
	struct template_root root = { .row_type = "*formatter.ContainerContext" };

	if (json_parse(a, row, strlen(row), &j, NULL) < 0 ||
	    json_parse(a, labels, strlen(labels), &l, NULL) < 0)
		return;
	root.value = j;
	root.labels = l;
	run("{{.Nope}}", &root, a, "",
	    "template: :1:2: executing \"\" at <.Nope>: can't evaluate field Nope in type "
	    "*formatter.ContainerContext");
	run("{{.Label \"x\"}}|{{.Label \"z\"}}", &root, a, "y|", "");
	run("{{.Label}}", &root, a, "",
	    "template: :1:2: executing \"\" at <.Label>: wrong number of args for Label: want 1 "
	    "got 0");
	run("{{.Names.x}}", &root, a, "",
	    "template: :1:8: executing \"\" at <.Names.x>: can't evaluate field x in type string");
	run("{{json .}}", &root, a,
	    "{\"ID\":\"3e97\",\"Names\":\"c1\",\"Ports\":\"80-\\u003e80\",\"Platform\":null}", "");
	run("{{json .Ports}} {{.Platform}}", &root, a, "\"80->80\" <nil>", "");
	run("{{len .}}", &root, a, "",
	    "template: :1:2: executing \"\" at <len .>: error calling len: len of type "
	    "formatter.ContainerContext");
	root.header = true;
	run("{{upper .Names}} {{.Label \"com.example.my-key\"}}", &root, a, "c1 my key", "");
}

/* docker tries Go's struct first, then the JSON: one name that only the JSON has (.Id) decides. */
static void typed_and_raw(struct arena *a)
{
	static const char text[] =
	    "{\"Id\":\"3e97\",\"Config\":{\"Healthcheck\":{\"Test\":[\"CMD\",\"x\"],\"Interval\":"
	    "90000000000,"
	    "\"Timeout\":1500000}},\"HostConfig\":{\"PidsLimit\":null,\"NanoCpus\":5},\"Networks\":"
	    "{\"b\":{\"IPAddress\":\"1.2.3.4\"}},\"Metadata\":{\"LastTagTime\":\"2026-11-25T21:15:"
	    "47Z\"}}";
	struct template_root root = { 0 };

	if (json_parse(a, text, sizeof(text) - 1, &root.value, NULL) < 0)
		return;
	run("{{.Config.Healthcheck}}", &root, a, "{[CMD x] 1m30s 1.5ms 0s 0s 0}", "");
	run("{{.Config.Healthcheck.Interval}} {{gt .Config.Healthcheck.Interval 1}}", &root, a,
	    "1m30s true", "");
	run("{{.Config.Healthcheck.Interval}} {{.Id}}", &root, a, "90000000000 3e97", "");
	run("{{.HostConfig.PidsLimit}} {{.HostConfig.NanoCPUs}}", &root, a, "<nil> 5", "");
	run("{{.HostConfig.PidsLimit}} {{.HostConfig.NanoCpus}}", &root, a, "<no value> 5", "");
	run("{{.Networks.c}} {{.Networks.c.IPAddress}}", &root, a, "<no value> <no value>", "");
	run("{{.Metadata.LastTagTime}}", &root, a, "2026-11-25 21:15:47 +0000 UTC", "");
	run("{{.Id}} {{.Networks.c}}", &root, a, "3e97 ",
	    "template: :1:19: executing \"\" at <.Networks.c>: map has no entry for key \"c\"");
	run("{{printf \"%T %U\" .Metadata.LastTagTime 65}} {{js \"it's <\"}}", &root, a,
	    "string U+0041 it\\'s \\u003C", "");
}

int main(void)
{
	auto_(arena) a = ARENA_INIT;
	struct template_root root = { 0 };

	if (json_parse(&a, document, sizeof(document) - 1, &root.value, NULL) < 0)
		return 1;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		run(cases[i].template, &root, &a, cases[i].out, cases[i].err);
	rows(&a);
	typed_and_raw(&a);
	root.document_type = "system.versionInfo";
	run("{{.Nope}}", &root, &a, "",
	    "template: :1:2: executing \"\" at <.Nope>: can't evaluate field Nope in type "
	    "system.versionInfo");
	return tap_done();
}
