/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Syntax errors, told well. libconfig stops at its first one with "syntax error" and the line that
 * it had read to, and leaks the string it had in hand; so it only gets to see what it will take.
 *
 * A state says what may come next, a stack which brackets are open.
 */
#include "config/grammar.h"

#include "config/check.h"
#include "config/owner.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

void grammar_done(struct grammar *grammar)
{
	index_done(&grammar->index);
}

void grammar_init(struct grammar *grammar, struct check *check)
{
	*grammar = (struct grammar){.check = check};
}

static struct grammar_bracket *innermost(struct grammar *grammar)
{
	return grammar->n_brackets ? &grammar->brackets[grammar->n_brackets - 1] : NULL;
}

static const char *expected(enum grammar_state state)
{
	switch (state) {
	case GRAMMAR_NAME:
		return "a name or '}' comes here";
	case GRAMMAR_EQUALS:
		return "'=' or ':' comes behind a name";
	case GRAMMAR_VALUE:
		return "a value comes here";
	case GRAMMAR_END:
		return "';', a name or '}' comes behind a value";
	case GRAMMAR_FIRST:
	case GRAMMAR_NEXT:
		return "a value of the list comes here";
	case GRAMMAR_COMMA:
		return "',' or the list's end comes here";
	}
	return "";
}

static int refuse(struct grammar *grammar, const struct scan_word *word, struct config_place place)
{
	check_error(grammar->check, place, "syntax error at '%.*s'; %s",
		    word->len > 60 ? 60 : (int)word->len, word->text, expected(grammar->state));
	return GRAMMAR_BROKEN;
}

/* What comes behind a whole value: depends on what it stands in. */
static void end_value(struct grammar *grammar)
{
	const struct grammar_bracket *bracket = innermost(grammar);

	grammar->state = !bracket || bracket->open == '{' ? GRAMMAR_END : GRAMMAR_COMMA;
}

static bool takes_value(const struct grammar *grammar)
{
	return grammar->state == GRAMMAR_VALUE || grammar->state == GRAMMAR_FIRST ||
	       grammar->state == GRAMMAR_NEXT;
}

static bool is_array(const struct grammar_bracket *bracket)
{
	return bracket && bracket->open == '[';
}

static int take_value(struct grammar *grammar, const struct scan_word *word,
		      struct config_place place)
{
	enum scan_kind kind = word->kind == SCAN_FLOAT ? SCAN_INTEGER : word->kind;
	struct grammar_bracket *bracket = innermost(grammar);

	if (!takes_value(grammar))
		return refuse(grammar, word, place);
	if (is_array(bracket) && bracket->kind != SCAN_END && bracket->kind != kind) {
		check_error(grammar->check, place,
			    "%.*s is of another type than what stands before it in [ ]; a list of "
			    "one type stands in [ ], of several in ( )",
			    word->len > 60 ? 60 : (int)word->len, word->text);
		return GRAMMAR_BROKEN;
	}
	if (is_array(bracket))
		bracket->kind = kind;
	end_value(grammar);
	return 0;
}

static int open_bracket(struct grammar *grammar, const struct scan_word *word,
			struct config_place place)
{
	if (!takes_value(grammar))
		return refuse(grammar, word, place);
	if (is_array(innermost(grammar))) {
		check_error(grammar->check, place,
			    "'%c' stands in [ ], which holds single values; use ( )", *word->text);
		return GRAMMAR_BROKEN;
	}
	if (grammar->n_brackets == SOURCE_NESTING_MAX) {
		check_error(grammar->check, place, "nested more than %d deep", SOURCE_NESTING_MAX);
		return GRAMMAR_BROKEN;
	}
	grammar->brackets[grammar->n_brackets++] = (struct grammar_bracket){
		.open = *word->text, .place = place, .group = ++grammar->groups};
	grammar->state = *word->text == '{' ? GRAMMAR_NAME : GRAMMAR_FIRST;
	return 0;
}

static int close_bracket(struct grammar *grammar, const struct scan_word *word,
			 struct config_place place)
{
	const struct grammar_bracket *last = innermost(grammar);
	char close = *word->text, open = close == '}' ? '{' : close == ')' ? '(' : '[', text[320];
	bool late = grammar->state == GRAMMAR_NEXT;

