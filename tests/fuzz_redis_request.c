/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_redis_request: what clients send to a redis pool. The words of a request
 * encode to the bytes that were read, and its keys are among them. */
#include "fuzz_cut.h"

#include "command.h"

enum {
	INLINE_ROOM = 32768, /* words of a line: as the proxy has it */
	ARRAY_ROOM = 4,      /* few, so that the words are asked for again */
	KEYS = 8,
};

static struct arg found[INLINE_ROOM];

static enum parse_result read_message(struct parse *p, char *data, size_t len)
{
	return redis_request(p, data, len, found,
		*data == '*' ? ARRAY_ROOM : INLINE_ROOM);
}

static size_t encode(char *out, const struct arg *argv, size_t argc)
{
	size_t n = (size_t)sprintf(out, "*%zu\r\n", argc);

	for (size_t i = 0; i < argc; i++) {
		n += (size_t)sprintf(out + n, "$%zu\r\n", argv[i].len);
		memcpy(out + n, argv[i].ptr, argv[i].len);
		n += argv[i].len;
		memcpy(out + n, "\r\n", 2);
		n += 2;
	}
	return n;
}

/* An array has one form only. An inline request becomes an array, which must
 * read as the same words. */
static void check_encoding(const struct parse *p, const char *data,
	const struct arg *argv)
{
	struct parse again = { 0 };
	struct arg *words = malloc(p->argc * sizeof(*words));
	size_t room = 32, len;
	char *text, *copy;

	for (size_t i = 0; i < p->argc; i++)
		room += argv[i].len + 32;
	text = malloc(room);
	if (!text || !words)
		abort();
	len = encode(text, argv, p->argc);
	if (!p->is_inline)
		must(len == p->pos && memcmp(text, data, len) == 0);
	copy = alone(text, len);
	must(redis_request(&again, copy, len, words, p->argc) == PARSE_DONE);
	must(again.pos == len && again.argc == p->argc && !again.is_inline);
	for (size_t i = 0; i < p->argc; i++)
		must(words[i].len == argv[i].len &&
			memcmp(words[i].ptr, argv[i].ptr, argv[i].len) == 0);
	free(copy);
	free(text);
	free(words);
}

static void check_keys(const struct command *cmd, const struct arg *argv,
	size_t argc)
{
	uint32_t at[KEYS], one[1];
	long count;

	if (!command_arity_ok(cmd, argc))
		return;
	(void)command_blocks(cmd, argv, argc);
	count = command_keys(cmd, argv, argc, at, KEYS);
	must(count >= -1 && (count < 0 || (size_t)count < argc));
	for (long i = 0; i < count && i < KEYS; i++)
		must(at[i] < argc && (i == 0 || at[i] > at[i - 1]));
	must(command_keys(cmd, argv, argc, one, 1) == count);
	must(count < 1 || one[0] == at[0]);
}

static uint64_t check_message(struct parse *p, char *data)
{
	uint64_t hash = fold_number(p->is_inline, p->argc);
	struct arg *argv = malloc(p->argc * sizeof(*argv));
	const struct command *cmd;

	if (p->argc == 0) {
		free(argv);
		return hash;
	}
	if (!argv)
		abort();
	must(p->argc <= INLINE_ROOM || !p->is_inline);
	if (p->is_inline || p->argc <= ARRAY_ROOM)
		memcpy(argv, found, p->argc * sizeof(*argv));
	else
		redis_words(data, argv, p->argc);
	for (size_t i = 0; i < p->argc; i++) {
		must(argv[i].ptr >= data &&
			argv[i].ptr + argv[i].len <= data + p->pos);
		hash = fold_number(hash, argv[i].len);
		hash = fold(hash, argv[i].ptr, argv[i].len);
	}
	check_encoding(p, data, argv);
	cmd = command_find(argv, p->argc);
	check_keys(cmd ? cmd : &command_unknown, argv, p->argc);
	free(argv);
	return hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool ready;

	if (!ready)
		command_init();
	ready = true;
	read_every_way(data, size);
	return 0;
}
