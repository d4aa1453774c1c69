/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A getaddrinfo for tests, to be preloaded (LD_PRELOAD): what a name stands for
 * is read from the file $RESOLVER at each lookup, one name a line with its IPv4
 * addresses, split by commas, or with the milliseconds after which the lookup
 * fails. With $RESOLVER_TURNS another one is the first each time. Numeric
 * addresses stand for themselves. Each name asked for is added to $RESOLVER.log.
 * The second and third threads are not to be had with $RESOLVER_THREADS.
 */
#define _GNU_SOURCE /* RTLD_NEXT */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { MOST = 4 }; /* addresses of a name */

static _Atomic size_t turns;

/* An answer is one piece of memory; its first info is the first of a list. */
struct answer {
	struct addrinfo info[MOST];
	struct sockaddr_in address[MOST];
};

static void
pause_ms(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

static void
note(const char *path, const char *name)
{
	char log[4096];
	FILE *file;

	snprintf(log, sizeof(log), "%s.log", path);
	file = fopen(log, "a");
	if (!file)
		return;
	fprintf(file, "%s\n", name);
	fclose(file);
}

/* How many addresses are in the text, which is cut; 0: it is something else. */
static size_t
addresses_read(char *text, struct in_addr *list)
{
	char *rest = NULL, *one = strtok_r(text, ",", &rest);
	size_t count = 0;

	while (one && count < MOST && inet_pton(AF_INET, one, &list[count]) == 1) {
		count++;
		one = strtok_r(NULL, ",", &rest);
	}
	return count;
}

/* 0, or an error of getaddrinfo, perhaps after a while. */
static int
name_find(const char *name, struct in_addr *list, size_t *count)
{
	const char *path = getenv("RESOLVER");
	FILE *file = path ? fopen(path, "r") : NULL;
	char one[256], what[256];
	int rc = EAI_NONAME;

	if (!file)
		return rc;
	note(path, name);
	while (rc == EAI_NONAME && fscanf(file, "%255s %255s", one, what) == 2) {
		if (strcmp(one, name) != 0)
			continue;
		*count = addresses_read(what, list);
		rc = *count ? 0 : EAI_AGAIN;
	}
	fclose(file);
	if (rc == EAI_AGAIN)
		pause_ms(atol(what));
	return rc;
}

int
getaddrinfo(const char *restrict name, const char *restrict service,
	const struct addrinfo *restrict hints, struct addrinfo **restrict result)
{
	struct in_addr list[MOST] = {{htonl(INADDR_ANY)}};
	struct answer *answer;
	size_t count = 1, turn = 0, i;
	int rc;

	if (name && inet_pton(AF_INET, name, list) != 1) {
		if (hints && hints->ai_flags & AI_NUMERICHOST)
			return EAI_NONAME;
		rc = name_find(name, list, &count);
		if (rc)
			return rc;
		if (getenv("RESOLVER_TURNS"))
			turn = turns++;
	}
	answer = calloc(1, sizeof(*answer));
	if (!answer)
		return EAI_MEMORY;
	for (i = 0; i < count; i++) {
		struct addrinfo *info = &answer->info[i];
		struct sockaddr_in *address = &answer->address[i];

		address->sin_family = AF_INET;
		address->sin_port = htons((in_port_t)(service ? atoi(service) : 0));
		address->sin_addr = list[(i + turn) % count];
		info->ai_family = AF_INET;
		info->ai_socktype = SOCK_STREAM;
		info->ai_addrlen = sizeof(*address);
		info->ai_addr = (struct sockaddr *)address;
		info->ai_next = i + 1 < count ? info + 1 : NULL;
	}
	*result = answer->info;
	return 0;
}

void
freeaddrinfo(struct addrinfo *info)
{
	free(info);
}

int
pthread_create(pthread_t *restrict thread, const pthread_attr_t *restrict attr,
	void *(*run)(void *), void *restrict argument)
{
	static int calls;
	void *found = dlsym(RTLD_NEXT, "pthread_create");
	int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

	calls++;
	if (!found || (getenv("RESOLVER_THREADS") && (calls == 2 || calls == 3)))
		return EAGAIN;
	memcpy(&create, &found, sizeof(create));
	return create(thread, attr, run, argument);
}
