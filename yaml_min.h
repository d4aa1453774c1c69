/* SPDX-License-Identifier: Apache-2.0 */
/* yaml_min: the part of YAML that configurations use, as a row of tokens. */
#ifndef YAML_MIN_H
#define YAML_MIN_H

#include <stdbool.h>
#include <stddef.h>

#include "util.h"

/*
 * Read: UTF-8 with or without byte order marks, any line end, comments,
 * mappings in mappings, lists of scalars (also in the column of their key),
 * and scalars of all five kinds: plain, 'single', "double", | and >.
 * Refused, with line and column: directives, documents, tags, anchors,
 * aliases, flow collections, "? " keys, lists and mappings within lists, tabs
 * as indentation, UTF-16, control characters, and NUL in any disguise.
 */
enum {
	YAML_MAX_SIZE = 16 << 20, /* bytes of a text */
	YAML_MAX_DEPTH = 16,      /* mappings and lists within each other */
	YAML_MAX_KEY = 1024,      /* bytes of a key as written */
};

enum yaml_kind {
	YAML_KEY,   /* what follows is its YAML_VALUE, or deeper keys or items */
	YAML_VALUE, /* the scalar of the last key; "" where nothing stands */
	YAML_ITEM,  /* a scalar of the list below the last key; may be "" */
	YAML_END,
	YAML_ERROR, /* text is the reason; the same again on every later call */
};

struct yaml_token {
	enum yaml_kind kind;
	int line;         /* of the first character, from 1 */
	int column;       /* in characters, from 1 */
	int depth;        /* outermost keys and their values 0; items of a list
			   * are one deeper than the key above them */
	const char *text; /* NUL-terminated, valid until the next call */
	size_t len;
};

/* What stands open around the place of reading. */
struct yaml_level {
	int column;
	bool is_list;
};

/* Private to yaml_min.c; here so that it can live on the caller's stack. */
struct yaml {
	const char *data;
	size_t len;
	size_t pos;
	size_t line_start;
	int line;
	struct yaml_level level[YAML_MAX_DEPTH];
	int depth;
	enum { YAML_DUE_NOTHING, YAML_DUE_VALUE, YAML_DUE_ITEM } due;
	int due_line;
	int due_column;
	struct text text; /* of the scalar being read */
	char *error;
	int error_line;
	int error_column;
};

/* Start to read data[0..len), which must outlive the reading. */
void yaml_init(struct yaml *y, const char *data, size_t len);
/* Fill *token with what comes next and return its kind. */
enum yaml_kind yaml_next(struct yaml *y, struct yaml_token *token);
void yaml_free(struct yaml *y);

/* The text in double quotes for a message, control characters escaped and
 * cut where it gets long. The caller frees it. */
char *yaml_quote(const char *text, size_t len);

#endif
