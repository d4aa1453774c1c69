/* SPDX-License-Identifier: Apache-2.0 */
/*
 * visit: clients that come and go, that count until they are sent away, and
 * that measure how long each answer takes.
 */
#include "bench.h"

enum {
	TURN = 10,       /* ms that a poll waits */
	PATIENCE = 5000, /* ms without an answer: there will be none */
	CLIENTS = 1024,
	REPLY_MAX = 64,
};

static const char usage[] =
	"usage: visit COMMAND ...   (BYTES have C escapes; SIGTERM ends it)\n"
	"  come ADDRESS CLIENTS PER_SECOND REQUEST REPLY [whole]\n"
	"      Each client connects, sends REQUEST, must get REPLY, closes, and\n"
	"      comes again, as often in a second as told (0: as often as it goes);\n"
	"      whole: REPLY is but its beginning, which ends with the connection.\n"
	"      Prints how often, how many failed and how, and the longest visit.\n"
	"  count ADDRESS redis|memcached CLIENTS DEPTH\n"
	"      Client N counts the key count:N up, with DEPTH requests under way,\n"
	"      until it is closed or this program ended; each reply must be the\n"
	"      next number. Prints the sum of them.\n"
	"  measure ADDRESS FILE REPLY [MS]\n"
	"      Sends the lines of FILE, which are BYTES, one after the other, so long\n"
	"      apart. Prints within what time 500, 990, 999 of 1000 were answered, us.\n"
	"Status 1: a reply was not what it must be.\n";

static volatile sig_atomic_t ended;

static void
on_signal(int number_)
{
	ended = number_;
}

static long long
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (long long)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* One client of either kind. */
struct client {
	int fd;                /* -1: not connected */
	int connecting, wrong;
	long long since;       /* ms, when it connected or was last answered */
	struct bytes in, out;
	unsigned long long asked, answered;
	char key[32];
};

static struct client clients[CLIENTS];
static size_t client_count;
static struct bytes request, reply;
static const char *address;

/* Writes what is there to be written; 0, or the errno of the end. */
static int
client_write(struct client *c)
{
	ssize_t n = send(c->fd, c->out.at, c->out.len, MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : errno;
	bytes_drop(&c->out, (size_t)n);
	return 0;
}

/* Reads what is there: bytes, 0 at the end, -1 nothing yet, -2 an error. */
static int
client_read(struct client *c)
{
	ssize_t n;

	bytes_reserve(&c->in, 65536);
	n = recv(c->fd, c->in.at + c->in.len, c->in.room - c->in.len, 0);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? -1 : -2;
	c->in.len += (size_t)n;
	return n > 0;
}

static void
client_close(struct client *c)
{
	close(c->fd);
	c->fd = -1;
	c->in.len = c->out.len = 0;
}

/* Waits for all clients that are connected. 0 if none is. */
static size_t
clients_poll(struct pollfd *polls)
{
	size_t i, open = 0;

	for (i = 0; i < client_count; i++) {
		struct client *c = &clients[i];
		polls[i].fd = c->fd;
		polls[i].events = (short)(POLLIN |
			(c->connecting || c->out.len ? POLLOUT : 0));
		polls[i].revents = 0;
		open += c->fd >= 0;
	}
	(void)poll(polls, (nfds_t)client_count, TURN);
	return open;
}

/* ---- come -------------------------------------------------------------- */

static struct {
	long visits, refused, reset, closed, wrong, silent, interval_us;
	long long slowest, next_us;
	int whole;
} come;

static void
visit_begin(struct client *c)
{
	static struct sockaddr_storage to;
	static socklen_t len;

	if (!len)
		len = address_parse(address, &to);
	c->fd = socket_open(&to);
	nonblocking(c->fd);
	c->since = now_ms();
	c->connecting = 1;
	if (connect(c->fd, (struct sockaddr *)&to, len) == 0 ||
	    errno == EINPROGRESS)
		return;
	/* No port of ours is free: that is no failure of his. */
	if (errno != EADDRNOTAVAIL && errno != EAGAIN) {
		come.visits++;
		come.refused++;
	}
	client_close(c);
}

/* It is over; `failure` is the counter of how it failed, or NULL. */
static void
visit_end(struct client *c, long *failure)
{
	long long took = now_ms() - c->since;

	come.visits++;
	if (failure)
		++*failure;
	else if (took > come.slowest)
		come.slowest = took;
	if (failure == &come.wrong) {
		fputs("visit: received ", stderr);
		escape(stderr, c->in.at, c->in.len < 200 ? c->in.len : 200);
		fputc('\n', stderr);
	}
	client_close(c);
}

static void
visit_connected(struct client *c)
{
	int error = 0;
	socklen_t len = sizeof(error);

	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error) {
		visit_end(c, &come.refused);
		return;
	}
	c->connecting = 0;
	bytes_add(&c->out, request.at, request.len);
}

