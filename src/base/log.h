/*
 * base/log.h: structured log lines on stderr (or a given fd).
 *
 *     log_warn("container exit not recorded", KV("container", id), KV_ERR(&err));
 *     -> 2026-11-23T14:56:50.120Z warn container exit not recorded container=ab12 error="..."
 *
 * Rooms below engine never log above debug: they return errors. One write(2)
 * a line, so lines of threads and processes do not mix. Secrets are the
 * caller's duty: log their length only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_FATAL };
enum log_format { LOG_TEXT, LOG_JSON };

struct log_kv {
	const char *key;
	const char *text; /* NULL: use num */
	int64_t num;
};

#define KV(k, v)     ((struct log_kv){ .key = (k), .text = (v) })
#define KV_INT(k, v) ((struct log_kv){ .key = (k), .num = (v) })
#define KV_ERR(e)    ((struct log_kv){ .key = "error", .text = (e)->msg })

void log_setup(int fd, enum log_level min, enum log_format format);
void log_set_level(enum log_level min);
bool log_enabled(enum log_level level);
/* "debug" "info" "warn" "error" "fatal", as dockerd's --log-level. */
MUST_CHECK int log_level_parse(const char *s, enum log_level *ret, struct error *err);
void log_write(enum log_level level, const char *msg, const struct log_kv *kv, unsigned n_kv);

#define log_at_(level, msg, ...) \
	do { \
		if (log_enabled(level)) { \
			const struct log_kv kv_[] = { { 0 }, ##__VA_ARGS__ }; \
			log_write((level), (msg), kv_ + 1, ARRAY_LEN(kv_) - 1); \
		} \
	} while (0)
#define log_debug(msg, ...) log_at_(LOG_DEBUG, msg, ##__VA_ARGS__)
#define log_info(msg, ...)  log_at_(LOG_INFO, msg, ##__VA_ARGS__)
#define log_warn(msg, ...)  log_at_(LOG_WARN, msg, ##__VA_ARGS__)
#define log_error(msg, ...) log_at_(LOG_ERROR, msg, ##__VA_ARGS__)
