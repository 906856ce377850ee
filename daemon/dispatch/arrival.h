/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A target's addresses as a session is to reach it: where the target has "+N" in place of a port
 * (config/port.h), they depend on the port of the listener that its client arrived at. That is in
 * the session's configuration, and its listener in its record: an heir knows both.
 */
#pragma once

#include <stdbool.h>

struct address;
struct session;

/* target_address() of the target that the session tries, with the port that it has for it. */
bool arrival_address(const struct session *session, unsigned index, unsigned *leg,
		     struct address *ret);

/* Gives it that port, if it is not in the configuration. */
void arrival_aim(const struct session *session, struct address *address);
