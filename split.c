/* SPDX-License-Identifier: Apache-2.0 */
/*
 * split: one request over several server conns, several replies in one. The
 * keys of a request are grouped by the conn that serves them; each group is a
 * part. When all parts are answered, the replies are joined as the command's
 * row says.
 */
#include "proxy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

enum {
	ERROR_LINE = 256,
	INFO_WORDS = 4096, /* bytes */
};

/* Owner of a key that no live server has. */
static const uint32_t NO_PART = UINT32_MAX;

/* ---- group -------------------------------------------------------------------- */

/* The request that is being split. */
struct group {
	struct server_conn **conns; /* of each part */
	struct queue **to;          /* where it goes: conns[i]->conn.out, or
	                             * `refused` */
	uint32_t *counts;           /* keys of each part */
	size_t *before;             /* bytes queued for each conn before */
	uint32_t *owner;            /* part of each key */
	size_t nparts, room_parts, room_keys;
	struct queue refused;       /* what a conn would not answer in time */
	uint32_t *part_of;          /* by slot of a server: part + 1, or 0 */
	size_t room_slots;
	bool missing;               /* some key has no server */
};

static struct group group;

static void *grow(void *old, size_t *room, size_t want, size_t size)
{
	if (*room >= want)
		return old;
	*room = want;
	return xrealloc(old, want * size);
}

static void group_start(const struct pool *pool, size_t nkeys)
{
	size_t slots = pool->conf->nservers *
		(size_t)pool->conf->server_connections;
	size_t parts = nkeys < slots ? nkeys : slots;
	size_t before = group.room_slots;
	size_t room = group.room_parts, same_room = room, to_room = room;

	group.part_of = grow(group.part_of, &group.room_slots, slots,
		sizeof(uint32_t));
	if (group.room_slots > before)
		memset(group.part_of + before, 0,
			(group.room_slots - before) * sizeof(uint32_t));
	group.conns = grow(group.conns, &room, parts, sizeof(*group.conns));
	group.to = grow(group.to, &to_room, parts, sizeof(*group.to));
	group.before = grow(group.before, &same_room, parts,
		sizeof(*group.before));
	group.counts = grow(group.counts, &group.room_parts, parts,
		sizeof(uint32_t));
	group.owner = grow(group.owner, &group.room_keys, nkeys,
		sizeof(uint32_t));
	group.nparts = 0;
	group.missing = false;
}

/* The part of the server conn that has the hash; a new one if need be. */
static inline uint32_t group_part(struct client *c, struct server *s,
	uint32_t hash)
{
	uint32_t count = (uint32_t)c->pool->conf->server_connections;
	uint32_t slot = s->index * count + (count > 1 ? hash % count : 0);
	struct server_conn *sc;

	if (group.part_of[slot])
		return group.part_of[slot] - 1;
	sc = server_conn_for(s, hash, c->resp3);
	group.conns[group.nparts] = sc;
	group.to[group.nparts] = server_refuses(sc, c) ? &group.refused :
		&sc->conn.out;
	group.counts[group.nparts] = 0;
	group.part_of[slot] = (uint32_t)++group.nparts;
	return group.part_of[slot] - 1;
}

/* Find the part of each key: those at argv[at[i]], or without `at` the first. */
static void group_keys(struct client *c, const struct arg *argv,
	const uint32_t *at, size_t nkeys)
{
	group_start(c->pool, nkeys);
	for (size_t i = 0; i < nkeys; i++) {
		const struct arg *key = &argv[at ? at[i] : i];
		uint32_t hash, part = NO_PART;
		struct server *s = pool_route(c->pool, key->ptr, key->len, &hash);

		if (s) {
			part = group_part(c, s, hash);
			group.counts[part]++;
		}
		group.missing = group.missing || !s;
		group.owner[i] = part;
	}
	memset(group.part_of, 0, c->pool->conf->nservers * sizeof(uint32_t) *
		(size_t)c->pool->conf->server_connections);
}

