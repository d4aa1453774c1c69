/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hold: clients that are a burden: many that stay, some that ask and do not
 * read, some that vanish, and one that watches how long others wait meanwhile.
 */
#include "bench.h"

#include <ctype.h>
#include <dirent.h>

enum {
	TURN = 10,         /* ms that a poll waits */
	STUCK = 400,       /* ms without a byte sent: no more can be */
	GIVE_UP = 30000,   /* ms without a byte received */
	BATCH = 256,       /* clients that wait for an answer while others come */
	PIECE = 262144,    /* bytes of one read or write */
	PACED = 4096,      /* requests of a second that are counted */
};

static const char usage[] =
	"usage: hold COMMAND ...   (BYTES have C escapes; SIGTERM ends it)\n"
	"  pour ADDRESS CLIENTS COUNT REQUEST REPLY [RCVBUF]\n"
	"      Each client sends COUNT times what is in the file REQUEST, and must\n"
	"      get COUNT times what is in the file REPLY. Prints \"read\" then, and\n"
	"      keeps the connections.\n"
	"  stuff ADDRESS CLIENTS COUNT REQUEST REPLY [RCVBUF]\n"
	"      The same, but reads nothing before SIGUSR1. Prints \"stuffed\" when\n"
	"      no more can be sent.\n"
	"  ask ADDRESS REQUEST REPLY MS\n"
	"      Asks every MS until it is ended; REQUEST and REPLY are BYTES. Prints\n"
	"      how often, and what took longest.\n"
	"  pace ADDRESS OTHER REQUEST REPLY MS\n"
	"      Asks both, every MS, by turns first. Prints each second a line: how often,\n"
	"      then median, 99th percentile and slowest of ADDRESS and of OTHER, in\n"
	"      microseconds.\n"
	"  vanish ADDRESS FILE SEED MS\n"
	"      Connects every MS, sends some of the FILE, and is gone.\n"
	"  memory PID\n"
	"      Kilobytes in use, and at most so far, by a process and its children.\n"
	"Status 1: a reply was not what it must be.\n";

static volatile sig_atomic_t told, ended;

static void
on_signal(int number_)
{
	if (number_ == SIGUSR1)
		told = 1;
	else
		ended = 1;
}

static void
say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	fflush(stdout);
}

static void
file_read(struct bytes *b, const char *path)
{
	FILE *file = fopen(path, "rb");
	size_t n;

	if (!file)
		die("%s: %s", path, strerror(errno));
	do {
		bytes_reserve(b, PIECE);
		n = fread(b->at + b->len, 1, PIECE, file);
		b->len += n;
	} while (n > 0);
	fclose(file);
	if (!b->len)
		die("%s is empty", path);
}

/* Like address_connect, with a small window if that is wanted. */
static int
connect_slow(const char *text, int rcvbuf)
{
	struct sockaddr_storage address;
	socklen_t len = address_parse(text, &address);
	int fd = socket_open(&address);

	/* The window is agreed on while connecting. */
	if (rcvbuf > 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf));
	if (connect(fd, (struct sockaddr *)&address, len) < 0)
		die("connect: %s", strerror(errno));
	nonblocking(fd);
	return fd;
}

/* ---- pour and stuff ---------------------------------------------------- */

struct client {
	int fd;
	unsigned long long sent, read;
};

static struct {
	const char *address;
	size_t clients, connected, finished;
	int rcvbuf, reading;
	struct bytes request, reply;
	unsigned long long send_each, read_each, sent, read;
	long long moved; /* when a byte was sent or received */
	struct client *client;
	struct pollfd *polls;
} pour;

