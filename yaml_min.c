/* SPDX-License-Identifier: Apache-2.0 */
/* yaml_min: characters to line, column, depth, key and value. */
#include "yaml_min.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Beyond the last character; no text contains it, check_characters saw to it. */
#define NOTHING '\0'

/* What a scalar may be where it stands. */
enum role { AS_KEY, AS_VALUE, AS_EITHER };

static int peek(const struct yaml *y, size_t ahead)
{
	if (ahead >= y->len - y->pos)
		return NOTHING;
	return (unsigned char)y->data[y->pos + ahead];
}

static bool is_blank(int c)
{
	return c == ' ' || c == '\t';
}

static bool is_break(int c)
{
	return c == '\n' || c == '\r';
}

static bool is_gap(int c)
{
	return is_blank(c) || is_break(c) || c == NOTHING;
}

/* Bytes since the line began: indentation is all spaces, so a column. */
static int indentation(const struct yaml *y)
{
	return (int)(y->pos - y->line_start);
}

/* For people: characters, not bytes, and from 1. */
static int column_shown(const struct yaml *y)
{
	int column = 1;
	size_t i;

	for (i = y->line_start; i < y->pos; i++)
		if (((unsigned char)y->data[i] & 0xc0) != 0x80)
			column++;
	return column;
}

/* Takes the reason over. Returns false so that callers can return it. */
static bool fail(struct yaml *y, char *reason)
{
	y->error = reason;
	y->error_line = y->line;
	y->error_column = column_shown(y);
	return false;
}

static bool fail_text(struct yaml *y, const char *reason)
{
	return fail(y, xstrdup(reason));
}

char *yaml_quote(const char *text, size_t len)
{
	enum { SHOWN = 60 };
	char *quoted = xmalloc((size_t)4 * SHOWN + sizeof("\"...\""));
	char *out = quoted;
	size_t shown = len > SHOWN ? SHOWN : len;
	size_t i;

	/* Never cut a character of several bytes in two. */
	while (shown < len && shown > 0 && ((unsigned char)text[shown] & 0xc0) == 0x80)
		shown--;
	*out++ = '"';
	for (i = 0; i < shown; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c >= 0x20 && c != 0x7f) {
			*out++ = text[i];
			continue;
		}
		*out++ = '\\';
		*out++ = 'x';
		*out++ = "0123456789abcdef"[c >> 4];
		*out++ = "0123456789abcdef"[c & 15];
	}
	if (shown < len)
		for (i = 0; i < 3; i++)
			*out++ = '.';
	*out++ = '"';
	*out = '\0';
	return quoted;
}

/* The rest of the line from the place of reading, quoted. */
static char *quote_rest(const struct yaml *y)
{
	size_t n = 0;

	while (!is_break(peek(y, n)) && peek(y, n) != NOTHING)
		n++;
	while (n > 0 && is_blank(peek(y, n - 1)))
		n--;
	return yaml_quote(y->data + y->pos, n);
}

/* The reason, and what stands at the place of reading. */
static bool fail_found(struct yaml *y, const char *reason)
{
	char *rest = quote_rest(y);
	bool result = fail(y, xasprintf("%s, found %s", reason, rest));

	free(rest);
	return result;
}

static void add(struct yaml *y, const char *bytes, size_t len)
{
	if (len > 0)
		text_add(&y->text, bytes, len);
}

static void add_newlines(struct yaml *y, int count)
{
	while (count-- > 0)
		add(y, "\n", 1);
}

/* Line folding: one break is a space, more are one newline fewer. */
static void add_folded(struct yaml *y, int breaks)
{
	if (breaks == 1)
		add(y, " ", 1);
	else
		add_newlines(y, breaks - 1);
}

static void add_utf8(struct yaml *y, uint32_t code)
{
	char c[4];
	size_t len = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
	static const unsigned char lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	size_t i;

	for (i = len - 1; i > 0; i--) {
		c[i] = (char)(0x80 | (code & 0x3f));
		code >>= 6;
	}
	c[0] = (char)(lead[len] | code);
	add(y, c, len);
}

static bool is_surrogate(uint32_t code)
{
	return code >= 0xd800 && code <= 0xdfff;
}

/* Length of the character at s (1 to 4), or 0 if it is not UTF-8 (RFC 3629:
 * shortest form, no surrogates, nothing above U+10FFFF). */