void split_free_scratch(void)
{
	free(group.conns);
	free(group.to);
	free(group.counts);
	free(group.before);
	free(group.owner);
	free(group.part_of);
	group = (struct group){ 0 };
}

/* ---- the parts of a request -------------------------------------------------------- */

/* All that it needs is one piece of memory: five would be 3 % of an MGET. */
static struct split *split_new(struct request *r, enum join join, size_t nparts,
	size_t nkeys)
{
	size_t parts = nparts * (sizeof(struct part) + sizeof(struct reply));
	struct split *s = xmalloc(sizeof(*s) + parts +
		(nparts + nkeys) * sizeof(uint32_t));

	memset(s, 0, sizeof(*s) + parts);
	s->join = (uint8_t)join;
	s->resp3 = r->client && r->client->resp3;
	s->nparts = s->waiting = (uint32_t)nparts;
	s->nkeys = (uint32_t)nkeys;
	s->parts = (struct part *)(s + 1);
	s->replies = (struct reply *)(s->parts + nparts);
	s->counts = (uint32_t *)(s->replies + nparts);
	s->owner = s->counts + nparts;
	for (size_t i = 0; i < nparts; i++) {
		s->parts[i].request = r;
		s->parts[i].index = (uint32_t)i;
	}
	r->split = s;
	r->refs += (uint32_t)nparts;
	return s;
}

void split_free(struct split *s)
{
	if (!s)
		return;
	for (uint32_t i = 0; i < s->nparts; i++)
		reply_clear(&s->replies[i]);
	free(s->keys);
	free(s);
}

/* The request, with as many parts as were grouped. A single part that has all
 * the keys needs no joining. */
static struct request *group_request(struct client *c, enum join join,
	size_t nkeys)
{
	struct request *r = request_new(c);
	struct split *s;

	if (group.nparts == 1 && !group.missing) {
		r->refs++;
		return r;
	}
	s = split_new(r, join, group.nparts, nkeys);
	memcpy(s->counts, group.counts, group.nparts * sizeof(uint32_t));
	memcpy(s->owner, group.owner, nkeys * sizeof(uint32_t));
	c->pool->stats->fragments += group.nparts;
	return r;
}

static struct part *request_part(struct request *r, size_t i)
{
	return r->split ? &r->split->parts[i] : &r->part;
}

/* It goes to no server. */
static void part_refuse(struct part *part, const char *why)
{
	part_fail(part, why);
	part_release(part);
}

static void parts_begin(void)
{
	for (size_t i = 0; i < group.nparts; i++)
		group.before[i] = group.to[i]->bytes;
}

static void parts_push(struct client *c, struct request *r)
{
	for (size_t i = 0; i < group.nparts; i++) {
		struct part *part = request_part(r, i);

		if (group.to[i] == &group.refused) {
			part_refuse(part, error_text(ETIMEDOUT));
		} else {
			server_push(group.conns[i], part,
				group.to[i]->bytes - group.before[i], c);
		}
	}
	queue_clear(&group.refused);
}

static void join(struct request *r);

/* Keys without a server: misses if that is what the pool wants of reads. */
static bool answer_missing(struct client *c, bool read)
{
	if (!group.missing || (read && c->pool->conf->on_eject == EJECT_MISS))
		return false;
	client_error(c, "Connection refused");
	return true;
}

static size_t digits(size_t n)
{
	size_t count = 1;

	while (n >= 10) {
		n /= 10;
		count++;
	}
	return count;
}

/* "*3\r\n$4\r\nmget\r\n" */
static void put_header(struct queue *q, const struct command *cmd, size_t words)
{
	char text[64];
	size_t n = 0;

	text[n++] = '*';
	n += format_number(text + n, words);
	memcpy(text + n, "\r\n$", 3);
	n += 3;
	n += format_number(text + n, cmd->len);
	text[n++] = '\r';
	text[n++] = '\n';
	for (size_t i = 0; i < cmd->len; i++)
		text[n++] = (char)(cmd->name[i] | 0x20);
	text[n++] = '\r';
	text[n++] = '\n';
	queue_put(q, text, n);
}

