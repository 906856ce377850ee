/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * First messages: the first message of a session's client is kept in the ledger until the target
 * has answered, so that it can be sent again to another member of the pool if this one is down. The
 * table has a fixed size; new messages replace the oldest. A message that is longer than a place,
 * or finds none, is not kept, and counted.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

struct session;

/* Keeps it. */
void first_message_add(struct session *session, const struct iovec *message);

/* Whether there is one; copies it, at most LEDGER_KEPT_BYTES, and its length. */
bool first_message_read(const struct session *session, void *bytes, size_t *len);

/* Removes it: it was answered, or the session ends. */
void first_message_forget(struct session *session);
