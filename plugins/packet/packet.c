/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The family packet, packet(7): frames of a network interface, as they are (raw) or from the
 * network's header on (dgram, cooked). A socket is opened without a protocol, so that it receives
 * nothing; then its filter is attached and locked; then it is bound. If its interface does not
 * exist, was renamed or was created again, it is waited for: check() binds the socket again.
 */
#include "packet/packet.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

enum {
	BUFFER_BYTES = 4 << 20,
	PROTOCOL_NONE =
		0xffff, /* of Ethernet's, reserved: a socket that is bound to it receives nothing */
	CAP_NET_RAW_BIT = 13,
};

static const char *const protocols[] = {"all", "ip", "ipv6", "arp", NULL};
static const uint16_t protocol_numbers[] = {ETH_P_ALL, ETH_P_IP, ETH_P_IPV6, ETH_P_ARP};
static const char *const directions[] = {"in", "out", "inout", NULL};

#define ROW_RAW (UINT64_C(1) << 0)

/* clang-format off */
static const struct spliced_option options_[PACKET_OPTIONS] = {
	[PACKET_OPTION_INTERFACE] = {.name = "interface", .type = SPLICED_INTERFACE,
		.flags = SPLICED_REQUIRED | SPLICED_REOPEN,
		.doc = "Network interface; if missing, waited for. With type dgram, any is all interfaces"},
	[PACKET_OPTION_PROTOCOL] = {.name = "protocol", .type = SPLICED_WORD_OR_NUMBER, .words = protocols, .max = 0xfffe,
		.flags = SPLICED_REOPEN, .default_text = "all",
		.doc = "Only frames of this protocol: a word, or an EtherType number"},
	[PACKET_OPTION_FILTER] = {.name = "filter", .type = SPLICED_STRING,
		.flags = SPLICED_REOPEN,
		.doc = "Only frames that match this pcap-filter(7) expression, for example \"tcp port 80\""},
	[PACKET_OPTION_PROMISCUOUS] = {.name = "promiscuous", .type = SPLICED_BOOL,
		.flags = SPLICED_REOPEN, .default_text = "false",
		.doc = "Also receive frames for other machines"},
	[PACKET_OPTION_DIRECTION] = {.name = "direction", .type = SPLICED_WORD, .words = directions,
		.flags = SPLICED_REOPEN,
		.doc = "Frames received, sent by this machine, or both; default: in, for a capture inout"},
	[PACKET_OPTION_SNAPLEN] = {.name = "snaplen", .type = SPLICED_SIZE, .min = 0, .max = 262144,
		.flags = SPLICED_REOPEN, .default_text = "0",
		.doc = "Maximum number of bytes captured per frame; 0: all"},
	[PACKET_OPTION_FANOUT] = {.name = "fanout", .type = SPLICED_NUMBER, .min = 0, .max = 65535,
		.flags = SPLICED_REOPEN, .default_text = "0",
		.doc = "Share the interface's flows with the other sockets of this group number; 0: no sharing"},
	[PACKET_OPTION_VLAN] = {.name = "vlan", .type = SPLICED_BOOL, .rows = ROW_RAW,
		.flags = SPLICED_LIVE, .default_text = "true",
		.doc = "Restore the VLAN tags that the kernel removes from frames"},
	[PACKET_OPTION_VNET_HEADER] = {.name = "vnet_header", .type = SPLICED_BOOL, .rows = ROW_RAW,
		.flags = SPLICED_REOPEN,
		.doc = "A struct virtio_net_hdr precedes each frame, so that offloads can stay enabled; required at both ends of a tunnel, "
		       "automatic between two packet sockets"},
	[PACKET_OPTION_RING] = {.name = "ring", .type = SPLICED_SIZE, .min = 0, .max = 1 << 30,
		.flags = SPLICED_REOPEN, .default_text = "4M",
		.doc = "Size of a buffer shared with the kernel from which frames are read; 0: use recvmsg(2)"},
};

