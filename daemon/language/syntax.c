/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Operators write the file as they know other files: without quotes, with quotes of a word
 * processor, in YAML. A syntax error names what was found, and what to write instead.
 */
#include "language/syntax.h"

#include "base/text.h"
#include "language/reader.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* How much of the file an error quotes. */
enum { QUOTED_MAX = 60 };

static const char name_rule[] =
	"a name must be a letter, a to z, then letters, digits, '-' and '_'";

const char *syntax_expected(enum grammar_state state)
{
	switch (state) {
	case GRAMMAR_NAME:
		return "expected a name or '}'";
	case GRAMMAR_EQUALS:
		return "expected '=' or ':' after a name";
	case GRAMMAR_VALUE:
		return "expected a value";
	case GRAMMAR_END:
		return "expected ';', a name or '}' after a value";
	case GRAMMAR_FIRST:
	case GRAMMAR_NEXT:
		return "expected a value of the list";
	case GRAMMAR_COMMA:
		return "expected ',' or the end of the list";
	}
	return "";
}

bool syntax_takes_value(enum grammar_state state)
{
	return state == GRAMMAR_VALUE || state == GRAMMAR_FIRST || state == GRAMMAR_NEXT;
}

int syntax_fail(struct grammar *grammar, struct location location, const char *format, ...)
{
	char text[1024];
	va_list args;

	if (grammar->string.line) {
		reader_error(grammar->reader, grammar->string,
			     "this string is not closed on its line; a '\"' is missing");
		return GRAMMAR_BROKEN;
	}
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	reader_error(grammar->reader, location, "%s", text);
	return GRAMMAR_BROKEN;
}

void syntax_note_string(struct grammar *grammar, const struct scan_word *word,
			struct location location)
{
	bool is_string = word->kind == SCAN_STRING || word->kind == SCAN_OPEN_STRING;

	if (!is_string || grammar->string.line || !memchr(word->text, '\n', word->len))
		return;
	for (size_t i = 0; i < word->len; i++)
		if (strchr("=;{}", word->text[i]) && word->text[i])
			grammar->string = location;
}

static bool is_word(const struct scan_word *word, const char *text)
{
	return word->len == strlen(text) && memcmp(word->text, text, word->len) == 0;
}

/* Whether the word begins where the last one ended. */
static bool touches(const struct grammar *grammar, const struct scan_word *word)
{
	return grammar->last.text && grammar->last.text + grammar->last.len == word->text;
}

static bool is_beside_name(char c)
{
	return isalnum((unsigned char)c) || strchr("-_.", c) || (unsigned char)c >= 0x80;
}

/* Everything meant as one name: the word with what adjoins it before and behind. */
static struct scan_word whole_name(const struct grammar *grammar, const struct scan_word *word)
{
	struct scan_word whole = *word;

	if (grammar->last.kind == SCAN_NAME && touches(grammar, word)) {
		whole.left += grammar->last.len;
		whole.text = grammar->last.text;
	}
	for (whole.len = 0; whole.len < whole.left && whole.text[whole.len] &&
			    is_beside_name(whole.text[whole.len]);)
		whole.len++;
	return whole;
}

static int quoted_len(const struct scan_word *word)
{
	return word->len > QUOTED_MAX ? (int)text_utf8_len(word->text, QUOTED_MAX) : (int)word->len;
}

/* "timeout.connect", as the manual's tables write it. */
static bool is_dotted(const struct grammar *grammar, const struct scan_word *name, size_t *dot)
{
	const char *at = memchr(name->text, '.', name->len);

	*dot = at ? (size_t)(at - name->text) : 0;
	return at && grammar->reader->keys->is_group(name->text, *dot);
}

static int refuse_name(struct grammar *grammar, const struct scan_word *word,
		       struct location location)
{
	struct scan_word name = whole_name(grammar, word);
	size_t dot;

	if (is_dotted(grammar, &name, &dot))
		return syntax_fail(grammar, location,
				   "\"%.*s\" is a key in a group; write %.*s = { %.*s = ...; };",
				   quoted_len(&name), name.text, (int)dot, name.text,
				   (int)(name.len - dot - 1), name.text + dot + 1);
	return syntax_fail(grammar, location, "\"%.*s\" is not a name; %s", quoted_len(&name),
			   name.text, name_rule);
}

