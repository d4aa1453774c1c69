/* SPDX-License-Identifier: Apache-2.0 */
/* unit_command: the command tables: order, lookups, arities, rows, keys. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../command.h"

enum { WORDS = 64, LINE = 512 };

static int failures;
static int checks;

#define check(ok, ...) do { \
	checks++; \
	if (!(ok)) { \
		failures++; \
		printf("%s:%d: ", __FILE__, __LINE__); \
		printf(__VA_ARGS__); \
		putchar('\n'); \
	} \
} while (0)

/* A call as words, which point into its own copy of the text. */
struct call {
	char text[LINE];
	struct arg words[WORDS];
	size_t count;
};

/* Words are apart by blanks; "" is an empty one. */
static void
call_make(struct call *call, const char *text)
{
	call->count = 0;
	snprintf(call->text, sizeof call->text, "%s", text);
	for (char *w = strtok(call->text, " "); w; w = strtok(NULL, " ")) {
		struct arg *word = &call->words[call->count++];

		word->ptr = w;
		word->len = strcmp(w, "\"\"") == 0 ? 0 : strlen(w);
	}
}

static const struct command *
find(const char *text)
{
	struct call call;

	call_make(&call, text);
	return command_find(call.words, call.count);
}

static bool
finds(const char *text, const char *name)
{
	const struct command *cmd = find(text);

	if (!cmd || !name)
		return !cmd && !name;
	return strcmp(cmd->name, name) == 0;
}

/* ---- the table ---- */

static void
test_sorted(void)
{
	size_t i = 0;

	check(command_at(0) && command_at(1), "empty table");
	for (; command_at(i + 1); i++)
		check(strcmp(command_at(i)->name, command_at(i + 1)->name) < 0,
			"%s is not before %s", command_at(i)->name,
			command_at(i + 1)->name);
	check(i > 300, "only %zu rows", i + 1);
	check(command_at(i + 2) == NULL, "a row behind the end");
	for (i = 0; mc_command_at(i + 1); i++)
		check(strcmp(mc_command_at(i)->name, mc_command_at(i + 1)->name) < 0,
			"%s is not before %s", mc_command_at(i)->name,
			mc_command_at(i + 1)->name);
	check(i > 30, "only %zu rows", i + 1);
	check(mc_command_at(i + 2) == NULL, "a row behind the end");
}

static bool
is_reason(unsigned flags)
{
	return flags & (CMD_BLOCKING | CMD_PUBSUB | CMD_TRANSACTION | CMD_ADMIN
		| CMD_CONTAINER);
}

/* What must hold in every row, whatever the command. */
static void
test_rows(void)
{
	const struct command *cmd;

	for (size_t i = 0; (cmd = command_at(i)); i++) {
		const struct key_spec *keys = command_key_specs[cmd->keys];
		const bool keyed = keys[0].find != KEYS_NONE;
		const bool split = cmd->join != JOIN_NONE;

		check(cmd->arity != 0, "%s: no arity", cmd->name);
		check(cmd->route != ROUTE_LOCAL || cmd->answer != LOCAL_NONE,
			"%s: local or not", cmd->name);
		check(cmd->route == ROUTE_LOCAL || cmd->answer == MISS_NONE
			|| (cmd->route == ROUTE_KEYS && cmd->flags & CMD_READ),
			"%s: a miss", cmd->name);
		check(cmd->route != ROUTE_KEYS || keyed, "%s: no keys", cmd->name);
		check(keyed == false || cmd->route == ROUTE_KEYS
			|| cmd->route == ROUTE_REFUSED, "%s: keys", cmd->name);
		check(cmd->route != ROUTE_REFUSED || is_reason(cmd->flags),
			"%s: refused without a reason", cmd->name);
		check(cmd->route != ROUTE_ALL || split, "%s: no join", cmd->name);
		check(!split || cmd->route == ROUTE_ALL
			|| (cmd->route == ROUTE_KEYS && keys[0].last == -1),
			"%s: cannot be split", cmd->name);
		for (size_t k = 0; k < 2; k++)
			check(keys[k].find == KEYS_NONE
				|| (keys[k].begin > 0 && keys[k].step > 0),
				"%s: key spec %zu", cmd->name, k);
	}
}

