/* api/info.h: GET /info: the host's part around the engine's. */
#pragma once

#include "base/jsonw.h"

struct api;

/* One object. */
void api_info_write(struct api *a, struct jsonw *w);
/* Go's name of an architecture that uname calls `machine`. */
const char *api_go_arch(const char *machine);
