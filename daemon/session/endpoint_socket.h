/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The configuration of an endpoint as arguments of the socket functions. */
#pragma once

#include "net/socket.h"

#include <stdbool.h>

struct config_endpoint;
struct config_leg;

/* The options of every family. */
struct socket_options endpoint_socket_options(const struct config_endpoint *endpoint);

/* The buffers, as socket_granted() tells them, needed to peek at the longest frame, and to send the
 * longest message; 0: any. */
int64_t endpoint_socket_least_rcvbuf(const struct config_endpoint *endpoint);
int64_t endpoint_socket_least_sndbuf(const struct config_endpoint *endpoint);

/* Sets what an accepted socket does not inherit from the listening one. */
void endpoint_socket_set_accepted(const struct config_endpoint *endpoint, unsigned leg, int fd);

/* A socket for a leg of a target, ready to be connected: the descriptor or negative errno. */
int endpoint_socket_open(const struct config_endpoint *endpoint, unsigned leg);

/* A leg's own address (address NULL), or that of a peer of its sockets, as text: see
 * address_describe(). A scope has the name that the interface has in the endpoint's network
 * namespace. */
const char *endpoint_socket_describe(const struct config_endpoint *endpoint,
				     const struct config_leg *leg, const struct address *address,
				     char *text, size_t size);

/* The length of a listening socket's queue: the family's `backlog`, where it has one. */
int endpoint_socket_backlog(const struct config_endpoint *endpoint, unsigned leg);
