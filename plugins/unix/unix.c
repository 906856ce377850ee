/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The family unix, unix(7): sockets with a name in the file system, or with an abstract one
 * ("@name"), which lives and dies with its socket. What is done about the file is in unix_file.c.
 *
 * The file's mode comes from the mode of the socket that is bound, less the umask: set there first,
 * it is never wider than what was asked for. Without the option mode only the umask decides, as for
 * any program; and a reload that removes mode, owner or group leaves the file unchanged.
 */
#include "unix/unix.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { UNIX_ROW_STREAM, UNIX_ROW_DGRAM, UNIX_ROW_SEQPACKET };

/* clang-format off */
static const struct spliced_option unix_options[UNIX_OPTIONS] = {
	[UNIX_OPTION_PATH] = {.name = "path", .type = SPLICED_PATH,
		.flags = SPLICED_REQUIRED | SPLICED_REOPEN,
		.doc = "Path of the socket file, or @NAME for an abstract socket"},
	[UNIX_OPTION_MODE] = {.name = "mode", .type = SPLICED_MODE,
		.flags = SPLICED_LIVE, .roles = SPLICED_LISTEN,
		.doc = "Permissions of the socket file; default: according to the umask"},
	[UNIX_OPTION_OWNER] = {.name = "owner", .type = SPLICED_STRING,
		.flags = SPLICED_LIVE, .roles = SPLICED_LISTEN,
		.doc = "Owner of the socket file, by name or number"},
	[UNIX_OPTION_GROUP] = {.name = "group", .type = SPLICED_STRING,
		.flags = SPLICED_LIVE, .roles = SPLICED_LISTEN,
		.doc = "Group of the socket file, by name or number"},
	[UNIX_OPTION_UNLINK] = {.name = "unlink", .type = SPLICED_BOOL,
		.flags = SPLICED_LIVE, .roles = SPLICED_LISTEN, .default_text = "true",
		.doc = "Replace a stale socket file, and remove the daemon's own at the end"},
	[UNIX_OPTION_BACKLOG] = {.name = "backlog", .type = SPLICED_NUMBER,
		.min = 1, .max = 1048576,
		.rows = UINT64_C(1) << UNIX_ROW_STREAM | UINT64_C(1) << UNIX_ROW_SEQPACKET,
		.flags = SPLICED_LIVE, .roles = SPLICED_LISTEN, .default_text = "4096",
		.doc = "Maximum number of connections waiting to be accepted; limited by net.core.somaxconn"},
	[UNIX_OPTION_PADDED] = {.name = "padded", .type = SPLICED_BOOL,
		.flags = SPLICED_REOPEN, .default_text = "false",
		.doc = "Pad the abstract name with zero bytes, like programs that bind the whole struct sockaddr_un"},
};
/* clang-format on */

/* A message is charged to the sender's buffer, which may be made larger than this by its owner. */
enum { MESSAGE_MAX = (1 << 20) - 64 };

static const struct spliced_row rows[] = {
	[UNIX_ROW_STREAM] =
		{
			.type = SOCK_STREAM,
			.scheme = "unix",
			.pattern = "PATH",
			.capabilities = SPLICED_CAN_LISTEN | SPLICED_CAN_CONNECT |
					SPLICED_RELIABLE | SPLICED_HALF_CLOSE | SPLICED_PASSES_FDS |
					SPLICED_CREDENTIALS,
		},
	[UNIX_ROW_DGRAM] =
		{
			.type = SOCK_DGRAM,
			.pattern = "PATH",
			.capabilities = SPLICED_CAN_LISTEN | SPLICED_CAN_CONNECT |
					SPLICED_CONNECTIONLESS | SPLICED_BOUNDARIES |
					SPLICED_RELIABLE | SPLICED_PASSES_FDS,
			.max_message = MESSAGE_MAX,
		},
	[UNIX_ROW_SEQPACKET] =
		{
			.type = SOCK_SEQPACKET,
			.pattern = "PATH",
			.capabilities = SPLICED_CAN_LISTEN | SPLICED_CAN_CONNECT |
					SPLICED_BOUNDARIES | SPLICED_RELIABLE | SPLICED_HALF_CLOSE |
					SPLICED_PASSES_FDS | SPLICED_CREDENTIALS,
			.max_message = MESSAGE_MAX,
		},
};

