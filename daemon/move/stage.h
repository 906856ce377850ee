/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The stage: where bytes of a stream wait until they make a frame, if the kernel cannot peek at
 * enough of them (SPLICED_SHORT_PEEK), or may never hold a whole frame. It is a pipe in the record:
 * splice(2) fills it, tee(2) copies its contents, and it survives a crash.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct session;

/* Whether side `s` is read through its stage: a stream with frames that cannot be peeked at. */
bool stage_is_used(const struct session *session, unsigned s);

/* As recv(2) with MSG_PEEK, of everything received; at_most: bytes, at least the largest frame.
 * -EAGAIN: nothing was received; -EMFILE and the like: no pipe is available now; 0: EOF. */
ssize_t stage_peek(struct session *session, unsigned s, uint8_t *bytes, size_t at_most);

/* Consumes what was peeked, into `bytes`: as read(2), with errno. */
ssize_t stage_take(struct session *session, unsigned s, uint8_t *bytes, size_t at_most);

/* Returns its pipe if it is empty. Returns whether there is no stage now. */
bool stage_give_back(struct session *session, unsigned s);

/* Adopts the stage that another worker left. */
void stage_adopt(struct session *session, unsigned s);

/* Closes it, with what is in it. */
void stage_discard(struct session *session, unsigned s);
