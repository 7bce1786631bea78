#include "base/memory.h"

#include <link.h>
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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
	(void)malloc_trim(0);
}
