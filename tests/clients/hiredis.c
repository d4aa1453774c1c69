/* SPDX-License-Identifier: Apache-2.0 */
/* hiredis through the proxy. usage: hiredis PORT RESTART */
#include <hiredis/hiredis.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LARGE = 1 << 20 };

static redisContext *c;

static void
fail(int line, const char *what)
{
	fprintf(stderr, "line %d: %s (%s)\n", line, what, c ? c->errstr : "");
	exit(1);
}

#define check(good) do { if (!(good)) fail(__LINE__, #good); } while (0)

static void
nap(void)
{
	struct timespec t = {0, 20000000};

	nanosleep(&t, NULL);
}

/* One command; its reply is of that type, and as a text or number that. */
static void
ask(int line, int type, const char *want, const char *format, ...)
{
	char number[32];
	redisReply *r;
	const char *got;
	va_list args;

	va_start(args, format);
	r = redisvCommand(c, format, args);
	va_end(args);
	if (!r)
		fail(line, format);
	snprintf(number, sizeof(number), "%lld",
		r->type == REDIS_REPLY_ARRAY ? (long long)r->elements : r->integer);
	got = r->str ? r->str : number;
	if (r->type != type || (want && !strstr(got, want)))
		fail(line, r->str ? r->str : format);
	freeReplyObject(r);
}

#define ASK(type, want, ...) ask(__LINE__, REDIS_REPLY_##type, want, __VA_ARGS__)

static void
pipeline(void)
{
	redisReply *r;
	char number[16];

	for (int i = 0; i < 500; i++) {
		redisAppendCommand(c, "SET hi:%d %d", i, i);
		redisAppendCommand(c, "GET hi:%d", i);
	}
	for (int i = 0; i < 1000; i++) {
		check(redisGetReply(c, (void **)&r) == REDIS_OK);
		snprintf(number, sizeof(number), "%d", i / 2);
		check(strcmp(r->str, i % 2 ? number : "OK") == 0);
		freeReplyObject(r);
	}
}

static void
large(void)
{
	char *value = malloc(LARGE);
	redisReply *r;

	check(value);
	for (int i = 0; i < LARGE; i++)
		value[i] = (char)(i % 251);
	ASK(STATUS, "OK", "SET hi:large %b", value, (size_t)LARGE);
	r = redisCommand(c, "GET hi:large");
	check(r && r->len == LARGE && memcmp(r->str, value, LARGE) == 0);
	freeReplyObject(r);
	free(value);
}

static void
scan(void)
{
	char cursor[32] = "0";
	size_t found = 0;

	do {
		redisReply *r = redisCommand(c, "SCAN %s MATCH hi:* COUNT 100", cursor);
		check(r && r->type == REDIS_REPLY_ARRAY && r->elements == 2);
		snprintf(cursor, sizeof(cursor), "%s", r->element[0]->str);
		found += r->element[1]->elements;
		freeReplyObject(r);
	} while (strcmp(cursor, "0") != 0);
	check(found == 508);
}

static void
types(void)
{
	ASK(INTEGER, "1", "HSET hi:h f v");
	ASK(ARRAY, "2", "HGETALL hi:h");
	ASK(INTEGER, "3", "RPUSH hi:l 1 2 3");
	ASK(ARRAY, "3", "LRANGE hi:l 0 -1");
	ASK(INTEGER, "2", "SADD hi:s 1 2");
	ASK(ARRAY, "2", "SMEMBERS hi:s");
	ASK(INTEGER, "2", "ZADD hi:z 1 a 2.5 b");
	ASK(ARRAY, "4", "ZRANGE hi:z 0 -1 WITHSCORES");
	ASK(STRING, "1-1", "XADD hi:x 1-1 f v");
	ASK(INTEGER, "1", "XLEN hi:x");
	ASK(INTEGER, "1", "GEOADD hi:g 13.361389 38.115556 Palermo");
	ASK(ARRAY, "1", "GEORADIUS hi:g 13 38 100 km");
	ASK(INTEGER, "1", "PFADD hi:p a b c");
	ASK(INTEGER, "3", "PFCOUNT hi:p");
	ASK(INTEGER, "1", "EXPIRE hi:h 100");
}

static void
reconnect(const char *restart)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s.wanted", restart);
	f = fopen(path, "w");
	check(f);
	fclose(f);
	snprintf(path, sizeof(path), "%s.done", restart);
	while (access(path, F_OK))
		nap();
	for (int tries = 0; redisReconnect(c) != REDIS_OK; tries++) {
		check(tries < 500);
		nap();
	}
	ASK(STRING, "1", "GET hi:1");
}

int
main(int argc, char **argv)
{
	char sha[64];
	redisReply *r;

	check(argc == 3);
	c = redisConnect("127.0.0.1", atoi(argv[1]));
	check(c && !c->err);
	ASK(STATUS, "PONG", "PING");
	ASK(STATUS, "OK", "SET hi:a 1");
	ASK(STRING, "1", "GET hi:a");
	ASK(NIL, NULL, "GET hi:missing");
	ASK(STATUS, "OK", "MSET hi:a 1 hi:b 2 hi:c 3 hi:d 4 hi:e 5");
	ASK(ARRAY, "6", "MGET hi:a hi:b hi:c hi:d hi:e hi:missing");
	ASK(INTEGER, "5", "DEL hi:a hi:b hi:c hi:d hi:e");
	pipeline();
	large();
	types();
	scan();
	r = redisCommand(c, "SCRIPT LOAD %s", "return {KEYS[1], ARGV[1]}");
	check(r && r->type == REDIS_REPLY_STRING);
	snprintf(sha, sizeof(sha), "%s", r->str);
	freeReplyObject(r);
	for (int i = 0; i < 20; i++)
		ASK(ARRAY, "2", "EVALSHA %s 1 hi:%d x", sha, i);
	ASK(ERROR, "wrong kind of value", "LPUSH hi:h 1");
	ASK(ERROR, "unknown command", "NOSUCH x");
	ASK(ERROR, "wrong number of arguments", "GET");
	ASK(ERROR, "MULTI", "MULTI");
	ASK(ERROR, "SUBSCRIBE", "SUBSCRIBE x");
	ASK(STRING, "1", "GET hi:1");
	reconnect(argv[2]);
	ASK(STATUS, "OK", "QUIT");
	redisFree(c);
	return 0;
}
