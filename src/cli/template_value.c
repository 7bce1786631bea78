/* SPDX-License-Identifier: Apache-2.0 */
/* Values of templates: truth, printing as %v, JSON. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/jsonw.h"
#include "base/macros.h"
#include "base/str.h"
#include "cli/template_internal.h"

enum { TEXT_MAX = 64 << 20 };

struct value value_string(const char *s)
{
	return (struct value){ .kind = VALUE_STRING, .s = s };
}

struct value value_int(int64_t i)
{
	return (struct value){ .kind = VALUE_INT, .i = i };
}

struct value value_bool(bool b)
{
	return (struct value){ .kind = VALUE_BOOL, .b = b };
}

/* Fields of the Engine API that are maps in Go; other objects are structs. */
static const char *const map_names[] = {
	"Labels",
	"Volumes",
	"PortBindings",
	"ExposedPorts",
	"Ports",
	"Networks",
	"DriverOpts",
	"Options",
	"Sysctls",
	"Tmpfs",
	"StorageOpt",
	"Annotations",
	"Data",
	"Containers",
	"Services",
	"Status",
	"Attributes",
	"Metadata",
	"IndexConfigs",
	"Runtimes",
	"EndpointsConfig",
	"AuxiliaryAddresses",
	"Opts",
	"IPAMOptions",
	"Details",
	"Storage",
};

/* Fields that are pointers in Go: null prints <nil>. */
static const char *const pointer_names[] = {
	"PidsLimit",   "OomKillDisable", "MemorySwappiness", "IPAMConfig", "Init",
	"StopTimeout", "Health",         "Healthcheck",      "Platform",   "SizeRw",
	"SizeRootFs",  "UsageData",      "ConfigFrom",
};

static bool in_list(const char *const *list, size_t n, const char *name)
{
	for (size_t i = 0; name && i < n; i++)
		if (strcmp(list[i], name) == 0)
			return true;
	return false;
}

bool object_name_is_map(const char *name)
{
	return in_list(map_names, ARRAY_LEN(map_names), name);
}

bool value_is_map(const struct value *v)
{
	if (object_name_is_map(v->name))
		return true;
	/* LogConfig.Config is a map, the container's Config is not. */
	return v->name && strcmp(v->name, "Config") == 0 && v->kind == VALUE_JSON &&
	       v->json->type == JSON_OBJECT && !json_get(v->json, "Labels") &&
	       (v->json->n_members == 0 || v->json->members[0].value->type == JSON_STRING) &&
	       !json_get(v->json, "Hostname");
}

bool value_zero_field(const char *name, struct value *ret)
{
	static const char *const empty_texts[] = { "StopSignal", "MacAddress", "NetworkMode",
						   "Variant",    "OsVersion",  "Comment",
						   "Author",     "Parent",     "Gateway",
						   "IPRange" };
	static const char *const empty_lists[] = { "Mounts", "OnBuild", "Shell", "RepoTags",
						   "RepoDigests" };
	static struct json empty_map = { .type = JSON_OBJECT }, empty_list = { .type = JSON_ARRAY };

	if (in_list(pointer_names, ARRAY_LEN(pointer_names), name))
		*ret = (struct value){ .kind = VALUE_NIL };
	else if (object_name_is_map(name))
		*ret = (struct value){ .kind = VALUE_JSON, .json = &empty_map };
	else if (in_list(empty_texts, ARRAY_LEN(empty_texts), name))
		*ret = value_string("");
	else if (in_list(empty_lists, ARRAY_LEN(empty_lists), name))
		*ret = (struct value){ .kind = VALUE_JSON, .json = &empty_list };
	else
		return false;
	ret->name = name;
	return true;
}

struct value value_of_json(const struct json *j, const char *name)
{
	struct value v = { .kind = VALUE_NIL, .name = name };

	if (!j)
		return v;
	switch (j->type) {
	case JSON_STRING:
		v.kind = VALUE_STRING;
		v.s = j->s;
		break;
	case JSON_INT:
		v.kind = VALUE_INT;
		v.i = j->i;
		break;
	case JSON_BOOL:
		v.kind = VALUE_BOOL;
		v.b = j->b;
		break;
	case JSON_DOUBLE:
		v.kind = VALUE_FLOAT;
		v.d = j->d;
		break;
	case JSON_OBJECT:
	case JSON_ARRAY:
		v.kind = VALUE_JSON;
		v.json = j;
		break;
	case JSON_NULL:
		break;
	}
	return v;
}