/* Changes the case of a name: 0 upper, 1 lower, 2 mixed; '|' becomes ' '. */
static void
spell(char *out, const char *name, int how)
{
	size_t i = 0;

	for (; name[i]; i++) {
		out[i] = name[i] == '|' ? ' ' : name[i];
		if (how + (int)(i & 1) > 1 && out[i] >= 'A' && out[i] <= 'Z')
			out[i] = (char)(out[i] - 'A' + 'a');
		if (how == 1 && out[i] >= 'A' && out[i] <= 'Z')
			out[i] = (char)(out[i] - 'A' + 'a');
	}
	out[i] = '\0';
}

static void
test_every_name(void)
{
	const struct command *cmd;
	char text[LINE];

	for (size_t i = 0; (cmd = command_at(i)); i++) {
		for (int how = 0; how < 3; how++) {
			spell(text, cmd->name, how);
			check(find(text) == cmd, "'%s' is not found", text);
		}
	}
}

/* A lookup must not find a name by a part of it, nor by its neighbours. */
static void
test_near_misses(void)
{
	const struct command *cmd;
	struct arg word;
	char text[LINE];
	size_t len;

	for (size_t i = 0; (cmd = command_at(i)); i++) {
		if (strchr(cmd->name, '|'))
			continue;
		len = strlen(cmd->name);
		word.ptr = text;
		snprintf(text, sizeof text, "%sZ", cmd->name);
		word.len = len + 1;
		check(command_find(&word, 1) == NULL, "%s is found", text);
		text[len] = '\0';
		check(command_find(&word, 1) == NULL, "%s and a NUL is found", text);
		word.len = len;
		/* One bit off: another command, the other case of a letter, or none. */
		for (size_t bit = 0; bit < len * 8; bit++) {
			const struct command *bent;

			text[bit / 8] = (char)(text[bit / 8] ^ 1 << bit % 8);
			bent = command_find(&word, 1);
			check(!bent || word_is(&word, bent->name),
				"%s with bit %zu bent is %s", cmd->name, bit,
				bent ? bent->name : "");
			text[bit / 8] = (char)(text[bit / 8] ^ 1 << bit % 8);
		}
		word.len = len - 1;
		if (command_find(&word, 1))
			check(strlen(command_find(&word, 1)->name) == len - 1,
				"%s is found by its beginning", cmd->name);
	}
}

static const struct {
	const char *text;
	const char *name;
} lookups[] = {
	{"get k", "GET"},
	{"gEt", "GET"},
	{"G", NULL},
	{"GE", NULL},
	{"GETS", NULL},
	{"\"\"", NULL},
	{"NOSUCH k", NULL},
	{"OBJECT|ENCODING k", NULL},
	{"OBJECT", "OBJECT"},
	{"OBJECT ENCODING k", "OBJECT|ENCODING"},
	{"object encoding k", "OBJECT|ENCODING"},
	{"OBJECT ENCODIN k", "OBJECT"},
	{"OBJECT ENCODINGS k", "OBJECT"},
	{"OBJECT \"\"", "OBJECT"},
	{"XINFO STREAM k", "XINFO|STREAM"},
	{"XINFO nosuch k", "XINFO"},
	{"CONFIG GET x", "CONFIG|GET"},
	{"CONFIG", "CONFIG"},
	{"COMMAND", "COMMAND"},
	{"COMMAND GETKEYS", "COMMAND|GETKEYS"},
	{"COMMAND GETKEYSANDFLAGS", "COMMAND|GETKEYSANDFLAGS"},
	{"CLIENT no-evict on", "CLIENT|NO-EVICT"},
	{"ACL WHOAMI", "ACL"},
	{"CLUSTER SLOTS", "CLUSTER"},
	{"GET ENCODING", "GET"},
	{"ECHO HELP", "ECHO"},
	{"EVAL_RO s 0", "EVAL_RO"},
	{"EVAL-RO s 0", NULL},
	{"RESTORE-ASKING k", "RESTORE-ASKING"},
	{"RESTORE_ASKING k", NULL},
	{"*1", NULL},
	{"{", NULL},
	{"[GET", NULL},
};

static void
test_lookups(void)
{
	struct arg huge = {"GET", 0};
	char *many;

	for (size_t i = 0; i < sizeof lookups / sizeof lookups[0]; i++)
		check(finds(lookups[i].text, lookups[i].name), "'%s' finds %s",
			lookups[i].text, find(lookups[i].text)
			? find(lookups[i].text)->name : "nothing");
	many = calloc(1, 1 << 20);
	if (!many)
		exit(2);
	memset(many, 'G', 1 << 20);
	huge.ptr = many;
	huge.len = 1 << 20;
	check(command_find(&huge, 1) == NULL, "a megabyte of G is found");
	free(many);
}

