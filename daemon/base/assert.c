/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Assertions that failed. The message is logged without allocating or locking: the failure may be
 * in any thread of any process, in the log's own code too. */
#include "base/assert.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>

/* As the tree has it, however the build names it. */
static const char *name_in_tree(const char *file)
{
	const char *found = strstr(file, "daemon/");

	return found ? found : file;
}

void assert_fail(const char *file, unsigned line, const char *expression)
{
	static _Thread_local bool failed;

	if (!failed) {
		failed = true;
		log_write(LOG_ERR, "%s:%u: assertion failed: %s", name_in_tree(file), line,
			  expression);
	}
	abort();
}
