/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libconfig reads the language; this reads along with it, by the same rules as its scanner.l, for
 * what libconfig does not report: which integers did not fit and were damaged, which adjacent
 * strings became one, on which line a list's element is (libconfig has read the next word before it
 * asks for the line), that a comment or a string never ended.
 *
 * Where the two could differ, this one reports an error: it never accepts what libconfig would read
 * differently.
 */
#include "language/scan.h"

#include "base/text.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

void scan_init(struct scan *scan, const char *text, size_t len)
{
	*scan = (struct scan){.text = text, .len = len, .line = 1};
}

/* The byte at this distance ahead, or NUL past the end. */
static char peek(const struct scan *scan, size_t ahead)
{
	return ahead < scan->len - scan->at ? scan->text[scan->at + ahead] : '\0';
}

static void advance(struct scan *scan, size_t bytes)
{
	for (; bytes > 0 && scan->at < scan->len; bytes--)
		scan->line += scan->text[scan->at++] == '\n';
}

/* How many bytes to the end of the line. */
static size_t line_len(const struct scan *scan)
{
	const char *end = memchr(scan->text + scan->at, '\n', scan->len - scan->at);

	return end ? (size_t)(end - scan->text) - scan->at : scan->len - scan->at;
}

static bool starts_with(const struct scan *scan, const char *text)
{
	size_t len = strlen(text);

	return scan->len - scan->at >= len && memcmp(scan->text + scan->at, text, len) == 0;
}

/* Makes the next bytes the word. */
static void take(struct scan *scan, struct scan_word *word, enum scan_kind kind, size_t len)
{
	word->kind = kind;
	word->text = scan->text + scan->at;
	word->len = len;
	word->left = scan->len - scan->at;
	word->line = scan->line;
	advance(scan, len);
}

/* Skips a comment. False: it is unterminated; the scan stays at its beginning. */
static bool skip_comment(struct scan *scan)
{
	const char *end;

	if (!starts_with(scan, "/*")) {
		advance(scan, line_len(scan));
		return true;
	}
	end = memmem(scan->text + scan->at + 2, scan->len - scan->at - 2, "*/", 2);
	if (!end)
		return false;
	advance(scan, (size_t)(end + 2 - scan->text) - scan->at);
	return true;
}

/* Skips blanks and comments. False: at an unterminated comment. */
static bool skip_blanks(struct scan *scan)
{
	while (scan->at < scan->len) {
		if (strchr(" \t\n\r\f", peek(scan, 0)) && peek(scan, 0))
			advance(scan, 1);
		else if (peek(scan, 0) != '#' && !starts_with(scan, "//") &&
			 !starts_with(scan, "/*"))
			break;
		else if (!skip_comment(scan))
			return false;
	}
	return true;
}

static void scan_string(struct scan *scan, struct scan_word *word)
{
	size_t len = 1;

	while (scan->at + len < scan->len && peek(scan, len) != '"')
		len += peek(scan, len) == '\\' && peek(scan, len + 1) != '\n' ? 2 : 1;
	if (scan->at + len >= scan->len)
		take(scan, word, SCAN_OPEN_STRING, scan->len - scan->at);
	else
		take(scan, word, SCAN_STRING, len + 1);
}

static size_t skip_digits(const struct scan *scan, size_t at)
{
	while (isdigit((unsigned char)peek(scan, at)))
		at++;
	return at;
}

/* 0: there is no number here. */
static size_t number_len(const struct scan *scan, enum scan_kind *kind)
{
	size_t at, digits, exponent;

	*kind = SCAN_INTEGER;
	if (peek(scan, 0) == '0' && strchr("xX", peek(scan, 1)) &&
	    isxdigit((unsigned char)peek(scan, 2))) {
		for (at = 3; isxdigit((unsigned char)peek(scan, at)); at++)
			;
		return at;
	}
	at = strchr("+-", peek(scan, 0)) && peek(scan, 0) ? 1 : 0;
	digits = skip_digits(scan, at);
	if (peek(scan, digits) != '.' && digits == at)
		return 0;
	at = digits;
	if (peek(scan, at) == '.') {
		*kind = SCAN_FLOAT;
		at = skip_digits(scan, at + 1);
	}
	if (strchr("eE", peek(scan, at)) && peek(scan, at)) {
		exponent = at + 1 + (peek(scan, at + 1) == '+' || peek(scan, at + 1) == '-');
		if (isdigit((unsigned char)peek(scan, exponent))) {
			*kind = SCAN_FLOAT;
			at = skip_digits(scan, exponent);
		}
	}
	return at;
}

