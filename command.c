/* SPDX-License-Identifier: Apache-2.0 */
/* command: one const table a protocol, and the rules that find keys. */
#include "command.h"

#include <string.h>

#include "util.h"

/* What a row is by its route; what they leave out is none. A name has its length
 * beside it, which a lookup compares first. */
#define NAME(name) (name), sizeof(name) - 1
#define READ(name, arity, keys, miss) \
	{NAME(name), arity, CMD_READ, ROUTE_KEYS, JOIN_NONE, miss, keys}
#define WRITE(name, arity, keys) \
	{NAME(name), arity, CMD_WRITE, ROUTE_KEYS, JOIN_NONE, MISS_NONE, keys}
#define KEYED(name, arity, flags, keys) \
	{NAME(name), arity, flags, ROUTE_KEYS, JOIN_NONE, MISS_NONE, keys}
#define SPLIT(name, arity, flags, join, keys, miss) \
	{NAME(name), arity, flags, ROUTE_KEYS, join, miss, keys}
#define ALL(name, arity, flags, join) \
	{NAME(name), arity, flags, ROUTE_ALL, join, 0, K_NONE}
#define ANY(name, arity) \
	{NAME(name), arity, 0, ROUTE_ANY, JOIN_NONE, 0, K_NONE}
#define LOCAL(name, arity, flags, local) \
	{NAME(name), arity, flags, ROUTE_LOCAL, JOIN_NONE, local, K_NONE}
#define REFUSED(name, arity, flags, keys) \
	{NAME(name), arity, flags, ROUTE_REFUSED, JOIN_NONE, MISS_NONE, keys}

/* Word 0 is the command's name. */
const struct key_spec command_key_specs[][2] = {
	[K1] = {{KEYS_ONE, 1, 0, 1}},
	[K2] = {{KEYS_ONE, 2, 0, 1}},
	[K1_K2] = {{KEYS_RANGE, 1, 1, 1}},
	[K_ALL] = {{KEYS_RANGE, 1, -1, 1}},
	[K_FROM_2] = {{KEYS_RANGE, 2, -1, 1}},
	[K_BUT_LAST] = {{KEYS_RANGE, 1, -2, 1}},
	[K_PAIRS] = {{KEYS_RANGE, 1, -1, 2}},
	[K_COUNT_1] = {{KEYS_COUNT, 1, 0, 1}},
	[K_COUNT_2] = {{KEYS_COUNT, 2, 0, 1}},
	[K_COUNT0_2] = {{KEYS_COUNT0, 2, 0, 1}},
	[K_COUNT_PAIRS_1] = {{KEYS_COUNT, 1, 0, 2}},
	[K1_AND_COUNT_2] = {{KEYS_RANGE, 1, 0, 1}, {KEYS_COUNT, 2, 0, 1}},
	[K1_AND_STORE_2] = {{KEYS_RANGE, 1, 0, 1}, {KEYS_STORE, 2, 0, 1}},
	[K1_AND_STORE_5] = {{KEYS_RANGE, 1, 0, 1}, {KEYS_STORE, 5, 0, 1}},
	[K1_AND_STORE_6] = {{KEYS_RANGE, 1, 0, 1}, {KEYS_STORE, 6, 0, 1}},
	[K_STREAMS] = {{KEYS_STREAMS, 1, 0, 1}},
	[K_MIGRATE] = {{KEYS_MIGRATE, 6, 0, 1}},
};

/*
 * Sorted by name in byte order, so that subcommands follow their container.
 * A container that is refused as a whole has one row. Arities and keys are
 * those of the commands' own JSON files in the sources of Redis and Valkey.
 */
