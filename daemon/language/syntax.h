/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a syntax error is told as: what was found, and what was most likely meant. */
#pragma once

#include "language/grammar.h"

/* What may come in a state. */
const char *syntax_expected(enum grammar_state state);

/* Is a value what comes next? */
bool syntax_takes_value(enum grammar_state state);

/* Reports why the file cannot be read on, or, where a string before it looks as if its end were
 * missing, that. GRAMMAR_BROKEN. */
int syntax_fail(struct grammar *grammar, struct location location, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Reports a word that has no place here. GRAMMAR_BROKEN. */
int syntax_refuse(struct grammar *grammar, const struct scan_word *word, struct location location);

/* The same of a SCAN_GARBAGE. */
int syntax_refuse_character(struct grammar *grammar, const struct scan_word *word,
			    struct location location);

/* Remembers a string that runs over the end of its line and looks like settings. */
void syntax_note_string(struct grammar *grammar, const struct scan_word *word,
			struct location location);

/* "line 3, column 7" of what is no UTF-8, where a text of len bytes has valid ones up to there; and
 * the byte. */
void syntax_refuse_byte(struct reader *reader, struct location location, const char *line,
			size_t valid);
