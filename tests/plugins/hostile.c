/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A family whose callbacks can be told to kill whoever runs them: IPv4 streams and datagrams, and a
 * feed, which as a target is bound, takes what may_send() lets pass, and may be read from a ring.
 *
 *   wound = encode   which callback
 *   how = crash      how it does it: crash, abort, exit (exit(3)), quit (_exit(2)), hang
 *   after = 0        so many of its calls in a worker are harmless
 *
 * It does so in a worker's threads only: keeper, checker and companion are left alone. Callbacks
 * that get no options know the endpoint by what its address() saw last, in whatever process: that
 * stands in a file beside the plugin. match(), peer_key(), describe() and reply() look at the
 * peer, too: they kill for one address alone, 127.0.0.66 where `peer` says nothing else.
 *
 * Rules are "any", which is the least specific.
 */
#include <spliced/plugin.h>

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum {
	OPTION_HOST,
	OPTION_PORT,
	OPTION_WOUND,
	OPTION_HOW,
	OPTION_AFTER,
	OPTION_RING,
	OPTION_FAR,
	OPTION_PEER
};
enum how { HOW_CRASH, HOW_ABORT, HOW_EXIT, HOW_QUIT, HOW_HANG };
enum wound {
	NEVER,
	ADDRESS,
	DESCRIBE,
	PREPARE,
	PEER_KEY,
	MATCH,
	REPLY,
	RECEIVED,
	CHECK,
	MAY_SEND,
	RELEASE,
	MAP,
	NEXT,
	CONSUME,
	PREAMBLE,
	ENCODE,
	EVENT,
	WOUNDS
};

static const char *const wounds[] = {"never",	"address", "describe", "prepare", "peer_key",
				     "match",	"reply",   "received", "check",	  "may_send",
				     "release", "map",	   "next",     "consume", "preamble",
				     "encode",	"event",   NULL};
static const char *const hows[] = {"crash", "abort", "exit", "quit", "hang", NULL};

enum { ROW_TCP, ROW_UDP, ROW_FEED };
enum { ENDPOINTS_MAX = 64, RING_BYTES = 1 << 16, WAKE_NS = 1000000 };

/* clang-format off */
static const struct spliced_row rows[] = {
	[ROW_TCP] = {.type = SOCK_STREAM, .protocol = IPPROTO_TCP, .name = "tcp", .pattern = "HOST:PORT",
		.capabilities = SPLICED_CAN_LISTEN | SPLICED_CAN_CONNECT | SPLICED_RELIABLE | SPLICED_HALF_CLOSE | SPLICED_READERS |
			SPLICED_RESET | SPLICED_TCP_INFO},
	[ROW_UDP] = {.type = SOCK_DGRAM, .protocol = IPPROTO_UDP, .name = "udp", .pattern = "HOST:PORT",
		.capabilities = SPLICED_CAN_LISTEN | SPLICED_CAN_CONNECT | SPLICED_CONNECTIONLESS |
			SPLICED_BOUNDARIES, .max_message = 65507},
	[ROW_FEED] = {.type = SOCK_DGRAM, .protocol = 0, .name = "feed", .pattern = "HOST:PORT",
		.capabilities = SPLICED_CAN_LISTEN | SPLICED_CAN_CONNECT | SPLICED_BOUNDARIES |
			SPLICED_FEED | SPLICED_BINDS | SPLICED_RECEIVE_ONLY, .max_message = 65507},
};

