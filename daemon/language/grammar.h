/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The grammar of libconfig 1.5, word by word: reports what is wrong and where, which libconfig does
 * not. */
#pragma once

#include "base/index.h"
#include "language/location.h"
#include "language/scan.h"

#include <stdbool.h>

struct reader;

enum { GRAMMAR_NESTING_MAX = 32 }; /* brackets in brackets */

enum grammar_state {
	GRAMMAR_NAME,	/* in a group: a name, or its end */
	GRAMMAR_EQUALS, /* behind a name */
	GRAMMAR_VALUE,	/* behind '=' */
	GRAMMAR_END,	/* behind a value in a group: ';' or ',', a name, the group's end */
	GRAMMAR_FIRST,	/* in a list: a value, or its end */
	GRAMMAR_NEXT,	/* behind ',' in a list: a value */
	GRAMMAR_COMMA,	/* behind a value in a list: ',' or its end */
};

struct grammar_bracket {
	char open;
	enum scan_kind kind; /* of an array's elements; END: none yet */
	struct location location;
	uint64_t group; /* its number */
};

struct grammar_name {
	const char *text;
	size_t len;
	uint64_t group; /* that contains it */
	struct location location;
};

struct grammar {
	struct reader *reader;
	enum grammar_state state;
	struct grammar_bracket brackets[GRAMMAR_NESTING_MAX];
	unsigned n_brackets;
	struct grammar_name *names; /* of all groups so far */
	size_t n_names;
	struct index index;	/* of them, by group and name */
	uint64_t groups;	/* how many were opened; the outermost is 0 */
	struct scan_word last;	/* that was accepted */
	struct location string; /* the last string that seems to be unterminated; line 0: none */
};

enum {
	GRAMMAR_BROKEN = 1, /* a syntax error, reported: nothing that follows can be trusted */
	GRAMMAR_REPEATED =
		2, /* a name that the group has already, reported; libconfig would stop here */
	GRAMMAR_LATE = 3, /* ')' or ']' behind a comma, reported; libconfig would not accept it */
};

void grammar_init(struct grammar *grammar, struct reader *reader);

/* Checks the next word; its text must remain valid until the end. 0, one of the above, or
 * -ENOMEM. */
int grammar_take(struct grammar *grammar, const struct scan_word *word, struct location location);

void grammar_done(struct grammar *grammar);

/* The end of the text. 0 or GRAMMAR_BROKEN. */
int grammar_end(struct grammar *grammar, struct location location);
