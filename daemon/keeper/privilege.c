/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Privileges. They are dropped before anything binds, because a SO_REUSEPORT group belongs to one
 * uid: a later worker's socket must be able to join. What the routes need is kept as ambient
 * capabilities (capabilities(7)).
 */
#include "keeper/privilege.h"

#include "base/report.h"
#include "config/config.h"
#include "config/needs.h"
#include "ledger/generation.h"

#include <cap-ng.h>
#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CAPABILITIES_MAX = 64 };

static const char *text_of(const struct config *config, enum config_daemon_option option)
{
	const struct spliced_value *value = &config->daemon[option].value;

	return value->state == SPLICED_UNSET || !value->text || !*value->text ? NULL : value->text;
}

static int complain(const struct config *config, enum config_daemon_option option, const char *what,
		    const char *name, struct report *report)
{
	char place[512];

	report_add(
		report, "%s: daemon.%s: there is no %s \"%s\"; name one that exists",
		config_location_text(config, config->daemon[option].location, place, sizeof place),
		what, what, name);
	return -EINVAL;
}

int privilege_find(struct privilege *privilege, const struct config *config, struct report *report)
{
	const char *user = text_of(config, DAEMON_USER), *group = text_of(config, DAEMON_GROUP);
	struct passwd *passwd;
	struct group *entry;

	*privilege = (struct privilege){.uid = geteuid(), .gid = getegid()};
	if (geteuid() != 0 || (!user && !group))
		return 0;
	privilege->drop = true;
	if (user) {
		passwd = getpwnam(user);
		if (!passwd)
			return complain(config, DAEMON_USER, "user", user, report);
		privilege->uid = passwd->pw_uid;
		privilege->gid = passwd->pw_gid;
		privilege->user = user;
	}
	if (group) {
		entry = getgrnam(group);
		if (!entry)
			return complain(config, DAEMON_GROUP, "group", group, report);
		privilege->gid = entry->gr_gid;
	}
	return 0;
}

void privilege_of_owner(struct privilege *privilege, int fd)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return;
	privilege->drop = geteuid() == 0 && status.st_uid != 0;
	privilege->uid = status.st_uid;
	privilege->gid = status.st_gid;
	privilege->user = NULL;
}

static int give_up(const char *what, struct report *report)
{
	int r = errno ? -errno : -EPERM;

	report_add(report, "cannot drop privileges: %s: %s; start as root, or without daemon.user",
		   what, strerror(-r));
	return r;
}

int privilege_drop(const struct privilege *privilege, struct report *report)
{
	if (!privilege->drop)
		return 0;
	if (privilege->user ? initgroups(privilege->user, privilege->gid) : setgroups(0, NULL))
		return give_up("supplementary groups", report);
	/* A group alone, without a user, does not drop root. */
	if (privilege->uid == 0)
		return setgid(privilege->gid) ? give_up("setgid", report) : 0;
	capng_clear(CAPNG_SELECT_ALL);
	for (unsigned i = 0; i < CAPABILITIES_MAX; i++)
		if (privilege->capabilities >> i & 1)
			capng_update(CAPNG_ADD,
				     CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_INHERITABLE |
					     CAPNG_BOUNDING_SET | CAPNG_AMBIENT,
				     i);
	errno = 0;
	if (capng_change_id((int)privilege->uid, (int)privilege->gid, CAPNG_CLEAR_BOUNDING))
		return give_up("setresuid", report);
	if (capng_apply(CAPNG_SELECT_CAPS | CAPNG_SELECT_AMBIENT))
		return give_up("capabilities", report);
	return 0;
}

void privilege_hide(void)
{
#ifndef SPLICED_DEV
	prctl(PR_SET_DUMPABLE, 0);
#endif
}

int privilege_renounce(void)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? -errno : 0;
}