static const struct command commands[] = {
	REFUSED("ACL", -2, CMD_ADMIN, K_NONE),
	WRITE("APPEND", 3, K1),
	REFUSED("ASKING", 1, CMD_ADMIN, K_NONE),
	LOCAL("AUTH", -2, CMD_NOAUTH, LOCAL_AUTH),
	REFUSED("BGREWRITEAOF", 1, CMD_ADMIN, K_NONE),
	REFUSED("BGSAVE", -1, CMD_ADMIN, K_NONE),
	READ("BITCOUNT", -2, K1, MISS_ZERO),
	WRITE("BITFIELD", -2, K1),
	READ("BITFIELD_RO", -2, K1, MISS_NONE),
	WRITE("BITOP", -4, K_FROM_2),
	READ("BITPOS", -3, K1, MISS_NONE),
	REFUSED("BLMOVE", 6, CMD_WRITE | CMD_BLOCKING, K1_K2),
	REFUSED("BLMPOP", -5, CMD_WRITE | CMD_BLOCKING, K_COUNT_2),
	REFUSED("BLPOP", -3, CMD_WRITE | CMD_BLOCKING, K_BUT_LAST),
	REFUSED("BRPOP", -3, CMD_WRITE | CMD_BLOCKING, K_BUT_LAST),
	REFUSED("BRPOPLPUSH", 4, CMD_WRITE | CMD_BLOCKING, K1_K2),
	REFUSED("BZMPOP", -5, CMD_WRITE | CMD_BLOCKING, K_COUNT_2),
	REFUSED("BZPOPMAX", -3, CMD_WRITE | CMD_BLOCKING, K_BUT_LAST),
	REFUSED("BZPOPMIN", -3, CMD_WRITE | CMD_BLOCKING, K_BUT_LAST),
	LOCAL("CLIENT", -2, CMD_CONTAINER, LOCAL_CLIENT),
	REFUSED("CLIENT|CACHING", 3, CMD_ADMIN, K_NONE),
	LOCAL("CLIENT|CAPA", -3, 0, LOCAL_CLIENT),
	LOCAL("CLIENT|GETNAME", 2, 0, LOCAL_CLIENT),
	REFUSED("CLIENT|GETREDIR", 2, CMD_ADMIN, K_NONE),
	ANY("CLIENT|HELP", 2),
	LOCAL("CLIENT|ID", 2, 0, LOCAL_CLIENT),
	LOCAL("CLIENT|INFO", 2, 0, LOCAL_CLIENT),
	REFUSED("CLIENT|KILL", -3, CMD_ADMIN, K_NONE),
	LOCAL("CLIENT|LIST", -2, 0, LOCAL_CLIENT),
	LOCAL("CLIENT|NO-EVICT", 3, 0, LOCAL_CLIENT),
	LOCAL("CLIENT|NO-TOUCH", 3, 0, LOCAL_CLIENT),
	REFUSED("CLIENT|PAUSE", -3, CMD_ADMIN, K_NONE),
	REFUSED("CLIENT|REPLY", 3, CMD_ADMIN, K_NONE),
	LOCAL("CLIENT|SETINFO", 4, 0, LOCAL_CLIENT),
	LOCAL("CLIENT|SETNAME", 3, 0, LOCAL_CLIENT),
	REFUSED("CLIENT|TRACKING", -3, CMD_ADMIN, K_NONE),
	REFUSED("CLIENT|TRACKINGINFO", 2, CMD_ADMIN, K_NONE),
	REFUSED("CLIENT|UNBLOCK", -3, CMD_ADMIN, K_NONE),
	REFUSED("CLIENT|UNPAUSE", 2, CMD_ADMIN, K_NONE),
	REFUSED("CLUSTER", -2, CMD_ADMIN, K_NONE),
	LOCAL("COMMAND", -1, CMD_CONTAINER, LOCAL_COMMAND),
	LOCAL("COMMAND|COUNT", 2, 0, LOCAL_COMMAND),
	ANY("COMMAND|DOCS", -2),
	LOCAL("COMMAND|GETKEYS", -3, 0, LOCAL_COMMAND),
	ANY("COMMAND|GETKEYSANDFLAGS", -3),
	ANY("COMMAND|HELP", 2),
	LOCAL("COMMAND|INFO", -2, 0, LOCAL_COMMAND),
	LOCAL("COMMAND|LIST", -2, 0, LOCAL_COMMAND),
	LOCAL("CONFIG", -2, CMD_CONTAINER, LOCAL_CONFIG),
	LOCAL("CONFIG|GET", -3, 0, LOCAL_CONFIG),
	ANY("CONFIG|HELP", 2),
	REFUSED("CONFIG|RESETSTAT", 2, CMD_ADMIN, K_NONE),
	REFUSED("CONFIG|REWRITE", 2, CMD_ADMIN, K_NONE),
	REFUSED("CONFIG|SET", -4, CMD_ADMIN, K_NONE),
	WRITE("COPY", -3, K1_K2),
	ALL("DBSIZE", 1, CMD_READ, JOIN_SUM),
	REFUSED("DEBUG", -2, CMD_ADMIN, K_NONE),
	WRITE("DECR", 2, K1),
	WRITE("DECRBY", 3, K1),
	SPLIT("DEL", -2, CMD_WRITE, JOIN_SUM, K_ALL, MISS_NONE),
	REFUSED("DISCARD", 1, CMD_TRANSACTION, K_NONE),
	READ("DUMP", 2, K1, MISS_NIL),
	LOCAL("ECHO", 2, 0, LOCAL_ECHO),
	WRITE("EVAL", -3, K_COUNT0_2),
	WRITE("EVALSHA", -3, K_COUNT0_2),
	READ("EVALSHA_RO", -3, K_COUNT0_2, MISS_NONE),
	READ("EVAL_RO", -3, K_COUNT0_2, MISS_NONE),
	REFUSED("EXEC", 1, CMD_TRANSACTION, K_NONE),
	SPLIT("EXISTS", -2, CMD_READ, JOIN_SUM, K_ALL, MISS_ZERO),
	WRITE("EXPIRE", -3, K1),
	WRITE("EXPIREAT", -3, K1),
	READ("EXPIRETIME", 2, K1, MISS_GONE),
	REFUSED("FAILOVER", -1, CMD_ADMIN, K_NONE),
	WRITE("FCALL", -3, K_COUNT0_2),
	READ("FCALL_RO", -3, K_COUNT0_2, MISS_NONE),
	ALL("FLUSHALL", -1, CMD_WRITE | CMD_FLUSH, JOIN_OK),
	ALL("FLUSHDB", -1, CMD_WRITE | CMD_FLUSH, JOIN_OK),
	REFUSED("FUNCTION", -2, CMD_CONTAINER, K_NONE),
	ALL("FUNCTION|DELETE", 3, CMD_WRITE, JOIN_OK),
	ANY("FUNCTION|DUMP", 2),
	ALL("FUNCTION|FLUSH", -2, CMD_WRITE, JOIN_OK),
	ANY("FUNCTION|HELP", 2),
	ALL("FUNCTION|KILL", 2, 0, JOIN_ANY),
	ANY("FUNCTION|LIST", -2),
	ALL("FUNCTION|LOAD", -3, CMD_WRITE, JOIN_OK),
	ALL("FUNCTION|RESTORE", -3, CMD_WRITE, JOIN_OK),
	ALL("FUNCTION|STATS", 2, 0, JOIN_LONGEST),
	WRITE("GEOADD", -5, K1),
	READ("GEODIST", -4, K1, MISS_NIL),
	READ("GEOHASH", -2, K1, MISS_NILS),
	READ("GEOPOS", -2, K1, MISS_POINTS),
	WRITE("GEORADIUS", -6, K1_AND_STORE_6),
	WRITE("GEORADIUSBYMEMBER", -5, K1_AND_STORE_5),
	READ("GEORADIUSBYMEMBER_RO", -5, K1, MISS_ARRAY),
	READ("GEORADIUS_RO", -6, K1, MISS_ARRAY),
	READ("GEOSEARCH", -7, K1, MISS_ARRAY),
	WRITE("GEOSEARCHSTORE", -8, K1_K2),
	READ("GET", 2, K1, MISS_NIL),
	READ("GETBIT", 3, K1, MISS_ZERO),
	WRITE("GETDEL", 2, K1),
	WRITE("GETEX", -2, K1),
	READ("GETRANGE", 4, K1, MISS_TEXT),
	WRITE("GETSET", 3, K1),
	WRITE("HDEL", -3, K1),
	LOCAL("HELLO", -1, CMD_NOAUTH, LOCAL_HELLO),
	READ("HEXISTS", 3, K1, MISS_ZERO),
	WRITE("HEXPIRE", -6, K1),
	WRITE("HEXPIREAT", -6, K1),
	READ("HEXPIRETIME", -5, K1, MISS_NONE),
	READ("HGET", 3, K1, MISS_NIL),
	READ("HGETALL", 2, K1, MISS_MAP),
	WRITE("HINCRBY", 4, K1),
	WRITE("HINCRBYFLOAT", 4, K1),
	READ("HKEYS", 2, K1, MISS_ARRAY),
	READ("HLEN", 2, K1, MISS_ZERO),
	READ("HMGET", -3, K1, MISS_NILS),
	WRITE("HMSET", -4, K1),
	WRITE("HPERSIST", -5, K1),
	WRITE("HPEXPIRE", -6, K1),
	WRITE("HPEXPIREAT", -6, K1),
	READ("HPEXPIRETIME", -5, K1, MISS_NONE),
	READ("HPTTL", -5, K1, MISS_NONE),
	READ("HRANDFIELD", -2, K1, MISS_NIL_OR_ARRAY),
	READ("HSCAN", -3, K1, MISS_SCAN),
	WRITE("HSET", -4, K1),
	WRITE("HSETNX", 4, K1),
	READ("HSTRLEN", 3, K1, MISS_ZERO),
	READ("HTTL", -5, K1, MISS_NONE),
	READ("HVALS", 2, K1, MISS_ARRAY),
	WRITE("INCR", 2, K1),
	WRITE("INCRBY", 3, K1),
	WRITE("INCRBYFLOAT", 3, K1),
	LOCAL("INFO", -1, 0, LOCAL_INFO),
	ALL("KEYS", 2, CMD_READ, JOIN_CONCAT),
	REFUSED("LASTSAVE", 1, CMD_ADMIN, K_NONE),
	REFUSED("LATENCY", -2, CMD_ADMIN, K_NONE),
	READ("LCS", -3, K1_K2, MISS_NONE),
	READ("LINDEX", 3, K1, MISS_NIL),
	WRITE("LINSERT", 5, K1),
	READ("LLEN", 2, K1, MISS_ZERO),
	WRITE("LMOVE", 5, K1_K2),
	WRITE("LMPOP", -4, K_COUNT_1),
	LOCAL("LOLWUT", -1, CMD_READ, LOCAL_LOLWUT),
	WRITE("LPOP", -2, K1),
	READ("LPOS", -3, K1, MISS_NIL_IF_SHORT),
	WRITE("LPUSH", -3, K1),
	WRITE("LPUSHX", -3, K1),
	READ("LRANGE", 4, K1, MISS_ARRAY),
	WRITE("LREM", 4, K1),
	WRITE("LSET", 4, K1),
	WRITE("LTRIM", 4, K1),
	REFUSED("MEMORY", -2, CMD_CONTAINER, K_NONE),
	REFUSED("MEMORY|DOCTOR", 2, CMD_ADMIN, K_NONE),
	ANY("MEMORY|HELP", 2),
	REFUSED("MEMORY|MALLOC-STATS", 2, CMD_ADMIN, K_NONE),
	REFUSED("MEMORY|PURGE", 2, CMD_ADMIN, K_NONE),
	REFUSED("MEMORY|STATS", 2, CMD_ADMIN, K_NONE),
	READ("MEMORY|USAGE", -3, K2, MISS_NIL),
	SPLIT("MGET", -2, CMD_READ, JOIN_ARRAY, K_ALL, MISS_NILS),
	REFUSED("MIGRATE", -6, CMD_ADMIN, K_MIGRATE),
	REFUSED("MODULE", -2, CMD_ADMIN, K_NONE),
	REFUSED("MONITOR", 1, CMD_ADMIN, K_NONE),
	WRITE("MOVE", 3, K1),
	SPLIT("MSET", -3, CMD_WRITE, JOIN_OK, K_PAIRS, MISS_NONE),
	WRITE("MSETEX", -4, K_COUNT_PAIRS_1),
	WRITE("MSETNX", -3, K_PAIRS),
	REFUSED("MULTI", 1, CMD_TRANSACTION, K_NONE),
	KEYED("OBJECT", -2, CMD_CONTAINER, K2),
	READ("OBJECT|ENCODING", 3, K2, MISS_NIL),
	READ("OBJECT|FREQ", 3, K2, MISS_NIL),
	ANY("OBJECT|HELP", 2),
	READ("OBJECT|IDLETIME", 3, K2, MISS_NIL),
	READ("OBJECT|REFCOUNT", 3, K2, MISS_NIL),
	WRITE("PERSIST", 2, K1),
	WRITE("PEXPIRE", -3, K1),
	WRITE("PEXPIREAT", -3, K1),
	READ("PEXPIRETIME", 2, K1, MISS_GONE),
	WRITE("PFADD", -2, K1),
	READ("PFCOUNT", -2, K_ALL, MISS_ZERO),
	REFUSED("PFDEBUG", 3, CMD_ADMIN, K2),
	WRITE("PFMERGE", -2, K_ALL),
	REFUSED("PFSELFTEST", 1, CMD_ADMIN, K_NONE),
	LOCAL("PING", -1, 0, LOCAL_PING),
	WRITE("PSETEX", 4, K1),
	REFUSED("PSUBSCRIBE", -2, CMD_PUBSUB, K_NONE),
	REFUSED("PSYNC", -3, CMD_ADMIN, K_NONE),
	READ("PTTL", 2, K1, MISS_GONE),
	KEYED("PUBLISH", 3, 0, K1),
	REFUSED("PUBSUB", -2, CMD_PUBSUB, K_NONE),
	REFUSED("PUNSUBSCRIBE", -1, CMD_PUBSUB, K_NONE),
	LOCAL("QUIT", -1, CMD_NOAUTH, LOCAL_QUIT),
	ALL("RANDOMKEY", 1, CMD_READ, JOIN_RANDOM),
	LOCAL("READONLY", 1, 0, LOCAL_READONLY),
	LOCAL("READWRITE", 1, 0, LOCAL_READONLY),
	WRITE("RENAME", 3, K1_K2),
	WRITE("RENAMENX", 3, K1_K2),
	REFUSED("REPLCONF", -1, CMD_ADMIN, K_NONE),
	REFUSED("REPLICAOF", 3, CMD_ADMIN, K_NONE),
	LOCAL("RESET", 1, CMD_NOAUTH, LOCAL_RESET),
	WRITE("RESTORE", -4, K1),
	REFUSED("RESTORE-ASKING", -4, CMD_ADMIN, K1),
	REFUSED("ROLE", 1, CMD_ADMIN, K_NONE),
	WRITE("RPOP", -2, K1),
	WRITE("RPOPLPUSH", 3, K1_K2),
	WRITE("RPUSH", -3, K1),
	WRITE("RPUSHX", -3, K1),
	WRITE("SADD", -3, K1),
	REFUSED("SAVE", 1, CMD_ADMIN, K_NONE),
	ALL("SCAN", -2, CMD_READ, JOIN_SCAN),
	READ("SCARD", 2, K1, MISS_ZERO),
	REFUSED("SCRIPT", -2, CMD_CONTAINER, K_NONE),
	REFUSED("SCRIPT|DEBUG", 3, CMD_ADMIN, K_NONE),
	ALL("SCRIPT|EXISTS", -3, 0, JOIN_AND),
	ALL("SCRIPT|FLUSH", -2, 0, JOIN_OK),
	ANY("SCRIPT|HELP", 2),
	ALL("SCRIPT|KILL", 2, 0, JOIN_ANY),
	ALL("SCRIPT|LOAD", 3, 0, JOIN_OK),
	ANY("SCRIPT|SHOW", 3),
	READ("SDIFF", -2, K_ALL, MISS_SET),
	WRITE("SDIFFSTORE", -3, K_ALL),
	LOCAL("SELECT", 2, 0, LOCAL_SELECT),
	REFUSED("SENTINEL", -2, CMD_ADMIN, K_NONE),
	WRITE("SET", -3, K1),
	WRITE("SETBIT", 4, K1),
	WRITE("SETEX", 4, K1),
	WRITE("SETNX", 3, K1),
	WRITE("SETRANGE", 4, K1),
	REFUSED("SFLUSH", -3, CMD_ADMIN, K_NONE),
	REFUSED("SHUTDOWN", -1, CMD_ADMIN, K_NONE),
	READ("SINTER", -2, K_ALL, MISS_SET),
	READ("SINTERCARD", -3, K_COUNT_1, MISS_ZERO),
	WRITE("SINTERSTORE", -3, K_ALL),
	READ("SISMEMBER", 3, K1, MISS_ZERO),
	REFUSED("SLAVEOF", 3, CMD_ADMIN, K_NONE),
	REFUSED("SLOWLOG", -2, CMD_ADMIN, K_NONE),
	READ("SMEMBERS", 2, K1, MISS_SET),
	READ("SMISMEMBER", -3, K1, MISS_ZEROS),
	WRITE("SMOVE", 4, K1_K2),
	WRITE("SORT", -2, K1_AND_STORE_2),
	READ("SORT_RO", -2, K1, MISS_ARRAY),
	WRITE("SPOP", -2, K1),
	KEYED("SPUBLISH", 3, 0, K1),
	READ("SRANDMEMBER", -2, K1, MISS_NIL_OR_ARRAY),
	WRITE("SREM", -3, K1),
	READ("SSCAN", -3, K1, MISS_SCAN),
	REFUSED("SSUBSCRIBE", -2, CMD_PUBSUB, K_ALL),
	READ("STRLEN", 2, K1, MISS_ZERO),
	REFUSED("SUBSCRIBE", -2, CMD_PUBSUB, K_NONE),
	READ("SUBSTR", 4, K1, MISS_TEXT),
	READ("SUNION", -2, K_ALL, MISS_SET),
	WRITE("SUNIONSTORE", -3, K_ALL),
	REFUSED("SUNSUBSCRIBE", -1, CMD_PUBSUB, K_ALL),
	REFUSED("SWAPDB", 3, CMD_ADMIN, K_NONE),
	REFUSED("SYNC", 1, CMD_ADMIN, K_NONE),
	LOCAL("TIME", 1, 0, LOCAL_TIME),
	SPLIT("TOUCH", -2, CMD_READ, JOIN_SUM, K_ALL, MISS_ZERO),
	READ("TTL", 2, K1, MISS_GONE),
	READ("TYPE", 2, K1, MISS_TYPE),
	SPLIT("UNLINK", -2, CMD_WRITE, JOIN_SUM, K_ALL, MISS_NONE),
	REFUSED("UNSUBSCRIBE", -1, CMD_PUBSUB, K_NONE),
	REFUSED("UNWATCH", 1, CMD_TRANSACTION, K_NONE),
	ALL("WAIT", 3, CMD_BLOCKING, JOIN_MIN),
	REFUSED("WAITAOF", 4, CMD_BLOCKING, K_NONE),
	REFUSED("WATCH", -2, CMD_TRANSACTION, K_ALL),
	WRITE("XACK", -4, K1),
	WRITE("XADD", -5, K1),
	WRITE("XAUTOCLAIM", -6, K1),
	WRITE("XCLAIM", -6, K1),
	WRITE("XDEL", -3, K1),
	KEYED("XGROUP", -2, CMD_CONTAINER, K2),
	WRITE("XGROUP|CREATE", -5, K2),
	WRITE("XGROUP|CREATECONSUMER", 5, K2),
	WRITE("XGROUP|DELCONSUMER", 5, K2),
	WRITE("XGROUP|DESTROY", 4, K2),
	ANY("XGROUP|HELP", 2),
	WRITE("XGROUP|SETID", -5, K2),
	KEYED("XINFO", -2, CMD_CONTAINER, K2),
	READ("XINFO|CONSUMERS", 4, K2, MISS_NONE),
	READ("XINFO|GROUPS", 3, K2, MISS_NONE),
	ANY("XINFO|HELP", 2),
	READ("XINFO|STREAM", -3, K2, MISS_NONE),
	READ("XLEN", 2, K1, MISS_ZERO),
	READ("XPENDING", -3, K1, MISS_NONE),
	READ("XRANGE", -4, K1, MISS_ARRAY),
	KEYED("XREAD", -4, CMD_READ | CMD_BLOCKING, K_STREAMS),
	KEYED("XREADGROUP", -7, CMD_WRITE | CMD_BLOCKING, K_STREAMS),
	READ("XREVRANGE", -4, K1, MISS_ARRAY),
	WRITE("XSETID", -3, K1),
	WRITE("XTRIM", -4, K1),
	WRITE("ZADD", -4, K1),
	READ("ZCARD", 2, K1, MISS_ZERO),
	READ("ZCOUNT", 4, K1, MISS_ZERO),
	READ("ZDIFF", -3, K_COUNT_1, MISS_ARRAY),
	WRITE("ZDIFFSTORE", -4, K1_AND_COUNT_2),
	WRITE("ZINCRBY", 4, K1),
	READ("ZINTER", -3, K_COUNT_1, MISS_ARRAY),
	READ("ZINTERCARD", -3, K_COUNT_1, MISS_ZERO),
	WRITE("ZINTERSTORE", -4, K1_AND_COUNT_2),
	READ("ZLEXCOUNT", 4, K1, MISS_ZERO),
	WRITE("ZMPOP", -4, K_COUNT_1),
	READ("ZMSCORE", -3, K1, MISS_NILS),
	WRITE("ZPOPMAX", -2, K1),
	WRITE("ZPOPMIN", -2, K1),
	READ("ZRANDMEMBER", -2, K1, MISS_NIL_OR_ARRAY),
	READ("ZRANGE", -4, K1, MISS_ARRAY),
	READ("ZRANGEBYLEX", -4, K1, MISS_ARRAY),
	READ("ZRANGEBYSCORE", -4, K1, MISS_ARRAY),
	WRITE("ZRANGESTORE", -5, K1_K2),
	READ("ZRANK", -3, K1, MISS_NIL_IF_SHORT),
	WRITE("ZREM", -3, K1),
	WRITE("ZREMRANGEBYLEX", 4, K1),
	WRITE("ZREMRANGEBYRANK", 4, K1),
	WRITE("ZREMRANGEBYSCORE", 4, K1),
	READ("ZREVRANGE", -4, K1, MISS_ARRAY),
	READ("ZREVRANGEBYLEX", -4, K1, MISS_ARRAY),
	READ("ZREVRANGEBYSCORE", -4, K1, MISS_ARRAY),
	READ("ZREVRANK", -3, K1, MISS_NIL_IF_SHORT),
	READ("ZSCAN", -3, K1, MISS_SCAN),
	READ("ZSCORE", 3, K1, MISS_NIL),
	READ("ZUNION", -3, K_COUNT_1, MISS_ARRAY),
	WRITE("ZUNIONSTORE", -4, K1_AND_COUNT_2),
};

