/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request: what a client asks, from its bytes to the servers: parse, look the
 * command up, check, route, forward.
 */
#include "proxy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

enum {
	ARGS_KEPT = 32768,      /* room for words between requests; a line of
	                         * 64 KiB has no more */
	NOAUTH_ARGS = 10,       /* words of a request before AUTH, and its bytes; */
	NOAUTH_BYTES = 32768,   /* AUTH and HELLO need no more */
	MAX_META_WORDS = 19,    /* of memcached's ms: with more it would take the data
	                         * for commands */
	MAX_LINE = 2048,        /* of memcached: it hangs up on longer ones but get */
	UNKNOWN_ARGS = 128,     /* bytes of an unknown command's words shown */
	MEMCACHED_BINARY = 0x80, /* first byte of a binary request */
};

static struct arg kept_args[ARGS_KEPT];

/* The words of the request at hand. */
static struct {
	struct arg *v;
	size_t room;
} args = { kept_args, ARGS_KEPT };

static uint32_t *keys;
static size_t keys_room;

static void args_release(void)
{
	if (args.v != kept_args)
		free(args.v);
	args.v = kept_args;
	args.room = ARGS_KEPT;
}

static void args_reserve(size_t room)
{
	if (args.room >= room)
		return;
	args_release();
	args.v = xmalloc(room * sizeof(*args.v));
	args.room = room;
}

static APART void args_shrink(void)
{
	args_release();
	if (keys_room > ARGS_KEPT) {
		free(keys);
		keys = NULL;
		keys_room = 0;
	}
}

void request_free_scratch(void)
{
	args_release();
	free(keys);
}

/* ---- errors, in the words of Redis and memcached -------------------------------- */

static void answer_text(struct client *c, const char *text)
{
	client_answer(c, text, strlen(text));
}

static size_t printable(char *out, size_t room, const struct arg *word)
{
	size_t n = word->len < room ? word->len : room;

	for (size_t i = 0; i < n; i++) {
		unsigned char ch = (unsigned char)word->ptr[i];
		out[i] = ch == '\r' || ch == '\n' || ch == 0 ? ' ' : (char)ch;
	}
	return n;
}

static void unknown_command(struct client *c, const struct arg *argv, size_t argc)
{
	char text[512], shown[UNKNOWN_ARGS + 1];
	size_t n, used = 0;

	n = printable(shown, UNKNOWN_ARGS, &argv[0]);
	n = (size_t)snprintf(text, sizeof(text), "-ERR unknown command '%.*s', "
		"with args beginning with: ", (int)n, shown);
	for (size_t i = 1; i < argc && used < UNKNOWN_ARGS; i++) {
		size_t len = printable(shown, UNKNOWN_ARGS - used, &argv[i]);
		n += (size_t)snprintf(text + n, sizeof(text) - n, "'%.*s' ",
			(int)len, shown);
		used += len + 3;
	}
	memcpy(text + n, "\r\n", 2);
	c->pool->stats->refused_unknown++;
	log_info("c %d unknown command '%.*s'", c->conn.watch.fd,
		(int)(argv[0].len < 64 ? argv[0].len : 64), argv[0].ptr);
	client_answer(c, text, n + 2);
}

/* "object|encoding": the name as Redis prints it. */
void command_lower(const struct command *cmd, char *out, size_t room)
{
	size_t i = 0;

	for (; cmd->name[i] && i + 1 < room; i++) {
		char ch = cmd->name[i];
		out[i] = ch >= 'A' && ch <= 'Z' ? (char)(ch - 'A' + 'a') : ch;
	}
	out[i] = '\0';
}

static void wrong_arity(struct client *c, const struct command *cmd)
{
	char name[64], text[160];
	int n;

	command_lower(cmd, name, sizeof(name));
	n = snprintf(text, sizeof(text),
		"-ERR wrong number of arguments for '%s' command\r\n", name);
	c->pool->stats->refused_arity++;
	client_answer(c, text, (size_t)n);
}

static void unknown_subcommand(struct client *c, const struct command *cmd,
	const struct arg *sub)
{
	char text[256], shown[UNKNOWN_ARGS];
	size_t n = printable(shown, sizeof(shown), sub);
	int len = snprintf(text, sizeof(text),
		"-ERR unknown subcommand '%.*s'. Try %s HELP.\r\n", (int)n,
		shown, cmd->name);

	client_answer(c, text, (size_t)len);
}

/* A mistake of whoever configured the client, who is told in the log. */
static void foreign_protocol(struct client *c, const char *which)
{
	log_some(LOG_NOTICE, "c %d '%s' pool '%s': the client speaks %s; closed",
		c->conn.watch.fd, socket_peer(c->conn.watch.fd),
		c->pool->conf->name, which);
	client_finish(c);
}

static void not_authenticated(struct client *c)
{
	c->pool->stats->refused_auth++;
	answer_text(c, "-NOAUTH Authentication required\r\n");
}

