/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Allow and deny rules by address: what is one, and which peers match. */
#include "net/address.h"
#include "net/network.h"

#include "suite.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

/* A peer of any family: six bytes at an odd place, and a number. */
struct strange {
	sa_family_t family;
	unsigned char before, bytes[6];
	_Alignas(4) uint32_t number;
};

/* clang-format off */
static const struct spliced_row
	inet = {.domain = AF_INET},
	inet6 = {.domain = AF_INET6},
	plain = {.domain = AF_UNIX},
	forward = {.domain = AF_PACKET, .peer_kind = SPLICED_PEER_BYTES, .peer_offset = offsetof(struct strange, bytes), .peer_len = 6},
	reversed = {.domain = AF_PACKET, .peer_kind = SPLICED_PEER_REVERSED, .peer_offset = offsetof(struct strange, bytes), .peer_len = 6},
	number = {.domain = AF_VSOCK, .peer_kind = SPLICED_PEER_NUMBER, .peer_offset = offsetof(struct strange, number), .peer_len = 4},
	hidden = {.domain = AF_PACKET, .peer_kind = SPLICED_PEER_IP, .peer_offset = offsetof(struct strange, number), .peer_len = 4};
/* clang-format on */

static struct address ip_peer(const char *text)
{
	struct address ret = {.len = sizeof(struct sockaddr_in6)};
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ret.storage;
	struct sockaddr_in *in = (struct sockaddr_in *)&ret.storage;

	in6->sin6_family = AF_INET6;
	if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1)
		return ret;
	in->sin_family = AF_INET;
	ret.len = sizeof *in;
	ck_assert_int_eq(inet_pton(AF_INET, text, &in->sin_addr), 1);
	return ret;
}

static struct address strange_peer(void)
{
	static const struct strange strange = {
		.family = AF_PACKET, .bytes = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55}, .number = 3};
	struct address ret = {.len = sizeof strange};

	memcpy(&ret.storage, &strange, sizeof strange);
	return ret;
}

static const struct {
	const char *rule, *peer;
	int match;
} ip_matches[] = {
	{"10.0.0.0/8", "10.255.0.1", 9},
	{"10.0.0.0/8", "11.0.0.1", 0},
	{"10.0.0.0/8", "::ffff:10.1.1.1", 9},
	{"10.1.2.3", "10.1.2.3", 33},
	{"10.1.2.3", "10.1.2.4", 0},
	{"10.1.2.2/31", "10.1.2.3", 32},
	{"0.0.0.0/0", "203.0.113.9", 1},
	{"0.0.0.0/0", "::ffff:203.0.113.9", 1},
	{"0.0.0.0/0", "2001:db8::1", 0},
	{"::/0", "2001:db8::1", 1},
	{"::/0", "10.0.0.1", 0},
	{"::/0", "::ffff:10.0.0.1", 0},
	{"2001:db8::/32", "2001:db8:1::7", 33},
	{"2001:db8::/33", "2001:db8:8000::7", 0},
	{"2001:db8::7", "2001:db8::7", 129},
	{"::ffff:10.0.0.0/104", "10.9.9.9", 9},
	{"::ffff:10.0.0.1", "10.0.0.1", 33},
	{"::ffff:0:0/96", "10.0.0.1", 1},
};

static const struct {
	const char *rule, *says; /* "": no rule at all */
} bad_rules[] = {
	{"10.0.0.1/8", "write \"10.0.0.0/8\" for the network, or \"10.0.0.1\" for one address"},
	{"2001:db8::1/64", "write \"2001:db8::/64\" for the network"},
	{"::ffff:10.0.0.1/104", "write \"10.0.0.0/8\""},
	{"10.0.0.0/33", "the prefix length of an IPv4 address must be 0 to 32"},
	{"10.0.0.0/", "0 to 32"},
	{"10.0.0.0/+8", "0 to 32"},
	{"10.0.0.0/8x", "0 to 32"},
	{"2001:db8::/129", "the prefix length of an IPv6 address must be 0 to 128"},
	{"10.0.0", "not an IPv4 address"},
	{"10.0.0.256", "not an IPv4 address"},
	{"fe80::1%lo", "a rule cannot contain an interface"},
	{"localhost", ""},
	{"uid:0", ""},
	{"", ""},
	{"AA:BB:CC:DD:EE:FF", ""},
	{"a-very-long-text-that-is-no-address-of-any-kind-whatsoever-and-goes-on-and-on-and-on",
	 ""},
};

