/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_yaml: any bytes into yaml_min; it must end, and stay within them. */
#include "fuzz.h"

#include "yaml_min.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t budget = 2 * size + 2; /* a byte gives a key and no value at most */
	char *copy = alone(data, size);
	struct yaml_token token;
	enum yaml_kind kind;
	struct yaml yaml;
	int line = 1;

	yaml_init(&yaml, copy, size);
	do {
		kind = yaml_next(&yaml, &token);
		must(budget-- > 0);
		must(token.line >= 1 && token.column >= 1);
		must(token.depth < YAML_MAX_DEPTH);
		must(token.depth >= 0 || kind == YAML_END || kind == YAML_ERROR);
		must(strlen(token.text) == token.len);
		must(kind == YAML_ERROR || token.line >= line);
		line = token.line;
	} while (kind != YAML_END && kind != YAML_ERROR);
	must(yaml_next(&yaml, &token) == kind);
	yaml_free(&yaml);
	free(copy);
	return 0;
}
