/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Access. Rules were parsed when the config was checked; here each is matched once. Keeps nothing. */
#include "flow/access.h"

#include "config/config.h"
#include "net/callback.h"
#include "net/socket.h"

/* Higher than any address rule: a uid names one, a gid several. */
enum { SPECIFIC_GID = 1 << 20, SPECIFIC_UID = 1 << 21 };

static int specificity(const struct config_rule *rule, const struct family *family, int fd, const struct address *peer)
{
	const struct sockaddr *bytes = address_sockaddr_const(peer);
	uid_t uid;
	gid_t gid;

	switch (rule->kind) {
	case RULE_ADDRESS:
		return rule->family == family
			       ? (int)CALLBACK(family, match, family->plugin.match(&rule->rule, bytes, peer->len))
			       : 0;
	case RULE_UID:
		return !socket_peer_credentials(fd, &uid, &gid) && uid == rule->id ? SPECIFIC_UID : 0;
	case RULE_GID:
		return socket_peer_in_group(fd, rule->id) ? SPECIFIC_GID : 0;
	}
	return 0;
}

static int best(const struct config_rule *rules, unsigned count, const struct family *family, int fd,
		const struct address *peer)
{
	int highest = 0;

	for (unsigned i = 0; i < count; i++) {
		int found = specificity(&rules[i], family, fd, peer);

		if (found == CALLBACK_REFUSED)
			return found;
		if (found > highest)
			highest = found;
	}
	return highest;
}

bool access_allowed(const struct config_route *route, const struct family *family, int fd, const struct address *peer)
{
	int allow, deny;

	if (!route->has_allow && !route->n_deny)
		return true;
	allow = best(route->allow, route->n_allow, family, fd, peer);
	deny = best(route->deny, route->n_deny, family, fd, peer);
	/* Nobody can tell: nobody is let in. */
	if (allow < 0 || deny < 0)
		return false;
	if (!allow && !deny)
		return !route->has_allow;
	return allow > deny;
}
