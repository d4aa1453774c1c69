/* SPDX-License-Identifier: Apache-2.0 */
/* util: the log, memory that never fails quietly, numbers read with limits. */
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct {
	int fd;
	int level;
	char *path; /* NULL: standard error */
} logger = { STDERR_FILENO, LOG_NOTICE, NULL };

int log_open(const char *path, int level)
{
	int fd;

	if (!path || !*path) {
		log_set_level(level);
		return 0;
	}
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return -1;
	logger.fd = fd;
	logger.path = xstrdup(path);
	log_set_level(level);
	return 0;
}

int log_reopen(void)
{
	int fd;

	if (!logger.path)
		return 0;
	fd = open(logger.path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0) {
		log_err("reopening log file '%s' failed, the old one stays in use: %s",
			logger.path, strerror(errno));
		return -1;
	}
	close(logger.fd);
	logger.fd = fd;
	return 0;
}

void log_close(void)
{
	if (!logger.path)
		return;
	close(logger.fd);
	free(logger.path);
	logger.path = NULL;
	logger.fd = STDERR_FILENO;
}

int log_level(void)
{
	return logger.level;
}

int log_set_level(int level)
{
	if (level < LOG_ALWAYS)
		level = LOG_ALWAYS;
	if (level > LOG_MAX)
		level = LOG_MAX;
	logger.level = level;
	return level;
}

bool log_wants(int level)
{
	return level <= logger.level;
}

/* Copy text so that no byte of a peer can forge a line: \xNN for what is not
 * printable. Stops at the end of either side; returns the bytes written. */
static size_t escape(char *out, size_t room, const char *text)
{
	static const char hex[] = "0123456789abcdef";
	size_t n = 0;

	for (; *text && n + 4 <= room; text++) {
		unsigned char c = (unsigned char)*text;
		if (c >= 0x20 && c != 0x7f) {
			out[n++] = (char)c;
			continue;
		}
		out[n++] = '\\';
		out[n++] = 'x';
		out[n++] = hex[c >> 4];
		out[n++] = hex[c & 15];
	}
	return n;
}

static void write_line(const char *file, int line, const char *message)
{
	char out[4096 + 64];
	struct timespec now;
	struct tm local;
	size_t n;

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &local);
	n = (size_t)snprintf(out, sizeof(out),
		"[%04d-%02d-%02d %02d:%02d:%02d.%03d] %s:%d ",
		local.tm_year + 1900, local.tm_mon + 1, local.tm_mday,
		local.tm_hour, local.tm_min, local.tm_sec,
		(int)(now.tv_nsec / 1000000), file, line);
	n += escape(out + n, sizeof(out) - n - 1, message);
	out[n++] = '\n';
	/* A full disk must not stop the proxy: what cannot be written is lost. */
	while (write(logger.fd, out, n) < 0 && errno == EINTR)
		continue;
}

void log_line(const char *file, int line, const char *fmt, ...)
{
	char message[2048];
	va_list args;
	int saved = errno;

	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	write_line(file, line, message);
	errno = saved;
}

enum { LINES_A_SECOND = 10 };

void log_line_limited(struct log_limit *limit, const char *file, int line,
	const char *fmt, ...)
{
	char message[2048];
	va_list args;
	int saved = errno, n;
	long long now = (long long)time(NULL);

	if (now != limit->second) {
		limit->second = now;
		limit->written = 0;
	}
	if (limit->written++ >= LINES_A_SECOND) {
		limit->left_out++;
		return;
	}
	va_start(args, fmt);
	n = vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	if (limit->left_out && n > 0 && (size_t)n < sizeof(message))
		snprintf(message + n, sizeof(message) - (size_t)n,
			" (%u like this left out)", limit->left_out);
	limit->left_out = 0;
	write_line(file, line, message);
	errno = saved;
}

void out_of_memory(void)
{
	static const char text[] = "nutcracker: out of memory\n";

	while (write(logger.fd, text, sizeof(text) - 1) < 0 && errno == EINTR)
		continue;
	exit(1);
}

static void *checked(void *memory)
{
	if (!memory)
		out_of_memory();
	return memory;
}

void *xmalloc(size_t size)
{
	return checked(malloc(size ? size : 1));
}

void *xcalloc(size_t count, size_t size)
{
	return checked(count && size ? calloc(count, size) : calloc(1, 1));
}

void *xrealloc(void *old, size_t size)
{
	return checked(realloc(old, size ? size : 1));
}

char *xstrdup(const char *text)
{
	return xstrndup(text, strlen(text));
}

char *xstrndup(const char *text, size_t len)
{
	char *copy = xmalloc(len + 1);

	memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

char *xasprintf(const char *fmt, ...)
{
	va_list args;
	char *text;
	int len;

	va_start(args, fmt);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	text = xmalloc((size_t)len + 1);
	va_start(args, fmt);
	vsnprintf(text, (size_t)len + 1, fmt, args);
	va_end(args);
	return text;
}

const char *error_text(int error)
{
	switch (error) {
	case ETIMEDOUT: return "Connection timed out";
	case EHOSTUNREACH: return "No route to host";
	case ENETUNREACH: return "Network is unreachable";
	default: return strerror(error);
	}
}

bool parse_number(const char *text, size_t len, uint64_t max, uint64_t *value)
{
	uint64_t n = 0;

	if (len == 0)
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned digit = (unsigned char)text[i] - (unsigned)'0';
		/* Nineteen digits always fit. */
		if (digit > 9 || (i >= 19 && n > (UINT64_MAX - digit) / 10))
			return false;
		n = n * 10 + digit;
	}
	if (n > max)
		return false;
	*value = n;
	return true;
}

size_t format_number(char *out, uint64_t value)
{
	char digits[20];
	size_t n = 0;

	do {
		digits[n++] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	for (size_t i = 0; i < n; i++)
		out[i] = digits[n - 1 - i];
	return n;
}

static void text_reserve(struct text *t, size_t more)
{
	if (t->room - t->len >= more)
		return;
	t->room = (t->len + more) * 2;
	t->ptr = xrealloc(t->ptr, t->room);
}

void text_add(struct text *t, const void *bytes, size_t len)
{
	if (!len)
		return;
	text_reserve(t, len);
	memcpy(t->ptr + t->len, bytes, len);
	t->len += len;
}

void text_printf(struct text *t, const char *fmt, ...)
{
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	text_reserve(t, (size_t)len + 1);
	va_start(args, fmt);
	vsnprintf(t->ptr + t->len, (size_t)len + 1, fmt, args);
	va_end(args);
	t->len += (size_t)len;
}

void text_free(struct text *t)
{
	free(t->ptr);
	*t = (struct text){ 0 };
}