/* ---- arity ---- */

static const struct {
	const char *name;
	size_t argc;
	bool ok;
} arities[] = {
	{"GET", 1, false}, {"GET", 2, true}, {"GET", 3, false},
	{"SET", 2, false}, {"SET", 3, true}, {"SET", 9, true},
	{"PING", 1, true}, {"PING", 2, true},
	{"MGET", 1, false}, {"MGET", 2, true}, {"MGET", 1048576, true},
	{"MSET", 1, false}, {"MSET", 2, false}, {"MSET", 3, true},
	{"MSET", 4, false}, {"MSET", 5, true}, {"MSET", 6, false},
	{"MSETNX", 3, true}, {"MSETNX", 4, false},
	{"HSET", 4, true}, {"HSET", 5, true},
	{"XREAD", 3, false}, {"XREAD", 4, true},
	{"EVAL", 2, false}, {"EVAL", 3, true},
	{"DBSIZE", 1, true}, {"DBSIZE", 2, false},
	{"OBJECT ENCODING", 2, false}, {"OBJECT ENCODING", 3, true},
	{"OBJECT ENCODING", 4, false}, {"OBJECT", 1, false}, {"OBJECT", 2, true},
	{"CLIENT", 1, false}, {"CLIENT GETNAME", 2, true}, {"COMMAND", 1, true},
};

static void
test_arities(void)
{
	for (size_t i = 0; i < sizeof arities / sizeof arities[0]; i++) {
		const struct command *cmd = find(arities[i].name);

		check(cmd && command_arity_ok(cmd, arities[i].argc) == arities[i].ok,
			"%s with %zu words", arities[i].name, arities[i].argc);
	}
	check(!command_arity_ok(&command_unknown, 1), "unknown, 1 word");
	check(command_arity_ok(&command_unknown, 2), "unknown, 2 words");
	check(command_arity_ok(&command_unknown, 99), "unknown, 99 words");
}

/* ---- route and join ---- */

