/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Puts a file and what it includes into one text for libconfig, and finds on the way what libconfig would let pass or damage:
 * integers over 31 bits, strings that touch, floats, units without quotes, comments without an end.
 *
 * libconfig 1.5 opens includes relative to the process's directory and tells lines only roughly; here one text has one table of
 * lines, and the canonical text of a generation, whose lines come from somewhere else entirely, is the same thing again.
 * A value that is refused is replaced by 0 and marked, so that the rest of the file is still checked.
 */
#include "config/source.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "config/check.h"
#include "config/owner.h"
#include "config/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

struct bracket {
	char open;
	struct config_place place;
	size_t n_names; /* how many names there were before it */
};

struct name {
	const char *text;
	size_t len;
	struct config_place place;
};

/* What goes on across all included files. */
struct loader {
	struct source *source;
	struct check *check;
	const char *dir; /* of includes; NULL: none are taken */
	const struct config_place *places; /* of a text at hand */
	size_t n_places;
	bool line_begins;
	unsigned depth;
	struct bracket brackets[SOURCE_NESTING_MAX];
	unsigned n_brackets;
	struct name *names; /* in all open groups */
	size_t n_names;
	bool stop; /* a syntax error: nothing that follows can be trusted */
	enum scan_kind previous;
	char previous_byte;
};

/* One file of them. */
struct part {
	const char *text;
	size_t len;
	size_t copied; /* up to here it is in source->text */
	uint32_t file;
	unsigned line; /* of copied */
};

static struct config_place place_of(const struct loader *loader, const struct part *part, unsigned line)
{
	if (!loader->places)
		return (struct config_place){.file = part->file, .line = line};
	return line <= loader->n_places ? loader->places[line - 1] : (struct config_place){0};
}

/* A syntax error ends the file. */
#define broken(loader, place, ...)                                                                 \
	do {                                                                                       \
		check_error((loader)->check, (place), __VA_ARGS__);                                \
		(loader)->source->broken = (loader)->stop = true;                                  \
	} while (0)

static int append(struct source *source, struct config_owner *owner, const char *text, size_t len)
{
	if (len >= source->size - source->len) {
		size_t size = 2 * (source->len + len) + 1;
		char *larger = owner_take(owner, size, 1);

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

	source->lines = owner_grow(loader->check->scratch, source->lines, source->n_lines, sizeof(*source->lines));
	if (!source->lines)
		return -ENOMEM;
	source->lines[source->n_lines++] = place_of(loader, part, part->line);
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
		r = append(loader->source, loader->check->scratch, from, len);
		if (r < 0)
			return r;
		part->copied += len;
		part->line += newline != NULL;
		loader->line_begins = newline != NULL;
	}
	return 0;
}

/* Copies up to a word and puts something else in its place. */
static int replace(struct loader *loader, struct part *part, const char *word, size_t len, const char *with)
{
	size_t at = (size_t)(word - part->text);
	int r;

	r = copy_to(loader, part, at);
	if (r < 0)
		return r;
	for (size_t i = 0; i < len; i++)
		part->line += word[i] == '\n';
	part->copied = at + len;
	return append(loader->source, loader->check->scratch, with, strlen(with));
}

static int add_value(struct loader *loader, struct config_place place, bool damaged)
{
	struct source *source = loader->source;

	source->values = owner_grow(loader->check->scratch, source->values, source->n_values, sizeof(*source->values));
	if (!source->values)
		return -ENOMEM;
	source->values[source->n_values++] = (struct source_value){.place = place, .damaged = damaged};
	return 0;
}

/* What is wrong with a number, or NULL. */
static const char *number_fault(const struct scan_word *word, char *text, size_t size)
{
	int64_t value;
	char last = word->text[word->len - 1];
	int r;

	snprintf(text, size, "%.*s", (int)word->len, word->text);
	if (word->kind == SCAN_FLOAT)
		return "there are no fractions; use a smaller unit, as \"1500ms\"";
	r = text_parse_number(text, &value);
	if (r == 0 && value >= INT32_MIN && value <= INT32_MAX)
		return NULL;
	if (r == -EINVAL && last != 'L')
		return "a value with a unit is a string; put it into quotes";
	return "an integer is not over 31 bits in this file; put it into quotes";
}

static int take_number(struct loader *loader, struct part *part, const struct scan_word *word)
{
	struct config_place place = place_of(loader, part, word->line);
	char text[64];
	const char *fault = number_fault(word, text, sizeof(text));
	int r;

	r = add_value(loader, place, fault != NULL);
	if (r < 0 || !fault)
		return r;
	check_error(loader->check, place, "%s: %s", text, fault);
	return replace(loader, part, word->text, word->len, "0");
}

/* A string holds no NUL: libconfig would end it there. */
static bool has_nul(const struct scan_word *word)
{
	for (size_t i = 1; i + 4 < word->len; i++) {
		if (word->text[i] != '\\')
			continue;
		if ((word->text[i + 1] | 0x20) == 'x' && word->text[i + 2] == '0' && word->text[i + 3] == '0')
			return true;
		i++;
	}
	return false;
}