bool value_true(const struct value *v)
{
	switch (v->kind) {
	case VALUE_BOOL:
		return v->b;
	case VALUE_INT:
		return v->i != 0;
	case VALUE_FLOAT:
		return v->d != 0;
	case VALUE_STRING:
		return *v->s;
	case VALUE_JSON:
		if (v->json->type == JSON_ARRAY)
			return v->json->n_items > 0;
		return !value_is_map(v) || v->json->n_members > 0;
	case VALUE_MISSING:
	case VALUE_NIL:
	case VALUE_NOTHING:
		break;
	}
	return false;
}

/* Shortest digits that read back the same, then %e for exponents below -4 and
 * from 21 on, as strconv 'g' with precision -1 does for %v. */
void float_format(double d, char out[static 32])
{
	char digits[32];
	int exponent = 0, precision;
	const char *e;

	for (precision = 0; precision < 17; precision++) {
		snprintf(digits, sizeof(digits), "%.*e", precision, d);
		if (strtod(digits, NULL) == d)
			break;
	}
	e = strchr(digits, 'e');
	if (!e) { /* inf, nan */
		snprintf(out, 32, "%s", d > 0 ? "+Inf" : d < 0 ? "-Inf" : "NaN");
		return;
	}
	for (const char *p = e + 2; *p; p++)
		exponent = exponent * 10 + (*p - '0');
	if (e[1] == '-')
		exponent = -exponent;
	if (exponent < -4 || exponent >= 21) {
		snprintf(out, 32, "%s", digits);
		return;
	}
	snprintf(out, 32, "%.*f", precision > exponent ? precision - exponent : 0, d);
}

static int member_compare(const void *a, const void *b)
{
	return strcmp((*(const struct json_member *const *)a)->key,
		      (*(const struct json_member *const *)b)->key);
}

const struct json_member **object_sorted(struct arena *a, const struct json *o)
{
	const struct json_member **list = arena_array(a, o->n_members + 1, sizeof(*list));

	for (size_t i = 0; i < o->n_members; i++)
		list[i] = &o->members[i];
	qsort(list, o->n_members, sizeof(*list), member_compare);
	return list;
}

static void text_add(struct buf *out, const char *s)
{
	if (buf_add(out, s, strlen(s), NULL) < 0)
		return;
}

bool value_is_duration(const struct value *v)
{
	static const char *const names[] = { "Interval", "Timeout", "StartPeriod",
					     "StartInterval" };

	return v->kind == VALUE_INT && in_list(names, ARRAY_LEN(names), v->name);
}

/* 90000000000 as "1m30s", as time.Duration prints itself. */
static void duration_print(struct buf *out, int64_t ns)
{
	static const struct {
		int64_t unit;
		const char *name;
	} small[] = { { 1000000, "ms" }, { 1000, "µs" }, { 1, "ns" } };
	int64_t hours = ns / 3600000000000, minutes = ns / 60000000000 % 60;
	char text[64], number[32];
	int n = 0;

	float_format((double)(ns % 60000000000) / 1e9, number);
	if (ns >= 1000000000 || ns <= 0) {
		if (hours)
			n += snprintf(text, sizeof(text), "%lldh", (long long)hours);
		if (hours || minutes)
			n += snprintf(text + n, sizeof(text) - (size_t)n, "%lldm",
				      (long long)minutes);
		snprintf(text + n, sizeof(text) - (size_t)n, "%ss", number);
		text_add(out, text);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(small); i++) {
		if (ns < small[i].unit)
			continue;
		float_format((double)ns / (double)small[i].unit, number);
		snprintf(text, sizeof(text), "%s%s", number, small[i].name);
		text_add(out, text);
		return;
	}
}

/* HealthConfig: fields that the JSON leaves out are printed too. */
static void health_print(struct buf *out, const struct json *j)
{
	static const char *const times[] = { "Interval", "Timeout", "StartPeriod",
					     "StartInterval" };
	struct value test = value_of_json(json_get(j, "Test"), "Test");
	char number[32];

	text_add(out, "{");
	value_print(out, &test);
	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		text_add(out, " ");
		duration_print(out, json_int(j, times[i], 0));
	}
	snprintf(number, sizeof(number), " %lld}", (long long)json_int(j, "Retries", 0));
	text_add(out, number);
}

