/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a configuration file may contain, apart from options of families. A key that is not in these
 * tables does not exist; one that is has its type, range, default and line of manual here and
 * nowhere else.
 */
#include "config/schema.h"

#include "config/ip.h"

#include <string.h>

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
static const char *const balances[] = {"roundrobin", "leastconn", "source",
				       "random",     "first",	  NULL}; /* enum config_balance */
static const char *const repliers[] = {"target", "host", "any", NULL}; /* enum config_reply_from */
static const char *const overflows[] = {"block", "drop-new", "drop-old", NULL};
static const char *const framings[] = {"none",	      "length16", "length32", "line", "netstring",
				       "octet-count", "slip",	  "nul",      "auto", NULL};

static const char *const on_downs[] = {"keep", "end", NULL}; /* enum config_on_down */

/* Set in a route for its targets, and in a target for itself. */
/* clang-format off */
#define HEALTH_ROWS(FIRST, ROLES) \
	[(FIRST) + HEALTH_INTERVAL] = {.name = "health.interval", .type = SPLICED_DURATION, .flags = SPLICED_LIVE, .roles = (ROLES), \
		.default_text = "2s", .max = 86400 * SEC, \
		.doc = "time from the start of one health check of a target to the next, at least 10ms; 0s: no checks"}, \
	[(FIRST) + HEALTH_TIMEOUT] = {.name = "health.timeout", .type = SPLICED_DURATION, .flags = SPLICED_LIVE, .roles = (ROLES), \
		.default_text = "2s", .min = MS, .max = 3600 * SEC, \
		.doc = "maximum time of one check, from its connect to its answer"}, \
	[(FIRST) + HEALTH_RISE] = {.name = "health.rise", .type = SPLICED_NUMBER, .flags = SPLICED_LIVE, .roles = (ROLES), \
		.default_text = "2", .min = 1, .max = 1000, \
		.doc = "number of successful checks in a row after which a target is up again"}, \
	[(FIRST) + HEALTH_FALL] = {.name = "health.fall", .type = SPLICED_NUMBER, .flags = SPLICED_LIVE, .roles = (ROLES), \
		.default_text = "3", .min = 1, .max = 1000, \
		.doc = "number of failed checks in a row after which a target is down"}, \
	[(FIRST) + HEALTH_PORT] = {.name = "health.port", .type = SPLICED_NUMBER, .flags = SPLICED_LIVE, .roles = (ROLES), \
		.min = 1, .max = 65535, \
		.doc = "port of the target's host that is checked; default: the target's"}, \
	[(FIRST) + HEALTH_SEND] = {.name = "health.send", .type = SPLICED_STRING, .flags = SPLICED_LIVE, .roles = (ROLES), \
		.doc = "what a check sends; two backslashes, x and two hexadecimal digits are one byte, also a zero"}, \
	[(FIRST) + HEALTH_EXPECT] = {.name = "health.expect", .type = SPLICED_STRING, .flags = SPLICED_LIVE, .roles = (ROLES), \
		.doc = "what the first 4096 bytes of the answer must contain, written as health.send"}, \
	[(FIRST) + HEALTH_HTTP] = {.name = "health.http", .type = SPLICED_STRING, .flags = SPLICED_LIVE, .roles = (ROLES), \
		.doc = "path of an HTTP GET request that a check sends"}, \
	[(FIRST) + HEALTH_STATUS] = {.name = "health.status", .type = SPLICED_STRING, .flags = SPLICED_LIVE, .roles = (ROLES), \
		.default_text = "200", \
		.doc = "HTTP status of a successful check; or several, and ranges: 200,204,301-308"}
/* clang-format on */

