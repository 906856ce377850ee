/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The stage: where the bytes of a stream wait that are to become frames, when the kernel does not
 * let one peek at enough of them (SPLICED_SHORT_PEEK), or may never hold a whole one. It is a pipe
 * that the record names: splice(2) fills it, tee(2) shows what is in it, and a crash leaves it as
 * it is.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct session;

/* Whether side `s` is read by way of its stage: a stream with frames that cannot be peeked at. */
bool stage_is_used(const struct session *session, unsigned s);

/* As recv(2) with MSG_PEEK, of all that has come; at_most: bytes, no less than the largest frame.
 * -EAGAIN: nothing has come; -EMFILE and its like: no pipe is to be had now; 0: the end. */
ssize_t stage_peek(struct session *session, unsigned s, uint8_t *bytes, size_t at_most);

/* Takes off what was peeked, into `bytes`: as read(2), with errno. */
ssize_t stage_take(struct session *session, unsigned s, uint8_t *bytes, size_t at_most);

/* Gives its pipe back where it is empty. Whether there is no stage now. */
bool stage_give_back(struct session *session, unsigned s);

/* A stage that another worker left. */
void stage_adopt(struct session *session, unsigned s);

/* Closes it, with what is in it. */
void stage_discard(struct session *session, unsigned s);
