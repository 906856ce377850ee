/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ledger/unit.h"

#include "ledger/ledger.h"

#include <errno.h>
#include <string.h>

int ledger_unit_slot(struct ledger *ledger, const char *name)
{
	uint64_t digest = ledger_digest(name);
	int free = -ENOSPC;

	for (int i = 0; i < LEDGER_UNITS_MAX; i++) {
		struct ledger_unit *unit = &ledger->units[i];

		if (unit->used && unit->digest == digest)
			return i;
		if (!unit->used && free < 0)
			free = i;
	}
	if (free >= 0) {
		struct ledger_unit *unit = &ledger->units[free];

		memset(unit, 0, sizeof *unit);
		unit->digest = digest;
		strncpy(unit->name, name, sizeof unit->name - 1);
		unit->used = 1;
	}
	return free;
}

/* One that we have started, and no target names any more, is still to be stopped; and a helper
 * may be about to write to it. */
void ledger_units_retain(struct ledger *ledger, const bool *keep)
{
	for (int i = 0; i < LEDGER_UNITS_MAX; i++) {
		struct ledger_unit *unit = &ledger->units[i];

		if (unit->used && !keep[i] && unit->state != UNIT_STOPPING &&
		    unit->asked == unit->answered &&
		    (unit->owner == UNIT_OTHERS || !unit->idle_stop))
			unit->used = 0;
	}
}

const char *unit_state_name(uint32_t state)
{
	switch ((enum unit_state)state) {
	case UNIT_REST:
		return "not running";
	case UNIT_STARTING:
		return "starting";
	case UNIT_RUNNING:
		return "running";
	case UNIT_STOPPING:
		return "stopping";
	case UNIT_REFUSED:
		return "refused";
	}
	return "?";
}

const char *unit_problem_text(uint32_t problem)
{
	switch ((enum unit_problem)problem) {
	case UNIT_PROBLEM_NONE:
	case UNIT_PROBLEMS:
		break;
	case UNIT_PROBLEM_BUS:
		return "systemd cannot be reached over D-Bus; start dbus.socket, and let the service see /run/dbus";
	case UNIT_PROBLEM_DENIED:
		return "access is denied; install a polkit rule, such as the example spliced-units.rules";
	case UNIT_PROBLEM_UNKNOWN:
		return "there is no such unit, or it cannot be loaded; look at systemctl status";
	case UNIT_PROBLEM_MASKED:
		return "it is masked; use systemctl unmask";
	case UNIT_PROBLEM_ENDED:
		return "it has ended right after its start; look at journalctl -u";
	case UNIT_PROBLEM_SILENT:
		return "systemd does not answer; look at systemctl status";
	case UNIT_PROBLEM_OTHER:
		return "systemd refuses it; look at systemctl status";
	}
	return "";
}

static uint32_t mend_time(_Atomic uint64_t *time, uint64_t latest)
{
	if (*time <= latest)
		return 0;
	*time = latest;
	return 1;
}

static uint32_t mend_word(_Atomic uint32_t *word, uint32_t most)
{
	if (*word <= most)
		return 0;
	*word = 0;
	return 1;
}

uint32_t unit_validate(struct ledger *ledger, uint64_t now)
{
	/* The keeper and its helper write meanwhile. */
	enum { AHEAD_SECONDS_MAX = 60 };
	uint64_t latest = now + AHEAD_SECONDS_MAX * UINT64_C(1000000000);
	uint32_t mended = 0;

	for (int i = 0; i < LEDGER_UNITS_MAX; i++) {
		struct ledger_unit *unit = &ledger->units[i];

		if (!unit->used)
			continue;
		mended += mend_word(&unit->state, UNIT_REFUSED);
		mended += mend_word(&unit->owner, UNIT_LEFT);
		mended += mend_word(&unit->problem, UNIT_PROBLEMS - 1);
		mended += mend_time(&unit->ready_by, latest);
		mended += mend_time(&unit->seen_at, latest);
		mended += mend_time(&unit->started_at, latest);
		mended += mend_time(&unit->used_at, latest);
		unit->name[sizeof unit->name - 1] = '\0';
	}
	return mended;
}
