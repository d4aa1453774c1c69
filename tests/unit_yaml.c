/* SPDX-License-Identifier: Apache-2.0 */
/* unit_yaml: texts and the tokens or the error that yaml_min makes of them. */
#include "../yaml_min.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../util.h"

/*
 * Tokens are written as KIND DEPTH @ LINE : COLUMN "TEXT", one a line, with k
 * for a key, v for a value and i for an item; an error as ! LINE : COLUMN and
 * its reason. What the end looks like goes without saying.
 */
struct example {
	const char *text;
	const char *tokens;
};

#define SIMPLE "k0@1:1 \"a\"\nv0@1:4 \"b\"\n"

static const struct example examples[] = {
	/* mappings, lists, line ends, indentation */
	{ "", "" },
	{ "\n\n", "" },
	{ "# only this", "" },
	{ "\xef\xbb\xbf# only this\n", "" },
	{ "a: b\n", SIMPLE },
	{ "a: b", SIMPLE },
	{ "a: b\r\n", SIMPLE },
	{ "a: b\r", SIMPLE },
	{ "\xef\xbb\xbf" "a: b", SIMPLE },
	{ "a: b\n\xef\xbb\xbf" "c: d", SIMPLE "k0@2:1 \"c\"\nv0@2:4 \"d\"\n" },
	{ "a: b  \t\n", SIMPLE },
	{ "a: b # c", SIMPLE },
	{ "a : b", "k0@1:1 \"a\"\nv0@1:5 \"b\"\n" },
	{ "a:\tb", SIMPLE },
	{ "a: b\n\n  # c\n\t\nd: e\n", SIMPLE "k0@5:1 \"d\"\nv0@5:4 \"e\"\n" },
	{ "a: b\rc: d\r", SIMPLE "k0@2:1 \"c\"\nv0@2:4 \"d\"\n" },
	{ "a: b\r\n\r\nc: d", SIMPLE "k0@3:1 \"c\"\nv0@3:4 \"d\"\n" },
	{ "   a: b\n   c: d", "k0@1:4 \"a\"\nv0@1:7 \"b\"\nk0@2:4 \"c\"\nv0@2:7 \"d\"\n" },
	{ "a:\n  b", "k0@1:1 \"a\"\nv0@2:3 \"b\"\n" },
	{ "a:", "k0@1:1 \"a\"\nv0@1:3 \"\"\n" },
	{ "a: # c\nb:", "k0@1:1 \"a\"\nv0@1:3 \"\"\nk0@2:1 \"b\"\nv0@2:3 \"\"\n" },
	{ "a: \"\"", "k0@1:1 \"a\"\nv0@1:4 \"\"\n" },
	{ "a:\n  b: c\n  d: e\nf: g\n",
		"k0@1:1 \"a\"\nk1@2:3 \"b\"\nv1@2:6 \"c\"\nk1@3:3 \"d\"\n"
		"v1@3:6 \"e\"\nk0@4:1 \"f\"\nv0@4:4 \"g\"\n" },
	{ "a:\n b:\n  c:\nd:", "k0@1:1 \"a\"\nk1@2:2 \"b\"\nk2@3:3 \"c\"\n"
		"v2@3:5 \"\"\nk0@4:1 \"d\"\nv0@4:3 \"\"\n" },
	{ "a:\n - b\n - c\nd: e", "k0@1:1 \"a\"\ni1@2:4 \"b\"\ni1@3:4 \"c\"\n"
		"k0@4:1 \"d\"\nv0@4:4 \"e\"\n" },
	{ "a:\n- b\n- c\nd: e", "k0@1:1 \"a\"\ni1@2:3 \"b\"\ni1@3:3 \"c\"\n"
		"k0@4:1 \"d\"\nv0@4:4 \"e\"\n" },
	{ "a:\n  b:\n  - c\n  d: e", "k0@1:1 \"a\"\nk1@2:3 \"b\"\ni2@3:5 \"c\"\n"
		"k1@4:3 \"d\"\nv1@4:6 \"e\"\n" },
	{ "a:\n -\n - # c\n -\n   d", "k0@1:1 \"a\"\ni1@2:3 \"\"\ni1@3:3 \"\"\n"
		"i1@5:4 \"d\"\n" },
	{ "- a\n- b", "i0@1:3 \"a\"\ni0@2:3 \"b\"\n" },
	{ "\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\xbf: b",
		"k0@1:1 \"\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\xbf\"\nv0@1:6 \"b\"\n" },
	{ "1 2: b", "k0@1:1 \"1 2\"\nv0@1:6 \"b\"\n" },

	/* plain scalars */
	{ "a: ::1:27100", "k0@1:1 \"a\"\nv0@1:4 \"::1:27100\"\n" },
	{ "a: b#c", "k0@1:1 \"a\"\nv0@1:4 \"b#c\"\n" },
	{ "a: -b", "k0@1:1 \"a\"\nv0@1:4 \"-b\"\n" },
	{ "a: ?b", "k0@1:1 \"a\"\nv0@1:4 \"?b\"\n" },
	{ "a: b,[c]{d}'\"", "k0@1:1 \"a\"\nv0@1:4 \"b,[c]{d}'\"\"\n" },
	{ "a: b\n  c\n\n\n  d # e\nf: g", "k0@1:1 \"a\"\nv0@1:4 \"b c\\x0a\\x0ad\"\n"
		"k0@6:1 \"f\"\nv0@6:4 \"g\"\n" },
	{ "a: b\n  - c", "k0@1:1 \"a\"\nv0@1:4 \"b - c\"\n" },
	{ "a:\n - b\n  c\n - d", "k0@1:1 \"a\"\ni1@2:4 \"b c\"\ni1@4:4 \"d\"\n" },
	{ "a: b\n\n# c\n", SIMPLE },
	{ "a: <<", "k0@1:1 \"a\"\nv0@1:4 \"<<\"\n" },

	/* quoted scalars */
	{ "'a': 'b'", "k0@1:1 \"a\"\nv0@1:6 \"b\"\n" },
	{ "\"a\" : \"b\"#c", "k0@1:1 \"a\"\nv0@1:7 \"b\"\n" },
	{ "a: 'it''s'", "k0@1:1 \"a\"\nv0@1:4 \"it's\"\n" },
	{ "a: '\\n: # '", "k0@1:1 \"a\"\nv0@1:4 \"\\n: # \"\n" },
	{ "a: 'b  \n  c\n\n  d'", "k0@1:1 \"a\"\nv0@1:4 \"b c\\x0ad\"\n" },
	{ "a: \"b\\\n   c\\\n\n d \\\n e\"", "k0@1:1 \"a\"\nv0@1:4 \"bc\\x0ad e\"\n" },
	{ "a: \"\\a\\b\\t\\n\\v\\f\\r\\e\\ \\\"\\/\\\\\"",
		"k0@1:1 \"a\"\nv0@1:4 \"\\x07\\x08\\x09\\x0a\\x0b\\x0c\\x0d\\x1b \"/\\\"\n" },
	{ "a: \"\\x41\\xe9\\u20aC\\U0001F43f\"",
		"k0@1:1 \"a\"\nv0@1:4 \"A\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\xbf\"\n" },
	{ "a: \"\\N\\_\\L\\P\"", "k0@1:1 \"a\"\n"
		"v0@1:4 \"\xc2\x85\xc2\xa0\xe2\x80\xa8\xe2\x80\xa9\"\n" },

	/* block scalars */
	{ "a: |\n  b\n   c\n\nd: e", "k0@1:1 \"a\"\nv0@1:4 \"b\\x0a c\\x0a\"\n"
		"k0@5:1 \"d\"\nv0@5:4 \"e\"\n" },
	{ "a: |-\n  b", "k0@1:1 \"a\"\nv0@1:4 \"b\"\n" },
	{ "a: |- # c\n  b # d\n", "k0@1:1 \"a\"\nv0@1:4 \"b # d\"\n" },
	{ "a: |+\n  b\n\n", "k0@1:1 \"a\"\nv0@1:4 \"b\\x0a\\x0a\"\n" },
	{ "a: |2-\n   b\n", "k0@1:1 \"a\"\nv0@1:4 \" b\"\n" },
	{ "a:\n  b: |1\n    c\n", "k0@1:1 \"a\"\nk1@2:3 \"b\"\nv1@2:6 \" c\\x0a\"\n" },
	{ "a: |+1\n  b\n", "k0@1:1 \"a\"\nv0@1:4 \" b\\x0a\"\n" },
	{ "a: |\n\n  b\n", "k0@1:1 \"a\"\nv0@1:4 \"\\x0ab\\x0a\"\n" },
	{ "a: |\nb: c", "k0@1:1 \"a\"\nv0@1:4 \"\"\nk0@2:1 \"b\"\nv0@2:4 \"c\"\n" },
	{ "a: >\n  b\n  c\n\n  d\n   e\n  f\n", "k0@1:1 \"a\"\n"
		"v0@1:4 \"b c\\x0ad\\x0a e\\x0af\\x0a\"\n" },
	{ "a: >-\n  b\n", "k0@1:1 \"a\"\nv0@1:4 \"b\"\n" },
	{ "a:\n - |\n  b\n - c", "k0@1:1 \"a\"\ni1@2:4 \"b\\x0a\"\ni1@4:4 \"c\"\n" },

	/* what is refused */
	{ "a", "! 1:1 \"key: value\" must stand here, found \"a\"\n" },
	{ "a:b", "! 1:1 \"key: value\" must stand here, found \"a:b\"\n" },
	{ "a: b\nc\n", SIMPLE "! 2:1 \"key: value\" must stand here, found \"c\"\n" },
	{ "'a\nb': c", "! 2:3 a value cannot be a key: either the indentation is "
		"wrong, or \": \" belongs to the value, which then needs quotes, "
		"found \": c\"\n" },
	{ "'a\nb'", "! 2:3 a key must stand on one line\n" },
	{ "a: b: c", "k0@1:1 \"a\"\n! 1:5 a value cannot be a key: either the "
		"indentation is wrong, or \": \" belongs to the value, which then "
		"needs quotes, found \": c\"\n" },
	{ "a: b\n  c: d", "k0@1:1 \"a\"\n! 2:4 a value cannot be a key: either the "
		"indentation is wrong, or \": \" belongs to the value, which then "
		"needs quotes, found \": d\"\n" },
	{ "a: 'b' c", "k0@1:1 \"a\"\n! 1:8 nothing may follow a value on its line, "
		"found \"c\"\n" },
	{ "a: b # c\n  d\n", SIMPLE
		"! 2:3 the indentation matches no line above, found \"d\"\n" },
	{ "  a: b\n c: d", "k0@1:3 \"a\"\nv0@1:6 \"b\"\n"
		"! 2:2 the indentation matches no line above, found \"c: d\"\n" },
	{ "a:\n   b: c\n  d: e", "k0@1:1 \"a\"\nk1@2:4 \"b\"\nv1@2:7 \"c\"\n"
		"! 3:3 the indentation matches no line above, found \"d: e\"\n" },
	{ "a:\n  - b\n  c: d", "k0@1:1 \"a\"\ni1@2:5 \"b\"\n"
		"! 3:3 \"- item\" must stand here, found \"c: d\"\n" },
	{ "a: b\n- c", SIMPLE "! 2:1 \"key: value\" must stand here, found \"- c\"\n" },
	{ "a:\n - b\n- c", "k0@1:1 \"a\"\ni1@2:4 \"b\"\n"
		"! 3:1 \"key: value\" must stand here, found \"- c\"\n" },
	{ "a: - b", "k0@1:1 \"a\"\n! 1:4 an item of a list cannot begin here, "
		"found \"- b\"\n" },
	{ "- - b", "! 1:3 an item of a list cannot begin here, found \"- b\"\n" },
	{ "-\n  - b", "! 2:3 an item of a list cannot begin here, found \"- b\"\n" },
	{ "- a: b", "! 1:4 an item of a list cannot be a key (quote it if \": \" "
		"belongs to it), found \": b\"\n" },
	{ "a: &b c", "k0@1:1 \"a\"\n! 1:4 anchors are not supported, found \"&b c\"\n" },
	{ "a: *b", "k0@1:1 \"a\"\n! 1:4 aliases are not supported, found \"*b\"\n" },
	{ "a: !!int 1", "k0@1:1 \"a\"\n! 1:4 tags are not supported, found \"!!int 1\"\n" },
	{ "a: [b]", "k0@1:1 \"a\"\n! 1:4 lists in brackets are not supported, "
		"write one \"- item\" a line, found \"[b]\"\n" },
	{ "a: {}", "k0@1:1 \"a\"\n! 1:4 mappings in braces are not supported "
		"(quote the value if the brace belongs to it), found \"{}\"\n" },
	{ "a: @b", "k0@1:1 \"a\"\n! 1:4 a value that begins with this character "
		"needs quotes, found \"@b\"\n" },
	{ "a: %b", "k0@1:1 \"a\"\n! 1:4 a value that begins with this character "
		"needs quotes, found \"%b\"\n" },
	{ "%YAML 1.1", "! 1:1 directives are not supported, found \"%YAML 1.1\"\n" },
	{ "---\na: b", "! 1:1 document marks are not supported, found \"---\"\n" },
	{ "a: b\n...\n", SIMPLE "! 2:1 document marks are not supported, found \"...\"\n" },
	{ "a: 'b\n--- c'", "k0@1:1 \"a\"\n! 2:1 quotes cannot reach across documents, "
		"found \"--- c'\"\n" },
	{ "? a\n: b", "! 1:1 keys marked by \"? \" are not supported, write "
		"\"key: value\", found \"? a\"\n" },
	{ ": b", "! 1:1 a key is missing before \":\", found \": b\"\n" },
	{ "| b", "! 1:1 a key must stand here, found \"| b\"\n" },
	{ "a: | b", "k0@1:1 \"a\"\n! 1:6 nothing may follow a value on its line, "
		"found \"b\"\n" },
	{ "a: |\n \tb\n\tc", "k0@1:1 \"a\"\n"
		"! 2:2 a tab cannot indent a line, use spaces\n" },
	{ "a:\n\tb: c", "k0@1:1 \"a\"\n! 2:2 a tab cannot indent a line, use spaces\n" },
	{ "a: b\n\tc: d", SIMPLE "! 2:2 a tab cannot indent a line, use spaces\n" },
	{ "a: 'b\nc: d\n", "k0@1:1 \"a\"\n! 1:4 this quote is never closed\n" },
	{ "a:\n - \"b\\\"", "k0@1:1 \"a\"\n! 2:4 this quote is never closed\n" },
	{ "a: \"\\q\"", "k0@1:1 \"a\"\n! 1:5 unknown escape in double quotes, "
		"found \"\\q\"\"\n" },
	{ "a: \"\\x4\"", "k0@1:1 \"a\"\n! 1:5 hexadecimal digits are missing, "
		"found \"\\x4\"\"\n" },
	{ "a: \"\\x00\"", "k0@1:1 \"a\"\n! 1:5 not the number of a character that "
		"is allowed, found \"\\x00\"\"\n" },
	{ "a: \"\\ud800\"", "k0@1:1 \"a\"\n! 1:5 not the number of a character that "
		"is allowed, found \"\\ud800\"\"\n" },
	{ "a: \"\\UffffFFFF\"", "k0@1:1 \"a\"\n! 1:5 not the number of a character "
		"that is allowed, found \"\\UffffFFFF\"\"\n" },
	{ "\xff\xfe" "a", "! 1:1 the file is in UTF-16, please save it as UTF-8\n" },
	{ "\xfe\xff", "! 1:1 the file is in UTF-16, please save it as UTF-8\n" },
	{ "a: b\n#\xe9", "! 2:2 not valid UTF-8, found byte 0xe9\n" },
	{ "\xc0\x80", "! 1:1 not valid UTF-8, found byte 0xc0\n" },
	{ "\xc3\xa9\xed\xa0\x80", "! 1:2 not valid UTF-8, found byte 0xed\n" },
	{ "\xf4\x90\x80\x80", "! 1:1 not valid UTF-8, found byte 0xf4\n" },
	{ "\xf8\x80\x80\x80\x80", "! 1:1 not valid UTF-8, found byte 0xf8\n" },
	{ "\xe2\x82", "! 1:1 not valid UTF-8, found byte 0xe2\n" },
	{ "a: \x01", "! 1:4 control characters are not allowed, found U+0001\n" },
	{ "a: b\r\nc: \x7f", "! 2:4 control characters are not allowed, found U+007F\n" },
	{ "a: \xef\xbb\xbf", "! 1:4 control characters are not allowed, found U+FEFF\n" },
	{ "\xc2\x85", "! 1:1 control characters are not allowed, found U+0085\n" },
	{ "\xe2\x80\xa8", "! 1:1 control characters are not allowed, found U+2028\n" },
};

