/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The format json: the kernel's messages, one object a frame; with `dump`, the current state first,
 * and again after a loss. The position is in the consumer's state, so that it continues after a
 * crash.
 *
 *      preamble                 due: asked for again
 *         |                       ^            |
 *         v        DONE, a kind   | lost,      | drained, not too soon
 *      dumping --- is left -+     | inter-     v
 *         ^                 |     | rupted   dumping
 *         +-----------------+     |
 *         | DONE                  |
 *         v                       |
 *      snapshot-end, live --------+
 *
 * What surprised us about the kernel: it reports ENOBUFS before it returns what was queued when the
 * first message did not fit, and silently drops everything after that until the queue was read
 * empty. So the gap is at the end of the queue: it is reported there, and a dump requested before
 * would be incomplete. A dump during which something changed is marked in its own messages
 * (NLM_F_DUMP_INTR), and restarted. The first messages of a dump are queued at once, by the
 * request: it is sent when the queue is empty, or a small receive buffer has no room for them,
 * which is reported as an overrun like any other.
 */
#include "netlink/netlink.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECOND UINT64_C(1000000000)

enum { DUMP_PAUSE_SECONDS = 2, RETRY_MS = 100 };

struct state {
	uint64_t dumped; /* when the last dump began, CLOCK_MONOTONIC ns; 0: never */
	uint32_t offset; /* in the current message */
	uint32_t seq;	 /* of the dump under way */
	uint8_t dumping; /* 1 + enum netlink_kind, 0: nothing */
	uint8_t left;	 /* bits of the kinds that this round has still to ask for */
	uint8_t due;	 /* a whole round is to be begun */
	uint8_t said;	 /* this event() has made its frame */
	uint8_t interrupted;
	uint8_t gap;  /* messages are missing behind those that are still queued */
	uint8_t told; /* the current uevent */
	uint8_t reserved[1];
	uint64_t netns; /* SO_NETNS_COOKIE of the socket, once it was asked */
	uint32_t drops; /* of the socket, at the last ENOBUFS */
	uint32_t reserved_too;
};

_Static_assert(sizeof(struct state) <= NETLINK_JSON_STATE &&
		       (int)NETLINK_JSON_STATE <= (int)SPLICED_STATE_MAX,
	       "the state grew");

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * SECOND + (uint64_t)ts.tv_nsec;
}

/* The current message. */
struct given {
	const struct nlmsghdr *message;
	struct netlink_place place;
};

/* ---- frames ---- */

static json_t *object_new(const char *event, const char *kind)
{
	uint64_t now = clock_ns(CLOCK_REALTIME);
	time_t seconds = (time_t)(now / SECOND);
	json_t *object = json_object();
	char day[32], text[64];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, sizeof text, "%s.%09uZ", day, (unsigned)(now % SECOND));
	netlink_put_text(object, "event", event);
	netlink_put_text(object, "kind", kind);
	netlink_put_text(object, "time", text);
	return object;
}

/* The common members of a message; with the number of its namespace, if that is another. */
static json_t *object_of(const struct given *given, const char *event, const char *kind)
{
	json_t *object = object_new(event, kind);

	if (given->place.nsid >= 0)
		netlink_put_number(object, "nsid", given->place.nsid);
	return object;
}

/* The object's text as the frame; the object is freed. */
static int finish(json_t *object, void *frame, size_t size)
{
	size_t len = json_dumpb(object, frame, size, JSON_COMPACT);

	json_decref(object);
	return !len ? -ENOMEM : len > size ? -EMSGSIZE : (int)len;
}

static int say(const char *event, const char *reason, void *frame, size_t size)
{
	json_t *object = object_new(event, "netlink");

	netlink_put_text(object, "reason", reason);
	return finish(object, frame, size);
}

/* ---- messages ---- */

static const struct decoder {
	uint16_t type, removal;
	const char *kind;
	bool (*put)(json_t *object, const struct nlmsghdr *message,
		    const struct netlink_place *place);
} decoders[NETLINK_KINDS] = {
	[NETLINK_LINK] = {RTM_NEWLINK, RTM_DELLINK, "link", netlink_put_link},
	[NETLINK_ADDRESS] = {RTM_NEWADDR, RTM_DELADDR, "address", netlink_put_inet_address},
	[NETLINK_ROUTES] = {RTM_NEWROUTE, RTM_DELROUTE, "route", netlink_put_route},
	[NETLINK_NEIGHBOUR] = {RTM_NEWNEIGH, RTM_DELNEIGH, "neighbour", netlink_put_neighbour},
	[NETLINK_RULE] = {RTM_NEWRULE, RTM_DELRULE, "rule", netlink_put_rule},
	[NETLINK_NEXTHOP] = {RTM_NEWNEXTHOP, RTM_DELNEXTHOP, "nexthop", netlink_put_nexthop},
};

