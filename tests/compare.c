/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compare: the same requests to a proxy and to one server directly; what comes
 * back must be the same. The server is the judge of what is right, the table of
 * commands says only where a request goes.
 */
#include "bench.h"

#include <stdbool.h>
#include <stdint.h>

#include "../command.h"

enum {
	WORDS = 64,
	LINE = 4096,
	PATIENCE = 20000, /* ms without a byte */
	SHOWN = 300,      /* bytes of a reply that is shown */
	SCAN_STEPS = 10000, /* a scan that takes more goes round in circles */
	NAME_ROOM = 64,
};

static const char usage[] =
	"usage: compare table              every command and its outcome\n"
	"       compare calls PROXY SERVER [RESP]  calls from stdin, one a line:\n"
	"         ~ in front: the order of the elements does not count\n"
	"         ? in front: only the type of the reply counts\n"
	"         + in front: the proxy's reply is no error, the server is not asked\n"
	"       compare refusals PROXY SERVER      every command with too few words\n"
	"       compare pipeline PROTOCOL PROXY SERVER SEED N  a random pipeline;\n"
	"         PROTOCOL: 2, 3 (of Redis) or memcached\n"
	"       compare scan PROXY WRITES WORD...  SCAN to the end with these\n"
	"         words; after each step WRITES new keys are set; prints the keys\n";

/* ---- a conn and the replies on it ------------------------------------------ */

struct peer {
	const char *address;
	int fd;
	struct bytes in;
	size_t pos; /* of the reply being read */
};

static struct peer
peer_open(const char *address)
{
	struct peer p = {.address = address, .fd = address_connect(address)};

	if (p.fd < 0)
		die("connect %s: %s", address, strerror(errno));
	return p;
}

static void
peer_close(struct peer *p)
{
	close(p->fd);
	free(p->in.at);
}

/* Waits for more bytes. False: the peer has closed. */
static bool
peer_more(struct peer *p)
{
	struct pollfd ready = {p->fd, POLLIN, 0};
	ssize_t n;

	for (;;) {
		if (poll(&ready, 1, PATIENCE) == 0)
			die("%s is silent", p->address);
		bytes_reserve(&p->in, 65536);
		n = read(p->fd, p->in.at + p->in.len, 65536);
		if (n > 0) {
			p->in.len += (size_t)n;
			return true;
		}
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			return false;
	}
}

static void
peer_send(struct peer *p, const struct bytes *b)
{
	struct pollfd ready = {p->fd, POLLOUT, 0};

	for (size_t sent = 0; sent < b->len;) {
		ssize_t n = write(p->fd, b->at + sent, b->len - sent);
		if (n > 0)
			sent += (size_t)n;
		else if (errno == EAGAIN)
			poll(&ready, 1, PATIENCE);
		else if (errno != EINTR)
			die("%s: %s", p->address, strerror(errno));
	}
}

/* ---- replies, as text ------------------------------------------------------- */

/* The line at p->pos, without its end; NULL: the peer has closed. */
static const char *
line_read(struct peer *p, size_t *len)
{
	const char *end;
	size_t at;

	while (!p->in.at || !(end = memchr(p->in.at + p->pos, '\n',
	    p->in.len - p->pos)))
		if (!peer_more(p))
			return NULL;
	at = p->pos;
	p->pos = (size_t)(end - p->in.at) + 1;
	*len = p->pos - at - 2;
	return p->in.at + at;
}

static int
text_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool reply_read(struct peer *p, struct bytes *to, bool sorted);

/* The elements of an aggregate, each rendered alone, so that they can be sorted. */
static bool
elements_read(struct peer *p, struct bytes *to, size_t count, bool sorted)
{
	char **each = calloc(count + 1, sizeof(*each));

	if (!each)
		die("out of memory");
	for (size_t i = 0; i < count; i++) {
		struct bytes one = {NULL, 0, 0};
		if (!reply_read(p, &one, sorted))
			return false;
		bytes_add(&one, "", 1);
		each[i] = one.at;
	}
	if (sorted)
		qsort(each, count, sizeof(*each), text_compare);
	for (size_t i = 0; i < count; i++) {
		bytes_puts(to, " ");
		bytes_puts(to, each[i]);
		free(each[i]);
	}
	free(each);
	return true;
}

