/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The audit. Keeps nothing. What surprised us: bytes_acked counts the SYN of a connection that we
 * opened, so that one byte too many has been put into the target's; and it counts a FIN, so that
 * only pairs that never sent one can be audited.
 */
#include "ledger/audit.h"

#include "ledger/ledger.h"
#include "net/socket.h"

#include <sys/ioctl.h>

enum { ACTIVE_OPEN_SYN = 1 };

static int64_t in_pipe(const struct ledger_direction *direction)
{
	int bytes = 0;

	if (direction->pipe >= 0)
		ioctl(direction->pipe, FIONREAD, &bytes);
	return bytes;
}

enum audit_result audit_session(const struct ledger_session *record, int64_t *missing)
{
	uint64_t taken[2], put[2];

	*missing = 0;
	for (int side = 0; side < 2; side++)
		if (socket_tcp_state(record->fd[side]) != SOCKET_TCP_ESTABLISHED ||
		    !socket_tcp_counts(record->fd[side], &taken[side], &put[side]))
			return AUDIT_UNKNOWN;
	put[1] -= ACTIVE_OPEN_SYN;
	if (record->front == FRONT_DIALED)
		put[0] -= ACTIVE_OPEN_SYN;
	for (int d = 0; d < 2 && !*missing; d++)
		*missing = (int64_t)(taken[d] - put[!d]) - in_pipe(&record->direction[d]);
	if (!*missing)
		return AUDIT_RIGHT;
	/* A FIN or a reset that came in while we looked changes the meaning of the counts. */
	for (int side = 0; side < 2; side++)
		if (socket_tcp_state(record->fd[side]) != SOCKET_TCP_ESTABLISHED)
			return AUDIT_UNKNOWN;
	return AUDIT_WRONG;
}