static const struct decoder *find_decoder(uint16_t type)
{
	for (int i = 0; i < NETLINK_KINDS; i++)
		if (decoders[i].type == type || decoders[i].removal == type)
			return &decoders[i];
	return NULL;
}

/* A bridge reports its ports by messages that look like those of links: a port that leaves is not a
 * deleted link. */
static const char *kind_of(const struct decoder *decoder, const struct nlmsghdr *message)
{
	const uint8_t *family = mnl_nlmsg_get_payload(message);

	return decoder == &decoders[NETLINK_LINK] && *family == AF_BRIDGE ? "bridge-port"
									  : decoder->kind;
}

static bool is_of_dump(const struct state *state, const struct nlmsghdr *message)
{
	return message->nlmsg_flags & NLM_F_MULTI && state->dumping &&
	       message->nlmsg_seq == state->seq;
}

static const char *event_of(const struct state *state, const struct decoder *decoder,
			    const struct nlmsghdr *message)
{
	if (is_of_dump(state, message))
		return "snapshot";
	return message->nlmsg_type == decoder->removal ? "del" : "new";
}

/* A message of a protocol that is not decoded here. */
static int put_message(const struct given *given, void *frame, size_t size)
{
	json_t *object = object_of(given, "message", "netlink");

	netlink_put_raw(object, given->message);
	return finish(object, frame, size);
}

/* What is called by its decoder; 0 where that says that it is none. */
static int put_named(json_t *object, const char *event, void *frame, size_t size)
{
	if (event) {
		netlink_put_text(object, "event", event);
		return finish(object, frame, size);
	}
	json_decref(object);
	return 0;
}

static int put_process(const struct given *given, void *frame, size_t size)
{
	json_t *object = object_of(given, "update", "process");

	return put_named(object, netlink_put_process(object, given->message), frame, size);
}

static int put_netfilter(const struct given *given, void *frame, size_t size)
{
	json_t *object = object_of(given, "update", "conntrack");
	const char *event = netlink_put_conntrack(object, given->message);

	if (event)
		return put_named(object, event, frame, size);
	json_decref(object);
	return put_message(given, frame, size);
}

/* One object of protocol route. 0: nothing that anybody would want to see. */
static int put_object(const struct state *state, const struct given *given, void *frame,
		      size_t size)
{
	const struct nlmsghdr *message = given->message;
	const struct decoder *decoder = find_decoder(message->nlmsg_type);
	json_t *object;

	/* Of a dump that was given up. */
	if (message->nlmsg_flags & NLM_F_MULTI && !is_of_dump(state, message))
		return 0;
	if (!decoder)
		return put_message(given, frame, size);
	if (!mnl_nlmsg_get_payload_len(message))
		return 0;
	object = object_of(given, event_of(state, decoder, message), kind_of(decoder, message));
	if (decoder->put(object, message, &given->place))
		return finish(object, frame, size);
	json_decref(object);
	return 0;
}

/* ---- dumps ---- */

static size_t header_size(enum netlink_kind kind)
{
	switch (kind) {
	case NETLINK_LINK:
		return sizeof(struct ifinfomsg);
	case NETLINK_ADDRESS:
		return sizeof(struct ifaddrmsg);
	case NETLINK_ROUTES:
		return sizeof(struct rtmsg);
	case NETLINK_NEIGHBOUR:
		return sizeof(struct ndmsg);
	case NETLINK_RULE:
		return sizeof(struct fib_rule_hdr);
	case NETLINK_NEXTHOP:
		return sizeof(struct nhmsg);
	case NETLINK_KINDS:
		break;
	}
	return 0;
}

static int ask(struct spliced_consumer *consumer, const struct state *state, enum netlink_kind kind)
{
	static const uint16_t types[] = {RTM_GETLINK,  RTM_GETADDR, RTM_GETROUTE,
					 RTM_GETNEIGH, RTM_GETRULE, RTM_GETNEXTHOP};
	_Alignas(struct nlmsghdr) char buffer[128];
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);

	request->nlmsg_type = types[kind];
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	request->nlmsg_seq = state->seq;
	mnl_nlmsg_put_extra_header(request, header_size(kind));
	return send(consumer->fd, request, request->nlmsg_len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0
		       ? -errno
		       : 0;
}

