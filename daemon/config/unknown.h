/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys of an endpoint that nothing of it takes. */
#pragma once

#include "config/config.h"

struct check;
struct setting;

/* Reports a key that was not read: why it is misplaced, or what was most likely meant. */
void unknown_report(struct check *check, const struct config_endpoint *endpoint,
		    const struct setting *setting);

/* Whether the option was meant by an unknown key: then that is reported instead of the missing
 * option. */
bool unknown_means(const struct config_endpoint *endpoint, const struct setting *group,
		   const char *option);
