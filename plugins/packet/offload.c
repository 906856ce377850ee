/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Offloads. Between a protocol and its adapter, or the other end of a veth, frames are unfinished:
 * checksums that the adapter is to write, and segments merged into one frame of 64 KiB. Their
 * description (struct virtio_net_hdr) is forwarded if both sides support it; otherwise such frames
 * would be lost silently, so the route is refused.
 */
#include "packet/packet.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

enum { SUPER_FRAME = 65600 }; /* bytes: the largest frame of GSO and GRO, with all its headers */

static bool ask(int fd, const char *interface, void *command)
{
	struct ifreq request = {.ifr_data = command};

	snprintf(request.ifr_name, sizeof request.ifr_name, "%s", interface);
	return !ioctl(fd, SIOCETHTOOL, &request);
}

static bool is_on(int fd, const char *interface, uint32_t command)
{
	struct ethtool_value value = {.cmd = command};

	return ask(fd, interface, &value) && value.data;
}

static bool has_lro(int fd, const char *interface)
{
	struct ethtool_value value = {.cmd = ETHTOOL_GFLAGS};

	return ask(fd, interface, &value) && value.data & ETH_FLAG_LRO;
}

/* What comes in was unfinished when another interface of this machine, or of its host, sent it. */
static bool is_virtual(int fd, const char *interface)
{
	static const char *const drivers[] = {"veth",	"tun",	   "virtio_net",
					      "bridge", "macvlan", "dummy"};
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};

	if (!ask(fd, interface, &info))
		return false;
	for (size_t i = 0; i < sizeof drivers / sizeof *drivers; i++)
		if (!strcmp(info.driver, drivers[i]))
			return true;
	return false;
}

static void add(char *words, size_t size, bool on, const char *word)
{
	size_t len = strlen(words);

	if (on)
		snprintf(words + len, size - len, " %s off", word);
}

int packet_check_offloads(int fd, const struct spliced_options *options, const char *interface)
{
	bool header = packet_has_vnet(options), made_here;
	uint64_t room = options->far ? options->far->max_message : 0;
	char words[96] = "";

	if (options->format || !options->far || options->row->type != SOCK_RAW ||
	    (header && (!room || room >= SUPER_FRAME)))
		return 0;
	made_here = is_virtual(fd, interface) || packet_direction(options) != PACKET_IN;
	add(words, sizeof words, !header && made_here && is_on(fd, interface, ETHTOOL_GTXCSUM),
	    "tx");
	add(words, sizeof words, made_here && is_on(fd, interface, ETHTOOL_GTSO), "tso");
	add(words, sizeof words, made_here && is_on(fd, interface, ETHTOOL_GGSO), "gso");
	add(words, sizeof words, is_on(fd, interface, ETHTOOL_GGRO), "gro");
	add(words, sizeof words, has_lro(fd, interface), "lro");
	if (!*words)
		return 0;
	SPLICED_ERROR(
		options, PACKET_OPTION_INTERFACE,
		"%s delivers frames that are incomplete or too large for the other side; first run, for it and, if it is one end "
		"of a veth pair, for the other end: ethtool -K %s%s%s",
		interface, interface, words,
		header ? "" : "; or set vnet_header = true to forward the missing data");
	return -EOPNOTSUPP;
}
