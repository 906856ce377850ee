/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Socket buffers that the kernel does not grant: system limits, for a process without
 * CAP_NET_ADMIN. */
#pragma once

struct config;
struct report;

/* Warns of each endpoint whose frames, or whose rcvbuf or sndbuf, take a larger buffer than this
 * process would get: which, how large, and what helps, each in a line of report. For a process that
 * may open descriptors. */
void buffer_limits_check(const struct config *config, struct report *report);
