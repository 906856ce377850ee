# SPDX-License-Identifier: LGPL-2.1-or-later
"""Ends of the families that most kernels have not: as messages.End, at this machine's vsock, TIPC services, two linked Bluetooth adapters."""

import itertools
import socket

import bluetooth
import harness
import messages

STREAMS = ("vsock", "rfcomm", "tipc")
DATAGRAMS = ("tipc-dgram", "tipc-rdm")
MESSAGES = ("vsock-seqpacket", "l2cap", "tipc-seqpacket") + DATAGRAMS
KINDS = STREAMS + MESSAGES

LARGEST = {"l2cap": 600, "rfcomm": 5000}  # the emulated controllers drop some of what is sent to them at once

messages.STREAMS += STREAMS  # framed as all streams are

_number = itertools.count(1)
TYPES = {"tipc": socket.SOCK_STREAM, "tipc-seqpacket": socket.SOCK_SEQPACKET, "tipc-dgram": socket.SOCK_DGRAM, "tipc-rdm": socket.SOCK_RDM}


class Adapters(bluetooth.Adapters):
    """Made once, when the first end wants it."""

    made = None

    @classmethod
    def get(cls):
        cls.made = cls.made or cls()
        return cls.made


class End:
    """is_front: the daemon listens at it, and clients come from the far side; else it is the far side's."""

    def __init__(self, kind, is_front):
        self.kind, self.is_front = kind, is_front
        number = next(_number)
        if kind.startswith("vsock"):
            self.address = (1, 20000 + number)
            self.text = f"{kind}://local:{self.address[1]}"
        elif kind.startswith("tipc"):
            self.service = 20000 + number
            self.text = f"{kind}://{self.service}:0"
        else:
            adapters = Adapters.get()
            self.near, self.far = adapters.near, adapters.far
            self.number = number % 30 + 1 if kind == "rfcomm" else 0x1001 + 512 * (number // 100) + 2 * (number % 100)
            self.text = f"{kind}://{self.near}/{self.number}" if is_front else f"{kind}://{self.far}/{self.number}?adapter=hci0"

    def __str__(self):
        return self.text

    @property
    def framed(self):
        return self.text + ("&" if "?" in self.text else "?") + "framing=length16" if self.kind in STREAMS else self.text

    def socket(self):
        if self.kind.startswith("vsock"):
            return socket.socket(socket.AF_VSOCK, socket.SOCK_SEQPACKET if "seqpacket" in self.kind else socket.SOCK_STREAM)
        if self.kind.startswith("tipc"):
            return socket.socket(socket.AF_TIPC, TYPES[self.kind])
        return bluetooth.far_socket(self.kind, None)

    @property
    def is_datagram(self):
        return self.kind in DATAGRAMS

    def wire(self, sock):
        return Wire(self.kind, sock)

    def client(self):
        if self.kind in ("rfcomm", "l2cap"):
            return self.wire(bluetooth.connect(self.kind, Adapters.get(), self.number))
        sock = self.socket()
        sock.settimeout(harness.PATIENCE)
        if self.kind in DATAGRAMS:
            sock.bind((socket.TIPC_ADDR_NAMESEQ, self.service + 10000, 0, 0))  # a name of its own is no must, but none is dropped early
        sock.connect((socket.TIPC_ADDR_NAME, self.service, 0, 0) if self.kind.startswith("tipc") else self.address)
        return self.wire(sock)

    def server(self):
        sock = self.socket()
        if self.kind.startswith("vsock"):
            sock.bind(self.address)
        elif self.kind.startswith("tipc"):
            sock.bind((socket.TIPC_ADDR_NAMESEQ, self.service, 0, 0, socket.TIPC_NODE_SCOPE))
        else:
            sock.bind((self.far, self.number))
        if not self.is_datagram:
            sock.listen(16)
        return sock


class Wire(messages.Wire):
    def __init__(self, kind, sock):
        super().__init__(kind, sock)
        self.sock.settimeout(min(harness.PATIENCE, 20))

    def hear(self):
        """The next message; None at the end."""
        data = super().hear()
        return None if data == b"" and self.kind not in STREAMS else data
