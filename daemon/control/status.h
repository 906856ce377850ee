/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The state of the daemon: the verdict first. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "ledger/ledger.h"

struct config;
struct generation;
struct worker;

/* The `status` answer. */
json_t *status_object(const struct worker *worker);

/* Its first line, NUL-terminated: "OK", or what is not. */
void status_verdict(const struct ledger *ledger, struct generation *generations, char *text,
		    size_t size);

/* The same as status_object(), in a few lines of the log (SIGUSR1). */
void status_log(const struct ledger *ledger, struct generation *generations);

/* A digest of what the configuration's files look like now (stat(2)): when it changes, the files
 * may differ from what runs. */
uint64_t status_files_digest(const struct config *config);

/* Why a route is paused: "its family crashy crashed in encode() 3 times"; empty: it is not. */
enum { STATUS_PAUSE_MAX = 128 };
void status_route_pause(const struct ledger_route *route, char text[STATUS_PAUSE_MAX]);

/* What a listener waits for, by the error (positive errno) of its record. */
const char *status_wait_text(int32_t error);

/* CLOCK_REALTIME ns as RFC 3339, UTC. */
json_t *status_time(uint64_t realtime);