static const struct {
	const char *text;
	enum route route;
	enum join join;
	unsigned flags;
} routes[] = {
	{"GET k", ROUTE_KEYS, JOIN_NONE, CMD_READ},
	{"SET k v", ROUTE_KEYS, JOIN_NONE, CMD_WRITE},
	{"MGET k", ROUTE_KEYS, JOIN_ARRAY, CMD_READ},
	{"MSET k v", ROUTE_KEYS, JOIN_OK, CMD_WRITE},
	{"DEL k", ROUTE_KEYS, JOIN_SUM, CMD_WRITE},
	{"UNLINK k", ROUTE_KEYS, JOIN_SUM, CMD_WRITE},
	{"TOUCH k", ROUTE_KEYS, JOIN_SUM, CMD_READ},
	{"EXISTS k", ROUTE_KEYS, JOIN_SUM, CMD_READ},
	{"MSETNX k v", ROUTE_KEYS, JOIN_NONE, CMD_WRITE},
	{"PFCOUNT k", ROUTE_KEYS, JOIN_NONE, CMD_READ},
	{"SINTER k", ROUTE_KEYS, JOIN_NONE, CMD_READ},
	{"MOVE k 1", ROUTE_KEYS, JOIN_NONE, CMD_WRITE},
	{"PUBLISH c m", ROUTE_KEYS, JOIN_NONE, 0},
	{"SPUBLISH c m", ROUTE_KEYS, JOIN_NONE, 0},
	{"EVAL s 0", ROUTE_KEYS, JOIN_NONE, CMD_WRITE},
	{"EVAL_RO s 0", ROUTE_KEYS, JOIN_NONE, CMD_READ},
	{"XREAD STREAMS k 0", ROUTE_KEYS, JOIN_NONE, CMD_READ | CMD_BLOCKING},
	{"DBSIZE", ROUTE_ALL, JOIN_SUM, CMD_READ},
	{"KEYS *", ROUTE_ALL, JOIN_CONCAT, CMD_READ},
	{"SCAN 0", ROUTE_ALL, JOIN_SCAN, CMD_READ},
	{"RANDOMKEY", ROUTE_ALL, JOIN_RANDOM, CMD_READ},
	{"WAIT 1 0", ROUTE_ALL, JOIN_MIN, CMD_BLOCKING},
	{"FLUSHALL", ROUTE_ALL, JOIN_OK, CMD_WRITE | CMD_FLUSH},
	{"FLUSHDB", ROUTE_ALL, JOIN_OK, CMD_WRITE | CMD_FLUSH},
	{"SCRIPT LOAD s", ROUTE_ALL, JOIN_OK, 0},
	{"SCRIPT EXISTS h", ROUTE_ALL, JOIN_AND, 0},
	{"SCRIPT FLUSH", ROUTE_ALL, JOIN_OK, 0},
	{"SCRIPT KILL", ROUTE_ALL, JOIN_ANY, 0},
	{"FUNCTION LOAD c", ROUTE_ALL, JOIN_OK, CMD_WRITE},
	{"FUNCTION KILL", ROUTE_ALL, JOIN_ANY, 0},
	{"FUNCTION LIST", ROUTE_ANY, JOIN_NONE, 0},
	{"FUNCTION STATS", ROUTE_ALL, JOIN_LONGEST, 0},
	{"OBJECT HELP", ROUTE_ANY, JOIN_NONE, 0},
	{"OBJECT NOSUCH k", ROUTE_KEYS, JOIN_NONE, CMD_CONTAINER},
	{"SCRIPT NOSUCH", ROUTE_REFUSED, JOIN_NONE, CMD_CONTAINER},
	{"PING", ROUTE_LOCAL, JOIN_NONE, 0},
	{"AUTH p", ROUTE_LOCAL, JOIN_NONE, CMD_NOAUTH},
	{"HELLO", ROUTE_LOCAL, JOIN_NONE, CMD_NOAUTH},
	{"QUIT", ROUTE_LOCAL, JOIN_NONE, CMD_NOAUTH},
	{"RESET", ROUTE_LOCAL, JOIN_NONE, CMD_NOAUTH},
	{"CLIENT SETNAME n", ROUTE_LOCAL, JOIN_NONE, 0},
	{"CLIENT NOSUCH", ROUTE_LOCAL, JOIN_NONE, CMD_CONTAINER},
	{"CLIENT KILL x", ROUTE_REFUSED, JOIN_NONE, CMD_ADMIN},
	{"CONFIG GET x", ROUTE_LOCAL, JOIN_NONE, 0},
	{"CONFIG SET x y", ROUTE_REFUSED, JOIN_NONE, CMD_ADMIN},
	{"BLPOP k 0", ROUTE_REFUSED, JOIN_NONE, CMD_WRITE | CMD_BLOCKING},
	{"SUBSCRIBE c", ROUTE_REFUSED, JOIN_NONE, CMD_PUBSUB},
	{"MULTI", ROUTE_REFUSED, JOIN_NONE, CMD_TRANSACTION},
	{"WATCH k", ROUTE_REFUSED, JOIN_NONE, CMD_TRANSACTION},
	{"MONITOR", ROUTE_REFUSED, JOIN_NONE, CMD_ADMIN},
	{"SHUTDOWN", ROUTE_REFUSED, JOIN_NONE, CMD_ADMIN},
	{"MEMORY DOCTOR", ROUTE_REFUSED, JOIN_NONE, CMD_ADMIN},
	{"MEMORY USAGE k", ROUTE_KEYS, JOIN_NONE, CMD_READ},
};

static void
test_routes(void)
{
	for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
		const struct command *cmd = find(routes[i].text);

		check(cmd && cmd->route == routes[i].route
			&& cmd->join == routes[i].join && cmd->flags == routes[i].flags,
			"row of '%s'", routes[i].text);
	}
	check(command_unknown.route == ROUTE_KEYS
		&& command_unknown.join == JOIN_NONE, "row of the unknown");
}

/* ---- keys ---- */

