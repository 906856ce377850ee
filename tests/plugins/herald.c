/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A family for tests of companions: abstract UNIX streams, each accompanied where it listens. */
#include <spliced/plugin.h>

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

enum { OPTION_NAME, OPTION_ACCOMPANIED };

/* clang-format off */
static const struct spliced_row rows[] = {
	{.type = SOCK_STREAM, .name = "stream", .pattern = "PATH",
	 .capabilities = SPLICED_CAN_LISTEN | SPLICED_CAN_CONNECT | SPLICED_RELIABLE | SPLICED_HALF_CLOSE},
};

static const struct spliced_option options_table[] = {
	[OPTION_NAME] = {.name = "path", .type = SPLICED_PATH,
		.flags = SPLICED_REQUIRED | SPLICED_REOPEN,
		.doc = "Name, without the NUL before it"},
	[OPTION_ACCOMPANIED] = {.name = "accompanied", .type = SPLICED_BOOL,
		.flags = SPLICED_REOPEN, .default_text = "true",
		.doc = "Whether there is a companion"},
};
/* clang-format on */

static int herald_address(const struct spliced_options *options, struct sockaddr_storage *address,
			  socklen_t *len)
{
	const char *name = spliced_value(options, OPTION_NAME)->text;
	struct sockaddr_un *un = (struct sockaddr_un *)address;

	if (strlen(name) + 1 > sizeof un->sun_path)
		return -ENAMETOOLONG;
	memset(address, 0, sizeof *address);
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path + 1, name, strlen(name));
	*len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
	return 0;
}

static int herald_describe(const struct spliced_row *row, const struct sockaddr *address,
			   socklen_t len, char *text, size_t size)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)address;
	size_t before = offsetof(struct sockaddr_un, sun_path) + 1;
	int n = len > before ? (int)(len - before) : 0;

	(void)row;
	return (size_t)snprintf(text, size, "%.*s", n, un->sun_path + 1) < size ? 0 : -ENOSPC;
}

static int herald_sidecar(const struct spliced_options *options, int run)
{
	if (!spliced_value(options, OPTION_ACCOMPANIED)->number)
		return 0;
	while (run)
		pause();
	return 1;
}

__attribute__((visibility("default"))) const struct spliced_plugin spliced_plugin = {
	SPLICED_PLUGIN_HEAD(0),
	.name = "herald",
	.domain = AF_UNIX,
	.n_rows = sizeof rows / sizeof *rows,
	.n_options = sizeof options_table / sizeof *options_table,
	.rows = rows,
	.options = options_table,
	.summary = "Accompanied sockets, for tests",
	.address = herald_address,
	.describe = herald_describe,
	.sidecar = herald_sidecar,
};
