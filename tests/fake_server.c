/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backend for tests: a small redis or memcached that keeps its data in
 * memory and fails when told to, or one that follows a script to the byte.
 */
#include "bench.h"

#include <ctype.h>
#include <limits.h>

static const char usage[] =
	"usage: fake_server -m redis|memcached [option ...] ADDRESS\n"
	"  -f FILE   follow this script instead of answering from memory\n"
	"  -w FILE   write down \"ready\" when listening, then each request as\n"
	"            CONNECTION < BYTES, and CONNECTION open or end\n"
	"  -c SEED   chop what is sent into random pieces\n"
	"  -d MS     let each batch of requests wait before it is answered\n"
	"  -i MS     close connections that were silent that long\n"
	"  -a WORD   ask for this password first (redis); several are allowed\n"
	"  -u BYTES  send this on each new connection, unasked\n"
	"  -x RULE   for some requests do something else (several are allowed):\n"
	"            WHEN ACTION, where WHEN is N (the Nth request, counted over\n"
	"            all connections), N+ (from the Nth on), *, or /text/ in the\n"
	"            request, and ACTION is\n"
	"            send BYTES    answer this\n"
	"            before BYTES  send this, then the true answer\n"
	"            after BYTES   send the true answer, then this\n"
	"            cut N         send N bytes of the true answer, then close\n"
	"            halt N        send N bytes of the true answer, then nothing more\n"
	"            delay MS      answer later\n"
	"            drop          do not answer, but answer what follows\n"
	"            stall | close | rst\n"
	"a script has one step a line, and # comments:\n"
	"  conn N | conn *         what follows is for the Nth connection, or the others\n"
	"  expect BYTES            read exactly this (else status 1 at the end)\n"
	"  request                 read one request, whatever it is\n"
	"  any-reply BYTES         from here on, answer each request so\n"
	"  send BYTES, delay MS, half, close, rst, stall, loop (from the first step)\n";

enum action {
	NOTHING, SEND, BEFORE, AFTER, CUT, HALT, DELAY, DROP, STALL, CLOSE, RST,
	EXPECT, REQUEST, ANY_REPLY, HALF, LOOP,
};

enum argument { NONE, BYTES, COUNT };

static const struct {
	const char *name;
	enum argument argument;
	int in_rule, in_script;
} actions[] = {
	[NOTHING] = {"", NONE, 0, 0},
	[SEND] = {"send", BYTES, 1, 1},
	[BEFORE] = {"before", BYTES, 1, 0},
	[AFTER] = {"after", BYTES, 1, 0},
	[CUT] = {"cut", COUNT, 1, 0},
	[HALT] = {"halt", COUNT, 1, 0},
	[DELAY] = {"delay", COUNT, 1, 1},
	[DROP] = {"drop", NONE, 1, 0},
	[STALL] = {"stall", NONE, 1, 1},
	[CLOSE] = {"close", NONE, 1, 1},
	[RST] = {"rst", NONE, 1, 1},
	[EXPECT] = {"expect", BYTES, 0, 1},
	[REQUEST] = {"request", NONE, 0, 1},
	[ANY_REPLY] = {"any-reply", BYTES, 0, 1},
	[HALF] = {"half", NONE, 0, 1},
	[LOOP] = {"loop", NONE, 0, 1},
};

/* What to do, and with what. */
struct deed {
	enum action action;
	struct bytes bytes;
	long count;
};

struct rule {
	long from, to;
	char *text; /* instead of a number */
	struct deed deed;
};

struct step {
	long conn; /* 0: any that has no steps of its own */
	int line;
	struct deed deed;
};

/* What becomes of the connection when all output is written. */
enum fate { STAYS, CLOSES, RESETS, ENDS_OUTPUT };

struct conn {
	int fd;
	long id;
	struct bytes in, out;
	size_t sent; /* how much of out is written */
	size_t hold; /* how much of out may be written while it waits */
	int deaf; /* stalled: reads and writes nothing any more */
	int mute; /* reads, but all that it would answer is dropped */
	int authorized;
	enum fate fate;
	long long wait; /* does nothing before this time */
	long long heard; /* when something came last */
	size_t step; /* the place in the script */
};

struct word {
	char *at;
	size_t len;
};

static struct {
	int memcached;
	FILE *notes;
	int chop;
	long delay, idle;
	char *passwords[4];
	size_t password_count;
	struct bytes greeting;
	struct rule rules[64];
	size_t rule_count;
	struct step *steps;
	size_t step_count;
	int scripted;
	long requests, conns_seen;
	int failed;
} own;

static volatile sig_atomic_t stop;

/* ---- the store ------------------------------------------------------- */

enum kind { STRING, LIST, HASH, SET };

/* A key and its items: one for a string, field and value by turns for a hash. */
struct entry {
	struct bytes key;
	enum kind kind;
	struct bytes *items;
	size_t count, room;
	unsigned long flags;
	unsigned long long cas;
	struct entry *next;
};

enum { BUCKETS = 65536 };

static struct entry *buckets[BUCKETS];
static size_t entry_count;
static unsigned long long last_cas;

static int
bytes_equal(const struct bytes *b, const char *at, size_t len)
{
	return b->len == len && (!len || !memcmp(b->at, at, len));
}

/* The link that points to the key's entry, or to NULL where it would go. */
static struct entry **
entry_link(const struct word *key)
{
	unsigned hash = 5381;
	struct entry **link;
	size_t i;

	for (i = 0; i < key->len; i++)
		hash = hash * 33 + (unsigned char)key->at[i];
	link = &buckets[hash % BUCKETS];
	while (*link && !bytes_equal(&(*link)->key, key->at, key->len))
		link = &(*link)->next;
	return link;
}

static struct entry *
entry_find(const struct word *key)
{
	return *entry_link(key);
}

static void
entry_clear(struct entry *e)
{
	while (e->count > 0)
		free(e->items[--e->count].at);
}

static int
entry_delete(const struct word *key)
{
	struct entry **link = entry_link(key), *e = *link;

	if (!e)
		return 0;
	*link = e->next;
	entry_clear(e);
	free(e->items);
	free(e->key.at);
	free(e);
	entry_count--;
	return 1;
}

/* The key's entry, emptied if it was of another kind. */
static struct entry *
entry_make(const struct word *key, enum kind kind)
{
	struct entry **link = entry_link(key), *e = *link;

	if (!e) {
		e = *link = calloc(1, sizeof(*e));
		if (!e)
			die("out of memory");
		bytes_add(&e->key, key->at, key->len);
		entry_count++;
	}
	if (e->kind != kind)
		entry_clear(e);
	e->kind = kind;
	return e;
}

