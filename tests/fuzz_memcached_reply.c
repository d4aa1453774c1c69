/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_memcached_reply: what memcached servers answer. A reply must end where
 * its kind says, and values cut out of it must be all of it. */
#include "fuzz_cut.h"

static enum parse_result read_message(struct parse *p, char *data, size_t len)
{
	return memcached_reply(p, data, len);
}

/* VALUE items, and END behind the last. */
static void check_values(const char *data, size_t len)
{
	struct arg key, item;
	size_t pos = 0, before = 0;

	while (memcached_value(data, len, &pos, &key, &item)) {
		must(item.ptr == data + before && item.len == pos - before);
		must(key.ptr > item.ptr &&
			key.ptr + key.len < item.ptr + item.len);
		must(memcmp(data + pos - 2, "\r\n", 2) == 0);
		before = pos;
	}
	must(pos < len && memcmp(data + pos, "END", 3) == 0);
	must(memchr(data + pos, '\n', len - pos) == data + len - 1);
}

static uint64_t check_message(struct parse *p, char *data)
{
	must(data[p->pos - 1] == '\n');
	switch ((enum reply_type)p->type) {
	case REPLY_VALUES:
		check_values(data, p->pos);
		break;
	case REPLY_STATS:
		must(memcmp(data, "STAT", 4) == 0);
		break;
	case REPLY_META:
		must(memcmp(data, "VA", 2) == 0 ||
			memchr(data, '\n', p->pos) == data + p->pos - 1);
		break;
	case REPLY_STATUS:
	case REPLY_INTEGER:
		must(memchr(data, '\n', p->pos) == data + p->pos - 1);
		break;
	default:
		/* An error may come in place of the rest of the values. */
		must(p->type == REPLY_ERROR);
	}
	return p->type;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	read_every_way(data, size);
	return 0;
}
