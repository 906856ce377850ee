/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libFuzzer's way into the netlink decoder: any bytes as what the kernel said, at any moment of a
 * consumer's life. The first byte picks the moment. Each call must come to an end, and each frame
 * must be one JSON object that fits.
 */
#include "netlink/netlink.h"

#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { FRAME_MAX = 64 << 10, FRAMES_MAX = 1 << 20 };

static _Alignas(8) unsigned char state[SPLICED_STATE_MAX];
static const char *const writes[] = {"getlink", "0x10"};
static const char *const groups[] = {"link", "addr", "route", "neigh", "rule", "nexthop"};
static struct spliced_value values[NETLINK_OPTIONS];
static struct spliced_row row = {.type = SOCK_RAW};
static const int protocols[] = {NETLINK_ROUTE, NETLINK_NETFILTER, NETLINK_KOBJECT_UEVENT,
				NETLINK_CONNECTOR};
static const struct spliced_options options = {.size = sizeof options,
					       .value_stride = sizeof values[0],
					       .role = SPLICED_CONNECT,
					       .row = &row,
					       .n_values = NETLINK_OPTIONS,
					       .values = values};
static struct spliced_consumer consumer = {
	.size = sizeof consumer, .options = &options, .state = state};

static void must(int condition)
{
	if (!condition)
		abort();
}

static void check_frame(const char *frame, int n)
{
	json_t *object;

	must(n <= FRAME_MAX);
	object = json_loadb(frame, (size_t)n, 0, NULL);
	must(json_is_object(object) && json_is_string(json_object_get(object, "event")));
	json_decref(object);
}

static void resync(int why)
{
	static char frame[FRAME_MAX];
	int n, count = 0;

	while ((n = netlink_json_event(&consumer, why, frame, sizeof frame)) > 0) {
		check_frame(frame, n);
		must(++count < 4);
	}
}

static void encode(const void *bytes, size_t len)
{
	static char frame[FRAME_MAX];
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	struct spliced_message message = {.size = sizeof message,
					  .from = (const struct sockaddr *)&kernel,
					  .from_len = sizeof kernel,
					  .data = bytes,
					  .len = len};
	int n, count = 0;

	while ((n = netlink_json_encode(&consumer, &message, frame, sizeof frame)) > 0) {
		check_frame(frame, n);
		must(++count < FRAMES_MAX);
	}
}

/* The number of the dump that was asked for last, from the request itself. */
static uint32_t asked(int fd)
{
	struct nlmsghdr request = {0};
	uint32_t seq = 0;

	while (recv(fd, &request, sizeof request, MSG_DONTWAIT) > 0)
		seq = request.nlmsg_seq;
	return seq;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	int ends[2];
	unsigned char *message;
	uint32_t seq;

	if (len < 1)
		return 0;
	must(!socketpair(AF_UNIX, SOCK_DGRAM, 0, ends));
	memset(state, 0, sizeof state);
	consumer.fd = ends[0];
	row.protocol = protocols[bytes[0] >> 6];
	values[NETLINK_OPTION_GROUPS] =
		(struct spliced_value){.state = SPLICED_SET, .list = groups, .list_len = 6};
	values[NETLINK_OPTION_DUMP].number = bytes[0] & 1;
	values[NETLINK_OPTION_ON_OVERRUN].number = (bytes[0] >> 1) % 3;
	must(netlink_json_preamble(&consumer, NULL, 0) == 0);
	seq = asked(ends[1]);
	message = malloc(len);
	memcpy(message, bytes + 1, len - 1);
	/* As an answer to the dump. */
	if (bytes[0] & 8 && len > sizeof(struct nlmsghdr))
		memcpy(message + offsetof(struct nlmsghdr, nlmsg_seq), &seq, sizeof seq);
	if (bytes[0] & 16)
		resync(SPLICED_LOST);
	encode(message, len - 1);
	if (bytes[0] & 32)
		resync(SPLICED_BROKEN);
	resync(SPLICED_DRAINED);
	encode(message, len - 1);
	values[NETLINK_OPTION_WRITE] =
		(struct spliced_value){.state = SPLICED_SET, .list = writes, .list_len = 2};
	netlink_may_send(&options, message, len - 1);
	values[NETLINK_OPTION_WRITE] = (struct spliced_value){0};
	free(message);
	close(ends[0]);
	close(ends[1]);
	return 0;
}
