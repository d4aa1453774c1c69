/* SPDX-License-Identifier: Apache-2.0 */
/* conf: what the keys of the configuration mean; defaults, ranges, checks. */
#include "conf.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util.h"
#include "yaml_min.h"

enum key_type {
	KEY_LISTEN,
	KEY_HASH,
	KEY_HASH_TAG,
	KEY_DISTRIBUTION,
	KEY_ON_EJECT,
	KEY_NUMBER,
	KEY_BOOL,
	KEY_STRING,
	KEY_COMMANDS,
	KEY_DENY,
	KEY_SERVERS,
};

struct key {
	const char *name;
	const char *value; /* the default, as one would write it; NULL: none */
	uint8_t type;      /* enum key_type */
	uint16_t offset;   /* numbers, bools and strings: where in the pool */
	int min, max;      /* numbers */
	const char *unit;  /* numbers; NULL: a plain count */
	const char *const *words; /* three, in the order of their values */
};

#define POOL(field) offsetof(struct conf_pool, field)

static const char *const yes_no[] = { "false", "true", NULL };
static const char *const distributions[] = { "ketama", "modula", "random" };
static const char *const on_eject[] = { "rehash", "error", "miss" };
static const char *const multiget_errors[] = { "fail", "miss", NULL };
static const char *const cross_server[] = { "error", "allow", NULL };

static const struct key keys[] = {
	{ "listen", NULL, KEY_LISTEN, 0, 0, 0, NULL, NULL },
	{ "hash", "fnv1a_64", KEY_HASH, 0, 0, 0, NULL, NULL },
	{ "hash_tag", NULL, KEY_HASH_TAG, 0, 0, 0, NULL, NULL },
	{ "distribution", "ketama", KEY_DISTRIBUTION, 0, 0, 0, NULL,
		distributions },
	{ "timeout", NULL, KEY_NUMBER, POOL(timeout), 0, INT_MAX,
		"milliseconds", NULL },
	{ "backlog", "512", KEY_NUMBER, POOL(backlog), 0, INT_MAX, NULL, NULL },
	{ "client_connections", NULL, KEY_NUMBER, POOL(client_connections),
		0, INT_MAX, NULL, NULL },
	{ "client_idle_timeout", NULL, KEY_NUMBER, POOL(client_idle_timeout),
		0, INT_MAX, "milliseconds", NULL },
	{ "client_max_requests", "1024", KEY_NUMBER, POOL(client_max_requests),
		1, 1048576, NULL, NULL },
	{ "client_max_unread", "262144", KEY_NUMBER, POOL(client_max_unread),
		4096, 1073741824, "bytes", NULL },
	{ "server_max_queue", "1048576", KEY_NUMBER, POOL(server_max_queue),
		4096, 1073741824, "bytes", NULL },
	{ "dns_refresh", "30000", KEY_NUMBER, POOL(dns_refresh), 0, INT_MAX,
		"milliseconds", NULL },
	{ "redis", "false", KEY_BOOL, POOL(redis), 0, 0, NULL, yes_no },
	{ "tcpkeepalive", "false", KEY_BOOL, POOL(tcpkeepalive), 0, 0, NULL, yes_no },
	{ "tcpkeepidle", NULL, KEY_NUMBER, POOL(tcpkeepidle), 1, 32767,
		"seconds", NULL },
	{ "tcpkeepintvl", NULL, KEY_NUMBER, POOL(tcpkeepintvl), 1, 32767,
		"seconds", NULL },
	{ "tcpkeepcnt", NULL, KEY_NUMBER, POOL(tcpkeepcnt), 1, 127, NULL, NULL },
	{ "reuseport", "false", KEY_BOOL, POOL(reuseport), 0, 0, NULL, yes_no },
	{ "redis_auth", NULL, KEY_STRING, POOL(redis_auth), 0, 0, NULL, NULL },
	{ "redis_db", NULL, KEY_NUMBER, POOL(redis_db), 0, INT_MAX, NULL, NULL },
	{ "preconnect", "false", KEY_BOOL, POOL(preconnect), 0, 0, NULL, yes_no },
	{ "auto_eject_hosts", "false", KEY_BOOL, POOL(auto_eject_hosts),
		0, 0, NULL, yes_no },
	{ "server_connections", "1", KEY_NUMBER, POOL(server_connections),
		1, 65536, NULL, NULL },
	{ "server_retry_timeout", "30000", KEY_NUMBER, POOL(server_retry_timeout),
		0, INT_MAX, "milliseconds", NULL },
	{ "server_failure_limit", "2", KEY_NUMBER, POOL(server_failure_limit),
		0, INT_MAX, NULL, NULL },
	{ "on_eject", "rehash", KEY_ON_EJECT, 0, 0, 0, NULL, on_eject },
	{ "multiget_errors", "fail", KEY_BOOL, POOL(multiget_miss), 0, 0, NULL,
		multiget_errors },
	{ "cross_server", "error", KEY_BOOL, POOL(cross_server_allow), 0, 0, NULL,
		cross_server },
	{ "allow_flush", "false", KEY_BOOL, POOL(allow_flush), 0, 0, NULL, yes_no },
	{ "commands", "forward", KEY_COMMANDS, 0, 0, 0, NULL, NULL },
	{ "deny_commands", NULL, KEY_DENY, 0, 0, 0, NULL, NULL },
	{ "servers", NULL, KEY_SERVERS, 0, 0, 0, NULL, NULL },
};

