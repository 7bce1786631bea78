#include "oci/image_config.h"

#include <string.h>

#include "base/str.h"
#include "base/vec.h"
#include "oci/descriptor.h"

#define FIELD_OF(struct_, key_, kind_, member_) \
	.key = (key_), .kind = (kind_), .offset = offsetof(struct struct_, member_)

#define H(key_, kind_, member_) FIELD_OF(healthcheck, key_, kind_, member_)
static const struct decode_field healthcheck_fields[] = {
	{ H("Test", DECODE_STRINGS, test) },
	{ H("Interval", DECODE_INT, interval_ns) },
	{ H("Timeout", DECODE_INT, timeout_ns) },
	{ H("StartPeriod", DECODE_INT, start_period_ns) },
	{ H("StartInterval", DECODE_INT, start_interval_ns) },
	{ H("Retries", DECODE_INT, retries) },
};
static const struct decode_struct healthcheck_table =
    DECODE_STRUCT_OF(healthcheck_fields, struct healthcheck);

#define C(key_, kind_, member_) FIELD_OF(container_config, key_, kind_, member_)
static const struct decode_field config_fields[] = {
	{ C("Hostname", DECODE_STRING, hostname) },
	{ C("Domainname", DECODE_STRING, domainname) },
	{ C("User", DECODE_STRING, user) },
	{ C("AttachStdin", DECODE_BOOL, attach_stdin) },
	{ C("AttachStdout", DECODE_BOOL, attach_stdout) },
	{ C("AttachStderr", DECODE_BOOL, attach_stderr) },
	{ C("ExposedPorts", DECODE_KEYS, exposed_ports) },
	{ C("Tty", DECODE_BOOL, tty) },
	{ C("OpenStdin", DECODE_BOOL, open_stdin) },
	{ C("StdinOnce", DECODE_BOOL, stdin_once) },
	{ C("Env", DECODE_STRINGS, env) },
	{ C("Cmd", DECODE_STRINGS, cmd) },
	{ C("Healthcheck", DECODE_POINTER, healthcheck), .sub = &healthcheck_table },
	{ C("ArgsEscaped", DECODE_BOOL, args_escaped) },
	{ C("Image", DECODE_STRING, image) },
	{ C("Volumes", DECODE_KEYS, volumes) },
	{ C("WorkingDir", DECODE_STRING, working_dir) },
	{ C("Entrypoint", DECODE_STRINGS, entrypoint) },
	{ C("NetworkDisabled", DECODE_BOOL, network_disabled) },
	{ C("MacAddress", DECODE_STRING, mac_address) },
	{ C("OnBuild", DECODE_STRINGS, on_build) },
	{ C("Labels", DECODE_PAIRS, labels) },
	{ C("StopSignal", DECODE_STRING, stop_signal) },
	{ C("StopTimeout", DECODE_OPT_INT, stop_timeout_s) },
	{ C("Shell", DECODE_STRINGS, shell) },
};
static const struct decode_struct config_table =
    DECODE_STRUCT_OF(config_fields, struct container_config);

#define Y(key_, kind_, member_) FIELD_OF(image_history, key_, kind_, member_)
static const struct decode_field history_fields[] = {
	{ Y("created", DECODE_STRING, created) },
	{ Y("created_by", DECODE_STRING, created_by) },
	{ Y("author", DECODE_STRING, author) },
	{ Y("comment", DECODE_STRING, comment) },
	{ Y("empty_layer", DECODE_BOOL, empty_layer) },
};
static const struct decode_struct history_table =
    DECODE_STRUCT_OF(history_fields, struct image_history);

struct rootfs {
	const char *type;
	const struct digest *diff_ids;
	size_t n_diff_ids;
};
static const char *const rootfs_types[] = { "layers", NULL };
static const struct decode_field rootfs_fields[] = {
	{ FIELD_OF(rootfs, "type", DECODE_STRING, type), .flags = DECODE_REQUIRED,
	  .words = rootfs_types },
	{ FIELD_OF(rootfs, "diff_ids", DECODE_DIGESTS, diff_ids),
	  .count_offset = offsetof(struct rootfs, n_diff_ids) },
};
static const struct decode_struct rootfs_table = DECODE_STRUCT_OF(rootfs_fields, struct rootfs);

/* The members of the document, and the rootfs on its own. */
struct document {
	struct image_config image;
	struct rootfs rootfs;
};

