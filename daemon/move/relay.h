/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The relay: one direction of a session, from its source through a pipe to its sink, by splice(2).
 *
 * Every byte is at any instant in the source's receive queue, in the pipe that the record names, or
 * in the sink's send queue; this process holds only counts that the kernel can report again.
 */
#pragma once

#include "move/step.h"

struct mover;
struct session;

extern const struct mover relay_mover;

/* Steps used for framed messages too, with the results of a step: moves the pipe's contents into
 * the sink (0: emptied); and sends the source's EOF, which has been read, to the sink. */
int relay_drain_pipe(struct session *session, unsigned direction);
int relay_finish(struct session *session, unsigned direction);
