/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_request: what a client sends, through the whole proxy to servers that
 * answer as they should, and back. The first byte chooses a configuration, the
 * rest is what is sent. However it is cut, the servers get the same bytes and
 * the client gets the same replies: one for each request. What a single server
 * gets are requests of the client's, in their order.
 */
#include "fuzz_backend.h"

enum { CONFS = 8, SERVERS = 3, WAYS = 3, PATIENCE = 1000, WORDS = 32768 };

static struct backend servers[SERVERS] = {
	{ .name = "h", .listener = -1 }, { .name = "x", .listener = -1 },
	{ .name = "y", .listener = -1 },
};

#define ONE "  servers:\n  - @/h:1 h\n"
#define THREE ONE "  - @/x:1 x\n  - @/y:1 y\n"
#define REDIS "pool:\n  listen: @/pool\n  redis: true\n"
#define MEMCACHED "pool:\n  listen: @/pool\n"

/* Four for each protocol; the even ones have one server. */
static const char *const confs[CONFS] = {
	REDIS ONE,
	REDIS "  server_connections: 2\n  allow_flush: true\n" THREE,
	REDIS "  redis_auth: pw\n  redis_db: 2\n" ONE,
	REDIS "  cross_server: allow\n  commands: my.command:2\n"
		"  deny_commands: dbsize append\n  client_max_requests: 3\n" THREE,
	MEMCACHED ONE,
	MEMCACHED "  server_connections: 2\n  allow_flush: true\n" THREE,
	MEMCACHED "  client_max_unread: 4096\n  server_max_queue: 4096\n" ONE,
	MEMCACHED "  client_max_requests: 3\n  hash_tag: \"{}\"\n" THREE,
};

static bool redis;

/* ---- the client's requests ------------------------------------------------------- */

/* The words of each, of a redis client. */
static struct {
	struct text list[WORDS];
	size_t count;
	bool clean;             /* all that was sent are whole requests */
	bool quits;             /* one of them ends the conversation */
	bool infos;             /* one asks what differs each time */
} asked;

/* The name in lower case: the proxy may write it anew. */
static void put_words(struct text *t, const struct arg *argv, size_t argc)
{
	text_printf(t, "%zu", argc);
	for (size_t i = 0; i < argc; i++) {
		text_printf(t, " %zu:", argv[i].len);
		for (size_t k = 0; k < argv[i].len; k++) {
			char c = argv[i].ptr[k];
			if (i == 0 && c >= 'A' && c <= 'Z')
				c = (char)(c - 'A' + 'a');
			text_add(t, &c, 1);
		}
	}
}

static void read_asked(const uint8_t *data, size_t size)
{
	static struct arg argv[WORDS];
	size_t at = 0;

	while (at < size) {
		struct parse p = { 0 };
		/* Quotes are taken off in place. */
		char *copy = alone(data + at, size - at);
		enum parse_result result = redis_request(&p, copy, size - at,
			argv, WORDS);

		if (result == PARSE_DONE && p.argc) {
			put_words(&asked.list[asked.count++], argv, p.argc);
			asked.quits = asked.quits || word_named(&argv[0], "quit") ||
				word_named(&argv[0], "post") ||
				word_named(&argv[0], "host:");
			asked.infos = asked.infos || word_named(&argv[0], "info") ||
				word_named(&argv[0], "time");
		}
		free(copy);
		if (result != PARSE_DONE)
			return;
		at += p.pos;
	}
	asked.clean = true;
}

static void forget_asked(void)
{
	while (asked.count)
		text_free(&asked.list[--asked.count]);
	asked.clean = asked.quits = asked.infos = false;
}

/* What the proxy says in its own name, or writes anew. */
static bool is_own(const struct arg *name)
{
	return word_named(name, "auth") || word_named(name, "hello") ||
		word_named(name, "select") || word_named(name, "info") ||
		word_named(name, "scan");
}

/* Each request that a server got is one of those sent, behind the one that it
 * got before. */
