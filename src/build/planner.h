/*
 * build/planner.h: `proa-runtime planner`, the process that reads one Dockerfile.
 *
 * The engine starts one for each build (see planning.h). It has a socket as its descriptor
 * 0 and nothing else, confines itself before it reads a byte (see confine.h), answers one
 * request of plan_wire.h and ends. What a Dockerfile can do to its reader ends here.
 */
#pragma once

#define PLANNER_MEMORY_BYTES (128ULL << 20)
#define PLANNER_CPU_SECONDS  5

/* Exit codes. */
enum {
	PLANNER_DONE = 0,
	PLANNER_UNCONFINED = 1, /* told as the verdict */
	PLANNER_NO_ENGINE = 2,  /* the socket has ended, or spoke something else */
	PLANNER_NO_MEMORY = 3,
};

int planner_main(int argc, char **argv);