static int cases;
static int failures;

static void append(char **all, char *more)
{
	char *joined = xasprintf("%s%s", *all, more);

	free(*all);
	free(more);
	*all = joined;
}

static char *shown(const struct yaml_token *token)
{
	char *quoted = yaml_quote(token->text, token->len);
	char *result = xasprintf("%c%d@%d:%d %s\n", "kvi"[token->kind],
		token->depth, token->line, token->column, quoted);

	free(quoted);
	return result;
}

/* The tokens of text[0..len), which is copied to the end of a block of its
 * own so that a sanitizer sees every byte read beyond it. */
static char *tokens_of(const char *text, size_t len)
{
	char *block = xmalloc(len + 1);
	char *all = xstrdup("");
	struct yaml yaml;
	struct yaml_token token;
	enum yaml_kind kind;

	block = xrealloc(block, len > 0 ? len : 1);
	if (len > 0)
		memcpy(block, text, len);
	yaml_init(&yaml, block, len);
	while ((kind = yaml_next(&yaml, &token)) != YAML_END) {
		if (kind == YAML_ERROR) {
			append(&all, xasprintf("! %d:%d %s\n", token.line,
				token.column, token.text));
			break;
		}
		append(&all, shown(&token));
	}
	if (yaml_next(&yaml, &token) != kind) {
		printf("not the same at the second time of asking: %s\n", text);
		failures++;
	}
	yaml_free(&yaml);
	free(block);
	return all;
}

