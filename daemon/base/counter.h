/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of counters: what is counted for each route, and the closed sets of reasons for which
 * clients are refused and messages dropped. The ledger's records, splicectl and its --json, and the
 * metrics take their names from here; the manual's lists are checked against it.
 *
 * path     where the number is in a route's JSON object, members separated by '.'
 * metric   the metric's name, Prometheus' conventions, and its label "direction", or NULL
 * kind     COUNTER: it only grows; GAUGE: it rises and falls
 * unit     what is counted
 * label    the words of splicectl's line about messages, or NULL: it is not shown there
 * help     one line, no full stop
 */
#pragma once

#include <stddef.h>

enum counter_kind { COUNTER, GAUGE };

/* clang-format off */
/*         number                      path                     metric                             direction      kind     unit           label                      help */
#define COUNTERS(X) \
	X(COUNTER_SESSIONS,            "sessions.total",        "spliced_sessions_total",          NULL,          COUNTER, "sessions",    NULL,                      "sessions that have begun") \
	X(COUNTER_BYTES_TO_TARGET,     "bytes.to_target",       "spliced_bytes_total",             "to_target",   COUNTER, "bytes",       NULL,                      "bytes forwarded to targets") \
	X(COUNTER_BYTES_FROM_TARGET,   "bytes.from_target",     "spliced_bytes_total",             "from_target", COUNTER, "bytes",       NULL,                      "bytes forwarded to clients") \
	X(COUNTER_RECEIVED_CLIENT,     "received.from_client",  "spliced_received_messages_total", "to_target",   COUNTER, "messages",    NULL,                      "messages received from clients") \
	X(COUNTER_RECEIVED_TARGET,     "received.from_target",  "spliced_received_messages_total", "from_target", COUNTER, "messages",    NULL,                      "messages received from targets") \
	X(COUNTER_MESSAGES_TO_TARGET,  "messages.to_target",    "spliced_messages_total",          "to_target",   COUNTER, "messages",    "messages to target",      "messages forwarded to targets") \
	X(COUNTER_MESSAGES_FROM_TARGET, "messages.from_target", "spliced_messages_total",          "from_target", COUNTER, "messages",    "messages from target",    "messages forwarded to clients") \
	X(COUNTER_WAITING,             "waiting",               "spliced_waiting_messages",        NULL,          GAUGE,   "messages",    "waiting",                 "messages that wait for their target") \
	X(COUNTER_EVICTED,             "sessions.evicted",      "spliced_sessions_evicted_total",  NULL,          COUNTER, "sessions",    "evicted",                 "datagram sessions closed to make room for a new peer") \
	X(COUNTER_TARGET_DOWN,         "sessions.target_down",  "spliced_sessions_target_down_total", NULL,       COUNTER, "sessions",    NULL,                      "sessions ended because their target went down") \
	X(COUNTER_KERNEL_DROPPED,      "kernel_dropped",        "spliced_kernel_dropped_total",    NULL,          COUNTER, "messages",    "dropped by the kernel",   "messages that the kernel dropped at a socket before they were received") \
	X(COUNTER_DESCRIPTORS,         "descriptors",           "spliced_descriptors_total",       NULL,          COUNTER, "messages",    "stripped of descriptors", "messages whose descriptors (SCM_RIGHTS) were not forwarded") \
	X(COUNTER_UNKEPT,              "unkept",                "spliced_unkept_total",            NULL,          COUNTER, "messages",    "first ones not kept",     "first messages that were not kept for another target") \
	X(COUNTER_LOST,                "lost",                  "spliced_feed_lost_total",         NULL,          COUNTER, "events",      "lost",                    "times that a feed's socket reported lost messages") \
	X(COUNTER_REFUSED,             "refused",               NULL,                              NULL,          COUNTER, "sessions",    NULL,                      "clients refused, for any reason") \
	X(COUNTER_CONNECT_ERRORS,      "connect_errors",        "spliced_connect_errors_total",    NULL,          COUNTER, "connections", NULL,                      "connections to targets that failed")

enum counter_number {
#define X(number, path, metric, direction, kind, unit, label, help) number,
	COUNTERS(X)
#undef X
	COUNTERS_COUNT,
};
/* clang-format on */

struct counter {
	const char *path, *metric, *direction;
	enum counter_kind kind;
	const char *unit, *label, *help;
};

extern const struct counter counters[COUNTERS_COUNT];

/* Closed set: why a session was refused or ended. */
/* clang-format off */
#define REFUSALS(X) \
	X(REFUSED_DENIED,      "denied",          "by a rule of allow or deny") \
	X(REFUSED_UNREACHABLE, "unreachable",     "no target answered") \
	X(REFUSED_TIMEOUT,     "connect-timeout", "no target answered in time") \
	X(REFUSED_POISON,      "poison",          "the worker died twice while it handled the session") \
	X(REFUSED_LOOP,        "loop",            "a session of this daemon that leads back to a route it came from") \
	X(REFUSED_DRAINED,     "drained",         "the operator has drained the route") \
	X(REFUSED_FULL,        "full",            "all targets had max_sessions sessions, and no place became free in time")

enum refusal {
#define X(number, name, help) number,
	REFUSALS(X)
#undef X
	REFUSED_REASONS,
};
/* clang-format on */

/* Closed set: why a message was dropped. */
/* clang-format off */
#define DROPS(X) \
	X(DROPPED_OVERSIZE,     "oversize",     "larger than max_frame, the family's largest message, or the socket's buffer") \
	X(DROPPED_OVERFLOW,     "overflow",     "the receiver does not keep up") \
	X(DROPPED_UNREACHABLE,  "unreachable",  "no target answers, or it is not connected yet") \
	X(DROPPED_RECEIVE_ONLY, "receive-only", "nothing can be sent to the socket") \
	X(DROPPED_UNNAMED,      "unnamed",      "a reply to a peer without an address") \
	X(DROPPED_UNEXPECTED,   "unexpected",   "a reply that `replies` does not allow") \
	X(DROPPED_FRAMING,      "framing",      "it cannot be framed as the endpoint requires") \
	X(DROPPED_FORMAT,       "format",       "the format cannot convert it") \
	X(DROPPED_SENDER,       "sender",       "its sender is not allowed") \
	X(DROPPED_NO_SESSION,   "no-session",   "from a new peer, and no session is available: limit.sessions, max_sessions, descriptors") \
	X(DROPPED_POISON,       "poison",       "the worker died twice while it handled the message") \
	X(DROPPED_FORBIDDEN,    "forbidden",    "the family does not permit it") \
	X(DROPPED_LOOP,         "loop",         "a session of this daemon sent it, and it came back") \
	X(DROPPED_DENIED,       "denied",       "its peer is refused by allow or deny") \
	X(DROPPED_CALL,         "refused",      "the kernel does not permit sending it") \
	X(DROPPED_CRASH,        "crash",        "the worker died while it handled the message") \
	X(DROPPED_DRAINED,      "drained",      "from a new peer, and the operator has drained the route")

enum drop {
#define X(number, name, help) number,
	DROPS(X)
#undef X
	DROPPED_REASONS,
};
/* clang-format on */

struct counter_reason {
	const char *name, *help;
};

extern const struct counter_reason counter_refusals[REFUSED_REASONS],
	counter_drops[DROPPED_REASONS];
