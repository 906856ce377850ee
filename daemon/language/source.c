/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Puts a file and its includes into one text for libconfig, and finds what libconfig would accept
 * silently or damage: integers over 31 bits, strings that touch, floats, units without quotes,
 * comments without an end.
 *
 * libconfig 1.5 opens includes relative to the process's directory and reports lines only roughly;
 * here one text has one table of lines, and the canonical text of a generation, whose lines come
 * from the operator's files, is handled in the same way. A value that is refused is replaced by 0
 * and marked, so that the rest of the file is still checked.
 */
#include "language/source.h"

#include "base/arena.h"
#include "base/text.h"
#include "language/grammar.h"
#include "language/input.h"
#include "language/reader.h"
#include "language/scan.h"
#include "language/syntax.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* State that spans all included files. */
struct loader {
	struct source *source;
	struct reader *reader;
	const char *dir;		  /* of includes; NULL: none are allowed */
	const struct location *locations; /* of a text in memory */
	size_t n_locations;
	struct grammar grammar;
	bool line_begins;
	unsigned depth;		    /* of includes */
	bool stop;		    /* a syntax error: ignore everything that follows */
	enum scan_kind previous;    /* word */
	struct scan_word outermost; /* the last name outside of all groups */
};

/* One of these files. */
struct part {
	const char *text;
	size_t len;
	size_t copied; /* up to here it is in source->text */
	uint32_t file;
	unsigned line; /* of copied */
};

static struct location location_of(const struct loader *loader, const struct part *part,
				   unsigned line)
{
	if (!loader->locations)
		return (struct location){.file = part->file, .line = line};
	return line <= loader->n_locations ? loader->locations[line - 1] : (struct location){0};
}

/* A syntax error, reported already, ends the file. */
static int stop(struct loader *loader)
{
	loader->source->broken = true;
	loader->stop = true;
	return 0;
}

static int append(struct source *source, struct arena *arena, const char *text, size_t len)
{
	if (len >= source->size - source->len) {
		size_t size = 2 * (source->len + len) + 1;
		char *larger = arena_take(arena, size, 1);

		if (!larger)
			return -ENOMEM;
		if (source->len)
			memcpy(larger, source->text, source->len);
		source->text = larger;
		source->size = size;
	}
	memcpy(source->text + source->len, text, len);
	source->len += len;
	source->text[source->len] = '\0';
	return 0;
}

static int add_line(struct loader *loader, const struct part *part)
{
	struct source *source = loader->source;

	source->lines = arena_grow(loader->reader->arena, source->lines, source->n_lines,
				   sizeof(*source->lines));
	if (!source->lines)
		return -ENOMEM;
	source->lines[source->n_lines++] = location_of(loader, part, part->line);
	return 0;
}

/* Copies the part up to a point. */
static int copy_to(struct loader *loader, struct part *part, size_t end)
{
	int r;

	while (part->copied < end) {
		const char *from = part->text + part->copied, *newline;
		size_t len = end - part->copied;

		if (loader->line_begins) {
			r = add_line(loader, part);
			if (r < 0)
				return r;
		}
		newline = memchr(from, '\n', len);
		if (newline)
			len = (size_t)(newline - from) + 1;
		r = append(loader->source, loader->reader->arena, from, len);
		if (r < 0)
			return r;
		part->copied += len;
		part->line += newline != NULL;
		loader->line_begins = newline != NULL;
	}
	return 0;
}

/* Copies up to a word and replaces it. */
static int replace(struct loader *loader, struct part *part, const char *word, size_t len,
		   const char *with)
{
	size_t at = (size_t)(word - part->text);
	int r;

	r = copy_to(loader, part, at);
	if (r == 0 && loader->line_begins)
		r = add_line(loader, part);
	if (r < 0)
		return r;
	loader->line_begins = false;
	for (size_t i = 0; i < len; i++)
		part->line += word[i] == '\n';
	part->copied = at + len;
	return append(loader->source, loader->reader->arena, with, strlen(with));
}