static const struct spliced_row rows[] = {
	{
		.type = SOCK_RAW,
		.pattern = "INTERFACE",
		.capabilities = SPLICED_CAN_LISTEN | SPLICED_CAN_CONNECT | SPLICED_BOUNDARIES | SPLICED_FEED |
				SPLICED_BINDS,
		.max_message = 65600,
		.link_type = 1,
	},
	{
		.type = SOCK_DGRAM,
		.pattern = "INTERFACE",
		.capabilities = SPLICED_CAN_LISTEN | SPLICED_CAN_CONNECT | SPLICED_BOUNDARIES | SPLICED_FEED |
				SPLICED_BINDS,
		.max_message = 65600,
		.link_type = 276,
	},
};
/* clang-format on */

/* ---- options ---- */

static const char *interface_of(const struct spliced_options *options)
{
	return spliced_value(options, PACKET_OPTION_INTERFACE)->text;
}

static bool is_any(const struct spliced_options *options)
{
	return options->row->type == SOCK_DGRAM && !strcmp(interface_of(options), "any");
}

uint16_t packet_protocol(const struct spliced_options *options)
{
	const struct spliced_value *value = spliced_value(options, PACKET_OPTION_PROTOCOL);

	return htons(value->text ? protocol_numbers[value->number] : (uint16_t)value->number);
}

/* A cooked socket sends what it is bound to. */
static uint16_t bound_protocol(const struct spliced_options *options)
{
	return options->row->type == SOCK_RAW ? htons(ETH_P_ALL) : packet_protocol(options);
}

enum packet_direction packet_direction(const struct spliced_options *options)
{
	const struct spliced_value *value = spliced_value(options, PACKET_OPTION_DIRECTION);

	if (value->state == SPLICED_UNSET)
		return options->format ? PACKET_INOUT : PACKET_IN;
	return (enum packet_direction)value->number;
}

bool packet_has_vnet(const struct spliced_options *options)
{
	const struct spliced_value *value = spliced_value(options, PACKET_OPTION_VNET_HEADER);
	const struct spliced_row *far = options->far;

	if (options->row->type != SOCK_RAW || options->format)
		return false;
	if (value->state != SPLICED_UNSET)
		return value->number;
	return far && far->type == SOCK_RAW && far->link_type == options->row->link_type &&
	       far->capabilities & SPLICED_BINDS;
}

/* ---- addresses ---- */

/* sockaddr_ll(7) has no name, and its number is not known before the interface is there. bind(2)
 * reads the first part, which binds to nothing yet. */
struct packet_address {
	struct sockaddr_ll ll;
	char name[IFNAMSIZ];
};

static int packet_address_of(const struct spliced_options *options,
			     struct sockaddr_storage *address, socklen_t *len)
{
	struct packet_address *own = (struct packet_address *)address;

	memset(address, 0, sizeof *address);
	if (options->row->type == SOCK_RAW && !strcmp(interface_of(options), "any")) {
		SPLICED_ERROR(
			options, PACKET_OPTION_INTERFACE,
			"frames of different interfaces have no common format; set one interface, or set type = \"dgram\"");
		return -EINVAL;
	}
	own->ll.sll_family = AF_PACKET;
	memcpy(own->name, interface_of(options),
	       strnlen(interface_of(options), sizeof own->name - 1));
	*len = sizeof *own;
	return packet_attach_filter(-1, options, ARPHRD_ETHER);
}

static int packet_describe(const struct spliced_row *row, const struct sockaddr *address,
			   socklen_t len, char *text, size_t size)
{
	const struct packet_address *own = (const struct packet_address *)address;
	char name[IFNAMSIZ];
	int n;

	(void)row;
	if (len < sizeof own->ll.sll_family || own->ll.sll_family != AF_PACKET ||
	    len < offsetof(struct sockaddr_ll, sll_hatype))
		return -EAFNOSUPPORT;
	if (len >= sizeof *own && *own->name)
		n = snprintf(text, size, "%.*s", (int)sizeof own->name - 1, own->name);
	else if (own->ll.sll_ifindex > 0 && if_indextoname((unsigned)own->ll.sll_ifindex, name))
		n = snprintf(text, size, "%s", name);
	else
		n = snprintf(text, size, own->ll.sll_ifindex > 0 ? "if%d" : "any",
			     own->ll.sll_ifindex);
	return (size_t)n < size ? 0 : -ENOSPC;
}