/* All but the last byte of sun_path: some programs want a NUL at its end. */
enum { PATH_LIMIT = sizeof(((struct sockaddr_un *)0)->sun_path) - 1 };

static int is_id(const char *text)
{
	return isdigit((unsigned char)*text) && !text[strspn(text, "0123456789")] &&
	       strtoull(text, NULL, 10) < UINT32_MAX;
}

int64_t unix_id(const struct spliced_options *options, enum unix_option option)
{
	const struct spliced_value *value = spliced_value(options, option);
	struct passwd user, *found_user = NULL;
	struct group group, *found_group = NULL;
	char buffer[65536];
	int64_t id = -ESRCH;

	if (value->state == SPLICED_UNSET)
		return -1;
	if (is_id(value->text))
		return (int64_t)strtoull(value->text, NULL, 10);
	if (option == UNIX_OPTION_OWNER) {
		getpwnam_r(value->text, &user, buffer, sizeof buffer, &found_user);
		if (found_user)
			id = user.pw_uid;
	} else {
		getgrnam_r(value->text, &group, buffer, sizeof buffer, &found_group);
		if (found_group)
			id = group.gr_gid;
	}
	if (id < 0)
		SPLICED_ERROR(options, (int)option, "there is no %s \"%s\"",
			      option == UNIX_OPTION_OWNER ? "user" : "group", value->text);
	return id;
}

static int check_file_options(const struct spliced_options *options)
{
	for (enum unix_option option = UNIX_OPTION_MODE; option <= UNIX_OPTION_GROUP; option++)
		if (unix_is_abstract(options) &&
		    spliced_value(options, option)->state == SPLICED_SET) {
			SPLICED_ERROR(options, (int)option,
				      "an abstract socket has no file, and therefore no %s",
				      unix_options[option].name);
			return -EINVAL;
		}
	if (spliced_value(options, UNIX_OPTION_MODE)->number & ~INT64_C(0777)) {
		SPLICED_ERROR(options, UNIX_OPTION_MODE,
			      "the mode of a socket file must be at most 0777");
		return -EINVAL;
	}
	return 0;
}

/* A user or group that is not known yet may be later: this is a separate error. */
static int check_owners(const struct spliced_options *options)
{
	int unknown = unix_id(options, UNIX_OPTION_OWNER) < -1;

	return unix_id(options, UNIX_OPTION_GROUP) < -1 || unknown ? -ESRCH : 0;
}

static int unix_address(const struct spliced_options *options, struct sockaddr_storage *address,
			socklen_t *len)
{
	struct sockaddr_un *un = (struct sockaddr_un *)address;
	const char *path = unix_path(options);
	size_t size = strlen(path);

	if (size > PATH_LIMIT) {
		SPLICED_ERROR(options, UNIX_OPTION_PATH,
			      "the path has %zu bytes; the path of a socket has at most %d", size,
			      PATH_LIMIT);
		return -ENAMETOOLONG;
	}
	if (!*path || !strcmp(path, "@")) {
		SPLICED_ERROR(options, UNIX_OPTION_PATH,
			      "\"%s\" is not the path or name of a socket", path);
		return -EINVAL;
	}
	if (options->role == SPLICED_LISTEN && check_file_options(options) < 0)
		return -EINVAL;
	if (spliced_value(options, UNIX_OPTION_PADDED)->number && !unix_is_abstract(options)) {
		SPLICED_ERROR(options, UNIX_OPTION_PADDED,
			      "\"%s\" is a path; padded is only for @NAME", path);
		return -EINVAL;
	}
	memset(address, 0, sizeof *address);
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path, size);
	*len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
	if (unix_is_abstract(options))
		un->sun_path[0] = '\0';
	else
		*len += 1;
	if (spliced_value(options, UNIX_OPTION_PADDED)->number)
		*len = sizeof *un;
	return options->role == SPLICED_LISTEN ? check_owners(options) : 0;
}

