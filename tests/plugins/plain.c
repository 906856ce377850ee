/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * IPv4 streams and datagrams, described in as few words as a family can use: the daemon does the
 * rest. A target may have a second host, the address that its sockets are bound to.
 */
#include <spliced/plugin.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

enum { COUNTED_PREPARED, COUNTED_BOUND };
enum { OPTION_HOST, OPTION_PORT, OPTION_SOURCE, OPTION_AT, OPTIONS };

/* clang-format off */
static const struct spliced_row rows[] = {
	{.type = SOCK_STREAM, .protocol = IPPROTO_TCP, .name = "tcp", .pattern = "HOST:PORT",
	 .capabilities = SPLICED_CAN_LISTEN | SPLICED_CAN_CONNECT | SPLICED_RELIABLE | SPLICED_HALF_CLOSE | SPLICED_RESET | SPLICED_TCP_INFO},
	{.type = SOCK_DGRAM, .protocol = IPPROTO_UDP, .name = "udp", .pattern = "AT:PORT", .max_message = 65507, .link_type = 147,
	 .capabilities = SPLICED_CAN_LISTEN | SPLICED_CAN_CONNECT | SPLICED_BOUNDARIES | SPLICED_CONNECTIONLESS},
};

static const struct spliced_option options_table[OPTIONS] = {
	[OPTION_HOST] = {.name = "host", .type = SPLICED_HOST, .rows = 1 << 0, .flags = SPLICED_REQUIRED | SPLICED_REOPEN,
		.doc = "IPv4 address or name"},
	[OPTION_PORT] = {.name = "port", .type = SPLICED_NUMBER, .min = 1, .max = 65535, .flags = SPLICED_REQUIRED | SPLICED_REOPEN,
		.doc = "Port number"},
	[OPTION_SOURCE] = {.name = "source", .type = SPLICED_HOST, .roles = SPLICED_CONNECT, .rows = 1 << 0, .flags = SPLICED_REOPEN,
		.doc = "IPv4 address that sockets are bound to"},
	[OPTION_AT] = {.name = "at", .type = SPLICED_HOST, .rows = 1 << 1, .flags = SPLICED_REQUIRED | SPLICED_REOPEN,
		.doc = "IPv4 address or name"},
};
/* clang-format on */

static const struct spliced_counter counters[] = {
	{.name = "prepared", .doc = "Sockets that were prepared"},
	{.name = "bound", .doc = "Sockets that were bound to a source"},
};

static int plain_address(const struct spliced_options *options, struct sockaddr_storage *address,
			 socklen_t *len)
{
	const struct spliced_value *host =
		spliced_value(options, options->row->type == SOCK_STREAM ? OPTION_HOST : OPTION_AT);
	const struct spliced_value *source = spliced_value(options, OPTION_SOURCE);
	struct sockaddr_in in = {.sin_family = AF_INET};

	SPLICED_COUNT(options, COUNTED_PREPARED, 1000);
	SPLICED_LOG(options, SPLICED_LOG_ERROR, "never: this is a checker");
	if (source->text && *source->text && !source->host) {
		SPLICED_ERROR(options, OPTION_SOURCE, "source is not an IPv4 address");
		return -EINVAL;
	}
	if (!host->host && *host->text)
		return -EADDRNOTAVAIL;
	if (host->host)
		memcpy(&in.sin_addr, host->host, sizeof in.sin_addr);
	in.sin_port = htons((uint16_t)spliced_value(options, OPTION_PORT)->number);
	memset(address, 0, sizeof *address);
	memcpy(address, &in, sizeof in);
	*len = sizeof in;
	return 0;
}

static int plain_describe(const struct spliced_row *row, const struct sockaddr *address,
			  socklen_t len, char *text, size_t size)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)address;
	char number[INET_ADDRSTRLEN];

	(void)row;
	if (len < sizeof *in || in->sin_family != AF_INET)
		return -EAFNOSUPPORT;
	inet_ntop(AF_INET, &in->sin_addr, number, sizeof number);
	return (size_t)snprintf(text, size, "%s:%u", number, ntohs(in->sin_port)) < size ? 0
											 : -ENOSPC;
}

static int plain_prepare(int fd, const struct spliced_options *options)
{
	const struct spliced_value *source = spliced_value(options, OPTION_SOURCE);
	struct sockaddr_in in = {.sin_family = AF_INET};

	SPLICED_COUNT(options, COUNTED_PREPARED, 1);
	SPLICED_LOG(options, SPLICED_LOG_NOTICE, "a %s socket is prepared",
		    options->role == SPLICED_LISTEN ? "listening" : "connecting");
	if (!source->host)
		return 0;
	SPLICED_COUNT(options, COUNTED_BOUND, 1);
	memcpy(&in.sin_addr, source->host, sizeof in.sin_addr);
	return bind(fd, (const struct sockaddr *)&in, sizeof in) < 0 ? -errno : 0;
}

/* No message may say "forged"; what comes before a colon is removed. */
static int plain_received(const struct spliced_options *options, const struct msghdr *received,
			  struct spliced_message *message)
{
	const char *colon = message->len ? memchr(message->data, ':', message->len) : NULL;

	(void)options;
	(void)received;
	if (message->len == 6 && !memcmp(message->data, "forged", 6))
		return -EPERM;
	if (colon) {
		message->len -= (size_t)(colon + 1 - (const char *)message->data);
		message->data = colon + 1;
	}
	return 0;
}

const struct spliced_plugin spliced_plugin = {
	SPLICED_PLUGIN_HEAD(0),	  .name = "plain",
	.domain = AF_INET,	  .n_rows = sizeof rows / sizeof *rows,
	.n_options = OPTIONS,	  .rows = rows,
	.options = options_table, .summary = "IPv4, in few words",
	.address = plain_address, .describe = plain_describe,
	.prepare = plain_prepare, .received = plain_received,
	.counters = counters,	  .n_counters = sizeof counters / sizeof *counters,
};
