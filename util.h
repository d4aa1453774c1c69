/* SPDX-License-Identifier: Apache-2.0 */
/* util: the log, memory that never fails quietly, numbers read with limits. */
#ifndef UTIL_H
#define UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Log. Levels as twemproxy numbers them; a line is written when its level is
 * at most the current one. ALWAYS is for the start and stop banners.
 */
enum log_level {
	LOG_ALWAYS = 0,
	LOG_ERR = 1,    /* something a person must look at */
	LOG_WARN = 4,
	LOG_NOTICE = 5, /* the default: servers fail, leave and return; reloads */
	LOG_INFO = 6,   /* clients come and go */
	LOG_DEBUG = 7,  /* one line a request */
	LOG_VERB = 8,
	LOG_MAX = 11,
};

/* Open `path` for appending (mode 0644); NULL or "" is standard error.
 * Returns 0, or -1 with errno: then the log stays where it was. */
int log_open(const char *path, int level);
/* Open the same path again (after rotation); on failure the old file stays in
 * use, a line in it says why, and -1 is returned. */
int log_reopen(void);
/* Close the file; later lines go to standard error. */
void log_close(void);
int log_level(void);
/* Clamped to 0..LOG_MAX; returns the level now in force. */
int log_set_level(int level);
/* True if a line of this level would be written: guards costly arguments. */
bool log_wants(int level);

#if defined(__GNUC__)
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
/* What runs seldom, or so long that a call does not matter: kept out of the
 * functions that call it, whose registers it would take. */
#define APART __attribute__((noinline))
#else
#define PRINTF_LIKE(f, a)
#define APART
#endif

/* One line: "[date time.ms] file.c:line message\n" in one write(2). Bytes of
 * the message that are not printable are written as \xNN. */
void log_line(const char *file, int line, const char *fmt, ...)
	PRINTF_LIKE(3, 4);

/* Lines of one kind that a peer can cause: at most ten a second; how many were
 * left out is told by the next one. Zeroed memory to start with. */
struct log_limit {
	long long second;
	unsigned written, left_out;
};
void log_line_limited(struct log_limit *limit, const char *file, int line,
	const char *fmt, ...) PRINTF_LIKE(4, 5);
#define log_some(level, ...) do { \
	static struct log_limit limit_; \
	if (log_wants(level)) \
		log_line_limited(&limit_, __FILE__, __LINE__, __VA_ARGS__); \
} while (0)

#define log_at(level, ...) do { \
	if (log_wants(level)) \
		log_line(__FILE__, __LINE__, __VA_ARGS__); \
} while (0)
#define log_always(...) log_at(LOG_ALWAYS, __VA_ARGS__)
#define log_err(...) log_at(LOG_ERR, __VA_ARGS__)
#define log_warn(...) log_at(LOG_WARN, __VA_ARGS__)
#define log_notice(...) log_at(LOG_NOTICE, __VA_ARGS__)
#define log_info(...) log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)

/* Memory: these never return NULL; without memory the program says so and
 * ends. Whatever a peer can make grow is bounded before it gets here. */
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *old, size_t size);
char *xstrdup(const char *text);
/* A copy of `len` bytes with a NUL behind them. */
char *xstrndup(const char *text, size_t len);
/* sprintf into memory the caller frees. */
char *xasprintf(const char *fmt, ...) PRINTF_LIKE(1, 2);
_Noreturn void out_of_memory(void);

/* strerror in the words that clients of twemproxy know, which are glibc's. */
const char *error_text(int error);

/* All of text[0..len) must be ASCII digits (at least one) and the value at
 * most `max`. Returns false and leaves *value alone otherwise. */
bool parse_number(const char *text, size_t len, uint64_t max, uint64_t *value);

/* Decimal digits of `value` to `out` (room for 20), not terminated; returns
 * how many. */
size_t format_number(char *out, uint64_t value);

/* A text that grows. Zeroed memory is an empty one; text_free when done. */
struct text {
	char *ptr;
	size_t len, room;
};
void text_add(struct text *t, const void *bytes, size_t len);
void text_printf(struct text *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
void text_free(struct text *t);

#endif
