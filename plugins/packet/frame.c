/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Frames as they were on the wire. The kernel removes a VLAN tag from a frame and reports it
 * separately, packet(7), PACKET_AUXDATA: it is put back between the addresses and the type. A
 * struct virtio_net_hdr is before the frame and has offsets from the frame's start.
 */
#include "packet/packet.h"

#include <linux/if_ether.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <time.h>

enum { TAG_BYTES = 4, ADDRESSES = 2 * ETH_ALEN };

#define SECOND UINT64_C(1000000000)

/* The frame's own bytes move to the front by a tag's, so that nothing of what follows has to. */
void packet_put_tag(struct spliced_message *message, size_t before, uint16_t type, uint16_t tci)
{
	uint8_t *data = (uint8_t *)(uintptr_t)message->data - TAG_BYTES,
		*tag = data + before + ADDRESSES;
	struct virtio_net_hdr header;

	if (message->len < before + ADDRESSES)
		return;
	memmove(data, message->data, before + ADDRESSES);
	tag[0] = (uint8_t)(type >> 8);
	tag[1] = (uint8_t)type;
	tag[2] = (uint8_t)(tci >> 8);
	tag[3] = (uint8_t)tci;
	message->data = data;
	message->len += TAG_BYTES;
	message->wire_len += TAG_BYTES;
	if (before != sizeof header)
		return;
	memcpy(&header, data, sizeof header);
	if (header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		header.csum_start = (uint16_t)(header.csum_start + TAG_BYTES);
	if (header.gso_type != VIRTIO_NET_HDR_GSO_NONE)
		header.hdr_len = (uint16_t)(header.hdr_len + TAG_BYTES);
	memcpy(data, &header, sizeof header);
}

static void read_auxiliary(const struct spliced_options *options, const struct tpacket_auxdata *aux,
			   struct spliced_message *message)
{
	uint16_t type = aux->tp_status & TP_STATUS_VLAN_TPID_VALID && aux->tp_vlan_tpid
				? aux->tp_vlan_tpid
				: ETH_P_8021Q;
	size_t before = packet_has_vnet(options) ? PACKET_VNET_BYTES : 0;

	message->wire_len = aux->tp_len + before;
	if (aux->tp_status & TP_STATUS_VLAN_VALID && options->row->type == SOCK_RAW &&
	    spliced_value(options, PACKET_OPTION_VLAN)->number)
		packet_put_tag(message, before, type, aux->tp_vlan_tci);
}

int packet_received(const struct spliced_options *options, const struct msghdr *received,
		    struct spliced_message *message)
{
	struct msghdr *header = (struct msghdr *)(uintptr_t)received;

	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(header); cmsg; cmsg = CMSG_NXTHDR(header, cmsg)) {
		struct tpacket_auxdata aux;
		struct timespec time;

		if (cmsg->cmsg_level == SOL_PACKET && cmsg->cmsg_type == PACKET_AUXDATA &&
		    cmsg->cmsg_len >= CMSG_LEN(sizeof aux)) {
			memcpy(&aux, CMSG_DATA(cmsg), sizeof aux);
			read_auxiliary(options, &aux, message);
		} else if (cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_TIMESTAMPNS &&
			   cmsg->cmsg_len >= CMSG_LEN(sizeof time)) {
			memcpy(&time, CMSG_DATA(cmsg), sizeof time);
			message->time = (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
		}
	}
	return 0;
}
