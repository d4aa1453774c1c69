/* SPDX-License-Identifier: Apache-2.0 */
/* local: what the proxy answers itself: the handshakes of client libraries,
 * and questions about the proxy. */
#include "proxy.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "util.h"

/* Clients ask for the version to know what they may use. As long as no server
 * has told its own, it is that which the proxy's own answers are like. */
static const char *redis_version(const struct pool *pool)
{
	return pool->redis_version[0] ? pool->redis_version : "7.0.0";
}

enum {
	MAX_NAME = 256,    /* bytes of CLIENT SETNAME, which are kept */
	MAX_PATTERN = 256, /* bytes, for names of commands */
};

static void say(struct client *c, const char *text)
{
	client_answer(c, text, strlen(text));
}

static void put_bulk(struct text *t, const void *bytes, size_t len)
{
	text_printf(t, "$%zu\r\n", len);
	text_add(t, bytes, len);
	text_add(t, "\r\n", 2);
}

static void put_word(struct text *t, const char *word)
{
	put_bulk(t, word, strlen(word));
}

/* A map, or in RESP2 an array of twice as many. */
static void put_map(struct text *t, const struct client *c, size_t pairs)
{
	text_printf(t, "%c%zu\r\n", c->resp3 ? '%' : '*',
		c->resp3 ? pairs : pairs * 2);
}

/* Text for people, which RESP3 tells from data. */
static void put_verbatim(struct text *t, bool resp3, const struct text *words)
{
	if (resp3) {
		text_printf(t, "=%zu\r\ntxt:", words->len + 4);
		text_add(t, words->ptr, words->len);
		text_add(t, "\r\n", 2);
	} else {
		put_bulk(t, words->ptr, words->len);
	}
}

static void send_text(struct client *c, struct text *t)
{
	client_answer(c, t->ptr, t->len);
	text_free(t);
}

/* ---- who one is ------------------------------------------------------------------ */

/* Takes as long for any guess of the same length. */
static bool same_password(const struct arg *given, const char *password)
{
	size_t len = strlen(password);
	/* There is a word: the analyzer holds &argv[1] for possibly NULL. */
	unsigned char differ = given->len != len; /* NOLINT(*NullDereference) */

	for (size_t i = 0; i < given->len; i++)
		differ |= (unsigned char)(given->ptr[i] ^
			password[len ? i % len : 0]);
	return !differ;
}

static bool log_in(struct client *c, const struct arg *user,
	const struct arg *password)
{
	const char *wanted = c->pool->conf->redis_auth;
	bool good = (!user || word_is(user, "DEFAULT")) &&
		(!wanted || same_password(password, wanted));

	/* Without a password one is let in from the start, and stays so. */
	if (wanted)
		c->authenticated = good;
	return good;
}

static const char wrong_pass[] =
	"-WRONGPASS invalid username-password pair or user is disabled.\r\n";

static void answer_auth(struct client *c, const struct arg *argv, size_t argc)
{
	if (argc > 3)
		say(c, "-ERR syntax error\r\n");
	else if (argc == 2 && !c->pool->conf->redis_auth)
		say(c, "-ERR Client sent AUTH, but no password is set\r\n");
	else if (log_in(c, argc == 3 ? &argv[1] : NULL, &argv[argc - 1]))
		say(c, "+OK\r\n");
	else
		say(c, argc == 3 ? wrong_pass : "-ERR invalid password\r\n");
}

static bool set_name(struct client *c, const struct arg *name)
{
	if (name->len > MAX_NAME)
		return false;
	for (size_t i = 0; i < name->len; i++)
		if (name->ptr[i] < '!' || name->ptr[i] > '~')
			return false;
	free(c->name);
	c->name = name->len ? xstrndup(name->ptr, name->len) : NULL;
	return true;
}

static const char bad_name[] = "-ERR Client names cannot contain spaces, "
	"newlines or special characters.\r\n";

