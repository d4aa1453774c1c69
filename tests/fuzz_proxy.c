/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_proxy: the whole process between clients and servers that do what the
 * input says. Beside them a well-behaved client asks, whose every reply must be
 * the one that a server gave to that very request, or an error of the proxy's;
 * of the server that is well-behaved too it must be the right reply. In the
 * end each of its requests must have been answered.
 *
 * The input is a script: the first byte chooses a configuration, the second
 * some options, then come steps that end in 0xff, or in 0xfe if the proxy is
 * not to turn before the next. A step is a letter, a byte that says who or how
 * much, and for some letters bytes:
 *
 *   a WHO BYTES   a client sends these; it connects if it has not
 *   k WHO         a client closes; K: it says no more
 *   m WHO         a client stops to read, or goes on
 *   b WHAT ...    the well-behaved client asks, once for each byte
 *   s WHO BYTES   a server sends these
 *   r WHO         a server answers, as many as the byte's high bits say
 *   c WHO         a server closes a conn; w: it stops to read, or goes on
 *   d WHO         a server stops to listen; u: goes on
 *   t MUCH        time passes; p: turns
 *   o WHICH       another configuration is loaded
 *   z WHO BYTES   somebody asks for the statistics
 */
#include "fuzz_backend.h"

enum { CLIENTS = 4, ASK_KEYS = 4, ASKS = 64, PATIENCE = 400 };

static struct backend servers[3] = {
	{ .name = "h", .listener = -1 }, { .name = "x", .listener = -1 },
	{ .name = "y", .listener = -1 },
};
static struct end clients[CLIENTS], reader;
static bool redis;

/* ---- configurations ----------------------------------------------------------- */

#define CONF(lines) "pool:\n  listen: @/pool\n  hash: fnv1a_64\n" \
	"  hash_tag: \"{}\"\n  distribution: ketama\n" lines \
	"  servers:\n  - @/h:1 h\n  - @/x:1 x\n  - @/y:1 y\n"
#define EJECT "  auto_eject_hosts: true\n  server_failure_limit: 1\n" \
	"  server_retry_timeout: 200\n"
#define TIGHT "  client_max_requests: 4\n  client_max_unread: 4096\n" \
	"  server_max_queue: 4096\n  multiget_errors: miss\n  on_eject: miss\n"

enum { CONFS = 8 };

/* Four for each protocol. */
static const char *const confs[CONFS] = {
	CONF("  redis: true\n  timeout: 400\n"),
	CONF("  redis: true\n  timeout: 100\n  server_connections: 2\n" EJECT),
	CONF("  redis: true\n  redis_auth: secret\n  redis_db: 1\n"
		"  preconnect: true\n  client_idle_timeout: 3000000\n"),
	CONF("  redis: true\n  timeout: 1000\n  cross_server: allow\n"
		EJECT TIGHT),
	CONF("  timeout: 400\n"),
	CONF("  timeout: 100\n  server_connections: 2\n" EJECT),
	CONF("  preconnect: true\n  allow_flush: true\n  on_eject: error\n" EJECT),
	CONF("  timeout: 1000\n" EJECT TIGHT),
};

/* For each of them and each server, a tag that goes to it. */
static char tags[CONFS][3][8];

static void find_tags(unsigned conf)
{
	world_start(conf);
	for (unsigned i = 0, found = 0; found != 7; i++) {
		uint32_t hash;
		char tag[8];
		int len = snprintf(tag, sizeof(tag), "{%u}", i);
		const struct server *s = pool_route(proxy.pools[0], tag,
			(size_t)len, &hash);

		for (unsigned k = 0; k < 3; k++)
			if (strcmp(s->conf->name, servers[k].name) == 0 &&
			    !(found & 1u << k)) {
				found |= 1u << k;
				memcpy(tags[conf][k], tag, sizeof(tag));
			}
	}
	world_end();
}

/* ---- the well-behaved client ------------------------------------------------------ */

/* A quiet one may go without a reply; the no-op behind it tells. */
enum ask_kind {
	ASK_AUTH, ASK_HELLO, ASK_ONE, ASK_MANY, ASK_SUM, ASK_QUIET, ASK_NOOP,
};

