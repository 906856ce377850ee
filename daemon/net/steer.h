/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which socket of a SO_REUSEPORT group a new TCP connection goes to. */
#pragma once

#include <stdint.h>

/* Which SO_REUSEPORT group a listening TCP socket is in: the same number for all of one group, and
 * not 0; 0 where it is in none. */
uint64_t steer_group(int fd);

/* New connections to the group that the socket is in go to those at these places, at random; to a
 * place that is none, as if nothing was said (SO_ATTACH_REUSEPORT_CBPF). A place is the number of
 * sockets that were there before, but the last takes that of one that is closed. Without places: to
 * all of them. 0 or negative errno. */
int steer_to(int fd, const uint16_t *places, unsigned count);

/* No new connection finds the socket any more, as if it were bound to a device that is nowhere:
 * those of its address get it, or a client is refused. Handshakes under way finish. Others of its
 * group would still share with it: it is for whole groups. -EPERM: it is bound to a device, and
 * CAP_NET_RAW lacks. */
int steer_hide(int fd);