static int add_value(struct loader *loader, struct location location, bool damaged)
{
	struct source *source = loader->source;

	source->values = arena_grow(loader->reader->arena, source->values, source->n_values,
				    sizeof(*source->values));
	if (!source->values)
		return -ENOMEM;
	source->values[source->n_values++] =
		(struct source_value){.location = location, .damaged = damaged};
	return 0;
}

/* What is wrong with a number, or NULL. */
static const char *number_fault(const struct scan_word *word, char *text, size_t size)
{
	int64_t value;
	char last = word->text[word->len - 1];
	int r;

	snprintf(text, size, "%.*s", (int)word->len, word->text);
	if (memchr(word->text, '/', word->len) || strchr(text, '.') != strrchr(text, '.'))
		return "an address is a string; put it in quotes";
	if (word->kind == SCAN_FLOAT)
		return "fractions are not supported; use a smaller unit, such as \"1500ms\"";
	r = text_parse_number(text, &value);
	if (r == 0 && value >= INT32_MIN && value <= INT32_MAX)
		return NULL;
	if (r == -EINVAL && last != 'L')
		return "a value with a unit is a string; put it in quotes";
	return "too large for an integer of this file; put it in quotes";
}

static int take_number(struct loader *loader, struct part *part, const struct scan_word *word)
{
	struct location location = location_of(loader, part, word->line);
	char text[64];
	const char *fault = number_fault(word, text, sizeof(text));
	int r;

	r = add_value(loader, location, fault != NULL);
	if (r < 0 || !fault)
		return r;
	reader_error(loader->reader, location, "%s: %s", text, fault);
	return replace(loader, part, word->text, word->len, "0");
}

/* A string must not contain NUL: libconfig would end it there. */
static bool has_nul(const struct scan_word *word)
{
	for (size_t i = 1; i + 4 < word->len; i++) {
		if (word->text[i] != '\\')
			continue;
		if ((word->text[i + 1] | 0x20) == 'x' && word->text[i + 2] == '0' &&
		    word->text[i + 3] == '0')
			return true;
		i++;
	}
	return false;
}

static int take_string(struct loader *loader, struct part *part, const struct scan_word *word)
{
	struct location location = location_of(loader, part, word->line);
	bool nul = has_nul(word);

	if (nul)
		reader_error(loader->reader, location,
			     "a string cannot contain a zero byte; remove the \\x00");
	if (loader->previous != SCAN_STRING)
		return add_value(loader, location, nul);
	reader_error(loader->reader, location,
		     "two adjacent strings; a comma is missing before %.*s",
		     word->len > 60 ? 60 : (int)word->len, word->text);
	loader->source->values[loader->source->n_values - 1].damaged = true;
	return replace(loader, part, word->text, word->len, "");
}

/* Removes the comma behind a list's last element, which libconfig 1.5 does not accept. */
static int drop_comma(struct loader *loader, struct part *part, const struct scan_word *word)
{
	size_t at = (size_t)(word->text - part->text);

	while (at > part->copied && part->text[at - 1] != ',')
		at--;
	return at > part->copied ? replace(loader, part, part->text + at - 1, 1, " ")
				 : stop(loader);
}

static int load_file(struct loader *loader, const char *path, const struct location *from);

static int take_include(struct loader *loader, struct part *part, const struct scan_word *word)
{
	struct location location = location_of(loader, part, word->line);
	struct reader *reader = loader->reader;
	char *path;
	int r;

	if (word->kind == SCAN_BAD_INCLUDE || word->file_len == 0 || !loader->dir) {
		reader_error(reader, location,
			     "not an include; write @include \"FILE\" on its own line");
		return stop(loader);
	}
	if (loader->depth == SOURCE_INCLUDES_MAX) {
		reader_error(
			reader, location,
			"includes are nested more than %d levels deep; does a file include itself?",
			SOURCE_INCLUDES_MAX);
		return stop(loader);
	}
	path = word->file[0] == '/' ? arena_copy(reader->arena, word->file, word->file_len)
				    : arena_print(reader->arena, "%s%.*s", loader->dir,
						  (int)word->file_len, word->file);
	if (!path)
		return -ENOMEM;
	r = replace(loader, part, word->text, word->len, "\n");
	if (r < 0)
		return r;
	loader->line_begins = true;
	loader->depth++;
	r = load_file(loader, path, &location);
	loader->depth--;
	return r == -ENOMEM ? r : 0;
}