const struct spliced_option schema_daemon[DAEMON_OPTIONS] = {
	[DAEMON_WORKERS] =
		{.name = "workers",
		 .type = SPLICED_NUMBER,
		 .default_text = "0",
		 .max = 128,
		 .doc = "number of threads that carry traffic; 0: one per CPU of the affinity mask, or fewer if cpu.max, rounded up, is lower"},
	[DAEMON_MAX_SESSIONS] = {.name = "max_sessions",
				 .type = SPLICED_NUMBER,
				 .default_text = "65536",
				 .min = 1,
				 .max = 1 << 24,
				 .doc = "maximum number of concurrent sessions of all routes"},
	[DAEMON_USER] = {.name = "user",
			 .type = SPLICED_STRING,
			 .doc = "user to switch to before binding, if started as root"},
	[DAEMON_GROUP] = {.name = "group",
			  .type = SPLICED_STRING,
			  .doc = "group to switch to; default: the user's primary group"},
	[DAEMON_CONTROL_PATH] = {.name = "control.path",
				 .type = SPLICED_PATH,
				 .default_text = CONTROL_PATH,
				 .doc = "path of the control socket"},
	[DAEMON_CONTROL_MODE] = {.name = "control.mode",
				 .type = SPLICED_MODE,
				 .default_text = "0660",
				 .doc = "permissions of the control socket"},
	[DAEMON_CONTROL_GROUP] = {.name = "control.group",
				  .type = SPLICED_STRING,
				  .doc = "group of the control socket; default: the daemon's"},
	[DAEMON_LOG_LEVEL] = {.name = "log.level",
			      .type = SPLICED_WORD,
			      .default_text = "info",
			      .words = log_levels,
			      .doc = "minimum severity of logged messages"},
	[DAEMON_LOG_TO] =
		{.name = "log.to",
		 .type = SPLICED_WORD,
		 .words = log_targets,
		 .doc = "log destination; default: the journal if started by systemd, else standard error"},
	[DAEMON_LOG_FORMAT] =
		{.name = "log.format",
		 .type = SPLICED_WORD,
		 .default_text = "text",
		 .words = log_formats,
		 .doc = "format on standard error: text, or one JSON object per line with the time and the journal's fields"},
	[DAEMON_LOG_SESSIONS] = {.name = "log.sessions",
				 .type = SPLICED_BOOL,
				 .default_text = "true",
				 .doc = "log each session when it ends"},
	[DAEMON_SANDBOX] =
		{.name = "sandbox",
		 .type = SPLICED_WORD,
		 .default_text = "auto",
		 .words = sandboxes,
		 .doc = "auto: confine the worker to the system calls and files that the routes need, "
			"as far as the kernel supports it"},
	[DAEMON_PLUGIN_DIR] = {.name = "plugin_dir",
			       .type = SPLICED_PATH,
			       .default_text = PLUGIN_DIR,
			       .doc = "directory of the family plugins"},
};