/* Replies are what they must be, byte for byte. */
static void
client_read(struct client *c)
{
	static char data[PIECE];
	ssize_t n = recv(c->fd, data, sizeof(data), 0);
	size_t done = 0, at, same;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		fprintf(stderr, "hold: closed after %llu of %llu bytes: %s\n",
			c->read, pour.read_each, n ? strerror(errno) : "end");
		exit(1);
	}
	while (done < (size_t)n && c->read < pour.read_each) {
		at = (size_t)(c->read % pour.reply.len);
		same = pour.reply.len - at;
		if (same > (size_t)n - done)
			same = (size_t)n - done;
		if (memcmp(data + done, pour.reply.at + at, same) != 0)
			break;
		done += same;
		c->read += same;
	}
	if (done < (size_t)n) {
		fprintf(stderr, "hold: wrong reply after about %llu bytes: ", c->read);
		escape(stderr, data + done, (size_t)n - done < 60 ? (size_t)n - done : 60);
		fputc('\n', stderr);
		exit(1);
	}
	pour.read += (size_t)n;
	pour.moved = now_ms();
	if (c->read == pour.read_each)
		pour.finished++;
}

static void
client_write(struct client *c)
{
	size_t at = (size_t)(c->sent % pour.request.len);
	size_t len = pour.request.len - at;
	ssize_t n;

	if (len > pour.send_each - c->sent)
		len = (size_t)(pour.send_each - c->sent);
	n = send(c->fd, pour.request.at + at, len, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		die("send: %s", strerror(errno));
	if (n <= 0)
		return;
	c->sent += (size_t)n;
	pour.sent += (size_t)n;
	pour.moved = now_ms();
}

static void
pour_connect(void)
{
	while (pour.connected < pour.clients &&
	    pour.connected - pour.finished < BATCH)
		pour.client[pour.connected++].fd =
			connect_slow(pour.address, pour.rcvbuf);
}

static void
pour_turn(void)
{
	struct client *c;
	size_t i;

	for (i = 0; i < pour.connected; i++) {
		c = &pour.client[i];
		pour.polls[i].fd = c->fd;
		pour.polls[i].events = (short)((pour.reading ? POLLIN : 0) |
			(c->sent < pour.send_each ? POLLOUT : 0));
	}
	if (poll(pour.polls, (nfds_t)pour.connected, TURN) <= 0)
		return;
	for (i = 0; i < pour.connected; i++) {
		c = &pour.client[i];
		if (pour.polls[i].revents & POLLOUT)
			client_write(c);
		if (pour.reading && (pour.polls[i].revents & ~POLLOUT))
			client_read(c);
	}
}

/* Several requests together, so that a write has something to write. */
static void
bytes_repeat(struct bytes *b, long count)
{
	size_t len = b->len;

	while (b->len < PIECE && b->len / len < (size_t)count)
		bytes_add(b, b->at, len);
}

static void
wait_told(void)
{
	while (!told && !ended)
		sleep_ms(TURN);
}

static int
pour_run(char **args, int reading)
{
	long count = number(args[2]);

	pour.address = args[0];
	pour.clients = (size_t)number(args[1]);
	pour.rcvbuf = args[5] ? (int)number(args[5]) : 0;
	file_read(&pour.request, args[3]);
	file_read(&pour.reply, args[4]);
	pour.send_each = (unsigned long long)count * pour.request.len;
	pour.read_each = (unsigned long long)count * pour.reply.len;
	bytes_reserve(&pour.request, PIECE + pour.request.len);
	bytes_repeat(&pour.request, count);
	pour.client = calloc(pour.clients, sizeof(*pour.client));
	pour.polls = calloc(pour.clients, sizeof(*pour.polls));
	if (!pour.client || !pour.polls)
		die("out of memory");
	pour.moved = now_ms();
	pour.reading = reading;
	while (!ended && pour.finished < pour.clients) {
		pour_connect();
		pour_turn();
		if (pour.reading && now_ms() - pour.moved > GIVE_UP)
			die("hold: %zu of %zu got their replies", pour.finished,
				pour.clients);
		if (pour.reading || (now_ms() - pour.moved < STUCK &&
		    pour.sent < pour.send_each * pour.clients))
			continue;
		/* What was sent last may still be under way through the proxy. */
		sleep_ms(STUCK);
		say("stuffed %llu of %llu\n", pour.sent, pour.send_each * pour.clients);
		wait_told();
		pour.reading = 1;
		pour.moved = now_ms();
	}
	if (!ended)
		say("read %llu\n", pour.read);
	while (!ended)
		sleep_ms(TURN);
	return 0;
}

static int
pour_command(char **args)
{
	return pour_run(args, 1);
}

static int
stuff_command(char **args)
{
	return pour_run(args, 0);
}

/* ---- ask ------------------------------------------------------------------ */

/* Reads what the reply must be. 1 if it is something else, or none. Whoever is
 * ended while it waits has waited so long. */
static int
ask_expect(int fd, const struct bytes *want)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char data[4096];
	size_t done = 0;
	ssize_t n;

	while (done < want->len && !ended) {
		if (poll(&p, 1, GIVE_UP) == 0) {
			printf("no reply\n");
			return 1;
		}
		n = recv(fd, data, sizeof(data), 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n > 0 && (size_t)n <= want->len - done &&
		    memcmp(data, want->at + done, (size_t)n) == 0) {
			done += (size_t)n;
			continue;
		}
		printf("received: ");
		escape(stdout, data, n > 0 ? (size_t)n : 0);
		printf(n > 0 ? "\n" : "the end\n");
		return 1;
	}
	return 0;
}

