#include "runtime/warning.h"

#include "base/log.h"

void runtime_warn(const char *message, const char *subject, const struct error *e)
{
	if (e != NULL)
		log_warn(message, KV("of", subject), KV_ERR(e));
	else
		log_warn(message, KV("of", subject));
}
