/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ports that our own listening sockets are bound to, while a generation is prepared. */
#pragma once

#include <stdbool.h>

struct address;
struct ledger;

/* Whether one of our sockets has the port of this address, at whatever address. The first call
 * looks at all sockets. */
bool ports_has(const struct ledger *ledger, const struct address *address);

/* An address that a socket is going to be bound to. */
void ports_note(const struct address *address);

/* Discards what was seen: the next call looks again. */
void ports_forget(void);