static int
ask_command(char **args)
{
	struct bytes request = {0}, reply = {0};
	long pause = number(args[3]), count = 0;
	long long slowest = 0, start, took;
	int fd = connect_slow(args[0], 0), wrong = 0;

	bytes_unescape(&request, args[1]);
	bytes_unescape(&reply, args[2]);
	while (!ended && !wrong) {
		start = now_ms();
		if (send(fd, request.at, request.len, MSG_NOSIGNAL) !=
		    (ssize_t)request.len)
			die("send: %s", strerror(errno));
		wrong = ask_expect(fd, &reply);
		took = now_ms() - start;
		if (took > slowest)
			slowest = took;
		count++;
		if (!ended)
			sleep_ms(pause);
	}
	say("asked %ld slowest %lld\n", count, slowest);
	free(request.at);
	free(reply.at);
	return wrong;
}

/* ---- pace ----------------------------------------------------------------- */

struct paced {
	int fd;
	size_t count;
	long us[PACED];
};

static long long
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (long long)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int
pace_once(struct paced *p, const struct bytes *request, const struct bytes *reply)
{
	long long start = now_us();
	int wrong;

	if (send(p->fd, request->at, request->len, MSG_NOSIGNAL) !=
	    (ssize_t)request->len)
		die("send: %s", strerror(errno));
	wrong = ask_expect(p->fd, reply);
	if (p->count < PACED && !ended)
		p->us[p->count++] = (long)(now_us() - start);
	return wrong;
}

static int
longs_compare(const void *a, const void *b)
{
	long x = *(const long *)a, y = *(const long *)b;

	return (x > y) - (x < y);
}

static void
pace_say(struct paced *p)
{
	if (!p->count)
		return;
	qsort(p->us, p->count, sizeof(*p->us), longs_compare);
	say(" %ld %ld %ld", p->us[p->count / 2], p->us[p->count * 99 / 100],
		p->us[p->count - 1]);
	p->count = 0;
}