#define P(key_, kind_, member_) FIELD_OF(document, key_, kind_, image.member_)
static const struct decode_field document_fields[] = {
	{ P("created", DECODE_STRING, created) },
	{ P("author", DECODE_STRING, author) },
	{ P("comment", DECODE_STRING, comment) },
	{ P("docker_version", DECODE_STRING, docker_version) },
	{ P("container", DECODE_STRING, container) },
	{ P("parent", DECODE_STRING, parent) },
	{ P("container_config", DECODE_JSON, container_config) },
	{ P("architecture", DECODE_TEXT, platform.arch), .umax = PLATFORM_WORD_MAX },
	{ P("os", DECODE_TEXT, platform.os), .umax = PLATFORM_WORD_MAX },
	{ P("variant", DECODE_TEXT, platform.variant), .umax = PLATFORM_WORD_MAX },
	{ P("os.version", DECODE_TEXT, platform.os_version), .umax = PLATFORM_WORD_MAX },
	{ P("os.features", DECODE_STRINGS, os_features) },
	{ P("config", DECODE_STRUCT, config), .sub = &config_table },
	{ P("history", DECODE_ARRAY, history),
	  .count_offset = offsetof(struct document, image.n_history), .sub = &history_table },
	{ FIELD_OF(document, "rootfs", DECODE_STRUCT, rootfs), .flags = DECODE_REQUIRED,
	  .sub = &rootfs_table },
};
static const struct decode_struct document_table =
    DECODE_STRUCT_OF(document_fields, struct document);

int image_config_parse(struct arena *a, const char *text, size_t len, struct image_config *ret,
		       struct error *err)
{
	struct document d = { 0 };
	int r;

	if (len > IMAGE_CONFIG_MAX)
		return error_set(err, ERR_INVALID, "image config is longer than %lu bytes",
				 IMAGE_CONFIG_MAX);
	r = json_parse(a, text, len, &d.image.document, err);
	if (r < 0)
		return error_wrap(err, r, "image config");
	r = decode_object(a, d.image.document, &document_table, "image config", &d, err);
	if (r < 0)
		return r;
	d.image.diff_ids = d.rootfs.diff_ids;
	d.image.n_diff_ids = d.rootfs.n_diff_ids;
	d.image.config.document = json_get(d.image.document, "config");
	*ret = d.image;
	return 0;
}

int container_config_decode(struct arena *a, const struct json *j, struct container_config *ret,
			    struct error *err)
{
	struct container_config c = { 0 };
	int r;

	r = decode_object(a, j, &config_table, "config", &c, err);
	if (r < 0)
		return r;
	c.document = j;
	*ret = c;
	return 0;
}

static void kbool_if(struct jsonw *w, const char *key, bool b)
{
	if (b)
		jsonw_kbool(w, key, b);
}

static void kstring_if(struct jsonw *w, const char *key, const char *s)
{
	if (!cstr_is_empty(s))
		jsonw_kstring(w, key, s);
}

static void kint_if(struct jsonw *w, const char *key, int64_t i)
{
	if (i != 0)
		jsonw_kint(w, key, i);
}

/* Go writes a nil slice as null. */
static void kstrings(struct jsonw *w, const char *key, const struct strings *s)
{
	if (s->at == NULL)
		jsonw_knull(w, key);
	else
		strings_write(w, key, s);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct pair *)a)->key, ((const struct pair *)b)->key);
}

/* A Go map[string]struct{}: sorted keys of empty objects. */
static void kset(struct jsonw *w, const char *key, const struct strings *s)
{
	VEC(const char *) sorted = { 0 };

	for (size_t i = 0; i < s->n; i++)
		*vec_push(&sorted) = s->at[i];
	if (sorted.len > 0)
		qsort(sorted.at, sorted.len, sizeof(*sorted.at), by_text);
	jsonw_kobject(w, key);
	vec_for_each (k, &sorted) {
		jsonw_kobject(w, *k);
		jsonw_end(w);
	}
	jsonw_end(w);
	vec_release(&sorted);
}

static void kmap(struct jsonw *w, const char *key, const struct pairs *p)
{
	VEC(struct pair) sorted = { 0 };

	for (size_t i = 0; i < p->n; i++)
		*vec_push(&sorted) = p->at[i];
	if (sorted.len > 0)
		qsort(sorted.at, sorted.len, sizeof(*sorted.at), by_key);
	pairs_write(w, key, &(struct pairs){ sorted.at, sorted.len });
	vec_release(&sorted);
}

void healthcheck_write(struct jsonw *w, const struct healthcheck *h)
{
	jsonw_object(w);
	if (h->test.n > 0)
		strings_write(w, "Test", &h->test);
	kint_if(w, "Interval", h->interval_ns);
	kint_if(w, "Timeout", h->timeout_ns);
	kint_if(w, "StartPeriod", h->start_period_ns);
	kint_if(w, "StartInterval", h->start_interval_ns);
	kint_if(w, "Retries", h->retries);
	jsonw_end(w);
}

static bool is_known(const struct decode_struct *s, const char *key)
{
	for (size_t i = 0; i < s->n_fields; i++)
		if (strcmp(s->fields[i].key, key) == 0)
			return true;
	return false;
}

static const char *or_empty(const char *s)
{
	return s ? s : "";
}