static void refused(struct client *c, const struct command *cmd)
{
	char text[256];
	const char *why =
		cmd->flags & CMD_BLOCKING ? "it would block the shared connection" :
		cmd->flags & CMD_PUBSUB ? "it needs a connection of its own" :
		cmd->flags & CMD_TRANSACTION ? "it needs a connection of its own" :
		"it concerns a single server";
	int len = snprintf(text, sizeof(text),
		"-ERR command '%s' is not supported through a proxy: %s\r\n",
		cmd->name, why);

	c->pool->stats->refused_unsupported++;
	client_answer(c, text, (size_t)len);
}

/* ---- route and forward ------------------------------------------------------------ */

/* The one server that takes a request without a key. */
static const struct arg no_key = { "placeholder", 11 };

/* That there is nothing, if the command has words for it. */
static void put_miss(struct text *t, const struct client *c, const struct command *cmd)
{
	static const char nil[] = "$-1\r\n", zero[] = ":0\r\n", none[] = "*0\r\n";
	static const char *const misses[] = {
		[MISS_NIL] = nil, [MISS_ZERO] = zero, [MISS_GONE] = ":-2\r\n",
		[MISS_ARRAY] = none, [MISS_MAP] = none, [MISS_SET] = none,
		[MISS_TEXT] = "$0\r\n\r\n", [MISS_TYPE] = "+none\r\n",
		[MISS_SCAN] = "*2\r\n$1\r\n0\r\n*0\r\n",
		[MISS_NILS] = nil, [MISS_ZEROS] = zero, [MISS_POINTS] = "*-1\r\n",
	};
	size_t words = c->parse.argc, count = 1;
	enum miss miss = (enum miss)cmd->answer;
	const char *said;

	if (miss == MISS_NIL_OR_ARRAY)
		miss = words > 2 ? MISS_ARRAY : MISS_NIL;
	if (miss == MISS_NIL_IF_SHORT)
		miss = words > (size_t)-cmd->arity ? MISS_NONE : MISS_NIL;
	if (miss == MISS_NONE)
		return;
	said = misses[miss];
	if (c->resp3 && (said == nil || miss == MISS_POINTS))
		said = "_\r\n";
	else if (c->resp3 && said == none)
		said = miss == MISS_MAP ? "%0\r\n" : miss == MISS_SET ? "~0\r\n" : none;
	if (miss >= MISS_NILS) {
		count = words - (cmd->join == JOIN_ARRAY ? 1 : 2);
		text_printf(t, "*%zu\r\n", count);
	}
	while (count-- > 0)
		text_add(t, said, strlen(said));
}

/* The same for one key of memcached. A meta get gets back the flags by which its
 * client tells replies from each other. */
static void put_memcached_miss(struct text *t, const struct client *c,
	const struct mc_command *mc)
{
	const struct arg *words = args.v;

	text_printf(t, "%s", mc->kind == MC_META_GET ||
		mc->kind == MC_META_DEBUG ? "EN" : "END");
	for (size_t i = 2; mc->kind == MC_META_GET && i < c->parse.argc; i++)
		if (words[i].ptr[0] == 'k')
			text_printf(t, " k%.*s", (int)words[1].len, words[1].ptr);
		else if (words[i].ptr[0] == 'b')
			text_printf(t, " b");
		else if (words[i].ptr[0] == 'O')
			text_printf(t, " %.*s", (int)words[i].len, words[i].ptr);
	text_printf(t, "\r\n");
}

/* What a client gets of an ejected server whose place is not taken. The words of
 * its request are still there. */
static void answer_ejected(struct client *c, const struct command *cmd,
	const struct mc_command *mc)
{
	bool miss = c->pool->conf->on_eject == EJECT_MISS;
	struct text t = { 0 };

	if (miss && mc && mc->flags & CMD_READ)
		put_memcached_miss(&t, c, mc);
	else if (miss && cmd && cmd->flags & CMD_READ)
		put_miss(&t, c, cmd);
	if (t.len)
		client_answer(c, t.ptr, t.len);
	else
		client_error(c, "Connection refused");
	text_free(&t);
}

/* Send the first `len` bytes of the client's input, as they are, to the server
 * of the key. They are consumed. */
static void forward(struct client *c, const struct command *cmd,
	const struct mc_command *mc, const struct arg *key, size_t len)
{
	uint32_t hash = 0;
	struct server *s = pool_route(c->pool, key->ptr, key->len, &hash);
	struct server_conn *sc;
	struct request *r;

	if (!s) {
		answer_ejected(c, cmd, mc);
		conn_consume(&c->conn, len);
		return;
	}
	sc = server_conn_for(s, hash, c->resp3);
	if (c->overdue_ms && server_refuses(sc, c)) {
		conn_consume(&c->conn, len);
		client_error(c, error_text(ETIMEDOUT));
		return;
	}
	r = request_new(c);
	r->command = cmd;
	r->mc = mc;
	r->refs++;
	if (proxy.noting)
		request_note(r, &args.v[0], key, s);
	conn_move(&c->conn, len, &sc->conn.out);
	server_push(sc, &r->part, len, c);
}

