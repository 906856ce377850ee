/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Numbers with units as people write them, and back; percent-encoding; the word that was meant. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All parse the whole text, without blanks around it: 0 and *ret, or -EINVAL (not of this form),
 * -ERANGE (too large); *ret is untouched on error. */

/* "true", "yes", "on", "1", and their opposites. */
int text_parse_bool(const char *text, bool *ret);

/* A whole number, decimal or with 0x, perhaps with a sign. A leading 0 means nothing. */
int text_parse_number(const char *text, int64_t *ret);

/* A time span as in systemd.time(7): "250ms", "5s", "1min", "1h 30min"; without a unit, seconds.
 * Whole numbers only. In ns. */
int text_parse_duration(const char *text, int64_t *ret);

/* Bytes: "64K", "1M", "2G", "1T" (of 1024), or a number. */
int text_parse_size(const char *text, int64_t *ret);

/* A rate per second: "100/s"; K, M and G (of 1024) before the "/s"; a number without "/s" too. */
int text_parse_rate(const char *text, int64_t *ret);

/* Permission bits in octal: one to four digits, or five of which the first is 0. */
int text_parse_mode(const char *text, int64_t *ret);

/* Print what the parsers read, in the largest unit that loses nothing. Text needs TEXT_NUMBER_MAX
 * bytes. Return text. */
enum { TEXT_NUMBER_MAX = 32 };
const char *text_format_duration(int64_t ns, char *text);
const char *text_format_size(int64_t bytes, char *text);
const char *text_format_rate(int64_t per_second, char *text);

/* Decodes %XX of text, len bytes, into decoded (len + 1 bytes), NUL-terminated. 0, or -EINVAL: '%'
 * without two hex digits, or a NUL. */
int text_decode_percent(const char *text, size_t len, char *decoded);

/* Encodes what is not a plain letter, digit or one of "-._~" or of keep. Returns the length,
 * without the NUL, that it takes; never writes more than size bytes, and always a NUL where size is
 * not 0. */
size_t text_encode_percent(const char *text, const char *keep, char *encoded, size_t size);

/* How many bytes the character has that text begins with; 0 where that is no UTF-8 (RFC 3629), or
 * len is 0. */
size_t text_character_len(const char *text, size_t len);

/* How many bytes of text are UTF-8 from its beginning: len, if all of it is. */
size_t text_utf8_len(const char *text, size_t len);

/* Finds the word that was most likely meant: offer all candidates, then read best, which is NULL if
 * none is near. */
struct text_nearest {
	const char *word;
	const char *best;
	unsigned distance; /* of best */
};

void text_nearest_init(struct text_nearest *nearest, const char *word);
void text_nearest_offer(struct text_nearest *nearest, const char *candidate);

/* How many letters must be added, removed, changed or swapped with their neighbour to make one word
 * of the other; words over 63 bytes are as far apart as can be (UINT_MAX). */
unsigned text_distance(const char *a, const char *b);