static int take_string(struct loader *loader, struct part *part, const struct scan_word *word)
{
	struct config_place place = place_of(loader, part, word->line);
	bool nul = has_nul(word);

	if (nul)
		check_error(loader->check, place, "a string holds no zero byte; take the \\x00 away");
	if (loader->previous != SCAN_STRING)
		return add_value(loader, place, nul);
	check_error(loader->check, place, "two strings touch; a comma is missing before %.*s",
		    word->len > 60 ? 60 : (int)word->len, word->text);
	loader->source->values[loader->source->n_values - 1].damaged = true;
	return replace(loader, part, word->text, word->len, "");
}

/* The name of a setting: once in its group. */
static int take_name(struct loader *loader, const struct part *part, const struct scan_word *word)
{
	struct config_place place = place_of(loader, part, word->line);
	size_t i = loader->n_brackets ? loader->brackets[loader->n_brackets - 1].n_names : 0;
	char text[320];

	for (; i < loader->n_names; i++)
		if (loader->names[i].len == word->len && memcmp(loader->names[i].text, word->text, word->len) == 0)
			break;
	if (i < loader->n_names) {
		loader->source->broken = true;
		check_error(loader->check, place, "\"%.*s\" is already set at %s; keep one of them", (int)word->len,
			    word->text,
			    config_place_text(loader->check->config, loader->names[i].place, text, sizeof(text)));
	}
	loader->names = owner_grow(loader->check->scratch, loader->names, loader->n_names, sizeof(*loader->names));
	if (!loader->names)
		return -ENOMEM;
	loader->names[loader->n_names++] = (struct name){.text = word->text, .len = word->len, .place = place};
	return 0;
}

static void open_bracket(struct loader *loader, char open, struct config_place place)
{
	if (loader->n_brackets == SOURCE_NESTING_MAX)
		broken(loader, place, "nested more than %d deep", SOURCE_NESTING_MAX);
	else
		loader->brackets[loader->n_brackets++] =
			(struct bracket){.open = open, .place = place, .n_names = loader->n_names};
}

static void close_bracket(struct loader *loader, char close, struct config_place place)
{
	const struct bracket *last = loader->n_brackets ? &loader->brackets[loader->n_brackets - 1] : NULL;
	char open = close == '}' ? '{' : close == ')' ? '(' : '[', text[320];

	if (!last)
		broken(loader, place, "'%c' closes nothing; take it away", close);
	else if (last->open != open)
		broken(loader, place, "'%c' closes nothing; the '%c' of %s is still open", close, last->open,
		       config_place_text(loader->check->config, last->place, text, sizeof(text)));
	else
		loader->n_names = loader->brackets[--loader->n_brackets].n_names;
}

/* The comma behind the last element, which libconfig 1.5 does not take. */
static int drop_comma(struct loader *loader, struct part *part, const struct scan_word *word)
{
	size_t at = (size_t)(word->text - part->text);
	struct config_place place = place_of(loader, part, word->line);

	check_error(loader->check, place, "a comma stands before '%c'; take it away", *word->text);
	while (at > part->copied && part->text[at - 1] != ',')
		at--;
	return at > part->copied ? replace(loader, part, part->text + at - 1, 1, " ") : 0;
}

static int take_punctuation(struct loader *loader, struct part *part, const struct scan_word *word)
{
	struct config_place place = place_of(loader, part, word->line);
	bool comma = loader->previous == SCAN_PUNCTUATION && loader->previous_byte == ',';
	int r = 0;

	if (strchr("([{", *word->text))
		open_bracket(loader, *word->text, place);
	if (strchr(")]", *word->text) && comma)
		r = drop_comma(loader, part, word);
	if (strchr(")]}", *word->text))
		close_bracket(loader, *word->text, place);
	return r;
}

static int load_file(struct loader *loader, const char *path, const struct config_place *from);

static int take_include(struct loader *loader, struct part *part, const struct scan_word *word)
{
	struct config_place place = place_of(loader, part, word->line);
	struct check *check = loader->check;
	char *path;
	int r;

	if (word->kind == SCAN_BAD_INCLUDE || word->file_len == 0 || !loader->dir) {
		broken(loader, place, "not an include; write @include \"FILE\" on a line of its own");
		return 0;
	}
	if (loader->depth == SOURCE_INCLUDES_MAX) {
		broken(loader, place, "includes are more than %d deep; does a file include itself?",
		       SOURCE_INCLUDES_MAX);
		return 0;
	}
	path = word->file[0] == '/' ? owner_copy(check->scratch, word->file, word->file_len)
				    : owner_print(check->scratch, "%s%.*s", loader->dir, (int)word->file_len, word->file);
	if (!path)
		return -ENOMEM;
	r = replace(loader, part, word->text, word->len, "\n");
	if (r < 0)
		return r;
	loader->line_begins = true;
	loader->depth++;
	r = load_file(loader, path, &place);
	loader->depth--;
	return r == -ENOMEM ? r : 0;
}