/* What becomes of the reply to bytes that stand for a request. */
enum audience {
	FOR_CLIENT,
	FOR_NOBODY, /* noreply */
	MAYBE,      /* meta command in quiet mode: the server sends one or none */
};

/* Bytes that stand for the request are sent, not those of the input. */
static void forward_bytes(struct client *c, const struct mc_command *mc,
	const struct arg *key, const struct arg *pieces, size_t count,
	enum audience audience)
{
	bool quiet = audience == FOR_NOBODY;
	uint32_t hash = 0;
	struct server *s = pool_route(c->pool, key->ptr, key->len, &hash);
	struct server_conn *sc;
	struct request *r;
	size_t len = 0;

	if (!s) {
		/* A quiet get says nothing of what is not there. */
		if (!quiet && (audience != MAYBE || mc->kind != MC_META_GET ||
		    c->pool->conf->on_eject != EJECT_MISS))
			answer_ejected(c, NULL, mc);
		return;
	}
	sc = server_conn_for(s, hash, c->resp3);
	if (server_refuses(sc, c)) {
		if (!quiet)
			client_error(c, error_text(ETIMEDOUT));
		return;
	}
	r = request_new(quiet ? NULL : c);
	r->mc = mc;
	/* Without a client, the only one that refers to it is its part. */
	r->refs = quiet ? 1 : 2;
	r->part.maybe = audience == MAYBE;
	if (proxy.noting)
		request_note(r, &args.v[0], key, s);
	for (size_t i = 0; i < count; i++) {
		queue_put(&sc->conn.out, pieces[i].ptr, pieces[i].len);
		len += pieces[i].len;
	}
	server_push(sc, &r->part, len, c);
}

/* ---- Redis -------------------------------------------------------------------------- */

/* Keys at different servers cannot be served together. */
static bool share_server(const struct client *c, const struct arg *argv,
	const uint32_t *at, size_t count)
{
	struct server *first = NULL;

	if (c->pool->conf->nservers == 1 || c->pool->conf->cross_server_allow ||
	    c->pool->conf->distribution == DIST_RANDOM)
		return true;
	for (size_t i = 0; i < count; i++) {
		uint32_t hash;
		struct server *s = pool_route(c->pool, argv[at[i]].ptr,
			argv[at[i]].len, &hash);
		if (i > 0 && s != first)
			return false;
		first = s;
	}
	return true;
}

static void route_keys(struct client *c, const struct command *cmd,
	const struct arg *argv, size_t argc, size_t len)
{
	uint32_t few[4];
	uint32_t *at = few;
	long count = command_keys(cmd, argv, argc, few, 4);

	/* Words that break the command's own rule: a server has the words for that. */
	if (count <= 0) {
		forward(c, cmd, NULL, &no_key, len);
		return;
	}
	if (count == 1) {
		forward(c, cmd, NULL, &argv[at[0]], len);
		return;
	}
	if (count > 4) {
		if (keys_room < (size_t)count) {
			keys = xrealloc(keys, (size_t)count * sizeof(*keys));
			keys_room = (size_t)count;
		}
		at = keys;
		command_keys(cmd, argv, argc, at, (size_t)count);
	}
	if (cmd->join != JOIN_NONE) {
		split_redis(c, cmd, argv, at, (size_t)count);
		conn_consume(&c->conn, len);
	} else if (share_server(c, argv, at, (size_t)count)) {
		forward(c, cmd, NULL, &argv[at[0]], len);
	} else {
		conn_consume(&c->conn, len);
		c->pool->stats->refused_cross_server++;
		answer_text(c, "-CROSSSLOT Keys in request don't hash to the "
			"same server\r\n");
	}
}

/* A request for all servers. True: it has been consumed. */
static bool ask_all(struct client *c, const struct command *cmd,
	const struct arg *argv, size_t argc, const char *data, size_t len)
{
	if (cmd->flags & CMD_FLUSH && !c->pool->conf->allow_flush) {
		char text[96];
		int n = snprintf(text, sizeof(text), "-ERR %s is not allowed "
			"(allow_flush of the pool)\r\n", cmd->name);
		client_answer(c, text, (size_t)n);
	} else if (cmd->join == JOIN_SCAN) {
		split_scan(c, cmd, argv, argc);
	} else if (c->pool->conf->nservers == 1 ||
		   (c->pool->conf->distribution == DIST_RANDOM &&
		   !(cmd->flags & CMD_WRITE))) {
		/* Replicas hold the same: one of them speaks for all. */
		forward(c, cmd, NULL, &no_key, len);
		return true;
	} else if (len > (size_t)c->pool->conf->server_max_queue) {
		/* There will be as many copies as there are servers. */
		answer_text(c, "-ERR too long a request for all servers "
			"(server_max_queue of the pool)\r\n");
	} else {
		split_all(c, false, cmd, NULL, (enum join)cmd->join, data, len);
	}
	return false;
}