static void object_print(struct buf *out, const struct value *v)
{
	auto_(arena) a = ARENA_INIT;
	bool map = value_is_map(v);
	const struct json_member **sorted = object_sorted(&a, v->json);

	if (v->name && strcmp(v->name, "Healthcheck") == 0) {
		health_print(out, v->json);
		return;
	}
	text_add(out, map ? "map[" : "{");
	for (size_t i = 0; i < v->json->n_members; i++) {
		const struct json_member *m = map ? sorted[i] : &v->json->members[i];
		struct value item = value_of_json(m->value, map ? NULL : m->key);

		if (i)
			text_add(out, " ");
		if (map) {
			text_add(out, m->key);
			text_add(out, ":");
		}
		value_print(out, &item);
	}
	/* A pointer that JSON leaves out when there is no health check. */
	if (!map && v->name && strcmp(v->name, "State") == 0 && !json_get(v->json, "Health"))
		text_add(out, " <nil>");
	text_add(out, map ? "]" : "}");
}

void value_print(struct buf *out, const struct value *v)
{
	char number[32];

	switch (v->kind) {
	case VALUE_MISSING:
	case VALUE_NOTHING:
		text_add(out, "<no value>");
		break;
	case VALUE_NIL:
		if (object_name_is_map(v->name))
			text_add(out, "map[]");
		else if (!v->name || in_list(pointer_names, ARRAY_LEN(pointer_names), v->name))
			text_add(out, "<nil>");
		else
			text_add(out, "[]");
		break;
	case VALUE_BOOL:
		text_add(out, v->b ? "true" : "false");
		break;
	case VALUE_INT:
		if (value_is_duration(v)) {
			duration_print(out, v->i);
			break;
		}
		snprintf(number, sizeof(number), "%lld", (long long)v->i);
		text_add(out, number);
		break;
	case VALUE_FLOAT:
		float_format(v->d, number);
		text_add(out, number);
		break;
	case VALUE_STRING:
		text_add(out, v->s);
		break;
	case VALUE_JSON:
		if (v->json->type == JSON_OBJECT) {
			object_print(out, v);
			break;
		}
		text_add(out, "[");
		for (size_t i = 0; i < v->json->n_items; i++) {
			struct value item = value_of_json(v->json->items[i], NULL);

			if (i)
				text_add(out, " ");
			value_print(out, &item);
		}
		text_add(out, "]");
		break;
	}
}

const char *value_text(struct arena *a, const struct value *v)
{
	auto_(buf) b = BUF_INIT(TEXT_MAX);

	if (v->kind == VALUE_STRING)
		return v->s;
	value_print(&b, v);
	return arena_strdup(a, b.data ? b.data : "");
}

static void json_write(struct jsonw *w, struct arena *a, const struct json *j, const char *name)
{
	struct value v = value_of_json(j, name);
	const struct json_member **sorted;

	if (v.kind != VALUE_JSON) {
		jsonw_value(w, j);
	} else if (j->type == JSON_ARRAY) {
		jsonw_array(w);
		for (size_t i = 0; i < j->n_items; i++)
			json_write(w, a, j->items[i], NULL);
		jsonw_end(w);
	} else {
		bool map = value_is_map(&v);

		sorted = object_sorted(a, j);
		jsonw_object(w);
		for (size_t i = 0; i < j->n_members; i++) {
			const struct json_member *m = map ? sorted[i] : &j->members[i];

			jsonw_key(w, m->key);
			json_write(w, a, m->value, map ? NULL : m->key);
		}
		jsonw_end(w);
	}
}

const char *value_json(struct arena *a, const struct value *v, bool row)
{
	auto_(buf) b = BUF_INIT(TEXT_MAX);
	struct jsonw w;

	jsonw_init(&w, &b);
	w.no_html = !row;
	switch (v->kind) {
	case VALUE_STRING:
		jsonw_string(&w, v->s);
		break;
	case VALUE_INT:
		jsonw_int(&w, v->i);
		break;
	case VALUE_BOOL:
		jsonw_bool(&w, v->b);
		break;
	case VALUE_FLOAT:
		jsonw_double(&w, v->d);
		break;
	case VALUE_JSON:
		json_write(&w, a, v->json, v->name);
		break;
	case VALUE_MISSING:
	case VALUE_NIL:
	case VALUE_NOTHING:
		jsonw_null(&w);
		break;
	}
	return jsonw_finish(&w, NULL) < 0 ? "" : arena_strdup(a, b.data);
}

const char *value_type(const struct value *v)
{
	switch (v->kind) {
	case VALUE_BOOL:
		return "bool";
	case VALUE_INT:
		return "int";
	case VALUE_FLOAT:
		return "float64";
	case VALUE_STRING:
		return "string";
	case VALUE_JSON:
		return v->json->type == JSON_ARRAY ? "[]interface {}" : "map[string]interface {}";
	case VALUE_MISSING:
	case VALUE_NIL:
	case VALUE_NOTHING:
		break;
	}
	return "nil";
}
