/* SPDX-License-Identifier: Apache-2.0 */
/* unit_ketama: the ring against twemproxy's tables and choices, and on its own
 * where the tables do not reach. Argument: the folder of the vectors. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../ketama.h"
#include "../util.h"

#define MAX_SERVERS 1000
#define MAX_FIELDS 256

static int checks, failed;
static const char *where = "";
static unsigned line_number;

static void check(bool ok, const char *what, uint64_t got, uint64_t expected)
{
	checks++;
	if (ok)
		return;
	failed++;
	printf("%s, line %u: %s: %" PRIu64 ", not %" PRIu64 "\n", where,
		line_number, what, got, expected);
}

static void check_equal(const char *what, uint64_t got, uint64_t expected)
{
	check(got == expected, what, got, expected);
}

/* -- The vectors: each line is a word and its fields ---------------------- */

/* One pool of the file, and its ring over the servers that are live. */
static struct {
	char id[64];
	enum distribution kind;
	hash_fn *hash;
	char tag[2];
	bool has_tag;
	struct ring_server servers[MAX_SERVERS];
	size_t nservers, expected;
	char *keys[MAX_FIELDS]; /* in hex, "-" is the empty one */
	size_t nkeys;
	struct ring ring;
	/* The table in full: modula with each server as often as it weighs. */
	struct ring_point *table;
	size_t ntable;
} pool;

static size_t split(char *line, char *fields[], size_t max)
{
	size_t n = 0;

	line[strcspn(line, "\r\n")] = '\0';
	while (line != NULL && n < max) {
		fields[n++] = line;
		line = strchr(line, '\t');
		if (line != NULL)
			*line++ = '\0';
	}
	return n;
}

static size_t unhex(const char *text, char *out)
{
	size_t n = 0;
	unsigned byte;

	while (sscanf(text + 2 * n, "%2x", &byte) == 1)
		out[n++] = (char)(unsigned char)byte;
	return n;
}

static void pool_clear(void)
{
	for (size_t i = 0; i < pool.nservers; i++)
		free((char *)(uintptr_t)pool.servers[i].name);
	for (size_t i = 0; i < pool.nkeys; i++)
		free(pool.keys[i]);
	ring_free(&pool.ring);
	free(pool.table);
	memset(&pool, 0, sizeof(pool));
}

static void read_pool(char *fields[], size_t n)
{
	pool_clear();
	check_equal("fields of a pool", n, 5);
	snprintf(pool.id, sizeof(pool.id), "%s", fields[0]);
	where = pool.id;
	pool.kind = strcmp(fields[1], "ketama") == 0 ? DIST_KETAMA
		: strcmp(fields[1], "modula") == 0 ? DIST_MODULA : DIST_RANDOM;
	pool.hash = hash_find(fields[2]);
	pool.has_tag = unhex(fields[3], pool.tag) == 2;
	pool.expected = strtoul(fields[4], NULL, 10);
	check(pool.hash != NULL, "unknown hash", 0, 1);
	if (pool.hash == NULL)
		exit(1);
}

static void read_server(char *fields[], size_t n)
{
	struct ring_server *server = &pool.servers[pool.nservers++];

	check_equal("fields of a server", n, 2);
	server->weight = (uint32_t)strtoul(fields[0], NULL, 10);
	server->name = xstrdup(fields[1]);
	server->name_len = strlen(fields[1]);
}

static void read_keys(char *fields[], size_t n)
{
	for (pool.nkeys = 0; pool.nkeys < n; pool.nkeys++)
		pool.keys[pool.nkeys] = xstrdup(fields[pool.nkeys]);
}