/* The whole text of a word where a value is expected. */
static int refuse_unquoted(struct grammar *grammar, const struct scan_word *word,
			   struct location location)
{
	static const char *const bools[] = {"yes",     "no",	   "on",   "off",
					    "enabled", "disabled", "none", "null"};
	struct scan_word whole = *word;

	for (size_t i = 0; i < sizeof(bools) / sizeof(bools[0]); i++)
		if (is_word(word, bools[i]))
			return syntax_fail(
				grammar, location,
				"\"%s\" without quotes; write true or false, or put it in quotes if it "
				"is a string",
				bools[i]);
	for (whole.len = 0; whole.len < whole.left && whole.text[whole.len] &&
			    !strchr(" \t\r\n;,\")]}", whole.text[whole.len]);)
		whole.len++;
	return syntax_fail(grammar, location,
			   "\"%.*s\" without quotes; put a string in double quotes",
			   quoted_len(&whole), whole.text);
}

/* What follows a word on its line. */
static bool goes_on_with(const struct scan_word *word, const char *text)
{
	size_t len = strlen(text);

	return word->left - word->len >= len && memcmp(word->text + word->len, text, len) == 0;
}

/* Which other language this is, by the word that is wrong in this one; or NULL. */
static const char *guess_language(const struct grammar *grammar, const struct scan_word *word)
{
	bool is_outside = grammar->n_brackets == 0 &&
			  (grammar->state == GRAMMAR_NAME || grammar->state == GRAMMAR_END);
	bool is_behind_colon = grammar->state == GRAMMAR_VALUE && is_word(&grammar->last, ":");

	if (is_outside && is_word(word, "{"))
		return "JSON";
	if (is_outside && is_word(word, "["))
		return "INI or TOML";
	if (is_outside && is_word(word, "<"))
		return "XML";
	if (is_outside && (is_word(word, "-") || is_word(word, "%")))
		return "YAML";
	if (is_behind_colon && is_word(word, "-"))
		return "YAML";
	if (is_behind_colon && word->kind == SCAN_NAME && goes_on_with(word, ":") &&
	    !goes_on_with(word, "://"))
		return "YAML";
	return NULL;
}

/* A second value behind "NAME = VALUE,". */
static bool is_second_value(const struct grammar *grammar, const struct scan_word *word)
{
	return grammar->state == GRAMMAR_NAME && is_word(&grammar->last, ",") && grammar->n_names &&
	       (word->kind == SCAN_STRING || word->kind == SCAN_INTEGER || is_word(word, "{") ||
		is_word(word, "("));
}

static int refuse_second_value(struct grammar *grammar, struct location location)
{
	const struct grammar_name *name = &grammar->names[grammar->n_names - 1];

	return syntax_fail(grammar, location,
			   "write several %s in ( ), such as %.*s = ( \"...\", \"...\" );",
			   grammar->reader->keys->name_values(name->text, name->len),
			   (int)name->len, name->text);
}

static bool takes_name(const struct grammar *grammar)
{
	return grammar->state == GRAMMAR_NAME || grammar->state == GRAMMAR_END;
}

static bool is_number(const struct scan_word *word)
{
	return word->kind == SCAN_INTEGER || word->kind == SCAN_FLOAT;
}

int syntax_refuse(struct grammar *grammar, const struct scan_word *word, struct location location)
{
	const char *language = guess_language(grammar, word);

	if (language)
		return syntax_fail(grammar, location,
				   "this looks like %s; the format is libconfig's: %s", language,
				   grammar->reader->keys->example);
	if (is_second_value(grammar, word))
		return refuse_second_value(grammar, location);
	if ((word->kind == SCAN_NAME || is_word(word, ":")) && syntax_takes_value(grammar->state))
		return refuse_unquoted(grammar, word, location);
	if (is_number(word) &&
	    (takes_name(grammar) || (grammar->state == GRAMMAR_EQUALS && touches(grammar, word))))
		return refuse_name(grammar, word, location);
	if (word->kind == SCAN_STRING && takes_name(grammar))
		return syntax_fail(grammar, location, "%.*s in quotes; write a name without quotes",
				   quoted_len(word), word->text);
	if (grammar->state == GRAMMAR_EQUALS && is_word(word, "{"))
		return syntax_fail(
			grammar, location,
			"syntax error at '{'; expected ':' between a name and its group, such as %.*s: { ... };",
			(int)grammar->last.len, grammar->last.text);
	return syntax_fail(grammar, location, "syntax error at '%.*s'; %s", quoted_len(word),
			   word->text, syntax_expected(grammar->state));
}

