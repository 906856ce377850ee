/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The manifest: every descriptor that a ledger names, in one order. Beside what it visits only the
 * keeper has some of its own (ledger_keep_fd()), which another keeper makes again.
 */
#pragma once

#include <stdint.h>

struct ledger;

/* Visits each descriptor's place in the ledger, until a visit returns non-zero, which is returned.
 * `fd` may be written to. `place` identifies it: section, record, and which of the record's; the
 * same in every layout. */
int manifest_visit_places(struct ledger *ledger,
			  int (*visit)(int32_t *fd, uint64_t place, void *data), void *data);

int manifest_visit(struct ledger *ledger, int (*visit)(int32_t *fd, void *data), void *data);
