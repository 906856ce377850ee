/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the family netlink share. */
#pragma once

#include <spliced/plugin.h>

#include <jansson.h>
#include <libmnl/libmnl.h>
#include <net/if.h>
#include <stdbool.h>

enum netlink_option {
	NETLINK_OPTION_GROUPS,
	NETLINK_OPTION_DUMP,
	NETLINK_OPTION_ON_OVERRUN,
	NETLINK_OPTION_PORTID,
	NETLINK_OPTION_ALL_NSID,
	NETLINK_OPTION_WRITE,
	NETLINK_OPTIONS,
};

enum netlink_on_overrun { ON_OVERRUN_RESYNC, ON_OVERRUN_MARK, ON_OVERRUN_IGNORE };

/* What can be dumped, in this order: names of links come before what names them. */
enum netlink_kind {
	NETLINK_LINK,
	NETLINK_ADDRESS,
	NETLINK_ROUTES,
	NETLINK_NEIGHBOUR,
	NETLINK_RULE,
	NETLINK_NEXTHOP,
	NETLINK_KINDS
};

/* Bits of the kinds whose groups are among the option's; unknown names are left out. */
unsigned netlink_kinds(const struct spliced_options *options);

/* Whether the option's groups are of the row's protocol, as far as that is known without a socket.
 * 0 or -EINVAL, reported. */
int netlink_check_groups(const struct spliced_options *options);

/* Joins them, and subscribes to what needs a request: process events, logged packets. 0 or negative
 * errno, reported. */
int netlink_join(int fd, const struct spliced_options *options);

enum { NETLINK_LOG_REQUEST = 0x10600001 }; /* nlmsg_seq of what asks for logged packets */

/* The callback release(): takes the asking back. */
void netlink_release(int fd, const struct spliced_options *options);

/* Asks the controller of generic netlink for a family. The answer's length; negative errno. */
int netlink_ask_controller(const char *family, size_t name_len, void *answer, size_t size);

/* Whether the option `write` names types of the row's protocol. 0 or -EINVAL, reported. */
int netlink_check_write(const struct spliced_options *options);

/* Whether a type that changes something is among them. */
bool netlink_writes_changes(const struct spliced_options *options);

/* The callback may_send(). */
int netlink_may_send(const struct spliced_options *options, const void *data, size_t len);

/* A message's time and namespace, from its control data. */
void netlink_read_control(const struct msghdr *received, struct spliced_message *message);

/* The number of the other namespace in a message's note; -1: none. */
int32_t netlink_nsid(const struct spliced_message *message);

/* Attributes of a message or a nest, by type; NULL where there is none. */
struct netlink_attributes {
	unsigned most;
	const struct nlattr **at;
};

/* Fill a table of most + 1 pointers: from behind a header of this many bytes in a message, or from
 * a nest. */
void netlink_parse(const struct nlmsghdr *message, size_t header, const struct nlattr **at,
		   unsigned most);
void netlink_parse_nested(const struct nlattr *nest, const struct nlattr **at, unsigned most);
void netlink_parse_bytes(const void *bytes, size_t len, const struct nlattr **at, unsigned most);

/* The value of an attribute; 0, or NULL, where it is missing or too short. */
uint32_t netlink_u32(const struct nlattr *attribute);
uint8_t netlink_u8(const struct nlattr *attribute);
const char *netlink_text(const struct nlattr *attribute);

/* Put a member into an object. Text that is no UTF-8 has '?' for each byte that is not ASCII. */
void netlink_put_text(json_t *object, const char *key, const char *text);
void netlink_put_number(json_t *object, const char *key, int64_t number);

/* An address of the family, or "" */
void netlink_put_address(json_t *object, const char *key, int family,
			 const struct nlattr *attribute);
const char *netlink_address(int family, const void *bytes, size_t len, char text[64]);

/* A name from a table, else the number as text, as ip(8) has it. */
struct netlink_name {
	uint32_t number;
	const char *name;
};
const char *netlink_name(const struct netlink_name *names, size_t n, uint32_t number,
			 char text[16]);

extern const struct netlink_name netlink_scopes[], netlink_protocols[], netlink_tables[],
	netlink_types[];
extern const size_t netlink_n_scopes, netlink_n_protocols, netlink_n_tables, netlink_n_types;

/* Where a message's numbers of interfaces are at home. */
struct netlink_place {
	int fd;		/* the socket it came by: it asks in its own network namespace */
	uint64_t netns; /* SO_NETNS_COOKIE of that, 0: unknown */
	int32_t nsid; /* the number of another namespace, whose names cannot be asked for; -1: none
		       */
};

/* An interface's name, "if12" where it has none any more or none that is known; and its flags, 0
 * where they are not known. */
const char *netlink_interface(const struct netlink_place *place, uint32_t index,
			      char name[IF_NAMESIZE]);
unsigned netlink_interface_flags(const struct netlink_place *place, uint32_t index);

/* Records a name from a message. */
void netlink_learn_interface(const struct netlink_place *place, uint32_t index, const char *name);

/* A link, an address, a route, a neighbour, a rule or a next hop, as members of an object. False:
 * it is none that ip(8) would show. */
bool netlink_put_link(json_t *object, const struct nlmsghdr *message,
		      const struct netlink_place *place);
bool netlink_put_inet_address(json_t *object, const struct nlmsghdr *message,
			      const struct netlink_place *place);
bool netlink_put_route(json_t *object, const struct nlmsghdr *message,
		       const struct netlink_place *place);
bool netlink_put_neighbour(json_t *object, const struct nlmsghdr *message,
			   const struct netlink_place *place);
bool netlink_put_rule(json_t *object, const struct nlmsghdr *message,
		      const struct netlink_place *place);
bool netlink_put_nexthop(json_t *object, const struct nlmsghdr *message,
			 const struct netlink_place *place);

/* An event of protocol uevent or connector, of len bytes: as members of an object. What the event
 * is called, or NULL: it is none. */
const char *netlink_put_uevent(json_t *object, const char *text, size_t len);
const char *netlink_put_process(json_t *object, const struct nlmsghdr *message);

/* A tracked connection of protocol netfilter: what the event is called; NULL: the message is of
 * another kind. */
const char *netlink_put_conntrack(json_t *object, const struct nlmsghdr *message);

/* Any other message: its header, and what is behind it in base64. */
void netlink_put_raw(json_t *object, const struct nlmsghdr *message);

/* The format json. */
int netlink_json_preamble(struct spliced_consumer *consumer, void *frame, size_t size);
int netlink_json_encode(struct spliced_consumer *consumer, const struct spliced_message *message,
			void *frame, size_t size);
int netlink_json_event(struct spliced_consumer *consumer, int why, void *frame, size_t size);
enum { NETLINK_JSON_STATE = 48 };

/* The format pcap. */
int netlink_capture_preamble(struct spliced_consumer *consumer, void *frame, size_t size);
int netlink_capture_encode(struct spliced_consumer *consumer, const struct spliced_message *message,
			   void *frame, size_t size);
enum { NETLINK_CAPTURE_STATE = 1, NETLINK_LINK_TYPE = 253 };
