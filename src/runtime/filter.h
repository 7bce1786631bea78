/*
 * runtime/filter.h: from linux.seccomp to a BPF program, and the program's way
 * into the kernel.
 *
 * libseccomp needs 9 ms for Docker's profile; its result is kept in
 * <state root>/.bpf/ under a hash of everything that it depends on (profile,
 * architecture, kernel, library). The whole key stands in the file and is
 * compared byte by byte, so a collision costs time and not safety.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "oci/runtime_config.h"

#define SECCOMP_DIR ".bpf"

struct seccomp_program {
	void *filter; /* struct sock_filter[]; in the arena */
	uint32_t n;   /* 0: no filter */
	uint32_t flags;
	bool notify; /* some rule asks a listener */
};

/*
 * root_fd  state root whose cache is used, or FD_NONE
 * ERR_INVALID for rules that libseccomp refuses; unknown syscall names are skipped.
 */
MUST_CHECK int filter_prepare(struct arena *a, const struct spec_seccomp *s, int root_fd,
			      struct seccomp_program *ret, struct error *err);
/* The program as one block, kept in the state directory for exec. */
MUST_CHECK int filter_save(int dirfd, const char *name, const struct seccomp_program *p,
			   struct error *err);
/* n == 0 when there is no such file. */
MUST_CHECK int filter_load(struct arena *a, int dirfd, const char *name,
			   struct seccomp_program *ret, struct error *err);
/* Install it on the calling thread. ret_listener: the notify fd, or FD_NONE. */
MUST_CHECK int filter_install(const struct seccomp_program *p, int *ret_listener,
			      struct error *err);