/* The pool's configuration denies any command, but places the keys only of those
 * that the table does not have. True: the request has been dealt with. */
static bool configured_command(struct client *c, const struct command *cmd,
	const struct arg *argv, size_t argc, size_t len)
{
	const struct conf_command *rule = conf_command(c->pool->conf, argv[0].ptr,
		argv[0].len);
	char text[160];
	int n;

	if (!rule || (rule->key && cmd))
		return false;
	if (rule->key && rule->key < argc) {
		forward(c, &command_unknown, NULL, &argv[rule->key], len);
		return true;
	}
	n = rule->key ? snprintf(text, sizeof(text),
		"-ERR wrong number of arguments for '%.64s' command\r\n",
		rule->name) : snprintf(text, sizeof(text),
		"-NOPERM this user has no permissions to run the '%.64s' command\r\n",
		rule->name);
	c->pool->stats->refused_unsupported++;
	conn_consume(&c->conn, len);
	client_answer(c, text, (size_t)n);
	return true;
}

/* What browsers and port scanners begin with. A Redis hangs up on it, and would on
 * everybody who shares the connection. */
static bool is_http(const struct arg *name)
{
	return word_is(name, "POST") || word_is(name, "HOST:");
}

/* A Redis reads the name as far as a NUL once it has found the place for it: it may
 * run what is refused here. */
static bool may_be_known(const struct arg *name)
{
	return memchr(name->ptr, '\0', name->len) != NULL;
}

static APART void other_command(struct client *c, const struct command *cmd,
	const struct arg *argv, size_t argc, const char *data, size_t len)
{
	if (!cmd && is_http(&argv[0])) {
		answer_text(c, "-ERR HTTP is not spoken\r\n");
		foreign_protocol(c, "HTTP");
		conn_consume(&c->conn, len);
		return;
	}
	if (c->pool->conf->ncommands && c->authenticated &&
	    configured_command(c, cmd, argv, argc, len))
		return;
	if (!cmd) {
		if (argc < 2 || !c->authenticated || c->pool->conf->refuse_unknown ||
		    may_be_known(&argv[0])) {
			if (c->authenticated)
				unknown_command(c, argv, argc);
			else
				not_authenticated(c);
			conn_consume(&c->conn, len);
			return;
		}
		cmd = &command_unknown;
	}
	if (cmd->flags & CMD_CONTAINER && argc > 1) {
		unknown_subcommand(c, cmd, &argv[1]);
	} else if (!command_arity_ok(cmd, argc)) {
		wrong_arity(c, cmd);
	} else if (!c->authenticated && !(cmd->flags & CMD_NOAUTH)) {
		not_authenticated(c);
	} else if (cmd->route == ROUTE_KEYS && !command_blocks(cmd, argv, argc)) {
		route_keys(c, cmd, argv, argc, len);
		return;
	} else if (cmd->route == ROUTE_ANY) {
		forward(c, cmd, NULL, &no_key, len);
		return;
	} else if (cmd->route == ROUTE_LOCAL) {
		local_answer(c, cmd, argv, argc);
	} else if (cmd->route == ROUTE_ALL && !command_blocks(cmd, argv, argc)) {
		if (ask_all(c, cmd, argv, argc, data, len))
			return;
	} else {
		refused(c, cmd);
	}
	conn_consume(&c->conn, len);
}

static inline void redis_command(struct client *c, const struct arg *argv,
	size_t argc, const char *data, size_t len)
{
	const struct command *cmd = command_find(argv, argc);
	size_t key;

	/* The short way of nearly all requests; the long one leads to the same. */
	if (cmd && c->authenticated && !c->pool->conf->ncommands &&
	    (key = command_only_key(cmd, argc)) != 0)
		forward(c, cmd, NULL, &argv[key], len);
	else
		other_command(c, cmd, argv, argc, data, len);
}

/* An inline request goes on as the array that it stands for. */
static APART void inline_command(struct client *c, size_t argc, size_t line_len)
{
	struct input input = { 0 };
	struct block *block;
	size_t size = 32, n;

	for (size_t i = 0; i < argc; i++)
		size += args.v[i].len + 32;
	block = input.in = block_new(size);
	n = (size_t)snprintf(block->data, size, "*%zu\r\n", argc);
	for (size_t i = 0; i < argc; i++) {
		n += (size_t)snprintf(block->data + n, size - n, "$%zu\r\n",
			args.v[i].len);
		memcpy(block->data + n, args.v[i].ptr, args.v[i].len);
		n += args.v[i].len;
		memcpy(block->data + n, "\r\n", 2);
		n += 2;
	}
	block->end = n;
	conn_consume(&c->conn, line_len);
	conn_swap_input(&c->conn, &input);
	redis_words(block->data, args.v, argc);
	redis_command(c, args.v, argc, block->data, n);
	conn_swap_input(&c->conn, &input);
}