const struct spliced_option schema_route[ROUTE_OPTIONS] = {
	[ROUTE_ENABLED] = {.name = "enabled",
			   .type = SPLICED_BOOL,
			   .flags = SPLICED_LIVE,
			   .default_text = "true",
			   .doc = "if false, the route is checked but not opened"},
	[ROUTE_TITLE] = {.name = "title",
			 .type = SPLICED_STRING,
			 .flags = SPLICED_LIVE,
			 .doc = "free text for the operator"},
	[ROUTE_BALANCE] = {.name = "balance",
			   .type = SPLICED_WORD,
			   .flags = SPLICED_LIVE,
			   .default_text = "roundrobin",
			   .words = balances,
			   .doc = "how targets are selected from the pool"},
	[ROUTE_TIMEOUT_CONNECT] = {.name = "timeout.connect",
				   .type = SPLICED_DURATION,
				   .flags = SPLICED_LIVE,
				   .default_text = "5s",
				   .min = MS,
				   .max = 3600 * SEC,
				   .doc = "maximum time for one attempt to connect to a target"},
	[ROUTE_TIMEOUT_IDLE] =
		{.name = "timeout.idle",
		 .type = SPLICED_DURATION,
		 .flags = SPLICED_LIVE,
		 .max = YEAR,
		 .doc = "idle time after which a session is closed; 0s: never. Default: 60s "
			"for datagram sessions, never for others"},
	[ROUTE_TIMEOUT_HALF_CLOSED] =
		{.name = "timeout.half_closed",
		 .type = SPLICED_DURATION,
		 .flags = SPLICED_LIVE,
		 .max = YEAR,
		 .doc = "idle time after which a session that is closed in one direction ends; 0s: never. Default: 2s "
			"after the last reply if the client sent EOF and the target is connectionless (UDP), never for others"},
	[ROUTE_LIMIT_SESSIONS] =
		{.name = "limit.sessions",
		 .type = SPLICED_NUMBER,
		 .flags = SPLICED_LIVE,
		 .default_text = "0",
		 .max = 1 << 24,
		 .doc = "maximum number of concurrent sessions; at the limit accepting pauses, and a new datagram peer replaces the session that has been idle longest; 0: no limit"},
	[ROUTE_RETRY_ATTEMPTS] =
		{.name = "retry.attempts",
		 .type = SPLICED_NUMBER,
		 .flags = SPLICED_LIVE,
		 .min = 1,
		 .max = 1 << 30,
		 .doc = "number of connection attempts, each to the next target; default: as many as retry.total allows"},
	[ROUTE_RETRY_BACKOFF] =
		{.name = "retry.backoff",
		 .type = SPLICED_DURATION,
		 .flags = SPLICED_LIVE,
		 .default_text = "100ms",
		 .max = 3600 * SEC,
		 .doc = "pause after all targets have been tried, at least 1ms; doubles after each round"},
	[ROUTE_RETRY_MAX_BACKOFF] = {.name = "retry.max_backoff",
				     .type = SPLICED_DURATION,
				     .flags = SPLICED_LIVE,
				     .default_text = "30s",
				     .max = 86400 * SEC,
				     .doc = "maximum pause"},
	[ROUTE_RETRY_TOTAL] =
		{.name = "retry.total",
		 .type = SPLICED_DURATION,
		 .flags = SPLICED_LIVE,
		 .default_text = "10s",
		 .max = 86400 * SEC,
		 .doc = "time after the client's arrival within which the last attempt starts"},
	[ROUTE_RESOLVE] =
		{.name = "resolve",
		 .type = SPLICED_DURATION,
		 .flags = SPLICED_LIVE,
		 .default_text = "30s",
		 .min = SEC,
		 .max = 86400 * SEC,
		 .doc = "maximum time after which the names of targets are looked up again; earlier if the TTL of the answer is shorter"},
	[ROUTE_PASSIVE_FAILURES] =
		{.name = "passive.failures",
		 .type = SPLICED_NUMBER,
		 .flags = SPLICED_LIVE,
		 .default_text = "3",
		 .max = 1000000,
		 .doc = "number of consecutive failures, connects or refused messages, that mark a target as down until something succeeds; 0: none do"},
	[ROUTE_PASSIVE_RETRY] =
		{.name = "passive.retry",
		 .type = SPLICED_DURATION,
		 .flags = SPLICED_LIVE,
		 .default_text = "10s",
		 .min = MS,
		 .max = 3600 * SEC,
		 .doc = "time after which a target that is down is tried again, by one session, while others use the rest of the pool"},
	HEALTH_ROWS(ROUTE_HEALTH, 0),
	[ROUTE_ON_DOWN] = {.name = "on_down",
			   .type = SPLICED_WORD,
			   .flags = SPLICED_LIVE,
			   .default_text = "keep",
			   .words = on_downs,
			   .doc = "what to do with the sessions of a target that went down"},
	[ROUTE_REPLIES] =
		{.name = "replies",
		 .type = SPLICED_NUMBER,
		 .flags = SPLICED_LIVE,
		 .max = 1 << 30,
		 .doc = "number of replies to each message after which a datagram session ends; 0: no "
			"replies, and no state for a sender. Default: ends by timeout.idle"},
	[ROUTE_OVERFLOW] =
		{.name = "overflow",
		 .type = SPLICED_WORD,
		 .flags = SPLICED_LIVE,
		 .words = overflows,
		 .doc = "what to do when the receiver does not keep up. Default: block if the "
			"source can be held back, else drop-new"},
};