START_TEST(rules_of_ip_match)
{
	const struct spliced_row *const both[] = {&inet, &inet6};
	struct address of = ip_peer(ip_matches[_i].peer);
	struct network network;
	char why[256];

	for (size_t i = 0; i < 2; i++) {
		ck_assert_int_eq(
			network_parse(both[i], ip_matches[_i].rule, &network, why, sizeof why), 0);
		ck_assert_int_eq(network_match(&network, both[1 - i], &of), ip_matches[_i].match);
		ck_assert_int_eq(network_match(&network, &plain, &of), 0);
		ck_assert_int_eq(network_match(&network, &forward, &of), 0);
	}
}
END_TEST

static void assert_refused(const struct spliced_row *row, const char *rule, const char *says)
{
	struct network network;
	char why[256] = "untouched";

	ck_assert_int_eq(network_parse(row, rule, &network, why, sizeof why), -EINVAL);
	ck_assert_msg(strstr(why, says), "\"%s\" is not in \"%s\"", says, why);
	ck_assert(*says || !*why);
}

START_TEST(rules_of_ip_are_refused)
{
	assert_refused(&inet, bad_rules[_i].rule, bad_rules[_i].says);
	assert_refused(&plain, bad_rules[_i].rule, "");
}
END_TEST

static const struct {
	const struct spliced_row *row;
	const char *rule;
	int match;
} other_matches[] = {
	{&forward, "00:11:22:33:44:55", 49},
	{&forward, "00:11:22:33:44:56", 0},
	{&forward, "00:11:22:00:00:00/24", 25},
	{&forward, "00:11:22:20:00:00/27", 28},
	{&forward, "00:11:22:20:00:00/28", 0},
	{&forward, "00:00:00:00:00:00/0", 1},
	{&forward, "55:44:33:22:11:00", 0},
	{&reversed, "55:44:33:22:11:00", 49},
	{&reversed, "55:44:33:00:00:00/24", 25},
	{&number, "3", 33},
	{&number, "4", 0},
	{&number, "4294967295", 0},
};

START_TEST(rules_of_others_match)
{
	const struct spliced_row *row = other_matches[_i].row;
	struct address of = strange_peer(), cut = of;
	struct network network;
	char why[256];

	cut.len = (socklen_t)(row->peer_offset + row->peer_len - 1);
	ck_assert_int_eq(network_parse(row, other_matches[_i].rule, &network, why, sizeof why), 0);
	ck_assert_int_eq(network_match(&network, row, &of), other_matches[_i].match);
	ck_assert_int_eq(network_match(&network, row, &cut), 0);
	ck_assert_int_eq(network_match(&network, &inet, &of), 0);
}
END_TEST

static const struct {
	const struct spliced_row *row;
	const char *rule, *says;
} other_refusals[] = {
	{&forward, "00:11:22",
	 "an address here has 6 bytes in hexadecimal, such as \"00:11:22:33:44:55\""},
	{&forward, "00:11:22:33:44:55:66", "has 6 bytes"},
	{&forward, "00:11:22:33:44:55/25",
	 "write \"00:11:22:00:00:00/25\" for the network, or \"00:11:22:33:44:55\""},
	{&forward, "00:11:22:33:44:55/49", "the prefix length of such an address must be 0 to 48"},
	{&forward, "10.0.0.0/8", ""},
	{&forward, "", ""},
	{&number, "-1", "a number from 0 to 4294967295"},
	{&number, "4294967296", "a number from 0 to 4294967295"},
	{&number, "3/8", ""},
	{&number, "host", ""},
	{&number, "", ""},
};

START_TEST(rules_of_others_are_refused)
{
	assert_refused(other_refusals[_i].row, other_refusals[_i].rule, other_refusals[_i].says);
}
END_TEST

/* A sockaddr of another family that has an IPv4 address in it. */
START_TEST(rules_of_ip_find_it_anywhere)
{
	struct address of = strange_peer();
	struct network network;
	char why[256];

	memcpy((char *)&of.storage + offsetof(struct strange, number),
	       &(in_addr_t){htonl(0x0a000001)}, 4);
	ck_assert_int_eq(network_parse(&hidden, "10.0.0.0/8", &network, why, sizeof why), 0);
	ck_assert_int_eq(network_match(&network, &hidden, &of), 9);
	ck_assert_int_eq(network_match(&network, &inet, &of), 0);
}
END_TEST

#define ADD_ROWS(tcase, test, rows) \
	tcase_add_loop_test((tcase), test, 0, (int)(sizeof(rows) / sizeof *(rows)))

int main(void)
{
	Suite *suite = suite_create("network");
	TCase *tcase = tcase_create("rules");

	ADD_ROWS(tcase, rules_of_ip_match, ip_matches);
	ADD_ROWS(tcase, rules_of_ip_are_refused, bad_rules);
	ADD_ROWS(tcase, rules_of_others_match, other_matches);
	ADD_ROWS(tcase, rules_of_others_are_refused, other_refusals);
	tcase_add_test(tcase, rules_of_ip_find_it_anywhere);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
