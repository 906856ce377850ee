/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Messages that are dropped instead of sent, or after. */
#pragma once

#include "ledger/ledger.h"

#include <stdint.h>

struct session;

/* Counts messages that are dropped. */
void sink_drop(struct session *session, enum drop why, uint64_t count);

/* A sent message was reported as undeliverable: it counts as dropped. */
void sink_return(struct session *session, unsigned direction);
