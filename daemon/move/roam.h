/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sessions whose target may answer from another port, or another address (`reply_from`), as TFTP
 * does, and whoever is asked by a group. Their socket is not connected: where it sends to is in the
 * flow, and follows what answers.
 */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

struct address;
struct session;

/* Whether the target that the session is being connected to says so. */
bool roam_is_asked(const struct session *session);

/* In place of connect(2): binds the socket where the kernel would send from to that address, and
 * notes the address. 0 or negative errno. */
int roam_begin(struct session *session, int fd, const struct address *address);

/* Messages go to that address from now on. */
void roam_aim(struct session *session, const struct address *address);

/* Whether roam_begin() has noted one. */
bool roam_has_begun(const struct session *session);

/* The socket will be closed. */
void roam_end(struct session *session);

/* A message of the target's side: whether it is to be heard, for who sent it. What the client says
 * next goes there. */
bool roam_hears(struct session *session, const struct msghdr *received);

/* The target's socket told of an error: what stands behind it in the socket is taken away. */
void roam_take_errors(struct session *session);