const struct command command_unknown = WRITE("", -2, K1);

/* Sorted by name. Words as doc/protocol.txt of memcached counts them. */
static const struct mc_command mc_commands[] = {
	{NAME("add"),            MC_STORE,       CMD_WRITE, 5, 6, true},
	{NAME("append"),         MC_STORE,       CMD_WRITE, 5, 6, true},
	{NAME("cache_memlimit"), MC_REFUSED,     0, 1, 0, true},
	{NAME("cas"),            MC_CAS,         CMD_WRITE, 6, 7, true},
	{NAME("debugtime"),      MC_REFUSED,     0, 1, 0, false},
	{NAME("decr"),           MC_ARITH,       CMD_WRITE, 3, 3, true},
	{NAME("delete"),         MC_DELETE,      CMD_WRITE, 2, 3, true},
	{NAME("extstore"),       MC_REFUSED,     0, 1, 0, true},
	{NAME("flush_all"),      MC_FLUSH,       CMD_WRITE | CMD_FLUSH, 1, 2, true},
	{NAME("gat"),            MC_GAT,         CMD_READ | CMD_WRITE, 3, 0, false},
	{NAME("gats"),           MC_GAT,         CMD_READ | CMD_WRITE, 3, 0, false},
	{NAME("get"),            MC_GET,         CMD_READ, 2, 0, false},
	{NAME("gets"),           MC_GET,         CMD_READ, 2, 0, false},
	{NAME("incr"),           MC_ARITH,       CMD_WRITE, 3, 3, true},
	{NAME("lru"),            MC_REFUSED,     0, 1, 0, false},
	{NAME("lru_crawler"),    MC_REFUSED,     0, 1, 0, false},
	{NAME("ma"),             MC_META_ARITH,  CMD_WRITE, 2, 0, false},
	{NAME("md"),             MC_META_DELETE, CMD_WRITE, 2, 0, false},
	{NAME("me"),             MC_META_DEBUG,  CMD_READ, 2, 0, false},
	{NAME("mg"),             MC_META_GET,    CMD_READ, 2, 0, false},
	{NAME("misbehave"),      MC_REFUSED,     0, 1, 0, false},
	{NAME("mn"),             MC_META_NOOP,   0, 1, 0, false},
	{NAME("ms"),             MC_META_SET,    CMD_WRITE, 2, 0, false},
	{NAME("prepend"),        MC_STORE,       CMD_WRITE, 5, 6, true},
	{NAME("quit"),           MC_QUIT,        0, 1, 0, false},
	{NAME("refresh_certs"),  MC_REFUSED,     0, 1, 0, false},
	{NAME("replace"),        MC_STORE,       CMD_WRITE, 5, 6, true},
	{NAME("set"),            MC_STORE,       CMD_WRITE, 5, 6, true},
	{NAME("shutdown"),       MC_REFUSED,     0, 1, 0, false},
	{NAME("slabs"),          MC_REFUSED,     0, 1, 0, false},
	{NAME("slabs_automove"), MC_REFUSED,     0, 1, 0, false},
	{NAME("stats"),          MC_STATS,       0, 1, 0, false},
	{NAME("touch"),          MC_TOUCH,       CMD_WRITE, 3, 3, true},
	{NAME("verbosity"),      MC_VERBOSITY,   0, 2, 2, true},
	{NAME("version"),        MC_VERSION,     0, 1, 0, false},
	{NAME("watch"),          MC_REFUSED,     0, 1, 0, false},
};

