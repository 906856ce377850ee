# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a relay costs: CPU time and memory of its processes."""

import os


def _parents():
    """Of every process, its parent."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as stat:
                    parents[int(name)] = int(stat.read().rpartition(")")[2].split()[1])
            except OSError:
                pass  # it has just ended
    return parents


def family(pid):
    """The process and its descendants, as they are now."""
    parents = _parents()
    members = [pid]
    for member in members:  # grows meanwhile
        members += [child for child, parent in parents.items() if parent == member]
    return members


def _task_seconds(task):
    """User and system time of one thread, to the nanosecond where the kernel has schedstats, else to the tick."""
    try:
        with open(f"{task}/schedstat", encoding="ascii") as stat:
            return int(stat.read().split()[0]) / 1e9
    except FileNotFoundError:
        with open(f"{task}/stat", encoding="ascii", errors="replace") as stat:
            user, system = stat.read().rpartition(")")[2].split()[11:13]
            return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def cpu_seconds(pids):
    """CPU time, user and system, of all threads that these processes have."""
    return sum(_task_seconds(f"/proc/{pid}/task/{task}") for pid in pids for task in os.listdir(f"/proc/{pid}/task"))


def memory_bytes(pids):
    """Anonymous and shared memory, each page divided by the number of processes that map it (Pss_Anon, Pss_Shmem).

    Program text and the kernel's own memory for sockets and pipes are not in it."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
            for line in rollup:
                if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
                    total += int(line.split()[1]) * 1024
    return total
