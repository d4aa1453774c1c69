/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_backend: Redis and memcached as the fuzzers have them: they check that
 * what the proxy sends is well-formed, can answer it rightly, and remember
 * which of their frames answers which request.
 *
 * They store nothing: the value of a key is made of the key.
 */
#ifndef FUZZ_BACKEND_H
#define FUZZ_BACKEND_H

#include "fuzz_world.h"

#include <strings.h>

enum { BACKEND_WORDS = 4096, BACKEND_CONNS = 48 };

/* A request, and the frame that answers it. */
struct unit {
	size_t at, len;             /* in end.in */
	size_t frame_at, frame_len; /* in end.out; frame_len 0: none yet */
	bool quiet;                 /* there may be no frame: an mn follows */
	bool early;                 /* the frame was sent before the request */
};

struct backend_conn {
	struct end end;
	size_t read;                /* of end.in: whole requests */
	struct unit *units;
	size_t nunits, room;
	size_t answered;            /* units that are done with */
	bool replied;               /* the quiet unit next in line has its frame */
	size_t framed;              /* of end.out: whole frames */
	struct parse out;
	bool broken;                /* no frames can be told apart any more */
	bool murky;                 /* nor which request each answers */
};

struct backend {
	const char *name;
	bool redis;
	int listener;               /* -1: refuses */
	struct backend_conn *conns[BACKEND_CONNS];
	size_t nconns;
	uint64_t seen;              /* conns of the proxy when last looked at */
};

/* ---- honest answers ------------------------------------------------------------ */

/* A key that ends so has a value that is padded to so many bytes. */
enum { MEDIUM = 17000, LARGE_VALUE = 70000 };

static size_t value_pad(const struct arg *key)
{
	if (key->len > 2 && memcmp(key->ptr + key->len - 2, ".m", 2) == 0)
		return MEDIUM;
	if (key->len > 2 && memcmp(key->ptr + key->len - 2, ".l", 2) == 0)
		return LARGE_VALUE;
	return 0;
}

static void value_of(const struct arg *key, struct text *t)
{
	static char padding[LARGE_VALUE];

	if (!padding[0])
		memset(padding, '=', sizeof(padding));
	text_add(t, "v:", 2);
	text_add(t, key->ptr, key->len);
	text_add(t, padding, value_pad(key));
}

static unsigned number_of(const struct arg *key)
{
	return (unsigned)(fold(1469598103934665603u, key->ptr, key->len) %
		1000000000);
}

static void put_value(const struct arg *key, struct text *t)
{
	struct text value = { 0 };

	value_of(key, &value);
	text_printf(t, "$%zu\r\n", value.len);
	text_add(t, value.ptr, value.len);
	text_add(t, "\r\n", 2);
	text_free(&value);
}

static bool word_named(const struct arg *word, const char *name)
{
	size_t len = strlen(name);

	return word->len == len && strncasecmp(word->ptr, name, len) == 0;
}

static void honest_join(const struct command *cmd, const struct arg *argv,
	size_t argc, struct text *t)
{
	switch ((enum join)cmd->join) {
	case JOIN_ARRAY:
		text_printf(t, "*%zu\r\n", argc - 1);
		for (size_t i = 1; i < argc; i++)
			put_value(&argv[i], t);
		break;
	case JOIN_SUM:
	case JOIN_MIN:
		text_printf(t, ":%zu\r\n", argc - 1);
		break;
	case JOIN_CONCAT:
		text_printf(t, "*1\r\n$3\r\nkey\r\n");
		break;
	case JOIN_AND:
		text_printf(t, "*%zu\r\n", argc - 2);
		for (size_t i = 2; i < argc; i++)
			text_printf(t, ":1\r\n");
		break;
	case JOIN_SCAN:
		text_printf(t, "*2\r\n$1\r\n0\r\n*1\r\n$3\r\nkey\r\n");
		break;
	case JOIN_RANDOM:
		text_printf(t, "$3\r\nkey\r\n");
		break;
	case JOIN_LONGEST:
		text_printf(t, "*2\r\n$1\r\na\r\n*0\r\n");
		break;
	default:
		text_printf(t, "+OK\r\n");
	}
}

