/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Receiving. What surprised us about the kernel:
 *
 *   - Descriptors (SCM_RIGHTS) for which the control buffer has room are installed, again at each
 *     peek. Without room they are discarded, and MSG_CTRUNC is set: but it is also set if requested
 *     credentials, time stamps and the like did not fit.
 *   - Credentials come first. If they are needed there is room for exactly them.
 *   - A socket's pending error comes before its messages, also between the peek and the call that
 *     consumes; a netlink socket with a dump under way that does not fit makes a new error at each
 *     call.
 *   - TIPC refuses to read into an empty buffer: consuming a message uses one byte.
 */
#include "move/receive.h"

#include "base/assert.h"
#include "net/socket.h"
#include "session/buffers.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	ERRORS_PASSED = 16,
	CREDENTIALS_SIZE = CMSG_SPACE(sizeof(struct ucred)),
};

static size_t control_size(const struct spliced_row *row)
{
	if (row->capabilities & SPLICED_CREDENTIALS)
		return CREDENTIALS_SIZE;
	return row->capabilities & SPLICED_PASSES_FDS ? 0 : BUFFERS_CONTROL;
}

void receive_prepare(int fd, const struct spliced_row *row)
{
	assert(fd >= 0);
	if (row->capabilities & SPLICED_BOUNDARIES && !(row->capabilities & SPLICED_FILE) &&
	    row->capabilities & (SPLICED_CREDENTIALS | SPLICED_PASSES_FDS))
		socket_tell_only_credentials(fd, row->capabilities & SPLICED_CREDENTIALS);
}

static bool is_stripped(const struct spliced_row *row, const struct msghdr *header)
{
	return row->capabilities & SPLICED_PASSES_FDS && header->msg_flags & MSG_CTRUNC;
}

static void aim(struct buffers *buffers, unsigned i, size_t size, size_t control)
{
	assert(i < BUFFERS_BATCH && control <= BUFFERS_CONTROL);
	assert(i * (BUFFERS_HEADROOM + size) + BUFFERS_HEADROOM + size <= sizeof buffers->bytes);
	buffers->in_parts[i] = (struct iovec){
		buffers->bytes + i * (BUFFERS_HEADROOM + size) + BUFFERS_HEADROOM, size};
	buffers->in[i].msg_hdr =
		(struct msghdr){.msg_iov = &buffers->in_parts[i],
				.msg_iovlen = 1,
				.msg_name = &buffers->from[i],
				.msg_namelen = sizeof buffers->from[i],
				.msg_control = control ? buffers->control[i] : NULL,
				.msg_controllen = control};
}

/* For a file each read(2) is a message, without a sender. */
static int read_message(struct buffers *buffers, int fd, size_t size)
{
	ssize_t n;

	aim(buffers, 0, size, 0);
	buffers->in[0].msg_hdr.msg_namelen = 0;
	n = read(fd, buffers->in_parts[0].iov_base, size);
	if (n < 0)
		return -errno;
	buffers->in[0].msg_len = (unsigned)n;
	return 1;
}

int receive_messages(struct buffers *buffers, int fd, const struct spliced_row *row, size_t size,
		     unsigned count, int flags)
{
	ssize_t n;

	assert(count > 0 && count <= BUFFERS_BATCH);
	assert(!(flags & MSG_PEEK) || count == 1);
	assert_costly(assert_is_open(fd));
	if (row->capabilities & SPLICED_FILE)
		return read_message(buffers, fd, size);
	for (unsigned i = 0; i < count; i++)
		aim(buffers, i, size, control_size(row));
	flags |= MSG_TRUNC | MSG_DONTWAIT;
	if (count > 1) {
		n = recvmmsg(fd, buffers->in, count, flags, NULL);
		return n < 0 ? -errno : (int)n;
	}
	n = recvmsg(fd, &buffers->in[0].msg_hdr, flags);
	if (n < 0)
		return -errno;
	buffers->in[0].msg_len = (unsigned)n;
	return 1;
}

unsigned receive_count_stripped(const struct buffers *buffers, const struct spliced_row *row,
				unsigned count)
{
	unsigned stripped = 0;

	assert(count <= BUFFERS_BATCH);
	for (unsigned i = 0; i < count; i++)
		stripped += is_stripped(row, &buffers->in[i].msg_hdr);
	return stripped;
}

/* An empty queue is believed only the second time: the message that was peeked must still be
 * there. */
bool receive_take(int fd, const struct spliced_row *row, struct receive_taken *ret)
{
	_Alignas(struct cmsghdr) char control[CREDENTIALS_SIZE];
	bool empty = false;
	char byte;

	assert(fd >= 0);
	assert(row->capabilities & SPLICED_BOUNDARIES);
	*ret = (struct receive_taken){0};
	for (int i = 0; i < ERRORS_PASSED; i++) {
		struct iovec part = {&byte, sizeof byte};
		struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};

		if (row->capabilities & SPLICED_CREDENTIALS) {
			header.msg_control = control;
			header.msg_controllen = sizeof control;
		}
		if (recvmsg(fd, &header, MSG_DONTWAIT | MSG_TRUNC) >= 0) {
			ret->stripped = is_stripped(row, &header);
			return true;
		}
		if (errno == EAGAIN && empty)
			return true;
		empty = errno == EAGAIN;
		ret->lost += errno == ENOBUFS;
	}
	return false;
}