static const struct spliced_option options_table[] = {
	[OPTION_HOST] = {.name = "host", .type = SPLICED_HOST, .flags = SPLICED_REQUIRED | SPLICED_REOPEN,
		.doc = "IPv4 address or name"},
	[OPTION_PORT] = {.name = "port", .type = SPLICED_NUMBER, .min = 1, .max = 65535,
		.flags = SPLICED_REQUIRED | SPLICED_REOPEN, .doc = "Port number"},
	[OPTION_WOUND] = {.name = "wound", .type = SPLICED_WORD, .words = wounds, .flags = SPLICED_LIVE,
		.default_text = "never", .doc = "Callback that kills"},
	[OPTION_HOW] = {.name = "how", .type = SPLICED_WORD, .words = hows, .flags = SPLICED_LIVE,
		.default_text = "crash", .doc = "How it kills"},
	[OPTION_AFTER] = {.name = "after", .type = SPLICED_NUMBER, .max = 1000000, .flags = SPLICED_LIVE,
		.default_text = "0", .doc = "Calls of it that are harmless"},
	[OPTION_RING] = {.name = "ring", .type = SPLICED_BOOL, .flags = SPLICED_REOPEN,
		.default_text = "false", .doc = "Whether a feed is read from a ring"},
	[OPTION_FAR] = {.name = "far", .type = SPLICED_NUMBER, .max = 65535, .flags = SPLICED_REOPEN,
		.default_text = "0", .doc = "Port that a bound target sends to"},
	[OPTION_PEER] = {.name = "peer", .type = SPLICED_NUMBER, .min = 1, .max = 254, .flags = SPLICED_LIVE,
		.default_text = "66", .doc = "Last byte of the peer's address that kills"},
};
/* clang-format on */

/* For callbacks without options: the endpoints whose address() was asked, by their port. Shared
 * with every process that has the plugin. */
static struct arm {
	_Atomic int port, wound, how, after, peer;
} * armed;
static _Atomic int calls[WOUNDS];

/* The daemon names its worker's threads spliced-0 and so on, and spliced-clerk. */
static int is_worker(void)
{
	char name[16] = "";

	prctl(PR_GET_NAME, name);
	return !strncmp(name, "spliced-", 8) &&
	       ((name[8] >= '0' && name[8] <= '9') || name[8] == 'c');
}

static void kill_worker(enum wound wound, enum how how, int after)
{
	if (!is_worker() || atomic_fetch_add(&calls[wound], 1) < after)
		return;
	switch (how) {
	case HOW_CRASH:
		*(volatile int *)(uintptr_t)atomic_load(&calls[NEVER]) = 0;
		return;
	case HOW_ABORT:
		abort();
	case HOW_EXIT:
		exit(7);
	case HOW_QUIT:
		_exit(0);
	case HOW_HANG:
		for (;;)
			pause();
	}
}

static void may_kill(enum wound wound, const struct spliced_options *options)
{
	if (spliced_value(options, OPTION_WOUND)->number == wound)
		kill_worker(wound, (enum how)spliced_value(options, OPTION_HOW)->number,
			    (int)spliced_value(options, OPTION_AFTER)->number);
}

static void may_kill_for(enum wound wound, const void *address, socklen_t len)
{
	const struct sockaddr_in *in = address;

	for (int i = 0; i < ENDPOINTS_MAX && armed[i].port && len >= sizeof *in; i++)
		if (armed[i].wound == (int)wound &&
		    in->sin_addr.s_addr == htonl(0x7f000000u + (unsigned)armed[i].peer))
			kill_worker(wound, (enum how)armed[i].how, armed[i].after);
}

static void __attribute__((constructor)) share_arms(void)
{
	size_t size = ENDPOINTS_MAX * sizeof *armed;
	char path[4096];
	Dl_info info;
	int fd;

	if (!dladdr(&calls, &info))
		abort();
	snprintf(path, sizeof path, "%s.armed", info.dli_fname);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		abort();
	armed = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (armed == MAP_FAILED)
		abort();
	close(fd);
}

/* Called by one process at a time, before there is a worker of the configuration. */
static void arm(int port, const struct spliced_options *options)
{
	int i = 0;

	while (i < ENDPOINTS_MAX - 1 && armed[i].port && armed[i].port != port)
		i++;
	armed[i].how = (int)spliced_value(options, OPTION_HOW)->number;
	armed[i].after = (int)spliced_value(options, OPTION_AFTER)->number;
	armed[i].peer = (int)spliced_value(options, OPTION_PEER)->number;
	armed[i].wound = (int)spliced_value(options, OPTION_WOUND)->number;
	armed[i].port = port;
}

