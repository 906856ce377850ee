/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Attributes of netlink messages, and how they read in JSON. Lengths are the sender's claim: each
 * is checked where it is used. */
#include "netlink/netlink.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void keep(const struct nlattr *attribute, const struct nlattr **at, unsigned most)
{
	unsigned type = mnl_attr_get_type(attribute);

	if (type <= most)
		at[type] = attribute;
}

void netlink_parse_bytes(const void *bytes, size_t len, const struct nlattr **at, unsigned most)
{
	const struct nlattr *attribute = bytes;
	const char *end = (const char *)bytes + len;

	memset(at, 0, (most + 1) * sizeof *at);
	while (mnl_attr_ok(attribute, (int)(end - (const char *)attribute))) {
		keep(attribute, at, most);
		attribute = mnl_attr_next(attribute);
	}
}

void netlink_parse(const struct nlmsghdr *message, size_t header, const struct nlattr **at,
		   unsigned most)
{
	size_t payload = mnl_nlmsg_get_payload_len(message), skip = MNL_ALIGN(header);

	netlink_parse_bytes((const char *)mnl_nlmsg_get_payload(message) +
				    (skip < payload ? skip : 0),
			    skip < payload ? payload - skip : 0, at, most);
}

void netlink_parse_nested(const struct nlattr *nest, const struct nlattr **at, unsigned most)
{
	netlink_parse_bytes(mnl_attr_get_payload(nest), mnl_attr_get_payload_len(nest), at, most);
}

uint32_t netlink_u32(const struct nlattr *attribute)
{
	return attribute && mnl_attr_get_payload_len(attribute) >= sizeof(uint32_t)
		       ? mnl_attr_get_u32(attribute)
		       : 0;
}

uint8_t netlink_u8(const struct nlattr *attribute)
{
	return attribute && mnl_attr_get_payload_len(attribute) >= 1 ? mnl_attr_get_u8(attribute)
								     : 0;
}

const char *netlink_text(const struct nlattr *attribute)
{
	uint16_t len = attribute ? mnl_attr_get_payload_len(attribute) : 0;

	return len && memchr(mnl_attr_get_payload(attribute), '\0', len)
		       ? mnl_attr_get_str(attribute)
		       : NULL;
}

/* An interface may be called by any bytes but '/', space and ':'. */
void netlink_put_text(json_t *object, const char *key, const char *text)
{
	json_t *string = text ? json_string(text) : NULL;
	char *plain = text && !string ? strdup(text) : NULL;

	for (char *c = plain; c && *c; c++)
		*c = (unsigned char)*c < 0x80 ? *c : '?';
	if (plain)
		string = json_string(plain);
	free(plain);
	if (string)
		json_object_set_new(object, key, string);
}

void netlink_put_number(json_t *object, const char *key, int64_t number)
{
	json_object_set_new(object, key, json_integer(number));
}

const char *netlink_address(int family, const void *bytes, size_t len, char text[64])
{
	if (family == AF_INET && len >= 4)
		return inet_ntop(AF_INET, bytes, text, 64);
	if (family == AF_INET6 && len >= 16)
		return inet_ntop(AF_INET6, bytes, text, 64);
	return NULL;
}

void netlink_put_address(json_t *object, const char *key, int family,
			 const struct nlattr *attribute)
{
	char text[64];

	if (attribute)
		netlink_put_text(object, key,
				 netlink_address(family, mnl_attr_get_payload(attribute),
						 mnl_attr_get_payload_len(attribute), text));
}

void netlink_put_raw(json_t *object, const struct nlmsghdr *message)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *bytes = mnl_nlmsg_get_payload(message);
	size_t len = mnl_nlmsg_get_payload_len(message), n = 0;
	char *text = malloc((len + 2) / 3 * 4 + 1);

	netlink_put_number(object, "type", message->nlmsg_type);
	netlink_put_number(object, "flags", message->nlmsg_flags);
	netlink_put_number(object, "seq", message->nlmsg_seq);
	netlink_put_number(object, "pid", message->nlmsg_pid);
	for (size_t i = 0; text && i < len; i += 3) {
		size_t left = len - i;
		uint32_t group = (uint32_t)bytes[i] << 16 |
				 (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
				 (left > 2 ? bytes[i + 2] : 0);

		text[n++] = digits[group >> 18];
		text[n++] = digits[group >> 12 & 63];
		text[n++] = left > 1 ? digits[group >> 6 & 63] : '=';
		text[n++] = left > 2 ? digits[group & 63] : '=';
	}
	if (text)
		json_object_set_new(object, "payload", json_stringn(text, n));
	free(text);
}