static void honest_redis(const struct arg *argv, size_t argc, struct text *t)
{
	const struct command *cmd = command_find(argv, argc);

	if (word_named(&argv[0], "get") && argc == 2)
		put_value(&argv[1], t);
	else if (word_named(&argv[0], "incr") && argc == 2)
		text_printf(t, ":%u\r\n", number_of(&argv[1]));
	else if (word_named(&argv[0], "hello"))
		text_printf(t, "%%1\r\n$6\r\nserver\r\n$5\r\nredis\r\n");
	else if (word_named(&argv[0], "ping"))
		text_printf(t, "+PONG\r\n");
	else if (word_named(&argv[0], "info"))
		text_printf(t, "$24\r\n# S\r\nredis_version:9.9.9\r\n");
	else if (cmd)
		honest_join(cmd, argv, argc, t);
	else
		text_printf(t, "+OK\r\n");
}

/* Is there a flag that begins so behind the key? */
static bool flag(const struct arg *argv, size_t argc, char letter)
{
	for (size_t i = word_named(&argv[0], "ms") ? 3 : 2; i < argc; i++)
		if (argv[i].ptr[0] == letter)
			return true;
	return false;
}

static void put_item(const struct arg *key, bool cas, struct text *t)
{
	struct text value = { 0 };

	value_of(key, &value);
	text_printf(t, "VALUE %.*s 0 %zu%s\r\n", (int)key->len, key->ptr,
		value.len, cas ? " 1" : "");
	text_add(t, value.ptr, value.len);
	text_add(t, "\r\n", 2);
	text_free(&value);
}

static void honest_meta(enum mc_kind kind, const struct arg *argv, size_t argc,
	struct text *t)
{
	struct text value = { 0 };

	if (kind == MC_META_DEBUG) {
		text_printf(t, "ME %.*s exp=1\r\n", (int)argv[1].len, argv[1].ptr);
	} else if (kind == MC_META_GET && flag(argv, argc, 'v')) {
		value_of(&argv[1], &value);
		text_printf(t, "VA %zu\r\n", value.len);
		text_add(t, value.ptr, value.len);
		text_add(t, "\r\n", 2);
		text_free(&value);
	} else if (kind == MC_META_GET || !flag(argv, argc, 'q')) {
		text_printf(t, "HD\r\n");
	}
	if (flag(argv, argc, 'q'))
		text_printf(t, "MN\r\n");
}

static void honest_memcached(const struct arg *argv, size_t argc,
	struct text *t)
{
	const struct mc_command *mc = mc_command_find(argv[0].ptr, argv[0].len);
	enum mc_kind kind = (enum mc_kind)mc->kind;

	switch (kind) {
	case MC_GET:
	case MC_GAT:
		for (size_t i = kind == MC_GAT ? 2 : 1; i < argc; i++)
			put_item(&argv[i], argv[0].ptr[argv[0].len - 1] == 's', t);
		text_printf(t, "END\r\n");
		break;
	case MC_STORE:
	case MC_CAS:
		text_printf(t, "STORED\r\n");
		break;
	case MC_ARITH:
		text_printf(t, "%u\r\n", number_of(&argv[1]));
		break;
	case MC_TOUCH:
		text_printf(t, "TOUCHED\r\n");
		break;
	case MC_DELETE:
		text_printf(t, "DELETED\r\n");
		break;
	case MC_FLUSH:
		text_printf(t, "OK\r\n");
		break;
	case MC_VERSION:
		text_printf(t, "VERSION 1.6\r\n");
		break;
	default:
		honest_meta(kind, argv, argc, t);
	}
}

/* ---- what the proxy sends --------------------------------------------------------- */

static struct arg backend_argv[BACKEND_WORDS];

/* A whole request at the front of data: its length and its words, 0 if there is
 * none yet. Nothing malformed may come. */