static void expect(const char *text, size_t len, const char *tokens)
{
	char *got = tokens_of(text, len);

	cases++;
	if (strcmp(got, tokens) != 0) {
		printf("text:\n%.200s\nwanted:\n%sgot:\n%s\n", text, tokens, got);
		failures++;
	}
	free(got);
}

/* However a text is cut off, reading ends and stays within it. */
static void expect_prefixes(const char *text)
{
	size_t len;

	for (len = 0; len < strlen(text); len++) {
		free(tokens_of(text, len));
		cases++;
	}
}

static char *repeated(char c, size_t count)
{
	char *text = xmalloc(count + 1);

	memset(text, c, count);
	text[count] = '\0';
	return text;
}

static void expect_key_limit(size_t len, bool accepted)
{
	char *key = repeated('k', len);
	char *text = xasprintf("%s: b", key);
	char *got = tokens_of(text, strlen(text));

	cases++;
	if ((strstr(got, "the key is too long") == NULL) != accepted) {
		printf("a key of %lu bytes: %s\n", (unsigned long)len, got);
		failures++;
	}
	free(got);
	free(text);
	free(key);
}

static void expect_depth_limit(int depth, bool accepted)
{
	char *text = xstrdup("");
	char *got;
	int i;

	for (i = 0; i < depth; i++)
		append(&text, xasprintf("%*sk:\n", i, ""));
	got = tokens_of(text, strlen(text));
	cases++;
	if ((strstr(got, "more than 16 levels") == NULL) != accepted) {
		printf("%d levels: %s\n", depth, got);
		failures++;
	}
	free(got);
	free(text);
}