static int hostile_address(const struct spliced_options *options, struct sockaddr_storage *address,
			   socklen_t *len)
{
	const struct spliced_value *host = spliced_value(options, OPTION_HOST);
	struct sockaddr_in in = {.sin_family = AF_INET};
	int port = (int)spliced_value(options, OPTION_PORT)->number;

	may_kill(ADDRESS, options);
	arm(port, options);
	if (host->host && host->host_len != sizeof in.sin_addr)
		return -EAFNOSUPPORT;
	if (host->host)
		memcpy(&in.sin_addr, host->host, sizeof in.sin_addr);
	else if (*host->text && inet_pton(AF_INET, host->text, &in.sin_addr) != 1)
		return -EADDRNOTAVAIL;
	in.sin_port = htons((uint16_t)port);
	memset(address, 0, sizeof *address);
	memcpy(address, &in, sizeof in);
	*len = sizeof in;
	return 0;
}

static int hostile_describe(const struct spliced_row *row, const struct sockaddr *address,
			    socklen_t len, char *text, size_t size)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)address;
	char number[INET_ADDRSTRLEN];

	(void)row;
	may_kill_for(DESCRIBE, address, len);
	if (len < sizeof *in || in->sin_family != AF_INET)
		return -EAFNOSUPPORT;
	inet_ntop(AF_INET, &in->sin_addr, number, sizeof number);
	return (size_t)snprintf(text, size, "%s:%u", number, ntohs(in->sin_port)) < size ? 0
											 : -ENOSPC;
}

static int hostile_prepare(int fd, const struct spliced_options *options)
{
	int one = 1;

	may_kill(PREPARE, options);
	/* Targets of several sessions are bound to one port. */
	if (options->role == SPLICED_CONNECT && options->row->type == SOCK_DGRAM &&
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) < 0)
		return -errno;
	return 0;
}

static int hostile_peer_key(const struct spliced_options *options, const struct sockaddr *address,
			    socklen_t len, void *key, size_t size)
{
	(void)options;
	may_kill_for(PEER_KEY, address, len);
	if (len > size)
		return -ENOSPC;
	memcpy(key, address, len);
	return (int)len;
}

static int hostile_rule(const char *rule_text, struct spliced_rule *rule, char *text, size_t size)
{
	if (size)
		text[0] = '\0';
	memset(rule->bytes, 0, sizeof rule->bytes);
	return strcmp(rule_text, "any") != 0 ? -EINVAL : 0;
}

static int hostile_match(const struct spliced_rule *rule, const struct sockaddr *address,
			 socklen_t len)
{
	(void)rule;
	may_kill_for(MATCH, address, len);
	return 1;
}

static int hostile_reply(const struct spliced_options *options, const struct msghdr *received,
			 void *control, size_t size)
{
	(void)options, (void)control, (void)size;
	may_kill_for(REPLY, received->msg_name, received->msg_namelen);
	return 0;
}

static int hostile_received(const struct spliced_options *options, const struct msghdr *received,
			    struct spliced_message *message)
{
	(void)received, (void)message;
	may_kill(RECEIVED, options);
	return 0;
}

/* A target is bound to its port, and sends to the far one. */
static int hostile_check(int fd, const struct spliced_options *options, uint64_t *lost)
{
	struct sockaddr_storage address;
	struct sockaddr_in far = {.sin_family = AF_INET}, own;
	socklen_t len = sizeof own;

	(void)lost;
	may_kill(CHECK, options);
	if (options->role == SPLICED_LISTEN || getsockname(fd, (struct sockaddr *)&own, &len) < 0 ||
	    own.sin_port)
		return 0;
	if (hostile_address(options, &address, &len) < 0 ||
	    bind(fd, (struct sockaddr *)&address, len) < 0)
		return -EADDRNOTAVAIL;
	far.sin_port = htons((uint16_t)spliced_value(options, OPTION_FAR)->number);
	far.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return far.sin_port && connect(fd, (struct sockaddr *)&far, sizeof far) < 0 ? -errno : 0;
}

