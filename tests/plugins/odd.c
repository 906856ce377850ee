/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A plugin that is wrong in one way at a time, as the macros say with which a test compiles it;
 * with none it is right. Its address says what the daemon's copy of its tables looks like.
 */
#include <spliced/plugin.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#ifndef ABI_MAJOR
#define ABI_MAJOR SPLICED_ABI_MAJOR
#endif
#ifndef ABI_MINOR
#define ABI_MINOR SPLICED_ABI_MINOR
#endif
#ifndef ABI_NEEDS
#define ABI_NEEDS 0
#endif
#ifndef SIZE
#define SIZE sizeof(struct spliced_plugin)
#endif
#ifndef NAME
#define NAME "odd"
#endif
#ifndef SYMBOL
#define SYMBOL spliced_plugin
#endif
#ifndef N_ROWS
#define N_ROWS 2
#endif
#ifndef SECOND_NAME
#define SECOND_NAME "colour"
#endif
#ifndef SECOND_TYPE
#define SECOND_TYPE SPLICED_WORD
#endif
#ifndef SECOND_FLAGS
#define SECOND_FLAGS SPLICED_LIVE
#endif
#ifndef SECOND_DEFAULT
#define SECOND_DEFAULT "red"
#endif
#ifndef SECOND_ROWS
#define SECOND_ROWS 0
#endif
#ifndef PATTERN
#define PATTERN "PATH"
#endif
#ifndef ADDRESS
#define ADDRESS odd_address
#endif
#ifndef COUNTERS
#define COUNTERS
#endif
#ifndef PEER
#define PEER .peer_kind = SPLICED_PEER_UNSET
#endif
#ifndef MATCH
#define MATCH NULL
#endif
#ifndef OPEN
#define OPEN NULL
#endif
#ifndef UNSTABLE
#define UNSTABLE NULL
#endif
#ifndef TAIL
#define TAIL 0
#endif
#ifndef SECOND_CAPABILITIES
#define SECOND_CAPABILITIES SPLICED_CAN_CONNECT
#endif
#ifndef N_FORMATS
#define N_FORMATS 2
#endif
#ifndef FORMATS
#define FORMATS &formats[0].format
#endif
#ifndef FORMAT_STRIDE
#define FORMAT_STRIDE sizeof(struct odd_format)
#endif
#ifndef FORMAT_NAME
#define FORMAT_NAME "own"
#endif
#ifndef FORMAT_FRAMING
#define FORMAT_FRAMING SPLICED_FRAMING_NONE
#endif
#ifndef FORMAT_STATE
#define FORMAT_STATE 64
#endif
#ifndef FORMAT_ROWS
#define FORMAT_ROWS 2
#endif
#ifndef FORMAT_ENCODE
#define FORMAT_ENCODE odd_encode
#endif
#ifndef FORMAT_DOC
#define FORMAT_DOC "Edges of its own"
#endif

/* Which nobody has. */
int nowhere(const struct spliced_options *options, struct sockaddr_storage *address,
	    socklen_t *len);

#ifdef CONSTRUCTOR
__attribute__((constructor)) static void at_load(void)
{
	CONSTRUCTOR;
}
#endif

static int __attribute__((unused))
odd_address(const struct spliced_options *options, struct sockaddr_storage *address, socklen_t *len)
{
	address->ss_family = AF_UNIX;
	*len = sizeof(sa_family_t);
	return options->n_values == 2 ? 0 : -EINVAL;
}

static int odd_describe(const struct spliced_row *row, const struct sockaddr *address,
			socklen_t len, char *text, size_t size)
{
	(void)address;
	(void)len;
	return (size_t)snprintf(text, size, "odd %s", row->name) < size ? 0 : -ENOSPC;
}

static int __attribute__((unused))
odd_encode(struct spliced_consumer *consumer, const struct spliced_message *message, void *frame,
	   size_t size)
{
	(void)consumer;
	(void)message;
	(void)frame;
	(void)size;
	return 0;
}

/* As a later minor would have them: with more at the end. */
struct odd_row {
	struct spliced_row row;
	char tail[TAIL];
};

struct odd_option {
	struct spliced_option option;
	char tail[TAIL];
};

struct odd_format {
	struct spliced_format format;
	char tail[TAIL];
};

static const char *const colours[] = {"red", "green", NULL};

/* clang-format off */
static const struct odd_row rows[] = {
	{.row = {.type = SOCK_STREAM, .name = "first", .pattern = PATTERN,
		 .capabilities = SPLICED_CAN_LISTEN, PEER}},
#ifdef SAME_ROWS
	{.row = {.type = SOCK_STREAM, .pattern = "PATH",
		 .capabilities = SPLICED_CAN_CONNECT}},
#else
	{.row = {.type = SOCK_SEQPACKET, .name = "second", .pattern = "PATH",
		 .capabilities = SECOND_CAPABILITIES}},
#endif
};

static const struct odd_option options_table[] = {
	{.option = {.name = "path", .type = SPLICED_PATH, .flags = SPLICED_REOPEN,
		    .doc = "A path"}},
	{.option = {.name = SECOND_NAME, .type = SECOND_TYPE, .flags = SECOND_FLAGS,
		    .rows = SECOND_ROWS, .default_text = SECOND_DEFAULT, .words = colours,
		    .doc = "A colour"}},
};

static const struct odd_format formats[] __attribute__((unused)) = {
	{.format = {.name = "lines", .doc = "A line for each", .framing = SPLICED_FRAMING_LINE,
		    .encode = odd_encode}},
	{.format = {.name = FORMAT_NAME, .doc = FORMAT_DOC, .framing = FORMAT_FRAMING,
		    .state_size = FORMAT_STATE, .rows = FORMAT_ROWS, .encode = FORMAT_ENCODE}},
};
/* clang-format on */

extern const struct spliced_plugin SYMBOL __attribute__((visibility("default")));

const struct spliced_plugin SYMBOL = {.abi_major = ABI_MAJOR,
				      .abi_minor = ABI_MINOR,
				      .abi_needs = ABI_NEEDS,
				      .size = SIZE,
				      .row_stride = sizeof(struct odd_row),
				      .option_stride = sizeof(struct odd_option),
				      .trait_names = SPLICED_TRAIT_NAMES " sideways",
				      .name = NAME,
				      .domain = AF_UNIX,
				      .n_rows = N_ROWS,
				      .n_options = 2,
				      .rows = &rows[0].row,
				      .options = &options_table[0].option,
				      .summary = "A family to be refused",
				      .address = ADDRESS,
				      .describe = odd_describe,
				      .match = MATCH,
				      .open = OPEN,
				      .unstable = UNSTABLE,
				      .n_formats = N_FORMATS,
				      .format_stride = FORMAT_STRIDE,
				      .formats = FORMATS,
				      COUNTERS};
