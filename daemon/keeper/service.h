/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Notifications to the service manager, sd_notify(3): ready, status, reloading, stopping, and the
 * watchdog. All of these do nothing without NOTIFY_SOCKET. None waits, and none opens a descriptor
 * but service_init().
 */
#pragma once

#include <stdbool.h>

struct generation;
struct ledger;

/* Reads the environment, and opens a socket, which the ledger records as the keeper's: before the
 * first worker. */
void service_init(struct ledger *ledger);

/* The first worker serves. */
void service_ready(const struct ledger *ledger, struct generation *newest);

/* Whether service_ready() was called. */
bool service_is_ready(void);

/* A reload has begun, which is sent only once we are ready; service_ready() ends it, whatever
 * its result. */
void service_reloading(void);
void service_stopping(void);

/* Once a second. alive: the hearts of all threads beat, or are not supposed to: the watchdog is
 * fed. */
void service_tick(const struct ledger *ledger, struct generation *newest, bool alive);