static uint32_t code_point(const char *text, size_t len)
{
	const unsigned char *at = (const unsigned char *)text;

	switch (len) {
	case 2:
		return (uint32_t)(at[0] & 0x1f) << 6 | (at[1] & 0x3f);
	case 3:
		return (uint32_t)(at[0] & 0x0f) << 12 | (uint32_t)(at[1] & 0x3f) << 6 |
		       (at[2] & 0x3f);
	case 4:
		return (uint32_t)(at[0] & 0x07) << 18 | (uint32_t)(at[1] & 0x3f) << 12 |
		       (uint32_t)(at[2] & 0x3f) << 6 | (at[3] & 0x3f);
	}
	return at[0];
}

/* Characters that word processors and web pages put into a file. */
static const struct {
	uint32_t first, last;
	const char *name, *remedy;
} characters[] = {
	{0xa0, 0xa0, "a no-break space", "write a plain one"},
	{0xab, 0xab, "a typographic quotation mark", "write a plain one, '\"'"},
	{0xbb, 0xbb, "a typographic quotation mark", "write a plain one, '\"'"},
	{0x1680, 0x1680, "a typographic space", "write a plain one"},
	{0x2000, 0x200a, "a typographic space", "write a plain one"},
	{0x200b, 0x200f, "a zero-width character", "remove it"},
	{0x2010, 0x2015, "a typographic dash", "write a plain one, '-'"},
	{0x2018, 0x201f, "a typographic quotation mark", "write a plain one, '\"'"},
	{0x2028, 0x2029, "a line separator", "write a plain newline"},
	{0x202a, 0x202e, "a text direction mark", "remove it"},
	{0x202f, 0x202f, "a no-break space", "write a plain one"},
	{0x2032, 0x2036, "a typographic quotation mark", "write a plain one, '\"'"},
	{0x2060, 0x2064, "a zero-width character", "remove it"},
	{0x3000, 0x3000, "an ideographic space", "write a plain one"},
	{0xfeff, 0xfeff, "a byte order mark, or BOM", "save the file as UTF-8 without it"},
};

int syntax_refuse_character(struct grammar *grammar, const struct scan_word *word,
			    struct location location)
{
	uint32_t code = code_point(word->text, word->len);
	unsigned char byte = (unsigned char)*word->text;
	const char *language = guess_language(grammar, word);

	if (language)
		return syntax_refuse(grammar, word, location);
	for (size_t i = 0; i < sizeof(characters) / sizeof(characters[0]); i++)
		if (code >= characters[i].first && code <= characters[i].last)
			return syntax_fail(grammar, location, "%s (U+%04X); %s", characters[i].name,
					   code, characters[i].remedy);
	if (byte == '\'')
		return syntax_fail(grammar, location,
				   "syntax error at \"'\"; put a string in double quotes");
	if (syntax_takes_value(grammar->state) && byte > ' ' && byte != 0x7f)
		return refuse_unquoted(grammar, word, location);
	if ((takes_name(grammar) && (byte >= 0x80 || byte == '_')) ||
	    (grammar->state == GRAMMAR_EQUALS && touches(grammar, word)))
		return refuse_name(grammar, word, location);
	if (byte <= ' ' || byte == 0x7f)
		return syntax_fail(grammar, location, "syntax error at byte 0x%02x; %s", byte,
				   syntax_expected(grammar->state));
	return syntax_fail(grammar, location, "syntax error at '%.*s'; %s", (int)word->len,
			   word->text, syntax_expected(grammar->state));
}

void syntax_refuse_byte(struct reader *reader, struct location location, const char *line,
			size_t valid)
{
	unsigned column = 1;

	for (size_t i = 0; i < valid; i++)
		column += ((unsigned char)line[i] & 0xc0) != 0x80;
	reader_error(reader, location,
		     "column %u: byte 0x%02x is not UTF-8; save the file as UTF-8", column,
		     (unsigned char)line[valid]);
}