void split_redis(struct client *c, const struct command *cmd,
	const struct arg *argv, const uint32_t *keys, size_t nkeys)
{
	size_t step = command_key_specs[cmd->keys]->step;
	struct request *r;

	group_keys(c, argv, keys, nkeys);
	if (answer_missing(c, cmd->flags & CMD_READ))
		return;
	r = group_request(c, cmd->join, nkeys);
	r->command = cmd;
	if (proxy.noting && group.nparts)
		request_note(r, &argv[0], &argv[keys[0]], group.conns[0]->server);
	parts_begin();
	for (size_t i = 0; i < group.nparts; i++)
		put_header(group.to[i], cmd,
			group.counts[i] * step + 1);
	for (size_t i = 0; i < nkeys; i++) {
		/* A key, and its value if it has one, lie side by side in the
		 * request and go on with their headers. */
		const struct arg *key = &argv[keys[i]];
		const struct arg *last = key + step - 1;
		const char *from = key->ptr - digits(key->len) - 3;

		if (group.owner[i] != NO_PART)
			queue_put(group.to[group.owner[i]], from,
				(size_t)(last->ptr + last->len + 2 - from));
	}
	parts_push(c, r);
	if (!group.nparts)
		join(r);
}

static void copy_keys(struct split *s, const struct arg *argv, size_t nkeys)
{
	size_t bytes = 0;
	char *text;

	for (size_t i = 0; i < nkeys; i++)
		bytes += argv[i].len;
	s->keys = xmalloc(nkeys * sizeof(*s->keys) + bytes);
	text = (char *)(s->keys + nkeys);
	for (size_t i = 0; i < nkeys; i++) {
		memcpy(text, argv[i].ptr, argv[i].len);
		s->keys[i].ptr = text;
		s->keys[i].len = argv[i].len;
		text += argv[i].len;
	}
}

void split_memcached(struct client *c, const struct mc_command *mc,
	const struct arg *argv, size_t argc, size_t first)
{
	size_t nkeys = argc - first;
	struct request *r;

	group_keys(c, argv + first, NULL, nkeys);
	if (answer_missing(c, true))
		return;
	r = group_request(c, JOIN_ARRAY, nkeys);
	r->mc = mc;
	if (proxy.noting && group.nparts)
		request_note(r, &argv[0], &argv[first], group.conns[0]->server);
	parts_begin();
	for (size_t i = 0; i < group.nparts; i++)
		for (size_t word = 0; word < first; word++) {
			struct queue *q = group.to[i];
			queue_put(q, argv[word].ptr, argv[word].len);
			queue_put(q, " ", 1);
		}
	for (size_t i = 0; i < nkeys; i++) {
		const struct arg *key = &argv[first + i];
		/* With the blank behind it, which only the last may lack. */
		bool blank = key->ptr[key->len] == ' ';
		struct queue *q;

		if (group.owner[i] == NO_PART)
			continue;
		q = group.to[group.owner[i]];
		queue_put(q, key->ptr, key->len + blank);
		if (!blank)
			queue_put(q, " ", 1);
	}
	for (size_t i = 0; i < group.nparts; i++)
		queue_put(group.to[i], "\r\n", 2);
	if (r->split)
		copy_keys(r->split, argv + first, nkeys);
	parts_push(c, r);
	if (!group.nparts)
		join(r);
}

