/*
 * build/plan_wire.h: what the engine and the planner of a build say to each other.
 *
 *     engine                     planner
 *     PLAN_REQUEST  ------------>           the Dockerfile and what the client said
 *                   <------------ PLAN_PARSED      it is well-formed, or why not
 *                   <------------ PLAN_ASK         an image that it names (any number)
 *     PLAN_IMAGE    ------------>           its configuration, or why there is none
 *                   <------------ PLAN_ANSWER      findings, and a graph, a document or an error
 *
 * The planner has read a hostile text: the engine takes what it says for hostile too.
 * plan_accept lets nothing pass that plan_build could not have made: steps refer to earlier
 * ones, words are of their sets, paths are clean, images are those the engine has given, and
 * what needs an entitlement has it.
 */
#pragma once

#include "build/plan.h"
#include "build/wire.h"

enum plan_message {
	PLAN_REQUEST = 0x70726f01,
	PLAN_PARSED,
	PLAN_ASK,
	PLAN_IMAGE,
	PLAN_ANSWER,
};

#define PLAN_IMAGES_MAX 4096  /* that one Dockerfile may ask for */
#define PLAN_STEPS_MAX  65536 /* of one build, and as many stages */

struct plan_request {
	struct str dockerfile;
	/* Of these, the planner itself finds the platforms, and compiles the patterns. */
	struct plan_options options;
	const char *platform; /* as the client has written it, or NULL */
	bool has_ignore;
	const char *const *ignore; /* patterns of .dockerignore */
	size_t n_ignore;
	/* See build_request. "check" is a plan whose findings count: they come after a verdict
	 * that is an error, too. */
	const char *call;
};

/* The end of the first half: where.line is 0 when it is not known. */
struct plan_verdict {
	struct error error; /* kind ERR_NONE: it went well */
	struct ast_location where;
};

struct plan_ask {
	const char *name;
	struct platform platform;
};

/* An image that the engine has found. */
struct plan_found {
	struct error error; /* kind ERR_NONE: it is here */
	bool none;          /* it is not, and that does not matter: a check */
	struct str config;  /* its configuration as it is stored */
};

struct plan_answer {
	struct plan_verdict verdict;
	bool lint_is_error; /* "# check=error=true" */
	struct lint_finding *findings;
	size_t n_findings;
	const char *call; /* the document that a call asks for, or NULL */
	struct graph graph;
};

/* What the engine itself knows of the image of an ask. */
struct plan_image_known {
	const char *name; /* of the ask */
	const char *id;   /* NULL: there is none (see plan_found) */
	const struct digest *layers;
	size_t n_layers;
};

/* What an answer is held against. */
struct plan_terms {
	const struct plan_image_known *images; /* in the order of the asks */
	size_t n_images;
	const char *const *contexts; /* names of directories, "" among them; NULL-terminated */
	const char *network;         /* of the request, or NULL */
	bool net_host;
	bool document; /* that of a call is asked for: there is no graph */
};

void plan_request_put(struct wire_writer *w, const struct plan_request *q);
MUST_CHECK int plan_request_get(struct arena *a, struct str body, struct plan_request *ret,
				struct error *err);
void plan_verdict_put(struct wire_writer *w, const struct plan_verdict *v);
MUST_CHECK int plan_verdict_get(struct arena *a, struct str body, struct plan_verdict *ret,
				struct error *err);
void plan_ask_put(struct wire_writer *w, const char *name, const struct platform *platform);
MUST_CHECK int plan_ask_get(struct arena *a, struct str body, struct plan_ask *ret,
			    struct error *err);
void plan_found_put(struct wire_writer *w, const struct plan_found *f);
MUST_CHECK int plan_found_get(struct arena *a, struct str body, struct plan_found *ret,
			      struct error *err);

/* `graph` of *answer is sent when it has a target and there is no document. */
void plan_answer_put(struct wire_writer *w, const struct plan_answer *answer);
/*
 * Read an answer and hold it against the terms. Everything lies in the arena and in the
 * body. The graph has what the solver and the export read: steps of all stages, and the
 * target's tip, image, history and platform; no stage of the Dockerfile.
 * ERR_CORRUPT says what cannot be.
 */
MUST_CHECK int plan_accept(struct arena *a, struct str body, const struct plan_terms *terms,
			   struct plan_answer *ret, struct error *err);

/* Shared by the files of this: parts of bodies. */
void plan_put_platform(struct wire_writer *w, const struct platform *p);
void plan_get_platform(struct wire_reader *r, struct platform *ret);
void plan_get_verdict(struct wire_reader *r, struct plan_verdict *ret);
