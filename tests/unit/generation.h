/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A generation is read as the keeper does it: no code of any family's may run. */
#pragma once

#include "config/config.h"
#include "net/callback.h"

static inline int read_generation_alone(int fd, struct families *families, struct config **ret,
					struct report *report)
{
	int r;

	callback_state.barred = CALLBACK_EVERY;
	callback_state.refused = false;
	r = config_read_generation(fd, families, ret, report);
	callback_state.barred = 0;
	return r < 0 || !callback_state.refused ? r : CALLBACK_REFUSED;
}