/* Positions as text: "-" no key, "!" words that break the command's rule. */
static const struct {
	const char *text;
	const char *keys;
} key_cases[] = {
	{"GET k", "1"},
	{"SET k v EX 10", "1"},
	{"GET \"\"", "1"},
	{"NOSUCH k x", "1"},
	{"JSON.GET k $", "1"},
	{"MGET a", "1"},
	{"MGET a b c", "1 2 3"},
	{"MGET a a a", "1 2 3"},
	{"DEL a b", "1 2"},
	{"UNLINK a b", "1 2"},
	{"TOUCH a b c", "1 2 3"},
	{"EXISTS a b", "1 2"},
	{"PFCOUNT a b", "1 2"},
	{"PFADD a e f", "1"},
	{"PFMERGE d", "1"},
	{"PFMERGE d a b", "1 2 3"},
	{"PFDEBUG ENCODING k", "2"},
	{"MSET a 1", "1"},
	{"MSET a 1 b 2", "1 3"},
	{"MSET a 1 b 2 c 3", "1 3 5"},
	{"MSETNX a 1 b 2", "1 3"},
	{"MSETEX 1 a 1", "2"},
	{"MSETEX 2 a 1 b 2 NX EX 10", "2 4"},
	{"MSETEX 2 a 1 b", "!"},
	{"RENAME a b", "1 2"},
	{"RENAMENX a b", "1 2"},
	{"COPY a b", "1 2"},
	{"COPY a b DB 1 REPLACE", "1 2"},
	{"MOVE a 1", "1"},
	{"SMOVE a b m", "1 2"},
	{"RPOPLPUSH a b", "1 2"},
	{"LMOVE a b LEFT RIGHT", "1 2"},
	{"LCS a b LEN", "1 2"},
	{"ZRANGESTORE d a 0 1", "1 2"},
	{"GEOSEARCHSTORE d a FROMMEMBER m BYRADIUS 1 m", "1 2"},
	{"GEOSEARCH a FROMMEMBER m BYRADIUS 1 m", "1"},
	{"BITOP AND d a", "2 3"},
	{"BITOP AND d a b c", "2 3 4 5"},
	{"BITOP NOT d a", "2 3"},
	{"SINTER a b c", "1 2 3"},
	{"SDIFF a", "1"},
	{"SUNION a b", "1 2"},
	{"SINTERSTORE d a b", "1 2 3"},
	{"SDIFFSTORE d a", "1 2"},
	{"SUNIONSTORE d a b", "1 2 3"},
	{"PUBLISH c m", "1"},
	{"SPUBLISH c m", "1"},
	{"OBJECT ENCODING k", "2"},
	{"OBJECT FREQ k", "2"},
	{"OBJECT IDLETIME k", "2"},
	{"OBJECT REFCOUNT k", "2"},
	{"OBJECT HELP", "-"},
	{"OBJECT NOSUCH", "-"},
	{"OBJECT NOSUCH k", "2"},
	{"XGROUP CREATE k g $", "2"},
	{"XGROUP DESTROY k g", "2"},
	{"XGROUP SETID k g $", "2"},
	{"XGROUP CREATECONSUMER k g c", "2"},
	{"XGROUP DELCONSUMER k g c", "2"},
	{"XINFO STREAM k FULL", "2"},
	{"XINFO GROUPS k", "2"},
	{"XINFO CONSUMERS k g", "2"},
	{"MEMORY USAGE k SAMPLES 5", "2"},
	{"MEMORY DOCTOR", "-"},
	{"EVAL s 0", "-"},
	{"EVAL s 0 x y", "-"},
	{"EVAL s 1 a", "3"},
	{"EVAL s 2 a b x", "3 4"},
	{"EVAL s 2 a", "!"},
	{"EVAL s 1", "!"},
	{"EVAL s -1 a", "!"},
	{"EVAL s +1 a", "!"},
	{"EVAL s 01 a", "!"},
	{"EVAL s 1x a", "!"},
	{"EVAL s x a", "!"},
	{"EVAL s \"\" a", "!"},
	{"EVAL s 4294967297 a", "!"},
	{"EVAL s 18446744073709551617 a", "!"},
	{"EVAL s 999999999 a", "!"},
	{"EVALSHA h 1 a x", "3"},
	{"EVAL_RO s 1 a", "3"},
	{"EVALSHA_RO h 0", "-"},
	{"FCALL f 2 a b", "3 4"},
	{"FCALL f 0 x", "-"},
	{"FCALL_RO f 1 a", "3"},
	{"LMPOP 2 a b LEFT", "2 3"},
	{"LMPOP 0 a LEFT", "!"},
	{"LMPOP 3 a LEFT", "!"},
	{"ZMPOP 1 a MIN COUNT 2", "2"},
	{"ZMPOP x a MIN", "!"},
	{"SINTERCARD 2 a b LIMIT 1", "2 3"},
	{"SINTERCARD 0 a", "!"},
	{"ZINTERCARD 2 a b", "2 3"},
	{"ZUNION 2 a b WITHSCORES", "2 3"},
	{"ZUNION 0 a", "!"},
	{"ZUNION 2 a", "!"},
	{"ZINTER 1 a", "2"},
	{"ZDIFF 2 a b", "2 3"},
	{"ZUNIONSTORE d 2 a b", "1 3 4"},
	{"ZUNIONSTORE d 2 a b WEIGHTS 1 2", "1 3 4"},
	{"ZUNIONSTORE d 0 a", "!"},
	{"ZUNIONSTORE d 2 a", "!"},
	{"ZINTERSTORE d 1 a", "1 3"},
	{"ZDIFFSTORE d 3 a b c", "1 3 4 5"},
	{"SORT k", "1"},
	{"SORT k DESC", "1"},
	{"SORT k STORE d", "1 3"},
	{"SORT k store d", "1 3"},
	{"SORT k BY w* LIMIT 0 5 GET # GET o* ALPHA STORE d", "1 13"},
	{"SORT k BY STORE GET x", "1"},
	{"SORT k GET STORE STORE d", "1 5"},
	{"SORT k LIMIT 1 STORE GET x", "1"},
	{"SORT k STORE a STORE b", "1 5"},
	{"SORT k STORE STORE", "1 3"},
	{"SORT k STORE GET STORE d", "1 5"},
	{"SORT k STORE", "1"},
	{"SORT STORE STORE STORE", "1 3"},
	{"SORT_RO k GET STORE", "1"},
	{"GEORADIUS k 1 2 3 m", "1"},
	{"GEORADIUS k 1 2 3 m STORE d", "1 7"},
	{"GEORADIUS k 1 2 3 m COUNT 3 STOREDIST d ASC", "1 9"},
	{"GEORADIUS k 1 2 3 m STORE a STOREDIST b", "1 9"},
	{"GEORADIUSBYMEMBER k m 3 m", "1"},
	{"GEORADIUSBYMEMBER k STORE 3 m", "1"},
	{"GEORADIUSBYMEMBER k m 3 m STORE d", "1 6"},
	{"GEORADIUS_RO k 1 2 3 m", "1"},
	{"XREAD STREAMS a 0", "2"},
	{"XREAD streams a b 0 0", "2 3"},
	{"XREAD COUNT 5 STREAMS a b c 0 0 0", "4 5 6"},
	{"XREAD BLOCK 0 COUNT 1 STREAMS streams $", "6"},
	{"XREAD STREAMS a b 0", "!"},
	{"XREAD COUNT 5 a", "!"},
	{"XREAD COUNT 5 STREAMS", "!"},
	{"XREADGROUP GROUP g c STREAMS a >", "5"},
	{"XREADGROUP GROUP STREAMS c NOACK STREAMS a b > >", "6 7"},
	{"XREADGROUP COUNT 1 GROUP g STREAMS STREAMS a >", "7"},
	{"XREADGROUP GROUP g c CLAIM 10 STREAMS a >", "7"},
	{"MIGRATE h 1 k 0 10", "3"},
	{"MIGRATE h 1 k 0 10 COPY", "3"},
	{"MIGRATE h 1 \"\" 0 10 KEYS a b", "7 8"},
	{"MIGRATE h 1 \"\" 0 10 AUTH KEYS KEYS a", "9"},
	{"MIGRATE h 1 \"\" 0 10 AUTH2 u KEYS KEYS a", "10"},
	{"MIGRATE h 1 \"\" 0 10", "!"},
	{"MIGRATE h 1 \"\" 0 10 KEYS", "!"},
	{"BLPOP a b 0", "1 2"},
	{"BRPOP a 0", "1"},
	{"BLMOVE a b LEFT LEFT 0", "1 2"},
	{"BLMPOP 0 1 a LEFT", "3"},
	{"BZPOPMIN a b c 0", "1 2 3"},
	{"BZMPOP 0 2 a b MAX", "3 4"},
	{"WATCH a b", "1 2"},
	{"SUNSUBSCRIBE", "-"},
	{"DBSIZE", "-"},
	{"SCAN 0 MATCH x", "-"},
	{"PING", "-"},
	{"HSET k f v", "1"},
	{"XADD k * f v", "1"},
	{"ZADD k 1 m", "1"},
	{"BITFIELD k GET u8 0", "1"},
	{"RESTORE k 0 v", "1"},
};

