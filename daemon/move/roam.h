/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sessions whose target may answer from another port, or another address (`reply_from`), as with
 * TFTP and multicast requests. Their socket is not connected: its destination is in the flow, and
 * follows the answers.
 */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

struct address;
struct session;

/* Whether the target being connected is configured so. */
bool roam_is_asked(const struct session *session);

/* Instead of connect(2): binds the socket to the address that the kernel would use to send to the
 * target, and records the target's address. 0 or negative errno. */
int roam_begin(struct session *session, int fd, const struct address *address);

/* Messages are sent to that address from now on. */
void roam_aim(struct session *session, const struct address *address);

/* Whether roam_begin() has recorded one. */
bool roam_has_begun(const struct session *session);

/* The socket will be closed. */
void roam_end(struct session *session);

/* Whether a message from the target's side is accepted, by its sender; then the client's next
 * messages go to that sender. */
bool roam_hears(struct session *session, const struct msghdr *received);

/* The target's socket reported an error: empties its error queue. */
void roam_take_errors(struct session *session);
