/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Validation of listeners' records: the part of validate.h that looks at them. */
#pragma once

#include <stdint.h>

struct validating;

/* Drops a record that does not fit. What a listener has, no session has. */
void validate_listener(struct validating *v, uint32_t index);

/* Of two that are listened on in one place, drops the one that is bound elsewhere: it has come
 * there by a wrong word. */
void validate_listener_places(struct validating *v);