static void
keys_text(char *out, size_t room, long count, const uint32_t *at)
{
	size_t len = 0;

	snprintf(out, room, "%s", count < 0 ? "!" : "-");
	for (long i = 0; i < count; i++)
		len += (size_t)snprintf(out + len, room - len, i ? " %lu" : "%lu",
			(unsigned long)at[i]);
}

static void
test_keys(void)
{
	struct call call;
	const struct command *cmd;
	uint32_t at[WORDS];
	char got[LINE];

	for (size_t i = 0; i < sizeof key_cases / sizeof key_cases[0]; i++) {
		call_make(&call, key_cases[i].text);
		cmd = command_find(call.words, call.count);
		if (!cmd)
			cmd = &command_unknown;
		check(command_arity_ok(cmd, call.count) || call.count < 4,
			"'%s': arity", key_cases[i].text);
		keys_text(got, sizeof got, command_keys(cmd, call.words, call.count,
			at, WORDS), at);
		check(strcmp(got, key_cases[i].keys) == 0, "'%s': keys %s, not %s",
			key_cases[i].text, got, key_cases[i].keys);
	}
}

/* All keys are counted, and nothing is written behind the room there is. */
static void
test_keys_room(void)
{
	static const char *const texts[] = {
		"GET a", "MGET a b c d", "MSET a 1 b 2 c 3", "ZUNIONSTORE d 2 a b",
		"SORT k STORE d", "XREAD STREAMS a b 0 0",
		"MIGRATE h 1 \"\" 0 10 KEYS a b",
	};
	struct call call;
	const struct command *cmd;
	uint32_t all[WORDS], some[WORDS];
	long count;

	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		call_make(&call, texts[i]);
		cmd = command_find(call.words, call.count);
		count = command_keys(cmd, call.words, call.count, all, WORDS);
		for (size_t max = 0; max <= (size_t)count; max++) {
			memset(some, 0xff, sizeof some);
			check(command_keys(cmd, call.words, call.count, some, max)
				== count, "'%s': count with room %zu", texts[i], max);
			check(memcmp(some, all, max * sizeof some[0]) == 0,
				"'%s': keys with room %zu", texts[i], max);
			check(some[max] == UINT32_MAX, "'%s': more than room %zu",
				texts[i], max);
		}
	}
	call_make(&call, "MGET a b");
	check(command_keys(find("MGET"), call.words, 3, NULL, 0) == 2, "no room");
}