static APART void protocol_error(struct client *c)
{
	char text[128];
	const struct parse *p = &c->parse;
	int n = p->got ?
		snprintf(text, sizeof(text), "-ERR %s'%c'\r\n", p->error,
			p->got >= ' ' && p->got <= '~' ? p->got : '?') :
		snprintf(text, sizeof(text), "-ERR %s\r\n", p->error);

	c->pool->stats->parse_errors++;
	log_some(LOG_NOTICE, "c %d '%s' pool '%s': %.*s", c->conn.watch.fd,
		socket_peer(c->conn.watch.fd), c->pool->conf->name, n - 7,
		text + 5);
	client_answer(c, text, (size_t)n);
	client_finish(c);
}

/* Has it many keys, or none, and goes to a server as it is? With several conns to
 * each it goes by one of them, and concerns what went by others. */
static bool concerns_many(const struct arg *argv, size_t argc)
{
	const struct command *cmd = command_find(argv, argc);
	uint32_t at;

	if (!cmd || command_only_key(cmd, argc))
		return false;
	if (cmd->route == ROUTE_KEYS)
		return cmd->join == JOIN_NONE &&
			command_keys(cmd, argv, argc, &at, 1) != 1;
	return cmd->route == ROUTE_ALL || cmd->route == ROUTE_ANY;
}

/* Not all has come, or it is not an array of a usual number of words, or it is
 * out of order. False: there is no request yet, or will be none. */
static APART bool other_redis(struct client *c, enum parse_result result,
	const char *data)
{
	struct parse *p = &c->parse;
	bool alone;

	if (!c->authenticated && result != PARSE_BAD &&
	    (p->argc > NOAUTH_ARGS || p->need > NOAUTH_BYTES)) {
		p->error = "Protocol error: unauthenticated request too long";
		result = PARSE_BAD;
	}
	if (result == PARSE_BAD)
		protocol_error(c);
	if (result == PARSE_MORE)
		c->conn.need = p->need;
	if (result != PARSE_DONE)
		return false;
	if (p->argc > args.room) {
		args_reserve(p->argc);
		redis_words(data, args.v, p->argc);
	}
	alone = p->argc && c->pool->conf->server_connections > 1 &&
		concerns_many(args.v, p->argc);
	/* An inline one cannot be read twice: its quotes are gone. */
	if (alone && c->head && !p->is_inline) {
		client_wait(c);
		parse_reset(p);
		if (args.room > ARGS_KEPT)
			args_shrink();
		return false;
	}
	if (p->argc == 0)
		conn_consume(&c->conn, p->pos);
	else if (p->is_inline)
		inline_command(c, p->argc, p->pos);
	else
		redis_command(c, args.v, p->argc, data, p->pos);
	if (alone)
		client_barrier(c);
	if (p->argc > ARGS_KEPT)
		args_shrink();
	return true;
}

static APART bool parse_redis(struct client *c, char *data, size_t len)
{
	struct parse *p = &c->parse;
	enum parse_result result = redis_request(p, data, len, args.v, args.room);

	if (result == PARSE_DONE && !p->is_inline && p->argc - 1 < ARGS_KEPT &&
	    c->authenticated && c->pool->conf->server_connections == 1)
		redis_command(c, args.v, p->argc, data, p->pos);
	else if (!other_redis(c, result, data))
		return false;
	parse_reset(p);
	c->conn.need = 0;
	return true;
}

/* ---- memcached ---------------------------------------------------------------------- */

/* A control byte in a word would end the line at the server, as a NUL does, and
 * what follows would be a command of its own: no such line is sent. */
static bool good_key(const struct client *c, const struct arg *key)
{
	return key->len <= MEMCACHED_MAX_KEY && !c->parse.control;
}

static bool is_noreply(const struct arg *word)
{
	return word->len == 7 && memcmp(word->ptr, "noreply", 7) == 0;
}

/* An optional minus and digits. */
static bool is_number(const struct arg *word, uint64_t max, bool sign)
{
	uint64_t n;
	size_t minus = sign && word->len && word->ptr[0] == '-';

	return parse_number(word->ptr + minus, word->len - minus, max, &n);
}

/* In January 2038. */
#define LAST_SECOND "2147483647"

static const char bad_format[] = "CLIENT_ERROR bad command line format\r\n";
static const char bad_chunk[] = "CLIENT_ERROR bad data chunk\r\n";
static const char too_large[] = "SERVER_ERROR object too large for cache\r\n";

/* The line is refused. The data block of a command that has one is skipped if its
 * length can be believed, as it would be taken for commands. */