static void
visit_read(struct client *c)
{
	int got = client_read(c);
	size_t len = c->in.len < reply.len ? c->in.len : reply.len;

	if (got == -1)
		return;
	if (got == -2)
		visit_end(c, &come.reset);
	else if (memcmp(c->in.at, reply.at, len) != 0 ||
	    (!come.whole && c->in.len > reply.len))
		visit_end(c, &come.wrong);
	else if (got == 0)
		visit_end(c, come.whole && len == reply.len ? NULL :
			&come.closed);
	else if (!come.whole && len == reply.len)
		visit_end(c, NULL);
}

static void
visit_go_on(struct client *c, int events)
{
	if (events & (POLLOUT | POLLERR) && c->connecting)
		visit_connected(c);
	if (c->fd >= 0 && !c->connecting && c->out.len && client_write(c))
		visit_end(c, &come.reset);
	if (c->fd >= 0 && !c->connecting && events & ~POLLOUT)
		visit_read(c);
	if (c->fd >= 0 && now_ms() - c->since > PATIENCE)
		visit_end(c, &come.silent);
}

/* Is it time for another visit? */
static int
visit_due(void)
{
	if (ended)
		return 0;
	if (!come.interval_us)
		return 1;
	if (!come.next_us)
		come.next_us = now_us();
	if (now_us() < come.next_us)
		return 0;
	come.next_us += come.interval_us;
	return 1;
}

static int
come_command(char **args)
{
	static struct pollfd polls[CLIENTS];
	long per_second = number(args[2]), failed;
	size_t i;

	client_count = (size_t)number(args[1]);
	if (client_count > CLIENTS)
		die("at most %d clients", CLIENTS);
	bytes_unescape(&request, args[3]);
	bytes_unescape(&reply, args[4]);
	come.whole = args[5] != NULL;
	come.interval_us = per_second ? 1000000 / per_second : 0;
	for (i = 0; i < client_count; i++)
		clients[i].fd = -1;
	do {
		for (i = 0; i < client_count; i++) {
			if (clients[i].fd < 0 && visit_due())
				visit_begin(&clients[i]);
			else if (clients[i].fd >= 0)
				visit_go_on(&clients[i], polls[i].revents);
		}
	} while (clients_poll(polls) || !ended);
	failed = come.refused + come.reset + come.closed + come.wrong + come.silent;
	printf("visits %ld failed %ld: refused %ld reset %ld closed %ld wrong %ld "
		"silent %ld; slowest %lld ms\n", come.visits, failed,
		come.refused, come.reset, come.closed, come.wrong, come.silent,
		come.slowest);
	return come.wrong != 0;
}

/* ---- count --------------------------------------------------------------- */

static int memcached;

static void
count_ask(struct client *c, unsigned long long depth)
{
	char text[128];

	while (!ended && c->asked - c->answered < depth) {
		if (memcached)
			snprintf(text, sizeof(text), "incr %s 1\r\n", c->key);
		else
			snprintf(text, sizeof(text),
				"*2\r\n$4\r\nINCR\r\n$%zu\r\n%s\r\n",
				strlen(c->key), c->key);
		bytes_puts(&c->out, text);
		c->asked++;
	}
}

/* Takes the replies that have come. */
static void
count_take(struct client *c)
{
	char want[REPLY_MAX];
	size_t len, at = 0;

	for (;;) {
		len = (size_t)snprintf(want, sizeof(want), "%s%llu\r\n",
			memcached ? "" : ":", c->answered + 1);
		if (c->in.len - at < len)
			len = c->in.len - at;
		if (memcmp(c->in.at + at, want, len) != 0) {
			fprintf(stderr, "visit: %s received ", c->key);
			escape(stderr, c->in.at + at, c->in.len - at < 200 ?
				c->in.len - at : 200);
			fprintf(stderr, " instead of %s", want);
			c->wrong = 1;
			return;
		}
		if (len < strlen(want))
			break;
		at += len;
		c->answered++;
		c->since = now_ms();
	}
	bytes_drop(&c->in, at);
}

/* memcached counts only what is there. */
static void
count_begin(struct client *c, size_t n)
{
	char text[128], got[8];
	size_t len = 0;
	ssize_t more;

	c->fd = address_connect(address);
	if (c->fd < 0)
		die("connect: %s", strerror(errno));
	snprintf(c->key, sizeof(c->key), "count:%zu", n);
	c->since = now_ms();
	if (memcached) {
		snprintf(text, sizeof(text), "set %s 0 0 1\r\n0\r\n", c->key);
		fcntl(c->fd, F_SETFL, 0);
		if (send(c->fd, text, strlen(text), MSG_NOSIGNAL) < 0)
			die("send: %s", strerror(errno));
		for (; len < sizeof(got); len += (size_t)more) {
			more = recv(c->fd, got + len, sizeof(got) - len, 0);
			if (more <= 0)
				die("%s could not be set", c->key);
		}
		if (memcmp(got, "STORED\r\n", sizeof(got)) != 0)
			die("%s could not be set", c->key);
	}
	nonblocking(c->fd);
}

