/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a configuration file may say, apart from what families add. A key that is not in these
 * tables does not exist; one that is has its type, range, default and line of manual here and
 * nowhere else.
 */
#include "config/schema.h"

#ifndef CONTROL_PATH
#define CONTROL_PATH "/run/spliced/control.sock"
#endif

#ifndef PLUGIN_DIR
#define PLUGIN_DIR "/usr/lib/spliced"
#endif

#define US INT64_C(1000)
#define MS (1000 * US)
#define SEC (1000 * MS)
#define YEAR (365 * 86400 * SEC)

static const char *const log_levels[] = {"error", "warning", "notice", "info", "debug", NULL};
static const char *const log_targets[] = {"journal", "stderr", "syslog", NULL};
static const char *const log_formats[] = {"text", "json", NULL};
static const char *const sandboxes[] = {"auto", "off", NULL};
static const char *const balances[] = {"roundrobin", NULL};
static const char *const repliers[] = {"target", "host", "any", NULL}; /* enum config_reply_from */
static const char *const overflows[] = {"block", "drop-new", "drop-old", NULL};
static const char *const framings[] = {"none",	    "length16",	   "length32", "line",
				       "netstring", "octet-count", "slip",     "nul", "auto", NULL};

const struct spliced_option schema_daemon[DAEMON_OPTIONS] = {
	[DAEMON_WORKERS] =
		{.name = "workers",
		 .type = SPLICED_NUMBER,
		 .default_text = "0",
		 .max = 128,
		 .doc = "threads that move traffic; 0 is one for each CPU of the affinity mask, or what the control group's cpu.max allows, rounded up"},
	[DAEMON_MAX_SESSIONS] = {.name = "max_sessions",
				 .type = SPLICED_NUMBER,
				 .default_text = "65536",
				 .min = 1,
				 .max = 1 << 24,
				 .doc = "sessions of all routes together"},
	[DAEMON_USER] = {.name = "user",
			 .type = SPLICED_STRING,
			 .doc = "user to become before anything is bound, when started as root"},
	[DAEMON_GROUP] = {.name = "group",
			  .type = SPLICED_STRING,
			  .doc = "group to become; the user's own otherwise"},
	[DAEMON_CONTROL_PATH] = {.name = "control.path",
				 .type = SPLICED_PATH,
				 .default_text = CONTROL_PATH,
				 .doc = "the control socket"},
	[DAEMON_CONTROL_MODE] = {.name = "control.mode",
				 .type = SPLICED_MODE,
				 .default_text = "0660",
				 .doc = "permissions of the control socket"},
	[DAEMON_CONTROL_GROUP] = {.name = "control.group",
				  .type = SPLICED_STRING,
				  .doc = "group that the control socket belongs to"},
	[DAEMON_LOG_LEVEL] = {.name = "log.level",
			      .type = SPLICED_WORD,
			      .default_text = "info",
			      .words = log_levels,
			      .doc = "the least important messages that are logged"},
	[DAEMON_LOG_TO] =
		{.name = "log.to",
		 .type = SPLICED_WORD,
		 .words = log_targets,
		 .doc = "where messages go; unset, the journal, or standard error on a terminal"},
	[DAEMON_LOG_FORMAT] = {.name = "log.format",
			       .type = SPLICED_WORD,
			       .default_text = "text",
			       .words = log_formats,
			       .doc = "what standard error is written: text, or a JSON object a line, with the time and the journal's fields"},
	[DAEMON_LOG_SESSIONS] = {.name = "log.sessions",
				 .type = SPLICED_BOOL,
				 .default_text = "true",
				 .doc = "log one line for each session that ended"},
	[DAEMON_SANDBOX] = {.name = "sandbox",
			    .type = SPLICED_WORD,
			    .default_text = "auto",
			    .words = sandboxes,
			    .doc = "auto: the process that carries traffic is left the system calls and files that the routes take, "
				   "as far as the kernel can do that"},
	[DAEMON_PLUGIN_DIR] = {.name = "plugin_dir",
			       .type = SPLICED_PATH,
			       .default_text = PLUGIN_DIR,
			       .doc = "directory of the families"},
};

