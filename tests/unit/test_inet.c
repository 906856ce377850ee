/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The families inet and inet6: addresses and their texts, and what the kernel makes of their
 * options. */
#include "../plugins/endpoint.h"
#include "described.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/in6.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static struct families families;
static const struct family *inet, *inet6;
static struct endpoint endpoint;

static void set_up(void)
{
	inet = endpoint_family(&families, "inet");
	inet6 = endpoint_family(&families, "inet6");
}

static void tear_down(void)
{
	families_done(&families);
}

#define make(family, row, role, ...) endpoint_make(&endpoint, family, row, role, __VA_ARGS__, NULL)
#define assert_says(text) \
	ck_assert_msg(strstr(endpoint_error, text), "\"%s\" is not in \"%s\"", text, endpoint_error)

static int address(const struct family *family, const struct spliced_options *options,
		   struct address *ret)
{
	return address_from_options(family, options,
				    family_host_option(family, options->row, options->role), NULL,
				    0, 0, ret);
}

static const char *describe(const struct family *family, const struct address *of)
{
	static char text[ADDRESS_TEXT_MAX];

	return address_describe(family, &family->rows[0], of, text, sizeof text);
}

/* An address of either family, as the kernel would give it. */
static struct address peer(const char *host, unsigned port)
{
	struct address ret = {0};
	struct sockaddr_in *in = (struct sockaddr_in *)&ret.storage;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ret.storage;

	if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)port);
		ret.len = sizeof *in;
	} else {
		ck_assert_int_eq(inet_pton(AF_INET6, host, &in6->sin6_addr), 1);
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)port);
		ret.len = sizeof *in6;
	}
	return ret;
}

static const struct {
	const char *family;
	enum spliced_role role;
	const char *host, *port, *text;
} round_trips[] = {
	{"inet", SPLICED_LISTEN, "", "80", "0.0.0.0:80"},
	{"inet", SPLICED_LISTEN, "0.0.0.0", "80", "0.0.0.0:80"},
	{"inet", SPLICED_LISTEN, "127.0.0.1", "1", "127.0.0.1:1"},
	{"inet", SPLICED_CONNECT, "192.0.2.255", "65535", "192.0.2.255:65535"},
	{"inet6", SPLICED_LISTEN, "", "80", "[::]:80"},
	{"inet6", SPLICED_CONNECT, "::1", "80", "[::1]:80"},
	{"inet6", SPLICED_CONNECT, "2001:DB8:0:0::1", "443", "[2001:db8::1]:443"},
	{"inet6", SPLICED_CONNECT, "fe80::1%lo", "80", "[fe80::1%lo]:80"},
	{"inet6", SPLICED_CONNECT, "fe80::1%1", "80", "[fe80::1%lo]:80"},
	{"inet6", SPLICED_CONNECT, "fe80::1%4000000", "80", "[fe80::1%4000000]:80"},
};

START_TEST(reads_and_describes)
{
	const struct family *family = endpoint_family(&families, round_trips[_i].family);
	struct address got;

	ck_assert_int_eq(address(family,
				 make(family, NULL, round_trips[_i].role, "host",
				      round_trips[_i].host, "port", round_trips[_i].port),
				 &got),
			 0);
	ck_assert_str_eq(describe(family, &got), round_trips[_i].text);
}
END_TEST