enum {
	COMMANDS = sizeof commands / sizeof commands[0],
	MC_COMMANDS = sizeof mc_commands / sizeof mc_commands[0],
};

/* Open hash tables of row numbers, counted from 1: 0 is a free slot. Seven in
 * ten slots stay free, so nearly every name is found in its first. */
enum { REDIS_BITS = 10, MC_BITS = 7 };
static uint16_t index_redis[1 << REDIS_BITS];
static uint16_t index_mc[1 << MC_BITS];
static uint32_t digests_redis[1 << REDIS_BITS]; /* of the names in the slots */

/* Three letters and the length tell nearly all names apart at a cost that does
 * not depend on the length. Clearing bit 5 makes both cases of a letter alike. */
static uint32_t
name_digest(const char *name, size_t len)
{
	const unsigned char *n = (const unsigned char *)name;
	const uint32_t letters = n[0] | (uint32_t)n[(len - 1) / 2] << 8
		| (uint32_t)n[len - 1] << 16;

	return (letters & 0xdfdfdf) + ((uint32_t)len << 24);
}

/* Multiplicative hashing, Knuth, The Art of Computer Programming 3, section
 * 6.4. */
static size_t
digest_slot(uint32_t digest, int bits)
{
	return (digest * UINT32_C(0x9e3779b1)) >> (32 - bits);
}