/* ---- sockets ---- */

static int set(int fd, const struct spliced_options *options, int option, int name, int number)
{
	int r;

	if (!setsockopt(fd, SOL_PACKET, name, &number, sizeof number))
		return 0;
	r = -errno;
	SPLICED_ERROR(options, option, "cannot set up the socket: %s", strerror(-r));
	return r;
}

/* Bursts are common; a buffer that the operator chose stays as it is. */
static void grow_buffer(int fd)
{
	int bytes = 0, wanted = BUFFER_BYTES, usual = 0;
	FILE *file = fopen("/proc/sys/net/core/rmem_default", "re");
	socklen_t len = sizeof bytes;

	if (file && fscanf(file, "%d", &usual) != 1)
		usual = 0;
	if (file)
		fclose(file);
	if (getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, &len) < 0 || bytes != usual)
		return;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &wanted, sizeof wanted) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &wanted, sizeof wanted);
}

static int packet_prepare(int fd, const struct spliced_options *options)
{
	int one = 1, r;

	grow_buffer(fd);
	if (options->format)
		setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one);
	r = set(fd, options, -1, PACKET_AUXDATA, 1);
	/* Else what a bridge sends would come back to it by another socket. */
	if (!r && packet_direction(options) == PACKET_IN)
		r = set(fd, options, PACKET_OPTION_DIRECTION, PACKET_IGNORE_OUTGOING, 1);
	if (!r && packet_has_vnet(options))
		r = set(fd, options, PACKET_OPTION_VNET_HEADER, PACKET_VNET_HDR, 1);
	return r ? r : packet_ring_prepare(fd, options);
}

static int bind_to(int fd, uint16_t protocol, int index)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET, .sll_protocol = protocol, .sll_ifindex = index};

	return bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ? -errno : 0;
}

static bool is_locked(int fd)
{
	int locked = 0;
	socklen_t len = sizeof locked;

	return !getsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &locked, &len) && locked;
}

/* ARPHRD_* of an interface; an Ethernet's where there is none. */
static unsigned hardware_of(int fd, const struct spliced_options *options)
{
	struct ifreq request = {0};

	snprintf(request.ifr_name, sizeof request.ifr_name, "%s", interface_of(options));
	if (is_any(options) || ioctl(fd, SIOCGIFHWADDR, &request) < 0)
		return ARPHRD_ETHER;
	return request.ifr_hwaddr.sa_family;
}

static int promise(int fd, const struct spliced_options *options, int index)
{
	struct packet_mreq request = {.mr_ifindex = index, .mr_type = PACKET_MR_PROMISC};
	int r;

	if (!index || !spliced_value(options, PACKET_OPTION_PROMISCUOUS)->number ||
	    !setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof request))
		return 0;
	r = -errno;
	SPLICED_ERROR(options, PACKET_OPTION_PROMISCUOUS, "cannot make %s promiscuous: %s",
		      interface_of(options), strerror(-r));
	return r;
}

/* joins: it becomes a member of its fanout group, and receives. A socket that is not in use yet
 * would take frames from the others. */
static int settle(int fd, const struct spliced_options *options, int index, bool joins)
{
	int group = (int)spliced_value(options, PACKET_OPTION_FANOUT)->number | PACKET_FANOUT_HASH
											<< 16,
	    r = 0;
	unsigned hardware = hardware_of(fd, options);

	if (options->row->type == SOCK_RAW && packet_link_type(SOCK_RAW, hardware) < 0) {
		SPLICED_ERROR(options, PACKET_OPTION_INTERFACE,
			      "%s has frames of hardware type %u, which is not supported",
			      interface_of(options), hardware);
		return -EPROTONOSUPPORT;
	}
	if (!is_locked(fd))
		r = packet_attach_filter(fd, options, hardware);
	if (!r && index)
		r = packet_check_offloads(fd, options, interface_of(options));
	if (!r)
		r = promise(fd, options, index);
	if (!r)
		r = bind_to(fd,
			    group & 0xffff && !joins ? htons(PROTOCOL_NONE)
						     : bound_protocol(options),
			    index);
	if (!r && group & 0xffff && joins)
		r = set(fd, options, PACKET_OPTION_FANOUT, PACKET_FANOUT, group);
	if (r && group & 0xffff && joins)
		bind_to(fd, htons(PROTOCOL_NONE),
			index); /* else it would receive what the group distributes, too */
	return r;
}

