/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Precise syntax errors. libconfig stops at the first one with "syntax error" and the line that it
 * had read to, and leaks the string it was reading; so it only gets text that it will accept.
 *
 * The state determines what may come next, and a stack which brackets are open.
 */
#include "language/grammar.h"

#include "base/arena.h"
#include "language/reader.h"
#include "language/syntax.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

void grammar_done(struct grammar *grammar)
{
	index_done(&grammar->index);
}

void grammar_init(struct grammar *grammar, struct reader *reader)
{
	*grammar = (struct grammar){.reader = reader};
}

static struct grammar_bracket *innermost(struct grammar *grammar)
{
	return grammar->n_brackets ? &grammar->brackets[grammar->n_brackets - 1] : NULL;
}

/* What may follow a whole value: depends on what contains it. */
static void end_value(struct grammar *grammar)
{
	const struct grammar_bracket *bracket = innermost(grammar);

	grammar->state = !bracket || bracket->open == '{' ? GRAMMAR_END : GRAMMAR_COMMA;
}

static bool is_array(const struct grammar_bracket *bracket)
{
	return bracket && bracket->open == '[';
}

static int take_value(struct grammar *grammar, const struct scan_word *word,
		      struct location location)
{
	enum scan_kind kind = word->kind == SCAN_FLOAT ? SCAN_INTEGER : word->kind;
	struct grammar_bracket *bracket = innermost(grammar);

	if (!syntax_takes_value(grammar->state))
		return syntax_refuse(grammar, word, location);
	if (is_array(bracket) && bracket->kind != SCAN_END && bracket->kind != kind)
		return syntax_fail(
			grammar, location,
			"%.*s has another type than the value before it in [ ]; the values in [ ] "
			"must have the same type, use ( ) for several types",
			word->len > 60 ? 60 : (int)word->len, word->text);
	if (is_array(bracket))
		bracket->kind = kind;
	end_value(grammar);
	return 0;
}

static int open_bracket(struct grammar *grammar, const struct scan_word *word,
			struct location location)
{
	if (!syntax_takes_value(grammar->state))
		return syntax_refuse(grammar, word, location);
	if (is_array(innermost(grammar)))
		return syntax_fail(grammar, location,
				   "'%c' in [ ], which may contain only single values; use ( )",
				   *word->text);
	if (grammar->n_brackets == GRAMMAR_NESTING_MAX)
		return syntax_fail(grammar, location, "nested more than %d levels deep",
				   GRAMMAR_NESTING_MAX);
	grammar->brackets[grammar->n_brackets++] = (struct grammar_bracket){
		.open = *word->text, .location = location, .group = ++grammar->groups};
	grammar->state = *word->text == '{' ? GRAMMAR_NAME : GRAMMAR_FIRST;
	return 0;
}

static int close_bracket(struct grammar *grammar, const struct scan_word *word,
			 struct location location)
{
	const struct grammar_bracket *last = innermost(grammar);
	char close = *word->text, open = close == '}' ? '{' : close == ')' ? '(' : '[', text[320];
	bool late = grammar->state == GRAMMAR_NEXT;

	if (!last)
		return syntax_fail(grammar, location, "'%c' closes nothing; remove it", close);
	if (last->open != open)
		return syntax_fail(
			grammar, location, "'%c' closes nothing; the '%c' of %s is still open",
			close, last->open,
			location_text(grammar->reader->files, last->location, text, sizeof(text)));
	if (grammar->state == GRAMMAR_EQUALS || grammar->state == GRAMMAR_VALUE)
		return syntax_refuse(grammar, word, location);
	if (late)
		reader_error(grammar->reader, location, "a comma before '%c'; remove it", close);
	grammar->n_brackets--;
	end_value(grammar);
	return late ? GRAMMAR_LATE : 0;
}

