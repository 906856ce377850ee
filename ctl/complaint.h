/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What splicectl itself has to say, where no answer of the daemon's does. */
#pragma once

/* From now on complaints are answers in JSON, on standard output: who asked for JSON gets nothing
 * else. */
void complaint_in_json(void);

/* Says what is wrong: one line on standard error, with the program's name; or {"ok": false,
 * "error": ..., "exit": code}. */
void complaint_say(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