static const struct {
	const char *family;
	enum spliced_role role;
	const char *option, *value;
	int r;
	const char *says; /* "": nothing, as it is a name */
} refusals[] = {
	{"inet", SPLICED_CONNECT, "host", "", -EDESTADDRREQ, "a target needs a host"},
	{"inet", SPLICED_CONNECT, "host", "localhost", -EADDRNOTAVAIL, ""},
	{"inet", SPLICED_LISTEN, "host", "1e100.net", -EADDRNOTAVAIL, ""},
	{"inet6", SPLICED_CONNECT, "host", "a.example", -EADDRNOTAVAIL, ""},
	{"inet", SPLICED_CONNECT, "host", "::1", -EAFNOSUPPORT,
	 "\"::1\" is an IPv6 address: use family \"inet6\""},
	{"inet", SPLICED_CONNECT, "host", "fe80::1%lo", -EAFNOSUPPORT, "use family \"inet6\""},
	{"inet6", SPLICED_CONNECT, "host", "127.0.0.1", -EAFNOSUPPORT,
	 "is an IPv4 address: use family \"inet\""},
	{"inet6", SPLICED_CONNECT, "host", "::ffff:10.0.0.1", -EAFNOSUPPORT,
	 "IPv4-mapped address of 10.0.0.1"},
	{"inet6", SPLICED_LISTEN, "host", "::ffff:10.0.0.1", -EAFNOSUPPORT,
	 "IPv4-mapped address of 10.0.0.1"},
	{"inet", SPLICED_CONNECT, "host", "10.0.0.256", -EINVAL,
	 "\"10.0.0.256\" is not an address"},
	{"inet", SPLICED_CONNECT, "host", "10.1", -EINVAL, "four numbers"},
	{"inet", SPLICED_CONNECT, "host", "010.0.0.1", -EINVAL, "is not an address"},
	{"inet6", SPLICED_CONNECT, "host", "2001:db8:::1", -EINVAL, "is not an address"},
	{"inet6", SPLICED_CONNECT, "host", "[::1]", -EINVAL, "without brackets"},
	{"inet", SPLICED_CONNECT, "host", "[::1]", -EINVAL, "without brackets"},
	{"inet6", SPLICED_CONNECT, "host", "fe80::1%nosuchif0", -ENODEV,
	 "there is no interface \"nosuchif0\""},
	{"inet6", SPLICED_CONNECT, "host", "fe80::1", -EINVAL,
	 "needs its interface, such as fe80::1%eth0"},
	{"inet", SPLICED_CONNECT, "host", "224.0.0.1", -EINVAL, "multicast"},
	{"inet6", SPLICED_LISTEN, "host", "ff02::1%lo", -EINVAL, "multicast"},
	{"inet", SPLICED_CONNECT, "source", "localhost", -EINVAL,
	 "source \"localhost\" is not an address"},
	{"inet", SPLICED_CONNECT, "source", "::1", -EAFNOSUPPORT, "IPv6"},
	{"inet6", SPLICED_CONNECT, "source", "fe80::1%a/b", -ENODEV,
	 "there is no interface \"a/b\""},
};

START_TEST(refuses_addresses)
{
	const struct family *family = endpoint_family(&families, refusals[_i].family);
	const struct spliced_options *options;
	struct address got;

	options = strcmp(refusals[_i].option, "host") != 0
			  ? make(family, NULL, refusals[_i].role, "port", "80", "host", "10.0.0.1",
				 refusals[_i].option, refusals[_i].value)
			  : make(family, NULL, refusals[_i].role, "port", "80", "host",
				 refusals[_i].value);
	ck_assert_int_eq(address(family, options, &got), refusals[_i].r);
	assert_says(refusals[_i].says);
	ck_assert(*refusals[_i].says || !*endpoint_error);
}
END_TEST

START_TEST(takes_resolved_hosts)
{
	const struct spliced_options *options =
		make(inet6, NULL, SPLICED_CONNECT, "host", "a.example", "port", "80");
	struct in6_addr in6;
	struct in_addr in = {htonl(0x0a000007)};
	struct address got;

	inet_pton(AF_INET6, "fe80::7", &in6);
	ck_assert_int_eq(address_from_options(inet6, options, 0, &in6, sizeof in6, 1, &got), 0);
	ck_assert_str_eq(describe(inet6, &got), "[fe80::7%lo]:80");
	ck_assert_int_eq(address_from_options(inet6, options, 0, &in, sizeof in, 0, &got),
			 -EAFNOSUPPORT);
	options = make(inet, NULL, SPLICED_CONNECT, "host", "a.example", "port", "80");
	ck_assert_int_eq(address_from_options(inet, options, 0, &in, sizeof in, 0, &got), 0);
	ck_assert_str_eq(describe(inet, &got), "10.0.0.7:80");
	ck_assert_int_eq(address_from_options(inet, options, 0, &in6, sizeof in6, 0, &got),
			 -EAFNOSUPPORT);
}
END_TEST

