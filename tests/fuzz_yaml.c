/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_yaml: any bytes into yaml_min; it must end, and stay within them. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../yaml_min.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct yaml yaml;
	struct yaml_token token;
	size_t budget = 2 * size + 2; /* a byte gives a key and no value at most */
	enum yaml_kind kind;

	yaml_init(&yaml, (const char *)data, size);
	do {
		kind = yaml_next(&yaml, &token);
		if (budget-- == 0 || token.line < 1 || token.column < 1 ||
				token.depth >= YAML_MAX_DEPTH ||
				strlen(token.text) != token.len)
			abort();
	} while (kind != YAML_END && kind != YAML_ERROR);
	yaml_free(&yaml);
	return 0;
}
