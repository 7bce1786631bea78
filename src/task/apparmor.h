/*
 * task/apparmor.h: the profile that confines a container where the kernel has AppArmor.
 *
 * It is named `docker-default`, as dockerd's is, and who needs it first loads it: engines of both
 * kinds on one machine share it. Nothing is remembered here: the kernel's list is the truth,
 * because an upgrade of the machine's packages may unload profiles at any time.
 *
 * Peer: dockerd 20.10, profiles/apparmor and daemon/apparmor_default.go; the rules of 29.
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#define APPARMOR_DEFAULT    "docker-default"
#define APPARMOR_UNCONFINED "unconfined"

enum apparmor_support {
	APPARMOR_OFF,       /* not in the kernel, switched off, or not to be seen from here */
	APPARMOR_NO_PARSER, /* on, but nothing here can load a profile, and ours is not there */
	APPARMOR_ON,        /* the profile is loaded, or can be */
};

/* Files of this machine; a test brings its own. */
struct apparmor_host {
	const char *enabled;        /* "Y" when it is on */
	const char *profiles;       /* what is loaded: "name (mode)" a line */
	const char *label;          /* who we are, likewise */
	const char *const *parsers; /* where apparmor_parser is, the first one counts; NULL-ended */
	const char *abi;            /* the features that the rules are written for */
};
extern const struct apparmor_host apparmor_this_host;

enum apparmor_support apparmor_support(const struct apparmor_host *h);

/*
 * The profile of a container: static or `asked`; NULL: say nothing of it.
 *
 * asked  of --security-opt apparmor=..., also "unconfined"; NULL = nothing was said
 *
 * A name that was asked for stands on every kernel: the runtime refuses what it cannot set. It
 * stands with --privileged, too. Peer: dockerd 20.10 confines so, and its inspect says unconfined.
 */
const char *apparmor_choose(enum apparmor_support support, bool privileged, const char *asked);

/*
 * Make sure that APPARMOR_DEFAULT is loaded; it is not loaded again. Runs apparmor_parser and
 * waits for it. Loading it twice at once does no harm.
 * ERR_SYSTEM "AppArmor enabled on system but the docker-default profile could not be loaded: ...".
 */
MUST_CHECK int apparmor_ensure(const struct apparmor_host *h, struct error *err);

/* apparmor_choose on this machine, and what it chose is loaded if it is ours. Errors of
 * apparmor_ensure. */
MUST_CHECK int apparmor_resolve(const struct apparmor_host *h, bool privileged, const char *asked,
				const char **ret, struct error *err);

/* Is the profile in the text of `profiles`? */
bool apparmor_is_listed(struct str profiles, const char *name);

/*
 * The source of the profile.
 *
 * label    who sends the containers signals: the engine's own; what no profile's name looks like
 *          is left out
 * has_abi  <abi/3.0> may be included
 */
MUST_CHECK int apparmor_profile_write(struct str label, bool has_abi, struct buf *out,
				      struct error *err);
