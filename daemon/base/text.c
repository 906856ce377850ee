/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Text as people write it: numbers with units, percent-encoding, mistyped words. Nothing here
 * allocates, and nothing depends on the locale. Fractions are refused everywhere: "1500ms" says
 * what "1.5s" means.
 */
#include "base/text.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

struct unit {
	const char *name;
	int64_t factor;
};

#define US INT64_C(1000)
#define MS (1000 * US)
#define S (1000 * MS)

/* systemd.time(7); the first of each factor is the one we print. */
static const struct unit time_units[] = {
	{"d", 86400 * S},
	{"h", 3600 * S},
	{"min", 60 * S},
	{"s", S},
	{"ms", MS},
	{"us", US},
	{"ns", 1},
	{"", S},
	{"nsec", 1},
	{"usec", US},
	{"µs", US},
	{"μs", US},
	{"msec", MS},
	{"sec", S},
	{"second", S},
	{"seconds", S},
	{"m", 60 * S},
	{"minute", 60 * S},
	{"minutes", 60 * S},
	{"hr", 3600 * S},
	{"hour", 3600 * S},
	{"hours", 3600 * S},
	{"day", 86400 * S},
	{"days", 86400 * S},
	{"w", 604800 * S},
	{"week", 604800 * S},
	{"weeks", 604800 * S},
	{"M", 2629800 * S},
	{"month", 2629800 * S},
	{"months", 2629800 * S},
	{"y", 31557600 * S},
	{"year", 31557600 * S},
	{"years", 31557600 * S},
};
enum { TIME_UNITS_PRINTED = 7 };

static const struct unit size_units[] = {
	{"T", INT64_C(1) << 40}, {"G", 1 << 30}, {"M", 1 << 20}, {"K", 1 << 10}, {"", 1}, {"B", 1},
	{"k", 1 << 10},
};
enum { SIZE_UNITS_PRINTED = 5 };

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int hex_digit(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool word_is_one_of(const char *word, const char *const *words)
{
	for (; *words; words++)
		if (strcmp(word, *words) == 0)
			return true;
	return false;
}

int text_parse_bool(const char *text, bool *ret)
{
	static const char *const yes[] = {"true", "yes", "on", "1", NULL};
	static const char *const no[] = {"false", "no", "off", "0", NULL};

	if (!word_is_one_of(text, yes) && !word_is_one_of(text, no))
		return -EINVAL;
	*ret = word_is_one_of(text, yes);
	return 0;
}

/* Reads digits of this base and advances *text past them. -EINVAL: there are none. */
static int parse_digits(const char **text, int base, int64_t *ret)
{
	const char *at = *text;
	int64_t value = 0;
	int r = 0, digit;

	for (; (digit = hex_digit(*at)) >= 0 && digit < base; at++)
		if (__builtin_mul_overflow(value, base, &value) ||
		    __builtin_add_overflow(value, digit, &value))
			r = -ERANGE;
	if (at == *text)
		return -EINVAL;
	*text = at;
	*ret = value;
	return r;
}

int text_parse_number(const char *text, int64_t *ret)
{
	bool negative = *text == '-';
	int base = 10, r;
	int64_t value;

	text += *text == '-' || *text == '+';
	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
		base = 16;
		text += 2;
	}
	r = parse_digits(&text, base, &value);
	if (*text != '\0')
		return -EINVAL;
	if (r < 0)
		return r;
	*ret = negative ? -value : value;
	return 0;
}

static const struct unit *find_unit(const struct unit *units, size_t n_units, const char *name,
				    size_t len)
{
	for (size_t i = 0; i < n_units; i++)
		if (strlen(units[i].name) == len && memcmp(units[i].name, name, len) == 0)
			return &units[i];
	return NULL;
}

/* One "NUMBER UNIT" at *text, which ends where a blank, a digit or one of stop begins. */
static int parse_span(const char **text, const struct unit *units, size_t n_units, const char *stop,
		      int64_t *ret)
{
	const struct unit *unit;
	int64_t value = 0;
	size_t len = 0;
	int r;

	r = parse_digits(text, 10, &value);
	if (r == -EINVAL)
		return r;
	while (**text == ' ')
		++*text;
	while ((*text)[len] && !is_digit((*text)[len]) && !strchr(stop, (*text)[len]))
		len++;
	unit = find_unit(units, n_units, *text, len);
	if (!unit)
		return -EINVAL;
	*text += len;
	if (r < 0 || __builtin_mul_overflow(value, unit->factor, ret))
		return -ERANGE;
	return 0;
}

int text_parse_duration(const char *text, int64_t *ret)
{
	int64_t sum = 0, span;
	bool too_large = false;
	int r;

	do {
		r = parse_span(&text, time_units, N_ELEMENTS(time_units), " ", &span);
		if (r == -EINVAL)
			return r;
		too_large = too_large || r < 0 || __builtin_add_overflow(sum, span, &sum);
		if (*text == ' ' && is_digit(text[1]))
			text++;
	} while (*text);
	if (too_large)
		return -ERANGE;
	*ret = sum;
	return 0;
}

static int parse_bytes(const char **text, const char *stop, int64_t *ret)
{
	if (!is_digit(**text))
		return -EINVAL;
	return parse_span(text, size_units, N_ELEMENTS(size_units), stop, ret);
}