static APART void mc_refuse(struct client *c, const struct mc_command *mc,
	const struct arg *argv, size_t argc, const char *why, bool quiet)
{
	size_t at = !mc ? argc : mc->kind == MC_META_SET ? 2 :
		mc->kind == MC_STORE || mc->kind == MC_CAS ? 4 : argc;
	uint64_t bytes;

	if (!quiet)
		answer_text(c, why);
	/* Before the line is given up, which the length is a word of. */
	if (at < argc && parse_number(argv[at].ptr, argv[at].len,
	    UINT64_MAX - 2, &bytes))
		c->swallow = bytes + 2;
	conn_consume(&c->conn, c->parse.pos);
}

/* The word noreply is taken off: an error that the server sends in spite of it
 * would be taken for the answer to somebody else's request. And a time that it might
 * not know is another: NULL if not. */
static APART void forward_changed(struct client *c, const struct mc_command *mc,
	const struct arg *argv, size_t argc, char *data, size_t total, bool quiet,
	const char *expiry)
{
	const struct arg *last = &argv[argc - 1];
	const char *from = data, *end = quiet ? last->ptr - 1 : last->ptr + last->len;
	size_t line = c->parse.pos, n = 0;
	struct arg pieces[5];

	if (expiry) {
		pieces[n++] = (struct arg){ from, (size_t)(argv[3].ptr - from) };
		pieces[n++] = (struct arg){ expiry, strlen(expiry) };
		from = argv[3].ptr + argv[3].len;
	}
	pieces[n++] = (struct arg){ from, (size_t)(end - from) };
	pieces[n++] = (struct arg){ "\r\n", 2 };
	pieces[n++] = (struct arg){ data + line, total - line };
	forward_bytes(c, mc, &argv[1], pieces, n, quiet ? FOR_NOBODY : FOR_CLIENT);
	conn_consume(&c->conn, total);
}

/* set add replace append prepend cas: a line, then a block of data. False: the
 * block has not all come. */
static bool mc_store(struct client *c, const struct mc_command *mc,
	const struct arg *argv, size_t argc, char *data, size_t len)
{
	bool quiet = argc > mc->min_words && is_noreply(&argv[argc - 1]);
	size_t line = c->parse.pos, total;
	const struct arg *length = &argv[4];
	const char *expiry = NULL;
	bool knows_time = is_number(&argv[3], INT32_MAX, true);
	uint64_t bytes;

	if (!parse_number(length->ptr, length->len, UINT64_MAX - 2, &bytes) ||
	    !good_key(c, &argv[1]) || !is_number(&argv[2], UINT32_MAX, false) ||
	    (!knows_time && !is_number(&argv[3], UINT64_MAX, true)) ||
	    (mc->kind == MC_CAS && !is_number(&argv[5], UINT64_MAX, false))) {
		mc_refuse(c, mc, argv, argc, bad_format, quiet);
		return true;
	}
	if (bytes > PARSE_MAX_BULK) {
		mc_refuse(c, mc, argv, argc, too_large, quiet);
		return true;
	}
	total = line + (size_t)bytes + 2;
	if (total > len) {
		c->conn.need = total;
		return false;
	}
	if (data[total - 2] != '\r' || data[total - 1] != '\n') {
		if (!quiet)
			answer_text(c, bad_chunk);
		conn_consume(&c->conn, line + (size_t)bytes);
		return true;
	}
	/* A memcached of 32 bits would refuse the line, and take the data for commands. */
	if (!knows_time)
		expiry = argv[3].ptr[0] == '-' ? "-1" : LAST_SECOND;
	if (quiet || expiry)
		forward_changed(c, mc, argv, argc, data, total, quiet, expiry);
	else
		forward(c, NULL, mc, &argv[1], total);
	return true;
}

/* One line, one key in the second word. */
static void mc_line(struct client *c, const struct mc_command *mc,
	const struct arg *argv, size_t argc, char *data)
{
	size_t line = c->parse.pos;
	bool quiet = mc->can_noreply && argc >= 3 && is_noreply(&argv[argc - 1]);

	if (!good_key(c, &argv[1])) {
		mc_refuse(c, mc, argv, argc, bad_format, quiet);
		return;
	}
	if (!quiet) {
		forward(c, NULL, mc, &argv[1], line);
		return;
	}
	forward_changed(c, mc, argv, argc, data, line, true, NULL);
}

static void mc_get(struct client *c, const struct mc_command *mc,
	const struct arg *argv, size_t argc)
{
	size_t line = c->parse.pos, first = mc->kind == MC_GAT ? 2 : 1;

	for (size_t i = first; i < argc; i++) {
		if (good_key(c, &argv[i]))
			continue;
		answer_text(c, bad_format);
		conn_consume(&c->conn, line);
		return;
	}
	if (argc - first == 1 && line <= MAX_LINE) {
		forward(c, NULL, mc, &argv[first], line);
		return;
	}
	split_memcached(c, mc, argv, argc, first);
	conn_consume(&c->conn, line);
}