static void later(struct spliced_consumer *consumer, struct state *state)
{
	state->dumping = 0;
	state->left = 0;
	state->due = 1;
	consumer->wake = clock_ns(CLOCK_MONOTONIC) + RETRY_MS * (SECOND / 1000);
}

/* Asks for the next kind of this round. */
static void dump_next(struct spliced_consumer *consumer, struct state *state)
{
	unsigned kind = 0;

	while (!(state->left & 1u << kind))
		kind++;
	state->seq++;
	state->left &= (uint8_t) ~(1u << kind);
	state->dumping = (uint8_t)(kind + 1);
	if (ask(consumer, state, (enum netlink_kind)kind) < 0)
		later(consumer, state);
}

static void begin_round(struct spliced_consumer *consumer, struct state *state)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);

	state->dumped = now;
	state->seq = (uint32_t)(now >> 10);
	state->interrupted = 0;
	state->due = 0;
	state->left = (uint8_t)netlink_kinds(consumer->options);
	if (state->left)
		dump_next(consumer, state);
}

static bool ignores_loss(const struct spliced_consumer *consumer)
{
	return spliced_value(consumer->options, NETLINK_OPTION_ON_OVERRUN)->number ==
	       ON_OVERRUN_IGNORE;
}

/* The kernel has no more of this kind. Returns the frame for the consumer, if any. */
static int dump_done(struct spliced_consumer *consumer, struct state *state, void *frame,
		     size_t size)
{
	state->dumping = 0;
	if (state->interrupted) {
		state->interrupted = 0;
		state->left = 0;
		state->due = 1;
		consumer->wake = state->dumped + DUMP_PAUSE_SECONDS * SECOND;
		return say("lost", "interrupted", frame, size);
	}
	if (state->due || (state->gap && !ignores_loss(consumer))) {
		state->left = 0;
		return 0; /* messages were lost meanwhile: another round follows */
	}
	if (state->left)
		return 0; /* the next is asked for when this message is out of the queue: with a
			     small buffer it would find no room */
	return say("snapshot-end", NULL, frame, size);
}

static bool is_ours(const struct state *state, const struct nlmsghdr *message)
{
	return state->dumping && message->nlmsg_seq == state->seq;
}

/* One message of those that came together. */
static int take(struct spliced_consumer *consumer, struct state *state, const struct given *given,
		void *frame, size_t size)
{
	const struct nlmsghdr *message = given->message;
	int protocol = consumer->options->row->protocol;

	if (protocol == NETLINK_CONNECTOR)
		return put_process(given, frame, size);
	/* Logged packets come in batches with an end. */
	if (protocol == NETLINK_NETFILTER)
		return message->nlmsg_seq == NETLINK_LOG_REQUEST ||
				       message->nlmsg_type == NLMSG_DONE
			       ? 0
			       : put_netfilter(given, frame, size);
	if (protocol != NETLINK_ROUTE)
		return put_message(given, frame, size);
	if (is_ours(state, message) && message->nlmsg_flags & NLM_F_DUMP_INTR)
		state->interrupted = 1;
	switch (message->nlmsg_type) {
	case NLMSG_NOOP:
	case NLMSG_OVERRUN:
		return 0;
	case NLMSG_DONE:
		return is_ours(state, message) ? dump_done(consumer, state, frame, size) : 0;
	case NLMSG_ERROR:
		/* Busy with a dump that was asked for by a worker that died: its end is not far. */
		if (is_ours(state, message))
			later(consumer, state);
		return 0;
	}
	return put_object(state, given, frame, size);
}

/* ---- callbacks ---- */

int netlink_json_preamble(struct spliced_consumer *consumer, void *frame, size_t size)
{
	struct state *state = consumer->state;

	(void)frame, (void)size;
	if (!state->dumped && spliced_value(consumer->options, NETLINK_OPTION_DUMP)->number)
		begin_round(consumer, state);
	return 0;
}

static int put_uevent(struct state *state, const struct given *given,
		      const struct spliced_message *message, void *frame, size_t size)
{
	json_t *object;
	int n;

	if (state->told) {
		state->told = 0;
		return 0;
	}
	object = object_of(given, "update", "uevent");
	n = put_named(object, netlink_put_uevent(object, message->data, message->len), frame, size);
	state->told = n > 0;
	return n;
}

static void learn_namespace(const struct spliced_consumer *consumer, struct state *state)
{
	socklen_t len = sizeof state->netns;

	if (!state->netns &&
	    getsockopt(consumer->fd, SOL_SOCKET, SO_NETNS_COOKIE, &state->netns, &len) < 0)
		state->netns = 0;
}