START_TEST(mapped_is_IPv4)
{
	struct address plain = peer("10.1.2.3", 99), dressed = peer("::ffff:10.1.2.3", 99), got;
	unsigned char a[32], b[32];
	int n;

	ck_assert_str_eq(describe(inet6, &dressed), "10.1.2.3:99");
	n = inet->plugin.peer_key(NULL, address_sockaddr(&plain), plain.len, a, sizeof a);
	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(
		inet6->plugin.peer_key(NULL, address_sockaddr(&dressed), dressed.len, b, sizeof b),
		n);
	ck_assert_mem_eq(a, b, (size_t)n);
	ck_assert_int_eq(address(inet6,
				 make(inet6, NULL, SPLICED_LISTEN, "host", "::ffff:10.0.0.1",
				      "port", "80", "v6only", "false"),
				 &got),
			 0);
}
END_TEST

START_TEST(a_flow_label_is_nobody)
{
	struct address one = peer("2001:db8::1", 99), other = one;
	unsigned char a[32], b[32];
	int n;

	((struct sockaddr_in6 *)&other.storage)->sin6_flowinfo = htonl(0x12345);
	ck_assert(!address_equal(&one, &other));
	n = inet6->plugin.peer_key(NULL, address_sockaddr(&one), one.len, a, sizeof a);
	ck_assert_int_eq(
		inet6->plugin.peer_key(NULL, address_sockaddr(&other), other.len, b, sizeof b), n);
	ck_assert_mem_eq(a, b, (size_t)n);
	((struct sockaddr_in6 *)&other.storage)->sin6_port++;
	inet6->plugin.peer_key(NULL, address_sockaddr(&other), other.len, b, sizeof b);
	ck_assert_mem_ne(a, b, (size_t)n);
	ck_assert_int_eq(inet6->plugin.peer_key(NULL, address_sockaddr(&one), one.len, a, 4),
			 -ENOSPC);
}
END_TEST

START_TEST(does_not_describe_what_it_does_not_know)
{
	struct address strange = {.len = 2, .storage = {.ss_family = AF_UNIX}}, none = {0},
		       whole = peer("::1", 80);
	char text[8];

	ck_assert_str_eq(describe(inet, &strange), "?");
	ck_assert_str_eq(describe(inet, &none), "?");
	ck_assert_int_eq(inet->plugin.describe(&inet->rows[0], address_sockaddr(&whole), whole.len,
					       text, sizeof text),
			 -ENOSPC);
	ck_assert_int_eq(
		inet->plugin.describe(&inet->rows[0], address_sockaddr(&whole), whole.len, text, 0),
		-ENOSPC);
}
END_TEST

START_TEST(needs_capabilities)
{
	FILE *file = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "re");
	char low[16], high[16];
	int start = 0;

	ck_assert_int_eq(fscanf(file, "%d", &start), 1);
	fclose(file);
	snprintf(high, sizeof high, "%d", start ? start : 1);
	snprintf(low, sizeof low, "%d", start - 1);
	ck_assert_uint_eq(
		inet->plugin.privileges(make(inet, NULL, SPLICED_LISTEN, "host", "", "port", high)),
		0);
	if (start > 1)
		ck_assert_uint_eq(inet->plugin.privileges(make(inet, NULL, SPLICED_LISTEN, "host",
							       "", "port", low)),
				  UINT64_C(1) << CAP_NET_BIND_SERVICE);
	ck_assert_uint_eq(inet->plugin.privileges(
				  make(inet, NULL, SPLICED_CONNECT, "host", "::", "port", "80")),
			  0);
	ck_assert_uint_eq(
		inet6->plugin.privileges(make(inet6, NULL, SPLICED_LISTEN, "host", "", "port", high,
					      "transparent", "true", "interface", "lo")),
		UINT64_C(1) << CAP_NET_ADMIN);
}
END_TEST

static int get(int fd, int level, int option)
{
	int value = -1;
	socklen_t len = sizeof value;

	ck_assert_int_eq(getsockopt(fd, level, option, &value, &len), 0);
	return value;
}

static int open_socket(const struct spliced_options *options, int domain)
{
	return socket(domain, options->row->type | SOCK_CLOEXEC, options->row->protocol);
}