void container_config_write(struct jsonw *w, const struct container_config *c)
{
	jsonw_object(w);
	jsonw_kstring(w, "Hostname", or_empty(c->hostname));
	jsonw_kstring(w, "Domainname", or_empty(c->domainname));
	jsonw_kstring(w, "User", or_empty(c->user));
	jsonw_kbool(w, "AttachStdin", c->attach_stdin);
	jsonw_kbool(w, "AttachStdout", c->attach_stdout);
	jsonw_kbool(w, "AttachStderr", c->attach_stderr);
	if (c->exposed_ports.n > 0)
		kset(w, "ExposedPorts", &c->exposed_ports);
	jsonw_kbool(w, "Tty", c->tty);
	jsonw_kbool(w, "OpenStdin", c->open_stdin);
	jsonw_kbool(w, "StdinOnce", c->stdin_once);
	kstrings(w, "Env", &c->env);
	kstrings(w, "Cmd", &c->cmd);
	if (c->healthcheck != NULL) {
		jsonw_key(w, "Healthcheck");
		healthcheck_write(w, c->healthcheck);
	}
	kbool_if(w, "ArgsEscaped", c->args_escaped);
	jsonw_kstring(w, "Image", or_empty(c->image));
	if (c->volumes.at == NULL)
		jsonw_knull(w, "Volumes");
	else
		kset(w, "Volumes", &c->volumes);
	jsonw_kstring(w, "WorkingDir", or_empty(c->working_dir));
	kstrings(w, "Entrypoint", &c->entrypoint);
	kbool_if(w, "NetworkDisabled", c->network_disabled);
	kstring_if(w, "MacAddress", c->mac_address);
	kstrings(w, "OnBuild", &c->on_build);
	if (c->labels.at == NULL)
		jsonw_knull(w, "Labels");
	else
		kmap(w, "Labels", &c->labels);
	kstring_if(w, "StopSignal", c->stop_signal);
	if (c->stop_timeout_s.set)
		jsonw_kint(w, "StopTimeout", c->stop_timeout_s.value);
	if (c->shell.n > 0)
		strings_write(w, "Shell", &c->shell);
	json_for_each_member (m, c->document)
		if (!is_known(&config_table, m->key))
			jsonw_kvalue(w, m->key, m->value);
	jsonw_end(w);
}

static void write_history(struct jsonw *w, const struct image_config *c)
{
	jsonw_array(w);
	for (size_t i = 0; i < c->n_history; i++) {
		const struct image_history *h = &c->history[i];

		jsonw_object(w);
		kstring_if(w, "created", h->created);
		kstring_if(w, "created_by", h->created_by);
		kstring_if(w, "author", h->author);
		kstring_if(w, "comment", h->comment);
		kbool_if(w, "empty_layer", h->empty_layer);
		jsonw_end(w);
	}
	jsonw_end(w);
}

static void write_rootfs(struct jsonw *w, const struct image_config *c)
{
	char text[DIGEST_TEXT_MAX];

	jsonw_object(w);
	jsonw_kstring(w, "type", "layers");
	jsonw_karray(w, "diff_ids");
	for (size_t i = 0; i < c->n_diff_ids; i++) {
		digest_format(&c->diff_ids[i], text);
		jsonw_string(w, text);
	}
	jsonw_end(w);
	jsonw_end(w);
}

/* The value of a member, or false when it is absent. */
static bool write_member(struct jsonw *w, const struct image_config *c, const char *key)
{
	const struct {
		const char *key, *text;
	} texts[] = {
		{ "author", c->author },
		{ "comment", c->comment },
		{ "container", c->container },
		{ "created", c->created },
		{ "docker_version", c->docker_version },
		{ "parent", c->parent },
		{ "os.version", c->platform.os_version },
		{ "variant", c->platform.variant },
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (strcmp(key, texts[i].key) == 0) {
			kstring_if(w, key, texts[i].text);
			return true;
		}
	}
	if (strcmp(key, "architecture") == 0) {
		jsonw_kstring(w, key, c->platform.arch);
	} else if (strcmp(key, "os") == 0) {
		jsonw_kstring(w, key, c->platform.os);
	} else if (strcmp(key, "os.features") == 0) {
		if (c->os_features.n > 0)
			strings_write(w, key, &c->os_features);
	} else if (strcmp(key, "container_config") == 0) {
		if (c->container_config != NULL)
			jsonw_kvalue(w, key, c->container_config);
	} else if (strcmp(key, "config") == 0) {
		jsonw_key(w, key);
		container_config_write(w, &c->config);
	} else if (strcmp(key, "history") == 0) {
		jsonw_key(w, key);
		write_history(w, c);
	} else if (strcmp(key, "rootfs") == 0) {
		jsonw_key(w, key);
		write_rootfs(w, c);
	} else {
		return false;
	}
	return true;
}

int image_config_format(const struct image_config *c, struct buf *b, struct error *err)
{
	VEC(const char *) keys = { 0 };
	struct jsonw w;
	int r;

	for (size_t i = 0; i < ARRAY_LEN(document_fields); i++)
		*vec_push(&keys) = document_fields[i].key;
	json_for_each_member (m, c->document)
		if (!is_known(&document_table, m->key))
			*vec_push(&keys) = m->key;
	qsort(keys.at, keys.len, sizeof(*keys.at), by_text);

	jsonw_init(&w, b);
	jsonw_object(&w);
	vec_for_each (key, &keys)
		if (!write_member(&w, c, *key))
			jsonw_kvalue(&w, *key, json_get(c->document, *key));
	jsonw_end(&w);
	r = jsonw_finish(&w, err);
	vec_release(&keys);
	return r;
}
