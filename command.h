/* SPDX-License-Identifier: Apache-2.0 */
/* command: what each command is: its words, its keys, how it is split and joined. */
#ifndef COMMAND_H
#define COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "parse.h"

/* Fills the indexes of the names; once, before the first command_find() or
 * mc_command_find(), which know no name until then. */
void command_init(void);

/* ---- Redis and Valkey ---- */

/* Where a request goes. */
enum route {
	ROUTE_KEYS,    /* to the server, or the servers, of its keys */
	ROUTE_ALL,     /* to every server of the pool, the replies joined */
	ROUTE_ANY,     /* has no key: to the server of the word "placeholder" */
	ROUTE_LOCAL,   /* answered by the proxy itself */
	ROUTE_REFUSED, /* known, and not to be had through a proxy */
};

/* How the replies of several parts become one. */
enum join {
	JOIN_NONE,   /* one server's reply, unchanged; never split */
	JOIN_ARRAY,  /* MGET: one element a key, in the order of the keys */
	JOIN_SUM,    /* integers, added (64 bit) */
	JOIN_OK,     /* all must succeed: the first error, else the first reply */
	JOIN_MIN,    /* integers: the smallest */
	JOIN_CONCAT, /* arrays, one behind the other */
	JOIN_AND,    /* arrays of 0 and 1: element by element */
	JOIN_ANY,    /* one success is enough: first success, else first error */
	JOIN_SCAN,   /* one cursor over all servers */
	JOIN_RANDOM, /* RANDOMKEY: of any server that has one */
	JOIN_INFO,    /* INFO: the proxy's own, with the version of a server */
	JOIN_LONGEST, /* FUNCTION STATS: of the server that has most to say */
};

/*
 * A refused row carries the reason: CMD_BLOCKING, CMD_PUBSUB, CMD_TRANSACTION
 * or CMD_ADMIN. CMD_CONTAINER on the row that command_find() returned means
 * that the second word is missing or none of the container's subcommands.
 */
enum {
	CMD_WRITE = 1,        /* changes data */
	CMD_READ = 2,         /* reads data: may be answered by a miss, see enum miss */
	CMD_CONTAINER = 4,    /* its second word names the command proper */
	CMD_BLOCKING = 8,     /* may wait at the server: see command_blocks() */
	CMD_PUBSUB = 16,      /* turns the conn into a stream of messages */
	CMD_TRANSACTION = 32, /* leaves its state at the server's conn */
	CMD_FLUSH = 64,       /* only with allow_flush */
	CMD_NOAUTH = 128,     /* answered before AUTH too */
	CMD_ADMIN = 256,      /* runs one server or its conns, not data */
};

/* Commands the proxy answers itself. */
enum local {
	LOCAL_NONE, LOCAL_PING, LOCAL_ECHO, LOCAL_QUIT, LOCAL_TIME, LOCAL_HELLO,
	LOCAL_AUTH, LOCAL_SELECT, LOCAL_RESET, LOCAL_CLIENT, LOCAL_COMMAND,
	LOCAL_INFO, LOCAL_CONFIG, LOCAL_READONLY, LOCAL_LOLWUT,
};

/* What a read says of a key that is not there. */
enum miss {
	MISS_NONE,  /* it depends: the read fails */
	MISS_NIL, MISS_ZERO,
	MISS_GONE,  /* -2: when does what is not there end */
	MISS_ARRAY, MISS_MAP, MISS_SET, MISS_TEXT, /* empty ones */
	MISS_TYPE,  /* "none" */
	MISS_SCAN,  /* cursor 0 and nothing */
	MISS_NIL_OR_ARRAY, /* the second with a count, the word behind the key */
	MISS_NIL_IF_SHORT, /* options change it */
	/* One for each word behind the key, or for each key. */
	MISS_NILS, MISS_ZEROS, MISS_POINTS,
};

/* How keys are found among the words; `begin` is an index of these. */
enum key_find {
	KEYS_NONE,
	KEYS_ONE,     /* word begin, and there is no second key_spec */
	KEYS_RANGE,   /* from begin to last, every step-th word */
	KEYS_COUNT,   /* begin holds how many, at least one; they follow it */
	KEYS_COUNT0,  /* the same, and none is allowed */
	KEYS_STORE,   /* what follows the last STORE or STOREDIST, if there is one */
	KEYS_STREAMS, /* the first half of what follows STREAMS */
	KEYS_MIGRATE, /* word 3, or if that is empty all that follow KEYS */
};
struct key_spec {
	uint8_t find;  /* enum key_find */
	uint8_t begin; /* words before it are no keys, nor options */
	int8_t last;   /* range: relative to begin, or negative from the end */
	uint8_t step;  /* distance of keys: 2 for MSET */
};

/* Which words are keys. The few ways there are, so that a row holds the number
 * of one; where one word alone is a key, that number is the word's. */
