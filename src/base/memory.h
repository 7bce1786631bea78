/* base/memory.h: what a process that waits can do without. */
#pragma once

/*
 * Give back the pages of the program, of its libraries and of the heap that nobody needs while
 * nothing happens. The code's pages are found in the page cache again, 0.1 to 0.3 ms in all for
 * the next request; what was relocated or written stays. Safe beside running threads.
 */
void memory_give_back(void);

/* The heap alone: for after something large of many small parts was freed. Some milliseconds. */
void memory_trim(void);
/* That, when 16 MiB more of the heap are free than the last time. For one thread. */
void memory_trim_much(void);

/*
 * For a daemon, before its first thread: few arenas, and what is large comes from the kernel and
 * goes back at once. Left alone, malloc takes the first large block that is freed as a sign that
 * more will come and keeps up to 64 MiB.
 */
void memory_setup_daemon(void);