/* Whoever lies between two neighbours, and at each of their values. */
static void check_search(void)
{
	const struct ring *ring = &pool.ring;
	uint32_t first_equal = 0;
	bool sorted = true;

	for (uint32_t p = 0; p < ring->npoints; p++) {
		uint32_t value = ring->points[p].value;
		uint32_t next = p + 1 < ring->npoints ? p + 1 : 0;

		if (p > 0 && value != ring->points[p - 1].value)
			first_equal = p;
		sorted = sorted && value >= ring->points[first_equal].value;
		check_equal("owner of a point", ring_pick(&pool.ring, value),
			ring->points[first_equal].server);
		if (ring->points[next].value != value && value != UINT32_MAX)
			check_equal("owner of the value behind a point",
				ring_pick(&pool.ring, value + 1),
				ring->points[next].server);
	}
	check(sorted, "points in order", 0, 1);
	check_equal("owner of the lowest value", ring_pick(&pool.ring, 0),
		ring->points[0].server);
	if (ring->points[ring->npoints - 1].value != UINT32_MAX)
		check_equal("owner of the highest value",
			ring_pick(&pool.ring, UINT32_MAX),
			ring->points[0].server);
}

static void make_table(void)
{
	struct ring *ring = &pool.ring;

	pool.ntable = pool.kind == DIST_KETAMA ? ring->npoints : ring->modulus;
	pool.table = xcalloc(pool.ntable + 1, sizeof(*pool.table));
	for (uint32_t p = 0; p < pool.ntable; p++) {
		if (pool.kind == DIST_KETAMA)
			pool.table[p] = ring->points[p];
		else if (pool.kind == DIST_MODULA)
			pool.table[p].server = ring_pick(ring, p);
		else
			pool.table[p].server = ring->points[p].server;
	}
}

/* The servers that are ejected, by index. */
static void read_eject(char *fields[], size_t n)
{
	check_equal("servers", pool.nservers, pool.expected);
	for (size_t i = 0; i < pool.nservers; i++)
		pool.servers[i].live = true;
	for (size_t i = 0; i < n; i++)
		pool.servers[strtoul(fields[i], NULL, 10)].live = false;
	ring_build(&pool.ring, pool.kind, pool.servers, pool.nservers);
	check_equal("live servers", pool.ring.nlive, pool.nservers - n);
	check((pool.ring.npoints > 0) == (n < pool.nservers), "has points",
		pool.ring.npoints, 0);
	free(pool.table);
	make_table();
	if (pool.kind == DIST_KETAMA && pool.ring.npoints > 0)
		check_search();
}

static void read_points(char *fields[], size_t n)
{
	check_equal("fields of points", n, pool.nservers);
	for (size_t i = 0; i < n; i++) {
		size_t count = 0;

		for (size_t p = 0; p < pool.ntable; p++)
			count += pool.table[p].server == i;
		check_equal("points of a server", count,
			strtoul(fields[i], NULL, 10));
	}
}

static void read_ties(char *fields[], size_t n)
{
	uint64_t ties = 0;

	check_equal("fields of ties", n, 1);
	if (pool.kind != DIST_KETAMA)
		return;
	for (size_t p = 1; p < pool.ntable; p++)
		ties += pool.table[p].value == pool.table[p - 1].value;
	check_equal("ties", ties, strtoul(fields[0], NULL, 10));
}

static void read_sums(char *fields[], size_t n)
{
	uint64_t sums[3] = { 0 };

	check_equal("fields of sums", n, 3);
	for (size_t p = 0; p < pool.ntable; p++) {
		uint64_t value = pool.table[p].value;
		uint64_t server = pool.table[p].server;

		sums[0] += value * p;
		sums[1] += value * server;
		sums[2] += p * server;
	}
	for (size_t i = 0; i < 3; i++)
		check_equal("sum", sums[i], strtoull(fields[i], NULL, 10));
}

/* Each field is value:server, from position `at` on. */
static void check_points(char *fields[], size_t n, size_t at)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t value, server;

		if (sscanf(fields[i], "%" SCNu32 ":%" SCNu32, &value, &server)
				!= 2 || at + i >= pool.ntable) {
			check(false, "a point that cannot be", i, n);
			continue;
		}
		check_equal("value", pool.table[at + i].value, value);
		check_equal("server", pool.table[at + i].server, server);
	}
}

static void read_first(char *fields[], size_t n)
{
	check_points(fields, n, 0);
}

static void read_last(char *fields[], size_t n)
{
	check_points(fields, n, pool.ntable - n);
}

