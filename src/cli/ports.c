/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ports.h"

#include <stdlib.h>
#include <string.h>

#include "base/vec.h"

struct port {
	const char *ip, *type;
	int64_t inside, outside;
};

struct group {
	const char *ip, *type;
	int64_t first, last;
};

const char *host_port(struct arena *a, const char *host, const char *port)
{
	return arena_format(a, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

static int port_compare(const void *pa, const void *pb)
{
	const struct port *a = pa, *b = pb;
	int c;

	if (a->inside != b->inside)
		return a->inside < b->inside ? -1 : 1;
	c = strcmp(a->ip, b->ip);
	if (c)
		return c;
	if (a->outside != b->outside)
		return a->outside < b->outside ? -1 : 1;
	return strcmp(a->type, b->type);
}

static const char *group_text(struct arena *a, const struct group *g)
{
	const char *range = g->first == g->last ? arena_format(a, "%lld", (long long)g->first)
						: arena_format(a, "%lld-%lld", (long long)g->first,
							       (long long)g->last);

	if (*g->ip)
		return arena_format(a, "%s->%s/%s", host_port(a, g->ip, range), range, g->type);
	return arena_format(a, "%s/%s", range, g->type);
}

static const char *join(struct arena *a, const char *all, const char *one)
{
	return *all ? arena_format(a, "%s, %s", all, one) : one;
}

const char *ports_text(struct arena *a, const struct json *ports)
{
	VEC(struct port) list = { 0 };
	VEC(struct group) groups = { 0 };
	const char *done = "", *mapped = "";

	json_for_each_item (p, ports) {
		const char *ip = json_str(p, "IP"), *type = json_str(p, "Type");

		*vec_push(&list) =
		    (struct port){ ip ? ip : "", type ? type : "tcp", json_int(p, "PrivatePort", 0),
				   json_int(p, "PublicPort", 0) };
	}
	if (list.len > 1)
		qsort(list.at, list.len, sizeof(*list.at), port_compare);
	vec_for_each (p, &list) {
		struct group *g = NULL;

		if (*p->ip && p->outside != p->inside) {
			const char *outside = arena_format(a, "%lld", (long long)p->outside);

			mapped = join(a, mapped,
				      arena_format(a, "%s->%lld/%s", host_port(a, p->ip, outside),
						   (long long)p->inside, p->type));
			continue;
		}
		vec_for_each (have, &groups)
			if (strcmp(have->ip, p->ip) == 0 && strcmp(have->type, p->type) == 0)
				g = have;
		if (!g) {
			*vec_push(&groups) = (struct group){ p->ip, p->type, p->inside, p->inside };
		} else if (p->inside == g->last + 1) {
			g->last = p->inside;
		} else {
			done = join(a, done, group_text(a, g));
			g->first = g->last = p->inside;
		}
	}
	vec_for_each (g, &groups)
		done = join(a, done, group_text(a, g));
	if (*mapped)
		done = join(a, done, mapped);
	vec_release(&list);
	vec_release(&groups);
	return done;
}