struct ask {
	enum ask_kind kind;
	unsigned nkeys;
	char keys[ASK_KEYS][40];
	unsigned where[ASK_KEYS]; /* index of the server */
	bool only_good;           /* the well-behaved server has all the keys */
	struct text honest;       /* the right reply */
};

static struct {
	struct end end;
	struct parse parse;
	size_t read;              /* of end.in */
	struct ask asks[ASKS];
	size_t asked, answered;
	uint64_t token;           /* so that no other client knows the keys */
	unsigned conf;            /* that the tags are of */
	bool may_miss;            /* a configuration turned errors into misses */
} good;

static void ask_key(struct ask *a, unsigned where, char size)
{
	snprintf(a->keys[a->nkeys], sizeof(a->keys[0]), "%sb%zu-%u.%08x.%c",
		tags[good.conf][where], good.asked, a->nkeys,
		(unsigned)good.token, size);
	a->where[a->nkeys++] = where;
	a->only_good = a->only_good && where == 0;
}

/* The words of a request, and for memcached a block of data (or NULL). */
static void ask_words(struct ask *a, const struct arg *argv, size_t argc,
	const struct text *data, struct text *out)
{
	if (redis) {
		text_printf(out, "*%zu\r\n", argc);
		for (size_t i = 0; i < argc; i++) {
			text_printf(out, "$%zu\r\n", argv[i].len);
			text_add(out, argv[i].ptr, argv[i].len);
			text_add(out, "\r\n", 2);
		}
		honest_redis(argv, argc, &a->honest);
		return;
	}
	for (size_t i = 0; i < argc; i++) {
		text_add(out, argv[i].ptr, argv[i].len);
		text_add(out, i + 1 < argc ? " " : "\r\n", i + 1 < argc ? 1 : 2);
	}
	if (data) {
		text_add(out, data->ptr, data->len);
		text_add(out, "\r\n", 2);
	}
	honest_memcached(argv, argc, &a->honest);
}

static struct arg word(const char *text)
{
	return (struct arg){ text, strlen(text) };
}

static void ask_redis(struct ask *a, unsigned what, struct text *out)
{
	static const char *const one[] = { "get", "incr", "GET", "set" };
	static const char *const many[] = { "mget", "del", "MGET", "mset" };
	struct arg argv[1 + 2 * ASK_KEYS];
	const char *name = (a->kind == ASK_ONE ? one : many)[what];
	struct text value = { 0 };
	size_t argc = 0;

	argv[argc++] = word(name);
	for (unsigned i = 0; i < a->nkeys; i++) {
		argv[argc++] = word(a->keys[i]);
		if (what != 3)
			continue;
		if (!value.len)
			value_of(&argv[argc - 1], &value);
		argv[argc++] = (struct arg){ value.ptr, value.len };
	}
	ask_words(a, argv, argc, NULL, out);
	text_free(&value);
}

static void ask_memcached(struct ask *a, unsigned what, struct text *out)
{
	static const char *const one[] = { "get", "incr", "mg", "set" };
	struct arg argv[1 + ASK_KEYS];
	struct text value = { 0 };
	char length[16];
	size_t argc = 0;

	argv[argc++] = word(a->kind == ASK_MANY ? what % 2 ? "gets" : "get" :
		one[what]);
	for (unsigned i = 0; i < a->nkeys; i++)
		argv[argc++] = word(a->keys[i]);
	if (a->kind != ASK_MANY && what == 1)
		argv[argc++] = word("1");
	if (a->kind != ASK_MANY && what == 2)
		argv[argc++] = word("v");
	if (a->kind != ASK_MANY && what == 3) {
		value_of(&argv[1], &value);
		snprintf(length, sizeof(length), "%zu", value.len);
		argv[argc++] = word("0");
		argv[argc++] = word("0");
		argv[argc++] = word(length);
	}
	ask_words(a, argv, argc, value.len ? &value : NULL, out);
	if (a->kind == ASK_QUIET) {
		out->len -= 2;
		text_printf(out, " q\r\n");
	}
	text_free(&value);
}