const struct spliced_option schema_endpoint[ENDPOINT_OPTIONS] = {
	[ENDPOINT_NAME] =
		{.name = "name",
		 .type = SPLICED_STRING,
		 .flags = SPLICED_LIVE,
		 .doc = "name in logs, counters and splicectl; default: the endpoint string"},
	[ENDPOINT_SNDBUF] = {.name = "sndbuf",
			     .type = SPLICED_SIZE,
			     .flags = SPLICED_LIVE,
			     .min = 1024,
			     .max = 1 << 30,
			     .doc = "send buffer size; default: the kernel's"},
	[ENDPOINT_RCVBUF] = {.name = "rcvbuf",
			     .type = SPLICED_SIZE,
			     .flags = SPLICED_LIVE,
			     .min = 1024,
			     .max = 1 << 30,
			     .doc = "receive buffer size; default: the kernel's"},
	[ENDPOINT_MARK] = {.name = "mark",
			   .type = SPLICED_NUMBER,
			   .flags = SPLICED_LIVE,
			   .max = UINT32_MAX,
			   .doc = "mark of packets sent, for firewalls and policy routing"},
	[ENDPOINT_PRIORITY] =
		{.name = "priority",
		 .type = SPLICED_NUMBER,
		 .flags = SPLICED_LIVE,
		 .max = 15,
		 .doc = "queueing priority of packets sent; above 6 requires CAP_NET_ADMIN"},
	[ENDPOINT_NETNS] =
		{.name = "netns",
		 .type = SPLICED_STRING,
		 .flags = SPLICED_REOPEN,
		 .doc = "network namespace of the socket: a name as in ip-netns(8), or a path; requires "
			"CAP_SYS_ADMIN"},
	[ENDPOINT_FRAMING] =
		{.name = "framing",
		 .type = SPLICED_WORD,
		 .flags = SPLICED_LIVE,
		 .words = framings,
		 .doc = "how message boundaries are marked on a stream; none: not at all"},
	[ENDPOINT_MAX_FRAME] =
		{.name = "max_frame",
		 .type = SPLICED_SIZE,
		 .flags = SPLICED_LIVE,
		 .default_text = "64K",
		 .min = 64,
		 .max = 1 << 20,
		 .doc = "maximum length of a frame on a stream, with header and terminator"},
	[ENDPOINT_FORMAT] = {.name = "format",
			     .type = SPLICED_STRING,
			     .flags = SPLICED_LIVE,
			     .doc = "conversion of messages from this endpoint: raw leaves them "
				    "unchanged; a family may have others"},
	[ENDPOINT_FD] = {.name = "fd",
			 .type = SPLICED_STRING,
			 .flags = SPLICED_REOPEN,
			 .doc = "name of a socket passed by systemd; fd://NAME is the short form"},
	[ENDPOINT_REPLY_FROM] =
		{.name = "reply_from",
		 .type = SPLICED_WORD,
		 .flags = SPLICED_LIVE,
		 .roles = SPLICED_CONNECT,
		 .default_text = "target",
		 .words = repliers,
		 .doc = "accept replies only from the target, from any port of its host, or from anybody; further messages go to the "
			"address that replied last"},
	[ENDPOINT_WEIGHT] =
		{.name = "weight",
		 .type = SPLICED_NUMBER,
		 .flags = SPLICED_LIVE,
		 .roles = SPLICED_CONNECT,
		 .default_text = "1",
		 .max = 65535,
		 .doc = "share of new sessions, relative to the other targets of the pool; 0: no new sessions, existing ones continue"},
	[ENDPOINT_BACKUP] = {.name = "backup",
			     .type = SPLICED_BOOL,
			     .flags = SPLICED_LIVE,
			     .roles = SPLICED_CONNECT,
			     .default_text = "false",
			     .doc = "use this target only while all others of the pool are down"},
	[ENDPOINT_SLOW_START] =
		{.name = "slow_start",
		 .type = SPLICED_DURATION,
		 .flags = SPLICED_LIVE,
		 .roles = SPLICED_CONNECT,
		 .default_text = "0s",
		 .max = 86400 * SEC,
		 .doc = "time in which the share of a target that was down rises from nothing to its weight"},
	[ENDPOINT_MAX_SESSIONS] =
		{.name = "max_sessions",
		 .type = SPLICED_NUMBER,
		 .flags = SPLICED_LIVE,
		 .roles = SPLICED_CONNECT,
		 .default_text = "0",
		 .max = 1 << 24,
		 .doc = "maximum number of concurrent sessions of this target; at it, new sessions use the other targets of the pool; 0: no limit"},
	[ENDPOINT_QUEUE] =
		{.name = "queue",
		 .type = SPLICED_NUMBER,
		 .flags = SPLICED_LIVE,
		 .roles = SPLICED_CONNECT,
		 .default_text = "0",
		 .max = 1 << 24,
		 .doc =
			 "number of sessions that may wait, up to timeout.connect, while all targets of the pool have max_sessions; one queue for the pool, as long as those of its targets together; 0: none"},
	[ENDPOINT_PASSIVE_FAILURES] = {.name = "passive.failures",
				       .type = SPLICED_NUMBER,
				       .flags = SPLICED_LIVE,
				       .roles = SPLICED_CONNECT,
				       .max = 1000000,
				       .doc = "like the route's; default: the route's"},
	[ENDPOINT_PASSIVE_RETRY] = {.name = "passive.retry",
				    .type = SPLICED_DURATION,
				    .flags = SPLICED_LIVE,
				    .roles = SPLICED_CONNECT,
				    .min = MS,
				    .max = 3600 * SEC,
				    .doc = "like the route's; default: the route's"},
	[ENDPOINT_UNIT] =
		{.name = "unit",
		 .type = SPLICED_STRING,
		 .flags = SPLICED_LIVE,
		 .roles = SPLICED_CONNECT,
		 .doc =
			 "systemd service that the first client starts when the target does not answer; clients wait for it up to retry.total"},
	[ENDPOINT_IDLE_STOP] =
		{.name = "idle_stop",
		 .type = SPLICED_DURATION,
		 .flags = SPLICED_LIVE,
		 .roles = SPLICED_CONNECT,
		 .max =
			 YEAR,
		 .doc =
			 "time without a session after which the unit, if spliced has started it, is stopped; 0s: never. Default: never"},
	[ENDPOINT_EXPAND] =
		{.name = "expand",
		 .type = SPLICED_BOOL,
		 .flags = SPLICED_LIVE,
		 .roles = SPLICED_CONNECT,
		 .doc =
			 "each address of the name is a member of the pool, named NAME#1 to NAME#64; default: true for the name of a service (SRV), which has no other way; else false, the name is one member"},
	HEALTH_ROWS(ENDPOINT_HEALTH, SPLICED_CONNECT),
};

