/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and replies of both protocols: whole, cut at every byte, and alone
 * at the end of their memory so that a sanitizer sees a byte read too far. */
#include "parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { REQUEST, REPLY, MC_LINE, MC_REPLY };

static unsigned checks, failures;

static enum parse_result run(enum kind kind, struct parse *p, char *data,
	size_t len, struct arg *argv, size_t room)
{
	switch (kind) {
	case REQUEST: return redis_request(p, data, len, argv, room);
	case REPLY: return redis_reply(p, data, len);
	case MC_LINE: return memcached_line(p, data, len, argv, room);
	default: return memcached_reply(p, data, len);
	}
}

/* expect: "done LENGTH [TYPE]" of the first message, "more", or "bad". */
struct row {
	enum kind kind;
	const char *input;
	size_t len;
	enum parse_result expect;
	size_t length; /* DONE: of the first message */
	int detail;    /* argc of a request, type of a reply; -1: any */
	const char *error; /* BAD: part of the sentence */
};

#define DONE(kind, input, length, detail) \
	{ kind, input, sizeof(input) - 1, PARSE_DONE, length, detail, NULL }
#define MORE(kind, input) { kind, input, sizeof(input) - 1, PARSE_MORE, 0, -1, NULL }
#define BAD(kind, input, error) \
	{ kind, input, sizeof(input) - 1, PARSE_BAD, 0, -1, error }