static void expect_size_limit(size_t len, const char *tokens)
{
	char *text = repeated('\n', len);

	expect(text, len, tokens);
	free(text);
}

static void expect_quote(const char *text, const char *quoted)
{
	char *got = yaml_quote(text, strlen(text));

	cases++;
	if (strcmp(got, quoted) != 0) {
		printf("quote wanted: %s\ngot: %s\n", quoted, got);
		failures++;
	}
	free(got);
}

#define FIFTY "01234567890123456789012345678901234567890123456789"

int main(void)
{
	size_t i;

	for (i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		expect(examples[i].text, strlen(examples[i].text), examples[i].tokens);
		expect_prefixes(examples[i].text);
	}
	expect("a: b\0", 5, "! 1:5 control characters are not allowed, found U+0000\n");
	expect_key_limit(YAML_MAX_KEY - 1, true);
	expect_key_limit(YAML_MAX_KEY, false);
	expect_depth_limit(YAML_MAX_DEPTH, true);
	expect_depth_limit(YAML_MAX_DEPTH + 1, false);
	expect_size_limit(YAML_MAX_SIZE, "");
	expect_size_limit((size_t)YAML_MAX_SIZE + 1, "! 1:1 larger than 16777216 bytes\n");
	expect_quote("", "\"\"");
	expect_quote("a\tb\x7f", "\"a\\x09b\\x7f\"");
	expect_quote(FIFTY "0123456789", "\"" FIFTY "0123456789\"");
	expect_quote(FIFTY "01234567890", "\"" FIFTY "0123456789...\"");
	expect_quote(FIFTY "01234567\xe2\x82\xac", "\"" FIFTY "01234567...\"");
	if (failures > 0)
		printf("unit_yaml: %d of %d cases failed\n", failures, cases);
	else
		printf("unit_yaml: %d cases ok\n", cases);
	return failures > 0;
}