static struct ask *ask_new(enum ask_kind kind)
{
	struct ask *a = &good.asks[good.asked];

	memset(a, 0, sizeof(*a));
	a->only_good = true;
	a->kind = kind;
	return a;
}

static void ask_noop(struct text *out)
{
	struct ask *a = ask_new(ASK_NOOP);

	text_printf(&a->honest, "MN\r\n");
	text_printf(out, "mn\r\n");
	good.asked++;
}

/* Bits 0 and 1: the command; 2 to 4: how many keys; from 4 on: which servers; 6
 * and 7: large values, or a quiet mg. */
static void ask(unsigned char what, struct text *out)
{
	unsigned keys = (what >> 2 & 7) % (ASK_KEYS + 1);
	char size = what >= 224 ? 'l' : what >= 192 ? 'm' : 's';
	struct ask *a;

	if (good.asked + 2 > ASKS)
		return;
	a = ask_new(keys < 2 ? ASK_ONE : redis && (what & 3) == 1 ? ASK_SUM :
		ASK_MANY);
	if (!redis && keys < 2 && (what & 3) == 2 && what >> 6 == 2)
		a->kind = ASK_QUIET;
	if (keys < 2)
		ask_key(a, (what >> 4) % 3, size);
	else
		for (unsigned i = 0; i < keys; i++)
			ask_key(a, (i + (what >> 5)) % 3, i ? 's' : size);
	if (redis)
		ask_redis(a, what & 3, out);
	else
		ask_memcached(a, what & 3, out);
	good.asked++;
	if (a->kind == ASK_QUIET)
		ask_noop(out);
}

/* ---- its replies --------------------------------------------------------------------- */

static bool same(const struct arg *a, const char *ptr, size_t len)
{
	/* cppcheck-suppress uninitvar ; what counts the bytes has written them */
	return a->len == len && memcmp(a->ptr, ptr, len) == 0;
}

/* Where the word stands in the text, with blanks around it; NULL: nowhere. */
static const char *find_word(const struct arg *text, const char *wanted)
{
	size_t len = strlen(wanted);
	const char *s = text->ptr, *end = text->ptr + text->len;

	while (s < end && (s = memchr(s, *wanted, (size_t)(end - s)))) {
		if ((size_t)(end - s) > len && memcmp(s, wanted, len) == 0 &&
		    s > text->ptr && s[-1] <= ' ' && s[len] <= ' ')
			return s;
		s++;
	}
	return NULL;
}

/* What a server said to the request that has the key, in turn; any: it cannot
 * be known. */
struct said {
	struct arg frame;
	bool any;
};

static bool next_said(const char *key, size_t *at, struct said *said)
{
	size_t n = 0;

	for (unsigned k = 0; k < 3; k++)
		for (size_t i = 0; i < servers[k].nconns; i++) {
			const struct backend_conn *c = servers[k].conns[i];
			for (size_t j = 0; j < c->nunits; j++) {
				const struct unit *u = &c->units[j];
				struct arg request = { c->end.in.ptr + u->at,
					u->len };

				if (n++ < *at || !find_word(&request, key))
					continue;
				*at = n;
				said->any = c->murky;
				said->frame = (struct arg){ u->frame_len ?
					c->end.out.ptr + u->frame_at : "",
					u->frame_len };
				return true;
			}
		}
	return false;
}

static bool is_said(const char *key, const struct arg *reply)
{
	struct said said;
	size_t at = 0;

	while (next_said(key, &at, &said))
		if (said.any || (reply->len &&
		    same(&said.frame, reply->ptr, reply->len)))
			return true;
	return false;
}

static bool proxy_error(const struct arg *reply)
{
	static const int errors[] = { ECONNREFUSED, ETIMEDOUT, EINVAL,
		ECONNRESET, EPIPE, EAGAIN, EMFILE, ENOENT };
	static const char *const texts[] = { "unknown", "Connection refused",
		"Server refused AUTH, HELLO or SELECT" };
	char line[256];

	for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++)
		if (same(reply, line, error_line(redis,
		    error_text(errors[i]), line, sizeof(line))))
			return true;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		if (same(reply, line, error_line(redis, texts[i], line,
		    sizeof(line))))
			return true;
	return false;
}

