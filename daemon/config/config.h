/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What was asked for: the configuration as plain structs, checked, with file and line of every
 * setting. It never changes once read.
 *
 * How a value gets from the file to its use:
 *
 *   schema.c, a plugin  an option has one row in one table: key, type, range, default, text of the
 *                       manual; its number is an enum below
 *   language/           bytes (input), tokens (scan, grammar), one text with its includes (source),
 *                       a tree of struct setting (parse)
 *   config.c, root.c    the main file's tree takes in the routes of X.conf.d; its groups go to
 *                       route.c, endpoints to endpoint.c
 *   port.c              a range of ports is as many listeners
 *   scheme.c            an endpoint string becomes the group of settings that means the same
 *   options.c, endpoint_legs.c
 *                       find each option's setting, value.c reads it by the row's type: a struct
 *                       config_value, with its location. What is not set comes from `defaults`
 *                       (route.c), else from the row's default
 *   ask.c               a family makes an address of its options; pair.c, conflict.c,
 *                       route_loop.c, limit.c, warning.c see what fits together
 *   route.c, frame.c    copy values into members of config_route and config_endpoint, for the data
 *                       path
 *   print.c             the canonical text, one setting a line, with a location for each line;
 *                       config_generation.c writes both into a sealed memfd. A worker reads that
 *                       text in the same way, with ask.c's questions answered from it
 *   use                 the data path: route->idle_timeout; a family's callback: value number N of
 *                       leg->options
 */
#pragma once

#include "language/location.h"
#include "net/address.h"
#include "net/family.h"
#include "net/network.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

struct config_health;
struct report;

struct config_value {
	struct spliced_value value; /* first: plugins walk values by stride */
	struct location location;
	bool inherited; /* from `defaults` */
};

/* `health`, of a route or of a target: which targets are checked, and how (config/health.h). */
enum config_health_option {
	HEALTH_INTERVAL,
	HEALTH_TIMEOUT,
	HEALTH_RISE,
	HEALTH_FALL,
	HEALTH_PORT,
	HEALTH_SEND,
	HEALTH_EXPECT,
	HEALTH_HTTP,
	HEALTH_STATUS,
	HEALTH_OPTIONS,
};

/* daemon: { ... }. Index of config.daemon[]. */
enum config_daemon_option {
	DAEMON_WORKERS,
	DAEMON_MAX_SESSIONS,
	DAEMON_USER,
	DAEMON_GROUP,
	DAEMON_CONTROL_PATH,
	DAEMON_CONTROL_MODE,
	DAEMON_CONTROL_GROUP,
	DAEMON_LOG_LEVEL,
	DAEMON_LOG_TO,
	DAEMON_LOG_FORMAT,
	DAEMON_LOG_SESSIONS,
	DAEMON_SANDBOX,
	DAEMON_PLUGIN_DIR,
	DAEMON_OPTIONS,
};

/* A route's own keys, endpoints and rules aside. Index of config_route.values[]. */
enum config_route_option {
	ROUTE_ENABLED,
	ROUTE_TITLE,
	ROUTE_BALANCE, /* words: enum config_balance */
	ROUTE_TIMEOUT_CONNECT,
	ROUTE_TIMEOUT_IDLE,
	ROUTE_TIMEOUT_HALF_CLOSED,
	ROUTE_LIMIT_SESSIONS,
	ROUTE_RETRY_ATTEMPTS,
	ROUTE_RETRY_BACKOFF,
	ROUTE_RETRY_MAX_BACKOFF,
	ROUTE_RETRY_TOTAL,
	ROUTE_RESOLVE,
	ROUTE_PASSIVE_FAILURES,
	ROUTE_PASSIVE_RETRY,
	ROUTE_HEALTH,				       /* the first of enum config_health_option */
	ROUTE_ON_DOWN = ROUTE_HEALTH + HEALTH_OPTIONS, /* words: enum config_on_down */
	ROUTE_REPLIES,
	ROUTE_OVERFLOW, /* words: enum config_overflow, from OVERFLOW_BLOCK on */
	ROUTE_OPTIONS,
};