int text_parse_size(const char *text, int64_t *ret)
{
	int64_t value;
	int r;

	r = parse_bytes(&text, "", &value);
	if (*text)
		return -EINVAL;
	if (r == 0)
		*ret = value;
	return r;
}

int text_parse_rate(const char *text, int64_t *ret)
{
	int64_t value;
	int r;

	r = parse_bytes(&text, "/", &value);
	if (*text && strcmp(text, "/s") != 0)
		return -EINVAL;
	if (r == 0)
		*ret = value;
	return r;
}

int text_parse_mode(const char *text, int64_t *ret)
{
	size_t len = strlen(text);
	int64_t value = 0;

	if (len == 0 || len > 5 || (len == 5 && text[0] != '0'))
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '7')
			return -EINVAL;
		value = value * 8 + (*text - '0');
	}
	*ret = value;
	return 0;
}

static const char *format_unit(const struct unit *units, size_t n_units, int64_t value,
			       const char *end, char *text)
{
	size_t i = 0;

	while (i + 1 < n_units && value % units[i].factor != 0)
		i++;
	snprintf(text, TEXT_NUMBER_MAX, "%" PRId64 "%s%s", value / units[i].factor, units[i].name,
		 end);
	return text;
}

const char *text_format_duration(int64_t ns, char *text)
{
	if (ns == 0)
		return strcpy(text, "0s");
	return format_unit(time_units, TIME_UNITS_PRINTED, ns, "", text);
}

const char *text_format_size(int64_t bytes, char *text)
{
	if (bytes == 0)
		return strcpy(text, "0");
	return format_unit(size_units, SIZE_UNITS_PRINTED, bytes, "", text);
}

const char *text_format_rate(int64_t per_second, char *text)
{
	if (per_second == 0)
		return strcpy(text, "0/s");
	return format_unit(size_units, SIZE_UNITS_PRINTED, per_second, "/s", text);
}

int text_decode_percent(const char *text, size_t len, char *decoded)
{
	for (size_t i = 0; i < len; i++) {
		int high, low;

		if (text[i] != '%') {
			*decoded++ = text[i];
			continue;
		}
		if (len - i < 3)
			return -EINVAL;
		high = hex_digit(text[++i]);
		low = hex_digit(text[++i]);
		if (high < 0 || low < 0 || high + low == 0)
			return -EINVAL;
		*decoded++ = (char)(high << 4 | low);
	}
	*decoded = '\0';
	return 0;
}

static bool is_plain(char c, const char *keep)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       strchr("-._~", c) || strchr(keep, c);
}

size_t text_encode_percent(const char *text, const char *keep, char *encoded, size_t size)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t len = 0;

	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		size_t takes = is_plain(*text, keep) ? 1 : 3;

		if (len + takes < size && takes == 1)
			encoded[len] = *text;
		else if (len + takes < size)
			memcpy(encoded + len, (char[3]){'%', digits[c >> 4], digits[c & 15]}, 3);
		else if (len < size)
			encoded[len] = '\0'; /* full: only counting from here */
		len += takes;
	}
	if (len < size)
		encoded[len] = '\0';
	return len;
}

enum { WORD_MAX = 63 };

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

unsigned text_distance(const char *a, const char *b)
{
	size_t a_len = strnlen(a, WORD_MAX + 1), b_len = strnlen(b, WORD_MAX + 1);
	unsigned rows[3]
		     [WORD_MAX + 1]; /* of the table of distances between the words' beginnings */

	if (a_len > WORD_MAX || b_len > WORD_MAX)
		return UINT_MAX;
	for (size_t j = 0; j <= b_len; j++)
		rows[0][j] = (unsigned)j;
	for (size_t i = 1; i <= a_len; i++) {
		unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3],
			 *two_above = rows[(i + 1) % 3];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_len; j++) {
			row[j] = least(least(above[j], row[j - 1]) + 1,
				       above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = least(row[j], two_above[j - 2] + 1);
		}
	}
	return rows[a_len % 3][b_len];
}

size_t text_character_len(const char *text, size_t len)
{
	const unsigned char *at = (const unsigned char *)text;
	size_t more = len == 0 ? 0 : at[0] >= 0xf0 ? 3 : at[0] >= 0xe0 ? 2 : at[0] >= 0xc2 ? 1 : 0;

	if (len == 0 || (at[0] >= 0x80 && at[0] < 0xc2) || at[0] > 0xf4 || len <= more)
		return 0;
	for (size_t i = 1; i <= more; i++)
		if (at[i] < 0x80 || at[i] > 0xbf)
			return 0;
	/* too long for what it says, half a pair of UTF-16, and past the last character */
	if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
	    (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f))
		return 0;
	return 1 + more;
}

size_t text_utf8_len(const char *text, size_t len)
{
	size_t at = 0, character;

	while (at < len && (character = text_character_len(text + at, len - at)) > 0)
		at += character;
	return at;
}

void text_nearest_init(struct text_nearest *nearest, const char *word)
{
	/* A third of the letters may be wrong, at least one and at most three: a word that differs
	 * more is not a candidate. */
	unsigned limit = least(3, (unsigned)strnlen(word, WORD_MAX + 1) / 3);

	*nearest = (struct text_nearest){.word = word, .distance = (limit ? limit : 1) + 1};
}

void text_nearest_offer(struct text_nearest *nearest, const char *candidate)
{
	unsigned distance = text_distance(nearest->word, candidate);

	if (distance < nearest->distance) {
		nearest->best = candidate;
		nearest->distance = distance;
	}
}
