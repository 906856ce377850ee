/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Endpoint strings: SCHEME://ADDRESS?option=value&... becomes the group that means the same. */
#pragma once

#include "config/config.h"

struct check;
struct setting;

/*
 * Parses an endpoint string: *group gets its options and those implied by the scheme (family,
 * type), *address (of check->scratch) the part between "://" and "?", still encoded. On failure
 * *group is NULL, and the error is reported. 0 or -ENOMEM.
 */
int scheme_split(struct check *check, const struct setting *string, struct setting **group,
		 const char **address);

/* Adds the parts of the address to the group by a row's pattern ("HOST:PORT"). *well: it matched;
 * if not, the error is reported. 0 or -ENOMEM. */
int scheme_add_address(struct check *check, struct setting *group, const char *pattern,
		       const char *address, bool *well);

/* Prints an endpoint as a string: its scheme and address, no options. -ENOMEM, or 0. */
int scheme_print(struct check *check, const struct config_endpoint *endpoint, char **ret);