/* One reply as a line of text, added to `to`. False: the peer closed. */
static bool
reply_read(struct peer *p, struct bytes *to, bool sorted)
{
	size_t len, count;
	const char *line = line_read(p, &len);
	char type;

	if (!line)
		return false;
	type = line[0];
	if (!strchr("$=!*~>%|", type) || line[1] == '-') {
		bytes_add(to, line, len);
		return true;
	}
	count = (size_t)strtoul(line + 1, NULL, 10);
	bytes_add(to, &type, 1);
	if (strchr("$=!", type)) {
		while (p->in.len < p->pos + count + 2)
			if (!peer_more(p))
				return false;
		bytes_add(to, p->in.at + p->pos, count);
		p->pos += count + 2;
		return true;
	}
	bytes_puts(to, "[");
	if (!elements_read(p, to, type == '%' || type == '|' ? count * 2 : count,
	    sorted))
		return false;
	bytes_puts(to, " ]");
	return type != '|' || reply_read(p, to, sorted);
}

/* The next reply; free it. A peer that closes answers "closed". */
static char *
reply_next(struct peer *p, bool sorted)
{
	struct bytes text = {NULL, 0, 0};

	if (!reply_read(p, &text, sorted)) {
		text.len = 0;
		bytes_puts(&text, "closed");
	}
	bytes_drop(&p->in, p->pos);
	p->pos = 0;
	/* A NUL in a value would hide what follows it. */
	for (size_t i = 0; i < text.len; i++)
		if (!text.at[i])
			text.at[i] = '0';
	bytes_add(&text, "", 1);
	return text.at;
}

static void
request_put(struct bytes *to, struct arg *words, size_t n)
{
	char head[32];

	snprintf(head, sizeof(head), "*%zu\r\n", n);
	bytes_puts(to, head);
	for (size_t i = 0; i < n; i++) {
		snprintf(head, sizeof(head), "$%zu\r\n", words[i].len);
		bytes_puts(to, head);
		bytes_add(to, words[i].ptr, words[i].len);
		bytes_puts(to, "\r\n");
	}
}

static char *
ask(struct peer *p, struct arg *words, size_t n, bool sorted)
{
	struct bytes request = {NULL, 0, 0};
	char *reply;

	request_put(&request, words, n);
	peer_send(p, &request);
	free(request.at);
	reply = reply_next(p, sorted);
	/* QUIT ends a conn; others go on with a new one. */
	if (strcmp(reply, "closed") == 0) {
		peer_close(p);
		*p = peer_open(p->address);
	}
	return reply;
}

static char *
ask_words(struct peer *p, const char *text)
{
	struct arg words[WORDS];
	size_t n = 0;

	while (*text) {
		size_t len = strcspn(text, " ");
		words[n++] = (struct arg){text, len};
		text += len + (text[len] == ' ');
	}
	return ask(p, words, n, false);
}

/* ---- outcomes ------------------------------------------------------------------ */

static const char *
outcome(const struct command *cmd)
{
	switch ((enum route)cmd->route) {
	case ROUTE_KEYS:
		return cmd->join == JOIN_NONE ?
			cmd->flags & CMD_BLOCKING ? "same, with BLOCK refused: it "
			"would block the shared connection" : "same" : "split";
	case ROUTE_ALL:
		return cmd->flags & CMD_FLUSH ? "all servers, with allow_flush" :
			cmd->flags & CMD_BLOCKING ? "all servers; refused if it "
			"would block the shared connection" : "all servers";
	case ROUTE_ANY:
		return "same, of one server";
	case ROUTE_LOCAL:
		return "answered by the proxy";
	case ROUTE_REFUSED:
		return cmd->flags & CMD_BLOCKING ?
			"refused: it would block the shared connection" :
			cmd->flags & (CMD_PUBSUB | CMD_TRANSACTION) ?
			"refused: it needs a connection of its own" :
			"refused: it concerns a single server";
	}
	return "?";
}

/* A container's own row stands for its subcommands where it has any. */
static bool
is_container(size_t row)
{
	return command_at(row)->flags & CMD_CONTAINER;
}

/* "CLIENT|ID" as it is written in a request. */
static void
spaced(const struct command *cmd, char out[NAME_ROOM])
{
	snprintf(out, NAME_ROOM, "%s", cmd->name);
	for (; *out; out++)
		if (*out == '|')
			*out = ' ';
}

