/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Network namespaces, network_namespaces(7): a socket belongs for ever to the one that its thread
 * was in when it was opened. */
#pragma once

#include <stdbool.h>

/* Takes the thread into a namespace: a name of ip-netns(8), or a file's. *before: for the way back.
 * 0 or negative errno. */
int netns_enter(const char *netns, int *before);

/* Takes it back, and closes `before`. It must not fail, and ends the process if it does. */
void netns_leave(int before);

/* Whether its name leads to the namespace of a process, as /proc/PID/ns/net, rather than to a file
 * that stands for it. */
bool netns_is_of_process(const char *netns);
