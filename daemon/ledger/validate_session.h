/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Validation of a session's record: the part of validate.h that looks at them. */
#pragma once

#include <stdint.h>

struct validating;

/* Puts a session's record right, or drops it. */
void validate_session(struct validating *v, uint32_t slot);