static int take_word(struct loader *loader, struct part *part, const struct scan_word *word)
{
	struct config_place place = place_of(loader, part, word->line);

	switch (word->kind) {
	case SCAN_NAME:
		return take_name(loader, part, word);
	case SCAN_BOOL:
		return add_value(loader, place, false);
	case SCAN_INTEGER:
	case SCAN_FLOAT:
		return take_number(loader, part, word);
	case SCAN_STRING:
		return take_string(loader, part, word);
	case SCAN_PUNCTUATION:
		return take_punctuation(loader, part, word);
	case SCAN_INCLUDE:
	case SCAN_BAD_INCLUDE:
		return take_include(loader, part, word);
	case SCAN_OPEN_STRING:
		broken(loader, place, "this string has no end; a '\"' is missing");
		return 0;
	case SCAN_OPEN_COMMENT:
		broken(loader, place, "this comment has no end; \"*/\" is missing");
		return 0;
	case SCAN_GARBAGE:
		if (*word->text == '\'')
			broken(loader, place, "syntax error at \"'\"; a string stands in double quotes");
		else
			broken(loader, place, "syntax error at byte 0x%02x%s%.*s", (unsigned char)*word->text,
			       *word->text > ' ' ? ", " : "", *word->text > ' ', word->text);
		return 0;
	case SCAN_END:
		break;
	}
	return 0;
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
		r = take_word(loader, part, &word);
		if (r < 0)
			return r;
		loader->previous = word.kind;
		loader->previous_byte = word.text[0];
	}
	r = copy_to(loader, part, part->len);
	if (r < 0 || loader->line_begins)
		return r;
	loader->line_begins = true; /* libconfig takes no comment without a newline behind it */
	return append(loader->source, loader->check->scratch, "\n", 1);
}

static int read_all(struct config_owner *owner, int fd, size_t max, char **ret, size_t *ret_len)
{
	size_t len = 0, size = 0;
	char *text = NULL, *larger;
	ssize_t n;

	do {
		if (len == size) {
			size = size ? 2 * size : 16384;
			larger = owner_take(owner, size, 1);
			if (!larger)
				return -ENOMEM;
			if (len)
				memcpy(larger, text, len);
			text = larger;
		}
		n = read(fd, text + len, size - len);
		if (n < 0 && errno != EINTR)
			return -errno;
		len += n > 0 ? (size_t)n : 0;
		if (len > max)
			return -EFBIG;
	} while (n != 0);
	*ret = text;
	*ret_len = len;
	return 0;
}

/* Opens without waiting: a FIFO without a writer reads as empty. */
static int read_file(struct loader *loader, const char *path, struct part *part)
{
	_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char *text;
	int r;

	if (fd < 0)
		return -errno;
	r = read_all(loader->check->scratch, fd, SOURCE_MAX - loader->source->len, &text, &part->len);
	if (r == 0)
		part->text = text;
	return r;
}

/* Loads a file, that is included from there (NULL: the first one). 0, -ENOMEM, or why it could not be read. */
static int load_file(struct loader *loader, const char *path, const struct config_place *from)
{
	struct part part = {.line = 1};
	const char *nul;
	int r;

	r = check_add_file(loader->check, path, &part.file);
	if (r < 0)
		return r;
	r = read_file(loader, path, &part);
	if (r < 0 && r != -ENOMEM) {
		loader->source->broken = true;
		check_error(loader->check, from ? *from : (struct config_place){.file = part.file}, "cannot read %s: %s",
			    path, strerror(-r));
	}
	if (r < 0)
		return r;
	nul = memchr(part.text, '\0', part.len);
	if (!nul)
		return load_part(loader, &part);
	part.line = 1;
	for (const char *at = part.text; at < nul; at++)
		part.line += *at == '\n';
	broken(loader, place_of(loader, &part, part.line), "a zero byte; a configuration is text");
	return 0;
}

static void check_all_closed(struct loader *loader)
{
	if (!loader->stop && loader->n_brackets)
		broken(loader, loader->brackets[loader->n_brackets - 1].place, "this '%c' is never closed",
		       loader->brackets[loader->n_brackets - 1].open);
}

int source_read(struct source *source, struct check *check, const char *path, const char *dir)
{
	struct loader loader = {.source = source, .check = check, .dir = dir, .line_begins = true};
	int r;

	*source = (struct source){0};
	r = load_file(&loader, path, NULL);
	if (r < 0)
		return r;
	check_all_closed(&loader);
	return 0;
}

int source_read_text(struct source *source, struct check *check, const char *text, size_t len,
		     const struct config_place *places, size_t n_places)
{
	struct loader loader = {
		.source = source, .check = check, .places = places, .n_places = n_places, .line_begins = true};
	struct part part = {.text = text, .len = len, .line = 1};
	int r;

	*source = (struct source){0};
	r = load_part(&loader, &part);
	if (r < 0)
		return r;
	check_all_closed(&loader);
	return 0;
}