static int
table(void)
{
	char name[NAME_ROOM];

	puts("What becomes of each command that is sent through the proxy.\n"
		"\"same\": the reply of the server of its keys. \"split\": each server\n"
		"gets its keys, the replies are joined. A command that is not here goes\n"
		"to the server of its first argument.\n\n"
		"| command | outcome |\n|---|---|");
	for (size_t i = 0; command_at(i); i++) {
		if (is_container(i) && command_at(i + 1) &&
		    strchr(command_at(i + 1)->name, '|') &&
		    strncmp(command_at(i)->name, command_at(i + 1)->name,
		    command_at(i)->len) == 0)
			continue;
		spaced(command_at(i), name);
		printf("| %s | %s |\n", name, outcome(command_at(i)));
	}
	return 0;
}

/* ---- calls --------------------------------------------------------------------- */

static int failures;
static bool called[1024]; /* by row of the table */

static size_t
row_of(const struct command *cmd)
{
	size_t i = 0;

	while (command_at(i) != cmd)
		i++;
	return i;
}

static bool
is_refusal(const char *reply)
{
	return strncmp(reply, "-ERR command '", 14) == 0 &&
		strstr(reply, "not supported through a proxy: ");
}

static void
differ(const char *call, const char *want, const char *got)
{
	failures++;
	printf("%s\n\tserver: %.*s\n\tproxy:  %.*s\n", call, SHOWN, want, SHOWN,
		got);
}

/* Which words are refused although their command is not. */
static bool
will_refuse(const struct command *cmd, const struct arg *words, size_t n)
{
	if (cmd->route == ROUTE_REFUSED)
		return true;
	return (cmd->route == ROUTE_KEYS || cmd->route == ROUTE_ALL) &&
		command_blocks(cmd, words, n);
}

static void
call(struct peer *proxy, struct peer *server, const char *line,
	struct arg *words, size_t n, char mode)
{
	const struct command *cmd = command_find(words, n);
	char *got = ask(proxy, words, n, mode == '~'), *want;

	if (cmd) {
		called[row_of(cmd)] = true;
		if (will_refuse(cmd, words, n)) {
			if (!is_refusal(got))
				differ(line, "a refusal that names it", got);
			free(got);
			return;
		}
	}
	if (mode == '+') {
		if (got[0] == '-' || strcmp(got, "closed") == 0)
			differ(line, "need not know it", got);
		free(got);
		return;
	}
	want = ask(server, words, n, mode == '~');
	if (mode == '?' ? got[0] != want[0] : strcmp(got, want) != 0)
		differ(line, want, got);
	free(got);
	free(want);
}

/* Splits at blanks; a word is written with C escapes, "" is an empty one. */
static size_t
words_read(const char *line, struct arg *words, struct bytes *room)
{
	size_t n = 0, ends[WORDS];

	room->len = 0;
	while (*(line += strspn(line, " "))) {
		char word[LINE];
		size_t len = strcspn(line, " ");

		snprintf(word, sizeof(word), "%.*s", (int)len, line);
		if (n == WORDS)
			die("too many words");
		if (strcmp(word, "\"\"") != 0)
			bytes_unescape(room, word);
		ends[n++] = room->len;
		line += len;
	}
	for (size_t i = 0; i < n; i++) {
		size_t from = i ? ends[i - 1] : 0;
		words[i] = (struct arg){room->at ? room->at + from : "",
			ends[i] - from};
	}
	return n;
}

/* Does the server have the command at all? */
static bool
is_known(struct peer *server, const struct command *cmd)
{
	char text[NAME_ROOM + 16], *reply;
	bool known;

	snprintf(text, sizeof(text), "COMMAND INFO %s", cmd->name);
	reply = ask_words(server, text);
	known = strncmp(reply, "*[ *[", 5) == 0;
	free(reply);
	return known;
}

