/* SPDX-License-Identifier: Apache-2.0 */
/* The first byte says which reader, the second where the input is cut: whole or
 * in two pieces, in memory that moves, the result must be the same. */
#include "parse.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WORDS = 16 };

static enum parse_result run(unsigned kind, struct parse *p, char *data,
	size_t len, struct arg *argv)
{
	switch (kind % 4) {
	case 0: return redis_request(p, data, len, argv, WORDS);
	case 1: return redis_reply(p, data, len);
	case 2: return memcached_line(p, data, len, argv, WORDS);
	default: return memcached_reply(p, data, len);
	}
}

/* Of exactly that size, so that a byte read too far is seen. */
static char *alone(const uint8_t *data, size_t len)
{
	char *copy = malloc(len ? len : 1);

	if (!copy)
		abort();
	return memcpy(copy, data, len);
}

static void must(int good)
{
	if (!good)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct parse whole = { 0 }, cut = { 0 };
	struct arg argv[WORDS], pieces[WORDS];
	enum parse_result one, two;
	char *a, *b;
	size_t at;

	if (size < 3)
		return 0;
	at = data[1] % (size - 2);
	a = alone(data + 2, size - 2);
	one = run(data[0], &whole, a, size - 2, argv);
	must(one != PARSE_DONE || (whole.pos <= size - 2 && whole.pos > 0));
	must(one != PARSE_MORE || whole.need > size - 2);
	b = alone(data + 2, at);
	two = at ? run(data[0], &cut, b, at, pieces) : PARSE_MORE;
	must(two != PARSE_MORE || at == 0 || cut.need > at);
	free(b);
	b = alone(data + 2, size - 2);
	if (two == PARSE_MORE)
		two = run(data[0], &cut, b, size - 2, pieces);
	must(one == two);
	must(one != PARSE_DONE || whole.pos == cut.pos);
	if (one == PARSE_DONE && data[0] % 2 == 1)
		must(whole.type == cut.type);
	if (one == PARSE_DONE && data[0] % 2 == 0)
		must(whole.argc == cut.argc);
	if (one == PARSE_DONE && data[0] % 4 == 3) {
		struct arg key, item;
		size_t pos = 0;
		while (memcached_value(a, whole.pos, &pos, &key, &item))
			must(pos <= whole.pos);
	}
	free(a);
	free(b);
	return 0;
}
