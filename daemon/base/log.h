/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The log: one line an event, to the journal, to syslog or to standard error. A line is formatted
 * on the stack and written by one system call that never blocks; a line that does not fit is cut,
 * one that cannot be written is counted, and the count is logged before the next line that can.
 * Rooms base and net, and plugins, never log.
 */
#pragma once

#include "base/event.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <syslog.h>

enum { LOG_FIELDS_MAX = 16 };

/* What a line is about, for searches: the fields of the journal and of LOG_FORMAT_JSON. */
struct log_entry {
	enum log_event event;
	unsigned n_fields;
	struct {
		const char *name, *value;
	} fields[LOG_FIELDS_MAX];
};

/* Adds a field, systemd.journal-fields(7); both texts belong to the caller and must live until the
 * line is written. No field is added for NULL or an empty value. */
void log_add_field(struct log_entry *entry, const char *name, const char *value);

/* How lines look on standard error. */
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };
void log_set_format(enum log_format format);

enum log_to { LOG_TO_STDERR, LOG_TO_JOURNAL, LOG_TO_SYSLOG };

/* Opens the log. The descriptor it opens, if any, is *fd (else -1): processes share the
 * descriptors, so that the caller records it. -ENOENT and the like where journald or syslog is not
 * there; the log then goes to standard error, for which *fd may be open all the same. */
int log_open(enum log_to to, int *fd);

/* Lines that could not be written, ever; how many of them were reported. */
struct log_losses {
	_Atomic uint64_t lost, told;
};

/* The level, LOG_ERR to LOG_DEBUG, and the losses are stored where the caller says: in shared
 * memory, so that one store changes the level for every process, and losses survive a crash. Until
 * then the level is LOG_INFO. */
void log_share(_Atomic int *level, struct log_losses *losses);
int log_level(void);

/* "error", "warning", "notice", "info", "debug" to LOG_ERR ... LOG_DEBUG; -EINVAL for others. And
 * back. */
int log_level_from_name(const char *name);
const char *log_level_name(int level);

/* Lines lost: the reader did not keep up, or there was no room for them. */
uint64_t log_lost(void);

void log_write(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

void log_write_entry(int level, const struct log_entry *entry, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#define log_event(level_, entry_, ...)                                    \
	do {                                                              \
		if ((level_) <= log_level())                              \
			log_write_entry((level_), (entry_), __VA_ARGS__); \
	} while (0)
#define log_at(level_, ...)                               \
	do {                                              \
		if ((level_) <= log_level())              \
			log_write((level_), __VA_ARGS__); \
	} while (0)
#define log_error(...) log_at(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_at(LOG_WARNING, __VA_ARGS__)
#define log_notice(...) log_at(LOG_NOTICE, __VA_ARGS__)
#define log_info(...) log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)

/* Logs each line of a text. */
void log_lines(int level, const char *prefix, const char *text);