const char *const schema_root_keys[] = {"daemon", "defaults", "lists", "routes", NULL};
const char *const schema_route_keys[] = {"listen", "dial", "target", "allow", "deny", NULL};
const char *const schema_defaults_keys[] = {"allow", "deny", NULL};
const char *const schema_endpoint_keys[] = {"family", "type", "protocol", NULL};

const struct schema_scheme schema_schemes[] = {
	{"tcp", IP_NAME, SOCK_STREAM}, {"udp", IP_NAME, SOCK_DGRAM},
	{"tcp4", "inet", -1},	       {"udp4", "inet", -1},
	{"tcp6", "inet6", -1},	       {"udp6", "inet6", -1},
	{"rfcomm", "bluetooth", -1},   {"l2cap", "bluetooth", -1},
	{"sco", "bluetooth", -1},      {NULL, NULL, -1},
};

const char *const schema_families[] = {"inet",	  "inet6",     "unix",	"packet",
				       "netlink", "bluetooth", "vsock", NULL};

const char *schema_endpoint_noun(const char *key)
{
	if (strcmp(key, "listen") == 0)
		return "listening endpoint";
	return strcmp(key, "dial") == 0 ? "dialled endpoint" : "target";
}

static bool has_group(const struct spliced_option *options, size_t n, const char *name, size_t len)
{
	for (size_t i = 0; i < n; i++)
		if (strncmp(options[i].name, name, len) == 0 && options[i].name[len] == '.')
			return true;
	return false;
}

static bool is_group(const char *name, size_t len)
{
	return has_group(schema_route, ROUTE_OPTIONS, name, len) ||
	       has_group(schema_daemon, DAEMON_OPTIONS, name, len) ||
	       has_group(schema_endpoint, ENDPOINT_OPTIONS, name, len);
}

static const char *name_values(const char *key, size_t len)
{
	static const char *const keys[] = {"listen", "dial", "target"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (strlen(keys[i]) == len && memcmp(keys[i], key, len) == 0)
			return "endpoints";
	return "values";
}

const struct reader_keys schema_reader_keys = {
	.is_group = is_group,
	.name_values = name_values,
	.example =
		"routes: { NAME: { listen = \"tcp://:8080\"; target = \"tcp://localhost:80\"; }; };",
};