/* Keys that every endpoint takes, whatever its family. Index of config_endpoint.values[]. */
enum config_endpoint_option {
	ENDPOINT_NAME,
	ENDPOINT_SNDBUF,
	ENDPOINT_RCVBUF,
	ENDPOINT_MARK,
	ENDPOINT_PRIORITY,
	ENDPOINT_NETNS,
	ENDPOINT_FRAMING, /* words: enum spliced_framing, from SPLICED_FRAMING_NONE on */
	ENDPOINT_MAX_FRAME,
	ENDPOINT_FORMAT,     /* "raw", or a format of the family's */
	ENDPOINT_FD,	     /* a socket's name, passed.h */
	ENDPOINT_REPLY_FROM, /* words: enum config_reply_from */
	ENDPOINT_WEIGHT,     /* from here on: a target's place in its pool, member.h */
	ENDPOINT_BACKUP,
	ENDPOINT_SLOW_START,
	ENDPOINT_MAX_SESSIONS,
	ENDPOINT_QUEUE,
	ENDPOINT_PASSIVE_FAILURES,
	ENDPOINT_PASSIVE_RETRY,
	ENDPOINT_UNIT,
	ENDPOINT_IDLE_STOP,
	ENDPOINT_EXPAND,
	ENDPOINT_HEALTH, /* the first of enum config_health_option */
	ENDPOINT_OPTIONS = ENDPOINT_HEALTH + HEALTH_OPTIONS,
};

/* One family's share of an endpoint. `ip` without a numeric host has two, inet6 and inet; all
 * others have one. */
struct config_leg {
	const struct family *family;
	const struct spliced_row *row;
	struct config_value *values;	/* family->plugin.n_options */
	struct spliced_options options; /* over values; what callbacks get */
	const char *
		host_name; /* the HOST option's text where it is a name to be resolved, else NULL */
	int host_option;   /* number of the HOST option whose name is resolved; -1: there is none */
	struct address address; /* where host_name is NULL */
	uint16_t port; /* of a listener of inet or inet6, in host byte order; 0: it has none */
	const char *interface; /* whose scope it has: net/scope.h puts the index in; NULL: there is
				  none */
	/* what the family reported of it: */
	bool mute;	    /* no message may be sent to it */
	bool has_companion; /* a listener has one to be run */
	uint64_t needs;	    /* capabilities, bit N is CAP number N */
};

/* What happens to messages that the receiving side does not accept. */
enum config_overflow {
	OVERFLOW_AUTO, /* block where the source can be held back, else drop-new */
	OVERFLOW_BLOCK,
	OVERFLOW_DROP_NEW,
	OVERFLOW_DROP_OLD,
};

/* What becomes of the sessions of a target that went down. */
enum config_on_down { ON_DOWN_KEEP, ON_DOWN_END };

/* From which addresses a target's datagram socket accepts replies. */
enum config_reply_from { REPLY_FROM_TARGET, REPLY_FROM_HOST, REPLY_FROM_ANY };

/* How the next of a pool is chosen. */
enum config_balance {
	BALANCE_ROUNDROBIN,
	BALANCE_LEASTCONN,
	BALANCE_SOURCE,
	BALANCE_RANDOM,
	BALANCE_FIRST
};

/* The members that a name may have which stands for a pool: expand.h. */
enum { CONFIG_PLACES = 64 };

/* A target in its pool. */
struct config_member {
	uint32_t weight; /* 0: it gets no new sessions */
	bool alone;	 /* it is its route's only one */
	bool backup;
	bool expanded;	       /* it is a place of a name, and may have no address */
	bool service;	       /* ... of a service, whose records have priorities and weights */
	uint64_t slow_start;   /* until it has its whole weight after it was down, ns */
	uint32_t max_sessions; /* at a time; 0: any number */
	uint32_t queue;	       /* sessions that may wait for a place at it */
	uint32_t failures;     /* passive: in a row, that mark it down; 0: none do */
	uint64_t retry;	       /* passive: how long it is passed over then, ns */
	uint64_t backoff, max_backoff; /* the route's retry: the pauses between attempts while it is
					  down, ns */
};

