/* SPDX-License-Identifier: Apache-2.0 */
/* ketama: the ring, from a key's hash to the index of a server. */
#ifndef KETAMA_H
#define KETAMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hash.h"

enum distribution { DIST_KETAMA, DIST_MODULA, DIST_RANDOM };

/* What the ring needs to know of a server; the array is in index order. */
struct ring_server {
	const char *name; /* hashed by ketama; any length */
	size_t name_len;
	uint32_t weight;  /* of weight 0: no share, as if not live */
	bool live;        /* servers that are not live get no share */
};

/* The server owns the values above the point before, up to and with `value`. */
struct ring_point {
	uint32_t value;
	uint32_t server;
};

struct ring {
	enum distribution kind;
	uint32_t nlive;            /* servers with a share in the choice */
	uint32_t npoints;          /* 0: no server can be chosen */
	uint32_t modulus;          /* hashes are reduced by it; 0: they are not */
	struct ring_point *points; /* npoints by value, then the first again */
	uint32_t *top;             /* first point of each top-bits value */
	unsigned top_shift;
	uint64_t seed;             /* random: the generator, seeded by the owner */
};

/* Replace what the ring holds (zeroed memory at first) by a ring over the live
 * servers; the seed stays. Never fails; with none live npoints is 0. */
void ring_build(struct ring *ring, enum distribution kind,
	const struct ring_server *servers, size_t count);

/* The hash that places a key: of the first text between tag[0] and tag[1] if
 * there is one and it is not empty, else of the whole key; 0 for the empty key
 * whatever the function. `tag` is two bytes, or NULL for none. */
uint32_t ring_hash_tagged(hash_fn *fn, const char *tag, const char *key,
	size_t len);
static inline uint32_t ring_hash(hash_fn *fn, const char *tag, const char *key,
	size_t len)
{
	if (len == 0)
		return 0;
	return tag ? ring_hash_tagged(fn, tag, key, len) : fn(key, len);
}

/* Index of the server that owns the hash. Only with npoints > 0. */
uint32_t ring_pick(struct ring *ring, uint32_t hash);

/* The same for rings over the same live servers, and different (but for a
 * chance of 1 in 2^64) for two rings that would choose differently. */
uint64_t ring_checksum(const struct ring *ring);

/* Give back the memory; the ring is then as after building over no server. */
void ring_free(struct ring *ring);

#endif