static bool is_miss(const struct arg *reply)
{
	static const char *const misses[] = { "$-1\r\n", "_\r\n", "END\r\n",
		"EN\r\n" };

	for (size_t i = 0; i < 4 && good.may_miss; i++)
		if (same(reply, misses[i], strlen(misses[i])))
			return true;
	return false;
}

/* An element of a server's array reply to a part that has the key. */
static bool is_said_element(const char *key, const struct arg *element)
{
	struct said said;
	size_t at = 0;

	while (next_said(key, &at, &said)) {
		struct parse p;
		int64_t count = 0;
		size_t pos;

		if (said.any)
			return true;
		if (!said.frame.len || *said.frame.ptr != '*')
			continue;
		for (pos = redis_header(said.frame.ptr, &count); count > 0;
		     count--, pos += p.pos) {
			parse_reset(&p);
			must(redis_reply(&p, said.frame.ptr + pos,
				said.frame.len - pos) == PARSE_DONE);
			if (same(element, said.frame.ptr + pos, p.pos))
				return true;
		}
	}
	return false;
}

static bool is_element(const struct ask *a, unsigned i, const struct arg *element)
{
	struct arg key = word(a->keys[i]);
	struct text honest = { 0 };
	bool good_one;

	put_value(&key, &honest);
	good_one = same(element, honest.ptr, honest.len);
	text_free(&honest);
	if (good_one || a->where[i] == 0)
		return good_one;
	return is_miss(element) || is_said_element(a->keys[i], element);
}

static bool is_array(const struct ask *a, const struct arg *reply)
{
	int64_t count = 0;
	size_t pos;

	if (*reply->ptr != '*')
		return false;
	pos = redis_header(reply->ptr, &count);
	if (count != (int64_t)a->nkeys)
		return false;
	for (unsigned i = 0; i < a->nkeys; i++) {
		struct parse p = { 0 };
		struct arg element = { reply->ptr + pos, 0 };

		must(redis_reply(&p, element.ptr, reply->len - pos) ==
			PARSE_DONE);
		element.len = p.pos;
		if (!is_element(a, i, &element))
			return false;
		pos += p.pos;
	}
	return true;
}

/* A value that a server sent in its reply to a part that has the key. */
static bool is_said_item(const char *key, const struct arg *item)
{
	struct said said;
	size_t at = 0;

	while (next_said(key, &at, &said)) {
		struct arg other, name;
		size_t pos = 0;

		if (said.any)
			return true;
		while (said.frame.len && memcached_value(said.frame.ptr,
		    said.frame.len, &pos, &name, &other))
			if (same(item, other.ptr, other.len))
				return true;
	}
	return false;
}

/* Values in the order of the keys; those of the well-behaved server are there. */
static bool is_values(const struct ask *a, const struct arg *reply, bool cas)
{
	struct arg key, item;
	size_t pos = 0;
	bool more = memcached_value(reply->ptr, reply->len, &pos, &key, &item);

	for (unsigned i = 0; i < a->nkeys; i++) {
		struct arg wanted = word(a->keys[i]);
		struct text honest = { 0 };
		bool right;

		if (!more || !same(&key, wanted.ptr, wanted.len)) {
			if (a->where[i] == 0)
				return false;
			continue;
		}
		put_item(&wanted, cas, &honest);
		right = same(&item, honest.ptr, honest.len);
		text_free(&honest);
		if (!right && (a->where[i] == 0 ||
		    !is_said_item(a->keys[i], &item)))
			return false;
		more = memcached_value(reply->ptr, reply->len, &pos, &key, &item);
	}
	return !more && same(&(struct arg){ reply->ptr + pos,
		reply->len - pos }, "END\r\n", 5);
}

