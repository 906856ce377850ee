# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a daemon has open, seen from outside: its ledger's tables, its descriptors, socket files in a directory."""

import collections
import os
import stat
import struct

import harness

# As in enum ledger_section_id.
THREADS, LISTENERS, ROUTES, TARGETS, GENERATIONS = 1, 3, 4, 5, 10


class Ledger:
    """The tables of a daemon's ledger, read from the keeper's memfd (ledger.h)."""

    def __init__(self, keeper):
        number = next(fd for fd, link in harness.descriptors(keeper).items() if link.startswith("/memfd:spliced-ledger"))
        self.file = open(f"/proc/{keeper}/fd/{number}", "rb", buffering=0)
        magic, _, count, _ = struct.unpack("<8sIIQ", self.file.read(24))
        assert magic == b"SPLICED\0"
        self.sections = [struct.unpack("<IIIIQ", self.file.read(24))[2:] for _ in range(count)]

    def states(self, section):
        """How many records there are with each first word but 0: of most, their state. Pages that nobody ever wrote to are holes."""
        stride, count, offset = self.sections[section]
        found, index = collections.Counter(), 0
        while index < count:
            try:
                at = os.lseek(self.file.fileno(), offset + index * stride, os.SEEK_DATA)
            except OSError:  # nothing but holes
                break
            index = max(index, (at - offset) // stride)
            if index >= count:
                break
            found[struct.unpack("<I", os.pread(self.file.fileno(), 4, offset + index * stride))[0]] += 1
            index += 1
        del found[0]
        return dict(found)

    def beats(self, thread):
        """How often the thread's heart has beaten: the second word of its record."""
        stride, _, offset = self.sections[THREADS]
        return struct.unpack("<Q", os.pread(self.file.fileno(), 8, offset + thread * stride + 8))[0]


def socket_files(*directories):
    return sorted(os.path.join(directory, name) for directory in directories for name in os.listdir(directory)
                  if stat.S_ISSOCK(os.lstat(os.path.join(directory, name)).st_mode))


def tables(daemon):
    """What must be as before when nothing was changed."""
    ledger = Ledger(daemon.keeper)
    try:
        found = {name: ledger.states(section) for name, section in
                 (("listeners", LISTENERS), ("routes", ROUTES), ("targets", TARGETS), ("generations", GENERATIONS))}
    finally:
        ledger.file.close()
    found["generations"] = sum(found["generations"].values())  # which, is another matter
    found["listens"] = sorted((one["route"], one["address"], one["state"]) for one in daemon.ctl("listeners")["listeners"])
    return found


def kept_open(daemon):
    """The daemon's descriptors by what they lead to, but for the pipes, of which a thread keeps some. Sockets count: ask while there is no
    session."""
    kinds = collections.Counter("socket" if link.startswith("socket:") else link for link in harness.descriptors(daemon.keeper).values()
                                if not link.startswith("pipe:"))
    return dict(kinds)
