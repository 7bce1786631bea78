#include "base/memory.h"

#include <link.h>
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LARGE_BYTES = 256 * 1024 }; /* a chunk of a large arena (base/arena.c), too */
enum { TRIM_BYTES = 16 << 20 };

static int give_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	(void)size;
	(void)arg;
	/* The kernel's own pages. */
	if (strncmp(info->dlpi_name, "linux-vdso", 10) == 0)
		return 0;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uintptr_t at = info->dlpi_addr + p->p_vaddr, from = at & ~(page - 1);

		/* Never a segment that is writable: its pages hold relocations. */
		if (p->p_type == PT_LOAD && !(p->p_flags & PF_W))
			(void)madvise((void *)from, at + p->p_memsz - from, MADV_DONTNEED);
	}
	return 0;
}

void memory_give_back(void)
{
	(void)dl_iterate_phdr(give_object, NULL);
	memory_trim();
}

void memory_trim(void)
{
	(void)malloc_trim(0);
}

void memory_trim_much(void)
{
	/* What was given back counts as free as well: only what has come since is of interest. */
	static size_t given_back;
	size_t now = mallinfo2().fordblks;

	if (now > given_back + TRIM_BYTES)
		memory_trim();
	else if (now > given_back)
		return;
	given_back = now;
}

void memory_setup_daemon(void)
{
	/* An arena a thread would keep what hundreds of short requests freed. */
	mallopt(M_ARENA_MAX, 2);
	mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
	mallopt(M_TRIM_THRESHOLD, LARGE_BYTES);
}