static bool is_right(const struct ask *a, const struct arg *reply)
{
	bool one = a->kind == ASK_ONE || a->kind == ASK_QUIET;

	if (same(reply, a->honest.ptr, a->honest.len))
		return true;
	if (a->only_good)
		return false;
	if (proxy_error(reply) || (one && is_miss(reply)))
		return true;
	for (unsigned i = 0; i < a->nkeys; i++)
		if (a->where[i] && (one || *reply->ptr != (redis ? '*' : 'V')) &&
		    is_said(a->keys[i], reply))
			return true;
	if (a->kind == ASK_SUM)
		return *reply->ptr == ':';
	if (a->kind != ASK_MANY)
		return false;
	return redis ? is_array(a, reply) : is_values(a, reply, false) ||
		is_values(a, reply, true);
}

static void show(const char *what, const struct arg *text)
{
	fprintf(stderr, "%s: ", what);
	for (size_t i = 0; i < text->len && i < 300; i++)
		fprintf(stderr, text->ptr[i] >= ' ' && text->ptr[i] <= '~' ?
			"%c" : "\\x%02x", (unsigned char)text->ptr[i]);
	fprintf(stderr, "\n");
}

/* What the servers got and what they said, for whoever looks into a finding. */
static void show_servers(void)
{
	for (unsigned k = 0; k < 3; k++)
		for (size_t i = 0; i < servers[k].nconns; i++) {
			const struct backend_conn *c = servers[k].conns[i];

			fprintf(stderr, "%s, conn %zu%s%s:\n", servers[k].name,
				i, c->broken ? ", broken" : "",
				c->murky ? ", murky" : "");
			for (size_t j = 0; j < c->nunits; j++) {
				const struct unit *u = &c->units[j];
				show("  got", &(struct arg){ c->end.in.ptr +
					u->at, u->len });
				if (u->frame_len)
					show("  said", &(struct arg){
						c->end.out.ptr + u->frame_at,
						u->frame_len });
			}
		}
}

static void check_replies(void)
{
	while (good.read < good.end.in.len) {
		struct arg reply = { good.end.in.ptr + good.read, 0 };
		size_t left = good.end.in.len - good.read;
		enum parse_result result = redis ?
			redis_reply(&good.parse, reply.ptr, left) :
			memcached_reply(&good.parse, reply.ptr, left);
		const struct ask *a = &good.asks[good.answered];

		must(result != PARSE_BAD);
		if (result == PARSE_MORE)
			return;
		/* Never more than it asked. */
		must(good.answered < good.asked);
		reply.len = good.parse.pos;
		/* The good server has all that is asked for. */
		if (a->kind == ASK_QUIET && !a->only_good &&
		    same(&reply, "MN\r\n", 4)) {
			good.answered++;
			a++;
		}
		if (a->kind != ASK_HELLO && !is_right(a, &reply)) {
			show("wrong reply", &reply);
			show("right reply",
				&(struct arg){ a->honest.ptr, a->honest.len });
			show_servers();
			abort();
		}
		good.read += reply.len;
		good.answered++;
		parse_reset(&good.parse);
	}
	must(!good.end.eof);
}

static void good_send(const struct text *out)
{
	end_send(&good.end, out->ptr, out->len);
}

static void good_start(unsigned options)
{
	struct text out = { 0 };

	good.end = (struct end){ .fd = world_connect("pool") };
	must(good.end.fd >= 0);
	if (proxy.pools[0]->conf->redis_auth) {
		text_printf(&ask_new(ASK_AUTH)->honest, "+OK\r\n");
		good.asked++;
		text_printf(&out, "*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n");
	}
	if (redis && options & 1) {
		ask_new(ASK_HELLO);
		good.asked++;
		text_printf(&out, "*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n");
	}
	good_send(&out);
	text_free(&out);
}

static void good_end(void)
{
	for (size_t i = 0; i < good.asked; i++)
		text_free(&good.asks[i].honest);
	good.asked = good.answered = good.read = 0;
	parse_reset(&good.parse);
	end_free(&good.end);
}

/* ---- the others ---------------------------------------------------------------------- */

