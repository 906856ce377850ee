/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Privileges: from root to the configured user, with the capabilities that the routes need and no
 * others. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct config;
struct config_endpoint;
struct generation;
struct report;

struct privilege {
	bool drop; /* started as root, and a user or a group is configured */
	uid_t uid;
	gid_t gid;
	const char *user;      /* for the supplementary groups, initgroups(3); may be NULL */
	uint64_t capabilities; /* bit N: CAP number N */
};

/* The calling process, and its children, gain no privileges by execve(2): PR_SET_NO_NEW_PRIVS. 0
 * or negative errno. */
int privilege_renounce(void);

/* Denies other processes of the same user access to this process and its children, with
 * ptrace(2) and core(5). exec(3), and a change of credentials, undo it. Not in a build for
 * developers. */
void privilege_hide(void);

/* User and group to switch to, from daemon.user and daemon.group. 0, or negative errno with the
 * reason in report. */
int privilege_find(struct privilege *privilege, const struct config *config, struct report *report);

/* The owner of a descriptor's file, without supplementary groups: the user that made it. */
void privilege_of_owner(struct privilege *privilege, int fd);

/* Switches to the user, permanently. 0 or negative errno, with the reason in report. */
int privilege_drop(const struct privilege *privilege, struct report *report);

/* Leaves the calling process, a worker before its first thread, the capabilities that its
 * generations need. Root stays root. */
void privilege_limit(const struct generation *newest);

/* Reports endpoints in other network namespaces if CAP_SYS_ADMIN is missing: each in a line of
 * report, with what to add to the unit. 0; -EPERM: there are some. */
int privilege_check_namespaces(const struct config *config, struct report *report);

/* The same for a check, which does not know the daemon's capabilities: notes, for users of the
 * installed unit. */
void privilege_note_namespaces(const struct config *config, struct report *report);

/* The capabilities that an endpoint's sockets take and this process lacks, as "CAP_NET_RAW",
 * NUL-terminated, for the operator; empty where none are missing. Returns text. */
const char *privilege_missing(const struct config_endpoint *endpoint, char *text, size_t size);
