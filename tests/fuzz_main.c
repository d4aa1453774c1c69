/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_main: gives a fuzzer files, one by one, where there is no libFuzzer: to
 * play its corpus again, or one case that it found, or as a target for AFL++.
 *
 * usage: fuzz_NAME FILE ...     each whole file is one input; - is standard input
 */
#include "fuzz.h"

static uint8_t *read_all(FILE *file, size_t *len)
{
	size_t room = 0, got;
	uint8_t *data = NULL;

	*len = 0;
	do {
		if (*len == room) {
			room = 2 * room + 4096;
			data = realloc(data, room);
			if (!data)
				abort();
		}
		got = fread(data + *len, 1, room - *len, file);
		*len += got;
	} while (got > 0);
	return data;
}

static int play(const char *path)
{
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
	uint8_t *data;
	size_t len;

	if (!file) {
		perror(path);
		return 1;
	}
	data = read_all(file, &len);
	if (file != stdin)
		fclose(file);
	if (getenv("FUZZ_SHOW"))
		fprintf(stderr, "%s\n", path);
	LLVMFuzzerTestOneInput(data, len);
	free(data);
	return 0;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (play(argv[i]) != 0)
			return 1;
	printf("%d inputs\n", argc - 1);
	return 0;
}