const struct spliced_option schema_route[ROUTE_OPTIONS] = {
	[ROUTE_ENABLED] = {.name = "enabled",
			   .type = SPLICED_BOOL,
			   .flags = SPLICED_LIVE,
			   .default_text = "true",
			   .doc = "false: the route is checked and not opened"},
	[ROUTE_TITLE] = {.name = "title",
			 .type = SPLICED_STRING,
			 .flags = SPLICED_LIVE,
			 .doc = "free text for people"},
	[ROUTE_BALANCE] = {.name = "balance",
			   .type = SPLICED_WORD,
			   .flags = SPLICED_LIVE,
			   .default_text = "roundrobin",
			   .words = balances,
			   .doc = "how a target is chosen"},
	[ROUTE_TIMEOUT_CONNECT] = {.name = "timeout.connect",
				   .type = SPLICED_DURATION,
				   .flags = SPLICED_LIVE,
				   .default_text = "5s",
				   .min = MS,
				   .max = 3600 * SEC,
				   .doc = "how long one connection to a target may take"},
	[ROUTE_TIMEOUT_IDLE] =
		{.name = "timeout.idle",
		 .type = SPLICED_DURATION,
		 .flags = SPLICED_LIVE,
		 .max = YEAR,
		 .doc = "a session ends when nothing moved for so long; 0s is never. Unset: 60s "
			"for datagram sessions, never for others"},
	[ROUTE_TIMEOUT_HALF_CLOSED] =
		{.name = "timeout.half_closed",
		 .type = SPLICED_DURATION,
		 .flags = SPLICED_LIVE,
		 .max = YEAR,
		 .doc = "a session that one side has ended ends when nothing moved for so long; 0s is never. Unset: 2s "
			"after the last reply for a client whose target has no connections (UDP), never for others"},
	[ROUTE_LIMIT_SESSIONS] =
		{.name = "limit.sessions",
		 .type = SPLICED_NUMBER,
		 .flags = SPLICED_LIVE,
		 .default_text = "0",
		 .max = 1 << 24,
		 .doc = "sessions of this route, then accepting pauses, and the oldest datagram session gives way; 0 is no limit"},
	[ROUTE_RETRY_ATTEMPTS] =
		{.name = "retry.attempts",
		 .type = SPLICED_NUMBER,
		 .flags = SPLICED_LIVE,
		 .min = 1,
		 .max = 1 << 30,
		 .doc = "connections that are tried for a session, the next target each time; else as many as retry.total gives time for"},
	[ROUTE_RETRY_BACKOFF] = {.name = "retry.backoff",
				 .type = SPLICED_DURATION,
				 .flags = SPLICED_LIVE,
				 .default_text = "100ms",
				 .max = 3600 * SEC,
				 .doc = "the wait once the whole pool was tried, 1ms at least; it doubles each time"},
	[ROUTE_RETRY_MAX_BACKOFF] = {.name = "retry.max_backoff",
				     .type = SPLICED_DURATION,
				     .flags = SPLICED_LIVE,
				     .default_text = "30s",
				     .max = 86400 * SEC,
				     .doc = "the longest wait"},
	[ROUTE_RETRY_TOTAL] = {.name = "retry.total",
			       .type = SPLICED_DURATION,
			       .flags = SPLICED_LIVE,
			       .default_text = "10s",
			       .max = 86400 * SEC,
			       .doc = "after so long no further attempt is made"},
	[ROUTE_REPLIES] =
		{.name = "replies",
		 .type = SPLICED_NUMBER,
		 .flags = SPLICED_LIVE,
		 .max = 1 << 30,
		 .doc = "a datagram session ends after so many replies to each message; 0 expects "
			"none, and nothing is kept for a sender. Unset: it ends when idle"},
	[ROUTE_OVERFLOW] =
		{.name = "overflow",
		 .type = SPLICED_WORD,
		 .flags = SPLICED_LIVE,
		 .words = overflows,
		 .doc = "when the far end does not keep up with messages. Unset: block where the "
			"source can be held back, else drop-new"},
};

