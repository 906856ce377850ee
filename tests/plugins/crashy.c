/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A family for tests of crashes: IPv4 streams, and a wound that opens at the address 127.0.0.66 or
 * the port 66.
 *
 *   crash = connect  on a target with that host or port: prepare() raises SIGSEGV
 *   crash = hang     instead of raising a signal, the same place never returns
 *   crash = check    address() raises SIGSEGV, wherever the configuration is read
 *
 * Rules are "any", which is the least specific, or one address; and "wound", which is as "any", but
 * match() of a peer with that address or port raises SIGSEGV.
 */
#include <spliced/plugin.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { OPTION_HOST, OPTION_PORT, OPTION_CRASH };
enum crash { CRASH_NEVER, CRASH_CONNECT, CRASH_HANG, CRASH_CHECK };

static const char *const crashes[] = {"never", "connect", "hang", "check", NULL};

/* clang-format off */
static const struct spliced_row rows[] = {
	{.type = SOCK_STREAM, .protocol = IPPROTO_TCP, .name = "tcp", .pattern = "HOST:PORT",
	 .capabilities = SPLICED_CAN_LISTEN | SPLICED_CAN_CONNECT | SPLICED_RELIABLE | SPLICED_HALF_CLOSE | SPLICED_READERS |
			 SPLICED_RESET | SPLICED_TCP_INFO},
};

static const struct spliced_option options_table[] = {
	[OPTION_HOST] = {.name = "host", .type = SPLICED_HOST,
		.flags = SPLICED_REQUIRED | SPLICED_REOPEN,
		.doc = "IPv4 address or name; \"\" listens on every address"},
	[OPTION_PORT] = {.name = "port", .type = SPLICED_NUMBER, .min = 1, .max = 65535,
		.flags = SPLICED_REQUIRED | SPLICED_REOPEN,
		.doc = "Port number"},
	[OPTION_CRASH] = {.name = "crash", .type = SPLICED_WORD, .words = crashes,
		.flags = SPLICED_LIVE, .default_text = "never",
		.doc = "Where to crash"},
};
/* clang-format on */

/* What a rule holds. */
struct rule {
	struct in_addr address; /* 0: any */
	int hurts;
};

static int is_wound(in_addr_t address, unsigned port)
{
	return address == htonl(0x7f000042) || port == 66;
}

static void hurt(enum crash crash)
{
	while (crash == CRASH_HANG)
		pause();
	raise(SIGSEGV);
}

static int crashy_address(const struct spliced_options *options, struct sockaddr_storage *address,
			  socklen_t *len)
{
	const struct spliced_value *host = spliced_value(options, OPTION_HOST);
	struct sockaddr_in in = {.sin_family = AF_INET};

	if (spliced_value(options, OPTION_CRASH)->number == CRASH_CHECK)
		raise(SIGSEGV);
	if (host->host && host->host_len != sizeof in.sin_addr)
		return -EAFNOSUPPORT;
	if (host->host)
		memcpy(&in.sin_addr, host->host, sizeof in.sin_addr);
	else if (*host->text && inet_pton(AF_INET, host->text, &in.sin_addr) != 1)
		return -EADDRNOTAVAIL;
	in.sin_port = htons((uint16_t)spliced_value(options, OPTION_PORT)->number);
	memset(address, 0, sizeof *address);
	memcpy(address, &in, sizeof in);
	*len = sizeof in;
	return 0;
}

static int crashy_describe(const struct spliced_row *row, const struct sockaddr *address,
			   socklen_t len, char *text, size_t size)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)address;
	char number[INET_ADDRSTRLEN];

	(void)row;
	if (len < sizeof *in || in->sin_family != AF_INET)
		return -EAFNOSUPPORT;
	inet_ntop(AF_INET, &in->sin_addr, number, sizeof number);
	return (size_t)snprintf(text, size, "%s:%u", number, ntohs(in->sin_port)) < size ? 0
											 : -ENOSPC;
}

static int crashy_prepare(int fd, const struct spliced_options *options)
{
	enum crash crash = (enum crash)spliced_value(options, OPTION_CRASH)->number;
	struct sockaddr_storage address;
	const struct sockaddr_in *in = (const struct sockaddr_in *)&address;
	socklen_t len;
	int one = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0)
		return -errno;
	if (options->role == SPLICED_CONNECT && (crash == CRASH_CONNECT || crash == CRASH_HANG) &&
	    !crashy_address(options, &address, &len) &&
	    is_wound(in->sin_addr.s_addr, ntohs(in->sin_port)))
		hurt(crash);
	return 0;
}

static int crashy_rule(const char *rule_text, struct spliced_rule *rule, char *text, size_t size)
{
	struct rule own = {.hurts = !strcmp(rule_text, "wound")};

	if (size)
		text[0] = '\0';
	if (!own.hurts && strcmp(rule_text, "any") != 0 &&
	    inet_pton(AF_INET, rule_text, &own.address) != 1)
		return -EINVAL;
	memset(rule->bytes, 0, sizeof rule->bytes);
	memcpy(rule->bytes, &own, sizeof own);
	return 0;
}

static int crashy_match(const struct spliced_rule *rule, const struct sockaddr *address,
			socklen_t len)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)address;
	struct rule own;

	if (len < sizeof *in)
		return 0;
	memcpy(&own, rule->bytes, sizeof own);
	if (own.hurts && is_wound(in->sin_addr.s_addr, ntohs(in->sin_port)))
		hurt(CRASH_CONNECT);
	if (!own.address.s_addr)
		return 1;
	return own.address.s_addr == in->sin_addr.s_addr ? 33 : 0;
}

const struct spliced_plugin spliced_plugin = {
	SPLICED_PLUGIN_HEAD(0),
	.name = "crashy",
	.domain = AF_INET,
	.n_rows = sizeof rows / sizeof *rows,
	.n_options = sizeof options_table / sizeof *options_table,
	.rows = rows,
	.options = options_table,
	.summary = "IPv4 streams that can be made to crash the daemon",
	.address = crashy_address,
	.describe = crashy_describe,
	.prepare = crashy_prepare,
	.rule = crashy_rule,
	.match = crashy_match,
};
