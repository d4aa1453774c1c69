/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_redis_reply: what Redis servers answer, RESP2 and RESP3. A reply must
 * end where a second reader, written in another way, says that it ends. */
#include "fuzz_cut.h"

enum { DEPTH = 200 }; /* of what the second reader follows */

static enum parse_result read_message(struct parse *p, char *data, size_t len)
{
	return redis_reply(p, data, len);
}

/* Behind the line that starts at s. */
static const char *line_end(const char *s)
{
	while (*s != '\n')
		s++;
	return s + 1;
}

/* The end of the element at s, of a text that is known to be well-formed; NULL:
 * it is too deep. */
static const char *element_end(const char *s, unsigned depth)
{
	char type = *s;
	long long n;

	if (depth > DEPTH)
		return NULL;
	if (!strchr("$=!*~%|>", type))
		return line_end(s);
	n = strtoll(s + 1, NULL, 10);
	s = line_end(s);
	if (strchr("$=!", type))
		return n < 0 ? s : s + n + 2;
	if (type == '%' || type == '|')
		n *= 2;
	for (; n > 0 && s; n--)
		s = element_end(s, depth + 1);
	return s && type == '|' ? element_end(s, depth + 1) : s;
}

static uint64_t check_message(struct parse *p, char *data)
{
	const char *end = element_end(data, 0);

	must(!end || end == data + p->pos);
	must(p->type <= REPLY_PUSH);
	if (p->type == REPLY_ARRAY && data[0] == '*') {
		int64_t count = -1;
		must(redis_header(data, &count) <= p->pos && count >= 0);
	}
	return p->type;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	read_every_way(data, size);
	return 0;
}
