/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parse: framing of both protocols, requests and replies. Pure functions over
 * bytes: no allocation, no globals, nothing read past `len`, and any cut of
 * the input into pieces gives the same result.
 * Formats: Redis serialization protocol (RESP2 and RESP3), and memcached's
 * doc/protocol.txt (text and meta commands).
 */
#ifndef PARSE_H
#define PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	PARSE_MAX_ARGS = 1048576,      /* elements of one request, as Redis has it */
	PARSE_MAX_BULK = 536870912,    /* bytes of one string, 512 MiB */
	PARSE_MAX_INLINE = 65536,      /* bytes of an inline request */
	PARSE_MAX_LINE = 65536,        /* bytes of a line of a reply */
	MEMCACHED_MAX_KEY = 250,
	MEMCACHED_MAX_LINE = 1048576,  /* bytes of a memcached request line */
};

/* A word of a request; points into the input. */
struct arg {
	const char *ptr;
	size_t len;
};

enum parse_result {
	PARSE_DONE, /* a whole message: `pos` bytes long */
	PARSE_MORE, /* all of it is good so far; read on */
	PARSE_BAD,  /* framing is lost; `error` says why */
};

/* What kind of thing a reply is: enough to check it against its request. */
enum reply_type {
	REPLY_STATUS,  /* +OK; memcached: STORED, DELETED, OK, VERSION ... */
	REPLY_ERROR,   /* -ERR, !; memcached: ERROR, CLIENT_ERROR, SERVER_ERROR */
	REPLY_INTEGER, /* :1; memcached: the number incr and decr answer */
	REPLY_BULK,    /* $, = and the scalar types of RESP3 */
	REPLY_NULL,    /* $-1, *-1, _ */
	REPLY_ARRAY,   /* *, ~ */
	REPLY_MAP,     /* % */
	REPLY_PUSH,    /* >: belongs to no request */
	REPLY_VALUES,  /* memcached: VALUE items up to END, or END alone */
	REPLY_META,    /* memcached: VA HD EN NF NS EX MN ME */
	REPLY_STATS,   /* memcached: STAT lines up to END */
};

/* How far the reading of one message has come. Zeroed before each message,
 * handed in again with the same bytes and more behind them after PARSE_MORE. */
struct parse {
	size_t pos;        /* bytes understood; the length when done */
	size_t scanned;    /* bytes from pos on that hold no line end */
	size_t need;       /* the message is at least this long */
	uint64_t left;     /* elements still to come */
	size_t argc;       /* words of the request; may exceed the room given */
	uint8_t type;      /* of a reply: enum reply_type */
	bool resumed;
	bool is_inline;    /* the request was not an array: it must be encoded anew */
	bool control;      /* memcached: a word of the request has a control byte */
	char got;          /* PARSE_BAD: the byte that was not expected, or NUL */
	const char *error; /* PARSE_BAD: a sentence, up to the byte if any */
};

static inline void parse_reset(struct parse *p)
{
	*p = (struct parse){ 0 };
}

/*
 * One request. The words go to argv[0..min(argc, room)); with argc > room the
 * caller makes room and calls redis_words. An empty request (blank line, *0)
 * is done with argc 0. The quotes of an inline request are taken off in place,
 * which is why the bytes are not const.
 */
enum parse_result redis_request(struct parse *p, char *data, size_t len,
	struct arg *argv, size_t room);
/* The words of a request array that is known to be whole. */
void redis_words(const char *data, struct arg *argv, size_t argc);

/* One reply of any depth, RESP2 or RESP3, attributes in front of it included. */
enum parse_result redis_reply(struct parse *p, const char *data, size_t len);

/* The count in the header of an aggregate ("*3\r\n") and the header's length. */
size_t redis_header(const char *data, int64_t *count);

/*
 * One line of a memcached request, split at spaces; pos is its length with
 * the line end (LF or CR LF). BAD: the line is longer than MEMCACHED_MAX_LINE.
 */
enum parse_result memcached_line(struct parse *p, const char *data, size_t len,
	struct arg *argv, size_t room);
/* Split the line in data[0..len) again; returns the number of words. */
size_t memcached_words(const char *data, size_t len, struct arg *argv,
	size_t room);

/* One reply to any memcached text or meta command. */
enum parse_result memcached_reply(struct parse *p, const char *data, size_t len);

/* The item that starts at data[*pos] of a whole REPLY_VALUES: its key, and all
 * its bytes; *pos moves behind it. False at END (or at an error line). */
bool memcached_value(const char *data, size_t len, size_t *pos,
	struct arg *key, struct arg *item);

#endif
