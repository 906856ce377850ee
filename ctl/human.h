/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Numbers as people read them, and text that a terminal can be trusted with. */
#pragma once

#include <stdint.h>
#include <stdio.h>

enum { HUMAN_NUMBER_MAX = 64 };

/* "1.5K", in powers of 1024, into text (HUMAN_NUMBER_MAX bytes). Returns text. */
const char *human_size(uint64_t bytes, char *text);

/* "4m12s": the two largest units, into text (HUMAN_NUMBER_MAX bytes). Returns text. */
const char *human_age(double seconds, char *text);

/* Writes text with every character that does not print as \xNN; newlines too. The locale decides
 * what prints. */
void human_write(const char *text, FILE *file);

/* The same for each line of text, with its newline; all but the first are indented by this many
 * blanks. Empty lines are left out. */
void human_write_lines(const char *text, int indent, FILE *file);