/* How many replies what the client sent may get at most. */
static size_t replies_due(const struct text *sent, size_t len)
{
	static struct arg argv[32768];
	size_t at = 0, count = 0;

	if (!redis) {
		for (; at < len; at++)
			count += sent->ptr[at] == '\n';
		return count + 1;
	}
	while (at < len) {
		struct parse p = { 0 };
		/* Quotes are taken off in place: not from what is kept. */
		char *copy = alone(sent->ptr + at, len - at);
		enum parse_result result = redis_request(&p, copy, len - at,
			argv, 32768);

		free(copy);
		/* An error for what is malformed, or too long before AUTH. */
		if (result != PARSE_DONE)
			return count + 1;
		count += p.argc > 0;
		at += p.pos;
	}
	return count;
}

/* All that a client gets is well-formed, and no more than it asked for. */
static void check_client(struct end *c)
{
	size_t at = 0, count = 0;

	if (c->fd < 0)
		return;
	end_read(c);
	while (at < c->in.len) {
		struct parse p = { 0 };
		const char *data = c->in.ptr + at;
		enum parse_result result = redis ?
			redis_reply(&p, data, c->in.len - at) :
			memcached_reply(&p, data, c->in.len - at);

		must(result != PARSE_BAD);
		if (result == PARSE_MORE)
			break;
		at += p.pos;
		count++;
	}
	must(count <= replies_due(&c->out, c->written));
}

static void pump(void)
{
	world_turn();
	for (unsigned i = 0; i < 3; i++)
		backend_pump(&servers[i], i == 0);
	for (unsigned i = 0; i < CLIENTS; i++) {
		end_write(&clients[i]);
		end_read(&clients[i]);
	}
	end_read(&reader);
	end_write(&good.end);
	end_read(&good.end);
	check_replies();
}

/* Until nothing moves; what fills the buffer of a socket takes some turns. */
static void settle(void)
{
	for (int i = 0, still = 0; i < PATIENCE && still < 8; i++) {
		world_moved = 0;
		pump();
		still = world_moved ? 0 : still + 1;
	}
}

static void client_step(char letter, unsigned who, const uint8_t *data,
	size_t len)
{
	struct end *c = &clients[who % CLIENTS];

	if (letter == 'a') {
		if (c->fd < 0)
			c->fd = world_connect("pool");
		/* What it could not send it does not send later. */
		if (c->fd >= 0 && c->written == c->out.len)
			end_send(c, data, len);
	} else if (c->fd < 0) {
		return;
	} else if (letter == 'm') {
		c->mute = !c->mute;
	} else if (letter == 'K') {
		shutdown(c->fd, SHUT_WR);
	} else {
		check_client(c);
		end_free(c);
	}
}

static struct backend_conn *conn_at(struct backend *b, unsigned who)
{
	size_t open = 0;

	for (size_t i = 0; i < b->nconns; i++)
		open += b->conns[i]->end.fd >= 0;
	if (!open)
		return NULL;
	who %= open;
	for (size_t i = 0;; i++)
		if (b->conns[i]->end.fd >= 0 && who-- == 0)
			return b->conns[i];
}

static void listen_step(struct backend *b, bool on)
{
	if (on && b->listener < 0)
		b->listener = world_listen(b->name);
	if (!on && b->listener >= 0) {
		backend_accept(b);
		close(b->listener);
		b->listener = -1;
	}
}

/* Bit 0: which server; 1 and 2: which of its conns; from 3 on: how many. */
static void server_step(char letter, unsigned who, const uint8_t *data,
	size_t len)
{
	struct backend *b = &servers[1 + who % 2];
	struct backend_conn *c;
	unsigned count = 1 + (who >> 3);

	if (letter == 'd' || letter == 'u') {
		listen_step(b, letter == 'u');
		return;
	}
	backend_accept(b);
	c = conn_at(b, who >> 1 & 3);
	if (!c)
		return;
	switch (letter) {
	case 's':
		backend_send(b, c, data, len);
		break;
	case 'c':
		end_close(&c->end);
		break;
	case 'w':
		c->end.mute = !c->end.mute;
		break;
	default:
		end_read(&c->end);
		backend_parse(b, c);
		while (count-- && c->answered < c->nunits)
			backend_answer(b, c, c->answered);
	}
}

