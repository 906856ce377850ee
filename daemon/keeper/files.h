/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The files that are left to a worker: Landlock, landlock(7). */
#pragma once

struct generation;

/* Leaves the calling process, which has one thread, the files that carrying these generations takes. Connecting to a UNIX socket is no
 * use of a file here, and what is open stays so. Returns an enum ledger_wall, or negative errno: nothing has changed. */
int files_shut(const struct generation *newest);
