/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash: twelve functions from a key to 32 bits, and MD5.
 *
 * The results say on which server a key lies, so they are those of twemproxy
 * on x86, oddities included: where it adds a plain char, a byte from 0x80 up
 * counts as negative, here on every CPU.
 */
#include "hash.h"

#include <string.h>

static inline uint32_t rotl(uint32_t x, unsigned n)
{
	return x << n | x >> (32 - n);
}

/* Compilers make one load of these where the CPU can do it. */
static inline uint32_t le16(const unsigned char *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static inline uint32_t le32(const unsigned char *p)
{
	return le16(p) | le16(p + 2) << 16;
}

static inline void put_le32(unsigned char *p, uint32_t x)
{
	p[0] = (unsigned char)x;
	p[1] = (unsigned char)(x >> 8);
	p[2] = (unsigned char)(x >> 16);
	p[3] = (unsigned char)(x >> 24);
}

/* What a plain char is on x86: 0x80 .. 0xff are -128 .. -1. */
static inline uint32_t sign_extended(signed char c)
{
	return (uint32_t)c;
}

/* Bob Jenkins, one-at-a-time. */
static uint32_t hash_one_at_a_time(const char *key, size_t len)
{
	const signed char *p = (const signed char *)key;
	uint32_t h = 0;

	for (size_t i = 0; i < len; i++) {
		h += sign_extended(p[i]);
		h += h << 10;
		h ^= h >> 6;
	}
	h += h << 3;
	h ^= h >> 11;
	h += h << 15;
	return h;
}

/* RFC 1321: floor(2^32 * abs(sin(i + 1))). */
static const uint32_t md5_sine[64] = {
	0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee,
	0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
	0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be,
	0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
	0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa,
	0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
	0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed,
	0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
	0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c,
	0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
	0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05,
	0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
	0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039,
	0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
	0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1,
	0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
};

/* The four rounds differ in how they mix b, c and d. */
static inline uint32_t md5_f(uint32_t a, uint32_t b, uint32_t c, uint32_t d,
	uint32_t x, unsigned n)
{
	return b + rotl(a + (d ^ (b & (c ^ d))) + x, n);
}

static inline uint32_t md5_g(uint32_t a, uint32_t b, uint32_t c, uint32_t d,
	uint32_t x, unsigned n)
{
	return b + rotl(a + (c ^ (d & (b ^ c))) + x, n);
}

static inline uint32_t md5_h(uint32_t a, uint32_t b, uint32_t c, uint32_t d,
	uint32_t x, unsigned n)
{
	return b + rotl(a + (b ^ c ^ d) + x, n);
}

static inline uint32_t md5_i(uint32_t a, uint32_t b, uint32_t c, uint32_t d,
	uint32_t x, unsigned n)
{
	return b + rotl(a + (c ^ (b | ~d)) + x, n);
}

static void md5_block(uint32_t state[4], const unsigned char *p)
{
	uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
	const uint32_t *t = md5_sine;
	uint32_t x[16];
	size_t i;

	for (i = 0; i < 16; i++)
		x[i] = le32(p + 4 * i);
	for (i = 0; i < 16; i += 4, t += 4) {
		a = md5_f(a, b, c, d, x[i] + t[0], 7);
		d = md5_f(d, a, b, c, x[i + 1] + t[1], 12);
		c = md5_f(c, d, a, b, x[i + 2] + t[2], 17);
		b = md5_f(b, c, d, a, x[i + 3] + t[3], 22);
	}
	for (i = 1; i < 81; i += 20, t += 4) {
		a = md5_g(a, b, c, d, x[i & 15] + t[0], 5);
		d = md5_g(d, a, b, c, x[(i + 5) & 15] + t[1], 9);
		c = md5_g(c, d, a, b, x[(i + 10) & 15] + t[2], 14);
		b = md5_g(b, c, d, a, x[(i + 15) & 15] + t[3], 20);
	}
	for (i = 5; i < 53; i += 12, t += 4) {
		a = md5_h(a, b, c, d, x[i & 15] + t[0], 4);
		d = md5_h(d, a, b, c, x[(i + 3) & 15] + t[1], 11);
		c = md5_h(c, d, a, b, x[(i + 6) & 15] + t[2], 16);
		b = md5_h(b, c, d, a, x[(i + 9) & 15] + t[3], 23);
	}
	for (i = 0; i < 112; i += 28, t += 4) {
		a = md5_i(a, b, c, d, x[i & 15] + t[0], 6);
		d = md5_i(d, a, b, c, x[(i + 7) & 15] + t[1], 10);
		c = md5_i(c, d, a, b, x[(i + 14) & 15] + t[2], 15);
		b = md5_i(b, c, d, a, x[(i + 21) & 15] + t[3], 21);
	}
	state[0] += a;
	state[1] += b;
	state[2] += c;
	state[3] += d;
}

void md5_digest(const void *data, size_t len, unsigned char out[16])
{
	uint32_t state[4] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476 };
	const unsigned char *p = data;
	unsigned char last[128] = { 0 };
	size_t rest, used;

	for (rest = len; rest >= 64; rest -= 64, p += 64)
		md5_block(state, p);

	/* The rest, a one bit, zeros, and the length in bits end a block. */
	memcpy(last, p, rest);
	last[rest] = 0x80;
	used = rest < 56 ? 64 : 128;
	put_le32(last + used - 8, (uint32_t)((uint64_t)len << 3));
	put_le32(last + used - 4, (uint32_t)((uint64_t)len >> 29));
	md5_block(state, last);
	if (used == 128)
		md5_block(state, last + 64);

	for (size_t i = 0; i < 4; i++)
		put_le32(out + 4 * i, state[i]);
}