static size_t
slot_next(size_t slot, int bits)
{
	return (slot + 1) & (((size_t)1 << bits) - 1);
}

/* Returns the slot. */
static size_t
index_add(uint16_t *index, int bits, const char *name, size_t len, size_t row)
{
	size_t slot = digest_slot(name_digest(name, len), bits);

	while (index[slot])
		slot = slot_next(slot, bits);
	index[slot] = (uint16_t)(row + 1);
	return slot;
}

void
command_init(void)
{
	memset(index_redis, 0, sizeof index_redis);
	memset(index_mc, 0, sizeof index_mc);
	for (size_t i = 0; i < COMMANDS; i++) {
		const struct command *cmd = &commands[i];

		if (!strchr(cmd->name, '|'))
			digests_redis[index_add(index_redis, REDIS_BITS, cmd->name,
				cmd->len, i)] = name_digest(cmd->name, cmd->len);
	}
	for (size_t i = 0; i < MC_COMMANDS; i++)
		index_add(index_mc, MC_BITS, mc_commands[i].name,
			mc_commands[i].len, i);
}

/* True if the bytes are those of `upper`, which is upper case, in any case. */
static bool
bytes_are(const char *bytes, const char *upper, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		const char c = bytes[i];

		if (c != upper[i] && (c < 'a' || c > 'z' || c - 'a' + 'A' != upper[i]))
			return false;
	}
	return true;
}

