/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A container that may use two CPUs of 64 sees all of them in its affinity mask: 64 threads would
 * all be throttled once they have used up the quota. The quotas of all groups above apply too, as
 * far as they are visible from inside the container.
 */
#include "base/cpus.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rounded up; 0: no limit. */
static unsigned divide(long long quota, long long period)
{
	if (quota <= 0 || period <= 0)
		return 0;
	return quota / period >= UINT_MAX ? UINT_MAX : (unsigned)((quota + period - 1) / period);
}

/* One number from a file; -1 if it cannot be read. */
static long long read_number(const char *directory, const char *name)
{
	char path[PATH_MAX];
	long long number = -1;
	FILE *file;

	if (snprintf(path, sizeof path, "%s/%s", directory, name) >= (int)sizeof path)
		return -1;
	file = fopen(path, "re");
	if (!file)
		return -1;
	if (fscanf(file, "%lld", &number) != 1)
		number = -1;
	fclose(file);
	return number;
}

/* "max 100000", or "150000 100000". */
static unsigned read_max(const char *directory)
{
	char path[PATH_MAX];
	long long quota, period;
	unsigned cpus = 0;
	FILE *file;

	if (snprintf(path, sizeof path, "%s/cpu.max", directory) >= (int)sizeof path)
		return 0;
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%lld %lld", &quota, &period) == 2)
		cpus = divide(quota, period);
	fclose(file);
	return cpus;
}

static unsigned least(unsigned a, unsigned b)
{
	return !a || (b && b < a) ? b : a;
}

/* From a group up to the root of the mounted hierarchy. */
static unsigned read_groups(const char *mount, const char *group, bool is_second)
{
	char path[PATH_MAX];
	size_t end = strlen(mount);
	unsigned cpus = 0;

	if (snprintf(path, sizeof path, "%s%s", mount, group) >= (int)sizeof path)
		return 0;
	for (;;) {
		char *slash = strrchr(path, '/');

		cpus = least(cpus, is_second ? read_max(path)
					     : divide(read_number(path, "cpu.cfs_quota_us"),
						      read_number(path, "cpu.cfs_period_us")));
		if (!slash || (size_t)(slash - path) < end || strlen(path) <= end)
			return cpus;
		*slash = '\0';
	}
}

/* "cpu,cpuacct" has "cpu". */
static bool has_cpu(const char *controllers)
{
	char copy[256], *rest = copy, *one;

	snprintf(copy, sizeof copy, "%s", controllers);
	while ((one = strsep(&rest, ",")))
		if (strcmp(one, "cpu") == 0)
			return true;
	return false;
}

unsigned cpus_quota(const char *groups, const char *root)
{
	char line[PATH_MAX + 256], mount[PATH_MAX];
	FILE *file = fopen(groups, "re");
	unsigned cpus = 0;

	while (file && fgets(line, sizeof line, file)) {
		char *controllers = strchr(line, ':'),
		     *group = controllers ? strchr(controllers + 1, ':') : NULL;

		if (!group)
			continue;
		*group++ = '\0';
		group[strcspn(group, "\n")] = '\0';
		controllers++;
		if (!*controllers)
			cpus = least(cpus, read_groups(root, group, true));
		if (!has_cpu(controllers))
			continue;
		snprintf(mount, sizeof mount, "%s/cpu", root);
		cpus = least(cpus, read_groups(mount, group, false));
	}
	if (file)
		fclose(file);
	return cpus;
}

unsigned cpus_count(void)
{
	unsigned quota = cpus_quota("/proc/self/cgroup", "/sys/fs/cgroup"), count = 1;
	cpu_set_t cpus;

	if (!sched_getaffinity(0, sizeof cpus, &cpus))
		count = (unsigned)CPU_COUNT(&cpus);
	return quota && quota < count ? quota : count;
}
