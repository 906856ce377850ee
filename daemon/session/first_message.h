/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * First messages: what a session's client said first is kept in the ledger until the target has
 * answered, so that it can be said again to another member of the pool where this one turns out to
 * be dead. A table of fixed size; the newest take the places of the oldest. A message that is
 * longer than a place, or finds none, is not kept, and counted.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

struct session;

/* Keeps it. */
void first_message_add(struct session *session, const struct iovec *message);

/* Whether there is one: it, in LEDGER_KEPT_BYTES at most, and its length. */
bool first_message_read(const struct session *session, void *bytes, size_t *len);

/* It was answered, or the session ends. */
void first_message_forget(struct session *session);