/* The server of each key. */
static void read_picks(char *fields[], size_t n)
{
	check_equal("fields of picks", n, pool.nkeys);
	for (size_t i = 0; i < n; i++) {
		char *key = xmalloc(strlen(pool.keys[i]));
		size_t len = unhex(pool.keys[i], key);
		uint32_t hash = ring_hash(pool.hash,
			pool.has_tag ? pool.tag : NULL, key, len);

		check_equal(pool.keys[i], ring_pick(&pool.ring, hash),
			strtoul(fields[i], NULL, 10));
		free(key);
	}
}

static void read_line(char *line)
{
	static const struct {
		const char *word;
		void (*read)(char *fields[], size_t n);
	} words[] = {
		{ "pool", read_pool },
		{ "server", read_server },
		{ "keys", read_keys },
		{ "eject", read_eject },
		{ "points", read_points },
		{ "ties", read_ties },
		{ "sums", read_sums },
		{ "first", read_first },
		{ "last", read_last },
		{ "picks", read_picks },
	};
	char *fields[MAX_FIELDS];
	size_t n = split(line, fields, MAX_FIELDS);

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(fields[0], words[i].word) == 0) {
			words[i].read(fields + 1, n - 1);
			return;
		}
	}
	check(false, "unknown word", 0, 1);
}

static void check_vectors(const char *folder)
{
	char path[4096], line[8192];
	FILE *file;
	unsigned pools = 0;

	snprintf(path, sizeof(path), "%s/ketama.tsv", folder);
	file = fopen(path, "r");
	if (file == NULL) {
		perror(path);
		exit(1);
	}
	while (fgets(line, sizeof(line), file) != NULL) {
		line_number++;
		pools += strncmp(line, "pool\t", 5) == 0;
		read_line(line);
	}
	fclose(file);
	pool_clear();
	where = path;
	check_equal("pools", pools, 26);
}

/* -- What the vectors do not hold ----------------------------------------- */

/* Names are server0, server1 and so on, weights all the same, all live. */
static void fill(struct ring_server *servers, size_t n, uint32_t weight)
{
	static char names[MAX_SERVERS][32];

	for (size_t i = 0; i < n; i++) {
		snprintf(names[i], sizeof(names[i]), "server%zu", i);
		servers[i].name = names[i];
		servers[i].name_len = strlen(names[i]);
		servers[i].weight = weight;
		servers[i].live = true;
	}
}

/* Weights as large as a configuration can have them, and beyond 32 bits. */
static void check_huge_weights(void)
{
	struct ring_server servers[3];
	struct ring big = { 0 }, small = { 0 };

	where = "huge weights";
	fill(servers, 3, 2147483647);
	ring_build(&big, DIST_MODULA, servers, 3);
	check_equal("points", big.npoints, 3);
	check_equal("0", ring_pick(&big, 0), 0);
	check_equal("2147483646", ring_pick(&big, 2147483646), 0);
	check_equal("2147483647", ring_pick(&big, 2147483647), 1);
	check_equal("4294967293", ring_pick(&big, 4294967293), 1);
	check_equal("4294967294", ring_pick(&big, 4294967294), 2);
	check_equal("4294967295", ring_pick(&big, 4294967295), 2);

	servers[2].weight = 1; /* in all 2^32 - 1: one hash wraps */
	ring_build(&big, DIST_MODULA, servers, 3);
	check_equal("4294967294 of 2^32-1", ring_pick(&big, 4294967294), 2);
	check_equal("4294967295 of 2^32-1", ring_pick(&big, 4294967295), 0);
	servers[2].weight = 2; /* in all 2^32 */
	ring_build(&big, DIST_MODULA, servers, 3);
	check_equal("4294967295 of 2^32", ring_pick(&big, 4294967295), 2);

	fill(servers, 3, 2147483647);
	ring_build(&big, DIST_KETAMA, servers, 3);
	fill(servers, 3, 1);
	ring_build(&small, DIST_KETAMA, servers, 3);
	check_equal("ketama, points", big.npoints, 480);
	check_equal("ketama, as with small ones", ring_checksum(&big),
		ring_checksum(&small));
	ring_free(&big);
	ring_free(&small);
}