static const struct row rows[] = {
	DONE(REQUEST, "*1\r\n$4\r\nPING\r\n", 14, 1),
	DONE(REQUEST, "*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n", 14, 1),
	DONE(REQUEST, "*2\r\n$3\r\nGET\r\n$0\r\n\r\n", 19, 2),
	DONE(REQUEST, "*2\r\n$3\r\nGET\r\n$4\r\n\r\n\r\n\r\n", 23, 2),
	DONE(REQUEST, "*0\r\n", 4, 0),
	DONE(REQUEST, "*-1\r\n", 5, 0),
	DONE(REQUEST, "\r\n", 2, 0),
	DONE(REQUEST, "PING\r\n", 6, 1),
	DONE(REQUEST, "set a 'b c'\n", 12, 3),
	DONE(REQUEST, "set \"\\x41\\n\" x\r\n", 16, 3),
	BAD(REQUEST, "set 'a\r\n", "unbalanced quotes"),
	BAD(REQUEST, "set \"a\"b\r\n", "unbalanced quotes"),
	BAD(REQUEST, "*1048577\r\n", "invalid multibulk length"),
	BAD(REQUEST, "*4294967298\r\n$3\r\nget\r\n", "invalid multibulk length"),
	BAD(REQUEST, "*99999999999999999999999\r\n", "invalid multibulk length"),
	BAD(REQUEST, "*x\r\n", "invalid multibulk length"),
	BAD(REQUEST, "*02\r\n$3\r\nget\r\n$1\r\na\r\n", "invalid multibulk length"),
	BAD(REQUEST, "*2\r\n$3\r\nget\r\n$4294967297\r\nx", "invalid bulk length"),
	BAD(REQUEST, "*2\r\n$3\r\nget\r\n$536870913\r\nx", "invalid bulk length"),
	BAD(REQUEST, "*2\r\n$03\r\nget\r\n", "invalid bulk length"),
	BAD(REQUEST, "*2\r\n$-1\r\n", "invalid bulk length"),
	BAD(REQUEST, "*2\r\n$\r\n", "invalid bulk length"),
	BAD(REQUEST, "*2\r\n$3\r\nget\r\nx", "expected '$', got "),
	BAD(REQUEST, "*1\r\n$3\r\ngetxx", "expected CRLF"),
	MORE(REQUEST, "*1\r\n$536870912\r\nx"),
	MORE(REQUEST, "*1048576\r\n$1\r\nx\r\n"),

	DONE(REPLY, "+OK\r\n", 5, REPLY_STATUS),
	DONE(REPLY, "-ERR no\r\n+OK\r\n", 9, REPLY_ERROR),
	DONE(REPLY, "-keyalreadyexists\r\n$8\r\nbananas!\r\n", 19, REPLY_ERROR),
	DONE(REPLY, ":-12\r\n", 6, REPLY_INTEGER),
	DONE(REPLY, "$3\r\nabc\r\n", 9, REPLY_BULK),
	DONE(REPLY, "$-1\r\n", 5, REPLY_NULL),
	DONE(REPLY, "*-1\r\n", 5, REPLY_NULL),
	DONE(REPLY, "*0\r\n", 4, REPLY_ARRAY),
	DONE(REPLY, "*3\r\n:1\r\n*1\r\n$-1\r\n:3\r\n", 21, REPLY_ARRAY),
	DONE(REPLY, "*2\r\n*2\r\n*2\r\n:1\r\n:2\r\n*0\r\n+x\r\n", 28, REPLY_ARRAY),
	DONE(REPLY, "*1\r\n+OK\r\n", 9, REPLY_ARRAY),
	DONE(REPLY, "%2\r\n+a\r\n:1\r\n+b\r\n_\r\n", 19, REPLY_MAP),
	DONE(REPLY, "|1\r\n+a\r\n:1\r\n$1\r\nx\r\n", 19, -1),
	DONE(REPLY, ">2\r\n+a\r\n:1\r\n", 12, REPLY_PUSH),
	DONE(REPLY, ",1.5\r\n", 6, REPLY_BULK),
	DONE(REPLY, "=7\r\ntxt:abc\r\n", 13, REPLY_BULK),
	DONE(REPLY, "!3\r\nERR\r\n", 9, REPLY_ERROR),
	DONE(REPLY, "(123456789012345678901234567890\r\n", 33, REPLY_BULK),
	BAD(REPLY, "hello\r\n", "no known type"),
	BAD(REPLY, ":1x\r\n", "integer"),
	BAD(REPLY, "$-2\r\n", "length"),
	BAD(REPLY, "$536870913\r\n", "length"),
	BAD(REPLY, "$3\r\nabcxx", "CR LF"),
	BAD(REPLY, "*-2\r\n", "count"),
	BAD(REPLY, "*99999999999\r\n", "count"),
	BAD(REPLY, "+OK\n", "CR LF"),
	MORE(REPLY, "*2\r\n:1\r\n"),

	DONE(MC_LINE, "get a b\r\n", 9, 3),
	DONE(MC_LINE, "get a\n", 6, 2),
	DONE(MC_LINE, "  get   a  \r\nx", 13, 2),
	DONE(MC_LINE, "\r\n", 2, 0),
	MORE(MC_LINE, "get a"),

	DONE(MC_REPLY, "STORED\r\n", 8, REPLY_STATUS),
	DONE(MC_REPLY, "STORED  \r\nEND\r\n", 10, REPLY_STATUS),
	DONE(MC_REPLY, "END\r\n", 5, REPLY_VALUES),
	DONE(MC_REPLY, "VALUE a 0 3\r\nEND\r\nEND\r\n", 23, REPLY_VALUES),
	DONE(MC_REPLY, "VALUE a 0 1 7\r\nx\r\nVALUE b 0 0\r\n\r\nEND\r\n", 38, REPLY_VALUES),
	DONE(MC_REPLY, "SERVER_ERROR out of memory\r\n", 28, REPLY_ERROR),
	DONE(MC_REPLY, "VALUE a 0 1\r\nx\r\nSERVER_ERROR x\r\n", 32, REPLY_ERROR),
	DONE(MC_REPLY, "ERROR\r\n", 7, REPLY_ERROR),
	DONE(MC_REPLY, "123\r\n", 5, REPLY_INTEGER),
	DONE(MC_REPLY, "123 \r\n", 6, REPLY_INTEGER),
	DONE(MC_REPLY, "VERSION 1.6.18\r\n", 16, REPLY_STATUS),
	DONE(MC_REPLY, "VA 1 c2\r\nx\r\nHD\r\n", 12, REPLY_META),
	DONE(MC_REPLY, "HD\r\n", 4, REPLY_META),
	DONE(MC_REPLY, "STAT a 1\r\nSTAT b 2\r\nEND\r\n", 25, REPLY_STATS),
	BAD(MC_REPLY, "hello\r\n", "no known kind"),
	BAD(MC_REPLY, "STORED x\r\n", "no known kind"),
	BAD(MC_REPLY, "VALUE a 0 99999999999999999999\r\n", "length"),
	BAD(MC_REPLY, "VALUE a 0 x\r\n", "length"),
	BAD(MC_REPLY, "VALUE a\r\n", "length"),
	BAD(MC_REPLY, "VALUE a 0 1\r\nxyz", "CR LF"),
	BAD(MC_REPLY, "VALUE a 0 1\r\nx\r\nSTORED\r\n", "between values"),
	BAD(MC_REPLY, "VALUE\ra 0 1\r\nx\r\nEND\r\n", "no known kind"),
	MORE(MC_REPLY, "VALUE a 0 5\r\nx"),
};