static uint64_t permitted(void)
{
	uint64_t mask = 0;

	if (capng_get_caps_process())
		return 0;
	for (unsigned i = 0; i < CAPABILITIES_MAX; i++)
		if (capng_have_capability(CAPNG_PERMITTED, i))
			mask |= 1ull << i;
	return mask;
}

/* A failure leaves more than is needed, which is no reason to stop. */
void privilege_limit(const struct generation *newest)
{
	uint64_t needs = 0, have;

	if (geteuid() == 0)
		return;
	have = permitted();
	for (const struct generation *generation = newest; generation;
	     generation = generation->next)
		needs |= needs_of_config(generation->config) | needs_wishes(generation->config);
	if (!(have & ~needs))
		return;
	capng_clear(CAPNG_SELECT_CAPS | CAPNG_SELECT_AMBIENT);
	for (unsigned i = 0; i < CAPABILITIES_MAX; i++)
		if (have & needs & 1ull << i)
			capng_update(CAPNG_ADD,
				     CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_INHERITABLE |
					     CAPNG_AMBIENT,
				     i);
	capng_apply(CAPNG_SELECT_CAPS | CAPNG_SELECT_AMBIENT);
}

struct namespaces {
	const struct config *config;
	const struct config_route *route;
	struct report *report;
	const char *before, *how;
	unsigned count;
};

static void tell_namespaces(struct namespaces *these, const struct config_endpoint *endpoints,
			    unsigned n)
{
	char place[512];

	for (unsigned i = 0; i < n; i++) {
		const struct config_value *netns = &endpoints[i].values[ENDPOINT_NETNS];

		if (netns->value.state == SPLICED_UNSET)
			continue;
		these->count++;
		report_add(
			these->report,
			"%s: %sroute %s: netns: entering a network namespace requires CAP_SYS_ADMIN, which %s. A drop-in for the unit "
			"(systemctl edit): [Service] CapabilityBoundingSet=CAP_SYS_ADMIN AmbientCapabilities=CAP_SYS_ADMIN "
			"RestrictNamespaces=net SystemCallFilter=setns (each on its own line)",
			config_location_text(these->config,
					     netns->location.line ? netns->location
								  : endpoints[i].location,
					     place, sizeof place),
			these->before, these->route->name, these->how);
	}
}

static unsigned find_namespaces(struct namespaces *these)
{
	for (unsigned i = 0; i < these->config->n_routes; i++) {
		these->route = &these->config->routes[i];
		if (!these->route->enabled)
			continue;
		tell_namespaces(these, these->route->listen, these->route->n_listen);
		tell_namespaces(these, these->route->dial, these->route->n_dial);
		tell_namespaces(these, these->route->targets, these->route->n_targets);
	}
	return these->count;
}

int privilege_check_namespaces(const struct config *config, struct report *report)
{
	struct namespaces these = {
		.config = config, .report = report, .before = "", .how = "spliced does not have"};

	if (permitted() & 1ull << CAP_SYS_ADMIN)
		return 0;
	return find_namespaces(&these) ? -EPERM : 0;
}

void privilege_note_namespaces(const struct config *config, struct report *report)
{
	struct namespaces these = {.config = config,
				   .report = report,
				   .before = "note: ",
				   .how = "the installed unit does not grant"};

	find_namespaces(&these);
}

const char *privilege_missing(const struct config_endpoint *endpoint, char *text, size_t size)
{
	uint64_t missing = needs_of_endpoint(endpoint) & ~permitted();
	size_t len = 0;

	*text = '\0';
	for (unsigned i = 0; i < CAPABILITIES_MAX; i++)
		if (missing & 1ull << i && len < size) {
			const char *name = capng_capability_to_name(i);

			len += (size_t)snprintf(text + len, size - len, "%sCAP_", len ? " " : "");
			for (; name && *name && len + 1 < size; name++)
				text[len++] = (char)toupper((unsigned char)*name);
			text[len < size ? len : size - 1] = '\0';
		}
	return text;
}
