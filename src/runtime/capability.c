#include "runtime/capability.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/macros.h"

static const char names[][20] = {
	"CHOWN",
	"DAC_OVERRIDE",
	"DAC_READ_SEARCH",
	"FOWNER",
	"FSETID",
	"KILL",
	"SETGID",
	"SETUID",
	"SETPCAP",
	"LINUX_IMMUTABLE",
	"NET_BIND_SERVICE",
	"NET_BROADCAST",
	"NET_ADMIN",
	"NET_RAW",
	"IPC_LOCK",
	"IPC_OWNER",
	"SYS_MODULE",
	"SYS_RAWIO",
	"SYS_CHROOT",
	"SYS_PTRACE",
	"SYS_PACCT",
	"SYS_ADMIN",
	"SYS_BOOT",
	"SYS_NICE",
	"SYS_RESOURCE",
	"SYS_TIME",
	"SYS_TTY_CONFIG",
	"MKNOD",
	"LEASE",
	"AUDIT_WRITE",
	"AUDIT_CONTROL",
	"SETFCAP",
	"MAC_OVERRIDE",
	"MAC_ADMIN",
	"SYSLOG",
	"WAKE_ALARM",
	"BLOCK_SUSPEND",
	"AUDIT_READ",
	"PERFMON",
	"BPF",
	"CHECKPOINT_RESTORE",
};

int capability_parse(const char *name, uint64_t *ret_bit, struct error *err)
{
	const char *bare = strncasecmp(name, "CAP_", 4) == 0 ? name + 4 : name;

	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		if (strcasecmp(bare, names[i]) == 0) {
			*ret_bit = 1ULL << i;
			return 0;
		}
	return error_set(err, ERR_INVALID, "unknown capability '%.64s'", name);
}

const char *capability_name(unsigned i)
{
	return i < ARRAY_LEN(names) ? names[i] : NULL;
}

static int mask_of(const struct strings *list, const char *set, uint64_t *ret, struct error *err)
{
	*ret = 0;
	for (size_t i = 0; i < list->n; i++) {
		uint64_t bit;
		int r = capability_parse(list->at[i], &bit, err);

		if (r < 0)
			return error_wrap(err, r, "process.capabilities.%s[%zu]", set, i);
		*ret |= bit;
	}
	return 0;
}

int capability_sets_of(const struct spec_capabilities *c, struct capability_sets *ret,
		       struct error *err)
{
	struct capability_sets s = { 0 };
	int r = 0;

	if (c != NULL) {
		r = mask_of(&c->bounding, "bounding", &s.bounding, err);
		if (r == 0)
			r = mask_of(&c->permitted, "permitted", &s.permitted, err);
		if (r == 0)
			r = mask_of(&c->effective, "effective", &s.effective, err);
		if (r == 0)
			r = mask_of(&c->inheritable, "inheritable", &s.inheritable, err);
		if (r == 0)
			r = mask_of(&c->ambient, "ambient", &s.ambient, err);
		if (r < 0)
			return r;
	}
	*ret = s;
	return 0;
}

int capability_held(uint64_t *ret, struct error *err)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data) < 0)
		return error_sys(err, errno, "capget");
	*ret = data[0].permitted | (uint64_t)data[1].permitted << 32;
	return 0;
}

static void report(const char *set, uint64_t missing)
{
	for (unsigned i = 0; missing != 0; i++, missing >>= 1)
		if (missing & 1)
			log_debug("capability not held here, left out", KV("set", set),
				  KV("capability", capability_name(i)));
}

int capability_limit(struct capability_sets *s, struct error *err)
{
	uint64_t held;
	int r = capability_held(&held, err);

	if (r < 0)
		return r;
	report("bounding", s->bounding & ~held);
	s->bounding &= held;
	s->permitted &= held;
	s->effective &= s->permitted;
	s->inheritable &= held;
	/* The kernel raises ambient only within both of the others. */
	s->ambient &= s->permitted & s->inheritable;
	return 0;
}

int capability_bound(uint64_t bounding, struct error *err)
{
	for (unsigned i = 0; i < 64; i++) {
		if (bounding & 1ULL << i)
			continue;
		if (prctl(PR_CAPBSET_DROP, i, 0, 0, 0) < 0) {
			if (errno == EINVAL && i > 0) /* past the kernel's last */
				break;
			return error_sys(err, errno, "drop capability %u from the bounding set", i);
		}
	}
	return 0;
}

int capability_set(uint64_t effective, uint64_t permitted, uint64_t inheritable, struct error *err)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = {
		{ (uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable },
		{ (uint32_t)(effective >> 32), (uint32_t)(permitted >> 32),
		  (uint32_t)(inheritable >> 32) },
	};

	if (syscall(SYS_capset, &head, data) < 0)
		return error_sys(err, errno, "set capabilities");
	return 0;
}

int capability_ambient(uint64_t ambient, struct error *err)
{
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
		return error_sys(err, errno, "clear ambient capabilities");
	for (unsigned i = 0; i < 64; i++)
		if (ambient & 1ULL << i && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0) < 0)
			return error_sys(err, errno, "raise ambient capability %u", i);
	return 0;
}