static int hostile_may_send(const struct spliced_options *options, const void *data, size_t len)
{
	(void)len;
	if (data)
		may_kill(MAY_SEND, options);
	return 0;
}

static void hostile_release(int fd, const struct spliced_options *options)
{
	(void)fd;
	may_kill(RELEASE, options);
}

/* No ring of the kernel's, but for the daemon it is one. */
static int hostile_map(int fd, const struct spliced_options *options, struct spliced_ring *ring)
{
	may_kill(MAP, options);
	if (!spliced_value(options, OPTION_RING)->number)
		return 0;
	ring->memory =
		mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ring->memory == MAP_FAILED)
		return -ENOMEM;
	ring->len = RING_BYTES;
	ring->words[0] = (uint64_t)fd;
	ring->words[1] = spliced_value(options, OPTION_WOUND)->number == CONSUME;
	ring->words[2] = (uint64_t)spliced_value(options, OPTION_HOW)->number;
	ring->words[3] = (uint64_t)spliced_value(options, OPTION_AFTER)->number;
	return 0;
}

static int hostile_next(struct spliced_ring *ring, const struct spliced_options *options,
			struct spliced_message *message)
{
	ssize_t n;

	may_kill(NEXT, options);
	if (ring->words[4])
		return 0;
	n = recv((int)ring->words[0], ring->memory, RING_BYTES, MSG_DONTWAIT);
	if (n < 0)
		return 0;
	message->data = ring->memory;
	message->len = (size_t)n;
	ring->words[4] = 1;
	return 1;
}

static void hostile_consume(struct spliced_ring *ring, const struct spliced_options *options,
			    unsigned count)
{
	(void)options;
	if (ring->words[1])
		kill_worker(CONSUME, (enum how)ring->words[2], (int)ring->words[3]);
	if (count)
		ring->words[4] = 0;
}

static int lines_preamble(struct spliced_consumer *consumer, void *frame, size_t size)
{
	(void)frame, (void)size;
	may_kill(PREAMBLE, consumer->options);
	return 0;
}

/* One frame a message; wakes for event() where that is the wound. */
static int lines_encode(struct spliced_consumer *consumer, const struct spliced_message *message,
			void *frame, size_t size)
{
	uint8_t *done = consumer->state;
	struct timespec now;

	may_kill(ENCODE, consumer->options);
	if (spliced_value(consumer->options, OPTION_WOUND)->number == EVENT) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		consumer->wake =
			(uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec + WAKE_NS;
	}
	*done = !*done;
	if (!*done)
		return 0;
	if (message->len > size)
		return -EMSGSIZE;
	memcpy(frame, message->data, message->len);
	return (int)message->len;
}

static int lines_event(struct spliced_consumer *consumer, int why, void *frame, size_t size)
{
	(void)why, (void)frame, (void)size;
	may_kill(EVENT, consumer->options);
	return 0;
}

static const struct spliced_format formats[] = {
	{.name = "lines",
	 .doc = "A message a line",
	 .rows = 1 << ROW_FEED,
	 .framing = SPLICED_FRAMING_LINE,
	 .state_size = 1,
	 .preamble = lines_preamble,
	 .encode = lines_encode,
	 .event = lines_event},
};

const struct spliced_plugin spliced_plugin = {
	SPLICED_PLUGIN_HEAD(0),
	.name = "hostile",
	.domain = AF_INET,
	.n_rows = sizeof rows / sizeof *rows,
	.n_options = sizeof options_table / sizeof *options_table,
	.n_formats = sizeof formats / sizeof *formats,
	.rows = rows,
	.options = options_table,
	.formats = formats,
	.summary = "IPv4 sockets whose callbacks can be made to kill the daemon",
	.address = hostile_address,
	.describe = hostile_describe,
	.prepare = hostile_prepare,
	.peer_key = hostile_peer_key,
	.rule = hostile_rule,
	.match = hostile_match,
	.reply = hostile_reply,
	.received = hostile_received,
	.check = hostile_check,
	.may_send = hostile_may_send,
	.release = hostile_release,
	.map = hostile_map,
	.next = hostile_next,
	.consume = hostile_consume,
};