/* Bytes that would not print come out as %XX; a % of the name's own stays as it is. */
static int unix_describe(const struct spliced_row *row, const struct sockaddr *address,
			 socklen_t len, char *text, size_t size)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)address;
	size_t n = len > offsetof(struct sockaddr_un, sun_path)
			   ? len - offsetof(struct sockaddr_un, sun_path)
			   : 0,
	       used = 0;
	unsigned char c;

	(void)row;
	if (len < sizeof(sa_family_t) || un->sun_family != AF_UNIX || n > sizeof un->sun_path)
		return -EAFNOSUPPORT;
	if (!n)
		return (size_t)snprintf(text, size, "(unnamed)") < size ? 0 : -ENOSPC;
	if (un->sun_path[0])
		n = strnlen(un->sun_path, n);
	else if (n == sizeof un->sun_path)
		while (n > 1 && !un->sun_path[n - 1])
			n--; /* padded */
	for (size_t i = 0; i < n && used < size; i++) {
		c = (unsigned char)un->sun_path[i];
		if (!c && !i)
			c = '@';
		used += (size_t)snprintf(text + used, size - used,
					 c > ' ' && c < 0x7f ? "%c" : "%%%02X", c);
	}
	return used < size ? 0 : -ENOSPC;
}

/* Without a name of its own a datagram socket cannot be answered: the kernel picks an abstract one
 * (autobind, unix(7)). */
static int take_name(int fd, const struct spliced_options *options)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (options->row->type != SOCK_DGRAM ||
	    !bind(fd, (const struct sockaddr *)&address, sizeof address.sun_family) ||
	    errno == EINVAL)
		return 0; /* EINVAL: it has one */
	return -errno;
}

static int unix_prepare(int fd, const struct spliced_options *options)
{
	const struct spliced_value *mode = spliced_value(options, UNIX_OPTION_MODE);
	int r;

	if (options->role == SPLICED_CONNECT)
		return take_name(fd, options);
	/* Before there is a file without its owner. */
	r = check_owners(options);
	if (r < 0)
		return r;
	if (mode->state == SPLICED_UNSET || !fchmod(fd, (mode_t)mode->number))
		return 0;
	r = -errno;
	SPLICED_ERROR(options, UNIX_OPTION_MODE, "cannot set the mode: %s", strerror(-r));
	return r;
}

/* Whether we are in a group, and so may give it our files. */
static int in_group(gid_t gid)
{
	int n = getgroups(0, NULL), found = gid == getegid();
	gid_t *groups = n > 0 ? calloc((size_t)n, sizeof *groups) : NULL;

	n = groups ? getgroups(n, groups) : 0;
	for (int i = 0; i < n; i++)
		found |= groups[i] == gid;
	free(groups);
	return found;
}

static uint64_t unix_privileges(const struct spliced_options *options)
{
	uint64_t needs = 0;
	int64_t uid, gid;

	if (options->role != SPLICED_LISTEN)
		return 0;
	uid = unix_id(options, UNIX_OPTION_OWNER);
	gid = unix_id(options, UNIX_OPTION_GROUP);
	if (uid >= 0 && (uid_t)uid != geteuid())
		needs |= UINT64_C(1) << CAP_CHOWN | UINT64_C(1) << CAP_FOWNER;
	if (gid >= 0 && !in_group((gid_t)gid))
		needs |= UINT64_C(1) << CAP_CHOWN;
	return needs;
}

const struct spliced_plugin spliced_plugin = {
	SPLICED_PLUGIN_HEAD(0),
	.name = "unix",
	.domain = AF_UNIX,
	.n_rows = sizeof rows / sizeof *rows,
	.n_options = UNIX_OPTIONS,
	.rows = rows,
	.options = unix_options,
	.summary = "Sockets of this machine, by path or by abstract name",
	.address = unix_address,
	.describe = unix_describe,
	.prepare = unix_prepare,
	.reclaim = unix_reclaim,
	.bound = unix_bound,
	.unlink = unix_unlink,
	.privileges = unix_privileges,
	.release = unix_release,
};