static size_t utf8_length(const unsigned char *s, size_t len, uint32_t *code)
{
	static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc0 ? 0 : s[0] < 0xe0 ? 2 :
		s[0] < 0xf0 ? 3 : s[0] < 0xf8 ? 4 : 0;
	size_t i;

	if (n == 0 || n > len)
		return 0;
	*code = n == 1 ? s[0] : s[0] & (0x7fu >> n);
	for (i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		*code = *code << 6 | (s[i] & 0x3fu);
	}
	if (*code < smallest[n] || *code > 0x10ffff || is_surrogate(*code))
		return 0;
	return n;
}

/* Control characters and what YAML 1.1 takes for line ends and YAML 1.2 for
 * letters: nobody sees those in an editor. */
static bool is_forbidden(uint32_t code)
{
	if (code < 0x20)
		return code != '\t' && code != '\n' && code != '\r';
	return (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029 ||
		code == 0xfffe || code == 0xffff;
}

static void skip_break(struct yaml *y)
{
	y->pos += peek(y, 0) == '\r' && peek(y, 1) == '\n' ? 2 : 1;
	y->line++;
	y->line_start = y->pos;
}

static bool check_characters(struct yaml *y)
{
	while (y->pos < y->len) {
		const unsigned char *s = (const unsigned char *)y->data + y->pos;
		uint32_t code = 0;
		size_t n = utf8_length(s, y->len - y->pos, &code);

		if (n == 0)
			return fail(y, xasprintf("not valid UTF-8, found byte 0x%02x", *s));
		if (is_forbidden(code) || (code == 0xfeff && indentation(y) > 0))
			return fail(y, xasprintf("control characters are not allowed, "
				"found U+%04lX", (unsigned long)code));
		if (is_break((int)code))
			skip_break(y);
		else
			y->pos += n;
	}
	return true;
}

void yaml_init(struct yaml *y, const char *data, size_t len)
{
	memset(y, 0, sizeof(*y));
	y->data = data;
	y->len = len;
	y->line = 1;
	if (len > YAML_MAX_SIZE)
		fail(y, xasprintf("larger than %d bytes", YAML_MAX_SIZE));
	else if (len >= 2 && (memcmp(data, "\xfe\xff", 2) == 0 ||
			memcmp(data, "\xff\xfe", 2) == 0))
		fail_text(y, "the file is in UTF-16, please save it as UTF-8");
	else if (check_characters(y)) {
		y->pos = 0;
		y->line_start = 0;
		y->line = 1;
	}
}

void yaml_free(struct yaml *y)
{
	text_free(&y->text);
	free(y->error);
	memset(y, 0, sizeof(*y));
}

static void skip_blanks(struct yaml *y)
{
	while (is_blank(peek(y, 0)))
		y->pos++;
}

static void skip_comment(struct yaml *y)
{
	if (peek(y, 0) != '#')
		return;
	while (!is_break(peek(y, 0)) && peek(y, 0) != NOTHING)
		y->pos++;
}

/* A byte order mark opens a file, and each further one of files that were put
 * together; it is no part of its line. */
static void skip_mark(struct yaml *y)
{
	if (indentation(y) > 0 || peek(y, 0) != 0xef || peek(y, 1) != 0xbb ||
			peek(y, 2) != 0xbf)
		return;
	y->pos += 3;
	y->line_start = y->pos;
}

/* To the first character that is neither blank nor comment, on whatever line. */
static bool skip_lines(struct yaml *y)
{
	for (;;) {
		size_t start;

		skip_mark(y);
		start = y->pos;
		skip_blanks(y);
		skip_comment(y);
		if (!is_break(peek(y, 0))) {
			if (peek(y, 0) != NOTHING && y->pos > start &&
					memchr(y->data + start, '\t', y->pos - start))
				return fail_text(y, "a tab cannot indent a line, use spaces");
			return true;
		}
		skip_break(y);
	}
}

static bool at_dash(const struct yaml *y)
{
	return peek(y, 0) == '-' && is_gap(peek(y, 1));
}

/* "---" or "..." at the start of a line. */
static bool at_document_mark(const struct yaml *y)
{
	int c = peek(y, 0);

	return indentation(y) == 0 && (c == '-' || c == '.') &&
		peek(y, 1) == c && peek(y, 2) == c && is_gap(peek(y, 3));
}

static int inner_column(const struct yaml *y)
{
	return y->level[y->depth - 1].column;
}

/* After a value only a comment may stand on its line. */
static bool finish_line(struct yaml *y)
{
	skip_blanks(y);
	skip_comment(y);
	if (is_break(peek(y, 0)) || peek(y, 0) == NOTHING)
		return true;
	if (peek(y, 0) != ':')
		return fail_found(y, "nothing may follow a value on its line");
	if (y->depth > 0 && y->level[y->depth - 1].is_list)
		return fail_found(y, "an item of a list cannot be a key "
			"(quote it if \": \" belongs to it)");
	return fail_found(y, "a value cannot be a key: either the indentation is "
		"wrong, or \": \" belongs to the value, which then needs quotes");
}

/* Add what is left of a plain scalar on this line; blanks at its end and what
 * stands behind it are not read. */
static void take_plain(struct yaml *y)
{
	size_t start = y->pos;
	size_t end = start;

	for (;;) {
		int c = peek(y, 0);

		if (c == NOTHING || is_break(c))
			break;
		if (c == ':' && is_gap(peek(y, 1)))
			break;
		if (c == '#' && y->pos > start && is_blank(y->data[y->pos - 1]))
			break;
		y->pos++;
		if (!is_blank(c))
			end = y->pos;
	}
	y->pos = end;
	add(y, y->data + start, end - start);
}

/* Does a plain scalar go on below, further right than its parent? If so, go
 * there and tell how many line ends lie between; else stay. */
static bool plain_continues(struct yaml *y, int parent, int *breaks)
{
	size_t pos = y->pos;
	size_t line_start = y->line_start;
	int line = y->line;

	*breaks = 0;
	skip_blanks(y);
	while (is_break(peek(y, 0))) {
		skip_break(y);
		++*breaks;
		while (peek(y, 0) == ' ')
			y->pos++;
		if (indentation(y) > parent)
			skip_blanks(y);
	}
	if (*breaks > 0 && indentation(y) > parent && peek(y, 0) != '#' &&
			!is_gap(peek(y, 0)))
		return true;
	y->pos = pos;
	y->line_start = line_start;
	y->line = line;
	return false;
}

static int hex_digit(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The place of reading is at the backslash of \x41 and the like. */
static bool take_hex_escape(struct yaml *y, size_t digits)
{
	uint32_t code = 0;
	size_t i;

	for (i = 0; i < digits; i++) {
		int digit = hex_digit(peek(y, 2 + i));

		if (digit < 0)
			return fail_found(y, "hexadecimal digits are missing");
		code = code << 4 | (uint32_t)digit;
	}
	if (code == 0 || code > 0x10ffff || is_surrogate(code))
		return fail_found(y, "not the number of a character that is allowed");
	add_utf8(y, code);
	y->pos += 2 + digits;
	return true;
}

static bool take_escape(struct yaml *y)
{
	static const struct { char name; uint16_t code; } escapes[] = {
		{ 'a', 7 }, { 'b', 8 }, { 't', 9 }, { '\t', 9 }, { 'n', 10 },
		{ 'v', 11 }, { 'f', 12 }, { 'r', 13 }, { 'e', 27 }, { ' ', ' ' },
		{ '"', '"' }, { '/', '/' }, { '\\', '\\' }, { 'N', 0x85 },
		{ '_', 0xa0 }, { 'L', 0x2028 }, { 'P', 0x2029 },
	};
	int c = peek(y, 1);
	size_t i;

	if (c == 'x' || c == 'u' || c == 'U')
		return take_hex_escape(y, c == 'x' ? 2 : c == 'u' ? 4 : 8);
	for (i = 0; i < sizeof(escapes) / sizeof(escapes[0]); i++) {
		if (c != escapes[i].name)
			continue;
		add_utf8(y, escapes[i].code);
		y->pos += 2;
		return true;
	}
	return fail_found(y, "unknown escape in double quotes");
}

/* Fold the line ends from here on; an escaped one leaves no space. */
static bool take_quoted_breaks(struct yaml *y, bool escaped)
{
	int breaks = 0;

	while (is_blank(peek(y, 0)) || is_break(peek(y, 0))) {
		if (is_blank(peek(y, 0))) {
			y->pos++;
			continue;
		}
		skip_break(y);
		breaks++;
		if (at_document_mark(y))
			return fail_found(y, "quotes cannot reach across documents");
	}
	if (escaped)
		add_newlines(y, breaks - 1);
	else
		add_folded(y, breaks);
	return true;
}

/* Blanks count, except before the end of a line. */
static bool take_quoted_blanks(struct yaml *y)
{
	size_t start = y->pos;

	skip_blanks(y);
	if (is_break(peek(y, 0)))
		return take_quoted_breaks(y, false);
	add(y, y->data + start, y->pos - start);
	return true;
}

/* One character or more of quoted text; not the closing quote. */
static bool take_quoted(struct yaml *y, int quote)
{
	int c = peek(y, 0);

	if (is_blank(c))
		return take_quoted_blanks(y);
	if (is_break(c))
		return take_quoted_breaks(y, false);
	if (c == '\\' && quote == '"') {
		if (!is_break(peek(y, 1)))
			return take_escape(y);
		y->pos++;
		return take_quoted_breaks(y, true);
	}
	add(y, y->data + y->pos, 1);
	y->pos += c == quote ? 2 : 1;
	return true;
}

static bool scan_quoted(struct yaml *y)
{
	int quote = peek(y, 0);
	int line = y->line;
	int column = column_shown(y);

	y->pos++;
	for (;;) {
		bool closes = peek(y, 0) == quote &&
			(quote == '"' || peek(y, 1) != quote);

		if (closes)
			break;
		if (peek(y, 0) == NOTHING) {
			fail_text(y, "this quote is never closed");
			y->error_line = line;
			y->error_column = column;
			return false;
		}
		if (!take_quoted(y, quote))
			return false;
	}
	y->pos++;
	return true;
}

/* Into the next line of a block scalar, past empty ones. An indent of 0 is
 * still to be found out from the first line with text. */
static bool enter_block_line(struct yaml *y, int parent, int *indent, int *breaks)
{
	int deepest = 0;

	for (;;) {
		while (peek(y, 0) == ' ' && (*indent == 0 || indentation(y) < *indent))
			y->pos++;
		if (indentation(y) > deepest)
			deepest = indentation(y);
		if (peek(y, 0) == '\t' && (*indent == 0 || indentation(y) < *indent))
			return fail_text(y, "a tab cannot indent a line, use spaces");
		if (!is_break(peek(y, 0)))
			break;
		skip_break(y);
		++*breaks;
	}
	if (*indent == 0)
		*indent = deepest > parent ? deepest : parent + 1;
	return true;
}

/* The lines of a block scalar, below its header. */
static bool scan_block_lines(struct yaml *y, int parent, int indent, bool folded,
	int chomp)
{
	bool had_break = false;
	bool had_blank = false;
	int breaks = 0;

	if (!enter_block_line(y, parent, &indent, &breaks))
		return false;
	while (indentation(y) == indent && peek(y, 0) != NOTHING) {
		bool has_blank = is_blank(peek(y, 0));
		size_t start;

		/* A line that starts with a blank keeps the breaks around it. */
		if (had_break && folded && !had_blank && !has_blank)
			add_folded(y, breaks + 1);
		else
			add_newlines(y, breaks + (had_break ? 1 : 0));
		breaks = 0;
		had_blank = has_blank;
		start = y->pos;
		while (!is_break(peek(y, 0)) && peek(y, 0) != NOTHING)
			y->pos++;
		add(y, y->data + start, y->pos - start);
		had_break = is_break(peek(y, 0));
		if (had_break)
			skip_break(y);
		if (!enter_block_line(y, parent, &indent, &breaks))
			return false;
	}
	if (had_break && chomp != '-')
		add_newlines(y, 1);
	if (chomp == '+')
		add_newlines(y, breaks);
	return true;
}

/* "|" or ">", then "+" or "-" and the indentation as a digit, in any order. */
static bool scan_block(struct yaml *y, int parent)
{
	bool folded = peek(y, 0) == '>';
	int chomp = 0;
	int indent = 0;

	for (;;) {
		int c;

		y->pos++;
		c = peek(y, 0);
		if ((c == '+' || c == '-') && chomp == 0)
			chomp = c;
		else if (c >= '1' && c <= '9' && indent == 0)
			indent = parent + c - '0';
		else
			break;
	}
	if (!finish_line(y))
		return false;
	if (is_break(peek(y, 0)))
		skip_break(y);
	return scan_block_lines(y, parent, indent, folded, chomp);
}

/* What characters a scalar cannot begin with, and what to say then. */
static const char *indicator_reason(const struct yaml *y, enum role role)
{
	switch (peek(y, 0)) {
	case '&': return "anchors are not supported";
	case '*': return "aliases are not supported";
	case '!': return "tags are not supported";
	case '[': case ']':
		return "lists in brackets are not supported, write one \"- item\" a line";
	case '{': case '}':
		return "mappings in braces are not supported "
			"(quote the value if the brace belongs to it)";
	case '%':
		if (indentation(y) == 0)
			return "directives are not supported";
		return "a value that begins with this character needs quotes";
	case '@': case '`': case ',':
		return "a value that begins with this character needs quotes";
	case '|': case '>':
		return role == AS_KEY ? "a key must stand here" : NULL;
	case '?':
		return is_gap(peek(y, 1)) ?
			"keys marked by \"? \" are not supported, write \"key: value\"" : NULL;
	case ':':
		return is_gap(peek(y, 1)) ? "a key is missing before \":\"" : NULL;
	case '-':
		return is_gap(peek(y, 1)) ? "an item of a list cannot begin here" : NULL;
	default:
		return NULL;
	}
}

/* If the text just read is a key, step over its colon. */
static bool take_colon(struct yaml *y)
{
	size_t pos = y->pos;

	skip_blanks(y);
	if (peek(y, 0) == ':' && is_gap(peek(y, 1))) {
		y->pos++;
		return true;
	}
	y->pos = pos;
	return false;
}

static bool fail_at(struct yaml *y, size_t pos, const char *reason)
{
	y->pos = pos;
	return fail_found(y, reason);
}

/* Read a scalar, whose parent stands in column `parent`, into y->text; *is_key
 * tells whether a colon made it a key. */
static bool scan_scalar(struct yaml *y, int parent, enum role role, bool *is_key)
{
	const char *reason = indicator_reason(y, role);
	size_t start = y->pos;
	int line = y->line;
	int c = peek(y, 0);
	bool quoted = c == '"' || c == '\'';
	int breaks;

	*is_key = false;
	y->text.len = 0;
	if (reason)
		return fail_found(y, reason);
	if (c == '|' || c == '>')
		return scan_block(y, parent);
	if (!quoted)
		take_plain(y);
	else if (!scan_quoted(y))
		return false;
	if (role != AS_VALUE && y->line == line && take_colon(y)) {
		if (y->pos - start > YAML_MAX_KEY)
			return fail_at(y, start, "the key is too long");
		*is_key = true;
		return true;
	}
	if (role == AS_KEY && y->line == line)
		return fail_at(y, start, "\"key: value\" must stand here");
	while (!quoted && plain_continues(y, parent, &breaks)) {
		add_folded(y, breaks);
		take_plain(y);
	}
	if (!finish_line(y))
		return false;
	if (role == AS_KEY)
		return fail_text(y, "a key must stand on one line");
	return true;
}

static enum yaml_kind emit(struct yaml *y, struct yaml_token *token,
	enum yaml_kind kind)
{
	text_add(&y->text, "", 1);
	token->kind = kind;
	token->depth = y->depth - 1;
	token->text = y->text.ptr;
	token->len = y->text.len - 1;
	return kind;
}

static enum yaml_kind emit_error(const struct yaml *y, struct yaml_token *token)
{
	token->kind = YAML_ERROR;
	token->line = y->error_line;
	token->column = y->error_column;
	token->depth = 0;
	token->text = y->error;
	token->len = strlen(y->error);
	return YAML_ERROR;
}

static void mark(const struct yaml *y, struct yaml_token *token)
{
	token->line = y->line;
	token->column = column_shown(y);
}

static void set_due(struct yaml *y, bool is_list)
{
	y->due = is_list ? YAML_DUE_ITEM : YAML_DUE_VALUE;
	y->due_line = y->line;
	y->due_column = column_shown(y);
}

static enum yaml_kind emit_scalar(struct yaml *y, struct yaml_token *token,
	bool is_key)
{
	bool item = y->due == YAML_DUE_ITEM;

	y->due = YAML_DUE_NOTHING;
	if (!is_key)
		return emit(y, token, item ? YAML_ITEM : YAML_VALUE);
	set_due(y, false);
	return emit(y, token, YAML_KEY);
}

/* The value or item that was due, and is not there. */
static enum yaml_kind emit_empty(struct yaml *y, struct yaml_token *token)
{
	y->text.len = 0;
	token->line = y->due_line;
	token->column = y->due_column;
	return emit_scalar(y, token, false);
}

static bool push(struct yaml *y, int column, bool is_list)
{
	if (y->depth == YAML_MAX_DEPTH)
		return fail(y, xasprintf("more than %d levels", YAML_MAX_DEPTH));
	y->level[y->depth].column = column;
	y->level[y->depth].is_list = is_list;
	y->depth++;
	return true;
}

static enum yaml_kind read_scalar(struct yaml *y, struct yaml_token *token,
	enum role role)
{
	int column = indentation(y);
	bool opens = role != AS_VALUE && (y->depth == 0 || inner_column(y) < column);
	int parent = y->depth > 0 ? inner_column(y) : 0;
	bool is_key;

	mark(y, token);
	if (!scan_scalar(y, parent, role, &is_key))
		return emit_error(y, token);
	if (is_key && opens && !push(y, column, false))
		return emit_error(y, token);
	return emit_scalar(y, token, is_key);
}

/* Something stands behind "key:" or "-" on the same line. */
static bool value_on_line(struct yaml *y)
{
	if (y->due == YAML_DUE_NOTHING || y->due_line != y->line)
		return false;
	skip_blanks(y);
	return !is_break(peek(y, 0)) && peek(y, 0) != NOTHING && peek(y, 0) != '#';
}

/* Leave the levels that end before this line. */
static bool pop_to(struct yaml *y, int column)
{
	struct yaml_level *inner;

	while (y->depth > 1 && inner_column(y) > column)
		y->depth--;
	inner = &y->level[y->depth - 1];
	if (inner->is_list && !at_dash(y) && y->depth > 1 &&
			inner->column == column && inner[-1].column == column)
		inner = &y->level[--y->depth - 1];
	if (inner->column != column)
		return fail_found(y, "the indentation matches no line above");
	if (inner->is_list && !at_dash(y))
		return fail_found(y, "\"- item\" must stand here");
	if (!inner->is_list && at_dash(y))
		return fail_found(y, "\"key: value\" must stand here");
	return true;
}

/* A list begins below the key that waits for its value, or outermost. */
static bool list_begins(const struct yaml *y, int column)
{
	if (!at_dash(y))
		return false;
	if (y->depth == 0)
		return true;
	return y->due == YAML_DUE_VALUE && inner_column(y) <= column;
}

static void take_dash(struct yaml *y)
{
	y->pos++;
	set_due(y, true);
}

enum yaml_kind yaml_next(struct yaml *y, struct yaml_token *token)
{
	int column;

	memset(token, 0, sizeof(*token));
	if (y->error)
		return emit_error(y, token);
	if (value_on_line(y))
		return read_scalar(y, token, AS_VALUE);
	if (!skip_lines(y))
		return emit_error(y, token);
	column = indentation(y);
	if (at_document_mark(y)) {
		fail_found(y, "document marks are not supported");
		return emit_error(y, token);
	}
	if (list_begins(y, column)) {
		if (!push(y, column, true))
			return emit_error(y, token);
		take_dash(y);
		return yaml_next(y, token);
	}
	if (y->due != YAML_DUE_NOTHING) {
		if (peek(y, 0) == NOTHING || column <= inner_column(y))
			return emit_empty(y, token);
		return read_scalar(y, token,
			y->due == YAML_DUE_ITEM ? AS_VALUE : AS_EITHER);
	}
	if (peek(y, 0) == NOTHING) {
		mark(y, token);
		y->text.len = 0;
		return emit(y, token, YAML_END);
	}
	if (y->depth > 0 && !pop_to(y, column))
		return emit_error(y, token);
	if (!at_dash(y))
		return read_scalar(y, token, AS_KEY);
	take_dash(y);
	return yaml_next(y, token);
}
