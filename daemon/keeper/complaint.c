/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Complaints: what the kernel refused, where it was asked for, and the remedy. */
#include "keeper/complaint.h"

#include "base/report.h"
#include "config/config.h"
#include "keeper/privilege.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char *lacks(const struct config_endpoint *endpoint, char *text, size_t size)
{
	char names[256];

	privilege_missing(endpoint, names, sizeof names);
	snprintf(text, size, "; it takes a privilege that spliced was started without%s%s: give it to the unit (AmbientCapabilities=), or start as "
		 "root with daemon.user, and restart, which ends no session under systemd", *names ? ", " : "", names);
	return text;
}

int complaint_add(const struct config *config, const struct config_route *route, const struct config_endpoint *endpoint, const char *call,
		  int error, struct report *report)
{
	char place[512], missing[512];
	bool is_passed = endpoint->values[ENDPOINT_FD].value.text;
	const char *remedy = "";

	if (error == -EADDRINUSE)
		remedy = "; another program listens there, or a listener of ours that this one would replace and cannot share with: stop it, "
			 "or take it away by a reload of its own, or choose another address";
	else if (error == -EACCES || error == -EPERM)
		remedy = lacks(endpoint, missing, sizeof missing);
	else if (error == -EADDRNOTAVAIL)
		remedy = "; this machine has no such address. The route waits for it, and the others run; freebind = true binds it now";
	else if (error == -EAFNOSUPPORT || error == -EPROTONOSUPPORT || error == -ESOCKTNOSUPPORT)
		remedy = "; this kernel lacks it: load its module. The route waits for it, and the others run";
	else if (error == -ENODEV)
		remedy = "; the route waits for it, and the others run";
	else if (error == -ENOENT && is_passed)
		remedy = "; no socket is passed under this name: FileDescriptorName= of the socket unit, and start the service by it";
	else if (error == -EPROTOTYPE && is_passed)
		remedy = "; the socket that is passed under this name is of another family or type";
	else if (error == -EINVAL && is_passed)
		remedy = "; it does not listen: the socket unit must say Accept=no";
	else if (error == -ENOENT && endpoint->values[ENDPOINT_NETNS].value.text)
		remedy = "; is there such a network namespace? `ip netns` lists those with names. The route waits for it, and the others run";
	else if (error == -ENOENT)
		remedy = "; the directory is not there. The route waits for it, and the others run";
	else if (error == -ESRCH)
		remedy = "; a user or group is not known here. The route waits for that, and the others run";
	report_add(report, "%s: route %s: %s %s: %s%s",
		   config_place_text(config, endpoint->place, place, sizeof place), route->name,
		   call, endpoint->text, strerror(-error), remedy);
	return error;
}