	if (!last) {
		check_error(grammar->check, place, "'%c' closes nothing; take it away", close);
		return GRAMMAR_BROKEN;
	}
	if (last->open != open) {
		check_error(
			grammar->check, place, "'%c' closes nothing; the '%c' of %s is still open",
			close, last->open,
			config_place_text(grammar->check->config, last->place, text, sizeof(text)));
		return GRAMMAR_BROKEN;
	}
	if (grammar->state == GRAMMAR_EQUALS || grammar->state == GRAMMAR_VALUE)
		return refuse(grammar, word, place);
	if (late)
		check_error(grammar->check, place, "a comma stands before '%c'; take it away",
			    close);
	grammar->n_brackets--;
	end_value(grammar);
	return late ? GRAMMAR_LATE : 0;
}

static int take_punctuation(struct grammar *grammar, const struct scan_word *word,
			    struct config_place place)
{
	switch (*word->text) {
	case '{':
	case '(':
	case '[':
		return open_bracket(grammar, word, place);
	case '}':
	case ')':
	case ']':
		return close_bracket(grammar, word, place);
	case '=':
	case ':':
		if (grammar->state != GRAMMAR_EQUALS)
			return refuse(grammar, word, place);
		grammar->state = GRAMMAR_VALUE;
		return 0;
	default: /* ';' and ',' */
		if (grammar->state == GRAMMAR_COMMA && *word->text == ',')
			grammar->state = GRAMMAR_NEXT;
		else if (grammar->state == GRAMMAR_END)
			grammar->state = GRAMMAR_NAME;
		else
			return refuse(grammar, word, place);
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

/* The name of a setting: once in its group. */
static int take_name(struct grammar *grammar, const struct scan_word *word,
		     struct config_place place)
{
	uint64_t group = grammar->n_brackets ? innermost(grammar)->group : 0;
	uint64_t hash = index_hash(word->text, word->len, group);
	uint32_t i;
	char text[320];

	if (grammar->state != GRAMMAR_NAME && grammar->state != GRAMMAR_END)
		return refuse(grammar, word, place);
	grammar->state = GRAMMAR_EQUALS;
	if (find_name(grammar, word, group, hash, &i)) {
		check_error(grammar->check, place,
			    "\"%.*s\" is already set at %s; keep one of them", (int)word->len,
			    word->text,
			    config_place_text(grammar->check->config, grammar->names[i].place, text,
					      sizeof(text)));
		return GRAMMAR_REPEATED;
	}
	grammar->names = owner_grow(grammar->check->scratch, grammar->names, grammar->n_names,
				    sizeof(*grammar->names));
	if (!grammar->names || index_add(&grammar->index, hash, (uint32_t)grammar->n_names) < 0)
		return -ENOMEM;
	grammar->names[grammar->n_names++] =
		(struct grammar_name){.text = word->text, .len = word->len, .group = group, .place = place};
	return 0;
}

static int refuse_byte(struct grammar *grammar, const struct scan_word *word,
		       struct config_place place)
{
	unsigned char byte = (unsigned char)*word->text;

	if (byte == '\'')
		check_error(grammar->check, place,
			    "syntax error at \"'\"; a string stands in double quotes");
	else if (byte > ' ' && byte < 0x7f)
		check_error(grammar->check, place, "syntax error at '%c'; %s", byte,
			    expected(grammar->state));
	else
		check_error(grammar->check, place, "syntax error at byte 0x%02x; %s", byte,
			    expected(grammar->state));
	return GRAMMAR_BROKEN;
}

int grammar_take(struct grammar *grammar, const struct scan_word *word, struct config_place place)
{
	switch (word->kind) {
	case SCAN_NAME:
		return take_name(grammar, word, place);
	case SCAN_BOOL:
	case SCAN_INTEGER:
	case SCAN_FLOAT:
	case SCAN_STRING:
		return take_value(grammar, word, place);
	case SCAN_PUNCTUATION:
		return take_punctuation(grammar, word, place);
	case SCAN_OPEN_STRING:
		check_error(grammar->check, place, "this string has no end; a '\"' is missing");
		return GRAMMAR_BROKEN;
	case SCAN_OPEN_COMMENT:
		check_error(grammar->check, place, "this comment has no end; \"*/\" is missing");
		return GRAMMAR_BROKEN;
	case SCAN_GARBAGE:
		return refuse_byte(grammar, word, place);
	case SCAN_INCLUDE:
	case SCAN_BAD_INCLUDE:
	case SCAN_END:
		break;
	}
	return 0;
}

int grammar_end(struct grammar *grammar, struct config_place place)
{
	const struct grammar_bracket *last = innermost(grammar);

	if (last)
		check_error(grammar->check, last->place, "this '%c' is never closed", last->open);
	else if (grammar->state == GRAMMAR_EQUALS || grammar->state == GRAMMAR_VALUE)
		check_error(grammar->check, place, "syntax error at the end; %s",
			    expected(grammar->state));
	else
		return 0;
	return GRAMMAR_BROKEN;
}