/* "name-number" is cut at 272 bytes, so digests become equal. */
static void check_long_names(void)
{
	static const struct {
		size_t len;
		uint32_t distinct;
	} cases[] = {
		{ 0, 160 }, { 255, 160 }, { 269, 160 }, { 270, 40 },
		{ 271, 4 }, { 272, 4 }, { 273, 4 }, { 5000, 4 },
	};
	struct ring_server server = { .weight = 1, .live = true };
	struct ring ring = { 0 };

	where = "long names";
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *name = xmalloc(cases[i].len + 1);
		uint32_t distinct = 1;

		memset(name, 'x', cases[i].len);
		server.name = name;
		server.name_len = cases[i].len;
		ring_build(&ring, DIST_KETAMA, &server, 1);
		for (uint32_t p = 1; p < ring.npoints; p++)
			distinct += ring.points[p].value
				!= ring.points[p - 1].value;
		check_equal("points", ring.npoints, 160);
		check_equal("distinct points", distinct, cases[i].distinct);
		free(name);
	}
	ring_free(&ring);
}

static void check_random(void)
{
	enum { ROUNDS = 40000 };
	struct ring_server servers[5];
	struct ring ring = { 0 }, other = { .seed = 12345 };
	uint32_t counts[5] = { 0 }, same = 0;

	where = "random";
	fill(servers, 5, 1);
	servers[0].weight = 2147483647;
	servers[2].live = false;
	ring_build(&ring, DIST_RANDOM, servers, 5);
	ring_build(&other, DIST_RANDOM, servers, 5);
	for (uint32_t i = 0; i < ROUNDS; i++) {
		uint32_t server = ring_pick(&ring, 7);

		counts[server]++;
		same += server == ring_pick(&other, 7);
	}
	for (uint32_t i = 0; i < 5; i++) {
		uint32_t expected = i == 2 ? 0 : ROUNDS / 4;

		check(counts[i] <= expected + expected / 20
			&& counts[i] >= expected - expected / 20,
			"share of a server", counts[i], expected);
	}
	check(same < ROUNDS / 4 + ROUNDS / 40, "two seeds choose alike", same,
		ROUNDS / 4);
	check(other.seed != 12345 && other.seed != ring.seed, "seed",
		other.seed, ring.seed);
	ring_free(&ring);
	ring_free(&other);
}

/* None live, none at all, no weight: no choice, and no memory held. */
static void check_none(void)
{
	static const enum distribution kinds[] = {
		DIST_KETAMA, DIST_MODULA, DIST_RANDOM
	};
	struct ring_server servers[2];
	struct ring ring = { 0 };

	where = "none live";
	for (size_t i = 0; i < 3; i++) {
		fill(servers, 2, 1);
		ring_build(&ring, kinds[i], servers, 2);
		check(ring.npoints > 0, "points of two", ring.npoints, 0);
		check_equal("live", ring.nlive, 2);
		servers[0].live = false;
		servers[1].weight = 0;
		ring_build(&ring, kinds[i], servers, 2);
		check_equal("points", ring.npoints, 0);
		check_equal("live", ring.nlive, 0);
		check(ring.points == NULL && ring.top == NULL, "memory", 1, 0);
		servers[0].live = true;
		ring_build(&ring, kinds[i], servers, 2);
		check_equal("the one of two", ring_pick(&ring, 12345), 0);
		ring_build(&ring, kinds[i], NULL, 0);
		check_equal("points of no server", ring.npoints, 0);
	}
	ring_free(&ring);
}

static uint64_t checksum_of(enum distribution kind,
	const struct ring_server *servers, size_t n)
{
	struct ring ring = { 0 };
	uint64_t sum;

	ring_build(&ring, kind, servers, n);
	sum = ring_checksum(&ring);
	ring_free(&ring);
	return sum;
}

