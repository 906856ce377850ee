/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which socket of a SO_REUSEPORT group a new TCP connection goes to. */
#pragma once

#include <stdint.h>

/* The SO_REUSEPORT group of a listening TCP socket: a number that is the same for all of the group;
 * 0: it is in none. */
uint64_t steer_group(int fd);

/* Sends new connections to the socket's group to the sockets at these places, at random; a place
 * that does not exist falls back to the kernel's hash (SO_ATTACH_REUSEPORT_CBPF). A socket's place
 * is the number of sockets in the group before it; when one is closed, the last takes its place.
 * Without places: to all of them. 0 or negative errno. */
int steer_to(int fd, const uint16_t *places, unsigned count);

/* Hides the socket from new connections, by binding it to a device that does not exist: other
 * sockets with its address get them, or the client is refused. Handshakes under way finish. Others
 * of its group would still share with it, so use it for whole groups. -EPERM: it is bound to a
 * device, and CAP_NET_RAW is missing. */
int steer_hide(int fd);
