/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The catalogue of events: what a line of the log can be about, so that logs can be searched
 * without knowing the wording. Each has a MESSAGE_ID that never changes, systemd.journal-fields(7),
 * from `journalctl --new-id128` for example; a name, which log.format "json" prints; and the fields
 * that its lines may have. The manual's table is checked against this one.
 */
#pragma once

/* clang-format off */
/*         event             name               MESSAGE_ID */
#define LOG_EVENTS(X)                                                           \
	X(EVENT_SESSION_ENDED,   "session-ended",   "c0de952e2fe841459464f5c9aaf20346") \
	X(EVENT_CLIENT_REFUSED,  "client-refused",  "f6d70fced39749ae9d456d06a0d01876") \
	X(EVENT_TARGET_DOWN,     "target-down",     "c6a8e42920d6427ea0c83bcebf648396") \
	X(EVENT_TARGET_UP,       "target-up",       "567b6bb41b4e426288c7eeb05873f9a7") \
	X(EVENT_RELOADED,        "reloaded",        "6cd1c3d8c1d24bfba40d5e81540f15cf") \
	X(EVENT_RELOAD_REFUSED,  "reload-refused",  "2ea8c0d3103f4b6ca7deda619be2b379") \
	X(EVENT_ROUTE_ADDED,     "route-added",     "d3cb7257c354481a848e20f89182d06b") \
	X(EVENT_ROUTE_CHANGED,   "route-changed",   "f8647ac59a8b4f2ca13d484677f51777") \
	X(EVENT_ROUTE_REMOVED,   "route-removed",   "b017fabcad1349ecae0f0336da5479c8") \
	X(EVENT_WORKER_DIED,     "worker-died",     "d966a30690bf4977a7db62ecdad3b165") \
	X(EVENT_ACCEPTING_RESTS, "accepting-rests", "8fb96c020f8647ec8bea7dc30c707493") \
	X(EVENT_LINES_LOST,      "lines-lost",      "eda111c01787418db321dc0970529d1a") \
	X(EVENT_BY_HAND,         "by-hand",         "5c1f0a9be37d4c0d9a62f4d7b1e8635f")

enum log_event {
	EVENT_NONE, /* a line that is only text */
#define X(event, name, id) event,
	LOG_EVENTS(X)
#undef X
	LOG_EVENTS_COUNT,
};
/* clang-format on */
