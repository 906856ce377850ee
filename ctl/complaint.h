/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Errors of splicectl itself, when there is no answer of the daemon. */
#pragma once

/* From now on complaints are answers in JSON, on standard output, for programs that asked for
 * JSON. */
void complaint_in_json(void);

/* Reports what is wrong: one line on standard error, with the program's name; or {"ok": false,
 * "error": ..., "exit": code}. */
void complaint_say(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
