/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Users and groups as a user namespace shows them, user_namespaces(7): who is not mapped into it
 * has the overflow id, as everybody else who is not. Such an id says nothing of who that is.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum identity { IDENTITY_UID, IDENTITY_GID, IDENTITY_KINDS };

/* Reads the maps of our namespace, once: later calls open nothing. The others call it if nobody
 * has. */
void identity_load(void);

/* Whether somebody can be seen to have this id: it is mapped, and is not what those have who are
 * not. */
bool identity_is_mapped(enum identity kind, uint32_t id);

/* Whether this is what everybody has who is not mapped. Never where all ids are. */
bool identity_is_overflow(enum identity kind, uint32_t id);
