/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The registry of families: finds FAMILY.so, tries it in a child, checks its ABI, keeps what it
 * describes. */
#pragma once

#include <spliced/plugin.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct report;

/* Bytes of a family's name with its NUL; most rows, options, formats and counters that it
 * may have. */
enum {
	FAMILY_NAME_MAX = 32,
	FAMILY_ROWS_MAX = 64,
	FAMILY_OPTIONS_MAX = 64,
	FAMILY_FORMATS_MAX = 16,
	FAMILY_COUNTERS_MAX = 16
};

/* A loaded family. The plugin's tables are copied with their strides undone, so that rows[i] and
 * options[i] index as C does. */
struct family {
	struct family *next;
	char name[FAMILY_NAME_MAX];
	uint32_t number; /* from 1 on, in the order in which they were loaded */
	char *path;	 /* the file it came from */
	void *handle;	 /* dlopen(3); never closed */
	struct spliced_plugin
		plugin;		  /* as far as the plugin's own size goes; what it lacks is zero */
	struct spliced_row *rows; /* plugin.n_rows */
	struct spliced_option *options;		       /* plugin.n_options */
	struct spliced_format *formats;		       /* plugin.n_formats */
	struct spliced_counter *counters;	       /* plugin.n_counters */
	_Atomic uint64_t *counts[FAMILY_COUNTERS_MAX]; /* plugin_count.h; NULL: not counted */
};

struct families {
	char *dir;   /* where FAMILY.so lie */
	uid_t owner; /* besides root, who may own directory and file */
	struct family *first;
	uint32_t count;
};

/* dir is copied. owner: the uid that started the daemon. */
int families_init(struct families *families, const char *dir, uid_t owner);
void families_done(struct families *families);

/*
 * Finds a family, and loads it if needed. The directory and the file must belong to root or to
 * owner and not be writable by group or world; the file is first loaded in a forked child with a
 * time limit, so that a plugin that crashes or hangs while loading does not harm the daemon. 0; or
 * negative errno with one line in *why (free it): what is wrong, and what would be right (-ENOENT
 * no such file, -EPERM owner or mode, -ELIBACC not loadable, -EPROTO another ABI, -EINVAL a bad
 * descriptor, -ECHILD crashed, -ETIMEDOUT hung).
 */
int family_load(struct families *families, const char *name, const struct family **ret, char **why);

/* Loads every FAMILY.so of the directory, in name order; a line in report for each that does not
 * load. */
int families_load_all(struct families *families, struct report *report);

/* NULL where not loaded. */
const struct family *family_find(const struct families *families, const char *name);
const struct family *family_numbered(const struct families *families, uint32_t number);

/* The name of a socket type ("stream", "dgram", "seqpacket", "rdm", "raw"), and back (-1: none). */
const char *family_type_name(int type);
int family_type_from_name(const char *name);

/* The row for a type and a protocol word, or its number as text; either may be -1/NULL for "not
 * given". NULL: no such row. */
const struct spliced_row *family_row(const struct family *family, int type, const char *protocol);

/* Does an option apply to this row and role? */
bool family_option_applies(const struct family *family, const struct spliced_row *row,
			   uint32_t role, const struct spliced_option *option);

/* The HOST option whose name is resolved: the first that applies to this row and role. Its number,
 * or -1. */
int family_host_option(const struct family *family, const struct spliced_row *row, uint32_t role);

/* An option, by its name; its number is its place in family->options. NULL: there is none. */
const struct spliced_option *family_option(const struct family *family, const char *name);