static size_t read_redis(char *data, size_t len, size_t *argc)
{
	struct parse p = { 0 };
	enum parse_result result = redis_request(&p, data, len, backend_argv,
		BACKEND_WORDS);

	must(result != PARSE_BAD);
	if (result == PARSE_MORE)
		return 0;
	must(!p.is_inline && p.argc > 0 && p.argc <= BACKEND_WORDS);
	*argc = p.argc;
	return p.pos;
}

static void check_word(const struct arg *word)
{
	for (size_t i = 0; i < word->len; i++)
		must((unsigned char)word->ptr[i] > ' ' && word->ptr[i] != 0x7f);
}

/* The length of the data block behind the line; SIZE_MAX: there is none. */
static size_t block_length(enum mc_kind kind, size_t argc)
{
	uint64_t n = 0;
	size_t word = kind == MC_META_SET ? 2 : 4;

	if (kind != MC_STORE && kind != MC_CAS && kind != MC_META_SET)
		return SIZE_MAX;
	must(argc > word);
	must(parse_number(backend_argv[word].ptr, backend_argv[word].len,
		PARSE_MAX_BULK, &n));
	return (size_t)n;
}

static size_t read_memcached(char *data, size_t len, size_t *argc)
{
	const char *end = memchr(data, '\n', len);
	const struct mc_command *mc;
	const struct arg *last;
	size_t line, block;

	if (!end)
		return 0;
	line = (size_t)(end - data) + 1;
	*argc = memcached_words(data, line, backend_argv, BACKEND_WORDS);
	must(*argc > 0 && *argc <= BACKEND_WORDS);
	for (size_t i = 0; i < *argc; i++)
		check_word(&backend_argv[i]);
	mc = mc_command_find(backend_argv[0].ptr, backend_argv[0].len);
	/* Without its noreply a line may be a word short: an ERROR for nobody. */
	must(mc && *argc + (mc->can_noreply && *argc == 2) >= mc->min_words);
	last = &backend_argv[*argc - 1];
	must(!mc->can_noreply || *argc <= mc->min_words ||
		last->len != 7 || memcmp(last->ptr, "noreply", 7) != 0);
	block = block_length((enum mc_kind)mc->kind, *argc);
	if (block == SIZE_MAX)
		return line;
	if (len - line < block + 2)
		return 0;
	must(memcmp(data + line + block, "\r\n", 2) == 0);
	return line + block + 2;
}

static struct unit *unit_new(struct backend_conn *c, size_t len)
{
	struct unit *u;

	if (c->nunits == c->room) {
		c->room = c->room ? 2 * c->room : 16;
		c->units = xrealloc(c->units, c->room * sizeof(*c->units));
	}
	u = &c->units[c->nunits++];
	*u = (struct unit){ .at = c->read, .len = len };
	c->read += len;
	return u;
}

/* Take what came apart into units. */
static void backend_parse(struct backend *b, struct backend_conn *c)
{
	while (c->read < c->end.in.len) {
		char *data = c->end.in.ptr + c->read;
		size_t left = c->end.in.len - c->read, argc = 0;
		size_t len = b->redis ? read_redis(data, left, &argc) :
			read_memcached(data, left, &argc);
		const struct mc_command *mc;

		if (!len)
			return;
		if (b->redis) {
			unit_new(c, len);
			continue;
		}
		mc = mc_command_find(backend_argv[0].ptr, backend_argv[0].len);
		if (mc->kind < MC_META_GET || mc->kind > MC_META_SET ||
		    !flag(backend_argv, argc, 'q')) {
			must(mc->kind != MC_META_NOOP);
			unit_new(c, len);
			continue;
		}
		if (left < len + 4)
			return;
		must(memcmp(data + len, "mn\r\n", 4) == 0);
		unit_new(c, len + 4)->quiet = true;
	}
}

/* ---- frames ---------------------------------------------------------------------------- */

/* The next frame is whole: which unit does it answer? Those that came up to
 * `arrived` had begun to come when it was sent. */
