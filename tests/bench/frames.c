/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sends frames on a network interface as fast as it takes them: frames INTERFACE BYTES SECONDS.
 * They are for the address 02:00:00:00:00:02 and of an experimental type, so that no network layer
 * has work with them. Prints how many.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { BATCH = 64, BYTES_MAX = 9000, TYPE = 0x88b5 };

static void die(const char *what)
{
	fprintf(stderr, "frames: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double clock_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	static unsigned char frame[BYTES_MAX] = {2, 0, 0, 0, 0, 2,	   2,
						 0, 0, 0, 0, 1, TYPE >> 8, TYPE & 0xff};
	struct sockaddr_ll address = {.sll_family = AF_PACKET};
	struct iovec part = {frame, 0};
	struct mmsghdr batch[BATCH];
	unsigned long long count = 0;
	double end;
	int fd, one = 1, n;

	if (argc != 4 || (size_t)atoi(argv[2]) > sizeof frame || atoi(argv[2]) < ETH_HLEN) {
		fprintf(stderr, "usage: frames INTERFACE BYTES SECONDS\n");
		return 64;
	}
	part.iov_len = (size_t)atoi(argv[2]);
	address.sll_ifindex = (int)if_nametoindex(argv[1]);
	fd = socket(AF_PACKET, SOCK_RAW, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
	    setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one) < 0)
		die(argv[1]);
	for (int i = 0; i < BATCH; i++)
		batch[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}};
	end = clock_seconds() + atof(argv[3]);
	while (clock_seconds() < end) {
		n = sendmmsg(fd, batch, BATCH, 0);
		if (n > 0)
			count += (unsigned long long)n;
		else if (errno != ENOBUFS && errno != EINTR)
			die("sendmmsg");
	}
	printf("%llu\n", count);
	return 0;
}
