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

/* The reflected polynomial 0xedb88320, by the byte that is shifted out. */
static const uint32_t crc32_table[256] = {
	0x00000000, 0x77073096, 0xee0e612c, 0x990951ba, 0x076dc419, 0x706af48f,
	0xe963a535, 0x9e6495a3, 0x0edb8832, 0x79dcb8a4, 0xe0d5e91e, 0x97d2d988,
	0x09b64c2b, 0x7eb17cbd, 0xe7b82d07, 0x90bf1d91, 0x1db71064, 0x6ab020f2,
	0xf3b97148, 0x84be41de, 0x1adad47d, 0x6ddde4eb, 0xf4d4b551, 0x83d385c7,
	0x136c9856, 0x646ba8c0, 0xfd62f97a, 0x8a65c9ec, 0x14015c4f, 0x63066cd9,
	0xfa0f3d63, 0x8d080df5, 0x3b6e20c8, 0x4c69105e, 0xd56041e4, 0xa2677172,
	0x3c03e4d1, 0x4b04d447, 0xd20d85fd, 0xa50ab56b, 0x35b5a8fa, 0x42b2986c,
	0xdbbbc9d6, 0xacbcf940, 0x32d86ce3, 0x45df5c75, 0xdcd60dcf, 0xabd13d59,
	0x26d930ac, 0x51de003a, 0xc8d75180, 0xbfd06116, 0x21b4f4b5, 0x56b3c423,
	0xcfba9599, 0xb8bda50f, 0x2802b89e, 0x5f058808, 0xc60cd9b2, 0xb10be924,
	0x2f6f7c87, 0x58684c11, 0xc1611dab, 0xb6662d3d, 0x76dc4190, 0x01db7106,
	0x98d220bc, 0xefd5102a, 0x71b18589, 0x06b6b51f, 0x9fbfe4a5, 0xe8b8d433,
	0x7807c9a2, 0x0f00f934, 0x9609a88e, 0xe10e9818, 0x7f6a0dbb, 0x086d3d2d,
	0x91646c97, 0xe6635c01, 0x6b6b51f4, 0x1c6c6162, 0x856530d8, 0xf262004e,
	0x6c0695ed, 0x1b01a57b, 0x8208f4c1, 0xf50fc457, 0x65b0d9c6, 0x12b7e950,
	0x8bbeb8ea, 0xfcb9887c, 0x62dd1ddf, 0x15da2d49, 0x8cd37cf3, 0xfbd44c65,
	0x4db26158, 0x3ab551ce, 0xa3bc0074, 0xd4bb30e2, 0x4adfa541, 0x3dd895d7,
	0xa4d1c46d, 0xd3d6f4fb, 0x4369e96a, 0x346ed9fc, 0xad678846, 0xda60b8d0,
	0x44042d73, 0x33031de5, 0xaa0a4c5f, 0xdd0d7cc9, 0x5005713c, 0x270241aa,
	0xbe0b1010, 0xc90c2086, 0x5768b525, 0x206f85b3, 0xb966d409, 0xce61e49f,
	0x5edef90e, 0x29d9c998, 0xb0d09822, 0xc7d7a8b4, 0x59b33d17, 0x2eb40d81,
	0xb7bd5c3b, 0xc0ba6cad, 0xedb88320, 0x9abfb3b6, 0x03b6e20c, 0x74b1d29a,
	0xead54739, 0x9dd277af, 0x04db2615, 0x73dc1683, 0xe3630b12, 0x94643b84,
	0x0d6d6a3e, 0x7a6a5aa8, 0xe40ecf0b, 0x9309ff9d, 0x0a00ae27, 0x7d079eb1,
	0xf00f9344, 0x8708a3d2, 0x1e01f268, 0x6906c2fe, 0xf762575d, 0x806567cb,
	0x196c3671, 0x6e6b06e7, 0xfed41b76, 0x89d32be0, 0x10da7a5a, 0x67dd4acc,
	0xf9b9df6f, 0x8ebeeff9, 0x17b7be43, 0x60b08ed5, 0xd6d6a3e8, 0xa1d1937e,
	0x38d8c2c4, 0x4fdff252, 0xd1bb67f1, 0xa6bc5767, 0x3fb506dd, 0x48b2364b,
	0xd80d2bda, 0xaf0a1b4c, 0x36034af6, 0x41047a60, 0xdf60efc3, 0xa867df55,
	0x316e8eef, 0x4669be79, 0xcb61b38c, 0xbc66831a, 0x256fd2a0, 0x5268e236,
	0xcc0c7795, 0xbb0b4703, 0x220216b9, 0x5505262f, 0xc5ba3bbe, 0xb2bd0b28,
	0x2bb45a92, 0x5cb36a04, 0xc2d7ffa7, 0xb5d0cf31, 0x2cd99e8b, 0x5bdeae1d,
	0x9b64c2b0, 0xec63f226, 0x756aa39c, 0x026d930a, 0x9c0906a9, 0xeb0e363f,
	0x72076785, 0x05005713, 0x95bf4a82, 0xe2b87a14, 0x7bb12bae, 0x0cb61b38,
	0x92d28e9b, 0xe5d5be0d, 0x7cdcefb7, 0x0bdbdf21, 0x86d3d2d4, 0xf1d4e242,
	0x68ddb3f8, 0x1fda836e, 0x81be16cd, 0xf6b9265b, 0x6fb077e1, 0x18b74777,
	0x88085ae6, 0xff0f6a70, 0x66063bca, 0x11010b5c, 0x8f659eff, 0xf862ae69,
	0x616bffd3, 0x166ccf45, 0xa00ae278, 0xd70dd2ee, 0x4e048354, 0x3903b3c2,
	0xa7672661, 0xd06016f7, 0x4969474d, 0x3e6e77db, 0xaed16a4a, 0xd9d65adc,
	0x40df0b66, 0x37d83bf0, 0xa9bcae53, 0xdebb9ec5, 0x47b2cf7f, 0x30b5ffe9,
	0xbdbdf21c, 0xcabac28a, 0x53b39330, 0x24b4a3a6, 0xbad03605, 0xcdd70693,
	0x54de5729, 0x23d967bf, 0xb3667a2e, 0xc4614ab8, 0x5d681b02, 0x2a6f2b94,
	0xb40bbe37, 0xc30c8ea1, 0x5a05df1b, 0x2d02ef8d,
};

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
	for (size_t i = 0; i < sizeof(hashes) / sizeof(hashes[0]); i++)
		if (strcmp(hashes[i].name, name) == 0)
			return hashes[i].fn;
	return NULL;
}

const char *hash_name(size_t i)
{
	return i < sizeof(hashes) / sizeof(hashes[0]) ? hashes[i].name : NULL;
}