static void frame_done(struct backend *b, struct backend_conn *c, size_t len,
	size_t arrived)
{
	const char *data = c->end.out.ptr + c->framed;
	struct unit *u;

	if (b->redis && c->out.type == REPLY_PUSH)
		return;
	if (c->answered >= c->nunits) {
		/* Nobody asked, or not all of it has come. */
		c->murky = c->murky || c->answered < arrived;
		c->broken = true;
		return;
	}
	u = &c->units[c->answered];
	if (u->quiet && !c->replied && !(len == 4 &&
	    memcmp(data, "MN\r\n", 4) == 0)) {
		c->replied = true;
		u->frame_at = c->framed;
		u->frame_len = len;
		return;
	}
	if (!c->replied) {
		u->frame_at = c->framed;
		u->frame_len = len;
	}
	c->replied = false;
	c->answered++;
}

/* The server says this, whatever it is. */
static void backend_send(struct backend *b, struct backend_conn *c,
	const void *bytes, size_t len)
{
	bool mute = c->end.mute, late = c->end.written < c->end.out.len;
	size_t arrived;

	/* One that does not read is looked at all the same. */
	c->end.mute = false;
	end_read(&c->end);
	c->end.mute = mute;
	backend_parse(b, c);
	/* What is behind other bytes may go out when more requests are there. */
	arrived = late ? SIZE_MAX : c->nunits + (c->read < c->end.in.len);
	end_send(&c->end, bytes, len);
	while (!c->broken && c->framed < c->end.out.len) {
		const char *data = c->end.out.ptr + c->framed;
		size_t left = c->end.out.len - c->framed;
		enum parse_result result = b->redis ?
			redis_reply(&c->out, data, left) :
			memcached_reply(&c->out, data, left);

		if (result == PARSE_MORE)
			return;
		if (result == PARSE_BAD) {
			c->broken = true;
			return;
		}
		frame_done(b, c, c->out.pos, arrived);
		c->framed += c->out.pos;
		parse_reset(&c->out);
	}
}

/* The right answer to the i-th request. */
static void backend_answer(struct backend *b, struct backend_conn *c, size_t i)
{
	char *data = c->end.in.ptr + c->units[i].at;
	struct text t = { 0 };
	size_t argc = 0;

	if (b->redis) {
		read_redis(data, c->units[i].len, &argc);
		honest_redis(backend_argv, argc, &t);
	} else {
		read_memcached(data, c->units[i].len, &argc);
		honest_memcached(backend_argv, argc, &t);
	}
	backend_send(b, c, t.ptr, t.len);
	text_free(&t);
}

/* ---- a server ------------------------------------------------------------------------------ */

static void backend_accept(struct backend *b)
{
	int fd;

	/* Most often there is nobody, and to ask the system takes long. */
	if (b->seen == proxy.stats->total_connections)
		return;
	b->seen = proxy.stats->total_connections;
	while (b->listener >= 0 && (fd = accept(b->listener, NULL, NULL)) >= 0) {
		struct backend_conn *c;

		world_moved++;
		if (b->nconns == BACKEND_CONNS) {
			close(fd);
			continue;
		}
		must(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
		c = xcalloc(1, sizeof(*c));
		c->end.fd = fd;
		b->conns[b->nconns++] = c;
	}
}

/* Take what has come; with `honest`, answer it. */
static void backend_pump(struct backend *b, bool honest)
{
	backend_accept(b);
	for (size_t i = 0; i < b->nconns; i++) {
		struct backend_conn *c = b->conns[i];

		if (c->end.fd < 0)
			continue;
		end_write(&c->end);
		end_read(&c->end);
		backend_parse(b, c);
		while (honest && c->answered < c->nunits && !c->broken) {
			size_t before = c->end.out.len;
			backend_answer(b, c, c->answered);
			must(c->end.out.len > before);
		}
		if (c->end.eof)
			end_close(&c->end);
	}
}

static void backend_end(struct backend *b)
{
	for (size_t i = 0; i < b->nconns; i++) {
		end_free(&b->conns[i]->end);
		free(b->conns[i]->units);
		free(b->conns[i]);
	}
	b->nconns = 0;
	b->seen = 0;
}

#endif
