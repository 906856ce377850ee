# SPDX-License-Identifier: LGPL-2.1-or-later
"""Addresses of an end: free ones, what an endpoint is, and whether somebody listens there."""

import os
import random
import socket
import threading

from waiting import PATIENCE

_given = set()
_choosing = threading.Lock()  # one thread's look at a port would be in the way of another's

IPPROTO_MPTCP = 262


def free_port():
    """A port below the ephemeral range: a client that retries a dead port up there can connect to itself."""
    with _choosing:
        while True:
            port = random.randrange(10000, 32000)
            if port in _given:
                continue
            try:
                with socket.socket(socket.AF_INET6) as six, socket.socket(socket.AF_INET) as four:
                    six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                    six.bind(("::", port))
                    four.bind(("", port))
            except OSError:
                continue
            _given.add(port)
            return port


def has_mptcp():
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP).close()
    except OSError:
        return False
    return True


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as six:
            six.bind(("::1", 0))
        return True
    except OSError:
        return False


class Endpoint:
    """An address of our own making: as the config writes it, as the peers tool does, and as Python does."""

    def __init__(self, family, directory):
        self.name = family
        if family == "unix":
            self.family = socket.AF_UNIX
            self.address = os.path.join(directory, f"{random.randrange(1 << 40):x}.sock")
            self.text = "unix://" + self.address
        elif family == "inet6":
            self.family = socket.AF_INET6
            self.address = ("::1", free_port())
            self.text = f"tcp6://[::1]:{self.address[1]}"
        elif family == "mptcp":
            self.family = socket.AF_INET
            self.address = ("127.0.0.1", free_port())
            self.text = f"inet://127.0.0.1:{self.address[1]}?protocol=mptcp"
        else:
            self.family = socket.AF_INET
            self.address = ("127.0.0.1", free_port())
            self.text = f"tcp4://127.0.0.1:{self.address[1]}"

    def __str__(self):
        return self.text

    def socket(self):
        return socket.socket(self.family, socket.SOCK_STREAM, IPPROTO_MPTCP if self.name == "mptcp" else 0)

    def listen(self, backlog=128):
        listener = self.socket()
        if self.family != socket.AF_UNIX:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        elif os.path.exists(self.address):
            os.unlink(self.address)
        listener.bind(self.address)
        listener.listen(backlog)
        listener.settimeout(PATIENCE)
        return listener

    def connect(self, **options):
        """options: receive_buffer, timeout."""
        client = self.socket()
        client.settimeout(options.get("timeout", PATIENCE))
        if "receive_buffer" in options:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, options["receive_buffer"])
        client.connect(self.address)
        return client

    def listening(self):
        """Whether somebody listens, told without connecting."""
        return listening(self.text)


SEEN_LISTENING = ("tcp4", "tcp6", "inet", "unix")


def listening(text):
    """Whether somebody listens at tcp4://A:P, tcp6://[A]:P, inet://A:P or unix://PATH, from the kernel's tables."""
    scheme, rest = text.split("?")[0].split("://")
    if scheme == "unix":
        with open("/proc/net/unix", encoding="utf-8", errors="replace") as table:
            return any(line.split()[7:] == [rest] and line.split()[3] == "00010000" for line in table)
    port = int(rest.rsplit(":", 1)[1].rsplit("-", 1)[-1])  # the last of a range
    for name in ("tcp", "tcp6"):
        try:
            with open("/proc/net/" + name, encoding="utf-8") as table:
                for line in list(table)[1:]:
                    words = line.split()
                    if words[3] == "0A" and int(words[1].rsplit(":", 1)[1], 16) == port:
                        return True
        except FileNotFoundError:
            pass
    return False


def has_clients(path):
    """Whether a connection to a UNIX socket is still open at its end: what asked may have gone already."""
    with open("/proc/net/unix", encoding="utf-8", errors="replace") as table:
        return any(line.split()[7:] == [path] and line.split()[5] == "03" for line in table)


def as_list(value):
    return value if isinstance(value, (list, tuple)) else (value,)
