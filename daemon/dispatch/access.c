/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Access. Rules were parsed when the config was checked; here each is matched once. Keeps nothing.
 * A peer with an unknown ID, such as one that our user namespace does not map, matches no rule of
 * allow, and any rule of deny.
 */
#include "dispatch/access.h"

#include "base/assert.h"
#include "config/config.h"
#include "net/callback.h"
#include "net/identity.h"
#include "net/network.h"
#include "net/socket.h"

/* Higher than any address rule: a uid names one, a gid several. */
enum { SPECIFIC_GID = 1 << 20, SPECIFIC_UID = 1 << 21 };

enum { GROUPS_MAX = 1024 }; /* of a peer; one with more may be in any */

/* What is known of the peer from its socket. */
struct visitor {
	int fd;
	const struct config_leg *leg; /* that it came to */
	const struct address *peer;
	bool deny; /* the rules that it is compared with */
};

/* Whether a peer with this id is meant by a rule. */
static bool is_meant(const struct visitor *visitor, enum identity kind, uint32_t id, uint32_t meant)
{
	return identity_is_overflow(kind, id) ? visitor->deny : id == meant;
}

static bool is_user(const struct visitor *visitor, uint32_t meant)
{
	uid_t uid;
	gid_t gid;

	return socket_peer_credentials(visitor->fd, &uid, &gid) < 0
		       ? visitor->deny
		       : is_meant(visitor, IDENTITY_UID, uid, meant);
}

static bool is_in_group(const struct visitor *visitor, uint32_t meant)
{
	gid_t groups[GROUPS_MAX], gid;
	uid_t uid;
	int n;

	if (socket_peer_credentials(visitor->fd, &uid, &gid) < 0)
		return visitor->deny;
	if (is_meant(visitor, IDENTITY_GID, gid, meant))
		return true;
	n = socket_peer_groups(visitor->fd, groups, GROUPS_MAX);
	for (int i = 0; i < n; i++)
		if (is_meant(visitor, IDENTITY_GID, groups[i], meant))
			return true;
	return n < 0 && visitor->deny;
}

static int specificity(const struct config_rule *rule, const struct visitor *visitor)
{
	const struct sockaddr *bytes = address_sockaddr_const(visitor->peer);
	const struct family *family = visitor->leg->family;

	switch (rule->kind) {
	case RULE_ADDRESS:
		if (!rule->family)
			return network_match(&rule->network, visitor->leg->row, visitor->peer);
		return rule->family == family
			       ? (int)CALLBACK(family, match,
					       family->plugin.match(&rule->rule, bytes,
								    visitor->peer->len))
			       : 0;
	case RULE_UID:
		return is_user(visitor, rule->id) ? SPECIFIC_UID : 0;
	case RULE_UNKNOWN:
		return visitor->deny ? SPECIFIC_UID : 0; /* unmapped: it may be any user */
	case RULE_GID:
		return is_in_group(visitor, rule->id) ? SPECIFIC_GID : 0;
	}
	return 0;
}

/* *which: the most specific rule that matches, if any does. */
static int best(const struct config_rule *rules, unsigned count, const struct visitor *visitor,
		const struct config_rule **which)
{
	int highest = 0;

	for (unsigned i = 0; i < count; i++) {
		int found = specificity(&rules[i], visitor);

		if (found == CALLBACK_REFUSED)
			return found;
		if (found > highest) {
			highest = found;
			*which = &rules[i];
		}
	}
	return highest;
}

bool access_allowed(const struct config_route *route, const struct config_leg *leg, int fd,
		    const struct address *peer, const struct config_rule **refused_by)
{
	struct visitor visitor = {fd, leg, peer, false};
	const struct config_rule *ignored = NULL;
	int allow, deny;

	assert(route->n_deny == 0 || route->deny);
	*refused_by = NULL;
	if (!route->has_allow && !route->n_deny)
		return true;
	allow = best(route->allow, route->n_allow, &visitor, &ignored);
	visitor.deny = true;
	deny = best(route->deny, route->n_deny, &visitor, refused_by);
	/* The peer cannot be identified: refuse it. */
	if (allow < 0 || deny < 0)
		return false;
	if (!allow && !deny)
		return !route->has_allow;
	return allow > deny;
}