struct config_endpoint {
	struct location location;
	enum spliced_role role;
	const char *key;    /* of its list: "listen", "dial", "target" */
	const char *family; /* as given: a family's name, or IP_NAME */
	char *name;	    /* for logs and counters: as given, else as text */
	char *text; /* canonical endpoint string: scheme, address, no options: "tcp://localhost:80"
		     */
	struct config_value values[ENDPOINT_OPTIONS];
	unsigned n_legs;
	struct config_leg legs[2];
	/* the values above, for the data path */
	enum spliced_framing framing; /* as given; UNSET if not */
	uint32_t max_frame;	      /* bytes, with header and end */
	uint32_t largest_frame; /* of the streams at the other side, bytes, where this end sends
				   messages; 0: none is framed */
	const struct spliced_format *format; /* NULL: raw, messages as they are */
	enum config_reply_from reply_from;
	const struct config_health *health; /* config/health.h; NULL: it is not checked */
	const char *unit;   /* of systemd, that the first client starts; NULL: none */
	uint64_t idle_stop; /* ns; after so long without a session it is stopped; 0: never */
	struct config_member member; /* of a target; of a dial, but for its weight */
	bool continues;		     /* a listener: of one range of ports, after the one before */
	bool follows_port;	     /* a target: its port is the one that the client arrived at, */
	uint16_t port_offset;	     /* plus so many: dispatch/arrival.h */
	unsigned place;	 /* of a name that stands for a pool, from 1 on; 0: it does not */
	bool service;	 /* a target whose name is of a service: SRV records have hosts and ports */
	uint64_t digest; /* of the canonical text but for its place in the pool: endpoints that mean
			    the same have the same, wherever they stand */
};

enum config_rule_kind { RULE_ADDRESS, RULE_UID, RULE_GID, RULE_UNKNOWN };

/* One word of allow or deny, lists ("@office") already expanded, users and groups already numbers;
 * UNKNOWN: not known to the system yet. */
struct config_rule {
	struct location location;
	char *text; /* as written */
	enum config_rule_kind kind;
	const struct family *family; /* RULE_ADDRESS: whose rule it is; NULL: the network */
	struct spliced_rule rule;    /* RULE_ADDRESS, of a family */
	struct network network;	     /* RULE_ADDRESS, of none */
	uint32_t id;		     /* RULE_UID, RULE_GID */
};

struct config_route {
	char *name;
	struct location location;
	struct config_value
		values[ROUTE_OPTIONS]; /* the route's own, else from defaults, else the default */
	struct config_endpoint *listen;
	unsigned n_listen;
	struct config_endpoint *dial; /* fronts that are connected to: role SPLICED_CONNECT */
	unsigned n_dial;
	struct config_endpoint *targets;
	unsigned n_targets;
	bool has_allow; /* allow exists, if only as an empty list: all others are refused */
	struct config_rule *allow;
	unsigned n_allow;
	struct config_rule *deny;
	unsigned n_deny;
	bool waits_for_hosts; /* what one of its listeners is called has no address yet: that one is
				 not listened on */
	bool waits_for_names; /* a user or group of its rules is not known yet: nothing is listened
				 on for it */
	/* the values above, for the data path */
	bool enabled;
	uint64_t connect_timeout, idle_timeout; /* ns; 0: none */
	uint64_t message_idle_timeout; /* ns; of sessions with a connectionless end; 0: none */
	uint64_t half_closed_timeout,
		message_half_closed_timeout; /* ns; the same two, after EOF of a side; 0: none */
	int64_t replies; /* for each message of a datagram session; -1: not given */
	enum config_overflow overflow;
	enum config_balance balance;
	enum config_on_down on_down;
	uint64_t digest;     /* of the canonical text: a route that means the same has the same */
	uint64_t own_digest; /* ... of it without its endpoints, and without retry, balance and
				passive, which change no session */
	uint64_t backoff, max_backoff, retry_total; /* ns */
	uint64_t resolve; /* names are looked up again after this time at the latest, ns */
	uint32_t attempts, limit_sessions; /* 0: no limit */
};

