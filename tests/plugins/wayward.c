/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A family that goes wrong in whatever process calls it, where it is told to: IPv4 streams that are
 * listened on.
 *
 *   wound = bound    which callback
 *   how = crash      how: crash (abort(3)), exit (exit(3) with 0), hang
 *
 * Rules are "any"; "wound" is one, too, which rule() does not survive.
 */
#include <spliced/plugin.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OPTION_HOST, OPTION_PORT, OPTION_WOUND, OPTION_HOW };
enum wound { NEVER, ADDRESS, PRIVILEGES, PREPARE, RECLAIM, BOUND, UNLINK, RELEASE, SIDECAR };
enum how { HOW_CRASH, HOW_EXIT, HOW_HANG };

static const char *const wounds[] = {"never", "address", "privileges", "prepare", "reclaim",
				     "bound", "unlink",	 "release",    "sidecar", NULL};
static const char *const hows[] = {"crash", "exit", "hang", NULL};

/* clang-format off */
static const struct spliced_row rows[] = {
	{.type = SOCK_STREAM, .protocol = IPPROTO_TCP, .name = "tcp", .pattern = "HOST:PORT",
	 .capabilities = SPLICED_CAN_LISTEN | SPLICED_CAN_CONNECT | SPLICED_RELIABLE | SPLICED_HALF_CLOSE | SPLICED_RESET | SPLICED_TCP_INFO},
};

static const struct spliced_option options_table[] = {
	[OPTION_HOST] = {.name = "host", .type = SPLICED_HOST, .flags = SPLICED_REQUIRED | SPLICED_REOPEN, .doc = "IPv4 address"},
	[OPTION_PORT] = {.name = "port", .type = SPLICED_NUMBER, .min = 1, .max = 65535, .flags = SPLICED_REQUIRED | SPLICED_REOPEN,
		.doc = "Port number"},
	[OPTION_WOUND] = {.name = "wound", .type = SPLICED_WORD, .words = wounds, .flags = SPLICED_LIVE, .default_text = "never",
		.doc = "Where it goes wrong"},
	[OPTION_HOW] = {.name = "how", .type = SPLICED_WORD, .words = hows, .flags = SPLICED_LIVE, .default_text = "crash", .doc = "How"},
};
/* clang-format on */

static void go_wrong(int how)
{
	if (how == HOW_EXIT)
		exit(0);
	while (how == HOW_HANG)
		pause();
	abort();
}

static void may_go_wrong(enum wound wound, const struct spliced_options *options)
{
	if (options->role == SPLICED_LISTEN &&
	    spliced_value(options, OPTION_WOUND)->number == wound)
		go_wrong((int)spliced_value(options, OPTION_HOW)->number);
}

static int wayward_address(const struct spliced_options *options, struct sockaddr_storage *address,
			   socklen_t *len)
{
	const struct spliced_value *host = spliced_value(options, OPTION_HOST);
	struct sockaddr_in in = {.sin_family = AF_INET};

	may_go_wrong(ADDRESS, options);
	if (host->host && host->host_len == sizeof in.sin_addr)
		memcpy(&in.sin_addr, host->host, sizeof in.sin_addr);
	else if (host->host || (*host->text && inet_pton(AF_INET, host->text, &in.sin_addr) != 1))
		return -EADDRNOTAVAIL;
	in.sin_port = htons((uint16_t)spliced_value(options, OPTION_PORT)->number);
	memset(address, 0, sizeof *address);
	memcpy(address, &in, sizeof in);
	*len = sizeof in;
	return 0;
}

static int wayward_describe(const struct spliced_row *row, const struct sockaddr *address,
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

static int wayward_prepare(int fd, const struct spliced_options *options)
{
	(void)fd;
	may_go_wrong(PREPARE, options);
	return 0;
}

static int wayward_reclaim(const struct spliced_options *options, const struct sockaddr *address,
			   socklen_t len)
{
	(void)address;
	(void)len;
	may_go_wrong(RECLAIM, options);
	return -EADDRINUSE;
}

static int wayward_bound(int fd, const struct spliced_options *options)
{
	(void)fd;
	may_go_wrong(BOUND, options);
	return 0;
}

static void wayward_unlink(const struct spliced_options *options, const struct sockaddr *address,
			   socklen_t len)
{
	(void)address;
	(void)len;
	may_go_wrong(UNLINK, options);
}

static void wayward_release(int fd, const struct spliced_options *options)
{
	(void)fd;
	may_go_wrong(RELEASE, options);
}

static uint64_t wayward_privileges(const struct spliced_options *options)
{
	may_go_wrong(PRIVILEGES, options);
	return 0;
}

static int wayward_sidecar(const struct spliced_options *options, int run)
{
	(void)run;
	may_go_wrong(SIDECAR, options);
	return 0;
}

static int wayward_rule(const char *rule_text, struct spliced_rule *rule, char *text, size_t size)
{
	if (size)
		text[0] = '\0';
	memset(rule->bytes, 0, sizeof rule->bytes);
	if (!strcmp(rule_text, "wound"))
		go_wrong(HOW_CRASH);
	return strcmp(rule_text, "any") ? -EINVAL : 0;
}

static int wayward_match(const struct spliced_rule *rule, const struct sockaddr *address,
			 socklen_t len)
{
	(void)rule;
	(void)address;
	(void)len;
	return 1;
}

const struct spliced_plugin spliced_plugin = {
	SPLICED_PLUGIN_HEAD(0),
	.name = "wayward",
	.domain = AF_INET,
	.n_rows = sizeof rows / sizeof *rows,
	.n_options = sizeof options_table / sizeof *options_table,
	.rows = rows,
	.options = options_table,
	.summary = "Goes wrong where it is told to",
	.address = wayward_address,
	.describe = wayward_describe,
	.prepare = wayward_prepare,
	.reclaim = wayward_reclaim,
	.bound = wayward_bound,
	.unlink = wayward_unlink,
	.release = wayward_release,
	.privileges = wayward_privileges,
	.sidecar = wayward_sidecar,
	.rule = wayward_rule,
	.match = wayward_match,
};
