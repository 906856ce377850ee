/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Filters in the language of pcap-filter(7), which libpcap compiles. The kernel runs them on a
 * frame as it was before an adapter or the kernel took its VLAN tag out of it, that is without:
 * `vlan` matches nothing. The program also cuts to snaplen, and first selects by direction and
 * protocol: a raw socket is bound to all protocols, because one bound to a single protocol gets
 * frames whose VLAN tag is lost, and none that this machine sends.
 */
#include "packet/packet.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <pcap/pcap.h>
#include <string.h>
#include <sys/socket.h>

enum { WHOLE = 262144, PROLOGUE = 6 };

static uint32_t snaplen(const struct spliced_options *options)
{
	int64_t bytes = spliced_value(options, PACKET_OPTION_SNAPLEN)->number;

	return bytes > 0 && bytes < WHOLE ? (uint32_t)bytes : WHOLE;
}

static int compile(const struct spliced_options *options, unsigned hardware,
		   struct bpf_program *program)
{
	const struct spliced_value *filter = spliced_value(options, PACKET_OPTION_FILTER);
	/* A cooked socket's frames begin with the network's header. */
	int link =
		options->row->type == SOCK_DGRAM ? DLT_RAW : packet_link_type(SOCK_RAW, hardware);
	pcap_t *pcap = pcap_open_dead(link == 101 ? DLT_RAW : link, (int)snaplen(options));
	int r = 0;

	if (!pcap)
		return -ENOMEM;
	if (pcap_compile(pcap, program, filter->state == SPLICED_UNSET ? "" : filter->text, 1,
			 PCAP_NETMASK_UNKNOWN) < 0) {
		SPLICED_ERROR(options, PACKET_OPTION_FILTER,
			      "\"%s\" is not a filter: %s; see pcap-filter(7)", filter->text,
			      pcap_geterr(pcap));
		r = -EINVAL;
	}
	pcap_close(pcap);
	return r;
}

/* Drops what has (or has not) this number in the kernel's own notes. */
static unsigned put_test(struct sock_filter *code, int note, uint32_t number, bool has)
{
	code[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
					       (uint32_t)(SKF_AD_OFF + note));
	code[1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, has ? 0 : 1,
					       has ? 1 : 0);
	code[2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
	return PROLOGUE / 2;
}

static unsigned put_prologue(const struct spliced_options *options, struct sock_filter *code)
{
	enum packet_direction direction = packet_direction(options);
	uint16_t protocol = ntohs(packet_protocol(options));
	unsigned n = 0;

	/* What this machine sends is PACKET_OUTGOING. */
	if (direction != PACKET_INOUT)
		n += put_test(code, SKF_AD_PKTTYPE, PACKET_OUTGOING, direction == PACKET_IN);
	if (protocol != ETH_P_ALL)
		n += put_test(code + n, SKF_AD_PROTOCOL, protocol, false);
	return n;
}

static int attach(int fd, const struct spliced_options *options, const struct bpf_program *program)
{
	struct sock_filter code[BPF_MAXINSNS];
	struct sock_fprog whole = {.filter = code};
	unsigned n = put_prologue(options, code);
	int one = 1, r;

	if (program->bf_len + n > BPF_MAXINSNS) {
		SPLICED_ERROR(
			options, PACKET_OPTION_FILTER,
			"the filter has %u instructions, but the kernel allows %u; shorten it",
			program->bf_len, BPF_MAXINSNS - PROLOGUE);
		return -E2BIG;
	}
	memcpy(code + n, program->bf_insns, program->bf_len * sizeof *code);
	whole.len = (unsigned short)(program->bf_len + n);
	if (!setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &whole, sizeof whole) &&
	    !setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &one, sizeof one))
		return 0;
	r = -errno;
	SPLICED_ERROR(options, PACKET_OPTION_FILTER, "cannot attach the filter: %s", strerror(-r));
	return r;
}

int packet_attach_filter(int fd, const struct spliced_options *options, unsigned hardware)
{
	struct bpf_program program = {0};
	int r = compile(options, hardware, &program);

	if (!r && fd >= 0)
		r = attach(fd, options, &program);
	pcap_freecode(&program);
	return r;
}
