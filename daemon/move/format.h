/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Converts the messages of one side by its family's named format (plugin.h) and sends them to the
 * other. 0 for a side without a format. Results are those of sink_send(): 0, or positive: why not
 * all was sent; then the same call continues where this one stopped.
 */
#pragma once

#include "ledger/ledger.h"

#include <stdbool.h>

struct session;
struct spliced_message;

/* What a new consumer gets first; and later, pending reports of gaps. Before any message. */
int format_greet(struct session *session, unsigned side);

/* The reason for dropping a message that its family refused with this error. */
enum drop format_drop_reason(int error);

/* Sends a message's remaining frames. */
int format_encode(struct session *session, unsigned side, const struct spliced_message *message);

/* Sends the frames of the next messages of the side's ring, as many as fit at once, and consumes
 * them. `drops`: those that the sink does not accept are consumed too, and counted. RELAY_BLOCKED
 * also if there are no messages: then *more is false. */
int format_encode_ring(struct session *session, unsigned side, bool drops, bool *more);

/* The kernel had no room: what it dropped is reported and counted, now, or before anything else
 * later. */
int format_lost(struct session *session, unsigned side);

/* why: enum spliced_event. */
int format_resync(struct session *session, unsigned side, int why);

/* The time that a format asked for has come. */
int format_wake(struct session *session, unsigned side);