/* Makes room for an item before the place'th. */
static struct bytes *
item_insert(struct entry *e, size_t place)
{
	if (e->count == e->room) {
		e->room = e->room * 2 + 1;
		e->items = realloc(e->items, e->room * sizeof(*e->items));
		if (!e->items)
			die("out of memory");
	}
	memmove(e->items + place + 1, e->items + place,
		(e->count - place) * sizeof(*e->items));
	e->count++;
	memset(e->items + place, 0, sizeof(*e->items));
	return &e->items[place];
}

static void
item_remove(struct entry *e, size_t place, size_t count)
{
	size_t i;

	for (i = place; i < place + count; i++)
		free(e->items[i].at);
	memmove(e->items + place, e->items + place + count,
		(e->count - place - count) * sizeof(*e->items));
	e->count -= count;
}

/* The place of an item among every stride'th, or count. */
static size_t
item_find(const struct entry *e, const struct word *w, size_t stride)
{
	size_t i;

	for (i = 0; i < e->count; i += stride)
		if (bytes_equal(&e->items[i], w->at, w->len))
			return i;
	return e->count;
}

static void
bytes_set(struct bytes *b, const char *at, size_t len)
{
	b->len = 0;
	bytes_add(b, at, len);
}

static struct entry *
string_set(const struct word *key, const char *at, size_t len, unsigned long flags)
{
	struct entry *e = entry_make(key, STRING);

	bytes_set(e->count ? &e->items[0] : item_insert(e, 0), at, len);
	e->flags = flags;
	e->cas = ++last_cas;
	return e;
}

static void
store_clear(void)
{
	struct word key;
	size_t i;

	for (i = 0; i < BUCKETS; i++) {
		while (buckets[i]) {
			key.at = buckets[i]->key.at;
			key.len = buckets[i]->key.len;
			entry_delete(&key);
		}
	}
}

/* ---- redis ----------------------------------------------------------- */

static int
word_is(const struct word *w, const char *text)
{
	size_t i;

	if (w->len != strlen(text))
		return 0;
	for (i = 0; i < w->len; i++)
		if (tolower((unsigned char)w->at[i]) != tolower((unsigned char)text[i]))
			return 0;
	return 1;
}

/* Reads a signed number; 0 and *n, or -1. */
static int
word_number(const struct word *w, long long *n)
{
	char text[32], *end;

	if (!w->len || w->len >= sizeof(text) || isspace((unsigned char)*w->at))
		return -1;
	memcpy(text, w->at, w->len);
	text[w->len] = '\0';
	errno = 0;
	*n = strtoll(text, &end, 10);
	return *end || errno ? -1 : 0;
}

static void
say(struct bytes *out, const char *text)
{
	bytes_puts(out, text);
}

static void
say_number(struct bytes *out, char mark, long long n)
{
	char text[32];

	snprintf(text, sizeof(text), "%c%lld\r\n", mark, n);
	say(out, text);
}

static void
say_bulk(struct bytes *out, const char *at, size_t len)
{
	say_number(out, '$', (long long)len);
	bytes_add(out, at, len);
	say(out, "\r\n");
}

static void
say_item(struct bytes *out, const struct bytes *item)
{
	say_bulk(out, item->at, item->len);
}

static void
say_nil(struct bytes *out)
{
	say(out, "$-1\r\n");
}

static void
say_text(struct bytes *out, const char *text)
{
	say_bulk(out, text, strlen(text));
}

