/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A getaddrinfo for tests, to be preloaded (LD_PRELOAD): what a name stands for
 * is read from the file $RESOLVER at each lookup, one name a line with its IPv4
 * address, or with the milliseconds after which the lookup fails. Numeric
 * addresses stand for themselves. Each name asked for is added to $RESOLVER.log.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

/* An answer is one piece of memory. */
struct answer {
	struct addrinfo info;
	struct sockaddr_in address;
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

/* 0, or an error of getaddrinfo, perhaps after a while. */
static int
name_find(const char *name, struct in_addr *address)
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
		rc = inet_pton(AF_INET, what, address) == 1 ? 0 : EAI_AGAIN;
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
	struct in_addr address = {htonl(INADDR_ANY)};
	struct answer *answer;
	int rc;

	if (name && inet_pton(AF_INET, name, &address) != 1) {
		if (hints && hints->ai_flags & AI_NUMERICHOST)
			return EAI_NONAME;
		rc = name_find(name, &address);
		if (rc)
			return rc;
	}
	answer = calloc(1, sizeof(*answer));
	if (!answer)
		return EAI_MEMORY;
	answer->address.sin_family = AF_INET;
	answer->address.sin_port = htons((in_port_t)(service ? atoi(service) : 0));
	answer->address.sin_addr = address;
	answer->info.ai_family = AF_INET;
	answer->info.ai_socktype = SOCK_STREAM;
	answer->info.ai_addrlen = sizeof(answer->address);
	answer->info.ai_addr = (struct sockaddr *)&answer->address;
	*result = &answer->info;
	return 0;
}

void
freeaddrinfo(struct addrinfo *info)
{
	free(info);
}
