/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A plugin's description, checked before it is used and copied so that the rest of the daemon may
 * index its tables as C does. Nothing of a description is read before the sizes and strides that
 * locate it. A mistake here is a programmer's: the text names the row or the option, and only the
 * first one is reported.
 */
#include "net/plugin.h"

#include "net/capture.h"
#include "net/family.h"
#include "net/network.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int plugin_refuse(char **why, int r, const char *format, ...)
{
	va_list args;

	free(*why);
	va_start(args, format);
	if (vasprintf(why, format, args) < 0)
		*why = NULL;
	va_end(args);
	return r;
}

/* Of any struct. */
enum { SIZE_LIMIT = 4096 };

/* A descriptor must reach up to here: the two mandatory callbacks. Members behind count as NULL if
 * a plugin's own struct ends before them. */
enum { PLUGIN_SIZE_MIN = 112 };

/* The frozen sizes of ABI 2.0 hold on every architecture; members added at the tail make sizeof
 * larger.
 */
#define AT_LEAST(tag, size) \
	_Static_assert(sizeof(struct spliced_##tag) >= (size), "spliced_" #tag " grows at its tail")
AT_LEAST(plugin, SPLICED_PLUGIN_SIZE_2_0);
AT_LEAST(row, SPLICED_ROW_SIZE_2_0);
AT_LEAST(option, SPLICED_OPTION_SIZE_2_0);
AT_LEAST(format, SPLICED_FORMAT_SIZE_2_0);
_Static_assert(offsetof(struct spliced_plugin, privileges) == PLUGIN_SIZE_MIN,
	       "address and describe come first");

/* The known traits of a row and flags of an option. */
enum { TRAIT_FIRST = 32, TRAIT_END = 64 };
static const uint32_t option_flags = SPLICED_REQUIRED | SPLICED_LIVE | SPLICED_REOPEN;

static bool is_word(const char *text, const char *more)
{
	if (!text || !islower((unsigned char)*text))
		return false;
	for (text++; *text; text++)
		if (!islower((unsigned char)*text) && !isdigit((unsigned char)*text) &&
		    !strchr(more, *text))
			return false;
	return true;
}

static bool stride_is_sane(uint32_t stride, size_t min)
{
	return stride >= min && stride <= SIZE_LIMIT && stride % sizeof(uint64_t) == 0;
}

static int check_abi(const struct spliced_plugin *plugin, char **why)
{
	if (plugin->abi_major != SPLICED_ABI_MAJOR)
		return plugin_refuse(
			why, -EPROTO, "built for ABI %u.%u, this spliced supports %u.%u: %s",
			plugin->abi_major, plugin->abi_minor, SPLICED_ABI_MAJOR, SPLICED_ABI_MINOR,
			plugin->abi_major > SPLICED_ABI_MAJOR
				? "upgrade spliced"
				: "compile the plugin again with this release's <spliced/plugin.h>");
	if (plugin->abi_needs > SPLICED_ABI_MINOR)
		return plugin_refuse(
			why, -EPROTO,
			"needs ABI %u.%u, this spliced supports %u.%u: upgrade spliced",
			plugin->abi_major, plugin->abi_needs, SPLICED_ABI_MAJOR, SPLICED_ABI_MINOR);
	if (plugin->abi_needs > plugin->abi_minor)
		return plugin_refuse(why, -EINVAL, "needs ABI %u.%u, but was built for %u.%u",
				     plugin->abi_major, plugin->abi_needs, plugin->abi_major,
				     plugin->abi_minor);
	if (plugin->size < PLUGIN_SIZE_MIN || plugin->size > SIZE_LIMIT ||
	    !stride_is_sane(plugin->row_stride, SPLICED_ROW_SIZE_2_0) ||
	    !stride_is_sane(plugin->option_stride, SPLICED_OPTION_SIZE_2_0))
		return plugin_refuse(why, -EINVAL,
				     "its size (%u) and strides (%u, %u) are not those of any ABI",
				     plugin->size, plugin->row_stride, plugin->option_stride);
	return 0;
}

/* Declared, but not used yet: refused, because they would never be called. */
static int check_unstable(const struct spliced_unstable *unstable, char **why)
{
	const char *what = NULL;

	if (!unstable)
		return 0;
	if (unstable->size < sizeof *unstable)
		what = "unstable";
	else if (unstable->decode)
		what = "decode()";
	else if (unstable->program)
		what = "program()";
	else if (unstable->openings || unstable->n_openings)
		what = "openings";
	else if (unstable->framings || unstable->n_framings)
		what = "framings";
	return what ? plugin_refuse(why, -EPROTO,
				    "has %s, which this spliced does not use yet: leave it out",
				    what)
		    : 0;
}

static int check_plugin(const struct spliced_plugin *plugin, const char *name, char **why)
{
	if (!plugin->name || strcmp(plugin->name, name) != 0)
		return plugin_refuse(why, -EINVAL,
				     "has the name \"%s\": the file must have the family's name",
				     plugin->name ? plugin->name : "");
	if (!plugin->n_rows)
		return plugin_refuse(
			why, -EINVAL,
			"has no rows: formats and other tables belong to the rows of their own "
			"plugin; declare every row, also those that a machine may lack (a route "
			"waits for what socket(2) refuses)");
	if (plugin->n_rows > FAMILY_ROWS_MAX || !plugin->rows)
		return plugin_refuse(why, -EINVAL, "has %u rows: 1 to %d are possible",
				     plugin->n_rows, FAMILY_ROWS_MAX);
	if (plugin->n_options > FAMILY_OPTIONS_MAX || (plugin->n_options && !plugin->options))
		return plugin_refuse(why, -EINVAL, "has %u options: at most %d are possible",
				     plugin->n_options, FAMILY_OPTIONS_MAX);
	if (!plugin->address || !plugin->describe)
		return plugin_refuse(why, -EINVAL,
				     "lacks address() or describe(), which every family needs");
	if (check_unstable(plugin->unstable, why) < 0)
		return -EPROTO;
	if (!plugin->rule != !plugin->match)
		return plugin_refuse(why, -EINVAL, "has only one of rule() and match()");
	if (!plugin->summary || !*plugin->summary)
		return plugin_refuse(why, -EINVAL, "has no summary");
	if (plugin->n_formats > FAMILY_FORMATS_MAX || (plugin->n_formats && !plugin->formats))
		return plugin_refuse(why, -EINVAL, "has %u formats: at most %d are possible",
				     plugin->n_formats, FAMILY_FORMATS_MAX);
	if (plugin->n_formats && !stride_is_sane(plugin->format_stride, SPLICED_FORMAT_SIZE_2_0))
		return plugin_refuse(why, -EINVAL,
				     "its formats' stride (%u) is not that of any ABI",
				     plugin->format_stride);
	if (plugin->n_counters > FAMILY_COUNTERS_MAX || (plugin->n_counters && !plugin->counters))
		return plugin_refuse(why, -EINVAL, "has %u counters: at most %d are possible",
				     plugin->n_counters, FAMILY_COUNTERS_MAX);
	if (plugin->n_counters && !stride_is_sane(plugin->counter_stride, SPLICED_COUNTER_SIZE_2_1))
		return plugin_refuse(why, -EINVAL,
				     "its counters' stride (%u) is not that of any ABI",
				     plugin->counter_stride);
	return 0;
}

static int find_option(const struct family *family, const char *name, size_t len)
{
	for (uint32_t i = 0; i < family->plugin.n_options; i++)
		if (strlen(family->options[i].name) == len &&
		    !strncasecmp(family->options[i].name, name, len))
			return (int)i;
	return -1;
}

/* The words in capitals are options, or the row's protocol. */
static bool pattern_is_sane(const struct family *family, const char *pattern)
{
	size_t len;

	while (*pattern) {
		for (len = 0; isupper((unsigned char)pattern[len]) || pattern[len] == '_'; len++)
			;
		if (len && find_option(family, pattern, len) < 0 &&
		    strncmp(pattern, "PROTOCOL", len) != 0)
			return false;
		pattern += len ? len : 1;
	}
	return true;
}

/* The nth word of names, which has them in the order of their bits; "" where there are fewer. */
static int word_at(const char *names, unsigned n, const char **word)
{
	*word = names ? names : "";
	for (; n && **word; n--) {
		*word += strcspn(*word, " ");
		*word += strspn(*word, " ");
	}
	return (int)strcspn(*word, " ");
}

/* Unlike a capability, a trait must be known: it changes how the sockets are used. Its name is in
 * the plugin's own header. */
static int check_traits(const struct family *family, uint32_t number, char **why)
{
	const char *word;
	int len;

	for (unsigned bit = TRAIT_FIRST; bit < TRAIT_END; bit++) {
		if (!(family->rows[number].capabilities & UINT64_C(1) << bit) ||
		    word_at(SPLICED_TRAIT_NAMES, bit - TRAIT_FIRST, &word))
			continue;
		len = word_at(family->plugin.trait_names, bit - TRAIT_FIRST, &word);
		return plugin_refuse(
			why, -EPROTO,
			"row %u: has the trait \"%.*s\" (bit %u), which this spliced does not "
			"know: upgrade spliced",
			number, len ? len : 1, len ? word : "?", bit);
	}
	return 0;
}

/* A file is opened, and nothing specific to sockets applies. */
static int check_file(const struct family *family, uint32_t number, char **why)
{
	const uint64_t possible =
		SPLICED_FILE | SPLICED_CAN_CONNECT | SPLICED_BOUNDARIES | SPLICED_RELIABLE;
	uint64_t capabilities = family->rows[number].capabilities;

	if (!(capabilities & SPLICED_FILE))
		return 0;
	if (!family->plugin.open)
		return plugin_refuse(why, -EINVAL,
				     "row %u: is a file, which requires open(), which is missing",
				     number);
	if (!(capabilities & SPLICED_CAN_CONNECT) || capabilities & ~possible)
		return plugin_refuse(
			why, -EINVAL,
			"row %u: a file can only be a target or a dial: it can connect, "
			"have boundaries and be reliable, nothing else",
			number);
	return 0;
}

/* Where the addresses of peers are. */
static int check_peer(const struct spliced_row *row, uint32_t number, char **why)
{
	size_t end = (size_t)row->peer_offset + row->peer_len;
	unsigned len = row->peer_len;
	bool well = end <= sizeof(struct sockaddr_storage) && len <= NETWORK_BYTES_MAX;

	if (row->peer_kind == SPLICED_PEER_IP)
		well = well && (!len || len == 4 || len == 16);
	else if (row->peer_kind == SPLICED_PEER_NUMBER)
		well = well && (len == 1 || len == 2 || len == 4 || len == 8);
	else if (row->peer_kind == SPLICED_PEER_BYTES || row->peer_kind == SPLICED_PEER_REVERSED)
		well = well && len;
	return well ? 0
		    : plugin_refuse(why, -EINVAL,
				    "row %u: no address of a peer has %u bytes from byte %u on",
				    number, len, row->peer_offset);
}

/* Whether a configuration can tell this row from those before it. */
static int check_distinct(const struct family *family, uint32_t number, char **why)
{
	const struct spliced_row *row = &family->rows[number], *other;

	for (uint32_t i = 0; i < number; i++) {
		other = &family->rows[i];
		if (other->type == row->type &&
		    (!other->name || !row->name || !strcmp(other->name, row->name)))
			return plugin_refuse(
				why, -EINVAL,
				"rows %u and %u: a configuration could not distinguish them", i,
				number);
	}
	return 0;
}

static int check_row(const struct family *family, uint32_t number, char **why)
{
	const uint64_t feed_needs = SPLICED_CAN_LISTEN | SPLICED_BOUNDARIES;
	const struct spliced_row *row = &family->rows[number];
	int r;

	if (!family_type_name(row->type))
		return plugin_refuse(why, -EINVAL, "row %u: %d is not a socket type", number,
				     row->type);
	if (row->name && !is_word(row->name, "_-"))
		return plugin_refuse(why, -EINVAL, "row %u: \"%s\" is not a word for a protocol",
				     number, row->name);
	if (row->scheme && !is_word(row->scheme, "-"))
		return plugin_refuse(why, -EINVAL, "row %u: \"%s\" is not a scheme", number,
				     row->scheme);
	if (!row->pattern || !pattern_is_sane(family, row->pattern))
		return plugin_refuse(why, -EINVAL,
				     "row %u: its pattern \"%s\" has a word that is not an option",
				     number, row->pattern ? row->pattern : "");
	if (!(row->capabilities & (SPLICED_CAN_LISTEN | SPLICED_CAN_CONNECT)))
		return plugin_refuse(why, -EINVAL, "row %u: can neither listen nor connect",
				     number);
	if ((row->capabilities & SPLICED_FEED) && ~row->capabilities & feed_needs)
		return plugin_refuse(why, -EINVAL,
				     "row %u: a feed must be able to listen, and preserve message "
				     "boundaries",
				     number);
	if ((row->capabilities & SPLICED_BINDS) && !family->plugin.check)
		return plugin_refuse(
			why, -EINVAL,
			"row %u: its targets are bound, not connected, which requires check(), "
			"which is missing",
			number);
	r = check_traits(family, number, why);
	if (!r)
		r = check_peer(row, number, why);
	if (!r)
		r = check_file(family, number, why);
	if (r < 0)
		return r;
	return check_distinct(family, number, why);
}

/* The daemon's own keys of an endpoint. */
static bool is_taken(const char *name)
{
	static const char *const taken[] = {
		"family", "type",	  "name",  "framing",	 "max_frame",	   "format",
		"sndbuf", "rcvbuf",	  "netns", "mark",	 "priority",	   "weight",
		"backup", "max_sessions", "queue", "send_proxy", "proxy_protocol", "proxy_from",
	};

	for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
		if (!strcmp(taken[i], name))
			return true;
	return false;
}

static bool number_is_sane(const struct spliced_option *option)
{
	char *end;
	long long number;

	errno = 0;
	number = strtoll(option->default_text, &end, option->type == SPLICED_MODE ? 8 : 0);
	if (errno || end == option->default_text)
		return false;
	if (option->type == SPLICED_MODE)
		return !*end && number >= 0 && number <= 07777;
	if (option->type != SPLICED_NUMBER && option->type != SPLICED_WORD_OR_NUMBER)
		return number >= 0; /* a unit may follow, which the parser of configs knows */
	return !*end &&
	       ((!option->min && !option->max) || (number >= option->min && number <= option->max));
}

static bool word_is_sane(const struct spliced_option *option)
{
	for (const char *const *word = option->words; *word; word++)
		if (!strcmp(*word, option->default_text))
			return true;
	return false;
}

/* A rough check of a default; the configuration parser reads it completely. */
static bool default_is_sane(const struct spliced_option *option)
{
	const char *text = option->default_text;

	switch ((enum spliced_option_type)option->type) {
	case SPLICED_BOOL:
		return !strcmp(text, "true") || !strcmp(text, "false");
	case SPLICED_WORD:
		return word_is_sane(option);
	case SPLICED_WORD_OR_NUMBER:
		return word_is_sane(option) || number_is_sane(option);
	case SPLICED_NUMBER:
	case SPLICED_SIZE:
	case SPLICED_DURATION:
	case SPLICED_RATE:
	case SPLICED_MODE:
		return number_is_sane(option);
	case SPLICED_PATH:
		return *text == '/' || *text == '@';
	case SPLICED_INTERFACE:
		return *text && strlen(text) < 16;
	case SPLICED_STRING:
	case SPLICED_LIST:
	case SPLICED_HOST:
		return true;
	}
	return false;
}

static int check_option(const struct family *family, uint32_t number, char **why)
{
	const struct spliced_option *option = &family->options[number];
	const char *name = option->name;
	uint64_t all = family->plugin.n_rows == 64 ? UINT64_MAX
						   : (UINT64_C(1) << family->plugin.n_rows) - 1;

	if (!is_word(name, "_") || strlen(name) > 31)
		return plugin_refuse(why, -EINVAL, "option %u: \"%s\" cannot be an option's name",
				     number, name ? name : "");
	if (is_taken(name))
		return plugin_refuse(why, -EINVAL, "option \"%s\": is a key of every endpoint",
				     name);
	if (option->type < SPLICED_BOOL || option->type > SPLICED_HOST)
		return plugin_refuse(why, -EINVAL, "option \"%s\": its type %u is unknown", name,
				     option->type);
	if (option->flags & ~option_flags)
		return plugin_refuse(why, -EINVAL, "option \"%s\": its flags %#x are unknown", name,
				     option->flags & ~option_flags);
	if (!(option->flags & SPLICED_LIVE) == !(option->flags & SPLICED_REOPEN))
		return plugin_refuse(why, -EINVAL, "option \"%s\": must be one of LIVE and REOPEN",
				     name);
	if (option->roles & ~(uint32_t)(SPLICED_LISTEN | SPLICED_CONNECT))
		return plugin_refuse(why, -EINVAL, "option \"%s\": its roles %#x are unknown", name,
				     option->roles);
	if (option->rows & ~all)
		return plugin_refuse(why, -EINVAL, "option \"%s\": is for rows that do not exist",
				     name);
	if (option->min > option->max)
		return plugin_refuse(why, -EINVAL, "option \"%s\": its range is empty", name);
	if ((option->type == SPLICED_WORD || option->type == SPLICED_WORD_OR_NUMBER) &&
	    !option->words)
		return plugin_refuse(why, -EINVAL, "option \"%s\": has no words", name);
	if (option->default_text && !default_is_sane(option))
		return plugin_refuse(why, -EINVAL,
				     "option \"%s\": its default \"%s\" is not a valid value", name,
				     option->default_text);
	if (!option->doc || !*option->doc)
		return plugin_refuse(why, -EINVAL, "option \"%s\": has no line of doc", name);
	for (uint32_t i = 0; i < number; i++)
		if (!strcmp(family->options[i].name, name))
			return plugin_refuse(why, -EINVAL, "option \"%s\": is defined twice", name);
	return 0;
}

/* Copies a table with another stride into an array of ours, with zeros behind a shorter stride. */
static void *copy_table(const void *table, uint32_t n, size_t stride, size_t size)
{
	char *copy = calloc(n ? n : 1, size);

	for (uint32_t i = 0; copy && i < n; i++)
		memcpy(copy + i * size, (const char *)table + i * stride,
		       stride < size ? stride : size);
	return copy;
}

static int check_format(const struct family *family, uint32_t number, char **why)
{
	const struct spliced_format *format = &family->formats[number];
	uint64_t all = family->plugin.n_rows == 64 ? UINT64_MAX
						   : (UINT64_C(1) << family->plugin.n_rows) - 1;

	if (!format->name || !is_word(format->name, "_-") || !strcmp(format->name, "raw"))
		return plugin_refuse(why, -EINVAL,
				     "format %u: its name must be a word, and not \"raw\", which "
				     "every family has",
				     number);
	for (uint32_t i = 0; i < number; i++)
		if (!strcmp(family->formats[i].name, format->name))
			return plugin_refuse(why, -EINVAL, "format \"%s\": is defined twice",
					     format->name);
	if (!format->encode)
		return plugin_refuse(why, -EINVAL, "format \"%s\": has no encode()", format->name);
	if (format->state_size > SPLICED_STATE_MAX)
		return plugin_refuse(
			why, -EINVAL,
			"format \"%s\": its state has %u bytes: at most %d are possible",
			format->name, format->state_size, SPLICED_STATE_MAX);
	if (format->framing >= SPLICED_FRAMING_AUTO)
		return plugin_refuse(why, -EINVAL, "format \"%s\": its framing %u is unknown",
				     format->name, format->framing);
	if (format->rows & ~all)
		return plugin_refuse(why, -EINVAL, "format \"%s\": is for rows that do not exist",
				     format->name);
	if (!format->doc || !*format->doc)
		return plugin_refuse(why, -EINVAL, "format \"%s\": has no line of doc",
				     format->name);
	return 0;
}

static int check_counter(const struct family *family, uint32_t number, char **why)
{
	const struct spliced_counter *counter = &family->counters[number];

	if (!is_word(counter->name, "_") || strlen(counter->name) >= FAMILY_NAME_MAX)
		return plugin_refuse(why, -EINVAL,
				     "counter %u: its name must be a word of at most %d bytes",
				     number, FAMILY_NAME_MAX - 1);
	for (uint32_t i = 0; i < number; i++)
		if (!strcmp(family->counters[i].name, counter->name))
			return plugin_refuse(why, -EINVAL, "counter \"%s\": is defined twice",
					     counter->name);
	if (!counter->doc || !*counter->doc)
		return plugin_refuse(why, -EINVAL, "counter \"%s\": has no line of doc",
				     counter->name);
	return 0;
}

static int check_tables(struct family *family, char **why)
{
	int r = 0;

	for (uint32_t i = 0; !r && i < family->plugin.n_options; i++)
		r = check_option(family, i, why);
	for (uint32_t i = 0; !r && i < family->plugin.n_rows; i++)
		r = check_row(family, i, why);
	for (uint32_t i = 0; !r && i < family->plugin.n_formats; i++)
		r = check_format(family, i, why);
	for (uint32_t i = 0; !r && i < family->plugin.n_counters; i++)
		r = check_counter(family, i, why);
	return r;
}

/* Captures by link type. A family with one of its own knows better what its messages need. */
static int add_captures(struct family *family, char **why)
{
	struct spliced_format *formats;
	uint64_t rows = 0;
	uint32_t n = family->plugin.n_formats;

	for (uint32_t i = 0; i < family->plugin.n_rows; i++)
		if (family->rows[i].link_type && family->rows[i].capabilities & SPLICED_BOUNDARIES)
			rows |= UINT64_C(1) << i;
	for (uint32_t i = 0; i < n; i++)
		if (!strncmp(family->formats[i].name, "pcap", 4))
			return 0;
	if (!rows)
		return 0;
	formats = realloc(family->formats, (n + CAPTURE_FORMATS) * sizeof *formats);
	if (!formats)
		return plugin_refuse(why, -ENOMEM, "no memory for its tables");
	capture_formats(rows, formats + n);
	family->formats = formats;
	family->plugin.formats = formats;
	family->plugin.n_formats = n + CAPTURE_FORMATS;
	return 0;
}

int plugin_check(const struct spliced_plugin *plugin, const char *name, struct family *family,
		 char **why)
{
	struct spliced_plugin *copy = &family->plugin;
	int r;

	r = check_abi(plugin, why);
	if (r < 0)
		return r;
	memset(copy, 0, sizeof *copy);
	memcpy(copy, plugin, plugin->size < sizeof *copy ? plugin->size : sizeof *copy);
	r = check_plugin(copy, name, why);
	if (r < 0)
		return r;
	family->rows = copy_table(copy->rows, copy->n_rows, copy->row_stride, sizeof *family->rows);
	family->options = copy_table(copy->options, copy->n_options, copy->option_stride,
				     sizeof *family->options);
	for (uint32_t i = 0; family->rows && i < copy->n_rows; i++)
		if (!family->rows[i].domain)
			family->rows[i].domain = copy->domain;
	copy->rows = family->rows;
	copy->options = family->options;
	copy->row_stride = sizeof *family->rows;
	copy->option_stride = sizeof *family->options;
	family->formats = copy_table(copy->formats, copy->n_formats, copy->format_stride,
				     sizeof *family->formats);
	copy->formats = family->formats;
	copy->format_stride = sizeof *family->formats;
	family->counters = copy_table(copy->counters, copy->n_counters, copy->counter_stride,
				      sizeof *family->counters);
	copy->counters = family->counters;
	copy->counter_stride = sizeof *family->counters;
	if (family->rows && family->options && family->formats && family->counters)
		r = check_tables(family, why);
	else
		r = plugin_refuse(why, -ENOMEM, "no memory for its tables");
	if (!r)
		r = add_captures(family, why);
	if (r < 0) {
		free(family->rows);
		free(family->options);
		free(family->formats);
		free(family->counters);
		family->rows = NULL;
		family->options = NULL;
		family->formats = NULL;
		family->counters = NULL;
	}
	return r;
}