void split_all(struct client *c, bool quiet, const struct command *cmd,
	const struct mc_command *mc, enum join how, const char *frame, size_t len)
{
	struct pool *pool = c->pool;
	struct request *r = request_new(quiet ? NULL : c);
	struct split *s = split_new(r, how, pool->conf->nservers, 0);

	/* The last part may be answered before this is over. */
	r->refs++;
	r->command = cmd;
	r->mc = mc;
	pool->stats->fragments += s->nparts;
	for (uint32_t i = 0; i < s->nparts; i++) {
		struct server_conn *sc;

		if (pool->servers[i]->ejected) {
			part_refuse(&s->parts[i], "Connection refused");
			continue;
		}
		sc = server_conn_for(pool->servers[i], 0, c->resp3);
		if (server_refuses(sc, c)) {
			part_refuse(&s->parts[i], error_text(ETIMEDOUT));
			continue;
		}
		queue_put(&sc->conn.out, frame, len);
		server_push(sc, &s->parts[i], len, c);
	}
	if (quiet)
		request_release(r);
	request_release(r);
}

/* SCAN: the cursor says which server is being scanned: cursor of the server
 * times number of servers, plus the server's index. */
void split_scan(struct client *c, const struct command *cmd,
	const struct arg *argv, size_t argc)
{
	uint64_t cursor, count = c->pool->conf->nservers;
	struct request *r;
	struct split *s;
	struct server_conn *sc;
	struct server *server;
	char text[64], number[20];
	size_t before, n;

	if (!parse_number(argv[1].ptr, argv[1].len, UINT64_MAX, &cursor)) {
		static const char bad[] = "-ERR invalid cursor\r\n";
		client_answer(c, bad, sizeof(bad) - 1);
		return;
	}
	server = c->pool->servers[cursor % count];
	/* Replicas hold the same: any of them may be the one to be scanned. */
	for (uint64_t i = 1; cursor == 0 && i < count && server->ejected &&
	     c->pool->conf->distribution == DIST_RANDOM; i++)
		server = c->pool->servers[i];
	if (server->ejected) {
		client_error(c, "Connection refused");
		return;
	}
	sc = server_conn_for(server, 0, c->resp3);
	if (server_refuses(sc, c)) {
		client_error(c, error_text(ETIMEDOUT));
		return;
	}
	r = request_new(c);
	r->command = cmd;
	s = split_new(r, JOIN_SCAN, 1, 0);
	s->scanned = server->index;
	s->servers = (uint32_t)count;
	before = sc->conn.out.bytes;
	n = format_number(number, cursor / count);
	n = (size_t)snprintf(text, sizeof(text),
		"*%zu\r\n$4\r\nscan\r\n$%zu\r\n%.*s\r\n", argc, n, (int)n, number);
	queue_put(&sc->conn.out, text, n);
	if (argc > 2) {
		const struct arg *last = &argv[argc - 1];
		const char *from = argv[2].ptr - digits(argv[2].len) - 3;
		queue_put(&sc->conn.out, from,
			(size_t)(last->ptr + last->len + 2 - from));
	}
	server_push(sc, &s->parts[0], sc->conn.out.bytes - before, c);
}

bool split_info(struct client *c, const struct arg *argv, size_t argc)
{
	static const char ask[] = "*2\r\n$4\r\ninfo\r\n$6\r\nserver\r\n";
	struct server *server = NULL;
	struct server_conn *sc;
	struct request *r;
	struct split *s;
	size_t bytes = 0;

	for (size_t i = 0; i < c->pool->conf->nservers && !server; i++)
		if (!c->pool->servers[i]->ejected)
			server = c->pool->servers[i];
	/* Names of sections are short: more of them are not kept meanwhile. */
	for (size_t i = 0; i < argc; i++)
		bytes += argv[i].len;
	if (!server || bytes > INFO_WORDS)
		return false;
	sc = server_conn_for(server, 0, c->resp3);
	if (server_refuses(sc, c))
		return false;
	r = request_new(c);
	s = split_new(r, JOIN_INFO, 1, 0);
	copy_keys(s, argv, argc);
	s->nkeys = (uint32_t)argc;
	queue_put(&sc->conn.out, ask, sizeof(ask) - 1);
	server_push(sc, &s->parts[0], sizeof(ask) - 1, c);
	return true;
}

/* ---- join ------------------------------------------------------------------------------ */

static bool reply_shape(const struct request *r, const struct part *part,
	enum reply_type type, const char *data)
{
	const struct split *s = r->split;
	int64_t count;

