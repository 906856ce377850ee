/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The family tun: a network interface whose packets (tun) or frames (tap) are messages of a target or a dial; see
 * Documentation/networking/tuntap.rst of Linux. open() attaches to the interface, which is made where it does not exist. Built out of
 * tree, like tipc; spliced-plugin(7).
 */
#include <spliced/plugin.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { OPTION_INTERFACE, OPTIONS, CAP_NET_ADMIN_BIT = 12, FRAME_MAX = 65535 };
enum { ROW_TAP, ROW_TUN, ROWS };

static const struct spliced_option options_[OPTIONS] = {
	[OPTION_INTERFACE] = {.name = "interface", .type = SPLICED_INTERFACE, .flags = SPLICED_REQUIRED | SPLICED_REOPEN,
			      .doc = "Name of the interface"},
};

/* The pcap link types are those of Ethernet and of IP. */
static const struct spliced_row rows[ROWS] = {
	[ROW_TAP] = {.type = SOCK_RAW, .scheme = "tap", .pattern = "INTERFACE", .link_type = 1, .max_message = FRAME_MAX,
		     .capabilities = SPLICED_CAN_CONNECT | SPLICED_BOUNDARIES | SPLICED_FILE},
	[ROW_TUN] = {.type = SOCK_DGRAM, .scheme = "tun", .pattern = "INTERFACE", .link_type = 101, .max_message = FRAME_MAX,
		     .capabilities = SPLICED_CAN_CONNECT | SPLICED_BOUNDARIES | SPLICED_FILE},
};

/* A file has no address: the interface's name, for logs. */
struct name {
	sa_family_t family;
	char interface[IFNAMSIZ];
};

static int tun_address(const struct spliced_options *options, struct sockaddr_storage *address, socklen_t *len)
{
	struct name *name = (struct name *)address;

	memset(address, 0, sizeof *address);
	name->family = AF_UNSPEC;
	snprintf(name->interface, sizeof name->interface, "%s", spliced_value(options, OPTION_INTERFACE)->text);
	*len = sizeof *name;
	return 0;
}

static int tun_describe(const struct spliced_row *row, const struct sockaddr *address, socklen_t len, char *text, size_t size)
{
	const struct name *name = (const struct name *)address;

	(void)row;
	if (len < sizeof *name)
		return -EAFNOSUPPORT;
	return (size_t)snprintf(text, size, "%.*s", IFNAMSIZ, name->interface) < size ? 0 : -ENOSPC;
}

static uint64_t tun_privileges(const struct spliced_options *options)
{
	(void)options;
	return UINT64_C(1) << CAP_NET_ADMIN_BIT;
}

static int tun_open(const struct spliced_options *options)
{
	struct ifreq request = {.ifr_flags = (short)((options->row->type == SOCK_RAW ? IFF_TAP : IFF_TUN) | IFF_NO_PI)};
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	snprintf(request.ifr_name, sizeof request.ifr_name, "%s", spliced_value(options, OPTION_INTERFACE)->text);
	if (ioctl(fd, TUNSETIFF, &request) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

const struct spliced_plugin spliced_plugin = {
	SPLICED_PLUGIN_HEAD(0),
	.name = "tun",
	.summary = "Network interfaces whose packets are messages",
	.n_rows = ROWS,
	.n_options = OPTIONS,
	.rows = rows,
	.options = options_,
	.address = tun_address,
	.describe = tun_describe,
	.privileges = tun_privileges,
	.open = tun_open,
};