enum { NKEYS = sizeof(keys) / sizeof(keys[0]) };

/* One reading of one file. */
struct reader {
	const char *path;
	struct conf *conf;
	size_t pools_room;
	struct conf_pool *pool; /* the one being read; NULL before the first */
	size_t servers_room;    /* of that pool */
	int given[NKEYS];       /* line on which that pool has the key, or 0 */
	const struct key *key;  /* the one being read */
	char *key_text;         /* as written: it may be the other spelling */
	int list_line;          /* where that pool's list began, or 0 */
	bool in_list;           /* it is the list of `key` */
	bool lookup;            /* names of `listen` have to resolve */
	char *error;
};

int conf_name_cmp(const char *a, const char *b)
{
	size_t a_len = strlen(a);
	size_t b_len = strlen(b);

	if (a_len != b_len)
		return a_len < b_len ? -1 : 1;
	return memcmp(a, b, a_len);
}

/*
 * Reasons: every check below returns NULL, or the second half of an error
 * sentence as memory of its own.
 */

static char *reason_found(const char *reason, const char *text, size_t len)
{
	char *quoted = len > 0 ? yaml_quote(text, len) : xstrdup("nothing");
	char *result = xasprintf("%s, found %s", reason, quoted);

	free(quoted);
	return result;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Levenshtein's distance without regard to case; long words are far away. */
static size_t edit_distance(const char *a, const char *b)
{
	enum { LONGEST = 32 };
	size_t row[LONGEST + 1];
	size_t a_len = strlen(a);
	size_t b_len = strlen(b);
	size_t i, j;

	if (a_len > LONGEST || b_len > LONGEST)
		return LONGEST;
	for (j = 0; j <= b_len; j++)
		row[j] = j;
	for (i = 1; i <= a_len; i++) {
		size_t corner = row[0];

		row[0] = i;
		for (j = 1; j <= b_len; j++) {
			size_t changed = corner + (lower(a[i - 1]) != lower(b[j - 1]));

			corner = row[j];
			row[j] = min_size(changed, 1 + min_size(row[j], row[j - 1]));
		}
	}
	return row[b_len];
}

static const char *key_name(size_t i)
{
	return i < NKEYS ? keys[i].name : NULL;
}

/* The name nearest to the text, at most two letters off, or NULL. */
static const char *nearest(const char *text, const char *(*name)(size_t i))
{
	const char *best = NULL;
	size_t best_distance = min_size(3, strlen(text));
	size_t i;

	for (i = 0; name(i); i++) {
		size_t distance = edit_distance(text, name(i));

		if (distance < best_distance) {
			best_distance = distance;
			best = name(i);
		}
	}
	return best;
}

static char *reason_unknown(const char *what, const char *text,
	const char *(*name)(size_t i))
{
	const char *near = nearest(text, name);
	char *quoted = yaml_quote(text, strlen(text));
	char *result = near ?
		xasprintf("unknown %s %s (did you mean \"%s\"?)", what, quoted, near) :
		xasprintf("unknown %s %s", what, quoted);

	free(quoted);
	return result;
}

static char *hash_set(struct conf_pool *pool, const char *text)
{
	size_t i;

	for (i = 0; hash_name(i); i++) {
		if (strcmp(text, hash_name(i)) != 0)
			continue;
		pool->hash = hash_find(text);
		pool->hash_name = hash_name(i);
		return NULL;
	}
	return reason_unknown("hash", text, hash_name);
}

static char *hash_tag_set(struct conf_pool *pool, const char *text)
{
	size_t len = strlen(text);

	if (len != sizeof(pool->hash_tag))
		return reason_found("needs two characters like \"{}\"", text, len);
	memcpy(pool->hash_tag, text, sizeof(pool->hash_tag));
	pool->has_hash_tag = true;
	return NULL;
}

/* The value of a word of the key, or a reason. */
static char *word_find(const struct key *key, const char *text, int *value)
{
	const char *const *w = key->words;
	char *needs, *result;
	int i;

	for (i = 0; i < 3 && w[i]; i++) {
		if (strcmp(text, w[i]) != 0)
			continue;
		*value = i;
		return NULL;
	}
	needs = w[2] ? xasprintf("needs %s, %s or %s", w[0], w[1], w[2]) :
		xasprintf("needs %s or %s", w[1], w[0]);
	result = reason_found(needs, text, strlen(text));
	free(needs);
	return result;
}

static char *word_set(struct conf_pool *pool, const struct key *key,
	const char *text)
{
	int value = 0;
	char *reason = word_find(key, text, &value);

	if (reason)
		return reason;
	if (key->type == KEY_DISTRIBUTION)
		pool->distribution = (enum distribution)value;
	else if (key->type == KEY_ON_EJECT)
		pool->on_eject = (enum on_eject)value;
	else
		*(bool *)((char *)pool + key->offset) = value != 0;
	return NULL;
}

static char *number_set(struct conf_pool *pool, const struct key *key,
	const char *text)
{
	uint64_t value = 0;
	char *needs, *result;

	if (parse_number(text, strlen(text), (uint64_t)key->max, &value) &&
			value >= (uint64_t)key->min) {
		*(int *)((char *)pool + key->offset) = (int)value;
		return NULL;
	}
	needs = xasprintf("needs a number%s%s from %d to %d",
		key->unit ? " of " : "", key->unit ? key->unit : "",
		key->min, key->max);
	result = reason_found(needs, text, strlen(text));
	free(needs);
	return result;
}

static char *string_set(struct conf_pool *pool, const struct key *key,
	const char *text)
{
	char **field = (char **)((char *)pool + key->offset);

	*field = xstrdup(text);
	return NULL;
}

/* The last colon of text[0..len), or NULL. */
static const char *last_colon(const char *text, size_t len)
{
	while (len-- > 0)
		if (text[len] == ':')
			return text + len;
	return NULL;
}

static char *port_set(struct conf_addr *addr, const char *text, size_t len)
{
	uint64_t port;

	if (!parse_number(text, len, 65535, &port) || port == 0)
		return reason_found("needs a port from 1 to 65535", text, len);
	addr->port = (uint16_t)port;
	return NULL;
}

/* "[::1]" means the address within the brackets. */
static char *host_of(const char *text, size_t len)
{
	if (len > 2 && text[0] == '[' && text[len - 1] == ']' &&
			memchr(text, ':', len))
		return xstrndup(text + 1, len - 2);
	return xstrndup(text, len);
}

static char *listen_resolve(const char *host)
{
	struct addrinfo hints;
	struct addrinfo *found = NULL;
	char *quoted, *reason;
	int error;

	/* Some resolvers take the star for every address, others for a name. */
	if (strcmp(host, "*") == 0)
		return NULL;
	memset(&hints, 0, sizeof(hints));
	hints.ai_family = AF_UNSPEC;
	hints.ai_socktype = SOCK_STREAM;
	error = getaddrinfo(host, NULL, &hints, &found);
	if (error == 0) {
		freeaddrinfo(found);
		return NULL;
	}
	quoted = yaml_quote(host, strlen(host));
	reason = xasprintf("the host name %s does not resolve: %s", quoted,
		error == EAI_SYSTEM ? strerror(errno) : gai_strerror(error));
	free(quoted);
	return reason;
}

/* "/path" or "/path mode". The mode is read as strtol does, since that is what
 * files of the past were checked by: what is not octal is no mode. */
static char *listen_unix_set(struct conf_addr *addr, const char *text)
{
	struct sockaddr_un sun;
	const char *space = strrchr(text, ' ');
	size_t len = space ? (size_t)(space - text) : strlen(text);
	long mode = space ? strtol(space + 1, NULL, 8) : 0;

	if (mode < 0 || mode > 0777)
		return reason_found("needs a file mode from 0 to 0777 behind the path",
			space + 1, strlen(space + 1));
	if (len >= sizeof(sun.sun_path)) {
		char *needs = xasprintf("needs a path of at most %lu bytes",
			(unsigned long)sizeof(sun.sun_path) - 1);
		char *result = reason_found(needs, text, len);

		free(needs);
		return result;
	}
	addr->is_unix = true;
	addr->mode = (unsigned)mode;
	addr->host = xstrndup(text, len);
	return NULL;
}

static char *listen_set(struct conf_addr *addr, const char *text, bool lookup)
{
	const char *colon = last_colon(text, strlen(text));
	char *reason;

	addr->text = xstrdup(text);
	if (*text == '/')
		return listen_unix_set(addr, text);
	if (!colon)
		return reason_found("needs \"host:port\" or \"/path\" or \"/path mode\"",
			text, strlen(text));
	reason = port_set(addr, colon + 1, strlen(colon + 1));
	if (reason)
		return reason;
	addr->host = host_of(text, (size_t)(colon - text));
	if (*addr->host == '\0')
		return xstrdup("needs a host before the port, \"0.0.0.0\" for "
			"every address, found nothing");
	return lookup ? listen_resolve(addr->host) : NULL;
}

static void addr_free(struct conf_addr *addr)
{
	free(addr->text);
	free(addr->host);
}

/* The name an item has when it gives none. text[0..weight] ends in the colon
 * before the weight; text[0..host_len) is the host or path. Every byte decides
 * where keys live: a port stays as written, the port of memcached is left out,
 * and a path keeps its colon. */
static char *server_name(const struct conf_addr *addr, const char *text,
	size_t host_len, size_t weight)
{
	if (addr->is_unix)
		return xstrndup(text, weight + 1);
	return xstrndup(text, addr->port == 11211 ? host_len : weight);
}

/* "host:port:weight", "/path:weight", each with " name" behind it if wanted:
 * taken apart from the right, so that an IPv6 address needs no brackets. */
static char *server_set(struct conf_server *server, const char *text)
{
	struct conf_addr *addr = &server->addr;
	const char *space = strrchr(text, ' ');
	size_t len = space ? (size_t)(space - text) : strlen(text);
	const char *weight = last_colon(text, len);
	const char *host_end = weight;
	uint64_t number;
	size_t weight_len;

	addr->is_unix = *text == '/';
	if (weight && addr->is_unix && last_colon(text, (size_t)(weight - text)))
		weight = NULL;
	if (weight && !addr->is_unix)
		host_end = last_colon(text, (size_t)(weight - text));
	if (!weight || !host_end)
		return reason_found("needs \"host:port:weight\" or \"/path:weight\", "
			"and a name behind a space if wanted", text, strlen(text));
	weight_len = len - (size_t)(weight + 1 - text);
	if (!parse_number(weight + 1, weight_len, INT_MAX, &number) || number == 0)
		return reason_found("needs a weight from 1 to 2147483647",
			weight + 1, weight_len);
	if (!addr->is_unix) {
		char *reason = port_set(addr, host_end + 1,
			(size_t)(weight - host_end - 1));

		if (reason)
			return reason;
	}
	server->weight = (uint32_t)number;
	addr->text = xstrndup(text, len);
	addr->host = host_of(text, (size_t)(host_end - text));
	server->name = space ? xstrdup(space + 1) : server_name(addr, text,
		(size_t)(host_end - text), (size_t)(weight - text));
	return NULL;
}

static char *server_add(struct reader *r, const char *text, int line)
{
	struct conf_pool *pool = r->pool;
	struct conf_server *server;

	if (pool->nservers == r->servers_room) {
		r->servers_room = 2 * r->servers_room + 4;
		pool->servers = xrealloc(pool->servers,
			r->servers_room * sizeof(*pool->servers));
	}
	server = &pool->servers[pool->nservers++];
	memset(server, 0, sizeof(*server));
	server->line = line;
	return server_set(server, text);
}

static void command_add(struct conf_pool *pool, const char *name, size_t len,
	unsigned key)
{
	struct conf_command *added;

	pool->commands = xrealloc(pool->commands,
		(pool->ncommands + 1) * sizeof(*pool->commands));
	added = &pool->commands[pool->ncommands++];
	added->name = xstrndup(name, len);
	added->key = key;
}

/* One word of `commands`: "forward", "refuse" or "name:2". */
static char *command_word(struct conf_pool *pool, const char *word, size_t len)
{
	const char *colon = memchr(word, ':', len);
	size_t name = colon ? (size_t)(colon - word) : len;
	uint64_t key;

	if (!colon && len == 6 && memcmp(word, "refuse", 6) == 0) {
		pool->refuse_unknown = true;
		return NULL;
	}
	if (!colon && len == 7 && memcmp(word, "forward", 7) == 0)
		return NULL;
	if (!name || !colon || !parse_number(colon + 1, len - name - 1, 1048576,
	    &key) || key == 0)
		return reason_found("needs \"forward\", \"refuse\" or "
			"\"NAME:POSITION OF THE KEY\"", word, len);
	command_add(pool, word, name, (unsigned)key);
	return NULL;
}

/* Words with blanks or commas between them. */
static char *commands_set(struct conf_pool *pool, const char *text, bool deny)
{
	char *reason = NULL;

	while (*text && !reason) {
		size_t len = strcspn(text, " ,");

		if (len && deny)
			command_add(pool, text, len, 0);
		else if (len)
			reason = command_word(pool, text, len);
		text += len + (text[len] != '\0');
	}
	return reason;
}

static char *key_set(struct reader *r, const struct key *key, const char *text,
	int line)
{
	switch ((enum key_type)key->type) {
	case KEY_LISTEN:
		return listen_set(&r->pool->listen, text, r->lookup);
	case KEY_HASH:
		return hash_set(r->pool, text);
	case KEY_HASH_TAG:
		return hash_tag_set(r->pool, text);
	case KEY_DISTRIBUTION:
	case KEY_ON_EJECT:
	case KEY_BOOL:
		return word_set(r->pool, key, text);
	case KEY_NUMBER:
		return number_set(r->pool, key, text);
	case KEY_STRING:
		return string_set(r->pool, key, text);
	case KEY_COMMANDS:
		return commands_set(r->pool, text, false);
	case KEY_DENY:
		return commands_set(r->pool, text, true);
	case KEY_SERVERS:
		return server_add(r, text, line);
	}
	return NULL;
}

static const struct key *key_find(const char *text)
{
	size_t i;

	/* What the option does, as some write it. */
	if (strcmp(text, "auto_reject_hosts") == 0)
		text = "auto_eject_hosts";
	for (i = 0; i < NKEYS; i++)
		if (strcmp(text, keys[i].name) == 0)
			return &keys[i];
	return NULL;
}

/* How much of a reason is told: what was found may be a password, which must
 * not get into a log. */
static int told(const struct reader *r, const char *reason)
{
	const char *found = strstr(reason, ", found ");

	if (found && (strstr(found, "redis_auth") ||
	    (r->key_text && strcmp(r->key_text, "redis_auth") == 0)))
		return (int)(found - reason);
	return (int)strlen(reason);
}

/* "file:line: pool: key: reason"; pool and key may be NULL, the line 0. Takes
 * the reason over, and returns false for callers to return. */
static bool fail(struct reader *r, int line, const char *pool, const char *key,
	char *reason)
{
	char number[32] = "";

	if (line > 0)
		snprintf(number, sizeof(number), ":%d", line);
	r->error = xasprintf("%s%s: %s%s%s%s%.*s", r->path, number,
		pool ? pool : "", pool ? ": " : "", key ? key : "", key ? ": " : "",
		told(r, reason), reason);
	free(reason);
	return false;
}

static int server_cmp(const void *a, const void *b)
{
	const struct conf_server *x = a;
	const struct conf_server *y = b;
	int order = conf_name_cmp(x->name, y->name);

	return order != 0 ? order : (x->line > y->line) - (x->line < y->line);
}

int conf_listen_cmp(const struct conf_addr *a, const struct conf_addr *b)
{
	int order = strcmp(a->host, b->host);

	return order != 0 ? order : (a->port > b->port) - (a->port < b->port);
}

static int pool_listen_cmp(const void *a, const void *b)
{
	const struct conf_pool *x = a;
	const struct conf_pool *y = b;
	int order = conf_listen_cmp(&x->listen, &y->listen);

	return order != 0 ? order : (x->line > y->line) - (x->line < y->line);
}

static int pool_cmp(const void *a, const void *b)
{
	const struct conf_pool *x = a;
	const struct conf_pool *y = b;
	int order = conf_name_cmp(x->name, y->name);

	return order != 0 ? order : (x->line > y->line) - (x->line < y->line);
}

static bool check_server_names(struct reader *r)
{
	const struct conf_pool *pool = r->pool;
	size_t i;

	for (i = 1; i < pool->nservers; i++) {
		const struct conf_server *s = &pool->servers[i];

		if (strcmp(s[-1].name, s->name) == 0)
			return fail(r, s->line, pool->name, "servers",
				xasprintf("the server on line %d has the same name, "
				"\"%s\"", s[-1].line, s->name));
	}
	return true;
}

static int given_line(const struct reader *r, const char *name)
{
	return r->given[key_find(name) - keys];
}

/* A pool has been read to its end. */
static bool pool_finish(struct reader *r)
{
	struct conf_pool *pool = r->pool;

	if (!pool)
		return true;
	if (!pool->listen.text)
		return fail(r, pool->line, pool->name, NULL,
			xstrdup("the key \"listen\" is missing"));
	if (pool->redis_auth && !pool->redis)
		return fail(r, given_line(r, "redis_auth"), pool->name, "redis_auth",
			xstrdup("only a pool with \"redis: true\" can have a password"));
	if (pool->nservers == 0)
		return fail(r, pool->line, pool->name, NULL,
			xstrdup("the pool has no \"servers\""));
	if (r->list_line == 0)
		return fail(r, given_line(r, "servers"), pool->name, "servers",
			xstrdup("needs a list, one \"- host:port:weight\" a line"));
	if (pool->server_failure_limit == 0)
		pool->server_failure_limit = 1;
	qsort(pool->servers, pool->nservers, sizeof(*pool->servers), server_cmp);
	return check_server_names(r);
}

static void pool_defaults(struct reader *r)
{
	size_t i;

	for (i = 0; i < NKEYS; i++)
		if (keys[i].value)
			free(key_set(r, &keys[i], keys[i].value, 0));
}

static bool pool_begin(struct reader *r, const struct yaml_token *token)
{
	struct conf *conf = r->conf;

	if (!pool_finish(r))
		return false;
	if (token->len == 0)
		return fail(r, token->line, NULL, NULL,
			xstrdup("a pool needs a name, found \"\""));
	if (conf->npools == r->pools_room) {
		r->pools_room = 2 * r->pools_room + 4;
		conf->pools = xrealloc(conf->pools,
			r->pools_room * sizeof(*conf->pools));
	}
	r->pool = &conf->pools[conf->npools++];
	memset(r->pool, 0, sizeof(*r->pool));
	r->pool->name = xstrdup(token->text);
	r->pool->line = token->line;
	r->servers_room = 0;
	memset(r->given, 0, sizeof(r->given));
	r->list_line = 0;
	pool_defaults(r);
	return true;
}

static bool key_begin(struct reader *r, const struct yaml_token *token)
{
	assert(r->pool); /* nothing is so deep without a pool above it */
	free(r->key_text);
	r->key_text = xstrdup(token->text);
	r->in_list = false;
	r->key = key_find(token->text);
	if (!r->key)
		return fail(r, token->line, r->pool->name, NULL,
			reason_unknown("key", token->text, key_name));
	return true;
}

static bool key_value(struct reader *r, const struct yaml_token *token)
{
	int *given = &r->given[r->key - keys];
	char *reason;

	assert(r->pool && r->key); /* what has a value is a key of a pool */
	if (token->len == 0)
		reason = xstrdup("the value is missing");
	else if (*given && r->key->type != KEY_SERVERS)
		reason = xasprintf("given a second time, first on line %d", *given);
	else
		reason = key_set(r, r->key, token->text, token->line);
	*given = token->line;
	if (reason)
		return fail(r, token->line, r->pool->name, r->key_text, reason);
	return true;
}

/* Any key may have its value as a list of one; one list is allowed. */
static bool key_item(struct reader *r, const struct yaml_token *token)
{
	if (!r->in_list && r->list_line)
		return fail(r, token->line, r->pool->name, r->key_text,
			xasprintf("a pool has one list, its servers, and that was "
			"on line %d", r->list_line));
	if (!r->in_list)
		r->list_line = token->line;
	r->in_list = true;
	return key_value(r, token);
}

static bool take_key(struct reader *r, const struct yaml_token *token)
{
	if (token->depth == 0)
		return pool_begin(r, token);
	assert(r->pool);
	if (token->depth == 1)
		return key_begin(r, token);
	return fail(r, token->line, r->pool->name, r->key_text,
		reason_found("needs a value, not a key of its own",
		token->text, token->len));
}

static bool take_value(struct reader *r, const struct yaml_token *token)
{
	if (token->depth == 1)
		return key_value(r, token);
	assert(r->pool);
	return fail(r, token->line, r->pool->name, NULL,
		reason_found("a pool needs \"key: value\" lines below its name",
		token->text, token->len));
}

static bool take_item(struct reader *r, const struct yaml_token *token)
{
	if (token->depth == 2)
		return key_item(r, token);
	return fail(r, token->line, r->pool ? r->pool->name : NULL, NULL,
		reason_found(r->pool ?
		"a pool needs \"key: value\" lines, not a list" :
		"pools need names, not a list", token->text, token->len));
}

static bool take_yaml_error(struct reader *r, const struct yaml_token *token)
{
	r->error = xasprintf("%s:%d:%d: %.*s", r->path, token->line, token->column,
		told(r, token->text), token->text);
	return false;
}

static bool read_tokens(struct reader *r, struct yaml *yaml)
{
	struct yaml_token token;
	bool ok = true;

	while (ok) {
		switch (yaml_next(yaml, &token)) {
		case YAML_KEY:
			ok = take_key(r, &token);
			break;
		case YAML_VALUE:
			ok = take_value(r, &token);
			break;
		case YAML_ITEM:
			ok = take_item(r, &token);
			break;
		case YAML_END:
			return pool_finish(r);
		case YAML_ERROR:
			ok = take_yaml_error(r, &token);
			break;
		}
	}
	return false;
}

/* What concerns more than one pool; leaves them in index order. */
static bool conf_finish(struct reader *r)
{
	struct conf_pool *pools = r->conf->pools;
	size_t n = r->conf->npools;
	size_t i;

	if (n == 0)
		return fail(r, 0, NULL, NULL, xstrdup("the file holds no pool"));
	qsort(pools, n, sizeof(*pools), pool_listen_cmp);
	for (i = 1; i < n; i++)
		if (conf_listen_cmp(&pools[i - 1].listen, &pools[i].listen) == 0)
			return fail(r, pools[i].line, pools[i].name, "listen",
				xasprintf("pool \"%s\" on line %d listens on the same "
				"address, \"%s\"", pools[i - 1].name,
				pools[i - 1].line, pools[i].listen.text));
	qsort(pools, n, sizeof(*pools), pool_cmp);
	for (i = 1; i < n; i++)
		if (strcmp(pools[i - 1].name, pools[i].name) == 0)
			return fail(r, pools[i].line, pools[i].name, NULL,
				xasprintf("the pool on line %d has the same name",
				pools[i - 1].line));
	return true;
}

/* One byte more than allowed at most: the reader will say so. */
char *conf_text(const char *path, size_t *len, char **error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : 1;
	size_t room = 0;
	char *text = NULL;

	*len = 0;
	while (got > 0 && *len <= YAML_MAX_SIZE) {
		if (*len == room) {
			room = 2 * room + 4096;
			text = xrealloc(text, room);
		}
		do
			got = read(fd, text + *len, room - *len);
		while (got < 0 && errno == EINTR);
		if (got > 0)
			*len += (size_t)got;
	}
	if (got < 0) {
		*error = xasprintf("%s: cannot be read: %s", path,
			strerror(errno));
		free(text);
		text = NULL;
	}
	if (fd >= 0)
		close(fd);
	return text;
}

static int parse(const char *path, const char *text, size_t len, bool lookup,
	struct conf *conf, char **error)
{
	struct reader r;
	struct yaml yaml;
	bool ok;

	memset(&r, 0, sizeof(r));
	memset(conf, 0, sizeof(*conf));
	r.path = path;
	r.conf = conf;
	r.lookup = lookup;
	yaml_init(&yaml, text, len);
	ok = read_tokens(&r, &yaml) && conf_finish(&r);
	yaml_free(&yaml);
	free(r.key_text);
	if (ok)
		return 0;
	conf_free(conf);
	*error = r.error;
	return -1;
}

int conf_parse(const char *path, const char *text, size_t len,
	struct conf *conf, char **error)
{
	return parse(path, text, len, false, conf, error);
}

int conf_read(const char *path, struct conf *conf, char **error)
{
	size_t len = 0;
	char *text = conf_text(path, &len, error);
	int result = -1;

	memset(conf, 0, sizeof(*conf));
	if (text)
		result = parse(path, text, len, true, conf, error);
	free(text);
	return result;
}

static void server_clear(struct conf_server *server)
{
	addr_free(&server->addr);
	free(server->name);
}

static void pool_clear(struct conf_pool *pool)
{
	size_t i;

	for (i = 0; i < pool->nservers; i++)
		server_clear(&pool->servers[i]);
	free(pool->servers);
	addr_free(&pool->listen);
	for (i = 0; i < pool->ncommands; i++)
		free(pool->commands[i].name);
	free(pool->commands);
	free(pool->redis_auth);
	free(pool->name);
}

void conf_free(struct conf *conf)
{
	size_t i;

	for (i = 0; i < conf->npools; i++)
		pool_clear(&conf->pools[i]);
	free(conf->pools);
	memset(conf, 0, sizeof(*conf));
}

struct conf_pool *conf_pool_take(struct conf_pool *pool)
{
	struct conf_pool *taken = xmalloc(sizeof(*taken));

	*taken = *pool;
	memset(pool, 0, sizeof(*pool));
	return taken;
}

void conf_pool_free(struct conf_pool *pool)
{
	if (pool)
		pool_clear(pool);
	free(pool);
}

struct conf_server *conf_server_copy(const struct conf_server *server)
{
	struct conf_server *copy = xmalloc(sizeof(*copy));

	*copy = *server;
	copy->name = xstrdup(server->name);
	copy->addr.text = xstrdup(server->addr.text);
	copy->addr.host = xstrdup(server->addr.host);
	return copy;
}

void conf_server_free(struct conf_server *server)
{
	if (server)
		server_clear(server);
	free(server);
}

const struct conf_command *conf_command(const struct conf_pool *pool,
	const char *name, size_t len)
{
	const struct conf_command *found = NULL;

	for (size_t i = 0; i < pool->ncommands; i++) {
		const char *listed = pool->commands[i].name;
		size_t n = 0;

		while (n < len && listed[n] && lower(listed[n]) == lower(name[n]))
			n++;
		if (n == len && !listed[n] && (!found || !pool->commands[i].key))
			found = &pool->commands[i];
	}
	return found;
}
