/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Events and timers of a session. */
#pragma once

#include <stdint.h>

struct timer;

/* An event of the loop. Its name: slot, bit 31 for the side, and the serial of the socket that was
 * watched there. */
void session_handle(void *thread, uint64_t name, uint32_t events);

/* Its timer has fired. */
void session_timer(struct timer *timer);

/* An event of a rival's socket, race.h. Its name: slot, the rival's number from SESSION_RIVAL_SHIFT
 * on, and the serial. */
void session_handle_rival(void *thread, uint64_t name, uint32_t events);