struct config {
	struct location_files files;
	struct config_value daemon[DAEMON_OPTIONS];
	struct config_route *routes; /* in the order of the files */
	unsigned n_routes;
	uint64_t digest; /* xxHash of the canonical text: equal digests are equal configurations */
	struct arena *arena; /* what frees it all */
};

struct config_source {
	const char *path; /* the file */
	const char *as; /* check it as if it were this path (for X.conf.d and @include), or NULL */
	struct families *families;
	bool names_may_wait; /* a user, a group or a host to listen on that is not known yet is no
			      * error: its route waits for it; nor is a file of X.conf.d that cannot
			      * be read */
	bool resolve_listeners; /* look up names that listeners bind to, with a time limit; -t does
				   not */
	bool daemon_only; /* read the daemon group alone: what must be known before privileges are
			     dropped; loads no plugin */
};

/* Reads and checks a configuration and returns it; or negative errno with every error in report
 * (each "FILE:LINE: route NAME: what is wrong; what would be right"): -EINVAL, or the error of
 * opening the file. On error *ret is untouched. (config_read() is libconfig's.) */
int config_load(const struct config_source *source, struct config **ret, struct report *report);

/* Writes config as a generation into an empty memfd, and reads it back: same values, same
 * locations. Writing asks the families what reading would ask of them, and adds their answers;
 * reading then runs none of their code. A generation may lack the answers (0.2.0 wrote none), or
 * have those of another release: config_answer_generation() copies it into the empty memfd `to`
 * with new ones, asked here; to -1: only whether that can be done. 0 or negative errno, with what
 * is wrong in report. */
int config_write_generation(const struct config *config, struct families *families, int fd,
			    struct report *report);
int config_answer_generation(int fd, struct families *families, int to, struct report *report);
/* Looks for the users and groups of a generation's rules, and the hosts of its listeners, that were
 * not known: copied into `to` with those that are now. -EAGAIN: none. */
int config_resolve_generation(int fd, struct families *families, int to, struct report *report);
int config_read_generation(int fd, struct families *families, struct config **ret,
			   struct report *report);
/* Its daemon group alone, which takes no family. */
int config_read_generation_daemon(int fd, struct config **ret, struct report *report);

/* Prints the canonical text: a file that reads as the same config. 0 or negative errno. */
int config_print(const struct config *config, FILE *file);

/*
 * Callbacks of a leg's family report errors by SPLICED_ERROR(). On this thread, from config_hear()
 * to config_hear_nothing(), these go to report, with the location of the option and the route's
 * name; otherwise they are discarded. config_load() does this itself; callers of prepare() or
 * bound() do it around them.
 */
void config_hear(const struct config *config, const struct config_route *route,
		 const struct config_endpoint *endpoint, const struct config_leg *leg,
		 struct report *report);
void config_hear_nothing(void);

/* Whether nothing can be sent to an endpoint: a feed that is read in a format, or whose family
 * permits no message. */
bool config_is_receive_only(const struct config_endpoint *endpoint, const struct config_leg *leg);

/* Whether a file of X.conf.d could be read now. */
bool config_can_read(const char *path);

/* Frees it. Takes NULL, returns NULL. */
struct config *config_free(struct config *config);

/* "FILE:LINE" of a location, into text. Returns text. */
static inline const char *config_location_text(const struct config *config,
					       struct location location, char *text, size_t size)
{
	return location_text(&config->files, location, text, size);
}

/* Prints what a family takes (name NULL: every family found), for people or as JSON. 0 or negative
 * errno. */
int config_describe(struct families *families, const char *name, bool json, FILE *file,
		    struct report *report);

/* Digest of an endpoint leg's options that need a new socket when they change: family, row, address
 * and REOPEN options. Equal digests may share a listening socket. */
uint64_t config_leg_digest(const struct config_endpoint *endpoint, const struct config_leg *leg);
/* The same of the LIVE options. */
uint64_t config_leg_live_digest(const struct config_endpoint *endpoint,
				const struct config_leg *leg);