static int base64_value(char ch)
{
	if (ch >= 'A' && ch <= 'Z')
		return ch - 'A';
	if (ch >= 'a' && ch <= 'z')
		return ch - 'a' + 26;
	if (ch >= '0' && ch <= '9')
		return ch - '0' + 52;
	return ch == '+' ? 62 : ch == '/' ? 63 : -1;
}

/* RFC 4648. The length of the bytes, or 0 if it is no such text; the server
 * will say so. */
static size_t base64_decode(const struct arg *text, char *out)
{
	size_t len = text->len, n = 0;
	uint32_t bits = 0;

	if (len % 4)
		return 0;
	while (len && text->ptr[len - 1] == '=' && text->len - len < 2)
		len--;
	for (size_t i = 0; i < len; i++) {
		int v = base64_value(text->ptr[i]);
		if (v < 0)
			return 0;
		bits = bits << 6 | (uint32_t)v;
		if (i % 4)
			out[n++] = (char)(bits >> (6 - 2 * (i % 4)));
	}
	return n;
}

/* memcached looks at the first letter of a flag only; so must we. */
static bool has_flag(const struct arg *argv, size_t argc, size_t first, char flag)
{
	for (size_t i = first; i < argc; i++)
		if (argv[i].ptr[0] == flag)
			return true;
	return false;
}

/* Meta commands: mg ms md ma me. A key in base64 lives where the bytes that it
 * stands for live. In quiet mode only the server knows which replies it leaves
 * out, and that may depend on its version: an mn behind the request marks the
 * place. False: the data block has not all come. */
static APART bool mc_meta(struct client *c, const struct mc_command *mc,
	const struct arg *argv, size_t argc, char *data, size_t len)
{
	bool set = mc->kind == MC_META_SET;
	size_t total = c->parse.pos, flags = set ? 3 : 2;
	char decoded[MEMCACHED_MAX_KEY];
	struct arg key = argv[1], pieces[2];
	uint64_t bytes = 0;

	if (!good_key(c, &key) || argc < flags ||
	    (set && (argc > MAX_META_WORDS ||
	    !parse_number(argv[2].ptr, argv[2].len, UINT32_MAX, &bytes)))) {
		mc_refuse(c, mc, argv, argc, bad_format, false);
		return true;
	}
	if (bytes > PARSE_MAX_BULK) {
		mc_refuse(c, mc, argv, argc, too_large, false);
		return true;
	}
	if (set && c->pool->no_meta_set) {
		mc_refuse(c, mc, argv, argc, "ERROR\r\n", false);
		return true;
	}
	if (set)
		total += (size_t)bytes + 2;
	if (total > len) {
		c->conn.need = total;
		return false;
	}
	if (set && (data[total - 2] != '\r' || data[total - 1] != '\n')) {
		answer_text(c, bad_chunk);
		conn_consume(&c->conn, total - 2);
		return true;
	}
	if (has_flag(argv, argc, flags, 'b')) {
		size_t n = base64_decode(&argv[1], decoded);
		if (n)
			key = (struct arg){ decoded, n };
	}
	if (!has_flag(argv, argc, flags, 'q')) {
		forward(c, NULL, mc, &key, total);
		return true;
	}
	pieces[0] = (struct arg){ data, total };
	pieces[1] = (struct arg){ "mn\r\n", 4 };
	forward_bytes(c, mc, &key, pieces, 2, MAYBE);
	conn_consume(&c->conn, total);
	return true;
}

/* flush_all, to every server. */
static APART void mc_flush(struct client *c, const struct mc_command *mc,
	const struct arg *argv, size_t argc)
{
	bool quiet = argc > 1 && is_noreply(&argv[argc - 1]);
	struct text line = { 0 };

	if (!c->pool->conf->allow_flush) {
		if (!quiet)
			answer_text(c, "CLIENT_ERROR flush_all is not allowed "
				"(allow_flush of the pool)\r\n");
		return;
	}
	for (size_t i = 0; i < argc - quiet; i++)
		text_printf(&line, "%s%.*s", i ? " " : "", (int)argv[i].len,
			argv[i].ptr);
	text_printf(&line, "\r\n");
	split_all(c, quiet, NULL, mc, JOIN_OK, line.ptr, line.len);
	text_free(&line);
}

/* Would noreply still stand there if the last one were taken off? The server
 * would send no reply, and the next one would be taken for it. */
static bool is_noreply_twice(const struct mc_command *mc, const struct arg *argv,
	size_t argc)
{
	return argc > (mc->kind == MC_FLUSH ? 2 : 3) &&
		is_noreply(&argv[argc - 1]) && is_noreply(&argv[argc - 2]);
}

