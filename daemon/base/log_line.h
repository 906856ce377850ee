/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The encoding of a log line with its fields: for the journal, or as JSON. */
#pragma once

#include <stddef.h>

struct log_entry;

/* Large enough for a line of the log and its fields; a write of this size to a pipe is atomic:
 * pipe(7), PIPE_BUF. */
enum { LOG_LINE_MAX = 4096 };

/* Both print into `out`, of LOG_LINE_MAX bytes; `level` as syslog(3); message and values as they
 * are, whatever bytes they have: control characters become blanks, what is not UTF-8 becomes
 * U+FFFD. What does not fit is cut, a field whole. Return the length.
 *
 * Journald's native protocol: systemd.io/JOURNAL_NATIVE_PROTOCOL. */
size_t log_line_journal(int level, const struct log_entry *entry, const char *message, char *out);

/* One JSON object (RFC 8259) and a newline, with the journal's field names, and TIME, in UTC by RFC
 * 3339. */
size_t log_line_json(int level, const struct log_entry *entry, const char *message, char *out);