static void check(const struct row *row, const char *how, bool good)
{
	checks++;
	if (good)
		return;
	failures++;
	printf("not as expected (%s): %s\n", how, row->input);
}

/* Memory of exactly that size, so that one byte too far is noticed. */
static char *alone(const char *input, size_t len)
{
	char *copy = malloc(len ? len : 1);

	if (!copy)
		exit(1);
	return memcpy(copy, input, len);
}

static void judge(const struct row *row, const char *how, const struct parse *p,
	enum parse_result result)
{
	check(row, how, result == row->expect);
	if (result != row->expect)
		return;
	if (result == PARSE_DONE) {
		bool request = row->kind == REQUEST || row->kind == MC_LINE;
		check(row, "length", p->pos == row->length);
		check(row, "detail", row->detail < 0 || row->detail ==
			(request ? (int)p->argc : (int)p->type));
	}
	if (result == PARSE_BAD)
		check(row, "sentence", p->error && strstr(p->error, row->error));
}

/* The same bytes, one more each time, in memory that moves. */
static void by_bytes(const struct row *row)
{
	struct parse p = { 0 };
	enum parse_result result = PARSE_MORE;
	struct arg argv[8], whole[8];
	size_t len = 0;
	char *data = NULL;

	while (result == PARSE_MORE && len < row->len) {
		free(data);
		data = alone(row->input, ++len);
		result = run(row->kind, &p, data, len, argv, 8);
		if (result == PARSE_MORE && row->kind != MC_LINE)
			check(row, "need is more than there is", p.need > len);
		if (result == PARSE_DONE && row->expect == PARSE_DONE)
			check(row, "done too early", len == row->length);
	}
	judge(row, "byte by byte", &p, result);
	if (row->kind == REQUEST && result == PARSE_DONE && p.argc < 8) {
		struct parse fresh = { 0 };
		char *again = alone(row->input, row->len);
		run(row->kind, &fresh, again, row->len, whole, 8);
		for (size_t i = 0; i < p.argc; i++)
			check(row, "words", argv[i].len == whole[i].len &&
				memcmp(argv[i].ptr, whole[i].ptr, argv[i].len) == 0);
		free(again);
	}
	free(data);
}

static void inline_words(void)
{
	char line[] = "set \"a\\x41\\n\" 'it\\'s' plain\r\n";
	struct row row = { REQUEST, line, sizeof(line) - 1, PARSE_DONE, 0, 0, "" };
	struct parse p = { 0 };
	struct arg argv[8];

	check(&row, "inline", redis_request(&p, line, sizeof(line) - 1, argv, 8)
		== PARSE_DONE && p.argc == 4 && p.is_inline);
	check(&row, "double quotes", argv[1].len == 3 &&
		memcmp(argv[1].ptr, "aA\n", 3) == 0);
	check(&row, "single quotes", argv[2].len == 4 &&
		memcmp(argv[2].ptr, "it's", 4) == 0);
}

static void values(void)
{
	static const char reply[] =
		"VALUE a 0 3\r\nEND\r\nVALUE bb 1 0 5\r\n\r\nEND\r\n";
	struct row row = { MC_REPLY, reply, sizeof(reply) - 1, PARSE_DONE, 0, 0, "" };
	struct arg key, item;
	size_t pos = 0;

	check(&row, "first", memcached_value(reply, row.len, &pos, &key, &item) &&
		key.len == 1 && item.len == 18);
	check(&row, "second", memcached_value(reply, row.len, &pos, &key, &item) &&
		key.len == 2 && item.len == 18);
	check(&row, "end", !memcached_value(reply, row.len, &pos, &key, &item));
}

int main(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		struct parse p = { 0 };
		struct arg argv[8];
		char *data = alone(row->input, row->len);

		judge(row, "whole", &p, run(row->kind, &p, data, row->len, argv, 8));
		free(data);
		by_bytes(row);
	}
	inline_words();
	values();
	printf("unit_parse: %u checks, %u failed\n", checks, failures);
	return failures != 0;
}
