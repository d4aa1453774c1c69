/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_cut: reads a stream of messages with one of the parsers, as a whole and
 * in pieces, always in memory that has just moved: each way must find the same
 * messages. Whoever includes it defines the two functions. */
#ifndef FUZZ_CUT_H
#define FUZZ_CUT_H

#include <stdbool.h>

#include "fuzz.h"

/* The parser under test. */
static enum parse_result read_message(struct parse *p, char *data, size_t len);
/* Looks at a whole message; returns what must not depend on the cuts. */
static uint64_t check_message(struct parse *p, char *data);

enum cut { CUT_NONE, CUT_SHORT, CUT_LONG, CUT_BYTES, CUT_WAYS };
enum { CUT_BYTES_MAX = 512 }; /* byte by byte costs the square */

static inline size_t cut_next(enum cut way, uint64_t *random, size_t have,
	size_t size)
{
	size_t step = way == CUT_NONE ? size : way == CUT_BYTES ? 1 :
		1 + next_random(random) % (way == CUT_SHORT ? 8 : size);

	return size - have > step ? have + step : size;
}

static inline uint64_t read_stream(const uint8_t *data, size_t size,
	enum cut way)
{
	uint64_t hash = size, random = fold(way + 1, data, size) | 1;
	size_t start = 0, have = 0, need = 0;
	struct parse p = { 0 };

	while (have < size) {
		enum parse_result result = PARSE_DONE;

		have = cut_next(way, &random, have, size);
		while (result == PARSE_DONE && start < have) {
			size_t len = have - start;
			char *copy = alone(data + start, len);

			result = read_message(&p, copy, len);
			if (result == PARSE_MORE) {
				must(p.need > len);
				need = p.need;
			} else if (result == PARSE_BAD) {
				hash = fold_number(hash, start);
				hash = fold(hash, p.error, strlen(p.error));
				hash = fold(hash, &p.got, 1);
			} else {
				must(p.pos > 0 && p.pos <= len);
				/* No less than was said to be needed. */
				must(p.pos >= need);
				hash = fold_number(hash, p.pos);
				hash = fold_number(hash, check_message(&p, copy));
				start += p.pos;
				need = 0;
				parse_reset(&p);
			}
			free(copy);
		}
		if (result == PARSE_BAD)
			return hash;
	}
	return fold_number(hash, start);
}

static inline void read_every_way(const uint8_t *data, size_t size)
{
	uint64_t whole = read_stream(data, size, CUT_NONE);

	for (enum cut way = CUT_SHORT; way < CUT_WAYS; way++)
		if (way != CUT_BYTES || size <= CUT_BYTES_MAX)
			must(read_stream(data, size, way) == whole);
}

#endif
