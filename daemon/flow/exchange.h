/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The exchange: one direction of a session that has messages at one end or at both, from its source to its sink.
 *
 *   source                        how it is read
 *   message, reliable             peeked, sent, consumed: a crash in between repeats it, and loses none
 *   message, with a format        the same, frame by frame; or from a ring, many at once
 *   message, else                 in batches; what the sink does not take is dropped, as `overflow` says
 *   stream                        whole frames are peeked, sent, consumed
 *   a listener many peers share   not read here: its messages are handed in (fed.h)
 */
#pragma once

#include "flow/step.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct config_endpoint;
struct session;

/* How a session moves its traffic, by its two rows and what the config says of its ends: filled in once both are known. */
void exchange_plan(struct session *session);

/* Before the target becomes the next one: what waits for it as messages, or as frames, is nothing to one that frames otherwise. It is dropped
 * while the record still names the one that it is for. */
void exchange_forget_frames(struct session *session, const struct config_endpoint *next);

/* Moves one direction (0: from the client, 1: from the target) as far as it goes: enum step_result, or negative errno. */
int exchange_step(struct session *session, unsigned direction);

/* Whether messages from this side stay with the kernel while the sink takes none. */
bool exchange_blocks(const struct session *session, unsigned side);

/* Makes a message socket tell a message without bytes from the end. */
void exchange_prepare_socket(const struct session *session, unsigned side);

/* drop-old: whether the oldest message in a socket's queue is to make room for newer ones: the queue is crowded; or, where the kernel
 * cannot tell, that message has waited for a moment since *stuck (CLOCK_MONOTONIC ns, 0: it begins to), which is kept up to date. */
bool exchange_gives_up(int fd, uint64_t now, uint64_t *stuck);

enum { EXCHANGE_MOMENT_MS = 1 }; /* ... and when to look again */
