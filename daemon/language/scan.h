/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The words of libconfig 1.5's language, one by one, with their lines: to find what libconfig does
 * not report, or damages. */
#pragma once

#include <stddef.h>

enum scan_kind {
	SCAN_END,
	SCAN_NAME,
	SCAN_BOOL,
	SCAN_INTEGER,
	SCAN_FLOAT,
	SCAN_STRING,
	SCAN_PUNCTUATION,  /* one byte: { } ( ) [ ] = : ; , */
	SCAN_INCLUDE,	   /* a whole line; file is its argument, undecoded */
	SCAN_BAD_INCLUDE,  /* @include without a quoted name, or with more on its line */
	SCAN_OPEN_STRING,  /* never closed; and the scan is at its end */
	SCAN_OPEN_COMMENT, /* likewise */
	SCAN_GARBAGE,	   /* a character that has no meaning here */
};

struct scan_word {
	enum scan_kind kind;
	unsigned line; /* from 1: where it begins */
	const char *text;
	size_t len;  /* strings with their quotes; GARBAGE: one character, of several bytes perhaps
		      */
	size_t left; /* bytes from text to the end of what is scanned */
	const char *file; /* INCLUDE: what is between the quotes */
	size_t file_len;
};

struct scan {
	const char *text;
	size_t len;
	size_t at;
	unsigned line;
};

void scan_init(struct scan *scan, const char *text, size_t len);
/* The next word; always SCAN_END after the last one. */
void scan_next(struct scan *scan, struct scan_word *word);
