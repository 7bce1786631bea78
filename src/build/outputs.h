/*
 * build/outputs.h: how the result leaves: "type=registry,name=x,annotation.a=b".
 */
#pragma once

#include "build/build_internal.h"
#include "oci/descriptor.h"

/* What is told of the result, for --metadata-file. */
struct build_result {
	struct descriptor
	    manifest; /* of the last that was pushed or written; digest.algo 0: none */
	struct pairs annotations;
	const char *const *names; /* of the image, NULL-terminated; NULL: none */
};

/* Refuse what is wrong or not there, before the build begins. */
MUST_CHECK int outputs_check(const struct build_request *q, struct error *err);
/* Does somebody want the image, or only its files? */
bool outputs_want_image(const struct build_request *q);
/* Does the image stay in the engine, or does it only leave as a file? */
bool outputs_keep_image(const struct build_request *q);
/* Names of an output, NULL-terminated, canonical: its own, or else the build's. Of the arena. */
MUST_CHECK int output_names(struct build *b, const struct build_place *o, const char *const **ret,
			    struct error *err);
/* The annotations of an output's manifest, of the arena. */
struct pairs output_annotations(struct build *b, const struct build_place *o);
/* Those of what an index says of the manifest. */
struct pairs output_descriptor_annotations(struct build *b, const struct build_place *o);
/* Both, for --metadata-file. */
struct pairs output_all_annotations(struct build *b, const struct build_place *o);
/* Fill everything that was asked for from image `id` (NULL: there is none). */
MUST_CHECK int outputs_export(struct build *b, const char *id, struct build_result *ret,
			      struct error *err);

/* type=registry, type=image (output_image.c). */
MUST_CHECK int output_image(struct build *b, const struct build_place *o, const char *id,
			    struct build_result *ret, struct error *err);
/* type=oci,tar=false: a directory. */
MUST_CHECK int output_layout(struct build *b, const struct build_place *o, const char *id,
			     struct build_result *ret, struct error *err);