/* Says so and returns 1 if the entry is of another kind. */
static int
wrong_kind(struct bytes *out, const struct entry *e, enum kind kind)
{
	if (!e || e->kind == kind)
		return 0;
	say(out, "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
	return 1;
}

enum command {
	APPEND, AUTH, CLIENT, COMMAND, CONFIG, DBSIZE, DECR, DECRBY, DEL, ECHO,
	EXISTS, EXPIRE, FLUSHALL, GET, GETDEL, GETSET, HDEL, HEXISTS, HGET, HGETALL,
	HINCRBY, HKEYS, HLEN, HMGET, HMSET, HSET, HVALS, INCR, INCRBY, INFO, KEYS,
	LINDEX, LLEN, LPOP, LPUSH, LRANGE, MGET, MSET, PERSIST, PING, RPOP, RPUSH,
	SADD, SCARD, SELECT, SETEX, SETNX, SET_, SISMEMBER, SMEMBERS, SPOP, SREM,
	STRLEN, TIME, TTL, TYPE,
};

struct command_row {
	const char *name;
	enum command command;
	int arity; /* words, the name too; negative: at least */
	int kind; /* what the first key must hold, -1: anything */
};

static const struct command_row command_rows[] = {
	{"append", APPEND, 3, STRING}, {"auth", AUTH, -2, -1},
	{"client", CLIENT, -2, -1}, {"command", COMMAND, -1, -1},
	{"config", CONFIG, -2, -1}, {"dbsize", DBSIZE, 1, -1},
	{"decr", DECR, 2, STRING}, {"decrby", DECRBY, 3, STRING},
	{"del", DEL, -2, -1}, {"echo", ECHO, 2, -1}, {"exists", EXISTS, -2, -1},
	{"expire", EXPIRE, -3, -1}, {"expireat", EXPIRE, -3, -1},
	{"flushall", FLUSHALL, -1, -1}, {"flushdb", FLUSHALL, -1, -1},
	{"get", GET, 2, STRING}, {"getdel", GETDEL, 2, STRING},
	{"getset", GETSET, 3, STRING}, {"hdel", HDEL, -3, HASH},
	{"hexists", HEXISTS, 3, HASH}, {"hget", HGET, 3, HASH},
	{"hgetall", HGETALL, 2, HASH}, {"hincrby", HINCRBY, 4, HASH},
	{"hkeys", HKEYS, 2, HASH}, {"hlen", HLEN, 2, HASH},
	{"hmget", HMGET, -3, HASH}, {"hmset", HMSET, -4, HASH},
	{"hset", HSET, -4, HASH}, {"hvals", HVALS, 2, HASH},
	{"incr", INCR, 2, STRING}, {"incrby", INCRBY, 3, STRING},
	{"info", INFO, -1, -1}, {"keys", KEYS, 2, -1}, {"lindex", LINDEX, 3, LIST},
	{"llen", LLEN, 2, LIST}, {"lpop", LPOP, 2, LIST}, {"lpush", LPUSH, -3, LIST},
	{"lrange", LRANGE, 4, LIST}, {"mget", MGET, -2, -1}, {"mset", MSET, -3, -1},
	{"persist", PERSIST, 2, -1}, {"pexpire", EXPIRE, -3, -1},
	{"pexpireat", EXPIRE, -3, -1}, {"ping", PING, -1, -1},
	{"psetex", SETEX, 4, -1}, {"pttl", TTL, 2, -1}, {"rpop", RPOP, 2, LIST},
	{"rpush", RPUSH, -3, LIST}, {"sadd", SADD, -3, SET}, {"scard", SCARD, 2, SET},
	{"select", SELECT, 2, -1}, {"set", SET_, -3, -1}, {"setex", SETEX, 4, -1},
	{"setnx", SETNX, 3, -1}, {"sismember", SISMEMBER, 3, SET},
	{"smembers", SMEMBERS, 2, SET}, {"spop", SPOP, 2, SET},
	{"srem", SREM, -3, SET}, {"strlen", STRLEN, 2, STRING}, {"time", TIME, 1, -1},
	{"touch", EXISTS, -2, -1}, {"ttl", TTL, 2, -1}, {"type", TYPE, 2, -1},
	{"unlink", DEL, -2, -1},
};

/* Adds n to the number in the item; what INCR and HINCRBY answer. */
static void
item_increase(struct bytes *out, struct bytes *item, const struct word *by, int sign)
{
	struct word now = {item->at, item->len};
	long long n = 0, step = 1;
	char text[32];

	if ((item->len && word_number(&now, &n) < 0) || (by && word_number(by, &step) < 0)) {
		say(out, "-ERR value is not an integer or out of range\r\n");
		return;
	}
	snprintf(text, sizeof(text), "%lld", n + sign * step);
	bytes_set(item, text, strlen(text));
	say_number(out, ':', n + sign * step);
}

static void
redis_number(struct bytes *out, enum command command, const struct word *w)
{
	struct entry *e = entry_find(&w[1]);

	if (!e)
		e = string_set(&w[1], "", 0, 0);
	item_increase(out, &e->items[0], command == INCRBY || command == DECRBY ? &w[2] : NULL,
		command == DECR || command == DECRBY ? -1 : 1);
}

/* SET with the options that decide whether it happens; times are ignored. */
static void
redis_set(struct bytes *out, const struct word *w, int n)
{
	struct entry *e = entry_find(&w[1]);
	int i;

	for (i = 3; i < n; i++) {
		if ((word_is(&w[i], "nx") && e) || (word_is(&w[i], "xx") && !e)) {
			say_nil(out);
			return;
		}
	}
	string_set(&w[1], w[2].at, w[2].len, 0);
	say(out, "+OK\r\n");
}

/* GET, GETDEL, GETSET, STRLEN, APPEND, SETNX. */
static void
redis_string(struct bytes *out, enum command command, const struct word *w)
{
	struct entry *e = entry_find(&w[1]);

	if (command == STRLEN) {
		say_number(out, ':', e ? (long long)e->items[0].len : 0);
	} else if (command == APPEND) {
		if (!e)
			e = string_set(&w[1], "", 0, 0);
		bytes_add(&e->items[0], w[2].at, w[2].len);
		say_number(out, ':', (long long)e->items[0].len);
	} else if (command == SETNX) {
		if (!e)
			string_set(&w[1], w[2].at, w[2].len, 0);
		say_number(out, ':', !e);
	} else {
		if (e)
			say_item(out, &e->items[0]);
		else
			say_nil(out);
		if (command == GETDEL)
			entry_delete(&w[1]);
		if (command == GETSET)
			string_set(&w[1], w[2].at, w[2].len, 0);
	}
}

/* DEL, EXISTS, MGET, MSET, over all keys. */
static void
redis_many(struct bytes *out, enum command command, const struct word *w, int n)
{
	struct entry *e;
	long long hits = 0;
	int i;

	if (command == MGET)
		say_number(out, '*', n - 1);
	for (i = 1; i < n; i += command == MSET ? 2 : 1) {
		e = entry_find(&w[i]);
		if (command == MGET && e && e->kind == STRING)
			say_item(out, &e->items[0]);
		else if (command == MGET)
			say_nil(out);
		else if (command == MSET)
			string_set(&w[i], w[i + 1].at, w[i + 1].len, 0);
		else if (e)
			hits++;
		if (command == DEL)
			entry_delete(&w[i]);
	}
	if (command == MSET)
		say(out, "+OK\r\n");
	else if (command != MGET)
		say_number(out, ':', hits);
}

static void
redis_hash_set(struct bytes *out, enum command command, const struct word *w, int n)
{
	struct entry *e = entry_make(&w[1], HASH);
	long long added = 0;
	size_t place;
	int i;

	for (i = 2; i + 1 < n; i += 2) {
		place = item_find(e, &w[i], 2);
		if (place == e->count) {
			bytes_set(item_insert(e, place), w[i].at, w[i].len);
			item_insert(e, place + 1);
			added++;
		}
		bytes_set(&e->items[place + 1], w[i + 1].at, w[i + 1].len);
	}
	if (command == HMSET)
		say(out, "+OK\r\n");
	else
		say_number(out, ':', added);
}

static void
redis_hash_increase(struct bytes *out, const struct word *w)
{
	struct entry *e = entry_make(&w[1], HASH);
	size_t place = item_find(e, &w[2], 2);

	if (place == e->count) {
		bytes_set(item_insert(e, place), w[2].at, w[2].len);
		item_insert(e, place + 1);
	}
	item_increase(out, &e->items[place + 1], &w[3], 1);
}

/* HGET, HMGET, HEXISTS: looks fields up. */
static void
redis_hash_get(struct bytes *out, enum command command, const struct word *w, int n)
{
	struct entry *e = entry_find(&w[1]);
	size_t place;
	int i;

	if (command == HMGET)
		say_number(out, '*', n - 2);
	for (i = 2; i < n; i++) {
		place = e ? item_find(e, &w[i], 2) : 0;
		if (command == HEXISTS)
			say_number(out, ':', e && place < e->count);
		else if (e && place < e->count)
			say_item(out, &e->items[place + 1]);
		else
			say_nil(out);
	}
}

/* HDEL, SREM: takes members with their stride away. */
static void
redis_remove(struct bytes *out, size_t stride, const struct word *w, int n)
{
	struct entry *e = entry_find(&w[1]);
	long long hits = 0;
	size_t place;
	int i;

	for (i = 2; e && i < n; i++) {
		place = item_find(e, &w[i], stride);
		if (place < e->count) {
			item_remove(e, place, stride);
			hits++;
		}
	}
	if (e && !e->count)
		entry_delete(&w[1]);
	say_number(out, ':', hits);
}

/* Every stride'th item from the first. */
static void
redis_all(struct bytes *out, const struct entry *e, size_t first, size_t stride)
{
	size_t i;

	say_number(out, '*', e ? (long long)((e->count + stride - 1 - first) / stride) : 0);
	for (i = first; e && i < e->count; i += stride)
		say_item(out, &e->items[i]);
}

/* LPUSH, RPUSH, SADD. */
static void
redis_push(struct bytes *out, enum command command, const struct word *w, int n)
{
	struct entry *e = entry_make(&w[1], command == SADD ? SET : LIST);
	long long added = 0;
	int i;

	for (i = 2; i < n; i++) {
		if (command == SADD && item_find(e, &w[i], 1) < e->count)
			continue;
		bytes_set(item_insert(e, command == LPUSH ? 0 : e->count), w[i].at, w[i].len);
		added++;
	}
	say_number(out, ':', command == SADD ? added : (long long)e->count);
}

/* LPOP, RPOP, SPOP. */
static void
redis_pop(struct bytes *out, enum command command, const struct word *w)
{
	struct entry *e = entry_find(&w[1]);
	size_t place;

	if (!e) {
		say_nil(out);
		return;
	}
	place = command == LPOP ? 0 : e->count - 1;
	say_item(out, &e->items[place]);
	item_remove(e, place, 1);
	if (!e->count)
		entry_delete(&w[1]);
}

/* A place as the client counts it, from the end if negative, between 0 and count. */
static long long
place_clamp(long long place, size_t count)
{
	if (place < 0)
		place += (long long)count;
	if (place < 0)
		return 0;
	return place > (long long)count ? (long long)count : place;
}

static void
redis_range(struct bytes *out, const struct word *w)
{
	struct entry *e = entry_find(&w[1]);
	size_t count = e ? e->count : 0;
	long long from, to, i;

	if (word_number(&w[2], &from) < 0 || word_number(&w[3], &to) < 0) {
		say(out, "-ERR value is not an integer or out of range\r\n");
		return;
	}
	from = place_clamp(from, count);
	to = to < -(long long)count ? 0 : place_clamp(to, count) + 1;
	if (to > (long long)count)
		to = (long long)count;
	say_number(out, '*', to > from ? to - from : 0);
	for (i = from; i < to; i++)
		say_item(out, &e->items[i]);
}

static void
redis_index(struct bytes *out, const struct word *w)
{
	struct entry *e = entry_find(&w[1]);
	long long place;

	if (word_number(&w[2], &place) < 0) {
		say(out, "-ERR value is not an integer or out of range\r\n");
		return;
	}
	if (place < 0 && e)
		place += (long long)e->count;
	if (!e || place < 0 || place >= (long long)e->count)
		say_nil(out);
	else
		say_item(out, &e->items[place]);
}

/* KEYS: all of them if the pattern is *, else the one of that name. */
static void
redis_keys(struct bytes *out, const struct word *w)
{
	int all = word_is(&w[1], "*");
	struct entry *e;
	size_t i;

	say_number(out, '*', all ? (long long)entry_count : entry_find(&w[1]) != NULL);
	for (i = 0; i < BUCKETS; i++)
		for (e = buckets[i]; e; e = e->next)
			if (all || bytes_equal(&e->key, w[1].at, w[1].len))
				say_item(out, &e->key);
}

static void
password_add(char *text)
{
	if (own.password_count == sizeof(own.passwords) / sizeof(*own.passwords))
		die("too many passwords");
	own.passwords[own.password_count++] = text;
}

static void
redis_auth(struct bytes *out, struct conn *c, const struct word *w, int n)
{
	size_t i;

	if (!own.password_count) {
		say(out, "-ERR AUTH <password> called without any password configured for the "
			"default user. Are you sure your configuration is correct?\r\n");
		return;
	}
	c->authorized = 0;
	for (i = 0; i < own.password_count; i++)
		c->authorized |= word_is(&w[n - 1], own.passwords[i]);
	say(out, c->authorized ? "+OK\r\n" :
		"-WRONGPASS invalid username-password pair or user is disabled.\r\n");
}

/* What is about the server, not about keys. */
static void
redis_server(struct bytes *out, struct conn *c, enum command command,
	const struct word *w, int n)
{
	static const char info[] = "# Server\r\nredis_version:7.0.15\r\nfake:1\r\n"
		"# Replication\r\nrole:master\r\n";

	switch (command) {
	case AUTH: redis_auth(out, c, w, n); break;
	case COMMAND: case CONFIG: say(out, "*0\r\n"); break;
	case DBSIZE: say_number(out, ':', (long long)entry_count); break;
	case ECHO: say_bulk(out, w[1].at, w[1].len); break;
	case FLUSHALL: store_clear(); say(out, "+OK\r\n"); break;
	case INFO: say_text(out, info); break;
	case TIME: say(out, "*2\r\n"); say_text(out, "1700000000"); say_text(out, "0"); break;
	case PING:
		if (n > 1)
			say_bulk(out, w[1].at, w[1].len);
		else
			say(out, "+PONG\r\n");
		break;
	default: say(out, "+OK\r\n");
	}
}

static void
redis_run(struct bytes *out, struct conn *c, enum command command,
	const struct word *w, int n)
{
	static const char *const kinds[] = {"+string\r\n", "+list\r\n", "+hash\r\n", "+set\r\n"};
	struct entry *e = n > 1 ? entry_find(&w[1]) : NULL;
	int found = e != NULL;

	switch (command) {
	case APPEND: case GET: case GETDEL: case GETSET: case STRLEN: case SETNX:
		redis_string(out, command, w);
		break;
	case INCR: case INCRBY: case DECR: case DECRBY: redis_number(out, command, w); break;
	case SET_: redis_set(out, w, n); break;
	case SETEX: string_set(&w[1], w[3].at, w[3].len, 0); say(out, "+OK\r\n"); break;
	case DEL: case EXISTS: case MGET: case MSET: redis_many(out, command, w, n); break;
	case EXPIRE: case PERSIST: say_number(out, ':', command == EXPIRE && found); break;
	case TTL: say_number(out, ':', found ? -1 : -2); break;
	case TYPE: say(out, found ? kinds[e->kind] : "+none\r\n"); break;
	case HSET: case HMSET: redis_hash_set(out, command, w, n); break;
	case HINCRBY: redis_hash_increase(out, w); break;
	case HGET: case HMGET: case HEXISTS: redis_hash_get(out, command, w, n); break;
	case HDEL: redis_remove(out, 2, w, n); break;
	case SREM: redis_remove(out, 1, w, n); break;
	case HKEYS: redis_all(out, e, 0, 2); break;
	case HVALS: redis_all(out, e, 1, 2); break;
	case HGETALL: case SMEMBERS: redis_all(out, e, 0, 1); break;
	case HLEN: say_number(out, ':', found ? (long long)e->count / 2 : 0); break;
	case LLEN: case SCARD: say_number(out, ':', found ? (long long)e->count : 0); break;
	case LPUSH: case RPUSH: case SADD: redis_push(out, command, w, n); break;
	case LPOP: case RPOP: case SPOP: redis_pop(out, command, w); break;
	case LRANGE: redis_range(out, w); break;
	case LINDEX: redis_index(out, w); break;
	case SISMEMBER: say_number(out, ':', found && item_find(e, &w[2], 1) < e->count); break;
	case KEYS: redis_keys(out, w); break;
	default: redis_server(out, c, command, w, n);
	}
}

static void
redis_unknown(struct bytes *out, const struct word *w, int n)
{
	int i;

	say(out, "-ERR unknown command '");
	bytes_add(out, w[0].at, w[0].len);
	say(out, "', with args beginning with: ");
	for (i = 1; i < n; i++) {
		say(out, "'");
		bytes_add(out, w[i].at, w[i].len);
		say(out, "' ");
	}
	say(out, "\r\n");
}

static void
redis_answer(struct bytes *out, struct conn *c, const struct word *w, int n)
{
	const struct command_row *row = command_rows;
	const struct command_row *end = row + sizeof(command_rows) / sizeof(*row);

	while (row < end && !word_is(&w[0], row->name))
		row++;
	if (row == end) {
		redis_unknown(out, w, n);
	} else if ((row->arity > 0 && n != row->arity) || n < -row->arity ||
	    (row->command == MSET && n % 2 == 0) ||
	    ((row->command == HSET || row->command == HMSET) && n % 2)) {
		say(out, "-ERR wrong number of arguments for '");
		say(out, row->name);
		say(out, "' command\r\n");
	} else if (own.password_count && !c->authorized && row->command != AUTH) {
		say(out, "-NOAUTH Authentication required.\r\n");
	} else if (row->kind < 0 || !wrong_kind(out, entry_find(&w[1]), (enum kind)row->kind)) {
		redis_run(out, c, row->command, w, n);
	}
}

/* ---- memcached ------------------------------------------------------- */

static void
memcached_get(struct bytes *out, const struct word *w, int n, int with_cas)
{
	struct entry *e;
	char text[64];
	int i;

	for (i = 1; i < n; i++) {
		e = entry_find(&w[i]);
		if (!e)
			continue;
		say(out, "VALUE ");
		bytes_add(out, w[i].at, w[i].len);
		snprintf(text, sizeof(text), " %lu %zu", e->flags, e->items[0].len);
		say(out, text);
		if (with_cas) {
			snprintf(text, sizeof(text), " %llu", e->cas);
			say(out, text);
		}
		say(out, "\r\n");
		bytes_add(out, e->items[0].at, e->items[0].len);
		say(out, "\r\n");
	}
	say(out, "END\r\n");
}

/* Puts the data before or behind what is there. */
static void
memcached_join(struct entry *e, const struct word *data, int behind)
{
	struct bytes *item = &e->items[0], old = *item;

	if (behind) {
		bytes_add(item, data->at, data->len);
		return;
	}
	memset(item, 0, sizeof(*item));
	bytes_add(item, data->at, data->len);
	bytes_add(item, old.at, old.len);
	free(old.at);
}

/* set, add, replace, append, prepend, cas; data follows the words. */
static void
memcached_store(struct bytes *out, const struct word *w, const struct word *data)
{
	struct entry *e = entry_find(&w[1]);
	long long unique = 0, exptime = 0;

	if (word_is(&w[0], "cas")) {
		word_number(&w[5], &unique);
		if (!e || (unsigned long long)unique != e->cas) {
			say(out, e ? "EXISTS\r\n" : "NOT_FOUND\r\n");
			return;
		}
	} else if (!word_is(&w[0], "set") && word_is(&w[0], "add") == (e != NULL)) {
		say(out, "NOT_STORED\r\n");
		return;
	}
	if (word_is(&w[0], "append") || word_is(&w[0], "prepend")) {
		memcached_join(e, data, word_is(&w[0], "append"));
		e->cas = ++last_cas;
	} else {
		string_set(&w[1], data->at, data->len, strtoul(w[2].at, NULL, 10));
	}
	word_number(&w[3], &exptime);
	if (exptime < 0)
		entry_delete(&w[1]);
	say(out, "STORED\r\n");
}

static void
memcached_number(struct bytes *out, const struct word *w)
{
	struct entry *e = entry_find(&w[1]);
	unsigned long long value, by;
	struct word old;
	char text[32], *end;
	long long n;

	if (!e) {
		say(out, "NOT_FOUND\r\n");
		return;
	}
	by = strtoull(w[2].at, &end, 10);
	if (end != w[2].at + w[2].len || *w[2].at == '-') {
		say(out, "CLIENT_ERROR invalid numeric delta argument\r\n");
		return;
	}
	old.at = e->items[0].at;
	old.len = e->items[0].len;
	if (word_number(&old, &n) < 0 || n < 0) {
		say(out, "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n");
		return;
	}
	value = (unsigned long long)n;
	if (word_is(&w[0], "incr"))
		value += by;
	else
		value = value > by ? value - by : 0;
	snprintf(text, sizeof(text), "%llu", value);
	bytes_set(&e->items[0], text, strlen(text));
	e->cas = ++last_cas;
	say(out, text);
	say(out, "\r\n");
}

static void
memcached_stats(struct bytes *out)
{
	char text[96];

	snprintf(text, sizeof(text), "STAT pid %ld\r\nSTAT version 1.6.18\r\n"
		"STAT curr_items %zu\r\nEND\r\n", (long)getpid(), entry_count);
	say(out, text);
}

static void
memcached_answer(struct bytes *out, struct conn *c, const struct word *w, int n,
	const struct word *data)
{
	size_t before = out->len;

	if (n == 0) {
		say(out, "ERROR\r\n");
	} else if (data) {
		memcached_store(out, w, data);
	} else if ((word_is(&w[0], "get") || word_is(&w[0], "gets")) && n > 1) {
		memcached_get(out, w, n, w[0].len == 4);
	} else if ((word_is(&w[0], "gat") || word_is(&w[0], "gats")) && n > 2) {
		memcached_get(out, w + 1, n - 1, w[0].len == 4);
	} else if ((word_is(&w[0], "incr") || word_is(&w[0], "decr")) && n > 2) {
		memcached_number(out, w);
	} else if (word_is(&w[0], "delete") && n > 1) {
		say(out, entry_delete(&w[1]) ? "DELETED\r\n" : "NOT_FOUND\r\n");
	} else if (word_is(&w[0], "touch") && n > 2) {
		say(out, entry_find(&w[1]) ? "TOUCHED\r\n" : "NOT_FOUND\r\n");
		if (*w[2].at == '-')
			entry_delete(&w[1]);
	} else if (word_is(&w[0], "version")) {
		say(out, "VERSION 1.6.18\r\n");
	} else if (word_is(&w[0], "verbosity")) {
		say(out, "OK\r\n");
	} else if (word_is(&w[0], "mn")) {
		say(out, "MN\r\n");
	} else if (word_is(&w[0], "stats")) {
		memcached_stats(out);
	} else if (word_is(&w[0], "flush_all")) {
		store_clear();
		say(out, "OK\r\n");
	} else if (word_is(&w[0], "quit")) {
		c->fate = CLOSES;
	} else {
		say(out, "ERROR\r\n");
	}
	if (n > 1 && word_is(&w[n - 1], "noreply"))
		out->len = before;
}

/* ---- framing --------------------------------------------------------- */

/* A request taken apart; the words point into the connection's input. */
struct request {
	struct word *words;
	int count, room;
	struct word data; /* the block of a memcached storage command */
	int has_data;
	size_t len;
};

static void
request_add(struct request *r, char *at, size_t len)
{
	if (r->count == r->room) {
		r->room = r->room * 2 + 16;
		r->words = realloc(r->words, (size_t)r->room * sizeof(*r->words));
		if (!r->words)
			die("out of memory");
	}
	r->words[r->count].at = at;
	r->words[r->count++].len = len;
}

/* Splits a line at its blanks. */
static void
request_split(struct request *r, char *at, size_t len)
{
	char *end = at + len, *from;

	while (at < end) {
		while (at < end && (*at == ' ' || *at == '\r'))
			at++;
		for (from = at; at < end && *at != ' ' && *at != '\r'; at++)
			;
		if (at > from)
			request_add(r, from, (size_t)(at - from));
	}
}

/* The number behind a mark in a line that ends in CRLF; NULL if not all there. */
static char *
length_read(char *at, const char *end, long *n)
{
	char *lf = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;

	if (!lf)
		return NULL;
	*n = strtol(at + 1, NULL, 10);
	return lf + 1;
}

/* 1: a whole request, 0: more is needed. */
static int
redis_frame(struct request *r, struct bytes *in)
{
	char *at = in->at, *end = in->at + in->len, *lf;
	long words, len;

	if (*at != '*') {
		lf = memchr(at, '\n', in->len);
		if (!lf)
			return 0;
		request_split(r, at, (size_t)(lf - at));
		r->len = (size_t)(lf - at) + 1;
		return 1;
	}
	at = length_read(at, end, &words);
	while (at && words-- > 0) {
		at = length_read(at, end, &len);
		if (!at || len < 0 || end - at - 2 < len)
			return 0;
		request_add(r, at, (size_t)len);
		at += len + 2;
	}
	if (!at)
		return 0;
	r->len = (size_t)(at - in->at);
	return 1;
}

static int
memcached_stores(const struct request *r)
{
	static const char *const names[] = {"set", "add", "replace", "append", "prepend", "cas"};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (r->count >= 5 && word_is(&r->words[0], names[i]))
			return r->count >= 6 || strcmp(names[i], "cas");
	return 0;
}

static int
memcached_frame(struct request *r, struct bytes *in)
{
	char *lf = memchr(in->at, '\n', in->len);
	size_t len;

	if (!lf)
		return 0;
	request_split(r, in->at, (size_t)(lf - in->at));
	r->len = (size_t)(lf - in->at) + 1;
	if (!memcached_stores(r))
		return 1;
	len = strtoul(r->words[4].at, NULL, 10);
	if (in->len < r->len + len + 2)
		return 0;
	r->has_data = 1;
	r->data.at = lf + 1;
	r->data.len = len;
	r->len += len + 2;
	return 1;
}

static int
request_frame(struct request *r, struct bytes *in)
{
	r->count = r->has_data = 0;
	if (!in->len)
		return 0;
	return own.memcached ? memcached_frame(r, in) : redis_frame(r, in);
}

/* ---- connections ----------------------------------------------------- */

static void
note(const struct conn *c, const char *what, const char *at, size_t len)
{
	if (!own.notes)
		return;
	fprintf(own.notes, "%ld %s", c->id, what);
	if (at) {
		fputc(' ', own.notes);
		escape(own.notes, at, len);
	}
	fputc('\n', own.notes);
	fflush(own.notes);
}

static void
conn_end(struct conn *c)
{
	char unread[4096];

	note(c, "end", NULL, 0);
	if (c->fate == RESETS) {
		socket_reset(c->fd);
	} else {
		/* Closing with unread input would reset the connection. */
		shutdown(c->fd, SHUT_WR);
		while (read(c->fd, unread, sizeof(unread)) > 0)
			;
		close(c->fd);
	}
	free(c->in.at);
	free(c->out.at);
	memset(c, 0, sizeof(*c));
	c->fd = -1;
}

/* The deed of the first rule that fits this request, or NULL. */
static const struct deed *
rule_find(const char *at, size_t len)
{
	const struct rule *r;
	size_t i, text;

	for (r = own.rules; r < own.rules + own.rule_count; r++) {
		if (!r->text) {
			if (own.requests >= r->from && own.requests <= r->to)
				return &r->deed;
			continue;
		}
		text = strlen(r->text);
		for (i = 0; i + text <= len; i++)
			if (!memcmp(at + i, r->text, text))
				return &r->deed;
	}
	return NULL;
}

/* What a deed changes when the true answer is in the output from byte before on. */
static void
deed_do(struct conn *c, const struct deed *d, size_t before)
{
	size_t len = c->out.len - before;

	switch (d->action) {
	case SEND:
		c->out.len = before;
		bytes_add(&c->out, d->bytes.at, d->bytes.len);
		break;
	case BEFORE:
		bytes_add(&c->out, d->bytes.at, d->bytes.len);
		memmove(c->out.at + before + d->bytes.len, c->out.at + before, len);
		memcpy(c->out.at + before, d->bytes.at, d->bytes.len);
		break;
	case AFTER: bytes_add(&c->out, d->bytes.at, d->bytes.len); break;
	case CUT:
	case HALT:
		c->out.len = before + (len < (size_t)d->count ? len : (size_t)d->count);
		if (d->action == CUT)
			c->fate = CLOSES;
		else
			c->mute = 1;
		break;
	case DELAY:
		c->wait = now_ms() + d->count;
		c->hold = before;
		break;
	case DROP: c->out.len = before; break;
	case STALL: c->out.len = before; c->mute = 1; break;
	case HALF: c->fate = ENDS_OUTPUT; break;
	case CLOSE: c->out.len = before; c->fate = CLOSES; break;
	case RST: c->out.len = before; c->fate = RESETS; break;
	default: break;
	}
}

/* Answers one request from memory. */
static void
conn_answer(struct conn *c, const struct request *r, const char *at)
{
	const struct deed *deed;
	size_t before = c->out.len;

	own.requests++;
	note(c, "<", at, r->len);
	deed = rule_find(at, r->len);
	if (own.memcached)
		memcached_answer(&c->out, c, r->words, r->count, r->has_data ? &r->data : NULL);
	else if (r->count > 0)
		redis_answer(&c->out, c, r->words, r->count);
	if (c->mute)
		c->out.len = before;
	else if (deed)
		deed_do(c, deed, before);
}

/* The next step of the connection from place on, or step_count. */
static size_t
step_next(const struct conn *c, size_t place)
{
	long id = 0;
	size_t i;

	for (i = 0; i < own.step_count; i++)
		if (own.steps[i].conn == c->id)
			id = c->id;
	while (place < own.step_count && own.steps[place].conn != id)
		place++;
	return place;
}

/* Compares input with what the script expects: 1 it is all there, 0 not yet. */
static int
step_expect(struct conn *c, const struct step *s)
{
	const struct bytes *want = &s->deed.bytes;
	size_t len = c->in.len < want->len ? c->in.len : want->len;

	if (len && memcmp(c->in.at, want->at, len)) {
		fprintf(stderr, "connection %ld, script line %d: expected ", c->id, s->line);
		escape(stderr, want->at, want->len);
		fputs(" received ", stderr);
		escape(stderr, c->in.at, c->in.len);
		fputc('\n', stderr);
		own.failed = 1;
		c->fate = CLOSES;
		return 0;
	}
	if (len < want->len)
		return 0;
	note(c, "<", c->in.at, len);
	bytes_drop(&c->in, len);
	return 1;
}

/* Does steps until one has to wait. */
static void
conn_script(struct conn *c, struct request *r)
{
	const struct step *s;

	while (c->fate == STAYS && !c->mute && c->wait <= now_ms()) {
		c->step = step_next(c, c->step);
		if (c->step == own.step_count)
			return;
		s = &own.steps[c->step];
		if (s->deed.action == EXPECT && !step_expect(c, s))
			return;
		if (s->deed.action == REQUEST || s->deed.action == ANY_REPLY) {
			if (!request_frame(r, &c->in))
				return;
			note(c, "<", c->in.at, r->len);
			bytes_drop(&c->in, r->len);
			bytes_add(&c->out, s->deed.bytes.at, s->deed.bytes.len);
			if (s->deed.action == ANY_REPLY)
				continue;
		}
		if (s->deed.action == LOOP)
			c->step = 0;
		else
			c->step++;
		if (s->deed.action == STALL)
			c->deaf = 1;
		deed_do(c, &s->deed, c->out.len);
	}
}

static void
conn_think(struct conn *c)
{
	static struct request r;
	struct bytes rest = c->in;

	if (own.scripted) {
		conn_script(c, &r);
		return;
	}
	while (c->fate == STAYS && c->wait <= now_ms() && request_frame(&r, &rest)) {
		conn_answer(c, &r, rest.at);
		rest.at += r.len;
		rest.len -= r.len;
	}
	bytes_drop(&c->in, c->in.len - rest.len);
}

/* How much to write at once: all, or a random piece, more often a short one. */
static size_t
piece(size_t len)
{
	size_t some;

	if (!own.chop)
		return len;
	some = 1 + (size_t)rand() % ((size_t)1 << rand() % 15);
	return some < len ? some : len;
}

/* Writes what may be written. -1 when the connection is over. */
static int
conn_write(struct conn *c)
{
	size_t end = c->wait > now_ms() ? c->hold : c->out.len;
	ssize_t put;

	if (c->sent < end) {
		put = write(c->fd, c->out.at + c->sent, piece(end - c->sent));
		if (put < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -1;
		c->sent += (size_t)put;
	}
	if (c->sent < c->out.len)
		return 0;
	c->sent = c->hold = c->out.len = 0;
	if (c->fate == ENDS_OUTPUT) {
		shutdown(c->fd, SHUT_WR);
		c->fate = STAYS;
	}
	return c->fate == STAYS ? 0 : -1;
}

static int
conn_read(struct conn *c)
{
	ssize_t got;

	bytes_reserve(&c->in, 65536);
	got = read(c->fd, c->in.at + c->in.len, c->in.room - c->in.len);
	if (got <= 0)
		return got < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
	if (own.delay && !c->in.len && !c->out.len)
		c->wait = now_ms() + own.delay;
	c->in.len += (size_t)got;
	c->heard = now_ms();
	return 0;
}

/* ---- the loop -------------------------------------------------------- */

static struct conn *conns;
static struct pollfd *polls;
static size_t conn_room;

static struct conn *
conn_slot(void)
{
	size_t i;

	for (i = 0; i < conn_room; i++)
		if (conns[i].fd < 0)
			return &conns[i];
	conn_room = conn_room * 2 + 64;
	/* cppcheck-suppress memleakOnRealloc ; die below ends it all */
	conns = realloc(conns, conn_room * sizeof(*conns));
	/* cppcheck-suppress memleakOnRealloc ; the same */
	polls = realloc(polls, (conn_room + 1) * sizeof(*polls));
	if (!conns || !polls)
		die("out of memory");
	memset(conns + i, 0, (conn_room - i) * sizeof(*conns));
	for (; i < conn_room; i++)
		conns[i].fd = -1;
	return conn_slot();
}

static void
conn_accept(int ear)
{
	int fd = accept(ear, NULL, NULL), one = 1;
	struct conn *c;

	if (fd < 0)
		return;
	c = conn_slot();
	nonblocking(fd);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c->fd = fd;
	c->id = ++own.conns_seen;
	c->heard = now_ms();
	note(c, "open", NULL, 0);
	bytes_add(&c->out, own.greeting.at, own.greeting.len);
}

/* What to wait for, and until when at the latest. */
static short
conn_wants(const struct conn *c, long long now, long long *until)
{
	long long at = 0;

	if (c->fd >= 0 && c->wait > now)
		at = c->wait;
	else if (c->fd >= 0 && own.idle)
		at = c->heard + own.idle;
	if (at && (!*until || at < *until))
		*until = at;
	if (c->fd < 0 || c->deaf)
		return 0;
	if (c->wait > now)
		return (short)(POLLIN | (c->sent < c->hold ? POLLOUT : 0));
	return (short)(POLLIN | (c->out.len || c->fate != STAYS ? POLLOUT : 0));
}

static void
conn_turn(struct conn *c, short events)
{
	long long now = now_ms();
	int over = 0;

	if (events & (POLLIN | POLLERR | POLLHUP))
		over = conn_read(c) < 0;
	if (own.idle && now >= c->heard + own.idle && !c->out.len)
		over = 1;
	if (!over && !c->deaf)
		conn_think(c);
	if (!over && !c->deaf && conn_write(c) < 0)
		over = 1;
	if (over)
		conn_end(c);
}

static void
serve(int ear)
{
	long long until, now;
	size_t i, count;
	int n;

	while (!stop) {
		until = 0;
		now = now_ms();
		count = conn_room;
		for (i = 0; i < count; i++) {
			polls[i + 1].events = conn_wants(&conns[i], now, &until);
			polls[i + 1].fd = conns[i].deaf ? -1 : conns[i].fd;
			polls[i + 1].revents = 0;
		}
		polls[0].fd = ear;
		polls[0].events = POLLIN;
		polls[0].revents = 0;
		if (until && until < now)
			until = now;
		n = poll(polls, (nfds_t)count + 1, until ? (int)(until - now) : -1);
		if (n < 0)
			continue;
		for (i = 0; i < count; i++)
			if (conns[i].fd >= 0)
				conn_turn(&conns[i], polls[i + 1].revents);
		if (polls[0].revents)
			conn_accept(ear);
	}
}

/* ---- options and scripts --------------------------------------------- */

/* Reads "action argument" into d; *rest is changed. */
static void
deed_parse(struct deed *d, char *text, int in_script)
{
	char *argument = strchr(text, ' ');
	size_t i, count = sizeof(actions) / sizeof(*actions);

	if (argument)
		*argument++ = '\0';
	for (i = 1; i < count; i++)
		if (!strcmp(text, actions[i].name) &&
		    (in_script ? actions[i].in_script : actions[i].in_rule))
			break;
	if (i == count || (actions[i].argument != NONE) != (argument != NULL))
		die("what is \"%s %s\"?", text, argument ? argument : "");
	d->action = (enum action)i;
	if (actions[i].argument == BYTES)
		bytes_unescape(&d->bytes, argument);
	else if (actions[i].argument == COUNT)
		d->count = number(argument);
}

static void
rule_parse(char *text)
{
	struct rule *r = &own.rules[own.rule_count++];
	char *action, *end;

	if (own.rule_count >= sizeof(own.rules) / sizeof(*own.rules))
		die("too many rules");
	if (*text == '/') {
		r->text = text + 1;
		end = strchr(text + 1, '/');
		if (!end)
			die("rule: /text/ ends where?");
		*end = '\0';
		action = end + 1;
	} else if (*text == '*') {
		r->to = LONG_MAX;
		action = text + 1;
	} else {
		r->from = r->to = strtol(text, &action, 10);
		if (*action == '+') {
			r->to = LONG_MAX;
			action++;
		}
	}
	if (*action != ' ')
		die("rule: WHEN ACTION");
	deed_parse(&r->deed, action + 1, 0);
}

static void
script_read(const char *path)
{
	FILE *file = fopen(path, "r");
	char text[65536];
	long conn = 0;
	int line = 0;
	struct step *s;

	if (!file)
		die("%s: %s", path, strerror(errno));
	own.scripted = 1;
	while (fgets(text, sizeof(text), file)) {
		line++;
		text[strcspn(text, "\n")] = '\0';
		if (!*text || *text == '#')
			continue;
		if (!strncmp(text, "conn ", 5)) {
			conn = text[5] == '*' ? 0 : number(text + 5);
			continue;
		}
		own.steps = realloc(own.steps, (own.step_count + 1) * sizeof(*own.steps));
		if (!own.steps)
			die("out of memory");
		s = &own.steps[own.step_count++];
		memset(s, 0, sizeof(*s));
		s->conn = conn;
		s->line = line;
		deed_parse(&s->deed, text, 1);
	}
	fclose(file);
}

static void
on_signal(int sig)
{
	stop = sig;
}

static void
options_read(int argc, char **argv)
{
	int option, protocol = 0;

	while ((option = getopt(argc, argv, "m:f:w:c:d:i:a:u:x:")) != -1) {
		switch (option) {
		case 'm':
			protocol = *optarg;
			own.memcached = protocol == 'm';
			break;
		case 'f': script_read(optarg); break;
		case 'w':
			own.notes = fopen(optarg, "w");
			if (!own.notes)
				die("%s: %s", optarg, strerror(errno));
			break;
		case 'c':
			own.chop = 1;
			srand((unsigned)number(optarg));
			break;
		case 'd': own.delay = number(optarg); break;
		case 'i': own.idle = number(optarg); break;
		case 'a': password_add(optarg); break;
		case 'u': bytes_unescape(&own.greeting, optarg); break;
		case 'x': rule_parse(optarg); break;
		default: protocol = 0; optind = argc;
		}
	}
	if ((protocol != 'm' && protocol != 'r') || optind + 1 != argc) {
		fputs(usage, stderr);
		exit(2);
	}
}

int
main(int argc, char **argv)
{
	struct sigaction act = {.sa_handler = on_signal};
	int ear;

	options_read(argc, argv);
	sigemptyset(&act.sa_mask);
	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGINT, &act, NULL);
	signal(SIGPIPE, SIG_IGN);
	conn_slot();
	ear = address_listen(argv[optind]);
	if (own.notes) {
		fputs("ready\n", own.notes);
		fflush(own.notes);
	}
	serve(ear);
	if (*argv[optind] == '/')
		unlink(argv[optind]);
	return own.failed;
}
