/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_memcached: a load for memcached that can send many requests at once,
 * as no generator in common use does; and the same for Redis, so that a
 * machine without redis-benchmark can count instructions.
 *
 * Each connection sends `depth` requests, waits for all replies and sends the
 * next. Every reply is known beforehand and compared: keys are key:NUMBER with
 * twelve digits, values are as many x as -d says, and -f puts them there first.
 */
#include "bench.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	KEY_LEN = 16,
	CHUNK = 256 * 1024, /* bytes of one read */
	BUCKETS = 48 * 32,  /* of the latencies: 32 to each doubling, in us */
};

enum what { GET, SET, MGET, MSET };

struct conn {
	int fd;
	struct bytes out, want; /* this batch, and what comes back */
	size_t sent, got;
	int asked, answered;
	size_t *ends;           /* of each reply, in want */
	int64_t started;        /* us */
};

static struct {
	bool redis, fill, miss;
	enum what what;
	const char *address;
	int conns, depth, keys;
	long requests, space, seconds;
	size_t size;
} opt = {
	.conns = 50, .depth = 1, .keys = 1, .requests = 100000, .space = 10000,
	.seconds = 60, .size = 3,
};

static char *value, *input;
static long made, answered;
static uint64_t seed = 1;
static uint32_t latency[BUCKETS];

static int64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* xorshift64 of George Marsaglia: the same keys in every run. */
static long
key_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (long)((seed >> 11) % (uint64_t)opt.space);
}

/* ---- latencies, to 3 percent ---------------------------------------------- */

static int
bucket(int64_t us)
{
	int shift = 0;

	while (us >> shift >= 64)
		shift++;
	return shift * 32 + (int)(us >> shift);
}

static int64_t
bucket_us(int i)
{
	int shift = i < 64 ? 0 : i / 32 - 1;

	return (int64_t)(i - shift * 32) << shift;
}

static int64_t
percentile(int percent)
{
	int64_t left = (int64_t)answered * percent / 100;
	int i;

	for (i = 0; i < BUCKETS - 1; i++) {
		left -= latency[i];
		if (left < 0)
			break;
	}
	return bucket_us(i);
}

/* ---- requests and their replies --------------------------------------------- */

static void
put(struct bytes *b, const char *format, ...)
{
	char text[128];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	bytes_add(b, text, (size_t)n);
}

/* By hand, as a load that takes long to write down its keys leaves the proxy
 * with nothing to do. */
static void
put_key(struct bytes *b, long key)
{
	char text[KEY_LEN] = "key:";
	int i;

	for (i = KEY_LEN; i-- > 4; key /= 10)
		text[i] = (char)('0' + key % 10);
	bytes_add(b, text, KEY_LEN);
}

static void
put_value(struct bytes *b)
{
	if (opt.redis)
		put(b, "$%lu\r\n", (unsigned long)opt.size);
	bytes_add(b, value, opt.size);
	bytes_puts(b, "\r\n");
}

/* Keys of one request follow each other, so that none is there twice. */
static void
make_redis(struct conn *c, long key)
{
	static const char *const names[] = {"GET", "SET", "MGET", "MSET"};
	const char *name = names[opt.what];
	bool set = opt.what == SET || opt.what == MSET;
	int i;

	put(&c->out, "*%d\r\n$%d\r\n%s\r\n", opt.keys * (set ? 2 : 1) + 1,
	    (int)strlen(name), name);
	if (opt.what == MGET)
		put(&c->want, "*%d\r\n", opt.keys);
	for (i = 0; i < opt.keys; i++) {
		put(&c->out, "$%d\r\n", KEY_LEN);
		put_key(&c->out, (key + i) % opt.space);
		bytes_puts(&c->out, "\r\n");
		put_value(set ? &c->out : &c->want);
	}
	if (set)
		bytes_puts(&c->want, "+OK\r\n");
}

