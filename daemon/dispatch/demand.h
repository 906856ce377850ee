/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Targets on demand: what a session does whose target names a systemd unit. The first one that
 * finds the target absent asks the keeper to start it, and all wait, with their usual retries;
 * meanwhile its absence is no failure of the target.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct session;

/* Notes that the session's target is in use. True: it is not to be connected to now; its unit is
 * being stopped, or connect(2) cannot show whether it runs and it has not been seen to. */
bool demand_holds(const struct session *session);

/* The target was found to be absent, or was not asked (demand_holds()). True: its unit is being
 * started, and that is no failure. */
bool demand_excuses(const struct session *session);

/* The same of a message to a target without connections: its sender begins again. */
bool demand_lost(const struct session *session);

/* It answers. */
void demand_reached(const struct session *session);

/* Why no target was reached, with what is wrong with the unit of the last: in text, or reason as it
 * is. */
const char *demand_explain(const struct session *session, const char *reason, char *text,
			   size_t size);
