/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys of an endpoint that nothing of it takes. */
#pragma once

#include "config/config.h"

struct check;
struct setting;

/* Reports a key that nobody took: why it is out of place, or what was most likely meant. */
void unknown_report(struct check *check, const struct config_endpoint *endpoint,
		    const struct setting *setting);

/* Was the option meant by a key that is none? That is told then, and not what is missing. */
bool unknown_means(const struct config_endpoint *endpoint, const struct setting *group,
		   const char *option);
