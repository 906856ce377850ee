/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Network namespaces, network_namespaces(7): a socket always belongs to the one that its thread was
 * in when it was opened. */
#pragma once

#include <stdbool.h>

/* Moves the thread into a namespace, by its ip-netns(8) name or by a file's path. *before: the
 * previous one. 0 or negative errno. */
int netns_enter(const char *netns, int *before);

/* Moves it back, and closes `before`. Ends the process if that fails. */
void netns_leave(int before);

/* Whether its name leads to the namespace of a process, as /proc/PID/ns/net, rather than to a file
 * bound to it. */
bool netns_is_of_process(const char *netns);
