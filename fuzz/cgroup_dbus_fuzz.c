/* A message from the bus. Properties: what is accepted has exactly its own length, and no string
 * of it leaves the text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cgroup/dbus.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dbus_message m;
	struct error err;
	size_t len;

	if (size < 16 || dbus_message_parse((struct str){ (const char *)data, size }, &m, &err) < 0)
		return 0;
	if (dbus_message_length(data, &len, &err) < 0 || len != size)
		abort();
	while (!m.body.failed) {
		const char *s = dbus_get_string(&m.body);

		if (!m.body.failed &&
		    (s < (const char *)data || s + strlen(s) >= (const char *)data + size))
			abort();
	}
	return 0;
}
