# SPDX-License-Identifier: LGPL-2.1-or-later
"""What waits for a restart: messages of descriptors in a lifeboat, and the list that goes with them.

    messages = unload(boat)              [(bytes, [descriptors])]: the ledger and the list, then all others
    boat = load(messages)                a lifeboat with the same in it
    entries(messages)                    those of the list; LISTENERS: the section of a place
"""

import array
import os
import socket
import struct

FD_MAX = 253
ENTRY = struct.Struct("<QQQQiI")    # ledger/cargo.h
PLACE, NUMBER = 0, 4
SESSIONS, LISTENERS = 2, 3          # ledger/manifest.c


def unload(boat):
    """[(bytes, [descriptors])] as they lie in it."""
    messages = []
    with socket.socket(fileno=boat) as sock:
        sock.setblocking(False)
        while True:
            try:
                data, control, _, _ = sock.recvmsg(1 << 16, socket.CMSG_SPACE(4 * FD_MAX))
            except BlockingIOError:
                return messages
            if not data:
                return messages
            messages.append((data, array.array("i", b"".join(part for _, _, part in control)).tolist()))


def load(messages):
    """A lifeboat with the same in it."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        for data, fds in messages:
            one.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])
            for fd in fds:
                os.close(fd)
    return other.detach()


def entries(messages):
    """Those of the list that goes with the descriptors."""
    listed = messages[0][1][1]
    return list(ENTRY.iter_unpack(os.pread(listed, os.fstat(listed).st_size, 0)))


def section(entry):
    return entry[PLACE] >> 56