static int
pace_command(char **args)
{
	static struct paced one, other;
	struct bytes request = {0}, reply = {0};
	long pause = number(args[4]);
	long long next;
	int wrong = 0, turn = 0;

	one.fd = connect_slow(args[0], 0);
	other.fd = connect_slow(args[1], 0);
	bytes_unescape(&request, args[2]);
	bytes_unescape(&reply, args[3]);
	next = now_ms() + 1000;
	while (!ended && !wrong) {
		/* The first one has the trouble of waking everybody up. */
		turn = !turn;
		wrong = pace_once(turn ? &one : &other, &request, &reply) ||
			pace_once(turn ? &other : &one, &request, &reply);
		sleep_ms(pause);
		if (now_ms() < next)
			continue;
		say("%zu", one.count);
		pace_say(&one);
		pace_say(&other);
		say("\n");
		next += 1000;
	}
	free(request.at);
	free(reply.at);
	return wrong;
}

/* ---- vanish ------------------------------------------------------------- */

static unsigned long long dice;

/* splitmix64 of Sebastiano Vigna. */
static size_t
rnd(size_t n)
{
	unsigned long long x = dice += 0x9e3779b97f4a7c15u;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return (size_t)((x ^ (x >> 31)) % n);
}

/* Sends a random beginning, waits or not, and resets, closes, or half closes. */
static void
vanish_once(const char *address, const struct bytes *text)
{
	int fd = connect_slow(address, rnd(2) ? 4096 : 0);
	size_t len = 1 + rnd(rnd(2) ? text->len : text->len / 8 + 1);
	char byte;

	(void)send(fd, text->at, len, MSG_NOSIGNAL);
	if (rnd(2))
		sleep_ms((long)rnd(30));
	if (rnd(3) == 0)
		(void)recv(fd, &byte, 1, 0);
	if (rnd(3) == 0)
		shutdown(fd, SHUT_WR);
	if (rnd(2))
		socket_reset(fd);
	else
		close(fd);
}

static int
vanish_command(char **args)
{
	struct bytes text = {0};
	long pause = number(args[3]), count;

	file_read(&text, args[1]);
	dice = (unsigned long long)number(args[2]);
	for (count = 0; !ended; count++) {
		vanish_once(args[0], &text);
		sleep_ms(pause);
	}
	say("vanished %ld\n", count);
	free(text.at);
	return 0;
}

/* ---- memory --------------------------------------------------------------- */

/* The number behind a name in /proc/PID/status; -1: there is none. */
static long
status_value(const char *pid, const char *name)
{
	char path[300], line[300];
	size_t len = strlen(name);
	long value = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%s/status", pid);
	file = fopen(path, "r");
	if (!file)
		return -1;
	while (value < 0 && fgets(line, sizeof(line), file))
		if (strncmp(line, name, len) == 0 && line[len] == ':')
			value = strtol(line + len + 1, NULL, 10);
	fclose(file);
	return value;
}

static int
memory_command(char **args)
{
	long pid = number(args[0]), now = 0, most = 0, n;
	DIR *dir = opendir("/proc");
	const struct dirent *entry;

	if (!dir)
		return 1;
	while ((entry = readdir(dir)) != NULL) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		if (strtol(entry->d_name, NULL, 10) != pid &&
		    status_value(entry->d_name, "PPid") != pid)
			continue;
		n = status_value(entry->d_name, "VmRSS");
		now += n > 0 ? n : 0;
		n = status_value(entry->d_name, "VmHWM");
		most += n > 0 ? n : 0;
	}
	closedir(dir);
	if (!now)
		return 1;
	printf("%ld %ld\n", now, most);
	return 0;
}

static const struct {
	const char *name;
	int args;
	int (*run)(char **args);
} commands[] = {
	{"pour", 5, pour_command}, {"stuff", 5, stuff_command},
	{"ask", 4, ask_command}, {"pace", 5, pace_command},
	{"vanish", 4, vanish_command},
	{"memory", 1, memory_command},
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
	sigaction(SIGUSR1, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	for (i = 0; argc > 1 && i < sizeof(commands) / sizeof(*commands); i++)
		if (!strcmp(argv[1], commands[i].name) &&
		    argc - 2 >= commands[i].args)
			return commands[i].run(argv + 2);
	fputs(usage, stderr);
	return 2;
}
