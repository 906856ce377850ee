/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Deaths of workers, as reported by wait(2): their cause, and the log message. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct ledger;

/* Whether the signal that the worker died of came from another process; hung: from us. */
bool death_was_struck(const struct ledger *ledger, int status, bool hung);

/* Writes it down for `splicectl status`, and logs it. */
void death_note(struct ledger *ledger, pid_t worker, int status, bool hung);