static void check_checksum(void)
{
	static struct ring_server servers[MAX_SERVERS];
	uint64_t sums[9];

	where = "checksum";
	fill(servers, MAX_SERVERS, 1);
	sums[0] = checksum_of(DIST_KETAMA, servers, MAX_SERVERS);
	check_equal("built twice",
		checksum_of(DIST_KETAMA, servers, MAX_SERVERS), sums[0]);
	servers[999].live = false;
	sums[1] = checksum_of(DIST_KETAMA, servers, MAX_SERVERS);
	sums[2] = checksum_of(DIST_MODULA, servers, 4);
	sums[3] = checksum_of(DIST_RANDOM, servers, 4); /* 0 1 2 3 */
	sums[4] = checksum_of(DIST_RANDOM, servers, 0);
	servers[0].live = false;
	sums[5] = checksum_of(DIST_MODULA, servers, 4);
	sums[6] = checksum_of(DIST_RANDOM, servers, 5); /* 1 2 3 4 */
	fill(servers, 4, 2);
	sums[7] = checksum_of(DIST_MODULA, servers, 4);
	servers[3].name = "another";
	servers[3].name_len = 7;
	sums[8] = checksum_of(DIST_KETAMA, servers, 4);
	for (size_t i = 0; i < 9; i++)
		for (size_t j = 0; j < i; j++)
			check(sums[i] != sums[j], "two rings alike", i, j);
}

/* A thousand servers: all of one share, and found wherever one looks. */
static void check_thousand(void)
{
	where = "a thousand servers";
	pool.kind = DIST_KETAMA;
	pool.nservers = 0;
	fill(pool.servers, MAX_SERVERS, 1);
	ring_build(&pool.ring, DIST_KETAMA, pool.servers, MAX_SERVERS);
	check(pool.ring.npoints == MAX_SERVERS * 156
		|| pool.ring.npoints == MAX_SERVERS * 160, "points",
		pool.ring.npoints, 160000);
	check_search();
	ring_build(&pool.ring, DIST_MODULA, pool.servers, MAX_SERVERS);
	for (uint32_t i = 0; i < 3 * MAX_SERVERS; i++)
		check_equal("modula", ring_pick(&pool.ring, i),
			i % MAX_SERVERS);
	ring_free(&pool.ring);
}

static void check_tags(void)
{
	static const struct {
		const char *tag, *key, *hashed;
	} cases[] = {
		{ "{}", "a{b}c", "b" },
		{ "{}", "{user}:1", "user" },
		{ "{}", "x{user}", "user" },
		{ "{}", "{}x", "{}x" },
		{ "{}", "{}{b}", "{}{b}" },
		{ "{}", "{x", "{x" },
		{ "{}", "x}y{z", "x}y{z" },
		{ "{}", "x}y{z}", "z" },
		{ "{}", "{a}{b}", "a" },
		{ "{}", "{{a}}", "{a" },
		{ "{}", "{", "{" },
		{ "{}", "x{", "x{" },
		{ "{}", "plain", "plain" },
		{ "$$", "$x$y", "x" },
		{ "$$", "a$x$", "x" },
		{ "$$", "$$x$", "$$x$" },
		{ "$$", "x$", "x$" },
		{ NULL, "a{b}c", "a{b}c" },
	};
	hash_fn *fn = hash_find("fnv1a_64");

	where = "hash tags";
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_equal(cases[i].key,
			ring_hash(fn, cases[i].tag, cases[i].key,
				strlen(cases[i].key)),
			fn(cases[i].hashed, strlen(cases[i].hashed)));
	check_equal("a closing byte past the end is none",
		ring_hash(fn, "{}", "{ab}", 3), fn("{ab", 3));
	for (size_t i = 0; hash_name(i) != NULL; i++)
		check_equal("the empty key",
			ring_hash(hash_find(hash_name(i)), "{}", "", 0), 0);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: unit_ketama vectors-folder\n");
		return 2;
	}
	log_set_level(LOG_ERR); /* names that are cut are worth a warning */
	check_vectors(argv[1]);
	line_number = 0;
	check_huge_weights();
	check_long_names();
	check_random();
	check_none();
	check_checksum();
	check_thousand();
	check_tags();
	if (failed != 0) {
		printf("unit_ketama: %d of %d differ\n", failed, checks);
		return 1;
	}
	printf("unit_ketama: %d checks ok\n", checks);
	return 0;
}