static void check_forwarded(const struct backend_conn *c)
{
	size_t next = 0;

	for (size_t i = 0; i < c->nunits; i++) {
		struct text got = { 0 };
		size_t argc = 0;

		read_redis(c->end.in.ptr + c->units[i].at, c->units[i].len,
			&argc);
		if (is_own(&backend_argv[0]))
			continue;
		put_words(&got, backend_argv, argc);
		while (next < asked.count && (asked.list[next].len != got.len ||
		    memcmp(asked.list[next].ptr, got.ptr, got.len) != 0))
			next++;
		must(next++ < asked.count);
		text_free(&got);
	}
}

/* ---- a run ---------------------------------------------------------------------------- */

static size_t count_replies(const struct text *in)
{
	size_t at = 0, count = 0;

	while (at < in->len) {
		struct parse p = { 0 };
		const char *data = in->ptr + at;
		enum parse_result result = redis ?
			redis_reply(&p, data, in->len - at) :
			memcached_reply(&p, data, in->len - at);

		/* All of it has come. */
		must(result == PARSE_DONE);
		at += p.pos;
		count++;
	}
	return count;
}

static size_t lines(const uint8_t *data, size_t size)
{
	size_t count = 1;

	while (size--)
		count += *data++ == '\n';
	return count;
}

/* What the client must have got, and the servers. */
static void check_all(const struct end *client, const uint8_t *data, size_t size,
	unsigned conf)
{
	size_t replies = count_replies(&client->in);

	if (!redis) {
		must(replies <= lines(data, size));
		return;
	}
	must(replies <= asked.count + !asked.clean);
	if (asked.clean && !asked.quits && conf != 2)
		must(replies == asked.count);
	if (conf % 2 == 0)
		for (size_t i = 0; i < servers[0].nconns; i++)
			check_forwarded(servers[0].conns[i]);
}

static uint64_t fold_all(const struct end *client)
{
	/* Of two things that are wrong before AUTH the one seen first is told. */
	bool same = asked.clean || !redis || !proxy.pools[0]->conf->redis_auth;
	uint64_t hash = same ? fold(0, client->in.ptr, client->in.len) : 0;

	/* What INFO and TIME tell, and whether a server is asked. */
	if (asked.infos)
		return 0;
	for (unsigned i = 0; i < SERVERS; i++)
		for (size_t k = 0; k < servers[i].nconns; k++) {
			const struct text *in = &servers[i].conns[k]->end.in;
			hash = fold_number(fold(hash, in->ptr, in->len), i);
		}
	return hash;
}

static void pump(struct end *client)
{
	world_turn();
	for (unsigned i = 0; i < SERVERS; i++)
		backend_pump(&servers[i], true);
	end_write(client);
	end_read(client);
}

static uint64_t run(const uint8_t *data, size_t size, unsigned conf, int way)
{
	uint64_t random = fold(way + 1, data, size) | 1, hash;
	struct end client = { .fd = -1 };
	size_t at = 0;

	world_start(conf);
	client.fd = world_connect("pool");
	must(client.fd >= 0);
	while (at < size) {
		size_t n = way ? 1 + next_random(&random) % (way == 1 ? 12 :
			size) : size;

		if (n > size - at)
			n = size - at;
		end_send(&client, data + at, n);
		at += n;
		pump(&client);
	}
	shutdown(client.fd, SHUT_WR);
	for (int i = 0; i < PATIENCE && !client.eof; i++)
		pump(&client);
	/* All is answered, so nothing keeps it open. */
	must(client.eof);
	check_all(&client, data, size, conf);
	hash = fold_all(&client);
	end_free(&client);
	world_turn();
	for (unsigned i = 0; i < SERVERS; i++)
		backend_end(&servers[i]);
	world_end();
	return hash;
}

static void open_once(void)
{
	if (!world_open())
		return;
	for (unsigned i = 0; i < CONFS; i++)
		world_conf(i, confs[i]);
	for (unsigned i = 0; i < SERVERS; i++)
		servers[i].listener = world_listen(servers[i].name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned conf;
	uint64_t whole;

	open_once();
	if (size < 2)
		return 0;
	conf = *data++ % CONFS;
	size--;
	redis = conf < CONFS / 2;
	for (unsigned i = 0; i < SERVERS; i++)
		servers[i].redis = redis;
	if (redis)
		read_asked(data, size);
	whole = run(data, size, conf, 0);
	for (int way = 1; way < WAYS; way++)
		must(run(data, size, conf, way) == whole);
	forget_asked();
	return 0;
}
