/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a family's named format (plugin.h) makes of the messages from one side, on its way to the
 * other. A side without one has nothing to say: 0. Results are sink_send()'s: 0, or positive why
 * not all is on its way; then the same call goes on where this one stopped.
 */
#pragma once

#include "ledger/ledger.h"

#include <stdbool.h>

struct session;
struct spliced_message;

/* What a new consumer gets first; and later, what is still to be told of gaps. Before any
 * message. */
int format_greet(struct session *session, unsigned side);

/* Why a message is dropped that its family refused with this error. */
enum drop format_drop_reason(int error);

/* A message's frames, all those that are left of it. */
int format_encode(struct session *session, unsigned side, const struct spliced_message *message);

/* The frames of the next messages of the side's ring, as many as go at once; what is on its way is
 * consumed. `drops`: what the far end does not take is, too, and counted. RELAY_BLOCKED also where
 * there are no messages: then *more is false. */
int format_encode_ring(struct session *session, unsigned side, bool drops, bool *more);

/* The kernel had no room: what it dropped here is told and counted, at once, or before anything
 * else later. */
int format_lost(struct session *session, unsigned side);

/* why: enum spliced_event. */
int format_resync(struct session *session, unsigned side, int why);

/* The time that a format asked for has come. */
int format_wake(struct session *session, unsigned side);