	if (type == REPLY_ERROR)
		return true;
	if (r->mc)
		return s->join == JOIN_ARRAY ? type == REPLY_VALUES :
			type == REPLY_STATUS;
	switch ((enum join)s->join) {
	case JOIN_ARRAY:
		if (type != REPLY_ARRAY || data[0] != '*')
			return false;
		redis_header(data, &count);
		return count == (int64_t)s->counts[part->index];
	case JOIN_SUM:
	case JOIN_MIN:
		return type == REPLY_INTEGER;
	case JOIN_OK:
		return type == REPLY_STATUS || type == REPLY_BULK;
	case JOIN_CONCAT:
	case JOIN_AND:
	case JOIN_SCAN:
		return type == REPLY_ARRAY && (data[0] == '*' || data[0] == '~');
	case JOIN_RANDOM:
		return type == REPLY_BULK || type == REPLY_NULL;
	case JOIN_LONGEST:
		return type == REPLY_ARRAY || type == REPLY_MAP;
	default:
		return true;
	}
}

static void answered(struct request *r)
{
	if (--r->split->waiting == 0)
		join(r);
}

bool split_reply(struct part *part, enum reply_type type, struct conn *from,
	size_t len)
{
	struct request *r = part->request;
	size_t have;

	if (!reply_shape(r, part, type, conn_input(from, &have))) {
		conn_consume(from, len);
		split_fail(part, strerror(EINVAL));
		return false;
	}
	reply_keep(&r->split->replies[part->index], type, from, len);
	r->client->held += len;
	answered(r);
	return true;
}

void split_fail(struct part *part, const char *reason)
{
	struct request *r = part->request;
	char line[ERROR_LINE];

	if (!r->client)
		return;
	request_count_error(r);
	reply_set(&r->split->replies[part->index], REPLY_ERROR, line,
		error_line(r->client->redis, reason, line, sizeof(line)));
	r->client->held += r->split->replies[part->index].len;
	answered(r);
}

/* What is put together, piece by piece. */
static void append(struct block *block, const char *bytes, size_t len)
{
	memcpy(block->data + block->end, bytes, len);
	block->end += len;
}

static struct block *array_start(size_t count, size_t room)
{
	struct block *block = block_try(room + 32);

	if (!block)
		return NULL;
	block->data[block->end++] = '*';
	block->end += format_number(block->data + block->end, count);
	append(block, "\r\n", 2);
	return block;
}

static size_t replies_bytes(const struct split *s)
{
	size_t total = 0;

	for (uint32_t i = 0; i < s->nparts; i++)
		total += s->replies[i].len;
	return total;
}

/* Room for a cursor into each reply. */
static size_t *cursors(const struct split *s)
{
	return xcalloc(s->nparts + 1, sizeof(size_t));
}

/* MGET: the next element of the part that has the key. */
static struct block *join_elements(struct request *r)
{
	const struct split *s = r->split;
	const char *null = s->resp3 ? "_\r\n" : "$-1\r\n";
	size_t null_len = strlen(null), *at;
	struct block *block = array_start(s->nkeys,
		replies_bytes(s) + s->nkeys * null_len);

	if (!block)
		return NULL;
	at = cursors(s);
	for (uint32_t i = 0; i < s->nparts; i++) {
		int64_t count;
		if (s->replies[i].type == REPLY_ARRAY)
			at[i] = redis_header(s->replies[i].ptr, &count);
	}
	for (uint32_t i = 0; i < s->nkeys; i++) {
		uint32_t part = s->owner[i];
		const struct reply *reply = &s->replies[part == NO_PART ? 0 : part];
		struct parse p = { 0 };

		if (part == NO_PART || reply->type == REPLY_ERROR) {
			append(block, null, null_len);
			continue;
		}
		/* The whole reply has been parsed before. */
		redis_reply(&p, reply->ptr + at[part], reply->len - at[part]);
		if (p.type != REPLY_BULK && p.type != REPLY_NULL) {
			block_free(block);
			block = NULL;
			break;
		}
		append(block, reply->ptr + at[part], p.pos);
		at[part] += p.pos;
	}
	free(at);
	return block;
}