/* Adds a word that the grammar accepts. */
static int take_word(struct loader *loader, struct part *part, const struct scan_word *word)
{
	switch (word->kind) {
	case SCAN_BOOL:
		return add_value(loader, location_of(loader, part, word->line), false);
	case SCAN_INTEGER:
	case SCAN_FLOAT:
		return take_number(loader, part, word);
	case SCAN_STRING:
		return take_string(loader, part, word);
	case SCAN_INCLUDE:
	case SCAN_BAD_INCLUDE:
		return take_include(loader, part, word);
	case SCAN_NAME:
	case SCAN_PUNCTUATION:
	case SCAN_OPEN_STRING:
	case SCAN_OPEN_COMMENT:
	case SCAN_GARBAGE:
	case SCAN_END:
		break;
	}
	return 0;
}

/* libconfig joins adjacent strings into one, so to the grammar the second is not a word of its
 * own. */
static bool is_joined(const struct loader *loader, const struct scan_word *word)
{
	return word->kind == SCAN_STRING && loader->previous == SCAN_STRING;
}

static int add_cut(struct loader *loader, struct part *part, const struct scan_word *word, bool end)
{
	struct source *source = loader->source;
	int r = copy_to(loader, part, (size_t)(word->text - part->text));

	if (r < 0)
		return r;
	source->cuts = arena_grow(loader->reader->arena, source->cuts, source->n_cuts,
				  sizeof(*source->cuts));
	if (!source->cuts)
		return -ENOMEM;
	source->cuts[source->n_cuts++] =
		(struct source_cut){.at = source->len,
				    .line = source->n_lines + loader->line_begins,
				    .group = loader->outermost.text,
				    .group_len = loader->outermost.len,
				    .end = end};
	return 0;
}

/* Records members of outermost groups, once the grammar has accepted the word. */
static int note_cut(struct loader *loader, struct part *part, const struct scan_word *word,
		    unsigned depth)
{
	const struct grammar *grammar = &loader->grammar;

	if (word->kind == SCAN_NAME && grammar->n_brackets == 0)
		loader->outermost = *word;
	if (word->kind == SCAN_NAME && grammar->n_brackets == 1)
		return add_cut(loader, part, word, false);
	if (depth == 1 && grammar->n_brackets == 0 && *word->text == '}')
		return add_cut(loader, part, word, true);
	return 0;
}

static int check_word(struct loader *loader, struct part *part, const struct scan_word *word)
{
	unsigned depth = loader->grammar.n_brackets;
	int r;

	if (is_joined(loader, word)) {
		struct location location = location_of(loader, part, word->line);

		syntax_note_string(&loader->grammar, word, location);
		if (!loader->grammar.string.line)
			return take_word(loader, part, word);
		syntax_fail(&loader->grammar, location, "two adjacent strings");
		return stop(loader);
	}
	r = grammar_take(&loader->grammar, word, location_of(loader, part, word->line));
	if (r == GRAMMAR_BROKEN)
		return stop(loader);
	if (r == GRAMMAR_LATE)
		return drop_comma(loader, part, word);
	if (r == GRAMMAR_REPEATED)
		loader->source->broken = true;
	if (r == 0)
		r = note_cut(loader, part, word, depth);
	return r < 0 ? r : take_word(loader, part, word);
}

