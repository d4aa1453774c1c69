/* SPDX-License-Identifier: Apache-2.0 */
/* What the programs of the test bench share: bytes, escapes, addresses, time. */
#ifndef BENCH_H
#define BENCH_H

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* A stretch of bytes that grows; {NULL, 0, 0} is an empty one, free(at) ends it. */
struct bytes {
	char *at;
	size_t len, room;
};

/* Says what is wrong and ends the program with status 2: the bench itself failed. */
static inline void
die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(2);
}

/* Milliseconds on a clock that nobody sets. */
static inline long long
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static inline void
sleep_ms(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

/* A decimal number of the command line; ends the program if it is none. */
static inline long
number(const char *text)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (end == text || *end || n < 0)
		die("not a number: %s", text);
	return n;
}

static inline void
bytes_reserve(struct bytes *b, size_t more)
{
	if (b->room - b->len >= more && b->at)
		return;
	b->room = (b->len + more) * 2 + 64;
	b->at = realloc(b->at, b->room);
	if (!b->at)
		die("out of memory");
}

static inline void
bytes_add(struct bytes *b, const void *from, size_t len)
{
	bytes_reserve(b, len);
	if (len)
		memcpy(b->at + b->len, from, len);
	b->len += len;
}

static inline void
bytes_puts(struct bytes *b, const char *text)
{
	bytes_add(b, text, strlen(text));
}

/* Takes the first len bytes away. */
static inline void
bytes_drop(struct bytes *b, size_t len)
{
	if (!len)
		return;
	b->len -= len;
	memmove(b->at, b->at + len, b->len);
}

static inline int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Adds what text means: \r \n \t \0 \\ \" and \x with exactly two digits. */
static inline void
bytes_unescape(struct bytes *b, const char *text)
{
	static const char letters[] = "rnt0\\\"", meant[] = "\r\n\t\0\\\"";
	const char *found;
	char c;

	for (; *text; text++) {
		c = *text;
		if (c == '\\') {
			c = *++text;
			found = c ? strchr(letters, c) : NULL;
			if (found) {
				c = meant[found - letters];
			} else if (c == 'x' && hex_digit(text[1]) >= 0 &&
			    hex_digit(text[2]) >= 0) {
				c = (char)(hex_digit(text[1]) * 16 + hex_digit(text[2]));
				text += 2;
			} else {
				die("bad escape: \\%s", text);
			}
		}
		bytes_add(b, &c, 1);
	}
}

/* Writes bytes so that bytes_unescape gives them back, on one line. */
static inline void
escape(FILE *to, const char *at, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	unsigned char c;
	size_t i;

	for (i = 0; i < len; i++) {
		c = (unsigned char)at[i];
		if (c == '\r')
			fputs("\\r", to);
		else if (c == '\n')
			fputs("\\n", to);
		else if (c == '\\')
			fputs("\\\\", to);
		else if (c < ' ' || c >= 127)
			fprintf(to, "\\x%c%c", hex[c >> 4], hex[c & 15]);
		else
			fputc(c, to);
	}
}

/* Fills in the socket address of "port", "host:port" or "/path"; returns its length. */
static inline socklen_t
address_parse(const char *text, struct sockaddr_storage *to)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
	struct sockaddr_un *local = (struct sockaddr_un *)to;
	const char *colon = strrchr(text, ':');
	char host[256] = "127.0.0.1";
	socklen_t len;
	int rc;

	memset(to, 0, sizeof(*to));
	if (*text == '/') {
		if (strlen(text) >= sizeof(local->sun_path))
			die("path too long: %s", text);
		local->sun_family = AF_UNIX;
		strcpy(local->sun_path, text);
		return sizeof(*local);
	}
	if (colon && colon > text)
		snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text);
	rc = getaddrinfo(host, colon ? colon + 1 : text, &hints, &found);
	if (rc)
		die("%s: %s", text, gai_strerror(rc));
	len = found->ai_addrlen;
	memcpy(to, found->ai_addr, len);
	freeaddrinfo(found);
	return len;
}

static inline void
nonblocking(int fd)
{
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		die("fcntl: %s", strerror(errno));
}

/* A fresh socket for that address. TCP ones send at once. */
static inline int
socket_open(const struct sockaddr_storage *address)
{
	int fd = socket(address->ss_family, SOCK_STREAM, 0), one = 1;

	if (fd < 0)
		die("socket: %s", strerror(errno));
	if (address->ss_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

/* Connects and returns a non-blocking socket, or -1 with errno set. */
static inline int
address_connect(const char *text)
{
	struct sockaddr_storage address;
	socklen_t len = address_parse(text, &address);
	int fd = socket_open(&address), error;

	if (connect(fd, (struct sockaddr *)&address, len) < 0) {
		error = errno;
		close(fd);
		errno = error;
		return -1;
	}
	nonblocking(fd);
	return fd;
}

/* Returns a non-blocking listening socket, or ends the program. */
static inline int
address_listen(const char *text)
{
	struct sockaddr_storage address;
	socklen_t len = address_parse(text, &address);
	int fd = socket_open(&address), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (address.ss_family == AF_UNIX)
		unlink(text);
	if (bind(fd, (struct sockaddr *)&address, len) < 0)
		die("bind %s: %s", text, strerror(errno));
	if (listen(fd, 512) < 0)
		die("listen %s: %s", text, strerror(errno));
	nonblocking(fd);
	return fd;
}

/* Closes so that the peer sees a reset. */
static inline void
socket_reset(int fd)
{
	struct linger hard = {1, 0};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(fd);
}

#endif
