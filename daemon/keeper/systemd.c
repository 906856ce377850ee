/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * systemd. Nothing here waits for a job to end: the caller looks again a while later. Always true:
 * the owner of a unit was written to its record before the request to systemd, so that if a helper
 * dies in between, the next one finds that the unit is ours.
 */
#include "keeper/systemd.h"

#include "base/clock.h"
#include "ledger/unit.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>

enum {
	CALL_SECONDS = 5,
	STAYS_SECONDS = 10, /* a unit that has ended so soon after we started it does not stay */
};

#define MANAGER "org.freedesktop.systemd1"
#define NAMES "org.freedesktop.DBus.Error."

struct unit {
	sd_bus *bus;
	const char *name;
	char *path;
	struct ledger_unit *record;
};

static const struct {
	const char *name;
	enum unit_problem problem;
} refusals[] = {
	{NAMES "AccessDenied", UNIT_PROBLEM_DENIED},
	{NAMES "AuthFailed", UNIT_PROBLEM_DENIED},
	{NAMES "InteractiveAuthorizationRequired", UNIT_PROBLEM_DENIED},
	{MANAGER ".NoSuchUnit", UNIT_PROBLEM_UNKNOWN},
	{MANAGER ".LoadFailed", UNIT_PROBLEM_UNKNOWN},
	{MANAGER ".BadUnitSetting", UNIT_PROBLEM_UNKNOWN},
	{MANAGER ".UnitMasked", UNIT_PROBLEM_MASKED},
	{NAMES "ServiceUnknown", UNIT_PROBLEM_BUS},
	{NAMES "NameHasNoOwner", UNIT_PROBLEM_BUS},
	{NAMES "Disconnected", UNIT_PROBLEM_BUS},
	{NAMES "NoReply", UNIT_PROBLEM_SILENT},
	{NAMES "Timeout", UNIT_PROBLEM_SILENT},
};

static int problem_of(int r, const sd_bus_error *error)
{
	for (size_t i = 0; error && i < sizeof refusals / sizeof *refusals; i++)
		if (sd_bus_error_has_name(error, refusals[i].name))
			return SYSTEMD_PROBLEM + (int)refusals[i].problem;
	switch (-r) {
	case EACCES:
	case EPERM:
		return SYSTEMD_PROBLEM + UNIT_PROBLEM_DENIED;
	case ETIMEDOUT:
		return SYSTEMD_PROBLEM + UNIT_PROBLEM_SILENT;
	case ENOENT:
	case ECONNREFUSED:
	case ECONNRESET:
	case ENOTCONN:
	case EPIPE:
		return SYSTEMD_PROBLEM + UNIT_PROBLEM_BUS;
	}
	return SYSTEMD_PROBLEM + UNIT_PROBLEM_OTHER;
}

/* 0, or SYSTEMD_PROBLEM and which. Nothing is freed: the process ends when it has asked. */
static int open_unit(struct unit *unit)
{
	int r = sd_bus_open_system(&unit->bus);

	if (r < 0) /* whatever is missing there */
		return SYSTEMD_PROBLEM + UNIT_PROBLEM_BUS;
	sd_bus_set_method_call_timeout(unit->bus, CALL_SECONDS * UINT64_C(1000000));
	r = sd_bus_path_encode("/org/freedesktop/systemd1/unit", unit->name, &unit->path);
	return r < 0 ? problem_of(r, NULL) : 0;
}

enum activity { DOWN, COMING, RUNNING, GOING };

/* enum activity, or SYSTEMD_PROBLEM and which. */
static int look(const struct unit *unit)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	char *state;
	int r = sd_bus_get_property_string(unit->bus, MANAGER, unit->path, MANAGER ".Unit",
					   "ActiveState", &error, &state);

	if (r < 0)
		return problem_of(r, &error);
	if (!strcmp(state, "active") || !strcmp(state, "reloading"))
		return RUNNING;
	if (!strcmp(state, "activating"))
		return COMING;
	return !strcmp(state, "deactivating") ? GOING : DOWN;
}

/* Whether something is about to be done to it. */
static bool has_job(const struct unit *unit)
{
	sd_bus_message *reply;
	uint32_t job = 0;
	const char *path;

	return sd_bus_get_property(unit->bus, MANAGER, unit->path, MANAGER ".Unit", "Job", NULL,
				   &reply, "(uo)") >= 0 &&
	       sd_bus_message_read(reply, "(uo)", &job, &path) >= 0 && job;
}

/* 0, or SYSTEMD_PROBLEM and which. */
static int call(const struct unit *unit, const char *method)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	int r = sd_bus_call_method(unit->bus, MANAGER, "/org/freedesktop/systemd1",
				   MANAGER ".Manager", method, &error, NULL, "ss", unit->name,
				   "replace");

	return r < 0 ? problem_of(r, &error) : 0;
}

/* An earlier helper of ours, which died before it could note it, has started it. */
static void take_over(struct ledger_unit *record)
{
	if (record->owner == UNIT_ASKED_FOR)
		record->owner = UNIT_OURS;
}

static int start(const struct unit *unit)
{
	struct ledger_unit *record = unit->record;
	uint64_t now = clock_monotonic();
	int r;

	if (has_job(unit)) {
		take_over(record);
		return SYSTEMD_STARTS;
	}
	if (record->owner == UNIT_OURS && now < record->started_at + STAYS_SECONDS * NSEC_PER_SEC)
		return SYSTEMD_PROBLEM + UNIT_PROBLEM_ENDED;
	record->owner = UNIT_ASKED_FOR;
	r = call(unit, "StartUnit");
	if (r) {
		record->owner = UNIT_OTHERS;
		return r;
	}
	record->started_at = now;
	record->owner = UNIT_OURS;
	atomic_fetch_add(&record->starts, 1);
	return SYSTEMD_STARTED;
}

int systemd_start(struct ledger_unit *record, const char *name)
{
	struct unit unit = {.name = name, .record = record};
	int r = open_unit(&unit);

	if (r)
		return r;
	r = look(&unit);
	switch (r) {
	case RUNNING:
		take_over(record);
		return SYSTEMD_RUNS;
	case COMING:
		take_over(record);
		return SYSTEMD_STARTS;
	case DOWN:
	case GOING:
		return start(&unit);
	}
	return r;
}

static int stop(const struct unit *unit)
{
	int r;

	unit->record->owner = UNIT_LEFT;
	r = call(unit, "StopUnit");
	if (!r)
		return SYSTEMD_STOPS;
	unit->record->owner = UNIT_OURS;
	return r;
}

int systemd_stop(struct ledger_unit *record, const char *name)
{
	struct unit unit = {.name = name, .record = record};
	int r = open_unit(&unit);

	if (r)
		return r;
	r = look(&unit);
	switch (r) {
	case DOWN:
		return has_job(&unit) ? SYSTEMD_STOPS : SYSTEMD_DOWN;
	case GOING:
		return SYSTEMD_STOPS;
	case COMING:
	case RUNNING:
		if (record->owner == UNIT_OURS)
			return stop(&unit);
		return has_job(&unit) ? SYSTEMD_STOPS : SYSTEMD_TAKEN;
	}
	return r;
}