static void
make_memcached(struct conn *c, long key)
{
	int i;

	if (opt.what == SET) {
		bytes_puts(&c->out, "set ");
		put_key(&c->out, key);
		put(&c->out, " 0 0 %lu\r\n", (unsigned long)opt.size);
		put_value(&c->out);
		bytes_puts(&c->want, "STORED\r\n");
		return;
	}
	bytes_puts(&c->out, "get");
	for (i = 0; i < opt.keys; i++) {
		bytes_puts(&c->out, " ");
		put_key(&c->out, (key + i) % opt.space);
		if (opt.miss)
			continue;
		bytes_puts(&c->want, "VALUE ");
		put_key(&c->want, (key + i) % opt.space);
		put(&c->want, " 0 %lu\r\n", (unsigned long)opt.size);
		put_value(&c->want);
	}
	bytes_puts(&c->out, "\r\n");
	bytes_puts(&c->want, "END\r\n");
}

/* The next batch. */
static void
make(struct conn *c)
{
	long key;

	c->sent = c->got = 0;
	c->started = now_us();
	/* Of nothing, the same again is as good, and costs the load less. */
	if (opt.miss && c->asked == opt.depth &&
	    opt.requests - made >= opt.depth) {
		c->answered = 0;
		made += opt.depth;
		return;
	}
	c->out.len = c->want.len = 0;
	for (c->asked = c->answered = 0; c->asked < opt.depth; c->asked++) {
		if (made == opt.requests)
			break;
		key = opt.fill ? made % opt.space : key_random();
		made++;
		if (opt.redis)
			make_redis(c, key);
		else
			make_memcached(c, key);
		c->ends[c->asked] = c->want.len;
	}
}

/* Values of one reply may come in another order than their keys were named in. */
static bool
same(const struct conn *c, size_t n)
{
	if (c->got + n > c->want.len)
		return false;
	return (!opt.redis && opt.keys > 1) ||
		memcmp(c->want.at + c->got, input, n) == 0;
}

static void
conn_read(struct conn *c)
{
	ssize_t n = read(c->fd, input, CHUNK);
	int64_t us;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		die("bench_memcached: closed by the other side: %s",
		    n < 0 ? strerror(errno) : "end of file");
	if (!same(c, (size_t)n))
		die("bench_memcached: wrong reply: %.*s", n < 200 ? (int)n : 200,
		    input);
	c->got += (size_t)n;
	us = now_us() - c->started;
	while (c->answered < c->asked && c->ends[c->answered] <= c->got) {
		c->answered++;
		answered++;
		latency[bucket(us)]++;
	}
}

static void
conn_write(struct conn *c)
{
	ssize_t n = write(c->fd, c->out.at + c->sent, c->out.len - c->sent);

	if (n >= 0)
		c->sent += (size_t)n;
	else if (errno != EAGAIN && errno != EINTR)
		die("bench_memcached: write: %s", strerror(errno));
}

static void
turn(struct conn *conns, struct pollfd *fds)
{
	int i;

	for (i = 0; i < opt.conns; i++) {
		struct conn *c = &conns[i];

		if (c->answered == c->asked)
			make(c);
		if (c->sent < c->out.len)
			conn_write(c);
		fds[i].fd = c->answered < c->asked ? c->fd : -1;
		fds[i].events = POLLIN | (c->sent < c->out.len ? POLLOUT : 0);
	}
	if (poll(fds, (nfds_t)opt.conns, 1000) < 0 && errno != EINTR)
		die("bench_memcached: poll: %s", strerror(errno));
	for (i = 0; i < opt.conns; i++)
		if (fds[i].fd >= 0 && fds[i].revents & ~POLLOUT)
			conn_read(&conns[i]);
}

/* ---- options -------------------------------------------------------------------- */