static uint32_t hash_md5(const char *key, size_t len)
{
	unsigned char digest[16];

	md5_digest(key, len, digest);
	return le32(digest);
}

/* CRC-16/XMODEM, a byte at a time without a table: t is what the byte's entry
 * (polynomial 0x1021) would hold. What is shifted out above bit 15 stays in
 * the result: keys have always been placed by all 32 bits. */
static uint32_t hash_crc16(const char *key, size_t len)
{
	const unsigned char *p = (const unsigned char *)key;
	uint32_t crc = 0;

	for (size_t i = 0; i < len; i++) {
		uint32_t t = ((crc >> 8) ^ p[i]) & 0xff;

		t ^= t >> 4;
		t ^= t << 5 ^ t << 12;
		crc = crc << 8 ^ (t & 0xffff);
	}
	return crc;
}

/* By the byte that is shifted out; filled by hash_find(), the way to all hashes. */
static uint32_t crc32_table[256];

/* The reflected polynomial. */
static void crc32_init(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i;

		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
		crc32_table[i] = crc;
	}
}

/* The standard CRC-32, all its bits. */
static uint32_t hash_crc32a(const char *key, size_t len)
{
	const unsigned char *p = (const unsigned char *)key;
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < len; i++)
		crc = crc >> 8 ^ crc32_table[(crc ^ p[i]) & 0xff];
	return ~crc;
}

/* The 15 bits of it that libmemcached has always used. */
static uint32_t hash_crc32(const char *key, size_t len)
{
	return hash_crc32a(key, len) >> 16 & 0x7fff;
}

/* Fowler, Noll, Vo. Only 32 bits of the 64-bit variants are ever used, and
 * these depend on no higher ones, so start and prime are cut to 32 bits too. */
#define FNV64_START 0x84222325u
#define FNV64_PRIME 0x1b3u
#define FNV32_START 2166136261u
#define FNV32_PRIME 16777619u

static inline uint32_t fnv1(const char *key, size_t len,
	uint32_t h, uint32_t prime)
{
	const signed char *p = (const signed char *)key;

	for (size_t i = 0; i < len; i++)
		h = h * prime ^ sign_extended(p[i]);
	return h;
}

/* Eight bytes a turn: the default hash is computed for every request. */
static inline uint32_t fnv1a(const char *key, size_t len,
	uint32_t h, uint32_t prime)
{
	const signed char *p = (const signed char *)key;

	for (; len >= 8; len -= 8, p += 8) {
		h = (h ^ sign_extended(p[0])) * prime;
		h = (h ^ sign_extended(p[1])) * prime;
		h = (h ^ sign_extended(p[2])) * prime;
		h = (h ^ sign_extended(p[3])) * prime;
		h = (h ^ sign_extended(p[4])) * prime;
		h = (h ^ sign_extended(p[5])) * prime;
		h = (h ^ sign_extended(p[6])) * prime;
		h = (h ^ sign_extended(p[7])) * prime;
	}
	for (; len > 0; len--, p++)
		h = (h ^ sign_extended(*p)) * prime;
	return h;
}

static uint32_t hash_fnv1_64(const char *key, size_t len)
{
	return fnv1(key, len, FNV64_START, FNV64_PRIME);
}

static uint32_t hash_fnv1a_64(const char *key, size_t len)
{
	return fnv1a(key, len, FNV64_START, FNV64_PRIME);
}

