/*
 * runtime/init.c: `proa-runtime init [-s] [--] PROGRAM ARGS...`, PID 1 of --init.
 *
 * Starts the program in a session's foreground, sends it every signal that
 * arrives, reaps what is left to PID 1, and ends with the program's code.
 * Flags of tini and catatonit that callers pass are known.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/runtime.h"

static int fail(int code, const char *what, const char *name)
{
	fprintf(stderr, "[FATAL proa-init] %s %s: %s\n", what, name, strerrordesc_np(errno));
	return code;
}

static _Noreturn void start_program(char **argv, const sigset_t *old)
{
	setpgid(0, 0);
	/* The terminal's job control follows the program; without one this fails and may. */
	if (tcsetpgrp(STDIN_FILENO, getpgrp()) < 0)
		errno = 0;
	sigprocmask(SIG_SETMASK, old, NULL);
	execvp(argv[0], argv);
	_exit(fail(errno == ENOENT ? 127 : 126, "exec", argv[0]));
}

/* True when the program itself has ended. */
static bool reap(pid_t program, int *ret_code)
{
	bool ended = false;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == program) {
			*ret_code =
			    WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
			ended = true;
		}
	return ended;
}

int runtime_init_main(int argc, char **argv)
{
	sigset_t set, old;
	siginfo_t info;
	int at = 1, code = 1;
	bool group = false;
	pid_t program;

	for (; at < argc && argv[at][0] == '-'; at++) {
		if (strcmp(argv[at], "--") == 0) {
			at++;
			break;
		}
		if (strcmp(argv[at], "-g") == 0)
			group = true;
		else if (strcmp(argv[at], "-s") == 0)
			prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
		else if (strcmp(argv[at], "-P") != 0) {
			fprintf(stderr, "[FATAL proa-init] unknown flag '%s'\n", argv[at]);
			return 1;
		}
	}
	if (at >= argc) {
		fprintf(stderr, "Usage: init [-g] [-s] [--] PROGRAM [ARG...]\n");
		return 1;
	}
	sigfillset(&set);
	/* A stop by the terminal and our own faults are not the program's. */
	sigdelset(&set, SIGFPE);
	sigdelset(&set, SIGILL);
	sigdelset(&set, SIGSEGV);
	sigdelset(&set, SIGBUS);
	sigdelset(&set, SIGABRT);
	sigdelset(&set, SIGTRAP);
	sigdelset(&set, SIGSYS);
	sigdelset(&set, SIGTTIN);
	sigdelset(&set, SIGTTOU);
	signal(SIGTTIN, SIG_IGN);
	signal(SIGTTOU, SIG_IGN);
	sigprocmask(SIG_SETMASK, &set, &old);
	program = fork();
	if (program < 0)
		return fail(1, "fork", argv[at]);
	if (program == 0) {
		signal(SIGTTIN, SIG_DFL);
		start_program(argv + at, &old);
	}
	for (;;) {
		if (reap(program, &code))
			return code;
		if (sigwaitinfo(&set, &info) < 0 || info.si_signo == SIGCHLD)
			continue;
		kill(group ? -program : program, info.si_signo);
	}
}