/* An error that quotes a word of the client's. */
static void say_quoting(struct client *c, const char *before,
	const struct arg *word)
{
	char shown[129];
	size_t n = 0;
	struct text t = { 0 };

	for (; n < word->len && n < sizeof(shown) - 1; n++)
		shown[n] = (unsigned char)word->ptr[n] < ' ' ? ' ' : word->ptr[n];
	shown[n] = '\0';
	text_printf(&t, "-ERR %s '%s'\r\n", before, shown);
	send_text(c, &t);
}

/* The options of HELLO. False: an error has been sent. */
static bool hello_options(struct client *c, const struct arg *argv, size_t argc)
{
	for (size_t i = 2; i < argc; i++) {
		if (word_is(&argv[i], "AUTH") && i + 2 < argc) {
			if (!log_in(c, &argv[i + 1], &argv[i + 2])) {
				say(c, wrong_pass);
				return false;
			}
			i += 2;
		} else if (word_is(&argv[i], "SETNAME") && i + 1 < argc) {
			if (!set_name(c, &argv[++i])) {
				say(c, bad_name);
				return false;
			}
		} else {
			say_quoting(c, "Syntax error in HELLO option", &argv[i]);
			return false;
		}
	}
	return true;
}

static void answer_hello(struct client *c, const struct arg *argv, size_t argc)
{
	uint64_t version = c->resp3 ? 3 : 2;
	struct text t = { 0 };

	if (argc > 1 && !parse_number(argv[1].ptr, argv[1].len, INT_MAX, &version)) {
		say(c, "-ERR Protocol version is not an integer or out of range\r\n");
		return;
	}
	if (version < 2 || version > 3 || (version == 3 && c->pool->no_resp3)) {
		say(c, "-NOPROTO unsupported protocol version\r\n");
		return;
	}
	if (!hello_options(c, argv, argc))
		return;
	if (!c->authenticated) {
		say(c, "-NOAUTH HELLO must be called with the client already "
			"authenticated, otherwise the HELLO <proto> AUTH <user> "
			"<pass> option can be used to authenticate the client and "
			"select the RESP protocol version at the same time\r\n");
		return;
	}
	if (c->resp3 != (version == 3))
		client_barrier(c);
	c->resp3 = version == 3;
	put_map(&t, c, 7);
	put_word(&t, "server");
	put_word(&t, "redis");
	put_word(&t, "version");
	put_word(&t, redis_version(c->pool));
	put_word(&t, "proto");
	text_printf(&t, ":%d\r\n", c->resp3 ? 3 : 2);
	put_word(&t, "id");
	text_printf(&t, ":%llu\r\n", (unsigned long long)c->id);
	put_word(&t, "mode");
	put_word(&t, "standalone");
	put_word(&t, "role");
	put_word(&t, "master");
	put_word(&t, "modules");
	text_printf(&t, "*0\r\n");
	send_text(c, &t);
}

static void answer_select(struct client *c, const struct arg *db)
{
	uint64_t n;

	if (!parse_number(db->ptr, db->len, INT_MAX, &n))
		say(c, "-ERR value is not an integer or out of range\r\n");
	else if (n != (uint64_t)c->pool->conf->redis_db)
		say(c, "-ERR DB index is out of range\r\n");
	else
		say(c, "+OK\r\n");
}

static void answer_reset(struct client *c)
{
	free(c->name);
	c->name = NULL;
	if (c->resp3)
		client_barrier(c);
	c->resp3 = false;
	c->authenticated = !c->pool->conf->redis_auth;
	say(c, "+RESET\r\n");
}

/* CLIENT INFO, and CLIENT LIST: others' lines are not for everybody. */
static void answer_client_info(struct client *c)
{
	struct text line = { 0 }, t = { 0 };

	text_printf(&line, "id=%llu addr=%s fd=%d name=%s db=%d resp=%d\n",
		(unsigned long long)c->id, socket_peer(c->conn.watch.fd),
		c->conn.watch.fd, c->name ? c->name : "",
		c->pool->conf->redis_db, c->resp3 ? 3 : 2);
	put_verbatim(&t, c->resp3, &line);
	text_free(&line);
	send_text(c, &t);
}

