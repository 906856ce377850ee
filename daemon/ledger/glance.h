/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A glance at a record that others write meanwhile, for code that only reports it: the clerk, and
 * the keeper's status. Generation, route and endpoint index each other, and a record may end and
 * another begin in its place between the reading of two of them: so lookups use a copy of one life
 * of the record. Counts in it, and descriptors, may be older or newer than each other.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct ledger;
struct ledger_listener;
struct ledger_session;

/* Copies the record in this slot. False: it is no session, or not the one it was when the glance
 * began. */
bool glance_session(const struct ledger *ledger, uint32_t slot, struct ledger_session *ret);

/* The same of a listener that listens, leaves or waits. */
bool glance_listener(const struct ledger *ledger, uint32_t index, struct ledger_listener *ret);
