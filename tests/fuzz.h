/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz: what all fuzzers share. One is a function that gets any bytes and
 * aborts when a promise does not hold. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define must(holds) \
	((holds) ? (void)0 : must_abort(#holds, __FILE__, __LINE__))

static inline void must_abort(const char *what, const char *file, int line)
{
	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
	abort();
}

static inline uint64_t fold(uint64_t hash, const void *bytes, size_t len)
{
	const unsigned char *s = bytes;

	while (len--)
		hash = (hash ^ *s++) * UINT64_C(0x100000001b3);
	return hash;
}

static inline uint64_t fold_number(uint64_t hash, uint64_t n)
{
	return fold(hash, &n, sizeof(n));
}

/* Numbers that the input decides, and nothing else. */
static inline uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* A copy of exactly that size, so that a byte read too far is seen. */
static inline char *alone(const void *data, size_t len)
{
	char *copy = malloc(len ? len : 1);

	if (!copy)
		abort();
	if (len)
		memcpy(copy, data, len);
	return copy;
}

#endif