/* Whether an address without quotes continues here: "10.0.0.0/8". */
static bool goes_on(const struct scan *scan, size_t at)
{
	return isalnum((unsigned char)peek(scan, at)) || peek(scan, at) == '.' ||
	       (peek(scan, at) == '/' && isdigit((unsigned char)peek(scan, at + 1)));
}

/* A number and what directly follows it: "5000L", or "5s", which is valid only as a string. */
static bool scan_number(struct scan *scan, struct scan_word *word)
{
	enum scan_kind kind;
	size_t len = number_len(scan, &kind);

	if (len == 0)
		return false;
	while (goes_on(scan, len))
		len++;
	take(scan, word, kind, len);
	return true;
}

static bool scan_name(struct scan *scan, struct scan_word *word)
{
	size_t len = 0;

	if (!isalpha((unsigned char)peek(scan, 0)) && peek(scan, 0) != '*')
		return false;
	while (isalnum((unsigned char)peek(scan, len)) ||
	       (strchr("-_*", peek(scan, len)) && peek(scan, len)))
		len++;
	take(scan, word, SCAN_NAME, len);
	if ((len == 4 && strncasecmp(word->text, "true", 4) == 0) ||
	    (len == 5 && strncasecmp(word->text, "false", 5) == 0))
		word->kind = SCAN_BOOL;
	return true;
}

static bool only_blanks_before(const struct scan *scan)
{
	size_t at = scan->at;

	while (at > 0 && (scan->text[at - 1] == ' ' || scan->text[at - 1] == '\t'))
		at--;
	return at == 0 || scan->text[at - 1] == '\n';
}

/* What may follow on a line: blanks and a comment. */
static bool is_line_end(const char *text, size_t len)
{
	while (len > 0 && strchr(" \t\r", *text)) {
		text++;
		len--;
	}
	return len == 0 || *text == '#' || (len > 1 && text[0] == '/' && text[1] == '/');
}

static void scan_include(struct scan *scan, struct scan_word *word)
{
	const char *line = scan->text + scan->at, *end = line + line_len(scan);
	const char *file = line + strlen("@include"), *file_end;
	bool well = only_blanks_before(scan) && file < end && (*file == ' ' || *file == '\t');

	take(scan, word, SCAN_BAD_INCLUDE, (size_t)(end - line));
	while (file < end && (*file == ' ' || *file == '\t'))
		file++;
	if (!well || file == end || *file != '"')
		return;
	file++;
	file_end = memchr(file, '"', (size_t)(end - file));
	if (!file_end || !is_line_end(file_end + 1, (size_t)(end - file_end - 1)))
		return;
	word->kind = SCAN_INCLUDE;
	word->file = file;
	word->file_len = (size_t)(file_end - file);
}

static size_t character_len(const struct scan *scan)
{
	size_t len = text_character_len(scan->text + scan->at, scan->len - scan->at);

	return len ? len : 1;
}

void scan_next(struct scan *scan, struct scan_word *word)
{
	*word = (struct scan_word){.kind = SCAN_END};
	if (!skip_blanks(scan))
		take(scan, word, SCAN_OPEN_COMMENT, scan->len - scan->at);
	else if (scan->at == scan->len)
		take(scan, word, SCAN_END, 0);
	else if (peek(scan, 0) == '"')
		scan_string(scan, word);
	else if (starts_with(scan, "@include"))
		scan_include(scan, word);
	else if (strchr("{}()[]=:;,", peek(scan, 0)) && peek(scan, 0))
		take(scan, word, SCAN_PUNCTUATION, 1);
	else if (!scan_number(scan, word) && !scan_name(scan, word))
		take(scan, word, SCAN_GARBAGE, character_len(scan));
}