static int
calls(const char *proxy_address, const char *server_address, const char *resp)
{
	struct peer proxy = peer_open(proxy_address);
	struct peer server = peer_open(server_address);
	struct bytes room = {NULL, 0, 0};
	struct arg words[WORDS];
	char line[LINE], hello[32], name[NAME_ROOM];
	size_t count = 0, n;

	snprintf(hello, sizeof(hello), "HELLO %s", resp);
	while (fgets(line, sizeof(line), stdin)) {
		char mode = strchr("~?+", line[0]) ? line[0] : ' ';
		char *text = line + (mode != ' ');

		text[strcspn(text, "\n")] = '\0';
		if (*text == '#' || !(n = words_read(text, words, &room)))
			continue;
		/* Whatever the call before did to the conns. */
		free(ask_words(&proxy, hello));
		free(ask_words(&server, hello));
		call(&proxy, &server, text, words, n, mode);
		count++;
	}
	free(ask_words(&server, "HELLO 2"));
	for (size_t i = 0; command_at(i); i++) {
		if (called[i] || is_container(i) ||
		    !is_known(&server, command_at(i)))
			continue;
		failures++;
		spaced(command_at(i), name);
		printf("no call of %s\n", name);
	}
	printf("%zu calls, %d wrong\n", count, failures);
	peer_close(&proxy);
	peer_close(&server);
	free(room.at);
	return failures || !count;
}

/* ---- refusals: too few words, unknown subcommands --------------------------------- */

static size_t
refuse(struct peer *proxy, struct peer *server, const struct command *cmd)
{
	char text[NAME_ROOM + 16];
	size_t done = 0;
	int least = cmd->arity < 0 ? -cmd->arity : cmd->arity;
	bool sub = strchr(cmd->name, '|') != NULL;

	spaced(cmd, text);
	if (least > 1 + sub) {
		char *got = ask_words(proxy, text), *want = ask_words(server, text);
		if (strcmp(got, want) != 0)
			differ(text, want, got);
		free(got);
		free(want);
		done++;
	}
	if (cmd->flags & CMD_CONTAINER) {
		char *got, *want;
		strcat(text, " NoSuch key");
		got = ask_words(proxy, text), want = ask_words(server, text);
		if (strcmp(got, want) != 0)
			differ(text, want, got);
		free(got);
		free(want);
		done++;
	}
	return done;
}

static int
refusals(const char *proxy_address, const char *server_address)
{
	struct peer proxy = peer_open(proxy_address);
	struct peer server = peer_open(server_address);
	size_t count = 0;

	for (size_t i = 0; command_at(i); i++)
		if (is_known(&server, command_at(i)))
			count += refuse(&proxy, &server, command_at(i));
	printf("%zu refusals, %d wrong\n", count, failures);
	peer_close(&proxy);
	peer_close(&server);
	return failures || count < 100;
}

/* ---- pipeline ----------------------------------------------------------------------- */

static uint32_t seed;

/* xorshift32, Marsaglia, Journal of Statistical Software 8 (2003). */
static unsigned
dice(unsigned sides)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed % sides;
}

/* %k a key, %v a value, %n a number; every reply depends only on what was
 * asked before. Those with a bar in front are inline. */
static const char *const redis_shapes[] = {
	"SET %k %v", "GET %k", "APPEND %k %v", "STRLEN %k", "MGET %k %k %k %k",
	"MSET %k %v %k %v %k %v", "DEL %k %k %k", "EXISTS %k %k", "INCRBY c%k %n",
	"HSET h%k f%n %v", "HGETALL h%k", "LPUSH l%k %v %v", "LRANGE l%k 0 -1",
	"ZADD z%k %n m%n", "ZRANGE z%k 0 -1 WITHSCORES", "ZSCORE z%k m%n",
	"PING", "PING %v", "ECHO %v", "SELECT 0", "TYPE %k", "LPOP l%k",
	"EVAL return{KEYS[1],ARGV[1]} 1 %k %v",
	/* wrong words */
	"GET", "GET %k %k", "MSET %k", "MSET %k %v %k", "DEL", "SET %k",
	"PING %k %k", "ECHO", "HSET h%k f", "SELECT", "SELECT x", "TYPE",
	"OBJECT", "OBJECT NOSUCH %k", "XGROUP NOSUCH %k",
	/* wrong types and values */
	"LPUSH h%k %v", "INCR h%k", "HGET l%k f", "INCRBY c%k x", "SET %k %v EX 0",
	"EXPIRE %k x", "ZADD z%k x m", "LINDEX l%k x", "SETRANGE %k -1 x",
	"EVAL return(nosuch) 1 %k", "EVALSHA abc 1 %k",
	/* unknown */
	"NOSUCH %k", "NOSUCH %k %v", "NOSUCH", "GETT %k", "%v %k",
	/* inline */
	"|PING", "|GET %k", "|SET %k \"a %v \\x41\"", "|SET %k '%v b'", "|", "|DEL",
	"|NOSUCH %k", "|NOSUCH", "|GET", "|ECHO \"\"", "|MGET %k %k", "|PING\n",
};