/* A whole line has come. False: the data behind it has not. */
static bool mc_command(struct client *c, const struct arg *argv, size_t argc,
	char *data, size_t len)
{
	const struct mc_command *mc =
		argc ? mc_command_find(argv[0].ptr, argv[0].len) : NULL;
	const struct conf_command *rule;
	size_t words = argc;
	size_t line = c->parse.pos;
	bool denied;

	if (mc && mc->can_noreply && argc > mc->min_words &&
	    is_noreply(&argv[argc - 1]))
		words--;
	rule = mc && c->pool->conf->ncommands ?
		conf_command(c->pool->conf, argv[0].ptr, argv[0].len) : NULL;
	denied = rule && !rule->key;
	if (!mc || denied || words < mc->min_words ||
	    (mc->max_words && words > mc->max_words) ||
	    (mc->can_noreply && is_noreply_twice(mc, argv, argc))) {
		log_info("c %d unknown command or wrong words: '%.*s'",
			c->conn.watch.fd, (int)(argc && argv[0].len < 64 ?
			argv[0].len : 0), argc ? argv[0].ptr : "");
		c->pool->stats->refused_unknown++;
		mc_refuse(c, mc, argv, argc, "ERROR\r\n", denied && words < argc);
		return true;
	}
	/* Those look at their keys themselves. */
	if (c->parse.control && mc->kind != MC_GET && mc->kind != MC_GAT) {
		mc_refuse(c, mc, argv, argc, bad_format, words < argc);
		return true;
	}
	if (line > MAX_LINE && mc->kind != MC_GET) {
		mc_refuse(c, mc, argv, argc, "CLIENT_ERROR line too long\r\n",
			words < argc);
		return true;
	}
	switch ((enum mc_kind)mc->kind) {
	case MC_STORE:
	case MC_CAS:
		return mc_store(c, mc, argv, argc, data, len);
	case MC_GET:
	case MC_GAT:
		mc_get(c, mc, argv, argc);
		return true;
	case MC_ARITH:
	case MC_TOUCH:
	case MC_DELETE:
		mc_line(c, mc, argv, argc, data);
		return true;
	case MC_META_GET:
	case MC_META_DELETE:
	case MC_META_ARITH:
	case MC_META_DEBUG:
	case MC_META_SET:
		return mc_meta(c, mc, argv, argc, data, len);
	case MC_META_NOOP:
		answer_text(c, "MN\r\n");
		break;
	case MC_FLUSH:
		mc_flush(c, mc, argv, argc);
		break;
	case MC_VERSION:
		forward(c, NULL, mc, &no_key, line);
		return true;
	default:
		local_memcached(c, mc, argv, argc);
		break;
	}
	conn_consume(&c->conn, line);
	return true;
}

static APART bool parse_memcached(struct client *c, char *data, size_t len)
{
	struct parse *p = &c->parse;
	enum parse_result result = PARSE_DONE;
	bool fresh = p->pos == 0;
	size_t argc;

	if (c->swallow) {
		size_t n = c->swallow < len ? (size_t)c->swallow : len;
		conn_consume(&c->conn, n);
		c->swallow -= n;
		return true;
	}
	if ((unsigned char)data[0] == MEMCACHED_BINARY) {
		foreign_protocol(c, "memcached's binary protocol");
		return false;
	}
	/* pos is set already if the line has come and its data has not. */
	if (!fresh && len < c->conn.need)
		return false;
	if (fresh)
		result = memcached_line(p, data, len, args.v, args.room);
	if (result == PARSE_MORE) {
		c->conn.need = p->need;
		return false;
	}
	if (result == PARSE_BAD) {
		c->pool->stats->parse_errors++;
		answer_text(c, "CLIENT_ERROR line too long\r\n");
		client_finish(c);
		return false;
	}
	argc = fresh ? p->argc :
		memcached_words(data, p->pos, args.v, args.room);
	if (argc > args.room) {
		args_reserve(argc);
		memcached_words(data, p->pos, args.v, args.room);
	}
	if (!mc_command(c, args.v, argc, data, len))
		return false;
	if (p->argc > ARGS_KEPT)
		args_shrink();
	parse_reset(p);
	c->conn.need = 0;
	return true;
}

bool request_parse(struct client *c, char *data, size_t len)
{
	return c->redis ? parse_redis(c, data, len) :
		parse_memcached(c, data, len);
}

/* ---- what may answer what -------------------------------------------------------------- */

bool reply_fits(const struct request *r, enum reply_type type, size_t len)
{
	/* A server that says no more than ERROR to ms does not know it, and takes
	 * the data for commands. */
	if (type == REPLY_ERROR)
		return r->mc->kind != MC_META_SET || len != strlen("ERROR\r\n");
	switch ((enum mc_kind)r->mc->kind) {
	case MC_GET:
	case MC_GAT:
		return type == REPLY_VALUES;
	case MC_ARITH:
		return type == REPLY_INTEGER || type == REPLY_STATUS;
	case MC_META_GET:
	case MC_META_DELETE:
	case MC_META_ARITH:
	case MC_META_DEBUG:
	case MC_META_SET:
	case MC_META_NOOP:
		return type == REPLY_META;
	default:
		return type == REPLY_STATUS;
	}
}
