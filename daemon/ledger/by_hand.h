/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What operators have set by hand, kept besides the ledger: in a memfd, which may outlive the
 * keeper (keeper/remember.h). The worker writes it, after each change and at its start; a
 * process that starts without a ledger reads it, and believes only what is whole.
 */
#pragma once

#include <stdint.h>

struct by_hand_file;

/* A new memfd; or negative errno. */
int by_hand_make(void);

/* Maps one, for writers. NULL: it is none. */
struct by_hand_file *by_hand_map(int fd);

/* Replaces what is in it: begin, add for each route ("ROUTE") and target ("ROUTE/NAME") that has a
 * setting, end. Until the end, what was there before is what is read. file: NULL: nothing is
 * done. */
struct by_hand_writer {
	struct by_hand_file *file;
	uint64_t serial;
	uint32_t size;
	uint32_t left_out; /* there was no room for so many */
	unsigned half;
};

void by_hand_begin(struct by_hand_writer *writer, struct by_hand_file *file);
void by_hand_add(struct by_hand_writer *writer, const char *name, uint32_t hand,
		 uint32_t weight_set);
void by_hand_end(struct by_hand_writer *writer);

/* hand: enum ledger_hand_flag; weight_set: as in struct ledger_target; both are possible for the
 * name. */
typedef void by_hand_each(void *context, const char *name, uint32_t hand, uint32_t weight_set);

/* Calls each for what was written last, or for nothing. How many; -EPROTO: it is damaged, or none;
 * -EPROTONOSUPPORT: another release wrote it; or negative errno. */
int by_hand_read(int fd, by_hand_each *each, void *context);