/* The first line feed of a line ends it; a data block follows it. */
static const char *const memcached_shapes[] = {
	"set %k %n 0 5\n%5", "set %k 0 0 12\n%5-%5.", "add %k 1 0 5\n%5",
	"replace %k 2 0 5\n%5", "append %k 0 0 5\n%5", "prepend %k 0 0 5\n%5",
	"set %k 0 0 5 noreply\n%5", "get %k", "get %k %k %k", "get %k %k %k %k %k",
	"delete %k", "delete %k noreply", "delete %k 0", "touch %k 0",
	"touch %k 0 noreply", "set c%k 0 0 1\n%n", "incr c%k %n", "decr c%k %n",
	"incr c%k 1 noreply", "gat 0 %k", "gat 0 %k %k %k", "set %k 0 0 0\n",
	"verbosity 1", "version",
	/* wrong words */
	"get", "set %k 0 0", "set %k", "delete", "incr %k", "touch %k", "gat",
	"incr c%k x", "decr c%k -1", "incr %k 1",
	/* unknown */
	"nosuch", "nosuch %k", "GET %k", "",
};

static void
expand(struct bytes *to, const char *shape, bool small)
{
	char text[64];

	for (; *shape; shape++) {
		if (*shape != '%') {
			bytes_add(to, shape, 1);
			continue;
		}
		shape++;
		if (*shape == 'k')
			snprintf(text, sizeof(text), "key:%u", dice(40));
		else if (*shape == 'n')
			snprintf(text, sizeof(text), "%u", dice(10));
		else if (*shape == '5')
			snprintf(text, sizeof(text), "v%04u", dice(10000));
		else
			snprintf(text, sizeof(text), "v%u", dice(small ? 10 : 100000));
		bytes_puts(to, text);
	}
}

static void
redis_put(struct bytes *to)
{
	const char *shape = redis_shapes[dice(sizeof(redis_shapes) /
		sizeof(redis_shapes[0]))];
	struct bytes line = {NULL, 0, 0};
	struct arg words[WORDS];
	size_t n = 0;

	if (*shape == '|') {
		expand(to, shape + 1, false);
		bytes_puts(to, dice(2) ? "\r\n" : "\n");
		return;
	}
	expand(&line, shape, false);
	bytes_add(&line, "", 1);
	for (char *w = strtok(line.at, " "); w; w = strtok(NULL, " "))
		words[n++] = (struct arg){w, strlen(w)};
	request_put(to, words, n);
	free(line.at);
}

static void
memcached_put(struct bytes *to)
{
	const char *shape = memcached_shapes[dice(sizeof(memcached_shapes) /
		sizeof(memcached_shapes[0]))];
	struct bytes line = {NULL, 0, 0};

	expand(&line, shape, true);
	for (size_t i = 0; i < line.len; i++) {
		if (line.at[i] == '\n')
			bytes_puts(to, "\r");
		bytes_add(to, line.at + i, 1);
	}
	bytes_puts(to, "\r\n");
	free(line.at);
}

/* Sends all while reading what comes, up to and with `end`. */
static void
exchange(struct peer *p, const struct bytes *out, const char *end)
{
	size_t sent = 0, len = strlen(end);

	while (p->in.len < len || memcmp(p->in.at + p->in.len - len, end, len)) {
		struct pollfd ready = {p->fd,
			(short)(POLLIN | (sent < out->len ? POLLOUT : 0)), 0};
		if (poll(&ready, 1, PATIENCE) == 0)
			die("%s is silent after %zu bytes", p->address, p->in.len);
		if (ready.revents & POLLOUT) {
			ssize_t n = write(p->fd, out->at + sent, out->len - sent);
			sent += n > 0 ? (size_t)n : 0;
		}
		if (ready.revents & (POLLIN | POLLHUP) && !peer_more(p))
			die("%s closed after %zu bytes", p->address, p->in.len);
	}
}

/* Where two streams part, with the lines around it. */
static void
show_parting(const struct bytes *got, const struct bytes *want)
{
	const struct bytes *both[] = {want, got};
	size_t at = 0, from;

	while (at < got->len && at < want->len && got->at[at] == want->at[at])
		at++;
	from = at > 120 ? at - 120 : 0;
	for (int i = 0; i < 2; i++) {
		size_t n = both[i]->len - from;
		printf(i ? "proxy:  " : "server: ");
		escape(stdout, both[i]->at + from, n < SHOWN ? n : SHOWN);
		putchar('\n');
	}
}