/* Any row with any number of words: no key lies behind the last word. */
static void
test_keys_within(void)
{
	static const char *const fill[] = {
		"1", "2", "STREAMS", "STORE", "KEYS", "0", "GROUP", "BY",
	};
	const struct command *cmd;
	struct arg words[12];
	uint32_t at[WORDS];
	long count;

	for (size_t i = 0; (cmd = command_at(i)); i++) {
		for (size_t argc = 1; argc <= 12; argc++) {
			for (size_t seed = 0; seed < 64; seed++) {
				for (size_t w = 0; w < argc; w++) {
					words[w].ptr = fill[(seed * (w + 3) + w * w) % 8];
					words[w].len = strlen(words[w].ptr);
				}
				count = command_keys(cmd, words, argc, at, WORDS);
				check(count < (long)argc, "%s: %ld keys in %zu words",
					cmd->name, count, argc);
				for (long k = 0; k < count && k < WORDS; k++)
					check(at[k] < argc && (k == 0 || at[k] > at[k - 1]),
						"%s: key at %lu of %zu", cmd->name,
						(unsigned long)at[k], argc);
			}
		}
	}
}

/* ---- blocking ---- */

static const struct {
	const char *text;
	bool blocks;
} block_cases[] = {
	{"GET k", false},
	{"BLPOP k 0", true},
	{"BZMPOP 0 1 k MIN", true},
	{"WAIT 1 0", true}, {"WAIT 0 100", false},
	{"XREAD STREAMS k 0", false},
	{"XREAD COUNT 1 STREAMS k 0", false},
	{"XREAD BLOCK 0 STREAMS k $", true},
	{"XREAD COUNT 1 block 5 STREAMS k $", true},
	{"XREAD STREAMS BLOCK 0", false},
	{"XREAD STREAMS a BLOCK 0 0", false},
	{"XREADGROUP GROUP g c STREAMS k >", false},
	{"XREADGROUP GROUP BLOCK c STREAMS k >", false},
	{"XREADGROUP GROUP g BLOCK STREAMS k >", false},
	{"XREADGROUP GROUP g c BLOCK 0 STREAMS k >", true},
	{"XREADGROUP BLOCK 0 GROUP g c STREAMS k >", true},
};