/* Names are so short that a call of memcmp costs more. */
static bool
bytes_equal(const char *a, const char *b, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (a[i] != b[i])
			return false;
	return true;
}

bool
word_is(const struct arg *word, const char *upper)
{
	const size_t len = strlen(upper);

	return word->len >= len && bytes_are(word->ptr, upper, len) &&
		(word->len == len || word->ptr[len] == '\0');
}

static const struct command *
name_find(const struct arg *word)
{
	const struct command *cmd;
	uint32_t digest;
	size_t slot;

	if (word->len == 0)
		return NULL;
	digest = name_digest(word->ptr, word->len);
	slot = digest_slot(digest, REDIS_BITS);
	while (index_redis[slot]) {
		cmd = &commands[index_redis[slot] - 1];
		/* All there is of GET, SET and DEL is in it, which saves 2 % of a
		 * GET's instructions; of longer names it is a first look. */
		if (digests_redis[slot] == digest && (word->len <= 3 ||
		    (cmd->len == word->len && bytes_are(word->ptr, cmd->name, cmd->len))))
			return cmd;
		slot = slot_next(slot, REDIS_BITS);
	}
	return NULL;
}

static APART const struct command *
subcommand_find(const struct command *container, const struct arg *word)
{
	const struct command *end = commands + COMMANDS;
	const size_t len = container->len;

	for (const struct command *cmd = container + 1; cmd < end; cmd++) {
		if (strncmp(cmd->name, container->name, len) != 0 ||
		    cmd->name[len] != '|')
			break;
		if (word_is(word, cmd->name + len + 1))
			return cmd;
	}
	return container;
}