/* A socket that listens as the options say, but on a port that the kernel chooses. */
static int listener(const struct family *family, const struct spliced_options *options,
		    struct address *ret)
{
	int fd = open_socket(options, family->plugin.domain);

	if (fd < 0)
		return -errno;
	ck_assert_msg(family->plugin.prepare(fd, options) == 0, "%s", endpoint_error);
	ck_assert_int_eq(address(family, options, ret), 0);
	((struct sockaddr_in *)&ret->storage)->sin_port = 0;
	ck_assert_int_eq(bind(fd, address_sockaddr(ret), ret->len), 0);
	ck_assert_int_eq(listen(fd, 16), 0);
	ck_assert_int_eq(getsockname(fd, address_sockaddr(ret), &ret->len), 0);
	return fd;
}

static const struct {
	const char *family, *row, *host;
} rows[] = {
	{"inet", "tcp", "127.0.0.1"},
	{"inet6", "tcp", "::1"},
	{"inet", "mptcp", "127.0.0.1"},
	{"inet6", "mptcp", "::1"},
};

/* Sets up both ends, or says why not. */
static bool connect_pair(size_t row, const struct family *family, int ret[3])
{
	struct address to;

	ret[0] = listener(
		family,
		make(family, rows[row].row, SPLICED_LISTEN, "host", rows[row].host, "port", "1"),
		&to);
	if (ret[0] < 0) {
		printf("skipped: no %s %s here: %s\n", rows[row].family, rows[row].row,
		       strerror(-ret[0]));
		return false;
	}
	ret[1] = open_socket(
		make(family, rows[row].row, SPLICED_CONNECT, "host", rows[row].host, "port", "1"),
		family->plugin.domain);
	ck_assert_msg(family->plugin.prepare(ret[1], &endpoint.options) == 0, "%s", endpoint_error);
	ck_assert_int_eq(connect(ret[1], address_sockaddr(&to), to.len), 0);
	ret[2] = accept4(ret[0], NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ge(ret[2], 0);
	return true;
}

static void close_all(const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
}

START_TEST(defaults_reach_both_ends)
{
	const struct family *family = endpoint_family(&families, rows[_i].family);
	int fds[3];

	if (!connect_pair((size_t)_i, family, fds))
		return;
	for (size_t i = 1; i < 3; i++) {
		ck_assert_int_ne(get(fds[i], IPPROTO_TCP, TCP_NODELAY), 0);
		ck_assert_int_ne(get(fds[i], SOL_SOCKET, SO_KEEPALIVE), 0);
		if (family->rows[0].protocol != endpoint.options.row->protocol)
			continue;
		ck_assert_int_eq(get(fds[i], IPPROTO_TCP, TCP_KEEPIDLE), 60);
		ck_assert_int_eq(get(fds[i], IPPROTO_TCP, TCP_KEEPINTVL), 10);
		ck_assert_int_eq(get(fds[i], IPPROTO_TCP, TCP_KEEPCNT), 6);
	}
	close_all(fds, 3);
}
END_TEST

/* HALF_CLOSE, SPLICE, RESET: what the rows promise is what the kernel does. */
START_TEST(capabilities_hold)
{
	const struct family *family = endpoint_family(&families, rows[_i].family);
	struct linger linger = {.l_onoff = 1};
	char text[16];
	int fds[3], ends[2];

	if (!connect_pair((size_t)_i, family, fds))
		return;
	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(write(fds[1], "hello", 5), 5);
	ck_assert_int_eq(shutdown(fds[1], SHUT_WR), 0);
	ck_assert_int_eq(splice(fds[2], NULL, ends[1], NULL, 65536, 0), 5);
	ck_assert_int_eq(splice(fds[2], NULL, ends[1], NULL, 65536, 0), 0);
	ck_assert_int_eq(splice(ends[0], NULL, fds[2], NULL, 65536, 0), 5);
	ck_assert_int_eq(recv(fds[1], text, 5, MSG_WAITALL), 5);
	ck_assert_int_eq(setsockopt(fds[2], SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
	close(fds[2]);
	ck_assert_int_eq(recv(fds[1], text, sizeof text, 0), -1);
	ck_assert_int_eq(errno, ECONNRESET);
	close_all(fds, 2);
	close_all(ends, 2);
}
END_TEST

/* READERS: two listening sockets at one port, and each gets some of 64 clients. */
START_TEST(readers_share_a_port)
{
	const struct family *family = endpoint_family(&families, rows[_i].family);
	const struct spliced_options *options;
	int listeners[2], clients[64], fd, one = 1;
	unsigned accepted[2] = {0};
	struct address to;

	options = make(family, rows[_i].row, SPLICED_LISTEN, "host", rows[_i].host, "port", "1");
	ck_assert(options->row->capabilities & SPLICED_READERS);
	ck_assert_int_eq(address(family, options, &to), 0);
	((struct sockaddr_in *)&to.storage)->sin_port = 0;
	for (size_t i = 0; i < 2; i++) {
		listeners[i] = open_socket(options, family->plugin.domain);
		if (listeners[i] < 0) {
			printf("skipped: no %s %s here: %s\n", rows[_i].family, rows[_i].row,
			       strerror(errno));
			return;
		}
		ck_assert_int_eq(
			setsockopt(listeners[i], SOL_SOCKET, SO_REUSEPORT, &one, sizeof one), 0);
		ck_assert_int_eq(bind(listeners[i], address_sockaddr(&to), to.len), 0);
		ck_assert_int_eq(listen(listeners[i], 64), 0);
		ck_assert_int_eq(fcntl(listeners[i], F_SETFL, O_NONBLOCK), 0);
		ck_assert_int_eq(getsockname(listeners[i], address_sockaddr(&to), &to.len), 0);
	}
	for (size_t i = 0; i < 64; i++) {
		clients[i] = socket(family->plugin.domain, SOCK_STREAM, 0);
		ck_assert_int_eq(connect(clients[i], address_sockaddr(&to), to.len), 0);
	}
	/* A handshake that the client has seen end may be a moment from the queue. */
	while (accepted[0] + accepted[1] < 64)
		for (size_t i = 0; i < 2; i++)
			if ((fd = accept(listeners[i], NULL, NULL)) >= 0) {
				accepted[i]++;
				close(fd);
			}
	ck_assert_uint_gt(accepted[0], 0);
	ck_assert_uint_gt(accepted[1], 0);
	close_all(clients, 64);
	close_all(listeners, 2);
}
END_TEST

START_TEST(options_reach_the_kernel)
{
	struct address at;
	int fd;

	fd = listener(inet,
		      make(inet, NULL, SPLICED_LISTEN, "host", "127.0.0.1", "port", "80", "nodelay",
			   "false", "keepalive", "false", "user_timeout", "1500ms", "fastopen", "7",
			   "defer_accept", "2s", "congestion", "reno", "tos", "0x10", "ttl", "9",
			   "freebind", "true", "interface", "lo"),
		      &at);
	ck_assert_int_eq(get(fd, IPPROTO_TCP, TCP_NODELAY), 0);
	ck_assert_int_eq(get(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
	ck_assert_int_eq(get(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 1500);
	ck_assert_int_eq(get(fd, IPPROTO_TCP, TCP_FASTOPEN), 7);
	ck_assert_int_gt(get(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT), 0);
	ck_assert_int_eq(get(fd, SOL_IP, IP_TOS), 0x10);
	ck_assert_int_eq(get(fd, SOL_IP, IP_TTL), 9);
	ck_assert_int_eq(get(fd, SOL_IP, IP_FREEBIND), 1);
	ck_assert_int_eq(get(fd, SOL_SOCKET, SO_BINDTOIFINDEX), (int)if_nametoindex("lo"));
	/* A reload takes it all back, on the open socket. What is not LIVE stays, and is not
	 * touched: the kernel would let nobody but root bind it to an interface a second time. */
	make(inet, NULL, SPLICED_LISTEN, "host", "127.0.0.1", "port", "80", "freebind", "true",
	     "interface", "lo");
	ck_assert(geteuid() != 0 || seteuid(4321) == 0);
	ck_assert_msg(inet->plugin.prepare(fd, &endpoint.options) == 0, "%s", endpoint_error);
	ck_assert(getuid() != 0 || seteuid(0) == 0);
	ck_assert_int_ne(get(fd, IPPROTO_TCP, TCP_NODELAY), 0);
	ck_assert_int_eq(get(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	ck_assert_int_eq(get(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 0);
	ck_assert_int_eq(get(fd, IPPROTO_TCP, TCP_FASTOPEN), 0);
	ck_assert_int_eq(get(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT), 0);
	ck_assert_int_eq(get(fd, SOL_IP, IP_TOS), 0);
	ck_assert_int_ne(get(fd, SOL_IP, IP_TTL), 9);
	ck_assert_int_eq(get(fd, SOL_IP, IP_FREEBIND), 1);
	close(fd);
}
END_TEST

START_TEST(options_of_inet6_reach_the_kernel)
{
	struct address at;
	int fd;

	fd = listener(
		inet6,
		make(inet6, NULL, SPLICED_LISTEN, "host", "", "port", "80", "tos", "8", "ttl", "9"),
		&at);
	ck_assert_int_eq(get(fd, SOL_IPV6, IPV6_V6ONLY), 1);
	ck_assert_int_eq(get(fd, SOL_IPV6, IPV6_TCLASS), 8);
	ck_assert_int_eq(get(fd, SOL_IPV6, IPV6_UNICAST_HOPS), 9);
	close(fd);
	fd = listener(inet6,
		      make(inet6, NULL, SPLICED_LISTEN, "host", "", "port", "80", "tos", "8",
			   "v6only", "false"),
		      &at);
	ck_assert_int_eq(get(fd, SOL_IPV6, IPV6_V6ONLY), 0);
	ck_assert_int_eq(get(fd, SOL_IP, IP_TOS), 8);
	/* Again, as a reload does: v6only of a bound socket cannot be touched, and is not. */
	ck_assert_msg(inet6->plugin.prepare(
			      fd, make(inet6, NULL, SPLICED_LISTEN, "host", "", "port", "80")) == 0,
		      "%s", endpoint_error);
	close(fd);
}
END_TEST

START_TEST(flow_label_is_sent)
{
	const struct spliced_options *options;
	struct address to, from;
	int fd, client;

	fd = listener(inet6, make(inet6, NULL, SPLICED_LISTEN, "host", "::1", "port", "80"), &to);
	options = make(inet6, NULL, SPLICED_CONNECT, "host", "::1", "port", "80", "flowlabel",
		       "0x12345");
	ck_assert_int_eq(address(inet6, options, &from), 0);
	ck_assert_uint_eq(((struct sockaddr_in6 *)&from.storage)->sin6_flowinfo, htonl(0x12345));
	((struct sockaddr_in6 *)&to.storage)->sin6_flowinfo = htonl(0x12345);
	for (size_t i = 0; i < 2; i++) {
		client = open_socket(options, AF_INET6);
		ck_assert_msg(inet6->plugin.prepare(client, options) == 0, "%s", endpoint_error);
		ck_assert_int_eq(connect(client, address_sockaddr(&to), to.len), 0);
		ck_assert_int_eq(get(client, SOL_IPV6, IPV6_FLOWINFO_SEND), 1);
		close(client);
	}
	close(fd);
}
END_TEST

START_TEST(connects_from_a_source)
{
	const struct spliced_options *options;
	struct address to, from = {.len = sizeof from.storage};
	int fd, client;

	fd = listener(inet, make(inet, NULL, SPLICED_LISTEN, "host", "127.0.0.1", "port", "80"),
		      &to);
	options = make(inet, NULL, SPLICED_CONNECT, "host", "127.0.0.1", "port", "80", "source",
		       "127.0.0.9", "fastopen", "1");
	client = open_socket(options, AF_INET);
	ck_assert_msg(inet->plugin.prepare(client, options) == 0, "%s", endpoint_error);
	ck_assert_int_eq(get(client, IPPROTO_TCP, TCP_FASTOPEN_CONNECT), 1);
	ck_assert_int_eq(connect(client, address_sockaddr(&to), to.len), 0);
	ck_assert_int_eq(getsockname(client, address_sockaddr(&from), &from.len), 0);
	ck_assert_msg(!strncmp(describe(inet, &from), "127.0.0.9:", 10), "%s",
		      describe(inet, &from));
	close(client);
	close(fd);
}
END_TEST

static const struct {
	enum spliced_role role;
	const char *option, *value;
	int r;
	const char *says;
} failures[] = {
	{SPLICED_LISTEN, "interface", "nosuchif0", -ENODEV,
	 "cannot set \"interface\" to \"nosuchif0\": No such device"},
	{SPLICED_LISTEN, "congestion", "nonsense", -ENOENT, "tcp_available_congestion_control"},
	{SPLICED_CONNECT, "source", "203.0.113.77", -EADDRNOTAVAIL,
	 "cannot connect from \"203.0.113.77\""},
};

START_TEST(says_what_cannot_be_set)
{
	const struct spliced_options *options =
		make(inet, NULL, failures[_i].role, "host", "127.0.0.1", "port", "80",
		     failures[_i].option, failures[_i].value);
	int fd = open_socket(options, AF_INET);

	ck_assert_int_eq(inet->plugin.prepare(fd, options), failures[_i].r);
	assert_says(failures[_i].says);
	ck_assert_str_eq(inet->options[endpoint_error_option].name, failures[_i].option);
	close(fd);
}
END_TEST

/* Whatever call fails, the option is named. */
START_TEST(says_when_any_call_fails)
{
	const struct spliced_options *options;

	options = make(inet, NULL, SPLICED_CONNECT, "host", "127.0.0.1", "port", "80");
	ck_assert_int_eq(inet->plugin.prepare(-1, options), -EBADF);
	assert_says("cannot set \"nodelay\": Bad file descriptor");
	options = make(inet6, NULL, SPLICED_LISTEN, "host", "", "port", "80");
	ck_assert_int_eq(inet6->plugin.prepare(-1, options), -EBADF);
	assert_says("cannot set \"v6only\"");
	options = make(inet6, NULL, SPLICED_CONNECT, "host", "::1", "port", "80", "flowlabel", "7");
	ck_assert_int_eq(inet6->plugin.prepare(-1, options), -EBADF);
	assert_says("cannot lease flow label 0x7");
}
END_TEST

START_TEST(both_are_described_as_ip)
{
	static const char *const shown[2][3] = {
		{"endpoint strings: tcp://HOST:PORT", "tcp6://HOST", "tcp4://HOST"},
		{"\"name\": \"ip\"", "\"name\": \"inet6\"", "\"name\": \"inet\""}};

	for (int json = 0; json < 2; json++)
		described_says(&families, "ip", json, shown[json], 3);
}
END_TEST

#define ADD_ROWS(tcase, test, table) \
	tcase_add_loop_test(tcase, test, 0, sizeof(table) / sizeof *(table))

int main(void)
{
	Suite *suite = suite_create("inet");
	TCase *tcase = tcase_create("inet");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, 30);
	ADD_ROWS(tcase, reads_and_describes, round_trips);
	ADD_ROWS(tcase, refuses_addresses, refusals);
	tcase_add_test(tcase, takes_resolved_hosts);
	tcase_add_test(tcase, mapped_is_IPv4);
	tcase_add_test(tcase, a_flow_label_is_nobody);
	tcase_add_test(tcase, does_not_describe_what_it_does_not_know);
	tcase_add_test(tcase, needs_capabilities);
	ADD_ROWS(tcase, defaults_reach_both_ends, rows);
	ADD_ROWS(tcase, capabilities_hold, rows);
	ADD_ROWS(tcase, readers_share_a_port, rows);
	tcase_add_test(tcase, options_reach_the_kernel);
	tcase_add_test(tcase, options_of_inet6_reach_the_kernel);
	tcase_add_test(tcase, flow_label_is_sent);
	tcase_add_test(tcase, connects_from_a_source);
	ADD_ROWS(tcase, says_what_cannot_be_set, failures);
	tcase_add_test(tcase, says_when_any_call_fails);
	tcase_add_test(tcase, both_are_described_as_ip);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