static void ask_step(const uint8_t *data, size_t len)
{
	struct text out = { 0 };

	while (len--)
		ask(*data++, &out);
	good_send(&out);
	text_free(&out);
}

static void reload_step(unsigned which)
{
	which = (redis ? 0 : 4) + which % 4;
	world_conf_use(which);
	reload();
	good.may_miss = good.may_miss || strstr(confs[which], "miss");
	must(!proxy.reload_failed);
}

static void read_stats(const uint8_t *data, size_t len)
{
	if (reader.eof)
		end_free(&reader);
	if (reader.fd < 0)
		reader.fd = world_connect("stats");
	if (reader.fd >= 0)
		end_send(&reader, data, len);
}

static void step(const uint8_t *data, size_t len)
{
	unsigned char arg = len > 1 ? data[1] : 0;
	const uint8_t *rest = data + 2;
	size_t left = len > 2 ? len - 2 : 0;

	switch (len ? data[0] : 0) {
	case 'a': case 'k': case 'K': case 'm':
		client_step((char)data[0], arg, rest, left);
		break;
	case 's': case 'r': case 'c': case 'w': case 'd': case 'u':
		server_step((char)data[0], arg, rest, left);
		break;
	case 'b':
		ask_step(data + 1, len - 1);
		break;
	case 't':
		/* The good server is not to be late. */
		settle();
		world_us += (uint64_t)1000 << arg % 16;
		break;
	case 'p':
		for (int i = arg % 8; i >= 0; i--)
			pump();
		break;
	case 'o':
		reload_step(arg);
		break;
	case 'z':
		read_stats(rest, left);
		break;
	}
}

/* ---- a run ------------------------------------------------------------------------------ */

static void open_once(void)
{
	if (!world_open())
		return;
	world_tick = 1;
	for (unsigned i = 0; i < CONFS; i++)
		world_conf(i, confs[i]);
	for (unsigned i = 0; i < CLIENTS; i++)
		clients[i].fd = -1;
	reader.fd = good.end.fd = -1;
	for (unsigned i = 0; i < 3; i++)
		listen_step(&servers[i], true);
	for (unsigned i = 0; i < CONFS; i++)
		find_tags(i);
}

/* From here on every server does its best: the well-behaved client must get
 * what it still waits for. */
static void answer_all(void)
{
	for (unsigned i = 1; i < 3; i++) {
		backend_accept(&servers[i]);
		for (size_t j = 0; j < servers[i].nconns; j++)
			end_close(&servers[i].conns[j]->end);
		listen_step(&servers[i], true);
	}
	for (int still = 0; still < 20 && good.answered < good.asked; still++) {
		world_moved = 0;
		pump();
		backend_pump(&servers[1], true);
		backend_pump(&servers[2], true);
		if (world_moved)
			still = 0;
	}
	must(good.answered == good.asked);
}

static void end_all(void)
{
	for (unsigned i = 0; i < CLIENTS; i++) {
		check_client(&clients[i]);
		end_free(&clients[i]);
	}
	good_end();
	end_free(&reader);
	/* Readers of the statistics do not end with the pool. */
	for (int i = 0; i < 6; i++) {
		world_us += 1000000;
		world_turn();
	}
	for (unsigned i = 0; i < 3; i++) {
		backend_accept(&servers[i]);
		backend_end(&servers[i]);
	}
	world_end();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = data + size;
	unsigned conf, options;

	open_once();
	if (size < 2)
		return 0;
	good.token = fold(UINT64_C(0xcbf29ce484222325), data, size);
	conf = *data++ % CONFS;
	options = *data++;
	redis = conf < 4;
	good.conf = conf;
	good.may_miss = strstr(confs[conf], "miss");
	for (unsigned i = 0; i < 3; i++)
		servers[i].redis = redis;
	world_start(conf);
	good_start(options);
	pump();
	pump();
	while (data < end) {
		const uint8_t *stop = data;

		while (stop < end && *stop < 0xfe)
			stop++;
		step(data, (size_t)(stop - data));
		if (stop == end || *stop == 0xff)
			pump();
		data = stop + 1;
	}
	answer_all();
	end_all();
	return 0;
}
