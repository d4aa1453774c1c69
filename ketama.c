/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ketama: the ring.
 *
 * All three distributions are one thing, a sorted list of points: each server
 * owns the values from the point before up to its own.
 *
 *	ketama   points by MD5 of the server's name, values all 32 bits wide
 *	modula   one point a server, values 0 .. sum of weights - 1
 *	random   the same with every weight 1 and a random value for the hash
 *
 * A table by the value's top bits leads to the point or two among which the
 * choice falls, so that it costs as much with a thousand servers as with five.
 */
#include "ketama.h"

#include <stdlib.h>
#include <string.h>

#include "util.h"

#define POINTS_PER_SERVER 160 /* of an average one; the weight decides */
#define POINTS_PER_DIGEST 4
#define NAME_MAX_HASHED 272   /* bytes of "name-number" that are hashed */

static bool has_share(const struct ring_server *server)
{
	return server->live && server->weight > 0;
}

/* Some CPUs keep more bits than a float has until it is stored. */
static float round32(double value)
{
	volatile float rounded = (float)value;

	return rounded;
}

/*
 * How many digests of points a server gets. Every step is rounded to single
 * precision because twemproxy did so, and keys lie where that put them: with
 * equal weights most numbers of servers give 40, but 25 or 100 give 39.
 * A quotient of floats is not changed by being rounded to double on the way,
 * and a product of floats fits into a double.
 */
static uint32_t digest_count(uint32_t weight, uint64_t sum, uint32_t nlive)
{
	double share = round32((double)round32(weight)
		/ (double)round32((double)sum));

	share = round32(share * POINTS_PER_SERVER) / POINTS_PER_DIGEST;
	return (uint32_t)round32(share * nlive);
}

