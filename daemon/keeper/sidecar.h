/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sidecars: processes that keep something alive for a listening endpoint, as its announcement,
 * where the family has such (plugin.h, sidecar()). They are the keeper's children, with a
 * descriptor table of their own; one that ends is started again.
 */
#pragma once

#include <sys/types.h>

struct generation;
struct ledger;

/* Starts those that are missing, and ends those whose endpoint is gone. Called about every second,
 * while no heir sweeps. */
void sidecar_tick(const struct ledger *ledger, struct generation *newest);

/* A child has ended, which may be one of ours. */
void sidecar_ended(pid_t pid);

/* Ends all, and waits for that: they are killed. */
void sidecar_stop(void);
