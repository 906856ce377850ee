/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session/thread.h"

#include "base/assert.h"

#include <unistd.h>

_Thread_local struct thread *thread_self;

void thread_wake(struct thread *thread)
{
	uint64_t one = 1;

	assert(thread->wake_fd >= 0);
	if (write(thread->wake_fd, &one, sizeof one) < 0)
		return; /* full: it is being woken already */
}
