/* The whole of hello-world: two system calls, no library. x86-64 and arm64. */
static const char text[] =
    "\n"
    "Hello from proa!\n"
    "This message shows that your installation appears to be working correctly.\n"
    "\n"
    "To print it,\n"
    " 1. the client asked the engine over its socket,\n"
    " 2. the engine pulled the image \"hello-world\" from a registry,\n"
    " 3. the engine made a container from the image and ran this program in it,\n"
    " 4. and sent its output back to the client.\n"
    "\n";

static long call(long number, long a, long b, long c)
{
#if defined(__x86_64__)
	long r;

	__asm__ volatile("syscall"
			 : "=a"(r)
			 : "a"(number), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	return r;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
	return x0;
#endif
}

void _start(void);

void _start(void)
{
#if defined(__x86_64__)
	call(1, 1, (long)text, sizeof(text) - 1);
	call(231, 0, 0, 0);
#elif defined(__aarch64__)
	call(64, 1, (long)text, sizeof(text) - 1);
	call(94, 0, 0, 0);
#endif
}
