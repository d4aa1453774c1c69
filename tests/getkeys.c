/* SPDX-License-Identifier: Apache-2.0 */
/*
 * getkeys: reads calls, one a line, words apart by blanks ("" is an empty
 * word), and prints the keys of each, sorted: as command.c finds them, or, with
 * the path of a Redis server's socket, as that server's COMMAND GETKEYS does.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "../command.h"

enum { WORDS = 64, LINE = 1024 };

static _Noreturn void
fail(const char *what)
{
	fprintf(stderr, "getkeys: %s\n", what);
	exit(2);
}

static size_t
line_split(char *line, struct arg *words)
{
	size_t n = 0;

	for (char *w = strtok(line, " \n"); w; w = strtok(NULL, " \n")) {
		if (n == WORDS)
			fail("too many words");
		words[n].ptr = w;
		words[n++].len = strcmp(w, "\"\"") == 0 ? 0 : strlen(w);
	}
	return n;
}

static int
key_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void
keys_print(char **keys, size_t n)
{
	if (n == 0) {
		puts(" none");
		return;
	}
	qsort(keys, n, sizeof keys[0], key_compare);
	for (size_t i = 0; i < n; i++)
		printf(" %s", keys[i][0] ? keys[i] : "\"\"");
	putchar('\n');
	for (size_t i = 0; i < n; i++)
		free(keys[i]);
}

static char *
copy(const char *text, size_t len)
{
	char *p = calloc(1, len + 1);

	if (!p)
		fail("no memory");
	memcpy(p, text, len);
	return p;
}

static void
ours(const struct arg *words, size_t n)
{
	const struct command *cmd = command_find(words, n);
	uint32_t at[WORDS];
	char *keys[WORDS];
	long count;

	if (!cmd) {
		puts(" unknown");
		return;
	}
	if (!command_arity_ok(cmd, n)) {
		puts(" none");
		return;
	}
	count = command_keys(cmd, words, n, at, WORDS);
	if (count < 0)
		count = 0;
	for (long i = 0; i < count; i++)
		keys[i] = copy(words[at[i]].ptr, words[at[i]].len);
	keys_print(keys, (size_t)count);
}

/* Two streams on one socket: a stream that reads and writes must seek between. */
struct server {
	FILE *in;
	FILE *out;
};

static struct server
server_open(const char *path)
{
	const struct timespec pause = {0, 20000000};
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct server server;
	int fd;

	if (strlen(path) >= sizeof addr.sun_path)
		fail("path of the socket is too long");
	strcpy(addr.sun_path, path);
	for (int tries = 0; tries < 500; tries++) {
		fd = socket(AF_UNIX, SOCK_STREAM, 0);
		if (fd < 0)
			fail(strerror(errno));
		if (connect(fd, (struct sockaddr *)&addr, sizeof addr) == 0) {
			server.in = fdopen(fd, "r");
			server.out = fdopen(dup(fd), "w");
			if (!server.in || !server.out)
				fail(strerror(errno));
			return server;
		}
		close(fd);
		nanosleep(&pause, NULL);
	}
	fail("the server does not answer");
}

static size_t
number(const char *line)
{
	return (size_t)strtoul(line + 1, NULL, 10);
}

static void
theirs(const struct server *server, const struct arg *words, size_t n)
{
	char line[LINE], *keys[WORDS];
	size_t count, len;

	fprintf(server->out, "*%zu\r\n$7\r\nCOMMAND\r\n$7\r\nGETKEYS\r\n", n + 2);
	for (size_t i = 0; i < n; i++)
		fprintf(server->out, "$%zu\r\n%.*s\r\n", words[i].len,
			(int)words[i].len, words[i].ptr);
	fflush(server->out);
	if (!fgets(line, sizeof line, server->in))
		fail("the server closed");
	if (line[0] == '-') {
		puts(strstr(line, "Invalid command") ? " unknown" : " none");
		return;
	}
	count = number(line);
	if (line[0] != '*' || count > WORDS)
		fail(line);
	for (size_t i = 0; i < count; i++) {
		if (!fgets(line, sizeof line, server->in) || line[0] != '$')
			fail("not a string");
		len = number(line);
		if (!fgets(line, sizeof line, server->in) || strlen(line) < len)
			fail("not a key");
		keys[i] = copy(line, len);
	}
	keys_print(keys, count);
}

int
main(int argc, char **argv)
{
	struct server server = {NULL, NULL};
	struct arg words[WORDS];
	char line[LINE];
	size_t n;

	command_init();
	if (argc > 1)
		server = server_open(argv[1]);
	while (fgets(line, sizeof line, stdin)) {
		if (line[0] == '#')
			continue;
		printf("%.*s:", (int)strcspn(line, "\n"), line);
		n = line_split(line, words);
		if (n == 0)
			fail("empty line");
		if (server.in)
			theirs(&server, words, n);
		else
			ours(words, n);
	}
	if (server.in) {
		fclose(server.in);
		fclose(server.out);
	}
	return 0;
}
