/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Endpoints: from config values to the arguments of room net. Keeps nothing. */
#include "flow/endpoint.h"

#include "config/config.h"
#include "net/address.h"
#include "net/netns.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

enum {
	FRAMES_BUFFERED = 4,
	FRAMED_BUFFER_MIN = 256 << 10, /* bytes: several of the pieces that TCP keeps whole until all of a piece is read */
};

static int64_t number_or(const struct config_endpoint *endpoint, enum config_endpoint_option option, int64_t otherwise)
{
	const struct spliced_value *value = &endpoint->values[option].value;

	return value->state == SPLICED_UNSET ? otherwise : value->number;
}

struct socket_options endpoint_socket_options(const struct config_endpoint *endpoint)
{
	int64_t rcvbuf = number_or(endpoint, ENDPOINT_RCVBUF, 0), least = 0;

	/* A whole frame must be there to be peeked, and a socket's buffer holds more than bytes. Of a piece of 64 KiB that was read up to the
	 * last frame in it, all counts as unread: a smaller buffer would have no window for the rest of that frame, for ever. */
	if (endpoint->framing > SPLICED_FRAMING_NONE)
		least = (int64_t)FRAMES_BUFFERED * endpoint->max_frame;
	if (least && least < FRAMED_BUFFER_MIN)
		least = FRAMED_BUFFER_MIN;
	return (struct socket_options){
		.sndbuf = number_or(endpoint, ENDPOINT_SNDBUF, 0),
		.rcvbuf = rcvbuf > least ? rcvbuf : least,
		.mark = number_or(endpoint, ENDPOINT_MARK, -1),
		.priority = number_or(endpoint, ENDPOINT_PRIORITY, -1),
		.netns = endpoint->values[ENDPOINT_NETNS].value.text,
		.passed = endpoint->values[ENDPOINT_FD].value.text,
	};
}

void endpoint_set_accepted(const struct config_endpoint *endpoint, unsigned leg, int fd)
{
	struct socket_options common = endpoint_socket_options(endpoint);

	socket_set_accepted(fd, endpoint->legs[leg].family, &common);
}

int endpoint_open(const struct config_endpoint *endpoint, unsigned leg)
{
	struct socket_options common = endpoint_socket_options(endpoint);

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

const char *endpoint_describe(const struct config_endpoint *endpoint, const struct config_leg *leg, const struct address *address, char *text,
			      size_t size)
{
	const char *netns = endpoint->values[ENDPOINT_NETNS].value.text;
	int before = -1;

	if (!address)
		return describe_own(leg, text, size);
	/* Only scopes have names that are looked up, and few addresses have one. */
	if (!netns || address->storage.ss_family != AF_INET6 || !((const struct sockaddr_in6 *)&address->storage)->sin6_scope_id ||
	    netns_enter(netns, &before) < 0)
		return address_describe(leg->family, leg->row, address, text, size);
	address_describe(leg->family, leg->row, address, text, size);
	netns_leave(before);
	return text;
}

int endpoint_backlog(const struct config_endpoint *endpoint, unsigned leg)
{
	const struct family *family = endpoint->legs[leg].family;

	for (uint32_t i = 0; i < family->plugin.n_options; i++) {
		const struct spliced_value *value = &endpoint->legs[leg].values[i].value;

		if (!strcmp(family->options[i].name, "backlog") && value->state != SPLICED_UNSET)
			return (int)value->number;
	}
	return SOMAXCONN;
}