static int load_part(struct loader *loader, struct part *part)
{
	struct scan scan;
	struct scan_word word;
	int r;

	scan_init(&scan, part->text, part->len);
	while (!loader->stop) {
		scan_next(&scan, &word);
		if (word.kind == SCAN_END)
			break;
		r = check_word(loader, part, &word);
		if (r < 0)
			return r;
		loader->previous = word.kind;
	}
	r = copy_to(loader, part, part->len);
	if (r < 0 || loader->line_begins)
		return r;
	loader->line_begins =
		true; /* libconfig does not accept a comment without a newline behind it */
	return append(loader->source, loader->reader->arena, "\n", 1);
}

static void report_unreadable(struct loader *loader, uint32_t file, const struct location *from,
			      int r)
{
	const char *why = r == -ESPIPE ? "it is a FIFO or a socket; a configuration must be a file"
				       : strerror(-r);

	if (from)
		reader_error(loader->reader, *from,
			     "cannot read %s: %s; names are relative to the main file's directory",
			     loader->reader->files->names[file], why);
	else
		reader_error(loader->reader, (struct location){.file = file}, "cannot be read: %s",
			     why);
}

/* A file with a byte that is not text is refused as a whole: messages would lack what follows
 * it. */
static bool is_text(struct loader *loader, const struct part *part)
{
	size_t valid = text_utf8_len(part->text, part->len);
	const char *nul = memchr(part->text, '\0', valid), *bad = nul ? nul : part->text + valid,
		   *line = part->text;
	unsigned number = 1;

	if (bad == part->text + part->len)
		return true;
	for (const char *at = part->text; at < bad; at++) {
		if (*at != '\n')
			continue;
		line = at + 1;
		number++;
	}
	if (nul)
		reader_error(loader->reader, location_of(loader, part, number),
			     "a zero byte; a configuration must be text");
	else
		syntax_refuse_byte(loader->reader, location_of(loader, part, number), line,
				   (size_t)(bad - line));
	return false;
}

/* Loads a file, included from this place (NULL: the first one). 0, -ENOMEM, or the error of reading
 * it. */
static int load_file(struct loader *loader, const char *path, const struct location *from)
{
	struct part part = {.text = "", .line = 1};
	int r;

	r = reader_add_file(loader->reader, input_is_read_once(path) ? INPUT_NAME : path,
			    &part.file);
	if (r < 0)
		return r;
	r = input_read(loader->reader->arena, path, SOURCE_MAX - loader->source->len, &part.text,
		       &part.len);
	if (r < 0 && r != -ENOMEM) {
		loader->source->broken = true;
		report_unreadable(loader, part.file, from, r);
	}
	if (r < 0)
		return r;
	return is_text(loader, &part) ? load_part(loader, &part) : stop(loader);
}

static int finish(struct loader *loader, struct location end)
{
	if (!loader->stop && grammar_end(&loader->grammar, end) == GRAMMAR_BROKEN)
		stop(loader);
	return 0;
}

int source_read(struct source *source, struct reader *reader, const char *path, const char *dir)
{
	struct loader loader = {
		.source = source, .reader = reader, .dir = dir, .line_begins = true};
	struct location end = {.file = reader->files->n};
	int r;

	*source = (struct source){0};
	grammar_init(&loader.grammar, reader);
	r = load_file(&loader, path, NULL);
	if (r >= 0)
		r = finish(&loader, end);
	grammar_done(&loader.grammar);
	return r;
}

int source_read_text(struct source *source, struct reader *reader, const char *text, size_t len,
		     const struct location *locations, size_t n_locations)
{
	struct loader loader = {.source = source,
				.reader = reader,
				.locations = locations,
				.n_locations = n_locations,
				.line_begins = true};
	struct part part = {.text = text, .len = len, .line = 1};
	int r;

	*source = (struct source){0};
	grammar_init(&loader.grammar, reader);
	r = load_part(&loader, &part);
	if (r >= 0)
		r = finish(&loader, (struct location){0});
	grammar_done(&loader.grammar);
	return r;
}