static void
test_blocks(void)
{
	struct call call;

	for (size_t i = 0; i < sizeof block_cases / sizeof block_cases[0]; i++) {
		call_make(&call, block_cases[i].text);
		check(command_blocks(command_find(call.words, call.count),
			call.words, call.count) == block_cases[i].blocks,
			"'%s': blocks", block_cases[i].text);
	}
}

/* ---- memcached ---- */

static const struct {
	const char *name;
	enum mc_kind kind;
	int min, max;
	bool noreply;
} mc_cases[] = {
	{"get", MC_GET, 2, 0, false},
	{"gets", MC_GET, 2, 0, false},
	{"gat", MC_GAT, 3, 0, false},
	{"gats", MC_GAT, 3, 0, false},
	{"set", MC_STORE, 5, 6, true},
	{"add", MC_STORE, 5, 6, true},
	{"replace", MC_STORE, 5, 6, true},
	{"append", MC_STORE, 5, 6, true},
	{"prepend", MC_STORE, 5, 6, true},
	{"cas", MC_CAS, 6, 7, true},
	{"incr", MC_ARITH, 3, 3, true},
	{"decr", MC_ARITH, 3, 3, true},
	{"touch", MC_TOUCH, 3, 3, true},
	{"delete", MC_DELETE, 2, 3, true},
	{"version", MC_VERSION, 1, 0, false},
	{"quit", MC_QUIT, 1, 0, false},
	{"verbosity", MC_VERBOSITY, 2, 2, true},
	{"flush_all", MC_FLUSH, 1, 2, true},
	{"stats", MC_STATS, 1, 0, false},
	{"mg", MC_META_GET, 2, 0, false},
	{"md", MC_META_DELETE, 2, 0, false},
	{"ma", MC_META_ARITH, 2, 0, false},
	{"me", MC_META_DEBUG, 2, 0, false},
	{"ms", MC_META_SET, 2, 0, false},
	{"mn", MC_META_NOOP, 1, 0, false},
	{"shutdown", MC_REFUSED, 1, 0, false},
	{"watch", MC_REFUSED, 1, 0, false},
	{"slabs", MC_REFUSED, 1, 0, false},
};

static void
test_mc(void)
{
	static const char *const misses[] = {
		"GET", "Get", "ge", "getx", "gett", "g", "mx", "bget", "flush_al",
		"flush_all_", "s", "\347et",
	};
	const struct mc_command *cmd;

	for (size_t i = 0; i < sizeof mc_cases / sizeof mc_cases[0]; i++) {
		cmd = mc_command_find(mc_cases[i].name, strlen(mc_cases[i].name));
		check(cmd && cmd->kind == mc_cases[i].kind
			&& cmd->min_words == mc_cases[i].min
			&& cmd->max_words == mc_cases[i].max
			&& cmd->can_noreply == mc_cases[i].noreply,
			"row of %s", mc_cases[i].name);
	}
	for (size_t i = 0; (cmd = mc_command_at(i)); i++)
		check(mc_command_find(cmd->name, strlen(cmd->name)) == cmd,
			"%s is not found", cmd->name);
	for (size_t i = 0; i < sizeof misses / sizeof misses[0]; i++)
		check(!mc_command_find(misses[i], strlen(misses[i])),
			"%s is found", misses[i]);
	check(!mc_command_find("get", 0), "an empty name is found");
	check(!mc_command_find("get\0", 4), "get and a NUL is found");
	check(mc_command_find("gets", 3)->kind == MC_GET, "get out of gets");
}

int
main(void)
{
	check(!find("GET k"), "GET is found before command_init");
	command_init();
	test_sorted();
	test_rows();
	test_every_name();
	command_init();
	test_every_name();
	test_near_misses();
	test_lookups();
	test_arities();
	test_routes();
	test_keys();
	test_keys_room();
	test_keys_within();
	test_blocks();
	test_mc();
	printf("%d checks, %d failed\n", checks, failures);
	return failures ? 1 : 0;
}
