/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Endpoints: from config values to the arguments of room net. No state. */
#include "session/endpoint_socket.h"

#include "base/assert.h"
#include "config/config.h"
#include "net/address.h"
#include "net/netns.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

enum {
	FRAMES_BUFFERED = 4,
	FRAMED_BUFFER_MIN = 256 << 10, /* bytes: several of the segments that TCP frees only when
					  they were read completely */
	PIECE = 64 << 10,	       /* bytes: ... the largest such segment */
	MESSAGE_OVERHEAD = 32,	       /* bytes */
	SENT_ANYWAY = 64 << 10,	       /* bytes of a message, */
	SEND_BUFFER_MIN = 128 << 10,   /* and of a buffer that is not smaller than the usual one */
};

static int64_t number_or(const struct config_endpoint *endpoint, enum config_endpoint_option option,
			 int64_t otherwise)
{
	const struct spliced_value *value = &endpoint->values[option].value;

	return value->state == SPLICED_UNSET ? otherwise : value->number;
}

/* A frame must be received completely to be peeked, and the buffer also accounts for overhead. A
 * segment of 64 KiB that was read up to the last frame in it still counts as unread: with a smaller
 * buffer the window would stay closed, and the rest of that frame could never arrive. */
static int64_t rcvbuf_for_frames(const struct config_endpoint *endpoint)
{
	int64_t least = (int64_t)FRAMES_BUFFERED * endpoint->max_frame;

	if (endpoint->framing <= SPLICED_FRAMING_NONE)
		return 0;
	return least > FRAMED_BUFFER_MIN ? least : FRAMED_BUFFER_MIN;
}

/* A message is sent whole, or not at all. For messages that fit every kernel's default buffer none
 * is requested. */
static int64_t sndbuf_for_messages(const struct config_endpoint *endpoint)
{
	if (endpoint->largest_frame <= SENT_ANYWAY)
		return 0;
	return endpoint->largest_frame > SEND_BUFFER_MIN ? endpoint->largest_frame
							 : SEND_BUFFER_MIN;
}

struct socket_options endpoint_socket_options(const struct config_endpoint *endpoint)
{
	int64_t rcvbuf = number_or(endpoint, ENDPOINT_RCVBUF, 0),
		least = rcvbuf_for_frames(endpoint);

	return (struct socket_options){
		.sndbuf = number_or(endpoint, ENDPOINT_SNDBUF, sndbuf_for_messages(endpoint)),
		.rcvbuf = rcvbuf > least ? rcvbuf : least,
		.mark = number_or(endpoint, ENDPOINT_MARK, -1),
		.priority = number_or(endpoint, ENDPOINT_PRIORITY, -1),
		.netns = endpoint->values[ENDPOINT_NETNS].value.text,
		.passed = endpoint->values[ENDPOINT_FD].value.text,
	};
}

int64_t endpoint_socket_least_rcvbuf(const struct config_endpoint *endpoint)
{
	if (endpoint->framing <= SPLICED_FRAMING_NONE ||
	    !(endpoint->legs[0].row->capabilities & SPLICED_TCP_INFO))
		return 0;
	return 2 * (int64_t)endpoint->max_frame + PIECE;
}

/* The kernel accepts a message that is MESSAGE_OVERHEAD bytes shorter than twice the requested size
 * (unix(7)). */
int64_t endpoint_socket_least_sndbuf(const struct config_endpoint *endpoint)
{
	return endpoint->largest_frame
		       ? ((int64_t)endpoint->largest_frame + MESSAGE_OVERHEAD + 1) / 2
		       : 0;
}

void endpoint_socket_set_accepted(const struct config_endpoint *endpoint, unsigned leg, int fd)
{
	struct socket_options common = endpoint_socket_options(endpoint);

	assert(leg < endpoint->n_legs && fd >= 0);
	socket_set_accepted(fd, endpoint->legs[leg].row, &common);
}

int endpoint_socket_open(const struct config_endpoint *endpoint, unsigned leg)
{
	struct socket_options common = endpoint_socket_options(endpoint);

	assert(leg < endpoint->n_legs);
	return socket_open(endpoint->legs[leg].family, &endpoint->legs[leg].options, &common);
}

/* What its number stands for is what the file says. */
static const char *describe_own(const struct config_leg *leg, char *text, size_t size)
{
	struct address address = leg->address;
	char *end;

	if (!leg->interface || address.storage.ss_family != AF_INET6)
		return address_describe(leg->family, leg->row, &address, text, size);
	((struct sockaddr_in6 *)&address.storage)->sin6_scope_id = 0;
	address_describe(leg->family, leg->row, &address, text, size);
	end = strrchr(text, ']');
	if (end && strlen(text) + 1 + strlen(leg->interface) < size) {
		memmove(end + 1 + strlen(leg->interface), end, strlen(end) + 1);
		*end = '%';
		memcpy(end + 1, leg->interface, strlen(leg->interface));
	}
	return text;
}

const char *endpoint_socket_describe(const struct config_endpoint *endpoint,
				     const struct config_leg *leg, const struct address *address,
				     char *text, size_t size)
{
	const char *netns = endpoint->values[ENDPOINT_NETNS].value.text;
	int before = -1;

	if (!address)
		return describe_own(leg, text, size);
	/* Only scopes have names that are looked up, and few addresses have one. */
	if (!netns || address->storage.ss_family != AF_INET6 ||
	    !((const struct sockaddr_in6 *)&address->storage)->sin6_scope_id ||
	    netns_enter(netns, &before) < 0)
		return address_describe(leg->family, leg->row, address, text, size);
	address_describe(leg->family, leg->row, address, text, size);
	netns_leave(before);
	return text;
}

int endpoint_socket_backlog(const struct config_endpoint *endpoint, unsigned leg)
{
	const struct family *family = endpoint->legs[leg].family;

	assert(leg < endpoint->n_legs);
	for (uint32_t i = 0; i < family->plugin.n_options; i++) {
		const struct spliced_value *value = &endpoint->legs[leg].values[i].value;

		if (!strcmp(family->options[i].name, "backlog") && value->state != SPLICED_UNSET)
			return (int)value->number;
	}
	return SOMAXCONN;
}
