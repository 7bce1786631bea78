/*
 * cli/cli.h: what every command has at hand.
 *
 * One struct cli a process. Memory of a command comes from cli->arena and is
 * freed at exit. stdout carries results, stderr everything else.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/error.h"
#include "cli/args.h"

struct client;
struct config;

struct cli {
	struct arena arena;
	const char *program; /* "docker" or "proa": how it was called */
	const char *path;    /* argv[0], to find proad beside it */
	int argc;            /* the words as they were typed, aliases put in */
	char **argv;
	bool as_docker;
	struct args global;    /* values of the flags before the command */
	int status;            /* exit code when a command sets one; else from the error */
	struct config *config; /* loaded on first use by config_get */
	struct client *client; /* connected on first use by api_client */
	const char *host;      /* resolved with the client: "unix:///run/proa/proa.sock" */
};

/* The whole program: returns the exit code. argv[0] chooses the name. */
int cli_main(int argc, char **argv);

/* Print "<msg>" as a line on stderr, behind what stdout has so far. */
void cli_tell(const struct error *e);
/* cli_tell, and remember that the call failed: the exit code becomes 1. For commands that go on
 * with the next operand. */
void cli_report(struct cli *cli, const struct error *e);

/* Ask `question` with " [y/N] " on stdout, read one line of stdin. false also
 * at its end. */
bool cli_confirm(struct cli *cli, const char *question);

/* Width of the terminal at fd, or 0 when it is none. */
int cli_width(int fd);

/* The exit code that docker gives a failed run or create: 127 or 126 when the
 * text says that the command is missing or cannot be executed, else 125. */
int cli_container_status(const char *msg);