static int
pipeline(const char *protocol, const char *proxy_address,
	const char *server_address, const char *start, const char *count)
{
	bool redis = strcmp(protocol, "memcached") != 0;
	const char *end = redis ? "$7\r\nthe-end\r\n" : "the-end\r\nEND\r\n";
	struct peer proxy = peer_open(proxy_address);
	struct peer server = peer_open(server_address);
	struct bytes out = {NULL, 0, 0};
	bool same;

	/* Small numbers that differ little would begin alike. */
	seed = ((uint32_t)number(start) + 1) * UINT32_C(2654435761);
	if (redis) {
		char hello[32];
		snprintf(hello, sizeof(hello), "HELLO %s", protocol);
		free(ask_words(&proxy, hello));
		free(ask_words(&server, hello));
	}
	for (long n = number(count); n; n--) {
		if (redis)
			redis_put(&out);
		else
			memcached_put(&out);
	}
	bytes_puts(&out, redis ? "*2\r\n$4\r\nECHO\r\n$7\r\nthe-end\r\n" :
		"set end 0 0 7\r\nthe-end\r\nget end\r\n");
	exchange(&proxy, &out, end);
	exchange(&server, &out, end);
	same = proxy.in.len == server.in.len &&
		memcmp(proxy.in.at, server.in.at, proxy.in.len) == 0;
	if (!same)
		show_parting(&proxy.in, &server.in);
	peer_close(&proxy);
	peer_close(&server);
	free(out.at);
	return !same;
}

/* ---- scan ------------------------------------------------------------------------------ */

static void
write_keys(struct peer *writer, long count, long *last)
{
	struct bytes out = {NULL, 0, 0};
	char text[128];

	for (long i = 0; i < count; i++) {
		snprintf(text, sizeof(text), "SET new:%ld v\r\n", (*last)++);
		bytes_puts(&out, text);
	}
	peer_send(writer, &out);
	for (long i = 0; i < count; i++)
		free(reply_next(writer, false));
	free(out.at);
}

/* Takes "*[ $CURSOR *[ $key $key ] ]" apart; the keys are printed. */
static const char *
scan_print(char *reply)
{
	char *cursor = strtok(reply, " "), *word;

	if (!cursor || strcmp(cursor, "*[") != 0)
		die("not a reply to SCAN: %s", reply);
	cursor = strtok(NULL, " ");
	while ((word = strtok(NULL, " ")))
		if (word[0] == '$')
			puts(word + 1);
	return cursor + 1;
}

static int
scan(const char *address, const char *writes, char **words)
{
	struct peer proxy = peer_open(address), writer = peer_open(address);
	struct arg request[WORDS] = {{"SCAN", 4}, {"0", 1}};
	long last = 0, steps = 0;
	size_t n = 2;
	char cursor[32] = "0";

	for (; *words && n < WORDS; words++)
		request[n++] = (struct arg){*words, strlen(*words)};
	do {
		char *reply;

		request[1] = (struct arg){cursor, strlen(cursor)};
		reply = ask(&proxy, request, n, false);
		snprintf(cursor, sizeof(cursor), "%s", scan_print(reply));
		free(reply);
		write_keys(&writer, number(writes), &last);
		if (++steps == SCAN_STEPS)
			die("no end after %ld steps", steps);
	} while (strcmp(cursor, "0") != 0);
	fprintf(stderr, "%ld\n", steps);
	peer_close(&proxy);
	peer_close(&writer);
	return 0;
}

int
main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	signal(SIGPIPE, SIG_IGN);
	command_init();
	if (strcmp(what, "table") == 0 && argc == 2)
		return table();
	if (strcmp(what, "calls") == 0 && (argc == 4 || argc == 5))
		return calls(argv[2], argv[3], argc == 5 ? argv[4] : "2");
	if (strcmp(what, "refusals") == 0 && argc == 4)
		return refusals(argv[2], argv[3]);
	if (strcmp(what, "pipeline") == 0 && argc == 7)
		return pipeline(argv[2], argv[3], argv[4], argv[5], argv[6]);
	if (strcmp(what, "scan") == 0 && argc >= 4)
		return scan(argv[2], argv[3], argv + 4);
	fputs(usage, stderr);
	return 2;
}