/* get: the values in the order of the keys. A server leaves out what it does
 * not have, so each value is held against the key. */
static struct block *join_values(struct request *r)
{
	const struct split *s = r->split;
	struct block *block = block_try(replies_bytes(s) + 8);
	size_t *at;

	if (!block)
		return NULL;
	at = cursors(s);
	for (uint32_t i = 0; i < s->nkeys; i++) {
		uint32_t part = s->owner[i];
		const struct reply *reply;
		struct arg key, item;
		size_t next;

		if (part == NO_PART)
			continue;
		reply = &s->replies[part];
		next = at[part];
		if (reply->type != REPLY_VALUES ||
		    !memcached_value(reply->ptr, reply->len, &next, &key, &item))
			continue;
		if (key.len != s->keys[i].len ||
		    memcmp(key.ptr, s->keys[i].ptr, key.len) != 0)
			continue;
		append(block, item.ptr, item.len);
		at[part] = next;
	}
	free(at);
	append(block, "END\r\n", 5);
	return block;
}

/* ":123\r\n" as a number; false if it does not fit 64 bits. */
static bool integer(const char *text, int64_t *value)
{
	int64_t n = 0;
	bool negative = text[1] == '-';

	for (text += 1 + (negative || text[1] == '+'); *text != '\r'; text++) {
		int digit = *text - '0';
		if (n < (INT64_MIN + digit) / 10)
			return false;
		n = n * 10 - digit;
	}
	if (!negative && n == INT64_MIN)
		return false;
	*value = negative ? n : -n;
	return true;
}

static struct block *join_integers(const struct split *s)
{
	struct block *block = block_new(32);
	int64_t total = 0, value = 0;

	for (uint32_t i = 0; i < s->nparts; i++) {
		if (!integer(s->replies[i].ptr, &value))
			value = 0;
		/* Unsigned: whatever the servers say, it wraps. */
		if (s->join == JOIN_SUM)
			total = (int64_t)((uint64_t)total + (uint64_t)value);
		else if (i == 0 || value < total)
			total = value;
	}
	block->end = (size_t)snprintf(block->data, 32, ":%lld\r\n",
		(long long)total);
	return block;
}

static struct block *join_arrays(const struct split *s)
{
	struct block *block;
	int64_t total = 0, count = 0;

	for (uint32_t i = 0; i < s->nparts; i++) {
		redis_header(s->replies[i].ptr, &count);
		total += count;
	}
	block = array_start((size_t)total, replies_bytes(s));
	if (!block)
		return NULL;
	for (uint32_t i = 0; i < s->nparts; i++) {
		const struct reply *reply = &s->replies[i];
		size_t head = redis_header(reply->ptr, &count);
		append(block, reply->ptr + head, reply->len - head);
	}
	return block;
}

/* SCRIPT EXISTS: only what every server has is there. */
static struct block *join_and(const struct split *s)
{
	struct block *block = block_try(s->replies[0].len);

	if (!block)
		return NULL;
	append(block, s->replies[0].ptr, s->replies[0].len);
	for (uint32_t i = 1; i < s->nparts; i++) {
		const struct reply *reply = &s->replies[i];
		if (reply->len != block->end) {
			block_free(block);
			return NULL;
		}
		for (size_t at = 0; at < reply->len; at++)
			if (reply->ptr[at] < block->data[at])
				block->data[at] = reply->ptr[at];
	}
	return block;
}

/* SCAN: "*2\r\n$1\r\n5\r\n*..." with the cursor made the proxy's. */
static struct block *join_scan(struct request *r)
{
	const struct split *s = r->split;
	const struct reply *reply = &s->replies[0];
	uint64_t count = s->servers, cursor;
	int64_t elements, len;
	size_t head = redis_header(reply->ptr, &elements), bulk, n;
	struct block *block;
	char number[20];

