/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_stats: what is sent to the port of the statistics. The answer is whole
 * and well-formed JSON or HTTP, and does not depend on how the question was cut
 * into pieces. */
#include "fuzz_world.h"

#include <ctype.h>

enum { DEPTH = 16, PIECES = 3 };

/* ---- JSON --------------------------------------------------------------------- */

static const char *json_value(const char *s, unsigned depth);

static const char *json_string(const char *s)
{
	must(*s == '"');
	for (s++; *s != '"'; s++) {
		must((unsigned char)*s >= ' ');
		if (*s != '\\')
			continue;
		s++;
		must(*s && strchr("\"\\/bfnrtu", *s));
		if (*s != 'u')
			continue;
		for (int i = 0; i < 4; i++)
			must(isxdigit((unsigned char)*++s));
	}
	return s + 1;
}

static const char *blanks(const char *s)
{
	return s + strspn(s, " \n");
}

/* From behind the opening bracket to behind the closing one. */
static const char *json_members(const char *s, char close, unsigned depth)
{
	s = blanks(s);
	if (*s == close)
		return s + 1;
	for (;;) {
		if (close == '}') {
			s = blanks(json_string(blanks(s)));
			must(*s == ':');
			s++;
		}
		s = blanks(json_value(blanks(s), depth + 1));
		if (*s == close)
			return s + 1;
		must(*s == ',');
		s++;
	}
}

static const char *json_value(const char *s, unsigned depth)
{
	size_t digits;

	must(depth < DEPTH);
	if (*s == '"')
		return json_string(s);
	if (*s == '{' || *s == '[')
		return json_members(s + 1, *s == '{' ? '}' : ']', depth);
	s += *s == '-';
	digits = strspn(s, "0123456789.");
	must(digits > 0);
	return s + digits;
}

/* ---- answers -------------------------------------------------------------------- */

static size_t content_length(const char *head)
{
	const char *at = strstr(head, "\r\nContent-Length: ");

	must(at);
	return (size_t)strtoull(at + 18, NULL, 10);
}

static void check_answer(const struct text *answer, bool head_only)
{
	const char *body = answer->ptr, *end;
	bool json = true;

	if (!answer->len)
		return;
	if (strncmp(body, "HTTP/1.1 ", 9) == 0) {
		end = strstr(body, "\r\n\r\n");
		must(end);
		json = strstr(body, "application/json") &&
			strstr(body, "application/json") < end;
		body = end + 4;
		must(answer->len - (size_t)(body - answer->ptr) == (head_only ?
			0 : content_length(answer->ptr)));
	}
	if (json && !head_only)
		must(*blanks(json_value(body, 0)) == '\0');
}

/* The sizes and times in it are others each time. */
static uint64_t fold_text(const struct text *answer)
{
	uint64_t hash = 0;

	for (size_t i = 0; i < answer->len; i++)
		if (!isdigit((unsigned char)answer->ptr[i]))
			hash = fold(hash, answer->ptr + i, 1);
	return hash;
}

/* The question in so many pieces, and then a while of silence, or its end. */
static uint64_t ask(const uint8_t *data, size_t size, unsigned pieces)
{
	struct end reader = { .fd = world_connect("stats") };
	uint64_t hash;

	must(reader.fd >= 0);
	for (unsigned i = 0; i < pieces; i++) {
		size_t from = size * i / pieces, to = size * (i + 1) / pieces;
		end_send(&reader, data + from, to - from);
		world_turn();
	}
	if (size % 2)
		shutdown(reader.fd, SHUT_WR);
	else
		world_us += 300000;
	for (int i = 0; i < 50 && !reader.eof; i++) {
		world_turn();
		end_read(&reader);
	}
	/* It speaks, and has not said all: it is cut off. */
	if (!reader.eof) {
		world_us += 3000000;
		world_turn();
		world_turn();
		end_read(&reader);
	}
	must(reader.eof);
	text_add(&reader.in, "", 1);
	reader.in.len--;
	check_answer(&reader.in, size > 5 && memcmp(data, "HEAD ", 5) == 0);
	hash = fold_text(&reader.in);
	end_free(&reader);
	world_turn();
	world_us += 3000000;
	world_turn();
	world_turn();
	return hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t whole;

	if (world_open()) {
		world_conf(0, "'a \"b\" \\ c':\n  listen: @/pool\n  redis: true\n"
			"  servers:\n  - @/h:1 x\"y\\z\n  - @/x:1\n");
		world_start(0);
	}
	whole = ask(data, size, 1);
	for (unsigned pieces = 2; pieces <= PIECES; pieces++)
		must(ask(data, size, pieces) == whole);
	return 0;
}