enum key_place {
	K_NONE, K1, K2,
	K1_K2, K_ALL, K_FROM_2, K_BUT_LAST, K_PAIRS,
	K_COUNT_1, K_COUNT_2, K_COUNT0_2, K_COUNT_PAIRS_1,
	K1_AND_COUNT_2, K1_AND_STORE_2, K1_AND_STORE_5, K1_AND_STORE_6,
	K_STREAMS, K_MIGRATE,
};

/* By enum key_place; what the second finds lies behind the first's. */
extern const struct key_spec command_key_specs[][2];

struct command {
	const char *name;        /* upper case; "OBJECT|ENCODING" for a subcommand */
	uint8_t len;             /* of the name */
	int8_t arity;            /* words with the name(s); negative: at least so many */
	uint16_t flags;          /* CMD_* */
	uint8_t route;           /* enum route */
	uint8_t join;            /* enum join */
	uint8_t answer;          /* the proxy's own: enum local for ROUTE_LOCAL, enum
	                          * miss for reads of keys */
	uint8_t keys;            /* enum key_place */
};

/* For a name in no table: most commands there are, and most of those to come,
 * have one key and it is their first argument. */
extern const struct command command_unknown;

/* The word is this one, which is given in capitals, in any case, as far as its
 * first NUL: so the servers read it. */
bool word_is(const struct arg *word, const char *upper);

/*
 * The command that the words name: the subcommand's row for a container whose
 * second word is one of its subcommands, the container's own row if not (or if
 * there is no second word), NULL for a name in no table. argc >= 1. Any case.
 */
const struct command *command_find(const struct arg *argv, size_t argc);

/* True if the number of words fits the command's arity and, where keys and
 * values alternate (MSET, MSETNX), no value is missing. */
bool command_arity_ok(const struct command *cmd, size_t argc);

/* The place of the key in a request that has one and that its server may answer
 * as it is, which is what nearly all are; 0: more has to be looked at. */
static inline size_t command_only_key(const struct command *cmd, size_t argc)
{
	const size_t at = cmd->keys;

	if (at > K2 || cmd->route != ROUTE_KEYS ||
	    cmd->flags & (CMD_BLOCKING | CMD_CONTAINER))
		return 0;
	if (cmd->arity < 0 ? argc < (size_t)-cmd->arity :
	    argc != (size_t)cmd->arity)
		return 0;
	return at < argc ? at : 0;
}

/*
 * Positions of the keys, in ascending order, at most `max` of them to out[].
 * Returns how many keys there are (may exceed max), or -1 when the words break
 * the command's own rule (a key count that is not a number, less than the
 * command allows or larger than the words there are; XREAD whose streams and
 * ids do not pair). 0 is not an error: EVAL and FCALL may have no key, OBJECT
 * with an unknown subcommand neither; such a request goes the way of ROUTE_ANY.
 */
long command_keys(const struct command *cmd, const struct arg *argv,
	size_t argc, uint32_t *out, size_t max);

/* True if the server may hold back the reply to these words until something
 * happens: for XREAD and XREADGROUP only with the word BLOCK, for WAIT only
 * with a number of replicas. */
bool command_blocks(const struct command *cmd, const struct arg *argv,
	size_t argc);

/* The i-th row of the table in order of name, NULL past the last. */
const struct command *command_at(size_t i);

/* ---- memcached ---- */

enum mc_kind {
	MC_GET,         /* get gets: keys from word 1 to the end */
	MC_GAT,         /* gat gats: keys from word 2 to the end */
	MC_STORE,       /* set add replace append prepend: a data block follows */
	MC_CAS,         /* the same with one number more */
	MC_ARITH,       /* incr decr */
	MC_TOUCH,
	MC_DELETE,
	MC_META_GET,    /* mg, and the next three: one line, the key is word 1 */
	MC_META_DELETE, /* md */
	MC_META_ARITH,  /* ma */
	MC_META_DEBUG,  /* me */
	MC_META_SET,    /* ms: word 2 is the length of the data block that follows */
	MC_META_NOOP,   /* mn: no key */
	MC_VERSION,     /* no key from here on */
	MC_QUIT,
	MC_VERBOSITY,
	MC_FLUSH,
	MC_STATS,
	MC_REFUSED,     /* administration of one server */
};

struct mc_command {
	const char *name;
	uint8_t len;       /* of the name */
	uint8_t kind;      /* enum mc_kind */
	uint8_t flags;     /* CMD_READ, CMD_WRITE, CMD_FLUSH */
	uint8_t min_words; /* with the name, without a trailing "noreply" */
	uint8_t max_words; /* the same; 0 = any number */
	bool can_noreply;  /* "noreply" as the last word means it */
};

/* NULL for a name in no table. As in memcached, case matters. */
const struct mc_command *mc_command_find(const char *name, size_t len);

/* The i-th row of the table in order of name, NULL past the last. */
const struct mc_command *mc_command_at(size_t i);

#endif
