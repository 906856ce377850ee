/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Users and groups as a user namespace shows them, user_namespaces(7): all ids that are not mapped
 * into it appear as the overflow id, which therefore does not identify anyone.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum identity { IDENTITY_UID, IDENTITY_GID, IDENTITY_KINDS };

/* Reads the maps of our namespace, once: later calls open nothing. The other functions call it if
 * needed. */
void identity_load(void);

/* Whether a process can be seen with this id: it is mapped, and is not the overflow id. */
bool identity_is_mapped(enum identity kind, uint32_t id);

/* Whether this is the overflow id of unmapped ids. False if all ids are mapped. */
bool identity_is_overflow(enum identity kind, uint32_t id);
