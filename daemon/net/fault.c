/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Faults. It keeps nothing. */
#include "net/fault.h"

#include <errno.h>

enum fault fault_of(int error)
{
	switch (error) {
	case EAGAIN:
		return FAULT_BLOCKED;
	case EINTR:
		return FAULT_INTERRUPTED;
	case ENOMEM:
	case ENOBUFS:
	case EMFILE:
	case ENFILE:
	case ENOSPC: /* of epoll_ctl(2): fs.epoll.max_user_watches */
		return FAULT_SHORTAGE;
	case EMSGSIZE:
		return FAULT_MESSAGE;
	case ECONNRESET:
	case EPIPE:
	case ECONNABORTED:
	case ECONNREFUSED:
	case ENOTCONN:
	case ESHUTDOWN:
	case ETIMEDOUT:
	case EHOSTUNREACH:
	case EHOSTDOWN:
	case ENETUNREACH:
	case ENETDOWN:
	case ENETRESET:
	case ENONET:
	case EPROTO:
	case ENOENT: /* a UNIX address that is not bound */
	case ENODEV:
	case ENXIO:
	case EIO: /* a line that was hung up */
		return FAULT_PEER;
	}
	return FAULT_CALL;
}
