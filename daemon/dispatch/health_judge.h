/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the answer to a health check means. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct config_health;

/* WAITS: more of the answer is needed. */
enum health_verdict { VERDICT_WELL, VERDICT_WRONG, VERDICT_WAITS };

/* Judges the first bytes of an answer, NUL-terminated; ended: no more of them come, or are taken.
 * WRONG: why goes into error. */
enum health_verdict health_judge(const struct config_health *health, const char *answer, size_t len,
				 bool ended, char *error, size_t size);
