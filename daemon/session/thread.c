/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session/thread.h"

#include <unistd.h>

void thread_wake(struct thread *thread)
{
	uint64_t one = 1;

	if (write(thread->wake_fd, &one, sizeof one) < 0)
		return; /* full: it is being woken already */
}