	if (elements != 2 || reply->ptr[head] != '$')
		return NULL;
	bulk = redis_header(reply->ptr + head, &len);
	if (len < 0 || !parse_number(reply->ptr + head + bulk, (size_t)len,
	    UINT64_MAX / count - 1, &cursor))
		return NULL;
	if (cursor)
		cursor = cursor * count + s->scanned;
	else if (s->scanned + 1 < count &&
		 r->client->pool->conf->distribution != DIST_RANDOM)
		cursor = s->scanned + 1;
	n = format_number(number, cursor);
	block = block_try(reply->len + 32);
	if (!block)
		return NULL;
	block->end = (size_t)snprintf(block->data, 64, "*2\r\n$%zu\r\n", n);
	append(block, number, n);
	append(block, "\r\n", 2);
	head += bulk + (size_t)len + 2;
	append(block, reply->ptr + head, reply->len - head);
	return block;
}

/* The key of any server that has one, not always of the same. */
static struct reply *random_reply(struct split *s)
{
	/* A pool has servers. NOLINTNEXTLINE(clang-analyzer-core.DivideZero) */
	uint32_t first = (uint32_t)(proxy.loop.now_us % s->nparts);

	for (uint32_t i = 0; i < s->nparts; i++) {
		struct reply *reply = &s->replies[(first + i) % s->nparts];
		if (reply->type == REPLY_BULK)
			return reply;
	}
	return &s->replies[0];
}

static struct reply *longest_reply(struct split *s)
{
	struct reply *longest = &s->replies[0];

	for (uint32_t i = 1; i < s->nparts; i++)
		if (s->replies[i].len > longest->len)
			longest = &s->replies[i];
	return longest;
}

/* The part whose reply is the reply of all, or NULL if they are to be joined:
 * the first error, or the first success where one is enough. */
static struct reply *one_for_all(struct request *r)
{
	struct split *s = r->split;
	bool want_error = s->join != JOIN_ANY;

	if (s->join == JOIN_INFO)
		return NULL;
	if (s->join == JOIN_ARRAY && r->client->pool->conf->multiget_miss)
		return NULL;
	for (uint32_t i = 0; i < s->nparts; i++) {
		struct reply *reply = &s->replies[i];
		if ((reply->type == REPLY_ERROR) == want_error)
			return reply;
	}
	switch ((enum join)s->join) {
	case JOIN_OK:
	case JOIN_ANY:
		return &s->replies[0];
	case JOIN_RANDOM:
		return random_reply(s);
	case JOIN_LONGEST:
		return longest_reply(s);
	default:
		return NULL;
	}
}

/* NULL: some part has something that is not to be joined; or, with errno, there
 * is no memory for as much as they are together. */
static struct block *join_replies(struct request *r)
{
	struct split *s = r->split;

	switch ((enum join)s->join) {
	case JOIN_ARRAY:
		return r->mc ? join_values(r) : join_elements(r);
	case JOIN_SUM:
	case JOIN_MIN:
		return join_integers(s);
	case JOIN_CONCAT:
		return join_arrays(s);
	case JOIN_AND:
		return join_and(s);
	case JOIN_SCAN:
		return join_scan(r);
	case JOIN_INFO:
		return local_info(r->client->pool, s->resp3, s->keys, s->nkeys,
			s->replies[0].ptr, s->replies[0].len);
	default:
		return NULL;
	}
}

/* All parts are answered. */
static void join(struct request *r)
{
	struct reply *one = one_for_all(r);
	struct block *block;

	r->client->held -= replies_bytes(r->split);
	if (one && !one->block) {
		request_answer(r, one->ptr, one->len);
		return;
	}
	errno = EINVAL;
	if (one) {
		block = one->block;
		one->block = NULL;
	} else {
		block = join_replies(r);
	}
	if (block)
		request_answer_block(r, block);
	else
		request_fail(r, error_text(errno));
}