/* 0: it goes on. */
static int
count_go_on(struct client *c, int events, unsigned long long depth)
{
	int got = -1;

	if (events & (POLLIN | POLLHUP | POLLERR))
		got = client_read(c);
	if (got > 0)
		count_take(c);
	if (c->wrong)
		return 'w';
	if (got == 0)
		return 'c';
	if (got == -2)
		return 'r';
	count_ask(c, depth);
	/* The other side may have closed, and what it said is still to be read. */
	if (c->out.len && client_write(c))
		c->out.len = 0;
	if (ended && c->asked == c->answered)
		return 'e';
	return now_ms() - c->since > PATIENCE ? 's' : 0;
}

static int
count_command(char **args)
{
	static struct pollfd polls[CLIENTS];
	unsigned long long depth = (unsigned long long)number(args[3]);
	unsigned long long answered = 0, asked = 0;
	long closed = 0, reset = 0, silent = 0, wrong = 0;
	size_t i;
	int end;

	memcached = strcmp(args[1], "memcached") == 0;
	client_count = (size_t)number(args[2]);
	if (client_count > CLIENTS)
		die("at most %d clients", CLIENTS);
	for (i = 0; i < client_count; i++)
		count_begin(&clients[i], i);
	do {
		for (i = 0; i < client_count; i++) {
			if (clients[i].fd < 0)
				continue;
			end = count_go_on(&clients[i], polls[i].revents, depth);
			closed += end == 'c';
			reset += end == 'r';
			silent += end == 's';
			wrong += end == 'w';
			if (end)
				client_close(&clients[i]);
		}
	} while (clients_poll(polls));
	for (i = 0; i < client_count; i++) {
		answered += clients[i].answered;
		asked += clients[i].asked;
	}
	printf("answered %llu of %llu: closed %ld reset %ld silent %ld wrong %ld\n",
		answered, asked, closed, reset, silent, wrong);
	return wrong != 0;
}

/* ---- measure --------------------------------------------------------------- */

static int
long_compare(const void *a, const void *b)
{
	long x = *(const long *)a, y = *(const long *)b;

	return (x > y) - (x < y);
}

/* Sends the request and reads its reply; how long that took, us. */
static long
measure_one(struct client *c)
{
	long long began = now_us();
	size_t done = 0;
	ssize_t n;

	if (send(c->fd, c->out.at, c->out.len, MSG_NOSIGNAL) !=
	    (ssize_t)c->out.len)
		die("send: %s", strerror(errno));
	while (done < reply.len) {
		bytes_reserve(&c->in, reply.len);
		n = recv(c->fd, c->in.at, reply.len - done, 0);
		if (n <= 0 || memcmp(c->in.at, reply.at + done, (size_t)n) != 0) {
			fputs("visit: another reply, or none\n", stderr);
			exit(1);
		}
		done += (size_t)n;
	}
	return (long)(now_us() - began);
}

static int
measure_command(char **args)
{
	FILE *file = fopen(args[1], "r");
	struct client c = {0};
	struct bytes times = {0};
	long pause = args[3] ? number(args[3]) : 0;
	char line[4096];
	size_t n;
	long took;
	const long *list;

	if (!file)
		die("%s: %s", args[1], strerror(errno));
	bytes_unescape(&reply, args[2]);
	c.fd = address_connect(address);
	if (c.fd < 0)
		die("connect: %s", strerror(errno));
	fcntl(c.fd, F_SETFL, 0);
	while (!ended && fgets(line, sizeof(line), file)) {
		sleep_ms(pause);
		line[strcspn(line, "\n")] = '\0';
		c.out.len = 0;
		bytes_unescape(&c.out, line);
		took = measure_one(&c);
		bytes_add(&times, &took, sizeof(took));
	}
	fclose(file);
	n = times.len / sizeof(took);
	if (!n)
		die("%s is empty", args[1]);
	qsort(times.at, n, sizeof(took), long_compare);
	list = (const long *)(const void *)times.at;
	printf("%ld %ld %ld\n", list[(n + 1) / 2 - 1], list[n - n / 100 - 1],
		list[n - n / 1000 - 1]);
	return 0;
}

static const struct {
	const char *name;
	int args;
	int (*run)(char **args);
} commands[] = {
	{"come", 5, come_command}, {"count", 4, count_command},
	{"measure", 3, measure_command},
};

int
main(int argc, char **argv)
{
	struct sigaction action;
	size_t i;

	memset(&action, 0, sizeof(action));
	action.sa_handler = on_signal;
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	for (i = 0; argc > 1 && i < sizeof(commands) / sizeof(*commands); i++) {
		if (strcmp(argv[1], commands[i].name) != 0 ||
		    argc - 2 < commands[i].args)
			continue;
		address = argv[2];
		return commands[i].run(argv + 2);
	}
	fputs(usage, stderr);
	return 2;
}