const struct command *
command_find(const struct arg *argv, size_t argc)
{
	const struct command *cmd = name_find(&argv[0]);

	if (cmd && cmd->flags & CMD_CONTAINER && argc > 1)
		return subcommand_find(cmd, &argv[1]);
	return cmd;
}

const struct command *
command_at(size_t i)
{
	return i < COMMANDS ? &commands[i] : NULL;
}

bool
command_arity_ok(const struct command *cmd, size_t argc)
{
	const struct key_spec *spec = command_key_specs[cmd->keys];

	if (spec->find == KEYS_RANGE && spec->step == 2 && argc % 2 == 0)
		return false;
	if (cmd->arity < 0)
		return argc >= (size_t)-cmd->arity;
	return argc == (size_t)cmd->arity;
}

/* How many words behind an option belong to it. One list does for all commands
 * with options before or around a key: they share no word that means two things. */
static size_t
option_words(const struct arg *word)
{
	static const struct {
		const char *name;
		size_t words;
	} options[] = {
		{"AUTH", 1}, {"AUTH2", 2}, {"BLOCK", 1}, {"BY", 1}, {"CLAIM", 1},
		{"COUNT", 1}, {"GET", 1}, {"GROUP", 2}, {"LIMIT", 2}, {"STORE", 1},
		{"STOREDIST", 1},
	};

	for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
		if (word_is(word, options[i].name))
			return options[i].words;
	return 0;
}

/* Index of the option `name` at or behind word i, argc if there is none. */
static size_t
option_find(const struct arg *argv, size_t argc, size_t i, const char *name)
{
	while (i < argc && !word_is(&argv[i], name))
		i += 1 + option_words(&argv[i]);
	return i < argc ? i : argc;
}

/* Keys found so far: all are counted, the first `max` are kept. */
struct key_list {
	uint32_t *out;
	size_t max;
	size_t count;
};

/* Takes count words, from `first` on in steps. */
static void
list_add(struct key_list *list, size_t first, size_t count, size_t step)
{
	for (size_t i = 0; i < count && list->count + i < list->max; i++)
		list->out[list->count + i] = (uint32_t)(first + i * step);
	list->count += count;
}

