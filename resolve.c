/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolve: names to addresses, off the loop. Each lookup is a thread that runs
 * getaddrinfo, which POSIX gives no other way to wait for, and then hands its
 * result over through a pipe. A thread sees its own lookup and nothing else.
 */
#include "proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "util.h"

enum {
	STACK_SIZE = 256 * 1024,
	MAX_ADDRESSES = 8, /* of one name that are kept */
	MAX_THREADS = 32,  /* lookups at a time; the others wait their turn */
};

struct lookup {
	struct lookup *next; /* waiting for a thread */
	char *host;
	char port[8];
	void *owner;         /* NULL: cancelled */
	unsigned count;
	struct address list[MAX_ADDRESSES];
};

static int pipe_fds[2] = { -1, -1 };
static struct lookup *waiting;
static unsigned threads;

int resolve_open(void)
{
	if (pipe(pipe_fds) < 0)
		return -1;
	for (int i = 0; i < 2; i++)
		(void)fcntl(pipe_fds[i], F_SETFD, FD_CLOEXEC);
	(void)fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK);
	return pipe_fds[0];
}

static void lookup_free(struct lookup *lookup)
{
	free(lookup->host);
	free(lookup);
}

void resolve_close(void)
{
	while (waiting) {
		struct lookup *next = waiting->next;
		lookup_free(waiting);
		waiting = next;
	}
	/* The write end stays open: a thread may still be on its way to it. */
	close(pipe_fds[0]);
}

static unsigned look_up(const char *host, const char *port, int flags,
	struct address *list, unsigned room)
{
	struct addrinfo hints, *found;
	unsigned count = 0;

	memset(&hints, 0, sizeof(hints));
	hints.ai_socktype = SOCK_STREAM;
	hints.ai_flags = flags | AI_NUMERICSERV;
	if (getaddrinfo(host, port, &hints, &found) != 0)
		return 0;
	for (struct addrinfo *i = found; i && count < room; i = i->ai_next) {
		memcpy(&list[count].addr, i->ai_addr, i->ai_addrlen);
		list[count++].len = i->ai_addrlen;
	}
	freeaddrinfo(found);
	return count;
}

int resolve_numeric(const struct conf_addr *addr, struct address *out)
{
	char port[8];

	memset(out, 0, sizeof(*out));
	if (addr->is_unix) {
		struct sockaddr_un *sun = (struct sockaddr_un *)&out->addr;
		size_t len = strlen(addr->host);

		if (len >= sizeof(sun->sun_path))
			return -1;
		sun->sun_family = AF_UNIX;
		memcpy(sun->sun_path, addr->host, len + 1);
		out->len = sizeof(*sun);
		return 0;
	}
	snprintf(port, sizeof(port), "%u", (unsigned)addr->port);
	return look_up(addr->host, port, AI_NUMERICHOST, out, 1) ? 0 : -1;
}

static void hand_over(struct lookup *lookup)
{
	ssize_t n;

	do
		n = write(pipe_fds[1], &lookup, sizeof(lookup));
	while (n < 0 && errno == EINTR);
}

static void *run(void *arg)
{
	struct lookup *lookup = arg;

	lookup->count = look_up(lookup->host, lookup->port, 0, lookup->list,
		MAX_ADDRESSES);
	hand_over(lookup);
	return NULL;
}

static bool start_thread(struct lookup *lookup)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, before;
	int error;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&thread, &attr, run, lookup);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (error)
		return false;
	threads++;
	return true;
}

/* It gets a thread, or has failed: none is to be had, and none will end, with which
 * another could begin. False: later. */
static bool begin(struct lookup *lookup)
{
	if (threads < MAX_THREADS && start_thread(lookup))
		return true;
	if (threads)
		return false;
	threads++;
	hand_over(lookup);
	return true;
}

struct lookup *resolve_start(const char *host, uint16_t port, void *owner)
{
	struct lookup *lookup = xcalloc(1, sizeof(*lookup));

	lookup->host = xstrdup(host);
	snprintf(lookup->port, sizeof(lookup->port), "%u", (unsigned)port);
	lookup->owner = owner;
	if (!begin(lookup)) {
		struct lookup **last = &waiting;

		while (*last)
			last = &(*last)->next;
		*last = lookup;
	}
	return lookup;
}

void resolve_cancel(struct lookup *lookup)
{
	if (lookup)
		lookup->owner = NULL;
}

void resolve_ready(void (*found)(void *owner, struct address *list,
	unsigned count))
{
	struct lookup *lookup;

	while (read(pipe_fds[0], &lookup, sizeof(lookup)) == sizeof(lookup)) {
		threads--;
		if (lookup->owner)
			found(lookup->owner, lookup->list, lookup->count);
		lookup_free(lookup);
	}
	while (waiting) {
		struct lookup *next = waiting->next;
		lookup = waiting;
		if (lookup->owner && !begin(lookup))
			break;
		waiting = next;
		if (!lookup->owner)
			lookup_free(lookup);
	}
}
