/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How far the tables of a ledger are in use: found in the tables, not in the marks that are kept of
 * it. */
#pragma once

#include "ledger/ledger.h"

#include <stdint.h>

/* The number of records up to the last that is not free; of a table whose records begin with
 * their state, or with `used`. It touches no unwritten page. */
uint32_t extent_used(int fd, const struct ledger_header *header, enum ledger_section_id id);