const struct spliced_option schema_endpoint[ENDPOINT_OPTIONS] = {
	[ENDPOINT_NAME] =
		{.name = "name",
		 .type = SPLICED_STRING,
		 .flags = SPLICED_LIVE,
		 .doc = "name in logs, counters and splicectl; the endpoint string otherwise"},
	[ENDPOINT_SNDBUF] = {.name = "sndbuf",
			     .type = SPLICED_SIZE,
			     .flags = SPLICED_LIVE,
			     .min = 1024,
			     .max = 1 << 30,
			     .doc = "send buffer; the kernel sizes it otherwise"},
	[ENDPOINT_RCVBUF] = {.name = "rcvbuf",
			     .type = SPLICED_SIZE,
			     .flags = SPLICED_LIVE,
			     .min = 1024,
			     .max = 1 << 30,
			     .doc = "receive buffer; the kernel sizes it otherwise"},
	[ENDPOINT_MARK] = {.name = "mark",
			   .type = SPLICED_NUMBER,
			   .flags = SPLICED_LIVE,
			   .max = UINT32_MAX,
			   .doc = "mark of the socket's packets, for firewalls and policy routing"},
	[ENDPOINT_PRIORITY] =
		{.name = "priority",
		 .type = SPLICED_NUMBER,
		 .flags = SPLICED_LIVE,
		 .max = 15,
		 .doc = "priority of the socket's packets in queues; above 6 needs CAP_NET_ADMIN"},
	[ENDPOINT_NETNS] = {.name = "netns",
			    .type = SPLICED_STRING,
			    .flags = SPLICED_REOPEN,
			    .doc = "network namespace of the socket: a name of ip-netns(8), or a file's; needs "
				   "CAP_SYS_ADMIN"},
	[ENDPOINT_FRAMING] =
		{.name = "framing",
		 .type = SPLICED_WORD,
		 .flags = SPLICED_LIVE,
		 .words = framings,
		 .doc = "how a stream keeps the edges of messages; none does not keep them"},
	[ENDPOINT_MAX_FRAME] =
		{.name = "max_frame",
		 .type = SPLICED_SIZE,
		 .flags = SPLICED_LIVE,
		 .default_text = "64K",
		 .min = 64,
		 .max = 1 << 20,
		 .doc = "longest frame on a stream, with its header and its end"},
	[ENDPOINT_FORMAT] = {.name = "format",
			     .type = SPLICED_STRING,
			     .flags = SPLICED_LIVE,
			     .doc = "what becomes of messages from here: raw leaves them as they "
				    "are; others are the family's"},
	[ENDPOINT_FD] = {.name = "fd",
			 .type = SPLICED_STRING,
			 .flags = SPLICED_REOPEN,
			 .doc = "name of a socket that systemd passes, bound and listening; fd://NAME says all of it"},
	[ENDPOINT_REPLY_FROM] =
		{.name = "reply_from",
		 .type = SPLICED_WORD,
		 .flags = SPLICED_LIVE,
		 .roles = SPLICED_CONNECT,
		 .default_text = "target",
		 .words = repliers,
		 .doc = "whose replies a datagram target's socket takes: the target's, those of any port of its host, or anybody's; what the "
			"client says next goes where the reply came from"},
};

const char *const schema_root_keys[] = {"daemon", "defaults", "lists", "routes", NULL};
const char *const schema_route_keys[] = {"listen", "dial", "target", "allow", "deny", NULL};
const char *const schema_defaults_keys[] = {"allow", "deny", NULL};
const char *const schema_endpoint_keys[] = {"family", "type", "protocol", NULL};

const struct schema_scheme schema_schemes[] = {
	{"tcp", "ip", SOCK_STREAM},  {"udp", "ip", SOCK_DGRAM},
	{"tcp4", "inet", -1},	     {"udp4", "inet", -1},
	{"tcp6", "inet6", -1},	     {"udp6", "inet6", -1},
	{"rfcomm", "bluetooth", -1}, {"l2cap", "bluetooth", -1},
	{"sco", "bluetooth", -1},    {NULL, NULL, -1},
};

const char *const schema_ip[2] = {"inet6", "inet"};

const char *const schema_families[] = {"inet", "inet6", "unix", "packet", "netlink", "bluetooth", "vsock", NULL};