static uint32_t point_value(const unsigned char *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8
		| (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Write a server's points; returns the place behind them. */
static struct ring_point *server_points(struct ring_point *point,
	const struct ring_server *server, uint32_t index, uint32_t digests)
{
	char text[NAME_MAX_HASHED + 1 + 20];
	size_t name_len = server->name_len;
	bool cut = false;

	if (name_len > NAME_MAX_HASHED)
		name_len = NAME_MAX_HASHED;
	memcpy(text, server->name, name_len);
	text[name_len] = '-';
	for (uint32_t i = 0; i < digests; i++) {
		unsigned char digest[16];
		size_t len = name_len + 1;

		len += format_number(text + len, i);
		if (len > NAME_MAX_HASHED) {
			len = NAME_MAX_HASHED;
			cut = true;
		}
		md5_digest(text, len, digest);
		for (size_t j = 0; j < POINTS_PER_DIGEST; j++, point++) {
			point->value = point_value(digest + 4 * j);
			point->server = index;
		}
	}
	if (cut)
		log_warn("ketama: only the first %d bytes of '%.*s' and the"
			" number of the point are hashed: its share is uneven",
			NAME_MAX_HASHED, (int)name_len, server->name);
	return point;
}

/* One pass of a radix sort: stable, by the byte at `shift`. */
static void sort_pass(struct ring_point *to, const struct ring_point *from,
	uint32_t n, unsigned shift)
{
	uint32_t place[256] = { 0 };
	uint32_t sum = 0;

	for (uint32_t i = 0; i < n; i++)
		place[from[i].value >> shift & 0xff]++;
	for (unsigned byte = 0; byte < 256; byte++) {
		uint32_t here = place[byte];

		place[byte] = sum;
		sum += here;
	}
	for (uint32_t i = 0; i < n; i++)
		to[place[from[i].value >> shift & 0xff]++] = from[i];
}

/* Among equal values the one that was made first stays first: it owns them. */
static void sort_points(struct ring_point *points, uint32_t n)
{
	struct ring_point *spare = xmalloc(n * sizeof(*spare));

	sort_pass(spare, points, n, 0);
	sort_pass(points, spare, n, 8);
	sort_pass(spare, points, n, 16);
	sort_pass(points, spare, n, 24);
	free(spare);
}

static void build_ketama(struct ring *ring,
	const struct ring_server *servers, size_t count)
{
	struct ring_point *point;
	uint64_t sum = 0;
	uint32_t digests = 0;

	for (size_t i = 0; i < count; i++)
		if (has_share(&servers[i]))
			sum += servers[i].weight;
	for (size_t i = 0; i < count; i++)
		if (has_share(&servers[i]))
			digests += digest_count(servers[i].weight, sum,
				ring->nlive);
	ring->npoints = digests * POINTS_PER_DIGEST;
	ring->points = xmalloc(((size_t)ring->npoints + 1) * sizeof(*point));

	point = ring->points;
	for (size_t i = 0; i < count; i++)
		if (has_share(&servers[i]))
			point = server_points(point, &servers[i], (uint32_t)i,
				digest_count(servers[i].weight, sum,
					ring->nlive));
	sort_points(ring->points, ring->npoints);
}

/* Weights may add up to more values than a hash can have. What lies beyond is
 * never chosen, and nothing needs to be reduced then. */
static void build_by_weight(struct ring *ring,
	const struct ring_server *servers, size_t count)
{
	struct ring_point *point;
	uint64_t sum = 0;

	ring->npoints = ring->nlive;
	ring->points = xmalloc(((size_t)ring->npoints + 1) * sizeof(*point));
	point = ring->points;
	for (size_t i = 0; i < count; i++) {
		if (!has_share(&servers[i]))
			continue;
		sum += ring->kind == DIST_MODULA ? servers[i].weight : 1;
		point->value = sum > UINT32_MAX ? UINT32_MAX
			: (uint32_t)(sum - 1);
		point->server = (uint32_t)i;
		point++;
	}
	ring->modulus = sum > UINT32_MAX ? 0 : (uint32_t)sum;
}

/* About as many places as there are points, at most two for each. */
static void build_top(struct ring *ring)
{
	uint32_t highest = ring->kind == DIST_KETAMA ? UINT32_MAX
		: ring->points[ring->npoints - 1].value;
	uint32_t last, p = 0;

	ring->top_shift = 0;
	while (highest >> ring->top_shift >= 2 * (uint64_t)ring->npoints)
		ring->top_shift++;
	last = highest >> ring->top_shift;

	ring->top = xmalloc(((size_t)last + 2) * sizeof(*ring->top));
	for (uint32_t i = 0; i <= last; i++) {
		while (p < ring->npoints
				&& ring->points[p].value >> ring->top_shift < i)
			p++;
		ring->top[i] = p;
	}
	ring->top[last + 1] = ring->npoints;
}

void ring_build(struct ring *ring, enum distribution kind,
	const struct ring_server *servers, size_t count)
{
	ring_free(ring);
	ring->kind = kind;
	if (ring->seed == 0)
		ring->seed = 0x9e3779b97f4a7c15; /* 0 would stay 0 */
	for (size_t i = 0; i < count; i++)
		ring->nlive += has_share(&servers[i]);
	if (ring->nlive == 0)
		return;
	if (kind == DIST_KETAMA)
		build_ketama(ring, servers, count);
	else
		build_by_weight(ring, servers, count);
	/* Past the last point the circle starts again. */
	ring->points[ring->npoints] = ring->points[0];
	build_top(ring);
}

void ring_free(struct ring *ring)
{
	free(ring->points);
	free(ring->top);
	ring->points = NULL;
	ring->top = NULL;
	ring->nlive = 0;
	ring->npoints = 0;
	ring->modulus = 0;
}

/* After an empty tag no second one is looked for. */
uint32_t ring_hash_tagged(hash_fn *fn, const char *tag, const char *key,
	size_t len)
{
	const char *start = memchr(key, tag[0], len), *end;

	if (start == NULL)
		return fn(key, len);
	start++;
	end = memchr(start, tag[1], len - (size_t)(start - key));
	if (end == NULL || end == start)
		return fn(key, len);
	return fn(start, (size_t)(end - start));
}

/* Marsaglia's xorshift with a final multiplication (Vigna, xorshift64*). */
static uint32_t random_next(uint64_t *seed)
{
	*seed ^= *seed >> 12;
	*seed ^= *seed << 25;
	*seed ^= *seed >> 27;
	return (uint32_t)(*seed * 0x2545f4914f6cdd1d >> 32);
}

uint32_t ring_pick(struct ring *ring, uint32_t hash)
{
	const struct ring_point *points = ring->points;
	const uint32_t *top;
	uint32_t low, high;

	if (ring->modulus != 0) {
		if (ring->kind == DIST_RANDOM)
			hash = random_next(&ring->seed);
		hash %= ring->modulus;
	}
	top = &ring->top[hash >> ring->top_shift];
	low = top[0];
	high = top[1];
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (points[middle].value < hash)
			low = middle + 1;
		else
			high = middle;
	}
	return points[low].server;
}

static uint64_t mix(uint64_t sum, uint32_t value)
{
	sum = (sum ^ value) * 0x9e3779b97f4a7c15;
	return sum ^ sum >> 32;
}

uint64_t ring_checksum(const struct ring *ring)
{
	uint64_t sum = mix(ring->npoints, ring->kind);

	for (uint32_t i = 0; i < ring->npoints; i++) {
		sum = mix(sum, ring->points[i].value);
		sum = mix(sum, ring->points[i].server);
	}
	return sum;
}