static void
range_add(struct key_list *list, const struct key_spec *spec, size_t argc)
{
	const size_t back = spec->last < 0 ? (size_t)-spec->last : 1;
	size_t last = argc - back;

	if (argc < back + spec->begin)
		return;
	if (spec->last >= 0 && last > spec->begin + (size_t)spec->last)
		last = spec->begin + (size_t)spec->last;
	list_add(list, spec->begin, (last - spec->begin) / spec->step + 1, spec->step);
}

/* Reads a number as Redis does: no sign, no leading zero, no blank. More
 * digits than a request may have words are no count. */
static bool
count_parse(const struct arg *word, size_t *count)
{
	size_t n = 0;

	if (word->len == 0 || word->len > 9)
		return false;
	if (word->ptr[0] == '0' && word->len > 1)
		return false;
	for (size_t i = 0; i < word->len; i++) {
		if (word->ptr[i] < '0' || word->ptr[i] > '9')
			return false;
		n = n * 10 + (size_t)(word->ptr[i] - '0');
	}
	*count = n;
	return true;
}

static bool
counted_add(struct key_list *list, const struct key_spec *spec,
	const struct arg *argv, size_t argc)
{
	size_t count;

	if (spec->begin >= argc || !count_parse(&argv[spec->begin], &count))
		return false;
	if (count == 0 && spec->find == KEYS_COUNT)
		return false;
	if (count > (argc - spec->begin - 1) / spec->step)
		return false;
	list_add(list, spec->begin + 1U, count, spec->step);
	return true;
}

/* The last one counts, as in the servers. */
static void
store_add(struct key_list *list, const struct key_spec *spec,
	const struct arg *argv, size_t argc)
{
	size_t key = 0;

	for (size_t i = spec->begin; i + 1 < argc; i += 1 + option_words(&argv[i]))
		if (word_is(&argv[i], "STORE") || word_is(&argv[i], "STOREDIST"))
			key = i + 1;
	if (key)
		list_add(list, key, 1, 1);
}

static bool
streams_add(struct key_list *list, const struct key_spec *spec,
	const struct arg *argv, size_t argc)
{
	const size_t first = option_find(argv, argc, spec->begin, "STREAMS") + 1;

	if (first >= argc || (argc - first) % 2)
		return false;
	list_add(list, first, (argc - first) / 2, 1);
	return true;
}

static bool
migrate_add(struct key_list *list, const struct key_spec *spec,
	const struct arg *argv, size_t argc)
{
	size_t first;

	if (argc < spec->begin)
		return false;
	if (argv[3].len > 0) {
		list_add(list, 3, 1, 1);
		return true;
	}
	first = option_find(argv, argc, spec->begin, "KEYS") + 1;
	if (first >= argc)
		return false;
	list_add(list, first, argc - first, 1);
	return true;
}

static bool
spec_add(struct key_list *list, const struct key_spec *spec,
	const struct arg *argv, size_t argc)
{
	switch (spec->find) {
	case KEYS_ONE:
	case KEYS_RANGE:
		range_add(list, spec, argc);
		return true;
	case KEYS_COUNT:
	case KEYS_COUNT0:
		return counted_add(list, spec, argv, argc);
	case KEYS_STORE:
		store_add(list, spec, argv, argc);
		return true;
	case KEYS_STREAMS:
		return streams_add(list, spec, argv, argc);
	case KEYS_MIGRATE:
		return migrate_add(list, spec, argv, argc);
	}
	return true;
}

long
command_keys(const struct command *cmd, const struct arg *argv, size_t argc,
	uint32_t *out, size_t max)
{
	const struct key_spec *spec = command_key_specs[cmd->keys];
	struct key_list list = {out, max, 0};

	/* Most commands have one key, and it has its place. */
	if (spec[0].find == KEYS_ONE && spec[0].begin < argc && max > 0) {
		out[0] = spec[0].begin;
		return 1;
	}
	if (!spec_add(&list, &spec[0], argv, argc)
		|| !spec_add(&list, &spec[1], argv, argc))
		return -1;
	return (long)list.count;
}

bool
command_blocks(const struct command *cmd, const struct arg *argv, size_t argc)
{
	const struct key_spec *spec = command_key_specs[cmd->keys];

	if (!(cmd->flags & CMD_BLOCKING))
		return false;
	/* WAIT for no replica is answered at once. */
	if (cmd->join == JOIN_MIN)
		return argc < 2 || argv[1].len != 1 || argv[1].ptr[0] != '0';
	if (spec->find != KEYS_STREAMS)
		return true;
	return option_find(argv, argc, spec->begin, "BLOCK")
		< option_find(argv, argc, spec->begin, "STREAMS");
}

const struct mc_command *
mc_command_find(const char *name, size_t len)
{
	const struct mc_command *cmd;
	size_t slot;

	if (len == 0)
		return NULL;
	slot = digest_slot(name_digest(name, len), MC_BITS);
	while (index_mc[slot]) {
		cmd = &mc_commands[index_mc[slot] - 1];
		if (cmd->len == len && bytes_equal(cmd->name, name, len))
			return cmd;
		slot = slot_next(slot, MC_BITS);
	}
	return NULL;
}

const struct mc_command *
mc_command_at(size_t i)
{
	return i < MC_COMMANDS ? &mc_commands[i] : NULL;
}
