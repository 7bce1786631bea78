#include "runtime/mempolicy.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/macros.h"
#include "base/str.h"
#include "cgroup/cgroup.h"

#define NODES_BYTES 128 /* no kernel is built for more than 1,024 nodes */

/* Spec: linux/mempolicy.h; the numbers are the kernel's, older headers lack the last ones. */
static const struct {
	const char *word;
	int value;
} modes[] = { { "MPOL_DEFAULT", 0 },
	      { "MPOL_PREFERRED", 1 },
	      { "MPOL_BIND", 2 },
	      { "MPOL_INTERLEAVE", 3 },
	      { "MPOL_LOCAL", 4 },
	      { "MPOL_PREFERRED_MANY", 5 },
	      { "MPOL_WEIGHTED_INTERLEAVE", 6 } },
  flags[] = { { "MPOL_F_STATIC_NODES", 1 << 15 },
	      { "MPOL_F_RELATIVE_NODES", 1 << 14 },
	      { "MPOL_F_NUMA_BALANCING", 1 << 13 } };

static int parse_nodes(const char *nodes, uint8_t bits[static NODES_BYTES], struct error *err)
{
	size_t used;
	int r = cgroup_cpu_list(nodes, bits, NODES_BYTES, &used, err);

	return r < 0 ? error_wrap(err, r, "linux.memoryPolicy.nodes") : 0;
}

int memory_policy_parse(const struct spec_memory_policy *s, struct arena *a,
			const struct memory_policy **ret, struct error *err)
{
	struct memory_policy *p;
	uint8_t unused[NODES_BYTES];

	*ret = NULL;
	if (s == NULL)
		return 0;
	p = arena_new(a, struct memory_policy);
	p->mode = -1;
	p->nodes = s->nodes ? s->nodes : "";
	for (size_t i = 0; i < ARRAY_LEN(modes); i++)
		if (strcmp(s->mode, modes[i].word) == 0)
			p->mode = modes[i].value;
	if (p->mode < 0)
		return error_set(err, ERR_INVALID, "linux.memoryPolicy.mode: '%.40s'", s->mode);
	for (size_t i = 0; i < s->flags.n; i++) {
		int before = p->mode;

		for (size_t k = 0; k < ARRAY_LEN(flags); k++)
			if (strcmp(s->flags.at[i], flags[k].word) == 0)
				p->mode |= flags[k].value;
		if (p->mode == before)
			return error_set(err, ERR_INVALID, "linux.memoryPolicy.flags[%zu]: '%.40s'",
					 i, s->flags.at[i]);
	}
	*ret = p;
	return *p->nodes == '\0' ? 0 : parse_nodes(p->nodes, unused, err);
}

int memory_policy_apply(const struct memory_policy *p, struct error *err)
{
	uint8_t bits[NODES_BYTES];
	bool nodes = p != NULL && *p->nodes != '\0';
	int r = nodes ? parse_nodes(p->nodes, bits, err) : 0;

	if (r < 0 || p == NULL)
		return r;
	if (syscall(SYS_set_mempolicy, p->mode, nodes ? bits : NULL, nodes ? 8 * NODES_BYTES : 0) <
	    0)
		return error_sys(err, errno, "linux.memoryPolicy");
	return 0;
}
