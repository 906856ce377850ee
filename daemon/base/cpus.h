/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How many CPUs this process may use. */
#pragma once

/* Those of the affinity mask, or what the control group's quota allows, rounded up, where that is
 * less. At least 1. */
unsigned cpus_count(void);

/* What the quotas of a control group and of those above it allow, rounded up; 0: no limit. groups
 * is like /proc/self/cgroup, and root where the file systems of control groups are mounted: of
 * version 2 (cpu.max), or of version 1's cpu controller (cpu.cfs_quota_us). */
unsigned cpus_quota(const char *groups, const char *root);
