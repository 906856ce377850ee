/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Members of an answer, by dotted path ("sessions.active"). An older daemon may not send what a
 * newer one does: what is absent, null or of another type reads as nothing, never as an error. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

/* Borrowed; NULL where absent. */
const json_t *member(const json_t *object, const char *path);
/* Borrowed; "" where absent. */
const char *member_text(const json_t *object, const char *path);
bool member_true(const json_t *object, const char *path);
/* 0 where absent. */
json_int_t member_number(const json_t *object, const char *path);
/* Integers and reals; 0 where absent. */
double member_real(const json_t *object, const char *path);
