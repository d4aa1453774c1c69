/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_memcached_request: the lines that memcached clients send. The words are
 * all of a line that is no space, in order. */
#include "fuzz_cut.h"

#include "command.h"

enum { ROOM = 4 }; /* few, so that the words are asked for again */

static struct arg few[ROOM];

static enum parse_result read_message(struct parse *p, char *data, size_t len)
{
	return memcached_line(p, data, len, few, ROOM);
}

static uint64_t check_message(struct parse *p, char *data)
{
	struct arg *argv = malloc((p->argc + 1) * sizeof(*argv));
	uint64_t hash = fold_number(0, p->argc);
	size_t length = p->pos - 1, at = 0;

	if (!argv)
		abort();
	must(data[length] == '\n' && !memchr(data, '\n', length));
	if (length && data[length - 1] == '\r')
		length--;
	must(memcached_words(data, p->pos, argv, p->argc) == p->argc);
	for (size_t i = 0; i < p->argc; i++) {
		while (at < length && data[at] == ' ')
			at++;
		must(argv[i].ptr == data + at && argv[i].len > 0);
		must(!memchr(argv[i].ptr, ' ', argv[i].len));
		must(i >= ROOM || (few[i].ptr == argv[i].ptr &&
			few[i].len == argv[i].len));
		at += argv[i].len;
		hash = fold_number(hash, at);
	}
	while (at < length && data[at] == ' ')
		at++;
	must(at == length);
	if (p->argc) {
		const struct mc_command *mc =
			mc_command_find(argv[0].ptr, argv[0].len);
		must(!mc || (mc->len == argv[0].len &&
			memcmp(mc->name, argv[0].ptr, mc->len) == 0));
	}
	free(argv);
	return hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	read_every_way(data, size);
	return 0;
}