static void
usage(void)
{
	fputs("usage: bench_memcached -h ADDRESS [option ...]\n"
	    "  -p redis      Redis, not memcached\n"
	    "  -t WHAT       get (default), set, for Redis mget and mset\n"
	    "  -k N          keys of a get, mget, mset (1)\n"
	    "  -c N          connections (50)\n"
	    "  -P N          requests sent at once (1)\n"
	    "  -n N          requests in all (100000)\n"
	    "  -r N          different keys (10000)\n"
	    "  -d BYTES      of a value (3)\n"
	    "  -m            nothing is there for a get of memcached\n"
	    "  -f            set every key once, in order; no -n then\n"
	    "  -s SECONDS    gives up then (60)\n"
	    "Prints requests per second, and the latency in us that 50 and\n"
	    "99 percent of them did not pass.\n", stderr);
	exit(2);
}

static enum what
what(const char *word)
{
	static const char *const names[] = {"get", "set", "mget", "mset"};
	int i;

	for (i = 0; i < 4; i++)
		if (strcmp(word, names[i]) == 0)
			return (enum what)i;
	usage();
	return GET;
}

static void
options(int argc, char **argv)
{
	int o;

	while ((o = getopt(argc, argv, "h:p:t:k:c:P:n:r:d:s:fm")) != -1) {
		switch (o) {
		case 'h': opt.address = optarg; break;
		case 'p': opt.redis = strcmp(optarg, "redis") == 0; break;
		case 't': opt.what = what(optarg); break;
		case 'k': opt.keys = (int)number(optarg); break;
		case 'c': opt.conns = (int)number(optarg); break;
		case 'P': opt.depth = (int)number(optarg); break;
		case 'n': opt.requests = number(optarg); break;
		case 'r': opt.space = number(optarg); break;
		case 'd': opt.size = (size_t)number(optarg); break;
		case 's': opt.seconds = number(optarg); break;
		case 'f': opt.fill = true; break;
		case 'm': opt.miss = true; break;
		default: usage();
		}
	}
	if (opt.fill) {
		opt.what = SET;
		opt.keys = 1;
		opt.requests = opt.space;
	}
	if (!opt.address || optind < argc || opt.conns < 1 || opt.depth < 1 ||
	    opt.keys < 1 || opt.space < opt.keys ||
	    (opt.keys > 1 && opt.what == SET) || (!opt.redis && opt.what > SET))
		usage();
}

int
main(int argc, char **argv)
{
	struct conn *conns;
	struct pollfd *fds;
	int64_t started, us;
	int i;

	options(argc, argv);
	signal(SIGPIPE, SIG_IGN);
	conns = calloc((size_t)opt.conns, sizeof(*conns));
	fds = calloc((size_t)opt.conns, sizeof(*fds));
	value = malloc(opt.size + 1);
	input = malloc(CHUNK);
	if (!conns || !fds || !value || !input)
		die("bench_memcached: out of memory");
	memset(value, 'x', opt.size);
	for (i = 0; i < opt.conns; i++) {
		conns[i].fd = address_connect(opt.address);
		conns[i].ends = calloc((size_t)opt.depth, sizeof(size_t));
		if (conns[i].fd < 0)
			die("bench_memcached: connect: %s", strerror(errno));
		if (!conns[i].ends)
			die("bench_memcached: out of memory");
	}
	started = now_us();
	while (answered < opt.requests) {
		turn(conns, fds);
		if (now_us() - started > opt.seconds * (int64_t)1000000)
			die("bench_memcached: %ld of %ld answered when time was "
			    "over", answered, opt.requests);
	}
	us = now_us() - started;
	printf("%.0f %ld %ld\n", (double)answered * 1e6 / (double)(us ? us : 1),
	    (long)percentile(50), (long)percentile(99));
	for (i = 0; i < opt.conns; i++) {
		close(conns[i].fd);
		free(conns[i].ends);
		free(conns[i].out.at);
		free(conns[i].want.at);
	}
	free(conns);
	free(fds);
	free(value);
	free(input);
	return 0;
}