int netlink_json_encode(struct spliced_consumer *consumer, const struct spliced_message *message,
			void *frame, size_t size)
{
	struct state *state = consumer->state;
	struct given given = {.place = {.fd = consumer->fd, .nsid = netlink_nsid(message)}};

	if (consumer->options->row->protocol == NETLINK_KOBJECT_UEVENT)
		return put_uevent(state, &given, message, frame, size);
	learn_namespace(consumer, state);
	given.place.netns = state->netns;
	while (state->offset < message->len) {
		const struct nlmsghdr *next =
			(const struct nlmsghdr *)((const char *)message->data + state->offset);
		size_t left = message->len - state->offset;
		int n;

		/* libmnl takes a length above INT_MAX for a negative one. */
		if (!mnl_nlmsg_ok(next, (int)left) || next->nlmsg_len > left)
			break;
		state->offset += MNL_ALIGN(next->nlmsg_len);
		given.message = next;
		n = take(consumer, state, &given, frame, size);
		/* A message too long for a frame must not block the rest. */
		if (n > 0)
			return n;
	}
	state->offset = 0;
	return 0;
}

static int tell_loss(const struct spliced_consumer *consumer, struct state *state,
		     const char *reason, void *frame, size_t size)
{
	int64_t how = spliced_value(consumer->options, NETLINK_OPTION_ON_OVERRUN)->number;

	if (how == ON_OVERRUN_IGNORE)
		return 0;
	state->left = 0;
	state->due = how == ON_OVERRUN_RESYNC;
	return say("lost", reason, frame, size);
}

/* A dump that has no room also fails with ENOBUFS, and continues later. The socket counts only what
 * was dropped. */
static bool is_only_late(struct spliced_consumer *consumer, struct state *state)
{
	uint32_t info[SK_MEMINFO_VARS] = {0}, before = state->drops;
	socklen_t len = sizeof info;

	if (getsockopt(consumer->fd, SOL_SOCKET, SO_MEMINFO, info, &len) < 0 ||
	    len <= SK_MEMINFO_DROPS * sizeof *info)
		return false;
	state->drops = info[SK_MEMINFO_DROPS];
	consumer->late = state->dumping && state->drops == before;
	return consumer->late;
}

/* Messages are missing behind what is queued now: reported when that is read, or when more are lost
 * before. */
static int note_gap(struct spliced_consumer *consumer, struct state *state, void *frame,
		    size_t size)
{
	if (!state->said && is_only_late(consumer, state))
		return 0;
	if (!state->gap || state->said) {
		state->gap = 1;
		state->said = 0;
		return 0;
	}
	state->said = 1;
	return tell_loss(consumer, state, "overrun", frame, size);
}

static int tell_break(const struct spliced_consumer *consumer, struct state *state, void *frame,
		      size_t size)
{
	state->said = !state->said;
	return state->said ? tell_loss(consumer, state, "restart", frame, size) : 0;
}

/* Nothing is left to be read, and so nothing is dropped any more. */
static void renew(struct spliced_consumer *consumer, struct state *state)
{
	uint64_t next = state->dumped + DUMP_PAUSE_SECONDS * SECOND;

	if (state->dumping)
		return;
	if (state->left && !state->due)
		dump_next(consumer, state);
	if (!state->due)
		return;
	if (state->dumped && clock_ns(CLOCK_MONOTONIC) < next)
		consumer->wake = next;
	else
		begin_round(consumer, state);
}

/* Nothing is queued: the loss is reported here, and the next kind of a dump has the whole
 * buffer. */
static int go_on(struct spliced_consumer *consumer, struct state *state, void *frame, size_t size)
{
	int n;

	if (state->gap && !state->dumping) {
		state->gap = 0;
		n = tell_loss(consumer, state, "overrun", frame, size);
		if (n)
			return n;
	}
	renew(consumer, state);
	return 0;
}

int netlink_json_event(struct spliced_consumer *consumer, int why, void *frame, size_t size)
{
	struct state *state = consumer->state;

	switch ((enum spliced_event)why) {
	case SPLICED_LOST:
		return note_gap(consumer, state, frame, size);
	case SPLICED_BROKEN:
		return tell_break(consumer, state, frame, size);
	case SPLICED_DRAINED:
		return go_on(consumer, state, frame, size);
	case SPLICED_WAKE: /* reading continues, up to the end of the queue */
		return 0;
	}
	return 0;
}
