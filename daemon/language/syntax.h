/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The text of a syntax error: what was found, and what was most likely meant. */
#pragma once

#include "language/grammar.h"

/* What may follow in a state. */
const char *syntax_expected(enum grammar_state state);

/* Whether a value is expected next. */
bool syntax_takes_value(enum grammar_state state);

/* Reports why reading stops here, or an earlier string that seems to be unterminated.
 * GRAMMAR_BROKEN. */
int syntax_fail(struct grammar *grammar, struct location location, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Reports a misplaced word. GRAMMAR_BROKEN. */
int syntax_refuse(struct grammar *grammar, const struct scan_word *word, struct location location);

/* The same for a SCAN_GARBAGE. */
int syntax_refuse_character(struct grammar *grammar, const struct scan_word *word,
			    struct location location);

/* Remembers a string that runs over the end of its line and looks like settings. */
void syntax_note_string(struct grammar *grammar, const struct scan_word *word,
			struct location location);

/* "line 3, column 7" of what is no UTF-8, where a text of len bytes has valid ones up to there; and
 * the byte. */
void syntax_refuse_byte(struct reader *reader, struct location location, const char *line,
			size_t valid);
