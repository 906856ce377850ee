/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bind errors: what the kernel refused, where it was asked for, and the remedy. */
#include "keeper/bind_error.h"

#include "base/report.h"
#include "config/config.h"
#include "keeper/privilege.h"
#include "net/passed.h"

#include <errno.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char *lacks(const struct config_endpoint *endpoint, char *text, size_t size)
{
	char names[256];

	privilege_missing(endpoint, names, sizeof names);
	snprintf(
		text, size,
		"; this requires a privilege that spliced does not have%s%s: add it to the unit (CapabilityBoundingSet= and AmbientCapabilities=), or start as "
		"root with daemon.user; then restart, which keeps all sessions under systemd",
		*names ? ", " : "", names);
	return text;
}

/* A socket that has a file, of our own making. */
static bool is_file(const struct config_endpoint *endpoint)
{
	const struct sockaddr_un *un =
		(const struct sockaddr_un *)&endpoint->legs[0].address.storage;

	return endpoint->legs[0].row->domain == AF_UNIX &&
	       !endpoint->values[ENDPOINT_FD].value.text && un->sun_path[0] == '/';
}

/* The directory of its file, into text. */
static void copy_directory(const struct config_endpoint *endpoint, char *text, size_t size)
{
	const struct sockaddr_un *un =
		(const struct sockaddr_un *)&endpoint->legs[0].address.storage;
	const char *slash;

	snprintf(text, size, "%.*s", (int)sizeof un->sun_path, un->sun_path);
	slash = strrchr(text, '/');
	text[slash == text ? 1 : slash - text] = '\0';
}

static const char *explain_file(const struct config_endpoint *endpoint, int error, char *text,
				size_t size)
{
	const struct passwd *user = getpwuid(geteuid());
	char directory[128], name[64];

	copy_directory(endpoint, directory, sizeof directory);
	snprintf(name, sizeof name, "%s", user ? user->pw_name : "of this process");
	if (error == -ENOENT)
		snprintf(
			text, size,
			"; directory %s does not exist: create it (RuntimeDirectory= in the unit), or use /run/spliced. The route "
			"waits for it; the others run",
			directory);
	else if (error == -EROFS)
		snprintf(
			text, size,
			"; user %s may not write to %s: use /run/spliced, or set ReadWritePaths=%s in the unit",
			name, directory, directory);
	else
		snprintf(
			text, size,
			"; user %s may not write to %s: use a path below /run/spliced, or another directory that it owns, or let systemd open "
			"the socket (fd://NAME)",
			name, directory);
	return text;
}

/* Lists the sockets that systemd has passed, if the requested name is not among them. */
static const char *list_passed(char *text, size_t size)
{
	size_t len = (size_t)snprintf(text, size, "; systemd passed %s",
				      passed_at(0) ? "" : "no socket");

	for (unsigned i = 0; passed_at(i) && len < size; i++)
		len += (size_t)snprintf(text + len, size - len, "%s\"%s\"", i ? ", " : "",
					passed_at(i)->name);
	if (len < size)
		snprintf(
			text + len, size - len,
			": set the name with FileDescriptorName= in the socket unit, and the socket unit with Sockets= in the service");
	return text;
}

int bind_error_add(const struct config *config, const struct config_route *route,
		   const struct config_endpoint *endpoint, const char *call, int error,
		   struct report *report)
{
	char place[512], missing[768];
	bool is_passed = endpoint->values[ENDPOINT_FD].value.text;
	const char *remedy = "";

	if (error == -EADDRINUSE)
		remedy =
			"; another program uses this address, or one of spliced's own listeners that this one replaces and cannot share it with: stop it, "
			"or remove it in a separate reload, or choose another address";
	else if (is_file(endpoint) &&
		 (error == -EACCES || error == -EPERM || error == -ENOENT || error == -EROFS))
		remedy = explain_file(endpoint, error, missing, sizeof missing);
	else if (error == -EACCES || error == -EPERM)
		remedy = lacks(endpoint, missing, sizeof missing);
	else if (error == -EADDRNOTAVAIL)
		remedy =
			"; this machine has no such address. The route waits for it; the others run. freebind = true binds it now";
	else if (error == -EAFNOSUPPORT || error == -EPROTONOSUPPORT || error == -ESOCKTNOSUPPORT)
		remedy =
			"; not supported by this kernel: load its module. The route waits for it; the others run";
	else if (error == -ENODEV)
		remedy = "; the route waits for it; the others run";
	else if (error == -ENOENT && is_passed)
		remedy = list_passed(missing, sizeof missing);
	else if (error == -EPROTOTYPE && is_passed)
		remedy = "; the socket passed under this name has another family or type";
	else if (error == -EINVAL && is_passed)
		remedy = "; it does not listen: set Accept=no in the socket unit";
	else if (error == -ENOENT && endpoint->values[ENDPOINT_NETNS].value.text)
		remedy =
			"; no such network namespace? `ip netns` lists the named ones. The route waits for it; the others run";
	else if (error == -ENOENT)
		remedy = "; it does not exist. The route waits for it; the others run";
	else if (error == -ESRCH)
		remedy =
			"; a user or group is unknown here. The route waits for it; the others run";
	report_add(report, "%s: route %s: %s %s: %s%s",
		   config_location_text(config, endpoint->location, place, sizeof place),
		   route->name, call, endpoint->text, strerror(-error), remedy);
	return error;
}