static bool is_up(int fd, const struct spliced_options *options)
{
	struct ifreq request = {0};

	snprintf(request.ifr_name, sizeof request.ifr_name, "%s", interface_of(options));
	return is_any(options) ||
	       (!ioctl(fd, SIOCGIFFLAGS, &request) && request.ifr_flags & IFF_UP);
}

/* 0: there is none of that name. */
static int index_of(int fd, const struct spliced_options *options)
{
	struct ifreq request = {0};

	snprintf(request.ifr_name, sizeof request.ifr_name, "%s", interface_of(options));
	return is_any(options) || ioctl(fd, SIOCGIFINDEX, &request) < 0 ? 0 : request.ifr_ifindex;
}

/* A member of a fanout group cannot be bound again, nor leave. */
static bool is_stuck(int fd)
{
	int group = 0;
	socklen_t len = sizeof group;

	return !getsockopt(fd, SOL_PACKET, PACKET_FANOUT, &group, &len) && group;
}

static int look(int fd, const struct spliced_options *options, bool joins, uint64_t *lost)
{
	int index = index_of(fd, options), r;
	union tpacket_stats_u statistics = {0};
	struct sockaddr_ll own = {0};
	socklen_t len = sizeof statistics;

	if (!getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &statistics, &len))
		*lost += statistics.stats1.tp_drops; /* the same place with a ring */
	len = sizeof own;
	if (getsockname(fd, (struct sockaddr *)&own, &len) < 0)
		return -errno;
	if (!index && !is_any(options)) {
		/* It may live on with another name. */
		if (own.sll_ifindex > 0 && bind_to(fd, htons(PROTOCOL_NONE), 0) == -EINVAL &&
		    is_stuck(fd))
			return -EBADFD;
		return -ENODEV;
	}
	if (own.sll_ifindex != index || own.sll_protocol != bound_protocol(options)) {
		r = is_stuck(fd) ? -EBADFD : settle(fd, options, index, joins);
		if (r < 0)
			return r;
	}
	return is_up(fd, options) ? 0 : -ENETDOWN;
}

static int packet_check(int fd, const struct spliced_options *options, uint64_t *lost)
{
	return look(fd, options, true, lost);
}

/* A listener's socket, that a reload may still take back. What is not there is waited for. */
static int packet_bound(int fd, const struct spliced_options *options)
{
	uint64_t lost = 0;
	int r = look(fd, options, false, &lost);

	return r == -ENODEV || r == -ENETDOWN ? 0 : r;
}

static uint64_t packet_privileges(const struct spliced_options *options)
{
	(void)options;
	return UINT64_C(1) << CAP_NET_RAW_BIT;
}

const struct spliced_plugin spliced_plugin = {
	SPLICED_PLUGIN_HEAD(0),
	.name = "packet",
	.domain = AF_PACKET,
	.n_rows = sizeof rows / sizeof *rows,
	.n_options = PACKET_OPTIONS,
	.rows = rows,
	.options = options_,
	.summary = "Frames of a network interface: captured, bridged, tunnelled",
	.address = packet_address_of,
	.describe = packet_describe,
	.prepare = packet_prepare,
	.bound = packet_bound,
	.privileges = packet_privileges,
	.n_formats = PACKET_FORMATS,
	.formats = packet_formats,
	.received = packet_received,
	.check = packet_check,
	.map = packet_ring_map,
	.next = packet_ring_next,
	.consume = packet_ring_consume,
};