static void answer_name(struct client *c)
{
	struct text t = { 0 };

	if (!c->name) {
		say(c, c->resp3 ? "_\r\n" : "$-1\r\n");
		return;
	}
	put_word(&t, c->name);
	send_text(c, &t);
}

static void answer_number(struct client *c, uint64_t n)
{
	struct text t = { 0 };

	text_printf(&t, ":%llu\r\n", (unsigned long long)n);
	send_text(c, &t);
}

static void answer_client(struct client *c, const struct command *cmd,
	const struct arg *argv)
{
	const char *sub = strchr(cmd->name, '|');

	sub = sub ? sub + 1 : "";
	if (strcmp(sub, "ID") == 0)
		answer_number(c, c->id);
	else if (strcmp(sub, "GETNAME") == 0)
		answer_name(c);
	else if (strcmp(sub, "SETNAME") == 0)
		say(c, set_name(c, &argv[2]) ? "+OK\r\n" : bad_name);
	else if (strcmp(sub, "INFO") == 0 || strcmp(sub, "LIST") == 0)
		answer_client_info(c);
	else if (strncmp(sub, "NO-", 3) == 0 && !word_is(&argv[2], "ON") &&
		 !word_is(&argv[2], "OFF"))
		say(c, "-ERR syntax error\r\n");
	else if (strcmp(sub, "SETINFO") == 0 && !word_is(&argv[2], "LIB-NAME") &&
		 !word_is(&argv[2], "LIB-VER"))
		say_quoting(c, "Unrecognized option", &argv[2]);
	else /* SETINFO, NO-EVICT, NO-TOUCH, CAPA: harmless to agree to. */
		say(c, "+OK\r\n");
}

/* ---- what commands there are ---------------------------------------------------------- */

static bool is_subcommand(const struct command *cmd)
{
	return strchr(cmd->name, '|') != NULL;
}

static void put_lower(struct text *t, const struct command *cmd)
{
	char name[64];

	command_lower(cmd, name, sizeof(name));
	put_word(t, name);
}

/* COMMAND INFO's ten elements; first key, last key and step for the plain
 * cases, as old clients read them. */
static void put_command(struct text *t, const struct client *c,
	const struct command *cmd)
{
	const struct key_spec *k = command_key_specs[cmd->keys];
	bool range = k->find == KEYS_RANGE || k->find == KEYS_ONE;
	int first = range ? k->begin : 0;
	int last = !range ? 0 : k->last < 0 ? k->last : k->begin + k->last;
	char set = c->resp3 ? '~' : '*';

	text_printf(t, "*10\r\n");
	put_lower(t, cmd);
	text_printf(t, ":%d\r\n%c1\r\n+%s\r\n:%d\r\n:%d\r\n:%d\r\n"
		"%c0\r\n*0\r\n*0\r\n*0\r\n", cmd->arity, set,
		cmd->flags & CMD_WRITE ? "write" : "readonly", first, last,
		range ? k->step : 0, set);
}

static size_t count_commands(void)
{
	size_t count = 0;

	for (size_t i = 0; command_at(i); i++)
		count += !is_subcommand(command_at(i));
	return count;
}

static void put_all(struct text *t, const struct client *c,
	void (*put)(struct text *, const struct client *, const struct command *))
{
	for (size_t i = 0; command_at(i); i++)
		if (!is_subcommand(command_at(i)))
			put(t, c, command_at(i));
}

static void put_named(struct text *t, const struct client *c,
	const struct arg *argv, size_t argc)
{
	text_printf(t, "*%zu\r\n", argc);
	for (size_t i = 0; i < argc; i++) {
		const struct command *cmd = command_find(&argv[i], 1);
		if (cmd)
			put_command(t, c, cmd);
		else
			text_printf(t, c->resp3 ? "_\r\n" : "$-1\r\n");
	}
}

