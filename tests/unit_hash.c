/* SPDX-License-Identifier: Apache-2.0 */
/* unit_hash: every hash against twemproxy's values, MD5 against RFC 1321.
 * Argument: the folder of the vectors. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../hash.h"

#define NHASHES 12

static int failed;

/* The number of tab-separated fields, which are cut apart in place. */
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

/* "-" is the empty key. Returns how many bytes there are. */
static size_t unhex(const char *text, char *out)
{
	size_t n = 0;
	unsigned byte;

	while (sscanf(text + 2 * n, "%2x", &byte) == 1)
		out[n++] = (char)(unsigned char)byte;
	return n;
}

/* The key lies at each alignment, in memory that ends where the key does. */
static void check_value(const char *name, const char *hex, uint32_t expected)
{
	hash_fn *fn = hash_find(name);

	for (size_t offset = 0; offset < 4; offset++) {
		char *memory = malloc(strlen(hex) + 4), *key;
		size_t len = unhex(hex, memory);
		uint32_t got;

		key = malloc(len + offset + (len + offset == 0));
		memcpy(key + offset, memory, len);
		got = fn(key + offset, len);
		if (got != expected) {
			printf("%s of %s at +%zu: %lu, not %lu\n", name, hex,
				offset, (unsigned long)got,
				(unsigned long)expected);
			failed++;
		}
		free(key);
		free(memory);
	}
}

static bool check_names(char *fields[], size_t n)
{
	if (n != NHASHES + 1 || hash_name(NHASHES) != NULL) {
		printf("there are not %d hashes\n", NHASHES);
		return false;
	}
	for (size_t i = 0; i < NHASHES; i++) {
		if (hash_name(i) == NULL || hash_find(fields[i + 1]) == NULL
				|| strcmp(hash_name(i), fields[i + 1]) != 0) {
			printf("name %zu is not %s\n", i, fields[i + 1]);
			return false;
		}
	}
	return true;
}

static int check_vectors(const char *folder)
{
	char path[4096], line[4096], *fields[NHASHES + 1];
	int rows = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/hash.tsv", folder);
	file = fopen(path, "r");
	if (file == NULL || fgets(line, sizeof(line), file) == NULL) {
		perror(path);
		exit(1);
	}
	if (!check_names(fields, split(line, fields, NHASHES + 1)))
		exit(1);
	while (fgets(line, sizeof(line), file) != NULL) {
		if (split(line, fields, NHASHES + 1) != NHASHES + 1) {
			printf("%s: a line with too few fields\n", path);
			failed++;
			continue;
		}
		for (size_t i = 0; i < NHASHES; i++, rows++)
			check_value(hash_name(i), fields[0],
				(uint32_t)strtoul(fields[i + 1], NULL, 10));
	}
	fclose(file);
	return rows;
}

static void check_digest(const char *what, const unsigned char digest[16],
	const char *expected)
{
	char hex[33];

	for (int i = 0; i < 16; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	if (strcmp(hex, expected) != 0) {
		printf("md5 of %s: %s, not %s\n", what, hex, expected);
		failed++;
	}
}

static void check_md5(void)
{
	static const char *const suite[][2] = { /* RFC 1321, A.5 */
		{ "", "d41d8cd98f00b204e9800998ecf8427e" },
		{ "a", "0cc175b9c0f1b6a831c399e269772661" },
		{ "abc", "900150983cd24fb0d6963f7d28e17f72" },
		{ "message digest", "f96b697d7cb7938d525a2f31aaf161d0" },
		{ "abcdefghijklmnopqrstuvwxyz",
			"c3fcd3d76192e4007dfb496cca67e13b" },
		{ "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
			"0123456789", "d174ab98d277d9f5a5611c2c9f419d9f" },
		{ "123456789012345678901234567890123456789012345678901234567890"
			"12345678901234567890",
			"57edf4a22be3c955ac49da2e2107b67a" },
	};
	unsigned char digests[300][16], digest[16];
	char text[300];

	for (size_t i = 0; i < sizeof(suite) / sizeof(suite[0]); i++) {
		md5_digest(suite[i][0], strlen(suite[i][0]), digest);
		check_digest(suite[i][0], digest, suite[i][1]);
	}
	/* Every length across several blocks; the sum of all their digests. */
	memset(text, 'a', sizeof(text));
	for (size_t len = 0; len < sizeof(text); len++)
		md5_digest(text, len, digests[len]);
	md5_digest(digests, sizeof(digests), digest);
	check_digest("the digests of 0 to 299 times a", digest,
		"4a0125a7ff7488a489fe225c37fc99fc");
}

int main(int argc, char **argv)
{
	int rows;

	if (argc != 2) {
		fprintf(stderr, "usage: unit_hash vectors-folder\n");
		return 2;
	}
	rows = check_vectors(argv[1]);
	if (rows == 0) {
		printf("no rows\n");
		failed++;
	}
	check_md5();
	check_value("fnv1a_64", "757365723ac3a9726963", 0x24b87f62);
	if (hash_find("") != NULL || hash_find("MD5") != NULL
			|| hash_find("fnv1a_6") != NULL) {
		printf("a hash was found that does not exist\n");
		failed++;
	}
	if (failed != 0) {
		printf("unit_hash: %d differ\n", failed);
		return 1;
	}
	printf("unit_hash: %d rows ok\n", rows);
	return 0;
}