static uint32_t hash_fnv1_32(const char *key, size_t len)
{
	return fnv1(key, len, FNV32_START, FNV32_PRIME);
}

static uint32_t hash_fnv1a_32(const char *key, size_t len)
{
	return fnv1a(key, len, FNV32_START, FNV32_PRIME);
}

/* Paul Hsieh, SuperFastHash, but started from 0 instead of the length. */
static uint32_t hash_hsieh(const char *key, size_t len)
{
	const unsigned char *p = (const unsigned char *)key;
	uint32_t h = 0;

	for (; len >= 4; len -= 4, p += 4) {
		h += le16(p);
		h = h << 16 ^ (le16(p + 2) << 11 ^ h);
		h += h >> 11;
	}
	switch (len) {
	case 3:
		h += le16(p);
		h ^= h << 16;
		h ^= sign_extended(((const signed char *)p)[2]) << 18;
		h += h >> 11;
		break;
	case 2:
		h += le16(p);
		h ^= h << 11;
		h += h >> 17;
		break;
	case 1:
		h += p[0];
		h ^= h << 10;
		h += h >> 1;
		break;
	}
	h ^= h << 3;
	h += h >> 5;
	h ^= h << 4;
	h += h >> 17;
	h ^= h << 25;
	h += h >> 6;
	return h;
}

/* Austin Appleby, MurmurHash2, with a seed that depends on the length. */
static uint32_t hash_murmur(const char *key, size_t len)
{
	const uint32_t m = 0x5bd1e995;
	const unsigned char *p = (const unsigned char *)key;
	uint32_t h = 0xdeadbeef * (uint32_t)len ^ (uint32_t)len;

	for (; len >= 4; len -= 4, p += 4) {
		uint32_t k = le32(p) * m;

		k ^= k >> 24;
		h = h * m ^ k * m;
	}
	if (len > 0) {
		unsigned char tail[4] = { 0 };

		memcpy(tail, p, len);
		h = (h ^ le32(tail)) * m;
	}
	h ^= h >> 13;
	h *= m;
	h ^= h >> 15;
	return h;
}

/* Bob Jenkins, lookup3 (hashlittle) with the initial value 13. */
static uint32_t hash_jenkins(const char *key, size_t len)
{
	const unsigned char *p = (const unsigned char *)key;
	unsigned char tail[12] = { 0 };
	uint32_t a, b, c;

	a = b = c = 0xdeadbeef + (uint32_t)len + 13;
	if (len == 0)
		return c;
	for (; len > 12; len -= 12, p += 12) {
		a += le32(p);
		b += le32(p + 4);
		c += le32(p + 8);
		a -= c; a ^= rotl(c, 4); c += b;
		b -= a; b ^= rotl(a, 6); a += c;
		c -= b; c ^= rotl(b, 8); b += a;
		a -= c; a ^= rotl(c, 16); c += b;
		b -= a; b ^= rotl(a, 19); a += c;
		c -= b; c ^= rotl(b, 4); b += a;
	}
	memcpy(tail, p, len);
	a += le32(tail);
	b += le32(tail + 4);
	c += le32(tail + 8);
	c ^= b; c -= rotl(b, 14);
	a ^= c; a -= rotl(c, 11);
	b ^= a; b -= rotl(a, 25);
	c ^= b; c -= rotl(b, 16);
	a ^= c; a -= rotl(c, 4);
	b ^= a; b -= rotl(a, 14);
	c ^= b; c -= rotl(b, 24);
	return c;
}

static const struct {
	const char *name;
	hash_fn *fn;
} hashes[] = {
	{ "one_at_a_time", hash_one_at_a_time },
	{ "md5", hash_md5 },
	{ "crc16", hash_crc16 },
	{ "crc32", hash_crc32 },
	{ "crc32a", hash_crc32a },
	{ "fnv1_64", hash_fnv1_64 },
	{ "fnv1a_64", hash_fnv1a_64 },
	{ "fnv1_32", hash_fnv1_32 },
	{ "fnv1a_32", hash_fnv1a_32 },
	{ "hsieh", hash_hsieh },
	{ "murmur", hash_murmur },
	{ "jenkins", hash_jenkins },
};

hash_fn *hash_find(const char *name)
{
	crc32_init();
	for (size_t i = 0; i < sizeof(hashes) / sizeof(hashes[0]); i++)
		if (strcmp(hashes[i].name, name) == 0)
			return hashes[i].fn;
	return NULL;
}

const char *hash_name(size_t i)
{
	return i < sizeof(hashes) / sizeof(hashes[0]) ? hashes[i].name : NULL;
}