/* Does the character fit what the pattern has next? *at moves behind that. */
static bool glob_fits(const unsigned char **at, unsigned char c)
{
	const unsigned char *p = *at;
	bool negated, found = false;

	if (*p == '?') {
		*at = p + 1;
		return true;
	}
	if (*p != '[') {
		p += *p == '\\' && p[1];
		*at = p + (*p != '\0');
		return *p == c;
	}
	negated = *++p == '^';
	for (p += negated; *p && *p != ']'; p++) {
		if (*p == '\\' && p[1]) {
			found |= *++p == c;
		} else if (p[1] == '-' && p[2]) {
			found |= (*p <= c && c <= p[2]) || (p[2] <= c && c <= *p);
			p += 2;
		} else {
			found |= *p == c;
		}
	}
	*at = p + (*p != '\0');
	return found != negated;
}

/* Patterns as Redis has them. What follows the last star is tried at each place
 * in turn: no pattern takes longer than the product of both lengths. */
static bool glob(const void *wanted, const void *found)
{
	const unsigned char *pattern = wanted, *text = found;
	const unsigned char *star = NULL, *from = NULL;

	while (*text) {
		const unsigned char *next = pattern;

		if (*pattern == '*') {
			star = ++pattern;
			from = text;
		} else if (glob_fits(&next, *text)) {
			pattern = next;
			text++;
		} else if (star) {
			pattern = star;
			text = ++from;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return !*pattern;
}

/* Is the command one of those that COMMAND LIST FILTERBY asks for? */
static bool list_wants(const struct command *cmd, const struct arg *by,
	const char *what)
{
	char name[64];

	command_lower(cmd, name, sizeof(name));
	if (word_is(by, "PATTERN"))
		return glob(what, name);
	if (word_is(by, "ACLCAT"))
		return (cmd->flags & CMD_READ && strcmp(what, "read") == 0) ||
			(cmd->flags & CMD_WRITE && strcmp(what, "write") == 0);
	return false; /* MODULE: there are none. */
}

static void answer_list(struct client *c, const struct arg *argv, size_t argc)
{
	struct text names = { 0 }, t = { 0 };
	size_t found = 0;
	char *what;

	if (argc != 2 && (argc != 5 || !word_is(&argv[2], "FILTERBY") ||
	    !(word_is(&argv[3], "PATTERN") || word_is(&argv[3], "ACLCAT") ||
	    word_is(&argv[3], "MODULE")))) {
		say(c, "-ERR syntax error\r\n");
		return;
	}
	/* No name is so long, and no pattern for one need be. */
	if (argc == 5 && argv[4].len > MAX_PATTERN) {
		say(c, "*0\r\n");
		return;
	}
	what = argc == 5 ? xstrndup(argv[4].ptr, argv[4].len) : NULL;
	for (size_t i = 0; what && what[i]; i++)
		what[i] = (char)tolower((unsigned char)what[i]);
	for (size_t i = 0; command_at(i); i++) {
		if (is_subcommand(command_at(i)) ||
		    (what && !list_wants(command_at(i), &argv[3], what)))
			continue;
		put_lower(&names, command_at(i));
		found++;
	}
	free(what);
	text_printf(&t, "*%zu\r\n", found);
	text_add(&t, names.ptr, names.len);
	text_free(&names);
	send_text(c, &t);
}

static void answer_getkeys(struct client *c, const struct arg *argv, size_t argc)
{
	const struct command *cmd = command_find(argv + 2, argc - 2);
	struct text t = { 0 };
	uint32_t *at;
	long count;

	if (!cmd) {
		say(c, "-ERR Invalid command specified\r\n");
		return;
	}
	if (!command_arity_ok(cmd, argc - 2)) {
		say(c, "-ERR Invalid number of arguments specified for command\r\n");
		return;
	}
	count = command_keys(cmd, argv + 2, argc - 2, NULL, 0);
	if (count <= 0) {
		say(c, count < 0 ? "-ERR Invalid arguments specified for command\r\n"
			: "-ERR The command has no key arguments\r\n");
		return;
	}
	at = xcalloc((size_t)count, sizeof(*at));
	command_keys(cmd, argv + 2, argc - 2, at, (size_t)count);
	text_printf(&t, "*%ld\r\n", count);
	for (long i = 0; i < count; i++)
		put_bulk(&t, argv[2 + at[i]].ptr, argv[2 + at[i]].len);
	free(at);
	send_text(c, &t);
}

static void answer_command(struct client *c, const struct command *cmd,
	const struct arg *argv, size_t argc)
{
	const char *sub = strchr(cmd->name, '|');
	struct text t = { 0 };

	sub = sub ? sub + 1 : "";
	if (strcmp(sub, "GETKEYS") == 0) {
		answer_getkeys(c, argv, argc);
		return;
	}
	if (strcmp(sub, "LIST") == 0) {
		answer_list(c, argv, argc);
		return;
	}
	if (strcmp(sub, "COUNT") == 0) {
		answer_number(c, count_commands());
		return;
	}
	if (strcmp(sub, "INFO") == 0 && argc > 2) {
		put_named(&t, c, argv + 2, argc - 2);
	} else {
		text_printf(&t, "*%zu\r\n", count_commands());
		put_all(&t, c, put_command);
	}
	send_text(c, &t);
}

/* ---- the proxy itself --------------------------------------------------------------------- */

static void info_server(const struct pool *pool, struct text *t)
{
	text_printf(t, "# Server\r\nredis_version:%s\r\nredis_mode:standalone\r\n"
		"nutcracker_version:%s\r\nprocess_id:%ld\r\n"
		"uptime_in_seconds:%llu\r\n", redis_version(pool), VERSION,
		(long)getpid(), (unsigned long long)
		((proxy.loop.now_us - proxy.start_us) / 1000000));
}

static void info_clients(struct text *t)
{
	text_printf(t, "# Clients\r\nconnected_clients:%llu\r\n"
		"maxclients:%llu\r\nblocked_clients:0\r\n",
		(unsigned long long)proxy.clients,
		(unsigned long long)proxy.max_clients);
}

/* Bytes that were received and have not been passed on. */
static uint64_t buffered(const struct pool *pool)
{
	uint64_t total = 0;

	for (const struct client *c = pool->clients; c; c = c->next)
		total += c->held + c->conn.out.bytes +
			(c->conn.in ? c->conn.in->end - c->conn.in->start : 0);
	for (size_t i = 0; i < pool->conf->nservers; i++)
		for (const struct server_conn *sc = pool->servers[i]->conns; sc;
		     sc = sc->next)
			total += sc->conn.out.bytes + (sc->conn.in ?
				sc->conn.in->end - sc->conn.in->start : 0);
	return total;
}

static void info_memory(struct text *t)
{
	uint64_t total = 0;

	for (size_t i = 0; i < proxy.npools; i++)
		total += buffered(proxy.pools[i]);
	/* As Redis counts it: the data, which here is what is passing through. */
	text_printf(t, "# Memory\r\nused_memory:%llu\r\nbuffered_bytes:%llu\r\n"
		"maxmemory:0\r\n", (unsigned long long)total,
		(unsigned long long)total);
}

static void info_persistence(struct text *t)
{
	/* Clients wait for this one before they send anything. */
	text_printf(t, "# Persistence\r\nloading:0\r\n");
}

static void info_stats(struct text *t)
{
	uint64_t requests = 0, refused = 0;

	for (size_t i = 0; i < proxy.npools; i++) {
		const struct pool *pool = proxy.pools[i];
		refused += counters_sum(&pool->stats->refused_clients);
		for (size_t n = 0; n < pool->conf->nservers; n++)
			requests += counters_sum(
				&pool->servers[n]->stats->requests);
	}
	text_printf(t, "# Stats\r\ntotal_connections_received:%llu\r\n"
		"total_commands_processed:%llu\r\nrejected_connections:%llu\r\n",
		(unsigned long long)
		counters_sum(&proxy.stats->total_connections),
		(unsigned long long)requests, (unsigned long long)refused);
}

static void info_replication(struct text *t)
{
	text_printf(t, "# Replication\r\nrole:master\r\nconnected_slaves:0\r\n");
}

static void info_cluster(struct text *t)
{
	text_printf(t, "# Cluster\r\ncluster_enabled:0\r\n");
}

static void info_pools(struct text *t)
{
	text_printf(t, "# Pools\r\n");
	for (size_t i = 0; i < proxy.npools; i++) {
		const struct pool *pool = proxy.pools[i];
		text_printf(t, "pool_%s:clients=%llu,servers=%zu,live=%u,"
			"ejects=%llu,errors=%llu\r\n", pool->conf->name,
			(unsigned long long)
			counters_sum(&pool->stats->client_connections),
			pool->conf->nservers, pool_live(pool),
			(unsigned long long)
			counters_sum(&pool->stats->server_ejects),
			(unsigned long long)
			counters_sum(&pool->stats->forward_error));
	}
}

/* With names behind INFO, only the sections of these names. */
static bool info_wants(const char *name, const struct arg *argv, size_t argc)
{
	for (size_t i = 1; i < argc; i++)
		if (word_is(&argv[i], name) || word_is(&argv[i], "DEFAULT") ||
		    word_is(&argv[i], "ALL") || word_is(&argv[i], "EVERYTHING"))
			return true;
	return argc == 1;
}

static void info_text(const struct pool *pool, bool resp3, const struct arg *argv,
	size_t argc, struct text *reply)
{
	static const struct {
		const char *name;
		void (*put)(struct text *t);
	} sections[] = { { "CLIENTS", info_clients },
		{ "MEMORY", info_memory }, { "PERSISTENCE", info_persistence },
		{ "STATS", info_stats }, { "REPLICATION", info_replication },
		{ "CLUSTER", info_cluster }, { "POOLS", info_pools },
	};
	struct text t = { 0 };

	if (info_wants("SERVER", argv, argc))
		info_server(pool, &t);
	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
		if (!info_wants(sections[i].name, argv, argc))
			continue;
		if (t.len)
			text_add(&t, "\r\n", 2);
		sections[i].put(&t);
	}
	put_verbatim(reply, resp3, &t);
	text_free(&t);
}

/* A server's answer to INFO has its version in it. */
static void learn_version(struct pool *pool, const char *info, size_t len)
{
	static const char name[] = "\nredis_version:";
	size_t n = sizeof(name) - 1;

	for (; len > n; info++, len--) {
		size_t digits = 0;

		if (*info != '\n' || memcmp(info, name, n) != 0)
			continue;
		while (digits < len - n && digits + 1 < sizeof(pool->redis_version) &&
		       info[n + digits] > ' ')
			digits++;
		memcpy(pool->redis_version, info + n, digits);
		pool->redis_version[digits] = '\0';
		return;
	}
}

struct block *local_info(struct pool *pool, bool resp3, const struct arg *argv,
	size_t argc, const char *info, size_t len)
{
	struct text t = { 0 };
	struct block *block;

	learn_version(pool, info, len);
	info_text(pool, resp3, argv, argc, &t);
	block = block_new(t.len);
	memcpy(block->data, t.ptr, t.len);
	block->end = t.len;
	text_free(&t);
	return block;
}

static void answer_info(struct client *c, const struct arg *argv, size_t argc)
{
	struct text t = { 0 };

	if (!c->pool->redis_version[0] && split_info(c, argv, argc))
		return;
	info_text(c->pool, c->resp3, argv, argc, &t);
	send_text(c, &t);
}

static void answer_time(struct client *c)
{
	struct timespec now;
	char seconds[24], us[24];
	struct text t = { 0 };

	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(seconds, sizeof(seconds), "%lld", (long long)now.tv_sec);
	snprintf(us, sizeof(us), "%ld", now.tv_nsec / 1000);
	text_printf(&t, "*2\r\n");
	put_word(&t, seconds);
	put_word(&t, us);
	send_text(c, &t);
}

/* It may be large. */
static void answer_bulk(struct client *c, const struct arg *arg)
{
	struct block *block = block_try(arg->len + 32);
	size_t n;

	if (!block) {
		client_error(c, error_text(ENOMEM));
		return;
	}
	n = (size_t)snprintf(block->data, 32, "$%zu\r\n", arg->len);
	memcpy(block->data + n, arg->ptr, arg->len);
	memcpy(block->data + n + arg->len, "\r\n", 2);
	block->end = n + arg->len + 2;
	request_answer_block(request_new(c), block);
}

static void answer_lolwut(struct client *c)
{
	struct text art = { 0 }, t = { 0 };

	text_printf(&art, "nutcracker %s\n", VERSION);
	put_verbatim(&t, c->resp3, &art);
	text_free(&art);
	send_text(c, &t);
}

static void answer_ping(struct client *c, const struct arg *argv, size_t argc)
{
	if (argc == 1) {
		say(c, "+PONG\r\n");
	} else if (argc == 2) {
		answer_bulk(c, &argv[1]);
	} else {
		say(c, "-ERR wrong number of arguments for 'ping' command\r\n");
	}
}

void local_answer(struct client *c, const struct command *cmd,
	const struct arg *argv, size_t argc)
{
	switch ((enum local)cmd->answer) {
	case LOCAL_PING: answer_ping(c, argv, argc); break;
	case LOCAL_ECHO: answer_bulk(c, &argv[1]); break;
	case LOCAL_QUIT:
		say(c, "+OK\r\n");
		client_finish(c);
		break;
	case LOCAL_TIME: answer_time(c); break;
	case LOCAL_HELLO: answer_hello(c, argv, argc); break;
	case LOCAL_AUTH: answer_auth(c, argv, argc); break;
	case LOCAL_SELECT: answer_select(c, &argv[1]); break;
	case LOCAL_RESET: answer_reset(c); break;
	case LOCAL_CLIENT: answer_client(c, cmd, argv); break;
	case LOCAL_COMMAND: answer_command(c, cmd, argv, argc); break;
	case LOCAL_INFO: answer_info(c, argv, argc); break;
	case LOCAL_CONFIG: say(c, c->resp3 ? "%0\r\n" : "*0\r\n"); break;
	case LOCAL_READONLY: say(c, "+OK\r\n"); break;
	case LOCAL_LOLWUT: answer_lolwut(c); break;
	case LOCAL_NONE: break;
	}
}

/* ---- memcached ------------------------------------------------------------------------------ */

static void stat_line(struct text *t, const char *name, uint64_t value)
{
	text_printf(t, "STAT %s %llu\r\n", name, (unsigned long long)value);
}

static void answer_stats(struct client *c)
{
	const struct pool *pool = c->pool;
	struct text t = { 0 };

	stat_line(&t, "pid", (uint64_t)getpid());
	stat_line(&t, "uptime", (proxy.loop.now_us - proxy.start_us) / 1000000);
	text_printf(&t, "STAT version nutcracker-%s\r\n", VERSION);
	stat_line(&t, "curr_connections",
		counters_sum(&pool->stats->client_connections));
	stat_line(&t, "server_ejects",
		counters_sum(&pool->stats->server_ejects));
	stat_line(&t, "forward_error",
		counters_sum(&pool->stats->forward_error));
	for (size_t i = 0; i < pool->conf->nservers; i++) {
		const struct server *s = pool->servers[i];
		text_printf(&t, "STAT %s:requests %llu\r\nSTAT %s:responses %llu\r\n"
			"STAT %s:ejected %d\r\n", s->conf->name,
			(unsigned long long)
			counters_sum(&s->stats->requests), s->conf->name,
			(unsigned long long)
			counters_sum(&s->stats->responses), s->conf->name,
			s->ejected);
	}
	text_printf(&t, "END\r\n");
	send_text(c, &t);
}

void local_memcached(struct client *c, const struct mc_command *mc,
	const struct arg *argv, size_t argc)
{
	bool quiet = mc->can_noreply && argc > 1 && argv[argc - 1].len == 7 &&
		memcmp(argv[argc - 1].ptr, "noreply", 7) == 0;

	switch ((enum mc_kind)mc->kind) {
	case MC_QUIT:
		client_finish(c);
		break;
	case MC_VERBOSITY:
		if (!quiet)
			say(c, "OK\r\n");
		break;
	case MC_STATS:
		if (argc == 1)
			answer_stats(c);
		else
			say(c, "END\r\n");
		break;
	default:
		if (!quiet)
			say(c, "CLIENT_ERROR not supported through a proxy\r\n");
	}
}
