/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the two files of the family unix share. */
#pragma once

#include <spliced/plugin.h>

enum unix_option {
	UNIX_OPTION_PATH,
	UNIX_OPTION_MODE,
	UNIX_OPTION_OWNER,
	UNIX_OPTION_GROUP,
	UNIX_OPTION_UNLINK,
	UNIX_OPTION_BACKLOG,
	UNIX_OPTION_PADDED,
	UNIX_OPTIONS,
};

static inline const char *unix_path(const struct spliced_options *options)
{
	return spliced_value(options, UNIX_OPTION_PATH)->text;
}

static inline int unix_is_abstract(const struct spliced_options *options)
{
	return unix_path(options)[0] == '@';
}

/* The uid or gid that option OWNER or GROUP names; -1: not set; below: negative errno with an error
 * reported. */
int64_t unix_id(const struct spliced_options *options, enum unix_option option);

/* Whether that is the file that the socket is bound to. */
struct stat;
int unix_is_ours(int fd, const struct stat *file, const struct spliced_options *options);

/* Callbacks. */
int unix_reclaim(const struct spliced_options *options, const struct sockaddr *address,
		 socklen_t len);
int unix_bound(int fd, const struct spliced_options *options);
void unix_unlink(const struct spliced_options *options, const struct sockaddr *address,
		 socklen_t len);
void unix_release(int fd, const struct spliced_options *options);
