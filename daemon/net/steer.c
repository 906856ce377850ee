/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SO_REUSEPORT groups of listening TCP sockets. A socket is in the group from listen(2) to its end;
 * the kernel gives each new connection to one of the group, as selected by an attached program, or
 * by a hash. What surprised us: the program returns a place, and places move when a socket is
 * closed; and a socket that drops its packets still gets its share.
 */
#include "net/steer.h"

#include "net/socket.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

enum { PLACES_MAX = 1024, CODE_MAX = 2 * PLACES_MAX + 3 };

static int number_of(int fd, int level, int option)
{
	int value = 0;
	socklen_t len = sizeof value;

	return getsockopt(fd, level, option, &value, &len) < 0 ? 0 : value;
}

/* The kernel's inet_reuseport_add_sock() compares these, and the user. */
uint64_t steer_group(int fd)
{
	struct {
		uint64_t namespace;
		int64_t device, v6only;
		uint8_t address[16];
		uint32_t family, port, scope;
		uint32_t pad;
	} key = {0};
	socklen_t len = sizeof key.namespace;
	struct address own;
	const void *storage = &own.storage;
	uint64_t group;

	if (number_of(fd, SOL_SOCKET, SO_PROTOCOL) != IPPROTO_TCP ||
	    !number_of(fd, SOL_SOCKET, SO_REUSEPORT) || !number_of(fd, SOL_SOCKET, SO_ACCEPTCONN) ||
	    socket_local_address(fd, &own) < 0)
		return 0;
	getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &key.namespace, &len);
	key.device = number_of(fd, SOL_SOCKET, SO_BINDTOIFINDEX);
	key.family = own.storage.ss_family;
	if (key.family == AF_INET6) {
		const struct sockaddr_in6 *in6 = storage;

		key.v6only = number_of(fd, SOL_IPV6, IPV6_V6ONLY);
		memcpy(key.address, &in6->sin6_addr, sizeof in6->sin6_addr);
		key.port = in6->sin6_port;
		key.scope = in6->sin6_scope_id;
	} else if (key.family == AF_INET) {
		const struct sockaddr_in *in = storage;

		memcpy(key.address, &in->sin_addr, sizeof in->sin_addr);
		key.port = in->sin_port;
	} else {
		return 0;
	}
	group = XXH3_64bits(&key, sizeof key);
	return group ? group : 1;
}

/* Only the first packet of a connection is steered, so a random choice loses nothing, and avoids
 * parsing headers, whose offsets differ between IPv4 and IPv6. */
int steer_to(int fd, const uint16_t *places, unsigned count)
{
	struct sock_filter code[CODE_MAX];
	struct sock_fprog program = {.filter = code};
	unsigned n = 0;

	if (!count)
		return setsockopt(fd, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, &n, sizeof n) < 0 &&
				       errno != ENOENT
			       ? -errno
			       : 0;
	if (count > PLACES_MAX)
		return -E2BIG;
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						 (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM));
	code[n++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, count);
	for (unsigned i = 0; i < count; i++) {
		code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, i, 0, 1);
		code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, places[i]);
	}
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, UINT32_MAX);
	program.len = (unsigned short)n;
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program) < 0
		       ? -errno
		       : 0;
}

int steer_hide(int fd)
{
	/* SO_BINDTODEVICE would need an existing device. */
	int nowhere = INT32_MAX;

	return setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &nowhere, sizeof nowhere) < 0 ? -errno
											  : 0;
}
