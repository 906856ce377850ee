# SPDX-License-Identifier: LGPL-2.1-or-later
"""What proc(5) tells of processes."""

import ctypes
import os

import waiting

KCMP = {"x86_64": 312, "aarch64": 272}  # the system call's number


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as file:
            return [int(word) for word in file.read().split()]
    except FileNotFoundError:
        return []


def shares_descriptors(one, other):
    """Whether two processes have one descriptor table (kcmp(2)); None where the kernel does not tell."""
    same = ctypes.CDLL(None, use_errno=True).syscall(KCMP[os.uname().machine], one, other, 2, 0, 0) \
        if os.uname().machine in KCMP else -1
    return same == 0 if same >= 0 else None


def process_state(pid):
    """R, S, D, T, Z …, or None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def thread_states(pid):
    """The state of each thread; those that have ended meanwhile are left out."""
    found = (process_state(f"{pid}/task/{tid}") for tid in os.listdir(f"/proc/{pid}/task"))
    return [state for state in found if state]


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        words = file.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def memory_kib(pid):
    """Anonymous resident memory: what the process itself holds."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        for line in file:
            if line.startswith("RssAnon:"):
                return int(line.split()[1])
    return 0


def session_members(sid):
    """Live processes of a process session. A zombie is none, once its last thread has ended: until then its descriptors are open."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8") as file:
                words = file.read().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(words[3]) == sid and (words[0] != "Z" or int(words[17]) > 1):
            found.append(int(name))
    return found


def descriptors(pid):
    """{number: what it leads to} of a process."""
    found = {}
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except PermissionError as error:
        raise waiting.Skip("the daemon hides what it has open from all but root; a build with --enable-dev does not") from error
    for name in names:
        try:
            found[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
        except FileNotFoundError:
            pass
    return found


def command_name(pid):
    """comm, proc(5); None: there is no such process."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return None
