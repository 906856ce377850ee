/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What another release, or another layout of this one, wrote, in today's layout. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct ledger;
struct ledger_header;

/* Whether a header of so many bytes of ledger is one that is understood: a version that is known,
 * each section within the whole. */
bool convert_is_sound(const struct ledger_header *header, uint64_t size);

/* Whether its layout is today's. */
bool convert_is_today(const struct ledger_header *header);

/* Reads a sound ledger into private memory of today's layout, which the view then has. -EPROTO: its
 * counts do not fit; -ENOMEM. */
int convert_ledger(struct ledger *ledger, const struct ledger_header *old);