static int take_punctuation(struct grammar *grammar, const struct scan_word *word,
			    struct location location)
{
	switch (*word->text) {
	case '{':
	case '(':
	case '[':
		return open_bracket(grammar, word, location);
	case '}':
	case ')':
	case ']':
		return close_bracket(grammar, word, location);
	case '=':
	case ':':
		if (grammar->state != GRAMMAR_EQUALS)
			return syntax_refuse(grammar, word, location);
		grammar->state = GRAMMAR_VALUE;
		return 0;
	default: /* ';' and ',' */
		if (grammar->state == GRAMMAR_COMMA && *word->text == ',')
			grammar->state = GRAMMAR_NEXT;
		else if (grammar->state == GRAMMAR_END)
			grammar->state = GRAMMAR_NAME;
		else
			return syntax_refuse(grammar, word, location);
		return 0;
	}
}

static bool find_name(const struct grammar *grammar, const struct scan_word *word, uint64_t group,
		      uint64_t hash, uint32_t *ret)
{
	for (size_t at = 0; index_next(&grammar->index, hash, &at, ret);)
		if (grammar->names[*ret].group == group && grammar->names[*ret].len == word->len &&
		    memcmp(grammar->names[*ret].text, word->text, word->len) == 0)
			return true;
	return false;
}

/* The name of a setting: unique in its group. */
static int take_name(struct grammar *grammar, const struct scan_word *word,
		     struct location location)
{
	uint64_t group = grammar->n_brackets ? innermost(grammar)->group : 0;
	uint64_t hash = index_hash(word->text, word->len, group);
	uint32_t i;
	char text[320];

	if (grammar->state != GRAMMAR_NAME && grammar->state != GRAMMAR_END)
		return syntax_refuse(grammar, word, location);
	grammar->state = GRAMMAR_EQUALS;
	if (find_name(grammar, word, group, hash, &i)) {
		if (grammar->string.line)
			return syntax_fail(grammar, location, "\"%.*s\" is set twice",
					   (int)word->len, word->text);
		reader_error(grammar->reader, location,
			     "\"%.*s\" is already set at %s; keep one of them", (int)word->len,
			     word->text,
			     location_text(grammar->reader->files, grammar->names[i].location, text,
					   sizeof(text)));
		return GRAMMAR_REPEATED;
	}
	grammar->names = arena_grow(grammar->reader->arena, grammar->names, grammar->n_names,
				    sizeof(*grammar->names));
	if (!grammar->names || index_add(&grammar->index, hash, (uint32_t)grammar->n_names) < 0)
		return -ENOMEM;
	grammar->names[grammar->n_names++] = (struct grammar_name){
		.text = word->text, .len = word->len, .group = group, .location = location};
	return 0;
}

static int take_word(struct grammar *grammar, const struct scan_word *word,
		     struct location location)
{
	switch (word->kind) {
	case SCAN_NAME:
		return take_name(grammar, word, location);
	case SCAN_BOOL:
	case SCAN_INTEGER:
	case SCAN_FLOAT:
	case SCAN_STRING:
		return take_value(grammar, word, location);
	case SCAN_PUNCTUATION:
		return take_punctuation(grammar, word, location);
	case SCAN_OPEN_STRING:
		return syntax_fail(grammar, location,
				   "this string is not closed; a '\"' is missing");
	case SCAN_OPEN_COMMENT:
		return syntax_fail(grammar, location,
				   "this comment is not closed; \"*/\" is missing");
	case SCAN_GARBAGE:
		return syntax_refuse_character(grammar, word, location);
	case SCAN_INCLUDE:
	case SCAN_BAD_INCLUDE:
	case SCAN_END:
		break;
	}
	return 0;
}

int grammar_take(struct grammar *grammar, const struct scan_word *word, struct location location)
{
	int r = take_word(grammar, word, location);

	syntax_note_string(grammar, word, location);
	grammar->last = *word;
	return r;
}

int grammar_end(struct grammar *grammar, struct location location)
{
	const struct grammar_bracket *last = innermost(grammar);

	if (last)
		return syntax_fail(grammar, last->location, "this '%c' is never closed",
				   last->open);
	if (grammar->state == GRAMMAR_EQUALS || grammar->state == GRAMMAR_VALUE)
		return syntax_fail(grammar, location, "syntax error at the end; %s",
				   syntax_expected(grammar->state));
	return 0;
}
