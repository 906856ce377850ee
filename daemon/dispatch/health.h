/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Health checks: the clerk's. A check may be common to several targets with the same address and
 * settings; it is made once, and its result is noted for each of them. Each check has its phase
 * within its interval, by its digest: so they are spread in time, and stay where they were across
 * reloads and deaths of the worker.
 */
#pragma once

struct health;
struct on_down;
struct thread;

/* Checks that are under way at the same time; the others wait. */
enum { HEALTH_ASKS_MAX = 256 };

/* The checks of the newest generation, in the clerk's loop; on_down is notified of targets that
 * went down. *ret is NULL where there are none. 0 or negative errno. */
int health_new(struct health **ret, struct thread *clerk, struct on_down *on_down);

/* Ends those that are under way, and frees them. Takes NULL, returns NULL. */
struct health *health_free(struct health *health);
