/* SPDX-License-Identifier: Apache-2.0 */
/* hash: the twelve key hashes, equal to twemproxy's to the bit on every CPU. */
#ifndef HASH_H
#define HASH_H

#include <stddef.h>
#include <stdint.h>

/* `key` need not be aligned nor terminated, and may hold any bytes. */
typedef uint32_t hash_fn(const char *key, size_t len);

/* The function of a configuration name ("fnv1a_64"), or NULL. */
hash_fn *hash_find(const char *name);

/* The i-th name in the order of the documentation, NULL past the last. */
const char *hash_name(size_t i);

/* MD5 (RFC 1321) of one message. */
void md5_digest(const void *data, size_t len, unsigned char out[16]);

#endif
