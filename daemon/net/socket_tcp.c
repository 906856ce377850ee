/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Queries that only TCP has. What surprised us: TCP_INFO still works after a reset, and its state
 * CLOSE without a FIN of ours is the only way to tell a reset from EOF once the error has been
 * read; SIOCOUTQ and TCP_INFO are not read atomically, so they are read until they agree.
 */
#include "net/socket.h"

#include <linux/filter.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* The kernel's struct, which is longer than the C library's. */
#include <linux/tcp.h>

int socket_tcp_state(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof info;

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 ? -1 : info.tcpi_state;
}

int socket_unsent(int fd)
{
	int bytes = 0;

	return ioctl(fd, SIOCOUTQ, &bytes) < 0 ? 0 : bytes;
}

/* Reads a count before and after the queue's length until it did not change; it changes while the
 * peer sends, so only a few rounds are tried. */
static bool steady_count(int fd, unsigned long queue, bool received, uint64_t *ret)
{
	for (int i = 0; i < 64; i++) {
		struct tcp_info before = {0}, after = {0};
		socklen_t len = sizeof before;
		int waiting = 0;
		uint64_t a, b;

		if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &before, &len) < 0 ||
		    ioctl(fd, queue, &waiting) < 0)
			return false;
		len = sizeof after;
		if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &after, &len) < 0)
			return false;
		a = received ? before.tcpi_bytes_received : before.tcpi_bytes_acked;
		b = received ? after.tcpi_bytes_received : after.tcpi_bytes_acked;
		if (a != b)
			continue;
		*ret = received ? a - (uint64_t)waiting : a + (uint64_t)waiting;
		return true;
	}
	return false;
}

bool socket_tcp_counts(int fd, uint64_t *taken, uint64_t *put)
{
	return steady_count(fd, SIOCINQ, true, taken) && steady_count(fd, SIOCOUTQ, false, put);
}

void socket_keep_urgent(int fd)
{
	int on = 1;

	setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);
}

bool socket_is_at_mark(int fd)
{
	int answer = 0;

	return !ioctl(fd, SIOCATMARK, &answer) && answer;
}

int socket_unread(int fd)
{
	int bytes = 0;

	return ioctl(fd, SIOCINQ, &bytes) < 0 ? 0 : bytes;
}

static bool has_said_fin(int state)
{
	return state == SOCKET_TCP_CLOSE_WAIT || state == SOCKET_TCP_LAST_ACK ||
	       state == SOCKET_TCP_CLOSING || state == SOCKET_TCP_TIME_WAIT;
}

/* The kernel counts a FIN as a received byte, but not as a readable one. */
bool socket_tcp_consumed(int fd, struct socket_consumed *ret)
{
	for (int i = 0; i < 64; i++) {
		int before = socket_tcp_state(fd);
		uint64_t bytes;

		if (before < 0 || !steady_count(fd, SIOCINQ, true, &bytes))
			return false;
		if (socket_tcp_state(fd) != before)
			continue;
		ret->bytes = bytes;
		ret->reset = before == SOCKET_TCP_CLOSE && socket_poll(fd, 0) & POLLERR;
		ret->fin = has_said_fin(before) || (before == SOCKET_TCP_CLOSE && !ret->reset);
		return true;
	}
	return false;
}

bool socket_is_fresh(int fd)
{
	int state = socket_tcp_state(fd);

	/* After a FIN of ours the state is neither ESTABLISHED nor CLOSE_WAIT. */
	return state < 0 || state == SOCKET_TCP_ESTABLISHED || state == SOCKET_TCP_CLOSE_WAIT ||
	       state == SOCKET_TCP_SYN_RECV;
}

void socket_stop_syn(int fd)
{
	/* The filter of a TCP socket sees the packet from the TCP header on; byte 13 holds the
	 * flags. */
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
	};
	struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};

	if (socket_tcp_state(fd) >= 0)
		setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}
